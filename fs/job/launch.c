/*
 * From staged inputs to parts that the provider runs, exactly once each.
 *
 * The crash argument: before a part's create call leaves, the store says when
 * (asked_ns, state Queued).  Whatever happens to the answer, a crash or a lost
 * connection, the next call for that part tells the backend of that time, and
 * the backend then looks for the part before it asks again.  What was certainly
 * not created (-EDQUOT: no quota; -EBUSY: no connection) counts as never asked for.
 *
 * A source may want its create calls one by one and not too often.  Then a job
 * has to have the turn; hundreds may wait for it, and they must not keep the
 * threads from those that have results to fetch.
 */

#include <errno.h>
#include <string.h>

#include "fs/base/log.h"
#include "fs/job/jobs_private.h"

/* One create call, or with look_only a look for what earlier ones made. */
static int ask(struct job *j, struct store_part *p, int64_t asked_ns, bool look_only, struct err *e)
{
	CLEANUP(partdesc_release) struct partdesc d = PARTDESC_INIT;
	struct backend *b = j->jobs->o.backend;
	int r = parts_describe(j, p, &d, e);

	if (r == -EINVAL)
		r = -EIO; /* our own files: not for the provider to refuse */
	if (r < 0)
		return r;
	d.part.asked_ns = asked_ns;
	d.part.look_only = look_only;
	return b->ops->create(b, &d.part, &p->remote, e);
}

/* It is stored that the call leaves now; *ret: when an earlier one did, or 0. */
static int store_asking(struct job *j, struct store_part *p, int64_t *ret, struct err *e)
{
	int r;

	*ret = parts_asked_ns(p);
	if (*ret)
		return 0;
	p->asked_ns = clock_wall_ns(j->jobs->o.clock);
	p->state = JOB_QUEUED;
	r = job_save(j, e);
	if (r < 0) {
		p->asked_ns = 0;
		p->state = -1;
	}
	return r;
}

/* Certainly not created.  If that cannot be stored it is looked for, for nothing. */
static void store_not_asked(struct job *j, struct store_part *p)
{
	struct err e = ERR_INIT;

	p->asked_ns = 0;
	p->state = -1;
	if (job_save(j, &e) < 0)
		log_warning("launch", "%s", e.text);
}

static int store_created(struct job *j, struct store_part *p, struct err *e)
{
	p->phase = PART_CREATED;
	p->state = JOB_SUBMITTED;
	/* If this is lost in a crash the part is looked for. */
	return job_save(j, e);
}

/* Refused: that is stored before the input, which nobody needs now, is taken
 * back; a create that a crash makes us send again must find its input.
 * As parts_refuse(). */
static int refuse(struct job *j, struct store_part *p, struct err *e)
{
	CLEANUP(partdesc_release) struct partdesc d = PARTDESC_INIT;
	CLEANUP(str_freep) char *token = strdup(p->token);
	CLEANUP(str_freep) char *name = p->name ? strdup(p->name) : NULL;
	struct backend *b = j->jobs->o.backend;
	bool named = p->name;
	struct err late = ERR_INIT;
	int known = parts_describe(j, p, &d, &late);
	int r = parts_refuse(j, p, e); /* p may be gone */

	if (r < 0 || !b->ops->purge || !token || (named && !name))
		return r;
	d.part.token = token;
	d.part.job_name = name ? name : j->view->name;
	if (known == 0)
		known = b->ops->purge(b, &d.part, NULL, &late);
	if (known < 0)
		log_warning("launch", "an input that is not needed stays: %s", late.text);
	return r;
}

/* --- turns --- */

int64_t launch_due_ns(struct jobs *en)
{
	int64_t due;

	pthread_mutex_lock(&en->mutex);
	due = en->creating ? INT64_MAX : en->create_due_ns;
	pthread_mutex_unlock(&en->mutex);
	return due;
}

static int64_t pace(struct backend *b)
{
	return b->ops->create_every_ns ? b->ops->create_every_ns(b) : 0;
}

/* Whose turn it is not waits without a thread: the scheduler brings it back. */
static bool take_turn(struct job *j)
{
	struct jobs *en = j->jobs;
	int64_t now = clock_mono_ns(en->o.clock);
	uint64_t number;
	bool taken;

	if (pace(en->o.backend) == 0)
		return true;
	pthread_mutex_lock(&en->mutex);
	taken = !en->creating && en->create_due_ns <= now;
	en->creating = en->creating || taken;
	number = taken ? 0 : ++en->turns;
	pthread_mutex_unlock(&en->mutex);
	if (taken)
		return true;
	pthread_mutex_lock(&j->mutex);
	j->turn = number;
	pthread_mutex_unlock(&j->mutex);
	return false;
}

static void end_turn(struct jobs *en)
{
	int64_t every = pace(en->o.backend);

	if (every == 0)
		return;
	pthread_mutex_lock(&en->mutex);
	en->creating = false;
	en->create_due_ns = clock_mono_ns(en->o.clock) + every;
	pthread_mutex_unlock(&en->mutex);
	sched_wake(en);
}

/* 1: refused, and the job is a draft again. */
static int launch_one(struct job *j, struct store_part *p, struct err *e)
{
	int64_t asked_ns;
	int r = store_asking(j, p, &asked_ns, e);

	if (r == 0)
		r = ask(j, p, asked_ns, false, e);
	else
		return r;
	if (r == -EINVAL)
		return refuse(j, p, e);
	if (r == -EBUSY || r == -EDQUOT)
		store_not_asked(j, p);
	return r < 0 ? r : store_created(j, p, e);
}

int launch_parts(struct job *j, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < j->part_count && r == 0; i++) {
		if (!parts_is_current(j, &j->parts[i]) || j->parts[i].phase != PART_STAGED)
			continue;
		if (!take_turn(j))
			return 0;
		r = launch_one(j, &j->parts[i], e);
		end_turn(j->jobs);
	}
	return r;
}

/* What may exist is looked for, so that it can be stopped; nothing is created. */
static int settle_one(struct job *j, struct store_part *p, struct err *e)
{
	int r = ask(j, p, parts_asked_ns(p), true, e);

	if (r == -ENOENT || r == -EINVAL) {
		p->phase = PART_DROPPED;
		p->state = -1;
		return job_save(j, e);
	}
	return r < 0 ? r : store_created(j, p, e);
}

int launch_stop(struct job *j, struct err *e)
{
	struct backend *b = j->jobs->o.backend;
	int r = 0;

	parts_drop(j);
	for (size_t i = 0; i < j->part_count && r == 0; i++) {
		struct store_part *p = &j->parts[i];

		if (parts_is_current(j, p) && p->phase == PART_STAGED)
			r = settle_one(j, p, e);
		if (r == 0 && parts_is_current(j, p) && p->phase == PART_CREATED)
			r = b->ops->stop(b, p->remote, e);
	}
	return r;
}
