#ifndef FS_JOB_RESULTFILES_H
#define FS_JOB_RESULTFILES_H

/*
 * The files of result lines that a generation of results is made of, oldest
 * first: those of the generation before, or all of every attempt; then those of
 * the newest attempt: what is known without running it, then its parts'.
 *
 *	STATE/jobs/7/parts/a2.reused.jsonl	known: another job has them (fs/job/dedupe.h)
 *	STATE/jobs/7/parts/a2p1.out.jsonl	of a part that ran on demand
 *	CACHE/jobs/7/fetched-a2p2/...		brought here from the provider
 *
 * What was brought stays known over a failure: of a hundred parts those that are
 * here are not fetched again because the next one cannot be.
 *
 * For the thread that has the job checked out.
 */

#include <stddef.h>
#include <stdint.h>

#include "fs/base/err.h"
#include "fs/base/macros.h"
#include "fs/job/jobs_private.h"

struct resultfiles {
	char **paths; /* owned */
	size_t count, capacity;
	size_t earlier_count; /* of them from before the newest attempt */
	/* How far it is: of the attempts up to last, with the generation before or
	 * without, so many parts are done. */
	uint32_t last;
	bool begun, fresh;
	size_t parts_done;
};

void resultfiles_release(struct resultfiles *f);
void resultfiles_freep(struct resultfiles **f); /* NULL is fine */

/* Those of the attempts up to last.  fresh: the results that are shown hold what
 * the attempts before it brought.  Goes on where a failed call left off, if f is of the
 * same; else begins anew.
 * Errors of backend fetch, with the words for what a user can do. */
MUST_CHECK int resultfiles_fetch(struct job *j, uint32_t last, bool fresh, struct resultfiles *f,
				 struct err *e);

/* What was downloaded is in results now; what a backend keeps is its own. */
void resultfiles_drop(const struct job *j, const struct resultfiles *f);

/* The caller's to free. */
MUST_CHECK int resultfiles_job_dir(const struct job *j, char **ret); /* CACHE/jobs/7/ */
MUST_CHECK int resultfiles_generation(const struct job *j, uint32_t generation, char **ret);
/* The result lines of the generation that is shown. */
MUST_CHECK int resultfiles_earlier(const struct job *j, char **ret);
MUST_CHECK int resultfiles_reused(const struct job *j, uint32_t attempt, char **ret);
MUST_CHECK int resultfiles_ondemand(const struct job *j, const struct store_part *p, char **ret);

#endif
