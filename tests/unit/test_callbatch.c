/* Many calls at once: all of them end once, whatever happens. */

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "backend/aws/call_private.h"
#include "fs/base/buf.h"
#include "tests/unit/awskit.h"

#define CALLS_MAX 200

struct kit {
	struct awskit k;
	unsigned count, next;	 /* of calls */
	unsigned stop_next_at;	 /* next() fails then; 0: never */
	unsigned stop_done_at;	 /* the how-manieth done() fails; 0: none */
	unsigned cancel_done_at; /* the how-manieth done() ends the mount */
	unsigned done, good, cancelled;
	atomic_bool cancel;
	bool has_cancel;
	char paths[CALLS_MAX][16];
	unsigned ends[CALLS_MAX]; /* how often each has ended */
};

static int next(void *ctx, struct aws_request *ret, void **ret_tag, struct err *e)
{
	struct kit *kit = ctx;
	unsigned i = kit->next;

	if (kit->stop_next_at && i == kit->stop_next_at)
		return err_set(e, -EIO, "nothing more to read");
	if (i == kit->count)
		return 0;
	kit->next++;
	snprintf(kit->paths[i], sizeof(kit->paths[i]), "/%u", i);
	*ret = (struct aws_request){
		.method = "PUT",
		.service = "s3",
		.region = "us-east-1",
		.origin = awsserver_origin(kit->k.server),
		.path = kit->paths[i],
		.body = kit->paths[i],
		.body_size = strlen(kit->paths[i]),
		.auth = AWS_AUTH_S3,
	};
	*ret_tag = &kit->ends[i];
	return 1;
}

static int done(void *ctx, void *tag, int r, const struct aws_answer *answer, struct err *e)
{
	struct kit *kit = ctx;
	unsigned *ends = tag;

	++*ends;
	kit->done++;
	kit->good += r == 0;
	kit->cancelled += r == -ECANCELED;
	assert_true((r == 0) == (answer->error.class == ERRMAP_OK));
	assert_true((r == 0) == !e->text[0]);
	assert_int_equal(answer->body[answer->body_size], 0);
	if (r == 0) { /* the answer is to this request, and not to another */
		char want[32];

		snprintf(want, sizeof(want), "/%u", (unsigned)(ends - kit->ends));
		assert_string_equal(answer->body, want);
	}
	if (kit->cancel_done_at && kit->done == kit->cancel_done_at)
		aws_cancel(kit->k.aws);
	if (kit->stop_done_at && kit->done == kit->stop_done_at)
		return err_set(e, -ENOSPC, "the disk is full");
	return 0;
}

static void begin(struct kit *kit, unsigned count)
{
	memset(kit, 0, sizeof(*kit));
	awskit_begin(&kit->k);
	awskit_open(&kit->k);
	kit->count = count;
}

static int run(struct kit *kit, unsigned parallel, struct err *e)
{
	const struct aws_batch batch = {.parallel = parallel,
					.next = next,
					.done = done,
					.cancel = kit->has_cancel ? &kit->cancel : NULL,
					.ctx = kit};
	int r = aws_run_batch(kit->k.aws, &batch, e);

	for (unsigned i = 0; i < CALLS_MAX; i++)
		if (kit->ends[i] != (i < kit->next))
			fail_msg("call %u ended %u times", i, kit->ends[i]);
	return r;
}

/* Answers with the path, and keeps the texts; may misbehave now and then. */
struct echo {
	struct buf texts[4 * CALLS_MAX];
	unsigned count;
	unsigned bad_every;
	struct awsserver_reply bad;
	unsigned gather;
};

static void echo(void *ctx, const struct awsserver_request *q, struct awsserver_reply *reply)
{
	struct echo *to = ctx;
	unsigned i = to->count++;

	if (to->bad_every && i % to->bad_every == 0) {
		*reply = to->bad;
		return;
	}
	buf_add_str(&to->texts[i], q->target);
	reply->body = to->texts[i].data;
	reply->gather = to->gather;
}

static struct echo *echo_new(struct kit *kit)
{
	struct echo *to = calloc(1, sizeof(*to));

	assert_non_null(to);
	for (size_t i = 0; i < COUNT_OF(to->texts); i++)
		buf_init(&to->texts[i], 64);
	awsserver_handle(kit->k.server, echo, to);
	return to;
}

static void end(struct kit *kit, struct echo *to)
{
	awskit_end(&kit->k);
	for (size_t i = 0; to && i < COUNT_OF(to->texts); i++)
		buf_release(&to->texts[i]);
	free(to);
}

static void test_all_are_done(void **state)
{
	static const struct {
		const char *why;
		unsigned count, parallel, bad_every;
		struct awsserver_reply bad;
	} rows[] = {
		{"none", 0, 4, 0, {0}},
		{"one", 1, 4, 0, {0}},
		{"one after another", 20, 1, 0, {0}},
		{"parallel of nothing is one", 3, 0, 0, {0}},
		{"many", 200, 16, 0, {0}},
		{"more at once than there can be", 100, 1000, 0, {0}},
		{"every third is throttled",
		 100,
		 8,
		 3,
		 {.status = 503, .body = "<Error><Code>SlowDown</Code></Error>"}},
		{"every fifth is lost", 60, 8, 5, {.how = AWSSERVER_RESET}},
		{"every fifth is cut", 60, 4, 5, {.how = AWSSERVER_CUT, .body = "0123"}},
		{"every fourth is an internal error", 60, 4, 4, {.status = 500}},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct err e = ERR_INIT;
		struct echo *to;
		struct kit kit;

		begin(&kit, rows[i].count);
		to = echo_new(&kit);
		to->bad_every = rows[i].bad_every;
		to->bad = rows[i].bad;
		if (run(&kit, rows[i].parallel, &e) != 0 || kit.next != rows[i].count)
			fail_msg("%s: %u of %u: %s", rows[i].why, kit.next, rows[i].count, e.text);
		/* Three bad answers in a row end a call; that is rare, and fine. */
		if (kit.good != rows[i].count &&
		    (!rows[i].bad_every || kit.good < rows[i].count / 2))
			fail_msg("%s: %u good of %u", rows[i].why, kit.good, rows[i].count);
		if (rows[i].bad_every == 0)
			assert_true(awsserver_connections(kit.k.server) <= 16);
		end(&kit, to);
	}
}

/* The server answers only when so many are waiting: they do go at once. */
static void test_at_once(void **state)
{
	struct echo *to;
	struct kit kit;

	(void)state;
	begin(&kit, 16);
	to = echo_new(&kit);
	to->gather = 4;
	assert_int_equal(run(&kit, 4, NULL), 0);
	assert_int_equal(kit.good, 16);
	assert_int_equal(awsserver_connections(kit.k.server), 4);
	end(&kit, to);
}

/* --- throttling --- */

/* All the time: a failed call is no failed batch. */
static void test_throttled(void **state)
{
	static const struct awsserver_reply replies[] = {
		{.status = 503, .body = "<Error><Code>SlowDown</Code></Error>"},
	};
	struct err e = ERR_INIT;
	struct kit kit;

	(void)state;
	begin(&kit, 40);
	awsserver_script(kit.k.server, replies, 1);
	assert_int_equal(run(&kit, 16, &e), 0);
	assert_int_equal(kit.good, 0);
	assert_int_equal(kit.done, 40);
	/* 500 tokens, 5 of each retry: 100 retries at most, here 80. */
	assert_int_equal(awsserver_count(kit.k.server), 120);
	assert_int_equal(aws_counts(kit.k.aws).throttled, 120);
	assert_int_equal(aws_counts(kit.k.aws).retries, 80);
	end(&kit, NULL);
}

/* --- early ends --- */

static void test_next_fails(void **state)
{
	static const struct awsserver_reply silent[] = {{.how = AWSSERVER_SILENT}};
	struct err e = ERR_INIT;
	struct kit kit;

	(void)state;
	begin(&kit, 10);
	awsserver_script(kit.k.server, silent, 1);
	kit.stop_next_at = 3;
	assert_int_equal(run(&kit, 8, &e), -EIO);
	assert_string_equal(e.text, "nothing more to read");
	assert_int_equal(kit.cancelled, 3);
	end(&kit, NULL);
}

static void test_done_fails(void **state)
{
	struct err e = ERR_INIT;
	struct echo *to;
	struct kit kit;

	(void)state;
	begin(&kit, 50);
	to = echo_new(&kit);
	kit.stop_done_at = 5;
	assert_int_equal(run(&kit, 8, &e), -ENOSPC);
	assert_string_equal(e.text, "the disk is full");
	assert_true(kit.next < 50);
	assert_true(kit.good + kit.cancelled == kit.next);
	end(&kit, to);
}

static void test_cancelled_from_within(void **state)
{
	struct err e = ERR_INIT;
	struct echo *to;
	struct kit kit;

	(void)state;
	begin(&kit, 50);
	to = echo_new(&kit);
	kit.cancel_done_at = 5;
	assert_int_equal(run(&kit, 8, &e), -ECANCELED);
	assert_true(kit.next < 50 && e.text[0]);
	kit.next = 0;
	memset(kit.ends, 0, sizeof(kit.ends));
	assert_int_equal(run(&kit, 8, &e), -ECANCELED); /* and none after */
	assert_int_equal(kit.next, 0);
	end(&kit, to);
}

static void *cancel_later(void *arg)
{
	struct kit *kit = arg;

	while (awsserver_count(kit->k.server) < 4)
		sched_yield();
	if (kit->has_cancel)
		atomic_store(&kit->cancel, true);
	else
		aws_cancel(kit->k.aws);
	return NULL;
}

static void test_cancelled_from_without(void **state)
{
	static const struct awsserver_reply silent[] = {{.how = AWSSERVER_SILENT}};
	static const struct awsserver_reply later[] = {
		{.status = 503, .headers = "Retry-After: 600\r\n"}};
	static const struct awsserver_reply *const scripts[] = {silent, later};

	(void)state;
	for (size_t i = 0; i < 2 * COUNT_OF(scripts); i++) {
		struct err e = ERR_INIT;
		pthread_t thread;
		struct kit kit;

		begin(&kit, 10);
		kit.has_cancel = i % 2; /* these calls alone, or all there are */
		awsserver_script(kit.k.server, scripts[i / 2], 1);
		assert_int_equal(pthread_create(&thread, NULL, cancel_later, &kit), 0);
		assert_int_equal(run(&kit, 4, &e), -ECANCELED);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_int_equal(kit.cancelled, 4);
		assert_int_equal(wire_is_cancelled(aws_wire(kit.k.aws)), !kit.has_cancel);
		end(&kit, NULL);
	}
}

/* --- many threads --- */

static void *run_some(void *arg)
{
	struct awskit *k = arg;

	for (unsigned i = 0; i < 20; i++) {
		CLEANUP(aws_answer_release) struct aws_answer a = AWS_ANSWER_INIT;
		const struct aws_request q = {
			.method = "GET",
			.service = "bedrock",
			.region = "us-east-1",
			.origin = awsserver_origin(k->server),
			.path = "/model-invocation-jobs",
		};

		if (aws_run(k->aws, &q, &a, NULL) != 0)
			return arg;
	}
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t threads[4];
	struct awskit k;

	(void)state;
	awskit_begin(&k);
	awskit_open(&k);
	for (size_t i = 0; i < COUNT_OF(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run_some, &k), 0);
	for (size_t i = 0; i < COUNT_OF(threads); i++) {
		void *failed;

		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
	assert_int_equal(aws_counts(k.aws).requests, 80);
	assert_true(awsserver_connections(k.server) <= 4);
	awskit_end(&k);
}

/* Of a part of S3's: 16 MiB, and several files go up side by side. */
static void test_a_thin_line_is_waited_for(void **state)
{
	static const struct {
		const char *why;
		size_t body_size, answer_max;
		long timeout_ms, at_least_ms, at_most_ms;
	} rows[] = {
		{"a question", 100, 0, 0, 60000, 61000},
		{"eight parts that go up at 1 Mbit/s", 16 << 20, 0, 0, 1074000, 7200000},
		{"eight that come", 0, 16 << 20, 0, 1074000, 7200000},
		{"who knows better", 16 << 20, 0, 5000, 5000, 5000},
	};
	struct awskit k;

	(void)state;
	awskit_begin(&k);
	awskit_open(&k);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct aws_request q = {.body_size = rows[i].body_size,
					      .answer_max = rows[i].answer_max,
					      .timeout_ms = rows[i].timeout_ms};
		long ms = call_timeout_ms(k.aws, &q);

		if (ms < rows[i].at_least_ms || ms > rows[i].at_most_ms)
			fail_msg("%s: %ld ms", rows[i].why, ms);
	}
	awskit_end(&k);
}

/* A large answer may take its time, but not say nothing.  (curl counts seconds.) */
static void test_silence(void **state)
{
	static const struct awsserver_reply replies[] = {{.how = AWSSERVER_SILENT}};
	CLEANUP(aws_answer_release) struct aws_answer a = AWS_ANSWER_INIT;
	struct err e = ERR_INIT;
	struct awskit k;
	struct aws_request q;

	(void)state;
	awskit_begin(&k);
	awskit_open(&k);
	awsserver_script(k.server, replies, 1);
	q = (struct aws_request){.method = "GET",
				 .service = "bedrock",
				 .region = "us-east-1",
				 .origin = awsserver_origin(k.server),
				 .path = "/model-invocation-jobs",
				 .timeout_ms = 600000,
				 .stall_s = 1,
				 .attempts = 1};
	assert_int_equal(aws_run(k.aws, &q, &a, &e), -EAGAIN);
	assert_non_null(strstr(e.text, "does not answer in time"));
	awskit_end(&k);
}

/* tick() is asked all the time, and what it says holds for what has not left yet. */
struct winding {
	struct kit kit;
	unsigned ticks, wind_up_at, fail_at;
};

static int tick(void *ctx, struct err *e)
{
	struct winding *w = ctx;

	w->ticks += awsserver_count(w->kit.k.server) >= 4;
	if (w->fail_at && w->ticks >= w->fail_at)
		return err_set(e, -EIO, "no more");
	return w->wind_up_at && w->ticks >= w->wind_up_at;
}

static void test_winds_up(void **state)
{
	static const struct awsserver_reply slow_down[] = {{.status = 503}};
	struct err e = ERR_INIT;
	struct winding w = {.wind_up_at = 200}; /* all have their answers by then */
	struct aws_batch batch = {
		.parallel = 4, .next = next, .done = done, .tick = tick, .tick_ms = 1, .ctx = &w};

	(void)state;
	begin(&w.kit, 20);
	awsserver_script(w.kit.k.server, slow_down, 1);
	aws_set_pause_unit(w.kit.k.aws, 3600 * NS_PER_S); /* all of them pause */
	assert_int_equal(aws_run_batch(w.kit.k.aws, &batch, &e), 0);
	assert_int_equal(w.kit.done, w.kit.next);
	assert_int_equal(w.kit.cancelled, w.kit.next);
	assert_true(w.kit.next > 0 && w.kit.next < 20);
	w.fail_at = w.ticks + 1;
	assert_int_equal(aws_run_batch(w.kit.k.aws, &batch, &e), -EIO);
	assert_string_equal(e.text, "no more");
	end(&w.kit, NULL);
}

/* One at a time, since each waits for the one before. */
static int next_alone(void *ctx, struct aws_request *ret, void **ret_tag, struct err *e)
{
	struct kit *kit = ctx;

	return kit->next > kit->done ? AWS_BATCH_LATER : next(ctx, ret, ret_tag, e);
}

static int next_never(void *ctx, struct aws_request *ret, void **ret_tag, struct err *e)
{
	(void)ctx;
	(void)ret;
	(void)ret_tag;
	(void)e;
	return AWS_BATCH_LATER;
}

static void test_later(void **state)
{
	struct aws_batch batch = {.parallel = 4, .next = next_alone, .done = done};
	struct err e = ERR_INIT;
	struct kit kit;
	struct echo *to;

	(void)state;
	begin(&kit, 20);
	to = echo_new(&kit);
	batch.ctx = &kit;
	assert_int_equal(aws_run_batch(kit.k.aws, &batch, &e), 0);
	assert_int_equal(kit.good, 20);
	assert_int_equal(awsserver_connections(kit.k.server), 1);
	batch.next = next_never; /* for nobody */
	assert_int_equal(aws_run_batch(kit.k.aws, &batch, &e), -EIO);
	end(&kit, to);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_are_done),
		cmocka_unit_test(test_at_once),
		cmocka_unit_test(test_throttled),
		cmocka_unit_test(test_next_fails),
		cmocka_unit_test(test_done_fails),
		cmocka_unit_test(test_cancelled_from_within),
		cmocka_unit_test(test_cancelled_from_without),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_a_thin_line_is_waited_for),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_winds_up),
		cmocka_unit_test(test_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
