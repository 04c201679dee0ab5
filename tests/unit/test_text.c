/* Each model family's answer: its text, stop reason and token counts; and the
 * question in each family's input. */

#include "backend/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/envelope.h"
#include "backend/textpath.h"
#include "tests/unit/cmocka_all.h"

static struct jsonspan span(const char *json)
{
	return jsonspan_of(json, strlen(json));
}

struct row {
	const char *why, *output, *family, *text, *stop;
	int input, generated; /* -1: no tokens at all */
};

static void check(const struct row *row)
{
	CLEANUP(buf_release) struct buf text;
	struct text_answer a;

	buf_init(&text, 100000);
	buf_add_str(&text, "before\f\n"); /* what is there already stays out of it */
	text_extract(span(row->output), &text, &a);
	if (strcmp(text.data + 8, row->text) != 0)
		fail_msg("%s: text [%s]", row->why, text.data + 8);
	if (!a.family != !row->family || (a.family && strcmp(a.family, row->family) != 0))
		fail_msg("%s: family %s", row->why, a.family ? a.family : "none");
	if (strcmp(a.stop_reason, row->stop) != 0)
		fail_msg("%s: stop reason %s", row->why, a.stop_reason);
	if (a.has_tokens != (row->input >= 0) ||
	    (a.has_tokens && (a.tokens.input != (uint64_t)row->input ||
			      a.tokens.output != (uint64_t)row->generated)))
		fail_msg("%s: tokens %lu %lu", row->why, (unsigned long)a.tokens.input,
			 (unsigned long)a.tokens.output);
}

#define CONVERSE_NULLS                                                                             \
	"\"audio\":null,\"cachePoint\":null,\"citationsContent\":null,\"document\":null,"          \
	"\"guardContent\":null,\"image\":null,\"searchResult\":null,\"toolResult\":null,"          \
	"\"video\":null"

static const struct row conversations[] = {
	{"Claude",
	 "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\","
	 "\"content\":[{\"type\":\"text\",\"text\":\"Blue \"},{\"type\":\"text\","
	 "\"text\":\"shorts.\"}],\"stop_reason\":\"end_turn\",\"stop_sequence\":null,"
	 "\"usage\":{\"input_tokens\":145,\"output_tokens\":106}}",
	 "claude", "Blue shorts.\n", "end_turn", 145, 106},
	{"Claude counts what came from a cache beside the rest",
	 "{\"type\":\"message\",\"content\":[{\"type\":\"text\",\"text\":\"x\"}],"
	 "\"stop_reason\":\"max_tokens\",\"usage\":{\"input_tokens\":5,"
	 "\"cache_creation_input_tokens\":20,\"cache_read_input_tokens\":300,"
	 "\"output_tokens\":7}}",
	 "claude", "x\n", "max_tokens", 325, 7},
	{"Claude thinks and calls a tool",
	 "{\"content\":[{\"type\":\"thinking\",\"thinking\":\"hm\",\"signature\":\"s\"},"
	 "{\"type\":\"text\",\"text\":\"Let me see.\"},{\"type\":\"tool_use\",\"id\":\"t\","
	 "\"name\":\"search\",\"input\":{\"q\": \"a  b\"}}],\"stop_reason\":\"tool_use\","
	 "\"usage\":{\"input_tokens\":1,\"output_tokens\":2}}",
	 "claude",
	 "Let me see.\n{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"search\","
	 "\"input\":{\"q\":\"a  b\"}}\n",
	 "tool_use", 1, 2},
	{"Claude says nothing",
	 "{\"type\":\"message\",\"content\":[],\"stop_reason\":\"end_turn\"}", "claude", "",
	 "end_turn", -1, 0},
	{"Claude 2",
	 "{\"completion\":\" Fine.\",\"stop_reason\":\"stop_sequence\",\"stop\":\"\\n\\n\"}",
	 "claude-2", " Fine.\n", "stop_sequence", -1, 0},
	{"Nova, invoked",
	 "{\"output\":{\"message\":{\"content\":[{\"text\":\"Hi\"}],\"role\":\"assistant\"}},"
	 "\"stopReason\":\"end_turn\",\"usage\":{\"inputTokens\":10,\"outputTokens\":3,"
	 "\"totalTokens\":13,\"cacheReadInputTokenCount\":4,"
	 "\"cacheWriteInputTokenCount\":0}}",
	 "converse", "Hi\n", "end_turn", 14, 3},
	{"Converse with its nulls",
	 "{\"metrics\":{\"latencyMs\":1200},\"output\":{\"message\":{\"content\":["
	 "{" CONVERSE_NULLS ",\"reasoningContent\":{\"reasoningText\":{\"signature\":null,"
	 "\"text\":\"The user wants a greeting.\"}},\"text\":null,\"toolUse\":null},"
	 "{" CONVERSE_NULLS ",\"reasoningContent\":null,\"text\":\"Hello.\",\"toolUse\":null}],"
	 "\"role\":\"assistant\"}},\"stopReason\":\"end_turn\",\"usage\":{"
	 "\"cacheDetails\":null,\"cacheReadInputTokenCount\":null,"
	 "\"cacheReadInputTokens\":null,\"cacheWriteInputTokenCount\":null,"
	 "\"cacheWriteInputTokens\":null,\"inputTokens\":419,\"outputTokens\":377,"
	 "\"serverToolUsage\":{\"webSearchRequests\":null},\"totalTokens\":796}}",
	 "converse", "Hello.\n", "end_turn", 419, 377},
	{"Converse calls a tool",
	 "{\"output\":{\"message\":{\"content\":[{" CONVERSE_NULLS ",\"text\":null,"
	 "\"toolUse\":{\"input\":{\"n\":1},\"name\":\"f\",\"toolUseId\":\"i\"}}]}},"
	 "\"stopReason\":\"tool_use\",\"usage\":null}",
	 "converse", "{\"input\":{\"n\":1},\"name\":\"f\",\"toolUseId\":\"i\"}\n", "tool_use", -1,
	 0},
	{"Gemini thinks in parts",
	 "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"hm\",\"thought\":true},"
	 "{\"text\":\"Yes\"},{\"text\":\"!\"}],\"role\":\"model\"},\"finishReason\":\"STOP\"}],"
	 "\"usageMetadata\":{\"promptTokenCount\":9,\"candidatesTokenCount\":2,"
	 "\"thoughtsTokenCount\":30,\"totalTokenCount\":41},\"modelVersion\":\"g\"}",
	 "gemini", "Yes!\n", "STOP", 9, 32},
	{"Gemini calls a function",
	 "{\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"name\":\"f\","
	 "\"args\":{}}}]},\"finishReason\":\"STOP\"}]}",
	 "gemini", "{\"name\":\"f\",\"args\":{}}\n", "STOP", -1, 0},
	{"Gemini would not answer",
	 "{\"promptFeedback\":{\"blockReason\":\"SAFETY\"},"
	 "\"usageMetadata\":{\"promptTokenCount\":\"9\"}}",
	 "gemini", "", "SAFETY", 9, 0},
	{"OpenAI responses",
	 "{\"id\":\"resp_1\",\"object\":\"response\",\"status\":\"completed\","
	 "\"incomplete_details\":null,\"output\":[{\"type\":\"reasoning\",\"content\":[{"
	 "\"type\":\"reasoning_text\",\"text\":\"hm\"}],\"summary\":[{\"type\":"
	 "\"summary_text\",\"text\":\"s\"}]},{\"type\":\"message\",\"role\":\"assistant\","
	 "\"content\":[{\"type\":\"output_text\",\"text\":\"Hello\",\"annotations\":[]},"
	 "{\"type\":\"output_text\",\"text\":\" you\"}]},{\"type\":\"function_call\","
	 "\"name\":\"f\",\"arguments\":\"{}\"}],\"usage\":{\"input_tokens\":11,"
	 "\"input_tokens_details\":{\"cached_tokens\":8},\"output_tokens\":12}}",
	 "openai-responses",
	 "Hello you\n{\"type\":\"function_call\",\"name\":\"f\",\"arguments\":\"{}\"}\n",
	 "completed", 11, 12},
	{"OpenAI responses, cut short, refused",
	 "{\"output\":[{\"type\":\"message\",\"content\":[{\"type\":\"refusal\","
	 "\"refusal\":\"No.\"}]}],\"status\":\"incomplete\",\"incomplete_details\":{"
	 "\"reason\":\"max_output_tokens\"}}",
	 "openai-responses", "No.\n", "max_output_tokens", -1, 0},
	{"OpenAI chat",
	 "{\"id\":\"c\",\"object\":\"chat.completion\",\"choices\":[{\"index\":0,\"message\":{"
	 "\"role\":\"assistant\",\"content\":\"Hi.\\n\",\"refusal\":null,"
	 "\"reasoning_content\":\"hm\"},\"logprobs\":null,\"finish_reason\":\"stop\"}],"
	 "\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":5,\"total_tokens\":25,"
	 "\"prompt_tokens_details\":{\"cached_tokens\":16}}}",
	 "openai-chat", "Hi.\n", "stop", 20, 5},
	{"OpenAI chat, two choices",
	 "{\"choices\":[{\"message\":{\"content\":\"one\"},\"finish_reason\":\"stop\"},"
	 "{\"message\":{\"content\":\"two\\n\"},\"finish_reason\":\"length\"},"
	 "{\"message\":{\"content\":null}}]}",
	 "openai-chat", "one\n\f\ntwo\n\f\n", "stop", -1, 0},
	{"OpenAI chat, tools, content null",
	 "{\"choices\":[{\"message\":{\"content\":null,\"tool_calls\":[{\"id\":\"a\",\"type\":"
	 "\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"x\\\": 1}\"}},"
	 "{\"id\":\"b\"}]},\"finish_reason\":\"tool_calls\"}]}",
	 "openai-chat",
	 "{\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":"
	 "\"{\\\"x\\\": 1}\"}}\n{\"id\":\"b\"}\n",
	 "tool_calls", -1, 0},
	{"OpenAI chat, content in parts",
	 "{\"choices\":[{\"message\":{\"content\":[{\"type\":\"thinking\",\"thinking\":[{"
	 "\"type\":\"text\",\"text\":\"hm\"}]},{\"type\":\"text\",\"text\":\"Oui\"}]}}]}",
	 "openai-chat", "Oui\n", "", -1, 0},
	{"OpenAI chat, refused",
	 "{\"choices\":[{\"message\":{\"content\":null,\"refusal\":\"No.\"},"
	 "\"finish_reason\":\"stop\"}]}",
	 "openai-chat", "No.\n", "stop", -1, 0},
	{"Mistral chat",
	 "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Ja\","
	 "\"tool_calls\":null},\"stop_reason\":\"stop\"}]}",
	 "openai-chat", "Ja\n", "stop", -1, 0},
	{"AI21 Jamba",
	 "{\"id\":\"j\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
	 "\"content\":\"Sure\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3,"
	 "\"completion_tokens\":4,\"total_tokens\":7},\"meta\":{\"requestDurationMillis\":9}}",
	 "openai-chat", "Sure\n", "stop", 3, 4},
	{"DeepSeek V3",
	 "{\"choices\":[{\"message\":{\"role\":\"assistant\",\"content\":\"Hao\","
	 "\"reasoning_content\":null},\"finish_reason\":\"stop\"}],"
	 "\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}",
	 "openai-chat", "Hao\n", "stop", 1, 1},
	{"gpt-oss keeps its tags",
	 "{\"choices\":[{\"message\":{\"content\":\"<reasoning>hm</reasoning>Hi\"},"
	 "\"finish_reason\":\"stop\"}],\"model\":\"openai.gpt-oss-20b-1:0\"}",
	 "openai-chat", "<reasoning>hm</reasoning>Hi\n", "stop", -1, 0},
	{"Qwen",
	 "{\"choices\":[{\"finish_reason\":\"length\",\"index\":0,\"message\":{\"content\":"
	 "\"\\u4f60\\u597d\",\"role\":\"assistant\"}}],\"usage\":{\"completion_tokens\":2,"
	 "\"prompt_tokens\":6,\"total_tokens\":8}}",
	 "openai-chat", "\xe4\xbd\xa0\xe5\xa5\xbd\n", "length", 6, 2},
	{"Palmyra with a message",
	 "{\"choices\":[{\"message\":{\"content\":\"A\"},\"text\":\"A\","
	 "\"finish_reason\":\"stop\"}]}",
	 "openai-chat", "A\n", "stop", -1, 0},
	{"Palmyra with a text",
	 "{\"choices\":[{\"message\":null,\"text\":\"B\",\"finish_reason\":\"stop\"}]}",
	 "openai-completions", "B\n", "stop", -1, 0},
};

static void test_conversations(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(conversations); i++)
		check(&conversations[i]);
}

static const struct row completions[] = {
	{"OpenAI completions",
	 "{\"object\":\"text_completion\",\"choices\":[{\"text\":\"a\",\"index\":0,"
	 "\"finish_reason\":\"length\"},{\"text\":\"b\",\"index\":1}],\"usage\":{"
	 "\"prompt_tokens\":5,\"completion_tokens\":2}}",
	 "openai-completions", "a\n\f\nb\n", "length", 5, 2},
	{"DeepSeek R1 keeps its thinking",
	 "{\"choices\":[{\"text\":\"hm\\n</think>\\n\\n42\",\"stop_reason\":\"stop\"}]}",
	 "openai-completions", "hm\n</think>\n\n42\n", "stop", -1, 0},
	{"Titan Text",
	 "{\"inputTextTokenCount\":8,\"results\":[{\"tokenCount\":3,\"outputText\":\"\\nOne\","
	 "\"completionReason\":\"FINISH\"},{\"tokenCount\":4,\"outputText\":\"Two\"}]}",
	 "titan-text", "\nOne\n\f\nTwo\n", "FINISH", 8, 7},
	{"Llama",
	 "{\"generation\":\"\\n\\nYes.\",\"prompt_token_count\":12,"
	 "\"generation_token_count\":34,\"stop_reason\":\"stop\"}",
	 "llama", "\n\nYes.\n", "stop", 12, 34},
	{"Llama says nothing",
	 "{\"generation\":\"\",\"prompt_token_count\":1,\"generation_token_count\":0,"
	 "\"stop_reason\":\"length\"}",
	 "llama", "", "length", 1, 0},
	{"Mistral text", "{\"outputs\":[{\"text\":\" Bien\",\"stop_reason\":\"stop\"}]}",
	 "mistral-text", " Bien\n", "stop", -1, 0},
	{"Cohere Command",
	 "{\"generations\":[{\"finish_reason\":\"COMPLETE\",\"id\":\"g\",\"text\":\"Ok\"}],"
	 "\"id\":\"i\",\"prompt\":\"p\"}",
	 "cohere-command", "Ok\n", "COMPLETE", -1, 0},
	{"Cohere Command R",
	 "{\"response_id\":\"r\",\"text\":\"Ok\",\"generation_id\":\"g\",\"chat_history\":[],"
	 "\"finish_reason\":\"MAX_TOKENS\",\"tool_calls\":[{\"name\":\"f\",\"parameters\":{}}],"
	 "\"meta\":{\"billed_units\":{\"input_tokens\":6,\"output_tokens\":2}}}",
	 "cohere-command-r", "Ok\n{\"name\":\"f\",\"parameters\":{}}\n", "MAX_TOKENS", 6, 2},
	{"AI21 Jurassic-2",
	 "{\"id\":1,\"prompt\":{\"text\":\"p\",\"tokens\":[]},\"completions\":[{\"data\":{"
	 "\"text\":\"Go\",\"tokens\":[]},\"finishReason\":{\"reason\":\"endoftext\"}}]}",
	 "jurassic-2", "Go\n", "endoftext", -1, 0},
	{"an imported model in Llama's form",
	 "{\"generation\":\"x\",\"generation_token_count\":1,\"prompt_token_count\":2,"
	 "\"stop_reason\":\"stop\",\"logprobs\":null}",
	 "llama", "x\n", "stop", 2, 1},
	{"a family nobody knows, on one line",
	 "{ \"answer\" : [ 1,\n 2 ],\t\"s\": \"a \\\" b\\\\\" }", NULL,
	 "{\"answer\":[1,2],\"s\":\"a \\\" b\\\\\"}\n", "", -1, 0},
	{"no object at all", "\"just words\"", NULL, "\"just words\"\n", "", -1, 0},
	{"nothing", "", NULL, "", "", -1, 0},
	{"no choices", "{\"choices\":[]}", NULL, "{\"choices\":[]}\n", "", -1, 0},
	{"a control byte in a reason", "{\"generation\":\"x\",\"stop_reason\":\"a\\u0001b\"}",
	 "llama", "x\n", "a?b", -1, 0},
	{"a reason that is too long is cut between characters",
	 "{\"generation\":\"x\",\"stop_reason\":\"0123456789012345678901234567890123456789"
	 "01234567890123456789\xc3\xa9\xc3\xa9\xc3\xa9\"}",
	 "llama", "x\n", "012345678901234567890123456789012345678901234567890123456789\xc3\xa9", -1,
	 0},
	{"a count that is no number", "{\"generation\":\"x\",\"prompt_token_count\":\"many\"}",
	 "llama", "x\n", "", -1, 0},
};

static void test_completions(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(completions); i++)
		check(&completions[i]);
}

static const struct row embeddings[] = {
	{"Titan", "{\"embedding\":[0.5, -1e-3,\n2],\"inputTextTokenCount\":4}", "titan-embeddings",
	 "0.5 -1e-3 2\n", "", 4, 0},
	{"Titan v2 gives the floats twice",
	 "{\"embedding\":[0.5],\"embeddingsByType\":{\"float\":[0.5]},"
	 "\"inputTextTokenCount\":4}",
	 "titan-embeddings", "0.5\n", "", 4, 0},
	{"Titan v2 by type",
	 "{\"embedding\":null,\"embeddingsByType\":{\"float\":null,\"binary\":[1,0,1]},"
	 "\"inputTextTokenCount\":4}",
	 "titan-embeddings-by-type", "1 0 1\n", "", 4, 0},
	{"Titan Multimodal", "{\"embedding\":[1],\"inputTextTokenCount\":0,\"message\":null}",
	 "titan-embeddings", "1\n", "", 0, 0},
	{"Nova multimodal",
	 "{\"embeddings\":[{\"embeddingType\":\"TEXT\",\"embedding\":[1,2]},"
	 "{\"embeddingType\":\"IMAGE\",\"embedding\":[3]}]}",
	 "nova-embeddings", "1 2\n3\n", "", -1, 0},
	{"Cohere Embed, floats",
	 "{\"id\":\"i\",\"embeddings\":[[0.1,0.2],[0.3,0.4]],\"texts\":[\"a\",\"b\"],"
	 "\"response_type\":\"embeddings_floats\"}",
	 "cohere-embeddings", "0.1 0.2\n0.3 0.4\n", "", -1, 0},
	{"Cohere Embed by type",
	 "{\"embeddings\":{\"float\":[[0.1,0.2],[0.3]],\"int8\":[[1,2],[3]],\"ubinary\":null},"
	 "\"response_type\":\"embeddings_by_type\"}",
	 "cohere-embeddings-by-type", "0.1 0.2\n0.3\n1 2\n3\n", "", -1, 0},
	{"TwelveLabs Marengo",
	 "{\"data\":[{\"embedding\":[1,2],\"embeddingOption\":\"visual\",\"startSec\":0.0,"
	 "\"endSec\":6.0},{\"embedding\":[3,4]}]}",
	 "openai-embeddings", "1 2\n3 4\n", "", -1, 0},
	{"OpenAI, out of order",
	 "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":2,\"embedding\":[3]},"
	 "{\"index\":0,\"embedding\":[1]},{\"index\":1,\"embedding\":[2]}],"
	 "\"usage\":{\"prompt_tokens\":8,\"total_tokens\":8}}",
	 "openai-embeddings", "1\n2\n3\n", "", 8, 0},
	{"OpenAI, base64 of 1.0, -2.5 and 0.1",
	 "{\"data\":[{\"index\":0,\"embedding\":\"AACAPwAAIMDNzMw9\"}],"
	 "\"usage\":{\"prompt_tokens\":1}}",
	 "openai-embeddings", "1 -2.5 0.100000001\n", "", 1, 0},
	{"base64 with padding and an escaped slash",
	 "{\"data\":[{\"index\":0,\"embedding\":\"AACA\\/w==\"}]}", "openai-embeddings", "-inf\n",
	 "", -1, 0},
	{"Gemini", "{\"embedding\":{\"values\":[0.25,1]},\"tokenCount\":\"7\"}",
	 "gemini-embeddings", "0.25 1\n", "", 7, 0},
};

static void test_embeddings(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(embeddings); i++)
		check(&embeddings[i]);
}

static void test_questions(void **state)
{
	static const struct {
		const char *why, *input, *question; /* NULL: there is none */
	} rows[] = {
		{"Claude, a string",
		 "{\"anthropic_version\":\"bedrock-2023-05-31\",\"system\":\"s\",\"messages\":[{"
		 "\"role\":\"user\",\"content\":\"Why?\"}]}",
		 "Why?"},
		{"the last of several turns",
		 "{\"messages\":[{\"role\":\"user\",\"content\":\"One\"},{\"role\":\"assistant\","
		 "\"content\":\"a\"},{\"role\":\"user\",\"content\":[{\"type\":\"image\",\"source\":{}},"
		 "{\"type\":\"text\",\"text\":\"Two\"},{\"type\":\"text\",\"text\":\"Three\"}]}]}",
		 "Two\nThree"},
		{"a last turn without words is passed over",
		 "{\"messages\":[{\"role\":\"user\",\"content\":\"One\"},{\"role\":\"user\","
		 "\"content\":[{\"type\":\"tool_result\",\"content\":[]}]}]}",
		 "One"},
		{"Converse and Nova",
		 "{\"system\":[{\"text\":\"s\"}],\"messages\":[{\"role\":\"user\",\"content\":[{"
		 "\"text\":\"Hi\"}]}],\"inferenceConfig\":{\"maxTokens\":5}}",
		 "Hi"},
		{"OpenAI chat",
		 "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":"
		 "\"user\",\"content\":\"Q\"}]}",
		 "Q"},
		{"OpenAI responses, a string", "{\"instructions\":\"i\",\"input\":\"Q\"}", "Q"},
		{"OpenAI responses, items",
		 "{\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"Q\"}]}]}",
		 "Q"},
		{"OpenAI embeddings, several", "{\"model\":\"m\",\"input\":[\"a\",\"b\"]}", "a\nb"},
		{"Gemini",
		 "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"A\"}]},{\"role\":\"model\","
		 "\"parts\":[{\"text\":\"B\"}]},{\"parts\":[{\"text\":\"C\"}]}]}",
		 "C"},
		{"Gemini embeddings", "{\"content\":{\"parts\":[{\"text\":\"A\"}]}}", "A"},
		{"Llama, Mistral, DeepSeek R1, Cohere, Claude 2",
		 "{\"prompt\":\"P\",\"max_gen_len\":5}", "P"},
		{"Titan", "{\"inputText\":\"T\",\"textGenerationConfig\":{\"maxTokenCount\":5}}",
		 "T"},
		{"Cohere Command R",
		 "{\"preamble\":\"p\",\"chat_history\":[{\"role\":\"USER\",\"message\":\"old\"}],"
		 "\"message\":\"new\"}",
		 "new"},
		{"Cohere Embed", "{\"texts\":[\"a\",\"b\"],\"input_type\":\"search_query\"}",
		 "a\nb"},
		{"Nova embeddings", "{\"singleEmbeddingParams\":{\"text\":{\"value\":\"V\"}}}",
		 "V"},
		{"no question", "{\"messages\":[],\"max_tokens\":5}", NULL},
		{"an empty one is one", "{\"prompt\":\"\"}", ""},
		{"nulls", "{\"messages\":null,\"prompt\":null}", NULL},
		{"not JSON", "nonsense", NULL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(buf_release) struct buf text;
		bool found;

		buf_init(&text, 1000);
		buf_add_char(&text, '>');
		found = text_prompt(span(rows[i].input), &text);
		if (found != (rows[i].question != NULL) ||
		    strcmp(text.data + 1, found ? rows[i].question : "") != 0)
			fail_msg("%s: %d %s", rows[i].why, found, text.data);
	}
}

/* Looks at json, which is in memory of exactly its size. */
static void look_at(const char *json, size_t size)
{
	CLEANUP(buf_release) struct buf text;
	CLEANUP(str_freep) char *exact = malloc(size ? size : 1);
	struct envelope v;
	struct text_answer a;

	assert_non_null(exact);
	memcpy(exact, json, size);
	buf_init(&text, 100000);
	text_extract(jsonspan_of(exact, size), &text, &a);
	text_prompt(jsonspan_of(exact, size), &text);
	if (envelope_parse(exact, size, &v) == 0)
		envelope_message(&v, &text);
	assert_int_equal(buf_error(&text), 0);
}

/* Answers cut anywhere, and with any byte spoilt, stay what they are: bytes
 * (the sanitizer's word). */
static void spoil(const struct row *rows, size_t count)
{
	static const char spoilers[] = "\"\\[{]},:0n\0\xff";
	unsigned at = 0;

	for (size_t i = 0; i < count; i++) {
		size_t size = strlen(rows[i].output);
		CLEANUP(str_freep) char *copy = strdup(rows[i].output);

		assert_non_null(copy);
		for (size_t n = 0; n < size; n++) {
			look_at(rows[i].output, n);
			copy[n] = spoilers[at++ % (sizeof(spoilers) - 1)];
			look_at(copy, size);
			copy[n] = rows[i].output[n];
		}
	}
}

static void test_hostile_answers(void **state)
{
	(void)state;
	spoil(conversations, COUNT_OF(conversations));
	spoil(completions, COUNT_OF(completions));
	spoil(embeddings, COUNT_OF(embeddings));
}

static void test_sums_do_not_overflow(void **state)
{
	uint64_t sum = 1;

	(void)state;
	assert_true(textpath_sum(span("[18446744073709551615,5]"), "*", &sum));
	assert_true(sum == UINT64_MAX);
}

/* What Bedrock itself wrote, when the samples are at hand. */
static void test_real_answers(void **state)
{
	CLEANUP(file_closep) FILE *f = NULL;
	CLEANUP(str_freep) char *path = NULL;
	CLEANUP(str_freep) char *line = NULL;
	const char *shared = getenv("BATCHFS_SHARED");
	size_t capacity = 0;
	ssize_t size;
	int count = 0;

	(void)state;
	if (!shared || asprintf(&path, "%s/samples/bedrock-batch/stage_3_output.jsonl", shared) < 0)
		SKIP_TEST("BATCHFS_SHARED is not set: no real answers to read\n");
	f = fopen(path, "re");
	if (!f)
		SKIP_TEST("no real answers at %s\n", path);
	while ((size = getline(&line, &capacity, f)) > 0) {
		CLEANUP(buf_release) struct buf text;
		CLEANUP(buf_release) struct buf prompt;
		struct envelope v;
		struct text_answer a;

		buf_init(&text, 1000000);
		buf_init(&prompt, 1000000);
		assert_int_equal(envelope_parse(line, (size_t)size, &v), 0);
		assert_true(v.good);
		text_extract(v.output, &text, &a);
		assert_string_equal(a.family, "claude");
		assert_string_equal(a.stop_reason, "end_turn");
		assert_true(a.tokens.input > 0 && a.tokens.output > 0);
		assert_true(text.size > 20);
		assert_true(text_prompt(v.input, &prompt));
		assert_true(prompt.size > 20);
		count++;
	}
	assert_int_equal(count, 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conversations),	cmocka_unit_test(test_completions),
		cmocka_unit_test(test_embeddings),	cmocka_unit_test(test_questions),
		cmocka_unit_test(test_hostile_answers), cmocka_unit_test(test_sums_do_not_overflow),
		cmocka_unit_test(test_real_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
