#ifndef FS_JOB_MACHINE_H
#define FS_JOB_MACHINE_H

/*
 * Where a job is, and where it may go: two small tables and their meaning.
 *
 * A phase is ours and drives code; what the provider says of a part (struct
 * part_status) is shown and never drives more than "has it ended".  A phase is
 * in the store before anything is done in it, so that a crash resumes there.
 * The numbers are on disk: never renumber.
 *
 *   DRAFT       the user's; not sealed.  JOB/status: Draft, Invalid, Held, Settling
 *   STAGING     sealed; without parts the attempt is being planned; with them, and
 *               their tokens, in the store, their inputs are being made.  Uploading
 *   RUNNING     every part's input is in place; parts are created as the quota
 *               allows and watched, or run on demand.  Queued, or the provider's word, or Stopping
 *   COLLECTING  every part has ended or was never created; results are being
 *               joined to the input.  Fetching
 *   ENDED       a generation of results can be read.  Completed ... Expired
 *   ELSEWHERE   made by somebody else, and ended at the provider; its input and
 *               results are not here.  Completed ... Expired, as the provider says
 *
 * A job made elsewhere begins in RUNNING or ELSEWHERE.
 */

#include <stdbool.h>
#include <stdint.h>

#include "fs/base/macros.h"
#include "fs/base/state.h"

enum phase {
	PHASE_NONE = 0,
	PHASE_DRAFT = 1,
	PHASE_STAGING = 2,
	PHASE_RUNNING = 3,
	PHASE_COLLECTING = 4,
	PHASE_ENDED = 5,
	PHASE_ELSEWHERE = 6,
	PHASE_COUNT,
};

enum event {
	EV_SUBMIT,    /* settled and valid, or `submit` written to ctl */
	EV_STAGED,    /* every part's input is in place */
	EV_REFUSED,   /* the first attempt cannot be run as it is: back to the user */
	EV_OVER,      /* no part of this attempt runs, or will */
	EV_COLLECTED, /* the results are on disk */
	EV_RETRY,     /* `retry` written to ctl */
	EV_LOST,      /* the results on disk are gone or damaged: make them again */
	EV_AWAY,      /* made elsewhere and over, or what it has there cannot be had */
	EV_FETCH,     /* what it has there is wanted here */
	EV_COUNT,
};

/* What has been done for one part; on disk as well. */
enum part_phase {
	PART_PLANNED = 1, /* the token is durable */
	PART_STAGED = 2,  /* the input is where the provider can read it */
	PART_CREATED = 3, /* the provider gave it a name */
	PART_ENDED = 4,	  /* the provider said an end */
	PART_DROPPED = 5, /* never created: stopped before, or refused */
	PART_PURGED = 6,  /* it had ended; the provider's storage has nothing of it */
};

/* How an attempt is run; on disk as well. */
enum run_how {
	RUN_BATCH = 0,
	RUN_PADDED = 1,	  /* in batch, with records that only fill up the provider's minimum */
	RUN_ONDEMAND = 2, /* record by record, at once and at the on-demand price */
};

/* Sets *ret and returns 0, or returns -EINVAL if ev cannot happen in from. */
MUST_CHECK int phase_step(enum phase from, enum event ev, enum phase *ret);

/* The words a user may write to JOB/ctl, as bits: each form is one of its own. */
enum command {
	COMMAND_SUBMIT,
	COMMAND_HOLD,
	COMMAND_STOP,
	COMMAND_RETRY,		/* as the job's settings say */
	COMMAND_RETRY_PAD,	/* filled up to the source's minimum */
	COMMAND_RETRY_ONDEMAND, /* record by record, at once */
	COMMAND_SAMPLE,		/* has a count */
	COMMAND_REFRESH,
	COMMAND_FETCH,
	COMMAND_PURGE,
	COMMAND_COUNT,
};

/* The three forms of retry. */
#define COMMANDS_RETRY                                                                             \
	(1u << COMMAND_RETRY | 1u << COMMAND_RETRY_PAD | 1u << COMMAND_RETRY_ONDEMAND)

#define SAMPLE_RECORDS_MAX 10000

/* A command with what was written behind it. */
struct order {
	enum command command;
	uint32_t count; /* of sample: records, from 1 to SAMPLE_RECORDS_MAX; else 0 */
};

/* As it is written: "retry pad"; "sample N". */
const char *command_name(enum command c);

/* text: words with one space between them.  -EINVAL: no such command, or a
 * count that is none (then ret->command is COMMAND_SAMPLE, else COMMAND_COUNT). */
MUST_CHECK int order_parse(const char *text, struct order *ret);

/* Which commands are legal in that phase (bit 1 << command), whatever the source
 * can do.  has_failures: records without a good result, or a draft that was refused
 * when it was sent. */
unsigned commands_legal(enum phase p, enum job_state s, bool has_failures);

/* The end a job has reached, from what its records and parts say.
 * worst: the most telling end among the parts of the last attempt. */
enum job_state end_state(const struct counts *counts, enum job_state worst, bool stopped);

#endif
