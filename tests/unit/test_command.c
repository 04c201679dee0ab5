/* The command engine against small programs: what they answer, and all the
 * ways in which they do not. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "backend/local/engine.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/fakefeed.h"
#include "tests/unit/tempdir.h"

#define N 20

struct bench {
	struct fakefeed feed;
	struct kv definition, config;
	struct engine_job job;
	struct err e;
};

static void bench_init(struct bench *t, void **state, const char *command, size_t count)
{
	static const char *const inputs[N] = {"{\"n\":0}", "{\"n\":1}", "{\"n\":2}", "{\"n\":3}",
					      "{\"n\":4}", "{\"n\":5}", "{\"n\":6}", "{\"n\":7}",
					      "{\"n\":8}", "{\"n\":9}", "{}",	     "{}",
					      "{}",	   "{}",	"{}",	     "{}",
					      "{}",	   "{}",	"{}",	     "{}"};

	*t = (struct bench){.e = ERR_INIT};
	fakefeed_init(&t->feed, inputs, count);
	assert_int_equal(kv_set(&t->definition, "command", command), 0);
	assert_int_equal(kv_set(&t->definition, "cwd", *state), 0);
	t->job = (struct engine_job){
		.model = "prog",
		.definition = &t->definition,
		.config = &t->config,
		.attempt = 1,
		.clock = clock_system(),
	};
}

static void bench_release(struct bench *t)
{
	fakefeed_release(&t->feed);
	kv_release(&t->definition);
	kv_release(&t->config);
}

static void set(struct bench *t, const char *key, const char *value)
{
	assert_int_equal(kv_set(&t->definition, key, value), 0);
}

static int run(struct bench *t)
{
	return engine_command.run(&t->job, &t->feed.feed, &t->e);
}

/* Programs in sh, written into the test's directory: no dash is without read
 * and printf. */
static char *script(void **state, const char *text)
{
	struct tempdir_name path = tempdir_path(state, "prog.sh");
	FILE *f = fopen(path.text, "we");
	char *command;

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_true(asprintf(&command, "sh %s", path.text) > 0);
	return command;
}

/* Finds the id as the text between the third and fourth quote. */
#define GET_ID "id=${line#*:\\\"}; id=${id%%\\\"*}\n"
#define LOOP   "while IFS= read -r line; do id=${line#*:\\\"}; id=${id%%\\\"*}\n"
#define ANSWER "printf '{\"recordId\":\"%s\",\"modelOutput\":{\"pid\":%d}}\\n' \"$id\" $$\n"

static void test_answers(void **state)
{
	static const struct {
		const char *why, *program, *first; /* answer to r0 */
	} rows[] = {
		{"a good one", LOOP ANSWER "done\n", "{\"pid\":"},
		{"out of order",
		 "read -r a; read -r b; for line in \"$b\" \"$a\"; do " GET_ID ANSWER
		 "done\n" LOOP ANSWER "done\n",
		 "{\"pid\":"},
		{"an error with a code",
		 LOOP "printf '{\"recordId\":\"%s\",\"error\":{\"errorCode\":\"Bad\","
		      "\"errorMessage\":\"no %s\"}}\\n' $id $id\ndone\n",
		 "Bad: no r0"},
		{"an error with a number",
		 LOOP "printf '{\"recordId\":\"%s\",\"error\":{\"errorCode\":400,"
		      "\"errorMessage\":\"x\"}}\\n' $id\ndone\n",
		 "400: x"},
		{"noise between the answers",
		 "echo starting\n" LOOP "echo; echo '[1]'; echo '{\"recordId\":\"nobody\","
		 "\"modelOutput\":{}}'\n" ANSWER ANSWER "done\n",
		 "{\"pid\":"},
		{"words on standard error", LOOP "echo busy >&2\n" ANSWER "done\n", "{\"pid\":"},
		{"no newline before the end of input", LOOP ANSWER "done\nprintf rest\n",
		 "{\"pid\":"},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(str_freep) char *command = script(state, rows[i].program);
		CLEANUP(bench_release) struct bench t;

		bench_init(&t, state, command, N);
		assert_int_equal(run(&t), 0);
		for (size_t k = 0; k < N; k++)
			assert_true(t.feed.answers[k].given);
		if (strncmp(t.feed.answers[0].text, rows[i].first, strlen(rows[i].first)) != 0)
			fail_msg("%s: %s", rows[i].why, t.feed.answers[0].text);
		assert_true(t.feed.answers[0].good == (rows[i].first[0] == '{'));
	}
}

static void test_what_the_program_is_given(void **state)
{
	CLEANUP(str_freep)
	char *command =
		script(state, LOOP
		       "printf '{\"recordId\":\"%s\",\"modelOutput\":{\"cwd\":\"%s\",\"env\":"
		       "\"%s\",\"line\":%s,\"fds\":\"%s\"}}\\n' $id \"$PWD\" \"$(env | grep -v "
		       "-e ^_= -e ^OLDPWD= -e ^SHLVL= | sed 's/=.*//' | sort | tr '\\n' ' ')$ADDED "
		       "$BATCHFS_MEDIA\" \"$line\" \"$(ls /proc/$$/fd | tr '\\n' ' ')\"\ndone\n");
	CLEANUP(bench_release) struct bench t;
	CLEANUP(fd_closep) int leak = fcntl(0, F_DUPFD, 200);
	const char *text;

	assert_int_equal(setenv("AWS_SECRET_ACCESS_KEY", "secret", 1), 0);
	assert_int_equal(setenv("LANG", "C", 1), 0);
	assert_int_equal(setenv("TMPDIR", "/tmp", 1), 0);
	bench_init(&t, state, command, 1);
	set(&t, "env.ADDED", "a b=c");
	set(&t, "env.LANG", "C.UTF-8");
	t.job.media_path = "/media/x";
	assert_int_equal(run(&t), 0);
	text = t.feed.answers[0].text;
	if (!strstr(text,
		    "\"env\":\"ADDED BATCHFS_MEDIA HOME LANG PATH PWD TMPDIR a b=c /media/x\""))
		fail_msg("%s", text);
	assert_non_null(strstr(text, *state));
	assert_non_null(strstr(text, "\"line\":{\"recordId\":\"r0\",\"modelInput\":{\"n\":0}}"));
	assert_true(leak >= 200);
	if (!strstr(text, "\"fds\":\"0 1 ") || strstr(text, "20"))
		fail_msg("%s", text);
	unsetenv("AWS_SECRET_ACCESS_KEY");
}

static void test_workers_share_the_work(void **state)
{
	/* Each waits until the other has a record, too. */
	CLEANUP(str_freep)
	char *command =
		script(state, LOOP
		       "touch here.$$; while [ $(ls here.* | wc -l) -lt 2 ]; do :; done\n" ANSWER
		       "done\n");
	CLEANUP(bench_release) struct bench t;

	bench_init(&t, state, command, N);
	set(&t, "workers", "2");
	assert_int_equal(run(&t), 0);
	assert_true(t.feed.most_under_way <= 8);
	for (size_t k = 0; k < N; k++)
		assert_true(t.feed.answers[k].good);
}

static void test_big_records_do_not_deadlock(void **state)
{
	/* cat writes as it reads; both pipes are full long before the end. */
	size_t size = 3u << 20;
	CLEANUP(str_freep) char *big = malloc(size + 100);
	CLEANUP(bench_release) struct bench t;
	int n = snprintf(big, 100, "{\"x\":\"");

	assert_true(n > 0);
	memset(big + n, 'x', size);
	memcpy(big + n + size, "\"}", 3);
	bench_init(&t, state, "stdbuf -oL sed s/modelInput/modelOutput/", 12);
	for (size_t i = 0; i < 12; i++)
		t.feed.records[i].input = jsonspan_of(big, strlen(big));
	set(&t, "outstanding", "12");
	assert_int_equal(run(&t), 0);
	for (size_t i = 0; i < 12; i++) {
		assert_true(t.feed.answers[i].good);
		assert_int_equal(strlen(t.feed.answers[i].text), strlen(big));
	}
}

static void test_programs_that_end(void **state)
{
	static const struct {
		const char *why, *program, *attempts;
		size_t good;
		const char *bad; /* of r3, or NULL */
		bool pauses;
	} rows[] = {
		{"a record it dies of takes no other with it",
		 LOOP "[ $id = r3 ] && echo 'cannot bear it' >&2 && exit 7\n" ANSWER "done\n", "2",
		 9,
		 "CommandExited: the command ended with exit code 7 and left this unanswered; it "
		 "said last: cannot bear it",
		 false},
		{"killed by a signal", LOOP "[ $id = r3 ] && kill -SEGV $$\n" ANSWER "done\n", "2",
		 9, "CommandExited: the command ended with signal 11", false},
		{"an end that is none of our business", LOOP ANSWER "exit 0\ndone\n", "20", 10,
		 NULL, false},
		{"it closes its output and lives on",
		 LOOP "if [ $id = r3 ]; then exec >&-; exec </dev/null; exit 3; fi\n" ANSWER
		      "done\n",
		 "2", 9, "CommandExited: the command ended with exit code 3", false},
		{"it closes its input first", "exec <&-\nexit 1\n", "1", 0,
		 "CommandExited: the command ended with exit code 1", false},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(str_freep) char *command = script(state, rows[i].program);
		CLEANUP(bench_release) struct bench t;
		size_t good = 0;

		bench_init(&t, state, command, 10);
		assert_int_equal(kv_set(&t.config, "max_attempts", rows[i].attempts), 0);
		if (rows[i].good == 0)
			t.feed.count = 4; /* before it pauses */
		assert_int_equal(run(&t), 0);
		for (size_t k = 0; k < t.feed.count; k++)
			good += t.feed.answers[k].good;
		if (good != rows[i].good || (t.feed.pauses > 0) != rows[i].pauses)
			fail_msg("%s: %zu good", rows[i].why, good);
		if (rows[i].bad &&
		    strncmp(t.feed.answers[3].text, rows[i].bad, strlen(rows[i].bad)) != 0)
			fail_msg("%s: %s", rows[i].why, t.feed.answers[3].text);
	}
}

/* A clock that is far ahead of the machine's makes delays short. */
static int64_t fast_mono(struct clock *c)
{
	(void)c;
	return clock_mono_ns(clock_system()) * 1000;
}

static void test_a_broken_program_pauses(void **state)
{
	/* It works from its eighth start on. */
	CLEANUP(str_freep)
	char *command = script(
		state, "echo x >> starts; [ $(wc -l < starts) -lt 8 ] && echo 'no such luck' "
		       ">&2 && exit 9\n" LOOP ANSWER "done\n");
	CLEANUP(bench_release) struct bench t;
	struct clock fast = {.mono_ns = fast_mono, .wall_ns = fast_mono};
	size_t good = 0;

	bench_init(&t, state, command, N);
	set(&t, "timeout_s", "86400");
	t.job.clock = &fast;
	t.feed.tick_ms = 1; /* poll knows only the machine's time */
	assert_int_equal(run(&t), 0);
	for (size_t k = 0; k < N; k++)
		good += t.feed.answers[k].good;
	assert_true(t.feed.pauses >= 3);
	assert_string_equal(t.feed.pause, "");
	assert_non_null(strstr(t.feed.last_pause, "exit code 9: no such luck"));
	/* Few records were lost to it. */
	assert_true(good >= N - 4);
}

static void test_a_command_that_is_not_there(void **state)
{
	CLEANUP(bench_release) struct bench t;
	struct clock fast = {.mono_ns = fast_mono, .wall_ns = fast_mono};

	bench_init(&t, state, "/nonexistent/program", N);
	t.job.clock = &fast;
	t.feed.tick_ms = 1; /* poll knows only the machine's time */
	t.feed.cancel_after = 3;
	assert_int_equal(run(&t), -ECANCELED);
	assert_int_equal(t.feed.under_way, 0);
	assert_non_null(strstr(t.feed.answers[0].text, "exit code 127"));
	assert_non_null(strstr(t.feed.answers[0].text, "/nonexistent/program"));
}

static void test_a_record_that_takes_too_long(void **state)
{
	CLEANUP(str_freep)
	char *command = script(state, LOOP "[ $id = r2 ] && sleep 1000\n" ANSWER "done\n");
	CLEANUP(bench_release) struct bench t;
	struct clock fast = {.mono_ns = fast_mono, .wall_ns = fast_mono};

	bench_init(&t, state, command, 6);
	t.job.clock = &fast;
	t.feed.tick_ms = 1;	     /* poll knows only the machine's time */
	set(&t, "timeout_s", "500"); /* half a second of the machine's */
	assert_int_equal(run(&t), 0);
	assert_string_equal(t.feed.answers[2].text,
			    "Timeout: no answer within 500 seconds (timeout_s)");
	assert_true(t.feed.answers[2].retryable);
	for (size_t k = 0; k < 6; k++)
		assert_true(t.feed.answers[k].good == (k != 2));
}

static void test_an_answer_without_end(void **state)
{
	CLEANUP(str_freep)
	char *command = script(state, LOOP "[ $id = r1 ] && exec cat /dev/zero\n" ANSWER "done\n");
	CLEANUP(bench_release) struct bench t;

	bench_init(&t, state, command, 4);
	assert_int_equal(run(&t), 0);
	assert_int_equal(strncmp(t.feed.answers[1].text, "AnswerTooLarge", 14), 0);
	assert_true(t.feed.answers[3].good);
}

struct canceller {
	struct tempdir_name started;
	struct fakefeed *feed;
};

static void *cancel_soon(void *arg)
{
	struct canceller *c = arg;

	while (access(c->started.text, F_OK) < 0)
		poll(NULL, 0, 1);
	fakefeed_cancel(c->feed);
	return NULL;
}

static void test_a_stop_ends_the_whole_family(void **state)
{
	/* A child in the background, and deaf to TERM. */
	CLEANUP(str_freep)
	char *command =
		script(state, "trap '' TERM\nsleep 1000 &\necho $! > child\ntouch started\n" LOOP
			      "done\nwait\n");
	CLEANUP(bench_release) struct bench t;
	struct tempdir_name path = tempdir_path(state, "child");
	struct canceller canceller = {.started = tempdir_path(state, "started"), .feed = &t.feed};
	pthread_t thread;
	FILE *f;
	int pid = 0, left;

	bench_init(&t, state, command, N);
	assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &canceller), 0);
	assert_int_equal(run(&t), -ECANCELED);
	pthread_join(thread, NULL);
	assert_int_equal(t.feed.under_way, 0);
	assert_true(t.feed.answers[0].dropped);
	f = fopen(path.text, "re");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%d", &pid), 1);
	fclose(f);
	/* It is init's to collect, which may take a moment. */
	for (left = 5000; left && kill(pid, 0) == 0; left--) {
		char state_path[64], text[200] = "";

		snprintf(state_path, sizeof(state_path), "/proc/%d/stat", pid);
		f = fopen(state_path, "re");
		if (!f || (fgets(text, sizeof(text), f) && strstr(text, ") Z "))) {
			if (f)
				fclose(f);
			break;
		}
		fclose(f);
		poll(NULL, 0, 1);
	}
	assert_true(left > 0);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, tempdir_setup, tempdir_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_answers),
		TEST(test_what_the_program_is_given),
		TEST(test_workers_share_the_work),
		TEST(test_big_records_do_not_deadlock),
		TEST(test_programs_that_end),
		TEST(test_a_broken_program_pauses),
		TEST(test_a_command_that_is_not_there),
		TEST(test_a_record_that_takes_too_long),
		TEST(test_an_answer_without_end),
		TEST(test_a_stop_ends_the_whole_family),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
