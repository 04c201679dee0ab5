#include "fs/job/copies.h"

#include <errno.h>
#include <stdlib.h>

#include "fs/base/idmap.h"
#include "fs/job/inputhash.h"

struct copies {
	struct inputhash hash;
	struct idmap *first; /* owned; struct place -> record */
};

struct place {
	struct inputhash_sum sum;
	uint64_t kind;
};

int copies_new(const char *dir, struct copies **ret, struct err *e)
{
	struct copies *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return err_errno(e, -ENOMEM, "cannot look for records with the same input");
	r = inputhash_init(&c->hash, INPUTHASH_EXACTLY, e);
	if (r == 0)
		r = idmap_new(dir, &c->first, e);
	if (r < 0) {
		copies_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

void copies_free(struct copies *c)
{
	if (!c)
		return;
	idmap_free(c->first);
	free(c);
}

static struct place place_of(const struct copies *c, struct jsonspan input, enum copies_kind kind)
{
	return (struct place){inputhash_of(&c->hash, input, NULL), kind};
}

int copies_add(struct copies *c, struct jsonspan input, enum copies_kind kind, uint64_t index,
	       struct err *e)
{
	const struct place p = place_of(c, input, kind);
	uint32_t other;
	int r;

	if (index >= IDMAP_RECORDS_MAX)
		return err_set(e, -E2BIG, "too many records to compare");
	r = idmap_add(c->first, (const char *)&p, sizeof(p), (uint32_t)index, &other);
	return r < 0 && r != -EEXIST
		       ? err_errno(e, r, "cannot look for records with the same input")
		       : 0;
}

bool copies_find(const struct copies *c, struct jsonspan input, enum copies_kind kind,
		 uint64_t *ret_index)
{
	const struct place p = place_of(c, input, kind);
	uint32_t index;

	if (!idmap_find(c->first, (const char *)&p, sizeof(p), &index))
		return false;
	*ret_index = index;
	return true;
}
