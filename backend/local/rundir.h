#ifndef BACKEND_LOCAL_RUNDIR_H
#define BACKEND_LOCAL_RUNDIR_H

/*
 * What a run keeps on disk beside its journal: what it is, that it was asked
 * to stop, and how it ended.  Each is written whole or not at all, and synced
 * with its directory before the call returns.  The files: top of local.c.
 *
 * dir is the run's own directory.  Pure I/O, any thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "backend/backend.h"
#include "fs/base/err.h"
#include "fs/base/kv.h"
#include "fs/base/macros.h"
#include "fs/base/state.h"

struct run_spec {
	char *token, *model, *input_path; /* owned */
	char *media_path;		  /* owned; NULL if there is none */
	struct kv config;		  /* owned */
	uint64_t record_count;
	unsigned attempt;
};

MUST_CHECK int run_spec_copy(struct run_spec *to, const struct backend_part *p);
void run_spec_release(struct run_spec *s);

struct run_end {
	enum job_state state; /* JOB_COMPLETED, JOB_STOPPED or JOB_FAILED */
	char message[PART_MESSAGE_MAX];
	struct counts counts;
	struct tokens tokens;
};

/* Makes dir if it is not there.  -errno; journal_is_full() may say of it that
 * it passes. */
MUST_CHECK int rundir_write_spec(const char *dir, const struct run_spec *s, struct err *e);

/* -ENOENT: there is none.  -EINVAL: it makes no sense, or a newer program
 * wrote it. */
MUST_CHECK int rundir_read_spec(const char *dir, struct run_spec *ret, struct err *e);

MUST_CHECK int rundir_write_end(const char *dir, const struct run_end *end, struct err *e);
MUST_CHECK int rundir_read_end(const char *dir, struct run_end *ret, struct err *e); /* as above */

MUST_CHECK int rundir_write_stop(const char *dir, struct err *e);
bool rundir_has_stop(const char *dir);

/* Deletes parent/token with all its files; first it gets a name that
 * rundir_sweep() knows, so that half of it is never taken for a run.  A
 * directory that is not there is fine. */
MUST_CHECK int rundir_remove(const char *parent, const char *token, struct err *e);

/* Deletes what removals left behind when they were cut short. */
void rundir_sweep(const char *parent);

#endif
