#ifndef FS_JOB_JOBS_PRIVATE_H
#define FS_JOB_JOBS_PRIVATE_H

/*
 * What the files of the engine share: jobs.c (life and requests), commands.c
 * (JOB/ctl), legal.c (which of them are taken), sched.c (who is due), job.c (one job),
 * show.c (its views), sample.c (some of it before), submit.c (drafts, and the watch over
 * what runs), staging.c (plan and inputs of an attempt), parts.c (tokens, refusals),
 * launch.c (creates), demand.c (on demand), track.c (polling), finish.c (results),
 * endwords.c (what to say of an end), again.c (another attempt), adopt.c (jobs that were
 * made elsewhere become ours), elsewhere.c (their results), purge.c.
 */

#include <pthread.h>
#include <stdatomic.h>

#include "fs/base/pool.h"
#include "fs/job/jobs.h"
#include "fs/job/registry.h"
#include "fs/job/seen.h"
#include "fs/job/turns.h"

/* Jobs are served by threads of four kinds, so that an upload that hangs keeps
 * nobody from being judged, or stopped. */
enum lane {
	LANE_DESK,  /* here on this machine; somebody may be waiting */
	LANE_CALLS, /* short calls to the provider: creates, stops */
	LANE_BULK,  /* inputs and results: may be busy for hours */
	LANE_NOW,   /* records that run on demand: the same, and nobody's upload waits for it */
	LANE_COUNT,
};

struct jobs {
	struct jobs_options o; /* paths below instead of its own */
	char *state_dir, *cache_dir;
	char *scratch_dir; /* CACHE/scratch: unlinked files */
	struct pool *lanes[LANE_COUNT];
	struct pool *quick; /* requests and polls: someone waits for them */
	struct registry registry;
	struct results_cache *results;
	int events_fd;
	pthread_t scheduler;
	bool started;
	/* Over what makes, renames and removes jobs, so that the list, the store
	 * and the jobs agree; the one lock held while the store writes. */
	pthread_mutex_t names_mutex;
	pthread_mutex_t mutex; /* of the following */
	pthread_cond_t wake;
	bool woken, ending;
	bool polling; /* a poll is queued or under way */
	/* Of who polls: what the source has and is known here; and whether it was
	 * said that there are more than fit. */
	struct seen seen;
	bool adopted_too_many;
	int64_t poll_due_ns, poll_step_ns;
	int64_t polled_ns;     /* monotonic: the last poll ended */
	unsigned polls_failed; /* in a row; the poller's own */
	struct turns turns;
	bool stirred; /* turns have to be decided anew */
	atomic_bool stopping;
	_Atomic int64_t names_ns;
	_Atomic int64_t queue_ns; /* wall: a place in a queue changed */
	int64_t turns_due_ns;	  /* the scheduler's own: decide again then */
};

/* One part as the poller sees it. */
struct watch {
	char *remote; /* owned */
	struct part_status status;
	bool fresh; /* an answer the job has not looked at yet */
};

/* A job among those that create parts, for the scheduler. */
struct turn {
	unsigned live;	  /* parts that run, or may */
	bool waits;	  /* for its turn */
	bool given;	  /* for one create call, which may be under way */
	bool holds;	  /* the next part is among the live ones */
	int64_t since_ns; /* wall */
	unsigned place;	  /* in the queue of its model; 0: in none */
};

struct tombs {
	int64_t until_ns;
	uint64_t names;			     /* bits */
	uint8_t *records[JOB_RECORDS_COUNT]; /* owned bitmaps, or NULL */
	uint64_t record_capacity;
	uint64_t record_count[JOB_RECORDS_COUNT];
};

struct job {
	struct jobs *jobs; /* borrowed: outlives its jobs */
	uint64_t number;
	bool elsewhere; /* as in row; never changes */
	char *dir;	/* owned: STATE/jobs/N */
	struct draft *draft;
	atomic_uint refs;
	atomic_bool removed;
	atomic_bool stop_wished; /* as in wishes, for calls that may hang */

	/* Over a change of the wishes in the store and in memory, and over the
	 * submission that takes them up: a `hold` comes before it or too late.
	 * Taken before the mutex below. */
	pthread_mutex_t wish_mutex;

	pthread_mutex_t mutex; /* of the following */
	char *name;
	struct view *view;
	enum phase phase; /* as in row, for others */
	bool busy;	  /* checked out */
	bool orphaned;	  /* removed while it was: who has it erases it */
	bool poked;	  /* something happened while it was */
	int64_t due_ns;	  /* monotonic; INT64_MAX: not by time */
	struct turn turn;
	bool fetch_asked;	    /* a `wait` wants its results */
	bool results_lost;	    /* who wanted to read them did not find them whole */
	struct store_wishes wishes; /* job_set_wishes_locked() */
	struct watch *watches;	    /* parts of the running attempt, or none */
	size_t watch_count;
	struct tombs tombs;
	struct request *asked; /* commands to be answered after the next step */

	/* Of the thread that has it checked out: */
	enum lane lane; /* that thread's */
	struct store_job row;
	struct store_part *parts;
	size_t part_count;
	struct results *results;
	struct resultfiles *files; /* owned: of what is being brought (resultfiles.h), or NULL */
	unsigned trouble_count;
	int64_t settle_due_ns;	   /* wall; for the view */
	int64_t settle_touched_ns; /* what it was computed from */
	uint64_t refused_edits;	   /* the draft as it was refused */
	uint64_t prechecked_edits; /* the draft as the backend looked at it */
	bool prechecked;
	bool sampling;		     /* a sample is under way, and on LANE_NOW */
	bool sample_resumes;	     /* it may have been before this start */
	struct counts sample_counts; /* of that */
	int64_t sample_ns;	     /* wall: sample.jsonl was made; 0: there is none */
	char *sample_error;	     /* owned: why the last one was refused, or NULL */
	bool refused_before;	     /* this start: then refused_edits is not known */
	bool stop_sent;
	bool stop_heard;   /* one that this attempt was past, or gave results up for */
	bool quota_told;   /* this start */
	bool fetch_failed; /* this start: not tried again by itself */
	bool restored;	   /* the results that could be read before this start were looked for */
};

/* legal.c */
/* As bits: what the phase allows, the source can do, and was not done already.
 * counts: of its results. */
unsigned job_legal_commands(struct job *j, enum job_state state, const struct counts *counts);
/* How a retry of so many records would run if it is not said: enum run_how.
 * -EINVAL: it would not, they are fewer than the source takes.  Any thread. */
MUST_CHECK int legal_retry_how(struct job *j, const char *model, uint64_t count);
unsigned legal_during_sample(unsigned set); /* what is left of it, and `stop` */

/* show.c */
/* Builds a view from the record, stores the record if the state is another,
 * swaps the view in and tells. */
void job_publish(struct job *j, enum job_state state, const char *error);
/* The same, keeping the error while the state stays as it is. */
void job_show(struct job *j, enum job_state state);

/* job.c */
MUST_CHECK int job_new(struct jobs *en, const struct store_job *row, struct job **ret,
		       struct err *e);
/* Moves to the next phase: in memory and, with parts changed or added, in the store. */
MUST_CHECK int job_move(struct job *j, enum event ev, struct err *e);
MUST_CHECK int job_save(struct job *j, struct err *e);
/* The row, and of the parts only p. */
MUST_CHECK int job_save_part(struct job *j, const struct store_part *p, struct err *e);
struct store_wishes job_wishes(struct job *j);
void job_set_wishes_locked(struct job *j, const struct store_wishes *w);
/* The job's config over the settings of the mount, never these in its place. */
MUST_CHECK int job_settings(struct job *j, struct settings *ret, struct err *e);
/* Takes those wishes back, in the store first. */
MUST_CHECK int job_drop_wishes(struct job *j, struct store_wishes drop, struct err *e);
/* With its mutex: is it due for nothing, or for a purge, which changes nothing of
 * what is here? */
bool job_rests_locked(const struct job *j);
void job_poke(struct job *j);		    /* due now */
void job_due_in(struct job *j, int64_t ns); /* due then, unless sooner */

/* One step of each phase, on a pool thread with the job checked out.  0: done
 * for now; 1: there is more to do at once; -errno: trouble, try later. */
MUST_CHECK int submit_draft(struct job *j, struct err *e);
MUST_CHECK int submit_stage(struct job *j, struct err *e);
MUST_CHECK int submit_run(struct job *j, struct err *e); /* creates parts, watches them */
MUST_CHECK int finish_collect(struct job *j, struct err *e);
MUST_CHECK int finish_ended(struct job *j, struct err *e);
/* Before any thread: results that are on disk are shown from the first moment
 * of a mount, and with them the end. */
void finish_reopen(struct job *j);
/* The results that could be read before this attempt: what a retry is made of. */
MUST_CHECK int finish_restore(struct job *j, struct err *e);

/* endwords.c */
/* The most telling end among the parts of an attempt; was one stopped before it was
 * created? */
enum job_state endwords_worst(const struct job *j, uint32_t attempt, bool *ret_dropped);
/* Why records have no result after that attempt: one sentence that is true of all. */
const char *endwords_missing(const struct job *j, uint32_t attempt);
/* *ret: for JOB/error, the caller's; NULL: nothing to say. */
MUST_CHECK int endwords_describe(const struct job *j, enum job_state end, uint64_t strange_lines,
				 struct results *res, char **ret);

/* again.c */
/* Were records that the attempt did not run cut short, and not by the user? */
bool again_with_missing(const struct job *j, uint32_t attempt);
/* Is an automatic retry to follow this end? */
bool again_is_due(const struct job *j);
/* Is one to follow an end with so many records that may go better by themselves? */
bool again_is_worth(struct job *j, enum job_state end, uint64_t retryable_count);
/* Begins the next attempt, as was asked for or is due.  0: nothing is left to retry. */
MUST_CHECK int again_start(struct job *j, struct err *e);

/* parts.c */
/* Random, never made twice; the caller's to free. */
MUST_CHECK int parts_make_token(char **ret, struct err *e);
/* A new part of the attempt at the end of the list, seq from 1; not stored yet. */
MUST_CHECK int parts_add(struct job *j, uint32_t seq, uint64_t record_count, struct err *e);
void parts_drop_last(struct job *j);
bool parts_is_current(const struct job *j, const struct store_part *p);
bool parts_are_over(const struct job *j); /* none of the attempt runs, or will */
/* Was it created, or may it have been?  A create call is not sent before the
 * state Queued is in the store, so that a part whose answer was lost, in a
 * crash or on the way, is never taken for one that was not asked for. */
bool parts_may_exist(const struct store_part *p);
/* Is it, while it has not ended, one of those the provider runs at once?  Not what
 * a later call was told that it is not made. */
bool parts_holds_slot(const struct store_part *p);
int64_t parts_asked_ns(const struct store_part *p); /* wall; 0: never, or certainly not created */
/* For the head of a line about p: "part 4: ", or nothing if its attempt has but one. */
#define PARTS_LABEL_MAX 32
const char *parts_label(const struct job *j, const struct store_part *p, char ret[PARTS_LABEL_MAX]);
/* Adds a line for each part of the attempt that is wanted and has words; of the first
 * hundred, and how many more there are. */
void parts_tell(const struct job *j, bool (*wanted)(const struct store_part *p), struct buf *out);
void parts_drop(struct job *j); /* those of the attempt that were never asked for */
/* The provider will not have p, for the reason in *e.  A first attempt of which
 * nothing runs goes back to the user, who can mend it (1: its parts are gone); else
 * the others go on without it (0).  Stored, and the inputs taken back. */
MUST_CHECK int parts_refuse(struct job *j, struct store_part *p, struct err *e);
MUST_CHECK int parts_path(const struct job *j, const struct store_part *p, char **ret);
/* The part as the backend wants it, and what that points to. */
struct partdesc {
	struct backend_part part; /* borrows the rest, and p's and the job's own */
	struct kv config;
	char *path, *media; /* owned */
};

#define PARTDESC_INIT                                                                              \
	{                                                                                          \
		.path = NULL                                                                       \
	}

MUST_CHECK int parts_describe(struct job *j, const struct store_part *p, struct partdesc *ret,
			      struct err *e);
void partdesc_release(struct partdesc *d);

/* sample.c: a draft's `sample N`, while that wish is in the store. */
void sample_load(struct job *j); /* at a start: what earlier ones left */
/* Of a draft that was found ready; then sample_is_begun(). */
MUST_CHECK int sample_begin(struct job *j, const struct draft_summary *sum, struct err *e);
bool sample_is_begun(struct job *j); /* then, until it is over, the draft is not judged */
MUST_CHECK int sample_run(struct job *j, struct err *e);  /* on LANE_NOW */
MUST_CHECK int sample_drop(struct job *j, struct err *e); /* the draft is not ready */

/* launch.c */
/* Creates what is staged and has its turn.  1: refused, and the job is a draft again. */
MUST_CHECK int launch_parts(struct job *j, struct err *e);
bool launch_waits(struct job *j); /* for its turn, or has one that it did not use yet */
/* What was not asked for is dropped, all else is found out and stopped. */
MUST_CHECK int launch_stop(struct job *j, struct err *e);

/* demand.c */
/* Runs the parts of an on-demand attempt to their ends.  1: refused, and the job is a
 * draft again.  Blocks for as long as it takes, on LANE_NOW. */
MUST_CHECK int demand_parts(struct job *j, struct err *e);

/* track.c */
void track_start(struct jobs *en); /* before any thread */
void track_poll(void *jobs);	   /* pool work: one poll for all */
void track_hurry(struct jobs *en); /* something began: poll soon */
/* Is a poll to be queued now?  It counts as begun then; else when one is due. */
bool track_begin(struct jobs *en, int64_t now_ns, int64_t *ret_due_ns);
void track_put_off(struct jobs *en, int64_t due_ns); /* it could not be queued */
void track_watch(struct job *j);		     /* after parts changed */
void track_take(struct job *j);			     /* answers into the parts */
/* Parts that run or may, on-demand ones excepted; counted anew, as a count that is
 * kept would drift. */
unsigned track_live(const struct job *j);

/* elsewhere.c */
MUST_CHECK int elsewhere_step(struct job *j, struct err *e); /* of PHASE_ELSEWHERE */
/* Of PHASE_COLLECTING while elsewhere_is_away(). */
MUST_CHECK int elsewhere_collect(struct job *j, struct err *e);
/* Was it made elsewhere, and never here yet? */
bool elsewhere_is_away(const struct job *j);
void elsewhere_take(struct job *j);				/* after track_take() */
MUST_CHECK int elsewhere_over(struct job *j, struct err *e);	/* its part has ended */
void elsewhere_show(struct job *j);				/* its end */
enum job_state elsewhere_end(const struct part_status *status); /* what to call that end */
/* JOB/model in that directory, as the record has it. */
MUST_CHECK int elsewhere_write_model(const struct store_job *row, const char *files, struct err *e);

/* purge.c */
MUST_CHECK int purge_run(struct job *j, struct err *e); /* it is wished for, and may be */
bool purge_is_done(const struct job *j);

/* adopt.c: around a poll.  NULL: the source does not tell of jobs. */
struct adoption;
struct adoption *adopt_begin(struct jobs *en);
void adopt_found(void *adoption, const struct backend_job *found);
void adopt_end(struct adoption *a); /* makes the jobs; NULL is fine */
/* An earlier mount showed it, this one shows only its own: it stays in the store
 * for a later one.  What was fetched, or is asked to be, is shown all the same. */
bool adopt_is_hidden(const struct jobs *en, const struct store_job *row);
/* With the mutex of names: did a hidden job have this name, and has another now? */
bool adopt_make_way(struct jobs *en, const char *name);

/* jobs.c */
void jobs_names_changed(struct jobs *en);
struct request {
	struct jobs *jobs;
	struct job *job; /* a reference, or NULL */
	char *name;	 /* owned, or NULL */
	struct order order;
	bool put_off; /* it came before the draft was looked at: judged after that */
	bool taken;   /* it is in the store */
	jobs_done *done;
	void *ctx;
	struct request *next; /* asked of the same job */
};

/* Queues run(a request); jobs_answer() ends its life. */
void jobs_ask(struct jobs *en, void (*run)(void *request), struct job *j, const char *name,
	      struct order order, jobs_done *done, void *ctx);
void jobs_answer(struct request *q, int r, struct job *j);
void jobs_erase(struct jobs *en, uint64_t number); /* all that is left of a removed job */

/* commands.c: those that wait for the job's next step are taken before it
 * begins and answered when it is over. */
struct request *jobs_take_asked(struct job *j);
void jobs_answer_asked(struct request *q, int r);

/* sched.c */
void sched_wake(struct jobs *en);
void sched_stir(struct jobs *en); /* who waits, has a turn or what lives has changed */
MUST_CHECK int sched_start(struct jobs *en, struct err *e);
void sched_stop(struct jobs *en);

#endif
