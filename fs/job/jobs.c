#include "fs/job/jobs.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cache/dirs.h"
#include "fs/base/log.h"
#include "fs/base/utf8.h"
#include "fs/job/jobs_private.h"

/*
 * Life of the engine, and the requests that touch the list of jobs.
 *
 * A request with a callback is a struct request on the pool.  Names and wishes
 * have statements of their own in the store, so that a rename or a `stop` does
 * not wait for whoever has the job checked out.
 *
 * Removal: the row is renamed to a name no user can give (it begins with a
 * dot), which frees the name and is the point of no return; then files,
 * provider leftovers and the row itself go.  A start finishes what a crash
 * left under such a name.
 */

#define MAPPED_MAX     1024 /* generations, of eight files each; see vm.max_map_count */
#define QUICK_THREADS  3
#define EVENTS_MAX     (8 * 1024 * 1024)
#define REMOVED_PREFIX ".removed-"

/* --- life --- */

static int open_events(struct jobs *en, struct err *e)
{
	CLEANUP(str_freep) char *path = NULL;
	struct stat st;

	if (asprintf(&path, "%s/events", en->state_dir) < 0)
		return -ENOMEM;
	/* The past of a long-lived mount is not worth unbounded disk. */
	if (stat(path, &st) == 0 && st.st_size > EVENTS_MAX && unlink(path) < 0)
		log_warning("jobs", "cannot start a new events file");
	en->events_fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	return en->events_fd < 0 ? err_errno(e, -errno, "cannot open %s", path) : 0;
}

static int make_dirs(struct jobs *en, struct err *e)
{
	CLEANUP(str_freep) char *jobs = NULL;
	const struct jobs_options *o = &en->o;
	int r;

	en->state_dir = strdup(o->state_dir);
	if (!en->state_dir ||
	    asprintf(&en->cache_dir, "%s/%s", o->cache_dir, store_id(o->store)) < 0 ||
	    asprintf(&en->scratch_dir, "%s/scratch", en->cache_dir) < 0 ||
	    asprintf(&jobs, "%s/jobs", en->state_dir) < 0)
		return err_set(e, -ENOMEM, "no memory for paths");
	r = dirs_make(jobs, e);
	if (r == 0)
		r = dirs_make(en->scratch_dir, e);
	return r;
}

struct loading {
	struct jobs *jobs;
	uint64_t *removed; /* owned: jobs whose removal was not finished */
	size_t removed_count;
	struct err *e;
};

static int load_job(void *ctx, const struct store_job *row)
{
	struct loading *l = ctx;
	struct job *j;
	int r;

	if (strncmp(row->name, REMOVED_PREFIX, strlen(REMOVED_PREFIX)) == 0) {
		uint64_t *list = realloc(l->removed, (l->removed_count + 1) * sizeof(*list));

		if (!list)
			return -ENOMEM;
		l->removed = list;
		list[l->removed_count++] = row->number;
		return 0;
	}
	if (adopt_is_hidden(l->jobs, row))
		return 0;
	r = job_new(l->jobs, row, &j, l->e);
	if (r < 0)
		return r;
	r = registry_add(&l->jobs->registry, row->number, row->name, j);
	if (r < 0)
		err_errno(l->e, r, "cannot load job %s", row->name);
	if (row->names_ns > atomic_load(&l->jobs->names_ns))
		atomic_store(&l->jobs->names_ns, row->names_ns);
	job_unref(j);
	return r;
}

static int load(struct jobs *en, struct err *e)
{
	struct loading l = {.jobs = en, .e = e};
	int r = store_jobs(en->o.store, load_job, &l, e);

	for (size_t i = 0; i < l.removed_count && r == 0; i++)
		jobs_erase(en, l.removed[i]);
	free(l.removed);
	return r;
}

int jobs_new(const struct jobs_options *o, struct jobs **ret, struct err *e)
{
	struct jobs *en = calloc(1, sizeof(*en));
	pthread_condattr_t attr;
	int r;

	if (!en)
		return err_set(e, -ENOMEM, "no memory for the engine");
	en->o = *o;
	en->events_fd = -1;
	en->poll_due_ns = INT64_MAX;
	atomic_store(&en->names_ns, clock_wall_ns(o->clock));
	pthread_mutex_init(&en->names_mutex, NULL);
	pthread_mutex_init(&en->mutex, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&en->wake, &attr);
	pthread_condattr_destroy(&attr);
	r = registry_init(&en->registry);
	if (r == 0)
		r = results_cache_new(MAPPED_MAX, &en->results);
	if (r == 0)
		r = make_dirs(en, e);
	if (r == 0)
		r = open_events(en, e);
	if (r == 0)
		r = load(en, e);
	if (r < 0) {
		jobs_free(en);
		return r;
	}
	*ret = en;
	return 0;
}

int jobs_start(struct jobs *en, struct err *e)
{
	struct job *j;
	static const unsigned threads[LANE_COUNT] = {
		[LANE_DESK] = 2, [LANE_CALLS] = 3, [LANE_BULK] = 4, [LANE_NOW] = 8};
	int r = 0;

	for (int i = 0; i < LANE_COUNT && r == 0; i++)
		r = pool_new(threads[i], &en->lanes[i], e);
	if (r == 0)
		r = pool_new(QUICK_THREADS, &en->quick, e);
	for (uint64_t after = 0; r == 0 && (j = jobs_next(en, after)); job_unref(j)) {
		after = j->number;
		finish_reopen(j);
	}
	track_start(en);
	return r < 0 ? r : sched_start(en, e);
}

void jobs_stop(struct jobs *en)
{
	struct job *j;

	if (!en)
		return;
	/* Called again when all is freed, after the backend was closed. */
	if (!atomic_exchange(&en->stopping, true) && en->o.backend->ops->cancel)
		en->o.backend->ops->cancel(en->o.backend);
	for (uint64_t after = 0; (j = jobs_next(en, after)); job_unref(j)) {
		after = j->number;
		draft_cancel(j->draft);
	}
	sched_stop(en);
	pool_free(STEAL(&en->quick));
	for (int i = 0; i < LANE_COUNT; i++)
		pool_free(STEAL(&en->lanes[i]));
	/* The wishes are in the store: the next start does what they say. */
	for (uint64_t after = 0; (j = jobs_next(en, after)); job_unref(j)) {
		after = j->number;
		jobs_answer_asked(jobs_take_asked(j), -EINTR);
	}
}

void jobs_free(struct jobs *en)
{
	if (!en)
		return;
	jobs_stop(en);
	registry_release(&en->registry);
	seen_release(&en->seen);
	turns_release(&en->turns);
	results_cache_unref(en->results);
	fd_closep(&en->events_fd);
	pthread_cond_destroy(&en->wake);
	pthread_mutex_destroy(&en->mutex);
	pthread_mutex_destroy(&en->names_mutex);
	free(en->state_dir);
	free(en->cache_dir);
	free(en->scratch_dir);
	free(en);
}

/* --- what is asked without waiting --- */

struct job *jobs_find(struct jobs *en, const char *name)
{
	return registry_find(&en->registry, name);
}

struct job *jobs_get(struct jobs *en, uint64_t number)
{
	return registry_get(&en->registry, number);
}

struct job *jobs_next(struct jobs *en, uint64_t after)
{
	return registry_after(&en->registry, after);
}

size_t jobs_job_count(struct jobs *en)
{
	return registry_count(&en->registry);
}

int64_t jobs_queue_ns(struct jobs *en)
{
	return atomic_load(&en->queue_ns);
}

int64_t jobs_names_ns(struct jobs *en)
{
	return atomic_load(&en->names_ns);
}

int jobs_events_fd(const struct jobs *en)
{
	return en->events_fd;
}

int jobs_run(struct jobs *en, void (*run)(void *arg), void *arg)
{
	return pool_add(en->quick, run, arg);
}

/* --- requests --- */

static const struct order no_order = {.command = COMMAND_COUNT};

void jobs_answer(struct request *q, int r, struct job *j)
{
	q->done(q->ctx, r, r < 0 ? NULL : j);
	job_unref(q->job);
	free(q->name);
	free(q);
}

void jobs_ask(struct jobs *en, void (*run)(void *), struct job *j, const char *name,
	      struct order order, jobs_done *done, void *ctx)
{
	struct request *q = calloc(1, sizeof(*q));

	if (!q) {
		done(ctx, -ENOMEM, NULL);
		return;
	}
	*q = (struct request){.jobs = en, .order = order, .done = done, .ctx = ctx};
	q->job = j ? job_ref(j) : NULL;
	q->name = name ? strdup(name) : NULL;
	if ((name && !q->name) || pool_add(en->quick, run, q) < 0)
		jobs_answer(q, -ENOMEM, NULL);
}

/* A name has to stand on one line of a list and in JSON. */
static int check_name(const char *name)
{
	if (name[0] == '.')
		return -EPERM;
	if (strlen(name) > DRAFT_NAME_MAX)
		return -ENAMETOOLONG;
	if (!utf8_is_valid(name, strlen(name)))
		return -EINVAL;
	for (const char *s = name; *s; s++)
		if (iscntrl((unsigned char)*s))
			return -EINVAL;
	return 0;
}

void jobs_names_changed(struct jobs *en)
{
	atomic_store(&en->names_ns, clock_wall_ns(en->o.clock));
}

static int make(struct request *q, struct job **ret)
{
	struct jobs *en = q->jobs;
	struct store_job row = STORE_JOB_INIT;
	struct err e = ERR_INIT;
	int64_t now = clock_wall_ns(en->o.clock);
	int r = check_name(q->name);

	if (r < 0)
		return r;
	if (jobs_job_count(en) >= JOBS_JOBS_MAX)
		return -ENOSPC;
	row.name = q->name;
	row.phase = PHASE_DRAFT;
	row.created_ns = row.names_ns = now;
	for (int i = 0; i < STORE_TIMES; i++)
		row.times_ns[i] = now;
	r = store_job_add(en->o.store, &row, &e);
	if (r == -EEXIST && adopt_make_way(en, q->name))
		r = store_job_add(en->o.store, &row, &e);
	if (r < 0) {
		if (r != -EEXIST)
			log_error("jobs", "mkdir %s: %s", q->name, e.text);
		return r;
	}
	r = job_new(en, &row, ret, &e);
	if (r == 0)
		r = registry_add(&en->registry, row.number, row.name, *ret);
	if (r < 0) {
		log_error("jobs", "mkdir %s: %s", q->name, e.text);
		job_unref(STEAL(ret));
		jobs_erase(en, row.number);
		return r;
	}
	jobs_names_changed(en);
	job_log(*ret, "made");
	job_poke(*ret);
	return 0;
}

static void run_make(void *arg)
{
	struct request *q = arg;
	struct job *j = NULL;
	int r;

	pthread_mutex_lock(&q->jobs->names_mutex);
	r = make(q, &j);
	pthread_mutex_unlock(&q->jobs->names_mutex);
	jobs_answer(q, r, j);
	if (r == 0)
		job_unref(j);
}

void jobs_make(struct jobs *en, const char *name, jobs_done *done, void *ctx)
{
	jobs_ask(en, run_make, NULL, name, no_order, done, ctx);
}

/* With the mutex of names. */
static int rename_job(struct request *q)
{
	struct jobs *en = q->jobs;
	struct job *j = q->job;
	struct err e = ERR_INIT;
	char *copy, *old;
	int r = check_name(q->name);

	if (r < 0)
		return r;
	copy = strdup(q->name);
	if (!copy)
		return -ENOMEM;
	r = registry_rename(&en->registry, j->number, q->name);
	if (r < 0) {
		free(copy);
		return r;
	}
	r = store_job_rename(en->o.store, j->number, q->name, &e);
	if (r == -EEXIST && adopt_make_way(en, q->name))
		r = store_job_rename(en->o.store, j->number, q->name, &e);
	if (r < 0) {
		log_error("jobs", "rename: %s", e.text);
		ignore_error(registry_rename(&en->registry, j->number, j->name));
		free(copy);
		return r;
	}
	pthread_mutex_lock(&j->mutex);
	old = j->name;
	j->name = copy;
	pthread_mutex_unlock(&j->mutex);
	job_log(j, "renamed from %s to %s", old, q->name);
	free(old);
	jobs_names_changed(en);
	job_poke(j);
	return 0;
}

static void run_rename(void *arg)
{
	struct request *q = arg;
	int r;

	pthread_mutex_lock(&q->jobs->names_mutex);
	r = rename_job(q);
	pthread_mutex_unlock(&q->jobs->names_mutex);
	jobs_answer(q, r, q->job);
}

void jobs_rename(struct jobs *en, struct job *j, const char *name, jobs_done *done, void *ctx)
{
	jobs_ask(en, run_rename, j, name, no_order, done, ctx);
}

void jobs_erase(struct jobs *en, uint64_t number)
{
	CLEANUP(str_freep) char *state = NULL;
	CLEANUP(str_freep) char *cache = NULL;
	struct backend *b = en->o.backend;
	struct store_part *parts = NULL;
	struct err e = ERR_INIT;
	size_t count = 0;
	int r = store_parts(en->o.store, number, &parts, &count, &e);

	for (size_t i = 0; i < count && r == 0; i++)
		if (parts[i].remote)
			r = b->ops->forget(b, parts[i].remote, &e);
	store_parts_free(parts, count);
	if (asprintf(&state, "%s/jobs/%llu", en->state_dir, (unsigned long long)number) < 0 ||
	    asprintf(&cache, "%s/jobs/%llu", en->cache_dir, (unsigned long long)number) < 0)
		r = -ENOMEM;
	if (r == 0)
		r = dirs_remove(state, &e);
	if (r == 0)
		r = dirs_remove(cache, &e);
	if (r == 0)
		r = store_job_delete(en->o.store, number, b->ops->lists_jobs != NULL, &e);
	if (r < 0)
		log_warning("jobs", "job %llu is not wholly removed: %s",
			    (unsigned long long)number, e.text);
}

/* Takes the job from everybody; -EBUSY if it is active.  With the mutex of
 * names. */
static int give_up(struct request *q)
{
	struct job *j = q->job;
	char name[64];
	struct err e = ERR_INIT;
	bool active;
	int r;

	pthread_mutex_lock(&j->mutex);
	active = j->view->state >= JOB_UPLOADING && !job_state_is_end(j->view->state);
	if (!active && atomic_exchange(&j->removed, true)) {
		pthread_mutex_unlock(&j->mutex);
		return -ENOENT;
	}
	pthread_mutex_unlock(&j->mutex);
	if (active)
		return -EBUSY;
	snprintf(name, sizeof(name), REMOVED_PREFIX "%llu", (unsigned long long)j->number);
	r = store_job_rename(q->jobs->o.store, j->number, name, &e);
	if (r < 0) {
		atomic_store(&j->removed, false);
		job_poke(j); /* whatever came meanwhile was not heard */
		log_error("jobs", "rmdir: %s", e.text);
		return r;
	}
	draft_cancel(j->draft);
	registry_remove(&q->jobs->registry, j->number);
	jobs_names_changed(q->jobs);
	return 0;
}

/* Who has the job checked out may be writing its files: then that thread
 * erases it at the end of its step. */
static bool leave_to_its_thread(struct job *j)
{
	bool busy;

	pthread_mutex_lock(&j->mutex);
	busy = j->orphaned = j->busy;
	pthread_mutex_unlock(&j->mutex);
	return busy;
}

static void run_remove(void *arg)
{
	struct request *q = arg;
	struct jobs *en = q->jobs;
	struct job *j = job_ref(q->job);
	int r;

	pthread_mutex_lock(&en->names_mutex);
	r = give_up(q);
	pthread_mutex_unlock(&en->names_mutex);
	if (r == 0) {
		job_log(j, "removed");
		jobs_answer_asked(jobs_take_asked(j), -ENOENT);
	}
	jobs_answer(q, r, j);
	if (r == 0) {
		en->o.changed(en->o.ctx, j, JOBS_GONE);
		if (!leave_to_its_thread(j))
			jobs_erase(en, j->number);
	}
	job_unref(j);
}

void jobs_remove(struct jobs *en, struct job *j, jobs_done *done, void *ctx)
{
	jobs_ask(en, run_remove, j, NULL, no_order, done, ctx);
}
