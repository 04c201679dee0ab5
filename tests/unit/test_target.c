/* URLs as users write them, and what is refused of them. */

#include <errno.h>
#include <string.h>

#include "backend/http/target.h"
#include "tests/unit/cmocka_all.h"

static void test_good_ones(void **state)
{
	static const struct {
		const char *text, *origin, *path, *query, *unix_path, *shown;
		bool loopback, tls;
	} rows[] = {
		{"http://127.0.0.1:8080", "http://127.0.0.1:8080", "", "", NULL,
		 "http://127.0.0.1:8080", true, false},
		{"http://localhost:8080/", "http://localhost:8080", "", "", NULL,
		 "http://localhost:8080", true, false},
		{"http://[::1]:80/v1", "http://[::1]:80", "/v1", "", NULL, "http://[::1]:80", true,
		 false},
		{"https://api.example.com/v1/", "https://api.example.com", "/v1", "", NULL,
		 "https://api.example.com", false, true},
		{"https://h/v1/chat/completions?v=2", "https://h", "/v1/chat/completions", "?v=2",
		 NULL, "https://h", false, true},
		{"unix:/run/x.sock:/v1/embeddings", "http://localhost", "/v1/embeddings", "",
		 "/run/x.sock", "unix:/run/x.sock", true, false},
		{"unix:/run/x.sock", "http://localhost", "", "", "/run/x.sock", "unix:/run/x.sock",
		 true, false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(target_release) struct target t = {NULL};
		struct err e = ERR_INIT;

		if (target_parse(rows[i].text, &t, &e) < 0)
			fail_msg("%s: %s", rows[i].text, e.text);
		assert_string_equal(t.origin, rows[i].origin);
		assert_string_equal(t.path, rows[i].path);
		assert_string_equal(t.query, rows[i].query);
		assert_string_equal(t.shown, rows[i].shown);
		assert_int_equal(t.unix_path != NULL, rows[i].unix_path != NULL);
		if (t.unix_path)
			assert_string_equal(t.unix_path, rows[i].unix_path);
		assert_int_equal(t.loopback, rows[i].loopback);
		assert_int_equal(t.tls, rows[i].tls);
	}
}

static void test_bad_ones(void **state)
{
	static const struct {
		const char *why, *text, *says;
	} rows[] = {
		{"empty", "", "not a URL"},
		{"no scheme", "127.0.0.1:8080/v1", "not a URL"},
		{"another scheme", "ftp://h/x", "only http"},
		{"a file", "file:///etc/passwd", "not a URL"},
		{"a password", "http://me:hunter2@h/v1", "key_file"},
		{"a password in a broken URL", "http://me:hunter2@h:99999999/v1", "not a URL"},
		{"a space", "http://h/a b", "spaces"},
		{"a line end", "http://h/\r\nX: y", "spaces"},
		{"a fragment", "http://h/v1#x", "'#'"},
		{"a relative socket", "unix:x.sock:/v1", "begin with"},
		{"a port out of range", "http://h:99999/", "not a URL"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(target_release) struct target t = {NULL};
		struct err e = ERR_INIT;

		if (target_parse(rows[i].text, &t, &e) != -EINVAL)
			fail_msg("%s: taken", rows[i].why);
		if (!strstr(e.text, rows[i].says) || strstr(e.text, "hunter2"))
			fail_msg("%s: %s", rows[i].why, e.text);
		assert_null(t.origin);
	}
}

static void test_too_long(void **state)
{
	char text[TARGET_TEXT_MAX + 10] = "http://h/";
	CLEANUP(target_release) struct target t = {NULL};

	(void)state;
	memset(text + 9, 'x', sizeof(text) - 10);
	text[sizeof(text) - 1] = 0;
	assert_int_equal(target_parse(text, &t, NULL), -EINVAL);
}

static void test_what_is_this_machine(void **state)
{
	static const struct {
		const char *host;
		bool is;
	} rows[] = {
		{"localhost", true},
		{"LocalHost:80", true},
		{"127.0.0.1", true},
		{"127.1.2.3:9", true},
		{"[::1]", true},
		{"[::1]:80", true},
		{"", false},
		{"l", false},
		{"local:9000", false},
		{"localhost.example.com", false},
		{"localhosts:80", false},
		{"[::10]:80", false},
		{"10.127.0.1", false},
		{"s3.amazonaws.com", false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (target_is_loopback(rows[i].host) != rows[i].is)
			fail_msg("%s", rows[i].host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_ones),
		cmocka_unit_test(test_bad_ones),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_what_is_this_machine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
