#include "cache/storefile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "cache/schema.h"

/*
 * A new file is made whole under another name and then renamed, so that a
 * state.db that exists has its tables and its id.  It follows that an empty
 * one is damage (a truncation, a full disk's work), not a new beginning: to
 * start over silently would orphan every job that is being paid for.  For the
 * same reason a write-ahead log without its state.db is refused: committed
 * transactions are in it.
 *
 * An existing file is only read until it has passed: SQLite replays the log
 * of a killed process in its memory map of the log, and NO_CKPT_ON_CLOSE keeps
 * a refusal from copying that log into a damaged file when it is closed.
 */

#define BUSY_TIMEOUT_MS 5000 /* someone looks at it with sqlite3(1) */

static void dbp_close(sqlite3 **db)
{
	sqlite3_close(*db);
	*db = NULL;
}

/* Any refusal of what is in the file. */
static int damaged(const char *path, const char *why, struct err *e)
{
	return err_set(
		e, -EUCLEAN,
		"%s is damaged or no job list (%s); nothing was changed: put back a copy, or "
		"move it and its -wal away to start with an empty list (jobs that run at a "
		"provider go on there, unknown here)",
		path, why);
}

static int open_sqlite(const char *path, sqlite3 **ret, struct err *e)
{
	int r = sqlite3_open_v2(path, ret, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);

	if (r != SQLITE_OK)
		return schema_errno(*ret, e);
	sqlite3_busy_timeout(*ret, BUSY_TIMEOUT_MS);
	return 0;
}

/* --- making --- */

static int draw_id(char *id)
{
	unsigned char bytes[STOREFILE_ID_SIZE / 2];

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return -EIO;
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(id + 2 * i, 3, "%02x", bytes[i]);
	return 0;
}

static int fill(const char *path, struct err *e)
{
	CLEANUP(dbp_close) sqlite3 *db = NULL;
	char id[STOREFILE_ID_SIZE + 1], sql[160];
	int r;

	r = open_sqlite(path, &db, e);
	if (r < 0)
		return r;
	snprintf(sql, sizeof(sql), "PRAGMA application_id = %d", SCHEMA_APPLICATION_ID);
	r = schema_exec(db, sql, e);
	if (r < 0)
		return r;
	r = schema_migrate(db, schema_steps, schema_step_count, e);
	if (r < 0)
		return r;
	r = draw_id(id);
	if (r < 0)
		return err_errno(e, r, "cannot draw an id for %s", path);
	snprintf(sql, sizeof(sql), "INSERT INTO meta (key, value) VALUES ('id', '%s')", id);
	return schema_exec(db, sql, e);
}

static int sync_path(const char *path, int flags)
{
	CLEANUP(fd_closep) int fd = open(path, flags | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int sync_parent(const char *path)
{
	CLEANUP(str_freep) char *dir = strdup(path);
	char *slash = dir ? strrchr(dir, '/') : NULL;

	if (!dir)
		return -ENOMEM;
	if (slash == dir)
		slash[1] = '\0';
	else if (slash)
		*slash = '\0';
	return sync_path(slash ? dir : ".", O_RDONLY | O_DIRECTORY);
}

/* SQLite gives its own files the mode of the database: nobody else's to read. */
static int make_as(const char *fresh, const char *path, struct err *e)
{
	int fd, r;

	if (unlink(fresh) < 0 && errno != ENOENT) {
		r = -errno;
		return err_errno(e, r, "cannot delete the unfinished %s", fresh);
	}
	fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0) {
		r = -errno;
		return err_errno(e, r, "cannot make %s", fresh);
	}
	close(fd);
	r = fill(fresh, e);
	if (r < 0)
		return r;
	r = sync_path(fresh, O_RDONLY);
	if (r == 0 && rename(fresh, path) < 0)
		r = -errno;
	if (r == 0)
		r = sync_parent(path);
	return r < 0 ? err_errno(e, r, "cannot make %s", path) : 0;
}

static int make(const char *path, struct err *e)
{
	CLEANUP(str_freep) char *fresh = NULL;
	CLEANUP(str_freep) char *journal = NULL;
	int r;

	if (asprintf(&fresh, "%s.new", path) < 0 || asprintf(&journal, "%s.new-journal", path) < 0)
		return err_errno(e, -ENOMEM, "cannot make %s", path);
	/* The journal of a killed process must not be replayed into a new file. */
	if (unlink(journal) < 0 && errno != ENOENT) {
		r = -errno;
		return err_errno(e, r, "cannot delete the unfinished %s", journal);
	}
	r = make_as(fresh, path, e);
	if (r < 0)
		unlink(fresh);
	return r;
}

/* *ret: -1 if there is no such file. */
static int size_of(const char *path, const char *suffix, off_t *ret, struct err *e)
{
	CLEANUP(str_freep) char *name = NULL;
	struct stat st;
	int r;

	if (asprintf(&name, "%s%s", path, suffix) < 0) {
		name = NULL;
		return err_errno(e, -ENOMEM, "cannot open %s", path);
	}
	if (stat(name, &st) < 0) {
		r = -errno;
		if (r != -ENOENT)
			return err_errno(e, r, "cannot open %s", name);
		*ret = -1;
		return 0;
	}
	if (!S_ISREG(st.st_mode))
		return damaged(path, "not a regular file", e);
	*ret = st.st_size;
	return 0;
}

static int make_if_absent(const char *path, struct err *e)
{
	off_t size, log_size;
	int r;

	r = size_of(path, "", &size, e);
	if (r < 0)
		return r;
	if (size == 0)
		return damaged(path, "it is empty", e);
	if (size > 0)
		return 0;
	r = size_of(path, "-wal", &log_size, e);
	if (r < 0)
		return r;
	if (log_size > 0)
		return damaged(path, "it is gone, but its write-ahead log is there", e);
	return make(path, e);
}

/* --- judging --- */

/* Runs a query of one text and compares it. */
static int expect(sqlite3 *db, const char *path, const char *sql, const char *want, struct err *e)
{
	sqlite3_stmt *s = NULL;
	char got[160] = "no answer";
	const unsigned char *text;
	int step = SQLITE_ERROR;

	if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) == SQLITE_OK)
		step = sqlite3_step(s);
	if (step == SQLITE_ROW) {
		text = sqlite3_column_text(s, 0);
		snprintf(got, sizeof(got), "%s", text ? (const char *)text : "");
	} else if (step != SQLITE_DONE) {
		snprintf(got, sizeof(got), "%s", sqlite3_errmsg(db));
		step = sqlite3_errcode(db);
	}
	sqlite3_finalize(s);
	if (step == SQLITE_ROW && strcmp(got, want) == 0)
		return 0;
	if (step == SQLITE_NOMEM || step == SQLITE_BUSY || step == SQLITE_IOERR ||
	    step == SQLITE_CANTOPEN || step == SQLITE_READONLY || step == SQLITE_FULL)
		return schema_errno(db, e);
	return damaged(path, got, e);
}

static int judge(sqlite3 *db, const char *path, struct err *e)
{
	char number[16];
	int version, r;

	snprintf(number, sizeof(number), "%d", SCHEMA_APPLICATION_ID);
	r = expect(db, path, "PRAGMA application_id", number, e);
	if (r < 0)
		return r;
	r = schema_query_int(db, "PRAGMA user_version", &version, e);
	if (r < 0)
		return r;
	if (version < 1)
		return damaged(path, "it has no version", e);
	if (version > schema_step_count) /* says so; its tables are not ours to judge */
		return schema_migrate(db, schema_steps, schema_step_count, e);
	return expect(db, path, "PRAGMA quick_check(1)", "ok", e);
}

static int read_id(sqlite3 *db, const char *path, char *id, struct err *e)
{
	sqlite3_stmt *s = NULL;
	const unsigned char *text = NULL;
	int r = 0;

	if (sqlite3_prepare_v2(db, "SELECT value FROM meta WHERE key = 'id'", -1, &s, NULL) ==
		    SQLITE_OK &&
	    sqlite3_step(s) == SQLITE_ROW)
		text = sqlite3_column_text(s, 0);
	if (text && strlen((const char *)text) == STOREFILE_ID_SIZE &&
	    strspn((const char *)text, "0123456789abcdef") == STOREFILE_ID_SIZE)
		memcpy(id, text, STOREFILE_ID_SIZE + 1);
	else
		r = damaged(path, "it has no id", e);
	sqlite3_finalize(s);
	return r;
}

/* A file of the right version may still lack a table or a column. */
static int try_statements(sqlite3 *db, const char *path, const char *const *statements,
			  size_t count, struct err *e)
{
	for (size_t i = 0; i < count; i++) {
		sqlite3_stmt *s = NULL;
		int r = sqlite3_prepare_v2(db, statements[i], -1, &s, NULL);

		sqlite3_finalize(s);
		if (r != SQLITE_OK)
			return damaged(path, sqlite3_errmsg(db), e);
	}
	return 0;
}

static int set_up(sqlite3 *db, const char *path, struct err *e)
{
	int r;

	r = expect(db, path, "PRAGMA journal_mode = WAL", "wal", e);
	if (r < 0)
		return r;
	return schema_exec(db,
			   "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
			   "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;",
			   e);
}

int storefile_open(const char *path, const char *const *statements, size_t count, sqlite3 **ret,
		   char *id, struct err *e)
{
	CLEANUP(dbp_close) sqlite3 *db = NULL;
	char found_id[STOREFILE_ID_SIZE + 1];
	int r;

	r = make_if_absent(path, e);
	if (r < 0)
		return r;
	r = open_sqlite(path, &db, e);
	if (r < 0)
		return r;
	sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	r = judge(db, path, e);
	if (r == 0)
		r = set_up(db, path, e);
	if (r == 0)
		r = schema_migrate(db, schema_steps, schema_step_count, e);
	if (r == 0)
		r = read_id(db, path, found_id, e);
	if (r == 0)
		r = try_statements(db, path, statements, count, e);
	if (r < 0)
		return r;
	sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
	memcpy(id, found_id, sizeof(found_id));
	*ret = STEAL(&db);
	return 0;
}
