#ifndef FS_BASE_UTF8_H
#define FS_BASE_UTF8_H

/*
 * Strict UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing above
 * U+10FFFF.  Pure functions.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the character at s (1 to 4), or 0 if the size bytes there do not
 * begin with a whole valid one. */
size_t utf8_char_size(const char *s, size_t size);

bool utf8_is_valid(const char *s, size_t size);

/* Writes code as UTF-8 to out (room for 4) and returns the bytes written, or
 * 0 if code is a surrogate or above U+10FFFF. */
size_t utf8_encode(uint32_t code, char *out);

#endif
