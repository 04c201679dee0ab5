#include <stdarg.h>
#include <string.h>

#include "backend/aws/models_private.h"
#include "fs/base/kv.h"

/*
 * A body is walked over once, its members go to numbered places, and what they
 * give away of its form is decided from there; the rules then only look.  Each
 * further level (messages, their blocks) is one more run over its bytes, at
 * the speed at which strings are passed over.
 */

#define NAME_SHOWN_MAX 48

struct name {
	const char *text;
	size_t size;
};

#define N(s)                                                                                       \
	{                                                                                          \
		s, sizeof(s) - 1                                                                   \
	}

static const struct name names[NAME_COUNT] = {
	[NAME_MESSAGES] = N("messages"),
	[NAME_SYSTEM] = N("system"),
	[NAME_PROMPT] = N("prompt"),
	[NAME_INPUT_TEXT] = N("inputText"),
	[NAME_INPUT_IMAGE] = N("inputImage"),
	[NAME_MODEL] = N("model"),
	[NAME_MODEL_ID] = N("modelId"),
	[NAME_STREAM] = N("stream"),
	[NAME_ANTHROPIC_VERSION] = N("anthropic_version"),
	[NAME_ANTHROPIC_BETA] = N("anthropic_beta"),
	[NAME_MAX_TOKENS] = N("max_tokens"),
	[NAME_MAX_COMPLETION_TOKENS] = N("max_completion_tokens"),
	[NAME_MAX_TOKENS_TO_SAMPLE] = N("max_tokens_to_sample"),
	[NAME_MAX_GEN_LEN] = N("max_gen_len"),
	[NAME_CAMEL_MAX_TOKENS] = N("maxTokens"),
	[NAME_MAX_NEW_TOKENS] = N("max_new_tokens"),
	[NAME_TEMPERATURE] = N("temperature"),
	[NAME_TOP_P] = N("top_p"),
	[NAME_TOP_K] = N("top_k"),
	[NAME_CAMEL_TOP_P] = N("topP"),
	[NAME_STOP] = N("stop"),
	[NAME_STOP_SEQUENCES] = N("stop_sequences"),
	[NAME_INFERENCE_CONFIG] = N("inferenceConfig"),
	[NAME_SCHEMA_VERSION] = N("schemaVersion"),
	[NAME_TOOL_CONFIG] = N("toolConfig"),
	[NAME_ADDITIONAL_FIELDS] = N("additionalModelRequestFields"),
	[NAME_TOOLS] = N("tools"),
	[NAME_TOOL_CHOICE] = N("tool_choice"),
	[NAME_FUNCTIONS] = N("functions"),
	[NAME_RESPONSE_FORMAT] = N("response_format"),
	[NAME_OUTPUT_CONFIG] = N("output_config"),
	[NAME_CAMEL_OUTPUT_CONFIG] = N("outputConfig"),
	[NAME_OUTPUT_FORMAT] = N("output_format"),
	[NAME_THINKING] = N("thinking"),
	[NAME_CACHE_CONTROL] = N("cache_control"),
	[NAME_N] = N("n"),
	[NAME_SEED] = N("seed"),
	[NAME_FREQUENCY_PENALTY] = N("frequency_penalty"),
	[NAME_PRESENCE_PENALTY] = N("presence_penalty"),
	[NAME_LOGIT_BIAS] = N("logit_bias"),
	[NAME_LOGPROBS] = N("logprobs"),
	[NAME_TOP_LOGPROBS] = N("top_logprobs"),
	[NAME_USER] = N("user"),
	[NAME_METADATA] = N("metadata"),
	[NAME_SERVICE_TIER] = N("service_tier"),
	[NAME_CONTEXT_MANAGEMENT] = N("context_management"),
	[NAME_MCP_SERVERS] = N("mcp_servers"),
	[NAME_CONTAINER] = N("container"),
	[NAME_CONTENTS] = N("contents"),
	[NAME_TEXTS] = N("texts"),
	[NAME_INPUT] = N("input"),
	[NAME_BODY] = N("body"),
	[NAME_PARAMS] = N("params"),
	[NAME_MODEL_INPUT] = N("modelInput"),
	[NAME_DIMENSIONS] = N("dimensions"),
	[NAME_NORMALIZE] = N("normalize"),
	[NAME_EMBEDDING_TYPES] = N("embeddingTypes"),
	[NAME_EMBEDDING_CONFIG] = N("embeddingConfig"),
	[NAME_IMAGES] = N("images"),
	[NAME_SINGLE_EMBEDDING] = N("singleEmbeddingParams"),
	[NAME_SEGMENTED_EMBEDDING] = N("segmentedEmbeddingParams"),
};

const char *body_name(enum body_name n)
{
	return names[n].text;
}

/* ---- saying ---- */

static void add_path(const struct body *b, const char *at, struct buf *out)
{
	bool is_inside = b->message != BODY_NOWHERE;

	if (is_inside)
		buf_addf(out, "messages[%zu]", b->message);
	if (b->block != BODY_NOWHERE)
		buf_addf(out, ".content[%zu]", b->block);
	if (at)
		buf_addf(out, "%s%s", is_inside ? "." : "", at);
	if (is_inside || at)
		buf_add_str(out, ": ");
}

void body_say(struct body *b, enum body_verdict v, const char *at, const char *fmt, ...)
{
	uint64_t *count = v == FAULT ? &b->l->faults : &b->l->warnings;
	struct buf *out = v == FAULT ? b->faults : b->warnings;
	char text[1024];
	va_list args;

	if (++*count > MODELS_LINT_MAX)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	buf_add_str(out, b->where);
	add_path(b, at, out);
	buf_add_str(out, text);
	buf_add_char(out, '\n');
}

void body_warn_tools(struct body *b, const char *at)
{
	if (b->told_tools)
		return;
	b->told_tools = true;
	body_say(b, WARNING, at,
		 "batch jobs do not offer tools and structured output, say the service's pages; "
		 "take it out, or try it with few records");
}

void body_warn_cache(struct body *b, const char *at)
{
	if (b->told_cache)
		return;
	b->told_cache = true;
	body_say(b, WARNING, at,
		 "batch jobs have no prompt cache; it is of no use here, take it out");
}

/* ---- values ---- */

bool body_add_text(struct body *b, struct jsonspan v)
{
	const char *p, *end;
	uint64_t size;

	if (jsonspan_type(v) != JSONSPAN_STRING || v.size < 2)
		return false;
	p = v.at + 1;
	end = v.at + v.size - 1;
	size = (uint64_t)(end - p);
	/* "\u00e4" is about three bytes (half of a surrogate pair two), "\n" one. */
	while (p < end && (p = memchr(p, '\\', (size_t)(end - p)))) {
		size -= end - p >= 6 && p[1] == 'u' ? 3 : 1;
		p += 2;
	}
	b->text_bytes += size;
	return true;
}

enum body_number body_whole(struct jsonspan v, uint64_t *ret)
{
	if (!jsonspan_is_set(v))
		return NUMBER_ABSENT;
	if (jsonspan_type(v) != JSONSPAN_NUMBER || v.at[0] == '-')
		return NUMBER_ODD;
	for (size_t i = 0; i < v.size; i++)
		if (v.at[i] < '0' || v.at[i] > '9')
			return NUMBER_ODD;
	if (!jsonspan_u64(v, ret))
		*ret = UINT64_MAX;
	return NUMBER_WHOLE;
}

bool body_decimal(struct jsonspan v, double *ret)
{
	char text[32];

	if (jsonspan_type(v) != JSONSPAN_NUMBER || v.size >= sizeof(text))
		return false;
	memcpy(text, v.at, v.size);
	text[v.size] = '\0';
	return kv_parse_double("", text, -1e30, 1e30, ret, NULL) == 0;
}

void body_check_fraction(struct body *b, const char *at, struct jsonspan v)
{
	double d;

	if (body_decimal(v, &d) && (d < 0 || d > 1))
		body_say(b, FAULT, at, "%.*s is not within 0 and 1; give a number that is",
			 (int)v.size, v.at);
}

void body_check_output(struct body *b, const char *at, struct jsonspan v, uint64_t max)
{
	bool is_sure = max || b->info->flags & INFO_OUTPUT_MAX_SURE;
	const char *dot = strrchr(at, '.');
	uint64_t n;

	if (!max)
		max = b->info->output_max;
	switch (body_whole(v, &n)) {
	case NUMBER_ABSENT:
		return;
	case NUMBER_ODD:
		body_say(b, jsonspan_type(v) == JSONSPAN_NUMBER && v.at[0] == '-' ? FAULT : WARNING,
			 at, "not a whole number of tokens; write it as in \"%s\":512",
			 dot ? dot + 1 : at);
		return;
	case NUMBER_WHOLE:
		break;
	}
	if (n == 0)
		body_say(b, FAULT, at, "0 tokens are no answer; give 1 or more");
	else if (max && n > max)
		body_say(b, is_sure ? FAULT : WARNING, at,
			 "the maximum tokens you requested exceeds the model limit of %llu; "
			 "lower it to that",
			 (unsigned long long)max);
	b->has_output = true;
	b->output_tokens = max && n > max ? max : n;
}

/* Those that take none still do not mind the value that is their only one. */
static bool is_one(struct jsonspan v)
{
	double d;

	return body_decimal(v, &d) && d >= 1 && d <= 1;
}

void body_check_samplers(struct body *b, const char *prefix, struct jsonspan temperature,
			 struct jsonspan top_p, struct jsonspan top_k)
{
	const struct {
		const char *name;
		struct jsonspan v;
	} all[] = {{"temperature", temperature},
		   {*prefix ? "topP" : "top_p", top_p},
		   {"top_k", top_k}};
	unsigned flags = b->info->flags;
	char at[64];

	for (size_t i = 0; flags & INFO_NO_SAMPLING && i < COUNT_OF(all); i++) {
		if (!jsonspan_is_set(all[i].v))
			continue;
		snprintf(at, sizeof(at), "%s%s", prefix, all[i].name);
		body_say(b, i < 2 && is_one(all[i].v) ? WARNING : FAULT, at,
			 "\"`%s` is deprecated for this model\"; take it out", all[i].name);
	}
	if (flags & (INFO_ONE_SAMPLER | INFO_MAYBE_ONE_SAMPLER) && jsonspan_is_set(temperature) &&
	    jsonspan_is_set(top_p)) {
		snprintf(at, sizeof(at), "%s%s", prefix, all[1].name);
		body_say(b, flags & INFO_ONE_SAMPLER ? FAULT : WARNING, at,
			 "temperature and %s cannot both be given to this model; take one out",
			 all[1].name);
	}
}

/* ---- forms ---- */

static const char *const form_names[FORM_COUNT] = {
	[FORM_UNCLEAR] = "an unknown form",
	[FORM_ANTHROPIC] = "the form of Claude's own interface",
	[FORM_BLOCKS] = "the form of Converse and Nova",
	[FORM_OPENAI] = "OpenAI's chat form",
	[FORM_PROMPT] = "the form of a prompt for Llama or Mistral",
	[FORM_TITAN] = "the form of a Titan embedding",
	[FORM_GEMINI] = "Gemini's form",
	[FORM_EMBED_OTHER] = "the form of another provider's embeddings",
	[FORM_WRAPPED] = "a line of another batch service",
};

bool body_refuse_form(struct body *b, enum body_form wanted, const char *who, const char *right)
{
	if (b->form == FORM_UNCLEAR || b->form == wanted)
		return false;
	if (b->form == FORM_WRAPPED)
		body_say(b, FAULT, NULL,
			 "modelInput holds a whole line of another batch service; put what is in "
			 "its inner object right into modelInput: %s",
			 right);
	else
		body_say(b, FAULT, NULL, "modelInput has %s, which %s not take; write %s",
			 form_names[b->form], who, right);
	return true;
}

static bool is_system_role(struct jsonspan message)
{
	struct jsonspan role = jsonspan_get(message, "role");

	return jsonspan_equals(role, "system") || jsonspan_equals(role, "developer");
}

/* {"text":"..."}: what it is told by the name of its member and not by a type. */
static bool has_untyped_block(struct jsonspan message)
{
	struct jsonspan_walk w = jsonspan_walk(jsonspan_get(message, "content"));

	return !w.object_ && jsonspan_next(&w) && jsonspan_type(w.value) == JSONSPAN_OBJECT &&
	       !jsonspan_is_set(jsonspan_get(w.value, "type")) &&
	       (jsonspan_is_set(jsonspan_get(w.value, "text")) ||
		jsonspan_is_set(jsonspan_get(w.value, "image")));
}

static enum body_form form_of_messages(const struct body *b)
{
	static const enum body_name openai[] = {
		NAME_MAX_COMPLETION_TOKENS, NAME_N,	     NAME_FREQUENCY_PENALTY,
		NAME_PRESENCE_PENALTY,	    NAME_LOGIT_BIAS, NAME_LOGPROBS,
		NAME_TOP_LOGPROBS,	    NAME_FUNCTIONS,
	};
	struct jsonspan_walk w = jsonspan_walk(b->v[NAME_MESSAGES]);

	for (size_t i = 0; i < COUNT_OF(openai); i++)
		if (body_has(b, openai[i]))
			return FORM_OPENAI;
	if (!jsonspan_next(&w))
		return FORM_UNCLEAR;
	if (is_system_role(w.value))
		return FORM_OPENAI;
	return has_untyped_block(w.value) ? FORM_BLOCKS : FORM_UNCLEAR;
}

static enum body_form form_of(const struct body *b)
{
	if (body_has(b, NAME_ANTHROPIC_VERSION))
		return FORM_ANTHROPIC;
	if (body_has(b, NAME_INPUT_TEXT) || body_has(b, NAME_INPUT_IMAGE))
		return FORM_TITAN;
	if (body_has(b, NAME_CONTENTS))
		return FORM_GEMINI;
	if (body_has(b, NAME_INFERENCE_CONFIG) || body_has(b, NAME_SCHEMA_VERSION))
		return FORM_BLOCKS;
	if (body_has(b, NAME_MESSAGES))
		return form_of_messages(b);
	if (body_has(b, NAME_PROMPT))
		return FORM_PROMPT;
	if (body_has(b, NAME_TEXTS) || body_has(b, NAME_INPUT))
		return FORM_EMBED_OTHER;
	if (jsonspan_type(b->v[NAME_BODY]) == JSONSPAN_OBJECT ||
	    jsonspan_type(b->v[NAME_PARAMS]) == JSONSPAN_OBJECT ||
	    jsonspan_type(b->v[NAME_MODEL_INPUT]) == JSONSPAN_OBJECT)
		return FORM_WRAPPED;
	return FORM_UNCLEAR;
}

/* ---- members ---- */

static enum body_name find_name(struct jsonspan key)
{
	CLEANUP(buf_release) struct buf decoded = BUF_INIT(256);
	const char *text = key.at + 1;
	size_t size = key.size - 2;

	if (memchr(text, '\\', size)) {
		if (!jsonspan_string(key, &decoded))
			return NAME_COUNT;
		text = decoded.data;
		size = decoded.size;
	}
	for (int n = 0; n < NAME_COUNT; n++)
		if (names[n].size == size && memcmp(names[n].text, text, size) == 0)
			return (enum body_name)n;
	return NAME_COUNT;
}

void body_read(struct body *b, const char *bytes, size_t size)
{
	struct jsonspan_walk w = jsonspan_walk(jsonspan_of(bytes, size));

	b->size = size;
	b->message = b->block = BODY_NOWHERE;
	while (jsonspan_next(&w)) {
		enum body_name n = w.key.size >= 2 ? find_name(w.key) : NAME_COUNT;

		if (n == NAME_COUNT) {
			if (b->stranger_count < BODY_STRANGERS_MAX)
				b->strangers[b->stranger_count++] = w.key;
			continue;
		}
		if (b->v[n].at)
			body_say(b, WARNING, names[n].text,
				 "stands here twice; take one out, the service may read either");
		b->v[n] = w.value;
	}
	b->form = form_of(b);
}

void body_check_role(struct body *b, struct jsonspan message, bool first, const char *system_cure)
{
	struct jsonspan role = jsonspan_get(message, "role");

	if (jsonspan_type(role) != JSONSPAN_STRING)
		body_say(b, FAULT, "role", "is missing; write \"role\":\"user\" or \"assistant\"");
	else if (is_system_role(message))
		body_say(b, FAULT, "role", "only \"user\" and \"assistant\" are roles here; %s",
			 system_cure);
	else if (jsonspan_equals(role, "assistant") && first)
		body_say(b, FAULT, "role",
			 "the first message has to be the user's; begin with \"role\":\"user\"");
	else if (!jsonspan_equals(role, "user") && !jsonspan_equals(role, "assistant"))
		body_say(b, FAULT, "role",
			 "%.*s is not a role; write \"role\":\"user\" or \"assistant\"",
			 (int)(role.size < NAME_SHOWN_MAX ? role.size : NAME_SHOWN_MAX), role.at);
}

bool body_check_messages(struct body *b)
{
	struct jsonspan messages = b->v[NAME_MESSAGES];
	struct jsonspan_walk w = jsonspan_walk(messages);

	if (!jsonspan_is_set(messages))
		body_say(b, FAULT, "messages",
			 "is missing; write \"messages\":[{\"role\":\"user\",\"content\":...}]");
	else if (jsonspan_type(messages) != JSONSPAN_ARRAY)
		body_say(b, FAULT, "messages", "is not a list; put it in [ ]");
	else if (!jsonspan_next(&w))
		body_say(b, FAULT, "messages", "is empty; put a message of the user's in");
	else
		return true;
	return false;
}
