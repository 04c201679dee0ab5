#ifndef TESTS_UNIT_FAKEBACKEND_PRIVATE_H
#define TESTS_UNIT_FAKEBACKEND_PRIVATE_H

/* What the files of the fake backend share: fakebackend.c, fakeelsewhere.c (jobs made
 * elsewhere), fakenow.c (records on demand), fakechaos.c (faults at random). */

#include "tests/unit/fakebackend.h"

/* Takes one off a counter; false if it is used up. */
bool fakebackend_spend(atomic_int *counter);

/* Around each operation: a tick before and after its effect. */
struct fakebackend *fakebackend_enter(struct backend *b, const char *operation);
int fakebackend_leave(struct fakebackend *f, int r);

int fakebackend_again(const char *what, struct err *e); /* -EAGAIN */

/* 'g', 'f' or 'm', as outcomes orders it. */
char fakebackend_outcome_of(const struct fakebackend *f, unsigned attempt, uint64_t index);

/* A result line for each record of the input that is not to be missing. */
int fakebackend_write_results(const struct fakebackend *f, const struct fakepart *part,
			      const char *input_path);

void fakebackend_status_of(const struct fakebackend *f, const struct fakepart *p,
			   struct part_status *ret);

#endif
