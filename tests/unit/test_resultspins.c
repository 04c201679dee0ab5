/* When generations are mapped: pins, and the few that stay without one. */

#include "cache/results.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/cmocka_all.h"
#include "tests/unit/tempdir.h"

#define GENERATIONS 8
#define THREADS	    4
#define ROUNDS	    2000

static struct tempdir_name path_of(void **state, int i)
{
	char name[16];

	snprintf(name, sizeof(name), "g%d", i);
	return tempdir_path(state, name);
}

/* Generation i has one record, named after it. */
static void write_one(void **state, int i)
{
	char id[16], line[32];
	struct results_writer *w = NULL;
	struct results_record rec = {.id = id, .outcome = RESULTS_GOOD, .line = line, .text = id};

	rec.id_size = (size_t)snprintf(id, sizeof(id), "id%d", i);
	rec.text_size = rec.id_size;
	rec.line_size = (size_t)snprintf(line, sizeof(line), "{\"n\":%d}", i);
	assert_int_equal(results_writer_new(path_of(state, i).text, 1, &w, NULL), 0);
	assert_int_equal(results_writer_add(w, &rec, NULL), 0);
	assert_int_equal(results_writer_commit(w, NULL), 0);
	results_writer_free(w);
}

static bool is_right(const struct results *r, int i)
{
	char want[32];
	size_t size;
	const char *line = results_line(r, 0, &size);

	snprintf(want, sizeof(want), "{\"n\":%d}\n", i);
	return results_count(r) == 1 && size == strlen(want) && memcmp(line, want, size) == 0;
}

static void test_few_stay_mapped(void **state)
{
	struct results_cache *c = NULL;
	struct results *r[GENERATIONS] = {NULL};

	assert_int_equal(results_cache_new(2, &c), 0);
	for (int i = 0; i < GENERATIONS; i++) {
		write_one(state, i);
		assert_int_equal(results_open(c, path_of(state, i).text, &r[i], NULL), 0);
		assert_int_equal(results_cache_count(c), i < 2 ? i + 1 : 2);
	}
	/* All of those that are in use are, however many. */
	for (int i = 0; i < GENERATIONS; i++)
		assert_int_equal(results_pin(r[i], NULL), 0);
	assert_int_equal(results_cache_count(c), 0);
	for (int i = 0; i < GENERATIONS; i++) {
		assert_int_equal(results_pin(r[i], NULL), 0); /* twice */
		assert_true(is_right(r[i], i));
		results_unpin(r[i]);
	}
	assert_int_equal(results_cache_count(c), 0);
	for (int i = 0; i < GENERATIONS; i++)
		results_unpin(r[i]);
	assert_int_equal(results_cache_count(c), 2);
	for (int i = 0; i < GENERATIONS; i++)
		results_unref(r[i]);
	assert_int_equal(results_cache_count(c), 0);
	results_cache_unref(c);
}

static void test_results_outlive_their_cache(void **state)
{
	struct results_cache *c = NULL;
	struct results *r = NULL;

	write_one(state, 1);
	assert_int_equal(results_cache_new(0, &c), 0);
	assert_int_equal(results_expect(c, path_of(state, 1).text, &r, NULL), 0);
	results_cache_unref(c);
	assert_int_equal(results_pin(r, NULL), 0);
	assert_true(is_right(r, 1));
	results_unpin(r);
	results_unref(r);
}

static void test_what_is_not_whole(void **state)
{
	CLEANUP(str_freep) char *file = NULL;
	struct results_cache *c = NULL;
	struct results *r = NULL;
	struct err e = ERR_INIT;

	assert_int_equal(results_cache_new(2, &c), 0);
	assert_int_equal(results_expect(c, path_of(state, 1).text, &r, &e), -ENOENT);
	assert_non_null(strstr(e.text, "cannot open the results"));
	write_one(state, 1);
	assert_int_equal(results_expect(c, path_of(state, 1).text, &r, NULL), 0);
	assert_true(asprintf(&file, "%s/hash.dat", path_of(state, 1).text) > 0);
	assert_int_equal(truncate(file, 1), 0);
	assert_int_equal(results_pin(r, &e), -EUCLEAN);
	assert_non_null(strstr(e.text, "hash.dat has a wrong size"));
	assert_int_equal(results_cache_count(c), 0);
	/* Made anew in its place it is found by who expects it. */
	write_one(state, 2);
	assert_int_equal(unlink(file), 0);
	assert_int_equal(results_pin(r, &e), -EUCLEAN);
	assert_non_null(strstr(e.text, "hash.dat is missing"));
	results_unref(r);
	assert_int_equal(results_open(c, path_of(state, 3).text, &r, &e), -ENOENT);
	results_cache_unref(c);
}

/* A view of an earlier time holds it while its files are replaced. */
static void test_pinned_while_replaced(void **state)
{
	struct results_cache *c = NULL;
	struct results *r = NULL;

	assert_int_equal(results_cache_new(0, &c), 0);
	write_one(state, 1);
	write_one(state, 2);
	assert_int_equal(results_open(c, path_of(state, 1).text, &r, NULL), 0);
	assert_int_equal(results_pin(r, NULL), 0);
	assert_int_equal(rename(path_of(state, 1).text, path_of(state, 3).text), 0);
	assert_int_equal(rename(path_of(state, 2).text, path_of(state, 1).text), 0);
	assert_int_equal(results_pin(r, NULL), 0);
	assert_true(is_right(r, 1));
	results_unpin(r);
	results_unpin(r);
	assert_int_equal(results_pin(r, NULL), 0);
	assert_true(is_right(r, 2));
	results_unpin(r);
	results_unref(r);
	results_cache_unref(c);
}

struct shared {
	struct results *r[GENERATIONS];
	unsigned seed; /* a thread's own */
};

static void *pin_and_look(void *arg)
{
	struct shared *s = arg;
	intptr_t wrong = 0;

	for (int k = 0; k < ROUNDS; k++) {
		int i = (int)((s->seed = s->seed * 1103515245 + 12345) >> 16) % GENERATIONS;

		i = i < 0 ? -i : i;
		if (results_pin(s->r[i], NULL) < 0) {
			wrong++;
			continue;
		}
		wrong += !is_right(s->r[i], i);
		results_unpin(s->r[i]);
	}
	return (void *)wrong;
}

static void test_threads(void **state)
{
	struct results_cache *c = NULL;
	struct shared s[THREADS] = {{.seed = 1}};
	pthread_t threads[THREADS];
	void *wrong;

	assert_int_equal(results_cache_new(3, &c), 0);
	for (int i = 0; i < GENERATIONS; i++) {
		write_one(state, i);
		assert_int_equal(results_expect(c, path_of(state, i).text, &s[0].r[i], NULL), 0);
	}
	for (unsigned t = 0; t < THREADS; t++) {
		s[t] = s[0];
		s[t].seed = t * 7919 + 1;
	}
	for (int t = 0; t < THREADS; t++)
		assert_int_equal(pthread_create(&threads[t], NULL, pin_and_look, &s[t]), 0);
	for (int t = 0; t < THREADS; t++) {
		assert_int_equal(pthread_join(threads[t], &wrong), 0);
		assert_null(wrong);
	}
	assert_int_equal(results_cache_count(c), 3);
	for (int i = 0; i < GENERATIONS; i++)
		results_unref(s[0].r[i]);
	results_cache_unref(c);
}

#define IN_TEMPDIR(test) cmocka_unit_test_setup_teardown(test, tempdir_setup, tempdir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_TEMPDIR(test_few_stay_mapped),   IN_TEMPDIR(test_results_outlive_their_cache),
		IN_TEMPDIR(test_what_is_not_whole), IN_TEMPDIR(test_pinned_while_replaced),
		IN_TEMPDIR(test_threads),
	};

	return cmocka_run_group_tests_name("resultspins", tests, NULL, NULL);
}
