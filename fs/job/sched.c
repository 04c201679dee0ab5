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
	job_publish(j, j->view->state, e->text);
	job_due_in(j, wait);
}

/* With the job checked out. */
static enum lane lane_of(struct job *j)
{
	switch ((enum phase)j->row.phase) {
	case PHASE_STAGING:
	case PHASE_COLLECTING:
		return LANE_BULK;
	case PHASE_RUNNING:
		return LANE_CALLS;
	case PHASE_ENDED:
	case PHASE_ELSEWHERE:
		return job_wishes(j).purge ? LANE_BULK : LANE_DESK;
	case PHASE_DRAFT:
		return j->sampling ? LANE_BULK : LANE_DESK;
	case PHASE_NONE:
	case PHASE_COUNT:
		break;
	}
	return LANE_DESK;
}

static void service(void *arg)
{
	struct job *j = arg;
	struct request *asked;
	struct err e = ERR_INIT;
	bool idle, orphaned;
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
	if (r >= 0 && j->turn == 0) /* who waits for its turn is not out of it yet */
		j->trouble_count = 0;
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
	sched_wake(j->jobs);
	job_unref(j);
}

/* The turn to create, and who of those that are not due has waited longest. */
struct turn {
	int64_t due_ns;
	uint64_t number;
	struct job *first; /* a reference, or NULL */
};

static void check_out_locked(struct job *j)
{
	j->busy = true;
	j->poked = false;
	j->turn = 0;
	j->due_ns = INT64_MAX;
}

/* Returns a reference to give back, or NULL: not under a lock. */
static struct job *note_turn_locked(struct job *j, struct turn *t)
{
	struct job *before = t->first;

	if (j->turn == 0 || (before && t->number < j->turn))
		return NULL;
	t->first = job_ref(j);
	t->number = j->turn;
	return before;
}

/* Checks the job out if it is due; its next time otherwise. */
static bool check_out(struct job *j, int64_t now, struct turn *t, int64_t *ret_due)
{
	struct job *passed = NULL;
	bool taken = false;

	pthread_mutex_lock(&j->mutex);
	if (!j->busy && !atomic_load(&j->removed)) {
		if (j->due_ns <= now) {
			taken = true;
			check_out_locked(j);
		} else {
			passed = note_turn_locked(j, t);
			if (j->due_ns < *ret_due)
				*ret_due = j->due_ns;
		}
	}
	pthread_mutex_unlock(&j->mutex);
	job_unref(passed);
	return taken;
}

/* Is it its turn?  It may have been taken, or have lost the wish, meanwhile. */
static bool check_out_first(const struct turn *t, int64_t now, int64_t *ret_due)
{
	bool taken;

	if (!t->first)
		return false;
	if (t->due_ns > now) {
		*ret_due = t->due_ns < *ret_due ? t->due_ns : *ret_due;
		return false;
	}
	pthread_mutex_lock(&t->first->mutex);
	taken = !t->first->busy && !atomic_load(&t->first->removed);
	if (taken)
		check_out_locked(t->first);
	pthread_mutex_unlock(&t->first->mutex);
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

/* Hands out what is due and returns when the next thing is. */
static int64_t hand_out(struct jobs *en)
{
	int64_t now = clock_mono_ns(en->o.clock), due = INT64_MAX, poll_due;
	struct turn turn = {.due_ns = launch_due_ns(en)};
	struct job *j;

	for (uint64_t after = 0; (j = registry_after(&en->registry, after)); job_unref(j)) {
		after = j->number;
		if (check_out(j, now, &turn, &due))
			serve(en, j);
	}
	if (check_out_first(&turn, now, &due))
		serve(en, turn.first);
	job_unref(turn.first);
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
