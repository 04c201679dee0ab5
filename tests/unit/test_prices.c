/* What is known of prices, whose it is, and what a file of the user's changes. */

#include <errno.h>
#include <math.h>
#include <string.h>

#include "backend/aws/models.h"
#include "backend/aws/prices.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/tempdir.h"

#define EQUAL(a, b) (fabs((a) - (b)) < 1e-9)

static void prices_freep(struct prices **p)
{
	prices_free(*p);
	*p = NULL;
}

static struct tempdir_name write_file(void **state, const char *text, size_t size)
{
	struct tempdir_name path = tempdir_path(state, "prices.tsv");
	CLEANUP(file_closep) FILE *f = fopen(path.text, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, size, f), size);
	return path;
}

static void test_builtin(void **state)
{
	static const struct {
		const char *why, *model, *region;
		double in, out, demand_in, demand_out; /* in below 0: not known */
		const char *source;
	} rows[] = {
		{"global", "global.anthropic.claude-sonnet-4-6", "us-east-1", 1.5, 7.5, 3, 15,
		 "2026; on-demand taken as twice batch"},
		{"a profile of a geography", "eu.anthropic.claude-sonnet-4-6", "eu-west-1", 1.65,
		 8.25, 3.3, 16.5, "AWS price list"},
		{"its own id", "anthropic.claude-sonnet-4-6", "eu-west-2", 1.65, 8.25, 3.3, 16.5,
		 "AWS price list"},
		{"an ARN",
		 "arn:aws:bedrock:us-east-1:111122223333:inference-profile/"
		 "us.anthropic.claude-haiku-4-5-20251001-v1:0",
		 "us-east-1", 0.55, 2.75, 1.1, 5.5, "price list"},
		{"batch is half", "us.anthropic.claude-opus-5", "us-east-1", 2.75, 13.75, 5.5, 27.5,
		 "batch taken as half of on-demand"},
		{"of its region", "amazon.nova-micro-v1:0", "us-east-1", 0.0175, 0.07, 0.035, 0.14,
		 "twice batch"},
		{"known of another region only", "apac.amazon.nova-micro-v1:0", "ap-south-1",
		 0.0175, 0.07, 0.035, 0.14, "; of us-east-1"},
		{"no region told", "amazon.nova-micro-v1:0", NULL, 0.0175, 0.07, 0.035, 0.14,
		 "; of us-east-1"},
		{"with a context's size", "amazon.nova-micro-v1:0:128k", "us-east-1", 0.0175, 0.07,
		 0.035, 0.14, "price list"},
		{"us and global differ", "us.amazon.nova-2-lite-v1:0", "us-east-1", 0.1595, 1.3255,
		 0.319, 2.651, "price list"},
		{"an embedding has no output", "amazon.titan-embed-text-v2:0", "us-east-1", 0.01, 0,
		 0.02, 0, "price list"},
		{"only global is known", "us.anthropic.claude-opus-4-6-v1", "us-east-1", -1, 0, 0,
		 0, ""},
		{"not in the list", "acme.new-1", "us-east-1", -1, 0, 0, 0, ""},
		{"the beginning of another", "amazon.nova-micro", "us-east-1", -1, 0, 0, 0, ""},
		{"a profile of the user's",
		 "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/ab12",
		 "us-east-1", -1, 0, 0, 0, ""},
		{"nothing", "", "", -1, 0, 0, 0, ""},
	};
	CLEANUP(prices_freep) struct prices *p = NULL;
	struct price price;

	(void)state;
	assert_int_equal(prices_load(NULL, &p, NULL), 0);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		bool is_known = prices_find(p, rows[i].model, rows[i].region, &price);

		if (is_known != (rows[i].in >= 0))
			fail_msg("%s: known or not", rows[i].why);
		if (!is_known)
			continue;
		if (!EQUAL(price.batch_in, rows[i].in) || !EQUAL(price.batch_out, rows[i].out) ||
		    !EQUAL(price.demand_in, rows[i].demand_in) ||
		    !EQUAL(price.demand_out, rows[i].demand_out) ||
		    !strstr(price.source, rows[i].source))
			fail_msg("%s: %g %g %g %g %s", rows[i].why, price.batch_in, price.batch_out,
				 price.demand_in, price.demand_out, price.source);
	}
}

static void test_users_file(void **state)
{
	static const char text[] =
		"# mine\r\n"
		"\r\n"
		"amazon.nova-micro-v1:0\t*\t*\t9\t8\t-\t-\r\n"
		"# source: contract of 2026-10-01\r\n"
		"amazon.nova-micro-v1:0 * eu-west-1   7 6 5 4\n"
		"acme.new-1\tus\tus-east-1\t-\t-\t2\t4\n"
		"acme.new-1\tus\tus-east-1\t-\t-\t20\t40"; /* the later, and no newline */
	struct tempdir_name path = write_file(state, text, sizeof(text) - 1);
	CLEANUP(prices_freep) struct prices *p = NULL;
	struct err e = ERR_INIT;
	struct price price;

	if (prices_load(path.text, &p, &e) < 0)
		fail_msg("%s", e.text);
	/* Before ours, though that is closer. */
	assert_true(prices_find(p, "amazon.nova-micro-v1:0", "us-east-1", &price));
	assert_true(EQUAL(price.batch_in, 9) && EQUAL(price.demand_out, 16));
	assert_non_null(strstr(price.source, "prices.tsv; on-demand"));
	assert_true(prices_find(p, "eu.amazon.nova-micro-v1:0", "eu-west-1", &price));
	assert_true(EQUAL(price.batch_in, 7) && EQUAL(price.demand_out, 4));
	assert_string_equal(price.source, "contract of 2026-10-01");
	assert_true(prices_find(p, "us.acme.new-1", "us-east-1", &price));
	assert_true(EQUAL(price.batch_in, 10) && EQUAL(price.batch_out, 20));
	assert_false(prices_find(p, "eu.acme.new-1", "us-east-1", &price));
	/* What it does not name stays. */
	assert_true(prices_find(p, "global.anthropic.claude-opus-5", NULL, &price));
}

static void test_bad_files(void **state)
{
	static const struct {
		const char *why, *text, *says;
	} rows[] = {
		{"a column short", "# c\nm * * 1 2 3\n", ":2: 6 columns; write model"},
		{"a column more", "m * * 1 2 3 4 5\n", "more than 7 columns"},
		{"no number", "m * * 1 2 3 four\n", "\"four\" is not a price"},
		{"a dollar sign", "m * * $1 2 3 4\n", "USD per million"},
		{"below zero", "m * * -1 2 3 4\n", "is not a price"},
		{"not a number at all", "m * * nan inf 3 4\n", "is not a price"},
		{"huge", "m * * 1000000000 2 3 4\n", "is not a price"},
		{"very long", "m * * 0.000000000000000000000000000000001 2 3 4\n",
		 "is not a price"},
		{"half a pair", "m * * 1 - 3 4\n", "not whole"},
		{"half of the other", "m * * 1 2 3 -\n", "not whole"},
		{"nothing", "m * * - - - -\n", "not whole"},
		{"a region too long", "m * 0123456789012345678901234567890123 1 2 3 4\n",
		 "the region is not one"},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct tempdir_name path = write_file(state, rows[i].text, strlen(rows[i].text));
		struct prices *p = NULL;
		struct err e = ERR_INIT;

		if (prices_load(path.text, &p, &e) != -EINVAL || p)
			fail_msg("%s: taken", rows[i].why);
		if (!strstr(e.text, rows[i].says) || !strstr(e.text, "prices.tsv"))
			fail_msg("%s: %s", rows[i].why, e.text);
	}
}

static void test_other_errors(void **state)
{
	static const char nul[] = "m\0x * * 1 2 3 4\nm * * 1\0.5 2 3 4\n\0";
	struct tempdir_name path = tempdir_path(state, "none");
	struct prices *p = NULL;
	struct err e = ERR_INIT;
	CLEANUP(str_freep) char *big = calloc(1, PRICES_FILE_MAX + 1);

	assert_int_equal(prices_load(path.text, &p, &e), -ENOENT);
	assert_non_null(strstr(e.text, path.text));
	assert_int_equal(prices_load(*state, &p, &e), -EISDIR);
	path = write_file(state, nul, sizeof(nul));
	assert_int_equal(prices_load(path.text, &p, &e), -EINVAL);
	path = write_file(state, nul + 16, sizeof(nul) - 16);
	assert_int_equal(prices_load(path.text, &p, &e), -EINVAL);
	assert_non_null(big);
	memset(big, '\n', PRICES_FILE_MAX + 1);
	path = write_file(state, big, PRICES_FILE_MAX + 1);
	assert_int_equal(prices_load(path.text, &p, &e), -EFBIG);
	path = write_file(state, big, PRICES_FILE_MAX);
	assert_int_equal(prices_load(path.text, &p, &e), 0);
	prices_free(p);
	prices_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_builtin),
		cmocka_unit_test_setup_teardown(test_users_file, tempdir_setup, tempdir_teardown),
		cmocka_unit_test_setup_teardown(test_bad_files, tempdir_setup, tempdir_teardown),
		cmocka_unit_test_setup_teardown(test_other_errors, tempdir_setup, tempdir_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
