#ifndef BACKEND_AWS_S3_H
#define BACKEND_AWS_S3_H

/*
 * Amazon S3, as much of it as batch jobs need, for one bucket.
 *
 * The bucket's region is found out at the first call (HEAD, the header
 * x-amz-bucket-region) and a redirect corrects it.  Uploads above S3_PART_SIZE
 * go in parts, several at once, and an upload that a crash cut short is gone
 * on with (ListMultipartUploads, ListParts).  Downloads are ranged, pinned to
 * one ETag, and checked against the size and, where S3 tells it, the CRC32.
 *
 * Threads: any; calls block; aws_cancel() ends them.  Errors: as call.h;
 * -EAGAIN passes, also once there are other credentials than those that have
 * expired; -EACCES and -ENOENT name bucket, key and the right that is missing,
 * -ESTALE: the object changed while it was read, -ENOSPC: no room for it on
 * this disk, -EIO: it comes damaged time and again, -EPROTO: what S3 answers
 * makes no sense.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/aws/call.h"

#define S3_KEY_MAX   1024
#define S3_PART_SIZE (16u * 1024 * 1024)
#define S3_ETAG_MAX  AWS_TEXT_MAX
#define S3_PARTS_MAX 10000 /* of one upload */

struct s3;

struct s3_options {
	const char *bucket;	  /* kept as a copy, as all strings here */
	const char *region;	  /* where to begin looking */
	const char *bucket_owner; /* 12 digits, sent along; or NULL */
	const char *kms_key;	  /* SSE-KMS for what is put; or NULL */
	bool path_style;
	bool checksums;	   /* false: only where required */
	unsigned parallel; /* parts at once; 0: 4 */
	size_t part_size;  /* at least; 0: S3_PART_SIZE */
};

MUST_CHECK int s3_open(struct aws *a, const struct s3_options *o, struct s3 **ret, struct err *e);
void s3_close(struct s3 *s); /* NULL is fine */

/* The same bucket, to be closed first; its calls end with -ECANCELED once *cancel is
 * true, which is borrowed (NULL: never). */
MUST_CHECK int s3_fork(struct s3 *s, const atomic_bool *cancel, struct s3 **ret, struct err *e);

const char *s3_bucket(const struct s3 *s);

/* The bucket's region, asked for once; borrowed.  -ENOENT: no such bucket. */
MUST_CHECK int s3_region(struct s3 *s, const char **ret, struct err *e);

struct s3_object {
	char key[S3_KEY_MAX + 1];
	char etag[S3_ETAG_MAX]; /* with its quotes */
	uint64_t size;
	int64_t modified_ns; /* wall; 0: not told */
};

/* Puts the file's first size bytes (the file must not change meanwhile).
 * resume: go on with an upload to that key that was cut short.  Content that
 * is there already with the same size and checksum is left. */
MUST_CHECK int s3_put_file(struct s3 *s, const char *key, int fd, uint64_t size,
			   const char *content_type, bool resume, struct err *e);
MUST_CHECK int s3_put_bytes(struct s3 *s, const char *key, const void *bytes, size_t size,
			    const char *content_type, struct err *e);

/* The whole object into a new file at path (made under path.tmp, synced,
 * renamed).  *ret, if given: what was read. */
MUST_CHECK int s3_get_file(struct s3 *s, const char *key, const char *path, struct s3_object *ret,
			   struct err *e);
/* A small object, whole.  -EFBIG: larger than out's maximum. */
MUST_CHECK int s3_get_bytes(struct s3 *s, const char *key, struct buf *out, struct err *e);

/* -ENOENT. */
MUST_CHECK int s3_head(struct s3 *s, const char *key, struct s3_object *ret, struct err *e);

/* All objects whose key begins with prefix, in byte order; pages follow each
 * other.  each() returns 0 to go on, 1 to end, -errno to fail. */
MUST_CHECK int s3_list(struct s3 *s, const char *prefix,
		       int (*each)(void *ctx, const struct s3_object *o), void *ctx, struct err *e);

MUST_CHECK int s3_delete(struct s3 *s, const char *key, struct err *e); /* not there is fine */

/* Uploads to that key that were never completed cost storage: ends them. */
MUST_CHECK int s3_abort(struct s3 *s, const char *key, struct err *e);

/* "s3://bucket/key" taken apart; key may be empty.  -EINVAL. */
MUST_CHECK int s3_parse_uri(const char *uri, char **ret_bucket, char **ret_key, struct err *e);

#endif
