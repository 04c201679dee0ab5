#include "backend/local/local.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#include "backend/journal.h"
#include "backend/local/engines.h"
#include "backend/local/run.h"
#include "backend/local/runnow.h"
#include "fs/base/jsonscan.h"
#include "fs/base/log.h"

/*
 * All runs of a mount: which there are, and which may be active.
 *
 * On disk, one directory a run, named by the part's token:
 *
 *	DIR/TOKEN/run.json	what it is: {"version":1,"token","model","input",
 *				"media" (if any),"records","attempt","config":{}}
 *	DIR/TOKEN/journal.jsonl	result lines (backend/envelope.h) in the order in
 *				which they came; a torn last line is cut off when
 *				the run is taken up again
 *	DIR/TOKEN/stop		it was asked to stop; empty
 *	DIR/TOKEN/ended.json	how it ended: {"version":1,"state","message",
 *				"records","good","failed","inputTokens","outputTokens"};
 *				a directory without it is a run that goes on
 *	DIR/.gone-TOKEN		is being deleted
 *
 * A run is in the table from the moment its run.json is on disk until it is
 * forgotten.  At most ACTIVE_MAX are driven at once, each by a detached thread
 * that, when its run is over, takes the next one that waits; close() waits for
 * the number of threads to come down to zero.
 */

#define ACTIVE_MAX 32
#define RUNS_MAX   100000

struct entry {
	struct local *local;
	struct run *run; /* owned */
	const struct engine *engine;
	const struct kv *definition; /* borrowed from engines */
	bool driven;
	struct entry *next;
};

struct local {
	struct backend backend; /* first */
	char *dir;		/* owned */
	uint64_t records_max;
	struct engines *engines;
	struct clock *clock;

	pthread_mutex_t mutex;	     /* of all below, and of driven */
	pthread_cond_t idle;	     /* a driver let go of a run, or has ended */
	struct entry *first, **last; /* in order of arrival */
	size_t count;
	unsigned active;
	bool closing, ending;
	struct runnow *nows; /* under way */
};

static struct local *of(struct backend *b)
{
	return (struct local *)b;
}

static bool is_token(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-");

	return n > 0 && n < BACKEND_TOKEN_MAX && s[n] == '\0';
}

static struct entry *find_locked(struct local *l, const char *token)
{
	for (struct entry *it = l->first; it; it = it->next)
		if (strcmp(run_spec_of(it->run)->token, token) == 0)
			return it;
	return NULL;
}

static void entry_free(struct entry *it)
{
	if (!it)
		return;
	run_free(it->run);
	free(it);
}

static struct entry *next_waiting_locked(struct local *l)
{
	if (l->closing)
		return NULL;
	for (struct entry *it = l->first; it; it = it->next)
		if (it->engine && !it->driven && !run_has_ended(it->run))
			return it;
	return NULL;
}

/* A driver: drives runs until none waits. */
static void *drive(void *arg)
{
	struct local *l = arg;
	struct entry *it;

	pthread_mutex_lock(&l->mutex);
	while ((it = next_waiting_locked(l))) {
		it->driven = true;
		pthread_mutex_unlock(&l->mutex);
		run_drive(it->run, it->engine, it->definition);
		pthread_mutex_lock(&l->mutex);
		it->driven = false;
		pthread_cond_broadcast(&l->idle); /* it may be wanted gone */
	}
	l->active--;
	pthread_cond_broadcast(&l->idle);
	pthread_mutex_unlock(&l->mutex);
	return NULL;
}

/* One more driver, if a run waits and there is room. */
static void start_locked(struct local *l)
{
	pthread_attr_t attr;
	pthread_t thread;
	struct entry *it = next_waiting_locked(l);

	if (!it || l->active >= ACTIVE_MAX)
		return;
	l->active++;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread, &attr, drive, l) != 0) {
		l->active--;
		run_set_message(it->run, "waits for a thread; the system gives out none now");
	}
	pthread_attr_destroy(&attr);
}

/* Takes run over, also on failure. */
static int add_locked(struct local *l, struct run *run, const struct engine *engine,
		      const struct kv *definition, struct err *e)
{
	struct entry *it = calloc(1, sizeof(*it));

	if (!it) {
		run_free(run);
		return err_set(e, -ENOMEM, "no memory for the run");
	}
	*it = (struct entry){.local = l, .run = run, .engine = engine, .definition = definition};
	*l->last = it;
	l->last = &it->next;
	l->count++;
	return 0;
}

static void remove_locked(struct local *l, struct entry *gone)
{
	for (struct entry **at = &l->first; *at; at = &(*at)->next)
		if (*at == gone) {
			*at = gone->next;
			if (!*at)
				l->last = at;
			l->count--;
			return;
		}
}

static char *path_of(const struct local *l, const char *token)
{
	char *path;

	return asprintf(&path, "%s/%s", l->dir, token) < 0 ? NULL : path;
}

static void local_free(struct local *l)
{
	if (!l)
		return;
	while (l->first) {
		struct entry *it = l->first;

		l->first = it->next;
		entry_free(it);
	}
	engines_free(l->engines);
	free(l->dir);
	pthread_cond_destroy(&l->idle);
	pthread_mutex_destroy(&l->mutex);
	free(l);
}

static void cancel_nows_locked(struct local *l)
{
	l->ending = true;
	for (struct runnow *it = l->nows; it; it = it->next)
		runnow_cancel(it);
}

static void local_cancel(struct backend *b)
{
	struct local *l = of(b);

	pthread_mutex_lock(&l->mutex);
	cancel_nows_locked(l);
	pthread_mutex_unlock(&l->mutex);
}

static void local_close(struct backend *b)
{
	struct local *l = of(b);

	pthread_mutex_lock(&l->mutex);
	l->closing = true;
	for (struct entry *it = l->first; it; it = it->next)
		run_suspend(it->run);
	cancel_nows_locked(l);
	while (l->active || l->nows)
		pthread_cond_wait(&l->idle, &l->mutex);
	pthread_mutex_unlock(&l->mutex);
	local_free(l);
}

static void local_limits(struct backend *b, const char *model, struct backend_limits *ret)
{
	(void)model;
	*ret = (struct backend_limits){
		.records_min = 1,
		.records_max_per_part = of(b)->records_max,
		.bytes_max_per_part = UINT64_MAX,
		.bytes_max_per_record = JSONSCAN_LINE_MAX,
		.parts_at_once = UINT_MAX, /* they queue here, create never refuses */
	};
}

static int local_check_model(struct backend *b, const char *model, struct err *e)
{
	const struct engine *engine;
	const struct kv *definition;

	return engines_find(of(b)->engines, model, &engine, &definition, e);
}

static int local_check_config(struct backend *b, const char *key, const char *value, struct err *e)
{
	(void)b;
	return engines_check_config(key, value, e);
}

static int local_put_input(struct backend *b, const struct backend_part *p, struct err *e)
{
	(void)b;
	(void)p;
	(void)e;
	return 0; /* it is read where it lies */
}

/* Would the engine take this part? */
static int check_part(struct local *l, const struct backend_part *p, const struct engine **ret,
		      const struct kv **ret_definition, struct err *e)
{
	const struct kv none = KV_INIT;
	struct engine_job job = {
		.model = p->model,
		.config = p->config ? p->config : &none,
		.media_path = p->media_path,
		.attempt = p->attempt,
		.clock = l->clock,
	};
	int r;

	if (!is_token(p->token))
		return err_set(e, -EINVAL, "\"%.80s\" is no token", p->token);
	r = engines_find(l->engines, p->model, ret, &job.definition, e);
	if (r < 0)
		return r;
	*ret_definition = job.definition;
	return (*ret)->accept ? (*ret)->accept(&job, e) : 0;
}

static int create_locked(struct local *l, const struct backend_part *p, const struct engine *engine,
			 const struct kv *definition, struct err *e)
{
	CLEANUP(run_spec_release) struct run_spec spec = {.token = NULL};
	CLEANUP(str_freep) char *path = path_of(l, p->token);
	struct run *run;
	int r;

	if (l->count >= RUNS_MAX)
		return err_set(e, -EAGAIN, "%d runs are kept already; remove old jobs", RUNS_MAX);
	r = path ? run_spec_copy(&spec, p) : -ENOMEM;
	if (r < 0)
		return err_errno(e, r, "cannot set up the run");
	r = rundir_write_spec(path, &spec, e);
	if (r < 0)
		return journal_is_full(r) || r == -ENOMEM ? -EAGAIN : r;
	r = run_new(path, &spec, l->clock, &run, e);
	if (r == 0)
		r = add_locked(l, run, engine, definition, e);
	return r;
}

/*
 * The mutex is held while run.json is synced, so that two creates with one
 * token make one run; polls wait for that fsync, which is milliseconds.
 */
static int local_create(struct backend *b, const struct backend_part *p, char **ret_remote,
			struct err *e)
{
	struct local *l = of(b);
	const struct engine *engine = NULL;
	const struct kv *definition = NULL;
	CLEANUP(str_freep) char *remote = strdup(p->token);
	int r = 0;

	if (!remote)
		return err_set(e, -ENOMEM, "no memory for the run");
	pthread_mutex_lock(&l->mutex);
	if (p->look_only && !find_locked(l, p->token)) {
		r = -ENOENT;
	} else if (!find_locked(l, p->token)) {
		r = check_part(l, p, &engine, &definition, e);
		if (r == 0)
			r = create_locked(l, p, engine, definition, e);
		if (r == 0)
			start_locked(l);
	}
	pthread_mutex_unlock(&l->mutex);
	if (r == 0)
		*ret_remote = STEAL(&remote);
	return r;
}

static void gone(struct part_status *s)
{
	*s = (struct part_status){.state = JOB_FAILED};
	snprintf(s->raw, sizeof(s->raw), "gone");
	snprintf(s->message, sizeof(s->message),
		 "the run's directory is gone or damaged; start the job again with retry");
}

static int local_poll(struct backend *b, const char *const *remotes, struct part_status *results,
		      size_t count, backend_found *found, void *ctx, struct err *e)
{
	struct local *l = of(b);

	(void)found; /* there are no others */
	(void)ctx;
	(void)e;
	pthread_mutex_lock(&l->mutex);
	for (size_t i = 0; i < count; i++) {
		CLEANUP(str_freep) char *path = path_of(l, remotes[i]);
		struct entry *it = find_locked(l, remotes[i]);

		if (!it || (path && access(path, F_OK) < 0 && errno == ENOENT))
			gone(&results[i]);
		else
			run_status(it->run, &results[i]);
	}
	start_locked(l); /* in case there was no thread to be had */
	pthread_mutex_unlock(&l->mutex);
	return 0;
}

static int local_stop(struct backend *b, const char *remote, struct err *e)
{
	struct local *l = of(b);
	CLEANUP(str_freep) char *path = path_of(l, remote);
	struct err why = ERR_INIT;
	struct entry *it;
	bool running;

	if (!path)
		return err_set(e, -ENOMEM, "no memory to stop %s", remote);
	pthread_mutex_lock(&l->mutex);
	it = find_locked(l, remote);
	running = it && !run_has_ended(it->run);
	pthread_mutex_unlock(&l->mutex);
	if (!running)
		return 0;
	/* On a full disk it stops all the same; only a crash right now would
	 * let it go on. */
	if (rundir_write_stop(path, &why) < 0)
		log_warning("local", "%s", why.text);
	pthread_mutex_lock(&l->mutex);
	it = find_locked(l, remote);
	if (it) {
		run_stop(it->run);
		if (!it->engine)
			it->engine = &engine_builtin; /* never asked: the run is cancelled */
		start_locked(l);
	}
	pthread_mutex_unlock(&l->mutex);
	return 0;
}

static int local_fetch(struct backend *b, const char *remote, const char *dir,
		       struct backend_files *ret, struct err *e)
{
	struct local *l = of(b);
	CLEANUP(str_freep) char *path = NULL;
	struct entry *it;
	bool ended = false;

	(void)dir;
	if (!is_token(remote) || asprintf(&path, "%s/%s/journal.jsonl", l->dir, remote) < 0) {
		path = NULL;
		return err_set(e, -ENOMEM, "cannot name the results of %s", remote);
	}
	pthread_mutex_lock(&l->mutex);
	it = find_locked(l, remote);
	if (it)
		ended = run_has_ended(it->run);
	pthread_mutex_unlock(&l->mutex);
	if (it && !ended)
		return err_set(e, -EBUSY, "%s is still running; stop it or wait", remote);
	*ret = (struct backend_files){.count = 0};
	if (access(path, F_OK) < 0)
		return errno == ENOENT ? 0 : err_errno(e, -errno, "cannot read %s", path);
	ret->paths[ret->count++] = STEAL(&path);
	return 0;
}

static int local_forget(struct backend *b, const char *remote, struct err *e)
{
	struct local *l = of(b);
	struct entry *it;
	int r = 0;

	if (!is_token(remote))
		return 0;
	pthread_mutex_lock(&l->mutex);
	it = find_locked(l, remote);
	/* Its end is told a moment before its driver lets go of it. */
	while (it && it->driven && run_has_ended(it->run)) {
		pthread_cond_wait(&l->idle, &l->mutex);
		it = find_locked(l, remote);
	}
	if (it && (it->driven || (it->engine && !run_has_ended(it->run))))
		r = err_set(e, -EBUSY, "%s is still running; stop it first", remote);
	if (it && r == 0) {
		remove_locked(l, it);
		entry_free(it);
	}
	pthread_mutex_unlock(&l->mutex);
	return r < 0 ? r : rundir_remove(l->dir, remote, e);
}

static void drop_now(struct local *l, struct runnow *now)
{
	struct runnow **at = &l->nows;

	pthread_mutex_lock(&l->mutex);
	while (*at != now)
		at = &(*at)->next;
	*at = now->next;
	pthread_cond_broadcast(&l->idle);
	pthread_mutex_unlock(&l->mutex);
}

static int local_run_now(struct backend *b, const struct backend_part *p, const char *path,
			 backend_told *told, void *ctx, struct err *e)
{
	struct local *l = of(b);
	struct runnow_options o = {
		.clock = l->clock, .part = p, .path = path, .told = told, .ctx = ctx};
	struct runnow now;
	bool ending;
	int r = check_part(l, p, &o.engine, &o.definition, e);

	if (r == 0)
		r = runnow_init(&now, e);
	if (r < 0)
		return r;
	pthread_mutex_lock(&l->mutex);
	ending = l->ending;
	if (!ending) {
		now.next = l->nows;
		l->nows = &now;
	}
	pthread_mutex_unlock(&l->mutex);
	if (ending) {
		r = err_set(e, -ECANCELED, "the mount is ending");
	} else {
		r = runnow_run(&now, &o, e);
		drop_now(l, &now);
	}
	runnow_release(&now);
	return r;
}

static void local_models(struct backend *b, struct buf *out)
{
	engines_list(of(b)->engines, out);
}

static const struct backend_ops ops = {
	.kind = "local",
	.poll_first_ns = 30 * NS_PER_MS,
	.poll_max_ns = NS_PER_S,
	.close = local_close,
	.cancel = local_cancel,
	.limits = local_limits,
	.check_model = local_check_model,
	.check_config = local_check_config,
	.put_input = local_put_input,
	.create = local_create,
	.poll = local_poll,
	.stop = local_stop,
	.fetch = local_fetch,
	.run_now = local_run_now,
	.forget = local_forget,
	.models = local_models,
};

/* One directory found at the start.  A run that cannot be taken up is told in
 * the log and stays on disk; the others go on. */
static int take_up_locked(struct local *l, const char *token, struct err *e)
{
	CLEANUP(run_spec_release) struct run_spec spec = {.token = NULL};
	CLEANUP(str_freep) char *path = path_of(l, token);
	const struct engine *engine = NULL;
	const struct kv *definition = NULL;
	struct err why = ERR_INIT;
	struct run *run = NULL;
	int r = path ? rundir_read_spec(path, &spec, &why) : -ENOMEM;

	if (r == 0 && strcmp(spec.token, token) != 0)
		r = err_set(&why, -EINVAL, "%s holds another run", path);
	if (r == 0)
		r = run_new(path, &spec, l->clock, &run, &why);
	if (r == -ENOMEM || r == -EMFILE)
		return err_errno(e, r, "cannot take up %s", token);
	if (r == -ENOENT)
		return 0; /* killed before create() was done: it will be asked again */
	if (r < 0) {
		log_error("local", "run is not taken up: %s", why.text);
		return 0;
	}
	if (!run_has_ended(run) &&
	    engines_find(l->engines, run_spec_of(run)->model, &engine, &definition, &why) < 0) {
		engine = NULL;
		run_set_message(run, why.text);
		log_warning("local", "run waits token=%s: %s", token, why.text);
	}
	return add_locked(l, run, engine, definition, e);
}

static int take_up_all_locked(struct local *l, struct err *e)
{
	CLEANUP(dir_closep) DIR *d = opendir(l->dir);
	struct dirent *it;
	int r = 0;

	if (!d)
		return err_errno(e, -errno, "cannot read %s", l->dir);
	while (r == 0 && l->count < RUNS_MAX && (it = readdir(d)))
		if (is_token(it->d_name))
			r = take_up_locked(l, it->d_name, e);
	for (unsigned i = 0; i < ACTIVE_MAX && r == 0; i++)
		start_locked(l);
	return r;
}

int local_open(const char *dir, const char *config_path, uint64_t records_max, struct backend **ret,
	       struct err *e)
{
	struct local *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return err_set(e, -ENOMEM, "no memory for local:");
	l->backend.ops = &ops;
	l->clock = clock_system();
	l->last = &l->first;
	l->records_max = records_max;
	pthread_mutex_init(&l->mutex, NULL);
	pthread_cond_init(&l->idle, NULL);
	l->dir = strdup(dir);
	r = l->dir ? engines_open(config_path, &l->engines, e)
		   : err_set(e, -ENOMEM, "no memory for local:");
	if (r == 0) {
		rundir_sweep(l->dir);
		pthread_mutex_lock(&l->mutex);
		r = take_up_all_locked(l, e);
		pthread_mutex_unlock(&l->mutex);
	}
	if (r < 0) {
		local_free(l);
		return r;
	}
	*ret = &l->backend;
	return 0;
}
