/* Families of models, and what is said of bodies before they are sent. */

#include <string.h>

#include "backend/aws/models.h"
#include "fs/base/jsonscan.h"
#include "tests/unit/cmocka_all.h"

#define CLAUDE	"us.anthropic.claude-haiku-4-5-20251001-v1:0"
#define CLAUDE3 "anthropic.claude-3-haiku-20240307-v1:0"
#define OPUS5	"global.anthropic.claude-opus-5"
#define NOVA	"amazon.nova-micro-v1:0"
#define TITAN	"amazon.titan-embed-text-v2:0"
#define TITANMM "amazon.titan-embed-image-v1"
#define LLAMA	"us.meta.llama4-scout-17b-instruct-v1:0"
#define LLAMA31 "meta.llama3-1-8b-instruct-v1:0"
#define MISTRAL "mistral.mistral-small-2402-v1:0"
#define GPT	"openai.gpt-oss-20b-1:0"

static void test_families(void **state)
{
	static const struct {
		const char *model;
		enum model_family family;
		const char *base, *geography;
	} rows[] = {
		{CLAUDE3, FAMILY_CLAUDE, CLAUDE3, ""},
		{CLAUDE, FAMILY_CLAUDE, "anthropic.claude-haiku-4-5-20251001-v1:0", "us"},
		{OPUS5, FAMILY_CLAUDE, "anthropic.claude-opus-5", "global"},
		{"arn:aws:bedrock:eu-west-1:111122223333:inference-profile/eu.amazon.nova-pro-v1:0",
		 FAMILY_NOVA, "amazon.nova-pro-v1:0", "eu"},
		{"arn:aws:bedrock:us-east-1::foundation-model/meta.llama3-3-70b-instruct-v1:0",
		 FAMILY_LLAMA, "meta.llama3-3-70b-instruct-v1:0", ""},
		{"arn:aws:bedrock:us-east-1:111122223333:custom-model/amazon.titan-embed-image-v1/"
		 "ab12cd34ef56",
		 FAMILY_TITAN_EMBED_IMAGE, TITANMM, ""},
		{"arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/ab12cd34",
		 FAMILY_UNKNOWN, "", ""},
		{"us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0", FAMILY_CLAUDE,
		 "anthropic.claude-sonnet-4-5-20250929-v1:0", "us-gov"},
		{"us.amazon", FAMILY_UNKNOWN, "us.amazon", ""},
		{"us.", FAMILY_UNKNOWN, "us.", ""},
		{"", FAMILY_UNKNOWN, "", ""},
		{TITAN, FAMILY_TITAN_EMBED_TEXT, TITAN, ""},
		{"amazon.nova-2-multimodal-embeddings-v1:0", FAMILY_NOVA_EMBED,
		 "amazon.nova-2-multimodal-embeddings-v1:0", ""},
		{"amazon.nova-canvas-v1:0", FAMILY_UNKNOWN, "amazon.nova-canvas-v1:0", ""},
		{MISTRAL, FAMILY_MISTRAL_TEXT, MISTRAL, ""},
		{"mistral.mistral-large-2407-v1:0", FAMILY_CHAT, "mistral.mistral-large-2407-v1:0",
		 ""},
		{"deepseek.v3.2", FAMILY_CHAT, "deepseek.v3.2", ""},
		{GPT, FAMILY_CHAT, GPT, ""},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct models_id id;

		models_split(rows[i].model, &id);
		if (models_family(rows[i].model) != rows[i].family ||
		    id.base_size != strlen(rows[i].base) ||
		    memcmp(id.base, rows[i].base, id.base_size) != 0 ||
		    id.geography_size != strlen(rows[i].geography) ||
		    memcmp(id.geography, rows[i].geography, id.geography_size) != 0)
			fail_msg("%s: %s, %.*s, %.*s", rows[i].model,
				 models_family_name(models_family(rows[i].model)),
				 (int)id.base_size, id.base, (int)id.geography_size, id.geography);
	}
	assert_string_equal(models_family_name(FAMILY_CLAUDE), "Claude");
	for (int f = 0; f < FAMILY_COUNT; f++)
		assert_non_null(models_family_name((enum model_family)f));
}

static void test_profile_hints(void **state)
{
	static const struct {
		const char *why, *model, *region, *says, *says_not; /* says NULL: no hint */
	} rows[] = {
		{"a profile already", CLAUDE, "us-east-1", NULL, NULL},
		{"reached by its id", CLAUDE3, "us-east-1", NULL, NULL},
		{"not known", "acme.new-1", "us-east-1", NULL, NULL},
		{"in the US", "anthropic.claude-opus-5", "us-west-2",
		 "use us.anthropic.claude-opus-5 or global.anthropic.claude-opus-5", "eu."},
		{"in Europe", "anthropic.claude-opus-5", "eu-west-1", "use eu.anthropic", "us."},
		{"in Asia", "anthropic.claude-opus-5", "ap-south-1", "use apac.anthropic", "us."},
		{"region not known", "anthropic.claude-opus-5", NULL, "eu.anthropic", NULL},
		{"no global one", "meta.llama4-scout-17b-instruct-v1:0", "us-east-1",
		 "use us.meta.llama4-scout-17b-instruct-v1:0", "global"},
		{"by its id in one region", "anthropic.claude-sonnet-4-6", "eu-west-2", NULL, NULL},
		{"and not in others", "anthropic.claude-sonnet-4-6", "eu-west-1", "use eu.", NULL},
		{"an ARN of a model",
		 "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-opus-5", "us-east-1",
		 "use us.anthropic.claude-opus-5", NULL},
		{"the government's", "anthropic.claude-sonnet-4-5-20250929-v1:0", "us-gov-west-1",
		 "use us-gov.anthropic", "global"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(buf_release) struct buf out = BUF_INIT(1000);
		bool is_hint = models_add_profile_hint(rows[i].model, rows[i].region, &out);

		if (is_hint != (rows[i].says != NULL) ||
		    (rows[i].says && !strstr(out.data, rows[i].says)) ||
		    (rows[i].says_not && strstr(out.data, rows[i].says_not)))
			fail_msg("%s: %s", rows[i].why, out.data);
	}
}

struct row {
	const char *why, *model, *body;
	const char *fault, *warning; /* part of the only one of its kind; NULL: none */
};

static void check(const struct row *r, int converse)
{
	CLEANUP(buf_release) struct buf faults = BUF_INIT(100000);
	CLEANUP(buf_release) struct buf warnings = BUF_INIT(100000);
	struct models_lint l = {.model = r->model, .converse = converse};

	if (!jsonscan_text_is_valid(r->body, strlen(r->body)))
		fail_msg("%s: the test's own body is no JSON", r->why);
	models_lint_body(&l, "input.jsonl:7: ", r->body, strlen(r->body), &faults, &warnings);
	if (l.faults != (r->fault != NULL) || l.warnings != (r->warning != NULL))
		fail_msg("%s: %d faults, %d warnings:\n%s\n%s", r->why, (int)l.faults,
			 (int)l.warnings, faults.data, warnings.data);
	if ((r->fault && !strstr(faults.data, r->fault)) ||
	    (r->warning && !strstr(warnings.data, r->warning)))
		fail_msg("%s: %s%s", r->why, faults.data, warnings.data);
	if (r->fault && strncmp(faults.data, "input.jsonl:7: ", 15) != 0)
		fail_msg("%s: not told where: %s", r->why, faults.data);
	assert_int_equal(l.records, 1);
}

#define V	  "\"anthropic_version\":\"bedrock-2023-05-31\""
#define M	  "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"
#define C(more)	  "{" V ",\"max_tokens\":9," M more "}"
#define CM(inner) "{" V ",\"max_tokens\":9,\"messages\":[" inner "]}"
#define CB(block) CM("{\"role\":\"user\",\"content\":[" block "]}")

static void test_claude(void **state)
{
	static const struct row rows[] = {
		{"as it should be", CLAUDE, C(), NULL, NULL},
		{"all that is allowed", CLAUDE,
		 C(",\"system\":\"s\",\"temperature\":0.5,\"top_k\":5,\"stop_sequences\":[\"x\"],"
		   "\"metadata\":{},\"anthropic_beta\":[],\"top_p\":null"),
		 NULL, NULL},
		{"system blocks", CLAUDE, C(",\"system\":[{\"type\":\"text\",\"text\":\"s\"}]"),
		 NULL, NULL},
		{"no version", CLAUDE, "{\"max_tokens\":9," M "}", "anthropic_version: is missing",
		 NULL},
		{"another version", CLAUDE,
		 "{\"anthropic_version\":\"2023-06-01\",\"max_tokens\":9," M "}", NULL,
		 "bedrock-2023-05-31"},
		{"no max_tokens", CLAUDE, "{" V "," M "}", "max_tokens: is missing", NULL},
		{"null for max_tokens", CLAUDE, "{" V ",\"max_tokens\":null," M "}",
		 "max_tokens: is missing", NULL},
		{"no messages", CLAUDE, "{" V ",\"max_tokens\":9}", "messages: is missing", NULL},
		{"messages is an object", CLAUDE, "{" V ",\"max_tokens\":9,\"messages\":{}}",
		 "not a list", NULL},
		{"no message in it", CLAUDE, CM(), "messages: is empty", NULL},
		{"model inside", CLAUDE, C(",\"model\":\"x\""), "model: \"Extra inputs", NULL},
		{"modelId inside", CLAUDE, C(",\"modelId\":\"x\""), "modelId: \"Extra", NULL},
		{"stream inside", CLAUDE, C(",\"stream\":false"), "do not stream", NULL},
		{"an escaped name", CLAUDE, C(",\"mod\\u0065l\":\"x\""), "model: \"Extra", NULL},
		{"OpenAI's stop", CLAUDE, C(",\"stop\":[\"x\"]"), "stop_sequences", NULL},
		{"Nova's settings", CLAUDE, C(",\"inferenceConfig\":{}"), "invocation = Converse",
		 NULL},
		{"never heard of", CLAUDE, C(",\"temprature\":1"), NULL, "\"temprature\" is not"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		check(&rows[i], 0);
}

static void test_claude_settings(void **state)
{
	static const struct row rows[] = {
		{"both samplers", CLAUDE, C(",\"temperature\":0.5,\"top_p\":0.9"),
		 "cannot both be given", NULL},
		{"both on an old one", CLAUDE3, C(",\"temperature\":0.5,\"top_p\":0.9"), NULL,
		 NULL},
		{"both on one not sure of", "us.anthropic.claude-sonnet-4-20250514-v1:0",
		 C(",\"temperature\":0.5,\"top_p\":0.9"), NULL, "cannot both"},
		{"a sampler on the newest", OPUS5, C(",\"temperature\":0.5"),
		 "temperature: \"`temperature` is deprecated", NULL},
		{"its only value", OPUS5, C(",\"temperature\":1.0"), NULL, "deprecated"},
		{"top_k on the newest", OPUS5, C(",\"top_k\":1"), "top_k: \"`top_k`", NULL},
		{"too hot", CLAUDE, C(",\"temperature\":1.5"), "within 0 and 1", NULL},
		{"below zero", CLAUDE, C(",\"top_p\":-0.1"), "within 0 and 1", NULL},
		{"too many tokens", CLAUDE, "{" V ",\"max_tokens\":64001," M "}",
		 "exceeds the model limit of 64000", NULL},
		{"just enough", CLAUDE, "{" V ",\"max_tokens\":64000," M "}", NULL, NULL},
		{"far too many", CLAUDE, "{" V ",\"max_tokens\":99999999999999999999999999," M "}",
		 "limit of 64000", NULL},
		{"a limit from a page", "us.anthropic.claude-opus-4-5-20251101-v1:0",
		 "{" V ",\"max_tokens\":64001," M "}", NULL, "limit of 64000"},
		{"none at all", CLAUDE, "{" V ",\"max_tokens\":0," M "}", "0 tokens", NULL},
		{"less than none", CLAUDE, "{" V ",\"max_tokens\":-1," M "}", "whole number", NULL},
		{"tokens as a text", CLAUDE, "{" V ",\"max_tokens\":\"9\"," M "}", NULL,
		 "whole number"},
		{"tokens twice: the last counts", CLAUDE,
		 "{" V ",\"max_tokens\":64001,\"max_tokens\":9," M "}", NULL, "twice"},
		{"tools", CLAUDE, C(",\"tools\":[]"), NULL, "tools"},
		{"a cache", CLAUDE, C(",\"cache_control\":{\"type\":\"ephemeral\"}"), NULL,
		 "no prompt cache"},
		{"a cache in a block, told once", CLAUDE,
		 CB("{\"type\":\"text\",\"text\":\"a\",\"cache_control\":{\"type\":\"ephemeral\"}},"
		    "{\"type\":\"text\",\"text\":\"a\",\"cache_control\":{\"type\":\"ephemeral\"}}"),
		 NULL, "messages[0].content[0].cache_control: batch jobs have no prompt cache"},
		{"no tokens left", CLAUDE,
		 "{" V ",\"max_tokens\":2000,\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":"
		 "2000}," M "}",
		 NULL, "leaves no tokens"},
		{"an old completion", "anthropic.claude-v2:1",
		 "{\"prompt\":\"x\",\"max_tokens_to_sample\":9}", NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		check(&rows[i], 0);
}

static void test_claude_messages(void **state)
{
	static const struct row rows[] = {
		{"three turns", CLAUDE,
		 CM("{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":"
		    "\"b\"},{\"role\":\"user\",\"content\":\"c\"}"),
		 NULL, NULL},
		{"system among them", CLAUDE,
		 CM("{\"role\":\"system\",\"content\":\"a\"},{\"role\":\"user\",\"content\":\"b\"}"),
		 "messages[0].role: only \"user\" and \"assistant\"", NULL},
		{"the assistant first", CLAUDE,
		 CM("{\"role\":\"assistant\",\"content\":\"a\"},"
		    "{\"role\":\"user\",\"content\":\"a\"}"),
		 "first message has to be the user's", NULL},
		{"a role of their own", CLAUDE, CM("{\"role\":\"human\",\"content\":\"a\"}"),
		 "\"human\" is not a role", NULL},
		{"no role", CLAUDE, CM("{\"content\":\"a\"}"), "messages[0].role: is missing",
		 NULL},
		{"no content", CLAUDE, CM("{\"role\":\"user\"}"), "messages[0].content: has to be",
		 NULL},
		{"an empty one", CLAUDE, CM("{\"role\":\"user\",\"content\":\"\"}"),
		 "non-empty content", NULL},
		{"no block", CLAUDE, CB(), "non-empty content", NULL},
		{"an empty one at the end is the assistant's", CLAUDE,
		 CM("{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"\"}"),
		 NULL, NULL},
		{"words put in the mouth of a new one", OPUS5,
		 CM("{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":"
		    "\"b\"}"),
		 NULL, "let the user speak last"},
		{"not an object", CLAUDE, CM("\"hi\""), "messages[0]: has to be an object", NULL},
		{"a text block", CLAUDE, CB("{\"type\":\"text\",\"text\":\"a\"}"), NULL, NULL},
		{"an empty text block", CLAUDE, CB("{\"type\":\"text\",\"text\":\"\"}"),
		 "messages[0].content[0].text: \"text content blocks must be non-empty", NULL},
		{"a block without its type", CLAUDE, CB("{\"text\":\"a\"}"), "type: is missing",
		 NULL},
		{"an image", CLAUDE,
		 CB("{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":"
		    "\"image/png\",\"data\":\"AAAA\"}}"),
		 NULL, NULL},
		{"an image by URL", CLAUDE,
		 CB("{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":\"https://x/a.png\"}}"),
		 "URL sources are not supported", NULL},
		{"a document by URL", CLAUDE,
		 CB("{\"type\":\"document\",\"source\":{\"type\":\"url\",\"url\":\"https://x/a\"}}"),
		 "URL sources are not supported", NULL},
		{"a data: URL", CLAUDE,
		 CB("{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":"
		    "\"image/png\",\"data\":\"data:image/png;base64,AAAA\"}}"),
		 "is a data: URL", NULL},
		{"an image of another type", CLAUDE,
		 CB("{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":"
		    "\"image/tiff\",\"data\":\"AAAA\"}}"),
		 "source.media_type: has to be", NULL},
		{"OpenAI's image", CLAUDE,
		 CB("{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://x\"}}"),
		 "\"image_url\" is OpenAI's", NULL},
		{"a tool's answer", CLAUDE,
		 CB("{\"type\":\"tool_result\",\"tool_use_id\":\"x\",\"content\":\"y\"}"), NULL,
		 "tools"},
		{"a block of the future", CLAUDE, CB("{\"type\":\"hologram\",\"x\":1}"), NULL,
		 NULL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		check(&rows[i], 0);
}

#define NM	  "\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"hi\"}]}]"
#define NB(block) "{\"messages\":[{\"role\":\"user\",\"content\":[" block "]}]}"

static void test_forms(void **state)
{
	static const struct row rows[] = {
		{"OpenAI chat for Claude", CLAUDE,
		 "{\"model\":\"gpt\",\"max_tokens\":9,\"messages\":[{\"role\":\"system\","
		 "\"content\":\"a\"},{\"role\":\"user\",\"content\":\"b\"}]}",
		 "OpenAI's chat form, which Claude does not take; write {\"anthropic_version\"",
		 NULL},
		{"Nova's for Claude", CLAUDE, "{" NM ",\"inferenceConfig\":{\"maxTokens\":9}}",
		 "Converse and Nova, which Claude does not", NULL},
		{"Converse without settings for Claude", CLAUDE, "{" NM "}", "Converse and Nova",
		 NULL},
		{"a prompt for Claude", CLAUDE, "{\"prompt\":\"x\",\"max_gen_len\":9}",
		 "a prompt for Llama", NULL},
		{"a text for Claude", CLAUDE, "{\"inputText\":\"x\"}", "Titan embedding", NULL},
		{"Gemini's for Claude", CLAUDE, "{\"contents\":[]}", "Gemini's", NULL},
		{"a whole line for Claude", CLAUDE, "{\"params\":" C() "}", "right into modelInput",
		 NULL},
		{"Claude's for Nova", NOVA, C(), "Claude's own interface, which Nova", NULL},
		{"OpenAI's for Nova", NOVA,
		 "{\"messages\":[{\"role\":\"system\",\"content\":\"a\"}]}", "OpenAI's", NULL},
		{"messages for Titan", TITAN, "{" M "}", "an embedding is of a text", NULL},
		{"OpenAI's embedding for Titan", TITAN, "{\"input\":\"x\"}", "write {\"inputText\"",
		 NULL},
		{"messages for Llama", LLAMA, "{" M "}", "Llama takes a prompt", NULL},
		{"nothing for Llama", LLAMA, "{}", "prompt: is missing", NULL},
		{"messages for an old Mistral", MISTRAL, "{" M "}", "takes a prompt", NULL},
		{"a text for chat", GPT, "{\"inputText\":\"x\"}", "which this model does not",
		 NULL},
		{"a prompt for chat", GPT, "{\"prompt\":\"x\"}", NULL, "known to take messages"},
		{"a model not known", "acme.new-1", "{\"x\":1}", NULL, NULL},
		{"only its profile is known",
		 "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/ab12", "{}",
		 NULL, NULL},
		{"only by profile", "anthropic.claude-opus-5", C(), NULL,
		 "model: anthropic.claude-opus-5 is reached by an inference profile only: use "
		 "us.anthropic.claude-opus-5"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		check(&rows[i], 0);
}

/* The same for Nova's own form and for Converse. */
static void test_blocks(void **state)
{
	static const struct row rows[] = {
		{"as it should be", NOVA, "{" NM ",\"inferenceConfig\":{\"maxTokens\":9}}", NULL,
		 NULL},
		{"all kinds of blocks", NOVA,
		 NB("{\"text\":\"a\"},{\"image\":{\"format\":\"png\",\"source\":{\"bytes\":\"AA\"}}},"
		    "{\"video\":{\"format\":\"mp4\",\"source\":{\"s3Location\":{\"uri\":\"s3://b/k\"}}}},"
		    "{\"document\":{\"format\":\"pdf\",\"name\":\"n\",\"source\":{\"bytes\":\"AA\"}}}"),
		 NULL, NULL},
		{"an image of ours", NOVA,
		 NB("{\"image\":{\"format\":\"png\",\"source\":{\"s3Location\":{\"uri\":\"media://a\"}}}}"),
		 NULL, NULL},
		{"no messages", NOVA, "{\"inferenceConfig\":{}}", "messages: is missing", NULL},
		{"content as a text", NOVA, "{" M "}", "messages[0].content: has to be a list",
		 NULL},
		{"system as a text", NOVA, "{" NM ",\"system\":\"s\"}", "system: has to be a list",
		 NULL},
		{"system blocks", NOVA, "{" NM ",\"system\":[{\"text\":\"s\"}]}", NULL, NULL},
		{"max_tokens on top", NOVA, "{" NM ",\"max_tokens\":9}", NULL,
		 "write \"inferenceConfig\":{\"maxTokens\":...}"},
		{"too many tokens", NOVA, "{" NM ",\"inferenceConfig\":{\"maxTokens\":10001}}",
		 "limit of 10000", NULL},
		{"none", NOVA, "{" NM ",\"inferenceConfig\":{\"maxTokens\":0}}", "0 tokens", NULL},
		{"too hot", NOVA, "{" NM ",\"inferenceConfig\":{\"temperature\":1.2}}",
		 "inferenceConfig.temperature: 1.2 is not within", NULL},
		{"settings of no use", NOVA, "{" NM ",\"inferenceConfig\":[]}",
		 "inferenceConfig: has to be an object", NULL},
		{"a typed block", NOVA, NB("{\"type\":\"text\",\"text\":\"a\"}"), NULL,
		 "blocks have no type"},
		{"Claude's image", NOVA,
		 NB("{\"text\":\"a\"},{\"type\":\"image\",\"source\":{\"type\":\"base64\"}}"),
		 "messages[0].content[1]: is none of the blocks", NULL},
		{"an image of another format", NOVA,
		 NB("{\"image\":{\"format\":\"image/png\",\"source\":{\"bytes\":\"AA\"}}}"),
		 "image.format", NULL},
		{"an image without bytes", NOVA, NB("{\"image\":{\"format\":\"png\"}}"),
		 "has no bytes", NULL},
		{"nulls are nothing", NOVA, NB("{\"text\":\"a\",\"image\":null}"), NULL, NULL},
		{"a block of nulls", NOVA, NB("{\"text\":null}"), "is none of the blocks", NULL},
		{"a cache point", NOVA,
		 NB("{\"text\":\"a\"},{\"cachePoint\":{\"type\":\"default\"}}"), NULL,
		 "no prompt cache"},
		{"tools", NOVA, "{" NM ",\"toolConfig\":{\"tools\":[]}}", NULL, "tools"},
		{"the assistant first", NOVA,
		 "{\"messages\":[{\"role\":\"assistant\",\"content\":[{\"text\":\"a\"}]}]}",
		 "has to be the user's", NULL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		check(&rows[i], 0);
		check(&rows[i], 1);
	}
}

static void test_converse(void **state)
{
	static const struct row rows[] = {
		{"modelId inside", CLAUDE, "{" NM ",\"modelId\":\"x\"}", "modelId: is not part",
		 NULL},
		{"Claude's own form", CLAUDE, C(), "which invocation = Converse does not take",
		 NULL},
		{"a prompt", LLAMA, "{\"prompt\":\"x\"}", "which invocation = Converse", NULL},
		{"Llama by messages", LLAMA, "{" NM "}", NULL, NULL},
		{"an embedding", TITAN, "{\"inputText\":\"x\"}", "Converse has no embeddings",
		 NULL},
		{"both samplers of Claude", CLAUDE,
		 "{" NM ",\"inferenceConfig\":{\"temperature\":0.1,\"topP\":0.1}}",
		 "temperature and topP cannot both", NULL},
		{"a sampler of the newest Claude", OPUS5,
		 "{" NM ",\"inferenceConfig\":{\"temperature\":0.1}}", "deprecated", NULL},
		{"and among the others", OPUS5,
		 "{" NM ",\"additionalModelRequestFields\":{\"top_k\":50}}", "top_k", NULL},
		{"a model not known has the form too", "acme.new-1", "{}", "messages: is missing",
		 NULL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		check(&rows[i], 1);
}

static void test_embeddings(void **state)
{
	static const struct row rows[] = {
		{"as it should be", TITAN,
		 "{\"inputText\":\"x\",\"dimensions\":512,\"normalize\":true,\"embeddingTypes\":"
		 "[\"float\",\"binary\"]}",
		 NULL, NULL},
		{"nothing", TITAN, "{}", "inputText: is missing", NULL},
		{"no text", TITAN, "{\"inputText\":[\"x\"]}", "has to be a text", NULL},
		{"an empty text", TITAN, "{\"inputText\":\"\"}", "is empty", NULL},
		{"another size", TITAN, "{\"inputText\":\"x\",\"dimensions\":384}",
		 "256, 512 or 1024", NULL},
		{"a size in words", TITAN, "{\"inputText\":\"x\",\"dimensions\":\"512\"}",
		 "256, 512 or 1024", NULL},
		{"a type not made", TITAN, "{\"inputText\":\"x\",\"embeddingTypes\":[\"int8\"]}",
		 "\"float\" and \"binary\"", NULL},
		{"normalize in words", TITAN, "{\"inputText\":\"x\",\"normalize\":\"yes\"}",
		 "true or false", NULL},
		{"model inside", TITAN, "{\"inputText\":\"x\",\"model\":\"y\"}", NULL,
		 "is not known of Titan"},
		{"text and image", TITANMM,
		 "{\"inputText\":\"x\",\"inputImage\":\"AA\",\"embeddingConfig\":"
		 "{\"outputEmbeddingLength\":384}}",
		 NULL, NULL},
		{"image only", TITANMM, "{\"inputImage\":\"AA\"}", NULL, NULL},
		{"neither", TITANMM, "{}", "neither inputText nor inputImage", NULL},
		{"the sizes of the other", TITANMM,
		 "{\"inputText\":\"x\",\"embeddingConfig\":{\"outputEmbeddingLength\":512}}",
		 "256, 384 or 1024", NULL},
		{"Nova's", "amazon.nova-2-multimodal-embeddings-v1:0",
		 "{\"singleEmbeddingParams\":{\"text\":{\"value\":\"x\"}}}", NULL, NULL},
		{"Nova's, otherwise", "amazon.nova-2-multimodal-embeddings-v1:0",
		 "{\"inputText\":\"x\"}", NULL, "singleEmbeddingParams"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		check(&rows[i], 0);
}

static void test_prompts_and_chat(void **state)
{
	static const struct row rows[] = {
		{"Llama", LLAMA, "{\"prompt\":\"x\",\"max_gen_len\":8192,\"temperature\":0.5}",
		 NULL, NULL},
		{"Llama 4 has a limit", LLAMA, "{\"prompt\":\"x\",\"max_gen_len\":8193}",
		 "limit of 8192", NULL},
		{"Llama 3.1 a lower one", LLAMA31, "{\"prompt\":\"x\",\"max_gen_len\":4096}",
		 "limit of 2048", NULL},
		{"Llama 3.3's is not sure", "meta.llama3-3-70b-instruct-v1:0",
		 "{\"prompt\":\"x\",\"max_gen_len\":4096}", NULL, "limit of 2048"},
		{"no tokens", LLAMA, "{\"prompt\":\"x\",\"max_gen_len\":0}", "0 tokens", NULL},
		{"max_tokens", LLAMA, "{\"prompt\":\"x\",\"max_tokens\":9}", NULL, "max_gen_len"},
		{"a prompt that is none", LLAMA, "{\"prompt\":7}", "has to be a text", NULL},
		{"an empty prompt", LLAMA, "{\"prompt\":\"\"}", NULL, "is empty"},
		{"Mistral", MISTRAL, "{\"prompt\":\"<s>[INST] x [/INST]\",\"max_tokens\":9}", NULL,
		 NULL},
		{"Mistral's limit is from a page", MISTRAL,
		 "{\"prompt\":\"x\",\"max_tokens\":9000}", NULL, "limit of 8192"},
		{"chat", GPT, "{" M ",\"max_completion_tokens\":9}", NULL, NULL},
		{"chat with a system role", GPT,
		 "{\"messages\":[{\"role\":\"system\",\"content\":\"a\"},{\"role\":\"user\","
		 "\"content\":[{\"type\":\"text\",\"text\":\"b\"}]}]}",
		 NULL, NULL},
		{"no role", GPT, "{\"messages\":[{\"content\":\"a\"}]}", "role: is missing", NULL},
		{"nothing", GPT, "{}", "messages: is missing", NULL},
		{"no message", GPT, "{\"messages\":[]}", "messages: is empty", NULL},
		{"too many tokens", GPT, "{" M ",\"max_tokens\":128001}", "limit of 128000", NULL},
		{"structured output", GPT, "{" M ",\"response_format\":{}}", NULL, "structured"},
		{"Claude's version", GPT, "{" M ",\"anthropic_version\":\"x\"}", NULL,
		 "is not known of"},
		{"a whole line", GPT, "{\"body\":{" M "}}", "right into modelInput", NULL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		check(&rows[i], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_families),	cmocka_unit_test(test_profile_hints),
		cmocka_unit_test(test_claude),		cmocka_unit_test(test_claude_settings),
		cmocka_unit_test(test_claude_messages), cmocka_unit_test(test_forms),
		cmocka_unit_test(test_blocks),		cmocka_unit_test(test_converse),
		cmocka_unit_test(test_embeddings),	cmocka_unit_test(test_prompts_and_chat),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
