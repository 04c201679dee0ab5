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
#include "backend/http/http.h"
#include "fs/base/clock.h"
#include "fs/base/err.h"
#include "fs/base/jsonspan.h"
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

/* role_arn of the profile, with credentials of another profile or place. */
MUST_CHECK int creds_from_role(const struct creds_source *s, const struct creds_visit *at,
			       struct creds *ret, struct err *e);
/* A token in a file, named by the environment (if env_too) or the profile. */
MUST_CHECK int creds_from_web_identity(const struct creds_source *s, const char *profile,
				       bool env_too, struct creds *ret, struct err *e);
MUST_CHECK int creds_from_sso(const struct creds_source *s, const char *profile, struct creds *ret,
			      struct err *e);
MUST_CHECK int creds_from_process(const struct creds_source *s, const char *profile,
				  struct creds *ret, struct err *e);
MUST_CHECK int creds_from_container(const struct creds_source *s, struct creds *ret, struct err *e);
MUST_CHECK int creds_from_imds(const struct creds_source *s, struct creds *ret, struct err *e);

/* One call of STS that hands out credentials. */
struct creds_role {
	const char *arn;
	const char *session_name;
	const char *external_id;      /* or NULL */
	const char *duration_seconds; /* or NULL */
	const char *token;	      /* of web identity, and then nothing is signed; or NULL */
	const struct creds *by;	      /* who asks; NULL with a token */
};

MUST_CHECK int creds_assume(const struct creds_source *s, const struct creds_role *role,
			    struct creds *ret, struct err *e);

/* A line of credential_process into words, as a shell does with quotes and
 * backslashes, and nothing else that shells do.  -EINVAL: a quote is open, no
 * word, or more than CREDS_WORDS_MAX.  The array ends with NULL. */
#define CREDS_WORDS_MAX 128
MUST_CHECK int creds_split(const char *line, char ***ret, struct err *e);
void creds_words_free(char ***words); /* for CLEANUP() */

/* A request to one who hands out credentials, repeated after a while if no
 * answer came, or 429 or 5xx did. */
#define CREDS_ANSWER_MAX (256 * 1024)
struct creds_ask {
	const char *who; /* "STS": for words */
	const char *method, *url;
	const struct http_headers *headers; /* or NULL */
	const char *body;		    /* or NULL */
	size_t body_size;
	unsigned tries;
	long timeout_ms; /* of each */
	bool direct;	 /* no proxy */
	/* Other answers that are worth it; or NULL. */
	bool (*again)(const struct wire_answer *a);
};

/* 0: an answer came, whatever its status.  -EAGAIN: none; *e names who. */
MUST_CHECK int creds_ask(const struct creds_source *s, const struct creds_ask *q,
			 struct wire_answer *ret, struct err *e);

/* Headers of that content type; the caller's. */
MUST_CHECK int creds_headers(const char *type, struct http_headers **ret);

/* The same with a body that holds secrets, and is wiped.  Takes headers over.
 * made: 0, or what went wrong when they were made. */
MUST_CHECK int creds_post(const struct creds_source *s, struct creds_ask *q, int made,
			  struct http_headers *headers, struct buf *body, struct wire_answer *ret,
			  struct err *e);

void creds_answer_release(struct wire_answer *a); /* wipes it */

/* What an answer that is not 200 means: -EAGAIN or -EACCES, and "CODE: MESSAGE",
 * its status if it says nothing.  Words with one of the secrets in them (an
 * array that ends with NULL, or NULL) are left out. */
#define CREDS_SAID_MAX 384
struct creds_said {
	char code[64];
	char words[CREDS_SAID_MAX];
};
int creds_refusal(const struct wire_answer *a, const char *const *secrets, struct creds_said *ret);

/* Keys in a JSON object, under these names (NULL: there is none such). */
struct creds_names {
	const char *id, *secret, *token, *expires, *account;
};

/* Without expires_ns if no expiry is told.  -EBADMSG: keys or expiry make no sense. */
MUST_CHECK int creds_from_json(struct jsonspan v, const struct creds_names *names,
			       struct creds *ret);

/* A member that is a string, the caller's to wipe; NULL if it is not there.
 * -EBADMSG: another type, or a NUL within; -ENOMEM. */
MUST_CHECK int creds_json_string(struct jsonspan v, const char *key, char **ret);

/* The value in these bytes if they are JSON, which they must be as a whole. */
struct jsonspan creds_json(const char *text, size_t size);

/* A small file with a secret, white space at its end cut off; the caller's to
 * wipe.  -errno of the file system; -EFBIG: larger than max. */
MUST_CHECK int creds_read_file(const char *path, size_t max, char **ret);

/* Frees a string after wiping it: for CLEANUP(). */
void creds_wipe(char **s);

/* "2026-01-02T03:04:05Z", with up to 9 digits of a fraction, or "+01:00", or
 * "UTC" as some caches have it, for the "Z". */
bool creds_parse_time(const char *text, int64_t *ret_wall_ns);

#endif
