#ifndef FS_JOB_INPUTJOIN_H
#define FS_JOB_INPUTJOIN_H

/*
 * Which record a result line belongs to, by what the model was given.
 *
 * Who made a job elsewhere may have given its records no ids; the provider then
 * draws some, and the only thing its lines have in common with the input is
 * modelInput.  That is compared as JSON: the order of members, how strings are
 * escaped and how numbers are spelt do not matter.  Records with the same
 * input are as good as each other: each gets one line.
 *
 * In files (fs/base/idmap.h), so that anonymous memory does not grow.  Not
 * thread-safe.
 */

#include <stdbool.h>
#include <stdint.h>

#include "fs/base/err.h"
#include "fs/base/jsonspan.h"
#include "fs/base/macros.h"

struct inputjoin;

/* dir: where unlinked scratch files are made. */
MUST_CHECK int inputjoin_new(const char *dir, struct inputjoin **ret, struct err *e);
void inputjoin_free(struct inputjoin *j); /* NULL is fine */

/* input: the modelInput of record index.  Errors of the file system. */
MUST_CHECK int inputjoin_add(struct inputjoin *j, struct jsonspan input, uint64_t index,
			     struct err *e);

/* The next record with that input that no line was taken for.  0: there is none;
 * 1: *ret_index.  -ENOSPC, ... */
MUST_CHECK int inputjoin_take(struct inputjoin *j, struct jsonspan input, uint64_t *ret_index,
			      struct err *e);

bool inputjoin_are_equal(const struct inputjoin *j, struct jsonspan a, struct jsonspan b);

#endif
