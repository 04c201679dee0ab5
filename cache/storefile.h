#ifndef CACHE_STOREFILE_H
#define CACHE_STOREFILE_H

/*
 * state.db as a file: made whole, judged before it is touched, opened.
 * Only cache/store.c uses this.
 */

#include <sqlite3.h>
#include <stddef.h>

#include "fs/base/err.h"
#include "fs/base/macros.h"

#define STOREFILE_ID_SIZE 32

/* Opens or makes the file at path.  statements are tried against its tables.
 * The caller owns *ret until sqlite3_close(); id gets STOREFILE_ID_SIZE hex
 * digits and a NUL.
 * -ENOTSUP: from a newer program.  -EUCLEAN: damaged; state.db is as it was. */
MUST_CHECK int storefile_open(const char *path, const char *const *statements, size_t count,
			      sqlite3 **ret, char *id, struct err *e);

#endif
