#include <errno.h>
#include <string.h>

#include "backend/aws/doctor_private.h"
#include "backend/aws/endpoint.h"
#include "backend/aws/naming.h"
#include "backend/aws/trust.h"

/*
 * The service role, and who we are to IAM.
 *
 * IAM may not be asked with the rights that a user of batch inference needs;
 * what it does not answer is a question mark.  Its simulation looks at the
 * policies of the principal, its boundary and its organisation, and not at
 * those of buckets and keys: what it denies there may be allowed all the same.
 */

#define NAME_SIZE 128

/* The account in an ARN, which naming_check_role() has found to be one. */
static void account_of(const char *arn, char ret[16])
{
	struct naming_arn parts;

	ret[0] = '\0';
	if (naming_arn_parse(arn, &parts) == 0 && parts.account_size < 16)
		snprintf(ret, 16, "%.*s", (int)parts.account_size, parts.account);
}

static void tell_trust(struct doctor *d, const char *trust)
{
	CLEANUP(buf_release) struct buf words = BUF_INIT(DOCTOR_TEXT_MAX);
	CLEANUP(buf_release) struct buf cure = BUF_INIT(DOCTOR_TEXT_MAX);
	char account[16];
	struct trust_place place = {.partition = endpoint_partition(d->region),
				    .region = d->region,
				    .account = account};

	account_of(d->role_found, account);
	trust_add_policy(&cure, &place);
	switch (trust_judge(trust, strlen(trust), &place, &words)) {
	case TRUST_GIVEN:
		checklist_good(&d->list, "role", "%s trusts " TRUST_SERVICE, d->role_found);
		return;
	case TRUST_UNSURE:
		checklist_unsure(&d->list, "role", "%s: %s", d->role_found, words.data);
		return;
	case TRUST_PEOPLE:
		checklist_bad(&d->list, "role",
			      "%s; some articles show it so, and Bedrock cannot take on the role; "
			      "make its trust policy: %s",
			      words.data, cure.data);
		return;
	case TRUST_UNREADABLE:
	case TRUST_OTHERS:
	case TRUST_ELSEWHERE:
	case TRUST_DENIED:
		checklist_bad(&d->list, "role", "%s; make its trust policy: %s", words.data,
			      cure.data);
		return;
	}
}

/* False: there is no use in asking IAM about it. */
static bool check_shape(struct doctor *d)
{
	struct err e = ERR_INIT;
	char account[16];

	if (!d->role) {
		checklist_bad(&d->list, "role",
			      "none is given; add -o role=ARN (batchfs --print-iam prints its "
			      "policies)");
		return false;
	}
	if (naming_check_role(d->role, &e) < 0) {
		checklist_bad(&d->list, "role", "%s", e.text);
		return false;
	}
	account_of(d->role, account);
	if (!d->account[0] || strcmp(d->account, account) == 0)
		return true;
	checklist_bad(&d->list, "role",
		      "%s is of account %s, and you are in %s; Bedrock takes only a role of the "
		      "account that asks: make one there",
		      d->role, account, d->account);
	return false;
}

void doctor_ask_role(struct doctor *d)
{
	CLEANUP(iam_role_release) struct iam_role role = IAM_ROLE_INIT;
	struct err e = ERR_INIT;
	int r;

	if (!check_shape(d)) {
		d->role = NULL;
		return;
	}
	r = iam_role(&d->iam, iam_role_name(d->role), &role, &e);
	if (r == -EACCES) {
		checklist_unsure(&d->list, "role",
				 "cannot tell whether %s exists and trusts " TRUST_SERVICE
				 " (iam:GetRole is not allowed)",
				 d->role);
	} else if (r == -ENOENT) {
		checklist_bad(&d->list, "role",
			      "there is no role %s; make it with the policies that batchfs "
			      "--print-iam prints",
			      d->role);
		d->role = NULL;
	} else if (r < 0) {
		checklist_unsure(&d->list, "role", "%s", doctor_words(r, &e));
	} else if (strcmp(role.arn, d->role) != 0) {
		checklist_bad(&d->list, "role", "its ARN is %s; write it so in -o role=", role.arn);
		d->role = NULL;
	} else {
		d->role_found = STEAL(&role.arn);
		tell_trust(d, role.trust);
	}
}

/* The session of a role is asked about by the role, whose path STS leaves out. */
static void find_principal(struct doctor *d)
{
	CLEANUP(iam_role_release) struct iam_role role = IAM_ROLE_INIT;
	char name[NAME_SIZE];

	if (d->principal || !d->who.arn[0])
		return;
	if (iam_assumed_role(d->who.arn, name, sizeof(name))) {
		if (iam_role(&d->iam, name, &role, NULL) == 0)
			d->principal = STEAL(&role.arn);
		else if (asprintf(&d->principal, "arn:%s:iam::%s:role/%s",
				  endpoint_partition(d->region), d->account, name) < 0)
			d->principal = NULL;
	} else if (strstr(d->who.arn, ":user/")) {
		d->principal = strdup(d->who.arn);
	}
}

/* Says why it cannot be told, after r of iam_simulate(). */
static void tell_unsure(struct doctor *d, const char *question, int r, struct err *e)
{
	if (r == -EACCES)
		checklist_unsure(&d->list, question,
				 "cannot tell (iam:SimulatePrincipalPolicy is not allowed)");
	else if (r == -ENOENT)
		checklist_unsure(&d->list, question, "cannot tell (IAM does not find %s)",
				 d->principal);
	else
		checklist_unsure(&d->list, question, "cannot tell: %s", doctor_words(r, e));
}

static const char *why_denied(const struct iam_verdict *v)
{
	if (v->by_organization)
		return "a policy of the organisation does not allow it";
	return v->explicit_deny ? "a Deny in a policy forbids it" : "no policy allows it";
}

/* May we?  0 with *ret, or it has been told why that is not known. */
static int ask_about_us(struct doctor *d, const char *question, struct iam_question *q,
			struct iam_verdict *ret)
{
	struct err e = ERR_INIT;
	int r;

	if (doctor_is_root(d)) {
		*ret = (struct iam_verdict){.allowed = true};
		return 0;
	}
	find_principal(d);
	if (!d->principal) {
		checklist_unsure(&d->list, question, "cannot tell%s%s",
				 d->who.arn[0] ? " for " : ", as it is not known who we are",
				 d->who.arn);
		return -ENODATA;
	}
	q->principal = d->principal;
	r = iam_simulate(&d->iam, q, ret, &e);
	if (r < 0)
		tell_unsure(d, question, r, &e);
	return r;
}

void doctor_ask_pass(struct doctor *d)
{
	struct iam_question q = {
		.actions = {"iam:PassRole"},
		.resources = {d->role},
		.context = {{"iam:PassedToService", TRUST_SERVICE}},
	};
	struct iam_verdict v;

	if (!d->role || ask_about_us(d, "may pass the role", &q, &v) < 0)
		return;
	if (v.allowed)
		checklist_good(&d->list, "may pass the role", "yes, to " TRUST_SERVICE);
	else
		checklist_bad(&d->list, "may pass the role",
			      "no: %s; allow {\"Effect\":\"Allow\",\"Action\":\"iam:PassRole\","
			      "\"Resource\":\"%s\",\"Condition\":{\"StringEquals\":{"
			      "\"iam:PassedToService\":\"" TRUST_SERVICE "\"}}}",
			      why_denied(&v), d->role);
}

static int one(void *ctx, const struct control_job *j)
{
	(void)ctx;
	(void)j;
	return 1;
}

void doctor_ask_jobs(struct doctor *d)
{
	const struct control_filter all = {.ascending = false};
	const char *partition = endpoint_partition(d->region);
	struct iam_question q = {
		.actions = {"bedrock:CreateModelInvocationJob"},
	};
	struct iam_verdict v;
	struct err e = ERR_INIT;
	char job[256];
	int r = control_list(d->control, &all, one, NULL, &e);

	if (r == -EACCES)
		checklist_bad(&d->list, "batch jobs",
			      "%s; allow bedrock:ListModelInvocationJobs (batchfs --print-iam)",
			      e.text);
	else if (r < 0)
		checklist_bad(&d->list, "batch jobs", "%s", doctor_words(r, &e));
	else
		checklist_good(&d->list, "batch jobs", "may list them");

	snprintf(job, sizeof(job), "arn:%s:bedrock:%s:%s:model-invocation-job/a0b1c2d3e4f5",
		 partition, d->region, d->account);
	q.resources[0] = job;
	for (size_t i = 0; i < d->model_arn_count; i++)
		q.resources[i + 1] = d->model_arns[i];
	if (ask_about_us(d, "may create jobs", &q, &v) < 0)
		return;
	if (v.allowed)
		checklist_good(&d->list, "may create jobs", "yes");
	else
		checklist_bad(&d->list, "may create jobs",
			      "no: %s; allow bedrock:CreateModelInvocationJob on %s",
			      why_denied(&v),
			      v.resource[0] && v.resource[0] != '*' ? v.resource : job);
}

/* Jobs do without it: so it is never a cross. */
void doctor_ask_ondemand(struct doctor *d)
{
	static const char question[] = "may run on demand";
	struct iam_question q = {.actions = {"bedrock:InvokeModel"}};
	struct iam_verdict v;

	if (!d->model_arn_count)
		return;
	for (size_t i = 0; i < d->model_arn_count; i++)
		q.resources[i] = d->model_arns[i];
	if (ask_about_us(d, question, &q, &v) < 0)
		return;
	if (v.allowed)
		checklist_good(&d->list, question, "yes");
	else
		checklist_unsure(&d->list, question,
				 "no: %s; only small = ondemand, sample and retry ondemand need "
				 "bedrock:InvokeModel on %s",
				 why_denied(&v), v.resource[0] ? v.resource : d->model_arns[0]);
}

static int ask_about_role(struct doctor *d, const char *question, struct iam_question *q,
			  struct iam_verdict *ret)
{
	struct err e = ERR_INIT;
	int r;

	q->principal = d->role_found;
	r = iam_simulate(&d->iam, q, ret, &e);
	if (r < 0)
		tell_unsure(d, question, r, &e);
	return r;
}

static bool ask_role_of_bucket(struct doctor *d)
{
	static const char question[] = "role and bucket";
	const char *partition = endpoint_partition(d->region);
	const char *prefix = d->place->prefix ? d->place->prefix : "";
	char bucket[128], object[S3_KEY_MAX + 256];
	struct iam_question of_objects = {
		.actions = {"s3:GetObject", "s3:PutObject"},
		.resources = {object},
		.context = {{"aws:ResourceAccount", d->account}},
	};
	struct iam_question of_bucket = {
		.actions = {"s3:ListBucket"},
		.resources = {bucket},
		.context = {{"aws:ResourceAccount", d->account}},
	};
	struct iam_verdict v;

	snprintf(bucket, sizeof(bucket), "arn:%s:s3:::%s", partition, d->place->bucket);
	snprintf(object, sizeof(object), "%s/%s%sjob/input.jsonl", bucket, prefix,
		 *prefix ? "/" : "");
	if (ask_about_role(d, question, &of_objects, &v) < 0)
		return false;
	if (v.allowed && ask_about_role(d, question, &of_bucket, &v) < 0)
		return false;
	if (v.allowed)
		checklist_good(&d->list, question, "it may list, read and write");
	else if (v.explicit_deny)
		checklist_bad(&d->list, question, "%s on %s: %s", v.action, v.resource,
			      why_denied(&v));
	else
		checklist_unsure(&d->list, question,
				 "no policy of the role allows %s on %s; unless the bucket's own "
				 "does, jobs will fail (batchfs --print-iam prints the role's)",
				 v.action, v.resource);
	return true;
}

void doctor_ask_role_rights(struct doctor *d)
{
	struct iam_question q = {.actions = {"bedrock:InvokeModel"}};
	struct iam_verdict v;

	if (!d->role_found || !ask_role_of_bucket(d) || !d->model_arn_count)
		return;
	for (size_t i = 0; i < d->model_arn_count; i++)
		q.resources[i] = d->model_arns[i];
	if (ask_about_role(d, "role and model", &q, &v) < 0)
		return;
	if (v.allowed)
		checklist_good(&d->list, "role and model", "it may invoke the model");
	else
		checklist_bad(&d->list, "role and model",
			      "it may not invoke %s: %s; jobs would fail at their end; allow "
			      "bedrock:InvokeModel on it (batchfs --print-iam)",
			      v.resource[0] ? v.resource : d->model_arns[0], why_denied(&v));
}
