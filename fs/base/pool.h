#ifndef FS_BASE_POOL_H
#define FS_BASE_POOL_H

/*
 * A few threads that run queued work: what may take longer than a file-system
 * request may.  First come, first served; no work waits for other work of the
 * same pool, so any number of items is safe with any number of threads.
 */

#include "fs/base/err.h"
#include "fs/base/macros.h"

struct pool;

/* -ENOMEM, -EAGAIN (no thread to be had).  The caller owns *ret. */
MUST_CHECK int pool_new(unsigned threads, struct pool **ret, struct err *e);

/* Runs what is queued, then ends the threads.  NULL is fine. */
void pool_free(struct pool *p);

/* Queues run(arg); arg is kept until it has run.  -ENOMEM: not queued. */
MUST_CHECK int pool_add(struct pool *p, void (*run)(void *arg), void *arg);

#endif
