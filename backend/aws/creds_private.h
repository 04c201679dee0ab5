#ifndef BACKEND_AWS_CREDS_PRIVATE_H
#define BACKEND_AWS_CREDS_PRIVATE_H

/*
 * The providers behind creds.h, each a function without a memory of its own:
 * it is asked again for every renewal.
 *
 * Each returns 0 and fills *ret; or 0 and leaves ret->access_key_id NULL: it
 * is not configured, and the next one is asked; or -EACCES, -EAGAIN, -EINVAL,
 * -ENOMEM, -ECANCELED: it is configured and failed, and nobody else is asked.
 */

#include <stdbool.h>
#include <stdint.h>

#include "backend/aws/awsconfig.h"
#include "backend/aws/creds.h"
#include "backend/aws/wire.h"
#include "fs/base/clock.h"
#include "fs/base/err.h"
#include "fs/base/macros.h"

#define CREDS_SESSION_NAME_MAX 65 /* with its NUL */
#define CREDS_PROCESS_MS       60000

/* What providers work with; all borrowed. */
struct creds_source {
	const struct awsconfig *config;
	struct wire *wire;
	struct clock *clock;
	char session_name[CREDS_SESSION_NAME_MAX]; /* of roles, unless the user names one */
	long process_timeout_ms;		   /* of a credential_process */
};

/* The whole chain, with a check of what it found.  -ENOKEY: nobody is configured. */
MUST_CHECK int creds_resolve(const struct creds_source *s, struct creds *ret, struct err *e);

/* The profiles that led here, for finding circles; of one stack. */
struct creds_visit {
	const char *profile;
	const struct creds_visit *above;
};

/* The providers of one profile: its role, if role_too, then web identity, SSO,
 * the credentials file, its process, the config file. */
MUST_CHECK int creds_of_profile(const struct creds_source *s, const struct creds_visit *at,
				bool role_too, struct creds *ret, struct err *e);

/* aws_access_key_id and aws_secret_access_key in either file. */
bool creds_profile_has_keys(const struct awsconfig *c, const char *profile);

MUST_CHECK int creds_from_environment(const struct creds_source *s, struct creds *ret,
				      struct err *e);
MUST_CHECK int creds_from_credentials_file(const struct creds_source *s, const char *profile,
					   struct creds *ret, struct err *e);
MUST_CHECK int creds_from_config_file(const struct creds_source *s, const char *profile,
				      struct creds *ret, struct err *e);

/* Frees a string after wiping it: for CLEANUP(). */
void creds_wipe(char **s);

/* "2026-01-02T03:04:05Z", with up to 9 digits of a fraction, or "+01:00", or
 * "UTC" as some caches have it, for the "Z". */
bool creds_parse_time(const char *text, int64_t *ret_wall_ns);

#endif
