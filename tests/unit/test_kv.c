/* "key = value" texts: what is taken, what is refused and how it is said. */

#include <errno.h>
#include <string.h>

#include "fs/base/kv.h"
#include "tests/unit/cmocka_all.h"

static void test_texts_that_are_taken(void **state)
{
	static const struct {
		const char *why, *text, *value; /* of key "k"; NULL: absent */
	} rows[] = {
		{"plain", "k = v\n", "v"},
		{"no newline at the end", "k=v", "v"},
		{"white space around goes, inner stays", "\t k \t=  a  b\t c  \n", "a  b\t c"},
		{"CRLF", "k = v\r\nother = 1\r\n", "v"},
		{"comments and empty lines", "# k = 1\n\n; k = 2\n  # k = 3\n", NULL},
		{"the later one counts", "k = 1\nk = 2\n", "2"},
		{"a value may hold what begins comments", "k = sh -c 'a ; b' # c\n",
		 "sh -c 'a ; b' # c"},
		{"a value may hold '='", "k = a=b\n", "a=b"},
		{"an empty value", "k =\n", ""},
		{"UTF-8", "k = \xc3\xa9\n", "\xc3\xa9"},
		{"nothing", "", NULL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(kv_release) struct kv kv = KV_INIT;
		struct err e = ERR_INIT;
		const char *v;

		if (kv_parse(&kv, "config", rows[i].text, strlen(rows[i].text), &e) != 0)
			fail_msg("%s: %s", rows[i].why, e.text);
		v = kv_get(&kv, "k");
		if (!v != !rows[i].value || (v && strcmp(v, rows[i].value) != 0))
			fail_msg("%s: %s", rows[i].why, v ? v : "absent");
	}
}

static void test_texts_that_are_refused(void **state)
{
	static const struct {
		const char *why, *text, *words;
		size_t size; /* 0: to the NUL */
	} rows[] = {
		{"no '='", "a = 1\nnonsense\n", "config:2: not \"key = value\"", 0},
		{"no key", "= 1\n", "config:1: a key is made of", 0},
		{"a key with a space", "a b = 1\n", "config:1: a key is made of", 0},
		{"a section", "[model x]\n", "config:1: a section has no place", 0},
		{"an open section", "[model x\n", "config:1: a section that does not end", 0},
		{"a lone bracket", "[", "config:1: a section that does not end", 0},
		{"a NUL", "k = a\0b\n", "config:1: a control byte", 8},
		{"a CR within", "k = a\rb\n", "config:1: a control byte", 0},
		{"not UTF-8", "k = \xff\n", "config:1: not UTF-8", 0},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(kv_release) struct kv kv = KV_INIT;
		struct err e = ERR_INIT;
		size_t size = rows[i].size ? rows[i].size : strlen(rows[i].text);

		assert_int_equal(kv_set(&kv, "old", "1"), 0);
		assert_int_equal(kv_parse(&kv, "config", rows[i].text, size, &e), -EINVAL);
		if (!strstr(e.text, rows[i].words))
			fail_msg("%s: %s", rows[i].why, e.text);
		assert_int_equal(kv.count, 1);
	}
}

static void test_long_lines_are_whole(void **state)
{
	CLEANUP(kv_release) struct kv kv = KV_INIT;
	static char text[KV_TEXT_MAX + 1];

	(void)state;
	memset(text, 'x', sizeof(text));
	memcpy(text, "k = ", 4);
	assert_int_equal(kv_parse(&kv, "config", text, KV_TEXT_MAX, NULL), 0);
	assert_int_equal(strlen(kv_get(&kv, "k")), KV_TEXT_MAX - 4);
	assert_int_equal(kv_parse(&kv, "config", text, KV_TEXT_MAX + 1, NULL), -EINVAL);
}

static void test_too_many_keys(void **state)
{
	CLEANUP(kv_release) struct kv kv = KV_INIT;
	CLEANUP(kv_release) struct kv copy = KV_INIT;
	char key[16];

	(void)state;
	for (int i = 0; i < KV_COUNT_MAX; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		assert_int_equal(kv_set(&kv, key, "v"), 0);
	}
	assert_int_equal(kv_set(&kv, "one-more", "v"), -E2BIG);
	assert_int_equal(kv_set(&kv, "k7", "replaced"), 0);
	assert_int_equal(kv_parse(&kv, "config", "a = 1", 5, NULL), -EINVAL);
	assert_int_equal(kv_copy(&copy, &kv), 0);
	assert_string_equal(kv_get(&copy, "k7"), "replaced");
	assert_null(kv_get(&copy, "one-more"));
}

static void test_whole_numbers(void **state)
{
	static const struct {
		const char *why, *text;
		int result;
		uint64_t value;
	} rows[] = {
		{"plain", "12", 0, 12},
		{"the least", "5", 0, 5},
		{"too small", "4", -EINVAL, 0},
		{"the largest there is", "18446744073709551615", 0, UINT64_MAX},
		{"one above", "18446744073709551616", -EINVAL, 0},
		{"ten times that", "184467440737095516150", -EINVAL, 0},
		{"empty", "", -EINVAL, 0},
		{"signed", "+12", -EINVAL, 0},
		{"negative", "-12", -EINVAL, 0},
		{"something after it", "12s", -EINVAL, 0},
		{"a space", " 12", -EINVAL, 0},
		{"hexadecimal", "0x12", -EINVAL, 0},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		uint64_t n = 0;
		struct err e = ERR_INIT;

		if (kv_parse_u64("k", rows[i].text, 5, UINT64_MAX, &n, &e) != rows[i].result ||
		    n != rows[i].value)
			fail_msg("%s", rows[i].why);
		if (rows[i].result)
			assert_non_null(strstr(e.text, "k = "));
	}
}

static void test_decimal_numbers(void **state)
{
	static const struct {
		const char *why, *text;
		int result;
		double value;
	} rows[] = {
		{"plain", "0.5", 0, 0.5},
		{"whole", "1", 0, 1},
		{"no digit before the point", ".25", 0, 0.25},
		{"correctly rounded", "0.1", 0, 0.1},
		{"a comma", "0,5", -EINVAL, 0},
		{"two points", "0.5.1", -EINVAL, 0},
		{"above", "1.01", -EINVAL, 0},
		{"below", "-0.1", -EINVAL, 0},
		{"only a point", ".", -EINVAL, 0},
		{"empty", "", -EINVAL, 0},
		{"an exponent", "1e-3", -EINVAL, 0},
		{"not a number", "nan", -EINVAL, 0},
		{"more digits than are kept", "0.1234567890123456", -EINVAL, 0},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		double d = 0;

		if (kv_parse_double("k", rows[i].text, 0, 1, &d, NULL) != rows[i].result ||
		    d != rows[i].value)
			fail_msg("%s", rows[i].why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts_that_are_taken),
		cmocka_unit_test(test_texts_that_are_refused),
		cmocka_unit_test(test_long_lines_are_whole),
		cmocka_unit_test(test_too_many_keys),
		cmocka_unit_test(test_whole_numbers),
		cmocka_unit_test(test_decimal_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
