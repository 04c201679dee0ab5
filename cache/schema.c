#include "cache/schema.h"

#include <errno.h>

/* Counts and times are never NULL (0: none, not yet); words may be.  A part's
 * token is unique over all jobs for ever, as its provider demands. */
const char *const schema_steps[] = {
	"CREATE TABLE meta (\n"
	"	key   TEXT NOT NULL PRIMARY KEY,\n"
	"	value TEXT NOT NULL\n"
	") STRICT, WITHOUT ROWID;\n"
	"CREATE TABLE job (\n"
	"	number           INTEGER PRIMARY KEY AUTOINCREMENT,\n"
	"	rev              INTEGER NOT NULL,\n"
	"	name             TEXT    NOT NULL UNIQUE,\n"
	"	phase            INTEGER NOT NULL,\n"
	"	end_state        INTEGER NOT NULL,\n"
	"	model            TEXT,\n"
	"	error            TEXT,\n"
	"	held             INTEGER NOT NULL CHECK (held IN (0, 1)),\n"
	"	submit_wanted    INTEGER NOT NULL CHECK (submit_wanted IN (0, 1)),\n"
	"	stop_wanted      INTEGER NOT NULL CHECK (stop_wanted IN (0, 1)),\n"
	"	retry_wanted     INTEGER NOT NULL CHECK (retry_wanted IN (0, 1)),\n"
	"	attempt          INTEGER NOT NULL,\n"
	"	generation       INTEGER NOT NULL,\n"
	"	record_count     INTEGER NOT NULL,\n"
	"	input_size_bytes INTEGER NOT NULL,\n"
	"	total            INTEGER NOT NULL,\n"
	"	good             INTEGER NOT NULL,\n"
	"	failed           INTEGER NOT NULL,\n"
	"	input_tokens     INTEGER NOT NULL,\n"
	"	output_tokens    INTEGER NOT NULL,\n"
	"	created_ns       INTEGER NOT NULL,\n"
	"	submitted_ns     INTEGER NOT NULL,\n"
	"	ended_ns         INTEGER NOT NULL,\n"
	"	status_ns        INTEGER NOT NULL,\n"
	"	progress_ns      INTEGER NOT NULL,\n"
	"	error_ns         INTEGER NOT NULL,\n"
	"	ctl_ns           INTEGER NOT NULL,\n"
	"	status_json_ns   INTEGER NOT NULL,\n"
	"	names_ns         INTEGER NOT NULL\n"
	") STRICT;\n"
	"CREATE TABLE part (\n"
	"	job              INTEGER NOT NULL REFERENCES job (number) ON DELETE CASCADE,\n"
	"	attempt          INTEGER NOT NULL,\n"
	"	seq              INTEGER NOT NULL,\n"
	"	phase            INTEGER NOT NULL,\n"
	"	token            TEXT UNIQUE,\n"
	"	remote           TEXT,\n"
	"	first            INTEGER NOT NULL,\n"
	"	record_count     INTEGER NOT NULL,\n"
	"	size_bytes       INTEGER NOT NULL,\n"
	"	state            INTEGER NOT NULL,\n"
	"	raw              TEXT,\n"
	"	message          TEXT,\n"
	"	total            INTEGER NOT NULL,\n"
	"	good             INTEGER NOT NULL,\n"
	"	failed           INTEGER NOT NULL,\n"
	"	input_tokens     INTEGER NOT NULL,\n"
	"	output_tokens    INTEGER NOT NULL,\n"
	"	created_ns       INTEGER NOT NULL,\n"
	"	ended_ns         INTEGER NOT NULL,\n"
	"	PRIMARY KEY (job, attempt, seq)\n"
	") STRICT, WITHOUT ROWID;\n",
	/* 2: sources that are elsewhere.  A part's name and the moment its create
	 * call first left are what a lost answer is looked for by; what was
	 * forgotten here must not come back from the provider's list. */
	"ALTER TABLE job ADD COLUMN elsewhere INTEGER NOT NULL DEFAULT 0\n"
	"	CHECK (elsewhere IN (0, 1));\n"
	"ALTER TABLE job ADD COLUMN fetch_wanted INTEGER NOT NULL DEFAULT 0\n"
	"	CHECK (fetch_wanted IN (0, 1));\n"
	"ALTER TABLE job ADD COLUMN purge_wanted INTEGER NOT NULL DEFAULT 0\n"
	"	CHECK (purge_wanted IN (0, 1));\n"
	"ALTER TABLE job ADD COLUMN estimate_input INTEGER NOT NULL DEFAULT 0;\n"
	"ALTER TABLE job ADD COLUMN estimate_output INTEGER NOT NULL DEFAULT 0;\n"
	"ALTER TABLE part ADD COLUMN name TEXT;\n"
	"ALTER TABLE part ADD COLUMN asked_ns INTEGER NOT NULL DEFAULT 0;\n"
	"ALTER TABLE part ADD COLUMN expires_ns INTEGER NOT NULL DEFAULT 0;\n"
	"CREATE INDEX part_remote ON part (remote);\n"
	"CREATE TABLE forgotten (\n"
	"	remote TEXT NOT NULL PRIMARY KEY\n"
	") STRICT, WITHOUT ROWID;\n",
	/* 3: jobs of any size.  How an attempt runs (in batch, padded, on demand),
	 * and what was paid for, or saved, beside the records themselves. */
	"ALTER TABLE job ADD COLUMN retry_how INTEGER NOT NULL DEFAULT 0;\n"
	"ALTER TABLE job ADD COLUMN sample_wanted INTEGER NOT NULL DEFAULT 0;\n"
	"ALTER TABLE job ADD COLUMN how INTEGER NOT NULL DEFAULT 0;\n"
	"ALTER TABLE job ADD COLUMN retryable_only INTEGER NOT NULL DEFAULT 0\n"
	"	CHECK (retryable_only IN (0, 1));\n"
	"ALTER TABLE job ADD COLUMN auto_retries INTEGER NOT NULL DEFAULT 0;\n"
	"ALTER TABLE job ADD COLUMN saved_records INTEGER NOT NULL DEFAULT 0;\n"
	"ALTER TABLE job ADD COLUMN saved_input INTEGER NOT NULL DEFAULT 0;\n"
	"ALTER TABLE job ADD COLUMN saved_output INTEGER NOT NULL DEFAULT 0;\n"
	"ALTER TABLE job ADD COLUMN padding_records INTEGER NOT NULL DEFAULT 0;\n"
	"ALTER TABLE job ADD COLUMN padding_input INTEGER NOT NULL DEFAULT 0;\n"
	"ALTER TABLE job ADD COLUMN padding_output INTEGER NOT NULL DEFAULT 0;\n"
	"ALTER TABLE job ADD COLUMN sample_records INTEGER NOT NULL DEFAULT 0;\n"
	"ALTER TABLE job ADD COLUMN sample_input INTEGER NOT NULL DEFAULT 0;\n"
	"ALTER TABLE job ADD COLUMN sample_output INTEGER NOT NULL DEFAULT 0;\n"
	"ALTER TABLE part ADD COLUMN how INTEGER NOT NULL DEFAULT 0;\n"
	"ALTER TABLE part ADD COLUMN padding INTEGER NOT NULL DEFAULT 0;\n",
};
const int schema_step_count = COUNT_OF(schema_steps);

int schema_errno(sqlite3 *db, struct err *e)
{
	const char *file = db ? sqlite3_db_filename(db, "main") : NULL;
	int code = db ? sqlite3_errcode(db) : SQLITE_NOMEM;
	int system = db ? sqlite3_system_errno(db) : 0;
	int extended = db ? sqlite3_extended_errcode(db) : code;
	int r;

	if (code == SQLITE_FULL || (code == SQLITE_IOERR && (system == ENOSPC || system == EDQUOT)))
		r = -ENOSPC;
	else if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB)
		r = -EUCLEAN;
	else if (extended == SQLITE_CONSTRAINT_UNIQUE)
		r = -EEXIST;
	else if (extended == SQLITE_CONSTRAINT_FOREIGNKEY)
		r = -ENOENT;
	else if (code == SQLITE_BUSY || code == SQLITE_LOCKED)
		r = -EBUSY;
	else if (code == SQLITE_NOMEM)
		r = -ENOMEM;
	else if (code == SQLITE_PERM || code == SQLITE_READONLY || code == SQLITE_CANTOPEN ||
		 code == SQLITE_AUTH)
		r = -EACCES;
	else
		r = -EIO;
	if (r == -ENOSPC)
		return err_set(e, r, "%s: the disk is full; make room", file ? file : "state.db");
	return err_set(e, r, "%s: %s", file && file[0] ? file : "state.db",
		       db ? sqlite3_errmsg(db) : "out of memory");
}

int schema_exec(sqlite3 *db, const char *sql, struct err *e)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : schema_errno(db, e);
}

int schema_query_int(sqlite3 *db, const char *sql, int *ret, struct err *e)
{
	sqlite3_stmt *s = NULL;
	int r = 0;

	if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) != SQLITE_OK || sqlite3_step(s) != SQLITE_ROW)
		r = schema_errno(db, e);
	else
		*ret = sqlite3_column_int(s, 0);
	sqlite3_finalize(s);
	return r;
}

/* PRAGMA takes no parameters, hence the text. */
static int run_step(sqlite3 *db, const char *step, int version, struct err *e)
{
	char pragma[64];
	int r;

	snprintf(pragma, sizeof(pragma), "PRAGMA user_version = %d", version);
	r = schema_exec(db, "BEGIN IMMEDIATE", e);
	if (r < 0)
		return r;
	r = schema_exec(db, step, e);
	if (r == 0)
		r = schema_exec(db, pragma, e);
	if (r == 0)
		r = schema_exec(db, "COMMIT", e);
	if (r < 0) /* the first error is the news */
		ignore_error(schema_exec(db, "ROLLBACK", NULL));
	return r;
}

int schema_migrate(sqlite3 *db, const char *const *steps, int count, struct err *e)
{
	int version, r;

	r = schema_query_int(db, "PRAGMA user_version", &version, e);
	if (r < 0)
		return r;
	if (version < 0 || version > count)
		return err_set(e, -ENOTSUP,
			       "%s was written by a newer batchfs (schema %d, this one knows %d); "
			       "use that one",
			       sqlite3_db_filename(db, "main"), version, count);
	for (; version < count; version++) {
		r = run_step(db, steps[version], version + 1, e);
		if (r < 0)
			return r;
	}
	return 0;
}
