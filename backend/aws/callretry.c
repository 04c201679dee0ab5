#include <string.h>

#include "backend/aws/call_private.h"
#include "backend/http/retry.h"
#include "fs/base/log.h"

/*
 * What to do about an answer that is not good.  First what does not count: a
 * clock that is off explains every refusal of what was signed; then the
 * credentials.  Then the retries, as many as there are attempts and tokens.
 */

#define PAUSE_MAX_S  20
#define PATIENT	     40	   /* attempts, which is about six minutes */
#define WISH_MAX_MS  60000 /* a server that wishes for more is asked by whoever comes next */
#define SKEW_MAX_NS  (240 * NS_PER_S) /* services take five minutes */
#define SKEW_SURE_NS (5 * NS_PER_S)   /* where they say that it is the clock */

unsigned callretry_attempts(const struct aws *a, const struct aws_request *q)
{
	unsigned n = q->attempts ? q->attempts : q->patient ? PATIENT : a->attempts;

	return a->attempts_max && a->attempts_max < n ? a->attempts_max : n;
}

void callretry_good(struct aws *a, const struct callretry *c)
{
	aws_give_tokens(a, c->paid ? c->paid : 1);
}

/* An answer to HEAD has no words. */
static bool is_told_nothing(const struct aws_answer *a)
{
	return !a->error.code[0] && (a->status == 400 || a->status == 401 || a->status == 403);
}

/* If the clock may be what was wrong, and is: sets it right. */
static bool correct_clock(struct aws *a, struct callretry *c, const struct callretry_answer *ask)
{
	int64_t date_ns, off_ns, wall_ns = clock_wall_ns(a->clock);
	enum errmap_class class = ask->answer->error.class;
	bool sure = class == ERRMAP_SKEWED;

	if (!sure && class != ERRMAP_EXPIRED && !is_told_nothing(ask->answer))
		return false;
	if (c->reclocked || !http_answer_date_ns(ask->from, &date_ns))
		return false;
	off_ns = date_ns - (wall_ns + c->skew_ns);
	if (llabs(off_ns) < (sure ? SKEW_SURE_NS : SKEW_MAX_NS))
		return false;
	c->reclocked = true;
	aws_set_skew_ns(a, date_ns - wall_ns);
	log_info("aws", "the clock is %lld s from the service's: signing with the service's time",
		 (long long)((wall_ns - date_ns) / NS_PER_S));
	return true;
}

/* If the credentials may be what was wrong: the next are asked for anew. */
static bool renew(struct aws *a, struct callretry *c, const struct callretry_answer *ask)
{
	enum errmap_class class = ask->answer->error.class;
	bool is_head = strcmp(ask->request->method, "HEAD") == 0;

	if (class != ERRMAP_EXPIRED &&
	    !(is_head && class == ERRMAP_INVALID && is_told_nothing(ask->answer)))
		return false;
	if (c->renewed)
		return false;
	c->renewed = true;
	creds_reject(a->creds, ask->key_id);
	return true;
}

static bool may_repeat(const struct aws_request *q, enum errmap_class class)
{
	bool not_acted_on = class == ERRMAP_THROTTLED || class == ERRMAP_UNSENT;

	return not_acted_on ||
	       (!q->once && (class == ERRMAP_TRANSPORT || class == ERRMAP_TRANSIENT));
}

static const char *header_of(void *ctx, const char *name)
{
	return http_answer_header(ctx, name);
}

static int64_t pause_ns(struct aws *a, const struct callretry *c, const struct http_answer *from)
{
	struct http_answer copy = *from; /* the callback's context is not const */
	int64_t wish_ms = -1, seconds = 1;

	if (from->failure == HTTP_ANSWERED)
		wish_ms = retry_wish_ms(header_of, &copy, clock_wall_ns(a->clock));
	if (wish_ms >= 0)
		return (wish_ms < WISH_MAX_MS ? wish_ms : WISH_MAX_MS) * NS_PER_MS;
	for (unsigned i = 1; i < c->attempts && seconds < PAUSE_MAX_S; i++)
		seconds *= 2;
	seconds = seconds < PAUSE_MAX_S ? seconds : PAUSE_MAX_S;
	return aws_random_ns(a, seconds * a->pause_unit_ns);
}

/* Is there an attempt left, and paid for if it has to be? */
static bool may_try(struct aws *a, struct callretry *c, const struct callretry_answer *ask)
{
	enum http_failure failure = ask->from->failure;
	bool timed_out = failure == HTTP_TIMEOUT || failure == HTTP_CONNECT_TIMEOUT;
	unsigned cost = timed_out ? CALL_TOKENS_TIMEUP : CALL_TOKENS_RETRY;
	unsigned most = callretry_attempts(a, ask->request);

	if (ask->request->patient) {
		if ((ask->answer->status == 408 || failure == HTTP_TIMEOUT) && most > a->attempts)
			most = a->attempts;
		return c->attempts < most;
	}
	if (c->attempts >= most || !aws_take_tokens(a, cost))
		return false;
	c->paid = cost;
	return true;
}

bool callretry_again(struct aws *a, struct callretry *c, const struct callretry_answer *ask,
		     int64_t *ret_pause_ns)
{
	if (ask->key_id && (correct_clock(a, c, ask) || renew(a, c, ask))) {
		*ret_pause_ns = 0;
		return true;
	}
	if (!may_repeat(ask->request, ask->answer->error.class))
		return false;
	c->attempts++;
	if (!may_try(a, c, ask))
		return false;
	*ret_pause_ns = pause_ns(a, c, ask->from);
	return true;
}
