#include "fs/job/job.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/log.h"
#include "fs/job/jobs_private.h"
#include "fs/job/resultfiles.h"

/*
 * A job's life in memory.  The record (row, parts, results) belongs to the
 * thread that has the job checked out; everybody else reads the view, which
 * that thread replaces (fs/job/show.c).
 */

#define LOG_LINE_MAX 1200

/* --- life --- */

static void watches_free(struct watch *w, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(w[i].remote);
	free(w);
}

static void job_free(struct job *j)
{
	if (!j)
		return;
	view_unref(j->view);
	draft_free(j->draft);
	watches_free(j->watches, j->watch_count);
	for (int i = 0; i < JOB_RECORDS_COUNT; i++)
		free(j->tombs.records[i]);
	store_job_release(&j->row);
	store_parts_free(j->parts, j->part_count);
	results_unref(j->results);
	resultfiles_freep(&j->files);
	pthread_mutex_destroy(&j->mutex);
	pthread_mutex_destroy(&j->wish_mutex);
	free(j->name);
	free(j->dir);
	free(j->sample_error);
	free(j);
}

struct job *job_ref(struct job *j)
{
	atomic_fetch_add_explicit(&j->refs, 1, memory_order_relaxed);
	return j;
}

void job_unref(struct job *j)
{
	if (j && atomic_fetch_sub_explicit(&j->refs, 1, memory_order_acq_rel) == 1)
		job_free(j);
}

static int check_model(void *ctx, const char *model, struct err *e)
{
	struct backend *b = ((struct job *)ctx)->jobs->o.backend;

	return b->ops->check_model(b, model, e);
}

/* Settings every source knows; the rest is the backend's. */
static int check_config(void *ctx, const char *key, const char *value, struct err *e)
{
	struct backend *b = ((struct job *)ctx)->jobs->o.backend;
	struct settings s = settings_default;
	int r = settings_set(&s, key, value, e);

	return r != -ENOENT ? r : b->ops->check_config(b, key, value, e);
}

static void draft_changed(void *ctx)
{
	job_poke(ctx);
}

/* Opened anew each time: a mount may have a hundred thousand jobs. */
static int open_log(const struct job *j, int flags, int *ret)
{
	CLEANUP(str_freep) char *path = NULL;
	int fd;

	if (asprintf(&path, "%s/log", j->dir) < 0)
		return -ENOMEM;
	fd = open(path, flags | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	*ret = fd;
	return 0;
}

static enum draft_seal seal_of(int phase)
{
	if (phase == PHASE_DRAFT)
		return DRAFT_OPEN;
	return phase == PHASE_ENDED || phase == PHASE_ELSEWHERE ? DRAFT_ENDED : DRAFT_ACTIVE;
}

static int fill(struct job *j, const struct store_job *row, struct err *e)
{
	CLEANUP(str_freep) char *files = NULL;
	const struct draft_rules rules = {.check_model = check_model,
					  .check_config = check_config,
					  .changed = draft_changed,
					  .ctx = j,
					  .clock = j->jobs->o.clock};
	int r = store_job_copy(&j->row, row);

	if (r < 0)
		return r;
	j->number = row->number;
	j->elsewhere = row->elsewhere;
	j->name = strdup(row->name);
	if (!j->name || asprintf(&j->dir, "%s/jobs/%llu", j->jobs->state_dir,
				 (unsigned long long)row->number) < 0)
		return -ENOMEM;
	if (mkdir(j->dir, 0700) < 0 && errno != EEXIST)
		return err_errno(e, -errno, "cannot make %s", j->dir);
	if (asprintf(&files, "%s/files", j->dir) < 0)
		return -ENOMEM;
	r = row->elsewhere ? elsewhere_write_model(row, files, e) : 0;
	if (r < 0)
		return r;
	r = draft_open_dir(files, j->jobs->scratch_dir, &rules, seal_of(row->phase), &j->draft, e);
	if (r < 0)
		return r;
	j->wishes = (struct store_wishes){.held = row->held,
					  .submit = row->submit_wanted,
					  .stop = row->stop_wanted,
					  .retry = row->retry_wanted,
					  .fetch = row->fetch_wanted,
					  .purge = row->purge_wanted,
					  .retry_how = row->retry_how,
					  .sample = row->sample_wanted};
	atomic_init(&j->stop_wished, row->stop_wanted);
	j->phase = (enum phase)row->phase;
	j->refused_before = true;
	sample_load(j);
	r = store_parts(j->jobs->o.store, row->number, &j->parts, &j->part_count, e);
	/* Parts of a draft were refused: their tokens are not used again. */
	if (r == 0 && row->phase == PHASE_DRAFT) {
		store_parts_free(STEAL(&j->parts), j->part_count);
		j->part_count = 0;
	}
	return r;
}

/* What a job looks like before its first service: as it was left. */
static enum job_state first_state(const struct store_job *row)
{
	switch ((enum phase)row->phase) {
	case PHASE_STAGING:
		return JOB_UPLOADING;
	case PHASE_RUNNING:
		return row->stop_wanted ? JOB_STOPPING : JOB_QUEUED;
	case PHASE_COLLECTING:
	case PHASE_ENDED: /* until its results have been opened */
		return JOB_FETCHING;
	case PHASE_ELSEWHERE:
		return (enum job_state)row->end_state;
	case PHASE_DRAFT:
	case PHASE_NONE:
	case PHASE_COUNT:
		break;
	}
	return JOB_DRAFT;
}

int job_new(struct jobs *en, const struct store_job *row, struct job **ret, struct err *e)
{
	struct job *j = calloc(1, sizeof(*j));
	int r;

	if (!j)
		return err_set(e, -ENOMEM, "no memory for a job");
	atomic_init(&j->refs, 1);
	j->jobs = en;
	j->busy = true; /* nobody serves it before it is whole */
	pthread_mutex_init(&j->mutex, NULL);
	pthread_mutex_init(&j->wish_mutex, NULL);
	r = fill(j, row, e);
	if (r == 0) {
		j->view = view_new();
		r = j->view ? 0 : -ENOMEM;
	}
	if (r == 0) {
		free(j->view->name);
		j->view->name = strdup(row->name);
		r = j->view->name ? 0 : -ENOMEM;
	}
	if (r == 0 && row->model) {
		free(j->view->model);
		j->view->model = strdup(row->model);
		r = j->view->model ? 0 : -ENOMEM;
	}
	if (r < 0) {
		job_free(j);
		return r;
	}
	j->turn.live = track_live(j); /* before anybody creates: what runs takes its slots */
	j->view->state = first_state(row);
	j->view->commands = job_legal_commands(j, j->view->state, &(struct counts){0});
	j->view->number = row->number;
	j->view->created_ns = row->created_ns;
	j->view->names_ns = row->names_ns;
	for (int i = 0; i < VIEW_TIME_COUNT; i++)
		j->view->times_ns[i] = row->times_ns[i];
	j->busy = false;
	*ret = j;
	return 0;
}

/* --- what others ask --- */

uint64_t job_number(const struct job *j)
{
	return j->number;
}

void job_name(struct job *j, char ret[JOB_NAME_MAX + 1])
{
	pthread_mutex_lock(&j->mutex);
	snprintf(ret, JOB_NAME_MAX + 1, "%s", j->name);
	pthread_mutex_unlock(&j->mutex);
}

struct view *job_view(struct job *j)
{
	struct view *v;

	pthread_mutex_lock(&j->mutex);
	v = view_ref(j->view);
	pthread_mutex_unlock(&j->mutex);
	return v;
}

unsigned job_queue_place(struct job *j)
{
	unsigned place;

	pthread_mutex_lock(&j->mutex);
	place = j->turn.place;
	pthread_mutex_unlock(&j->mutex);
	return place;
}

bool job_rests_locked(const struct job *j)
{
	const struct store_wishes *w = &j->wishes;

	if (j->due_ns == INT64_MAX)
		return true;
	return (j->phase == PHASE_ENDED || j->phase == PHASE_ELSEWHERE) && w->purge && !w->retry &&
	       !w->fetch && !j->fetch_asked;
}

bool job_is_settled(struct job *j)
{
	enum job_state s;
	bool settled;

	pthread_mutex_lock(&j->mutex);
	s = j->view->state;
	settled = atomic_load(&j->removed) ||
		  ((job_state_is_end(s) || s == JOB_INVALID || s == JOB_HELD) && !j->busy &&
		   !j->poked && job_rests_locked(j));
	pthread_mutex_unlock(&j->mutex);
	return settled;
}

bool job_ask_results(struct job *j)
{
	bool away;

	pthread_mutex_lock(&j->mutex);
	away = j->elsewhere && !j->view->results && !atomic_load(&j->removed) &&
	       (j->phase == PHASE_RUNNING || j->phase == PHASE_ELSEWHERE);
	if (away)
		j->fetch_asked = true;
	if (away && j->phase == PHASE_ELSEWHERE) {
		j->poked = true;
		j->due_ns = 0;
	}
	pthread_mutex_unlock(&j->mutex);
	if (away)
		sched_wake(j->jobs);
	return away;
}

int job_pin_results(struct job *j, const struct view *v)
{
	struct err e = ERR_INIT;
	int r = results_pin(v->results, &e);
	bool newest;

	if (r == 0)
		return 0;
	log_warning("job", "%s", e.text);
	if (r != -ENOENT && r != -EUCLEAN)
		return r;
	pthread_mutex_lock(&j->mutex);
	newest = j->view->results == v->results;
	if (newest)
		j->results_lost = true;
	pthread_mutex_unlock(&j->mutex);
	if (newest)
		job_poke(j);
	return newest ? -EIO : -ESTALE;
}

bool job_is_removed(struct job *j)
{
	return atomic_load(&j->removed);
}

struct draft *job_draft(struct job *j)
{
	return j->draft;
}

int job_log_open(const struct job *j, int *ret)
{
	return open_log(j, O_RDONLY, ret);
}

int job_log_stat(const struct job *j, struct stat *ret)
{
	CLEANUP(str_freep) char *path = NULL;

	if (asprintf(&path, "%s/log", j->dir) < 0)
		return -ENOMEM;
	return stat(path, ret) < 0 ? -errno : 0;
}

void job_log(struct job *j, const char *fmt, ...)
{
	char when[CLOCK_TEXT_MAX], what[LOG_LINE_MAX];
	CLEANUP(str_freep) char *line = NULL;
	CLEANUP(str_freep) char *name = NULL;
	CLEANUP(fd_closep) int fd = -1;
	va_list ap;
	int n;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	for (char *s = what; *s; s++)
		if ((unsigned char)*s < 0x20)
			*s = ' ';
	clock_format_utc(clock_wall_ns(j->jobs->o.clock), when);
	n = asprintf(&line, "%s %s\n", when, what);
	/* A log that cannot be written (disk full) must not stop the job. */
	if (n > 0 && open_log(j, O_WRONLY | O_APPEND, &fd) == 0)
		ignore_error((int)write(fd, line, (size_t)n));
	pthread_mutex_lock(&j->mutex);
	name = strdup(j->name);
	pthread_mutex_unlock(&j->mutex);
	str_freep(&line);
	n = asprintf(&line, "%s %s: %s\n", when, name ? name : "?", what);
	if (n > 0)
		ignore_error((int)write(j->jobs->events_fd, line, (size_t)n));
	log_info("job", "%s: %s", name ? name : "?", what);
}

/* --- wishes and being due --- */

int job_settings(struct job *j, struct settings *ret, struct err *e)
{
	CLEANUP(kv_release) struct kv kv = KV_INIT;
	int r = draft_config(j->draft, &kv, e);

	*ret = j->jobs->o.settings;
	if (r == 0)
		settings_take(ret, &kv);
	return r;
}

struct store_wishes job_wishes(struct job *j)
{
	struct store_wishes w;

	pthread_mutex_lock(&j->mutex);
	w = j->wishes;
	pthread_mutex_unlock(&j->mutex);
	return w;
}

void job_set_wishes_locked(struct job *j, const struct store_wishes *w)
{
	j->wishes = *w;
	atomic_store(&j->stop_wished, w->stop);
}

int job_drop_wishes(struct job *j, struct store_wishes drop, struct err *e)
{
	struct store_wishes w;
	int r = 0;

	pthread_mutex_lock(&j->wish_mutex);
	w = job_wishes(j);
	if ((w.held && drop.held) || (w.submit && drop.submit) || (w.stop && drop.stop) ||
	    (w.retry && drop.retry) || (w.fetch && drop.fetch) || (w.purge && drop.purge) ||
	    (w.sample && drop.sample)) {
		w.held = w.held && !drop.held;
		w.submit = w.submit && !drop.submit;
		w.stop = w.stop && !drop.stop;
		w.retry = w.retry && !drop.retry;
		w.fetch = w.fetch && !drop.fetch;
		w.purge = w.purge && !drop.purge;
		w.sample = drop.sample ? 0 : w.sample;
		r = store_job_wish(j->jobs->o.store, j->number, &w, e);
	}
	if (r == 0) {
		pthread_mutex_lock(&j->mutex);
		job_set_wishes_locked(j, &w);
		pthread_mutex_unlock(&j->mutex);
	}
	pthread_mutex_unlock(&j->wish_mutex);
	return r;
}

void job_poke(struct job *j)
{
	pthread_mutex_lock(&j->mutex);
	j->poked = true;
	j->due_ns = 0;
	pthread_mutex_unlock(&j->mutex);
	sched_wake(j->jobs);
}

void job_due_in(struct job *j, int64_t ns)
{
	int64_t due = clock_mono_ns(j->jobs->o.clock) + ns;

	pthread_mutex_lock(&j->mutex);
	if (due < j->due_ns)
		j->due_ns = due;
	pthread_mutex_unlock(&j->mutex);
}

/* --- the record and its view --- */

int job_save(struct job *j, struct err *e)
{
	if (atomic_load(&j->removed))
		return 0;
	if (j->row.phase == PHASE_DRAFT) /* has no parts, or they were refused */
		return store_job_put_alone(j->jobs->o.store, &j->row, e);
	return store_job_put(j->jobs->o.store, &j->row, j->parts, j->part_count, e);
}

int job_save_part(struct job *j, const struct store_part *p, struct err *e)
{
	if (atomic_load(&j->removed))
		return 0;
	return store_job_put(j->jobs->o.store, &j->row, p, 1, e);
}

int job_move(struct job *j, enum event ev, struct err *e)
{
	enum phase from = (enum phase)j->row.phase, to;
	int r = phase_step(from, ev, &to);

	if (r < 0)
		return err_set(e, r, "job %llu: event %d cannot happen in phase %d",
			       (unsigned long long)j->number, (int)ev, (int)from);
	j->row.phase = to;
	r = job_save(j, e);
	if (r < 0) {
		j->row.phase = from;
		return r;
	}
	pthread_mutex_lock(&j->mutex);
	j->phase = to;
	pthread_mutex_unlock(&j->mutex);
	return 0;
}
