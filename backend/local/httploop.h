#ifndef BACKEND_LOCAL_HTTPLOOP_H
#define BACKEND_LOCAL_HTTPLOOP_H

/*
 * What the two halves of the http engine share: httpengine.c takes records
 * and sends requests, httpanswer.c decides what answers lead to.  Nobody else
 * includes this.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/http/breaker.h"
#include "backend/http/http.h"
#include "backend/http/window.h"
#include "backend/local/engine.h"
#include "backend/local/feed.h"
#include "backend/local/httpshape.h"
#include "fs/base/buf.h"

struct httploop;

/* A record under way: waiting until due_ns, or sent. */
struct httpitem {
	struct httploop *loop;
	struct feed_record *record;   /* NULL: this item is free */
	struct buf body, header_line; /* made when it is first sent */
	bool sent;
	int64_t first_ns, sent_ns; /* when it was sent first and last; 0: not yet */
	int64_t due_ns;
	unsigned attempts; /* that count towards max_attempts */
	unsigned failures; /* all, for the backoff */
};

struct httploop {
	const struct engine_job *job; /* borrowed, as are the next */
	struct feed *feed;
	struct http_client *client;   /* owned, as are the next */
	struct http_headers *headers; /* replaced only while nothing is in flight */
	struct httpshape shape;
	struct httpitem *items; /* owned; item_count of them */
	size_t item_count, held;
	struct window window;
	struct breaker breaker;
	bool drained;
	bool any_good;	    /* this server has answered well in this run */
	bool reason_shown;  /* feed_pause() says something */
	unsigned forbidden; /* 403 and 404 in a row */
	int64_t hold_ns;    /* the server wants nothing before then */
	int64_t rate_ns;    /* nor does the rate */
	int64_t pace_ns;    /* between two requests; 0: any */
	uint64_t seed;
	uint64_t max_attempts;
	int64_t give_up_ns;
	long timeout_ms;
};

static inline int64_t httploop_now(const struct httploop *l)
{
	return clock_mono_ns(l->job->clock);
}

/* Takes the record out of the item, which is free then. */
struct feed_record *httpitem_take(struct httpitem *it);

void httpitem_give_bad(struct httpitem *it, const char *code, const char *message, bool retryable);

/* Waits at least ms; the backoff may make it longer. */
void httpitem_wait(struct httpitem *it, int64_t ms);

/* The key cannot be used: counts as a refusal by the server. */
void httploop_no_key(struct httploop *l, const char *reason);

/* http_request's done(); ctx is the item. */
void httploop_on_done(void *ctx, const struct http_answer *a);

#endif
