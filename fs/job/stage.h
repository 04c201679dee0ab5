#ifndef FS_JOB_STAGE_H
#define FS_JOB_STAGE_H

/*
 * Makes the input file of a part: record lines that all carry a recordId and
 * end in a plain newline, synced to disk.
 *
 * A part that is a whole canonical file (input_is_canonical) is a hard link
 * of it and costs nothing; otherwise lines are copied, "recordId" put in as
 * the first member where the user gave none.  Repeatable: an unfinished file
 * is replaced (written under another name, then renamed).
 *
 * Blocking, on a pool thread.  -EINVAL: the input is not valid or has not so
 * many records; -ESTALE: the file is not the one that was checked; -ENOSPC, -EIO.
 */

#include <stdint.h>

#include "fs/base/err.h"
#include "fs/base/macros.h"

struct input;

/* source_fd is the checked file of in; records first .. first + count - 1. */
MUST_CHECK int stage_part(const struct input *in, int source_fd, const char *source_path,
			  uint64_t first, uint64_t count, const char *part_path, struct err *e);

/* The bytes that record index takes in a part.  Errors as input_locate(). */
MUST_CHECK int stage_size(const struct input *in, uint64_t index, uint64_t *ret);

/* All records into a new file at path, which may be written on: never a link.  Errors
 * as above. */
MUST_CHECK int stage_copy(const struct input *in, int source_fd, const char *path, struct err *e);

#endif
