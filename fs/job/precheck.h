#ifndef FS_JOB_PRECHECK_H
#define FS_JOB_PRECHECK_H

/*
 * What is looked at between a draft that is valid and its submission: what the
 * model is known to refuse, and what the job will cost at most.
 *
 * For the thread that has the job checked out; private to the engine.
 */

#include "fs/job/jobs_private.h"

/* Has the backend look at every record, once for each change of the draft.
 * Sure faults are appended to error, a line each; likely ones go to JOB/log; the
 * record gets the estimate. */
MUST_CHECK int precheck_input(struct job *j, const struct draft_summary *sum, struct buf *error,
			      struct err *e);

/* Is the estimate above max_usd (0: no limit)?  Then words says so and
 * what to do. */
bool precheck_is_dear(const struct job *j, double max_usd, struct buf *words);

#endif
