#ifndef FS_JOB_SEEN_H
#define FS_JOB_SEEN_H

/*
 * A set of names that only grows: 16 bytes a name, no matter how long it is.
 *
 * Names are not kept: a slot holds a SipHash of 128 bits under a key drawn at
 * random, so that two names are never taken for one.
 *
 * Not thread-safe.  All zero is the empty set.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/siphash.h"

struct seen {
	unsigned char key[SIPHASH_KEY_SIZE];
	uint64_t (*slots)[2]; /* owned; zeros: empty */
	size_t count, capacity;
};

void seen_release(struct seen *s);
bool seen_has(const struct seen *s, const char *name);
/* Without memory for it the name is not taken in: who asks is told it is new. */
void seen_add(struct seen *s, const char *name);

#endif
