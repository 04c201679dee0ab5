/* Strict UTF-8: the edges of each range, inside and out. */

#include <string.h>

#include "fs/base/macros.h"
#include "fs/base/utf8.h"
#include "tests/unit/cmocka_all.h"

static const struct {
	const char *why, *bytes;
	size_t size; /* of the character; 0: not one */
} rows[] = {
	{"ASCII", "a", 1},
	{"DEL is a character", "\x7f", 1},
	{"a tail alone", "\x80", 0},
	{"last tail alone", "\xbf", 0},
	{"overlong of two, C0", "\xc0\x80", 0},
	{"overlong of two, C1", "\xc1\xbf", 0},
	{"first of two, U+0080", "\xc2\x80", 2},
	{"last of two, U+07FF", "\xdf\xbf", 2},
	{"two, cut", "\xc2", 0},
	{"two, tail below", "\xc2\x7f", 0},
	{"two, tail above", "\xc2\xc0", 0},
	{"overlong of three", "\xe0\x9f\xbf", 0},
	{"first of three, U+0800", "\xe0\xa0\x80", 3},
	{"three, cut", "\xe2\x82", 0},
	{"three, second tail wrong", "\xe2\x82\x28", 0},
	{"last before the surrogates, U+D7FF", "\xed\x9f\xbf", 3},
	{"first surrogate", "\xed\xa0\x80", 0},
	{"last surrogate", "\xed\xbf\xbf", 0},
	{"after the surrogates, U+E000", "\xee\x80\x80", 3},
	{"last of three, U+FFFF", "\xef\xbf\xbf", 3},
	{"overlong of four", "\xf0\x8f\xbf\xbf", 0},
	{"first of four, U+10000", "\xf0\x90\x80\x80", 4},
	{"four, cut", "\xf0\x9f\x98", 0},
	{"last of all, U+10FFFF", "\xf4\x8f\xbf\xbf", 4},
	{"beyond the last", "\xf4\x90\x80\x80", 0},
	{"F5 begins nothing", "\xf5\x80\x80\x80", 0},
	{"FF begins nothing", "\xff", 0},
};

static void test_characters(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		size_t all = strlen(rows[i].bytes);

		if (utf8_char_size(rows[i].bytes, all) != rows[i].size)
			fail_msg("%s", rows[i].why);
		if (utf8_is_valid(rows[i].bytes, all) != (rows[i].size == all))
			fail_msg("%s, as a text", rows[i].why);
		for (size_t before = 0; before < 20; before++) { /* of words, one by one after */
			char text[32];

			memset(text, 'x', before);
			memcpy(text + before, rows[i].bytes, all);
			if (utf8_is_valid(text, before + all) != (rows[i].size == all))
				fail_msg("%s, after %zu others", rows[i].why, before);
		}
		for (size_t cut = 0; cut < rows[i].size; cut++)
			if (utf8_char_size(rows[i].bytes, cut) != 0)
				fail_msg("%s, cut at %zu", rows[i].why, cut);
	}
}

static void test_every_code_there_and_back(void **state)
{
	char out[4];

	(void)state;
	for (uint32_t code = 0; code <= 0x110000; code++) {
		bool is_code = code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
		size_t size = utf8_encode(code, out);

		if ((size != 0) != is_code)
			fail_msg("U+%04X has size %zu", code, size);
		if (is_code && utf8_char_size(out, size) != size)
			fail_msg("U+%04X is not read back", code);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_characters),
		cmocka_unit_test(test_every_code_there_and_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
