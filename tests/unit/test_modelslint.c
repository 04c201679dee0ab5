/* What bodies count for, and bodies that mean harm. */

#include <string.h>

#include "backend/aws/models.h"
#include "tests/unit/cmocka_all.h"

#define CLAUDE	"us.anthropic.claude-haiku-4-5-20251001-v1:0"
#define OPUS5	"global.anthropic.claude-opus-5"
#define NOVA	"amazon.nova-micro-v1:0"
#define TITAN	"amazon.titan-embed-text-v2:0"
#define TITANMM "amazon.titan-embed-image-v1"
#define LLAMA	"us.meta.llama4-scout-17b-instruct-v1:0"
#define LLAMA31 "meta.llama3-1-8b-instruct-v1:0"
#define MISTRAL "mistral.mistral-small-2402-v1:0"
#define GPT	"openai.gpt-oss-20b-1:0"

#define V  "\"anthropic_version\":\"bedrock-2023-05-31\""
#define M  "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"
#define NM "\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"hi\"}]}]"

static void lint(struct models_lint *l, const char *body)
{
	CLEANUP(buf_release) struct buf faults = BUF_INIT(100000);
	CLEANUP(buf_release) struct buf warnings = BUF_INIT(100000);

	models_lint_body(l, "", body, strlen(body), &faults, &warnings);
}

static void test_estimates(void **state)
{
	static const struct {
		const char *why, *model, *body;
		uint64_t text, output, images;
	} rows[] = {
		{"system and messages", CLAUDE,
		 "{" V ",\"max_tokens\":9,\"system\":\"abc\",\"messages\":[{\"role\":\"user\","
		 "\"content\":\"hello\"},{\"role\":\"user\",\"content\":[{\"type\":\"text\","
		 "\"text\":\"xy\"},{\"type\":\"image\",\"source\":{\"type\":\"base64\","
		 "\"media_type\":\"image/png\",\"data\":\"AAAAAAAA\"}}]}]}",
		 10, 9, 1},
		{"escapes count as what they stand for", CLAUDE,
		 "{" V ",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":"
		 "\"a\\n\\\"\\u00e4\\ud83d\\ude00\\\\\"}]}",
		 1 + 1 + 1 + 3 + 6 + 1, 9, 0},
		{"what is asked for is bounded", CLAUDE, "{" V ",\"max_tokens\":999999999," M "}",
		 2, 64000, 0},
		{"Nova's limit if none is asked for", NOVA, "{" NM "}", 2, 10000, 0},
		{"Llama's own default", LLAMA, "{\"prompt\":\"abcd\",\"images\":[\"A\",\"B\"]}", 4,
		 512, 2},
		{"an embedding has no output", TITAN, "{\"inputText\":\"abcd\"}", 4, 0, 0},
		{"a model not known", "acme.new-1", "{\"max_tokens\":7}", 16, 7, 0},
		{"and nothing said", "acme.new-1", "{}", 2, 4096, 0},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct models_lint l = {.model = rows[i].model};

		lint(&l, rows[i].body);
		lint(&l, rows[i].body);
		if (l.text_bytes != 2 * rows[i].text || l.output_tokens_max != 2 * rows[i].output ||
		    l.images != 2 * rows[i].images || l.records != 2)
			fail_msg("%s: %d bytes, %d tokens, %d images", rows[i].why,
				 (int)l.text_bytes, (int)l.output_tokens_max, (int)l.images);
	}
}

static void test_after_a_hundred_only_counted(void **state)
{
	CLEANUP(buf_release) struct buf faults = BUF_INIT(100000);
	CLEANUP(buf_release) struct buf warnings = BUF_INIT(100000);
	struct models_lint l = {.model = CLAUDE};
	static const char body[] = "{" V "," M ",\"tools\":[]}";
	size_t lines = 0;

	(void)state;
	for (int i = 0; i < 250; i++)
		models_lint_body(&l, "x: ", body, sizeof(body) - 1, &faults, &warnings);
	for (size_t i = 0; i < faults.size; i++)
		lines += faults.data[i] == '\n';
	assert_int_equal(lines, MODELS_LINT_MAX);
	assert_int_equal(l.faults, 250);
	assert_int_equal(l.warnings, 250);
}

/* Whatever it is: no crash, no read beyond it, lines that stay lines. */
static void test_hostile(void **state)
{
	static const char *const models[] = {CLAUDE,  OPUS5,   NOVA, TITAN,	   TITANMM,
					     LLAMA31, MISTRAL, GPT,  "acme.new-1", ""};
	static const char *const bodies[] = {
		"",
		"{",
		"}",
		"[]",
		"null",
		"\"",
		"{\"",
		"{\"a",
		"{\"\":",
		"{\"messages\":",
		"{\"messages\":[",
		"{\"messages\":[{",
		"{\"messages\":[{\"role\":\"user\",\"content\":",
		"{\"messages\":[[[[]]]]}",
		"{\"messages\":{\"0\":{}}}",
		"{\"messages\":[null,1,true]}",
		"{\"messages\":[{\"role\":{},\"content\":{}}]}",
		"{\"messages\":[{\"role\":\"user\",\"content\":[null,[],1,\"x\",{\"type\":7}]}]}",
		"{\"max_tokens\":1e999,\"max_gen_len\":1e999,\"inferenceConfig\":{\"maxTokens\":1e9}}",
		"{\"temperature\":00000000000000000000000000000000000000000000000.5}",
		"{\"temperature\":-,\"top_p\":-,\"max_tokens\":-}",
		"{\"\\ud800\":1,\"\\\\\":2,\"\\q\":3,\"a\\nb\":4}",
		"{\"anthropic_version\":\"\\ud800\\n\",\"system\":\"\\",
		"{\"prompt\":\"\\u\",\"inputText\":\"\\u00\"}",
		"{\"images\":{},\"dimensions\":{},\"embeddingTypes\":{},\"embeddingConfig\":[]}",
		"{\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":{}},\"output_config\":[]}",
	};

	(void)state;
	for (size_t m = 0; m < COUNT_OF(models); m++) {
		for (size_t i = 0; i < 2 * COUNT_OF(bodies); i++) {
			CLEANUP(buf_release) struct buf faults = BUF_INIT(100000);
			CLEANUP(buf_release) struct buf warnings = BUF_INIT(100000);
			struct models_lint l = {.model = models[m], .converse = i & 1};
			size_t size = strlen(bodies[i / 2]), lines = 0;
			char *copy = malloc(size ? size : 1); /* its end is the end of the memory */

			assert_non_null(copy);
			memcpy(copy, bodies[i / 2], size);
			models_lint_body(&l, "", copy, size, &faults, &warnings);
			free(copy);
			for (size_t k = 0; k < faults.size; k++)
				lines += faults.data[k] == '\n';
			assert_int_equal(lines, l.faults);
		}
	}
}

/* Nested as deep as a record may be, and deeper. */
static void test_depth(void **state)
{
	static const char *const before[] = {
		"{\"x\":", "{" V ",\"max_tokens\":9,\"messages\":",
		"{" V ",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":",
		"{\"inferenceConfig\":{\"maxTokens\":",
		"{\"messages\":[{\"role\":\"user\",\"content\":["};
	static const char *const models[] = {CLAUDE, NOVA, GPT};

	(void)state;
	for (size_t i = 0; i < 3 * COUNT_OF(before); i++) {
		CLEANUP(buf_release) struct buf body = BUF_INIT(1000000);
		struct models_lint l = {.model = models[i % 3]};

		buf_add_str(&body, before[i / 3]);
		for (int k = 0; k < 100000; k++)
			buf_add_str(&body, k % 2 ? "[" : "{\"content\":");
		lint(&l, body.data);
		buf_clear(&body);
		buf_add_str(&body, before[i / 3]);
		for (int k = 0; k < 400; k++)
			buf_add_char(&body, '[');
		for (int k = 0; k < 400; k++)
			buf_add_char(&body, ']');
		buf_add_str(&body, i / 3 == 2	? "}]}"
				   : i / 3 == 4 ? "]}]}"
				   : i / 3 == 3 ? "}}"
						: "}");
		lint(&l, body.data);
		assert_int_equal(l.records, 2);
	}
}

/* Every byte in turn another one. */
static void test_mutations(void **state)
{
	static const char body[] =
		"{" V
		",\"max_tokens\":9,\"system\":[{\"type\":\"text\",\"text\":\"s\"}],\"messages\":"
		"[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\\u00e4\"},"
		"{\"image\":{\"format\":\"png\",\"source\":{\"bytes\":\"AA\"}}}]}],"
		"\"inferenceConfig\":{\"maxTokens\":1,\"topP\":0.5},\"prompt\":\"p\"}";
	static const char with[] = "\"\\{}[]:,0-e\x80\n ";
	char text[sizeof(body)];

	(void)state;
	for (size_t i = 0; i < sizeof(body) - 1; i++) {
		for (size_t k = 0; k < sizeof(with) - 1; k++) {
			struct models_lint claude = {.model = CLAUDE}, nova = {.model = NOVA};

			memcpy(text, body, sizeof(body));
			text[i] = with[k];
			lint(&claude, text);
			lint(&nova, text);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_estimates),
		cmocka_unit_test(test_after_a_hundred_only_counted),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_mutations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
