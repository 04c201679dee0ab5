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
 * not in the input may belong to a record without one (fs/job/inputjoin.h).  Streaming: anonymous memory does not
 * grow with the number of records.
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

struct collect_request {
	const char *input_path;	  /* the user's input.jsonl, checked and valid */
	const char *scratch_dir;  /* for unlinked scratch files */
	const char *results_dir;  /* generation directory to make */
	const char *const *paths; /* result files, oldest attempt first */
	size_t path_count;
	const char *model;
	bool join_by_input; /* records without an id may have been given one by the provider */
	/* What to say of a record without a result. */
	const char *missing_reason; /* "the job was stopped before this record was run" */
	/* May be NULL; once true, the work ends soon with -ECANCELED. */
	const atomic_bool *cancel;
};

struct collect_summary {
	struct counts counts; /* total = records of the input; missing = total - good - failed */
	struct tokens tokens;
	uint64_t strange_lines; /* unknown ids or not JSON */
};

/* Blocking, minutes for millions of records: on a pool thread.  -ENOSPC,
 * -EIO, ...: nothing is left behind, and it can be called again. */
MUST_CHECK int collect_run(const struct collect_request *q, struct collect_summary *ret,
			   struct err *e);

#endif
