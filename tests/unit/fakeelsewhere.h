#ifndef TESTS_UNIT_FAKEELSEWHERE_H
#define TESTS_UNIT_FAKEELSEWHERE_H

/* The fake backend's list of jobs, and the inputs of those that were made
 * elsewhere, for tests/unit/fakebackend.c. */

#include "tests/unit/fakebackend.h"

bool fakeelsewhere_lists(struct backend *b);
int fakeelsewhere_fetch_input(struct backend *b, const char *remote, const char *path,
			      struct err *e);

/* Of all there are, each time: that is allowed. */
void fakeelsewhere_tell_locked(struct fakebackend *f, backend_found *found, void *ctx);

#endif
