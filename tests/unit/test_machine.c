/* Every phase against every event, the commands each phase takes, and what an
 * end is called. */

#include "fs/job/machine.h"

#include <errno.h>

#include "tests/unit/cmocka_all.h"

static const struct {
	const char *why;
	enum phase from, to;
	enum event ev;
} legal_moves[] = {
	{"the user submits", PHASE_DRAFT, PHASE_STAGING, EV_SUBMIT},
	{"inputs are in place", PHASE_STAGING, PHASE_RUNNING, EV_STAGED},
	{"the input is refused", PHASE_STAGING, PHASE_DRAFT, EV_REFUSED},
	{"stopped before it cost anything", PHASE_STAGING, PHASE_COLLECTING, EV_OVER},
	{"every part has ended", PHASE_RUNNING, PHASE_COLLECTING, EV_OVER},
	{"the create is refused", PHASE_RUNNING, PHASE_DRAFT, EV_REFUSED},
	{"results are on disk", PHASE_COLLECTING, PHASE_ENDED, EV_COLLECTED},
	{"run again what failed", PHASE_ENDED, PHASE_STAGING, EV_RETRY},
	{"the results are gone", PHASE_ENDED, PHASE_COLLECTING, EV_LOST},
	{"made elsewhere, and over", PHASE_RUNNING, PHASE_ELSEWHERE, EV_AWAY},
	{"what it has is wanted here", PHASE_ELSEWHERE, PHASE_COLLECTING, EV_FETCH},
	{"and cannot be had", PHASE_COLLECTING, PHASE_ELSEWHERE, EV_AWAY},
};

static void test_moves(void **state)
{
	enum phase to;
	size_t allowed = 0;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(legal_moves); i++) {
		to = PHASE_NONE;
		if (phase_step(legal_moves[i].from, legal_moves[i].ev, &to) != 0 ||
		    to != legal_moves[i].to)
			fail_msg("%s: goes to %d", legal_moves[i].why, (int)to);
	}
	for (int p = PHASE_NONE + 1; p < PHASE_COUNT; p++)
		for (int ev = 0; ev < EV_COUNT; ev++) {
			int r;

			to = PHASE_NONE;
			r = phase_step((enum phase)p, (enum event)ev, &to);
			allowed += r == 0;
			/* A forbidden move says so and leaves the output alone. */
			if (r < 0 && (r != -EINVAL || to != PHASE_NONE))
				fail_msg("phase %d, event %d: %d, goes to %d", p, ev, r, (int)to);
		}
	assert_int_equal(allowed, COUNT_OF(legal_moves));
}

#define SUBMIT	(1u << COMMAND_SUBMIT)
#define HOLD	(1u << COMMAND_HOLD)
#define STOP	(1u << COMMAND_STOP)
#define RETRY	COMMANDS_RETRY
#define SAMPLE	(1u << COMMAND_SAMPLE)
#define REFRESH (1u << COMMAND_REFRESH)
#define FETCH	(1u << COMMAND_FETCH)
#define PURGE	(1u << COMMAND_PURGE)

static const struct {
	const char *why;
	enum phase phase;
	enum job_state state;
	bool has_failures;
	unsigned legal;
} command_rows[] = {
	{"nothing to submit yet", PHASE_DRAFT, JOB_DRAFT, false, HOLD | REFRESH},
	{"what is wrong is not submitted", PHASE_DRAFT, JOB_INVALID, false, HOLD | REFRESH},
	{"refused when it was sent: the cause may be mended elsewhere", PHASE_DRAFT, JOB_INVALID,
	 true, SUBMIT | HOLD | REFRESH},
	{"held: only submit lets go", PHASE_DRAFT, JOB_HELD, false, SUBMIT | SAMPLE | REFRESH},
	{"about to go; stop is another word for hold", PHASE_DRAFT, JOB_SETTLING, false,
	 SUBMIT | HOLD | STOP | SAMPLE | REFRESH},
	{"failures of nothing are not retried", PHASE_DRAFT, JOB_DRAFT, true, HOLD | REFRESH},
	{"going up", PHASE_STAGING, JOB_UPLOADING, true, STOP | REFRESH},
	{"waits for quota", PHASE_RUNNING, JOB_QUEUED, true, STOP | REFRESH},
	{"runs", PHASE_RUNNING, JOB_IN_PROGRESS, true, STOP | REFRESH},
	{"stopping already", PHASE_RUNNING, JOB_STOPPING, true, REFRESH},
	{"does not wait for results that are gone", PHASE_COLLECTING, JOB_FETCHING, true,
	 STOP | REFRESH},
	{"nothing failed", PHASE_ENDED, JOB_COMPLETED, false, REFRESH | PURGE},
	{"some failed", PHASE_ENDED, JOB_COMPLETED_WITH_ERRORS, true, RETRY | REFRESH | PURGE},
	{"all failed", PHASE_ENDED, JOB_FAILED, true, RETRY | REFRESH | PURGE},
	{"stopped", PHASE_ENDED, JOB_STOPPED, true, RETRY | REFRESH | PURGE},
	{"expired", PHASE_ENDED, JOB_EXPIRED, true, RETRY | REFRESH | PURGE},
	{"not here: to be fetched before anything else", PHASE_ELSEWHERE, JOB_FAILED, true,
	 FETCH | REFRESH | PURGE},
};

static void test_commands(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(command_rows); i++) {
		unsigned set = commands_legal(command_rows[i].phase, command_rows[i].state,
					      command_rows[i].has_failures);

		if (set != command_rows[i].legal)
			fail_msg("%s: %#x, not %#x", command_rows[i].why, set,
				 command_rows[i].legal);
	}
}

static const struct {
	const char *why, *text;
	int r;
	enum command command;
	uint32_t count;
} order_rows[] = {
	{"as it is", "retry", 0, COMMAND_RETRY, 0},
	{"an argument", "retry pad", 0, COMMAND_RETRY_PAD, 0},
	{"the other one", "retry ondemand", 0, COMMAND_RETRY_ONDEMAND, 0},
	{"at least", "sample 1", 0, COMMAND_SAMPLE, 1},
	{"at most", "sample 10000", 0, COMMAND_SAMPLE, 10000},
	{"nothing", "", -EINVAL, COMMAND_COUNT, 0},
	{"another case", "Submit", -EINVAL, COMMAND_COUNT, 0},
	{"a space behind", "submit ", -EINVAL, COMMAND_COUNT, 0},
	{"no command", "rm", -EINVAL, COMMAND_COUNT, 0},
	{"no way to retry", "retry hard", -EINVAL, COMMAND_COUNT, 0},
	{"one argument too many", "retry pad ondemand", -EINVAL, COMMAND_COUNT, 0},
	{"one that takes none", "stop now", -EINVAL, COMMAND_COUNT, 0},
	{"no count", "sample", -EINVAL, COMMAND_SAMPLE, 0},
	{"no count either", "sample ", -EINVAL, COMMAND_SAMPLE, 0},
	{"as it is listed", "sample N", -EINVAL, COMMAND_SAMPLE, 0},
	{"none", "sample 0", -EINVAL, COMMAND_SAMPLE, 0},
	{"too many", "sample 10001", -EINVAL, COMMAND_SAMPLE, 0},
	{"less than none", "sample -1", -EINVAL, COMMAND_SAMPLE, 0},
	{"two counts", "sample 1 2", -EINVAL, COMMAND_SAMPLE, 0},
	{"another word", "sampler 1", -EINVAL, COMMAND_COUNT, 0},
};

static void test_orders(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(order_rows); i++) {
		struct order o;
		int r = order_parse(order_rows[i].text, &o);

		if (r != order_rows[i].r || o.command != order_rows[i].command ||
		    o.count != order_rows[i].count)
			fail_msg("%s: %d, %d, %u", order_rows[i].why, r, (int)o.command, o.count);
	}
	for (int i = 0; i < COMMAND_COUNT; i++) {
		struct order o;

		if (i == COMMAND_SAMPLE)
			continue;
		assert_int_equal(order_parse(command_name((enum command)i), &o), 0);
		assert_int_equal(o.command, i);
	}
}

static const struct {
	const char *why;
	struct counts counts; /* total, good, failed */
	enum job_state worst;
	bool stopped;
	enum job_state end;
} end_rows[] = {
	{"all good", {3, 3, 0}, JOB_COMPLETED, false, JOB_COMPLETED},
	{"all good, whatever the provider says", {3, 3, 0}, JOB_EXPIRED, false, JOB_COMPLETED},
	{"stopped too late to matter", {3, 3, 0}, JOB_STOPPED, true, JOB_COMPLETED},
	{"all run, some failed", {3, 2, 1}, JOB_COMPLETED, false, JOB_COMPLETED_WITH_ERRORS},
	{"\"Completed\" with every record failed", {3, 0, 3}, JOB_COMPLETED, false, JOB_FAILED},
	{"failed before any was run", {3, 0, 0}, JOB_FAILED, false, JOB_FAILED},
	{"failed half way", {3, 1, 1}, JOB_FAILED, false, JOB_PARTIALLY_COMPLETED},
	{"some were not run", {3, 2, 0}, JOB_COMPLETED, false, JOB_PARTIALLY_COMPLETED},
	{"ran out of time", {3, 1, 1}, JOB_PARTIALLY_COMPLETED, false, JOB_PARTIALLY_COMPLETED},
	{"expired with nothing", {3, 0, 0}, JOB_EXPIRED, false, JOB_EXPIRED},
	{"expired, yet some are good", {3, 1, 0}, JOB_EXPIRED, false, JOB_PARTIALLY_COMPLETED},
	{"the provider stopped it", {3, 1, 0}, JOB_STOPPED, false, JOB_STOPPED},
	{"never created", {3, 0, 0}, JOB_COMPLETED, true, JOB_STOPPED},
	{"stopped with only failures", {3, 0, 2}, JOB_STOPPED, false, JOB_STOPPED},
};

static void test_ends(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(end_rows); i++) {
		enum job_state s =
			end_state(&end_rows[i].counts, end_rows[i].worst, end_rows[i].stopped);

		if (s != end_rows[i].end)
			fail_msg("%s: %s, not %s", end_rows[i].why, job_state_name(s),
				 job_state_name(end_rows[i].end));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_moves),
		cmocka_unit_test(test_commands),
		cmocka_unit_test(test_orders),
		cmocka_unit_test(test_ends),
	};

	return cmocka_run_group_tests_name("machine", tests, NULL, NULL);
}
