/* When is the next poll?  Readers may have it come earlier, and not too often. */

#include <errno.h>

#include "tests/unit/cmocka_all.h"

#include "fs/job/jobs_private.h"

#define S NS_PER_S

struct fixture {
	struct clock clock;
	struct jobs en; /* as much of it as the pace needs */
};

static void begin(struct fixture *f)
{
	*f = (struct fixture){.en = {.o = {.clock = &f->clock}}};
	clock_init_manual(&f->clock, 1000 * S, 1000 * S);
	pthread_mutex_init(&f->en.mutex, NULL);
	pthread_cond_init(&f->en.wake, NULL);
	f->en.polled_ns = 1000 * S;
}

static void end(struct fixture *f)
{
	pthread_cond_destroy(&f->en.wake);
	pthread_mutex_destroy(&f->en.mutex);
}

static void test_a_reader_hurries_a_poll(void **state)
{
	static const struct {
		const char *why;
		int64_t after, due, hurried; /* s since the last poll */
	} rows[] = {
		{"at once, if the last one was long ago", 20, 60, 20},
		{"five seconds after the last one", 1, 60, 5},
		{"not later than it was to come", 1, 3, 3},
		{"not at all where nothing is watched", 20, INT64_MAX / S, INT64_MAX / S},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct fixture f;
		bool never = rows[i].due == INT64_MAX / S;
		int64_t want = never ? INT64_MAX : (1000 + rows[i].hurried) * S;

		begin(&f);
		f.en.poll_due_ns = never ? INT64_MAX : (1000 + rows[i].due) * S;
		f.clock.now_mono_ns += rows[i].after * S;
		jobs_hurry(&f.en);
		if (f.en.poll_due_ns != want || f.en.woken != (rows[i].hurried != rows[i].due))
			fail_msg("%s: in %lld s", rows[i].why,
				 (long long)(f.en.poll_due_ns / S - 1000));
		end(&f);
	}
}

/* Who reads in a loop gets a poll every five seconds, and none on top of another. */
static void test_many_readers(void **state)
{
	struct fixture f;
	unsigned polls = 0;
	int64_t due;

	(void)state;
	begin(&f);
	f.en.poll_due_ns = 1060 * S;
	for (int tick = 0; tick < 600; tick++) { /* a minute, in tenths */
		f.clock.now_mono_ns += S / 10;
		jobs_hurry(&f.en);
		if (!track_begin(&f.en, f.clock.now_mono_ns, &due))
			continue;
		polls++;
		jobs_hurry(&f.en);
		assert_false(track_begin(&f.en, f.clock.now_mono_ns, &due));
		assert_true(due == INT64_MAX);
		f.en.polled_ns = f.clock.now_mono_ns;
		track_put_off(&f.en, f.clock.now_mono_ns + 60 * S);
	}
	assert_int_equal(polls, 12);
	end(&f);
}

/* --- ever slower --- */

#define FIRST 8
#define MOST  60

/* A source with one part, and what it answers next. */
struct source {
	struct backend backend; /* first */
	struct part_status answer;
	int fails;
	unsigned polls;
};

static int answer(struct backend *b, const char *const *remotes, struct part_status *results,
		  size_t count, backend_found *found, void *ctx, struct err *e)
{
	struct source *s = (struct source *)b;

	(void)remotes;
	(void)found;
	(void)ctx;
	assert_int_equal(count, 1);
	s->polls++;
	if (s->fails)
		return err_set(e, s->fails, "no");
	results[0] = s->answer;
	return 0;
}

struct watched {
	struct fixture f;
	struct source source;
	struct job job;
	struct watch watch;
};

static void begin_watched(struct watched *w, enum job_state state, int64_t poll_s)
{
	static char part[] = "part";
	static const struct backend_ops ops = {
		.poll = answer, .poll_first_ns = FIRST * S, .poll_max_ns = MOST * S};

	begin(&w->f);
	w->source = (struct source){.backend = {.ops = &ops}};
	w->f.en.o.backend = &w->source.backend;
	w->f.en.o.poll_ns = poll_s * S;
	w->job = (struct job){.jobs = &w->f.en, .refs = 1, .number = 1};
	pthread_mutex_init(&w->job.mutex, NULL);
	w->watch = (struct watch){.remote = part, .status = {.state = state}};
	w->job.watches = &w->watch;
	w->job.watch_count = 1;
	assert_int_equal(registry_init(&w->f.en.registry), 0);
	assert_int_equal(registry_add(&w->f.en.registry, 1, "job", &w->job), 0);
	w->f.en.poll_due_ns = INT64_MAX;
	track_hurry(&w->f.en);
}

static void end_watched(struct watched *w)
{
	registry_release(&w->f.en.registry);
	pthread_mutex_destroy(&w->job.mutex);
	end(&w->f);
}

/* The next poll, when it is due; returns after how many tenths of a second the one
 * after it is, on the beat. */
static int64_t poll_once(struct watched *w, enum job_state state)
{
	struct jobs *en = &w->f.en;
	int64_t due, step;

	w->source.answer.state = state;
	w->f.clock.now_mono_ns = en->poll_due_ns - 1;
	assert_false(track_begin(en, w->f.clock.now_mono_ns, &due));
	w->f.clock.now_mono_ns++;
	assert_true(track_begin(en, w->f.clock.now_mono_ns, &due));
	track_poll(en);
	due = en->poll_due_ns - w->f.clock.now_mono_ns;
	step = en->poll_step_ns;
	if (due < step - step / 10 || due > step + step / 10)
		fail_msg("%lld is not about %lld", (long long)due, (long long)step);
	return step / (S / 10);
}

static void test_the_pace(void **state)
{
	enum {
		P = JOB_IN_PROGRESS,
		W = JOB_SCHEDULED,
		NO = -1, /* no answer */
		STEPS = 10
	};
	static const struct {
		const char *why;
		int64_t poll_s; /* -o poll */
		int before, answers[STEPS];
		int64_t steps[STEPS]; /* tenths of a second */
	} rows[] = {
		{"half as much more each time, up to the most",
		 0,
		 P,
		 {P, P, P, P, P, P},
		 {120, 180, 270, 405, 600, 600}},
		{"news, and it is soon again", 0, W, {W, W, P, P}, {120, 180, 80, 120}},
		{"while nothing does more than wait it is slower still",
		 0,
		 W,
		 {W, W, W, W, W, W, W, W, W},
		 {120, 180, 270, 405, 607, 911, 1366, 1800, 1800}},
		{"what was asked for is not passed, also while it waits",
		 20,
		 W,
		 {W, W, W, W},
		 {120, 180, 200, 200}},
		{"less than the first step", 2, P, {P, P}, {20, 20}},
		{"no answer is no news", 0, P, {NO, NO, P}, {120, 180, 270}},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct watched w;

		begin_watched(&w, (enum job_state)rows[i].before, rows[i].poll_s);
		for (size_t n = 0; n < STEPS && rows[i].steps[n]; n++) {
			int said = rows[i].answers[n];
			int64_t step;

			w.source.fails = said == NO ? -EAGAIN : 0;
			step = poll_once(&w, (enum job_state)said);
			if (step != rows[i].steps[n])
				fail_msg("%s: %zu: %lld", rows[i].why, n, (long long)step);
		}
		end_watched(&w);
	}
}

/* What begins while the pace is slow is asked about soon. */
static void test_what_begins_hurries(void **state)
{
	struct watched w;
	int64_t soon;

	(void)state;
	begin_watched(&w, JOB_IN_PROGRESS, 0);
	for (int i = 0; i < 6; i++)
		poll_once(&w, JOB_IN_PROGRESS);
	soon = w.f.clock.now_mono_ns + FIRST * S;
	assert_true(w.f.en.poll_due_ns > soon);
	track_hurry(&w.f.en);
	assert_true(w.f.en.poll_due_ns == soon);
	assert_int_equal(poll_once(&w, JOB_IN_PROGRESS), FIRST * 10 + FIRST * 5);
	end_watched(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_reader_hurries_a_poll),
		cmocka_unit_test(test_many_readers),
		cmocka_unit_test(test_the_pace),
		cmocka_unit_test(test_what_begins_hurries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
