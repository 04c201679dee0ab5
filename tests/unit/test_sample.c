/* `sample N`: a few records of a draft on demand, before it is paid for. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/cmocka_all.h"
#include "tests/unit/crashkit.h"

#define ALL 10000

static int sample(struct jobskit *k, struct job *j, uint32_t count)
{
	return jobskit_order(k, j, (struct order){.command = COMMAND_SAMPLE, .count = count});
}

static char *read_all(int fd)
{
	char *text = calloc(1, 8192);

	assert_non_null(text);
	assert_true(read(fd, text, 8191) >= 0);
	close(fd);
	return text;
}

/* The caller's to free. */
static char *sample_of(struct job *j)
{
	int fd;

	assert_int_equal(job_sample_open(j, &fd), 0);
	return read_all(fd);
}

static bool log_has(struct job *j, const char *words)
{
	CLEANUP(str_freep) char *text = NULL;
	int fd;

	assert_int_equal(job_log_open(j, &fd), 0);
	text = read_all(fd);
	return strstr(text, words) != NULL;
}

/* The ids of the lines of a text, "abc". */
static void assert_ids(const char *text, const char *ids)
{
	char found[16] = "";
	size_t n = 0;

	for (const char *at = text; n < 15 && (at = strstr(at, "\"recordId\":\"")); at++)
		found[n++] = at[12];
	assert_string_equal(found, ids);
}

static void assert_sample(struct job *j, const char *ids)
{
	CLEANUP(str_freep) char *text = sample_of(j);

	assert_ids(text, ids);
}

static struct job *held(struct jobskit *k)
{
	struct job *j = jobskit_make(k, "j");

	assert_int_equal(jobskit_command(k, j, COMMAND_HOLD), 0);
	assert_int_equal(jobskit_write(j, "input.jsonl", JOBSKIT_INPUT), 0);
	assert_int_equal(jobskit_write(j, "model", "fake.echo\n"), 0);
	jobskit_wait(k, j, JOB_HELD);
	return j;
}

static unsigned commands(struct job *j)
{
	CLEANUP(view_unrefp) struct view *v = job_view(j);

	return v->commands;
}

/* --- what it does --- */

static void test_the_first_records_in_order(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = held(k);
	struct view *v;

	assert_int_equal(sample(k, j, 2), 0);
	jobskit_wait(k, j, JOB_HELD);
	assert_sample(j, "ab");
	v = job_view(j);
	assert_int_equal(v->sample.records, 2);
	assert_int_equal(v->sample.tokens.input, 4);
	assert_int_equal(v->sample.tokens.output, 6);
	assert_true(v->sample_ns > 0);
	assert_int_equal(v->sampling.total, 0);
	view_unref(v);
	assert_true(log_has(j, "sample: 2 of 2 records answered, 2 good; 4 tokens in, 6 out"));
	/* Nothing was submitted by it, and it can be now. */
	assert_int_equal(fakebackend_part_count(k->provider), 0);
	assert_int_equal(jobskit_command(k, j, COMMAND_SUBMIT), 0);
	jobskit_wait(k, j, JOB_COMPLETED);
	assert_sample(j, "ab");
}

static void test_failed_records_are_answered_too(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;
	CLEANUP(str_freep) char *text = NULL;

	k->provider->outcomes[0] = "gfg";
	k->provider->priced = true;
	j = held(k);
	assert_int_equal(sample(k, j, ALL), 0);
	jobskit_wait(k, j, JOB_HELD);
	text = sample_of(j);
	assert_ids(text, "abc");
	assert_non_null(strstr(text, "\"errorCode\":400"));
	assert_true(
		log_has(j, "3 of 3 records answered, 2 good; 4 tokens in, 6 out, 0.000032 USD"));
}

/* As `submit`, it may be written right after the files. */
static void test_it_holds_what_would_go(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	k->o.settings.settle_ns = k->o.settings.settle_input_ns = 3600 * NS_PER_S;
	jobskit_restart(k);
	j = jobskit_submit(k, "j");
	assert_int_equal(sample(k, j, 1), 0);
	jobskit_wait(k, j, JOB_HELD);
	assert_sample(j, "a");
	assert_int_equal(fakebackend_part_count(k->provider), 0);
}

static void test_records_without_an_id_get_theirs(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = held(k);
	CLEANUP(str_freep) char *text = NULL;

	assert_int_equal(jobskit_write(j, "input.jsonl",
				       "{\"modelInput\":{}}\r\n{\"modelInput\":{\"x\":1}}"),
			 0);
	assert_int_equal(sample(k, j, 2), 0);
	jobskit_wait(k, j, JOB_HELD);
	text = sample_of(j);
	assert_non_null(strstr(text, "\"r0000001\""));
	assert_non_null(strstr(text, "\"r0000002\""));
}

static void test_the_next_one_takes_its_place(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = held(k);
	CLEANUP(view_unrefp) struct view *v = NULL;

	assert_int_equal(sample(k, j, 1), 0);
	jobskit_wait(k, j, JOB_HELD);
	assert_int_equal(sample(k, j, 3), 0);
	jobskit_wait(k, j, JOB_HELD);
	assert_sample(j, "abc");
	v = job_view(j);
	assert_int_equal(v->sample.records, 4); /* all were paid for */
	assert_int_equal(v->sample.tokens.input, 8);
}

static void test_it_is_there_after_a_restart(void **state)
{
	struct jobskit *k = *state;
	struct job *j = held(k);
	struct view *v;
	int64_t ns;

	assert_int_equal(sample(k, j, 1), 0);
	jobskit_wait(k, j, JOB_HELD);
	v = job_view(j);
	ns = v->sample_ns;
	view_unref(v);
	job_unref(j);
	jobskit_restart(k);
	j = jobskit_find(k, "j");
	jobskit_wait(k, j, JOB_HELD);
	v = job_view(j);
	assert_int_equal(v->sample_ns, ns);
	assert_int_equal(v->sample.records, 1);
	view_unref(v);
	job_unref(j);
}

/* --- what it is not for --- */

static void test_an_incomplete_draft_has_none(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = jobskit_make(k, "j");
	CLEANUP(job_unrefp) struct job *over = NULL;
	int fd;

	assert_int_equal(sample(k, j, 1), -EINVAL);
	assert_true(log_has(j, "sample: not taken: it is for a job that is Held or Settling"));
	assert_int_equal(jobskit_write(j, "model", "fake.echo\n"), 0);
	assert_int_equal(jobskit_write(j, "input.jsonl", "no\n"), -EINVAL);
	assert_int_equal(sample(k, j, 1), -EINVAL);
	assert_int_equal(job_sample_open(j, &fd), -ENOENT);
	over = jobskit_submit(k, "over");
	jobskit_wait(k, over, JOB_COMPLETED);
	assert_int_equal(sample(k, over, 1), -EINVAL);
}

static void test_a_source_that_cannot_has_none(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	k->provider->ops.run_now = NULL;
	j = held(k);
	assert_false(commands(j) & 1u << COMMAND_SAMPLE);
	assert_int_equal(sample(k, j, 1), -EINVAL);
	assert_true(log_has(j, "sample: not taken: this source runs nothing on demand"));
}

static void test_a_refusal_is_told(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = held(k);
	int fd;

	atomic_store(&k->provider->now_refused, 1);
	assert_int_equal(sample(k, j, 1), 0);
	jobskit_wait_error(k, j, "say please");
	jobskit_wait(k, j, JOB_HELD);
	assert_true(log_has(j, "sample: refused: the provider says no"));
	assert_int_equal(job_sample_open(j, &fd), -ENOENT);
	/* It is no fault of the job. */
	assert_int_equal(jobskit_command(k, j, COMMAND_SUBMIT), 0);
	jobskit_wait(k, j, JOB_COMPLETED);
}

static void test_trouble_is_told_and_gone_on_with(void **state)
{
	struct jobskit *k = *state;
	struct job *j = held(k);

	atomic_store(&k->provider->now_again, 1000);
	assert_int_equal(sample(k, j, 2), 0);
	jobskit_wait_error(k, j, "the provider is busy");
	assert_false(job_is_settled(j));
	job_unref(j);
	jobskit_stop(k);
	atomic_store(&k->provider->now_again, 0);
	jobskit_start(k);
	j = jobskit_find(k, "j");
	jobskit_wait(k, j, JOB_HELD);
	assert_sample(j, "ab");
	job_unref(j);
}

/* --- while it runs --- */

static void hang(void *ctx, const char *operation)
{
	atomic_bool *hangs = ctx;

	while (strcmp(operation, "run_now") == 0 && atomic_load(hangs))
		usleep(1000);
}

static bool runs(struct job *j, void *ctx)
{
	CLEANUP(view_unrefp) struct view *v = job_view(j);

	(void)ctx;
	return v->sampling.total > 0;
}

static struct job *sampling(struct jobskit *k, atomic_bool *hangs)
{
	struct job *j = held(k);

	k->provider->ctx = hangs;
	k->provider->called = hang;
	assert_int_equal(sample(k, j, 3), 0);
	jobskit_wait_for(k, j, runs, NULL, __FILE__, __LINE__);
	return j;
}

static void test_stop_keeps_what_was_answered(void **state)
{
	struct jobskit *k = *state;
	atomic_bool hangs = true;
	CLEANUP(job_unrefp) struct job *j = sampling(k, &hangs);
	CLEANUP(job_unrefp) struct job *other = NULL;

	assert_true(commands(j) & 1u << COMMAND_STOP);
	assert_false(commands(j) & (1u << COMMAND_SUBMIT | 1u << COMMAND_SAMPLE));
	assert_int_equal(sample(k, j, 1), -EBUSY);
	assert_int_equal(jobskit_command(k, j, COMMAND_SUBMIT), -EBUSY);
	assert_false(job_is_settled(j));
	other = jobskit_submit(k, "other"); /* nobody waits for it */
	jobskit_wait(k, other, JOB_COMPLETED);
	assert_int_equal(jobskit_command(k, j, COMMAND_STOP), 0);
	assert_int_equal(jobskit_command(k, j, COMMAND_STOP), 0); /* twice is no fault */
	atomic_store(&hangs, false);
	jobskit_wait(k, j, JOB_HELD);
	assert_sample(j, "c");
	assert_true(log_has(j, "1 of 3 records answered"));
	/* The stop was for the sample. */
	assert_int_equal(jobskit_command(k, j, COMMAND_SUBMIT), 0);
	jobskit_wait(k, j, JOB_COMPLETED);
}

static void test_stop_of_one_that_cannot_begin(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = held(k);
	CLEANUP(str_freep) char *in_the_way = jobskit_path(k, "jobs/1/sample.jsonl");

	assert_int_equal(mkdir(in_the_way, 0700), 0);
	assert_int_equal(sample(k, j, 2), 0);
	jobskit_wait_error(k, j, "cannot delete");
	assert_int_equal(jobskit_command(k, j, COMMAND_STOP), 0);
	jobskit_wait(k, j, JOB_HELD);
	assert_true(commands(j) & 1u << COMMAND_SUBMIT);
	assert_true(log_has(j, "sample: stopped, and what there is of it is dropped"));
	assert_int_equal(rmdir(in_the_way), 0);
	assert_int_equal(sample(k, j, 2), 0);
	jobskit_wait(k, j, JOB_HELD);
	assert_sample(j, "ab");
}

static void test_stop_of_one_that_is_damaged(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = held(k);
	CLEANUP(str_freep) char *what = jobskit_path(k, "jobs/1/sample/what");

	atomic_store(&k->provider->now_again, 1000);
	assert_int_equal(sample(k, j, 2), 0);
	jobskit_wait_error(k, j, "the provider is busy");
	job_unrefp(&j);
	jobskit_stop(k);
	assert_int_equal(truncate(what, 0), 0);
	atomic_store(&k->provider->now_again, 0);
	jobskit_start(k);
	j = jobskit_find(k, "j");
	jobskit_wait_error(k, j, "damaged");
	assert_int_equal(jobskit_command(k, j, COMMAND_STOP), 0);
	jobskit_wait(k, j, JOB_HELD);
	assert_true(commands(j) & 1u << COMMAND_SUBMIT);
}

static void test_it_goes_on_with_what_it_began_with(void **state)
{
	struct jobskit *k = *state;
	atomic_bool hangs = true;
	CLEANUP(job_unrefp) struct job *j = sampling(k, &hangs);

	assert_int_equal(
		jobskit_write(j, "input.jsonl", "{\"recordId\":\"z\",\"modelInput\":{}}\n"), 0);
	assert_int_equal(jobskit_write(j, "model", "fake.other\n"), 0);
	atomic_store(&hangs, false);
	jobskit_wait(k, j, JOB_HELD);
	assert_sample(j, "abc");
}

static void test_it_ends_with_its_job(void **state)
{
	struct jobskit *k = *state;
	atomic_bool hangs = true;
	struct job *j = sampling(k, &hangs);
	CLEANUP(str_freep) char *dir = jobskit_path(k, "jobs/1");

	assert_int_equal(jobskit_remove(k, j), 0);
	atomic_store(&hangs, false);
	job_unref(j);
	jobskit_stop(k);
	jobskit_start(k);
	assert_int_equal(access(dir, F_OK), -1);
	assert_true(atomic_load(&k->provider->now_count) <= 1);
}

/* --- dying --- */

static void prepare_sample(struct jobskit *k)
{
	CLEANUP(str_freep) char *db = jobskit_path(k, "state.db");
	struct store_wishes w = {.held = true, .sample = 2};
	struct err e = ERR_INIT;

	jobskit_start(k);
	job_unref(held(k));
	jobskit_stop(k);
	assert_int_equal(store_open(db, &k->store, &e), 0);
	assert_int_equal(store_job_wish(k->store, 1, &w, &e), 0);
	store_close(STEAL(&k->store));
}

static void go_sample(struct jobskit *k)
{
	CLEANUP(job_unrefp) struct job *j = jobskit_find(k, "j");
	struct view *v;

	jobskit_wait(k, j, JOB_HELD);
	assert_sample(j, "ab");
	v = job_view(j);
	assert_int_equal(v->sample.records, 2);
	assert_int_equal(v->sample.tokens.output, 6);
	view_unref(v);
	assert_int_equal(atomic_load(&k->provider->now_count), 2); /* each once */
}

static void test_a_sample_is_run_once(void **state)
{
	static const struct crash s = {.name = "a sample",
				       .outcomes = {"g", ""},
				       .prepare = prepare_sample,
				       .go = go_sample,
				       .end = JOB_HELD,
				       .bought = 2};

	(void)state;
	crashkit_sweep(&s);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, jobskit_setup, jobskit_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_the_first_records_in_order),
		TEST(test_failed_records_are_answered_too),
		TEST(test_it_holds_what_would_go),
		TEST(test_records_without_an_id_get_theirs),
		TEST(test_the_next_one_takes_its_place),
		TEST(test_it_is_there_after_a_restart),
		TEST(test_an_incomplete_draft_has_none),
		TEST(test_a_source_that_cannot_has_none),
		TEST(test_a_refusal_is_told),
		TEST(test_trouble_is_told_and_gone_on_with),
		TEST(test_stop_keeps_what_was_answered),
		TEST(test_stop_of_one_that_cannot_begin),
		TEST(test_stop_of_one_that_is_damaged),
		TEST(test_it_goes_on_with_what_it_began_with),
		TEST(test_it_ends_with_its_job),
		cmocka_unit_test(test_a_sample_is_run_once),
	};

	return cmocka_run_group_tests_name("sample", tests, NULL, NULL);
}
