#ifndef FS_FS_H
#define FS_FS_H

/*
 * A mount: what the operations (fs/ops*.c) find behind a request.  Made by
 * main.c, constant while requests come.
 */

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#include "fs/base/pool.h"
#include "fs/notify.h"
#include "fs/opened.h"
#include "fs/tree.h"
#include "fs/waiters.h"

struct fs {
	struct tree tree;
	struct fuse_session *session;
	struct waiters *waiters;
	struct opened *opened;
	struct notify *notify;
	struct pool *pool;     /* local disk work someone waits for: sync, a file read again */
	pid_t toucher;	       /* the process whose writes to status mean nothing; or 0 */
	const char *state_dir; /* for statfs */
	int ready_fd;	       /* a byte once the kernel has said hello; -1 */
};

#endif
