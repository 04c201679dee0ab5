#include "fs/notify.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "fs/base/log.h"
#include "fs/fs.h"

struct change {
	uint64_t job;
	unsigned what;
	char *name; /* owned; the newest */
	struct change *next;
};

struct notify {
	struct fs *fs; /* borrowed */
	int touch_fd;  /* owned */
	pthread_t thread;
	pthread_mutex_t mutex; /* of the queue */
	pthread_cond_t wake;
	struct change *first, **last;
	bool ending;
};

static void tell(struct notify *n, const struct change *c)
{
	waiters_wake(n->fs->waiters, c->job);
	/* Lossy on purpose: a helper that does not keep up must not hold us. */
	if ((c->what & JOBS_STATE) && !(c->what & JOBS_GONE) && n->touch_fd >= 0 &&
	    send(n->touch_fd, c->name, strlen(c->name), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		log_debug("notify", "inotify of %s is skipped: errno %d", c->name, errno);
}

static void *run(void *arg)
{
	struct notify *n = arg;

	pthread_mutex_lock(&n->mutex);
	while (!n->ending) {
		struct change *c = n->first;

		if (!c) {
			pthread_cond_wait(&n->wake, &n->mutex);
			continue;
		}
		n->first = c->next;
		if (!n->first)
			n->last = &n->first;
		pthread_mutex_unlock(&n->mutex);
		tell(n, c);
		free(c->name);
		free(c);
		pthread_mutex_lock(&n->mutex);
	}
	pthread_mutex_unlock(&n->mutex);
	return NULL;
}

int notify_start(struct fs *fs, int touch_fd, struct notify **ret, struct err *e)
{
	struct notify *n = calloc(1, sizeof(*n));
	int r;

	if (!n)
		return err_set(e, -ENOMEM, "no memory for notifications");
	n->fs = fs;
	n->touch_fd = touch_fd;
	n->last = &n->first;
	pthread_mutex_init(&n->mutex, NULL);
	pthread_cond_init(&n->wake, NULL);
	r = pthread_create(&n->thread, NULL, run, n);
	if (r) {
		free(n);
		return err_errno(e, -r, "cannot start a thread");
	}
	*ret = n;
	return 0;
}

void notify_stop(struct notify *n)
{
	if (!n)
		return;
	pthread_mutex_lock(&n->mutex);
	n->ending = true;
	pthread_cond_signal(&n->wake);
	pthread_mutex_unlock(&n->mutex);
	pthread_join(n->thread, NULL);
	while (n->first) {
		struct change *c = n->first;

		n->first = c->next;
		free(c->name);
		free(c);
	}
	fd_closep(&n->touch_fd);
	pthread_cond_destroy(&n->wake);
	pthread_mutex_destroy(&n->mutex);
	free(n);
}

/* Queued behind what is queued already, unless that is of the same job. */
static bool merge_locked(struct notify *n, uint64_t job, unsigned what, char **name)
{
	for (struct change *c = n->first; c; c = c->next) {
		if (c->job != job)
			continue;
		c->what |= what;
		free(c->name);
		c->name = STEAL(name);
		return true;
	}
	return false;
}

void notify_job(struct notify *n, uint64_t job, const char *name, unsigned what)
{
	CLEANUP(str_freep) char *copy = strdup(name);
	struct change *c = calloc(1, sizeof(*c));

	if (!copy || !c) {
		free(c);
		log_error("notify", "no memory: readers of job %llu wait longer than they need",
			  (unsigned long long)job);
		return;
	}
	pthread_mutex_lock(&n->mutex);
	if (merge_locked(n, job, what, &copy)) {
		free(c);
	} else {
		*c = (struct change){.job = job, .what = what, .name = STEAL(&copy)};
		*n->last = c;
		n->last = &c->next;
		pthread_cond_signal(&n->wake);
	}
	pthread_mutex_unlock(&n->mutex);
}
