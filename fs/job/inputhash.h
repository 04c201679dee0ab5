#ifndef FS_JOB_INPUTHASH_H
#define FS_JOB_INPUTHASH_H

/*
 * What a model is given, as a hash: two modelInputs that are the same JSON
 * have the same one, however members are ordered, strings escaped and numbers
 * spelt.  128 bits under a key of its own (SipHash), so that nobody can choose
 * inputs that collide and an accident is out of the question.
 *
 * How numbers are compared:
 *	BY_VALUE	as the nearest double: providers give numbers back as they like
 *	EXACTLY		one of more than 15 digits by its digits: two seeds of 64 bits
 *			may be one double, and are still two inputs
 *
 * Pure but for the key.  Threads: any, after init.
 */

#include <stdbool.h>
#include <stdint.h>

#include "fs/base/err.h"
#include "fs/base/jsonspan.h"
#include "fs/base/macros.h"
#include "fs/base/siphash.h"

enum inputhash_numbers {
	INPUTHASH_BY_VALUE,
	INPUTHASH_EXACTLY,
};

struct inputhash {
	unsigned char key_[SIPHASH_KEY_SIZE];
	enum inputhash_numbers numbers_;
};

struct inputhash_sum {
	uint64_t half[2]; /* all of it: may be the key of a map */
};

/* Draws a key.  -EIO: the kernel gives no random bytes. */
MUST_CHECK int inputhash_init(struct inputhash *ret, enum inputhash_numbers numbers, struct err *e);

/* *ret_has_media, if wanted: does a string in it begin with media://, which is a
 * file of one job?  Bytes that are no JSON have a hash as well. */
struct inputhash_sum inputhash_of(const struct inputhash *h, struct jsonspan input,
				  bool *ret_has_media);

static inline bool inputhash_are_equal(struct inputhash_sum a, struct inputhash_sum b)
{
	return a.half[0] == b.half[0] && a.half[1] == b.half[1];
}

#endif
