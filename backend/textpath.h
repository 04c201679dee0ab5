#ifndef BACKEND_TEXTPATH_H
#define BACKEND_TEXTPATH_H

/*
 * Paths into a model's answer, the language of the tables in backend/text.c.
 *
 * Steps with a slash between them, each to a member, an element, or a test:
 *
 *	choices/0/message          members and array indexes
 *	content/ * /text           (without the blanks) every element, in order
 *	*[type=tool_use]           only where the member equals the value
 *	*[thought!=true]           only where it does not, or is not there
 *	[stop_reason]              the value itself, where it has the member
 *	output/@array              only if it is an array; also @string, @object
 *	a|b                        b where a leads nowhere
 *
 * Members that are null count as absent, everywhere.  A path is at most
 * TEXTPATH_MAX bytes and is ours, never a user's.  Pure functions.
 */

#include <stdbool.h>
#include <stdint.h>

#include "fs/base/jsonspan.h"

#define TEXTPATH_MAX 128

/* Calls visit for each value the path leads to, until it returns false.  True
 * if there was one. */
bool textpath_each(struct jsonspan v, const char *path, bool (*visit)(void *ctx, struct jsonspan v),
		   void *ctx);

/* The first of them, or an empty span. */
struct jsonspan textpath_first(struct jsonspan v, const char *path);

/* Adds all of them that are whole numbers to *sum, which does not overflow but
 * stays at its maximum.  True if there was one. */
bool textpath_sum(struct jsonspan v, const char *path, uint64_t *sum);

#endif
