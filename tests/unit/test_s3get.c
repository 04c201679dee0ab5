/* Downloads: ranges of one object, and objects that change, come short or damaged. */

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "backend/aws/s3sum.h"
#include "tests/unit/s3kit.h"

#define SIZE	    (3 * S3KIT_PART + 5)
#define ERROR(code) "<Error><Code>" code "</Code><Message>No.</Message></Error>"

struct world {
	char bytes[SIZE], crc[S3SUM_CRC32_SIZE];
	struct s3kit k;
	struct tempdir_name path;
};

static void world_close(struct world *w)
{
	s3kit_close(&w->k);
}

static void world_open(struct world *w, void **state, size_t size, const struct s3kit_rule *rules,
		       size_t count)
{
	for (size_t i = 0; i < SIZE; i++)
		w->bytes[i] = (char)('a' + i % 23);
	s3sum_format(s3sum_crc32(w->bytes, size), w->crc);
	w->k.options.checksums = true;
	w->k.object = (struct s3kit_object){w->bytes, size, "\"e\"", w->crc};
	w->path = tempdir_path(state, "file");
	s3kit_open(&w->k, rules, count);
}

/* The file is what S3 has, and nothing lies beside it. */
static void is_whole(struct world *w, void **state, size_t size, const char *why)
{
	struct tempdir_name tmp = tempdir_path(state, "file.tmp");
	CLEANUP(fd_closep) int fd = open(w->path.text, O_RDONLY | O_CLOEXEC);
	char bytes[SIZE + 1];

	if (fd < 0 || read(fd, bytes, sizeof(bytes)) != (ssize_t)size ||
	    memcmp(bytes, w->bytes, size) != 0)
		fail_msg("%s: not what was sent", why);
	if (access(tmp.text, F_OK) == 0)
		fail_msg("%s: something is left", why);
}

static void is_nothing(struct world *w, void **state, const char *why)
{
	struct tempdir_name tmp = tempdir_path(state, "file.tmp");

	if (access(w->path.text, F_OK) == 0 || access(tmp.text, F_OK) == 0)
		fail_msg("%s: something is left", why);
}

static void test_sizes(void **state)
{
	static const struct {
		size_t size;
		unsigned ranges;
	} rows[] = {{0, 0}, {1, 1}, {S3KIT_PART, 1}, {S3KIT_PART + 1, 2}, {SIZE, 4}};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(world_close) struct world w = {.crc = ""};
		const struct awsserver_request *q;
		struct s3_object o;
		struct err e = ERR_INIT;

		world_open(&w, state, rows[i].size, NULL, 0);
		if (s3_get_file(w.k.s3, "a b", w.path.text, &o, &e) != 0)
			fail_msg("%zu bytes: %s", rows[i].size, e.text);
		is_whole(&w, state, rows[i].size, "right");
		assert_int_equal(o.size, rows[i].size);
		assert_string_equal(o.etag, "\"e\"");
		s3kit_all_signed(&w.k);
		assert_int_equal(s3kit_count(&w.k, "GET", "/bucket/a%20b"), rows[i].ranges);
		q = s3kit_find(&w.k, "HEAD", "/bucket/a%20b", 0);
		assert_string_equal(awsserver_header(q, "x-amz-checksum-mode"), "ENABLED");
		for (unsigned n = 0; n < rows[i].ranges; n++) {
			q = s3kit_find(&w.k, "GET", "", n);
			assert_string_equal(awsserver_header(q, "if-match"), "\"e\"");
			assert_non_null(awsserver_header(q, "range"));
		}
		assert_int_equal(unlink(w.path.text), 0);
	}
}

static void test_what_a_crash_left_is_written_over(void **state)
{
	struct tempdir_name tmp = tempdir_path(state, "file.tmp");
	CLEANUP(fd_closep) int fd = open(tmp.text, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	CLEANUP(world_close) struct world w = {.crc = ""};
	struct err e = ERR_INIT;

	assert_int_equal(ftruncate(fd, 10 * SIZE), 0);
	world_open(&w, state, SIZE, NULL, 0);
	if (s3_get_file(w.k.s3, "k", w.path.text, NULL, &e) != 0)
		fail_msg("%s", e.text);
	is_whole(&w, state, SIZE, "over what was left");
}

static const char other_crc[] = "AAAAAA==";

/* What is answered first, and what becomes of the file. */
static void test_faults(void **state)
{
	static const struct {
		const char *why;
		struct s3kit_rule first;
		int result;
		const char *says;
	} rows[] = {
		{"cut off",
		 {"GET", "", 1, {.status = 206, .body = "12345678", .how = AWSSERVER_CUT}},
		 0,
		 ""},
		{"a connection is lost", {"GET", "", 2, {.how = AWSSERVER_RESET}}, 0, ""},
		{"throttled", {"GET", "", 1, {.status = 503, .body = ERROR("SlowDown")}}, 0, ""},
		{"short, and said to be whole",
		 {"GET",
		  "",
		  1,
		  {.status = 206,
		   .body = "12345",
		   .headers = "Content-Range: bytes 0-4/12293\r\n"}},
		 0,
		 ""},
		{"short for ever",
		 {"GET",
		  "",
		  0,
		  {.status = 206,
		   .body = "12345",
		   .headers = "Content-Range: bytes 0-4/12293\r\n"}},
		 -EAGAIN,
		 "comes short"},
		{"changed meanwhile, once", {"GET", "", 1, {.status = 412}}, 0, ""},
		{"changed all the time", {"GET", "", 0, {.status = 412}}, -ESTALE, "k"},
		{"deleted meanwhile",
		 {"GET", "", 0, {.status = 404, .body = ERROR("NoSuchKey")}},
		 -ENOENT,
		 "no s3://bucket/k"},
		{"may be looked at and not read",
		 {"GET", "", 0, {.status = 403, .body = ERROR("AccessDenied")}},
		 -EACCES,
		 "s3:GetObject is needed on arn:aws:s3:::bucket/k"},
		{"not there",
		 {"HEAD", "/bucket/k", 0, {.status = 404}},
		 -ENOENT,
		 "no s3://bucket/k"},
		{"never works", {"GET", "", 0, {.status = 500}}, -EAGAIN, "k"},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(world_close) struct world w = {.crc = ""};
		struct err e = ERR_INIT;
		int r;

		world_open(&w, state, SIZE, &rows[i].first, 1);
		r = s3_get_file(w.k.s3, "k", w.path.text, NULL, &e);
		if (r != rows[i].result || (r < 0 && !strstr(e.text, rows[i].says)))
			fail_msg("%s: %d (%s)", rows[i].why, r, e.text);
		if (r == 0)
			is_whole(&w, state, SIZE, rows[i].why);
		else
			is_nothing(&w, state, rows[i].why);
		unlink(w.path.text);
	}
}

static void test_damage(void **state)
{
	CLEANUP(world_close) struct world w = {.crc = ""};
	struct err e = ERR_INIT;

	world_open(&w, state, SIZE, NULL, 0);
	w.k.object.crc32 = other_crc;
	assert_int_equal(s3_get_file(w.k.s3, "k", w.path.text, NULL, &e), -EIO);
	assert_non_null(strstr(e.text, "damaged"));
	assert_int_equal(s3kit_count(&w.k, "HEAD", "/bucket/k"), 3);
	is_nothing(&w, state, "damaged");
}

static void test_checksums_of_other_kinds_prove_nothing(void **state)
{
	static const char *const kinds[] = {NULL, "AAAAAA==-4", "nonsense"};

	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		CLEANUP(world_close) struct world w = {.crc = ""};
		struct err e = ERR_INIT;

		world_open(&w, state, SIZE, NULL, 0);
		w.k.object.crc32 = kinds[i];
		if (s3_get_file(w.k.s3, "k", w.path.text, NULL, &e) != 0)
			fail_msg("%s", e.text);
		is_whole(&w, state, SIZE, "without a CRC32");
	}
}

/* Every range is answered with the whole: one that is the whole is taken. */
static void test_a_server_that_knows_no_ranges(void **state)
{
	static const struct s3kit_rule rules[] = {{"GET", "", 0, {.body = "abcd"}}};
	CLEANUP(world_close) struct world one = {.crc = ""};
	CLEANUP(world_close) struct world many = {.crc = ""};
	struct err e = ERR_INIT;

	world_open(&one, state, 4, rules, COUNT_OF(rules));
	if (s3_get_file(one.k.s3, "k", one.path.text, NULL, &e) != 0)
		fail_msg("%s", e.text);
	is_whole(&one, state, 4, "one range");
	world_open(&many, state, SIZE, rules, COUNT_OF(rules));
	assert_int_equal(s3_get_file(many.k.s3, "k", many.path.text, NULL, &e), -EPROTO);
	assert_non_null(strstr(e.text, "does not know ranges"));
}

static void test_ranges_of_other_places_are_not_taken(void **state)
{
	static char page[S3KIT_PART];
	const struct s3kit_rule rules[] = {
		{"GET",
		 "",
		 1,
		 {.status = 206,
		  .body = page,
		  .body_size = sizeof(page),
		  .headers = "Content-Range: bytes 77777-81872/99999\r\n"}}};
	CLEANUP(world_close) struct world w = {.crc = ""};
	struct err e = ERR_INIT;

	world_open(&w, state, SIZE, rules, COUNT_OF(rules));
	if (s3_get_file(w.k.s3, "k", w.path.text, NULL, &e) != 0)
		fail_msg("%s", e.text);
	is_whole(&w, state, SIZE, "another place");
}

static void test_where_it_cannot_be_written(void **state)
{
	CLEANUP(world_close) struct world w = {.crc = ""};
	struct tempdir_name path = tempdir_path(state, "no/such/file");
	struct tempdir_name directory = tempdir_path(state, "directory");
	struct err e = ERR_INIT;

	world_open(&w, state, SIZE, NULL, 0);
	assert_int_equal(s3_get_file(w.k.s3, "k", path.text, NULL, &e), -ENOENT);
	assert_non_null(strstr(e.text, "no/such/file"));
	assert_int_equal(mkdir(directory.text, 0700), 0);
	assert_int_equal(s3_get_file(w.k.s3, "k", directory.text, NULL, &e), -EISDIR);
	is_nothing(&w, state, "a directory");
}

static int setup(void **state)
{
	(void)state;
	return http_global_init(NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, tempdir_setup, tempdir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_sizes),
		TEST(test_what_a_crash_left_is_written_over),
		TEST(test_faults),
		TEST(test_damage),
		TEST(test_checksums_of_other_kinds_prove_nothing),
		TEST(test_a_server_that_knows_no_ranges),
		TEST(test_ranges_of_other_places_are_not_taken),
		TEST(test_where_it_cannot_be_written),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
