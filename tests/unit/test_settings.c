#include "fs/job/settings.h"

#include <errno.h>
#include <string.h>

#include "fs/base/clock.h"
#include "tests/unit/cmocka_all.h"

static void test_values(void **state)
{
	static const struct {
		const char *key, *value;
		int want;
		const char *words; /* of a refusal */
	} rows[] = {
		{"submit", "auto", 0, NULL},
		{"submit", "manual", 0, NULL},
		{"submit", "Manual", -EINVAL, "submit is auto or manual, not \"Manual\""},
		{"settle", "0", 0, NULL},
		{"settle", "86400", 0, NULL},
		{"settle", "-1", -EINVAL, "settle"},
		{"settle_input", "1h", -EINVAL, "settle_input"},
		{"max_cost", "12.50", 0, NULL},
		{"max_cost", "none", 0, NULL},
		{"max_cost", "0", -EINVAL, "12.50, or none"},
		{"small", "refuse", 0, NULL},
		{"small", "pad", 0, NULL},
		{"small", "ondemand", 0, NULL},
		{"small", "on-demand", -EINVAL, "small is refuse, pad or ondemand"},
		{"retry_max", "0", 0, NULL},
		{"retry_max", "20", 0, NULL},
		{"retry_max", "21", -EINVAL, "retry_max"},
		{"retry_max", "", -EINVAL, "retry_max"},
		{"dedupe", "yes", 0, NULL},
		{"dedupe", "no", 0, NULL},
		{"dedupe", "true", -EINVAL, "dedupe is no or yes"},
		{"role", "x", -ENOENT, NULL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct settings s = settings_default;
		struct err e = ERR_INIT;
		int r = settings_set(&s, rows[i].key, rows[i].value, &e);

		if (r != rows[i].want || (rows[i].words && !strstr(e.text, rows[i].words)))
			fail_msg("%s = %s: %d, %s", rows[i].key, rows[i].value, r, e.text);
		if (r < 0)
			assert_memory_equal(&s, &settings_default, sizeof(s));
	}
}

static void test_config_goes_over_the_mount(void **state)
{
	CLEANUP(kv_release) struct kv kv = KV_INIT;
	struct settings s = settings_default;

	(void)state;
	s.retry_max = 3;
	s.max_cost_usd = 5;
	assert_int_equal(kv_set(&kv, "small", "pad"), 0);
	assert_int_equal(kv_set(&kv, "max_cost", "none"), 0);
	assert_int_equal(kv_set(&kv, "role", "arn"), 0);
	assert_int_equal(kv_set(&kv, "settle", "0.5"), 0);
	assert_int_equal(kv_set(&kv, "dedupe", "yes"), 0);
	settings_take(&s, &kv);
	assert_int_equal(s.small, SMALL_PAD);
	assert_true(s.max_cost_usd == 0);
	assert_int_equal(s.settle_ns, NS_PER_S / 2);
	assert_int_equal(s.settle_input_ns, 10 * NS_PER_S);
	assert_int_equal(s.retry_max, 3);
	assert_true(s.dedupe && !s.manual);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_config_goes_over_the_mount),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
