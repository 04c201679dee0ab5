#include "cache/storerow.h"

#include <errno.h>
#include <string.h>

/*
 * Columns are bound and read in the order of the lists in store.c, which is
 * the order of the lines here.
 */

/* --- rows --- */

void store_job_release(struct store_job *j)
{
	free(j->name);
	free(j->model);
	free(j->error);
	*j = (struct store_job)STORE_JOB_INIT;
}

void store_part_release(struct store_part *p)
{
	free(p->token);
	free(p->name);
	free(p->remote);
	free(p->raw);
	free(p->message);
	*p = (struct store_part)STORE_PART_INIT;
}

void store_parts_free(struct store_part *parts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		store_part_release(&parts[i]);
	free(parts);
}

static int copy_string(char **to, const char *from)
{
	*to = from ? strdup(from) : NULL;
	return from && !*to ? -ENOMEM : 0;
}

int store_job_copy(struct store_job *to, const struct store_job *from)
{
	struct store_job j = *from;

	j.name = j.model = j.error = NULL;
	if (copy_string(&j.name, from->name) < 0 || copy_string(&j.model, from->model) < 0 ||
	    copy_string(&j.error, from->error) < 0) {
		store_job_release(&j);
		return -ENOMEM;
	}
	*to = j;
	return 0;
}

/* --- binding and reading --- */

void storerow_put_int(struct storerow *c, int64_t v)
{
	c->failed |= sqlite3_bind_int64(c->s, ++c->at, v) != SQLITE_OK;
}

/* SQLite's integers have a sign; the bits are the same both ways. */
void storerow_put_u64(struct storerow *c, uint64_t v)
{
	storerow_put_int(c, (int64_t)v);
}

void storerow_put_text(struct storerow *c, const char *v)
{
	if (v)
		c->failed |= sqlite3_bind_text(c->s, ++c->at, v, -1, SQLITE_STATIC) != SQLITE_OK;
	else
		c->failed |= sqlite3_bind_null(c->s, ++c->at) != SQLITE_OK;
}

static void put_sums(struct storerow *c, const struct counts *counts, const struct tokens *tokens)
{
	storerow_put_u64(c, counts->total);
	storerow_put_u64(c, counts->good);
	storerow_put_u64(c, counts->failed);
	storerow_put_u64(c, tokens->input);
	storerow_put_u64(c, tokens->output);
}

static void put_tally(struct storerow *c, const struct tally *t)
{
	storerow_put_u64(c, t->records);
	storerow_put_u64(c, t->tokens.input);
	storerow_put_u64(c, t->tokens.output);
}

static int64_t take_int(struct storerow *c)
{
	return sqlite3_column_int64(c->s, c->at++);
}

static uint64_t take_u64(struct storerow *c)
{
	return (uint64_t)take_int(c);
}

static char *take_text(struct storerow *c)
{
	int column = c->at++;
	const unsigned char *text;
	char *copy;

	if (sqlite3_column_type(c->s, column) == SQLITE_NULL)
		return NULL;
	text = sqlite3_column_text(c->s, column);
	copy = text ? strdup((const char *)text) : NULL;
	c->failed |= !copy;
	return copy;
}

static void take_sums(struct storerow *c, struct counts *counts, struct tokens *tokens)
{
	counts->total = take_u64(c);
	counts->good = take_u64(c);
	counts->failed = take_u64(c);
	tokens->input = take_u64(c);
	tokens->output = take_u64(c);
}

static void take_tally(struct storerow *c, struct tally *t)
{
	t->records = take_u64(c);
	t->tokens.input = take_u64(c);
	t->tokens.output = take_u64(c);
}

void storerow_put_job(struct storerow *c, const struct store_job *j)
{
	storerow_put_text(c, j->name);
	storerow_put_int(c, j->held);
	storerow_put_int(c, j->submit_wanted);
	storerow_put_int(c, j->stop_wanted);
	storerow_put_int(c, j->retry_wanted);
	storerow_put_int(c, j->fetch_wanted);
	storerow_put_int(c, j->purge_wanted);
	storerow_put_int(c, j->retry_how);
	storerow_put_int(c, j->sample_wanted);
	storerow_put_int(c, j->phase);
	storerow_put_int(c, j->end_state);
	storerow_put_text(c, j->model);
	storerow_put_text(c, j->error);
	storerow_put_int(c, j->attempt);
	storerow_put_int(c, j->generation);
	storerow_put_u64(c, j->record_count);
	storerow_put_u64(c, j->input_size_bytes);
	put_sums(c, &j->counts, &j->tokens);
	storerow_put_int(c, j->created_ns);
	storerow_put_int(c, j->submitted_ns);
	storerow_put_int(c, j->ended_ns);
	for (int i = 0; i < STORE_TIMES; i++)
		storerow_put_int(c, j->times_ns[i]);
	storerow_put_int(c, j->names_ns);
	storerow_put_int(c, j->elsewhere);
	storerow_put_u64(c, j->estimate.input);
	storerow_put_u64(c, j->estimate.output);
	storerow_put_int(c, j->how);
	storerow_put_int(c, j->retryable_only);
	storerow_put_int(c, j->auto_retries);
	put_tally(c, &j->saved);
	put_tally(c, &j->padding);
	put_tally(c, &j->sample);
}

int storerow_take_job(sqlite3_stmt *s, struct store_job *j)
{
	struct storerow c = {.s = s};

	*j = (struct store_job)STORE_JOB_INIT;
	j->number = take_u64(&c);
	j->rev = (uint32_t)take_int(&c);
	j->name = take_text(&c);
	j->held = take_int(&c);
	j->submit_wanted = take_int(&c);
	j->stop_wanted = take_int(&c);
	j->retry_wanted = take_int(&c);
	j->fetch_wanted = take_int(&c);
	j->purge_wanted = take_int(&c);
	j->retry_how = (int)take_int(&c);
	j->sample_wanted = (uint32_t)take_int(&c);
	j->phase = (int)take_int(&c);
	j->end_state = (int)take_int(&c);
	j->model = take_text(&c);
	j->error = take_text(&c);
	j->attempt = (uint32_t)take_int(&c);
	j->generation = (uint32_t)take_int(&c);
	j->record_count = take_u64(&c);
	j->input_size_bytes = take_u64(&c);
	take_sums(&c, &j->counts, &j->tokens);
	j->created_ns = take_int(&c);
	j->submitted_ns = take_int(&c);
	j->ended_ns = take_int(&c);
	for (int i = 0; i < STORE_TIMES; i++)
		j->times_ns[i] = take_int(&c);
	j->names_ns = take_int(&c);
	j->elsewhere = take_int(&c);
	j->estimate.input = take_u64(&c);
	j->estimate.output = take_u64(&c);
	j->how = (int)take_int(&c);
	j->retryable_only = take_int(&c);
	j->auto_retries = (uint32_t)take_int(&c);
	take_tally(&c, &j->saved);
	take_tally(&c, &j->padding);
	take_tally(&c, &j->sample);
	if (c.failed)
		store_job_release(j);
	return c.failed ? -ENOMEM : 0;
}

void storerow_put_part(struct storerow *c, uint64_t job, const struct store_part *p)
{
	storerow_put_u64(c, job);
	storerow_put_int(c, p->attempt);
	storerow_put_int(c, p->seq);
	storerow_put_int(c, p->phase);
	storerow_put_text(c, p->token);
	storerow_put_text(c, p->remote);
	storerow_put_u64(c, p->first);
	storerow_put_u64(c, p->record_count);
	storerow_put_u64(c, p->size_bytes);
	storerow_put_int(c, p->state);
	storerow_put_text(c, p->raw);
	storerow_put_text(c, p->message);
	put_sums(c, &p->counts, &p->tokens);
	storerow_put_int(c, p->created_ns);
	storerow_put_int(c, p->ended_ns);
	storerow_put_text(c, p->name);
	storerow_put_int(c, p->asked_ns);
	storerow_put_int(c, p->expires_ns);
	storerow_put_int(c, p->how);
	storerow_put_u64(c, p->padding);
}

int storerow_take_part(sqlite3_stmt *s, struct store_part *p)
{
	struct storerow c = {.s = s};

	*p = (struct store_part)STORE_PART_INIT;
	p->job = take_u64(&c);
	p->attempt = (uint32_t)take_int(&c);
	p->seq = (uint32_t)take_int(&c);
	p->phase = (int)take_int(&c);
	p->token = take_text(&c);
	p->remote = take_text(&c);
	p->first = take_u64(&c);
	p->record_count = take_u64(&c);
	p->size_bytes = take_u64(&c);
	p->state = (int)take_int(&c);
	p->raw = take_text(&c);
	p->message = take_text(&c);
	take_sums(&c, &p->counts, &p->tokens);
	p->created_ns = take_int(&c);
	p->ended_ns = take_int(&c);
	p->name = take_text(&c);
	p->asked_ns = take_int(&c);
	p->expires_ns = take_int(&c);
	p->how = (int)take_int(&c);
	p->padding = take_u64(&c);
	if (c.failed)
		store_part_release(p);
	return c.failed ? -ENOMEM : 0;
}
