#ifndef BACKEND_HTTP_RETRY_H
#define BACKEND_HTTP_RETRY_H

/*
 * What to do after an answer that is not good: whether to ask again, and how
 * long to wait.  Pure functions; time and chance are arguments.
 *
 * Classes (shared by all HTTP servers we know, hosted and local):
 *
 *	transport	no whole answer came	retry; counts for a breaker
 *	overloaded	429 503 529		retry as long as patience lasts
 *	transient	408 409 424 500 502 504	retry, a few attempts
 *	quota		402, 429 insufficient_quota	pause, tell the user
 *	permanent	all else		the record has failed
 *
 * The header x-should-retry (true or false), where a server sends it,
 * overrides what the status says.
 */

#include <stdint.h>

enum retry_class {
	RETRY_NONE, /* a good answer: nothing to retry */
	RETRY_TRANSPORT,
	RETRY_OVERLOADED,
	RETRY_TRANSIENT,
	RETRY_QUOTA,
	RETRY_PERMANENT,
};

#define RETRY_WISH_MAX_MS     (10 * 60 * 1000)
#define RETRY_BACKOFF_BASE_MS 500
#define RETRY_BACKOFF_CAP_MS  30000

/* "overloaded". */
const char *retry_class_name(enum retry_class c);

/* status: of the answer, 0 if none came.  code: the provider's own word for
 * the error (/error/code, /error/type or x-amzn-errortype), or NULL.
 * should_retry: the header's value, or NULL. */
enum retry_class retry_classify(long status, const char *code, const char *should_retry);

/* One header of the answer by its lower-case name; NULL if it is not there. */
typedef const char *retry_header_fn(void *ctx, const char *name);

/*
 * How long the server wishes us to wait, in milliseconds, at most
 * RETRY_WISH_MAX_MS; -1 if it does not say, or says nonsense.  The first of
 * these that is there and makes sense:
 *
 *	retry-after-ms			"1500.5"
 *	retry-after			"12", "0.5", or an HTTP date
 *	x-amz-retry-after		"1500", milliseconds
 *	x-ratelimit-reset-*		"6m0s", "1s", "250ms" (Go durations)
 *	anthropic-ratelimit-*-reset	"2026-11-21T01:37:04Z"
 *
 * Of several limits the ones with nothing remaining count, the latest of
 * them; if none says so, the one that resets first.
 */
int64_t retry_wish_ms(retry_header_fn *header, void *ctx, int64_t wall_ns);

/* Full jitter: a random time up to base * 2^n, n being the number of failures
 * before this one, and never above the cap.  seed: any number; it is changed. */
int64_t retry_backoff_ms(unsigned failures, uint64_t *seed);

/* The next number of a sequence that is good enough to spread retries out. */
uint64_t retry_random(uint64_t *seed);

#endif
