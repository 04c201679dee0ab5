#include "backend/aws/creds.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "backend/aws/creds_private.h"
#include "fs/base/log.h"

/*
 * What was found is kept until it nears its end.  Then the first thread that
 * asks renews it, without the mutex; what others do meanwhile depends on how
 * much time is left:
 *
 *	more than 15 minutes	nobody asks the provider
 *	more than 10 minutes	others go on with what there is, and so does the
 *				one who tried and failed
 *	less, or rejected	all wait for the one who tries, and share its failure
 *
 * A provider may hand out credentials that have less than that left; it is
 * then asked once a minute, not at every call.
 */

#define ADVISORY_NS  (15 * 60 * NS_PER_S)
#define MANDATORY_NS (10 * 60 * NS_PER_S)
#define QUIET_NS     (60 * NS_PER_S) /* between two renewals that need not be */

struct creds_chain {
	struct creds_source source; /* its config is reread's, if that is there */
	const char *bearer;	    /* borrowed of config; or NULL */
	pthread_mutex_t mutex;
	pthread_cond_t tried;

	/* Of the mutex, or, while renewing is set, of the thread that does: */
	struct awsconfig *reread; /* owned; NULL: not read again yet */

	/* Of the mutex: */
	struct creds now;
	bool have, renewing;
	bool is_rejected; /* a service did not take it */
	int64_t quiet_until_mono_ns;
	char *last_rejected; /* owned: a key's id, or NULL */
	int64_t last_rejected_mono_ns;
	uint64_t tries; /* renewals that have ended */
	int last_result;
	struct err last_words;
};

void creds_wipe(char **s)
{
	if (*s)
		explicit_bzero(*s, strlen(*s));
	free(*s);
	*s = NULL;
}

void creds_release(struct creds *c)
{
	creds_wipe(&c->access_key_id);
	creds_wipe(&c->secret);
	creds_wipe(&c->session_token);
	creds_wipe(&c->account_id);
	*c = (struct creds)CREDS_INIT;
}

static int copy(const struct creds *from, struct creds *to, struct err *e)
{
	CLEANUP(creds_release) struct creds c = CREDS_INIT;

	c.access_key_id = strdup(from->access_key_id);
	c.secret = strdup(from->secret);
	c.session_token = from->session_token ? strdup(from->session_token) : NULL;
	c.account_id = from->account_id ? strdup(from->account_id) : NULL;
	if (!c.access_key_id || !c.secret || !c.session_token != !from->session_token ||
	    !c.account_id != !from->account_id)
		return err_set(e, -ENOMEM, "no memory for credentials");
	c.expires_ns = from->expires_ns;
	snprintf(c.source, sizeof(c.source), "%s", from->source);
	*to = c;
	c = (struct creds)CREDS_INIT;
	return 0;
}

int creds_chain_new(const struct awsconfig *config, struct wire *wire, struct clock *clock,
		    struct creds_chain **ret, struct err *e)
{
	struct creds_chain *c = calloc(1, sizeof(*c));

	if (!c)
		return err_set(e, -ENOMEM, "no memory for credentials");
	c->source.config = config;
	c->source.wire = wire;
	c->source.clock = clock;
	c->source.process_timeout_ms = CREDS_PROCESS_MS;
	snprintf(c->source.session_name, sizeof(c->source.session_name), "batchfs-%lld",
		 (long long)(clock_wall_ns(clock) / NS_PER_S));
	c->bearer = awsconfig_env(config, "AWS_BEARER_TOKEN_BEDROCK");
	pthread_mutex_init(&c->mutex, NULL);
	pthread_cond_init(&c->tried, NULL);
	*ret = c;
	return 0;
}

void creds_chain_free(struct creds_chain *c)
{
	if (!c)
		return;
	creds_release(&c->now);
	awsconfig_free(c->reread);
	free(c->last_rejected);
	pthread_cond_destroy(&c->tried);
	pthread_mutex_destroy(&c->mutex);
	free(c);
}

const char *creds_bearer(const struct creds_chain *c)
{
	return c->bearer;
}

/* Nanoseconds that are left; INT64_MAX: no end, or -1: nothing to use. */
static int64_t left_ns_locked(const struct creds_chain *c)
{
	int64_t left;

	if (!c->have || c->is_rejected)
		return -1;
	if (c->now.expires_ns == 0)
		return INT64_MAX;
	left = c->now.expires_ns - clock_wall_ns(c->source.clock);
	return left > 0 ? left : -1;
}

static bool is_fresh_locked(const struct creds_chain *c)
{
	int64_t left = left_ns_locked(c);

	return left > ADVISORY_NS ||
	       (left > 0 && clock_mono_ns(c->source.clock) < c->quiet_until_mono_ns);
}

static bool is_usable_locked(const struct creds_chain *c)
{
	return left_ns_locked(c) > MANDATORY_NS;
}

/* People renew keys by writing them into the files, so that they are looked for
 * there again when a key was rejected, or there was none. */
static void read_again(struct creds_chain *c)
{
	struct awsconfig *again = NULL;

	/* A file that has a fault now changes nothing. */
	if (awsconfig_reload(c->source.config, &again, NULL) < 0)
		return;
	awsconfig_free(c->reread);
	c->reread = again;
	c->source.config = again;
}

static int renew_locked(struct creds_chain *c, struct err *e)
{
	CLEANUP(creds_release) struct creds fresh = CREDS_INIT;
	bool failed_before = c->is_rejected || c->last_result < 0;
	struct err why = ERR_INIT;
	int r;

	c->renewing = true;
	pthread_mutex_unlock(&c->mutex);
	if (failed_before)
		read_again(c);
	r = creds_resolve(&c->source, &fresh, &why);
	pthread_mutex_lock(&c->mutex);
	c->renewing = false;
	c->tries++;
	c->last_result = r;
	c->last_words = why;
	if (r == 0) {
		creds_release(&c->now);
		c->now = fresh;
		fresh = (struct creds)CREDS_INIT;
		c->have = true;
		c->is_rejected = false;
		log_debug("creds", "found source=\"%s\"", c->now.source);
	} else if (is_usable_locked(c)) {
		log_warning("creds", "not renewed yet: %s", why.text);
		r = 0;
	} else {
		err_set(e, r, "%s", why.text);
	}
	if (r == 0)
		c->quiet_until_mono_ns = clock_mono_ns(c->source.clock) + QUIET_NS;
	pthread_cond_broadcast(&c->tried);
	return r;
}

/* Until there is something to use, or a failure to tell. */
static int settle_locked(struct creds_chain *c, struct err *e)
{
	uint64_t tries;

	if (is_fresh_locked(c) || (c->renewing && is_usable_locked(c)))
		return 0;
	if (!c->renewing)
		return renew_locked(c, e);
	tries = c->tries;
	while (c->tries == tries)
		pthread_cond_wait(&c->tried, &c->mutex);
	if (c->last_result < 0)
		return err_set(e, c->last_result, "%s", c->last_words.text);
	return 0;
}

int creds_get(struct creds_chain *c, struct creds *ret, struct err *e)
{
	int r;

	pthread_mutex_lock(&c->mutex);
	r = settle_locked(c, e);
	if (r == 0)
		r = copy(&c->now, ret, e);
	pthread_mutex_unlock(&c->mutex);
	return r;
}

void creds_reject(struct creds_chain *c, const char *access_key_id)
{
	int64_t now = clock_mono_ns(c->source.clock);
	bool again, is_now;

	pthread_mutex_lock(&c->mutex);
	again = c->last_rejected && strcmp(c->last_rejected, access_key_id) == 0 &&
		now - c->last_rejected_mono_ns < QUIET_NS;
	is_now = c->have && strcmp(c->now.access_key_id, access_key_id) == 0;
	if (is_now && !again) {
		free(c->last_rejected);
		c->last_rejected = strdup(access_key_id); /* NULL: asked once more than is due */
		c->last_rejected_mono_ns = now;
		c->is_rejected = true;
	}
	pthread_mutex_unlock(&c->mutex);
}
