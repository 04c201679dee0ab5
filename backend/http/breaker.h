#ifndef BACKEND_HTTP_BREAKER_H
#define BACKEND_HTTP_BREAKER_H

/*
 * Tells a record that fails from a server that fails.
 *
 * A breaker is closed while the server works.  It opens when what happens
 * concerns all records: then nothing is sent but one probe at a time, at
 * growing intervals, until a probe is answered.
 *
 *	cause		opens after	probes every
 *	CONNECT, LOST	5 in a row	1 s, 2 s, 4 s ... 30 s
 *	REFUSED		1		2 s ... 60 s	(key, model, path)
 *	QUOTA		1		30 s ... 10 min
 *
 * Pure: time comes in as monotonic nanoseconds.  Not thread-safe.
 */

#include <stdbool.h>
#include <stdint.h>

#define BREAKER_IN_A_ROW 5

enum breaker_cause {
	BREAKER_CLOSED,
	BREAKER_CONNECT, /* no connection to be had */
	BREAKER_LOST,	 /* connections, but no answers */
	BREAKER_REFUSED, /* answers that refuse everybody */
	BREAKER_QUOTA,
	BREAKER_CAUSE_COUNT,
};

struct breaker {
	enum breaker_cause cause; /* CLOSED, or why it is open */
	int64_t probe_mono_ns;	  /* when the next probe is due, if open */
	/* private */
	unsigned in_a_row_;
	int64_t delay_ns_, opened_mono_ns_;
};

void breaker_init(struct breaker *b);

/* The server has answered a request: closes it.  True if it was open. */
bool breaker_works(struct breaker *b);

/* A request sent then has failed for that cause.  True if the breaker is open
 * now.  While it is open only probes push the next one off: what was sent
 * before it opened tells nothing new. */
bool breaker_fails(struct breaker *b, enum breaker_cause cause, int64_t sent_mono_ns,
		   int64_t now_mono_ns);

#endif
