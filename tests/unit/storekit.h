#ifndef TESTS_UNIT_STOREKIT_H
#define TESTS_UNIT_STOREKIT_H

/* What the tests of the job list share: a store in the test's own directory
 * (tests/unit/tempdir.h), a job to put in it, and the last job that is in it. */

#include <string.h>

#include "cache/store.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/tempdir.h"

static inline void storekit_closep(struct store **s)
{
	store_close(*s);
	*s = NULL;
}

static inline struct store *storekit_open(void **state)
{
	struct store *s = NULL;
	struct err e = ERR_INIT;

	if (store_open(tempdir_path(state, "state.db").text, &s, &e) < 0)
		fail_msg("%s", e.text);
	return s;
}

static inline struct store_job storekit_job(const char *name)
{
	struct store_job j = STORE_JOB_INIT;

	j.name = strdup(name);
	j.model = strdup("builtin.echo");
	j.phase = 3;
	j.stop_wanted = true;
	j.attempt = 2;
	j.generation = 7;
	j.record_count = 5;
	j.input_size_bytes = UINT64_MAX; /* the whole range of the type comes back */
	j.counts = (struct counts){5, 3, 1};
	j.tokens = (struct tokens){100, 200};
	j.created_ns = 1700000000123456789;
	for (int i = 0; i < STORE_TIMES; i++)
		j.times_ns[i] = 1000 + i;
	j.names_ns = -1;
	return j;
}

static inline int storekit_keep(void *ctx, const struct store_job *j)
{
	store_job_release(ctx);
	return store_job_copy(ctx, j);
}

static inline struct store_job storekit_last(struct store *s)
{
	struct store_job j = STORE_JOB_INIT;
	struct err e = ERR_INIT;

	assert_int_equal(store_jobs(s, storekit_keep, &j, &e), 0);
	return j;
}

#endif
