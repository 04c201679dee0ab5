#ifndef BACKEND_TEXT_H
#define BACKEND_TEXT_H

/*
 * Where the text, the stop reason and the token counts sit in each model
 * family's answer: a table of paths, tried in a fixed order on the shape of
 * the answer itself (the model's id often does not tell: inference profiles,
 * imported models, local servers).
 *
 * Text is what the model wrote, for people: all text blocks joined; several
 * choices separated by a line holding one form feed (0x0C); tool calls as one
 * compact JSON line each; thinking left out; an embedding as one line a
 * vector, numbers separated by a space.  It ends with a newline unless it is
 * empty.  Members that are null count as absent.
 */

#include <stdbool.h>

#include "fs/base/buf.h"
#include "fs/base/jsonspan.h"
#include "fs/base/state.h"

#define TEXT_STOP_MAX 64

struct text_answer {
	const char *family; /* "converse", "claude", ... constant; NULL if not recognised */
	char stop_reason[TEXT_STOP_MAX]; /* or empty */
	bool has_tokens;
	struct tokens tokens;
};

/* Appends the text of output (a modelOutput) to text and fills *ret.  An
 * answer whose family is not known is appended as it is, on one line. */
void text_extract(struct jsonspan output, struct buf *text, struct text_answer *ret);

/* Appends the last user message of a modelInput, or its prompt: what a person
 * would call the question (paths by family as for answers).  False: none found. */
bool text_prompt(struct jsonspan input, struct buf *text);

#endif
