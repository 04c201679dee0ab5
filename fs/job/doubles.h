#ifndef FS_JOB_DOUBLES_H
#define FS_JOB_DOUBLES_H

/*
 * Ids that several records of an input have.
 *
 * In a draft that is a fault.  Of a job that was made elsewhere it is too late to
 * say so, and what it has is to be had: such records lose the id, all that have it,
 * so that their results are joined by what the model was given (inputjoin.h).
 *
 * Threads: any; takes as long as reading the file twice.
 */

#include <stdatomic.h>
#include <stdint.h>

#include "fs/base/err.h"
#include "fs/base/macros.h"

/* Rewrites the file at path, if there are such; *ret_count: records that lost their
 * id.  What is no record stays as it is.  dir: where unlinked scratch files are made.
 * -ECANCELED: *cancel became true (NULL: never); -errno of the file system. */
MUST_CHECK int doubles_unname(const char *dir, const char *path, const atomic_bool *cancel,
			      uint64_t *ret_count, struct err *e);

#endif
