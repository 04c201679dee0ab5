#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fs/file.h"
#include "fs/ops.h"

/* Listings, and what makes, removes and renames. */

/* --- listings --- */

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	const struct fs *fs = ops_fs(req);
	const struct node n = node_from_ino(ino);
	struct file *f;
	int r = file_open(&fs->tree, &n, O_RDONLY, &f);

	if (r < 0) {
		ops_reply(req, r);
		return;
	}
	opened_add(fs->opened, f);
	fi->fh = (uint64_t)(uintptr_t)f;
	if (fuse_reply_open(req, fi) < 0)
		opened_close(fs->opened, f); /* interrupted: no release will come */
}

static void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	opened_close(ops_fs(req)->opened, (struct file *)(uintptr_t)fi->fh);
	ops_reply(req, 0);
}

/* One entry at the end of buf; its size, or more than there is room for. */
static size_t add_plain(fuse_req_t req, char *buf, size_t room, const struct tree_name *name)
{
	const struct stat st = {.st_ino = name->ino, .st_mode = name->type};

	return fuse_add_direntry(req, buf, room, name->name, &st, (off_t)name->cookie);
}

static size_t add_plus(fuse_req_t req, char *buf, size_t room, const struct tree_name *name,
		       bool attributes)
{
	struct fuse_entry_param p = {.attr = {.st_ino = name->ino, .st_mode = name->type}};
	struct tree_entry e;

	/* An entry without a node is listed and not linked: for "." and "..",
	 * for what has gone meanwhile, and for directories too large. */
	if (attributes && name->node.kind != KIND_NONE &&
	    tree_stat(&ops_fs(req)->tree, &name->node, &e) == 0)
		ops_set_entry(&e, &p);
	return fuse_add_direntry_plus(req, buf, room, name->name, &p, (off_t)name->cookie);
}

static void list(fuse_req_t req, size_t size, off_t offset, struct fuse_file_info *fi, bool plus)
{
	struct tree_dir *d = ((struct file *)(uintptr_t)fi->fh)->dir;
	bool attributes = plus && tree_dir_wants_attributes(d);
	uint64_t cookie = (uint64_t)offset;
	struct tree_name name;
	char *buf = malloc(size);
	size_t used = 0, n;

	if (!buf) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	while (tree_dir_next(d, cookie, &name)) {
		n = plus ? add_plus(req, buf + used, size - used, &name, attributes)
			 : add_plain(req, buf + used, size - used, &name);
		if (n > size - used)
			break;
		used += n;
		cookie = name.cookie;
	}
	fuse_reply_buf(req, buf, used);
	free(buf);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		       struct fuse_file_info *fi)
{
	(void)ino;
	list(req, size, offset, fi, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
			   struct fuse_file_info *fi)
{
	(void)ino;
	list(req, size, offset, fi, true);
}

/* --- answers that come from the engine --- */

static void refused(void *ctx, int r, struct job *j)
{
	(void)r;
	(void)j;
	ops_reply(ctx, -ENOSPC);
}

static void made(void *ctx, int r, struct job *j)
{
	fuse_req_t req = ctx;
	struct tree_entry e;
	struct node n = {.kind = KIND_JOB};

	if (r == 0 && job_number(j) > TREE_JOB_MAX) {
		jobs_remove(ops_fs(req)->tree.jobs, j, refused, req);
		return;
	}
	if (r == 0) {
		n.job = job_number(j);
		r = tree_stat(&ops_fs(req)->tree, &n, &e);
	}
	if (r < 0)
		ops_reply(req, r);
	else
		ops_reply_entry(req, &e);
}

static void done(void *ctx, int r, struct job *j)
{
	(void)j;
	ops_reply(ctx, r);
}

/* --- making --- */

static int make_media(const struct tree *t, const struct node *dir, const char *name,
		      struct tree_entry *ret)
{
	CLEANUP(job_unrefp) struct job *j = NULL;
	const struct node n = {.kind = KIND_MEDIA, .job = dir->job};
	int r;

	/* A job directory has no other directory of the user's. */
	if (dir->kind != KIND_JOB || strcmp(name, "media") != 0)
		return -EPERM;
	j = jobs_get(t->jobs, dir->job);
	if (!j)
		return -ENOENT;
	r = draft_make_media(job_draft(j));
	return r < 0 ? r : tree_stat(t, &n, ret);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	const struct tree *t = &ops_fs(req)->tree;
	const struct node dir = node_from_ino(parent);
	struct tree_entry e;
	int r = ops_may_write(req);

	(void)mode;
	if (r == 0 && dir.kind == KIND_ROOT) {
		jobs_make(t->jobs, name, made, req);
		return;
	}
	if (r == 0)
		r = make_media(t, &dir, name, &e);
	if (r < 0)
		ops_reply(req, r);
	else
		ops_reply_entry(req, &e);
}

/* --- removing --- */

/* While a job is active its `rm -r` must lose nothing: what was there when it
 * was submitted stays.  What has changed since is an editor's scratch file. */
static int may_unlink_file(struct job *j, const struct tree_entry *e)
{
	CLEANUP(view_unrefp) struct view *v = job_view(j);
	int64_t changed_ns =
		(int64_t)e->st.st_ctim.tv_sec * NS_PER_S + (int64_t)e->st.st_ctim.tv_nsec;

	return changed_ns > v->submitted_ns ? 0 : job_may_unlink(j);
}

/* Of an ended job a name is hidden until the directory goes, of a draft it is
 * deleted, and of an active job nothing is. */
static int unlink_node(const struct tree *t, const struct node *dir, const char *name)
{
	CLEANUP(job_unrefp) struct job *j = NULL;
	struct tree_entry e;
	int r;

	if (dir->job == 0)
		return -EPERM;
	r = tree_lookup(t, dir, name, &e);
	if (r < 0)
		return r;
	j = jobs_get(t->jobs, dir->job);
	if (!j)
		return -ENOENT;
	if (e.node.kind == KIND_FILE) {
		r = may_unlink_file(j, &e);
		return r < 0 ? r
			     : draft_unlink(job_draft(j), ops_draft_dir(dir), name,
					    job_hide_until(j));
	}
	if (kind_info(e.node.kind)->class == CLASS_DIRECTORY)
		return -EISDIR;
	r = job_may_unlink(j);
	if (r < 0)
		return r;
	if (e.node.kind == KIND_OUTPUT_RECORD)
		return job_hide_record(j, JOB_RECORDS_OUTPUT, e.node.index);
	if (e.node.kind == KIND_TEXT_RECORD)
		return job_hide_record(j, JOB_RECORDS_TEXT, e.node.index);
	job_hide_name(j, e.node.kind);
	return 0;
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	const struct node dir = node_from_ino(parent);
	int r = ops_may_write(req);

	if (r == 0)
		r = unlink_node(&ops_fs(req)->tree, &dir, name);
	ops_reply(req, r);
}

static int remove_records(struct job *j, enum kind k)
{
	enum job_records which = k == KIND_TEXT ? JOB_RECORDS_TEXT : JOB_RECORDS_OUTPUT;
	int r = job_may_unlink(j);

	if (r == 0 && !tree_records_are_cleared(j, which))
		r = -ENOTEMPTY;
	if (r == 0)
		job_hide_name(j, k);
	return r;
}

static int remove_media(struct job *j)
{
	struct stat st;
	int r = draft_remove_media(job_draft(j));

	/* Of an ended job it is still there, to come back with its files. */
	if (r == 0 && draft_stat_media(job_draft(j), &st) == 0)
		job_hide_name(j, KIND_MEDIA);
	return r;
}

/* Removes what is in a job's directory; the job itself is the engine's. */
static int rmdir_in_job(const struct tree *t, const struct node *dir, const char *name)
{
	CLEANUP(job_unrefp) struct job *j = jobs_get(t->jobs, dir->job);
	struct tree_entry e;
	int r;

	if (!j)
		return -ENOENT;
	r = tree_lookup(t, dir, name, &e);
	if (r < 0)
		return r;
	switch ((int)e.node.kind) {
	case KIND_OUTPUT:
	case KIND_TEXT:
		return remove_records(j, e.node.kind);
	case KIND_MEDIA:
		return remove_media(j);
	default:
		return -ENOTDIR;
	}
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	const struct tree *t = &ops_fs(req)->tree;
	const struct node dir = node_from_ino(parent);
	CLEANUP(job_unrefp) struct job *j = NULL;
	int r = ops_may_write(req);

	if (r == 0 && dir.kind != KIND_ROOT) {
		r = dir.job ? rmdir_in_job(t, &dir, name) : -EPERM;
		ops_reply(req, r);
		return;
	}
	j = r == 0 ? jobs_find(t->jobs, name) : NULL;
	if (r == 0 && !j)
		r = strcmp(name, ".batchfs") == 0 ? -EPERM : -ENOENT;
	if (r == 0)
		r = job_may_unlink(j);
	if (r == 0 && !tree_job_is_cleared(j))
		r = -ENOTEMPTY;
	if (r < 0)
		ops_reply(req, r);
	else
		jobs_remove(t->jobs, j, done, req);
}

/* --- renaming --- */

/* A job's directory gets another label; it cannot go anywhere else. */
static void rename_job(fuse_req_t req, const char *name, fuse_ino_t to_ino, const char *to,
		       unsigned flags)
{
	const struct tree *t = &ops_fs(req)->tree;
	CLEANUP(job_unrefp) struct job *j = jobs_find(t->jobs, name);
	CLEANUP(job_unrefp) struct job *there = NULL;

	if (!j || node_from_ino(to_ino).kind != KIND_ROOT) {
		ops_reply(req, j ? -EPERM : strcmp(name, ".batchfs") == 0 ? -EPERM : -ENOENT);
		return;
	}
	if (flags & ~(unsigned)RENAME_NOREPLACE) {
		ops_reply(req, -EINVAL);
		return;
	}
	there = jobs_find(t->jobs, to);
	if (there && there != j) {
		ops_reply(req, flags & RENAME_NOREPLACE ? -EEXIST : -ENOTEMPTY);
		return;
	}
	if (there)
		ops_reply(req, 0);
	else
		jobs_rename(t->jobs, j, to, done, req);
}

/* A reader of the user's file with that name, which a rename may take from it; NULL
 * if there is none.  See fs/opened.h. */
static struct file *hold_file(const struct tree *t, struct job *j, const struct node *dir,
			      const char *name)
{
	struct node n = {.kind = KIND_FILE, .job = dir->job};
	struct file *f;
	uint32_t number;

	if (draft_lookup(job_draft(j), ops_draft_dir(dir), name, &number) < 0)
		return NULL;
	n.index = number;
	return file_open(t, &n, O_RDONLY, &f) < 0 ? NULL : f;
}

/* Keeps what hold_file() gave if its name has gone. */
static void keep_file(const struct fs *fs, struct file *f, bool gone)
{
	if (f && gone)
		opened_keep(fs->opened, f);
	else
		file_close(f);
}

static int rename_file(const struct fs *fs, const struct node *from, const char *name,
		       const struct node *to, const char *to_name, unsigned flags)
{
	const struct tree *t = &fs->tree;
	CLEANUP(job_unrefp) struct job *j = NULL;
	struct tree_entry e;
	struct file *f;
	int r = tree_lookup(t, from, name, &e);

	if (r < 0)
		return r;
	if (e.node.kind != KIND_FILE)
		return -EACCES;
	if (from->job != to->job)
		return -EXDEV; /* then mv copies, which is right between jobs */
	if (to->kind != KIND_JOB && to->kind != KIND_MEDIA)
		return -EACCES;
	if (to->kind == KIND_JOB && (tree_is_reserved(to_name) || strcmp(to_name, "media") == 0))
		return -EACCES;
	j = jobs_get(t->jobs, from->job);
	if (!j)
		return -ENOENT;
	f = hold_file(t, j, to, to_name);
	r = draft_rename(job_draft(j), ops_draft_dir(from), name, ops_draft_dir(to), to_name,
			 flags);
	keep_file(fs, f, r == 0);
	return r;
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
		      const char *new_name, unsigned flags)
{
	const struct node from = node_from_ino(parent), to = node_from_ino(new_parent);
	int r = ops_may_write(req);

	if (r == 0 && from.kind == KIND_ROOT) {
		rename_job(req, name, new_parent, new_name, flags);
		return;
	}
	if (r == 0)
		r = rename_file(ops_fs(req), &from, name, &to, new_name, flags);
	ops_reply(req, r);
}

void opsdir_fill(struct fuse_lowlevel_ops *ops)
{
	ops->opendir = op_opendir;
	ops->releasedir = op_releasedir;
	ops->readdir = op_readdir;
	ops->readdirplus = op_readdirplus;
	ops->mkdir = op_mkdir;
	ops->unlink = op_unlink;
	ops->rmdir = op_rmdir;
	ops->rename = op_rename;
}
