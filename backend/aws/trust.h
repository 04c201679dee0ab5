#ifndef BACKEND_AWS_TRUST_H
#define BACKEND_AWS_TRUST_H

/*
 * Who may take on a role: its trust policy, judged for batch jobs.
 *
 *	{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
 *	 "Principal":{"Service":"bedrock.amazonaws.com"},"Action":"sts:AssumeRole",
 *	 "Condition":{"StringEquals":{"aws:SourceAccount":"111122223333"}}}]}
 *
 * The text is IAM's and yet a user's: it may be anything.  Pure.  Threads: any.
 * Source: the Bedrock user guide, "Create a service role for batch inference",
 * and the IAM user guide on condition operators.
 */

#include <stddef.h>

#include "fs/base/buf.h"

#define TRUST_SERVICE	 "bedrock.amazonaws.com"
#define TRUST_POLICY_MAX (64 * 1024)

enum trust {
	TRUST_GIVEN,
	TRUST_UNREADABLE, /* not a policy */
	TRUST_PEOPLE,	  /* only the account itself (its root): people, not the service */
	TRUST_OTHERS,	  /* others, or nobody, but not the service */
	TRUST_ELSEWHERE,  /* the service, but for another account, region or kind of job */
	TRUST_DENIED,	  /* a Deny that meets batch jobs */
	TRUST_UNSURE,	  /* under conditions that cannot be judged from here */
};

struct trust_place {
	const char *partition, *region, *account; /* "aws", "us-east-1", "111122223333" */
};

/* Appends to words what was found (one clause, no full stop), but for
 * TRUST_GIVEN. */
enum trust trust_judge(const char *policy, size_t size, const struct trust_place *p,
		       struct buf *words);

/* The policy that does, on one line. */
void trust_add_policy(struct buf *out, const struct trust_place *p);

#endif
