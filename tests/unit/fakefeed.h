#ifndef TESTS_UNIT_FAKEFEED_H
#define TESTS_UNIT_FAKEFEED_H

/*
 * A feed from memory for tests of engines: modelInputs go in, and what each
 * record came to is written down.  With a clock turned by hand each tick turns
 * it on by one millisecond, so that nothing waits.
 */

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>

#include "backend/local/engine.h"
#include "tests/unit/cmocka_all.h"

#define FAKEFEED_MAX 64

struct fakefeed_answer {
	bool given, good, retryable, dropped;
	unsigned order; /* in which it came back, from 1 */
	char *text;	/* output, or "CODE: message"; owned */
	struct tokens tokens;
	bool has_tokens;
};

struct fakefeed {
	struct feed feed; /* first */
	size_t count, next, under_way, most_under_way;
	struct feed_record records[FAKEFEED_MAX];
	char ids[FAKEFEED_MAX][32];
	struct fakefeed_answer answers[FAKEFEED_MAX];
	unsigned order, cancel_after, pauses;
	char pause[1024], last_pause[1024]; /* now, and the last there was */
	struct clock *clock;		    /* NULL: the system's, not turned */
	int tick_ms;			    /* then: what a tick says; 0: nothing is due */
};

static inline void fakefeed_cancel(struct fakefeed *f)
{
	assert_int_equal(eventfd_write(f->feed.cancel_fd, 1), 0);
}

static int fakefeed_next(struct feed *feed, struct feed_record **ret, struct err *e)
{
	struct fakefeed *f = (struct fakefeed *)feed;

	(void)e;
	if (feed_is_cancelled(feed))
		return -ECANCELED;
	if (f->next == f->count)
		return -ENODATA;
	*ret = &f->records[f->next++];
	if (++f->under_way > f->most_under_way)
		f->most_under_way = f->under_way;
	return 0;
}

static struct fakefeed_answer *fakefeed_give(struct feed *feed, struct feed_record *r)
{
	struct fakefeed *f = (struct fakefeed *)feed;
	struct fakefeed_answer *a = &f->answers[r->index];

	assert_false(a->given);
	assert_true(r == &f->records[r->index]);
	a->given = true;
	a->order = ++f->order;
	f->under_way--;
	if (f->cancel_after && f->order == f->cancel_after)
		fakefeed_cancel(f);
	return a;
}

static void fakefeed_good(struct feed *feed, struct feed_record *r, const char *output, size_t size,
			  const struct tokens *t)
{
	struct fakefeed_answer *a = fakefeed_give(feed, r);

	a->good = true;
	a->text = strndup(output, size);
	a->has_tokens = t != NULL;
	if (t)
		a->tokens = *t;
}

static void fakefeed_bad(struct feed *feed, struct feed_record *r, const char *code,
			 const char *message, bool retryable)
{
	struct fakefeed_answer *a = fakefeed_give(feed, r);

	a->retryable = retryable;
	assert_true(asprintf(&a->text, "%s: %s", code, message) > 0);
}

static void fakefeed_drop(struct feed *feed, struct feed_record *r)
{
	fakefeed_give(feed, r)->dropped = true;
}

static void fakefeed_pause(struct feed *feed, const char *reason)
{
	struct fakefeed *f = (struct fakefeed *)feed;

	snprintf(f->pause, sizeof(f->pause), "%s", reason ? reason : "");
	if (reason) {
		snprintf(f->last_pause, sizeof(f->last_pause), "%s", reason);
		f->pauses++;
	}
}

static int fakefeed_tick(struct feed *feed)
{
	struct fakefeed *f = (struct fakefeed *)feed;

	if (!f->clock)
		return f->tick_ms ? f->tick_ms : -1;
	f->clock->now_mono_ns += NS_PER_MS;
	return 0;
}

static void fakefeed_batch(struct feed *feed, unsigned lines)
{
	(void)feed;
	assert_true(lines > 0);
}

/* inputs: modelInput texts, borrowed; ids are r0, r1, ... */
static inline void fakefeed_init(struct fakefeed *f, const char *const *inputs, size_t count)
{
	static const struct feed_ops ops = {
		.next = fakefeed_next,
		.good = fakefeed_good,
		.bad = fakefeed_bad,
		.drop = fakefeed_drop,
		.pause = fakefeed_pause,
		.tick = fakefeed_tick,
		.batch = fakefeed_batch,
	};

	assert_true(count <= FAKEFEED_MAX);
	*f = (struct fakefeed){.feed = {.ops = &ops}, .count = count};
	f->feed.cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	for (size_t i = 0; i < count; i++) {
		snprintf(f->ids[i], sizeof(f->ids[i]), "r%zu", i);
		f->records[i] = (struct feed_record){
			.id = f->ids[i],
			.id_size = strlen(f->ids[i]),
			.input = jsonspan_of(inputs[i], strlen(inputs[i])),
			.index = i,
		};
	}
}

static inline void fakefeed_release(struct fakefeed *f)
{
	for (size_t i = 0; i < f->count; i++)
		free(f->answers[i].text);
	close(f->feed.cancel_fd);
}

#endif
