#ifndef BACKEND_AWS_CURES_H
#define BACKEND_AWS_CURES_H

/*
 * The provider's words, why it says so, and what to do: the table of failures
 * that users of batch inference meet.
 *
 *	"Batch job ARN contains less records (3) than the required minimum of: 100"
 *	-> the model takes no job under 100 records; add records, or ...
 *
 * Matched on the stable part of the text.  Pure.  Threads: any.
 */

#include "fs/base/buf.h"
#include "fs/base/err.h"

/* What the words are about, as far as it is known; NULL where it is not. */
struct cures_context {
	const char *model, *region, *role, *bucket, *caller;
};

/* Appends "WORDS; CAUSE: CURE" on one line, or WORDS alone if they are not
 * known.  code: "ValidationException", "Expired" (how a job ended), or NULL;
 * it stands for the words if these are NULL or empty. */
void cures_add(struct buf *out, const char *code, const char *words, const struct cures_context *c);

/* Appends "CAUSE: CURE", or nothing if the words are not known. */
void cures_add_advice(struct buf *out, const char *code, const char *words,
		      const struct cures_context *c);

/* What cures_add() does, for an error of a call, if it has no advice yet: ours have theirs
 * after "; ".  Long words are cut for it. */
void cures_advise(struct err *e, const struct cures_context *c);

/* The table, for the manual and for tests.  match: parts of words, or a code,
 * with '|' between alternatives and '=' before one that has to be all of it.  Texts have {model}, {base} (its id without
 * geography), {region}, {role}, {bucket} and {caller} for what is known of them. */
struct cures_row {
	const char *match, *cause, *cure;
};
const struct cures_row *cures_rows(size_t *ret_count);

#endif
