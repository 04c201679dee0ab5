#ifndef FS_JOB_LINEREADER_H
#define FS_JOB_LINEREADER_H

/*
 * The lines of a file one after the other, with the place of each.
 *
 * Reads with pread(2) in large pieces, never through a mapping, so that a
 * failing disk is an error and not a signal.  A line ends at byte 0x0A and at
 * nothing else.  Memory is that of the longest line.  Not thread-safe.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/macros.h"

struct linereader {
	int fd; /* borrowed */
	/* private */
	char *data_; /* owned */
	size_t capacity_, begin_, end_, max_;
	uint64_t offset_; /* in the file, of begin_ */
	bool at_end_;
};

struct line {
	const char *at; /* until the next call; NULL: there are no more lines */
	size_t size;	/* without its newline */
	uint64_t offset;
	bool is_whole;	  /* its newline is there */
	bool is_too_long; /* above the maximum: passed over, size is 0 */
};

/* max: bytes of the longest line to give. */
void linereader_init(struct linereader *lr, int fd, size_t max);
void linereader_release(struct linereader *lr);

/* -errno of pread, -ENOMEM. */
MUST_CHECK int linereader_next(struct linereader *lr, struct line *ret);

#endif
