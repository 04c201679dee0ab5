#ifndef TESTS_UNIT_CRASHKIT_H
#define TESTS_UNIT_CRASHKIT_H

/*
 * The daemon dies at every moment of a job's life, and the next one goes on.
 *
 * A child runs the engine until it dies at its n-th tick (before and after
 * each effect of a call of the provider, at each change that is told, at each
 * look at the wall clock, which stand around every write of the store); a
 * second child takes up what the first left.  For every n until the job is
 * done before it: each token was created once, no part is missing and none is
 * too many, and the results are whole.
 */

#include "tests/unit/jobskit.h"

struct crash {
	const char *name;
	const char *outcomes[2];
	void (*prepare)(struct jobskit *k); /* a job "j", the engine stopped at the end */
	void (*go)(struct jobskit *k);	    /* NULL: what was prepared goes by itself */
	enum job_state end;		    /* JOB_STATE_COUNT: it is removed */
	unsigned parts, good;		    /* good 0: there may be no results */
	unsigned records_max;		    /* of a part; 0: all */
	int bought;			    /* records that ran on demand */
};

void crashkit_sweep(const struct crash *s);

/* For prepare: a submitted job "j" that has ended. */
void crashkit_prepare_ended(struct jobskit *k);

#endif
