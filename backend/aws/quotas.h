#ifndef BACKEND_AWS_QUOTAS_H
#define BACKEND_AWS_QUOTAS_H

/*
 * The account's limits for batch inference, as Service Quotas has them: several
 * hundred rows for Bedrock, in pages, told apart only by long names
 *
 *	"Records per batch inference job for Claude Sonnet 4.6"
 *	"Batch inference job size for Qwen3 Coder 480B (in GB)"
 *
 * whose spelling varies.  All rows on batch inference are kept, for all models;
 * what is not found is not told.  GB are taken as 10^9, the smaller of the two.
 *
 * Threads: a struct quotas is its owner's.  Source: the Service Quotas API
 * reference, ListServiceQuotas (the applied values).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/aws/call.h"
#include "fs/base/buf.h"
#include "fs/base/err.h"
#include "fs/base/macros.h"

enum quota {
	QUOTA_RECORDS_MIN,  /* of a job */
	QUOTA_RECORDS_FILE, /* at most, as all that follow */
	QUOTA_RECORDS_JOB,
	QUOTA_BYTES_FILE,
	QUOTA_BYTES_JOB, /* with its media */
	QUOTA_JOBS,	 /* that have not ended */
	QUOTA_JOBS_CUSTOM,
	QUOTA_COUNT,
};

#define QUOTAS_NAME_MAX 128

/* Of one model. */
struct quotas_found {
	bool is_known[QUOTA_COUNT];
	uint64_t value[QUOTA_COUNT];
};

struct quotas;

MUST_CHECK int quotas_new(struct quotas **ret);
void quotas_free(struct quotas *q); /* NULL is fine */

/* Adds the rows of one answer.  token: of the next page; empty after the last.
 * -EBADMSG: no answer of that kind; -ENOMEM. */
MUST_CHECK int quotas_add_page(struct quotas *q, const char *body, size_t size, struct buf *token,
			       struct err *e);

/* Asks for all pages, each once, as long as time_ns is not over (0 with what came
 * until then).  On failure q has what came before it.  -EACCES: may not be asked. */
MUST_CHECK int quotas_read(struct quotas *q, struct aws *a, const char *region, int64_t time_ns,
			   struct err *e);

/* By the model's name as people write it, "Claude Sonnet 4.6".  Rows that name
 * it exactly go before those that do but for "Instruct", a version 1 or what is in
 * brackets; of several such the strictest counts. */
void quotas_find(const struct quotas *q, const char *model, struct quotas_found *ret);

#endif
