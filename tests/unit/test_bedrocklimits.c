/* How much a job may be: options, quotas, defaults. */

#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <string.h>

#include "tests/unit/bedrockkit.h"

#define CLAUDE	   "anthropic.claude-3-haiku-20240307-v1:0"
#define NOVA	   "us.amazon.nova-pro-v1:0"
#define CUSTOM	   "arn:aws:bedrock:us-east-1:111122223333:custom-model/amazon.nova-pro-v1:0/ab"
#define ROW(n, v)  "{\"QuotaName\":\"" n "\",\"Value\":" v "}"
#define OF_JOBS	   "Sum of in-progress and submitted batch inference jobs using a "
#define PAGE(rows) ((struct awsserver_reply){.body = "{\"Quotas\":[" rows "]}"})
#define ALL_OF(name)                                                                               \
	ROW("Minimum number of records per batch inference job for " name, "7")                    \
	"," ROW("Records per input file per batch inference job for " name, "40") "," ROW(         \
		"Records per batch inference job for " name,                                       \
		"50") "," ROW("Batch inference input file size (in GB) for " name,                 \
			      "0.5") "," ROW("Batch inference job size (in GB) for " name,         \
					     "2") "," ROW(OF_JOBS "base model for " name,          \
							  "4") "," ROW(OF_JOBS                     \
								       "custom model for " name,   \
								       "2")
#define MODELS                                                                                     \
	"{\"modelSummaries\":[{\"modelId\":\"" CLAUDE                                              \
	"\",\"modelName\":\"Claude 3 Haiku\",\"inferenceTypesSupported\":[\"ON_DEMAND\"]},"        \
	"{\"modelId\":\"amazon.nova-pro-v1:0\",\"modelName\":\"Nova Pro\","                        \
	"\"inferenceTypesSupported\":[\"ON_DEMAND\"]}]}"

static struct backend_limits limits(struct bedrockkit *k, const char *model)
{
	struct backend_limits l;

	k->b->ops->limits(k->b, model, &l);
	return l;
}

/* What the account has is asked for. */
static void learn(struct bedrockkit *k, struct awsserver_reply quotas)
{
	bedrockkit_rule(k, "GET", "/foundation-models", 0,
			(struct awsserver_reply){.body = MODELS});
	bedrockkit_rule(k, "POST", "/", 0, quotas);
	bedrock_of(k->b)->models_next = bedrock_of(k->b)->quotas_next = 0;
	k->b->ops->learn_limits(k->b);
}

static void test_defaults(void **state)
{
	struct bedrockkit k;
	struct backend_limits l;

	(void)state;
	bedrockkit_open(&k, NULL);
	l = limits(&k, CLAUDE);
	assert_int_equal(l.records_min, 100);
	assert_int_equal(l.records_max_per_part, 100000);
	assert_int_equal(l.bytes_max_per_part, 1000000000);
	assert_int_equal(l.parts_at_once, 100);
	assert_int_equal(limits(&k, NULL).parts_at_once, 100);
	assert_int_equal(limits(&k, CUSTOM).parts_at_once, 3);
	assert_int_equal(bedrock_job_bytes_max(bedrock_of(k.b), CLAUDE), 5000000000);
	assert_int_equal(bedrock_job_bytes_max(bedrock_of(k.b), NOVA), 100000000000);
	assert_int_equal(awsserver_count(k.server), 0);
	bedrockkit_close(&k);
}

static void test_options(void **state)
{
	static const struct {
		const char *why, *option;
		uint64_t min, records, bytes;
		unsigned jobs;
	} rows[] = {
		{"none", "jobs=all", 7, 40, 500000000, 4},
		{"the least", "min_records=3", 3, 40, 500000000, 4},
		{"a file takes more, and a job does not", "max_records_per_file=60", 7, 50,
		 500000000, 4},
		{"a job takes more, and a file does not", "max_records_per_job=60", 7, 40,
		 500000000, 4},
		{"less in a job", "max_records_per_job=20", 7, 20, 500000000, 4},
		{"bytes of a file", "max_bytes_per_file=9000000000", 7, 40, 2000000000, 4},
		{"bytes of a job", "max_bytes_per_job=1000", 7, 40, 1000, 4},
		{"jobs", "max_jobs=9", 7, 40, 500000000, 9},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct bedrockkit k;
		struct backend_limits l;

		bedrockkit_open(&k, rows[i].option, NULL);
		learn(&k, PAGE(ALL_OF("Claude 3 Haiku")));
		l = limits(&k, CLAUDE);
		if (l.records_min != rows[i].min || l.records_max_per_part != rows[i].records ||
		    l.bytes_max_per_part != rows[i].bytes || l.parts_at_once != rows[i].jobs)
			fail_msg("%s: %llu %llu %llu %u", rows[i].why,
				 (unsigned long long)l.records_min,
				 (unsigned long long)l.records_max_per_part,
				 (unsigned long long)l.bytes_max_per_part, l.parts_at_once);
		/* Of another model nothing was told. */
		if (strcmp(rows[i].option, "jobs=all") == 0) {
			assert_int_equal(limits(&k, NOVA).records_min, 100);
			assert_int_equal(bedrock_job_bytes_max(bedrock_of(k.b), CLAUDE),
					 2000000000);
		}
		bedrockkit_close(&k);
	}
}

static void test_a_custom_model_and_a_quota_of_nothing(void **state)
{
	struct bedrockkit k;
	struct backend_limits l;

	(void)state;
	bedrockkit_open(&k, NULL);
	learn(&k, PAGE(ALL_OF("Nova Pro") "," ROW(
			  "Records per batch inference job for Claude 3 Haiku", "0")));
	assert_int_equal(limits(&k, NOVA).parts_at_once, 4);
	assert_int_equal(limits(&k, CUSTOM).parts_at_once, 2);
	l = limits(&k, CLAUDE);
	assert_int_equal(l.records_max_per_part, 1); /* nobody divides by nothing */
	bedrockkit_close(&k);
}

static void test_when_it_is_asked(void **state)
{
	struct bedrockkit k;
	struct bedrock *b;

	(void)state;
	bedrockkit_open(&k, NULL);
	b = bedrock_of(k.b);
	learn(&k, PAGE(ALL_OF("Nova Pro")));
	assert_int_equal(bedrockkit_count(&k, "POST", "/"), 1);
	k.b->ops->learn_limits(k.b); /* once only: later it is the poll's */
	bedrock_learn(b);
	assert_int_equal(bedrockkit_count(&k, "POST", "/"), 1);
	k.clock.now_mono_ns += 3601 * NS_PER_S;
	k.b->ops->learn_limits(k.b);
	assert_int_equal(bedrockkit_count(&k, "POST", "/"), 1);
	bedrock_learn(b);
	assert_int_equal(bedrockkit_count(&k, "POST", "/"), 2);
	bedrockkit_close(&k);
}

static void *ask_too(void *ctx)
{
	struct bedrockkit *k = ctx;

	k->b->ops->learn_limits(k->b);
	return limits(k, NOVA).records_min == 7 ? NULL : ctx;
}

static void test_who_comes_meanwhile_waits_for_the_answer(void **state)
{
	struct bedrockkit k;
	pthread_t threads[8];
	void *wrong;

	(void)state;
	bedrockkit_open(&k, NULL);
	bedrockkit_rule(&k, "GET", "/foundation-models", 0,
			(struct awsserver_reply){.body = MODELS});
	bedrockkit_rule(&k, "POST", "/", 0, PAGE(ALL_OF("Nova Pro")));
	bedrock_of(k.b)->models_next = bedrock_of(k.b)->quotas_next = 0;
	for (size_t i = 0; i < COUNT_OF(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ask_too, &k), 0);
	for (size_t i = 0; i < COUNT_OF(threads); i++) {
		assert_int_equal(pthread_join(threads[i], &wrong), 0);
		assert_null(wrong);
	}
	assert_int_equal(bedrockkit_count(&k, "POST", "/"), 1);
	bedrockkit_close(&k);
}

static void test_may_not_be_asked(void **state)
{
	const struct awsserver_reply denied = {
		.status = 400, .headers = "x-amzn-ErrorType: AccessDeniedException\r\n"};
	struct bedrockkit k;

	(void)state;
	bedrockkit_open(&k, "max_jobs=5", NULL);
	learn(&k, denied);
	assert_int_equal(limits(&k, NOVA).records_min, 100);
	assert_int_equal(limits(&k, NOVA).parts_at_once, 5);
	k.clock.now_mono_ns += 7200 * NS_PER_S;
	bedrock_learn(bedrock_of(k.b));
	assert_int_equal(bedrockkit_count(&k, "POST", "/"), 1); /* not every hour */
	k.clock.now_mono_ns += 24 * 3600 * NS_PER_S;
	bedrock_learn(bedrock_of(k.b));
	assert_int_equal(bedrockkit_count(&k, "POST", "/"), 2);
	bedrockkit_close(&k);
}

static void test_a_failure_is_tried_again_and_forgets_nothing(void **state)
{
	struct bedrockkit k;

	(void)state;
	bedrockkit_open(&k, NULL);
	bedrockkit_rule(&k, "POST", "/", 1, (struct awsserver_reply){.status = 500});
	bedrockkit_rule(&k, "POST", "/", 1, PAGE(ALL_OF("Nova Pro")));
	learn(&k, (struct awsserver_reply){.body = "{\"Quotas\":7}"});
	/* Models were not asked for either: nobody waits twice for a network. */
	assert_int_equal(bedrockkit_count(&k, "GET", "/foundation-models"), 0);
	assert_int_equal(limits(&k, NOVA).records_min, 100);
	k.clock.now_mono_ns += 301 * NS_PER_S;
	bedrock_learn(bedrock_of(k.b));
	assert_int_equal(limits(&k, NOVA).records_min, 7);
	k.clock.now_mono_ns += 3601 * NS_PER_S;
	bedrock_learn(bedrock_of(k.b));
	assert_int_equal(bedrockkit_count(&k, "POST", "/"), 3);
	assert_int_equal(limits(&k, NOVA).records_min, 7);
	bedrockkit_close(&k);
}

static void test_a_full_quota_is_told(void **state)
{
	static const struct {
		const char *why, *model, *quotas, *says[3];
	} rows[] = {
		{"a quota that is known",
		 NOVA,
		 ALL_OF("Nova Pro"),
		 {"Code: words; as many jobs of Nova Pro are", "using a base model\" (4)", NULL}},
		{"one that is not",
		 CLAUDE,
		 ALL_OF("Nova Pro"),
		 {"jobs of Claude 3 Haiku are", "has ended", "using a base model\""}},
		{"a custom model",
		 CUSTOM,
		 ALL_OF("Nova Pro"),
		 {"using a custom model\" (2)", NULL}},
		{"a model without a name", "a.b", ALL_OF("Nova Pro"), {"jobs of a.b are", NULL}},
		{"no job at all",
		 NOVA,
		 ROW(OF_JOBS "base model for Nova Pro", "0"),
		 {"may have no batch job of Nova Pro", "increase in Service Quotas", NULL}},
	};
	const struct errmap said = {.class = ERRMAP_QUOTA, .code = "Code", .message = "words"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(buf_release) struct buf body = BUF_INIT(65536);
		struct bedrockkit k;
		struct err e = ERR_INIT;

		bedrockkit_open(&k, NULL);
		buf_addf(&body, "{\"Quotas\":[%s]}", rows[i].quotas);
		learn(&k, (struct awsserver_reply){.body = body.data});
		assert_int_equal(bedrock_tell_full(bedrock_of(k.b), rows[i].model, &said, &e),
				 -EDQUOT);
		for (size_t n = 0; n < COUNT_OF(rows[i].says) && rows[i].says[n]; n++)
			if (!strstr(e.text, rows[i].says[n]))
				fail_msg("%s: no \"%s\" in %s", rows[i].why, rows[i].says[n],
					 e.text);
		bedrockkit_close(&k);
	}
}

static void test_options_that_cannot_be(void **state)
{
	static const struct {
		const char *why, *keys[2], *values[2];
		int r;
	} rows[] = {
		{"as much as at most", {"min_records", "max_records_per_job"}, {"5", "5"}, 0},
		{"more than a job", {"min_records", "max_records_per_job"}, {"6", "5"}, -EINVAL},
		{"more than a file", {"min_records", "max_records_per_file"}, {"6", "5"}, -EINVAL},
		{"the other is the account's", {"min_records", "max_jobs"}, {"600000", "5"}, 0},
	};

	(void)state;
	assert_int_equal(bedrock_check_limits(NULL, NULL), 0);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(kv_release) struct kv options = KV_INIT;
		struct err e = ERR_INIT;

		for (size_t n = 0; n < 2; n++)
			assert_int_equal(kv_set(&options, rows[i].keys[n], rows[i].values[n]), 0);
		if (bedrock_check_limits(&options, &e) != rows[i].r ||
		    (rows[i].r < 0) != (e.text[0] != '\0'))
			fail_msg("%s: %s", rows[i].why, e.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_a_custom_model_and_a_quota_of_nothing),
		cmocka_unit_test(test_when_it_is_asked),
		cmocka_unit_test(test_who_comes_meanwhile_waits_for_the_answer),
		cmocka_unit_test(test_may_not_be_asked),
		cmocka_unit_test(test_a_failure_is_tried_again_and_forgets_nothing),
		cmocka_unit_test(test_a_full_quota_is_told),
		cmocka_unit_test(test_options_that_cannot_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
