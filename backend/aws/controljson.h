#ifndef BACKEND_AWS_CONTROLJSON_H
#define BACKEND_AWS_CONTROLJSON_H

/*
 * The shapes of the control plane as JSON: what control.c sends and reads.
 * Answers are hostile: lengths are bounded, names hold printable ASCII only,
 * and what makes no sense is left out.
 *
 * Pure.  Threads: any.  Source: the service's API model, bedrock-2023-04-20.
 */

#include <stdbool.h>
#include <stdint.h>

#include "backend/aws/control.h"
#include "fs/base/buf.h"
#include "fs/base/jsonspan.h"
#include "fs/base/macros.h"

/* "2026-01-02T03:04:05.123Z", with 0 to 9 digits of a fraction and any offset,
 * or seconds since 1970 as a number, into wall time.  False: neither. */
bool controljson_time(struct jsonspan v, int64_t *ret);

/* A job of Get, or a row of List.  -EINVAL: without an ARN; -ENOMEM. */
MUST_CHECK int controljson_job(struct jsonspan v, struct control_job *ret);

/* A string of printable ASCII of at most max bytes, the caller's; *ret is NULL
 * if v is not one.  -ENOMEM. */
MUST_CHECK int controljson_name(struct jsonspan v, size_t max, char **ret);
/* The same for text of people: UTF-8 without control characters, cut at max. */
MUST_CHECK int controljson_text(struct jsonspan v, size_t max, char **ret);

/* The body of CreateModelInvocationJob. */
void controljson_add_create(struct buf *out, const struct control_job_spec *s);

#endif
