#ifndef BACKEND_AWS_CALL_H
#define BACKEND_AWS_CALL_H

/*
 * Signed calls to AWS services: signing, retries, renewal of credentials,
 * correction of our clock.  Above it are the services (s3.h, control.h).
 *
 * Retries as the SDKs' standard mode: 3 attempts in all (AWS_MAX_ATTEMPTS),
 * full jitter up to 2^n and 20 s, a server's wish honoured, and a bucket of
 * 500 tokens for the whole mount, so that a broken network is not hammered.
 * What may have been acted on is not repeated if the request says so (once).
 * Each attempt is signed anew, with the credentials and the time of then.
 * Credentials that are refused are renewed, and a clock that is off by the
 * answer's Date is corrected, each once in a call and not counted.
 *
 * Redirects are not followed: the host is part of what is signed, and of a
 * bucket's name.  The call ends with -EXDEV, and error.region if it was told.
 *
 * Threads: any; calls block.  Errors: 0 or -errno as errmap_errno() has it;
 * what creds_get() gives, if there are no credentials; -EINVAL: a request that
 * cannot be made; -ECANCELED once aws_cancel() was called; -ENOMEM; -EIO.  *e:
 * what was asked, of whom, what it said, and the request id; no query, and
 * never a secret, though the service should repeat it.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/aws/awsconfig.h"
#include "backend/aws/creds.h"
#include "backend/aws/errmap.h"
#include "backend/aws/wire.h"
#include "fs/base/clock.h"
#include "fs/base/err.h"
#include "fs/base/macros.h"

struct aws;

/* config is taken over, in failure too: STEAL it; clock borrowed until
 * aws_close().  -EINVAL: a setting that makes no sense. */
MUST_CHECK int aws_open(struct awsconfig *config, struct clock *clock, struct aws **ret,
			struct err *e);
void aws_close(struct aws *a); /* NULL is fine; no call may be under way */

/* Ends calls and pauses under way, and all later ones, with -ECANCELED. */
void aws_cancel(struct aws *a);

/* Borrowed until aws_close(). */
const struct awsconfig *aws_config(const struct aws *a);
struct creds_chain *aws_creds(struct aws *a);
struct wire *aws_wire(struct aws *a);
struct clock *aws_clock(const struct aws *a);
/* The services' time, as far as they have told that ours is another. */
int64_t aws_wall_ns(struct aws *a);

/* At most so many attempts of a call, and so long for each, whatever a request
 * says: somebody waits at a terminal.  Before the first call. */
void aws_set_patience(struct aws *a, unsigned attempts, long timeout_ms);

/* For tests: what the retries' second is. */
void aws_set_pause_unit(struct aws *a, int64_t ns);

/* What was asked so far, for metrics and benchmarks. */
struct aws_counts {
	uint64_t requests, retries, throttled;
	uint64_t sent_bytes, received_bytes; /* of bodies */
};
struct aws_counts aws_counts(struct aws *a);

enum aws_auth {
	AWS_AUTH_SIGV4,	 /* the path encoded twice */
	AWS_AUTH_S3,	 /* the path as sent, x-amz-content-sha256 */
	AWS_AUTH_BEARER, /* a Bedrock API key if there is one, else as SIGV4 */
	AWS_AUTH_NONE,
};

#define AWS_HEADERS_MAX 16
struct aws_header {
	const char *name, *value;
};

/* All strings are borrowed until the call has returned, or its done() has. */
struct aws_request {
	const char *method;
	const char *service;			    /* to sign for: "bedrock" */
	const char *region;			    /* to sign for */
	const char *origin;			    /* endpoint.h: "https://host[:port][/base]" */
	const char *path;			    /* percent-encoded, begins with '/' */
	const char *query;			    /* percent-encoded, without '?'; or NULL */
	struct aws_header headers[AWS_HEADERS_MAX]; /* up to the first without a name */
	const void *body;
	size_t body_size;
	const char *payload_hash; /* NULL: SHA-256 of the body, and so of UNSIGNED-PAYLOAD
				     where the origin is not https */
	enum aws_auth auth;
	bool once;	   /* not to be repeated if it may have been acted on */
	bool may_lie;	   /* S3: a 200 may hold an <Error>; see errmap.h */
	size_t answer_max; /* 0: HTTP_ANSWER_MAX */
	/* Of one attempt; 0: 60 s, and 1 s per 8 KiB of body and answer_max, but
	 * three minutes without a byte end it as well. */
	long timeout_ms;
	long stall_s;	   /* so long without a byte is too long; 0: large ones only, minutes */
	unsigned attempts; /* 0: as configured */
	/* Attempts for minutes rather than seconds, and not paid for from the
	 * bucket: nobody waits, and what is asked for is worth it.  What the
	 * service gave up on itself (408) is not asked for much longer. */
	bool patient;
	/* Of aws_run(): as that of aws_batch. */
	const atomic_bool *cancel;
};

#define AWS_TEXT_MAX 256

struct aws_answer {
	long status;
	struct errmap error; /* class ERRMAP_OK, or what went wrong last */
	bool maybe_done;     /* failed, and yet it may have been acted on */
	const char *body;    /* aws_run(): owned by the answer; aws_batch: until done() returns */
	size_t body_size;
	char request_id[AWS_TEXT_MAX];
	char etag[AWS_TEXT_MAX];	  /* as sent, with its quotes; or empty */
	char content_range[AWS_TEXT_MAX]; /* or empty */
	char bucket_region[64];		  /* x-amz-bucket-region, or empty */
	char checksum_crc32[32];	  /* x-amz-checksum-crc32, or empty */
	int64_t content_length;		  /* of HEAD too; -1: not told */
	struct buf owned_;
};

#define AWS_ANSWER_INIT                                                                            \
	{                                                                                          \
		.content_length = -1, .owned_ = BUF_INIT(0)                                        \
	}

void aws_answer_release(struct aws_answer *a);

/* One call.  *ret is filled on failure too (error, status), and the caller's
 * to release either way. */
MUST_CHECK int aws_run(struct aws *a, const struct aws_request *q, struct aws_answer *ret,
		       struct err *e);

/*
 * Many calls from one thread, some at once.  next() is asked for another
 * request as long as it returns 1 (0: no more, AWS_BATCH_LATER: none before the
 * next done(), -errno: give up); done() takes
 * each answer, in any order; r and e are what aws_run() would have given.
 * Returns 0, or the first negative value of next() or done(); what is under
 * way then is cancelled, and its done() called with -ECANCELED: each request
 * that next() gave gets its done().  -ECANCELED after aws_cancel().
 *
 * In done(), e says at first what became of the call, and at its end why it
 * returned a negative value.  It may make other calls; the batch's own wait.
 *
 * tick(), if given, is called every tick_ms or so, and after each answer: 0 to go
 * on, 1 to wind up: no attempt leaves any more, a request that is not on its way
 * just now is done with -ECANCELED, and those that are get their answers.
 *
 * A throttled answer halves how many go at once, a run of good ones adds one.
 */
#define AWS_BATCH_LATER 2
struct aws_batch {
	unsigned parallel; /* at most WIRE_CALLS_MAX */
	int (*next)(void *ctx, struct aws_request *ret, void **ret_tag, struct err *e);
	int (*done)(void *ctx, void *tag, int r, const struct aws_answer *answer, struct err *e);
	int (*tick)(void *ctx, struct err *e); /* 0, 1, -errno: give up */
	int tick_ms;
	/* Looked at some times a second: once it is true all ends with -ECANCELED.
	 * NULL: only aws_cancel() does that. */
	const atomic_bool *cancel;
	void *ctx;
};

MUST_CHECK int aws_run_batch(struct aws *a, const struct aws_batch *b, struct err *e);

#endif
