/* What happens between a draft that is ready and a part that runs: what is
 * told before anything is sent, and that nothing is created twice. */

#include <errno.h>

#include "fs/job/machine.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/jobskit.h"

/* --- exactly once --- */

static void test_what_was_not_created_is_as_if_never_asked(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	atomic_store(&k->provider->create_busy, 2);
	j = jobskit_submit(k, "busy");
	jobskit_wait_error(k, j, "the quota is full");
	jobskit_wait(k, j, JOB_QUEUED);
	/* Nothing can exist, so nothing has to be looked for to stop it. */
	atomic_store(&k->provider->create_busy, 1000);
	assert_int_equal(jobskit_command(k, j, COMMAND_STOP), 0);
	jobskit_wait(k, j, JOB_STOPPED);
	assert_int_equal(fakebackend_part_count(k->provider), 0);
}

static void test_a_lost_answer_is_looked_for_under_its_own_name(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	atomic_store(&k->provider->create_lost, 1);
	atomic_store(&k->provider->end, JOB_IN_PROGRESS);
	j = jobskit_submit(k, "first");
	jobskit_wait_error(k, j, "create: the provider is busy");
	assert_int_equal(jobskit_rename(k, j, "second"), 0);
	job_unrefp(&j);
	jobskit_restart(k);
	j = jobskit_find(k, "second");
	jobskit_wait(k, j, JOB_IN_PROGRESS);
	assert_int_equal(fakebackend_part_count(k->provider), 1);
	assert_string_equal(fakebackend_part(k->provider, 0).job_name, "first");
	assert_int_equal(k->provider->blind_repeats, 0);
}

static void test_a_stop_creates_nothing(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	/* It may exist, as far as we know; it does not. */
	atomic_store(&k->provider->create_again, 1000);
	j = jobskit_submit(k, "stop");
	jobskit_wait_error(k, j, "create: the provider is busy");
	assert_int_equal(jobskit_command(k, j, COMMAND_STOP), 0);
	jobskit_wait(k, j, JOB_STOPPED);
	assert_int_equal(fakebackend_part_count(k->provider), 0);
}

/* --- before anything is sent --- */

static void test_what_the_model_refuses_is_told_before_it_is_sent(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	k->provider->faults = "input.jsonl:1: max_tokens is missing; add it\n";
	j = jobskit_submit(k, "faulty");
	jobskit_wait_error(k, j, "max_tokens is missing");
	jobskit_wait(k, j, JOB_INVALID);
	assert_int_equal(fakebackend_part_count(k->provider), 0);
	k->provider->faults = NULL;
	k->provider->warnings = "input.jsonl:1: temperature is unusual\n";
	assert_int_equal(jobskit_write(j, "input.jsonl", JOBSKIT_INPUT), 0);
	jobskit_wait(k, j, JOB_COMPLETED);
}

static void test_what_costs_too_much_is_held(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = jobskit_make(k, "dear");

	k->provider->priced = true; /* 1 + 2 * 2 = 5 USD */
	assert_int_equal(jobskit_write(j, "config", "max_cost = 4.9\n"), 0);
	assert_int_equal(jobskit_write(j, "input.jsonl", JOBSKIT_INPUT), 0);
	assert_int_equal(jobskit_write(j, "model", "fake.echo\n"), 0);
	jobskit_wait_error(k, j, "5.00 USD");
	jobskit_wait(k, j, JOB_HELD);
	assert_int_equal(fakebackend_part_count(k->provider), 0);
	assert_int_equal(jobskit_command(k, j, COMMAND_SUBMIT), 0);
	jobskit_wait(k, j, JOB_COMPLETED);
}

static void test_a_limit_without_a_price_holds(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = jobskit_make(k, "unknown");

	assert_int_equal(jobskit_write(j, "config", "max_cost = 100\n"), 0);
	assert_int_equal(jobskit_write(j, "input.jsonl", JOBSKIT_INPUT), 0);
	assert_int_equal(jobskit_write(j, "model", "fake.echo\n"), 0);
	jobskit_wait_error(k, j, "no price is known");
	jobskit_wait(k, j, JOB_HELD);
	assert_int_equal(jobskit_write(j, "config", "max_cost = none\n"), 0);
	jobskit_wait(k, j, JOB_COMPLETED);
}

/* --- the minimum --- */

static void test_a_retry_of_too_few_is_not_sent(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	k->provider->outcomes[0] = "gff";
	j = jobskit_submit(k, "few");
	jobskit_wait(k, j, JOB_COMPLETED_WITH_ERRORS);
	atomic_store(&k->provider->records_min, 3);
	assert_int_equal(jobskit_command(k, j, COMMAND_RETRY), -EINVAL);
	assert_int_equal(fakebackend_part_count(k->provider), 1);
	atomic_store(&k->provider->records_min, 2);
	assert_int_equal(jobskit_command(k, j, COMMAND_RETRY), 0);
	jobskit_wait(k, j, JOB_COMPLETED);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, jobskit_setup, jobskit_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_what_was_not_created_is_as_if_never_asked),
		TEST(test_a_lost_answer_is_looked_for_under_its_own_name),
		TEST(test_a_stop_creates_nothing),
		TEST(test_what_the_model_refuses_is_told_before_it_is_sent),
		TEST(test_what_costs_too_much_is_held),
		TEST(test_a_limit_without_a_price_holds),
		TEST(test_a_retry_of_too_few_is_not_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
