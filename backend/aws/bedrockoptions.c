/* Options of the mount and keys of JOB/config: one table for both. */

#include <errno.h>
#include <string.h>

#include "backend/aws/bedrock_private.h"
#include "backend/aws/endpoint.h"

#define TAGS_MAX	    50 /* of a resource of AWS; the call's own limit is 200 */
#define SUBNETS_MAX	    16
#define SECURITY_GROUPS_MAX 5
#define NETWORK_ID_MAX	    32
#define SECONDS_MAX	    3600

/* --- lists --- */

void bedrock_list_release(struct bedrock_list *l)
{
	str_freep(&l->text);
	l->count = 0;
}

/* -E2BIG: more than CONTROL_LISTS_MAX. */
int bedrock_split(const char *value, struct bedrock_list *ret)
{
	CLEANUP(bedrock_list_release) struct bedrock_list l = {.text = strdup(value)};
	char *rest = l.text, *item;

	if (!l.text)
		return -ENOMEM;
	while ((item = strsep(&rest, ";"))) {
		item += strspn(item, " \t");
		item[strcspn(item, " \t")] = '\0';
		if (!*item)
			continue;
		if (l.count == CONTROL_LISTS_MAX)
			return -E2BIG;
		l.items[l.count++] = item;
	}
	l.items[l.count] = NULL;
	*ret = l;
	l.text = NULL;
	return 0;
}

static char *trim(char *s)
{
	size_t size;

	s += strspn(s, " \t");
	size = strlen(s);
	while (size > 0 && (s[size - 1] == ' ' || s[size - 1] == '\t'))
		s[--size] = '\0';
	return s;
}

int bedrock_split_tags(const char *value, struct kv *ret, struct err *e)
{
	CLEANUP(str_freep) char *text = strdup(value);
	char *rest = text, *item, *colon;
	int r;

	if (!text)
		return err_set(e, -ENOMEM, "no memory for tags");
	while ((item = strsep(&rest, ";"))) {
		item = trim(item);
		if (!*item)
			continue;
		/* The value may hold ':' too, as the key of a tag of AWS may not here. */
		colon = strchr(item, ':');
		if (!colon)
			return err_set(e, -EINVAL, "tags: \"%.100s\" is not KEY:VALUE", item);
		*colon = '\0';
		r = naming_check_tag(trim(item), trim(colon + 1), e);
		if (r < 0)
			return r;
		if (ret->count >= TAGS_MAX && !kv_get(ret, trim(item)))
			return err_set(e, -EINVAL, "tags: a job takes at most %d", TAGS_MAX);
		r = kv_set(ret, trim(item), trim(colon + 1));
		if (r < 0)
			return err_set(e, r, "no memory for tags");
	}
	return 0;
}

/* --- the checks --- */

static int check_role(const char *key, const char *value, struct err *e)
{
	(void)key;
	return naming_check_role(value, e);
}

static int check_region(const char *key, const char *value, struct err *e)
{
	if (endpoint_region_is_valid(value))
		return 0;
	return err_set(e, -EINVAL, "%s: \"%.60s\" is not a region; give one like us-east-1", key,
		       value);
}

static int check_text(const char *key, const char *value, struct err *e)
{
	return *value ? 0 : err_set(e, -EINVAL, "%s: a value is missing", key);
}

static int check_timeout(const char *key, const char *value, struct err *e)
{
	uint64_t hours;

	if (kv_parse_u64(key, value, CONTROL_TIMEOUT_MIN, CONTROL_TIMEOUT_MAX, &hours, NULL) == 0)
		return 0;
	return err_set(e, -EINVAL, "%s: \"%.40s\" is not a number of hours from %d to %d", key,
		       value, CONTROL_TIMEOUT_MIN, CONTROL_TIMEOUT_MAX);
}

static int check_words(const char *key, const char *value, const char *one, const char *other,
		       struct err *e)
{
	if (strcmp(value, one) == 0 || strcmp(value, other) == 0)
		return 0;
	return err_set(e, -EINVAL, "%s: \"%.60s\" is neither %s nor %s", key, value, one, other);
}

static int check_invocation(const char *key, const char *value, struct err *e)
{
	return check_words(key, value, "InvokeModel", "Converse", e);
}

static int check_checksum(const char *key, const char *value, struct err *e)
{
	return check_words(key, value, "when_supported", "when_required", e);
}

static int check_yes(const char *key, const char *value, struct err *e)
{
	return check_words(key, value, "yes", "no", e);
}

static int check_jobs(const char *key, const char *value, struct err *e)
{
	return check_words(key, value, "all", "mine", e);
}

static int check_tags(const char *key, const char *value, struct err *e)
{
	CLEANUP(kv_release) struct kv tags = KV_INIT;

	(void)key;
	return bedrock_split_tags(value, &tags, e);
}

static int check_kms_key(const char *key, const char *value, struct err *e)
{
	(void)key;
	return naming_check_kms_key(value, e);
}

static int check_account(const char *key, const char *value, struct err *e)
{
	(void)key;
	return naming_check_account(value, e);
}

static int check_ids(const char *key, const char *value, size_t max, struct err *e)
{
	static const char set[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-";
	CLEANUP(bedrock_list_release) struct bedrock_list l = {.text = NULL};
	int r = bedrock_split(value, &l);

	if (r == -ENOMEM)
		return err_set(e, r, "no memory for %s", key);
	if (r < 0 || l.count > max || l.count == 0)
		return err_set(e, -EINVAL, "%s: give 1 to %zu ids with ';' between them", key, max);
	for (size_t i = 0; i < l.count; i++)
		if (strlen(l.items[i]) > NETWORK_ID_MAX ||
		    l.items[i][strspn(l.items[i], set)] != '\0')
			return err_set(e, -EINVAL, "%s: \"%.60s\" is not an id", key, l.items[i]);
	return 0;
}

static int check_subnets(const char *key, const char *value, struct err *e)
{
	return check_ids(key, value, SUBNETS_MAX, e);
}

static int check_groups(const char *key, const char *value, struct err *e)
{
	return check_ids(key, value, SECURITY_GROUPS_MAX, e);
}

static int check_count(const char *key, const char *value, struct err *e)
{
	uint64_t n;

	return kv_parse_u64(key, value, 1, 1000000000000000, &n, e);
}

static int check_seconds(const char *key, const char *value, struct err *e)
{
	uint64_t n;

	return kv_parse_u64(key, value, 0, SECONDS_MAX, &n, e);
}

static const struct option {
	const char *key;
	bool of_job; /* also a key of JOB/config */
	int (*check)(const char *key, const char *value, struct err *e);
} options[] = {
	{"role", true, check_role},
	{"timeout", true, check_timeout},
	{"invocation", true, check_invocation},
	{"tags", true, check_tags},
	{"kms_key", true, check_kms_key},
	{"region", false, check_region},
	{"profile", false, check_text},
	{"bucket_owner", false, check_account},
	{"subnets", true, check_subnets},
	{"security_groups", true, check_groups},
	{"checksum", false, check_checksum},
	{"path_style", false, check_yes},
	{"jobs", false, check_jobs},
	{"prices", false, check_text},
	{"min_records", false, check_count},
	{"max_records_per_file", false, check_count},
	{"max_records_per_job", false, check_count},
	{"max_bytes_per_file", false, check_count},
	{"max_bytes_per_job", false, check_count},
	{"max_jobs", false, check_count},
	{"create_grace", false, check_seconds},
	{"create_every", false, check_seconds},
	{"results_grace", false, check_seconds},
};

static const struct option *find(const char *key)
{
	for (size_t i = 0; i < COUNT_OF(options); i++)
		if (strcmp(options[i].key, key) == 0)
			return &options[i];
	return NULL;
}

int bedrock_check_option(const char *key, const char *value, struct err *e)
{
	const struct option *o = find(key);

	if (!o)
		return err_set(e, -ENOENT, "%.60s: not an option of a bedrock: source", key);
	return o->check(key, value, e);
}

int bedrock_check_config(struct backend *b, const char *key, const char *value, struct err *e)
{
	const struct option *o = find(key);

	(void)b;
	if (!o)
		return err_set(e, -ENOENT, "%.60s: not a key of a bedrock: source", key);
	if (!o->of_job)
		return err_set(e, -EINVAL,
			       "%s is for the whole mount: give it as -o %s=..., not in config",
			       key, key);
	return o->check(key, value, e);
}

int bedrock_check_vpc(const char *subnets, const char *groups, struct err *e)
{
	if (!subnets == !groups)
		return 0;
	return err_set(e, -EINVAL, "%s is missing: a job's VPC takes it and %s, or neither",
		       subnets ? "security_groups" : "subnets",
		       subnets ? "subnets" : "security_groups");
}

/* --- values --- */

const char *bedrock_setting(const struct bedrock *b, const struct kv *config, const char *key)
{
	const struct option *o = find(key);
	const char *v = config && o && o->of_job ? kv_get(config, key) : NULL;

	return v ? v : kv_get(&b->options, key);
}

uint64_t bedrock_number(const struct bedrock *b, const struct kv *config, const char *key,
			uint64_t otherwise)
{
	const char *v = bedrock_setting(b, config, key);
	uint64_t n;

	return v && kv_parse_u64(key, v, 0, UINT64_MAX, &n, NULL) == 0 ? n : otherwise;
}
