#ifndef BACKEND_AWS_S3XML_H
#define BACKEND_AWS_S3XML_H

/*
 * S3's answers in XML, taken apart with expat.
 *
 *	<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a</Key>...
 *
 * Answers are hostile: no document type (so no entities of their own), a depth
 * of at most S3XML_DEPTH_MAX, texts of at most S3XML_TEXT_MAX, pages of at most
 * S3XML_PAGE_MAX entries, numbers within their range.  What is not known is
 * passed over.
 *
 * Pure.  Threads: any.  Errors: -EPROTO: not XML, or past a bound; -ENOMEM.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/aws/s3.h"
#include "fs/base/err.h"
#include "fs/base/macros.h"

#define S3XML_DEPTH_MAX	 16
#define S3XML_TEXT_MAX	 8192
#define S3XML_PAGE_MAX	 1000
#define S3XML_TOKEN_MAX	 4096
#define S3XML_UPLOAD_MAX 1024 /* of an upload's id */

/* on() hears of every element when it ends: its path ("Error/Code", without
 * namespaces) and the text right in it.  Returns 0 or -errno, which ends the
 * parsing and is returned. */
MUST_CHECK int s3xml_walk(const char *body, size_t size,
			  int (*on)(void *ctx, const char *path, const char *text), void *ctx,
			  struct err *e);

/* The text of one element, as a copy: the caller's.  *ret is NULL if it is not
 * there. */
MUST_CHECK int s3xml_find(const char *body, size_t size, const char *path, char **ret,
			  struct err *e);

/* A page of ListObjectsV2. */
struct s3xml_objects {
	struct s3_object *items; /* owned */
	size_t count, capacity;
	bool truncated;
	char token[S3XML_TOKEN_MAX]; /* of the next page */
};

/* A page of ListMultipartUploads. */
struct s3xml_upload {
	char key[S3_KEY_MAX + 1];
	char id[S3XML_UPLOAD_MAX];
	int64_t initiated_ns; /* wall; 0: not told */
};

struct s3xml_uploads {
	struct s3xml_upload *items; /* owned */
	size_t count, capacity;
	bool truncated;
	char key_marker[S3_KEY_MAX + 1], id_marker[S3XML_UPLOAD_MAX]; /* of the next page */
};

/* A page of ListParts. */
struct s3xml_part {
	unsigned number;
	uint64_t size;
	char etag[S3_ETAG_MAX];
	char crc32[32]; /* base64; empty: not told */
};

struct s3xml_parts {
	struct s3xml_part *items; /* owned */
	size_t count, capacity;
	bool truncated;
	unsigned marker;	      /* of the next page */
	char algorithm[32], type[32]; /* of the upload's checksum: "CRC32", "FULL_OBJECT" */
};

MUST_CHECK int s3xml_objects(const char *body, size_t size, struct s3xml_objects *ret,
			     struct err *e);
MUST_CHECK int s3xml_uploads(const char *body, size_t size, struct s3xml_uploads *ret,
			     struct err *e);
MUST_CHECK int s3xml_parts(const char *body, size_t size, struct s3xml_parts *ret, struct err *e);

/* A page that is all zero is one that may be released. */
void s3xml_objects_release(struct s3xml_objects *p);
void s3xml_uploads_release(struct s3xml_uploads *p);
void s3xml_parts_release(struct s3xml_parts *p);

#endif
