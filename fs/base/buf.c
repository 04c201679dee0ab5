#include "fs/base/buf.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "fs/base/jsonrun.h"
#include "fs/base/utf8.h"

/* Never written to: capacity 0 says so. */
char buf_nothing[1] = "";

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){.data = buf_nothing, .max_ = max};
}

void buf_release(struct buf *b)
{
	if (b->capacity_)
		free(b->data);
	buf_init(b, b->max_);
}

void buf_clear(struct buf *b)
{
	b->size = 0;
	b->error_ = 0;
	if (b->capacity_)
		b->data[0] = '\0';
}

int buf_error(const struct buf *b)
{
	return b->error_;
}

char *buf_reserve(struct buf *b, size_t size)
{
	size_t want, capacity = b->capacity_ ? b->capacity_ : 64;
	char *data;

	if (b->error_)
		return NULL;
	if (size > b->max_ - b->size) {
		b->error_ = -EFBIG;
		return NULL;
	}
	want = b->size + size + 1;
	if (want > b->capacity_) {
		while (capacity < want)
			capacity += capacity / 2 + 1;
		data = realloc(b->capacity_ ? b->data : NULL, capacity);
		if (!data) {
			b->error_ = -ENOMEM;
			return NULL;
		}
		b->data = data;
		b->capacity_ = capacity;
	}
	return b->data + b->size;
}

void buf_add(struct buf *b, const void *bytes, size_t size)
{
	char *at = buf_reserve(b, size);

	if (!at)
		return;
	if (size)
		memcpy(at, bytes, size);
	b->size += size;
	b->data[b->size] = '\0';
}

void buf_add_str(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_add_char(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;
	char *at;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	assert(n >= 0);
	at = buf_reserve(b, (size_t)n);
	if (at) {
		vsnprintf(at, (size_t)n + 1, fmt, again);
		b->size += (size_t)n;
	}
	va_end(again);
}

void buf_add_json(struct buf *b, const char *s, size_t size)
{
	static const char escapes[32] = {
		['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
	size_t i = 0;

	buf_add_char(b, '"');
	while (i < size) {
		size_t n = (size_t)(json_plain_end(s + i, s + size) - (s + i));
		unsigned char c;

		buf_add(b, s + i, n);
		i += n;
		if (i == size)
			break;
		c = (unsigned char)s[i];
		if (c < 0x20) {
			if (escapes[c])
				buf_addf(b, "\\%c", escapes[c]);
			else
				buf_addf(b, "\\u%04x", c);
			i++;
			continue;
		}
		if (c == '"' || c == '\\')
			buf_add_char(b, '\\');
		n = utf8_char_size(s + i, size - i);
		if (n)
			buf_add(b, s + i, n);
		else
			buf_add_str(b, "\xef\xbf\xbd");
		i += n ? n : 1;
	}
	buf_add_char(b, '"');
}

char *buf_steal(struct buf *b)
{
	char *data;

	if (b->error_ || !buf_reserve(b, 0)) {
		buf_release(b);
		return NULL;
	}
	b->data[b->size] = '\0';
	data = b->data;
	buf_init(b, b->max_);
	return data;
}
