#ifndef TESTS_UNIT_CREDSKIT_H
#define TESTS_UNIT_CREDSKIT_H

/*
 * A chain of credentials over an environment and files of a test's own, and
 * a clock that is turned by hand.
 *
 *	struct credskit k;
 *	credskit_begin(&k);		then awsenv_set(&k.env, ...)
 *	credskit_get(&k, &creds, &e);	loads the files at the first call
 *	credskit_end(&k);
 *
 * Without words to the contrary there is no instance metadata.
 */

#include "backend/aws/creds.h"
#include "backend/aws/creds_private.h"
#include "tests/unit/awsenv.h"

#define CREDSKIT_WALL_NS (1767323045LL * NS_PER_S) /* 2026-01-02T03:04:05Z */

struct credskit {
	struct awsenv env;
	const char *profile; /* named on the command line; or NULL */
	struct clock clock;
	struct wire *wire;
	struct awsconfig *config;
	struct creds_chain *chain;
};

static inline void credskit_begin(struct credskit *k)
{
	*k = (struct credskit){.profile = NULL};
	clock_init_manual(&k->clock, NS_PER_S, CREDSKIT_WALL_NS);
	awsenv_set(&k->env, "AWS_EC2_METADATA_DISABLED", "true");
	awsenv_set(&k->env, "AWS_REGION", "us-east-1");
	assert_int_equal(wire_new(&k->wire, NULL), 0);
}

static inline int credskit_get(struct credskit *k, struct creds *ret, struct err *e)
{
	if (!k->config)
		k->config = awsenv_load(&k->env, k->profile, NULL);
	if (!k->chain)
		assert_int_equal(creds_chain_new(k->config, k->wire, &k->clock, &k->chain, NULL),
				 0);
	return creds_get(k->chain, ret, e);
}

/* What a provider works with, for asking one alone. */
static inline struct creds_source credskit_source(struct credskit *k)
{
	struct creds_source s = {.wire = k->wire,
				 .clock = &k->clock,
				 .session_name = "batchfs-1",
				 .process_timeout_ms = CREDS_PROCESS_MS};

	if (!k->config)
		k->config = awsenv_load(&k->env, k->profile, NULL);
	s.config = k->config;
	return s;
}

static inline void credskit_pass(struct credskit *k, int64_t seconds)
{
	k->clock.now_mono_ns += seconds * NS_PER_S;
	k->clock.now_wall_ns += seconds * NS_PER_S;
}

static inline void credskit_end(struct credskit *k)
{
	creds_chain_free(k->chain);
	awsconfig_free(k->config);
	wire_free(k->wire);
}

#endif
