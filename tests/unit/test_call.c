/* Calls of AWS: what goes out, what is asked again and what is not, and what
 * is said of it. */

#include "backend/aws/call.h"

#include <errno.h>
#include <string.h>

#include "tests/unit/awskit.h"

#define WORDS "{\"message\":\"words\"}"
#define ID    "x-amzn-RequestId: 0d1f\r\n"

/* --- what goes out --- */

static void test_what_is_sent(void **state)
{
	static const struct {
		const char *why, *method, *service, *path, *query, *body, *base, *target;
		enum aws_auth auth;
	} rows[] = {
		{"an ARN in the path", "GET", "bedrock", "/job/arn%3Aaws%2Fx", NULL, NULL, "",
		 "/job/arn%3Aaws%2Fx", AWS_AUTH_SIGV4},
		{"a query", "GET", "bedrock", "/jobs", "b=%3A&a=1", NULL, "", "/jobs?b=%3A&a=1",
		 AWS_AUTH_SIGV4},
		{"a body", "POST", "bedrock", "/job", NULL, "{\"a\":1}", "", "/job",
		 AWS_AUTH_SIGV4},
		{"an empty body", "POST", "bedrock", "/job/stop", "", NULL, "", "/job/stop",
		 AWS_AUTH_SIGV4},
		{"no bearer: signed", "GET", "bedrock", "/jobs", NULL, NULL, "", "/jobs",
		 AWS_AUTH_BEARER},
		{"an object's part", "PUT", "s3", "/k%20x", "partNumber=1&uploadId=u", "bytes", "",
		 "/k%20x?partNumber=1&uploadId=u", AWS_AUTH_S3},
		{"an empty object", "PUT", "s3", "/k", NULL, NULL, "", "/k", AWS_AUTH_S3},
		{"a bucket in the path", "GET", "s3", "/k", NULL, NULL, "/bucket", "/bucket/k",
		 AWS_AUTH_S3},
		{"dots in a key", "GET", "s3", "/a/../b/./c//d", NULL, NULL, "", "/a/../b/./c//d",
		 AWS_AUTH_S3},
		{"to delete", "DELETE", "s3", "/k", NULL, NULL, "", "/k", AWS_AUTH_S3},
	};
	struct awskit k;

	(void)state;
	awskit_begin(&k);
	awsenv_set(&k.env, "AWS_SESSION_TOKEN", AWSKIT_TOKEN);
	awskit_open(&k);
	for (unsigned i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(aws_answer_release) struct aws_answer a = AWS_ANSWER_INIT;
		struct aws_request q = awskit_request(&k);
		const struct awsserver_request *got;
		const char *length;
		char origin[128];

		snprintf(origin, sizeof(origin), "%s%s", q.origin, rows[i].base);
		q.origin = origin;
		q.method = rows[i].method;
		q.service = rows[i].service;
		q.path = rows[i].path;
		q.query = rows[i].query;
		q.body = rows[i].body;
		q.body_size = rows[i].body ? strlen(rows[i].body) : 0;
		q.auth = rows[i].auth;
		q.headers[1] = (struct aws_header){"X-Amz-Checksum-Crc32", "NjowIA=="};
		assert_int_equal(aws_run(k.aws, &q, &a, NULL), 0);
		got = awskit_signed(&k, i);
		if (strcmp(got->target, rows[i].target) != 0 ||
		    strcmp(got->method, rows[i].method) != 0 || got->body_size != q.body_size)
			fail_msg("%s: %s %s", rows[i].why, got->method, got->target);
		assert_string_equal(awsserver_header(got, "x-amz-security-token"), AWSKIT_TOKEN);
		assert_string_equal(awsserver_header(got, "amz-sdk-request"), "attempt=1; max=3");
		assert_int_equal(strlen(awsserver_header(got, "amz-sdk-invocation-id")), 36);
		assert_string_equal(awsserver_header(got, "x-amz-date"), "20260102T030405Z");
		assert_true(!awsserver_header(got, "x-amz-content-sha256") ==
			    (q.auth != AWS_AUTH_S3));
		assert_true(!awsserver_header(got, "accept-encoding") == (q.auth == AWS_AUTH_S3));
		length = awsserver_header(got, "content-length");
		if (*q.method == 'P' && !length)
			fail_msg("%s: no Content-Length", rows[i].why);
	}
	assert_int_equal(awsserver_connections(k.server), 1);
	assert_int_equal(aws_counts(k.aws).requests, COUNT_OF(rows));
	assert_int_equal(aws_counts(k.aws).sent_bytes, 7 + 5);
	awskit_end(&k);
}

/* What is not signed is what TLS protects: not here. */
static void test_payload_hash(void **state)
{
	CLEANUP(aws_answer_release) struct aws_answer a = AWS_ANSWER_INIT;
	struct aws_request q;
	struct awskit k;

	(void)state;
	awskit_start(&k);
	q = awskit_request(&k);
	q.service = "s3";
	q.auth = AWS_AUTH_S3;
	q.payload_hash = "UNSIGNED-PAYLOAD";
	assert_int_equal(aws_run(k.aws, &q, &a, NULL), 0);
	assert_string_not_equal(awsserver_header(awskit_signed(&k, 0), "x-amz-content-sha256"),
				"UNSIGNED-PAYLOAD");
	awskit_end(&k);
}

static void test_bearer(void **state)
{
	CLEANUP(aws_answer_release) struct aws_answer a = AWS_ANSWER_INIT;
	CLEANUP(aws_answer_release) struct aws_answer b = AWS_ANSWER_INIT;
	const struct awsserver_request *got;
	struct aws_request q;
	struct awskit k;

	(void)state;
	awskit_begin(&k);
	awsenv_set(&k.env, "AWS_BEARER_TOKEN_BEDROCK", "ABSKexample");
	awsenv_set(&k.env, "AWS_ACCESS_KEY_ID", NULL);
	awsenv_set(&k.env, "AWS_SECRET_ACCESS_KEY", NULL);
	awskit_open(&k);
	q = awskit_request(&k);
	q.auth = AWS_AUTH_BEARER;
	assert_int_equal(aws_run(k.aws, &q, &a, NULL), 0);
	got = awsserver_request(k.server, 0);
	assert_string_equal(awsserver_header(got, "authorization"), "Bearer ABSKexample");
	assert_null(awsserver_header(got, "x-amz-date"));
	q.auth = AWS_AUTH_NONE;
	aws_answer_release(&a);
	assert_int_equal(aws_run(k.aws, &q, &a, NULL), 0);
	assert_null(awsserver_header(awsserver_request(k.server, 1), "authorization"));
	/* And for S3 there is nobody. */
	q.auth = AWS_AUTH_S3;
	assert_int_equal(aws_run(k.aws, &q, &b, NULL), -ENOKEY);
	assert_int_equal(b.error.class, ERRMAP_DENIED);
	assert_int_equal(awsserver_count(k.server), 2);
	awskit_end(&k);
}

static void test_answer(void **state)
{
	static const struct awsserver_reply replies[] = {
		{.status = 206,
		 .headers = "x-amz-request-id: ID1\r\nETag: \"e-1\"\r\n"
			    "Content-Range: bytes 0-4/10\r\nx-amz-bucket-region: eu-west-1\r\n"
			    "x-amz-checksum-crc32: NjowIA==\r\nContent-Encoding: gzip\r\n",
		 .body = "hel\0o",
		 .body_size = 5},
	};
	CLEANUP(aws_answer_release) struct aws_answer a = AWS_ANSWER_INIT;
	CLEANUP(aws_answer_release) struct aws_answer b = AWS_ANSWER_INIT;
	struct aws_request q;
	struct awskit k;

	(void)state;
	awskit_start(&k);
	awsserver_script(k.server, replies, COUNT_OF(replies));
	q = awskit_request(&k);
	q.auth = AWS_AUTH_S3;
	q.method = "GET";
	q.body = NULL;
	q.body_size = 0;
	assert_int_equal(aws_run(k.aws, &q, &a, NULL), 0);
	assert_int_equal(a.status, 206);
	assert_int_equal(a.body_size, 5);
	assert_memory_equal(a.body, "hel\0o", 6); /* as stored, gzip or not */
	assert_string_equal(a.request_id, "ID1");
	assert_string_equal(a.etag, "\"e-1\"");
	assert_string_equal(a.content_range, "bytes 0-4/10");
	assert_string_equal(a.bucket_region, "eu-west-1");
	assert_string_equal(a.checksum_crc32, "NjowIA==");
	assert_int_equal(a.content_length, 5);
	assert_int_equal(aws_counts(k.aws).received_bytes, 5);
	q.method = "HEAD";
	assert_int_equal(aws_run(k.aws, &q, &b, NULL), 0);
	assert_int_equal(b.content_length, 5);
	assert_int_equal(b.body_size, 0);
	assert_string_equal(awskit_signed(&k, 1)->method, "HEAD");
	awskit_end(&k);
}

/* --- what is asked again --- */

#define GOOD                                                                                       \
	{                                                                                          \
		.body = "{}"                                                                       \
	}
#define STATUS(n)                                                                                  \
	{                                                                                          \
		.status = (n)                                                                      \
	}
#define TYPE(n, t)                                                                                 \
	{                                                                                          \
		.status = (n), .headers = ID "x-amzn-ErrorType: " t "\r\n", .body = WORDS          \
	}
#define LOST                                                                                       \
	{                                                                                          \
		.how = AWSSERVER_RESET                                                             \
	}
#define HALF                                                                                       \
	{                                                                                          \
		.how = AWSSERVER_CUT, .body = "0123456789"                                         \
	}
#define WISH                                                                                       \
	{                                                                                          \
		.status = 503, .headers = "x-amz-retry-after: 1\r\n"                               \
	}
#define AWAY                                                                                       \
	{                                                                                          \
		.status = 301, .headers = "x-amz-bucket-region: eu-west-1\r\n"                     \
	}

static const struct {
	const char *why;
	struct awsserver_reply replies[4]; /* the last one goes on */
	int r;
	enum errmap_class class;
	unsigned asked;
	const char *words; /* in the error */
	bool maybe_done;
	bool once;
	unsigned attempts;
} retries[] = {
	{"throttled, then good", {STATUS(429), GOOD}, 0, ERRMAP_OK, 2, ""},
	{"throttled as 400", {TYPE(400, "ThrottlingException"), GOOD}, 0, ERRMAP_OK, 2, ""},
	{"throttled, and once only", {STATUS(429), GOOD}, 0, ERRMAP_OK, 2, "", .once = true},
	{"throttled for ever",
	 {TYPE(429, "Throttling")},
	 -EAGAIN,
	 ERRMAP_THROTTLED,
	 3,
	 "Throttling: words (request 0d1f)",
	 .once = true},
	{"the server's wish", {WISH, GOOD}, 0, ERRMAP_OK, 2, ""},
	{"internal errors, then good", {STATUS(500), STATUS(502), GOOD}, 0, ERRMAP_OK, 3, ""},
	{"an internal error, and once only",
	 {STATUS(500)},
	 -EAGAIN,
	 ERRMAP_TRANSIENT,
	 1,
	 "status 500",
	 true,
	 .once = true},
	{"lost, then good", {LOST, GOOD}, 0, ERRMAP_OK, 2, ""},
	{"lost for ever",
	 {LOST},
	 -EAGAIN,
	 ERRMAP_TRANSPORT,
	 3,
	 "closes connections without a whole answer",
	 true},
	{"lost, and once only", {LOST}, -EAGAIN, ERRMAP_TRANSPORT, 1, "closes", true, .once = true},
	{"half a body, then good", {HALF, GOOD}, 0, ERRMAP_OK, 2, ""},
	{"half a body for ever", {HALF}, -EAGAIN, ERRMAP_TRANSPORT, 3, "whole answer", true},
	{"as many attempts as asked for",
	 {STATUS(500)},
	 -EAGAIN,
	 ERRMAP_TRANSIENT,
	 5,
	 "",
	 true,
	 .attempts = 5},
	{"a single attempt", {STATUS(429)}, -EAGAIN, ERRMAP_THROTTLED, 1, "", .attempts = 1},
	{"lost and then refused: it may have been acted on",
	 {LOST, TYPE(400, "ConflictException")},
	 -EEXIST,
	 ERRMAP_CONFLICT,
	 2,
	 "ConflictException: words",
	 true},
	{"refused",
	 {TYPE(400, "ValidationException")},
	 -EINVAL,
	 ERRMAP_INVALID,
	 1,
	 "ValidationException: words (request 0d1f)"},
	{"denied", {TYPE(403, "AccessDeniedException")}, -EACCES, ERRMAP_DENIED, 1, "words"},
	{"not there", {STATUS(404)}, -ENOENT, ERRMAP_NOT_FOUND, 1, "status 404"},
	{"full", {TYPE(400, "ServiceQuotaExceededException")}, -EBUSY, ERRMAP_QUOTA, 1, "words"},
	{"elsewhere", {AWAY}, -EXDEV, ERRMAP_REDIRECT, 1, "status 301"},
	{"changed", {STATUS(412)}, -ESTALE, ERRMAP_PRECONDITION, 1, "status 412"},
};

static void test_retries(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(retries); i++) {
		CLEANUP(aws_answer_release) struct aws_answer a = AWS_ANSWER_INIT;
		struct err e = ERR_INIT;
		struct aws_request q;
		struct awskit k;
		size_t count = 1;
		int r;

		while (count < 4 &&
		       (retries[i].replies[count].status || retries[i].replies[count].body))
			count++;
		awskit_start(&k);
		awsserver_script(k.server, retries[i].replies, count);
		q = awskit_request(&k);
		q.query = "secret=query";
		q.once = retries[i].once;
		q.attempts = retries[i].attempts;
		r = aws_run(k.aws, &q, &a, &e);
		if (r != retries[i].r || a.error.class != retries[i].class ||
		    a.maybe_done != retries[i].maybe_done ||
		    awsserver_count(k.server) != retries[i].asked)
			fail_msg("%s: %d %s maybe_done=%d asked=%u: %s", retries[i].why, r,
				 errmap_class_name(a.error.class), a.maybe_done,
				 awsserver_count(k.server), e.text);
		if (!strstr(e.text, retries[i].words) || strstr(e.text, "query") ||
		    (r < 0 && !strstr(e.text, "/model-invocation-job: ")))
			fail_msg("%s: %s", retries[i].why, e.text);
		for (unsigned n = 0; n < awsserver_count(k.server); n++) {
			const struct awsserver_request *got = awskit_signed(&k, n);
			char attempt[64];

			snprintf(attempt, sizeof(attempt), "attempt=%u; max=%u", n + 1,
				 q.attempts ? q.attempts : 3);
			assert_string_equal(awsserver_header(got, "amz-sdk-request"), attempt);
			assert_string_equal(awsserver_header(got, "amz-sdk-invocation-id"),
					    awsserver_header(awsserver_request(k.server, 0),
							     "amz-sdk-invocation-id"));
		}
		assert_int_equal(aws_counts(k.aws).retries, retries[i].asked - 1);
		awskit_end(&k);
	}
}

static void test_nobody_listens(void **state)
{
	CLEANUP(aws_answer_release) struct aws_answer a = AWS_ANSWER_INIT;
	struct err e = ERR_INIT;
	struct aws_request q;
	struct awskit k;

	(void)state;
	awskit_start(&k);
	q = awskit_request(&k);
	q.once = true;
	q.origin = "http://127.0.0.1:1";
	assert_int_equal(aws_run(k.aws, &q, &a, &e), -EAGAIN);
	assert_int_equal(a.error.class, ERRMAP_UNSENT);
	assert_false(a.maybe_done);
	assert_int_equal(aws_counts(k.aws).requests, 3);
	assert_non_null(strstr(e.text, "refuses connections"));
	awskit_end(&k);
}

/* Certificates of the file that was named, or none at all. */
static void test_no_ca_bundle(void **state)
{
	CLEANUP(aws_answer_release) struct aws_answer a = AWS_ANSWER_INIT;
	struct err e = ERR_INIT;
	struct aws_request q;
	char origin[128];
	struct awskit k;

	(void)state;
	awskit_begin(&k);
	awsenv_set(&k.env, "AWS_CA_BUNDLE", "/no/such/bundle.pem");
	awskit_open(&k);
	q = awskit_request(&k);
	snprintf(origin, sizeof(origin), "https%s", q.origin + strlen("http"));
	q.origin = origin;
	assert_int_equal(aws_run(k.aws, &q, &a, &e), -EAGAIN);
	assert_int_equal(a.error.class, ERRMAP_UNSENT);
	assert_non_null(strstr(e.text, "cannot be talked to over TLS"));
	assert_non_null(strstr(e.text, "/no/such/bundle.pem"));
	awskit_end(&k);
}

static void test_timeout(void **state)
{
	static const struct awsserver_reply replies[] = {{.how = AWSSERVER_SILENT}};
	CLEANUP(aws_answer_release) struct aws_answer a = AWS_ANSWER_INIT;
	struct err e = ERR_INIT;
	struct aws_request q;
	struct awskit k;

	(void)state;
	awskit_start(&k);
	awsserver_script(k.server, replies, 1);
	q = awskit_request(&k);
	q.timeout_ms = 250; /* a loaded machine must get to send it */
	assert_int_equal(aws_run(k.aws, &q, &a, &e), -EAGAIN);
	assert_int_equal(a.error.class, ERRMAP_TRANSPORT);
	assert_true(a.maybe_done);
	assert_int_equal(awsserver_count(k.server), 3);
	assert_non_null(strstr(e.text, "does not answer in time"));
	awskit_end(&k);
}

/* Somebody waits at a terminal: whatever a request wants. */
static void test_patience(void **state)
{
	static const struct awsserver_reply replies[] = {{.how = AWSSERVER_SILENT}};
	CLEANUP(aws_answer_release) struct aws_answer a = AWS_ANSWER_INIT;
	struct aws_request q;
	struct awskit k;

	(void)state;
	awskit_start(&k);
	awsserver_script(k.server, replies, 1);
	aws_set_patience(k.aws, 2, 250);
	q = awskit_request(&k);
	q.timeout_ms = 600000;
	q.attempts = 7;
	assert_int_equal(aws_run(k.aws, &q, &a, NULL), -EAGAIN);
	assert_int_equal(awsserver_count(k.server), 2);
	awskit_end(&k);
}

static void test_an_answer_too_large(void **state)
{
	static const struct awsserver_reply replies[] = {{.body = "0123456789"}};
	CLEANUP(aws_answer_release) struct aws_answer a = AWS_ANSWER_INIT;
	struct err e = ERR_INIT;
	struct aws_request q;
	struct awskit k;

	(void)state;
	awskit_start(&k);
	awsserver_script(k.server, replies, 1);
	q = awskit_request(&k);
	q.answer_max = 9;
	assert_int_equal(aws_run(k.aws, &q, &a, &e), -EINVAL);
	assert_true(a.maybe_done);
	assert_int_equal(awsserver_count(k.server), 1);
	awskit_end(&k);
}

/* The bucket of tokens is the mount's: when all is broken, retries end. */
static void test_tokens(void **state)
{
	static const struct awsserver_reply bad[] = {{.status = 500}}, good[] = {{.status = 200}};
	struct aws_request q;
	unsigned asked;
	struct awskit k;

	(void)state;
	awskit_start(&k);
	awsserver_script(k.server, bad, 1);
	q = awskit_request(&k);
	for (unsigned i = 0; i < 60; i++) {
		CLEANUP(aws_answer_release) struct aws_answer a = AWS_ANSWER_INIT;

		assert_int_equal(aws_run(k.aws, &q, &a, NULL), -EAGAIN);
	}
	assert_int_equal(awsserver_count(k.server), 60 + 500 / 5);
	awsserver_script(k.server, good, 1);
	for (unsigned i = 0; i < 5; i++) { /* each gives one back */
		CLEANUP(aws_answer_release) struct aws_answer a = AWS_ANSWER_INIT;

		assert_int_equal(aws_run(k.aws, &q, &a, NULL), 0);
	}
	asked = awsserver_count(k.server);
	awsserver_script(k.server, bad, 1);
	for (unsigned i = 0; i < 2; i++) {
		CLEANUP(aws_answer_release) struct aws_answer a = AWS_ANSWER_INIT;

		assert_int_equal(aws_run(k.aws, &q, &a, NULL), -EAGAIN);
	}
	assert_int_equal(awsserver_count(k.server), asked + 3);
	awskit_end(&k);
}

/* --- what cannot be asked --- */

static void test_bad_requests(void **state)
{
	static const struct {
		const char *why, *origin, *path, *query, *value;
		int r;
	} rows[] = {
		{"nothing wrong", NULL, "/a", NULL, "v", 0},
		{"no scheme", "bedrock", "/", NULL, "v", -EINVAL},
		{"no host", "http://", "/", NULL, "v", -EINVAL},
		{"another scheme", "ftp://127.0.0.1", "/", NULL, "v", -EINVAL},
		{"a user in it", "http://u@127.0.0.1", "/", NULL, "v", -EINVAL},
		{"half an escape in the query", NULL, "/", "a=%2", "v", -EINVAL},
		{"a line break in a header", NULL, "/", NULL, "v\r\nx: y", -EINVAL},
	};
	struct awskit k;

	(void)state;
	awskit_start(&k);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(aws_answer_release) struct aws_answer a = AWS_ANSWER_INIT;
		struct aws_request q = awskit_request(&k);
		struct err e = ERR_INIT;
		int r;

		q.origin = rows[i].origin ? rows[i].origin : q.origin;
		q.path = rows[i].path;
		q.query = rows[i].query;
		q.headers[1] = (struct aws_header){"x-value", rows[i].value};
		r = aws_run(k.aws, &q, &a, &e);
		if (r != rows[i].r || (r < 0 && a.error.class != ERRMAP_INVALID))
			fail_msg("%s: %d %s", rows[i].why, r, e.text);
		assert_true(!e.text[0] == (r == 0));
	}
	assert_int_equal(awsserver_count(k.server), 1);
	awskit_end(&k);
}

static void test_settings(void **state)
{
	static const struct {
		const char *attempts;
		int r;
		unsigned asked;
	} rows[] = {{"1", 0, 1}, {"7", 0, 7}, {"0", -EINVAL, 0}, {"many", -EINVAL, 0}};
	static const struct awsserver_reply bad[] = {{.status = 500}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(aws_answer_release) struct aws_answer a = AWS_ANSWER_INIT;
		struct err e = ERR_INIT;
		struct aws_request q;
		struct awskit k;

		awskit_begin(&k);
		awsenv_set(&k.env, "AWS_MAX_ATTEMPTS", rows[i].attempts);
		assert_int_equal(aws_open(awsenv_load(&k.env, NULL, NULL), &k.clock, &k.aws, &e),
				 rows[i].r);
		if (rows[i].r < 0) {
			assert_non_null(strstr(e.text, "AWS_MAX_ATTEMPTS"));
			awsserver_stop(k.server);
			continue;
		}
		assert_ptr_equal(aws_clock(k.aws), &k.clock);
		assert_string_equal(awsconfig_region(aws_config(k.aws)), "us-east-1");
		aws_set_pause_unit(k.aws, 0);
		awsserver_script(k.server, bad, 1);
		q = awskit_request(&k);
		assert_int_equal(aws_run(k.aws, &q, &a, &e), -EAGAIN);
		assert_int_equal(awsserver_count(k.server), rows[i].asked);
		awskit_end(&k);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_sent), cmocka_unit_test(test_payload_hash),
		cmocka_unit_test(test_bearer),	     cmocka_unit_test(test_answer),
		cmocka_unit_test(test_retries),	     cmocka_unit_test(test_nobody_listens),
		cmocka_unit_test(test_no_ca_bundle), cmocka_unit_test(test_timeout),
		cmocka_unit_test(test_patience),     cmocka_unit_test(test_an_answer_too_large),
		cmocka_unit_test(test_tokens),	     cmocka_unit_test(test_bad_requests),
		cmocka_unit_test(test_settings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
