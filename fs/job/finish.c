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

#define PATHS_MAX 4096

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

static int fetch_part(struct job *j, const struct store_part *p, struct paths *to, struct err *e)
{
	CLEANUP(backend_files_release) struct backend_files files = {.count = 0};
	CLEANUP(str_freep) char *dir = NULL;
	struct backend *b = j->jobs->o.backend;
	char leaf[48];
	int r;

	snprintf(leaf, sizeof(leaf), "fetched-a%up%u", p->attempt, p->seq);
	r = cache_path(j, leaf, &dir);
	if (r == 0)
		r = b->ops->fetch(b, p->remote, dir, &files, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < files.count; i++) {
		if (to->count == PATHS_MAX)
			return err_set(e, -E2BIG, "more than %d result files", PATHS_MAX);
		to->paths[to->count++] = STEAL(&files.paths[i]);
	}
	return 0;
}

/* The most telling end among the parts of the last attempt. */
static enum job_state worst_end(const struct job *j, bool *ret_dropped)
{
	enum job_state worst = JOB_COMPLETED;

	*ret_dropped = false;
	for (size_t i = 0; i < j->part_count; i++) {
		const struct store_part *p = &j->parts[i];

		if (p->attempt != j->row.attempt)
			continue;
		if (p->phase == PART_DROPPED)
			*ret_dropped = true;
		else if (p->state > (int)worst)
			worst = (enum job_state)p->state;
	}
	return worst;
}

static const char *missing_reason(enum job_state worst, bool dropped)
{
	if (dropped || worst == JOB_STOPPED)
		return "the job was stopped before this record was run";
	if (worst == JOB_EXPIRED || worst == JOB_PARTIALLY_COMPLETED)
		return "the time ran out before this record was run";
	return "the job ended without a result for this record";
}

/* The first failed record's words: what a Failed job is most likely about. */
static void add_first_error(const struct results *res, struct buf *out)
{
	uint64_t size = 0;
	const char *bytes = results_bytes(res, RESULTS_ERRORS, &size);
	const char *end = size ? memchr(bytes, '\n', size) : NULL;
	struct envelope v;

	if (!end || envelope_parse(bytes, (size_t)(end - bytes), &v) < 0)
		return;
	buf_add_str(out, "no record has a good result; the first one says: ");
	envelope_code(&v, out);
	buf_add_str(out, ": ");
	envelope_message(&v, out);
	buf_add_str(out, "; see errors.jsonl, and `echo retry > ctl` runs them again\n");
}

static int describe_end(struct job *j, enum job_state end, struct err *e)
{
	CLEANUP(buf_release) struct buf words = BUF_INIT(64 * 1024);

	for (size_t i = 0; i < j->part_count; i++)
		if (j->parts[i].attempt == j->row.attempt && j->parts[i].message &&
		    j->parts[i].message[0])
			buf_addf(&words, "%s\n", j->parts[i].message);
	if (j->row.error && j->row.error[0])
		buf_addf(&words, "%s\n", j->row.error);
	if (end == JOB_FAILED && j->results)
		add_first_error(j->results, &words);
	if (end == JOB_COMPLETED)
		buf_clear(&words);
	free(j->row.error);
	j->row.error = words.size > 0 ? buf_steal(&words) : NULL;
	return buf_error(&words) < 0 ? err_set(e, -ENOMEM, "no memory") : 0;
}

static int collect_all(struct job *j, uint32_t generation, struct collect_summary *ret,
		       struct err *e)
{
	CLEANUP(paths_release) struct paths paths = {.count = 0};
	CLEANUP(str_freep) char *input = NULL;
	CLEANUP(str_freep) char *dir = NULL;
	CLEANUP(str_freep) char *job_dir = NULL;
	bool dropped;
	enum job_state worst = worst_end(j, &dropped);
	struct collect_request q = {.scratch_dir = j->jobs->scratch_dir,
				    .model = j->row.model,
				    .missing_reason = missing_reason(worst, dropped)};
	int r = draft_path(j->draft, DRAFT_ROLE_INPUT, &input);

	if (r == 0)
		r = generation_path(j, generation, &dir);
	if (r == 0)
		r = cache_path(j, "", &job_dir);
	if (r == 0)
		r = dirs_make(job_dir, e);
	/* In order of attempts: of two failures the later one is the news. */
	for (size_t i = 0; i < j->part_count && r == 0; i++)
		if (j->parts[i].remote)
			r = fetch_part(j, &j->parts[i], &paths, e);
	if (r == 0 && !input)
		r = err_set(e, -ENOENT, "input.jsonl is gone from %s", j->dir);
	if (r < 0)
		return r;
	q.input_path = input;
	q.results_dir = dir;
	q.paths = (const char *const *)paths.paths;
	q.path_count = paths.count;
	q.cancel = &j->jobs->stopping;
	results_unref(STEAL(&j->results));
	r = dirs_remove(dir, e);
	if (r == 0)
		r = collect_run(&q, ret, e);
	if (r == 0)
		r = results_open(dir, &j->results, e);
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

static int keep_old_results(struct job *j, struct results *old, int r)
{
	if (!j->results)
		j->results = old;
	else
		results_unref(old);
	return r;
}

int finish_collect(struct job *j, struct err *e)
{
	bool again = j->row.ended_ns != 0, dropped;
	uint32_t generation = j->row.generation + (again ? 0 : 1);
	struct results *old = j->results ? results_ref(j->results) : NULL;
	struct collect_summary sum = {0};
	enum job_state worst;
	int r;

	job_publish(j, JOB_FETCHING, "");
	r = collect_all(j, generation, &sum, e);
	if (r < 0)
		return keep_old_results(j, old, r);
	results_unref(old);
	if (sum.strange_lines > 0)
		job_log(j, "%llu result lines belong to no record of the input",
			(unsigned long long)sum.strange_lines);
	j->row.counts = sum.counts;
	j->row.tokens = sum.tokens;
	j->row.generation = generation;
	if (!again) {
		worst = worst_end(j, &dropped);
		j->row.end_state = (int)end_state(&sum.counts, worst, dropped);
		j->row.ended_ns = clock_wall_ns(j->jobs->o.clock);
		r = describe_end(j, (enum job_state)j->row.end_state, e);
	}
	if (r == 0)
		r = job_move(j, EV_COLLECTED, e);
	if (r < 0)
		return r;
	if (!again) {
		job_set_wishes(j, (struct wishes){0});
		j->stop_sent = false;
		drop_generation(j, generation - 1);
		job_log(j, "ended: %llu of %llu records good, %llu failed",
			(unsigned long long)sum.counts.good, (unsigned long long)sum.counts.total,
			(unsigned long long)sum.counts.failed);
	}
	show_end(j);
	return 0;
}

static int start_retry(struct job *j, struct err *e)
{
	struct wishes w = job_wishes(j);
	uint64_t count = j->row.counts.total - j->row.counts.good;
	int64_t ended_ns = j->row.ended_ns;
	int r;

	w.retry = w.stop = false;
	if (count == 0) {
		job_set_wishes(j, w);
		return 0;
	}
	r = submit_add_part(j, j->row.attempt + 1, count, e);
	if (r < 0)
		return r;
	j->row.attempt++;
	j->row.ended_ns = 0;
	r = job_move(j, EV_RETRY, e);
	if (r < 0) {
		j->row.attempt--;
		j->row.ended_ns = ended_ns;
		store_part_release(&j->parts[--j->part_count]);
		return r;
	}
	str_freep(&j->row.error);
	draft_set_seal(j->draft, DRAFT_ACTIVE);
	job_set_wishes(j, w);
	job_log(j, "retry: attempt %u, %llu records", j->row.attempt, (unsigned long long)count);
	job_publish(j, JOB_UPLOADING, "");
	return 1;
}

int finish_ended(struct job *j, struct err *e)
{
	CLEANUP(str_freep) char *dir = NULL;
	struct err lost = ERR_INIT;
	int r = 0;

	if (!j->results) {
		r = generation_path(j, j->row.generation, &dir);
		if (r == 0)
			r = results_open(dir, &j->results, &lost);
		if (r == -ENOENT || r == -EUCLEAN) {
			job_log(j, "the results are made again: %s", lost.text);
			r = job_move(j, EV_LOST, e);
			return r < 0 ? r : 1;
		}
		if (r < 0) {
			*e = lost;
			return r;
		}
	}
	if (job_wishes(j).retry)
		return start_retry(j, e);
	show_end(j);
	return 0;
}
