#include <string.h>

#include "backend/aws/models_private.h"

/*
 * Claude's Messages form.  It refuses every member it does not know ("Extra
 * inputs are not permitted"): those that are known to belong to others are
 * faults, others may be newer than this table and are only warned of.
 */

#define RIGHT                                                                                      \
	"{\"anthropic_version\":\"bedrock-2023-05-31\",\"max_tokens\":512,\"messages\":[{"         \
	"\"role\":\"user\",\"content\":\"...\"}]}"

#define STRANGER_SHOWN_MAX 48
#define THINKING_MIN	   1024

static const struct {
	enum body_name name;
	const char *cure;
} refused[] = {
	{NAME_MODEL, "take it out; the file model names the job's model"},
	{NAME_MODEL_ID, "take it out; the file model names the job's model"},
	{NAME_STREAM, "take it out; batch jobs do not stream"},
	{NAME_MAX_COMPLETION_TOKENS, "Claude calls it max_tokens"},
	{NAME_MAX_TOKENS_TO_SAMPLE, "Claude calls it max_tokens now"},
	{NAME_CAMEL_MAX_TOKENS, "Claude calls it max_tokens"},
	{NAME_MAX_GEN_LEN, "Claude calls it max_tokens"},
	{NAME_MAX_NEW_TOKENS, "Claude calls it max_tokens"},
	{NAME_INFERENCE_CONFIG,
	 "write max_tokens, temperature, ... beside messages; or, if the whole body is Converse's, "
	 "invocation = Converse to the file config"},
	{NAME_TOOL_CONFIG, "that is Converse's; Claude's own form has tools"},
	{NAME_ADDITIONAL_FIELDS, "put what is in it beside messages"},
	{NAME_SCHEMA_VERSION, "take it out; it is Nova's"},
	{NAME_CAMEL_TOP_P, "Claude calls it top_p"},
	{NAME_STOP, "Claude calls it stop_sequences, a list of strings"},
	{NAME_N, "take it out; Claude gives one answer a record"},
	{NAME_SEED, "take it out"},
	{NAME_USER, "take it out"},
	{NAME_FREQUENCY_PENALTY, "take it out"},
	{NAME_PRESENCE_PENALTY, "take it out"},
	{NAME_LOGIT_BIAS, "take it out"},
	{NAME_LOGPROBS, "take it out"},
	{NAME_TOP_LOGPROBS, "take it out"},
	{NAME_FUNCTIONS, "take it out"},
	{NAME_RESPONSE_FORMAT, "take it out, and ask for the format in words"},
	{NAME_PROMPT, "put its text into messages"},
	{NAME_INPUT, "put its text into messages"},
};

static void check_members(struct body *b)
{
	for (size_t i = 0; i < COUNT_OF(refused); i++)
		if (b->v[refused[i].name].at)
			body_say(b, FAULT, body_name(refused[i].name),
				 "\"Extra inputs are not permitted\"; %s", refused[i].cure);
	for (size_t i = 0; i < b->stranger_count; i++) {
		struct jsonspan key = b->strangers[i];

		body_say(
			b, WARNING, NULL,
			"%.*s is not known of Claude, which refuses what it does not know (\"Extra "
			"inputs are not permitted\"); check the spelling or take it out",
			(int)(key.size < STRANGER_SHOWN_MAX ? key.size : STRANGER_SHOWN_MAX),
			key.at);
	}
	if (body_has(b, NAME_TOOLS))
		body_warn_tools(b, "tools");
	if (body_has(b, NAME_OUTPUT_FORMAT))
		body_warn_tools(b, "output_format");
	if (jsonspan_is_set(jsonspan_get(b->v[NAME_OUTPUT_CONFIG], "format")))
		body_warn_tools(b, "output_config.format");
	if (body_has(b, NAME_MCP_SERVERS))
		body_warn_tools(b, "mcp_servers");
	if (body_has(b, NAME_CACHE_CONTROL))
		body_warn_cache(b, "cache_control");
}

static void check_settings(struct body *b)
{
	struct jsonspan version = b->v[NAME_ANTHROPIC_VERSION], budget;
	uint64_t n;

	if (!jsonspan_is_set(version))
		body_say(b, FAULT, "anthropic_version",
			 "is missing (\"Field required\"); add "
			 "\"anthropic_version\":\"bedrock-2023-05-31\"");
	else if (!jsonspan_equals(version, "bedrock-2023-05-31"))
		body_say(b, WARNING, "anthropic_version",
			 "the one that is known to work is \"bedrock-2023-05-31\"; write that");
	if (!body_has(b, NAME_MAX_TOKENS))
		body_say(b, FAULT, "max_tokens",
			 "is missing (\"Field required\"); add the most tokens an answer may have, "
			 "as in \"max_tokens\":512");
	body_check_output(b, "max_tokens", b->v[NAME_MAX_TOKENS], 0);
	body_check_fraction(b, "temperature", b->v[NAME_TEMPERATURE]);
	body_check_fraction(b, "top_p", b->v[NAME_TOP_P]);
	body_check_samplers(b, "", b->v[NAME_TEMPERATURE], b->v[NAME_TOP_P], b->v[NAME_TOP_K]);

	if (!jsonspan_equals(jsonspan_get(b->v[NAME_THINKING], "type"), "enabled"))
		return;
	budget = jsonspan_get(b->v[NAME_THINKING], "budget_tokens");
	if (body_whole(budget, &n) == NUMBER_WHOLE && n < THINKING_MIN)
		body_say(b, WARNING, "thinking.budget_tokens", "is too small; give %d or more",
			 THINKING_MIN);
	else if (body_whole(budget, &n) == NUMBER_WHOLE && b->has_output && n >= b->output_tokens)
		body_say(b, WARNING, "thinking.budget_tokens",
			 "leaves no tokens for the answer; give less than max_tokens");
}

/* {"type":"base64","media_type":"image/png","data":"..."} */
static void check_source(struct body *b, struct jsonspan source, bool is_image)
{
	static const char *const types[] = {"image/png", "image/jpeg", "image/gif", "image/webp"};
	struct jsonspan type = jsonspan_get(source, "type");
	struct jsonspan media = jsonspan_get(source, "media_type");
	struct jsonspan data = jsonspan_get(source, "data");
	bool is_known = false;

	if (jsonspan_equals(type, "url"))
		body_say(b, FAULT, "source",
			 "\"URL sources are not supported\"; give the bytes: "
			 "{\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"...\"}");
	if (jsonspan_equals(type, "file"))
		body_say(b, WARNING, "source",
			 "files of Anthropic's own service are not known here; give the bytes, "
			 "\"type\":\"base64\"");
	if (!jsonspan_equals(type, "base64"))
		return;
	if (jsonspan_type(data) != JSONSPAN_STRING || body_is_empty_string(data))
		body_say(b, FAULT, "source.data", "is missing; give the bytes in base64");
	else if (data.size > 6 && memcmp(data.at, "\"data:", 6) == 0)
		body_say(b, FAULT, "source.data",
			 "is a data: URL; give what follows its \"base64,\" only");
	for (size_t i = 0; is_image && i < COUNT_OF(types); i++)
		is_known = is_known || jsonspan_equals(media, types[i]);
	if (is_image && !is_known)
		body_say(b, FAULT, "source.media_type",
			 "has to be image/png, image/jpeg, image/gif or image/webp; convert the "
			 "image, or name its type");
}

static void check_text(struct body *b, struct jsonspan text)
{
	if (!body_add_text(b, text))
		body_say(b, FAULT, "text",
			 "is missing; write {\"type\":\"text\",\"text\":\"...\"}");
	else if (body_is_empty_string(text))
		body_say(b, FAULT, "text",
			 "\"text content blocks must be non-empty\"; take the block out");
}

static void check_block(struct body *b, struct jsonspan block)
{
	struct jsonspan type = jsonspan_get(block, "type");
	bool is_image = jsonspan_equals(type, "image");

	if (jsonspan_is_set(jsonspan_get(block, "cache_control")))
		body_warn_cache(b, "cache_control");
	if (jsonspan_equals(type, "text")) {
		check_text(b, jsonspan_get(block, "text"));
	} else if (is_image || jsonspan_equals(type, "document")) {
		b->l->images += is_image;
		check_source(b, jsonspan_get(block, "source"), is_image);
		b->text_bytes += is_image ? 0 : block.size;
	} else if (jsonspan_equals(type, "tool_use") || jsonspan_equals(type, "tool_result")) {
		body_warn_tools(b, NULL);
		b->text_bytes += block.size;
	} else if (jsonspan_equals(type, "image_url") || jsonspan_equals(type, "input_image") ||
		   jsonspan_equals(type, "input_text")) {
		body_say(b, FAULT, "type",
			 "%.*s is OpenAI's; write {\"type\":\"text\",\"text\":\"...\"} or "
			 "{\"type\":\"image\",\"source\":{\"type\":\"base64\",...}}",
			 (int)type.size, type.at);
	} else if (!jsonspan_is_set(type)) {
		body_say(b, FAULT, "type",
			 "is missing; a block of Claude's says what it is: "
			 "{\"type\":\"text\",\"text\":\"...\"}");
	} else {
		b->text_bytes += block.size;
	}
}

static void check_content(struct body *b, struct jsonspan content, bool may_be_empty)
{
	struct jsonspan_walk w = jsonspan_walk(content);
	enum jsonspan_type type = jsonspan_type(content);
	size_t i;

	if (type == JSONSPAN_STRING) {
		body_add_text(b, content);
		if (body_is_empty_string(content) && !may_be_empty)
			body_say(b, FAULT, "content",
				 "\"all messages must have non-empty content\"; give the message a "
				 "text or take it out");
		return;
	}
	if (type != JSONSPAN_ARRAY) {
		body_say(b, FAULT, "content",
			 "has to be a text, or a list of blocks like "
			 "{\"type\":\"text\",\"text\":\"...\"}");
		return;
	}
	for (i = 0; jsonspan_next(&w); i++) {
		b->block = i;
		check_block(b, w.value);
	}
	b->block = BODY_NOWHERE;
	if (i == 0 && !may_be_empty)
		body_say(b, FAULT, "content",
			 "\"all messages must have non-empty content\"; put a block in");
}

static void check_system(struct body *b)
{
	struct jsonspan system = b->v[NAME_SYSTEM];
	struct jsonspan_walk w = jsonspan_walk(system);

	if (!jsonspan_is_set(system) || body_add_text(b, system))
		return;
	if (jsonspan_type(system) != JSONSPAN_ARRAY) {
		body_say(b, FAULT, "system", "has to be a text, or a list of text blocks");
		return;
	}
	while (jsonspan_next(&w)) {
		if (jsonspan_is_set(jsonspan_get(w.value, "cache_control")))
			body_warn_cache(b, "system");
		if (!jsonspan_equals(jsonspan_get(w.value, "type"), "text"))
			body_say(b, FAULT, "system",
				 "its blocks have to be {\"type\":\"text\",\"text\":\"...\"}");
		else
			check_text(b, jsonspan_get(w.value, "text"));
	}
}

static void check_messages(struct body *b)
{
	struct jsonspan_walk w = jsonspan_walk(b->v[NAME_MESSAGES]), ahead;
	bool is_last = false, is_assistant = false;

	for (size_t i = 0; !is_last && jsonspan_next(&w); i++) {
		ahead = w;
		is_last = !jsonspan_next(&ahead);
		b->message = i;
		if (jsonspan_type(w.value) != JSONSPAN_OBJECT) {
			body_say(b, FAULT, NULL,
				 "has to be an object: {\"role\":\"user\",\"content\":\"...\"}");
			continue;
		}
		is_assistant = jsonspan_equals(jsonspan_get(w.value, "role"), "assistant");
		body_check_role(b, w.value, i == 0, "put that text into the member system");
		check_content(b, jsonspan_get(w.value, "content"), is_last && is_assistant);
	}
	if (is_last && is_assistant && b->info->flags & INFO_NO_PREFILL)
		body_say(
			b, WARNING, "role",
			"this model may refuse a last message that is the assistant's; let the user "
			"speak last");
	b->message = BODY_NOWHERE;
}

void body_lint_claude(struct body *b)
{
	if (b->info->flags & INFO_TEXT_COMPLETION) {
		body_lint_unknown(b);
		return;
	}
	if (body_refuse_form(b, FORM_ANTHROPIC, "Claude does", RIGHT))
		return;
	check_members(b);
	check_settings(b);
	check_system(b);
	if (body_check_messages(b))
		check_messages(b);
}
