#ifndef BACKEND_LOCAL_HASHEMBED_H
#define BACKEND_LOCAL_HASHEMBED_H

/*
 * Feature-hashed vectors of a text: for finding near-duplicates and lexical
 * likeness.  Not semantic, not a model.
 *
 * The definition, version 1, is fixed to the byte on every platform:
 * ASCII letters are lower-cased, other bytes stay.  Tokens are maximal runs of
 * ASCII letters and digits and bytes from 0x80 on.  Features: each token
 * ("w"), two neighbouring tokens joined by a space ("b"), and the runs of 3 to
 * 5 code points of "<token>" ("c").  h is the 64-bit FNV-1a of letter and
 * feature, mixed by the finalizer of MurmurHash3; h mod dimensions is the
 * place, the top bit the sign.  A feature met n times weighs 1 + ln(n), n
 * clamped to 64, from a table; those of kind "c" half of it.  Weights are
 * added in the order in which features are first met, and the vector is
 * brought to length 1; a text without tokens gives zeros.
 *
 * Pure, thread-safe.
 */

#include <stdbool.h>
#include <stddef.h>

#include "fs/base/buf.h"
#include "fs/base/macros.h"

#define HASHEMBED_DIMENSIONS_MAX 1024
#define HASHEMBED_FEATURES_MAX	 (1u << 20) /* different ones in a text */

/* dimensions: 256, 512 or 1024 doubles at vector.  -ENOMEM; -E2BIG: more
 * different features than HASHEMBED_FEATURES_MAX. */
MUST_CHECK int hashembed(const char *text, size_t size, bool normalize, double *vector,
			 unsigned dimensions);

/* Appends "[0.25,0,...]": each number as %.9g in the C locale. */
void hashembed_print(const double *vector, unsigned dimensions, struct buf *out);

#endif
