#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "backend/aws/creds_private.h"
#include "backend/http/target.h"

#define HOST	    "http://169.254.170.2"
#define TRIES	    3
#define TIMEOUT_MS  2000
#define TOKEN_MAX   (16 * 1024)
#define ADDRESS_MAX 64

/* Who hands out credentials without TLS must be this machine, or one of the
 * addresses that never leave it. */
static bool may_be_plain(const char *origin)
{
	static const char *const v4[] = {"169.254.170.2", "169.254.170.23"};
	static const char *const v6[] = {"::1", "fd00:ec2::23"};
	const char *host = strstr(origin, "://") + 3;
	struct in6_addr a6, known6;
	char name[ADDRESS_MAX];
	struct in_addr a4;
	size_t n;

	if (*host == '[') {
		n = strcspn(host + 1, "]");
		snprintf(name, sizeof(name), "%.*s", (int)n, host + 1);
		for (size_t i = 0; i < COUNT_OF(v6); i++)
			if (inet_pton(AF_INET6, name, &a6) == 1 &&
			    inet_pton(AF_INET6, v6[i], &known6) == 1 &&
			    memcmp(&a6, &known6, sizeof(a6)) == 0)
				return true;
		return false;
	}
	n = strcspn(host, ":/");
	if (n >= sizeof(name))
		return false;
	snprintf(name, sizeof(name), "%.*s", (int)n, host);
	if (strcasecmp(name, "localhost") == 0)
		return true;
	for (size_t i = 0; i < COUNT_OF(v4); i++)
		if (strcmp(name, v4[i]) == 0)
			return true;
	return inet_pton(AF_INET, name, &a4) == 1 && ntohl(a4.s_addr) >> 24 == 127;
}

static int check_full(const char *url, struct err *e)
{
	CLEANUP(target_release) struct target t = {NULL};
	struct err why = ERR_INIT;
	int r = target_parse(url, &t, &why);

	if (r == 0 && t.unix_path)
		r = err_set(&why, -EINVAL, "only http:// and https:// are spoken");
	if (r == 0 && !t.tls && !may_be_plain(t.origin))
		r = err_set(&why, -EINVAL,
			    "without https only this machine and the container service's own "
			    "addresses are asked for keys");
	return r < 0 ? err_set(e, r, "AWS_CONTAINER_CREDENTIALS_FULL_URI: %s", why.text) : 0;
}

/* *ret NULL: not configured. */
static int find_url(const struct awsconfig *c, char **ret, struct err *e)
{
	const char *relative = awsconfig_env(c, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
	const char *full = awsconfig_env(c, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
	int r;

	if (relative && *relative != '/')
		return err_set(e, -EINVAL,
			       "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI must begin with '/'");
	if (!relative && full) {
		r = check_full(full, e);
		if (r < 0)
			return r;
	}
	if (relative || full) {
		r = asprintf(ret, "%s%s", relative ? HOST : "", relative ? relative : full);
		if (r < 0) {
			*ret = NULL;
			return err_set(e, -ENOMEM, "no memory for a URL");
		}
	}
	return 0;
}

/* *ret NULL: none is wanted. */
static int find_token(const struct awsconfig *c, char **ret, struct err *e)
{
	const char *path = awsconfig_env(c, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
	const char *plain = awsconfig_env(c, "AWS_CONTAINER_AUTHORIZATION_TOKEN");
	char words[128];
	int r = 0;

	if (path) {
		r = creds_read_file(path, TOKEN_MAX, ret);
		if (r < 0 && r != -ENOMEM)
			return err_set(e, -EACCES, "cannot read the container's token in %s: %s",
				       path, strerror_r(-r, words, sizeof(words)));
	} else if (plain) {
		*ret = strdup(plain);
		r = *ret ? 0 : -ENOMEM;
	}
	return r < 0 ? err_set(e, r, "no memory for a token") : 0;
}

static int ask(const struct creds_source *s, const char *url, const char *token,
	       struct wire_answer *ret, struct err *e)
{
	struct creds_ask ask = {.who = "the container's credential service",
				.method = "GET",
				.url = url,
				.tries = TRIES,
				.timeout_ms = TIMEOUT_MS,
				.direct = true};
	struct http_headers *headers = NULL;
	int r = http_headers_new(&headers);

	if (r == 0)
		r = http_headers_add(headers, "accept", "application/json");
	if (r == 0 && token)
		r = http_headers_add(headers, "authorization", token);
	if (r == -EINVAL) {
		r = err_set(e, -EACCES,
			    "the container's authorization token has a line break or a control "
			    "byte within");
	} else if (r < 0) {
		r = err_set(e, r, "no memory for a request");
	} else {
		ask.headers = headers;
		r = creds_ask(s, &ask, ret, e);
	}
	http_headers_free(headers);
	return r;
}

int creds_from_container(const struct creds_source *s, struct creds *ret, struct err *e)
{
	static const struct creds_names names = {.id = "AccessKeyId",
						 .secret = "SecretAccessKey",
						 .token = "Token",
						 .expires = "Expiration",
						 .account = "AccountId"};
	CLEANUP(creds_answer_release) struct wire_answer a = {.body = BUF_INIT(0)};
	CLEANUP(creds_wipe) char *token = NULL;
	CLEANUP(str_freep) char *url = NULL;
	const char *secrets[2] = {NULL};
	struct creds_said said = {.code = ""};
	int r = find_url(s->config, &url, e);

	if (r < 0 || !url)
		return r;
	r = find_token(s->config, &token, e);
	if (r == 0)
		r = ask(s, url, token, &a, e);
	if (r < 0)
		return r;
	if (a.status != 200) {
		secrets[0] = token;
		r = creds_refusal(&a, secrets, &said);
		return err_set(e, r,
			       "the container's credential service gives no keys: %s; see to it "
			       "that the task or pod has a role",
			       said.words);
	}
	r = creds_from_json(creds_json(a.body.data, a.body.size), &names, ret);
	if (r < 0)
		return err_set(e, r == -ENOMEM ? r : -EAGAIN,
			       "the container's credential service gives an answer that makes no "
			       "sense");
	snprintf(ret->source, sizeof(ret->source), "container");
	return 0;
}
