#ifndef BACKEND_AWS_PRICES_H
#define BACKEND_AWS_PRICES_H

/*
 * What tokens cost: dated data in a file, never a promise.
 *
 *	# source: https://aws.amazon.com/bedrock/pricing/, read 2026-11-01
 *	# model <TAB> geography <TAB> region <TAB> batch in <TAB> batch out <TAB> on-demand in <TAB> out
 *	anthropic.claude-sonnet-4-6	global	*	1.50	7.50	3.00	15.00
 *
 * USD per million tokens.  The table that is built in (backend/aws/prices.tsv)
 * is overridden line by line by a file of the user's.  What is not known is
 * said to be unknown.
 *
 * Threads: immutable after loading.
 */

#include <stdbool.h>

#include "fs/base/err.h"
#include "fs/base/macros.h"
#include "fs/base/price.h"

struct prices;

/* path: of the user's file, or NULL.  -EINVAL: file, line and cure. */
MUST_CHECK int prices_load(const char *path, struct prices **ret, struct err *e);
void prices_free(struct prices *p); /* NULL is fine */

/* False: not known. */
bool prices_find(const struct prices *p, const char *model, const char *region, struct price *ret);

#endif
