/* Records that were given the same: which line each gets, and what of it is counted. */

#include "fs/job/copies.h"

#include <errno.h>

#include "tests/unit/dedupekit.h"

static struct jsonspan span(const char *text)
{
	return jsonspan_of(text, strlen(text));
}

static void test_the_first_of_each_kind(void **state)
{
	struct copies *c = NULL;
	struct err e = ERR_INIT;
	uint64_t index = 99;

	assert_int_equal(copies_new(*state, &c, &e), 0);
	assert_false(copies_find(c, span("{}"), COPIES_GOOD, &index));
	assert_int_equal(copies_add(c, span("{\"a\":1}"), COPIES_GOOD, 7, &e), 0);
	assert_int_equal(copies_add(c, span("{\"a\":1.0}"), COPIES_GOOD, 8, &e), 0);
	assert_int_equal(copies_add(c, span("{\"a\":1}"), COPIES_FAILED, 3, &e), 0);
	assert_int_equal(copies_add(c, span("{\"a\":2}"), COPIES_FAILED, 5, &e), 0);
	assert_false(copies_find(c, span("{\"a\":2}"), COPIES_GOOD, &index));
	assert_false(copies_find(c, span("{\"a\":2}"), COPIES_FAILED_NOW, &index));
	assert_int_equal(index, 99);
	assert_true(copies_find(c, span("{ \"a\":1}"), COPIES_GOOD, &index));
	assert_int_equal(index, 7);
	assert_true(copies_find(c, span("{\"a\":1}"), COPIES_FAILED, &index));
	assert_int_equal(index, 3);
	assert_int_equal(copies_add(c, span("{}"), COPIES_GOOD, UINT32_MAX, &e), -E2BIG);
	copies_free(c);
	copies_free(NULL);
	c = NULL;
	assert_int_equal(copies_new("/dev/null/scratch", &c, &e), -ENOTDIR);
	assert_null(c);
}

/* Three records, of which a and b were given the same. */
#define INPUT KIT_IN("a", "1") "\n" KIT_IN("b", "1.0") "\n" KIT_IN("c", "2") "\n"
#define MISSING(id)                                                                                \
	"{\"recordId\":\"" id                                                                      \
	"\",\"error\":{\"errorCode\":\"Missing\",\"errorMessage\":\"not run\"}}"

static const struct {
	const char *why, *first, *second; /* second: of the last attempt */
	const char *output, *errors;
	uint64_t good, failed, copied;
} rows[] = {
	{"a good line is shared", KIT_GOOD("a", "x") "\n" KIT_GOOD("c", "y"), NULL,
	 KIT_GOOD("a", "x") "\n" KIT_GOOD("b", "x") "\n" KIT_GOOD("c", "y") "\n", "", 3, 0, 1},
	{"whichever of them has it", KIT_GOOD("b", "x") "\n" KIT_GOOD("c", "y"), NULL,
	 KIT_GOOD("a", "x") "\n" KIT_GOOD("b", "x") "\n" KIT_GOOD("c", "y") "\n", "", 3, 0, 1},
	{"in the place of a failure", KIT_BAD("a", "400") "\n" KIT_GOOD("b", "x"), NULL,
	 KIT_GOOD("a", "x") "\n" KIT_GOOD("b", "x") "\n", MISSING("c") "\n", 2, 0, 1},
	{"who has a good one keeps it", KIT_GOOD("a", "x") "\n" KIT_GOOD("b", "y"), NULL,
	 KIT_GOOD("a", "x") "\n" KIT_GOOD("b", "y") "\n", MISSING("c") "\n", 2, 0, 0},
	{"a failure is shared where there is no line", KIT_BAD("b", "400"), NULL,
	 KIT_BAD("a", "400") "\n" KIT_BAD("b", "400") "\n",
	 KIT_BAD("a", "400") "\n" KIT_BAD("b", "400") "\n" MISSING("c") "\n", 0, 2, 0},
	{"who failed by itself keeps its own words", KIT_BAD("a", "1") "\n" KIT_BAD("b", "2"), NULL,
	 KIT_BAD("a", "1") "\n" KIT_BAD("b", "2") "\n",
	 KIT_BAD("a", "1") "\n" KIT_BAD("b", "2") "\n" MISSING("c") "\n", 0, 2, 0},
	{"a failure of this attempt is news for the other one",
	 KIT_BAD("a", "1") "\n" KIT_BAD("b", "2"), KIT_BAD("a", "3"),
	 KIT_BAD("a", "3") "\n" KIT_BAD("b", "3") "\n",
	 KIT_BAD("a", "3") "\n" KIT_BAD("b", "3") "\n" MISSING("c") "\n", 0, 2, 0},
	{"unless it was sent as well", KIT_BAD("a", "1") "\n" KIT_BAD("b", "2"),
	 KIT_BAD("a", "3") "\n" KIT_BAD("b", "4"), KIT_BAD("a", "3") "\n" KIT_BAD("b", "4") "\n",
	 KIT_BAD("a", "3") "\n" KIT_BAD("b", "4") "\n" MISSING("c") "\n", 0, 2, 0},
	{"one from before is news only to who has none", KIT_BAD("a", "1"), "",
	 KIT_BAD("a", "1") "\n" KIT_BAD("b", "1") "\n",
	 KIT_BAD("a", "1") "\n" KIT_BAD("b", "1") "\n" MISSING("c") "\n", 0, 2, 0},
	{"good from before", KIT_GOOD("a", "x"), KIT_BAD("b", "400"),
	 KIT_GOOD("a", "x") "\n" KIT_GOOD("b", "x") "\n", MISSING("c") "\n", 2, 0, 1},
	{"nobody has one", "", NULL, "", MISSING("a") "\n" MISSING("b") "\n" MISSING("c") "\n", 0,
	 0, 0},
};

static void test_sharing(void **state)
{
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct kit_join join = {.input = "input.jsonl",
					.dir = "g",
					.files = {"f", rows[i].second ? "s" : NULL},
					.earlier = rows[i].second ? 1 : 0};
		struct collect_summary sum;
		struct results *r;

		print_message("# %s\n", rows[i].why);
		kit_write(tempdir_path(state, "input.jsonl").text, INPUT);
		kit_write(tempdir_path(state, "f").text, rows[i].first);
		kit_write(tempdir_path(state, "s").text, rows[i].second ? rows[i].second : "");
		r = kit_collect(state, &join, &sum);
		kit_assert_bytes(r, RESULTS_OUTPUT, rows[i].output);
		kit_assert_bytes(r, RESULTS_ERRORS, rows[i].errors);
		assert_int_equal(sum.counts.good, rows[i].good);
		assert_int_equal(sum.counts.failed, rows[i].failed);
		assert_int_equal(sum.copied.records, rows[i].copied);
		assert_int_equal(sum.copied.tokens.input, 2 * rows[i].copied);
		assert_int_equal(sum.copied.tokens.output, 3 * rows[i].copied);
		assert_int_equal(sum.tokens.output, 3 * rows[i].good);
		kit_done(r);
	}
}

/* Ids with all that JSON escapes, and none. */
static void test_only_the_id_changes(void **state)
{
	struct kit_join join = {.input = "input.jsonl", .dir = "g", .files = {"f"}};
	struct collect_summary sum;
	struct results *r;
	uint64_t index;

	kit_write(tempdir_path(state, "input.jsonl").text,
		  "{\"recordId\":\"\\\"\\\\\",\"modelInput\":{}}\n{\"modelInput\":{}}\n"
		  "{\"recordId\":\"o\",\"modelInput\":{}}\n");
	kit_write(
		tempdir_path(state, "f").text,
		" {\"recordId\" : \"o\" ,\"x\":[1, 2],\"modelOutput\":{\"generation\":\"o\"}} \n");
	r = kit_collect(state, &join, &sum);
	kit_assert_bytes(
		r, RESULTS_OUTPUT,
		" {\"recordId\" : \"\\\"\\\\\" ,\"x\":[1, 2],\"modelOutput\":{\"generation\":\"o\"}} \n"
		" {\"recordId\" : \"r0000002\" ,\"x\":[1, 2],\"modelOutput\":{\"generation\":\"o\"}} \n"
		" {\"recordId\" : \"o\" ,\"x\":[1, 2],\"modelOutput\":{\"generation\":\"o\"}} \n");
	assert_true(results_find(r, "r0000002", 8, &index));
	assert_int_equal(index, 1);
	assert_int_equal(sum.copied.records, 2);
	kit_done(r);
}

static void test_nothing_is_shared_unasked(void **state)
{
	struct kit_join join = {
		.input = "input.jsonl", .dir = "g", .files = {"f"}, .no_sharing = true};
	struct collect_summary sum;

	kit_write(tempdir_path(state, "input.jsonl").text, INPUT);
	kit_write(tempdir_path(state, "f").text, KIT_GOOD("a", "x") "\n");
	kit_done(kit_collect(state, &join, &sum));
	assert_int_equal(sum.counts.good, 1);
	assert_int_equal(sum.copied.records, 0);
}

static void test_padding(void **state)
{
	struct kit_join join = {.input = "input.jsonl", .dir = "g", .files = {"f"}};
	struct collect_summary sum;
	struct results *r;

	kit_write(tempdir_path(state, "input.jsonl").text,
		  KIT_IN("a", "1") "\n" KIT_IN("batchfs-pad-000001", "2") "\n");
	kit_write(
		tempdir_path(state, "f").text,
		KIT_GOOD("batchfs-pad-000002", "p") "\n" KIT_GOOD("a", "x") "\n" KIT_BAD(
			"batchfs-pad-000003",
			"400") "\n" KIT_GOOD("batchfs-padx-000001",
					     "p") "\n" KIT_GOOD("batchfs-pa",
								"p") "\n" KIT_GOOD("batchfs-pad-000001",
										   "mine") "\n");
	r = kit_collect(state, &join, &sum);
	kit_assert_bytes(r, RESULTS_OUTPUT,
			 KIT_GOOD("a", "x") "\n" KIT_GOOD("batchfs-pad-000001", "mine") "\n");
	kit_done(r);
	assert_int_equal(sum.padding.records, 3);
	assert_int_equal(sum.padding.tokens.input, 4);
	assert_int_equal(sum.padding.tokens.output, 6);
	assert_int_equal(sum.tokens.output, 6);
	assert_int_equal(sum.strange_lines, 1); /* batchfs-pa is nothing of ours */
}

static void test_what_may_go_better_is_counted(void **state)
{
	struct kit_join join = {.input = "input.jsonl", .dir = "g", .files = {"f"}};
	struct collect_summary sum;

	kit_write(tempdir_path(state, "input.jsonl").text, INPUT);
	kit_write(tempdir_path(state, "f").text, KIT_BAD("a", "429") "\n");
	kit_done(kit_collect(state, &join, &sum));
	assert_int_equal(sum.retryable_count, 2); /* b shares it */
	join.missing_is_retryable = true;
	kit_done(kit_collect(state, &join, &sum));
	assert_int_equal(sum.retryable_count, 3);
	join.no_sharing = true;
	kit_write(tempdir_path(state, "f").text, KIT_BAD("a", "400") "\n" KIT_GOOD("b", "x"));
	kit_done(kit_collect(state, &join, &sum));
	assert_int_equal(sum.retryable_count, 1);
}

#define IN_TEMPDIR(test) cmocka_unit_test_setup_teardown(test, tempdir_setup, tempdir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_TEMPDIR(test_the_first_of_each_kind),
		IN_TEMPDIR(test_sharing),
		IN_TEMPDIR(test_only_the_id_changes),
		IN_TEMPDIR(test_nothing_is_shared_unasked),
		IN_TEMPDIR(test_padding),
		IN_TEMPDIR(test_what_may_go_better_is_counted),
	};

	return cmocka_run_group_tests_name("copies", tests, NULL, NULL);
}
