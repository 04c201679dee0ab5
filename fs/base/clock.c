#include "fs/base/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static int64_t system_mono_ns(struct clock *c)
{
	(void)c;
	return read_clock(CLOCK_MONOTONIC);
}

static int64_t system_wall_ns(struct clock *c)
{
	(void)c;
	return read_clock(CLOCK_REALTIME);
}

static int64_t manual_mono_ns(struct clock *c)
{
	return c->now_mono_ns;
}

static int64_t manual_wall_ns(struct clock *c)
{
	return c->now_wall_ns;
}

struct clock *clock_system(void)
{
	static struct clock system_clock = {.mono_ns = system_mono_ns, .wall_ns = system_wall_ns};

	return &system_clock;
}

void clock_init_manual(struct clock *c, int64_t mono_ns, int64_t wall_ns)
{
	*c = (struct clock){.mono_ns = manual_mono_ns,
			    .wall_ns = manual_wall_ns,
			    .now_mono_ns = mono_ns,
			    .now_wall_ns = wall_ns};
}

const char *clock_format_utc(int64_t wall_ns, char out[CLOCK_TEXT_MAX])
{
	time_t s = (time_t)(wall_ns / NS_PER_S);
	struct tm tm;

	if (!gmtime_r(&s, &tm) || !strftime(out, CLOCK_TEXT_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm))
		snprintf(out, CLOCK_TEXT_MAX, "?");
	return out;
}
