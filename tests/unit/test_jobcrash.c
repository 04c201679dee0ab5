/*
 * The daemon dies at every moment of a job's life, and the next one goes on.
 *
 * A child runs the engine until it dies at its n-th tick (before and after
 * each effect of a call of the provider, at each change that is told, at each
 * look at the wall clock, which stand around every write of the store); a
 * second child takes up what the first left.  For every n until the job is
 * done before it: each token was created once, no part is missing and none is
 * too many, and the results are whole.
 */

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "fs/job/jobs.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/jobskit.h"
#include "tests/unit/tempdir.h"

#define TICKS_MAX 500 /* a job that needs more does not come to its end */

struct scenario {
	const char *name;
	const char *outcomes[2];
	void (*prepare)(struct jobskit *k); /* a job "j", the engine stopped at the end */
	void (*go)(struct jobskit *k);	    /* NULL: what was prepared goes by itself */
	enum job_state end;
	unsigned parts, good;
};

/* --- what the children do --- */

static void prepare_held(struct jobskit *k)
{
	struct job *j;

	k->o.submit_manual = true;
	jobskit_start(k);
	j = jobskit_submit(k, "j");
	jobskit_wait(k, j, JOB_HELD);
	job_unref(j);
	jobskit_stop(k);
}

static void prepare_running(struct jobskit *k)
{
	struct job *j;

	atomic_store(&k->provider->end, JOB_IN_PROGRESS);
	jobskit_start(k);
	j = jobskit_submit(k, "j");
	jobskit_wait(k, j, JOB_IN_PROGRESS);
	job_unref(j);
	jobskit_stop(k);
}

static void wish(struct jobskit *k, bool stop, bool retry)
{
	CLEANUP(str_freep) char *db = jobskit_path(k, "state.db");
	struct err e = ERR_INIT;

	assert_int_equal(store_open(db, &k->store, &e), 0);
	assert_int_equal(store_job_wish(k->store, 1,
					&(struct store_wishes){.stop = stop, .retry = retry}, &e),
			 0);
	store_close(STEAL(&k->store));
}

static void prepare_stop(struct jobskit *k)
{
	prepare_running(k);
	wish(k, true, false);
}

/* The part is there, but its name was never heard. */
static void prepare_stop_of_lost(struct jobskit *k)
{
	struct job *j;

	atomic_store(&k->provider->end, JOB_IN_PROGRESS);
	atomic_store(&k->provider->create_lost, 1);
	jobskit_start(k);
	j = jobskit_submit(k, "j");
	jobskit_wait_error(k, j, "create: the provider is busy");
	job_unref(j);
	jobskit_stop(k);
	wish(k, true, false);
}

static void prepare_ended(struct jobskit *k)
{
	CLEANUP(job_unrefp) struct job *j = NULL;
	struct view *v;

	jobskit_start(k);
	j = jobskit_submit(k, "j");
	jobskit_wait(k, j, k->provider->outcomes[0][1] ? JOB_COMPLETED_WITH_ERRORS : JOB_COMPLETED);
	v = job_view(j);
	assert_non_null(v->results);
	view_unref(v);
	job_unref(STEAL(&j));
	jobskit_stop(k);
}

static void prepare_retry(struct jobskit *k)
{
	prepare_ended(k);
	wish(k, false, true);
}

static void prepare_lost(struct jobskit *k)
{
	CLEANUP(str_freep) char *cache = jobskit_path(k, "cache");

	prepare_ended(k);
	nftw(cache, tempdir_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void go_remove(struct jobskit *k)
{
	CLEANUP(job_unrefp) struct job *j = jobs_find(k->jobs, "j");

	if (!j)
		return; /* gone already */
	jobskit_wait(k, j, JOB_COMPLETED);
	assert_int_equal(jobskit_remove(k, j), 0);
}

static void prepare_elsewhere(struct jobskit *k)
{
	atomic_store(&k->provider->lists, true);
	fakebackend_make_elsewhere(k->provider, "over-there", "j", JOB_COMPLETED);
}

static void prepare_running_elsewhere(struct jobskit *k)
{
	atomic_store(&k->provider->lists, true);
	fakebackend_make_elsewhere(k->provider, "over-there", "j", JOB_IN_PROGRESS);
}

static void go_adopt(struct jobskit *k)
{
	job_unref(jobskit_wait_job(k, "j"));
}

/* Legal but before it was heard, maybe in another life. */
static void go_fetch(struct jobskit *k)
{
	CLEANUP(job_unrefp) struct job *j = jobskit_wait_job(k, "j");
	int r = jobskit_command(k, j, COMMAND_FETCH);

	if (r != 0 && r != -EBUSY && r != -EINVAL)
		fail_msg("fetch: %d", r);
}

static bool is_fetched(struct job *j, void *asked)
{
	bool *once = asked;

	*once = *once || job_ask_results(j);
	return job_is_settled(j);
}

static void go_wait(struct jobskit *k)
{
	CLEANUP(job_unrefp) struct job *j = jobskit_wait_job(k, "j");
	bool asked = false;

	jobskit_wait_for(k, j, is_fetched, &asked, __FILE__, __LINE__);
}

static void go_purge(struct jobskit *k)
{
	CLEANUP(job_unrefp) struct job *j = jobskit_find(k, "j");
	int r;

	jobskit_wait(k, j, JOB_COMPLETED);
	r = jobskit_command(k, j, COMMAND_PURGE);
	if (r != 0 && r != -EINVAL)
		fail_msg("purge: %d", r);
	jobskit_wait(k, j, JOB_COMPLETED);
	assert_true(fakebackend_part(k->provider, 0).purges > 0);
}

static void go_remove_elsewhere(struct jobskit *k)
{
	CLEANUP(job_unrefp) struct job *j = jobs_find(k->jobs, "j");

	if (j)
		assert_int_equal(jobskit_remove(k, j), 0);
}

static void prepare_adopted(struct jobskit *k)
{
	prepare_elsewhere(k);
	jobskit_start(k);
	job_unref(jobskit_wait_job(k, "j"));
	jobskit_stop(k);
}

static void assert_whole(const struct scenario *s, struct job *j)
{
	CLEANUP(str_freep) char *output = jobskit_results(j, RESULTS_OUTPUT);
	CLEANUP(str_freep) char *csv = jobskit_results(j, RESULTS_CSV);
	CLEANUP(view_unrefp) struct view *v = job_view(j);
	static const char *const ids[] = {"a", "b", "c"};
	char row[8];

	assert_int_equal(v->counts.total, 3);
	assert_int_equal(v->counts.good, s->good);
	for (size_t i = 0; i < COUNT_OF(ids); i++) {
		snprintf(row, sizeof(row), "\n%s,", ids[i]);
		assert_non_null(strstr(csv, row));
	}
	if (s->good > 0)
		assert_non_null(strstr(output, "\"recordId\":\"a\""));
}

/* --- what they may leave --- */

static void assert_provider(const struct scenario *s, struct fakebackend *f)
{
	assert_int_equal(fakebackend_part_count(f), s->parts);
	for (unsigned i = 0; i < s->parts; i++) {
		struct fakepart p = fakebackend_part(f, i);

		if (s->end == JOB_STOPPED)
			assert_true(p.stops > 0);
		for (unsigned k = 0; k < i; k++)
			assert_string_not_equal(p.token, fakebackend_part(f, k).token);
	}
}

static void run(const struct scenario *s, struct jobskit *k, int die_at)
{
	CLEANUP(job_unrefp) struct job *j = NULL;

	k->o.submit_manual = false;
	atomic_store(&k->provider->ticks, 0);
	atomic_store(&k->provider->die_at, die_at);
	jobskit_start(k);
	if (s->go)
		s->go(k);
	j = jobs_find(k->jobs, "j");
	if (s->end == JOB_STATE_COUNT) {
		assert_null(j);
	} else {
		assert_non_null(j);
		jobskit_wait(k, j, s->end);
		if (s->good > 0)
			assert_whole(s, j);
	}
	job_unref(STEAL(&j));
	jobskit_stop(k);
	atomic_store(&k->provider->die_at, 0);
	if (s->end == JOB_STATE_COUNT) {
		CLEANUP(str_freep) char *files = jobskit_path(k, "jobs/1");

		assert_int_equal(access(files, F_OK), -1);
		assert_true(fakebackend_part(k->provider, 0).forgets > 0);
	}
	assert_provider(s, k->provider);
}

/* --- dying --- */

#define KILLED (1000 + SIGKILL)

enum stage {
	PREPARE,
	DIE,
	GO_ON,
};

/* In a child of its own; the exit status, or 1000 and a signal. */
static int in_child(const struct scenario *s, enum stage stage, const char *dir,
		    struct fakebackend *f, int die_at)
{
	struct jobskit k;
	int status = 0;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		setenv("CMOCKA_TEST_ABORT", "1", 1); /* a failed assertion ends the child */
		jobskit_init(&k, dir, f);
		if (stage == PREPARE)
			s->prepare(&k);
		else
			run(s, &k, stage == DIE ? die_at : 0);
		jobskit_release(&k);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	fakebackend_recover(f);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* Returns false once the child comes to its end before it dies. */
static bool die_and_go_on(const struct scenario *s, int n)
{
	void *dir = NULL;
	struct fakebackend *f;
	int died;

	assert_int_equal(tempdir_setup(&dir), 0);
	f = fakebackend_new(dir);
	assert_non_null(f);
	memcpy(f->outcomes, s->outcomes, sizeof(s->outcomes));
	if (in_child(s, PREPARE, dir, f, 0) != 0)
		fail_msg("%s: cannot be prepared", s->name);
	died = in_child(s, DIE, dir, f, n);
	if (died != 0 && died != KILLED)
		fail_msg("%s: ends with %d before tick %d", s->name, died, n);
	if (died && in_child(s, GO_ON, dir, f, 0) != 0)
		fail_msg("%s: does not go on after it died at tick %d", s->name, n);
	fakebackend_free(f);
	tempdir_teardown(&dir);
	return died != 0;
}

#define MIXED JOB_COMPLETED_WITH_ERRORS

static const struct scenario scenarios[] = {
	{"a submission", {"gfm", ""}, prepare_held, NULL, JOB_PARTIALLY_COMPLETED, 1, 1},
	{"a stop", {"gm", ""}, prepare_stop, NULL, JOB_STOPPED, 1, 1},
	{"a stop of a lost part", {"gm", ""}, prepare_stop_of_lost, NULL, JOB_STOPPED, 1, 1},
	{"a retry", {"gfg", "g"}, prepare_retry, NULL, JOB_COMPLETED, 2, 3},
	{"lost results", {"g", ""}, prepare_lost, NULL, JOB_COMPLETED, 1, 3},
	{"a removal", {"g", ""}, prepare_ended, go_remove, JOB_STATE_COUNT, 1, 0},
	{"found elsewhere", {"g", ""}, prepare_elsewhere, go_adopt, JOB_COMPLETED, 1, 0},
	{"one that runs there", {"gf", ""}, prepare_running_elsewhere, go_adopt, MIXED, 1, 0},
	{"a fetch", {"gfg", ""}, prepare_adopted, go_fetch, MIXED, 1, 2},
	{"a wait", {"gfg", ""}, prepare_running_elsewhere, go_wait, MIXED, 1, 2},
	{"its removal", {"g", ""}, prepare_adopted, go_remove_elsewhere, JOB_STATE_COUNT, 1, 0},
	{"a purge", {"g", ""}, prepare_ended, go_purge, JOB_COMPLETED, 1, 3},
};

static void sweep(const struct scenario *s)
{
	int n = 1;

	while (die_and_go_on(s, n))
		if (++n > TICKS_MAX)
			fail_msg("%s: does not end in %d ticks", s->name, TICKS_MAX);
	assert_true(n > 3); /* it did die */
}

static void test_submission(void **state)
{
	(void)state;
	sweep(&scenarios[0]);
}

static void test_stop(void **state)
{
	(void)state;
	sweep(&scenarios[1]);
	sweep(&scenarios[2]);
}

static void test_retry(void **state)
{
	(void)state;
	sweep(&scenarios[3]);
}

static void test_lost_results(void **state)
{
	(void)state;
	sweep(&scenarios[4]);
}

static void test_removal(void **state)
{
	(void)state;
	sweep(&scenarios[5]);
}

static void test_elsewhere(void **state)
{
	(void)state;
	for (int i = 6; i <= 10; i++)
		sweep(&scenarios[i]);
}

static void test_purge(void **state)
{
	(void)state;
	sweep(&scenarios[11]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_submission), cmocka_unit_test(test_stop),
		cmocka_unit_test(test_retry),	   cmocka_unit_test(test_lost_results),
		cmocka_unit_test(test_removal),	   cmocka_unit_test(test_elsewhere),
		cmocka_unit_test(test_purge),
	};

	return cmocka_run_group_tests_name("jobcrash", tests, NULL, NULL);
}
