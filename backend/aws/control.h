#ifndef BACKEND_AWS_CONTROL_H
#define BACKEND_AWS_CONTROL_H

/*
 * The control plane of Amazon Bedrock batch inference: one function an
 * operation, one struct a shape, nothing remembered but the pace.
 *
 *	CreateModelInvocationJob	POST /model-invocation-job
 *	GetModelInvocationJob		GET  /model-invocation-job/arn%3Aaws%3A...
 *	ListModelInvocationJobs		GET  /model-invocation-jobs?maxResults=1000&...
 *	StopModelInvocationJob		POST /model-invocation-job/ARN/stop
 *	ListFoundationModels, ListInferenceProfiles
 *
 * Creates are sent one at a time and at most one a second (the service
 * publishes no rate and throttles them hard).
 *
 * Threads: any; calls block.  Errors: as call.h; -EAGAIN also while there are
 * no credentials, or only ones that have expired.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/aws/call.h"
#include "fs/base/kv.h"
#include "fs/base/state.h"

#define CONTROL_NAME_MAX    63
#define CONTROL_TOKEN_MAX   256
#define CONTROL_ARN_MAX	    1011
#define CONTROL_MODEL_MAX   2048
#define CONTROL_URI_MAX	    1024
#define CONTROL_LISTS_MAX   16
#define CONTROL_TIMEOUT_MIN 24 /* hours */
#define CONTROL_TIMEOUT_MAX 168

struct control;

/* region: where jobs are made; kept as a copy. */
MUST_CHECK int control_open(struct aws *a, const char *region, struct control **ret, struct err *e);
/* From the end of one create to the next, at least; at first a second.  Before
 * the first call. */
void control_set_pace(struct control *c, int64_t create_every_ns);
void control_close(struct control *c); /* NULL is fine */

/* Strings borrowed; NULL or 0 leaves a field out. */
struct control_job_spec {
	const char *name, *token, *model, *role;
	const char *input_uri, *input_owner;
	const char *output_uri, *output_owner, *kms_key;
	int timeout_hours;
	const char *invocation;				     /* "InvokeModel", "Converse" */
	const char *const *subnets, *const *security_groups; /* NULL-terminated */
	const struct kv *tags;
};

/* Of a create that failed. */
struct control_refusal {
	bool maybe;	     /* the job may exist all the same */
	struct errmap error; /* what the service said; ERRMAP_UNSENT: it was not asked */
};

/* *ret_arn: the caller's.  Sent once; *ret_why is filled on failure only.
 * -EBUSY: the quota of jobs is full; -EEXIST: the name is in use. */
MUST_CHECK int control_create(struct control *c, const struct control_job_spec *s, char **ret_arn,
			      struct control_refusal *ret_why, struct err *e);

/* A job as Get and List show it; strings are owned, NULL if absent (arn never
 * is).  status.counts are all zero until the service tells them. */
struct control_job {
	char *arn, *name, *token, *model, *role;
	char *input_uri, *output_uri;
	char *invocation;
	struct part_status status;
	int64_t submitted_ns, modified_ns, ended_ns, expires_ns; /* wall; 0: not told */
	int timeout_hours;
};

void control_job_release(struct control_job *j);

/* The region is that of the ARN.  -ENOENT: unknown there; -EAGAIN also: the
 * answer is about another one. */
MUST_CHECK int control_get(struct control *c, const char *arn, struct control_job *ret,
			   struct err *e);

struct control_filter {
	int64_t submitted_after_ns, submitted_before_ns; /* wall; 0: none */
	const char *status, *name_contains;		 /* or NULL */
	bool ascending;
};

/* Newest first unless ascending; all pages, an empty one with a token too.
 * each() returns 0 to go on, 1 to end, -errno to fail; the job is borrowed. */
MUST_CHECK int control_list(struct control *c, const struct control_filter *f,
			    int (*each)(void *ctx, const struct control_job *j), void *ctx,
			    struct err *e);

/* A job that has ended, or is stopping already, answers 0. */
MUST_CHECK int control_stop(struct control *c, const char *arn, struct err *e);

struct control_model {
	const char *id, *arn, *name, *provider;
	const char *lifecycle; /* "ACTIVE" */
	bool on_demand;	       /* by its own id */
	bool profile_only;     /* only through an inference profile */
};
MUST_CHECK int control_models(struct control *c,
			      int (*each)(void *ctx, const struct control_model *m), void *ctx,
			      struct err *e);

struct control_profile {
	const char *id, *arn, *name;
	bool application;		       /* made by the user */
	const char *models[CONTROL_LISTS_MAX]; /* ARNs of where it may run; NULL-terminated */
};
MUST_CHECK int control_profiles(struct control *c,
				int (*each)(void *ctx, const struct control_profile *p), void *ctx,
				struct err *e);

/* "Completed" -> JOB_COMPLETED; a word we do not know is JOB_IN_PROGRESS. */
enum job_state control_state(const char *word);

/* Of a call that failed with r: -EAGAIN and what to do in *e, if it is who we are
 * that is at fault (no credentials, expired ones, a clock that is off), and not what
 * we may do.  Else r. */
int control_about_us(int r, const struct aws_answer *a, struct err *e);

/* Appends s as one segment of a path or one value of a query: what is not
 * unreserved (RFC 3986) as %XX. */
void control_encode(struct buf *out, const char *s);

#endif
