/* Jobs of several parts: how they are cut, that every record is sent once, and
 * that all of them are one job to its reader. */

#include <errno.h>
#include <string.h>

#include "cache/dirs.h"
#include "fs/job/machine.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/jobskit.h"

#define SEVEN                                                                                      \
	"{\"recordId\":\"a\",\"modelInput\":{}}\n"                                                 \
	"{\"recordId\":\"b\",\"modelInput\":{}}\n"                                                 \
	"{\"modelInput\":{}}\n"                                                                    \
	"{\"recordId\":\"d\",\"modelInput\":{}}\n"                                                 \
	"{\"recordId\":\"e\",\"modelInput\":{}}\n"                                                 \
	"{\"recordId\":\"f\",\"modelInput\":{}}\n"                                                 \
	"{\"recordId\":\"g\",\"modelInput\":{}}\n"

static struct job *submit(struct jobskit *k, const char *config, const char *input)
{
	struct job *j = jobskit_make(k, "j");

	if (config)
		assert_int_equal(jobskit_write(j, "config", config), 0);
	assert_int_equal(jobskit_write(j, "input.jsonl", input), 0);
	assert_int_equal(jobskit_write(j, "model", "fake.echo"), 0);
	return j;
}

static void limit(struct jobskit *k, unsigned min, unsigned max)
{
	atomic_store(&k->provider->records_min, min);
	atomic_store(&k->provider->records_max, max);
}

/* "3 2 2": the records of each part that was made, in the order of the attempts. */
static void assert_parts(struct jobskit *k, const char *want)
{
	char text[256] = "";

	for (unsigned i = 0; i < fakebackend_part_count(k->provider); i++) {
		struct fakepart p = fakebackend_part(k->provider, i);

		assert_int_equal(p.creates, 1);
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%llu", i ? " " : "",
			 (unsigned long long)p.record_count);
	}
	assert_string_equal(text, want);
}

static void assert_order(struct job *j, const char *const *ids, size_t count)
{
	CLEANUP(str_freep) char *output = jobskit_results(j, RESULTS_OUTPUT);
	const char *at = output;

	for (size_t i = 0; i < count; i++) {
		char member[64];

		snprintf(member, sizeof(member), "\"recordId\":\"%s\"", ids[i]);
		at = strstr(at, member);
		if (!at)
			fail_msg("%s is not there, or not in its place: %s", ids[i], output);
	}
}

static void test_one_job_of_three_parts(void **state)
{
	static const char *const ids[] = {"a", "b", "r0000003", "d", "e", "f", "g"};
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;
	CLEANUP(view_unrefp) struct view *v = NULL;

	limit(k, 2, 3);
	j = submit(k, NULL, SEVEN);
	jobskit_wait(k, j, JOB_COMPLETED);
	assert_parts(k, "3 2 2");
	assert_order(j, ids, COUNT_OF(ids));
	v = job_view(j);
	assert_int_equal(v->counts.total, 7);
	assert_int_equal(v->counts.good, 7);
	assert_int_equal(v->part_count, 3);
	assert_int_equal(v->parts[2].seq, 3);
}

static void test_what_cannot_be_cut_goes_back(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;
	CLEANUP(view_unrefp) struct view *v = NULL;

	limit(k, 4, 5);
	j = submit(k, NULL, SEVEN);
	jobskit_wait(k, j, JOB_INVALID);
	jobskit_wait_error(k, j, "cannot be cut into jobs of 4 to 5 records");
	assert_int_equal(fakebackend_part_count(k->provider), 0);
	assert_int_equal(
		jobskit_write(j, "input.jsonl", SEVEN "{\"recordId\":\"h\",\"modelInput\":{}}\n"),
		0);
	jobskit_wait(k, j, JOB_COMPLETED);
	assert_parts(k, "4 4");
	v = job_view(j);
	assert_int_equal(v->part_count, 2);
}

/* Parts that were planned for a job that then came back are not taken for those of
 * the next, smaller, plan. */
static void test_a_refused_plan_leaves_nothing(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;
	CLEANUP(view_unrefp) struct view *v = NULL;

	limit(k, 1, 1);
	k->provider->words = "no such role";
	atomic_store(&k->provider->put_refused, 1);
	j = submit(k, NULL, SEVEN);
	jobskit_wait_error(k, j, "no such role");
	jobskit_wait(k, j, JOB_INVALID);
	limit(k, 1, 4);
	assert_int_equal(jobskit_command(k, j, COMMAND_SUBMIT), 0);
	jobskit_wait(k, j, JOB_COMPLETED);
	assert_parts(k, "4 3");
	job_unrefp(&j);
	jobskit_restart(k);
	j = jobskit_find(k, "j");
	jobskit_wait(k, j, JOB_COMPLETED);
	v = job_view(j);
	assert_int_equal(v->part_count, 2);
	assert_int_equal(v->counts.good, 7);
}

static void count_purges(void *ctx, const char *operation)
{
	if (strcmp(operation, "purge") == 0)
		atomic_fetch_add((atomic_int *)ctx, 1);
}

/* All inputs were put before the first create: none of them stays behind. */
static void test_a_refused_create_takes_all_inputs_back(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;
	atomic_int purges = 0;

	limit(k, 1, 1);
	k->provider->words = "no such role";
	atomic_store(&k->provider->create_refused, 1);
	k->provider->ctx = &purges;
	k->provider->called = count_purges;
	j = submit(k, NULL, SEVEN);
	jobskit_wait_error(k, j, "no such role");
	jobskit_wait(k, j, JOB_INVALID);
	jobskit_stop(k);
	assert_int_equal(atomic_load(&purges), 7);
	jobskit_start(k);
	k->provider->called = NULL;
}

static void test_a_retry_is_cut_as_well(void **state)
{
	static const char *const ids[] = {"a", "b", "r0000003", "d", "e", "f", "g"};
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	limit(k, 1, 3);
	k->provider->outcomes[0] = "gfm"; /* of 3 3 1 */
	k->provider->outcomes[1] = "gf";  /* of what is left: b r3, e f */
	k->provider->outcomes[2] = "g";
	j = submit(k, NULL, SEVEN);
	jobskit_wait(k, j, JOB_PARTIALLY_COMPLETED);
	limit(k, 1, 2);
	assert_int_equal(jobskit_command(k, j, COMMAND_RETRY), 0);
	jobskit_wait(k, j, JOB_COMPLETED_WITH_ERRORS);
	assert_parts(k, "3 3 1 2 2");
	assert_int_equal(jobskit_command(k, j, COMMAND_RETRY), 0);
	jobskit_wait(k, j, JOB_COMPLETED);
	assert_parts(k, "3 3 1 2 2 2");
	assert_order(j, ids, COUNT_OF(ids));
}

static void test_a_stop_between_parts(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;
	CLEANUP(view_unrefp) struct view *v = NULL;

	limit(k, 1, 3);
	atomic_store(&k->provider->put_again, 1000); /* nothing can be put */
	j = submit(k, NULL, SEVEN);
	jobskit_wait_error(k, j, "put_input: the provider is busy");
	assert_int_equal(jobskit_command(k, j, COMMAND_STOP), 0);
	jobskit_wait(k, j, JOB_STOPPED);
	assert_int_equal(fakebackend_part_count(k->provider), 0);
	v = job_view(j);
	assert_int_equal(v->counts.total, 7);
	atomic_store(&k->provider->put_again, 0);
	assert_int_equal(jobskit_command(k, j, COMMAND_RETRY), 0);
	jobskit_wait(k, j, JOB_COMPLETED);
	assert_parts(k, "3 3 1");
}

static bool has_three(struct job *j, void *kit)
{
	struct jobskit *k = kit;

	(void)j;
	return fakebackend_part_count(k->provider) == 3;
}

static void test_stop_stops_every_part(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;
	CLEANUP(view_unrefp) struct view *v = NULL;

	limit(k, 1, 3);
	k->provider->outcomes[0] = "gm";
	atomic_store(&k->provider->end, JOB_IN_PROGRESS);
	j = submit(k, NULL, SEVEN);
	jobskit_wait(k, j, JOB_IN_PROGRESS);
	jobskit_wait_for(k, j, has_three, k, __FILE__, __LINE__);
	assert_int_equal(jobskit_command(k, j, COMMAND_STOP), 0);
	jobskit_wait(k, j, JOB_STOPPED);
	for (unsigned i = 0; i < 3; i++)
		assert_true(fakebackend_part(k->provider, i).stops > 0);
	v = job_view(j);
	assert_int_equal(v->counts.good, 3); /* the first of each */
}

/* --- words --- */

static bool has_one_ended(struct job *j, void *ctx)
{
	CLEANUP(view_unrefp) struct view *v = job_view(j);

	(void)ctx;
	return v->part_count == 2 &&
	       (v->parts[0].phase == PART_ENDED) + (v->parts[1].phase == PART_ENDED) == 1;
}

static void assert_mixed(struct job *j)
{
	CLEANUP(str_freep) char *errors = jobskit_results(j, RESULTS_ERRORS);

	if (!strstr(errors, "its part of the job ended"))
		fail_msg("not told of several ends: %s", errors);
}

/* Nor when they are made again, in the next attempt. */
static void test_of_several_ends_none_is_told_for_all(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(str_freep) char *cache = jobskit_path(k, "cache");
	CLEANUP(job_unrefp) struct job *j = NULL;

	limit(k, 1, 1);
	k->provider->outcomes[0] = "m";
	atomic_store(&k->provider->ends_counted, true);
	atomic_store(&k->provider->ends, 1);
	atomic_store(&k->provider->end, JOB_EXPIRED);
	j = submit(k, NULL, "{\"modelInput\":{}}\n{\"modelInput\":{}}\n");
	jobskit_wait_for(k, j, has_one_ended, NULL, __FILE__, __LINE__);
	assert_int_equal(jobskit_command(k, j, COMMAND_STOP), 0);
	jobskit_wait(k, j, JOB_EXPIRED);
	assert_mixed(j);
	atomic_store(&k->provider->put_again, 1000);
	assert_int_equal(jobskit_command(k, j, COMMAND_RETRY), 0);
	jobskit_wait_error(k, j, "put_input: the provider is busy");
	job_unrefp(&j);
	jobskit_stop(k);
	assert_int_equal(dirs_remove(cache, NULL), 0);
	jobskit_start(k);
	j = jobskit_find(k, "j");
	jobskit_wait_error(k, j, "put_input: the provider is busy");
	assert_mixed(j);
	atomic_store(&k->provider->put_again, 0);
}

static unsigned count_lines(const char *text)
{
	unsigned n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

static char *repeat(const char *line, unsigned count)
{
	char *text = calloc(count, strlen(line) + 1);

	assert_non_null(text);
	for (size_t i = 0; i < count; i++)
		memcpy(text + i * strlen(line), line, strlen(line));
	return text;
}

static void assert_errors_of(struct jobskit *k, unsigned parts, const char *const *words,
			     unsigned lines)
{
	CLEANUP(str_freep) char *input = repeat("{\"modelInput\":{}}\n", parts);
	CLEANUP(job_unrefp) struct job *j = NULL;
	CLEANUP(view_unrefp) struct view *v = NULL;

	limit(k, 1, 1);
	k->provider->message = "no room for it";
	atomic_store(&k->provider->end, JOB_EXPIRED);
	k->provider->outcomes[0] = "m";
	j = submit(k, NULL, input);
	jobskit_wait(k, j, JOB_EXPIRED);
	v = job_view(j);
	assert_int_equal(v->part_count, parts);
	for (; *words; words++)
		if (!strstr(v->error, *words))
			fail_msg("no \"%s\" in: %s", *words, v->error);
	assert_int_equal(count_lines(v->error), lines);
	assert_true(parts > 1 || !strstr(v->error, "part"));
}

static void test_an_error_says_of_which_part_it_is(void **state)
{
	static const char *const words[] = {"part 1: no room for it\n", "part 3: no room for it\n",
					    NULL};

	assert_errors_of(*state, 3, words, 3);
}

static void test_an_error_of_one_part_needs_no_number(void **state)
{
	static const char *const words[] = {"no room for it\n", NULL};

	assert_errors_of(*state, 1, words, 1);
}

static void test_of_many_parts_a_hundred_are_told(void **state)
{
	static const char *const words[] = {"part 100: no room",
					    "and 20 more parts: see status.json", NULL};

	assert_errors_of(*state, 120, words, 101);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, jobskit_setup, jobskit_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_one_job_of_three_parts),
		TEST(test_what_cannot_be_cut_goes_back),
		TEST(test_a_refused_plan_leaves_nothing),
		TEST(test_a_refused_create_takes_all_inputs_back),
		TEST(test_a_retry_is_cut_as_well),
		TEST(test_a_stop_between_parts),
		TEST(test_stop_stops_every_part),
		TEST(test_of_several_ends_none_is_told_for_all),
		TEST(test_an_error_says_of_which_part_it_is),
		TEST(test_an_error_of_one_part_needs_no_number),
		TEST(test_of_many_parts_a_hundred_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
