/* Reading JSON in place: what is there is found, and nonsense is answered with no. */

#include <string.h>

#include "fs/base/jsonspan.h"
#include "tests/unit/cmocka_all.h"

static struct jsonspan span(const char *text)
{
	return jsonspan_of(text, strlen(text));
}

static bool is(struct jsonspan v, const char *text)
{
	return v.at ? v.size == strlen(text) && memcmp(v.at, text, v.size) == 0 : *text == '\0';
}

static void test_paths(void **state)
{
	static const struct {
		const char *why, *text, *path, *value;
	} rows[] = {
		{"a member", "{\"a\":1}", "a", "1"},
		{"none of that name", "{\"a\":1}", "b", ""},
		{"a name that only begins alike", "{\"ab\":1}", "a", ""},
		{"white space everywhere", " { \"a\" : [ 1 , 2 ] } ", "a/1", "2"},
		{"the first of two", "{\"a\":1,\"a\":2}", "a", "1"},
		{"an escaped name", "{\"\\u0061b\":true}", "ab", "true"},
		{"past strings with brackets", "{\"x\":\"}]\\\"{\",\"a\":null}", "a", "null"},
		{"past nested values", "{\"x\":{\"a\":[[],{}]},\"a\":\"y\"}", "a", "\"y\""},
		{"deep", "{\"choices\":[{\"message\":{\"content\":\"hi\"}}]}",
		 "choices/0/message/content", "\"hi\""},
		{"beyond the end of a list", "[1,2]", "2", ""},
		{"no index", "[1,2]", "x", ""},
		{"a member of a list", "[1]", "a", ""},
		{"a number has no members", "12", "a", ""},
		{"an empty path is the value", "12", "", "12"},
		{"an object's name of digits", "{\"0\":5}", "0", "5"},
		{"an empty object", "{}", "a", ""},
		{"cut before the value", "{\"a\":", "a", ""},
		{"cut in the value", "{\"a\":[1", "a", ""},
		{"cut in a string", "{\"a\":\"b\\", "a", ""},
		{"no colon", "{\"a\" 1}", "a", ""},
		{"no comma", "{\"b\":1 \"a\":2}", "a", ""},
		{"a name that is no string", "{a:1}", "a", ""},
		{"the wrong bracket", "{\"b\":[1},\"a\":2}", "a", ""},
		{"not JSON in front", "{\"b\":NaN,\"a\":2}", "a", ""},
		{"text that is not ASCII", "{\"\xc3\xa9\":\"\xe4\xb8\xad\",\"a\":3}", "a", "3"},
		{"a name that is not ASCII", "{\"\\u00e9\":3}", "\xc3\xa9", "3"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct jsonspan v = jsonspan_path(span(rows[i].text), rows[i].path);

		if (!is(v, rows[i].value))
			fail_msg("%s: %.*s", rows[i].why, (int)v.size, v.at ? v.at : "");
	}
}

static void test_types(void **state)
{
	static const struct {
		const char *text;
		enum jsonspan_type type;
		bool is_set;
	} rows[] = {
		{"", JSONSPAN_NONE, false},	{"  \n", JSONSPAN_NONE, false},
		{"null", JSONSPAN_NULL, false}, {"true", JSONSPAN_BOOL, true},
		{"false", JSONSPAN_BOOL, true}, {"-1.5", JSONSPAN_NUMBER, true},
		{"0", JSONSPAN_NUMBER, true},	{"\"\"", JSONSPAN_STRING, true},
		{"[]", JSONSPAN_ARRAY, true},	{"\t{}\r\n", JSONSPAN_OBJECT, true},
		{"x", JSONSPAN_NONE, false},	{"+1", JSONSPAN_NONE, false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if (jsonspan_type(span(rows[i].text)) != rows[i].type)
			fail_msg("type of %s", rows[i].text);
		if (jsonspan_is_set(span(rows[i].text)) != rows[i].is_set)
			fail_msg("is_set of %s", rows[i].text);
	}
	assert_int_equal(jsonspan_type(jsonspan_of(NULL, 0)), JSONSPAN_NONE);
}

static void test_strings(void **state)
{
	static const struct {
		const char *why, *text, *content; /* NULL: refused */
	} rows[] = {
		{"empty", "\"\"", ""},
		{"plain", "\"abc\"", "abc"},
		{"the short escapes", "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"},
		{"two bytes", "\"\\u00e9\"", "\xc3\xa9"},
		{"capital digits", "\"\\u00E9\"", "\xc3\xa9"},
		{"a pair", "\"\\ud83d\\ude00!\"", "\xf0\x9f\x98\x80!"},
		{"a first half alone", "\"\\ud83dx\"", "\xef\xbf\xbdx"},
		{"a second half alone", "\"\\ude00\"", "\xef\xbf\xbd"},
		{"two first halves", "\"\\ud83d\\ud83d\\ude00\"", "\xef\xbf\xbd\xf0\x9f\x98\x80"},
		{"a first half and another escape", "\"\\ud83d\\u0041\"", "\xef\xbf\xbd\x41"},
		{"an escape that is none", "\"a\\x41\"", NULL},
		{"hex cut short", "\"a\\u00e\"", NULL},
		{"hex that is none", "\"a\\u00eg\"", NULL},
		{"not closed", "\"abc", NULL},
		{"closed by an escaped quote", "\"abc\\\"", NULL},
		{"something after it", "\"a\" \"b\"", NULL},
		{"a number", "1", NULL},
		{"one quote", "\"", NULL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(buf_release) struct buf b;
		bool is_string;

		buf_init(&b, 100);
		buf_add_str(&b, "> ");
		is_string = jsonspan_string(span(rows[i].text), &b);
		if (is_string != (rows[i].content != NULL))
			fail_msg("%s: %d", rows[i].why, is_string);
		if (strcmp(b.data + 2, rows[i].content ? rows[i].content : "") != 0)
			fail_msg("%s: %s", rows[i].why, b.data);
		if (rows[i].content && !jsonspan_equals(span(rows[i].text), rows[i].content))
			fail_msg("%s: is not equal to itself", rows[i].why);
		if (jsonspan_equals(span(rows[i].text), "something else"))
			fail_msg("%s: is equal to something else", rows[i].why);
	}
	assert_false(jsonspan_equals(span("\"ab\""), "a"));
	assert_false(jsonspan_equals(span("\"a\""), "ab"));
}

static void test_numbers(void **state)
{
	static const struct {
		const char *text;
		bool is_u64;
		uint64_t value;
	} rows[] = {
		{"0", true, 0},
		{"12", true, 12},
		{"\"12\"", true, 12},
		{"18446744073709551615", true, UINT64_MAX},
		{"18446744073709551616", false, 0},
		{"99999999999999999999999", false, 0},
		{"-1", false, 0},
		{"1.0", false, 0},
		{"1e3", false, 0},
		{"01", false, 0},
		{"\"\"", false, 0},
		{"\"", false, 0},
		{"\"1", false, 0},
		{"\"-1\"", false, 0},
		{"true", false, 0},
		{"", false, 0},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		uint64_t value = 0;

		if (jsonspan_u64(span(rows[i].text), &value) != rows[i].is_u64 ||
		    value != rows[i].value)
			fail_msg("%s", rows[i].text);
	}
}

static void test_walk(void **state)
{
	struct jsonspan_walk w = jsonspan_walk(span("{\"a\":1,\"b\":[2]}"));

	(void)state;
	assert_true(jsonspan_next(&w));
	assert_true(is(w.key, "\"a\"") && is(w.value, "1"));
	assert_true(jsonspan_next(&w));
	assert_true(is(w.key, "\"b\"") && is(w.value, "[2]"));
	assert_false(jsonspan_next(&w));
	assert_false(jsonspan_next(&w));
	w = jsonspan_walk(span("[1, \"x\"]"));
	assert_true(jsonspan_next(&w));
	assert_true(is(w.key, "") && is(w.value, "1"));
	assert_true(jsonspan_next(&w));
	assert_true(is(w.value, "\"x\""));
	assert_false(jsonspan_next(&w));
	w = jsonspan_walk(span("\"no container\""));
	assert_false(jsonspan_next(&w));
	w = jsonspan_walk(span("[1,,2]"));
	assert_true(jsonspan_next(&w));
	assert_false(jsonspan_next(&w));
}

static void test_depth_is_bounded(void **state)
{
	char text[2 * JSONSPAN_DEPTH_MAX + 6];

	(void)state;
	for (size_t depth = JSONSPAN_DEPTH_MAX; depth <= JSONSPAN_DEPTH_MAX + 1; depth++) {
		struct jsonspan_walk w;

		text[0] = '[';
		memset(text + 1, '[', depth);
		memset(text + 1 + depth, ']', depth);
		text[1 + 2 * depth] = ']';
		w = jsonspan_walk(jsonspan_of(text, 2 * depth + 2));
		assert_int_equal(jsonspan_next(&w), depth == JSONSPAN_DEPTH_MAX);
	}
}

/* Asks everything of it, and the members of its members. */
static void ask(struct jsonspan v, int depth)
{
	CLEANUP(buf_release) struct buf b;
	struct jsonspan_walk w = jsonspan_walk(v);
	uint64_t number;

	buf_init(&b, 1000);
	(void)jsonspan_string(v, &b);
	(void)jsonspan_u64(v, &number);
	(void)jsonspan_get(v, "a");
	(void)jsonspan_path(v, "a/0/b");
	while (depth > 0 && jsonspan_next(&w)) {
		assert_true(w.value.at >= v.at && w.value.at + w.value.size <= v.at + v.size);
		ask(w.value, depth - 1);
	}
}

/* Exact-size heap copies, so that a byte read too far is seen by a sanitizer. */
static void test_garbage(void **state)
{
	static const char alphabet[] = "{}[]\":,\\u0a1e-. tnf\xc3\xa9";
	uint64_t x = 88172645463325252u;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		CLEANUP(str_freep) char *text = NULL;
		size_t size = (size_t)round % 40 + 1;

		text = malloc(size);
		assert_non_null(text);
		for (size_t i = 0; i < size; i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			text[i] = alphabet[x % (sizeof(alphabet) - 1)];
		}
		ask(jsonspan_of(text, size), 3);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),	cmocka_unit_test(test_types),
		cmocka_unit_test(test_strings), cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_walk),	cmocka_unit_test(test_depth_is_bounded),
		cmocka_unit_test(test_garbage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
