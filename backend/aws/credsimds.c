#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "backend/aws/creds_private.h"
#include "backend/http/target.h"
#include "fs/base/kv.h"

/*
 * Off EC2 nobody listens at the service's address, and often nobody says so:
 * what is slow to connect is taken for absent, and that after a second.
 * Behind a container's network the token's answer may be lost on the way (hop
 * limit 1) while plain requests go through: then the first version is asked.
 */

#define V4		  "http://169.254.169.254"
#define V6		  "http://[fd00:ec2::254]"
#define TOKEN_PATH	  "/latest/api/token"
#define ROLES_PATH	  "/latest/meta-data/iam/security-credentials/"
#define TIMEOUT_S	  "1"
#define TIMEOUT_MAX_S	  60
#define TRIES		  "1"
#define TRIES_MAX	  10
#define ROLE_MAX	  64
#define EXTENSION_NS	  (15 * 60 * NS_PER_S)
#define EXTENSION_MIN_S	  120
#define EXTENSION_RANGE_S 480

struct imds {
	const struct creds_source *s; /* borrowed */
	char *base;		      /* owned; no '/' at its end */
	char *token;		      /* owned; NULL: of the first version */
	long timeout_ms;
	unsigned tries;
};

static void imds_release(struct imds *i)
{
	free(i->base);
	creds_wipe(&i->token);
}

/* A variable or a key of the profile. */
static const char *setting(const struct awsconfig *c, const char *variable, const char *key,
			   const char *otherwise)
{
	const char *v = awsconfig_env(c, variable);

	if (!v)
		v = awsconfig_get(c, awsconfig_profile(c), key);
	return v ? v : otherwise;
}

static int make_base(struct imds *i, struct err *e)
{
	const struct awsconfig *c = i->s->config;
	const char *mode = setting(c, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
				   "ec2_metadata_service_endpoint_mode", "IPv4");
	const char *base =
		setting(c, "AWS_EC2_METADATA_SERVICE_ENDPOINT", "ec2_metadata_service_endpoint",
			strcasecmp(mode, "IPv6") == 0 ? V6 : V4);
	CLEANUP(target_release) struct target t = {NULL};
	struct err why = ERR_INIT;
	int r = target_parse(base, &t, &why);

	if (r == 0 && (t.unix_path || *t.query))
		r = err_set(&why, -EINVAL, "only http://HOST or https://HOST, a port and a path");
	if (r < 0)
		return err_set(e, r, "AWS_EC2_METADATA_SERVICE_ENDPOINT: %s", why.text);
	if (asprintf(&i->base, "%s%s", t.origin, t.path) < 0) {
		i->base = NULL;
		return err_set(e, -ENOMEM, "no memory for a URL");
	}
	return 0;
}

static int make_patience(struct imds *i, struct err *e)
{
	const struct awsconfig *c = i->s->config;
	uint64_t seconds, tries;
	int r = kv_parse_u64(
		"AWS_METADATA_SERVICE_TIMEOUT",
		setting(c, "AWS_METADATA_SERVICE_TIMEOUT", "metadata_service_timeout", TIMEOUT_S),
		1, TIMEOUT_MAX_S, &seconds, e);

	if (r == 0)
		r = kv_parse_u64("AWS_METADATA_SERVICE_NUM_ATTEMPTS",
				 setting(c, "AWS_METADATA_SERVICE_NUM_ATTEMPTS",
					 "metadata_service_num_attempts", TRIES),
				 1, TRIES_MAX, &tries, e);
	if (r < 0)
		return r;
	i->timeout_ms = (long)seconds * 1000;
	i->tries = (unsigned)tries;
	return 0;
}

/* Asks once or as often as is set; a failure is an answer, too. */
static int ask(const struct imds *i, const char *method, const char *path, const char *name,
	       struct wire_answer *ret, struct err *e)
{
	CLEANUP(str_freep) char *url = NULL;
	struct http_headers *headers = NULL;
	struct http_request q = {.method = method,
				 .direct = true,
				 .answer_max = CREDS_ANSWER_MAX,
				 .timeout_ms = i->timeout_ms};
	bool is_put = strcmp(method, "PUT") == 0;
	int r = http_headers_new(&headers);

	if (r == 0 && is_put)
		r = http_headers_add(headers, "x-aws-ec2-metadata-token-ttl-seconds", "21600");
	if (r == 0 && i->token)
		r = http_headers_add(headers, "x-aws-ec2-metadata-token", i->token);
	if (r == 0 && asprintf(&url, "%s%s%s", i->base, path, name) < 0) {
		url = NULL;
		r = -ENOMEM;
	}
	if (r < 0)
		err_set(e, r, "cannot make a request to the instance metadata service");
	q.url = url;
	q.headers = headers;
	q.body = is_put ? "" : NULL;
	for (unsigned left = i->tries; r == 0; left--) {
		CLEANUP(creds_answer_release) struct wire_answer a = {.body = BUF_INIT(0)};

		r = wire_ask(i->s->wire, &q, &a, e);
		if (r == 0 && ((a.failure == HTTP_ANSWERED && a.status < 500) || left <= 1)) {
			*ret = a;
			buf_init(&a.body, 0);
			break;
		}
	}
	http_headers_free(headers);
	return r;
}

static int copy_line(const struct buf *body, char **ret)
{
	size_t n = strcspn(body->data, "\r\n");

	*ret = strndup(body->data, n);
	return *ret ? 0 : -ENOMEM;
}

/* *ret_there: somebody answers, with or without a token. */
static int get_token(struct imds *i, bool *ret_there, struct err *e)
{
	CLEANUP(creds_answer_release) struct wire_answer a = {.body = BUF_INIT(0)};
	int r = ask(i, "PUT", TOKEN_PATH, "", &a, e);

	if (r < 0)
		return r;
	*ret_there = a.failure == HTTP_ANSWERED || a.failure == HTTP_TIMEOUT;
	if (!*ret_there)
		return 0;
	if (a.failure == HTTP_ANSWERED && a.status == 200) {
		if (copy_line(&a.body, &i->token) < 0)
			return err_set(e, -ENOMEM, "no memory for a token");
		if (!http_header_is_valid("x", i->token))
			return err_set(e, -EAGAIN,
				       "the instance metadata service gives a token "
				       "that makes no sense");
		return 0;
	}
	if (awsconfig_is_true(i->s->config, "AWS_EC2_METADATA_V1_DISABLED",
			      "ec2_metadata_v1_disabled")) {
		/* Nothing came within a second, as where there is no service at all. */
		*ret_there = a.failure == HTTP_ANSWERED;
		if (!*ret_there)
			return 0;
		return err_set(
			e, a.status >= 500 ? -EAGAIN : -EACCES,
			"the instance metadata service hands out no token (status %ld), "
			"and its first version is switched off (AWS_EC2_METADATA_V1_DISABLED)",
			a.status);
	}
	return 0;
}

static bool is_role(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && n <= ROLE_MAX &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
			    "_+=,.@-") == n;
}

/* What an answer is worth that is not 200; 0: the instance has no role. */
static int explain(const struct wire_answer *a, struct err *e)
{
	if (a->failure != HTTP_ANSWERED)
		return err_set(e, -EAGAIN, "the instance metadata service %s",
			       http_failure_words(a->failure));
	if (a->status == 404)
		return 0;
	return err_set(e, a->status >= 500 ? -EAGAIN : -EACCES,
		       "the instance metadata service gives no keys (status %ld)%s", a->status,
		       a->status == 401 ? "; it wants a token of its second version: raise the "
					  "hop limit to 2 (aws ec2 "
					  "modify-instance-metadata-options)"
					: "");
}

/* *ret NULL: it has none. */
static int get_role(struct imds *i, char **ret, struct err *e)
{
	CLEANUP(creds_answer_release) struct wire_answer a = {.body = BUF_INIT(0)};
	CLEANUP(str_freep) char *role = NULL;
	int r = ask(i, "GET", ROLES_PATH, "", &a, e);

	if (r < 0)
		return r;
	/* Without a token it may be another cloud's service, or none at all. */
	if (!i->token && (a.failure != HTTP_ANSWERED || (a.status != 200 && a.status != 401)))
		return 0;
	if (a.failure != HTTP_ANSWERED || a.status != 200)
		return explain(&a, e);
	if (copy_line(&a.body, &role) < 0)
		return err_set(e, -ENOMEM, "no memory for a role");
	if (!*role)
		return 0;
	if (!is_role(role))
		return err_set(e, -EAGAIN,
			       "the instance metadata service names a role that makes "
			       "no sense");
	*ret = STEAL(&role);
	return 0;
}

/* When the service cannot renew, it hands out what has expired; AWS takes it
 * for a while, and asking again at once would change nothing. */
static void extend(const struct imds *i, struct creds *c)
{
	int64_t now = clock_wall_ns(i->s->clock);
	unsigned random = 0;

	if (c->expires_ns == 0 || c->expires_ns - now > EXTENSION_NS)
		return;
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
		random = 0;
	c->expires_ns =
		now + EXTENSION_NS + (EXTENSION_MIN_S + random % EXTENSION_RANGE_S) * NS_PER_S;
}

static int get_keys(struct imds *i, const char *role, struct creds *ret, struct err *e)
{
	static const struct creds_names names = {.id = "AccessKeyId",
						 .secret = "SecretAccessKey",
						 .token = "Token",
						 .expires = "Expiration",
						 .account = "AccountId"};
	CLEANUP(creds_answer_release) struct wire_answer a = {.body = BUF_INIT(0)};
	CLEANUP(buf_release) struct buf code = BUF_INIT(64);
	struct jsonspan v;
	int r = ask(i, "GET", ROLES_PATH, role, &a, e);

	if (r < 0)
		return r;
	if (a.failure != HTTP_ANSWERED || a.status != 200)
		return explain(&a, e);
	v = creds_json(a.body.data, a.body.size);
	if (jsonspan_string(jsonspan_get(v, "Code"), &code) && strcmp(code.data, "Success") != 0)
		return err_set(e, -EACCES,
			       "the instance metadata service gives no keys for the role %s: %s; "
			       "check the instance profile's role and its trust policy",
			       role, code.data);
	r = creds_from_json(v, &names, ret);
	if (r < 0)
		return err_set(e, r == -ENOMEM ? r : -EAGAIN,
			       "the instance metadata service gives an answer that makes no sense");
	extend(i, ret);
	snprintf(ret->source, sizeof(ret->source), "instance role %s", role);
	return 0;
}

int creds_from_imds(const struct creds_source *s, struct creds *ret, struct err *e)
{
	CLEANUP(imds_release) struct imds i = {.s = s};
	CLEANUP(str_freep) char *role = NULL;
	bool there = false;
	int r;

	if (awsconfig_is_true(s->config, "AWS_EC2_METADATA_DISABLED", "ec2_metadata_disabled"))
		return 0;
	r = make_base(&i, e);
	if (r == 0)
		r = make_patience(&i, e);
	if (r == 0)
		r = get_token(&i, &there, e);
	if (r == 0 && there)
		r = get_role(&i, &role, e);
	if (r < 0 || !role)
		return r;
	return get_keys(&i, role, ret, e);
}
