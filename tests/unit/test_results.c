/* Results: what is written is found again by name and by number, names cannot
 * leave their directory, and no damage makes a reader read elsewhere. */

#include "cache/results.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "cache/results_format.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/tempdir.h"

static void unrefp(struct results **r)
{
	results_unref(*r);
	*r = NULL;
}

static void writer_freep(struct results_writer **w)
{
	results_writer_free(*w);
	*w = NULL;
}

static struct results_writer *start(void **state, uint64_t hint)
{
	struct results_writer *w = NULL;
	struct err e = ERR_INIT;

	if (results_writer_new(tempdir_path(state, "g1").text, hint, &w, &e) < 0)
		fail_msg("%s", e.text);
	return w;
}

static void add(struct results_writer *w, const char *id, enum results_outcome outcome,
		const char *line, const char *text)
{
	const struct results_record rec = {.id = id,
					   .id_size = strlen(id),
					   .outcome = outcome,
					   .line = line,
					   .line_size = strlen(line),
					   .text = text,
					   .text_size = strlen(text),
					   .tokens = {2, 3}};

	assert_int_equal(results_writer_add(w, &rec, NULL), 0);
}

static void write_three(void **state)
{
	CLEANUP(writer_freep) struct results_writer *w = start(state, 3);

	add(w, "a", RESULTS_GOOD, "{\"a\":1}", "Hello\n");
	add(w, "b/c", RESULTS_FAILED, "{\"b\":2}", "never");
	add(w, "d", RESULTS_MISSING, "never", "never");
	add(w, "e", RESULTS_GOOD, "{\"e\":1}", "");
	assert_int_equal(results_writer_append(w, RESULTS_ERRORS, "err\n", 4, NULL), 0);
	assert_int_equal(results_writer_append(w, RESULTS_CSV, "x,", 2, NULL), 0);
	assert_int_equal(results_writer_append(w, RESULTS_CSV, "y\r\n", 3, NULL), 0);
	assert_int_equal(results_writer_commit(w, NULL), 0);
}

static struct results *open_ok(void **state)
{
	struct results *r = NULL;
	struct err e = ERR_INIT;

	if (results_open(NULL, tempdir_path(state, "g1").text, &r, &e) < 0)
		fail_msg("%s", e.text);
	return r;
}

static void assert_slice(const char *at, size_t size, const char *want)
{
	assert_int_equal(size, strlen(want));
	assert_memory_equal(at, want, size);
}

static void test_comes_back(void **state)
{
	static const struct {
		const char *name, *line, *text;
		enum results_outcome outcome;
	} want[] = {
		{"a", "{\"a\":1}\n", "Hello\n", RESULTS_GOOD},
		{"b%2Fc", "{\"b\":2}\n", "", RESULTS_FAILED},
		{"d", "", "", RESULTS_MISSING},
		{"e", "{\"e\":1}\n", "", RESULTS_GOOD},
	};
	CLEANUP(unrefp) struct results *r = NULL;
	uint64_t size, index;
	const char *at;
	size_t n;

	write_three(state);
	r = open_ok(state);
	assert_int_equal(results_count(r), 4);
	assert_int_equal(results_counts(r).total, 4);
	assert_int_equal(results_counts(r).good, 2);
	assert_int_equal(results_counts(r).failed, 1);
	assert_int_equal(results_tokens(r).input, 8);
	assert_int_equal(results_tokens(r).output, 12);
	for (uint64_t i = 0; i < COUNT_OF(want); i++) {
		assert_int_equal(results_outcome(r, i), want[i].outcome);
		at = results_name(r, i, &n);
		assert_slice(at, n, want[i].name);
		at = results_line(r, i, &n);
		assert_slice(at, n, want[i].line);
		at = results_text(r, i, &n);
		assert_slice(at, n, want[i].text);
		assert_true(results_find(r, want[i].name, strlen(want[i].name), &index));
		assert_int_equal(index, i);
	}
	at = results_bytes(r, RESULTS_OUTPUT, &size);
	assert_slice(at, size, "{\"a\":1}\n{\"b\":2}\n{\"e\":1}\n");
	at = results_bytes(r, RESULTS_CSV, &size);
	assert_slice(at, size, "x,y\r\n");
	at = results_bytes(r, RESULTS_ERRORS, &size);
	assert_slice(at, size, "err\n");
	results_bytes(r, RESULTS_RETRY, &size);
	assert_int_equal(size, 0);

	assert_false(results_find(r, "b/c", 3, &index));
	assert_false(results_find(r, "", 0, &index));
	results_name(r, 4, &n);
	assert_int_equal(n, 0);
	assert_int_equal(results_outcome(r, UINT64_MAX), RESULTS_MISSING);
	results_line(r, UINT64_MAX, &n);
	assert_int_equal(n, 0);
}

static void test_names(void **state)
{
	static const struct {
		const char *why, *id;
		size_t id_size;
		const char *name;
	} rows[] = {
		{"plain", "A-z_0.9", 7, "A-z_0.9"},
		{"a way out", "../../etc/passwd", 16, "%2E.%2F..%2Fetc%2Fpasswd"},
		{"this directory", ".", 1, "%2E"},
		{"the one above", "..", 2, "%2E."},
		{"hidden", ".x", 2, "%2Ex"},
		{"a NUL", "a\0b", 3, "a%00b"},
		{"looks encoded", "%2E", 3, "%252E"},
		{"the mark of a cut name", "a~b", 3, "a%7Eb"},
		{"blanks and newlines", " \n", 2, "%20%0A"},
		{"UTF-8", "\xc3\xa4", 2, "%C3%A4"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(buf_release) struct buf name;

		buf_init(&name, 1000);
		results_encode_name(&name, rows[i].id, rows[i].id_size);
		if (strcmp(name.data, rows[i].name) != 0)
			fail_msg("%s: %s", rows[i].why, name.data);
	}
}

static void test_long_names(void **state)
{
	char id[512];

	(void)state;
	for (size_t size = 150; size <= sizeof(id); size++) {
		for (int slashes = 0; slashes < 2; slashes++) {
			CLEANUP(buf_release) struct buf one;
			CLEANUP(buf_release) struct buf two;
			size_t encoded = slashes ? 3 * size : size;

			buf_init(&one, 1000);
			buf_init(&two, 1000);
			memset(id, slashes ? '/' : 'x', size);
			results_encode_name(&one, id, size);
			id[size - 1] = '_';
			results_encode_name(&two, id, size);
			assert_true(one.size <= RESULTS_NAME_MAX);
			assert_string_not_equal(one.data, two.data);
			if (encoded <= RESULTS_NAME_MAX)
				assert_int_equal(one.size, encoded);
			else
				assert_int_equal(one.data[one.size - 17], '~');
		}
	}
}

static void test_empty(void **state)
{
	CLEANUP(writer_freep) struct results_writer *w = start(state, 0);
	CLEANUP(unrefp) struct results *r = NULL;
	uint64_t index;
	size_t n;

	assert_int_equal(results_writer_commit(w, NULL), 0);
	r = open_ok(state);
	assert_int_equal(results_count(r), 0);
	assert_false(results_find(r, "a", 1, &index));
	results_name(r, 0, &n);
	assert_int_equal(n, 0);
}

static void test_refused(void **state)
{
	CLEANUP(writer_freep) struct results_writer *w = start(state, 0);
	struct results *r = NULL;
	struct err e = ERR_INIT;
	const struct results_record nameless = {.id = "", .id_size = 0};

	assert_int_equal(results_open(NULL, tempdir_path(state, "g1").text, &r, &e), -ENOENT);
	assert_int_equal(results_writer_add(w, &nameless, &e), -EINVAL);
	assert_int_equal(results_writer_commit(w, &e), -EINVAL); /* an error is kept */
	assert_int_equal(results_open(NULL, tempdir_path(state, "g1").text, &r, &e), -ENOENT);
	writer_freep(&w);
	assert_int_equal(access(tempdir_path(state, "g1.tmp").text, F_OK), -1);

	w = start(state, 0);
	add(w, "same", RESULTS_MISSING, "", "");
	add(w, "other", RESULTS_MISSING, "", "");
	add(w, "same", RESULTS_MISSING, "", "");
	assert_int_equal(results_writer_commit(w, &e), -EEXIST);
	assert_int_equal(results_open(NULL, tempdir_path(state, "g1").text, &r, &e), -ENOENT);
	assert_int_equal(results_open(NULL, tempdir_path(state, "g1/x").text, &r, &e), -ENOENT);
}

static void test_what_a_kill_left_is_replaced(void **state)
{
	CLEANUP(unrefp) struct results *old = NULL;
	CLEANUP(unrefp) struct results *r = NULL;
	CLEANUP(writer_freep) struct results_writer *w = NULL;
	const char *text;
	size_t n;

	assert_int_equal(mkdir(tempdir_path(state, "g1.tmp").text, 0700), 0);
	assert_int_equal(mkdir(tempdir_path(state, "g1.tmp/index.dat").text, 0700), 0);
	write_three(state);
	old = open_ok(state);
	/* A generation made anew takes the name; who reads the old one goes on. */
	w = start(state, 1);
	add(w, "a", RESULTS_GOOD, "{}", "New\n");
	assert_int_equal(results_writer_commit(w, NULL), 0);
	r = open_ok(state);
	results_unref(results_ref(r));
	text = results_text(r, 0, &n);
	assert_slice(text, n, "New\n");
	text = results_text(old, 0, &n);
	assert_slice(text, n, "Hello\n");
}

static void test_many(void **state)
{
	enum {
		COUNT = 200000
	};
	CLEANUP(writer_freep) struct results_writer *w = start(state, COUNT);
	CLEANUP(unrefp) struct results *r = NULL;
	char id[32], line[64], text[64];
	const char *at;
	uint64_t index;
	size_t n;

	for (int i = 0; i < COUNT; i++) {
		snprintf(id, sizeof(id), "rec %07d", i);
		snprintf(line, sizeof(line), "{\"n\":%d}", i);
		snprintf(text, sizeof(text), "text %d\n", i);
		add(w, id, RESULTS_GOOD, line, text);
	}
	assert_int_equal(results_writer_commit(w, NULL), 0);
	r = open_ok(state);
	for (int i = 0; i < COUNT; i += 97) {
		snprintf(id, sizeof(id), "rec%%20%07d", i);
		snprintf(text, sizeof(text), "text %d\n", i);
		assert_true(results_find(r, id, strlen(id), &index));
		assert_int_equal(index, i);
		at = results_text(r, index, &n);
		assert_slice(at, n, text);
	}
	assert_false(results_find(r, "rec%20", 6, &index));
}

static void test_big_lines(void **state)
{
	CLEANUP(writer_freep) struct results_writer *w = start(state, 2);
	CLEANUP(unrefp) struct results *r = NULL;
	const size_t size = 300000; /* above the writer's buffer */
	CLEANUP(str_freep) char *big = malloc(size + 1);
	const char *at;
	size_t n;

	assert_non_null(big);
	memset(big, 'x', size);
	big[size] = '\0';
	add(w, "a", RESULTS_GOOD, "{}", "one\n");
	add(w, "b", RESULTS_GOOD, big, big);
	add(w, "c", RESULTS_GOOD, "{}", "three\n");
	assert_int_equal(results_writer_commit(w, NULL), 0);
	r = open_ok(state);
	at = results_line(r, 1, &n);
	assert_int_equal(n, size + 1);
	assert_memory_equal(at, big, size);
	at = results_text(r, 2, &n);
	assert_slice(at, n, "three\n");
}

/* --- damage --- */

static void overwrite(const char *path, uint64_t offset, const void *bytes, size_t size)
{
	int fd = open(path, O_WRONLY);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, size, (off_t)offset), size);
	close(fd);
}

static void test_damaged_files_are_refused(void **state)
{
	static const char *const files[] = RESULTS_FILE_NAMES;
	struct results *r = NULL;
	struct err e = ERR_INIT;
	char name[32];

	for (size_t i = 0; i < COUNT_OF(files); i++) {
		struct tempdir_name path;
		struct stat st;

		snprintf(name, sizeof(name), "g1/%s", files[i]);
		path = tempdir_path(state, name);
		write_three(state);
		assert_int_equal(stat(path.text, &st), 0);
		assert_int_equal(truncate(path.text, st.st_size + 1), 0);
		assert_int_equal(results_open(NULL, tempdir_path(state, "g1").text, &r, &e),
				 -EUCLEAN);
		if (st.st_size) {
			assert_int_equal(truncate(path.text, st.st_size / 2), 0);
			assert_int_equal(results_open(NULL, tempdir_path(state, "g1").text, &r, &e),
					 -EUCLEAN);
			assert_int_equal(truncate(path.text, 0), 0);
			assert_int_equal(results_open(NULL, tempdir_path(state, "g1").text, &r, &e),
					 -EUCLEAN);
		}
		assert_int_equal(unlink(path.text), 0);
		assert_int_equal(results_open(NULL, tempdir_path(state, "g1").text, &r, &e),
				 -EUCLEAN);
		assert_int_equal(mkdir(path.text, 0700), 0);
		assert_int_equal(results_open(NULL, tempdir_path(state, "g1").text, &r, &e),
				 -EUCLEAN);
	}
	write_three(state);
	for (uint64_t at = 0; at < sizeof(struct results_header); at++) {
		unsigned char byte;
		int fd = open(tempdir_path(state, "g1/index.dat").text, O_RDWR);

		assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
		byte ^= 0x40;
		assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
		assert_int_equal(results_open(NULL, tempdir_path(state, "g1").text, &r, &e),
				 -EUCLEAN);
		byte ^= 0x40;
		assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
		close(fd);
	}
	r = open_ok(state);
	results_unref(r);
}

static uint64_t touch(const char *at, size_t size)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < size; i++)
		sum += (unsigned char)at[i];
	return sum;
}

/* Index and table full of nonsense of the right size: every answer may be
 * wrong, but each is inside the files (the sanitizer's word) and each comes. */
static void test_nonsense_stays_inside(void **state)
{
	struct tempdir_name index = tempdir_path(state, "g1/index.dat"),
			    hash = tempdir_path(state, "g1/hash.dat");
	uint64_t x = 88172645463325252u, found, sum = 0;

	write_three(state);
	for (int round = 0; round < 300; round++) {
		CLEANUP(unrefp) struct results *r = NULL;
		uint64_t words[15];
		size_t n;
		const char *at;

		for (size_t i = 0; i < COUNT_OF(words); i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			words[i] = round % 3 == 0 ? x : x % 40 | (x & UINT64_C(3) << 62);
		}
		overwrite(index.text, sizeof(struct results_header), words, 5 * 24);
		overwrite(hash.text, 0, words, sizeof(words));
		overwrite(hash.text, 120, words, 8); /* no empty slot */
		r = open_ok(state);
		for (uint64_t i = 0; i < 6; i++) {
			at = results_name(r, i, &n);
			sum += touch(at, n);
			at = results_line(r, i, &n);
			sum += touch(at, n);
			at = results_text(r, i, &n);
			sum += touch(at, n);
		}
		results_find(r, "a", 1, &found);
	}
	assert_true(sum != 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, tempdir_setup, tempdir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_comes_back),
		TEST(test_names),
		TEST(test_long_names),
		TEST(test_empty),
		TEST(test_refused),
		TEST(test_what_a_kill_left_is_replaced),
		TEST(test_many),
		TEST(test_big_lines),
		TEST(test_damaged_files_are_refused),
		TEST(test_nonsense_stays_inside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
