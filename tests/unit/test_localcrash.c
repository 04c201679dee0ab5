/* The local backend when things break: restarts, kills, torn files, full disks. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/unit/localbench.h"

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

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, tempdir_setup, tempdir_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_a_run_goes_on_after_a_restart),
		TEST(test_what_is_done_is_not_run_again),
		TEST(test_kill_and_go_on),
		TEST(test_a_full_disk_is_waited_for),
		TEST(test_a_stop_on_a_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
