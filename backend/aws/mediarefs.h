#ifndef BACKEND_AWS_MEDIAREFS_H
#define BACKEND_AWS_MEDIAREFS_H

/*
 * References to files that travel beside the input:
 *
 *	{"recordId":"r1","modelInput":{... "uri":"media://cat.png" ...}}
 *
 * A reference is a whole JSON string that begins with media://, anywhere below
 * the top level of its line: so a recordId stays as it is, and so does a text
 * that speaks of such a name.  "media:\/\/cat.png" is the same.
 *
 * Streaming, in constant memory; the lines are valid records.  Not
 * thread-safe; different scans are independent.
 */

#include <stdint.h>

#include "fs/base/buf.h"
#include "fs/base/macros.h"

#define MEDIAREFS_NAME_MAX 1024

struct mediarefs_sink {
	/* A reference; returns 0 to go on, 1 to end, -errno.  What it adds to
	 * out stands in the string's place, quotes included; with nothing added
	 * the string stays.  name: NULL if it is longer than MEDIAREFS_NAME_MAX,
	 * which has to be refused. */
	int (*ref)(void *ctx, uint64_t line, const char *name, struct buf *out);
	/* All else, in its order; NULL: not wanted.  0 or -errno. */
	int (*copy)(void *ctx, const char *bytes, size_t size);
	void *ctx;
};

/* Reads fd from its beginning (pread).  -errno of read or of the sink; 1 if
 * the sink ended it. */
MUST_CHECK int mediarefs_scan(int fd, const struct mediarefs_sink *sink);

#endif
