#ifndef FS_JOB_RETRYLIST_H
#define FS_JOB_RETRYLIST_H

/*
 * The list of a retry that is made for records which may go better by
 * themselves: those lines of retry.jsonl (cache/results.h).
 *
 * Blocking, on a pool thread; anonymous memory does not grow.
 */

#include <stdbool.h>
#include <stdint.h>

#include "cache/results.h"
#include "fs/base/err.h"
#include "fs/base/macros.h"

/* results: pinned.  Failed records by envelope_is_retryable(), missing ones if
 * with_missing.  With none, *ret_count is 0 and no file is written, and one that
 * is there stays.  The file is durable and canonical.
 * -EUCLEAN: the results are damaged; -ENOSPC, ... */
MUST_CHECK int retrylist_write(const struct results *results, bool with_missing, const char *path,
			       uint64_t *ret_count, struct err *e);

#endif
