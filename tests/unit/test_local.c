/* The local backend from outside: jobs run, survive a restart, stop, and say
 * what went wrong. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "backend/local/local.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/tempdir.h"

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static char *read_file(const char *path)
{
	FILE *f = fopen(path, "re");
	char *text = NULL;
	size_t size = 0;

	if (!f)
		return NULL;
	if (getdelim(&text, &size, '\0', f) < 0)
		text[0] = '\0';
	fclose(f);
	return text;
}

static void write_input(const char *path, int records)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	for (int i = 0; i < records; i++)
		fprintf(f,
			"{\"recordId\":\"r%d\",\"modelInput\":{\"messages\":[{\"role\":\"user\","
			"\"content\":\"say %d\"}]}}\n",
			i, i);
	assert_int_equal(fclose(f), 0);
}

static int count_lines(const char *text)
{
	int n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

/* What most tests have: a directory, a backend in it, one part. */
struct bench {
	struct tempdir_name dir, input, config_file;
	struct backend *b;
	struct kv config;
	struct backend_part part;
};

static void bench_open(struct bench *t, const char *config_path)
{
	struct err e = ERR_INIT;

	if (local_open(t->dir.text, config_path, &t->b, &e) != 0)
		fail_msg("%s", e.text);
}

static void bench_init(struct bench *t, void **state, int records)
{
	*t = (struct bench){.dir = tempdir_path(state, "runs"),
			    .input = tempdir_path(state, "input.jsonl"),
			    .config_file = tempdir_path(state, "batchfs.ini")};
	mkdir(t->dir.text, 0700);
	write_input(t->input.text, records);
	t->part = (struct backend_part){
		.token = "t-1",
		.job_name = "job",
		.model = "builtin.echo",
		.config = &t->config,
		.input_path = t->input.text,
		.record_count = (uint64_t)records,
		.attempt = 1,
	};
	bench_open(t, NULL);
}

static void bench_release(struct bench *t)
{
	t->b->ops->close(t->b);
	kv_release(&t->config);
}

static void create(struct bench *t)
{
	CLEANUP(str_freep) char *remote = NULL;
	struct err e = ERR_INIT;

	if (t->b->ops->create(t->b, &t->part, &remote, &e) != 0)
		fail_msg("%s", e.text);
	assert_string_equal(remote, t->part.token);
}

static struct part_status status_of(struct bench *t)
{
	struct part_status s = {.raw = ""};
	const char *remote = t->part.token;

	assert_int_equal(t->b->ops->poll(t->b, &remote, &s, 1, NULL), 0);
	return s;
}

/* Waits for a thing to come true; ten seconds are for ever. */
static struct part_status wait_until(struct bench *t, bool (*is)(const struct part_status *s))
{
	struct part_status s = {.raw = ""};

	for (int i = 0; i < 10000; i++) {
		s = status_of(t);
		if (is(&s))
			return s;
		poll(NULL, 0, 1);
	}
	fail_msg("stuck in %s: %s", s.raw, s.message);
	return s;
}

static bool has_ended(const struct part_status *s)
{
	return job_state_is_end(s->state);
}

static bool has_some(const struct part_status *s)
{
	return s->counts.good >= 5 || has_ended(s);
}

static bool has_message(const struct part_status *s)
{
	return s->message[0] || has_ended(s);
}

static char *results_of(struct bench *t)
{
	struct backend_files files = {.count = 0};
	char *text;

	assert_int_equal(t->b->ops->fetch(t->b, t->part.token, "/nowhere", &files, NULL), 0);
	assert_int_equal(files.count, 1);
	text = read_file(files.paths[0]);
	backend_files_release(&files);
	assert_non_null(text);
	return text;
}

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

static void test_a_run_goes_on_after_a_restart(void **state)
{
	CLEANUP(bench_release) struct bench t;
	CLEANUP(str_freep) char *text = NULL;
	struct part_status s;

	bench_init(&t, state, 300);
	t.part.model = "builtin.slow";
	assert_int_equal(kv_set(&t.config, "delay_ms", "2"), 0);
	create(&t);
	s = wait_until(&t, has_some);
	assert_int_equal(s.state, JOB_IN_PROGRESS);
	t.b->ops->close(t.b);
	bench_open(&t, NULL);
	s = wait_until(&t, has_ended);
	assert_int_equal(s.state, JOB_COMPLETED);
	assert_int_equal(s.counts.good, 300);
	assert_int_equal(s.tokens.input, 600);
	text = results_of(&t);
	assert_int_equal(count_lines(text), 300);
}

/* What a kill leaves: a journal with a torn end and no mark of an end. */
static void test_what_is_done_is_not_run_again(void **state)
{
	static const char journal[] =
		"{\"modelInput\":{},\"modelOutput\":{\"text\":\"from before\","
		"\"usage\":{\"inputTokens\":7}},\"recordId\":\"r1\"}\n"
		"{\"modelInput\":{},\"error\":{\"errorCode\":400,\"errorMessage\":\"x\"},"
		"\"recordId\":\"r3\"}\n"
		"\0\0\0\0 what a power failure leaves\n"
		"{\"modelInput\":{},\"modelOutput\":{\"text\":\"to";
	CLEANUP(bench_release) struct bench t;
	CLEANUP(str_freep) char *text = NULL;
	struct tempdir_name path;
	struct part_status s;
	int fd;

	bench_init(&t, state, 5);
	t.part.model = "builtin.slow";
	assert_int_equal(kv_set(&t.config, "delay_ms", "600000"), 0);
	create(&t);
	t.b->ops->close(t.b);
	path = tempdir_path(state, "runs/t-1/journal.jsonl");
	fd = open(path.text, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(write(fd, journal, sizeof(journal) - 1), sizeof(journal) - 1);
	close(fd);
	/* The run's own file says what it is; a shorter delay spares the wait. */
	path = tempdir_path(state, "runs/t-1/run.json");
	text = read_file(path.text);
	assert_non_null(strstr(text, "\"600000\""));
	memcpy(strstr(text, "\"600000\""), "\"1\"     ", 8);
	write_file(path.text, text);
	str_freep(&text);
	bench_open(&t, NULL);
	s = wait_until(&t, has_ended);
	assert_int_equal(s.state, JOB_COMPLETED);
	assert_int_equal(s.counts.good, 4);
	assert_int_equal(s.counts.failed, 1);
	path = tempdir_path(state, "runs/t-1/journal.jsonl");
	fd = open(path.text, O_RDONLY);
	str_freep(&text);
	text = calloc(1, 100000);
	assert_true(read(fd, text, 99999) > 0);
	close(fd);
	assert_non_null(strstr(text, "from before"));
	assert_null(memmem(text, 99999, "\"text\":\"say 1\"", 14));
	assert_null(memmem(text, 99999, "\"to{", 4));
	assert_non_null(memmem(text, 99999, "say 4\"", 6));
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

/* In a process of its own, so that it can be killed. */
static void run_until_killed(struct bench *t)
{
	bench_open(t, NULL);
	create(t);
	for (;;)
		pause();
}

static void test_kill_and_go_on(void **state)
{
	CLEANUP(bench_release) struct bench t;
	CLEANUP(str_freep) char *text = NULL;
	struct tempdir_name journal = tempdir_path(state, "runs/t-1/journal.jsonl");
	struct part_status s;
	static char seen[20000];
	struct stat st;

	bench_init(&t, state, sizeof(seen));
	t.b->ops->close(t.b);
	t.part.model = "builtin.slow";
	assert_int_equal(kv_set(&t.config, "delay_ms", "1"), 0);
	assert_int_equal(kv_set(&t.config, "parallel", "64"), 0);
	for (off_t size = 20000; size <= 200000; size += 60000) {
		pid_t pid = fork();

		if (pid == 0)
			run_until_killed(&t);
		while (stat(journal.text, &st) < 0 || st.st_size < size)
			poll(NULL, 0, 1);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
	}
	bench_open(&t, NULL);
	s = wait_until(&t, has_ended);
	assert_int_equal(s.counts.good, sizeof(seen));
	assert_int_equal(s.tokens.output, 2 * sizeof(seen));
	text = results_of(&t);
	assert_int_equal(count_lines(text), sizeof(seen));
	for (char *at = text; (at = strstr(at, "\"recordId\":\"r")); at++) {
		long n = strtol(at + strlen("\"recordId\":\"r"), NULL, 10);

		assert_int_equal(seen[n]++, 0);
	}
}

static void set_file_limit(rlim_t bytes)
{
	struct rlimit l;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &l), 0);
	l.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &l), 0);
}

/* A limit on the size of files stands for a full disk. */
static void test_a_full_disk_is_waited_for(void **state)
{
	CLEANUP(bench_release) struct bench t;
	CLEANUP(str_freep) char *text = NULL;
	struct part_status s;

	bench_init(&t, state, 2000);
	signal(SIGXFSZ, SIG_IGN);
	set_file_limit(100000);
	create(&t);
	s = wait_until(&t, has_message);
	assert_int_equal(s.state, JOB_IN_PROGRESS);
	assert_int_equal(strncmp(s.message, "disk full", 9), 0);
	set_file_limit(RLIM_INFINITY);
	s = wait_until(&t, has_ended);
	assert_int_equal(s.state, JOB_COMPLETED);
	assert_int_equal(s.counts.good, 2000);
	assert_string_equal(s.message, "");
	text = results_of(&t);
	assert_int_equal(count_lines(text), 2000);
}

static void test_a_stop_on_a_full_disk(void **state)
{
	CLEANUP(bench_release) struct bench t;

	bench_init(&t, state, 2000);
	signal(SIGXFSZ, SIG_IGN);
	set_file_limit(100000);
	create(&t);
	wait_until(&t, has_message);
	assert_int_equal(t.b->ops->stop(t.b, "t-1", NULL), 0);
	assert_int_equal(wait_until(&t, has_ended).state, JOB_STOPPED);
	set_file_limit(RLIM_INFINITY);
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
		TEST(test_the_same_token_is_one_run),
		TEST(test_an_end_is_remembered),
		TEST(test_a_run_goes_on_after_a_restart),
		TEST(test_what_is_done_is_not_run_again),
		TEST(test_stop_keeps_what_is_there),
		TEST(test_a_stop_outlives_a_restart),
		TEST(test_a_run_without_its_directory),
		TEST(test_an_input_that_cannot_be_read),
		TEST(test_bad_records_do_not_fail_a_run),
		TEST(test_forget_is_final),
		TEST(test_a_removal_cut_short_is_finished),
		TEST(test_many_runs_wait_for_their_turn),
		TEST(test_a_model_that_left_the_configuration),
		TEST(test_a_stop_of_such_a_run),
		TEST(test_damaged_state_stops_nobody_else),
		TEST(test_what_create_refuses),
		TEST(test_a_file_in_the_way),
		TEST(test_kill_and_go_on),
		TEST(test_a_full_disk_is_waited_for),
		TEST(test_a_stop_on_a_full_disk),
		TEST(test_a_command_from_end_to_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
