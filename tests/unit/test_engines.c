/* The configuration file: which models there are, and what is refused, where
 * and how. */

#include <errno.h>
#include <string.h>

#include "backend/local/engines.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/tempdir.h"

static void enginesp_free(struct engines **all)
{
	engines_free(*all);
}

static int open_text(void **state, const char *text, size_t size, struct engines **ret,
		     struct err *e)
{
	struct tempdir_name path = tempdir_path(state, "batchfs.ini");
	FILE *f = fopen(path.text, "we");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, size, f), size);
	assert_int_equal(fclose(f), 0);
	return engines_open(path.text, ret, e);
}

static void test_sections_that_are_taken(void **state)
{
	static const struct {
		const char *why, *text, *model, *engine, *key, *value;
	} rows[] = {
		{"builtins need no file", "", "builtin.echo", "builtin", "engine", "builtin.echo"},
		{"a command",
		 "[model tagger]\ncommand = sh -c 'a; b' # not a comment\nworkers = 64\n", "tagger",
		 "command", "command", "sh -c 'a; b' # not a comment"},
		{"its environment", "[model t]\ncommand = x\nenv.LD_PATH = /a:/b\ncwd = /tmp\n",
		 "t", "command", "env.LD_PATH", "/a:/b"},
		{"a server", "[model my/llama:8b-Q4]\nurl = http://127.0.0.1:1/v1/chat/completions",
		 "my/llama:8b-Q4", "http", "url", "http://127.0.0.1:1/v1/chat/completions"},
		{"a real name for a real server",
		 "[model anthropic.claude-x]\nurl = http://127.0.0.1:1/v1/chat/completions\n",
		 "anthropic.claude-x", "http", NULL, NULL},
		{"a builtin with settings",
		 "[model rehearsal]\r\nengine = builtin.slow\r\ndelay_ms = 5\r\n", "rehearsal",
		 "builtin", "delay_ms", "5"},
		{"other sections are others'",
		 "top = 1\n[prices]\nx = \n[models]\nfoo = 1\n[model a]\ncommand = x\n", "a",
		 "command", NULL, NULL},
		{"two sections", "[model a]\ncommand = x\n[model b]\ncommand = y\n", "b", "command",
		 "command", "y"},
		{"what every engine takes", "[model a]\ncommand = x\ntimeout_s = 1\n", "a",
		 "command", "timeout_s", "1"},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(enginesp_free) struct engines *all = NULL;
		const struct engine *g = NULL;
		const struct kv *d = NULL;
		struct err e = ERR_INIT;

		if (open_text(state, rows[i].text, strlen(rows[i].text), &all, &e) != 0 ||
		    engines_find(all, rows[i].model, &g, &d, &e) != 0)
			fail_msg("%s: %s", rows[i].why, e.text);
		assert_string_equal(g->name, rows[i].engine);
		if (rows[i].key)
			assert_string_equal(kv_get(d, rows[i].key), rows[i].value);
	}
}

static void test_sections_that_are_refused(void **state)
{
	static const struct {
		const char *why, *text, *words;
	} rows[] = {
		{"an unknown key", "\n[model a]\ncommand = x\nworker = 2\n",
		 ".ini:4: [model a]: worker is not a key of the command engine"},
		{"another engine's key", "[model a]\ncommand = x\ndelay_ms = 2\n",
		 ".ini:3: [model a]: delay_ms is not"},
		{"no engine", "[model a]\ntimeout_s = 5\n", "exactly one of"},
		{"two engines", "[model a]\ncommand = x\nurl = http://127.0.0.1/\n",
		 "exactly one of"},
		{"an engine there is not", "[model a]\nengine = builtin.gpt\n",
		 "give one of builtin"},
		{"a number that is none", "[model a]\ncommand = x\nworkers = many\n",
		 "workers = many: give a whole number from 1 to 64"},
		{"a number out of range", "[model a]\ncommand = x\nworkers = 65\n", "from 1 to 64"},
		{"no command", "[model a]\ncommand =\n", "command: has no value"},
		{"a relative directory", "[model a]\ncommand = x\ncwd = tmp\n", "absolute"},
		{"no environment name", "[model a]\ncommand = x\nenv.1A = x\n", "env.1A"},
		{"the same key twice", "[model a]\ncommand = x\ncommand = y\n",
		 ".ini:3: command is given twice"},
		{"the same model twice", "[model a]\ncommand = x\n[model a]\ncommand = y\n",
		 ".ini:3: [model a] is there already"},
		{"a builtin anew", "[model builtin.echo]\ncommand = x\n", "cannot be defined anew"},
		{"a builtin in place of a real model",
		 "[model us.anthropic.claude-sonnet-4-6]\nengine = builtin.echo\n",
		 "under the name of a real model"},
		{"no name", "[model]\ncommand = x\n", "write [model NAME]"},
		{"a name with a space", "[model a b]\ncommand = x\n", "write [model NAME]"},
		{"a line that is nothing", "[model a]\ncommand\n", ".ini:2: not \"key = value\""},
		{"an open section", "[model a\n", ".ini:1: a section that does not end"},
		{"a bad template", "[model a]\nengine = builtin.template\ntemplate = {{\n",
		 "template"},
		{"not UTF-8", "[model \xff]\n", ".ini:1: not UTF-8"},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(enginesp_free) struct engines *all = NULL;
		struct err e = ERR_INIT;

		assert_int_equal(open_text(state, rows[i].text, strlen(rows[i].text), &all, &e),
				 -EINVAL);
		if (!strstr(e.text, rows[i].words))
			fail_msg("%s: %s", rows[i].why, e.text);
	}
}

static void test_long_values_are_whole(void **state)
{
	CLEANUP(enginesp_free) struct engines *all = NULL;
	static char text[5000];
	const struct engine *g;
	const struct kv *d;
	struct err e = ERR_INIT;

	memset(text, 'x', sizeof(text));
	memcpy(text, "[model a]\ncommand = ", 20);
	assert_int_equal(open_text(state, text, sizeof(text), &all, &e), 0);
	assert_int_equal(engines_find(all, "a", &g, &d, &e), 0);
	assert_int_equal(strlen(kv_get(d, "command")), sizeof(text) - 20);
}

static void test_limits(void **state)
{
	static char text[ENGINES_FILE_MAX + 1];
	struct engines *all = NULL;
	struct err e = ERR_INIT;
	size_t n = 0;

	memset(text, '\n', sizeof(text));
	assert_int_equal(open_text(state, text, sizeof(text), &all, &e), -EINVAL);
	for (int i = 0; i < ENGINES_MODELS_MAX; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "[model m%d]\ncommand = x\n", i);
	assert_int_equal(open_text(state, text, n, &all, &e), -EINVAL);
	assert_non_null(strstr(e.text, "more than 256 models"));
	assert_int_equal(engines_open("/nonexistent/batchfs.ini", &all, &e), -ENOENT);
	assert_int_equal(engines_open("/tmp", &all, &e), -EINVAL);
	assert_null(all);
}

static void test_an_unknown_model_is_never_answered(void **state)
{
	CLEANUP(enginesp_free) struct engines *all = NULL;
	const struct engine *g = NULL;
	const struct kv *d = NULL;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(engines_open(NULL, &all, &e), 0);
	assert_int_equal(engines_find(all, "anthropic.claude-x", &g, &d, &e), -EINVAL);
	assert_null(g);
	assert_non_null(strstr(e.text, "builtin.echo"));
	assert_non_null(strstr(e.text, "[model anthropic.claude-x] url = "));
}

static void test_settings_of_a_job(void **state)
{
	static const struct {
		const char *why, *key, *value;
		int result;
	} rows[] = {
		{"a delay", "delay_ms", "600000", 0},
		{"too long a delay", "delay_ms", "600001", -EINVAL},
		{"parallel", "parallel", "64", 0},
		{"none in parallel", "parallel", "0", -EINVAL},
		{"a rate", "fail_rate", "0.25", 0},
		{"more than all", "fail_rate", "1.1", -EINVAL},
		{"attempts", "fail_attempts", "1000", 0},
		{"a template", "template", "{{a}}", 0},
		{"braces without an end", "template", "{{a", -EINVAL},
		{"nothing", "template", "", -EINVAL},
		{"dimensions", "dimensions", "512", 0},
		{"dimensions there are not", "dimensions", "300", -EINVAL},
		{"part of a choice", "dimensions", "25", -EINVAL},
		{"a time limit", "timeout_s", "10", 0},
		{"tries", "max_attempts", "3", 0},
		{"a job names no program", "command", "rm -rf /", -ENOENT},
		{"nor a server", "url", "http://example.org/", -ENOENT},
		{"nor an engine", "engine", "builtin.echo", -ENOENT},
		{"nor an environment", "env.PATH", "/tmp", -ENOENT},
		{"nor where it runs", "cwd", "/tmp", -ENOENT},
		{"somebody else's key", "role", "arn:aws:iam::1:role/x", -ENOENT},
		{"the empty key", "", "1", -ENOENT},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct err e = ERR_INIT;
		int r = engines_check_config(rows[i].key, rows[i].value, &e);

		if (r != rows[i].result)
			fail_msg("%s: %d %s", rows[i].why, r, e.text);
		assert_true(!r == !e.text[0]);
	}
}

static void test_the_list(void **state)
{
	static const char text[] = "[model t]\ncommand = prog --key SECRET\n";
	CLEANUP(enginesp_free) struct engines *all = NULL;
	CLEANUP(buf_release) struct buf b;

	buf_init(&b, 10000);
	assert_int_equal(open_text(state, text, strlen(text), &all, NULL), 0);
	engines_list(all, &b);
	assert_non_null(strstr(b.data, "builtin.echo\tbuiltin\tanswers with the question"));
	assert_non_null(strstr(b.data, "\nt\tcommand\truns prog\n"));
	assert_null(strstr(b.data, "SECRET"));
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, tempdir_setup, tempdir_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_sections_that_are_taken),
		TEST(test_sections_that_are_refused),
		TEST(test_long_values_are_whole),
		TEST(test_limits),
		TEST(test_an_unknown_model_is_never_answered),
		TEST(test_settings_of_a_job),
		TEST(test_the_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
