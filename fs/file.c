#include "fs/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "cache/results.h"
#include "fs/render.h"

static int open_changing(const struct tree *t, struct file *f)
{
	int64_t ns;

	if (f->view)
		return render_view(f->view, f->node.kind, &f->text);
	return render_meta(t, f->node.kind, &f->text, &ns);
}

static int open_immutable(struct file *f)
{
	const struct results *res = f->view->results;
	size_t size = 0;
	int r;

	if (!tree_is_generation(&f->node, f->view))
		return -ESTALE;
	r = job_pin_results(f->job, f->view);
	if (r < 0)
		return r;
	f->pinned = true;
	switch ((int)f->node.kind) {
	case KIND_OUTPUT_JSONL:
		f->bytes = results_bytes(res, RESULTS_OUTPUT, &f->size_bytes);
		return 0;
	case KIND_RESULTS_CSV:
		f->bytes = results_bytes(res, RESULTS_CSV, &f->size_bytes);
		return 0;
	case KIND_ERRORS_JSONL:
		f->bytes = results_bytes(res, RESULTS_ERRORS, &f->size_bytes);
		return 0;
	case KIND_RETRY_JSONL:
		f->bytes = results_bytes(res, RESULTS_RETRY, &f->size_bytes);
		return 0;
	case KIND_OUTPUT_RECORD:
	case KIND_TEXT_RECORD:
		if (f->node.index >= results_count(res))
			return -ENOENT;
		f->bytes = f->node.kind == KIND_OUTPUT_RECORD
				   ? results_line(res, f->node.index, &size)
				   : results_text(res, f->node.index, &size);
		f->size_bytes = size;
		return 0;
	default:
		return -ENOENT;
	}
}

static int open_kind(const struct tree *t, struct file *f, int flags)
{
	int r;

	switch (f->class) {
	case CLASS_CHANGING:
		return open_changing(t, f);
	case CLASS_IMMUTABLE:
		return open_immutable(f);
	case CLASS_GROWING:
		if (f->job)
			return f->node.kind == KIND_LOG ? job_log_open(f->job, &f->fd)
							: job_sample_open(f->job, &f->fd);
		f->fd = jobs_events_fd(t->jobs);
		return 0;
	case CLASS_BLOCKING:
		return 0;
	case CLASS_USER:
		r = draft_open(job_draft(f->job), (uint32_t)f->node.index, flags, &f->draft);
		return r == -ENOENT ? -ESTALE : r;
	case CLASS_DIRECTORY:
		return tree_dir_open(t, &f->node, &f->dir);
	}
	return -ENOENT;
}

static struct file *file_new(const struct node *n, struct job *j)
{
	struct file *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->node = *n;
	f->class = kind_info(n->kind)->class;
	f->fd = -1;
	buf_init(&f->text, RENDER_MAX);
	if (j) {
		f->job = job_ref(j);
		f->view = job_view(j);
	}
	return f;
}

int file_open(const struct tree *t, const struct node *n, int flags, struct file **ret)
{
	CLEANUP(job_unrefp) struct job *j = NULL;
	struct file *f;
	int r;

	if (n->kind == KIND_NONE)
		return -ENOENT;
	if (n->job) {
		j = jobs_get(t->jobs, n->job);
		if (!j)
			return -ENOENT;
	}
	f = file_new(n, j);
	if (!f)
		return -ENOMEM;
	r = open_kind(t, f, flags);
	if (r < 0) {
		file_close(f);
		return r;
	}
	*ret = f;
	return 0;
}

int file_new_user(const struct node *n, struct job *j, struct draft_handle *h, struct file **ret)
{
	struct file *f = file_new(n, j);

	if (!f) {
		draft_release(h);
		return -ENOMEM;
	}
	f->draft = h;
	*ret = f;
	return 0;
}

int file_fd(const struct file *f)
{
	return f->draft ? draft_handle_fd(f->draft) : f->fd;
}

int file_open_again(const struct file *f, int flags, struct file **ret)
{
	char path[64];
	struct file *again = file_new(&f->node, f->job);

	if (!again)
		return -ENOMEM;
	/* A description of its own: this is the way to a file without a name. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file_fd(f));
	again->fd = open(path, (flags & (O_ACCMODE | O_APPEND | O_TRUNC)) | O_CLOEXEC);
	if (again->fd < 0) {
		int r = -errno;

		file_close(again);
		return r;
	}
	*ret = again;
	return 0;
}

void file_close(struct file *f)
{
	if (!f)
		return;
	if (f->draft)
		draft_release(f->draft);
	else if (f->class == CLASS_USER || f->job)
		fd_closep(&f->fd);
	if (f->dir)
		tree_dir_close(f->dir);
	buf_release(&f->text);
	if (f->pinned)
		results_unpin(f->view->results);
	view_unref(f->view);
	job_unref(f->job);
	free(f);
}

const char *file_bytes(const struct file *f, uint64_t offset, size_t size, size_t *ret_size)
{
	const char *bytes = f->text.data;
	uint64_t total = f->text.size;

	if (f->class == CLASS_IMMUTABLE) {
		bytes = f->bytes;
		total = f->size_bytes;
	} else if (f->class == CLASS_BLOCKING) {
		bytes = f->answer;
		total = strlen(f->answer);
	}
	if (offset >= total)
		size = 0;
	else if (size > total - offset)
		size = (size_t)(total - offset);
	*ret_size = size;
	return size ? bytes + offset : "";
}

bool file_is_ready(struct file *f)
{
	CLEANUP(view_unrefp) struct view *v = NULL;

	if (!f->job)
		return true;
	if (f->node.kind == KIND_WAIT) {
		/* Once: if they cannot be had, that is the answer. */
		if (!f->asked && job_ask_results(f->job)) {
			f->asked = true;
			return false;
		}
		return job_is_settled(f->job);
	}
	v = job_view(f->job);
	if (f->node.kind == KIND_STATUS)
		return strcmp(view_status(v), view_status(f->view)) != 0 || job_is_removed(f->job);
	return v->change != f->view->change || job_is_removed(f->job);
}

bool file_try_answer(struct file *f)
{
	CLEANUP(view_unrefp) struct view *v = NULL;

	if (f->answered)
		return true;
	if (!file_is_ready(f))
		return false;
	v = job_view(f->job);
	f->answered = true;
	if (!job_is_removed(f->job))
		snprintf(f->answer, sizeof(f->answer), "%s\n", view_status(v));
	return true;
}
