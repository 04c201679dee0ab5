/* Snapshots: what counts as a change, and which file's time it moves. */

#include "fs/job/view.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/cmocka_all.h"

#define OLD 1000
#define NOW 2000

static struct view *running(void)
{
	struct view *v = view_new();

	assert_non_null(v);
	v->state = JOB_IN_PROGRESS;
	v->parts = calloc(1, sizeof(v->parts[0]));
	assert_non_null(v->parts);
	v->part_count = 1;
	v->parts[0].remote = strdup("r1");
	v->counts.total = 5;
	for (int i = 0; i < VIEW_TIME_COUNT; i++)
		v->times_ns[i] = OLD;
	return v;
}

static struct view *ended(void)
{
	struct view *v = running();

	v->state = JOB_COMPLETED;
	return v;
}

static void text(char **to, const char *value)
{
	free(*to);
	*to = strdup(value);
}

static void no_change(struct view *v)
{
	v->shown_ns = 77; /* when it was made is no content */
}

static void other_state(struct view *v)
{
	v->state = JOB_STOPPED;
}

static void other_count(struct view *v)
{
	v->counts.good = 1;
}

static void other_tokens(struct view *v)
{
	v->tokens.output = 1;
}

static void other_error(struct view *v)
{
	text(&v->error, "why");
}

static void other_commands(struct view *v)
{
	v->commands = 1;
}

static void other_name(struct view *v)
{
	text(&v->name, "n");
}

static void other_model(struct view *v)
{
	text(&v->model, "m");
}

static void other_hold(struct view *v)
{
	v->held = true;
}

static void other_raw(struct view *v)
{
	text(&v->parts[0].raw, "Running");
}

static void other_remote(struct view *v)
{
	text(&v->parts[0].remote, "r2");
}

static void other_part_phase(struct view *v)
{
	v->parts[0].phase = 4;
}

static void fewer_parts(struct view *v)
{
	free(v->parts[0].remote);
	v->part_count = 0;
}

#define STATUS	 1u
#define PROGRESS 2u
#define ERROR	 4u
#define CTL	 8u
#define ANY	 16u

static const struct {
	const char *why;
	void (*change)(struct view *v);
	unsigned moved; /* of an ended job: files whose time moves */
} changes[] = {
	{"nothing differs", no_change, 0},
	{"the state", other_state, STATUS | PROGRESS | ANY},
	{"a count", other_count, PROGRESS | ANY},
	{"tokens", other_tokens, PROGRESS | ANY},
	{"the error", other_error, ERROR | PROGRESS | ANY},
	{"the commands", other_commands, CTL | PROGRESS | ANY},
	{"the name", other_name, PROGRESS | ANY},
	{"the model", other_model, PROGRESS | ANY},
	{"held", other_hold, PROGRESS | ANY},
	{"the provider's word", other_raw, PROGRESS | ANY},
	{"the provider's name", other_remote, PROGRESS | ANY},
	{"a part's phase", other_part_phase, PROGRESS | ANY},
	{"a part less", fewer_parts, PROGRESS | ANY},
};

static void test_changes(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(changes); i++) {
		CLEANUP(view_unrefp) struct view *prev = ended();
		CLEANUP(view_unrefp) struct view *next = ended();

		prev->change = 7;
		changes[i].change(next);
		view_stamp(next, prev, NOW);
		if (next->change != 7 + (changes[i].moved != 0))
			fail_msg("%s: change %llu", changes[i].why,
				 (unsigned long long)next->change);
		for (int t = 0; t < VIEW_TIME_COUNT; t++)
			if (next->times_ns[t] != (changes[i].moved >> t & 1 ? NOW : OLD))
				fail_msg("%s: time %d is %lld", changes[i].why, t,
					 (long long)next->times_ns[t]);
	}
}

static void test_progress_of_a_running_job_always_moves(void **state)
{
	CLEANUP(view_unrefp) struct view *prev = running();
	CLEANUP(view_unrefp) struct view *next = running();

	(void)state;
	view_stamp(next, prev, NOW);
	assert_int_equal(next->change, prev->change);
	assert_int_equal(next->times_ns[VIEW_TIME_PROGRESS], NOW);
	assert_int_equal(next->times_ns[VIEW_TIME_STATUS], OLD);
	assert_int_equal(next->times_ns[VIEW_TIME_ANY], OLD);
}

static void test_the_first_view_is_all_new(void **state)
{
	CLEANUP(view_unrefp) struct view *v = view_new();

	(void)state;
	assert_non_null(v);
	view_stamp(v, NULL, NOW);
	assert_int_equal(v->change, 1);
	for (int t = 0; t < VIEW_TIME_COUNT; t++)
		assert_int_equal(v->times_ns[t], NOW);
}

static void test_absent_and_empty_texts_are_the_same(void **state)
{
	CLEANUP(view_unrefp) struct view *prev = ended();
	CLEANUP(view_unrefp) struct view *next = ended();

	(void)state;
	next->parts[0].message = strdup("");
	view_stamp(next, prev, NOW);
	assert_int_equal(next->change, prev->change);
}

static void test_a_word_of_the_providers(void **state)
{
	static const struct {
		const char *why, *raw, *status;
		enum job_state state, part;
		uint32_t attempt;
	} rows[] = {
		{"one we do not know", "Paused", "Paused", JOB_IN_PROGRESS, JOB_IN_PROGRESS, 1},
		{"one of ours", "InProgress", "InProgress", JOB_IN_PROGRESS, JOB_IN_PROGRESS, 1},
		{"an end of ours", "Completed", "InProgress", JOB_IN_PROGRESS, JOB_IN_PROGRESS, 1},
		{"none", NULL, "InProgress", JOB_IN_PROGRESS, JOB_IN_PROGRESS, 1},
		{"an empty one", "", "InProgress", JOB_IN_PROGRESS, JOB_IN_PROGRESS, 1},
		{"no word", "a b", "InProgress", JOB_IN_PROGRESS, JOB_IN_PROGRESS, 1},
		{"told as another state", "Queueing", "Scheduled", JOB_SCHEDULED, JOB_SCHEDULED, 1},
		{"stopping is our word", "Paused", "Stopping", JOB_STOPPING, JOB_IN_PROGRESS, 1},
		{"of an attempt before", "Paused", "InProgress", JOB_IN_PROGRESS, JOB_IN_PROGRESS,
		 2},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(view_unrefp) struct view *v = running();

		v->state = rows[i].state;
		v->attempt = rows[i].attempt;
		v->parts[0].attempt = 1;
		v->parts[0].state = rows[i].part;
		v->parts[0].raw = rows[i].raw ? strdup(rows[i].raw) : NULL;
		if (strcmp(view_status(v), rows[i].status) != 0)
			fail_msg("%s: %s", rows[i].why, view_status(v));
	}
}

static void test_references(void **state)
{
	struct view *v = view_new();

	(void)state;
	assert_non_null(v);
	assert_ptr_equal(view_ref(v), v);
	view_unref(v);
	assert_string_equal(v->name, "");
	view_unref(v);
	view_unref(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_progress_of_a_running_job_always_moves),
		cmocka_unit_test(test_the_first_view_is_all_new),
		cmocka_unit_test(test_absent_and_empty_texts_are_the_same),
		cmocka_unit_test(test_a_word_of_the_providers),
		cmocka_unit_test(test_references),
	};

	return cmocka_run_group_tests_name("view", tests, NULL, NULL);
}
