#ifndef BACKEND_AWS_IAM_H
#define BACKEND_AWS_IAM_H

/*
 * What --check asks of AWS STS and IAM: who are we, what is this role, and
 * what may a principal do.  Nothing here changes anything.
 *
 *	POST https://sts.us-east-1.amazonaws.com/   Action=GetCallerIdentity&Version=2011-06-15
 *	POST https://iam.amazonaws.com/             Action=GetRole&Version=2010-05-08&RoleName=...
 *
 * Threads: any; calls block.  Errors: as call.h; -EACCES: it is not allowed to
 * ask; -ENOENT: there is no such role or principal; -EBADMSG: the answer makes
 * no sense.  Source: the API references of both services.
 */

#include <stdbool.h>
#include <stddef.h>

#include "backend/aws/call.h"

#define IAM_ARN_MAX	 2048
#define IAM_ACTIONS_MAX	 8
#define IAM_RESOURCE_MAX 8
#define IAM_CONTEXT_MAX	 2

struct iam_identity {
	char account[16];	   /* "111122223333" */
	char arn[IAM_ARN_MAX + 1]; /* "arn:aws:sts::111122223333:assumed-role/dev/me" */
};

struct iam {
	struct aws *aws;    /* borrowed */
	const char *region; /* borrowed; of the jobs */
};

MUST_CHECK int iam_whoami(const struct iam *i, struct iam_identity *ret, struct err *e);

struct iam_role {
	char *arn;   /* with its path */
	char *trust; /* JSON */
};

#define IAM_ROLE_INIT                                                                              \
	{                                                                                          \
		NULL, NULL                                                                         \
	}

void iam_role_release(struct iam_role *r);

/* name: without a path. */
MUST_CHECK int iam_role(const struct iam *i, const char *name, struct iam_role *ret, struct err *e);

/* May the principal (the ARN of a user or a role) do all of these to all of
 * those?  Policies of resources are not looked at. */
struct iam_question {
	const char *principal;
	const char *actions[IAM_ACTIONS_MAX];	 /* up to the first NULL */
	const char *resources[IAM_RESOURCE_MAX]; /* the same */
	struct {
		const char *key, *value; /* "iam:PassedToService" */
	} context[IAM_CONTEXT_MAX];	 /* up to the first without a key */
};

struct iam_verdict {
	bool allowed;
	/* Of the first that is not: */
	bool explicit_deny, by_organization;
	char action[64], resource[IAM_ARN_MAX + 1];
};

MUST_CHECK int iam_simulate(const struct iam *i, const struct iam_question *q,
			    struct iam_verdict *ret, struct err *e);

/* "arn:aws:iam::111122223333:role/path/name" -> "name", borrowed; NULL if it is no role. */
const char *iam_role_name(const char *arn);

/* The name of the role behind "arn:aws:sts::ACCOUNT:assumed-role/NAME/SESSION";
 * false if it is none, or longer. */
bool iam_assumed_role(const char *arn, char *ret, size_t size);

#endif
