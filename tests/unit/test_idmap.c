/* The map of ids: what was added is found, nothing else is, through every growth. */

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include "fs/base/idmap.h"
#include "tests/unit/cmocka_all.h"

static void free_map(struct idmap **m)
{
	idmap_free(*m);
}

static size_t make_id(char out[32], uint32_t number)
{
	return (size_t)snprintf(out, 32, "id-%u", number);
}

static void test_added_is_found(void **state)
{
	CLEANUP(free_map) struct idmap *m = NULL;
	uint32_t number = 7;

	(void)state;
	assert_int_equal(idmap_new("/tmp", &m, NULL), 0);
	assert_int_equal(idmap_count(m), 0);
	assert_false(idmap_find(m, "a", 1, &number));
	assert_int_equal(idmap_add(m, "a", 1, 0, &number), 0);
	assert_int_equal(idmap_add(m, "b", 1, 41, &number), 0);
	assert_int_equal(number, 7);
	assert_int_equal(idmap_add(m, "a", 1, 5, &number), -EEXIST);
	assert_int_equal(number, 0);
	assert_true(idmap_find(m, "b", 1, &number));
	assert_int_equal(number, 41);
	assert_false(idmap_find(m, "ab", 2, &number));
	assert_int_equal(idmap_count(m), 2);
}

static void test_odd_ids(void **state)
{
	CLEANUP(free_map) struct idmap *m = NULL;
	uint32_t number = 0;

	(void)state;
	assert_int_equal(idmap_new("/tmp", &m, NULL), 0);
	assert_int_equal(idmap_add(m, "", 0, 1, &number), 0);
	assert_int_equal(idmap_add(m, "a\0b", 3, 2, &number), 0);
	assert_int_equal(idmap_add(m, "a\0c", 3, 3, &number), 0);
	assert_int_equal(idmap_add(m, "a", 1, IDMAP_RECORDS_MAX, &number), 0);
	assert_true(idmap_find(m, "a", 1, &number));
	assert_int_equal(number, IDMAP_RECORDS_MAX);
	assert_int_equal(idmap_add(m, "z", 1, IDMAP_RECORDS_MAX + 1, &number), -EFBIG);
	assert_false(idmap_find(m, "z", 1, &number));
}

static void test_growth_and_clear(void **state)
{
	const uint32_t count = 20000;
	CLEANUP(free_map) struct idmap *m = NULL;
	uint32_t number = 0;
	char id[32];

	(void)state;
	assert_int_equal(idmap_new("/tmp", &m, NULL), 0);
	for (int round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < count; i++)
			assert_int_equal(idmap_add(m, id, make_id(id, i), i, &number), 0);
		assert_int_equal(idmap_count(m), count);
		for (uint32_t i = 0; i < count; i++) {
			assert_true(idmap_find(m, id, make_id(id, i), &number));
			assert_int_equal(number, i);
		}
		for (uint32_t i = count; i < 2 * count; i++)
			assert_false(idmap_find(m, id, make_id(id, i), &number));
		idmap_clear(m);
		assert_int_equal(idmap_count(m), 0);
		assert_false(idmap_find(m, "id-1", 4, &number));
	}
}

/* A file size limit stands in for a full disk: growing fails, nothing is lost. */
static void test_no_room_to_grow(void **state)
{
	CLEANUP(free_map) struct idmap *m = NULL;
	struct rlimit before, limit;
	uint32_t number = 0, added = 0;
	char id[32];
	int r = 0;

	(void)state;
	assert_int_equal(idmap_new("/tmp", &m, NULL), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = before;
	limit.rlim_cur = 64 * 1024;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	while (r == 0 && added < 100000) {
		r = idmap_add(m, id, make_id(id, added), added, &number);
		added += r == 0;
	}
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(r, -EFBIG);
	assert_int_equal(added, 3072);
	for (uint32_t i = 0; i < added; i++)
		assert_true(idmap_find(m, id, make_id(id, i), &number));
	assert_int_equal(idmap_add(m, id, make_id(id, added), added, &number), 0);
}

static void test_no_such_directory(void **state)
{
	struct idmap *m = NULL;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(idmap_new("/dev/null/scratch", &m, &e), -ENOTDIR);
	assert_null(m);
	assert_non_null(strstr(e.text, "/dev/null/scratch"));
	idmap_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_added_is_found),	  cmocka_unit_test(test_odd_ids),
		cmocka_unit_test(test_growth_and_clear),  cmocka_unit_test(test_no_room_to_grow),
		cmocka_unit_test(test_no_such_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
