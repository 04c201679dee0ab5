/* media://NAME in records: what is one, what is not, wherever a chunk ends. */

#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend/aws/mediarefs.h"

#define CHUNK (256 * 1024) /* as mediarefs.c reads */

struct seen {
	struct buf out, refs;
	int answer; /* of ref() */
};

static int on_ref(void *ctx, uint64_t line, const char *name, struct buf *out)
{
	struct seen *s = ctx;

	buf_addf(&s->refs, "%llu:%s ", (unsigned long long)line, name ? name : "?");
	if (name && strcmp(name, "stay") != 0)
		buf_addf(out, "\"s3://b/%s\"", name);
	return s->answer;
}

static int on_copy(void *ctx, const char *bytes, size_t size)
{
	struct seen *s = ctx;

	buf_add(&s->out, bytes, size);
	return 0;
}

static void seen_release(struct seen *s)
{
	buf_release(&s->out);
	buf_release(&s->refs);
}

static int make_file(const char *bytes, size_t size)
{
	int fd = memfd_create("input", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, size), size);
	return fd;
}

static int scan(struct seen *s, const char *text, size_t size)
{
	struct mediarefs_sink sink = {.ref = on_ref, .copy = on_copy, .ctx = s};
	CLEANUP(fd_closep) int fd = make_file(text, size);

	return mediarefs_scan(fd, &sink);
}

#define R(body) "{\"recordId\":\"r\",\"modelInput\":{" body "}}\n"

static const struct {
	const char *why, *in, *out, *refs;
} rows[] = {
	{"no reference", R("\"a\":\"b\""), R("\"a\":\"b\""), ""},
	{"one", R("\"uri\":\"media://cat.png\""), R("\"uri\":\"s3://b/cat.png\""), "1:cat.png "},
	{"slashes escaped, as PHP does", R("\"uri\":\"media:\\/\\/cat.png\""),
	 R("\"uri\":\"s3://b/cat.png\""), "1:cat.png "},
	{"a name with escapes", R("\"uri\":\"media://c\\u0061t\""), R("\"uri\":\"s3://b/cat\""),
	 "1:cat "},
	{"an escaped quote in the name", R("\"uri\":\"media://c\\\"t\""),
	 R("\"uri\":\"s3://b/c\"t\""), "1:c\"t "},
	{"in an array", R("\"a\":[\"media://x\",\"media://y\"]"),
	 R("\"a\":[\"s3://b/x\",\"s3://b/y\"]"), "1:x 1:y "},
	{"left as it is if nothing is given for it", R("\"a\":\"media://stay\""),
	 R("\"a\":\"media://stay\""), "1:stay "},
	{"a text that speaks of one", R("\"a\":\"see media://cat.png\""),
	 R("\"a\":\"see media://cat.png\""), ""},
	{"after an escaped quote in a text", R("\"a\":\"\\\"media://x\\\"\""),
	 R("\"a\":\"\\\"media://x\\\"\""), ""},
	{"a string that ends in a backslash", R("\"a\":\"b\\\\\",\"c\":\"media://x\""),
	 R("\"a\":\"b\\\\\",\"c\":\"s3://b/x\""), "1:x "},
	{"a recordId stays", "{\"recordId\":\"media://cat.png\",\"modelInput\":{}}\n",
	 "{\"recordId\":\"media://cat.png\",\"modelInput\":{}}\n", ""},
	{"nearly", R("\"a\":\"media:/x\",\"b\":\"medium\",\"c\":\"m\",\"d\":\"media:\""),
	 R("\"a\":\"media:/x\",\"b\":\"medium\",\"c\":\"m\",\"d\":\"media:\""), ""},
	{"another case is another scheme", R("\"a\":\"Media://x\""), R("\"a\":\"Media://x\""), ""},
	{"an empty name", R("\"a\":\"media://\""), R("\"a\":\"s3://b/\""), "1: "},
	{"lines are counted",
	 R("\"a\":1") R("\"a\":\"media://x\"") R("\"a\":2") R("\"a\":\"media://y\""),
	 R("\"a\":1") R("\"a\":\"s3://b/x\"") R("\"a\":2") R("\"a\":\"s3://b/y\""), "2:x 4:y "},
	{"not ASCII before it", R("\"a\":\"\xc3\xa9\xe2\x80\xa8\",\"b\":\"media://x\""),
	 R("\"a\":\"\xc3\xa9\xe2\x80\xa8\",\"b\":\"s3://b/x\""), "1:x "},
	{"no newline at the end", "{\"modelInput\":{\"a\":\"media://x\"}}",
	 "{\"modelInput\":{\"a\":\"s3://b/x\"}}", "1:x "},
	{"cut within one", "{\"modelInput\":{\"a\":\"media://x",
	 "{\"modelInput\":{\"a\":\"media://x", ""},
	{"a NUL in the name", R("\"a\":\"media://x\\u0000y\""), R("\"a\":\"media://x\\u0000y\""),
	 "1:? "},
	{"empty", "", "", ""},
};

static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(seen_release)
		struct seen s = {.out = BUF_INIT(1 << 20), .refs = BUF_INIT(4096)};

		assert_int_equal(scan(&s, rows[i].in, strlen(rows[i].in)), 0);
		if (strcmp(s.out.data, rows[i].out) != 0 || strcmp(s.refs.data, rows[i].refs) != 0)
			fail_msg("%s: %s %s", rows[i].why, s.out.data, s.refs.data);
	}
}

/* The reference lies across the end of a chunk, at each of its bytes. */
static void test_chunks(void **state)
{
	static const char head[] = "{\"modelInput\":{\"a\":\"",
			  tail[] = "\",\"b\":\"media://cat\"}}\n";
	const size_t fixed = strlen(head) + strlen("\",\"b\":");
	CLEANUP(buf_release) struct buf in = BUF_INIT(1 << 20);

	(void)state;
	for (size_t cut = 0; cut < 16; cut++) {
		CLEANUP(seen_release)
		struct seen s = {.out = BUF_INIT(1 << 20), .refs = BUF_INIT(4096)};
		size_t end;

		buf_clear(&in);
		buf_add_str(&in, head);
		while (in.size < CHUNK - cut - (fixed - strlen(head)))
			buf_add_char(&in, 'x');
		buf_add_str(&in, tail);
		assert_int_equal(scan(&s, in.data, in.size), 0);
		assert_string_equal(s.refs.data, "1:cat ");
		end = strlen(s.out.data);
		assert_int_equal(end, in.size + strlen("s3://b/") - strlen("media://"));
		assert_string_equal(s.out.data + end - 20, ",\"b\":\"s3://b/cat\"}}\n");
	}
}

static void test_long_name(void **state)
{
	CLEANUP(buf_release) struct buf in = BUF_INIT(1 << 20);
	CLEANUP(seen_release) struct seen s = {.out = BUF_INIT(1 << 20), .refs = BUF_INIT(4096)};

	(void)state;
	buf_add_str(&in, "{\"modelInput\":{\"a\":\"media://");
	for (size_t i = 0; i < 100000; i++)
		buf_add_char(&in, 'x');
	buf_add_str(&in, "\"}}\n");
	assert_int_equal(scan(&s, in.data, in.size), -EINVAL);
	assert_string_equal(s.refs.data, "1:? ");
}

static void test_sink_ends_it(void **state)
{
	CLEANUP(seen_release)
	struct seen s = {.out = BUF_INIT(4096), .refs = BUF_INIT(4096), .answer = 1};
	static const char text[] = R("\"a\":\"media://x\"") R("\"a\":\"media://y\"");

	(void)state;
	assert_int_equal(scan(&s, text, strlen(text)), 1);
	assert_string_equal(s.refs.data, "1:x ");
	s.answer = -EINVAL;
	assert_int_equal(scan(&s, text, strlen(text)), -EINVAL);
}

static void test_unreadable(void **state)
{
	struct mediarefs_sink sink = {.ref = on_ref};

	(void)state;
	assert_int_equal(mediarefs_scan(-1, &sink), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),	   cmocka_unit_test(test_chunks),
		cmocka_unit_test(test_long_name),  cmocka_unit_test(test_sink_ends_it),
		cmocka_unit_test(test_unreadable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
