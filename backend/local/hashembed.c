#include "backend/local/hashembed.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "fs/base/utf8.h"

/*
 * Features are counted in a hash table whose entries are also kept in the
 * order of arrival, since adding doubles in another order may give other last
 * bits.  Two features with the same 64-bit hash count as one: that is what
 * feature hashing does anyway.
 */

#define GRAM_MIN  3
#define GRAM_MAX  5
#define FNV_BASIS 14695981039346656037u
#define FNV_PRIME 1099511628211u

struct feature {
	uint64_t hash;
	uint32_t count;
	bool half; /* of kind "c" */
};

struct features {
	struct feature *items; /* owned, in order of arrival */
	uint32_t *slots;       /* owned; item + 1, 0: free; a power of two of them */
	uint32_t count, slot_count;
};

/* 1 + ln(n) for n = 1..64, correctly rounded; log() may differ in its last
 * bit from one C library to the next. */
static const double weights[64] = {
	1.0,
	1.6931471805599454,
	2.0986122886681096,
	2.386294361119891,
	2.6094379124341005,
	2.791759469228055,
	2.9459101490553135,
	3.0794415416798357,
	3.1972245773362196,
	3.302585092994046,
	3.3978952727983707,
	3.4849066497880004,
	3.5649493574615367,
	3.6390573296152584,
	3.70805020110221,
	3.772588722239781,
	3.833213344056216,
	3.8903717578961645,
	3.9444389791664403,
	3.995732273553991,
	4.044522437723423,
	4.091042453358316,
	4.13549421592915,
	4.178053830347945,
	4.218875824868201,
	4.258096538021482,
	4.295836866004329,
	4.332204510175204,
	4.367295829986474,
	4.401197381662155,
	4.433987204485146,
	4.465735902799727,
	4.496507561466481,
	4.526360524616162,
	4.555348061489414,
	4.58351893845611,
	4.610917912644225,
	4.637586159726386,
	4.663561646129646,
	4.688879454113937,
	4.713572066704308,
	4.737669618283368,
	4.761200115693563,
	4.7841896339182615,
	4.80666248977032,
	4.828641396489095,
	4.850147601710058,
	4.871201010907891,
	4.891820298110627,
	4.912023005428146,
	4.931825632724326,
	4.951243718581427,
	4.9702919135521215,
	4.9889840465642745,
	5.007333185232471,
	5.02535169073515,
	5.04305126783455,
	5.060443010546419,
	5.07753744390572,
	5.0943445622221,
	5.110873864173311,
	5.127134385045092,
	5.143134726391533,
	5.1588830833596715,
};

static void features_release(struct features *f)
{
	free(f->items);
	free(f->slots);
	*f = (struct features){0};
}

static uint64_t fnv(uint64_t h, const char *s, size_t size)
{
	for (size_t i = 0; i < size; i++)
		h = (h ^ (unsigned char)s[i]) * FNV_PRIME;
	return h;
}

static uint64_t mix(uint64_t h)
{
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdu;
	h ^= h >> 33;
	h *= 0xc4ceb9fe1a85ec53u;
	h ^= h >> 33;
	return h;
}

static int grow(struct features *f)
{
	uint32_t n = f->slot_count ? f->slot_count * 2 : 1024;
	struct feature *items;
	uint32_t *slots;

	if (f->count >= HASHEMBED_FEATURES_MAX)
		return -E2BIG;
	items = realloc(f->items, n / 2 * sizeof(*items));
	if (!items)
		return -ENOMEM;
	f->items = items;
	slots = calloc(n, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < f->count; i++) {
		uint32_t at = (uint32_t)f->items[i].hash & (n - 1);

		while (slots[at])
			at = (at + 1) & (n - 1);
		slots[at] = i + 1;
	}
	free(f->slots);
	f->slots = slots;
	f->slot_count = n;
	return 0;
}

static int add(struct features *f, uint64_t raw, bool half)
{
	uint64_t h = mix(raw);
	uint32_t at;
	int r;

	if (f->count >= f->slot_count / 2) {
		r = grow(f);
		if (r < 0)
			return r;
	}
	at = (uint32_t)h & (f->slot_count - 1);
	for (; f->slots[at]; at = (at + 1) & (f->slot_count - 1)) {
		struct feature *have = &f->items[f->slots[at] - 1];

		if (have->hash == h) {
			have->count++;
			return 0;
		}
	}
	f->items[f->count] = (struct feature){.hash = h, .count = 1, .half = half};
	f->slots[at] = ++f->count;
	return 0;
}

/* The runs of code points of "<token>"; a byte that is not UTF-8 is one. */
static int add_grams(struct features *f, const char *token, size_t size)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(size + 2);
	int r = 0;

	buf_add_char(&b, '<');
	buf_add(&b, token, size);
	buf_add_char(&b, '>');
	if (buf_error(&b))
		return buf_error(&b);
	for (size_t from = 0; from < b.size && r == 0;) {
		size_t to = from, next = from;

		for (int n = 1; n <= GRAM_MAX && to < b.size && r == 0; n++) {
			size_t one = utf8_char_size(b.data + to, b.size - to);

			to += one ? one : 1;
			next = n == 1 ? to : next;
			if (n >= GRAM_MIN)
				r = add(f, fnv(fnv(FNV_BASIS, "c", 1), b.data + from, to - from),
					true);
		}
		from = next;
	}
	return r;
}

static bool is_token_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (unsigned char)c >= 0x80;
}

static int add_text(struct features *f, const char *text, size_t size)
{
	const char *before = NULL;
	size_t before_size = 0;
	int r = 0;

	for (size_t i = 0; i < size && r == 0;) {
		const char *token = text + i;
		size_t n = 0;
		uint64_t h;

		while (i + n < size && is_token_byte(token[n]))
			n++;
		i += n ? n : 1;
		if (n == 0)
			continue;
		r = add(f, fnv(fnv(FNV_BASIS, "w", 1), token, n), false);
		if (r == 0 && before) {
			h = fnv(fnv(FNV_BASIS, "b", 1), before, before_size);
			r = add(f, fnv(fnv(h, " ", 1), token, n), false);
		}
		if (r == 0)
			r = add_grams(f, token, n);
		before = token;
		before_size = n;
	}
	return r;
}

static void sum(const struct features *f, bool normalize, double *vector, unsigned dimensions)
{
	double length = 0;

	for (unsigned i = 0; i < dimensions; i++)
		vector[i] = 0;
	for (uint32_t i = 0; i < f->count; i++) {
		const struct feature *x = &f->items[i];
		uint32_t n = x->count < COUNT_OF(weights) ? x->count : COUNT_OF(weights);
		double w = weights[n - 1] * (x->half ? 0.5 : 1.0);

		vector[x->hash % dimensions] += x->hash >> 63 ? -w : w;
	}
	for (unsigned i = 0; i < dimensions; i++) {
		/* In two steps, so that no compiler fuses them. */
		volatile double square = vector[i] * vector[i];

		length += square;
	}
	if (!normalize || length <= 0)
		return;
	/* IEEE 754 wants sqrt correctly rounded: the same everywhere. */
	length = sqrt(length);
	for (unsigned i = 0; i < dimensions; i++)
		vector[i] /= length;
}

int hashembed(const char *text, size_t size, bool normalize, double *vector, unsigned dimensions)
{
	CLEANUP(features_release) struct features f = {0};
	CLEANUP(str_freep) char *lower = malloc(size + 1);
	int r;

	if (!lower)
		return -ENOMEM;
	for (size_t i = 0; i < size; i++)
		lower[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] + 32 : text[i]);
	r = add_text(&f, lower, size);
	if (r < 0)
		return r;
	sum(&f, normalize, vector, dimensions);
	return 0;
}

/* The radix character is the locale's in printf: the only one that is neither
 * digit, sign nor 'e'. */
static void print_number(double d, struct buf *out)
{
	char text[40];
	int n = snprintf(text, sizeof(text), "%.9g", d);

	for (int i = 0; i < n; i++)
		if (!strchr("0123456789+-e", text[i]))
			text[i] = '.';
	buf_add(out, text, (size_t)n);
}

void hashembed_print(const double *vector, unsigned dimensions, struct buf *out)
{
	buf_add_char(out, '[');
	for (unsigned i = 0; i < dimensions; i++) {
		if (i)
			buf_add_char(out, ',');
		if (vector[i] == 0) /* also of a negative zero */
			buf_add_char(out, '0');
		else
			print_number(vector[i], out);
	}
	buf_add_char(out, ']');
}
