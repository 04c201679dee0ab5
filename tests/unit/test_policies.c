/* What --print-iam prints: JSON that policies are made of, and filled in. */

#include <errno.h>
#include <json-c/json.h>
#include <string.h>

#include "backend/aws/doctor.h"
#include "backend/aws/trust.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/tempdir.h"

#define ROLE "arn:aws:iam::111122223333:role/BatchRole"

/* No settings but the test's. */
static int setup(void **state)
{
	static const char *const names[] = {"AWS_REGION",	   "AWS_DEFAULT_REGION",
					    "AWS_PROFILE",	   "AWS_CONFIG_FILE",
					    "AWS_DEFAULT_PROFILE", "AWS_SHARED_CREDENTIALS_FILE"};

	if (tempdir_setup(state) < 0)
		return -1;
	for (size_t i = 0; i < COUNT_OF(names); i++)
		unsetenv(names[i]);
	return setenv("HOME", *state, 1);
}

struct printed {
	char *text;
	size_t size;
	json_object *policies[3];
};

static void printed_release(struct printed *p)
{
	free(p->text);
	for (int i = 0; i < 3; i++)
		json_object_put(p->policies[i]);
}

static int print_to(const char *prefix, const struct kv *options, struct printed *ret,
		    struct err *e)
{
	struct bedrock_place place = {.bucket = "in-bucket", .prefix = prefix, .options = options};
	CLEANUP(file_closep) FILE *f = open_memstream(&ret->text, &ret->size);

	assert_non_null(f);
	return policies_print(&place, f, e);
}

/* The documents between the lines that begin with '#'. */
static void read_policies(struct printed *p)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT(1000000);
	struct json_tokener *tokener = json_tokener_new();
	size_t at = 0;

	for (const char *line = p->text, *stop; *line; line = stop + 1) {
		stop = strchr(line, '\n');
		assert_non_null(stop);
		if (*line != '#')
			buf_add(&text, line, (size_t)(stop - line) + 1);
	}
	for (int i = 0; i < 3; i++) {
		json_tokener_reset(tokener);
		p->policies[i] =
			json_tokener_parse_ex(tokener, text.data + at, (int)(text.size - at));
		if (!p->policies[i])
			fail_msg("document %d: %s", i, text.data + at);
		at += json_tokener_get_parse_end(tokener);
	}
	assert_int_equal(strspn(text.data + at, " \n"), text.size - at);
	json_tokener_free(tokener);
}

static void print_all(const char *prefix, const char *const *options, struct printed *ret)
{
	struct kv kv = KV_INIT;
	struct err e = ERR_INIT;

	for (; options && options[0]; options += 2)
		assert_int_equal(kv_set(&kv, options[0], options[1]), 0);
	if (print_to(prefix, &kv, ret, &e) < 0)
		fail_msg("%s", e.text);
	kv_release(&kv);
	read_policies(ret);
}

/* Is there a statement of that Sid, and are the parts in it? */
static void expect(const struct printed *p, int policy, const char *sid, const char *const *parts)
{
	json_object *list = json_object_object_get(p->policies[policy], "Statement");

	assert_string_equal(
		json_object_get_string(json_object_object_get(p->policies[policy], "Version")),
		"2012-10-17");
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		json_object *one = json_object_array_get_idx(list, i);
		const char *name = json_object_get_string(json_object_object_get(one, "Sid"));
		const char *text;

		if (!name || strcmp(name, sid) != 0)
			continue;
		text = json_object_to_json_string_ext(one, JSON_C_TO_STRING_NOSLASHESCAPE);
		for (; parts && *parts; parts++)
			if (!strstr(text, *parts))
				fail_msg("%s: no %s in %s", sid, *parts, text);
		return;
	}
	if (parts)
		fail_msg("no statement %s", sid);
}

#define PARTS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void test_filled_in(void **state)
{
	CLEANUP(printed_release) struct printed p = {NULL};
	static const struct trust_place where = {"aws", "us-east-1", "111122223333"};
	CLEANUP(buf_release) struct buf words = BUF_INIT(1000);
	const char *trust;

	(void)state;
	print_all("batch", PARTS("role", ROLE, "region", "us-east-1"), &p);
	expect(&p, 0, "Create",
	       PARTS("bedrock:CreateModelInvocationJob",
		     "arn:aws:bedrock:us-east-1:111122223333:model-invocation-job/*",
		     "arn:aws:bedrock:*::foundation-model/*",
		     "arn:aws:bedrock:us-east-1:111122223333:inference-profile/*"));
	expect(&p, 0, "PassRole",
	       PARTS("iam:PassRole", "\"" ROLE "\"",
		     "\"iam:PassedToService\":\"bedrock.amazonaws.com\""));
	expect(&p, 0, "OnDemand",
	       PARTS("bedrock:InvokeModel", "arn:aws:bedrock:*::foundation-model/*"));
	expect(&p, 0, "Lists", PARTS("bedrock:ListModelInvocationJobs", "\"*\""));
	expect(&p, 0, "Jobs",
	       PARTS("bedrock:GetModelInvocationJob", "bedrock:StopModelInvocationJob"));
	expect(&p, 0, "Bucket", PARTS("s3:ListBucket", "\"arn:aws:s3:::in-bucket\""));
	expect(&p, 0, "Objects",
	       PARTS("s3:PutObject", "s3:AbortMultipartUpload",
		     "\"arn:aws:s3:::in-bucket/batch/*\""));
	expect(&p, 2, "Model",
	       PARTS("bedrock:InvokeModel", "arn:aws:bedrock:*::foundation-model/*"));
	expect(&p, 2, "Objects",
	       PARTS("s3:GetObject", "s3:PutObject", "\"aws:ResourceAccount\":\"111122223333\"",
		     "\"arn:aws:s3:::in-bucket/batch/*\""));
	trust = json_object_to_json_string(p.policies[1]);
	if (trust_judge(trust, strlen(trust), &where, &words) != TRUST_GIVEN)
		fail_msg("%s: %s", trust, words.data);
	assert_null(strstr(p.text, "YOUR-"));
	assert_null(strstr(p.text, "kms:"));
	assert_null(strstr(p.text, "ec2:"));
}

static void test_little_is_known(void **state)
{
	CLEANUP(printed_release) struct printed p = {NULL};

	(void)state;
	print_all("", NULL, &p);
	expect(&p, 0, "PassRole", PARTS("arn:aws:iam::YOUR-ACCOUNT-ID:role/YOUR-ROLE-NAME"));
	expect(&p, 0, "Objects", PARTS("\"arn:aws:s3:::in-bucket/*\""));
	expect(&p, 0, "Create", PARTS("arn:aws:bedrock:YOUR-REGION:YOUR-ACCOUNT-ID:model-inv"));
	assert_non_null(strstr(p.text, "# Put the 12 digits of your account"));
	assert_non_null(strstr(p.text, "# Put the region"));
	assert_non_null(strstr(p.text, "# Put the name of the service role"));
}

static void test_the_profile_has_the_region(void **state)
{
	CLEANUP(printed_release) struct printed p = {NULL};

	(void)state;
	setenv("AWS_REGION", "us-gov-west-1", 1);
	print_all("", NULL, &p);
	unsetenv("AWS_REGION");
	expect(&p, 0, "Bucket", PARTS("arn:aws-us-gov:s3:::in-bucket"));
	expect(&p, 2, "Model", PARTS("arn:aws-us-gov:bedrock:us-gov-west-1:YOUR-ACCOUNT-ID:"));
	assert_null(strstr(p.text, "YOUR-REGION"));
}

static void test_models(void **state)
{
	static const struct {
		const char *why, *model, *has, *has_too, *has_not;
	} rows[] = {
		{"its own id", "amazon.nova-micro-v1:0",
		 "\"arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-micro-v1:0\"", "Model",
		 "inference-profile"},
		{"a profile", "us.anthropic.claude-opus-5",
		 "\"arn:aws:bedrock:*::foundation-model/anthropic.claude-opus-5\"",
		 "\"arn:aws:bedrock:us-east-1:111122223333:inference-profile/"
		 "us.anthropic.claude-opus-5\"",
		 "foundation-model/*"},
		{"one's own profile",
		 "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/ab12",
		 "\"arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/ab12\"",
		 "\"arn:aws:bedrock:*::foundation-model/*\"", "inference-profile/*"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(printed_release) struct printed p = {NULL};

		print_all("", PARTS("role", ROLE, "region", "us-east-1", "model", rows[i].model),
			  &p);
		expect(&p, 0, "Create", PARTS(rows[i].has));
		expect(&p, 0, "OnDemand", PARTS(rows[i].has, rows[i].has_too));
		expect(&p, 2, "Model", PARTS(rows[i].has, rows[i].has_too));
		if (strstr(p.text, rows[i].has_not))
			fail_msg("%s: %s", rows[i].why, p.text);
	}
}

static void test_keys(void **state)
{
	static const struct {
		const char *key, *resource, *condition;
	} rows[] = {
		{"1234abcd-12ab-34cd-56ef-1234567890ab",
		 "\"arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab\"",
		 "kms:GenerateDataKey"},
		{"arn:aws:kms:us-east-1:444455556666:key/k",
		 "\"arn:aws:kms:us-east-1:444455556666:key/k\"", "kms:Decrypt"},
		{"alias/a", "\"arn:aws:kms:us-east-1:111122223333:key/*\"",
		 "\"kms:ResourceAliases\":\"alias/a\""},
		{"arn:aws:kms:us-east-1:444455556666:alias/a",
		 "\"arn:aws:kms:us-east-1:444455556666:key/*\"",
		 "\"kms:ResourceAliases\":\"alias/a\""},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(printed_release) struct printed p = {NULL};

		print_all("", PARTS("role", ROLE, "region", "us-east-1", "kms_key", rows[i].key),
			  &p);
		expect(&p, 0, "Key", PARTS(rows[i].resource, rows[i].condition));
		expect(&p, 2, "Key", PARTS(rows[i].resource, rows[i].condition, "kms:DescribeKey"));
		assert_non_null(strstr(p.text, "# The key's own policy"));
	}
}

static void test_networks_and_owners(void **state)
{
	CLEANUP(printed_release) struct printed p = {NULL};

	(void)state;
	print_all("",
		  PARTS("role", ROLE, "region", "us-east-1", "subnets", "subnet-1;subnet-2",
			"security_groups", "sg-1", "bucket_owner", "444455556666"),
		  &p);
	expect(&p, 2, "NetworkMakeIn",
	       PARTS("arn:aws:ec2:us-east-1:111122223333:subnet/subnet-1\"", "subnet/subnet-2\"",
		     "security-group/sg-1\""));
	expect(&p, 2, "NetworkMake", PARTS("\"aws:RequestTag/BedrockManaged\":\"true\""));
	expect(&p, 2, "NetworkUse", PARTS("ec2:DeleteNetworkInterface"));
	expect(&p, 2, "NetworkTag", PARTS("ec2:CreateTags"));
	expect(&p, 2, "NetworkLook", PARTS("ec2:DescribeSubnets"));
	expect(&p, 2, "Bucket", PARTS("\"aws:ResourceAccount\":\"444455556666\""));
	assert_non_null(strstr(p.text, "# The bucket is of account 444455556666"));
	assert_non_null(strstr(p.text, "gateway endpoint"));
}

static void test_refused(void **state)
{
	static const struct {
		const char *why, *key, *value, *says;
	} rows[] = {
		{"a role that is none", "role", "BatchRole", "arn:aws:iam::ACCOUNT:role/NAME"},
		{"a region that is none", "region", "US EAST", "us-east-1"},
		{"a model that is none", "model", "a b", "not an id"},
		{"a profile that is not there", "profile", "nobody", "nobody"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(printed_release) struct printed p = {NULL};
		struct kv kv = KV_INIT;
		struct err e = ERR_INIT;

		assert_int_equal(kv_set(&kv, rows[i].key, rows[i].value), 0);
		if (print_to("", &kv, &p, &e) != -EINVAL || !strstr(e.text, rows[i].says))
			fail_msg("%s: %s", rows[i].why, e.text);
		kv_release(&kv);
	}
}

static void test_a_full_disk(void **state)
{
	struct bedrock_place place = {.bucket = "b-1", .prefix = ""};
	CLEANUP(file_closep) FILE *f = fopen("/dev/full", "w");
	struct err e = ERR_INIT;

	(void)state;
	assert_non_null(f);
	assert_int_equal(policies_print(&place, f, &e), -EIO);
	assert_non_null(strstr(e.text, "cannot be written"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, tempdir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_filled_in),
		TEST(test_little_is_known),
		TEST(test_the_profile_has_the_region),
		TEST(test_models),
		TEST(test_keys),
		TEST(test_networks_and_owners),
		TEST(test_refused),
		TEST(test_a_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
