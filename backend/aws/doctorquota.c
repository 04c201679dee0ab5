#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "backend/aws/doctor_private.h"
#include "backend/aws/endpoint.h"
#include "fs/base/jsonscan.h"
#include "fs/base/jsonspan.h"

/*
 * The account's limits for batch jobs of a model, as Service Quotas has them:
 * several hundred rows for Bedrock, in pages, told apart only by long names
 *
 *	"Records per batch inference job for Claude Sonnet 4.6"
 *
 * whose spelling varies.  What is not found is not told: the limits that jobs
 * are planned with are options of the mount.
 *
 * Source: the Service Quotas API reference, ListServiceQuotas.
 */

#define PAGES_MAX    30
#define TIME_NS	     (6 * NS_PER_S)
#define ANSWER_MAX   (1024u * 1024)
#define QUOTA_MAX    1e15
#define UNKNOWN	     (-1.0)
#define TOKEN_MAX    4096
#define NAME_MAX_    512
#define NUMBER_MAX   40
#define QUOTA_TARGET "ServiceQuotasV20190624.ListServiceQuotas"

struct quotas {
	struct doctor *d;
	double records_min, records_max, jobs_max; /* or UNKNOWN */
};

/* Is the model's name at the end of the row's, but for "." and " (in GB)"?  "Claude
 * Sonnet 4" is not in "... for Claude Sonnet 4.5". */
static bool names_model(const char *row, const char *model)
{
	const char *at = row;
	size_t size = strlen(model);

	while (size && (at = strcasestr(at, model))) {
		const char *next = at + size;

		if (*next == '.')
			next++;
		if ((*next == '\0' || strncmp(next, " (", 2) == 0) &&
		    (at == row || !isalnum((unsigned char)at[-1])))
			return true;
		at += size;
	}
	return false;
}

static bool number_of(struct jsonspan v, double *ret)
{
	char text[NUMBER_MAX];

	if (jsonspan_type(v) != JSONSPAN_NUMBER || v.size >= sizeof(text))
		return false;
	snprintf(text, sizeof(text), "%.*s", (int)v.size, v.at);
	return kv_parse_double("Value", text, 0, QUOTA_MAX, ret, NULL) == 0;
}

static void take_row(struct quotas *q, struct jsonspan row)
{
	CLEANUP(buf_release) struct buf name = BUF_INIT(NAME_MAX_);
	double value;

	if (!jsonspan_string(jsonspan_get(row, "QuotaName"), &name) || buf_error(&name) < 0 ||
	    !strcasestr(name.data, "batch inference") ||
	    !names_model(name.data, q->d->model_name) ||
	    !number_of(jsonspan_get(row, "Value"), &value))
		return;
	if (strncasecmp(name.data, "Minimum number of records", 25) == 0)
		q->records_min = value;
	else if (strncasecmp(name.data, "Records per batch", 17) == 0)
		q->records_max = value;
	else if (strncasecmp(name.data, "Sum of in-progress", 18) == 0)
		q->jobs_max = value;
}

/* token: of the page, then of the next; empty after the last. */
static int take_page(struct quotas *q, const char *origin, struct buf *token, struct err *e)
{
	CLEANUP(aws_answer_release) struct aws_answer a = AWS_ANSWER_INIT;
	CLEANUP(buf_release) struct buf body = BUF_INIT(2 * TOKEN_MAX);
	struct aws_request request = {
		.method = "POST",
		.service = "servicequotas",
		.region = q->d->region,
		.origin = origin,
		.path = "/",
		.headers = {{"Content-Type", "application/x-amz-json-1.1"},
			    {"X-Amz-Target", QUOTA_TARGET}},
		.auth = AWS_AUTH_SIGV4,
		.answer_max = ANSWER_MAX,
		.attempts = 1,
	};
	struct jsonspan v;
	struct jsonspan_walk w;
	int r;

	buf_add_str(&body, "{\"ServiceCode\":\"bedrock\",\"MaxResults\":100");
	if (token->size) {
		buf_add_str(&body, ",\"NextToken\":");
		buf_add_json(&body, token->data, token->size);
	}
	buf_add_char(&body, '}');
	r = buf_error(&body);
	if (r < 0)
		return r;
	request.body = body.data;
	request.body_size = body.size;
	r = aws_run(q->d->aws, &request, &a, e);
	if (r < 0)
		return r;
	if (!jsonscan_text_is_valid(a.body, a.body_size))
		return err_set(e, -EBADMSG, "the answer makes no sense");
	v = jsonspan_of(a.body, a.body_size);
	w = jsonspan_walk(jsonspan_get(v, "Quotas"));
	while (jsonspan_next(&w))
		take_row(q, w.value);
	buf_clear(token);
	jsonspan_string(jsonspan_get(v, "NextToken"), token);
	return buf_error(token);
}

static bool is_known(const struct quotas *q)
{
	return q->records_min >= 0 && q->records_max >= 0 && q->jobs_max >= 0;
}

static int take_all(struct quotas *q, struct err *e)
{
	CLEANUP(buf_release) struct buf token = BUF_INIT(TOKEN_MAX);
	CLEANUP(str_freep) char *origin = NULL;
	int64_t end_ns = clock_mono_ns(q->d->clock) + TIME_NS;
	int r = endpoint_service(aws_config(q->d->aws), "servicequotas", q->d->region, &origin, e);

	for (unsigned page = 0; r == 0 && page < PAGES_MAX; page++) {
		r = take_page(q, origin, &token, e);
		if (r < 0 || !token.size || is_known(q) || clock_mono_ns(q->d->clock) > end_ns)
			break;
	}
	return r;
}

static void add_number(struct buf *out, const char *before, double value, const char *after)
{
	if (value >= 0)
		buf_addf(out, "%s%s%.0f%s", out->size ? ", " : "", before, value, after);
}

void doctor_ask_quotas(struct doctor *d)
{
	CLEANUP(buf_release) struct buf words = BUF_INIT(DOCTOR_TEXT_MAX);
	struct quotas q = {d, UNKNOWN, UNKNOWN, UNKNOWN};
	struct err e = ERR_INIT;
	int r;

	if (!d->model_name[0])
		return;
	r = take_all(&q, &e);
	add_number(&words, "at least ", q.records_min, " records a job");
	add_number(&words, "at most ", q.records_max, " records a job");
	add_number(&words, "", q.jobs_max, " jobs at once");
	if (q.jobs_max >= 0 && q.jobs_max < 1)
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
