#ifndef TESTS_UNIT_ANYJOBKIT_H
#define TESTS_UNIT_ANYJOBKIT_H

/*
 * What must be true of any jobs, whatever happened to them, looked at from outside:
 * by their views and results, by what the provider was sent, and by what was seen
 * before.  For tests/unit/test_anyjob.c.
 *
 * What is known lies in memory that outlives a forked child which dies: it is written
 * by one thread, a word at a time, and each word is true on its own.
 */

#include "tests/unit/fakechaos.h"
#include "tests/unit/jobskit.h"

#define ANYJOB_JOBS_MAX	    3
#define ANYJOB_RECORDS_MAX  60
#define ANYJOB_ATTEMPTS_MAX 64

struct anyrecord {
	uint32_t class;
	bool has_id;
	bool good;	       /* it was seen so, once; then: */
	uint64_t line;	       /* a hash of its result line */
	uint32_t good_attempt; /* it was seen good when that one had ended; 0: not seen */
};

struct anyjob {
	uint64_t number;      /* the engine's; 0: not known yet */
	bool asked;	      /* for its directory */
	bool going, gone;     /* its removal was asked for; was answered or found done */
	bool given_up;	      /* results that could not be had may be: a stop says so */
	unsigned first_class; /* jobs with the same one have equal records */
	bool dedupe;
	unsigned small; /* enum small */
	unsigned retry_max;
	bool manual;
	char name[2][32]; /* by turns */
	unsigned count;
	struct anyrecord records[ANYJOB_RECORDS_MAX];
};

struct anyworld {
	uint64_t seed, draws;
	unsigned job_count;
	unsigned deaths;
	unsigned lives;
	bool purges, denies; /* else results here may be deleted */
	bool fixed;	     /* the provider's limits stay what they are, until all goes well */
	struct anyjob jobs[ANYJOB_JOBS_MAX];
};

/* A number below that, the same for the same seed and place in its plan. */
unsigned anyjob_draw(struct anyworld *w, unsigned below);
static inline bool anyjob_chance(struct anyworld *w, unsigned percent)
{
	return anyjob_draw(w, 100) < percent;
}

/* NULL: no memory.  Its jobs are drawn. */
struct anyworld *anyjob_new(uint64_t seed);
void anyjob_free(struct anyworld *w);

/* Appends the text of input.jsonl and of config. */
void anyjob_input(const struct anyworld *w, unsigned key, struct buf *out);
void anyjob_config(const struct anyworld *w, unsigned key, struct buf *out);

/* Looks at a job, at any time: fails the test if what can be seen is wrong, and
 * remembers what is good.  True: it has ended, and nothing is on its way. */
bool anyjob_check(struct anyworld *w, struct jobskit *k, unsigned key, struct job *j);

/* What the provider was sent, at any time. */
void anyjob_check_sent(struct anyworld *w, struct fakebackend *f);

#endif
