#include "fs/job/plan.h"

#include <errno.h>
#include <stdlib.h>

struct plan {
	const struct plan_limits *limits;
	plan_size *size_of;
	void *ctx;
	struct plan_part *parts; /* owned */
	size_t count, capacity;
};

static void plan_release(struct plan *p)
{
	free(p->parts);
}

static int open_part(struct plan *p, uint64_t first, struct err *e)
{
	if (p->count == PLAN_PARTS_MAX)
		return err_set(
			e, -EINVAL,
			"input.jsonl: more than %d parts would be needed, which is more than "
			"batchfs handles as one job; split it into several jobs",
			PLAN_PARTS_MAX);
	if (p->count == p->capacity) {
		size_t capacity = p->capacity ? p->capacity * 2 : 16;
		struct plan_part *parts = realloc(p->parts, capacity * sizeof(*parts));

		if (!parts)
			return err_set(e, -ENOMEM, "no memory for %zu parts", capacity);
		p->parts = parts;
		p->capacity = capacity;
	}
	p->parts[p->count++] = (struct plan_part){.first = first};
	return 0;
}

static int size_of(const struct plan *p, uint64_t index, uint64_t *ret, struct err *e)
{
	int r = p->size_of(p->ctx, index, ret);

	return r < 0 ? err_errno(e, r, "cannot read record %llu", (unsigned long long)index + 1)
		     : 0;
}

static int add_record(struct plan *p, uint64_t index, struct err *e)
{
	struct plan_part *last = p->count ? &p->parts[p->count - 1] : NULL;
	uint64_t size, max = p->limits->bytes_max;
	int r = size_of(p, index, &size, e);

	if (r < 0)
		return r;
	if (size > max)
		return err_set(e, -EINVAL,
			       "input.jsonl: record %llu has %llu bytes, and this source takes no "
			       "file of more than %llu; make it smaller",
			       (unsigned long long)index + 1, (unsigned long long)size,
			       (unsigned long long)max);
	if (!last || last->count == p->limits->records_max || size > max - last->size_bytes) {
		r = open_part(p, index, e);
		if (r < 0)
			return r;
		last = &p->parts[p->count - 1];
	}
	last->count++;
	last->size_bytes += size;
	return 0;
}

static int too_few(const struct plan *p, const struct plan_part *part, struct err *e)
{
	return err_set(
		e, -EINVAL,
		"input.jsonl: the records cannot be cut into jobs of %llu to %llu records and at "
		"most %llu bytes, as this source wants them (records %llu to %llu are left over); "
		"add records, leave some out, or make large ones smaller",
		(unsigned long long)p->limits->records_min,
		(unsigned long long)p->limits->records_max,
		(unsigned long long)p->limits->bytes_max, (unsigned long long)part->first + 1,
		(unsigned long long)(part->first + part->count));
}

/* Each part from the last one on takes what it lacks from the one before it. */
static int fill_tail(struct plan *p, struct err *e)
{
	for (size_t i = p->count; i-- > 0;) {
		struct plan_part *part = &p->parts[i];

		while (part->count < p->limits->records_min) {
			struct plan_part *before = part - 1;
			uint64_t size;
			int r;

			if (i == 0 || before->count == 0)
				return too_few(p, part, e);
			r = size_of(p, part->first - 1, &size, e);
			if (r < 0)
				return r;
			if (size > p->limits->bytes_max - part->size_bytes)
				return too_few(p, part, e);
			part->first--;
			part->count++;
			part->size_bytes += size;
			before->count--;
			before->size_bytes -= size;
		}
	}
	return 0;
}

int plan_cut(const struct plan_limits *limits, uint64_t count, plan_size *size, void *ctx,
	     struct plan_part **ret, size_t *ret_count, struct err *e)
{
	CLEANUP(plan_release) struct plan p = {.limits = limits, .size_of = size, .ctx = ctx};
	int r = 0;

	for (uint64_t i = 0; i < count && r == 0; i++)
		r = add_record(&p, i, e);
	if (r == 0)
		r = fill_tail(&p, e);
	if (r < 0)
		return r;
	*ret_count = p.count;
	*ret = STEAL(&p.parts);
	return 0;
}
