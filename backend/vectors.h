#ifndef BACKEND_VECTORS_H
#define BACKEND_VECTORS_H

/*
 * Embeddings as text: a line a vector, numbers as the provider wrote them
 * with a space between.
 *
 * A vector is an array of numbers, or a string of base64 holding
 * little-endian 32-bit floats (OpenAI's encoding_format "base64"), written
 * with the nine digits that give the same float again.
 */

#include "fs/base/buf.h"
#include "fs/base/jsonspan.h"

/* Writes what path (backend/textpath.h) leads to in output.  Each value there
 * is a vector; or an object with one in its member "embedding", in the order
 * of their "index" if they have one; or an object by type with a vector or an
 * array of vectors a member.  Anything else gives no line. */
void vectors_write(struct jsonspan output, const char *path, struct buf *text);

#endif
