#include "backend/aws/bedrock.h"

#include <errno.h>
#include <string.h>

#include "backend/aws/bedrock_private.h"
#include "backend/aws/cures.h"

/*
 * The source put together: one struct aws for all calls, one control plane,
 * the mount's bucket and those of jobs made elsewhere.
 *
 *	bedrockoptions.c	-o and JOB/config
 *	bedrocknames.c		where a part lies; buckets; words of refusals
 *	bedrockcheck.c		a look at the records
 *	bedrocklimits.c		how much a job may be (quotas.c, modelnames.c)
 *	bedrockput.c		input and media to S3 (bedrockmedia.c, mediarefs.c)
 *	bedrockcreate.c		exactly once
 *	bedrockpoll.c		one listing for all (jobrows.c)
 *	bedrockfetch.c		results; bedrockinput.c: records of others' jobs
 *	bedrockpurge.c		deletes
 *	ondemand.c		records one by one (ondemandfile.c); padding
 *	bedrockinfo.c		links, models
 *
 * Nothing is kept on this machine: what has to survive is the engine's.
 */

#define LISTING_PAUSE_NS NS_PER_S
#define CREATE_EVERY_S	 1

static void bedrock_free(struct bedrock *b)
{
	if (!b)
		return;
	for (size_t i = 0; i < BEDROCK_BUCKETS_MAX; i++) {
		s3_close(b->buckets[i].s3);
		free(b->buckets[i].name);
		free(b->buckets[i].kms_key);
	}
	control_close(b->control);
	aws_close(b->aws);
	prices_free(b->prices);
	jobrows_free(b->rows);
	kv_release(&b->options);
	free(b->models);
	modelnames_release(&b->names);
	quotas_free(b->quotas);
	free(b->bucket);
	free(b->prefix);
	free(b->region);
	pthread_cond_destroy(&b->learn_free);
	pthread_mutex_destroy(&b->learn_mutex);
	pthread_cond_destroy(&b->sweep_free);
	pthread_mutex_destroy(&b->models_mutex);
	pthread_mutex_destroy(&b->rows_mutex);
	pthread_mutex_destroy(&b->sweep_mutex);
	pthread_mutex_destroy(&b->sent_mutex);
	pthread_mutex_destroy(&b->bucket_mutex);
	free(b);
}

static void bedrock_freep(struct bedrock **b)
{
	bedrock_free(*b);
	*b = NULL;
}

static void bedrock_cancel(struct backend *b)
{
	aws_cancel(bedrock_of(b)->aws);
}

static void bedrock_close(struct backend *b)
{
	bedrock_free(bedrock_of(b));
}

static int64_t bedrock_create_every_ns(struct backend *b)
{
	return (int64_t)bedrock_number(bedrock_of(b), NULL, "create_every", CREATE_EVERY_S) *
	       NS_PER_S;
}

static bool bedrock_lists_jobs(struct backend *b)
{
	const char *jobs = kv_get(&bedrock_of(b)->options, "jobs");

	return !jobs || strcmp(jobs, "mine") != 0;
}

static int bedrock_check_model(struct backend *b, const char *model, struct err *e)
{
	(void)b;
	return naming_check_model(model, e);
}

/* One that was just made may be unknown for a while; that it is gone for good
 * is for the poll to find out. */
static int bedrock_stop(struct backend *b, const char *remote, struct err *e)
{
	int r = control_stop(bedrock_of(b)->control, remote, e);

	return r == -ENOENT ? -EAGAIN : r;
}

static int bedrock_forget(struct backend *b, const char *remote, struct err *e)
{
	(void)b;
	(void)remote;
	(void)e;
	return 0;
}

static bool bedrock_price(struct backend *b, const char *model, struct price *ret)
{
	return prices_find(bedrock_of(b)->prices, model, bedrock_of(b)->region, ret);
}

static void bedrock_metrics(struct backend *b, struct buf *out)
{
	const struct aws_counts c = aws_counts(bedrock_of(b)->aws);
	const struct {
		const char *name, *help;
		uint64_t value;
	} rows[] = {
		{"requests", "Requests sent to AWS, retries among them", c.requests},
		{"retries", "Requests sent again", c.retries},
		{"throttled", "Answers that said to go slower", c.throttled},
		{"sent_bytes", "Bytes of bodies sent", c.sent_bytes},
		{"received_bytes", "Bytes of bodies received", c.received_bytes},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++)
		buf_addf(out,
			 "# HELP batchfs_aws_%s_total %s.\n# TYPE batchfs_aws_%s_total counter\n"
			 "batchfs_aws_%s_total %llu\n",
			 rows[i].name, rows[i].help, rows[i].name, rows[i].name,
			 (unsigned long long)rows[i].value);
}

/* --- what goes wrong, with what to do about it --- */

static int advised(struct backend *backend, int r, struct err *e)
{
	const struct bedrock *b = bedrock_of(backend);
	const struct cures_context c = {.region = b->region, .bucket = b->bucket};

	if (r < 0 && e)
		cures_advise(e, &c);
	return r;
}

/* Of what the model was too busy for, the words of a call's error would promise
 * that it is tried again; nobody tries records again by himself. */
static void bedrock_advise(struct backend *backend, const char *model, const char *code,
			   const char *words, struct buf *out)
{
	static const char *const busy[] = {"408", "424", "429"};
	const struct bedrock *b = bedrock_of(backend);
	const struct cures_context c = {.model = model,
					.region = b->region,
					.role = kv_get(&b->options, "role"),
					.bucket = b->bucket};

	for (size_t i = 0; i < COUNT_OF(busy); i++)
		if (strcmp(code, busy[i]) == 0)
			return;
	if (*code == '4' || strcmp(code, "ValidationException") == 0 ||
	    strcmp(code, "AccessDeniedException") == 0 ||
	    strcmp(code, "ResourceNotFoundException") == 0)
		cures_add_advice(out, "", words, &c);
}

static int op_put_input(struct backend *b, const struct backend_part *p, struct err *e)
{
	return advised(b, bedrock_put_input(b, p, e), e);
}

static int op_create(struct backend *b, const struct backend_part *p, char **ret_remote,
		     struct err *e)
{
	return advised(b, bedrock_create(b, p, ret_remote, e), e);
}

static int op_poll(struct backend *b, const char *const *remotes, struct part_status *results,
		   size_t count, backend_found *found, void *ctx, struct err *e)
{
	return advised(b, bedrock_poll(b, remotes, results, count, found, ctx, e), e);
}

static int op_stop(struct backend *b, const char *remote, struct err *e)
{
	return advised(b, bedrock_stop(b, remote, e), e);
}

static int op_fetch(struct backend *b, const char *remote, const char *dir,
		    struct backend_files *ret, struct err *e)
{
	return advised(b, bedrock_fetch(b, remote, dir, ret, e), e);
}

static int op_run_now(struct backend *b, const struct backend_part *p, const char *path,
		      backend_told *told, void *ctx, struct err *e)
{
	return advised(b, bedrock_run_now(b, p, path, told, ctx, e), e);
}

static int op_fetch_input(struct backend *b, const char *remote, const char *path, struct err *e)
{
	return advised(b, bedrock_fetch_input(b, remote, path, e), e);
}

static int op_purge(struct backend *b, const struct backend_part *p, const char *remote,
		    struct err *e)
{
	return advised(b, bedrock_purge(b, p, remote, e), e);
}

static const struct backend_ops bedrock_ops = {
	.kind = "bedrock",
	.poll_first_ns = 5 * NS_PER_S,
	.poll_max_ns = 60 * NS_PER_S,
	.poll_idle_ns = 300 * NS_PER_S,
	.close = bedrock_close,
	.cancel = bedrock_cancel,
	.lists_jobs = bedrock_lists_jobs,
	.create_every_ns = bedrock_create_every_ns,
	.limits = bedrock_limits,
	.learn_limits = bedrock_learn_limits,
	.check_model = bedrock_check_model,
	.check_config = bedrock_check_config,
	.check_input = bedrock_check_input,
	.put_input = op_put_input,
	.create = op_create,
	.poll = op_poll,
	.stop = op_stop,
	.fetch = op_fetch,
	.run_now = op_run_now,
	.pad_record = bedrock_pad_record,
	.fetch_input = op_fetch_input,
	.forget = bedrock_forget,
	.purge = op_purge,
	.describe = bedrock_describe,
	.advise = bedrock_advise,
	.price = bedrock_price,
	.metrics = bedrock_metrics,
	.models = bedrock_models,
};

/* --- opening --- */

static int check_place(const struct bedrock_place *p, struct err *e)
{
	int r = naming_check_bucket(p->bucket, e);

	if (r == 0)
		r = naming_check_prefix(p->prefix, e);
	for (size_t i = 0; p->options && i < p->options->count && r == 0; i++)
		r = bedrock_check_option(p->options->pairs[i].key, p->options->pairs[i].value, e);
	if (r == 0)
		r = bedrock_check_limits(p->options, e);
	if (r == 0 && p->options)
		r = bedrock_check_vpc(kv_get(p->options, "subnets"),
				      kv_get(p->options, "security_groups"), e);
	return r == -ENOENT ? -EINVAL : r;
}

/* The parts that other files make; b is released by the caller on failure. */
static int open_parts(struct bedrock *b, struct err *e)
{
	struct awsconfig_options o = {.profile = kv_get(&b->options, "profile"),
				      .region = kv_get(&b->options, "region")};
	struct awsconfig *config = NULL;
	const char *region;
	int r = awsconfig_load(&o, &config, e);

	if (r < 0)
		return r;
	region = awsconfig_region(config);
	b->region = region ? strdup(region) : NULL;
	if (!b->region) {
		awsconfig_free(config);
		return region ? err_set(e, -ENOMEM, "no memory for the source")
			      : err_set(e, -EINVAL,
					"no region: mount with -o region=us-east-1, or set AWS_REGION "
					"or region in ~/.aws/config");
	}
	r = aws_open(config, b->clock, &b->aws, e);
	if (r == 0)
		r = control_open(b->aws, b->region, &b->control, e);
	if (r == 0) {
		control_set_pace(b->control, bedrock_create_every_ns(&b->backend));
		r = prices_load(kv_get(&b->options, "prices"), &b->prices, e);
	}
	return r;
}

/* Waits for it have an end, by the clock that nobody sets. */
static void init_learning(struct bedrock *b)
{
	pthread_condattr_t attributes;

	pthread_mutex_init(&b->learn_mutex, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&b->learn_free, &attributes);
	pthread_condattr_destroy(&attributes);
}

int bedrock_open(const struct bedrock_place *p, struct backend **ret, struct err *e)
{
	CLEANUP(bedrock_freep) struct bedrock *b = NULL;
	int r = check_place(p, e);

	if (r < 0)
		return r;
	b = calloc(1, sizeof(*b));
	if (!b)
		return err_set(e, -ENOMEM, "no memory for the source");
	b->backend.ops = &bedrock_ops;
	b->clock = p->clock ? p->clock : clock_system();
	b->opened_mono_ns = clock_mono_ns(b->clock);
	b->listing_pause_ns = LISTING_PAUSE_NS;
	pthread_mutex_init(&b->bucket_mutex, NULL);
	pthread_mutex_init(&b->sent_mutex, NULL);
	pthread_mutex_init(&b->sweep_mutex, NULL);
	pthread_mutex_init(&b->rows_mutex, NULL);
	pthread_mutex_init(&b->models_mutex, NULL);
	pthread_cond_init(&b->sweep_free, NULL);
	init_learning(b);
	b->bucket = strdup(p->bucket);
	b->prefix = strdup(p->prefix ? p->prefix : "");
	if (!b->bucket || !b->prefix || (p->options && kv_copy(&b->options, p->options) < 0) ||
	    jobrows_new(&b->rows) < 0)
		return err_set(e, -ENOMEM, "no memory for the source");
	r = open_parts(b, e);
	if (r < 0)
		return r;
	*ret = &b->backend;
	b = NULL;
	return 0;
}
