#include "fs/render.h"

#include <string.h>

#include "fs/base/clock.h"
#include "fs/job/cost.h"
#include "fs/job/machine.h"

/* What a person reads, and status.json, whose members are documented in
 * docs/semantics.md and only ever grow in number. */

#define BAR_CELLS 20

static void add_hms(struct buf *out, int64_t ns)
{
	int64_t s = ns > 0 ? ns / NS_PER_S : 0;

	buf_addf(out, "%02lld:%02lld:%02lld", (long long)(s / 3600), (long long)(s / 60 % 60),
		 (long long)(s % 60));
}

static void render_bar(const struct view *v, struct buf *out)
{
	uint64_t total = v->counts.total, done = v->counts.good + v->counts.failed;
	uint64_t percent;
	unsigned cells;

	if (done > total)
		done = total;
	percent = total ? done * 100 / total : 0;
	cells = (unsigned)(percent * BAR_CELLS / 100);
	buf_add_char(out, '[');
	for (unsigned i = 0; i < BAR_CELLS; i++)
		buf_add_char(out, i < cells ? '#' : '-');
	buf_addf(out, "] %3llu%%  %llu/%llu records  %llu failed  ", (unsigned long long)percent,
		 (unsigned long long)done, (unsigned long long)total,
		 (unsigned long long)v->counts.failed);
}

/* Time left at the pace of this attempt; only once there is one to speak of. */
static void render_eta(const struct view *v, struct buf *out)
{
	uint64_t done = v->attempt_counts.good + v->attempt_counts.failed;
	int64_t passed = v->shown_ns - v->attempt_ns;

	if (done == 0 || v->attempt_left == 0 || passed < NS_PER_S)
		return;
	buf_add_str(out, "  about ");
	add_hms(out, (int64_t)((double)passed / (double)done * (double)v->attempt_left));
	buf_add_str(out, " left");
}

/* The provider gives it up then. */
static void render_expiry(const struct view *v, struct buf *out)
{
	int64_t left = v->expires_ns - v->shown_ns;

	if (!v->expires_ns)
		return;
	buf_add_str(out, "  expires in ");
	add_hms(out, left);
	if (v->expiring > 1)
		buf_addf(out, " (%u parts within the hour)", v->expiring);
}

static void render_progress(const struct view *v, struct buf *out)
{
	char when[CLOCK_TEXT_MAX];

	switch (v->state) {
	case JOB_DRAFT:
		buf_add_str(out, "Draft: copy input.jsonl here, then write a model's id to model");
		break;
	case JOB_INVALID:
		buf_add_str(out, "Invalid: see error; mend it in place and it goes on");
		break;
	case JOB_HELD:
		if (v->sampling.total > 0)
			buf_addf(out, "Held: a sample runs, %llu of %llu records answered",
				 (unsigned long long)(v->sampling.good + v->sampling.failed),
				 (unsigned long long)v->sampling.total);
		else
			buf_addf(out, "Held: %llu records; `echo submit > ctl` submits them",
				 (unsigned long long)v->record_count);
		break;
	case JOB_SETTLING:
		buf_addf(out, "Settling: %llu records will be submitted at %s",
			 (unsigned long long)v->record_count, clock_format_utc(v->due_ns, when));
		break;
	case JOB_UPLOADING:
	case JOB_QUEUED:
	case JOB_SUBMITTED:
	case JOB_VALIDATING:
	case JOB_SCHEDULED:
	case JOB_IN_PROGRESS:
	case JOB_STOPPING:
	case JOB_FETCHING:
	case JOB_COMPLETED:
	case JOB_COMPLETED_WITH_ERRORS:
	case JOB_PARTIALLY_COMPLETED:
	case JOB_FAILED:
	case JOB_STOPPED:
	case JOB_EXPIRED:
	case JOB_STATE_COUNT:
		render_bar(v, out);
		add_hms(out, (v->ended_ns ? v->ended_ns : v->shown_ns) - v->submitted_ns);
		buf_add_str(out, " elapsed");
		if (!job_state_is_end(v->state)) {
			render_eta(v, out);
			render_expiry(v, out);
		}
		if (v->commands & 1u << COMMAND_FETCH)
			buf_add_str(out, "  not here: `echo fetch > ctl`");
		break;
	}
	buf_add_char(out, '\n');
}

static void render_usd(const struct view *v, const struct cost *c, struct buf *out)
{
	if (!c->priced) {
		buf_addf(out, "batch_usd      unknown\non_demand_usd  unknown\n");
		buf_addf(out, "price          none known for %s; give one with -o prices=FILE\n",
			 v->model[0] ? v->model : "a model that is not chosen yet");
		return;
	}
	buf_addf(out, "batch_usd      %.6f\non_demand_usd  %.6f\n", c->batch_usd, c->demand_usd);
	buf_addf(out, "total_usd      %.6f\n", c->total_usd);
	buf_addf(out,
		 "price          %g in, %g out (on demand: %g in, %g out) USD per million tokens\n",
		 v->price.batch_in, v->price.batch_out, v->price.demand_in, v->price.demand_out);
	buf_addf(out, "source         %s\n", v->price.source);
}

/* "sample         3 records, 60 tokens in, 15 out, 0.000123 USD". */
static void render_tally(const char *name, const struct tally *t, const struct cost *c, double usd,
			 struct buf *out)
{
	if (t->records == 0)
		return;
	buf_addf(out, "%-14s %llu records, %llu tokens in, %llu out", name,
		 (unsigned long long)t->records, (unsigned long long)t->tokens.input,
		 (unsigned long long)t->tokens.output);
	if (c->priced && !c->free)
		buf_addf(out, ", %.6f USD", usd);
	buf_add_char(out, '\n');
}

static void render_tallies(const struct view *v, const struct cost *c, struct buf *out)
{
	if (v->demand.input > 0 || v->demand.output > 0)
		buf_addf(out, "on_demand      %llu tokens in, %llu out\n",
			 (unsigned long long)v->demand.input, (unsigned long long)v->demand.output);
	render_tally("padding", &v->padding, c, c->padding_usd, out);
	render_tally("saved", &v->saved, c, c->saved_usd, out);
	render_tally("sample", &v->sample, c, c->sample_usd, out);
}

static void render_cost(const struct view *v, struct buf *out)
{
	struct cost c = cost_of(v);

	if (c.known) {
		buf_addf(out, "input_tokens   %llu\n", (unsigned long long)c.tokens.input);
		buf_addf(out, "output_tokens  %llu\n", (unsigned long long)c.tokens.output);
	} else {
		buf_add_str(out, "input_tokens   unknown\noutput_tokens  unknown\n");
	}
	render_tallies(v, &c, out);
	if (c.free) {
		buf_add_str(out, "money          none: local: runs on this machine\n");
		return;
	}
	buf_addf(out, "estimate       %s\n",
		 c.estimated ? "yes: from the input, at most" : "no: as counted");
	render_usd(v, &c, out);
}

static void render_commands(const struct view *v, struct buf *out)
{
	for (int c = 0; c < COMMAND_COUNT; c++)
		if (v->commands & 1u << c)
			buf_addf(out, "%s\n", command_name((enum command)c));
}

/* --- status.json --- */

static void add_string(struct buf *out, const char *indent, const char *key, const char *value)
{
	buf_addf(out, "%s\"%s\": ", indent, key);
	if (value)
		buf_add_json(out, value, strlen(value));
	else
		buf_add_str(out, "null");
	buf_add_str(out, ",\n");
}

static void add_time(struct buf *out, const char *indent, const char *key, int64_t ns)
{
	char when[CLOCK_TEXT_MAX];

	add_string(out, indent, key, ns ? clock_format_utc(ns, when) : NULL);
}

static void add_counts(struct buf *out, const struct counts *c, const struct tokens *t)
{
	uint64_t done = c->good + c->failed;

	buf_addf(out,
		 "\"records\": {\"total\": %llu, \"good\": %llu, \"failed\": %llu, "
		 "\"remaining\": %llu}, ",
		 (unsigned long long)c->total, (unsigned long long)c->good,
		 (unsigned long long)c->failed,
		 (unsigned long long)(c->total > done ? c->total - done : 0));
	buf_addf(out, "\"tokens\": {\"input\": %llu, \"output\": %llu}",
		 (unsigned long long)t->input, (unsigned long long)t->output);
}

static void add_cost(struct buf *out, const struct view *v)
{
	struct cost c = cost_of(v);

	if (c.free) {
		buf_add_str(out, "  \"cost\": null,\n");
		return;
	}
	buf_addf(out, "  \"cost\": {\"estimated\": %s, ", c.estimated ? "true" : "false");
	if (c.priced && c.known)
		buf_addf(out, "\"batch_usd\": %.6f, \"on_demand_usd\": %.6f, \"total_usd\": %.6f, ",
			 c.batch_usd, c.demand_usd, c.total_usd);
	else
		buf_add_str(out,
			    "\"batch_usd\": null, \"on_demand_usd\": null, \"total_usd\": null, ");
	buf_addf(out, "\"tokens\": {\"input\": %llu, \"output\": %llu}},\n",
		 (unsigned long long)c.tokens.input, (unsigned long long)c.tokens.output);
}

static void add_tally(struct buf *out, const char *key, const struct tally *t)
{
	buf_addf(
		out,
		"  \"%s\": {\"records\": %llu, \"tokens\": {\"input\": %llu, \"output\": %llu}},\n",
		key, (unsigned long long)t->records, (unsigned long long)t->tokens.input,
		(unsigned long long)t->tokens.output);
}

static const char *how_name(int how)
{
	return how == RUN_ONDEMAND ? "ondemand" : how == RUN_PADDED ? "padded" : "batch";
}

/* Was that attempt made by retry_max?  It is known how many were, and for a while of
 * the newest. */
static const char *automatic(const struct view *v, uint32_t attempt)
{
	uint32_t between;

	if (attempt == 1 || v->auto_retries == 0)
		return "false";
	if (v->auto_retries + 1 >= v->attempt)
		return "true";
	if (v->automatic < 0)
		return "null";
	if (attempt == v->attempt)
		return v->automatic ? "true" : "false";
	between = v->auto_retries - (v->automatic ? 1 : 0);
	if (between == 0)
		return "false";
	return between + 2 >= v->attempt ? "true" : "null";
}

/* One attempt: its parts, which stand together, from i on.  Returns what is after
 * them. */
static size_t add_attempt(struct buf *out, const struct view *v, size_t i)
{
	const uint32_t attempt = v->parts[i].attempt;
	bool over = attempt != v->attempt || job_state_is_end(v->state);
	const int how = v->parts[i].how;
	struct counts c = {0};

	for (; i < v->part_count && v->parts[i].attempt == attempt; i++) {
		const struct view_part *p = &v->parts[i];

		c.total += p->record_count;
		c.good += p->counts.good;
		c.failed += p->counts.failed;
	}
	buf_addf(out,
		 "    {\"attempt\": %u, \"how\": \"%s\", \"automatic\": %s, \"records\": %llu, "
		 "\"good\": %llu, \"failed\": %llu, \"missing\": ",
		 attempt, how_name(how), automatic(v, attempt), (unsigned long long)c.total,
		 (unsigned long long)c.good, (unsigned long long)c.failed);
	if (over)
		buf_addf(out, "%llu}", (unsigned long long)(c.total - c.good - c.failed));
	else
		buf_add_str(out, "null}");
	return i;
}

static void add_attempts(struct buf *out, const struct view *v)
{
	buf_add_str(out, "  \"attempts\": [");
	for (size_t i = 0; i < v->part_count;) {
		buf_add_str(out, i ? ",\n" : "\n");
		i = add_attempt(out, v, i);
	}
	buf_add_str(out, v->part_count ? "\n  ],\n" : "],\n");
}

static void add_part(struct buf *out, const struct view_part *p)
{
	struct counts c = p->counts;

	c.total = p->record_count;
	buf_addf(out, "    {\"attempt\": %u, \"part\": %u, \"state\": \"%s\",\n", p->attempt,
		 p->seq, job_state_name(p->state));
	buf_addf(out, "     \"how\": \"%s\", \"padding\": %llu,\n", how_name(p->how),
		 (unsigned long long)p->padding);
	add_string(out, "     ", "provider_status", p->raw && p->raw[0] ? p->raw : NULL);
	add_string(out, "     ", "provider_id", p->remote);
	add_string(out, "     ", "token", p->token);
	add_string(out, "     ", "message", p->message && p->message[0] ? p->message : NULL);
	add_time(out, "     ", "created", p->created_ns);
	add_time(out, "     ", "ended", p->ended_ns);
	add_time(out, "     ", "expires", p->expires_ns);
	if (p->more)
		buf_addf(out, "     \"provider\": {%s},\n", p->more);
	buf_add_str(out, "     ");
	add_counts(out, &c, &p->tokens);
	buf_add_char(out, '}');
}

static void render_json(const struct view *v, struct buf *out)
{
	buf_add_str(out, "{\n");
	add_string(out, "  ", "name", v->name);
	buf_addf(out, "  \"number\": %llu,\n", (unsigned long long)v->number);
	add_string(out, "  ", "status", view_status(v));
	buf_addf(out, "  \"ended\": %s,\n", job_state_is_end(v->state) ? "true" : "false");
	buf_addf(out, "  \"made_elsewhere\": %s,\n", v->elsewhere ? "true" : "false");
	add_string(out, "  ", "model", v->model[0] ? v->model : NULL);
	add_string(out, "  ", "error", v->error[0] ? v->error : NULL);
	buf_addf(out, "  \"input_bytes\": %llu,\n", (unsigned long long)v->input_size_bytes);
	buf_add_str(out, "  ");
	add_counts(out, &v->counts, &v->tokens);
	buf_add_str(out, ",\n");
	add_cost(out, v);
	add_tally(out, "padding", &v->padding);
	add_tally(out, "saved", &v->saved);
	add_tally(out, "sample", &v->sample);
	buf_addf(out, "  \"attempt\": %u,\n  \"generation\": %u,\n", v->attempt, v->generation);
	add_time(out, "  ", "created_at", v->created_ns);
	add_time(out, "  ", "submitted_at", v->submitted_ns);
	add_time(out, "  ", "ended_at", v->ended_ns);
	add_time(out, "  ", "changed_at", v->times_ns[VIEW_TIME_STATUS]);
	add_attempts(out, v);
	buf_add_str(out, "  \"parts\": [");
	for (size_t i = 0; i < v->part_count; i++) {
		buf_add_str(out, i ? ",\n" : "\n");
		add_part(out, &v->parts[i]);
	}
	buf_add_str(out, v->part_count ? "\n  ]\n}\n" : "]\n}\n");
}

int render_view(const struct view *v, enum kind k, struct buf *out)
{
	buf_init(out, RENDER_MAX);
	switch ((int)k) {
	case KIND_STATUS:
		buf_addf(out, "%s\n", view_status(v));
		break;
	case KIND_STATUS_JSON:
		render_json(v, out);
		break;
	case KIND_PROGRESS:
		render_progress(v, out);
		break;
	case KIND_ERROR:
		buf_add_str(out, v->error);
		if (out->size > 0 && out->data[out->size - 1] != '\n')
			buf_add_char(out, '\n');
		break;
	case KIND_COST:
		render_cost(v, out);
		break;
	case KIND_CTL:
		render_commands(v, out);
		break;
	default:
		return -EINVAL;
	}
	return buf_error(out);
}
