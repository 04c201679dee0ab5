#include "fs/job/machine.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "fs/base/kv.h"

/*
 * Row: where a job is.  Column: what happened.  Cell: where it goes; zero
 * forbids.
 *
 *   DRAFT -> STAGING -> RUNNING -> COLLECTING -> ENDED
 *     ^        |  ^        |        ^   ^          |
 *     +--------+  |        +--------+   +---EV_LOST+
 *     refused     +---------------------EV_RETRY---+
 *
 * Made elsewhere:
 *
 *            RUNNING --EV_AWAY--> ELSEWHERE --EV_FETCH--> COLLECTING -> ENDED
 *                                     ^                       |
 *                                     +--------EV_AWAY--------+
 *
 * STAGING -> COLLECTING: stopped before a part was created, or a retry that
 * was refused; what earlier attempts brought is joined again.
 */
static const enum phase moves[PHASE_COUNT][EV_COUNT] = {
	[PHASE_DRAFT] = {[EV_SUBMIT] = PHASE_STAGING},
	[PHASE_STAGING] = {[EV_STAGED] = PHASE_RUNNING,
			   [EV_REFUSED] = PHASE_DRAFT,
			   [EV_OVER] = PHASE_COLLECTING},
	[PHASE_RUNNING] = {[EV_OVER] = PHASE_COLLECTING,
			   [EV_REFUSED] = PHASE_DRAFT,
			   [EV_AWAY] = PHASE_ELSEWHERE},
	[PHASE_COLLECTING] = {[EV_COLLECTED] = PHASE_ENDED, [EV_AWAY] = PHASE_ELSEWHERE},
	[PHASE_ENDED] = {[EV_RETRY] = PHASE_STAGING, [EV_LOST] = PHASE_COLLECTING},
	[PHASE_ELSEWHERE] = {[EV_FETCH] = PHASE_COLLECTING},
};

static const char *const command_names[COMMAND_COUNT] = {
	[COMMAND_SUBMIT] = "submit",	   [COMMAND_HOLD] = "hold",
	[COMMAND_STOP] = "stop",	   [COMMAND_RETRY] = "retry",
	[COMMAND_RETRY_PAD] = "retry pad", [COMMAND_RETRY_ONDEMAND] = "retry ondemand",
	[COMMAND_SAMPLE] = "sample N",	   [COMMAND_REFRESH] = "refresh",
	[COMMAND_FETCH] = "fetch",	   [COMMAND_PURGE] = "purge",
};

int phase_step(enum phase from, enum event ev, enum phase *ret)
{
	assert(from > PHASE_NONE && from < PHASE_COUNT);
	assert(ev < EV_COUNT);
	if (moves[from][ev] == PHASE_NONE)
		return -EINVAL;
	*ret = moves[from][ev];
	return 0;
}

const char *command_name(enum command c)
{
	assert(c < COMMAND_COUNT);
	return command_names[c];
}

int order_parse(const char *text, struct order *ret)
{
	uint64_t count = 0;

	*ret = (struct order){.command = COMMAND_COUNT};
	if (strcmp(text, "sample") == 0 || strncmp(text, "sample ", 7) == 0) {
		ret->command = COMMAND_SAMPLE;
		if (!text[6] ||
		    kv_parse_u64("sample", text + 7, 1, SAMPLE_RECORDS_MAX, &count, NULL) < 0)
			return -EINVAL;
		ret->count = (uint32_t)count;
		return 0;
	}
	for (int i = 0; i < COMMAND_COUNT; i++)
		if (strcmp(command_names[i], text) == 0)
			ret->command = (enum command)i;
	return ret->command == COMMAND_COUNT ? -EINVAL : 0;
}

unsigned commands_legal(enum phase p, enum job_state s, bool has_failures)
{
	unsigned set = 1u << COMMAND_REFRESH;

	if (p == PHASE_DRAFT) {
		if (s == JOB_SETTLING || s == JOB_HELD || (s == JOB_INVALID && has_failures))
			set |= 1u << COMMAND_SUBMIT;
		if (s != JOB_HELD)
			set |= 1u << COMMAND_HOLD;
		/* Who wants to stop what is about to go wants it held. */
		if (s == JOB_SETTLING)
			set |= 1u << COMMAND_STOP;
		if (s == JOB_SETTLING || s == JOB_HELD)
			set |= 1u << COMMAND_SAMPLE;
	}
	if (p == PHASE_STAGING || (p == PHASE_RUNNING && s != JOB_STOPPING) ||
	    p == PHASE_COLLECTING)
		set |= 1u << COMMAND_STOP;
	if (p == PHASE_ENDED && has_failures)
		set |= COMMANDS_RETRY;
	if (p == PHASE_ELSEWHERE)
		set |= 1u << COMMAND_FETCH;
	if (p == PHASE_ENDED || p == PHASE_ELSEWHERE)
		set |= 1u << COMMAND_PURGE;
	return set;
}

enum job_state end_state(const struct counts *counts, enum job_state worst, bool stopped)
{
	uint64_t run = counts->good + counts->failed;

	if (counts->good == counts->total)
		return JOB_COMPLETED;
	if (stopped || worst == JOB_STOPPED)
		return JOB_STOPPED;
	if (worst == JOB_EXPIRED && counts->good == 0)
		return JOB_EXPIRED;
	if (counts->good == 0)
		return JOB_FAILED;
	return run == counts->total ? JOB_COMPLETED_WITH_ERRORS : JOB_PARTIALLY_COMPLETED;
}
