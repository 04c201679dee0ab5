#include <string.h>

#include "backend/aws/models_private.h"

#define OUTPUT_GUESS 4096    /* of a model whose limit is not known, if the body names none */
#define OUTPUT_MOST  1000000 /* what a body asks for is bounded: it is only an estimate */

static void (*const rules[FAMILY_COUNT])(struct body *b) = {
	[FAMILY_UNKNOWN] = body_lint_unknown,
	[FAMILY_CLAUDE] = body_lint_claude,
	[FAMILY_NOVA] = body_lint_nova,
	[FAMILY_TITAN_EMBED_TEXT] = body_lint_titan_text,
	[FAMILY_TITAN_EMBED_IMAGE] = body_lint_titan_image,
	[FAMILY_NOVA_EMBED] = body_lint_nova_embed,
	[FAMILY_LLAMA] = body_lint_llama,
	[FAMILY_MISTRAL_TEXT] = body_lint_mistral_text,
	[FAMILY_CHAT] = body_lint_chat,
};

/* Of the job and not of a record, so said once. */
static void warn_of_model(struct body *b)
{
	CLEANUP(buf_release) struct buf hint = BUF_INIT(4096);
	struct models_id id;

	if (!models_add_profile_hint(b->l->model, b->l->region, &hint))
		return;
	models_split(b->l->model, &id);
	b->where = "";
	body_say(b, WARNING, NULL, "model: %.*s %s", (int)id.base_size, id.base, hint.data);
}

void models_lint_body(struct models_lint *l, const char *where, const char *body, size_t size,
		      struct buf *faults, struct buf *warnings)
{
	struct body b = {.l = l, .where = where, .faults = faults, .warnings = warnings};

	if (!l->info_)
		l->info_ = models_info_of(l->model);
	b.info = l->info_;
	b.message = b.block = BODY_NOWHERE;
	if (l->records++ == 0)
		warn_of_model(&b);
	b.where = where;
	body_read(&b, body, size);
	(l->converse ? body_lint_converse : rules[b.info->family])(&b);
	if (!b.has_output)
		b.output_tokens = b.info->output_max ? b.info->output_max : OUTPUT_GUESS;
	l->text_bytes += b.text_bytes;
	l->output_tokens_max += b.output_tokens < OUTPUT_MOST ? b.output_tokens : OUTPUT_MOST;
}
