#include <errno.h>
#include <string.h>

#include "backend/aws/creds_private.h"

/* Far above what AWS hands out; what is larger is not a key. */
#define KEY_ID_MAX 256
#define SECRET_MAX 1024
#define TOKEN_MAX  (64 * 1024)

/* Keys go into headers: graphic ASCII and nothing else. */
static bool is_graphic(const char *s, size_t max)
{
	size_t n = 0;

	for (; s[n]; n++)
		if (s[n] < 0x21 || s[n] > 0x7e || n >= max)
			return false;
	return n > 0;
}

static int check(const struct creds *c, struct err *e)
{
	const char *what = NULL;

	if (!is_graphic(c->access_key_id, KEY_ID_MAX))
		what = "access key id";
	else if (!c->secret || !is_graphic(c->secret, SECRET_MAX))
		what = "secret key";
	else if (c->session_token && !is_graphic(c->session_token, TOKEN_MAX))
		what = "session token";
	if (!what)
		return 0;
	return err_set(e, -EACCES,
		       "%s: the %s is empty, too long or has characters that no key has; give it "
		       "again",
		       c->source, what);
}

/* Strings are copied; source and expires_ns are the caller's to set. */
static int set_keys(struct creds *ret, const char *id, const char *secret, const char *token,
		    const char *account, struct err *e)
{
	CLEANUP(creds_release) struct creds c = CREDS_INIT;

	c.access_key_id = strdup(id);
	c.secret = strdup(secret);
	c.session_token = token ? strdup(token) : NULL;
	c.account_id = account ? strdup(account) : NULL;
	if (!c.access_key_id || !c.secret || !c.session_token != !token ||
	    !c.account_id != !account)
		return err_set(e, -ENOMEM, "no memory for credentials");
	*ret = c;
	c = (struct creds)CREDS_INIT;
	return 0;
}

int creds_from_environment(const struct creds_source *s, struct creds *ret, struct err *e)
{
	const struct awsconfig *c = s->config;
	const char *id = awsconfig_env(c, "AWS_ACCESS_KEY_ID");
	const char *secret = awsconfig_env(c, "AWS_SECRET_ACCESS_KEY");
	const char *token = awsconfig_env(c, "AWS_SESSION_TOKEN");
	const char *expires = awsconfig_env(c, "AWS_CREDENTIAL_EXPIRATION");
	int64_t expires_ns = 0;
	int r;

	if (!id)
		return 0;
	if (!secret)
		return err_set(e, -EINVAL,
			       "AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not; set "
			       "both or neither");
	if (expires && !creds_parse_time(expires, &expires_ns))
		return err_set(e, -EINVAL,
			       "AWS_CREDENTIAL_EXPIRATION = %.40s: not a time; write it as in "
			       "2026-01-02T03:04:05Z",
			       expires);
	if (expires_ns && expires_ns <= clock_wall_ns(s->clock))
		return err_set(e, -EACCES,
			       "the credentials in the environment expired at %.40s; set new ones "
			       "and mount again",
			       expires);
	if (!token)
		token = awsconfig_env(c, "AWS_SECURITY_TOKEN");
	r = set_keys(ret, id, secret, token, awsconfig_env(c, "AWS_ACCOUNT_ID"), e);
	if (r == 0) {
		ret->expires_ns = expires_ns;
		snprintf(ret->source, sizeof(ret->source), "environment");
	}
	return r;
}

/* get: of both files, or of one of them. */
static int from_file(const char *profile, const char *id, const char *secret, const char *token,
		     const char *account, struct creds *ret, struct err *e)
{
	if (!id)
		return 0;
	if (!secret)
		return err_set(e, -EINVAL,
			       "profile %s has aws_access_key_id and no aws_secret_access_key; "
			       "write both, for example with: aws configure --profile %s",
			       profile, profile);
	return set_keys(ret, id, secret, token, account, e);
}

int creds_from_credentials_file(const struct creds_source *s, const char *profile,
				struct creds *ret, struct err *e)
{
	const struct awsconfig *c = s->config;
	const char *token = awsconfig_get_credential(c, profile, "aws_session_token");
	int r;

	if (!token)
		token = awsconfig_get_credential(c, profile, "aws_security_token");
	r = from_file(profile, awsconfig_get_credential(c, profile, "aws_access_key_id"),
		      awsconfig_get_credential(c, profile, "aws_secret_access_key"), token,
		      awsconfig_get(c, profile, "aws_account_id"), ret, e);
	if (r == 0 && ret->access_key_id)
		snprintf(ret->source, sizeof(ret->source), "profile %.60s: credentials file",
			 profile);
	return r;
}

int creds_from_config_file(const struct creds_source *s, const char *profile, struct creds *ret,
			   struct err *e)
{
	const struct awsconfig *c = s->config;
	const char *token = awsconfig_section(c, "profile", profile, "aws_session_token");
	int r;

	r = from_file(profile, awsconfig_section(c, "profile", profile, "aws_access_key_id"),
		      awsconfig_section(c, "profile", profile, "aws_secret_access_key"), token,
		      awsconfig_get(c, profile, "aws_account_id"), ret, e);
	if (r == 0 && ret->access_key_id)
		snprintf(ret->source, sizeof(ret->source), "profile %.60s: config file", profile);
	return r;
}

bool creds_profile_has_keys(const struct awsconfig *c, const char *profile)
{
	return awsconfig_get(c, profile, "aws_access_key_id") &&
	       awsconfig_get(c, profile, "aws_secret_access_key");
}

int creds_of_profile(const struct creds_source *s, const struct creds_visit *at, bool role_too,
		     struct creds *ret, struct err *e)
{
	static int (*const providers[])(const struct creds_source *s, const char *profile,
					struct creds *ret, struct err *e) = {
		creds_from_sso, creds_from_credentials_file, creds_from_process,
		creds_from_config_file};
	/* The environment speaks for the one who mounts, not for a profile that
	 * another one leads to. */
	bool env_too = !at->above && !awsconfig_profile_is_explicit(s->config);
	int r = 0;

	if (role_too)
		r = creds_from_role(s, at, ret, e);
	if (r == 0 && !ret->access_key_id)
		r = creds_from_web_identity(s, at->profile, env_too, ret, e);
	for (size_t i = 0; i < COUNT_OF(providers) && r == 0 && !ret->access_key_id; i++)
		r = providers[i](s, at->profile, ret, e);
	return r;
}

static int ask_all(const struct creds_source *s, struct creds *ret, struct err *e)
{
	const struct creds_visit at = {.profile = awsconfig_profile(s->config)};
	int r = 0;

	/* Who names a profile on the command line means it, whatever a shell
	 * has exported long ago. */
	if (!awsconfig_profile_is_explicit(s->config))
		r = creds_from_environment(s, ret, e);
	if (r == 0 && !ret->access_key_id)
		r = creds_of_profile(s, &at, true, ret, e);
	if (r == 0 && !ret->access_key_id)
		r = creds_from_container(s, ret, e);
	if (r == 0 && !ret->access_key_id)
		r = creds_from_imds(s, ret, e);
	return r;
}

int creds_resolve(const struct creds_source *s, struct creds *ret, struct err *e)
{
	CLEANUP(creds_release) struct creds c = CREDS_INIT;
	int r = ask_all(s, &c, e);

	if (r == 0 && !c.access_key_id)
		return err_set(e, -ENOKEY,
			       "no AWS credentials: not in the environment%s, not in profile %s, "
			       "and this machine hands out none; run \"aws configure\" or \"aws "
			       "sso login\", set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
			       "name a profile with -o profile=NAME",
			       awsconfig_profile_is_explicit(s->config)
				       ? " (not looked at, as a profile is named)"
				       : "",
			       awsconfig_profile(s->config));
	if (r == 0)
		r = check(&c, e);
	if (r < 0)
		return r;
	*ret = c;
	c = (struct creds)CREDS_INIT;
	return 0;
}
