#ifndef FS_JOB_SETTINGS_H
#define FS_JOB_SETTINGS_H

/*
 * The settings that every source knows: options of the mount, and keys of
 * JOB/config, which go over them.
 *
 *	submit = auto | manual
 *	settle = 2			seconds, 0 to 86400
 *	settle_input = 10
 *	max_cost = 12.50 | none		USD
 *	small = refuse | pad | ondemand	fewer records than the provider takes
 *	retry_max = 0			automatic attempts, 0 to 20
 *	dedupe = no | yes
 *
 * Pure: memory only.
 */

#include <stdbool.h>
#include <stdint.h>

#include "fs/base/err.h"
#include "fs/base/kv.h"
#include "fs/base/macros.h"

#define SETTINGS_RETRY_MAX 20

enum small {
	SMALL_REFUSE,
	SMALL_PAD,	/* filled up with records that cost as little as can be */
	SMALL_ONDEMAND, /* run one by one, at the on-demand price */
};

struct settings {
	bool manual;
	int64_t settle_ns, settle_input_ns;
	double max_cost_usd; /* a job that may cost more is held; 0: no limit */
	enum small small;
	unsigned retry_max;
	bool dedupe;
};

/* What a mount without options has. */
extern const struct settings settings_default;

/* -ENOENT: none of these keys (*e is not written).  -EINVAL: a value it does not take. */
MUST_CHECK int settings_set(struct settings *s, const char *key, const char *value, struct err *e);

/* What config has goes over *s; other keys are passed over, as are values that
 * would have been refused when they were written. */
void settings_take(struct settings *s, const struct kv *config);

#endif
