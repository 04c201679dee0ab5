/*
 * The words of JOB/ctl: a wish is put into the store, then into memory, and
 * the job takes it up at its next step.
 */

#include <errno.h>
#include <stdlib.h>

#include "fs/base/log.h"
#include "fs/job/jobs_private.h"

/* The wishes as the command leaves them. */
static struct store_wishes wish(struct store_wishes w, enum command c)
{
	if (c == COMMAND_SUBMIT)
		w.submit = true;
	if (c == COMMAND_HOLD) {
		w.held = true;
		w.submit = false;
	}
	if (c == COMMAND_STOP)
		w.stop = true;
	if (c == COMMAND_RETRY)
		w.retry = true;
	if (c == COMMAND_FETCH)
		w.fetch = true;
	if (c == COMMAND_PURGE)
		w.purge = true;
	return w;
}

/* What q asks for, as it is now: what readers see may be a step behind. */
static int judge_command(struct request *q, struct store_wishes *ret)
{
	struct job *j = q->job;
	enum job_state state;
	enum phase phase;
	unsigned legal;

	pthread_mutex_lock(&j->mutex);
	state = j->view->state;
	phase = j->phase;
	legal = j->view->commands & commands_legal(phase, state, true);
	*ret = j->wishes;
	pthread_mutex_unlock(&j->mutex);
	if (legal & 1u << q->command) {
		if (phase == PHASE_DRAFT && q->command == COMMAND_STOP)
			q->command = COMMAND_HOLD;
		return 0;
	}
	if (q->command == COMMAND_STOP && state == JOB_STOPPING)
		return 0; /* twice is no fault */
	if (q->command == COMMAND_FETCH && !j->elsewhere)
		return -EINVAL;
	if (q->command == COMMAND_PURGE && !q->jobs->o.backend->ops->purge)
		return -EINVAL;
	if (phase != PHASE_DRAFT && phase != PHASE_ENDED && phase != PHASE_ELSEWHERE)
		return -EBUSY;
	return state >= JOB_UPLOADING && !job_state_is_end(state) ? -EBUSY : -EINVAL;
}

/* A retry of fewer records than the provider takes would fail there, minutes
 * later.  JOB/log says so. */
static int judge_retry(struct request *q)
{
	CLEANUP(view_unrefp) struct view *v = job_view(q->job);
	struct backend *b = q->jobs->o.backend;
	uint64_t count = v->counts.total - v->counts.good;
	struct backend_limits l;

	b->ops->limits(b, v->model, &l);
	if (count >= l.records_min)
		return 0;
	job_log(q->job,
		"retry: not sent: %llu records have no good result, and this source takes no job under "
		"%llu; put retry.jsonl into a new job, together with others",
		(unsigned long long)count, (unsigned long long)l.records_min);
	return -EINVAL;
}

/* With the mutex of wishes. */
static int take_command(struct request *q)
{
	struct job *j = q->job;
	struct err e = ERR_INIT;
	struct store_wishes w;
	int r = judge_command(q, &w);

	if (r == 0 && q->command == COMMAND_RETRY)
		r = judge_retry(q);
	if (r < 0)
		return r;
	w = wish(w, q->command);
	r = store_job_wish(q->jobs->o.store, j->number, &w, &e);
	if (r < 0) {
		if (r != -ENOENT) /* removed meanwhile */
			log_error("jobs", "ctl: %s", e.text);
		return r;
	}
	pthread_mutex_lock(&j->mutex);
	j->wishes = w;
	pthread_mutex_unlock(&j->mutex);
	return 0;
}

static int command(struct request *q)
{
	int r;

	pthread_mutex_lock(&q->job->wish_mutex);
	r = take_command(q);
	pthread_mutex_unlock(&q->job->wish_mutex);
	if (r < 0)
		return r;
	job_log(q->job, "command %s", command_name(q->command));
	if (q->command == COMMAND_REFRESH)
		track_hurry(q->jobs);
	return 0;
}

/* Answered by the job's next step: who reads status after `echo retry > ctl`
 * must not see the end before it.  The rest is a flag for whoever has the job;
 * nobody waits for a purge, which asks the provider. */
static void run_command(void *arg)
{
	struct request *q = arg;
	CLEANUP(job_unrefp) struct job *j = job_ref(q->job); /* q goes with its answer */
	bool removed, purging;
	int r = command(q);

	if (r < 0 || q->command == COMMAND_STOP || q->command == COMMAND_REFRESH ||
	    q->command == COMMAND_PURGE) {
		if (r == 0)
			job_poke(j);
		jobs_answer(q, r, j);
		return;
	}
	pthread_mutex_lock(&j->mutex);
	removed = atomic_load(&j->removed);
	purging = j->wishes.purge;
	if (!removed && !purging) {
		q->next = j->asked;
		j->asked = q;
	}
	pthread_mutex_unlock(&j->mutex);
	if (removed) {
		jobs_answer(q, -ENOENT, NULL);
		return;
	}
	if (purging)
		jobs_answer(q, 0, j);
	job_poke(j);
}

struct request *jobs_take_asked(struct job *j)
{
	struct request *q;

	pthread_mutex_lock(&j->mutex);
	q = j->asked;
	j->asked = NULL;
	pthread_mutex_unlock(&j->mutex);
	return q;
}

void jobs_answer_asked(struct request *q, int r)
{
	while (q) {
		struct request *next = q->next;

		jobs_answer(q, r, q->job);
		q = next;
	}
}

void jobs_command(struct jobs *en, struct job *j, enum command c, jobs_done *done, void *ctx)
{
	jobs_ask(en, run_command, j, NULL, c, done, ctx);
}
