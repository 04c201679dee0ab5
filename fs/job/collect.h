#ifndef FS_JOB_COLLECT_H
#define FS_JOB_COLLECT_H

/*
 * Joins the result lines of all parts and attempts to the input: one
 * generation of results (cache/results.h), in the order of the input.
 *
 * Of several lines for a record the first good one counts, else the last
 * failed one; a good one is never replaced.  Lines whose id is not in the
 * input, and lines that are not JSON, are counted and passed over.  A torn
 * last line of a file is passed over.  Of a job made elsewhere a line whose id is
 * not in the input may belong to a record without one (fs/job/inputjoin.h).
 * Streaming: anonymous memory does not grow with the number of records.
 *
 * Lines of padding, whose id begins with COLLECT_PADDING and is not in the
 * input, are dropped and tallied.
 *
 * With share_copies a record without a good line gets the good line of one that
 * was given the same (fs/job/copies.h), or else that one's failed line, if it
 * has none or only one from before this attempt; with its own id in it, and
 * otherwise byte for byte.
 *
 * Also writes errors.jsonl (the error lines; of a missing record
 * {"recordId":"x","error":{"errorCode":"Missing","errorMessage":"..."}}),
 * retry.jsonl (the input lines, with ids, of records without a good result)
 * and results.csv (RFC 4180, CRLF; header record_id,status,text,stop_reason,
 * input_tokens,output_tokens,error_code,error_message; status is good, failed
 * or missing).
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/err.h"
#include "fs/base/macros.h"
#include "fs/base/state.h"

#define COLLECT_PADDING "batchfs-pad"

struct collect_request {
	const char *input_path;	  /* the user's input.jsonl, checked and valid */
	const char *scratch_dir;  /* for unlinked scratch files */
	const char *results_dir;  /* generation directory to make */
	const char *const *paths; /* result files, oldest attempt first */
	size_t path_count;
	size_t earlier_count; /* so many of them are from before the last attempt */
	const char *model;
	bool join_by_input; /* records without an id may have been given one by the provider */
	bool share_copies;
	bool missing_is_retryable; /* they were cut short, and not by the user */
	/* What to say of a record without a result. */
	const char *missing_reason; /* "the job was stopped before this record was run" */
	/* May be NULL; once true, the work ends soon with -ECANCELED. */
	const atomic_bool *cancel;
};

struct collect_summary {
	struct counts counts; /* total = records of the input; missing = total - good - failed */
	struct tokens tokens;
	uint64_t strange_lines; /* unknown ids or not JSON */
	/* Without a good result, and may go better by themselves
	 * (envelope_is_retryable()). */
	uint64_t retryable_count;
	struct tally copied;  /* records with the good line of another; is in tokens */
	struct tally padding; /* lines dropped; is not in tokens */
};

/* Blocking, minutes for millions of records: on a pool thread.  -ENOSPC,
 * -EIO, ...: nothing is left behind, and it can be called again. */
MUST_CHECK int collect_run(const struct collect_request *q, struct collect_summary *ret,
			   struct err *e);

#endif
