#ifndef FS_JOB_COLLECT_PRIVATE_H
#define FS_JOB_COLLECT_PRIVATE_H

/*
 * One run of collect.h, between its files: collect.c reads the input and the
 * result files, collectwrite.c goes through the records and writes.  The design
 * is on top of collect.c.
 */

#include <stdint.h>

#include "backend/envelope.h"
#include "cache/results.h"
#include "fs/base/buf.h"
#include "fs/base/err.h"
#include "fs/base/jsonspan.h"
#include "fs/base/macros.h"
#include "fs/job/bestlines.h"
#include "fs/job/collect.h"
#include "fs/job/copies.h"
#include "fs/job/input.h"
#include "fs/job/inputjoin.h"

#define COLLECT_LINE_MAX       (512u * 1024 * 1024)	      /* twice an input line's maximum */
#define COLLECT_TEXT_MAX       (4 * (size_t)COLLECT_LINE_MAX) /* base64 grows as it is spelt out */
#define COLLECT_ID_MAX	       4096 /* decoded; longer ones are in no input */
#define COLLECT_CODE_MAX       1024 /* decoded; a code is a word */
#define COLLECT_OPEN_FILES_MAX 32

struct collect {
	const struct collect_request *q;
	struct collect_summary sum;
	int input_fd;
	struct input *in;
	struct inputjoin *join; /* NULL: by ids only */
	struct copies *copies;	/* NULL: each record has its own line */
	struct bestlines best;
	struct results_writer *writer;

	/* Result files open in the last pass, each in the place of its number. */
	int open_fds[COLLECT_OPEN_FILES_MAX];
	uint32_t open_files[COLLECT_OPEN_FILES_MAX];

	/* Of the record at hand. */
	struct buf line, input_line; /* as read */
	struct buf shared;	     /* a line with another id in it */
	struct buf id, text, code, message, out;
};

/* --- collect.c --- */

MUST_CHECK int collect_cancelled(const struct collect *c, struct err *e);
MUST_CHECK int collect_open_file(const char *path, int *ret, struct err *e);

/* Exactly size bytes into b.  -ESTALE: the file has become shorter. */
MUST_CHECK int collect_read_at(int fd, uint64_t offset, uint64_t size, struct buf *b);

/* Into input_line. */
MUST_CHECK int collect_read_input(struct collect *c, uint64_t index, struct err *e);

/* modelInput of the input line at hand. */
struct jsonspan collect_model_input(const struct collect *c);

/* The record of an id, which is left in c->id; false if there is none. */
bool collect_find(struct collect *c, struct jsonspan id, uint64_t *ret);

/* --- collectwrite.c --- */

/* Once it is known where every line is. */
MUST_CHECK int collect_write(struct collect *c, struct err *e);

#endif
