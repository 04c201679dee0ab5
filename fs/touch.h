#ifndef FS_TOUCH_H
#define FS_TOUCH_H

/*
 * The helper that makes inotify work.
 *
 * inotify sees only what goes through the kernel, so a change of a job's
 * status is written through the mount: one byte to JOB/status, which the
 * daemon takes from this process alone and throws away.  It has to be a
 * process of its own that does not hold /dev/fuse: a thread of the daemon in
 * the middle of such a write would be unkillable when the daemon dies, and the
 * mount with it.
 *
 * It is forked before any thread and before the mount exists, keeps nothing
 * open on the mount, and ends when the daemon's end of the socket closes.
 */

#include <sys/types.h>

#include "fs/base/err.h"
#include "fs/base/macros.h"

/* mountpoint: absolute.  *ret_fd: a SOCK_SEQPACKET socket that takes names of
 * job directories, one a packet; the caller's to close. */
MUST_CHECK int touch_start(const char *mountpoint, int *ret_fd, pid_t *ret_pid, struct err *e);

#endif
