/* The running check of an input: bytes in order, out of order, cut, and read again. */

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fs/base/scratch.h"
#include "fs/job/input.h"
#include "tests/unit/cmocka_all.h"

#define M "\"modelInput\":{}"

static void free_input(struct input **in)
{
	input_free(*in);
}

static struct input *new_input(void)
{
	struct input *in = NULL;

	assert_int_equal(input_new("/tmp", &in, NULL), 0);
	return in;
}

static int new_file(const char *content)
{
	int fd = -1;

	assert_int_equal(scratch_open("/tmp", &fd, NULL), 0);
	assert_int_equal(pwrite(fd, content, strlen(content), 0), strlen(content));
	return fd;
}

static void write_all(struct input *in, const char *text)
{
	input_written(in, input_size_bytes(in), text, strlen(text));
}

static const struct {
	const char *why, *text;
	bool has_fault; /* already before the commit */
	bool is_valid, is_canonical;
	uint64_t records;
	const char *words;
} rows[] = {
	{"the usual", "{\"recordId\":\"a\"," M "}\n{\"recordId\":\"b\"," M "}\n", false, true, true,
	 2, ""},
	{"an empty file", "", false, false, false, 0,
	 "input.jsonl:1:1: the file is empty; write one record a line: "
	 "{\"recordId\":\"...\",\"modelInput\":{...}}\n"},
	{"no ids", "{" M "}\n{" M "}\n", false, true, false, 2, ""},
	{"CR LF", "{\"recordId\":\"a\"," M "}\r\n", false, true, false, 1, ""},
	{"no newline at the end", "{\"recordId\":\"a\"," M "}\n{\"recordId\":\"b\"," M "}", false,
	 true, false, 2, ""},
	{"cut at the end", "{" M "}\n{\"model", false, false, false, 1,
	 "input.jsonl:2:8: the last line ends in the middle of a record; the program that wrote "
	 "the file did not finish: write the rest of the record, or remove the line\n"},
	{"a fault does not hide its neighbours", "{" M "}\n\n{" M "}\n", true, false, false, 2,
	 "input.jsonl:2:1: an empty line; remove it: each line must be a record\n"},
	{"an id twice", "{\"recordId\":\"x\"," M "}\n{" M "}\n{\"recordId\":\"x\"," M "}\n", true,
	 false, false, 2,
	 "input.jsonl:3:1: recordId \"x\" was used on line 1 already; ids must be unique\n"},
	{"lines are counted with faulty ones",
	 "\n{\"recordId\":\"y\"," M "}\n[]\n{\"recordId\":\"x\"," M "}\n\n"
	 "{\"recordId\":\"x\"," M "}\n{\"recordId\":\"y\"," M "}\n",
	 true, false, false, 2,
	 "input.jsonl:1:1: an empty line; remove it: each line must be a record\n"
	 "input.jsonl:3:1: the line begins with a list bracket; JSON Lines wants one object a "
	 "line: no [ ] around the records and no commas between them\n"
	 "input.jsonl:5:1: an empty line; remove it: each line must be a record\n"
	 "input.jsonl:6:1: recordId \"x\" was used on line 4 already; ids must be unique\n"
	 "input.jsonl:7:1: recordId \"y\" was used on line 2 already; ids must be unique\n"},
	{"an id twice, the second without newline",
	 "{\"recordId\":\"x\"," M "}\n{\"recordId\":\"x\"," M "}", false, false, false, 1,
	 "input.jsonl:2:1: recordId \"x\" was used on line 1 already; ids must be unique\n"},
	{"an id we would give", "{\"recordId\":\"r0000002\"," M "}\n{" M "}\n", true, false, false,
	 1,
	 "input.jsonl:2:1: this record has no recordId and would get \"r0000002\", which is used "
	 "on line 1 already; give every record a recordId\n"},
	{"an id we gave", "{" M "}\n{\"recordId\":\"r0000001\"," M "}\n", true, false, false, 1,
	 "input.jsonl:2:1: recordId \"r0000001\" was used on line 1 already; ids must be unique\n"},
	{"an id that is the same after decoding",
	 "{\"recordId\":\"a\"," M "}\n{\"recordId\":\"\\u0061\"," M "}\n", true, false, false, 1,
	 "input.jsonl:2:1: recordId \"a\" was used on line 1 already; ids must be unique\n"},
};

static void check_row(size_t i, const struct input *in)
{
	CLEANUP(buf_release) struct buf words;

	buf_init(&words, 100000);
	input_describe_faults(in, &words);
	if (strcmp(words.data, rows[i].words) != 0)
		fail_msg("%s:\n%s", rows[i].why, words.data);
	if (input_has_fault(in) != rows[i].has_fault || input_is_valid(in) != rows[i].is_valid ||
	    input_is_canonical(in) != rows[i].is_canonical ||
	    input_record_count(in) != rows[i].records ||
	    (input_fault_count(in) == 0) != rows[i].is_valid)
		fail_msg("%s", rows[i].why);
	assert_true(input_is_current(in, strlen(rows[i].text)));
	assert_int_equal(input_size_bytes(in), strlen(rows[i].text));
}

/* In one write, byte by byte, again after a reset, and read from a file. */
static void test_verdicts(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(free_input) struct input *in = new_input();
		CLEANUP(fd_closep) int fd = new_file(rows[i].text);

		write_all(in, rows[i].text);
		check_row(i, in);
		input_reset(in);
		for (size_t k = 0; k < strlen(rows[i].text); k++)
			input_written(in, k, rows[i].text + k, 1);
		check_row(i, in);
		assert_int_equal(input_rescan(in, fd, NULL, NULL), 0);
		check_row(i, in);
	}
}

static void test_locate(void **state)
{
	static const char text[] = "{\"recordId\":\"a\"," M "}\n {" M "}\r\n{" M ",\"x\":12}";
	static const struct {
		uint64_t offset, size;
		bool has_id;
		const char *id;
	} lines[] = {{0, 32, true, "a"}, {33, 18, false, "r0000002"}, {53, 24, false, "r0000003"}};
	CLEANUP(free_input) struct input *in = new_input();
	uint64_t offset, size, index;
	bool has_id;

	(void)state;
	write_all(in, text);
	assert_int_equal(input_record_count(in), 3);
	for (uint64_t i = 0; i < 3; i++) {
		assert_int_equal(input_locate(in, i, &offset, &size), 0);
		assert_int_equal(offset, lines[i].offset);
		assert_int_equal(size, lines[i].size);
		assert_int_equal(input_has_id(in, i, &has_id), 0);
		assert_int_equal(has_id, lines[i].has_id);
		assert_true(input_find(in, lines[i].id, strlen(lines[i].id), &index));
		assert_int_equal(index, i);
	}
	assert_int_equal(input_locate(in, 3, &offset, &size), -ENOENT);
	assert_false(input_find(in, "r0000001", 8, &index));
	write_all(in, "\n\n");
	assert_int_equal(input_locate(in, 0, &offset, &size), -EINVAL);
	assert_int_equal(input_has_id(in, 0, &has_id), -EINVAL);
	assert_true(input_find(in, "r0000003", 8, &index));
}

/* More records than the index keeps in memory. */
static void test_many(void **state)
{
	const uint64_t count = 5000;
	CLEANUP(free_input) struct input *in = new_input();
	uint64_t offset, size, expected = 0, index;
	char line[64], id[24];

	(void)state;
	for (uint64_t i = 0; i < count; i++) {
		snprintf(line, sizeof(line), "{\"n\":%llu," M "}\n", (unsigned long long)i);
		write_all(in, line);
	}
	assert_int_equal(input_record_count(in), count);
	for (uint64_t i = 0; i < count; i++) {
		size_t length = (size_t)snprintf(line, sizeof(line), "{\"n\":%llu," M "}\n",
						 (unsigned long long)i);

		assert_int_equal(input_locate(in, i, &offset, &size), 0);
		assert_int_equal(offset, expected);
		assert_int_equal(size, length - 1);
		expected += length;
		assert_true(input_find(in, id, input_generated_id(i, id), &index));
		assert_int_equal(index, i);
	}
	for (uint64_t i = count; i-- > 0;) { /* in an order that nothing is read ahead for */
		assert_int_equal(input_locate(in, i, &offset, &size), 0);
		expected -= size + 1;
		assert_int_equal(offset, expected);
	}
	input_reset(in);
	write_all(in, "{" M "}\n {" M "}\n");
	assert_int_equal(input_locate(in, 0, &offset, &size), 0);
	assert_int_equal(size, strlen("{" M "}"));
}

static void test_generated_ids(void **state)
{
	char id[24];

	(void)state;
	assert_int_equal(input_generated_id(0, id), 8);
	assert_string_equal(id, "r0000001");
	assert_int_equal(input_generated_id(9999998, id), 8);
	assert_string_equal(id, "r9999999");
	assert_int_equal(input_generated_id(9999999, id), 9);
	assert_string_equal(id, "r10000000");
	assert_int_equal(input_generated_id(UINT64_MAX - 1, id), 21);
}

static void test_what_makes_it_stale(void **state)
{
	static const struct {
		const char *why;
		uint64_t write_at, cut_to; /* UINT64_MAX: not done */
		bool is_current_after;
	} moves[] = {
		{"a write at the front", 18, UINT64_MAX, true},
		{"a write behind the front", 17, UINT64_MAX, false},
		{"a write over the start", 0, UINT64_MAX, false},
		{"a write beyond the front", 19, UINT64_MAX, false},
		{"a cut at the front", UINT64_MAX, 18, true},
		{"a cut inside", UINT64_MAX, 17, false},
		{"a hole at the end", UINT64_MAX, 19, false},
		{"a cut to nothing", UINT64_MAX, 0, true},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(moves); i++) {
		CLEANUP(free_input) struct input *in = new_input();
		CLEANUP(buf_release) struct buf words;
		uint64_t size;

		buf_init(&words, 1000);
		write_all(in, "{" M "}\n");
		if (moves[i].write_at != UINT64_MAX)
			input_written(in, moves[i].write_at, "{", 1);
		if (moves[i].cut_to != UINT64_MAX)
			input_truncated(in, moves[i].cut_to);
		size = input_size_bytes(in);
		if (input_is_current(in, size) != moves[i].is_current_after)
			fail_msg("%s", moves[i].why);
		assert_false(input_is_current(in, size + 1));
		if (moves[i].is_current_after)
			continue;
		/* It knows nothing until it starts again. */
		assert_false(input_is_valid(in));
		assert_false(input_has_fault(in));
		assert_int_equal(input_fault_count(in), 0);
		input_describe_faults(in, &words);
		assert_non_null(strstr(words.data, "not checked yet"));
		write_all(in, "{" M "}\n");
		assert_false(input_is_current(in, size));
		input_truncated(in, 0);
		assert_true(input_is_current(in, 0));
		write_all(in, "{" M "}\n");
		assert_true(input_is_valid(in));
	}
}

static void test_nothing_written_is_nothing(void **state)
{
	CLEANUP(free_input) struct input *in = new_input();

	(void)state;
	input_written(in, 1000, "", 0);
	assert_true(input_is_current(in, 0));
	input_truncated(in, 0);
	assert_true(input_is_current(in, 0));
}

static void test_rescan(void **state)
{
	CLEANUP(free_input) struct input *in = new_input();
	CLEANUP(fd_closep) int fd = new_file("{" M "}\n{" M "}\n");
	struct err e = ERR_INIT;
	atomic_bool cancel = false;

	(void)state;
	input_written(in, 7, "x", 1);
	assert_false(input_is_current(in, 36));
	assert_int_equal(input_rescan(in, fd, &cancel, &e), 0);
	assert_true(input_is_current(in, 36));
	assert_true(input_is_valid(in));
	write_all(in, "{" M "}\n");
	assert_int_equal(input_record_count(in), 3);
	atomic_store(&cancel, true);
	assert_int_equal(input_rescan(in, fd, &cancel, &e), -ECANCELED);
	assert_false(input_is_current(in, 36));
	assert_int_equal(input_rescan(in, -1, NULL, &e), -EBADF);
	assert_false(input_is_current(in, 0));
	assert_non_null(strstr(e.text, "input.jsonl"));
}

static void test_many_faults(void **state)
{
	CLEANUP(free_input) struct input *in = new_input();
	CLEANUP(buf_release) struct buf words;
	size_t lines = 0;

	(void)state;
	buf_init(&words, 100000);
	for (int i = 0; i < INPUT_FAULTS_MAX + 50; i++)
		write_all(in, i % 2 ? "\n" : "{\"recordId\":\"x\"," M "}\n");
	write_all(in, "{");
	input_describe_faults(in, &words);
	for (const char *p = words.data; *p; p++)
		lines += *p == '\n';
	assert_int_equal(lines, INPUT_FAULTS_MAX + 1);
	assert_int_equal(input_fault_count(in), INPUT_FAULTS_MAX + 50);
	assert_non_null(strstr(words.data, "input.jsonl: and 50 more faults\n"));
	assert_non_null(strstr(words.data, "input.jsonl:100:1: an empty line"));
}

static void test_long_ids_in_words(void **state)
{
	CLEANUP(free_input) struct input *in = new_input();
	CLEANUP(buf_release) struct buf line, words;

	(void)state;
	buf_init(&line, 10000);
	buf_init(&words, 10000);
	buf_add_str(&line, "{\"recordId\":\"");
	for (int i = 0; i < 100; i++)
		buf_add_str(&line, "\xe4\xb8\xad");
	buf_add_str(&line, "\"," M "}\n");
	write_all(in, line.data);
	write_all(in, line.data);
	input_describe_faults(in, &words);
	assert_non_null(strstr(words.data, "\xe4\xb8\xad\"... was used on line 1 already"));
	assert_true(words.size < 200);
}

/* A file size limit stands in for a full disk. */
static void test_no_room(void **state)
{
	CLEANUP(free_input) struct input *in = new_input();
	CLEANUP(fd_closep) int fd = new_file("{" M "}\n");
	struct rlimit before, limit;
	struct err e = ERR_INIT;
	char line[64];

	(void)state;
	for (int i = 0; i < 5000; i++) {
		size_t size = (size_t)snprintf(line, sizeof(line), "{\"n\":%d," M "}\n", i);

		assert_int_equal(pwrite(fd, line, size, (off_t)input_size_bytes(in)), size);
		input_written(in, input_size_bytes(in), line, size);
	}
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = before;
	limit.rlim_cur = 32 * 1024;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(input_rescan(in, fd, NULL, &e), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_false(input_is_valid(in));
	assert_int_equal(input_rescan(in, fd, NULL, &e), 0);
	assert_true(input_is_valid(in));
	assert_int_equal(input_record_count(in), 5000);
}

static void test_no_directory(void **state)
{
	struct input *in = NULL;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(input_new("/dev/null/scratch", &in, &e), -ENOTDIR);
	assert_null(in);
	input_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_locate),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_generated_ids),
		cmocka_unit_test(test_what_makes_it_stale),
		cmocka_unit_test(test_nothing_written_is_nothing),
		cmocka_unit_test(test_rescan),
		cmocka_unit_test(test_many_faults),
		cmocka_unit_test(test_long_ids_in_words),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_no_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
