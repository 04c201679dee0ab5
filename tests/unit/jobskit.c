#include "tests/unit/jobskit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fs/job/jobs_private.h"
#include "fs/job/machine.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/tempdir.h"

#define PATIENCE_S 20 /* for a machine under sanitizers and load */

static int64_t mono(struct clock *c)
{
	struct jobskit *k = (struct jobskit *)c;

	return clock_mono_ns(clock_system()) + atomic_load(&k->skipped_ns);
}

void jobskit_skip(struct jobskit *k, int64_t ns)
{
	atomic_fetch_add(&k->skipped_ns, ns);
	sched_wake(k->jobs);
}

/* The engine asks for it at each of its own moments: more places to die at. */
static int64_t wall(struct clock *c)
{
	struct jobskit *k = (struct jobskit *)c;

	fakebackend_tick(k->provider);
	return clock_wall_ns(clock_system());
}

static void changed(void *ctx, struct job *j, unsigned what)
{
	struct jobskit *k = ctx;

	(void)j;
	(void)what;
	fakebackend_tick(k->provider);
	pthread_mutex_lock(&k->mutex);
	k->changes++;
	pthread_cond_broadcast(&k->cond);
	pthread_mutex_unlock(&k->mutex);
}

void jobskit_init(struct jobskit *k, const char *dir, struct fakebackend *provider)
{
	pthread_condattr_t attr;

	*k = (struct jobskit){.clock = {.mono_ns = mono, .wall_ns = wall}};
	k->dir = strdup(dir);
	k->provider = provider ? provider : fakebackend_new(dir);
	k->own_provider = !provider;
	assert_non_null(k->dir);
	assert_non_null(k->provider);
	pthread_mutex_init(&k->mutex, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&k->cond, &attr);
	pthread_condattr_destroy(&attr);
	k->o = (struct jobs_options){.backend = &k->provider->backend,
				     .clock = &k->clock,
				     .poll_ns = 5 * NS_PER_MS,
				     .changed = changed,
				     .ctx = k};
}

void jobskit_release(struct jobskit *k)
{
	jobskit_stop(k);
	if (k->own_provider)
		fakebackend_free(k->provider);
	pthread_cond_destroy(&k->cond);
	pthread_mutex_destroy(&k->mutex);
	free(k->dir);
}

char *jobskit_path(const struct jobskit *k, const char *name)
{
	char *path = NULL;

	assert_true(asprintf(&path, "%s/%s", k->dir, name) > 0);
	return path;
}

void jobskit_start(struct jobskit *k)
{
	CLEANUP(str_freep) char *db = jobskit_path(k, "state.db");
	CLEANUP(str_freep) char *cache = jobskit_path(k, "cache");
	struct err e = ERR_INIT;

	if (store_open(db, &k->store, &e) < 0)
		fail_msg("%s", e.text);
	k->o.store = k->store;
	k->o.state_dir = k->dir;
	k->o.cache_dir = cache;
	if (jobs_new(&k->o, &k->jobs, &e) < 0 || jobs_start(k->jobs, &e) < 0)
		fail_msg("%s", e.text);
}

void jobskit_stop(struct jobskit *k)
{
	jobs_stop(k->jobs);
	jobs_free(k->jobs);
	store_close(k->store);
	k->jobs = NULL;
	k->store = NULL;
}

/* --- requests --- */

struct reply {
	struct jobskit *kit;
	struct job *job;
	int r, count;
};

static void replied(void *ctx, int r, struct job *j)
{
	struct reply *y = ctx;
	struct jobskit *k = y->kit;

	pthread_mutex_lock(&k->mutex);
	y->r = r;
	y->job = j ? job_ref(j) : NULL;
	y->count++;
	pthread_cond_broadcast(&k->cond);
	pthread_mutex_unlock(&k->mutex);
}

static struct timespec deadline(void)
{
	int64_t ns = clock_mono_ns(clock_system()) + PATIENCE_S * NS_PER_S;

	return (struct timespec){.tv_sec = (time_t)(ns / NS_PER_S),
				 .tv_nsec = (long)(ns % NS_PER_S)};
}

static int wait_reply(struct reply *y)
{
	struct jobskit *k = y->kit;
	struct timespec until = deadline();
	int count;

	pthread_mutex_lock(&k->mutex);
	while (y->count == 0 && pthread_cond_timedwait(&k->cond, &k->mutex, &until) == 0)
		;
	count = y->count;
	pthread_mutex_unlock(&k->mutex);
	assert_int_equal(count, 1);
	return y->r;
}

struct job *jobskit_make(struct jobskit *k, const char *name)
{
	struct reply y = {.kit = k};

	jobs_make(k->jobs, name, replied, &y);
	assert_int_equal(wait_reply(&y), 0);
	return y.job;
}

int jobskit_try_make(struct jobskit *k, const char *name)
{
	struct reply y = {.kit = k};

	jobs_make(k->jobs, name, replied, &y);
	wait_reply(&y);
	job_unref(y.job);
	return y.r;
}

struct kit_and_name {
	struct jobskit *kit;
	const char *name;
};

struct job *jobskit_find(struct jobskit *k, const char *name)
{
	struct job *j = jobs_find(k->jobs, name);

	if (!j)
		fail_msg("there is no job %s", name);
	return j;
}

static bool has_job(struct job *nobody, void *kit_and_name)
{
	const struct kit_and_name *n = kit_and_name;
	struct job *j = jobs_find(n->kit->jobs, n->name);

	(void)nobody;
	job_unref(j);
	return j != NULL;
}

struct job *jobskit_wait_job(struct jobskit *k, const char *name)
{
	struct kit_and_name n = {k, name};

	jobskit_wait_for(k, NULL, has_job, &n, __FILE__, __LINE__);
	return jobskit_find(k, name);
}

int jobskit_rename(struct jobskit *k, struct job *j, const char *name)
{
	struct reply y = {.kit = k};

	jobs_rename(k->jobs, j, name, replied, &y);
	wait_reply(&y);
	job_unref(y.job);
	return y.r;
}

int jobskit_remove(struct jobskit *k, struct job *j)
{
	struct reply y = {.kit = k};

	jobs_remove(k->jobs, j, replied, &y);
	wait_reply(&y);
	job_unref(y.job);
	return y.r;
}

int jobskit_command(struct jobskit *k, struct job *j, enum command c)
{
	return jobskit_order(k, j, (struct order){.command = c});
}

int jobskit_order(struct jobskit *k, struct job *j, struct order o)
{
	struct reply y = {.kit = k};

	jobs_command(k->jobs, j, o, replied, &y);
	wait_reply(&y);
	job_unref(y.job);
	return y.r;
}

int jobskit_write(struct job *j, const char *name, const char *text)
{
	struct draft *d = job_draft(j);
	struct draft_handle *h;
	uint32_t number;
	int r = draft_lookup(d, DRAFT_TOP, name, &number), closed;

	if (r == -ENOENT)
		r = draft_create(d, DRAFT_TOP, name, O_WRONLY, &number, &h);
	else if (r == 0)
		r = draft_open(d, number, O_WRONLY | O_TRUNC, &h);
	if (r < 0)
		return r;
	r = draft_write(h, text, strlen(text), 0, false);
	closed = draft_flush(h);
	draft_release(h);
	return r < 0 ? r : closed;
}

/* --- waiting --- */

static void give_up(struct job *j, const char *what, const char *file, int line)
{
	CLEANUP(view_unrefp) struct view *v = j ? job_view(j) : NULL;

	if (!v)
		print_error("%s does not come\n", what);
	else
		print_error("%s does not come; the job is %s: %s\n", what, job_state_name(v->state),
			    v->error);
	_fail(file, line);
}

void jobskit_wait_for(struct jobskit *k, struct job *j, bool (*is_so)(struct job *j, void *ctx),
		      void *ctx, const char *file, int line)
{
	struct timespec until = deadline();
	int r = 0;

	pthread_mutex_lock(&k->mutex);
	while (r == 0) {
		uint64_t seen = k->changes;
		bool so;

		pthread_mutex_unlock(&k->mutex);
		so = is_so(j, ctx);
		pthread_mutex_lock(&k->mutex);
		if (so)
			break;
		while (r == 0 && seen == k->changes)
			r = pthread_cond_timedwait(&k->cond, &k->mutex, &until);
	}
	pthread_mutex_unlock(&k->mutex);
	if (r)
		give_up(j, "what is waited for", file, line);
}

static bool shows(struct job *j, void *ctx)
{
	CLEANUP(view_unrefp) struct view *v = job_view(j);
	enum job_state s = *(enum job_state *)ctx;
	bool rests = job_state_is_end(s) || s == JOB_INVALID || s == JOB_HELD;

	return v->state == s && (!rests || job_is_settled(j));
}

void jobskit_wait_at(struct jobskit *k, struct job *j, enum job_state s, const char *file, int line)
{
	jobskit_wait_for(k, j, shows, &s, file, line);
}

static bool says(struct job *j, void *ctx)
{
	CLEANUP(view_unrefp) struct view *v = job_view(j);

	return strstr(v->error, ctx) != NULL;
}

void jobskit_wait_error(struct jobskit *k, struct job *j, const char *words)
{
	CLEANUP(str_freep) char *copy = strdup(words);

	jobskit_wait_for(k, j, says, copy, __FILE__, __LINE__);
}

char *jobskit_results(struct job *j, enum results_file f)
{
	CLEANUP(view_unrefp) struct view *v = job_view(j);
	uint64_t size = 0;
	const char *bytes;
	char *copy;

	assert_non_null(v->results);
	assert_int_equal(results_pin(v->results, NULL), 0);
	bytes = results_bytes(v->results, f, &size);
	copy = strndup(size ? bytes : "", size);
	results_unpin(v->results);
	assert_non_null(copy);
	return copy;
}

/* --- for tests --- */

int jobskit_setup(void **state)
{
	struct jobskit *k = malloc(sizeof(*k));
	void *dir;

	if (!k || tempdir_setup(&dir) < 0)
		return -1;
	jobskit_init(k, dir, NULL);
	free(dir);
	jobskit_start(k);
	*state = k;
	return 0;
}

int jobskit_teardown(void **state)
{
	struct jobskit *k = *state;
	void *dir = strdup(k->dir);

	jobskit_release(k);
	free(k);
	return tempdir_teardown(&dir);
}

void jobskit_fill(struct job *j)
{
	assert_int_equal(jobskit_write(j, "input.jsonl", JOBSKIT_INPUT), 0);
	assert_int_equal(jobskit_write(j, "model", "fake.echo\n"), 0);
}

struct job *jobskit_submit(struct jobskit *k, const char *name)
{
	struct job *j = jobskit_make(k, name);

	jobskit_fill(j);
	return j;
}

/* --- parts --- */

static int keep_row(void *ctx, const struct store_job *row)
{
	return store_job_copy(ctx, row);
}

static void put_part(const char *dir, const struct store_part *p, const char *line)
{
	CLEANUP(str_freep) char *path = NULL;
	CLEANUP(file_closep) FILE *out = NULL;

	assert_true(asprintf(&path, "%s/a1p%u.jsonl", dir, p->seq) > 0);
	unlink(path); /* it may be the input itself */
	out = fopen(path, "we");
	assert_non_null(out);
	assert_true(fputs(line, out) >= 0);
}

static unsigned cut_lines(struct jobskit *k, FILE *in, const char *dir, struct store_job *row,
			  const struct store_part *whole)
{
	char line[1024], token[BACKEND_TOKEN_MAX];
	struct err e = ERR_INIT;
	unsigned n = 0;

	for (; fgets(line, sizeof(line), in); n++) {
		struct store_part p = *whole;

		p.seq = n + 1;
		p.first = n;
		p.record_count = 1;
		snprintf(token, sizeof(token), "cut-%u", n);
		p.token = n == 0 ? whole->token : token;
		put_part(dir, &p, line);
		assert_int_equal(store_job_put(k->store, row, &p, 1, &e), 0);
	}
	return n;
}

unsigned jobskit_cut(struct jobskit *k)
{
	CLEANUP(str_freep) char *db = jobskit_path(k, "state.db");
	CLEANUP(str_freep) char *dir = jobskit_path(k, "jobs/1/parts");
	CLEANUP(str_freep) char *path = jobskit_path(k, "jobs/1/parts/a1p1.jsonl");
	CLEANUP(file_closep) FILE *in = fopen(path, "re");
	CLEANUP(store_job_release) struct store_job row = STORE_JOB_INIT;
	struct store_part *whole = NULL;
	struct err e = ERR_INIT;
	size_t count = 0;
	unsigned n;

	assert_non_null(in);
	assert_int_equal(store_open(db, &k->store, &e), 0);
	assert_int_equal(store_jobs(k->store, keep_row, &row, &e), 0);
	assert_int_equal(store_parts(k->store, row.number, &whole, &count, &e), 0);
	assert_int_equal(count, 1);
	assert_int_equal(whole->phase, PART_STAGED);
	n = cut_lines(k, in, dir, &row, whole);
	store_parts_free(whole, count);
	store_close(STEAL(&k->store));
	return n;
}
