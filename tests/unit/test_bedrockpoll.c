/* One listing for any number of jobs, and what it makes of them. */

#include "tests/unit/cmocka_all.h"

#include <string.h>

#include "fs/base/jsonscan.h"
#include "fs/base/jsonspan.h"
#include "tests/unit/bedrockkit.h"

#define LIST	"/model-invocation-jobs?"
#define GET	"/model-invocation-job/"
#define TYPE(t) "x-amzn-ErrorType: " t "\r\n"

struct found {
	unsigned count;
	char last_remote[128], last_name[64], last_model[128], last_token[64];
	struct part_status last;
	int64_t submitted_ns, ended_ns;
};

static void on_found(void *ctx, const struct backend_job *j)
{
	struct found *f = ctx;

	f->count++;
	snprintf(f->last_remote, sizeof(f->last_remote), "%s", j->remote);
	snprintf(f->last_name, sizeof(f->last_name), "%s", j->name);
	snprintf(f->last_model, sizeof(f->last_model), "%s", j->model);
	snprintf(f->last_token, sizeof(f->last_token), "%s", j->token ? j->token : "-");
	f->last = j->status;
	f->submitted_ns = j->submitted_ns;
	f->ended_ns = j->ended_ns;
}

/* Job number n, submitted so many seconds after the first. */
static void add(struct bedrockkit *k, unsigned n, const char *status, int64_t after_s)
{
	struct bedrockkit_job j = {.submitted_s = BEDROCKKIT_WALL_S + after_s};

	snprintf(j.id, sizeof(j.id), "%06u", n);
	snprintf(j.name, sizeof(j.name), "job-%u", n);
	snprintf(j.status, sizeof(j.status), "%s", status);
	bedrockkit_add_job(k, j);
}

static void pass(struct bedrockkit *k, int64_t seconds)
{
	k->clock.now_mono_ns += seconds * NS_PER_S;
	k->clock.now_wall_ns += seconds * NS_PER_S;
}

static const char *remote_of(unsigned n)
{
	static char texts[8][128];
	static unsigned next;
	char *text = texts[next++ % 8];

	snprintf(text, sizeof(texts[0]), BEDROCKKIT_ARN "%06u", n);
	return text;
}

static int poll_some(struct bedrockkit *k, const char *const *remotes, struct part_status *results,
		     size_t count, struct found *f)
{
	struct err e = ERR_INIT;
	int r = k->b->ops->poll(k->b, remotes, results, count, f ? on_found : NULL, f, &e);

	if (r < 0 && !e.text[0])
		fail_msg("no words");
	return r;
}

static void set_status(struct bedrockkit *k, size_t n, const char *status, const char *more)
{
	snprintf(k->jobs[n].status, sizeof(k->jobs[n].status), "%s", status);
	k->jobs[n].more = more;
}

/* --- the sweep --- */

static void test_many(void **state)
{
	enum {
		JOBS = 10000
	};
	char(*texts)[96] = calloc(JOBS, sizeof(*texts));
	const char **remotes = calloc(JOBS, sizeof(*remotes));
	struct part_status *results = calloc(JOBS, sizeof(*results));
	struct found f = {.count = 0};
	struct bedrockkit k;

	(void)state;
	assert_true(texts && remotes && results);
	bedrockkit_open(&k, NULL);
	for (unsigned i = 0; i < JOBS; i++) {
		add(&k, i, i % 2 ? "InProgress" : "Completed", i);
		snprintf(texts[i], sizeof(texts[i]), BEDROCKKIT_ARN "%06u", i);
		remotes[i] = texts[i];
	}
	assert_int_equal(poll_some(&k, remotes, results, JOBS, &f), 0);
	assert_int_equal(f.count, JOBS);
	for (unsigned i = 0; i < JOBS; i++)
		assert_int_equal(results[i].state, i % 2 ? JOB_IN_PROGRESS : JOB_COMPLETED);
	/* Ten full pages, and an empty one. */
	assert_int_equal(awsserver_count(k.server), 11);
	assert_int_equal(bedrockkit_count(&k, "GET", GET), 0);
	bedrockkit_close(&k);
	free(texts);
	free(remotes);
	free(results);
}

/* Later sweeps begin at the oldest job that still runs. */
static void test_later_sweeps(void **state)
{
	struct part_status results[2] = {{.state = JOB_SUBMITTED}, {.state = JOB_SUBMITTED}};
	const char *remotes[2] = {remote_of(1), remote_of(2)};
	struct found f = {.count = 0};
	struct bedrockkit k;

	(void)state;
	bedrockkit_open(&k, NULL);
	add(&k, 0, "Completed", 0);
	add(&k, 1, "InProgress", 3600);
	add(&k, 2, "InProgress", 7200);
	pass(&k, 7200);
	assert_int_equal(poll_some(&k, remotes, results, 2, &f), 0);
	assert_int_equal(f.count, 3);
	assert_null(strstr(awsserver_request(k.server, 0)->target, "submitTimeAfter"));
	f.count = 0;
	set_status(&k, 1, "Completed", NULL);
	assert_int_equal(poll_some(&k, remotes, results, 2, &f), 0);
	assert_int_equal(f.count, 2);
	assert_int_equal(results[0].state, JOB_COMPLETED);
	/* A second before: whole seconds go over the wire. */
	assert_non_null(strstr(awsserver_request(k.server, 1)->target,
			       "submitTimeAfter=2026-01-02T04%3A04%3A04Z"));
	/* The first has ended: from five minutes before the youngest on. */
	f.count = 0;
	set_status(&k, 2, "Completed", NULL);
	assert_int_equal(poll_some(&k, remotes + 1, results + 1, 1, &f), 0);
	assert_int_equal(f.count, 1);
	assert_int_equal(results[1].state, JOB_COMPLETED);
	add(&k, 3, "Submitted", 7100);
	assert_int_equal(poll_some(&k, NULL, NULL, 0, &f), 0);
	assert_int_equal(f.count, 3);
	assert_non_null(strstr(awsserver_request(k.server, 3)->target,
			       "submitTimeAfter=2026-01-02T04%3A59%3A04Z"));
	bedrockkit_check_signed(&k);
	bedrockkit_close(&k);
}

/* A job of a time to come does not hide those that come before it. */
static void test_dates_in_the_future(void **state)
{
	struct found f = {.count = 0};
	struct bedrockkit k;

	(void)state;
	bedrockkit_open(&k, NULL);
	add(&k, 0, "Completed", 0);
	add(&k, 1, "Completed", INT64_C(3600) * 24 * 365);
	assert_int_equal(poll_some(&k, NULL, NULL, 0, &f), 0);
	assert_int_equal(f.count, 2);
	pass(&k, 600);
	add(&k, 2, "Completed", 600);
	f.count = 0;
	assert_int_equal(poll_some(&k, NULL, NULL, 0, &f), 0);
	assert_int_equal(f.count, 3);
	/* Ours may be a little behind. */
	add(&k, 3, "Completed", 600 + 299);
	f.count = 0;
	assert_int_equal(poll_some(&k, NULL, NULL, 0, &f), 0);
	assert_int_equal(f.count, 3);
	f.count = 0;
	assert_int_equal(poll_some(&k, NULL, NULL, 0, &f), 0);
	assert_int_equal(f.count, 3);
	assert_non_null(strstr(awsserver_request(k.server, 3)->target,
			       "submitTimeAfter=2026-01-02T03%3A14%3A03Z"));
	bedrockkit_close(&k);
}

/* Jobs of others that run are followed too, if somebody wants to hear of them. */
static void test_others_are_followed(void **state)
{
	struct found f = {.count = 0};
	struct bedrockkit k;

	(void)state;
	bedrockkit_open(&k, NULL);
	add(&k, 0, "InProgress", 0);
	add(&k, 1, "Completed", 7200);
	pass(&k, 7200);
	assert_int_equal(poll_some(&k, NULL, NULL, 0, &f), 0);
	f.count = 0;
	set_status(&k, 0, "Stopped", NULL);
	assert_int_equal(poll_some(&k, NULL, NULL, 0, &f), 0);
	assert_int_equal(f.count, 2);
	assert_int_equal(f.last.state, JOB_STOPPED);
	f.count = 0;
	assert_int_equal(poll_some(&k, NULL, NULL, 0, &f), 0);
	assert_int_equal(f.count, 1);
	/* Nobody asks anything: nothing is asked. */
	assert_int_equal(poll_some(&k, NULL, NULL, 0, NULL), 0);
	assert_int_equal(awsserver_count(k.server), 3);
	bedrockkit_close(&k);
}

static void test_what_is_told(void **state)
{
	struct found f = {.count = 0};
	struct bedrockkit k;

	(void)state;
	bedrockkit_open(&k, NULL);
	add(&k, 7, "Expired", 0);
	/* As a mount names its own: shown as the directory is called there. */
	snprintf(k.jobs[0].name, sizeof(k.jobs[0].name), "job-7-" BEDROCKKIT_DIGITS);
	set_status(&k, 0, "Expired",
		   ",\"clientRequestToken\":\"bf-x\",\"endTime\":\"2026-01-02T03:08:05Z\","
		   "\"lastModifiedTime\":\"2026-01-03T03:04:35Z\",\"timeoutDurationInHours\":24");
	assert_int_equal(poll_some(&k, NULL, NULL, 0, &f), 0);
	assert_string_equal(f.last_remote, remote_of(7));
	assert_string_equal(f.last_name, "job-7");
	assert_string_equal(f.last_token, "bf-x");
	assert_string_equal(f.last_model, "amazon.nova-micro-v1:0");
	assert_int_equal(f.last.state, JOB_EXPIRED);
	assert_int_equal(f.submitted_ns, BEDROCKKIT_WALL_S * NS_PER_S);
	/* Its endTime is the end of its validation. */
	assert_int_equal(f.ended_ns, (BEDROCKKIT_WALL_S + 86430) * NS_PER_S);
	assert_non_null(strstr(f.last.message, "24 hours"));
	assert_true(bedrock_of(k.b)->backend.ops->lists_jobs(k.b));
	bedrockkit_close(&k);
	bedrockkit_open(&k, "jobs=mine", NULL);
	assert_false(k.b->ops->lists_jobs(k.b));
	bedrockkit_close(&k);
}

/* --- results --- */

static void test_results(void **state)
{
	struct part_status results[3] = {
		{.counts = {.total = 9, .good = 5}, .tokens = {.input = 8}}};
	const char *remotes[3] = {remote_of(0), remote_of(1), remote_of(0)};
	struct bedrockkit k;

	(void)state;
	bedrockkit_open(&k, NULL);
	add(&k, 0, "InProgress", 0);
	add(&k, 1, "Failed", 1);
	set_status(&k, 0, "InProgress", ",\"totalRecordCount\":0,\"successRecordCount\":0");
	set_status(&k, 1, "Failed",
		   ",\"message\":\"Batch job arn contains less records (3) than the required "
		   "minimum of: 100\"");
	assert_int_equal(poll_some(&k, remotes, results, 3, NULL), 0);
	/* Counts that are all zero are not known yet. */
	assert_int_equal(results[0].counts.good, 5);
	assert_int_equal(results[0].tokens.input, 8);
	assert_string_equal(results[0].raw, "InProgress");
	assert_int_equal(results[1].state, JOB_FAILED);
	assert_non_null(strstr(results[1].message, "less records (3)"));
	assert_true(strlen(results[1].message) > 90); /* and the cure */
	/* The same twice is told the same twice. */
	assert_int_equal(results[2].state, JOB_IN_PROGRESS);
	assert_int_equal(bedrockkit_count(&k, "GET", GET), 0);
	set_status(&k, 0, "InProgress",
		   ",\"totalRecordCount\":100,\"successRecordCount\":60,\"errorRecordCount\":2,"
		   "\"jobExpirationTime\":\"2026-01-03T03:04:05Z\"");
	assert_int_equal(poll_some(&k, remotes, results, 3, NULL), 0);
	assert_int_equal(results[0].counts.total, 100);
	assert_int_equal(results[0].counts.good, 60);
	assert_int_equal(results[0].counts.failed, 2);
	assert_int_equal(results[0].expires_ns, (BEDROCKKIT_WALL_S + 86400) * NS_PER_S);
	bedrockkit_close(&k);
}

/* What no list shows is asked for one by one, a few a poll, in turn. */
static void test_missing_in_turn(void **state)
{
	enum {
		JOBS = 50
	};
	char texts[JOBS][96];
	const char *remotes[JOBS];
	struct part_status results[JOBS] = {{.state = JOB_SUBMITTED}};
	struct bedrockkit k;

	(void)state;
	bedrockkit_open(&k, NULL);
	for (unsigned i = 0; i < JOBS; i++) {
		add(&k, i, "Scheduled", 0);
		k.jobs[i].unlisted = true;
		snprintf(texts[i], sizeof(texts[i]), BEDROCKKIT_ARN "%06u", i);
		remotes[i] = texts[i];
		results[i].state = JOB_SUBMITTED;
	}
	for (unsigned round = 1; round <= 3; round++) {
		assert_int_equal(poll_some(&k, remotes, results, JOBS, NULL), 0);
		assert_int_equal(bedrockkit_count(&k, "GET", GET), 20 * round);
	}
	for (unsigned i = 0; i < JOBS; i++)
		assert_int_equal(results[i].state, JOB_SCHEDULED);
	bedrockkit_close(&k);
}

/* A job that was just made may be unknown for a while; one that is gone is not
 * waited for for ever. */
static void test_gone(void **state)
{
	struct part_status result = {.state = JOB_SUBMITTED, .raw = "Submitted"};
	const char *remote = remote_of(0);
	struct bedrockkit k;

	(void)state;
	bedrockkit_open(&k, NULL);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(poll_some(&k, &remote, &result, 1, NULL), 0);
		assert_int_equal(result.state, JOB_SUBMITTED);
	}
	k.clock.now_mono_ns += 901 * NS_PER_S;
	assert_int_equal(poll_some(&k, &remote, &result, 1, NULL), 0);
	assert_int_equal(result.state, JOB_FAILED);
	assert_string_equal(result.raw, "gone");
	bedrockkit_close(&k);
}

/* --- failures --- */

static void test_list_not_allowed(void **state)
{
	struct part_status result = {.state = JOB_SUBMITTED};
	const char *remote = remote_of(0);
	struct found f = {.count = 0};
	struct bedrockkit k;

	(void)state;
	bedrockkit_open(&k, NULL);
	bedrockkit_rule(
		&k, "GET", LIST, 0,
		(struct awsserver_reply){.status = 403, .headers = TYPE("AccessDeniedException")});
	add(&k, 0, "InProgress", 0);
	assert_int_equal(poll_some(&k, &remote, &result, 1, &f), 0);
	assert_int_equal(result.state, JOB_IN_PROGRESS);
	assert_int_equal(f.count, 1);
	bedrockkit_close(&k);
}

/* Expired keys are no rule about lists: the poll fails, and says why. */
static void test_expired(void **state)
{
	struct part_status result = {.state = JOB_SUBMITTED};
	const char *remote = remote_of(0);
	struct bedrockkit k;
	struct err e = ERR_INIT;

	(void)state;
	bedrockkit_open(&k, NULL);
	bedrockkit_rule(
		&k, "GET", "", 0,
		(struct awsserver_reply){.status = 403, .headers = TYPE("ExpiredTokenException")});
	assert_int_equal(k.b->ops->poll(k.b, &remote, &result, 1, NULL, NULL, &e), -EAGAIN);
	assert_non_null(strstr(e.text, "ExpiredToken"));
	assert_non_null(strstr(e.text, "credentials"));
	assert_int_equal(bedrockkit_count(&k, "GET", GET), 0);
	bedrockkit_close(&k);
}

static void test_list_fails(void **state)
{
	struct part_status result = {.state = JOB_SUBMITTED, .raw = "x"};
	const char *remote = remote_of(0);
	struct found f = {.count = 0};
	struct bedrockkit k;

	(void)state;
	bedrockkit_open(&k, NULL);
	k.page_size = 1;
	add(&k, 0, "InProgress", 0);
	add(&k, 1, "Completed", 1);
	/* The second page does not come: the sweep is not the first yet. */
	bedrockkit_rule(&k, "GET", "nextToken", 3, (struct awsserver_reply){.status = 500});
	assert_int_equal(poll_some(&k, &remote, &result, 1, &f), -EAGAIN);
	assert_string_equal(result.raw, "x");
	f.count = 0;
	assert_int_equal(poll_some(&k, &remote, &result, 1, &f), 0);
	assert_int_equal(f.count, 2);
	assert_string_equal(result.raw, "InProgress");
	bedrockkit_close(&k);
}

/* One job that cannot be asked about does not keep the others from being told. */
static void test_get_fails(void **state)
{
	struct part_status results[2] = {{.state = JOB_SUBMITTED}, {.state = JOB_SUBMITTED}};
	const char *remotes[2] = {remote_of(0), remote_of(1)};
	struct bedrockkit k;

	(void)state;
	bedrockkit_open(&k, NULL);
	bedrockkit_rule(&k, "GET", GET, 0, (struct awsserver_reply){.status = 500});
	add(&k, 1, "InProgress", 0);
	assert_int_equal(poll_some(&k, remotes, results, 2, NULL), 0);
	assert_int_equal(results[0].state, JOB_SUBMITTED);
	assert_int_equal(results[1].state, JOB_IN_PROGRESS);
	bedrockkit_close(&k);
}

/* That nobody may be asked about is a failure of the poll, with its cure. */
static void test_nothing_is_allowed(void **state)
{
	struct part_status result = {.state = JOB_SUBMITTED, .raw = "x"};
	const char *remote = remote_of(0);
	struct awsserver_reply denied = {
		.status = 403,
		.headers = TYPE("AccessDeniedException"),
		.body = "{\"message\":\"User: x is not authorized to perform: bedrock:y\"}",
	};
	struct err e = ERR_INIT;
	struct bedrockkit k;

	(void)state;
	bedrockkit_open(&k, NULL);
	bedrockkit_rule(&k, "GET", LIST, 0, denied);
	bedrockkit_rule(&k, "GET", GET, 0, denied);
	add(&k, 0, "InProgress", 0);
	assert_int_equal(k.b->ops->poll(k.b, &remote, &result, 1, NULL, NULL, &e), -EACCES);
	assert_non_null(strstr(e.text, "is not authorized to perform: bedrock:y"));
	assert_string_equal(result.raw, "x");
	bedrockkit_close(&k);
}

static void test_cancelled(void **state)
{
	struct part_status result = {.state = JOB_SUBMITTED};
	const char *remote = remote_of(0);
	struct bedrockkit k;

	(void)state;
	bedrockkit_open(&k, NULL);
	k.b->ops->cancel(k.b);
	assert_int_equal(poll_some(&k, &remote, &result, 1, NULL), -ECANCELED);
	bedrockkit_close(&k);
}

/* --- what is told from memory --- */

static void test_describe(void **state)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(8192);
	struct found f = {.count = 0};
	struct bedrockkit k;
	struct jsonspan v;

	(void)state;
	bedrockkit_open(&k, NULL);
	add(&k, 0, "Completed", 0);
	set_status(&k, 0, "Completed",
		   ",\"inputDataConfig\":{\"s3InputDataConfig\":{\"s3Uri\":\"s3://b/i.jsonl\"}},"
		   "\"outputDataConfig\":{\"s3OutputDataConfig\":{\"s3Uri\":\"s3://b/o/\"}}");
	assert_int_equal(poll_some(&k, NULL, NULL, 0, &f), 0);
	buf_add_char(&out, '{');
	k.b->ops->describe(k.b, remote_of(0), "us.amazon.nova-micro-v1:0", &out);
	buf_add_char(&out, '}');
	assert_true(jsonscan_text_is_valid(out.data, out.size));
	v = jsonspan_of(out.data, out.size);
	assert_true(jsonspan_equals(jsonspan_get(v, "arn"), remote_of(0)));
	assert_true(jsonspan_equals(jsonspan_get(v, "region"), "us-east-1"));
	assert_true(jsonspan_equals(jsonspan_get(v, "input"), "s3://b/i.jsonl"));
	assert_true(jsonspan_equals(jsonspan_get(v, "output"), "s3://b/o/"));
	assert_true(jsonspan_equals(jsonspan_get(v, "console"),
				    "https://us-east-1.console.aws.amazon.com/bedrock/home?region="
				    "us-east-1#/batch-inference"));
	assert_true(jsonspan_equals(
		jsonspan_get(v, "cloudwatch"),
		"https://us-east-1.console.aws.amazon.com/cloudwatch/home?region=us-east-1#metricsV2:"
		"graph=~();query=~'*7bAWS*2fBedrock*2fBatch*2cModelId*7d*20amazon.nova-micro-v1*3a0"));
	buf_clear(&out);
	buf_add_char(&out, '{');
	k.b->ops->describe(k.b, NULL, "m\"x", &out);
	buf_add_char(&out, '}');
	assert_true(jsonscan_text_is_valid(out.data, out.size));
	assert_null(jsonspan_get(jsonspan_of(out.data, out.size), "arn").at);
	bedrockkit_close(&k);
}

static void test_advise(void **state)
{
	static const struct {
		const char *why, *code, *words, *advice;
	} rows[] = {
		{"known", "400", "model: Extra inputs are not permitted", "take the one named"},
		{"with what it is about", "403", "Customer doesn't have permissions to invokeModel",
		 "may not call us.x.y-1"},
		{"a code that is a word", "ValidationException", "URL sources are not supported",
		 "media://FILE"},
		{"nobody tries it again", "429", "Too many requests", NULL},
		{"nobody does, by any name", "ThrottlingException", "Too many requests", NULL},
		{"nor this", "500", "InternalServerException", NULL},
		{"not known", "400", "the moon is full", NULL},
	};
	struct bedrockkit k;

	(void)state;
	bedrockkit_open(&k, NULL);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(buf_release) struct buf out = BUF_INIT(8192);

		k.b->ops->advise(k.b, "us.x.y-1", rows[i].code, rows[i].words, &out);
		if (rows[i].advice ? !strstr(out.data, rows[i].advice) : out.size > 0)
			fail_msg("%s: %s", rows[i].why, out.data);
	}
	bedrockkit_close(&k);
}

static void test_models(void **state)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(65536);
	struct found f = {.count = 0};
	struct bedrockkit k;

	(void)state;
	bedrockkit_open(&k, NULL);
	bedrockkit_rule(
		&k, "GET", "/foundation-models", 0,
		(struct awsserver_reply){
			.body = "{\"modelSummaries\":[{\"modelId\":\"amazon.nova-lite-v1:0\","
				"\"modelName\":\"Nova Lite\",\"inferenceTypesSupported\":"
				"[\"ON_DEMAND\"]}]}"});
	k.b->ops->models(k.b, &out);
	assert_non_null(strstr(out.data, "amazon.nova-micro-v1:0\t")); /* not asked yet */
	bedrock_of(k.b)->models_next = 0;
	assert_int_equal(poll_some(&k, NULL, NULL, 0, &f), 0);
	assert_int_equal(poll_some(&k, NULL, NULL, 0, &f), 0);
	assert_int_equal(bedrockkit_count(&k, "GET", "/foundation-models"), 1); /* once an hour */
	buf_clear(&out);
	k.b->ops->models(k.b, &out);
	assert_string_equal(out.data, "amazon.nova-lite-v1:0\tNova\tNova Lite\n");
	k.clock.now_mono_ns += 3601 * NS_PER_S;
	assert_int_equal(poll_some(&k, NULL, NULL, 0, &f), 0);
	assert_int_equal(bedrockkit_count(&k, "GET", "/foundation-models"), 2);
	buf_clear(&out);
	k.b->ops->metrics(k.b, &out);
	assert_non_null(strstr(out.data, "batchfs_aws_requests_total "));
	bedrockkit_close(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_later_sweeps),
		cmocka_unit_test(test_dates_in_the_future),
		cmocka_unit_test(test_others_are_followed),
		cmocka_unit_test(test_what_is_told),
		cmocka_unit_test(test_results),
		cmocka_unit_test(test_missing_in_turn),
		cmocka_unit_test(test_gone),
		cmocka_unit_test(test_list_not_allowed),
		cmocka_unit_test(test_expired),
		cmocka_unit_test(test_list_fails),
		cmocka_unit_test(test_get_fails),
		cmocka_unit_test(test_nothing_is_allowed),
		cmocka_unit_test(test_cancelled),
		cmocka_unit_test(test_describe),
		cmocka_unit_test(test_advise),
		cmocka_unit_test(test_models),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
