#ifndef BACKEND_AWS_MODELS_PRIVATE_H
#define BACKEND_AWS_MODELS_PRIVATE_H

/*
 * Between models.c (what is known of each model), modelsbody.c (a body taken
 * apart, and how something is said about it) and the rules: modelsclaude.c,
 * modelsblocks.c (Nova and Converse), modelsplain.c (all others).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/aws/models.h"
#include "fs/base/jsonspan.h"

enum {
	INFO_ONE_SAMPLER = 1 << 0,	 /* temperature or top_p, never both */
	INFO_MAYBE_ONE_SAMPLER = 1 << 1, /* the same, but not known for sure */
	INFO_NO_SAMPLING = 1 << 2,	 /* neither, nor top_k */
	INFO_NO_PREFILL = 1 << 3,	 /* the last message is not the assistant's */
	INFO_OUTPUT_MAX_SURE = 1 << 4,	 /* output_max was told by the service */
	INFO_PROFILE_ONLY = 1 << 5,	 /* not by its own id */
	INFO_GLOBAL = 1 << 6,		 /* there is a global. profile */
	INFO_US = 1 << 7,		 /* profiles in the US only */
	INFO_TEXT_COMPLETION = 1 << 8,	 /* Claude before Messages: nothing is checked */
};

struct models_info {
	const char *prefix; /* of the base id */
	enum model_family family;
	unsigned flags;
	uint64_t output_max;  /* tokens; 0: not known */
	const char *plain_in; /* a region that needs no profile; NULL: none */
};

/* Never NULL: a row of FAMILY_UNKNOWN stands for all others. */
const struct models_info *models_info_of(const char *model);

/* The members that mean something to somebody. */
enum body_name {
	NAME_MESSAGES,
	NAME_SYSTEM,
	NAME_PROMPT,
	NAME_INPUT_TEXT,
	NAME_INPUT_IMAGE,
	NAME_MODEL,
	NAME_MODEL_ID,
	NAME_STREAM,
	NAME_ANTHROPIC_VERSION,
	NAME_ANTHROPIC_BETA,
	NAME_MAX_TOKENS,
	NAME_MAX_COMPLETION_TOKENS,
	NAME_MAX_TOKENS_TO_SAMPLE,
	NAME_MAX_GEN_LEN,
	NAME_CAMEL_MAX_TOKENS,
	NAME_MAX_NEW_TOKENS,
	NAME_TEMPERATURE,
	NAME_TOP_P,
	NAME_TOP_K,
	NAME_CAMEL_TOP_P,
	NAME_STOP,
	NAME_STOP_SEQUENCES,
	NAME_INFERENCE_CONFIG,
	NAME_SCHEMA_VERSION,
	NAME_TOOL_CONFIG,
	NAME_ADDITIONAL_FIELDS,
	NAME_TOOLS,
	NAME_TOOL_CHOICE,
	NAME_FUNCTIONS,
	NAME_RESPONSE_FORMAT,
	NAME_OUTPUT_CONFIG,
	NAME_CAMEL_OUTPUT_CONFIG,
	NAME_OUTPUT_FORMAT,
	NAME_THINKING,
	NAME_CACHE_CONTROL,
	NAME_N,
	NAME_SEED,
	NAME_FREQUENCY_PENALTY,
	NAME_PRESENCE_PENALTY,
	NAME_LOGIT_BIAS,
	NAME_LOGPROBS,
	NAME_TOP_LOGPROBS,
	NAME_USER,
	NAME_METADATA,
	NAME_SERVICE_TIER,
	NAME_CONTEXT_MANAGEMENT,
	NAME_MCP_SERVERS,
	NAME_CONTAINER,
	NAME_CONTENTS,
	NAME_TEXTS,
	NAME_INPUT,
	NAME_BODY,
	NAME_PARAMS,
	NAME_MODEL_INPUT,
	NAME_DIMENSIONS,
	NAME_NORMALIZE,
	NAME_EMBEDDING_TYPES,
	NAME_EMBEDDING_CONFIG,
	NAME_IMAGES,
	NAME_SINGLE_EMBEDDING,
	NAME_SEGMENTED_EMBEDDING,
	NAME_COUNT,
};

/* Whose form a body is in, as far as its members give it away. */
enum body_form {
	FORM_UNCLEAR,
	FORM_ANTHROPIC,
	FORM_BLOCKS, /* Nova and Converse */
	FORM_OPENAI,
	FORM_PROMPT,
	FORM_TITAN,
	FORM_GEMINI,
	FORM_EMBED_OTHER, /* OpenAI's and Cohere's embeddings */
	FORM_WRAPPED,	  /* a line of another batch service inside */
	FORM_COUNT,
};

#define BODY_STRANGERS_MAX 4
#define BODY_NOWHERE	   SIZE_MAX

struct body {
	struct models_lint *l;
	const struct models_info *info;
	const char *where;
	struct buf *faults, *warnings;
	size_t size;

	struct jsonspan v[NAME_COUNT]; /* a later member of the same name wins */
	struct jsonspan strangers[BODY_STRANGERS_MAX];
	size_t stranger_count;
	enum body_form form;

	size_t message, block; /* where we are, or BODY_NOWHERE */
	uint64_t text_bytes;
	bool has_output; /* output_tokens is what was asked for */
	uint64_t output_tokens;
	bool told_cache, told_tools;
};

enum body_verdict {
	FAULT,
	WARNING,
};

/* True for a member that is there and not null. */
static inline bool body_has(const struct body *b, enum body_name n)
{
	return jsonspan_is_set(b->v[n]);
}

const char *body_name(enum body_name n); /* "max_tokens" */

/* at: the member below message and block, or NULL; fmt: what and the cure. */
PRINTF_LIKE(4, 5)
void body_say(struct body *b, enum body_verdict v, const char *at, const char *fmt, ...);

/* Adds a string's size once decoded, roughly, to the text; false: no string. */
bool body_add_text(struct body *b, struct jsonspan v);

/* Like a string of "": no character. */
static inline bool body_is_empty_string(struct jsonspan v)
{
	return jsonspan_type(v) == JSONSPAN_STRING && v.size == 2;
}

enum body_number {
	NUMBER_ABSENT, /* or null */
	NUMBER_ODD,    /* there, and no whole number from 0 */
	NUMBER_WHOLE,  /* UINT64_MAX for all above */
};
enum body_number body_whole(struct jsonspan v, uint64_t *ret);

/* False: not there, or not written as a plain decimal. */
bool body_decimal(struct jsonspan v, double *ret);

/* Says it if v is a number outside [0, 1]. */
void body_check_fraction(struct body *b, const char *at, struct jsonspan v);

/* The output tokens asked for: counted, and checked against the model's limit
 * and max (0: none). */
void body_check_output(struct body *b, const char *at, struct jsonspan v, uint64_t max);

/* The samplers of a model that takes only one of them, or none. */
void body_check_samplers(struct body *b, const char *prefix, struct jsonspan temperature,
			 struct jsonspan top_p, struct jsonspan top_k);

/* The same words for every family. */
void body_warn_tools(struct body *b, const char *at);
void body_warn_cache(struct body *b, const char *at);

/* One fault that shows the right form.  False, and nothing said, if the body's
 * is unclear or wanted. */
bool body_refuse_form(struct body *b, enum body_form wanted, const char *who, const char *right);

/* A message's role, or a fault; first: it has to be the user's. */
void body_check_role(struct body *b, struct jsonspan message, bool first, const char *system_cure);

/* messages, which has to be a list with something in it: else a fault. */
bool body_check_messages(struct body *b);

/* Takes apart; knows nothing of families. */
void body_read(struct body *b, const char *bytes, size_t size);

/* The rules. */
void body_lint_claude(struct body *b);
void body_lint_nova(struct body *b);
void body_lint_converse(struct body *b);
void body_lint_titan_text(struct body *b);
void body_lint_titan_image(struct body *b);
void body_lint_nova_embed(struct body *b);
void body_lint_llama(struct body *b);
void body_lint_mistral_text(struct body *b);
void body_lint_chat(struct body *b);
void body_lint_unknown(struct body *b);

#endif
