#ifndef FS_BASE_JSONLEX_H
#define FS_BASE_JSONLEX_H

/*
 * The tokens of fs/base/jsonscan.c: strings, numbers and words, byte by byte
 * or in runs.  Private to the scanner; its design is explained there.
 *
 * Each function is given the place p in the portion and returns the place up
 * to which it took bytes; the token may go on in the next portion.
 */

#include <stdbool.h>
#include <stdint.h>

#include "fs/base/jsonfault.h"
#include "fs/base/jsonscan.h"

/* Within tokens; the numbers go on where enum json_place ends. */
enum lexeme {
	IN_STRING = PLACE_COUNT,
	IN_ESCAPE, /* after the backslash */
	IN_HEX,
	IN_UTF8,
	IN_MINUS,
	IN_ZERO,
	IN_INTEGER,
	IN_POINT,
	IN_FRACTION,
	IN_E,
	IN_E_SIGN,
	IN_EXPONENT,
	IN_WORD,
	IN_SKIP, /* a fault is behind us: to the end of the line */
};

/* Members of a record that mean something. */
enum member {
	MEMBER_OTHER,
	MEMBER_ID,
	MEMBER_INPUT,
};

/* One portion on its way through. */
struct jsonlex {
	struct jsonscan *s;
	const struct jsonscan_sink *sink; /* NULL: nobody wants to know */
	const char *begin, *end;
	uint64_t base; /* the stream offset of begin */
};

/* Tells the sink; the state is the caller's business. */
void jsonlex_report(const struct jsonscan *s, const struct jsonscan_sink *sink, uint64_t offset,
		    enum jsonfault what);

/* Tells the sink, and the rest of the line is passed over. */
void jsonlex_fail(struct jsonlex *x, const char *p, enum jsonfault what);

/* A value is complete: the place that follows it. */
void jsonlex_after_value(struct jsonscan *s);

/* p is at the first byte of the token. */
const char *jsonlex_string(struct jsonlex *x, const char *p, bool is_name);
const char *jsonlex_number(struct jsonlex *x, const char *p);
const char *jsonlex_word(struct jsonlex *x, const char *p);

/* Goes on with the token under way (any lexeme but IN_SKIP). */
const char *jsonlex_go_on(struct jsonlex *x, const char *p);

static inline uint64_t jsonlex_offset(const struct jsonlex *x, const char *p)
{
	return x->base + (uint64_t)(p - x->begin);
}

#endif
