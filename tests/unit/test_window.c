/* The window grows one by one, shrinks by half, and not twice for one mistake. */

#include "backend/http/window.h"
#include "fs/base/clock.h"
#include "fs/base/macros.h"
#include "tests/unit/cmocka_all.h"

#define MS(n) ((n)*NS_PER_MS)

/* count good answers, one after the other, that took latency_ms each. */
static int64_t good(struct window *w, int count, int64_t latency_ms, int64_t now)
{
	for (int i = 0; i < count; i++) {
		int64_t sent = ++now;

		now = sent + MS(latency_ms);
		window_good(w, sent, now);
	}
	return now;
}

static void test_starts_small(void **state)
{
	static const struct {
		unsigned max, size;
	} rows[] = {{1, 1}, {3, 3}, {4, 4}, {5, 4}, {256, 4}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct window w;

		window_init(&w, rows[i].max);
		assert_int_equal(w.size, rows[i].size);
	}
}

static void test_grows_by_one_a_window(void **state)
{
	struct window w;
	int64_t now;

	(void)state;
	window_init(&w, 6);
	now = good(&w, 3, 10, 0);
	assert_int_equal(w.size, 4);
	now = good(&w, 1, 10, now);
	assert_int_equal(w.size, 5);
	now = good(&w, 4, 10, now);
	assert_int_equal(w.size, 5);
	now = good(&w, 1, 10, now);
	assert_int_equal(w.size, 6);
	good(&w, 100, 10, now);
	assert_int_equal(w.size, 6); /* the maximum */
}

static void test_halves_once_a_round_trip(void **state)
{
	struct window w;
	int64_t now;

	(void)state;
	window_init(&w, 64);
	now = good(&w, 4 + 5 + 6 + 7, 10, 0);
	assert_int_equal(w.size, 8);
	window_overloaded(&w, now - MS(5), now);
	assert_int_equal(w.size, 4);
	window_overloaded(&w, now - MS(4), now + MS(1)); /* sent before the cut */
	assert_int_equal(w.size, 4);
	window_good(&w, now - MS(4), now + MS(1)); /* so was this */
	assert_int_equal(w.size, 4);
	window_overloaded(&w, now + MS(2), now + MS(3));
	assert_int_equal(w.size, 2);
	window_overloaded(&w, now + MS(4), now + MS(5));
	window_overloaded(&w, now + MS(6), now + MS(7));
	assert_int_equal(w.size, 1); /* never none */
	good(&w, 1, 10, now + MS(8));
	assert_int_equal(w.size, 2);
}

static void test_a_cut_forgets_the_good(void **state)
{
	struct window w;
	int64_t now;

	(void)state;
	window_init(&w, 8);
	now = good(&w, 3, 10, 0);
	window_overloaded(&w, now, now + 1);
	assert_int_equal(w.size, 2);
	good(&w, 1, 10, now + 2);
	assert_int_equal(w.size, 2);
}

static void test_slows_down_when_answers_do(void **state)
{
	struct window w;
	int64_t now;

	(void)state;
	window_init(&w, 64);
	now = good(&w, WINDOW_SAMPLES * 4, 100, 0);
	assert_true(w.size > 8);
	now = good(&w, WINDOW_SAMPLES, 250, now);
	assert_true(w.size < 8);
	assert_true(w.size >= WINDOW_START);
	/* It helped: the old best stands, and the window grows again. */
	now = good(&w, WINDOW_SAMPLES, 100, now);
	assert_true(w.size > WINDOW_START);
	good(&w, WINDOW_SAMPLES * 4, 150, now); /* not twice as slow */
	assert_true(w.size > 8);
}

static void test_heavier_work_is_not_a_queue(void **state)
{
	struct window w;
	unsigned size;
	int64_t now;

	(void)state;
	window_init(&w, 64);
	now = good(&w, WINDOW_SAMPLES * 4, 100, 0);
	now = good(&w, WINDOW_SAMPLES, 1000, now);
	size = w.size;
	/* The cut did not help: 1000 is the measure now. */
	good(&w, WINDOW_SAMPLES * 6, 1000, now);
	assert_true(w.size > size + 4);
}

static void test_tiny_times_do_not_count(void **state)
{
	struct window w;
	int64_t now = 0;

	(void)state;
	window_init(&w, 64);
	now = good(&w, WINDOW_SAMPLES * 4, 0, now);
	for (int i = 0; i < WINDOW_SAMPLES; i++) {
		window_good(&w, now + i, now + i + NS_PER_MS / 2);
	}
	assert_true(w.size > 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_starts_small),
		cmocka_unit_test(test_grows_by_one_a_window),
		cmocka_unit_test(test_halves_once_a_round_trip),
		cmocka_unit_test(test_a_cut_forgets_the_good),
		cmocka_unit_test(test_slows_down_when_answers_do),
		cmocka_unit_test(test_heavier_work_is_not_a_queue),
		cmocka_unit_test(test_tiny_times_do_not_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
