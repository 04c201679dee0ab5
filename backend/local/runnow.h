#ifndef BACKEND_LOCAL_RUNNOW_H
#define BACKEND_LOCAL_RUNNOW_H

/*
 * A part run by who asks for it, in his thread, with its journal where he wants it:
 * backend.h's run_now.  Nothing else of it is on disk, so that there is nothing to
 * take up or to forget.
 *
 * Threads: runnow_run() blocks; runnow_cancel() from any other.
 */

#include <stdatomic.h>

#include "backend/backend.h"
#include "backend/local/engine.h"

struct runnow {
	int cancel_fd; /* private, as all below */
	atomic_bool cancelled;
	struct runnow *next; /* of who keeps a list of them */
};

MUST_CHECK int runnow_init(struct runnow *n, struct err *e);
void runnow_release(struct runnow *n);
void runnow_cancel(struct runnow *n);

struct runnow_options {
	const struct engine *engine;
	const struct kv *definition;
	struct clock *clock;
	const struct backend_part *part;
	const char *path;
	backend_told *told;
	void *ctx;
};

/* As run_now. */
MUST_CHECK int runnow_run(struct runnow *n, const struct runnow_options *o, struct err *e);

#endif
