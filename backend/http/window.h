#ifndef BACKEND_HTTP_WINDOW_H
#define BACKEND_HTTP_WINDOW_H

/*
 * How many requests may be in flight to one server: found out by trying
 * (additive increase, multiplicative decrease, as TCP does).
 *
 *	start	min(4, max)
 *	+1	after as many good answers as the window is wide
 *	/2	on an answer that says "overloaded", but once per round trip:
 *		requests sent before the last cut tell nothing new
 *	/2	when answers take twice as long as the best seen, for servers
 *		that queue without bound and never say no; not below the start
 *
 * If a cut for slowness does not make answers faster, the work has become
 * heavier and not the queue longer, and the new speed is the measure.
 *
 * Pure: time comes in as monotonic nanoseconds.  Not thread-safe.
 */

#include <stdint.h>

#define WINDOW_START   4
#define WINDOW_SAMPLES 16 /* answers to a median */

struct window {
	unsigned size; /* how many may be in flight now */
	/* private */
	unsigned max_, good_;
	int64_t cut_mono_ns_; /* of the last cut */
	int64_t samples_[WINDOW_SAMPLES];
	unsigned sample_count_;
	int64_t best_ns_;	/* lowest median so far; 0: none */
	int64_t before_cut_ns_; /* median that led to a cut for slowness; 0: none pending */
};

/* max: at least 1. */
void window_init(struct window *w, unsigned max);

/* A good answer to a request sent then. */
void window_good(struct window *w, int64_t sent_mono_ns, int64_t now_mono_ns);

/* An answer that says the server has too much to do. */
void window_overloaded(struct window *w, int64_t sent_mono_ns, int64_t now_mono_ns);

#endif
