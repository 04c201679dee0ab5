#include "backend/aws/endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "backend/http/target.h"
#include "fs/base/buf.h"

/*
 * The tables hold what the endpoint rules of the SDKs say of the services we
 * use: the names in host names are regular, but for IAM, which is global.
 */

#define REGION_MAX     63 /* a label of a host name */
#define BUCKET_MIN     3
#define BUCKET_MAX     63
#define OLD_BUCKET_MAX 255 /* of a bucket of the old kind, path style only */
#define HOST_MAX       1024

struct partition {
	const char *prefix; /* of its regions; "": all others */
	const char *name, *suffix;
	const char *dual; /* suffix of dual-stack hosts; NULL: has none */
	const char *iam_host, *iam_region;
	bool fips_is_plain; /* hosts of some services are FIPS as they are */
};

static const struct partition partitions[] = {
	{"us-gov-", "aws-us-gov", "amazonaws.com", "api.aws", "iam.us-gov.amazonaws.com",
	 "us-gov-west-1", true},
	{"cn-", "aws-cn", "amazonaws.com.cn", "api.amazonwebservices.com.cn",
	 "iam.cn-north-1.amazonaws.com.cn", "cn-north-1", false},
	{"eusc-", "aws-eusc", "amazonaws.eu", "api.amazonwebservices.eu",
	 "iam.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1", false},
	{"us-iso-", "aws-iso", "c2s.ic.gov", NULL, "iam.us-iso-east-1.c2s.ic.gov", "us-iso-east-1",
	 false},
	{"us-isob-", "aws-iso-b", "sc2s.sgov.gov", NULL, "iam.us-isob-east-1.sc2s.sgov.gov",
	 "us-isob-east-1", false},
	{"eu-isoe-", "aws-iso-e", "cloud.adc-e.uk", NULL, "iam.eu-isoe-west-1.cloud.adc-e.uk",
	 "eu-isoe-west-1", false},
	{"us-isof-", "aws-iso-f", "csp.hci.ic.gov", NULL, "iam.us-isof-south-1.csp.hci.ic.gov",
	 "us-isof-south-1", false},
	{"", "aws", "amazonaws.com", "api.aws", "iam.amazonaws.com", "us-east-1", false},
};

struct service {
	const char *name;
	const char *host, *fips_host; /* the host's first labels */
	const char *variable;	      /* after AWS_ENDPOINT_URL_ */
	const char *key;	      /* in a services section */
	bool gov_is_fips;
};

static const struct service services[] = {
	{"bedrock", "bedrock", "bedrock-fips", "BEDROCK", "bedrock", false},
	{"bedrock-runtime", "bedrock-runtime", "bedrock-runtime-fips", "BEDROCK_RUNTIME",
	 "bedrock_runtime", false},
	{"s3", "s3", "s3-fips", "S3", "s3", false},
	{"sts", "sts", "sts-fips", "STS", "sts", true},
	{"sso", "portal.sso", "portal.sso-fips", "SSO", "sso", true},
	{"sso-oidc", "oidc", "oidc-fips", "SSO_OIDC", "sso_oidc", true},
	{"iam", "iam", "iam-fips", "IAM", "iam", true},
	{"servicequotas", "servicequotas", "servicequotas-fips", "SERVICE_QUOTAS", "service_quotas",
	 true},
};

static const struct partition *partition_of(const char *region)
{
	size_t i = 0;

	while (strncmp(region, partitions[i].prefix, strlen(partitions[i].prefix)) != 0)
		i++;
	return &partitions[i];
}

const char *endpoint_partition(const char *region)
{
	return partition_of(region)->name;
}

const char *endpoint_suffix(const char *region)
{
	return partition_of(region)->suffix;
}

const char *endpoint_signing_region(const char *service, const char *region)
{
	return strcmp(service, "iam") == 0 ? partition_of(region)->iam_region : region;
}

bool endpoint_region_is_valid(const char *region)
{
	size_t n = strlen(region);

	return n > 0 && n <= REGION_MAX && region[0] >= 'a' && region[0] <= 'z' &&
	       region[n - 1] != '-' && strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

static int check_region(const char *region, struct err *e)
{
	if (!region || !*region)
		return err_set(e, -EINVAL,
			       "no region: set AWS_REGION, \"region\" in the profile, or -o "
			       "region=us-east-1");
	if (!endpoint_region_is_valid(region))
		return err_set(e, -EINVAL, "%.64s: not a region; one is written as in us-east-1",
			       region);
	return 0;
}

/* An address to use instead, and where it is written; NULL: none. */
struct override {
	const char *url;
	char where[256];
};

static int find_override(const struct awsconfig *c, const struct service *s, struct override *ret,
			 struct err *e)
{
	const char *profile = awsconfig_profile(c);
	const char *section;

	ret->url = NULL;
	if (awsconfig_is_true(c, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
			      "ignore_configured_endpoint_urls"))
		return 0;
	snprintf(ret->where, sizeof(ret->where), "AWS_ENDPOINT_URL_%s", s->variable);
	ret->url = awsconfig_env(c, ret->where);
	if (ret->url)
		return 0;
	snprintf(ret->where, sizeof(ret->where), "AWS_ENDPOINT_URL");
	ret->url = awsconfig_env(c, ret->where);
	if (ret->url)
		return 0;
	section = awsconfig_get(c, profile, "services");
	if (section && !awsconfig_has_section(c, "services", section))
		return err_set(e, -EINVAL,
			       "profile %s says services = %s, and there is no [services %s]; "
			       "write it into the AWS configuration file or take the key away",
			       profile, section, section);
	if (section) {
		snprintf(ret->where, sizeof(ret->where), "[services %s]", section);
		ret->url = awsconfig_nested(c, "services", section, s->key, "endpoint_url");
	}
	if (!ret->url) {
		snprintf(ret->where, sizeof(ret->where), "endpoint_url of profile %s", profile);
		ret->url = awsconfig_get(c, profile, "endpoint_url");
	}
	return 0;
}

struct switches {
	bool fips, dual;
};

static int use_override(const struct override *o, const struct switches *w, struct target *ret,
			struct err *e)
{
	CLEANUP(target_release) struct target t = {NULL};
	struct err why = ERR_INIT;
	int r;

	if (w->fips || w->dual)
		return err_set(
			e, -EINVAL,
			"%s names an endpoint and %s asks for another; take one of them away",
			o->where, w->fips ? "use_fips_endpoint" : "use_dualstack_endpoint");
	r = target_parse(o->url, &t, &why);
	if (r == 0 && (t.unix_path || *t.query))
		r = err_set(&why, -EINVAL, "only http://HOST or https://HOST, a port and a path");
	if (r < 0)
		return err_set(e, r, "%s: %s", o->where, why.text);
	*ret = t;
	t = (struct target){NULL};
	return 0;
}

static void add_global(struct buf *b, const struct partition *p, const struct switches *w)
{
	if (w->dual && p->dual)
		buf_addf(b, "iam%s.global.%s", w->fips ? "-fips" : "", p->dual);
	else if (w->fips && !p->fips_is_plain)
		buf_addf(b, "iam-fips.%s", p->suffix);
	else
		buf_add_str(b, p->iam_host);
}

static void add_host(struct buf *b, const struct service *s, const struct partition *p,
		     const char *region, const struct switches *w)
{
	bool fips = w->fips && !(s->gov_is_fips && p->fips_is_plain);
	const char *first = fips ? s->fips_host : s->host;

	if (strcmp(s->name, "iam") == 0)
		add_global(b, p, w);
	else if (strcmp(s->name, "s3") == 0)
		buf_addf(b, "%s.%s%s.%s", first, w->dual ? "dualstack." : "", region, p->suffix);
	else
		buf_addf(b, "%s.%s.%s", first, region, w->dual ? p->dual : p->suffix);
}

/* What a base URL is made of: "SCHEME://" HOST PATH. */
struct base {
	bool takes_name; /* a bucket's name may stand before the host */
	const char *scheme;
	struct buf host; /* with its port */
	struct buf path;
};

static void base_release(struct base *b)
{
	buf_release(&b->host);
	buf_release(&b->path);
}

static bool host_takes_name(const char *host)
{
	unsigned char address[sizeof(struct in6_addr)];
	size_t n = strcspn(host, ":");
	char name[HOST_MAX];

	if (*host == '[' || n >= sizeof(name))
		return false;
	memcpy(name, host, n);
	name[n] = '\0';
	if (inet_pton(AF_INET, name, address) == 1 || strcasecmp(name, "localhost") == 0)
		return false;
	return !(n > 10 && strcasecmp(name + n - 10, ".localhost") == 0);
}

static int make_base(const struct awsconfig *c, const char *service, const char *region,
		     struct base *ret, struct err *e)
{
	const struct switches w = {
		.fips = awsconfig_is_true(c, "AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint"),
		.dual = awsconfig_is_true(c, "AWS_USE_DUALSTACK_ENDPOINT",
					  "use_dualstack_endpoint")};
	CLEANUP(target_release) struct target t = {NULL};
	const struct service *s = services;
	const struct partition *p;
	struct override o;
	int r = check_region(region, e);

	if (r < 0)
		return r;
	while (s < services + COUNT_OF(services) && strcmp(s->name, service) != 0)
		s++;
	if (s == services + COUNT_OF(services))
		return err_set(e, -EINVAL, "%s: a service without an endpoint", service);
	r = find_override(c, s, &o, e);
	if (r == 0 && o.url)
		r = use_override(&o, &w, &t, e);
	if (r < 0)
		return r;
	if (o.url) {
		const char *host = strstr(t.origin, "://") + 3;

		ret->scheme = t.tls ? "https" : "http";
		ret->takes_name = host_takes_name(host);
		buf_add_str(&ret->host, host);
		buf_add_str(&ret->path, t.path);
		return 0;
	}
	p = partition_of(region);
	if (w.dual && !p->dual)
		return err_set(e, -EINVAL,
			       "%s has no dual-stack endpoints; take use_dualstack_endpoint away",
			       p->name);
	ret->scheme = "https";
	ret->takes_name = true;
	add_host(&ret->host, s, p, region, &w);
	return 0;
}

/* bucket: NULL: none; in_host: where it goes. */
static int join(const struct base *b, const char *bucket, bool in_host, char **ret, struct err *e)
{
	CLEANUP(buf_release) struct buf url = BUF_INIT(HOST_MAX + TARGET_TEXT_MAX);
	char *text = NULL;

	buf_addf(&url, "%s://", b->scheme);
	if (bucket && in_host)
		buf_addf(&url, "%s.", bucket);
	buf_add(&url, b->host.data, b->host.size);
	buf_add(&url, b->path.data, b->path.size);
	while (url.size && url.data[url.size - 1] == '/')
		url.data[--url.size] = '\0';
	if (bucket && !in_host)
		buf_addf(&url, "/%s", bucket);
	if (buf_error(&b->host) == 0 && buf_error(&b->path) == 0)
		text = buf_steal(&url);
	if (!text)
		return err_set(e, -ENOMEM, "no memory for an endpoint");
	*ret = text;
	return 0;
}

int endpoint_service(const struct awsconfig *c, const char *service, const char *region, char **ret,
		     struct err *e)
{
	CLEANUP(base_release)
	struct base b = {.host = BUF_INIT(HOST_MAX), .path = BUF_INIT(TARGET_TEXT_MAX)};
	int r = make_base(c, service, region, &b, e);

	return r < 0 ? r : join(&b, NULL, false, ret, e);
}

/* May it be a label of a host name?  Dots may not: a certificate's "*" stands
 * for one label. */
static bool is_label(const char *bucket)
{
	size_t n = strlen(bucket);

	return n >= BUCKET_MIN && n <= BUCKET_MAX && bucket[0] != '-' && bucket[n - 1] != '-' &&
	       strspn(bucket, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

static bool is_bucket(const char *bucket)
{
	size_t n = strlen(bucket);

	return n >= BUCKET_MIN && n <= OLD_BUCKET_MAX && strspn(bucket, ".") < n &&
	       strspn(bucket, "abcdefghijklmnopqrstuvwxyz0123456789-._"
			      "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == n;
}

int endpoint_bucket(const struct awsconfig *c, const char *bucket, const char *region,
		    bool path_style, char **ret, struct err *e)
{
	CLEANUP(base_release)
	struct base b = {.host = BUF_INIT(HOST_MAX), .path = BUF_INIT(TARGET_TEXT_MAX)};
	const char *style =
		awsconfig_nested(c, "profile", awsconfig_profile(c), "s3", "addressing_style");
	int r;

	if (!is_bucket(bucket))
		return err_set(e, -EINVAL,
			       "%.64s: not the name of a bucket: 3 to 63 lower-case letters, "
			       "digits, '.' and '-'",
			       bucket);
	r = make_base(c, "s3", region, &b, e);
	if (r < 0)
		return r;
	path_style = path_style || (style && strcasecmp(style, "path") == 0);
	return join(&b, bucket, b.takes_name && !path_style && is_label(bucket), ret, e);
}
