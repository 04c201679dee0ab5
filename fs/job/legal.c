/* Which commands a job takes: what the phase allows, what the source can do, and
 * what the job's settings say. */

#include <errno.h>

#include "fs/job/jobs_private.h"
#include "fs/job/small.h"

int legal_retry_how(struct job *j, const char *model, uint64_t count)
{
	enum run_how how = RUN_BATCH;
	struct settings set;
	int r = job_settings(j, &set, NULL);

	if (r == 0)
		r = small_how(j->jobs->o.backend, model, set.small, count, &how, NULL);
	return r < 0 ? -EINVAL : (int)how;
}

/* While one runs it is what can be stopped; what it is for comes after it. */
unsigned legal_during_sample(unsigned set)
{
	return (set & ~(1u << COMMAND_SUBMIT | 1u << COMMAND_HOLD | 1u << COMMAND_SAMPLE)) |
	       1u << COMMAND_STOP;
}

unsigned job_legal_commands(struct job *j, enum job_state state, const struct counts *counts)
{
	bool is_draft = j->row.phase == PHASE_DRAFT;
	uint64_t bad = counts->total - counts->good;
	unsigned set = commands_legal((enum phase)j->row.phase, state,
				      is_draft ? j->row.error != NULL : bad > 0);
	const struct backend_ops *ops = j->jobs->o.backend->ops;

	if (!ops->purge)
		set &= ~(1u << COMMAND_PURGE);
	if (purge_is_done(j))
		set &= ~(1u << COMMAND_PURGE | 1u << COMMAND_FETCH);
	if (!ops->pad_record)
		set &= ~(1u << COMMAND_RETRY_PAD);
	if (!ops->run_now)
		set &= ~(1u << COMMAND_RETRY_ONDEMAND | 1u << COMMAND_SAMPLE);
	if ((set & 1u << COMMAND_RETRY) &&
	    legal_retry_how(j, j->row.model ? j->row.model : "", bad) < 0)
		set &= ~(1u << COMMAND_RETRY);
	if (is_draft && job_wishes(j).sample)
		set = legal_during_sample(set);
	return set;
}
