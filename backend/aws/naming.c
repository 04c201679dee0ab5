#include "backend/aws/naming.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "fs/base/siphash.h"

/*
 * The patterns of the service are matched by hand: its own expressions have
 * nested repeats, which a backtracking matcher may be kept busy with.
 */

#define DIGITS "0123456789"
#define LOWER  "abcdefghijklmnopqrstuvwxyz"
#define UPPER  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define ALNUM  DIGITS LOWER UPPER

#define KEY_SET	       ALNUM "-!_*'()." /* what a job's S3 URI may hold */
#define PREFIX_MAX     512		/* URIs hold 1024: bucket, prefix, job name, file */
#define MEDIA_MAX      255
#define ARN_MAX	       2048
#define ID_PART_MAX    63
#define TOKEN_HEX_SIZE 32
#define ROLE_NAME_MAX  64
#define TAG_KEY_MAX    128
#define TAG_VALUE_MAX  256

static bool is_all(const char *s, size_t size, const char *set)
{
	for (size_t i = 0; i < size; i++)
		if (!s[i] || !strchr(set, s[i]))
			return false;
	return true;
}

static bool starts_with(const char *s, const char *with)
{
	return strncmp(s, with, strlen(with)) == 0;
}

static bool ends_with(const char *s, const char *with)
{
	size_t size = strlen(s), with_size = strlen(with);

	return size >= with_size && strcmp(s + size - with_size, with) == 0;
}

static bool is_account(const char *s, size_t size)
{
	return size == 12 && is_all(s, size, DIGITS);
}

/* ---- names ---- */

/* At most max letters, digits and single '-', none at the ends. */
static size_t slug(const char *s, size_t max, char *ret)
{
	size_t size = 0;

	for (; *s && size < max; s++) {
		if (strchr(ALNUM, *s))
			ret[size++] = *s;
		else if (size > 0 && ret[size - 1] != '-')
			ret[size++] = '-';
	}
	while (size > 0 && ret[size - 1] == '-')
		size--;
	return size;
}

static bool is_token_hex(const char *s)
{
	return is_all(s, TOKEN_HEX_SIZE, DIGITS "abcdef");
}

static bool is_our_token(const char *s)
{
	return strlen(s) == 3 + TOKEN_HEX_SIZE && starts_with(s, "bf-") && is_token_hex(s + 3);
}

/* All digits of a token of ours stand in the name: 128 random bits that no
 * other token has.  A token from elsewhere is brought to that form. */
void naming_job(const char *directory, const char *token, char ret[NAMING_JOB_MAX])
{
	static const unsigned char key[SIPHASH_KEY_SIZE] = "batchfs job name";
	size_t max = NAMING_JOB_MAX - 1 - 1 - TOKEN_HEX_SIZE;
	size_t size = slug(directory, max, ret);
	uint64_t hash[2];

	if (size == 0)
		size = slug("job", max, ret);
	ret[size++] = '-';
	if (is_our_token(token)) {
		memcpy(ret + size, token + 3, TOKEN_HEX_SIZE + 1);
		return;
	}
	siphash128(key, token, strlen(token), hash);
	snprintf(ret + size, TOKEN_HEX_SIZE + 1, "%016llx%016llx", (unsigned long long)hash[0],
		 (unsigned long long)hash[1]);
}

void naming_directory(const char *job_name, struct buf *out)
{
	size_t size = strnlen(job_name, NAMING_JOB_MAX - 1);

	if (size > TOKEN_HEX_SIZE + 1 && job_name[size - TOKEN_HEX_SIZE - 1] == '-' &&
	    is_token_hex(job_name + size - TOKEN_HEX_SIZE))
		size -= TOKEN_HEX_SIZE + 1;
	if (size == 0)
		buf_add_str(out, "job");
	for (size_t i = 0; i < size; i++) {
		bool is_fine = strchr(ALNUM "-_+", job_name[i]) || (job_name[i] == '.' && i > 0);

		buf_add_char(out, is_fine ? job_name[i] : '-');
	}
}

/* ---- S3 ---- */

static bool is_like_an_address(const char *bucket)
{
	return is_all(bucket, strlen(bucket), DIGITS ".") && strchr(bucket, '.');
}

int naming_check_bucket(const char *bucket, struct err *e)
{
	size_t size = strlen(bucket);

	if (starts_with(bucket, "s3:") || starts_with(bucket, "arn:"))
		return err_set(e, -EINVAL,
			       "bucket %.80s: give its bare name, as in bedrock:my-bucket/prefix",
			       bucket);
	if (size < 3 || size > 63)
		return err_set(e, -EINVAL,
			       "bucket \"%.80s\": the name of a bucket has 3 to 63 characters",
			       bucket);
	if (!is_all(bucket, size, DIGITS LOWER "-."))
		return err_set(e, -EINVAL,
			       "bucket %s: batch jobs take buckets whose names are of a-z, 0-9, "
			       "'-' and '.'; use another bucket",
			       bucket);
	if (!is_all(bucket, 1, DIGITS LOWER) || !is_all(bucket + size - 1, 1, DIGITS LOWER))
		return err_set(e, -EINVAL,
			       "bucket %s: a bucket's name begins and ends with a letter or a "
			       "digit; check the spelling",
			       bucket);
	if (strstr(bucket, "..") || is_like_an_address(bucket))
		return err_set(e, -EINVAL,
			       "bucket %s: no bucket can have that name (\"..\", or like an IP "
			       "address); check the spelling",
			       bucket);
	return 0;
}

/* Quotes the first character that does not do. */
static int refuse_character(const char *what, const char *text, char c, struct err *e)
{
	char shown[8];

	if (isgraph((unsigned char)c))
		snprintf(shown, sizeof(shown), "'%c'", c);
	else
		snprintf(shown, sizeof(shown), "0x%02x", (unsigned char)c);
	return err_set(e, -EINVAL,
		       "%s %.300s: %s is not allowed in the S3 names of batch jobs; use letters, "
		       "digits and - _ . ! * ' ( )",
		       what, text, c == ' ' ? "a space" : shown);
}

/* "a/../b": clients and proxies on the way make another path of it. */
static bool has_dot_folder(const char *prefix)
{
	while (*prefix) {
		size_t size = strcspn(prefix, "/");

		if (size > 0 && size <= 2 && strspn(prefix, ".") >= size)
			return true;
		prefix += size + (prefix[size] == '/');
	}
	return false;
}

int naming_check_prefix(const char *prefix, struct err *e)
{
	size_t size = strlen(prefix);

	if (size == 0)
		return 0;
	if (size > PREFIX_MAX)
		return err_set(e, -EINVAL, "the prefix is of %zu bytes; at most %d do", size,
			       PREFIX_MAX);
	for (const char *s = prefix; *s; s++)
		if (!strchr(KEY_SET "/", *s))
			return refuse_character("prefix", prefix, *s, e);
	if (prefix[0] == '/' || prefix[size - 1] == '/' || strstr(prefix, "//"))
		return err_set(e, -EINVAL,
			       "prefix %s: an empty folder name is not allowed in the S3 names of "
			       "batch jobs; write single '/' between names only",
			       prefix);
	if (has_dot_folder(prefix))
		return err_set(e, -EINVAL,
			       "prefix %s: a folder cannot be called . or ..; write its name",
			       prefix);
	return 0;
}

/* A name that stands in the job's own S3 folder. */
int naming_check_media(const char *file, struct err *e)
{
	size_t size = strlen(file);

	if (size == 0 || size > MEDIA_MAX || strcmp(file, ".") == 0 || strcmp(file, "..") == 0)
		return err_set(e, -EINVAL, "media file \"%.80s\": not a name; use 1 to %d bytes",
			       file, MEDIA_MAX);
	for (const char *s = file; *s; s++)
		if (!strchr(KEY_SET, *s))
			return refuse_character("media file", file, *s, e);
	if (ends_with(file, ".jsonl"))
		return err_set(e, -EINVAL,
			       "media file %s: the service would take it for records, as it does "
			       "each .jsonl beside the input; give it another ending",
			       file);
	return 0;
}

/* ---- ARNs ---- */

/* Up to the next ':'; the place behind it, NULL if there is none. */
static const char *take(const char *p, const char **ret, size_t *ret_size)
{
	size_t size = strcspn(p, ":");

	*ret = p;
	*ret_size = size;
	return p[size] ? p + size + 1 : NULL;
}

int naming_arn_parse(const char *arn, struct naming_arn *ret)
{
	struct naming_arn a = {0};
	const char *p = arn;

	if (strnlen(arn, ARN_MAX + 1) > ARN_MAX || !starts_with(arn, "arn:"))
		return -EINVAL;
	for (const char *s = arn; *s; s++)
		if (!isgraph((unsigned char)*s))
			return -EINVAL;
	p = take(p + 4, &a.partition, &a.partition_size);
	p = p ? take(p, &a.service, &a.service_size) : NULL;
	p = p ? take(p, &a.region, &a.region_size) : NULL;
	p = p ? take(p, &a.account, &a.account_size) : NULL;
	if (!p || !*p || !a.service_size)
		return -EINVAL;
	a.resource = p;
	if (!starts_with(a.partition, "aws") ||
	    (a.partition_size > 3 && (a.partition[3] != '-' || a.partition_size == 4)))
		return -EINVAL;
	*ret = a;
	return 0;
}

const char *naming_job_id(const char *arn)
{
	const char *slash = strrchr(arn, '/');

	return slash ? slash + 1 : arn;
}

static bool is_service(const struct naming_arn *a, const char *service)
{
	return a->service_size == strlen(service) &&
	       memcmp(a->service, service, a->service_size) == 0;
}

int naming_check_role(const char *arn, struct err *e)
{
	struct naming_arn a;
	const char *name;

	if (naming_arn_parse(arn, &a) < 0)
		return err_set(e, -EINVAL,
			       "role \"%.200s\": not an ARN; write it whole, "
			       "arn:aws:iam::ACCOUNT:role/NAME",
			       arn);
	if (is_service(&a, "sts"))
		return err_set(e, -EINVAL,
			       "role %.200s: this is a session of a role; give the role itself, "
			       "arn:aws:iam::%.*s:role/NAME",
			       arn, (int)a.account_size, a.account);
	name = strrchr(a.resource, '/');
	if (!is_service(&a, "iam") || !starts_with(a.resource, "role/") || a.region_size != 0 ||
	    (a.account_size != 0 && !is_account(a.account, a.account_size)))
		return err_set(e, -EINVAL,
			       "role %.200s: not the ARN of a role; it looks like "
			       "arn:aws:iam::111122223333:role/NAME",
			       arn);
	name++; /* there is one: "role/" */
	if (!*name || strlen(name) > ROLE_NAME_MAX || !is_all(name, strlen(name), ALNUM "_+=,.@-"))
		return err_set(e, -EINVAL,
			       "role %.200s: \"%.80s\" is not the name of a role (1 to %d of "
			       "letters, digits and _+=,.@-); copy the ARN from the IAM console",
			       arn, name, ROLE_NAME_MAX);
	return 0;
}

int naming_check_kms_key(const char *key, struct err *e)
{
	const char *rest = key;
	struct naming_arn a;
	size_t size;

	if (naming_arn_parse(key, &a) == 0 && is_service(&a, "kms") &&
	    is_account(a.account, a.account_size)) {
		rest = a.resource;
		if (starts_with(rest, "key/"))
			rest += 4;
		else if (!starts_with(rest, "alias/"))
			rest = "";
	}
	size = strlen(rest);
	if (size == 36 && is_all(rest, size, ALNUM "-"))
		return 0;
	if (starts_with(rest, "alias/") && size > 6 && size <= ARN_MAX &&
	    is_all(rest + 6, size - 6, ALNUM "-_/"))
		return 0;
	return err_set(e, -EINVAL,
		       "kms_key \"%.200s\": not a KMS key; write its id of 36 characters, its ARN, "
		       "or alias/NAME",
		       key);
}

int naming_check_account(const char *id, struct err *e)
{
	if (is_account(id, strlen(id)))
		return 0;
	return err_set(e, -EINVAL,
		       "account \"%.80s\": not an account; it is 12 digits without dashes, "
		       "111122223333",
		       id);
}

int naming_check_tag(const char *key, const char *value, struct err *e)
{
	static const char set[] = ALNUM " ._:/=+@-";
	size_t key_size = strlen(key), value_size = strlen(value);

	if (key_size == 0 || key_size > TAG_KEY_MAX || value_size > TAG_VALUE_MAX)
		return err_set(e, -EINVAL,
			       "tag \"%.80s\": a tag has a key of 1 to %d characters and a value "
			       "of at most %d",
			       key, TAG_KEY_MAX, TAG_VALUE_MAX);
	if (!is_all(key, key_size, set) || !is_all(value, value_size, set))
		return err_set(e, -EINVAL,
			       "tag %.128s: keys and values are of letters, digits, spaces and "
			       "._:/=+@-",
			       key);
	if (strncasecmp(key, "aws:", 4) == 0)
		return err_set(e, -EINVAL,
			       "tag %.128s: keys that begin with aws: are kept by AWS; use another",
			       key);
	return 0;
}

/* ---- models ---- */

/* "-v1:0": up to two further parts behind ':'. */
static bool is_version(const char *s)
{
	int count = 0;

	while (*s == ':') {
		size_t size = strspn(++s, DIGITS LOWER "-");

		if (size == 0 || size > ID_PART_MAX || ++count > 2)
			return false;
		s += size;
	}
	return *s == '\0';
}

/* Parts of [a-z0-9-] between dots, dots_min to dots_max of these, a version. */
static bool is_dotted(const char *s, int dots_min, int dots_max)
{
	int dots = 0;

	for (;;) {
		size_t size = strspn(s, DIGITS LOWER "-");

		if (size == 0 || size > ID_PART_MAX)
			return false;
		s += size;
		if (*s != '.')
			break;
		s++;
		dots++;
	}
	return dots >= dots_min && dots <= dots_max && is_version(s);
}

/* A bare name: letters and digits, single '_' or '-' between them. */
static bool is_plain_name(const char *s)
{
	bool after_alnum = false;

	if (!*s)
		return false;
	for (; *s; s++) {
		if (strchr(ALNUM, *s))
			after_alnum = true;
		else if ((*s == '_' || *s == '-') && after_alnum)
			after_alnum = false;
		else
			return false;
	}
	return true;
}

/* "custom-model/amazon.titan-embed-image-v1/ab12cd34ef56". */
static bool is_custom_model(const char *s)
{
	const char *slash = strchr(s, '/');
	char base[2 * ID_PART_MAX + 2];

	if (!slash || (size_t)(slash - s) >= sizeof(base))
		return false;
	memcpy(base, s, (size_t)(slash - s));
	base[slash - s] = '\0';
	return is_dotted(base, 1, 3) && strlen(slash + 1) == 12 &&
	       is_all(slash + 1, 12, DIGITS LOWER);
}

static bool is_profile(const char *s)
{
	return *s && strlen(s) <= ARN_MAX && is_all(s, strlen(s), ALNUM "-:.");
}

static int check_model_arn(const char *arn, const struct naming_arn *a, struct err *e)
{
	bool is_owned = is_account(a->account, a->account_size);
	const char *r = a->resource;

	if (!is_service(a, "bedrock") || a->region_size == 0 || a->region_size > 20)
		return err_set(e, -EINVAL,
			       "model %.200s: not an ARN of Bedrock; it looks like "
			       "arn:aws:bedrock:REGION:ACCOUNT:inference-profile/ID",
			       arn);
	if (starts_with(r, "foundation-model/") && a->account_size == 0 &&
	    is_dotted(strchr(r, '/') + 1, 1, 3))
		return 0;
	if (is_owned && starts_with(r, "custom-model/") && is_custom_model(strchr(r, '/') + 1))
		return 0;
	if (is_owned &&
	    (starts_with(r, "inference-profile/") ||
	     starts_with(r, "application-inference-profile/")) &&
	    is_profile(strchr(r, '/') + 1))
		return 0;
	return err_set(e, -EINVAL,
		       "model %.200s: batch jobs take foundation-model, inference-profile, "
		       "application-inference-profile and custom-model ARNs, no \"%.*s\"; check it",
		       arn, (int)strcspn(r, "/"), r);
}

int naming_check_model(const char *id, struct err *e)
{
	struct naming_arn a;

	if (!*id)
		return err_set(e, -EINVAL, "no model; write its id or ARN to the file model");
	if (strlen(id) > ARN_MAX)
		return err_set(e, -EINVAL, "the model's id is of %zu bytes; at most %d do",
			       strlen(id), ARN_MAX);
	if (naming_arn_parse(id, &a) == 0)
		return check_model_arn(id, &a, e);
	if (is_dotted(id, 1, 2) || is_plain_name(id))
		return 0;
	if (is_dotted(id, 3, 4))
		return err_set(
			e, -EINVAL,
			"model %.200s: the service takes no id with three dots; give the ARN "
			"of the profile, arn:aws:bedrock:REGION:ACCOUNT:inference-profile/%.200s",
			id, id);
	return err_set(e, -EINVAL,
		       "model \"%.200s\": not an id of a model; ids look like "
		       "amazon.nova-micro-v1:0 or us.anthropic.claude-haiku-4-5-20251001-v1:0",
		       id);
}
