/* The daemon dies while it takes in, fetches, removes or purges what the
 * provider has (tests/unit/crashkit.h). */

#include <errno.h>
#include <stdlib.h>

#include "tests/unit/cmocka_all.h"
#include "tests/unit/crashkit.h"

static void prepare_elsewhere(struct jobskit *k)
{
	atomic_store(&k->provider->lists, true);
	fakebackend_make_elsewhere(k->provider, "over-there", "j", JOB_COMPLETED);
}

static void prepare_running_elsewhere(struct jobskit *k)
{
	atomic_store(&k->provider->lists, true);
	fakebackend_make_elsewhere(k->provider, "over-there", "j", JOB_IN_PROGRESS);
}

static void go_adopt(struct jobskit *k)
{
	job_unref(jobskit_wait_job(k, "j"));
}

/* Legal but before it was heard, maybe in another life. */
static void go_fetch(struct jobskit *k)
{
	CLEANUP(job_unrefp) struct job *j = jobskit_wait_job(k, "j");
	int r = jobskit_command(k, j, COMMAND_FETCH);

	if (r != 0 && r != -EBUSY && r != -EINVAL)
		fail_msg("fetch: %d", r);
}

static bool is_fetched(struct job *j, void *asked)
{
	bool *once = asked;

	*once = *once || job_ask_results(j);
	return job_is_settled(j);
}

static void go_wait(struct jobskit *k)
{
	CLEANUP(job_unrefp) struct job *j = jobskit_wait_job(k, "j");
	bool asked = false;

	jobskit_wait_for(k, j, is_fetched, &asked, __FILE__, __LINE__);
}

static void go_purge(struct jobskit *k)
{
	CLEANUP(job_unrefp) struct job *j = jobskit_find(k, "j");
	int r;

	jobskit_wait(k, j, JOB_COMPLETED);
	r = jobskit_command(k, j, COMMAND_PURGE);
	if (r != 0 && r != -EINVAL)
		fail_msg("purge: %d", r);
	jobskit_wait(k, j, JOB_COMPLETED);
	assert_true(fakebackend_part(k->provider, 0).purges > 0);
}

static void go_remove_elsewhere(struct jobskit *k)
{
	CLEANUP(job_unrefp) struct job *j = jobs_find(k->jobs, "j");

	if (j)
		assert_int_equal(jobskit_remove(k, j), 0);
}

static void prepare_adopted(struct jobskit *k)
{
	prepare_elsewhere(k);
	jobskit_start(k);
	job_unref(jobskit_wait_job(k, "j"));
	jobskit_stop(k);
}

#define MIXED JOB_COMPLETED_WITH_ERRORS

static const struct crash scenarios[] = {
	{"found elsewhere", {"g", ""}, prepare_elsewhere, go_adopt, JOB_COMPLETED, 1, 0},
	{"one that runs there", {"gf", ""}, prepare_running_elsewhere, go_adopt, MIXED, 1, 0},
	{"a fetch", {"gfg", ""}, prepare_adopted, go_fetch, MIXED, 1, 2},
	{"a wait", {"gfg", ""}, prepare_running_elsewhere, go_wait, MIXED, 1, 2},
	{"its removal", {"g", ""}, prepare_adopted, go_remove_elsewhere, JOB_STATE_COUNT, 1, 0},
	{"a purge", {"g", ""}, crashkit_prepare_ended, go_purge, JOB_COMPLETED, 1, 3},
};

static void test_a_job_is_found(void **state)
{
	(void)state;
	crashkit_sweep(&scenarios[0]);
}

static void test_a_running_one_is_found(void **state)
{
	(void)state;
	crashkit_sweep(&scenarios[1]);
}

static void test_fetch(void **state)
{
	(void)state;
	crashkit_sweep(&scenarios[2]);
}

static void test_wait(void **state)
{
	(void)state;
	crashkit_sweep(&scenarios[3]);
}

static void test_removal(void **state)
{
	(void)state;
	crashkit_sweep(&scenarios[4]);
}

static void test_purge(void **state)
{
	(void)state;
	crashkit_sweep(&scenarios[5]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_job_is_found),
		cmocka_unit_test(test_a_running_one_is_found),
		cmocka_unit_test(test_fetch),
		cmocka_unit_test(test_wait),
		cmocka_unit_test(test_removal),
		cmocka_unit_test(test_purge),
	};

	return cmocka_run_group_tests_name("elsewherecrash", tests, NULL, NULL);
}
