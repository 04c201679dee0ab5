#ifndef TESTS_UNIT_FAKEBACKEND_H
#define TESTS_UNIT_FAKEBACKEND_H

/*
 * A provider in memory for tests of the engine: it takes parts, ends them as
 * it is told, writes result files, and counts what it was asked for.
 *
 * What it knows lies in memory that outlives a forked child, as a provider
 * outlives the daemon: a child may die at any tick (each call of an operation
 * ticks before and after its effect; tests add ticks of their own), and the
 * next one finds the parts that were created.
 *
 * Threads: any, as backend/backend.h wants it.
 */

#include <pthread.h>
#include <stdatomic.h>

#include "backend/backend.h"

#define FAKEBACKEND_PARTS_MAX 1024

/* Wall time of jobs made elsewhere. */
#define FAKEBACKEND_BEGAN_NS (INT64_C(1700000000) * 1000000000)
#define FAKEBACKEND_ENDED_NS (INT64_C(1700003600) * 1000000000)

struct fakepart {
	char token[BACKEND_TOKEN_MAX + 1];
	char remote[32];
	unsigned creates; /* calls with this token that were taken */
	unsigned attempt, stops, forgets, purges;
	uint64_t record_count;
	enum job_state state;
	char job_name[64];
	struct counts counts; /* of one made elsewhere: what it says once it has ended */
};

struct fakechaos;

struct fakebackend {
	struct backend backend; /* first */
	struct backend_ops ops; /* its; a test may take some away before it starts */
	pthread_mutex_t mutex;	/* of the parts */
	char dir[256];		/* where result files lie */
	struct fakepart parts[FAKEBACKEND_PARTS_MAX];
	unsigned part_count;

	/* Orders, any time.  A number counts the calls it holds for. */
	atomic_int put_again, create_again, poll_again, stop_again, fetch_again;
	atomic_uint records_min;   /* of a job; 0: 1 */
	atomic_uint records_max;   /* of a part; 0: 1000 */
	atomic_int create_busy;	   /* not created: no connection, say */
	atomic_uint parts_at_once; /* as limits says; 0: no limit */
	atomic_uint quota;	   /* parts that have not ended; one more is -EDQUOT; 0: none */
	atomic_uint quota_refusals;
	atomic_uint live_most; /* parts that had not ended, at once */
	atomic_int create_every_ms;
	atomic_uint creating, creating_most; /* at once */
	const char *busy_words;		     /* of create_busy; NULL: its own */
	atomic_int create_lost;		     /* created, but the answer is -EAGAIN */
	atomic_int put_refused, create_refused, stop_refused, forget_again;
	atomic_int fetch_error;	  /* -errno, of all */
	atomic_int poll_torn;	  /* answers come, and then it fails */
	atomic_uint running_good; /* what a part says that has not ended */
	atomic_int end;		  /* enum job_state a part reaches; JOB_IN_PROGRESS: none yet */
	atomic_bool ends_counted; /* only so many more end: */
	atomic_int ends;
	unsigned blind_repeats;	       /* creates of what exists that did not say that it may */
	const char *faults, *warnings; /* of every input */
	bool priced;
	const char *message;   /* what an ended part says */
	const char *words;     /* of a refusal */
	const char *longwords; /* of a failed record; NULL: short ones */
	/* Of attempt 1, 2, ...: a letter a record of its input, the last one
	 * for all that follow: 'g'ood, 'f'ailed, 'm'issing, under a 's'trange name. */
	const char *outcomes[4];
	void (*called)(void *ctx, const char *operation); /* before each, no lock held */
	void *ctx;

	/* Does it tell of its jobs?  Of those made elsewhere the input can be had,
	 * unless fetch_input_error (-errno) says why not. */
	atomic_bool lists, tells_no_tokens;
	atomic_int fetch_input_again, fetch_input_error, purge_again, purge_error;
	/* Calls of run_now that fail, and records it answered in all; it answers the last
	 * one first, as attempt 1. */
	atomic_int now_again, now_refused, now_count;
	atomic_int bulk;	      /* that many more, all ended, "bulk-N" */
	const char *inputs_elsewhere; /* NULL: JOBSKIT_INPUT */

	atomic_int ticks, die_at; /* 0: never */

	/* Borrowed; faults and ends at random (tests/unit/fakechaos.h) instead of orders.
	 * NULL: none. */
	struct fakechaos *chaos;
};

/* dir: kept by value.  NULL: no memory. */
struct fakebackend *fakebackend_new(const char *dir);
void fakebackend_free(struct fakebackend *f);

/* After a child died, maybe with the lock held. */
void fakebackend_recover(struct fakebackend *f);

/* Dies, by SIGKILL, if it is time. */
void fakebackend_tick(struct fakebackend *f);

/* A job that was made elsewhere; its records, JOBSKIT_INPUT or inputs_elsewhere,
 * have outcomes as attempt 1.  JOB_IN_PROGRESS: it ends as the others do. */
void fakebackend_make_elsewhere(struct fakebackend *f, const char *remote, const char *name,
				enum job_state state);

/* A copy of part index; its token is empty if there is none. */
struct fakepart fakebackend_part(struct fakebackend *f, unsigned index);
unsigned fakebackend_part_count(struct fakebackend *f);

#endif
