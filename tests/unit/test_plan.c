#include "fs/job/plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/cmocka_all.h"

static int each_ten(void *ctx, uint64_t index, uint64_t *ret)
{
	(void)ctx;
	(void)index;
	*ret = 10;
	return 0;
}

static int from_list(void *ctx, uint64_t index, uint64_t *ret)
{
	*ret = ((const uint64_t *)ctx)[index];
	return 0;
}

static void test_records(void **state)
{
	static const struct {
		uint64_t count, min, max, bytes;
		const char *want; /* records of each part; NULL: it cannot be */
		const char *why;
	} rows[] = {
		{1, 1, 100, 1000, "1", "one record is one part"},
		{100, 100, 100, 1000, "100", "as many as fit, exactly"},
		{101, 1, 100, 10000, "100 1", "no minimum: the rest is a part"},
		{250, 60, 100, 10000, "100 90 60", "the last one lacks ten"},
		{101, 50, 100, 10000, "51 50", "the last one lacks nearly all"},
		{201, 90, 100, 10000, NULL, "two are too many for two, too few for three"},
		{210, 70, 100, 10000, "70 70 70", "it goes on into the one before"},
		{280, 70, 100, 10000, "100 100 80", "nothing lacks"},
		{10, 1, 100, 35, "3 3 3 1", "cut by bytes"},
		{10, 2, 100, 35, "3 3 2 2", "cut by bytes, and the last one lacks one"},
		{10, 4, 100, 35, NULL, "no part can be so large as to have four"},
		{3, 4, 100, 1000, NULL, "too few at all"},
		{5, 1, 100, 9, NULL, "no record fits"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct plan_limits l = {rows[i].min, rows[i].max, rows[i].bytes};
		struct plan_part *parts = NULL;
		char text[256] = "";
		struct err e = ERR_INIT;
		size_t count = 0;
		int r = plan_cut(&l, rows[i].count, each_ten, NULL, &parts, &count, &e);

		for (size_t k = 0; k < count; k++)
			snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%llu",
				 k ? " " : "", (unsigned long long)parts[k].count);
		free(parts);
		if ((r == 0) != (rows[i].want != NULL) ||
		    (rows[i].want && strcmp(rows[i].want, text) != 0))
			fail_msg("%s: %d, \"%s\"", rows[i].why, r, text);
		if (!rows[i].want)
			assert_int_equal(r, -EINVAL);
	}
}

static void test_large_records_move_only_where_they_fit(void **state)
{
	static uint64_t sizes[] = {10, 10, 90, 10};
	const struct plan_limits l = {2, 10, 100};
	struct plan_part *parts = NULL;
	struct err e = ERR_INIT;
	size_t count = 0;

	(void)state;
	assert_int_equal(plan_cut(&l, 4, from_list, sizes, &parts, &count, &e), 0);
	assert_int_equal(count, 2);
	assert_int_equal(parts[1].first, 2);
	assert_int_equal(parts[1].size_bytes, 100);
	free(parts);
	sizes[3] = 20; /* neither two nor one nor three of them fit together */
	assert_int_equal(plan_cut(&l, 4, from_list, sizes, &parts, &count, &e), -EINVAL);
	assert_non_null(strstr(e.text, "records 4 to 4"));
}

/* Whatever is cut: every record is in one part, in order, within the limits. */
static void test_any_cut_is_whole(void **state)
{
	unsigned seed = 1;

	(void)state;
	for (int round = 0; round < 2000; round++) {
		uint64_t sizes[200], n = 0, sum = 0,
				     count_max = 1 + (uint64_t)(rand_r(&seed) % 200);
		struct plan_limits l = {.records_min = 1 + (uint64_t)(rand_r(&seed) % 20)};
		struct plan_part *parts = NULL;
		struct err e = ERR_INIT;
		size_t count = 0;

		l.records_max = l.records_min + (uint64_t)(rand_r(&seed) % 50);
		l.bytes_max = 100 + (uint64_t)(rand_r(&seed) % 3000);
		for (uint64_t i = 0; i < count_max; i++)
			sizes[i] = 1 + (uint64_t)(rand_r(&seed) % 100);
		if (plan_cut(&l, count_max, from_list, sizes, &parts, &count, &e) < 0) {
			assert_true(e.text[0]);
			continue;
		}
		for (size_t k = 0; k < count; k++) {
			assert_int_equal(parts[k].first, n);
			assert_in_range(parts[k].count, l.records_min, l.records_max);
			sum = 0;
			for (uint64_t i = 0; i < parts[k].count; i++)
				sum += sizes[n++];
			assert_int_equal(parts[k].size_bytes, sum);
			assert_true(sum <= l.bytes_max);
		}
		assert_int_equal(n, count_max);
		free(parts);
	}
}

static int fails(void *ctx, uint64_t index, uint64_t *ret)
{
	(void)ctx;
	*ret = 1;
	return index == 3 ? -EIO : 0;
}

static void test_errors(void **state)
{
	const struct plan_limits one = {1, 1, 10}, l = {1, 10, 10};
	struct plan_part *parts = NULL;
	struct err e = ERR_INIT;
	size_t count = 0;

	(void)state;
	assert_int_equal(plan_cut(&l, 5, fails, NULL, &parts, &count, &e), -EIO);
	assert_non_null(strstr(e.text, "record 4"));
	assert_int_equal(plan_cut(&one, PLAN_PARTS_MAX, each_ten, NULL, &parts, &count, &e), 0);
	assert_int_equal(count, PLAN_PARTS_MAX);
	free(parts);
	parts = NULL;
	assert_int_equal(plan_cut(&one, PLAN_PARTS_MAX + 1, each_ten, NULL, &parts, &count, &e),
			 -EINVAL);
	assert_null(parts);
	assert_non_null(strstr(e.text, "split"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_large_records_move_only_where_they_fit),
		cmocka_unit_test(test_any_cut_is_whole),
		cmocka_unit_test(test_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
