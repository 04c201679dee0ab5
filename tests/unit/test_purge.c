/* `purge`: what the provider keeps goes, what is here stays, and what is lost
 * after that is run again. */

#include "fs/job/jobs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache/dirs.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/jobskit.h"
#include "tests/unit/tempdir.h"

static unsigned commands(struct job *j)
{
	CLEANUP(view_unrefp) struct view *v = job_view(j);

	return v->commands;
}

static bool may(struct job *j, enum command c)
{
	return commands(j) >> c & 1;
}

static void assert_results(struct job *j, unsigned good)
{
	CLEANUP(view_unrefp) struct view *v = job_view(j);
	CLEANUP(str_freep) char *csv = jobskit_results(j, RESULTS_CSV);

	assert_int_equal(v->counts.total, 3);
	assert_int_equal(v->counts.good, good);
	assert_non_null(strstr(csv, "\nc,"));
}

static struct job *ended(struct jobskit *k, const char *name, const char *outcomes,
			 enum job_state end)
{
	struct job *j;

	k->provider->outcomes[0] = outcomes;
	j = jobskit_submit(k, name);
	jobskit_wait(k, j, end);
	assert_true(may(j, COMMAND_PURGE));
	return j;
}

static bool cannot_purge(struct job *j, void *ctx)
{
	(void)ctx;
	return !may(j, COMMAND_PURGE);
}

static void purge(struct jobskit *k, struct job *j)
{
	assert_int_equal(jobskit_command(k, j, COMMAND_PURGE), 0);
	jobskit_wait_for(k, j, cannot_purge, NULL, __FILE__, __LINE__);
}

static void test_an_ended_job(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = ended(k, "j", "gfg", JOB_COMPLETED_WITH_ERRORS);

	purge(k, j);
	assert_int_equal(fakebackend_part(k->provider, 0).purges, 1);
	assert_int_equal(jobskit_command(k, j, COMMAND_PURGE), -EINVAL);
	assert_results(j, 2);
	job_unref(STEAL(&j));
	jobskit_restart(k);
	j = jobskit_find(k, "j");
	jobskit_wait(k, j, JOB_COMPLETED_WITH_ERRORS);
	assert_results(j, 2);
	assert_false(may(j, COMMAND_PURGE));
	/* The input is here: what failed can be run, and purged on its own. */
	k->provider->outcomes[1] = "g";
	assert_int_equal(jobskit_command(k, j, COMMAND_RETRY), 0);
	jobskit_wait(k, j, JOB_COMPLETED);
	assert_results(j, 3);
	purge(k, j);
	assert_int_equal(fakebackend_part(k->provider, 0).purges, 1);
	assert_int_equal(fakebackend_part(k->provider, 1).purges, 1);
}

static void test_results_lost_after_it(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = ended(k, "j", "g", JOB_COMPLETED);
	CLEANUP(str_freep) char *cache = jobskit_path(k, "cache");
	CLEANUP(str_freep) char *csv = NULL;

	purge(k, j);
	job_unref(STEAL(&j));
	jobskit_stop(k);
	assert_int_equal(dirs_remove(cache, NULL), 0);
	jobskit_start(k);
	j = jobskit_find(k, "j");
	/* It ended so, and that stands; what there is of it is told. */
	jobskit_wait(k, j, JOB_COMPLETED);
	assert_results(j, 0);
	csv = jobskit_results(j, RESULTS_CSV);
	assert_non_null(strstr(csv, "the provider's were purged"));
	k->provider->outcomes[1] = "g";
	assert_int_equal(jobskit_command(k, j, COMMAND_RETRY), 0);
	jobskit_wait(k, j, JOB_COMPLETED);
	assert_results(j, 3);
	assert_int_equal(fakebackend_part(k->provider, 1).record_count, 3);
}

static void test_trouble(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = ended(k, "j", "g", JOB_COMPLETED);

	atomic_store(&k->provider->purge_again, 1000);
	assert_int_equal(jobskit_command(k, j, COMMAND_PURGE), 0);
	jobskit_wait_error(k, j, "purge: the provider is busy");
	jobskit_wait(k, j, JOB_COMPLETED); /* who waits for the end does not wait for that */
	job_unref(STEAL(&j));
	jobskit_stop(k);
	atomic_store(&k->provider->purge_again, 0);
	jobskit_start(k);
	j = jobskit_find(k, "j");
	jobskit_wait_for(k, j, cannot_purge, NULL, __FILE__, __LINE__);
	assert_int_equal(fakebackend_part(k->provider, 0).purges, 1);
	assert_results(j, 3);
}

static void test_a_refusal(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;
	CLEANUP(view_unrefp) struct view *v = NULL;

	j = ended(k, "j", "f", JOB_FAILED);
	atomic_store(&k->provider->purge_error, -EACCES);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(jobskit_command(k, j, COMMAND_PURGE), 0);
		jobskit_wait_error(k, j, "not purged: the provider says no");
		jobskit_wait(k, j, JOB_FAILED);
	}
	v = job_view(j);
	assert_non_null(strstr(v->error, "no record has a good result"));
	assert_null(strstr(strstr(v->error, "not purged") + 1, "not purged"));
	assert_true(may(j, COMMAND_PURGE));
	view_unref(STEAL(&v));
	atomic_store(&k->provider->purge_error, 0);
	purge(k, j);
	v = job_view(j);
	assert_null(strstr(v->error, "not purged"));
	assert_non_null(strstr(v->error, "no record has a good result"));
}

static void test_made_elsewhere(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;
	CLEANUP(job_unrefp) struct job *kept = NULL;

	atomic_store(&k->provider->lists, true);
	fakebackend_make_elsewhere(k->provider, "aaaa", "gone", JOB_COMPLETED);
	fakebackend_make_elsewhere(k->provider, "bbbb", "kept", JOB_COMPLETED);
	jobskit_restart(k);
	j = jobskit_wait_job(k, "gone");
	purge(k, j);
	assert_false(may(j, COMMAND_FETCH));
	assert_int_equal(jobskit_command(k, j, COMMAND_FETCH), -EINVAL);
	job_ask_results(j); /* a `wait`: it does not hang */
	jobskit_wait_error(k, j, "not fetched: it was purged");
	jobskit_wait(k, j, JOB_COMPLETED);
	/* Fetched before, it is as one of ours. */
	kept = jobskit_wait_job(k, "kept");
	assert_int_equal(jobskit_command(k, kept, COMMAND_FETCH), 0);
	jobskit_wait(k, kept, JOB_COMPLETED);
	purge(k, kept);
	assert_results(kept, 3);
	/* By itself nothing is tried again. */
	job_unref(STEAL(&j));
	job_unref(STEAL(&kept));
	jobskit_stop(k);
	k->o.fetch_auto = true;
	jobskit_start(k);
	j = jobskit_find(k, "gone");
	jobskit_wait(k, j, JOB_COMPLETED);
	kept = jobskit_find(k, "kept");
	jobskit_wait(k, kept, JOB_COMPLETED);
	assert_results(kept, 3);
}

static void hang(void *ctx, const char *operation)
{
	atomic_bool *hangs = ctx;

	while (strcmp(operation, "purge") == 0 && atomic_load(hangs))
		usleep(1000);
}

/* The write of a command cannot be broken off, so it must not wait for one. */
static void test_nobody_waits_for_it(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;
	atomic_bool hangs = true;

	j = ended(k, "slow", "gfg", JOB_COMPLETED_WITH_ERRORS);
	k->provider->ctx = &hangs;
	k->provider->called = hang;
	for (int i = 0; i < 2; i++)
		assert_int_equal(jobskit_command(k, j, COMMAND_PURGE), 0);
	assert_int_equal(jobskit_command(k, j, COMMAND_RETRY), 0);
	k->provider->outcomes[1] = "g";
	atomic_store(&hangs, false);
	jobskit_wait(k, j, JOB_COMPLETED);
	jobskit_stop(k);
	k->provider->called = NULL;
	jobskit_start(k);
}

static void test_when_it_may_not(void **state)
{
	struct jobskit *k = *state;
	struct backend_ops ops = *k->provider->backend.ops;
	CLEANUP(job_unrefp) struct job *draft = jobskit_make(k, "draft");
	CLEANUP(job_unrefp) struct job *runs = NULL;

	assert_int_equal(jobskit_command(k, draft, COMMAND_PURGE), -EINVAL);
	atomic_store(&k->provider->end, JOB_IN_PROGRESS);
	runs = jobskit_submit(k, "runs");
	jobskit_wait(k, runs, JOB_IN_PROGRESS);
	assert_int_equal(jobskit_command(k, runs, COMMAND_PURGE), -EBUSY);
	job_unref(STEAL(&runs));
	job_unref(STEAL(&draft));
	jobskit_stop(k);
	ops.purge = NULL;
	k->provider->backend.ops = &ops;
	atomic_store(&k->provider->end, JOB_COMPLETED);
	jobskit_start(k);
	runs = jobskit_find(k, "runs");
	jobskit_wait(k, runs, JOB_COMPLETED);
	assert_false(may(runs, COMMAND_PURGE));
	assert_int_equal(jobskit_command(k, runs, COMMAND_PURGE), -EINVAL);
	job_unref(STEAL(&runs));
	jobskit_stop(k);
}

#define WITH_KIT(test) cmocka_unit_test_setup_teardown(test, jobskit_setup, jobskit_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_KIT(test_an_ended_job),	WITH_KIT(test_results_lost_after_it),
		WITH_KIT(test_trouble),		WITH_KIT(test_a_refusal),
		WITH_KIT(test_made_elsewhere),	WITH_KIT(test_nobody_waits_for_it),
		WITH_KIT(test_when_it_may_not),
	};

	return cmocka_run_group_tests_name("purge", tests, NULL, NULL);
}
