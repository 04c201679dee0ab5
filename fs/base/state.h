#ifndef FS_BASE_STATE_H
#define FS_BASE_STATE_H

/*
 * The words of the trade, shared by every room: the states a job can be in,
 * what a provider says of one part, and counts.
 */

#include <stdbool.h>
#include <stdint.h>

/* What JOB/status says, in this order over a job's life. */
enum job_state {
	JOB_DRAFT,
	JOB_INVALID,
	JOB_HELD,
	JOB_SETTLING,
	JOB_UPLOADING,
	JOB_QUEUED,
	JOB_SUBMITTED,
	JOB_VALIDATING,
	JOB_SCHEDULED,
	JOB_IN_PROGRESS,
	JOB_STOPPING,
	JOB_FETCHING,
	/* The ends: from here on results can be read. */
	JOB_COMPLETED,		   /* every record has a good result */
	JOB_COMPLETED_WITH_ERRORS, /* every record was run, some failed */
	JOB_PARTIALLY_COMPLETED,   /* time ran out: some were not run */
	JOB_FAILED,		   /* no record has a good result */
	JOB_STOPPED,
	JOB_EXPIRED,
	JOB_STATE_COUNT,
};

/* "CompletedWithErrors". */
const char *job_state_name(enum job_state s);

bool job_state_is_end(enum job_state s);

/* The other way; -1 if the word is none of ours. */
int job_state_parse(const char *name);

/* Tokens as providers count them; input includes what came from a cache. */
struct tokens {
	uint64_t input, output;
};

/* Records of one part, or of a whole job. */
struct counts {
	uint64_t total; /* records given to run */
	uint64_t good;	/* have a result */
	uint64_t failed;
};

/* Records, and what they took. */
struct tally {
	uint64_t records;
	struct tokens tokens;
};

static inline void tally_add(struct tally *to, const struct tally *more)
{
	to->records += more->records;
	to->tokens.input += more->tokens.input;
	to->tokens.output += more->tokens.output;
}

#define PART_RAW_MAX	 64
#define PART_MESSAGE_MAX 768

/*
 * What a provider says of one part.  state is one of JOB_SUBMITTED to
 * JOB_STOPPING, or an end; raw is the provider's own word, shown and never
 * interpreted; a word we do not know has state JOB_IN_PROGRESS.
 */
struct part_status {
	enum job_state state;
	char raw[PART_RAW_MAX];
	char message[PART_MESSAGE_MAX]; /* why it failed or what it waits for; or empty */
	struct counts counts;
	struct tokens tokens;
	int64_t expires_ns; /* wall: it is given up then; 0: not told */
};

#endif
