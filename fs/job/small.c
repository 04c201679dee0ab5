#include "fs/job/small.h"

#include <errno.h>

bool small_is_possible(const struct backend *b, enum run_how how)
{
	switch (how) {
	case RUN_PADDED:
		return b->ops->pad_record != NULL;
	case RUN_ONDEMAND:
		return b->ops->run_now != NULL;
	case RUN_BATCH:
		break;
	}
	return true;
}

static int refuse(uint64_t count, uint64_t min, struct err *e)
{
	return err_set(
		e, -EINVAL,
		"%llu records, and this source takes no job under %llu: add records; or write "
		"\"small = ondemand\" to config, which runs them one by one at the on-demand "
		"price, or \"small = pad\", which fills up with %llu copies that are limited "
		"to one token",
		(unsigned long long)count, (unsigned long long)min,
		(unsigned long long)(min - count));
}

int small_how(struct backend *b, const char *model, enum small small, uint64_t count,
	      enum run_how *ret, struct err *e)
{
	static const enum run_how hows[] = {[SMALL_REFUSE] = RUN_BATCH,
					    [SMALL_PAD] = RUN_PADDED,
					    [SMALL_ONDEMAND] = RUN_ONDEMAND};
	enum run_how how = *ret;
	struct backend_limits l;

	b->ops->limits(b, model, &l);
	if (count >= l.records_min) {
		if (how == RUN_PADDED)
			how = RUN_BATCH;
	} else if (how == RUN_BATCH) {
		how = hows[small];
	}
	if (!small_is_possible(b, how))
		return err_set(e, -EINVAL, "this source cannot run records %s",
			       how == RUN_PADDED ? "with padding" : "on demand");
	if (how == RUN_BATCH && count < l.records_min)
		return refuse(count, l.records_min, e);
	*ret = how;
	return 0;
}
