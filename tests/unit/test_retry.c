/* What is asked again, after how long; and what is not. */

#include <string.h>

#include "backend/http/retry.h"
#include "fs/base/clock.h"
#include "fs/base/macros.h"
#include "tests/unit/cmocka_all.h"

static void test_classes(void **state)
{
	static const struct {
		const char *why;
		long status;
		const char *code, *should_retry;
		enum retry_class class;
	} rows[] = {
		{"a good answer", 200, NULL, NULL, RETRY_NONE},
		{"a good answer says no retry", 200, NULL, "true", RETRY_NONE},
		{"no answer", 0, NULL, NULL, RETRY_TRANSPORT},
		{"bad request", 400, "invalid_request_error", NULL, RETRY_PERMANENT},
		{"unauthorised", 401, NULL, NULL, RETRY_PERMANENT},
		{"out of money", 402, NULL, NULL, RETRY_QUOTA},
		{"forbidden", 403, NULL, NULL, RETRY_PERMANENT},
		{"no such model", 404, NULL, NULL, RETRY_PERMANENT},
		{"request timeout", 408, NULL, NULL, RETRY_TRANSIENT},
		{"conflict", 409, NULL, NULL, RETRY_TRANSIENT},
		{"too large", 413, NULL, NULL, RETRY_PERMANENT},
		{"TGI validation", 422, NULL, NULL, RETRY_PERMANENT},
		{"TGI generation", 424, NULL, NULL, RETRY_TRANSIENT},
		{"rate limit", 429, "rate_limit_exceeded", NULL, RETRY_OVERLOADED},
		{"TGI overload", 429, "overloaded", NULL, RETRY_OVERLOADED},
		{"OpenAI account is empty", 429, "insufficient_quota", NULL, RETRY_QUOTA},
		{"Anthropic account is empty", 400, "billing_error", NULL, RETRY_QUOTA},
		{"internal error", 500, NULL, NULL, RETRY_TRANSIENT},
		{"not implemented", 501, NULL, NULL, RETRY_PERMANENT},
		{"bad gateway", 502, NULL, NULL, RETRY_TRANSIENT},
		{"Ollama is full", 503, NULL, NULL, RETRY_OVERLOADED},
		{"gateway timeout", 504, NULL, NULL, RETRY_TRANSIENT},
		{"a proxy's invention", 522, NULL, NULL, RETRY_TRANSIENT},
		{"Anthropic is full", 529, "overloaded_error", NULL, RETRY_OVERLOADED},
		{"throttled, as AWS says it", 400, "ThrottlingException", NULL, RETRY_OVERLOADED},
		{"a redirect is not followed", 302, NULL, NULL, RETRY_PERMANENT},
		{"the server says try again", 400, NULL, "true", RETRY_TRANSIENT},
		{"overload stays overload", 429, NULL, "true", RETRY_OVERLOADED},
		{"the server says do not", 500, NULL, "false", RETRY_PERMANENT},
		{"the server says do not, overloaded", 429, NULL, "false", RETRY_PERMANENT},
		{"quota pauses all the same", 429, "insufficient_quota", "false", RETRY_QUOTA},
		{"a word that is neither", 500, NULL, "perhaps", RETRY_TRANSIENT},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		enum retry_class class =
			retry_classify(rows[i].status, rows[i].code, rows[i].should_retry);

		if (class != rows[i].class)
			fail_msg("%s: %s", rows[i].why, retry_class_name(class));
	}
}

/* Headers as "name: value\n" lines. */
static const char *header(void *ctx, const char *name)
{
	static char value[256];
	const char *line = ctx;

	while (line) {
		size_t size = strlen(name);

		if (strncmp(line, name, size) == 0 && line[size] == ':') {
			line += size + 2;
			snprintf(value, sizeof(value), "%.*s", (int)strcspn(line, "\n"), line);
			return value;
		}
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	return NULL;
}

/* 2026-11-21T01:37:04Z */
#define NOW_S 1795225024LL

static void test_wishes(void **state)
{
	static const struct {
		const char *why, *headers;
		int64_t ms;
	} rows[] = {
		{"nothing said", "content-type: text/html", -1},
		{"seconds", "retry-after: 12", 12000},
		{"none", "retry-after: 0", 0},
		{"seconds with a fraction", "retry-after: 0.5", 500},
		{"rounded up", "retry-after: 0.0001", 1},
		{"milliseconds", "retry-after-ms: 1500.5", 1501},
		{"milliseconds go first", "retry-after: 9\nretry-after-ms: 20", 20},
		{"an HTTP date", "retry-after: Sat, 21 Nov 2026 01:37:34 GMT", 30000},
		{"an HTTP date in the old form", "retry-after: Saturday, 21-Nov-26 01:37:34 GMT",
		 30000},
		{"a date gone by is ignored", "retry-after: Sat, 21 Nov 2026 01:36:34 GMT", -1},
		{"a negative number is ignored", "retry-after: -5", -1},
		{"nonsense is ignored", "retry-after: soon", -1},
		{"a number with a tail is ignored", "retry-after: 12abc", -1},
		{"not a number at all", "retry-after: nan", -1},
		{"empty", "retry-after: ", -1},
		{"nonsense, then the next header", "retry-after: soon\nx-amz-retry-after: 70", 70},
		{"AWS counts milliseconds", "x-amz-retry-after: 1500", 1500},
		{"ten minutes at most", "retry-after: 86400", RETRY_WISH_MAX_MS},
		{"a number beyond all numbers", "retry-after: 99999999999999999999999999",
		 RETRY_WISH_MAX_MS},
		{"a date in a far year", "retry-after: Sat, 21 Nov 2150 01:37:34 GMT",
		 RETRY_WISH_MAX_MS},
		{"Go: seconds", "x-ratelimit-reset-requests: 1s", 1000},
		{"Go: milliseconds", "x-ratelimit-reset-tokens: 250ms", 250},
		{"Go: mixed", "x-ratelimit-reset-tokens: 6m0s", 360000},
		{"Go: fraction", "x-ratelimit-reset-tokens: 1m2.5s", 62500},
		{"Go: no unit", "x-ratelimit-reset-tokens: 7", 7000},
		{"Go: small units", "x-ratelimit-reset-tokens: 1s2ms3us4ns", 1003},
		{"Go: nonsense", "x-ratelimit-reset-tokens: 1x", -1},
		{"Go: a unit without a number", "x-ratelimit-reset-tokens: s", -1},
		{"Go: a number at the end", "x-ratelimit-reset-tokens: 1s5", -1},
		{"the first to reset",
		 "x-ratelimit-reset-requests: 2s\nx-ratelimit-reset-tokens: 6m0s", 2000},
		{"the one with nothing left",
		 "x-ratelimit-reset-requests: 2s\nx-ratelimit-remaining-requests: 5\n"
		 "x-ratelimit-reset-tokens: 9s\nx-ratelimit-remaining-tokens: 0",
		 9000},
		{"Anthropic: an instant", "anthropic-ratelimit-tokens-reset: 2026-11-21T01:37:09Z",
		 5000},
		{"Anthropic: with a zone",
		 "anthropic-ratelimit-tokens-reset: 2026-11-21T02:37:09.5+01:00", 5500},
		{"Anthropic: gone by", "anthropic-ratelimit-tokens-reset: 2026-11-21T01:37:00Z",
		 -1},
		{"Anthropic: cut short", "anthropic-ratelimit-tokens-reset: 2026-11-21T01:37", -1},
		{"Anthropic: nothing left of two",
		 "anthropic-ratelimit-requests-reset: 2026-11-21T01:37:06Z\n"
		 "anthropic-ratelimit-requests-remaining: 0\n"
		 "anthropic-ratelimit-output-tokens-reset: 2026-11-21T01:37:10Z\n"
		 "anthropic-ratelimit-output-tokens-remaining: 0",
		 6000},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char headers[512];
		int64_t ms;

		snprintf(headers, sizeof(headers), "%s", rows[i].headers);
		ms = retry_wish_ms(header, headers, NOW_S * NS_PER_S);
		if (ms != rows[i].ms)
			fail_msg("%s: %lld", rows[i].why, (long long)ms);
	}
}

static void test_backoff_stays_below_its_top(void **state)
{
	static const struct {
		unsigned failures;
		int64_t top;
	} rows[] = {{0, 500}, {1, 1000}, {2, 2000}, {5, 16000}, {6, 30000}, {4000000000u, 30000}};
	uint64_t seed = 7;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		int64_t low = rows[i].top, high = 0;

		for (int n = 0; n < 500; n++) {
			int64_t ms = retry_backoff_ms(rows[i].failures, &seed);

			assert_in_range(ms, 0, rows[i].top);
			low = ms < low ? ms : low;
			high = ms > high ? ms : high;
		}
		/* Spread over the whole range, not near its top. */
		assert_true(low < rows[i].top / 10);
		assert_true(high > rows[i].top - rows[i].top / 10);
	}
}

static void test_same_seed_same_waits(void **state)
{
	uint64_t a = 42, b = 42, c = 43;
	int differ = 0;

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		int64_t ms = retry_backoff_ms(i, &a);

		assert_int_equal(ms, retry_backoff_ms(i, &b));
		differ += ms != retry_backoff_ms(i, &c);
	}
	assert_true(differ > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_classes),
		cmocka_unit_test(test_wishes),
		cmocka_unit_test(test_backoff_stays_below_its_top),
		cmocka_unit_test(test_same_seed_same_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
