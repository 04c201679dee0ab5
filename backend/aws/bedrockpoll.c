/*
 * How are all jobs?  One listing for any number of them.
 *
 * The first sweep lists all jobs there are.  Later ones begin where the oldest
 * job that still runs was submitted, or a little before the youngest seen, so
 * that new ones and those that have changed are met.  What is asked about and
 * was not met (another region, or the list may not be read) is asked for one by
 * one, a few a poll.  Times are the service's own; ours only says which cannot be.
 */

#include <errno.h>
#include <string.h>

#include "backend/aws/bedrock_private.h"
#include "backend/aws/cures.h"
#include "fs/base/log.h"

#define OVERLAP_NS	 (300 * NS_PER_S) /* lists may lag behind */
#define GETS_MAX	 20		  /* a poll */
#define UNKNOWN_POLLS	 10		  /* so often the service must not know a job, */
#define UNKNOWN_NS	 (900 * NS_PER_S) /* and for so long, to believe it */
#define FOUNDATION_MODEL ":foundation-model/"

struct sweep {
	struct bedrock *b;
	const char *const *remotes;
	struct part_status *results;
	size_t count;
	backend_found *found; /* or NULL */
	void *ctx;
	uint32_t round;
	int64_t since_ns; /* 0: all */
};

/* --- what the service says of a job --- */

/* What users write: the id of a model, where it is one of the same region. */
static const char *short_model(const struct control_job *j)
{
	struct naming_arn job, model;

	if (!j->model || !strstr(j->model, FOUNDATION_MODEL) ||
	    naming_arn_parse(j->model, &model) < 0 || naming_arn_parse(j->arn, &job) < 0 ||
	    model.region_size != job.region_size ||
	    memcmp(model.region, job.region, job.region_size) != 0)
		return j->model;
	return strstr(j->model, FOUNDATION_MODEL) + strlen(FOUNDATION_MODEL);
}

/* Counts that are all zero are not known yet: the caller's stand. */
static void tell_result(struct part_status *to, const struct part_status *s)
{
	struct counts old = to->counts;
	struct tokens tokens = to->tokens;

	*to = *s;
	to->tokens = tokens;
	if (s->counts.total == 0 && s->counts.good == 0 && s->counts.failed == 0)
		to->counts = old;
}

/* One date in the future must not have all later ones passed over. */
static bool may_be(const struct bedrock *b, int64_t submitted_ns)
{
	return submitted_ns <= aws_wall_ns(b->aws) + OVERLAP_NS;
}

/* Notes the job; *ret_asked: which remote it is, from 1, or 0. */
static void note(struct sweep *w, const struct control_job *j, size_t *ret_asked)
{
	struct bedrock *b = w->b;
	struct jobrow *row;

	pthread_mutex_lock(&b->rows_mutex);
	row = jobrows_add(b->rows, j->arn);
	*ret_asked = row ? row->asked : 0;
	if (row)
		jobrows_update(row, j, w->round);
	pthread_mutex_unlock(&b->rows_mutex);
	if (j->submitted_ns > b->newest_ns && may_be(b, j->submitted_ns))
		b->newest_ns = j->submitted_ns;
}

/* The end of one that expired is told as the end of its validation. */
static int64_t ended_of(const struct control_job *j)
{
	if (!job_state_is_end(j->status.state))
		return 0;
	return j->status.state == JOB_EXPIRED && j->modified_ns ? j->modified_ns : j->ended_ns;
}

/* asked: which remote it is, from 1; 0: none. */
static void tell(struct sweep *w, const struct control_job *j, size_t asked)
{
	struct part_status status = j->status;

	bedrock_explain(w->b, j, &status);
	if (asked)
		tell_result(&w->results[asked - 1], &status);
	if (w->found) {
		CLEANUP(buf_release) struct buf name = BUF_INIT(2 * NAMING_JOB_MAX);
		struct backend_job job;

		naming_directory(j->name ? j->name : "", &name);
		job = (struct backend_job){
			.remote = j->arn,
			.name = name.data,
			.model = short_model(j),
			.token = j->token,
			.status = status,
			.submitted_ns = j->submitted_ns,
			.ended_ns = ended_of(j),
		};

		w->found(w->ctx, &job);
	}
}

static int take(void *ctx, const struct control_job *j)
{
	size_t asked;

	note(ctx, j, &asked);
	tell(ctx, j, asked);
	return 0;
}

/* --- the listing --- */

static bool clear_asked(void *ctx, struct jobrow *row)
{
	(void)ctx;
	row->asked = 0;
	return true;
}

static void mark_asked(struct sweep *w)
{
	pthread_mutex_lock(&w->b->rows_mutex);
	for (size_t i = 0; i < w->count; i++) {
		struct jobrow *row = jobrows_add(w->b->rows, w->remotes[i]);

		if (row && !row->asked)
			row->asked = i + 1;
	}
	pthread_mutex_unlock(&w->b->rows_mutex);
}

struct oldest {
	bool all; /* also what nobody asks about */
	int64_t ns;
};

static bool find_oldest(void *ctx, struct jobrow *row)
{
	struct oldest *o = ctx;

	if (row->live && row->submitted_ns && (row->asked || o->all) && row->submitted_ns < o->ns)
		o->ns = row->submitted_ns;
	return true;
}

static int64_t sweep_since(struct sweep *w)
{
	struct bedrock *b = w->b;
	struct oldest o = {.all = w->found != NULL, .ns = b->newest_ns - OVERLAP_NS};

	if (!b->swept || (w->found && !b->told) || b->newest_ns == 0)
		return 0;
	pthread_mutex_lock(&b->rows_mutex);
	jobrows_each(b->rows, find_oldest, &o);
	pthread_mutex_unlock(&b->rows_mutex);
	return o.ns > 0 ? o.ns : 0;
}

/* A job that should have been listed and was not will not hold us up. */
static bool forget_unlisted(void *ctx, struct jobrow *row)
{
	const struct sweep *w = ctx;

	if (row->asked || !row->live || row->round == w->round)
		return true;
	return row->submitted_ns && row->submitted_ns < w->since_ns;
}

static int list(struct sweep *w, struct err *e)
{
	struct bedrock *b = w->b;
	struct control_filter f = {.submitted_after_ns = 0};
	struct err why = ERR_INIT;
	int r;

	f.submitted_after_ns = w->since_ns = sweep_since(w);
	r = control_list(b->control, &f, take, w, &why);
	if (r == -EACCES) {
		if (!b->list_is_denied)
			log_warning(
				"bedrock",
				"jobs made elsewhere are not shown, and each job is asked about "
				"by itself: %s",
				why.text);
		b->list_is_denied = true;
		return 0;
	}
	if (r < 0)
		return err_set(e, r, "%s", why.text);
	b->list_is_denied = false;
	b->swept = true;
	b->told = b->told || w->found;
	pthread_mutex_lock(&b->rows_mutex);
	jobrows_each(b->rows, forget_unlisted, w);
	pthread_mutex_unlock(&b->rows_mutex);
	return 0;
}

/* --- one by one --- */

/* Was it met?  Of a remote that is asked about twice the second is none. */
static bool is_missing(struct sweep *w, size_t i, size_t *ret_same)
{
	struct jobrow *row;
	bool missing;

	pthread_mutex_lock(&w->b->rows_mutex);
	row = jobrows_find(w->b->rows, w->remotes[i]);
	missing = !row || row->round != w->round;
	*ret_same = row && row->asked ? row->asked - 1 : i;
	pthread_mutex_unlock(&w->b->rows_mutex);
	return missing;
}

/* A job that was just made may be unknown for a while. */
static bool is_gone(struct sweep *w, const char *remote)
{
	int64_t now = clock_mono_ns(w->b->clock);
	struct jobrow *row;
	bool gone = false;

	pthread_mutex_lock(&w->b->rows_mutex);
	row = jobrows_find(w->b->rows, remote);
	if (row) {
		if (row->unknown_count++ == 0)
			row->unknown_since_ns = now;
		gone = row->unknown_count >= UNKNOWN_POLLS &&
		       now - row->unknown_since_ns >= UNKNOWN_NS;
	}
	pthread_mutex_unlock(&w->b->rows_mutex);
	return gone;
}

/* A job whose answer does not come keeps what is known of it.  That one may
 * not ask is left to the caller to tell. */
static int get(struct sweep *w, size_t i, struct err *why)
{
	CLEANUP(control_job_release) struct control_job j = {.arn = NULL};
	struct part_status *to = &w->results[i];
	int r = control_get(w->b->control, w->remotes[i], &j, why);
	size_t asked;

	if (r == 0) {
		note(w, &j, &asked);
		tell(w, &j, i + 1);
		return 0;
	}
	if ((r == -ENOENT || r == -EINVAL) && is_gone(w, w->remotes[i])) {
		to->state = JOB_FAILED;
		snprintf(to->raw, sizeof(to->raw), "gone");
		snprintf(to->message, sizeof(to->message),
			 "the service does not know this job any more: %.600s", why->text);
	} else if (r == -ENOENT) {
		log_debug("bedrock", "%s", why->text);
	} else if (r != -ECANCELED && r != -EACCES) {
		log_warning("bedrock", "%s", why->text);
	}
	return r;
}

/* Nothing may be asked, so that nothing is known any more: with the cure. */
static int not_allowed(const struct bedrock *b, const struct err *why, struct err *e)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT(16 * 1024);
	const struct cures_context c = {.region = b->region, .bucket = b->bucket};

	cures_add(&text, NULL, why->text, &c);
	return err_set(e, -EACCES, "%s", text.size ? text.data : why->text);
}

static int get_missing(struct sweep *w, struct err *e)
{
	struct bedrock *b = w->b;
	size_t begin = w->count ? b->get_next % w->count : 0, asked = 0, denied = 0, same;
	struct err why = ERR_INIT;

	for (size_t n = 0; n < w->count && asked < GETS_MAX; n++) {
		size_t i = (begin + n) % w->count;
		int r;

		if (!is_missing(w, i, &same) || same != i)
			continue;
		r = get(w, i, &why);
		if (r == -ECANCELED)
			return err_set(e, r, "the mount is ending");
		b->get_next = i + 1;
		asked++;
		denied += r == -EACCES;
		if (r == -EAGAIN)
			break; /* throttled, or out of reach: no more of it now */
	}
	if (b->list_is_denied && denied > 0 && denied == asked)
		return not_allowed(b, &why, e);
	if (denied > 0)
		log_warning("bedrock", "%s", why.text);
	return 0;
}

/* The second of two that are the same is told the same. */
static void copy_doubles(struct sweep *w)
{
	size_t same;

	for (size_t i = 0; i < w->count; i++)
		if (!is_missing(w, i, &same) && same != i && same < w->count)
			tell_result(&w->results[i], &w->results[same]);
}

/* --- the poll --- */

static uint32_t begin_sweep(struct bedrock *b)
{
	uint32_t round;

	pthread_mutex_lock(&b->sweep_mutex);
	while (b->sweeping)
		pthread_cond_wait(&b->sweep_free, &b->sweep_mutex);
	b->sweeping = true;
	round = ++b->round;
	pthread_mutex_unlock(&b->sweep_mutex);
	return round;
}

static void end_sweep(struct bedrock *b)
{
	pthread_mutex_lock(&b->rows_mutex);
	jobrows_each(b->rows, clear_asked, NULL);
	pthread_mutex_unlock(&b->rows_mutex);
	pthread_mutex_lock(&b->sweep_mutex);
	b->sweeping = false;
	pthread_cond_signal(&b->sweep_free);
	pthread_mutex_unlock(&b->sweep_mutex);
}

int bedrock_poll(struct backend *backend, const char *const *remotes, struct part_status *results,
		 size_t count, backend_found *found, void *ctx, struct err *e)
{
	struct bedrock *b = bedrock_of(backend);
	struct sweep w = {
		.b = b,
		.remotes = remotes,
		.results = results,
		.count = count,
		.found = found,
		.ctx = ctx,
	};
	int r;

	if (count == 0 && !found)
		return 0;
	w.round = begin_sweep(b);
	mark_asked(&w);
	r = list(&w, e);
	if (r == 0)
		r = get_missing(&w, e);
	if (r == 0) {
		copy_doubles(&w);
		bedrock_learn(b);
	}
	end_sweep(b);
	return r;
}
