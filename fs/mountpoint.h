#ifndef FS_MOUNTPOINT_H
#define FS_MOUNTPOINT_H

/*
 * Is this a place to mount on?  Tells the ordinary mistakes apart before
 * libfuse fails with less to say: not there, not a directory, left behind by
 * a daemon that was killed ("Transport endpoint is not connected"), no FUSE on
 * this machine.
 */

#include <stdbool.h>

#include "fs/base/err.h"
#include "fs/base/macros.h"

/* -ENOENT, -ENOTDIR, -ENOTCONN (stale), -EBUSY (a batchfs is mounted there),
 * -ENODEV (no /dev/fuse), -EACCES; each with its cure in words. */
MUST_CHECK int mountpoint_check(const char *path, struct err *e);

/* -EINVAL if dir, absolute and without symbolic links, lies in the mount point:
 * the daemon would wait for itself.  option: what names dir. */
MUST_CHECK int mountpoint_check_outside(const char *path, const char *option, const char *dir,
					struct err *e);

#endif
