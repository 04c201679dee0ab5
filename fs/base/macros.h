#ifndef FS_BASE_MACROS_H
#define FS_BASE_MACROS_H

/*
 * The few macros the rest leans on: scope clean-up, ownership hand-over, and
 * results that must be looked at.  Included by every header that declares a
 * function which can fail.
 */

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/base/banned.h"

/* Runs fn(&variable) when the variable's scope ends. */
#define CLEANUP(fn) __attribute__((__cleanup__(fn)))

/* The pointer at pp, which becomes NULL, so that its cleanup does nothing. */
#define STEAL(pp)                                                                                  \
	({                                                                                         \
		__typeof__(pp) from_ = (pp);                                                       \
		__typeof__(*from_) taken_ = *from_;                                                \
		*from_ = NULL;                                                                     \
		taken_;                                                                            \
	})

/* For functions that can fail.  gcc does not accept (void): say ignore_error(). */
#define MUST_CHECK __attribute__((__warn_unused_result__))

#define PRINTF_LIKE(fmt, first) __attribute__((__format__(__printf__, fmt, first)))

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static inline void ignore_error(int r)
{
	(void)r;
}

static inline void str_freep(char **s)
{
	free(*s);
	*s = NULL;
}

/* Closes and keeps errno, so that a failing path may still report its cause. */
static inline void fd_closep(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

static inline void file_closep(FILE **f)
{
	if (*f)
		fclose(*f);
	*f = NULL;
}

static inline void dir_closep(DIR **d)
{
	if (*d)
		closedir(*d);
	*d = NULL;
}

/* The descriptor at fd, which becomes -1: STEAL for descriptors. */
static inline int fd_steal(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

#endif
