/*
 * `purge`: what the provider's storage holds of a job is deleted.
 *
 * Only of a job whose results are on disk here, or that was made elsewhere and
 * has ended; what is here stays.  Each part that is done is marked in the
 * store, so that its results are not looked for again; a crash in between
 * repeats a call, which may be repeated.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/log.h"
#include "fs/job/jobs_private.h"

static const char not_purged[] = "not purged: ";

/* Where the attempt of part i ends; *ret_done: does the provider have nothing of it?  One
 * that was stopped before it was created may have left its input there, and is never
 * marked: it went with those of its attempt that are. */
static size_t look_at_attempt(const struct job *j, size_t i, bool *ret_done)
{
	uint32_t attempt = j->parts[i].attempt;
	bool left = false, purged = false, stopped = false;

	for (; i < j->part_count && j->parts[i].attempt == attempt; i++) {
		const struct store_part *p = &j->parts[i];

		purged = purged || p->phase == PART_PURGED;
		stopped = stopped || (p->phase == PART_DROPPED && p->state < 0);
		left = left || (p->phase != PART_PURGED && (p->phase != PART_DROPPED || p->remote));
	}
	*ret_done = !left && (purged || !stopped);
	return i;
}

bool purge_is_done(const struct job *j)
{
	/* All may have been known without a part (dedupe). */
	bool done = j->part_count > 0 || j->row.phase == PHASE_ENDED;

	for (size_t i = 0; i < j->part_count && done;)
		i = look_at_attempt(j, i, &done);
	return done;
}

static int purge_part(struct job *j, struct store_part *p, struct err *e)
{
	CLEANUP(partdesc_release) struct partdesc d = PARTDESC_INIT;
	struct backend *b = j->jobs->o.backend;
	int phase = p->phase;
	int r = parts_describe(j, p, &d, e);

	if (r == -EINVAL)
		r = -EIO; /* our own files: not for the provider to refuse */
	/* Of what ran on demand it holds nothing. */
	if (r == 0 && p->how != RUN_ONDEMAND)
		r = b->ops->purge(b, &d.part, p->remote, e);
	if (r < 0 || phase == PART_DROPPED)
		return r; /* that one was dropped is told for ever */
	p->phase = PART_PURGED;
	r = job_save(j, e);
	if (r < 0)
		p->phase = phase;
	return r;
}

static int purge_parts(struct job *j, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < j->part_count && r == 0; i++)
		if (j->parts[i].phase == PART_ENDED || j->parts[i].phase == PART_DROPPED)
			r = purge_part(j, &j->parts[i], e);
	return r;
}

/* The words of the last try go; what else the job has to say stays. */
static int set_words(struct job *j, const char *words)
{
	char *old = j->row.error ? strstr(j->row.error, not_purged) : NULL, *now = NULL;
	size_t keep = old ? (size_t)(old - j->row.error) : j->row.error ? strlen(j->row.error) : 0;

	if (!words && !old)
		return 0;
	if ((words || keep > 0) &&
	    asprintf(&now, "%.*s%s%s", (int)keep, j->row.error ? j->row.error : "",
		     words ? not_purged : "", words ? words : "") < 0)
		return -ENOMEM;
	free(j->row.error);
	j->row.error = now;
	return 1;
}

/* The provider forbids it, or there is nothing: asking again does not help. */
static bool is_final(int r)
{
	return r == -EACCES || r == -EPERM || r == -EINVAL || r == -ENOENT || r == -ENOTSUP;
}

int purge_run(struct job *j, struct err *e)
{
	CLEANUP(str_freep) char *words = NULL;
	struct backend *b = j->jobs->o.backend;
	int r = b->ops->purge ? purge_parts(j, e)
			      : err_set(e, -ENOTSUP, "this source keeps nothing");

	if (r < 0 && !is_final(r))
		return r;
	if (r < 0) {
		words = strdup(e->text);
		if (!words)
			return -ENOMEM;
	}
	r = set_words(j, words);
	if (r > 0)
		r = job_save(j, e);
	if (r == 0)
		r = job_drop_wishes(j, (struct store_wishes){.purge = true}, e);
	if (r < 0)
		return r;
	job_log(j, "%s%s", words ? not_purged : "purged: the provider has nothing of it any more",
		words ? words : "");
	return 0;
}
