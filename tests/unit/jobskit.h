#ifndef TESTS_UNIT_JOBSKIT_H
#define TESTS_UNIT_JOBSKIT_H

/*
 * An engine over the fake backend in the test's own directory, and words to
 * drive it.  Nothing waits for time: all waiting is for the engine's own hook,
 * with a deadline after which the test has failed.
 */

#include "fs/job/jobs.h"
#include "tests/unit/fakebackend.h"

struct jobskit {
	struct clock clock;	      /* first: the system's, with a tick of the provider */
	struct fakebackend *provider; /* owned by the kit unless given */
	bool own_provider;
	char *dir; /* owned */
	struct jobs_options o;
	struct store *store;
	struct jobs *jobs;
	pthread_mutex_t mutex; /* of the following */
	pthread_cond_t cond;
	uint64_t changes;
	_Atomic int64_t skipped_ns; /* the monotonic clock is ahead of the system's */
};

/* Over dir; provider NULL: a new one.  Nothing is open yet. */
void jobskit_init(struct jobskit *k, const char *dir, struct fakebackend *provider);
void jobskit_release(struct jobskit *k);

void jobskit_start(struct jobskit *k);
void jobskit_stop(struct jobskit *k); /* a clean end */
static inline void jobskit_restart(struct jobskit *k)
{
	jobskit_stop(k);
	jobskit_start(k);
}

/* What is due within ns is due now.  The engine's own sleeps are longer from then on:
 * who skips once goes on skipping. */
void jobskit_skip(struct jobskit *k, int64_t ns);

/* A reference. */
struct job *jobskit_make(struct jobskit *k, const char *name);
struct job *jobskit_find(struct jobskit *k, const char *name);
struct job *jobskit_wait_job(struct jobskit *k, const char *name); /* until there is one */
int jobskit_try_make(struct jobskit *k, const char *name);
int jobskit_rename(struct jobskit *k, struct job *j, const char *name);
int jobskit_remove(struct jobskit *k, struct job *j);
int jobskit_command(struct jobskit *k, struct job *j, enum command c);
int jobskit_order(struct jobskit *k, struct job *j, struct order o);

/* As `printf %s text > JOB/name`; the errno of the first call that fails. */
int jobskit_write(struct job *j, const char *name, const char *text);

/* Cuts the one part of job 1, which is staged, into parts of a record each; the engine
 * is stopped.  Returns how many. */
unsigned jobskit_cut(struct jobskit *k);

/* Waits until the job shows that state and stays there (or passes through it). */
void jobskit_wait_at(struct jobskit *k, struct job *j, enum job_state s, const char *file,
		     int line);
void jobskit_wait_for(struct jobskit *k, struct job *j, bool (*is_so)(struct job *j, void *ctx),
		      void *ctx, const char *file, int line);
#define jobskit_wait(k, j, s) jobskit_wait_at(k, j, s, __FILE__, __LINE__)

/* The first view with these words in its error. */
void jobskit_wait_error(struct jobskit *k, struct job *j, const char *words);

/* The bytes of a file of the results, the caller's to free. */
char *jobskit_results(struct job *j, enum results_file f);

/* All that a draft needs: it goes at once, unless it is held. */
void jobskit_fill(struct job *j);
/* A job with all it needs: it goes at once.  A reference. */
struct job *jobskit_submit(struct jobskit *k, const char *name);

/* For cmocka_unit_test_setup_teardown(): *state is a started kit. */
int jobskit_setup(void **state);
int jobskit_teardown(void **state);

/* A path below the kit's directory, the caller's to free. */
char *jobskit_path(const struct jobskit *k, const char *name);

#define JOBSKIT_INPUT                                                                              \
	"{\"recordId\":\"a\",\"modelInput\":{}}\n"                                                 \
	"{\"recordId\":\"b\",\"modelInput\":{}}\n"                                                 \
	"{\"recordId\":\"c\",\"modelInput\":{}}\n"

#endif
