#ifndef BACKEND_AWS_PRICES_H
#define BACKEND_AWS_PRICES_H

/*
 * What tokens cost: dated data in a file, never a promise.
 *
 *	# source: https://aws.amazon.com/bedrock/pricing/, read 2026-11-01
 *	# model <TAB> geography <TAB> region <TAB> batch in <TAB> batch out <TAB> on-demand in <TAB> out
 *	anthropic.claude-sonnet-4-6	global	*	1.50	7.50	3.00	15.00
 *
 * USD per million tokens.  A source holds for the lines below it.  model is an
 * id without its geographic prefix.  geography is "global", another prefix
 * ("us"), "regional" (all but global) or "*"; region is a region or "*".
 * Batch costs half of on-demand: "-" in one pair of columns has it taken from
 * the other.  Embeddings have no output: 0.
 *
 * The table that is built in (backend/aws/prices.tsv) is overridden by a file
 * of the user's: its lines are looked at first.  The closest line counts; a
 * model that has a price in other regions only has the first of these, and
 * source says so.  What is not known is said to be unknown.
 *
 * Threads: immutable after loading.
 */

#include <stdbool.h>

#include "fs/base/err.h"
#include "fs/base/macros.h"
#include "fs/base/price.h"

struct prices;

#define PRICES_FILE_MAX (1024 * 1024)

/* path: of the user's file, or NULL.  -EINVAL: file, line and cure; -EFBIG;
 * -errno of reading it. */
MUST_CHECK int prices_load(const char *path, struct prices **ret, struct err *e);
void prices_free(struct prices *p); /* NULL is fine */

/* model: an id or ARN; region may be NULL.  False: not known. */
bool prices_find(const struct prices *p, const char *model, const char *region, struct price *ret);

#endif
