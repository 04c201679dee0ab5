#ifndef FS_CTL_H
#define FS_CTL_H

/*
 * JOB/ctl: a command a line, taken in write(2) and answered there.
 *
 *	echo stop > ctl
 *	echo sample 10 > ctl
 *
 * Threads: any.
 */

#include <stddef.h>

#include "fs/base/macros.h"
#include "fs/job/jobs.h"

#define CTL_COMMANDS_MAX 16 /* in one write */
#define CTL_WRITE_MAX	 4096

/* The commands in these bytes.  -EINVAL: a line that is none, or too many; the
 * job's log says which.  -EFBIG: over CTL_WRITE_MAX. */
struct ctl_commands {
	struct order orders[CTL_COMMANDS_MAX];
	size_t count;
};

MUST_CHECK int ctl_parse(struct job *j, const char *bytes, size_t size, struct ctl_commands *ret);

#endif
