/* Jobs that a source does not take as they are, and what need not be run: padding,
 * records on demand, copies, results of earlier jobs, automatic retries. */

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/job/machine.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/jobskit.h"
#include "tests/unit/tempdir.h"

#define LINE(id, input) "{\"recordId\":\"" id "\",\"modelInput\":" input "}\n"

static struct job *submit(struct jobskit *k, const char *name, const char *config,
			  const char *input)
{
	struct job *j = jobskit_make(k, name);

	if (config)
		assert_int_equal(jobskit_write(j, "config", config), 0);
	assert_int_equal(jobskit_write(j, "input.jsonl", input), 0);
	assert_int_equal(jobskit_write(j, "model", "fake.echo"), 0);
	return j;
}

/* "3 2": the records of each part that the provider was given. */
static void assert_parts(struct jobskit *k, const char *want)
{
	char text[256] = "";

	for (unsigned i = 0; i < fakebackend_part_count(k->provider); i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%llu", i ? " " : "",
			 (unsigned long long)fakebackend_part(k->provider, i).record_count);
	assert_string_equal(text, want);
}

static void assert_counts(struct job *j, uint64_t total, uint64_t good, uint64_t failed)
{
	CLEANUP(view_unrefp) struct view *v = job_view(j);

	assert_int_equal(v->counts.total, total);
	assert_int_equal(v->counts.good, good);
	assert_int_equal(v->counts.failed, failed);
}

static void assert_output(struct job *j, const char *words, bool there)
{
	CLEANUP(str_freep) char *output = jobskit_results(j, RESULTS_OUTPUT);

	if ((strstr(output, words) != NULL) != there)
		fail_msg("\"%s\" is %sthere: %s", words, there ? "not " : "", output);
}

/* --- too few --- */

static void test_too_few_are_refused_with_the_ways_out(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	atomic_store(&k->provider->records_min, 5);
	j = submit(k, "j", NULL, JOBSKIT_INPUT);
	jobskit_wait(k, j, JOB_INVALID);
	jobskit_wait_error(k, j, "3 records, and this source takes no job under 5");
	jobskit_wait_error(k, j, "small = ondemand");
	jobskit_wait_error(k, j, "small = pad");
	assert_int_equal(jobskit_write(j, "config", "small = pad\n"), 0);
	jobskit_wait(k, j, JOB_COMPLETED);
}

static void test_padding(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;
	CLEANUP(view_unrefp) struct view *v = NULL;

	atomic_store(&k->provider->records_min, 5);
	j = submit(k, "j", "small = pad\n", JOBSKIT_INPUT);
	jobskit_wait(k, j, JOB_COMPLETED);
	assert_parts(k, "5");
	assert_counts(j, 3, 3, 0);
	assert_output(j, "batchfs-pad", false);
	v = job_view(j);
	assert_int_equal(v->padding.records, 2);
	assert_int_equal(v->padding.tokens.output, 6);
	assert_int_equal(v->tokens.output, 15); /* it is paid for */
	assert_int_equal(v->parts[0].padding, 2);
}

/* What an earlier attempt took is not counted again when its results have to be made
 * again in the middle of the next one. */
static void test_padding_is_counted_once(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(str_freep) char *cache = jobskit_path(k, "cache");
	CLEANUP(job_unrefp) struct job *j = NULL;
	CLEANUP(view_unrefp) struct view *v = NULL;

	atomic_store(&k->provider->records_min, 5);
	k->provider->outcomes[0] = "gffff";
	k->provider->outcomes[1] = "g";
	j = submit(k, "j", "small = pad\n", JOBSKIT_INPUT);
	jobskit_wait(k, j, JOB_COMPLETED_WITH_ERRORS);
	atomic_store(&k->provider->end, JOB_IN_PROGRESS);
	assert_int_equal(jobskit_command(k, j, COMMAND_RETRY), 0);
	jobskit_wait(k, j, JOB_IN_PROGRESS);
	job_unrefp(&j);
	jobskit_stop(k);
	nftw(cache, tempdir_remove_one, 16, FTW_DEPTH | FTW_PHYS);
	atomic_store(&k->provider->fetch_again, 1); /* not before the end */
	atomic_store(&k->provider->end, JOB_COMPLETED);
	jobskit_start(k);
	j = jobskit_find(k, "j");
	jobskit_wait(k, j, JOB_COMPLETED);
	v = job_view(j);
	assert_int_equal(v->padding.records, 2 + 3);
}

static void test_enough_needs_no_padding(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	atomic_store(&k->provider->records_min, 3);
	j = submit(k, "j", "small = pad\n", JOBSKIT_INPUT);
	jobskit_wait(k, j, JOB_COMPLETED);
	assert_parts(k, "3");
}

static void test_on_demand(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;
	CLEANUP(view_unrefp) struct view *v = NULL;

	atomic_store(&k->provider->records_min, 5);
	k->provider->outcomes[0] = "gfg";
	j = submit(k, "j", "small = ondemand\n", JOBSKIT_INPUT);
	jobskit_wait(k, j, JOB_COMPLETED_WITH_ERRORS);
	assert_parts(k, "");
	assert_counts(j, 3, 2, 1);
	v = job_view(j);
	assert_int_equal(v->demand.output, 6);
	assert_int_equal(atomic_load(&k->provider->now_count), 3);
	/* Its results are ours alone, and nothing is bought again for them. */
	job_unrefp(&j);
	jobskit_restart(k);
	j = jobskit_find(k, "j");
	jobskit_wait(k, j, JOB_COMPLETED_WITH_ERRORS);
	assert_output(j, "\"recordId\":\"c\"", true);
	assert_int_equal(atomic_load(&k->provider->now_count), 3);
}

static void test_on_demand_goes_on_after_trouble(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	atomic_store(&k->provider->records_min, 5);
	atomic_store(&k->provider->now_again, 2);
	j = submit(k, "j", "small = ondemand\n", JOBSKIT_INPUT);
	jobskit_wait(k, j, JOB_COMPLETED);
	assert_int_equal(atomic_load(&k->provider->now_count), 3);
}

static void test_on_demand_that_is_refused(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	atomic_store(&k->provider->records_min, 5);
	atomic_store(&k->provider->now_refused, 1);
	k->provider->words = "no access to the model";
	j = submit(k, "j", "small = ondemand\n", JOBSKIT_INPUT);
	jobskit_wait(k, j, JOB_INVALID);
	jobskit_wait_error(k, j, "no access to the model");
	assert_int_equal(jobskit_command(k, j, COMMAND_SUBMIT), 0);
	jobskit_wait(k, j, JOB_COMPLETED);
}

/* What was answered before the daemon ended is paid for: no refusal makes it a
 * draft's again. */
static void test_on_demand_that_is_refused_half_way(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(str_freep) char *path = jobskit_path(k, "jobs/1/parts/a1p1.out.jsonl");
	CLEANUP(job_unrefp) struct job *j = NULL;
	FILE *out;

	atomic_store(&k->provider->records_min, 5);
	atomic_store(&k->provider->now_again, 1000);
	j = submit(k, "j", "small = ondemand\n", JOBSKIT_INPUT);
	jobskit_wait_error(k, j, "run_now: the provider is busy");
	job_unrefp(&j);
	jobskit_stop(k);
	out = fopen(path, "we");
	assert_non_null(out);
	fprintf(out, "{\"modelOutput\":{\"generation\":\"paid\"},\"recordId\":\"c\"}\n");
	assert_int_equal(fclose(out), 0);
	atomic_store(&k->provider->now_again, 0);
	atomic_store(&k->provider->now_refused, 1);
	k->provider->words = "no access to the model";
	jobskit_start(k);
	j = jobskit_find(k, "j");
	jobskit_wait_error(k, j, "no access to the model");
	jobskit_skip(k, 60 * NS_PER_S);
	jobskit_wait(k, j, JOB_COMPLETED);
	assert_output(j, "paid", true);
	assert_int_equal(atomic_load(&k->provider->now_count), 2);
}

static void test_retries_of_few(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	k->provider->outcomes[0] = "gff";
	k->provider->outcomes[1] = "fg";
	j = submit(k, "j", NULL, JOBSKIT_INPUT);
	jobskit_wait(k, j, JOB_COMPLETED_WITH_ERRORS);
	atomic_store(&k->provider->records_min, 3);
	assert_int_equal(jobskit_command(k, j, COMMAND_RETRY), -EINVAL);
	assert_int_equal(jobskit_command(k, j, COMMAND_RETRY_PAD), 0);
	jobskit_wait(k, j, JOB_COMPLETED_WITH_ERRORS);
	assert_counts(j, 3, 2, 1);
	assert_parts(k, "3 3");
	k->provider->outcomes[0] = "g";
	assert_int_equal(jobskit_command(k, j, COMMAND_RETRY_ONDEMAND), 0);
	jobskit_wait(k, j, JOB_COMPLETED);
	assert_counts(j, 3, 3, 0);
	assert_parts(k, "3 3");
	assert_int_equal(atomic_load(&k->provider->now_count), 1);
}

/* --- dedupe --- */

static void test_copies_are_sent_once(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;
	CLEANUP(view_unrefp) struct view *v = NULL;

	j = submit(k, "j", "dedupe = yes\n",
		   LINE("a", "{\"x\":1}") LINE("b", "{\"x\":2}") LINE("c", "{ \"x\" : 1 }")
			   LINE("d", "{\"x\":1}"));
	jobskit_wait(k, j, JOB_COMPLETED);
	assert_parts(k, "2");
	assert_counts(j, 4, 4, 0);
	assert_output(j, "\"generation\":\"a of 1\",", true);
	assert_output(j, "\"recordId\":\"d\"", true);
	v = job_view(j);
	assert_int_equal(v->saved.records, 2);
	assert_int_equal(v->saved.tokens.output, 6);
	assert_int_equal(v->tokens.output, 6); /* what was paid */
}

static void test_earlier_results_are_used(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *first = NULL, *second = NULL, *third = NULL;
	CLEANUP(view_unrefp) struct view *v = NULL;

	k->provider->outcomes[0] = "gf";
	first = submit(k, "first", NULL, LINE("a", "{\"x\":1}") LINE("b", "{\"x\":2}"));
	jobskit_wait(k, first, JOB_COMPLETED_WITH_ERRORS);
	k->provider->outcomes[0] = "g";
	second = submit(k, "second", "dedupe = yes\n",
			LINE("p", "{\"x\":2}") LINE("q", "{\"x\":1}") LINE("r", "{\"x\":3}"));
	jobskit_wait(k, second, JOB_COMPLETED);
	assert_parts(k, "2 2"); /* only a was good */
	assert_output(second, "a of 1", true);
	/* Nothing at all is left to send. */
	third = submit(k, "third", "dedupe = yes\n", LINE("z", "{\"x\":3}") LINE("q", "{\"x\":1}"));
	jobskit_wait(k, third, JOB_COMPLETED);
	assert_parts(k, "2 2");
	assert_counts(third, 2, 2, 0);
	v = job_view(third);
	assert_int_equal(v->saved.records, 2);
	assert_int_equal(v->tokens.output, 0);
	assert_int_equal(jobskit_remove(k, first), 0);
	job_unrefp(&third);
	job_unrefp(&second);
	job_unrefp(&first);
	jobskit_restart(k);
	third = jobskit_find(k, "third");
	jobskit_wait(k, third, JOB_COMPLETED);
	assert_output(third, "\"recordId\":\"q\"", true);
}

/* The next mount may have another option: what was left out is not bought then. */
static void test_copies_of_a_mount_that_had_the_option(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	jobskit_stop(k);
	k->o.settings.dedupe = true;
	jobskit_start(k);
	atomic_store(&k->provider->end, JOB_IN_PROGRESS);
	j = submit(k, "j", NULL, LINE("a", "{\"x\":1}") LINE("b", "{\"x\":1}"));
	jobskit_wait(k, j, JOB_IN_PROGRESS);
	job_unrefp(&j);
	jobskit_stop(k);
	k->o.settings.dedupe = false;
	atomic_store(&k->provider->end, JOB_COMPLETED);
	jobskit_start(k);
	j = jobskit_find(k, "j");
	jobskit_wait(k, j, JOB_COMPLETED);
	assert_counts(j, 2, 2, 0);
	assert_parts(k, "1");
}

/* Of a list that could not be made what is known already is not the attempt's. */
static void test_a_stop_before_the_list_is_made(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(str_freep) char *list = jobskit_path(k, "jobs/2/parts/a1.list");
	CLEANUP(str_freep) char *parts = jobskit_path(k, "jobs/2/parts");
	CLEANUP(job_unrefp) struct job *first = NULL, *j = NULL;
	CLEANUP(view_unrefp) struct view *v = NULL;

	first = submit(k, "first", NULL, LINE("a", "{\"x\":1}"));
	jobskit_wait(k, first, JOB_COMPLETED);
	j = jobskit_make(k, "j");
	assert_int_equal(mkdir(parts, 0700), 0);
	assert_int_equal(mkdir(list, 0700), 0);
	assert_int_equal(jobskit_write(j, "config", "dedupe = yes\n"), 0);
	assert_int_equal(
		jobskit_write(j, "input.jsonl", LINE("p", "{\"x\":1}") LINE("q", "{\"x\":2}")), 0);
	assert_int_equal(jobskit_write(j, "model", "fake.echo"), 0);
	jobskit_wait_error(k, j, "cannot rename");
	assert_int_equal(jobskit_command(k, j, COMMAND_STOP), 0);
	jobskit_wait(k, j, JOB_STOPPED);
	v = job_view(j);
	assert_int_equal(v->tokens.output, 0);
	assert_int_equal(v->saved.records, 0);
	assert_int_equal(rmdir(list), 0);
	assert_int_equal(jobskit_command(k, j, COMMAND_RETRY), 0);
	jobskit_wait(k, j, JOB_COMPLETED);
	view_unrefp(&v);
	v = job_view(j);
	assert_int_equal(v->saved.records, 1);
}

/* Such an attempt is of what was left, and not of all. */
static void test_a_retry_that_is_stopped_before_its_plan(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(str_freep) char *base = jobskit_path(k, "jobs/1/parts/a2.base");
	CLEANUP(job_unrefp) struct job *j = NULL;
	CLEANUP(view_unrefp) struct view *v = NULL;

	k->provider->outcomes[0] = "gfg";
	j = submit(k, "j", NULL, JOBSKIT_INPUT);
	jobskit_wait(k, j, JOB_COMPLETED_WITH_ERRORS);
	assert_int_equal(mkdir(base, 0700), 0);
	assert_int_equal(jobskit_command(k, j, COMMAND_RETRY), 0);
	jobskit_wait_error(k, j, "cannot make");
	assert_int_equal(jobskit_command(k, j, COMMAND_STOP), 0);
	jobskit_wait(k, j, JOB_STOPPED);
	v = job_view(j);
	assert_int_equal(v->part_count, 2);
	assert_int_equal(v->parts[1].record_count, 1);
}

/* A cache that is deleted under the mount, whose results are still mapped. */
static void test_results_that_go_during_a_retry(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(str_freep) char *cache = jobskit_path(k, "cache");
	CLEANUP(job_unrefp) struct job *j = NULL;

	k->provider->outcomes[0] = "gfg";
	k->provider->outcomes[1] = "g";
	j = submit(k, "j", NULL, JOBSKIT_INPUT);
	jobskit_wait(k, j, JOB_COMPLETED_WITH_ERRORS);
	nftw(cache, tempdir_remove_one, 16, FTW_DEPTH | FTW_PHYS);
	assert_int_equal(jobskit_command(k, j, COMMAND_RETRY), 0);
	jobskit_wait(k, j, JOB_COMPLETED);
	assert_parts(k, "3 1");
	assert_counts(j, 3, 3, 0);
}

static void test_copies_fill_up_the_minimum(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	atomic_store(&k->provider->records_min, 3);
	j = submit(k, "j", "dedupe = yes\n",
		   LINE("a", "{\"x\":1}") LINE("b", "{\"x\":1}") LINE("c", "{\"x\":1}")
			   LINE("d", "{\"x\":2}"));
	jobskit_wait(k, j, JOB_COMPLETED);
	assert_parts(k, "3");
	assert_counts(j, 4, 4, 0);
}

/* --- automatic retries --- */

static void test_what_may_go_better_is_run_again(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;
	CLEANUP(view_unrefp) struct view *v = NULL;

	k->provider->outcomes[0] = "gmf"; /* the failed one says 400: it will not */
	k->provider->outcomes[1] = "m";
	k->provider->outcomes[2] = "g";
	j = submit(k, "j", "retry_max = 5\n", JOBSKIT_INPUT);
	jobskit_wait(k, j, JOB_COMPLETED_WITH_ERRORS);
	assert_parts(k, "3 1 1");
	assert_counts(j, 3, 2, 1);
	v = job_view(j);
	assert_int_equal(v->attempt, 3);
}

static void test_retry_max_is_the_most(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	k->provider->outcomes[0] = "gm";
	k->provider->outcomes[1] = "m";
	k->provider->outcomes[2] = "m";
	j = submit(k, "j", "retry_max = 1\n", JOBSKIT_INPUT);
	jobskit_wait(k, j, JOB_PARTIALLY_COMPLETED);
	assert_parts(k, "3 2");
	/* One that is asked for comes on top, and of all. */
	assert_int_equal(jobskit_command(k, j, COMMAND_RETRY), 0);
	jobskit_wait(k, j, JOB_PARTIALLY_COMPLETED);
	assert_parts(k, "3 2 2");
}

static void test_no_automatic_retry_under_the_minimum(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	atomic_store(&k->provider->records_min, 3);
	k->provider->outcomes[0] = "ggm";
	j = submit(k, "j", "retry_max = 5\n", JOBSKIT_INPUT);
	jobskit_wait(k, j, JOB_PARTIALLY_COMPLETED);
	assert_parts(k, "3");
}

static void test_max_cost_is_of_automatic_retries_too(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	k->provider->priced = true;
	k->provider->outcomes[0] = "gm"; /* 8 millionths of a dollar, and twice that to come */
	k->provider->outcomes[1] = "g";
	j = submit(k, "j", "retry_max = 5\nmax_cost = 0.00001\n", JOBSKIT_INPUT);
	jobskit_wait(k, j, JOB_HELD);
	assert_int_equal(jobskit_command(k, j, COMMAND_SUBMIT), 0);
	jobskit_wait(k, j, JOB_PARTIALLY_COMPLETED);
	assert_parts(k, "3");
	assert_int_equal(jobskit_command(k, j, COMMAND_RETRY), 0);
	jobskit_wait(k, j, JOB_COMPLETED);
}

static void test_a_stop_is_not_retried(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	k->provider->outcomes[0] = "gm";
	atomic_store(&k->provider->end, JOB_IN_PROGRESS);
	j = submit(k, "j", "retry_max = 5\n", JOBSKIT_INPUT);
	jobskit_wait(k, j, JOB_IN_PROGRESS);
	assert_int_equal(jobskit_command(k, j, COMMAND_STOP), 0);
	jobskit_wait(k, j, JOB_STOPPED);
	assert_parts(k, "3");
}

/* Nor what it came too late for: what the user gave up is not bought again. */
static void test_a_late_stop_is_not_retried(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	k->provider->outcomes[0] = "gm";
	atomic_store(&k->provider->fetch_again, 1000);
	j = submit(k, "late", "retry_max = 5\n", JOBSKIT_INPUT);
	jobskit_wait_error(k, j, "fetch: the provider is busy");
	assert_int_equal(jobskit_command(k, j, COMMAND_STOP), 0);
	atomic_store(&k->provider->fetch_again, 0);
	jobskit_wait(k, j, JOB_PARTIALLY_COMPLETED);
	assert_parts(k, "3");
	/* It was of that attempt only. */
	k->provider->outcomes[1] = "gm";
	k->provider->outcomes[2] = "g";
	assert_int_equal(jobskit_command(k, j, COMMAND_RETRY), 0);
	jobskit_wait(k, j, JOB_COMPLETED);
	assert_parts(k, "3 2 1");
}

static void test_what_is_given_up_is_not_retried(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	atomic_store(&k->provider->fetch_error, -ENOENT);
	j = submit(k, "gone", "retry_max = 5\n", JOBSKIT_INPUT);
	jobskit_wait_error(k, j, "gives these results up");
	assert_int_equal(jobskit_command(k, j, COMMAND_STOP), 0);
	jobskit_wait(k, j, JOB_FAILED);
	assert_parts(k, "3");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, jobskit_setup, jobskit_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_too_few_are_refused_with_the_ways_out),
		TEST(test_padding),
		TEST(test_padding_is_counted_once),
		TEST(test_enough_needs_no_padding),
		TEST(test_on_demand),
		TEST(test_on_demand_goes_on_after_trouble),
		TEST(test_on_demand_that_is_refused),
		TEST(test_on_demand_that_is_refused_half_way),
		TEST(test_retries_of_few),
		TEST(test_copies_are_sent_once),
		TEST(test_earlier_results_are_used),
		TEST(test_copies_of_a_mount_that_had_the_option),
		TEST(test_a_stop_before_the_list_is_made),
		TEST(test_a_retry_that_is_stopped_before_its_plan),
		TEST(test_results_that_go_during_a_retry),
		TEST(test_copies_fill_up_the_minimum),
		TEST(test_what_may_go_better_is_run_again),
		TEST(test_retry_max_is_the_most),
		TEST(test_no_automatic_retry_under_the_minimum),
		TEST(test_max_cost_is_of_automatic_retries_too),
		TEST(test_a_stop_is_not_retried),
		TEST(test_a_late_stop_is_not_retried),
		TEST(test_what_is_given_up_is_not_retried),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
