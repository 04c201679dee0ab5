#ifndef FS_BASE_JSONRUN_H
#define FS_BASE_JSONRUN_H

/*
 * Most bytes of JSON text are plain characters of strings; this finds where a
 * run of them ends, 16 bytes at a time where the machine can (SSE2), else 8.
 */

#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* The first byte from p on that is a control byte, '"', '\\' or not ASCII;
 * end if there is none. */
static inline const char *json_plain_end(const char *p, const char *end)
{
#ifdef __SSE2__
	const __m128i quote = _mm_set1_epi8('"');
	const __m128i backslash = _mm_set1_epi8('\\');
	const __m128i space = _mm_set1_epi8(' ');

	while (end - p >= 16) {
		__m128i bytes, odd;
		int mask;

		memcpy(&bytes, p, 16);
		/* The comparison is signed, so it finds bytes from 0x80 on too. */
		odd = _mm_or_si128(_mm_cmplt_epi8(bytes, space),
				   _mm_or_si128(_mm_cmpeq_epi8(bytes, quote),
						_mm_cmpeq_epi8(bytes, backslash)));
		mask = _mm_movemask_epi8(odd);
		if (mask)
			return p + __builtin_ctz((unsigned)mask);
		p += 16;
	}
#else
	const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;

	while (end - p >= 8) {
		uint64_t bytes, quotes, backslashes;

		memcpy(&bytes, p, 8);
		quotes = bytes ^ ones * '"';
		backslashes = bytes ^ ones * '\\';
		/* Sets the top bit of each byte that may be of interest; a
		 * borrow can set too many, never too few: the loop below decides. */
		if (((bytes - ones * ' ') | (quotes - ones) | (backslashes - ones) | bytes) & tops)
			break;
		p += 8;
	}
#endif
	for (; p < end; p++) {
		unsigned char c = (unsigned char)*p;

		if (c < 0x20 || c >= 0x80 || c == '"' || c == '\\')
			break;
	}
	return p;
}

#endif
