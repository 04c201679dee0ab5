/*
 * Content of the user's files: what a handle does.  The file's mutex keeps
 * writes and the check of what was written in the same order.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/fdio.h"
#include "fs/base/log.h"
#include "fs/job/draft_private.h"

/* --- opening --- */

/* A handle for f, which the list holds; counts it as a writer if it is one. */
static int handle_locked(struct draft *d, struct draft_file *f, int fd, int flags,
			 struct draft_handle **ret)
{
	struct draft_handle *h = calloc(1, sizeof(*h));

	if (!h) {
		close(fd);
		return -ENOMEM;
	}
	h->draft = d;
	h->file = f;
	h->fd = fd;
	h->writer = (flags & O_ACCMODE) != O_RDONLY;
	h->append = (flags & O_APPEND) != 0;
	h->reader = (flags & O_ACCMODE) == O_RDWR;
	f->refs++;
	if (h->writer) {
		f->writers++;
		draft_touch_locked(d, f->role);
	}
	*ret = h;
	return 0;
}

/* What of the caller's flags the local file is opened with: offsets are ours,
 * so O_APPEND is too; a writer also reads, to judge what it wrote. */
static int local_flags(int flags)
{
	int keep = O_CLOEXEC | O_NOFOLLOW;

	return keep | ((flags & O_ACCMODE) == O_RDONLY ? O_RDONLY : O_RDWR);
}

int draft_create(struct draft *d, enum draft_dir dir, const char *name, int flags,
		 uint32_t *ret_number, struct draft_handle **ret)
{
	struct draft_file as = {.role = draft_role_of(dir, name)}, *f;
	struct draft_path path;
	bool changed = false;
	int fd, r;

	draft_lock(d);
	r = draft_may_change_locked(d, &as);
	f = draft_find_locked(d, dir, name);
	if (r == 0 && f)
		r = -EEXIST;
	if (r == 0 && dir == DRAFT_MEDIA && !d->has_media)
		r = -ENOENT;
	if (r == 0) {
		path = draft_path_to(d, dir, name);
		fd = open(path.text, local_flags(flags) | O_CREAT | O_EXCL, 0600);
		r = fd < 0 ? -errno : 0;
	}
	if (r == 0) {
		r = fchmod(fd, 0644) < 0 ? -errno : 0; /* what is shown */
		f = r == 0 ? draft_add_locked(d, dir, name) : NULL;
		if (!f) {
			close(fd);
			unlink(path.text);
			r = r < 0 ? r : -ENOSPC;
		}
	}
	if (r == 0) {
		*ret_number = f->number;
		r = handle_locked(d, f, fd, flags, ret);
		changed = true;
	}
	pthread_mutex_unlock(&d->mutex);
	if (changed)
		d->rules.changed(d->rules.ctx);
	return r;
}

int draft_open(struct draft *d, uint32_t number, int flags, struct draft_handle **ret)
{
	struct draft_file *f;
	bool writer = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
	int fd, r = 0;

	draft_lock(d);
	f = draft_by_number_locked(d, number);
	if (!f)
		r = -ENOENT;
	if (r == 0 && writer)
		r = draft_may_change_locked(d, f);
	if (r == 0) {
		flags = writer && (flags & O_ACCMODE) == O_RDONLY ? flags | O_RDWR : flags;
		fd = open(draft_path_to(d, f->dir, f->name).text, local_flags(flags));
		r = fd < 0 ? -errno : handle_locked(d, f, fd, flags, ret);
	}
	pthread_mutex_unlock(&d->mutex);
	if (r == 0 && (flags & O_TRUNC)) {
		r = draft_handle_truncate(*ret, 0);
		if (r < 0)
			draft_release(*ret);
	}
	if (r == 0 && writer)
		d->rules.changed(d->rules.ctx);
	return r;
}

/* --- content --- */

int draft_handle_fd(const struct draft_handle *h)
{
	return h->fd;
}

bool draft_handle_is_writer(const struct draft_handle *h)
{
	return h->writer;
}

int draft_read_small(int fd, struct buf *out)
{
	for (;;) {
		char *at = buf_reserve(out, 4096);
		ssize_t n;

		if (!at)
			return buf_error(out);
		n = pread(fd, at, 4096, (off_t)out->size);
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		out->size += (size_t)n;
		out->data[out->size] = '\0';
	}
}

static int judge_model(struct draft *d, const char *text, size_t size, bool whole, struct err *e)
{
	char model[DRAFT_MODEL_MAX + 1];
	size_t n = size;

	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r' || text[n - 1] == ' ' ||
			 text[n - 1] == '\t'))
		n--;
	/* Without its newline a line may still grow: an editor's portion. */
	if (n == 0 || (!whole && n == size))
		return 0;
	if (n > DRAFT_MODEL_MAX)
		return err_set(e, -EINVAL, "model: longer than %d bytes; write one model id",
			       DRAFT_MODEL_MAX);
	for (size_t i = 0; i < n; i++)
		if (text[i] <= ' ' || text[i] > '~')
			return err_set(e, -EINVAL,
				       "model: byte %zu is a space, a line break or not ASCII; "
				       "write one model id on one line",
				       i + 1);
	memcpy(model, text, n);
	model[n] = '\0';
	return d->rules.check_model(d->rules.ctx, model, e);
}

static int judge_config(struct draft *d, const char *text, size_t size, bool whole, struct err *e)
{
	CLEANUP(kv_release) struct kv kv = KV_INIT;
	const char *last = whole ? NULL : memrchr(text, '\n', size);
	int r;

	if (!whole)
		size = last ? (size_t)(last - text) + 1 : 0;
	r = kv_parse(&kv, "config", text, size, e);
	for (size_t i = 0; i < kv.count && r == 0; i++) {
		r = d->rules.check_config(d->rules.ctx, kv.pairs[i].key, kv.pairs[i].value, e);
		if (r == -ENOENT)
			r = err_set(e, -EINVAL,
				    "config: there is no setting \"%s\" here; see config in "
				    ".batchfs/README",
				    kv.pairs[i].key);
	}
	return r;
}

int draft_judge(struct draft *d, enum draft_role role, const char *text, size_t size, bool whole,
		struct err *e)
{
	if (role == DRAFT_ROLE_MODEL)
		return judge_model(d, text, size, whole, e);
	if (role == DRAFT_ROLE_CONFIG)
		return judge_config(d, text, size, whole, e);
	return 0;
}

static enum draft_role role_now(struct draft_handle *h, int *ret_may)
{
	enum draft_role role;

	pthread_mutex_lock(&h->draft->mutex);
	role = h->file->unlinked ? DRAFT_ROLE_SCRATCH : h->file->role;
	*ret_may = h->file->unlinked ? 0 : draft_may_change_locked(h->draft, h->file);
	pthread_mutex_unlock(&h->draft->mutex);
	return role;
}

static bool is_small(enum draft_role role)
{
	return role == DRAFT_ROLE_MODEL || role == DRAFT_ROLE_CONFIG;
}

static void set_fault(struct draft_file *f, const char *words)
{
	free(f->fault);
	f->fault = words ? strdup(words) : NULL;
}

void draft_take_mark(struct draft_file *f)
{
	f->marked = true;
	if (!is_small(f->role))
		f->torn = -EIO; /* from its beginning, for all that is known */
	else if (asprintf(&f->fault,
			  "%s: its last write was refused or cut off before the mount was ended; "
			  "write it again, or remove it",
			  f->name) < 0)
		f->fault = NULL; /* and asked again at its next start */
}

void draft_mark_locked(struct draft_file *f, int fd, bool bad)
{
	struct stat st;

	if (bad == f->marked)
		return;
	if (fstat(fd, &st) < 0 || fchmod(fd, (st.st_mode & 0777) | (bad ? DRAFT_MARK : 0)) < 0)
		log_warning("draft", "%s: cannot be marked: %s", f->name, strerror(errno));
	else
		f->marked = bad;
}

/* What a small file would be after the write, judged before it is made. */
static int judge_write_locked(struct draft_handle *h, enum draft_role role, const char *bytes,
			      size_t size, uint64_t offset)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT(KV_TEXT_MAX);
	struct err e = ERR_INIT;
	int r;

	r = draft_read_small(h->fd, &text);
	if (r == 0 && offset + size > text.size) {
		size_t more = (size_t)(offset + size - text.size);

		if (offset > KV_TEXT_MAX || !buf_reserve(&text, more))
			r = -EFBIG;
		else
			memset(text.data + text.size, 0, more);
	}
	if (r == -EFBIG)
		set_fault(h->file, draft_describe_long(h->file->name).text);
	if (r < 0)
		return r;
	if (offset + size > text.size)
		text.size = (size_t)(offset + size);
	memcpy(text.data + offset, bytes, size);
	r = draft_judge(h->draft, role, text.data, text.size, false, &e);
	set_fault(h->file, r < 0 ? e.text : NULL);
	return r;
}

/* The check of an input, made when first needed. */
static struct input *check_of_locked(struct draft_file *f, const char *scratch_dir)
{
	struct err e = ERR_INIT;

	if (!f->check && input_new(scratch_dir, &f->check, &e) < 0)
		log_warning("draft", "%s", e.text);
	return f->check;
}

void draft_describe_torn(const char *name, int torn, struct err *e)
{
	err_errno(e, torn, "%s: not whole, as a write of it failed; write it again", name);
}

struct err draft_describe_long(const char *name)
{
	struct err e = ERR_INIT;

	err_set(&e, -EFBIG, "%s: longer than %d bytes; write a shorter one", name, KV_TEXT_MAX);
	return e;
}

/* The content is another, whether all of it arrived or not. */
static void wrote_locked(struct draft_file *f, uint64_t offset, int r)
{
	f->dirty = true;
	f->version++;
	if (r < 0 && (!f->torn || offset < f->torn_offset)) {
		f->torn = r;
		f->torn_offset = offset;
	} else if (r == 0 && f->torn && offset <= f->torn_offset) {
		f->torn = 0;
	}
}

int draft_write(struct draft_handle *h, const char *bytes, size_t size, uint64_t offset,
		bool from_cache)
{
	struct draft_file *f = h->file;
	enum draft_role role;
	bool refused = false;
	struct stat st;
	int r;

	if (!h->writer)
		return -EBADF;
	role = role_now(h, &r);
	if (r < 0)
		return r;
	pthread_mutex_lock(&f->mutex);
	if (h->append && !from_cache && fstat(h->fd, &st) == 0)
		offset = (uint64_t)st.st_size;
	if (is_small(role)) {
		r = judge_write_locked(h, role, bytes, size, offset);
		refused = r < 0;
		draft_mark_locked(f, h->fd, true); /* until it is found good, whole */
	}
	if (r == 0) {
		r = fdio_pwrite(h->fd, bytes, size, offset);
		wrote_locked(f, offset, r);
		if (role == DRAFT_ROLE_INPUT)
			ignore_error(!check_of_locked(f, h->draft->scratch_dir));
		/* Whatever its role was a moment ago: a check must hear of it.  How
		 * much of a failed write arrived is not known. */
		if (f->check && r == 0)
			input_written(f->check, offset, bytes, size);
		else if (f->check)
			input_truncated(f->check, UINT64_MAX);
	}
	if (!is_small(role))
		draft_mark_locked(f, h->fd, f->torn != 0);
	pthread_mutex_unlock(&f->mutex);
	if (refused) {
		pthread_mutex_lock(&h->draft->mutex);
		draft_touch_locked(h->draft, role);
		pthread_mutex_unlock(&h->draft->mutex);
		h->draft->rules.changed(h->draft->rules.ctx);
	}
	return r;
}

int draft_handle_truncate(struct draft_handle *h, uint64_t size)
{
	struct draft_file *f = h->file;
	enum draft_role role;
	int r;

	role = role_now(h, &r);
	if (r < 0)
		return r;
	pthread_mutex_lock(&f->mutex);
	if (ftruncate(h->fd, (off_t)size) < 0) {
		r = -errno;
	} else {
		f->dirty = true;
		f->version++;
		set_fault(f, NULL);
		if (size <= f->torn_offset)
			f->torn = 0;
		draft_mark_locked(f, h->fd, is_small(role) || f->torn);
		if (role == DRAFT_ROLE_INPUT && check_of_locked(f, h->draft->scratch_dir)) {
			if (size == 0)
				input_reset(f->check);
			else
				input_truncated(f->check, size);
		}
	}
	pthread_mutex_unlock(&f->mutex);
	return r;
}

/* A model or config may end without a newline: now it is whole. */
static int flush_small_locked(struct draft_handle *h, enum draft_role role)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT(KV_TEXT_MAX);
	struct err e = ERR_INIT;
	int r;

	if (h->file->fault)
		return -EINVAL;
	r = draft_read_small(h->fd, &text);
	if (r == 0)
		r = draft_judge(h->draft, role, text.data, text.size, true, &e);
	if (r == -EINVAL)
		set_fault(h->file, e.text);
	return r;
}

static int flush_input_locked(struct draft_handle *h)
{
	struct draft_file *f = h->file;
	struct stat st;

	if (fstat(h->fd, &st) < 0)
		return -errno;
	if (!f->check || !input_is_current(f->check, (uint64_t)st.st_size)) {
		/* A file that was cut to length for a mapping is still to be
		 * filled when its descriptor closes: that is judged at commit. */
		if (st.st_size == 0 || h->reader)
			return 0;
		return -EINPROGRESS;
	}
	return input_has_fault(f->check) ? -EINVAL : 0;
}

int draft_flush(struct draft_handle *h)
{
	struct draft_file *f = h->file;
	enum draft_role role;
	int r = 0, may;

	if (!h->writer)
		return 0;
	role = role_now(h, &may);
	pthread_mutex_lock(&f->mutex);
	if (f->torn && role != DRAFT_ROLE_SCRATCH) {
		r = -EINVAL;
	} else if (f->dirty || f->fault) {
		if (is_small(role)) {
			r = flush_small_locked(h, role);
			draft_mark_locked(f, h->fd, r < 0);
		} else if (role == DRAFT_ROLE_INPUT) {
			r = flush_input_locked(h);
		}
	}
	pthread_mutex_unlock(&f->mutex);
	return r;
}

/* Reads the file into a check of its own, without the file's mutex, and puts
 * that in its place if the file is still the one that was read. */
int draft_flush_slow(struct draft_handle *h)
{
	struct draft_file *f = h->file;
	struct err e = ERR_INIT;
	struct input *fresh;
	uint64_t version;
	int r;

	pthread_mutex_lock(&f->mutex);
	version = f->version;
	pthread_mutex_unlock(&f->mutex);
	r = input_new(h->draft->scratch_dir, &fresh, &e);
	if (r == 0) {
		r = input_rescan(fresh, h->fd, &h->draft->cancel, &e);
		if (r == 0 && input_has_fault(fresh))
			r = -EINVAL;
		pthread_mutex_lock(&f->mutex);
		if ((r == 0 || r == -EINVAL) && f->version == version) {
			struct input *old = f->check;

			f->check = fresh;
			fresh = old;
		}
		pthread_mutex_unlock(&f->mutex);
		input_free(fresh);
	}
	if (r < 0 && r != -EINVAL)
		log_warning("draft", "%s", e.text);
	return r;
}

int draft_sync(struct draft_handle *h)
{
	int r;

	if (fsync(h->fd) < 0)
		return -errno;
	r = draft_sync_dir(h->draft); /* the name as well: the file may be new */
	return r < 0 ? r : draft_flush(h);
}

void draft_release(struct draft_handle *h)
{
	struct draft *d = h->draft;
	struct draft_file *f = h->file;
	bool writer = h->writer, dirty;

	draft_lock(d);
	if (writer) {
		f->writers--;
		pthread_mutex_lock(&f->mutex);
		dirty = f->dirty && f->writers == 0;
		if (dirty)
			f->dirty = false;
		if (dirty && !f->fault && !f->torn)
			draft_mark_locked(f, h->fd, false);
		pthread_mutex_unlock(&f->mutex);
		if (dirty && !f->unlinked)
			draft_commit_locked(d, f);
		d->events++;
	}
	draft_file_unref_locked(f);
	pthread_mutex_unlock(&d->mutex);
	close(h->fd);
	free(h);
	if (writer)
		d->rules.changed(d->rules.ctx);
}
