/* The daemon dies at every moment of a job's life (tests/unit/crashkit.h). */

#include <stdlib.h>

#include "tests/unit/cmocka_all.h"
#include "tests/unit/crashkit.h"
#include "tests/unit/tempdir.h"

static void prepare_held(struct jobskit *k)
{
	struct job *j;

	k->o.settings.manual = true;
	jobskit_start(k);
	j = jobskit_submit(k, "j");
	jobskit_wait(k, j, JOB_HELD);
	job_unref(j);
	jobskit_stop(k);
}

/* Each create needs a turn, and a slot. */
static void prepare_limited(struct jobskit *k)
{
	atomic_store(&k->provider->parts_at_once, 1);
	atomic_store(&k->provider->create_every_ms, 1);
	prepare_held(k);
}

/* Three parts, two of which may run at once. */
static void prepare_parts(struct jobskit *k)
{
	struct job *j;

	atomic_store(&k->provider->create_busy, 1000000);
	jobskit_start(k);
	j = jobskit_submit(k, "j");
	jobskit_wait_error(k, j, "the quota is full");
	job_unref(j);
	jobskit_stop(k);
	assert_int_equal(jobskit_cut(k), 3);
	atomic_store(&k->provider->create_busy, 0);
	atomic_store(&k->provider->parts_at_once, 2);
}

/* The source does not say so, and refuses. */
static void prepare_refusals(struct jobskit *k)
{
	prepare_parts(k);
	atomic_store(&k->provider->parts_at_once, 0);
	atomic_store(&k->provider->quota, 1);
}

static void prepare_running(struct jobskit *k)
{
	struct job *j;

	atomic_store(&k->provider->end, JOB_IN_PROGRESS);
	jobskit_start(k);
	j = jobskit_submit(k, "j");
	jobskit_wait(k, j, JOB_IN_PROGRESS);
	job_unref(j);
	jobskit_stop(k);
}

static void wish(struct jobskit *k, bool stop, bool retry)
{
	CLEANUP(str_freep) char *db = jobskit_path(k, "state.db");
	struct err e = ERR_INIT;

	assert_int_equal(store_open(db, &k->store, &e), 0);
	assert_int_equal(store_job_wish(k->store, 1,
					&(struct store_wishes){.stop = stop, .retry = retry}, &e),
			 0);
	store_close(STEAL(&k->store));
}

static void prepare_stop(struct jobskit *k)
{
	prepare_running(k);
	wish(k, true, false);
}

/* The part is there, but its name was never heard. */
static void prepare_stop_of_lost(struct jobskit *k)
{
	struct job *j;

	atomic_store(&k->provider->end, JOB_IN_PROGRESS);
	atomic_store(&k->provider->create_lost, 1);
	jobskit_start(k);
	j = jobskit_submit(k, "j");
	jobskit_wait_error(k, j, "create: the provider is busy");
	job_unref(j);
	jobskit_stop(k);
	wish(k, true, false);
}

static void prepare_retry(struct jobskit *k)
{
	crashkit_prepare_ended(k);
	wish(k, false, true);
}

static void prepare_lost(struct jobskit *k)
{
	CLEANUP(str_freep) char *cache = jobskit_path(k, "cache");

	crashkit_prepare_ended(k);
	nftw(cache, tempdir_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void go_remove(struct jobskit *k)
{
	CLEANUP(job_unrefp) struct job *j = jobs_find(k->jobs, "j");

	if (!j)
		return; /* gone already */
	jobskit_wait(k, j, JOB_COMPLETED);
	assert_int_equal(jobskit_remove(k, j), 0);
}

static const struct crash scenarios[] = {
	{"a submission", {"gfm", ""}, prepare_held, NULL, JOB_PARTIALLY_COMPLETED, 1, 1},
	{"a stop", {"gm", ""}, prepare_stop, NULL, JOB_STOPPED, 1, 1},
	{"a stop of a lost part", {"gm", ""}, prepare_stop_of_lost, NULL, JOB_STOPPED, 1, 1},
	{"a retry", {"gfg", "g"}, prepare_retry, NULL, JOB_COMPLETED, 2, 3},
	{"lost results", {"g", ""}, prepare_lost, NULL, JOB_COMPLETED, 1, 3},
	{"a removal", {"g", ""}, crashkit_prepare_ended, go_remove, JOB_STATE_COUNT, 1, 0},
	{"a submission with turns",
	 {"gfm", ""},
	 prepare_limited,
	 NULL,
	 JOB_PARTIALLY_COMPLETED,
	 1,
	 1},
	{"parts in a queue", {"g", ""}, prepare_parts, NULL, JOB_COMPLETED, 3, 3},
	{"parts that are refused", {"g", ""}, prepare_refusals, NULL, JOB_COMPLETED, 3, 3},
	{"a job of parts", {"g", ""}, prepare_held, NULL, JOB_COMPLETED, 3, 3, 1},
};

static void test_submission(void **state)
{
	(void)state;
	crashkit_sweep(&scenarios[0]);
}

static void test_stop(void **state)
{
	(void)state;
	crashkit_sweep(&scenarios[1]);
	crashkit_sweep(&scenarios[2]);
}

static void test_retry(void **state)
{
	(void)state;
	crashkit_sweep(&scenarios[3]);
}

static void test_lost_results(void **state)
{
	(void)state;
	crashkit_sweep(&scenarios[4]);
}

static void test_removal(void **state)
{
	(void)state;
	crashkit_sweep(&scenarios[5]);
}

static void test_turns(void **state)
{
	(void)state;
	crashkit_sweep(&scenarios[6]);
	crashkit_sweep(&scenarios[7]);
	crashkit_sweep(&scenarios[8]);
}

static void test_parts(void **state)
{
	(void)state;
	crashkit_sweep(&scenarios[9]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_submission), cmocka_unit_test(test_stop),
		cmocka_unit_test(test_retry),	   cmocka_unit_test(test_lost_results),
		cmocka_unit_test(test_removal),	   cmocka_unit_test(test_turns),
		cmocka_unit_test(test_parts),
	};

	return cmocka_run_group_tests_name("jobcrash", tests, NULL, NULL);
}
