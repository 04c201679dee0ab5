#include "fs/waiters.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "fs/base/log.h"
#include "fs/file.h"
#include "fs/fs.h"

/*
 * The race that shapes this: an interrupt may come before a read is parked,
 * while it is, or while its answer is on its way, and libfuse runs the
 * interrupt function with the request's own lock held.  So the function never
 * touches a waiter by pointer: it carries a number, looks for it in the list
 * under the mutex, and whoever takes a waiter off the list is the one that
 * replies.  A read registers its function first, parks second, and looks
 * between the two whether it was interrupted already.
 */

struct waiter {
	uint64_t id;
	fuse_req_t req;
	struct file *file; /* borrowed: open, or the kernel could not be reading */
	size_t size;
	off_t offset;
	struct waiter *next;
};

struct watcher {
	struct file *file;	    /* borrowed until waiters_forget() */
	struct fuse_pollhandle *ph; /* owned */
	struct watcher *next;
};

struct waiters {
	pthread_mutex_t mutex; /* of all below */
	uint64_t last_id;
	struct waiter *parked;
	struct watcher *polls;
};

struct waiters *waiters_new(void)
{
	struct waiters *w = calloc(1, sizeof(*w));

	if (w)
		pthread_mutex_init(&w->mutex, NULL);
	return w;
}

void waiters_free(struct waiters *w)
{
	if (!w)
		return;
	while (w->parked) {
		struct waiter *p = w->parked;

		w->parked = p->next;
		fuse_reply_err(p->req, ENOTCONN);
		free(p);
	}
	while (w->polls) {
		struct watcher *p = w->polls;

		w->polls = p->next;
		fuse_pollhandle_destroy(p->ph);
		free(p);
	}
	pthread_mutex_destroy(&w->mutex);
	free(w);
}

static void reply(fuse_req_t req, const struct file *f, size_t size, off_t offset)
{
	size_t n;
	const char *bytes = file_bytes(f, (uint64_t)offset, size, &n);

	fuse_reply_buf(req, bytes, n);
}

/* Takes the waiter with that number off the list; NULL if it is not there. */
static struct waiter *take_locked(struct waiters *w, uint64_t id)
{
	for (struct waiter **at = &w->parked; *at; at = &(*at)->next) {
		struct waiter *p = *at;

		if (p->id != id)
			continue;
		*at = p->next;
		return p;
	}
	return NULL;
}

static void interrupted(fuse_req_t req, void *data)
{
	struct waiters *w = ((struct fs *)fuse_req_userdata(req))->waiters;
	struct waiter *p;

	pthread_mutex_lock(&w->mutex);
	p = take_locked(w, (uint64_t)(uintptr_t)data);
	pthread_mutex_unlock(&w->mutex);
	if (!p)
		return;
	fuse_reply_err(p->req, EINTR);
	free(p);
}

void waiters_read(struct waiters *w, fuse_req_t req, struct file *f, size_t size, off_t offset)
{
	struct waiter *p = calloc(1, sizeof(*p));
	bool ready, cut;

	if (!p) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	pthread_mutex_lock(&w->mutex);
	*p = (struct waiter){
		.id = ++w->last_id, .req = req, .file = f, .size = size, .offset = offset};
	pthread_mutex_unlock(&w->mutex);
	fuse_req_interrupt_func(req, interrupted, (void *)(uintptr_t)p->id);

	pthread_mutex_lock(&w->mutex);
	ready = file_try_answer(f);
	cut = !ready && fuse_req_interrupted(req);
	if (!ready && !cut) {
		p->next = w->parked;
		w->parked = p;
	}
	pthread_mutex_unlock(&w->mutex);
	if (!ready && !cut)
		return;
	if (cut)
		fuse_reply_err(req, EINTR);
	else
		reply(req, f, size, offset);
	free(p);
}

static struct watcher *find_watcher_locked(struct waiters *w, const struct file *f)
{
	struct watcher *p = w->polls;

	while (p && p->file != f)
		p = p->next;
	return p;
}

bool waiters_poll(struct waiters *w, struct file *f, struct fuse_pollhandle *ph)
{
	struct fuse_pollhandle *old = NULL;
	struct watcher *p;
	bool ready;

	pthread_mutex_lock(&w->mutex);
	if (ph) {
		p = find_watcher_locked(w, f);
		if (!p && (p = calloc(1, sizeof(*p)))) {
			p->file = f;
			p->next = w->polls;
			w->polls = p;
		}
		old = p ? p->ph : ph;
		if (p)
			p->ph = ph;
	}
	ready = file_is_ready(f);
	pthread_mutex_unlock(&w->mutex);
	if (old)
		fuse_pollhandle_destroy(old);
	return ready;
}

void waiters_forget(struct waiters *w, struct file *f)
{
	struct watcher *p = NULL;

	pthread_mutex_lock(&w->mutex);
	for (struct watcher **at = &w->polls; *at; at = &(*at)->next) {
		if ((*at)->file != f)
			continue;
		p = *at;
		*at = p->next;
		break;
	}
	pthread_mutex_unlock(&w->mutex);
	if (p) {
		fuse_pollhandle_destroy(p->ph);
		free(p);
	}
}

/* Takes those off the list that have their answer; the notifier sends it. */
static struct waiter *take_ready(struct waiters *w, uint64_t job)
{
	struct waiter *ready = NULL, **at;

	pthread_mutex_lock(&w->mutex);
	at = &w->parked;
	while (*at) {
		struct waiter *p = *at;

		if (p->file->node.job != job || !file_try_answer(p->file)) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		p->next = ready;
		ready = p;
	}
	pthread_mutex_unlock(&w->mutex);
	return ready;
}

static struct fuse_pollhandle *take_ready_poll(struct waiters *w, uint64_t job)
{
	struct fuse_pollhandle *ph = NULL;

	pthread_mutex_lock(&w->mutex);
	for (struct watcher **at = &w->polls; *at; at = &(*at)->next) {
		struct watcher *p = *at;

		if (p->file->node.job != job || !file_is_ready(p->file))
			continue;
		ph = p->ph;
		*at = p->next;
		free(p);
		break;
	}
	pthread_mutex_unlock(&w->mutex);
	return ph;
}

void waiters_wake(struct waiters *w, uint64_t job)
{
	struct fuse_pollhandle *ph;
	struct waiter *p = take_ready(w, job);

	while (p) {
		struct waiter *next = p->next;

		/* The file stays open until its read has been answered. */
		reply(p->req, p->file, p->size, p->offset);
		free(p);
		p = next;
	}
	while ((ph = take_ready_poll(w, job))) {
		if (fuse_lowlevel_notify_poll(ph) < 0)
			log_debug("waiters", "a poll went away");
		fuse_pollhandle_destroy(ph);
	}
}
