#ifndef FS_BASE_SIPHASH_H
#define FS_BASE_SIPHASH_H

/*
 * SipHash-2-4 with a result of 128 bits (Aumasson and Bernstein, 2012): a
 * hash whose collisions nobody can choose who does not know the key.  Not
 * for signatures or passwords.  Pure function.
 */

#include <stddef.h>
#include <stdint.h>

#define SIPHASH_KEY_SIZE 16

/* ret[0] holds the first eight bytes of the reference's output, little-endian. */
void siphash128(const unsigned char key[SIPHASH_KEY_SIZE], const void *bytes, size_t size,
		uint64_t ret[2]);

#endif
