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

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/buf.h"
#include "fs/base/err.h"
#include "fs/base/kv.h"
#include "fs/base/macros.h"
#include "fs/base/state.h"

#define BACKEND_TOKEN_MAX 64

struct backend_limits {
	uint64_t records_min;	       /* of a whole job; 1 if there is no minimum */
	uint64_t records_max_per_part; /* UINT64_MAX: no limit */
	uint64_t bytes_max_per_part;
	uint64_t bytes_max_per_record;
	unsigned parts_at_once; /* the provider's concurrent-job quota */
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
};

/* Files of result lines (backend/envelope.h), in any order. */
#define BACKEND_FILES_MAX 64
struct backend_files {
	char *paths[BACKEND_FILES_MAX]; /* owned */
	size_t count;
};

void backend_files_release(struct backend_files *f);

struct backend {
	const struct backend_ops *ops;
};

struct backend_ops {
	const char *kind; /* "local" */

	/* Waits for calls under way and stops what runs; what was journalled
	 * goes on at the next open. */
	void (*close)(struct backend *b);

	void (*limits)(struct backend *b, const char *model, struct backend_limits *ret);

	/* Would a job with this model be taken?  -EINVAL names the way out. */
	MUST_CHECK int (*check_model)(struct backend *b, const char *model, struct err *e);

	/* One line of JOB/config.  -ENOENT: not a key of this backend's;
	 * -EINVAL: a value it does not take. */
	MUST_CHECK int (*check_config)(struct backend *b, const char *key, const char *value,
				       struct err *e);

	/* Brings the input to where the provider can read it.  Repeatable. */
	MUST_CHECK int (*put_input)(struct backend *b, const struct backend_part *p, struct err *e);

	/* Asks for the part to be run.  The same token never makes a second
	 * one.  *ret_remote: the provider's name for it, the caller's to free.
	 * -EINVAL: refused, with the provider's words and the cure. */
	MUST_CHECK int (*create)(struct backend *b, const struct backend_part *p, char **ret_remote,
				 struct err *e);

	/* How are these parts?  results[i] is for remotes[i]; one whose answer
	 * did not come keeps what the caller put there. */
	MUST_CHECK int (*poll)(struct backend *b, const char *const *remotes,
			       struct part_status *results, size_t count, struct err *e);

	/* Asks it to end early; ended parts and unknown ones answer 0. */
	MUST_CHECK int (*stop)(struct backend *b, const char *remote, struct err *e);

	/* The result files of an ended part, local and immutable until forget.
	 * dir is the caller's, empty or not there yet, for what is downloaded. */
	MUST_CHECK int (*fetch)(struct backend *b, const char *remote, const char *dir,
				struct backend_files *ret, struct err *e);

	/* Deletes what this machine holds for the part.  Repeatable. */
	MUST_CHECK int (*forget)(struct backend *b, const char *remote, struct err *e);

	/* A line a model for .batchfs/models: "builtin.echo\tbuiltin\t...". */
	void (*models)(struct backend *b, struct buf *out);
};

#endif
