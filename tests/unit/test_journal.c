/* The journal: whole lines, torn ends, full disks, syncs in groups. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "backend/journal.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/tempdir.h"

#define LINE(id) "{\"modelInput\":{},\"modelOutput\":{\"a\":1},\"recordId\":\"" id "\"}\n"

static void journalp_close(struct journal **j)
{
	journal_close(*j);
}

struct seen {
	char ids[1000];
	size_t good;
	int result;
};

static int see(void *ctx, const struct envelope *v)
{
	struct seen *s = ctx;
	size_t n = strlen(s->ids);

	snprintf(s->ids + n, sizeof(s->ids) - n, "%.*s", (int)v->id.size, v->id.at);
	s->good += v->good;
	return s->result;
}

static void put(const char *path, const char *text, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, size), size);
	close(fd);
}

static off_t size_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_size;
}

static int add(struct journal *j, const char *line)
{
	buf_add_str(journal_line(j), line);
	return journal_added(j);
}

static void test_what_is_read_back(void **state)
{
	static const struct {
		const char *why, *text, *ids;
		size_t size, left, good; /* size 0: to the NUL */
	} rows[] = {
		{"nothing", "", "", 0, 0, 0},
		{"two lines", LINE("a") LINE("b"), "\"a\"\"b\"", 0, 2 * sizeof(LINE("a")) - 2, 2},
		{"a torn end is cut off", LINE("a") "{\"modelInp", "\"a\"", 0,
		 sizeof(LINE("a")) - 1, 1},
		{"only a torn line", "{\"modelInp", "", 0, 0, 0},
		{"a whole line but for its newline", "{\"recordId\":\"a\"}", "", 0, 0, 0},
		{"lost blocks", "\0\0\0\0\n" LINE("a"), "\"a\"", 5 + sizeof(LINE("a")) - 1,
		 5 + sizeof(LINE("a")) - 1, 1},
		{"an error line", "{\"error\":{\"errorCode\":1},\"recordId\":\"x\"}\n", "\"x\"", 0,
		 41, 0},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct tempdir_name path = tempdir_path(state, "j");
		CLEANUP(journalp_close) struct journal *j = NULL;
		struct seen seen = {.ids = ""};
		struct clock clock;

		clock_init_manual(&clock, 0, 0);
		put(path.text, rows[i].text, rows[i].size ? rows[i].size : strlen(rows[i].text));
		assert_int_equal(journal_open(path.text, &clock, see, &seen, &j, NULL), 0);
		if (strcmp(seen.ids, rows[i].ids) != 0 || seen.good != rows[i].good ||
		    (size_t)size_of(path.text) != rows[i].left)
			fail_msg("%s: %s %zu %zu", rows[i].why, seen.ids, seen.good,
				 (size_t)size_of(path.text));
	}
}

static void test_lines_are_appended(void **state)
{
	struct tempdir_name path = tempdir_path(state, "j");
	struct seen seen = {.ids = ""};
	struct clock clock;

	clock_init_manual(&clock, 0, 0);
	for (int i = 0; i < 3; i++) {
		CLEANUP(journalp_close) struct journal *j = NULL;

		seen.ids[0] = '\0';
		assert_int_equal(journal_open(path.text, &clock, see, &seen, &j, NULL), 0);
		assert_int_equal(add(j, LINE("a")), 0);
	}
	assert_string_equal(seen.ids, "\"a\"\"a\"");
	assert_int_equal(size_of(path.text), 3 * (sizeof(LINE("a")) - 1));
}

static void test_a_reader_may_refuse(void **state)
{
	struct tempdir_name path = tempdir_path(state, "j");
	struct seen seen = {.ids = "", .result = -ENOSPC};
	struct journal *j = NULL;
	struct clock clock;

	clock_init_manual(&clock, 0, 0);
	put(path.text, LINE("a"), sizeof(LINE("a")) - 1);
	assert_int_equal(journal_open(path.text, &clock, see, &seen, &j, NULL), -ENOSPC);
	assert_null(j);
	assert_int_equal(journal_open("/nonexistent/j", &clock, see, &seen, &j, NULL), -ENOENT);
}

static void test_batches_and_ticks(void **state)
{
	struct tempdir_name path = tempdir_path(state, "j");
	CLEANUP(journalp_close) struct journal *j = NULL;
	struct seen seen = {.ids = ""};
	struct clock clock;
	int ms = 0;

	clock_init_manual(&clock, 0, 0);
	assert_int_equal(journal_open(path.text, &clock, see, &seen, &j, NULL), 0);
	assert_int_equal(journal_tick(j, &ms), 0);
	assert_int_equal(ms, -1);
	journal_set_batch(j, 3);
	assert_int_equal(add(j, LINE("a")), 0);
	assert_int_equal(add(j, LINE("b")), 0);
	assert_int_equal(size_of(path.text), 0);
	assert_int_equal(add(j, LINE("c")), 0);
	assert_int_equal(size_of(path.text), 3 * (sizeof(LINE("a")) - 1));
	assert_int_equal(add(j, LINE("d")), 0);
	assert_int_equal(journal_tick(j, &ms), 0);
	assert_int_equal(size_of(path.text), 4 * (sizeof(LINE("a")) - 1));
	assert_int_equal(ms, 1000);
	clock.now_mono_ns += 400 * NS_PER_MS;
	assert_int_equal(journal_tick(j, &ms), 0);
	assert_int_equal(ms, 600);
	clock.now_mono_ns += 600 * NS_PER_MS;
	assert_int_equal(journal_tick(j, &ms), 0);
	assert_int_equal(ms, -1);
}

/* A limit on the size of files stands for a full disk. */
static void set_file_limit(rlim_t bytes)
{
	struct rlimit l;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &l), 0);
	l.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &l), 0);
}

static void test_a_full_disk_loses_nothing(void **state)
{
	struct tempdir_name path = tempdir_path(state, "j");
	CLEANUP(journalp_close) struct journal *j = NULL;
	CLEANUP(journalp_close) struct journal *again = NULL;
	struct seen seen = {.ids = ""};
	struct clock clock;
	int r;

	clock_init_manual(&clock, 0, 0);
	assert_int_equal(journal_open(path.text, &clock, see, &seen, &j, NULL), 0);
	signal(SIGXFSZ, SIG_IGN);
	set_file_limit(100);
	assert_int_equal(add(j, LINE("a")), 0);
	r = add(j, LINE("b"));
	assert_true(journal_is_full(r));
	assert_int_equal(size_of(path.text), 100); /* a torn line */
	assert_true(journal_is_full(journal_flush(j)));
	set_file_limit(RLIM_INFINITY);
	assert_int_equal(journal_flush(j), 0);
	assert_int_equal(add(j, LINE("c")), 0);
	assert_int_equal(journal_sync(j), 0);
	assert_int_equal(journal_open(path.text, &clock, see, &seen, &again, NULL), 0);
	assert_string_equal(seen.ids, "\"a\"\"b\"\"c\"");
}

static void test_which_errors_pass(void **state)
{
	(void)state;
	assert_true(journal_is_full(-ENOSPC));
	assert_true(journal_is_full(-EDQUOT));
	assert_true(journal_is_full(-EFBIG));
	assert_false(journal_is_full(-EIO));
	assert_false(journal_is_full(-EROFS));
	assert_false(journal_is_full(0));
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, tempdir_setup, tempdir_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_what_is_read_back),	      TEST(test_lines_are_appended),
		TEST(test_a_reader_may_refuse),	      TEST(test_batches_and_ticks),
		TEST(test_a_full_disk_loses_nothing), TEST(test_which_errors_pass),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
