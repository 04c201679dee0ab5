#ifndef TESTS_UNIT_TEMPDIR_H
#define TESTS_UNIT_TEMPDIR_H

/*
 * A directory of its own for each test, gone afterwards: give tempdir_setup
 * and tempdir_teardown to cmocka_unit_test_setup_teardown(); *state is then
 * the path, and tempdir_path() a name in it.
 */

#include <assert.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline int tempdir_setup(void **state)
{
	char *path = NULL;

	if (asprintf(&path, "/tmp/batchfs-unit-XXXXXX") < 0 || !mkdtemp(path))
		return -1;
	*state = path;
	return 0;
}

static inline int tempdir_remove_one(const char *path, const struct stat *st, int type,
				     struct FTW *where)
{
	(void)st;
	(void)type;
	(void)where;
	return remove(path);
}

static inline int tempdir_teardown(void **state)
{
	nftw(*state, tempdir_remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(*state);
	return 0;
}

struct tempdir_name {
	char text[PATH_MAX];
};

static inline struct tempdir_name tempdir_path(void **state, const char *name)
{
	struct tempdir_name path;
	int n = snprintf(path.text, sizeof(path.text), "%s/%s", (const char *)*state, name);

	assert(n > 0 && (size_t)n < sizeof(path.text));
	(void)n;
	return path;
}

#endif
