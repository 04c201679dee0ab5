#ifndef FS_JOB_LIST_H
#define FS_JOB_LIST_H

/*
 * The records that an attempt sends, in the order of the input, as a file that
 * has been scanned.
 *
 * A first attempt that leaves nothing out and adds nothing has the user's
 * input.jsonl for its list.  Else it is made: STATE/jobs/7/parts/a2.list, of the records
 * that have no good result yet, without those that need not be run (dedupe), and of what
 * fills it up to the provider's minimum.  Made before the parts of the attempt are planned,
 * whole or not at all, and needed until all of them are staged.
 *
 * For the thread that has the job checked out; blocking, on a pool thread.
 */

#include <stdint.h>

#include "fs/base/err.h"
#include "fs/base/macros.h"
#include "fs/job/input.h"
#include "fs/job/jobs_private.h"

struct list {
	struct input *in;  /* the scanned file: owned, if own */
	struct input *own; /* or NULL */
	char *path;	   /* owned */
	int fd;		   /* owned */
	/* Known when it was made: so many of its records, the last ones, are padding; so
	 * much is left out, since it is known already. */
	uint64_t padding;
	struct tally reused;
	bool is_made; /* the file is ours, and not the user's */
};

#define LIST_INIT                                                                                  \
	{                                                                                          \
		.fd = -1                                                                           \
	}

void list_release(struct list *l);
uint64_t list_count(const struct list *l); /* records */

/* Makes the list of the attempt anew, and decides how the attempt is run (row.how).
 * Zero records is fine: all is known already.
 * -EINVAL: too few for the source; *e says so, and what to do.  -EAGAIN: the
 * results before this attempt cannot be read now.  -ENOSPC, -EIO, -ECANCELED. */
MUST_CHECK int list_make(struct job *j, struct list *ret, struct err *e);

/* The list as it was made; of an attempt whose parts are planned. */
MUST_CHECK int list_open(struct job *j, struct list *ret, struct err *e);

/* The attempt's parts are staged: what was made goes, but for the results that were
 * known. */
void list_drop(const struct job *j);

/* It will not be planned: they go, too. */
void list_undo(const struct job *j);

#endif
