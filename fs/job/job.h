#ifndef FS_JOB_JOB_H
#define FS_JOB_JOB_H

/*
 * One job as the rest of the program holds it: counted, found through the
 * engine, asked for its view (what readers see), its draft (what the user put
 * in) and its log.
 *
 * Also the tombstones of `rm -r`: of an ended job the unlink of a name that
 * means something only hides it for JOB_HIDE_NS; the rmdir of the job makes it
 * final, and without that the names come back.
 *
 * Threads: any; a view is taken and kept without a lock.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "fs/base/clock.h"
#include "fs/base/macros.h"
#include "fs/job/draft.h"
#include "fs/job/view.h"

#define JOB_HIDE_NS  (20 * NS_PER_S)
#define JOB_NAME_MAX 255

struct job;

struct job *job_ref(struct job *j);
void job_unref(struct job *j); /* NULL is fine */

static inline void job_unrefp(struct job **j)
{
	job_unref(*j);
	*j = NULL;
}

uint64_t job_number(const struct job *j);

/* Its name now: a view has that of when it was made, and the next one may have to
 * wait for an upload. */
void job_name(struct job *j, char ret[JOB_NAME_MAX + 1]);

/* The newest view; the caller drops it: view_unref(). */
struct view *job_view(struct job *j);

/* Its place among the jobs that wait to create parts of the same model, from 1; 0: it
 * does not wait.  Not part of the view: it changes when others move. */
unsigned job_queue_place(struct job *j);

/* Is there nothing for a `wait` to wait for: has the job ended, or is it
 * Invalid or Held, and nothing is on its way that may change that?  If not, ask
 * again after JOBS_STATE, JOBS_IDLE or JOBS_GONE. */
bool job_is_settled(struct job *j);

/* Is there something for a `wait` to ask for first: was it made elsewhere, and
 * are its results not here?  Then they are asked for (once it has ended), and
 * are what there is to wait for. */
bool job_ask_results(struct job *j);

/* Pins the results that v has, until results_unpin().  -ESTALE: they are those of
 * an earlier view, and gone; -EIO: they are gone or damaged, and are made again. */
MUST_CHECK int job_pin_results(struct job *j, const struct view *v);

/* Was its directory removed while it was held? */
bool job_is_removed(struct job *j);

/* Borrowed for as long as the job is held. */
struct draft *job_draft(struct job *j);

/* JOB/log, append-only: a descriptor to pread, the caller's to close. */
MUST_CHECK int job_log_open(const struct job *j, int *ret);
MUST_CHECK int job_log_stat(const struct job *j, struct stat *ret);

/* JOB/sample.jsonl likewise; its descriptor goes on with the bytes it was opened
 * with.  -ENOENT: there is none. */
MUST_CHECK int job_sample_open(const struct job *j, int *ret);
MUST_CHECK int job_sample_stat(const struct job *j, struct stat *ret);

/* Appends "2026-11-21T01:37:04Z what\n" to JOB/log and to the mount's events. */
PRINTF_LIKE(2, 3) void job_log(struct job *j, const char *fmt, ...);

/* --- tombstones --- */

enum job_records {
	JOB_RECORDS_OUTPUT, /* output/ */
	JOB_RECORDS_TEXT,   /* text/ */
	JOB_RECORDS_COUNT,
};

/* May names of this job be unlinked now?  -EBUSY while it is active. */
MUST_CHECK int job_may_unlink(struct job *j);

/* name: a small number of the caller's for each kind of name, below 64.
 * record: an index into the view's results. */
void job_hide_name(struct job *j, unsigned name);
MUST_CHECK int job_hide_record(struct job *j, enum job_records dir, uint64_t record);
bool job_is_name_hidden(struct job *j, unsigned name);
bool job_is_record_hidden(struct job *j, enum job_records dir, uint64_t record);
uint64_t job_hidden_records(struct job *j, enum job_records dir);
int64_t job_hide_until(struct job *j); /* for draft_unlink() */

#endif
