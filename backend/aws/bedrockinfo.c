/* What can be told from memory: links, and which models there are. */

#include <errno.h>
#include <string.h>

#include "backend/aws/bedrock_private.h"
#include "backend/aws/models.h"
#include "fs/base/log.h"

#define MODELS_EVERY_NS (3600 * NS_PER_S)
#define MODELS_TEXT_MAX (4 * 1024 * 1024)

/* --- describe --- */

static void add_member(struct buf *out, const char *key, const char *value)
{
	if (!value)
		return;
	if (out->size > 0 && out->data[out->size - 1] != '{' && out->data[out->size - 1] != ',')
		buf_add_char(out, ',');
	buf_addf(out, "\"%s\":", key);
	buf_add_json(out, value, strlen(value));
}

/* "us-east-1.console.aws.amazon.com"; other partitions have their own. */
static void add_console_host(struct buf *out, const char *region)
{
	if (strncmp(region, "cn-", 3) == 0)
		buf_addf(out, "%s.console.amazonaws.cn", region);
	else if (strncmp(region, "us-gov-", 7) == 0)
		buf_addf(out, "%s.console.amazonaws-us-gov.com", region);
	else
		buf_addf(out, "%s.console.aws.amazon.com", region);
}

static void add_console(struct buf *out, const char *region)
{
	CLEANUP(buf_release) struct buf link = BUF_INIT(1024);

	buf_add_str(&link, "https://");
	add_console_host(&link, region);
	buf_addf(&link, "/bedrock/home?region=%s#/batch-inference", region);
	add_member(out, "console", link.data);
}

/* The console's own way of writing a query: '*' and two hexadecimal digits for
 * what is no letter or digit. */
static void add_console_text(struct buf *out, const char *s)
{
	for (; *s; s++) {
		if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._", *s))
			buf_add_char(out, *s);
		else
			buf_addf(out, "*%02x", (unsigned)(unsigned char)*s);
	}
}

/* The metrics are of a model, not of a job. */
static void add_cloudwatch(struct buf *out, const char *region, const char *model)
{
	CLEANUP(buf_release) struct buf link = BUF_INIT(8192);
	struct models_id id;
	char name[256];

	buf_add_str(&link, "https://");
	add_console_host(&link, region);
	buf_addf(&link, "/cloudwatch/home?region=%s#metricsV2:graph=~();query=~'", region);
	add_console_text(&link, "{AWS/Bedrock/Batch,ModelId}");
	if (model && *model) {
		models_split(model, &id);
		snprintf(name, sizeof(name), " %.*s", (int)id.base_size, id.base ? id.base : "");
		add_console_text(&link, name);
	}
	add_member(out, "cloudwatch", link.data);
}

void bedrock_describe(struct backend *backend, const char *remote, const char *model,
		      struct buf *out)
{
	struct bedrock *b = bedrock_of(backend);
	struct naming_arn arn;
	char region[64];
	struct jobrow *row;

	snprintf(region, sizeof(region), "%s", b->region);
	if (remote && naming_arn_parse(remote, &arn) == 0 && arn.region_size > 0)
		snprintf(region, sizeof(region), "%.*s", (int)arn.region_size, arn.region);
	add_member(out, "arn", remote);
	add_member(out, "region", region);
	if (remote)
		add_console(out, region);
	add_cloudwatch(out, region, model);
	if (!remote)
		return;
	pthread_mutex_lock(&b->rows_mutex);
	row = jobrows_find(b->rows, remote);
	if (row) {
		add_member(out, "input", row->input_uri);
		add_member(out, "output", row->output_uri);
	}
	pthread_mutex_unlock(&b->rows_mutex);
}

/* --- models --- */

/* Seen to take batch jobs; which do in a region, the service tells. */
static const char *const known[] = {
	"amazon.nova-lite-v1:0",
	"amazon.nova-micro-v1:0",
	"amazon.nova-pro-v1:0",
	"amazon.titan-embed-text-v2:0",
	"anthropic.claude-3-haiku-20240307-v1:0",
	"global.anthropic.claude-haiku-4-5-20251001-v1:0",
	"global.anthropic.claude-sonnet-4-6",
	"openai.gpt-oss-120b-1:0",
};

static void add_model(struct buf *out, const char *id, const char *name, const char *note)
{
	enum model_family f = models_family(id);

	buf_addf(out, "%s\t%s\t%s%s%s\n", id, f == FAMILY_UNKNOWN ? "-" : models_family_name(f),
		 name ? name : "", name && *name && *note ? "; " : "", note);
}

void bedrock_models(struct backend *backend, struct buf *out)
{
	struct bedrock *b = bedrock_of(backend);

	pthread_mutex_lock(&b->models_mutex);
	if (b->models)
		buf_add_str(out, b->models);
	pthread_mutex_unlock(&b->models_mutex);
	if (out->size == 0)
		for (size_t i = 0; i < COUNT_OF(known); i++)
			add_model(out, known[i], "", "not asked yet whether this region has it");
}

/* What the lists told so far. */
struct learned {
	struct buf lines;
	struct modelnames names;
};

static void learned_release(struct learned *l)
{
	buf_release(&l->lines);
	modelnames_release(&l->names);
}

static int take_model(void *ctx, const struct control_model *m)
{
	bool active = !m->lifecycle || strcmp(m->lifecycle, "ACTIVE") == 0;
	struct learned *l = ctx;

	if (m->on_demand)
		add_model(&l->lines, m->id, m->name, active ? "" : m->lifecycle);
	return m->name ? modelnames_add(&l->names, m->id, m->name) : 0;
}

static int take_profile(void *ctx, const struct control_profile *p)
{
	/* Ids of profiles of one's own are of no use without the whole ARN. */
	const char *id = p->application && p->arn ? p->arn : p->id;
	const char *family_of = p->application && p->models[0] ? p->models[0] : id;
	enum model_family f = models_family(family_of);
	struct learned *l = ctx;
	const char *name = p->application ? modelnames_find(&l->names, family_of) : NULL;

	buf_addf(&l->lines, "%s\t%s\t%s; inference profile\n", id,
		 f == FAMILY_UNKNOWN ? "-" : models_family_name(f), p->name ? p->name : "");
	return name ? modelnames_add(&l->names, id, name) : 0;
}

void bedrock_refresh_models(struct bedrock *b)
{
	CLEANUP(learned_release)
	struct learned l = {.lines = BUF_INIT(MODELS_TEXT_MAX), .names = MODELNAMES_INIT};
	int64_t now = clock_mono_ns(b->clock);
	struct err why = ERR_INIT;
	struct modelnames names;
	char *lines;

	if (b->models_next && now < b->models_next)
		return;
	b->models_next = now + MODELS_EVERY_NS;
	if (control_models(b->control, take_model, &l, &why) < 0)
		log_debug("bedrock", "%s", why.text);
	if (control_profiles(b->control, take_profile, &l, &why) < 0)
		log_debug("bedrock", "%s", why.text);
	if (l.lines.size == 0 || buf_error(&l.lines) < 0)
		return; /* what was known before stands */
	lines = buf_steal(&l.lines);
	pthread_mutex_lock(&b->models_mutex);
	free(b->models);
	b->models = lines;
	names = b->names;
	b->names = l.names;
	pthread_mutex_unlock(&b->models_mutex);
	l.names = names;
}
