#ifndef CACHE_DIRS_H
#define CACHE_DIRS_H

/*
 * The two directories of a mount: state (must survive) and cache (can be
 * rebuilt).  Without options: $XDG_STATE_HOME/batchfs/NAME and
 * $XDG_CACHE_HOME/batchfs/NAME, with ~/.local/state and ~/.cache behind them,
 * NAME being a slug of the source ("local", "bedrock-my-bucket-batch").
 * Made with mode 0700; the state directory is locked for the life of the
 * struct, so that two daemons never work on the same jobs.
 *
 *	STATE/lock       "PID MOUNTPOINT\n" of the holder; an OFD lock
 *	STATE/state.db   cache/store.h
 *	STATE/events     one line a happening, append-only
 *	STATE/jobs/N/files/   what users put into job N (with media/ below it)
 *	STATE/jobs/N/log      JOB/log
 *	STATE/jobs/N/parts/   staged inputs of parts: a1p1.jsonl
 *	STATE/jobs/N/sample/  a sample that runs (fs/job/sample.c)
 *	STATE/jobs/N/sample.jsonl  JOB/sample.jsonl
 *	STATE/local/          backend/local
 *	CACHE/ID/jobs/N/gG/   generation G of the results (cache/results.h); ID is
 *	                      the store's, so that a shared cache is never confused
 */

#include <stdbool.h>
#include <stddef.h>

#include "fs/base/err.h"
#include "fs/base/macros.h"

struct dirs {
	char *state, *cache; /* owned; absolute, without a trailing slash */
	int lock_fd_;
};

#define DIRS_INIT                                                                                  \
	{                                                                                          \
		NULL, NULL, -1                                                                     \
	}

/* env_*: the values of the environment's variables, NULL where unset (getenv
 * belongs to fs/options.c).  state_option, cache_option: NULL if not given.
 * -EBUSY: another daemon has the state directory; the words name its pid and
 * mount point.  -EACCES, -ENOSPC, ...: cannot make or open. */
struct dirs_request {
	const char *source;	/* "local:" */
	const char *mountpoint; /* for the lock's text */
	const char *state_option, *cache_option;
	const char *env_home, *env_state_home, *env_cache_home;
};

MUST_CHECK int dirs_open(const struct dirs_request *q, struct dirs *ret, struct err *e);

/* Moves the lock's text to the pid that goes on after a fork. */
void dirs_set_holder(struct dirs *d, const char *mountpoint);

void dirs_close(struct dirs *d); /* unlocks */

/* The daemon that holds dirs at state, as "pid 123, mounted on /mnt"; false if none. */
bool dirs_holder(const char *state, char *text, size_t size);

/* mkdir -p with mode 0700. */
MUST_CHECK int dirs_make(const char *path, struct err *e);

/* Deletes path and all below it; not there is fine.  Never follows a link. */
MUST_CHECK int dirs_remove(const char *path, struct err *e);

#endif
