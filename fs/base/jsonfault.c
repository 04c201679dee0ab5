#include "fs/base/jsonfault.h"

#include <assert.h>
#include <string.h>

#include "fs/base/macros.h"

static const struct {
	const char *what, *cure;
} words[JSONFAULT_COUNT] = {
	[JSONFAULT_ARRAY] = {"the line begins with a list bracket",
			     "JSON Lines wants one object a line: no [ ] around the records and no "
			     "commas between them"},
	[JSONFAULT_BARE_NAME] = {"a member's name without quotes",
				 "put it in double quotes: \"name\""},
	[JSONFAULT_BARE_WORD] = {"a word that is not JSON",
				 "put text in double quotes; the only bare words are true, false "
				 "and null"},
	[JSONFAULT_BOM] = {"a byte-order mark stands before the record",
			   "save the file as UTF-8 without BOM (Python: encoding=\"utf-8\", not "
			   "\"utf-8-sig\")"},
	[JSONFAULT_BRACKET] = {"the wrong closing bracket", "close { with } and [ with ]"},
	[JSONFAULT_CLOSED_TOO_OFTEN] = {"a closing bracket too many",
					"remove it, or open the bracket it should close"},
	[JSONFAULT_COMMA_AFTER] = {"a comma after the record",
				   "remove it: lines of JSON Lines are not joined by commas"},
	[JSONFAULT_COMMA_MISSING] = {"a comma is missing before this",
				     "put a comma between members and between list elements"},
	[JSONFAULT_COMMA_TRAILING] = {"a comma before the closing bracket",
				      "remove the comma: JSON allows none after the last one"},
	[JSONFAULT_COMMENT] = {"this looks like a comment", "remove it: JSON has no comments"},
	[JSONFAULT_COLON_MISSING] = {"a colon is missing after a member's name",
				     "write \"name\": value"},
	[JSONFAULT_CONTROL] = {"a control character between values",
			       "remove it: only spaces and tabs may stand there"},
	[JSONFAULT_CONTROL_IN_STRING] = {"a raw control character in a string",
					 "write it as an escape such as \\r or \\u0001"},
	[JSONFAULT_CUT] = {"the line ends in the middle of a record",
			   "write each record whole on one line (json.dumps without indent)"},
	[JSONFAULT_CUT_AT_END] = {"the last line ends in the middle of a record",
				  "the program that wrote the file did not finish: write the rest "
				  "of the record, or remove the line"},
	[JSONFAULT_DEEP] = {"lists and objects are nested deeper than 512 levels",
			    "flatten the record"},
	[JSONFAULT_EMPTY] = {"an empty line", "remove it: each line must be a record"},
	[JSONFAULT_ESCAPE] = {"an unknown escape after a backslash",
			      "allowed are \\\" \\\\ \\/ \\b \\f \\n \\r \\t and \\u with 4 hex "
			      "digits; write a backslash itself as \\\\"},
	[JSONFAULT_HEX] = {"\\u is not followed by 4 hex digits",
			   "write it as \\u00e9; write a backslash itself as \\\\"},
	[JSONFAULT_ID_DOUBLE] = {"a second recordId in the record", "remove one of them"},
	[JSONFAULT_ID_EMPTY] = {"recordId is empty",
				"give the record a name of its own, or leave recordId out"},
	[JSONFAULT_ID_LONG] = {"recordId is longer than 512 bytes", "use a shorter one"},
	[JSONFAULT_ID_SURROGATE] = {"recordId has half of a surrogate pair (\\ud800 to \\udfff)",
				    "write both halves, or use another id"},
	[JSONFAULT_ID_TYPE] = {"recordId is not a string",
			       "put it in quotes, as in \"recordId\":\"17\", or leave it out"},
	[JSONFAULT_INPUT_DOUBLE] = {"a second modelInput in the record", "remove one of them"},
	[JSONFAULT_INPUT_MISSING] = {"the record has no modelInput",
				     "write {\"recordId\":\"...\",\"modelInput\":{...}}, with the "
				     "request to the model as modelInput"},
	[JSONFAULT_INPUT_STRING] = {"modelInput is a string, not an object",
				    "it was JSON-encoded twice: put the object itself there, "
				    "without json.dumps around it"},
	[JSONFAULT_INPUT_TYPE] = {"modelInput is not an object",
				  "put the request to the model there: {...}"},
	[JSONFAULT_LONG] = {"the line is longer than 256 MiB", "make the record smaller"},
	[JSONFAULT_NAME_MISSING] = {"a member's name is missing here",
				    "write \"name\": value, the name in double quotes"},
	[JSONFAULT_NAN] = {"NaN and Infinity are not JSON",
			   "use null or leave the member out (Python: json.dumps(..., "
			   "allow_nan=False) finds them)"},
	[JSONFAULT_NOT_OBJECT] = {"the line is not a JSON object",
				  "write one record a line: "
				  "{\"recordId\":\"...\",\"modelInput\":{...}}"},
	[JSONFAULT_NUMBER] = {"this is not a number in JSON",
			      "digits on both sides of the point, no + in front, no hex: 0.5, -12, "
			      "1e9"},
	[JSONFAULT_OUTSIDE_STRING] = {"a character that may only stand in a string",
				      "put text in straight double quotes (\"), not in curly ones"},
	[JSONFAULT_PYTHON_WORD] = {"this is Python, not JSON",
				   "write true, false and null; json.dumps(record) does, "
				   "str(record) does not"},
	[JSONFAULT_SECOND_OBJECT] = {"a second object on the line",
				     "put each record on a line of its own"},
	[JSONFAULT_SINGLE_QUOTE] = {"single quotes are not JSON",
				    "use double quotes; json.dumps(record) does, str(record) does "
				    "not"},
	[JSONFAULT_TAB_IN_STRING] = {"a raw tab in a string", "write it as \\t"},
	[JSONFAULT_TRAILING] = {"something stands after the record",
				"end the line after the record's closing }"},
	[JSONFAULT_UNCLOSED] = {"a string is not closed",
				"close it with \" on the same line; write a line break in it as "
				"\\n"},
	[JSONFAULT_UTF16] = {"the file is not UTF-8; this looks like UTF-16",
			     "save it as UTF-8 (Python: open(..., \"w\", encoding=\"utf-8\"))"},
	[JSONFAULT_UTF8] = {"a byte that is not UTF-8",
			    "save the file as UTF-8 (it may be Latin-1 or Windows-1252, or a "
			    "character was cut in two)"},
	[JSONFAULT_VALUE_MISSING] = {"a value is missing here", "put one in, or null"},
	[JSONFAULT_ZERO] = {"a zero byte", "save the file as UTF-8: this may be UTF-16, or a file "
					   "that was not written to its end"},
	[JSONFAULT_ZERO_LEADING] = {"a number with a leading zero",
				    "remove the zero, or put the number in double quotes"},
};

const char *jsonfault_what(enum jsonfault f)
{
	assert(f < JSONFAULT_COUNT && words[f].what);
	return words[f].what;
}

const char *jsonfault_cure(enum jsonfault f)
{
	assert(f < JSONFAULT_COUNT && words[f].cure);
	return words[f].cure;
}

static bool is_letter(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$';
}

static bool is_closing(unsigned char c)
{
	return c == '}' || c == ']';
}

/* Mistakes that look the same wherever they stand; JSONFAULT_COUNT: none. */
static enum jsonfault explain_anywhere(unsigned char c, bool is_first)
{
	if (is_first && c == 0xef)
		return JSONFAULT_BOM;
	if (is_first && (c == 0xfe || c == 0xff))
		return JSONFAULT_UTF16;
	if (c == '\0')
		return JSONFAULT_ZERO;
	if (c >= 0x80)
		return JSONFAULT_OUTSIDE_STRING;
	if (c < 0x20 || c == 0x7f)
		return JSONFAULT_CONTROL;
	if (c == '\'')
		return JSONFAULT_SINGLE_QUOTE;
	if (c == '/' || c == '#')
		return JSONFAULT_COMMENT;
	return JSONFAULT_COUNT;
}

static enum jsonfault explain_name(enum json_place place, unsigned char c)
{
	if (c == '}' && place == AT_NAME)
		return JSONFAULT_COMMA_TRAILING;
	if (is_letter(c))
		return JSONFAULT_BARE_NAME;
	return is_closing(c) ? JSONFAULT_BRACKET : JSONFAULT_NAME_MISSING;
}

static enum jsonfault explain_value(enum json_place place, unsigned char c)
{
	if (c == ']' && place == AT_ELEMENT)
		return JSONFAULT_COMMA_TRAILING;
	if (is_closing(c))
		return place == AT_MEMBER ? JSONFAULT_VALUE_MISSING : JSONFAULT_BRACKET;
	if (c == '+' || c == '.')
		return JSONFAULT_NUMBER;
	return c == ',' || c == ':' ? JSONFAULT_VALUE_MISSING : JSONFAULT_BARE_WORD;
}

static enum jsonfault explain_after_record(unsigned char c)
{
	if (c == '{')
		return JSONFAULT_SECOND_OBJECT;
	if (c == ',')
		return JSONFAULT_COMMA_AFTER;
	return is_closing(c) ? JSONFAULT_CLOSED_TOO_OFTEN : JSONFAULT_TRAILING;
}

enum jsonfault jsonfault_explain(enum json_place place, unsigned char c, bool is_first)
{
	enum jsonfault f = explain_anywhere(c, is_first);

	if (f != JSONFAULT_COUNT)
		return f;
	switch (place) {
	case AT_LINE:
		return c == '[' || c == ']' ? JSONFAULT_ARRAY : JSONFAULT_NOT_OBJECT;
	case AT_NAME_OR_END:
	case AT_NAME:
		return explain_name(place, c);
	case AT_COLON:
		return JSONFAULT_COLON_MISSING;
	case AT_TEXT:
	case AT_MEMBER:
	case AT_ELEMENT_OR_END:
	case AT_ELEMENT:
		return explain_value(place, c);
	case AFTER_MEMBER:
	case AFTER_ELEMENT:
		return is_closing(c) ? JSONFAULT_BRACKET : JSONFAULT_COMMA_MISSING;
	case AT_DONE:
		return explain_after_record(c);
	case PLACE_COUNT:
		break;
	}
	return JSONFAULT_BARE_WORD;
}

enum jsonfault jsonfault_explain_word(const char *word, unsigned size)
{
	static const struct {
		const char *word;
		enum jsonfault fault;
	} known[] = {
		{"True", JSONFAULT_PYTHON_WORD}, {"False", JSONFAULT_PYTHON_WORD},
		{"None", JSONFAULT_PYTHON_WORD}, {"NaN", JSONFAULT_NAN},
		{"nan", JSONFAULT_NAN},		 {"Infinity", JSONFAULT_NAN},
		{"inf", JSONFAULT_NAN},
	};

	for (size_t i = 0; i < COUNT_OF(known); i++)
		if (strlen(known[i].word) == size && memcmp(known[i].word, word, size) == 0)
			return known[i].fault;
	return JSONFAULT_BARE_WORD;
}
