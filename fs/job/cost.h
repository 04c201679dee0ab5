#ifndef FS_JOB_COST_H
#define FS_JOB_COST_H

/*
 * What a job costs, as far as it is known: tokens times prices.
 *
 * Before the end it is an estimate from the input, at most; afterwards it is
 * what the provider counted.  A sample is beside it, padding within it.  Pure.
 */

#include <stdbool.h>

#include "fs/base/price.h"
#include "fs/job/view.h"

/* Prices are per million tokens. */
double cost_usd(const struct tokens *t, double in, double out);

struct cost {
	bool free;	/* the source costs nothing */
	bool estimated; /* tokens are the estimate, and not what was counted */
	bool known;	/* there is a count or an estimate at all */
	bool priced;	/* the model has a price, and the sums are true */
	struct tokens tokens;
	double batch_usd, demand_usd; /* all tokens, at either price */
	double total_usd;	      /* each where it was run, and what was tried as a draft */
	/* Of that: what only filled up; what was tried.  And what was not spent. */
	double padding_usd, sample_usd, saved_usd;
};

struct cost cost_of(const struct view *v);

#endif
