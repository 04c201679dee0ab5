#ifndef BACKEND_AWS_ONDEMANDFILE_H
#define BACKEND_AWS_ONDEMANDFILE_H

/*
 * The results of records that are run on demand: a journal (backend/journal.h)
 * at the path that the engine names, and which records have a line in it.
 *
 * Memory does not grow with the number of records.  A line is counted once it
 * is on disk.  Not thread-safe.
 */

#include <stdbool.h>
#include <stddef.h>

#include "fs/base/clock.h"
#include "fs/base/err.h"
#include "fs/base/jsonspan.h"
#include "fs/base/macros.h"
#include "fs/base/state.h"

struct ondemandfile;

/* Opens or makes it; total: records of the part.  -errno of the file system,
 * -ENOMEM. */
MUST_CHECK int ondemandfile_open(const char *path, struct clock *clock, uint64_t total,
				 struct ondemandfile **ret, struct err *e);
void ondemandfile_close(struct ondemandfile *f); /* NULL is fine; drops what is not synced */

bool ondemandfile_has(const struct ondemandfile *f, const char *id, size_t id_size);

struct ondemand_record {
	const char *id;
	size_t id_size;
	struct jsonspan input;
};

/* Append a line.  As journal_added(): of a full disk (journal_is_full()) the line
 * is kept, for ondemandfile_sync(). */
MUST_CHECK int ondemandfile_add_good(struct ondemandfile *f, const struct ondemand_record *r,
				     struct jsonspan output);
MUST_CHECK int ondemandfile_add_error(struct ondemandfile *f, const struct ondemand_record *r,
				      const char *code, const char *message, bool retryable);

/* Is there something to sync? */
bool ondemandfile_is_dirty(const struct ondemandfile *f);
MUST_CHECK int ondemandfile_sync(struct ondemandfile *f); /* -errno; journal_is_full() */

/* Of all lines on disk. */
struct counts ondemandfile_counts(const struct ondemandfile *f);
struct tokens ondemandfile_tokens(const struct ondemandfile *f);

#endif
