#ifndef FS_BASE_NEWFILE_H
#define FS_BASE_NEWFILE_H

/*
 * A file that is found under its name whole or not at all: written as
 * PATH.tmp, synced, renamed over PATH, and the directory synced.
 *
 *	CLEANUP(newfile_release) struct newfile f = NEWFILE_INIT;
 *	r = newfile_open("a2.list", &f, e);
 *	if (r == 0) r = newfile_write(&f, line, size, e);
 *	if (r == 0) r = newfile_commit(&f, e);
 *
 * Repeatable: what an interrupted try left is written over.  Not thread-safe.
 * Errors: -errno of the file system.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "fs/base/err.h"
#include "fs/base/macros.h"

struct newfile {
	char *path_, *tmp_; /* owned */
	FILE *file_;	    /* owned; NULL: not open */
};

#define NEWFILE_INIT                                                                               \
	{                                                                                          \
		NULL, NULL, NULL                                                                   \
	}

MUST_CHECK int newfile_open(const char *path, struct newfile *ret, struct err *e);
bool newfile_is_open(const struct newfile *f);
MUST_CHECK int newfile_write(struct newfile *f, const void *bytes, size_t size, struct err *e);

/* Afterwards it is not open. */
MUST_CHECK int newfile_commit(struct newfile *f, struct err *e);

/* Drops what is not committed. */
void newfile_release(struct newfile *f);

/* The rename and the sync of the directory alone, for a finished and synced
 * file.  If both are names of one file, tmp is gone as well. */
MUST_CHECK int newfile_publish(const char *tmp, const char *path);

#endif
