#ifndef BACKEND_LOCAL_ENGINE_H
#define BACKEND_LOCAL_ENGINE_H

/*
 * What answers records on this machine, and where it gets them from.
 *
 * An engine's run() is called on the run's own thread and stays there until
 * the feed is drained or cancelled.  It takes records with feed_next(), has
 * as many of them under way as it likes, and gives each back exactly once, in
 * any order: feed_good(), feed_bad(), or feed_drop() when cancelled.
 *
 *	for (;;) {
 *		while (room for one more && !drained)
 *			r = feed_next(f, &rec, e);      0, -ENODATA, -EAGAIN, ...
 *		if (drained && nothing under way)
 *			return 0;
 *		poll(own descriptors and f->cancel_fd, at most feed_tick(f) ms);
 *		if (cancelled)
 *			drop all under way, return -ECANCELED;
 *	}
 *
 * A bad record never ends a run.  What concerns all records (nothing listens
 * there, the key is refused) is a pause: say why with feed_pause(), keep the
 * records, try again with growing delay, feed_pause(f, NULL) when it works.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/local/feed.h"
#include "fs/base/buf.h"
#include "fs/base/clock.h"
#include "fs/base/err.h"
#include "fs/base/kv.h"
#include "fs/base/macros.h"

/* A key an engine takes.  Tables end with a row without a name. */
enum engine_value {
	ENGINE_TEXT,	/* anything, not empty */
	ENGINE_NUMBER,	/* whole, min to max */
	ENGINE_DECIMAL, /* "0.5", min to max */
	ENGINE_CHOICE,	/* one of the words in choices, "a|b|c" */
};

struct engine_key {
	const char *name; /* one that ends in '.' takes any rest: "env." */
	enum engine_value type;
	double min, max;
	const char *choices;
	/* What the type does not say; NULL: nothing. */
	int (*check)(const char *value, struct err *e);
	bool in_job; /* also in JOB/config, where it goes before the section's */
};

/* What run() works with; all borrowed until it returns. */
struct engine_job {
	const char *model;	     /* NAME of [model NAME], or "builtin.echo" */
	const struct kv *definition; /* that section, checked; "engine = builtin.echo" */
	const struct kv *config;     /* JOB/config; through engine_setting() only */
	const char *media_path;	     /* NULL if the job has none */
	unsigned attempt;	     /* of the job, from 1 */
	struct clock *clock;
};

struct engine {
	const char *name;	       /* "builtin", "command", "http" */
	const struct engine_key *keys; /* beside those every engine takes */

	/* Is the section sound, beyond what keys say?  Touches memory only.
	 * NULL: it is. */
	MUST_CHECK int (*check)(const struct kv *definition, struct err *e);

	/* Can it run this job, with the job's own settings?  -EINVAL says what
	 * is missing.  Touches memory only.  NULL: it can. */
	MUST_CHECK int (*accept)(const struct engine_job *job, struct err *e);

	/* 0: drained.  -ECANCELED.  Other -errno with words: the run failed. */
	MUST_CHECK int (*run)(const struct engine_job *job, struct feed *f, struct err *e);

	/* Appends one line, without its end, for .batchfs/models; no secrets. */
	void (*describe)(const struct kv *definition, struct buf *out);
};

/* The value of key: JOB/config's if the key may stand there, else the
 * section's, else NULL.  "url", "command" and the like never come from a job.
 * The numbers are in range already (checked where they entered); fallback is
 * for a key that is not given. */
const char *engine_setting(const struct engine *g, const struct engine_job *job, const char *key);
uint64_t engine_number(const struct engine *g, const struct engine_job *job, const char *key,
		       uint64_t fallback);
double engine_decimal(const struct engine *g, const struct engine_job *job, const char *key,
		      double fallback);

/* Keys that every engine takes, in a job too: timeout_s (1..86400) and
 * max_attempts (1..100). */
extern const struct engine_key engine_common_keys[];

/* The engines there are; engines.c lists them. */
extern const struct engine engine_builtin;
extern const struct engine engine_command;
extern const struct engine engine_http;

/* For checks of tables of keys: is value one this key takes?  -EINVAL. */
MUST_CHECK int engine_key_check(const struct engine_key *k, const char *name, const char *value,
				struct err *e);

#endif
