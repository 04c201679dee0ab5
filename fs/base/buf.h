#ifndef FS_BASE_BUF_H
#define FS_BASE_BUF_H

/*
 * A growable byte buffer that cannot outgrow a maximum named at its birth.
 *
 * Failure is sticky, as with stdio: after the first one (-ENOMEM, or -EFBIG
 * at the maximum) additions do nothing, and buf_error() tells at the end, so
 * that code which builds a text reads as the text.  data is always followed
 * by a NUL byte that is not counted in size; data is "" when nothing was
 * added.  Not thread-safe.
 */

#include <stddef.h>
#include <stdint.h>

#include "fs/base/macros.h"

struct buf {
	char *data;		/* owned; may be read and changed up to size */
	size_t size;		/* bytes in use */
	size_t capacity_, max_; /* private */
	int error_;
};

extern char buf_nothing[1]; /* what data points to while nothing is allocated */

/* An empty buffer where it is declared, so that its cleanup is right on every
 * path:  CLEANUP(buf_release) struct buf b = BUF_INIT(4096); */
#define BUF_INIT(max)                                                                              \
	{                                                                                          \
		buf_nothing, 0, 0, (max), 0                                                        \
	}

/* max counts the bytes of content. */
void buf_init(struct buf *b, size_t max);
void buf_release(struct buf *b); /* frees; the buffer is empty and usable again */
void buf_clear(struct buf *b);	 /* keeps the memory, forgets content and error */

MUST_CHECK int buf_error(const struct buf *b); /* 0, -ENOMEM or -EFBIG */

void buf_add(struct buf *b, const void *bytes, size_t size);
void buf_add_str(struct buf *b, const char *s);
void buf_add_char(struct buf *b, char c);
PRINTF_LIKE(2, 3) void buf_addf(struct buf *b, const char *fmt, ...);

/* A JSON string literal with its quotes.  Control bytes, '"' and '\' are
 * escaped, bytes that are not UTF-8 become U+FFFD, all else goes as it is. */
void buf_add_json(struct buf *b, const char *s, size_t size);

/* Makes room for size more bytes and returns where they go (NULL on failure);
 * the caller then adds what it wrote to b->size. */
char *buf_reserve(struct buf *b, size_t size);

/* The content as a heap string, which the caller frees; the buffer is empty
 * afterwards.  NULL after a failure. */
char *buf_steal(struct buf *b);

#endif
