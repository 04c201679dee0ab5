#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "backend/aws/call_private.h"
#include "fs/base/log.h"

/*
 * The machine of all calls.  A flight is a call on its way; it lives in a slot
 * of the batch from next() to done():
 *
 *	FREE -> PAUSING -> GOING -> done()
 *	           ^          |
 *	           +----------+  to be asked again, after a while or at once
 *
 *	loop:	ask next() as long as slots are free
 *		send what has paused long enough
 *		wait for an answer or for the first pause to end
 *
 * Only `limit` flights are under way; throttling halves it, good answers raise
 * it again up to what the caller wants.  A flight that pauses keeps its slot.
 */

#define TIMEOUT_MS  60000
#define BYTES_PER_S (8 * 1024)	/* of one call: slower than this is not waited for */
#define STALL_S	    180		/* nor is silence of that length */
#define LARGE	    (64 * 1024) /* of what takes its time */
#define SHOWN_PATH  200		/* of a path, in words */
#define CANCEL_MS   200		/* how often it is looked whether all is to end */

enum flight_state {
	FLIGHT_FREE,
	FLIGHT_PAUSING,
	FLIGHT_GOING,
};

struct flight {
	struct batch *batch;
	enum flight_state state;
	struct aws_request q; /* its strings are the caller's */
	void *tag;
	struct creds creds; /* of the attempt under way */
	struct callsign sign;
	const char *bearer; /* borrowed of the chain, or NULL */
	char hash[SIGV4_HASH_SIZE], id[CALL_ID_SIZE];
	struct callretry retry;
	unsigned sent; /* attempts, those that do not count among them */
	bool maybe_done;
	int64_t due_mono_ns; /* of PAUSING */
	int64_t sent_mono_ns;
};

struct batch {
	struct aws *aws;
	const struct aws_batch *spec;
	struct http_client *client; /* lent */
	struct flight flights[WIRE_CALLS_MAX];
	unsigned parallel, limit, used, going;
	unsigned good; /* answers since the limit was changed */
	int64_t cut_mono_ns;
	bool no_more;
	bool winding_up; /* tick() said so */
	int failed;	 /* the first negative value; what is left then is cancelled */
	struct err *e;
};

static int64_t now_mono_ns(const struct batch *b)
{
	return clock_mono_ns(b->aws->clock);
}

/* --- the end of a call --- */

static void fail_batch(struct batch *b, int r, const struct err *e)
{
	if (b->failed == 0) {
		b->failed = r;
		if (b->e && e)
			*b->e = *e;
	}
}

static void give(struct flight *f, int r, const struct aws_answer *answer, struct err *e)
{
	struct batch *b = f->batch;
	void *tag = f->tag;

	creds_release(&f->creds);
	callsign_release(&f->sign);
	f->state = FLIGHT_FREE;
	b->used--;
	r = b->spec->done(b->spec->ctx, tag, r, answer, e);
	if (r < 0)
		fail_batch(b, r, e);
}

/* Without an answer: there was nobody to ask, or no way to. */
static void give_up(struct flight *f, int r, struct err *e)
{
	struct aws_answer answer = AWS_ANSWER_INIT;

	answer.body = "";
	answer.error.class = r == -EACCES || r == -ENOKEY ? ERRMAP_DENIED
			     : r == -EINVAL		  ? ERRMAP_INVALID
							  : ERRMAP_UNSENT;
	answer.maybe_done = f->maybe_done;
	snprintf(answer.error.message, sizeof(answer.error.message), "%s", e->text);
	give(f, r, &answer, e);
}

static void give_cancelled(struct flight *f)
{
	struct err e = ERR_INIT;

	give_up(f, err_set(&e, -ECANCELED, "the call was cancelled"), &e);
}

/* "POST https://host/path: AccessDeniedException: WORDS (request ID)". */
static void describe(const struct flight *f, const struct aws_answer *a, struct err *e)
{
	const struct errmap *m = &a->error;
	char what[ERRMAP_CODE_MAX + 32] = "";
	bool has_words = m->message[0];

	if (m->code[0])
		snprintf(what, sizeof(what), "%s%s", m->code, has_words ? ": " : "");
	else if (a->status && (a->status < 200 || a->status > 299))
		snprintf(what, sizeof(what), "status %ld%s", a->status, has_words ? ": " : "");
	err_set(e, 0, "%s %s%.*s%s: %s%s%s%s%s", f->q.method, f->q.origin, SHOWN_PATH, f->q.path,
		strlen(f->q.path) > SHOWN_PATH ? "..." : "", what, m->message,
		a->request_id[0] ? " (request " : "", a->request_id, a->request_id[0] ? ")" : "");
}

/* --- sending --- */

/* A random UUID: it names a call in AWS's logs, so that no randomness is no harm. */
static void make_id(char id[CALL_ID_SIZE])
{
	unsigned char b[16] = {0};
	size_t at = 0;

	ignore_error((int)getrandom(b, sizeof(b), 0));
	b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
	b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
	for (size_t i = 0; i < sizeof(b); i++)
		at += (size_t)snprintf(id + at, CALL_ID_SIZE - at,
				       i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x",
				       b[i]);
}

static long call_stall_s(const struct aws_request *q)
{
	if (q->stall_s || q->timeout_ms)
		return q->stall_s;
	return q->body_size + q->answer_max > LARGE ? STALL_S : 0;
}

/* Parts go side by side, those of several files, on a line that may be thin: it
 * is the silence that tells whether anything still moves. */
long call_timeout_ms(const struct aws *a, const struct aws_request *q)
{
	size_t bytes = q->body_size + q->answer_max;
	long ms = q->timeout_ms ? q->timeout_ms : TIMEOUT_MS + (long)(bytes / BYTES_PER_S) * 1000;

	return a->timeout_max_ms && a->timeout_max_ms < ms ? a->timeout_max_ms : ms;
}

static void on_answer(void *ctx, const struct http_answer *answer);

/* Whom this attempt is from; asks for credentials, which may block. */
static int identify(struct flight *f, struct err *e)
{
	struct aws *a = f->batch->aws;

	creds_release(&f->creds);
	f->bearer = f->q.auth == AWS_AUTH_BEARER ? creds_bearer(a->creds) : NULL;
	if (f->bearer || f->q.auth == AWS_AUTH_NONE)
		return 0;
	return creds_get(a->creds, &f->creds, e);
}

static int send_attempt(struct flight *f, struct err *e)
{
	struct aws *a = f->batch->aws;
	struct callsign_with with = {.hash = f->hash, .id = f->id};
	struct http_request request;
	int r = identify(f, e);

	if (r < 0)
		return r;
	f->retry.skew_ns = aws_skew_ns(a);
	with.creds = f->creds.access_key_id ? &f->creds : NULL;
	with.bearer = f->bearer;
	with.attempt = f->sent + 1;
	with.attempts = callretry_attempts(a, &f->q);
	with.wall_ns = clock_wall_ns(a->clock) + f->retry.skew_ns;
	callsign_release(&f->sign);
	r = callsign_make(&f->q, &with, &f->sign, e);
	if (r < 0)
		return r;
	request = (struct http_request){
		.method = f->q.method,
		.url = f->sign.url,
		.direct = f->sign.direct,
		.headers = f->sign.headers,
		.body = f->q.body_size ? f->q.body : NULL,
		.body_size = f->q.body_size,
		.as_stored = f->q.auth == AWS_AUTH_S3,
		.ca_bundle = a->ca_bundle,
		.answer_max = f->q.answer_max,
		.timeout_ms = call_timeout_ms(a, &f->q),
		.stall_s = call_stall_s(&f->q),
		.once = f->q.once,
		.done = on_answer,
		.ctx = f,
	};
	return http_submit(f->batch->client, &request, e);
}

static void launch(struct flight *f)
{
	struct batch *b = f->batch;
	struct err e = ERR_INIT;
	int r = send_attempt(f, &e);

	if (r < 0) {
		give_up(f, r, &e);
		return;
	}
	aws_count(b->aws, &(struct aws_counts){.requests = 1,
					       .retries = f->sent > 0,
					       .sent_bytes = f->q.body_size});
	f->sent++;
	f->sent_mono_ns = now_mono_ns(b);
	f->state = FLIGHT_GOING;
	b->going++;
}

/* --- answers --- */

static void copy_header(const struct http_answer *from, const char *name, char *to, size_t size)
{
	const char *value = http_answer_header(from, name);

	if (value && !to[0])
		snprintf(to, size, "%s", value);
}

static int64_t content_length(const struct http_answer *from)
{
	const char *text = http_answer_header(from, "content-length");
	int64_t n = 0;

	if (!text || !*text || strlen(text) > 18 || text[strspn(text, "0123456789")])
		return -1;
	for (; *text; text++)
		n = n * 10 + (*text - '0');
	return n;
}

/* Words of the service, without what it repeats of our secrets. */
static void hide_secrets(const struct flight *f, struct aws_answer *a)
{
	char *const texts[] = {a->error.code, a->error.message, a->error.region, a->request_id};
	const char *const secrets[] = {f->creds.session_token, f->creds.secret, f->bearer};

	for (size_t i = 0; i < COUNT_OF(texts); i++)
		for (size_t s = 0; s < COUNT_OF(secrets); s++)
			callsign_hide(texts[i], secrets[s]);
}

static void read_answer(const struct flight *f, const struct http_answer *from,
			struct aws_answer *a)
{
	errmap_read(from, f->q.may_lie, &a->error);
	a->status = from->status;
	a->body = from->body ? from->body : "";
	a->body_size = from->size;
	a->content_length = content_length(from);
	copy_header(from, "x-amzn-requestid", a->request_id, sizeof(a->request_id));
	copy_header(from, "x-amz-request-id", a->request_id, sizeof(a->request_id));
	copy_header(from, "etag", a->etag, sizeof(a->etag));
	copy_header(from, "content-range", a->content_range, sizeof(a->content_range));
	copy_header(from, "x-amz-bucket-region", a->bucket_region, sizeof(a->bucket_region));
	copy_header(from, "x-amz-checksum-crc32", a->checksum_crc32, sizeof(a->checksum_crc32));
	hide_secrets(f, a);
	/* A bucket that is where it was asked: what is wrong is something else,
	 * and to HEAD, which gets no words, it is the credentials. */
	if (a->error.class == ERRMAP_REDIRECT && a->status == 400 && !a->error.code[0] &&
	    f->q.region && strcmp(a->error.region, f->q.region) == 0)
		a->error.class = ERRMAP_EXPIRED;
}

static void adjust_limit(struct flight *f, enum errmap_class class)
{
	struct batch *b = f->batch;

	if (class == ERRMAP_OK && ++b->good >= b->limit && b->limit < b->parallel) {
		b->limit++;
		b->good = 0;
	}
	/* What was sent before the last cut tells nothing new. */
	if (class == ERRMAP_THROTTLED && f->sent_mono_ns > b->cut_mono_ns) {
		b->limit = b->limit > 1 ? b->limit / 2 : 1;
		b->good = 0;
		b->cut_mono_ns = now_mono_ns(b);
	}
}

static void on_answer(void *ctx, const struct http_answer *from)
{
	struct flight *f = ctx;
	struct batch *b = f->batch;
	struct aws_answer a = AWS_ANSWER_INIT;
	const struct callretry_answer ask = {&f->q, f->creds.access_key_id, from, &a};
	struct err e = ERR_INIT;
	int64_t pause;

	b->going--;
	if (from->failure == HTTP_CANCELLED) {
		f->maybe_done = true;
		give_cancelled(f);
		return;
	}
	read_answer(f, from, &a);
	aws_count(b->aws, &(struct aws_counts){.throttled = a.error.class == ERRMAP_THROTTLED,
					       .received_bytes = from->size});
	log_debug("aws", "%s %s%.*s status=%ld class=%s request=%s", f->q.method, f->q.origin,
		  SHOWN_PATH, f->q.path, a.status, errmap_class_name(a.error.class), a.request_id);
	adjust_limit(f, a.error.class);
	f->maybe_done |= a.error.class == ERRMAP_TRANSPORT || a.error.class == ERRMAP_TRANSIENT ||
			 from->failure == HTTP_TOO_LARGE;
	if (a.error.class == ERRMAP_OK) {
		callretry_good(b->aws, &f->retry);
		give(f, 0, &a, &e);
		return;
	}
	if (!b->winding_up && callretry_again(b->aws, &f->retry, &ask, &pause)) {
		f->state = FLIGHT_PAUSING;
		f->due_mono_ns = now_mono_ns(b) + pause;
		return;
	}
	a.maybe_done = f->maybe_done;
	describe(f, &a, &e);
	give(f, errmap_errno(a.error.class), &a, &e);
}

/* --- the loop --- */

static struct flight *free_slot(struct batch *b)
{
	for (size_t i = 0; i < COUNT_OF(b->flights); i++)
		if (b->flights[i].state == FLIGHT_FREE)
			return &b->flights[i];
	return NULL;
}

static void take_requests(struct batch *b)
{
	while (!b->no_more && !b->winding_up && b->failed == 0 && b->used < b->limit) {
		struct flight *f = free_slot(b);
		struct err e = ERR_INIT;
		int r;

		if (!f)
			return;
		*f = (struct flight){.batch = b};
		r = b->spec->next(b->spec->ctx, &f->q, &f->tag, &e);
		if (r == AWS_BATCH_LATER && b->used > 0)
			return;
		if (r == AWS_BATCH_LATER)
			r = err_set(&e, -EIO, "a request waits for others, and there are none");
		if (r < 0)
			fail_batch(b, r, &e);
		b->no_more = r <= 0;
		if (r <= 0)
			return;
		callsign_hash(&f->q, f->hash);
		make_id(f->id);
		f->due_mono_ns = now_mono_ns(b);
		f->state = FLIGHT_PAUSING;
		b->used++;
	}
}

static void launch_due(struct batch *b)
{
	int64_t now = now_mono_ns(b);

	for (size_t i = 0; i < COUNT_OF(b->flights); i++)
		if (b->flights[i].state == FLIGHT_PAUSING && b->flights[i].due_mono_ns <= now &&
		    b->going < b->limit && b->failed == 0)
			launch(&b->flights[i]);
}

static struct flight *first_due(struct batch *b)
{
	struct flight *first = NULL;

	for (size_t i = 0; i < COUNT_OF(b->flights); i++)
		if (b->flights[i].state == FLIGHT_PAUSING &&
		    (!first || b->flights[i].due_mono_ns < first->due_mono_ns))
			first = &b->flights[i];
	return first;
}

/* At most that long; -1: until something happens. */
static int64_t longest_wait_ns(const struct aws_batch *spec)
{
	int64_t most = spec->tick ? spec->tick_ms * NS_PER_MS : -1;

	if (spec->cancel && (most < 0 || most > CANCEL_MS * NS_PER_MS))
		most = CANCEL_MS * NS_PER_MS;
	return most;
}

static int wait_for_more(struct batch *b)
{
	struct flight *first = b->going < b->limit ? first_due(b) : NULL;
	int64_t began_mono_ns = now_mono_ns(b);
	int64_t pause = first ? first->due_mono_ns - began_mono_ns : -1;
	int64_t most = longest_wait_ns(b->spec);
	int r;

	if (first && pause <= 0)
		return 0;
	if (most >= 0 && (pause < 0 || pause > most))
		pause = most;
	if (b->going) {
		int64_t ms = pause >= 0 ? (pause + NS_PER_MS - 1) / NS_PER_MS : -1;

		return http_step(b->client, (int)ms, wire_cancel_fd(b->aws->wire));
	}
	if (!first)
		return 0;
	r = wire_pause(b->aws->wire, pause);
	/* With a clock that stands still so much is waited all the same. */
	if (now_mono_ns(b) == began_mono_ns)
		first->due_mono_ns -= pause;
	return r == -ECANCELED ? 0 : r; /* which the loop sees */
}

static void end_all(struct batch *b)
{
	http_cancel_all(b->client);
	for (size_t i = 0; i < COUNT_OF(b->flights); i++)
		if (b->flights[i].state == FLIGHT_PAUSING)
			give_cancelled(&b->flights[i]);
}

static void tick(struct batch *b)
{
	struct err e = ERR_INIT;
	int r = b->spec->tick ? b->spec->tick(b->spec->ctx, &e) : 0;

	if (r < 0)
		fail_batch(b, r, &e);
	b->winding_up |= r == 1;
	if (!b->winding_up)
		return;
	for (size_t i = 0; i < COUNT_OF(b->flights); i++)
		if (b->flights[i].state == FLIGHT_PAUSING)
			give_cancelled(&b->flights[i]);
}

static void run(struct batch *b)
{
	struct err e = ERR_INIT;

	for (;;) {
		if (wire_is_cancelled(b->aws->wire))
			fail_batch(b, err_set(&e, -ECANCELED, "the mount is ending"), &e);
		else if (b->spec->cancel && atomic_load(b->spec->cancel))
			fail_batch(b, err_set(&e, -ECANCELED, "the call was cancelled"), &e);
		if (b->failed == 0)
			tick(b);
		if (b->failed == 0)
			take_requests(b);
		launch_due(b);
		if (b->failed < 0 || b->used == 0)
			break;
		if (wait_for_more(b) < 0)
			fail_batch(b, err_set(&e, -EIO, "libcurl cannot go on"), &e);
	}
	end_all(b);
}

int aws_run_batch(struct aws *a, const struct aws_batch *spec, struct err *e)
{
	struct batch *b;
	unsigned parallel = spec->parallel < WIRE_CALLS_MAX ? spec->parallel : WIRE_CALLS_MAX;
	int r;

	if (wire_is_cancelled(a->wire))
		return err_set(e, -ECANCELED, "the mount is ending");
	b = calloc(1, sizeof(*b));
	if (!b)
		return err_set(e, -ENOMEM, "no memory for calls");
	b->aws = a;
	b->spec = spec;
	b->parallel = b->limit = parallel ? parallel : 1;
	b->cut_mono_ns = INT64_MIN;
	b->e = e;
	r = wire_borrow(a->wire, &b->client, e);
	if (r == 0) {
		run(b);
		wire_return(a->wire, b->client);
		r = b->failed;
	}
	free(b);
	return r;
}
