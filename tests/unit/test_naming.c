/* Names for the service, and what is refused before it is asked. */

#include <errno.h>
#include <regex.h>
#include <string.h>

#include "backend/aws/naming.h"
#include "tests/unit/cmocka_all.h"

#define HEX   "0123456789abcdef0123456789abcdef"
#define TOKEN "bf-" HEX

static bool matches(const char *pattern, const char *s)
{
	regex_t re;
	bool is_match;

	assert_int_equal(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
	is_match = regexec(&re, s, 0, NULL, 0) == 0;
	regfree(&re);
	return is_match;
}

static void test_job_names(void **state)
{
	static const struct {
		const char *why, *directory, *token, *name;
	} rows[] = {
		{"as the header shows it", "My job (2)", TOKEN, "My-job-2-" HEX},
		{"nothing to be changed", "eval7", TOKEN, "eval7-" HEX},
		{"runs become one dash", "a__  b", TOKEN, "a-b-" HEX},
		{"none at the ends", "--a--", TOKEN, "a-" HEX},
		{"dots and plus are given up", "v1.2+x", TOKEN, "v1-2-x-" HEX},
		{"other scripts", "\xc3\xa4\xe4\xb8\xad", TOKEN, "job-" HEX},
		{"an empty name", "", TOKEN, "job-" HEX},
		{"cut to 30", "abcdefghijklmnopqrstuvwxyz0123456789", TOKEN,
		 "abcdefghijklmnopqrstuvwxyz0123-" HEX},
		{"no dash where it is cut", "abcdefghijklmnopqrstuvwxyz012-456789", TOKEN,
		 "abcdefghijklmnopqrstuvwxyz012-" HEX},
	};
	char name[NAMING_JOB_MAX], again[NAMING_JOB_MAX];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		memset(name, 'x', sizeof(name));
		naming_job(rows[i].directory, rows[i].token, name);
		if (strcmp(name, rows[i].name) != 0)
			fail_msg("%s: %s", rows[i].why, name);
		if (!matches("^[a-zA-Z0-9]{1,63}(-*[-a-zA-Z0-9+.]){0,63}$", name))
			fail_msg("%s: not within the pattern: %s", rows[i].why, name);
		naming_job(rows[i].directory, rows[i].token, again);
		assert_string_equal(name, again);
	}
}

static void test_tokens_never_share_a_name(void **state)
{
	static const char *const tokens[] = {
		TOKEN,
		"bf-0123456789abcdef0123456789abcdee", /* its last digit */
		"bf-1123456789abcdef0123456789abcdef",
		"bf-0123456789ABCDEF0123456789ABCDEF",
		HEX, /* without bf- */
		"bf-",
		"",
		"787d0196-c524-4236-9fc4-d13ae78296ce",
		"787d0196-c524-4236-9fc4-d13ae78296cf",
	};
	char a[NAMING_JOB_MAX], b[NAMING_JOB_MAX];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(tokens); i++) {
		naming_job("directorieswhosenamesarecutsomewhere", tokens[i], a);
		assert_int_equal(strlen(a), 63);
		assert_true(matches("^[a-zA-Z0-9-]{1,63}$", a));
		for (size_t j = 0; j < i; j++) {
			naming_job("directorieswhosenamesarecutsomewhere", tokens[j], b);
			assert_string_not_equal(a, b);
		}
	}
}

static void test_directories(void **state)
{
	static const struct {
		const char *why, *name, *directory;
	} rows[] = {
		{"one of ours", "My-job-2-" HEX, "My-job-2"},
		{"hex of another length", "a-" HEX "0", "a-" HEX "0"},
		{"nothing but the digits", "-" HEX, "-" HEX},
		{"from the console", "dev-job.1+2", "dev-job.1+2"},
		{"hidden", ".batchfs", "-batchfs"},
		{"the parent", "..", "-."},
		{"a path", "a/b", "a-b"},
		{"control bytes and spaces", "a\n\tb c", "a--b-c"},
		{"not ASCII", "\xc3\xa4", "--"},
		{"empty", "", "job"},
		{"longer than names are",
		 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaXXXX",
		 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(buf_release) struct buf out = BUF_INIT(1000);

		naming_directory(rows[i].name, &out);
		if (strcmp(out.data, rows[i].directory) != 0)
			fail_msg("%s: %s", rows[i].why, out.data);
	}
}

struct check_row {
	const char *why, *text, *says; /* says NULL: it is fine */
};

static void check_all(const char *what, int (*check)(const char *, struct err *),
		      const struct check_row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct err e = ERR_INIT;
		int r = check(rows[i].text, &e);

		if (r != (rows[i].says ? -EINVAL : 0))
			fail_msg("%s, %s: %d %s", what, rows[i].why, r, e.text);
		if (rows[i].says ? !strstr(e.text, rows[i].says) : e.text[0])
			fail_msg("%s, %s: %s", what, rows[i].why, e.text);
	}
}

static void test_buckets(void **state)
{
	static const struct check_row rows[] = {
		{"usual", "my-bucket", NULL},
		{"dots", "a.b-1", NULL},
		{"shortest", "b-1", NULL},
		{"an alias of an access point", "my-ap-abc123-s3alias", NULL},
		{"empty", "", "3 to 63"},
		{"short", "ab", "3 to 63"},
		{"long", "a123456789a123456789a123456789a123456789a123456789a123456789a123",
		 "3 to 63"},
		{"upper case", "My-bucket", "a-z"},
		{"underscore", "my_bucket", "a-z"},
		{"a URI", "s3://my-bucket", "bare name"},
		{"an ARN", "arn:aws:s3:::my-bucket", "bare name"},
		{"a dash at the end", "bucket-", "begins and ends"},
		{"a dot at the start", ".bucket", "begins and ends"},
		{"two dots", "a..b", "check the spelling"},
		{"an address", "192.168.0.1", "check the spelling"},
		{"control bytes", "a\nb", "a-z"},
	};

	(void)state;
	check_all("bucket", naming_check_bucket, rows, COUNT_OF(rows));
}

static void test_prefixes(void **state)
{
	static const struct check_row rows[] = {
		{"none", "", NULL},
		{"two folders", "a/b", NULL},
		{"all that may stand there", "a!b*c'(d)_e-f.G9", NULL},
		{"Hive style", "dt=2026-01-01", "'='"},
		{"a space", "my data", "a space"},
		{"a plus", "a+b", "'+'"},
		{"percent", "a%20b", "'%'"},
		{"not ASCII", "\xc3\xa4", "0xc3"},
		{"an empty name", "a//b", "empty folder"},
		{"slash at the start", "/a", "empty folder"},
		{"slash at the end", "a/", "empty folder"},
		{"names that begin with dots", ".a/..b/...", NULL},
		{"a folder above", "a/../b", "cannot be called"},
		{"nothing but that", "..", "cannot be called"},
		{"the same folder", "a/.", "cannot be called"},
	};
	char longest[600];

	(void)state;
	check_all("prefix", naming_check_prefix, rows, COUNT_OF(rows));
	memset(longest, 'p', sizeof(longest));
	longest[512] = '\0';
	assert_int_equal(naming_check_prefix(longest, NULL), 0);
	longest[512] = 'p';
	longest[513] = '\0';
	assert_int_equal(naming_check_prefix(longest, NULL), -EINVAL);
}

static void test_media(void **state)
{
	static const struct check_row rows[] = {
		{"usual", "photo-1.png", NULL}, {"a space", "photo 1.png", "a space"},
		{"a folder", "a/b.png", "'/'"}, {"records", "more.jsonl", "another ending"},
		{"empty", "", "not a name"},	{"here", ".", "not a name"},
		{"up", "..", "not a name"},	{"hidden is fine", ".x.png", NULL},
	};

	(void)state;
	check_all("media", naming_check_media, rows, COUNT_OF(rows));
}

static void test_roles(void **state)
{
	static const struct check_row rows[] = {
		{"usual", "arn:aws:iam::111122223333:role/BatchRole", NULL},
		{"with a path", "arn:aws:iam::111122223333:role/service-role/My.Role@x", NULL},
		{"another partition", "arn:aws-us-gov:iam::111122223333:role/R", NULL},
		{"the pattern lets the account out", "arn:aws:iam::role/R", "not an ARN"},
		{"a name only", "BatchRole", "arn:aws:iam::ACCOUNT:role/NAME"},
		{"a session", "arn:aws:sts::111122223333:assumed-role/R/me",
		 "arn:aws:iam::111122223333:role/NAME"},
		{"a user", "arn:aws:iam::111122223333:user/me", "not the ARN of a role"},
		{"an account of 11 digits", "arn:aws:iam::11112222333:role/R", "not the ARN"},
		{"a region", "arn:aws:iam:us-east-1:111122223333:role/R", "not the ARN"},
		{"no name", "arn:aws:iam::111122223333:role/", "not the name"},
		{"an asterisk", "arn:aws:iam::111122223333:role/*", "not the name"},
		{"a space", "arn:aws:iam::111122223333:role/a b", "not an ARN"},
		{"empty", "", "not an ARN"},
	};

	(void)state;
	check_all("role", naming_check_role, rows, COUNT_OF(rows));
}

static void test_models(void **state)
{
	static const struct check_row rows[] = {
		{"an id", "amazon.nova-micro-v1:0", NULL},
		{"two dots", "deepseek.v3.2", NULL},
		{"a dot in the name", "minimax.minimax-m2.1", NULL},
		{"a profile", "global.anthropic.claude-haiku-4-5-20251001-v1:0", NULL},
		{"two versions", "amazon.nova-micro-v1:0:300k", NULL},
		{"a bare name, which the pattern takes", "my-model_2", NULL},
		{"three dots", "us.moonshotai.kimi-k2.5",
		 "arn:aws:bedrock:REGION:ACCOUNT:inference-profile/us.moonshotai.kimi-k2.5"},
		{"three dots and a version", "us.openai.gpt-5.6-sol:0", "the ARN"},
		{"its profile's ARN",
		 "arn:aws:bedrock:us-east-1:111122223333:inference-profile/us.openai.gpt-5.6-sol",
		 NULL},
		{"a model's ARN",
		 "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-sonnet-4-6", NULL},
		{"a model of an account",
		 "arn:aws:bedrock:us-east-1:111122223333:foundation-model/amazon.x", "check it"},
		{"a profile of one's own",
		 "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/ab12cd34ef56",
		 NULL},
		{"a profile without an account", "arn:aws:bedrock:eu-west-1::inference-profile/x.y",
		 "check it"},
		{"a custom model",
		 "arn:aws:bedrock:us-east-1:111122223333:custom-model/"
		 "amazon.titan-embed-image-v1/ab12cd34ef56",
		 NULL},
		{"a custom model's id is of 12",
		 "arn:aws:bedrock:us-east-1:111122223333:custom-model/amazon.titan/ab12", "check"},
		{"bought throughput",
		 "arn:aws:bedrock:us-east-1:111122223333:provisioned-model/ab12cd34ef56",
		 "no \"provisioned-model\""},
		{"an ARN of S3", "arn:aws:s3:::b", "not an ARN of Bedrock"},
		{"empty", "", "no model"},
		{"a space", "amazon.nova micro", "not an id"},
		{"a line end", "amazon.nova-micro-v1:0\n", "not an id"},
		{"a dot at the end", "amazon.", "not an id"},
		{"upper case in an id", "Amazon.nova", "not an id"},
		{"two colons", "amazon.nova::0", "not an id"},
		{"three versions", "amazon.nova:0:1:2", "not an id"},
		{"dashes in a row in a bare name", "my--model", "not an id"},
	};
	char longest[4000];

	(void)state;
	check_all("model", naming_check_model, rows, COUNT_OF(rows));
	memset(longest, 'a', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(naming_check_model(longest, NULL), -EINVAL);
	longest[63] = '.';
	longest[127] = '\0'; /* 63 and 63 */
	assert_int_equal(naming_check_model(longest, NULL), 0);
	longest[127] = 'a';
	longest[128] = '\0';
	assert_int_equal(naming_check_model(longest, NULL), -EINVAL);
}

static void test_keys_and_accounts(void **state)
{
	static const struct check_row keys[] = {
		{"an id", "1234abcd-12ab-34cd-56ef-1234567890ab", NULL},
		{"an ARN",
		 "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
		 NULL},
		{"an alias", "alias/batch_1", NULL},
		{"an alias's ARN", "arn:aws:kms:us-east-1:111122223333:alias/a/b", NULL},
		{"a short id", "1234abcd", "36 characters"},
		{"no name", "alias/", "not a KMS key"},
		{"another service", "arn:aws:s3:us-east-1:111122223333:alias/a", "not a KMS key"},
		{"another resource", "arn:aws:kms:us-east-1:111122223333:grant/a", "not a KMS"},
		{"empty", "", "not a KMS key"},
	};
	static const struct check_row accounts[] = {
		{"an account", "111122223333", NULL},
		{"dashes", "1111-2222-3333", "without dashes"},
		{"short", "11112222333", "12 digits"},
		{"letters", "11112222333a", "12 digits"},
		{"empty", "", "12 digits"},
	};

	(void)state;
	check_all("key", naming_check_kms_key, keys, COUNT_OF(keys));
	check_all("account", naming_check_account, accounts, COUNT_OF(accounts));
}

static void test_tags(void **state)
{
	char key[130], value[258];

	(void)state;
	memset(key, 'k', sizeof(key));
	memset(value, 'v', sizeof(value));
	key[128] = key[129] = value[256] = value[257] = '\0';
	assert_int_equal(naming_check_tag(key, value, NULL), 0);
	value[256] = 'v';
	assert_int_equal(naming_check_tag(key, value, NULL), -EINVAL);
	key[128] = 'k';
	assert_int_equal(naming_check_tag(key, "", NULL), -EINVAL);
	assert_int_equal(naming_check_tag("cost centre", "a._:/=+@-", NULL), 0);
	assert_int_equal(naming_check_tag("k", "", NULL), 0);
	assert_int_equal(naming_check_tag("", "v", NULL), -EINVAL);
	assert_int_equal(naming_check_tag("k", "a,b", NULL), -EINVAL);
	assert_int_equal(naming_check_tag("k;", "v", NULL), -EINVAL);
	assert_int_equal(naming_check_tag("AWS:x", "v", NULL), -EINVAL);
}

static void test_arns(void **state)
{
	static const char *const bad[] = {
		"",
		"arn",
		"arn:aws:bedrock:us-east-1",
		"arn:aws:bedrock:r:1:",
		"arn:gcp:a:b:c:d",
		"arn:aws-:a:b:c:d",
		"arn:awsx:a:b:c:d",
		"arn:aws::b:c:d",
		"arn:aws:a:b:c:d e",
		"arn:aws:a:b:c:d\n",
	};
	struct naming_arn a;
	char longest[3000] = "arn:aws:a:b:c:";

	(void)state;
	assert_int_equal(naming_arn_parse("arn:aws-cn:bedrock:cn-north-1:111122223333:"
					  "model-invocation-job/ab:12",
					  &a),
			 0);
	assert_memory_equal(a.partition, "aws-cn", a.partition_size);
	assert_int_equal(a.partition_size, 6);
	assert_memory_equal(a.service, "bedrock", a.service_size);
	assert_memory_equal(a.region, "cn-north-1", a.region_size);
	assert_int_equal(a.account_size, 12);
	assert_string_equal(a.resource, "model-invocation-job/ab:12");
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		if (naming_arn_parse(bad[i], &a) != -EINVAL)
			fail_msg("taken: %s", bad[i]);
	memset(longest + strlen(longest), 'x', sizeof(longest) - strlen(longest) - 1);
	assert_int_equal(naming_arn_parse(longest, &a), -EINVAL);
	assert_string_equal(naming_job_id("arn:aws:bedrock:r:1:model-invocation-job/ab12cd34ef56"),
			    "ab12cd34ef56");
	assert_string_equal(naming_job_id("ab12"), "ab12");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_job_names),
		cmocka_unit_test(test_tokens_never_share_a_name),
		cmocka_unit_test(test_directories),
		cmocka_unit_test(test_buckets),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_media),
		cmocka_unit_test(test_roles),
		cmocka_unit_test(test_models),
		cmocka_unit_test(test_keys_and_accounts),
		cmocka_unit_test(test_tags),
		cmocka_unit_test(test_arns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
