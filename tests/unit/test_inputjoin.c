/* Joining results to records by what the model was given. */

#include "fs/job/inputjoin.h"

#include <string.h>

#include "tests/unit/cmocka_all.h"
#include "tests/unit/tempdir.h"

static struct jsonspan span(const char *text)
{
	return jsonspan_of(text, strlen(text));
}

static const struct {
	const char *why, *a, *b;
	bool equal;
} rows[] = {
	{"the same", "{\"a\":1}", "{\"a\":1}", true},
	{"blanks", "{\"a\": [1, 2]}", "{ \"a\":[1,2] }", true},
	{"the order of members", "{\"a\":1,\"b\":{\"c\":2,\"d\":3}}",
	 "{\"b\":{\"d\":3,\"c\":2},\"a\":1}", true},
	{"how a string is escaped", "{\"a\":\"\\u00e9\\n\"}", "{\"a\":\"\xc3\xa9\\u000a\"}", true},
	{"how a name is escaped", "{\"\\u0061\":1}", "{\"a\":1}", true},
	{"how a number is spelt", "{\"a\":1,\"b\":0.5,\"c\":-0}", "{\"a\":1.0,\"b\":5e-1,\"c\":0}",
	 true},
	{"another number", "{\"a\":1}", "{\"a\":2}", false},
	{"a number and its digits", "{\"a\":1}", "{\"a\":\"1\"}", false},
	{"another name", "{\"a\":1}", "{\"b\":1}", false},
	{"a member more", "{\"a\":1}", "{\"a\":1,\"b\":null}", false},
	{"a member twice", "{\"a\":1}", "{\"a\":1,\"a\":1}", false},
	{"the order of elements", "{\"a\":[1,2]}", "{\"a\":[2,1]}", false},
	{"one level or two", "{\"a\":[1,2]}", "{\"a\":[[1,2]]}", false},
	{"where a member is", "{\"a\":{\"x\":1},\"b\":{}}", "{\"a\":{},\"b\":{\"x\":1}}", false},
	{"true and null", "{\"a\":true}", "{\"a\":null}", false},
	{"empty object and array", "{\"a\":{}}", "{\"a\":[]}", false},
	{"empty string", "{\"a\":\"\"}", "{\"a\":\"\\u0000\"}", false},
};

static void test_equal(void **state)
{
	struct inputjoin *j = NULL;

	assert_int_equal(inputjoin_new(*state, &j, NULL), 0);
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (inputjoin_are_equal(j, span(rows[i].a), span(rows[i].b)) != rows[i].equal)
			fail_msg("%s", rows[i].why);
	inputjoin_free(j);
}

static void test_each_gets_one(void **state)
{
	struct inputjoin *j = NULL;
	struct jsonspan same = span("{\"a\":1}"), other = span("{\"a\":2}"), none = span("{}");
	uint64_t index;

	assert_int_equal(inputjoin_new(*state, &j, NULL), 0);
	for (uint64_t i = 0; i < 1000; i++)
		assert_int_equal(inputjoin_add(j, i == 500 ? other : same, i, NULL), 0);
	assert_int_equal(inputjoin_take(j, none, &index, NULL), 0);
	for (uint64_t i = 0; i < 1000; i++) {
		if (i == 500)
			continue;
		assert_int_equal(inputjoin_take(j, same, &index, NULL), 1);
		assert_int_equal(index, i);
	}
	assert_int_equal(inputjoin_take(j, same, &index, NULL), 0);
	assert_int_equal(inputjoin_take(j, other, &index, NULL), 1);
	assert_int_equal(index, 500);
	assert_int_equal(inputjoin_take(j, other, &index, NULL), 0);
	inputjoin_free(j);
}

/* Bytes that are no JSON, and more levels than anybody needs. */
static void test_hostile(void **state)
{
	static const char *const texts[] = {
		"",    "{",	    "{\"a\"", "[1,", "{\"a\":1e999999}", "\"\\ud800\"",
		"nul", "{\"a\":-}", "[[[[",   "{]"};
	char deep[2001];
	struct inputjoin *j = NULL;
	uint64_t index;

	memset(deep, '[', 1000);
	memset(deep + 1000, ']', 1000);
	deep[2000] = '\0';
	assert_int_equal(inputjoin_new(*state, &j, NULL), 0);
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		assert_int_equal(inputjoin_add(j, span(texts[i]), i, NULL), 0);
		assert_int_equal(inputjoin_take(j, span(texts[i]), &index, NULL), 1);
	}
	assert_int_equal(inputjoin_add(j, span(deep), 1, NULL), 0);
	assert_int_equal(inputjoin_take(j, span(deep), &index, NULL), 1);
	assert_int_equal(inputjoin_add(j, (struct jsonspan){NULL, 0}, 1, NULL), 0);
	inputjoin_free(j);
}

static void test_no_directory(void **state)
{
	struct inputjoin *j = NULL;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(inputjoin_new("/dev/null/scratch", &j, &e), -ENOTDIR);
	assert_null(j);
}

#define IN_TEMPDIR(test) cmocka_unit_test_setup_teardown(test, tempdir_setup, tempdir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_TEMPDIR(test_equal),
		IN_TEMPDIR(test_each_gets_one),
		IN_TEMPDIR(test_hostile),
		cmocka_unit_test(test_no_directory),
	};

	return cmocka_run_group_tests_name("inputjoin", tests, NULL, NULL);
}
