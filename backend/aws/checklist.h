#ifndef BACKEND_AWS_CHECKLIST_H
#define BACKEND_AWS_CHECKLIST_H

/*
 * Questions and their answers, a line each, as they come:
 *
 *	✓ region: us-east-1 (AWS_REGION)
 *	✗ role: there is no role BatchRole; make it: ...
 *	? may pass the role: cannot tell (iam:SimulatePrincipalPolicy is not allowed)
 *
 * What was learnt from others stands in the lines: control bytes become '?'.
 * Not thread-safe.
 */

#include <stdio.h>

#include "fs/base/macros.h"

struct checklist {
	FILE *out;	 /* borrowed */
	unsigned failed; /* lines with a cross */
};

enum checklist_mark {
	CHECKLIST_GOOD,
	CHECKLIST_BAD,
	CHECKLIST_UNSURE,
};

/* Writes the line and flushes it. */
PRINTF_LIKE(4, 5)
void checklist_add(struct checklist *c, enum checklist_mark m, const char *question,
		   const char *fmt, ...);

#define checklist_good(c, ...)	 checklist_add(c, CHECKLIST_GOOD, __VA_ARGS__)
#define checklist_bad(c, ...)	 checklist_add(c, CHECKLIST_BAD, __VA_ARGS__)
#define checklist_unsure(c, ...) checklist_add(c, CHECKLIST_UNSURE, __VA_ARGS__)

#endif
