/*
 * What readers see of a job: a view is built from its record, and put in place
 * of the one before.  Order of every change: the store, then the view, then the
 * hook that tells the kernel and those who wait.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/log.h"
#include "fs/job/jobs_private.h"

static int copy_text(char **to, const char *from)
{
	char *copy = from ? strdup(from) : NULL;

	if (from && !copy)
		return -ENOMEM;
	free(*to);
	*to = copy;
	return 0;
}

/* What the backend has to say of a part, its links and names. */
static int show_more(const struct job *j, const struct store_part *p, struct view_part *q)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT(16 * 1024);
	struct backend *b = j->jobs->o.backend;

	if (!b->ops->describe || !p->remote)
		return 0;
	b->ops->describe(b, p->remote, j->row.model ? j->row.model : "", &text);
	if (buf_error(&text) < 0)
		return buf_error(&text);
	q->more = text.size > 0 ? buf_steal(&text) : NULL;
	return 0;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* What a part says of the user's records.  Of what is good so far it cannot be told
 * how much is padding: as much as there is, so that it is never too many. */
static struct counts counts_of(const struct job *j, const struct store_part *p)
{
	/* Of one made elsewhere only the provider knows. */
	uint64_t count = j->elsewhere ? larger(p->record_count, p->counts.total) : p->record_count;
	struct counts c = {.total = count - smaller(p->padding, count)};

	c.good = smaller(p->counts.good - smaller(p->padding, p->counts.good), c.total);
	c.failed = smaller(p->counts.failed, c.total - c.good);
	return c;
}

static void show_money(const struct job *j, struct view *v)
{
	struct backend *b = j->jobs->o.backend;

	v->estimate = j->row.estimate;
	v->money = b->ops->price != NULL;
	v->priced = v->money && j->row.model && b->ops->price(b, j->row.model, &v->price);
	for (size_t i = 0; i < j->part_count; i++) {
		const struct store_part *p = &j->parts[i];

		if (p->how == RUN_ONDEMAND) {
			v->demand.input += p->tokens.input;
			v->demand.output += p->tokens.output;
		}
		if (p->phase != PART_CREATED || !p->expires_ns)
			continue;
		if (!v->expires_ns || p->expires_ns < v->expires_ns)
			v->expires_ns = p->expires_ns;
		v->expiring += p->expires_ns - v->shown_ns <= 3600 * NS_PER_S;
	}
	v->demand.input = smaller(v->demand.input, v->tokens.input);
	v->demand.output = smaller(v->demand.output, v->tokens.output);
}

static int show_parts(const struct job *j, struct view *v)
{
	int r = 0;

	if (j->part_count == 0)
		return 0;
	v->parts = calloc(j->part_count, sizeof(v->parts[0]));
	if (!v->parts)
		return -ENOMEM;
	v->part_count = j->part_count;
	for (size_t i = 0; i < j->part_count && r == 0; i++) {
		const struct store_part *p = &j->parts[i];
		struct view_part *q = &v->parts[i];

		q->attempt = p->attempt;
		q->seq = p->seq;
		q->phase = p->phase;
		q->state = p->state < 0 ? JOB_QUEUED : (enum job_state)p->state;
		q->how = p->how;
		q->padding = p->padding;
		q->counts = counts_of(j, p);
		q->record_count = q->counts.total;
		q->tokens = p->tokens;
		q->created_ns = p->created_ns;
		q->ended_ns = p->ended_ns;
		q->expires_ns = p->expires_ns;
		r = show_more(j, p, q);
		if (r == 0)
			r = copy_text(&q->token, p->token);
		if (r == 0)
			r = copy_text(&q->remote, p->remote);
		if (r == 0)
			r = copy_text(&q->raw, p->raw);
		if (r == 0)
			r = copy_text(&q->message, p->message);
	}
	return r;
}

static void show_attempt(const struct job *j, struct view *v)
{
	struct counts *c = &v->attempt_counts;

	for (size_t i = 0; i < j->part_count; i++) {
		const struct store_part *p = &j->parts[i];
		struct counts of;

		if (p->attempt != j->row.attempt)
			continue;
		of = counts_of(j, p);
		c->total += of.total;
		c->good += of.good;
		c->failed += of.failed;
		if (p->phase < PART_ENDED)
			v->attempt_left += of.total - of.good - of.failed;
		if (!v->attempt_ns || p->created_ns < v->attempt_ns)
			v->attempt_ns = p->created_ns;
		v->tokens.input += p->tokens.input;
		v->tokens.output += p->tokens.output;
	}
}

/* Counts while an attempt runs: what was good before, and what its parts say.
 * Within an attempt they only grow: a provider may know less for a while. */
static void show_counts(const struct job *j, struct view *v)
{
	const struct view *prev = j->view;

	v->counts = j->row.counts;
	v->tokens = j->row.tokens;
	v->counts.total = j->row.record_count;
	if (j->row.phase == PHASE_DRAFT || j->row.phase == PHASE_ENDED || j->row.ended_ns)
		return; /* as do those that ended elsewhere */
	show_attempt(j, v);
	v->counts.good += v->attempt_counts.good;
	v->counts.failed = v->attempt_counts.failed;
	if (prev->attempt == v->attempt && prev->attempt_ns && !prev->ended_ns) {
		v->counts.good = larger(v->counts.good, prev->counts.good);
		v->counts.failed = larger(v->counts.failed, prev->counts.failed);
	}
	v->counts.good = smaller(v->counts.good, v->counts.total);
	v->counts.failed = smaller(v->counts.failed, v->counts.total - v->counts.good);
}

/* The record says it while the attempt runs, and of the next one afterwards. */
static int automatic_of(const struct job *j)
{
	if (j->row.phase != PHASE_DRAFT && j->row.phase != PHASE_ENDED && !j->row.ended_ns)
		return j->row.retryable_only;
	return j->view->attempt == j->row.attempt && j->view->change > 0 ? j->view->automatic : -1;
}

static void show_extras(struct job *j, enum job_state state, struct view *v)
{
	v->saved = j->row.saved;
	v->padding = j->row.padding;
	v->sample = j->row.sample;
	v->sample_ns = j->sample_ns;
	if (state != JOB_HELD)
		str_freep(&j->sample_error);
	if (j->sampling)
		v->sampling = j->sample_counts;
}

/* Why a sample was refused stands there for as long as nothing else is to be said. */
static const char *error_of(const struct job *j, const char *error)
{
	if (error && error[0])
		return error;
	return j->sample_error ? j->sample_error : "";
}

static struct view *make_view(struct job *j, enum job_state state, const char *error)
{
	struct view *v = view_new();
	int r = 0;

	if (!v)
		return NULL;
	v->number = j->number;
	v->state = state;
	v->elsewhere = j->row.elsewhere;
	v->attempt = j->row.attempt;
	v->generation = j->row.generation;
	v->record_count = j->row.record_count;
	v->input_size_bytes = j->row.input_size_bytes;
	v->created_ns = j->row.created_ns;
	v->submitted_ns = j->row.submitted_ns;
	v->ended_ns = j->row.ended_ns;
	v->due_ns = j->settle_due_ns;
	v->shown_ns = clock_wall_ns(j->jobs->o.clock);
	v->how = j->row.how;
	v->automatic = automatic_of(j);
	v->auto_retries = j->row.auto_retries;
	show_counts(j, v);
	show_extras(j, state, v);
	show_money(j, v);
	v->commands = job_legal_commands(j, state, &v->counts);
	r = show_parts(j, v);
	pthread_mutex_lock(&j->mutex);
	if (r == 0)
		r = copy_text(&v->name, j->name);
	v->held = j->wishes.held;
	pthread_mutex_unlock(&j->mutex);
	if (r == 0)
		r = copy_text(&v->error, error_of(j, error));
	if (r == 0)
		r = copy_text(&v->model, j->row.model ? j->row.model : "");
	if (r < 0) {
		view_unref(v);
		return NULL;
	}
	if (j->results)
		v->results = results_ref(j->results);
	return v;
}

/* What was reached before this start keeps the times it had then. */
static void stamp(struct job *j, struct view *v, const struct view *prev)
{
	bool restored = prev->change == 0 && (v->state == JOB_DRAFT || job_state_is_end(v->state));

	view_stamp(v, prev, v->shown_ns);
	if (restored)
		memcpy(v->times_ns, j->row.times_ns, sizeof(v->times_ns));
	else
		memcpy(j->row.times_ns, v->times_ns, sizeof(v->times_ns));
}

void job_publish(struct job *j, enum job_state state, const char *error)
{
	struct view *v = make_view(j, state, error), *prev;
	struct err e = ERR_INIT;
	unsigned what = 0;
	bool news;

	if (!v) {
		log_error("job", "no memory for a view of job %llu", (unsigned long long)j->number);
		return;
	}
	/* Only this thread changes the view, so it may look without the mutex. */
	prev = j->view;
	stamp(j, v, prev);
	news = strcmp(view_status(prev), view_status(v)) != 0;
	if (news)
		what |= JOBS_STATE;
	if (prev->sample_ns != v->sample_ns && prev->change > 0)
		j->row.names_ns = v->shown_ns;
	if (prev->results != v->results) {
		what |= JOBS_RESULTS;
		if (prev->change > 0)
			j->row.names_ns = v->shown_ns;
	}
	if (news && prev->change > 0) {
		if (job_save(j, &e) < 0)
			log_warning("job", "%s", e.text);
	}
	if (prev->change != v->change)
		what |= JOBS_VIEW;
	v->names_ns = j->row.names_ns > prev->names_ns ? j->row.names_ns : prev->names_ns;

	pthread_mutex_lock(&j->mutex);
	j->view = v;
	pthread_mutex_unlock(&j->mutex);
	if ((what & JOBS_STATE) && prev->change > 0)
		job_log(j, "status %s", view_status(v));
	view_unref(prev);
	if (what)
		j->jobs->o.changed(j->jobs->o.ctx, j, what);
}

void job_show(struct job *j, enum job_state state)
{
	job_publish(j, state, j->view->state == state ? j->view->error : "");
}
