#include "backend/aws/s3put.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "backend/aws/s3sum.h"
#include "backend/aws/s3xml.h"
#include "backend/aws/sigv4.h"

#define UPLOAD_PAGES_MAX 100
#define QUERY_MAX	 32768

size_t s3_part_size(const struct s3 *s, uint64_t size)
{
	uint64_t least = (size + S3_PARTS_MAX - 1) / S3_PARTS_MAX;

	/* Multiples of what is configured: pieces that can be mapped. */
	return (size_t)((least + s->part_size - 1) / s->part_size + (least == 0)) * s->part_size;
}

/*
 * With a CRC32 and TLS a body need not be hashed for the signature as well,
 * which would read it once more at a third of the speed.  (Without TLS it is
 * hashed all the same: call.h.)
 */
void s3_request_body(struct aws_request *q, const void *bytes, size_t size,
		     const char *content_type, const char *crc_text)
{
	q->body = size ? bytes : "";
	q->body_size = size;
	q->payload_hash = crc_text ? SIGV4_UNSIGNED_PAYLOAD : NULL;
	s3_request_add(q, "content-type", content_type);
	s3_request_add(q, "x-amz-checksum-crc32", crc_text);
}

void s3_request_encrypt(const struct s3 *s, struct aws_request *q)
{
	if (!s->kms_key)
		return;
	s3_request_add(q, "x-amz-server-side-encryption", "aws:kms");
	s3_request_add(q, "x-amz-server-side-encryption-aws-kms-key-id", s->kms_key);
}

int s3_put_bytes(struct s3 *s, const char *key, const void *bytes, size_t size,
		 const char *content_type, struct err *e)
{
	CLEANUP(aws_answer_release) struct aws_answer a = AWS_ANSWER_INIT;
	char crc[S3SUM_CRC32_SIZE];
	struct aws_request q;

	s3_request_init(s, S3_OP_PUT, &q);
	if (s->checksums)
		s3sum_format(s3sum_crc32(bytes, size), crc);
	s3_request_body(&q, bytes, size, content_type ? content_type : S3_CONTENT_TYPE,
			s->checksums ? crc : NULL);
	s3_request_encrypt(s, &q);
	return s3_run(s, S3_OP_PUT, key, &q, &a, e);
}

int s3_is_there(struct s3 *s, const struct s3_source *from, bool *ret, struct err *e)
{
	struct s3_object o;
	char crc[S3_CRC32_MAX];
	int r = s3_look(s, from->key, true, &o, crc, e);

	*ret = false;
	/* Who may write need not be one who may read; and a 400 to HEAD has no
	 * words: the put that follows will hear some. */
	if (r == -ENOENT || r == -EACCES || r == -EINVAL)
		return 0;
	if (r < 0 || o.size != from->size)
		return r;
	return s3sum_is_file(from->fd, from->size, s3_part_size(s, from->size), o.etag, crc, ret,
			     e);
}

static int put_whole(struct s3 *s, const struct s3_source *from, struct err *e)
{
	CLEANUP(s3sum_unmap) struct s3sum_map m = {.bytes = ""};
	int r = s3sum_map(from->fd, 0, (size_t)from->size, &m, e);

	return r < 0 ? r : s3_put_bytes(s, from->key, m.bytes, m.size, from->content_type, e);
}

int s3_put_file(struct s3 *s, const char *key, int fd, uint64_t size, const char *content_type,
		bool resume, struct err *e)
{
	const struct s3_source from = {
		.key = key,
		.content_type = content_type ? content_type : S3_CONTENT_TYPE,
		.fd = fd,
		.size = size,
	};
	bool there = false;
	struct stat st;
	int r = 0;

	if (size > S3_OBJECT_MAX)
		return err_set(e, -EFBIG, "s3://%s/%s: an object has at most %llu bytes", s->bucket,
			       key, (unsigned long long)S3_OBJECT_MAX);
	/* A mapping that reaches past the end of a file kills who reads it. */
	if (fstat(fd, &st) < 0 || (uint64_t)st.st_size < size)
		return err_set(e, -EINVAL, "what is to be s3://%s/%s is shorter than it was",
			       s->bucket, key);
	if (resume)
		r = s3_is_there(s, &from, &there, e);
	if (r < 0 || there)
		return r;
	return size <= s->part_size ? put_whole(s, &from, e) : s3_put_parts(s, &from, resume, e);
}

/* Uploads that were begun. */

static int list_uploads(struct s3 *s, const char *key, const struct s3xml_uploads *before,
			struct s3xml_uploads *ret, struct err *e)
{
	CLEANUP(aws_answer_release) struct aws_answer a = AWS_ANSWER_INIT;
	CLEANUP(buf_release) struct buf query = BUF_INIT(QUERY_MAX);
	struct aws_request q;
	int r;

	s3_query_add(&query, "encoding-type", "url");
	if (before->truncated) {
		s3_query_add(&query, "key-marker", before->key_marker);
		s3_query_add(&query, "upload-id-marker", before->id_marker);
	}
	s3_query_add(&query, "prefix", key);
	buf_add_str(&query, "&uploads");
	if (buf_error(&query) < 0)
		return err_set(e, -ENOMEM, "no memory for a list of uploads");
	s3_request_init(s, S3_OP_LIST_UPLOADS, &q);
	q.query = query.data;
	q.answer_max = S3_XML_MAX;
	r = s3_run(s, S3_OP_LIST_UPLOADS, NULL, &q, &a, e);
	return r < 0 ? r : s3xml_uploads(a.body, a.body_size, ret, e);
}

/* Those to exactly that key; other keys may begin with it. */
static int each_upload(struct s3 *s, const char *key,
		       int (*each)(void *ctx, const struct s3xml_upload *u, struct err *e),
		       void *ctx, struct err *e)
{
	CLEANUP(s3xml_uploads_release) struct s3xml_uploads page = {.count = 0};

	for (unsigned i = 0; i < UPLOAD_PAGES_MAX; i++) {
		struct s3xml_uploads next = {.count = 0};
		int r = list_uploads(s, key, &page, &next, e);

		if (r < 0)
			return r;
		s3xml_uploads_release(&page);
		page = next;
		for (size_t k = 0; k < page.count && r == 0; k++)
			if (strcmp(page.items[k].key, key) == 0)
				r = each(ctx, &page.items[k], e);
		if (r < 0 || !page.truncated)
			return r;
	}
	return err_set(e, -EPROTO, "the list of uploads to s3://%s/%s does not end", s->bucket,
		       key);
}

struct newest {
	char *id; /* owned */
	int64_t initiated_ns;
};

static int keep_newest(void *ctx, const struct s3xml_upload *u, struct err *e)
{
	struct newest *n = ctx;

	if (n->id && u->initiated_ns < n->initiated_ns)
		return 0;
	free(n->id);
	n->id = strdup(u->id);
	n->initiated_ns = u->initiated_ns;
	return n->id ? 0 : err_set(e, -ENOMEM, "no memory for the id of an upload");
}

int s3_find_upload(struct s3 *s, const char *key, char **ret, struct err *e)
{
	struct newest n = {.id = NULL};
	int r = each_upload(s, key, keep_newest, &n, e);

	if (r < 0) {
		free(n.id);
		return r;
	}
	*ret = n.id;
	return 0;
}

int s3_abort_upload(struct s3 *s, const char *key, const char *id, struct err *e)
{
	CLEANUP(aws_answer_release) struct aws_answer a = AWS_ANSWER_INIT;
	CLEANUP(buf_release) struct buf query = BUF_INIT(QUERY_MAX);
	struct aws_request q;
	int r;

	s3_query_add(&query, "uploadId", id);
	s3_request_init(s, S3_OP_ABORT, &q);
	q.query = query.data;
	r = s3_run(s, S3_OP_ABORT, key, &q, &a, e);
	return r == -ENOENT ? 0 : r;
}

struct aborting {
	struct s3 *s;
	const char *key;
};

static int abort_one(void *ctx, const struct s3xml_upload *u, struct err *e)
{
	struct aborting *a = ctx;

	return s3_abort_upload(a->s, a->key, u->id, e);
}

int s3_abort(struct s3 *s, const char *key, struct err *e)
{
	struct aborting a = {.s = s, .key = key};

	return each_upload(s, key, abort_one, &a, e);
}
