#ifndef FS_JOB_JOBS_PRIVATE_H
#define FS_JOB_JOBS_PRIVATE_H

/*
 * What the files of the engine share: jobs.c (life and requests), sched.c
 * (who is due), job.c (one job's views), submit.c (draft to running parts),
 * track.c (watching them), finish.c (results).
 */

#include <pthread.h>
#include <stdatomic.h>

#include "fs/base/pool.h"
#include "fs/job/jobs.h"
#include "fs/job/registry.h"

struct jobs {
	struct jobs_options o; /* paths below instead of its own */
	char *state_dir, *cache_dir;
	char *scratch_dir;  /* CACHE/scratch: unlinked files */
	struct pool *pool;  /* jobs: may be busy for minutes */
	struct pool *quick; /* requests and polls: someone waits for them */
	struct registry registry;
	int events_fd;
	pthread_t scheduler;
	bool started;
	pthread_mutex_t mutex; /* of the scheduler's wake-up */
	pthread_cond_t wake;
	bool woken, ending;
	atomic_bool stopping;
	/* The poller's: scheduler and one pool thread at a time. */
	atomic_bool polling;
	_Atomic int64_t poll_due_ns, poll_step_ns;
	_Atomic int64_t names_ns;
};

/* One part as the poller sees it. */
struct watch {
	char *remote; /* owned */
	struct part_status status;
	bool fresh; /* an answer the job has not looked at yet */
};

struct wishes {
	bool held, submit, stop, retry, refresh;
};

struct tombs {
	int64_t until_ns;
	uint64_t names;			     /* bits */
	uint8_t *records[JOB_RECORDS_COUNT]; /* owned bitmaps, or NULL */
	uint64_t record_capacity;
	uint64_t record_count[JOB_RECORDS_COUNT];
};

/* Results that somebody has open. */
struct held {
	struct view *view; /* a reference */
	unsigned count;
	struct held *next;
};

struct job {
	struct jobs *jobs; /* borrowed: outlives its jobs */
	uint64_t number;
	char *dir; /* owned: STATE/jobs/N */
	struct draft *draft;
	int log_fd;
	atomic_uint refs;
	atomic_bool removed;

	pthread_mutex_t mutex; /* of the following */
	char *name;
	struct view *view;
	bool busy;	/* checked out */
	bool poked;	/* something happened while it was */
	int64_t due_ns; /* monotonic; INT64_MAX: not by time */
	struct wishes wishes;
	struct watch *watches; /* parts of the running attempt, or none */
	size_t watch_count;
	struct tombs tombs;
	struct held *held;
	struct request *asked; /* commands to be answered after the next step */

	/* Of the thread that has it checked out: */
	struct store_job row;
	struct store_part *parts;
	size_t part_count;
	struct results *results;
	char *trouble; /* why it waits, for JOB/error; or NULL */
	unsigned trouble_count;
	int64_t settle_due_ns;	   /* wall; for the view */
	int64_t settle_touched_ns; /* what it was computed from */
	uint64_t refused_events;   /* the draft as it was refused; 0: not seen yet */
	bool stop_sent;
};

/* job.c */
MUST_CHECK int job_new(struct jobs *en, const struct store_job *row, struct job **ret,
		       struct err *e);
/* Builds a view from the record, stores the record if the state is another,
 * swaps the view in and tells. */
void job_publish(struct job *j, enum job_state state, const char *error);
/* Moves to the next phase: in memory and, with parts changed or added, in the store. */
MUST_CHECK int job_move(struct job *j, enum event ev, struct err *e);
MUST_CHECK int job_save(struct job *j, struct err *e);
struct wishes job_wishes(struct job *j);
void job_set_wishes(struct job *j, struct wishes w);
void job_poke(struct job *j);		    /* due now */
void job_due_in(struct job *j, int64_t ns); /* due then, unless sooner */

/* One step of each phase, on a pool thread with the job checked out.  0: done
 * for now; 1: there is more to do at once; -errno: trouble, try later. */
MUST_CHECK int submit_draft(struct job *j, struct err *e);
MUST_CHECK int submit_stage(struct job *j, struct err *e);
MUST_CHECK int submit_run(struct job *j, struct err *e); /* creates parts, watches them */
/* A new part of that attempt at the end of the list; not stored yet. */
MUST_CHECK int submit_add_part(struct job *j, uint32_t attempt, uint64_t record_count,
			       struct err *e);
MUST_CHECK int finish_collect(struct job *j, struct err *e);
MUST_CHECK int finish_ended(struct job *j, struct err *e);

/* track.c */
void track_poll(void *jobs);	   /* pool work: one poll for all */
void track_hurry(struct jobs *en); /* something began: poll soon */
bool track_is_due(struct jobs *en, int64_t now_ns, int64_t *ret_due_ns);
void track_watch(struct job *j); /* after parts changed */
void track_take(struct job *j);	 /* answers into the parts */

/* jobs.c: commands that wait for the job's next step; taken before it begins,
 * answered when it is over. */
struct request;
struct request *jobs_take_asked(struct job *j);
void jobs_answer_asked(struct request *q, int r);

/* sched.c */
void sched_wake(struct jobs *en);
MUST_CHECK int sched_start(struct jobs *en, struct err *e);
void sched_stop(struct jobs *en);

#endif
