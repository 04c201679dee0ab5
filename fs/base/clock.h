#ifndef FS_BASE_CLOCK_H
#define FS_BASE_CLOCK_H

/*
 * Where time comes from.  Deadlines use the monotonic time; wall time is only
 * for showing, signing and files' times.  Tests hand in a clock they turn by
 * hand, so that nothing in them waits.  Nanoseconds throughout.
 */

#include <stdint.h>

#define NS_PER_S  1000000000LL
#define NS_PER_MS 1000000LL

struct clock {
	int64_t (*mono_ns)(struct clock *c);
	int64_t (*wall_ns)(struct clock *c);
	int64_t now_mono_ns, now_wall_ns; /* of a clock turned by hand */
};

/* The machine's clock; a constant, shared, thread-safe. */
struct clock *clock_system(void);

/* A clock that stands still until its now_* members are changed. */
void clock_init_manual(struct clock *c, int64_t mono_ns, int64_t wall_ns);

static inline int64_t clock_mono_ns(struct clock *c)
{
	return c->mono_ns(c);
}

static inline int64_t clock_wall_ns(struct clock *c)
{
	return c->wall_ns(c);
}

#define CLOCK_TEXT_MAX 32

/* "2026-11-21T01:37:04Z" (RFC 3339, UTC), into out; returns out. */
const char *clock_format_utc(int64_t wall_ns, char out[CLOCK_TEXT_MAX]);

#endif
