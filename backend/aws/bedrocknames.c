/* Where a part lies in S3, which buckets are open, and words of refusals. */

#include <errno.h>
#include <string.h>

#include "backend/aws/bedrock_private.h"
#include "backend/aws/cures.h"
#include "fs/base/utf8.h"

/* --- the mount's place --- */

int bedrock_parse_place(const char *text, char **ret_bucket, char **ret_prefix, struct err *e)
{
	CLEANUP(str_freep) char *bucket = NULL;
	CLEANUP(str_freep) char *prefix = NULL;
	const char *slash;
	size_t size;
	int r;

	if (strncmp(text, "s3://", 5) == 0)
		text += 5;
	slash = strchrnul(text, '/');
	bucket = strndup(text, (size_t)(slash - text));
	slash += strspn(slash, "/");
	size = strlen(slash);
	while (size > 0 && slash[size - 1] == '/')
		size--;
	prefix = strndup(slash, size);
	if (!bucket || !prefix)
		return err_set(e, -ENOMEM, "no memory for \"%.100s\"", text);
	r = naming_check_bucket(bucket, e);
	if (r == 0)
		r = naming_check_prefix(prefix, e);
	if (r < 0)
		return r;
	*ret_bucket = STEAL(&bucket);
	*ret_prefix = STEAL(&prefix);
	return 0;
}

/* --- a part's place --- */

int bedrock_names(const struct bedrock *b, const struct backend_part *p, struct bedrock_names *ret,
		  struct err *e)
{
	int n;

	naming_job(p->job_name ? p->job_name : "", p->token, ret->job);
	n = snprintf(ret->folder, sizeof(ret->folder), "%s%s%s/", b->prefix, *b->prefix ? "/" : "",
		     ret->job);
	if (n < 0 || (size_t)n + sizeof("input.jsonl") > sizeof(ret->input))
		return err_set(e, -EINVAL, "the prefix %.100s is too long", b->prefix);
	snprintf(ret->input, sizeof(ret->input), "%.*sinput.jsonl", (int)(S3_KEY_MAX - 16),
		 ret->folder);
	snprintf(ret->folder_uri, sizeof(ret->folder_uri), "s3://%.63s/%.900s", b->bucket,
		 ret->folder);
	snprintf(ret->input_uri, sizeof(ret->input_uri), "%.970sinput.jsonl", ret->folder_uri);
	snprintf(ret->output_uri, sizeof(ret->output_uri), "%.970soutput/", ret->folder_uri);
	if (strlen(ret->folder_uri) != strlen("s3:///") + strlen(b->bucket) + (size_t)n)
		return err_set(e, -EINVAL, "the prefix %.100s is too long", b->prefix);
	return 0;
}

void bedrock_place_of_release(struct bedrock_place_of *p)
{
	str_freep(&p->bucket);
	str_freep(&p->key);
}

int bedrock_locate(const char *uri, bool is_folder, struct bedrock_place_of *ret, struct err *e)
{
	CLEANUP(bedrock_place_of_release) struct bedrock_place_of at = {.bucket = NULL};
	size_t size;
	int r;

	if (!uri)
		return err_set(e, -ENOENT, "the service does not say where it lies");
	r = s3_parse_uri(uri, &at.bucket, &at.key, e);
	if (r < 0)
		return r;
	size = strlen(at.key);
	if (is_folder && size > 0 && at.key[size - 1] != '/') {
		char *longer = realloc(at.key, size + 2);

		if (!longer)
			return err_set(e, -ENOMEM, "no memory for %s", uri);
		at.key = longer;
		at.key[size] = '/';
		at.key[size + 1] = '\0';
	}
	*ret = at;
	at = (struct bedrock_place_of){.bucket = NULL};
	return 0;
}

/* --- buckets --- */

static bool is_same(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static void close_bucket(struct bedrock_bucket *slot)
{
	s3_close(slot->s3);
	free(slot->name);
	free(slot->kms_key);
	*slot = (struct bedrock_bucket){.s3 = NULL};
}

static int open_bucket(struct bedrock *b, const char *bucket, const char *kms_key,
		       struct bedrock_bucket *slot, struct err *e)
{
	const char *checksum = kv_get(&b->options, "checksum");
	const char *path_style = kv_get(&b->options, "path_style");
	struct s3_options o = {
		.bucket = bucket,
		.region = b->region,
		.kms_key = kms_key,
		.path_style = path_style && strcmp(path_style, "yes") == 0,
		.checksums = !checksum || strcmp(checksum, "when_required") != 0,
	};
	int r;

	if (strcmp(bucket, b->bucket) == 0)
		o.bucket_owner = kv_get(&b->options, "bucket_owner");
	*slot = (struct bedrock_bucket){.name = strdup(bucket),
					.kms_key = kms_key ? strdup(kms_key) : NULL};
	if (!slot->name || (kms_key && !slot->kms_key))
		r = err_set(e, -ENOMEM, "no memory for bucket %s", bucket);
	else
		r = s3_open(b->aws, &o, &slot->s3, e);
	if (r < 0)
		close_bucket(slot);
	return r;
}

int bedrock_borrow(struct bedrock *b, const char *bucket, const char *kms_key, struct s3 **ret,
		   struct err *e)
{
	struct bedrock_bucket *slot = NULL;
	int r = 0;

	pthread_mutex_lock(&b->bucket_mutex);
	for (size_t i = 0; i < BEDROCK_BUCKETS_MAX; i++) {
		struct bedrock_bucket *it = &b->buckets[i];

		if (it->s3 && strcmp(it->name, bucket) == 0 && is_same(it->kms_key, kms_key)) {
			slot = it;
			break;
		}
		if (!it->users && (!slot || (slot->s3 && !it->s3)))
			slot = it;
	}
	if (!slot) {
		r = err_set(e, -EAGAIN, "%d buckets are in use at once", BEDROCK_BUCKETS_MAX);
	} else if (!slot->s3 || strcmp(slot->name, bucket) != 0 ||
		   !is_same(slot->kms_key, kms_key)) {
		close_bucket(slot);
		r = open_bucket(b, bucket, kms_key, slot, e);
	}
	if (r == 0) {
		slot->users++;
		*ret = slot->s3;
	}
	pthread_mutex_unlock(&b->bucket_mutex);
	return r;
}

void bedrock_return(struct bedrock *b, struct s3 *s)
{
	pthread_mutex_lock(&b->bucket_mutex);
	for (size_t i = 0; s && i < BEDROCK_BUCKETS_MAX; i++)
		if (b->buckets[i].s3 == s)
			b->buckets[i].users--;
	pthread_mutex_unlock(&b->bucket_mutex);
}

/* --- who we are --- */

int bedrock_check_credentials(struct bedrock *b, struct err *e)
{
	CLEANUP(creds_release) struct creds c = CREDS_INIT;
	int r = creds_get(aws_creds(b->aws), &c, e);

	return r == -EACCES || r == -ENOKEY || r == -EINVAL ? -EAGAIN : r;
}

/* --- words --- */

/* At most max bytes of it, whole characters. */
static void copy_text(char *to, size_t max, const struct buf *text)
{
	size_t size = 0, n;

	while (size < text->size && (n = utf8_char_size(text->data + size, text->size - size)) &&
	       size + n < max)
		size += n;
	memcpy(to, text->data, size);
	to[size] = '\0';
}

int bedrock_refuse(const struct bedrock *b, const struct backend_part *p, const char *code,
		   const char *words, struct err *e)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT(16 * 1024);
	struct cures_context c = {
		.model = p->model,
		.region = b->region,
		.role = bedrock_setting(b, p->config, "role"),
		.bucket = b->bucket,
	};
	char cut[ERR_TEXT_MAX];

	cures_add(&text, code && *code ? code : NULL, words, &c);
	copy_text(cut, sizeof(cut), &text);
	return err_set(e, -EINVAL, "%s", cut);
}

void bedrock_explain(const struct bedrock *b, const struct control_job *j, struct part_status *s)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT(16 * 1024);
	struct cures_context c = {.model = j->model, .region = b->region, .role = j->role};
	CLEANUP(bedrock_place_of_release) struct bedrock_place_of in = {.bucket = NULL};

	if (s->state == JOB_EXPIRED && !s->message[0]) {
		buf_addf(&text,
			 "the job waited for capacity for all of its %d hours and was never begun; "
			 "retry it, with a longer timeout or a global. inference profile",
			 j->timeout_hours ? j->timeout_hours : CONTROL_TIMEOUT_MIN);
	} else if (s->message[0]) {
		if (bedrock_locate(j->input_uri, false, &in, NULL) == 0)
			c.bucket = in.bucket;
		cures_add(&text, NULL, s->message, &c);
	}
	copy_text(s->message, sizeof(s->message), &text);
}

int bedrock_check_part(const struct bedrock *b, const struct backend_part *p, struct err *e)
{
	int r = naming_check_model(p->model, e);

	if (r < 0 || p->on_demand) /* what follows is of a job of the service */
		return r;
	r = bedrock_check_vpc(bedrock_setting(b, p->config, "subnets"),
			      bedrock_setting(b, p->config, "security_groups"), e);
	if (r < 0)
		return r;
	if (!bedrock_setting(b, p->config, "role"))
		return err_set(
			e, -EINVAL,
			"no service role is named; mount with -o role=ARN or write role = ARN "
			"into config (batchfs --print-iam shows which policies it needs)");
	return 0;
}
