/* A job is asked for exactly once, whatever becomes of the answer. */

#include "tests/unit/cmocka_all.h"

#include <string.h>

#include "tests/unit/bedrockkit.h"
#include "tests/unit/tempdir.h"

#define TYPE(t)	 "x-amzn-ErrorType: " t "\r\n"
#define NAME	 "My-job-2-" BEDROCKKIT_DIGITS
#define CREATE	 "/model-invocation-job"
#define ASKED_NS (BEDROCKKIT_WALL_S * NS_PER_S)
#define DAY_S	 (24 * 3600)

static struct backend_part part(void)
{
	return (struct backend_part){
		.token = BEDROCKKIT_TOKEN,
		.job_name = "My job (2)",
		.model = "amazon.nova-micro-v1:0",
		.input_path = "/nowhere",
		.record_count = 100,
		.attempt = 1,
	};
}

/* A source, a part, and what its create has answered. */
struct asking {
	struct bedrockkit k;
	struct backend_part p;
	char *arn;
	struct err e;
};

#define OPEN(a, ...)                                                                               \
	do {                                                                                       \
		(a)->p = part();                                                                   \
		(a)->arn = NULL;                                                                   \
		bedrockkit_open(&(a)->k, __VA_ARGS__);                                             \
	} while (0)

static void asking_close(struct asking *a)
{
	bedrockkit_close(&a->k);
	str_freep(&a->arn);
}

static unsigned creates(const struct asking *a)
{
	unsigned n = 0;

	for (unsigned i = 0; i < awsserver_count(a->k.server); i++)
		n += strcmp(awsserver_request(a->k.server, i)->target, CREATE) == 0;
	return n;
}

static void turn(struct asking *a, int64_t seconds)
{
	a->k.clock.now_mono_ns += seconds * NS_PER_S;
	a->k.clock.now_wall_ns += seconds * NS_PER_S;
}

/* The same source in another environment. */
static void reopen(struct asking *a)
{
	const struct bedrock_place place = {.bucket = "bucket", .prefix = "", .clock = &a->k.clock};

	a->k.b->ops->close(a->k.b);
	assert_int_equal(bedrock_open(&place, &a->k.b, &a->e), 0);
	aws_set_pause_unit(bedrock_of(a->k.b)->aws, 0);
	assert_int_equal(kv_set(&bedrock_of(a->k.b)->options, "role", BEDROCKKIT_ROLE), 0);
}

static void add_job(struct asking *a, const char *id, const char *token, const char *status)
{
	struct bedrockkit_job j = {.name = NAME, .submitted_s = BEDROCKKIT_WALL_S};

	snprintf(j.id, sizeof(j.id), "%s", id);
	snprintf(j.token, sizeof(j.token), "%s", token);
	snprintf(j.status, sizeof(j.status), "%s", status);
	bedrockkit_add_job(&a->k, j);
}

static int create(struct asking *a)
{
	a->e.text[0] = '\0';
	str_freep(&a->arn);
	return a->k.b->ops->create(a->k.b, &a->p, &a->arn, &a->e);
}

/* --- what goes out --- */

static void test_request(void **state)
{
	CLEANUP(kv_release) struct kv config = KV_INIT;
	struct asking a;

	(void)state;
	OPEN(&a, "timeout=48", "invocation=Converse", "tags=a:b", "subnets=s-1;s-2",
	     "security_groups=g-1", "bucket_owner=111122223333", "kms_key=alias/k", NULL);
	assert_int_equal(kv_set(&config, "timeout", "72"), 0);
	assert_int_equal(kv_set(&config, "bucket_owner", "evil"), 0); /* not for a job to say */
	a.p.config = &config;
	assert_int_equal(create(&a), 0);
	assert_string_equal(a.arn, BEDROCKKIT_ARN "new000000000");
	assert_string_equal(
		bedrockkit_find(&a.k, "POST", CREATE, 0)->body,
		"{\"jobName\":\"" NAME "\",\"clientRequestToken\":\"" BEDROCKKIT_TOKEN "\","
		"\"roleArn\":\"" BEDROCKKIT_ROLE "\",\"modelId\":\"amazon.nova-micro-v1:0\","
		"\"modelInvocationType\":\"Converse\",\"inputDataConfig\":{\"s3InputDataConfig\":{"
		"\"s3Uri\":\"s3://bucket/batch/" NAME "/input.jsonl\",\"s3InputFormat\":\"JSONL\","
		"\"s3BucketOwner\":\"111122223333\"}},\"outputDataConfig\":{"
		"\"s3OutputDataConfig\":{\"s3Uri\":\"s3://bucket/batch/" NAME "/output/\","
		"\"s3BucketOwner\":\"111122223333\",\"s3EncryptionKeyId\":\"alias/k\"}},"
		"\"timeoutDurationInHours\":72,\"vpcConfig\":{\"subnetIds\":[\"s-1\",\"s-2\"],"
		"\"securityGroupIds\":[\"g-1\"]},\"tags\":[{\"key\":\"a\",\"value\":\"b\"}]}");
	/* The first time nothing is looked for. */
	assert_int_equal(awsserver_count(a.k.server), 1);
	bedrockkit_check_signed(&a.k);
	asking_close(&a);
}

/* With media the folder is the input. */
static void test_media_folder(void **state)
{
	static const struct {
		const char *record, *uri;
	} rows[] = {
		{"{\"recordId\":\"a\",\"modelInput\":{\"u\":\"media://x.png\"}}\n",
		 "\"s3://bucket/batch/" NAME "/\""},
		{"{\"recordId\":\"a\",\"modelInput\":{}}\n",
		 "\"s3://bucket/batch/" NAME "/input.jsonl\""},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct tempdir_name input = tempdir_path(state, "input");
		FILE *f = fopen(input.text, "w");
		struct asking a;

		assert_non_null(f);
		assert_true(fputs(rows[i].record, f) >= 0);
		assert_int_equal(fclose(f), 0);
		OPEN(&a, NULL);
		a.p.input_path = input.text;
		a.p.media_path = *state;
		assert_int_equal(create(&a), 0);
		assert_non_null(
			strstr(bedrockkit_find(&a.k, "POST", CREATE, 0)->body, rows[i].uri));
		asking_close(&a);
	}
}

static void test_no_role(void **state)
{
	struct asking a;

	(void)state;
	OPEN(&a, NULL);
	kv_release(&bedrock_of(a.k.b)->options);
	assert_int_equal(create(&a), -EINVAL);
	assert_non_null(strstr(a.e.text, "role"));
	assert_int_equal(awsserver_count(a.k.server), 0);
	asking_close(&a);
}

/* --- answers --- */

static const struct {
	const char *why;
	struct awsserver_reply reply;
	int r;
	const char *words;
} failures[] = {
	{"refused, with words",
	 {.status = 400,
	  .headers = TYPE("ValidationException"),
	  .body = "{\"message\":\"Batch inference is not supported for the requested model.\"}"},
	 -EINVAL,
	 "Batch inference is not supported for the requested model; "},
	{"not allowed",
	 {.status = 403,
	  .headers = TYPE("AccessDeniedException"),
	  .body = "{\"message\":\"User: x is not authorized to perform: iam:PassRole on resource: y\"}"},
	 -EINVAL,
	 "iam:PassRole"},
	{"the quota is full",
	 {.status = 400,
	  .headers = TYPE("ServiceQuotaExceededException"),
	  .body = "{\"message\":\"too many jobs\"}"},
	 -EDQUOT,
	 "too many jobs; as many jobs of "},
	{"throttled", {.status = 429, .headers = TYPE("ThrottlingException")}, -EBUSY, ""},
	{"expired keys", {.status = 403, .headers = TYPE("ExpiredTokenException")}, -EBUSY, ""},
	{"an internal error", {.status = 500}, -EAGAIN, ""},
	{"lost", {.how = AWSSERVER_RESET}, -EAGAIN, ""},
	{"cut", {.body = "{\"jobArn\":\"x\"}", .how = AWSSERVER_CUT}, -EAGAIN, ""},
	{"somebody else has the name",
	 {.status = 400, .headers = TYPE("ConflictException"), .body = "{\"message\":\"in use\"}"},
	 -EINVAL,
	 "in use"},
};

static void test_failures(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(failures); i++) {
		struct asking a;
		int r;

		OPEN(&a, NULL);
		bedrockkit_rule(&a.k, "POST", CREATE, 0, failures[i].reply);
		r = create(&a);
		if (r != failures[i].r || !a.e.text[0] || !strstr(a.e.text, failures[i].words) ||
		    a.arn)
			fail_msg("%s: %d %s", failures[i].why, r, a.e.text);
		asking_close(&a);
	}
}

static void test_out_of_reach(void **state)
{
	struct asking a;

	(void)state;
	OPEN(&a, NULL);
	setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1", 1);
	reopen(&a);
	assert_int_equal(create(&a), -EBUSY); /* certainly not created */
	assert_true(a.e.text[0]);
	asking_close(&a);
}

static void test_no_credentials(void **state)
{
	struct asking a;

	(void)state;
	OPEN(&a, NULL);
	unsetenv("AWS_ACCESS_KEY_ID");
	unsetenv("AWS_SECRET_ACCESS_KEY");
	reopen(&a);
	assert_int_equal(create(&a), -EBUSY);
	assert_true(a.e.text[0]);
	assert_int_equal(awsserver_count(a.k.server), 0);
	asking_close(&a);
}

/* --- lost answers --- */

static void test_lost_and_found(void **state)
{
	struct asking a;

	(void)state;
	OPEN(&a, NULL);
	a.k.create_is_lost = true;
	assert_int_equal(create(&a), -EAGAIN);
	a.p.asked_ns = ASKED_NS;
	assert_int_equal(create(&a), 0);
	assert_string_equal(a.arn, BEDROCKKIT_ARN "new000000000");
	assert_int_equal(creates(&a), 1);
	/* One list was enough: the name is unique. */
	assert_int_equal(bedrockkit_count(&a.k, "GET", "/model-invocation-jobs"), 1);
	assert_non_null(strstr(bedrockkit_find(&a.k, "GET", "/model-invocation-jobs", 0)->target,
			       "nameContains=" BEDROCKKIT_DIGITS));
	bedrockkit_check_signed(&a.k);
	asking_close(&a);
}

/* Found without the filter, too; the directory may have another name by now. */
static void test_found_by_token(void **state)
{
	struct asking a;

	(void)state;
	OPEN(&a, NULL);
	a.k.create_is_lost = true;
	a.k.filter_is_broken = true;
	assert_int_equal(create(&a), -EAGAIN);
	a.p.asked_ns = ASKED_NS;
	a.p.job_name = "renamed";
	assert_int_equal(create(&a), 0);
	assert_int_equal(creates(&a), 1);
	asking_close(&a);
}

static void test_not_another_ones(void **state)
{
	struct asking a;

	(void)state;
	OPEN(&a, NULL);
	add_job(&a, "theirs", "another", "InProgress");
	a.p.asked_ns = ASKED_NS;
	assert_int_equal(create(&a), -EAGAIN);
	assert_null(a.arn);
	asking_close(&a);
}

/* The list lags: nothing is sent within the grace, and once it is over the job
 * is listed. */
static void test_listed_late(void **state)
{
	struct asking a;

	(void)state;
	OPEN(&a, "create_grace=60", NULL);
	a.k.create_is_lost = a.k.create_is_late = true;
	assert_int_equal(create(&a), -EAGAIN);
	a.p.asked_ns = ASKED_NS;
	turn(&a, 59);
	assert_int_equal(create(&a), -EAGAIN);
	assert_non_null(strstr(a.e.text, "lost; looking for the job until 2026-01-02T03:05:05Z"));
	assert_int_equal(creates(&a), 1);
	a.k.jobs[0].unlisted = false;
	turn(&a, 10);
	assert_int_equal(create(&a), 0);
	assert_int_equal(creates(&a), 1);
	asking_close(&a);
}

static void test_never_arrived(void **state)
{
	struct asking a;

	(void)state;
	OPEN(&a, "create_grace=60", NULL);
	bedrockkit_rule(&a.k, "POST", CREATE, 1, (struct awsserver_reply){.how = AWSSERVER_RESET});
	assert_int_equal(create(&a), -EAGAIN);
	a.p.asked_ns = ASKED_NS;
	turn(&a, 61);
	assert_int_equal(create(&a), 0);
	assert_int_equal(creates(&a), 2);
	assert_string_equal(bedrockkit_find(&a.k, "POST", CREATE, 0)->body,
			    bedrockkit_find(&a.k, "POST", CREATE, 1)->body);
	assert_int_equal(a.k.job_count, 1);
	asking_close(&a);
}

/* The second answer is lost as well: the grace begins anew. */
static void test_lost_twice(void **state)
{
	struct asking a;

	(void)state;
	OPEN(&a, "create_grace=60", NULL);
	bedrockkit_rule(&a.k, "POST", CREATE, 2, (struct awsserver_reply){.how = AWSSERVER_RESET});
	assert_int_equal(create(&a), -EAGAIN);
	a.p.asked_ns = ASKED_NS;
	turn(&a, 100);
	assert_int_equal(create(&a), -EAGAIN);
	assert_int_equal(creates(&a), 2);
	turn(&a, 30);
	assert_int_equal(create(&a), -EAGAIN);
	assert_int_equal(creates(&a), 2);
	turn(&a, 31);
	assert_int_equal(create(&a), 0);
	assert_int_equal(creates(&a), 3);
	asking_close(&a);
}

/* It was first sent long ago; but when it was last sent, or whether it left only
 * just before its process died, nobody knows. */
static void test_after_a_crash(void **state)
{
	struct asking a;

	(void)state;
	for (int look_only = 0; look_only < 2; look_only++) {
		OPEN(&a, "create_grace=60", NULL);
		a.p.asked_ns = ASKED_NS - 3600 * NS_PER_S;
		a.p.look_only = look_only;
		assert_int_equal(create(&a), -EAGAIN);
		turn(&a, 59);
		assert_int_equal(create(&a), -EAGAIN);
		assert_int_equal(creates(&a), 0);
		turn(&a, 2);
		assert_int_equal(create(&a), look_only ? -ENOENT : 0);
		asking_close(&a);
	}
}

static void test_after_a_day(void **state)
{
	struct asking a;

	(void)state;
	OPEN(&a, NULL);
	a.p.asked_ns = ASKED_NS;
	turn(&a, DAY_S + 1);
	assert_int_equal(create(&a), -EINVAL);
	assert_non_null(strstr(a.e.text, "write model again"));
	assert_int_equal(creates(&a), 0);
	/* But one that is there is found after a month, too. */
	add_job(&a, "ours", BEDROCKKIT_TOKEN, "Completed");
	turn(&a, 30 * DAY_S);
	assert_int_equal(create(&a), 0);
	assert_string_equal(a.arn, BEDROCKKIT_ARN "ours");
	asking_close(&a);
}

/* Whatever stands in the way of looking: nothing is sent, nothing given up. */
static void test_cannot_look(void **state)
{
	static const struct {
		const char *why;
		struct awsserver_reply reply;
	} rows[] = {
		{"not allowed", {.status = 403, .headers = TYPE("AccessDeniedException")}},
		{"throttled", {.status = 429, .headers = TYPE("ThrottlingException")}},
		{"broken", {.status = 500}},
		{"cut", {.body = "{\"invocationJobSummaries\":[]}", .how = AWSSERVER_CUT}},
		{"no list", {.body = "{}"}},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct asking a;
		int r;

		OPEN(&a, "create_grace=0", NULL);
		bedrockkit_rule(&a.k, "GET", "/model-invocation-jobs", 0, rows[i].reply);
		a.p.asked_ns = ASKED_NS;
		turn(&a, 2 * DAY_S);
		r = create(&a);
		if (r != -EAGAIN || creates(&a) != 0 || !a.e.text[0])
			fail_msg("%s: %d %s", rows[i].why, r, a.e.text);
		asking_close(&a);
	}
}

/* The name is in use, by a job of ours that no list shows yet. */
static void test_conflict_with_ourselves(void **state)
{
	struct asking a;

	(void)state;
	OPEN(&a, "create_grace=0", NULL);
	a.k.create_is_lost = a.k.create_is_late = true;
	assert_int_equal(create(&a), -EAGAIN);
	a.p.asked_ns = ASKED_NS;
	turn(&a, 1);
	assert_int_equal(create(&a), -EAGAIN);
	assert_int_equal(a.k.job_count, 1);
	a.k.jobs[0].unlisted = false;
	assert_int_equal(create(&a), 0);
	assert_int_equal(a.k.job_count, 1);
	asking_close(&a);
}

static void test_look_only(void **state)
{
	struct asking a;

	(void)state;
	OPEN(&a, "create_grace=60", NULL);
	a.p.look_only = true;
	assert_int_equal(create(&a), -ENOENT);
	a.p.asked_ns = ASKED_NS;
	assert_int_equal(create(&a), -EAGAIN); /* a list may lag */
	turn(&a, 61);
	assert_int_equal(create(&a), -ENOENT);
	turn(&a, 2 * DAY_S);
	assert_int_equal(create(&a), -ENOENT);
	add_job(&a, "ours", BEDROCKKIT_TOKEN, "Completed");
	assert_int_equal(create(&a), 0);
	assert_int_equal(creates(&a), 0);
	asking_close(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request),
		cmocka_unit_test_setup_teardown(test_media_folder, tempdir_setup, tempdir_teardown),
		cmocka_unit_test(test_no_role),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_out_of_reach),
		cmocka_unit_test(test_no_credentials),
		cmocka_unit_test(test_lost_and_found),
		cmocka_unit_test(test_found_by_token),
		cmocka_unit_test(test_not_another_ones),
		cmocka_unit_test(test_listed_late),
		cmocka_unit_test(test_never_arrived),
		cmocka_unit_test(test_lost_twice),
		cmocka_unit_test(test_after_a_crash),
		cmocka_unit_test(test_after_a_day),
		cmocka_unit_test(test_cannot_look),
		cmocka_unit_test(test_conflict_with_ourselves),
		cmocka_unit_test(test_look_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
