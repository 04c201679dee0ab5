/* Options of a bedrock: source: what is taken, what is refused, and how. */

#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <string.h>

#include "backend/aws/bedrock_private.h"

#define ROLE "arn:aws:iam::111122223333:role/BatchRole"

static const struct {
	const char *why, *key, *value;
	int r;
	int of_job; /* what it is in JOB/config */
} rows[] = {
	{"a role", "role", ROLE, 0, 0},
	{"a user is no role", "role", "arn:aws:iam::111122223333:user/me", -EINVAL, -EINVAL},
	{"the least timeout", "timeout", "24", 0, 0},
	{"the most", "timeout", "168", 0, 0},
	{"too short", "timeout", "23", -EINVAL, -EINVAL},
	{"too long", "timeout", "169", -EINVAL, -EINVAL},
	{"not a number", "timeout", "a day", -EINVAL, -EINVAL},
	{"the model's own body", "invocation", "InvokeModel", 0, 0},
	{"one body for all", "invocation", "Converse", 0, 0},
	{"another case", "invocation", "converse", -EINVAL, -EINVAL},
	{"tags", "tags", "team:a; cost center:42", 0, 0},
	{"a value with colons", "tags", "url:a:b:c", 0, 0},
	{"a tag without a value", "tags", "team", -EINVAL, -EINVAL},
	{"a tag with a strange character", "tags", "team:a|b", -EINVAL, -EINVAL},
	{"a key", "kms_key", "alias/batch", 0, 0},
	{"no key", "kms_key", "a b", -EINVAL, -EINVAL},
	{"a region", "region", "us-east-1", 0, -EINVAL},
	{"a host is no region", "region", "evil.example/", -EINVAL, -EINVAL},
	{"a profile", "profile", "dev", 0, -EINVAL},
	{"an empty one", "profile", "", -EINVAL, -EINVAL},
	{"an account", "bucket_owner", "111122223333", 0, -EINVAL},
	{"too few digits", "bucket_owner", "1111", -EINVAL, -EINVAL},
	{"subnets", "subnets", "subnet-1;subnet-2", 0, 0},
	{"17 of them", "subnets", "a;b;c;d;e;f;g;h;i;j;k;l;m;n;o;p;q", -EINVAL, -EINVAL},
	{"an id with a strange character", "subnets", "subnet_1", -EINVAL, -EINVAL},
	{"nothing", "subnets", ";", -EINVAL, -EINVAL},
	{"groups", "security_groups", "sg-1", 0, 0},
	{"six of them", "security_groups", "a;b;c;d;e;f", -EINVAL, -EINVAL},
	{"checksums", "checksum", "when_required", 0, -EINVAL},
	{"never is no choice", "checksum", "never", -EINVAL, -EINVAL},
	{"path style", "path_style", "yes", 0, -EINVAL},
	{"neither yes nor no", "path_style", "maybe", -EINVAL, -EINVAL},
	{"only mine", "jobs", "mine", 0, -EINVAL},
	{"theirs", "jobs", "theirs", -EINVAL, -EINVAL},
	{"prices", "prices", "/etc/prices.tsv", 0, -EINVAL},
	{"records", "min_records", "10", 0, -EINVAL},
	{"no records", "min_records", "0", -EINVAL, -EINVAL},
	{"bytes", "max_bytes_per_job", "2000000000", 0, -EINVAL},
	{"records of a file", "max_records_per_file", "50000", 0, -EINVAL},
	{"bytes of a file", "max_bytes_per_file", "200000000", 0, -EINVAL},
	{"not a number", "max_bytes_per_file", "1GB", -EINVAL, -EINVAL},
	{"jobs", "max_jobs", "20", 0, -EINVAL},
	{"no grace", "create_grace", "0", 0, -EINVAL},
	{"nor for results", "results_grace", "0", 0, -EINVAL},
	{"two hours of it", "create_grace", "7200", -EINVAL, -EINVAL},
	{"as fast as it goes", "create_every", "0", 0, -EINVAL},
	{"less than a second", "create_every", "0.5", -EINVAL, -EINVAL},
	{"not one of ours", "poll", "5", -ENOENT, -ENOENT},
};

static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct err e = ERR_INIT, of_job = ERR_INIT;
		int r = bedrock_check_option(rows[i].key, rows[i].value, &e);
		int j = bedrock_check_config(NULL, rows[i].key, rows[i].value, &of_job);

		if (r != rows[i].r || j != rows[i].of_job)
			fail_msg("%s: %d %s; %d %s", rows[i].why, r, e.text, j, of_job.text);
		if ((r < 0) != (e.text[0] != '\0') || (j < 0) != (of_job.text[0] != '\0'))
			fail_msg("%s: words", rows[i].why);
	}
}

static void test_settings(void **state)
{
	struct bedrock b = {.bucket = NULL};
	CLEANUP(kv_release) struct kv config = KV_INIT;

	(void)state;
	assert_int_equal(kv_set(&b.options, "timeout", "48"), 0);
	assert_int_equal(kv_set(&b.options, "max_jobs", "7"), 0);
	assert_int_equal(kv_set(&config, "timeout", "72"), 0);
	assert_int_equal(kv_set(&config, "max_jobs", "9"), 0);
	assert_string_equal(bedrock_setting(&b, NULL, "timeout"), "48");
	assert_string_equal(bedrock_setting(&b, &config, "timeout"), "72");
	assert_null(bedrock_setting(&b, &config, "role"));
	/* What is for the mount alone is not taken from a job. */
	assert_int_equal(bedrock_number(&b, &config, "max_jobs", 1), 7);
	assert_int_equal(bedrock_number(&b, &config, "min_records", 100), 100);
	kv_release(&b.options);
}

static void test_tags(void **state)
{
	CLEANUP(kv_release) struct kv tags = KV_INIT;
	CLEANUP(buf_release) struct buf many = BUF_INIT(8192);

	(void)state;
	assert_int_equal(bedrock_split_tags(" a : b ;; c:d:e ; empty:", &tags, NULL), 0);
	assert_int_equal(tags.count, 3);
	assert_string_equal(kv_get(&tags, "a"), "b");
	assert_string_equal(kv_get(&tags, "c"), "d:e");
	assert_string_equal(kv_get(&tags, "empty"), "");
	for (int i = 0; i < 51; i++)
		buf_addf(&many, "k%d:v;", i);
	assert_int_equal(bedrock_split_tags(many.data, &tags, NULL), -EINVAL);
}

static void test_place(void **state)
{
	static const struct {
		const char *why, *text, *bucket, *prefix; /* bucket NULL: refused */
	} places[] = {
		{"a bucket", "my-bucket", "my-bucket", ""},
		{"and a slash", "my-bucket/", "my-bucket", ""},
		{"and a prefix", "my-bucket/batch/x", "my-bucket", "batch/x"},
		{"slashes at the ends", "my-bucket//batch/", "my-bucket", "batch"},
		{"as a URI", "s3://my-bucket/batch", "my-bucket", "batch"},
		{"upper case", "My-Bucket", NULL, NULL},
		{"nothing", "", NULL, NULL},
		{"a prefix with =", "my-bucket/dt=1", NULL, NULL},
		{"an empty segment", "my-bucket/a//b", NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(places); i++) {
		CLEANUP(str_freep) char *bucket = NULL;
		CLEANUP(str_freep) char *prefix = NULL;
		struct err e = ERR_INIT;
		int r = bedrock_parse_place(places[i].text, &bucket, &prefix, &e);

		if (r != (places[i].bucket ? 0 : -EINVAL))
			fail_msg("%s: %d %s", places[i].why, r, e.text);
		if (r == 0) {
			assert_string_equal(bucket, places[i].bucket);
			assert_string_equal(prefix, places[i].prefix);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_settings),
		cmocka_unit_test(test_tags),
		cmocka_unit_test(test_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
