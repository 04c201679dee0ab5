#ifndef FS_JOB_PLAN_H
#define FS_JOB_PLAN_H

/*
 * Cuts the list of an attempt into parts that the provider takes.
 *
 *	250 records, at most 100 a part, at least 60:  100, 90, 60
 *
 * One pass in the order of the list, each part as full as it may be.  Then the tail:
 * a last part under the minimum takes what it lacks from the end of the one
 * before it, which may take from its own predecessor in turn.  The
 * minimum is of a provider-side job, and so of each part.
 *
 * Pure: memory only, no locks.
 */

#include <stddef.h>
#include <stdint.h>

#include "fs/base/err.h"
#include "fs/base/macros.h"

#define PLAN_PARTS_MAX 4096

struct plan_part {
	uint64_t first, count, size_bytes;
};

struct plan_limits {
	uint64_t records_min, records_max, bytes_max; /* of a part */
};

/* The bytes that record index takes as it is sent, its newline included, or -errno. */
typedef int plan_size(void *ctx, uint64_t index, uint64_t *ret);

/* The caller frees *ret with free().  count > 0.
 * -EINVAL: it cannot be cut so; *e says why and what to do.  -ENOMEM; what
 * size_of returned. */
MUST_CHECK int plan_cut(const struct plan_limits *limits, uint64_t count, plan_size *size_of,
			void *ctx, struct plan_part **ret, size_t *ret_count, struct err *e);

#endif
