#ifndef BACKEND_HTTP_HTTP_H
#define BACKEND_HTTP_HTTP_H

/*
 * Many HTTP requests at once from one thread.  The only user of libcurl.
 *
 *	http_client_new(&options, &c, e);
 *	http_submit(c, &request, e);		any number, up to calls_max
 *	while (http_client_count(c))
 *		http_step(c, 1000, cancel_fd);	calls request.done as answers come
 *	http_client_free(c);
 *
 * Connections are kept and used again.  No redirects are followed and no
 * scheme but http and https is spoken.  What a server sends is bounded by
 * answer_max (after decompression), how long it may take by timeout_ms.  Paths
 * go out as they are, dot segments and all.  POST and PUT without a body say
 * Content-Length: 0; no Content-Type goes out but the one that is given.
 *
 * Threads: a client belongs to one thread; different clients are independent.
 * Errors: 0 or -errno; *e, if given, is written on failure only.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/err.h"
#include "fs/base/macros.h"

#define HTTP_ANSWER_MAX		(64u * 1024 * 1024)
#define HTTP_CONNECT_TIMEOUT_MS 10000
#define HTTP_CALLS_MAX		1024
#define HTTP_WORDS_MAX		256

/* Once, before other threads exist; and at the very end. */
MUST_CHECK int http_global_init(struct err *e);
void http_global_cleanup(void);

/* Headers that many requests share; may hold secrets, and wipes them. */
struct http_headers;

MUST_CHECK int http_headers_new(struct http_headers **ret);
void http_headers_free(struct http_headers *h); /* NULL is fine */

/* -EINVAL: a name that is no token, or a value with control bytes. */
MUST_CHECK int http_headers_add(struct http_headers *h, const char *name, const char *value);
bool http_headers_has(const struct http_headers *h, const char *name);

/* What http_headers_add() would say. */
bool http_header_is_valid(const char *name, const char *value);

/* Why no whole answer came. */
enum http_failure {
	HTTP_ANSWERED, /* it did: see status */
	HTTP_REFUSED,  /* nothing listens there */
	HTTP_UNREACHABLE,
	HTTP_DNS, /* the host's name is not known */
	HTTP_TLS,
	HTTP_CONNECT_TIMEOUT,
	HTTP_TIMEOUT,	/* connected, and then no whole answer in time */
	HTTP_RESET,	/* connected, and then the connection was lost */
	HTTP_TOO_LARGE, /* more than answer_max */
	HTTP_BROKEN,	/* what came is not HTTP */
	HTTP_NO_MEMORY,
	HTTP_CANCELLED,
	HTTP_FAILURE_COUNT,
};

/* "refuses connections": goes after the server's name. */
const char *http_failure_words(enum http_failure f);

struct http_answer {
	enum http_failure failure;
	long status;	  /* 0 if none came */
	const char *body; /* what came of it, NUL after it; borrowed for the call */
	size_t size;
	char words[HTTP_WORDS_MAX]; /* of a failure, libcurl's words; may be empty */
	/* Of an answer that was made up (in a test): name, value, ..., NULL; else NULL. */
	const char *const *made_up_headers;
	void *private_;
};

/* The first header of that name (any case); NULL if it is not there.
 * Borrowed for the call. */
const char *http_answer_header(const struct http_answer *a, const char *name);

/* The header Date; false if there is none or it makes no sense. */
bool http_answer_date_ns(const struct http_answer *a, int64_t *ret_wall_ns);

struct http_request {
	const char *method;		    /* "POST" */
	const char *url;		    /* http:// or https:// */
	const char *unix_path;		    /* connect there instead; or NULL */
	bool direct;			    /* no proxy, whatever the environment says */
	const struct http_headers *headers; /* borrowed until done */
	const char *header_line;	    /* one more, "name: value", or NULL; until done */
	const char *body;		    /* borrowed until done, not copied; NULL: none */
	size_t body_size;
	bool as_stored;	       /* ask for no compression, and undo none */
	const char *ca_bundle; /* a file of PEM instead of the system's; or NULL */
	size_t answer_max;     /* 0: HTTP_ANSWER_MAX */
	long timeout_ms;       /* of the whole; 0: none */
	long stall_s;	       /* so long without a byte is too long; 0: it is not */
	/* On a connection of its own: on one that is used again libcurl sends a
	 * request a second time by itself if it was closed without an answer. */
	bool once;
	/* Called once, from http_step() or http_cancel_all(); may submit. */
	void (*done)(void *ctx, const struct http_answer *a);
	void *ctx;
};

struct http_client;

/* calls_max: under way at the same time, at most HTTP_CALLS_MAX. */
MUST_CHECK int http_client_new(unsigned calls_max, struct http_client **ret, struct err *e);

/* Closes all connections; what is under way is dropped without a word. */
void http_client_free(struct http_client *c);

/* Requests under way. */
unsigned http_client_count(const struct http_client *c);

/* Starts a request.  -EBUSY: calls_max are under way; -EINVAL: libcurl does
 * not take the URL; -ENOMEM. */
MUST_CHECK int http_submit(struct http_client *c, const struct http_request *r, struct err *e);

/* Moves everything on; returns when an answer was delivered, extra_fd (or -1)
 * is readable, or timeout_ms (-1: a long time) has passed.  -EIO: libcurl
 * cannot go on. */
MUST_CHECK int http_step(struct http_client *c, int timeout_ms, int extra_fd);

/* Ends all requests with HTTP_CANCELLED and closes their connections; done()
 * must not submit then. */
void http_cancel_all(struct http_client *c);

#endif
