#include "fs/base/state.h"

#include <assert.h>
#include <string.h>

static const char *const names[JOB_STATE_COUNT] = {
	[JOB_DRAFT] = "Draft",
	[JOB_INVALID] = "Invalid",
	[JOB_HELD] = "Held",
	[JOB_SETTLING] = "Settling",
	[JOB_UPLOADING] = "Uploading",
	[JOB_QUEUED] = "Queued",
	[JOB_SUBMITTED] = "Submitted",
	[JOB_VALIDATING] = "Validating",
	[JOB_SCHEDULED] = "Scheduled",
	[JOB_IN_PROGRESS] = "InProgress",
	[JOB_STOPPING] = "Stopping",
	[JOB_FETCHING] = "Fetching",
	[JOB_COMPLETED] = "Completed",
	[JOB_COMPLETED_WITH_ERRORS] = "CompletedWithErrors",
	[JOB_PARTIALLY_COMPLETED] = "PartiallyCompleted",
	[JOB_FAILED] = "Failed",
	[JOB_STOPPED] = "Stopped",
	[JOB_EXPIRED] = "Expired",
};

const char *job_state_name(enum job_state s)
{
	assert(s < JOB_STATE_COUNT);
	return names[s];
}

bool job_state_is_end(enum job_state s)
{
	return s >= JOB_COMPLETED;
}

int job_state_parse(const char *name)
{
	for (int i = 0; i < JOB_STATE_COUNT; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	return -1;
}
