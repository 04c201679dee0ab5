#include <string.h>

#include "backend/aws/models_private.h"

/*
 * Messages of untyped blocks, {"text":"..."}: Nova's own form, and Converse,
 * which is the same for every model.  AWS refuses what does not have this
 * shape; members that only Nova or only Converse knows are warned of.
 */

#define RIGHT_NOVA                                                                                 \
	"{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"...\"}]}],"                    \
	"\"inferenceConfig\":{\"maxTokens\":512}}"

static const struct {
	enum body_name name;
	const char *cure;
} misplaced[] = {
	{NAME_MAX_TOKENS, "write \"inferenceConfig\":{\"maxTokens\":...}"},
	{NAME_CAMEL_MAX_TOKENS, "write \"inferenceConfig\":{\"maxTokens\":...}"},
	{NAME_MAX_NEW_TOKENS, "write \"inferenceConfig\":{\"maxTokens\":...}"},
	{NAME_MAX_GEN_LEN, "write \"inferenceConfig\":{\"maxTokens\":...}"},
	{NAME_TEMPERATURE, "write \"inferenceConfig\":{\"temperature\":...}"},
	{NAME_TOP_P, "write \"inferenceConfig\":{\"topP\":...}"},
	{NAME_CAMEL_TOP_P, "write \"inferenceConfig\":{\"topP\":...}"},
	{NAME_TOP_K, "it goes with the other settings, not beside messages"},
	{NAME_STOP, "write \"inferenceConfig\":{\"stopSequences\":[...]}"},
	{NAME_STOP_SEQUENCES, "write \"inferenceConfig\":{\"stopSequences\":[...]}"},
	{NAME_STREAM, "batch jobs do not stream; take it out"},
	{NAME_RESPONSE_FORMAT, "take it out"},
	{NAME_TOOLS, "take it out"},
	{NAME_PROMPT, "put its text into messages"},
};

static void check_misplaced(struct body *b, const char *who)
{
	for (size_t i = 0; i < COUNT_OF(misplaced); i++)
		if (b->v[misplaced[i].name].at)
			body_say(b, WARNING, body_name(misplaced[i].name),
				 "%s not know it here; %s", who, misplaced[i].cure);
	if (body_has(b, NAME_TOOL_CONFIG))
		body_warn_tools(b, "toolConfig");
	if (body_has(b, NAME_CAMEL_OUTPUT_CONFIG))
		body_warn_tools(b, "outputConfig");
}

/* {"format":"png","source":{"bytes":"..."}} */
static void check_image(struct body *b, struct jsonspan image)
{
	static const char *const formats[] = {"png", "jpeg", "gif", "webp"};
	struct jsonspan format = jsonspan_get(image, "format");
	struct jsonspan bytes = jsonspan_path(image, "source/bytes");
	struct jsonspan uri = jsonspan_path(image, "source/s3Location/uri");
	bool is_known = false;

	b->l->images++;
	for (size_t i = 0; i < COUNT_OF(formats); i++)
		is_known = is_known || jsonspan_equals(format, formats[i]);
	if (!is_known)
		body_say(b, FAULT, "image.format",
			 "has to be \"png\", \"jpeg\", \"gif\" or \"webp\"; name the image's");
	if (bytes.size > 6 && memcmp(bytes.at, "\"data:", 6) == 0)
		body_say(b, FAULT, "image.source.bytes",
			 "is a data: URL; give what follows its \"base64,\" only");
	if ((jsonspan_type(bytes) != JSONSPAN_STRING || body_is_empty_string(bytes)) &&
	    jsonspan_type(uri) != JSONSPAN_STRING)
		body_say(b, FAULT, "image.source",
			 "has no bytes; write {\"bytes\":\"BASE64\"} or "
			 "{\"s3Location\":{\"uri\":\"media://FILE\"}}");
}

static void check_block(struct body *b, struct jsonspan block)
{
	struct jsonspan_walk w = jsonspan_walk(block);
	bool is_known = false, is_typed = false;

	if (jsonspan_type(block) != JSONSPAN_OBJECT) {
		body_say(b, FAULT, NULL, "has to be an object: {\"text\":\"...\"}");
		return;
	}
	while (jsonspan_next(&w)) {
		if (!jsonspan_is_set(w.value))
			continue;
		is_typed = is_typed || jsonspan_equals(w.key, "type");
		is_known = is_known || !jsonspan_equals(w.key, "type");
		if (jsonspan_equals(w.key, "text"))
			body_add_text(b, w.value);
		else if (jsonspan_equals(w.key, "image"))
			check_image(b, w.value);
		else if (jsonspan_equals(w.key, "cachePoint"))
			body_warn_cache(b, "cachePoint");
		else if (jsonspan_equals(w.key, "toolUse") || jsonspan_equals(w.key, "toolResult"))
			body_warn_tools(b, NULL);
		else if (jsonspan_equals(w.key, "source") || jsonspan_equals(w.key, "image_url"))
			is_known = false;
	}
	if (!is_known)
		body_say(b, FAULT, NULL,
			 "is none of the blocks there are; write {\"text\":\"...\"} or "
			 "{\"image\":{\"format\":\"png\",\"source\":{\"bytes\":\"BASE64\"}}}");
	else if (is_typed)
		body_say(b, WARNING, "type",
			 "blocks have no type here; write {\"text\":\"...\"} without it");
}

static void check_content(struct body *b, struct jsonspan content)
{
	struct jsonspan_walk w = jsonspan_walk(content);
	size_t i;

	if (jsonspan_type(content) != JSONSPAN_ARRAY) {
		body_say(b, FAULT, "content",
			 "has to be a list of blocks; write \"content\":[{\"text\":\"...\"}]");
		return;
	}
	for (i = 0; jsonspan_next(&w); i++) {
		b->block = i;
		check_block(b, w.value);
	}
	b->block = BODY_NOWHERE;
	if (i == 0)
		body_say(b, FAULT, "content", "is empty; put a block in, {\"text\":\"...\"}");
}

static void check_messages(struct body *b)
{
	struct jsonspan_walk w = jsonspan_walk(b->v[NAME_MESSAGES]);

	for (size_t i = 0; jsonspan_next(&w); i++) {
		b->message = i;
		if (jsonspan_type(w.value) != JSONSPAN_OBJECT) {
			body_say(b, FAULT, NULL,
				 "has to be an object: "
				 "{\"role\":\"user\",\"content\":[{\"text\":\"...\"}]}");
			continue;
		}
		body_check_role(b, w.value, i == 0,
				"write \"system\":[{\"text\":\"...\"}] beside messages");
		check_content(b, jsonspan_get(w.value, "content"));
	}
	b->message = BODY_NOWHERE;
}

static void check_system(struct body *b)
{
	struct jsonspan system = b->v[NAME_SYSTEM];
	struct jsonspan_walk w = jsonspan_walk(system);

	if (!jsonspan_is_set(system))
		return;
	if (jsonspan_type(system) != JSONSPAN_ARRAY) {
		body_say(b, FAULT, "system",
			 "has to be a list of blocks; write \"system\":[{\"text\":\"...\"}]");
		return;
	}
	while (jsonspan_next(&w)) {
		if (jsonspan_type(w.value) != JSONSPAN_OBJECT)
			body_say(b, FAULT, "system", "its blocks are objects: {\"text\":\"...\"}");
		else if (jsonspan_is_set(jsonspan_get(w.value, "cachePoint")))
			body_warn_cache(b, "system");
		body_add_text(b, jsonspan_get(w.value, "text"));
	}
}

static void check_config(struct body *b)
{
	struct jsonspan config = b->v[NAME_INFERENCE_CONFIG];
	struct jsonspan max = jsonspan_get(config, "maxTokens");
	struct jsonspan temperature = jsonspan_get(config, "temperature");
	struct jsonspan top_p = jsonspan_get(config, "topP");
	struct jsonspan top_k = jsonspan_get(b->v[NAME_ADDITIONAL_FIELDS], "top_k");

	if (jsonspan_is_set(config) && jsonspan_type(config) != JSONSPAN_OBJECT)
		body_say(b, FAULT, "inferenceConfig",
			 "has to be an object, as in {\"maxTokens\":512}");
	if (!jsonspan_is_set(max))
		max = jsonspan_get(config, "max_new_tokens");
	if (!b->l->converse && jsonspan_is_set(jsonspan_get(config, "max_tokens")))
		body_say(b, WARNING, "inferenceConfig.max_tokens",
			 "is not known here; Nova calls it maxTokens");
	body_check_output(b, "inferenceConfig.maxTokens", max, 0);
	body_check_fraction(b, "inferenceConfig.temperature", temperature);
	body_check_fraction(b, "inferenceConfig.topP", top_p);
	body_check_samplers(b, "inferenceConfig.", temperature, top_p, top_k);
}

static void check_all(struct body *b)
{
	check_config(b);
	check_system(b);
	if (body_check_messages(b))
		check_messages(b);
}

void body_lint_nova(struct body *b)
{
	if (body_refuse_form(b, FORM_BLOCKS, "Nova does", RIGHT_NOVA))
		return;
	check_misplaced(b, "Nova does");
	if (body_has(b, NAME_MODEL) || body_has(b, NAME_MODEL_ID))
		body_say(b, WARNING, body_has(b, NAME_MODEL) ? "model" : "modelId",
			 "the file model names the job's model; take it out");
	check_all(b);
}

static bool is_embedding(enum model_family f)
{
	return f == FAMILY_TITAN_EMBED_TEXT || f == FAMILY_TITAN_EMBED_IMAGE ||
	       f == FAMILY_NOVA_EMBED;
}

void body_lint_converse(struct body *b)
{
	if (is_embedding(b->info->family)) {
		body_say(b, FAULT, NULL,
			 "Converse has no embeddings; write invocation = InvokeModel to the file "
			 "config");
		return;
	}
	if (body_refuse_form(b, FORM_BLOCKS, "invocation = Converse does", RIGHT_NOVA))
		return;
	if (b->v[NAME_MODEL_ID].at)
		body_say(
			b, FAULT, "modelId",
			"is not part of the body in a batch job; take it out, the file model names "
			"it");
	check_misplaced(b, "Converse does");
	check_all(b);
}
