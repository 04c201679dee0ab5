#ifndef CACHE_SCHEMA_H
#define CACHE_SCHEMA_H

/*
 * The tables of state.db, and how an older file becomes a newer one.
 *
 * The version of a file is its PRAGMA user_version: the number of steps it
 * has been taken through.  A step, once released, is never edited; a change
 * is a new one at the end of the list.  Every column: docs/formats.md.
 */

#include <sqlite3.h>

#include "fs/base/err.h"
#include "fs/base/macros.h"

/* In the header of the file (PRAGMA application_id): "btfs". */
#define SCHEMA_APPLICATION_ID 0x62746673

/* SQL, one text a step. */
extern const char *const schema_steps[];
extern const int schema_step_count;

/* Takes db from its version to count, each step in a transaction of its own
 * with its new version.  -ENOTSUP: the version is above count already.  Other
 * -errno as schema_errno(); the file is then at the last version that worked. */
MUST_CHECK int schema_migrate(sqlite3 *db, const char *const *steps, int count, struct err *e);

/* The number of a one-row, one-column query, for PRAGMAs. */
MUST_CHECK int schema_query_int(sqlite3 *db, const char *sql, int *ret, struct err *e);

/* Runs SQL without results. */
MUST_CHECK int schema_exec(sqlite3 *db, const char *sql, struct err *e);

/* What SQLite's last failure on db is as -errno: -ENOSPC a full disk or quota,
 * -EUCLEAN damage, -EEXIST a unique name taken, -ENOENT a job that is not
 * there, -EBUSY, -ENOMEM, -EACCES; -EIO the rest.  Sets e with its words. */
MUST_CHECK int schema_errno(sqlite3 *db, struct err *e);

#endif
