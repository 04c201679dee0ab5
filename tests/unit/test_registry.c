/* The list of jobs: found by number, by name and in order, through growth,
 * renames and removal.  The jobs here are only counted, never looked into. */

#include "fs/job/registry.h"

#include <errno.h>
#include <string.h>

#include "fs/job/jobs_private.h"
#include "tests/unit/cmocka_all.h"

#define MANY 1000

static struct job *fake_jobs(size_t count)
{
	struct job *jobs = calloc(count, sizeof(*jobs));

	assert_non_null(jobs);
	for (size_t i = 0; i < count; i++) {
		atomic_init(&jobs[i].refs, 1); /* ours: never the last to go */
		jobs[i].number = i + 1;
	}
	return jobs;
}

static void assert_refs(struct job *jobs, size_t count, unsigned refs)
{
	for (size_t i = 0; i < count; i++)
		assert_int_equal(atomic_load(&jobs[i].refs), refs);
}

static void name_of(size_t i, char out[16])
{
	snprintf(out, 16, "job %zu", i);
}

static void test_many(void **state)
{
	struct job *jobs = fake_jobs(MANY), *j;
	struct registry g;
	char name[16];
	size_t n = 0;

	(void)state;
	assert_int_equal(registry_init(&g), 0);
	/* Out of order: a slow mkdir may come after a quick one. */
	for (size_t i = 0; i < MANY; i++) {
		size_t k = i ^ 1;

		name_of(k, name);
		assert_int_equal(registry_add(&g, jobs[k].number, name, &jobs[k]), 0);
	}
	assert_int_equal(registry_count(&g), MANY);
	for (size_t i = 0; i < MANY; i++) {
		name_of(i, name);
		j = registry_find(&g, name);
		assert_ptr_equal(j, &jobs[i]);
		job_unref(j);
		j = registry_get(&g, i + 1);
		assert_ptr_equal(j, &jobs[i]);
		job_unref(j);
	}
	for (uint64_t after = 0; (j = registry_after(&g, after)); job_unref(j)) {
		assert_true(j->number > after);
		after = j->number;
		n++;
	}
	assert_int_equal(n, MANY);
	assert_refs(jobs, MANY, 2);
	for (size_t i = 0; i < MANY; i += 2)
		registry_remove(&g, i + 1);
	for (size_t i = 0; i < MANY; i++) {
		name_of(i, name);
		j = registry_find(&g, name);
		assert_ptr_equal(j, i % 2 ? &jobs[i] : NULL);
		job_unref(j);
	}
	registry_release(&g);
	assert_refs(jobs, MANY, 1);
	free(jobs);
}

static void test_names(void **state)
{
	struct job *jobs = fake_jobs(2), *j;
	struct registry g;

	(void)state;
	assert_int_equal(registry_init(&g), 0);
	assert_int_equal(registry_add(&g, 1, "a", &jobs[0]), 0);
	assert_int_equal(registry_add(&g, 2, "a", &jobs[1]), -EEXIST);
	assert_int_equal(registry_count(&g), 1);
	assert_int_equal(registry_add(&g, 2, "b", &jobs[1]), 0);
	assert_int_equal(registry_rename(&g, 2, "a"), -EEXIST);
	assert_int_equal(registry_rename(&g, 3, "c"), -ENOENT);
	assert_int_equal(registry_rename(&g, 2, "c"), 0);
	assert_null(registry_find(&g, "b"));
	j = registry_find(&g, "c");
	assert_ptr_equal(j, &jobs[1]);
	job_unref(j);
	registry_remove(&g, 3); /* not there is fine */
	registry_remove(&g, 2);
	assert_null(registry_get(&g, 2));
	assert_null(registry_after(&g, 1));
	assert_null(registry_after(&g, UINT64_MAX));
	assert_int_equal(registry_add(&g, 2, "c", &jobs[1]), 0); /* the name is free again */
	registry_release(&g);
	free(jobs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests_name("registry", tests, NULL, NULL);
}
