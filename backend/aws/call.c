#include "backend/aws/call.h"

#include <string.h>
#include <sys/random.h>

#include "backend/aws/call_private.h"
#include "backend/http/retry.h"
#include "fs/base/buf.h"
#include "fs/base/kv.h"

#define ATTEMPTS     3
#define ATTEMPTS_MAX 100

static const char *setting(const struct awsconfig *c, const char *env_name, const char *key)
{
	const char *value = awsconfig_env(c, env_name);

	return value ? value : awsconfig_get(c, awsconfig_profile(c), key);
}

static int read_settings(struct aws *a, struct err *e)
{
	const char *attempts = setting(a->config, "AWS_MAX_ATTEMPTS", "max_attempts");
	uint64_t count = ATTEMPTS;
	int r = 0;

	if (attempts)
		r = kv_parse_u64("AWS_MAX_ATTEMPTS (max_attempts)", attempts, 1, ATTEMPTS_MAX,
				 &count, e);
	if (r < 0)
		return r;
	a->attempts = (unsigned)count;
	a->ca_bundle = setting(a->config, "AWS_CA_BUNDLE", "ca_bundle");
	return 0;
}

int aws_open(struct awsconfig *config, struct clock *clock, struct aws **ret, struct err *e)
{
	struct aws *a = calloc(1, sizeof(*a));
	int r;

	if (!a) {
		awsconfig_free(config);
		return err_set(e, -ENOMEM, "no memory for calls of AWS");
	}
	a->config = config;
	a->clock = clock;
	a->pause_unit_ns = NS_PER_S;
	a->tokens = CALL_TOKENS_MAX;
	pthread_mutex_init(&a->mutex, NULL);
	/* Without it, retries are as if all mounts threw the same dice. */
	ignore_error((int)getrandom(&a->seed, sizeof(a->seed), 0));
	r = read_settings(a, e);
	if (r == 0)
		r = wire_new(&a->wire, e);
	if (r == 0)
		r = creds_chain_new(config, a->wire, clock, &a->creds, e);
	if (r < 0) {
		aws_close(a);
		return r;
	}
	*ret = a;
	return 0;
}

void aws_close(struct aws *a)
{
	if (!a)
		return;
	creds_chain_free(a->creds);
	wire_free(a->wire);
	awsconfig_free(a->config);
	pthread_mutex_destroy(&a->mutex);
	free(a);
}

void aws_set_patience(struct aws *a, unsigned attempts, long timeout_ms)
{
	if (attempts)
		a->attempts_max = attempts;
	if (timeout_ms)
		a->timeout_max_ms = timeout_ms;
}

void aws_cancel(struct aws *a)
{
	wire_cancel(a->wire);
}

const struct awsconfig *aws_config(const struct aws *a)
{
	return a->config;
}

struct creds_chain *aws_creds(struct aws *a)
{
	return a->creds;
}

struct wire *aws_wire(struct aws *a)
{
	return a->wire;
}

struct clock *aws_clock(const struct aws *a)
{
	return a->clock;
}

int64_t aws_wall_ns(struct aws *a)
{
	return clock_wall_ns(a->clock) + aws_skew_ns(a);
}

void aws_set_pause_unit(struct aws *a, int64_t ns)
{
	a->pause_unit_ns = ns;
}

struct aws_counts aws_counts(struct aws *a)
{
	struct aws_counts counts;

	pthread_mutex_lock(&a->mutex);
	counts = a->counts;
	pthread_mutex_unlock(&a->mutex);
	return counts;
}

void aws_count(struct aws *a, const struct aws_counts *more)
{
	pthread_mutex_lock(&a->mutex);
	a->counts.requests += more->requests;
	a->counts.retries += more->retries;
	a->counts.throttled += more->throttled;
	a->counts.sent_bytes += more->sent_bytes;
	a->counts.received_bytes += more->received_bytes;
	pthread_mutex_unlock(&a->mutex);
}

int64_t aws_skew_ns(struct aws *a)
{
	int64_t skew_ns;

	pthread_mutex_lock(&a->mutex);
	skew_ns = a->skew_ns;
	pthread_mutex_unlock(&a->mutex);
	return skew_ns;
}

void aws_set_skew_ns(struct aws *a, int64_t skew_ns)
{
	pthread_mutex_lock(&a->mutex);
	a->skew_ns = skew_ns;
	pthread_mutex_unlock(&a->mutex);
}

bool aws_take_tokens(struct aws *a, unsigned count)
{
	bool enough;

	pthread_mutex_lock(&a->mutex);
	enough = a->tokens >= count;
	if (enough)
		a->tokens -= count;
	pthread_mutex_unlock(&a->mutex);
	return enough;
}

void aws_give_tokens(struct aws *a, unsigned count)
{
	pthread_mutex_lock(&a->mutex);
	a->tokens = CALL_TOKENS_MAX - a->tokens < count ? CALL_TOKENS_MAX : a->tokens + count;
	pthread_mutex_unlock(&a->mutex);
}

int64_t aws_random_ns(struct aws *a, int64_t top_ns)
{
	uint64_t random;

	pthread_mutex_lock(&a->mutex);
	random = retry_random(&a->seed);
	pthread_mutex_unlock(&a->mutex);
	return top_ns > 0 ? (int64_t)(random % (uint64_t)(top_ns + 1)) : 0;
}

void aws_answer_release(struct aws_answer *a)
{
	buf_release(&a->owned_);
}

/* --- a call is a batch of one --- */

struct one {
	const struct aws_request *request; /* NULL: asked for already */
	struct aws_answer *answer;
	int r;
	struct err *e;
};

static int one_next(void *ctx, struct aws_request *ret, void **ret_tag, struct err *e)
{
	struct one *one = ctx;

	(void)e;
	(void)ret_tag;
	if (!one->request)
		return 0;
	*ret = *one->request;
	one->request = NULL;
	return 1;
}

static int one_done(void *ctx, void *tag, int r, const struct aws_answer *answer, struct err *e)
{
	struct one *one = ctx;

	(void)tag;
	*one->answer = *answer;
	buf_init(&one->answer->owned_, answer->body_size);
	buf_add(&one->answer->owned_, answer->body, answer->body_size);
	one->answer->body = one->answer->owned_.data;
	one->r = r;
	if (r == 0 && buf_error(&one->answer->owned_) < 0)
		one->r = err_set(e, -ENOMEM, "no memory for an answer of %zu bytes",
				 answer->body_size);
	if (buf_error(&one->answer->owned_) < 0)
		one->answer->body_size = 0;
	if (one->r < 0 && one->e)
		*one->e = *e;
	return 0;
}

int aws_run(struct aws *a, const struct aws_request *q, struct aws_answer *ret, struct err *e)
{
	struct one one = {.request = q, .answer = ret, .e = e};
	const struct aws_batch batch = {.parallel = 1,
					.next = one_next,
					.done = one_done,
					.cancel = q->cancel,
					.ctx = &one};
	int r;

	*ret = (struct aws_answer)AWS_ANSWER_INIT;
	ret->body = "";
	ret->error.class = ERRMAP_UNSENT;
	r = aws_run_batch(a, &batch, e);
	return one.r < 0 ? one.r : r;
}
