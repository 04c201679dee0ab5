#ifndef FS_BASE_ERR_H
#define FS_BASE_ERR_H

/*
 * One complete message for a person, carried beside a -errno.
 *
 * The layer that knows the cause writes it once: what failed, on what, and
 * what to do, for example
 *
 *     cannot open /var/lib/b/state.db: Permission denied; check its owner
 *
 * No secret is ever put in.  A struct err lives on the caller's stack, is
 * written on failure only, and may be NULL wherever one is taken.
 */

#include <stddef.h>

#include "fs/base/macros.h"

#define ERR_TEXT_MAX 1024

struct err {
	char text[ERR_TEXT_MAX]; /* empty, or one line without a newline */
};

#define ERR_INIT                                                                                   \
	{                                                                                          \
		""                                                                                 \
	}

/* Formats the message (cut at ERR_TEXT_MAX, control bytes become '?') and
 * returns code, so that reporting and returning cannot disagree:
 *	return err_set(e, -EINVAL, "%s: no such engine", name); */
PRINTF_LIKE(3, 4) int err_set(struct err *e, int code, const char *fmt, ...);

/* As err_set(), with ": " and the words of errno -code at the end. */
PRINTF_LIKE(3, 4) int err_errno(struct err *e, int code, const char *fmt, ...);

#endif
