#include "fs/job/settings.h"

#include <errno.h>
#include <string.h>

#include "fs/base/clock.h"

#define COST_MAX_USD 1e9
#define SETTLE_MAX_S 86400

const struct settings settings_default = {.settle_ns = 2 * NS_PER_S,
					  .settle_input_ns = 10 * NS_PER_S};

/* *ret: the place of value among words, which end with NULL. */
static int choose(const char *key, const char *value, const char *const *words, unsigned *ret,
		  struct err *e)
{
	char all[128] = "";

	for (unsigned i = 0; words[i]; i++) {
		if (strcmp(words[i], value) == 0) {
			*ret = i;
			return 0;
		}
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s",
			 i == 0		? ""
			 : words[i + 1] ? ", "
					: " or ",
			 words[i]);
	}
	return err_set(e, -EINVAL, "%s is %s, not \"%.60s\"", key, all, value);
}

static int set_bool(const char *key, const char *value, const char *no, const char *yes, bool *ret,
		    struct err *e)
{
	const char *const words[] = {no, yes, NULL};
	unsigned n = 0;
	int r = choose(key, value, words, &n, e);

	if (r == 0)
		*ret = n == 1;
	return r;
}

static int set_seconds(const char *key, const char *value, int64_t *ret, struct err *e)
{
	double s = 0;
	int r = kv_parse_double(key, value, 0, SETTLE_MAX_S, &s, e);

	if (r == 0)
		*ret = (int64_t)(s * (double)NS_PER_S);
	return r;
}

static int set_cost(const char *value, double *ret, struct err *e)
{
	if (strcmp(value, "none") == 0) {
		*ret = 0;
		return 0;
	}
	if (kv_parse_double("max_cost", value, 0.000001, COST_MAX_USD, ret, NULL) == 0)
		return 0;
	return err_set(e, -EINVAL, "max_cost = %.60s: give US dollars, as 12.50, or none", value);
}

static int set_small(const char *value, enum small *ret, struct err *e)
{
	static const char *const words[] = {"refuse", "pad", "ondemand", NULL};
	unsigned n = 0;
	int r = choose("small", value, words, &n, e);

	if (r == 0)
		*ret = (enum small)n;
	return r;
}

static int set_retry_max(const char *value, unsigned *ret, struct err *e)
{
	uint64_t n = 0;
	int r = kv_parse_u64("retry_max", value, 0, SETTINGS_RETRY_MAX, &n, e);

	if (r == 0)
		*ret = (unsigned)n;
	return r;
}

int settings_set(struct settings *s, const char *key, const char *value, struct err *e)
{
	if (strcmp(key, "submit") == 0)
		return set_bool(key, value, "auto", "manual", &s->manual, e);
	if (strcmp(key, "settle") == 0)
		return set_seconds(key, value, &s->settle_ns, e);
	if (strcmp(key, "settle_input") == 0)
		return set_seconds(key, value, &s->settle_input_ns, e);
	if (strcmp(key, "max_cost") == 0)
		return set_cost(value, &s->max_cost_usd, e);
	if (strcmp(key, "small") == 0)
		return set_small(value, &s->small, e);
	if (strcmp(key, "retry_max") == 0)
		return set_retry_max(value, &s->retry_max, e);
	if (strcmp(key, "dedupe") == 0)
		return set_bool(key, value, "no", "yes", &s->dedupe, e);
	return -ENOENT;
}

void settings_take(struct settings *s, const struct kv *config)
{
	for (size_t i = 0; i < config->count; i++)
		ignore_error(settings_set(s, config->pairs[i].key, config->pairs[i].value, NULL));
}
