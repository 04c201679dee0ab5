/* Checksums as S3 tells them.  Values: computed with zlib and md5sum. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "backend/aws/s3sum.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/tempdir.h"

#define PAGE 4096

static void test_crc32(void **state)
{
	char text[S3SUM_CRC32_SIZE];
	uint32_t crc = 0;

	(void)state;
	assert_int_equal(s3sum_crc32("123456789", 9), 0xcbf43926); /* the check value of CRC-32 */
	assert_int_equal(s3sum_crc32("", 0), 0);
	assert_int_equal(s3sum_join(s3sum_crc32("1234", 4), s3sum_crc32("56789", 5), 5),
			 0xcbf43926);
	assert_int_equal(s3sum_join(0, s3sum_crc32("x", 1), 1), s3sum_crc32("x", 1));
	s3sum_format(0xcbf43926, text);
	assert_string_equal(text, "y/Q5Jg==");
	assert_true(s3sum_parse(text, &crc));
	assert_int_equal(crc, 0xcbf43926);
}

static void test_what_is_no_crc32(void **state)
{
	static const struct {
		const char *why, *text;
	} rows[] = {
		{"none", ""},
		{"of parts", "y/Q5Jg==-3"},
		{"too short", "y/Q5"},
		{"another's padding", "y/Q5JgA="},
		{"not base64", "y/Q!Jg=="},
		{"too long", "y/Q5Jg==y/Q5Jg=="},
	};
	uint32_t crc = 7;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (s3sum_parse(rows[i].text, &crc) || crc != 7)
			fail_msg("%s: taken", rows[i].why);
}

static const struct {
	const char *why, *etag, *crc32;
	bool is;
} pieces[] = {
	{"the MD5", "\"900150983cd24fb0d6963f7d28e17f72\"", "", true},
	{"without quotes", "900150983cd24fb0d6963f7d28e17f72", "", true},
	{"in capitals", "900150983CD24FB0D6963F7D28E17F72", "", true},
	{"another's MD5", "\"d41d8cd98f00b204e9800998ecf8427e\"", "", false},
	{"no MD5", "\"abc\"", "", false},
	{"nothing", "", "", false},
	{"of parts", "\"900150983cd24fb0d6963f7d28e17f72-1\"", "", false},
	{"longer", "\"900150983cd24fb0d6963f7d28e17f7200\"", "", false},
	{"the CRC32 decides (KMS)", "\"d41d8cd98f00b204e9800998ecf8427e\"", "NSRBwg==", true},
	{"the CRC32 decides, also against", "\"900150983cd24fb0d6963f7d28e17f72\"",
	 "AAAAAA==", false},
	{"the CRC32 of parts does not", "\"900150983cd24fb0d6963f7d28e17f72\"", "NSRBwg==-1", true},
};

static void test_pieces(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(pieces); i++)
		if (s3sum_is_piece("abc", 3, pieces[i].etag, pieces[i].crc32) != pieces[i].is)
			fail_msg("%s", pieces[i].why);
}

static int file_of(void **state, const char *bytes, size_t size)
{
	struct tempdir_name path = tempdir_path(state, "f");
	int fd = open(path.text, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, size), size);
	return fd;
}

static bool file_is(int fd, uint64_t size, const char *etag, const char *crc32)
{
	struct err e = ERR_INIT;
	bool is = false;

	assert_int_equal(s3sum_is_file(fd, size, PAGE, etag, crc32, &is, &e), 0);
	return is;
}

static void test_small_files(void **state)
{
	CLEANUP(fd_closep) int fd = file_of(state, "abc", 3);

	for (size_t i = 0; i < COUNT_OF(pieces); i++)
		if (strcmp(pieces[i].why, "of parts") != 0 &&
		    file_is(fd, 3, pieces[i].etag, pieces[i].crc32) != pieces[i].is)
			fail_msg("%s", pieces[i].why);
	assert_true(file_is(fd, 0, "\"d41d8cd98f00b204e9800998ecf8427e\"", ""));
	assert_true(file_is(fd, 0, "", "AAAAAA=="));
}

/* 2 pages and 1 byte of 'a', in parts of a page. */
static void test_files_of_parts(void **state)
{
	static const struct {
		const char *why, *etag, *crc32;
		bool is;
	} rows[] = {
		{"whole", "\"b7652d9bca37038c342cc0c492dd70f9\"", "", true},
		{"three parts", "\"c305ef202d1be826aa677b53762ef07c-3\"", "", true},
		{"three parts, without quotes", "c305ef202d1be826aa677b53762ef07c-3", "", true},
		{"another number of parts", "\"c305ef202d1be826aa677b53762ef07c-2\"", "", false},
		{"other parts", "\"d41d8cd98f00b204e9800998ecf8427e-3\"", "", false},
		{"no number", "\"c305ef202d1be826aa677b53762ef07c-\"", "", false},
		{"more than a number", "\"c305ef202d1be826aa677b53762ef07c-3x\"", "", false},
		{"by CRC32", "", "HgP3fg==", true},
	};
	char bytes[2 * PAGE + 1];
	CLEANUP(fd_closep) int fd = -1;

	memset(bytes, 'a', sizeof(bytes));
	fd = file_of(state, bytes, sizeof(bytes));
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (file_is(fd, sizeof(bytes), rows[i].etag, rows[i].crc32) != rows[i].is)
			fail_msg("%s", rows[i].why);
}

static void test_maps(void **state)
{
	CLEANUP(fd_closep) int fd = file_of(state, "abc", 3);
	struct s3sum_map m = {.bytes = NULL};
	struct err e = ERR_INIT;

	assert_int_equal(s3sum_map(fd, 0, 3, &m, &e), 0);
	assert_memory_equal(m.bytes, "abc", 3);
	s3sum_unmap(&m);
	s3sum_unmap(&m);
	assert_int_equal(s3sum_map(fd, 0, 0, &m, &e), 0);
	assert_string_equal(m.bytes, "");
	assert_int_equal(s3sum_map(-1, 0, 3, &m, &e), -EBADF);
	assert_true(e.text[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crc32),
		cmocka_unit_test(test_what_is_no_crc32),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test_setup_teardown(test_small_files, tempdir_setup, tempdir_teardown),
		cmocka_unit_test_setup_teardown(test_files_of_parts, tempdir_setup,
						tempdir_teardown),
		cmocka_unit_test_setup_teardown(test_maps, tempdir_setup, tempdir_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
