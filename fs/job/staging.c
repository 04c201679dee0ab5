/*
 * From a submitted attempt to inputs that the provider can read.
 *
 * The crash argument: all parts of the attempt and their tokens are in the store
 * before any input is put anywhere, and the list they are cut from is on the disk
 * before them.  Without parts the attempt is planned anew; with them, each one
 * that is not staged yet is staged again, which is repeatable.
 */

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fs/base/log.h"
#include "fs/job/jobs_private.h"
#include "fs/job/list.h"
#include "fs/job/plan.h"
#include "fs/job/stage.h"

static int make_parts_dir(const struct job *j, struct err *e)
{
	CLEANUP(str_freep) char *dir = NULL;

	if (asprintf(&dir, "%s/parts", j->dir) < 0)
		return -ENOMEM;
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return err_errno(e, -errno, "cannot make %s", dir);
	return 0;
}

/* --- the plan --- */

static bool is_planned(const struct job *j)
{
	for (size_t i = 0; i < j->part_count; i++)
		if (parts_is_current(j, &j->parts[i]))
			return true;
	return false;
}

static int size_of(void *ctx, uint64_t index, uint64_t *ret)
{
	return stage_size(ctx, index, ret);
}

/* Record by record there is nothing that a limit would be of. */
static int cut(struct job *j, const struct list *l, struct plan_part **ret, size_t *ret_count,
	       struct err *e)
{
	static const struct plan_limits none = {1, UINT64_MAX, UINT64_MAX};
	struct backend *b = j->jobs->o.backend;
	struct backend_limits limits;
	struct plan_limits plan = none;

	if (j->row.how != RUN_ONDEMAND && list_count(l) > 0) {
		b->ops->limits(b, j->row.model, &limits);
		plan = (struct plan_limits){limits.records_min, limits.records_max_per_part,
					    limits.bytes_max_per_part};
	}
	return plan_cut(&plan, list_count(l), size_of, l->in, ret, ret_count, e);
}

/* How much of a part lies in the list's last `padding` records. */
static uint64_t padding_of(const struct list *l, const struct plan_part *part)
{
	uint64_t real = input_record_count(l->in) - l->padding, end = part->first + part->count;

	if (end <= real)
		return 0;
	return end - (part->first > real ? part->first : real);
}

static void drop_last(struct job *j, size_t count)
{
	while (count-- > 0)
		parts_drop_last(j);
}

/* Adds the parts, and stores them all at once. */
static int store_plan(struct job *j, const struct list *l, const struct plan_part *plan,
		      size_t count, struct err *e)
{
	struct tally saved = j->row.saved;
	size_t added = 0;
	int r = 0;

	for (; added < count && r == 0; added += r == 0) {
		struct store_part *p;

		r = parts_add(j, (uint32_t)added + 1, plan[added].count, e);
		if (r < 0)
			break;
		p = &j->parts[j->part_count - 1];
		p->first = plan[added].first;
		p->size_bytes = plan[added].size_bytes;
		p->padding = padding_of(l, &plan[added]);
		p->how = j->row.how;
	}
	tally_add(&j->row.saved, &l->reused);
	if (r == 0 && count > 0) /* else with the move that ends the attempt */
		r = job_save(j, e);
	if (r < 0) {
		j->row.saved = saved;
		drop_last(j, added);
	} else if (count > 1) {
		job_log(j, "cut into %zu parts", count);
	}
	return r;
}

/* The attempt as one part that will not be run.  What was made for it goes, with what
 * it knew: nobody has counted that. */
static int add_unplanned(struct job *j, struct err *e)
{
	uint64_t remaining = j->row.counts.total - j->row.counts.good;

	list_undo(j);
	return parts_add(j, 1, j->row.attempt == 1 ? j->row.record_count : remaining, e);
}

/* It cannot be run as it is: a first attempt goes back to the user, a later one
 * ends with what there was before it.  As parts_refuse(). */
static int refuse(struct job *j, struct err *e)
{
	int r = add_unplanned(j, NULL);

	return r < 0 ? r : parts_refuse(j, &j->parts[j->part_count - 1], e);
}

static int plan(struct job *j, struct list *l, struct err *e)
{
	struct backend *b = j->jobs->o.backend;
	struct plan_part *parts = NULL;
	size_t count = 0;
	int r;

	if (b->ops->learn_limits)
		b->ops->learn_limits(b);
	r = list_make(j, l, e);
	if (r == 0)
		r = cut(j, l, &parts, &count, e);
	if (r == 0)
		r = store_plan(j, l, parts, count, e);
	free(parts);
	return r == -EINVAL ? refuse(j, e) : r;
}

/* --- the inputs --- */

static int stage_one(struct job *j, const struct list *l, struct store_part *p, struct err *e)
{
	CLEANUP(partdesc_release) struct partdesc d = PARTDESC_INIT;
	struct backend *b = j->jobs->o.backend;
	int r = parts_describe(j, p, &d, e);

	if (r == 0)
		r = stage_part(l->in, l->fd, l->path, p->first, p->record_count, d.path, e);
	if (r == -EINVAL)
		r = -EIO; /* our own files: not for the provider to refuse */
	d.part.cancel = &j->stop_wished;
	if (r == 0 && p->how != RUN_ONDEMAND)
		r = b->ops->put_input(b, &d.part, e);
	if (r == -ECANCELED && job_wishes(j).stop)
		return 1; /* heard by the next step */
	if (r == -EINVAL)
		return parts_refuse(j, p, e);
	if (r < 0)
		return r;
	p->phase = PART_STAGED;
	return job_save_part(j, p, e);
}

static int stage_parts(struct job *j, const struct list *l, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < j->part_count && r == 0; i++) {
		if (!parts_is_current(j, &j->parts[i]) || j->parts[i].phase != PART_PLANNED)
			continue;
		if (job_wishes(j).stop)
			return 1; /* heard by the next step */
		if (atomic_load(&j->jobs->stopping))
			return -ECANCELED;
		r = stage_one(j, l, &j->parts[i], e);
		job_show(j, JOB_UPLOADING);
	}
	return r;
}

/* 1: there is something else to do first. */
static int stage_all(struct job *j, struct err *e)
{
	CLEANUP(list_release) struct list l = LIST_INIT;
	int r = is_planned(j) ? list_open(j, &l, e) : plan(j, &l, e);

	if (r == 0)
		job_show(j, JOB_UPLOADING); /* how many parts: the first may take long */
	return r == 0 ? stage_parts(j, &l, e) : r;
}

/* What was staged is not asked for; what was not planned counts as one part. */
static int stop(struct job *j, struct err *e)
{
	int r = 0;

	if (!is_planned(j))
		r = add_unplanned(j, e);
	if (r < 0)
		return r;
	parts_drop(j);
	r = job_move(j, EV_OVER, e);
	if (r < 0)
		return r;
	list_drop(j);
	return 1;
}

int submit_stage(struct job *j, struct err *e)
{
	struct tally saved = j->row.saved;
	int r;

	job_show(j, JOB_UPLOADING);
	if (job_wishes(j).stop)
		return stop(j, e);
	r = draft_sync_all(j->draft, e);
	if (r == 0)
		r = make_parts_dir(j, e);
	if (r == 0)
		r = finish_restore(j, e);
	if (r == 0)
		r = stage_all(j, e);
	if (r != 0)
		return r;
	/* Over already: all is known, or was refused. */
	r = job_move(j, parts_are_over(j) ? EV_OVER : EV_STAGED, e);
	if (r < 0 && !is_planned(j))
		j->row.saved = saved; /* it is planned again */
	if (r < 0)
		return r;
	list_drop(j);
	return 1;
}
