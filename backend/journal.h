#ifndef BACKEND_JOURNAL_H
#define BACKEND_JOURNAL_H

/*
 * The results of a run as they come: a file of result lines
 * (backend/envelope.h), appended to and never changed.
 *
 * A line reaches the file in one write(2) together with at most batch - 1
 * others, so that a killed process leaves at most one torn line, at the end,
 * which the next open cuts off.  What a write could not place (a full disk)
 * stays pending, and the next try goes on where it stopped.  The file is
 * synced in groups, about once a second.  Not thread-safe.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/envelope.h"
#include "fs/base/buf.h"
#include "fs/base/clock.h"
#include "fs/base/err.h"
#include "fs/base/macros.h"

#define JOURNAL_SYNC_NS	    NS_PER_S
#define JOURNAL_PENDING_MAX (800u * 1024 * 1024) /* one line of any size, in practice little */
#define JOURNAL_WRITE_BYTES (256u * 1024)	 /* a batch is written when it is as large */

struct journal;

/* Opens or makes path and calls line() for each result that is there already,
 * in order, with spans that last for the call.  Lines that are no results
 * (blocks lost in a power failure) are passed over and counted in the log.
 * line may stop it with -errno, which is returned.  The caller owns *ret. */
MUST_CHECK int journal_open(const char *path, struct clock *clock,
			    int (*line)(void *ctx, const struct envelope *v), void *ctx,
			    struct journal **ret, struct err *e);

/* Closes; what is pending is given up (journal_sync() writes it). */
void journal_close(struct journal *j); /* NULL is fine */

/* How many lines may wait for each other; 1 at first. */
void journal_set_batch(struct journal *j, unsigned lines);

/* Where the next line goes: append it whole, with its newline, then
 * journal_added(). */
struct buf *journal_line(struct journal *j);

/* Writes if the batch is full.  -ENOSPC, -EDQUOT, -EFBIG: the file cannot
 * grow now; the lines stay pending, call journal_flush() later.  -ENOMEM: the
 * line did not fit, and the journal takes no more.  Other -errno: the file cannot be written. */
MUST_CHECK int journal_added(struct journal *j);

MUST_CHECK int journal_flush(struct journal *j); /* errors as above */
MUST_CHECK int journal_sync(struct journal *j);	 /* flushes, then fdatasync */

/* Flushes, syncs if it is time, and says within how many milliseconds to call
 * again; -1: nothing is due. */
MUST_CHECK int journal_tick(struct journal *j, int *ret_ms);

/* Is r one of the errors that pass when there is space again? */
bool journal_is_full(int r);

#endif
