/* The control plane: what goes over the wire, and what its answers mean. */

#include "tests/unit/cmocka_all.h"

#include <pthread.h>
#include <string.h>

#include "tests/unit/bedrockkit.h"

#define ARN BEDROCKKIT_ARN "ab12cd34ef56"
#define ARN_PATH                                                                                   \
	"/model-invocation-job/arn%3Aaws%3Abedrock%3Aus-east-1%3A111122223333%3A"                  \
	"model-invocation-job%2Fab12cd34ef56"

#define TYPE(t) "x-amzn-ErrorType: " t "\r\n"

static struct control *control_of(struct bedrockkit *k)
{
	return bedrock_of(k->b)->control;
}

static const struct control_job_spec spec = {
	.name = "job-1",
	.token = "bf-1",
	.model = "amazon.nova-micro-v1:0",
	.role = BEDROCKKIT_ROLE,
	.input_uri = "s3://bucket/i.jsonl",
	.output_uri = "s3://bucket/o/",
};

/* --- get --- */

static void test_get(void **state)
{
	CLEANUP(control_job_release) struct control_job j = {.arn = NULL};
	struct bedrockkit k;
	struct err e = ERR_INIT;

	(void)state;
	bedrockkit_open(&k, NULL);
	bedrockkit_add_job(&k, (struct bedrockkit_job){.id = "ab12cd34ef56",
						       .name = "n",
						       .status = "Scheduled",
						       .submitted_s = BEDROCKKIT_WALL_S});
	assert_int_equal(control_get(control_of(&k), ARN, &j, &e), 0);
	assert_string_equal(j.arn, ARN);
	assert_int_equal(j.status.state, JOB_SCHEDULED);
	assert_string_equal(awsserver_request(k.server, 0)->target, ARN_PATH);
	bedrockkit_check_signed(&k);
	assert_int_equal(control_get(control_of(&k), BEDROCKKIT_ARN "no", &j, &e), -ENOENT);
	bedrockkit_close(&k);
}

/* Where an ARN says another region, that region is asked. */
static void test_region_of_the_arn(void **state)
{
	struct control_job j;
	struct bedrockkit k;

	(void)state;
	bedrockkit_open(&k, NULL);
	assert_int_equal(control_get(control_of(&k),
				     "arn:aws:bedrock:eu-west-1:1:model-invocation-job/x", &j,
				     NULL),
			 -ENOENT);
	assert_non_null(strstr(awsserver_header(awsserver_request(k.server, 0), "authorization"),
			       "/eu-west-1/bedrock/"));
	bedrockkit_close(&k);
}

static void test_what_is_no_arn(void **state)
{
	static const char *const arns[] = {
		"ab12cd34ef56", "", "arn:aws:bedrock", "arn:aws:bedrock:::x",
		"arn:aws:bedrock:evil.example/:1:model-invocation-job/x"};
	struct control_job j;
	struct bedrockkit k;

	(void)state;
	bedrockkit_open(&k, NULL);
	for (size_t i = 0; i < COUNT_OF(arns); i++) {
		struct err e = ERR_INIT;

		assert_int_equal(control_get(control_of(&k), arns[i], &j, &e), -EINVAL);
		assert_true(e.text[0]);
	}
	assert_int_equal(awsserver_count(k.server), 0);
	bedrockkit_close(&k);
}

static void test_answers_that_make_no_sense(void **state)
{
	static const struct {
		const char *why, *body;
	} rows[] = {
		{"no JSON", "<html>"},
		{"cut", "{\"jobArn\":\"" ARN "\""},
		{"an array", "[]"},
		{"no job", "{}"},
		{"a name with spaces", "{\"jobArn\":\"a b\"}"},
		{"another job", "{\"jobArn\":\"" BEDROCKKIT_ARN "ab12cd34ef57\"}"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct control_job j = {.arn = NULL};
		struct bedrockkit k;
		struct err e = ERR_INIT;

		bedrockkit_open(&k, NULL);
		bedrockkit_rule(&k, "GET", "/model-invocation-job/", 0,
				(struct awsserver_reply){.body = rows[i].body});
		if (control_get(control_of(&k), ARN, &j, &e) != -EAGAIN || !e.text[0] || j.arn)
			fail_msg("%s", rows[i].why);
		bedrockkit_close(&k);
	}
}

/* --- create --- */

static void test_create(void **state)
{
	CLEANUP(str_freep) char *arn = NULL;
	struct control_refusal why = {.maybe = true};
	const struct awsserver_request *q;
	struct bedrockkit k;
	struct err e = ERR_INIT;

	(void)state;
	bedrockkit_open(&k, NULL);
	assert_int_equal(control_create(control_of(&k), &spec, &arn, &why, &e), 0);
	assert_string_equal(arn, BEDROCKKIT_ARN "new000000000");
	q = awsserver_request(k.server, 0);
	assert_string_equal(q->method, "POST");
	assert_string_equal(q->target, "/model-invocation-job");
	assert_string_equal(awsserver_header(q, "content-type"), "application/json");
	assert_non_null(strstr(q->body, "\"clientRequestToken\":\"bf-1\""));
	bedrockkit_check_signed(&k);
	bedrockkit_close(&k);
}

static const struct {
	const char *why;
	struct awsserver_reply reply;
	int r;
	bool maybe;
	unsigned sent; /* at most */
} create_rows[] = {
	{"refused",
	 {.status = 400, .headers = TYPE("ValidationException"), .body = "{\"message\":\"no\"}"},
	 -EINVAL,
	 false,
	 1},
	{"not allowed",
	 {.status = 403, .headers = TYPE("AccessDeniedException")},
	 -EACCES,
	 false,
	 1},
	{"the quota is full",
	 {.status = 400, .headers = TYPE("ServiceQuotaExceededException")},
	 -EBUSY,
	 false,
	 1},
	{"a conflict", {.status = 400, .headers = TYPE("ConflictException")}, -EEXIST, false, 1},
	{"the name is in use, told as a validation",
	 {.status = 400,
	  .headers = TYPE("ValidationException"),
	  .body = "{\"message\":\"The provided job name is currently in use.\"}"},
	 -EEXIST,
	 false,
	 1},
	{"throttled: it is asked again",
	 {.status = 429, .headers = TYPE("ThrottlingException")},
	 -EAGAIN,
	 false,
	 9},
	{"an internal error",
	 {.status = 500, .headers = TYPE("InternalServerException")},
	 -EAGAIN,
	 true,
	 1},
	{"the connection is lost", {.how = AWSSERVER_RESET}, -EAGAIN, true, 1},
	{"the answer is cut",
	 {.body = "{\"jobArn\":\"" ARN "\"}", .how = AWSSERVER_CUT},
	 -EAGAIN,
	 true,
	 1},
	{"the answer is no JSON", {.body = "ok"}, -EAGAIN, true, 1},
	{"the answer names no job", {.body = "{}"}, -EAGAIN, true, 1},
	{"the answer names what nothing can be asked about",
	 {.body = "{\"jobArn\":\"ab12cd34ef56\"}"},
	 -EAGAIN,
	 true,
	 1},
};

static void test_create_failures(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(create_rows); i++) {
		CLEANUP(str_freep) char *arn = NULL;
		struct control_refusal why = {.maybe = !create_rows[i].maybe};
		struct bedrockkit k;
		struct err e = ERR_INIT;
		int r;

		bedrockkit_open(&k, NULL);
		bedrockkit_rule(&k, "POST", "/model-invocation-job", 0, create_rows[i].reply);
		r = control_create(control_of(&k), &spec, &arn, &why, &e);
		if (r != create_rows[i].r || why.maybe != create_rows[i].maybe || arn || !e.text[0])
			fail_msg("%s: %d maybe %d %s", create_rows[i].why, r, why.maybe, e.text);
		if (awsserver_count(k.server) > create_rows[i].sent)
			fail_msg("%s: sent %u times", create_rows[i].why,
				 awsserver_count(k.server));
		bedrockkit_close(&k);
	}
}

struct creating {
	struct control *control;
	int r;
};

static void *create_in_thread(void *arg)
{
	struct creating *c = arg;
	struct control_refusal why;
	char *arn = NULL;

	c->r = control_create(c->control, &spec, &arn, &why, NULL);
	free(arn);
	return NULL;
}

/* The second create of a second waits, and the end of the mount ends that. */
static void test_pace(void **state)
{
	CLEANUP(str_freep) char *arn = NULL;
	struct control_refusal why;
	struct creating c;
	struct bedrockkit k;
	pthread_t thread;

	(void)state;
	bedrockkit_open(&k, NULL);
	assert_int_equal(control_create(control_of(&k), &spec, &arn, &why, NULL), 0);
	c.control = control_of(&k);
	assert_int_equal(pthread_create(&thread, NULL, create_in_thread, &c), 0);
	k.b->ops->cancel(k.b);
	pthread_join(thread, NULL);
	assert_int_equal(c.r, -ECANCELED);
	assert_int_equal(awsserver_count(k.server), 1);
	bedrockkit_close(&k);
}

/* --- stop --- */

static void test_stop(void **state)
{
	static const struct {
		const char *why, *status;
		int r;
	} rows[] = {
		{"it runs", "InProgress", 0},
		{"it has ended", "Completed", 0},
		{"it is stopping already", "Stopping", 0},
		{"it cannot be stopped now", "Submitted", -EINVAL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct bedrockkit_job j = {.id = "ab12cd34ef56", .name = "n"};
		const struct awsserver_request *q;
		struct bedrockkit k;
		struct err e = ERR_INIT;
		int r;

		bedrockkit_open(&k, NULL);
		snprintf(j.status, sizeof(j.status), "%s", rows[i].status);
		bedrockkit_add_job(&k, j);
		r = control_stop(control_of(&k), ARN, &e);
		if (r != rows[i].r)
			fail_msg("%s: %d %s", rows[i].why, r, e.text);
		q = awsserver_request(k.server, 0);
		assert_string_equal(q->target, ARN_PATH "/stop");
		assert_string_equal(awsserver_header(q, "content-length"), "0");
		bedrockkit_close(&k);
	}
}

static void test_stop_unknown(void **state)
{
	struct bedrockkit k;
	struct err e = ERR_INIT;

	(void)state;
	bedrockkit_open(&k, NULL);
	assert_int_equal(control_stop(control_of(&k), ARN, &e), -ENOENT);
	assert_true(e.text[0]);
	/* It may have been made a moment ago, and then it runs, and costs. */
	assert_int_equal(k.b->ops->stop(k.b, ARN, &e), -EAGAIN);
	bedrockkit_add_job(&k, (struct bedrockkit_job){
				       .id = "ab12cd34ef56", .name = "n", .status = "InProgress"});
	assert_int_equal(k.b->ops->stop(k.b, ARN, &e), 0);
	bedrockkit_close(&k);
}

/* --- list --- */

struct listed {
	unsigned count, end_at;
	char first[64], last[64];
};

static int on_job(void *ctx, const struct control_job *j)
{
	struct listed *l = ctx;

	if (l->count++ == 0)
		snprintf(l->first, sizeof(l->first), "%s", j->name);
	snprintf(l->last, sizeof(l->last), "%s", j->name);
	return l->count == l->end_at;
}

static void add_jobs(struct bedrockkit *k, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct bedrockkit_job j = {.status = "Completed",
					   .submitted_s = BEDROCKKIT_WALL_S + i};

		snprintf(j.id, sizeof(j.id), "%012u", i);
		snprintf(j.name, sizeof(j.name), "job-%u", i);
		bedrockkit_add_job(k, j);
	}
}

static void test_list_pages(void **state)
{
	const struct control_filter all = {.status = NULL};
	struct listed l = {.count = 0};
	struct bedrockkit k;
	struct err e = ERR_INIT;

	(void)state;
	bedrockkit_open(&k, NULL);
	add_jobs(&k, 9);
	k.page_size = 3;
	assert_int_equal(control_list(control_of(&k), &all, on_job, &l, &e), 0);
	assert_int_equal(l.count, 9);
	assert_string_equal(l.first, "job-8");
	assert_string_equal(l.last, "job-0");
	/* Three full pages, and an empty one: the third had a token. */
	assert_int_equal(awsserver_count(k.server), 4);
	assert_string_equal(awsserver_request(k.server, 0)->target,
			    "/model-invocation-jobs?maxResults=1000&sortBy=CreationTime&"
			    "sortOrder=Descending");
	assert_non_null(strstr(awsserver_request(k.server, 1)->target, "&nextToken=3"));
	bedrockkit_check_signed(&k);
	l = (struct listed){.end_at = 2};
	assert_int_equal(control_list(control_of(&k), &all, on_job, &l, &e), 0);
	assert_int_equal(l.count, 2);
	bedrockkit_close(&k);
}

static void test_list_filters(void **state)
{
	const struct control_filter f = {
		.submitted_after_ns = (BEDROCKKIT_WALL_S + 6) * NS_PER_S,
		.submitted_before_ns = (BEDROCKKIT_WALL_S + 60) * NS_PER_S,
		.status = "Completed",
		.name_contains = "job-8",
		.ascending = true,
	};
	struct listed l = {.count = 0};
	struct bedrockkit k;

	(void)state;
	bedrockkit_open(&k, NULL);
	add_jobs(&k, 9);
	assert_int_equal(control_list(control_of(&k), &f, on_job, &l, NULL), 0);
	assert_int_equal(l.count, 1);
	assert_string_equal(awsserver_request(k.server, 0)->target,
			    "/model-invocation-jobs?maxResults=1000&sortBy=CreationTime&"
			    "sortOrder=Ascending&submitTimeAfter=2026-01-02T03%3A04%3A10Z&"
			    "submitTimeBefore=2026-01-02T03%3A05%3A06Z&statusEquals=Completed&"
			    "nameContains=job-8");
	bedrockkit_check_signed(&k);
	bedrockkit_close(&k);
}

/* A list that was cut must never pass for one without the job. */
static void test_list_failures(void **state)
{
	static const struct {
		const char *why, *body;
		int r;
	} rows[] = {
		{"no JSON", "oops", -EAGAIN},
		{"cut", "{\"invocationJobSummaries\":[", -EAGAIN},
		{"no list", "{}", -EAGAIN},
		{"null for a list", "{\"invocationJobSummaries\":null}", -EAGAIN},
		{"the same page for ever", "{\"invocationJobSummaries\":[],\"nextToken\":\"t\"}",
		 -EIO},
		{"a token that is none", "{\"invocationJobSummaries\":[],\"nextToken\":7}", -EIO},
	};
	const struct control_filter all = {.status = NULL};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct listed l = {.count = 0};
		struct bedrockkit k;
		struct err e = ERR_INIT;
		int r;

		bedrockkit_open(&k, NULL);
		bedrockkit_rule(&k, "GET", "/model-invocation-jobs", 0,
				(struct awsserver_reply){.body = rows[i].body});
		r = control_list(control_of(&k), &all, on_job, &l, &e);
		if (r != rows[i].r || !e.text[0])
			fail_msg("%s: %d %s", rows[i].why, r, e.text);
		bedrockkit_close(&k);
	}
}

/* --- models, profiles --- */

static int on_model(void *ctx, const struct control_model *m)
{
	buf_addf(ctx, "%s,%s,%s,%d%d ", m->id, m->provider ? m->provider : "-",
		 m->lifecycle ? m->lifecycle : "-", m->on_demand, m->profile_only);
	return 0;
}

static int on_profile(void *ctx, const struct control_profile *p)
{
	buf_addf(ctx, "%s,%d", p->id, p->application);
	for (size_t i = 0; p->models[i]; i++)
		buf_addf(ctx, ",%s", p->models[i]);
	buf_add_char(ctx, ' ');
	return 0;
}

static void test_models(void **state)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT(4096);
	struct bedrockkit k;
	struct err e = ERR_INIT;

	(void)state;
	bedrockkit_open(&k, NULL);
	bedrockkit_rule(
		&k, "GET", "/foundation-models", 0,
		(struct awsserver_reply){
			.body = "{\"modelSummaries\":[{\"modelId\":\"a.b\",\"providerName\":\"A\","
				"\"inferenceTypesSupported\":[\"ON_DEMAND\",\"PROVISIONED\"],"
				"\"modelLifecycle\":{\"status\":\"LEGACY\"}},{},"
				"{\"modelId\":\"c.d\",\"inferenceTypesSupported\":"
				"[\"INFERENCE_PROFILE\"]}]}"});
	bedrockkit_rule(
		&k, "GET", "type=SYSTEM_DEFINED", 0,
		(struct awsserver_reply){
			.body = "{\"inferenceProfileSummaries\":[{\"inferenceProfileId\":\"us.a.b\","
				"\"type\":\"SYSTEM_DEFINED\",\"models\":[{\"modelArn\":\"m1\"},"
				"{\"modelArn\":\"m2\"}]}]}"});
	bedrockkit_rule(
		&k, "GET", "type=APPLICATION", 0,
		(struct awsserver_reply){
			.body = "{\"inferenceProfileSummaries\":[{\"inferenceProfileId\":\"mine\","
				"\"type\":\"APPLICATION\"}]}"});
	assert_int_equal(control_models(control_of(&k), on_model, &text, &e), 0);
	assert_string_equal(text.data, "a.b,A,LEGACY,10 c.d,-,-,01 ");
	buf_clear(&text);
	assert_int_equal(control_profiles(control_of(&k), on_profile, &text, &e), 0);
	assert_string_equal(text.data, "us.a.b,0,m1,m2 mine,1 ");
	bedrockkit_check_signed(&k);
	bedrockkit_close(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_get),
		cmocka_unit_test(test_region_of_the_arn),
		cmocka_unit_test(test_what_is_no_arn),
		cmocka_unit_test(test_answers_that_make_no_sense),
		cmocka_unit_test(test_create),
		cmocka_unit_test(test_create_failures),
		cmocka_unit_test(test_pace),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_stop_unknown),
		cmocka_unit_test(test_list_pages),
		cmocka_unit_test(test_list_filters),
		cmocka_unit_test(test_list_failures),
		cmocka_unit_test(test_models),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
