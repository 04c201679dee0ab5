#ifndef BACKEND_AWS_BEDROCKMEDIA_H
#define BACKEND_AWS_BEDROCKMEDIA_H

/*
 * JOB/media of a part: which of its files the records refer to, the input with
 * S3 URIs in place of media://NAME, and the upload of those files.
 *
 * Not thread-safe.
 */

#include "backend/aws/bedrock_private.h"
#include "backend/aws/mediarefs.h"

struct bedrock_media;

/* Looks through the input of p.  -EINVAL: a record names a file that is not
 * there, with its line.  *ret is NULL if no record refers to any. */
MUST_CHECK int bedrock_media_scan(const struct backend_part *p, int input_fd,
				  struct bedrock_media **ret, struct err *e);
void bedrock_media_free(struct bedrock_media *m); /* NULL is fine */

/* Of all files that are referred to. */
uint64_t bedrock_media_bytes(const struct bedrock_media *m);

/* The input with S3 URIs below folder_uri, into the file at path.  *ret_fd: it
 * is open for reading, the caller's; *ret_size: of the whole. */
MUST_CHECK int bedrock_media_rewrite(int input_fd, const char *folder_uri, const char *path,
				     int *ret_fd, uint64_t *ret_size, struct err *e);

/* The files, some at once, to FOLDERmedia/NAME. */
MUST_CHECK int bedrock_media_put(struct bedrock_media *m, struct s3 *s, const char *folder,
				 struct err *e);

/* 1: a record refers to media; 0: none does. */
MUST_CHECK int bedrock_media_is_used(int input_fd);

#endif
