/* Ids that several records of an input have: who loses them, and what stays. */

#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "fs/job/doubles.h"
#include "tests/unit/tempdir.h"

#define R(id, n) "{\"recordId\":\"" id "\",\"modelInput\":{\"n\":" n "}}\n"
#define N(n)	 "{\"modelInput\":{\"n\":" n "}}\n"

static const struct {
	const char *why, *before, *after; /* NULL: as before */
	uint64_t count;
} rows[] = {
	{"none", R("a", "1") R("b", "2"), NULL, 0},
	{"all that have it", R("a", "1") R("b", "2") R("a", "3"), N("1") R("b", "2") N("3"), 2},
	{"three", R("a", "1") R("a", "2") R("a", "3"), N("1") N("2") N("3"), 3},
	{"two pairs", R("a", "1") R("b", "2") R("b", "3") R("a", "4"), N("1") N("2") N("3") N("4"),
	 4},
	{"an id is what it says", R("a", "1") R("\\u0061", "2"), N("1") N("2"), 2},
	{"no newline at the end", R("a", "1") "{\"recordId\":\"a\",\"modelInput\":{\"n\":2}}",
	 N("1") N("2"), 2},
	{"members in any order", R("a", "1") "{\"modelInput\":{\"n\":2},\"recordId\":\"a\"}\n",
	 N("1") N("2"), 2},
	{"others keep their bytes",
	 "{ \"recordId\" : \"b\", \"modelInput\":{}}\r\n" R("a", "1") R("a", "2"),
	 "{ \"recordId\" : \"b\", \"modelInput\":{}}\r\n" N("1") N("2"), 2},
	{"records without an id", N("1") N("1"), NULL, 0},
	{"what is no record", "[]\n{\"recordId\":\"a\"}\nno\n{\"recordId\":\"a\"}\n", NULL, 0},
	{"an id that is no string",
	 "{\"recordId\":1,\"modelInput\":{}}\n"
	 "{\"recordId\":1,\"modelInput\":{}}\n",
	 NULL, 0},
	{"nothing", "", NULL, 0},
};

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void test_table(void **state)
{
	struct tempdir_name path = tempdir_path(state, "in");

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const char *want = rows[i].after ? rows[i].after : rows[i].before;
		char text[1024] = "";
		struct err e = ERR_INIT;
		uint64_t count;
		FILE *f;

		put(path.text, rows[i].before);
		if (doubles_unname(*state, path.text, NULL, &count, &e) != 0)
			fail_msg("%s: %s", rows[i].why, e.text);
		f = fopen(path.text, "re");
		assert_non_null(f);
		text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
		fclose(f);
		if (count != rows[i].count || strcmp(text, want) != 0)
			fail_msg("%s: %llu\n%s", rows[i].why, (unsigned long long)count, text);
	}
}

static void test_failures(void **state)
{
	struct tempdir_name path = tempdir_path(state, "in");
	atomic_bool cancel = true;
	struct err e = ERR_INIT;
	uint64_t count = 1;

	assert_int_equal(doubles_unname(*state, path.text, NULL, &count, &e), -ENOENT);
	assert_int_equal(count, 0);
	put(path.text, R("a", "1") R("a", "2"));
	assert_int_equal(doubles_unname(*state, path.text, &cancel, &count, &e), -ECANCELED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_table, tempdir_setup, tempdir_teardown),
		cmocka_unit_test_setup_teardown(test_failures, tempdir_setup, tempdir_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
