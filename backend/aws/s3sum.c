/* First: it names what fs/base/banned.h bans. */
#include <openssl/evp.h>

#include "backend/aws/s3sum.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>
#include <sys/mman.h>
#include <zlib.h>

#define MD5_SIZE   16
#define WINDOW_MAX (16u * 1024 * 1024)

uint32_t s3sum_crc32(const void *bytes, size_t size)
{
	return (uint32_t)crc32_z(0, bytes, size);
}

uint32_t s3sum_join(uint32_t first, uint32_t second, uint64_t second_size)
{
	return (uint32_t)crc32_combine(first, second, (z_off_t)second_size);
}

void s3sum_format(uint32_t crc, char ret[S3SUM_CRC32_SIZE])
{
	const unsigned char bytes[4] = {
		(unsigned char)(crc >> 24),
		(unsigned char)(crc >> 16),
		(unsigned char)(crc >> 8),
		(unsigned char)crc,
	};

	EVP_EncodeBlock((unsigned char *)ret, bytes, sizeof(bytes));
}

bool s3sum_parse(const char *text, uint32_t *ret)
{
	unsigned char bytes[6];

	if (strlen(text) != S3SUM_CRC32_SIZE - 1 || strcmp(text + 6, "==") != 0 ||
	    EVP_DecodeBlock(bytes, (const unsigned char *)text, S3SUM_CRC32_SIZE - 1) !=
		    (int)sizeof(bytes))
		return false;
	*ret = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
	       (uint32_t)bytes[3];
	return true;
}

int s3sum_map(int fd, uint64_t offset, size_t size, struct s3sum_map *ret, struct err *e)
{
	void *at;

	if (size == 0) {
		*ret = (struct s3sum_map){.bytes = ""};
		return 0;
	}
	at = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, (off_t)offset);
	if (at == MAP_FAILED)
		return err_errno(e, -errno, "cannot map what is to be sent");
	ignore_error(madvise(at, size, MADV_SEQUENTIAL));
	*ret = (struct s3sum_map){.bytes = at, .size = size};
	return 0;
}

void s3sum_unmap(struct s3sum_map *m)
{
	if (m->size)
		munmap((void *)(uintptr_t)m->bytes, m->size);
	*m = (struct s3sum_map){.bytes = ""};
}

/* False where MD5 is not to be had (FIPS). */
static bool md5(const void *bytes, size_t size, unsigned char ret[MD5_SIZE])
{
	return EVP_Digest(bytes, size, ret, NULL, EVP_md5(), NULL) == 1;
}

/* The ETag without its quotes: 32 hex digits, then maybe "-N".  *ret_parts is
 * 0 without. */
static bool read_etag(const char *etag, unsigned char ret[MD5_SIZE], unsigned long *ret_parts)
{
	char *end;

	etag += *etag == '"';
	for (size_t i = 0; i < 2 * MD5_SIZE; i++) {
		int digit = OPENSSL_hexchar2int((unsigned char)etag[i]);

		if (digit < 0)
			return false;
		ret[i / 2] = (unsigned char)(i % 2 ? ret[i / 2] | digit : digit << 4);
	}
	etag += 2 * MD5_SIZE;
	*ret_parts = 0;
	if (*etag == '-') {
		*ret_parts = strtoul(etag + 1, &end, 10);
		etag = end;
	}
	return *etag == 0 || strcmp(etag, "\"") == 0;
}

bool s3sum_is_piece(const void *bytes, size_t size, const char *etag, const char *crc32)
{
	unsigned char theirs[MD5_SIZE], ours[MD5_SIZE];
	unsigned long parts;
	uint32_t crc;

	if (s3sum_parse(crc32, &crc))
		return s3sum_crc32(bytes, size) == crc;
	return read_etag(etag, theirs, &parts) && parts == 0 && md5(bytes, size, ours) &&
	       memcmp(theirs, ours, MD5_SIZE) == 0;
}

/* What is learnt of a file window by window. */
struct sums {
	uint32_t crc;
	EVP_MD_CTX *whole; /* owned; the MD5 of all, or of the windows' MD5s */
	bool by_parts, no_md5;
};

static int add_window(struct sums *s, int fd, uint64_t offset, size_t size, struct err *e)
{
	CLEANUP(s3sum_unmap) struct s3sum_map m = {.bytes = ""};
	unsigned char digest[MD5_SIZE];
	int r = s3sum_map(fd, offset, size, &m, e);

	if (r < 0)
		return r;
	if (!s->whole)
		s->crc = (uint32_t)crc32_z(s->crc, (const unsigned char *)m.bytes, m.size);
	else if (!s->by_parts)
		s->no_md5 |= EVP_DigestUpdate(s->whole, m.bytes, m.size) != 1;
	else
		s->no_md5 |= !md5(m.bytes, m.size, digest) ||
			     EVP_DigestUpdate(s->whole, digest, MD5_SIZE) != 1;
	return 0;
}

static int add_file(struct sums *s, int fd, uint64_t size, size_t window, struct err *e)
{
	for (uint64_t at = 0; at < size; at += window) {
		uint64_t left = size - at;
		int r = add_window(s, fd, at, left < window ? (size_t)left : window, e);

		if (r < 0)
			return r;
	}
	return 0;
}

int s3sum_is_file(int fd, uint64_t size, size_t part_size, const char *etag, const char *crc32,
		  bool *ret, struct err *e)
{
	unsigned char theirs[MD5_SIZE], ours[MD5_SIZE];
	struct sums s = {.crc = 0};
	unsigned long parts;
	uint32_t crc;
	int r;

	if (s3sum_parse(crc32, &crc)) {
		r = add_file(&s, fd, size, WINDOW_MAX, e);
		if (r == 0)
			*ret = s.crc == crc;
		return r;
	}
	if (!read_etag(etag, theirs, &parts) ||
	    (parts && parts != (size + part_size - 1) / part_size)) {
		*ret = false;
		return 0;
	}
	s.by_parts = parts != 0;
	s.whole = EVP_MD_CTX_new();
	if (!s.whole)
		return err_set(e, -ENOMEM, "no memory for a checksum");
	s.no_md5 = EVP_DigestInit_ex(s.whole, EVP_md5(), NULL) != 1;
	r = s.no_md5 ? 0 : add_file(&s, fd, size, s.by_parts ? part_size : WINDOW_MAX, e);
	if (r == 0)
		*ret = !s.no_md5 && EVP_DigestFinal_ex(s.whole, ours, NULL) == 1 &&
		       memcmp(ours, theirs, MD5_SIZE) == 0;
	EVP_MD_CTX_free(s.whole);
	return r;
}
