#include <errno.h>
#include <string.h>

#include "cache/results_private.h"

/*
 * When a generation is mapped.
 *
 * A pin maps it if it is not; without pins it stays mapped, and is the newest
 * of a list from whose old end those are unmapped that are too many.  Mapping
 * reads the disk, so it is done with the generation's own mutex, and the
 * cache's is held for a few instructions only: where the first pin comes or the
 * last one goes.  What has a pin is mapped, and not in the list.
 */

struct results_cache {
	atomic_uint refs;
	size_t max;
	pthread_mutex_t mutex; /* of all below, and of the links, pins and flags */
	struct results *newest, *oldest;
	size_t count;
};

/* --- the cache --- */

int results_cache_new(size_t max, struct results_cache **ret)
{
	struct results_cache *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	atomic_init(&c->refs, 1);
	c->max = max;
	pthread_mutex_init(&c->mutex, NULL);
	*ret = c;
	return 0;
}

void results_cache_unref(struct results_cache *c)
{
	if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
		return;
	pthread_mutex_destroy(&c->mutex);
	free(c);
}

size_t results_cache_count(struct results_cache *c)
{
	size_t n;

	pthread_mutex_lock(&c->mutex);
	n = c->count;
	pthread_mutex_unlock(&c->mutex);
	return n;
}

static void unlink_locked(struct results_cache *c, struct results *r)
{
	*(r->newer ? &r->newer->older : &c->newest) = r->older;
	*(r->older ? &r->older->newer : &c->oldest) = r->newer;
	r->newer = r->older = NULL;
	c->count--;
}

static void link_newest_locked(struct results_cache *c, struct results *r)
{
	r->older = c->newest;
	*(c->newest ? &c->newest->newer : &c->oldest) = r;
	c->newest = r;
	c->count++;
}

/* --- life --- */

static struct results *results_new(struct results_cache *c, const char *dir)
{
	struct results *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->dir = strdup(dir);
	if (!r->dir) {
		free(r);
		return NULL;
	}
	atomic_init(&r->refs, 1);
	pthread_mutex_init(&r->map_mutex, NULL);
	if (c)
		atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	r->cache = c;
	return r;
}

struct results *results_ref(struct results *r)
{
	atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
	return r;
}

void results_unref(struct results *r)
{
	struct results_cache *c;

	if (!r || atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) != 1)
		return;
	c = r->cache;
	if (c) {
		pthread_mutex_lock(&c->mutex);
		if (r->mapped)
			unlink_locked(c, r);
		pthread_mutex_unlock(&c->mutex);
	}
	if (r->mapped)
		results_unmap(&r->maps);
	results_cache_unref(c);
	pthread_mutex_destroy(&r->map_mutex);
	free(r->dir);
	free(r);
}

int results_open(struct results_cache *c, const char *dir, struct results **ret, struct err *e)
{
	struct results *r = results_new(c, dir);
	int error;

	if (!r)
		return err_errno(e, -ENOMEM, "cannot open the results in %s", dir);
	if (c) {
		error = results_pin(r, e);
	} else {
		error = results_map(dir, &r->maps, &r->header, e);
		r->mapped = error == 0;
	}
	if (error < 0) {
		results_unref(r);
		return error;
	}
	results_unpin(r);
	*ret = r;
	return 0;
}

int results_expect(struct results_cache *c, const char *dir, struct results **ret, struct err *e)
{
	struct results *r;

	if (access(dir, F_OK) < 0)
		return err_errno(e, -errno, "cannot open the results in %s", dir);
	r = results_new(c, dir);
	if (!r)
		return err_errno(e, -ENOMEM, "cannot open the results in %s", dir);
	*ret = r;
	return 0;
}

/* --- pins --- */

/* One more, if there is one already: then it is mapped, and stays so. */
static bool try_pin(struct results *r)
{
	unsigned n = atomic_load_explicit(&r->pins, memory_order_relaxed);

	while (n > 0)
		if (atomic_compare_exchange_weak_explicit(&r->pins, &n, n + 1, memory_order_acquire,
							  memory_order_relaxed))
			return true;
	return false;
}

/* The first pin, if it is mapped. */
static bool pin_mapped(struct results *r)
{
	struct results_cache *c = r->cache;
	bool mapped;

	pthread_mutex_lock(&c->mutex);
	mapped = r->mapped;
	if (mapped && atomic_fetch_add(&r->pins, 1) == 0)
		unlink_locked(c, r);
	pthread_mutex_unlock(&c->mutex);
	return mapped;
}

/* With the mutex over mapping it. */
static int map_and_pin(struct results *r, struct err *e)
{
	int error = results_map(r->dir, &r->maps, &r->header, e);

	if (error < 0)
		return error;
	pthread_mutex_lock(&r->cache->mutex);
	r->mapped = true;
	atomic_store(&r->pins, 1);
	pthread_mutex_unlock(&r->cache->mutex);
	return 0;
}

int results_pin(struct results *r, struct err *e)
{
	int error = 0;

	if (!r->cache || try_pin(r) || pin_mapped(r))
		return 0;
	pthread_mutex_lock(&r->map_mutex);
	if (!pin_mapped(r))
		error = map_and_pin(r, e);
	pthread_mutex_unlock(&r->map_mutex);
	return error;
}

/* One less, unless it is the last. */
static bool try_unpin(struct results *r)
{
	unsigned n = atomic_load_explicit(&r->pins, memory_order_relaxed);

	while (n > 1)
		if (atomic_compare_exchange_weak_explicit(&r->pins, &n, n - 1, memory_order_release,
							  memory_order_relaxed))
			return true;
	return false;
}

void results_unpin(struct results *r)
{
	struct results_cache *c = r->cache;
	struct results_mappings gone = {.files = {{NULL, 0}}};
	struct results *last;

	if (!c || try_unpin(r))
		return;
	pthread_mutex_lock(&c->mutex);
	if (atomic_fetch_sub(&r->pins, 1) == 1)
		link_newest_locked(c, r);
	if (c->count > c->max) {
		last = c->oldest;
		unlink_locked(c, last);
		gone = last->maps;
		last->mapped = false;
	}
	pthread_mutex_unlock(&c->mutex);
	results_unmap(&gone);
}
