/*
 * Another attempt: of all records without a good result when the user asks for
 * it, of those that may go better by themselves as often as retry_max says.
 *
 * That one of the latter is due is stored with the end it follows
 * (row.retryable_only, in PHASE_ENDED), so that a crash in between does not lose it.
 */

#include <errno.h>
#include <stdlib.h>

#include "fs/base/log.h"
#include "fs/job/cost.h"
#include "fs/job/jobs_private.h"
#include "fs/job/small.h"

/* Did the provider fail all of it?  Then it said why, and somebody has to mend that. */
static bool has_failed(const struct job *j, uint32_t attempt)
{
	size_t count = 0, failed = 0;

	for (size_t i = 0; i < j->part_count; i++) {
		const struct store_part *p = &j->parts[i];

		count += p->attempt == attempt;
		failed += p->attempt == attempt && p->state == JOB_FAILED;
	}
	return count > 0 && failed == count;
}

bool again_with_missing(const struct job *j, uint32_t attempt)
{
	bool dropped;

	return endwords_worst(j, attempt, &dropped) != JOB_STOPPED && !dropped &&
	       !has_failed(j, attempt);
}

bool again_is_due(const struct job *j)
{
	return j->row.phase == PHASE_ENDED && j->row.retryable_only;
}

/* Nobody is asked about an automatic retry: it is not made if, at what the records
 * have cost so far, the whole would be above max_cost. */
static bool is_dear(struct job *j, const struct settings *set, enum run_how how, uint64_t count)
{
	struct backend *b = j->jobs->o.backend;
	uint64_t run = j->row.counts.good + j->row.counts.failed;
	struct price price;
	double spent, each;

	if (set->max_cost_usd <= 0 || !b->ops->price)
		return false;
	if (!b->ops->price(b, j->row.model, &price))
		return true;
	spent = cost_usd(&j->row.tokens, price.batch_in, price.batch_out);
	each = run ? spent / (double)run : 0;
	if (how == RUN_ONDEMAND)
		each *= 2; /* the price of batch is half */
	return spent + each * (double)count > set->max_cost_usd;
}

bool again_is_worth(struct job *j, enum job_state end, uint64_t retryable_count)
{
	struct backend *b = j->jobs->o.backend;
	struct settings set;
	enum run_how how = RUN_BATCH;
	struct err e = ERR_INIT;
	int r = job_settings(j, &set, &e);

	if (r < 0) {
		job_log(j, "no automatic retry: %s", e.text);
		return false;
	}
	/* Nobody asked for a retry of what others made; of one that was asked for he did. */
	if (j->row.elsewhere && j->row.attempt == 1)
		return false;
	if (end == JOB_STOPPED || j->stop_heard || retryable_count == 0 ||
	    j->row.auto_retries >= set.retry_max)
		return false;
	if (b->ops->learn_limits)
		b->ops->learn_limits(b);
	r = small_how(b, j->row.model, set.small, retryable_count, &how, &e);
	if (r == 0 && is_dear(j, &set, how, retryable_count))
		r = err_set(&e, -EDQUOT,
			    "with it the job may cost more than max_cost; `echo retry > "
			    "ctl` makes one all the same");
	if (r < 0)
		job_log(j, "no automatic retry: %s", e.text);
	return r == 0;
}

/* What came too late for the attempt before is not for this one. */
static int drop_old_wishes(struct job *j, bool all, struct err *e)
{
	return job_drop_wishes(
		j, (struct store_wishes){.held = true, .submit = true, .stop = true, .retry = all},
		e);
}

/* A stop that came between the end and this. */
static int forgo(struct job *j, struct err *e)
{
	int r;

	j->row.retryable_only = false;
	r = job_save(j, e);
	if (r < 0) {
		j->row.retryable_only = true;
		return r;
	}
	job_log(j, "no automatic retry: stopped");
	return job_drop_wishes(j, (struct store_wishes){.stop = true}, e);
}

int again_start(struct job *j, struct err *e)
{
	uint64_t count = j->row.counts.total - j->row.counts.good;
	struct store_wishes w = job_wishes(j);
	struct store_job old = j->row;
	struct err late = ERR_INIT;
	int r;

	if (w.stop && !w.retry)
		return forgo(j, e);
	r = drop_old_wishes(j, count == 0, e);
	if (r < 0 || count == 0)
		return r;
	j->row.retryable_only = !w.retry;
	j->row.auto_retries += !w.retry;
	j->row.how = w.retry ? w.retry_how : RUN_BATCH;
	j->row.attempt++;
	j->row.ended_ns = 0;
	j->row.error = NULL;
	r = job_move(j, EV_RETRY, e);
	if (r < 0) {
		j->row = old;
		return r;
	}
	free(old.error);
	j->stop_sent = j->stop_heard = false;
	draft_set_seal(j->draft, DRAFT_ACTIVE);
	/* If this cannot be stored the wish is dropped with the end. */
	if (job_drop_wishes(j, (struct store_wishes){.retry = true}, &late) < 0)
		log_warning("again", "%s", late.text);
	job_log(j,
		w.retry ? "retry: attempt %u, %llu records"
			: "automatic retry: attempt %u, of "
			  "%llu records those that may go better",
		j->row.attempt, (unsigned long long)count);
	job_publish(j, JOB_UPLOADING, "");
	return 1;
}
