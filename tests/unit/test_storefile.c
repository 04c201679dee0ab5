/* state.db: a kill or a full disk loses nothing, and a file that is not in
 * order is refused untouched. */

#include "cache/storefile.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "cache/schema.h"
#include "tests/unit/storekit.h"

/* --- what a kill leaves --- */

static void test_a_kill_loses_nothing(void **state)
{
	CLEANUP(storekit_closep) struct store *s = NULL;
	CLEANUP(store_job_release) struct store_job got = STORE_JOB_INIT;
	struct stat st;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct store_job j = storekit_job("killed");
		struct store *mine = NULL;

		if (store_open(tempdir_path(state, "state.db").text, &mine, NULL) < 0 ||
		    store_job_add(mine, &j, NULL) < 0 || store_job_put(mine, &j, NULL, 0, NULL) < 0)
			_exit(1);
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(stat(tempdir_path(state, "state.db-wal").text, &st), 0);
	assert_true(st.st_size > 0);
	s = storekit_open(state);
	got = storekit_last(s);
	assert_string_equal(got.name, "killed");
	assert_int_equal(got.rev, 2);
}

static void spit(const char *path, const void *bytes, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, size), size);
	close(fd);
}

static char *slurp(const char *path, size_t *ret_size)
{
	struct stat st;
	char *bytes;
	int fd = open(path, O_RDONLY);

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	bytes = malloc((size_t)st.st_size + 1);
	assert_non_null(bytes);
	assert_int_equal(read(fd, bytes, (size_t)st.st_size), st.st_size);
	close(fd);
	*ret_size = (size_t)st.st_size;
	return bytes;
}

static void test_unfinished_beginnings_are_replaced(void **state)
{
	CLEANUP(storekit_closep) struct store *s = NULL;

	spit(tempdir_path(state, "state.db.new").text, "half", 4);
	spit(tempdir_path(state, "state.db.new-journal").text, "half", 4);
	s = storekit_open(state);
	assert_int_equal(access(tempdir_path(state, "state.db.new").text, F_OK), -1);
	assert_int_equal(access(tempdir_path(state, "state.db.new-journal").text, F_OK), -1);
}

static void sql(void **state, const char *text)
{
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(tempdir_path(state, "state.db").text, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void make_full_store(void **state)
{
	CLEANUP(storekit_closep) struct store *s = storekit_open(state);
	struct err e = ERR_INIT;

	for (int i = 0; i < 50; i++) {
		CLEANUP(store_job_release) struct store_job j = storekit_job("job 00");

		j.name[4] = (char)('0' + i / 10);
		j.name[5] = (char)('0' + i % 10);
		assert_int_equal(store_job_add(s, &j, &e), 0);
	}
}

/* Ways to spoil a file; each begins from one that is in order. */
static void random_bytes(void **state, char *bytes, size_t size)
{
	unsigned x = 1;

	(void)state;
	for (size_t i = 0; i < size; i++)
		bytes[i] = (char)((x = x * 1103515245u + 12345u) >> 16);
}

static void garbage_behind_header(void **state, char *bytes, size_t size)
{
	random_bytes(state, bytes + 100, size - 100);
}

static void garbage_in_last_page(void **state, char *bytes, size_t size)
{
	random_bytes(state, bytes + size - 4096, 4096);
}

static void other_application(void **state, char *bytes, size_t size)
{
	(void)state;
	(void)size;
	bytes[71] ^= 1; /* application_id, offset 68 of SQLite's header */
}

static void no_version(void **state, char *bytes, size_t size)
{
	(void)state;
	(void)size;
	memset(bytes + 60, 0, 4); /* user_version */
}

static void newer_version(void **state, char *bytes, size_t size)
{
	(void)state;
	(void)size;
	bytes[63] = 99;
}

static void nothing_else(void **state, char *bytes, size_t size)
{
	(void)state;
	(void)bytes;
	(void)size;
}

static void test_damage_is_refused_untouched(void **state)
{
	static const struct {
		const char *why;
		void (*spoil)(void **state, char *bytes, size_t size);
		int cut_percent;
		int want;
		const char *sql;
	} rows[] = {
		{"random bytes", random_bytes, 100, -EUCLEAN, NULL},
		{"the header is right, the rest is not", garbage_behind_header, 100, -EUCLEAN,
		 NULL},
		{"one page is not", garbage_in_last_page, 100, -EUCLEAN, NULL},
		{"cut in the middle", nothing_else, 50, -EUCLEAN, NULL},
		{"cut to nothing", nothing_else, 0, -EUCLEAN, NULL},
		{"another program's", other_application, 100, -EUCLEAN, NULL},
		{"a version that never was", no_version, 100, -EUCLEAN, NULL},
		{"a newer version", newer_version, 100, -ENOTSUP, NULL},
		{"a table is missing", nothing_else, 100, -EUCLEAN, "DROP TABLE part"},
		{"a column is missing", nothing_else, 100, -EUCLEAN,
		 "ALTER TABLE job DROP COLUMN error"},
		{"the id is missing", nothing_else, 100, -EUCLEAN, "DELETE FROM meta"},
	};
	struct tempdir_name path = tempdir_path(state, "state.db");

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(str_freep) char *before = NULL;
		CLEANUP(str_freep) char *after = NULL;
		struct store *s = NULL;
		struct err e = ERR_INIT;
		size_t size, after_size;
		int r;

		unlink(path.text);
		unlink(tempdir_path(state, "state.db-wal").text);
		unlink(tempdir_path(state, "state.db-shm").text);
		make_full_store(state);
		if (rows[i].sql)
			sql(state, rows[i].sql);
		before = slurp(path.text, &size);
		rows[i].spoil(state, before, size);
		size = size * (size_t)rows[i].cut_percent / 100;
		spit(path.text, before, size);

		r = store_open(path.text, &s, &e);
		if (r != rows[i].want)
			fail_msg("%s: %d %s", rows[i].why, r, e.text);
		assert_null(s);
		assert_non_null(strstr(e.text, path.text));
		after = slurp(path.text, &after_size);
		if (after_size != size || memcmp(before, after, size) != 0)
			fail_msg("%s: the file was changed", rows[i].why);
	}
}

static void test_a_log_without_its_file_is_refused(void **state)
{
	struct store *s = NULL;
	struct err e = ERR_INIT;

	spit(tempdir_path(state, "state.db-wal").text, "log", 3);
	assert_int_equal(store_open(tempdir_path(state, "state.db").text, &s, &e), -EUCLEAN);
	assert_non_null(strstr(e.text, "write-ahead log"));
}

static void test_no_place_for_it(void **state)
{
	struct store *s = NULL;
	struct err e = ERR_INIT;

	assert_int_equal(store_open(tempdir_path(state, "no/state.db").text, &s, &e), -ENOENT);
	assert_true(e.text[0] != '\0');
}

/* --- failing writes --- */

/* SQLite's own file system interface is a table of functions: ours passes all
 * calls on to the real one, and fails writes while full is set. */
static sqlite3_io_methods full_methods;
static const sqlite3_io_methods *real_methods;
static bool full;

static int write_or_not(sqlite3_file *f, const void *bytes, int size, sqlite3_int64 at)
{
	return full ? SQLITE_FULL : real_methods->xWrite(f, bytes, size, at);
}

static int open_and_wrap(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *ret)
{
	sqlite3_vfs *real = vfs->pAppData;
	int r = real->xOpen(real, name, f, flags, ret);

	if (r == SQLITE_OK && flags & SQLITE_OPEN_WAL) {
		real_methods = f->pMethods;
		full_methods = *real_methods;
		full_methods.xWrite = write_or_not;
		f->pMethods = &full_methods;
	}
	return r;
}

static void test_a_full_disk(void **state)
{
	CLEANUP(storekit_closep) struct store *s = NULL;
	CLEANUP(store_job_release)
	struct store_job j = storekit_job("a"), b = storekit_job("b"), got = STORE_JOB_INIT;
	sqlite3_vfs *real = sqlite3_vfs_find(NULL), mine = *real;
	struct err e = ERR_INIT;

	mine.zName = "full";
	mine.pAppData = real;
	mine.xOpen = open_and_wrap;
	assert_int_equal(sqlite3_vfs_register(&mine, 1), SQLITE_OK);
	s = storekit_open(state);
	assert_int_equal(store_job_add(s, &j, &e), 0);
	full = true;
	j.phase = 42;
	assert_int_equal(store_job_put(s, &j, NULL, 0, &e), -ENOSPC);
	assert_int_equal(store_job_add(s, &b, &e), -ENOSPC);
	assert_non_null(strstr(e.text, "full"));
	assert_int_equal(j.rev, 1);
	assert_int_equal(b.number, 0);
	full = false;
	assert_int_equal(store_job_put(s, &j, NULL, 0, &e), 0); /* goes on where it was */
	got = storekit_last(s);
	assert_int_equal(got.phase, 42);
	assert_string_equal(got.name, "a");
	storekit_closep(&s);
	sqlite3_vfs_unregister(&mine);
}

/* --- migrations --- */

static int number_in(sqlite3 *db, const char *query)
{
	int n = -1;

	assert_int_equal(schema_query_int(db, query, &n, NULL), 0);
	return n;
}

static void test_migrations_go_step_by_step(void **state)
{
	static const char *const steps[] = {
		"CREATE TABLE t (a INTEGER) STRICT; INSERT INTO t VALUES (1), (2);",
		"ALTER TABLE t ADD COLUMN b INTEGER NOT NULL DEFAULT 0; UPDATE t SET b = 10 * a;",
		"INSERT INTO t VALUES (3, 30); INSERT INTO nowhere VALUES (1);",
	};
	struct err e = ERR_INIT;
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(tempdir_path(state, "m.db").text, &db), SQLITE_OK);
	assert_int_equal(schema_migrate(db, steps, 1, &e), 0);
	assert_int_equal(number_in(db, "PRAGMA user_version"), 1);
	assert_int_equal(schema_migrate(db, steps, 2, &e), 0);
	assert_int_equal(schema_migrate(db, steps, 2, &e), 0); /* nothing twice */
	assert_int_equal(number_in(db, "SELECT sum(b) FROM t"), 30);
	/* A step that fails leaves no trace of itself. */
	assert_int_equal(schema_migrate(db, steps, 3, &e), -EIO);
	assert_non_null(strstr(e.text, "nowhere"));
	assert_int_equal(number_in(db, "PRAGMA user_version"), 2);
	assert_int_equal(number_in(db, "SELECT count(*) FROM t"), 2);
	assert_int_equal(schema_migrate(db, steps, 1, &e), -ENOTSUP);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, tempdir_setup, tempdir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_kill_loses_nothing),
		TEST(test_unfinished_beginnings_are_replaced),
		TEST(test_damage_is_refused_untouched),
		TEST(test_a_log_without_its_file_is_refused),
		TEST(test_no_place_for_it),
		TEST(test_a_full_disk),
		TEST(test_migrations_go_step_by_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
