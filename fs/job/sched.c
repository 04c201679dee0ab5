/*
 * Who is due.
 *
 * The scheduler thread looks through the jobs, hands those that are due to the
 * pool, one checked-out job an item, and sleeps until the next one is due or
 * something happened.  It never touches a record itself.  A look through ten
 * thousand jobs takes about a millisecond; nothing finer is needed.
 */

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "fs/base/log.h"
#include "fs/job/jobs_private.h"

#define STEPS_MAX	 64 /* of one job before others get the thread */
#define TROUBLE_FIRST_NS (500 * NS_PER_MS)
#define TROUBLE_MAX_NS	 (60 * NS_PER_S)

void sched_wake(struct jobs *en)
{
	pthread_mutex_lock(&en->mutex);
	en->woken = true;
	pthread_cond_signal(&en->wake);
	pthread_mutex_unlock(&en->mutex);
}

void sched_stir(struct jobs *en)
{
	pthread_mutex_lock(&en->mutex);
	en->woken = en->stirred = true;
	pthread_cond_signal(&en->wake);
	pthread_mutex_unlock(&en->mutex);
}

static int step(struct job *j, struct err *e)
{
	switch ((enum phase)j->row.phase) {
	case PHASE_DRAFT:
		return submit_draft(j, e);
	case PHASE_STAGING:
		return submit_stage(j, e);
	case PHASE_RUNNING:
		return submit_run(j, e);
	case PHASE_COLLECTING:
		return elsewhere_is_away(j) ? elsewhere_collect(j, e) : finish_collect(j, e);
	case PHASE_ENDED:
		return finish_ended(j, e);
	case PHASE_ELSEWHERE:
		return elsewhere_step(j, e);
	case PHASE_NONE:
	case PHASE_COUNT:
		break;
	}
	return err_set(e, -EUCLEAN, "the store holds a phase %d that is none", j->row.phase);
}

/* The disk is full, the network is away, ...: say so, and try again later. */
static void in_trouble(struct job *j, int r, struct err *e)
{
	int64_t wait = TROUBLE_FIRST_NS << (j->trouble_count < 7 ? j->trouble_count : 7);

	if (wait > TROUBLE_MAX_NS)
		wait = TROUBLE_MAX_NS;
	if (!e->text[0])
		err_errno(e, r, "cannot go on");
	if (j->trouble_count++ == 0)
		job_log(j, "cannot go on, will try again: %s", e->text);
	job_due_in(j, wait); /* first: who reads of it may know that it is to come */
	job_publish(j, j->view->state, e->text);
}

/* With the job checked out. */
static enum lane lane_of(struct job *j)
{
	switch ((enum phase)j->row.phase) {
	case PHASE_STAGING:
	case PHASE_COLLECTING:
		return LANE_BULK;
	case PHASE_RUNNING:
		return j->row.how == RUN_ONDEMAND ? LANE_NOW : LANE_CALLS;
	case PHASE_ENDED:
	case PHASE_ELSEWHERE:
		return job_wishes(j).purge ? LANE_BULK : LANE_DESK;
	case PHASE_DRAFT:
		return j->sampling ? LANE_NOW : LANE_DESK;
	case PHASE_NONE:
	case PHASE_COUNT:
		break;
	}
	return LANE_DESK;
}

/* After a step: what it left alive, and whether it still wants a turn.  With the
 * job's mutex; does that matter to others? */
static bool settle_turn_locked(struct job *j)
{
	struct turn before = j->turn;

	j->turn.live = track_live(j);
	if (j->row.phase != PHASE_RUNNING) {
		j->turn.waits = j->turn.given = false;
		j->turn.place = 0;
	}
	return before.live != j->turn.live || before.waits != j->turn.waits ||
	       before.given != j->turn.given;
}

static void service(void *arg)
{
	struct job *j = arg;
	struct request *asked;
	struct err e = ERR_INIT;
	bool idle, orphaned, stirs;
	int r = 1;

	for (int i = 0; i < STEPS_MAX && r == 1 && lane_of(j) == j->lane; i++) {
		if (atomic_load(&j->jobs->stopping) || atomic_load(&j->removed))
			break;
		e.text[0] = '\0';
		asked = jobs_take_asked(j);
		r = step(j, &e);
		/* Trouble or not, the wish is in the store and will be heard. */
		jobs_answer_asked(asked, 0);
	}
	if (atomic_load(&j->jobs->stopping) || atomic_load(&j->removed))
		r = 0;
	if (r < 0)
		in_trouble(j, r, &e);
	pthread_mutex_lock(&j->mutex);
	if (r >= 0 && !j->turn.waits &&
	    !j->turn.given) /* who waits for its turn is not out of it yet */
		j->trouble_count = 0;
	stirs = settle_turn_locked(j);
	j->busy = false;
	if (j->poked || r == 1)
		j->due_ns = 0;
	idle = job_rests_locked(j);
	orphaned = j->orphaned;
	pthread_mutex_unlock(&j->mutex);
	if (orphaned)
		jobs_erase(j->jobs, j->number);
	if (idle)
		j->jobs->o.changed(j->jobs->o.ctx, j, JOBS_IDLE);
	if (stirs)
		sched_stir(j->jobs);
	else
		sched_wake(j->jobs);
	job_unref(j);
}

static void check_out_locked(struct job *j)
{
	j->busy = true;
	j->poked = false;
	j->due_ns = INT64_MAX;
}

/* Checks the job out if it is due; its next time otherwise. */
static bool check_out(struct job *j, int64_t now, bool *ret_waits, int64_t *ret_due)
{
	bool taken = false;

	pthread_mutex_lock(&j->mutex);
	*ret_waits = *ret_waits || j->turn.waits;
	if (!j->busy && !atomic_load(&j->removed)) {
		if (j->due_ns <= now) {
			taken = true;
			check_out_locked(j);
		} else if (j->due_ns < *ret_due) {
			*ret_due = j->due_ns;
		}
	}
	pthread_mutex_unlock(&j->mutex);
	return taken;
}

static void check_in(struct job *j)
{
	pthread_mutex_lock(&j->mutex);
	j->busy = false;
	j->due_ns = clock_mono_ns(j->jobs->o.clock) + NS_PER_S;
	pthread_mutex_unlock(&j->mutex);
}

static void serve(struct jobs *en, struct job *j)
{
	j->lane = lane_of(j);
	if (pool_add(en->lanes[j->lane], service, job_ref(j)) < 0) {
		check_in(j);
		job_unref(j);
	}
}

/* --- turns to create --- */

/* With its mutex. */
static int tell_turn_locked(struct jobs *en, const struct job *j)
{
	const struct turns_wait w = {.job = j->number,
				     .live = j->turn.live,
				     .since_ns = j->turn.since_ns,
				     .holds = j->turn.holds,
				     .before = j->turn.place};
	int r = 0;

	if (!j->turn.live && !j->turn.waits && !j->turn.given)
		return 0;
	pthread_mutex_lock(&en->mutex);
	turns_count(&en->turns, j->view->model, j->turn.live, j->turn.given);
	if (j->turn.waits)
		r = turns_wait(&en->turns, j->view->model, &w);
	pthread_mutex_unlock(&en->mutex);
	return r;
}

/* Has what was decided come true for j?  1: it is checked out and to be served. */
static int give_turn(struct job *j, const struct turns_wait *w)
{
	struct jobs *en = j->jobs;
	bool taken = false;

	pthread_mutex_lock(&j->mutex);
	if (!j->turn.waits) { /* not any more: that stirs */
		pthread_mutex_unlock(&j->mutex);
		return 0;
	}
	if (j->turn.place != w->place)
		atomic_store(&en->queue_ns, clock_wall_ns(en->o.clock));
	j->turn.place = w->place;
	if (w->given) {
		j->turn.given = true;
		j->turn.waits = false;
		taken = !j->busy && !atomic_load(&j->removed);
		if (taken)
			check_out_locked(j);
		else
			j->poked = true;
	}
	pthread_mutex_unlock(&j->mutex);
	return taken;
}

static bool is_round_due(struct jobs *en, int64_t now)
{
	bool due;

	pthread_mutex_lock(&en->mutex);
	due = en->stirred || en->turns_due_ns <= now;
	en->stirred = false;
	pthread_mutex_unlock(&en->mutex);
	return due;
}

/* Decides anew who may create, hands those out that may, and returns when to do so
 * again.  A job without a place in the round, for want of memory, gets one later. */
static int64_t give_turns(struct jobs *en, int64_t now)
{
	struct backend *b = en->o.backend;
	int64_t due;
	struct job *j;
	int r = 0;

	pthread_mutex_lock(&en->mutex);
	turns_begin(&en->turns, b->ops->create_every_ns ? b->ops->create_every_ns(b) : 0);
	pthread_mutex_unlock(&en->mutex);
	for (uint64_t after = 0; (j = registry_after(&en->registry, after)); job_unref(j)) {
		after = j->number;
		pthread_mutex_lock(&j->mutex);
		if (tell_turn_locked(en, j) == -ENOMEM)
			r = -ENOMEM;
		pthread_mutex_unlock(&j->mutex);
	}
	pthread_mutex_lock(&en->mutex);
	due = turns_decide(&en->turns, now);
	pthread_mutex_unlock(&en->mutex);
	/* What was decided is touched by this thread only. */
	for (size_t i = 0; i < en->turns.wait_count; i++) {
		const struct turns_wait *w = &en->turns.waits[i];

		if (!w->given && w->place == w->before)
			continue; /* one of thousands, mostly */
		j = registry_get(&en->registry, w->job);
		if (j && give_turn(j, w))
			serve(en, j);
		job_unref(j);
	}
	return r < 0 && due > now + NS_PER_S ? now + NS_PER_S : due;
}

/* --- the thread --- */

/* Hands out what is due and returns when the next thing is. */
static int64_t hand_out(struct jobs *en)
{
	int64_t now = clock_mono_ns(en->o.clock), due = INT64_MAX, poll_due;
	bool waits = false, decide = is_round_due(en, now);
	struct job *j;

	for (uint64_t after = 0; (j = registry_after(&en->registry, after)); job_unref(j)) {
		after = j->number;
		if (check_out(j, now, &waits, &due))
			serve(en, j);
	}
	if (decide)
		en->turns_due_ns = waits ? give_turns(en, now) : INT64_MAX;
	if (en->turns_due_ns < due)
		due = en->turns_due_ns;
	if (track_begin(en, now, &poll_due) && pool_add(en->quick, track_poll, en) < 0) {
		poll_due = now + NS_PER_S;
		track_put_off(en, poll_due);
	}
	return poll_due < due ? poll_due : due;
}

static void sleep_until(struct jobs *en, int64_t due)
{
	struct timespec ts = {.tv_sec = (time_t)(due / NS_PER_S),
			      .tv_nsec = (long)(due % NS_PER_S)};
	int r = 0;

	pthread_mutex_lock(&en->mutex);
	while (!en->woken && !en->ending && r != ETIMEDOUT) {
		if (due == INT64_MAX)
			r = pthread_cond_wait(&en->wake, &en->mutex);
		else
			r = pthread_cond_timedwait(&en->wake, &en->mutex, &ts);
	}
	en->woken = false;
	pthread_mutex_unlock(&en->mutex);
}

static bool is_ending(struct jobs *en)
{
	bool ending;

	pthread_mutex_lock(&en->mutex);
	ending = en->ending;
	pthread_mutex_unlock(&en->mutex);
	return ending;
}

static void *schedule(void *arg)
{
	struct jobs *en = arg;

	while (!is_ending(en))
		sleep_until(en, hand_out(en));
	return NULL;
}

int sched_start(struct jobs *en, struct err *e)
{
	int r = pthread_create(&en->scheduler, NULL, schedule, en);

	if (r)
		return err_errno(e, -r, "cannot start the scheduler");
	en->started = true;
	return 0;
}

void sched_stop(struct jobs *en)
{
	if (!en->started)
		return;
	pthread_mutex_lock(&en->mutex);
	en->ending = true;
	pthread_cond_signal(&en->wake);
	pthread_mutex_unlock(&en->mutex);
	pthread_join(en->scheduler, NULL);
	en->started = false;
}
