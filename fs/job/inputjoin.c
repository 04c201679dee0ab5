#include "fs/job/inputjoin.h"

#include <errno.h>
#include <stdlib.h>

#include "fs/base/idmap.h"
#include "fs/job/inputhash.h"

/*
 * An input is its hash.  Of records with one hash the n-th (from 0) is found
 * under the hash and n, in one map of those there are and in another one of
 * those taken; how many there are is found by doubling.
 */

struct inputjoin {
	struct inputhash hash;
	struct idmap *there, *taken;
};

int inputjoin_new(const char *dir, struct inputjoin **ret, struct err *e)
{
	struct inputjoin *j = calloc(1, sizeof(*j));
	int r;

	if (!j)
		return err_set(e, -ENOMEM, "no memory to join results by their inputs");
	r = inputhash_init(&j->hash, INPUTHASH_BY_VALUE, e);
	if (r == 0)
		r = idmap_new(dir, &j->there, e);
	if (r == 0)
		r = idmap_new(dir, &j->taken, e);
	if (r < 0) {
		inputjoin_free(j);
		return r;
	}
	*ret = j;
	return 0;
}

void inputjoin_free(struct inputjoin *j)
{
	if (!j)
		return;
	idmap_free(j->there);
	idmap_free(j->taken);
	free(j);
}

bool inputjoin_are_equal(const struct inputjoin *j, struct jsonspan a, struct jsonspan b)
{
	struct inputhash_sum x = inputhash_of(&j->hash, a, NULL);

	return inputhash_are_equal(x, inputhash_of(&j->hash, b, NULL));
}

/* --- records of one hash --- */

struct place {
	struct inputhash_sum hash;
	uint64_t n;
};

static bool has(const struct idmap *m, const struct inputhash_sum *hash, uint64_t n, uint32_t *ret)
{
	const struct place p = {*hash, n};

	return idmap_find(m, (const char *)&p, sizeof(p), ret);
}

/* How many there are: they are numbered without a gap. */
static uint64_t count(const struct idmap *m, const struct inputhash_sum *hash)
{
	uint64_t low = 0, high = 1;
	uint32_t number;

	while (has(m, hash, high - 1, &number)) {
		low = high;
		high *= 2;
	}
	while (low + 1 < high) {
		uint64_t mid = low + (high - low) / 2;

		if (has(m, hash, mid - 1, &number))
			low = mid;
		else
			high = mid;
	}
	return low;
}

static int put(struct idmap *m, const struct inputhash_sum *hash, uint64_t n, uint32_t number,
	       struct err *e)
{
	const struct place p = {*hash, n};
	uint32_t old;
	int r = idmap_add(m, (const char *)&p, sizeof(p), number, &old);

	return r < 0 ? err_errno(e, r, "cannot join results by their inputs") : 0;
}

int inputjoin_add(struct inputjoin *j, struct jsonspan input, uint64_t index, struct err *e)
{
	struct inputhash_sum hash = inputhash_of(&j->hash, input, NULL);

	if (index >= IDMAP_RECORDS_MAX)
		return err_set(e, -E2BIG, "too many records to join");
	return put(j->there, &hash, count(j->there, &hash), (uint32_t)index, e);
}

int inputjoin_take(struct inputjoin *j, struct jsonspan input, uint64_t *ret_index, struct err *e)
{
	struct inputhash_sum hash = inputhash_of(&j->hash, input, NULL);
	uint64_t n = count(j->taken, &hash);
	uint32_t index;
	int r;

	if (!has(j->there, &hash, n, &index))
		return 0;
	r = put(j->taken, &hash, n, index, e);
	*ret_index = index;
	return r < 0 ? r : 1;
}
