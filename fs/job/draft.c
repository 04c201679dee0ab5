#include "fs/job/draft.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/log.h"
#include "fs/job/draft_private.h"

/*
 * Names.  The list mirrors the local directory: every change is made on disk
 * first, under the draft's mutex, so that the two never differ for longer than
 * one system call.  These are local metadata operations of microseconds; the
 * rule against disk work under a lock is about waiting, and nothing here does.
 *
 * A file's number is its identity for the kernel (inode numbers are made of
 * it): it follows the file through renames, as an inode does, and is not used
 * again in the life of the daemon.
 */

struct draft_path draft_path_to(const struct draft *d, enum draft_dir dir, const char *name)
{
	struct draft_path p;
	size_t n = strlen(d->dir);

	/* Within bounds by DRAFT_DIR_MAX and DRAFT_NAME_MAX. */
	memcpy(p.text, d->dir, n);
	snprintf(p.text + n, sizeof(p.text) - n, "/%s%s", dir == DRAFT_MEDIA ? "media/" : "", name);
	return p;
}

int draft_fstat_locked(const struct draft *d, const struct draft_file *f, struct stat *ret)
{
	if (lstat(draft_path_to(d, f->dir, f->name).text, ret) < 0)
		return -errno;
	ret->st_mode &= ~(mode_t)DRAFT_MARK;
	ret->st_nlink = 1; /* a part's input may be a link to it: tar would look for the other */
	return 0;
}

enum draft_role draft_role_of(enum draft_dir dir, const char *name)
{
	static const char *const names[DRAFT_ROLE_COUNT] = {
		[DRAFT_ROLE_INPUT] = "input.jsonl",
		[DRAFT_ROLE_MODEL] = "model",
		[DRAFT_ROLE_CONFIG] = "config",
	};

	if (dir == DRAFT_MEDIA)
		return DRAFT_ROLE_MEDIA;
	for (int i = 0; i < DRAFT_ROLE_COUNT; i++)
		if (names[i] && strcmp(names[i], name) == 0)
			return (enum draft_role)i;
	return DRAFT_ROLE_SCRATCH;
}

struct draft_file *draft_find_locked(struct draft *d, enum draft_dir dir, const char *name)
{
	for (size_t i = 0; i < d->count; i++)
		if (d->files[i]->dir == dir && strcmp(d->files[i]->name, name) == 0)
			return d->files[i];
	return NULL;
}

struct draft_file *draft_by_number_locked(struct draft *d, uint32_t number)
{
	size_t low = 0, high = d->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (d->files[mid]->number < number)
			low = mid + 1;
		else
			high = mid;
	}
	return low < d->count && d->files[low]->number == number ? d->files[low] : NULL;
}

struct draft_file *draft_by_role_locked(struct draft *d, enum draft_role role)
{
	for (size_t i = 0; i < d->count; i++)
		if (d->files[i]->role == role)
			return d->files[i];
	return NULL;
}

void draft_file_unref_locked(struct draft_file *f)
{
	assert(f->refs > 0);
	if (--f->refs > 0)
		return;
	input_free(f->check);
	free(f->fault);
	pthread_mutex_destroy(&f->mutex);
	free(f->name);
	free(f);
}

void draft_touch_locked(struct draft *d, enum draft_role role)
{
	d->touched_ns = clock_mono_ns(d->rules.clock);
	d->events++;
	d->edits += role != DRAFT_ROLE_SCRATCH;
}

void draft_commit_locked(struct draft *d, struct draft_file *f)
{
	f->commit_seq = ++d->last_commit;
	draft_touch_locked(d, f->role);
}

int draft_may_change_locked(const struct draft *d, const struct draft_file *f)
{
	if (f->role == DRAFT_ROLE_SCRATCH || d->seal == DRAFT_OPEN)
		return 0;
	return d->seal == DRAFT_ACTIVE ? -EBUSY : -EACCES;
}

static bool is_hidden_locked(const struct draft *d, const struct draft_file *f)
{
	return f->hidden_until_ns > clock_mono_ns(d->rules.clock);
}

struct draft_file *draft_add_locked(struct draft *d, enum draft_dir dir, const char *name)
{
	struct draft_file **files, *f;

	if (d->count >= DRAFT_FILES_MAX)
		return NULL;
	files = realloc(d->files, (d->count + 1) * sizeof(*files));
	if (!files)
		return NULL;
	d->files = files;
	f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->name = strdup(name);
	if (!f->name) {
		free(f);
		return NULL;
	}
	f->number = ++d->last_number;
	f->dir = dir;
	f->role = draft_role_of(dir, name);
	f->refs = 1;
	pthread_mutex_init(&f->mutex, NULL);
	d->files[d->count++] = f;
	return f;
}

static void drop_locked(struct draft *d, struct draft_file *f)
{
	for (size_t i = 0; i < d->count; i++) {
		if (d->files[i] != f)
			continue;
		memmove(&d->files[i], &d->files[i + 1], (d->count - i - 1) * sizeof(d->files[0]));
		d->count--;
		break;
	}
	f->unlinked = true;
	draft_file_unref_locked(f);
}

/* Of the two keys the younger on disk came last; they count as committed. */
static void order_commits(struct draft *d)
{
	struct draft_file *input = draft_by_role_locked(d, DRAFT_ROLE_INPUT);
	struct draft_file *model = draft_by_role_locked(d, DRAFT_ROLE_MODEL);
	struct stat a, b;

	if (input && model && draft_fstat_locked(d, input, &a) == 0 &&
	    draft_fstat_locked(d, model, &b) == 0 &&
	    (a.st_mtim.tv_sec > b.st_mtim.tv_sec ||
	     (a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec > b.st_mtim.tv_nsec))) {
		draft_commit_locked(d, model);
		draft_commit_locked(d, input);
		return;
	}
	if (input)
		draft_commit_locked(d, input);
	if (model)
		draft_commit_locked(d, model);
}

static int load_dir(struct draft *d, enum draft_dir dir, struct err *e)
{
	struct draft_path path = draft_path_to(d, dir, ".");
	CLEANUP(dir_closep) DIR *list = NULL;
	struct dirent *de;

	list = opendir(path.text);
	if (!list)
		return err_errno(e, -errno, "cannot list %s", d->dir);
	while ((de = readdir(list))) {
		struct draft_file *f;
		struct stat st;

		if (fstatat(dirfd(list), de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISREG(st.st_mode))
			continue;
		f = draft_add_locked(d, dir, de->d_name);
		if (!f)
			return err_set(e, -ENOMEM, "no memory for the files of %s", d->dir);
		if (st.st_mode & DRAFT_MARK)
			draft_take_mark(f);
	}
	return 0;
}

static int load(struct draft *d, struct err *e)
{
	struct draft_path media = draft_path_to(d, DRAFT_TOP, "media");
	struct stat st;
	int r;

	d->has_media = lstat(media.text, &st) == 0 && S_ISDIR(st.st_mode);
	r = load_dir(d, DRAFT_TOP, e);
	if (r == 0 && d->has_media)
		r = load_dir(d, DRAFT_MEDIA, e);
	if (r == 0)
		order_commits(d);
	else /* nothing, rather than a part of it */
		while (d->count > 0)
			drop_locked(d, d->files[d->count - 1]);
	d->loaded = r == 0;
	return r;
}

void draft_lock(struct draft *d)
{
	struct err e = ERR_INIT;

	pthread_mutex_lock(&d->mutex);
	if (!d->loaded && load(d, &e) < 0)
		log_error("draft", "%s", e.text); /* and again the next time */
}

int draft_open_dir(const char *dir, const char *scratch_dir, const struct draft_rules *rules,
		   enum draft_seal seal, struct draft **ret, struct err *e)
{
	struct draft *d = calloc(1, sizeof(*d));
	int r = -ENOMEM;

	if (!d)
		return err_set(e, -ENOMEM, "no memory for a job");
	d->rules = *rules;
	pthread_mutex_init(&d->mutex, NULL);
	d->dir = strdup(dir);
	d->scratch_dir = strdup(scratch_dir);
	if (!d->dir || !d->scratch_dir)
		goto fail;
	if (strlen(dir) > DRAFT_DIR_MAX) {
		r = err_set(e, -ENAMETOOLONG, "the path is too long: %s", dir);
		goto fail;
	}
	if (mkdir(dir, 0700) < 0 && errno != EEXIST) {
		r = err_errno(e, -errno, "cannot make %s", dir);
		goto fail;
	}
	d->seal = seal;
	r = seal == DRAFT_ENDED ? 0 : load(d, e);
	if (r < 0)
		goto fail;
	draft_touch_locked(d, DRAFT_ROLE_SCRATCH);
	*ret = d;
	return 0;
fail:
	draft_free(d);
	return r;
}

void draft_free(struct draft *d)
{
	if (!d)
		return;
	while (d->count > 0)
		drop_locked(d, d->files[d->count - 1]);
	pthread_mutex_destroy(&d->mutex);
	free(d->files);
	free(d->dir);
	free(d->scratch_dir);
	free(d);
}

int draft_lookup(struct draft *d, enum draft_dir dir, const char *name, uint32_t *ret_number)
{
	struct draft_file *f;
	int r = -ENOENT;

	draft_lock(d);
	f = draft_find_locked(d, dir, name);
	if (f && !is_hidden_locked(d, f)) {
		*ret_number = f->number;
		r = 0;
	}
	pthread_mutex_unlock(&d->mutex);
	return r;
}

int draft_stat(struct draft *d, uint32_t number, struct stat *ret)
{
	struct draft_file *f;
	int r = 0;

	draft_lock(d);
	f = draft_by_number_locked(d, number);
	if (!f)
		r = -ENOENT;
	else
		r = draft_fstat_locked(d, f, ret);
	if (r == 0 && f->role != DRAFT_ROLE_SCRATCH && d->seal != DRAFT_OPEN)
		ret->st_mode &= ~(mode_t)0222;
	pthread_mutex_unlock(&d->mutex);
	return r;
}

int draft_stat_media(struct draft *d, struct stat *ret)
{
	int r = 0;

	draft_lock(d);
	if (!d->has_media)
		r = -ENOENT;
	else if (lstat(draft_path_to(d, DRAFT_TOP, "media").text, ret) < 0)
		r = -errno;
	pthread_mutex_unlock(&d->mutex);
	return r;
}

int64_t draft_names_ns(struct draft *d)
{
	struct stat st;

	if (stat(d->dir, &st) < 0)
		return 0;
	return (int64_t)st.st_mtim.tv_sec * NS_PER_S + st.st_mtim.tv_nsec;
}

bool draft_next(struct draft *d, enum draft_dir dir, uint32_t after, struct draft_entry *ret)
{
	bool found = false;

	draft_lock(d);
	for (size_t i = 0; i < d->count && !found; i++) {
		const struct draft_file *f = d->files[i];

		if (f->number <= after || f->dir != dir || is_hidden_locked(d, f))
			continue;
		ret->number = f->number;
		ret->role = f->role;
		snprintf(ret->name, sizeof(ret->name), "%s", f->name);
		found = true;
	}
	pthread_mutex_unlock(&d->mutex);
	return found;
}

uint64_t draft_edits(struct draft *d)
{
	uint64_t edits;

	draft_lock(d);
	edits = d->edits;
	pthread_mutex_unlock(&d->mutex);
	return edits;
}

bool draft_is_empty(struct draft *d)
{
	bool empty;

	draft_lock(d);
	empty = !d->has_media;
	for (size_t i = 0; i < d->count && empty; i++)
		empty = is_hidden_locked(d, d->files[i]);
	pthread_mutex_unlock(&d->mutex);
	return empty;
}

int draft_make_media(struct draft *d)
{
	int r = 0;

	draft_lock(d);
	if (d->seal != DRAFT_OPEN)
		r = d->seal == DRAFT_ACTIVE ? -EBUSY : -EACCES;
	else if (mkdir(draft_path_to(d, DRAFT_TOP, "media").text, 0700) < 0)
		r = -errno;
	if (r == 0) {
		d->has_media = true;
		draft_touch_locked(d, DRAFT_ROLE_MEDIA);
	}
	pthread_mutex_unlock(&d->mutex);
	return r;
}

int draft_remove_media(struct draft *d)
{
	int r = 0;

	draft_lock(d);
	for (size_t i = 0; i < d->count && r == 0; i++)
		if (d->files[i]->dir == DRAFT_MEDIA && !is_hidden_locked(d, d->files[i]))
			r = -ENOTEMPTY;
	if (r == 0 && d->seal == DRAFT_ACTIVE)
		r = -EBUSY;
	if (r == 0 && !d->has_media)
		r = -ENOENT;
	/* Of an ended job the files are only hidden: the directory stays on disk
	 * and goes with the job, or comes back with the files. */
	if (r == 0 && d->seal == DRAFT_OPEN) {
		if (rmdir(draft_path_to(d, DRAFT_TOP, "media").text) < 0)
			r = -errno;
		else
			d->has_media = false;
		draft_touch_locked(d, DRAFT_ROLE_MEDIA);
	}
	pthread_mutex_unlock(&d->mutex);
	return r;
}

int draft_unlink(struct draft *d, enum draft_dir dir, const char *name, int64_t hide_until_ns)
{
	struct draft_file *f;
	bool changed = false;
	int r = 0;

	draft_lock(d);
	f = draft_find_locked(d, dir, name);
	if (!f || is_hidden_locked(d, f)) {
		r = -ENOENT;
	} else if (f->role != DRAFT_ROLE_SCRATCH && d->seal == DRAFT_ACTIVE) {
		r = -EBUSY;
	} else if (f->role != DRAFT_ROLE_SCRATCH && d->seal == DRAFT_ENDED) {
		f->hidden_until_ns = hide_until_ns;
	} else if (unlink(draft_path_to(d, dir, name).text) < 0) {
		r = -errno;
	} else {
		draft_touch_locked(d, f->role);
		drop_locked(d, f);
		changed = true;
	}
	pthread_mutex_unlock(&d->mutex);
	if (changed)
		d->rules.changed(d->rules.ctx);
	return r;
}

/* Gives f its new name (now the draft's) and role; a file somebody writes is
 * committed by its last writer's close, any other by this rename. */
static void take_name_locked(struct draft *d, struct draft_file *f, enum draft_dir dir, char *name)
{
	CLEANUP(fd_closep) int fd = -1;

	free(f->name);
	f->name = name;
	f->dir = dir;
	f->role = draft_role_of(dir, name);
	pthread_mutex_lock(&f->mutex);
	/* Bytes written under another name were not checked, or not as this. */
	input_free(f->check);
	f->check = NULL;
	str_freep(&f->fault);
	if (f->marked && !f->torn)
		fd = open(draft_path_to(d, dir, f->name).text, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0)
		draft_mark_locked(f, fd, false);
	pthread_mutex_unlock(&f->mutex);
	if (f->writers == 0)
		draft_commit_locked(d, f);
}

static int rename_locked(struct draft *d, enum draft_dir from_dir, const char *from,
			 enum draft_dir to_dir, const char *to, unsigned flags)
{
	struct draft_file *f = draft_find_locked(d, from_dir, from);
	struct draft_file *target = draft_find_locked(d, to_dir, to);
	struct draft_file as = {.role = draft_role_of(to_dir, to)};
	CLEANUP(str_freep) char *name = NULL;
	int r;

	if (flags & ~(unsigned)RENAME_NOREPLACE)
		return -EINVAL;
	if (!f || is_hidden_locked(d, f))
		return -ENOENT;
	r = draft_may_change_locked(d, f);
	if (r == 0)
		r = draft_may_change_locked(d, &as);
	if (r < 0)
		return r;
	if (f == target)
		return 0;
	if (to_dir == DRAFT_MEDIA && !d->has_media)
		return -ENOENT;
	name = strdup(to);
	if (!name)
		return -ENOMEM;
	if (renameat2(AT_FDCWD, draft_path_to(d, from_dir, from).text, AT_FDCWD,
		      draft_path_to(d, to_dir, to).text, flags) < 0)
		return -errno;
	if (target)
		drop_locked(d, target);
	draft_touch_locked(d, f->role);
	take_name_locked(d, f, to_dir, STEAL(&name));
	draft_touch_locked(d, f->role);
	return 0;
}

int draft_rename(struct draft *d, enum draft_dir from_dir, const char *from, enum draft_dir to_dir,
		 const char *to, unsigned flags)
{
	int r;

	draft_lock(d);
	r = rename_locked(d, from_dir, from, to_dir, to, flags);
	pthread_mutex_unlock(&d->mutex);
	if (r == 0)
		d->rules.changed(d->rules.ctx);
	return r;
}

int draft_set_times(struct draft *d, uint32_t number, const struct timespec times[2])
{
	struct draft_file *f;
	int r = 0;

	draft_lock(d);
	f = draft_by_number_locked(d, number);
	if (!f)
		r = -ENOENT;
	else if (utimensat(AT_FDCWD, draft_path_to(d, f->dir, f->name).text, times,
			   AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	pthread_mutex_unlock(&d->mutex);
	return r;
}

int draft_set_mode(struct draft *d, uint32_t number, mode_t mode)
{
	struct draft_file *f;
	int r = 0;

	draft_lock(d);
	f = draft_by_number_locked(d, number);
	if (!f)
		r = -ENOENT;
	/* The daemon itself must be able to go on reading and writing it. */
	else if (chmod(draft_path_to(d, f->dir, f->name).text,
		       (mode & 0777) | 0600 | (f->marked ? DRAFT_MARK : 0)) < 0)
		r = -errno;
	pthread_mutex_unlock(&d->mutex);
	return r;
}

int draft_truncate(struct draft *d, uint32_t number, uint64_t size)
{
	struct draft_handle *h;
	int r = draft_open(d, number, O_WRONLY, &h);

	if (r < 0)
		return r;
	r = draft_handle_truncate(h, size);
	draft_release(h);
	return r;
}
