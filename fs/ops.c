#include "fs/ops.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "fs/file.h"

/* Names and attributes, and the life of the session. */

#define BACKGROUND_MAX 64

struct fs *ops_fs(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

int ops_may_write(fuse_req_t req)
{
	const struct fs *fs = ops_fs(req);

	if (fs->tree.read_only)
		return -EROFS;
	return fuse_req_ctx(req)->uid == fs->tree.uid ? 0 : -EACCES;
}

enum draft_dir ops_draft_dir(const struct node *dir)
{
	return dir->kind == KIND_MEDIA ? DRAFT_MEDIA : DRAFT_TOP;
}

void ops_reply(fuse_req_t req, int r)
{
	fuse_reply_err(req, -r);
}

void ops_set_entry(const struct tree_entry *e, struct fuse_entry_param *ret)
{
	*ret = (struct fuse_entry_param){.ino = e->st.st_ino,
					 .generation = e->generation,
					 .attr = e->st,
					 .attr_timeout = e->attr_timeout,
					 .entry_timeout = e->entry_timeout};
}

void ops_reply_entry(fuse_req_t req, const struct tree_entry *e)
{
	struct fuse_entry_param p;

	ops_set_entry(e, &p);
	fuse_reply_entry(req, &p);
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	struct fs *fs = userdata;

	/* Listings carry attributes always, not when the kernel guesses that
	 * they are wanted: `cat output/\*` saves a lookup a file. */
	if (conn->capable & FUSE_CAP_READDIRPLUS)
		conn->want |= FUSE_CAP_READDIRPLUS;
	conn->want &= ~(unsigned)FUSE_CAP_READDIRPLUS_AUTO;
	conn->max_background = BACKGROUND_MAX;
	conn->congestion_threshold = BACKGROUND_MAX * 3 / 4;
	if (fs->ready_fd < 0)
		return;
	/* The parent may go; from here on only syslog is spoken to. */
	ignore_error((int)write(fs->ready_fd, "", 1));
	fd_closep(&fs->ready_fd);
	dup2(STDOUT_FILENO, STDERR_FILENO);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	const struct node dir = node_from_ino(parent);
	struct tree_entry e;
	int r = tree_lookup(&ops_fs(req)->tree, &dir, name, &e);

	/* Absent names are not remembered: results appear by themselves. */
	if (r < 0)
		ops_reply(req, r);
	else
		ops_reply_entry(req, &e);
}

/* Lookups are not counted: only a file without a name is kept for the kernel,
 * and that it forgets wholly or not at all. */
static void forget(struct fs *fs, fuse_ino_t ino)
{
	const struct node n = node_from_ino(ino);

	if (n.kind == KIND_FILE)
		opened_forget(fs->opened, &n);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
	(void)count;
	forget(ops_fs(req), ino);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		forget(ops_fs(req), forgets[i].ino);
	fuse_reply_none(req);
}

static void reply_attr(fuse_req_t req, fuse_ino_t ino)
{
	const struct fs *fs = ops_fs(req);
	const struct node n = node_from_ino(ino);
	struct tree_entry e;
	int r = tree_stat(&fs->tree, &n, &e);

	if ((r == -ENOENT || r == -ESTALE) && opened_stat(fs->opened, &fs->tree, &n, &e) == 0)
		r = 0;
	if (r < 0)
		ops_reply(req, r);
	else
		fuse_reply_attr(req, &e.st, e.attr_timeout);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)fi;
	reply_attr(req, ino);
}

/* Times as utimensat(2) takes them; false if there are none to set. */
static bool get_times(const struct stat *st, int to_set, struct timespec times[2])
{
	times[0] = times[1] = (struct timespec){.tv_nsec = UTIME_OMIT};
	if (to_set & FUSE_SET_ATTR_ATIME)
		times[0] = st->st_atim;
	if (to_set & FUSE_SET_ATTR_MTIME)
		times[1] = st->st_mtim;
	if (to_set & FUSE_SET_ATTR_ATIME_NOW)
		times[0].tv_nsec = UTIME_NOW;
	if (to_set & FUSE_SET_ATTR_MTIME_NOW)
		times[1].tv_nsec = UTIME_NOW;
	return times[0].tv_nsec != UTIME_OMIT || times[1].tv_nsec != UTIME_OMIT;
}

static int set_named(struct draft *d, uint32_t number, const struct stat *st, int to_set)
{
	struct timespec times[2];
	int r = 0;

	if (to_set & FUSE_SET_ATTR_SIZE)
		r = draft_truncate(d, number, (uint64_t)st->st_size);
	if (r == 0 && (to_set & FUSE_SET_ATTR_MODE))
		r = draft_set_mode(d, number, st->st_mode);
	if (r == 0 && get_times(st, to_set, times))
		r = draft_set_times(d, number, times);
	return r;
}

/* Of a file that is open and has no name any more. */
static int set_unnamed(struct opened *o, const struct node *n, const struct stat *st, int to_set)
{
	struct timespec times[2];
	struct file *f;
	int r = opened_reopen(o, n, O_RDWR, &f);

	if (r < 0)
		return r;
	if ((to_set & FUSE_SET_ATTR_SIZE) && ftruncate(file_fd(f), st->st_size) < 0)
		r = -errno;
	if (r == 0 && (to_set & FUSE_SET_ATTR_MODE) &&
	    fchmod(file_fd(f), (st->st_mode & 0777) | 0600) < 0)
		r = -errno;
	if (r == 0 && get_times(st, to_set, times) && futimens(file_fd(f), times) < 0)
		r = -errno;
	file_close(f);
	return r;
}

static int set_user_file(const struct fs *fs, const struct node *n, const struct stat *st,
			 int to_set, struct draft_handle *h)
{
	CLEANUP(job_unrefp) struct job *j = NULL;
	int r;

	if (h && (to_set & FUSE_SET_ATTR_SIZE)) {
		r = draft_handle_truncate(h, (uint64_t)st->st_size);
		if (r < 0)
			return r;
		to_set &= ~FUSE_SET_ATTR_SIZE;
	}
	j = jobs_get(fs->tree.jobs, n->job);
	r = j ? set_named(job_draft(j), (uint32_t)n->index, st, to_set) : -ENOENT;
	return r == -ENOENT ? set_unnamed(fs->opened, n, st, to_set) : r;
}

/* Modes and times of what is generated are taken and have no effect, as the
 * owner of a user's file is: cp -p, tar and rsync fail on a refusal. */
static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int to_set,
		       struct fuse_file_info *fi)
{
	const struct node n = node_from_ino(ino);
	const struct file *f = fi ? (const struct file *)(uintptr_t)fi->fh : NULL;
	int r = ops_may_write(req);

	if (r == 0 && n.kind == KIND_FILE) {
		r = set_user_file(ops_fs(req), &n, st, to_set, f ? f->draft : NULL);
	} else if (r == 0 && n.job == 0 && n.kind != KIND_ROOT) {
		r = -EACCES;
	} else if (r == 0 && (to_set & FUSE_SET_ATTR_SIZE) && n.kind != KIND_CTL &&
		   !(n.kind == KIND_STATUS && fuse_req_ctx(req)->pid == ops_fs(req)->toucher)) {
		r = -EACCES;
	}
	if (r < 0)
		ops_reply(req, r);
	else
		reply_attr(req, ino);
}

/* Rights are checked here and not by the kernel: a mode of 0444 must not make
 * `rm -r` ask, nor hide why a job is busy. */
static void op_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
	const struct node n = node_from_ino(ino);
	const struct kind_info *info = kind_info(n.kind);
	int r = 0;

	if ((mask & X_OK) && info->class != CLASS_DIRECTORY)
		r = -EACCES;
	if (r == 0 && (mask & W_OK))
		r = ops_may_write(req);
	ops_reply(req, r);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs st;

	(void)ino;
	if (statvfs(ops_fs(req)->state_dir, &st) < 0) {
		fuse_reply_err(req, errno);
		return;
	}
	st.f_namemax = TREE_NAME_MAX;
	fuse_reply_statfs(req, &st);
}

/* One kind of file is all there is. */
static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	(void)ino;
	(void)parent;
	(void)name;
	fuse_reply_err(req, EPERM);
}

static void op_symlink(fuse_req_t req, const char *link, fuse_ino_t parent, const char *name)
{
	(void)link;
	(void)parent;
	(void)name;
	fuse_reply_err(req, EPERM);
}

void ops_fill(struct fuse_lowlevel_ops *ops)
{
	/* No xattr operations: the kernel learns once that there are none and
	 * stops asking, which is worth a factor of three in `ls -l`. */
	*ops = (struct fuse_lowlevel_ops){
		.init = op_init,
		.lookup = op_lookup,
		.forget = op_forget,
		.forget_multi = op_forget_multi,
		.getattr = op_getattr,
		.setattr = op_setattr,
		.access = op_access,
		.statfs = op_statfs,
		.link = op_link,
		.symlink = op_symlink,
	};
	opsdir_fill(ops);
	opsfile_fill(ops);
}
