/* Records one by one: what is asked, what becomes of each answer, and when a run
 * goes on. */

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "backend/envelope.h"
#include "fs/base/jsonscan.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/ondemandkit.h"

static const struct awsserver_reply throttled = {
	.status = 429,
	.headers = "x-amzn-ErrorType: ThrottlingException\r\n",
	.body = "{\"message\":\"Too many requests\"}"};

static struct awsserver_reply refusal(int status, const char *header, const char *body)
{
	return (struct awsserver_reply){.status = status, .headers = header, .body = body};
}

static void test_all_good(void **state)
{
	CLEANUP(buf_release) struct buf line = BUF_INIT(4096);
	const struct awsserver_request *q;
	struct err e = ERR_INIT;
	struct ondemandkit k;

	(void)state;
	ondemandkit_open(&k, NULL, NULL);
	ondemandkit_records(&k, 100);
	assert_int_equal(ondemandkit_run(&k, &e), 0);
	assert_int_equal(k.counts.good, 100);
	assert_int_equal(k.counts.failed, 0);
	assert_int_equal(k.tokens.input, 200);
	assert_int_equal(k.tokens.output, 300);
	assert_int_equal(ondemandkit_lines(&k), 100);
	assert_int_equal(ondemandkit_line(&k, "r7", &line), 1);
	assert_string_equal(line.data,
			    "{\"modelInput\":{\"prompt\":\"p7\",\"a\":[1, 2]},\"modelOutput\":"
			    "{\"generation\":\"yes\",  \"prompt_token_count\":2,"
			    "\"generation_token_count\":3,\"stop_reason\":\"stop\"},"
			    "\"recordId\":\"r7\"}");
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(ondemandkit_asked(&k, i), 1);
	q = awsserver_request(k.k.server, 0);
	assert_string_equal(q->method, "POST");
	assert_string_equal(q->target, "/model/us.meta.llama3-3-70b-instruct-v1%3A0/invoke");
	assert_string_equal(awsserver_header(q, "content-type"), "application/json");
	bedrockkit_check_signed(&k.k);
	/* Once more: nothing is left to ask. */
	assert_int_equal(ondemandkit_run(&k, &e), 0);
	assert_int_equal(awsserver_count(k.k.server), 100);
	assert_int_equal(k.counts.good, 100);
	assert_int_equal(k.tokens.output, 300);
	ondemandkit_close(&k);
}

static void test_converse(void **state)
{
	struct err e = ERR_INIT;
	struct ondemandkit k;

	(void)state;
	ondemandkit_open(&k, "invocation=Converse", NULL);
	k.part.model = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/ab";
	ondemandkit_records(&k, 1);
	assert_int_equal(ondemandkit_run(&k, &e), 0);
	assert_string_equal(awsserver_request(k.k.server, 0)->target,
			    "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A111122223333%3A"
			    "application-inference-profile%2Fab/converse");
	ondemandkit_close(&k);
}

/* A record's own failures: told with its code and words, and the run goes on. */
static void test_failed_records(void **state)
{
	static const struct {
		const char *why;
		int status;
		const char *header, *body;
		unsigned asked;
		const char *want;
	} rows[] = {
		{"refused", 400, "x-amzn-ErrorType: ValidationException:http://x\r\n",
		 "{\"message\":\"max_tokens: Field required\"}", 1,
		 "\"error\":{\"errorCode\":400,\"errorMessage\":\"max_tokens: Field required\"},"},
		{"too large", 413, NULL, "{\"message\":\"too large\"}", 1, "\"errorCode\":413,"},
		{"the model failed", 424, "x-amzn-ErrorType: ModelErrorException\r\n",
		 "{\"message\":\"model\"}", 1,
		 "\"errorCode\":424,\"errorMessage\":\"model\",\"retryable\":true}"},
		{"it takes too long, which is not tried for long", 408,
		 "x-amzn-ErrorType: ModelTimeoutException\r\n", "{\"message\":\"time\"}", 3,
		 "\"errorCode\":408,\"errorMessage\":\"time\",\"retryable\":true}"},
		{"fails where others do not", 500, "x-amzn-ErrorType: InternalServerException\r\n",
		 "{\"message\":\"oops\"}", 40,
		 "\"errorCode\":500,\"errorMessage\":\"oops\",\"retryable\":true}"},
		{"no JSON", 200, NULL, "<html>", 1,
		 "\"errorCode\":\"BadOutput\",\"errorMessage\":\"the answer is not a JSON object\","
		 "\"retryable\":true}"},
		{"no object", 200, NULL, "[1]", 1, "\"errorCode\":\"BadOutput\""},
		{"no words at all", 400, NULL, "", 1, "\"errorCode\":400"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(buf_release) struct buf line = BUF_INIT(4096);
		struct err e = ERR_INIT;
		struct ondemandkit k;

		ondemandkit_open(&k, NULL, NULL);
		ondemandkit_records(&k, 5);
		ondemandkit_fate(&k, 2, UINT_MAX,
				 refusal(rows[i].status, rows[i].header, rows[i].body));
		if (ondemandkit_run(&k, &e) != 0)
			fail_msg("%s: %s", rows[i].why, e.text);
		assert_int_equal(k.counts.good, 4);
		assert_int_equal(k.counts.failed, 1);
		assert_int_equal(ondemandkit_line(&k, "r2", &line), 1);
		if (!strstr(line.data, rows[i].want))
			fail_msg("%s: %s", rows[i].why, line.data);
		assert_int_equal(ondemandkit_asked(&k, 2), rows[i].asked);
		/* A failed one is not run again. */
		assert_int_equal(ondemandkit_run(&k, &e), 0);
		assert_int_equal(k.counts.failed, 1);
		assert_int_equal(ondemandkit_asked(&k, 2), rows[i].asked);
		ondemandkit_close(&k);
	}
}

/* What concerns all records: none is marked failed, and the words name the cure. */
static void test_whole_run(void **state)
{
	static const struct {
		const char *why;
		int status;
		const char *header, *body;
		int want;
		const char *words;
	} rows[] = {
		{"not allowed", 403, "x-amzn-ErrorType: AccessDeniedException\r\n",
		 "{\"message\":\"User: arn:aws:iam::111122223333:user/a is not authorized to "
		 "perform: bedrock:InvokeModel on resource: x\"}",
		 -EINVAL, "--print-iam"},
		{"no such model", 404, "x-amzn-ErrorType: ResourceNotFoundException\r\n",
		 "{\"message\":\"Could not resolve the foundation model from the model identifier\"}",
		 -EINVAL, ".batchfs/models"},
		{"no such model, in other words", 400, "x-amzn-ErrorType: ValidationException\r\n",
		 "{\"message\":\"The provided model identifier is invalid.\"}", -EINVAL,
		 ".batchfs/models"},
		{"by a profile only", 400, "x-amzn-ErrorType: ValidationException\r\n",
		 "{\"message\":\"Invocation of model ID x with on-demand throughput isn\xe2\x80\x99t "
		 "supported. Retry\"}",
		 -EINVAL, "profile"},
		{"expired", 403, "x-amzn-ErrorType: ExpiredTokenException\r\n",
		 "{\"message\":\"The security token included in the request is expired\"}", -EAGAIN,
		 "renew them"},
		{"a quota of the account", 400,
		 "x-amzn-ErrorType: ServiceQuotaExceededException\r\n", "{\"message\":\"quota\"}",
		 -EAGAIN, "quota"},
		{"throttled for minutes", 429, "x-amzn-ErrorType: ThrottlingException\r\n",
		 "{\"message\":\"Too many tokens per day\"}", -EAGAIN, "Too many tokens"},
		{"down", 503, "x-amzn-ErrorType: ServiceUnavailableException\r\n",
		 "{\"message\":\"down\"}", -EAGAIN, "down"},
		{"failing for all", 500, NULL, "{\"message\":\"oops\"}", -EAGAIN, "oops"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct err e = ERR_INIT;
		struct ondemandkit k;
		int r;

		ondemandkit_open(&k, NULL, NULL);
		ondemandkit_records(&k, 40);
		k.good = refusal(rows[i].status, rows[i].header, rows[i].body);
		r = ondemandkit_run(&k, &e);
		if (r != rows[i].want || !strstr(e.text, rows[i].words))
			fail_msg("%s: %d %s", rows[i].why, r, e.text);
		assert_int_equal(ondemandkit_lines(&k), 0);
		assert_int_equal(k.counts.failed, 0);
		assert_true(k.told >= 1);
		/* When it is mended the run goes on. */
		k.good = (struct awsserver_reply){.body = "{\"generation\":\"late\"}"};
		if (ondemandkit_run(&k, &e) != 0)
			fail_msg("%s: %s", rows[i].why, e.text);
		assert_int_equal(ondemandkit_lines(&k), 40);
		ondemandkit_close(&k);
	}
}

/* Throttling passes; what has been answered is not asked for again. */
static void test_throttled(void **state)
{
	struct err e = ERR_INIT;
	struct ondemandkit k;

	(void)state;
	ondemandkit_open(&k, NULL, NULL);
	ondemandkit_records(&k, 60);
	for (unsigned i = 0; i < 60; i++)
		ondemandkit_fate(&k, i, i % 13, throttled);
	assert_int_equal(ondemandkit_run(&k, &e), 0);
	assert_int_equal(k.counts.good, 60);
	for (unsigned i = 0; i < 60; i++)
		assert_int_equal(ondemandkit_asked(&k, i), i % 13 + 1);
	ondemandkit_close(&k);
}

/* What was answered before the refusal is kept, and so is what was on its way. */
static void test_refused_in_the_middle(void **state)
{
	struct err e = ERR_INIT;
	struct ondemandkit k;

	(void)state;
	ondemandkit_open(&k, NULL, NULL);
	ondemandkit_records(&k, 100);
	ondemandkit_fate(&k, 50, 1,
			 refusal(403, "x-amzn-ErrorType: AccessDeniedException\r\n",
				 "{\"message\":\"denied\"}"));
	assert_int_equal(ondemandkit_run(&k, &e), -EINVAL);
	assert_true(ondemandkit_lines(&k) >= 34 && ondemandkit_lines(&k) < 100);
	assert_int_equal(ondemandkit_run(&k, &e), 0);
	assert_int_equal(k.counts.good, 100);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(ondemandkit_asked(&k, i), i == 50 ? 2 : 1);
	ondemandkit_close(&k);
}

static void test_stopped(void **state)
{
	struct err e = ERR_INIT;
	struct ondemandkit k;
	unsigned lines;

	(void)state;
	ondemandkit_open(&k, NULL, NULL);
	ondemandkit_records(&k, 400);
	k.stop_at = 50;
	assert_int_equal(ondemandkit_run(&k, &e), -ECANCELED);
	lines = ondemandkit_lines(&k);
	assert_true(lines >= 50 && lines < 400);
	/* What was on its way was waited for. */
	assert_int_equal(awsserver_count(k.k.server), lines);
	assert_int_equal(k.counts.good, lines);
	/* Stopped from the start: nothing is asked. */
	k.stop_at = 1;
	assert_int_equal(ondemandkit_run(&k, &e), -ECANCELED);
	assert_int_equal(awsserver_count(k.k.server), lines);
	k.stop_at = 0;
	assert_int_equal(ondemandkit_run(&k, &e), 0);
	assert_int_equal(awsserver_count(k.k.server), 400);
	ondemandkit_close(&k);
}

/* A stop is heard of while there are no answers at all. */
static bool stop_later(void *ctx, const struct counts *counts, const struct tokens *tokens)
{
	unsigned *left = ctx;

	(void)counts;
	(void)tokens;
	return --*left > 0;
}

static void test_stopped_in_a_storm(void **state)
{
	struct err e = ERR_INIT;
	struct ondemandkit k;
	unsigned left = 3;

	(void)state;
	ondemandkit_open(&k, NULL, NULL);
	ondemandkit_records(&k, 400);
	k.good = throttled;
	assert_int_equal(k.k.b->ops->run_now(k.k.b, &k.part, k.output, stop_later, &left, &e),
			 -ECANCELED);
	assert_int_equal(left, 0);
	assert_int_equal(ondemandkit_lines(&k), 0);
	ondemandkit_close(&k);
}

static void cancel_at(void *ctx, unsigned record, unsigned total)
{
	struct ondemandkit *k = ctx;

	(void)record;
	if (total == 30)
		k->k.b->ops->cancel(k->k.b);
}

static void test_cancelled(void **state)
{
	struct err e = ERR_INIT;
	struct ondemandkit k;

	(void)state;
	ondemandkit_open(&k, NULL, NULL);
	ondemandkit_records(&k, 300);
	ondemandkit_on_ask(&k, cancel_at, &k);
	assert_int_equal(ondemandkit_run(&k, &e), -ECANCELED);
	assert_true(ondemandkit_lines(&k) < 300);
	assert_int_equal(ondemandkit_lines(&k), k.counts.good);
	assert_int_equal(ondemandkit_run(&k, &e), -ECANCELED);
	ondemandkit_close(&k);
}

static void test_torn_line(void **state)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(65536);
	struct err e = ERR_INIT;
	struct ondemandkit k;
	FILE *f;

	(void)state;
	ondemandkit_open(&k, NULL, NULL);
	ondemandkit_records(&k, 3);
	f = fopen(k.output, "we");
	assert_non_null(f);
	fputs("{\"modelInput\":{},\"modelOutput\":{\"generation\":\"old\"},\"recordId\":\"r1\"}\n"
	      "{\"modelInput\":{},\"modelOutput\":{\"generation\":\"torn\"},\"recordI",
	      f);
	fclose(f);
	assert_int_equal(ondemandkit_run(&k, &e), 0);
	ondemandkit_output(&k, &out);
	assert_null(strstr(out.data, "torn"));
	assert_non_null(strstr(out.data, "old"));
	assert_int_equal(ondemandkit_lines(&k), 3);
	assert_int_equal(ondemandkit_asked(&k, 1), 0);
	ondemandkit_close(&k);
}

static void test_refused_input(void **state)
{
	static const struct {
		const char *why, *model, *input;
		int want;
		const char *words;
	} rows[] = {
		{"media", "amazon.nova-micro-v1:0",
		 "{\"recordId\":\"a\",\"modelInput\":{\"x\":\"media://cat.png\"}}\n", -EINVAL,
		 "media://"},
		{"a strange model", "no model\n", "{\"recordId\":\"a\",\"modelInput\":{}}\n",
		 -EINVAL, "model"},
		{"no id", "amazon.nova-micro-v1:0", "{\"modelInput\":{}}\n", -EINVAL, ":1: "},
		{"no object", "amazon.nova-micro-v1:0", "{\"recordId\":\"a\",\"modelInput\":1}\n",
		 -EINVAL, ":1: "},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct err e = ERR_INIT;
		struct ondemandkit k;
		int r;

		ondemandkit_open(&k, NULL, NULL);
		ondemandkit_input(&k, rows[i].input);
		k.part.model = rows[i].model;
		r = ondemandkit_run(&k, &e);
		if (r != rows[i].want || !strstr(e.text, rows[i].words))
			fail_msg("%s: %d %s", rows[i].why, r, e.text);
		assert_int_equal(awsserver_count(k.k.server), 0);
		ondemandkit_close(&k);
	}
}

static void test_no_such_input(void **state)
{
	struct err e = ERR_INIT;
	struct ondemandkit k;

	(void)state;
	ondemandkit_open(&k, NULL, NULL);
	assert_int_equal(ondemandkit_run(&k, &e), -ENOENT);
	ondemandkit_close(&k);
}

static void test_no_newline_at_the_end(void **state)
{
	struct err e = ERR_INIT;
	struct ondemandkit k;

	(void)state;
	ondemandkit_open(&k, NULL, NULL);
	ondemandkit_input(&k, "{\"recordId\":\"a\",\"modelInput\":{\"prompt\":\"p0\"}}\n"
			      "{\"recordId\":\"b\",\"modelInput\":{\"prompt\":\"p1\"}}");
	k.part.record_count = 2;
	assert_int_equal(ondemandkit_run(&k, &e), 0);
	assert_int_equal(ondemandkit_lines(&k), 2);
	ondemandkit_close(&k);
}

/* The disk fills up, and is given room after a while: nothing is asked for twice. */
#define ROOM 1000

struct disk {
	struct ondemandkit *k;
	struct rlimit before;
	unsigned told;
	bool stop;
};

static bool give_room(void *ctx, const struct counts *counts, const struct tokens *tokens)
{
	struct disk *d = ctx;
	struct rlimit small = d->before;
	struct stat st;

	(void)counts;
	(void)tokens;
	small.rlim_cur = ROOM;
	if (d->told++ == 0) {
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
		return true;
	}
	assert_int_equal(stat(d->k->output, &st), 0);
	if (st.st_size < ROOM)
		return true;
	if (!d->stop)
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &d->before), 0);
	return !d->stop;
}

static void test_full_disk(void **state)
{
	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	for (int stop = 0; stop < 2; stop++) {
		struct err e = ERR_INIT;
		struct ondemandkit k;
		struct disk d = {.k = &k, .stop = stop};
		int r;

		ondemandkit_open(&k, NULL, NULL);
		ondemandkit_records(&k, 50);
		assert_int_equal(getrlimit(RLIMIT_FSIZE, &d.before), 0);
		r = k.k.b->ops->run_now(k.k.b, &k.part, k.output, give_room, &d, &e);
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &d.before), 0);
		assert_int_equal(r, stop ? -ECANCELED : 0);
		if (!stop)
			assert_int_equal(ondemandkit_lines(&k), 50);
		for (unsigned i = 0; i < 50; i++)
			assert_true(ondemandkit_asked(&k, i) <= 1);
		ondemandkit_close(&k);
	}
}

static void test_pad(void **state)
{
	static const char line[] =
		"{\"other\":1,\"modelInput\":{\"prompt\":\"p\",\"max_gen_len\":5},\"recordId\":\"a\"}";
	CLEANUP(buf_release) struct buf out = BUF_INIT(4096);
	struct err e = ERR_INIT;
	struct ondemandkit k;

	(void)state;
	ondemandkit_open(&k, NULL, NULL);
	assert_int_equal(k.k.b->ops->pad_record(k.k.b, &k.part, line, strlen(line),
						"batchfs-pad-000001", &out, &e),
			 0);
	assert_string_equal(out.data, "{\"recordId\":\"batchfs-pad-000001\",\"modelInput\":"
				      "{\"prompt\":\"p\",\"max_gen_len\":1}}");
	assert_true(jsonscan_text_is_valid(out.data, out.size));
	assert_int_equal(k.k.b->ops->pad_record(k.k.b, &k.part, "{}", 2, "x", &out, &e), -EINVAL);
	ondemandkit_close(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_good),
		cmocka_unit_test(test_converse),
		cmocka_unit_test(test_failed_records),
		cmocka_unit_test(test_whole_run),
		cmocka_unit_test(test_throttled),
		cmocka_unit_test(test_refused_in_the_middle),
		cmocka_unit_test(test_stopped),
		cmocka_unit_test(test_stopped_in_a_storm),
		cmocka_unit_test(test_cancelled),
		cmocka_unit_test(test_torn_line),
		cmocka_unit_test(test_refused_input),
		cmocka_unit_test(test_no_such_input),
		cmocka_unit_test(test_no_newline_at_the_end),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_pad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
