/* The builtins: deterministic to the byte, honest about what they are. */

#include <errno.h>
#include <string.h>

#include "backend/local/builtin.h"
#include "backend/local/engine.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/fakefeed.h"

struct bench {
	struct fakefeed feed;
	struct kv definition, config;
	struct clock clock;
	struct engine_job job;
	struct err e;
};

static void bench_init(struct bench *t, const char *model, const char *const *inputs, size_t count)
{
	*t = (struct bench){.e = ERR_INIT};
	fakefeed_init(&t->feed, inputs, count);
	clock_init_manual(&t->clock, 0, 0);
	t->feed.clock = &t->clock;
	assert_int_equal(kv_set(&t->definition, "engine", model), 0);
	t->job = (struct engine_job){
		.model = model,
		.definition = &t->definition,
		.config = &t->config,
		.attempt = 1,
		.clock = &t->clock,
	};
}

static void bench_release(struct bench *t)
{
	fakefeed_release(&t->feed);
	kv_release(&t->definition);
	kv_release(&t->config);
}

static int run(struct bench *t)
{
	return engine_builtin.run(&t->job, &t->feed.feed, &t->e);
}

#define HELLO                                                                                      \
	"{\"messages\":[{\"role\":\"user\",\"content\":\"first\"},"                                \
	"{\"role\":\"user\",\"content\":\"Hello,  \\\"world\\\"\"}],\"max_tokens\":5}"

static void test_golden_answers(void **state)
{
	static const struct {
		const char *why, *model, *template, *input, *answer;
	} rows[] = {
		{"echo gives the question back", "builtin.echo", NULL, HELLO,
		 "{\"output\":{\"message\":{\"role\":\"assistant\",\"content\":[{\"text\":"
		 "\"Hello,  \\\"world\\\"\"}]}},\"stopReason\":\"end_turn\",\"usage\":{"
		 "\"inputTokens\":2,\"outputTokens\":2,\"totalTokens\":4,\"estimated\":true},"
		 "\"builtin\":{\"model\":\"echo\",\"version\":1,\"note\":\"not a language "
		 "model\"}}"},
		{"without a question, all of the input", "builtin.echo", NULL, "{\"x\":1}",
		 "{\"output\":{\"message\":{\"role\":\"assistant\",\"content\":[{\"text\":"
		 "\"{\\\"x\\\":1}\"}]}},\"stopReason\":\"end_turn\",\"usage\":{"
		 "\"inputTokens\":1,\"outputTokens\":1,\"totalTokens\":2,\"estimated\":true},"
		 "\"builtin\":{\"model\":\"echo\",\"version\":1,\"note\":\"not a language "
		 "model\"}}"},
		{"a template is filled", "builtin.template",
		 "You said: {{ messages/1/content }} ({{max_tokens}}).", HELLO,
		 "{\"output\":{\"message\":{\"role\":\"assistant\",\"content\":[{\"text\":"
		 "\"You said: Hello,  \\\"world\\\" (5).\"}]}},\"stopReason\":\"end_turn\","
		 "\"usage\":{\"inputTokens\":2,\"outputTokens\":5,\"totalTokens\":7,"
		 "\"estimated\":true},\"builtin\":{\"model\":\"template\",\"version\":1,"
		 "\"note\":\"not a language model\"}}"},
		{"a path that leads nowhere", "builtin.template", "{{nothing/there}}", HELLO,
		 "TemplateError: the record has nothing at {{nothing/there}}; its modelInput and "
		 "the template must fit"},
		{"dimensions that are none", "builtin.hash-embed", NULL,
		 "{\"inputText\":\"a\",\"dimensions\":300}",
		 "ValidationException: dimensions: give 256, 512 or 1024"},
		{"normalize that is no truth", "builtin.hash-embed", NULL,
		 "{\"inputText\":\"a\",\"normalize\":\"yes\"}",
		 "ValidationException: normalize: give true or false"},
		{"nothing to embed", "builtin.hash-embed", NULL, "{\"x\":1}",
		 "ValidationException: the record has no inputText"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(bench_release) struct bench t;

		bench_init(&t, rows[i].model, &rows[i].input, 1);
		if (rows[i].template)
			assert_int_equal(kv_set(&t.config, "template", rows[i].template), 0);
		assert_int_equal(run(&t), 0);
		if (strcmp(t.feed.answers[0].text, rows[i].answer) != 0)
			fail_msg("%s: %s", rows[i].why, t.feed.answers[0].text);
		assert_true(t.feed.answers[0].good == (rows[i].answer[0] == '{'));
	}
}

static size_t count_numbers(const char *text)
{
	size_t n = 1;

	for (; *text && *text != ']'; text++)
		n += *text == ',';
	return n;
}

static void test_embeddings(void **state)
{
	static const struct {
		const char *why, *input, *setting;
		size_t dimensions;
		const char *holds;
	} rows[] = {
		{"256 by itself", "{\"inputText\":\"a b\"}", NULL, 256,
		 "\"inputTextTokenCount\":2"},
		{"as the job says", "{\"inputText\":\"a b\"}", "512", 512, "\"embedding\":[0,"},
		{"as the record says", "{\"inputText\":\"a b\",\"dimensions\":1024}", "512", 1024,
		 "not a language model"},
		{"not normalised", "{\"inputText\":\"a\",\"normalize\":false}", NULL, 256, ",0.5,"},
		{"a chat message", HELLO, NULL, 256, "\"inputTextTokenCount\":2"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(bench_release) struct bench t;

		bench_init(&t, "builtin.hash-embed", &rows[i].input, 1);
		if (rows[i].setting)
			assert_int_equal(kv_set(&t.config, "dimensions", rows[i].setting), 0);
		assert_int_equal(run(&t), 0);
		assert_true(t.feed.answers[0].good);
		if (!strstr(t.feed.answers[0].text, rows[i].holds) ||
		    count_numbers(t.feed.answers[0].text) != rows[i].dimensions)
			fail_msg("%s: %s", rows[i].why, t.feed.answers[0].text);
	}
}

static size_t count_failed(const struct fakefeed *f)
{
	size_t n = 0;

	for (size_t i = 0; i < f->count; i++)
		n += !f->answers[i].good;
	return n;
}

static void test_fail_fails_a_share_at_first(void **state)
{
	static const struct {
		const char *why, *rate, *attempts;
		unsigned attempt;
		size_t least, most;
	} rows[] = {
		{"three of ten", NULL, NULL, 1, 10, 30},
		{"none", "0", NULL, 1, 0, 0},
		{"all", "1", NULL, 1, 60, 60},
		{"the retry works", "1", NULL, 2, 0, 0},
		{"or the one after that", "1", "2", 2, 60, 60},
		{"as long as is asked", "1", "2", 3, 0, 0},
	};
	const char *inputs[60];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(inputs); i++)
		inputs[i] = HELLO;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(bench_release) struct bench t;
		size_t failed;

		bench_init(&t, "builtin.fail", inputs, COUNT_OF(inputs));
		t.job.attempt = rows[i].attempt;
		if (rows[i].rate)
			assert_int_equal(kv_set(&t.config, "fail_rate", rows[i].rate), 0);
		if (rows[i].attempts)
			assert_int_equal(kv_set(&t.config, "fail_attempts", rows[i].attempts), 0);
		assert_int_equal(run(&t), 0);
		failed = count_failed(&t.feed);
		if (failed < rows[i].least || failed > rows[i].most)
			fail_msg("%s: %zu", rows[i].why, failed);
		for (size_t k = 0; k < t.feed.count; k++)
			if (!t.feed.answers[k].good) {
				assert_true(t.feed.answers[k].retryable);
				assert_int_equal(
					strncmp(t.feed.answers[k].text, "BuiltinFailure: ", 16), 0);
			}
	}
}

static void test_slow_takes_its_time(void **state)
{
	static const struct {
		const char *why, *delay, *parallel;
		int64_t least_ms, most_ms;
		size_t under_way;
	} rows[] = {
		{"200 ms, four at a time", NULL, NULL, 600, 640, 4},
		{"one at a time", "10", "1", 120, 150, 1},
		{"all at once", "1000", "64", 1000, 1010, 12},
		{"not at all", "0", NULL, 0, 10, 1},
	};
	const char *inputs[12];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(inputs); i++)
		inputs[i] = HELLO;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(bench_release) struct bench t;
		int64_t ms;

		/* Ticks turn the clock, and waits are cut to the tick. */
		bench_init(&t, "builtin.slow", inputs, COUNT_OF(inputs));
		if (rows[i].delay)
			assert_int_equal(kv_set(&t.config, "delay_ms", rows[i].delay), 0);
		if (rows[i].parallel)
			assert_int_equal(kv_set(&t.config, "parallel", rows[i].parallel), 0);
		assert_int_equal(run(&t), 0);
		ms = t.clock.now_mono_ns / NS_PER_MS;
		if (ms < rows[i].least_ms || ms > rows[i].most_ms ||
		    t.feed.most_under_way != rows[i].under_way)
			fail_msg("%s: %lld ms, %zu", rows[i].why, (long long)ms,
				 t.feed.most_under_way);
		assert_int_equal(count_failed(&t.feed), 0);
	}
}

static void test_a_cancel_gives_all_back(void **state)
{
	const char *inputs[12];
	CLEANUP(bench_release) struct bench t;
	size_t dropped = 0;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(inputs); i++)
		inputs[i] = HELLO;
	bench_init(&t, "builtin.slow", inputs, COUNT_OF(inputs));
	t.feed.cancel_after = 5;
	assert_int_equal(run(&t), -ECANCELED);
	assert_int_equal(t.feed.under_way, 0);
	for (size_t i = 0; i < t.feed.next; i++)
		dropped += t.feed.answers[i].dropped;
	assert_int_equal(dropped, 3);
}

static void test_settings_of_the_section_and_the_job(void **state)
{
	const char *input = HELLO;
	CLEANUP(bench_release) struct bench t;

	(void)state;
	bench_init(&t, "builtin.template", &input, 1);
	t.job.model = "mine";
	assert_int_equal(kv_set(&t.definition, "template", "section"), 0);
	assert_int_equal(run(&t), 0);
	assert_non_null(strstr(t.feed.answers[0].text, "\"text\":\"section\""));
	assert_int_equal(kv_set(&t.config, "template", "job"), 0);
	assert_string_equal(engine_setting(&engine_builtin, &t.job, "template"), "job");
	/* A job cannot say which engine it gets. */
	assert_int_equal(kv_set(&t.config, "engine", "builtin.echo"), 0);
	assert_string_equal(engine_setting(&engine_builtin, &t.job, "engine"), "builtin.template");
}

static void test_a_template_must_make_sense(void **state)
{
	static const char *const bad[] = {"{{", "{{}}", "a {{ }} b", "{{a}} {{b"};
	const char *input = HELLO;

	(void)state;
	for (size_t i = 0; i <= COUNT_OF(bad); i++) {
		CLEANUP(bench_release) struct bench t;

		bench_init(&t, "builtin.template", &input, 1);
		if (i < COUNT_OF(bad))
			assert_int_equal(kv_set(&t.config, "template", bad[i]), 0);
		assert_int_equal(engine_builtin.accept(&t.job, &t.e), -EINVAL);
		assert_int_equal(run(&t), -EINVAL);
		assert_non_null(strstr(t.e.text, "template"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden_answers),
		cmocka_unit_test(test_embeddings),
		cmocka_unit_test(test_fail_fails_a_share_at_first),
		cmocka_unit_test(test_slow_takes_its_time),
		cmocka_unit_test(test_a_cancel_gives_all_back),
		cmocka_unit_test(test_settings_of_the_section_and_the_job),
		cmocka_unit_test(test_a_template_must_make_sense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
