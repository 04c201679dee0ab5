#ifndef FS_BASE_FDIO_H
#define FS_BASE_FDIO_H

/*
 * Whole reads and writes: read(2) and write(2) may do a part, or be interrupted, and a
 * caller who wants all the bytes wants neither.
 *
 * Threads: any, for different descriptors.  Errors: 0 or -errno; after one, a
 * part may have been written.
 */

#include <stddef.h>
#include <stdint.h>

#include "fs/base/macros.h"

MUST_CHECK int fdio_write(int fd, const void *bytes, size_t size);
MUST_CHECK int fdio_pwrite(int fd, const void *bytes, size_t size, uint64_t offset);

/* Exactly size bytes.  -ESTALE: the file ends before them. */
MUST_CHECK int fdio_pread(int fd, void *bytes, size_t size, uint64_t offset);

/* That path's name is in its directory survives a power failure from then on. */
MUST_CHECK int fdio_sync_directory_of(const char *path);

/* A pipe, close-on-exec, of two descriptors above 2: neither is one of the
 * streams of a child that it is to become. */
MUST_CHECK int fdio_pipe(int fds[2]);

#endif
