#include "backend/http/retry.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stdbool.h>
#include <string.h>

#include "fs/base/clock.h"
#include "fs/base/macros.h"

/*
 * Numbers in headers come from anywhere, so they are read digit by digit into
 * microseconds with a ceiling, rather than by strtod: no locale, no infinity,
 * no overflow, and "12abc" is no number.
 */

#define US_PER_MS  1000LL
#define US_PER_S   1000000LL
#define US_CEILING (400LL * 24 * 3600 * US_PER_S) /* more than a year is just "long" */

static const char *const class_names[] = {
	[RETRY_NONE] = "good",
	[RETRY_TRANSPORT] = "transport",
	[RETRY_OVERLOADED] = "overloaded",
	[RETRY_TRANSIENT] = "transient",
	[RETRY_QUOTA] = "quota",
	[RETRY_PERMANENT] = "permanent",
};

const char *retry_class_name(enum retry_class c)
{
	return class_names[c];
}

static const struct {
	long status;
	enum retry_class class;
} by_status[] = {
	{402, RETRY_QUOTA},	{408, RETRY_TRANSIENT},	 {409, RETRY_TRANSIENT},
	{424, RETRY_TRANSIENT}, {425, RETRY_TRANSIENT},	 {429, RETRY_OVERLOADED},
	{500, RETRY_TRANSIENT}, {502, RETRY_TRANSIENT},	 {503, RETRY_OVERLOADED},
	{504, RETRY_TRANSIENT}, {529, RETRY_OVERLOADED},
};

/* Words that say more than the status they come with. */
static const struct {
	const char *code;
	enum retry_class class;
} by_code[] = {
	{"insufficient_quota", RETRY_QUOTA},
	{"billing_error", RETRY_QUOTA},
	{"billing_hard_limit_reached", RETRY_QUOTA},
	{"ThrottlingException", RETRY_OVERLOADED},
	{"ModelNotReadyException", RETRY_OVERLOADED},
	{"ServiceUnavailableException", RETRY_OVERLOADED},
	{"overloaded_error", RETRY_OVERLOADED},
	{"rate_limit_error", RETRY_OVERLOADED},
};

static enum retry_class class_of(long status, const char *code)
{
	for (size_t i = 0; code && i < COUNT_OF(by_code); i++)
		if (strcasecmp(code, by_code[i].code) == 0)
			return by_code[i].class;
	for (size_t i = 0; i < COUNT_OF(by_status); i++)
		if (status == by_status[i].status)
			return by_status[i].class;
	/* 5xx we have no row for: 501 and 505 will not change their mind, the
	 * rest are the inventions of proxies (520 to 527), and those do. */
	return status >= 506 && status <= 599 ? RETRY_TRANSIENT : RETRY_PERMANENT;
}

enum retry_class retry_classify(long status, const char *code, const char *should_retry)
{
	enum retry_class class;

	if (status >= 200 && status <= 299)
		return RETRY_NONE;
	if (status <= 0)
		return RETRY_TRANSPORT;
	class = class_of(status, code);
	/* Quota is not retried in either case: it pauses. */
	if (!should_retry || class == RETRY_QUOTA)
		return class;
	if (strcasecmp(should_retry, "true") == 0)
		return class == RETRY_PERMANENT ? RETRY_TRANSIENT : class;
	if (strcasecmp(should_retry, "false") == 0)
		return RETRY_PERMANENT;
	return class;
}

/* Reads "12" or "12.5" at *s in units of unit_us, and moves *s behind it. */
static bool read_number(const char **s, int64_t unit_us, int64_t *ret_us)
{
	int64_t whole = 0, part = 0, scale = unit_us;
	const char *p = *s;
	bool digits = false;

	for (; *p >= '0' && *p <= '9'; p++, digits = true)
		whole = whole > US_CEILING / 10 ? US_CEILING : whole * 10 + (*p - '0');
	if (*p == '.')
		for (p++; *p >= '0' && *p <= '9'; p++, digits = true) {
			scale /= 10;
			part += scale * (*p - '0');
		}
	if (!digits)
		return false;
	*ret_us = whole > US_CEILING / unit_us ? US_CEILING : whole * unit_us + part;
	*s = p;
	return true;
}

static bool parse_number(const char *s, int64_t unit_us, int64_t *ret_us)
{
	int64_t us;

	if (!read_number(&s, unit_us, &us) || *s)
		return false;
	*ret_us = us;
	return true;
}

static bool parse_http_date(const char *s, int64_t wall_ns, int64_t *ret_us)
{
	time_t at;

	/* All three forms of an HTTP date begin with the name of a day. */
	if (!isalpha((unsigned char)*s))
		return false;
	at = curl_getdate(s, NULL);
	if (at < 0 || at > INT32_MAX * 4LL)
		return false;
	*ret_us = at * US_PER_S - wall_ns / 1000;
	return true;
}

/* "1h2m3.5s", "250ms", "6m0s"; a bare number counts as seconds. */
static bool parse_go_duration(const char *s, int64_t *ret_us)
{
	static const struct {
		const char *name;
		int64_t us;
	} units[] = {
		{"ms", US_PER_MS},	{"us", 1},
		{"\xc2\xb5s", 1},	{"ns", 0},
		{"h", 3600 * US_PER_S}, {"m", 60 * US_PER_S},
		{"s", US_PER_S},
	};
	int64_t total = 0, us = 0;

	if (parse_number(s, US_PER_S, ret_us))
		return true;
	if (!*s)
		return false;
	while (*s) {
		const char *unit = s + strspn(s, "0123456789.");
		size_t i = 0;

		while (i < COUNT_OF(units) &&
		       strncmp(unit, units[i].name, strlen(units[i].name)) != 0)
			i++;
		if (i == COUNT_OF(units))
			return false;
		if (units[i].us && (!read_number(&s, units[i].us, &us) || s != unit))
			return false;
		total += units[i].us ? us : 0;
		total = total > US_CEILING ? US_CEILING : total;
		s = unit + strlen(units[i].name);
	}
	*ret_us = total;
	return true;
}

static bool digits_at(const char *s, size_t count, int *ret)
{
	int n = 0;

	for (size_t i = 0; i < count; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		n = n * 10 + (s[i] - '0');
	}
	*ret = n;
	return true;
}

/* The "Z" or "+01:00" that ends an RFC 3339 time, in seconds east. */
static bool parse_zone(const char *s, int *ret_s)
{
	int hours, minutes;

	*ret_s = 0;
	if ((*s == 'Z' || *s == 'z') && !s[1])
		return true;
	if ((*s != '+' && *s != '-') || strlen(s) != 6 || s[3] != ':' ||
	    !digits_at(s + 1, 2, &hours) || !digits_at(s + 4, 2, &minutes))
		return false;
	*ret_s = (hours * 3600 + minutes * 60) * (*s == '-' ? -1 : 1);
	return true;
}

/* "2026-11-21T01:37:04.5+00:00". */
static bool parse_rfc3339(const char *s, int64_t wall_ns, int64_t *ret_us)
{
	struct tm tm = {0};
	int64_t part_us = 0;
	int zone_s;
	const char *p;

	if (strnlen(s, 20) < 20 || s[4] != '-' || s[7] != '-' || !strchr("Tt ", s[10]) ||
	    s[13] != ':' || s[16] != ':')
		return false;
	if (!digits_at(s, 4, &tm.tm_year) || !digits_at(s + 5, 2, &tm.tm_mon) ||
	    !digits_at(s + 8, 2, &tm.tm_mday) || !digits_at(s + 11, 2, &tm.tm_hour) ||
	    !digits_at(s + 14, 2, &tm.tm_min) || !digits_at(s + 17, 2, &tm.tm_sec))
		return false;
	p = s + 19;
	if (*p == '.' && !read_number(&p, US_PER_S, &part_us))
		return false;
	if (!parse_zone(p, &zone_s))
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	*ret_us = (timegm(&tm) - zone_s) * US_PER_S + part_us - wall_ns / 1000;
	return true;
}

/* A family of limits, each with what remains of it and when it is whole again. */
struct limit {
	const char *remaining, *reset;
};

static const struct limit openai_limits[] = {
	{"x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"},
	{"x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"},
};

static const struct limit anthropic_limits[] = {
	{"anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"},
	{"anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"},
	{"anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset"},
	{"anthropic-ratelimit-output-tokens-remaining", "anthropic-ratelimit-output-tokens-reset"},
};

/* A reset of either family: a duration or an instant; the two cannot be mistaken. */
static bool parse_reset(const char *s, int64_t wall_ns, int64_t *ret_us)
{
	return parse_rfc3339(s, wall_ns, ret_us) || parse_go_duration(s, ret_us);
}

static bool limits_wish_us(const struct limit *limits, size_t count, retry_header_fn *header,
			   void *ctx, int64_t wall_ns, int64_t *ret_us)
{
	int64_t latest_empty = -1, first = -1;

	for (size_t i = 0; i < count; i++) {
		const char *reset = header(ctx, limits[i].reset);
		int64_t us, left;

		if (!reset || !parse_reset(reset, wall_ns, &us) || us < 0)
			continue;
		if (first < 0 || us < first)
			first = us;
		reset = header(ctx, limits[i].remaining);
		if (reset && parse_number(reset, US_PER_S, &left) && left == 0 && us > latest_empty)
			latest_empty = us;
	}
	*ret_us = latest_empty >= 0 ? latest_empty : first;
	return *ret_us >= 0;
}

static bool wish_us(retry_header_fn *header, void *ctx, int64_t wall_ns, int64_t *ret_us)
{
	const char *s;

	s = header(ctx, "retry-after-ms");
	if (s && parse_number(s, US_PER_MS, ret_us))
		return true;
	s = header(ctx, "retry-after");
	if (s && (parse_number(s, US_PER_S, ret_us) || parse_http_date(s, wall_ns, ret_us)) &&
	    *ret_us >= 0)
		return true;
	s = header(ctx, "x-amz-retry-after");
	if (s && parse_number(s, US_PER_MS, ret_us))
		return true;
	return limits_wish_us(openai_limits, COUNT_OF(openai_limits), header, ctx, wall_ns,
			      ret_us) ||
	       limits_wish_us(anthropic_limits, COUNT_OF(anthropic_limits), header, ctx, wall_ns,
			      ret_us);
}

int64_t retry_wish_ms(retry_header_fn *header, void *ctx, int64_t wall_ns)
{
	int64_t us, ms;

	if (!wish_us(header, ctx, wall_ns, &us))
		return -1;
	/* Rounded up: a little early is a second refusal. */
	ms = (us + US_PER_MS - 1) / US_PER_MS;
	return ms < RETRY_WISH_MAX_MS ? ms : RETRY_WISH_MAX_MS;
}

/* SplitMix64 (Steele, Lea, Flood, 2014): enough to spread retries out. */
uint64_t retry_random(uint64_t *seed)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

int64_t retry_backoff_ms(unsigned failures, uint64_t *seed)
{
	int64_t top = RETRY_BACKOFF_BASE_MS;

	for (unsigned i = 0; i < failures && top < RETRY_BACKOFF_CAP_MS; i++)
		top *= 2;
	if (top > RETRY_BACKOFF_CAP_MS)
		top = RETRY_BACKOFF_CAP_MS;
	return (int64_t)(retry_random(seed) % (uint64_t)(top + 1));
}
