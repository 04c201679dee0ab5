#ifndef TESTS_UNIT_S3KIT_H
#define TESTS_UNIT_S3KIT_H

/*
 * A bucket for tests of backend/aws/s3.h, on a server that answers by rules:
 *
 *	static const struct s3kit_rule rules[] = {
 *		{"PUT", "partNumber=2", 1, {.status = 503}},	the first time only
 *		{"PUT", "partNumber=", 0, {.headers = "ETag: \"e\"\r\n"}},
 *	};
 *	CLEANUP(s3kit_close) struct s3kit k = {0};
 *	s3kit_open(&k, rules, COUNT_OF(rules));
 *
 * The first rule that fits and is not used up answers.  Without one, a HEAD of
 * the bucket is told the region us-east-1, the object (if the test has set
 * one) is served with HEAD, ranges and If-Match, and all else is answered 418.
 */

#include <stdatomic.h>
#include <string.h>

#include "backend/aws/s3.h"
#include "tests/unit/awsenv.h"
#include "tests/unit/awsserver.h"
#include "tests/unit/cmocka_all.h"

#define S3KIT_RULES_MAX 32
#define S3KIT_SECRET	"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define S3KIT_PART	4096 /* small parts: a page */
#define S3KIT_TEXT_MAX	512

struct s3kit_rule {
	const char *method, *in_target; /* in_target: stands somewhere in it */
	unsigned times;			/* 0: always */
	struct awsserver_reply reply;
};

struct s3kit_object {
	const char *bytes;
	size_t size;
	const char *etag, *crc32; /* crc32: base64, or NULL */
};

struct s3kit {
	struct awsenv env;
	struct awsserver *server;
	struct aws *aws;
	struct s3 *s3;
	struct s3_options options; /* may be set before s3kit_open() */
	const struct s3kit_rule *rules;
	size_t rule_count;
	unsigned used[S3KIT_RULES_MAX];
	struct s3kit_object object; /* of the server's thread, while it is asked */
	/* Headers of its answers; they must live until the end. */
	char texts[AWSSERVER_REQUESTS_MAX / 16][S3KIT_TEXT_MAX];
	size_t text_count;
};

static inline bool s3kit_fits(const struct s3kit_rule *r, const struct awsserver_request *q)
{
	return strcmp(r->method, q->method) == 0 && strstr(q->target, r->in_target);
}

static inline void s3kit_serve(struct s3kit *k, const struct awsserver_request *q,
			       struct awsserver_reply *reply)
{
	const struct s3kit_object *o = &k->object;
	const char *range = awsserver_header(q, "range");
	const char *match = awsserver_header(q, "if-match");
	char *text = k->texts[k->text_count++ % COUNT_OF(k->texts)];
	unsigned long long begin = 0, end = o->size ? o->size - 1 : 0;

	if (match && strcmp(match, o->etag) != 0) {
		reply->status = 412;
		return;
	}
	if (range && sscanf(range, "bytes=%llu-%llu", &begin, &end) == 2)
		reply->status = 206;
	snprintf(text, S3KIT_TEXT_MAX, "ETag: %s\r\nContent-Range: bytes %llu-%llu/%zu\r\n%s%s%s",
		 o->etag, begin, end, o->size, o->crc32 ? "x-amz-checksum-crc32: " : "",
		 o->crc32 ? o->crc32 : "", o->crc32 ? "\r\n" : "");
	reply->headers = text;
	reply->body = o->size ? o->bytes + begin : "";
	reply->body_size = o->size ? end - begin + 1 : 0;
}

static inline void s3kit_handle(void *ctx, const struct awsserver_request *q,
				struct awsserver_reply *reply)
{
	struct s3kit *k = ctx;

	for (size_t i = 0; i < k->rule_count; i++) {
		if (!s3kit_fits(&k->rules[i], q) ||
		    (k->rules[i].times && k->used[i] == k->rules[i].times))
			continue;
		k->used[i]++;
		*reply = k->rules[i].reply;
		return;
	}
	if (strcmp(q->method, "HEAD") == 0 &&
	    (strcmp(q->target, "/bucket/") == 0 || strcmp(q->target, "/bucket") == 0))
		reply->headers = "x-amz-bucket-region: us-east-1\r\n";
	else if (k->object.etag)
		s3kit_serve(k, q, reply);
	else
		reply->status = 418;
}

static inline void s3kit_open(struct s3kit *k, const struct s3kit_rule *rules, size_t count)
{
	struct err e = ERR_INIT;

	assert_true(count <= S3KIT_RULES_MAX);
	k->rules = rules;
	k->rule_count = count;
	k->server = awsserver_start();
	awsserver_handle(k->server, s3kit_handle, k);
	awsenv_set(&k->env, "AWS_ENDPOINT_URL_S3", awsserver_origin(k->server));
	awsenv_set(&k->env, "AWS_ACCESS_KEY_ID", "AKIDEXAMPLE");
	awsenv_set(&k->env, "AWS_SECRET_ACCESS_KEY", S3KIT_SECRET);
	awsenv_set(&k->env, "AWS_REGION", "us-east-1");
	awsenv_set(&k->env, "AWS_EC2_METADATA_DISABLED", "true");
	if (aws_open(awsenv_load(&k->env, NULL, NULL), clock_system(), &k->aws, &e) != 0)
		fail_msg("%s", e.text);
	aws_set_pause_unit(k->aws, 1000);
	k->options.bucket = "bucket";
	if (!k->options.part_size)
		k->options.part_size = S3KIT_PART;
	if (s3_open(k->aws, &k->options, &k->s3, &e) != 0)
		fail_msg("%s", e.text);
}

static inline void s3kit_close(struct s3kit *k)
{
	s3_close(k->s3);
	aws_close(k->aws);
	awsserver_stop(k->server);
}

/* How many requests of that kind were made. */
static inline unsigned s3kit_count(struct s3kit *k, const char *method, const char *in_target)
{
	const struct s3kit_rule like = {.method = method, .in_target = in_target};
	unsigned n = 0;

	for (unsigned i = 0; i < awsserver_count(k->server); i++)
		n += s3kit_fits(&like, awsserver_request(k->server, i));
	return n;
}

/* The nth of that kind, from 0; there must be one. */
static inline const struct awsserver_request *s3kit_find(struct s3kit *k, const char *method,
							 const char *in_target, unsigned nth)
{
	const struct s3kit_rule like = {.method = method, .in_target = in_target};

	for (unsigned i = 0; i < awsserver_count(k->server); i++) {
		const struct awsserver_request *q = awsserver_request(k->server, i);

		if (s3kit_fits(&like, q) && nth-- == 0)
			return q;
	}
	fail_msg("nobody asked %s %s", method, in_target);
	abort(); /* not reached, which gcc does not know */
}

static inline void s3kit_all_signed(struct s3kit *k)
{
	for (unsigned i = 0; i < awsserver_count(k->server); i++)
		assert_true(awsserver_is_signed(awsserver_request(k->server, i), S3KIT_SECRET));
}

#endif
