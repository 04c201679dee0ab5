#ifndef BACKEND_AWS_S3PUT_H
#define BACKEND_AWS_S3PUT_H

/*
 * Inside S3: uploads.  For backend/aws/s3put.c and s3multi.c only.
 *
 * Threads: any.  Errors: as s3.h.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/aws/s3call.h"

struct s3_source {
	const char *key, *content_type; /* content_type: never NULL */
	int fd;
	uint64_t size;
};

/* Is the key this content already?  Not to be allowed to look is no. */
MUST_CHECK int s3_is_there(struct s3 *s, const struct s3_source *from, bool *ret, struct err *e);

/* In parts.  resume: go on with an upload to that key that was begun. */
MUST_CHECK int s3_put_parts(struct s3 *s, const struct s3_source *from, bool resume, struct err *e);

/* How long the parts of an object of that size are. */
size_t s3_part_size(const struct s3 *s, uint64_t size);

/* The newest upload to the key that was begun and never completed; *ret is the
 * caller's, NULL: there is none. */
MUST_CHECK int s3_find_upload(struct s3 *s, const char *key, char **ret, struct err *e);
MUST_CHECK int s3_abort_upload(struct s3 *s, const char *key, const char *id, struct err *e);

/* A body and its headers; crc_text: its CRC32, or NULL; borrowed. */
void s3_request_body(struct aws_request *q, const void *bytes, size_t size,
		     const char *content_type, const char *crc_text);
/* Headers of an object that is begun: SSE-KMS, if a key was named. */
void s3_request_encrypt(const struct s3 *s, struct aws_request *q);

#endif
