/* Joining result lines to the input: which line counts, in what order, and
 * what is said of records without one. */

#include "fs/job/collect.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "cache/results.h"
#include "fs/job/linereader.h"
#include "fs/job/resultcsv.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/tempdir.h"

#define CSV_HEADER                                                                                 \
	"record_id,status,text,stop_reason,input_tokens,output_tokens,error_code,error_message\r\n"

static void spit(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_int_equal(fputs(text, f) >= 0, 1);
	assert_int_equal(fclose(f), 0);
}

static void unrefp(struct results **r)
{
	results_unref(*r);
	*r = NULL;
}

/* Runs it over input and result files given as texts. */
static bool by_input; /* of the next run */

static int run(void **state, const char *input, const char *const *files, size_t count,
	       struct collect_summary *sum, struct err *e)
{
	struct tempdir_name in = tempdir_path(state, "input.jsonl"), g = tempdir_path(state, "g1"),
			    names[4];
	const char *paths[4];
	struct collect_request q = {.input_path = in.text,
				    .scratch_dir = *state,
				    .results_dir = g.text,
				    .paths = paths,
				    .path_count = count,
				    .model = "m",
				    .join_by_input = by_input,
				    .missing_reason = "the job was stopped, \"early\""};

	spit(in.text, input);
	for (size_t i = 0; i < count; i++) {
		char name[8];

		snprintf(name, sizeof(name), "f%zu", i);
		names[i] = tempdir_path(state, name);
		paths[i] = names[i].text;
		if (files[i])
			spit(paths[i], files[i]);
	}
	return collect_run(&q, sum, e);
}

static void assert_file(const struct results *r, enum results_file f, const char *want)
{
	uint64_t size;
	const char *at = results_bytes(r, f, &size);

	if (size != strlen(want) || memcmp(at, want, size) != 0)
		fail_msg("file %d is [%.*s], not [%s]", (int)f, (int)size, at, want);
}

#define GOOD(id, text)                                                                             \
	"{\"modelInput\":{},\"modelOutput\":{\"generation\":\"" text                               \
	"\",\"prompt_token_count\":2,\"generation_token_count\":3,"                                \
	"\"stop_reason\":\"stop\"},\"recordId\":\"" id "\"}"
#define BAD(id, message)                                                                           \
	"{\"modelInput\":{},\"error\":{\"errorCode\":400,\"errorMessage\":\"" message              \
	"\"},\"recordId\":\"" id "\"}"
#define IN(id) "{\"recordId\":\"" id "\",\"modelInput\":{\"prompt\":\"p\"}}"

static void test_everything(void **state)
{
	static const char *const files[] = {
		GOOD("c", "third, \\\"x\\\"") "\n" BAD("b", "no") "\n" GOOD("nobody", "x") "\n\n",
		"nonsense\n" GOOD("a", "first") "\n" GOOD("d", "torn")};
	CLEANUP(unrefp) struct results *r = NULL;
	struct collect_summary sum = {0};
	struct err e = ERR_INIT;
	const char *at;
	uint64_t index;
	size_t n;

	if (run(state, IN("a") "\n" IN("b") "\n" IN("c") "\r\n" IN("d") "\n" IN("e/e"), files, 2,
		&sum, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(sum.counts.total, 5);
	assert_int_equal(sum.counts.good, 3);
	assert_int_equal(sum.counts.failed, 1);
	assert_int_equal(sum.strange_lines, 2);
	assert_int_equal(sum.tokens.input, 6);
	assert_int_equal(sum.tokens.output, 9);

	assert_int_equal(results_open(NULL, tempdir_path(state, "g1").text, &r, &e), 0);
	assert_int_equal(results_counts(r).failed, 1);
	assert_int_equal(results_tokens(r).output, 9);
	assert_file(r, RESULTS_OUTPUT,
		    GOOD("a", "first") "\n" BAD("b", "no") "\n" GOOD(
			    "c", "third, \\\"x\\\"") "\n" GOOD("d", "torn") "\n");
	assert_file(r, RESULTS_ERRORS,
		    BAD("b", "no") "\n{\"recordId\":\"e/e\",\"error\":{\"errorCode\":\"Missing\","
				   "\"errorMessage\":\"the job was stopped, \\\"early\\\"\"}}\n");
	assert_file(r, RESULTS_RETRY, IN("b") "\n" IN("e/e") "\n");
	assert_file(r, RESULTS_CSV,
		    CSV_HEADER
		    "a,good,first,stop,2,3,,\r\n"
		    "b,failed,,,,,400,no\r\n"
		    "c,good,\"third, \"\"x\"\"\",stop,2,3,,\r\n"
		    "d,good,torn,stop,2,3,,\r\n"
		    "e/e,missing,,,,,Missing,\"the job was stopped, \"\"early\"\"\"\r\n");
	assert_true(results_find(r, "c", 1, &index));
	at = results_text(r, index, &n);
	assert_int_equal(n, 11);
	assert_memory_equal(at, "third, \"x\"\n", n);
	assert_true(results_find(r, "e%2Fe", 5, &index));
	assert_int_equal(results_outcome(r, index), RESULTS_MISSING);
}

#define GAVE(input) "{\"modelInput\":" input "}"
#define DREW(input, id, text)                                                                      \
	"{\"modelInput\":" input ",\"modelOutput\":{\"generation\":\"" text                        \
	"\"},\"recordId\":\"" id "\"}"

/* Made elsewhere without ids: the provider drew some. */
static void test_ids_that_were_drawn(void **state)
{
	static const char *const files[] = {
		DREW("{\"n\":2.0}", "bFBEdQuy3Gp", "two") "\n" DREW("{\"n\":1,\"m\":[]}", "cccc",
								    "one") "\n" IN("x") "\n",
		DREW("{\"n\":2}", "dddd", "two again") "\n" DREW(
			"{\"n\":2}", "eeee", "once too often") "\n" GOOD("own", "by its id") "\n"};
	CLEANUP(unrefp) struct results *r = NULL;
	struct collect_summary sum;
	struct err e = ERR_INIT;

	by_input = true;
	if (run(state,
		GAVE("{ \"m\": [], \"n\": 1 }") "\n" GAVE("{\"n\":2}") "\n" GAVE(
			"{\"n\":2}") "\n" IN("own") "\n" GAVE("{\"n\":3}") "\n",
		files, 2, &sum, &e) < 0)
		fail_msg("%s", e.text);
	by_input = false;
	assert_int_equal(sum.counts.total, 5);
	assert_int_equal(sum.counts.good, 4);
	assert_int_equal(sum.counts.failed, 0);
	assert_int_equal(sum.strange_lines, 2);
	assert_int_equal(results_open(NULL, tempdir_path(state, "g1").text, &r, &e), 0);
	assert_file(r, RESULTS_OUTPUT,
		    DREW("{\"n\":1,\"m\":[]}", "cccc", "one") "\n" DREW(
			    "{\"n\":2.0}", "bFBEdQuy3Gp",
			    "two") "\n" DREW("{\"n\":2}", "dddd",
					     "two again") "\n" GOOD("own", "by its id") "\n");
	/* Here they have our names. */
	assert_file(r, RESULTS_RETRY, "{\"recordId\":\"r0000005\",\"modelInput\":{\"n\":3}}\n");
	assert_file(r, RESULTS_CSV,
		    CSV_HEADER
		    "r0000001,good,one,,,,,\r\n"
		    "r0000002,good,two,,,,,\r\n"
		    "r0000003,good,two again,,,,,\r\n"
		    "own,good,by its id,stop,2,3,,\r\n"
		    "r0000005,missing,,,,,Missing,\"the job was stopped, \"\"early\"\"\"\r\n");
}

static void test_which_line_counts(void **state)
{
	static const struct {
		const char *why, *first, *second, *want;
	} rows[] = {
		{"the only one", GOOD("a", "1") "\n", NULL, GOOD("a", "1") "\n"},
		{"of two good ones the first", GOOD("a", "1") "\n", GOOD("a", "2") "\n",
		 GOOD("a", "1") "\n"},
		{"of two failures the last", BAD("a", "1") "\n", BAD("a", "2") "\n",
		 BAD("a", "2") "\n"},
		{"a good one after a failure", BAD("a", "1") "\n", GOOD("a", "2") "\n",
		 GOOD("a", "2") "\n"},
		{"a good one is never replaced", GOOD("a", "1") "\n", BAD("a", "2") "\n",
		 GOOD("a", "1") "\n"},
		{"nor by one of the same file", GOOD("a", "1") "\n" BAD("a", "2") "\n", NULL,
		 GOOD("a", "1") "\n"},
		{"a torn last line is none", BAD("a", "1") "\n{\"recordId\":\"a\",\"modelOut", NULL,
		 BAD("a", "1") "\n"},
		{"a whole last line without newline is one", GOOD("a", "1"), NULL,
		 GOOD("a", "1") "\n"},
		{"ids are compared decoded", GOOD("\\u0061", "1") "\n", NULL,
		 GOOD("\\u0061", "1") "\n"},
		{"line separators of Unicode are no line ends",
		 GOOD("a", "1\xe2\x80\xa8\xc2\x85") "\n", NULL,
		 GOOD("a", "1\xe2\x80\xa8\xc2\x85") "\n"},
		{"nothing", "", "", ""},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(unrefp) struct results *r = NULL;
		const char *files[] = {rows[i].first, rows[i].second};
		struct collect_summary sum = {0};
		struct err e = ERR_INIT;
		uint64_t size;
		const char *at;

		if (run(state, IN("a") "\n", files, rows[i].second ? 2 : 1, &sum, &e) < 0)
			fail_msg("%s: %s", rows[i].why, e.text);
		assert_int_equal(results_open(NULL, tempdir_path(state, "g1").text, &r, &e), 0);
		at = results_bytes(r, RESULTS_OUTPUT, &size);
		if (size != strlen(rows[i].want) || memcmp(at, rows[i].want, size) != 0)
			fail_msg("%s: %.*s", rows[i].why, (int)size, at);
		assert_int_equal(sum.strange_lines, 0);
	}
}

static void test_records_without_ids(void **state)
{
	static const char *const files[] = {GOOD("r0000002", "two") "\n"};
	CLEANUP(unrefp) struct results *r = NULL;
	struct collect_summary sum = {0};
	struct err e = ERR_INIT;
	const char *at;
	size_t n;

	assert_int_equal(run(state,
			     " { \"modelInput\":{}}\r\n{\"modelInput\":{}}\n"
			     "{\"modelInput\":{},\"recordId\":\"own\"}",
			     files, 1, &sum, &e),
			 0);
	assert_int_equal(results_open(NULL, tempdir_path(state, "g1").text, &r, &e), 0);
	assert_int_equal(sum.counts.good, 1);
	assert_file(r, RESULTS_RETRY,
		    " {\"recordId\":\"r0000001\", \"modelInput\":{}}\n"
		    "{\"modelInput\":{},\"recordId\":\"own\"}\n");
	at = results_name(r, 1, &n);
	assert_int_equal(n, 8);
	assert_memory_equal(at, "r0000002", n);
	assert_int_equal(results_outcome(r, 1), RESULTS_GOOD);
}

static void test_failures_leave_nothing(void **state)
{
	static const struct {
		const char *why, *input, *file;
		int want;
	} rows[] = {
		{"a result file is gone", IN("a") "\n", NULL, -ENOENT},
		{"the input is no longer valid", IN("a") "\nnonsense\n", "", -EINVAL},
		{"the input has become empty", "", "", -EINVAL},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const char *files[] = {rows[i].file};
		struct collect_summary sum = {.strange_lines = 99};
		struct err e = ERR_INIT;
		int r;

		unlink(tempdir_path(state, "f0").text);
		r = run(state, rows[i].input, files, 1, &sum, &e);
		if (r != rows[i].want || !e.text[0])
			fail_msg("%s: %d %s", rows[i].why, r, e.text);
		assert_int_equal(sum.strange_lines, 99);
		assert_int_equal(access(tempdir_path(state, "g1").text, F_OK), -1);
		assert_int_equal(access(tempdir_path(state, "g1.tmp").text, F_OK), -1);
	}
}

/* Files that cannot grow, as on a full disk: a limit of the process stands in
 * for it.  Nothing is left behind, and it can be called again. */
static void test_no_room(void **state)
{
	static const char *const files[] = {GOOD("a", "some words") "\n"};
	const struct rlimit none = {1000, RLIM_INFINITY};
	struct rlimit before;
	struct collect_summary sum = {0};
	struct err e = ERR_INIT;
	int r;

	assert_int_equal(run(state, IN("a") "\n", files, 1, &sum, &e), 0);
	assert_int_equal(sum.counts.good, 1);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	r = run(state, IN("a") "\n", files, 1, &sum, &e);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(r, -EFBIG);
	assert_true(e.text[0] != '\0');
	assert_int_equal(access(tempdir_path(state, "g1").text, F_OK), 0); /* the old one */
	assert_int_equal(access(tempdir_path(state, "g1.tmp").text, F_OK), -1);
	assert_int_equal(run(state, IN("a") "\n", files, 1, &sum, &e), 0);
}

static void test_unreadable_results(void **state)
{
	struct tempdir_name in = tempdir_path(state, "input.jsonl"), g = tempdir_path(state, "g1");
	const char *paths[] = {*state}; /* a directory: opens, and cannot be read */
	struct collect_request q = {.input_path = in.text,
				    .scratch_dir = *state,
				    .results_dir = g.text,
				    .paths = paths,
				    .path_count = 1,
				    .missing_reason = ""};
	struct collect_summary sum = {0};
	struct err e = ERR_INIT;

	spit(in.text, IN("a") "\n");
	assert_int_equal(collect_run(&q, &sum, &e), -EISDIR);
	assert_non_null(strstr(e.text, paths[0]));
}

/* More files than are kept open, in an order that uses every one again. */
/* At an unmount nobody waits for a million records to be joined. */
static void test_a_cancel_leaves_nothing(void **state)
{
	struct tempdir_name in = tempdir_path(state, "input.jsonl"), g = tempdir_path(state, "g1");
	const atomic_bool cancel = true;
	struct collect_request q = {.input_path = in.text,
				    .scratch_dir = *state,
				    .results_dir = g.text,
				    .missing_reason = "",
				    .cancel = &cancel};
	struct collect_summary sum = {0};
	struct err e = ERR_INIT;

	spit(in.text, IN("a") "\n");
	assert_int_equal(collect_run(&q, &sum, &e), -ECANCELED);
	assert_int_equal(access(g.text, F_OK), -1);
}

static void test_many_files(void **state)
{
	enum {
		FILES = 70,
		RECORDS = 700
	};
	struct tempdir_name names[FILES], in = tempdir_path(state, "input.jsonl"),
					  g = tempdir_path(state, "g1");
	const char *paths[FILES];
	struct collect_request q = {.input_path = in.text,
				    .scratch_dir = *state,
				    .results_dir = g.text,
				    .paths = paths,
				    .path_count = FILES,
				    .missing_reason = ""};
	struct collect_summary sum = {0};
	struct err e = ERR_INIT;
	FILE *f = fopen(in.text, "we");

	for (int i = 0; i < RECORDS; i++)
		fprintf(f, "{\"recordId\":\"%d\",\"modelInput\":{}}\n", i);
	fclose(f);
	for (int file = 0; file < FILES; file++) {
		char name[16];

		snprintf(name, sizeof(name), "f%d", file);
		names[file] = tempdir_path(state, name);
		paths[file] = names[file].text;
		f = fopen(paths[file], "we");
		for (int i = file; i < RECORDS; i += FILES)
			fprintf(f,
				"{\"modelOutput\":{\"generation\":\"%d\"},\"recordId\":\"%d\"}\n",
				i, i);
		fclose(f);
	}
	assert_int_equal(collect_run(&q, &sum, &e), 0);
	assert_int_equal(sum.counts.good, RECORDS);
}

static void test_csv_fields(void **state)
{
	static const struct {
		const char *why, *text;
		size_t size;
		const char *field;
	} rows[] = {
		{"plain", "abc\n", 4, "abc"},
		{"nothing", "", 0, ""},
		{"only the last newline goes", "a\n\n", 3, "\"a\n\""},
		{"a comma", "a,b\n", 4, "\"a,b\""},
		{"a quote", "\"\n", 2, "\"\"\"\""},
		{"blanks at the end", " a\n", 3, "\" a\""},
		{"not UTF-8", "a\xff,b", 4, "\"a\xef\xbf\xbd,b\""},
		{"a NUL", "a\0b", 3,
		 "a\xef\xbf\xbd"
		 "b"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(buf_release) struct buf out;
		CLEANUP(buf_release) struct buf want;
		struct tokens none = {0, 0};

		buf_init(&out, 1000);
		buf_init(&want, 1000);
		resultcsv_add_row(&out, &(struct resultcsv_row){.id = "i",
								.id_size = 1,
								.status = "good",
								.text = rows[i].text,
								.text_size = rows[i].size,
								.tokens = &none});
		buf_addf(&want, "i,good,%s,,0,0,,\r\n", rows[i].field);
		if (strcmp(out.data, want.data) != 0)
			fail_msg("%s: %s", rows[i].why, out.data);
	}
}

static void test_lines(void **state)
{
	enum {
		BIG = 3000000,
		MAX = 3500000
	};
	struct tempdir_name path = tempdir_path(state, "lines");
	CLEANUP(linereader_release) struct linereader lr;
	CLEANUP(str_freep) char *big = malloc(MAX + 3);
	struct line line;
	FILE *f = fopen(path.text, "we");
	int fd;

	assert_non_null(big);
	memset(big, 'x', MAX + 2);
	big[MAX + 2] = '\0';
	fprintf(f, "one\n\n%.*s\n%s\nlast", BIG, big, big);
	fclose(f);
	fd = open(path.text, O_RDONLY);
	linereader_init(&lr, fd, MAX);

	assert_int_equal(linereader_next(&lr, &line), 0);
	assert_true(line.size == 3 && line.offset == 0 && line.is_whole);
	assert_memory_equal(line.at, "one", 3);
	assert_int_equal(linereader_next(&lr, &line), 0);
	assert_true(line.at && line.size == 0 && line.offset == 4 && line.is_whole);
	assert_int_equal(linereader_next(&lr, &line), 0);
	assert_true(line.size == BIG && line.offset == 5);
	assert_memory_equal(line.at, big, BIG);
	assert_int_equal(linereader_next(&lr, &line), 0);
	assert_true(line.at && line.is_too_long && line.is_whole && line.size == 0);
	assert_int_equal(linereader_next(&lr, &line), 0);
	assert_true(line.size == 4 && !line.is_whole && !line.is_too_long);
	assert_int_equal(line.offset, 5 + BIG + 1 + MAX + 2 + 1);
	assert_memory_equal(line.at, "last", 4);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(linereader_next(&lr, &line), 0);
		assert_null(line.at);
	}
	linereader_release(&lr);
	linereader_init(&lr, -1, MAX);
	assert_int_equal(linereader_next(&lr, &line), -EBADF);
	close(fd);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, tempdir_setup, tempdir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_everything),
		TEST(test_which_line_counts),
		TEST(test_ids_that_were_drawn),
		TEST(test_records_without_ids),
		TEST(test_failures_leave_nothing),
		TEST(test_no_room),
		TEST(test_unreadable_results),
		TEST(test_a_cancel_leaves_nothing),
		TEST(test_many_files),
		TEST(test_csv_fields),
		TEST(test_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
