#ifndef TESTS_UNIT_FAKENOW_H
#define TESTS_UNIT_FAKENOW_H

/* The fake backend's records on demand: run_now and pad_record, for
 * tests/unit/fakebackend.c. */

#include "tests/unit/fakebackend.h"

/* Answers those that have no line yet, the last one first, as attempt 1. */
int fakenow_run(struct backend *b, const struct backend_part *p, const char *path,
		backend_told *told, void *ctx, struct err *e);

int fakenow_pad(struct backend *b, const struct backend_part *p, const char *line, size_t size,
		const char *id, struct buf *out, struct err *e);

/* 'g': a good line, 'f': one of an error, 'r': of one that may pass, 'm': none. */
void fakenow_add_result(const struct fakebackend *f, FILE *out, const char *id, unsigned attempt,
			char outcome);

#endif
