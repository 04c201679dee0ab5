/* Rows of Service Quotas, in the spellings that were met; names of models. */

#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <string.h>

#include "backend/aws/modelnames.h"
#include "backend/aws/quotas.h"
#include "tests/unit/awskit.h"

#define G	 1000000000ull
#define NOT_TOLD UINT64_MAX

static void add(struct quotas *q, const char *rows, const char *token)
{
	CLEANUP(buf_release) struct buf body = BUF_INIT(65536), next = BUF_INIT(4096);
	struct err e = ERR_INIT;

	buf_addf(&body, "{\"Quotas\":[%s]%s%s%s}", rows, token ? ",\"NextToken\":\"" : "",
		 token ? token : "", token ? "\"" : "");
	if (quotas_add_page(q, body.data, body.size, &next, &e) < 0)
		fail_msg("%s", e.text);
	assert_string_equal(next.data ? next.data : "", token ? token : "");
}

static const struct {
	const char *why, *name, *value, *unit, *model;
	enum quota quota;
	uint64_t wanted; /* NOT_TOLD: the row is not the model's */
} rows[] = {
	{"as documented", "Records per batch inference job for Claude Sonnet 4.6", "50000.0",
	 "None", "Claude Sonnet 4.6", QUOTA_RECORDS_JOB, 50000},
	{"the least", "Minimum number of records per batch inference job for Nova Micro", "100",
	 "None", "Nova Micro", QUOTA_RECORDS_MIN, 100},
	{"of a file", "Records per input file per batch inference job for Nova Micro", "7", "None",
	 "Nova Micro", QUOTA_RECORDS_FILE, 7},
	{"jobs at once",
	 "Sum of in-progress and submitted batch inference jobs using a base model for Nova Micro",
	 "20.0", "None", "Nova Micro", QUOTA_JOBS, 20},
	{"of custom models",
	 "Sum of in-progress and submitted batch inference jobs using a custom model for Titan Text "
	 "Embeddings V2",
	 "3", "None", "Titan Text Embeddings V2", QUOTA_JOBS_CUSTOM, 3},
	{"a file's size", "Batch inference input file size (in GB) for Claude 3 Haiku", "1", "None",
	 "Claude 3 Haiku", QUOTA_BYTES_FILE, G},
	{"a job's size", "Batch inference job size (in GB) for Nova Pro", "100.0", "None",
	 "Nova Pro", QUOTA_BYTES_JOB, 100 * G},
	{"the unit at the end", "Batch inference job size for Qwen3 Coder 480B (in GB)", "5",
	 "None", "Qwen3 Coder 480B", QUOTA_BYTES_JOB, 5 * G},
	{"a part of a GB", "Batch inference input file size (in GB) for Nova Lite", "0.2", "None",
	 "Nova Lite", QUOTA_BYTES_FILE, 200000000},
	{"another unit", "Batch inference input file size (in MB) for Nova Lite", "200", "None",
	 "Nova Lite", QUOTA_BYTES_FILE, 200000000},
	{"the unit beside it", "Batch inference input file size for Nova Lite", "200", "Megabytes",
	 "Nova Lite", QUOTA_BYTES_FILE, 200000000},
	{"no unit is GB", "Batch inference job size for Nova Lite", "5", "None", "Nova Lite",
	 QUOTA_BYTES_JOB, 5 * G},
	{"a full stop", "Records per batch inference job for Claude Sonnet 4.5.", "9", "None",
	 "Claude Sonnet 4.5", QUOTA_RECORDS_JOB, 9},
	{"another case, and blanks", "RECORDS PER  BATCH INFERENCE JOB FOR claude  sonnet 4.5", "9",
	 "None", "Claude Sonnet 4.5", QUOTA_RECORDS_JOB, 9},
	{"with the maker", "Records per batch inference job for Anthropic Claude Sonnet 4.5", "9",
	 "None", "Claude Sonnet 4.5", QUOTA_RECORDS_JOB, 9},
	{"a hyphen less", "Records per batch inference job for OpenAI GPT OSS 120B", "9", "None",
	 "gpt-oss-120b", QUOTA_RECORDS_JOB, 9},
	{"a word less", "Records per batch inference job for Llama 3.3 70B", "9", "None",
	 "Llama 3.3 70B Instruct", QUOTA_RECORDS_JOB, 9},
	{"brackets more", "Records per batch inference job for Mistral Small", "9", "None",
	 "Mistral Small (24.02)", QUOTA_RECORDS_JOB, 9},
	{"a first version", "Records per batch inference job for Amazon Nova Micro V1.0", "9",
	 "None", "Nova Micro", QUOTA_RECORDS_JOB, 9},
	{"jobs in other words", "Concurrent batch inference jobs for Nova Micro", "2", "None",
	 "Nova Micro", QUOTA_JOBS, 2},
	{"nothing at all is told", "Concurrent batch inference jobs for Nova Micro", "0", "None",
	 "Nova Micro", QUOTA_JOBS, 0},
	{"a longer version", "Records per batch inference job for Claude Sonnet 4.5", "9", "None",
	 "Claude Sonnet 4", QUOTA_RECORDS_JOB, NOT_TOLD},
	{"a shorter one", "Records per batch inference job for Claude Sonnet 4", "9", "None",
	 "Claude Sonnet 4.5", QUOTA_RECORDS_JOB, NOT_TOLD},
	{"a second version", "Records per batch inference job for Claude 3.5 Sonnet v2", "9",
	 "None", "Claude 3.5 Sonnet", QUOTA_RECORDS_JOB, NOT_TOLD},
	{"another generation", "Records per batch inference job for Nova 2 Lite", "9", "None",
	 "Nova Lite", QUOTA_RECORDS_JOB, NOT_TOLD},
	{"not of batch jobs", "Records per training job for Nova Lite", "9", "None", "Nova Lite",
	 QUOTA_RECORDS_JOB, NOT_TOLD},
	{"of batch jobs, and none of these", "Colour of batch inference jobs for Nova Lite", "9",
	 "None", "Nova Lite", QUOTA_RECORDS_JOB, NOT_TOLD},
	{"no model", "Records per batch inference job", "9", "None", "Nova Lite", QUOTA_RECORDS_JOB,
	 NOT_TOLD},
	{"no model behind for", "Records per batch inference job for (in GB)", "9", "None",
	 "Nova Lite", QUOTA_RECORDS_JOB, NOT_TOLD},
	{"a value that is none", "Records per batch inference job for Nova Lite", "\"9\"", "None",
	 "Nova Lite", QUOTA_RECORDS_JOB, NOT_TOLD},
	{"less than nothing", "Records per batch inference job for Nova Lite", "-9", "None",
	 "Nova Lite", QUOTA_RECORDS_JOB, NOT_TOLD},
	{"more than there is", "Records per batch inference job for Nova Lite", "1e99", "None",
	 "Nova Lite", QUOTA_RECORDS_JOB, NOT_TOLD},
	{"a model without a name", "Records per batch inference job for Nova Lite", "9", "None", "",
	 QUOTA_RECORDS_JOB, NOT_TOLD},
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(buf_release) struct buf row = BUF_INIT(4096);
		struct quotas *q = NULL;
		struct quotas_found f;

		assert_int_equal(quotas_new(&q), 0);
		buf_addf(
			&row,
			"{\"QuotaCode\":\"L-1\",\"QuotaName\":\"%s\",\"Value\":%s,\"Unit\":\"%s\"}",
			rows[i].name, rows[i].value, rows[i].unit);
		add(q, row.data, NULL);
		quotas_find(q, rows[i].model, &f);
		if (f.is_known[rows[i].quota] != (rows[i].wanted != NOT_TOLD) ||
		    (rows[i].wanted != NOT_TOLD && f.value[rows[i].quota] != rows[i].wanted))
			fail_msg("%s: %llu", rows[i].why,
				 (unsigned long long)f.value[rows[i].quota]);
		quotas_free(q);
	}
}

#define ROW(name, value) "{\"QuotaName\":\"" name "\",\"Value\":" value "}"
#define JOB_RECORDS	 "Records per batch inference job for "
#define LEAST		 "Minimum number of records per batch inference job for "

static void test_which_of_several(void **state)
{
	struct quotas *q = NULL;
	struct quotas_found f;

	(void)state;
	assert_int_equal(quotas_new(&q), 0);
	add(q,
	    ROW(JOB_RECORDS "Mistral Large",
		"30") "," ROW(JOB_RECORDS "Mistral Large (24.07)",
			      "20") "," ROW(JOB_RECORDS "Mistral Large (24.02)", "10"),
	    "more");
	add(q, ROW(LEAST "Mistral Large (24.02)", "5") "," ROW(LEAST "Mistral Large (24.07)", "9"),
	    NULL);
	quotas_find(q, "Mistral Large (24.07)", &f);
	assert_int_equal(f.value[QUOTA_RECORDS_JOB], 20); /* its own */
	assert_int_equal(f.value[QUOTA_RECORDS_MIN], 9);
	quotas_find(q, "Mistral Large V1", &f);
	assert_int_equal(f.value[QUOTA_RECORDS_JOB], 10); /* the strictest */
	assert_int_equal(f.value[QUOTA_RECORDS_MIN], 9);
	assert_false(f.is_known[QUOTA_JOBS]);
	quotas_free(q);
}

static void test_nonsense(void **state)
{
	static const char *const texts[] = {
		"", "{", "[]", "{\"Quotas\":{}}", "{\"Quotas\":null}", "<html>"};
	CLEANUP(buf_release) struct buf token = BUF_INIT(4096), name = BUF_INIT(65536);
	struct quotas *q = NULL;
	struct quotas_found f;

	(void)state;
	assert_int_equal(quotas_new(&q), 0);
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		struct err e = ERR_INIT;

		if (quotas_add_page(q, texts[i], strlen(texts[i]), &token, &e) != -EBADMSG ||
		    !e.text[0])
			fail_msg("%s", texts[i]);
	}
	/* Rows that are none, and a name that is too long, are passed over. */
	add(q, "1,null,[],{},{\"QuotaName\":7,\"Value\":1}", NULL);
	buf_add_str(&name, "{\"QuotaName\":\"" JOB_RECORDS);
	for (int i = 0; i < 300; i++)
		buf_add_str(&name, "long");
	buf_add_str(&name, "\",\"Value\":1}");
	add(q, name.data, NULL);
	quotas_find(q, "long", &f);
	assert_false(f.is_known[QUOTA_RECORDS_JOB]);
	quotas_free(q);
	quotas_free(NULL);
}

static void test_pages(void **state)
{
	static const struct awsserver_reply replies[] = {
		{.body = "{\"Quotas\":[" ROW(JOB_RECORDS "Nova Lite",
					     "5") "],\"NextToken\":\"a\\\"b\"}"},
		{.body = "{\"Quotas\":[],\"NextToken\":\"c\"}"},
		{.body = "{\"Quotas\":[" ROW(LEAST "Nova Lite", "2") "]}"},
		{.status = 400, .headers = "x-amzn-ErrorType: AccessDeniedException\r\n"},
		{.status = 500},
	};
	struct awskit k;
	struct quotas *q = NULL;
	struct quotas_found f;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(quotas_new(&q), 0);
	awskit_begin(&k);
	awskit_open(&k);
	awsserver_script(k.server, replies, COUNT_OF(replies));
	assert_int_equal(quotas_read(q, k.aws, "us-east-1", NS_PER_S, &e), 0);
	assert_int_equal(awsserver_count(k.server), 3);
	assert_string_equal(
		awskit_signed(&k, 1)->body,
		"{\"ServiceCode\":\"bedrock\",\"MaxResults\":100,\"NextToken\":\"a\\\"b\"}");
	quotas_find(q, "Nova Lite", &f);
	assert_int_equal(f.value[QUOTA_RECORDS_JOB], 5);
	assert_int_equal(f.value[QUOTA_RECORDS_MIN], 2);
	assert_int_equal(quotas_read(q, k.aws, "us-east-1", NS_PER_S, &e), -EACCES);
	assert_int_equal(quotas_read(q, k.aws, "us-east-1", NS_PER_S, &e), -EAGAIN);
	assert_int_equal(awsserver_count(k.server), 5); /* each once */
	quotas_free(q);
	awskit_end(&k);
}

static void test_names(void **state)
{
	static const struct {
		const char *why, *model, *name;
	} names[] = {
		{"an id", "anthropic.claude-sonnet-4-6", "Claude Sonnet 4.6"},
		{"a profile", "us.anthropic.claude-sonnet-4-6", "Claude Sonnet 4.6"},
		{"a model's ARN",
		 "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0", "Nova Lite"},
		{"a profile's ARN",
		 "arn:aws:bedrock:us-east-1:111122223333:inference-profile/us.amazon.nova-lite-v1:0",
		 "Nova Lite"},
		{"a profile of one's own",
		 "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/ab12",
		 "Nova Pro"},
		{"a custom model",
		 "arn:aws:bedrock:us-east-1:111122223333:custom-model/amazon.nova-lite-v1:0.x/ab12cd34ef56",
		 "Nova Lite"},
		{"a variant", "amazon.nova-lite-v1:0:24k", "Nova Lite"},
		{"the variant that is listed", "amazon.nova-lite-v1:0:300k", "Nova Lite 300k"},
		{"a longer id", "anthropic.claude-sonnet-4-65", NULL},
		{"another model", "amazon.nova-micro-v1:0", NULL},
		{"another profile of one's own",
		 "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/cd34", NULL},
		{"nothing", "", NULL},
	};
	struct modelnames m = MODELNAMES_INIT;

	(void)state;
	assert_null(modelnames_find(&m, "x"));
	assert_int_equal(modelnames_add(&m, "anthropic.claude-sonnet-4-6", "Claude Sonnet 4.6"), 0);
	assert_int_equal(modelnames_add(&m, "amazon.nova-lite-v1:0", "Nova Lite"), 0);
	assert_int_equal(modelnames_add(&m, "amazon.nova-lite-v1:0:300k", "Nova Lite 300k"), 0);
	assert_int_equal(modelnames_add(&m,
					"arn:aws:bedrock:us-east-1:111122223333:application-"
					"inference-profile/ab12",
					"Nova Pro"),
			 0);
	assert_int_equal(modelnames_add(&m, "amazon.nova-micro-v1:0", ""), 0); /* no name is none */
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		const char *name = modelnames_find(&m, names[i].model);

		if ((name == NULL) != (names[i].name == NULL) ||
		    (name && strcmp(name, names[i].name) != 0))
			fail_msg("%s: %s", names[i].why, name ? name : "none");
	}
	for (int i = 0; i < 5000; i++) /* a list without an end has one here */
		assert_int_equal(modelnames_add(&m, "a.b", "c"), 0);
	assert_int_equal(m.count, 4096);
	modelnames_release(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),	 cmocka_unit_test(test_which_of_several),
		cmocka_unit_test(test_nonsense), cmocka_unit_test(test_pages),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
