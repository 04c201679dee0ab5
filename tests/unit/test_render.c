/* What a view looks like to who reads it: progress, cost, ctl, status.json. */

#include "fs/render.h"

#include <stdlib.h>
#include <string.h>

#include "fs/job/machine.h"
#include "tests/unit/cmocka_all.h"

#define HOUR_NS (3600 * NS_PER_S)

static struct view *view_of(enum job_state state, size_t parts)
{
	struct view *v = view_new();

	assert_non_null(v);
	v->state = state;
	v->attempt = parts > 0 ? 1 : 0;
	v->submitted_ns = HOUR_NS;
	v->shown_ns = 2 * HOUR_NS;
	v->parts = calloc(parts + 1, sizeof(v->parts[0]));
	assert_non_null(v->parts);
	v->part_count = parts;
	for (size_t i = 0; i < parts; i++) {
		v->parts[i].attempt = 1;
		v->parts[i].seq = (uint32_t)i + 1;
		v->parts[i].state = state;
		v->parts[i].record_count = 10;
	}
	return v;
}

static void assert_says(const struct view *v, enum kind k, const char *words)
{
	CLEANUP(buf_release) struct buf text;

	assert_int_equal(render_view(v, k, &text), 0);
	if (!strstr(text.data, words))
		fail_msg("not \"%s\" in:\n%s", words, text.data);
}

static void assert_never_says(const struct view *v, enum kind k, const char *words)
{
	CLEANUP(buf_release) struct buf text;

	assert_int_equal(render_view(v, k, &text), 0);
	if (strstr(text.data, words))
		fail_msg("\"%s\" in:\n%s", words, text.data);
}

static void test_ctl_lists_each_form(void **state)
{
	CLEANUP(view_unrefp) struct view *v = view_of(JOB_HELD, 0);

	(void)state;
	v->commands = COMMANDS_RETRY | 1u << COMMAND_SAMPLE;
	assert_says(v, KIND_CTL, "retry\nretry pad\nretry ondemand\nsample N\n");
}

static void test_time_left_is_of_this_attempt(void **state)
{
	CLEANUP(view_unrefp) struct view *v = view_of(JOB_IN_PROGRESS, 1);

	(void)state;
	v->attempt = 3;
	v->counts = (struct counts){1000, 950, 0};
	v->attempt_counts = (struct counts){100, 50, 0};
	v->attempt_left = 25; /* the other 25 are of a part that has ended */
	v->attempt_ns = v->shown_ns - 60 * NS_PER_S;
	assert_says(v, KIND_PROGRESS, "950/1000 records");
	assert_says(v, KIND_PROGRESS, "about 00:00:30 left");
	v->attempt_left = 0;
	assert_never_says(v, KIND_PROGRESS, "left");
	v->attempt_left = 25;
	v->attempt_counts.good = 0; /* no pace yet */
	assert_never_says(v, KIND_PROGRESS, "left");
}

static void test_parts_that_expire(void **state)
{
	CLEANUP(view_unrefp) struct view *v = view_of(JOB_IN_PROGRESS, 3);

	(void)state;
	assert_never_says(v, KIND_PROGRESS, "expires");
	v->expires_ns = v->shown_ns + HOUR_NS / 2;
	v->expiring = 1;
	assert_says(v, KIND_PROGRESS, "expires in 00:30:00\n");
	v->expiring = 3;
	assert_says(v, KIND_PROGRESS, "expires in 00:30:00 (3 parts within the hour)\n");
}

static void test_a_sample_that_runs(void **state)
{
	CLEANUP(view_unrefp) struct view *v = view_of(JOB_HELD, 0);

	(void)state;
	v->record_count = 1000;
	v->sampling = (struct counts){10, 3, 1};
	assert_says(v, KIND_PROGRESS, "Held: a sample runs, 4 of 10 records answered\n");
}

/* --- money --- */

static struct view *priced(void)
{
	struct view *v = view_of(JOB_COMPLETED, 1);

	v->money = v->priced = true;
	v->price = (struct price){.batch_in = 1, .batch_out = 10, .demand_in = 2, .demand_out = 20};
	v->tokens = (struct tokens){1000000, 100000};
	return v;
}

static void test_each_token_at_its_price(void **state)
{
	CLEANUP(view_unrefp) struct view *v = priced();

	(void)state;
	assert_says(v, KIND_COST, "batch_usd      2.000000\non_demand_usd  4.000000\n");
	assert_says(v, KIND_COST, "total_usd      2.000000\n");
	assert_never_says(v, KIND_COST, "on_demand  ");
	v->demand = (struct tokens){500000, 50000};
	assert_says(v, KIND_COST, "total_usd      3.000000\n");
	assert_says(v, KIND_COST, "on_demand      500000 tokens in, 50000 out\n");
	v->sample = (struct tally){3, {500000, 0}};
	assert_says(v, KIND_COST, "total_usd      4.000000\n");
	assert_says(v, KIND_STATUS_JSON, "\"total_usd\": 4.000000");
}

static void test_what_is_beside_the_records_is_told(void **state)
{
	CLEANUP(view_unrefp) struct view *v = priced();

	(void)state;
	assert_never_says(v, KIND_COST, "padding");
	assert_never_says(v, KIND_COST, "saved");
	assert_never_says(v, KIND_COST, "sample");
	v->padding = (struct tally){88, {1000, 88}};
	v->saved = (struct tally){40, {4000, 400}};
	v->sample = (struct tally){3, {300, 30}};
	assert_says(v, KIND_COST,
		    "padding        88 records, 1000 tokens in, 88 out, 0.001880 USD\n"
		    "saved          40 records, 4000 tokens in, 400 out, 0.008000 USD\n"
		    "sample         3 records, 300 tokens in, 30 out, 0.001200 USD\n");
	assert_says(v, KIND_STATUS_JSON,
		    "\"saved\": {\"records\": 40, \"tokens\": {\"input\": 4000, \"output\": 400}}");
	v->money = false; /* free: what was saved is time */
	assert_says(v, KIND_COST, "saved          40 records, 4000 tokens in, 400 out\n");
}

static void test_an_estimate_is_marked(void **state)
{
	CLEANUP(view_unrefp) struct view *v = priced();

	(void)state;
	v->state = JOB_IN_PROGRESS;
	v->tokens = (struct tokens){0};
	v->estimate = (struct tokens){1000000, 0};
	assert_says(v, KIND_COST, "estimate       yes");
	assert_says(v, KIND_COST, "total_usd      1.000000\n");
	v->how = RUN_ONDEMAND;
	assert_says(v, KIND_COST, "total_usd      2.000000\n");
}

static void test_a_price_that_is_not_known(void **state)
{
	CLEANUP(view_unrefp) struct view *v = priced();

	(void)state;
	v->priced = false;
	v->sample = (struct tally){3, {300, 30}};
	assert_says(v, KIND_COST, "sample         3 records, 300 tokens in, 30 out\n");
	assert_says(v, KIND_STATUS_JSON, "\"total_usd\": null");
}

/* --- attempts --- */

static void test_attempts(void **state)
{
	CLEANUP(view_unrefp) struct view *v = view_of(JOB_IN_PROGRESS, 3);

	(void)state;
	v->attempt = 2;
	v->parts[0].counts = (struct counts){10, 7, 2};
	v->parts[1].counts = (struct counts){10, 10, 0};
	v->parts[2].attempt = 2;
	v->parts[2].how = RUN_PADDED;
	v->parts[2].record_count = 3;
	v->parts[2].padding = 97;
	assert_says(
		v, KIND_STATUS_JSON,
		"\"attempts\": [\n"
		"    {\"attempt\": 1, \"how\": \"batch\", \"automatic\": false, \"records\": 20, "
		"\"good\": 17, \"failed\": 2, \"missing\": 1},\n"
		"    {\"attempt\": 2, \"how\": \"padded\", \"automatic\": false, \"records\": 3, "
		"\"good\": 0, \"failed\": 0, \"missing\": null}\n  ],\n");
	assert_says(v, KIND_STATUS_JSON, "\"how\": \"padded\", \"padding\": 97,\n");
	v->parts[2].how = RUN_ONDEMAND;
	assert_says(v, KIND_STATUS_JSON, "\"how\": \"ondemand\", \"padding\": 97,\n");
}

static const struct {
	const char *why;
	uint32_t attempt, automatic; /* the newest; how many were */
	int newest;
	const char *says; /* of attempt 2 */
} automatic_rows[] = {
	{"none was", 3, 0, 0, "false"},
	{"all were", 3, 2, -1, "true"},
	{"the newest, and it is this one", 2, 1, 1, "true"},
	{"one of two, and not the newest: then it is this one", 3, 1, 0, "true"},
	{"one of two, and that is the newest", 3, 1, 1, "false"},
	{"one of two, after a restart", 3, 1, -1, "null"},
	{"some of those before", 4, 1, 0, "null"},
	{"and the newest as well", 4, 2, 1, "null"},
};

static void test_who_asked_for_an_attempt(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(automatic_rows); i++) {
		CLEANUP(view_unrefp) struct view *v = view_of(JOB_COMPLETED, 2);
		CLEANUP(buf_release) struct buf text = BUF_INIT(256);
		CLEANUP(buf_release) struct buf json = BUF_INIT(0);

		v->parts[1].attempt = 2;
		v->attempt = automatic_rows[i].attempt;
		v->auto_retries = automatic_rows[i].automatic;
		v->automatic = automatic_rows[i].newest;
		buf_addf(&text, "{\"attempt\": 2, \"how\": \"batch\", \"automatic\": %s,",
			 automatic_rows[i].says);
		assert_int_equal(render_view(v, KIND_STATUS_JSON, &json), 0);
		if (!strstr(json.data, text.data))
			fail_msg("%s: not %s", automatic_rows[i].why, text.data);
	}
}

static void test_a_job_that_never_ran(void **state)
{
	CLEANUP(view_unrefp) struct view *v = view_of(JOB_DRAFT, 0);

	(void)state;
	assert_says(v, KIND_STATUS_JSON, "\"attempts\": [],\n  \"parts\": []\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ctl_lists_each_form),
		cmocka_unit_test(test_time_left_is_of_this_attempt),
		cmocka_unit_test(test_parts_that_expire),
		cmocka_unit_test(test_a_sample_that_runs),
		cmocka_unit_test(test_each_token_at_its_price),
		cmocka_unit_test(test_what_is_beside_the_records_is_told),
		cmocka_unit_test(test_an_estimate_is_marked),
		cmocka_unit_test(test_a_price_that_is_not_known),
		cmocka_unit_test(test_attempts),
		cmocka_unit_test(test_who_asked_for_an_attempt),
		cmocka_unit_test(test_a_job_that_never_ran),
	};

	return cmocka_run_group_tests_name("render", tests, NULL, NULL);
}
