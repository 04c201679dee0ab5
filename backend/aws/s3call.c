#include "backend/aws/s3call.h"

#include <errno.h>
#include <string.h>

#include "backend/aws/endpoint.h"
#include "backend/aws/sigv4.h"
#include "fs/base/log.h"

#define HEAD_TIMEOUT_MS 20000 /* nothing is sent either way: so much is silence */

/*
 * Where a bucket is.  Before the first request its region is asked for (a HEAD
 * of the bucket, whose answer tells it even when it is a refusal), so that no
 * body is sent to the wrong place; a redirect later corrects it, once a
 * request.  Regions are kept until the end, since requests under way borrow
 * their names.
 *
 * Rights.  S3 says "Access Denied" and no more.  Each operation knows the
 * right it needs and on what, and the words say so.
 */

#define ARN_MAX (S3_KEY_MAX + 128)

static const struct operation {
	const char *method, *verb, *right;
	bool on_bucket; /* the right is one on the bucket, not on the key */
} operations[S3_OP_COUNT] = {
	[S3_OP_HEAD_BUCKET] = {"HEAD", "look at", "s3:ListBucket", true},
	[S3_OP_LIST] = {"GET", "list", "s3:ListBucket", true},
	[S3_OP_LIST_UPLOADS] = {"GET", "list the uploads to", "s3:ListBucketMultipartUploads",
				true},
	[S3_OP_HEAD] = {"HEAD", "look at", "s3:GetObject", false},
	[S3_OP_GET] = {"GET", "read", "s3:GetObject", false},
	[S3_OP_PUT] = {"PUT", "write", "s3:PutObject", false},
	[S3_OP_CREATE_UPLOAD] = {"POST", "write", "s3:PutObject", false},
	[S3_OP_UPLOAD_PART] = {"PUT", "write", "s3:PutObject", false},
	[S3_OP_LIST_PARTS] = {"GET", "list the parts of", "s3:ListMultipartUploadParts", false},
	[S3_OP_COMPLETE] = {"POST", "write", "s3:PutObject", false},
	[S3_OP_ABORT] = {"DELETE", "end the upload to", "s3:AbortMultipartUpload", false},
	[S3_OP_DELETE] = {"DELETE", "delete", "s3:DeleteObject", false},
};

/* Regions. */

static const char *current_region(struct s3 *s, bool *ret_known)
{
	const char *region;

	s = s->home;
	pthread_mutex_lock(&s->mutex);
	region = s->regions[s->region_current];
	if (ret_known)
		*ret_known = s->region_known;
	pthread_mutex_unlock(&s->mutex);
	return region;
}

/* The bucket is there; false: it cannot be (not a region, or one too many). */
static bool set_region(struct s3 *s, const char *region)
{
	unsigned i;

	if (!endpoint_region_is_valid(region) || strlen(region) >= S3_REGION_MAX)
		return false;
	s = s->home;
	pthread_mutex_lock(&s->mutex);
	for (i = 0; i < s->region_count; i++)
		if (strcmp(s->regions[i], region) == 0)
			break;
	if (i < S3_REGIONS_MAX) {
		if (i == s->region_count) {
			memcpy(s->regions[i], region, strlen(region) + 1);
			s->region_count++;
		}
		s->region_current = i;
		s->region_known = true;
	}
	pthread_mutex_unlock(&s->mutex);
	return i < S3_REGIONS_MAX;
}

static int place(struct s3 *s, const char *region, const char *key, struct s3_target *ret,
		 struct err *e)
{
	CLEANUP(buf_release) struct buf path = BUF_INIT(3 * S3_KEY_MAX + 1);
	char *origin;
	int r;

	buf_add_char(&path, '/');
	if (key)
		sigv4_encode(&path, key, strlen(key), true);
	if (buf_error(&path) < 0)
		return buf_error(&path) == -EFBIG
			       ? err_set(e, -EINVAL, "a key of S3 has at most %d bytes", S3_KEY_MAX)
			       : err_set(e, -ENOMEM, "no memory for a request to S3");
	r = endpoint_bucket(aws_config(s->aws), s->bucket, region, s->path_style, &origin, e);
	if (r < 0)
		return r;
	*ret = (struct s3_target){
		.origin = origin,
		.path = buf_steal(&path),
		.region = region,
	};
	return 0;
}

void s3_target_release(struct s3_target *t)
{
	str_freep(&t->origin);
	str_freep(&t->path);
}

/* Asks the bucket where it is. */
static int discover(struct s3 *s, struct err *e)
{
	CLEANUP(s3_target_release) struct s3_target t = {.origin = NULL};
	CLEANUP(aws_answer_release) struct aws_answer a = AWS_ANSWER_INIT;
	const char *region = current_region(s, NULL);
	struct aws_request q;
	int r = place(s, region, NULL, &t, e);

	if (r < 0)
		return r;
	s3_request_init(s, S3_OP_HEAD_BUCKET, &q);
	s3_request_aim(&q, &t);
	r = aws_run(s->aws, &q, &a, e);
	if (a.status != 404 && a.bucket_region[0] && set_region(s, a.bucket_region))
		return 0;
	/* Whoever answers and does not tell is right where it was asked.  A 400
	 * says too little: the request that follows will hear more. */
	if (a.status == 403 || (a.status >= 200 && a.status < 300)) {
		ignore_error(set_region(s, region));
		return 0;
	}
	if (a.status == 400 || a.status == 301)
		return 0;
	return r < 0 ? s3_explain(s, S3_OP_HEAD_BUCKET, NULL, r, &a, e) : 0;
}

int s3_region(struct s3 *s, const char **ret, struct err *e)
{
	bool known;
	int r;

	ignore_error(current_region(s, &known) == NULL);
	if (!known) {
		r = discover(s, e);
		if (r < 0)
			return r;
	}
	*ret = current_region(s, NULL);
	return 0;
}

int s3_target_init(struct s3 *s, const char *key, struct s3_target *ret, struct err *e)
{
	const char *region;
	int r;

	if (key && (!*key || strlen(key) > S3_KEY_MAX))
		return err_set(e, -EINVAL, "a key of S3 has 1 to %d bytes", S3_KEY_MAX);
	r = s3_region(s, &region, e);
	return r < 0 ? r : place(s, region, key, ret, e);
}

/* Requests. */

void s3_request_add(struct aws_request *q, const char *name, const char *value)
{
	size_t i = 0;

	if (!value)
		return;
	while (q->headers[i].name)
		i++;
	q->headers[i] = (struct aws_header){.name = name, .value = value};
}

void s3_request_init(const struct s3 *s, enum s3_op op, struct aws_request *ret)
{
	*ret = (struct aws_request){
		.method = operations[op].method,
		.service = "s3",
		.auth = AWS_AUTH_S3,
		.cancel = s->cancel,
	};
	if (strcmp(ret->method, "HEAD") == 0)
		ret->timeout_ms = HEAD_TIMEOUT_MS;
	s3_request_add(ret, "x-amz-expected-bucket-owner", s->owner);
}

void s3_request_aim(struct aws_request *q, const struct s3_target *t)
{
	q->origin = t->origin;
	q->path = t->path;
	q->region = t->region;
}

void s3_query_add(struct buf *q, const char *name, const char *value)
{
	buf_addf(q, "%s%s=", q->size ? "&" : "", name);
	sigv4_encode(q, value, strlen(value), false);
}

/* Is this an answer of the wrong region, and is another one told?  HEAD has no
 * body, so its status must do. */
static bool is_redirect(struct s3 *s, const struct aws_request *q, const struct aws_answer *a)
{
	bool by_head = strcmp(q->method, "HEAD") == 0 && (a->status == 301 || a->status == 400);
	const char *region = a->bucket_region[0] ? a->bucket_region : a->error.region;

	if (a->error.class != ERRMAP_REDIRECT && !by_head)
		return false;
	if (!region[0] && a->error.class == ERRMAP_REDIRECT && discover(s, NULL) == 0)
		region = current_region(s, NULL);
	if (!region[0] || strcmp(region, q->region) == 0 || !set_region(s, region))
		return false;
	log_info("s3", "the bucket is elsewhere bucket=%s region=%s", s->bucket, region);
	return true;
}

int s3_run(struct s3 *s, enum s3_op op, const char *key, struct aws_request *q,
	   struct aws_answer *ret, struct err *e)
{
	for (bool again = false;; again = true) {
		CLEANUP(s3_target_release) struct s3_target t = {.origin = NULL};
		int r = s3_target_init(s, key, &t, e);

		if (r < 0)
			return r;
		s3_request_aim(q, &t);
		r = aws_run(s->aws, q, ret, e);
		if (r == 0)
			return 0;
		if (again || !is_redirect(s, q, ret))
			return s3_explain(s, op, key, r, ret, e);
		aws_answer_release(ret);
		*ret = (struct aws_answer)AWS_ANSWER_INIT;
	}
}

/* Words. */

static void name_arn(const struct s3 *s, const char *region, const char *key, char ret[ARN_MAX])
{
	snprintf(ret, ARN_MAX, "arn:%s:s3:::%s%s%s", endpoint_partition(region), s->bucket,
		 key ? "/" : "", key ? key : "");
}

/* A refusal for want of a right, and not for a key that is wrong. */
static bool is_about_rights(const struct aws_answer *a)
{
	static const char *const codes[] = {"", "AccessDenied", "Forbidden", "403"};

	for (size_t i = 0; a->status == 403 && i < COUNT_OF(codes); i++)
		if (strcmp(a->error.code, codes[i]) == 0)
			return true;
	return false;
}

/* What else may be missing, behind the right itself. */
static void add_suspects(const struct s3 *s, enum s3_op op, const struct aws_answer *a,
			 const char *region, struct buf *out)
{
	bool reads = op == S3_OP_HEAD || op == S3_OP_GET;
	char arn[ARN_MAX];

	if (s->kms_key && operations[op].right[3] == 'P')
		buf_addf(out, ", and kms:GenerateDataKey and kms:Decrypt on %s", s->kms_key);
	else if (strstr(a->error.message, "kms:") || strstr(a->error.message, "KMS"))
		buf_addf(out, ", and %s on the bucket's key",
			 reads ? "kms:Decrypt" : "kms:GenerateDataKey and kms:Decrypt");
	if (s->owner)
		buf_addf(out, ", and the bucket must be of account %s", s->owner);
	name_arn(s, region, NULL, arn);
	if (reads)
		buf_addf(out,
			 "; without s3:ListBucket on %s a key that is not there looks the same",
			 arn);
}

static int explain_denial(const struct s3 *s, enum s3_op op, const char *key,
			  const struct aws_answer *a, const char *region, struct err *e)
{
	CLEANUP(buf_release) struct buf more = BUF_INIT(ERR_TEXT_MAX);
	const struct operation *o = &operations[op];
	char arn[ARN_MAX];

	add_suspects(s, op, a, region, &more);
	name_arn(s, region, o->on_bucket ? NULL : key, arn);
	return err_set(e, -EACCES, "may not %s s3://%s/%s: %s%s%s is needed on %s%s%s%s%s", o->verb,
		       s->bucket, key ? key : "", a->error.message, a->error.message[0] ? "; " : "",
		       o->right, arn, more.data, a->request_id[0] ? " (request " : "",
		       a->request_id, a->request_id[0] ? ")" : "");
}

int s3_explain(const struct s3 *s, enum s3_op op, const char *key, int r,
	       const struct aws_answer *a, struct err *e)
{
	struct err own = e ? *e : (struct err)ERR_INIT;

	if (a->status == 0) /* without credentials nobody was asked, or denied anything */
		return r == -EACCES || r == -ENOKEY ? -EAGAIN : r;
	if (r == -ECANCELED)
		return r;
	if (a->error.class == ERRMAP_EXPIRED || a->error.class == ERRMAP_SKEWED)
		r = -EAGAIN;
	if (a->error.class == ERRMAP_REDIRECT)
		return err_set(
			e, a->status == 307 ? -EAGAIN : -EINVAL,
			"the bucket %s is elsewhere: the server sends us from region to region",
			s->bucket);
	if (is_about_rights(a))
		return explain_denial(s, op, key, a, s->regions[0], e);
	if (a->status == 404 && (op == S3_OP_HEAD_BUCKET || !strcmp(a->error.code, "NoSuchBucket")))
		return err_set(e, -ENOENT,
			       "there is no bucket %s; check its name, and whose account it is in",
			       s->bucket);
	if (a->status == 404 && op != S3_OP_LIST && strcmp(a->error.code, "NoSuchUpload") != 0)
		return err_set(e, -ENOENT, "there is no s3://%s/%s", s->bucket, key ? key : "");
	return err_set(e, r, "cannot %s s3://%s/%s: %s", operations[op].verb, s->bucket,
		       key ? key : "", own.text);
}
