#ifndef BACKEND_AWS_WIRE_H
#define BACKEND_AWS_WIRE_H

/*
 * Blocking HTTP for threads that come and go: a shelf of clients
 * (backend/http/http.h), each lent to one thread at a time, so that
 * connections are used again whoever asks next.
 *
 * No signing, no retries, no knowledge of AWS: see call.h.
 *
 * Threads: any.  Errors: 0 or -errno; *e, if given, is written on failure only.
 */

#include <stdbool.h>

#include "backend/http/http.h"
#include "fs/base/buf.h"
#include "fs/base/err.h"
#include "fs/base/macros.h"

#define WIRE_CALLS_MAX 16 /* of one client at once */

struct wire;

MUST_CHECK int wire_new(struct wire **ret, struct err *e);
void wire_free(struct wire *w); /* NULL is fine; nothing may be lent */

/* Ends what is under way (HTTP_CANCELLED) and lets nothing begin any more. */
void wire_cancel(struct wire *w);
bool wire_is_cancelled(const struct wire *w);

/* Readable once wire_cancel() was called: for http_step(). */
int wire_cancel_fd(const struct wire *w);

/* Waits that long, or until wire_cancel(): then -ECANCELED. */
MUST_CHECK int wire_pause(struct wire *w, int64_t ns);

/* A client of WIRE_CALLS_MAX calls, idle; give it back idle. */
MUST_CHECK int wire_borrow(struct wire *w, struct http_client **ret, struct err *e);
void wire_return(struct wire *w, struct http_client *c);

struct wire_answer {
	enum http_failure failure;
	long status;
	struct buf body;
	char words[HTTP_WORDS_MAX];
};

void wire_answer_release(struct wire_answer *a);

/* One request and its whole answer (r->done and r->ctx are not looked at).
 * Asks once; 0 also where the answer is a failure or an error status: look.
 * -ECANCELED, -ENOMEM, -EINVAL (the URL). */
MUST_CHECK int wire_ask(struct wire *w, const struct http_request *r, struct wire_answer *ret,
			struct err *e);

#endif
