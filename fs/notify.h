#ifndef FS_NOTIFY_H
#define FS_NOTIFY_H

/*
 * Tells the world that a job changed: readers of wait and next, polls,
 * and inotify.  Not the kernel's caches: see fs/tree.c.
 *
 * One thread does all of it, holding no lock.  Changes of one job that come faster than
 * they are told are told once.
 */

#include <stdint.h>

#include "fs/base/err.h"
#include "fs/base/macros.h"

struct fs;
struct notify;

/* touch_fd: a socket of the toucher (fs/touch.h), or -1. */
MUST_CHECK int notify_start(struct fs *fs, int touch_fd, struct notify **ret, struct err *e);

/* Before the session is destroyed.  NULL is fine. */
void notify_stop(struct notify *n);

/* what: bits of enum jobs_change; name: the directory's.  Never waits. */
void notify_job(struct notify *n, uint64_t job, const char *name, unsigned what);

#endif
