#ifndef BACKEND_LOCAL_RUN_H
#define BACKEND_LOCAL_RUN_H

/*
 * One part being run on this machine: reads its input in order, hands records
 * to the engine, journals what comes back, and knows how far it is.
 *
 * A run has a directory (rundir.h) and, while it is active, one thread, the
 * caller's: run_drive().  The other functions may be called from any thread
 * meanwhile.  A full disk makes a run wait, not fail; only an input that
 * cannot be read or a journal that cannot be written fails it.
 */

#include <stdbool.h>

#include "backend/local/engine.h"
#include "backend/local/rundir.h"
#include "fs/base/clock.h"
#include "fs/base/err.h"
#include "fs/base/macros.h"
#include "fs/base/state.h"

struct run;

/* spec is moved in, also on failure.  dir is the run's own directory and has
 * the spec on disk; an end that is there is taken up.  -ENOMEM, -EMFILE, and
 * what reading the end may say.  The caller owns *ret. */
MUST_CHECK int run_new(const char *dir, struct run_spec *spec, struct clock *clock,
		       struct run **ret, struct err *e);
void run_free(struct run *run); /* NULL is fine; nobody may be driving it */

const struct run_spec *run_spec_of(const struct run *run); /* immutable */

/* Runs until the end, a stop or a suspension; blocks for as long.  After a
 * stop or an end run_has_ended() is true. */
void run_drive(struct run *run, const struct engine *engine, const struct kv *definition);

/* Ends it early: what has an answer keeps it.  run_drive() then returns soon,
 * and if nobody drives it, calling it ends the run at once. */
void run_stop(struct run *run);

/* Makes run_drive() return soon without an end: it goes on at the next open. */
void run_suspend(struct run *run);

bool run_has_ended(struct run *run);
void run_status(struct run *run, struct part_status *ret);

/* Why it does not even begin; shown until it is driven.  NULL: takes it back. */
void run_set_message(struct run *run, const char *message);

#endif
