/*
 * What to say of an end: which of the parts' ends is the most telling, why records
 * are missing, and the cause and cure for JOB/error.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend/envelope.h"
#include "fs/job/jobs_private.h"

#define WORDS_SHOWN_MAX 1000 /* of a record's error in JOB/error */
#define CODE_MAX	1024 /* a longer one is known to nobody */

enum job_state endwords_worst(const struct job *j, uint32_t attempt, bool *ret_dropped)
{
	enum job_state worst = JOB_COMPLETED;

	*ret_dropped = false;
	for (size_t i = 0; i < j->part_count; i++) {
		const struct store_part *p = &j->parts[i];

		if (p->attempt != attempt)
			continue;
		/* One that was refused says so; the others were stopped. */
		if (p->phase == PART_DROPPED && p->state < 0)
			*ret_dropped = true;
		else if (p->state > (int)worst)
			worst = (enum job_state)p->state;
	}
	return worst;
}

/* Why a record of that part may be missing: which of the sentences below; 0: none is. */
static unsigned reason_of(const struct store_part *p)
{
	if (p->phase == PART_DROPPED && p->state < 0)
		return 1;
	switch (p->state) {
	case JOB_STOPPED:
		return 1;
	case JOB_EXPIRED:
	case JOB_PARTIALLY_COMPLETED:
		return 2;
	case JOB_FAILED:
		return 4;
	default:
		return 0;
	}
}

/* Did the parts of the attempt end in ways so different that no one sentence is of all? */
static bool is_mixed(const struct job *j, uint32_t attempt)
{
	unsigned reasons = 0;

	for (size_t i = 0; i < j->part_count; i++)
		if (j->parts[i].attempt == attempt)
			reasons |= reason_of(&j->parts[i]);
	return (reasons & (reasons - 1)) != 0;
}

const char *endwords_missing(const struct job *j, uint32_t attempt)
{
	bool dropped;
	enum job_state worst = endwords_worst(j, attempt, &dropped);

	for (size_t i = 0; i < j->part_count; i++)
		if (j->parts[i].phase == PART_PURGED)
			return "this record has no result here, and the provider's were purged";
	if (is_mixed(j, attempt))
		return "its part of the job ended without a result for this record: status.json "
		       "says how";
	if (dropped || worst == JOB_STOPPED)
		return "the job was stopped before this record was run";
	if (worst == JOB_EXPIRED || worst == JOB_PARTIALLY_COMPLETED)
		return "the time ran out before this record was run";
	return "the job ended without a result for this record";
}

/* Cause and cure of a record's error, where the backend knows them. */
static void add_advice(const struct job *j, const struct envelope *v, struct buf *out)
{
	CLEANUP(buf_release) struct buf code = BUF_INIT(CODE_MAX);
	CLEANUP(buf_release) struct buf words = BUF_INIT(1024 * 1024);
	struct backend *b = j->jobs->o.backend;

	envelope_code(v, &code);
	envelope_message(v, &words);
	if (b->ops->advise && code.size > 0 && words.size > 0 && buf_error(&code) == 0 &&
	    buf_error(&words) == 0)
		b->ops->advise(b, j->row.model, code.data, words.data, out);
	if (buf_error(out) < 0)
		buf_clear(out);
}

/* The first failed record's words, as far as they fit: what a Failed job is
 * most likely about. */
static void add_first_error(const struct job *j, struct results *res, struct buf *out)
{
	CLEANUP(buf_release) struct buf words = BUF_INIT(1024 * 1024);
	CLEANUP(buf_release) struct buf advice = BUF_INIT(16 * 1024);
	CLEANUP(results_unpinp) struct results *pinned = NULL;
	uint64_t size = 0;
	const char *bytes, *end;
	struct envelope v;

	if (results_pin(res, NULL) < 0)
		return;
	pinned = res;
	bytes = results_bytes(res, RESULTS_ERRORS, &size);
	end = size ? memchr(bytes, '\n', size) : NULL;
	if (!end || envelope_parse(bytes, (size_t)(end - bytes), &v) < 0)
		return;
	add_advice(j, &v, &advice);
	envelope_code(&v, &words);
	buf_add_str(&words, ": ");
	envelope_message(&v, &words);
	if (buf_error(&words) < 0) {
		buf_clear(&words);
		buf_add_str(&words, "more than fits here");
	}
	if (words.size > WORDS_SHOWN_MAX) {
		words.size = WORDS_SHOWN_MAX;
		while (((unsigned char)words.data[words.size] & 0xc0) == 0x80)
			words.size--; /* not in the middle of a character */
		buf_add_str(&words, "...");
	}
	buf_add_str(out, "no record has a good result; the first one says: ");
	buf_add(out, words.data, words.size);
	if (advice.size > 0)
		buf_addf(
			out,
			"; %s; see errors.jsonl: `echo retry > ctl` runs them again as they are, and "
			"retry.jsonl is there to be mended for a new job\n",
			advice.data);
	else
		buf_add_str(out, "; see errors.jsonl, and `echo retry > ctl` runs them again\n");
}

static bool any(const struct store_part *p)
{
	(void)p;
	return true;
}

/* They may be the answers that are missing: paid for, under other names. */
static void add_strange(uint64_t lines, struct buf *out)
{
	if (lines > 0)
		buf_addf(
			out,
			"%llu result lines belong to no record of input.jsonl, and may be answers that "
			"are paid for: look at them where the provider has them before a retry, which "
			"pays again\n",
			(unsigned long long)lines);
}

int endwords_describe(const struct job *j, enum job_state end, uint64_t strange_lines,
		      struct results *res, char **ret)
{
	CLEANUP(buf_release) struct buf words = BUF_INIT(1024 * 1024);

	*ret = NULL;
	if (end == JOB_COMPLETED)
		return 0;
	add_strange(strange_lines, &words);
	parts_tell(j, any, &words);
	if (end == JOB_FAILED)
		add_first_error(j, res, &words);
	if (words.size == 0)
		return buf_error(&words);
	*ret = buf_steal(&words);
	return *ret ? 0 : -ENOMEM;
}
