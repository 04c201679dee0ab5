/* What is sent to the control plane, and what is read from it, byte by byte. */

#include "tests/unit/cmocka_all.h"

#include <string.h>

#include "backend/aws/controljson.h"
#include "fs/base/clock.h"
#include "fs/base/jsonscan.h"

static struct jsonspan span(const char *text)
{
	return jsonspan_of(text, strlen(text));
}

/* --- times --- */

#define T0 1767323045 /* 2026-01-02T03:04:05Z */

static const struct {
	const char *why, *text;
	int64_t ns; /* 0: refused */
} time_rows[] = {
	{"no fraction", "\"2026-01-02T03:04:05Z\"", T0 *NS_PER_S},
	{"three digits, as seen live", "\"2026-01-02T03:04:05.583Z\"", T0 *NS_PER_S + 583000000},
	{"one digit", "\"2026-01-02T03:04:05.5Z\"", T0 *NS_PER_S + 500000000},
	{"nine digits", "\"2026-01-02T03:04:05.000000001Z\"", T0 *NS_PER_S + 1},
	{"ten digits are too many", "\"2026-01-02T03:04:05.0000000001Z\"", 0},
	{"an offset", "\"2026-01-02T05:04:05+02:00\"", T0 *NS_PER_S},
	{"an offset without a colon", "\"2026-01-01T22:04:05-0500\"", T0 *NS_PER_S},
	{"a leap day", "\"2024-02-29T00:00:00Z\"", 1709164800 * NS_PER_S},
	{"a leap second", "\"2016-12-31T23:59:60Z\"", 1483228800 * NS_PER_S},
	{"seconds as a number", "1767323045", T0 *NS_PER_S},
	{"a number with a fraction", "1767323045.25", T0 *NS_PER_S + 250000000},
	{"null", "null", 0},
	{"a date alone", "\"2026-01-02\"", 0},
	{"no zone", "\"2026-01-02T03:04:05\"", 0},
	{"month 13", "\"2026-13-02T03:04:05Z\"", 0},
	{"a year before any job", "\"1901-01-02T03:04:05Z\"", 0},
	{"a year that overflows", "\"9999-01-02T03:04:05Z\"", 0},
	{"a NUL in it", "\"2026-01-02T03:04:05Z\\u0000\"", 0},
	{"something behind it", "\"2026-01-02T03:04:05Zulu\"", 0},
	{"a huge number", "1e300", 0},
	{"a negative number", "-5", 0},
	{"an object", "{}", 0},
};

static void test_times(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(time_rows); i++) {
		int64_t ns = -1;
		bool good = controljson_time(span(time_rows[i].text), &ns);

		if (good != (time_rows[i].ns != 0) || (good && ns != time_rows[i].ns))
			fail_msg("%s: %lld", time_rows[i].why, (long long)ns);
	}
}

/* --- strings --- */

static void test_strings(void **state)
{
	static const struct {
		const char *why, *text, *name, *words;
	} rows[] = {
		{"plain", "\"abc\"", "abc", "abc"},
		{"escapes", "\"a\\/b\"", "a/b", "a/b"},
		{"a space is no name", "\"a b\"", NULL, "a b"},
		{"control characters", "\"a\\nb\\u0000c\"", NULL, "a b c"},
		{"not ASCII", "\"h\xc3\xa9\"", NULL, "h\xc3\xa9"},
		{"exactly the maximum", "\"12345678\"", "12345678", "12345678"},
		{"a longer name is none, longer words are cut", "\"123456789\"", NULL, "12345678"},
		{"never cut within a character", "\"1234567\xc3\xa9\"", NULL, "1234567"},
		{"empty", "\"\"", NULL, NULL},
		{"null", "null", NULL, NULL},
		{"a number", "12", NULL, NULL},
		{"absent", "", NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(str_freep) char *name = NULL;
		CLEANUP(str_freep) char *words = NULL;

		assert_int_equal(controljson_name(span(rows[i].text), 8, &name), 0);
		assert_int_equal(controljson_text(span(rows[i].text), 8, &words), 0);
		if (!name != !rows[i].name || (name && strcmp(name, rows[i].name) != 0))
			fail_msg("%s: name %s", rows[i].why, name ? name : "-");
		if (!words != !rows[i].words || (words && strcmp(words, rows[i].words) != 0))
			fail_msg("%s: words %s", rows[i].why, words ? words : "-");
	}
}

/* --- jobs --- */

static void test_states(void **state)
{
	(void)state;
	assert_int_equal(control_state("Submitted"), JOB_SUBMITTED);
	assert_int_equal(control_state("Validating"), JOB_VALIDATING);
	assert_int_equal(control_state("Scheduled"), JOB_SCHEDULED);
	assert_int_equal(control_state("InProgress"), JOB_IN_PROGRESS);
	assert_int_equal(control_state("Stopping"), JOB_STOPPING);
	assert_int_equal(control_state("Completed"), JOB_COMPLETED);
	assert_int_equal(control_state("PartiallyCompleted"), JOB_PARTIALLY_COMPLETED);
	assert_int_equal(control_state("Failed"), JOB_FAILED);
	assert_int_equal(control_state("Stopped"), JOB_STOPPED);
	assert_int_equal(control_state("Expired"), JOB_EXPIRED);
	assert_int_equal(control_state("Hibernating"), JOB_IN_PROGRESS);
	assert_int_equal(control_state(""), JOB_IN_PROGRESS);
	assert_int_equal(control_state("Draft"), JOB_IN_PROGRESS); /* our word, not theirs */
}

#define ARN "arn:aws:bedrock:us-east-1:111122223333:model-invocation-job/ab12cd34ef56"

static void test_job_whole(void **state)
{
	CLEANUP(control_job_release) struct control_job j = {.arn = NULL};

	(void)state;
	assert_int_equal(
		controljson_job(
			span("{\"jobArn\":\"" ARN "\",\"jobName\":\"n-1\",\"modelId\":\"m.x\","
			     "\"clientRequestToken\":\"bf-1\",\"roleArn\":\"arn:aws:iam::1:role/R\","
			     "\"status\":\"InProgress\",\"message\":null,"
			     "\"submitTime\":\"2026-01-02T03:04:05Z\",\"lastModifiedTime\":1767323046,"
			     "\"endTime\":null,\"jobExpirationTime\":\"2026-01-03T03:04:05Z\","
			     "\"inputDataConfig\":{\"s3InputDataConfig\":{\"s3Uri\":\"s3://b-1/i.jsonl\"}},"
			     "\"outputDataConfig\":{\"s3OutputDataConfig\":{\"s3Uri\":\"s3://b-1/o/\"}},"
			     "\"timeoutDurationInHours\":24,\"modelInvocationType\":\"Converse\","
			     "\"totalRecordCount\":100,\"processedRecordCount\":60,"
			     "\"successRecordCount\":55,\"errorRecordCount\":5,\"new\":[1,{}]}"),
			&j),
		0);
	assert_string_equal(j.arn, ARN);
	assert_string_equal(j.name, "n-1");
	assert_string_equal(j.token, "bf-1");
	assert_string_equal(j.model, "m.x");
	assert_string_equal(j.role, "arn:aws:iam::1:role/R");
	assert_string_equal(j.input_uri, "s3://b-1/i.jsonl");
	assert_string_equal(j.output_uri, "s3://b-1/o/");
	assert_string_equal(j.invocation, "Converse");
	assert_int_equal(j.status.state, JOB_IN_PROGRESS);
	assert_string_equal(j.status.raw, "InProgress");
	assert_string_equal(j.status.message, "");
	assert_int_equal(j.submitted_ns, T0 * NS_PER_S);
	assert_int_equal(j.modified_ns, (T0 + 1) * NS_PER_S);
	assert_int_equal(j.ended_ns, 0);
	assert_int_equal(j.expires_ns, (T0 + 86400) * NS_PER_S);
	assert_int_equal(j.timeout_hours, 24);
	assert_int_equal(j.status.counts.total, 100);
	assert_int_equal(j.status.counts.good, 55);
	assert_int_equal(j.status.counts.failed, 5);
}

static void test_job_strange(void **state)
{
	CLEANUP(control_job_release) struct control_job j = {.arn = NULL};

	(void)state;
	assert_int_equal(controljson_job(span("{\"jobName\":\"x\"}"), &j), -EINVAL);
	assert_int_equal(controljson_job(span("{\"jobArn\":\"a b\"}"), &j), -EINVAL);
	assert_int_equal(controljson_job(span("[]"), &j), -EINVAL);
	assert_int_equal(controljson_job(span("{\"jobArn\":\"a\",\"status\":\"New\\nWord\","
					      "\"inputDataConfig\":7,\"totalRecordCount\":-4,"
					      "\"timeoutDurationInHours\":99999999999}"),
					 &j),
			 0);
	assert_null(j.name);
	assert_null(j.input_uri);
	assert_int_equal(j.status.state, JOB_IN_PROGRESS);
	assert_string_equal(j.status.raw, "New Word");
	assert_int_equal(j.status.counts.total, 0);
	assert_int_equal(j.timeout_hours, 0);
}

/* --- requests --- */

static const char *const subnets[] = {"subnet-1", "subnet-2", NULL};
static const char *const groups[] = {"sg-1", NULL};

static void test_create_least(void **state)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(4096);
	struct control_job_spec s = {
		.name = "n",
		.token = "t",
		.model = "m",
		.role = "r",
		.input_uri = "s3://b/i.jsonl",
		.output_uri = "s3://b/o/",
	};

	(void)state;
	controljson_add_create(&out, &s);
	assert_string_equal(
		out.data,
		"{\"jobName\":\"n\",\"clientRequestToken\":\"t\",\"roleArn\":\"r\","
		"\"modelId\":\"m\",\"inputDataConfig\":{\"s3InputDataConfig\":{"
		"\"s3Uri\":\"s3://b/i.jsonl\",\"s3InputFormat\":\"JSONL\"}},"
		"\"outputDataConfig\":{\"s3OutputDataConfig\":{\"s3Uri\":\"s3://b/o/\"}}}");
}

static void test_create_all(void **state)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(4096);
	CLEANUP(kv_release) struct kv tags = KV_INIT;
	struct control_job_spec s = {
		.name = "n",
		.token = "t",
		.model = "m",
		.role = "r",
		.input_uri = "s3://b/i/",
		.input_owner = "111122223333",
		.output_uri = "s3://b/o/",
		.output_owner = "111122223333",
		.kms_key = "alias/k",
		.timeout_hours = 48,
		.invocation = "Converse",
		.subnets = subnets,
		.security_groups = groups,
		.tags = &tags,
	};

	(void)state;
	assert_int_equal(kv_set(&tags, "team", "a \"b\""), 0);
	assert_int_equal(kv_set(&tags, "empty", ""), 0);
	controljson_add_create(&out, &s);
	assert_true(jsonscan_text_is_valid(out.data, out.size));
	assert_string_equal(
		out.data,
		"{\"jobName\":\"n\",\"clientRequestToken\":\"t\",\"roleArn\":\"r\",\"modelId\":\"m\","
		"\"modelInvocationType\":\"Converse\",\"inputDataConfig\":{\"s3InputDataConfig\":{"
		"\"s3Uri\":\"s3://b/i/\",\"s3InputFormat\":\"JSONL\",\"s3BucketOwner\":"
		"\"111122223333\"}},\"outputDataConfig\":{\"s3OutputDataConfig\":{\"s3Uri\":"
		"\"s3://b/o/\",\"s3BucketOwner\":\"111122223333\",\"s3EncryptionKeyId\":"
		"\"alias/k\"}},\"timeoutDurationInHours\":48,\"vpcConfig\":{\"subnetIds\":["
		"\"subnet-1\",\"subnet-2\"],\"securityGroupIds\":[\"sg-1\"]},\"tags\":[{\"key\":"
		"\"team\",\"value\":\"a \\\"b\\\"\"},{\"key\":\"empty\",\"value\":\"\"}]}");
}

/* --- a real answer --- */

static void test_real_list(void **state)
{
	const char *shared = getenv("BATCHFS_SHARED");
	CLEANUP(str_freep) char *path = NULL;
	CLEANUP(file_closep) FILE *f = NULL;
	static char text[256 * 1024];
	struct jsonspan_walk w;
	size_t size, jobs = 0, ended = 0;

	(void)state;
	assert_true(asprintf(&path, "%s/samples/bedrock-wire/list-jobs.2025-01.real.json",
			     shared ? shared : "") >= 0);
	f = fopen(path, "r");
	if (!f)
		SKIP_TEST("no shared samples\n");
	size = fread(text, 1, sizeof(text), f);
	assert_true(jsonscan_text_is_valid(text, size));
	w = jsonspan_walk(jsonspan_get(jsonspan_of(text, size), "invocationJobSummaries"));
	for (; jsonspan_next(&w); jobs++) {
		CLEANUP(control_job_release) struct control_job j = {.arn = NULL};

		assert_int_equal(controljson_job(w.value, &j), 0);
		assert_non_null(j.name);
		assert_non_null(j.input_uri);
		assert_non_null(j.output_uri);
		assert_true(j.submitted_ns > 0 && j.modified_ns >= j.submitted_ns);
		assert_int_equal(j.timeout_hours, 24);
		ended += job_state_is_end(j.status.state);
	}
	assert_true(jobs > 0);
	assert_int_equal(ended, jobs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_times),	    cmocka_unit_test(test_strings),
		cmocka_unit_test(test_states),	    cmocka_unit_test(test_job_whole),
		cmocka_unit_test(test_job_strange), cmocka_unit_test(test_create_least),
		cmocka_unit_test(test_create_all),  cmocka_unit_test(test_real_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
