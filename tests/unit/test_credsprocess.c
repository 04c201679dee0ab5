/* credential_process: how its line is split, and what its program may do. */

#include <errno.h>
#include <sys/stat.h>

#include "tests/unit/credskit.h"

static void test_words(void **state)
{
	static const struct {
		const char *why, *line, *words; /* each in <>; NULL: refused */
	} rows[] = {
		{"plain", "a  b\tc", "<a><b><c>"},
		{"white space around", "  a ", "<a>"},
		{"quotes", "'a b' \"c d\"", "<a b><c d>"},
		{"quotes within a word", "a'b c'd", "<ab cd>"},
		{"an empty word", "a '' \"\"", "<a><><>"},
		{"one quote within the other", "\"it's\" '\"'", "<it's><\">"},
		{"a backslash", "a\\ b \\\\ \\'", "<a b><\\><'>"},
		{"a backslash in double quotes", "\"a\\\"b\\\\c\\d\"", "<a\"b\\c\\d>"},
		{"a backslash in single quotes", "'a\\'", "<a\\>"},
		{"nothing of a shell", "a | b; $c `d` ~ # > e", "<a><|><b;><$c><`d`><~><#><>><e>"},
		{"an open quote", "a 'b", NULL},
		{"an open double quote", "\"", NULL},
		{"nothing", "  ", NULL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(creds_words_free) char **words = NULL;
		CLEANUP(buf_release) struct buf got = BUF_INIT(1000);
		int r = creds_split(rows[i].line, &words, NULL);

		assert_int_equal(r, rows[i].words ? 0 : -EINVAL);
		for (size_t w = 0; r == 0 && words[w]; w++)
			buf_addf(&got, "<%s>", words[w]);
		if (r == 0 && strcmp(got.data, rows[i].words) != 0)
			fail_msg("%s: %s", rows[i].why, got.data);
	}
}

static void test_too_many_words(void **state)
{
	char line[2 * CREDS_WORDS_MAX + 3];
	char **words = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(line); i++)
		line[i] = i % 2 ? ' ' : 'x';
	line[2 * CREDS_WORDS_MAX] = '\0';
	assert_int_equal(creds_split(line, &words, NULL), 0);
	creds_words_free(&words);
	line[2 * CREDS_WORDS_MAX] = 'x';
	line[2 * CREDS_WORDS_MAX + 1] = '\0';
	assert_int_equal(creds_split(line, &words, NULL), -EINVAL);
}

#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define KEYS   "\"AccessKeyId\": \"A\", \"SecretAccessKey\": \"" SECRET "\""

/* script: of a file that the configuration names. */
static int run(void **state, struct credskit *k, const char *script, long timeout_ms,
	       struct creds *ret, struct err *e)
{
	struct tempdir_name program = tempdir_path(state, "give keys");
	struct creds_source s;
	char text[PATH_MAX + 200];
	int r;

	snprintf(text, sizeof(text), "#!/bin/sh\n%s\n", script);
	awsenv_write(program.text, text);
	assert_int_equal(chmod(program.text, 0700), 0);
	credskit_begin(k);
	snprintf(text, sizeof(text), "[default]\ncredential_process = '%s' \"one two\" three\n",
		 program.text);
	awsenv_file(&k->env, state, "config", text);
	s = credskit_source(k);
	s.process_timeout_ms = timeout_ms;
	r = creds_from_process(&s, "default", ret, e);
	credskit_end(k);
	return r;
}

static void test_what_programs_print(void **state)
{
	static const struct {
		const char *why, *script;
		int result;
		const char *token; /* or words of the error */
		int64_t expires_ns;
	} rows[] = {
		{"keys for ever", "echo '{\"Version\": 1, " KEYS "}'", 0, NULL, 0},
		{"keys for a while",
		 "echo '{\"Version\": 1, " KEYS ", \"SessionToken\": \"T\", \"AccountId\": "
		 "\"111122223333\", \"Expiration\": \"2026-01-02T04:04:05Z\"}'",
		 0, "T", CREDSKIT_WALL_NS + 3600 * NS_PER_S},
		{"its words arrive",
		 "[ \"$1-$2\" = 'one two-three' ] && echo '{\"Version\":1," KEYS "}'", 0, NULL, 0},
		{"nothing to read, and nobody to ask",
		 "read x && exit 1; echo '{\"Version\":1," KEYS "}'", 0, NULL, 0},
		{"a child that stays does not hold us up",
		 "(sleep 1000 & echo >&2); echo '{\"Version\":1," KEYS "}'", 0, NULL, 0},
		{"another version", "echo '{\"Version\": 2, " KEYS "}'", -EACCES,
		 "whose Version is not 1", 0},
		{"no version", "echo '{" KEYS "}'", -EACCES, "whose Version is not 1", 0},
		{"no secret", "echo '{\"Version\": 1, \"AccessKeyId\": \"A\"}'", -EACCES,
		 "no AccessKeyId and SecretAccessKey", 0},
		{"not a time", "echo '{\"Version\": 1, " KEYS ", \"Expiration\": \"soon\"}'",
		 -EACCES, "an Expiration that is not a time", 0},
		{"expired",
		 "echo '{\"Version\": 1, " KEYS ", \"Expiration\": \"2026-01-02T03:04:05Z\"}'",
		 -EACCES, "keys that have expired", 0},
		{"no JSON", "echo " SECRET, -EACCES, "something else than a JSON object", 0},
		{"JSON that is cut", "echo '{\"Version\": 1, " KEYS "'", -EACCES,
		 "something else than a JSON object", 0},
		{"nothing", "", -EACCES, "something else than a JSON object", 0},
		{"it fails", "echo one >&2; echo 'log in first' >&2; echo; exit 3", -EACCES,
		 "(exit status 3): log in first", 0},
		{"it fails without a word", "exit 4", -EACCES, "(exit status 4); run it by hand",
		 0},
		{"it is killed", "kill -9 $$", -EACCES, "(signal 9)", 0},
		{"it talks too much of errors",
		 "head -c 300000 /dev/zero | tr '\\0' x >&2; echo >&2; echo last >&2; exit 1",
		 -EACCES, "(exit status 1): last", 0},
		{"it prints too much", "head -c 70000 /dev/zero; sleep 1000", -EACCES,
		 "more than 65536 bytes", 0},
		{"its secret goes to stderr", "echo 'bad: " SECRET "' >&2; exit 1", -EACCES,
		 "bad: [...]", 0},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(creds_release) struct creds c = CREDS_INIT;
		struct err e = ERR_INIT;
		struct credskit k;
		int r = run(state, &k, rows[i].script, CREDS_PROCESS_MS, &c, &e);

		if (r != rows[i].result || strstr(e.text, "wJalr"))
			fail_msg("%s: %d %s", rows[i].why, r, e.text);
		if (r < 0 && !strstr(e.text, rows[i].token))
			fail_msg("%s: %s", rows[i].why, e.text);
		if (r < 0)
			continue;
		assert_string_equal(c.access_key_id, "A");
		assert_string_equal(c.secret, SECRET);
		assert_string_equal(c.session_token ? c.session_token : "none",
				    rows[i].token ? rows[i].token : "none");
		assert_int_equal(c.expires_ns, rows[i].expires_ns);
		assert_string_equal(c.source, "profile default: credential_process");
	}
}

static void test_one_that_hangs_is_ended(void **state)
{
	CLEANUP(creds_release) struct creds c = CREDS_INIT;
	struct err e = ERR_INIT;
	struct credskit k;

	assert_int_equal(run(state, &k, "exec sleep 1000", 50, &c, &e), -EACCES);
	assert_non_null(strstr(e.text, "profile default: credential_process says nothing"));
}

static void test_one_that_is_not_there(void **state)
{
	CLEANUP(creds_release) struct creds c = CREDS_INIT;
	struct err e = ERR_INIT;
	struct credskit k;

	credskit_begin(&k);
	awsenv_file(&k.env, state, "config", "[default]\ncredential_process = /nowhere/x\n");
	assert_int_equal(credskit_get(&k, &c, &e), -EACCES);
	assert_non_null(strstr(e.text, "cannot run /nowhere/x: No such file"));
	credskit_end(&k);
}

static void test_the_end_of_the_mount(void **state)
{
	CLEANUP(creds_release) struct creds c = CREDS_INIT;
	struct err e = ERR_INIT;
	struct credskit k;

	credskit_begin(&k);
	awsenv_file(&k.env, state, "config", "[default]\ncredential_process = sleep 1000\n");
	wire_cancel(k.wire);
	assert_int_equal(credskit_get(&k, &c, &e), -ECANCELED);
	credskit_end(&k);
}

static void test_its_place_in_the_chain(void **state)
{
	static const struct {
		const char *why, *config, *credentials, *source;
	} rows[] = {
		{"the credentials file before it",
		 "credential_process = false\naws_access_key_id = X\naws_secret_access_key = s\n",
		 "[default]\naws_access_key_id = Y\naws_secret_access_key = s\n",
		 "profile default: credentials file"},
		{"the config file after it",
		 "credential_process = echo '{\"Version\":1," KEYS "}'\n"
		 "aws_access_key_id = X\naws_secret_access_key = s\n",
		 "", "profile default: credential_process"},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(creds_release) struct creds c = CREDS_INIT;
		struct err e = ERR_INIT;
		struct credskit k;
		char text[512];

		credskit_begin(&k);
		snprintf(text, sizeof(text), "[default]\n%s", rows[i].config);
		awsenv_file(&k.env, state, "config", text);
		awsenv_file(&k.env, state, "credentials", rows[i].credentials);
		if (credskit_get(&k, &c, &e) != 0 || strcmp(c.source, rows[i].source) != 0)
			fail_msg("%s: %s%s", rows[i].why, c.source, e.text);
		credskit_end(&k);
	}
}

#define IN_DIR(f) cmocka_unit_test_setup_teardown(f, tempdir_setup, tempdir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),	     cmocka_unit_test(test_too_many_words),
		IN_DIR(test_what_programs_print),    IN_DIR(test_one_that_hangs_is_ended),
		IN_DIR(test_one_that_is_not_there),  IN_DIR(test_the_end_of_the_mount),
		IN_DIR(test_its_place_in_the_chain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
