#ifndef BACKEND_AWS_AWSCONFIG_H
#define BACKEND_AWS_AWSCONFIG_H

/*
 * What the environment and the files ~/.aws/config and ~/.aws/credentials say:
 * read once, at a start.
 *
 *	[profile dev]				[sso-session corp]
 *	region = us-east-1			sso_region = eu-west-1
 *	services = local			[services local]
 *						s3 =
 *						  endpoint_url = http://127.0.0.1:9000
 *
 * Values of the credentials file win over those of the config file.  The one
 * file of the backends that reads the environment (AWS_* and HOME).
 *
 * Threads: immutable after loading.  Source: the AWS SDKs and Tools Reference,
 * "Shared config and credentials files".
 */

#include <stdbool.h>

#include "fs/base/err.h"
#include "fs/base/macros.h"

struct awsconfig;

struct awsconfig_options {
	const char *profile; /* named on the command line, or NULL */
	const char *region;  /* the same */
	/* The value of a variable or NULL; NULL: the process's environment. */
	const char *(*env)(void *ctx, const char *name);
	void *ctx;
};

/* -EINVAL: a file with a fault (file and line), a profile that was named and
 * is not there; -EACCES, -EIO: a file that cannot be read. */
MUST_CHECK int awsconfig_load(const struct awsconfig_options *o, struct awsconfig **ret,
			      struct err *e);
void awsconfig_free(struct awsconfig *c); /* NULL is fine; wipes secrets */

/* The same files again, as they are now, for the same profile and region. */
MUST_CHECK int awsconfig_reload(const struct awsconfig *c, struct awsconfig **ret, struct err *e);

/* Paths that variables of the environment give from the current directory, as
 * from "/", and that directory as PWD, which those in the files count from: for a
 * process that will leave it.  Before any thread and any load. */
MUST_CHECK int awsconfig_anchor(struct err *e);

/* All answers are borrowed until awsconfig_free(). */

/* A variable of the environment; NULL if it is unset or empty. */
const char *awsconfig_env(const struct awsconfig *c, const char *name);

/* The profile's name ("default" if none was chosen), and whether it was named
 * on the command line rather than by AWS_PROFILE. */
const char *awsconfig_profile(const struct awsconfig *c);
bool awsconfig_profile_is_explicit(const struct awsconfig *c);
bool awsconfig_has_profile(const struct awsconfig *c, const char *profile);

/* A key of a profile; NULL if it is not there or empty. */
const char *awsconfig_get(const struct awsconfig *c, const char *profile, const char *key);
/* The same from the credentials file alone: which file has the keys decides
 * their place in the chain. */
const char *awsconfig_get_credential(const struct awsconfig *c, const char *profile,
				     const char *key);
/* From the config file alone, a key of any section: ("sso-session", "corp"),
 * ("services", "local"), ("profile", "dev"). */
bool awsconfig_has_section(const struct awsconfig *c, const char *kind, const char *name);
const char *awsconfig_section(const struct awsconfig *c, const char *kind, const char *name,
			      const char *key);
/* "endpoint_url" under "s3 =" of [services NAME]. */
const char *awsconfig_nested(const struct awsconfig *c, const char *kind, const char *name,
			     const char *outer, const char *key);

/* Command line, AWS_REGION, AWS_DEFAULT_REGION, the profile's; or NULL. */
const char *awsconfig_region(const struct awsconfig *c);

/* A switch, by its variable and the profile's key: "true" in any case. */
bool awsconfig_is_true(const struct awsconfig *c, const char *env_name, const char *key);

#endif
