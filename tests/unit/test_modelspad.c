/* Bodies that want an answer of one token: a table of families. */

#include <string.h>

#include "backend/aws/models.h"
#include "fs/base/jsonscan.h"
#include "tests/unit/cmocka_all.h"

#define CLAUDE "anthropic.claude-haiku-4-5-20251001-v1:0"

static const struct {
	const char *why, *model;
	bool converse;
	const char *body, *want;
} rows[] = {
	{"Claude", CLAUDE, false,
	 "{\"anthropic_version\":\"bedrock-2023-05-31\",\"max_tokens\":512,\"messages\":[]}",
	 "{\"anthropic_version\":\"bedrock-2023-05-31\",\"max_tokens\":1,\"messages\":[]}"},
	{"a profile of Claude, without a limit", "us." CLAUDE, false, "{\"messages\":[1]}",
	 "{\"messages\":[1],\"max_tokens\":1}"},
	{"thinking wants more tokens than one", CLAUDE, false,
	 "{\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1024},\"max_tokens\":2048}",
	 "{\"max_tokens\":1}"},
	{"only thinking", CLAUDE, false, "{\"thinking\":{}}", "{\"max_tokens\":1}"},
	{"Claude before Messages", "anthropic.claude-v2:1", false, "{\"prompt\":\"p\"}",
	 "{\"prompt\":\"p\",\"max_tokens_to_sample\":1}"},
	{"Nova keeps what else is in inferenceConfig", "amazon.nova-micro-v1:0", false,
	 "{\"inferenceConfig\":{\"temperature\":0.7,\"maxTokens\":9},\"messages\":[]}",
	 "{\"messages\":[],\"inferenceConfig\":{\"temperature\":0.7,\"maxTokens\":1}}"},
	{"the older name", "amazon.nova-micro-v1:0", false,
	 "{\"inferenceConfig\":{\"max_new_tokens\":9}}", "{\"inferenceConfig\":{\"maxTokens\":1}}"},
	{"none at all", "amazon.nova-lite-v1:0", false, "{\"messages\":[]}",
	 "{\"messages\":[],\"inferenceConfig\":{\"maxTokens\":1}}"},
	{"null is none", "amazon.nova-lite-v1:0", false, "{\"inferenceConfig\":null}",
	 "{\"inferenceConfig\":{\"maxTokens\":1}}"},
	{"Converse, whoever it is", CLAUDE, true, "{\"messages\":[],\"max_tokens\":3}",
	 "{\"messages\":[],\"max_tokens\":3,\"inferenceConfig\":{\"maxTokens\":1}}"},
	{"Llama", "us.meta.llama3-3-70b-instruct-v1:0", false,
	 "{\"prompt\":\"p\",\"max_gen_len\":99,\"temperature\":0}",
	 "{\"prompt\":\"p\",\"max_gen_len\":1,\"temperature\":0}"},
	{"Mistral's text models", "mistral.mistral-small-2402-v1:0", false, "{\"prompt\":\"p\"}",
	 "{\"prompt\":\"p\",\"max_tokens\":1}"},
	{"Mistral's chat models", "mistral.mistral-large-2407-v1:0", false, "{\"messages\":[]}",
	 "{\"messages\":[],\"max_tokens\":1}"},
	{"several samples are several answers", "qwen.qwen3-32b-v1:0", false,
	 "{\"n\":4,\"messages\":[],\"max_tokens\":7}", "{\"messages\":[],\"max_tokens\":1}"},
	{"the newer name of the limit", "openai.gpt-oss-120b-1:0", false,
	 "{\"messages\":[],\"max_completion_tokens\":7}",
	 "{\"messages\":[],\"max_completion_tokens\":1}"},
	{"an embedding has no length", "amazon.titan-embed-text-v2:0", false,
	 " {\"inputText\":\"a\", \"dimensions\":256} ",
	 "{\"inputText\":\"a\", \"dimensions\":256}"},
	{"nor an image's", "amazon.titan-embed-image-v1", false, "{\"inputText\":\"a\"}",
	 "{\"inputText\":\"a\"}"},
	{"of an unknown model what is there", "acme.model-v1:0", false,
	 "{\"prompt\":\"p\",\"max_new_tokens\":70}", "{\"prompt\":\"p\",\"max_new_tokens\":1}"},
	{"and nothing more", "acme.model-v1:0", false, "{\"x\":[1,{\"max_tokens\":5}]}",
	 "{\"x\":[1,{\"max_tokens\":5}]}"},
	{"Claude behind a profile of one's own",
	 "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/abc", false,
	 "{\"anthropic_version\":\"v\",\"max_tokens\":5}",
	 "{\"anthropic_version\":\"v\",\"max_tokens\":1}"},
	{"Nova behind one", "acme.model-v1:0", false, "{\"schemaVersion\":\"messages-v1\"}",
	 "{\"schemaVersion\":\"messages-v1\",\"inferenceConfig\":{\"maxTokens\":1}}"},
	{"Titan's text model", "amazon.titan-text-lite-v1", false,
	 "{\"inputText\":\"a\",\"textGenerationConfig\":{\"maxTokenCount\":9,\"topP\":1}}",
	 "{\"inputText\":\"a\",\"textGenerationConfig\":{\"maxTokenCount\":1,\"topP\":1}}"},
	{"a name written with escapes, and twice", CLAUDE, false,
	 "{\"max\\u005ftokens\":5,\"max_tokens\":6}", "{\"max\\u005ftokens\":1}"},
	{"an empty body", CLAUDE, false, "{}", "{\"max_tokens\":1}"},
	{"white space", CLAUDE, false, "{ \"a\" : [ 1 , 2 ] , \"max_tokens\" : 3 }",
	 "{\"a\":[ 1 , 2 ],\"max_tokens\":1}"},
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(buf_release) struct buf out = BUF_INIT(4096);

		models_add_smallest(rows[i].model, rows[i].converse, rows[i].body,
				    strlen(rows[i].body), &out);
		if (strcmp(out.data, rows[i].want) != 0)
			fail_msg("%s: %s", rows[i].why, out.data);
		assert_true(jsonscan_text_is_valid(out.data, out.size));
	}
}

static void test_no_room(void **state)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(8);

	(void)state;
	models_add_smallest(CLAUDE, false, "{\"messages\":[]}", 15, &out);
	assert_int_equal(buf_error(&out), -EFBIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
