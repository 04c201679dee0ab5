#include "fs/job/inputjoin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "fs/base/idmap.h"
#include "fs/base/siphash.h"

/*
 * An input is its hash; the hash of an object is a sum over its members, so
 * that their order does not matter.  Of records with one hash the n-th (from 0)
 * is found under the hash and n, in one map of those there are and in another
 * one of those taken; how many there are is found by doubling.
 */

#define DEPTH_MAX  128
#define NUMBER_MAX 64			 /* characters of one */
#define STRING_MAX (1024u * 1024 * 1024) /* bytes of one, decoded */

struct digest {
	uint64_t half[2];
};

struct inputjoin {
	unsigned char key[SIPHASH_KEY_SIZE];
	struct idmap *there, *taken;
};

int inputjoin_new(const char *dir, struct inputjoin **ret, struct err *e)
{
	struct inputjoin *j = calloc(1, sizeof(*j));
	int r;

	if (!j)
		return err_set(e, -ENOMEM, "no memory to join results by their inputs");
	if (getrandom(j->key, sizeof(j->key), 0) != (ssize_t)sizeof(j->key))
		r = err_set(e, -EIO, "no random bytes");
	else
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

/* --- the hash of a value --- */

static struct digest hash_bytes(const struct inputjoin *j, char type, const void *bytes,
				size_t size)
{
	struct digest d;

	siphash128(j->key, bytes, size, d.half);
	d.half[0] += (unsigned char)type;
	return d;
}

static struct digest hash_string(const struct inputjoin *j, struct jsonspan v)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT(STRING_MAX);

	if (!jsonspan_string(v, &text) || buf_error(&text) < 0)
		return hash_bytes(j, '?', v.at, v.size);
	return hash_bytes(j, 's', text.data ? text.data : "", text.size);
}

static struct digest hash_number(const struct inputjoin *j, struct jsonspan v)
{
	char text[NUMBER_MAX + 1];
	double n;

	if (v.size > NUMBER_MAX)
		return hash_bytes(j, '?', v.at, v.size);
	memcpy(text, v.at, v.size);
	text[v.size] = '\0';
	n = strtod(text, NULL) + 0.0; /* no -0 */
	return hash_bytes(j, 'n', &n, sizeof(n));
}

static struct digest hash_value(const struct inputjoin *j, struct jsonspan v, int depth);

static struct digest hash_array(const struct inputjoin *j, struct jsonspan v, int depth)
{
	struct jsonspan_walk w = jsonspan_walk(v);
	struct digest both[2] = {hash_bytes(j, 'a', "", 0)};

	while (jsonspan_next(&w)) {
		both[1] = hash_value(j, w.value, depth + 1);
		both[0] = hash_bytes(j, 'a', both, sizeof(both));
	}
	return both[0];
}

static struct digest hash_object(const struct inputjoin *j, struct jsonspan v, int depth)
{
	struct jsonspan_walk w = jsonspan_walk(v);
	struct digest sum = {{0, 0}}, both[2], d;

	while (jsonspan_next(&w)) {
		both[0] = hash_string(j, w.key);
		both[1] = hash_value(j, w.value, depth + 1);
		d = hash_bytes(j, 'm', both, sizeof(both));
		sum.half[0] += d.half[0];
		sum.half[1] += d.half[1];
	}
	return hash_bytes(j, 'o', &sum, sizeof(sum));
}

static struct digest hash_value(const struct inputjoin *j, struct jsonspan v, int depth)
{
	switch (depth < DEPTH_MAX ? jsonspan_type(v) : JSONSPAN_NONE) {
	case JSONSPAN_STRING:
		return hash_string(j, v);
	case JSONSPAN_NUMBER:
		return hash_number(j, v);
	case JSONSPAN_ARRAY:
		return hash_array(j, v, depth);
	case JSONSPAN_OBJECT:
		return hash_object(j, v, depth);
	case JSONSPAN_NONE:
	case JSONSPAN_NULL:
	case JSONSPAN_BOOL:
		break;
	}
	return hash_bytes(j, '?', v.at ? v.at : "", v.size);
}

bool inputjoin_are_equal(const struct inputjoin *j, struct jsonspan a, struct jsonspan b)
{
	struct digest x = hash_value(j, a, 0), y = hash_value(j, b, 0);

	return x.half[0] == y.half[0] && x.half[1] == y.half[1];
}

/* --- records of one hash --- */

struct place {
	struct digest hash;
	uint64_t n;
};

static bool has(const struct idmap *m, const struct digest *hash, uint64_t n, uint32_t *ret)
{
	const struct place p = {*hash, n};

	return idmap_find(m, (const char *)&p, sizeof(p), ret);
}

/* How many there are: they are numbered without a gap. */
static uint64_t count(const struct idmap *m, const struct digest *hash)
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

static int put(struct idmap *m, const struct digest *hash, uint64_t n, uint32_t number,
	       struct err *e)
{
	const struct place p = {*hash, n};
	uint32_t old;
	int r = idmap_add(m, (const char *)&p, sizeof(p), number, &old);

	return r < 0 ? err_errno(e, r, "cannot join results by their inputs") : 0;
}

int inputjoin_add(struct inputjoin *j, struct jsonspan input, uint64_t index, struct err *e)
{
	struct digest hash = hash_value(j, input, 0);

	if (index >= IDMAP_RECORDS_MAX)
		return err_set(e, -E2BIG, "too many records to join");
	return put(j->there, &hash, count(j->there, &hash), (uint32_t)index, e);
}

int inputjoin_take(struct inputjoin *j, struct jsonspan input, uint64_t *ret_index, struct err *e)
{
	struct digest hash = hash_value(j, input, 0);
	uint64_t n = count(j->taken, &hash);
	uint32_t index;
	int r;

	if (!has(j->there, &hash, n, &index))
		return 0;
	r = put(j->taken, &hash, n, index, e);
	*ret_index = index;
	return r < 0 ? r : 1;
}
