#ifndef FS_BASE_SCRATCH_H
#define FS_BASE_SCRATCH_H

/*
 * Files without a name: bulk data that lives as long as its descriptor and
 * whose pages belong to the file system, not to this process.
 */

#include <stddef.h>

#include "fs/base/err.h"
#include "fs/base/macros.h"

/* An empty file in dir's file system, readable and writable, closed on exec.
 * The caller closes *ret_fd.  A dir that is gone is made again.  -errno of the
 * file system. */
MUST_CHECK int scratch_open(const char *dir, int *ret_fd, struct err *e);

/* Such a file of size bytes, all zero and with disk behind each, mapped for
 * reading and writing: a table.  The caller unmaps *ret (munmap).  size > 0. */
MUST_CHECK int scratch_map(const char *dir, size_t size, void **ret, struct err *e);

#endif
