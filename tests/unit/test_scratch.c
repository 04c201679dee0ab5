/* Files without a name, also where their directory was tidied away. */

#include "fs/base/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/unit/cmocka_all.h"
#include "tests/unit/tempdir.h"

static void test_it_has_no_name_and_keeps_what_is_written(void **state)
{
	CLEANUP(fd_closep) int fd = -1;
	struct stat st;
	char text[3];

	assert_int_equal(scratch_open(*state, &fd, NULL), 0);
	assert_int_equal(write(fd, "abc", 3), 3);
	assert_int_equal(pread(fd, text, 3, 0), 3);
	assert_memory_equal(text, "abc", 3);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_nlink, 0);
}

static void test_a_directory_that_is_gone_is_made_again(void **state)
{
	CLEANUP(fd_closep) int fd = -1;
	char dir[512];
	struct stat st;

	snprintf(dir, sizeof(dir), "%s/cache/id/scratch", (const char *)*state);
	assert_int_equal(scratch_open(dir, &fd, NULL), 0);
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
}

static void test_what_cannot_be_made_is_told(void **state)
{
	CLEANUP(fd_closep) int fd = -1;
	struct err e = ERR_INIT;
	char file[512], dir[600];

	snprintf(file, sizeof(file), "%s/file", (const char *)*state);
	fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	fd_closep(&fd);
	snprintf(dir, sizeof(dir), "%s/scratch", file);
	assert_int_equal(scratch_open(dir, &fd, &e), -ENOTDIR);
	assert_non_null(strstr(e.text, dir));
	assert_int_equal(fd, -1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, tempdir_setup, tempdir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_it_has_no_name_and_keeps_what_is_written),
		TEST(test_a_directory_that_is_gone_is_made_again),
		TEST(test_what_cannot_be_made_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
