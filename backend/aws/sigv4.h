#ifndef BACKEND_AWS_SIGV4_H
#define BACKEND_AWS_SIGV4_H

/*
 * AWS Signature Version 4, on OpenSSL's SHA-256 and HMAC.
 *
 *	Authorization: AWS4-HMAC-SHA256 Credential=AKID/20260102/us-east-1/bedrock/aws4_request,
 *	    SignedHeaders=content-type;host;x-amz-date, Signature=...
 *
 * The path is signed in one of two ways: S3's exactly as it goes over the
 * wire; every other service's normalised (dot segments, runs of slashes) and
 * percent-encoded once more, so that %3A is signed as %253A.
 *
 * Pure: time is an argument.  Secrets that are derived are wiped.  Threads: any.
 * Source: the AWS reference "Create a signed AWS API request".
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/buf.h"
#include "fs/base/macros.h"

#define SIGV4_UNSIGNED_PAYLOAD "UNSIGNED-PAYLOAD"
#define SIGV4_HASH_SIZE	       65 /* 64 hex digits and NUL */
#define SIGV4_DATE_SIZE	       17 /* "20260102T030405Z" and NUL */
#define SIGV4_HEADERS_MAX      40

struct sigv4_header {
	const char *name, *value; /* any case; values are trimmed and folded as the rules say */
};

struct sigv4_request {
	const char *method; /* "GET" */
	const char *path;   /* as it goes over the wire, begins with '/' */
	const char *query;  /* as it goes over the wire, without '?'; NULL or "": none */
	const struct sigv4_header
		*headers; /* all of them are signed; host and x-amz-date among them */
	size_t header_count;
	const char *payload_hash; /* lower-case hex, or SIGV4_UNSIGNED_PAYLOAD */
	const char *region, *service;
	int64_t wall_ns;   /* the same instant as x-amz-date */
	bool path_as_sent; /* S3 */
};

/* "20260102T030405Z". */
void sigv4_date(int64_t wall_ns, char ret[SIGV4_DATE_SIZE]);

/* SHA-256 as lower-case hex. */
void sigv4_hash(const void *bytes, size_t size, char ret[SIGV4_HASH_SIZE]);

/* Sets *authorization to the value of the header Authorization.  The caller
 * adds x-amz-security-token to headers itself.  -EINVAL: more headers than
 * SIGV4_HEADERS_MAX, or a query that cannot be taken apart; -ENOMEM. */
MUST_CHECK int sigv4_sign(const struct sigv4_request *q, const char *access_key_id,
			  const char *secret, struct buf *authorization);

/* The two texts on the way, for tests and for the log at debug level. */
MUST_CHECK int sigv4_canonical_request(const struct sigv4_request *q, struct buf *out);
MUST_CHECK int sigv4_string_to_sign(const struct sigv4_request *q, const char *canonical,
				    struct buf *out);

/* Percent-encodes all but A-Z a-z 0-9 - . _ ~ (and '/', if keep_slash). */
void sigv4_encode(struct buf *out, const char *s, size_t size, bool keep_slash);

#endif
