/* Models and inference profiles: the small operations of control.h. */

#include <errno.h>
#include <string.h>

#include "backend/aws/control_private.h"
#include "backend/aws/controljson.h"

/* --- models --- */

static bool has_word(struct jsonspan list, const char *word)
{
	struct jsonspan_walk w = jsonspan_walk(list);

	while (jsonspan_next(&w))
		if (jsonspan_equals(w.value, word))
			return true;
	return false;
}

/* Strings of a row while it is shown. */
struct row_strings {
	char *s[5 + CONTROL_LISTS_MAX];
};

static void row_strings_release(struct row_strings *t)
{
	for (size_t i = 0; i < COUNT_OF(t->s); i++)
		free(t->s[i]);
}

struct models_ctx {
	int (*each)(void *ctx, const struct control_model *m);
	void *ctx;
};

static int model_row(void *ctx, struct jsonspan row, struct err *e)
{
	static const char *const keys[] = {"modelId", "modelArn", "modelName", "providerName",
					   "modelLifecycle/status"};
	CLEANUP(row_strings_release) struct row_strings t = {.s = {NULL}};
	struct jsonspan types = jsonspan_get(row, "inferenceTypesSupported");
	struct models_ctx *m = ctx;
	struct control_model model;
	int r = 0;

	for (size_t i = 0; i < COUNT_OF(keys) && r == 0; i++)
		r = controljson_text(jsonspan_path(row, keys[i]), CONTROL_MODEL_MAX, &t.s[i]);
	if (r < 0)
		return err_set(e, r, "no memory for the list of models");
	if (!t.s[0])
		return 0;
	model = (struct control_model){
		.id = t.s[0],
		.arn = t.s[1],
		.name = t.s[2],
		.provider = t.s[3],
		.lifecycle = t.s[4],
		.on_demand = has_word(types, "ON_DEMAND"),
	};
	model.profile_only = !model.on_demand && has_word(types, "INFERENCE_PROFILE");
	return m->each(m->ctx, &model);
}

int control_models(struct control *c, int (*each)(void *ctx, const struct control_model *m),
		   void *ctx, struct err *e)
{
	struct models_ctx m = {.each = each, .ctx = ctx};
	struct control_pages p = {
		.what = "list the models",
		.path = "/foundation-models",
		.query = "",
		.member = "modelSummaries",
		.row = model_row,
		.ctx = &m,
	};

	return control_walk(c, &p, e);
}

/* --- inference profiles --- */

struct profiles_ctx {
	int (*each)(void *ctx, const struct control_profile *p);
	void *ctx;
	int ended; /* each() wants no more */
};

static int profile_row(void *ctx, struct jsonspan row, struct err *e)
{
	static const char *const keys[] = {"inferenceProfileId", "inferenceProfileArn",
					   "inferenceProfileName"};
	CLEANUP(row_strings_release) struct row_strings t = {.s = {NULL}};
	struct jsonspan_walk w = jsonspan_walk(jsonspan_get(row, "models"));
	struct profiles_ctx *p = ctx;
	struct control_profile profile = {.id = NULL};
	size_t n = 0;
	int r = 0;

	for (size_t i = 0; i < COUNT_OF(keys) && r == 0; i++)
		r = controljson_text(jsonspan_get(row, keys[i]), CONTROL_MODEL_MAX, &t.s[i]);
	while (r == 0 && n + 1 < CONTROL_LISTS_MAX && jsonspan_next(&w)) {
		r = controljson_name(jsonspan_get(w.value, "modelArn"), CONTROL_MODEL_MAX,
				     &t.s[5 + n]);
		if (t.s[5 + n]) {
			profile.models[n] = t.s[5 + n];
			n++;
		}
	}
	if (r < 0)
		return err_set(e, r, "no memory for the list of inference profiles");
	if (!t.s[0])
		return 0;
	profile.id = t.s[0];
	profile.arn = t.s[1];
	profile.name = t.s[2];
	profile.application = jsonspan_equals(jsonspan_get(row, "type"), "APPLICATION");
	r = p->each(p->ctx, &profile);
	p->ended = r == 1;
	return r;
}

/* What is listed without a type is not documented: both are asked for. */
int control_profiles(struct control *c, int (*each)(void *ctx, const struct control_profile *p),
		     void *ctx, struct err *e)
{
	struct profiles_ctx ctx_all = {.each = each, .ctx = ctx};
	struct control_pages p = {
		.what = "list the inference profiles",
		.path = "/inference-profiles",
		.query = "maxResults=1000&type=SYSTEM_DEFINED",
		.member = "inferenceProfileSummaries",
		.row = profile_row,
		.ctx = &ctx_all,
	};
	int r = control_walk(c, &p, e);

	if (r < 0 || ctx_all.ended)
		return r;
	p.query = "maxResults=1000&type=APPLICATION";
	return control_walk(c, &p, e);
}
