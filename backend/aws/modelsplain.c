#include "backend/aws/models_private.h"

/*
 * Embeddings, prompts, and chat in OpenAI's form.  The many models of the last
 * kind differ in what they take beside messages, so that little is a fault.
 */

#define RIGHT_TITAN "{\"inputText\":\"...\"}"
#define RIGHT_LLAMA                                                                                \
	"{\"prompt\":\"...\",\"max_gen_len\":512}, or messages with invocation = Converse in the " \
	"file config"
#define RIGHT_MISTRAL                                                                               \
	"{\"prompt\":\"<s>[INST] ... [/INST]\",\"max_tokens\":512}, or messages with invocation = " \
	"Converse in the file config"
#define RIGHT_CHAT "{\"messages\":[{\"role\":\"user\",\"content\":\"...\"}],\"max_tokens\":512}"

#define TITAN_TEXT_MAX	 50000
#define LLAMA_OUTPUT_MAX 8192

/* One of a list of whole numbers; nothing is said if there is none. */
static void check_size(struct body *b, const char *at, struct jsonspan v, const uint64_t *sizes,
		       size_t count, const char *shown)
{
	uint64_t n = 0;

	if (body_whole(v, &n) == NUMBER_ABSENT)
		return;
	for (size_t i = 0; i < count; i++)
		if (n == sizes[i])
			return;
	body_say(b, FAULT, at, "this model makes vectors of %s numbers; give one of these", shown);
}

static void check_text(struct body *b, struct jsonspan text)
{
	uint64_t before = b->text_bytes;

	if (!body_add_text(b, text))
		body_say(b, FAULT, "inputText", "has to be a text; write " RIGHT_TITAN);
	else if (body_is_empty_string(text))
		body_say(b, FAULT, "inputText",
			 "is empty (\"expected minLength: 1\"); take the record out");
	else if (b->text_bytes - before > TITAN_TEXT_MAX)
		body_say(b, WARNING, "inputText",
			 "is longer than the %d characters that the model takes; cut it in parts",
			 TITAN_TEXT_MAX);
}

static void check_embedding_types(struct body *b)
{
	struct jsonspan types = b->v[NAME_EMBEDDING_TYPES];
	struct jsonspan_walk w = jsonspan_walk(types);
	bool is_good = jsonspan_type(types) == JSONSPAN_ARRAY;

	while (jsonspan_next(&w))
		is_good = is_good &&
			  (jsonspan_equals(w.value, "float") || jsonspan_equals(w.value, "binary"));
	if (jsonspan_is_set(types) && !is_good)
		body_say(b, FAULT, "embeddingTypes",
			 "has to be a list of \"float\" and \"binary\"");
}

static void warn_strangers(struct body *b, const enum body_name *names, size_t count,
			   const char *who)
{
	for (size_t i = 0; i < count; i++)
		if (b->v[names[i]].at)
			body_say(b, WARNING, body_name(names[i]), "is not known of %s; take it out",
				 who);
}

void body_lint_titan_text(struct body *b)
{
	static const uint64_t sizes[] = {256, 512, 1024};
	static const enum body_name strange[] = {NAME_MODEL,	   NAME_MODEL_ID,
						 NAME_STREAM,	   NAME_MAX_TOKENS,
						 NAME_TEMPERATURE, NAME_INPUT_IMAGE};

	b->has_output = true; /* of no tokens */
	if (body_refuse_form(b, FORM_TITAN, "Titan does", RIGHT_TITAN))
		return;
	if (b->form == FORM_UNCLEAR && !body_has(b, NAME_MESSAGES))
		body_say(b, FAULT, "inputText", "is missing; write " RIGHT_TITAN);
	else if (b->form == FORM_UNCLEAR)
		body_say(b, FAULT, "messages", "an embedding is of a text; write " RIGHT_TITAN);
	else
		check_text(b, b->v[NAME_INPUT_TEXT]);
	check_size(b, "dimensions", b->v[NAME_DIMENSIONS], sizes, COUNT_OF(sizes),
		   "256, 512 or 1024");
	check_embedding_types(b);
	if (body_has(b, NAME_NORMALIZE) && jsonspan_type(b->v[NAME_NORMALIZE]) != JSONSPAN_BOOL)
		body_say(b, FAULT, "normalize", "has to be true or false");
	warn_strangers(b, strange, COUNT_OF(strange), "Titan's text embeddings");
}

void body_lint_titan_image(struct body *b)
{
	static const uint64_t sizes[] = {256, 384, 1024};
	static const enum body_name strange[] = {NAME_MODEL,	 NAME_MODEL_ID,
						 NAME_STREAM,	 NAME_DIMENSIONS,
						 NAME_NORMALIZE, NAME_EMBEDDING_TYPES};

	b->has_output = true;
	if (body_refuse_form(b, FORM_TITAN, "Titan does",
			     "{\"inputText\":\"...\",\"inputImage\":\"BASE64\"}"))
		return;
	if (b->form == FORM_UNCLEAR)
		body_say(b, FAULT, NULL,
			 "neither inputText nor inputImage is there; give one, or both");
	if (body_has(b, NAME_INPUT_TEXT))
		check_text(b, b->v[NAME_INPUT_TEXT]);
	b->l->images += body_has(b, NAME_INPUT_IMAGE);
	check_size(b, "embeddingConfig.outputEmbeddingLength",
		   jsonspan_get(b->v[NAME_EMBEDDING_CONFIG], "outputEmbeddingLength"), sizes,
		   COUNT_OF(sizes), "256, 384 or 1024");
	warn_strangers(b, strange, COUNT_OF(strange), "Titan's multimodal embeddings");
}

void body_lint_nova_embed(struct body *b)
{
	struct jsonspan params = b->v[NAME_SINGLE_EMBEDDING];

	b->has_output = true;
	if (!jsonspan_is_set(params))
		params = b->v[NAME_SEGMENTED_EMBEDDING];
	if (!jsonspan_is_set(params))
		body_say(b, WARNING, NULL,
			 "Nova's embeddings are asked for by \"singleEmbeddingParams\":{...}; see "
			 "its page in the user guide");
	body_add_text(b, jsonspan_path(params, "text/value"));
	b->l->images += jsonspan_is_set(jsonspan_get(params, "image"));
}

static bool check_prompt(struct body *b, const char *who, const char *right)
{
	if (b->form != FORM_PROMPT && body_has(b, NAME_MESSAGES) && !body_has(b, NAME_PROMPT)) {
		body_say(b, FAULT, "messages", "%s takes a prompt; write %s", who, right);
		return false;
	}
	if (!body_has(b, NAME_PROMPT)) {
		body_say(b, FAULT, "prompt", "is missing; write %s", right);
		return false;
	}
	if (!body_add_text(b, b->v[NAME_PROMPT])) {
		body_say(b, FAULT, "prompt", "has to be a text; write %s", right);
		return false;
	}
	if (body_is_empty_string(b->v[NAME_PROMPT]))
		body_say(b, WARNING, "prompt", "is empty; give it a text");
	return true;
}

void body_lint_llama(struct body *b)
{
	static const enum body_name strange[] = {
		NAME_MODEL,	  NAME_MODEL_ID, NAME_STREAM,	      NAME_MAX_TOKENS,
		NAME_TOP_K,	  NAME_STOP,	 NAME_STOP_SEQUENCES, NAME_CAMEL_MAX_TOKENS,
		NAME_CAMEL_TOP_P, NAME_SYSTEM,	 NAME_MAX_NEW_TOKENS, NAME_ANTHROPIC_VERSION};
	struct jsonspan_walk w = jsonspan_walk(b->v[NAME_IMAGES]);
	struct jsonspan max = b->v[NAME_MAX_GEN_LEN];
	uint64_t n;

	if (!check_prompt(b, "Llama", RIGHT_LLAMA))
		return;
	/* No model of this family has ever taken more than the newest do. */
	if (body_whole(max, &n) == NUMBER_WHOLE && n > LLAMA_OUTPUT_MAX && !b->info->output_max)
		body_check_output(b, "max_gen_len", max, LLAMA_OUTPUT_MAX);
	else
		body_check_output(b, "max_gen_len", max, 0);
	if (!b->has_output) {
		b->has_output = true;
		b->output_tokens = 512;
	}
	body_check_fraction(b, "temperature", b->v[NAME_TEMPERATURE]);
	body_check_fraction(b, "top_p", b->v[NAME_TOP_P]);
	while (jsonspan_next(&w))
		b->l->images++;
	warn_strangers(b, strange, COUNT_OF(strange),
		       "Llama, whose settings are max_gen_len, temperature and top_p");
}

void body_lint_mistral_text(struct body *b)
{
	static const enum body_name strange[] = {
		NAME_MODEL,	  NAME_MODEL_ID,	 NAME_STREAM,
		NAME_MAX_GEN_LEN, NAME_CAMEL_MAX_TOKENS, NAME_ANTHROPIC_VERSION};

	if (!check_prompt(b, "this Mistral", RIGHT_MISTRAL))
		return;
	body_check_output(b, "max_tokens", b->v[NAME_MAX_TOKENS], 0);
	body_check_fraction(b, "temperature", b->v[NAME_TEMPERATURE]);
	body_check_fraction(b, "top_p", b->v[NAME_TOP_P]);
	warn_strangers(b, strange, COUNT_OF(strange), "Mistral");
}

/* Text, or a list of {"type":"text"} and {"type":"image_url"}. */
static void add_chat_content(struct body *b, struct jsonspan content)
{
	struct jsonspan_walk w = jsonspan_walk(content);

	if (body_add_text(b, content))
		return;
	while (jsonspan_next(&w)) {
		body_add_text(b, jsonspan_get(w.value, "text"));
		b->l->images += jsonspan_is_set(jsonspan_get(w.value, "image_url"));
	}
}

static void check_chat_messages(struct body *b)
{
	struct jsonspan_walk w = jsonspan_walk(b->v[NAME_MESSAGES]);

	for (size_t i = 0; jsonspan_next(&w); i++) {
		b->message = i;
		if (jsonspan_type(w.value) != JSONSPAN_OBJECT) {
			body_say(b, FAULT, NULL,
				 "has to be an object: {\"role\":\"user\",\"content\":\"...\"}");
			continue;
		}
		if (jsonspan_type(jsonspan_get(w.value, "role")) != JSONSPAN_STRING)
			body_say(b, FAULT, "role", "is missing; write \"role\":\"user\"");
		if (jsonspan_is_set(jsonspan_get(w.value, "tool_calls")))
			body_warn_tools(b, "tool_calls");
		add_chat_content(b, jsonspan_get(w.value, "content"));
	}
	b->message = BODY_NOWHERE;
}

void body_lint_chat(struct body *b)
{
	static const enum body_name strange[] = {
		NAME_STREAM,	  NAME_ANTHROPIC_VERSION, NAME_INFERENCE_CONFIG, NAME_SYSTEM,
		NAME_MAX_GEN_LEN, NAME_CAMEL_MAX_TOKENS,  NAME_CAMEL_TOP_P};

	if (!body_has(b, NAME_MESSAGES) &&
	    (b->form == FORM_PROMPT || b->form == FORM_EMBED_OTHER)) {
		body_say(b, WARNING, NULL, "this model is known to take messages; write %s",
			 RIGHT_CHAT);
		body_lint_unknown(b);
		return;
	}
	if (!body_has(b, NAME_MESSAGES) && b->form != FORM_ANTHROPIC && b->form != FORM_BLOCKS &&
	    body_refuse_form(b, FORM_OPENAI, "this model does", RIGHT_CHAT))
		return;
	if (body_check_messages(b))
		check_chat_messages(b);
	body_check_output(b, "max_tokens", b->v[NAME_MAX_TOKENS], 0);
	body_check_output(b, "max_completion_tokens", b->v[NAME_MAX_COMPLETION_TOKENS], 0);
	if (body_has(b, NAME_TOOLS))
		body_warn_tools(b, "tools");
	if (body_has(b, NAME_RESPONSE_FORMAT))
		body_warn_tools(b, "response_format");
	warn_strangers(b, strange, COUNT_OF(strange), "models that take OpenAI's chat form");
}

/* Only counted. */
void body_lint_unknown(struct body *b)
{
	static const enum body_name maxima[] = {
		NAME_MAX_TOKENS,  NAME_MAX_COMPLETION_TOKENS, NAME_MAX_TOKENS_TO_SAMPLE,
		NAME_MAX_GEN_LEN, NAME_CAMEL_MAX_TOKENS,      NAME_MAX_NEW_TOKENS,
	};

	b->text_bytes += b->size;
	for (size_t i = 0; i < COUNT_OF(maxima) && !b->has_output; i++)
		b->has_output = body_whole(b->v[maxima[i]], &b->output_tokens) == NUMBER_WHOLE;
}
