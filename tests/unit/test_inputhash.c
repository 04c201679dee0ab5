/* Numbers by value and exactly, and files of a job; all else about equal inputs
 * is in test_inputjoin.c. */

#include "fs/job/inputhash.h"

#include <string.h>

#include "tests/unit/cmocka_all.h"

static struct jsonspan span(const char *text)
{
	return jsonspan_of(text, strlen(text));
}

static void test_numbers(void **state)
{
	static const struct {
		const char *why, *a, *b;
		bool by_value, exactly;
	} rows[] = {
		{"the same", "1", "1", true, true},
		{"spelt otherwise", "[1, 0.5, -0, 100]", "[1.0, 5e-1, 0, 1E2]", true, true},
		{"another", "1", "2", false, false},
		{"sixteen digits count as they stand", "123456789012345", "123456789012345.0", true,
		 false},
		{"fifteen digits with an exponent", "123456789012345", "123456789012345e0", true,
		 true},
		{"one double", "9007199254740992", "9007199254740993", true, false},
		{"a long one spelt alike", "9007199254740993", "9007199254740993", true, true},
		{"both beyond a double", "1e999", "1e998", true, false},
		{"a long fraction", "0.1", "0.1000000000000000055", true, false},
		{"more than anybody writes",
		 "1000000000000000000000000000000000000000000000000000000000000000000000000",
		 "1000000000000000000000000000000000000000000000000000000000000000000000001", false,
		 false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct inputhash value, exact;

		assert_int_equal(inputhash_init(&value, INPUTHASH_BY_VALUE, NULL), 0);
		assert_int_equal(inputhash_init(&exact, INPUTHASH_EXACTLY, NULL), 0);
		if (inputhash_are_equal(inputhash_of(&value, span(rows[i].a), NULL),
					inputhash_of(&value, span(rows[i].b), NULL)) !=
			    rows[i].by_value ||
		    inputhash_are_equal(inputhash_of(&exact, span(rows[i].a), NULL),
					inputhash_of(&exact, span(rows[i].b), NULL)) !=
			    rows[i].exactly)
			fail_msg("%s", rows[i].why);
	}
}

static void test_keys_differ(void **state)
{
	struct inputhash a, b;

	(void)state;
	assert_int_equal(inputhash_init(&a, INPUTHASH_BY_VALUE, NULL), 0);
	assert_int_equal(inputhash_init(&b, INPUTHASH_BY_VALUE, NULL), 0);
	assert_false(inputhash_are_equal(inputhash_of(&a, span("{}"), NULL),
					 inputhash_of(&b, span("{}"), NULL)));
}

static void test_media(void **state)
{
	static const struct {
		const char *why, *input;
		bool want;
	} rows[] = {
		{"none", "{\"uri\":\"s3://b/cat.png\"}", false},
		{"one", "{\"uri\":\"media://cat.png\"}", true},
		{"below", "{\"a\":[{\"b\":[\"media://x\"]}]}", true},
		{"with slashes escaped", "[\"media:\\/\\/x\"]", true},
		{"all escaped", "[\"\\u006d\\u0065dia://x\"]", true},
		{"in the middle of words", "[\"see media://x\"]", false},
		{"a word that begins so", "[\"media:x\"]", false},
		{"shorter", "[\"media:/\"]", false},
	};
	char deep[601];
	struct inputhash h;
	bool has;

	(void)state;
	assert_int_equal(inputhash_init(&h, INPUTHASH_EXACTLY, NULL), 0);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		inputhash_of(&h, span(rows[i].input), &has);
		if (has != rows[i].want)
			fail_msg("%s", rows[i].why);
	}
	/* What is too deep to look at may be one. */
	memset(deep, '[', 300);
	memset(deep + 300, ']', 300);
	deep[600] = '\0';
	inputhash_of(&h, span(deep), &has);
	assert_true(has);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_keys_differ),
		cmocka_unit_test(test_media),
	};

	return cmocka_run_group_tests_name("inputhash", tests, NULL, NULL);
}
