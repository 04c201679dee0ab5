#ifndef FS_JOB_LINEID_H
#define FS_JOB_LINEID_H

/*
 * Another recordId for a line, all else of it byte for byte as it was.
 *
 * Pure; errors are the buffer's.
 */

#include <stddef.h>

#include "fs/base/buf.h"
#include "fs/base/jsonspan.h"
#include "fs/base/macros.h"

/* Appends line, an object without a recordId, with one as its first member.
 * -ESTALE: there is no brace. */
MUST_CHECK int lineid_insert(const char *line, size_t size, const char *id, size_t id_size,
			     struct buf *out);

/* Appends line with id in the place of its value old, a span of line. */
void lineid_replace(const char *line, size_t size, struct jsonspan old, const char *id,
		    size_t id_size, struct buf *out);

#endif
