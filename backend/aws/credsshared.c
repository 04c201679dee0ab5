#include <ctype.h>
#include <string.h>
#include <time.h>

#include "backend/aws/creds_private.h"

#define YEAR_MIN 1970

/* count digits at *at, which moves on. */
static bool digits(const char **at, int count, int *ret)
{
	int n = 0;

	for (; count > 0; count--, (*at)++) {
		if (!isdigit((unsigned char)**at))
			return false;
		n = n * 10 + (**at - '0');
	}
	*ret = n;
	return true;
}

static bool literal(const char **at, char c)
{
	return *(*at)++ == c;
}

static bool fraction(const char **at, int64_t *ret_ns)
{
	int64_t unit = NS_PER_S / 10;

	if (**at != '.')
		return true;
	(*at)++;
	if (!isdigit((unsigned char)**at))
		return false;
	for (; isdigit((unsigned char)**at); (*at)++, unit /= 10) {
		if (unit == 0)
			return false;
		*ret_ns += unit * (**at - '0');
	}
	return true;
}

static bool zone(const char **at, int64_t *ret_s)
{
	int sign = **at == '-' ? -1 : 1, hours, minutes;

	if (strcmp(*at, "Z") == 0 || strcmp(*at, "z") == 0 || strcmp(*at, "UTC") == 0)
		return true;
	if (**at != '+' && **at != '-')
		return false;
	(*at)++;
	if (!digits(at, 2, &hours))
		return false;
	if (**at == ':')
		(*at)++;
	if (!digits(at, 2, &minutes) || hours > 23 || minutes > 59 || **at)
		return false;
	*ret_s = sign * (hours * 3600 + minutes * 60);
	return true;
}

bool creds_parse_time(const char *text, int64_t *ret_wall_ns)
{
	struct tm tm = {.tm_isdst = 0};
	int64_t ns = 0, offset_s = 0;
	int year, month;

	if (!digits(&text, 4, &year) || !literal(&text, '-') || !digits(&text, 2, &month) ||
	    !literal(&text, '-') || !digits(&text, 2, &tm.tm_mday))
		return false;
	if (*text != 'T' && *text != 't' && *text != ' ')
		return false;
	text++;
	if (!digits(&text, 2, &tm.tm_hour) || !literal(&text, ':') ||
	    !digits(&text, 2, &tm.tm_min) || !literal(&text, ':') || !digits(&text, 2, &tm.tm_sec))
		return false;
	if (!fraction(&text, &ns) || !zone(&text, &offset_s))
		return false;
	if (year < YEAR_MIN || month < 1 || month > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
	    tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
		return false;
	/* Beyond what 64 bits of nanoseconds hold (2262): for ever. */
	if (year > 2261)
		year = 2261;
	tm.tm_year = year - 1900;
	tm.tm_mon = month - 1;
	*ret_wall_ns = ((int64_t)timegm(&tm) - offset_s) * NS_PER_S + ns;
	return true;
}
