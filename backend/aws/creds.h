#ifndef BACKEND_AWS_CREDS_H
#define BACKEND_AWS_CREDS_H

/*
 * Who we are to AWS: the chain of providers of the SDKs, and a cache that
 * renews what expires.
 *
 *	environment, assume role, web identity, SSO, credentials file,
 *	credential_process, config file, container, instance metadata
 *
 * The first provider that is configured answers; one that is configured and
 * fails is an error, never passed over.  Renewal is tried from 15 minutes
 * before expiry and must succeed from 10 minutes before it.
 *
 * Threads: any; one thread renews, others keep what is still valid.
 * Errors: 0 or -errno; *e names the provider, what it said and the cure, and
 * never a secret.
 */

#include <stdbool.h>
#include <stdint.h>

#include "backend/aws/awsconfig.h"
#include "backend/aws/wire.h"
#include "fs/base/clock.h"
#include "fs/base/err.h"
#include "fs/base/macros.h"

/* All strings owned; wiped by creds_release(). */
struct creds {
	char *access_key_id;
	char *secret;
	char *session_token; /* NULL: long-term keys */
	char *account_id;    /* NULL: not told */
	int64_t expires_ns;  /* wall; 0: never */
	char source[128];    /* for people: "profile dev: SSO session corp" */
};

#define CREDS_INIT                                                                                 \
	{                                                                                          \
		.access_key_id = NULL                                                              \
	}

void creds_release(struct creds *c);

struct creds_chain;

/* config, wire and clock are borrowed until creds_chain_free().  Asks nobody. */
MUST_CHECK int creds_chain_new(const struct awsconfig *config, struct wire *wire,
			       struct clock *clock, struct creds_chain **ret, struct err *e);
void creds_chain_free(struct creds_chain *c); /* NULL is fine */

/* A copy, the caller's.  May block for a renewal; after one that failed the
 * files are read again first.  -ENOKEY: no provider is configured; -EINVAL: one
 * is half or in contradictions; -EACCES: one is and was refused (SSO expired,
 * process failed); -EAGAIN: its server cannot be reached now; -ECANCELED:
 * wire_cancel(). */
MUST_CHECK int creds_get(struct creds_chain *c, struct creds *ret, struct err *e);

/* A service said that the key with this id is no good any more: the next
 * creds_get() reads the files and asks the provider again (once a minute for
 * one key). */
void creds_reject(struct creds_chain *c, const char *access_key_id);

/* A Bedrock API key (AWS_BEARER_TOKEN_BEDROCK); NULL if there is none; borrowed. */
const char *creds_bearer(const struct creds_chain *c);

#endif
