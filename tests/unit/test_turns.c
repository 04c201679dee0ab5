/* Who may create next: slots, fairness, what refusals teach, probes, pace. */

#include "fs/job/turns.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/cmocka_all.h"

#define NOW   (1000 * NS_PER_S)
#define NEVER INT64_MAX

/* --- fairness --- */

/* One round of one model, told in a line: each word is a job.
 *	3+     3 live parts, does not wait       3*     the same, and has a turn
 *	3w7    3 live parts, waits since 7       3h7    the same, and holds a slot for it
 */
struct row {
	const char *reason;
	unsigned most;
	const char *jobs;
	const char *want; /* a word a job that waits: a turn '!' or its place */
};

static void tell(struct turns *t, const char *model, uint64_t job, const char *word)
{
	unsigned live = 0, since = 0;
	char kind = 0;
	struct turns_wait w;

	assert_true(sscanf(word, "%u%c%u", &live, &kind, &since) >= 2);
	turns_count(t, model, live, kind == '*');
	if (kind != 'w' && kind != 'h')
		return;
	w = (struct turns_wait){.job = job, .live = live, .since_ns = since, .holds = kind == 'h'};
	assert_int_equal(turns_wait(t, model, &w), 0);
}

static void tell_all(struct turns *t, const char *model, const char *jobs)
{
	char *words = strdup(jobs), *at = NULL;
	uint64_t job = 0;

	for (char *w = strtok_r(words, " ", &at); w; w = strtok_r(NULL, " ", &at))
		tell(t, model, ++job, w);
	free(words);
}

/* Job 0: it does not wait. */
static struct turns_wait wait_of(const struct turns *t, uint64_t job)
{
	for (size_t i = 0; i < t->wait_count; i++)
		if (t->waits[i].job == job)
			return t->waits[i];
	return (struct turns_wait){.job = 0};
}

static void told(const struct turns *t, char *out, size_t size)
{
	size_t n = 0;

	out[0] = '\0';
	for (uint64_t job = 1; job < 64; job++) {
		const struct turns_wait w = wait_of(t, job);

		if (w.job == 0)
			continue;
		if (w.given)
			n += (size_t)snprintf(out + n, size - n, "%s!", n ? " " : "");
		else
			n += (size_t)snprintf(out + n, size - n, "%s%u", n ? " " : "", w.place);
	}
}

static int64_t round_of(struct turns *t, int64_t every, const char *jobs, int64_t now)
{
	turns_begin(t, every);
	tell_all(t, "m", jobs);
	return turns_decide(t, now);
}

static void test_who_gets_a_slot(void **state)
{
	static const struct row rows[] = {
		{"nobody waits", 3, "3+ 2+", ""},
		{"a slot is free", 3, "2+ 0w1", "!"},
		{"none is", 3, "3+ 0w1 0w2", "1 2"},
		{"more live than allowed, made elsewhere", 3, "5+ 0w1", "1"},
		{"the fewest live goes first, however late it came", 4, "3w1 0w9", "1 !"},
		{"among equals the one that waited longest", 4, "1w5 1w3 1w4", "2 ! 1"},
		{"the same moment: the older job", 1, "0w1 0w1", "! 1"},
		{"as many as there are slots", 5, "1w1 1w2 1w3 0w4", "! 1 2 !"},
		{"a turn that is out takes a slot", 3, "2* 0w1", "1"},
		{"who holds a slot needs none", 2, "1h1 1h2 0w0", "! ! 1"},
		{"who holds a slot goes before who has fewer", 3, "2h9 0w1", "! !"},
		{"no limit", UINT_MAX, "999w1 5w2", "! !"},
		{"a limit of none", 0, "0w1", "1"},
	};
	char got[128];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct turns t = {0};

		assert_int_equal(turns_open(&t, "m", rows[i].most), 0);
		assert_true(round_of(&t, 0, rows[i].jobs, NOW) == NEVER);
		told(&t, got, sizeof(got));
		if (strcmp(got, rows[i].want) != 0)
			fail_msg("%s: %s, not %s", rows[i].reason, got, rows[i].want);
		turns_release(&t);
	}
}

static void test_models_have_queues_of_their_own(void **state)
{
	struct turns t = {0};
	const struct turns_wait a = {.job = 1}, b = {.job = 2, .since_ns = 1};

	(void)state;
	assert_int_equal(turns_open(&t, "a", 1), 0);
	assert_int_equal(turns_open(&t, "b", 1), 0);
	turns_begin(&t, 0);
	turns_count(&t, "a", 1, false);
	turns_count(&t, "never asked for", 7, false);
	assert_int_equal(turns_wait(&t, "a", &a), 0);
	assert_int_equal(turns_wait(&t, "b", &b), 0);
	assert_int_equal(turns_wait(&t, "c", &b), -ENOENT);
	turns_decide(&t, NOW);
	assert_int_equal(wait_of(&t, 1).place, 1);
	assert_true(wait_of(&t, 2).given);
	/* What came in the middle of a round was not counted. */
	assert_int_equal(turns_open(&t, "late", 1), 0);
	assert_int_equal(turns_wait(&t, "late", &b), -ENOENT);
	/* The limit that was told last counts. */
	assert_int_equal(turns_open(&t, "a", 2), 0);
	turns_begin(&t, 0);
	turns_count(&t, "a", 1, false);
	assert_int_equal(turns_wait(&t, "a", &a), 0);
	turns_decide(&t, NOW);
	assert_true(wait_of(&t, 1).given);
	turns_release(&t);
}

/* --- what a refusal teaches --- */

static void expect(struct turns *t, const char *jobs, int64_t now, const char *want, int64_t due)
{
	char got[128];
	int64_t next = round_of(t, 0, jobs, now);

	told(t, got, sizeof(got));
	assert_string_equal(got, want);
	assert_true(next == due);
}

static void test_a_refusal_teaches_the_limit(void **state)
{
	struct turns t = {0};
	const int64_t first = NOW + TURNS_PROBE_FIRST_NS;

	(void)state;
	assert_true(turns_is_free(&t, "m", UINT_MAX, 0));
	assert_false(turns_is_free(&t, "m", 5, 0));
	assert_false(turns_is_free(&t, "m", UINT_MAX, 1));
	turns_refused(&t, "m", 3, NOW); /* nobody had asked: nothing is kept */
	assert_true(turns_is_free(&t, "m", UINT_MAX, 0));
	assert_int_equal(turns_open(&t, "m", UINT_MAX), 0);
	turns_refused(&t, "m", 3, NOW);
	assert_false(turns_is_free(&t, "m", UINT_MAX, 0));
	assert_true(turns_has_learned(&t, "m"));
	assert_false(turns_has_learned(&t, "other"));
	expect(&t, "3+ 0w1 0w2", NOW, "1 2", first);
	/* One of ours ended. */
	expect(&t, "2+ 0w1 0w2", NOW, "! 1", first);
	/* Others took its place. */
	turns_refused(&t, "m", 2, NOW + 1);
	expect(&t, "2+ 0w1 0w2", NOW + 1, "1 2", first + 1);
	turns_release(&t);
}

static void test_probes_come_ever_more_seldom(void **state)
{
	struct turns t = {0};
	int64_t now = NOW, step = TURNS_PROBE_FIRST_NS;

	(void)state;
	assert_int_equal(turns_open(&t, "m", 9), 0);
	turns_refused(&t, "m", 0, now); /* all of the quota is others' */
	for (int i = 0; i < 8; i++) {
		expect(&t, "0w1 0w2", now + step - 1, "1 2", now + step);
		now += step;
		round_of(&t, 0, "0w1 0w2", now);
		assert_true(wait_of(&t, 1).given); /* one alone */
		assert_int_equal(wait_of(&t, 2).place, 1);
		/* While it is out, nobody else tries. */
		round_of(&t, 0, "0* 0w2", now + 10 * TURNS_PROBE_MAX_NS);
		assert_int_equal(wait_of(&t, 2).place, 1);
		turns_refused(&t, "m", 0, now);
		step = 2 * step < TURNS_PROBE_MAX_NS ? 2 * step : TURNS_PROBE_MAX_NS;
	}
	assert_true(step == TURNS_PROBE_MAX_NS);
	turns_release(&t);
}

static void test_a_success_raises_what_was_learned(void **state)
{
	struct turns t = {0};
	int64_t now = NOW + TURNS_PROBE_FIRST_NS;

	(void)state;
	assert_int_equal(turns_open(&t, "m", 4), 0);
	turns_created(&t, "m", 9, NOW); /* nothing was learned, nothing to raise */
	turns_refused(&t, "m", 2, NOW);
	turns_created(&t, "m", 2, NOW);
	expect(&t, "2+ 0w1", NOW, "1", now);
	expect(&t, "2+ 0w1 0w2", now, "! 1", NEVER);
	turns_created(&t, "m", 3, now);
	/* There may be more: that is tried at once, up to what the source says. */
	expect(&t, "3+ 0w2 0w3", now, "! 1", NEVER);
	turns_created(&t, "m", 4, now);
	expect(&t, "4+ 0w3", now, "1", NEVER);
	/* And is refused again some day: from the first step. */
	turns_refused(&t, "m", 3, now);
	expect(&t, "3+ 0w3", now, "1", now + TURNS_PROBE_FIRST_NS);
	turns_release(&t);
}

static void test_refusals_that_cross_count_once(void **state)
{
	struct turns t = {0};

	(void)state;
	assert_int_equal(turns_open(&t, "m", 9), 0);
	for (int i = 0; i < 5; i++)
		turns_refused(&t, "m", 3, NOW);
	expect(&t, "3+ 0w1", NOW, "1", NOW + TURNS_PROBE_FIRST_NS);
	turns_release(&t);
}

/* --- pace --- */

static void test_calls_that_go_one_by_one(void **state)
{
	struct turns t = {0};
	const int64_t every = 2 * NS_PER_S;
	char got[32];

	(void)state;
	assert_int_equal(turns_open(&t, "m", 9), 0);
	assert_true(round_of(&t, every, "0w1 0w2", NOW) == NEVER); /* its end decides again */
	told(&t, got, sizeof(got));
	assert_string_equal(got, "! 1");
	assert_true(round_of(&t, every, "0* 0w2", NOW + 5) == NEVER);
	assert_int_equal(wait_of(&t, 2).place, 1);
	turns_paced(&t, NOW + 5);
	assert_true(round_of(&t, every, "1+ 0w2", NOW + 6) == NOW + 5 + every);
	assert_int_equal(wait_of(&t, 2).place, 1);
	round_of(&t, every, "1+ 0w2", NOW + 5 + every);
	assert_true(wait_of(&t, 2).given);
	/* The queue is full: the pace gives nobody a reason to look again. */
	turns_paced(&t, NOW);
	assert_true(round_of(&t, every, "9+ 0w2", NOW) == NEVER);
	turns_release(&t);
}

static void test_one_pace_for_all_models(void **state)
{
	struct turns t = {0};
	const struct turns_wait a = {.job = 1, .since_ns = 2}, b = {.job = 2, .since_ns = 1},
				c = {.job = 3, .since_ns = 3, .holds = true};

	(void)state;
	assert_int_equal(turns_open(&t, "a", 1), 0);
	assert_int_equal(turns_open(&t, "b", 1), 0);
	turns_begin(&t, 1);
	assert_int_equal(turns_wait(&t, "a", &a), 0);
	assert_int_equal(turns_wait(&t, "b", &b), 0);
	turns_decide(&t, NOW);
	assert_false(wait_of(&t, 1).given);
	assert_true(wait_of(&t, 2).given); /* it has waited longer */
	turns_begin(&t, 1);
	assert_int_equal(turns_wait(&t, "a", &c), 0);
	assert_int_equal(turns_wait(&t, "b", &b), 0);
	turns_decide(&t, NOW);
	assert_true(wait_of(&t, 3).given); /* what may exist is found out first */
	assert_false(wait_of(&t, 2).given);
	turns_release(&t);
}

/* A turn that the pace took back does not count as a probe. */
static void test_a_probe_waits_for_the_pace(void **state)
{
	struct turns t = {0};
	int64_t now = NOW + TURNS_PROBE_FIRST_NS;

	(void)state;
	assert_int_equal(turns_open(&t, "m", 9), 0);
	turns_refused(&t, "m", 1, NOW);
	turns_begin(&t, NS_PER_S);
	turns_paced(&t, now);
	assert_true(round_of(&t, NS_PER_S, "1+ 0w1", now) == now + NS_PER_S);
	round_of(&t, NS_PER_S, "1+ 0w1", now + NS_PER_S);
	assert_true(wait_of(&t, 2).given);
	turns_release(&t);
}

/* --- all in a run --- */

/* A small job among large ones, slots that come free one at a time: who goes? */
static void test_a_small_job_is_not_stuck(void **state)
{
	struct turns t = {0};
	unsigned live[3] = {0}, left[3] = {11, 11, 1}, since = 0;
	char order[32] = "", jobs[64];

	(void)state;
	assert_int_equal(turns_open(&t, "m", 3), 0);
	for (int step = 0; left[0] + left[1] + left[2] > 0; step++) {
		unsigned came[3] = {0, 1, 4}; /* the last one comes late */

		jobs[0] = '\0';
		for (int i = 0; i < 3; i++)
			snprintf(jobs + strlen(jobs), sizeof(jobs) - strlen(jobs),
				 left[i] && (unsigned)step >= came[i] ? "%uw%u " : "%u+%u ",
				 live[i], since);
		round_of(&t, 0, jobs, NOW);
		for (int i = 0; i < 3; i++) {
			const struct turns_wait w = wait_of(&t, (uint64_t)i + 1);

			if (!w.given)
				continue;
			live[i]++;
			left[i]--;
			order[strlen(order)] = (char)('A' + i);
		}
		if (live[0] + live[1] + live[2] == 3) /* the one with most ends one */
			live[live[0] >= live[1] ? 0 : 1]--;
	}
	/* A begins alone; then B, which has fewer; C is served in the step it comes. */
	assert_int_equal(strlen(order), 23);
	assert_true(strchr(order, 'C') - order < 8);
	turns_release(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_gets_a_slot),
		cmocka_unit_test(test_models_have_queues_of_their_own),
		cmocka_unit_test(test_a_refusal_teaches_the_limit),
		cmocka_unit_test(test_probes_come_ever_more_seldom),
		cmocka_unit_test(test_a_success_raises_what_was_learned),
		cmocka_unit_test(test_refusals_that_cross_count_once),
		cmocka_unit_test(test_calls_that_go_one_by_one),
		cmocka_unit_test(test_one_pace_for_all_models),
		cmocka_unit_test(test_a_probe_waits_for_the_pace),
		cmocka_unit_test(test_a_small_job_is_not_stuck),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
