/* The daemon dies at every moment of a job that is not sent as it is: too small, known in
 * part, run again by itself (tests/unit/crashkit.h). */

#include "tests/unit/cmocka_all.h"
#include "tests/unit/crashkit.h"

#define LINE(id, input) "{\"recordId\":\"" id "\",\"modelInput\":" input "}\n"

static struct job *make(struct jobskit *k, const char *name, const char *config, const char *input)
{
	struct job *j = jobskit_make(k, name);

	assert_int_equal(jobskit_write(j, "config", config), 0);
	assert_int_equal(jobskit_write(j, "input.jsonl", input), 0);
	assert_int_equal(jobskit_write(j, "model", "fake.echo"), 0);
	return j;
}

/* A job "j" that goes with the next start. */
static void prepare(struct jobskit *k, const char *config, const char *input)
{
	struct job *j;

	k->o.settings.manual = true;
	jobskit_start(k);
	j = make(k, "j", config, input);
	jobskit_wait(k, j, JOB_HELD);
	job_unref(j);
	jobskit_stop(k);
}

static void prepare_ondemand(struct jobskit *k)
{
	atomic_store(&k->provider->records_min, 5);
	prepare(k, "small = ondemand\n", JOBSKIT_INPUT);
}

static void prepare_padded(struct jobskit *k)
{
	atomic_store(&k->provider->records_min, 5);
	prepare(k, "small = pad\n", JOBSKIT_INPUT);
}

/* Of its records one is known, and one a copy. */
static void prepare_dedupe(struct jobskit *k)
{
	struct job *j;

	jobskit_start(k);
	j = make(k, "earlier", "", LINE("z", "{\"x\":2}"));
	jobskit_wait(k, j, JOB_COMPLETED);
	job_unref(j);
	jobskit_stop(k);
	prepare(k, "dedupe = yes\n",
		LINE("a", "{\"x\":1}") LINE("b", "{\"x\":1}") LINE("c", "{\"x\":2}"));
}

static void prepare_again(struct jobskit *k)
{
	prepare(k, "retry_max = 3\n", JOBSKIT_INPUT);
}

static void test_ondemand(void **state)
{
	static const struct crash s = {.name = "a job on demand",
				       .outcomes = {"gfg", ""},
				       .prepare = prepare_ondemand,
				       .end = JOB_COMPLETED_WITH_ERRORS,
				       .good = 2,
				       .bought = 3};

	(void)state;
	crashkit_sweep(&s);
}

static void test_padded(void **state)
{
	static const struct crash s = {.name = "a padded job",
				       .outcomes = {"g", ""},
				       .prepare = prepare_padded,
				       .end = JOB_COMPLETED,
				       .parts = 1,
				       .good = 3};

	(void)state;
	crashkit_sweep(&s);
}

static void test_dedupe(void **state)
{
	static const struct crash s = {.name = "a job known in part",
				       .outcomes = {"g", ""},
				       .prepare = prepare_dedupe,
				       .end = JOB_COMPLETED,
				       .parts = 2,
				       .good = 3};

	(void)state;
	crashkit_sweep(&s);
}

static void test_again(void **state)
{
	static const struct crash s = {.name = "an automatic retry",
				       .outcomes = {"gmm", "g"},
				       .prepare = prepare_again,
				       .end = JOB_COMPLETED,
				       .parts = 2,
				       .good = 3};

	(void)state;
	crashkit_sweep(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ondemand),
		cmocka_unit_test(test_padded),
		cmocka_unit_test(test_dedupe),
		cmocka_unit_test(test_again),
	};

	return cmocka_run_group_tests_name("smallcrash", tests, NULL, NULL);
}
