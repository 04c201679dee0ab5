#ifndef CACHE_STORE_H
#define CACHE_STORE_H

/*
 * The durable list of jobs, their attempts' parts, and nothing else: one
 * SQLite file, STATE/state.db (WAL, synchronous FULL).
 *
 * This is state, not cache: deleting it orphans work that is being paid for.
 * The store refuses lost updates; which moves are legal is the business of
 * fs/job/machine.h.  On-disk format: docs/formats.md, "state.db".  The schema
 * has a version (PRAGMA user_version) and migrations (cache/schema.c).
 *
 * Threads: any thread may call.  One mutex inside, held for one transaction
 * (an fsync, so milliseconds): never call from a FUSE handler.
 * Errors: 0 or -errno; *e, if given, is written on failure only.  -EIO: what
 * SQLite said; -ENOSPC: the disk is full.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/err.h"
#include "fs/base/macros.h"
#include "fs/base/state.h"

struct store;

#define STORE_TIMES 5 /* of generated files whose time must survive */

/* A job.  Strings are owned by the row; NULL means absent. */
struct store_job {
	uint64_t number; /* SQLite's; never used again after a delete */
	uint32_t rev;	 /* bumped by each put */
	char *name;	 /* the directory's */
	int phase;	 /* enum phase of fs/job/machine.h */
	int end_state;	 /* enum job_state, once ended; else -1 */
	char *model;	 /* as submitted */
	char *error;	 /* words for JOB/error */
	bool held;	 /* hold: not submitted by itself */
	bool submit_wanted, stop_wanted, retry_wanted, fetch_wanted, purge_wanted;
	int retry_how;		/* enum run_how of fs/job/machine.h: what retry_wanted asked for */
	uint32_t sample_wanted; /* records to try on demand while it is a draft; 0: none */
	bool elsewhere;		/* made by somebody else: the console, another machine */
	uint32_t attempt;	/* 0 before the first submission */
	int how;		/* enum run_how: of that attempt */
	bool retryable_only;	/* that attempt is of what may go better by itself, by retry_max */
	uint32_t auto_retries;	/* attempts that retry_max made */
	uint32_t generation;	/* of the results; 0: none yet */
	uint64_t record_count, input_size_bytes;
	struct counts counts; /* of the results shown; total = record_count */
	struct tokens tokens;
	struct tokens estimate; /* before it ran: at most these; zeros: not known */
	/* Good results that were not paid for: copies, and those of earlier jobs; what
	 * was sent only to reach a minimum; what was tried as a draft. */
	struct tally saved, padding, sample;
	/* Wall time, nanoseconds; 0: not yet. */
	int64_t created_ns, submitted_ns, ended_ns;
	/* When the content of JOB/status, progress, error, ctl and status.json last
	 * changed, in that order. */
	int64_t times_ns[STORE_TIMES];
	int64_t names_ns; /* a name in the directory came or went */
};

/* A part: one provider-side job of an attempt.  Its token is here before its
 * create call leaves, which is what makes a crash harmless. */
struct store_part {
	uint64_t job;
	uint32_t attempt; /* from 1 */
	uint32_t seq;	  /* from 1 within the attempt */
	int phase;	  /* enum part_phase of fs/job/machine.h */
	int how;	  /* enum run_how */
	uint64_t padding; /* so many of its records, the last ones, are none of the user's */
	char *token;
	char *name;   /* the directory's when the part was planned: names are made of it */
	char *remote; /* the provider's name; NULL before create answered */
	uint64_t first, record_count, size_bytes; /* which records of the attempt's list */
	int state; /* enum job_state the provider was last seen in; -1 */
	char *raw, *message;
	struct counts counts;
	struct tokens tokens;
	int64_t created_ns, ended_ns;
	int64_t asked_ns;   /* its create call first left then, and no answer is known; 0 */
	int64_t expires_ns; /* as the provider tells it; 0 */
};

struct store_wishes {
	bool held, submit, stop, retry, fetch, purge;
	int retry_how;	 /* of retry: enum run_how */
	uint32_t sample; /* records; 0: none */
};

#define STORE_JOB_INIT                                                                             \
	{                                                                                          \
		.end_state = -1                                                                    \
	}
#define STORE_PART_INIT                                                                            \
	{                                                                                          \
		.state = -1                                                                        \
	}

void store_job_release(struct store_job *j);
void store_part_release(struct store_part *p);
MUST_CHECK int store_job_copy(struct store_job *to, const struct store_job *from);

/* Opens or creates the file and migrates it to the newest schema.
 * -ENOTSUP: written by a newer program.  -EUCLEAN: damaged, or no database at
 * all; nothing is changed, and the words say where it is and what to do. */
MUST_CHECK int store_open(const char *path, struct store **ret, struct err *e);
void store_close(struct store *s); /* NULL is fine; waits for a running call */

/* 32 hex digits drawn when the file was made. */
const char *store_id(const struct store *s);

/* Inserts with number 0 and fills number and rev.  -EEXIST: the name is taken. */
MUST_CHECK int store_job_add(struct store *s, struct store_job *j, struct err *e);

/* Inserts jobs as above, parts[i] with jobs[i], in one transaction: all or none. */
MUST_CHECK int store_jobs_add(struct store *s, struct store_job *jobs,
			      const struct store_part *parts, size_t count, struct err *e);

/* Writes j and its parts in one transaction and bumps j->rev, if the row still
 * has revision j->rev.  Parts are inserted or replaced by (job, attempt, seq);
 * others are left alone.
 * -ESTALE: someone else wrote it since.  -ENOENT: deleted.  -EEXIST: the name
 * belongs to another job. */
MUST_CHECK int store_job_put(struct store *s, struct store_job *j, const struct store_part *parts,
			     size_t part_count, struct err *e);

/* The same, and the job has no parts any more. */
MUST_CHECK int store_job_put_alone(struct store *s, struct store_job *j, struct err *e);

/* The name and the wishes have writers of their own, which do not wait for who
 * has the job checked out: store_job_put() leaves both alone, and these leave
 * the revision alone.  -ENOENT: deleted; -EEXIST: the name is taken. */
MUST_CHECK int store_job_rename(struct store *s, uint64_t number, const char *name, struct err *e);
MUST_CHECK int store_job_wish(struct store *s, uint64_t number, const struct store_wishes *w,
			      struct err *e);

/* The job and its parts are gone.  Not there is fine.  remember: what the
 * provider calls its parts stays known, so that its list cannot bring them back. */
MUST_CHECK int store_job_delete(struct store *s, uint64_t number, bool remember, struct err *e);

/* Is that a part of a job here, by the provider's name or our token (or NULL),
 * or was it one? */
MUST_CHECK int store_remote_is_known(struct store *s, const char *remote, const char *token,
				     bool *ret, struct err *e);

/* The file belongs to one source for ever: the first that claims it.  -EINVAL:
 * it is another's. */
MUST_CHECK int store_claim_source(struct store *s, const char *source, struct err *e);

/* Calls each for all jobs in number order, for start-up; the row is borrowed. */
MUST_CHECK int store_jobs(struct store *s, int (*each)(void *ctx, const struct store_job *j),
			  void *ctx, struct err *e);

/* All parts of a job by attempt and seq.  The caller frees: store_parts_free(). */
MUST_CHECK int store_parts(struct store *s, uint64_t job, struct store_part **ret,
			   size_t *ret_count, struct err *e);
void store_parts_free(struct store_part *parts, size_t count);

#endif
