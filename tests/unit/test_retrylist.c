/* Which records a retry that nobody asked for runs again. */

#include "fs/job/retrylist.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

#include "tests/unit/dedupekit.h"

#define INPUT                                                                                      \
	KIT_IN("a", "1")                                                                           \
	"\n" KIT_IN("b", "2") "\r\n" KIT_IN("c", "3") "\n{\"modelInput\":{\"p\":4}}\n" KIT_IN("e", \
											      "5")
#define WITH_ID "{\"recordId\":\"r0000004\",\"modelInput\":{\"p\":4}}\n"

static void test_lists(void **state)
{
	static const struct {
		const char *why, *lines;
		bool with_missing;
		uint64_t count;
		const char *want;
	} rows[] = {
		{"what may go better, canonical",
		 KIT_GOOD("a", "x") "\n" KIT_BAD("b", "429") "\n" KIT_BAD("c", "400") "\n" KIT_BAD(
			 "r0000004", "500") "\n" KIT_GOOD("e", "x"),
		 false, 2, KIT_IN("b", "2") "\n" WITH_ID},
		{"missing ones if asked for", KIT_GOOD("a", "x") "\n" KIT_BAD("b", "400"), true, 3,
		 KIT_IN("c", "3") "\n" WITH_ID KIT_IN("e", "5") "\n"},
		{"and not if not", KIT_GOOD("a", "x") "\n" KIT_BAD("b", "503"), false, 1,
		 KIT_IN("b", "2") "\n"},
		{"a provider's word Missing is not ours",
		 KIT_BAD("a", "\"Missing\"") "\n" KIT_GOOD("b", "x") "\n" KIT_GOOD(
			 "c", "x") "\n" KIT_GOOD("r0000004", "x") "\n" KIT_GOOD("e", "x"),
		 true, 0, NULL},
		{"nothing", "", false, 0, NULL},
	};
	struct tempdir_name path = tempdir_path(state, "a2.list");

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct kit_join join = {.input = "input.jsonl",
					.dir = "g",
					.files = {"f"},
					.no_sharing = true,
					.missing_is_retryable = rows[i].with_missing};
		CLEANUP(str_freep) char *text = NULL;
		struct collect_summary sum;
		struct err e = ERR_INIT;
		struct results *r;
		uint64_t count = 99;

		unlink(path.text);
		kit_write(tempdir_path(state, "input.jsonl").text, INPUT);
		kit_write(tempdir_path(state, "f").text, rows[i].lines);
		r = kit_collect(state, &join, &sum);
		if (retrylist_write(r, rows[i].with_missing, path.text, &count, &e) < 0)
			fail_msg("%s: %s", rows[i].why, e.text);
		kit_done(r);
		text = kit_read(path.text);
		if (count != rows[i].count || !text != !rows[i].want ||
		    (text && strcmp(text, rows[i].want) != 0))
			fail_msg("%s: %llu [%s]", rows[i].why, (unsigned long long)count, text);
		assert_int_equal(sum.retryable_count, count); /* as the join foretold */
	}
}

static void test_no_room(void **state)
{
	const struct rlimit none = {10, RLIM_INFINITY};
	struct kit_join join = {.input = "input.jsonl", .dir = "g", .files = {"f"}};
	struct tempdir_name path = tempdir_path(state, "a2.list");
	struct rlimit before;
	struct collect_summary sum;
	struct err e = ERR_INIT;
	struct results *res;
	uint64_t count = 99;
	int r;

	kit_write(tempdir_path(state, "input.jsonl").text, INPUT);
	kit_write(tempdir_path(state, "f").text, "");
	res = kit_collect(state, &join, &sum);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	r = retrylist_write(res, true, path.text, &count, &e);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(r, -EFBIG);
	assert_int_equal(count, 99);
	assert_int_equal(access(path.text, F_OK), -1);
	assert_int_equal(retrylist_write(res, true, tempdir_path(state, "no/dir").text, &count, &e),
			 -ENOENT);
	kit_done(res);
}

/* Longer or shorter than the records that are not good. */
static void test_damaged(void **state)
{
	struct kit_join join = {.input = "input.jsonl", .dir = "g", .files = {"f"}};
	struct tempdir_name errors = tempdir_path(state, "g/errors.jsonl");
	struct collect_summary sum;
	struct err e = ERR_INIT;
	struct results *res = NULL;
	uint64_t count;
	FILE *f;

	kit_write(tempdir_path(state, "input.jsonl").text, INPUT);
	kit_write(tempdir_path(state, "f").text, "");
	kit_done(kit_collect(state, &join, &sum));
	/* The size is checked when it is opened, the lines are not. */
	f = fopen(errors.text, "r+e");
	assert_non_null(f);
	for (int c; (c = getc(f)) != EOF;)
		if (c == '\n') {
			assert_int_equal(fseek(f, -1, SEEK_CUR), 0);
			assert_int_equal(putc(' ', f), ' ');
			assert_int_equal(fflush(f), 0);
		}
	assert_int_equal(fclose(f), 0);
	assert_int_equal(results_open(NULL, tempdir_path(state, "g").text, &res, &e), 0);
	assert_int_equal(results_pin(res, &e), 0);
	assert_int_equal(
		retrylist_write(res, true, tempdir_path(state, "a2.list").text, &count, &e),
		-EUCLEAN);
	kit_done(res);
}

#define IN_TEMPDIR(test) cmocka_unit_test_setup_teardown(test, tempdir_setup, tempdir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_TEMPDIR(test_lists),
		IN_TEMPDIR(test_no_room),
		IN_TEMPDIR(test_damaged),
	};

	return cmocka_run_group_tests_name("retrylist", tests, NULL, NULL);
}
