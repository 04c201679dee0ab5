#include <string.h>

#include "backend/aws/models_private.h"

/*
 * A body with an answer of one token, for records that only fill a job up.
 *
 * The members that limit the answer are replaced where they stand, or added at
 * the end; what asks for more than the answer itself (thinking, which wants a
 * budget below the limit; several samples) is left out; all else stays byte by
 * byte.
 */

enum change {
	LIMIT,	      /* is 1, and added if it is not there */
	LIMIT_IF_SET, /* is 1 where it is there */
	DROP,
};

struct rule {
	const char *name;
	enum change change;
};

#define RULES_MAX 8

struct rules {
	const char *config; /* the member whose members the inner rules are for; NULL */
	struct rule outer[RULES_MAX], inner[RULES_MAX];
};

static const struct rules claude = {
	.outer = {{"max_tokens", LIMIT}, {"thinking", DROP}},
};

static const struct rules old_claude = {
	.outer = {{"max_tokens_to_sample", LIMIT}},
};

static const struct rules blocks = {
	.config = "inferenceConfig",
	.inner = {{"maxTokens", LIMIT}, {"max_new_tokens", DROP}},
};

static const struct rules llama = {.outer = {{"max_gen_len", LIMIT}}};

static const struct rules prompt = {.outer = {{"max_tokens", LIMIT}}};

static const struct rules chat = {
	.outer = {{"max_tokens", LIMIT}, {"max_completion_tokens", LIMIT_IF_SET}, {"n", DROP}},
};

/* Where the newer name is used the older one beside it is refused. */
static const struct rules newer_chat = {
	.outer = {{"max_completion_tokens", LIMIT}, {"max_tokens", LIMIT_IF_SET}, {"n", DROP}},
};

/* What it would make of a member that it does not know nobody can tell. */
static const struct rules unknown = {
	.outer = {{"max_tokens", LIMIT_IF_SET},
		  {"max_completion_tokens", LIMIT_IF_SET},
		  {"max_tokens_to_sample", LIMIT_IF_SET},
		  {"max_gen_len", LIMIT_IF_SET},
		  {"max_new_tokens", LIMIT_IF_SET},
		  {"maxTokens", LIMIT_IF_SET}},
};

static const struct rules titan_text = {
	.config = "textGenerationConfig",
	.inner = {{"maxTokenCount", LIMIT}},
};

static const struct rules *rules_of_unknown(struct jsonspan body)
{
	if (jsonspan_is_set(jsonspan_get(body, "anthropic_version")))
		return &claude;
	if (jsonspan_is_set(jsonspan_get(body, "inferenceConfig")) ||
	    jsonspan_is_set(jsonspan_get(body, "schemaVersion")))
		return &blocks;
	if (jsonspan_is_set(jsonspan_get(body, "textGenerationConfig")))
		return &titan_text;
	return &unknown;
}

/* NULL: the answer has no length. */
static const struct rules *rules_of(const char *model, bool converse, struct jsonspan body)
{
	const struct models_info *info = models_info_of(model);

	if (converse)
		return &blocks;
	switch (info->family) {
	case FAMILY_CLAUDE:
		return info->flags & INFO_TEXT_COMPLETION &&
				       !jsonspan_is_set(jsonspan_get(body, "messages"))
			       ? &old_claude
			       : &claude;
	case FAMILY_NOVA:
		return &blocks;
	case FAMILY_LLAMA:
		return &llama;
	case FAMILY_MISTRAL_TEXT:
		return &prompt;
	case FAMILY_CHAT:
		return jsonspan_is_set(jsonspan_get(body, "max_completion_tokens")) ? &newer_chat
										    : &chat;
	case FAMILY_TITAN_EMBED_TEXT:
	case FAMILY_TITAN_EMBED_IMAGE:
	case FAMILY_NOVA_EMBED:
		return NULL;
	case FAMILY_UNKNOWN:
	case FAMILY_COUNT:
		break;
	}
	return rules_of_unknown(body);
}

static const struct rule *find_rule(const struct rule *rules, struct jsonspan key)
{
	for (size_t i = 0; i < RULES_MAX && rules[i].name; i++)
		if (jsonspan_equals(key, rules[i].name))
			return &rules[i];
	return NULL;
}

static void add_comma(struct buf *out, size_t begin)
{
	if (out->size > begin + 1)
		buf_add_char(out, ',');
}

/* Those that were not met. */
static void add_limits(const struct rule *rules, const bool met[RULES_MAX], size_t begin,
		       struct buf *out)
{
	for (size_t i = 0; i < RULES_MAX && rules[i].name; i++) {
		if (rules[i].change != LIMIT || met[i])
			continue;
		add_comma(out, begin);
		buf_addf(out, "\"%s\":1", rules[i].name);
	}
}

static void add_member(struct jsonspan key, struct jsonspan value, size_t begin, struct buf *out)
{
	add_comma(out, begin);
	buf_add(out, key.at, key.size);
	buf_add_char(out, ':');
	buf_add(out, value.at, value.size);
}

/* An object after the rules; config: copied out of it, the caller's to add. */
static void add_changed(struct jsonspan object, const struct rule *rules, const char *config,
			struct jsonspan *ret_config, struct buf *out)
{
	static const struct jsonspan one = {"1", 1};
	struct jsonspan_walk w = jsonspan_walk(object);
	bool met[RULES_MAX] = {false};
	size_t begin = out->size;

	buf_add_char(out, '{');
	while (jsonspan_next(&w)) {
		const struct rule *r = find_rule(rules, w.key);

		if (config && jsonspan_equals(w.key, config)) {
			*ret_config = w.value;
		} else if (!r) {
			add_member(w.key, w.value, begin, out);
		} else if (r->change != DROP && !met[r - rules]) {
			met[r - rules] = true;
			add_member(w.key, one, begin, out);
		}
	}
	add_limits(rules, met, begin, out);
	if (config) { /* its object follows, and this one's end */
		add_comma(out, begin);
		buf_addf(out, "\"%s\":", config);
	} else {
		buf_add_char(out, '}');
	}
}

void models_add_smallest(const char *model, bool converse, const char *bytes, size_t size,
			 struct buf *out)
{
	struct jsonspan body = jsonspan_of(bytes, size), config = {NULL, 0};
	const struct rules *r = rules_of(model, converse, body);

	if (!r || jsonspan_type(body) != JSONSPAN_OBJECT) {
		buf_add(out, body.at ? body.at : bytes, body.at ? body.size : size);
		return;
	}
	add_changed(body, r->outer, r->config, &config, out);
	if (!r->config)
		return;
	add_changed(config, r->inner, NULL, NULL, out);
	buf_add_char(out, '}');
}
