#ifndef BACKEND_LOCAL_ENGINES_H
#define BACKEND_LOCAL_ENGINES_H

/*
 * Which engine answers for a model: the builtins, and what the configuration
 * file names.
 *
 *	[model my-llama]
 *	url = http://127.0.0.1:11434/v1/chat/completions
 *
 *	[model tagger]
 *	command = python3 /home/me/tagger.py
 *	workers = 2
 *
 * A section has exactly one of "command", "url" and "engine = builtin.NAME";
 * the keys beside it are the engine's (engine.h).  Sections of other kinds
 * are somebody else's and passed over.
 *
 * Read once; immutable afterwards, so any thread may ask.
 */

#include "backend/local/engine.h"
#include "fs/base/buf.h"
#include "fs/base/err.h"
#include "fs/base/kv.h"
#include "fs/base/macros.h"

#define ENGINES_FILE_MAX   (1024 * 1024)
#define ENGINES_MODELS_MAX 256
#define ENGINES_NAME_MAX   200

struct engines;

/* path: NULL for the builtins only.  -EINVAL: "FILE:LINE: ..." in words;
 * -errno: the file cannot be read.  The caller owns *ret until engines_free(). */
MUST_CHECK int engines_open(const char *path, struct engines **ret, struct err *e);
void engines_free(struct engines *all); /* NULL is fine */

/* *ret_definition is borrowed until engines_free().  -EINVAL: no such model,
 * with the ways out. */
MUST_CHECK int engines_find(const struct engines *all, const char *model, const struct engine **ret,
			    const struct kv **ret_definition, struct err *e);

/* A line of JOB/config.  -ENOENT: not a key of any engine's, or not for jobs;
 * -EINVAL: not a value it takes. */
MUST_CHECK int engines_check_config(const char *key, const char *value, struct err *e);

/* A line a model: "builtin.echo\tbuiltin\tanswers with the question". */
void engines_list(const struct engines *all, struct buf *out);

#endif
