#ifndef FS_OPENED_H
#define FS_OPENED_H

/*
 * The files and directories that are open, so that an inode whose name has
 * gone goes on having attributes, and being readable, for as long as somebody
 * holds it: fstat(2) on a file that was unlinked, a file that was replaced
 * between the kernel's lookup and its open.
 *
 * A user's file that is replaced by a rename is kept for the kernel until that
 * forgets the inode (or KEPT_MAX others have come since): its name was there all
 * the time, so to open it must not fail.  One that is unlinked is not, or its
 * space would be free only some time after.  Everything else is here because of
 * an open of somebody's.
 *
 * Threads: any.  One mutex; under it only the attributes of a local file are
 * asked for.
 */

#include "fs/file.h"

struct opened;

struct opened *opened_new(void); /* NULL: no memory */

/* Closes what is still open: the kernel sends no release at an unmount by
 * force.  NULL is fine. */
void opened_free(struct opened *o);

/* Until opened_close(), which closes it. */
void opened_add(struct opened *o, struct file *f);
void opened_close(struct opened *o, struct file *f);

/* Keeps f, a reader of a user's file whose name another has got, until
 * opened_forget(); takes it over. */
void opened_keep(struct opened *o, struct file *f);
void opened_forget(struct opened *o, const struct node *n);

/* Attributes of what somebody has open.  -ESTALE: nobody has. */
MUST_CHECK int opened_stat(struct opened *o, const struct tree *t, const struct node *n,
			   struct tree_entry *ret);

/* Opens a user's file that its draft does not know any more.  flags: of
 * open(2).  -ESTALE: nobody has it. */
MUST_CHECK int opened_reopen(struct opened *o, const struct node *n, int flags, struct file **ret);

#endif
