/*
 * The parts of a job's attempts: tokens, what is known to exist, and what a
 * refusal does to them.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "fs/base/buf.h"
#include "fs/base/log.h"
#include "fs/job/jobs_private.h"

#define TOLD_MAX 100

/* "bf-" and 32 hex digits: within every provider's alphabet for tokens. */
int parts_make_token(char **ret, struct err *e)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT(BACKEND_TOKEN_MAX);
	unsigned char bytes[16];

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return err_errno(e, -EIO, "no random bytes for a token");
	buf_add_str(&text, "bf-");
	for (size_t i = 0; i < sizeof(bytes); i++)
		buf_addf(&text, "%02x", bytes[i]);
	*ret = buf_steal(&text);
	return *ret ? 0 : -ENOMEM;
}

int parts_add(struct job *j, uint32_t seq, uint64_t record_count, struct err *e)
{
	struct store_part *parts =
		realloc(j->parts, (j->part_count + 1) * sizeof(struct store_part));
	struct store_part *p;
	int r;

	if (!parts)
		return err_set(e, -ENOMEM, "no memory for a part");
	j->parts = parts;
	p = &parts[j->part_count];
	*p = (struct store_part)STORE_PART_INIT;
	p->job = j->number;
	p->attempt = j->row.attempt;
	p->seq = seq;
	p->phase = PART_PLANNED;
	p->record_count = record_count;
	p->created_ns = clock_wall_ns(j->jobs->o.clock);
	p->name = strdup(j->view->name);
	if (!p->name)
		return err_set(e, -ENOMEM, "no memory for a part");
	r = parts_make_token(&p->token, e);
	if (r < 0) {
		store_part_release(p);
		return r;
	}
	j->part_count++;
	return 0;
}

void parts_drop_last(struct job *j)
{
	store_part_release(&j->parts[--j->part_count]);
}

bool parts_holds_slot(const struct store_part *p)
{
	return p->phase == PART_CREATED || p->phase == PART_ENDED ||
	       (p->phase == PART_STAGED && p->state >= 0);
}

bool parts_may_exist(const struct store_part *p)
{
	return parts_holds_slot(p) || (p->phase == PART_STAGED && p->asked_ns);
}

/* Files of before there was such a time know only that it was asked for. */
int64_t parts_asked_ns(const struct store_part *p)
{
	return p->asked_ns || !parts_may_exist(p) ? p->asked_ns : p->created_ns;
}

int parts_path(const struct job *j, const struct store_part *p, char **ret)
{
	return asprintf(ret, "%s/parts/a%up%u.jsonl", j->dir, p->attempt, p->seq) < 0 ? -ENOMEM : 0;
}

void partdesc_release(struct partdesc *d)
{
	str_freep(&d->path);
	str_freep(&d->media);
	kv_release(&d->config);
}

int parts_describe(struct job *j, const struct store_part *p, struct partdesc *ret, struct err *e)
{
	int r = parts_path(j, p, &ret->path);

	if (r == 0)
		r = draft_config(j->draft, &ret->config, e);
	if (r == 0)
		r = draft_path(j->draft, DRAFT_ROLE_MEDIA, &ret->media);
	ret->part = (struct backend_part){.token = p->token,
					  .job_name = p->name ? p->name : j->view->name,
					  .model = j->row.model,
					  .config = &ret->config,
					  .input_path = ret->path,
					  .media_path = ret->media,
					  .record_count = p->record_count,
					  .attempt = p->attempt,
					  .asked_ns = parts_asked_ns(p)};
	return r;
}

bool parts_is_current(const struct job *j, const struct store_part *p)
{
	return p->attempt == j->row.attempt;
}

const char *parts_label(const struct job *j, const struct store_part *p, char ret[PARTS_LABEL_MAX])
{
	size_t of_attempt = 0;

	for (size_t i = 0; i < j->part_count; i++)
		of_attempt += j->parts[i].attempt == p->attempt;
	ret[0] = 0;
	if (of_attempt > 1)
		snprintf(ret, PARTS_LABEL_MAX, "part %u: ", p->seq);
	return ret;
}

void parts_tell(const struct job *j, bool (*wanted)(const struct store_part *p), struct buf *out)
{
	char label[PARTS_LABEL_MAX];
	size_t told = 0;

	for (size_t i = 0; i < j->part_count; i++) {
		const struct store_part *p = &j->parts[i];

		if (!parts_is_current(j, p) || !wanted(p) || !p->message || !p->message[0])
			continue;
		if (told++ < TOLD_MAX)
			buf_addf(out, "%s%s\n", parts_label(j, p, label), p->message);
	}
	if (told > TOLD_MAX)
		buf_addf(out, "and %zu more parts: see status.json\n", told - TOLD_MAX);
}

bool parts_are_over(const struct job *j)
{
	for (size_t i = 0; i < j->part_count; i++)
		if (parts_is_current(j, &j->parts[i]) && j->parts[i].phase < PART_ENDED)
			return false;
	return true;
}

void parts_drop(struct job *j)
{
	for (size_t i = 0; i < j->part_count; i++)
		if (parts_is_current(j, &j->parts[i]) && j->parts[i].phase < PART_CREATED &&
		    !parts_may_exist(&j->parts[i]))
			j->parts[i].phase = PART_DROPPED;
}

/* The input that was put for a part which will not be is of use to nobody.  After
 * that is stored: a create that a crash makes us send again must find its input. */
static void take_back(struct job *j, const struct store_part *p)
{
	CLEANUP(partdesc_release) struct partdesc d = PARTDESC_INIT;
	struct backend *b = j->jobs->o.backend;
	struct err e = ERR_INIT;
	int r;

	if (!b->ops->purge || p->how == RUN_ONDEMAND)
		return;
	r = parts_describe(j, p, &d, &e);
	if (r == 0)
		r = b->ops->purge(b, &d.part, NULL, &e);
	if (r < 0)
		log_warning("parts", "an input that is not needed stays: %s", e.text);
}

/* The job is a draft again, and its tokens are not used a second time. */
static int back_to_draft(struct job *j, const struct store_part *refused, char *words,
			 struct err *e)
{
	struct store_part *gone = j->parts;
	size_t count = j->part_count;
	struct store_job old = j->row;
	int r = job_drop_wishes(j, (struct store_wishes){.submit = true, .stop = true}, e);

	if (r < 0) {
		free(words);
		return r;
	}
	j->row.attempt = 0;
	j->row.how = RUN_BATCH;
	j->row.saved = (struct tally){0};
	j->row.submitted_ns = 0;
	j->row.error = words;
	r = job_move(j, EV_REFUSED, e);
	if (r < 0) { /* as it was: the provider is asked again */
		free(words);
		j->row = old;
		return r;
	}
	free(old.error);
	j->parts = NULL;
	j->part_count = 0;
	for (size_t i = 0; i < count; i++)
		if (gone[i].phase == PART_STAGED || &gone[i] == refused)
			take_back(j, &gone[i]);
	store_parts_free(gone, count);
	j->refused_edits = draft_edits(j->draft);
	j->refused_before = false;
	j->stop_sent = j->stop_heard = false;
	draft_set_seal(j->draft, DRAFT_OPEN);
	return 1;
}

int parts_refuse(struct job *j, struct store_part *p, struct err *e)
{
	CLEANUP(str_freep) char *words = strdup(e->text);
	bool alone = j->row.attempt == 1;
	int r;

	if (!words)
		return -ENOMEM;
	job_log(j, "refused: %s", words);
	for (size_t i = 0; i < j->part_count; i++)
		alone = alone && (&j->parts[i] == p || !parts_may_exist(&j->parts[i]));
	if (alone)
		return back_to_draft(j, p, STEAL(&words), e);
	p->phase = PART_DROPPED;
	p->state = JOB_FAILED;
	free(p->message);
	p->message = STEAL(&words);
	r = job_save_part(j, p, e);
	if (r == 0)
		take_back(j, p);
	return r;
}
