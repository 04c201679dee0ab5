/* The job list: what goes in comes out after a restart, and lost updates are
 * refused.  Its file: test_storefile.c. */

#include "cache/store.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/unit/storekit.h"

static struct store_part make_part(uint32_t attempt, uint32_t seq, const char *token)
{
	struct store_part p = STORE_PART_INIT;

	p.attempt = attempt;
	p.seq = seq;
	p.token = strdup(token);
	p.first = 10;
	p.record_count = 20;
	p.size_bytes = 30;
	p.counts = (struct counts){20, 1, 2};
	p.tokens = (struct tokens){3, 4};
	p.created_ns = 5;
	p.name = strdup("My job");
	p.asked_ns = 6;
	p.expires_ns = 7;
	p.how = 2;
	p.padding = 3;
	return p;
}

static void assert_same_job(const struct store_job *a, const struct store_job *b)
{
	struct store_job x = *a, y = *b;

	assert_string_equal(a->name, b->name);
	assert_string_equal(a->model, b->model);
	assert_true((a->error == NULL) == (b->error == NULL));
	x.name = x.model = x.error = y.name = y.model = y.error = NULL;
	assert_int_equal(x.number, y.number);
	assert_int_equal(x.rev, y.rev);
	assert_int_equal(x.end_state, y.end_state);
	assert_int_equal(x.phase, y.phase);
	assert_int_equal(x.stop_wanted, y.stop_wanted);
	assert_int_equal(x.held, y.held);
	assert_int_equal(x.attempt, y.attempt);
	assert_int_equal(x.generation, y.generation);
	assert_int_equal(x.record_count, y.record_count);
	assert_true(x.input_size_bytes == y.input_size_bytes);
	assert_memory_equal(&x.counts, &y.counts, sizeof(x.counts));
	assert_memory_equal(&x.tokens, &y.tokens, sizeof(x.tokens));
	assert_true(x.created_ns == y.created_ns);
	assert_memory_equal(x.times_ns, y.times_ns, sizeof(x.times_ns));
	assert_true(x.names_ns == y.names_ns);
	assert_int_equal(x.elsewhere, y.elsewhere);
	assert_memory_equal(&x.estimate, &y.estimate, sizeof(x.estimate));
	assert_int_equal(x.how, y.how);
	assert_int_equal(x.retryable_only, y.retryable_only);
	assert_int_equal(x.auto_retries, y.auto_retries);
	assert_memory_equal(&x.saved, &y.saved, sizeof(x.saved));
	assert_memory_equal(&x.padding, &y.padding, sizeof(x.padding));
	assert_memory_equal(&x.sample, &y.sample, sizeof(x.sample));
}

static void test_everything_comes_back(void **state)
{
	CLEANUP(storekit_closep) struct store *s = storekit_open(state);
	CLEANUP(store_job_release) struct store_job j = storekit_job("audit"), got = STORE_JOB_INIT;
	struct store_part parts[2] = {make_part(1, 2, "t2"), make_part(1, 1, "t1")}, *read = NULL;
	struct err e = ERR_INIT;
	size_t count = 0;
	char id[64];

	j.elsewhere = true;
	j.estimate = (struct tokens){8, 9};
	j.how = 1;
	j.retryable_only = true;
	j.auto_retries = 2;
	j.saved = (struct tally){10, {11, 12}};
	j.padding = (struct tally){13, {14, 15}};
	j.sample = (struct tally){16, {17, 18}};
	parts[1].remote = strdup("arn:1");
	parts[1].message = strdup("");
	assert_int_equal(store_job_add(s, &j, &e), 0);
	assert_int_equal(j.number, 1);
	assert_int_equal(j.rev, 1);
	assert_int_equal(store_job_put(s, &j, parts, 2, &e), 0);
	assert_int_equal(j.rev, 2);
	snprintf(id, sizeof(id), "%s", store_id(s));
	assert_int_equal(strlen(id), 32);

	storekit_closep(&s);
	s = storekit_open(state);
	assert_string_equal(store_id(s), id);
	got = storekit_last(s);
	assert_same_job(&got, &j);
	assert_int_equal(store_parts(s, j.number, &read, &count, &e), 0);
	assert_int_equal(count, 2);
	assert_int_equal(read[0].seq, 1);
	assert_int_equal(read[0].job, j.number);
	assert_string_equal(read[0].remote, "arn:1");
	assert_string_equal(read[0].message, "");
	assert_null(read[0].raw);
	assert_string_equal(read[1].token, "t2");
	assert_null(read[1].remote);
	assert_int_equal(read[1].state, -1);
	assert_int_equal(read[1].first, 10);
	assert_int_equal(read[1].record_count, 20);
	assert_int_equal(read[1].size_bytes, 30);
	assert_memory_equal(&read[1].counts, &parts[0].counts, sizeof(struct counts));
	assert_memory_equal(&read[1].tokens, &parts[0].tokens, sizeof(struct tokens));
	assert_string_equal(read[1].name, "My job");
	assert_true(read[1].asked_ns == 6 && read[1].expires_ns == 7);
	assert_true(read[1].how == 2 && read[1].padding == 3);
	store_parts_free(read, count);
	store_part_release(&parts[0]);
	store_part_release(&parts[1]);
}

static void test_lost_updates_are_refused(void **state)
{
	CLEANUP(storekit_closep) struct store *s = storekit_open(state);
	CLEANUP(store_job_release)
	struct store_job j = storekit_job("a"), old = STORE_JOB_INIT, now = STORE_JOB_INIT;
	CLEANUP(store_part_release) struct store_part p = make_part(1, 1, "t");
	struct store_part *read = NULL;
	struct err e = ERR_INIT;
	size_t count = 1;

	assert_int_equal(store_job_add(s, &j, &e), 0);
	assert_int_equal(store_job_copy(&old, &j), 0);
	j.phase = 4;
	assert_int_equal(store_job_put(s, &j, NULL, 0, &e), 0);
	old.phase = 9;
	assert_int_equal(store_job_put(s, &old, &p, 1, &e), -ESTALE);
	assert_int_equal(old.rev, 1);
	now = storekit_last(s);
	assert_int_equal(now.phase, 4);
	assert_int_equal(store_parts(s, j.number, &read, &count, &e), 0);
	assert_int_equal(count, 0); /* nor did its part get in */
	store_parts_free(read, count);

	assert_int_equal(store_job_delete(s, j.number, false, &e), 0);
	assert_int_equal(store_job_put(s, &j, NULL, 0, &e), -ENOENT);
}

static void test_names_and_tokens_are_unique(void **state)
{
	CLEANUP(storekit_closep) struct store *s = storekit_open(state);
	CLEANUP(store_job_release)
	struct store_job a = storekit_job("a"), b = storekit_job("b"), again = storekit_job("a"),
			 odd = storekit_job("\xff\xfe");
	CLEANUP(store_part_release)
	struct store_part p = make_part(1, 1, "same"), q = make_part(1, 2, "same");
	struct err e = ERR_INIT;

	assert_int_equal(store_job_add(s, &a, &e), 0);
	assert_int_equal(store_job_add(s, &b, &e), 0);
	assert_int_equal(store_job_add(s, &again, &e), -EEXIST);
	assert_int_equal(again.number, 0);
	assert_int_equal(store_job_add(s, &odd, &e), 0); /* names are bytes */
	assert_int_equal(store_job_rename(s, b.number, "a", &e), -EEXIST);
	assert_non_null(strstr(e.text, "named a"));
	assert_int_equal(store_job_put(s, &a, &p, 1, &e), 0);
	assert_int_equal(store_job_put(s, &a, &p, 1, &e), 0); /* replaced */
	assert_int_equal(store_job_put(s, &a, &q, 1, &e), -EIO);
}

static void test_numbers_are_never_used_again(void **state)
{
	CLEANUP(storekit_closep) struct store *s = storekit_open(state);
	CLEANUP(store_job_release) struct store_job a = storekit_job("a"), b = storekit_job("a");
	CLEANUP(store_part_release) struct store_part p = make_part(1, 1, "t");
	struct store_part *read = NULL;
	struct err e = ERR_INIT;
	size_t count = 1;

	assert_int_equal(store_job_add(s, &a, &e), 0);
	assert_int_equal(store_job_put(s, &a, &p, 1, &e), 0);
	assert_int_equal(store_job_delete(s, a.number, false, &e), 0);
	assert_int_equal(store_job_delete(s, a.number, false, &e), 0);
	assert_int_equal(store_parts(s, a.number, &read, &count, &e), 0);
	assert_int_equal(count, 0);
	store_parts_free(read, count);
	storekit_closep(&s);
	s = storekit_open(state);
	assert_int_equal(store_job_add(s, &b, &e), 0);
	assert_int_equal(b.number, a.number + 1);
}

/* Whoever has the job checked out does not undo a rename or a wish. */
static void test_names_and_wishes_go_their_own_way(void **state)
{
	CLEANUP(storekit_closep) struct store *s = storekit_open(state);
	CLEANUP(store_job_release) struct store_job j = storekit_job("a"), got = STORE_JOB_INIT;
	const struct store_wishes w = {.held = true, .submit = true, .retry = true, .purge = true};
	struct err e = ERR_INIT;

	assert_int_equal(store_job_add(s, &j, &e), 0);
	assert_int_equal(store_job_rename(s, j.number, "b", &e), 0);
	assert_int_equal(store_job_wish(s, j.number, &w, &e), 0);
	j.phase = 77;
	assert_int_equal(store_job_put(s, &j, NULL, 0, &e), 0);
	got = storekit_last(s);
	assert_string_equal(got.name, "b");
	assert_int_equal(got.phase, 77);
	assert_true(got.held && got.submit_wanted && got.retry_wanted);
	assert_true(got.purge_wanted);
	assert_false(got.stop_wanted || got.fetch_wanted);
	assert_int_equal(got.rev, 2);

	assert_int_equal(store_job_delete(s, j.number, false, &e), 0);
	assert_int_equal(store_job_rename(s, j.number, "c", &e), -ENOENT);
	assert_int_equal(store_job_wish(s, j.number, &w, &e), -ENOENT);
}

static bool is_known(struct store *s, const char *remote, const char *token)
{
	bool known = false;

	assert_int_equal(store_remote_is_known(s, remote, token, &known, NULL), 0);
	return known;
}

static void test_what_was_forgotten_stays_known(void **state)
{
	CLEANUP(storekit_closep) struct store *s = storekit_open(state);
	CLEANUP(store_job_release) struct store_job a = storekit_job("a"), b = storekit_job("b");
	CLEANUP(store_part_release) struct store_part p = make_part(1, 1, "t"), q = p;
	struct err e = ERR_INIT;

	q.token = strdup("u");
	q.name = NULL;
	p.remote = strdup("arn:p");
	q.remote = strdup("arn:q");
	assert_int_equal(store_job_add(s, &a, &e), 0);
	assert_int_equal(store_job_add(s, &b, &e), 0);
	assert_int_equal(store_job_put(s, &a, &p, 1, &e), 0);
	assert_int_equal(store_job_put(s, &b, &q, 1, &e), 0);
	assert_true(is_known(s, "arn:p", NULL));
	assert_true(is_known(s, "arn:none", "t")); /* its answer was lost */
	assert_false(is_known(s, "arn:none", "none"));
	assert_int_equal(store_job_delete(s, a.number, true, &e), 0);
	assert_int_equal(store_job_delete(s, b.number, false, &e), 0);
	assert_true(is_known(s, "arn:p", NULL));
	assert_false(is_known(s, "arn:q", NULL));
	storekit_closep(&s);
	s = storekit_open(state);
	assert_true(is_known(s, "arn:p", NULL));
}

static void test_a_store_has_one_source(void **state)
{
	CLEANUP(storekit_closep) struct store *s = storekit_open(state);
	struct err e = ERR_INIT;

	assert_int_equal(store_claim_source(s, "bedrock:a/b-c", &e), 0);
	assert_int_equal(store_claim_source(s, "bedrock:a/b-c", &e), 0);
	storekit_closep(&s);
	s = storekit_open(state);
	assert_int_equal(store_claim_source(s, "bedrock:a-b/c", &e), -EINVAL);
	assert_non_null(strstr(e.text, "bedrock:a/b-c"));
}

static int stop_at_once(void *ctx, const struct store_job *j)
{
	(void)j;
	++*(int *)ctx;
	return -ECANCELED;
}

static void test_a_walk_can_end_early(void **state)
{
	CLEANUP(storekit_closep) struct store *s = storekit_open(state);
	struct err e = ERR_INIT;
	int calls = 0;

	for (int i = 0; i < 40; i++) {
		CLEANUP(store_job_release) struct store_job j = storekit_job("x");

		j.name[0] = (char)('A' + i);
		assert_int_equal(store_job_add(s, &j, &e), 0);
	}
	assert_int_equal(store_jobs(s, stop_at_once, &calls, &e), -ECANCELED);
	assert_int_equal(calls, 1);
}

static void test_only_the_owner_may_read(void **state)
{
	static const char *const files[] = {"state.db", "state.db-wal", "state.db-shm"};
	CLEANUP(storekit_closep) struct store *s = NULL;
	CLEANUP(store_job_release) struct store_job j = storekit_job("a");
	struct err e = ERR_INIT;
	mode_t before = umask(0);
	struct stat st;

	s = storekit_open(state);
	assert_int_equal(store_job_add(s, &j, &e), 0);
	umask(before);
	for (size_t i = 0; i < COUNT_OF(files); i++) {
		assert_int_equal(stat(tempdir_path(state, files[i]).text, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
	}
}

/* --- threads --- */

struct racer {
	struct store *s;
	pthread_t thread;
	int done, stale, other;
};

static void *race(void *arg)
{
	struct racer *me = arg;

	while (me->done < 20) {
		CLEANUP(store_job_release) struct store_job j = STORE_JOB_INIT;
		int r = store_jobs(me->s, storekit_keep, &j, NULL);

		j.phase++;
		if (r == 0)
			r = store_job_put(me->s, &j, NULL, 0, NULL);
		if (r == 0)
			me->done++;
		else if (r == -ESTALE)
			me->stale++;
		else
			break;
	}
	return NULL;
}

static void test_two_threads_lose_nothing(void **state)
{
	CLEANUP(storekit_closep) struct store *s = storekit_open(state);
	CLEANUP(store_job_release) struct store_job j = storekit_job("a"), got = STORE_JOB_INIT;
	struct racer racers[2] = {{.s = s}, {.s = s}};
	struct err e = ERR_INIT;

	j.phase = 0;
	assert_int_equal(store_job_add(s, &j, &e), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_join(racers[i].thread, NULL), 0);
	got = storekit_last(s);
	assert_int_equal(racers[0].done + racers[1].done, 40);
	assert_int_equal(got.phase, 40);
	assert_int_equal(got.rev, 41);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, tempdir_setup, tempdir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_everything_comes_back),
		TEST(test_lost_updates_are_refused),
		TEST(test_names_and_tokens_are_unique),
		TEST(test_numbers_are_never_used_again),
		TEST(test_names_and_wishes_go_their_own_way),
		TEST(test_what_was_forgotten_stays_known),
		TEST(test_a_store_has_one_source),
		TEST(test_a_walk_can_end_early),
		TEST(test_only_the_owner_may_read),
		TEST(test_two_threads_lose_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
