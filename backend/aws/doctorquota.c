#include <errno.h>
#include <inttypes.h>

#include "backend/aws/doctor_private.h"
#include "backend/aws/quotas.h"

/* The account's limits for batch jobs of a model; what is not found is not told. */

#define TIME_NS (6 * NS_PER_S)
#define KB	1000u

static void quotas_freep(struct quotas **q)
{
	quotas_free(*q);
	*q = NULL;
}

static void add_number(struct buf *out, const struct quotas_found *f, enum quota quota,
		       const char *before, const char *after)
{
	if (f->is_known[quota])
		buf_addf(out, "%s%s%" PRIu64 "%s", out->size ? ", " : "", before, f->value[quota],
			 after);
}

/* Bytes as Service Quotas writes them, in GB, or less where that is none. */
static void add_bytes(struct buf *out, const struct quotas_found *f, enum quota quota,
		      const char *after)
{
	static const char *const units[] = {"bytes", "KB", "MB", "GB"};
	uint64_t value = f->value[quota];
	size_t unit = 0;

	for (; unit + 1 < COUNT_OF(units) && value && value % KB == 0; unit++)
		value /= KB;
	if (f->is_known[quota])
		buf_addf(out, "%sat most %" PRIu64 " %s%s", out->size ? ", " : "", value,
			 units[unit], after);
}

static void add_found(struct buf *out, const struct quotas_found *f)
{
	add_number(out, f, QUOTA_RECORDS_MIN, "at least ", " records a job");
	add_number(out, f, QUOTA_RECORDS_JOB, "at most ", " records a job");
	add_number(out, f, QUOTA_RECORDS_FILE, "at most ", " records a file");
	add_bytes(out, f, QUOTA_BYTES_FILE, " a file");
	add_bytes(out, f, QUOTA_BYTES_JOB, " a job");
	add_number(out, f, QUOTA_JOBS, "", " jobs at once");
	add_number(out, f, QUOTA_JOBS_CUSTOM, "", " jobs of custom models at once");
}

void doctor_ask_quotas(struct doctor *d)
{
	CLEANUP(buf_release) struct buf words = BUF_INIT(DOCTOR_TEXT_MAX);
	CLEANUP(quotas_freep) struct quotas *q = NULL;
	struct quotas_found f;
	struct err e = ERR_INIT;
	int r;

	if (!d->model_name[0])
		return;
	r = quotas_new(&q);
	if (r < 0)
		return;
	r = quotas_read(q, d->aws, d->region, TIME_NS, &e);
	quotas_find(q, d->model_name, &f);
	add_found(&words, &f);
	if (f.is_known[QUOTA_JOBS] && f.value[QUOTA_JOBS] == 0)
		checklist_bad(&d->list, "quotas",
			      "%s: the account may have no batch job of %s; ask for an increase in "
			      "Service Quotas",
			      words.data, d->model_name);
	else if (words.size)
		checklist_good(&d->list, "quotas", "%s, for %s", words.data, d->model_name);
	else if (r == -EACCES)
		checklist_unsure(&d->list, "quotas",
				 "cannot tell (servicequotas:ListServiceQuotas is not allowed)");
	else if (r < 0)
		checklist_unsure(&d->list, "quotas", "cannot tell: %s", doctor_words(r, &e));
	else
		checklist_unsure(&d->list, "quotas", "none is listed for batch jobs of %s",
				 d->model_name);
}
