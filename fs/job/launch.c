/*
 * From staged inputs to parts that the provider runs, exactly once each.
 *
 * The crash argument: before a part's create call leaves, the store says when
 * (asked_ns, state Queued).  Whatever happens to the answer, a crash or a lost
 * connection, the next call for that part tells the backend of that time, and
 * the backend then looks for the part before it asks again.  What was certainly
 * not created (-EDQUOT: no quota; -EBUSY: no connection) counts as never asked for,
 * if no earlier call was left without an answer: that one's time stays, and with it
 * the looking, until the part is found.
 *
 * A source runs so many parts of a model at once, and may want its create calls
 * one by one and not too often.  Then a job has to have a turn for each call
 * (fs/job/turns.h); hundreds may wait, and they must not keep the threads from
 * those that have results to fetch.  The scheduler gives turns out, to jobs that
 * are checked out as well: who is in the middle of a step does not lose its place.
 */

#include <errno.h>
#include <limits.h>
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

/* It is stored that the call leaves now; *ret: when one left that may have made it, or 0. */
static int store_asking(struct job *j, struct store_part *p, int64_t *ret, struct err *e)
{
	int r;

	*ret = parts_asked_ns(p);
	if (parts_holds_slot(p))
		return 0;
	p->asked_ns = *ret ? *ret : clock_wall_ns(j->jobs->o.clock);
	p->state = JOB_QUEUED;
	r = job_save_part(j, p, e);
	if (r < 0) {
		p->asked_ns = *ret;
		p->state = -1;
	}
	return r;
}

/* This call certainly made nothing, and of an earlier one (asked_ns, or 0) no list
 * has anything: it holds no slot.  If that cannot be stored it is looked for, for nothing. */
static void store_not_made(struct job *j, struct store_part *p, int64_t asked_ns)
{
	struct err e = ERR_INIT;

	p->asked_ns = asked_ns;
	p->state = -1;
	if (job_save_part(j, p, &e) < 0)
		log_warning("launch", "%s", e.text);
}

static int store_created(struct job *j, struct store_part *p, struct err *e)
{
	p->phase = PART_CREATED;
	p->state = JOB_SUBMITTED;
	/* If this is lost in a crash the part is looked for. */
	return job_save_part(j, p, e);
}

/* --- turns --- */

static int64_t pace(struct backend *b)
{
	return b->ops->create_every_ns ? b->ops->create_every_ns(b) : 0;
}

static const char *model_of(const struct job *j)
{
	return j->row.model ? j->row.model : "";
}

/* Since when has p waited?  Since the attempt last had a part created, if it did;
 * the store knows both. */
static int64_t waits_since(const struct job *j, const struct store_part *p)
{
	int64_t since = p->created_ns;

	for (size_t i = 0; i < j->part_count; i++)
		if (parts_is_current(j, &j->parts[i]) && j->parts[i].asked_ns > since)
			since = j->parts[i].asked_ns;
	return since;
}

/* Does j need a turn at all?  0: no.  A source that says it runs none is asked all
 * the same: what it then says is more than a job that waits for ever. */
static int open_queue(struct job *j)
{
	struct jobs *en = j->jobs;
	struct backend *b = en->o.backend;
	struct backend_limits l;
	unsigned most;
	int r = 0;

	if (b->ops->learn_limits)
		b->ops->learn_limits(b); /* not known yet to a mount that finds jobs under way */
	b->ops->limits(b, j->row.model, &l);
	most = l.parts_at_once > 0 ? l.parts_at_once : 1;
	pthread_mutex_lock(&en->mutex);
	if (!turns_is_free(&en->turns, model_of(j), most, pace(b)))
		r = turns_open(&en->turns, model_of(j), most) < 0 ? -ENOMEM : 1;
	pthread_mutex_unlock(&en->mutex);
	return r;
}

/* 1: p may be created now.  0: its turn is waited for, without a thread. */
static int take_turn(struct job *j, const struct store_part *p)
{
	int64_t since = waits_since(j, p);
	int r = open_queue(j);

	if (r <= 0)
		return r < 0 ? r : 1;
	pthread_mutex_lock(&j->mutex);
	r = j->turn.given;
	j->turn.waits = !r;
	j->turn.holds = parts_holds_slot(p);
	j->turn.since_ns = since;
	pthread_mutex_unlock(&j->mutex);
	if (!r)
		sched_stir(j->jobs);
	return r;
}

bool launch_waits(struct job *j)
{
	bool waits;

	pthread_mutex_lock(&j->mutex);
	waits = j->turn.waits || j->turn.given;
	pthread_mutex_unlock(&j->mutex);
	return waits;
}

/* Nothing is to be created: a turn that was given is another's. */
static void leave_queue(struct job *j)
{
	bool had;

	pthread_mutex_lock(&j->mutex);
	had = j->turn.waits || j->turn.given;
	j->turn.waits = j->turn.given = false;
	j->turn.place = 0;
	pthread_mutex_unlock(&j->mutex);
	if (had)
		sched_stir(j->jobs);
}

/* Live parts of that model, in all jobs. */
static unsigned count_live(struct jobs *en, const char *model)
{
	unsigned n = 0;
	struct job *j;

	for (uint64_t after = 0; (j = registry_after(&en->registry, after)); job_unref(j)) {
		after = j->number;
		pthread_mutex_lock(&j->mutex);
		if (j->turn.live + j->turn.given > 0 && strcmp(j->view->model, model) == 0)
			n += j->turn.live + j->turn.given;
		pthread_mutex_unlock(&j->mutex);
	}
	return n;
}

static void tell_quota(struct job *j, unsigned live, const struct err *e)
{
	if (j->quota_told) {
		log_info("launch", "%s", e->text);
		return;
	}
	j->quota_told = true;
	job_log(j,
		"waits for its turn: %s (%u of model %s are known to run; it is tried again when one "
		"of them ends, and from time to time)",
		e->text, live, model_of(j));
}

/* The call is back with r, or was not sent. */
static void end_turn(struct job *j, int r, const struct err *e)
{
	struct jobs *en = j->jobs;
	int64_t now = clock_mono_ns(en->o.clock);
	unsigned live;
	bool learned;

	pthread_mutex_lock(&j->mutex);
	j->turn.live = track_live(j);
	j->turn.waits = j->turn.given = false;
	j->turn.place = 0;
	pthread_mutex_unlock(&j->mutex);
	pthread_mutex_lock(&en->mutex);
	turns_paced(&en->turns, now);
	learned = turns_has_learned(&en->turns, model_of(j));
	pthread_mutex_unlock(&en->mutex);
	if (r == -EDQUOT || (r == 0 && learned)) {
		live = count_live(en, model_of(j));
		pthread_mutex_lock(&en->mutex);
		if (r == 0)
			turns_created(&en->turns, model_of(j), live, now);
		else if (turns_open(&en->turns, model_of(j), UINT_MAX) == 0)
			turns_refused(&en->turns, model_of(j), live, now);
		pthread_mutex_unlock(&en->mutex);
		if (r < 0)
			tell_quota(j, live, e);
	}
	sched_stir(en);
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
		return parts_refuse(j, p, e);
	if (r == -EBUSY || r == -EDQUOT)
		store_not_made(j, p, asked_ns);
	return r < 0 ? r : store_created(j, p, e);
}

/* What may exist is found out first: it holds a slot. */
static struct store_part *next_to_create(struct job *j)
{
	struct store_part *next = NULL;

	for (size_t i = 0; i < j->part_count; i++) {
		struct store_part *p = &j->parts[i];

		if (!parts_is_current(j, p) || p->phase != PART_STAGED || p->how == RUN_ONDEMAND)
			continue;
		if (parts_holds_slot(p))
			return p;
		next = next ? next : p;
	}
	return next;
}

int launch_parts(struct job *j, struct err *e)
{
	struct store_part *p;
	int r = 0;

	while (r == 0 && (p = next_to_create(j)) && !job_wishes(j).stop) {
		r = take_turn(j, p);
		if (r == 0)
			return 0;
		if (r > 0)
			r = launch_one(j, p, e);
		end_turn(j, r, e);
		if (r == -EDQUOT) /* no trouble: it waits */
			r = 0;
	}
	leave_queue(j);
	return r;
}

/* What may exist is looked for, so that it can be stopped; nothing is created. */
static int settle_one(struct job *j, struct store_part *p, struct err *e)
{
	int r = ask(j, p, parts_asked_ns(p), true, e);

	if (r == -ENOENT || r == -EINVAL) {
		p->phase = PART_DROPPED;
		p->state = -1;
		return job_save_part(j, p, e);
	}
	return r < 0 ? r : store_created(j, p, e);
}

int launch_stop(struct job *j, struct err *e)
{
	struct backend *b = j->jobs->o.backend;
	int r = 0;

	leave_queue(j);
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
