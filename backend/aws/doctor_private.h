#ifndef BACKEND_AWS_DOCTOR_PRIVATE_H
#define BACKEND_AWS_DOCTOR_PRIVATE_H

/*
 * What the questions of --check share.  Each is one function that adds its
 * line or lines; what it learns for later questions it leaves here.
 */

#include "backend/aws/checklist.h"
#include "backend/aws/control.h"
#include "backend/aws/doctor.h"
#include "backend/aws/iam.h"
#include "backend/aws/s3.h"

#define DOCTOR_TIMEOUT_MS 5000 /* of one attempt of one call */
#define DOCTOR_ATTEMPTS	  2
#define DOCTOR_END_MS	  27000 /* then all that is under way ends */
#define DOCTOR_TEXT_MAX	  4096

/* A model's ARNs as policies see them: a profile's own, and those behind it. */
#define DOCTOR_MODEL_ARNS (IAM_RESOURCE_MAX - 1)

struct doctor {
	const struct bedrock_place *place;
	const char *model;  /* or NULL */
	const char *region; /* of the jobs */
	const char *role;   /* ARN, or NULL */
	struct clock *clock;
	struct checklist list;
	struct aws *aws;	 /* owned, as the next two */
	struct control *control; /* NULL without a region */
	struct s3 *s3;
	struct iam iam;
	struct iam_identity who; /* empty strings: STS did not say */
	const char *account;	 /* 12 digits, or "" */
	char *principal;	 /* owned: the ARN of who.arn in IAM's terms; NULL: not known */
	char *role_found;	 /* owned: the role's ARN as IAM has it; NULL: not seen */
	char *model_arns[DOCTOR_MODEL_ARNS]; /* owned, the first NULL ends them */
	size_t model_arn_count;
	char model_name[128]; /* "Claude Sonnet 4.6"; or empty */
};

/* Why there is no answer: e's words and what to do, or that it was not waited for. */
const char *doctor_words(int r, struct err *e);

/* Is there an account's root behind the call?  It may do everything. */
bool doctor_is_root(const struct doctor *d);

/* The role: is it there, ours, trusting; what may it do; may we pass it? */
void doctor_ask_role(struct doctor *d);
void doctor_ask_pass(struct doctor *d);
void doctor_ask_role_rights(struct doctor *d);

/* The model: is it known here, by which id; what may we do with jobs of it? */
void doctor_ask_model(struct doctor *d);
void doctor_ask_jobs(struct doctor *d);
void doctor_ask_ondemand(struct doctor *d);

/* The account's limits for the model, where Service Quotas tells. */
void doctor_ask_quotas(struct doctor *d);

#endif
