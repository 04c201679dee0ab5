#include "tests/unit/fakebackend.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "fs/base/clock.h"
#include "tests/unit/fakenow.h"

#define LINE_SIZE_MAX 4096

static const char *inputs_elsewhere(const struct fakebackend *f)
{
	return f->inputs_elsewhere ? f->inputs_elsewhere
				   : "{\"recordId\":\"a\",\"modelInput\":{}}\n"
				     "{\"recordId\":\"b\",\"modelInput\":{}}\n"
				     "{\"recordId\":\"c\",\"modelInput\":{}}\n";
}

static struct fakebackend *of(struct backend *b)
{
	return (struct fakebackend *)b;
}

/* Takes one off a counter; false if it is used up. */
static bool spend(atomic_int *counter)
{
	int n = atomic_load(counter);

	while (n > 0)
		if (atomic_compare_exchange_weak(counter, &n, n - 1))
			return true;
	return false;
}

void fakebackend_tick(struct fakebackend *f)
{
	int at = atomic_load(&f->die_at);

	if (at && atomic_fetch_add(&f->ticks, 1) + 1 == at)
		kill(getpid(), SIGKILL);
}

static struct fakebackend *enter(struct backend *b, const char *operation)
{
	struct fakebackend *f = of(b);

	if (f->called)
		f->called(f->ctx, operation);
	fakebackend_tick(f);
	return f;
}

static int leave(struct fakebackend *f, int r)
{
	fakebackend_tick(f);
	return r;
}

static int again(const char *what, struct err *e)
{
	return err_set(e, -EAGAIN, "%s: the provider is busy", what);
}

static struct fakepart *find_locked(struct fakebackend *f, const char *token, const char *remote)
{
	for (unsigned i = 0; i < f->part_count; i++)
		if ((token && strcmp(f->parts[i].token, token) == 0) ||
		    (remote && strcmp(f->parts[i].remote, remote) == 0))
			return &f->parts[i];
	return NULL;
}

static void op_close(struct backend *b)
{
	(void)b;
}

static void op_limits(struct backend *b, const char *model, struct backend_limits *ret)
{
	unsigned min = atomic_load(&of(b)->records_min);
	unsigned at_once = atomic_load(&of(b)->parts_at_once);
	unsigned max = atomic_load(&of(b)->records_max);

	(void)model;
	*ret = (struct backend_limits){.records_min = min ? min : 1,
				       .records_max_per_part = max ? max : 1000,
				       .bytes_max_per_part = 1000000,
				       .bytes_max_per_record = 1000000,
				       .parts_at_once = at_once ? at_once : UINT_MAX};
}

static int op_check_model(struct backend *b, const char *model, struct err *e)
{
	(void)b;
	if (strncmp(model, "fake.", 5) == 0)
		return 0;
	return err_set(e, -EINVAL, "model: there is no \"%s\" here; write fake.echo", model);
}

static int op_check_config(struct backend *b, const char *key, const char *value, struct err *e)
{
	(void)b;
	if (strcmp(key, "speed") != 0)
		return -ENOENT;
	if (strcmp(value, "fast") == 0)
		return 0;
	return err_set(e, -EINVAL, "config: speed is fast, not \"%s\"", value);
}

static int op_put_input(struct backend *b, const struct backend_part *p, struct err *e)
{
	struct fakebackend *f = enter(b, "put_input");

	if (access(p->input_path, R_OK) < 0)
		return err_errno(e, -EIO, "put_input: %s", p->input_path);
	if (spend(&f->put_again))
		return again("put_input", e);
	if (spend(&f->put_refused))
		return err_set(e, -EINVAL, "%s", f->words);
	return leave(f, 0);
}

static char outcome_of(const struct fakebackend *f, unsigned attempt, uint64_t index)
{
	const char *all = attempt <= COUNT_OF(f->outcomes) ? f->outcomes[attempt - 1] : NULL;
	size_t n = all ? strlen(all) : 0;

	if (n == 0)
		return 'g';
	return all[index < n ? index : n - 1];
}

/* A result line for each record that is not to be missing. */
static int write_results(const struct fakebackend *f, const struct fakepart *part,
			 const char *input_path)
{
	CLEANUP(file_closep) FILE *in = fopen(input_path, "re");
	CLEANUP(file_closep) FILE *out = NULL;
	char path[sizeof(f->dir) + 48], line[LINE_SIZE_MAX], id[64];
	uint64_t index = 0;

	snprintf(path, sizeof(path), "%s/%s.jsonl", f->dir, part->remote);
	out = fopen(path, "we");
	if (!in || !out)
		return -errno;
	for (; fgets(line, sizeof(line), in); index++) {
		const char *at = strstr(line, "\"recordId\":\"");

		if (!at || sscanf(at + 12, "%63[^\"]", id) != 1)
			return -EINVAL;
		fakenow_add_result(f, out, id, part->attempt, outcome_of(f, part->attempt, index));
	}
	return index == part->record_count ? 0 : -EINVAL;
}

static int op_check_input(struct backend *b, const struct backend_part *p,
			  struct backend_input_check *ret, struct err *e)
{
	struct fakebackend *f = enter(b, "check_input");

	(void)p;
	(void)e;
	if (f->faults)
		buf_add_str(ret->faults, f->faults);
	if (f->warnings)
		buf_add_str(ret->warnings, f->warnings);
	ret->has_estimate = true;
	ret->estimate = (struct tokens){1000000, 2000000};
	return 0;
}

static bool op_price(struct backend *b, const char *model, struct price *ret)
{
	struct fakebackend *f = of(b);

	(void)model;
	if (!f->priced)
		return false;
	*ret = (struct price){1, 2, 2, 4, "a test"};
	return true;
}

static unsigned count_live_locked(const struct fakebackend *f)
{
	unsigned n = 0;

	for (unsigned i = 0; i < f->part_count; i++)
		n += !job_state_is_end(f->parts[i].state);
	return n;
}

static int create_locked(struct fakebackend *f, const struct backend_part *p, char **ret,
			 struct err *e)
{
	struct fakepart *part = find_locked(f, p->token, NULL);
	int r;

	if (part && !p->asked_ns)
		f->blind_repeats++;
	if (!part && p->look_only)
		return -ENOENT;
	if (!part) {
		unsigned live = count_live_locked(f), quota = atomic_load(&f->quota);

		if (quota && live >= quota) {
			atomic_fetch_add(&f->quota_refusals, 1);
			return err_set(e, -EDQUOT,
				       "create: the quota is full; ask for a larger one");
		}
		if (live + 1 > atomic_load(&f->live_most))
			atomic_store(&f->live_most, live + 1);
		if (f->part_count == FAKEBACKEND_PARTS_MAX)
			return err_set(e, -EIO, "create: more parts than any test needs");
		part = &f->parts[f->part_count];
		*part = (struct fakepart){.attempt = p->attempt,
					  .record_count = p->record_count,
					  .state = JOB_SUBMITTED};
		snprintf(part->token, sizeof(part->token), "%s", p->token);
		snprintf(part->remote, sizeof(part->remote), "fake-%u", f->part_count + 1);
		snprintf(part->job_name, sizeof(part->job_name), "%s", p->job_name);
		r = write_results(f, part, p->input_path);
		if (r < 0)
			return err_errno(e, -EIO, "create: %s", p->input_path);
		f->part_count++;
	}
	part->creates++;
	*ret = strdup(part->remote);
	return *ret ? 0 : -ENOMEM;
}

static int64_t op_create_every_ns(struct backend *b)
{
	return atomic_load(&((struct fakebackend *)b)->create_every_ms) * NS_PER_MS;
}

static int take_create(struct backend *b, const struct backend_part *p, char **ret, struct err *e)
{
	struct fakebackend *f = enter(b, "create");
	char *remote = NULL;
	int r;

	if (!p->look_only && spend(&f->create_again))
		return again("create", e);
	if (spend(&f->create_busy))
		return err_set(e, -EBUSY, "create: %s",
			       f->busy_words ? f->busy_words : "the quota is full");
	if (spend(&f->create_refused))
		return err_set(e, -EINVAL, "%s", f->words);
	pthread_mutex_lock(&f->mutex);
	r = create_locked(f, p, &remote, e);
	pthread_mutex_unlock(&f->mutex);
	fakebackend_tick(f);
	if (r == 0 && spend(&f->create_lost)) {
		free(remote);
		return again("create", e);
	}
	if (r == 0)
		*ret = remote;
	return r;
}

static int op_create(struct backend *b, const struct backend_part *p, char **ret, struct err *e)
{
	struct fakebackend *f = (struct fakebackend *)b;
	unsigned now = atomic_fetch_add(&f->creating, 1) + 1;
	int r;

	if (now > atomic_load(&f->creating_most))
		atomic_store(&f->creating_most, now);
	r = take_create(b, p, ret, e);
	atomic_fetch_sub(&f->creating, 1);
	return r;
}

static void advance_locked(struct fakebackend *f, struct fakepart *p)
{
	enum job_state end = (enum job_state)atomic_load(&f->end);

	if (job_state_is_end(p->state))
		return;
	if (p->stops > 0)
		p->state = JOB_STOPPED;
	else if (atomic_load(&f->ends_counted) && !spend(&f->ends))
		p->state = JOB_IN_PROGRESS;
	else
		p->state = end;
}

static void status_of(const struct fakebackend *f, const struct fakepart *p,
		      struct part_status *ret)
{
	*ret = (struct part_status){.state = p->state, .counts = {.total = p->record_count}};
	if (job_state_is_end(p->state) && p->counts.total > 0)
		ret->counts = p->counts;
	if (!job_state_is_end(p->state))
		ret->counts.good = atomic_load(&f->running_good);
	snprintf(ret->raw, sizeof(ret->raw), "Fake%s", job_state_name(p->state));
	if (job_state_is_end(p->state) && f->message)
		snprintf(ret->message, sizeof(ret->message), "%s", f->message);
}

/* Of all there are, each time: that is allowed. */
static void tell_all_locked(struct fakebackend *f, backend_found *found, void *ctx)
{
	char remote[32], name[32];
	struct backend_job j;

	for (unsigned i = 0; i < f->part_count; i++) {
		const struct fakepart *p = &f->parts[i];

		j = (struct backend_job){.remote = p->remote,
					 .name = p->job_name,
					 .model = "fake.echo",
					 .submitted_ns = FAKEBACKEND_BEGAN_NS};
		if (p->token[0] && !atomic_load(&f->tells_no_tokens))
			j.token = p->token;
		status_of(f, p, &j.status);
		if (job_state_is_end(p->state))
			j.ended_ns = FAKEBACKEND_ENDED_NS;
		found(ctx, &j);
		found(ctx, &j); /* a list that grows while it is read tells of one twice */
	}
	for (int i = 0; i < atomic_load(&f->bulk); i++) {
		snprintf(remote, sizeof(remote), "bulk-%d", i);
		snprintf(name, sizeof(name), "bulk %d", i);
		j = (struct backend_job){.remote = remote,
					 .name = name,
					 .model = "fake.echo",
					 .status = {.state = JOB_COMPLETED, .raw = "Fake"},
					 .submitted_ns = FAKEBACKEND_BEGAN_NS,
					 .ended_ns = FAKEBACKEND_ENDED_NS};
		found(ctx, &j);
	}
}

static int op_poll(struct backend *b, const char *const *remotes, struct part_status *results,
		   size_t count, backend_found *found, void *ctx, struct err *e)
{
	struct fakebackend *f = enter(b, "poll");

	if (spend(&f->poll_again))
		return again("poll", e);
	pthread_mutex_lock(&f->mutex);
	for (size_t i = 0; i < count; i++) {
		struct fakepart *p = find_locked(f, NULL, remotes[i]);

		if (!p)
			continue;
		advance_locked(f, p);
		status_of(f, p, &results[i]);
	}
	if (found)
		tell_all_locked(f, found, ctx);
	pthread_mutex_unlock(&f->mutex);
	return leave(f, spend(&f->poll_torn) ? again("poll", e) : 0);
}

static int op_stop(struct backend *b, const char *remote, struct err *e)
{
	struct fakebackend *f = enter(b, "stop");
	struct fakepart *p;

	if (spend(&f->stop_again))
		return again("stop", e);
	if (spend(&f->stop_refused))
		return err_set(e, -EINVAL, "%s", f->words);
	pthread_mutex_lock(&f->mutex);
	p = find_locked(f, NULL, remote);
	if (p)
		p->stops++;
	pthread_mutex_unlock(&f->mutex);
	return leave(f, 0);
}

/* What a provider that downloads leaves behind. */
static int leave_a_download(const char *dir, struct err *e)
{
	CLEANUP(str_freep) char *path = NULL;
	CLEANUP(file_closep) FILE *out = NULL;

	if (mkdir(dir, 0700) < 0 || asprintf(&path, "%s/download", dir) < 0)
		return err_errno(e, -errno, "fetch: %s", dir);
	out = fopen(path, "we");
	return out ? 0 : err_errno(e, -errno, "fetch: %s", path);
}

static int op_fetch(struct backend *b, const char *remote, const char *dir,
		    struct backend_files *ret, struct err *e)
{
	struct fakebackend *f = enter(b, "fetch");

	if (access(dir, F_OK) == 0 && rmdir(dir) < 0)
		return err_errno(e, -EIO, "fetch: %s is not empty", dir);
	if (spend(&f->fetch_again))
		return again("fetch", e);
	if (atomic_load(&f->fetch_error))
		return err_errno(e, atomic_load(&f->fetch_error), "fetch");
	if (asprintf(&ret->paths[0], "%s/%s.jsonl", f->dir, remote) < 0)
		return -ENOMEM;
	ret->count = 1;
	return leave(f, leave_a_download(dir, e));
}

static bool op_lists_jobs(struct backend *b)
{
	return atomic_load(&of(b)->lists);
}

static int op_fetch_input(struct backend *b, const char *remote, const char *path, struct err *e)
{
	struct fakebackend *f = enter(b, "fetch_input");
	CLEANUP(file_closep) FILE *out = NULL;
	int error = atomic_load(&f->fetch_input_error);

	(void)remote;
	if (spend(&f->fetch_input_again))
		return again("fetch_input", e);
	if (error)
		return err_set(e, error, "%s", f->words);
	out = fopen(path, "wxe");
	if (!out || fputs(inputs_elsewhere(f), out) < 0)
		return err_errno(e, -EIO, "fetch_input: %s", path);
	return leave(f, 0);
}

static int op_forget(struct backend *b, const char *remote, struct err *e)
{
	struct fakebackend *f = enter(b, "forget");
	struct fakepart *p;

	if (spend(&f->forget_again))
		return again("forget", e);
	pthread_mutex_lock(&f->mutex);
	p = find_locked(f, NULL, remote);
	if (p)
		p->forgets++;
	pthread_mutex_unlock(&f->mutex);
	return leave(f, 0);
}

/* What it holds of the part is gone: it cannot be fetched any more. */
static int op_purge(struct backend *b, const struct backend_part *p, const char *remote,
		    struct err *e)
{
	struct fakebackend *f = enter(b, "purge");
	int error = atomic_load(&f->purge_error);
	struct fakepart *part;
	char path[sizeof(f->dir) + 48];

	if (spend(&f->purge_again))
		return again("purge", e);
	if (error)
		return err_set(e, error, "%s", f->words);
	pthread_mutex_lock(&f->mutex);
	part = remote ? find_locked(f, NULL, remote) : NULL;
	if (part) {
		part->purges++;
		snprintf(path, sizeof(path), "%s/%s.jsonl", f->dir, part->remote);
		unlink(path);
	}
	if (part && (p->token ? strcmp(p->token, part->token) != 0 : part->token[0] != '\0'))
		abort();
	pthread_mutex_unlock(&f->mutex);
	return leave(f, 0);
}

static void op_advise(struct backend *b, const char *model, const char *code, const char *words,
		      struct buf *out)
{
	(void)b;
	if (strcmp(words, "no") == 0)
		buf_addf(out, "%s says so to %s: ask nicely", model, code);
}

static void op_models(struct backend *b, struct buf *out)
{
	(void)b;
	buf_add_str(out, "fake.echo\n");
}

static void make_mutex(struct fakebackend *f)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&f->mutex, &attr);
	pthread_mutexattr_destroy(&attr);
}

struct fakebackend *fakebackend_new(const char *dir)
{
	static const struct backend_ops ops = {
		.kind = "fake",
		.poll_idle_ns = 10000000,
		.close = op_close,
		.create_every_ns = op_create_every_ns,
		.limits = op_limits,
		.check_model = op_check_model,
		.check_config = op_check_config,
		.put_input = op_put_input,
		.create = op_create,
		.check_input = op_check_input,
		.price = op_price,
		.poll_first_ns = 30 * NS_PER_MS,
		.poll_max_ns = NS_PER_S,
		.poll = op_poll,
		.stop = op_stop,
		.fetch = op_fetch,
		.lists_jobs = op_lists_jobs,
		.fetch_input = op_fetch_input,
		.run_now = fakenow_run,
		.pad_record = fakenow_pad,
		.forget = op_forget,
		.purge = op_purge,
		.advise = op_advise,
		.models = op_models,
	};
	struct fakebackend *f =
		mmap(NULL, sizeof(*f), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (f == MAP_FAILED)
		return NULL;
	f->ops = ops;
	f->backend.ops = &f->ops;
	snprintf(f->dir, sizeof(f->dir), "%s", dir);
	atomic_store(&f->end, JOB_COMPLETED);
	f->words = "the provider says no; say please";
	make_mutex(f);
	return f;
}

void fakebackend_free(struct fakebackend *f)
{
	if (f)
		munmap(f, sizeof(*f));
}

void fakebackend_make_elsewhere(struct fakebackend *f, const char *remote, const char *name,
				enum job_state state)
{
	char path[sizeof(f->dir) + 48];
	CLEANUP(file_closep) FILE *in = NULL;
	struct fakepart *p;
	const char *at;

	snprintf(path, sizeof(path), "%s/%s.input", f->dir, remote);
	in = fopen(path, "we");
	if (!in || fputs(inputs_elsewhere(f), in) < 0)
		abort();
	file_closep(&in);
	pthread_mutex_lock(&f->mutex);
	p = &f->parts[f->part_count++];
	*p = (struct fakepart){.attempt = 1, .state = state};
	snprintf(p->remote, sizeof(p->remote), "%s", remote);
	snprintf(p->job_name, sizeof(p->job_name), "%s", name);
	for (at = inputs_elsewhere(f); (at = strchr(at, '\n')); at++) {
		char outcome = outcome_of(f, 1, p->record_count++);

		p->counts.good += outcome == 'g';
		p->counts.failed += outcome == 'f';
	}
	p->counts.total = p->record_count;
	if (write_results(f, p, path) < 0)
		abort();
	pthread_mutex_unlock(&f->mutex);
}

void fakebackend_recover(struct fakebackend *f)
{
	make_mutex(f);
	atomic_store(&f->ticks, 0);
	atomic_store(&f->die_at, 0);
}

struct fakepart fakebackend_part(struct fakebackend *f, unsigned index)
{
	struct fakepart p = {""};

	pthread_mutex_lock(&f->mutex);
	if (index < f->part_count)
		p = f->parts[index];
	pthread_mutex_unlock(&f->mutex);
	return p;
}

unsigned fakebackend_part_count(struct fakebackend *f)
{
	unsigned n;

	pthread_mutex_lock(&f->mutex);
	n = f->part_count;
	pthread_mutex_unlock(&f->mutex);
	return n;
}
