#include "backend/aws/wire.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/eventfd.h>

#include "fs/base/clock.h"

#define SHELF_MAX 16 /* clients kept; a thread more gets one that is not */

struct wire {
	pthread_mutex_t mutex;
	struct http_client *shelf[SHELF_MAX]; /* owned, idle; of the mutex */
	size_t count;			      /* of the mutex */
	int cancel_fd;			      /* an eventfd */
	atomic_bool cancelled;
};

int wire_new(struct wire **ret, struct err *e)
{
	struct wire *w = calloc(1, sizeof(*w));

	if (!w)
		return err_set(e, -ENOMEM, "no memory for connections");
	w->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->cancel_fd < 0) {
		int r = -errno;

		free(w);
		return err_errno(e, r, "cannot make an event descriptor");
	}
	pthread_mutex_init(&w->mutex, NULL);
	*ret = w;
	return 0;
}

void wire_free(struct wire *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < w->count; i++)
		http_client_free(w->shelf[i]);
	close(w->cancel_fd);
	pthread_mutex_destroy(&w->mutex);
	free(w);
}

void wire_cancel(struct wire *w)
{
	const uint64_t one = 1;

	atomic_store(&w->cancelled, true);
	ignore_error((int)write(w->cancel_fd, &one, sizeof(one)));
}

bool wire_is_cancelled(const struct wire *w)
{
	return atomic_load(&w->cancelled);
}

int wire_cancel_fd(const struct wire *w)
{
	return w->cancel_fd;
}

int wire_pause(struct wire *w, int64_t ns)
{
	struct pollfd p = {.fd = w->cancel_fd, .events = POLLIN};
	int64_t ms = (ns + NS_PER_MS - 1) / NS_PER_MS;

	/* Cut short by a signal it is a shorter pause, which nobody minds. */
	ignore_error(poll(&p, 1, ms > INT32_MAX ? INT32_MAX : (int)ms));
	return wire_is_cancelled(w) ? -ECANCELED : 0;
}

int wire_borrow(struct wire *w, struct http_client **ret, struct err *e)
{
	struct http_client *c = NULL;

	pthread_mutex_lock(&w->mutex);
	if (w->count > 0)
		c = w->shelf[--w->count];
	pthread_mutex_unlock(&w->mutex);
	if (!c)
		return http_client_new(WIRE_CALLS_MAX, ret, e);
	*ret = c;
	return 0;
}

void wire_return(struct wire *w, struct http_client *c)
{
	pthread_mutex_lock(&w->mutex);
	if (w->count < SHELF_MAX) {
		w->shelf[w->count++] = c;
		c = NULL;
	}
	pthread_mutex_unlock(&w->mutex);
	http_client_free(c);
}

void wire_answer_release(struct wire_answer *a)
{
	buf_release(&a->body);
}

struct asking {
	struct wire_answer *answer;
	bool answered;
};

static void on_answer(void *ctx, const struct http_answer *a)
{
	struct asking *asking = ctx;
	struct wire_answer *to = asking->answer;

	to->failure = a->failure;
	to->status = a->status;
	buf_add(&to->body, a->body, a->size);
	snprintf(to->words, sizeof(to->words), "%s", a->words);
	asking->answered = true;
}

int wire_ask(struct wire *w, const struct http_request *r, struct wire_answer *ret, struct err *e)
{
	CLEANUP(wire_answer_release) struct wire_answer answer = {.body = BUF_INIT(0)};
	struct asking asking = {.answer = &answer};
	struct http_request own = *r;
	struct http_client *c;
	int failed;

	if (wire_is_cancelled(w))
		return err_set(e, -ECANCELED, "the mount is ending");
	buf_init(&answer.body, r->answer_max ? r->answer_max : HTTP_ANSWER_MAX);
	failed = wire_borrow(w, &c, e);
	if (failed < 0)
		return failed;
	own.done = on_answer;
	own.ctx = &asking;
	failed = http_submit(c, &own, e);
	while (failed == 0 && !asking.answered) {
		failed = http_step(c, -1, w->cancel_fd);
		if (failed < 0 || wire_is_cancelled(w))
			http_cancel_all(c);
	}
	wire_return(w, c);
	if (failed == 0 && answer.failure == HTTP_CANCELLED)
		failed = err_set(e, -ECANCELED, "the mount is ending");
	if (failed == 0 && buf_error(&answer.body) < 0)
		failed = err_set(e, -ENOMEM, "no memory for the answer of %s", r->url);
	if (failed < 0)
		return failed;
	*ret = answer;
	buf_init(&answer.body, 0);
	return 0;
}
