/* Every failure that users have reported has its cause and cure. */

#include <string.h>

#include "backend/aws/cures.h"
#include "tests/unit/cmocka_all.h"

#define MODEL	   "us.anthropic.claude-haiku-4-5-20251001-v1:0"
#define ROLE	   "arn:aws:iam::111122223333:role/BatchRole"
#define CALLER	   "arn:aws:iam::111122223333:user/me"
#define VALIDATION "ValidationException"

static const struct cures_context full = {MODEL, "us-east-1", ROLE, "in-bucket", CALLER};

/* In the order of the reference's table; code or words may be NULL. */
static const struct {
	const char *code, *words;
	const char *cause, *cure; /* parts */
} failures[] = {
	{NULL,
	 "Batch job arn:aws:bedrock:us-east-1:111122223333:model-invocation-job/ab12cd34ef56 contains "
	 "less records (3) than the required minimum of: 100",
	 "minimum of records", "add records"},
	{VALIDATION, "Batch inference is not supported for the requested model.",
	 MODEL " does not run in batch jobs, or not in us-east-1",
	 "global.anthropic.claude-haiku-4-5-20251001-v1:0"},
	{VALIDATION, "Batch inference is not supported for model x.y-1 in region eu-west-9",
	 "does not run in batch jobs", "another region"},
	{VALIDATION, "The provided ARN is invalid", "whole ARN", "proxy"},
	{"UnknownOperationException", NULL, "as it was sent", "%2F"},
	{VALIDATION, "The provided ARN is invalid for the service region", "another region",
	 "-o region="},
	{VALIDATION, "The provided model identifier is invalid.", "not known in us-east-1",
	 ".batchfs/models"},
	{VALIDATION,
	 "Invocation of model ID anthropic.x with on-demand throughput isn\xe2\x80\x99t supported. "
	 "Retry your request with the ID or ARN of an inference profile that contains this model.",
	 "inference profile only", "global.anthropic.claude-haiku-4-5-20251001-v1:0"},
	{"AccessDeniedException",
	 "User: " CALLER " is not authorized to perform: iam:PassRole on resource: " ROLE,
	 CALLER " may not hand " ROLE, "iam:PassedToService"},
	{"AccessDeniedException",
	 "User: " CALLER " is not authorized to perform: bedrock:CreateModelInvocationJob on "
	 "resource: arn:aws:bedrock:us-west-2::foundation-model/x.y",
	 "may not create jobs", "the resource named there"},
	{"AccessDeniedException", "Cross-account pass role is not allowed.", "another account",
	 "in the account of " CALLER},
	{VALIDATION,
	 "Your account is not authorized to perform this action. Please create a support case with "
	 "AWS Support.",
	 "not yet enabled", "support case"},
	{VALIDATION,
	 "Could not validate GetObject permissions to access Amazon S3 bucket: b at key k.jsonl.",
	 ROLE " cannot read", "s3:GetObject on in-bucket"},
	{NULL, "Could not validate ListBucket permissions for S3URI s3://b/k/",
	 "cannot list the bucket", "use a bucket in us-east-1"},
	{NULL, "No jsonl files found in s3URI: s3://b/k/", "no object ending in .jsonl",
	 "run the job again"},
	{NULL, "Customer doesn't have permissions to invokeModel", ROLE " may not call " MODEL,
	 "bedrock:InvokeModel"},
	{NULL,
	 "Model access is denied due to IAM user or service role is not authorized to perform the "
	 "required AWS Marketplace actions (aws-marketplace:ViewSubscriptions, "
	 "aws-marketplace:Subscribe) to enable access to this model.",
	 "for the first time", "aws-marketplace:Subscribe"},
	{"ResourceNotFoundException",
	 "Model use case details have not been submitted for this account. Fill out the form.",
	 "a form", "quarter of an hour"},
	{"ConflictException", "The provided job name is currently in use.", "a live job",
	 "a name of its own"},
	{"ServiceQuotaExceededException",
	 "Your account has too many jobs of the kind in the states in-progress and submitted",
	 "as many jobs", "Service Quotas"},
	{"AccessDeniedException",
	 "User: " CALLER " is not authorized to perform: bedrock:CreateModelInvocationJob on "
	 "resource: x with an explicit deny in a service control policy",
	 "aws:ResourceOrgID", "exempt"},
	{NULL,
	 "`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
	 "not both", "take one out"},
	{NULL, "`temperature` is deprecated for this model.", "no temperature", "take them out"},
	{NULL, "Malformed input request: anthropic_version: Field required", "Claude's form",
	 "bedrock-2023-05-31"},
	{NULL, "model: Extra inputs are not permitted", "refuses members", "take the one named"},
	{NULL, "The maximum tokens you requested exceeds the model limit of 10000", "more output",
	 "lower max_tokens"},
	{NULL, "messages.0.content.1.image.source: URL sources are not supported",
	 "do not fetch from the web", "media://FILE"},
	{VALIDATION, "The job cannot be stopped. State was: Completed", "already ended", "nothing"},
	{"ResourceNotFoundException", "Could not find it.", "no such job", "-o profile="},
	{"ExpiredTokenException", "The security token included in the request is expired",
	 "have run out", "log in again"},
	{"ThrottlingException", "Too many requests, please wait before trying again.", "at once",
	 "more slowly"},
	{"NoSuchKey", "The specified key does not exist.", "not there", "wait for the job's end"},
	{"Expired", NULL, "still waiting when its time was up", "timeout = 168"},
	{"InvalidSignatureException", "Signature does not match.", "clock", "timedatectl"},

	/* More than that table has. */
	{"SignatureDoesNotMatch", NULL, "clock", "proxy"},
	{"UnrecognizedClientException", "The security token included in the request is invalid.",
	 "does not know these credentials", "-o profile="},
	{"PartiallyCompleted", "", "before all records had run", "retry"},
	{"AccessDenied", "Access Denied", CALLER " may not do this in in-bucket", "--print-iam"},
	{"NoSuchBucket", "The specified bucket does not exist", "no such bucket", "in-bucket"},
	{"PermanentRedirect", "The bucket must be addressed at another endpoint", "another region",
	 "us-east-1"},
	{"AccessDeniedException", "User: x is not authorized to perform: bedrock:TagResource on y",
	 "no policy of", "named there"},
	{"AccessDeniedException", "User: x is not authorized to perform: kms:Decrypt on y",
	 "the KMS key", "kms:GenerateDataKey"},
};

static void test_all_failures(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(failures); i++) {
		CLEANUP(buf_release) struct buf out = BUF_INIT(8000);
		const char *words = failures[i].words, *at;
		size_t size;

		cures_add(&out, failures[i].code, words, &full);
		if (!words || !*words)
			words = failures[i].code;
		size = strlen(words) - (words[strlen(words) - 1] == '.');
		if (strncmp(out.data, words, size) != 0 || strncmp(out.data + size, "; ", 2) != 0)
			fail_msg("not the service's words first: %s", out.data);
		at = strstr(out.data + size, failures[i].cause);
		if (!at || !strstr(at, failures[i].cure) || !strstr(at, ": "))
			fail_msg("no \"%s\" and \"%s\": %s", failures[i].cause, failures[i].cure,
				 out.data);
		if (strpbrk(out.data + size, "{}\n"))
			fail_msg("not filled in: %s", out.data);
	}
}

static void test_each_row_is_met(void **state)
{
	size_t count;
	const struct cures_row *rows = cures_rows(&count);

	(void)state;
	assert_true(count >= 34);
	for (size_t i = 0; i < count; i++) {
		CLEANUP(buf_release) struct buf known = BUF_INIT(8000);
		char words[200];

		/* Its own first alternative leads to it and to no earlier row. */
		snprintf(words, sizeof(words), "%.*s", (int)strcspn(rows[i].match, "|"),
			 rows[i].match + (rows[i].match[0] == '='));
		words[strcspn(words, "|")] = '\0';
		cures_add(&known, NULL, words, NULL);
		if (!strstr(known.data, "; ") ||
		    strncmp(strstr(known.data, "; ") + 2, rows[i].cause,
			    strcspn(rows[i].cause, "{")) != 0)
			fail_msg("%s: %s", words, known.data);
		for (size_t k = 0; k < 2; k++) {
			const char *text = k ? rows[i].cure : rows[i].cause;

			assert_true(strlen(text) > 15);
			if (strchr(". ", text[strlen(text) - 1]))
				fail_msg("ends with '.': %s", text);
		}
	}
}

static void test_unknown_words(void **state)
{
	static const struct {
		const char *why, *code, *words, *line;
	} rows[] = {
		{"never seen", VALIDATION, "The moon is full.", "The moon is full."},
		{"no words", "WeirdException", NULL, "WeirdException"},
		{"nothing at all", NULL, NULL, ""},
		{"a part of a word that ended a job", NULL, "Your card is expired, sir.",
		 "Your card is expired, sir."},
		{"lines become one", NULL, "a\nb\tc\x01", "a b c "},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(buf_release) struct buf out = BUF_INIT(8000);

		cures_add(&out, rows[i].code, rows[i].words, &full);
		if (strcmp(out.data, rows[i].line) != 0)
			fail_msg("%s: %s", rows[i].why, out.data);
	}
}

static void test_advice_alone(void **state)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(8000);

	(void)state;
	cures_add_advice(&out, NULL, "`temperature` is deprecated for this model.", NULL);
	assert_string_equal(out.data, "this model takes no temperature, top_p and top_k any more: "
				      "take them out of the record");
	buf_clear(&out);
	cures_add_advice(&out, NULL, "The moon is full.", &full);
	cures_add_advice(&out, NULL, NULL, &full);
	assert_int_equal(out.size, 0);
}

static void test_little_is_known(void **state)
{
	static const struct cures_context little = {.role = "", .model = "{caller}\n"};
	CLEANUP(buf_release) struct buf out = BUF_INIT(8000);

	(void)state;
	cures_add(&out, NULL, "Customer doesn't have permissions to invokeModel", NULL);
	assert_non_null(strstr(out.data, "the service role may not call the model"));
	buf_clear(&out);
	cures_add(&out, NULL, "Customer doesn't have permissions to invokeModel", &little);
	assert_non_null(strstr(out.data, "the service role may not call {caller} :"));
	buf_clear(&out);
	cures_add(&out, NULL, "on-demand throughput isn't supported", NULL);
	assert_non_null(strstr(out.data, "us.MODEL"));
}

static void test_long_words(void **state)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(100000);
	CLEANUP(str_freep) char *words = malloc(50001);

	(void)state;
	assert_non_null(words);
	memset(words, '.', 50000);
	words[50000] = '\0';
	cures_add(&out, words, words, &full);
	assert_true(out.size <= 2048);
}

static void test_errors_of_calls(void **state)
{
	static const struct {
		const char *why, *text;
		const char *advised; /* a part; NULL: as it was */
	} rows[] = {
		{"a wrong secret", "PUT http://x/in.jsonl: SignatureDoesNotMatch (request 1)",
		 "(request 1); the clock is wrong, the secret key is, or"},
		{"S3 has no words in HEAD",
		 "cannot look at s3://b/k: HEAD http://x/k: status 400 (request t)",
		 "(request t); S3 says no more; most often the credentials"},
		{"a region that there is not",
		 "SignatureDoesNotMatch: Credential should be scoped to a "
		 "valid region.",
		 "; AWS has no such region"},
		{"AWS is ill", "GET http://x/: ServiceUnavailableException: Service is unavailable",
		 "; AWS has a trouble of its own"},
		{"no network",
		 "HEAD http://x/: the server does not answer in time (after 60048 ms)",
		 "after 60048 ms); the service is down, or a network"},
		{"no name", "GET http://x/: the server has a name that cannot be resolved (x)",
		 "; there is no such host"},
		{"no TLS", "GET https://x/: the server cannot be talked to over TLS (x)",
		 "AWS_CA_BUNDLE=FILE"},
		{"advice is there already", "the session's token has expired; run aws sso login",
		 NULL},
		{"nothing is known", "cannot open in.jsonl: Permission denied", NULL},
	};
	CLEANUP(buf_release) struct buf endless = BUF_INIT(ERR_TEXT_MAX);
	struct err e = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		err_set(&e, 0, "%s", rows[i].text);
		cures_advise(&e, &full);
		if (rows[i].advised ? !strstr(e.text, rows[i].advised)
				    : strcmp(e.text, rows[i].text) != 0)
			fail_msg("%s: %s", rows[i].why, e.text);
		assert_memory_equal(e.text, rows[i].text, strlen(rows[i].text) - 1);
	}
	/* What a service repeats of a request leaves room for the cure. */
	while (endless.size < 900)
		buf_add_str(&endless, "SignatureDoesNotMatch: \xc3\xa4\xc3\xa4 ");
	err_set(&e, 0, "%s", endless.data);
	cures_advise(&e, &full);
	assert_non_null(strstr(e.text, "SignatureDoesNotMatch: \xc3\xa4\xc3\xa4 ...; the clock"));
	assert_non_null(strstr(e.text, "look for a proxy"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_failures),	cmocka_unit_test(test_each_row_is_met),
		cmocka_unit_test(test_unknown_words),	cmocka_unit_test(test_little_is_known),
		cmocka_unit_test(test_advice_alone),	cmocka_unit_test(test_long_words),
		cmocka_unit_test(test_errors_of_calls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
