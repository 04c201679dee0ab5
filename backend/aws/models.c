#include "backend/aws/models.h"

#include <string.h>

#include "backend/aws/models_private.h"
#include "fs/base/macros.h"

/*
 * The catalogue: the first row whose prefix a base id begins with.  What is
 * marked sure was told by the service in an answer; other limits are from the
 * providers' pages and only warn.
 */
#define NEWEST	   (INFO_NO_SAMPLING | INFO_NO_PREFILL | INFO_PROFILE_ONLY | INFO_GLOBAL)
#define BY_PROFILE (INFO_PROFILE_ONLY | INFO_GLOBAL)
#define US_ONLY	   (INFO_PROFILE_ONLY | INFO_US)
#define SURE	   INFO_OUTPUT_MAX_SURE

static const struct models_info infos[] = {
	{"anthropic.claude-v", FAMILY_CLAUDE, INFO_TEXT_COMPLETION, 0},
	{"anthropic.claude-instant", FAMILY_CLAUDE, INFO_TEXT_COMPLETION, 0},
	{"anthropic.claude-3-haiku", FAMILY_CLAUDE, SURE, 4096},
	{"anthropic.claude-3-sonnet", FAMILY_CLAUDE, SURE, 4096},
	{"anthropic.claude-3-opus", FAMILY_CLAUDE, SURE, 4096},
	{"anthropic.claude-3-5-", FAMILY_CLAUDE, 0, 8192},
	{"anthropic.claude-3-7-sonnet", FAMILY_CLAUDE, INFO_PROFILE_ONLY, 128000},
	{"anthropic.claude-sonnet-4-6", FAMILY_CLAUDE,
	 INFO_ONE_SAMPLER | INFO_NO_PREFILL | BY_PROFILE | SURE, 128000, "eu-west-2"},
	{"anthropic.claude-sonnet-4-5", FAMILY_CLAUDE, INFO_ONE_SAMPLER | BY_PROFILE, 64000},
	{"anthropic.claude-sonnet-4-2", FAMILY_CLAUDE, INFO_MAYBE_ONE_SAMPLER | BY_PROFILE, 64000},
	{"anthropic.claude-haiku-4-5", FAMILY_CLAUDE, INFO_ONE_SAMPLER | BY_PROFILE | SURE, 64000},
	{"anthropic.claude-opus-4-1", FAMILY_CLAUDE, INFO_ONE_SAMPLER | US_ONLY, 32000},
	{"anthropic.claude-opus-4-2", FAMILY_CLAUDE, INFO_MAYBE_ONE_SAMPLER | US_ONLY, 32000},
	{"anthropic.claude-opus-4-5", FAMILY_CLAUDE, INFO_ONE_SAMPLER | BY_PROFILE, 64000},
	{"anthropic.claude-opus-4-6", FAMILY_CLAUDE,
	 INFO_ONE_SAMPLER | INFO_NO_PREFILL | BY_PROFILE, 128000},
	{"anthropic.claude-opus-4-7", FAMILY_CLAUDE, NEWEST, 128000},
	{"anthropic.claude-opus-4-8", FAMILY_CLAUDE, NEWEST, 128000},
	{"anthropic.claude-opus-5", FAMILY_CLAUDE, NEWEST | SURE, 128000},
	{"anthropic.claude-sonnet-5", FAMILY_CLAUDE, NEWEST, 128000},
	{"anthropic.claude-", FAMILY_CLAUDE, 0, 0},

	{"amazon.nova-2-multimodal-embeddings", FAMILY_NOVA_EMBED, 0, 0},
	{"amazon.nova-2-lite", FAMILY_NOVA, BY_PROFILE | SURE, 65535},
	{"amazon.nova-2-pro", FAMILY_NOVA, BY_PROFILE, 0},
	{"amazon.nova-micro", FAMILY_NOVA, SURE, 10000},
	{"amazon.nova-lite", FAMILY_NOVA, 0, 10000},
	{"amazon.nova-pro", FAMILY_NOVA, 0, 10000},
	{"amazon.nova-premier", FAMILY_NOVA, US_ONLY, 32000},
	{"amazon.titan-embed-text", FAMILY_TITAN_EMBED_TEXT, 0, 0},
	{"amazon.titan-embed-g1-text", FAMILY_TITAN_EMBED_TEXT, 0, 0},
	{"amazon.titan-embed-image", FAMILY_TITAN_EMBED_IMAGE, 0, 0},

	{"meta.llama4-", FAMILY_LLAMA, US_ONLY | SURE, 8192},
	{"meta.llama3-3-", FAMILY_LLAMA, 0, 2048},
	{"meta.llama3-2-1b", FAMILY_LLAMA, INFO_PROFILE_ONLY | SURE, 2048},
	{"meta.llama3-2-3b", FAMILY_LLAMA, INFO_PROFILE_ONLY | SURE, 2048},
	{"meta.llama3-2-", FAMILY_LLAMA, US_ONLY | SURE, 2048},
	{"meta.llama3-", FAMILY_LLAMA, SURE, 2048},
	{"meta.llama", FAMILY_LLAMA, 0, 0},

	{"mistral.mistral-7b", FAMILY_MISTRAL_TEXT, 0, 8192},
	{"mistral.mixtral-8x7b", FAMILY_MISTRAL_TEXT, 0, 4096},
	{"mistral.mistral-large-2402", FAMILY_MISTRAL_TEXT, 0, 8192},
	{"mistral.mistral-small-2402", FAMILY_MISTRAL_TEXT, 0, 8192},
	{"mistral.", FAMILY_CHAT, 0, 0},

	{"deepseek.r1", FAMILY_UNKNOWN, 0, 32768}, /* a prompt, but of which form? */
	{"deepseek.", FAMILY_CHAT, 0, 0},
	{"qwen.qwen3-32b", FAMILY_CHAT, SURE, 32768},
	{"qwen.", FAMILY_CHAT, 0, 0},
	{"moonshotai.kimi-k2.5", FAMILY_CHAT, SURE, 262144},
	{"moonshotai.", FAMILY_CHAT, 0, 0},
	{"moonshot.", FAMILY_CHAT, 0, 0},
	{"zai.", FAMILY_CHAT, 0, 0},
	{"minimax.", FAMILY_CHAT, 0, 0},
	{"google.gemma", FAMILY_CHAT, 0, 0},
	{"openai.gpt-oss", FAMILY_CHAT, SURE, 128000},
	{"openai.", FAMILY_CHAT, 0, 0},
	{"nvidia.", FAMILY_CHAT, 0, 0},
};

static const struct models_info stranger = {"", FAMILY_UNKNOWN, 0, 0};

/* Longer ones first where one begins another. */
static const char *const geographies[] = {
	"us-gov", "us", "eu", "apac", "jp", "au", "ca", "global",
};

static bool starts_with(const char *s, size_t size, const char *with)
{
	size_t with_size = strlen(with);

	return size >= with_size && memcmp(s, with, with_size) == 0;
}

/* Behind the kind of resource in an ARN; the id itself if it is none. */
static const char *id_of(const char *model)
{
	static const char *const kinds[] = {":foundation-model/", ":inference-profile/",
					    ":custom-model/"};

	if (!starts_with(model, strlen(model), "arn:"))
		return model;
	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		const char *at = strstr(model, kinds[i]);

		if (at)
			return at + strlen(kinds[i]);
	}
	return model + strlen(model); /* a profile of the user's says nothing */
}

void models_split(const char *model, struct models_id *ret)
{
	struct models_id id = {.geography = ""};

	id.base = id_of(model);
	id.base_size = strcspn(id.base, "/");
	for (size_t i = 0; i < COUNT_OF(geographies); i++) {
		size_t size = strlen(geographies[i]);

		if (!starts_with(id.base, id.base_size, geographies[i]) || id.base[size] != '.' ||
		    !memchr(id.base + size + 1, '.', id.base_size - size - 1))
			continue;
		id.geography = id.base;
		id.geography_size = size;
		id.base += size + 1;
		id.base_size -= size + 1;
		break;
	}
	*ret = id;
}

const struct models_info *models_info_of(const char *model)
{
	struct models_id id;

	models_split(model, &id);
	for (size_t i = 0; i < COUNT_OF(infos); i++)
		if (starts_with(id.base, id.base_size, infos[i].prefix))
			return &infos[i];
	return &stranger;
}

enum model_family models_family(const char *model)
{
	return models_info_of(model)->family;
}

const char *models_family_name(enum model_family f)
{
	static const char *const names[FAMILY_COUNT] = {
		[FAMILY_UNKNOWN] = "unknown",
		[FAMILY_CLAUDE] = "Claude",
		[FAMILY_NOVA] = "Nova",
		[FAMILY_TITAN_EMBED_TEXT] = "Titan text embeddings",
		[FAMILY_TITAN_EMBED_IMAGE] = "Titan multimodal embeddings",
		[FAMILY_NOVA_EMBED] = "Nova embeddings",
		[FAMILY_LLAMA] = "Llama",
		[FAMILY_MISTRAL_TEXT] = "Mistral (prompt)",
		[FAMILY_CHAT] = "chat",
	};

	return (unsigned)f < FAMILY_COUNT ? names[f] : names[FAMILY_UNKNOWN];
}

/* The geography whose profiles a region can call; "" where it is not known. */
static const char *geography_of(const char *region)
{
	static const struct {
		const char *region, *geography;
	} rows[] = {
		{"us-gov-", "us-gov"}, {"us-", "us"},	{"eu-", "eu"},	 {"ca-", "us"},
		{"ap-", "apac"},       {"me-", "apac"}, {"il-", "apac"},
	};

	for (size_t i = 0; region && i < COUNT_OF(rows); i++)
		if (starts_with(region, strlen(region), rows[i].region))
			return rows[i].geography;
	return "";
}

bool models_add_profile_hint(const char *model, const char *region, struct buf *out)
{
	const struct models_info *info = models_info_of(model);
	const char *geography = geography_of(region);
	struct models_id id;
	int size;

	models_split(model, &id);
	if (id.geography_size > 0 || !(info->flags & INFO_PROFILE_ONLY) ||
	    strstr(model, ":inference-profile/") ||
	    (region && info->plain_in && strcmp(region, info->plain_in) == 0))
		return false;
	if (!*geography || info->flags & INFO_US)
		geography = strcmp(geography, "us-gov") == 0 ? geography : "us";
	size = (int)id.base_size;
	buf_addf(out, "is reached by an inference profile only: use %s.%.*s", geography, size,
		 id.base);
	if (!region && !(info->flags & INFO_US))
		buf_addf(out, ", eu.%.*s", size, id.base);
	if (info->flags & INFO_GLOBAL && strcmp(geography, "us-gov") != 0)
		buf_addf(out, " or global.%.*s", size, id.base);
	buf_add_str(out, ", whichever of .batchfs/models is there in your region");
	return true;
}
