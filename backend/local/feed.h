#ifndef BACKEND_LOCAL_FEED_H
#define BACKEND_LOCAL_FEED_H

/*
 * Where an engine gets records from and gives their answers to.
 *
 * Every record that was taken is given back exactly once, in any order:
 * feed_good(), feed_bad(), or feed_drop() when cancelled.  How an engine goes
 * about it: backend/local/engine.h.
 *
 * A vtable, so that tests of an engine can bring a feed of their own.
 * Threads: a feed belongs to the thread that runs the engine.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/clock.h"
#include "fs/base/err.h"
#include "fs/base/jsonspan.h"
#include "fs/base/macros.h"
#include "fs/base/state.h"

struct feed;

/* One record under way: the feed's, valid until given back. */
struct feed_record {
	const char *id; /* decoded, NUL after it */
	size_t id_size;
	struct jsonspan input; /* the modelInput, an object */
	uint64_t index;	       /* in the part's input, from 0 */
	void *user;	       /* the engine's own; NULL at first */
};

struct feed_ops {
	int (*next)(struct feed *f, struct feed_record **ret, struct err *e);
	void (*good)(struct feed *f, struct feed_record *r, const char *output, size_t size,
		     const struct tokens *t);
	void (*bad)(struct feed *f, struct feed_record *r, const char *code, const char *message,
		    bool retryable);
	void (*drop)(struct feed *f, struct feed_record *r);
	void (*pause)(struct feed *f, const char *reason);
	int (*tick)(struct feed *f);
	void (*batch)(struct feed *f, unsigned lines);
};

struct feed {
	const struct feed_ops *ops;
	int cancel_fd; /* readable (POLLIN) from the moment of a stop on; do not read it */
};

/* The next record to run.  -ENODATA: there are no more.  -EAGAIN: too many
 * bytes are under way, give some back first (never said when none is).
 * -ECANCELED: stopped.  Other -errno: the run cannot go on (the input cannot
 * be read, the journal not written); drop what is under way and return it. */
MUST_CHECK static inline int feed_next(struct feed *f, struct feed_record **ret, struct err *e)
{
	return f->ops->next(f, ret, e);
}

/* Gives r back with an answer: a JSON object, which is copied.  t: what the
 * answer cost, or NULL if it does not tell.  Output that is not one JSON
 * object makes the record fail with code "BadOutput".  May block while the
 * disk is full. */
static inline void feed_good(struct feed *f, struct feed_record *r, const char *output, size_t size,
			     const struct tokens *t)
{
	f->ops->good(f, r, output, size, t);
}

/* Gives r back with an error: a number ("400") or a word ("Timeout"), and a
 * message for a person.  retryable: the same record may well work later. */
static inline void feed_bad(struct feed *f, struct feed_record *r, const char *code,
			    const char *message, bool retryable)
{
	f->ops->bad(f, r, code, message, retryable);
}

/* Gives r back as it came: it was not run, and is run again at a resume. */
static inline void feed_drop(struct feed *f, struct feed_record *r)
{
	f->ops->drop(f, r);
}

/* Shows why the run makes no progress; NULL: it does again.  Copied. */
static inline void feed_pause(struct feed *f, const char *reason)
{
	f->ops->pause(f, reason);
}

/* Does the feed's housekeeping (group sync) and says within how many
 * milliseconds to call again; -1: nothing is due, wait as long as you like. */
static inline int feed_tick(struct feed *f)
{
	return f->ops->tick(f);
}

/* Lets up to so many answers be written at a time (1 at first); for engines
 * that never wait.  feed_tick() writes what is pending. */
static inline void feed_batch(struct feed *f, unsigned lines)
{
	f->ops->batch(f, lines);
}

/* Has the run been stopped?  One poll(2) of cancel_fd. */
bool feed_is_cancelled(const struct feed *f);

/* Waits on cancel_fd only; true as soon as the run is stopped.  Ticks. */
bool feed_wait(struct feed *f, struct clock *clock, int64_t until_mono_ns);

#endif
