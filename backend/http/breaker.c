#include "backend/http/breaker.h"

#include <string.h>

#include "fs/base/clock.h"

static const struct {
	unsigned in_a_row;
	int64_t first_ns, most_ns;
} rules[BREAKER_CAUSE_COUNT] = {
	[BREAKER_CONNECT] = {BREAKER_IN_A_ROW, 1 * NS_PER_S, 30 * NS_PER_S},
	[BREAKER_LOST] = {BREAKER_IN_A_ROW, 1 * NS_PER_S, 30 * NS_PER_S},
	[BREAKER_REFUSED] = {1, 2 * NS_PER_S, 60 * NS_PER_S},
	[BREAKER_QUOTA] = {1, 30 * NS_PER_S, 600 * NS_PER_S},
};

void breaker_init(struct breaker *b)
{
	memset(b, 0, sizeof(*b));
}

bool breaker_works(struct breaker *b)
{
	bool was_open = b->cause != BREAKER_CLOSED;

	breaker_init(b);
	return was_open;
}

bool breaker_fails(struct breaker *b, enum breaker_cause cause, int64_t sent_mono_ns,
		   int64_t now_mono_ns)
{
	if (b->cause == BREAKER_CLOSED) {
		if (++b->in_a_row_ < rules[cause].in_a_row)
			return false;
		b->cause = cause;
		b->opened_mono_ns_ = now_mono_ns;
		b->delay_ns_ = rules[cause].first_ns;
	} else {
		if (sent_mono_ns < b->opened_mono_ns_)
			return true;
		b->delay_ns_ = cause == b->cause ? b->delay_ns_ * 2 : rules[cause].first_ns;
		b->cause = cause;
		if (b->delay_ns_ > rules[cause].most_ns)
			b->delay_ns_ = rules[cause].most_ns;
	}
	b->probe_mono_ns = now_mono_ns + b->delay_ns_;
	return true;
}
