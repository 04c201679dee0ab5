/* The growable buffer: what goes in comes out, and it stops where it was told to. */

#include <errno.h>
#include <string.h>

#include "fs/base/buf.h"
#include "tests/unit/cmocka_all.h"

static void test_adds_everything(void **state)
{
	CLEANUP(buf_release) struct buf b;

	(void)state;
	buf_init(&b, 1000);
	assert_string_equal(b.data, "");
	buf_add_str(&b, "one ");
	buf_addf(&b, "%d", 2);
	buf_add_char(&b, '!');
	assert_string_equal(b.data, "one 2!");
	assert_int_equal(b.size, 6);
	assert_int_equal(buf_error(&b), 0);
}

static void test_stops_at_its_maximum(void **state)
{
	CLEANUP(buf_release) struct buf b;

	(void)state;
	buf_init(&b, 4);
	buf_add_str(&b, "1234");
	assert_int_equal(buf_error(&b), 0);
	buf_add_char(&b, '5');
	assert_int_equal(buf_error(&b), -EFBIG);
	buf_add_str(&b, "");
	assert_string_equal(b.data, "1234");
	assert_null(buf_steal(&b));
}

static void test_json_strings(void **state)
{
	static const struct {
		const char *why, *in, *out;
	} rows[] = {
		{"plain", "abc", "\"abc\""},
		{"quote and backslash", "a\"b\\c", "\"a\\\"b\\\\c\""},
		{"named control bytes", "\b\t\n\f\r", "\"\\b\\t\\n\\f\\r\""},
		{"other control bytes", "\x01\x1f", "\"\\u0001\\u001f\""},
		{"UTF-8 goes as it is", "h\xc3\xa9\xe2\x80\xa8", "\"h\xc3\xa9\xe2\x80\xa8\""},
		{"a byte that is not UTF-8",
		 "a\xff"
		 "b",
		 "\"a\xef\xbf\xbd"
		 "b\""},
		{"a surrogate in UTF-8 is three bad bytes", "\xed\xa0\x80",
		 "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(buf_release) struct buf b;

		buf_init(&b, 1000);
		buf_add_json(&b, rows[i].in, strlen(rows[i].in));
		if (strcmp(b.data, rows[i].out) != 0)
			fail_msg("%s: %s", rows[i].why, b.data);
	}
}

static void test_steal_leaves_it_empty(void **state)
{
	CLEANUP(buf_release) struct buf b;
	CLEANUP(str_freep) char *s = NULL;

	(void)state;
	buf_init(&b, 100);
	s = buf_steal(&b);
	assert_string_equal(s, "");
	buf_add_str(&b, "again");
	str_freep(&s);
	s = buf_steal(&b);
	assert_string_equal(s, "again");
	assert_int_equal(b.size, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_adds_everything),
		cmocka_unit_test(test_stops_at_its_maximum),
		cmocka_unit_test(test_json_strings),
		cmocka_unit_test(test_steal_leaves_it_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
