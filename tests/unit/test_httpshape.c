/* What goes to a server is the record's own bytes but for what must change;
 * what comes back is judged by what it is. */

#include <errno.h>
#include <string.h>

#include "backend/local/httpshape.h"
#include "tests/unit/cmocka_all.h"

static void shape_of(struct httpshape *s, struct kv *kv, const char *url, const char *api,
		     const char *served)
{
	struct err e = ERR_INIT;

	assert_int_equal(kv_set(kv, "url", url), 0);
	if (api)
		assert_int_equal(kv_set(kv, "api", api), 0);
	if (served)
		assert_int_equal(kv_set(kv, "served_model", served), 0);
	if (httpshape_init(s, "mine", kv, &e) < 0)
		fail_msg("%s: %s", url, e.text);
}

static struct jsonspan span(const char *text)
{
	return jsonspan_of(text, strlen(text));
}

static void test_where_records_go(void **state)
{
	static const char chat[] = "{\"messages\":[]}", embed[] = "{\"input\":\"x\"}";
	static const struct {
		const char *url, *api, *input, *goes;
		enum httpshape_api dialect;
	} rows[] = {
		{"http://h", NULL, chat, "http://h/v1/chat/completions", HTTPSHAPE_OPENAI},
		{"http://h/", NULL, embed, "http://h/v1/embeddings", HTTPSHAPE_OPENAI},
		{"http://h/v1", NULL, chat, "http://h/v1/chat/completions", HTTPSHAPE_OPENAI},
		{"http://h/v1/", "auto", embed, "http://h/v1/embeddings", HTTPSHAPE_OPENAI},
		{"http://h/openai/v1?x=1", NULL, embed, "http://h/openai/v1/embeddings?x=1",
		 HTTPSHAPE_OPENAI},
		{"http://h/v1", NULL, "{\"input\":\"x\",\"messages\":[]}",
		 "http://h/v1/chat/completions", HTTPSHAPE_OPENAI},
		{"http://h/v1/completions", NULL, embed, "http://h/v1/completions",
		 HTTPSHAPE_OPENAI},
		{"http://h/v1/responses", NULL, embed, "http://h/v1/responses", HTTPSHAPE_OPENAI},
		{"http://h/v1/embeddings", NULL, embed, "http://h/v1/embeddings", HTTPSHAPE_OPENAI},
		{"http://h/v1/messages", NULL, chat, "http://h/v1/messages", HTTPSHAPE_ANTHROPIC},
		{"http://h", "anthropic", chat, "http://h/v1/messages", HTTPSHAPE_ANTHROPIC},
		{"http://h/v1", "anthropic", chat, "http://h/v1/messages", HTTPSHAPE_ANTHROPIC},
		{"http://h/x/y", "openai", chat, "http://h/x/y", HTTPSHAPE_OPENAI},
		{"unix:/run/s:/v1", NULL, chat, "http://localhost/v1/chat/completions",
		 HTTPSHAPE_OPENAI},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(httpshape_release) struct httpshape s = HTTPSHAPE_INIT;
		CLEANUP(kv_release) struct kv kv = KV_INIT;

		shape_of(&s, &kv, rows[i].url, rows[i].api, NULL);
		assert_string_equal(httpshape_url(&s, span(rows[i].input)), rows[i].goes);
		assert_int_equal(s.api, rows[i].dialect);
	}
}

static void test_sections_that_cannot_work(void **state)
{
	static const struct {
		const char *why, *url, *says;
	} rows[] = {
		{"no url", NULL, "url is missing"},
		{"a path that tells nothing", "http://h/api/generate", "api = openai"},
		{"not a URL", "h:80/v1", "not a URL"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(httpshape_release) struct httpshape s = HTTPSHAPE_INIT;
		CLEANUP(kv_release) struct kv kv = KV_INIT;
		struct err e = ERR_INIT;

		if (rows[i].url)
			assert_int_equal(kv_set(&kv, "url", rows[i].url), 0);
		assert_int_equal(httpshape_init(&s, "mine", &kv, &e), -EINVAL);
		if (!strstr(e.text, rows[i].says))
			fail_msg("%s: %s", rows[i].why, e.text);
	}
}

static void test_bodies(void **state)
{
	static const struct {
		const char *why, *url, *served, *in, *out;
	} rows[] = {
		{"the section's name, if there is no model", "http://h", NULL, "{\"messages\":[]}",
		 "{\"model\":\"mine\",\"messages\":[]}"},
		{"the record's own model", "http://h", NULL, "{\"messages\":[],\"model\":\"own\"}",
		 "{\"messages\":[],\"model\":\"own\"}"},
		{"null is no model", "http://h", NULL, "{\"model\":null,\"messages\":[]}",
		 "{\"model\":\"mine\",\"messages\":[]}"},
		{"served_model goes first", "http://h", "a\"b",
		 "{\"messages\":[],\"model\":\"own\"}", "{\"model\":\"a\\\"b\",\"messages\":[]}"},
		{"two models become one", "http://h", "x",
		 "{\"model\":\"a\",\"messages\":[],\"mod\\u0065l\":\"b\"}",
		 "{\"model\":\"x\",\"messages\":[]}"},
		{"an empty record", "http://h", NULL, "{}", "{\"model\":\"mine\"}"},
		{"values byte for byte", "http://h", NULL,
		 "{\"model\":\"m\",\"x\": [ 1.50 , \"\\u00e9\" ], \"y\" : 1E2 }",
		 "{\"model\":\"m\",\"x\":[ 1.50 , \"\\u00e9\" ],\"y\":1E2}"},
		{"no streams", "http://h", NULL,
		 "{\"stream\":true,\"model\":\"m\",\"stream_options\":{\"a\":1},\"z\":0}",
		 "{\"model\":\"m\",\"z\":0}"},
		{"nothing within is touched", "http://h", NULL,
		 "{\"model\":\"m\",\"a\":{\"stream\":true,\"model\":\"n\"}}",
		 "{\"model\":\"m\",\"a\":{\"stream\":true,\"model\":\"n\"}}"},
		{"Anthropic: Bedrock's members go", "http://h/v1/messages", NULL,
		 "{\"anthropic_version\":\"bedrock-2023-05-31\",\"max_tokens\":1,"
		 "\"anthropic_beta\":[\"b\"],\"messages\":[]}",
		 "{\"model\":\"mine\",\"max_tokens\":1,\"messages\":[]}"},
		{"OpenAI: they are somebody's", "http://h", NULL,
		 "{\"model\":\"m\",\"anthropic_version\":1}",
		 "{\"model\":\"m\",\"anthropic_version\":1}"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(httpshape_release) struct httpshape s = HTTPSHAPE_INIT;
		CLEANUP(kv_release) struct kv kv = KV_INIT;
		CLEANUP(buf_release) struct buf b;

		buf_init(&b, 4096);
		shape_of(&s, &kv, rows[i].url, NULL, rows[i].served);
		httpshape_body(&s, span(rows[i].in), &b);
		if (strcmp(b.data, rows[i].out) != 0)
			fail_msg("%s: %s", rows[i].why, b.data);
	}
}

static void test_beta_becomes_a_header(void **state)
{
	static const struct {
		const char *why, *url, *in, *line;
	} rows[] = {
		{"none", "http://h/v1/messages", "{}", ""},
		{"one", "http://h/v1/messages", "{\"anthropic_beta\":[\"a-1\"]}",
		 "anthropic-beta: a-1"},
		{"two", "http://h/v1/messages", "{\"anthropic_beta\":[\"a-1\",\"b\"]}",
		 "anthropic-beta: a-1,b"},
		{"empty", "http://h/v1/messages", "{\"anthropic_beta\":[]}", ""},
		{"not a string", "http://h/v1/messages", "{\"anthropic_beta\":[1]}", ""},
		{"a line end would be a header of the record's", "http://h/v1/messages",
		 "{\"anthropic_beta\":[\"a\\r\\nx-api-key: b\"]}", ""},
		{"a NUL would cut it", "http://h/v1/messages",
		 "{\"anthropic_beta\":[\"a\\u0000\"]}", ""},
		{"only for Anthropic", "http://h", "{\"anthropic_beta\":[\"a\"]}", ""},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(httpshape_release) struct httpshape s = HTTPSHAPE_INIT;
		CLEANUP(kv_release) struct kv kv = KV_INIT;
		CLEANUP(buf_release) struct buf b;

		buf_init(&b, 4096);
		shape_of(&s, &kv, rows[i].url, NULL, NULL);
		assert_int_equal(httpshape_beta(&s, span(rows[i].in), &b), *rows[i].line != 0);
		if (strcmp(b.data, rows[i].line) != 0)
			fail_msg("%s: %s", rows[i].why, b.data);
	}
}

static void test_judging(void **state)
{
	static const struct {
		const char *why, *body;
		enum httpshape_verdict verdict;
	} rows[] = {
		{"an object", "{\"choices\":[]}", HTTPSHAPE_GOOD},
		{"with white space", "\n {}\n", HTTPSHAPE_GOOD},
		{"an error that is null", "{\"error\":null,\"output\":[]}", HTTPSHAPE_GOOD},
		{"an error beside an answer", "{\"error\":{},\"output\":[]}", HTTPSHAPE_GOOD},
		{"an error", "{\"error\":{\"code\":502}}", HTTPSHAPE_REFUSED},
		{"an array", "[{}]", HTTPSHAPE_NOT_JSON},
		{"nothing", "", HTTPSHAPE_NOT_JSON},
		{"cut short", "{\"choices\":[", HTTPSHAPE_NOT_JSON},
		{"HTML", "<html>", HTTPSHAPE_NOT_JSON},
		{"a stream", "data: {}\n\n", HTTPSHAPE_NOT_JSON},
		{"two", "{}{}", HTTPSHAPE_NOT_JSON},
		{"not UTF-8", "{\"a\":\"\xff\"}", HTTPSHAPE_NOT_JSON},
		{"not a number", "{\"a\":NaN}", HTTPSHAPE_NOT_JSON},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (httpshape_judge(rows[i].body, strlen(rows[i].body)) != rows[i].verdict)
			fail_msg("%s", rows[i].why);
}

static void test_one_line(void **state)
{
	static const struct {
		const char *why, *in, *out;
	} rows[] = {
		{"one line stays as it is", "{ \"a\" : 1 }", "{ \"a\" : 1 }"},
		{"around it", "\n{\"a\":1}\r\n", "{\"a\":1}"},
		{"pretty", "{\n  \"a\": [\n    1,\t2\r\n  ]\n}", "{\"a\":[1,2]}"},
		{"strings are left alone", "{\n\"a b\": \"c \\\" d\\\\\"\n}",
		 "{\"a b\":\"c \\\" d\\\\\"}"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(buf_release) struct buf b;

		buf_init(&b, 4096);
		httpshape_compact(rows[i].in, strlen(rows[i].in), &b);
		if (strcmp(b.data, rows[i].out) != 0)
			fail_msg("%s: %s", rows[i].why, b.data);
	}
}

static void test_errors_are_read(void **state)
{
	static const struct {
		const char *who, *body, *code, *message;
	} rows[] = {
		{"OpenAI", "{\"error\":{\"message\":\"m\",\"type\":\"t\",\"code\":\"c\"}}", "c",
		 "m"},
		{"OpenAI without a code",
		 "{\"error\":{\"message\":\"m\",\"type\":\"t\",\"code\":null}}", "t", "m"},
		{"Anthropic", "{\"type\":\"error\",\"error\":{\"type\":\"t\",\"message\":\"m\"}}",
		 "t", "m"},
		{"llama.cpp", "{\"error\":{\"code\":503,\"message\":\"Loading model\"}}", "503",
		 "Loading model"},
		{"TGI", "{\"error\":\"m\",\"error_type\":\"overloaded\"}", "overloaded", "m"},
		{"AWS", "{\"message\":\"m\"}", "", "m"},
		{"FastAPI", "{\"detail\":\"m\"}", "", "m"},
		{"FastAPI validation", "{\"detail\":[{\"msg\":\"m\"}]}", "", "m"},
		{"HTML", "<h1>\nno</h1>", "", "<h1> no</h1>"},
		{"nothing", "", "", ""},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct httpshape_error why;

		httpshape_read_error(rows[i].body, strlen(rows[i].body), &why);
		if (strcmp(why.code, rows[i].code) != 0 ||
		    strcmp(why.message, rows[i].message) != 0)
			fail_msg("%s: %s: %s", rows[i].who, why.code, why.message);
	}
}

static void test_long_messages_are_cut(void **state)
{
	static char body[8192];
	struct httpshape_error why;
	size_t n;

	(void)state;
	n = (size_t)snprintf(body, sizeof(body), "{\"error\":\"x");
	for (; n < 6000; n += 2)
		memcpy(body + n, "\xc3\xa9", 2);
	memcpy(body + n, "\"}", 3);
	httpshape_read_error(body, strlen(body), &why);
	/* 1 + 2n characters fit 1023 bytes exactly. */
	assert_int_equal(strlen(why.message), HTTPSHAPE_MESSAGE_MAX - 1);
	memmove(body + 10, body + 11, strlen(body + 11) + 1);
	httpshape_read_error(body, strlen(body), &why);
	assert_int_equal(strlen(why.message), HTTPSHAPE_MESSAGE_MAX - 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_where_records_go),
		cmocka_unit_test(test_sections_that_cannot_work),
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_beta_becomes_a_header),
		cmocka_unit_test(test_judging),
		cmocka_unit_test(test_one_line),
		cmocka_unit_test(test_errors_are_read),
		cmocka_unit_test(test_long_messages_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
