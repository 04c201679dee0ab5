#include "fs/base/kv.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "fs/base/utf8.h"

/*
 * The lines are taken apart here and not by inih, whose Debian build cuts
 * lines at 200 bytes and names at 50 without a word, and takes " ;" within a
 * command for the beginning of a comment.
 */

/* Digits that a double holds exactly, and powers of ten that are exact, too:
 * one division of the two is correctly rounded. */
#define DECIMAL_DIGITS_MAX 15

void kv_release(struct kv *kv)
{
	for (size_t i = 0; i < kv->count; i++) {
		free(kv->pairs[i].key);
		free(kv->pairs[i].value);
	}
	free(kv->pairs);
	*kv = (struct kv)KV_INIT;
}

static struct kv_pair *find(const struct kv *kv, const char *key)
{
	for (size_t i = 0; i < kv->count; i++)
		if (strcmp(kv->pairs[i].key, key) == 0)
			return &kv->pairs[i];
	return NULL;
}

const char *kv_get(const struct kv *kv, const char *key)
{
	struct kv_pair *p = find(kv, key);

	return p ? p->value : NULL;
}

static int set(struct kv *kv, const char *key, size_t key_size, const char *value,
	       size_t value_size)
{
	CLEANUP(str_freep) char *k = strndup(key, key_size);
	CLEANUP(str_freep) char *v = strndup(value, value_size);
	struct kv_pair *pairs, *old;

	if (!k || !v)
		return -ENOMEM;
	old = find(kv, k);
	if (old) {
		free(old->value);
		old->value = STEAL(&v);
		return 0;
	}
	if (kv->count >= KV_COUNT_MAX)
		return -E2BIG;
	pairs = realloc(kv->pairs, (kv->count + 1) * sizeof(*pairs));
	if (!pairs)
		return -ENOMEM;
	kv->pairs = pairs;
	kv->pairs[kv->count++] = (struct kv_pair){.key = STEAL(&k), .value = STEAL(&v)};
	return 0;
}

int kv_set(struct kv *kv, const char *key, const char *value)
{
	return set(kv, key, strlen(key), value, strlen(value));
}

int kv_copy(struct kv *to, const struct kv *from)
{
	int r = 0;

	for (size_t i = 0; i < from->count && r == 0; i++)
		r = kv_set(to, from->pairs[i].key, from->pairs[i].value);
	return r;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t';
}

static void trim(const char **s, size_t *size)
{
	while (*size && is_space(**s)) {
		(*s)++;
		(*size)--;
	}
	while (*size && is_space((*s)[*size - 1]))
		(*size)--;
}

static bool is_key(const char *s, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		char c = s[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
		    c != '_' && c != '-' && c != '.')
			return false;
	}
	return size > 0 && size <= KV_KEY_MAX;
}

static const char *fault_of_bytes(const char *s, size_t size)
{
	if (!utf8_is_valid(s, size))
		return "not UTF-8; save the file as UTF-8";
	for (size_t i = 0; i < size; i++)
		if (((unsigned char)s[i] < 0x20 && s[i] != '\t') || s[i] == 0x7f)
			return "a control byte; take it out";
	return NULL;
}

int kv_line_parse(const char *line, size_t size, struct kv_line *ret, const char **ret_what)
{
	struct kv_line l = {.kind = KV_LINE_EMPTY};
	const char *equals;

	if (size && line[size - 1] == '\r')
		size--;
	*ret_what = fault_of_bytes(line, size);
	if (*ret_what)
		return -EINVAL;
	trim(&line, &size);
	if (size == 0 || *line == '#' || *line == ';') {
		*ret = l;
		return 0;
	}
	if (*line == '[') {
		l.kind = KV_LINE_SECTION;
		l.name = line + 1;
		l.name_size = size - 2;
		*ret_what = "a section that does not end in ']'";
		if (size < 2 || line[size - 1] != ']')
			return -EINVAL;
		trim(&l.name, &l.name_size);
		*ret = l;
		return 0;
	}
	equals = memchr(line, '=', size);
	*ret_what = "not \"key = value\"";
	if (!equals)
		return -EINVAL;
	l = (struct kv_line){.kind = KV_LINE_PAIR, .name = line, .value = equals + 1};
	l.name_size = (size_t)(equals - line);
	l.value_size = size - l.name_size - 1;
	trim(&l.name, &l.name_size);
	trim(&l.value, &l.value_size);
	*ret_what = "a key is made of letters, digits, '_', '-' and '.'";
	if (!is_key(l.name, l.name_size))
		return -EINVAL;
	*ret = l;
	return 0;
}

static int add_line(struct kv *kv, const char *line, size_t size, const char **ret_what)
{
	struct kv_line l;
	int r = kv_line_parse(line, size, &l, ret_what);

	if (r < 0)
		return r;
	if (l.kind == KV_LINE_EMPTY)
		return 0;
	*ret_what = "a section has no place here; write \"key = value\"";
	if (l.kind == KV_LINE_SECTION)
		return -EINVAL;
	*ret_what = "too many keys";
	return set(kv, l.name, l.name_size, l.value, l.value_size);
}

int kv_parse(struct kv *kv, const char *name, const char *text, size_t size, struct err *e)
{
	CLEANUP(kv_release) struct kv all = KV_INIT;
	const char *what = "";
	int r;

	if (size > KV_TEXT_MAX)
		return err_set(e, -EINVAL, "%s: longer than %d bytes", name, KV_TEXT_MAX);
	r = kv_copy(&all, kv);
	if (r < 0)
		return err_errno(e, r, "%s", name);
	for (unsigned number = 1; size; number++) {
		const char *end = memchr(text, '\n', size);
		size_t line = end ? (size_t)(end - text) : size;

		r = add_line(&all, text, line, &what);
		if (r == -ENOMEM)
			return err_set(e, r, "%s:%u: no memory", name, number);
		if (r < 0)
			return err_set(e, -EINVAL, "%s:%u: %s", name, number, what);
		line += end != NULL;
		text += line;
		size -= line;
	}
	kv_release(kv);
	*kv = all;
	all = (struct kv)KV_INIT;
	return 0;
}

int kv_parse_u64(const char *key, const char *value, uint64_t min, uint64_t max, uint64_t *ret,
		 struct err *e)
{
	uint64_t n = 0;
	bool good = *value != '\0';

	for (const char *c = value; *c && good; c++) {
		uint64_t digit = (uint64_t)(*c - '0');

		good = *c >= '0' && *c <= '9' && n <= (UINT64_MAX - digit) / 10;
		if (good)
			n = n * 10 + digit;
	}
	if (!good || n < min || n > max)
		return err_set(e, -EINVAL, "%s = %.60s: give a whole number from %llu to %llu", key,
			       value, (unsigned long long)min, (unsigned long long)max);
	*ret = n;
	return 0;
}

int kv_parse_double(const char *key, const char *value, double min, double max, double *ret,
		    struct err *e)
{
	uint64_t n = 0, scale = 1;
	unsigned digits = 0;
	bool good = true, negative = *value == '-', point = false;
	double d;

	for (const char *c = value + negative; *c && good; c++) {
		if (*c == '.' && !point) {
			point = true;
			continue;
		}
		good = *c >= '0' && *c <= '9' && ++digits <= DECIMAL_DIGITS_MAX;
		if (good)
			n = n * 10 + (uint64_t)(*c - '0');
		if (good && point)
			scale *= 10;
	}
	d = (negative ? -1.0 : 1.0) * (double)n / (double)scale;
	if (!good || digits == 0 || d < min || d > max)
		return err_set(e, -EINVAL, "%s = %.60s: give a number from %g to %g", key, value,
			       min, max);
	*ret = d;
	return 0;
}
