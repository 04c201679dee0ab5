/* Jobs that were made elsewhere: which become directories and under which name,
 * what can be seen of them, and how their results come here. */

#include "fs/job/jobs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "cache/dirs.h"
#include "fs/job/seen.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/jobskit.h"
#include "tests/unit/tempdir.h"

#define FETCH (1u << COMMAND_FETCH)
#define RETRY (1u << COMMAND_RETRY)

static void lists(struct jobskit *k)
{
	atomic_store(&k->provider->lists, true);
	jobskit_restart(k); /* the first poll meets all there are */
}

static struct job *found(struct jobskit *k, const char *remote, const char *name,
			 enum job_state state)
{
	fakebackend_make_elsewhere(k->provider, remote, name, state);
	if (!atomic_load(&k->provider->lists))
		lists(k);
	return jobskit_wait_job(k, name);
}

static void read_file(struct job *j, const char *name, char *ret, size_t size)
{
	struct draft_handle *h;
	uint32_t number;
	ssize_t n;

	assert_int_equal(draft_lookup(job_draft(j), DRAFT_TOP, name, &number), 0);
	assert_int_equal(draft_open(job_draft(j), number, O_RDONLY, &h), 0);
	n = pread(draft_handle_fd(h), ret, size - 1, 0);
	assert_true(n >= 0);
	ret[n] = '\0';
	draft_release(h);
}

static bool has_file(struct job *j, const char *name)
{
	uint32_t number;

	return draft_lookup(job_draft(j), DRAFT_TOP, name, &number) == 0;
}

/* --- names --- */

static const struct {
	const char *why, *remote, *name, *dir;
} names[] = {
	{"as it is", "aaaa1111", "claims-2024", "claims-2024"},
	{"the name is taken", "bbbb2222", "claims-2024", "claims-2024-2222"},
	{"and so is that with a suffix", "cccc2222", "claims-2024", "claims-2024-c2222"},
	{"an id with nothing to tell it by", "----", "claims-2024", "claims-2024--4"},
	{"slashes and control bytes", "d", "a/b\tc\x7f", "a_b_c_"},
	{"a leading dot", "e", ".batchfs", "_batchfs"},
	{"no UTF-8", "f", "caf\xe9", "caf_"},
	{"UTF-8", "g", "caf\xc3\xa9", "caf\xc3\xa9"},
	{"no name", "h", "", "job"},
	{"dots alone", "i", "..", "_."},
};

static void test_names(void **state)
{
	struct jobskit *k = *state;

	for (size_t i = 0; i < COUNT_OF(names); i++)
		fakebackend_make_elsewhere(k->provider, names[i].remote, names[i].name,
					   JOB_COMPLETED);
	lists(k);
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		struct job *j = jobskit_wait_job(k, names[i].dir);

		job_unref(j);
	}
	assert_int_equal(jobs_job_count(k->jobs), COUNT_OF(names));
}

static void test_a_name_of_ours_is_taken(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *own = jobskit_make(k, "mine");
	CLEANUP(job_unrefp) struct job *j = NULL;
	char model[32];

	fakebackend_make_elsewhere(k->provider, "abcd9876", "mine", JOB_COMPLETED);
	job_unref(STEAL(&own));
	lists(k);
	j = jobskit_wait_job(k, "mine-9876");
	read_file(j, "model", model, sizeof(model));
	assert_string_equal(model, "fake.echo\n");
	/* Nobody writes there. */
	assert_int_equal(jobskit_write(j, "input.jsonl", JOBSKIT_INPUT), -EACCES);
	assert_int_equal(jobskit_write(j, "model", "fake.other\n"), -EACCES);
	own = jobskit_find(k, "mine");
	assert_false(has_file(own, "model"));
}

/* --- who becomes one --- */

static void test_ours_are_not_made_elsewhere(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;
	CLEANUP(job_unrefp) struct job *last = NULL;

	atomic_store(&k->provider->lists, true);
	atomic_store(&k->provider->create_lost, 1); /* listed before we know its name */
	jobskit_restart(k);
	j = jobskit_submit(k, "own");
	jobskit_wait(k, j, JOB_COMPLETED);
	last = found(k, "zzzz", "other", JOB_COMPLETED);
	assert_int_equal(jobs_job_count(k->jobs), 2);
	assert_int_equal(fakebackend_part_count(k->provider), 2);
}

static void test_what_was_forgotten_stays_away(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = found(k, "gone", "gone", JOB_COMPLETED);
	CLEANUP(job_unrefp) struct job *own = jobskit_submit(k, "own");
	CLEANUP(job_unrefp) struct job *next = NULL;

	jobskit_wait(k, j, JOB_COMPLETED);
	jobskit_wait(k, own, JOB_COMPLETED);
	assert_int_equal(jobskit_remove(k, j), 0);
	assert_int_equal(jobskit_remove(k, own), 0);
	job_unref(STEAL(&j));
	job_unref(STEAL(&own));
	next = found(k, "next", "next", JOB_COMPLETED);
	job_unref(STEAL(&next));
	jobskit_restart(k);
	next = found(k, "last", "last", JOB_COMPLETED);
	assert_int_equal(jobs_job_count(k->jobs), 2);
	assert_null(jobs_find(k->jobs, "gone"));
}

static void test_they_are_there_after_a_restart(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = found(k, "aaaa", "stays", JOB_FAILED);
	CLEANUP(view_unrefp) struct view *v = NULL;
	CLEANUP(str_freep) char *model = jobskit_path(k, "jobs/1/files/model");
	char text[32];

	jobskit_wait(k, j, JOB_FAILED);
	job_unref(STEAL(&j));
	jobskit_stop(k);
	assert_int_equal(truncate(model, 3), 0); /* a crash at a bad moment */
	jobskit_start(k);
	j = jobskit_find(k, "stays");
	v = job_view(j);
	assert_int_equal(v->state, JOB_FAILED);
	assert_int_equal(v->commands & (FETCH | RETRY), FETCH);
	assert_int_equal(v->submitted_ns, FAKEBACKEND_BEGAN_NS);
	assert_int_equal(v->ended_ns, FAKEBACKEND_ENDED_NS);
	assert_string_equal(v->parts[0].remote, "aaaa");
	assert_null(v->results);
	read_file(j, "model", text, sizeof(text));
	assert_string_equal(text, "fake.echo\n");
}

/* A mount of one's own jobs: what was not fetched is hidden, and its name free. */
static void test_ones_own_only(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = found(k, "aaaa", "first", JOB_COMPLETED);

	job_unref(found(k, "bbbb", "second", JOB_COMPLETED));
	job_unref(found(k, "cccc", "third", JOB_COMPLETED));
	assert_int_equal(jobskit_command(k, j, COMMAND_FETCH), 0);
	jobskit_wait(k, j, JOB_COMPLETED);
	job_unref(STEAL(&j));
	atomic_store(&k->provider->lists, false);
	jobskit_restart(k);
	assert_int_equal(jobs_job_count(k->jobs), 1);
	j = jobskit_find(k, "first"); /* it is here */

	job_unref(jobskit_make(k, "second"));
	assert_int_equal(jobskit_rename(k, j, "third"), 0);
	assert_int_equal(jobskit_rename(k, j, "second"), -EEXIST);
	job_unref(STEAL(&j));
	lists(k);
	assert_int_equal(jobs_job_count(k->jobs), 4);
	job_unref(jobskit_find(k, "second"));
	job_unref(jobskit_find(k, "second-2"));
	job_unref(jobskit_find(k, "third"));
	job_unref(jobskit_find(k, "third-3"));
}

/* More than a batch, and again when all are known. */
static void test_many(void **state)
{
	struct jobskit *k = *state;

	atomic_store(&k->provider->bulk, 1000);
	lists(k);
	job_unref(jobskit_wait_job(k, "bulk 999"));
	assert_int_equal(jobs_job_count(k->jobs), 1000);
	jobskit_restart(k);
	job_unref(found(k, "last", "last", JOB_COMPLETED));
	assert_int_equal(jobs_job_count(k->jobs), 1001);
}

/* --- results --- */

static const struct {
	const char *why, *outcomes, *message, *error;
	enum job_state end, shown, fetched;
} ends[] = {
	{"all good", "g", "", "", JOB_COMPLETED, JOB_COMPLETED, JOB_COMPLETED},
	{"some failed", "gf", "", "", JOB_COMPLETED, JOB_COMPLETED_WITH_ERRORS,
	 JOB_COMPLETED_WITH_ERRORS},
	{"all failed", "f", "", "no record has a good result", JOB_COMPLETED, JOB_FAILED,
	 JOB_FAILED},
	{"stopped", "gm", "", "", JOB_STOPPED, JOB_STOPPED, JOB_STOPPED},
	{"nothing came", "m", "no role", "no role", JOB_FAILED, JOB_FAILED, JOB_FAILED},
};

static void test_fetch(void **state)
{
	struct jobskit *k = *state;

	for (size_t i = 0; i < COUNT_OF(ends); i++) {
		CLEANUP(job_unrefp) struct job *j = NULL;
		CLEANUP(view_unrefp) struct view *v = NULL;
		char input[256], remote[16];

		snprintf(remote, sizeof(remote), "id-%zu", i);
		pthread_mutex_lock(&k->provider->mutex); /* a poll may be under way */
		k->provider->outcomes[0] = ends[i].outcomes;
		k->provider->message = ends[i].message;
		pthread_mutex_unlock(&k->provider->mutex);
		j = found(k, remote, ends[i].why, ends[i].end);
		jobskit_wait(k, j, ends[i].shown);
		assert_false(has_file(j, "input.jsonl"));
		assert_int_equal(jobskit_command(k, j, COMMAND_RETRY), -EINVAL);
		assert_int_equal(jobskit_command(k, j, COMMAND_FETCH), 0);
		jobskit_wait(k, j, ends[i].fetched);
		v = job_view(j);
		assert_non_null(v->results);
		assert_int_equal(results_count(v->results), 3);
		assert_non_null(strstr(v->error, ends[i].error));
		assert_int_equal(v->commands & FETCH, 0);
		assert_int_equal(v->ended_ns, FAKEBACKEND_ENDED_NS);
		read_file(j, "input.jsonl", input, sizeof(input));
		assert_string_equal(input, JOBSKIT_INPUT);
		assert_int_equal(jobskit_command(k, j, COMMAND_FETCH), -EINVAL);
		/* Nothing of it was ever asked of the provider. */
		assert_int_equal(fakebackend_part(k->provider, (unsigned)i).creates, 0);
	}
}

static void test_a_retry_is_ours(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;
	CLEANUP(view_unrefp) struct view *v = NULL;

	k->provider->outcomes[0] = "gfg";
	k->provider->outcomes[1] = "g";
	j = found(k, "aaaa", "again", JOB_COMPLETED);
	jobskit_wait(k, j, JOB_COMPLETED_WITH_ERRORS);
	assert_int_equal(jobskit_command(k, j, COMMAND_FETCH), 0);
	jobskit_wait(k, j, JOB_COMPLETED_WITH_ERRORS);
	assert_int_equal(jobskit_command(k, j, COMMAND_RETRY), 0);
	jobskit_wait(k, j, JOB_COMPLETED);
	v = job_view(j);
	assert_int_equal(v->counts.good, 3);
	assert_int_equal(v->part_count, 2);
	assert_int_equal(fakebackend_part(k->provider, 1).record_count, 1);
}

/* retry_max is for what was asked for here: many mounts may see the same job. */
static void test_no_automatic_retry_of_what_others_made(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;
	CLEANUP(view_unrefp) struct view *v = NULL;

	k->o.settings.retry_max = 2;
	k->provider->outcomes[0] = "gm";
	k->provider->outcomes[1] = "gm";
	k->provider->outcomes[2] = "g";
	j = found(k, "aaaa", "theirs", JOB_EXPIRED);
	jobskit_wait(k, j, JOB_EXPIRED);
	assert_int_equal(jobskit_command(k, j, COMMAND_FETCH), 0);
	jobskit_wait(k, j, JOB_PARTIALLY_COMPLETED);
	assert_int_equal(fakebackend_part_count(k->provider), 1);
	/* A retry makes it ours. */
	assert_int_equal(jobskit_command(k, j, COMMAND_RETRY), 0);
	jobskit_wait(k, j, JOB_COMPLETED);
	v = job_view(j);
	assert_int_equal(v->part_count, 3);
}

static void test_results_made_again(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = found(k, "aaaa", "lost", JOB_COMPLETED);
	CLEANUP(str_freep) char *cache = jobskit_path(k, "cache");
	CLEANUP(view_unrefp) struct view *v = NULL;

	assert_int_equal(jobskit_command(k, j, COMMAND_FETCH), 0);
	jobskit_wait(k, j, JOB_COMPLETED);
	job_unref(STEAL(&j));
	jobskit_stop(k);
	assert_int_equal(dirs_remove(cache, NULL), 0);
	jobskit_start(k);
	j = jobskit_find(k, "lost");
	jobskit_wait(k, j, JOB_COMPLETED);
	v = job_view(j);
	assert_non_null(v->results);
	assert_int_equal(v->generation, 1);
}

/* What a read of `wait` does. */
static bool is_over(struct job *j, void *asked)
{
	bool *once = asked;

	if (!*once && job_ask_results(j)) {
		*once = true;
		return false;
	}
	return job_is_settled(j);
}

static void test_wait_brings_results(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *ended = found(k, "aaaa", "ended", JOB_COMPLETED);
	CLEANUP(job_unrefp) struct job *runs = NULL;
	CLEANUP(view_unrefp) struct view *v = NULL;
	bool asked = false;

	jobskit_wait_for(k, ended, is_over, &asked, __FILE__, __LINE__);
	v = job_view(ended);
	assert_int_equal(v->state, JOB_COMPLETED);
	assert_non_null(v->results);
	view_unref(STEAL(&v));
	/* Asked for while it runs: it is not shown as ended before they are here. */
	atomic_store(&k->provider->end, JOB_IN_PROGRESS);
	runs = found(k, "bbbb", "runs", JOB_IN_PROGRESS);
	jobskit_wait(k, runs, JOB_IN_PROGRESS);
	assert_int_equal(jobskit_command(k, runs, COMMAND_FETCH), -EBUSY);
	assert_true(job_ask_results(runs));
	atomic_store(&k->provider->end, JOB_COMPLETED);
	jobskit_wait(k, runs, JOB_COMPLETED);
	v = job_view(runs);
	assert_non_null(v->results);
	assert_false(job_ask_results(runs));
}

static void test_fetch_auto(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;
	CLEANUP(job_unrefp) struct job *refused = NULL;
	CLEANUP(view_unrefp) struct view *v = NULL;

	k->o.fetch_auto = true;
	j = found(k, "aaaa", "auto", JOB_COMPLETED);
	jobskit_wait(k, j, JOB_COMPLETED);
	v = job_view(j);
	assert_non_null(v->results);
	/* Once, and then not before somebody asks. */
	atomic_store(&k->provider->fetch_input_error, -EACCES);
	refused = found(k, "bbbb", "refused", JOB_COMPLETED);
	jobskit_wait_error(k, refused, "not fetched: the provider says no");
	jobskit_wait(k, refused, JOB_COMPLETED);
}

static void test_why_it_failed_is_not_forgotten(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;

	k->provider->message = "bad role";
	j = found(k, "aaaa", "failed", JOB_FAILED);
	jobskit_wait_error(k, j, "bad role");
	atomic_store(&k->provider->fetch_input_error, -EACCES);
	for (int i = 0; i < 2; i++) { /* nor told twice */
		assert_int_equal(jobskit_command(k, j, COMMAND_FETCH), 0);
		jobskit_wait_error(k, j, "bad role\nnot fetched: the provider says no");
		jobskit_wait(k, j, JOB_FAILED);
	}
}

static void test_a_running_one(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;
	CLEANUP(view_unrefp) struct view *v = NULL;

	atomic_store(&k->provider->end, JOB_IN_PROGRESS);
	k->provider->outcomes[0] = "gf";
	j = found(k, "aaaa", "runs", JOB_VALIDATING);
	jobskit_wait(k, j, JOB_IN_PROGRESS);
	v = job_view(j);
	assert_int_equal(v->counts.total, 3);
	assert_int_equal(v->commands & FETCH, 0);
	assert_int_equal(jobskit_remove(k, j), -EBUSY);
	assert_int_equal(jobskit_command(k, j, COMMAND_STOP), 0);
	jobskit_wait(k, j, JOB_STOPPED);
	assert_true(fakebackend_part(k->provider, 0).stops > 0);
	view_unref(STEAL(&v));
	v = job_view(j);
	assert_int_equal(v->counts.failed, 2);
	assert_null(v->results);
	assert_int_equal(jobskit_command(k, j, COMMAND_FETCH), 0);
	jobskit_wait(k, j, JOB_STOPPED);
	view_unref(STEAL(&v));
	v = job_view(j);
	assert_non_null(v->results);
}

/* --- what cannot be had --- */

static const struct {
	const char *why, *input, *error;
	int refused;
} lacks[] = {
	{"the input was deleted", NULL, "not fetched: the provider says no", -ENOENT},
	{"the input is not ours to read", NULL, "not fetched: the provider says no", -EACCES},
	{"an input that is none", "{\"recordId\":\"a\"}\n", "modelInput", 0},
	{"two records with one id, and a fault",
	 "{\"recordId\":\"a\",\"modelInput\":{}}\n{\"recordId\":\"a\",\"modelInput\":{}}\nno\n",
	 "joined to: input.jsonl:3:", 0},
};

static void test_inputs_that_cannot_be_had(void **state)
{
	struct jobskit *k = *state;

	for (size_t i = 0; i < COUNT_OF(lacks); i++) {
		CLEANUP(job_unrefp) struct job *j = NULL;
		CLEANUP(view_unrefp) struct view *v = NULL;
		bool asked = false;
		char remote[16];

		snprintf(remote, sizeof(remote), "id-%zu", i);
		k->provider->inputs_elsewhere = NULL;
		j = found(k, remote, lacks[i].why, JOB_COMPLETED);
		k->provider->inputs_elsewhere = lacks[i].input;
		atomic_store(&k->provider->fetch_input_error, lacks[i].refused);
		atomic_store(&k->provider->fetch_input_again, 1); /* trouble first */
		jobskit_wait_for(k, j, is_over, &asked, __FILE__, __LINE__);
		v = job_view(j);
		assert_int_equal(v->state, JOB_COMPLETED);
		if (!strstr(v->error, lacks[i].error))
			fail_msg("%s: error is %s", lacks[i].why, v->error);
		assert_null(v->results);
		assert_false(has_file(j, "input.jsonl"));
		assert_int_equal(v->commands & FETCH, FETCH);
		/* Mended over there, it works. */
		k->provider->inputs_elsewhere = NULL;
		atomic_store(&k->provider->fetch_input_error, 0);
		assert_int_equal(jobskit_command(k, j, COMMAND_FETCH), 0);
		jobskit_wait(k, j, JOB_COMPLETED);
		view_unref(STEAL(&v));
		v = job_view(j);
		assert_non_null(v->results);
		assert_string_equal(v->error, "");
	}
}

static bool has_results(struct job *j, void *ctx)
{
	CLEANUP(view_unrefp) struct view *v = job_view(j);

	(void)ctx;
	return v->results != NULL;
}

/* Nobody may have them mended any more. */
static void test_ids_that_several_records_have(void **state)
{
	struct jobskit *k = *state;
	CLEANUP(job_unrefp) struct job *j = NULL;
	CLEANUP(view_unrefp) struct view *v = NULL;
	CLEANUP(str_freep) char *out = NULL;

	k->provider->inputs_elsewhere = "{\"recordId\":\"a\",\"modelInput\":{}}\n"
					"{\"recordId\":\"b\",\"modelInput\":{}}\n"
					"{\"recordId\":\"a\",\"modelInput\":{}}\n";
	j = found(k, "aaaa", "doubles", JOB_COMPLETED);
	jobskit_wait(k, j, JOB_COMPLETED);
	assert_int_equal(jobskit_command(k, j, COMMAND_FETCH), 0);
	jobskit_wait_for(k, j, has_results, NULL, __FILE__, __LINE__);
	jobskit_wait(k, j, JOB_COMPLETED);
	v = job_view(j);
	assert_int_equal(v->counts.total, 3);
	assert_int_equal(v->counts.good, 3);
	out = jobskit_results(j, RESULTS_CSV);
	assert_non_null(strstr(out, "\nr0000001,"));
	assert_non_null(strstr(out, "\nb,"));
	assert_non_null(strstr(out, "\nr0000003,"));
}

/* --- the set of names --- */

static void test_seen(void **state)
{
	struct seen s = {.count = 0};
	char name[32];

	(void)state;
	assert_false(seen_has(&s, "a"));
	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "name %d", i / 2);
		seen_add(&s, name);
	}
	assert_int_equal(s.count, 2500);
	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "name %d", i);
		assert_int_equal(seen_has(&s, name), i < 2500);
	}
	seen_release(&s);
	assert_false(seen_has(&s, "name 1"));
}

#define WITH_KIT(test) cmocka_unit_test_setup_teardown(test, jobskit_setup, jobskit_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_KIT(test_names),
		WITH_KIT(test_a_name_of_ours_is_taken),
		WITH_KIT(test_ours_are_not_made_elsewhere),
		WITH_KIT(test_what_was_forgotten_stays_away),
		WITH_KIT(test_they_are_there_after_a_restart),
		WITH_KIT(test_ones_own_only),
		WITH_KIT(test_many),
		WITH_KIT(test_fetch),
		WITH_KIT(test_a_retry_is_ours),
		WITH_KIT(test_no_automatic_retry_of_what_others_made),
		WITH_KIT(test_results_made_again),
		WITH_KIT(test_wait_brings_results),
		WITH_KIT(test_fetch_auto),
		WITH_KIT(test_a_running_one),
		WITH_KIT(test_why_it_failed_is_not_forgotten),
		WITH_KIT(test_inputs_that_cannot_be_had),
		WITH_KIT(test_ids_that_several_records_have),
		cmocka_unit_test(test_seen),
	};

	return cmocka_run_group_tests_name("elsewhere", tests, NULL, NULL);
}
