/* A file that is there whole or not at all. */

#include "fs/base/newfile.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/unit/cmocka_all.h"
#include "tests/unit/tempdir.h"

static void assert_file(const char *path, const char *want)
{
	CLEANUP(file_closep) FILE *f = fopen(path, "re");
	char text[100] = "";

	assert_non_null(f);
	assert_int_equal(fread(text, 1, sizeof(text) - 1, f), strlen(want));
	assert_string_equal(text, want);
}

static void test_whole(void **state)
{
	struct tempdir_name path = tempdir_path(state, "f"), tmp = tempdir_path(state, "f.tmp");

	for (int i = 0; i < 2; i++) {
		struct newfile f = NEWFILE_INIT;

		assert_false(newfile_is_open(&f));
		assert_int_equal(newfile_open(path.text, &f, NULL), 0);
		assert_true(newfile_is_open(&f));
		assert_int_equal(newfile_write(&f, i ? "two" : "one", 3, NULL), 0);
		assert_int_equal(access(tmp.text, F_OK), 0);
		assert_int_equal(newfile_commit(&f, NULL), 0);
		assert_false(newfile_is_open(&f));
		newfile_release(&f);
		assert_file(path.text, i ? "two" : "one");
		assert_int_equal(access(tmp.text, F_OK), -1);
	}
}

static void test_not_at_all(void **state)
{
	struct tempdir_name path = tempdir_path(state, "f"), tmp = tempdir_path(state, "f.tmp");
	struct newfile f = NEWFILE_INIT;

	assert_int_equal(newfile_open(path.text, &f, NULL), 0);
	assert_int_equal(newfile_write(&f, "one", 3, NULL), 0);
	newfile_release(&f);
	assert_int_equal(access(path.text, F_OK), -1);
	assert_int_equal(access(tmp.text, F_OK), -1);
}

/* What an interrupted try left is longer. */
static void test_a_torn_try(void **state)
{
	struct tempdir_name path = tempdir_path(state, "f"), tmp = tempdir_path(state, "f.tmp");
	struct newfile f = NEWFILE_INIT;
	FILE *old = fopen(tmp.text, "we");

	assert_non_null(old);
	fputs("much longer than what comes", old);
	fclose(old);
	assert_int_equal(newfile_open(path.text, &f, NULL), 0);
	assert_int_equal(newfile_write(&f, "one", 3, NULL), 0);
	assert_int_equal(newfile_commit(&f, NULL), 0);
	assert_file(path.text, "one");
}

static void test_failures(void **state)
{
	const struct rlimit none = {2, RLIM_INFINITY};
	struct tempdir_name path = tempdir_path(state, "f");
	struct newfile f = NEWFILE_INIT;
	struct err e = ERR_INIT;
	struct rlimit before;
	int r;

	assert_int_equal(newfile_open(tempdir_path(state, "no/dir").text, &f, &e), -ENOENT);
	assert_false(newfile_is_open(&f));
	assert_int_equal(newfile_publish(path.text, path.text), -ENOENT);
	assert_int_equal(newfile_open(path.text, &f, &e), 0);
	assert_int_equal(newfile_write(&f, "one", 3, &e), 0); /* held back */
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	r = newfile_commit(&f, &e);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(r, -EFBIG);
	assert_non_null(strstr(e.text, path.text));
	newfile_release(&f);
	assert_int_equal(access(path.text, F_OK), -1);
	assert_int_equal(access(tempdir_path(state, "f.tmp").text, F_OK), -1);
}

#define IN_TEMPDIR(test) cmocka_unit_test_setup_teardown(test, tempdir_setup, tempdir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_TEMPDIR(test_whole),
		IN_TEMPDIR(test_not_at_all),
		IN_TEMPDIR(test_a_torn_try),
		IN_TEMPDIR(test_failures),
	};

	return cmocka_run_group_tests_name("newfile", tests, NULL, NULL);
}
