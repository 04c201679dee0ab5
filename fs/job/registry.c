#include "fs/job/registry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/job/job.h"

static size_t bucket_of(const struct registry *g, const char *name)
{
	uint64_t h = 14695981039346656037u; /* FNV-1a; the names are the owner's own */

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 1099511628211u;
	return (size_t)(h & (g->bucket_count - 1));
}

/* The first entry whose number is not below number. */
static size_t position(const struct registry *g, uint64_t number)
{
	size_t low = 0, high = g->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (g->entries[mid]->number < number)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct registry_entry *by_number(const struct registry *g, uint64_t number)
{
	size_t i = position(g, number);

	return i < g->count && g->entries[i]->number == number ? g->entries[i] : NULL;
}

static struct registry_entry *by_name(const struct registry *g, const char *name)
{
	struct registry_entry *en = g->buckets[bucket_of(g, name)];

	while (en && strcmp(en->name, name) != 0)
		en = en->next;
	return en;
}

static void link_name(struct registry *g, struct registry_entry *en)
{
	struct registry_entry **b = &g->buckets[bucket_of(g, en->name)];

	en->next = *b;
	*b = en;
}

static void unlink_name(struct registry *g, struct registry_entry *en)
{
	struct registry_entry **at = &g->buckets[bucket_of(g, en->name)];

	while (*at != en)
		at = &(*at)->next;
	*at = en->next;
}

static int grow(struct registry *g)
{
	size_t capacity = g->capacity ? g->capacity * 2 : 64;
	struct registry_entry **entries, **buckets;

	if (g->count < g->capacity)
		return 0;
	entries = realloc(g->entries, capacity * sizeof(struct registry_entry *));
	if (!entries)
		return -ENOMEM;
	g->entries = entries;
	buckets = calloc(capacity, sizeof(struct registry_entry *));
	if (!buckets)
		return -ENOMEM;
	free(g->buckets);
	g->buckets = buckets;
	g->bucket_count = g->capacity = capacity;
	for (size_t i = 0; i < g->count; i++)
		link_name(g, g->entries[i]);
	return 0;
}

int registry_init(struct registry *g)
{
	*g = (struct registry){0};
	pthread_rwlock_init(&g->lock, NULL);
	return grow(g);
}

static void entry_free(struct registry_entry *en)
{
	job_unref(en->job);
	free(en->name);
	free(en);
}

void registry_release(struct registry *g)
{
	for (size_t i = 0; i < g->count; i++)
		entry_free(g->entries[i]);
	free(g->entries);
	free(g->buckets);
	pthread_rwlock_destroy(&g->lock);
}

static int add_locked(struct registry *g, uint64_t number, const char *name, struct job *job)
{
	struct registry_entry *en;
	size_t at;

	if (by_name(g, name))
		return -EEXIST;
	if (grow(g) < 0)
		return -ENOMEM;
	en = calloc(1, sizeof(*en));
	if (!en)
		return -ENOMEM;
	en->name = strdup(name);
	if (!en->name) {
		free(en);
		return -ENOMEM;
	}
	en->number = number;
	en->job = job_ref(job);
	at = position(g, number);
	memmove(&g->entries[at + 1], &g->entries[at], (g->count - at) * sizeof(g->entries[0]));
	g->entries[at] = en;
	g->count++;
	link_name(g, en);
	return 0;
}

int registry_add(struct registry *g, uint64_t number, const char *name, struct job *job)
{
	int r;

	pthread_rwlock_wrlock(&g->lock);
	r = add_locked(g, number, name, job);
	pthread_rwlock_unlock(&g->lock);
	return r;
}

void registry_remove(struct registry *g, uint64_t number)
{
	struct registry_entry *en;
	size_t at;

	pthread_rwlock_wrlock(&g->lock);
	en = by_number(g, number);
	if (en) {
		at = position(g, number);
		unlink_name(g, en);
		memmove(&g->entries[at], &g->entries[at + 1],
			(g->count - at - 1) * sizeof(g->entries[0]));
		g->count--;
	}
	pthread_rwlock_unlock(&g->lock);
	if (en)
		entry_free(en);
}

int registry_rename(struct registry *g, uint64_t number, const char *name)
{
	struct registry_entry *en;
	char *copy = strdup(name);
	int r = 0;

	if (!copy)
		return -ENOMEM;
	pthread_rwlock_wrlock(&g->lock);
	en = by_number(g, number);
	if (!en) {
		r = -ENOENT;
	} else if (by_name(g, name)) {
		r = -EEXIST;
	} else {
		unlink_name(g, en);
		free(en->name);
		en->name = STEAL(&copy);
		link_name(g, en);
	}
	pthread_rwlock_unlock(&g->lock);
	free(copy);
	return r;
}

struct job *registry_find(struct registry *g, const char *name)
{
	struct registry_entry *en;
	struct job *j;

	pthread_rwlock_rdlock(&g->lock);
	en = by_name(g, name);
	j = en ? job_ref(en->job) : NULL;
	pthread_rwlock_unlock(&g->lock);
	return j;
}

struct job *registry_get(struct registry *g, uint64_t number)
{
	struct registry_entry *en;
	struct job *j;

	pthread_rwlock_rdlock(&g->lock);
	en = by_number(g, number);
	j = en ? job_ref(en->job) : NULL;
	pthread_rwlock_unlock(&g->lock);
	return j;
}

struct job *registry_after(struct registry *g, uint64_t number)
{
	struct job *j = NULL;
	size_t i;

	pthread_rwlock_rdlock(&g->lock);
	i = number == UINT64_MAX ? g->count : position(g, number + 1);
	if (i < g->count)
		j = job_ref(g->entries[i]->job);
	pthread_rwlock_unlock(&g->lock);
	return j;
}

size_t registry_count(struct registry *g)
{
	size_t n;

	pthread_rwlock_rdlock(&g->lock);
	n = g->count;
	pthread_rwlock_unlock(&g->lock);
	return n;
}
