/* Whose credentials are taken, what is refused, and when they are asked for again. */

#include <errno.h>
#include <pthread.h>

#include "backend/aws/creds_private.h"
#include "tests/unit/credskit.h"

#define CONFIG                                                                                     \
	"[profile both]\naws_access_key_id = CONF\naws_secret_access_key = s\n"                    \
	"[profile conf]\naws_access_key_id = CONF\naws_secret_access_key = s\n"                    \
	"aws_session_token = t2\n"                                                                 \
	"[profile half]\naws_access_key_id = HALF\n"                                               \
	"[profile odd]\naws_access_key_id = OD D\naws_secret_access_key = s3cret\n"                \
	"[profile none]\nregion = eu-west-1\n"

#define CREDENTIALS                                                                                \
	"[default]\naws_access_key_id = DEF\naws_secret_access_key = s\n"                          \
	"[both]\naws_access_key_id = CRED\naws_secret_access_key = s\naws_session_token = t1\n"

static void test_who_is_taken(void **state)
{
	static const struct {
		const char *why, *option, *variable, *env_id, *env_secret, *env_token;
		int result;
		const char *id, *token, *words; /* of the source, or of the error */
	} rows[] = {
		{"the environment first", NULL, "both", "ENV", "s", "t", 0, "ENV", "t",
		 "environment"},
		{"long-term keys", NULL, NULL, "ENV", "s", NULL, 0, "ENV", NULL, "environment"},
		{"not if a profile is named on the command line", "both", NULL, "ENV", "s", "t", 0,
		 "CRED", "t1", "profile both: credentials file"},
		{"a profile of AWS_PROFILE", NULL, "both", NULL, NULL, NULL, 0, "CRED", "t1",
		 "profile both: credentials file"},
		{"the config file", "conf", NULL, NULL, NULL, NULL, 0, "CONF", "t2",
		 "profile conf: config file"},
		{"the default profile", NULL, NULL, NULL, NULL, NULL, 0, "DEF", NULL,
		 "profile default: credentials file"},
		{"an id alone in the environment", NULL, NULL, "ENV", NULL, NULL, -EINVAL, NULL,
		 NULL, "AWS_SECRET_ACCESS_KEY is not"},
		{"an id alone in a file", "half", NULL, NULL, NULL, NULL, -EINVAL, NULL, NULL,
		 "no aws_secret_access_key"},
		{"a key with a space in it", "odd", NULL, NULL, NULL, NULL, -EACCES, NULL, NULL,
		 "the access key id is empty, too long"},
		{"nobody", "none", NULL, "ENV", "s", NULL, -ENOKEY, NULL, NULL,
		 "not looked at, as a profile is named"},
		{"a line break in a token", NULL, NULL, "ENV", "s", "t\nX: y", -EACCES, NULL, NULL,
		 "the session token is empty"},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(creds_release) struct creds c = CREDS_INIT;
		struct err e = ERR_INIT;
		struct credskit k;
		int r;

		credskit_begin(&k);
		k.profile = rows[i].option;
		awsenv_file(&k.env, state, "config", CONFIG);
		awsenv_file(&k.env, state, "credentials", CREDENTIALS);
		awsenv_set(&k.env, "AWS_PROFILE", rows[i].variable);
		awsenv_set(&k.env, "AWS_ACCESS_KEY_ID", rows[i].env_id);
		awsenv_set(&k.env, "AWS_SECRET_ACCESS_KEY", rows[i].env_secret);
		awsenv_set(&k.env, "AWS_SESSION_TOKEN", rows[i].env_token);
		r = credskit_get(&k, &c, &e);
		if (r != rows[i].result || !strstr(r == 0 ? c.source : e.text, rows[i].words))
			fail_msg("%s: %d %s %s", rows[i].why, r, c.source, e.text);
		if (r == 0 && (strcmp(c.access_key_id, rows[i].id) != 0 ||
			       !c.session_token != !rows[i].token ||
			       (c.session_token && strcmp(c.session_token, rows[i].token) != 0)))
			fail_msg("%s: %s", rows[i].why, c.access_key_id);
		if (strstr(e.text, "s3cret"))
			fail_msg("%s: %s", rows[i].why, e.text);
		credskit_end(&k);
	}
}

static void set_env_keys(struct credskit *k, const char *id, const char *expires)
{
	awsenv_set(&k->env, "AWS_ACCESS_KEY_ID", id);
	awsenv_set(&k->env, "AWS_SECRET_ACCESS_KEY", "s");
	awsenv_set(&k->env, "AWS_CREDENTIAL_EXPIRATION", expires);
}

static void expect(struct credskit *k, const char *why, const char *id)
{
	CLEANUP(creds_release) struct creds c = CREDS_INIT;
	struct err e = ERR_INIT;

	if (credskit_get(k, &c, &e) != 0)
		fail_msg("%s: %s", why, e.text);
	if (strcmp(c.access_key_id, id) != 0)
		fail_msg("%s: %s", why, c.access_key_id);
}

static void test_renewal(void **state)
{
	CLEANUP(creds_release) struct creds c = CREDS_INIT;
	struct err e = ERR_INIT;
	struct credskit k;

	(void)state;
	credskit_begin(&k);
	set_env_keys(&k, "A", "2026-01-02T04:04:05Z"); /* an hour */
	expect(&k, "at first", "A");
	set_env_keys(&k, "B", "2026-01-02T05:04:05Z");
	credskit_pass(&k, 44 * 60);
	expect(&k, "16 minutes are left: nobody asks", "A");
	credskit_pass(&k, 60);
	expect(&k, "15 minutes are left", "B");
	awsenv_set(&k.env, "AWS_SECRET_ACCESS_KEY", NULL);
	credskit_pass(&k, 60 * 60);
	expect(&k, "15 minutes are left, and it fails", "B");
	credskit_pass(&k, 5 * 60 + 1);
	assert_int_equal(credskit_get(&k, &c, &e), -EINVAL);
	assert_non_null(strstr(e.text, "AWS_SECRET_ACCESS_KEY"));
	set_env_keys(&k, "C", "2026-01-02T06:04:05Z");
	expect(&k, "it works again", "C");
	credskit_pass(&k, 5 * 3600);
	assert_int_equal(credskit_get(&k, &c, &e), -EACCES);
	assert_non_null(strstr(e.text, "expired at 2026-01-02T06:04:05Z"));
	credskit_end(&k);
}

static void test_short_lives_are_not_asked_for_at_every_call(void **state)
{
	struct credskit k;

	(void)state;
	credskit_begin(&k);
	set_env_keys(&k, "A", "2026-01-02T03:09:05Z"); /* five minutes */
	expect(&k, "at first", "A");
	set_env_keys(&k, "B", "2026-01-02T03:09:05Z");
	credskit_pass(&k, 59);
	expect(&k, "within a minute", "A");
	credskit_pass(&k, 1);
	expect(&k, "a minute later", "B");
	credskit_end(&k);
}

static void test_rejected_keys(void **state)
{
	struct credskit k;

	credskit_begin(&k);
	k.profile = "dev";
	awsenv_file(&k.env, state, "credentials",
		    "[dev]\naws_access_key_id = A\naws_secret_access_key = s\n");
	expect(&k, "at first", "A");
	awsenv_file(&k.env, state, "credentials",
		    "[dev]\naws_access_key_id = B\naws_secret_access_key = s\n");
	expect(&k, "nobody looks", "A");
	creds_reject(k.chain, "Z");
	expect(&k, "another key was rejected", "A");
	creds_reject(k.chain, "A");
	expect(&k, "the file is read again", "B");
	creds_reject(k.chain, "A");
	expect(&k, "late news of an old key", "B");
	creds_reject(k.chain, "B");
	expect(&k, "the same is there", "B");
	awsenv_file(&k.env, state, "credentials",
		    "[dev]\naws_access_key_id = C\naws_secret_access_key = s\n");
	creds_reject(k.chain, "B");
	expect(&k, "once a minute", "B");
	credskit_pass(&k, 60);
	creds_reject(k.chain, "B");
	expect(&k, "a minute later", "C");
	awsenv_file(&k.env, state, "credentials", "fault\n");
	creds_reject(k.chain, "C");
	expect(&k, "a file with a fault changes nothing", "C");
	credskit_end(&k);
}

static void test_what_is_written_after_a_failure_is_found(void **state)
{
	CLEANUP(creds_release) struct creds c = CREDS_INIT;
	struct err e = ERR_INIT;
	struct credskit k;

	credskit_begin(&k);
	k.profile = "dev";
	awsenv_file(&k.env, state, "credentials", "[dev]\nregion = us-east-1\n");
	assert_int_equal(credskit_get(&k, &c, &e), -ENOKEY);
	awsenv_file(&k.env, state, "credentials", "[dev]\naws_access_key_id = B\n");
	assert_int_equal(credskit_get(&k, &c, &e), -EINVAL);
	awsenv_file(&k.env, state, "credentials",
		    "[dev]\naws_access_key_id = C\naws_secret_access_key = s\n");
	expect(&k, "the words said to write it there", "C");
	credskit_end(&k);
}

static void test_bearer(void **state)
{
	CLEANUP(creds_release) struct creds c = CREDS_INIT;
	struct credskit k;

	(void)state;
	credskit_begin(&k);
	awsenv_set(&k.env, "AWS_BEARER_TOKEN_BEDROCK", "key");
	assert_int_equal(credskit_get(&k, &c, NULL), -ENOKEY);
	assert_string_equal(creds_bearer(k.chain), "key");
	credskit_end(&k);
	credskit_begin(&k);
	assert_int_equal(credskit_get(&k, &c, NULL), -ENOKEY);
	assert_null(creds_bearer(k.chain));
	credskit_end(&k);
}

static void *get_often(void *arg)
{
	struct credskit *k = arg;

	for (int i = 0; i < 200; i++) {
		CLEANUP(creds_release) struct creds c = CREDS_INIT;

		if (creds_get(k->chain, &c, NULL) != 0 || strlen(c.access_key_id) != 1)
			return k;
		creds_reject(k->chain, c.access_key_id);
	}
	return NULL;
}

static void test_many_threads(void **state)
{
	CLEANUP(creds_release) struct creds c = CREDS_INIT;
	pthread_t threads[4];
	struct credskit k;

	(void)state;
	credskit_begin(&k);
	set_env_keys(&k, "A", "2026-01-02T03:09:05Z");
	assert_int_equal(credskit_get(&k, &c, NULL), 0);
	for (size_t i = 0; i < COUNT_OF(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, get_often, &k), 0);
	for (size_t i = 0; i < COUNT_OF(threads); i++) {
		void *failed;

		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
	credskit_end(&k);
}

static void test_times(void **state)
{
	static const struct {
		const char *text;
		int64_t ns; /* -1: refused */
	} rows[] = {
		{"1970-01-01T00:00:00Z", 0},
		{"2026-01-02T03:04:05Z", CREDSKIT_WALL_NS},
		{"2026-01-02 03:04:05z", CREDSKIT_WALL_NS},
		{"2026-01-02T03:04:05UTC", CREDSKIT_WALL_NS},
		{"2026-01-02T04:34:05+01:30", CREDSKIT_WALL_NS},
		{"2026-01-01T22:04:05-0500", CREDSKIT_WALL_NS},
		{"2026-01-02T03:04:05.123456789Z", CREDSKIT_WALL_NS + 123456789},
		{"2026-01-02T03:04:05.5Z", CREDSKIT_WALL_NS + NS_PER_S / 2},
		{"", -1},
		{"2026", -1},
		{"2026-01-02", -1},
		{"2026-01-02T03:04:05", -1},
		{"2026-01-02T03:04:05.Z", -1},
		{"2026-01-02T03:04:05.1234567891Z", -1},
		{"2026-01-02T03:04:05Zz", -1},
		{"2026-13-02T03:04:05Z", -1},
		{"2026-01-32T03:04:05Z", -1},
		{"2026-01-02T24:04:05Z", -1},
		{"2026-01-02T03:04:05+1", -1},
		{"2026-01-02T03:04:05+24:00", -1},
		{"1969-01-02T03:04:05Z", -1},
		{"-026-01-02T03:04:05Z", -1},
	};
	int64_t ns;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		ns = -1;
		if (creds_parse_time(rows[i].text, &ns) != (rows[i].ns >= 0) || ns != rows[i].ns)
			fail_msg("%s: %lld", rows[i].text, (long long)ns);
	}
	assert_true(creds_parse_time("9999-12-31T23:59:59Z", &ns));
	assert_true(ns > CREDSKIT_WALL_NS);
}

#define IN_DIR(f) cmocka_unit_test_setup_teardown(f, tempdir_setup, tempdir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_DIR(test_who_is_taken),
		cmocka_unit_test(test_renewal),
		cmocka_unit_test(test_short_lives_are_not_asked_for_at_every_call),
		IN_DIR(test_rejected_keys),
		IN_DIR(test_what_is_written_after_a_failure_is_found),
		cmocka_unit_test(test_bearer),
		cmocka_unit_test(test_many_threads),
		cmocka_unit_test(test_times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
