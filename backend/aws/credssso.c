#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/stat.h>

#include "backend/aws/creds_private.h"
#include "backend/aws/endpoint.h"
#include "backend/aws/sigv4.h"
#include "fs/base/buf.h"
#include "fs/base/fdio.h"
#include "fs/base/log.h"

/*
 * "aws sso login" has left a token in a file; the portal gives keys for it.
 * If the token nears its end and the file has what it takes, it is renewed
 * here and written back, so that the command line tools profit, too.
 */

#define TRIES	     3
#define TIMEOUT_MS   30000
#define CACHE_MAX    (64 * 1024)
#define TOKEN_MAX    (32 * 1024)
#define RENEW_NS     (15 * 60 * NS_PER_S)
#define LIFE_MAX_S   (365LL * 24 * 3600)
#define SHA1_SIZE    20
#define REFRESH_TYPE "refresh_token"

/* What a profile says; all borrowed. */
struct sso {
	const char *profile, *account, *role, *region, *start_url;
	const char *session; /* NULL: of the old kind, without sso-session */
};

/* What the file says. */
struct token {
	char *path; /* owned, as all */
	char *text; /* of the whole file */
	char *access, *refresh, *client_id, *client_secret;
	int64_t expires_ns;		 /* 0: not told, which is in the past */
	int64_t registration_expires_ns; /* 0: not told */
};

static void token_release(struct token *t)
{
	free(t->path);
	creds_wipe(&t->text);
	creds_wipe(&t->access);
	creds_wipe(&t->refresh);
	creds_wipe(&t->client_id);
	creds_wipe(&t->client_secret);
}

static int log_in_again(const struct sso *o, const char *why, struct err *e)
{
	return err_set(e, -EACCES, "profile %s: %s; run: aws sso login --profile %s", o->profile,
		       why, o->profile);
}

static int read_profile(const struct awsconfig *c, const char *profile, struct sso *ret,
			struct err *e)
{
	struct sso o = {.profile = profile,
			.account = awsconfig_get(c, profile, "sso_account_id"),
			.role = awsconfig_get(c, profile, "sso_role_name"),
			.session = awsconfig_get(c, profile, "sso_session")};
	const char *missing = NULL;

	if (o.session && !awsconfig_has_section(c, "sso-session", o.session))
		return err_set(e, -EINVAL,
			       "profile %s: sso_session = %s, and there is no [sso-session %s]; "
			       "write it with: aws configure sso-session",
			       profile, o.session, o.session);
	o.region = o.session ? awsconfig_section(c, "sso-session", o.session, "sso_region")
			     : awsconfig_get(c, profile, "sso_region");
	o.start_url = o.session ? awsconfig_section(c, "sso-session", o.session, "sso_start_url")
				: awsconfig_get(c, profile, "sso_start_url");
	if (!o.account)
		missing = "sso_account_id";
	else if (!o.role)
		missing = "sso_role_name";
	else if (!o.region)
		missing = "sso_region";
	else if (!o.start_url)
		missing = "sso_start_url";
	if (missing)
		return err_set(e, -EINVAL,
			       "profile %s is one of SSO and %s is missing; write it with: aws "
			       "configure sso --profile %s",
			       profile, missing, profile);
	*ret = o;
	return 0;
}

/* HOME/.aws/sso/cache/SHA1.json */
static int cache_path(const struct awsconfig *c, const struct sso *o, char **ret, struct err *e)
{
	const char *home = awsconfig_env(c, "HOME");
	const char *name = o->session ? o->session : o->start_url;
	unsigned char hash[EVP_MAX_MD_SIZE];
	char hex[2 * SHA1_SIZE + 1];
	unsigned size = 0;

	if (!home)
		return err_set(e, -EINVAL, "profile %s: HOME is not set; the SSO token is below it",
			       o->profile);
	if (EVP_Digest(name, strlen(name), hash, &size, EVP_sha1(), NULL) != 1 || size != SHA1_SIZE)
		return err_set(e, -ENOMEM, "cannot make a SHA-1");
	for (unsigned i = 0; i < size; i++)
		snprintf(hex + 2 * i, 3, "%02x", hash[i]);
	if (asprintf(ret, "%s/.aws/sso/cache/%s.json", home, hex) < 0) {
		*ret = NULL;
		return err_set(e, -ENOMEM, "no memory for a path");
	}
	return 0;
}

static int time_member(struct jsonspan v, const char *key, int64_t *ret)
{
	CLEANUP(str_freep) char *text = NULL;
	int r = creds_json_string(v, key, &text);

	if (r < 0 || !text)
		return r;
	return creds_parse_time(text, ret) ? 0 : -EBADMSG;
}

static int parse_cache(struct token *t)
{
	struct jsonspan v = creds_json(t->text, strlen(t->text));
	int r = creds_json_string(v, "accessToken", &t->access);

	if (r == 0)
		r = creds_json_string(v, "refreshToken", &t->refresh);
	if (r == 0)
		r = creds_json_string(v, "clientId", &t->client_id);
	if (r == 0)
		r = creds_json_string(v, "clientSecret", &t->client_secret);
	if (r == 0)
		r = time_member(v, "expiresAt", &t->expires_ns);
	if (r == 0)
		r = time_member(v, "registrationExpiresAt", &t->registration_expires_ns);
	return r == 0 && !t->access ? -EBADMSG : r;
}

static int read_cache(const struct creds_source *s, const struct sso *o, struct token *t,
		      struct err *e)
{
	char why[512], words[128];
	int r = cache_path(s->config, o, &t->path, e);

	if (r < 0)
		return r;
	r = creds_read_file(t->path, CACHE_MAX, &t->text);
	if (r == -ENOENT)
		return log_in_again(o, "nobody has logged in to SSO", e);
	if (r == 0)
		r = parse_cache(t);
	if (r == -ENOMEM)
		return err_set(e, r, "no memory for an SSO token");
	if (r < 0) {
		snprintf(why, sizeof(why), "cannot use the SSO token in %.300s (%s)", t->path,
			 r == -EBADMSG ? "it is damaged" : strerror_r(-r, words, sizeof(words)));
		return log_in_again(o, why, e);
	}
	return 0;
}

/* The old text with the new token in it; other members stay as they are. */
static void make_cache(const struct token *t, struct buf *out)
{
	struct jsonspan_walk w = jsonspan_walk(jsonspan_of(t->text, strlen(t->text)));
	char expires[CLOCK_TEXT_MAX];

	buf_reserve(out, CACHE_MAX); /* at once: growing leaves copies behind */
	clock_format_utc(t->expires_ns, expires);
	buf_add_str(out, "{\"accessToken\": ");
	buf_add_json(out, t->access, strlen(t->access));
	buf_add_str(out, ", \"expiresAt\": ");
	buf_add_json(out, expires, strlen(expires));
	buf_add_str(out, ", \"refreshToken\": ");
	buf_add_json(out, t->refresh, strlen(t->refresh));
	while (jsonspan_next(&w)) {
		if (jsonspan_equals(w.key, "accessToken") || jsonspan_equals(w.key, "expiresAt") ||
		    jsonspan_equals(w.key, "refreshToken"))
			continue;
		buf_add_str(out, ", ");
		buf_add(out, w.key.at, w.key.size);
		buf_add_str(out, ": ");
		buf_add(out, w.value.at, w.value.size);
	}
	buf_add_char(out, '}');
}

/* Another file that takes its place: readers see the old one or the new one.
 * mkostemp() makes it with mode 0600. */
static int replace_file(const char *path, const struct buf *text)
{
	CLEANUP(str_freep) char *scratch = NULL;
	CLEANUP(fd_closep) int fd = -1;
	int r = 0;

	if (asprintf(&scratch, "%s.XXXXXX", path) < 0) {
		scratch = NULL;
		return -ENOMEM;
	}
	fd = mkostemp(scratch, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = fdio_write(fd, text->data, text->size);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r == 0 && rename(scratch, path) < 0)
		r = -errno;
	if (r < 0)
		unlink(scratch);
	return r;
}

static void write_back(const struct token *t)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT(2 * CACHE_MAX);
	char words[128];
	int r;

	make_cache(t, &text);
	r = buf_error(&text);
	if (r == 0)
		r = replace_file(t->path, &text);
	explicit_bzero(text.data, text.size);
	/* The token is good all the same, and the next one is asked for with
	 * what the file has. */
	if (r < 0)
		log_warning("creds", "cannot write %s: %s; the next SSO login may come early",
			    t->path, strerror_r(-r, words, sizeof(words)));
}

static bool can_refresh(const struct token *t, int64_t now)
{
	return t->refresh && t->client_id && t->client_secret &&
	       (t->registration_expires_ns == 0 || t->registration_expires_ns > now);
}

static void make_refresh(const struct token *t, struct buf *out)
{
	const struct {
		const char *name, *value;
	} members[] = {
		{"clientId", t->client_id},
		{"clientSecret", t->client_secret},
		{"grantType", REFRESH_TYPE},
		{"refreshToken", t->refresh},
	};

	buf_reserve(out, CACHE_MAX);
	for (size_t i = 0; i < COUNT_OF(members); i++) {
		buf_addf(out, "%s\"%s\":", i ? "," : "{", members[i].name);
		buf_add_json(out, members[i].value, strlen(members[i].value));
	}
	buf_add_char(out, '}');
}

static int take_refreshed(const struct creds_source *s, const struct wire_answer *a,
			  struct token *t)
{
	struct jsonspan v = creds_json(a->body.data, a->body.size);
	CLEANUP(creds_wipe) char *access = NULL;
	CLEANUP(creds_wipe) char *refresh = NULL;
	uint64_t seconds;
	int r = creds_json_string(v, "accessToken", &access);

	if (r == 0)
		r = creds_json_string(v, "refreshToken", &refresh);
	if (r < 0)
		return r;
	if (!access || !jsonspan_u64(jsonspan_get(v, "expiresIn"), &seconds) ||
	    seconds > LIFE_MAX_S || strlen(access) > TOKEN_MAX)
		return -EBADMSG;
	creds_wipe(&t->access);
	t->access = STEAL(&access);
	t->expires_ns = clock_wall_ns(s->clock) + (int64_t)seconds * NS_PER_S;
	if (refresh) {
		creds_wipe(&t->refresh);
		t->refresh = STEAL(&refresh);
	}
	return 0;
}

/* "https://HOST" and the rest of the URL. */
static int make_url(const struct creds_source *s, const char *service, const char *region,
		    const char *rest, char **ret, struct err *e)
{
	CLEANUP(str_freep) char *origin = NULL;
	int r = endpoint_service(s->config, service, region, &origin, e);

	if (r < 0)
		return r;
	if (asprintf(ret, "%s%s", origin, rest) < 0) {
		*ret = NULL;
		return err_set(e, -ENOMEM, "no memory for a URL");
	}
	return 0;
}

static int refresh(const struct creds_source *s, const struct sso *o, struct token *t,
		   struct err *e)
{
	CLEANUP(creds_answer_release) struct wire_answer a = {.body = BUF_INIT(0)};
	const char *const secrets[] = {t->refresh, t->client_secret, t->access, NULL};
	CLEANUP(buf_release) struct buf body = BUF_INIT(2 * CACHE_MAX);
	CLEANUP(str_freep) char *url = NULL;
	struct http_headers *headers = NULL;
	struct creds_ask ask = {
		.who = "SSO", .method = "POST", .tries = TRIES, .timeout_ms = TIMEOUT_MS};
	struct creds_said said = {.code = ""};
	char why[512];
	int r = make_url(s, "sso-oidc", o->region, "/token", &url, e);

	if (r < 0)
		return r;
	make_refresh(t, &body);
	ask.url = url;
	r = creds_headers("application/json", &headers);
	r = creds_post(s, &ask, r, headers, &body, &a, e);
	if (r < 0)
		return r;
	if (a.status != 200) {
		r = creds_refusal(&a, secrets, &said);
		snprintf(why, sizeof(why), "SSO does not renew its token (%s)", said.words);
		return r == -EACCES ? log_in_again(o, why, e) : err_set(e, r, "%s", why);
	}
	r = take_refreshed(s, &a, t);
	if (r < 0)
		return err_set(e, r == -ENOMEM ? r : -EAGAIN,
			       "SSO (%s) gives an answer that makes no sense", url);
	write_back(t);
	return 0;
}

/* The file's token, renewed if need be and possible. */
static int find_token(const struct creds_source *s, const struct sso *o, struct token *t,
		      struct err *e)
{
	int64_t now = clock_wall_ns(s->clock);
	int r = read_cache(s, o, t, e);

	if (r < 0 || t->expires_ns - now >= RENEW_NS)
		return r;
	if (can_refresh(t, now)) {
		struct err why = ERR_INIT;

		r = refresh(s, o, t, &why);
		if (r < 0 && (r == -ECANCELED || t->expires_ns <= now))
			return err_set(e, r, "%s", why.text);
		return 0;
	}
	if (t->expires_ns <= now)
		return log_in_again(o, "the SSO login has expired", e);
	return 0;
}

static int make_question(const struct creds_source *s, const struct sso *o, char **ret,
			 struct err *e)
{
	CLEANUP(buf_release) struct buf rest = BUF_INIT(8192);

	buf_add_str(&rest, "/federation/credentials?role_name=");
	sigv4_encode(&rest, o->role, strlen(o->role), false);
	buf_add_str(&rest, "&account_id=");
	sigv4_encode(&rest, o->account, strlen(o->account), false);
	if (buf_error(&rest) < 0)
		return err_set(e, -EINVAL, "profile %s: sso_role_name is too long", o->profile);
	return make_url(s, "sso", o->region, rest.data, ret, e);
}

static int take_keys(const struct sso *o, const struct wire_answer *a, struct creds *ret)
{
	static const struct creds_names names = {
		.id = "accessKeyId", .secret = "secretAccessKey", .token = "sessionToken"};
	struct jsonspan v = jsonspan_get(creds_json(a->body.data, a->body.size), "roleCredentials");
	uint64_t ms = 0;
	int r;

	if (!jsonspan_u64(jsonspan_get(v, "expiration"), &ms) ||
	    ms > (uint64_t)(INT64_MAX / NS_PER_MS))
		return -EBADMSG;
	r = creds_from_json(v, &names, ret);
	if (r < 0)
		return r;
	ret->expires_ns = (int64_t)ms * NS_PER_MS;
	ret->account_id = strdup(o->account); /* NULL: not told */
	snprintf(ret->source, sizeof(ret->source), "profile %.40s: SSO role %.60s", o->profile,
		 o->role);
	return 0;
}

static int explain(const struct sso *o, const struct token *t, const struct wire_answer *a,
		   struct err *e)
{
	const char *const secrets[] = {t->access, NULL};
	struct creds_said said = {.code = ""};
	int r = creds_refusal(a, secrets, &said);

	if (a->status == 401)
		return log_in_again(o, "SSO does not take the login any more", e);
	return err_set(e, r,
		       "profile %s: SSO gives no keys for the role %.64s of account %.20s: %s%s",
		       o->profile, o->role, o->account, said.words,
		       r == -EACCES ? "; ask for access to it, or check sso_role_name and "
				      "sso_account_id"
				    : "");
}

static int ask_portal(const struct creds_source *s, const struct sso *o, const struct token *t,
		      struct creds *ret, struct err *e)
{
	CLEANUP(creds_answer_release) struct wire_answer a = {.body = BUF_INIT(0)};
	CLEANUP(str_freep) char *url = NULL;
	struct http_headers *headers = NULL;
	struct creds_ask ask = {
		.who = "SSO", .method = "GET", .tries = TRIES, .timeout_ms = TIMEOUT_MS};
	int r = make_question(s, o, &url, e);

	if (r < 0)
		return r;
	r = http_headers_new(&headers);
	if (r == 0)
		r = http_headers_add(headers, "x-amz-sso_bearer_token", t->access);
	if (r == -EINVAL) {
		r = log_in_again(o, "the SSO token has characters that no token has", e);
	} else if (r < 0) {
		r = err_set(e, r, "no memory for a request to SSO");
	} else {
		ask.url = url;
		ask.headers = headers;
		r = creds_ask(s, &ask, &a, e);
	}
	http_headers_free(headers);
	if (r < 0)
		return r;
	if (a.status != 200)
		return explain(o, t, &a, e);
	r = take_keys(o, &a, ret);
	return r < 0 ? err_set(e, r == -ENOMEM ? r : -EAGAIN,
			       "SSO gives an answer that makes no sense")
		     : 0;
}

int creds_from_sso(const struct creds_source *s, const char *profile, struct creds *ret,
		   struct err *e)
{
	CLEANUP(token_release) struct token t = {.path = NULL};
	struct sso o;
	int r;

	if (!awsconfig_get(s->config, profile, "sso_account_id") &&
	    !awsconfig_get(s->config, profile, "sso_role_name"))
		return 0;
	r = read_profile(s->config, profile, &o, e);
	if (r == 0)
		r = find_token(s, &o, &t, e);
	return r < 0 ? r : ask_portal(s, &o, &t, ret, e);
}
