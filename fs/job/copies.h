#ifndef FS_JOB_COPIES_H
#define FS_JOB_COPIES_H

/*
 * Records of a job that were given the same (fs/job/inputhash.h, numbers
 * exactly): of each such set, one record that has a result line of each kind.
 *
 * In a file (fs/base/idmap.h), so that anonymous memory does not grow.  Not
 * thread-safe.
 */

#include <stdbool.h>
#include <stdint.h>

#include "fs/base/err.h"
#include "fs/base/jsonspan.h"
#include "fs/base/macros.h"

struct copies;

enum copies_kind {
	COPIES_GOOD,
	COPIES_FAILED_NOW, /* in the last attempt */
	COPIES_FAILED,	   /* before it */
};

/* dir: where unlinked scratch files are made.  -ENOMEM, errors of the file system. */
MUST_CHECK int copies_new(const char *dir, struct copies **ret, struct err *e);
void copies_free(struct copies *c); /* NULL is fine */

/* Record index, whose modelInput that is, has a line of that kind.  The first one
 * of each set and kind is kept.  -ENOSPC, ... */
MUST_CHECK int copies_add(struct copies *c, struct jsonspan input, enum copies_kind kind,
			  uint64_t index, struct err *e);

bool copies_find(const struct copies *c, struct jsonspan input, enum copies_kind kind,
		 uint64_t *ret_index);

#endif
