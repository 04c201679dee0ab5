#ifndef FS_JOB_DEDUPE_H
#define FS_JOB_DEDUPE_H

/*
 * Leaves out of an attempt's list what need not be run: records that are given
 * the same as another one (fs/job/inputhash.h, numbers exactly), and those that
 * an earlier job has a good result of.
 *
 *	dedupe_new		reads the list: which records are equal
 *	dedupe_reuse		once for each earlier job, as many as there are
 *	dedupe_write		what is left, in the order of the list
 *
 * Of equal records the first one is sent, under its own id.  One with a known
 * result is not sent, and the good line of the earlier job is put into a file
 * of result lines (backend/envelope.h) under its id here.  The others of its
 * set get theirs where results are joined (collect.h, share_copies), and are
 * counted there and nowhere else.
 *
 * A record whose input names a file of the job (media://) is never answered
 * out of another job: there the name stands for another file.
 *
 * Tables of records are mapped scratch files (16 and up to 43 bytes a record), so
 * that anonymous memory does not grow with them; it holds the longest line.
 *
 * Blocking, on a pool thread; not thread-safe.
 * Errors: -ESTALE: a file is not what was checked; -ECANCELED; -ENOSPC, ...
 */

#include <stdatomic.h>
#include <stdint.h>

#include "cache/results.h"
#include "fs/base/err.h"
#include "fs/base/macros.h"
#include "fs/base/state.h"

struct dedupe;
struct input;

struct dedupe_request {
	/* Checked and valid, in fd.  Records without an id get that of their
	 * place in it, so a list in which some have none must be the user's input. */
	const struct input *list;
	int fd;
	const char *scratch_dir; /* for unlinked scratch files */
	const char *reused_path; /* the file of result lines; what an earlier try left is deleted */
	const atomic_bool *cancel; /* may be NULL; once true, all that follows ends soon */
};

/* What q points to is borrowed until dedupe_free(). */
MUST_CHECK int dedupe_new(const struct dedupe_request *q, struct dedupe **ret, struct err *e);
void dedupe_free(struct dedupe *d); /* NULL is fine; drops what is not written */

static inline void dedupe_freep(struct dedupe **d)
{
	dedupe_free(*d);
	*d = NULL;
}

/* An ended job with the same model, settings and invocation: the caller sees to
 * that. */
struct dedupe_earlier {
	const char *input_path;
	const struct results *results; /* pinned */
};

/* Adds to *ret_count the records of the list that it answers and none before did.
 * -ESTALE, -ENOENT: the earlier job's files do not belong together, or are gone.
 * What was found before stays, so the caller may pass over that job. */
MUST_CHECK int dedupe_reuse(struct dedupe *d, const struct dedupe_earlier *job, uint64_t *ret_count,
			    struct err *e);

struct dedupe_summary {
	uint64_t total;	 /* records of the list that was given */
	uint64_t kept;	 /* of the one that was written */
	uint64_t copies; /* left out: equal to one that is kept */
	uint64_t known;	 /* left out: answered by an earlier job, or equal to such a one */
	/* The lines in the file of result lines, but for those of records that are
	 * sent nevertheless. */
	struct tally reused;
};

/*
 * Writes the list, and the file of result lines if there are any, both durable.
 * The list is canonical (input_is_canonical()).
 *
 * records_min: if fewer are left, records that were left out are put back,
 * copies before known ones, as far as the list given has so many; with 0 none.
 * If no record is left, none is put back.  kept == total: nothing is left out,
 * no list is written, and the one given serves.  kept == 0: no list is written,
 * and nothing is to be run.
 */
MUST_CHECK int dedupe_write(struct dedupe *d, uint64_t records_min, const char *list_path,
			    struct dedupe_summary *ret, struct err *e);

#endif
