#ifndef BACKEND_AWS_CALL_PRIVATE_H
#define BACKEND_AWS_CALL_PRIVATE_H

/* What call.c, callsign.c, callretry.c and callbatch.c share. */

#include <pthread.h>

#include "backend/aws/call.h"
#include "backend/aws/sigv4.h"

#define CALL_ID_SIZE	   37  /* a UUID and NUL */
#define CALL_TOKENS_MAX	   500 /* of the bucket that retries are paid from */
#define CALL_TOKENS_RETRY  5
#define CALL_TOKENS_TIMEUP 10 /* a retry after a timeout */

struct aws {
	struct awsconfig *config;  /* owned */
	struct creds_chain *creds; /* owned; borrows config and wire */
	struct wire *wire;	   /* owned */
	struct clock *clock;	   /* borrowed */
	const char *ca_bundle;	   /* of config, or NULL */
	unsigned attempts;
	unsigned attempts_max; /* 0: none; also of requests that want more */
	long timeout_max_ms;   /* the same */
	int64_t pause_unit_ns;
	pthread_mutex_t mutex;
	int64_t skew_ns; /* the servers' clock less ours; of the mutex, as what follows */
	unsigned tokens;
	uint64_t seed;
	struct aws_counts counts;
};

/* --- call.c --- */

int64_t aws_skew_ns(struct aws *a);
void aws_set_skew_ns(struct aws *a, int64_t skew_ns);

/* True, and the bucket has so many fewer. */
bool aws_take_tokens(struct aws *a, unsigned count);
void aws_give_tokens(struct aws *a, unsigned count);

/* Between 0 and that. */
int64_t aws_random_ns(struct aws *a, int64_t top_ns);

/* Adds to the counts. */
void aws_count(struct aws *a, const struct aws_counts *more);

/* --- callbatch.c --- */

/* Of one attempt. */
long call_timeout_ms(const struct aws *a, const struct aws_request *q);

/* --- callsign.c: one attempt, ready to be sent --- */

struct callsign {
	char *url;		      /* owned */
	struct http_headers *headers; /* owned; holds secrets */
	bool direct;		      /* of this machine: no proxy */
};

void callsign_release(struct callsign *s);

/* Sets hash to what is signed for the body of q. */
void callsign_hash(const struct aws_request *q, char hash[SIGV4_HASH_SIZE]);

struct callsign_with {
	const struct creds *creds; /* NULL: signs nothing */
	const char *bearer;	   /* instead; or NULL */
	const char *hash;	   /* of callsign_hash() */
	const char *id;		   /* of the call */
	unsigned attempt, attempts;
	int64_t wall_ns;
};

/* -EINVAL: an origin or a header that cannot be sent; -ENOMEM. */
MUST_CHECK int callsign_make(const struct aws_request *q, const struct callsign_with *with,
			     struct callsign *ret, struct err *e);

/* Makes of each run of bytes in text that is part of the secret (NULL is fine)
 * as many '*': services repeat what they do not like. */
void callsign_hide(char *text, const char *secret);

/* --- callretry.c: what to do about an answer that is not good --- */

/* Of one call; begins as nothing. */
struct callretry {
	unsigned attempts; /* that count and have failed */
	unsigned paid;	   /* tokens, for the last retry */
	bool renewed, reclocked;
	int64_t skew_ns; /* with which the last attempt was signed */
};

struct callretry_answer {
	const struct aws_request *request;
	const char *key_id; /* that it was signed with; NULL: it was not */
	const struct http_answer *from;
	const struct aws_answer *answer; /* what is made of it */
};

/* True: ask again after *ret_pause_ns. */
bool callretry_again(struct aws *a, struct callretry *c, const struct callretry_answer *ask,
		     int64_t *ret_pause_ns);

/* After a good answer: what was paid comes back. */
void callretry_good(struct aws *a, const struct callretry *c);

unsigned callretry_attempts(const struct aws *a, const struct aws_request *q);

#endif
