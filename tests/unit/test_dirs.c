/* State and cache directories: where they are, that only one daemon has them,
 * and that what is removed is that and nothing else. */

#include "cache/dirs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/unit/cmocka_all.h"
#include "tests/unit/tempdir.h"

static void make_file(const char *path)
{
	int fd = open(path, O_CREAT | O_WRONLY, 0600);

	assert_true(fd >= 0);
	close(fd);
}

static bool exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static void test_where_they_are(void **state)
{
	static const struct {
		const char *why, *source, *home, *state_home, *cache_home, *want_state, *want_cache;
	} rows[] = {
		{"below the home directory", "local:", "h", NULL, NULL,
		 "h/.local/state/batchfs/local", "h/.cache/batchfs/local"},
		{"XDG wins", "local:", "h", "s", "c", "s/batchfs/local", "c/batchfs/local"},
		{"XDG needs no home", "local:", NULL, "s", "c", "s/batchfs/local",
		 "c/batchfs/local"},
		{"a slug of the source", "bedrock:my-bucket/batch", "h", "s", "c",
		 "s/batchfs/bedrock-my-bucket-batch", "c/batchfs/bedrock-my-bucket-batch"},
		{"no way up", "../../etc", "h", "s", "c", "s/batchfs/etc", "c/batchfs/etc"},
		{"nothing usable", "//", "h", "s", "c", "s/batchfs/source", "c/batchfs/source"},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(dirs_close) struct dirs d = DIRS_INIT;
		struct err e = ERR_INIT;
		struct tempdir_name home = tempdir_path(state, "h"), s = tempdir_path(state, "s"),
				    c = tempdir_path(state, "c"),
				    want_state = tempdir_path(state, rows[i].want_state),
				    want_cache = tempdir_path(state, rows[i].want_cache);
		struct dirs_request q = {.source = rows[i].source,
					 .mountpoint = "/mnt",
					 .env_home = rows[i].home ? home.text : NULL,
					 .env_state_home = rows[i].state_home ? s.text : NULL,
					 .env_cache_home = rows[i].cache_home ? c.text : NULL};
		struct stat st;

		if (dirs_open(&q, &d, &e) < 0)
			fail_msg("%s: %s", rows[i].why, e.text);
		if (strcmp(d.state, want_state.text) != 0 || strcmp(d.cache, want_cache.text) != 0)
			fail_msg("%s: %s %s", rows[i].why, d.state, d.cache);
		assert_int_equal(stat(d.state, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0700);
	}
}

static void test_options_win(void **state)
{
	CLEANUP(dirs_close) struct dirs d = DIRS_INIT;
	struct tempdir_name s = tempdir_path(state, "a/b/state/"), c = tempdir_path(state, "cache"),
			    want = tempdir_path(state, "a/b/state");
	struct dirs_request q = {.source = "local:",
				 .mountpoint = "/mnt",
				 .state_option = s.text,
				 .cache_option = c.text,
				 .env_home = "/nonexistent"};
	struct err e = ERR_INIT;

	assert_int_equal(dirs_open(&q, &d, &e), 0);
	assert_string_equal(d.state, want.text);
}

static void test_no_place(void **state)
{
	static const struct {
		const char *why, *home, *option;
		int want;
	} rows[] = {
		{"no home at all", NULL, NULL, -ENOENT},
		{"a relative XDG path does not count, nor does a relative home", "home", NULL,
		 -ENOENT},
		{"a file is in the way", NULL, "file/state", -ENOTDIR},
		{"the option names a file", NULL, "file", -ENOTDIR},
	};
	struct tempdir_name file = tempdir_path(state, "file");

	make_file(file.text);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(dirs_close) struct dirs d = DIRS_INIT;
		struct tempdir_name option =
			tempdir_path(state, rows[i].option ? rows[i].option : "");
		struct dirs_request q = {.source = "local:",
					 .mountpoint = "/mnt",
					 .state_option = rows[i].option ? option.text : NULL,
					 .env_home = rows[i].home,
					 .env_state_home = "relative"};
		struct err e = ERR_INIT;
		int r = dirs_open(&q, &d, &e);

		if (r != rows[i].want || !e.text[0])
			fail_msg("%s: %d %s", rows[i].why, r, e.text);
		assert_null(d.state);
	}
}

static void open_here(void **state, struct dirs *d, const char *mountpoint, int want, struct err *e)
{
	struct tempdir_name s = tempdir_path(state, "state"), c = tempdir_path(state, "cache");
	struct dirs_request q = {.source = "local:",
				 .mountpoint = mountpoint,
				 .state_option = s.text,
				 .cache_option = c.text};

	assert_int_equal(dirs_open(&q, d, e), want);
}

static void test_one_daemon_only(void **state)
{
	CLEANUP(dirs_close) struct dirs first = DIRS_INIT;
	CLEANUP(dirs_close) struct dirs second = DIRS_INIT;
	struct tempdir_name s = tempdir_path(state, "state");
	struct err e = ERR_INIT;
	char pid[32], holder[256];

	assert_false(dirs_holder(s.text, holder, sizeof(holder)));
	open_here(state, &first, "/mnt/a b", 0, &e);
	open_here(state, &second, "/mnt/other", -EBUSY, &e);
	snprintf(pid, sizeof(pid), "pid %ld,", (long)getpid());
	assert_non_null(strstr(e.text, pid));
	assert_non_null(strstr(e.text, "mounted on /mnt/a b"));
	assert_true(dirs_holder(s.text, holder, sizeof(holder)));
	assert_non_null(strstr(holder, "mounted on /mnt/a b"));

	dirs_close(&first);
	assert_false(dirs_holder(s.text, holder, sizeof(holder)));
	open_here(state, &second, "/mnt/other", 0, &e);
}

/* A daemon goes into the background by forking: its child has the lock then,
 * and the end of the parent does not free it. */
static void test_lock_survives_fork(void **state)
{
	CLEANUP(dirs_close) struct dirs d = DIRS_INIT;
	CLEANUP(dirs_close) struct dirs other = DIRS_INIT;
	struct tempdir_name s = tempdir_path(state, "state");
	struct err e = ERR_INIT;
	char holder[256], pid_text[32];
	int up[2], down[2], status;
	pid_t pid;
	char c;

	open_here(state, &d, "/mnt", 0, &e);
	assert_int_equal(pipe(up), 0);
	assert_int_equal(pipe(down), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(down[1]);
		dirs_set_holder(&d, "/mnt\nx");
		if (write(up[1], "r", 1) != 1 || read(down[0], &c, 1) != 0)
			_exit(1);
		_exit(0);
	}
	assert_int_equal(read(up[0], &c, 1), 1);
	close(d.lock_fd_); /* as the parent's exit does */
	d.lock_fd_ = -1;
	open_here(state, &other, "/mnt/other", -EBUSY, &e);
	assert_true(dirs_holder(s.text, holder, sizeof(holder)));
	snprintf(pid_text, sizeof(pid_text), "pid %ld,", (long)pid);
	assert_non_null(strstr(holder, pid_text));
	assert_non_null(strstr(holder, "/mnt?x"));
	close(down[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	open_here(state, &other, "/mnt/other", 0, &e);
	close(up[0]);
	close(up[1]);
	close(down[0]);
}

static void test_removes_that_and_nothing_else(void **state)
{
	struct tempdir_name tree = tempdir_path(state, "tree"),
			    deep = tempdir_path(state, "tree/a/b"),
			    inside = tempdir_path(state, "tree/a/b/file"),
			    kept = tempdir_path(state, "kept"),
			    file = tempdir_path(state, "kept/f"),
			    link = tempdir_path(state, "tree/a/link"),
			    top = tempdir_path(state, "top"),
			    absent = tempdir_path(state, "absent");
	struct err e = ERR_INIT;

	assert_int_equal(dirs_make(deep.text, &e), 0);
	assert_int_equal(dirs_make(deep.text, &e), 0);
	make_file(inside.text);
	assert_int_equal(dirs_make(kept.text, &e), 0);
	make_file(file.text);
	assert_int_equal(symlink(kept.text, link.text), 0);
	assert_int_equal(symlink(kept.text, top.text), 0);

	assert_int_equal(dirs_remove(tree.text, &e), 0);
	assert_int_equal(dirs_remove(top.text, &e), 0);
	assert_int_equal(dirs_remove(absent.text, &e), 0);
	assert_false(exists(tree.text));
	assert_false(exists(top.text));
	assert_true(exists(file.text));
	assert_int_equal(dirs_remove(file.text, &e), 0);
	assert_false(exists(file.text));
}

static void test_many_files_go(void **state)
{
	struct tempdir_name tree = tempdir_path(state, "many");
	struct err e = ERR_INIT;
	char name[32];

	assert_int_equal(dirs_make(tree.text, &e), 0);
	for (int i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "many/%d", i);
		make_file(tempdir_path(state, name).text);
	}
	assert_int_equal(dirs_remove(tree.text, &e), 0);
	assert_false(exists(tree.text));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, tempdir_setup, tempdir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_where_they_are),     TEST(test_options_win),
		TEST(test_no_place),	       TEST(test_one_daemon_only),
		TEST(test_lock_survives_fork), TEST(test_removes_that_and_nothing_else),
		TEST(test_many_files_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
