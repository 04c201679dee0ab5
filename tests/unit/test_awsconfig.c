/* The files and variables that all AWS tools share: what they mean, and what is refused. */

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/aws/awsconfig.h"
#include "backend/aws/awsini.h"
#include "tests/unit/awsenv.h"

static void test_what_files_mean(void **state)
{
	static const struct {
		const char *why, *config, *credentials, *value; /* of key "k" of profile dev */
	} rows[] = {
		{"a profile", "[profile dev]\nk = v\n", "", "v"},
		{"quotes around the name", "[profile \"dev\"]\nk = v\n", "", "v"},
		{"white space and CRLF", "[ profile  dev ]\r\n\tk=v \r\n", "", "v"},
		{"a comment after a section", "[profile dev] # mine\nk = v\n", "", "v"},
		{"comments", "[profile dev]\n# k = 1\n; k = 2\nk = v ; not one\n", "",
		 "v ; not one"},
		{"a byte-order mark", "\xef\xbb\xbf[profile dev]\nk = v\n", "", "v"},
		{"keys in any case", "[profile dev]\nK = v\n", "", "v"},
		{"the credentials file", "", "[dev]\nk = v\n", "v"},
		{"the credentials file wins", "[profile dev]\nk = 1\n", "[dev]\nk = v\n", "v"},
		{"key by key", "[profile dev]\nk = v\n", "[dev]\nother = 1\n", "v"},
		{"a section in two places", "[profile dev]\nk = 1\n[x]\n[profile dev]\nk = v\n", "",
		 "v"},
		{"a section in two places keeps what it had",
		 "[profile dev]\nk = v\n[x]\nk = 1\n[profile dev]\nother = 1\n", "", "v"},
		{"the later of two", "[profile dev]\nk = 1\nk = v\n", "", "v"},
		{"all lines indented alike", "[profile dev]\n  a = 1\n  k = v\n", "", "v"},
		{"less and less indented", "[profile dev]\n    a = 1\n  k = v\n", "", "v"},
		{"an empty value is none", "[profile dev]\nk =\n", "", NULL},
		{"a nested key is not a plain one", "[profile dev]\ns3 =\n  k = 1\n", "", NULL},
		{"after a nested map", "[profile dev]\ns3 =\n  k = 1\nk = v\n", "", "v"},
		{"other profiles", "[profile dev]\n[profile other]\nk = 1\n[default]\nk = 2\n", "",
		 NULL},
		{"in the credentials file a name is a name", "[profile dev]\n",
		 "[profile dev]\nk = 1\n", NULL},
		{"sections of other kinds", "[profile dev]\n[services dev]\nk=1\n[plugins]\nk=2\n",
		 "", NULL},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(awsenv_freep) struct awsconfig *c = NULL;
		struct awsenv env = {.count = 0};
		const char *v;

		awsenv_file(&env, state, "config", rows[i].config);
		awsenv_file(&env, state, "credentials", rows[i].credentials);
		c = awsenv_load(&env, "dev", NULL);
		v = awsconfig_get(c, "dev", "k");
		if (!v != !rows[i].value || (v && strcmp(v, rows[i].value) != 0))
			fail_msg("%s: %s", rows[i].why, v ? v : "absent");
	}
}

static void test_faults_name_the_line_and_no_value(void **state)
{
	static const struct {
		const char *why, *config, *words;
	} rows[] = {
		{"no section", "a = secret\n", "config:1: a line before the first section"},
		{"no '='", "[default]\n\nsecret\n", "config:3: not \"key = value\""},
		{"an open section", "[default\n", "config:1: a section that does not end"},
		{"no name", "[profile ]\n[]\n", "config:2: a section without a name"},
		{"indented under a value", "[default]\na = secret\n b = secret\n",
		 "config:3: a line that begins with white space"},
		{"a control byte", "[default]\na = secret\x01\n", "config:2: a control byte"},
		{"not UTF-8", "[default]\na = secret\xff\n", "config:2: not UTF-8"},
		{"a key with a space", "[default]\nmy secret = 1\n", "config:2: a key is made of"},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct awsconfig *c = NULL;
		struct awsenv env = {.count = 0};
		struct err e = ERR_INIT;

		awsenv_file(&env, state, "config", rows[i].config);
		assert_int_equal(awsenv_try(&env, NULL, NULL, &c, &e), -EINVAL);
		if (!strstr(e.text, rows[i].words) || strstr(e.text, "secret"))
			fail_msg("%s: %s", rows[i].why, e.text);
		assert_null(c);
	}
}

static void test_sections_and_nested_maps(void **state)
{
	CLEANUP(awsenv_freep) struct awsconfig *c = NULL;
	struct awsenv env = {.count = 0};

	awsenv_file(&env, state, "config",
		    "[default]\nregion = eu-west-1\n"
		    "[sso-session corp]\nsso_region = eu-north-1\n"
		    "[services local]\ns3 =\n  endpoint_url = http://127.0.0.1:9000\n\n"
		    "  # a comment between\n  other = 1\nbedrock =\n  endpoint_url = http://b\n");
	c = awsenv_load(&env, NULL, NULL);
	assert_string_equal(awsconfig_section(c, "sso-session", "corp", "sso_region"),
			    "eu-north-1");
	assert_string_equal(awsconfig_nested(c, "services", "local", "s3", "endpoint_url"),
			    "http://127.0.0.1:9000");
	assert_string_equal(awsconfig_nested(c, "services", "local", "s3", "other"), "1");
	assert_string_equal(awsconfig_nested(c, "services", "local", "bedrock", "endpoint_url"),
			    "http://b");
	assert_null(awsconfig_nested(c, "services", "local", "sts", "endpoint_url"));
	assert_null(awsconfig_nested(c, "services", "other", "s3", "endpoint_url"));
	assert_true(awsconfig_has_section(c, "services", "local"));
	assert_false(awsconfig_has_section(c, "services", "corp"));
	assert_string_equal(awsconfig_section(c, "profile", "default", "region"), "eu-west-1");
	assert_null(awsconfig_get_credential(c, "default", "region"));
	assert_string_equal(awsconfig_region(c), "eu-west-1");
}

static void test_which_profile(void **state)
{
	static const struct {
		const char *why, *option, *variable, *older, *profile;
	} rows[] = {
		{"none", NULL, NULL, NULL, "default"},
		{"the option wins", "a", "b", "b", "a"},
		{"the variable", NULL, "b", "a", "b"},
		{"the older variable", NULL, NULL, "a", "a"},
		{"empty is none", "", "", "", "default"},
		{"default need not be there", "default", NULL, NULL, "default"},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(awsenv_freep) struct awsconfig *c = NULL;
		struct awsenv env = {.count = 0};

		awsenv_file(&env, state, "config", "[profile a]\n[profile b]\n");
		awsenv_set(&env, "AWS_PROFILE", rows[i].variable);
		awsenv_set(&env, "AWS_DEFAULT_PROFILE", rows[i].older);
		c = awsenv_load(&env, rows[i].option, NULL);
		if (strcmp(awsconfig_profile(c), rows[i].profile) != 0 ||
		    awsconfig_profile_is_explicit(c) != (rows[i].option && *rows[i].option))
			fail_msg("%s: %s", rows[i].why, awsconfig_profile(c));
	}
}

static void test_a_profile_that_is_not_there(void **state)
{
	struct awsenv env = {.count = 0};
	struct awsconfig *c = NULL;
	struct err e = ERR_INIT;

	awsenv_file(&env, state, "config", "[dev]\nregion = eu-west-1\n");
	assert_int_equal(awsenv_try(&env, "other", NULL, &c, &e), -EINVAL);
	assert_non_null(strstr(e.text, "there is no profile other"));
	assert_non_null(strstr(e.text, "/config"));
	assert_int_equal(awsenv_try(&env, "dev", NULL, &c, &e), -EINVAL);
	assert_non_null(strstr(e.text, "write [profile dev]"));
	awsenv_set(&env, "AWS_PROFILE", "other");
	assert_int_equal(awsenv_try(&env, NULL, NULL, &c, &e), -EINVAL);
}

static void test_which_region(void **state)
{
	static const struct {
		const char *why, *option, *variable, *older, *config, *region;
	} rows[] = {
		{"none", NULL, NULL, NULL, "", NULL},
		{"the profile's", NULL, NULL, NULL, "r1", "r1"},
		{"the older variable", NULL, NULL, "r2", "r1", "r2"},
		{"the variable", NULL, "r3", "r2", "r1", "r3"},
		{"the option", "r4", "r3", "r2", "r1", "r4"},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(awsenv_freep) struct awsconfig *c = NULL;
		struct awsenv env = {.count = 0};
		char text[64];
		const char *r;

		snprintf(text, sizeof(text), "[default]\nregion = %s\n", rows[i].config);
		awsenv_file(&env, state, "config", text);
		awsenv_set(&env, "AWS_REGION", rows[i].variable);
		awsenv_set(&env, "AWS_DEFAULT_REGION", rows[i].older);
		c = awsenv_load(&env, NULL, rows[i].option);
		r = awsconfig_region(c);
		if (!r != !rows[i].region || (r && strcmp(r, rows[i].region) != 0))
			fail_msg("%s: %s", rows[i].why, r ? r : "none");
	}
}

static void test_switches(void **state)
{
	static const struct {
		const char *why, *variable, *config;
		bool on;
	} rows[] = {
		{"neither", NULL, "", false},
		{"the variable", "true", "", true},
		{"in any case", "TRUE", "", true},
		{"the profile", NULL, "True", true},
		{"the variable switches the profile's off", "false", "true", false},
		{"another word", "yes", "", false},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(awsenv_freep) struct awsconfig *c = NULL;
		struct awsenv env = {.count = 0};
		char text[64];

		snprintf(text, sizeof(text), "[default]\nk = %s\n", rows[i].config);
		awsenv_file(&env, state, "config", text);
		awsenv_set(&env, "AWS_K", rows[i].variable);
		c = awsenv_load(&env, NULL, NULL);
		if (awsconfig_is_true(c, "AWS_K", "k") != rows[i].on)
			fail_msg("%s", rows[i].why);
	}
}

static void test_where_files_are(void **state)
{
	CLEANUP(awsenv_freep) struct awsconfig *home = NULL;
	CLEANUP(awsenv_freep) struct awsconfig *tilde = NULL;
	CLEANUP(awsenv_freep) struct awsconfig *none = NULL;
	struct awsenv env = {.count = 0};

	assert_int_equal(mkdir(tempdir_path(state, ".aws").text, 0700), 0);
	awsenv_write(tempdir_path(state, ".aws/config").text, "[default]\nk = home\n");
	awsenv_write(tempdir_path(state, "mine").text, "[default]\nk = mine\n");
	awsenv_set(&env, "HOME", *state);
	home = awsenv_load(&env, NULL, NULL);
	assert_string_equal(awsconfig_get(home, "default", "k"), "home");
	awsenv_set(&env, "AWS_CONFIG_FILE", "~/mine");
	tilde = awsenv_load(&env, NULL, NULL);
	assert_string_equal(awsconfig_get(tilde, "default", "k"), "mine");
	awsenv_set(&env, "HOME", NULL);
	none = awsenv_load(&env, NULL, NULL);
	assert_null(awsconfig_get(none, "default", "k"));
	assert_null(awsconfig_env(none, "HOME"));
}

static void test_files_that_cannot_be_read(void **state)
{
	struct awsenv env = {.count = 0};
	struct awsconfig *c = NULL;
	struct err e = ERR_INIT;

	awsenv_set(&env, "AWS_CONFIG_FILE", *state);
	assert_int_equal(awsenv_try(&env, NULL, NULL, &c, &e), -EIO);
	assert_non_null(strstr(e.text, "it is a directory"));
	awsenv_file(&env, state, "config", "");
	assert_int_equal(chmod(tempdir_path(state, "config").text, 0), 0);
	if (geteuid() == 0)
		SKIP_TEST("root may read everything\n");
	assert_int_equal(awsenv_try(&env, NULL, NULL, &c, &e), -EACCES);
}

static void test_files_that_are_too_large(void **state)
{
	struct awsenv env = {.count = 0};
	char *text = malloc(AWSINI_FILE_MAX + 2);
	struct awsconfig *c = NULL;
	struct err e = ERR_INIT;

	assert_non_null(text);
	memset(text, '#', AWSINI_FILE_MAX + 1);
	text[AWSINI_FILE_MAX + 1] = '\0';
	awsenv_file(&env, state, "config", text);
	assert_int_equal(awsenv_try(&env, NULL, NULL, &c, &e), -EINVAL);
	assert_non_null(strstr(e.text, "larger than"));
	text[AWSINI_FILE_MAX] = '\0';
	awsenv_file(&env, state, "config", text);
	assert_int_equal(awsenv_try(&env, NULL, NULL, &c, &e), 0);
	awsconfig_free(c);
	memset(text, '\n', AWSINI_LINES_MAX + 1);
	text[AWSINI_LINES_MAX + 1] = '\0';
	awsenv_file(&env, state, "config", text);
	assert_int_equal(awsenv_try(&env, NULL, NULL, &c, &e), -EINVAL);
	assert_non_null(strstr(e.text, "config:20001: more lines"));
	free(text);
}

static void test_reading_again(void **state)
{
	CLEANUP(awsenv_freep) struct awsconfig *c = NULL;
	CLEANUP(awsenv_freep) struct awsconfig *again = NULL;
	struct awsenv env = {.count = 0};

	awsenv_file(&env, state, "credentials", "[dev]\nk = 1\n");
	c = awsenv_load(&env, "dev", "us-east-2");
	awsenv_file(&env, state, "credentials", "[dev]\nk = 2\n");
	assert_int_equal(awsconfig_reload(c, &again, NULL), 0);
	assert_string_equal(awsconfig_get(c, "dev", "k"), "1");
	assert_string_equal(awsconfig_get(again, "dev", "k"), "2");
	assert_string_equal(awsconfig_region(again), "us-east-2");
	assert_true(awsconfig_profile_is_explicit(again));
}

/* "D/" in a row is the current directory. */
static void test_paths_from_the_current_directory(void **state)
{
	static const struct {
		const char *why, *name, *said, *wanted;
	} rows[] = {
		{"the config file", "AWS_CONFIG_FILE", "aws/config", "D/aws/config"},
		{"the credentials file", "AWS_SHARED_CREDENTIALS_FILE", "./keys", "D/./keys"},
		{"a token", "AWS_WEB_IDENTITY_TOKEN_FILE", "token", "D/token"},
		{"a container's token", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "t", "D/t"},
		{"certificates", "AWS_CA_BUNDLE", "../ca.pem", "D/../ca.pem"},
		{"from the root", "AWS_CA_BUNDLE", "/etc/ca.pem", "/etc/ca.pem"},
		{"from HOME, which is understood later", "AWS_CONFIG_FILE", "~/c", "~/c"},
		{"empty is as unset", "AWS_CONFIG_FILE", "", ""},
		{"not a file", "AWS_PROFILE", "dev", "dev"},
	};
	CLEANUP(str_freep) char *before = getcwd(NULL, 0);

	assert_non_null(before);
	assert_int_equal(chdir(*state), 0);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(str_freep) char *cwd = getcwd(NULL, 0);
		bool here = strncmp(rows[i].wanted, "D/", 2) == 0;
		CLEANUP(str_freep) char *wanted = NULL;
		const char *got;

		assert_true(asprintf(&wanted, "%s%s", here ? cwd : "", rows[i].wanted + here) >= 0);
		assert_int_equal(setenv(rows[i].name, rows[i].said, 1), 0);
		assert_int_equal(awsconfig_anchor(NULL), 0);
		assert_int_equal(awsconfig_anchor(NULL), 0); /* once is enough */
		got = getenv(rows[i].name);
		if (!got || strcmp(got, wanted) != 0)
			fail_msg("%s: %s", rows[i].why, got ? got : "unset");
		unsetenv(rows[i].name);
		assert_string_equal(getenv("PWD"), cwd);
	}
	assert_int_equal(chdir(before), 0);
}

/* As for AWS's own tools, wherever the file lies. */
static void test_paths_in_the_files(void **state)
{
	static const struct {
		const char *why, *pwd, *key, *said, *wanted;
	} rows[] = {
		{"certificates", "/here", "ca_bundle", "ca.pem", "/here/ca.pem"},
		{"a token", "/here", "web_identity_token_file", "./t", "/here/./t"},
		{"from the root", "/here", "ca_bundle", "/etc/ca.pem", "/etc/ca.pem"},
		{"started in the root", "/", "ca_bundle", "ca.pem", "/ca.pem"},
		{"not a path", "/here", "region", "us-east-1", "us-east-1"},
	};

	for (size_t i = 0; i < 2 * COUNT_OF(rows); i++) {
		CLEANUP(awsenv_freep) struct awsconfig *c = NULL;
		CLEANUP(awsenv_freep) struct awsconfig *again = NULL;
		struct awsenv env = {.count = 0};
		size_t row = i / 2;
		char text[128];

		snprintf(text, sizeof(text), "[%sdev]\n%s = %s\n", i % 2 ? "" : "profile ",
			 rows[row].key, rows[row].said);
		awsenv_file(&env, state, "config", i % 2 ? "" : text);
		awsenv_file(&env, state, "credentials", i % 2 ? text : "");
		awsenv_set(&env, "PWD", rows[row].pwd);
		c = awsenv_load(&env, "dev", NULL);
		assert_int_equal(awsconfig_reload(c, &again, NULL), 0);
		if (strcmp(awsconfig_get(c, "dev", rows[row].key), rows[row].wanted) != 0 ||
		    strcmp(awsconfig_get(again, "dev", rows[row].key), rows[row].wanted) != 0)
			fail_msg("%s: %s", rows[row].why, awsconfig_get(c, "dev", rows[row].key));
	}
}

#define IN_DIR(f) cmocka_unit_test_setup_teardown(f, tempdir_setup, tempdir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_DIR(test_what_files_mean),
		IN_DIR(test_faults_name_the_line_and_no_value),
		IN_DIR(test_sections_and_nested_maps),
		IN_DIR(test_which_profile),
		IN_DIR(test_a_profile_that_is_not_there),
		IN_DIR(test_which_region),
		IN_DIR(test_switches),
		IN_DIR(test_where_files_are),
		IN_DIR(test_files_that_cannot_be_read),
		IN_DIR(test_files_that_are_too_large),
		IN_DIR(test_reading_again),
		IN_DIR(test_paths_from_the_current_directory),
		IN_DIR(test_paths_in_the_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
