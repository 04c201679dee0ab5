#include "fs/base/jsonspan.h"

#include <string.h>

#include "fs/base/jsonrun.h"
#include "fs/base/utf8.h"

/*
 * Nothing is parsed before it is asked for.  To get past a value, strings are
 * skipped in runs and brackets are matched on a stack of bits; what stands
 * between the brackets is only looked at when somebody walks there.  So a
 * nonsense deep inside a value nobody asks for is not noticed: texts that must
 * be valid go through fs/base/jsonscan.h.
 *
 * Every skip_*() takes p < end and returns the place after what it skipped,
 * at most end, or NULL if it is not whole there or makes no sense.
 */

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static const char *past_space(const char *p, const char *end)
{
	while (p < end && is_space(*p))
		p++;
	return p;
}

static const char *skip_string(const char *p, const char *end)
{
	p++;
	for (;;) {
		p = json_plain_end(p, end);
		while (p < end && (unsigned char)*p >= 0x80)
			p++;
		if (p == end)
			return NULL;
		if (*p == '"')
			return p + 1;
		if (*p == '\\' && end - p < 2)
			return NULL;
		p += *p == '\\' ? 2 : 1;
	}
}

static const char *skip_nested(const char *p, const char *end)
{
	uint64_t is_object[JSONSPAN_DEPTH_MAX / 64] = {0};
	unsigned depth = 0;

	while (p < end) {
		char c = *p;

		if (c == '"') {
			p = skip_string(p, end);
			if (!p)
				return NULL;
			continue;
		}
		p++;
		if (c == '{' || c == '[') {
			uint64_t bit = (uint64_t)1 << depth % 64;

			if (depth == JSONSPAN_DEPTH_MAX)
				return NULL;
			is_object[depth / 64] &= ~bit;
			is_object[depth / 64] |= c == '{' ? bit : 0;
			depth++;
		} else if (c == '}' || c == ']') {
			if (depth-- == 0) /* not if p began with a bracket */
				return NULL;
			if ((is_object[depth / 64] >> depth % 64 & 1) != (c == '}'))
				return NULL;
			if (depth == 0)
				return p;
		}
	}
	return NULL;
}

/* A number (its characters, in any order) or one of the three words. */
static const char *skip_scalar(const char *p, const char *end)
{
	static const char *const words[] = {"true", "false", "null"};
	const char *begin = p;

	for (size_t i = 0; i < COUNT_OF(words); i++) {
		size_t size = strlen(words[i]);

		if ((size_t)(end - p) >= size && memcmp(p, words[i], size) == 0)
			return p + size;
	}
	if (*p != '-' && !is_digit(*p))
		return NULL;
	for (p++; p < end; p++)
		if (!is_digit(*p) && *p != '.' && *p != 'e' && *p != 'E' && *p != '+' && *p != '-')
			break;
	return is_digit(p[-1]) && p > begin ? p : NULL;
}

static const char *skip_value(const char *p, const char *end)
{
	if (*p == '"')
		return skip_string(p, end);
	if (*p == '{' || *p == '[')
		return skip_nested(p, end);
	return skip_scalar(p, end);
}

/* ---- strings, a piece at a time ---- */

struct piece {
	const char *at; /* into the text, or decoded */
	size_t size;
	char decoded[4];
};

/* Four hex digits; -1: they are not. */
static int32_t hex4(const char *p, const char *end)
{
	int32_t code = 0;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		unsigned char c = (unsigned char)p[i];
		unsigned char lower = c | 0x20;

		if (is_digit(p[i]))
			code = code << 4 | (c - '0');
		else if (lower >= 'a' && lower <= 'f')
			code = code << 4 | (lower - 'a' + 10);
		else
			return -1;
	}
	return code;
}

/* p is after "\u". */
static const char *decode_unicode(const char *p, const char *end, struct piece *ret)
{
	int32_t code = hex4(p, end);

	if (code < 0)
		return NULL;
	p += 4;
	if (code >= 0xd800 && code <= 0xdbff && end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
		int32_t low = hex4(p + 2, end);

		if (low >= 0xdc00 && low <= 0xdfff) {
			code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
			p += 6;
		}
	}
	ret->at = ret->decoded;
	ret->size = utf8_encode((uint32_t)code, ret->decoded);
	if (!ret->size)
		ret->size = utf8_encode(0xfffd, ret->decoded);
	return p;
}

/* The next piece of a string's content, which is not empty; returns where the
 * one after it begins, or NULL at an escape that is none. */
static const char *next_piece(const char *p, const char *end, struct piece *ret)
{
	static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
	const char *backslash = memchr(p, '\\', (size_t)(end - p));
	const char *name;

	if (backslash != p) {
		ret->at = p;
		ret->size = (size_t)((backslash ? backslash : end) - p);
		return p + ret->size;
	}
	if (end - p < 2 || p[1] == '\0')
		return NULL;
	if (p[1] == 'u')
		return decode_unicode(p + 2, end, ret);
	name = strchr(names, p[1]);
	if (!name)
		return NULL;
	ret->at = ret->decoded;
	ret->decoded[0] = values[name - names];
	ret->size = 1;
	return p + 2;
}

/* What is between the quotes; false if v is not one whole string. */
static bool content_of(struct jsonspan v, const char **ret_begin, const char **ret_end)
{
	if (v.size < 2 || v.at[0] != '"' || skip_string(v.at, v.at + v.size) != v.at + v.size)
		return false;
	*ret_begin = v.at + 1;
	*ret_end = v.at + v.size - 1;
	return true;
}

static bool equals(struct jsonspan v, const char *s, size_t size)
{
	const char *p, *end;

	if (!content_of(v, &p, &end))
		return false;
	while (p < end) {
		struct piece piece;

		p = next_piece(p, end, &piece);
		if (!p || piece.size > size || memcmp(piece.at, s, piece.size) != 0)
			return false;
		s += piece.size;
		size -= piece.size;
	}
	return size == 0;
}

bool jsonspan_equals(struct jsonspan v, const char *s)
{
	return equals(v, s, strlen(s));
}

bool jsonspan_string(struct jsonspan v, struct buf *out)
{
	struct piece piece;
	const char *begin, *end, *p;

	if (!content_of(v, &begin, &end))
		return false;
	for (p = begin; p && p < end;)
		p = next_piece(p, end, &piece);
	if (!p)
		return false;
	for (p = begin; p < end; buf_add(out, piece.at, piece.size)) {
		p = next_piece(p, end, &piece);
		if (!p) /* not after the loop before */
			return false;
	}
	return true;
}

/* ---- values ---- */

struct jsonspan jsonspan_of(const char *bytes, size_t size)
{
	const char *end, *p;

	if (!bytes)
		return (struct jsonspan){0};
	end = bytes + size;
	p = past_space(bytes, end);
	while (end > p && is_space(end[-1]))
		end--;
	return p < end ? (struct jsonspan){p, (size_t)(end - p)} : (struct jsonspan){0};
}

enum jsonspan_type jsonspan_type(struct jsonspan v)
{
	if (!v.at || !v.size)
		return JSONSPAN_NONE;
	switch (v.at[0]) {
	case '{':
		return JSONSPAN_OBJECT;
	case '[':
		return JSONSPAN_ARRAY;
	case '"':
		return JSONSPAN_STRING;
	case 't':
	case 'f':
		return JSONSPAN_BOOL;
	case 'n':
		return JSONSPAN_NULL;
	default:
		return v.at[0] == '-' || is_digit(v.at[0]) ? JSONSPAN_NUMBER : JSONSPAN_NONE;
	}
}

bool jsonspan_is_set(struct jsonspan v)
{
	enum jsonspan_type type = jsonspan_type(v);

	return type != JSONSPAN_NONE && type != JSONSPAN_NULL;
}

struct jsonspan_walk jsonspan_walk(struct jsonspan v)
{
	enum jsonspan_type type = jsonspan_type(v);

	if (type != JSONSPAN_OBJECT && type != JSONSPAN_ARRAY)
		return (struct jsonspan_walk){0};
	return (struct jsonspan_walk){
		.at_ = v.at + 1, .end_ = v.at + v.size, .object_ = type == JSONSPAN_OBJECT};
}

/* Takes one value at p into *ret; returns what follows it and white space. */
static const char *take_value(const char *p, const char *end, struct jsonspan *ret)
{
	const char *after;

	p = past_space(p, end);
	after = p < end ? skip_value(p, end) : NULL;
	if (!after)
		return NULL;
	*ret = (struct jsonspan){p, (size_t)(after - p)};
	return past_space(after, end);
}

static const char *take_key(const char *p, const char *end, struct jsonspan *ret)
{
	p = past_space(p, end);
	if (p == end || *p != '"')
		return NULL;
	p = take_value(p, end, ret);
	return p && p < end && *p == ':' ? p + 1 : NULL;
}

bool jsonspan_next(struct jsonspan_walk *w)
{
	const char *p = w->at_;
	struct jsonspan key = {0}, value;

	w->at_ = NULL; /* unless this goes well */
	w->key = w->value = (struct jsonspan){0};
	if (!p)
		return false;
	p = past_space(p, w->end_);
	if (p == w->end_ || *p == '}' || *p == ']')
		return false;
	if (w->started_ && *p++ != ',')
		return false;
	if (w->object_)
		p = take_key(p, w->end_, &key);
	if (p)
		p = take_value(p, w->end_, &value);
	if (!p)
		return false;
	w->key = key;
	w->value = value;
	w->at_ = p;
	w->started_ = true;
	return true;
}

static struct jsonspan member(struct jsonspan v, const char *key, size_t size)
{
	struct jsonspan_walk w = jsonspan_walk(v);

	if (!w.object_)
		return (struct jsonspan){0};
	while (jsonspan_next(&w))
		if (equals(w.key, key, size))
			return w.value;
	return (struct jsonspan){0};
}

static struct jsonspan element(struct jsonspan v, const char *index, size_t size)
{
	struct jsonspan_walk w = jsonspan_walk(v);
	uint64_t skip;

	if (!jsonspan_u64((struct jsonspan){index, size}, &skip))
		return (struct jsonspan){0};
	while (jsonspan_next(&w))
		if (skip-- == 0)
			return w.value;
	return (struct jsonspan){0};
}

struct jsonspan jsonspan_get(struct jsonspan v, const char *key)
{
	return member(v, key, strlen(key));
}

struct jsonspan jsonspan_path(struct jsonspan v, const char *path)
{
	while (*path && v.at) {
		size_t size = strcspn(path, "/");

		if (jsonspan_type(v) == JSONSPAN_ARRAY)
			v = element(v, path, size);
		else
			v = member(v, path, size);
		path += size;
		path += *path == '/';
	}
	return v;
}

bool jsonspan_u64(struct jsonspan v, uint64_t *ret)
{
	uint64_t number = 0;

	if (jsonspan_type(v) == JSONSPAN_STRING) {
		if (v.size < 3 || v.at[v.size - 1] != '"')
			return false;
		v.at++;
		v.size -= 2;
	} else if (v.size > 1 && v.at[0] == '0') {
		return false;
	}
	if (!v.at || !v.size)
		return false;
	for (size_t i = 0; i < v.size; i++) {
		uint64_t digit = (uint64_t)(v.at[i] - '0');

		if (!is_digit(v.at[i]) || number > (UINT64_MAX - digit) / 10)
			return false;
		number = number * 10 + digit;
	}
	*ret = number;
	return true;
}
