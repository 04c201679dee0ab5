/* The local backend from outside: jobs run, survive a restart, stop, and say
 * what went wrong. */

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/unit/localbench.h"

static void test_a_job_runs(void **state)
{
	CLEANUP(bench_release) struct bench t;
	CLEANUP(str_freep) char *text = NULL;
	struct part_status s;

	bench_init(&t, state, 1000);
	create(&t);
	s = wait_until(&t, has_ended);
	assert_int_equal(s.state, JOB_COMPLETED);
	assert_int_equal(s.counts.total, 1000);
	assert_int_equal(s.counts.good, 1000);
	assert_int_equal(s.counts.failed, 0);
	assert_int_equal(s.tokens.input, 2000);
	assert_int_equal(s.tokens.output, 2000);
	text = results_of(&t);
	assert_int_equal(count_lines(text), 1000);
	assert_non_null(strstr(text, "\"text\":\"say 999\""));
	assert_non_null(strstr(text, "\"recordId\":\"r999\""));
	assert_non_null(strstr(text, "\"modelInput\":{\"messages\""));
}

static void test_limits_are_what_was_asked_for(void **state)
{
	CLEANUP(bench_release) struct bench t;
	struct backend_limits limits;

	bench_init(&t, state, 1);
	t.b->ops->limits(t.b, "builtin.echo", &limits);
	assert_int_equal(limits.records_max_per_part, BENCH_RECORDS_MAX);
	assert_int_equal(limits.records_min, 1);
}

static void test_the_same_token_is_one_run(void **state)
{
	CLEANUP(bench_release) struct bench t;
	CLEANUP(str_freep) char *text = NULL;

	bench_init(&t, state, 10);
	create(&t);
	create(&t);
	wait_until(&t, has_ended);
	create(&t);
	assert_int_equal(status_of(&t).state, JOB_COMPLETED);
	text = results_of(&t);
	assert_int_equal(count_lines(text), 10);
}

static void test_an_end_is_remembered(void **state)
{
	CLEANUP(bench_release) struct bench t;
	struct part_status before, after;

	bench_init(&t, state, 10);
	create(&t);
	before = wait_until(&t, has_ended);
	t.b->ops->close(t.b);
	bench_open(&t, NULL);
	after = status_of(&t);
	assert_int_equal(after.state, JOB_COMPLETED);
	assert_memory_equal(&before.counts, &after.counts, sizeof(before.counts));
	assert_memory_equal(&before.tokens, &after.tokens, sizeof(before.tokens));
}

static void test_stop_keeps_what_is_there(void **state)
{
	CLEANUP(bench_release) struct bench t;
	CLEANUP(str_freep) char *text = NULL;
	struct part_status s;

	bench_init(&t, state, 5000);
	t.part.model = "builtin.slow";
	assert_int_equal(kv_set(&t.config, "delay_ms", "5"), 0);
	create(&t);
	wait_until(&t, has_some);
	assert_int_equal(t.b->ops->fetch(t.b, "t-1", "/nowhere", NULL, NULL), -EBUSY);
	assert_int_equal(t.b->ops->forget(t.b, "t-1", NULL), -EBUSY);
	assert_int_equal(t.b->ops->stop(t.b, "t-1", NULL), 0);
	s = wait_until(&t, has_ended);
	assert_int_equal(s.state, JOB_STOPPED);
	assert_true(s.counts.good >= 5 && s.counts.good < 5000);
	text = results_of(&t);
	assert_int_equal(count_lines(text), s.counts.good);
	assert_int_equal(t.b->ops->stop(t.b, "t-1", NULL), 0);
	assert_int_equal(t.b->ops->stop(t.b, "unknown", NULL), 0);
}

static void test_a_stop_outlives_a_restart(void **state)
{
	CLEANUP(bench_release) struct bench t;
	struct tempdir_name path;

	bench_init(&t, state, 50);
	t.part.model = "builtin.slow";
	assert_int_equal(kv_set(&t.config, "delay_ms", "600000"), 0);
	create(&t);
	t.b->ops->close(t.b);
	path = tempdir_path(state, "runs/t-1/stop");
	write_file(path.text, "");
	bench_open(&t, NULL);
	assert_int_equal(wait_until(&t, has_ended).state, JOB_STOPPED);
}

static void test_a_run_without_its_directory(void **state)
{
	CLEANUP(bench_release) struct bench t;
	struct part_status s;

	bench_init(&t, state, 1);
	s = status_of(&t);
	assert_int_equal(s.state, JOB_FAILED);
	assert_non_null(strstr(s.message, "directory is gone"));
}

static void test_an_input_that_cannot_be_read(void **state)
{
	CLEANUP(bench_release) struct bench t;
	struct part_status s;

	bench_init(&t, state, 1);
	t.part.input_path = "/nonexistent/input";
	create(&t);
	s = wait_until(&t, has_ended);
	assert_int_equal(s.state, JOB_FAILED);
	assert_non_null(strstr(s.message, "/nonexistent/input"));
	assert_int_equal(s.counts.total, 1);
}

static void test_bad_records_do_not_fail_a_run(void **state)
{
	CLEANUP(bench_release) struct bench t;
	CLEANUP(str_freep) char *text = NULL;
	struct part_status s;

	bench_init(&t, state, 0);
	t.part.record_count = 3;
	write_file(t.input.text, "{\"recordId\":\"a\",\"modelInput\":7}\n"
				 "this is not JSON\n"
				 "{\"recordId\":\"c\\n\\\"\",\"modelInput\":{\"prompt\":\"x\"}}\n");
	create(&t);
	s = wait_until(&t, has_ended);
	assert_int_equal(s.state, JOB_COMPLETED);
	assert_int_equal(s.counts.good, 1);
	assert_int_equal(s.counts.failed, 1);
	text = results_of(&t);
	assert_non_null(strstr(text, "ValidationException"));
	assert_non_null(strstr(text, "\"recordId\":\"c\\n\\\"\""));
}

static void test_forget_is_final(void **state)
{
	CLEANUP(bench_release) struct bench t;
	struct tempdir_name path = tempdir_path(state, "runs/t-1");

	bench_init(&t, state, 1);
	create(&t);
	wait_until(&t, has_ended);
	assert_int_equal(t.b->ops->forget(t.b, "t-1", NULL), 0);
	assert_int_equal(access(path.text, F_OK), -1);
	assert_int_equal(t.b->ops->forget(t.b, "t-1", NULL), 0);
	assert_int_equal(t.b->ops->forget(t.b, "../t-1", NULL), 0);
	assert_int_equal(status_of(&t).state, JOB_FAILED);
}

/* The end is told a moment before the run's driver has let go of it. */
static void test_forget_right_at_the_end(void **state)
{
	CLEANUP(bench_release) struct bench t;
	char token[16];

	bench_init(&t, state, 1);
	t.part.token = token;
	for (int i = 0; i < 100; i++) {
		snprintf(token, sizeof(token), "run-%d", i);
		create(&t);
		while (!job_state_is_end(status_of(&t).state))
			sched_yield();
		assert_int_equal(t.b->ops->forget(t.b, token, NULL), 0);
	}
}

static void test_a_removal_cut_short_is_finished(void **state)
{
	CLEANUP(bench_release) struct bench t;
	struct tempdir_name path = tempdir_path(state, "runs/.gone-t-1");
	struct tempdir_name file = tempdir_path(state, "runs/.gone-t-1/journal.jsonl");

	bench_init(&t, state, 1);
	t.b->ops->close(t.b);
	assert_int_equal(mkdir(path.text, 0700), 0);
	write_file(file.text, "{}\n");
	bench_open(&t, NULL);
	assert_int_equal(access(path.text, F_OK), -1);
}

static void test_many_runs_wait_for_their_turn(void **state)
{
	CLEANUP(bench_release) struct bench t;
	char tokens[50][16];

	bench_init(&t, state, 20);
	t.part.model = "builtin.slow";
	assert_int_equal(kv_set(&t.config, "delay_ms", "1"), 0);
	for (int i = 0; i < 50; i++) {
		snprintf(tokens[i], sizeof(tokens[i]), "run-%d", i);
		t.part.token = tokens[i];
		create(&t);
	}
	for (int i = 0; i < 50; i++) {
		t.part.token = tokens[i];
		assert_int_equal(wait_until(&t, has_ended).counts.good, 20);
	}
}

static void test_a_model_that_left_the_configuration(void **state)
{
	CLEANUP(bench_release) struct bench t;
	struct part_status s;

	bench_init(&t, state, 20);
	t.b->ops->close(t.b);
	write_file(t.config_file.text, "[model mine]\nengine = builtin.slow\ndelay_ms = 600000\n");
	bench_open(&t, t.config_file.text);
	t.part.model = "mine";
	create(&t);
	t.b->ops->close(t.b);
	bench_open(&t, NULL);
	s = wait_until(&t, has_message);
	assert_int_equal(s.state, JOB_SCHEDULED);
	assert_non_null(strstr(s.message, "runs no \"mine\""));
	t.b->ops->close(t.b);
	write_file(t.config_file.text, "[model mine]\nengine = builtin.echo\n");
	bench_open(&t, t.config_file.text);
	assert_int_equal(wait_until(&t, has_ended).counts.good, 20);
}

static void test_a_stop_of_such_a_run(void **state)
{
	CLEANUP(bench_release) struct bench t;

	bench_init(&t, state, 20);
	t.b->ops->close(t.b);
	write_file(t.config_file.text, "[model mine]\nengine = builtin.slow\ndelay_ms = 600000\n");
	bench_open(&t, t.config_file.text);
	t.part.model = "mine";
	create(&t);
	t.b->ops->close(t.b);
	bench_open(&t, NULL);
	assert_int_equal(t.b->ops->stop(t.b, "t-1", NULL), 0);
	assert_int_equal(wait_until(&t, has_ended).state, JOB_STOPPED);
}

static void test_damaged_state_stops_nobody_else(void **state)
{
	static const struct {
		const char *why, *text;
	} rows[] = {
		{"not JSON", "{"},
		{"empty", ""},
		{"an array", "[]"},
		{"no version", "{\"token\":\"bad\"}"},
		{"a newer version",
		 "{\"version\":2,\"token\":\"bad\",\"model\":\"m\",\"input\":\"/x\"}"},
		{"another run's",
		 "{\"version\":1,\"token\":\"x\",\"model\":\"m\",\"input\":\"/x\"}"},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(bench_release) struct bench t;
		struct tempdir_name dir = tempdir_path(state, "runs/bad");
		struct tempdir_name file = tempdir_path(state, "runs/bad/run.json");
		char token[16];

		bench_init(&t, state, 3);
		t.b->ops->close(t.b);
		mkdir(dir.text, 0700);
		write_file(file.text, rows[i].text);
		bench_open(&t, NULL);
		snprintf(token, sizeof(token), "good-%zu", i);
		t.part.token = token;
		create(&t);
		assert_int_equal(wait_until(&t, has_ended).counts.good, 3);
		t.part.token = "bad";
		assert_int_equal(status_of(&t).state, JOB_FAILED);
	}
}

static void test_what_create_refuses(void **state)
{
	static const struct {
		const char *why, *token, *model, *words;
	} rows[] = {
		{"a real model", "t", "anthropic.claude-sonnet-4-6", "never answers in place of"},
		{"a template without its text", "t", "builtin.template", "needs a template"},
		{"a token that leaves the directory", "../t", "builtin.echo", "no token"},
		{"a hidden token", ".gone-x", "builtin.echo", "no token"},
		{"no token", "", "builtin.echo", "no token"},
	};
	CLEANUP(bench_release) struct bench t;

	bench_init(&t, state, 1);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct err e = ERR_INIT;
		char *remote = NULL;

		t.part.token = rows[i].token;
		t.part.model = rows[i].model;
		assert_int_equal(t.b->ops->create(t.b, &t.part, &remote, &e), -EINVAL);
		assert_null(remote);
		if (!strstr(e.text, rows[i].words))
			fail_msg("%s: %s", rows[i].why, e.text);
	}
}

static void test_a_file_in_the_way(void **state)
{
	CLEANUP(bench_release) struct bench t;
	struct tempdir_name path = tempdir_path(state, "runs/t-1");
	struct err e = ERR_INIT;
	char *remote = NULL;

	bench_init(&t, state, 1);
	write_file(path.text, "");
	assert_int_equal(t.b->ops->create(t.b, &t.part, &remote, &e), -ENOTDIR);
	assert_non_null(strstr(e.text, "runs/t-1"));
}

static void test_a_command_from_end_to_end(void **state)
{
	CLEANUP(bench_release) struct bench t;
	struct part_status s;

	bench_init(&t, state, 200);
	t.b->ops->close(t.b);
	write_file(t.config_file.text,
		   "[model sed]\ncommand = sed -u s/modelInput/modelOutput/\nworkers = 2\n");
	bench_open(&t, t.config_file.text);
	t.part.model = "sed";
	create(&t);
	s = wait_until(&t, has_ended);
	assert_int_equal(s.state, JOB_COMPLETED);
	assert_int_equal(s.counts.good, 200);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, tempdir_setup, tempdir_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_a_job_runs),
		TEST(test_limits_are_what_was_asked_for),
		TEST(test_the_same_token_is_one_run),
		TEST(test_an_end_is_remembered),
		TEST(test_stop_keeps_what_is_there),
		TEST(test_a_stop_outlives_a_restart),
		TEST(test_a_run_without_its_directory),
		TEST(test_an_input_that_cannot_be_read),
		TEST(test_bad_records_do_not_fail_a_run),
		TEST(test_forget_is_final),
		TEST(test_forget_right_at_the_end),
		TEST(test_a_removal_cut_short_is_finished),
		TEST(test_many_runs_wait_for_their_turn),
		TEST(test_a_model_that_left_the_configuration),
		TEST(test_a_stop_of_such_a_run),
		TEST(test_damaged_state_stops_nobody_else),
		TEST(test_what_create_refuses),
		TEST(test_a_file_in_the_way),
		TEST(test_a_command_from_end_to_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
