#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "backend/aws/creds_private.h"
#include "fs/base/kv.h"

#define CHAIN_MAX      8
#define DURATION_MIN_S 900
#define DURATION_MAX_S 43200
#define TOKEN_FILE_MAX (64 * 1024)

/* "arn:aws:iam::111122223333:role/x" */
static char *account_of(const char *arn)
{
	for (int i = 0; i < 4 && arn; i++) {
		arn = strchr(arn, ':');
		arn = arn ? arn + 1 : NULL;
	}
	for (int i = 0; arn && i < 12; i++)
		if (!isdigit((unsigned char)arn[i]))
			return NULL;
	return arn && arn[12] == ':' ? strndup(arn, 12) : NULL;
}

static const char *role_name(const char *arn)
{
	const char *slash = strrchr(arn, '/');

	return slash ? slash + 1 : arn;
}

static int check_duration(const char *profile, const char *seconds, struct err *e)
{
	struct err why = ERR_INIT;
	uint64_t n;

	if (!seconds || kv_parse_u64("duration_seconds", seconds, DURATION_MIN_S, DURATION_MAX_S,
				     &n, &why) == 0)
		return 0;
	return err_set(e, -EINVAL, "profile %s: %s", profile, why.text);
}

static int check_circle(const struct creds_visit *at, const char *source, struct err *e)
{
	unsigned depth = 1;

	for (const struct creds_visit *v = at; v; v = v->above, depth++)
		if (strcmp(v->profile, source) == 0)
			return err_set(e, -EINVAL,
				       "profile %s: source_profile = %s leads back to itself; let "
				       "the last of them have keys of its own",
				       at->profile, source);
	if (depth > CHAIN_MAX)
		return err_set(e, -EINVAL,
			       "profile %s: more than %d profiles in a chain of source_profile",
			       at->profile, CHAIN_MAX);
	return 0;
}

static int from_source_profile(const struct creds_source *s, const struct creds_visit *at,
			       const char *source, struct creds *ret, struct err *e)
{
	const struct creds_visit next = {.profile = source, .above = at};
	bool has_keys = creds_profile_has_keys(s->config, source);
	int r = 0;

	if (!awsconfig_has_profile(s->config, source))
		return err_set(e, -EINVAL,
			       "profile %s: source_profile = %s, and there is no such profile",
			       at->profile, source);
	/* A profile may name itself, if it has keys: the role's own are meant. */
	if (!has_keys)
		r = check_circle(at, source, e);
	if (r == 0)
		r = creds_of_profile(s, &next, !has_keys, ret, e);
	if (r == 0 && !ret->access_key_id)
		r = err_set(e, -EINVAL,
			    "profile %s: source_profile = %s, and that one has no credentials; "
			    "give it some, for example with: aws configure --profile %s",
			    at->profile, source, source);
	return r;
}

static int from_credential_source(const struct creds_source *s, const char *profile,
				  const char *source, struct creds *ret, struct err *e)
{
	static const struct {
		const char *name;
		int (*get)(const struct creds_source *s, struct creds *ret, struct err *e);
	} sources[] = {
		{"Environment", creds_from_environment},
		{"Ec2InstanceMetadata", creds_from_imds},
		{"EcsContainer", creds_from_container},
	};
	size_t i = 0;
	int r;

	while (i < COUNT_OF(sources) && strcasecmp(sources[i].name, source) != 0)
		i++;
	if (i == COUNT_OF(sources))
		return err_set(e, -EINVAL,
			       "profile %s: credential_source = %.60s: one of Environment, "
			       "Ec2InstanceMetadata and EcsContainer",
			       profile, source);
	r = sources[i].get(s, ret, e);
	if (r == 0 && !ret->access_key_id)
		r = err_set(e, -EACCES,
			    "profile %s: credential_source = %s, and there are no credentials",
			    profile, source);
	return r;
}

static int check_role(const struct creds_source *s, const char *profile, const char *arn,
		      struct err *e)
{
	const struct awsconfig *c = s->config;
	const char *source_profile = awsconfig_get(c, profile, "source_profile");
	const char *credential_source = awsconfig_get(c, profile, "credential_source");

	if (!source_profile == !credential_source)
		return err_set(e, -EINVAL,
			       "profile %s: role_arn goes with exactly one of source_profile and "
			       "credential_source; %s",
			       profile, source_profile ? "take one away" : "write one of them");
	if (awsconfig_get(c, profile, "mfa_serial"))
		return err_set(e, -EINVAL,
			       "profile %s: mfa_serial wants a code from a person, and a mount "
			       "cannot ask; put the session's keys into a profile or the "
			       "environment (aws configure export-credentials --profile %s)",
			       profile, profile);
	if (strncmp(arn, "arn:", 4) != 0)
		return err_set(e, -EINVAL,
			       "profile %s: role_arn = %.80s: write it as in "
			       "arn:aws:iam::111122223333:role/NAME",
			       profile, arn);
	return check_duration(profile, awsconfig_get(c, profile, "duration_seconds"), e);
}

static void finish(const char *profile, const char *arn, struct creds *c)
{
	if (!c->account_id)
		c->account_id = account_of(arn); /* NULL: not told */
	snprintf(c->source, sizeof(c->source), "%s%.40s%srole %.60s", profile ? "profile " : "",
		 profile ? profile : "", profile ? ": " : "", role_name(arn));
}

int creds_from_role(const struct creds_source *s, const struct creds_visit *at, struct creds *ret,
		    struct err *e)
{
	CLEANUP(creds_release) struct creds by = CREDS_INIT;
	const struct awsconfig *c = s->config;
	const char *p = at->profile;
	const char *session_name = awsconfig_get(c, p, "role_session_name");
	const char *source = awsconfig_get(c, p, "source_profile");
	struct creds_role role = {.arn = awsconfig_get(c, p, "role_arn"),
				  .session_name = session_name ? session_name : s->session_name,
				  .external_id = awsconfig_get(c, p, "external_id"),
				  .duration_seconds = awsconfig_get(c, p, "duration_seconds"),
				  .by = &by};
	struct err why = ERR_INIT;
	int r;

	if (!role.arn || awsconfig_get(c, p, "web_identity_token_file"))
		return 0;
	r = check_role(s, p, role.arn, e);
	if (r == 0 && source)
		r = from_source_profile(s, at, source, &by, e);
	else if (r == 0)
		r = from_credential_source(s, p, awsconfig_get(c, p, "credential_source"), &by, e);
	if (r < 0)
		return r;
	r = creds_assume(s, &role, ret, &why);
	if (r < 0)
		return err_set(e, r, "profile %s: %s", p, why.text);
	finish(p, role.arn, ret);
	return 0;
}

int creds_from_web_identity(const struct creds_source *s, const char *profile, bool env_too,
			    struct creds *ret, struct err *e)
{
	const struct awsconfig *c = s->config;
	const char *env_path = env_too ? awsconfig_env(c, "AWS_WEB_IDENTITY_TOKEN_FILE") : NULL;
	const char *path = env_path;
	CLEANUP(creds_wipe) char *token = NULL;
	struct creds_role role = {.token = NULL};
	char words[128];
	int r;

	if (env_path) {
		role.arn = awsconfig_env(c, "AWS_ROLE_ARN");
		role.session_name = awsconfig_env(c, "AWS_ROLE_SESSION_NAME");
	} else {
		path = awsconfig_get(c, profile, "web_identity_token_file");
	}
	if (!path)
		return 0;
	if (!role.arn)
		role.arn = awsconfig_get(c, profile, "role_arn");
	if (!role.session_name)
		role.session_name = awsconfig_get(c, profile, "role_session_name");
	if (!role.session_name)
		role.session_name = s->session_name;
	if (!role.arn)
		return err_set(e, -EINVAL, "%s is set and %s is not; set both or neither",
			       env_path ? "AWS_WEB_IDENTITY_TOKEN_FILE" : "web_identity_token_file",
			       env_path ? "AWS_ROLE_ARN" : "role_arn");
	/* It is replaced every hour or so: read each time. */
	r = creds_read_file(path, TOKEN_FILE_MAX, &token);
	if (r == -ENOMEM)
		return err_set(e, r, "no memory for a token");
	if (r < 0 || !*token)
		return err_set(e, -EACCES,
			       "cannot use the web identity token in %s: %s; it is written by "
			       "whoever runs this machine or container",
			       path, r < 0 ? strerror_r(-r, words, sizeof(words)) : "it is empty");
	role.token = token;
	r = creds_assume(s, &role, ret, e);
	if (r == 0)
		finish(env_path ? NULL : profile, role.arn, ret);
	return r;
}
