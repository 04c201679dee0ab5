#include "backend/aws/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/random.h>

#include "backend/aws/cures.h"
#include "backend/aws/doctor_private.h"
#include "backend/aws/endpoint.h"
#include "backend/aws/naming.h"

/*
 * The questions in the order in which a new user meets them.  Each asks for
 * real where that costs nothing and changes nothing, and has IAM's simulation
 * where it would: nothing here creates a job.
 *
 * A cross is for what is sure: a job would fail.  What could not be asked is a
 * question mark, as there are good reasons not to be allowed to ask IAM.
 *
 * Each call has a time of its own, and a thread ends them all after
 * DOCTOR_END_MS, so that a network which swallows packets costs half a minute.
 */

#define PROBE_SIZE 64

struct watchdog {
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t wakes;
	bool done; /* of the mutex */
	struct aws *aws;
};

static void *watch(void *ctx)
{
	struct watchdog *w = ctx;
	struct timespec until;
	int r = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += DOCTOR_END_MS / 1000;
	pthread_mutex_lock(&w->mutex);
	while (!w->done && r != ETIMEDOUT)
		r = pthread_cond_timedwait(&w->wakes, &w->mutex, &until);
	pthread_mutex_unlock(&w->mutex);
	if (r == ETIMEDOUT)
		aws_cancel(w->aws);
	return NULL;
}

static int watchdog_start(struct watchdog *w, struct aws *aws, struct err *e)
{
	pthread_condattr_t attributes;
	int r;

	*w = (struct watchdog){.aws = aws};
	pthread_mutex_init(&w->mutex, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&w->wakes, &attributes);
	pthread_condattr_destroy(&attributes);
	r = -pthread_create(&w->thread, NULL, watch, w);
	return r < 0 ? err_errno(e, r, "cannot start a thread") : 0;
}

static void watchdog_stop(struct watchdog *w)
{
	pthread_mutex_lock(&w->mutex);
	w->done = true;
	pthread_cond_signal(&w->wakes);
	pthread_mutex_unlock(&w->mutex);
	pthread_join(w->thread, NULL);
	pthread_cond_destroy(&w->wakes);
	pthread_mutex_destroy(&w->mutex);
}

const char *doctor_words(int r, struct err *e)
{
	if (r == -ECANCELED)
		return "no answer within half a minute; check the network and HTTPS_PROXY";
	cures_advise(e, NULL);
	return e->text;
}

bool doctor_is_root(const struct doctor *d)
{
	size_t size = strlen(d->who.arn);

	return size > 5 && strcmp(d->who.arn + size - 5, ":root") == 0;
}

static const char *option(const struct doctor *d, const char *key)
{
	const char *value = d->place->options ? kv_get(d->place->options, key) : NULL;

	return value && *value ? value : NULL;
}

static void release_credsp(struct creds *c)
{
	creds_release(c);
}

/* False: nothing else can be asked. */
static bool ask_credentials(struct doctor *d)
{
	CLEANUP(release_credsp) struct creds c = CREDS_INIT;
	struct err e = ERR_INIT;
	int r = creds_get(aws_creds(d->aws), &c, &e);
	const char *key = creds_bearer(aws_creds(d->aws)) ? "; Bedrock is asked with the API key "
							    "of AWS_BEARER_TOKEN_BEDROCK"
							  : "";
	int64_t left_s;

	if (r < 0) {
		checklist_bad(&d->list, "credentials", "%s%s", doctor_words(r, &e),
			      *key ? " (an API key alone does not do: S3 does not take it)" : "");
		return false;
	}
	if (!c.expires_ns) {
		checklist_good(&d->list, "credentials", "%s%s", c.source, key);
		return true;
	}
	left_s = (c.expires_ns - clock_wall_ns(d->clock)) / NS_PER_S;
	checklist_good(&d->list, "credentials", "%s, valid for %lld min%s", c.source,
		       (long long)(left_s > 0 ? left_s / 60 : 0), key);
	return true;
}

/* False: AWS does not know us.  (Everybody it knows may ask this.) */
static bool ask_identity(struct doctor *d)
{
	struct err e = ERR_INIT;
	int r = iam_whoami(&d->iam, &d->who, &e);

	if (r < 0) {
		checklist_bad(&d->list, "identity", "%s", doctor_words(r, &e));
		return r != -EACCES;
	}
	d->account = d->who.account;
	checklist_good(&d->list, "identity", "%s", d->who.arn);
	if (doctor_is_root(d))
		checklist_unsure(&d->list, "identity",
				 "this is the account's root; a role of its own for batchfs "
				 "(batchfs --print-iam) can do less harm");
	return true;
}

/* False: no region. */
static bool ask_region(struct doctor *d, const struct awsconfig *c)
{
	const char *from = "the profile";

	d->region = awsconfig_region(c);
	if (!d->region) {
		checklist_bad(&d->list, "region",
			      "none is set; add -o region=us-east-1 (the bucket's "
			      "region), or set AWS_REGION or the profile's region");
		return false;
	}
	if (!endpoint_region_is_valid(d->region)) {
		checklist_bad(&d->list, "region",
			      "\"%s\" is none; a region is written as us-east-1", d->region);
		d->region = NULL;
		return false;
	}
	if (option(d, "region"))
		from = "-o region";
	else if (awsconfig_env(c, "AWS_REGION"))
		from = "AWS_REGION";
	else if (awsconfig_env(c, "AWS_DEFAULT_REGION"))
		from = "AWS_DEFAULT_REGION";
	checklist_good(&d->list, "region", "%s (%s)", d->region, from);
	return true;
}

/* False: it cannot be used. */
static bool ask_bucket(struct doctor *d)
{
	const char *bucket = d->place->bucket, *region = NULL;
	struct err e = ERR_INIT;
	int r = s3_region(d->s3, &region, &e);

	if (r == -ENOENT) {
		checklist_bad(&d->list, "bucket",
			      "there is no bucket %s; make it: aws s3 mb s3://%s --region %s",
			      bucket, bucket, d->region);
		return false;
	}
	if (r < 0) {
		checklist_bad(&d->list, "bucket", "%s", doctor_words(r, &e));
		return false;
	}
	if (strcmp(region, d->region) != 0) {
		checklist_bad(&d->list, "bucket",
			      "%s is in %s, and jobs would run in %s, where they cannot read it; "
			      "add -o region=%s, or take a bucket in %s",
			      bucket, region, d->region, region, d->region);
		return true;
	}
	checklist_good(&d->list, "bucket", "%s in %s", bucket, region);
	return true;
}

static int none(void *ctx, const struct s3_object *o)
{
	(void)ctx;
	(void)o;
	return 1;
}

struct probe {
	char key[S3_KEY_MAX + 1];
	char bytes[PROBE_SIZE];
};

static int make_probe(const struct doctor *d, struct probe *ret)
{
	uint64_t number;
	const char *prefix = d->place->prefix ? d->place->prefix : "";

	if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
		return -EIO;
	snprintf(ret->key, sizeof(ret->key), "%s%sbatchfs-check-%016llx", prefix,
		 *prefix ? "/" : "", (unsigned long long)number);
	snprintf(ret->bytes, sizeof(ret->bytes), "batchfs --check %016llx\n",
		 (unsigned long long)number);
	return 0;
}

static int read_back(struct doctor *d, const struct probe *p, struct err *e)
{
	CLEANUP(buf_release) struct buf got = BUF_INIT(PROBE_SIZE);
	int r = s3_get_bytes(d->s3, p->key, &got, e);

	if (r < 0)
		return r;
	if (got.size != strlen(p->bytes) || memcmp(got.data, p->bytes, got.size) != 0)
		return err_set(e, -EIO, "%s holds something else than what was put there", p->key);
	return 0;
}

static int try_list(struct doctor *d, const struct probe *p, struct err *e)
{
	return s3_list(d->s3, p->key, none, NULL, e);
}

static int try_put(struct doctor *d, const struct probe *p, struct err *e)
{
	return s3_put_bytes(d->s3, p->key, p->bytes, strlen(p->bytes), "text/plain", e);
}

static int try_delete(struct doctor *d, const struct probe *p, struct err *e)
{
	return s3_delete(d->s3, p->key, e);
}

/* Each in its turn until one fails; what was put is deleted in any case. */
static void ask_objects(struct doctor *d)
{
	static const struct {
		const char *doing, *right;
		int (*try)(struct doctor *d, const struct probe *p, struct err *e);
	} steps[] = {
		{"list", "s3:ListBucket", try_list},
		{"put", "s3:PutObject", try_put},
		{"get", "s3:GetObject", read_back},
		{"delete", "s3:DeleteObject", try_delete},
	};
	const char *bucket = d->place->bucket, *prefix = d->place->prefix ? d->place->prefix : "";
	struct err e = ERR_INIT;
	struct probe p;
	size_t i = 0;
	int r = 0;

	if (make_probe(d, &p) < 0)
		return;
	while (i < COUNT_OF(steps) && (r = steps[i].try(d, &p, &e)) >= 0)
		i++;
	if (i == COUNT_OF(steps)) {
		checklist_good(&d->list, "objects", "list, put, get and delete under s3://%s/%s",
			       bucket, prefix);
		return;
	}
	if (steps[i].try == read_back)
		ignore_error(try_delete(d, &p, NULL));
	if (r == -EACCES)
		checklist_bad(
			&d->list, "objects",
			"may not %s under s3://%s/%s: %s; allow %s there (batchfs --print-iam)",
			steps[i].doing, bucket, prefix, e.text, steps[i].right);
	else
		checklist_bad(&d->list, "objects", "cannot %s under s3://%s/%s: %s", steps[i].doing,
			      bucket, prefix, doctor_words(r, &e));
}

static int open_services(struct doctor *d, struct err *e)
{
	const char *path_style = option(d, "path_style"), *checksum = option(d, "checksum");
	struct s3_options o = {
		.bucket = d->place->bucket,
		.region = d->region,
		.bucket_owner = option(d, "bucket_owner"),
		.kms_key = option(d, "kms_key"),
		.path_style = path_style && strcmp(path_style, "yes") == 0,
		.checksums = !checksum || strcmp(checksum, "when_required") != 0,
	};
	int r = s3_open(d->aws, &o, &d->s3, e);

	return r < 0 ? r : control_open(d->aws, d->region, &d->control, e);
}

/* All that needs credentials and a region. */
static int ask_services(struct doctor *d, struct err *e)
{
	int r = open_services(d, e);

	if (r < 0)
		return r;
	if (ask_bucket(d))
		ask_objects(d);
	doctor_ask_role(d);
	doctor_ask_pass(d);
	doctor_ask_model(d);
	doctor_ask_role_rights(d);
	doctor_ask_jobs(d);
	doctor_ask_ondemand(d);
	doctor_ask_quotas(d);
	return 0;
}

static int ask_all(struct doctor *d, struct err *e)
{
	const struct awsconfig *c = aws_config(d->aws);
	const char *region = awsconfig_region(c);

	if (!ask_credentials(d)) {
		checklist_unsure(&d->list, "the rest", "cannot be asked without credentials");
		return 0;
	}
	d->iam = (struct iam){
		.aws = d->aws,
		.region = region && endpoint_region_is_valid(region) ? region : "us-east-1",
	};
	if (!ask_identity(d)) {
		checklist_unsure(&d->list, "the rest", "cannot be asked with these credentials");
		return 0;
	}
	if (!ask_region(d, c)) {
		checklist_unsure(&d->list, "the rest", "cannot be asked without a region");
		return 0;
	}
	return ask_services(d, e);
}

static void doctor_release(struct doctor *d)
{
	control_close(d->control);
	s3_close(d->s3);
	aws_close(d->aws);
	free(d->principal);
	free(d->role_found);
	for (size_t i = 0; i < d->model_arn_count; i++)
		free(d->model_arns[i]);
}

int doctor_run(const struct bedrock_place *p, const char *model, FILE *out, struct err *e)
{
	CLEANUP(doctor_release)
	struct doctor d = {
		.place = p,
		.model = model,
		.clock = p->clock ? p->clock : clock_system(),
		.list = {out, 0},
		.account = "",
	};
	struct awsconfig_options o = {.profile = option(&d, "profile"),
				      .region = option(&d, "region")};
	struct awsconfig *config = NULL;
	struct watchdog dog;
	struct err words = ERR_INIT;
	int r = awsconfig_load(&o, &config, &words);

	if (r < 0) {
		checklist_bad(&d.list, "settings", "%s", words.text);
		return (int)d.list.failed;
	}
	d.role = option(&d, "role");
	r = aws_open(config, d.clock, &d.aws, e);
	if (r < 0)
		return r;
	aws_set_patience(d.aws, DOCTOR_ATTEMPTS, DOCTOR_TIMEOUT_MS);
	r = watchdog_start(&dog, d.aws, e);
	if (r < 0)
		return r;
	r = ask_all(&d, e);
	watchdog_stop(&dog);
	return r < 0 ? r : (int)d.list.failed;
}
