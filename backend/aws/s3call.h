#ifndef BACKEND_AWS_S3CALL_H
#define BACKEND_AWS_S3CALL_H

/*
 * Inside S3: one request to the bucket, wherever the bucket turns out to be.
 * For backend/aws/s3*.c only.
 *
 * A target is where a key is, in strings that requests borrow.  Errors are
 * those of s3.h; the words name bucket, key, and the right that is missing.
 *
 * Threads: any.
 */

#include <pthread.h>
#include <stdbool.h>

#include "backend/aws/s3.h"

#define S3_REGION_MAX  64
#define S3_REGIONS_MAX 8 /* different ones that a bucket was said to be in */

#define S3_CRC32_MAX 32
#define S3_XML_MAX   (8u * 1024 * 1024) /* of an answer */

#define S3_OBJECT_MAX (S3_PARTS_MAX * (5ull << 30)) /* 10,000 parts of 5 GiB */

#define S3_CONTENT_TYPE "application/octet-stream"

struct s3 {
	struct aws *aws; /* borrowed until s3_close() */
	char *bucket, *owner, *kms_key;
	bool path_style, checksums;
	unsigned parallel;
	size_t part_size;	   /* a multiple of the page size */
	const atomic_bool *cancel; /* borrowed, or NULL */
	struct s3 *home; /* whose regions are used, and mutex: its own, or what it was forked of */
	pthread_mutex_t mutex;
	char regions[S3_REGIONS_MAX][S3_REGION_MAX]; /* of the mutex until written; then constant */
	unsigned region_count, region_current;	     /* of the mutex */
	bool region_known;			     /* of the mutex: S3 told it */
};

enum s3_op {
	S3_OP_HEAD_BUCKET,
	S3_OP_LIST,
	S3_OP_LIST_UPLOADS,
	S3_OP_HEAD,
	S3_OP_GET,
	S3_OP_PUT,
	S3_OP_CREATE_UPLOAD,
	S3_OP_UPLOAD_PART,
	S3_OP_LIST_PARTS,
	S3_OP_COMPLETE,
	S3_OP_ABORT,
	S3_OP_DELETE,
	S3_OP_COUNT,
};

struct s3_target {
	char *origin, *path; /* owned */
	const char *region;  /* borrowed until s3_close() */
};

/* key: NULL for the bucket itself.  Asks for the region if it is not known. */
MUST_CHECK int s3_target_init(struct s3 *s, const char *key, struct s3_target *ret, struct err *e);
void s3_target_release(struct s3_target *t);

/* A request as all to this bucket begin; the caller adds query, headers, body. */
void s3_request_init(const struct s3 *s, enum s3_op op, struct aws_request *ret);
/* value: borrowed; NULL: no header. */
void s3_request_add(struct aws_request *q, const char *name, const char *value);
/* Where it goes; t is borrowed. */
void s3_request_aim(struct aws_request *q, const struct s3_target *t);

/* Aims the request at key, runs it, and once more where the bucket was moved
 * to.  *ret is the caller's to release either way. */
MUST_CHECK int s3_run(struct s3 *s, enum s3_op op, const char *key, struct aws_request *q,
		      struct aws_answer *ret, struct err *e);

/* What went wrong in this module's words, for answers of batches; r is
 * returned (or what it should have been). */
MUST_CHECK int s3_explain(const struct s3 *s, enum s3_op op, const char *key, int r,
			  const struct aws_answer *a, struct err *e);

/* s3_head(), and the object's CRC32 as S3 tells it (or ""). */
MUST_CHECK int s3_look(struct s3 *s, const char *key, bool checksum, struct s3_object *ret,
		       char ret_crc32[S3_CRC32_MAX], struct err *e);

/* Appends "&name=value", encoded; the first without '&'. */
void s3_query_add(struct buf *q, const char *name, const char *value);

#endif
