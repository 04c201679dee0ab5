/* docs/operating.md has every failure that cures.c knows. */

#include <stdbool.h>
#include <string.h>

#include "backend/aws/cures.h"
#include "tests/unit/cmocka_all.h"

#define MANUAL_MAX (1024 * 1024)

static char *read_manual(void)
{
	CLEANUP(str_freep) char *path = NULL;
	CLEANUP(file_closep) FILE *f = NULL;
	const char *source = getenv("BATCHFS_SOURCE");
	char *text = calloc(1, MANUAL_MAX);

	assert_non_null(text);
	assert_true(asprintf(&path, "%s/docs/operating.md", source ? source : ".") > 0);
	f = fopen(path, "r");
	if (!f)
		fail_msg("no %s; BATCHFS_SOURCE names the source", path);
	assert_true(fread(text, 1, MANUAL_MAX - 1, f) > 0);
	return text;
}

/* One of the alternatives of a row, "a|b|=c", is in the text. */
static bool has_one(const char *text, const char *match)
{
	char part[256];

	while (*match) {
		size_t size = strcspn(match, "|");

		snprintf(part, sizeof(part), "%.*s", (int)size, match);
		if (strcasestr(text, part + (*part == '=')))
			return true;
		match += size + (match[size] == '|');
	}
	return false;
}

static void test_every_failure_is_in_the_manual(void **state)
{
	CLEANUP(str_freep) char *text = read_manual();
	size_t count;
	const struct cures_row *rows = cures_rows(&count);

	(void)state;
	assert_true(count > 30);
	for (size_t i = 0; i < count; i++)
		if (!has_one(text, rows[i].match))
			print_error("docs/operating.md does not have \"%s\"\n", rows[i].match);
	for (size_t i = 0; i < count; i++)
		assert_true(has_one(text, rows[i].match));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_failure_is_in_the_manual),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
