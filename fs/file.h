#ifndef FS_FILE_H
#define FS_FILE_H

/*
 * An open file: what read(2) will give was fixed when it was opened.
 *
 *	changing   the rendered bytes of the view at open
 *	immutable  a slice of a mapped generation, held by a reference
 *	growing    a descriptor: what is there at each read
 *	blocking   nothing yet; the state at open is the baseline
 *	user       a handle of the job's draft
 *
 * Knows no FUSE.  Threads: a file is used by any; only answer and answered
 * change after the open, under the waiters' mutex.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/buf.h"
#include "fs/base/macros.h"
#include "fs/tree.h"

struct file {
	struct node node;
	enum kind_class class;
	struct job *job;   /* a reference, or NULL for the mount's own */
	struct view *view; /* at open; a reference, or NULL */
	bool held;	   /* immutable: the view is held in the job */
	struct buf text;   /* changing */
	const char *bytes; /* immutable: borrowed from view->results */
	uint64_t size_bytes;
	int fd;			    /* growing: borrowed */
	struct draft_handle *draft; /* user: owned */
	/* Blocking: what was answered; a second read is the end of the file. */
	char answer[64];
	bool answered;
};

/* flags: of open(2).  -EACCES: not to be written, or not of this kind. */
MUST_CHECK int file_open(const struct tree *t, const struct node *n, int flags, struct file **ret);

/* Around a draft handle just made by draft_create(); takes it over. */
MUST_CHECK int file_new_user(const struct node *n, struct job *j, struct draft_handle *h,
			     struct file **ret);

void file_close(struct file *f); /* NULL is fine */

/* The bytes at offset of a changing, immutable or answered blocking file;
 * *ret_size is cut to what there is. */
const char *file_bytes(const struct file *f, uint64_t offset, size_t size, size_t *ret_size);

/* Blocking: is there an answer by now?  Fills f->answer ("Completed\n", or ""
 * if the job is gone). */
bool file_try_answer(struct file *f);

/* Has what a poll(2) on f waits for happened? */
bool file_is_ready(const struct file *f);

#endif
