/*
 * An attempt that runs on demand: its records one by one, on this machine's call.
 *
 * There is no provider-side job.  What was answered is appended to a file of ours
 * as it comes, and a crash or a remount goes on from it; the file is kept as long
 * as the job, since nobody else has it.
 */

#include <errno.h>
#include <sys/stat.h>

#include "fs/job/jobs_private.h"
#include "fs/job/resultfiles.h"

#define SHOWN_EVERY_NS (500 * NS_PER_MS)

struct run {
	struct job *job;
	struct store_part *part;
	int64_t shown_ns; /* monotonic: readers were told last */
};

static bool told(void *ctx, const struct counts *counts, const struct tokens *tokens)
{
	struct run *run = ctx;
	struct job *j = run->job;
	int64_t now = clock_mono_ns(j->jobs->o.clock);

	run->part->counts = *counts;
	run->part->counts.total = run->part->record_count;
	run->part->tokens = *tokens;
	if (now - run->shown_ns >= SHOWN_EVERY_NS) {
		run->shown_ns = now;
		job_show(j, job_wishes(j).stop ? JOB_STOPPING : JOB_IN_PROGRESS);
	}
	return !job_wishes(j).stop && !atomic_load(&j->removed) && !atomic_load(&j->jobs->stopping);
}

static int run_part(struct job *j, struct store_part *p, struct err *e)
{
	CLEANUP(partdesc_release) struct partdesc d = PARTDESC_INIT;
	CLEANUP(str_freep) char *path = NULL;
	struct run run = {.job = j, .part = p};
	struct backend *b = j->jobs->o.backend;
	int r = parts_describe(j, p, &d, e);

	if (r == 0)
		r = resultfiles_ondemand(j, p, &path);
	if (r == -EINVAL)
		r = -EIO; /* our own files: not for the provider to refuse */
	return r == 0 ? b->ops->run_now(b, &d.part, path, told, &run, e) : r;
}

static int end(struct job *j, struct store_part *p, enum job_state state, struct err *e)
{
	p->phase = PART_ENDED;
	p->state = (int)state;
	p->ended_ns = clock_wall_ns(j->jobs->o.clock);
	return job_save_part(j, p, e);
}

/* That records may have been paid for is stored before one is. */
static int begin(struct job *j, struct store_part *p, struct err *e)
{
	if (p->state >= 0)
		return 0;
	p->asked_ns = clock_wall_ns(j->jobs->o.clock);
	p->state = JOB_IN_PROGRESS;
	return job_save_part(j, p, e);
}

/* Was anything, at any time?  What was before this start is known by its file only,
 * as a refusal may come before it is told of. */
static bool is_answered(const struct job *j, const struct store_part *p)
{
	CLEANUP(str_freep) char *path = NULL;
	struct stat st;

	if (p->counts.good + p->counts.failed > 0 || resultfiles_ondemand(j, p, &path) < 0)
		return true;
	return stat(path, &st) == 0 ? st.st_size > 0 : errno != ENOENT;
}

/* 1: refused, and the job is a draft again. */
static int go_on(struct job *j, struct store_part *p, struct err *e)
{
	int r = begin(j, p, e);

	if (r < 0)
		return r;
	job_show(j, JOB_IN_PROGRESS);
	r = run_part(j, p, e);
	if (r == -EINVAL && !is_answered(j, p)) {
		p->state = -1; /* nothing was answered */
		return parts_refuse(j, p, e);
	}
	if (r == 0)
		return end(j, p, JOB_COMPLETED, e);
	if (r == -ECANCELED && job_wishes(j).stop)
		return end(j, p, JOB_STOPPED, e);
	return r;
}

int demand_parts(struct job *j, struct err *e)
{
	bool stop = job_wishes(j).stop;
	int r = 0;

	if (stop)
		parts_drop(j);
	for (size_t i = 0; i < j->part_count && r == 0; i++) {
		struct store_part *p = &j->parts[i];

		if (parts_is_current(j, p) && p->phase == PART_STAGED)
			r = stop ? end(j, p, JOB_STOPPED, e) : go_on(j, p, e);
	}
	return r;
}
