/* Names of jobs: making, renaming and removing them in every state, and what a
 * restart finds of it; and the times it keeps. */

#include "fs/job/jobs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/cmocka_all.h"
#include "tests/unit/jobskit.h"

static void test_names(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *a = jobskit_make(k, "a");
	CLEANUP(job_unrefp) struct job *b = jobskit_make(k, "b");

	assert_int_equal(jobskit_try_make(k, "a"), -EEXIST);
	assert_int_equal(jobskit_try_make(k, ".Trash"), -EPERM);
	assert_int_equal(jobskit_try_make(k, "two\nlines"), -EINVAL);
	assert_int_equal(jobskit_try_make(k, "\xff"), -EINVAL);
	assert_int_equal(jobskit_rename(k, a, "b"), -EEXIST);
	assert_int_equal(jobskit_rename(k, a, ".b"), -EPERM);
	assert_int_equal(jobskit_rename(k, a, "c"), 0);
	assert_null(jobs_find(k->jobs, "a"));
	assert_int_equal(jobskit_try_make(k, "a"), 0);
	assert_int_equal(jobskit_remove(k, b), 0);
	assert_true(job_is_removed(b));
	assert_int_equal(jobskit_remove(k, b), -ENOENT);
	assert_int_equal(jobskit_rename(k, b, "z"), -ENOENT);
	assert_int_equal(jobskit_command(k, b, COMMAND_HOLD), -ENOENT);
	assert_int_equal(jobs_job_count(k->jobs), 2);
	jobskit_stop(k);
	/* The store and the list agree, also after what was refused. */
	job_unref(STEAL(&a));
	job_unref(STEAL(&b));
}

static void test_rename_in_every_state(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = jobskit_make(k, "draft");

	assert_int_equal(jobskit_rename(k, j, "one"), 0);
	atomic_store(&k->provider->put_again, 1000);
	assert_int_equal(jobskit_write(j, "input.jsonl", JOBSKIT_INPUT), 0);
	assert_int_equal(jobskit_write(j, "model", "fake.echo"), 0);
	jobskit_wait_error(k, j, "put_input");
	assert_int_equal(jobskit_rename(k, j, "two"), 0);
	atomic_store(&k->provider->end, JOB_IN_PROGRESS);
	atomic_store(&k->provider->put_again, 0);
	assert_int_equal(jobskit_command(k, j, COMMAND_REFRESH), 0);
	jobskit_wait(k, j, JOB_IN_PROGRESS);
	assert_int_equal(jobskit_rename(k, j, "three"), 0);
	atomic_store(&k->provider->end, JOB_COMPLETED);
	jobskit_wait(k, j, JOB_COMPLETED);
	assert_int_equal(jobskit_rename(k, j, "four"), 0);
	job_unref(j);
	jobskit_restart(k);
	j = jobskit_find(k, "four");
	jobskit_wait(k, j, JOB_COMPLETED);
}

static void test_remove_in_every_state(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *draft = jobskit_make(k, "draft");
	CLEANUP(job_unrefp) struct job *j = NULL;

	assert_int_equal(jobskit_remove(k, draft), 0);
	atomic_store(&k->provider->end, JOB_IN_PROGRESS);
	atomic_store(&k->provider->put_again, 1000);
	j = jobskit_submit(k, "j");
	jobskit_wait_error(k, j, "put_input");
	assert_int_equal(jobskit_remove(k, j), -EBUSY);
	assert_int_equal(job_may_unlink(j), -EBUSY);
	atomic_store(&k->provider->put_again, 0);
	assert_int_equal(jobskit_command(k, j, COMMAND_REFRESH), 0);
	jobskit_wait(k, j, JOB_IN_PROGRESS);
	assert_int_equal(jobskit_remove(k, j), -EBUSY);
	atomic_store(&k->provider->end, JOB_COMPLETED);
	jobskit_wait(k, j, JOB_COMPLETED);
	assert_int_equal(jobskit_remove(k, j), 0);
	assert_int_equal(jobs_job_count(k->jobs), 0);
	jobskit_stop(k);
	assert_int_equal(fakebackend_part(k->provider, 0).forgets, 1);
	job_unref(STEAL(&draft));
	job_unref(STEAL(&j));
}

/* --- times --- */

static void test_times_are_kept(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = jobskit_submit(k, "ended");
	CLEANUP(job_unrefp) struct job *d = jobskit_make(k, "draft");
	CLEANUP(view_unrefp) struct view *v = NULL;
	CLEANUP(view_unrefp) struct view *w = NULL;

	jobskit_wait(k, j, JOB_COMPLETED);
	jobskit_wait(k, d, JOB_DRAFT);
	v = job_view(j);
	w = job_view(d);
	job_unref(STEAL(&j));
	job_unref(STEAL(&d));
	jobskit_stop(k);
	jobskit_start(k);
	j = jobskit_find(k, "ended");
	d = jobskit_find(k, "draft");
	jobskit_wait(k, j, JOB_COMPLETED);
	for (int i = 0; i < 2; i++) {
		const struct view *old = i ? w : v;
		CLEANUP(view_unrefp) struct view *now = job_view(i ? d : j);

		assert_memory_equal(now->times_ns, old->times_ns, sizeof(now->times_ns));
		assert_int_equal(now->names_ns, old->names_ns);
		assert_int_equal(now->created_ns, old->created_ns);
		assert_int_equal(now->ended_ns, old->ended_ns);
		assert_int_equal(now->submitted_ns, old->submitted_ns);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, jobskit_setup, jobskit_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_names),
		TEST(test_rename_in_every_state),
		TEST(test_remove_in_every_state),
		TEST(test_times_are_kept),
	};

	return cmocka_run_group_tests_name("jobnames", tests, NULL, NULL);
}
