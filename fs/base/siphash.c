#include "fs/base/siphash.h"

#include <endian.h>
#include <string.h>

struct sip {
	uint64_t v0, v1, v2, v3;
};

static uint64_t rotate_left(uint64_t x, unsigned bits)
{
	return x << bits | x >> (64 - bits);
}

static uint64_t load_le64(const unsigned char *bytes)
{
	uint64_t x;

	memcpy(&x, bytes, sizeof(x));
	return le64toh(x);
}

static inline void mix(struct sip *s, unsigned rounds)
{
	while (rounds--) {
		s->v0 += s->v1;
		s->v2 += s->v3;
		s->v1 = rotate_left(s->v1, 13) ^ s->v0;
		s->v3 = rotate_left(s->v3, 16) ^ s->v2;
		s->v0 = rotate_left(s->v0, 32);
		s->v2 += s->v1;
		s->v0 += s->v3;
		s->v1 = rotate_left(s->v1, 17) ^ s->v2;
		s->v3 = rotate_left(s->v3, 21) ^ s->v0;
		s->v2 = rotate_left(s->v2, 32);
	}
}

static inline void take(struct sip *s, uint64_t word)
{
	s->v3 ^= word;
	mix(s, 2);
	s->v0 ^= word;
}

void siphash128(const unsigned char key[SIPHASH_KEY_SIZE], const void *bytes, size_t size,
		uint64_t ret[2])
{
	const unsigned char *at = bytes;
	uint64_t k0 = load_le64(key), k1 = load_le64(key + 8);
	uint64_t last = (uint64_t)size << 56;
	/* "somepseudorandomlygeneratedbytes", and 0xee: the 128-bit variant. */
	struct sip s = {
		.v0 = k0 ^ 0x736f6d6570736575u,
		.v1 = k1 ^ 0x646f72616e646f6du ^ 0xee,
		.v2 = k0 ^ 0x6c7967656e657261u,
		.v3 = k1 ^ 0x7465646279746573u,
	};

	for (; size >= 8; at += 8, size -= 8)
		take(&s, load_le64(at));
	for (size_t i = 0; i < size; i++)
		last |= (uint64_t)at[i] << 8 * i;
	take(&s, last);
	s.v2 ^= 0xee;
	mix(&s, 4);
	ret[0] = s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
	s.v1 ^= 0xdd;
	mix(&s, 4);
	ret[1] = s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
