/* What happens between a draft that is ready and a part that runs: what is
 * told before anything is sent, and that nothing is created twice. */

#include <errno.h>
#include <string.h>
#include <unistd.h>

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

/* Asked for again it is not created; that says nothing of what the first call made. */
static void test_what_was_asked_for_once_is_looked_for_ever_after(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	atomic_store(&k->provider->create_lost, 1);
	atomic_store(&k->provider->end, JOB_IN_PROGRESS);
	k->provider->outcomes[0] = "gm"; /* what is stopped has not run to its end */
	j = jobskit_submit(k, "lost");
	jobskit_wait_error(k, j, "create: the provider is busy");
	atomic_store(&k->provider->create_busy, 1000000);
	jobskit_wait_error(k, j, "the quota is full");
	/* A start knows it too. */
	job_unrefp(&j);
	jobskit_restart(k);
	j = jobskit_find(k, "lost");
	jobskit_wait_error(k, j, "the quota is full");
	assert_int_equal(jobskit_command(k, j, COMMAND_STOP), 0);
	atomic_store(&k->provider->create_busy, 0);
	jobskit_wait(k, j, JOB_STOPPED);
	assert_int_equal(fakebackend_part_count(k->provider), 1);
	assert_int_equal(fakebackend_part(k->provider, 0).stops, 1);
	assert_int_equal(k->provider->blind_repeats, 0);
}

/* --- one by one --- */

#define CROWD 9 /* more than there are threads */

struct crowd {
	struct job *jobs[CROWD];
};

static void crowd_release(struct crowd *c)
{
	for (size_t i = 0; i < CROWD; i++)
		job_unrefp(&c->jobs[i]);
}

static void crowd_submit(struct jobskit *k, struct crowd *c)
{
	for (size_t i = 0; i < CROWD; i++) {
		char name[32];

		snprintf(name, sizeof(name), "crowd-%zu", i);
		c->jobs[i] = jobskit_submit(k, name);
	}
}

static void test_those_who_wait_for_their_turn_hold_nobody_up(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *first = NULL;
	CLEANUP(crowd_release) struct crowd c = {{NULL}};

	atomic_store(&k->provider->create_every_ms, 3600000);
	atomic_store(&k->provider->end, JOB_IN_PROGRESS);
	first = jobskit_submit(k, "first");
	jobskit_wait(k, first, JOB_IN_PROGRESS);
	crowd_submit(k, &c);
	for (size_t i = 0; i < CROWD; i++)
		jobskit_wait(k, c.jobs[i], JOB_QUEUED);
	atomic_store(&k->provider->end, JOB_COMPLETED);
	jobskit_wait(k, first, JOB_COMPLETED);
	assert_int_equal(jobskit_command(k, c.jobs[3], COMMAND_STOP), 0);
	jobskit_wait(k, c.jobs[3], JOB_STOPPED);
	assert_int_equal(fakebackend_part_count(k->provider), 1);
	/* A start finds those that wait. */
	crowd_release(&c);
	job_unrefp(&first);
	atomic_store(&k->provider->create_every_ms, 0);
	jobskit_restart(k);
	first = jobskit_find(k, "crowd-8");
	jobskit_wait(k, first, JOB_COMPLETED);
}

static void test_creates_go_one_by_one(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(crowd_release) struct crowd c = {{NULL}};

	atomic_store(&k->provider->create_every_ms, 1);
	atomic_store(&k->provider->create_busy, 2); /* who fails passes the turn on */
	crowd_submit(k, &c);
	for (size_t i = 0; i < CROWD; i++)
		jobskit_wait(k, c.jobs[i], JOB_COMPLETED);
	assert_int_equal(fakebackend_part_count(k->provider), CROWD);
	assert_int_equal(atomic_load(&k->provider->creating_most), 1);
	for (unsigned i = 0; i < CROWD; i++)
		assert_int_equal(fakebackend_part(k->provider, i).creates, 1);
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
	jobskit_fill(j);
	jobskit_wait_error(k, j, "5.00 USD");
	jobskit_wait_error(k, j, "max_cost is 4.90;");
	/* Less than a cent is not nothing. */
	assert_int_equal(jobskit_write(j, "config", "max_cost = 0.00125\n"), 0);
	jobskit_wait_error(k, j, "max_cost is 0.00125;");
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
	jobskit_fill(j);
	jobskit_wait_error(k, j, "no price is known");
	jobskit_wait(k, j, JOB_HELD);
	assert_int_equal(jobskit_write(j, "config", "max_cost = none\n"), 0);
	jobskit_wait(k, j, JOB_COMPLETED);
}

/* --- refusals --- */

/* A role that was mended, say: nothing of the job is to be written anew. */
static void test_submit_asks_again_what_was_refused(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	atomic_store(&k->provider->create_refused, 2);
	j = jobskit_submit(k, "refused");
	jobskit_wait_error(k, j, "say please");
	jobskit_wait(k, j, JOB_INVALID);
	assert_int_equal(jobskit_command(k, j, COMMAND_SUBMIT), 0);
	jobskit_wait_error(k, j, "say please");
	jobskit_wait(k, j, JOB_INVALID);
	job_unrefp(&j);
	jobskit_restart(k);
	j = jobskit_find(k, "refused");
	jobskit_wait_error(k, j, "say please");
	assert_int_equal(jobskit_command(k, j, COMMAND_SUBMIT), 0);
	jobskit_wait(k, j, JOB_COMPLETED);
	assert_int_equal(fakebackend_part_count(k->provider), 1);
}

static void test_submit_of_what_is_known_to_be_refused(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	k->provider->faults = "input.jsonl:1: no such thing";
	j = jobskit_submit(k, "faulty");
	jobskit_wait(k, j, JOB_INVALID);
	assert_int_equal(jobskit_command(k, j, COMMAND_SUBMIT), 0);
	jobskit_wait_error(k, j, "no such thing");
	jobskit_wait(k, j, JOB_INVALID);
	assert_int_equal(fakebackend_part_count(k->provider), 0);
	/* A fault of the input itself is nothing to submit. */
	assert_int_equal(jobskit_write(j, "input.jsonl", "no\n"), -EINVAL);
	jobskit_wait_error(k, j, "input.jsonl:1:1");
	assert_int_equal(jobskit_command(k, j, COMMAND_SUBMIT), -EINVAL);
}

/* --- uploads that hang --- */

static bool log_has(struct job *j, const char *words)
{
	CLEANUP(fd_closep) int fd = -1;
	char text[8192];
	ssize_t n;

	assert_int_equal(job_log_open(j, &fd), 0);
	n = read(fd, text, sizeof(text) - 1);
	assert_true(n >= 0);
	text[n] = '\0';
	return strstr(text, words) != NULL;
}

static void hang(void *ctx, const char *operation)
{
	atomic_bool *hangs = ctx;

	while (strcmp(operation, "put_input") == 0 && atomic_load(hangs))
		usleep(1000);
}

static void test_uploads_that_hang_keep_nobody_waiting(void **state)
{
	struct jobskit *k = *state;
	atomic_bool hangs = true;
	struct job *up[8], *j, *running;

	atomic_store(&k->provider->end, JOB_IN_PROGRESS);
	running = jobskit_submit(k, "running");
	jobskit_wait(k, running, JOB_IN_PROGRESS);
	k->provider->ctx = &hangs;
	k->provider->called = hang;
	for (size_t i = 0; i < COUNT_OF(up); i++) {
		char name[] = "upN";

		name[2] = (char)('0' + i);
		up[i] = jobskit_submit(k, name);
		jobskit_wait(k, up[i], JOB_UPLOADING);
	}
	j = jobskit_make(k, "judged");
	assert_int_equal(jobskit_command(k, j, COMMAND_HOLD), 0);
	jobskit_fill(j);
	jobskit_wait(k, j, JOB_HELD);
	assert_int_equal(jobskit_command(k, running, COMMAND_STOP), 0);
	jobskit_wait(k, running, JOB_STOPPING);
	assert_int_equal(jobskit_command(k, running, COMMAND_STOP), 0); /* twice is no fault */
	atomic_store(&hangs, false);
	for (size_t i = 0; i < COUNT_OF(up); i++) {
		jobskit_wait(k, up[i], JOB_IN_PROGRESS);
		job_unref(up[i]);
	}
	k->provider->called = NULL;
	job_unref(j);
	job_unref(running);
}

/* As one whose storage does not answer. */
static int put_and_hang(struct backend *b, const struct backend_part *p, struct err *e)
{
	(void)b;
	while (!atomic_load(p->cancel))
		usleep(1000);
	return err_set(e, -ECANCELED, "cancelled");
}

static void test_a_stop_is_heard_by_an_upload_that_hangs(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	k->provider->ops.put_input = put_and_hang;
	j = jobskit_submit(k, "hangs");
	jobskit_wait(k, j, JOB_UPLOADING);
	assert_int_equal(jobskit_command(k, j, COMMAND_STOP), 0);
	jobskit_wait(k, j, JOB_STOPPED);
	assert_int_equal(fakebackend_part_count(k->provider), 0);
	assert_false(log_has(j, "cannot go on"));
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

/* --- what is shown meanwhile --- */

static bool has_good(struct job *j, void *count)
{
	CLEANUP(view_unrefp) struct view *v = job_view(j);

	return v->counts.good == *(uint64_t *)count;
}

static bool part_has_good(struct job *j, void *count)
{
	CLEANUP(view_unrefp) struct view *v = job_view(j);

	return v->part_count == 1 && v->parts[0].counts.good == *(uint64_t *)count;
}

static void test_counts_never_fall_nor_go_over_the_total(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;
	uint64_t one = 1, two = 2, three = 3;

	atomic_store(&k->provider->end, JOB_IN_PROGRESS);
	atomic_store(&k->provider->running_good, 2);
	j = jobskit_submit(k, "j");
	jobskit_wait_for(k, j, has_good, &two, __FILE__, __LINE__);
	atomic_store(&k->provider->running_good, 1);
	jobskit_wait_for(k, j, part_has_good, &one, __FILE__, __LINE__);
	assert_true(has_good(j, &two));
	atomic_store(&k->provider->running_good, 5);
	jobskit_wait_for(k, j, has_good, &three, __FILE__, __LINE__);
	assert_true(part_has_good(j, &three));
	atomic_store(&k->provider->end, JOB_COMPLETED);
	jobskit_wait(k, j, JOB_COMPLETED);
}

static unsigned commands_of(struct job *j)
{
	CLEANUP(view_unrefp) struct view *v = job_view(j);

	return v->commands & COMMANDS_RETRY;
}

static void test_a_retry_of_too_few_names_the_ways_out(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	atomic_store(&k->provider->records_min, 3);
	k->provider->outcomes[0] = "gff";
	j = jobskit_submit(k, "few");
	jobskit_wait(k, j, JOB_COMPLETED_WITH_ERRORS);
	/* What is listed is what is taken. */
	assert_int_equal(commands_of(j), COMMANDS_RETRY & ~(1u << COMMAND_RETRY));
	assert_int_equal(jobskit_command(k, j, COMMAND_RETRY), -EINVAL);
	assert_true(log_has(j, "`retry pad` fills it up"));
	assert_true(log_has(j, "`retry ondemand` runs them"));
}

/* An engine whose source has not that operation. */
static void test_forms_of_retry_are_for_sources_that_can(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	k->provider->ops.run_now = NULL;
	k->provider->ops.pad_record = NULL;
	k->provider->outcomes[0] = "gff";
	j = jobskit_submit(k, "few");
	jobskit_wait(k, j, JOB_COMPLETED_WITH_ERRORS);
	assert_int_equal(commands_of(j), 1u << COMMAND_RETRY);
	assert_int_equal(jobskit_command(k, j, COMMAND_RETRY_PAD), -EINVAL);
	assert_true(log_has(j, "retry pad: not taken"));
	assert_int_equal(jobskit_command(k, j, COMMAND_RETRY_ONDEMAND), -EINVAL);
	assert_true(log_has(j, "retry ondemand: not taken"));
}

/* Who writes a command right after the files does not have to wait for anything. */
static void test_submit_waits_for_the_draft_to_be_looked_at(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = jobskit_make(k, "quick");

	assert_int_equal(jobskit_command(k, j, COMMAND_HOLD), 0);
	assert_int_equal(jobskit_write(j, "input.jsonl", JOBSKIT_INPUT), 0);
	assert_int_equal(jobskit_write(j, "model", "fake.echo\n"), 0);
	assert_int_equal(jobskit_command(k, j, COMMAND_SUBMIT), 0);
	jobskit_wait(k, j, JOB_COMPLETED);
}

/* --- the end --- */

/* They may be the answers, and paid for. */
static void test_lines_of_no_record_are_to_be_looked_at(void **state)
{
	static const char *const outcomes[] = {"s", "gsf"};
	static const enum job_state ends[] = {JOB_FAILED, JOB_PARTIALLY_COMPLETED};
	struct jobskit *k = *state;

	for (size_t i = 0; i < COUNT_OF(outcomes); i++) {
		CLEANUP(job_unrefp) struct job *j = jobskit_make(k, i ? "some" : "all");

		k->provider->outcomes[0] = outcomes[i];
		assert_int_equal(jobskit_write(j, "config", "retry_max = 3\n"), 0);
		jobskit_fill(j);
		jobskit_wait_error(k, j,
				   i ? "1 result lines belong to no record"
				     : "3 result lines belong to no record");
		jobskit_wait_error(k, j, "before a retry, which pays again");
		jobskit_wait(k, j, ends[i]);
		/* Nobody pays by himself. */
		assert_int_equal(fakebackend_part_count(k->provider), i + 1);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, jobskit_setup, jobskit_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_what_was_not_created_is_as_if_never_asked),
		TEST(test_a_lost_answer_is_looked_for_under_its_own_name),
		TEST(test_a_stop_creates_nothing),
		TEST(test_what_was_asked_for_once_is_looked_for_ever_after),
		TEST(test_those_who_wait_for_their_turn_hold_nobody_up),
		TEST(test_creates_go_one_by_one),
		TEST(test_what_the_model_refuses_is_told_before_it_is_sent),
		TEST(test_what_costs_too_much_is_held),
		TEST(test_a_limit_without_a_price_holds),
		TEST(test_submit_asks_again_what_was_refused),
		TEST(test_submit_of_what_is_known_to_be_refused),
		TEST(test_uploads_that_hang_keep_nobody_waiting),
		TEST(test_a_stop_is_heard_by_an_upload_that_hangs),
		TEST(test_a_retry_of_too_few_is_not_sent),
		TEST(test_a_retry_of_too_few_names_the_ways_out),
		TEST(test_forms_of_retry_are_for_sources_that_can),
		TEST(test_lines_of_no_record_are_to_be_looked_at),
		TEST(test_counts_never_fall_nor_go_over_the_total),
		TEST(test_submit_waits_for_the_draft_to_be_looked_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
