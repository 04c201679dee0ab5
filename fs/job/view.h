#ifndef FS_JOB_VIEW_H
#define FS_JOB_VIEW_H

/*
 * What readers see of a job: an immutable snapshot, counted.
 *
 * The thread that has a job checked out builds a new view after each change
 * and swaps it in; who holds an older one goes on reading that.  A view is the
 * whole input of fs/render.c: two reads of one view give the same bytes.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "cache/results.h"
#include "fs/base/macros.h"
#include "fs/base/price.h"
#include "fs/base/state.h"

struct view_part {
	uint32_t attempt, seq;
	int phase; /* enum part_phase */
	int how;   /* enum run_how */
	/* Of the user's records: padding is counted apart. */
	uint64_t padding;
	enum job_state state;
	uint64_t record_count;
	struct counts counts;
	struct tokens tokens;
	char *token, *remote, *raw, *message; /* owned; any may be NULL */
	char *more; /* owned: the backend's members for status.json, or NULL */
	int64_t created_ns, ended_ns, expires_ns;
};

/* Files whose content changes at its own times; each has an mtime. */
enum view_time {
	VIEW_TIME_STATUS,   /* the state */
	VIEW_TIME_PROGRESS, /* counts, or the state */
	VIEW_TIME_ERROR,
	VIEW_TIME_COMMANDS,
	VIEW_TIME_ANY, /* status.json: anything at all */
	VIEW_TIME_COUNT,
};

struct view {
	atomic_uint refs_;
	uint64_t change; /* grows with each view of the job that differs */
	uint64_t number;
	enum job_state state;
	unsigned commands; /* legal now: bits of enum command */
	bool held;
	bool elsewhere;		    /* made by somebody else */
	char *name, *model, *error; /* owned; never NULL, maybe "" */
	uint32_t attempt, generation;
	uint64_t record_count, input_size_bytes;
	struct counts counts; /* of all attempts; good and failed as known now */
	struct tokens tokens;
	/* Of the attempt that runs: its records, what of them can still come, since when. */
	struct counts attempt_counts;
	uint64_t attempt_left;
	int64_t attempt_ns;
	int how;		/* enum run_how: of the newest attempt */
	int automatic;		/* was it made by retry_max: 1, 0; -1: not known any more */
	uint32_t auto_retries;	/* as so many were, of all */
	struct tokens demand;	/* of tokens: what was run on demand */
	struct tokens estimate; /* before it ran: at most these */
	bool money, priced;	/* the source costs money; price is known */
	struct price price;
	struct tally saved, padding, sample; /* as in the store's row */
	struct counts sampling;		     /* of the sample that runs; total 0: none */
	int64_t sample_ns;		     /* wall: JOB/sample.jsonl was made; 0: there is none */
	int64_t created_ns, submitted_ns, ended_ns; /* wall; 0: not yet */
	int64_t expires_ns;			    /* of the running part that goes first; 0 */
	unsigned expiring;			    /* running parts that go within the hour */
	int64_t shown_ns;			    /* when this view was made */
	int64_t due_ns;				    /* Settling: when it will be submitted (wall) */
	int64_t times_ns[VIEW_TIME_COUNT];
	int64_t names_ns;	 /* the directory's */
	struct view_part *parts; /* owned */
	size_t part_count;
	struct results *results; /* a reference; NULL until the first end */
};

/* What JOB/status says: the state, or of a job that runs the provider's own word
 * if that is none of ours.  Borrowed of v. */
const char *view_status(const struct view *v);

/* All zero, one reference, strings "". */
struct view *view_new(void); /* NULL: no memory */
struct view *view_ref(struct view *v);
void view_unref(struct view *v); /* NULL is fine */

static inline void view_unrefp(struct view **v)
{
	view_unref(*v);
	*v = NULL;
}

/* Sets change and the times of next by comparing it with the view before it;
 * prev may be NULL.  now_ns is the wall time given to what differs. */
void view_stamp(struct view *next, const struct view *prev, int64_t now_ns);

#endif
