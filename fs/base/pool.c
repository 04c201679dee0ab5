#include "fs/base/pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#define POOL_THREADS_MAX 16

struct item {
	void (*run)(void *arg);
	void *arg; /* the caller's */
	struct item *next;
};

struct pool {
	pthread_mutex_t mutex; /* of all below */
	pthread_cond_t wake;
	struct item *first, **last;
	bool ending;
	unsigned thread_count;
	pthread_t threads[POOL_THREADS_MAX];
};

static void *work(void *arg)
{
	struct pool *p = arg;

	pthread_mutex_lock(&p->mutex);
	for (;;) {
		struct item *it = p->first;

		if (!it && p->ending)
			break;
		if (!it) {
			pthread_cond_wait(&p->wake, &p->mutex);
			continue;
		}
		p->first = it->next;
		if (!p->first)
			p->last = &p->first;
		pthread_mutex_unlock(&p->mutex);
		it->run(it->arg);
		free(it);
		pthread_mutex_lock(&p->mutex);
	}
	pthread_mutex_unlock(&p->mutex);
	return NULL;
}

int pool_new(unsigned threads, struct pool **ret, struct err *e)
{
	struct pool *p = calloc(1, sizeof(*p));

	if (!p)
		return err_set(e, -ENOMEM, "no memory for worker threads");
	pthread_mutex_init(&p->mutex, NULL);
	pthread_cond_init(&p->wake, NULL);
	p->last = &p->first;
	if (threads > POOL_THREADS_MAX)
		threads = POOL_THREADS_MAX;
	for (; p->thread_count < threads; p->thread_count++) {
		int r = pthread_create(&p->threads[p->thread_count], NULL, work, p);

		if (r) {
			pool_free(p);
			return err_errno(e, -r, "cannot start a worker thread");
		}
	}
	*ret = p;
	return 0;
}

void pool_free(struct pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->mutex);
	p->ending = true;
	pthread_cond_broadcast(&p->wake);
	pthread_mutex_unlock(&p->mutex);
	for (unsigned i = 0; i < p->thread_count; i++)
		pthread_join(p->threads[i], NULL);
	pthread_cond_destroy(&p->wake);
	pthread_mutex_destroy(&p->mutex);
	free(p);
}

int pool_add(struct pool *p, void (*run)(void *arg), void *arg)
{
	struct item *it = malloc(sizeof(*it));

	if (!it)
		return -ENOMEM;
	*it = (struct item){.run = run, .arg = arg};
	pthread_mutex_lock(&p->mutex);
	*p->last = it;
	p->last = &it->next;
	pthread_cond_signal(&p->wake);
	pthread_mutex_unlock(&p->mutex);
	return 0;
}
