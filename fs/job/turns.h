#ifndef FS_JOB_TURNS_H
#define FS_JOB_TURNS_H

/*
 * Who may create a part next.
 *
 * A provider runs so many parts of a model at once, and may want its create
 * calls one by one and not too often.  A job that has a part to create waits
 * here, without a thread, and is given a turn: leave for one create call.
 *
 *   - A slot that comes free goes to the job with the fewest live parts of that
 *     model; among equals to the one that has waited longest.  A job of one part
 *     is not stuck behind one of a thousand, and all move on.
 *   - Who holds a slot already, since its part may exist (its create was sent and
 *     no answer is known), needs none, and goes first.
 *   - A provider that refuses for its quota teaches how many it runs: as many as
 *     were live then.  Nothing more is tried before one of them ends or the time
 *     of a probe has come, ever more seldom while probes are refused; a create that
 *     succeeds above the number raises it, and the next is tried at once.
 *
 * Rounds: turns_begin(), each job of the mount told of once by turns_count() and
 * turns_wait(), turns_decide().  Live parts are counted anew in each round, so
 * that no error in a count can stay.  What is kept between rounds is what was
 * learned, and when the last create call was.
 *
 * Pure: memory only, no locks, time is told.  The engine's mutex is its own
 * (fs/job/jobs_private.h).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/clock.h"
#include "fs/base/macros.h"

#define TURNS_PROBE_FIRST_NS (60 * NS_PER_S)
#define TURNS_PROBE_MAX_NS   (600 * NS_PER_S)

struct turns_model {
	char *name;	  /* owned */
	unsigned most;	  /* live at once, as the source says; UINT_MAX: no limit */
	unsigned learned; /* from a refusal; UINT_MAX: there was none */
	bool probing;	  /* more than that is being tried */
	int64_t probe_due_ns, probe_step_ns;
	/* Of this round: is it in it; live, with those that have a turn; these alone. */
	bool counted;
	unsigned live, out;
};

/* A job that waits. */
struct turns_wait {
	uint64_t job;
	unsigned live;	  /* its parts of that model */
	int64_t since_ns; /* any clock, the same for all */
	bool holds;	  /* its next part is among them */
	/* Decided: it has a turn, or else its place in the queue of the model, from 1. */
	bool given;
	unsigned place;
	unsigned before; /* the place it had, for who tells of changes */
	/* Private. */
	size_t model;
	bool probe;
};

struct turns {
	struct turns_model *models; /* owned */
	size_t model_count;
	struct turns_wait *waits; /* owned; of this round */
	size_t wait_count, wait_capacity;
	int64_t every_ns; /* between two create calls; 0: they may leave together */
	int64_t create_due_ns;
	bool creating; /* this round: somebody has a turn */
};

/* All zero is a new one. */
void turns_release(struct turns *t);

/* May a part be created without a turn: nothing limits the source or that model? */
bool turns_is_free(const struct turns *t, const char *model, unsigned most, int64_t every_ns);

/* From now on the model has a queue, and that limit.  -ENOMEM. */
MUST_CHECK int turns_open(struct turns *t, const char *model, unsigned most);

void turns_begin(struct turns *t, int64_t every_ns);
/* A job has so many live parts, and with has_turn a turn that it has not ended. */
void turns_count(struct turns *t, const char *model, unsigned live, bool has_turn);
/* A job waits; job to holds, and before, of w are read.  -ENOENT: the model had no queue when the
 * round began, so what lives was not counted; the next round has it.  -ENOMEM. */
MUST_CHECK int turns_wait(struct turns *t, const char *model, const struct turns_wait *w);
/* Gives turns and places; t->waits says to whom, in the order of the queue.  Returns
 * when to decide again, if nothing happens before; INT64_MAX: then never. */
int64_t turns_decide(struct turns *t, int64_t now_ns);

/* A turn has ended.  live: parts of the model as known now, those that are being
 * created included, but none that was refused. */
void turns_paced(struct turns *t, int64_t now_ns); /* first, whatever came of it */
void turns_created(struct turns *t, const char *model, unsigned live, int64_t now_ns);
void turns_refused(struct turns *t, const char *model, unsigned live, int64_t now_ns);
/* Was there a refusal of that model? */
bool turns_has_learned(const struct turns *t, const char *model);

#endif
