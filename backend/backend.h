#ifndef BACKEND_BACKEND_H
#define BACKEND_BACKEND_H

/*
 * What a place that runs batch jobs can do: a protocol and nothing more.
 *
 * Phases, retries, polling, parts and crash recovery belong to the engine
 * (fs/job/); a backend moves bytes and answers questions.  A part is one
 * provider-side job: a token that is unique for ever, a model, settings, and
 * an input file of record lines that all carry a recordId.
 *
 * Threads: any pool thread may call any operation, for different parts at the
 * same time; calls may block.  Never from a FUSE handler, check_* excepted,
 * which touch memory only.
 * Errors: 0 or -errno; -EAGAIN: transient, the same call is worth repeating
 * later.  *e, if given, is written on failure only, for a person.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/buf.h"
#include "fs/base/err.h"
#include "fs/base/kv.h"
#include "fs/base/macros.h"
#include "fs/base/price.h"
#include "fs/base/state.h"

#define BACKEND_TOKEN_MAX 64

struct backend_limits {
	uint64_t records_min;	       /* of a whole job; 1 if there is no minimum */
	uint64_t records_max_per_part; /* UINT64_MAX: no limit */
	uint64_t bytes_max_per_part;
	uint64_t bytes_max_per_record;
	unsigned parts_at_once; /* the provider's concurrent-job quota; UINT_MAX: none */
};

struct backend_part {
	const char *token;    /* [A-Za-z0-9-], under BACKEND_TOKEN_MAX, durable before create */
	const char *job_name; /* the directory's name, for the provider's console */
	const char *model;
	const struct kv *config; /* JOB/config */
	const char *input_path;	 /* absolute; immutable until forget */
	const char *media_path;	 /* absolute; NULL if the job has no media/ */
	uint64_t record_count;
	unsigned attempt; /* from 1: of the job, for engines that treat a retry differently */
	bool on_demand;	  /* check_input: it is for run_now */
	bool look_only;	  /* create: only look whether it exists; -ENOENT: certainly not */
	int64_t asked_ns; /* wall: create was first sent then, and its answer is not known; 0: never */
	const atomic_bool *cancel; /* put_input: true: nobody wants it any more; NULL: never */
};

/* Files of result lines (backend/envelope.h), in any order. */
#define BACKEND_FILES_MAX 64
struct backend_files {
	char *paths[BACKEND_FILES_MAX]; /* owned */
	size_t count;
	bool has_tokens; /* the provider told the sum, which answers may lack */
	struct tokens tokens;
	char *told; /* owned; one line of what the provider says of them, or NULL */
};

/* A job the source has, whoever made it.  Strings are borrowed, NULL if absent. */
struct backend_job {
	const char *remote, *name, *model, *token;
	struct part_status status;
	int64_t submitted_ns, ended_ns; /* wall; 0: not told */
};

typedef void backend_found(void *ctx, const struct backend_job *j);

typedef bool backend_told(void *ctx, const struct counts *counts, const struct tokens *tokens);

/* What is known of an input before it is sent. */
struct backend_input_check {
	struct buf *faults, *warnings; /* a line each, the caller's */
	bool has_estimate;
	struct tokens estimate; /* at most these, roughly */
};

void backend_files_release(struct backend_files *f);

struct backend {
	const struct backend_ops *ops;
};

struct backend_ops {
	const char *kind; /* "local" */

	/* How often running parts are worth asking about: after a change, at
	 * most (-o poll overrides it), and with nothing but jobs made elsewhere. */
	int64_t poll_first_ns, poll_max_ns, poll_idle_ns;

	/* Waits for calls under way and stops what runs; what was journalled
	 * goes on at the next open. */
	void (*close)(struct backend *b);

	/* The mount is ending: calls under way, and later ones, return soon with
	 * -ECANCELED.  NULL: none takes long. */
	void (*cancel)(struct backend *b);

	/* Does poll tell of jobs made elsewhere?  NULL: it does not. */
	bool (*lists_jobs)(struct backend *b);

	/* Create calls are not to leave more often; 0: as often as wanted.
	 * NULL: 0. */
	int64_t (*create_every_ns)(struct backend *b);

	/* Memory only.  From what was learned, or else is documented. */
	void (*limits)(struct backend *b, const char *model, struct backend_limits *ret);

	/* Waits, for some seconds, until limits tell what the provider says, if that was
	 * never asked; at once afterwards.  Before parts are planned.  NULL: they do. */
	void (*learn_limits)(struct backend *b);

	/* Would a job with this model be taken?  -EINVAL names the way out. */
	MUST_CHECK int (*check_model)(struct backend *b, const char *model, struct err *e);

	/* One line of JOB/config.  -ENOENT: not a key of this backend's;
	 * -EINVAL: a value it does not take. */
	MUST_CHECK int (*check_config)(struct backend *b, const char *key, const char *value,
				       struct err *e);

	/* Looks at every record of the user's input before anything is sent:
	 * what the model is known to refuse.  NULL: nothing is known. */
	MUST_CHECK int (*check_input)(struct backend *b, const struct backend_part *p,
				      struct backend_input_check *ret, struct err *e);

	/* Brings the input to where the provider can read it.  Repeatable; what
	 * a crash cut short is gone on with.  -EINVAL: refused.  -ECANCELED: the
	 * mount is ending, or p->cancel says so, which is heeded within a second
	 * or so by a source whose calls may hang. */
	MUST_CHECK int (*put_input)(struct backend *b, const struct backend_part *p, struct err *e);

	/* Asks for the part to be run.  The same token never makes a second
	 * one: with asked_ns it is looked for first, and asked for again only if
	 * it is certainly not there.  *ret_remote: the provider's name for it,
	 * the caller's to free.
	 * -ENOENT: with look_only, and it is certainly not there.
	 * -EINVAL: refused, with the provider's words and the cure.  -EBUSY: not
	 * created, as if never asked; later (no connection, say).  -EDQUOT: the same,
	 * since as many parts of that model are there as the provider runs at once.
	 * -EAGAIN and all else: it may exist. */
	MUST_CHECK int (*create)(struct backend *b, const struct backend_part *p, char **ret_remote,
				 struct err *e);

	/* How are these parts?  results[i] is for remotes[i]; one whose answer
	 * did not come keeps what the caller put there.  found, if given, is told
	 * of every job met on the way, these and others; the first poll meets all
	 * there are, later ones at least those that are new or have changed. */
	MUST_CHECK int (*poll)(struct backend *b, const char *const *remotes,
			       struct part_status *results, size_t count, backend_found *found,
			       void *ctx, struct err *e);

	/* Asks it to end early; ended parts answer 0, and so do those that certainly
	 * are not there.  -EAGAIN: also one that may just not be known yet. */
	MUST_CHECK int (*stop)(struct backend *b, const char *remote, struct err *e);

	/* The result files of an ended part, local and immutable until forget.
	 * dir is the caller's, empty or not there yet, for what is downloaded.
	 * -ENOENT: the part, or the place of its results, is not there any more. */
	MUST_CHECK int (*fetch)(struct backend *b, const char *remote, const char *dir,
				struct backend_files *ret, struct err *e);

	/* Runs the part's records one by one, now and at the on-demand price, and
	 * appends a result line for each to the file at path.  Records that have a
	 * line there are not run again; a torn last line is cut off first.  What was
	 * answered is on disk before it is told of.  told: called from this thread
	 * at the start, after answers (of some at once) and every second or so without
	 * any, with the counts and tokens of all lines there; once it returns false no more records are begun, and those under way, which are paid
	 * for, are waited for.  NULL: the source cannot.
	 * 0: every record has its line; -ECANCELED: told said so, or cancel();
	 * -EAGAIN: later; -EINVAL: refused, with the provider's words and the cure. */
	MUST_CHECK int (*run_now)(struct backend *b, const struct backend_part *p, const char *path,
				  backend_told *told, void *ctx, struct err *e);

	/* Appends a record line, without a newline, with that id that is like line, but costs as little
	 * as can be: what fills a job up to the minimum.  NULL: there is no minimum. */
	MUST_CHECK int (*pad_record)(struct backend *b, const struct backend_part *p,
				     const char *line, size_t size, const char *id, struct buf *out,
				     struct err *e);

	/* The records of a job made elsewhere, into a new file at path.  NULL:
	 * there are none such.  -ENOENT, -EACCES: they cannot be had. */
	MUST_CHECK int (*fetch_input)(struct backend *b, const char *remote, const char *path,
				      struct err *e);

	/* Deletes what this machine holds for the part.  Repeatable. */
	MUST_CHECK int (*forget)(struct backend *b, const char *remote, struct err *e);

	/* Deletes what the provider's storage holds of a part that has ended or
	 * was never created: what we put there, and its results.  remote may be
	 * NULL; p then says what was put.  p->token NULL: made elsewhere, so we put
	 * nothing there.  Repeatable.  NULL: it holds nothing. */
	MUST_CHECK int (*purge)(struct backend *b, const struct backend_part *p, const char *remote,
				struct err *e);

	/* Members for status.json, "\"console\":\"https://...\"", comma-separated, of a
	 * part with that remote (or NULL) and model.  Memory only.  NULL: none. */
	void (*describe)(struct backend *b, const char *remote, const char *model, struct buf *out);

	/* Why a record of that model failed with these words, and what to do:
	 * "CAUSE: CURE", or nothing if that is not known.  Memory only.  NULL: it
	 * never is. */
	void (*advise)(struct backend *b, const char *model, const char *code, const char *words,
		       struct buf *out);

	/* False: not known.  Memory only.  NULL: nothing costs money. */
	bool (*price)(struct backend *b, const char *model, struct price *ret);

	/* Counters for .batchfs/metrics, "name value" a line.  NULL: none. */
	void (*metrics)(struct backend *b, struct buf *out);

	/* A line a model for .batchfs/models: "builtin.echo\tbuiltin\t...". */
	void (*models)(struct backend *b, struct buf *out);
};

#endif
