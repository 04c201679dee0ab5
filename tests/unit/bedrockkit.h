#ifndef TESTS_UNIT_BEDROCKKIT_H
#define TESTS_UNIT_BEDROCKKIT_H

/*
 * A bedrock: source over a server on loopback that knows a bucket and some
 * jobs: enough of S3 and of the control plane for tests of what is asked, in
 * which order, and what is made of the answers.
 *
 *	struct bedrockkit k;
 *	bedrockkit_open(&k, "role=...", "create_grace=60", NULL);
 *	bedrockkit_add_job(&k, (struct bedrockkit_job){.id = "ab12cd34ef56", ...});
 *	... k.b->ops->poll(k.b, ...) ...
 *	bedrockkit_close(&k);
 *
 * Rules come before all else: the first that fits and is not used up answers.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/aws/bedrock_private.h"
#include "tests/unit/awsserver.h"

#define BEDROCKKIT_ROLE	   "arn:aws:iam::111122223333:role/BatchRole"
#define BEDROCKKIT_ARN	   "arn:aws:bedrock:us-east-1:111122223333:model-invocation-job/"
#define BEDROCKKIT_TOKEN   "bf-0123456789abcdef0123456789abcdef"
#define BEDROCKKIT_DIGITS  "0123456789abcdef0123456789abcdef"
#define BEDROCKKIT_SECRET  "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define BEDROCKKIT_WALL_S  1767323045 /* 2026-01-02T03:04:05Z */
#define BEDROCKKIT_JOBS	   20000
#define BEDROCKKIT_OBJECTS 256
#define BEDROCKKIT_RULES   16

struct bedrockkit_rule {
	const char *method, *in_target; /* in_target: stands somewhere in it */
	unsigned times;			/* 0: always */
	struct awsserver_reply reply;
};

struct bedrockkit_job {
	char id[16], name[64], token[64], status[24];
	int64_t submitted_s; /* since 1970 */
	const char *more;    /* further members, ",\"a\":1"; or NULL */
	bool unlisted;	     /* Get knows it, List does not (yet) */
	bool unknown;	     /* List has it, Get does not */
};

struct bedrockkit_object {
	char *key, *bytes;
	size_t size;
};

struct bedrockkit {
	struct awsserver *server;
	struct clock clock;
	struct backend *b;
	/* Of the server's thread, while something is asked. */
	struct bedrockkit_rule rules[BEDROCKKIT_RULES];
	unsigned used[BEDROCKKIT_RULES];
	size_t rule_count;
	struct bedrockkit_job *jobs;
	size_t job_count;
	size_t page_size;      /* of a list; 1000 */
	bool create_is_lost;   /* the job is made, and the connection then reset */
	bool create_is_late;   /* what is made is not listed yet */
	bool filter_is_broken; /* nameContains finds nothing */
	struct bedrockkit_object objects[BEDROCKKIT_OBJECTS];
	size_t object_count;
	atomic_uint missed_listings; /* so often an empty folder is answered first */
	char **texts;		     /* of answers, until the close */
	size_t text_count;
};

/* Options "key=value", NULL at the end; role is given if none is named. */
void bedrockkit_open(struct bedrockkit *k, ...);
void bedrockkit_close(struct bedrockkit *k);

void bedrockkit_rule(struct bedrockkit *k, const char *method, const char *in_target,
		     unsigned times, struct awsserver_reply reply);
void bedrockkit_add_job(struct bedrockkit *k, struct bedrockkit_job j);
void bedrockkit_put(struct bedrockkit *k, const char *key, const char *text);
const struct bedrockkit_object *bedrockkit_object(struct bedrockkit *k, const char *key);

unsigned bedrockkit_count(struct bedrockkit *k, const char *method, const char *in_target);
const struct awsserver_request *bedrockkit_find(struct bedrockkit *k, const char *method,
						const char *in_target, unsigned nth);
/* All that was asked is signed, and names no secret. */
void bedrockkit_check_signed(struct bedrockkit *k);

#endif
