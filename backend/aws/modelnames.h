#ifndef BACKEND_AWS_MODELNAMES_H
#define BACKEND_AWS_MODELNAMES_H

/*
 * What people call the models: "Claude Sonnet 4.6" for
 * us.anthropic.claude-sonnet-4-6 and all other ways to write it, as the lists of
 * models and of inference profiles tell it.  Quotas are named so.
 *
 * Threads: its owner's.
 */

#include <stdbool.h>
#include <stddef.h>

#include "fs/base/macros.h"

struct modelnames_row {
	char *id, *name; /* owned */
};

struct modelnames {
	struct modelnames_row *rows; /* owned */
	size_t count;
};

#define MODELNAMES_INIT                                                                            \
	{                                                                                          \
		NULL, 0                                                                            \
	}

void modelnames_release(struct modelnames *m);

/* id: a model's id without geography, or the whole ARN of a profile of one's own,
 * whose name is that of the model behind it.  No more than some thousands are
 * kept.  -ENOMEM. */
MUST_CHECK int modelnames_add(struct modelnames *m, const char *id, const char *name);

/* model: any id or ARN that a job takes; of a custom model the one it is made of.
 * Borrowed until m changes; NULL: not known. */
const char *modelnames_find(const struct modelnames *m, const char *model);

#endif
