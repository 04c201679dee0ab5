#ifndef CACHE_STOREROW_H
#define CACHE_STOREROW_H

/*
 * A job or a part into the parameters of a statement, and out of a row.
 * Only cache/store.c uses this.
 */

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "cache/store.h"
#include "fs/base/macros.h"

/* Walks over a statement's parameters or columns; the first failure sticks. */
struct storerow {
	sqlite3_stmt *s; /* borrowed */
	int at;
	bool failed; /* no memory */
};

void storerow_put_int(struct storerow *c, int64_t v);
void storerow_put_u64(struct storerow *c, uint64_t v);
void storerow_put_text(struct storerow *c, const char *v); /* borrowed until it has run */

/* All columns but number and rev; of a part, job in the place of its own. */
void storerow_put_job(struct storerow *c, const struct store_job *j);
void storerow_put_part(struct storerow *c, uint64_t job, const struct store_part *p);

/* The row s is at, the caller's to release.  -ENOMEM: nothing to release. */
MUST_CHECK int storerow_take_job(sqlite3_stmt *s, struct store_job *j);
MUST_CHECK int storerow_take_part(sqlite3_stmt *s, struct store_part *p);

#endif
