#ifndef CACHE_RESULTS_H
#define CACHE_RESULTS_H

/*
 * One generation of a job's results: a directory of files written once, then
 * mapped and never changed.
 *
 *	output.jsonl errors.jsonl retry.jsonl results.csv   as shown under the job
 *	text.dat    the texts end to end, each with its newline
 *	index.dat   header, then an entry a record in the order of the input
 *	names.dat   encoded names end to end
 *	hash.dat    open addressing: hash of the name -> record index + 1
 *
 * A record's name is its id with bytes outside [A-Za-z0-9._-], a leading dot,
 * "." and ".." percent-encoded; above RESULTS_NAME_MAX bytes it is cut and
 * "~" and 16 hex digits of a hash of the whole id are added.
 * Format: docs/formats.md, "results".  It can be rebuilt from the parts'
 * result files and the input; a damaged one is refused at open.
 *
 * The kernel lets a process have some 65,000 mappings, which is less than the
 * files of all jobs: so a generation is mapped while somebody has it pinned, and
 * of the others those that were used last.
 *
 * Threads: a struct results is immutable and counted; any thread.
 * A writer belongs to one thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/buf.h"
#include "fs/base/err.h"
#include "fs/base/macros.h"
#include "fs/base/state.h"

#define RESULTS_NAME_MAX 200

enum results_outcome {
	RESULTS_MISSING, /* no result line at all: no file in output/ */
	RESULTS_FAILED,	 /* an error line: output/ID.json only */
	RESULTS_GOOD,	 /* output/ID.json and text/ID.txt */
};

enum results_file {
	RESULTS_OUTPUT,
	RESULTS_ERRORS,
	RESULTS_RETRY,
	RESULTS_CSV,
	RESULTS_TEXT, /* text.dat; not shown as one file */
	RESULTS_FILE_COUNT,
};

struct results;

struct results_cache;

/* max: how many stay mapped without a pin.  -ENOMEM.  Lives until the caller
 * and its results have let go of it. */
MUST_CHECK int results_cache_new(size_t max, struct results_cache **ret);
void results_cache_unref(struct results_cache *c);   /* NULL is fine */
size_t results_cache_count(struct results_cache *c); /* mapped, without a pin */

/* -ENOENT: no such generation.  -EUCLEAN: damaged; rebuild it.  c NULL: it stays
 * mapped, and pins do nothing.  The caller owns one reference of *ret. */
MUST_CHECK int results_open(struct results_cache *c, const char *dir, struct results **ret,
			    struct err *e);
/* The same, but no file is looked at before the first pin. */
MUST_CHECK int results_expect(struct results_cache *c, const char *dir, struct results **ret,
			      struct err *e);
struct results *results_ref(struct results *r);
void results_unref(struct results *r); /* NULL is fine; no pin is left */

/* All that follows needs a pin.  Maps the files if they are not: a few system
 * calls on local files.  Errors as results_open(). */
MUST_CHECK int results_pin(struct results *r, struct err *e);
void results_unpin(struct results *r);

static inline void results_unpinp(struct results **r)
{
	if (*r)
		results_unpin(*r);
	*r = NULL;
}

uint64_t results_count(const struct results *r); /* records of the input */
struct counts results_counts(const struct results *r);
struct tokens results_tokens(const struct results *r);

/* A whole file's bytes; valid while the pin is held.  *ret_size may be 0.
 * Read them with write(2)-like calls only where a full disk or a truncated
 * file must not kill the process (SIGBUS). */
const char *results_bytes(const struct results *r, enum results_file f, uint64_t *ret_size);

enum results_outcome results_outcome(const struct results *r, uint64_t index);
/* The encoded name, not NUL-terminated. */
const char *results_name(const struct results *r, uint64_t index, size_t *ret_size);
/* The result line with its newline, a slice of RESULTS_OUTPUT; empty if missing. */
const char *results_line(const struct results *r, uint64_t index, size_t *ret_size);
/* The text with its newline; empty unless good. */
const char *results_text(const struct results *r, uint64_t index, size_t *ret_size);

/* False if no record has that encoded name. */
bool results_find(const struct results *r, const char *name, size_t name_size, uint64_t *ret_index);

/* Appends the encoded name of an id. */
void results_encode_name(struct buf *out, const char *id, size_t id_size);

/* --- writing --- */

struct results_writer;

/* Writes into dir.tmp, which is emptied first; count_hint sizes the tables. */
MUST_CHECK int results_writer_new(const char *dir, uint64_t count_hint, struct results_writer **ret,
				  struct err *e);
void results_writer_free(struct results_writer *w); /* NULL is fine; drops what is not committed */

struct results_record {
	const char *id; /* decoded */
	size_t id_size;
	enum results_outcome outcome;
	const char *line; /* without its newline; ignored if missing */
	size_t line_size;
	const char *text; /* ignored unless good */
	size_t text_size;
	struct tokens tokens;
};

/* The next record, in the order of the input. */
MUST_CHECK int results_writer_add(struct results_writer *w, const struct results_record *rec,
				  struct err *e);

/* Appends bytes to RESULTS_ERRORS, RESULTS_RETRY or RESULTS_CSV. */
MUST_CHECK int results_writer_append(struct results_writer *w, enum results_file f,
				     const char *bytes, size_t size, struct err *e);

/* Everything on disk, synced, and named dir in one rename. */
MUST_CHECK int results_writer_commit(struct results_writer *w, struct err *e);

#endif
