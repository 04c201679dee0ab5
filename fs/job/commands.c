/*
 * The words of JOB/ctl: a wish is put into the store, then into memory, and
 * the job takes it up at its next step.
 */

#include <errno.h>
#include <stdlib.h>

#include "fs/base/log.h"
#include "fs/job/jobs_private.h"

/* The wishes as the command leaves them; how: of a retry. */
static struct store_wishes wish(struct store_wishes w, const struct order *o, int how)
{
	if (o->command == COMMAND_SUBMIT)
		w.submit = true;
	if (o->command == COMMAND_HOLD || o->command == COMMAND_SAMPLE) {
		w.held = true; /* who tries something out wants to look at it first */
		w.submit = false;
	}
	if (o->command == COMMAND_SAMPLE)
		w.sample = o->count;
	if (o->command == COMMAND_STOP)
		w.stop = true;
	if (1u << o->command & COMMANDS_RETRY) {
		w.retry = true;
		w.retry_how = how;
	}
	if (o->command == COMMAND_FETCH)
		w.fetch = true;
	if (o->command == COMMAND_PURGE)
		w.purge = true;
	return w;
}

/* Of a job as it is now, which the command is not for. */
static int refuse(struct request *q, enum phase phase, enum job_state state, bool sampling)
{
	enum command c = q->order.command;

	if (c == COMMAND_STOP && state == JOB_STOPPING)
		return 0; /* twice is no fault */
	if (c == COMMAND_FETCH && !q->job->elsewhere)
		return -EINVAL;
	if (c == COMMAND_PURGE && !q->jobs->o.backend->ops->purge)
		return -EINVAL;
	if (sampling)
		return c == COMMAND_SUBMIT || c == COMMAND_SAMPLE ? -EBUSY : -EINVAL;
	if (c == COMMAND_SAMPLE) {
		job_log(q->job, "sample: not taken: %s",
			!q->jobs->o.backend->ops->run_now
				? "this source runs nothing on demand"
				: "it is for a job that is Held or Settling, so before it is submitted, "
				  "and after a valid input.jsonl and model are there");
		return -EINVAL;
	}
	if (phase != PHASE_DRAFT && phase != PHASE_ENDED && phase != PHASE_ELSEWHERE)
		return -EBUSY;
	return state >= JOB_UPLOADING && !job_state_is_end(state) ? -EBUSY : -EINVAL;
}

/* What q asks for, as it is now: what readers see may be a step behind. */
static int judge_command(struct request *q, struct store_wishes *ret)
{
	struct job *j = q->job;
	bool sampling, has_failures;
	enum job_state state;
	enum phase phase;
	unsigned legal;

	pthread_mutex_lock(&j->mutex);
	state = j->view->state;
	phase = j->phase;
	*ret = j->wishes;
	sampling = phase == PHASE_DRAFT && j->wishes.sample;
	has_failures = j->view->counts.good < j->view->counts.total;
	/* A retry that would not be taken has more to be told: judge_retry(). */
	legal = (j->view->commands | (has_failures ? COMMANDS_RETRY : 0)) &
		commands_legal(phase, state, true);
	pthread_mutex_unlock(&j->mutex);
	if (sampling)
		legal = legal_during_sample(legal);
	if (!(legal & 1u << q->order.command))
		return refuse(q, phase, state, sampling);
	if (phase == PHASE_DRAFT && q->order.command == COMMAND_STOP && !sampling)
		q->order.command = COMMAND_HOLD;
	return 0;
}

/* Fewer records than the source takes would fail there, minutes later.  JOB/log says
 * so, and the ways out that there are. */
static void log_too_few(struct request *q, const char *model, uint64_t count)
{
	struct backend *b = q->jobs->o.backend;
	struct backend_limits l;

	b->ops->limits(b, model, &l);
	job_log(q->job,
		"retry: not sent: %llu records have no good result, and this source takes no job under "
		"%llu; %s%sput retry.jsonl into a new job, together with others",
		(unsigned long long)count, (unsigned long long)l.records_min,
		b->ops->pad_record
			? "`retry pad` fills it up with copies that cost a token or so, or "
			: "",
		b->ops->run_now
			? "`retry ondemand` runs them one by one at the on-demand price, or "
			: "");
}

/* How the retry is to run: enum run_how, or -EINVAL. */
static int judge_retry(struct request *q)
{
	CLEANUP(view_unrefp) struct view *v = job_view(q->job);
	const struct backend_ops *ops = q->jobs->o.backend->ops;
	uint64_t count = v->counts.total - v->counts.good;
	int r;

	if (q->order.command == COMMAND_RETRY_PAD && !ops->pad_record) {
		job_log(q->job, "retry pad: not taken: this source has no minimum to fill up to");
		return -EINVAL;
	}
	if (q->order.command == COMMAND_RETRY_ONDEMAND && !ops->run_now) {
		job_log(q->job, "retry ondemand: not taken: this source runs nothing on demand");
		return -EINVAL;
	}
	if (q->order.command != COMMAND_RETRY)
		return q->order.command == COMMAND_RETRY_PAD ? RUN_PADDED : RUN_ONDEMAND;
	r = legal_retry_how(q->job, v->model, count);
	if (r < 0)
		log_too_few(q, v->model, count);
	return r;
}

/* With the mutex of wishes. */
static int take_command(struct request *q)
{
	struct job *j = q->job;
	struct err e = ERR_INIT;
	struct store_wishes w;
	int how = RUN_BATCH, r = judge_command(q, &w);

	if (r == 0 && 1u << q->order.command & COMMANDS_RETRY)
		r = how = judge_retry(q);
	if (r < 0)
		return r;
	w = wish(w, &q->order, how);
	r = store_job_wish(q->jobs->o.store, j->number, &w, &e);
	if (r < 0) {
		if (r != -ENOENT) /* removed meanwhile */
			log_error("jobs", "ctl: %s", e.text);
		return r;
	}
	pthread_mutex_lock(&j->mutex);
	job_set_wishes_locked(j, &w);
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
	if (q->order.command == COMMAND_SAMPLE)
		job_log(q->job, "command sample %u", q->order.count);
	else
		job_log(q->job, "command %s", command_name(q->order.command));
	if (q->order.command == COMMAND_REFRESH)
		track_hurry(q->jobs);
	return 0;
}

/* Is it about files that were written a moment ago, and not looked at yet? */
static bool put_off(struct request *q)
{
	struct job *j = q->job;
	enum command c = q->order.command;
	bool early;

	pthread_mutex_lock(&j->mutex);
	early = !q->put_off && (c == COMMAND_SUBMIT || c == COMMAND_SAMPLE) &&
		j->phase == PHASE_DRAFT && !atomic_load(&j->removed) &&
		(j->view->state == JOB_DRAFT || j->view->state == JOB_INVALID) &&
		(j->busy || j->poked);
	if (early) {
		q->put_off = true;
		q->next = j->asked;
		j->asked = q;
	}
	pthread_mutex_unlock(&j->mutex);
	return early;
}

/* Answered by the job's next step: who reads status after `echo retry > ctl`
 * must not see the end before it.  The rest is a flag for whoever has the job;
 * nobody waits for a purge, which asks the provider. */
static void run_command(void *arg)
{
	struct request *q = arg;
	CLEANUP(job_unrefp) struct job *j = job_ref(q->job); /* q goes with its answer */
	enum command c = q->order.command;
	bool removed, purging;
	int r;

	if (put_off(q)) {
		job_poke(j);
		return;
	}
	r = command(q);
	q->taken = r == 0;
	if (r < 0 || c == COMMAND_STOP || c == COMMAND_REFRESH || c == COMMAND_PURGE) {
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

		if (r == 0 && !q->taken)
			run_command(q);
		else
			jobs_answer(q, r, q->job);
		q = next;
	}
}

void jobs_command(struct jobs *en, struct job *j, struct order o, jobs_done *done, void *ctx)
{
	jobs_ask(en, run_command, j, NULL, o, done, ctx);
}
