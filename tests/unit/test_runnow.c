/* Records that local: runs for who waits: the same results, and the same promises. */

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tests/unit/localbench.h"

struct now {
	struct bench t;
	struct tempdir_name output;
	struct counts counts;
	struct tokens tokens;
	unsigned told, stop_at;
};

static void begin(struct now *n, void **state, int records)
{
	*n = (struct now){.stop_at = UINT_MAX};
	bench_init(&n->t, state, records);
	n->output = tempdir_path(state, "output.jsonl");
}

static void end(struct now *n)
{
	bench_release(&n->t);
}

static void use_config(struct now *n, const char *text, const char *model)
{
	n->t.b->ops->close(n->t.b);
	write_file(n->t.config_file.text, text);
	bench_open(&n->t, n->t.config_file.text);
	n->t.part.model = model;
}

static int lines_of(const struct now *n)
{
	CLEANUP(str_freep) char *text = read_file(n->output.text);

	return count_lines(text);
}

static bool told(void *ctx, const struct counts *counts, const struct tokens *tokens)
{
	struct now *n = ctx;

	n->told++;
	n->counts = *counts;
	n->tokens = *tokens;
	assert_true(lines_of(n) >= (int)(counts->good + counts->failed));
	return counts->good + counts->failed < n->stop_at;
}

static int run(struct now *n, struct err *e)
{
	return n->t.b->ops->run_now(n->t.b, &n->t.part, n->output.text, told, n, e);
}

static void test_all(void **state)
{
	static const struct {
		const char *why, *model;
		int records;
	} rows[] = {
		{"at once", "builtin.echo", 300},
		{"one", "builtin.echo", 1},
		{"an embedding", "builtin.hash-embed", 10},
		{"each takes a while", "builtin.slow", 40},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct err e = ERR_INIT;
		struct now n;

		begin(&n, state, rows[i].records);
		n.t.part.model = rows[i].model;
		if (i == 3)
			assert_int_equal(kv_set(&n.t.config, "delay_ms", "1"), 0);
		if (run(&n, &e) != 0)
			fail_msg("%s: %s", rows[i].why, e.text);
		assert_int_equal(lines_of(&n), rows[i].records);
		assert_int_equal(n.counts.good, rows[i].records);
		assert_int_equal(n.counts.total, rows[i].records);
		assert_true(n.told >= 2);
		/* Again: nothing is run, all is told. */
		n.counts = (struct counts){0};
		assert_int_equal(run(&n, &e), 0);
		assert_int_equal(lines_of(&n), rows[i].records);
		assert_int_equal(n.counts.good, rows[i].records);
		end(&n);
		unlink(n.output.text);
	}
}

/* A program of the user's, and a server that is not there. */
static void test_other_engines(void **state)
{
	struct err e = ERR_INIT;
	struct now n;

	begin(&n, state, 20);
	use_config(&n,
		   "[model t]\ncommand = sed -u -e "
		   "'s/.*\"recordId\":\"\\([^\"]*\\)\".*/{\"recordId\":\"\\1\",\"modelOutput\":"
		   "{\"text\":\"x\"}}/'\n",
		   "t");
	if (run(&n, &e) != 0)
		fail_msg("%s", e.text);
	assert_int_equal(lines_of(&n), 20);
	assert_int_equal(n.counts.good, 20);
	unlink(n.output.text);
	/* A stop is heard of while nobody answers. */
	use_config(&n, "[model h]\nurl = http://127.0.0.1:9/v1/chat/completions\n", "h");
	n.stop_at = 0;
	assert_int_equal(run(&n, &e), -ECANCELED);
	assert_int_equal(lines_of(&n), 0);
	end(&n);
}

static void test_stopped_and_gone_on_with(void **state)
{
	struct err e = ERR_INIT;
	struct now n;
	int before;

	begin(&n, state, 400);
	n.t.part.model = "builtin.slow";
	assert_int_equal(kv_set(&n.t.config, "delay_ms", "8"), 0);
	n.stop_at = 5;
	assert_int_equal(run(&n, &e), -ECANCELED);
	before = lines_of(&n);
	assert_true(before >= 5 && before < 400);
	assert_int_equal(n.counts.good, before);
	kv_release(&n.t.config);
	n.t.part.model = "builtin.echo";
	n.stop_at = UINT_MAX;
	assert_int_equal(run(&n, &e), 0);
	assert_int_equal(lines_of(&n), 400);
	assert_int_equal(n.counts.good, 400);
	end(&n);
}

static void test_torn_line(void **state)
{
	CLEANUP(str_freep) char *text = NULL;
	struct err e = ERR_INIT;
	struct now n;

	begin(&n, state, 3);
	write_file(n.output.text,
		   "{\"modelInput\":{},\"error\":{\"errorCode\":400,\"errorMessage\":\"old\"},"
		   "\"recordId\":\"r1\"}\n{\"modelInput\":{},\"modelOutput\":{\"text\":\"torn");
	assert_int_equal(run(&n, &e), 0);
	text = read_file(n.output.text);
	assert_int_equal(count_lines(text), 3);
	assert_null(strstr(text, "torn"));
	assert_int_equal(n.counts.failed, 1);
	assert_int_equal(n.counts.good, 2);
	end(&n);
}

static void test_refused(void **state)
{
	struct err e = ERR_INIT;
	struct now n;

	begin(&n, state, 3);
	n.t.part.model = "nobody";
	assert_int_equal(run(&n, &e), -EINVAL);
	n.t.part.model = "builtin.echo";
	n.t.part.input_path = "/nowhere/at/all";
	assert_int_equal(run(&n, &e), -ENOENT);
	end(&n);
}

static void *cancel_soon(void *arg)
{
	struct now *n = arg;

	while (lines_of(n) < 3)
		poll(NULL, 0, 1);
	n->t.b->ops->cancel(n->t.b);
	return NULL;
}

static bool go_on(void *ctx, const struct counts *counts, const struct tokens *tokens)
{
	(void)ctx;
	(void)counts;
	(void)tokens;
	return true;
}

static void test_cancelled(void **state)
{
	struct err e = ERR_INIT;
	pthread_t thread;
	struct now n;

	begin(&n, state, 2000);
	n.t.part.model = "builtin.slow";
	assert_int_equal(kv_set(&n.t.config, "delay_ms", "20"), 0);
	assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &n), 0);
	assert_int_equal(n.t.b->ops->run_now(n.t.b, &n.t.part, n.output.text, go_on, NULL, &e),
			 -ECANCELED);
	pthread_join(thread, NULL);
	assert_true(lines_of(&n) < 2000);
	assert_int_equal(run(&n, &e), -ECANCELED);
	end(&n);
}

/* Dies in mid-run; the next one runs the rest. */
static bool die(void *ctx, const struct counts *counts, const struct tokens *tokens)
{
	(void)ctx;
	(void)tokens;
	if (counts->good >= 10)
		kill(getpid(), SIGKILL);
	return true;
}

static void test_killed(void **state)
{
	struct err e = ERR_INIT;
	struct now n;
	int status;
	pid_t pid;

	begin(&n, state, 200);
	n.t.part.model = "builtin.slow";
	assert_int_equal(kv_set(&n.t.config, "delay_ms", "10"), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(n.t.b->ops->run_now(n.t.b, &n.t.part, n.output.text, die, NULL, &e) == 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_true(lines_of(&n) >= 10 && lines_of(&n) < 200);
	kv_release(&n.t.config);
	assert_int_equal(kv_set(&n.t.config, "delay_ms", "1"), 0);
	assert_int_equal(run(&n, &e), 0);
	assert_int_equal(lines_of(&n), 200);
	assert_int_equal(n.counts.good, 200);
	end(&n);
}

/* A full disk is waited for, and a stop heard of meanwhile. */
static bool fill(void *ctx, const struct counts *counts, const struct tokens *tokens)
{
	struct now *n = ctx;
	struct rlimit small;

	(void)counts;
	(void)tokens;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &small), 0);
	small.rlim_cur = 2000;
	if (n->told++ == 0)
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	return n->told < 4;
}

static void test_full_disk(void **state)
{
	struct rlimit before;
	struct err e = ERR_INIT;
	struct now n;
	int r;

	signal(SIGXFSZ, SIG_IGN);
	begin(&n, state, 5000);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	r = n.t.b->ops->run_now(n.t.b, &n.t.part, n.output.text, fill, &n, &e);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_true(r == -ECANCELED || r == -EAGAIN);
	assert_int_equal(run(&n, &e), 0);
	assert_int_equal(lines_of(&n), 5000);
	end(&n);
}

#define T(name) cmocka_unit_test_setup_teardown(name, tempdir_setup, tempdir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_all),	   T(test_other_engines), T(test_stopped_and_gone_on_with),
		T(test_torn_line), T(test_refused),	  T(test_cancelled),
		T(test_killed),	   T(test_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
