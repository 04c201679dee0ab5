#ifndef TESTS_UNIT_AWSENV_H
#define TESTS_UNIT_AWSENV_H

/*
 * An environment and files of AWS settings of a test's own:
 *
 *	struct awsenv env = {0};
 *	awsenv_set(&env, "AWS_REGION", "us-east-1");
 *	awsenv_file(&env, state, "config", "[default]\n...");	with tempdir.h
 *	c = awsenv_load(&env, NULL, NULL);
 *
 * Nothing of the process's own environment is seen.
 */

#include <string.h>

#include "backend/aws/awsconfig.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/tempdir.h"

#define AWSENV_MAX 24

struct awsenv {
	struct {
		char name[64];
		char value[PATH_MAX];
	} vars[AWSENV_MAX];
	size_t count;
};

/* NULL takes it away. */
static inline void awsenv_set(struct awsenv *env, const char *name, const char *value)
{
	size_t i = 0;

	while (i < env->count && strcmp(env->vars[i].name, name) != 0)
		i++;
	assert_true(i < AWSENV_MAX);
	snprintf(env->vars[i].name, sizeof(env->vars[i].name), "%s", name);
	snprintf(env->vars[i].value, sizeof(env->vars[i].value), "%s", value ? value : "");
	env->count += i == env->count;
}

static inline const char *awsenv_get(void *ctx, const char *name)
{
	struct awsenv *env = ctx;

	for (size_t i = 0; i < env->count; i++)
		if (strcmp(env->vars[i].name, name) == 0)
			return env->vars[i].value;
	return NULL;
}

static inline void awsenv_write(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

/* name: "config" or "credentials". */
static inline void awsenv_file(struct awsenv *env, void **state, const char *name, const char *text)
{
	struct tempdir_name path = tempdir_path(state, name);

	awsenv_write(path.text, text);
	awsenv_set(env,
		   strcmp(name, "config") == 0 ? "AWS_CONFIG_FILE" : "AWS_SHARED_CREDENTIALS_FILE",
		   path.text);
}

static inline int awsenv_try(struct awsenv *env, const char *profile, const char *region,
			     struct awsconfig **ret, struct err *e)
{
	const struct awsconfig_options o = {
		.profile = profile, .region = region, .env = awsenv_get, .ctx = env};

	return awsconfig_load(&o, ret, e);
}

static inline struct awsconfig *awsenv_load(struct awsenv *env, const char *profile,
					    const char *region)
{
	struct awsconfig *c = NULL;
	struct err e = ERR_INIT;

	if (awsenv_try(env, profile, region, &c, &e) != 0)
		fail_msg("%s", e.text);
	return c;
}

static inline void awsenv_freep(struct awsconfig **c)
{
	awsconfig_free(*c);
	*c = NULL;
}

#endif
