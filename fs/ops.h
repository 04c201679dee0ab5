#ifndef FS_OPS_H
#define FS_OPS_H

/*
 * The file-system operations: ops.c (names and attributes), opsdir.c
 * (listings, making and removing), opsfile.c (open files).  They, and
 * waiters.c, are all that replies to FUSE.  Every path of a handler replies
 * exactly once, or hands the request to something that will.
 *
 * Workers touch memory and local files and never wait: what takes longer goes
 * to a pool and is answered from there.
 */

#include "fs/fs.h"

/* Fills the table for fuse_session_new(). */
void ops_fill(struct fuse_lowlevel_ops *ops);

/* Shared among the three files. */

struct fs *ops_fs(fuse_req_t req);

/* Who asks may change things: the owner, and the mount is not read-only. */
MUST_CHECK int ops_may_write(fuse_req_t req);

void ops_reply_entry(fuse_req_t req, const struct tree_entry *e);
void ops_set_entry(const struct tree_entry *e, struct fuse_entry_param *ret);

/* Where the files of a job's directory, or of its media/, are in its draft. */
enum draft_dir ops_draft_dir(const struct node *dir);

/* 0 or -errno. */
void ops_reply(fuse_req_t req, int r);

void opsdir_fill(struct fuse_lowlevel_ops *ops);
void opsfile_fill(struct fuse_lowlevel_ops *ops);

#endif
