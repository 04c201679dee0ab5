/* Parts of an input: whole, cut, with ids put in, linked when that is enough. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/buf.h"
#include "fs/job/input.h"
#include "fs/job/stage.h"
#include "tests/unit/cmocka_all.h"

#define M "\"modelInput\":{}"

/* A directory with an input and a place for a part, gone at the end. */
struct room {
	char dir[32], source[64], part[64], scratch[64];
	struct input *in;
	int fd;
};

static void room_release(struct room *r)
{
	unlink(r->source);
	unlink(r->part);
	unlink(r->scratch);
	rmdir(r->dir);
	input_free(r->in);
	fd_closep(&r->fd);
}

static void room_init(struct room *r, const char *text, size_t size)
{
	snprintf(r->dir, sizeof(r->dir), "/tmp/test_stage-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	snprintf(r->source, sizeof(r->source), "%s/input.jsonl", r->dir);
	snprintf(r->part, sizeof(r->part), "%s/part", r->dir);
	snprintf(r->scratch, sizeof(r->scratch), "%s/part.tmp", r->dir);
	r->fd = open(r->source, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(r->fd >= 0);
	assert_int_equal(pwrite(r->fd, text, size, 0), size);
	assert_int_equal(input_new(r->dir, &r->in, NULL), 0);
	assert_int_equal(input_rescan(r->in, r->fd, NULL, NULL), 0);
}

static void read_part(const struct room *r, struct buf *out)
{
	CLEANUP(file_closep) FILE *f = fopen(r->part, "re");
	int c;

	assert_non_null(f);
	while ((c = getc(f)) != EOF)
		buf_add_char(out, (char)c);
	assert_int_equal(buf_error(out), 0);
	assert_int_equal(access(r->scratch, F_OK), -1);
}

static bool is_link(const struct room *r)
{
	struct stat a, b;

	assert_int_equal(fstat(r->fd, &a), 0);
	assert_int_equal(lstat(r->part, &b), 0);
	return a.st_ino == b.st_ino;
}

static const struct {
	const char *why, *text;
	uint64_t first, count;
	const char *part;
	bool is_link;
} rows[] = {
	{"a whole canonical file", "{\"recordId\":\"a\"," M "}\n{\"recordId\":\"b\"," M "}\n", 0, 2,
	 "{\"recordId\":\"a\"," M "}\n{\"recordId\":\"b\"," M "}\n", true},
	{"the first half", "{\"recordId\":\"a\"," M "}\n{\"recordId\":\"b\"," M "}\n", 0, 1,
	 "{\"recordId\":\"a\"," M "}\n", false},
	{"the second half", "{\"recordId\":\"a\"," M "}\n{\"recordId\":\"b\"," M "}\n", 1, 1,
	 "{\"recordId\":\"b\"," M "}\n", false},
	{"ids are put in", "{" M "}\n \t{ " M "}\n", 0, 2,
	 "{\"recordId\":\"r0000001\"," M "}\n \t{\"recordId\":\"r0000002\", " M "}\n", false},
	{"ids go by the place in the whole", "{" M "}\n{" M "}\n", 1, 1,
	 "{\"recordId\":\"r0000002\"," M "}\n", false},
	{"an id that looks generated is kept", "{" M ",\"recordId\":\"r0000001\"}\n{" M "}\n", 0, 2,
	 "{" M ",\"recordId\":\"r0000001\"}\n{\"recordId\":\"r0000002\"," M "}\n", false},
	{"an escaped name is an id", "{\"record\\u0049d\":\"a\"," M "}\n{" M "}\n", 0, 1,
	 "{\"record\\u0049d\":\"a\"," M "}\n", false},
	{"CR LF becomes LF", "{\"recordId\":\"a\"," M "}\r\n", 0, 1, "{\"recordId\":\"a\"," M "}\n",
	 false},
	{"a newline at the end", "{\"recordId\":\"a\"," M "}", 0, 1, "{\"recordId\":\"a\"," M "}\n",
	 false},
};

static void test_parts(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(room_release) struct room room;
		CLEANUP(buf_release) struct buf part;

		buf_init(&part, 10000);
		room_init(&room, rows[i].text, strlen(rows[i].text));
		/* Twice: it can be repeated, also over what a crash left. */
		for (int round = 0; round < 2; round++) {
			assert_int_equal(stage_part(room.in, room.fd, room.source, rows[i].first,
						    rows[i].count, room.part, NULL),
					 0);
			buf_clear(&part);
			read_part(&room, &part);
			if (strcmp(part.data, rows[i].part) != 0)
				fail_msg("%s: %s", rows[i].why, part.data);
			if (is_link(&room) != rows[i].is_link)
				fail_msg("%s: linked or not", rows[i].why);
			fclose(fopen(room.scratch, "we"));
		}
	}
}

static void test_links_only_what_was_checked(void **state)
{
	static const char text[] = "{\"recordId\":\"a\"," M "}\n";
	CLEANUP(room_release) struct room room;
	CLEANUP(buf_release) struct buf part;
	FILE *other;

	(void)state;
	buf_init(&part, 1000);
	room_init(&room, text, strlen(text));
	unlink(room.source);
	other = fopen(room.source, "we");
	assert_non_null(other);
	fclose(other);
	assert_int_equal(stage_part(room.in, room.fd, room.source, 0, 1, room.part, NULL), 0);
	read_part(&room, &part);
	assert_string_equal(part.data, text);
	assert_int_equal(stage_part(room.in, room.fd, NULL, 0, 1, room.part, NULL), 0);
}

/* Records larger than the window, and a brace far from the line's start. */
static void test_large_records(void **state)
{
	const size_t blanks = 300000;
	CLEANUP(room_release) struct room room;
	CLEANUP(buf_release) struct buf text, expected, part;

	(void)state;
	buf_init(&text, 4000000);
	buf_init(&expected, 4000000);
	buf_init(&part, 4000000);
	for (size_t i = 0; i < blanks; i++)
		buf_add_char(&text, ' ');
	buf_add(&expected, text.data, text.size);
	buf_add_str(&expected, "{\"recordId\":\"r0000001\",");
	buf_add_str(&text, "{");
	for (int i = 0; i < 100000; i++) {
		buf_addf(&text, "\"m%d\":%d,", i, i);
		buf_addf(&expected, "\"m%d\":%d,", i, i);
	}
	buf_add_str(&text, M "}\n{\"recordId\":\"x\"," M "}\n");
	buf_add_str(&expected, M "}\n{\"recordId\":\"x\"," M "}\n");
	room_init(&room, text.data, text.size);
	assert_int_equal(stage_part(room.in, room.fd, room.source, 0, 2, room.part, NULL), 0);
	read_part(&room, &part);
	assert_int_equal(part.size, expected.size);
	assert_memory_equal(part.data, expected.data, part.size);
}

static void test_refusals(void **state)
{
	static const char text[] = "{" M "}\n{" M "}\n";
	CLEANUP(room_release) struct room room;
	struct err e = ERR_INIT;

	(void)state;
	room_init(&room, text, strlen(text));
	assert_int_equal(stage_part(room.in, room.fd, room.source, 0, 0, room.part, &e), -EINVAL);
	assert_int_equal(stage_part(room.in, room.fd, room.source, 0, 3, room.part, &e), -EINVAL);
	assert_int_equal(stage_part(room.in, room.fd, room.source, 3, 1, room.part, &e), -EINVAL);
	assert_int_equal(stage_part(room.in, room.fd, room.source, 1, UINT64_MAX, room.part, &e),
			 -EINVAL);
	assert_int_equal(stage_part(room.in, room.fd, room.source, 0, 1, "/no/such/dir/part", &e),
			 -ENOENT);
	assert_non_null(strstr(e.text, "/no/such/dir/part"));
	assert_int_equal(pwrite(room.fd, "\n", 1, (off_t)strlen(text)), 1);
	assert_int_equal(stage_part(room.in, room.fd, room.source, 0, 1, room.part, &e), -ESTALE);
	assert_int_equal(input_rescan(room.in, room.fd, NULL, NULL), 0);
	assert_int_equal(stage_part(room.in, room.fd, room.source, 0, 1, room.part, &e), -EINVAL);
	assert_int_equal(access(room.part, F_OK), -1);
	assert_int_equal(access(room.scratch, F_OK), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_links_only_what_was_checked),
		cmocka_unit_test(test_large_records),
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
