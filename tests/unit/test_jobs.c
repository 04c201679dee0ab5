/* The life of a job from its draft to every end, what a user may ask of it on
 * the way, and what a provider may answer. */

#include "fs/job/jobs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/cmocka_all.h"
#include "tests/unit/jobskit.h"
#include "tests/unit/tempdir.h"

static void assert_results(struct job *j, enum results_file f, const char *words, bool present)
{
	CLEANUP(str_freep) char *text = jobskit_results(j, f);

	if ((strstr(text, words) != NULL) != present)
		fail_msg("file %d: %s is %s in %s", (int)f, words, present ? "not" : "", text);
}

static void assert_error(struct job *j, const char *words)
{
	CLEANUP(view_unrefp) struct view *v = job_view(j);

	if (!strstr(v->error, words))
		fail_msg("error is [%s], without [%s]", v->error, words);
}

static struct counts counts_of(struct job *j)
{
	CLEANUP(view_unrefp) struct view *v = job_view(j);

	return v->counts;
}

/* --- ends --- */

static const struct {
	const char *why, *outcomes, *message, *error;
	enum job_state part, end;
	unsigned good, failed;
} ends[] = {
	{"all good", "g", "", "", JOB_COMPLETED, JOB_COMPLETED, 3, 0},
	{"one fails", "gfg", "", "", JOB_COMPLETED, JOB_COMPLETED_WITH_ERRORS, 2, 1},
	{"all fail", "f", "",
	 "the first one says: 400: no; fake.echo says so to 400: ask nicely; see errors.jsonl",
	 JOB_COMPLETED, JOB_FAILED, 0, 3},
	{"nothing came", "m", "bad role", "bad role", JOB_FAILED, JOB_FAILED, 0, 0},
	{"out of time", "gmm", "24 h", "24 h", JOB_PARTIALLY_COMPLETED, JOB_PARTIALLY_COMPLETED, 1,
	 0},
	{"expired in the queue", "m", "late", "late", JOB_EXPIRED, JOB_EXPIRED, 0, 0},
	{"expired with results", "gm", "late", "late", JOB_EXPIRED, JOB_PARTIALLY_COMPLETED, 1, 0},
	{"stopped over there", "gm", "", "", JOB_STOPPED, JOB_STOPPED, 1, 0},
};

static void test_ends(void **state)
{
	struct jobskit *k = *state;

	for (size_t i = 0; i < COUNT_OF(ends); i++) {
		CLEANUP(job_unrefp) struct job *j = NULL;
		struct counts c;

		k->provider->outcomes[0] = ends[i].outcomes;
		k->provider->message = ends[i].message;
		atomic_store(&k->provider->end, ends[i].part);
		j = jobskit_submit(k, ends[i].why);
		jobskit_wait(k, j, ends[i].end);
		c = counts_of(j);
		if (c.good != ends[i].good || c.failed != ends[i].failed || c.total != 3)
			fail_msg("%s: %d good, %d failed", ends[i].why, (int)c.good, (int)c.failed);
		assert_error(j, ends[i].error);
		assert_results(j, RESULTS_CSV, "record_id,", true);
		assert_results(j, RESULTS_OUTPUT, "\"a of 1\"", ends[i].good > 0);
		assert_int_equal(fakebackend_part(k->provider, (unsigned)i).creates, 1);
	}
	assert_int_equal(fakebackend_part_count(k->provider), COUNT_OF(ends));
}

/* The first failed record's words are as long as a server likes. */
static void test_an_end_with_endless_words(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;
	CLEANUP(str_freep) char *words = malloc(200001);

	assert_non_null(words);
	memset(words, 'w', 200000);
	words[200000] = '\0';
	k->provider->longwords = words;
	k->provider->outcomes[0] = "f";
	j = jobskit_submit(k, "long");
	jobskit_wait(k, j, JOB_FAILED);
	assert_error(j, "the first one says: 400: www");
}

/* --- refusals --- */

static void test_a_refused_job_is_the_users_again(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;
	CLEANUP(view_unrefp) struct view *v = NULL;

	k->provider->outcomes[0] = "gfg";
	atomic_store(&k->provider->create_refused, 1);
	j = jobskit_submit(k, "refused");
	jobskit_wait(k, j, JOB_INVALID);
	assert_error(j, "say please");
	assert_int_equal(fakebackend_part_count(k->provider), 0);
	/* It stays so over a restart, and does not try again by itself. */
	job_unref(j);
	jobskit_restart(k);
	j = jobskit_find(k, "refused");
	jobskit_wait(k, j, JOB_INVALID);
	assert_error(j, "say please");
	assert_int_equal(jobskit_write(j, ".input.jsonl.swp", "an editor looks\n"), 0);
	jobskit_wait(k, j, JOB_INVALID);
	assert_int_equal(fakebackend_part_count(k->provider), 0);
	assert_int_equal(jobskit_write(j, "model", "fake.other\n"), 0);
	/* What was refused is no part of this attempt: nothing was stopped. */
	jobskit_wait(k, j, JOB_COMPLETED_WITH_ERRORS);
	v = job_view(j);
	assert_string_equal(v->error, "");
	assert_int_equal(v->part_count, 1);
	assert_int_equal(v->attempt, 1);
	assert_int_equal(fakebackend_part(k->provider, 0).creates, 1);
}

static void test_a_refused_upload(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	atomic_store(&k->provider->put_refused, 1);
	j = jobskit_submit(k, "upload");
	jobskit_wait(k, j, JOB_INVALID);
	assert_error(j, "say please");
	assert_int_equal(jobskit_write(j, "input.jsonl", JOBSKIT_INPUT), 0);
	jobskit_wait(k, j, JOB_COMPLETED);
}

/* A `submit` is for what was there then, not for what is edited later. */
static void test_a_submit_does_not_outlive_a_refusal(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	jobskit_stop(k);
	k->o.settings.manual = true;
	jobskit_start(k);
	atomic_store(&k->provider->create_refused, 1);
	j = jobskit_submit(k, "held");
	jobskit_wait(k, j, JOB_HELD);
	assert_int_equal(jobskit_command(k, j, COMMAND_SUBMIT), 0);
	jobskit_wait(k, j, JOB_INVALID);
	assert_int_equal(jobskit_write(j, "model", "fake.other\n"), 0);
	jobskit_wait(k, j, JOB_HELD);
	assert_int_equal(fakebackend_part_count(k->provider), 0);
}

static void test_a_submit_left_on_a_draft_that_is_not_ready(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;
	struct err e = ERR_INIT;
	uint64_t number;

	jobskit_stop(k);
	k->o.settings.manual = true;
	jobskit_start(k);
	j = jobskit_submit(k, "held");
	jobskit_wait(k, j, JOB_HELD);
	number = job_number(j);
	/* As if the daemon had died between the command and its effect, and the
	 * file was bad when it came back. */
	assert_int_equal(jobskit_write(j, "input.jsonl", "no\n"), -EINVAL);
	jobskit_wait(k, j, JOB_INVALID);
	job_unref(j);
	jobs_stop(k->jobs);
	assert_int_equal(
		store_job_wish(k->store, number, &(struct store_wishes){.submit = true}, &e), 0);
	jobskit_restart(k);
	j = jobskit_find(k, "held");
	jobskit_wait(k, j, JOB_INVALID);
	assert_int_equal(jobskit_write(j, "input.jsonl", JOBSKIT_INPUT), 0);
	jobskit_wait(k, j, JOB_HELD);
	assert_int_equal(fakebackend_part_count(k->provider), 0);
}

/* --- trouble --- */

static void test_trouble_is_told_and_gone(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;
	CLEANUP(view_unrefp) struct view *v = NULL;

	atomic_store(&k->provider->create_again, 1000);
	j = jobskit_submit(k, "busy");
	jobskit_wait_error(k, j, "create: the provider is busy");
	jobskit_wait(k, j, JOB_QUEUED);
	atomic_store(&k->provider->create_again, 0);
	assert_int_equal(jobskit_command(k, j, COMMAND_REFRESH), 0);
	jobskit_wait(k, j, JOB_COMPLETED);
	v = job_view(j);
	assert_string_equal(v->error, "");
}

/* Of a list that breaks off the first pages have come all the same. */
static void test_an_end_that_is_told_before_a_poll_fails(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	atomic_store(&k->provider->end, JOB_FAILED);
	atomic_store(&k->provider->poll_torn, 1000);
	k->provider->message = "the role may not read the input";
	k->provider->outcomes[0] = "m";
	j = jobskit_submit(k, "torn");
	jobskit_wait(k, j, JOB_FAILED);
	jobskit_wait_error(k, j, "the role may not read the input");
}

static void test_trouble_in_every_call(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	atomic_store(&k->provider->put_again, 1);
	atomic_store(&k->provider->create_again, 1);
	atomic_store(&k->provider->create_lost, 1);
	atomic_store(&k->provider->poll_again, 2);
	atomic_store(&k->provider->fetch_again, 1);
	j = jobskit_submit(k, "busy");
	jobskit_wait(k, j, JOB_COMPLETED);
	assert_int_equal(fakebackend_part_count(k->provider), 1);
}

static void test_polls_that_fail_are_told(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(view_unrefp) struct view *v = NULL;
	CLEANUP(job_unrefp) struct job *j = NULL;

	atomic_store(&k->provider->end, JOB_IN_PROGRESS);
	j = jobskit_submit(k, "unasked");
	jobskit_wait(k, j, JOB_IN_PROGRESS);
	atomic_store(&k->provider->poll_again, 1000);
	jobskit_wait_error(k, j, "cannot be asked about: poll: the provider is busy");
	jobskit_wait(k, j, JOB_IN_PROGRESS);
	atomic_store(&k->provider->poll_again, 0);
	atomic_store(&k->provider->end, JOB_COMPLETED);
	jobskit_wait(k, j, JOB_COMPLETED);
	v = job_view(j);
	assert_string_equal(v->error, "");
}

/* --- stop --- */

static void test_stop_while_it_runs(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	atomic_store(&k->provider->end, JOB_IN_PROGRESS);
	k->provider->outcomes[0] = "gm";
	j = jobskit_submit(k, "stop");
	jobskit_wait(k, j, JOB_IN_PROGRESS);
	assert_int_equal(jobskit_command(k, j, COMMAND_STOP), 0);
	jobskit_wait(k, j, JOB_STOPPED);
	assert_int_equal(counts_of(j).good, 1);
	assert_results(j, RESULTS_ERRORS, "stopped before this record", true);
	/* The wish is used up: a retry runs to its end. */
	atomic_store(&k->provider->end, JOB_COMPLETED);
	assert_int_equal(jobskit_command(k, j, COMMAND_RETRY), 0);
	jobskit_wait(k, j, JOB_COMPLETED);
	assert_int_equal(fakebackend_part(k->provider, 1).stops, 0);
}

static void test_stop_before_a_create(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	atomic_store(&k->provider->put_again, 1000);
	j = jobskit_submit(k, "stop");
	jobskit_wait_error(k, j, "put_input: the provider is busy");
	assert_int_equal(jobskit_command(k, j, COMMAND_STOP), 0);
	jobskit_wait(k, j, JOB_STOPPED);
	assert_int_equal(fakebackend_part_count(k->provider), 0);
	assert_results(j, RESULTS_RETRY, "\"a\"", true);
}

/* The part is there, though nobody heard of it: it is found and stopped, and
 * what it did is collected. */
static void test_stop_of_a_part_whose_create_was_lost(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	atomic_store(&k->provider->end, JOB_IN_PROGRESS);
	atomic_store(&k->provider->create_lost, 1);
	k->provider->outcomes[0] = "gm";
	j = jobskit_submit(k, "lost");
	jobskit_wait_error(k, j, "create: the provider is busy");
	assert_int_equal(jobskit_command(k, j, COMMAND_STOP), 0);
	jobskit_wait(k, j, JOB_STOPPED);
	assert_int_equal(fakebackend_part_count(k->provider), 1);
	assert_true(fakebackend_part(k->provider, 0).stops > 0);
	assert_int_equal(counts_of(j).good, 1);
}

static void test_a_stop_that_is_refused(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	atomic_store(&k->provider->end, JOB_IN_PROGRESS);
	j = jobskit_submit(k, "stop");
	jobskit_wait(k, j, JOB_IN_PROGRESS);
	atomic_store(&k->provider->stop_refused, 1000);
	assert_int_equal(jobskit_command(k, j, COMMAND_STOP), 0);
	jobskit_wait_error(k, j, "say please");
	jobskit_wait(k, j, JOB_STOPPING); /* it runs, so it is no draft */
	atomic_store(&k->provider->end, JOB_COMPLETED);
	jobskit_wait(k, j, JOB_COMPLETED);
	assert_int_equal(fakebackend_part(k->provider, 0).creates, 1);
}

/* --- retry --- */

static void test_two_retries_merge(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;
	CLEANUP(str_freep) char *text = NULL;

	k->provider->outcomes[0] = "gfm";
	k->provider->outcomes[1] = "fg";
	k->provider->outcomes[2] = "g";
	j = jobskit_submit(k, "retry");
	jobskit_wait(k, j, JOB_PARTIALLY_COMPLETED);
	assert_int_equal(jobskit_command(k, j, COMMAND_RETRY), 0);
	jobskit_wait(k, j, JOB_COMPLETED_WITH_ERRORS);
	assert_int_equal(counts_of(j).good, 2);
	assert_results(j, RESULTS_OUTPUT, "\"c of 2\"", true);
	assert_int_equal(jobskit_command(k, j, COMMAND_RETRY), 0);
	jobskit_wait(k, j, JOB_COMPLETED);
	assert_int_equal(jobskit_command(k, j, COMMAND_RETRY), -EINVAL);
	text = jobskit_results(j, RESULTS_OUTPUT);
	assert_non_null(strstr(text, "\"a of 1\""));
	assert_true(strstr(text, "\"b of 3\"") > strstr(text, "\"a of 1\""));
	assert_true(strstr(text, "\"c of 2\"") > strstr(text, "\"b of 3\""));
	assert_int_equal(fakebackend_part(k->provider, 1).record_count, 2);
	assert_int_equal(fakebackend_part(k->provider, 2).record_count, 1);
	assert_int_equal(fakebackend_part_count(k->provider), 3);
}

static void test_a_refused_retry_changes_nothing(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	k->provider->outcomes[0] = "gfg";
	j = jobskit_submit(k, "retry");
	jobskit_wait(k, j, JOB_COMPLETED_WITH_ERRORS);
	atomic_store(&k->provider->create_refused, 1);
	assert_int_equal(jobskit_command(k, j, COMMAND_RETRY), 0);
	/* Nobody stopped it. */
	jobskit_wait(k, j, JOB_COMPLETED_WITH_ERRORS);
	assert_error(j, "say please");
	assert_int_equal(counts_of(j).good, 2);
	assert_int_equal(jobskit_command(k, j, COMMAND_RETRY), 0);
	jobskit_wait(k, j, JOB_COMPLETED);
}

/* The results before it are what a retry is made of, and what can be read. */
static void test_a_retry_goes_on_after_a_restart(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	k->provider->outcomes[0] = "gfg";
	j = jobskit_submit(k, "retry");
	jobskit_wait(k, j, JOB_COMPLETED_WITH_ERRORS);
	atomic_store(&k->provider->put_again, 1000);
	assert_int_equal(jobskit_command(k, j, COMMAND_RETRY), 0);
	jobskit_wait_error(k, j, "put_input");
	for (int lost = 0; lost < 2; lost++) {
		CLEANUP(str_freep) char *part = jobskit_path(k, "jobs/1/parts/a2p1.jsonl");
		CLEANUP(str_freep) char *cache = jobskit_path(k, "cache");

		job_unref(j);
		jobskit_stop(k);
		assert_int_equal(unlink(part), 0);
		if (lost)
			nftw(cache, tempdir_remove_one, 16, FTW_DEPTH | FTW_PHYS);
		jobskit_start(k);
		j = jobskit_find(k, "retry");
		jobskit_wait_error(k, j, "put_input");
		assert_results(j, RESULTS_OUTPUT, "\"a of 1\"", true);
	}
	atomic_store(&k->provider->put_again, 0);
	assert_int_equal(jobskit_command(k, j, COMMAND_REFRESH), 0);
	jobskit_wait(k, j, JOB_COMPLETED);
	assert_int_equal(fakebackend_part_count(k->provider), 2);
	assert_int_equal(fakebackend_part(k->provider, 1).record_count, 1);
}

/* --- results that are lost --- */

static void test_lost_results_are_made_again(void **state)
{
	enum {
		CACHE,
		INDEX,
		WAYS
	};
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	k->provider->outcomes[0] = "gfg";
	j = jobskit_submit(k, "lost");
	jobskit_wait(k, j, JOB_COMPLETED_WITH_ERRORS);
	for (size_t i = 0; i < WAYS; i++) {
		CLEANUP(str_freep) char *path = NULL;

		job_unref(j);
		if (i == CACHE)
			path = jobskit_path(k, "cache");
		else
			assert_true(asprintf(&path, "%s/cache/%s/jobs/1/g1/index.dat", k->dir,
					     store_id(k->store)) > 0);
		jobskit_stop(k);
		if (i == CACHE)
			nftw(path, tempdir_remove_one, 16, FTW_DEPTH | FTW_PHYS);
		else
			assert_int_equal(truncate(path, 1), 0);
		jobskit_start(k);
		j = jobskit_find(k, "lost");
		jobskit_wait(k, j, JOB_COMPLETED_WITH_ERRORS);
		if (i == INDEX) {
			/* That is seen by the first who reads. */
			CLEANUP(view_unrefp) struct view *v = job_view(j);

			assert_int_equal(job_pin_results(j, v), -EIO);
			jobskit_wait(k, j, JOB_COMPLETED_WITH_ERRORS);
		}
		assert_results(j, RESULTS_OUTPUT, "\"a of 1\"", true);
		assert_int_equal(counts_of(j).good, 2);
	}
}

static void test_a_retry_wanted_of_lost_results(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;
	CLEANUP(str_freep) char *cache = jobskit_path(k, "cache");
	struct err e = ERR_INIT;

	k->provider->outcomes[0] = "gfg";
	j = jobskit_submit(k, "lost");
	jobskit_wait(k, j, JOB_COMPLETED_WITH_ERRORS);
	job_unref(j);
	jobs_stop(k->jobs);
	assert_int_equal(store_job_wish(k->store, 1, &(struct store_wishes){.retry = true}, &e), 0);
	jobskit_stop(k);
	nftw(cache, tempdir_remove_one, 16, FTW_DEPTH | FTW_PHYS);
	jobskit_start(k);
	j = jobskit_find(k, "lost");
	jobskit_wait(k, j, JOB_COMPLETED);
	assert_int_equal(fakebackend_part_count(k->provider), 2);
}

/* For ever in Fetching it could not even be removed. */
static void test_results_that_the_provider_lost(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	atomic_store(&k->provider->fetch_error, -ENOENT);
	j = jobskit_submit(k, "gone");
	jobskit_wait_error(k, j, "`echo stop > ctl`");
	jobskit_wait(k, j, JOB_FETCHING);
	assert_int_equal(jobskit_remove(k, j), -EBUSY);
	assert_int_equal(jobskit_command(k, j, COMMAND_STOP), 0);
	jobskit_wait(k, j, JOB_FAILED);
	assert_int_equal(counts_of(j).total, 3);
	assert_int_equal(counts_of(j).good, 0);
	atomic_store(&k->provider->fetch_error, 0);
	assert_int_equal(jobskit_command(k, j, COMMAND_RETRY), 0);
	jobskit_wait(k, j, JOB_COMPLETED);
}

/* So could one whose results may not be read, or have no room here. */
static void test_results_that_cannot_be_had(void **state)
{
	static const int errors[] = {-EACCES, -ENOSPC};
	struct jobskit *k = *state;

	for (size_t i = 0; i < COUNT_OF(errors); i++) {
		CLEANUP(job_unrefp) struct job *j = NULL;

		atomic_store(&k->provider->fetch_error, errors[i]);
		j = jobskit_submit(k, i ? "no room" : "denied");
		jobskit_wait_error(k, j, i ? "make room" : "mend that");
		jobskit_wait_error(k, j, "`echo stop > ctl` gives these results up");
		jobskit_wait(k, j, JOB_FETCHING);
		assert_int_equal(jobskit_command(k, j, COMMAND_STOP), 0);
		jobskit_wait(k, j, JOB_FAILED);
		assert_int_equal(counts_of(j).good, 0);
		atomic_store(&k->provider->fetch_error, 0);
		assert_int_equal(jobskit_command(k, j, COMMAND_RETRY), 0);
		jobskit_wait(k, j, JOB_COMPLETED);
	}
}

/* It was of the run: that its results cannot be read was not known then. */
static void test_a_stop_of_the_run_gives_up_nothing(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	atomic_store(&k->provider->end, JOB_IN_PROGRESS);
	atomic_store(&k->provider->fetch_error, -EACCES);
	j = jobskit_submit(k, "stopped");
	jobskit_wait(k, j, JOB_IN_PROGRESS);
	assert_int_equal(jobskit_command(k, j, COMMAND_STOP), 0);
	atomic_store(&k->provider->end, JOB_STOPPED);
	jobskit_wait_error(k, j, "`echo stop > ctl`");
	jobskit_wait(k, j, JOB_FETCHING);
	atomic_store(&k->provider->fetch_error, 0);
	jobskit_wait(k, j, JOB_COMPLETED);
}

/* What passes is waited for, stop or no stop. */
static void test_a_stop_does_not_give_up_results(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	atomic_store(&k->provider->fetch_again, 1000);
	j = jobskit_submit(k, "late");
	jobskit_wait(k, j, JOB_FETCHING);
	assert_int_equal(jobskit_command(k, j, COMMAND_STOP), 0);
	jobskit_wait_error(k, j, "fetch: the provider is busy");
	atomic_store(&k->provider->fetch_again, 0);
	jobskit_wait(k, j, JOB_COMPLETED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, jobskit_setup, jobskit_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_ends),
		TEST(test_an_end_with_endless_words),
		TEST(test_a_refused_job_is_the_users_again),
		TEST(test_a_refused_upload),
		TEST(test_a_submit_does_not_outlive_a_refusal),
		TEST(test_a_submit_left_on_a_draft_that_is_not_ready),
		TEST(test_trouble_is_told_and_gone),
		TEST(test_an_end_that_is_told_before_a_poll_fails),
		TEST(test_trouble_in_every_call),
		TEST(test_polls_that_fail_are_told),
		TEST(test_stop_while_it_runs),
		TEST(test_stop_before_a_create),
		TEST(test_stop_of_a_part_whose_create_was_lost),
		TEST(test_a_stop_that_is_refused),
		TEST(test_two_retries_merge),
		TEST(test_a_refused_retry_changes_nothing),
		TEST(test_a_retry_goes_on_after_a_restart),
		TEST(test_lost_results_are_made_again),
		TEST(test_a_retry_wanted_of_lost_results),
		TEST(test_results_that_the_provider_lost),
		TEST(test_results_that_cannot_be_had),
		TEST(test_a_stop_of_the_run_gives_up_nothing),
		TEST(test_a_stop_does_not_give_up_results),
	};

	return cmocka_run_group_tests_name("jobs", tests, NULL, NULL);
}
