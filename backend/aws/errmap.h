#ifndef BACKEND_AWS_ERRMAP_H
#define BACKEND_AWS_ERRMAP_H

/*
 * What an answer of AWS means: the one place that maps HTTP statuses and AWS
 * error codes, as the SDKs do.
 *
 * Error type: header x-amzn-ErrorType, else the body's code or __type, cut at
 * the first ':' and after the last '#'; S3, STS and IAM say it in XML (Code).
 * Decided on the type, not on the status: Bedrock answers 400 for Conflict and
 * for a quota that is full.
 *
 * Pure.  Threads: any.
 */

#include <stdbool.h>
#include <stddef.h>

#include "backend/http/http.h"
#include "fs/base/macros.h"

#define ERRMAP_CODE_MAX	   96
#define ERRMAP_MESSAGE_MAX 1024

enum errmap_class {
	ERRMAP_OK,
	ERRMAP_TRANSPORT, /* no whole answer; it may have been acted on */
	ERRMAP_UNSENT,	  /* never reached the server (DNS, connect, TLS) */
	ERRMAP_THROTTLED, /* not acted on; ask again, slower */
	ERRMAP_TRANSIENT, /* 5xx and such; it may have been acted on */
	ERRMAP_EXPIRED,	  /* credentials: renew and ask once more */
	ERRMAP_SKEWED,	  /* our clock: correct by the Date header, once */
	ERRMAP_REDIRECT,  /* another region or host: ask there, signed anew */
	ERRMAP_DENIED,	  /* 401, 403 */
	ERRMAP_NOT_FOUND,
	ERRMAP_QUOTA, /* ServiceQuotaExceeded: when a job has ended */
	ERRMAP_CONFLICT,
	ERRMAP_PRECONDITION, /* 412 */
	ERRMAP_INVALID,	     /* all else: the request is wrong */
	ERRMAP_CLASS_COUNT,
};

struct errmap {
	enum errmap_class class;
	char code[ERRMAP_CODE_MAX];	  /* "ThrottlingException"; may be empty */
	char message[ERRMAP_MESSAGE_MAX]; /* the service's words; may be empty */
	char region[64]; /* of a redirect, where it is told; not checked: it is what came */
};

/*
 * a: borrowed.  A 200 whose body is an S3 <Error> is one, if may_lie; and so is
 * one without a body or with half a one, so that may_lie is for operations that
 * answer in XML only.  An answer to HEAD has no body: what its status says.
 *
 * The message is one line of UTF-8, without the canonical request that some
 * services repeat to whom they refuse (the session token is in it).
 */
void errmap_read(const struct http_answer *a, bool may_lie, struct errmap *ret);

/* What a caller returns for it: -EAGAIN for all that passes (unsent,
 * transport, throttled, transient), -EACCES (denied, expired, skewed), -ENOENT,
 * -EXDEV (redirect), -EBUSY (quota), -EEXIST (conflict), -ESTALE
 * (precondition), -EINVAL. */
int errmap_errno(enum errmap_class c);

/* "denied". */
const char *errmap_class_name(enum errmap_class c);

#endif
