#ifndef FS_JOB_REGISTRY_H
#define FS_JOB_REGISTRY_H

/*
 * The jobs of a mount, by number and by name.
 *
 * Numbers only grow, so the list is sorted by being appended to; names are
 * found through a hash table.  The registry holds one reference of each job.
 * One read-write lock; its rank is the highest.
 */

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/macros.h"

struct job;

struct registry_entry {
	uint64_t number;
	char *name;		     /* owned */
	struct job *job;	     /* a reference */
	struct registry_entry *next; /* of the same bucket */
};

struct registry {
	pthread_rwlock_t lock;
	struct registry_entry **entries; /* by number */
	size_t count, capacity;
	struct registry_entry **buckets;
	size_t bucket_count; /* a power of two */
};

MUST_CHECK int registry_init(struct registry *g);
void registry_release(struct registry *g); /* drops the references */

/* Takes a reference of its own.  -EEXIST: the name is taken. */
MUST_CHECK int registry_add(struct registry *g, uint64_t number, const char *name, struct job *job);
void registry_remove(struct registry *g, uint64_t number);
MUST_CHECK int registry_rename(struct registry *g, uint64_t number, const char *name);

/* A new reference, or NULL. */
struct job *registry_find(struct registry *g, const char *name);
struct job *registry_get(struct registry *g, uint64_t number);
struct job *registry_after(struct registry *g, uint64_t number);
size_t registry_count(struct registry *g);

#endif
