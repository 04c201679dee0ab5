#include "fs/base/jsonscan.h"

#include <assert.h>
#include <string.h>

#include "fs/base/jsonfault.h"
#include "fs/base/jsonlex.h"

/*
 * A push-down automaton over bytes, in two layers.
 *
 * Between tokens the state is an enum json_place, and the table actions[]
 * says what each class of byte does there; a cell that is zero is a fault,
 * which fs/base/jsonfault.c puts into words.  Inside a token the state is an
 * enum lexeme (fs/base/jsonlex.c), and a function each eats its bytes.  The stack
 * is a bit a level: object or list.
 *
 * Invariants.  All state is in struct jsonscan, so that a portion may end at
 * any byte; fast paths look ahead only within a portion and never decide
 * anything the slow path (one byte at a time) would not.  A function that
 * finds a fault does not take the byte: IN_SKIP does, which is the only
 * lexeme that looks for the end of the line.
 *
 *   AT_LINE -{-> AT_NAME_OR_END -"-> IN_STRING -> AT_COLON -> AT_MEMBER
 *      ^                                                          | value
 *      +-- newline -- AT_DONE <- last } -- AFTER_MEMBER <---------+
 */

enum class {
	IS_OTHER,
	IS_SPACE,
	IS_NEWLINE,
	IS_QUOTE,
	IS_OPEN_OBJECT,
	IS_OPEN_LIST,
	IS_CLOSE_OBJECT,
	IS_CLOSE_LIST,
	IS_COLON,
	IS_COMMA,
	IS_NUMBER,
	IS_LETTER,
	CLASS_COUNT,
};

static const uint8_t classes[256] = {
	[' '] = IS_SPACE,	   ['\t'] = IS_SPACE,	      ['\r'] = IS_SPACE,
	['\n'] = IS_NEWLINE,	   ['"'] = IS_QUOTE,	      ['{'] = IS_OPEN_OBJECT,
	['['] = IS_OPEN_LIST,	   ['}'] = IS_CLOSE_OBJECT,   [']'] = IS_CLOSE_LIST,
	[':'] = IS_COLON,	   [','] = IS_COMMA,	      ['-'] = IS_NUMBER,
	['0' ... '9'] = IS_NUMBER, ['a' ... 'z'] = IS_LETTER, ['A' ... 'Z'] = IS_LETTER,
};

enum action {
	DO_FAULT,
	DO_SPACE,
	DO_NEWLINE,
	DO_NAME,
	DO_STRING,
	DO_OPEN_OBJECT,
	DO_OPEN_LIST,
	DO_CLOSE,
	DO_COLON,
	DO_COMMA_MEMBER,
	DO_COMMA_ELEMENT,
	DO_NUMBER,
	DO_WORD,
};

#define BLANKS [IS_SPACE] = DO_SPACE, [IS_NEWLINE] = DO_NEWLINE
#define VALUES                                                                                     \
	[IS_QUOTE] = DO_STRING, [IS_OPEN_OBJECT] = DO_OPEN_OBJECT, [IS_OPEN_LIST] = DO_OPEN_LIST,  \
	[IS_NUMBER] = DO_NUMBER, [IS_LETTER] = DO_WORD

static const uint8_t actions[PLACE_COUNT][CLASS_COUNT] = {
	[AT_LINE] = {BLANKS, [IS_OPEN_OBJECT] = DO_OPEN_OBJECT},
	[AT_TEXT] = {BLANKS, VALUES},
	[AT_NAME_OR_END] = {BLANKS, [IS_QUOTE] = DO_NAME, [IS_CLOSE_OBJECT] = DO_CLOSE},
	[AT_NAME] = {BLANKS, [IS_QUOTE] = DO_NAME},
	[AT_COLON] = {BLANKS, [IS_COLON] = DO_COLON},
	[AT_MEMBER] = {BLANKS, VALUES},
	[AT_ELEMENT_OR_END] = {BLANKS, VALUES, [IS_CLOSE_LIST] = DO_CLOSE},
	[AT_ELEMENT] = {BLANKS, VALUES},
	[AFTER_MEMBER] = {BLANKS, [IS_COMMA] = DO_COMMA_MEMBER, [IS_CLOSE_OBJECT] = DO_CLOSE},
	[AFTER_ELEMENT] = {BLANKS, [IS_COMMA] = DO_COMMA_ELEMENT, [IS_CLOSE_LIST] = DO_CLOSE},
	[AT_DONE] = {BLANKS},
};

static void begin_line(struct jsonscan *s, uint64_t offset)
{
	s->line_++;
	s->line_offset_ = offset;
	s->depth_ = 0;
	s->state_ = AT_LINE;
	s->seen_ = 0;
	s->member_ = MEMBER_OTHER;
	s->id_size_ = 0;
}

/* A whole object ends before its line end of end_size bytes. */
static void report_record(struct jsonscan *s, const struct jsonscan_sink *sink, uint64_t end,
			  unsigned end_size)
{
	struct jsonscan_record rec = {
		.line = s->line_,
		.offset = s->line_offset_,
		.size = end - s->line_offset_,
		.end_size = end_size,
	};

	if (!(s->seen_ & 1 << MEMBER_INPUT)) {
		jsonlex_report(s, sink, s->line_offset_, JSONFAULT_INPUT_MISSING);
		return;
	}
	if (s->seen_ & 1 << MEMBER_ID) {
		s->id_[s->id_size_] = '\0';
		rec.id = s->id_;
		rec.id_size = s->id_size_;
	}
	if (sink)
		sink->record(sink->ctx, &rec);
}

/* p is at a newline. */
static void end_line(struct jsonlex *x, const char *p)
{
	struct jsonscan *s = x->s;
	bool is_crlf = (p > x->begin ? p[-1] : s->last_byte_) == '\r';
	uint64_t end = jsonlex_offset(x, p);

	if (s->state_ == AT_DONE)
		report_record(s, x->sink, end - is_crlf, 1 + is_crlf);
	else if (s->state_ == AT_LINE)
		jsonlex_report(s, x->sink, s->line_offset_, JSONFAULT_EMPTY);
	else if (s->state_ != IN_SKIP)
		jsonlex_report(s, x->sink, end, JSONFAULT_CUT);
	begin_line(s, end + 1);
}

/* May the value that begins at p belong to the member whose name stood before?
 * At the top level only; deeper ones have no names we know. */
static bool check_member(struct jsonlex *x, const char *p)
{
	struct jsonscan *s = x->s;

	if (s->member_ == MEMBER_ID && *p != '"')
		jsonlex_fail(x, p, JSONFAULT_ID_TYPE);
	else if (s->member_ == MEMBER_INPUT && *p == '"')
		jsonlex_fail(x, p, JSONFAULT_INPUT_STRING);
	else if (s->member_ == MEMBER_INPUT && *p != '{')
		jsonlex_fail(x, p, JSONFAULT_INPUT_TYPE);
	else
		return true;
	return false;
}

static const char *open_nesting(struct jsonlex *x, const char *p, bool is_object)
{
	struct jsonscan *s = x->s;
	uint64_t bit;

	if (s->depth_ == JSONSCAN_DEPTH_MAX) {
		jsonlex_fail(x, p, JSONFAULT_DEEP);
		return p;
	}
	bit = (uint64_t)1 << s->depth_ % 64;
	if (is_object)
		s->nesting_[s->depth_ / 64] |= bit;
	else
		s->nesting_[s->depth_ / 64] &= ~bit;
	s->depth_++;
	s->member_ = MEMBER_OTHER;
	s->state_ = is_object ? AT_NAME_OR_END : AT_ELEMENT_OR_END;
	return p + 1;
}

/* A value begins at p. */
static const char *begin_value(struct jsonlex *x, const char *p, enum action action)
{
	if (x->s->member_ != MEMBER_OTHER && !check_member(x, p))
		return p;
	if (action == DO_STRING)
		return jsonlex_string(x, p, false);
	if (action == DO_NUMBER)
		return jsonlex_number(x, p);
	if (action == DO_WORD)
		return jsonlex_word(x, p);
	return open_nesting(x, p, action == DO_OPEN_OBJECT);
}

/* Between tokens: takes bytes while it stays there. */
static const char *in_place(struct jsonlex *x, const char *p)
{
	struct jsonscan *s = x->s;

	while (p < x->end && s->state_ < PLACE_COUNT) {
		enum action action = actions[s->state_][classes[(unsigned char)*p]];

		switch (action) {
		case DO_FAULT:
			jsonlex_fail(x, p,
				     jsonfault_explain((enum json_place)s->state_,
						       (unsigned char)*p,
						       jsonlex_offset(x, p) == s->line_offset_));
			return p;
		case DO_NEWLINE:
			if (!s->is_text_)
				end_line(x, p);
			p++;
			break;
		case DO_SPACE:
			p++;
			break;
		case DO_NAME:
			p = jsonlex_string(x, p, true);
			break;
		case DO_CLOSE:
			s->depth_--;
			jsonlex_after_value(s);
			p++;
			break;
		case DO_COLON:
			s->state_ = AT_MEMBER;
			p++;
			break;
		case DO_COMMA_MEMBER:
			s->state_ = AT_NAME;
			p++;
			break;
		case DO_COMMA_ELEMENT:
			s->state_ = AT_ELEMENT;
			p++;
			break;
		case DO_STRING:
		case DO_OPEN_OBJECT:
		case DO_OPEN_LIST:
		case DO_NUMBER:
		case DO_WORD:
			p = begin_value(x, p, action);
			break;
		}
	}
	return p;
}

static const char *skip_line(struct jsonlex *x, const char *p)
{
	const char *newline = x->s->is_text_ ? NULL : memchr(p, '\n', (size_t)(x->end - p));

	if (!newline)
		return x->end;
	end_line(x, newline);
	return newline + 1;
}

/* A portion in which no line can become longer than JSONSCAN_LINE_MAX. */
static void feed_portion(struct jsonscan *s, const char *bytes, size_t size,
			 const struct jsonscan_sink *sink)
{
	struct jsonlex x = {s, sink, bytes, bytes + size, s->offset_};
	const char *p = bytes;

	assert(size > 0);
	while (p < x.end) {
		if (s->state_ < PLACE_COUNT)
			p = in_place(&x, p);
		else if (s->state_ == IN_SKIP)
			p = skip_line(&x, p);
		else
			p = jsonlex_go_on(&x, p);
	}
	s->offset_ += size;
	s->last_byte_ = x.end[-1];
}

/* How much of what comes next is safe to look at in one go: a line that is as
 * long as it may be can only end here, or it is too long. */
static size_t portion_size(struct jsonscan *s, const char *bytes, size_t size,
			   const struct jsonscan_sink *sink)
{
	uint64_t used = s->offset_ - s->line_offset_;
	const char *newline;

	if (used < JSONSCAN_LINE_MAX)
		return size < JSONSCAN_LINE_MAX - used ? size : (size_t)(JSONSCAN_LINE_MAX - used);
	if (*bytes == '\n' || (*bytes == '\r' && used == JSONSCAN_LINE_MAX))
		return 1;
	if (s->state_ != IN_SKIP) {
		jsonlex_report(s, sink, s->line_offset_ + JSONSCAN_LINE_MAX, JSONFAULT_LONG);
		s->state_ = IN_SKIP;
	}
	newline = memchr(bytes, '\n', size);
	return newline ? (size_t)(newline - bytes) + 1 : size;
}

void jsonscan_init(struct jsonscan *s)
{
	*s = (struct jsonscan){.line_ = 1, .state_ = AT_LINE};
}

void jsonscan_feed(struct jsonscan *s, const char *bytes, size_t size,
		   const struct jsonscan_sink *sink)
{
	while (size > 0) {
		size_t n = portion_size(s, bytes, size, sink);

		feed_portion(s, bytes, n, sink);
		bytes += n;
		size -= n;
	}
}

void jsonscan_end(const struct jsonscan *s, const struct jsonscan_sink *sink)
{
	struct jsonscan last = *s; /* the record's id needs a NUL, and s is not to change */

	if (s->state_ == IN_SKIP || s->offset_ == s->line_offset_)
		return;
	if (s->state_ == AT_DONE)
		report_record(&last, sink, s->offset_, 0);
	else if (s->state_ == AT_LINE)
		jsonlex_report(s, sink, s->line_offset_, JSONFAULT_EMPTY);
	else
		jsonlex_report(s, sink, s->offset_, JSONFAULT_CUT_AT_END);
}

uint64_t jsonscan_offset(const struct jsonscan *s)
{
	return s->offset_;
}

bool jsonscan_text_is_valid(const char *text, size_t size)
{
	struct jsonscan s = {.line_ = 1, .state_ = AT_TEXT, .is_text_ = true};

	jsonscan_feed(&s, text, size, NULL);
	jsonscan_feed(&s, "\n", 1, NULL); /* ends a number or a word */
	return s.state_ == AT_DONE;
}
