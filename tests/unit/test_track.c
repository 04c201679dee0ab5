/* When is the next poll?  Readers may have it come earlier, and not too often. */

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_reader_hurries_a_poll),
		cmocka_unit_test(test_many_readers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
