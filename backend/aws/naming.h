#ifndef BACKEND_AWS_NAMING_H
#define BACKEND_AWS_NAMING_H

/*
 * Names within Bedrock's alphabets, and what may be checked before anything is
 * sent.  The patterns are those of CreateModelInvocationJob.
 *
 *	directory "My job (2)", token bf-0123...	job name  My-job-2-0123...
 *	input	s3://BUCKET/PREFIX/My-job-2-0123.../input.jsonl
 *	media	s3://BUCKET/PREFIX/My-job-2-0123.../media/NAME
 *	output	s3://BUCKET/PREFIX/My-job-2-0123.../output/
 *
 * where 0123... is all 32 digits of the token.
 *
 * Pure.  Threads: any.
 */

#include <stdbool.h>

#include "fs/base/buf.h"
#include "fs/base/err.h"
#include "fs/base/macros.h"

#define NAMING_JOB_MAX 64 /* 63 and NUL */

/* The same directory and token always give the same name; another token never
 * does.  Letters, digits and '-' only. */
void naming_job(const char *directory, const char *token, char ret[NAMING_JOB_MAX]);

/* The other way, for a directory: what may not stand in one is '-', and the
 * digits of a token of ours are taken off. */
void naming_directory(const char *job_name, struct buf *out);

/* -EINVAL with what is wrong and what would do. */
MUST_CHECK int naming_check_bucket(const char *bucket, struct err *e);
MUST_CHECK int naming_check_prefix(const char *prefix, struct err *e); /* may be empty */
MUST_CHECK int naming_check_media(const char *file, struct err *e);
MUST_CHECK int naming_check_role(const char *arn, struct err *e);
MUST_CHECK int naming_check_model(const char *id, struct err *e);
MUST_CHECK int naming_check_kms_key(const char *key, struct err *e);
MUST_CHECK int naming_check_account(const char *id, struct err *e);
MUST_CHECK int naming_check_tag(const char *key, const char *value, struct err *e);

/* "arn:aws:bedrock:us-east-1:111122223333:model-invocation-job/ab12cd34ef56":
 * its parts, borrowed and not terminated.  -EINVAL. */
struct naming_arn {
	const char *partition, *service, *region, *account, *resource;
	size_t partition_size, service_size, region_size, account_size; /* resource: to the end */
};
/* arn: at most 2048 bytes, none of them a space. */
MUST_CHECK int naming_arn_parse(const char *arn, struct naming_arn *ret);
/* The 12 characters behind the last '/'. */
const char *naming_job_id(const char *arn);

#endif
