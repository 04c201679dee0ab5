/* Another id for a line, and nothing else. */

#include "fs/job/lineid.h"

#include <errno.h>
#include <string.h>

#include "tests/unit/cmocka_all.h"

static void test_insert(void **state)
{
	static const struct {
		const char *why, *line, *id, *want;
	} rows[] = {
		{"the first member", "{\"modelInput\":{}}", "r1",
		 "{\"recordId\":\"r1\",\"modelInput\":{}}"},
		{"white space stays", " \t{ \"modelInput\":{} } ", "r1",
		 " \t{\"recordId\":\"r1\", \"modelInput\":{} } "},
		{"escaped as JSON wants it", "{\"m\":{}}", "a\"\\\n",
		 "{\"recordId\":\"a\\\"\\\\\\n\",\"m\":{}}"},
		{"no brace", "[]", "r1", NULL},
		{"nothing", "", "r1", NULL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(buf_release) struct buf out = BUF_INIT(100);
		int r = lineid_insert(rows[i].line, strlen(rows[i].line), rows[i].id,
				      strlen(rows[i].id), &out);

		if (r != (rows[i].want ? 0 : -ESTALE) ||
		    (rows[i].want && strcmp(out.data, rows[i].want) != 0))
			fail_msg("%s: %d %s", rows[i].why, r, out.data);
	}
}

static void test_insert_where_there_is_no_room(void **state)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(10);

	(void)state;
	assert_int_equal(lineid_insert("{\"m\":{}}", 8, "r1", 2, &out), -EFBIG);
}

static void test_replace(void **state)
{
	static const struct {
		const char *why, *line, *want;
	} rows[] = {
		{"first", "{\"recordId\":\"a\",\"x\":1}\n", "{\"recordId\":\"n\\\"\",\"x\":1}\n"},
		{"last, longer", "{\"x\":1,\"recordId\":\"abcdefghij\"}\n",
		 "{\"x\":1,\"recordId\":\"n\\\"\"}\n"},
		{"escaped, with blanks", "{ \"recordId\" : \"\\\"\" , \"x\":1 }",
		 "{ \"recordId\" : \"n\\\"\" , \"x\":1 }"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(buf_release) struct buf out = BUF_INIT(100);
		struct jsonspan line = {rows[i].line, strlen(rows[i].line)};

		lineid_replace(line.at, line.size, jsonspan_get(line, "recordId"), "n\"", 2, &out);
		if (buf_error(&out) < 0 || strcmp(out.data, rows[i].want) != 0)
			fail_msg("%s: %s", rows[i].why, out.data);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_insert),
		cmocka_unit_test(test_insert_where_there_is_no_room),
		cmocka_unit_test(test_replace),
	};

	return cmocka_run_group_tests_name("lineid", tests, NULL, NULL);
}
