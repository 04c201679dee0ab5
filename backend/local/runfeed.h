#ifndef BACKEND_LOCAL_RUNFEED_H
#define BACKEND_LOCAL_RUNFEED_H

/*
 * The feed of a run: records from the part's input, answers to its journal.
 *
 * Records that the journal has an answer for are passed over.  Bodies are in
 * memory while they are under way and no longer.  Threads: the driver's; what
 * others look at is struct run_progress, under its mutex.
 */

#include <pthread.h>
#include <stdatomic.h>

#include "backend/local/engine.h"
#include "backend/local/rundir.h"
#include "fs/base/state.h"

#define RUNFEED_BYTES_MAX  (256u * 1024 * 1024) /* of records under way, if more than one */
#define RUNFEED_ANSWER_MAX (64u * 1024 * 1024)

struct run_progress {
	pthread_mutex_t mutex; /* of all below */
	struct counts counts;
	struct tokens tokens;
	char disk[PART_MESSAGE_MAX];   /* why nothing can be written, or empty */
	char engine[PART_MESSAGE_MAX]; /* why the engine waits, or empty */
};

struct runfeed;

struct runfeed_options {
	const char *dir;	     /* of the run; borrowed for the call */
	const struct run_spec *spec; /* borrowed until runfeed_close() */
	struct clock *clock;
	int cancel_fd;
	const atomic_bool *cancelled;  /* true once cancel_fd is readable */
	struct run_progress *progress; /* filled from the journal by the open */
	bool trusted;		       /* answers are JSON objects without looking */
	const char *journal_path;      /* NULL: DIR/journal.jsonl */
	/* As of backend.h's run_now, from the engine's thread; NULL: nobody is told. */
	backend_told *told;
	void *told_ctx;
};

/* -errno: the input or the journal cannot be opened or read.  The caller owns
 * *ret. */
MUST_CHECK int runfeed_open(const struct runfeed_options *o, struct runfeed **ret, struct err *e);

/* What the engine gets. */
struct feed *runfeed_feed(struct runfeed *f);

/* Brings all answers to the disk, and tells of them; waits while it is full, unless
 * cancelled or told() says to stop. */
MUST_CHECK int runfeed_finish(struct runfeed *f, struct err *e);

/* Has every record been given out?  False also after told() has said to stop. */
bool runfeed_is_drained(const struct runfeed *f);

void runfeed_close(struct runfeed *f); /* NULL is fine */

#endif
