#include <stdarg.h>
#include <string.h>

#include "backend/http/retry.h"
#include "backend/local/httploop.h"
#include "backend/text.h"

/*
 * What an answer leads to is decided here and nowhere else:
 *
 *	good				feed_good
 *	no connection			wait; 5 in a row open the breaker
 *	connection lost, 502, 504	as above, and an attempt of the record's
 *	401; 403, 404 before any good	the breaker opens at once
 *	402, no quota			the same
 *	429, 503, 529			smaller window, wait, until give_up_s
 *	408, 409, 424, 500 ...		wait, an attempt of the record's
 *	all else			feed_bad
 *
 * No record is given up for want of a connection; one whose connections were
 * lost while the breaker was open is, after give_up_s, since it may be this
 * record that makes the server fall over.
 */

#define SHOWN_WISH_MS	   10000 /* waits longer than that are told to the user */
#define FORBIDDEN_IN_A_ROW 5
#define MESSAGE_MAX	   (HTTPSHAPE_MESSAGE_MAX + HTTP_WORDS_MAX + 128)

/* Items. */

struct feed_record *httpitem_take(struct httpitem *it)
{
	struct feed_record *r = it->record;

	it->loop->held--;
	buf_release(&it->body);
	buf_release(&it->header_line);
	memset(it, 0, sizeof(*it));
	return r;
}

void httpitem_give_bad(struct httpitem *it, const char *code, const char *message, bool retryable)
{
	struct feed *f = it->loop->feed;

	feed_bad(f, httpitem_take(it), code, message, retryable);
}

static void give_good(struct httpitem *it, const struct http_answer *a)
{
	CLEANUP(buf_release) struct buf line, nothing;
	struct feed *f = it->loop->feed;
	struct text_answer answer = {.has_tokens = false};

	buf_init(&line, HTTP_ANSWER_MAX);
	buf_init(&nothing, 0); /* the tokens are wanted, not the text */
	httpshape_compact(a->body, a->size, &line);
	if (buf_error(&line) < 0) {
		httpitem_give_bad(it, "NoMemory", "out of memory for the answer", true);
		return;
	}
	text_extract(jsonspan_of(line.data, line.size), &nothing, &answer);
	feed_good(f, httpitem_take(it), line.data, line.size,
		  answer.has_tokens ? &answer.tokens : NULL);
}

void httpitem_wait(struct httpitem *it, int64_t ms)
{
	struct httploop *l = it->loop;
	int64_t backoff_ms = retry_backoff_ms(it->failures++, &l->seed);

	it->due_ns = httploop_now(l) + (ms > backoff_ms ? ms : backoff_ms) * NS_PER_MS;
}

/* One more of the attempts a record has; gives it up when they are used. */
static void spend_attempt(struct httpitem *it, const char *code, const char *message,
			  int64_t wish_ms)
{
	if (++it->attempts >= it->loop->max_attempts)
		httpitem_give_bad(it, code, message, true);
	else
		httpitem_wait(it, wish_ms);
}

static bool patience_is_over(const struct httpitem *it)
{
	return httploop_now(it->loop) - it->first_ns > it->loop->give_up_ns;
}

/* The breaker. */

static void show(struct httploop *l, const char *reason)
{
	l->reason_shown = reason != NULL;
	feed_pause(l->feed, reason);
}

/* The server has answered somehow: what was said of it is no longer true. */
static void server_works(struct httploop *l)
{
	if (breaker_works(&l->breaker)) {
		int64_t now = httploop_now(l);

		for (size_t i = 0; i < l->item_count; i++)
			if (l->items[i].due_ns > now)
				l->items[i].due_ns = now;
	}
	if (l->reason_shown)
		show(l, NULL);
}

/* Counts a failure of the server's; true if the run is paused by it. */
PRINTF_LIKE(4, 5)
static bool server_fails(struct httploop *l, enum breaker_cause cause, int64_t sent_ns,
			 const char *fmt, ...)
{
	char reason[PART_MESSAGE_MAX];
	va_list args;

	if (!breaker_fails(&l->breaker, cause, sent_ns, httploop_now(l)))
		return false;
	va_start(args, fmt);
	vsnprintf(reason, sizeof(reason), fmt, args);
	va_end(args);
	show(l, reason);
	return true;
}

void httploop_no_key(struct httploop *l, const char *reason)
{
	server_fails(l, BREAKER_REFUSED, httploop_now(l), "%s", reason);
}

/* What answers lead to. */

static const char *header_of(void *ctx, const char *name)
{
	return http_answer_header(ctx, name);
}

static int64_t wish_of(const struct httploop *l, const struct http_answer *a)
{
	return retry_wish_ms(header_of, (void *)(uintptr_t)a, clock_wall_ns(l->job->clock));
}

static void on_no_connection(struct httpitem *it, const struct http_answer *a)
{
	struct httploop *l = it->loop;
	const char *words = a->failure == HTTP_REFUSED ? "is the server running?" : a->words;

	server_fails(l, BREAKER_CONNECT, it->sent_ns, "%s %s; %s", l->shape.target.shown,
		     http_failure_words(a->failure), words);
	httpitem_wait(it, 0);
}

/* A connection that gave no answer, or a gateway with nothing behind it: may
 * be the server's fault or this record's. */
static void on_lost(struct httpitem *it, const char *code, const char *what)
{
	struct httploop *l = it->loop;
	char message[MESSAGE_MAX];

	snprintf(message, sizeof(message), "%s %s", l->shape.target.shown, what);
	if (!server_fails(l, BREAKER_LOST, it->sent_ns, "%s", message))
		spend_attempt(it, code, message, 0);
	else if (patience_is_over(it))
		httpitem_give_bad(it, code, message, true);
	else
		httpitem_wait(it, 0);
}

static void on_refused(struct httpitem *it, long status, const struct httpshape_error *why)
{
	struct httploop *l = it->loop;
	const char *shown = l->shape.target.shown, *model = l->job->model;
	const char *key_file = kv_get(l->job->definition, "key_file");

	if (status == 401 && !key_file)
		server_fails(l, BREAKER_REFUSED, it->sent_ns,
			     "%s wants a key (401: %.300s); put it into a file only you can read "
			     "and name that with key_file in [model %s]",
			     shown, why->message, model);
	else if (status == 404)
		server_fails(l, BREAKER_REFUSED, it->sent_ns,
			     "%s has no such model or path (404: %.300s); look at url and "
			     "served_model in [model %s]",
			     shown, why->message, model);
	else
		server_fails(l, BREAKER_REFUSED, it->sent_ns,
			     "%s refuses us (%ld: %.300s); look at %s in [model %s]", shown, status,
			     why->message, key_file ? key_file : "key_file", model);
	httpitem_wait(it, 0);
}

static void on_quota(struct httpitem *it, long status, const struct httpshape_error *why)
{
	server_fails(it->loop, BREAKER_QUOTA, it->sent_ns,
		     "%s says that the quota is used up (%ld: %.300s); it is asked again from time "
		     "to time",
		     it->loop->shape.target.shown, status, why->message);
	httpitem_wait(it, 0);
}

static void on_overloaded(struct httpitem *it, const struct http_answer *a, long status,
			  const struct httpshape_error *why)
{
	struct httploop *l = it->loop;
	int64_t wish_ms = wish_of(l, a), now = httploop_now(l);
	char code[32], reason[PART_MESSAGE_MAX];

	window_overloaded(&l->window, it->sent_ns, now);
	if (patience_is_over(it)) {
		snprintf(code, sizeof(code), "%ld", status);
		httpitem_give_bad(it, code, why->message, true);
		return;
	}
	httpitem_wait(it, wish_ms);
	if (wish_ms <= 0)
		return;
	/* The wish is for all requests, not for this one. */
	if (now + wish_ms * NS_PER_MS > l->hold_ns)
		l->hold_ns = now + wish_ms * NS_PER_MS;
	if (wish_ms < SHOWN_WISH_MS)
		return;
	snprintf(reason, sizeof(reason), "%s asks to be left alone for %lld s (%ld: %.300s)",
		 l->shape.target.shown, (long long)(wish_ms / 1000), status, why->message);
	show(l, reason);
}

/* Does this refusal concern everybody?  A single 403 or 404 between good
 * answers is the record's own. */
static bool is_for_all(struct httploop *l, long status)
{
	if (status != 401 && status != 403 && status != 404) {
		l->forbidden = 0;
		return false;
	}
	return status == 401 || !l->any_good || ++l->forbidden >= FORBIDDEN_IN_A_ROW;
}

static void on_status(struct httpitem *it, const struct http_answer *a, long status,
		      const struct httpshape_error *why)
{
	struct httploop *l = it->loop;
	enum retry_class class =
		retry_classify(status, why->code, http_answer_header(a, "x-should-retry"));
	char code[32], message[MESSAGE_MAX];

	snprintf(code, sizeof(code), "%ld", status);
	if (class == RETRY_QUOTA) {
		on_quota(it, status, why);
		return;
	}
	if (is_for_all(l, status)) {
		on_refused(it, status, why);
		return;
	}
	if (class == RETRY_TRANSIENT && (status == 502 || status == 504)) {
		snprintf(message, sizeof(message), "answers %ld: %s", status, why->message);
		on_lost(it, code, message);
		return;
	}
	server_works(l);
	if (class == RETRY_OVERLOADED)
		on_overloaded(it, a, status, why);
	else if (class == RETRY_TRANSIENT)
		spend_attempt(it, code, why->message, wish_of(l, a));
	else
		httpitem_give_bad(it, code, why->message, false);
}

static void on_answer(struct httpitem *it, const struct http_answer *a)
{
	struct httploop *l = it->loop;
	enum httpshape_verdict verdict = HTTPSHAPE_REFUSED;
	struct httpshape_error why;
	char message[MESSAGE_MAX];
	long status = a->status;
	uint64_t inner;

	if (status >= 200 && status <= 299)
		verdict = httpshape_judge(a->body, a->size);
	if (verdict == HTTPSHAPE_GOOD) {
		l->any_good = true;
		l->forbidden = 0;
		window_good(&l->window, it->sent_ns, httploop_now(l));
		server_works(l);
		give_good(it, a);
		return;
	}
	httpshape_read_error(a->body, a->size, &why);
	if (verdict == HTTPSHAPE_NOT_JSON) {
		snprintf(message, sizeof(message), "the answer is not a JSON object: %s",
			 why.message);
		server_works(l);
		httpitem_give_bad(it, "BadAnswer", message, true);
		return;
	}
	/* Gateways pass on an error as 200 with the real status within. */
	if (status <= 299)
		status = jsonspan_u64((struct jsonspan){why.code, strlen(why.code)}, &inner) &&
					 inner >= 400 && inner <= 599
				 ? (long)inner
				 : 400;
	on_status(it, a, status, &why);
}

void httploop_on_done(void *ctx, const struct http_answer *a)
{
	struct httpitem *it = ctx;
	struct httploop *l = it->loop;

	it->sent = false;
	switch (a->failure) {
	case HTTP_ANSWERED:
		on_answer(it, a);
		break;
	case HTTP_REFUSED:
	case HTTP_UNREACHABLE:
	case HTTP_DNS:
	case HTTP_TLS:
	case HTTP_CONNECT_TIMEOUT:
		on_no_connection(it, a);
		break;
	case HTTP_TIMEOUT:
		on_lost(it, "Timeout", http_failure_words(a->failure));
		break;
	case HTTP_TOO_LARGE:
		server_works(l);
		httpitem_give_bad(it, "BadAnswer", "the answer is larger than 64 MiB", false);
		break;
	case HTTP_NO_MEMORY:
		spend_attempt(it, "NoMemory", "out of memory for the answer", 0);
		break;
	case HTTP_RESET:
	case HTTP_BROKEN:
	case HTTP_CANCELLED:
	case HTTP_FAILURE_COUNT:
	default:
		on_lost(it, "ConnectionLost", http_failure_words(a->failure));
		break;
	}
}
