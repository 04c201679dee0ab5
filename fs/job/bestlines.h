#ifndef FS_JOB_BESTLINES_H
#define FS_JOB_BESTLINES_H

/*
 * Which result line counts for each record of a job: 16 bytes a record in a
 * mapped, unlinked file, so that anonymous memory does not grow with them.
 * Not thread-safe.
 */

#include <stdbool.h>
#include <stdint.h>

#include "fs/base/err.h"
#include "fs/base/macros.h"

#define BESTLINES_FILES_MAX 0x3fffffffu /* result files of a job */

struct bestlines {
	void *slots_; /* owned mapping */
	uint64_t count_;
};

#define BESTLINES_INIT                                                                             \
	{                                                                                          \
		NULL, 0                                                                            \
	}

struct bestline {
	bool is_there, is_good;
	uint32_t file;
	uint32_t size;
	uint64_t offset;
};

/* All count records without a line.  The file is made in dir.  -errno of the
 * file system. */
MUST_CHECK int bestlines_open(const char *dir, uint64_t count, struct bestlines *ret,
			      struct err *e);
void bestlines_close(struct bestlines *b);

/* Puts line there, unless a good one is there already: the first good line
 * counts, else the last one. */
void bestlines_offer(struct bestlines *b, uint64_t index, const struct bestline *line);

struct bestline bestlines_get(const struct bestlines *b, uint64_t index);

#endif
