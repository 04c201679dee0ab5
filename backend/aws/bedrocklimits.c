/*
 * How much a job may be: an option of the mount goes before what Service Quotas
 * says, and that before the documented default.
 *
 * Quotas and the names of models, which quotas are found by, are asked for
 * together: soon after the mount, and then every hour.  Who may not read quotas is
 * asked once a day.
 */

#include <errno.h>
#include <string.h>

#include "backend/aws/bedrock_private.h"
#include "fs/base/jsonscan.h"
#include "fs/base/log.h"

/* The defaults of new accounts (Service Quotas, autumn 2026); GB are taken as
 * 10^9, the smaller of the two. */
#define RECORDS_MIN	    100
#define RECORDS_MAX	    100000
#define FILE_BYTES_MAX	    1000000000ull
#define JOB_BYTES_MAX	    5000000000ull
#define JOB_BYTES_MAX_LARGE 100000000000ull
#define JOBS_MAX	    100
#define JOBS_MAX_CUSTOM	    3

#define EVERY_NS	(3600 * NS_PER_S)
#define AFTER_DENIAL_NS (24 * 3600 * NS_PER_S)
#define AFTER_ERROR_NS	(300 * NS_PER_S)
#define READ_NS		(15 * NS_PER_S)
#define WAIT_S		20

static bool is_custom(const char *model)
{
	return strstr(model, ":custom-model/");
}

/* --- what is known --- */

/* False: no name is known for the model. */
static bool find_quotas(struct bedrock *b, const char *model, struct quotas_found *ret, char *name,
			size_t name_size)
{
	const char *known;

	*ret = (struct quotas_found){.is_known = {false}};
	pthread_mutex_lock(&b->models_mutex);
	known = modelnames_find(&b->names, model);
	if (known)
		snprintf(name, name_size, "%s", known);
	if (known && b->quotas)
		quotas_find(b->quotas, known, ret);
	pthread_mutex_unlock(&b->models_mutex);
	return known;
}

/* Of two that are both known the smaller; a quota of nothing is told by the
 * call that creates a job. */
static uint64_t at_most(const struct quotas_found *f, enum quota quota, uint64_t otherwise)
{
	uint64_t value = f->is_known[quota] ? f->value[quota] : otherwise;

	return value > 0 ? value : 1;
}

/* Of input and media together. */
static uint64_t job_bytes_max(const struct bedrock *b, const char *model,
			      const struct quotas_found *f)
{
	static const char *const large[] = {"amazon.nova-lite-", "amazon.nova-pro-",
					    "amazon.nova-2-multimodal-embeddings-"};
	uint64_t max = JOB_BYTES_MAX;

	for (size_t i = 0; i < COUNT_OF(large); i++)
		if (strstr(model, large[i]))
			max = JOB_BYTES_MAX_LARGE;
	return bedrock_number(b, NULL, "max_bytes_per_job", at_most(f, QUOTA_BYTES_JOB, max));
}

uint64_t bedrock_job_bytes_max(struct bedrock *b, const char *model)
{
	char name[QUOTAS_NAME_MAX];
	struct quotas_found f;

	find_quotas(b, model, &f, name, sizeof(name));
	return job_bytes_max(b, model, &f);
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* A part is one file and one job. */
void bedrock_limits(struct backend *backend, const char *model, struct backend_limits *ret)
{
	struct bedrock *b = bedrock_of(backend);
	const char *of = model ? model : "";
	bool custom = is_custom(of);
	char name[QUOTAS_NAME_MAX];
	struct quotas_found f;
	uint64_t jobs;

	find_quotas(b, of, &f, name, sizeof(name));
	jobs = bedrock_number(b, NULL, "max_jobs",
			      custom ? at_most(&f, QUOTA_JOBS_CUSTOM, JOBS_MAX_CUSTOM)
				     : at_most(&f, QUOTA_JOBS, JOBS_MAX));
	*ret = (struct backend_limits){
		.records_min = bedrock_number(b, NULL, "min_records",
					      at_most(&f, QUOTA_RECORDS_MIN, RECORDS_MIN)),
		.records_max_per_part =
			smaller(bedrock_number(b, NULL, "max_records_per_file",
					       at_most(&f, QUOTA_RECORDS_FILE, RECORDS_MAX)),
				bedrock_number(b, NULL, "max_records_per_job",
					       at_most(&f, QUOTA_RECORDS_JOB, RECORDS_MAX))),
		.bytes_max_per_part =
			smaller(bedrock_number(b, NULL, "max_bytes_per_file",
					       at_most(&f, QUOTA_BYTES_FILE, FILE_BYTES_MAX)),
				job_bytes_max(b, of, &f)),
		.bytes_max_per_record = JSONSCAN_LINE_MAX,
		.parts_at_once = jobs > UINT32_MAX ? UINT32_MAX : (unsigned)jobs,
	};
}

int bedrock_tell_full(struct bedrock *b, const char *model, const struct errmap *said,
		      struct err *e)
{
	bool custom = is_custom(model);
	enum quota quota = custom ? QUOTA_JOBS_CUSTOM : QUOTA_JOBS;
	char name[QUOTAS_NAME_MAX], number[48] = "";
	struct quotas_found f;

	if (!find_quotas(b, model, &f, name, sizeof(name)))
		snprintf(name, sizeof(name), "%s", model);
	if (f.is_known[quota] && f.value[quota] == 0)
		return err_set(e, -EDQUOT,
			       "%s: %.400s; the account may have no batch job of %s: ask for an "
			       "increase in Service Quotas",
			       said->code, said->message, name);
	if (f.is_known[quota])
		snprintf(number, sizeof(number), " (%llu)", (unsigned long long)f.value[quota]);
	return err_set(
		e, -EDQUOT,
		"%s: %.400s; as many jobs of %s are under way as the account may have: it is "
		"sent when one of them has ended, or ask in Service Quotas for more \"in-progress "
		"and submitted batch inference jobs using a %s model\"%s",
		said->code, said->message, name, custom ? "custom" : "base", number);
}

/* --- options --- */

static int check_pair(const struct kv *options, const char *max_key, struct err *e)
{
	const char *min = kv_get(options, "min_records"), *max = kv_get(options, max_key);
	uint64_t least, most;

	if (!min || !max || kv_parse_u64("min_records", min, 0, UINT64_MAX, &least, NULL) < 0 ||
	    kv_parse_u64(max_key, max, 0, UINT64_MAX, &most, NULL) < 0 || least <= most)
		return 0;
	return err_set(e, -EINVAL, "min_records=%.40s is more than %s=%.40s: no job could be sent",
		       min, max_key, max);
}

int bedrock_check_limits(const struct kv *options, struct err *e)
{
	int r = options ? check_pair(options, "max_records_per_job", e) : 0;

	return r == 0 && options ? check_pair(options, "max_records_per_file", e) : r;
}

/* --- asking --- */

static int64_t pause_after(struct bedrock *b, int r, const struct err *why)
{
	if (r == 0)
		return EVERY_NS;
	if (r != -EACCES) {
		log_debug("bedrock", "quotas: %s", why->text);
		return AFTER_ERROR_NS;
	}
	if (!b->quotas_denied)
		log_info("bedrock",
			 "servicequotas:ListServiceQuotas is not allowed: the documented limits "
			 "are used, but for those given as options");
	b->quotas_denied = true;
	return AFTER_DENIAL_NS;
}

static int refresh_quotas(struct bedrock *b)
{
	int64_t now = clock_mono_ns(b->clock);
	struct quotas *q = NULL, *old;
	struct err why = ERR_INIT;
	int r;

	if (b->quotas_next && now < b->quotas_next)
		return 0;
	r = quotas_new(&q);
	if (r == 0)
		r = quotas_read(q, b->aws, b->region, READ_NS, &why);
	b->quotas_next = now + pause_after(b, r, &why);
	if (r < 0) {
		quotas_free(q);
		return r; /* what was known before stands */
	}
	pthread_mutex_lock(&b->models_mutex);
	old = b->quotas;
	b->quotas = q;
	pthread_mutex_unlock(&b->models_mutex);
	quotas_free(old);
	return 0;
}

/* One asks, the others wait for him if they want to. */
static bool begin_learning(struct bedrock *b, bool wait)
{
	struct timespec until;
	bool mine;
	int r = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += WAIT_S;
	pthread_mutex_lock(&b->learn_mutex);
	while (wait && b->learning && r == 0)
		r = pthread_cond_timedwait(&b->learn_free, &b->learn_mutex, &until);
	mine = !b->learning && !(wait && b->learned);
	b->learning = b->learning || mine;
	pthread_mutex_unlock(&b->learn_mutex);
	return mine;
}

static void end_learning(struct bedrock *b)
{
	pthread_mutex_lock(&b->learn_mutex);
	b->learning = false;
	b->learned = true;
	pthread_cond_broadcast(&b->learn_free);
	pthread_mutex_unlock(&b->learn_mutex);
}

void bedrock_learn(struct bedrock *b)
{
	if (!begin_learning(b, false))
		return;
	ignore_error(refresh_quotas(b));
	bedrock_refresh_models(b);
	end_learning(b);
}

void bedrock_learn_limits(struct backend *backend)
{
	struct bedrock *b = bedrock_of(backend);

	if (!begin_learning(b, true))
		return;
	/* Without a network nobody is to wait for its time-out twice. */
	if (refresh_quotas(b) != -EAGAIN)
		bedrock_refresh_models(b);
	end_learning(b);
}
