/* The server is given up after so many failures in a row, and asked again after so long. */

#include "backend/http/breaker.h"
#include "fs/base/clock.h"
#include "fs/base/macros.h"
#include "tests/unit/cmocka_all.h"

#define S(n) ((n)*NS_PER_S)

static void test_opens_after_so_many(void **state)
{
	static const struct {
		enum breaker_cause cause;
		int in_a_row;
		int64_t first_s;
	} rows[] = {
		{BREAKER_CONNECT, BREAKER_IN_A_ROW, 1},
		{BREAKER_LOST, BREAKER_IN_A_ROW, 1},
		{BREAKER_REFUSED, 1, 2},
		{BREAKER_QUOTA, 1, 30},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct breaker b;

		breaker_init(&b);
		for (int n = 1; n < rows[i].in_a_row; n++)
			assert_false(breaker_fails(&b, rows[i].cause, S(1), S(2)));
		assert_int_equal(b.cause, BREAKER_CLOSED);
		assert_true(breaker_fails(&b, rows[i].cause, S(1), S(2)));
		assert_int_equal(b.cause, rows[i].cause);
		assert_int_equal(b.probe_mono_ns, S(2) + S(rows[i].first_s));
	}
}

static void test_an_answer_starts_the_count_anew(void **state)
{
	struct breaker b;

	(void)state;
	breaker_init(&b);
	for (int n = 0; n < 100; n++) {
		assert_false(breaker_fails(&b, BREAKER_CONNECT, S(n), S(n + 1)));
		if (n % 4 == 3)
			assert_false(breaker_works(&b));
	}
}

static void test_probes_grow_apart(void **state)
{
	static const int64_t delays_s[] = {1, 2, 4, 8, 16, 30, 30, 30};
	struct breaker b;
	int64_t now = 0;

	(void)state;
	breaker_init(&b);
	for (int n = 0; n < BREAKER_IN_A_ROW; n++)
		breaker_fails(&b, BREAKER_CONNECT, now, now);
	for (size_t i = 0; i < COUNT_OF(delays_s); i++) {
		assert_int_equal(b.probe_mono_ns - now, S(delays_s[i]));
		now = b.probe_mono_ns;
		assert_true(breaker_fails(&b, BREAKER_CONNECT, now, now));
	}
	assert_true(breaker_works(&b));
	assert_int_equal(b.cause, BREAKER_CLOSED);
	assert_false(breaker_works(&b));
}

static void test_stragglers_say_nothing_new(void **state)
{
	struct breaker b;

	(void)state;
	breaker_init(&b);
	assert_true(breaker_fails(&b, BREAKER_REFUSED, S(1), S(10)));
	for (int64_t sent = 1; sent < 10; sent++)
		assert_true(breaker_fails(&b, BREAKER_REFUSED, S(sent), S(11)));
	assert_int_equal(b.probe_mono_ns, S(12));
}

static void test_a_new_cause_begins_anew(void **state)
{
	struct breaker b;

	(void)state;
	breaker_init(&b);
	for (int n = 0; n < 10; n++)
		breaker_fails(&b, BREAKER_CONNECT, S(100), S(100));
	assert_true(breaker_fails(&b, BREAKER_REFUSED, S(101), S(101)));
	assert_int_equal(b.cause, BREAKER_REFUSED);
	assert_int_equal(b.probe_mono_ns, S(103));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_opens_after_so_many),
		cmocka_unit_test(test_an_answer_starts_the_count_anew),
		cmocka_unit_test(test_probes_grow_apart),
		cmocka_unit_test(test_stragglers_say_nothing_new),
		cmocka_unit_test(test_a_new_cause_begins_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
