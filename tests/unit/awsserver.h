#ifndef TESTS_UNIT_AWSSERVER_H
#define TESTS_UNIT_AWSSERVER_H

/*
 * An HTTP server on loopback for tests of what talks to AWS: it answers as it
 * is told and keeps what it was asked.
 *
 *	static const struct awsserver_reply replies[] = {
 *		{.status = 429, .headers = "x-amz-retry-after: 1\r\n"},
 *		{.body = "{}"},
 *	};
 *	struct awsserver *s = awsserver_start();
 *	awsserver_script(s, replies, COUNT_OF(replies));
 *	... awsserver_origin(s) ...
 *	assert_int_equal(awsserver_count(s), 2);
 *	assert_true(awsserver_is_signed(awsserver_request(s, 0), secret));
 *	awsserver_stop(s);
 *
 * Threads: one of its own per connection; functions: the test's thread, or
 * any.  What it cannot do it says by abort().
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AWSSERVER_REQUESTS_MAX 4096

enum awsserver_how {
	AWSSERVER_ANSWER,
	AWSSERVER_RESET,  /* the connection, once the request was read */
	AWSSERVER_CUT,	  /* closes after half of the body */
	AWSSERVER_SILENT, /* says nothing until awsserver_stop() */
};

struct awsserver_reply {
	int status;	     /* 0: 200 */
	const char *headers; /* "Name: value\r\n" of each, or NULL */
	const char *body;    /* or NULL; of HEAD only its size is told */
	size_t body_size;    /* 0: strlen(body) */
	enum awsserver_how how;
	int64_t date_ns; /* the header Date; 0: none */
	unsigned gather; /* answer once so many are waiting for that: within 5 s */
};

struct awsserver_pair {
	char *name, *value;
};

/* Valid until awsserver_stop(). */
struct awsserver_request {
	char *method, *target; /* raw, with its query */
	struct awsserver_pair *headers;
	size_t header_count;
	char *body; /* NUL after it */
	size_t body_size;
	unsigned connection; /* the how-manieth it came on, from 0 */
};

struct awsserver;

struct awsserver *awsserver_start(void);
void awsserver_stop(struct awsserver *s); /* NULL is fine */
static inline void awsserver_stopp(struct awsserver **s)
{
	awsserver_stop(*s);
}

/* "http://127.0.0.1:PORT". */
const char *awsserver_origin(const struct awsserver *s);

/* Requests get these in turn, as they come; the last one again and again.
 * Borrowed until the next script or the stop. */
void awsserver_script(struct awsserver *s, const struct awsserver_reply *replies, size_t count);

/* Or a function decides, one request at a time, on a thread of the server (so
 * without assertions); what *reply points to must live until the stop. */
void awsserver_handle(struct awsserver *s,
		      void (*handle)(void *ctx, const struct awsserver_request *q,
				     struct awsserver_reply *reply),
		      void *ctx);

unsigned awsserver_count(struct awsserver *s); /* requests so far */
unsigned awsserver_connections(struct awsserver *s);
const struct awsserver_request *awsserver_request(struct awsserver *s, unsigned index);
void awsserver_forget(struct awsserver *s); /* what was asked so far */

/* The first of that name, any case; NULL. */
const char *awsserver_header(const struct awsserver_request *q, const char *name);

/* The signature (Version 4) is right: host, date and all x-amz-* are signed, the
 * body is the one whose hash was signed.  If not, the reason goes to stderr. */
bool awsserver_is_signed(const struct awsserver_request *q, const char *secret);

#endif
