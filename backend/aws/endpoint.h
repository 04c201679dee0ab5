#ifndef BACKEND_AWS_ENDPOINT_H
#define BACKEND_AWS_ENDPOINT_H

/*
 * Which host to talk to.
 *
 *	bedrock us-east-1	https://bedrock.us-east-1.amazonaws.com
 *	sts eu-west-1		https://sts.eu-west-1.amazonaws.com
 *	bucket in us-east-1	https://BUCKET.s3.us-east-1.amazonaws.com
 *	bucket with dots	https://s3.us-east-1.amazonaws.com/BUCKET
 *
 * Partitions, FIPS, dual-stack, and the overrides of the environment and the
 * profile (AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, [services]), in the order of
 * the SDKs.  Pure.  Source: the endpoint rules of the SDKs.
 */

#include <stdbool.h>

#include "backend/aws/awsconfig.h"
#include "fs/base/err.h"
#include "fs/base/macros.h"

/* *ret: scheme, host, port and base path, no '/' at the end; the caller's.
 * service: bedrock, bedrock-runtime, s3, sts, sso (the portal), sso-oidc, iam,
 * servicequotas.  -EINVAL: no region, a region with strange characters, an
 * override that is no URL or stands together with FIPS or dual-stack, a
 * services section that is not there, or what the partition does not have. */
MUST_CHECK int endpoint_service(const struct awsconfig *c, const char *service, const char *region,
				char **ret, struct err *e);

/* The same with the bucket in it, in the host or at the end of the path: S3
 * keys follow after a '/'.  path_style: asked for by the user, as
 * "addressing_style = path" under "s3 =" of the profile does, too.  -EINVAL
 * also: not a bucket's name. */
MUST_CHECK int endpoint_bucket(const struct awsconfig *c, const char *bucket, const char *region,
			       bool path_style, char **ret, struct err *e);

/* What to sign for: the region, but of a global service (iam) the one region
 * of its partition that has it. */
const char *endpoint_signing_region(const char *service, const char *region);

/* "aws", "aws-cn", "aws-us-gov", ...: of the region. */
const char *endpoint_partition(const char *region);
/* "amazonaws.com". */
const char *endpoint_suffix(const char *region);
/* "us-east-1": may stand in a host name. */
bool endpoint_region_is_valid(const char *region);

#endif
