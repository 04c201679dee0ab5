#ifndef FS_BASE_JSONFAULT_H
#define FS_BASE_JSONFAULT_H

/*
 * What can be wrong with a line of JSON, in words for the person who made it.
 *
 * fs/base/jsonscan.c knows only that a byte is not allowed in a place; here
 * that pair becomes the likely mistake and its cure.  Pure functions.
 */

#include <stdbool.h>

enum jsonfault {
	JSONFAULT_ARRAY,
	JSONFAULT_BARE_NAME,
	JSONFAULT_BARE_WORD,
	JSONFAULT_BOM,
	JSONFAULT_BRACKET,
	JSONFAULT_CLOSED_TOO_OFTEN,
	JSONFAULT_COMMA_AFTER,
	JSONFAULT_COMMA_MISSING,
	JSONFAULT_COMMA_TRAILING,
	JSONFAULT_COMMENT,
	JSONFAULT_COLON_MISSING,
	JSONFAULT_CONTROL,
	JSONFAULT_CONTROL_IN_STRING,
	JSONFAULT_CUT,
	JSONFAULT_CUT_AT_END,
	JSONFAULT_DEEP,
	JSONFAULT_EMPTY,
	JSONFAULT_ESCAPE,
	JSONFAULT_HEX,
	JSONFAULT_ID_DOUBLE,
	JSONFAULT_ID_EMPTY,
	JSONFAULT_ID_LONG,
	JSONFAULT_ID_SURROGATE,
	JSONFAULT_ID_TYPE,
	JSONFAULT_INPUT_DOUBLE,
	JSONFAULT_INPUT_MISSING,
	JSONFAULT_INPUT_STRING,
	JSONFAULT_INPUT_TYPE,
	JSONFAULT_LONG,
	JSONFAULT_NAME_MISSING,
	JSONFAULT_NAN,
	JSONFAULT_NOT_OBJECT,
	JSONFAULT_NUMBER,
	JSONFAULT_OUTSIDE_STRING,
	JSONFAULT_PYTHON_WORD,
	JSONFAULT_SECOND_OBJECT,
	JSONFAULT_SINGLE_QUOTE,
	JSONFAULT_TAB_IN_STRING,
	JSONFAULT_TRAILING,
	JSONFAULT_UNCLOSED,
	JSONFAULT_UTF16,
	JSONFAULT_UTF8,
	JSONFAULT_VALUE_MISSING,
	JSONFAULT_ZERO,
	JSONFAULT_ZERO_LEADING,
	JSONFAULT_COUNT,
};

/* Between tokens: what the grammar waits for. */
enum json_place {
	AT_LINE,	   /* a record, at the start of a line */
	AT_TEXT,	   /* any value, at the start of a text */
	AT_NAME_OR_END,	   /* after { */
	AT_NAME,	   /* after a comma in an object */
	AT_COLON,	   /* after a name */
	AT_MEMBER,	   /* after a colon */
	AT_ELEMENT_OR_END, /* after [ */
	AT_ELEMENT,	   /* after a comma in an array */
	AFTER_MEMBER,	   /* comma or } */
	AFTER_ELEMENT,	   /* comma or ] */
	AT_DONE,	   /* nothing but the end of the line */
	PLACE_COUNT,
};

/* Constant texts: "a comma is missing before this"; "put one in". */
const char *jsonfault_what(enum jsonfault f);
const char *jsonfault_cure(enum jsonfault f);

/* Why c is not allowed in that place.  is_first: it is the line's first byte. */
enum jsonfault jsonfault_explain(enum json_place place, unsigned char c, bool is_first);

/* Why a word of this many letters is not a value (True, NaN, hello). */
enum jsonfault jsonfault_explain_word(const char *word, unsigned size);

#endif
