#include "backend/local/feed.h"

#include <poll.h>

#define WAIT_MAX_MS 60000

bool feed_is_cancelled(const struct feed *f)
{
	struct pollfd p = {.fd = f->cancel_fd, .events = POLLIN};

	return poll(&p, 1, 0) > 0;
}

bool feed_wait(struct feed *f, struct clock *clock, int64_t until_mono_ns)
{
	for (;;) {
		struct pollfd p = {.fd = f->cancel_fd, .events = POLLIN};
		int64_t left = until_mono_ns - clock_mono_ns(clock);
		int64_t ms = (left + NS_PER_MS - 1) / NS_PER_MS;
		int tick;

		if (left <= 0)
			return feed_is_cancelled(f);
		tick = feed_tick(f);
		if (ms > WAIT_MAX_MS)
			ms = WAIT_MAX_MS;
		if (tick >= 0 && tick < ms)
			ms = tick;
		if (poll(&p, 1, (int)ms) > 0)
			return true;
	}
}
