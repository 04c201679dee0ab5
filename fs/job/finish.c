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
#include <unistd.h>

#include "cache/dirs.h"
#include "fs/base/log.h"
#include "fs/job/collect.h"
#include "fs/job/jobs_private.h"
#include "fs/job/resultfiles.h"

/* Can the results that are shown be read?  By path as well, for who joins them to
 * others: what somebody has open is there without its name. */
static bool are_whole(struct job *j)
{
	CLEANUP(str_freep) char *output = NULL;

	if (!j->results || results_pin(j->results, NULL) < 0)
		return false;
	results_unpin(j->results);
	return resultfiles_earlier(j, &output) == 0 && access(output, F_OK) == 0;
}

/* Were records left out of the first attempt, as copies or as known?  The mount may
 * have had the option then, and not now. */
static bool has_left_out(const struct job *j)
{
	uint64_t sent = 0;

	for (size_t i = 0; i < j->part_count; i++)
		if (j->parts[i].attempt == 1)
			sent += j->parts[i].record_count - j->parts[i].padding;
	return !j->row.elsewhere && sent < j->row.record_count;
}

/* The rest of a request whose paths are known. */
static int run_collect(struct job *j, struct collect_request *q, uint32_t generation,
		       const struct resultfiles *files, struct collect_summary *ret_sum,
		       struct results **ret, struct err *e)
{
	CLEANUP(str_freep) char *input = NULL;
	CLEANUP(str_freep) char *dir = NULL;
	struct settings set;
	int r = draft_path(j->draft, DRAFT_ROLE_INPUT, &input);

	if (r == 0)
		r = resultfiles_generation(j, generation, &dir);
	if (r == 0)
		r = job_settings(j, &set, e);
	if (r == 0 && !input)
		r = err_set(e, -ENOENT, "input.jsonl is gone from %s", j->dir);
	if (r < 0)
		return r;
	q->input_path = input;
	q->results_dir = dir;
	q->paths = (const char *const *)files->paths;
	q->path_count = files->count;
	q->earlier_count = files->earlier_count;
	/* Of one made elsewhere each record was sent. */
	q->share_copies = !j->row.elsewhere && (set.dedupe || has_left_out(j));
	r = collect_run(q, ret_sum, e);
	return r < 0 ? r : results_open(j->jobs->results, dir, ret, e);
}

/* Makes a generation out of the attempts up to that one. */
static int collect_all(struct job *j, uint32_t generation, uint32_t last_attempt,
		       struct collect_summary *ret_sum, struct results **ret, struct err *e)
{
	CLEANUP(str_freep) char *job_dir = NULL;
	bool fresh = j->row.ended_ns == 0 && last_attempt == j->row.attempt && are_whole(j);
	struct collect_request q = {.scratch_dir = j->jobs->scratch_dir,
				    .model = j->row.model,
				    .join_by_input = j->row.elsewhere,
				    .missing_is_retryable = again_with_missing(j, last_attempt),
				    .missing_reason = endwords_missing(j, last_attempt),
				    .cancel = &j->jobs->stopping};
	int r = resultfiles_job_dir(j, &job_dir);

	if (r == 0)
		r = dirs_make(job_dir, e);
	if (r == 0 && !j->files) {
		j->files = calloc(1, sizeof(*j->files));
		r = j->files ? 0 : -ENOMEM;
	}
	if (r == 0)
		r = resultfiles_fetch(j, last_attempt, fresh, j->files, e);
	if (r < 0)
		return r; /* what is here stays known */
	r = run_collect(j, &q, generation, j->files, ret_sum, ret, e);
	if (r == 0)
		resultfiles_drop(j, j->files);
	if (r != -ECANCELED && r != -ENOSPC)
		resultfiles_freep(&j->files);
	return r;
}

static void drop_generation(struct job *j, uint32_t generation)
{
	CLEANUP(str_freep) char *dir = NULL;
	struct err e = ERR_INIT;

	/* Who has a file of it open keeps the mapping. */
	if (generation > 0 && resultfiles_generation(j, generation, &dir) == 0 &&
	    dirs_remove(dir, &e) < 0)
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
	int r = resultfiles_generation(j, j->row.generation, &dir);

	return r < 0 ? r : results_open(j->jobs->results, dir, &j->results, e);
}

/* At a start there may be many; what is damaged is told by who reads it. */
static bool expect_generation(struct job *j)
{
	CLEANUP(str_freep) char *dir = NULL;
	struct err e = ERR_INIT;

	return j->row.generation > 0 && resultfiles_generation(j, j->row.generation, &dir) == 0 &&
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

/* What was paid for: as counted in the answers, less those that were not paid for
 * here, or as the provider says where they do not. */
static struct tokens tokens_of(const struct job *j, const struct collect_summary *sum)
{
	struct tokens told = {0}, t = sum->tokens;
	const struct tokens *saved = &j->row.saved.tokens;

	t.input -= t.input < saved->input ? t.input : saved->input;
	t.output -= t.output < saved->output ? t.output : saved->output;
	t.input += j->row.padding.tokens.input;
	t.output += j->row.padding.tokens.output;
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

/* Records have no result line, and there are lines that no record has. */
static bool are_under_other_names(const struct collect_summary *sum)
{
	return sum->strange_lines > 0 && sum->counts.good + sum->counts.failed < sum->counts.total;
}

/* Into the record, and the record into the store; as it was if that fails. */
static int store_end(struct job *j, uint32_t generation, const struct collect_summary *sum,
		     struct results *res, struct err *e)
{
	bool again = is_again(j), dropped;
	enum job_state worst = endwords_worst(j, j->row.attempt, &dropped);
	struct store_job old = j->row;
	char *error = NULL;
	int r;

	j->row.counts = sum->counts;
	j->row.record_count = sum->counts.total;
	if (!again) { /* else they were counted then */
		tally_add(&j->row.saved, &sum->copied);
		tally_add(&j->row.padding, &sum->padding);
	}
	j->row.tokens = tokens_of(j, sum);
	j->row.generation = generation;
	if (!again) {
		enum job_state end = end_state(&sum->counts, worst, dropped);

		r = endwords_describe(j, end, sum->strange_lines, res, &error);
		if (r < 0) {
			j->row = old;
			return r;
		}
		j->row.end_state = (int)end;
		j->row.error = error;
		/* What may be there already is for a person to look at. */
		j->row.retryable_only =
			!are_under_other_names(sum) && again_is_worth(j, end, sum->retryable_count);
		if (!j->row.ended_ns) /* elsewhere it ended long ago */
			j->row.ended_ns = clock_wall_ns(j->jobs->o.clock);
	}
	r = job_move(j, EV_COLLECTED, e);
	if (r < 0)
		j->row = old;
	free(r < 0 ? error : again ? NULL : old.error);
	return r;
}

/* An attempt adds to what there was before it, and only that is counted: if the
 * results of before are gone they are made again first. */
static int restore_lost(struct job *j, struct err *e)
{
	if (j->row.attempt <= 1 || are_whole(j))
		return 0;
	results_unref(STEAL(&j->results));
	return finish_restore(j, e);
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
	r = again ? 0 : restore_lost(j, e);
	if (r == 0)
		r = collect_all(j, generation, j->row.attempt, &sum, &fresh, e);
	/* What was wished of this attempt must not be heard after its end. */
	if (r == 0 && !again) {
		j->stop_heard = j->stop_heard || job_wishes(j).stop;
		r = job_drop_wishes(j, all, e);
	}
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
