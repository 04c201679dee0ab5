#include "backend/aws/awsconfig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/aws/awsini.h"

struct awsconfig {
	struct awsini config, credentials;
	char *config_path, *credentials_path; /* owned; NULL: there is no HOME */
	char *profile;			      /* owned */
	char *explicit_profile;		      /* owned; NULL: none */
	char *explicit_region;		      /* owned; NULL: none */
	const char *(*env)(void *ctx, const char *name);
	void *ctx; /* borrowed */
};

static const char *env_of_process(void *ctx, const char *name)
{
	(void)ctx;
	return secure_getenv(name);
}

void awsconfig_free(struct awsconfig *c)
{
	if (!c)
		return;
	awsini_release(&c->config);
	awsini_release(&c->credentials);
	free(c->config_path);
	free(c->credentials_path);
	free(c->profile);
	free(c->explicit_profile);
	free(c->explicit_region);
	free(c);
}

static void config_freep(struct awsconfig **c)
{
	awsconfig_free(*c);
	*c = NULL;
}

const char *awsconfig_env(const struct awsconfig *c, const char *name)
{
	const char *v = c->env(c->ctx, name);

	return v && *v ? v : NULL;
}

/* What the variable says, "~/" at its beginning being HOME; else the file
 * below HOME, or NULL where there is none. */
static int make_path(const struct awsconfig *c, const char *name, const char *below, char **ret,
		     struct err *e)
{
	const char *home = awsconfig_env(c, "HOME");
	const char *said = awsconfig_env(c, name);
	int n = 0;

	if (said && (strncmp(said, "~/", 2) != 0 || !home))
		n = asprintf(ret, "%s", said);
	else if (home)
		n = asprintf(ret, "%s/%s", home, said ? said + 2 : below);
	if (n < 0) {
		*ret = NULL;
		return err_set(e, -ENOMEM, "no memory for the AWS configuration");
	}
	return 0;
}

static int copy(const char *from, char **to, struct err *e)
{
	if (!from || !*from)
		return 0;
	*to = strdup(from);
	return *to ? 0 : err_set(e, -ENOMEM, "no memory for the AWS configuration");
}

static int check_profile(const struct awsconfig *c, struct err *e)
{
	const char *config = c->config_path ? c->config_path : "~/.aws/config";

	/* "default" is what there is without a name; many set it without a file. */
	if (awsconfig_has_profile(c, c->profile) || strcmp(c->profile, "default") == 0)
		return 0;
	if (awsini_has(&c->config, "", c->profile))
		return err_set(e, -EINVAL,
			       "%s has a section [%s] and no profile of that name; write [profile "
			       "%s]",
			       config, c->profile, c->profile);
	return err_set(e, -EINVAL,
		       "there is no profile %s, neither in %s nor in %s; name another one, or make "
		       "it with: aws configure --profile %s",
		       c->profile, config,
		       c->credentials_path ? c->credentials_path : "~/.aws/credentials",
		       c->profile);
}

static int load_files(struct awsconfig *c, struct err *e)
{
	int r = make_path(c, "AWS_CONFIG_FILE", ".aws/config", &c->config_path, e);

	if (r == 0)
		r = make_path(c, "AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials",
			      &c->credentials_path, e);
	if (r == 0 && c->config_path)
		r = awsini_load(&c->config, AWSINI_CONFIG, c->config_path, e);
	if (r == 0 && c->credentials_path)
		r = awsini_load(&c->credentials, AWSINI_CREDENTIALS, c->credentials_path, e);
	return r;
}

/* Paths in the files count, as for AWS's own tools, from where the program was started. */
static int anchor_values(const struct awsconfig *c, struct awsini *ini, struct err *e)
{
	static const char *const keys[] = {"ca_bundle", "web_identity_token_file"};
	const char *from = awsconfig_env(c, "PWD"); /* awsconfig_anchor() */

	for (size_t i = 0; i < ini->pair_count * COUNT_OF(keys) && from; i++) {
		struct awsini_pair *p = &ini->pairs[i / COUNT_OF(keys)];
		char *path;

		if (p->outer || strcmp(p->key, keys[i % COUNT_OF(keys)]) != 0 || !*p->val ||
		    *p->val == '/')
			continue;
		if (asprintf(&path, "%s/%s", strcmp(from, "/") == 0 ? "" : from, p->val) < 0)
			return err_set(e, -ENOMEM, "no memory for the AWS configuration");
		free(p->val);
		p->val = path;
	}
	return 0;
}

int awsconfig_load(const struct awsconfig_options *o, struct awsconfig **ret, struct err *e)
{
	CLEANUP(config_freep) struct awsconfig *c = calloc(1, sizeof(*c));
	const char *profile;
	int r;

	if (!c)
		return err_set(e, -ENOMEM, "no memory for the AWS configuration");
	c->env = o->env ? o->env : env_of_process;
	c->ctx = o->ctx;
	r = copy(o->profile, &c->explicit_profile, e);
	if (r == 0)
		r = copy(o->region, &c->explicit_region, e);
	if (r < 0)
		return r;
	profile = c->explicit_profile;
	if (!profile)
		profile = awsconfig_env(c, "AWS_PROFILE");
	if (!profile)
		profile = awsconfig_env(c, "AWS_DEFAULT_PROFILE");
	r = copy(profile ? profile : "default", &c->profile, e);
	if (r == 0)
		r = load_files(c, e);
	if (r == 0)
		r = anchor_values(c, &c->config, e);
	if (r == 0)
		r = anchor_values(c, &c->credentials, e);
	if (r == 0 && profile)
		r = check_profile(c, e);
	if (r == 0)
		*ret = STEAL(&c);
	return r;
}

int awsconfig_reload(const struct awsconfig *c, struct awsconfig **ret, struct err *e)
{
	const struct awsconfig_options o = {.profile = c->explicit_profile,
					    .region = c->explicit_region,
					    .env = c->env,
					    .ctx = c->ctx};

	return awsconfig_load(&o, ret, e);
}

/* "~/" is awsconfig_load()'s to understand. */
static int anchor(const char *name, const char *cwd, struct err *e)
{
	CLEANUP(str_freep) char *path = NULL;
	const char *said = secure_getenv(name);

	if (!said || !*said || said[0] == '/' || strncmp(said, "~/", 2) == 0)
		return 0;
	if (!cwd)
		return err_set(e, -ENOENT, "%s=%s: cannot tell the current directory", name, said);
	if (asprintf(&path, "%s/%s", strcmp(cwd, "/") == 0 ? "" : cwd, said) < 0) {
		path = NULL;
		return err_set(e, -ENOMEM, "no memory for %s", name);
	}
	return setenv(name, path, 1) < 0 ? err_errno(e, -errno, "cannot set %s", name) : 0;
}

int awsconfig_anchor(struct err *e)
{
	static const char *const names[] = {
		"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE",
		"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_CA_BUNDLE"};
	CLEANUP(str_freep) char *cwd = getcwd(NULL, 0);
	int r = 0;

	for (size_t i = 0; i < COUNT_OF(names) && r == 0; i++)
		r = anchor(names[i], cwd, e);
	if (r == 0 && (cwd ? setenv("PWD", cwd, 1) : unsetenv("PWD")) < 0)
		r = err_errno(e, -errno, "cannot set PWD");
	return r;
}

const char *awsconfig_profile(const struct awsconfig *c)
{
	return c->profile;
}

bool awsconfig_profile_is_explicit(const struct awsconfig *c)
{
	return c->explicit_profile != NULL;
}

bool awsconfig_has_profile(const struct awsconfig *c, const char *profile)
{
	return awsini_has(&c->config, "profile", profile) ||
	       awsini_has(&c->credentials, "profile", profile);
}

const char *awsconfig_get(const struct awsconfig *c, const char *profile, const char *key)
{
	const char *v = awsconfig_get_credential(c, profile, key);

	return v ? v : awsconfig_section(c, "profile", profile, key);
}

const char *awsconfig_get_credential(const struct awsconfig *c, const char *profile,
				     const char *key)
{
	return awsini_get(&c->credentials, "profile", profile, NULL, key);
}

bool awsconfig_has_section(const struct awsconfig *c, const char *kind, const char *name)
{
	return awsini_has(&c->config, kind, name);
}

const char *awsconfig_section(const struct awsconfig *c, const char *kind, const char *name,
			      const char *key)
{
	return awsini_get(&c->config, kind, name, NULL, key);
}

const char *awsconfig_nested(const struct awsconfig *c, const char *kind, const char *name,
			     const char *outer, const char *key)
{
	return awsini_get(&c->config, kind, name, outer, key);
}

const char *awsconfig_region(const struct awsconfig *c)
{
	const char *region = c->explicit_region;

	if (!region)
		region = awsconfig_env(c, "AWS_REGION");
	if (!region)
		region = awsconfig_env(c, "AWS_DEFAULT_REGION");
	return region ? region : awsconfig_get(c, c->profile, "region");
}

bool awsconfig_is_true(const struct awsconfig *c, const char *env_name, const char *key)
{
	const char *v = awsconfig_env(c, env_name);

	if (!v)
		v = awsconfig_get(c, c->profile, key);
	return v && strcasecmp(v, "true") == 0;
}
