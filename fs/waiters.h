#ifndef FS_WAITERS_H
#define FS_WAITERS_H

/*
 * Reads of `wait` and `next` that have no answer yet, and polls.
 *
 * A parked read is a request kept aside: no thread waits with it, any number
 * may be kept, and an interrupt (Ctrl-C) answers it with EINTR.  One mutex; it
 * is never held while a reply or a notification is sent, and nothing else is
 * locked under it but a job's own state.
 *
 * Threads: any, but waiters_wake() belongs to the notifier.
 */

#include <stdbool.h>
#include <stdint.h>

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#include "fs/base/macros.h"

struct file;
struct waiters;

struct waiters *waiters_new(void);    /* NULL: no memory */
void waiters_free(struct waiters *w); /* answers whoever is left with ENOTCONN; NULL is fine */

/* Answers the read of a blocking file now or later, exactly once. */
void waiters_read(struct waiters *w, fuse_req_t req, struct file *f, size_t size, off_t offset);

/* Keeps ph (which may be NULL) to be told when f gets ready; takes it over.
 * Returns whether it is ready now. */
bool waiters_poll(struct waiters *w, struct file *f, struct fuse_pollhandle *ph);

/* f is about to be closed: its poll handle goes. */
void waiters_forget(struct waiters *w, struct file *f);

/* Something about this job is different. */
void waiters_wake(struct waiters *w, uint64_t job);

#endif
