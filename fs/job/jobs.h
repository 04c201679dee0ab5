#ifndef FS_JOB_JOBS_H
#define FS_JOB_JOBS_H

/*
 * Runs the jobs of a mount: decides when a draft is submitted, asks the
 * backend, follows the parts, joins the results, and survives being killed at
 * any instant.
 *
 *	jobs_new -> jobs_start -> requests from any thread -> jobs_stop
 *
 * Threads: a scheduler that only decides who is due, and a pool whose threads
 * check out one job each; only who has a job checked out changes its record.
 * Lock ranks: names -> wishes -> registry -> job -> draft -> file -> wake-up -> log; none
 * is held across disk, network, a hook or a callback, but for the draft's own
 * metadata calls, and for names (of the list) and wishes (of a job), which are
 * held while the store writes: only pool threads take them.
 *
 * Requests with a callback answer later, on a pool thread, exactly once, also
 * when they fail at once; the rest never waits.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/backend.h"
#include "cache/store.h"
#include "fs/base/clock.h"
#include "fs/base/err.h"
#include "fs/base/macros.h"
#include "fs/job/job.h"
#include "fs/job/machine.h"
#include "fs/job/settings.h"

/* What memory and the time of a start allow (docs/semantics.md, "Limits"). */
#define JOBS_JOBS_MAX 100000

struct jobs;

enum jobs_change {
	JOBS_STATE = 1,	  /* the state is another */
	JOBS_VIEW = 2,	  /* anything a reader can see */
	JOBS_RESULTS = 4, /* another generation, or about to be */
	JOBS_GONE = 8,	  /* the job was removed */
	JOBS_IDLE = 16,	  /* looked at, and nothing is pending: what it shows stands */
};

struct jobs_options {
	struct backend *backend; /* borrowed until jobs_stop() returns */
	struct store *store;	 /* borrowed likewise */
	struct clock *clock;
	const char *state_dir, *cache_dir; /* absolute; kept as copies */
	struct settings settings;	   /* of jobs whose config does not say otherwise */
	int64_t poll_ns; /* at most between two polls; 0: as the backend thinks best */
	bool fetch_auto; /* what jobs made elsewhere have is fetched when they end */
	/* What (bits of enum jobs_change) happened; a new view is in place; no
	 * lock held; any pool thread. */
	void (*changed)(void *ctx, struct job *j, unsigned what);
	void *ctx;
};

/* Loads the jobs of the store; none runs yet. */
MUST_CHECK int jobs_new(const struct jobs_options *o, struct jobs **ret, struct err *e);
MUST_CHECK int jobs_start(struct jobs *en, struct err *e);

/* Ends the threads; work under way is resumed at the next start.  NULL is fine. */
void jobs_stop(struct jobs *en);
/* After the last job_unref() of the callers'. */
void jobs_free(struct jobs *en);

/* A reference, or NULL. */
struct job *jobs_find(struct jobs *en, const char *name);
struct job *jobs_get(struct jobs *en, uint64_t number);
/* The job with the lowest number above after, or NULL at the end. */
struct job *jobs_next(struct jobs *en, uint64_t after);
size_t jobs_job_count(struct jobs *en);
int64_t jobs_queue_ns(struct jobs *en); /* wall: when a job_queue_place() last changed */
int64_t jobs_names_ns(struct jobs *en); /* wall: a directory last came or went */

/* r: 0 or -errno; j: borrowed for the call, NULL on failure. */
typedef void jobs_done(void *ctx, int r, struct job *j);

/* -EEXIST, -EINVAL (control bytes or bad UTF-8), -EPERM (begins with a dot),
 * -ENOSPC (too many jobs, or the disk), ... */
void jobs_make(struct jobs *en, const char *name, jobs_done *done, void *ctx);
void jobs_rename(struct jobs *en, struct job *j, const char *name, jobs_done *done, void *ctx);
/* Forgets a draft or an ended job for good.  -EBUSY: active. */
void jobs_remove(struct jobs *en, struct job *j, jobs_done *done, void *ctx);

/* A command of JOB/ctl.  Durable when it answers.  -EBUSY: not in this state,
 * but later; -EINVAL: not in this state. */
void jobs_command(struct jobs *en, struct job *j, struct order o, jobs_done *done, void *ctx);

/* A reader wants to know how jobs are: the next poll may come earlier, though
 * never within 5 s of the last one.  Any thread; does not wait. */
void jobs_hurry(struct jobs *en);

/* Runs run(arg) on a pool thread: for what a FUSE worker must not do. */
MUST_CHECK int jobs_run(struct jobs *en, void (*run)(void *arg), void *arg);

/* STATE/events, append-only: a descriptor to pread and fstat, borrowed. */
int jobs_events_fd(const struct jobs *en);

#endif
