/*
 * The verdict: do the committed files make a job?
 *
 * Runs on a pool thread that has the job checked out.  What is long (reading
 * a whole input again) is done without any mutex, on a check of its own, and
 * counts only if the file did not change meanwhile.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fs/job/draft_private.h"

/* Files whose writers keep a job from being judged. */
static bool someone_writes_locked(const struct draft *d)
{
	for (size_t i = 0; i < d->count; i++)
		if (d->files[i]->writers > 0 && d->files[i]->role != DRAFT_ROLE_SCRATCH)
			return true;
	return false;
}

static int open_file_locked(struct draft *d, const struct draft_file *f)
{
	int fd = open(draft_path_to(d, f->dir, f->name).text, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? -errno : fd;
}

/* Is the check of the input current?  Reads the file if it is not. */
static int bring_up_to_date(struct draft *d, struct draft_file *f, int fd, struct err *e)
{
	struct input *fresh = NULL;
	uint64_t version;
	struct stat st;
	int r = 0;

	if (fstat(fd, &st) < 0)
		return err_errno(e, -errno, "cannot read input.jsonl");
	pthread_mutex_lock(&f->mutex);
	version = f->version;
	if (f->check && input_is_current(f->check, (uint64_t)st.st_size)) {
		pthread_mutex_unlock(&f->mutex);
		return 0;
	}
	pthread_mutex_unlock(&f->mutex);

	r = input_new(d->scratch_dir, &fresh, e);
	if (r == 0)
		r = input_rescan(fresh, fd, &d->cancel, e);
	pthread_mutex_lock(&f->mutex);
	if (r == 0 && f->version == version) {
		struct input *old = f->check;

		f->check = fresh;
		fresh = old;
	} else if (r == 0) {
		r = -ECANCELED; /* written to meanwhile: an event will bring us back */
	}
	pthread_mutex_unlock(&f->mutex);
	input_free(fresh);
	return r;
}

/* The words for a role's last refused write, or for what its file says now. */
static bool small_file_is_good(struct draft *d, struct draft_file *f, struct buf *error)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT(KV_TEXT_MAX);
	CLEANUP(fd_closep) int fd = -1;
	struct err e = ERR_INIT;
	int r;

	pthread_mutex_lock(&f->mutex);
	if (f->fault)
		snprintf(e.text, sizeof(e.text), "%s", f->fault);
	else if (f->torn)
		draft_describe_torn(f->name, f->torn, &e);
	pthread_mutex_unlock(&f->mutex);
	if (e.text[0]) {
		buf_addf(error, "%s\n", e.text);
		return false;
	}
	if (f->writers > 0)
		return true; /* so far, and a part of a word is no fault */
	fd = open_file_locked(d, f);
	r = fd < 0 ? fd : draft_read_small(fd, &text);
	if (r == 0)
		r = draft_judge(d, f->role, text.data, text.size, true, &e);
	else if (r == -EFBIG)
		e = draft_describe_long(f->name);
	else
		r = err_errno(&e, r, "cannot read %s", f->name);
	if (r < 0)
		buf_addf(error, "%s\n", e.text);
	return r == 0;
}

static bool has_content_locked(struct draft *d, const struct draft_file *f)
{
	struct stat st;

	return draft_fstat_locked(d, f, &st) == 0 && st.st_size > 0;
}

/* Judges the input if it is there and nobody writes it.  The caller holds a
 * reference of f. */
static int check_input(struct draft *d, struct draft_file *f, int fd, struct draft_summary *ret,
		       struct buf *error, bool *ret_good, struct err *e)
{
	struct err torn = ERR_INIT;
	struct stat st;
	int r = bring_up_to_date(d, f, fd, e);

	if (r < 0)
		return r;
	pthread_mutex_lock(&f->mutex);
	if (fstat(fd, &st) < 0 || !f->check || !input_is_current(f->check, (uint64_t)st.st_size)) {
		r = -ECANCELED; /* written to again */
	} else {
		*ret_good = input_is_valid(f->check) && !f->torn;
		if (f->torn) {
			draft_describe_torn("input.jsonl", f->torn, &torn);
			buf_addf(error, "%s\n", torn.text);
		}
		input_describe_faults(f->check, error);
		ret->record_count = input_record_count(f->check);
		ret->input_size_bytes = input_size_bytes(f->check);
	}
	pthread_mutex_unlock(&f->mutex);
	return r;
}

int draft_check(struct draft *d, struct draft_summary *ret, struct buf *error, struct err *e)
{
	CLEANUP(fd_closep) int fd = -1;
	struct draft_file *input, *model, *config;
	bool writing, have_model, good = true, input_good = true;
	int r = 0;

	*ret = (struct draft_summary){.verdict = DRAFT_INCOMPLETE};
	draft_lock(d);
	input = draft_by_role_locked(d, DRAFT_ROLE_INPUT);
	model = draft_by_role_locked(d, DRAFT_ROLE_MODEL);
	config = draft_by_role_locked(d, DRAFT_ROLE_CONFIG);
	writing = someone_writes_locked(d);
	ret->touched_ns = d->touched_ns;
	ret->events = d->events;
	ret->edits = d->edits;
	ret->input_last = input && model && input->commit_seq > model->commit_seq;
	have_model = model && has_content_locked(d, model);
	if (model)
		good = small_file_is_good(d, model, error);
	if (config)
		good = small_file_is_good(d, config, error) && good;
	if (input && input->writers == 0 && has_content_locked(d, input)) {
		fd = open_file_locked(d, input);
		input->refs++;
	} else {
		input = NULL;
	}
	pthread_mutex_unlock(&d->mutex);

	if (input) {
		if (fd < 0)
			r = err_errno(e, fd, "cannot read input.jsonl");
		else
			r = check_input(d, input, fd, ret, error, &input_good, e);
		draft_lock(d);
		draft_file_unref_locked(input);
		pthread_mutex_unlock(&d->mutex);
	}
	if (r == -ECANCELED)
		return 0;
	if (r < 0)
		return r;
	if (!good || !input_good)
		ret->verdict = DRAFT_FAULTY;
	else if (input && have_model && !writing)
		ret->verdict = DRAFT_READY;
	return 0;
}

bool draft_seal(struct draft *d, const struct draft_summary *judged)
{
	bool sealed = false;

	draft_lock(d);
	if (judged->verdict == DRAFT_READY && d->events == judged->events &&
	    !someone_writes_locked(d)) {
		d->seal = DRAFT_ACTIVE;
		sealed = true;
	}
	pthread_mutex_unlock(&d->mutex);
	return sealed;
}

/* Nobody asks any more: descriptors and mappings that other jobs need. */
static void drop_checks_locked(struct draft *d)
{
	for (size_t i = 0; i < d->count; i++) {
		struct draft_file *f = d->files[i];

		pthread_mutex_lock(&f->mutex);
		input_free(f->check);
		f->check = NULL;
		pthread_mutex_unlock(&f->mutex);
	}
}

void draft_set_seal(struct draft *d, enum draft_seal seal)
{
	pthread_mutex_lock(&d->mutex); /* whether its files are known or not */
	d->seal = seal;
	if (seal == DRAFT_ENDED)
		drop_checks_locked(d);
	draft_touch_locked(d, DRAFT_ROLE_SCRATCH);
	pthread_mutex_unlock(&d->mutex);
}

static int read_role(struct draft *d, enum draft_role role, struct buf *out, struct err *e)
{
	CLEANUP(fd_closep) int fd = -1;
	struct draft_file *f;
	int r;

	draft_lock(d);
	f = draft_by_role_locked(d, role);
	fd = f ? open_file_locked(d, f) : -ENOENT;
	pthread_mutex_unlock(&d->mutex);
	r = fd < 0 ? fd : draft_read_small(fd, out);
	return r < 0 ? err_errno(e, r, "cannot read a file of the job") : 0;
}

int draft_model(struct draft *d, char **ret, struct err *e)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT(KV_TEXT_MAX);
	int r;

	r = read_role(d, DRAFT_ROLE_MODEL, &text, e);
	if (r < 0)
		return r;
	while (text.size > 0 && (unsigned char)text.data[text.size - 1] <= ' ')
		text.size--;
	*ret = strndup(text.data, text.size);
	return *ret ? 0 : -ENOMEM;
}

int draft_config(struct draft *d, struct kv *ret, struct err *e)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT(KV_TEXT_MAX);
	int r;

	r = read_role(d, DRAFT_ROLE_CONFIG, &text, e);
	if (r == -ENOENT)
		return 0;
	return r < 0 ? r : kv_parse(ret, "config", text.data, text.size, e);
}

int draft_path(struct draft *d, enum draft_role role, char **ret)
{
	struct draft_file *f;
	char *path = NULL;
	int r = 0;

	draft_lock(d);
	f = draft_by_role_locked(d, role);
	if (role == DRAFT_ROLE_MEDIA) {
		if (d->has_media && asprintf(&path, "%s/media", d->dir) < 0)
			r = -ENOMEM;
	} else if (f && asprintf(&path, "%s/%s", d->dir, f->name) < 0) {
		r = -ENOMEM;
	}
	pthread_mutex_unlock(&d->mutex);
	if (r == 0)
		*ret = path;
	return r;
}

struct input *draft_sealed_input(struct draft *d)
{
	struct draft_file *f;
	struct input *in;

	draft_lock(d);
	f = draft_by_role_locked(d, DRAFT_ROLE_INPUT);
	in = f && d->seal != DRAFT_OPEN ? f->check : NULL;
	pthread_mutex_unlock(&d->mutex);
	return in;
}

int draft_sync_dir(const struct draft *d)
{
	CLEANUP(fd_closep) int fd = open(d->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0) /* a job that was removed while its file was open */
		return errno == ENOENT ? 0 : -errno;
	return fsync(fd) < 0 ? -errno : 0;
}

/* Everything on its file system, which is less than an fsync a file. */
static int sync_media(const struct draft *d, struct err *e)
{
	struct draft_path path = draft_path_to(d, DRAFT_TOP, "media");
	CLEANUP(fd_closep) int fd = open(path.text, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || syncfs(fd) < 0 ? err_errno(e, -errno, "cannot sync media/") : 0;
}

int draft_sync_all(struct draft *d, struct err *e)
{
	int fds[DRAFT_ROLE_COUNT], n = 0, r = 0;
	bool media;

	draft_lock(d);
	media = d->has_media;
	for (int role = DRAFT_ROLE_INPUT; role < DRAFT_ROLE_MEDIA; role++) {
		struct draft_file *f = draft_by_role_locked(d, (enum draft_role)role);

		if (f)
			fds[n++] = open_file_locked(d, f);
	}
	pthread_mutex_unlock(&d->mutex);
	for (int i = 0; i < n; i++) {
		if (r == 0 && (fds[i] < 0 || fsync(fds[i]) < 0))
			r = err_errno(e, fds[i] < 0 ? fds[i] : -errno, "cannot sync the inputs");
		if (fds[i] >= 0)
			close(fds[i]);
	}
	if (r == 0 && media)
		r = sync_media(d, e);
	if (r == 0) {
		r = draft_sync_dir(d);
		if (r < 0)
			err_errno(e, r, "cannot sync %s", d->dir);
	}
	return r;
}

static int take_input_locked(struct draft *d, const char *path)
{
	struct draft_path to = draft_path_to(d, DRAFT_TOP, "input.jsonl");

	if (rename(path, to.text) < 0)
		return -errno;
	if (draft_by_role_locked(d, DRAFT_ROLE_INPUT))
		return 0;
	return draft_add_locked(d, DRAFT_TOP, "input.jsonl") ? 0 : -ENOMEM;
}

int draft_take_input(struct draft *d, const char *path, struct err *e)
{
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	int r = fd < 0 || fchmod(fd, 0644) < 0 || fsync(fd) < 0 ? -errno : 0;

	if (r == 0) {
		draft_lock(d);
		r = take_input_locked(d, path);
		pthread_mutex_unlock(&d->mutex);
	}
	if (r == 0)
		r = draft_sync_dir(d);
	return r < 0 ? err_errno(e, r, "cannot put %s into its place", path) : 0;
}

void draft_cancel(struct draft *d)
{
	atomic_store(&d->cancel, true);
}
