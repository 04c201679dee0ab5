#ifndef BACKEND_AWS_S3SUM_H
#define BACKEND_AWS_S3SUM_H

/*
 * Checksums as S3 tells them, and files compared with them.
 *
 *	x-amz-checksum-crc32: y/U6HA==		CRC32, big-endian, base64
 *	ETag: "900150983cd24fb0d6963f7d28e17f72"	MD5 of a single put without KMS
 *	ETag: "...-3"				MD5 of the MD5s of 3 parts
 *
 * An ETag need not be an MD5; one that does not fit is no proof of anything.
 *
 * Threads: any.  Errors: 0 or -errno.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/err.h"
#include "fs/base/macros.h"

#define S3SUM_CRC32_SIZE 9 /* 8 characters and NUL */

uint32_t s3sum_crc32(const void *bytes, size_t size);
/* Of two pieces one behind the other. */
uint32_t s3sum_join(uint32_t first, uint32_t second, uint64_t second_size);

void s3sum_format(uint32_t crc, char ret[S3SUM_CRC32_SIZE]);
/* False: none, or one of another kind ("...-3", of the parts' checksums). */
bool s3sum_parse(const char *text, uint32_t *ret);

/* A piece of a file, mapped.  Pieces begin at multiples of the page size. */
struct s3sum_map {
	const char *bytes; /* "" for no bytes */
	size_t size;
};
MUST_CHECK int s3sum_map(int fd, uint64_t offset, size_t size, struct s3sum_map *ret,
			 struct err *e);
void s3sum_unmap(struct s3sum_map *m); /* all zero is fine */

/* Are these bytes what S3 tells?  The CRC32 decides if there is one, else an
 * ETag that looks like an MD5; false: they are not, or it cannot be told. */
bool s3sum_is_piece(const void *bytes, size_t size, const char *etag, const char *crc32);

/* The same of a whole file that may have been sent in parts of part_size. */
MUST_CHECK int s3sum_is_file(int fd, uint64_t size, size_t part_size, const char *etag,
			     const char *crc32, bool *ret, struct err *e);

#endif
