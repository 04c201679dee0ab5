#ifndef BACKEND_AWS_BEDROCK_H
#define BACKEND_AWS_BEDROCK_H

/*
 * The bedrock: source: records run as Amazon Bedrock batch inference jobs,
 * with S3 in between.
 *
 *	bedrock:my-bucket/batch -o role=arn:aws:iam::111122223333:role/BatchRole
 *
 * A part is one model invocation job; its remote name is the job's ARN.  The
 * service is the truth; nothing is kept on this machine but what is fetched.
 *
 * Options of the mount (-o) and, where marked, keys of JOB/config:
 *
 *	role=ARN		the service role			JOB/config
 *	region=R profile=P
 *	timeout=HOURS		24 to 168				JOB/config
 *	invocation=InvokeModel|Converse					JOB/config
 *	tags=KEY:VALUE[;KEY:VALUE]					JOB/config
 *	kms_key=KEY		for inputs and outputs			JOB/config
 *	bucket_owner=ACCOUNT	of a bucket of another account
 *	subnets=A;B security_groups=A;B		the jobs' VPC	JOB/config
 *	checksum=when_supported|when_required	path_style=yes|no
 *	jobs=all|mine		show jobs made elsewhere
 *	prices=FILE
 *	min_records, max_records_per_file, max_records_per_job, max_bytes_per_file,
 *	max_bytes_per_job, max_jobs	limits, in place of the account's quotas
 *	model=ID		of doctor.h's questions alone: what to ask about
 *	create_grace=SECONDS	(60) before a create whose answer was lost is sent again
 *	results_grace=SECONDS	(60) after the end of a job that may have no results
 *	create_every=SECONDS	(1) at least, from one create to the next
 */

#include "backend/backend.h"
#include "fs/base/clock.h"
#include "fs/base/kv.h"

struct bedrock_place {
	const char *bucket, *prefix; /* prefix without '/' at its ends; may be "" */
	const struct kv *options;
	struct clock *clock; /* NULL: the system's */
};

/* "BUCKET[/PREFIX]" taken apart and checked; the caller's.  -EINVAL. */
MUST_CHECK int bedrock_parse_place(const char *text, char **ret_bucket, char **ret_prefix,
				   struct err *e);

/* An option of the mount.  -ENOENT: none of ours; -EINVAL. */
MUST_CHECK int bedrock_check_option(const char *key, const char *value, struct err *e);

/* Asks nobody yet.  -EINVAL: an option or a file of AWS settings is wrong. */
MUST_CHECK int bedrock_open(const struct bedrock_place *p, struct backend **ret, struct err *e);

#endif
