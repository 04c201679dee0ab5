#include <string.h>
#include <sys/random.h>

#include "backend/local/httpkey.h"
#include "backend/local/httploop.h"
#include "fs/base/jsonscan.h"
#include "fs/base/log.h"

/*
 * Records to an OpenAI- or Anthropic-compatible server and back.
 *
 * The loop holds max_in_flight records and a few more; each is waiting (until
 * due_ns) or sent.  One turn: housekeeping, take records, send what is due and
 * allowed, wait for answers.  Allowed means, in this order: the server does
 * not want to be left alone (hold), the rate (requests_per_minute), and last
 * the window, so that waiting for the others holds no connection.
 *
 * While the breaker is open the run is paused: one probe at a time, always
 * with the record that was tried longest ago, since it may be the record and
 * not the server that is wrong.  The key is read again for each probe after a
 * refusal, so that a new one in key_file is enough to go on.
 *
 * What answers lead to: httpanswer.c.
 */

#define IN_FLIGHT_DEFAULT 4
#define IN_FLIGHT_MAX	  256
#define SPARE_ITEMS	  8 /* held beyond the window: other records to probe with */
#define ATTEMPTS_DEFAULT  5
#define TIMEOUT_DEFAULT_S 3600
#define GIVE_UP_DEFAULT_S 3600
#define NO_MEMORY_WAIT_MS 1000
#define BODY_MAX	  (JSONSCAN_LINE_MAX + 64 * 1024)
#define NEVER		  INT64_MAX

static const struct engine_key keys[] = {
	{.name = "url", .type = ENGINE_TEXT},
	{.name = "api", .type = ENGINE_CHOICE, .choices = "auto|openai|anthropic"},
	{.name = "served_model", .type = ENGINE_TEXT},
	{.name = "key_file", .type = ENGINE_TEXT},
	{.name = "header.", .type = ENGINE_TEXT},
	{.name = "max_in_flight", .type = ENGINE_NUMBER, .min = 1, .max = IN_FLIGHT_MAX},
	{.name = "give_up_s", .type = ENGINE_NUMBER, .min = 1, .max = 30 * 86400},
	{.name = "requests_per_minute", .type = ENGINE_NUMBER, .min = 0, .max = 1000000},
	{.name = NULL},
};

static int load_headers(struct httploop *l, struct err *e)
{
	struct http_headers *h;
	int r = httpkey_headers(l->job->definition, l->shape.api, &h, e);

	if (r < 0)
		return r;
	http_headers_free(l->headers);
	l->headers = h;
	return 0;
}

/* Takes records as long as there is room.  0; or why the run cannot go on. */
static int take_records(struct httploop *l, struct err *e)
{
	for (size_t i = 0; i < l->item_count && !l->drained; i++) {
		struct httpitem *it = &l->items[i];
		int r;

		if (it->record)
			continue;
		r = feed_next(l->feed, &it->record, e);
		if (r == -EAGAIN)
			return 0;
		if (r == -ENODATA) {
			l->drained = true;
			return 0;
		}
		if (r < 0)
			return r;
		it->loop = l;
		it->due_ns = httploop_now(l);
		buf_init(&it->body, BODY_MAX);
		buf_init(&it->header_line, HTTPSHAPE_BETA_MAX + 64);
		l->held++;
	}
	return 0;
}

/* The waiting item that was sent longest ago, or never. */
static struct httpitem *probe_item(const struct httploop *l)
{
	struct httpitem *best = NULL;

	for (size_t i = 0; i < l->item_count; i++) {
		struct httpitem *it = &l->items[i];

		if (it->record && !it->sent && (!best || it->sent_ns < best->sent_ns))
			best = it;
	}
	return best;
}

/* The waiting item that is due first. */
static struct httpitem *next_item(const struct httploop *l)
{
	struct httpitem *best = NULL;

	for (size_t i = 0; i < l->item_count; i++) {
		struct httpitem *it = &l->items[i];

		if (it->record && !it->sent && (!best || it->due_ns < best->due_ns))
			best = it;
	}
	return best;
}

/* What may be sent next and when: NULL and NEVER while only an answer can
 * change that. */
static struct httpitem *choose(const struct httploop *l, int64_t *ret_when_ns)
{
	struct httpitem *it = NULL;
	int64_t when;

	*ret_when_ns = NEVER;
	if (l->breaker.cause != BREAKER_CLOSED) {
		if (http_client_count(l->client) == 0)
			it = probe_item(l);
		when = l->breaker.probe_mono_ns;
	} else {
		if (http_client_count(l->client) < l->window.size)
			it = next_item(l);
		when = it && it->due_ns > l->hold_ns ? it->due_ns : l->hold_ns;
		when = when > l->rate_ns ? when : l->rate_ns;
	}
	if (it)
		*ret_when_ns = when;
	return it;
}

static int send_item(struct httploop *l, struct httpitem *it, struct err *e)
{
	struct jsonspan input = it->record->input;
	struct http_request request = {
		.method = "POST",
		.url = httpshape_url(&l->shape, input),
		.unix_path = l->shape.target.unix_path,
		.direct = l->shape.target.loopback,
		.headers = l->headers,
		.timeout_ms = l->timeout_ms,
		.done = httploop_on_done,
		.ctx = it,
	};
	int64_t now = httploop_now(l);
	int r;

	if (!it->body.size) {
		httpshape_body(&l->shape, input, &it->body);
		httpshape_beta(&l->shape, input, &it->header_line);
	}
	r = buf_error(&it->body);
	if (r == 0)
		r = buf_error(&it->header_line);
	request.body = it->body.data;
	request.body_size = it->body.size;
	request.header_line = it->header_line.size ? it->header_line.data : NULL;
	if (r == 0)
		r = http_submit(l->client, &request, e);
	if (r == -EFBIG) {
		httpitem_give_bad(it, "RequestTooLarge", "the record is too large to send", false);
		return 0;
	}
	if (r == -ENOMEM) {
		buf_clear(&it->body);
		buf_clear(&it->header_line);
		httpitem_wait(it, NO_MEMORY_WAIT_MS);
		return 0;
	}
	if (r < 0)
		return r;
	it->sent = true;
	it->sent_ns = now;
	it->first_ns = it->first_ns ? it->first_ns : now;
	l->rate_ns = (l->rate_ns > now ? l->rate_ns : now) + l->pace_ns;
	return 0;
}

/* Sends all that may be sent now; *ret_when_ns: when there is more. */
static int send_due(struct httploop *l, int64_t *ret_when_ns, struct err *e)
{
	for (;;) {
		struct httpitem *it = choose(l, ret_when_ns);
		struct err why = ERR_INIT;
		int r;

		if (!it || *ret_when_ns > httploop_now(l))
			return 0;
		if (l->breaker.cause == BREAKER_REFUSED || !l->headers) {
			r = load_headers(l, &why);
			if (r < 0) {
				httploop_no_key(l, why.text);
				continue;
			}
		}
		r = send_item(l, it, e);
		if (r < 0)
			return r;
	}
}

static int step_timeout_ms(const struct httploop *l, int tick_ms, int64_t when_ns)
{
	int64_t now = httploop_now(l), ms;

	if (when_ns == NEVER)
		return tick_ms;
	ms = when_ns > now ? (when_ns - now + NS_PER_MS - 1) / NS_PER_MS : 0;
	if (ms > INT32_MAX)
		ms = INT32_MAX;
	return tick_ms >= 0 && tick_ms < ms ? tick_ms : (int)ms;
}

/* 0: every record has been given back. */
static int loop_run(struct httploop *l, struct err *e)
{
	for (;;) {
		int tick_ms = feed_tick(l->feed);
		int64_t when_ns;
		int r = take_records(l, e);

		if (r < 0)
			return r;
		if (l->drained && l->held == 0)
			return 0;
		r = send_due(l, &when_ns, e);
		if (r < 0)
			return r;
		r = http_step(l->client, step_timeout_ms(l, tick_ms, when_ns), l->feed->cancel_fd);
		if (r < 0)
			return err_set(e, r, "libcurl cannot go on");
		if (feed_is_cancelled(l->feed))
			return -ECANCELED;
	}
}

static void loop_release(struct httploop *l)
{
	/* First the connections: a server stops working when they close. */
	http_client_free(l->client);
	for (size_t i = 0; i < l->item_count; i++)
		if (l->items[i].record)
			feed_drop(l->feed, httpitem_take(&l->items[i]));
	free(l->items);
	http_headers_free(l->headers);
	httpshape_release(&l->shape);
}

static int loop_init(struct httploop *l, struct err *e)
{
	const struct engine_job *job = l->job;
	const struct engine *g = &engine_http;
	unsigned in_flight = (unsigned)engine_number(g, job, "max_in_flight", IN_FLIGHT_DEFAULT);
	uint64_t per_minute = engine_number(g, job, "requests_per_minute", 0);
	int r;

	r = httpshape_init(&l->shape, job->model, job->definition, e);
	if (r < 0)
		return r;
	r = http_client_new(in_flight, &l->client, e);
	if (r < 0)
		return r;
	l->items = calloc(in_flight + SPARE_ITEMS, sizeof(l->items[0]));
	if (!l->items)
		return err_set(e, -ENOMEM, "out of memory for the records under way");
	l->item_count = in_flight + SPARE_ITEMS;
	window_init(&l->window, in_flight);
	breaker_init(&l->breaker);
	l->pace_ns = per_minute ? 60 * NS_PER_S / (int64_t)per_minute : 0;
	l->max_attempts = engine_number(g, job, "max_attempts", ATTEMPTS_DEFAULT);
	l->timeout_ms = (long)engine_number(g, job, "timeout_s", TIMEOUT_DEFAULT_S) * 1000;
	l->give_up_ns = (int64_t)engine_number(g, job, "give_up_s", GIVE_UP_DEFAULT_S) * NS_PER_S;
	if (getrandom(&l->seed, sizeof(l->seed), GRND_NONBLOCK) < 0)
		l->seed = (uint64_t)httploop_now(l); /* chance spreads load here, no more */
	if (kv_get(job->definition, "key_file") && !l->shape.target.tls &&
	    !l->shape.target.loopback)
		log_warning("http", "the key for %s goes over the network in the clear",
			    l->shape.target.shown);
	return 0;
}

static int run(const struct engine_job *job, struct feed *f, struct err *e)
{
	CLEANUP(loop_release) struct httploop l = {.job = job, .feed = f};
	int r = loop_init(&l, e);

	return r < 0 ? r : loop_run(&l, e);
}

static int check(const struct kv *definition, struct err *e)
{
	CLEANUP(httpshape_release) struct httpshape s = HTTPSHAPE_INIT;
	int r = httpshape_init(&s, "", definition, e);

	return r < 0 ? r : httpkey_check(definition, e);
}

static void describe(const struct kv *definition, struct buf *out)
{
	CLEANUP(httpshape_release) struct httpshape s = HTTPSHAPE_INIT;

	/* Without the query, where some put keys. */
	if (httpshape_init(&s, "", definition, NULL) == 0)
		buf_addf(out, "%s%s%s, %s", s.target.shown, s.target.unix_path ? ":" : "",
			 s.target.path, s.api == HTTPSHAPE_ANTHROPIC ? "Anthropic" : "OpenAI");
}

const struct engine engine_http = {
	.name = "http",
	.keys = keys,
	.check = check,
	.run = run,
	.describe = describe,
};
