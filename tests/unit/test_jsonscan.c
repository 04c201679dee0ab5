/* JSON Lines: what is a record, what is a fault, where it is, and that portions do not matter. */

#include <dirent.h>
#include <string.h>

#include "fs/base/buf.h"
#include "fs/base/jsonscan.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/json_texts.h"

static void on_record(void *ctx, const struct jsonscan_record *r)
{
	struct buf *out = ctx;

	buf_addf(out, "record %llu at %llu of %llu+%u", (unsigned long long)r->line,
		 (unsigned long long)r->offset, (unsigned long long)r->size, r->end_size);
	if (r->id) {
		assert_int_equal(r->id[r->id_size], '\0');
		buf_add_char(out, ' ');
		buf_add_json(out, r->id, r->id_size);
	}
	buf_add_char(out, '\n');
}

static void on_fault(void *ctx, const struct jsonscan_fault *f)
{
	buf_addf(ctx, "%llu:%llu: %s\n", (unsigned long long)f->line, (unsigned long long)f->column,
		 f->what);
	assert_true(strlen(f->cure) > 0);
}

/* What the scanner says of text, fed in two portions, or byte by byte. */
static void scan(const char *text, size_t size, size_t split, bool by_byte, struct buf *out)
{
	const struct jsonscan_sink sink = {on_record, on_fault, out};
	struct jsonscan s;

	jsonscan_init(&s);
	if (by_byte) {
		for (size_t i = 0; i < size; i++) {
			CLEANUP(str_freep) char *byte = malloc(1);

			assert_non_null(byte);
			*byte = text[i];
			jsonscan_feed(&s, byte, 1, &sink);
		}
	} else {
		jsonscan_feed(&s, text, split, &sink);
		jsonscan_feed(&s, text + split, size - split, &sink);
	}
	assert_int_equal(jsonscan_offset(&s), size);
	jsonscan_end(&s, &sink);
}

static void check(const char *why, const char *text, size_t size, const char *expected)
{
	CLEANUP(buf_release) struct buf whole, parts;

	buf_init(&whole, 100000);
	buf_init(&parts, 100000);
	scan(text, size, size, false, &whole);
	if (expected && strcmp(whole.data, expected) != 0)
		fail_msg("%s:\n%s", why, whole.data);
	for (size_t split = 0; split < size; split++) {
		buf_clear(&parts);
		scan(text, size, split, false, &parts);
		if (strcmp(whole.data, parts.data) != 0)
			fail_msg("%s, split at %zu:\n%s", why, split, parts.data);
	}
	buf_clear(&parts);
	scan(text, size, 0, true, &parts);
	if (strcmp(whole.data, parts.data) != 0)
		fail_msg("%s, byte by byte:\n%s", why, parts.data);
}

#define M "\"modelInput\":{}"

static const struct {
	const char *why, *text, *expected;
} records[] = {
	{"nothing", "", ""},
	{"the usual", "{\"recordId\":\"r1\"," M "}\n", "record 1 at 0 of 33+1 \"r1\"\n"},
	{"no id", "{" M "}\n", "record 1 at 0 of 17+1\n"},
	{"the other order", "{" M ",\"recordId\":\"b\"}\n", "record 1 at 0 of 32+1 \"b\"\n"},
	{"two lines", "{" M "}\n{" M "}\n", "record 1 at 0 of 17+1\nrecord 2 at 18 of 17+1\n"},
	{"CR LF", "{" M "}\r\n{" M "}\r\n", "record 1 at 0 of 17+2\nrecord 2 at 19 of 17+2\n"},
	{"a CR more is white space", "{" M "}\r\r\n", "record 1 at 0 of 18+2\n"},
	{"a CR within is white space", "{\r" M "}\n", "record 1 at 0 of 18+1\n"},
	{"no newline at the end", "{" M "}", "record 1 at 0 of 17+0\n"},
	{"a CR at the end is no line end", "{" M "}\r", "record 1 at 0 of 18+0\n"},
	{"white space", " {\t" M " } \n", "record 1 at 0 of 21+1\n"},
	{"unknown members", "{\"custom\":[1,{\"recordId\":5}]," M "}\n", "record 1 at 0 of 45+1\n"},
	{"names below the top mean nothing",
	 "{\"modelInput\":{\"recordId\":1,\"modelInput\":2,\"modelInput\":3}}\n",
	 "record 1 at 0 of 59+1\n"},
	{"an escaped name", "{\"record\\u0049d\":\"x\"," M "}\n", "record 1 at 0 of 37+1 \"x\"\n"},
	{"a name that only begins alike", "{\"recordIds\":1,\"record\":2," M "}\n",
	 "record 1 at 0 of 42+1\n"},
	{"a long name", "{\"recordIdrecordIdrecordId\":1," M "}\n", "record 1 at 0 of 46+1\n"},
	{"a name with half a pair", "{\"recordId\\ud800\":1," M "}\n", "record 1 at 0 of 36+1\n"},
	{"an id with escapes", "{\"recordId\":\"a\\n\\u00e9\\ud83d\\ude00\"," M "}\n",
	 "record 1 at 0 of 52+1 \"a\\n\xc3\xa9\xf0\x9f\x98\x80\"\n"},
	{"an id that is not ASCII", "{\"recordId\":\"\xc3\xa9\xe4\xb8\xad\"," M "}\n",
	 "record 1 at 0 of 36+1 \"\xc3\xa9\xe4\xb8\xad\"\n"},
	{"a zero in an id", "{\"recordId\":\"a\\u0000b\"," M "}\n",
	 "record 1 at 0 of 39+1 \"a\\u0000b\"\n"},
	{"half a pair outside the id", "{\"x\":\"\\ud800\"," M "}\n", "record 1 at 0 of 30+1\n"},
	{"U+2028 ends no line", "{\"x\":\"\xe2\x80\xa8\"," M "}\n", "record 1 at 0 of 27+1\n"},
	{"numbers and words", "{\"x\":[0,-0,1.5e+3,2E-1,true,false,null]," M "}\n",
	 "record 1 at 0 of 56+1\n"},
	{"a record after a fault", "{x}\n{" M "}\n",
	 "1:2: a member's name without quotes\nrecord 2 at 4 of 17+1\n"},
	{"an id is not remembered", "{\"recordId\":\"a\"," M "}\n{" M "}\n",
	 "record 1 at 0 of 32+1 \"a\"\nrecord 2 at 33 of 17+1\n"},
	{"one fault a line", "{,,'\x01\n[]\n",
	 "1:2: a member's name is missing here\n"
	 "2:1: the line begins with a list bracket\n"},
};

static void test_records(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(records); i++)
		check(records[i].why, records[i].text, strlen(records[i].text),
		      records[i].expected);
}

static const struct {
	const char *text, *expected;
} faults[] = {
	{"\n", "1:1: an empty line"},
	{" \t\r\n", "1:1: an empty line"},
	{"  ", "1:1: an empty line"},
	{"\xef\xbb\xbf{" M "}\n", "1:1: a byte-order mark stands before the record"},
	{"\xff\xfe{", "1:1: the file is not UTF-8; this looks like UTF-16"},
	{"[{" M "}]\n", "1:1: the line begins with a list bracket"},
	{"]\n", "1:1: the line begins with a list bracket"},
	{"\"a\"\n", "1:1: the line is not a JSON object"},
	{"12\n", "1:1: the line is not a JSON object"},
	{"{'a':1}\n", "1:2: single quotes are not JSON"},
	{"{\"a\":'b'}\n", "1:6: single quotes are not JSON"},
	{"{\"a\":True}\n", "1:6: this is Python, not JSON"},
	{"{\"a\":[False]}\n", "1:7: this is Python, not JSON"},
	{"{\"a\": None}\n", "1:7: this is Python, not JSON"},
	{"{\"a\":NaN}\n", "1:6: NaN and Infinity are not JSON"},
	{"{\"a\":-Infinity}\n", "1:6: NaN and Infinity are not JSON"},
	{"{\"a\":Infinity}\n", "1:6: NaN and Infinity are not JSON"},
	{"{\"a\":undefined}\n", "1:6: a word that is not JSON"},
	{"{\"a\":nulll}\n", "1:6: a word that is not JSON"},
	{"{\"a\":averyveryverylongwordindeed}\n", "1:6: a word that is not JSON"},
	{"{\"a\":@}\n", "1:6: a word that is not JSON"},
	{"{\"a\":1,}\n", "1:8: a comma before the closing bracket"},
	{"{\"a\":[1,]}\n", "1:9: a comma before the closing bracket"},
	{"{\"a\":1,,}\n", "1:8: a member's name is missing here"},
	{"{\"a\":[1,,2]}\n", "1:9: a value is missing here"},
	{"{\"a\":}\n", "1:6: a value is missing here"},
	{"{\"a\" 1}\n", "1:6: a colon is missing after a member's name"},
	{"{\"a\":1 \"b\":2}\n", "1:8: a comma is missing before this"},
	{"{\"a\":[1 2]}\n", "1:9: a comma is missing before this"},
	{"{\"a\":1 // hi\n", "1:8: this looks like a comment"},
	{"# hi\n", "1:1: this looks like a comment"},
	{"{a:1}\n", "1:2: a member's name without quotes"},
	{"{1:1}\n", "1:2: a member's name is missing here"},
	{"{\"a\":[1}\n", "1:8: the wrong closing bracket"},
	{"{\"a\":1]\n", "1:7: the wrong closing bracket"},
	{"{]\n", "1:2: the wrong closing bracket"},
	{"{" M "} {" M "}\n", "1:19: a second object on the line"},
	{"{" M "},\n", "1:18: a comma after the record"},
	{"{" M "}}\n", "1:18: a closing bracket too many"},
	{"{" M "}x\n", "1:18: something stands after the record"},
	{"{\"a\":01}\n", "1:6: a number with a leading zero"},
	{"{\"a\":-01}\n", "1:6: a number with a leading zero"},
	{"{\"a\":1.}\n", "1:6: this is not a number in JSON"},
	{"{\"a\":.5}\n", "1:6: this is not a number in JSON"},
	{"{\"a\":+5}\n", "1:6: this is not a number in JSON"},
	{"{\"a\":0x1F}\n", "1:6: this is not a number in JSON"},
	{"{\"a\":1e}\n", "1:6: this is not a number in JSON"},
	{"{\"a\":1.5.2}\n", "1:6: this is not a number in JSON"},
	{"{\"a\":-}\n", "1:6: this is not a number in JSON"},
	{"{\"a\":\"b\n", "1:8: a string is not closed"},
	{"{\"a\":\"b\\\n", "1:9: a string is not closed"},
	{"{\"a\":\"b\tc\"}\n", "1:8: a raw tab in a string"},
	{"{\"a\":\"b\x01\"}\n", "1:8: a raw control character in a string"},
	{"{\"a\":\"\\x41\"}\n", "1:8: an unknown escape after a backslash"},
	{"{\"a\":\"\\u00eg\"}\n", "1:12: \\u is not followed by 4 hex digits"},
	{"{\"a\":\"\xe9\"}\n", "1:7: a byte that is not UTF-8"},
	{"{\"a\":\"\xe4\xb8\"}\n", "1:7: a byte that is not UTF-8"},
	{"{\"a\":\"\xe4\xb8\n", "1:7: a byte that is not UTF-8"},
	{"{\"a\":\"x\xed\xa0\x80\"}\n", "1:8: a byte that is not UTF-8"},
	{"{\"a\":\"\xf0\x9f\x98\xc0\"}\n", "1:7: a byte that is not UTF-8"},
	{"{\xe2\x80\x9c", "1:2: a character that may only stand in a string"},
	{"{\x01}\n", "1:2: a control character between values"},
	{"{\n", "1:2: the line ends in the middle of a record"},
	{"{\"a\":[1,\n", "1:9: the line ends in the middle of a record"},
	{"{\"a\":1\n", "1:7: the line ends in the middle of a record"},
	{"{\"a\":1.\n", "1:8: the line ends in the middle of a record"},
	{"{\"a\":\"b", "1:8: the last line ends in the middle of a record"},
	{"{" M, "1:17: the last line ends in the middle of a record"},
	{"{\"recordId\":\"a\"}\n", "1:1: the record has no modelInput"},
	{"{\"recordId\":\"a\"}", "1:1: the record has no modelInput"},
	{"{\"modelInput\":\"{}\"}\n", "1:15: modelInput is a string, not an object"},
	{"{\"modelInput\":null}\n", "1:15: modelInput is not an object"},
	{"{\"modelInput\":[]}\n", "1:15: modelInput is not an object"},
	{"{\"recordId\":17," M "}\n", "1:13: recordId is not a string"},
	{"{\"recordId\":null," M "}\n", "1:13: recordId is not a string"},
	{"{\"recordId\":\"\"," M "}\n", "1:13: recordId is empty"},
	{"{\"recordId\":\"a\\ud800b\"," M "}\n",
	 "1:13: recordId has half of a surrogate pair (\\ud800 to \\udfff)"},
	{"{\"recordId\":\"\\udc00\"," M "}\n",
	 "1:13: recordId has half of a surrogate pair (\\ud800 to \\udfff)"},
	{"{\"recordId\":\"\\ud800\"," M "}\n",
	 "1:13: recordId has half of a surrogate pair (\\ud800 to \\udfff)"},
	{"{\"recordId\":\"\\ud800\\ud83d\\ude00\"," M "}\n",
	 "1:13: recordId has half of a surrogate pair (\\ud800 to \\udfff)"},
	{"{\"recordId\":\"a\",\"recordId\":\"b\"," M "}\n",
	 "1:17: a second recordId in the record"},
	{"{" M "," M "}\n", "1:18: a second modelInput in the record"},
	{"{" M ",\"model\\u0049nput\":1}\n", "1:18: a second modelInput in the record"},
};

static void test_faults(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(faults); i++) {
		char expected[200];

		snprintf(expected, sizeof(expected), "%s\n", faults[i].expected);
		check(faults[i].expected, faults[i].text, strlen(faults[i].text), expected);
	}
	check("a zero byte", "{\0\"\0", 4, "1:2: a zero byte\n");
	check("a zero byte in a string", "{\"a\0\"", 5,
	      "1:4: a raw control character in a string\n");
}

static void test_id_sizes(void **state)
{
	(void)state;
	for (size_t size = JSONSCAN_ID_MAX - 2; size <= JSONSCAN_ID_MAX + 2; size++) {
		CLEANUP(buf_release) struct buf text, expected;

		buf_init(&text, 10000);
		buf_init(&expected, 10000);
		buf_add_str(&text, "{\"recordId\":\"");
		for (size_t i = 0; i < size; i++)
			buf_add_char(&text, 'i');
		buf_add_str(&text, "\"," M "}\n");
		if (size <= JSONSCAN_ID_MAX)
			buf_addf(&expected, "record 1 at 0 of %zu+1 \"%.*s\"\n", text.size - 1,
				 (int)size, text.data + 13);
		else
			buf_add_str(&expected, "1:13: recordId is longer than 512 bytes\n");
		check("id size", text.data, text.size, expected.data);
	}
}

static void test_depth(void **state)
{
	(void)state;
	for (size_t depth = JSONSCAN_DEPTH_MAX; depth <= JSONSCAN_DEPTH_MAX + 1; depth++) {
		CLEANUP(buf_release) struct buf text, out;

		buf_init(&text, 10000);
		buf_init(&out, 10000);
		buf_add_str(&text, "{" M ",\"a\":");
		for (size_t i = 1; i < depth; i++)
			buf_add_char(&text, '[');
		for (size_t i = 1; i < depth; i++)
			buf_add_char(&text, ']');
		buf_add_str(&text, "}\n");
		scan(text.data, text.size, 0, false, &out);
		if (depth == JSONSCAN_DEPTH_MAX)
			assert_int_equal(strncmp(out.data, "record 1", 8), 0);
		else
			assert_string_equal(out.data, "1:533: lists and objects are nested deeper "
						      "than 512 levels\n");
	}
}

/* A line of size bytes: the record, blanks, and then end. */
static void scan_long_line(uint64_t size, const char *end, struct buf *out)
{
	const struct jsonscan_sink sink = {on_record, on_fault, out};
	static const char begin[] = "{" M "}";
	static char blanks[1 << 20];
	uint64_t left = size - strlen(begin);
	struct jsonscan s;

	memset(blanks, ' ', sizeof(blanks));
	jsonscan_init(&s);
	jsonscan_feed(&s, begin, strlen(begin), &sink);
	while (left > 0) {
		size_t n = left < sizeof(blanks) ? (size_t)left : sizeof(blanks);

		jsonscan_feed(&s, blanks, n, &sink);
		left -= n;
	}
	jsonscan_feed(&s, end, strlen(end), &sink);
}

static void test_line_size(void **state)
{
	static const struct {
		uint64_t size;
		const char *end, *expected;
	} rows[] = {
		{JSONSCAN_LINE_MAX, "\n{" M "}\n",
		 "record 1 at 0 of 268435456+1\nrecord 2 at 268435457 of 17+1\n"},
		{JSONSCAN_LINE_MAX, "\r\n", "record 1 at 0 of 268435456+2\n"},
		{JSONSCAN_LINE_MAX, " \n{" M "}\n",
		 "1:268435457: the line is longer than 256 MiB\n"
		 "record 2 at 268435458 of 17+1\n"},
		{JSONSCAN_LINE_MAX + 1, "", "1:268435457: the line is longer than 256 MiB\n"},
		{JSONSCAN_LINE_MAX, "\r\r\n", "1:268435457: the line is longer than 256 MiB\n"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(buf_release) struct buf out;

		buf_init(&out, 1000);
		scan_long_line(rows[i].size, rows[i].end, &out);
		assert_string_equal(out.data, rows[i].expected);
	}
}

static void test_goes_on_after_end(void **state)
{
	CLEANUP(buf_release) struct buf out;
	const struct jsonscan_sink sink = {on_record, on_fault, &out};
	static const char text[] = "{\"recordId\":\"r1\"," M "}\n";
	struct jsonscan s, copy;

	(void)state;
	buf_init(&out, 1000);
	jsonscan_init(&s);
	jsonscan_feed(&s, text, 14, &sink);
	jsonscan_end(&s, &sink);
	assert_string_equal(out.data, "1:15: the last line ends in the middle of a record\n");
	buf_clear(&out);
	copy = s;
	jsonscan_feed(&s, text + 14, strlen(text) - 14, &sink);
	assert_string_equal(out.data, "record 1 at 0 of 33+1 \"r1\"\n");
	jsonscan_feed(&copy, text + 14, strlen(text) - 14, &sink);
	assert_string_equal(out.data,
			    "record 1 at 0 of 33+1 \"r1\"\nrecord 1 at 0 of 33+1 \"r1\"\n");
	jsonscan_end(&copy, &sink);
	assert_int_equal(out.size, 2 * strlen("record 1 at 0 of 33+1 \"r1\"\n"));
}

/* ---- one JSON text ---- */

static void test_texts(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(json_texts); i++) {
		const char *text = json_texts[i].text;
		size_t size = json_texts[i].size ? json_texts[i].size : strlen(text);
		CLEANUP(buf_release) struct buf line;

		if (jsonscan_text_is_valid(text, size) != json_texts[i].is_valid)
			fail_msg("%s: %s", json_texts[i].why, text);
		/* The same inside a record, in all portions. */
		buf_init(&line, 10000);
		buf_add_str(&line, "{" M ",\"x\":");
		buf_add(&line, text, size);
		buf_add_str(&line, "}\n");
		check(json_texts[i].why, line.data, line.size, NULL);
	}
}

static void check_suite_file(const char *dir, const char *name, unsigned *counted)
{
	static char text[1 << 20];
	CLEANUP(str_freep) char *path = NULL;
	CLEANUP(file_closep) FILE *f = NULL;
	size_t size;

	assert_true(asprintf(&path, "%s/%s", dir, name) > 0);
	f = fopen(path, "re");
	assert_non_null(f);
	size = fread(text, 1, sizeof(text), f);
	assert_true(size < sizeof(text));
	if (jsonscan_text_is_valid(text, size) != (name[0] == 'y'))
		fail_msg("%s", name);
	if (size <= 200)
		check(name, text, size, NULL);
	++*counted;
}

static void test_public_suite(void **state)
{
	const char *shared = getenv("BATCHFS_SHARED");
	CLEANUP(str_freep) char *path = NULL;
	CLEANUP(dir_closep) DIR *dir = NULL;
	unsigned counted = 0;

	(void)state;
	if (asprintf(&path, "%s/json-suite/test_parsing", shared ? shared : "") < 0)
		fail();
	dir = opendir(path);
	if (!dir)
		SKIP_TEST("no public JSON suite at %s: json_texts.h has to do\n", path);
	for (struct dirent *d = readdir(dir); d; d = readdir(dir))
		if (strncmp(d->d_name, "y_", 2) == 0 || strncmp(d->d_name, "n_", 2) == 0)
			check_suite_file(path, d->d_name, &counted);
	assert_true(counted > 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_records),	  cmocka_unit_test(test_faults),
		cmocka_unit_test(test_id_sizes),  cmocka_unit_test(test_depth),
		cmocka_unit_test(test_line_size), cmocka_unit_test(test_goes_on_after_end),
		cmocka_unit_test(test_texts),	  cmocka_unit_test(test_public_suite),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
