#include "fs/opened.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>

/* Enough for whoever is between a lookup and its open; the kernel forgets an
 * inode without users at once. */
#define KEPT_MAX 256

struct opened {
	pthread_mutex_t mutex; /* of all below, and of the links in the files */
	struct file *files;    /* open by the kernel */
	struct file *kept;     /* newest first */
	size_t kept_count;
};

struct opened *opened_new(void)
{
	struct opened *o = calloc(1, sizeof(*o));

	if (o)
		pthread_mutex_init(&o->mutex, NULL);
	return o;
}

static void link_locked(struct file **list, struct file *f)
{
	f->previous = NULL;
	f->next = *list;
	if (f->next)
		f->next->previous = f;
	*list = f;
}

static void unlink_locked(struct file **list, struct file *f)
{
	if (f->previous)
		f->previous->next = f->next;
	else
		*list = f->next;
	if (f->next)
		f->next->previous = f->previous;
}

static void close_list(struct file *f)
{
	while (f) {
		struct file *next = f->next;

		file_close(f);
		f = next;
	}
}

void opened_free(struct opened *o)
{
	if (!o)
		return;
	close_list(o->files);
	close_list(o->kept);
	pthread_mutex_destroy(&o->mutex);
	free(o);
}

void opened_add(struct opened *o, struct file *f)
{
	pthread_mutex_lock(&o->mutex);
	link_locked(&o->files, f);
	pthread_mutex_unlock(&o->mutex);
}

void opened_close(struct opened *o, struct file *f)
{
	pthread_mutex_lock(&o->mutex);
	unlink_locked(&o->files, f);
	pthread_mutex_unlock(&o->mutex);
	file_close(f);
}

static struct file *find_locked(struct file *list, const struct node *n)
{
	const uint64_t ino = node_to_ino(n);

	while (list && node_to_ino(&list->node) != ino)
		list = list->next;
	return list;
}

void opened_keep(struct opened *o, struct file *f)
{
	struct file *oldest = NULL;

	pthread_mutex_lock(&o->mutex);
	link_locked(&o->kept, f);
	if (++o->kept_count > KEPT_MAX) {
		for (oldest = f; oldest->next;)
			oldest = oldest->next;
		unlink_locked(&o->kept, oldest);
		o->kept_count--;
	}
	pthread_mutex_unlock(&o->mutex);
	file_close(oldest);
}

void opened_forget(struct opened *o, const struct node *n)
{
	struct file *f;

	pthread_mutex_lock(&o->mutex);
	f = find_locked(o->kept, n);
	if (f) {
		unlink_locked(&o->kept, f);
		o->kept_count--;
	}
	pthread_mutex_unlock(&o->mutex);
	file_close(f);
}

static struct file *find_any_locked(struct opened *o, const struct node *n)
{
	struct file *f = find_locked(o->files, n);

	return f ? f : find_locked(o->kept, n);
}

int opened_stat(struct opened *o, const struct tree *t, const struct node *n,
		struct tree_entry *ret)
{
	CLEANUP(job_unrefp) struct job *j = NULL;
	CLEANUP(view_unrefp) struct view *v = NULL;
	enum kind_class class = CLASS_USER;
	struct file *f;
	int r = 0;

	pthread_mutex_lock(&o->mutex);
	f = find_any_locked(o, n);
	if (f)
		class = f->class;
	if (!f || !f->job) {
		r = -ESTALE;
	} else if (class == CLASS_USER || class == CLASS_GROWING) {
		r = fstat(file_fd(f), &ret->st) < 0 ? -errno : 0;
	} else {
		j = job_ref(f->job);
		v = view_ref(f->view);
	}
	pthread_mutex_unlock(&o->mutex);
	if (r < 0)
		return r;
	if (v)
		return tree_stat_in(t, n, j, v, ret);
	return class == CLASS_GROWING ? tree_finish_growing(t, n, ret)
				      : tree_finish_user(t, n, ret);
}

int opened_reopen(struct opened *o, const struct node *n, int flags, struct file **ret)
{
	struct file *f;
	int r = -ESTALE;

	pthread_mutex_lock(&o->mutex);
	f = find_any_locked(o, n);
	if (f && f->class == CLASS_USER)
		r = file_open_again(f, flags, ret);
	pthread_mutex_unlock(&o->mutex);
	return r;
}
