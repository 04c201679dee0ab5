/*
 * The tombstones of an `rm -r` that has not come to its rmdir yet: names that
 * are hidden for a while, and come back.  All under the job's mutex.
 */

#include <errno.h>
#include <stdlib.h>

#include "fs/job/jobs_private.h"

/* Forgets tombs whose time is over. */
static struct tombs *tombs_locked(struct job *j)
{
	struct tombs *t = &j->tombs;

	if (t->until_ns && t->until_ns <= clock_mono_ns(j->jobs->o.clock)) {
		for (int i = 0; i < JOB_RECORDS_COUNT; i++)
			free(t->records[i]);
		*t = (struct tombs){0};
	}
	return t;
}

static void extend_locked(struct job *j)
{
	j->tombs.until_ns = clock_mono_ns(j->jobs->o.clock) + JOB_HIDE_NS;
}

int job_may_unlink(struct job *j)
{
	enum job_state s;

	pthread_mutex_lock(&j->mutex);
	s = j->view->state;
	pthread_mutex_unlock(&j->mutex);
	return s >= JOB_UPLOADING && !job_state_is_end(s) ? -EBUSY : 0;
}

void job_hide_name(struct job *j, unsigned name)
{
	pthread_mutex_lock(&j->mutex);
	tombs_locked(j)->names |= UINT64_C(1) << name;
	extend_locked(j);
	pthread_mutex_unlock(&j->mutex);
}

int job_hide_record(struct job *j, enum job_records dir, uint64_t record)
{
	struct tombs *t;
	uint64_t count;
	int r = 0;

	pthread_mutex_lock(&j->mutex);
	t = tombs_locked(j);
	count = j->view->results ? j->view->record_count : 0;
	if (record >= count) {
		r = -ENOENT;
	} else if (!t->records[dir]) {
		t->records[dir] = calloc(count / 8 + 1, 1);
		t->record_capacity = count;
		r = t->records[dir] ? 0 : -ENOMEM;
	}
	if (r == 0 && record < t->record_capacity) {
		uint8_t *byte = &t->records[dir][record / 8], bit = (uint8_t)(1 << record % 8);

		t->record_count[dir] += !(*byte & bit);
		*byte |= bit;
		extend_locked(j);
	}
	pthread_mutex_unlock(&j->mutex);
	return r;
}

bool job_is_name_hidden(struct job *j, unsigned name)
{
	bool hidden;

	pthread_mutex_lock(&j->mutex);
	hidden = tombs_locked(j)->names >> name & 1;
	pthread_mutex_unlock(&j->mutex);
	return hidden;
}

bool job_is_record_hidden(struct job *j, enum job_records dir, uint64_t record)
{
	const struct tombs *t;
	bool hidden;

	pthread_mutex_lock(&j->mutex);
	t = tombs_locked(j);
	hidden = t->records[dir] && record < t->record_capacity &&
		 (t->records[dir][record / 8] >> record % 8 & 1);
	pthread_mutex_unlock(&j->mutex);
	return hidden;
}

uint64_t job_hidden_records(struct job *j, enum job_records dir)
{
	uint64_t n;

	pthread_mutex_lock(&j->mutex);
	n = tombs_locked(j)->record_count[dir];
	pthread_mutex_unlock(&j->mutex);
	return n;
}

int64_t job_hide_until(struct job *j)
{
	int64_t until;

	pthread_mutex_lock(&j->mutex);
	tombs_locked(j);
	extend_locked(j);
	until = j->tombs.until_ns;
	pthread_mutex_unlock(&j->mutex);
	return until;
}
