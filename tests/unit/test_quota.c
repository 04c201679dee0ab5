/* The provider runs so many parts at once: who waits, who goes next, and that
 * nothing is created twice or never. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/job/machine.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/jobskit.h"

/* --- kit --- */

/* Places and the provider's own counts change without a word of the engine's. */
static void wait_until(bool (*is_so)(struct jobskit *k, struct job *j, unsigned n),
		       struct jobskit *k, struct job *j, unsigned n)
{
	for (int ms = 0; ms < 20000; ms++) {
		if (is_so(k, j, n))
			return;
		usleep(1000);
	}
	fail_msg("what is waited for does not come (%u)", n);
}

static bool has_place(struct jobskit *k, struct job *j, unsigned n)
{
	(void)k;
	return job_queue_place(j) == n;
}

static bool has_parts(struct jobskit *k, struct job *j, unsigned n)
{
	(void)j;
	return fakebackend_part_count(k->provider) >= n;
}

static struct job *submit_numbered(struct jobskit *k, unsigned i)
{
	char name[16];

	snprintf(name, sizeof(name), "job-%02u", i);
	return jobskit_submit(k, name);
}

/* Each once, and nobody was asked blindly. */
static void check_parts(struct jobskit *k, unsigned count)
{
	assert_int_equal(fakebackend_part_count(k->provider), count);
	assert_int_equal(k->provider->blind_repeats, 0);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(fakebackend_part(k->provider, i).creates, 1);
}

static void check_name(struct jobskit *k, unsigned part, const char *name)
{
	assert_string_equal(fakebackend_part(k->provider, part).job_name, name);
}

/* Of those that run, one ends, the first that was created. */
static void end_one(struct jobskit *k)
{
	atomic_store(&k->provider->end, JOB_COMPLETED);
	atomic_fetch_add(&k->provider->ends, 1);
}

static void end_all(struct jobskit *k)
{
	atomic_store(&k->provider->end, JOB_COMPLETED);
	atomic_store(&k->provider->ends_counted, false);
}

/* --- a job of many parts --- */

#define LARGE_PARTS 11

/* "large", LARGE_PARTS parts that are staged; the engine is stopped. */
static void plant_large(struct jobskit *k)
{
	CLEANUP(job_unrefp) struct job *j = jobskit_make(k, "large");
	char input[LARGE_PARTS * 48] = "";

	for (unsigned i = 0; i < LARGE_PARTS; i++)
		snprintf(input + strlen(input), sizeof(input) - strlen(input),
			 "{\"recordId\":\"r%u\",\"modelInput\":{}}\n", i);
	atomic_store(&k->provider->create_busy, 1000000);
	assert_int_equal(jobskit_write(j, "input.jsonl", input), 0);
	assert_int_equal(jobskit_write(j, "model", "fake.echo\n"), 0);
	jobskit_wait_error(k, j, "cannot be reached");
	job_unrefp(&j);
	jobskit_stop(k);
	assert_int_equal(jobskit_cut(k), LARGE_PARTS);
	atomic_store(&k->provider->create_busy, 0);
}

static void check_large(struct job *j)
{
	CLEANUP(str_freep) char *out = jobskit_results(j, RESULTS_OUTPUT);
	const char *at = out;
	char id[32];

	for (unsigned i = 0; i < LARGE_PARTS; i++) {
		snprintf(id, sizeof(id), "\"recordId\":\"r%u\"", i);
		at = strstr(at, id); /* in the order of the input */
		assert_non_null(at);
	}
}

static void test_a_small_job_goes_before_the_rest_of_a_large_one(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *large = NULL;
	CLEANUP(job_unrefp) struct job *small = NULL;

	plant_large(k);
	atomic_store(&k->provider->parts_at_once, 3);
	atomic_store(&k->provider->ends_counted, true);
	jobskit_start(k);
	large = jobskit_find(k, "large");
	wait_until(has_parts, k, NULL, 3);
	wait_until(has_place, k, large, 1);
	small = jobskit_submit(k, "small");
	wait_until(has_place, k, small, 1);
	wait_until(has_place, k, large, 2);
	jobskit_wait(k, small, JOB_QUEUED);
	assert_int_equal(fakebackend_part_count(k->provider), 3);
	end_one(k);
	wait_until(has_parts, k, NULL, 4);
	check_name(k, 3, "small");
	wait_until(has_place, k, large, 1);
	assert_int_equal(job_queue_place(small), 0);
	end_all(k);
	jobskit_wait(k, small, JOB_COMPLETED);
	jobskit_wait(k, large, JOB_COMPLETED);
	check_parts(k, LARGE_PARTS + 1);
	assert_int_equal(atomic_load(&k->provider->live_most), 3);
	check_large(large);
}

/* Between a part that ended and the next one that is not created yet. */
static void test_a_job_with_parts_that_wait_is_in_progress(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *large = NULL;

	plant_large(k);
	atomic_store(&k->provider->parts_at_once, 1);
	atomic_store(&k->provider->ends_counted, true);
	jobskit_start(k);
	large = jobskit_find(k, "large");
	wait_until(has_parts, k, NULL, 1);
	atomic_store(&k->provider->create_busy, 1000000);
	end_one(k);
	jobskit_wait_error(k, large, "cannot be reached");
	jobskit_wait(k, large, JOB_IN_PROGRESS);
	/* And so it is after a start: the end was stored at once. */
	job_unrefp(&large);
	jobskit_restart(k);
	large = jobskit_find(k, "large");
	jobskit_wait(k, large, JOB_IN_PROGRESS);
	assert_int_equal(fakebackend_part_count(k->provider), 1);
	atomic_store(&k->provider->create_busy, 0);
	end_all(k);
	jobskit_wait(k, large, JOB_COMPLETED);
	check_parts(k, LARGE_PARTS);
	assert_int_equal(atomic_load(&k->provider->live_most), 1);
}

static void test_a_start_counts_what_runs(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *large = NULL;
	CLEANUP(job_unrefp) struct job *small = NULL;

	plant_large(k);
	atomic_store(&k->provider->parts_at_once, 4);
	atomic_store(&k->provider->ends_counted, true);
	for (int i = 0; i < 3; i++) {
		jobskit_start(k);
		wait_until(has_parts, k, NULL, 4);
		jobskit_stop(k);
	}
	jobskit_start(k);
	large = jobskit_find(k, "large");
	small = jobskit_submit(k, "small");
	wait_until(has_place, k, small, 1);
	assert_int_equal(fakebackend_part_count(k->provider), 4);
	/* A create whose answer is lost holds its slot, also over a start. */
	atomic_store(&k->provider->create_lost, 1);
	end_one(k);
	jobskit_wait_error(k, small, "create: the provider is busy");
	job_unrefp(&large);
	job_unrefp(&small);
	jobskit_restart(k);
	small = jobskit_find(k, "small");
	jobskit_wait(k, small, JOB_IN_PROGRESS);
	large = jobskit_find(k, "large");
	end_all(k);
	jobskit_wait(k, large, JOB_COMPLETED);
	jobskit_wait(k, small, JOB_COMPLETED);
	assert_int_equal(fakebackend_part_count(k->provider), LARGE_PARTS + 1);
	assert_int_equal(k->provider->blind_repeats, 0);
	assert_int_equal(atomic_load(&k->provider->live_most), 4);
}

/* --- who waited longest --- */

#define CROWD 12

struct crowd {
	struct job *jobs[CROWD];
};

static void crowd_release(struct crowd *c)
{
	for (unsigned i = 0; i < CROWD; i++)
		job_unrefp(&c->jobs[i]);
}

static void crowd_find(struct jobskit *k, struct crowd *c)
{
	char name[16];

	for (unsigned i = 0; i < CROWD; i++) {
		snprintf(name, sizeof(name), "job-%02u", i);
		c->jobs[i] = jobskit_find(k, name);
	}
}

static void test_first_come_first_served(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(crowd_release) struct crowd c = {{NULL}};

	atomic_store(&k->provider->parts_at_once, 2);
	atomic_store(&k->provider->ends_counted, true);
	for (unsigned i = 0; i < CROWD; i++) {
		c.jobs[i] = submit_numbered(k, i);
		if (i < 2)
			wait_until(has_parts, k, NULL, i + 1);
		else
			wait_until(has_place, k, c.jobs[i], i - 1);
	}
	/* A start does not shuffle them. */
	crowd_release(&c);
	jobskit_restart(k);
	crowd_find(k, &c);
	wait_until(has_place, k, c.jobs[CROWD - 1], CROWD - 2);
	for (unsigned i = 2; i < CROWD; i++) {
		char name[16];

		end_one(k);
		wait_until(has_parts, k, NULL, i + 1);
		snprintf(name, sizeof(name), "job-%02u", i);
		check_name(k, i, name);
	}
	end_all(k);
	for (unsigned i = 0; i < CROWD; i++)
		jobskit_wait(k, c.jobs[i], JOB_COMPLETED);
	check_parts(k, CROWD);
	assert_int_equal(atomic_load(&k->provider->live_most), 2);
}

/* --- what frees a slot, and what takes one --- */

static void test_what_will_not_run_frees_its_slot(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *first = NULL;
	CLEANUP(job_unrefp) struct job *refused = NULL;
	CLEANUP(job_unrefp) struct job *stopped = NULL;
	CLEANUP(job_unrefp) struct job *last = NULL;

	k->provider->outcomes[0] = "gm";
	atomic_store(&k->provider->parts_at_once, 1);
	atomic_store(&k->provider->end, JOB_IN_PROGRESS);
	first = jobskit_submit(k, "first");
	wait_until(has_parts, k, NULL, 1);
	refused = jobskit_submit(k, "refused");
	wait_until(has_place, k, refused, 1);
	stopped = jobskit_submit(k, "stopped");
	wait_until(has_place, k, stopped, 2);
	last = jobskit_submit(k, "last");
	wait_until(has_place, k, last, 3);
	/* Who waits can be stopped, and was never asked for. */
	assert_int_equal(jobskit_command(k, stopped, COMMAND_STOP), 0);
	jobskit_wait(k, stopped, JOB_STOPPED);
	wait_until(has_place, k, last, 2);
	assert_int_equal(job_queue_place(stopped), 0);
	/* A stop frees a slot; one who is refused passes his on. */
	atomic_store(&k->provider->create_refused, 1);
	assert_int_equal(jobskit_command(k, first, COMMAND_STOP), 0);
	jobskit_wait(k, first, JOB_STOPPED);
	jobskit_wait(k, refused, JOB_INVALID);
	wait_until(has_parts, k, NULL, 2);
	check_name(k, 1, "last");
	atomic_store(&k->provider->end, JOB_COMPLETED);
	jobskit_wait(k, last, JOB_PARTIALLY_COMPLETED);
	check_parts(k, 2);
}

static void test_jobs_made_elsewhere_take_slots(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *theirs = NULL;
	CLEANUP(job_unrefp) struct job *ours = NULL;

	atomic_store(&k->provider->lists, true);
	atomic_store(&k->provider->parts_at_once, 1);
	atomic_store(&k->provider->end, JOB_IN_PROGRESS);
	fakebackend_make_elsewhere(k->provider, "console", "theirs", JOB_IN_PROGRESS);
	jobskit_restart(k); /* which looks at what there is */
	theirs = jobskit_wait_job(k, "theirs");
	jobskit_wait(k, theirs, JOB_IN_PROGRESS);
	ours = jobskit_submit(k, "ours");
	wait_until(has_place, k, ours, 1);
	assert_int_equal(fakebackend_part_count(k->provider), 1);
	atomic_store(&k->provider->end, JOB_COMPLETED);
	jobskit_wait(k, ours, JOB_COMPLETED);
	assert_int_equal(fakebackend_part_count(k->provider), 2);
	assert_int_equal(atomic_load(&k->provider->live_most), 1);
}

/* --- refusals --- */

static bool log_says(struct job *j, const char *words)
{
	CLEANUP(fd_closep) int fd = -1;
	char text[16384];
	ssize_t n;

	assert_int_equal(job_log_open(j, &fd), 0);
	n = read(fd, text, sizeof(text) - 1);
	assert_true(n >= 0);
	text[n] = '\0';
	return strstr(text, words) != NULL;
}

static void test_a_storm_of_refusals(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(crowd_release) struct crowd c = {{NULL}};

	atomic_store(&k->provider->quota, 3);
	atomic_store(&k->provider->ends_counted, true);
	for (unsigned i = 0; i < CROWD; i++)
		c.jobs[i] = submit_numbered(k, i);
	wait_until(has_parts, k, NULL, 3);
	/* In the middle of it, a start that knows nothing of the limit. */
	end_one(k);
	wait_until(has_parts, k, NULL, 4);
	crowd_release(&c);
	jobskit_restart(k);
	crowd_find(k, &c);
	end_all(k);
	for (unsigned i = 0; i < CROWD; i++) {
		jobskit_wait(k, c.jobs[i], JOB_COMPLETED);
		assert_false(log_says(c.jobs[i], "cannot go on"));
	}
	check_parts(k, CROWD);
	assert_int_equal(atomic_load(&k->provider->live_most), 3);
}

/* The kit's clock, which a test sets forward. */
static _Atomic int64_t ahead_ns;

static int64_t mono_ahead(struct clock *c)
{
	(void)c;
	return clock_mono_ns(clock_system()) + atomic_load(&ahead_ns);
}

static void test_a_refusal_is_told_and_tried_again_later(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;
	CLEANUP(view_unrefp) struct view *v = NULL;

	/* All of the quota is used by somebody that we do not see. */
	fakebackend_make_elsewhere(k->provider, "hidden", "hidden", JOB_IN_PROGRESS);
	atomic_store(&k->provider->quota, 1);
	atomic_store(&k->provider->end, JOB_IN_PROGRESS);
	j = jobskit_submit(k, "ours");
	jobskit_wait(k, j, JOB_QUEUED);
	wait_until(has_place, k, j, 1);
	assert_int_equal(atomic_load(&k->provider->quota_refusals), 1);
	assert_true(log_says(j, "ask for a larger one"));
	v = job_view(j);
	assert_string_equal(v->error, "");
	/* Whatever else happens, nothing is tried before its time. */
	assert_int_equal(jobskit_command(k, j, COMMAND_REFRESH), 0);
	assert_int_equal(jobskit_rename(k, j, "renamed"), 0);
	wait_until(has_place, k, j, 1);
	assert_int_equal(atomic_load(&k->provider->quota_refusals), 1);
	atomic_store(&k->provider->quota, 2);
	atomic_fetch_add(&ahead_ns, 61 * NS_PER_S);
	assert_int_equal(jobskit_command(k, j, COMMAND_REFRESH), 0);
	wait_until(has_parts, k, NULL, 2);
	assert_int_equal(atomic_load(&k->provider->quota_refusals), 1);
}

/* What was asked for without an answer, and is then refused, waits like the others. */
static void test_a_refusal_after_a_lost_answer(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	fakebackend_make_elsewhere(k->provider, "hidden", "hidden", JOB_IN_PROGRESS);
	atomic_store(&k->provider->quota, 1);
	atomic_store(&k->provider->end, JOB_IN_PROGRESS);
	atomic_store(&k->provider->create_again, 1);
	j = jobskit_submit(k, "ours");
	wait_until(has_place, k, j, 1);
	assert_true(log_says(j, "ask for a larger one"));
	assert_int_equal(atomic_load(&k->provider->quota_refusals), 1);
	assert_int_equal(jobskit_command(k, j, COMMAND_REFRESH), 0);
	wait_until(has_place, k, j, 1);
	assert_int_equal(atomic_load(&k->provider->quota_refusals), 1);
	/* It is looked for, and is not there. */
	assert_int_equal(jobskit_command(k, j, COMMAND_STOP), 0);
	jobskit_wait(k, j, JOB_STOPPED);
	assert_int_equal(fakebackend_part_count(k->provider), 1);
}

static int setup(void **state)
{
	struct jobskit *k;

	if (jobskit_setup(state) != 0)
		return -1;
	k = *state;
	jobskit_stop(k);
	atomic_store(&ahead_ns, 0);
	k->clock.mono_ns = mono_ahead;
	k->provider->busy_words = "the provider cannot be reached";
	jobskit_start(k);
	return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, jobskit_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_small_job_goes_before_the_rest_of_a_large_one),
		TEST(test_a_job_with_parts_that_wait_is_in_progress),
		TEST(test_a_start_counts_what_runs),
		TEST(test_first_come_first_served),
		TEST(test_what_will_not_run_frees_its_slot),
		TEST(test_jobs_made_elsewhere_take_slots),
		TEST(test_a_storm_of_refusals),
		TEST(test_a_refusal_is_told_and_tried_again_later),
		TEST(test_a_refusal_after_a_lost_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
