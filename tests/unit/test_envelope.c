/* Result lines: both forms of an error, any order of members, and lines that
 * are none. */

#include "backend/envelope.h"

#include <errno.h>
#include <string.h>

#include "tests/unit/cmocka_all.h"

static const struct {
	const char *why, *line, *id;
	bool good;
	const char *code, *message;
	bool retryable;
} lines[] = {
	{"a good one", "{\"modelInput\":{\"a\":1},\"modelOutput\":{\"b\":2},\"recordId\":\"r1\"}",
	 "\"r1\"", true, "Unknown", "", false},
	{"any order, white space",
	 " { \"recordId\" : \"r1\" , \"modelOutput\" : { } , \"modelInput\" : {} } ", "\"r1\"",
	 true, "Unknown", "", false},
	{"a null error is none", "{\"error\":null,\"modelOutput\":{},\"recordId\":\"r1\"}",
	 "\"r1\"", true, "Unknown", "", false},
	{"null codes in the output are none",
	 "{\"modelOutput\":{\"errorCode\":null,\"errorMessage\":null,\"x\":1},"
	 "\"recordId\":\"r1\"}",
	 "\"r1\"", true, "Unknown", "", false},
	{"form A",
	 "{\"modelInput\":{},\"error\":{\"errorCode\":400,\"errorMessage\":\"no \\\"x\\\"\"},"
	 "\"recordId\":\"r2\"}",
	 "\"r2\"", false, "400", "no \"x\"", false},
	{"form A, a string, retryable, id first",
	 "{\"recordId\":\"r2\",\"error\":{\"errorCode\":\"ThrottlingException\","
	 "\"errorMessage\":\"slow down\",\"expired\":false,\"retryable\":true}}",
	 "\"r2\"", false, "ThrottlingException", "slow down", true},
	{"form B",
	 "{\"recordId\":\"r3\",\"modelInput\":{},\"modelOutput\":{\"errorCode\":400,"
	 "\"errorMessage\":\"bad\",\"expired\":false,\"retryable\":false}}",
	 "\"r3\"", false, "400", "bad", false},
	{"form B with a message only",
	 "{\"modelOutput\":{\"errorMessage\":\"bad\",\"retryable\":true},\"recordId\":\"r3\"}",
	 "\"r3\"", false, "Unknown", "bad", true},
	{"form A wins over an output",
	 "{\"modelOutput\":{\"x\":1},\"error\":{\"errorCode\":500,\"errorMessage\":\"m\"},"
	 "\"recordId\":\"r\"}",
	 "\"r\"", false, "500", "m", false},
	{"an error that says nothing", "{\"error\":{},\"recordId\":\"r\"}", "\"r\"", false,
	 "Unknown", "", false},
	{"an error that is a word", "{\"error\":\"boom\",\"recordId\":\"r\"}", "\"r\"", false,
	 "Unknown", "boom", false},
	{"an empty code", "{\"error\":{\"errorCode\":\"\"},\"recordId\":\"r\"}", "\"r\"", false,
	 "Unknown", "", false},
	{"neither error nor output", "{\"recordId\":\"r\"}", "\"r\"", false, "Unknown", "", false},
	{"a null output", "{\"modelOutput\":null,\"recordId\":\"r\"}", "\"r\"", false, "Unknown",
	 "", false},
	{"an output that is no object", "{\"modelOutput\":\"text\",\"recordId\":\"r\"}", "\"r\"",
	 false, "Unknown", "", false},
	{"of two ids the first", "{\"recordId\":\"a\",\"recordId\":\"b\",\"modelOutput\":{}}",
	 "\"a\"", true, "Unknown", "", false},
	{"names are compared decoded", "{\"record\\u0049d\":\"a\",\"modelOutput\":{}}", "\"a\"",
	 true, "Unknown", "", false},
};

static void test_lines(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(lines); i++) {
		CLEANUP(buf_release) struct buf code;
		CLEANUP(buf_release) struct buf message;
		struct envelope v;

		buf_init(&code, 1000);
		buf_init(&message, 1000);
		if (envelope_parse(lines[i].line, strlen(lines[i].line), &v) < 0)
			fail_msg("%s: refused", lines[i].why);
		envelope_code(&v, &code);
		envelope_message(&v, &message);
		if (v.id.size != strlen(lines[i].id) ||
		    memcmp(v.id.at, lines[i].id, v.id.size) != 0)
			fail_msg("%s: id", lines[i].why);
		if (v.good != lines[i].good || v.retryable != lines[i].retryable ||
		    strcmp(code.data, lines[i].code) != 0 ||
		    strcmp(message.data, lines[i].message) != 0)
			fail_msg("%s: %d %s %s", lines[i].why, v.good, code.data, message.data);
	}
}

static void test_lines_that_are_none(void **state)
{
	static const struct {
		const char *why, *line;
	} rows[] = {
		{"empty", ""},
		{"not JSON", "Traceback (most recent call last):"},
		{"an array", "[{\"recordId\":\"r\"}]"},
		{"no id", "{\"modelOutput\":{}}"},
		{"a null id", "{\"recordId\":null,\"modelOutput\":{}}"},
		{"a number for an id", "{\"recordId\":7,\"modelOutput\":{}}"},
		{"torn in a value", "{\"recordId\":\"r\",\"modelOutput\":{\"a\":\"b"},
		{"torn after a value", "{\"recordId\":\"r\",\"modelOutput\":{\"a\":{}}"},
		{"torn after a comma", "{\"recordId\":\"r\",\"modelOutput\":{},"},
		{"torn in a name", "{\"recordId\":\"r\",\"modelOutput\":{},\"mod"},
		{"two objects in a line", "{\"recordId\":\"r\"}{\"recordId\":\"s\"}"},
		{"something behind it", "{\"recordId\":\"r\"} x"},
		{"brackets that do not match", "{\"recordId\":\"r\",\"modelOutput\":{\"a\":[}}"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct envelope v;

		if (envelope_parse(rows[i].line, strlen(rows[i].line), &v) != -EINVAL)
			fail_msg("%s: taken", rows[i].why);
	}
}

#define FORM_A(members) "{\"modelInput\":{},\"error\":{" members "},\"recordId\":\"r\"}"
#define FORM_B(members) "{\"recordId\":\"r\",\"modelOutput\":{" members "}}"

static void test_what_may_go_better(void **state)
{
	static const struct {
		const char *why, *line;
		bool want;
	} rows[] = {
		{"a good one needs nothing", FORM_B("\"text\":\"429\""), false},
		{"the provider says so", FORM_A("\"errorCode\":400,\"retryable\":true"), true},
		{"in form B too", FORM_B("\"errorCode\":400,\"retryable\":true"), true},
		{"it was not run in time",
		 FORM_B("\"errorCode\":400,\"expired\":true,\"retryable\":false"), true},
		{"in form A too", FORM_A("\"errorMessage\":\"late\",\"expired\":true"), true},
		{"input validation, as providers write it",
		 FORM_B("\"errorCode\":400,\"errorMessage\":\"bad\",\"expired\":false,"
			"\"retryable\":false"),
		 false},
		{"what the provider rules out, whatever the code",
		 FORM_A("\"errorCode\":500,\"retryable\":false"), false},
		{"null says nothing", FORM_A("\"errorCode\":500,\"retryable\":null"), true},
		{"a word is no boolean", FORM_A("\"errorCode\":400,\"retryable\":\"true\""), false},
		{"400", FORM_A("\"errorCode\":400"), false},
		{"403", FORM_A("\"errorCode\":403"), false},
		{"404", FORM_A("\"errorCode\":404"), false},
		{"408", FORM_A("\"errorCode\":408"), true},
		{"413", FORM_A("\"errorCode\":413"), false},
		{"424: the model refused this record", FORM_A("\"errorCode\":424"), false},
		{"429", FORM_A("\"errorCode\":429"), true},
		{"429 in form B", FORM_B("\"errorCode\":429,\"errorMessage\":\"m\""), true},
		{"429 as a string", FORM_A("\"errorCode\":\"429\""), true},
		{"500", FORM_A("\"errorCode\":500"), true},
		{"501", FORM_A("\"errorCode\":501"), false},
		{"502", FORM_A("\"errorCode\":502"), true},
		{"503", FORM_A("\"errorCode\":503"), true},
		{"504", FORM_A("\"errorCode\":504"), true},
		{"529", FORM_A("\"errorCode\":529"), true},
		{"a number that only begins so", FORM_A("\"errorCode\":4290"), false},
		{"ThrottlingException", FORM_A("\"errorCode\":\"ThrottlingException\""), true},
		{"ModelTimeoutException", FORM_B("\"errorCode\":\"ModelTimeoutException\""), true},
		{"InternalServerException", FORM_A("\"errorCode\":\"InternalServerException\""),
		 true},
		{"ServiceUnavailableException",
		 FORM_A("\"errorCode\":\"ServiceUnavailableException\""), true},
		{"the runtime's members begin in lower case",
		 FORM_A("\"errorCode\":\"throttlingException\""), true},
		{"ModelNotReadyException", FORM_A("\"errorCode\":\"ModelNotReadyException\""),
		 true},
		{"ValidationException", FORM_A("\"errorCode\":\"ValidationException\""), false},
		{"AccessDeniedException", FORM_A("\"errorCode\":\"AccessDeniedException\""), false},
		{"a full quota is no matter of moments",
		 FORM_A("\"errorCode\":\"ServiceQuotaExceededException\""), false},
		{"no code", FORM_A("\"errorMessage\":\"boom\""), false},
		{"an error that is a word", "{\"error\":\"429\",\"recordId\":\"r\"}", false},
		{"neither error nor output", "{\"recordId\":\"r\"}", false},
		{"a code that never ends",
		 FORM_A("\"errorCode\":\"429429429429429429429429429429429429429429429429429429429429"
			"429429\""),
		 false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct envelope v;

		if (envelope_parse(rows[i].line, strlen(rows[i].line), &v) < 0)
			fail_msg("%s: refused", rows[i].why);
		if (envelope_is_retryable(&v) != rows[i].want)
			fail_msg("%s", rows[i].why);
	}
}

static struct jsonspan span(const char *json)
{
	return jsonspan_of(json, strlen(json));
}

static void test_writing(void **state)
{
	CLEANUP(buf_release) struct buf out;

	(void)state;
	buf_init(&out, 1000);
	envelope_write_good(&out, "a\"b", 3, span("{\"p\":\n1}"), "{\r\n\"x\": 1}", 10);
	assert_string_equal(out.data, "{\"modelInput\":{\"p\": 1},\"modelOutput\":{  \"x\": 1},"
				      "\"recordId\":\"a\\\"b\"}\n");
	buf_clear(&out);
	envelope_write_error(&out, "r", 1, span("{}"), "400", "line one\nline two", false);
	assert_string_equal(out.data,
			    "{\"modelInput\":{},\"error\":{\"errorCode\":400,"
			    "\"errorMessage\":\"line one\\nline two\"},\"recordId\":\"r\"}\n");
	buf_clear(&out);
	envelope_write_error(&out, "r", 1, (struct jsonspan){NULL, 0}, "Missing", "m", true);
	assert_string_equal(out.data,
			    "{\"error\":{\"errorCode\":\"Missing\",\"errorMessage\":\"m\","
			    "\"retryable\":true},\"recordId\":\"r\"}\n");
	buf_clear(&out);
	envelope_write_error(&out, "r", 1, (struct jsonspan){NULL, 0}, "007", "", false);
	assert_non_null(strstr(out.data, "\"errorCode\":\"007\""));
}

static void test_what_is_written_is_read(void **state)
{
	CLEANUP(buf_release) struct buf line;
	CLEANUP(buf_release) struct buf code;
	CLEANUP(buf_release) struct buf message;
	CLEANUP(buf_release) struct buf id;
	struct envelope v;

	(void)state;
	buf_init(&line, 1000);
	buf_init(&code, 1000);
	buf_init(&message, 1000);
	buf_init(&id, 1000);
	envelope_write_error(&line, "\xc3\xa4/\n", 4, span("{\"a\":[]}"), "503", "busy", true);
	assert_int_equal(envelope_parse(line.data, line.size - 1, &v), 0);
	assert_false(v.good);
	assert_true(v.retryable);
	envelope_code(&v, &code);
	envelope_message(&v, &message);
	assert_true(jsonspan_string(v.id, &id));
	assert_string_equal(code.data, "503");
	assert_string_equal(message.data, "busy");
	assert_string_equal(id.data, "\xc3\xa4/\n");
	assert_int_equal(v.input.size, 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_lines_that_are_none),
		cmocka_unit_test(test_what_may_go_better),
		cmocka_unit_test(test_writing),
		cmocka_unit_test(test_what_is_written_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
