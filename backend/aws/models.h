#ifndef BACKEND_AWS_MODELS_H
#define BACKEND_AWS_MODELS_H

/*
 * What is known of models without asking: their family, what their request
 * bodies must look like, and what they are known to refuse.
 *
 * A fault is sure: the record would fail, and the job is not sent.  A warning
 * is likely; it goes to JOB/log and the job goes.  A model that is not known
 * has neither.
 *
 * Pure.  Threads: any.  Source: the Bedrock user guide's pages per provider,
 * and refusals seen live.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/buf.h"
#include "fs/base/err.h"
#include "fs/base/macros.h"

enum model_family {
	FAMILY_UNKNOWN,
	FAMILY_CLAUDE,
	FAMILY_NOVA,
	FAMILY_TITAN_EMBED_TEXT,
	FAMILY_TITAN_EMBED_IMAGE,
	FAMILY_NOVA_EMBED,
	FAMILY_LLAMA,
	FAMILY_MISTRAL_TEXT,
	FAMILY_CHAT, /* OpenAI style: DeepSeek, Qwen, gpt-oss, Mistral chat, ... */
	FAMILY_COUNT,
};

/* Of an id or an ARN, with or without a geographic prefix. */
enum model_family models_family(const char *model);
const char *models_family_name(enum model_family f); /* "Claude" */

/* "us.anthropic.claude-sonnet-4-6" or its ARN -> "anthropic.claude-sonnet-4-6",
 * and the prefix ("us", "global", or ""); borrowed from model. */
struct models_id {
	const char *base, *geography;
	size_t base_size, geography_size;
};
void models_split(const char *model, struct models_id *ret);

/* Some models are taken by a profile only: then appends "is reached by an
 * inference profile only: use us.X or global.X" and says true.  region may be
 * NULL. */
bool models_add_profile_hint(const char *model, const char *region, struct buf *out);

struct models_info; /* private */

/* How a body may be looked at, and what was found in it.  Zero but for model,
 * region and converse at the start. */
struct models_lint {
	const char *model;
	const char *region; /* or NULL */
	bool converse;	    /* the Converse schema and not the model's own */
	const struct models_info *info_;
	/* Added up over all records: for an estimate of the price. */
	uint64_t records, text_bytes, output_tokens_max, images;
	uint64_t faults, warnings;
};

/* One modelInput (an object's JSON text, already valid; of nonsense nothing
 * sensible is said, that is all).  Appends a line each
 * to faults and warnings, behind where ("input.jsonl:12: "); after
 * MODELS_LINT_MAX of a kind nothing more, only counted. */
#define MODELS_LINT_MAX 100
void models_lint_body(struct models_lint *l, const char *where, const char *body, size_t size,
		      struct buf *faults, struct buf *warnings);

/* Appends a modelInput that is like body, but wants an answer of one token; what
 * embeds stays as it is.  converse: as in models_lint. */
void models_add_smallest(const char *model, bool converse, const char *body, size_t size,
			 struct buf *out);

#endif
