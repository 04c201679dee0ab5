/*
 * The end of an attempt: results are fetched from every part of every attempt,
 * joined to the input, put on disk, and only then is an end shown.  However
 * the job ended, what was paid for is collected.
 *
 * A generation that is found missing or damaged later is made again from the
 * same parts, with the same number.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "backend/envelope.h"
#include "cache/dirs.h"
#include "fs/base/log.h"
#include "fs/job/collect.h"
#include "fs/job/jobs_private.h"

#define PATHS_MAX	4096
#define WORDS_SHOWN_MAX 1000 /* of a record's error in JOB/error */
#define CODE_MAX	1024 /* a longer one is known to nobody */

struct paths {
	char *paths[PATHS_MAX]; /* owned */
	size_t count;
};

static void paths_release(struct paths *p)
{
	for (size_t i = 0; i < p->count; i++)
		free(p->paths[i]);
}

static int cache_path(const struct job *j, const char *leaf, char **ret)
{
	return asprintf(ret, "%s/jobs/%llu/%s", j->jobs->cache_dir, (unsigned long long)j->number,
			leaf) < 0
		       ? -ENOMEM
		       : 0;
}

static int generation_path(const struct job *j, uint32_t generation, char **ret)
{
	char leaf[24];

	snprintf(leaf, sizeof(leaf), "g%u", generation);
	return cache_path(j, leaf, ret);
}

/* Where a part's files come to lie. */
static int part_path(const struct job *j, const struct store_part *p, char **ret)
{
	char leaf[48];

	snprintf(leaf, sizeof(leaf), "fetched-a%up%u", p->attempt, p->seq);
	return cache_path(j, leaf, ret);
}

static int drop_part(const struct job *j, const struct store_part *p, struct err *e)
{
	CLEANUP(str_freep) char *dir = NULL;
	int r = part_path(j, p, &dir);

	return r < 0 ? r : dirs_remove(dir, e);
}

static int fetch_part(struct job *j, struct store_part *p, struct paths *to, struct err *e)
{
	CLEANUP(backend_files_release) struct backend_files files = {.count = 0};
	CLEANUP(str_freep) char *dir = NULL;
	struct backend *b = j->jobs->o.backend;
	int r = part_path(j, p, &dir);

	if (r == 0)
		r = drop_part(j, p, e); /* of an earlier try: the provider has them still */
	if (r == 0)
		r = b->ops->fetch(b, p->remote, dir, &files, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < files.count; i++) {
		if (to->count == PATHS_MAX)
			return err_set(e, -E2BIG, "more than %d result files", PATHS_MAX);
		to->paths[to->count++] = STEAL(&files.paths[i]);
	}
	if (files.told)
		job_log(j, "counts of attempt %u as told: %s", p->attempt, files.told);
	/* Answers may lack a count that the provider has. */
	if (files.has_tokens)
		p->tokens = files.tokens;
	return 0;
}

/* Of the results that are there already: what earlier attempts brought is in
 * them, and need not be fetched a second time, nor be there any more. */
static int add_results_before(struct job *j, struct paths *to)
{
	CLEANUP(str_freep) char *dir = NULL;
	int r = generation_path(j, j->row.generation, &dir);

	if (r == 0 && asprintf(&to->paths[0], "%s/output.jsonl", dir) < 0)
		r = -ENOMEM;
	if (r == 0)
		to->count = 1;
	return r;
}

/* What was downloaded is in the results now; what a backend keeps is its own. */
static void drop_downloads(const struct job *j, const struct paths *paths)
{
	CLEANUP(str_freep) char *prefix = NULL;

	if (cache_path(j, "fetched-", &prefix) < 0)
		return;
	for (size_t i = 0; i < paths->count; i++)
		if (strncmp(paths->paths[i], prefix, strlen(prefix)) == 0 &&
		    unlink(paths->paths[i]) < 0 && errno != ENOENT)
			log_warning("finish", "cannot delete %s", paths->paths[i]);
}

/* The most telling end among the parts of an attempt. */
static enum job_state worst_end(const struct job *j, uint32_t attempt, bool *ret_dropped)
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

static const char *missing_reason(const struct job *j, enum job_state worst, bool dropped)
{
	for (size_t i = 0; i < j->part_count; i++)
		if (j->parts[i].phase == PART_PURGED)
			return "this record has no result here, and the provider's were purged";
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

/* *ret: for JOB/error, the caller's; NULL: nothing to say. */
static int describe_end(const struct job *j, enum job_state end, struct results *res, char **ret)
{
	CLEANUP(buf_release) struct buf words = BUF_INIT(1024 * 1024);

	*ret = NULL;
	if (end == JOB_COMPLETED)
		return 0;
	for (size_t i = 0; i < j->part_count; i++)
		if (parts_is_current(j, &j->parts[i]) && j->parts[i].message &&
		    j->parts[i].message[0])
			buf_addf(&words, "%s\n", j->parts[i].message);
	if (end == JOB_FAILED)
		add_first_error(j, res, &words);
	if (words.size == 0)
		return buf_error(&words);
	*ret = buf_steal(&words);
	return *ret ? 0 : -ENOMEM;
}

/* What waiting alone does not mend: gone, denied, no room here. */
static bool is_lasting(int r)
{
	return r == -ENOENT || r == -EACCES || r == -ENOSPC || r == -EDQUOT;
}

/* Is a stop one that was asked for knowing of this failure?  That of a job that
 * ran is not, and must not cost its results. */
static int heed_stop(struct job *j, int failure, bool *ret_give_up, struct err *e)
{
	bool told = j->trouble_count > 0;

	*ret_give_up = job_wishes(j).stop && (told || failure == -ENOENT);
	if (!job_wishes(j).stop || *ret_give_up)
		return 0;
	return job_drop_wishes(j, (struct store_wishes){.stop = true}, e);
}

/* Whether it is waited for what cannot be had is for the user to say: it may be
 * paid for, and a wrong account or policy can be mended. */
static int fetch_or_give_up(struct job *j, struct store_part *p, struct paths *to, struct err *e)
{
	struct err why = ERR_INIT;
	int failure = fetch_part(j, p, to, &why), r;
	bool give_up = false;

	if (failure >= 0)
		return 0;
	if (!is_lasting(failure) || elsewhere_is_away(j))
		return err_set(e, failure, "%s", why.text);
	r = heed_stop(j, failure, &give_up, e);
	if (r < 0)
		return r;
	if (!give_up)
		return err_set(e, failure, "%.800s; `echo stop > ctl` ends the job without them",
			       why.text);
	job_log(j, "results of attempt %u are given up: %s", p->attempt, why.text);
	return drop_part(j, p, e);
}

/* Can the results that are shown be read? */
static bool are_whole(struct job *j)
{
	if (!j->results || results_pin(j->results, NULL) < 0)
		return false;
	results_unpin(j->results);
	return true;
}

static int fetch_parts(struct job *j, uint32_t last_attempt, struct paths *ret, struct err *e)
{
	bool fresh = j->row.ended_ns == 0 && last_attempt == j->row.attempt && are_whole(j);
	int r = fresh ? add_results_before(j, ret) : 0;

	/* In order of attempts: of two failures the later one is the news. */
	for (size_t i = 0; i < j->part_count && r == 0; i++)
		if (j->parts[i].remote && j->parts[i].phase != PART_PURGED &&
		    j->parts[i].attempt <= last_attempt &&
		    (!fresh || j->parts[i].attempt == last_attempt))
			r = fetch_or_give_up(j, &j->parts[i], ret, e);
	return r;
}

/* Makes a generation out of the attempts up to that one. */
static int collect_all(struct job *j, uint32_t generation, uint32_t last_attempt,
		       struct collect_summary *ret_sum, struct results **ret, struct err *e)
{
	CLEANUP(paths_release) struct paths paths = {.count = 0};
	CLEANUP(str_freep) char *input = NULL;
	CLEANUP(str_freep) char *dir = NULL;
	CLEANUP(str_freep) char *job_dir = NULL;
	bool dropped;
	enum job_state worst = worst_end(j, last_attempt, &dropped);
	struct collect_request q = {.scratch_dir = j->jobs->scratch_dir,
				    .model = j->row.model,
				    .join_by_input = j->row.elsewhere,
				    .missing_reason = missing_reason(j, worst, dropped),
				    .cancel = &j->jobs->stopping};
	int r = draft_path(j->draft, DRAFT_ROLE_INPUT, &input);

	if (r == 0)
		r = generation_path(j, generation, &dir);
	if (r == 0)
		r = cache_path(j, "", &job_dir);
	if (r == 0)
		r = dirs_make(job_dir, e);
	if (r == 0)
		r = fetch_parts(j, last_attempt, &paths, e);
	if (r == 0 && !input)
		r = err_set(e, -ENOENT, "input.jsonl is gone from %s", j->dir);
	if (r < 0)
		return r;
	q.input_path = input;
	q.results_dir = dir;
	q.paths = (const char *const *)paths.paths;
	q.path_count = paths.count;
	r = collect_run(&q, ret_sum, e);
	if (r == 0)
		r = results_open(j->jobs->results, dir, ret, e);
	if (r == 0)
		drop_downloads(j, &paths);
	return r;
}

static void drop_generation(struct job *j, uint32_t generation)
{
	CLEANUP(str_freep) char *dir = NULL;
	struct err e = ERR_INIT;

	/* Who has a file of it open keeps the mapping. */
	if (generation > 0 && generation_path(j, generation, &dir) == 0 && dirs_remove(dir, &e) < 0)
		log_warning("finish", "%s", e.text);
}

static void show_end(struct job *j)
{
	draft_set_seal(j->draft, DRAFT_ENDED);
	job_publish(j, (enum job_state)j->row.end_state, j->row.error ? j->row.error : "");
}

/* -ENOENT, -EUCLEAN: not there, or damaged. */
static int open_generation(struct job *j, struct err *e)
{
	CLEANUP(str_freep) char *dir = NULL;
	int r = generation_path(j, j->row.generation, &dir);

	return r < 0 ? r : results_open(j->jobs->results, dir, &j->results, e);
}

/* At a start there may be many; what is damaged is told by who reads it. */
static bool expect_generation(struct job *j)
{
	CLEANUP(str_freep) char *dir = NULL;
	struct err e = ERR_INIT;

	return j->row.generation > 0 && generation_path(j, j->row.generation, &dir) == 0 &&
	       results_expect(j->jobs->results, dir, &j->results, &e) == 0;
}

/* Nothing is to be done for most of what a start finds. */
static void rest(struct job *j)
{
	const struct store_wishes *w = &j->wishes;
	bool automatic =
		(j->row.phase == PHASE_ELSEWHERE && j->jobs->o.fetch_auto) || again_is_due(j);

	if (!w->held && !w->submit && !w->stop && !w->retry && !w->fetch && !w->purge && !automatic)
		j->due_ns = INT64_MAX;
}

void finish_reopen(struct job *j)
{
	if (j->row.phase == PHASE_ELSEWHERE) {
		elsewhere_show(j);
		rest(j);
	}
	/* What is missing is made again when the job is served. */
	if (!expect_generation(j))
		return;
	if (j->row.phase != PHASE_ENDED) {
		job_publish(j, j->view->state, "");
		return;
	}
	show_end(j);
	rest(j);
}

int finish_restore(struct job *j, struct err *e)
{
	struct collect_summary sum;
	struct err lost = ERR_INIT;
	int r;

	if (j->results || j->row.generation == 0)
		return 0;
	r = open_generation(j, &lost);
	if (r != -ENOENT && r != -EUCLEAN) {
		if (r < 0)
			*e = lost;
		return r;
	}
	job_log(j, "the results are made again: %s", lost.text);
	return collect_all(j, j->row.generation, j->row.attempt - 1, &sum, &j->results, e);
}

/* As counted in the answers, or by the provider where they do not say. */
static struct tokens tokens_of(const struct job *j, const struct collect_summary *sum)
{
	struct tokens told = {0}, t = sum->tokens;

	for (size_t i = 0; i < j->part_count; i++) {
		told.input += j->parts[i].tokens.input;
		told.output += j->parts[i].tokens.output;
	}
	if (t.input < told.input)
		t.input = told.input;
	if (t.output < told.output)
		t.output = told.output;
	return t;
}

/* Has this end been reached before, and are its results made anew? */
static bool is_again(const struct job *j)
{
	return j->row.ended_ns != 0 && !elsewhere_is_away(j);
}

/* Into the record, and the record into the store; as it was if that fails. */
static int store_end(struct job *j, uint32_t generation, const struct collect_summary *sum,
		     struct results *res, struct err *e)
{
	bool again = is_again(j), dropped;
	enum job_state worst = worst_end(j, j->row.attempt, &dropped);
	struct store_job old = j->row;
	char *error = NULL;
	int r;

	j->row.counts = sum->counts;
	j->row.record_count = sum->counts.total;
	j->row.tokens = tokens_of(j, sum);
	j->row.generation = generation;
	if (!again) {
		enum job_state end = end_state(&sum->counts, worst, dropped);

		r = describe_end(j, end, res, &error);
		if (r < 0) {
			j->row = old;
			return r;
		}
		j->row.end_state = (int)end;
		j->row.error = error;
		j->row.retryable_only = again_is_worth(j, end, sum->retryable_count);
		if (!j->row.ended_ns) /* elsewhere it ended long ago */
			j->row.ended_ns = clock_wall_ns(j->jobs->o.clock);
	}
	r = job_move(j, EV_COLLECTED, e);
	if (r < 0)
		j->row = old;
	free(r < 0 ? error : again ? NULL : old.error);
	return r;
}

int finish_collect(struct job *j, struct err *e)
{
	static const struct store_wishes all = {
		.held = true, .submit = true, .stop = true, .retry = true, .fetch = true};
	bool again = is_again(j);
	uint32_t generation = j->row.generation + (again ? 0 : 1);
	struct collect_summary sum = {0};
	struct results *fresh = NULL;
	int r;

	job_show(j, JOB_FETCHING);
	r = collect_all(j, generation, j->row.attempt, &sum, &fresh, e);
	/* What was wished of this attempt must not be heard after its end. */
	if (r == 0 && !again)
		r = job_drop_wishes(j, all, e);
	if (r == 0)
		r = store_end(j, generation, &sum, fresh, e);
	if (r < 0) {
		results_unref(fresh);
		return r;
	}
	results_unref(j->results);
	j->results = fresh;
	if (sum.strange_lines > 0)
		job_log(j, "%llu result lines belong to no record of the input",
			(unsigned long long)sum.strange_lines);
	if (again)
		return 1; /* a retry may have been wished for */
	drop_generation(j, generation - 1);
	job_log(j, "ended: %llu of %llu records good, %llu failed",
		(unsigned long long)sum.counts.good, (unsigned long long)sum.counts.total,
		(unsigned long long)sum.counts.failed);
	if (again_is_due(j))
		return 1; /* the end is not shown to those who wait for one */
	show_end(j);
	return 0;
}

/* Somebody found them gone or damaged, or is about to rely on them. */
static void drop_lost(struct job *j)
{
	bool lost;

	pthread_mutex_lock(&j->mutex);
	lost = j->results_lost;
	j->results_lost = false;
	pthread_mutex_unlock(&j->mutex);
	if (lost || (job_wishes(j).purge && !are_whole(j)))
		results_unref(STEAL(&j->results));
}

int finish_ended(struct job *j, struct err *e)
{
	struct err lost = ERR_INIT;
	int r = 0;

	drop_lost(j);
	if (!j->results) {
		r = open_generation(j, &lost);
		if (r == -ENOENT || r == -EUCLEAN) {
			job_log(j, "the results are made again: %s", lost.text);
			r = job_move(j, EV_LOST, e);
			return r < 0 ? r : 1;
		}
		if (r < 0) {
			*e = lost;
			return r;
		}
		drop_generation(j, j->row.generation - 1); /* if a crash left it */
	}
	if (job_wishes(j).retry || again_is_due(j)) {
		r = again_start(j, e);
		if (r != 0)
			return r;
	}
	if (job_wishes(j).purge) {
		r = purge_run(j, e);
		if (r < 0)
			return r;
	}
	show_end(j);
	return 0;
}
