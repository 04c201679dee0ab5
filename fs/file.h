#ifndef FS_FILE_H
#define FS_FILE_H

/*
 * An open file: what read(2) will give was fixed when it was opened.
 *
 *	changing   the rendered bytes of the view at open
 *	immutable  a slice of a mapped generation, held by the view's reference
 *	growing    a descriptor: what is there at each read
 *	blocking   nothing yet; the state at open is the baseline
 *	user       a handle of the job's draft
 *	directory  a listing
 *
 * Knows no FUSE.  Threads: a file is used by any; only answer, answered
 * and asked change after the open, under the waiters' mutex, and the links.
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
	struct buf text;   /* changing */
	const char *bytes; /* immutable: borrowed from view->results */
	bool pinned;	   /* those */
	uint64_t size_bytes;
	int fd;			    /* owned, but for that of .batchfs/events */
	struct draft_handle *draft; /* user: owned; NULL: opened without a name */
	struct tree_dir *dir;	    /* directory: owned */
	/* Blocking: what was answered; a second read is the end of the file. */
	char answer[PART_RAW_MAX + 1]; /* a word, its newline, NUL */
	bool answered;
	bool asked;		      /* for the results of a job made elsewhere */
	struct file *next, *previous; /* fs/opened.h's */
};

/* flags: of open(2).  -ESTALE: a user's file that has lost its name, or results
 * of an earlier generation; who looks the path up again finds what is there
 * now. */
MUST_CHECK int file_open(const struct tree *t, const struct node *n, int flags, struct file **ret);

/* Around a draft handle just made by draft_create(); takes it over. */
MUST_CHECK int file_new_user(const struct node *n, struct job *j, struct draft_handle *h,
			     struct file **ret);

/* The local file of a user's file that is open and has no name any more, once
 * more.  flags: of open(2). */
MUST_CHECK int file_open_again(const struct file *f, int flags, struct file **ret);

void file_close(struct file *f); /* NULL is fine */

/* The local file behind a growing or a user's one, to pread; borrowed. */
int file_fd(const struct file *f);

/* The bytes at offset of a changing, immutable or answered blocking file;
 * *ret_size is cut to what there is. */
const char *file_bytes(const struct file *f, uint64_t offset, size_t size, size_t *ret_size);

/* Blocking: is there an answer by now?  Fills f->answer ("Completed\n", or ""
 * if the job is gone). */
bool file_try_answer(struct file *f);

/* Has what a poll(2) on f waits for happened? */
bool file_is_ready(struct file *f);

#endif
