/*
 * From a draft to a submitted job, and the watch over what runs of it.
 *
 * The crash argument: the inputs are sealed before the phase is stored, and a
 * stored phase seals them again.  What follows is planned from them (staging.c).
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/log.h"
#include "fs/job/jobs_private.h"
#include "fs/job/precheck.h"
#include "fs/job/small.h"

/* --- the draft --- */

static bool is_held(const struct store_wishes *w, const struct settings *set)
{
	return (w->held || set->manual) && !w->submit;
}

/* Fewer records than the source takes are told of before anything is sealed. */
static bool fits(struct job *j, const struct draft_summary *sum, const struct settings *set,
		 struct buf *error)
{
	struct backend *b = j->jobs->o.backend;
	enum run_how how = RUN_BATCH;
	struct err e = ERR_INIT;

	if (b->ops->learn_limits)
		b->ops->learn_limits(b);
	if (small_how(b, j->row.model, set->small, sum->record_count, &how, &e) == 0) {
		j->row.how = (int)how;
		return true;
	}
	buf_addf(error, "input.jsonl: %s\n", e.text);
	return false;
}

/* Stores the intent.  0: held at the last moment. */
static int store_intent(struct job *j, const struct settings *set, struct err *e)
{
	struct store_wishes w;
	int r;

	j->row.attempt = 1;
	j->row.submitted_ns = clock_wall_ns(j->jobs->o.clock);
	pthread_mutex_lock(&j->wish_mutex);
	w = job_wishes(j);
	r = is_held(&w, set) ? 0 : job_move(j, EV_SUBMIT, e);
	pthread_mutex_unlock(&j->wish_mutex);
	if (j->row.phase != PHASE_DRAFT)
		return 1;
	j->row.attempt = 0;
	j->row.submitted_ns = 0;
	return r;
}

/* Seals and stores the intent.  1: go on; 0: something happened meanwhile. */
static int submit_now(struct job *j, const struct draft_summary *sum, const struct settings *set,
		      struct err *e)
{
	struct err late = ERR_INIT;
	int r;

	if (!draft_seal(j->draft, sum)) {
		job_poke(j);
		return 0;
	}
	r = store_intent(j, set, e);
	if (r <= 0) {
		draft_set_seal(j->draft, DRAFT_OPEN);
		if (r == 0)
			job_poke(j);
		return r;
	}
	j->settle_due_ns = 0;
	/* Used up; if that cannot be stored they are dropped before they could
	 * be taken a second time. */
	if (job_drop_wishes(j, (struct store_wishes){.held = true, .submit = true}, &late) < 0)
		log_warning("submit", "%s", late.text);
	job_log(j, "submitted: %llu records, %llu bytes, model %s",
		(unsigned long long)sum->record_count, (unsigned long long)sum->input_size_bytes,
		j->row.model);
	job_publish(j, JOB_UPLOADING, "");
	return 1;
}

/* What was refused keeps its words until the user changes something, or says
 * that what it was for is mended elsewhere. */
static bool is_refused_still(struct job *j, const struct draft_summary *sum)
{
	if (!j->row.error)
		return false;
	if (j->refused_before)
		j->refused_edits = sum->edits;
	j->refused_before = false;
	if (j->refused_edits == sum->edits && !job_wishes(j).submit)
		return true;
	str_freep(&j->row.error);
	j->prechecked = false; /* it may be what refused */
	return false;
}

/* What the model is known to refuse is refused as if the provider had. */
static int precheck(struct job *j, struct draft_summary *sum, struct buf *error, struct err *e)
{
	int r = precheck_input(j, sum, error, e);

	if (r < 0 || error->size == 0)
		return r;
	while (error->size > 0 && error->data[error->size - 1] == '\n')
		error->data[--error->size] = '\0';
	j->row.error = strdup(error->data);
	if (!j->row.error)
		return -ENOMEM;
	buf_add_char(error, '\n');
	j->refused_edits = sum->edits;
	j->refused_before = false;
	sum->verdict = DRAFT_FAULTY;
	return 0;
}

static int decide(struct job *j, const struct draft_summary *sum, const struct settings *set,
		  struct err *e)
{
	struct store_wishes w = job_wishes(j);
	int64_t wait, now = clock_mono_ns(j->jobs->o.clock);
	CLEANUP(buf_release) struct buf dear = BUF_INIT(4096);

	if (is_held(&w, set) || (precheck_is_dear(j, set->max_cost_usd, &dear) && !w.submit)) {
		job_publish(j, JOB_HELD, dear.data);
		return 0;
	}
	wait = sum->touched_ns + (sum->input_last ? set->settle_input_ns : set->settle_ns) - now;
	if (wait > 0 && !w.submit) {
		/* A fixed point, so that the view does not change while waiting. */
		if (j->settle_touched_ns != sum->touched_ns)
			j->settle_due_ns = clock_wall_ns(j->jobs->o.clock) + wait;
		j->settle_touched_ns = sum->touched_ns;
		job_publish(j, JOB_SETTLING, "");
		job_due_in(j, wait);
		return 0;
	}
	return submit_now(j, sum, set, e);
}

/* A `submit` was for what lay there then, not for what comes of it later. */
static int drop_submit(struct job *j, struct err *e)
{
	if (!job_wishes(j).submit)
		return 0;
	job_log(j, "submit: not as it is now");
	return job_drop_wishes(j, (struct store_wishes){.submit = true}, e);
}

int submit_draft(struct job *j, struct err *e)
{
	CLEANUP(buf_release) struct buf error = BUF_INIT(256 * 1024);
	struct draft_summary sum;
	struct settings set;
	bool refused;
	int r;

	if (sample_is_begun(j))
		return sample_run(j, e);
	r = draft_check(j->draft, &sum, &error, e);
	if (r < 0 || atomic_load(&j->jobs->stopping))
		return r; /* at the end of the mount a check may be cut short */
	j->row.record_count = sum.record_count;
	j->row.input_size_bytes = sum.input_size_bytes;
	refused = is_refused_still(j, &sum);
	str_freep(&j->row.model);
	if (sum.verdict == DRAFT_READY) {
		r = draft_model(j->draft, &j->row.model, e);
		if (r == -ENOENT)
			return 0; /* gone again: that event is on its way */
		if (r == 0)
			r = job_settings(j, &set, e);
		if (r < 0)
			return r;
		if (!fits(j, &sum, &set, &error))
			sum.verdict = DRAFT_FAULTY;
		else if (refused) {
			buf_addf(&error, "%s\n", j->row.error);
			sum.verdict = DRAFT_FAULTY;
		} else {
			r = precheck(j, &sum, &error, e);
			if (r < 0)
				return r;
		}
	}
	if (sum.verdict == DRAFT_READY)
		return job_wishes(j).sample ? sample_begin(j, &sum, e) : decide(j, &sum, &set, e);
	r = drop_submit(j, e);
	if (r == 0)
		r = sample_drop(j, e);
	if (r < 0)
		return r;
	job_publish(j, sum.verdict == DRAFT_FAULTY ? JOB_INVALID : JOB_DRAFT, error.data);
	return 0;
}

/* --- running --- */

static bool is_created(const struct store_part *p)
{
	return p->phase == PART_CREATED;
}

/* The most telling state among the parts of the attempt, and their words.  Once
 * a part has ended the attempt is in progress, though the rest may be waiting
 * for its turn or only beginning. */
static enum job_state running_state(const struct job *j, struct buf *words)
{
	enum job_state best = JOB_QUEUED;

	for (size_t i = 0; i < j->part_count; i++) {
		const struct store_part *p = &j->parts[i];
		enum job_state s = (enum job_state)p->state;

		if (!parts_is_current(j, p) || p->state < 0)
			continue;
		if (p->phase == PART_ENDED || p->how == RUN_ONDEMAND)
			s = JOB_IN_PROGRESS;
		else if (p->phase != PART_CREATED)
			continue;
		if (s > best && !job_state_is_end(s))
			best = s;
	}
	parts_tell(j, is_created, words);
	return best;
}

/* The results before a retry stay readable over a restart, if that is easy. */
static void show_old_results(struct job *j)
{
	struct err e = ERR_INIT;

	if (!j->restored && finish_restore(j, &e) < 0)
		log_warning("submit", "%s", e.text);
	j->restored = true;
}

int submit_run(struct job *j, struct err *e)
{
	CLEANUP(buf_release) struct buf words;
	enum job_state state;
	bool stop = job_wishes(j).stop;
	int r = 0;

	buf_init(&words, 64 * 1024);
	show_old_results(j);
	track_take(j);
	if (elsewhere_is_away(j))
		elsewhere_take(j);
	if (j->row.how == RUN_ONDEMAND) {
		r = demand_parts(j, e);
	} else if (stop && !j->stop_sent) {
		job_show(j, JOB_STOPPING); /* the call may take its time */
		r = launch_stop(j, e);
		j->stop_sent = r == 0;
	} else if (!stop) {
		r = launch_parts(j, e);
	}
	if (r == 1)
		return 1;
	track_watch(j);
	if (parts_are_over(j)) {
		r = elsewhere_is_away(j) ? elsewhere_over(j, e) : job_move(j, EV_OVER, e);
		return r < 0 ? r : 1;
	}
	state = stop ? JOB_STOPPING : running_state(j, &words);
	/* Who is in trouble is not out of it while it waits for another turn. */
	if (r < 0 || (j->trouble_count > 0 && launch_waits(j)))
		job_show(j, state);
	else
		job_publish(j, state, words.data);
	return r;
}
