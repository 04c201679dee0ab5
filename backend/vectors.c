#include "backend/vectors.h"

#include <errno.h>
#include <string.h>

#include "backend/textpath.h"

/* Above this many vectors in one answer they keep the answer's order. */
#define SORTED_MAX 65536

static void write_numbers(struct jsonspan array, struct buf *text)
{
	struct jsonspan_walk w = jsonspan_walk(array);
	bool first = true;

	while (jsonspan_next(&w)) {
		if (jsonspan_type(w.value) != JSONSPAN_NUMBER)
			continue;
		if (!first)
			buf_add_char(text, ' ');
		buf_add(text, w.value.at, w.value.size);
		first = false;
	}
	buf_add_char(text, '\n');
}

/* The six bits of a base64 character; -1 for any other. */
static int sextet(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static void write_float(const unsigned char *bytes, bool first, struct buf *text)
{
	uint32_t bits = (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
			(uint32_t)bytes[3] << 24;
	float f;

	memcpy(&f, &bits, sizeof(f));
	buf_addf(text, first ? "%.9g" : " %.9g", (double)f);
}

static void write_base64(struct jsonspan string, struct buf *text)
{
	unsigned char bytes[4];
	unsigned count = 0, bits = 0, held = 0;
	bool first = true;

	for (size_t i = 1; i + 1 < string.size; i++) {
		int six;

		if (string.at[i] == '\\') /* "\/" is the only escape base64 can have */
			continue;
		six = sextet(string.at[i]);
		if (six < 0)
			break;
		bits = (bits << 6 | (unsigned)six) & 0xfff;
		held += 6;
		if (held < 8)
			continue;
		held -= 8;
		bytes[count++] = (unsigned char)(bits >> held);
		if (count == sizeof(bytes)) {
			write_float(bytes, first, text);
			first = false;
			count = 0;
		}
	}
	buf_add_char(text, '\n');
}

static void write_vector(struct jsonspan v, struct buf *text)
{
	if (jsonspan_type(v) == JSONSPAN_ARRAY)
		write_numbers(v, text);
	else if (jsonspan_type(v) == JSONSPAN_STRING)
		write_base64(v, text);
}

/* "float": [..] of one input, or "float": [[..],[..]] of several. */
static void write_by_type(struct jsonspan types, struct buf *text)
{
	struct jsonspan_walk type = jsonspan_walk(types), each;

	while (jsonspan_next(&type)) {
		if (!textpath_first(type.value, "0/@array|0/@string").at) {
			write_vector(type.value, text);
			continue;
		}
		each = jsonspan_walk(type.value);
		while (jsonspan_next(&each))
			write_vector(each.value, text);
	}
}

/* --- items with an embedding, in order --- */

struct item {
	uint64_t index;
	struct jsonspan embedding;
};

struct items {
	struct item *items; /* owned; NULL where order needs no help */
	size_t count;
	uint64_t last_index;
	bool unordered;
	struct buf *text;
};

static int by_index(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	if (x->index != y->index)
		return x->index < y->index ? -1 : 1;
	return x->embedding.at < y->embedding.at ? -1 : x->embedding.at > y->embedding.at;
}

static bool look_at_order(void *ctx, struct jsonspan v)
{
	struct items *s = ctx;
	uint64_t index;

	s->count++;
	if (jsonspan_u64(jsonspan_get(v, "index"), &index)) {
		s->unordered |= index < s->last_index;
		s->last_index = index;
	}
	return s->count <= SORTED_MAX;
}

static bool keep_item(void *ctx, struct jsonspan v)
{
	struct items *s = ctx;
	struct item *i = &s->items[s->count++];

	if (!jsonspan_u64(jsonspan_get(v, "index"), &i->index))
		i->index = s->count;
	i->embedding = jsonspan_get(v, "embedding");
	return true;
}

static bool write_item(void *ctx, struct jsonspan v)
{
	const struct items *s = ctx;
	struct jsonspan embedding = jsonspan_get(v, "embedding");

	if (jsonspan_is_set(embedding))
		write_vector(embedding, s->text);
	else if (jsonspan_type(v) == JSONSPAN_OBJECT)
		write_by_type(v, s->text);
	else
		write_vector(v, s->text);
	return true;
}

void vectors_write(struct jsonspan output, const char *path, struct buf *text)
{
	struct items s = {.text = text};

	textpath_each(output, path, look_at_order, &s);
	if (!s.unordered || s.count > SORTED_MAX) {
		textpath_each(output, path, write_item, &s);
		return;
	}
	s.items = calloc(s.count, sizeof(*s.items));
	if (!s.items) { /* the wrong order would be a lie: the text fails instead */
		buf_reserve(text, SIZE_MAX);
		return;
	}
	s.count = 0;
	textpath_each(output, path, keep_item, &s);
	qsort(s.items, s.count, sizeof(*s.items), by_index);
	for (size_t i = 0; i < s.count; i++)
		write_vector(s.items[i].embedding, text);
	free(s.items);
}
