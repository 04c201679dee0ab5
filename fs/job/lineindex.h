#ifndef FS_JOB_LINEINDEX_H
#define FS_JOB_LINEINDEX_H

/*
 * Where each line of a file begins: 8 bytes a line in an unlinked file, for
 * millions of lines without anonymous memory that grows with them.
 *
 * A line's size is not kept but follows from where the next one begins, so
 * lines must be added without gaps between them for sizes to be right.
 * Lines are got in their order: some are read ahead, and kept.
 * Not thread-safe, and no call is.
 */

#include <stdbool.h>
#include <stdint.h>

#include "fs/base/err.h"
#include "fs/base/macros.h"

struct lineindex;

struct lineindex_line {
	uint64_t offset;
	uint64_t size; /* without its line end */
	bool is_crlf;  /* the line end is 0x0D 0x0A, not 0x0A */
	bool has_id;   /* the user's mark */
};

/* The file is made in dir.  -errno of the file system, -ENOMEM.  The caller
 * owns *ret until lineindex_free(). */
MUST_CHECK int lineindex_new(const char *dir, struct lineindex **ret, struct err *e);
void lineindex_free(struct lineindex *x); /* NULL is fine */

void lineindex_clear(struct lineindex *x);

/* -ENOSPC and other -errno of the file system; -EFBIG: offset is above 2^62. */
MUST_CHECK int lineindex_add(struct lineindex *x, const struct lineindex_line *line);

/* -ENOENT: there are not so many.  -EIO. */
MUST_CHECK int lineindex_get(struct lineindex *x, uint64_t index, struct lineindex_line *ret);

uint64_t lineindex_count(const struct lineindex *x);

#endif
