#ifndef FS_BASE_KV_H
#define FS_BASE_KV_H

/*
 * Settings as text: "key = value" lines, as in JOB/config and in a section of
 * the configuration file.
 *
 *	# a comment
 *	delay_ms = 20
 *
 * A value runs to the end of its line: ';', '#', '=' and inner white space
 * belong to it, white space around it does not.
 *
 * Small lists (at most KV_COUNT_MAX), looked up by a walk.  Not thread-safe.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/err.h"
#include "fs/base/macros.h"

#define KV_COUNT_MAX 256
#define KV_TEXT_MAX  (64 * 1024) /* of a whole JOB/config */

struct kv_pair {
	char *key, *value; /* owned */
};

struct kv {
	struct kv_pair *pairs; /* owned */
	size_t count;
};

#define KV_INIT                                                                                    \
	{                                                                                          \
		NULL, 0                                                                            \
	}

void kv_release(struct kv *kv);

#define KV_KEY_MAX 128

/* A later value of a key replaces the earlier one.  -ENOMEM, -E2BIG. */
MUST_CHECK int kv_set(struct kv *kv, const char *key, const char *value);

/* Borrowed until kv changes; NULL if there is none. */
const char *kv_get(const struct kv *kv, const char *key);

/* One line of such a text, taken apart; the parts borrow the line. */
enum kv_line_kind {
	KV_LINE_EMPTY, /* or a comment: its first character is '#' or ';' */
	KV_LINE_SECTION,
	KV_LINE_PAIR,
};

struct kv_line {
	enum kv_line_kind kind;
	const char *name, *value; /* name: of the key or the section */
	size_t name_size, value_size;
};

/* line is without its newline; a CR at its end is passed over.  -EINVAL: the
 * line is none of these, or not UTF-8, or has control bytes in it; *ret_what
 * is then a constant text that says so. */
MUST_CHECK int kv_line_parse(const char *line, size_t size, struct kv_line *ret,
			     const char **ret_what);

/* Adds the pairs of a text; name stands in messages ("config:3: ...").
 * -EINVAL: not "key = value", or too long; nothing is added then. */
MUST_CHECK int kv_parse(struct kv *kv, const char *name, const char *text, size_t size,
			struct err *e);

MUST_CHECK int kv_copy(struct kv *to, const struct kv *from);

/* Numbers: a whole decimal number within [min, max].  -EINVAL with words. */
MUST_CHECK int kv_parse_u64(const char *key, const char *value, uint64_t min, uint64_t max,
			    uint64_t *ret, struct err *e);

/* A decimal number, "0.5"; always with a point, whatever the locale. */
MUST_CHECK int kv_parse_double(const char *key, const char *value, double min, double max,
			       double *ret, struct err *e);

#endif
