#include "fs/base/jsonlex.h"

#include <string.h>

#include "fs/base/jsonrun.h"
#include "fs/base/utf8.h"

/*
 * Strings are where the bytes are, so they are eaten in runs: plain ASCII 16
 * bytes at a time, whole UTF-8 characters, simple escapes.  What does not lie
 * whole in the portion, and what may be wrong, goes byte by byte through
 * IN_ESCAPE, IN_HEX and IN_UTF8, which therefore decide every fault alone.
 *
 * Only names at the top level and the value of recordId are decoded, into
 * name_ and id_; all else is checked and forgotten.
 */

enum capture {
	CAPTURE_NONE,
	CAPTURE_NAME,
	CAPTURE_ID,
};

/* What name_size_ says of a name or word too long to be one of ours. */
#define NAME_LONG 255

void jsonlex_report(const struct jsonscan *s, const struct jsonscan_sink *sink, uint64_t offset,
		    enum jsonfault what)
{
	struct jsonscan_fault f = {
		.line = s->line_,
		.column = offset - s->line_offset_ + 1,
		.what = jsonfault_what(what),
		.cure = jsonfault_cure(what),
	};

	if (sink)
		sink->fault(sink->ctx, &f);
}

static void fail_at(struct jsonlex *x, uint64_t offset, enum jsonfault what)
{
	jsonlex_report(x->s, x->sink, offset, what);
	x->s->state_ = IN_SKIP;
}

void jsonlex_fail(struct jsonlex *x, const char *p, enum jsonfault what)
{
	fail_at(x, jsonlex_offset(x, p), what);
}

static bool is_in_object(const struct jsonscan *s)
{
	uint32_t level = s->depth_ - 1;

	return s->nesting_[level / 64] >> level % 64 & 1;
}

void jsonlex_after_value(struct jsonscan *s)
{
	if (s->depth_ == 0)
		s->state_ = AT_DONE;
	else
		s->state_ = is_in_object(s) ? AFTER_MEMBER : AFTER_ELEMENT;
}

/* Copies decoded bytes of a name or an id.  What does not fit is counted only. */
static void capture(struct jsonscan *s, const char *bytes, size_t size)
{
	if (s->high_) { /* and no second half came */
		s->is_lone_ = true;
		s->high_ = 0;
	}
	if (s->capture_ == CAPTURE_ID) {
		if (s->id_size_ <= JSONSCAN_ID_MAX && size <= JSONSCAN_ID_MAX - s->id_size_)
			memcpy(s->id_ + s->id_size_, bytes, size);
		else
			size = JSONSCAN_ID_MAX + 1 - s->id_size_; /* too long, and stays so */
		s->id_size_ += (uint32_t)size;
	} else if (s->name_size_ != NAME_LONG) {
		if (size <= sizeof(s->name_) - s->name_size_) {
			memcpy(s->name_ + s->name_size_, bytes, size);
			s->name_size_ = (uint8_t)(s->name_size_ + size);
		} else {
			s->name_size_ = NAME_LONG;
		}
	}
}

static void capture_code(struct jsonscan *s, uint32_t code)
{
	char bytes[4];
	size_t size;

	if (s->high_ && code >= 0xdc00 && code <= 0xdfff) {
		code = 0x10000 + ((s->high_ - 0xd800) << 10) + (code - 0xdc00);
		s->high_ = 0;
	}
	size = utf8_encode(code, bytes);
	if (size) {
		capture(s, bytes, size);
		return;
	}
	/* Half of a pair: the name is none of ours and the id is a fault,
	 * unless this is a first half and the second one follows. */
	if (s->high_ || code >= 0xdc00)
		s->is_lone_ = true;
	s->high_ = code < 0xdc00 ? code : 0;
}

static void begin_string(struct jsonlex *x, const char *p, bool is_name)
{
	struct jsonscan *s = x->s;

	s->mark_ = jsonlex_offset(x, p);
	s->is_name_ = is_name;
	s->state_ = IN_STRING;
	s->capture_ = CAPTURE_NONE;
	if (s->depth_ != 1 || s->is_text_)
		return;
	if (is_name) {
		s->capture_ = CAPTURE_NAME;
		s->name_size_ = 0;
	} else if (s->member_ == MEMBER_ID) {
		s->capture_ = CAPTURE_ID;
		s->id_size_ = 0;
	}
	s->is_lone_ = false;
	s->high_ = 0;
}

/* A name at the top level is complete: do we know it? */
static void end_name(struct jsonlex *x)
{
	static const struct {
		const char *name;
		uint8_t member; /* enum member */
		enum jsonfault again;
	} known[] = {
		{"recordId", MEMBER_ID, JSONFAULT_ID_DOUBLE},
		{"modelInput", MEMBER_INPUT, JSONFAULT_INPUT_DOUBLE},
	};
	struct jsonscan *s = x->s;

	s->member_ = MEMBER_OTHER;
	for (size_t i = 0; i < COUNT_OF(known) && !s->is_lone_; i++) {
		if (s->name_size_ != strlen(known[i].name) ||
		    memcmp(s->name_, known[i].name, s->name_size_) != 0)
			continue;
		s->member_ = known[i].member;
		if (s->seen_ & 1 << s->member_) {
			fail_at(x, s->mark_, known[i].again);
			return;
		}
		s->seen_ = (uint8_t)(s->seen_ | 1 << s->member_);
	}
}

static void end_id(struct jsonlex *x)
{
	struct jsonscan *s = x->s;

	s->member_ = MEMBER_OTHER;
	if (s->is_lone_)
		fail_at(x, s->mark_, JSONFAULT_ID_SURROGATE);
	else if (s->id_size_ == 0)
		fail_at(x, s->mark_, JSONFAULT_ID_EMPTY);
	else if (s->id_size_ > JSONSCAN_ID_MAX)
		fail_at(x, s->mark_, JSONFAULT_ID_LONG);
}

static void end_string(struct jsonlex *x)
{
	struct jsonscan *s = x->s;

	if (s->is_name_)
		s->state_ = AT_COLON;
	else
		jsonlex_after_value(s);
	if (s->capture_ == CAPTURE_NONE)
		return;
	if (s->high_)
		s->is_lone_ = true;
	if (s->capture_ == CAPTURE_NAME)
		end_name(x);
	else
		end_id(x);
}

/* The first byte of a character of several, or a byte that is none. */
static const char *begin_utf8(struct jsonlex *x, const char *p)
{
	struct jsonscan *s = x->s;
	unsigned char c = (unsigned char)*p;

	s->low_ = 0x80;
	s->top_ = 0xbf;
	s->char_size_ = 1;
	if (c >= 0xc2 && c <= 0xdf) {
		s->tails_ = 1;
	} else if (c >= 0xe0 && c <= 0xef) {
		s->tails_ = 2;
		if (c == 0xe0)
			s->low_ = 0xa0; /* below: overlong */
		else if (c == 0xed)
			s->top_ = 0x9f; /* above: surrogates */
	} else if (c >= 0xf0 && c <= 0xf4) {
		s->tails_ = 3;
		if (c == 0xf0)
			s->low_ = 0x90; /* below: overlong */
		else if (c == 0xf4)
			s->top_ = 0x8f; /* above: beyond U+10FFFF */
	} else {
		jsonlex_fail(x, p, JSONFAULT_UTF8);
		return p;
	}
	if (s->capture_)
		capture(s, p, 1);
	s->state_ = IN_UTF8;
	return p + 1;
}

static const char *in_utf8(struct jsonlex *x, const char *p)
{
	struct jsonscan *s = x->s;
	unsigned char c = (unsigned char)*p;

	if (c < s->low_ || c > s->top_) {
		fail_at(x, jsonlex_offset(x, p) - s->char_size_, JSONFAULT_UTF8);
		return p;
	}
	if (s->capture_)
		capture(s, p, 1);
	s->low_ = 0x80;
	s->top_ = 0xbf;
	s->char_size_++;
	if (--s->tails_ == 0)
		s->state_ = IN_STRING;
	return p + 1;
}

static const char *in_escape(struct jsonlex *x, const char *p)
{
	static const char decoded[256] = {['"'] = '"',	['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
					  ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t'};
	struct jsonscan *s = x->s;
	unsigned char c = (unsigned char)*p;

	if (c == 'u') {
		s->state_ = IN_HEX;
		s->digits_ = 4;
		s->code_ = 0;
		return p + 1;
	}
	if (!decoded[c]) {
		jsonlex_fail(x, p, c == '\n' ? JSONFAULT_UNCLOSED : JSONFAULT_ESCAPE);
		return p;
	}
	if (s->capture_)
		capture(s, &decoded[c], 1);
	s->state_ = IN_STRING;
	return p + 1;
}

static const char *in_hex(struct jsonlex *x, const char *p)
{
	struct jsonscan *s = x->s;
	unsigned char c = (unsigned char)*p;
	uint32_t digit;

	if (c >= '0' && c <= '9') {
		digit = c - (uint32_t)'0';
	} else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
		digit = (c | 0x20) - (uint32_t)'a' + 10;
	} else {
		jsonlex_fail(x, p, JSONFAULT_HEX);
		return p;
	}
	s->code_ = s->code_ << 4 | digit;
	if (--s->digits_ == 0) {
		if (s->capture_)
			capture_code(s, s->code_);
		s->state_ = IN_STRING;
	}
	return p + 1;
}

/* Passes whole valid characters that are not ASCII. */
static const char *utf8_run_end(const char *p, const char *end)
{
	while (p < end && (unsigned char)*p >= 0x80) {
		size_t n = utf8_char_size(p, (size_t)(end - p));

		if (!n)
			break;
		p += n;
	}
	return p;
}

/* Passes whole valid \\uXXXX, of which json.dumps() makes all that is not
 * ASCII.  Only where nobody wants them decoded. */
static const char *unicode_run_end(const char *p, const char *end)
{
	static const bool is_hex[256] = {
		['0' ... '9'] = true, ['a' ... 'f'] = true, ['A' ... 'F'] = true};

	while (end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
		const unsigned char *h = (const unsigned char *)p + 2;

		if (!(is_hex[h[0]] & is_hex[h[1]] & is_hex[h[2]] & is_hex[h[3]]))
			break;
		p += 6;
	}
	return p;
}

static const char *in_string(struct jsonlex *x, const char *p)
{
	struct jsonscan *s = x->s;

	while (p < x->end) {
		const char *q = json_plain_end(p, x->end);
		unsigned char c;

		if (q < x->end)
			q = utf8_run_end(q, x->end);
		if (s->capture_ && q > p)
			capture(s, p, (size_t)(q - p));
		p = s->capture_ ? q : unicode_run_end(q, x->end);
		if (p == x->end)
			break;
		c = (unsigned char)*p;
		if (c == '"') {
			end_string(x);
			return p + 1;
		}
		if (c == '\\') {
			s->state_ = IN_ESCAPE;
			if (++p < x->end)
				p = in_escape(x, p);
		} else if (c < 0x20) {
			jsonlex_fail(x, p,
				     c == '\n'	 ? JSONFAULT_UNCLOSED
				     : c == '\t' ? JSONFAULT_TAB_IN_STRING
						 : JSONFAULT_CONTROL_IN_STRING);
		} else if (c >= 0x80) { /* not whole in this portion, or not valid */
			p = begin_utf8(x, p);
		}
		if (s->state_ != IN_STRING)
			break;
	}
	return p;
}

const char *jsonlex_string(struct jsonlex *x, const char *p, bool is_name)
{
	begin_string(x, p, is_name);
	return in_string(x, p + 1);
}

/* ---- numbers ---- */

static bool is_digit(unsigned char c)
{
	return c >= '0' && c <= '9';
}

static bool is_word_byte(unsigned char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* The lexeme that c leads to from a lexeme of a number; 0: c is not part of it. */
static unsigned number_step(unsigned from, unsigned char c)
{
	bool is_e = (c | 0x20) == 'e';

	switch (from) {
	case IN_MINUS:
		return c == '0' ? IN_ZERO : is_digit(c) ? IN_INTEGER : 0;
	case IN_ZERO:
		return c == '.' ? IN_POINT : is_e ? IN_E : 0;
	case IN_INTEGER:
		return is_digit(c) ? IN_INTEGER : c == '.' ? IN_POINT : is_e ? IN_E : 0;
	case IN_POINT:
		return is_digit(c) ? IN_FRACTION : 0;
	case IN_FRACTION:
		return is_digit(c) ? IN_FRACTION : is_e ? IN_E : 0;
	case IN_E:
		if (c == '+' || c == '-')
			return IN_E_SIGN;
		return is_digit(c) ? IN_EXPONENT : 0;
	default: /* IN_E_SIGN, IN_EXPONENT */
		return is_digit(c) ? IN_EXPONENT : 0;
	}
}

/* p is at the byte that does not go on with the number. */
static void end_number(struct jsonlex *x, const char *p)
{
	struct jsonscan *s = x->s;
	unsigned char c = (unsigned char)*p;
	bool is_whole = s->state_ == IN_ZERO || s->state_ == IN_INTEGER ||
			s->state_ == IN_FRACTION || s->state_ == IN_EXPONENT;

	if (s->state_ == IN_ZERO && is_digit(c))
		fail_at(x, s->mark_, JSONFAULT_ZERO_LEADING);
	else if (s->state_ == IN_MINUS && (c == 'I' || c == 'i' || c == 'N' || c == 'n'))
		fail_at(x, s->mark_, JSONFAULT_NAN);
	else if (c == '\n' && !is_whole && !s->is_text_)
		jsonlex_fail(x, p, JSONFAULT_CUT);
	else if (!is_whole || is_word_byte(c) || c == '.' || c == '+' || c == '-')
		fail_at(x, s->mark_, JSONFAULT_NUMBER);
	else
		jsonlex_after_value(s);
}

static const char *in_number(struct jsonlex *x, const char *p)
{
	unsigned state = x->s->state_;

	for (; p < x->end; p++) {
		unsigned next = number_step(state, (unsigned char)*p);

		if (!next)
			break;
		state = next;
	}
	x->s->state_ = (uint8_t)state;
	if (p < x->end)
		end_number(x, p);
	return p;
}

const char *jsonlex_number(struct jsonlex *x, const char *p)
{
	x->s->mark_ = jsonlex_offset(x, p);
	x->s->state_ = *p == '-' ? IN_MINUS : *p == '0' ? IN_ZERO : IN_INTEGER;
	return in_number(x, p + 1);
}

/* ---- words ---- */

static void end_word(struct jsonlex *x)
{
	static const char *const words[] = {"true", "false", "null"};
	struct jsonscan *s = x->s;

	for (size_t i = 0; i < COUNT_OF(words); i++) {
		if (s->name_size_ == strlen(words[i]) &&
		    memcmp(s->name_, words[i], s->name_size_) == 0) {
			jsonlex_after_value(s);
			return;
		}
	}
	fail_at(x, s->mark_,
		s->name_size_ == NAME_LONG ? JSONFAULT_BARE_WORD
					   : jsonfault_explain_word(s->name_, s->name_size_));
}

/* Letters are collected to the end of the word before it is judged: NaN and
 * None begin alike and need different words. */
static const char *in_word(struct jsonlex *x, const char *p)
{
	struct jsonscan *s = x->s;

	for (; p < x->end && is_word_byte((unsigned char)*p); p++) {
		if (s->name_size_ < sizeof(s->name_))
			s->name_[s->name_size_++] = *p;
		else
			s->name_size_ = NAME_LONG;
	}
	if (p < x->end)
		end_word(x);
	return p;
}

const char *jsonlex_word(struct jsonlex *x, const char *p)
{
	x->s->mark_ = jsonlex_offset(x, p);
	x->s->name_size_ = 0;
	x->s->state_ = IN_WORD;
	return in_word(x, p);
}

const char *jsonlex_go_on(struct jsonlex *x, const char *p)
{
	switch (x->s->state_) {
	case IN_STRING:
		return in_string(x, p);
	case IN_ESCAPE:
		return in_escape(x, p);
	case IN_HEX:
		return in_hex(x, p);
	case IN_UTF8:
		return in_utf8(x, p);
	case IN_WORD:
		return in_word(x, p);
	default:
		return in_number(x, p);
	}
}
