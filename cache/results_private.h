#ifndef CACHE_RESULTS_PRIVATE_H
#define CACHE_RESULTS_PRIVATE_H

/* Shared by results.c (what the mapped bytes mean) and results_pins.c (when
 * they are mapped). */

#include <pthread.h>
#include <stdatomic.h>

#include "cache/results.h"
#include "cache/results_format.h"

struct mapping {
	const char *at; /* owned mapping; "" if size is 0 */
	uint64_t size;
};

struct results_mappings {
	struct mapping files[RESULTS_PART_COUNT];
};

struct results {
	atomic_uint refs;
	struct results_cache *cache; /* a reference; NULL: mapped for good */
	char *dir;		     /* owned */
	pthread_mutex_t map_mutex;   /* over mapping it, so that one thread does */
	/* Of who has a pin: */
	struct results_header header;
	struct results_mappings maps;
	atomic_uint pins; /* from and to 0 under the cache's mutex */
	/* Under that: */
	bool mapped;
	struct results *newer, *older; /* of those that are mapped and have no pin */
};

/* Maps all files of a generation and checks the header.  Errors as
 * results_open(); nothing is mapped then. */
MUST_CHECK int results_map(const char *dir, struct results_mappings *ret,
			   struct results_header *header, struct err *e);
void results_unmap(struct results_mappings *m);

#endif
