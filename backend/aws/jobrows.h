#ifndef BACKEND_AWS_JOBROWS_H
#define BACKEND_AWS_JOBROWS_H

/*
 * What was last seen of the service's jobs: a table by ARN, in memory.
 *
 * Jobs that run, and those somebody asks about, stay in it; ended ones are
 * remembered as long as there is room.  At most JOBROWS_MAX.
 *
 * Not thread-safe: the caller has a mutex.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/aws/control.h"
#include "fs/base/macros.h"

#define JOBROWS_MAX 100000

struct jobrow {
	char *arn;		      /* owned, as the next two */
	char *input_uri, *output_uri; /* NULL: not told */
	int64_t submitted_ns;	      /* wall time of the service; 0: not told */
	bool live;		      /* not seen at an end */
	uint32_t round;		      /* of the poll that met it last */
	size_t asked;		      /* of this poll: which of its remotes, from 1; 0: none */
	unsigned unknown_count;	      /* how often in a row the service did not know it */
	int64_t unknown_since_ns;     /* mono */
};

struct jobrows;

MUST_CHECK int jobrows_new(struct jobrows **ret);
void jobrows_free(struct jobrows *t); /* NULL is fine */

/* NULL: not in the table.  Borrowed until the table changes. */
struct jobrow *jobrows_find(struct jobrows *t, const char *arn);

/* The row, a new one if need be (live, all else zero).  NULL: there is no
 * room, or no memory.  May drop rows that are neither live nor asked. */
struct jobrow *jobrows_add(struct jobrows *t, const char *arn);

/* Takes over what the service says. */
void jobrows_update(struct jobrow *row, const struct control_job *j, uint32_t round);

/* Calls each() for all; those for which it returns false are dropped. */
void jobrows_each(struct jobrows *t, bool (*each)(void *ctx, struct jobrow *row), void *ctx);

size_t jobrows_count(const struct jobrows *t);

#endif
