/* The job list: what goes in comes out after a restart or a kill, lost updates
 * are refused, and a file that is not in order is refused untouched. */

#include "cache/store.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "cache/schema.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/tempdir.h"

static void closep(struct store **s)
{
	store_close(*s);
	*s = NULL;
}

static struct store *open_ok(void **state)
{
	struct store *s = NULL;
	struct err e = ERR_INIT;

	if (store_open(tempdir_path(state, "state.db").text, &s, &e) < 0)
		fail_msg("%s", e.text);
	return s;
}

static struct store_job make_job(const char *name)
{
	struct store_job j = STORE_JOB_INIT;

	j.name = strdup(name);
	j.model = strdup("builtin.echo");
	j.phase = 3;
	j.stop_wanted = true;
	j.attempt = 2;
	j.generation = 7;
	j.record_count = 5;
	j.input_size_bytes = UINT64_MAX; /* the whole range of the type comes back */
	j.counts = (struct counts){5, 3, 1};
	j.tokens = (struct tokens){100, 200};
	j.created_ns = 1700000000123456789;
	j.names_ns = -1;
	return j;
}

static struct store_part make_part(uint32_t attempt, uint32_t seq, const char *token)
{
	struct store_part p = STORE_PART_INIT;

	p.attempt = attempt;
	p.seq = seq;
	p.token = strdup(token);
	p.first = 10;
	p.record_count = 20;
	p.size_bytes = 30;
	p.counts = (struct counts){20, 1, 2};
	p.tokens = (struct tokens){3, 4};
	p.created_ns = 5;
	return p;
}

static int keep_last(void *ctx, const struct store_job *j)
{
	store_job_release(ctx);
	return store_job_copy(ctx, j);
}

static struct store_job last_job(struct store *s)
{
	struct store_job j = STORE_JOB_INIT;
	struct err e = ERR_INIT;

	assert_int_equal(store_jobs(s, keep_last, &j, &e), 0);
	return j;
}

static void assert_same_job(const struct store_job *a, const struct store_job *b)
{
	struct store_job x = *a, y = *b;

	assert_string_equal(a->name, b->name);
	assert_string_equal(a->model, b->model);
	assert_true((a->error == NULL) == (b->error == NULL));
	x.name = x.model = x.error = y.name = y.model = y.error = NULL;
	assert_int_equal(x.number, y.number);
	assert_int_equal(x.rev, y.rev);
	assert_int_equal(x.end_state, y.end_state);
	assert_int_equal(x.phase, y.phase);
	assert_int_equal(x.stop_wanted, y.stop_wanted);
	assert_int_equal(x.held, y.held);
	assert_int_equal(x.attempt, y.attempt);
	assert_int_equal(x.generation, y.generation);
	assert_int_equal(x.record_count, y.record_count);
	assert_true(x.input_size_bytes == y.input_size_bytes);
	assert_memory_equal(&x.counts, &y.counts, sizeof(x.counts));
	assert_memory_equal(&x.tokens, &y.tokens, sizeof(x.tokens));
	assert_true(x.created_ns == y.created_ns);
	assert_true(x.names_ns == y.names_ns);
}

static void test_everything_comes_back(void **state)
{
	CLEANUP(closep) struct store *s = open_ok(state);
	CLEANUP(store_job_release) struct store_job j = make_job("audit"), got = STORE_JOB_INIT;
	struct store_part parts[2] = {make_part(1, 2, "t2"), make_part(1, 1, "t1")}, *read = NULL;
	struct err e = ERR_INIT;
	size_t count = 0;
	char id[64];

	parts[1].remote = strdup("arn:1");
	parts[1].message = strdup("");
	assert_int_equal(store_job_add(s, &j, &e), 0);
	assert_int_equal(j.number, 1);
	assert_int_equal(j.rev, 1);
	assert_int_equal(store_job_put(s, &j, parts, 2, &e), 0);
	assert_int_equal(j.rev, 2);
	snprintf(id, sizeof(id), "%s", store_id(s));
	assert_int_equal(strlen(id), 32);

	closep(&s);
	s = open_ok(state);
	assert_string_equal(store_id(s), id);
	got = last_job(s);
	assert_same_job(&got, &j);
	assert_int_equal(store_parts(s, j.number, &read, &count, &e), 0);
	assert_int_equal(count, 2);
	assert_int_equal(read[0].seq, 1);
	assert_int_equal(read[0].job, j.number);
	assert_string_equal(read[0].remote, "arn:1");
	assert_string_equal(read[0].message, "");
	assert_null(read[0].raw);
	assert_string_equal(read[1].token, "t2");
	assert_null(read[1].remote);
	assert_int_equal(read[1].state, -1);
	assert_int_equal(read[1].first, 10);
	assert_int_equal(read[1].record_count, 20);
	assert_int_equal(read[1].size_bytes, 30);
	assert_memory_equal(&read[1].counts, &parts[0].counts, sizeof(struct counts));
	assert_memory_equal(&read[1].tokens, &parts[0].tokens, sizeof(struct tokens));
	store_parts_free(read, count);
	store_part_release(&parts[0]);
	store_part_release(&parts[1]);
}

static void test_lost_updates_are_refused(void **state)
{
	CLEANUP(closep) struct store *s = open_ok(state);
	CLEANUP(store_job_release)
	struct store_job j = make_job("a"), old = STORE_JOB_INIT, now = STORE_JOB_INIT;
	CLEANUP(store_part_release) struct store_part p = make_part(1, 1, "t");
	struct store_part *read = NULL;
	struct err e = ERR_INIT;
	size_t count = 1;

	assert_int_equal(store_job_add(s, &j, &e), 0);
	assert_int_equal(store_job_copy(&old, &j), 0);
	j.phase = 4;
	assert_int_equal(store_job_put(s, &j, NULL, 0, &e), 0);
	old.phase = 9;
	assert_int_equal(store_job_put(s, &old, &p, 1, &e), -ESTALE);
	assert_int_equal(old.rev, 1);
	now = last_job(s);
	assert_int_equal(now.phase, 4);
	assert_int_equal(store_parts(s, j.number, &read, &count, &e), 0);
	assert_int_equal(count, 0); /* nor did its part get in */
	store_parts_free(read, count);

	assert_int_equal(store_job_delete(s, j.number, &e), 0);
	assert_int_equal(store_job_put(s, &j, NULL, 0, &e), -ENOENT);
}

static void test_names_and_tokens_are_unique(void **state)
{
	CLEANUP(closep) struct store *s = open_ok(state);
	CLEANUP(store_job_release)
	struct store_job a = make_job("a"), b = make_job("b"), again = make_job("a"),
			 odd = make_job("\xff\xfe");
	CLEANUP(store_part_release)
	struct store_part p = make_part(1, 1, "same"), q = make_part(1, 2, "same");
	struct err e = ERR_INIT;

	assert_int_equal(store_job_add(s, &a, &e), 0);
	assert_int_equal(store_job_add(s, &b, &e), 0);
	assert_int_equal(store_job_add(s, &again, &e), -EEXIST);
	assert_int_equal(again.number, 0);
	assert_int_equal(store_job_add(s, &odd, &e), 0); /* names are bytes */
	assert_int_equal(store_job_rename(s, b.number, "a", &e), -EEXIST);
	assert_non_null(strstr(e.text, "named a"));
	assert_int_equal(store_job_put(s, &a, &p, 1, &e), 0);
	assert_int_equal(store_job_put(s, &a, &p, 1, &e), 0); /* replaced */
	assert_int_equal(store_job_put(s, &a, &q, 1, &e), -EIO);
}

static void test_numbers_are_never_used_again(void **state)
{
	CLEANUP(closep) struct store *s = open_ok(state);
	CLEANUP(store_job_release) struct store_job a = make_job("a"), b = make_job("a");
	CLEANUP(store_part_release) struct store_part p = make_part(1, 1, "t");
	struct store_part *read = NULL;
	struct err e = ERR_INIT;
	size_t count = 1;

	assert_int_equal(store_job_add(s, &a, &e), 0);
	assert_int_equal(store_job_put(s, &a, &p, 1, &e), 0);
	assert_int_equal(store_job_delete(s, a.number, &e), 0);
	assert_int_equal(store_job_delete(s, a.number, &e), 0);
	assert_int_equal(store_parts(s, a.number, &read, &count, &e), 0);
	assert_int_equal(count, 0);
	store_parts_free(read, count);
	closep(&s);
	s = open_ok(state);
	assert_int_equal(store_job_add(s, &b, &e), 0);
	assert_int_equal(b.number, a.number + 1);
}

/* Whoever has the job checked out does not undo a rename or a wish. */
static void test_names_and_wishes_go_their_own_way(void **state)
{
	CLEANUP(closep) struct store *s = open_ok(state);
	CLEANUP(store_job_release) struct store_job j = make_job("a"), got = STORE_JOB_INIT;
	struct err e = ERR_INIT;

	assert_int_equal(store_job_add(s, &j, &e), 0);
	assert_int_equal(store_job_rename(s, j.number, "b", &e), 0);
	assert_int_equal(store_job_wish(s, j.number, true, true, false, true, &e), 0);
	j.phase = 77;
	assert_int_equal(store_job_put(s, &j, NULL, 0, &e), 0);
	got = last_job(s);
	assert_string_equal(got.name, "b");
	assert_int_equal(got.phase, 77);
	assert_true(got.held && got.submit_wanted && got.retry_wanted);
	assert_false(got.stop_wanted);
	assert_int_equal(got.rev, 2);

	assert_int_equal(store_job_delete(s, j.number, &e), 0);
	assert_int_equal(store_job_rename(s, j.number, "c", &e), -ENOENT);
	assert_int_equal(store_job_wish(s, j.number, false, false, false, false, &e), -ENOENT);
}

static int stop_at_once(void *ctx, const struct store_job *j)
{
	(void)j;
	++*(int *)ctx;
	return -ECANCELED;
}

static void test_a_walk_can_end_early(void **state)
{
	CLEANUP(closep) struct store *s = open_ok(state);
	struct err e = ERR_INIT;
	int calls = 0;

	for (int i = 0; i < 40; i++) {
		CLEANUP(store_job_release) struct store_job j = make_job("x");

		j.name[0] = (char)('A' + i);
		assert_int_equal(store_job_add(s, &j, &e), 0);
	}
	assert_int_equal(store_jobs(s, stop_at_once, &calls, &e), -ECANCELED);
	assert_int_equal(calls, 1);
}

static void test_only_the_owner_may_read(void **state)
{
	static const char *const files[] = {"state.db", "state.db-wal", "state.db-shm"};
	CLEANUP(closep) struct store *s = NULL;
	CLEANUP(store_job_release) struct store_job j = make_job("a");
	struct err e = ERR_INIT;
	mode_t before = umask(0);
	struct stat st;

	s = open_ok(state);
	assert_int_equal(store_job_add(s, &j, &e), 0);
	umask(before);
	for (size_t i = 0; i < COUNT_OF(files); i++) {
		assert_int_equal(stat(tempdir_path(state, files[i]).text, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
	}
}

/* --- what a kill leaves --- */

static void test_a_kill_loses_nothing(void **state)
{
	CLEANUP(closep) struct store *s = NULL;
	CLEANUP(store_job_release) struct store_job got = STORE_JOB_INIT;
	struct stat st;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct store_job j = make_job("killed");
		struct store *mine = NULL;

		if (store_open(tempdir_path(state, "state.db").text, &mine, NULL) < 0 ||
		    store_job_add(mine, &j, NULL) < 0 || store_job_put(mine, &j, NULL, 0, NULL) < 0)
			_exit(1);
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(stat(tempdir_path(state, "state.db-wal").text, &st), 0);
	assert_true(st.st_size > 0);
	s = open_ok(state);
	got = last_job(s);
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
	CLEANUP(closep) struct store *s = NULL;

	spit(tempdir_path(state, "state.db.new").text, "half", 4);
	spit(tempdir_path(state, "state.db.new-journal").text, "half", 4);
	s = open_ok(state);
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
	CLEANUP(closep) struct store *s = open_ok(state);
	struct err e = ERR_INIT;

	for (int i = 0; i < 50; i++) {
		CLEANUP(store_job_release) struct store_job j = make_job("job 00");

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
	CLEANUP(closep) struct store *s = NULL;
	CLEANUP(store_job_release)
	struct store_job j = make_job("a"), b = make_job("b"), got = STORE_JOB_INIT;
	sqlite3_vfs *real = sqlite3_vfs_find(NULL), mine = *real;
	struct err e = ERR_INIT;

	mine.zName = "full";
	mine.pAppData = real;
	mine.xOpen = open_and_wrap;
	assert_int_equal(sqlite3_vfs_register(&mine, 1), SQLITE_OK);
	s = open_ok(state);
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
	got = last_job(s);
	assert_int_equal(got.phase, 42);
	assert_string_equal(got.name, "a");
	closep(&s);
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

/* --- threads --- */

struct racer {
	struct store *s;
	pthread_t thread;
	int done, stale, other;
};

static void *race(void *arg)
{
	struct racer *me = arg;

	while (me->done < 20) {
		CLEANUP(store_job_release) struct store_job j = STORE_JOB_INIT;
		int r = store_jobs(me->s, keep_last, &j, NULL);

		j.phase++;
		if (r == 0)
			r = store_job_put(me->s, &j, NULL, 0, NULL);
		if (r == 0)
			me->done++;
		else if (r == -ESTALE)
			me->stale++;
		else
			break;
	}
	return NULL;
}

static void test_two_threads_lose_nothing(void **state)
{
	CLEANUP(closep) struct store *s = open_ok(state);
	CLEANUP(store_job_release) struct store_job j = make_job("a"), got = STORE_JOB_INIT;
	struct racer racers[2] = {{.s = s}, {.s = s}};
	struct err e = ERR_INIT;

	j.phase = 0;
	assert_int_equal(store_job_add(s, &j, &e), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_join(racers[i].thread, NULL), 0);
	got = last_job(s);
	assert_int_equal(racers[0].done + racers[1].done, 40);
	assert_int_equal(got.phase, 40);
	assert_int_equal(got.rev, 41);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, tempdir_setup, tempdir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_everything_comes_back),
		TEST(test_lost_updates_are_refused),
		TEST(test_names_and_tokens_are_unique),
		TEST(test_numbers_are_never_used_again),
		TEST(test_names_and_wishes_go_their_own_way),
		TEST(test_a_walk_can_end_early),
		TEST(test_only_the_owner_may_read),
		TEST(test_a_kill_loses_nothing),
		TEST(test_unfinished_beginnings_are_replaced),
		TEST(test_damage_is_refused_untouched),
		TEST(test_a_log_without_its_file_is_refused),
		TEST(test_no_place_for_it),
		TEST(test_a_full_disk),
		TEST(test_migrations_go_step_by_step),
		TEST(test_two_threads_lose_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
