#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/fdio.h"
#include "fs/ctl.h"
#include "fs/file.h"
#include "fs/ops.h"

/*
 * Open files.
 *
 * How the kernel is told to treat each class:
 *   changing, growing, blocking   past the page cache: two opens must not mix
 *   immutable                     keep what was cached, no flush at close
 *   user, O_WRONLY                past the page cache: streams fast, errors at once
 *   user, O_RDWR                  through it, so that a writable mapping works
 *   user, O_RDONLY                through it, read anew at each open
 */

#define CREATE_TRIES 16 /* each lost to a create and an unlink in that moment */

static struct file *file_of(const struct fuse_file_info *fi)
{
	return (struct file *)(uintptr_t)fi->fh;
}

static bool is_writing(int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
}

/* --- opening --- */

static bool is_toucher(fuse_req_t req, const struct node *n)
{
	return n->kind == KIND_STATUS && fuse_req_ctx(req)->pid == ops_fs(req)->toucher;
}

static int may_open(fuse_req_t req, const struct node *n, int flags)
{
	int r;

	if (!is_writing(flags) || is_toucher(req, n))
		return 0;
	r = ops_may_write(req);
	if (r == 0 && n->kind != KIND_FILE && n->kind != KIND_CTL)
		r = -EACCES;
	return r;
}

static void set_open_flags(const struct file *f, struct fuse_file_info *fi)
{
	int mode = fi->flags & O_ACCMODE;

	fi->fh = (uint64_t)(uintptr_t)f;
	fi->noflush = !is_writing(fi->flags);
	switch (f->class) {
	case CLASS_CHANGING:
	case CLASS_GROWING:
	case CLASS_BLOCKING:
		fi->direct_io = 1;
		break;
	case CLASS_IMMUTABLE:
		fi->keep_cache = 1;
		break;
	case CLASS_USER:
		fi->direct_io = mode == O_WRONLY;
		break;
	case CLASS_DIRECTORY:
		break;
	}
}

/* Who looks how an active job is would like to know how it is now. */
static void hurry(const struct fs *fs, const struct file *f)
{
	if (f->view &&
	    (f->node.kind == KIND_STATUS || f->node.kind == KIND_STATUS_JSON ||
	     f->node.kind == KIND_PROGRESS) &&
	    f->view->state >= JOB_SUBMITTED && !job_state_is_end(f->view->state))
		jobs_hurry(fs->tree.jobs);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	const struct fs *fs = ops_fs(req);
	const struct node n = node_from_ino(ino);
	struct file *f;
	int r = may_open(req, &n, fi->flags);

	if (r == 0)
		r = file_open(&fs->tree, &n, fi->flags, &f);
	if ((r == -ESTALE || r == -ENOENT) && n.kind == KIND_FILE &&
	    opened_reopen(fs->opened, &n, fi->flags, &f) == 0)
		r = 0;
	if (r < 0) {
		ops_reply(req, r);
		return;
	}
	opened_add(fs->opened, f);
	if (!is_writing(fi->flags)) /* the helper behind inotify asks nothing */
		hurry(fs, f);
	set_open_flags(f, fi);
	if (fuse_reply_open(req, fi) < 0)
		opened_close(fs->opened, f); /* interrupted: no release will come */
}

/* Makes the file, or opens it if another was faster and that is no fault. */
static int create_or_open(struct draft *d, enum draft_dir dir, const char *name, int flags,
			  uint32_t *ret_number, struct draft_handle **ret)
{
	int r = -EEXIST;

	for (int i = 0; i < CREATE_TRIES && r == -EEXIST; i++) {
		r = draft_create(d, dir, name, flags, ret_number, ret);
		if (r != -EEXIST || (flags & O_EXCL))
			return r;
		r = draft_lookup(d, dir, name, ret_number);
		if (r == 0)
			r = draft_open(d, *ret_number, flags, ret);
		if (r == -ENOENT)
			r = -EEXIST; /* gone again: once more */
	}
	return r;
}

/* A name that means something, or nothing to anybody, may be made; one that
 * is generated may not, also while it is absent. */
static int create(fuse_req_t req, const struct node *dir, const char *name, int flags,
		  struct tree_entry *ret_entry, struct file **ret)
{
	const struct tree *t = &ops_fs(req)->tree;
	CLEANUP(job_unrefp) struct job *j = NULL;
	struct node n = {.kind = KIND_FILE, .job = dir->job};
	struct draft_handle *h;
	uint32_t number;
	int r = ops_may_write(req);

	if (r < 0)
		return r;
	if (dir->kind != KIND_JOB && dir->kind != KIND_MEDIA)
		return dir->kind == KIND_ROOT ? -EPERM : -EACCES;
	if (dir->kind == KIND_JOB && (tree_is_reserved(name) || strcmp(name, "media") == 0))
		return -EACCES;
	j = jobs_get(t->jobs, dir->job);
	if (!j)
		return -ENOENT;
	r = create_or_open(job_draft(j), ops_draft_dir(dir), name, flags, &number, &h);
	if (r < 0)
		return r;
	if (number > TREE_INDEX_MAX) {
		draft_release(h);
		r = draft_unlink(job_draft(j), ops_draft_dir(dir), name, 0);
		return r < 0 ? r : -ENOSPC;
	}
	n.index = number;
	r = file_new_user(&n, j, h, ret);
	if (r < 0)
		return r;
	/* Of the descriptor: the name may be gone by now. */
	if (fstat(file_fd(*ret), &ret_entry->st) == 0)
		return tree_finish_user(t, &n, ret_entry);
	r = -errno;
	file_close(*ret);
	return r;
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		      struct fuse_file_info *fi)
{
	const struct node dir = node_from_ino(parent);
	struct fuse_entry_param p;
	struct tree_entry e;
	struct file *f;
	int r;

	(void)mode;
	r = create(req, &dir, name, fi->flags, &e, &f);
	if (r < 0) {
		ops_reply(req, r);
		return;
	}
	opened_add(ops_fs(req)->opened, f);
	set_open_flags(f, fi);
	ops_set_entry(&e, &p);
	if (fuse_reply_create(req, &p, fi) < 0)
		opened_close(ops_fs(req)->opened, f);
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t dev)
{
	const struct node dir = node_from_ino(parent);
	struct tree_entry e;
	struct file *f;
	int r = -EPERM;

	(void)dev;
	if (S_ISREG(mode))
		r = create(req, &dir, name, O_RDONLY | O_EXCL, &e, &f);
	if (r < 0) {
		ops_reply(req, r);
		return;
	}
	file_close(f);
	ops_reply_entry(req, &e);
}

/* --- reading --- */

static void read_descriptor(fuse_req_t req, int fd, size_t size, off_t offset)
{
	struct fuse_bufvec v = FUSE_BUFVEC_INIT(size);

	v.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
	v.buf[0].fd = fd;
	v.buf[0].pos = offset;
	fuse_reply_data(req, &v, FUSE_BUF_SPLICE_MOVE);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		    struct fuse_file_info *fi)
{
	struct file *f = file_of(fi);
	const char *bytes;
	size_t n;

	(void)ino;
	switch (f->class) {
	case CLASS_BLOCKING:
		waiters_read(ops_fs(req)->waiters, req, f, size, offset);
		return;
	case CLASS_GROWING:
	case CLASS_USER:
		read_descriptor(req, file_fd(f), size, offset);
		return;
	case CLASS_CHANGING:
	case CLASS_IMMUTABLE:
	case CLASS_DIRECTORY:
		break;
	}
	bytes = file_bytes(f, (uint64_t)offset, size, &n);
	fuse_reply_buf(req, bytes, n);
}

/* --- writing --- */

struct commanding {
	fuse_req_t req;
	struct jobs *jobs;
	struct job *job; /* a reference */
	struct ctl_commands commands;
	size_t next, size;
};

/* One after the other: the first that fails is what write(2) says. */
static void commanded(void *ctx, int r, struct job *j)
{
	struct commanding *c = ctx;

	(void)j;
	if (r == 0 && c->next < c->commands.count) {
		jobs_command(c->jobs, c->job, c->commands.orders[c->next++], commanded, c);
		return;
	}
	if (r < 0)
		ops_reply(c->req, r);
	else
		fuse_reply_write(c->req, c->size);
	job_unref(c->job);
	free(c);
}

static void write_ctl(fuse_req_t req, struct file *f, const char *bytes, size_t size)
{
	struct commanding *c = calloc(1, sizeof(*c));
	int r = c ? ctl_parse(f->job, bytes, size, &c->commands) : -ENOMEM;

	if (r < 0) {
		free(c);
		ops_reply(req, r);
		return;
	}
	c->req = req;
	c->jobs = ops_fs(req)->tree.jobs;
	c->job = job_ref(f->job);
	c->size = size;
	commanded(c, 0, NULL);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t size, off_t offset,
		     struct fuse_file_info *fi)
{
	struct file *f = file_of(fi);
	int r;

	(void)ino;
	if (f->class == CLASS_USER) {
		r = f->draft ? draft_write(f->draft, bytes, size, (uint64_t)offset, fi->writepage)
			     : fdio_pwrite(file_fd(f), bytes, size,
					   (uint64_t)offset); /* a file without a name */
		if (r < 0)
			ops_reply(req, r);
		else
			fuse_reply_write(req, size);
	} else if (f->node.kind == KIND_CTL) {
		write_ctl(req, f, bytes, size);
	} else {
		/* The toucher's mark: it has done its work by coming this far. */
		fuse_reply_write(req, size);
	}
}

/* --- closing --- */

struct slow {
	fuse_req_t req;
	struct draft_handle *handle; /* open until its request is answered */
};

static void flush_slowly(void *arg)
{
	struct slow *s = arg;

	ops_reply(s->req, draft_flush_slow(s->handle));
	free(s);
}

static void sync_slowly(void *arg)
{
	struct slow *s = arg;
	int r = draft_sync(s->handle);

	if (r == -EINPROGRESS)
		r = draft_flush_slow(s->handle);
	ops_reply(s->req, r);
	free(s);
}

static void later(fuse_req_t req, struct file *f, void (*run)(void *))
{
	struct slow *s = malloc(sizeof(*s));

	if (s)
		*s = (struct slow){.req = req, .handle = f->draft};
	if (!s || pool_add(ops_fs(req)->pool, run, s) < 0) {
		free(s);
		fuse_reply_err(req, ENOMEM);
	}
}

static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct file *f = file_of(fi);
	int r = f->draft ? draft_flush(f->draft) : 0;

	(void)ino;
	if (r == -EINPROGRESS)
		later(req, f, flush_slowly);
	else
		ops_reply(req, r);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct file *f = file_of(fi);

	(void)ino;
	(void)datasync;
	if (f->draft)
		later(req, f, sync_slowly);
	else
		ops_reply(req, 0);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct file *f = file_of(fi);

	(void)ino;
	waiters_forget(ops_fs(req)->waiters, f);
	opened_close(ops_fs(req)->opened, f);
	ops_reply(req, 0);
}

/* --- poll(2) --- */

static bool is_polled(const struct file *f)
{
	return f->job && (f->class == CLASS_CHANGING || f->class == CLASS_BLOCKING) &&
	       f->node.kind != KIND_CTL;
}

static void op_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
		    struct fuse_pollhandle *ph)
{
	struct file *f = file_of(fi);
	unsigned events = POLLIN | POLLOUT;

	(void)ino;
	if (is_polled(f))
		events = waiters_poll(ops_fs(req)->waiters, f, ph) ? POLLIN | POLLPRI : 0;
	else if (ph)
		fuse_pollhandle_destroy(ph);
	fuse_reply_poll(req, events);
}

void opsfile_fill(struct fuse_lowlevel_ops *ops)
{
	ops->open = op_open;
	ops->create = op_create;
	ops->mknod = op_mknod;
	ops->read = op_read;
	ops->write = op_write;
	ops->flush = op_flush;
	ops->fsync = op_fsync;
	ops->release = op_release;
	ops->poll = op_poll;
}
