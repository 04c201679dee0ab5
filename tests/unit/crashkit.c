#include "tests/unit/crashkit.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "tests/unit/cmocka_all.h"
#include "tests/unit/tempdir.h"

#define TICKS_MAX 500 /* a job that needs more does not come to its end */

/* Every moment is gone through by the plain build.  A sanitizer makes each several
 * times as dear, and looks for what does not hang on the very moment. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STEP 3
#else
#define STEP 1
#endif

void crashkit_prepare_ended(struct jobskit *k)
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

static void assert_whole(const struct crash *s, struct job *j)
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
	assert_null(strstr(output, "batchfs-pad"));
}

/* --- what they may leave --- */

static void assert_provider(const struct crash *s, struct fakebackend *f)
{
	assert_int_equal(fakebackend_part_count(f), s->parts);
	assert_int_equal(atomic_load(&f->now_count), s->bought);
	for (unsigned i = 0; i < s->parts; i++) {
		struct fakepart p = fakebackend_part(f, i);

		if (s->end == JOB_STOPPED)
			assert_true(p.stops > 0);
		for (unsigned k = 0; k < i; k++)
			assert_string_not_equal(p.token, fakebackend_part(f, k).token);
	}
}

static void run(const struct crash *s, struct jobskit *k, int die_at)
{
	CLEANUP(job_unrefp) struct job *j = NULL;

	k->o.settings.manual = false;
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
static int in_child(const struct crash *s, enum stage stage, const char *dir, struct fakebackend *f,
		    int die_at)
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
static bool die_and_go_on(const struct crash *s, int n)
{
	void *dir = NULL;
	struct fakebackend *f;
	int died;

	assert_int_equal(tempdir_setup(&dir), 0);
	f = fakebackend_new(dir);
	assert_non_null(f);
	memcpy(f->outcomes, s->outcomes, sizeof(s->outcomes));
	atomic_store(&f->records_max, s->records_max);
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

void crashkit_sweep(const struct crash *s)
{
	int n = 1;

	while (die_and_go_on(s, n))
		if ((n += STEP) > TICKS_MAX)
			fail_msg("%s: does not end in %d ticks", s->name, TICKS_MAX);
	assert_true(n > 3); /* it did die */
}
