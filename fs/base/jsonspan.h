#ifndef FS_BASE_JSONSPAN_H
#define FS_BASE_JSONSPAN_H

/*
 * Reads JSON in place: a value is a span of bytes, and asking it for a member
 * or an element gives another span.  No tree, no allocation, no copy; made
 * for picking a few members out of each of a million result lines.
 *
 * The text may be hostile: every function stays within the span and answers
 * "no" where the bytes make no sense; depth is bounded by JSONSPAN_DEPTH_MAX.
 * Spans borrow the bytes they point into.  Pure functions.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/buf.h"
#include "fs/base/macros.h"

#define JSONSPAN_DEPTH_MAX 512

struct jsonspan {
	const char *at; /* first byte of the value; NULL: no value */
	size_t size;
};

enum jsonspan_type {
	JSONSPAN_NONE, /* no value, or not JSON */
	JSONSPAN_NULL,
	JSONSPAN_BOOL,
	JSONSPAN_NUMBER,
	JSONSPAN_STRING,
	JSONSPAN_ARRAY,
	JSONSPAN_OBJECT,
};

/* The value in these bytes, white space around it cut off. */
struct jsonspan jsonspan_of(const char *bytes, size_t size);

/* By the first byte; NONE for an empty span. */
enum jsonspan_type jsonspan_type(struct jsonspan v);

/* Present and not null?  Providers write absent members as null. */
bool jsonspan_is_set(struct jsonspan v);

/* The member of that name (compared after decoding escapes), the first if
 * there are several; an empty span if there is none or v is no object. */
struct jsonspan jsonspan_get(struct jsonspan v, const char *key);

/* By a path of members and array indexes: "choices/0/message/content". */
struct jsonspan jsonspan_path(struct jsonspan v, const char *path);

/* A walk over an array or object.
 *	struct jsonspan_walk w = jsonspan_walk(v);
 *	while (jsonspan_next(&w)) use(w.key, w.value);
 * key is the quoted name for objects, empty for arrays.  Ends early where the
 * text makes no sense. */
struct jsonspan_walk {
	struct jsonspan key, value;
	const char *at_, *end_; /* private */
	bool object_, started_;
};

struct jsonspan_walk jsonspan_walk(struct jsonspan v);
bool jsonspan_next(struct jsonspan_walk *w);

/* Appends the decoded content of a string; a lone surrogate becomes U+FFFD.
 * False, with nothing added, if v is not a string. */
bool jsonspan_string(struct jsonspan v, struct buf *out);

/* Is v a string equal to s? */
bool jsonspan_equals(struct jsonspan v, const char *s);

/* A whole number that fits; also written as a string of digits ("12"), as
 * some providers do.  False otherwise. */
bool jsonspan_u64(struct jsonspan v, uint64_t *ret);

#endif
