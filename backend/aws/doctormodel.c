#include <errno.h>
#include <string.h>
#include <strings.h>

#include "backend/aws/doctor_private.h"
#include "backend/aws/endpoint.h"
#include "backend/aws/models.h"
#include "backend/aws/naming.h"
#include "backend/aws/sigv4.h"
#include "fs/base/jsonspan.h"

/*
 * The model: known here, and by which id.
 *
 * The lists of models and of inference profiles say by what a model is
 * reached, and none says whether it takes batch jobs: that only the call that
 * creates one does.
 */

#define WAYS_MAX   6
#define ANSWER_MAX (64u * 1024)

struct hunt {
	struct doctor *d;
	const char *wanted; /* as the user wrote it */
	char base[256];	    /* without geography; "" for ARNs of other things */
	bool in_models, on_demand, profile_only, legacy;
	bool in_profiles;
	char profile_arn[CONTROL_ARN_MAX + 1];
	char model_arn[CONTROL_ARN_MAX + 1];
	struct buf regions; /* of the wanted profile */
	struct buf ways;    /* profiles that lead to the model */
	struct buf near;    /* ids that look alike */
	unsigned way_count, near_count, models, profiles;
};

static void keep_arn(struct doctor *d, const char *arn)
{
	if (!arn || d->model_arn_count == DOCTOR_MODEL_ARNS)
		return;
	d->model_arns[d->model_arn_count] = strdup(arn);
	if (d->model_arns[d->model_arn_count])
		d->model_arn_count++;
}

static void add_some(struct buf *out, unsigned *count, const char *id)
{
	if ((*count)++ < WAYS_MAX)
		buf_addf(out, "%s%s", out->size ? ", " : "", id);
}

/* "anthropic.claude-haiku-4-5": the part of an id that people remember. */
static bool looks_alike(const char *id, const char *base)
{
	const char *dot = strchr(base, '.');
	const char *word = dot ? dot + 1 : base;
	size_t size = strcspn(word, "0123456789:");

	while (size && word[size - 1] == '-')
		size--;
	return size >= 4 && memmem(id, strlen(id), word, size);
}

static int see_model(void *ctx, const struct control_model *m)
{
	struct hunt *h = ctx;

	h->models++;
	if (!h->wanted || !m->id)
		return 0;
	if (strcmp(m->id, h->base) != 0 && (!m->arn || strcmp(m->arn, h->wanted) != 0)) {
		if (h->base[0] && looks_alike(m->id, h->base))
			add_some(&h->near, &h->near_count, m->id);
		return 0;
	}
	h->in_models = true;
	h->on_demand |= m->on_demand;
	h->profile_only = m->profile_only;
	h->legacy |= m->lifecycle && strcasecmp(m->lifecycle, "LEGACY") == 0;
	snprintf(h->d->model_name, sizeof(h->d->model_name), "%s", m->name ? m->name : "");
	snprintf(h->model_arn, sizeof(h->model_arn), "%s", m->arn ? m->arn : "");
	return 0;
}

static bool leads_to(const struct control_profile *p, const char *base)
{
	for (size_t i = 0; i < CONTROL_LISTS_MAX && p->models[i]; i++) {
		const char *slash = strrchr(p->models[i], '/');

		if (slash && strcmp(slash + 1, base) == 0)
			return true;
	}
	return false;
}

static void take_profile(struct hunt *h, const struct control_profile *p)
{
	h->in_profiles = true;
	snprintf(h->profile_arn, sizeof(h->profile_arn), "%s", p->arn ? p->arn : "");
	keep_arn(h->d, p->arn);
	for (size_t i = 0; i < CONTROL_LISTS_MAX && p->models[i]; i++) {
		struct naming_arn arn;

		keep_arn(h->d, p->models[i]);
		if (naming_arn_parse(p->models[i], &arn) == 0 && arn.region_size)
			buf_addf(&h->regions, "%s%.*s", h->regions.size ? ", " : "",
				 (int)arn.region_size, arn.region);
	}
}

static int see_profile(void *ctx, const struct control_profile *p)
{
	struct hunt *h = ctx;

	h->profiles++;
	if (!h->wanted || !p->id)
		return 0;
	if (strcmp(p->id, h->wanted) == 0 || (p->arn && strcmp(p->arn, h->wanted) == 0))
		take_profile(h, p);
	/* Some ids do not fit the pattern of the call: then only the ARN does. */
	if (h->base[0] && leads_to(p, h->base))
		add_some(&h->ways, &h->way_count,
			 naming_check_model(p->id, NULL) == 0 || !p->arn ? p->id : p->arn);
	return 0;
}

/* Bedrock's words on an agreement, a licence or a first use that is missing. */
static void tell_availability(struct doctor *d, const struct jsonspan *v)
{
	struct jsonspan agreement = jsonspan_path(*v, "agreementAvailability/status");

	if (jsonspan_equals(jsonspan_get(*v, "authorizationStatus"), "NOT_AUTHORIZED"))
		checklist_bad(&d->list, "access to the model",
			      "the account is not authorised for it; a support case opens it");
	else if (jsonspan_equals(jsonspan_get(*v, "entitlementAvailability"), "NOT_AVAILABLE"))
		checklist_bad(&d->list, "access to the model",
			      "the account has no access to it; open the model once in the model "
			      "catalog of the Bedrock console (Anthropic asks for a form)");
	else if (jsonspan_type(agreement) == JSONSPAN_STRING &&
		 !jsonspan_equals(agreement, "AVAILABLE"))
		checklist_unsure(
			&d->list, "access to the model",
			"its agreement is not accepted; the first use may ask for it: open "
			"the model once in the model catalog of the Bedrock console");
	else
		checklist_good(&d->list, "access to the model", "yes");
}

/* Not allowed, not there: not told, as the next lines tell as much. */
static void ask_availability(struct doctor *d, const char *id)
{
	CLEANUP(aws_answer_release) struct aws_answer a = AWS_ANSWER_INIT;
	CLEANUP(buf_release) struct buf path = BUF_INIT(DOCTOR_TEXT_MAX);
	CLEANUP(str_freep) char *origin = NULL;
	struct aws_request q = {
		.method = "GET",
		.service = "bedrock",
		.region = d->region,
		.auth = AWS_AUTH_BEARER,
		.answer_max = ANSWER_MAX,
		.attempts = 1,
	};
	struct jsonspan v;

	buf_add_str(&path, "/foundation-model-availability/");
	sigv4_encode(&path, id, strlen(id), false);
	if (buf_error(&path) < 0 ||
	    endpoint_service(aws_config(d->aws), "bedrock", d->region, &origin, NULL) < 0)
		return;
	q.origin = origin;
	q.path = path.data;
	if (aws_run(d->aws, &q, &a, NULL) < 0)
		return;
	v = jsonspan_of(a.body, a.body_size);
	if (jsonspan_type(v) == JSONSPAN_OBJECT)
		tell_availability(d, &v);
}

static void tell_missing(struct hunt *h)
{
	struct checklist *list = &h->d->list;

	if (h->way_count)
		checklist_bad(list, "model", "%s is not in %s; write one of %s", h->wanted,
			      h->d->region, h->ways.data);
	else if (!h->base[0])
		checklist_unsure(list, "model",
				 "%s is in no list; only the call that creates a job can tell",
				 h->wanted);
	else if (h->near_count)
		checklist_bad(list, "model", "there is no %s in %s; there is %s", h->wanted,
			      h->d->region, h->near.data);
	else
		checklist_bad(list, "model",
			      "there is no %s in %s; aws bedrock list-foundation-models and "
			      "list-inference-profiles tell what there is",
			      h->wanted, h->d->region);
}

static void tell_model(struct hunt *h)
{
	struct checklist *list = &h->d->list;
	struct err e = ERR_INIT;
	bool fits = naming_check_model(h->wanted, &e) == 0;

	if (h->in_profiles && !fits && h->profile_arn[0])
		checklist_bad(list, "model",
			      "%s is not taken as an id (it has more dots than the call allows); "
			      "write its ARN: %s",
			      h->wanted, h->profile_arn);
	else if (!fits)
		checklist_bad(list, "model", "%s", e.text);
	else if (h->in_profiles)
		checklist_good(list, "model", "%s is an inference profile%s%s", h->wanted,
			       h->regions.size ? "; it runs in " : "", h->regions.data);
	else if (h->in_models && h->profile_only)
		checklist_bad(list, "model",
			      "%s is reached by an inference profile only; write one of %s",
			      h->wanted,
			      h->way_count ? h->ways.data
					   : "those of aws bedrock list-inference-profiles");
	else if (h->in_models && (h->base[0] == '\0' || strcmp(h->base, h->wanted) == 0 ||
				  strncmp(h->wanted, "arn:", 4) == 0))
		checklist_good(list, "model", "%s is reached by its own id%s%s", h->wanted,
			       h->way_count ? ", and by " : "", h->ways.data);
	else
		tell_missing(h);
	if (h->in_models && h->legacy)
		checklist_unsure(list, "model",
				 "its provider calls it LEGACY: it will be switched off some day");
}

static void split_wanted(struct hunt *h)
{
	struct models_id id = {NULL, NULL, 0, 0};
	bool is_arn = strncmp(h->wanted, "arn:", 4) == 0;

	/* An application profile and a custom model have names of their own. */
	if (is_arn && !strstr(h->wanted, ":foundation-model/") &&
	    !strstr(h->wanted, ":inference-profile/"))
		return;
	models_split(h->wanted, &id);
	if (id.base && id.base_size < sizeof(h->base))
		snprintf(h->base, sizeof(h->base), "%.*s", (int)id.base_size, id.base);
}

static void hunt_model(struct hunt *h)
{
	struct checklist *list = &h->d->list;
	struct err e = ERR_INIT;
	int r = control_models(h->d->control, see_model, h, &e);

	if (r == 0)
		r = control_profiles(h->d->control, see_profile, h, &e);
	if (r == -EACCES) {
		checklist_unsure(list, "model",
				 "cannot tell (bedrock:ListFoundationModels and "
				 "bedrock:ListInferenceProfiles are not allowed): %s",
				 e.text);
		return;
	}
	if (r < 0) {
		checklist_bad(list, "model", "%s", doctor_words(r, &e));
		return;
	}
	if (!h->wanted) {
		checklist_good(
			list, "models",
			"%u models and %u inference profiles in %s; -o model=ID looks at one",
			h->models, h->profiles, h->d->region);
		return;
	}
	if (!h->in_profiles && h->in_models)
		keep_arn(h->d, h->model_arn[0] ? h->model_arn : NULL);
	tell_model(h);
	if (h->in_models && h->base[0])
		ask_availability(h->d, h->base);
}

void doctor_ask_model(struct doctor *d)
{
	struct hunt h = {
		.d = d,
		.wanted = d->model,
		.regions = BUF_INIT(DOCTOR_TEXT_MAX),
		.ways = BUF_INIT(DOCTOR_TEXT_MAX),
		.near = BUF_INIT(DOCTOR_TEXT_MAX),
	};

	if (h.wanted)
		split_wanted(&h);
	hunt_model(&h);
	buf_release(&h.regions);
	buf_release(&h.ways);
	buf_release(&h.near);
}
