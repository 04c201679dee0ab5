#ifndef BACKEND_LINES_H
#define BACKEND_LINES_H

/*
 * Reads a file line by line from its beginning, with pread(2), through one
 * buffer that grows to the longest line.  Not thread-safe.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/buf.h"
#include "fs/base/macros.h"

/* An answer of 64 MiB, which JSON escapes can make six times as long, beside
 * its record. */
#define LINES_LINE_MAX (768u * 1024 * 1024)

struct lines {
	int fd_; /* borrowed; private, as all below */
	uint64_t offset_;
	size_t begin_;
	struct buf window_;
	bool at_end_;
};

void lines_init(struct lines *l, int fd);
void lines_release(struct lines *l);

/* The next line, without its newline, borrowed until the next call.
 * -ENODATA: no whole line is left.  -EFBIG: longer than LINES_LINE_MAX.
 * -errno of read. */
MUST_CHECK int lines_next(struct lines *l, const char **ret, size_t *ret_size);

/* Where the line that comes next begins in the file. */
uint64_t lines_offset(const struct lines *l);

/* Are there bytes after the last newline?  Told after -ENODATA. */
bool lines_has_rest(const struct lines *l);

/* Those bytes, borrowed until the next call. */
void lines_rest(const struct lines *l, const char **ret, size_t *ret_size);

#endif
