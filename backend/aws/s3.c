#include "backend/aws/s3.h"

#include <errno.h>
#include <string.h>

#include "backend/aws/s3call.h"
#include "backend/aws/s3xml.h"

#define PARALLEL       4
#define LIST_PAGES_MAX 10000 /* ten million objects: no folder of a job's */
#define LIST_QUERY_MAX 32768

int s3_open(struct aws *a, const struct s3_options *o, struct s3 **ret, struct err *e)
{
	const char *region = o->region ? o->region : awsconfig_region(aws_config(a));
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct s3 *s;

	if (!region || strlen(region) >= S3_REGION_MAX)
		return err_set(e, -EINVAL,
			       "no region is known to look for the bucket %s in; "
			       "say -o region=REGION",
			       o->bucket);
	s = calloc(1, sizeof(*s));
	if (!s)
		return err_set(e, -ENOMEM, "no memory for the bucket %s", o->bucket);
	pthread_mutex_init(&s->mutex, NULL);
	s->aws = a;
	s->bucket = strdup(o->bucket);
	s->owner = o->bucket_owner ? strdup(o->bucket_owner) : NULL;
	s->kms_key = o->kms_key ? strdup(o->kms_key) : NULL;
	if (!s->bucket || (o->bucket_owner && !s->owner) || (o->kms_key && !s->kms_key)) {
		s3_close(s);
		return err_set(e, -ENOMEM, "no memory for the bucket %s", o->bucket);
	}
	s->path_style = o->path_style;
	s->checksums = o->checksums;
	s->parallel = o->parallel ? o->parallel : PARALLEL;
	if (s->parallel > WIRE_CALLS_MAX)
		s->parallel = WIRE_CALLS_MAX;
	s->part_size = (o->part_size ? o->part_size : S3_PART_SIZE) / page * page;
	if (s->part_size == 0)
		s->part_size = page;
	memcpy(s->regions[0], region, strlen(region) + 1);
	s->region_count = 1;
	s->home = s;
	*ret = s;
	return 0;
}

int s3_fork(struct s3 *s, const atomic_bool *cancel, struct s3 **ret, struct err *e)
{
	const struct s3_options o = {.bucket = s->bucket,
				     .region = s->regions[0],
				     .bucket_owner = s->owner,
				     .kms_key = s->kms_key,
				     .path_style = s->path_style,
				     .checksums = s->checksums,
				     .parallel = s->parallel,
				     .part_size = s->part_size};
	int r = s3_open(s->aws, &o, ret, e);

	if (r < 0)
		return r;
	(*ret)->home = s->home;
	(*ret)->cancel = cancel;
	return 0;
}

void s3_close(struct s3 *s)
{
	if (!s)
		return;
	pthread_mutex_destroy(&s->mutex);
	free(s->bucket);
	free(s->owner);
	free(s->kms_key);
	free(s);
}

const char *s3_bucket(const struct s3 *s)
{
	return s->bucket;
}

int s3_look(struct s3 *s, const char *key, bool checksum, struct s3_object *ret,
	    char ret_crc32[S3_CRC32_MAX], struct err *e)
{
	CLEANUP(aws_answer_release) struct aws_answer a = AWS_ANSWER_INIT;
	struct aws_request q;
	int r;

	s3_request_init(s, S3_OP_HEAD, &q);
	s3_request_add(&q, "x-amz-checksum-mode", checksum && s->checksums ? "ENABLED" : NULL);
	r = s3_run(s, S3_OP_HEAD, key, &q, &a, e);
	if (r < 0)
		return r;
	if (a.content_length < 0)
		return err_set(e, -EPROTO, "S3 does not tell the size of s3://%s/%s", s->bucket,
			       key);
	*ret = (struct s3_object){.size = (uint64_t)a.content_length};
	snprintf(ret->key, sizeof(ret->key), "%s", key);
	snprintf(ret->etag, sizeof(ret->etag), "%s", a.etag);
	if (ret_crc32)
		snprintf(ret_crc32, S3_CRC32_MAX, "%s", a.checksum_crc32);
	return 0;
}

int s3_head(struct s3 *s, const char *key, struct s3_object *ret, struct err *e)
{
	return s3_look(s, key, false, ret, NULL, e);
}

int s3_get_bytes(struct s3 *s, const char *key, struct buf *out, struct err *e)
{
	CLEANUP(aws_answer_release) struct aws_answer a = AWS_ANSWER_INIT;
	struct aws_request q;
	int r;

	s3_request_init(s, S3_OP_GET, &q);
	r = s3_run(s, S3_OP_GET, key, &q, &a, e);
	if (r == 0) {
		buf_add(out, a.body, a.body_size);
		r = buf_error(out);
	}
	if (r == -EFBIG || (r == -EINVAL && a.status == 200))
		return err_set(e, -EFBIG, "s3://%s/%s is larger than it should be", s->bucket, key);
	if (r == -ENOMEM)
		return err_set(e, r, "no memory for s3://%s/%s", s->bucket, key);
	return r;
}

int s3_delete(struct s3 *s, const char *key, struct err *e)
{
	CLEANUP(aws_answer_release) struct aws_answer a = AWS_ANSWER_INIT;
	struct aws_request q;
	int r;

	s3_request_init(s, S3_OP_DELETE, &q);
	r = s3_run(s, S3_OP_DELETE, key, &q, &a, e);
	return r == -ENOENT && strcmp(a.error.code, "NoSuchBucket") != 0 ? 0 : r;
}

/* One page; *token is where it begins, and then where the next one does. */
static int list_page(struct s3 *s, const char *prefix, const char *token, struct s3xml_objects *ret,
		     struct err *e)
{
	CLEANUP(aws_answer_release) struct aws_answer a = AWS_ANSWER_INIT;
	CLEANUP(buf_release) struct buf query = BUF_INIT(LIST_QUERY_MAX);
	struct aws_request q;
	int r;

	if (token[0])
		s3_query_add(&query, "continuation-token", token);
	s3_query_add(&query, "encoding-type", "url");
	s3_query_add(&query, "list-type", "2");
	s3_query_add(&query, "prefix", prefix);
	if (buf_error(&query) < 0)
		return err_set(e, -ENOMEM, "no memory for a list of objects");
	s3_request_init(s, S3_OP_LIST, &q);
	q.query = query.data;
	q.answer_max = S3_XML_MAX;
	r = s3_run(s, S3_OP_LIST, NULL, &q, &a, e);
	return r < 0 ? r : s3xml_objects(a.body, a.body_size, ret, e);
}

static int tell_page(const struct s3 *s, const char *prefix, const struct s3xml_objects *p,
		     int (*each)(void *ctx, const struct s3_object *o), void *ctx, struct err *e)
{
	for (size_t i = 0; i < p->count; i++) {
		int r;

		if (strncmp(p->items[i].key, prefix, strlen(prefix)) != 0)
			return err_set(e, -EPROTO,
				       "S3 lists keys of s3://%s/ that do not begin "
				       "with %s",
				       s->bucket, prefix);
		r = each(ctx, &p->items[i]);
		if (r != 0)
			return r;
	}
	return 0;
}

int s3_list(struct s3 *s, const char *prefix, int (*each)(void *ctx, const struct s3_object *o),
	    void *ctx, struct err *e)
{
	char token[S3XML_TOKEN_MAX] = "";

	for (unsigned i = 0; i < LIST_PAGES_MAX; i++) {
		CLEANUP(s3xml_objects_release) struct s3xml_objects page = {.count = 0};
		int r = list_page(s, prefix, token, &page, e);

		if (r == 0)
			r = tell_page(s, prefix, &page, each, ctx, e);
		if (r != 0)
			return r < 0 ? r : 0;
		if (!page.truncated)
			return 0;
		if (strcmp(page.token, token) == 0)
			break;
		memcpy(token, page.token, sizeof(token));
	}
	return err_set(e, -EPROTO, "the list of s3://%s/%s does not end", s->bucket, prefix);
}

int s3_parse_uri(const char *uri, char **ret_bucket, char **ret_key, struct err *e)
{
	CLEANUP(str_freep) char *bucket = NULL;
	const char *slash;
	char *key;

	if (strncmp(uri, "s3://", 5) != 0)
		return err_set(e, -EINVAL, "%.200s: not s3://BUCKET/KEY", uri);
	uri += 5;
	slash = strchrnul(uri, '/');
	if (slash == uri || slash - uri > 255)
		return err_set(e, -EINVAL, "s3://%.200s: it names no bucket", uri);
	if (*slash && strlen(slash + 1) > S3_KEY_MAX)
		return err_set(e, -EINVAL, "s3://%.200s...: a key has at most %d bytes", uri,
			       S3_KEY_MAX);
	bucket = strndup(uri, (size_t)(slash - uri));
	key = strdup(*slash ? slash + 1 : slash);
	if (!bucket || !key) {
		free(key);
		return err_set(e, -ENOMEM, "no memory for an S3 URI");
	}
	*ret_bucket = STEAL(&bucket);
	*ret_key = key;
	return 0;
}
