#ifndef FS_JOB_SMALL_H
#define FS_JOB_SMALL_H

/*
 * What to do with fewer records than the provider takes as a job: the setting
 * `small`, or what was asked for.
 *
 * For the thread that has the job checked out, and for commands on it.
 */

#include "fs/job/jobs_private.h"

/* Can the source do that at all? */
bool small_is_possible(const struct backend *b, enum run_how how);

/* How count records are run, *ret being what was asked for: RUN_BATCH unless
 * they are fewer than the minimum of model and `small` says otherwise; a padded
 * attempt that needs no padding is a plain one.
 * -EINVAL: they are too few, and *e names the ways out; or the source
 * cannot do what was asked for. */
MUST_CHECK int small_how(struct backend *b, const char *model, enum small small, uint64_t count,
			 enum run_how *ret, struct err *e);

#endif
