#include "fs/job/inputhash.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "fs/base/buf.h"

/* The hash of an object is a sum over its members, so that their order does
 * not matter. */

#define DEPTH_MAX  128
#define NUMBER_MAX 64			 /* characters of one */
#define DIGITS_MAX 15			 /* that a double holds, whichever they are */
#define STRING_MAX (1024u * 1024 * 1024) /* bytes of one, decoded */
#define MEDIA	   "media://"

struct walk {
	const struct inputhash *hash;
	bool has_media;
};

int inputhash_init(struct inputhash *ret, enum inputhash_numbers numbers, struct err *e)
{
	struct inputhash h = {.numbers_ = numbers};

	if (getrandom(h.key_, sizeof(h.key_), 0) != (ssize_t)sizeof(h.key_))
		return err_set(e, -EIO, "cannot get random bytes from the kernel");
	*ret = h;
	return 0;
}

static struct inputhash_sum hash_bytes(const struct walk *w, char type, const void *bytes,
				       size_t size)
{
	struct inputhash_sum d;

	siphash128(w->hash->key_, bytes, size, d.half);
	d.half[0] += (unsigned char)type;
	return d;
}

static struct inputhash_sum hash_text(struct walk *w, const char *text, size_t size)
{
	if (size >= strlen(MEDIA) && memcmp(text, MEDIA, strlen(MEDIA)) == 0)
		w->has_media = true;
	return hash_bytes(w, 's', text, size);
}

static struct inputhash_sum hash_string(struct walk *w, struct jsonspan v)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT(STRING_MAX);

	/* Most strings say what they are as they stand. */
	if (v.size >= 2 && v.at[v.size - 1] == '"' && !memchr(v.at, '\\', v.size))
		return hash_text(w, v.at + 1, v.size - 2);
	if (!jsonspan_string(v, &text) || buf_error(&text) < 0)
		return hash_bytes(w, '?', v.at, v.size);
	return hash_text(w, text.data, text.size);
}

static bool is_long(const char *number)
{
	size_t digits = 0;

	for (const char *p = number; *p && *p != 'e' && *p != 'E'; p++)
		digits += *p >= '0' && *p <= '9';
	return digits > DIGITS_MAX;
}

static struct inputhash_sum hash_number(const struct walk *w, struct jsonspan v)
{
	char text[NUMBER_MAX + 1];
	double n;

	if (v.size > NUMBER_MAX)
		return hash_bytes(w, '?', v.at, v.size);
	memcpy(text, v.at, v.size);
	text[v.size] = '\0';
	n = strtod(text, NULL) + 0.0; /* no -0 */
	if (w->hash->numbers_ == INPUTHASH_EXACTLY && (is_long(text) || !isfinite(n)))
		return hash_bytes(w, '?', v.at, v.size);
	return hash_bytes(w, 'n', &n, sizeof(n));
}

static struct inputhash_sum hash_value(struct walk *w, struct jsonspan v, int depth);

static struct inputhash_sum hash_array(struct walk *w, struct jsonspan v, int depth)
{
	struct jsonspan_walk elements = jsonspan_walk(v);
	struct inputhash_sum both[2] = {hash_bytes(w, 'a', "", 0)};

	while (jsonspan_next(&elements)) {
		both[1] = hash_value(w, elements.value, depth + 1);
		both[0] = hash_bytes(w, 'a', both, sizeof(both));
	}
	return both[0];
}

static struct inputhash_sum hash_object(struct walk *w, struct jsonspan v, int depth)
{
	struct jsonspan_walk members = jsonspan_walk(v);
	struct inputhash_sum sum = {{0, 0}}, both[2], d;

	while (jsonspan_next(&members)) {
		both[0] = hash_string(w, members.key);
		both[1] = hash_value(w, members.value, depth + 1);
		d = hash_bytes(w, 'm', both, sizeof(both));
		sum.half[0] += d.half[0];
		sum.half[1] += d.half[1];
	}
	return hash_bytes(w, 'o', &sum, sizeof(sum));
}

static struct inputhash_sum hash_value(struct walk *w, struct jsonspan v, int depth)
{
	switch (depth < DEPTH_MAX ? jsonspan_type(v) : JSONSPAN_NONE) {
	case JSONSPAN_STRING:
		return hash_string(w, v);
	case JSONSPAN_NUMBER:
		return hash_number(w, v);
	case JSONSPAN_ARRAY:
		return hash_array(w, v, depth);
	case JSONSPAN_OBJECT:
		return hash_object(w, v, depth);
	case JSONSPAN_NONE:
	case JSONSPAN_NULL:
	case JSONSPAN_BOOL:
		break;
	}
	/* What lies deeper than anybody needs counts as it stands, and may
	 * be a file. */
	w->has_media |= depth >= DEPTH_MAX;
	return hash_bytes(w, '?', v.at ? v.at : "", v.size);
}

struct inputhash_sum inputhash_of(const struct inputhash *h, struct jsonspan input,
				  bool *ret_has_media)
{
	struct walk w = {.hash = h};
	struct inputhash_sum sum = hash_value(&w, input, 0);

	if (ret_has_media)
		*ret_has_media = w.has_media;
	return sum;
}
