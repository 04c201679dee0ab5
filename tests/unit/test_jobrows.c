/* The table of jobs that were seen: found again, dropped only when that is right. */

#include "tests/unit/cmocka_all.h"

#include <string.h>

#include "backend/aws/jobrows.h"

static struct jobrows *new_table(void)
{
	struct jobrows *t = NULL;

	assert_int_equal(jobrows_new(&t), 0);
	return t;
}

static const char *arn_of(unsigned n, char out[64])
{
	snprintf(out, 64, "arn:aws:bedrock:us-east-1:1:model-invocation-job/%u", n);
	return out;
}

static void test_many(void **state)
{
	struct jobrows *t = new_table();
	char arn[64];

	(void)state;
	assert_null(jobrows_find(t, "x"));
	for (unsigned n = 0; n < 5000; n++) {
		struct jobrow *row = jobrows_add(t, arn_of(n, arn));

		assert_non_null(row);
		assert_true(row->live);
		assert_int_equal(row->round, 0);
		row->submitted_ns = n;
	}
	assert_int_equal(jobrows_count(t), 5000);
	arn_of(7, arn);
	assert_ptr_equal(jobrows_add(t, arn), jobrows_find(t, arn));
	assert_int_equal(jobrows_count(t), 5000);
	for (unsigned n = 0; n < 5000; n++) {
		struct jobrow *row = jobrows_find(t, arn_of(n, arn));

		assert_non_null(row);
		assert_int_equal(row->submitted_ns, n);
	}
	assert_null(jobrows_find(t, arn_of(5000, arn)));
	jobrows_free(t);
}

static bool is_odd(void *ctx, struct jobrow *row)
{
	(void)ctx;
	return row->submitted_ns % 2 == 1;
}

static void test_drop(void **state)
{
	struct jobrows *t = new_table();
	char arn[64];

	(void)state;
	for (unsigned n = 0; n < 1000; n++)
		jobrows_add(t, arn_of(n, arn))->submitted_ns = n;
	jobrows_each(t, is_odd, NULL);
	assert_int_equal(jobrows_count(t), 500);
	for (unsigned n = 0; n < 1000; n++)
		assert_true((jobrows_find(t, arn_of(n, arn)) != NULL) == (n % 2 == 1));
	jobrows_free(t);
}

static void test_update(void **state)
{
	struct jobrows *t = new_table();
	struct jobrow *row = jobrows_add(t, "a");
	char arn[] = "a", in[] = "s3://b/i", out[] = "s3://b/o/", out2[] = "s3://b/p/";
	struct control_job j = {.arn = arn, .input_uri = in, .output_uri = out, .submitted_ns = 9};

	(void)state;
	j.status.state = JOB_IN_PROGRESS;
	row->unknown_count = 3;
	jobrows_update(row, &j, 4);
	assert_string_equal(row->input_uri, in);
	assert_string_equal(row->output_uri, out);
	assert_int_equal(row->submitted_ns, 9);
	assert_int_equal(row->round, 4);
	assert_int_equal(row->unknown_count, 0);
	assert_true(row->live);
	/* What is not told any more stays known. */
	j = (struct control_job){.arn = arn, .output_uri = out2};
	j.status.state = JOB_EXPIRED;
	jobrows_update(row, &j, 5);
	assert_string_equal(row->input_uri, in);
	assert_string_equal(row->output_uri, out2);
	assert_int_equal(row->submitted_ns, 9);
	assert_false(row->live);
	jobrows_free(t);
}

static void test_full(void **state)
{
	struct jobrows *t = new_table();
	char arn[64];

	(void)state;
	for (unsigned n = 0; n < JOBROWS_MAX; n++) {
		struct jobrow *row = jobrows_add(t, arn_of(n, arn));

		assert_non_null(row);
		row->live = n >= 2; /* 0 and 1 have ended */
		row->asked = n == 1;
	}
	/* Room is made by those that nobody needs, and by no others. */
	assert_non_null(jobrows_add(t, "one more"));
	assert_null(jobrows_find(t, arn_of(0, arn)));
	assert_non_null(jobrows_find(t, arn_of(1, arn)));
	assert_null(jobrows_add(t, "yet another"));
	assert_int_equal(jobrows_count(t), JOBROWS_MAX);
	jobrows_free(t);
	jobrows_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_drop),
		cmocka_unit_test(test_update),
		cmocka_unit_test(test_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
