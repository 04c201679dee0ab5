#include "fs/job/view.h"

#include <stdlib.h>
#include <string.h>

struct view *view_new(void)
{
	struct view *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	atomic_init(&v->refs_, 1);
	v->name = strdup("");
	v->model = strdup("");
	v->error = strdup("");
	if (!v->name || !v->model || !v->error) {
		view_unref(v);
		return NULL;
	}
	return v;
}

struct view *view_ref(struct view *v)
{
	atomic_fetch_add_explicit(&v->refs_, 1, memory_order_relaxed);
	return v;
}

void view_unref(struct view *v)
{
	if (!v || atomic_fetch_sub_explicit(&v->refs_, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < v->part_count; i++) {
		free(v->parts[i].token);
		free(v->parts[i].remote);
		free(v->parts[i].raw);
		free(v->parts[i].message);
		free(v->parts[i].more);
	}
	free(v->parts);
	free(v->name);
	free(v->model);
	free(v->error);
	results_unref(v->results);
	free(v);
}

/* A word as ours are, and none of them. */
static bool is_word_of_theirs(const char *raw)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

	return raw && raw[0] && !raw[strspn(raw, letters)] && job_state_parse(raw) < 0;
}

const char *view_status(const struct view *v)
{
	for (size_t i = 0; i < v->part_count && v->state == JOB_IN_PROGRESS; i++) {
		const struct view_part *p = &v->parts[i];

		if (p->attempt == v->attempt && p->state == JOB_IN_PROGRESS &&
		    is_word_of_theirs(p->raw))
			return p->raw;
	}
	return job_state_name(v->state);
}

static bool same_text(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool same_numbers(const struct counts *a, const struct counts *b, const struct tokens *x,
			 const struct tokens *y)
{
	return a->total == b->total && a->good == b->good && a->failed == b->failed &&
	       x->input == y->input && x->output == y->output;
}

static bool same_parts(const struct view *a, const struct view *b)
{
	if (a->part_count != b->part_count)
		return false;
	for (size_t i = 0; i < a->part_count; i++) {
		const struct view_part *p = &a->parts[i], *q = &b->parts[i];

		if (p->how != q->how || p->padding != q->padding || p->attempt != q->attempt ||
		    p->seq != q->seq || p->phase != q->phase || p->state != q->state ||
		    p->ended_ns != q->ended_ns || p->expires_ns != q->expires_ns ||
		    !same_text(p->more, q->more) ||
		    !same_numbers(&p->counts, &q->counts, &p->tokens, &q->tokens) ||
		    !same_text(p->remote, q->remote) || !same_text(p->raw, q->raw) ||
		    !same_text(p->message, q->message))
			return false;
	}
	return true;
}

static bool same_tally(const struct tally *a, const struct tally *b)
{
	return a->records == b->records && a->tokens.input == b->tokens.input &&
	       a->tokens.output == b->tokens.output;
}

static bool same_extras(const struct view *a, const struct view *b)
{
	return same_tally(&a->saved, &b->saved) && same_tally(&a->padding, &b->padding) &&
	       same_tally(&a->sample, &b->sample) && a->sample_ns == b->sample_ns &&
	       a->sampling.total == b->sampling.total && a->sampling.good == b->sampling.good &&
	       a->sampling.failed == b->sampling.failed;
}

static bool same_rest(const struct view *a, const struct view *b)
{
	return same_text(a->name, b->name) && same_text(a->model, b->model) && a->held == b->held &&
	       a->attempt == b->attempt && a->generation == b->generation &&
	       a->record_count == b->record_count && a->input_size_bytes == b->input_size_bytes &&
	       a->submitted_ns == b->submitted_ns && a->ended_ns == b->ended_ns &&
	       a->estimate.input == b->estimate.input && a->estimate.output == b->estimate.output &&
	       a->priced == b->priced && same_extras(a, b);
}

void view_stamp(struct view *next, const struct view *prev, int64_t now_ns)
{
	bool status = !prev || !same_text(view_status(prev), view_status(next));
	bool numbers =
		!prev || !same_numbers(&prev->counts, &next->counts, &prev->tokens, &next->tokens);
	bool error = !prev || !same_text(prev->error, next->error);
	bool commands = !prev || prev->commands != next->commands;
	bool any = status || numbers || error || commands || !same_parts(prev, next) ||
		   !same_rest(prev, next);
	const bool changed[VIEW_TIME_COUNT] = {
		[VIEW_TIME_STATUS] = status,
		/* While it runs the line also shows the time that has passed. */
		[VIEW_TIME_PROGRESS] =
			any || (next->state >= JOB_UPLOADING && !job_state_is_end(next->state)),
		[VIEW_TIME_ERROR] = error,
		[VIEW_TIME_COMMANDS] = commands,
		[VIEW_TIME_ANY] = any,
	};

	next->change = prev ? prev->change + any : 1;
	for (int i = 0; i < VIEW_TIME_COUNT; i++)
		next->times_ns[i] = changed[i] ? now_ns : prev->times_ns[i];
}
