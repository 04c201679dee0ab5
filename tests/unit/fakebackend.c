#include "tests/unit/fakebackend.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "fs/base/clock.h"
#include "tests/unit/fakebackend_private.h"
#include "tests/unit/fakechaos.h"
#include "tests/unit/fakeelsewhere.h"
#include "tests/unit/fakenow.h"

#define LINE_SIZE_MAX 4096

static struct fakebackend *of(struct backend *b)
{
	return (struct fakebackend *)b;
}

/* Takes one off a counter; false if it is used up. */
bool fakebackend_spend(atomic_int *counter)
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

struct fakebackend *fakebackend_enter(struct backend *b, const char *operation)
{
	struct fakebackend *f = of(b);

	if (f->called)
		f->called(f->ctx, operation);
	fakebackend_tick(f);
	return f;
}

int fakebackend_leave(struct fakebackend *f, int r)
{
	fakebackend_tick(f);
	return r;
}

int fakebackend_again(const char *what, struct err *e)
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
	struct fakebackend *f = fakebackend_enter(b, "put_input");
	int r;

	if (access(p->input_path, R_OK) < 0)
		return err_errno(e, -EIO, "put_input: %s", p->input_path);
	if (fakebackend_spend(&f->put_again))
		return fakebackend_again("put_input", e);
	if (fakebackend_spend(&f->put_refused))
		return err_set(e, -EINVAL, "%s", f->words);
	r = fakechaos_strike(f, FAKECHAOS_PUT_AGAIN, e);
	if (r == 0)
		r = fakechaos_strike(f, FAKECHAOS_PUT_REFUSED, e);
	return r < 0 ? r : fakebackend_leave(f, 0);
}

char fakebackend_outcome_of(const struct fakebackend *f, unsigned attempt, uint64_t index)
{
	const char *all = attempt <= COUNT_OF(f->outcomes) ? f->outcomes[attempt - 1] : NULL;
	size_t n = all ? strlen(all) : 0;

	if (n == 0)
		return 'g';
	return all[index < n ? index : n - 1];
}

/* A result line for each record that is not to be missing. */
int fakebackend_write_results(const struct fakebackend *f, const struct fakepart *part,
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
		fakenow_add_result(f, out, id, part->attempt,
				   fakebackend_outcome_of(f, part->attempt, index));
	}
	return index == part->record_count ? 0 : -EINVAL;
}

static int op_check_input(struct backend *b, const struct backend_part *p,
			  struct backend_input_check *ret, struct err *e)
{
	struct fakebackend *f = fakebackend_enter(b, "check_input");

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

/* What may happen to one that is not there yet. */
static int refuse_locked(struct fakebackend *f, struct err *e)
{
	unsigned live = count_live_locked(f), quota = atomic_load(&f->quota);
	int r;

	if (quota && live >= quota) {
		atomic_fetch_add(&f->quota_refusals, 1);
		return err_set(e, -EDQUOT, "create: the quota is full; ask for a larger one");
	}
	r = fakechaos_strike(f, FAKECHAOS_CREATE_BUSY, e);
	if (r == 0)
		r = fakechaos_strike(f, FAKECHAOS_CREATE_REFUSED, e);
	if (r == 0 && live + 1 > atomic_load(&f->live_most))
		atomic_store(&f->live_most, live + 1);
	return r;
}

static int add_locked(struct fakebackend *f, const struct backend_part *p, struct err *e)
{
	struct fakepart *part = &f->parts[f->part_count];
	int r;

	if (f->part_count == FAKEBACKEND_PARTS_MAX)
		return err_set(e, -EIO, "create: more parts than any test needs");
	*part = (struct fakepart){
		.attempt = p->attempt, .record_count = p->record_count, .state = JOB_SUBMITTED};
	snprintf(part->token, sizeof(part->token), "%s", p->token);
	snprintf(part->remote, sizeof(part->remote), "fake-%u", f->part_count + 1);
	snprintf(part->job_name, sizeof(part->job_name), "%s", p->job_name);
	r = f->chaos ? fakechaos_create_locked(f, part, p->input_path)
		     : fakebackend_write_results(f, part, p->input_path);
	if (r < 0)
		return err_errno(e, -EIO, "create: %s", p->input_path);
	f->part_count++;
	return 0;
}

static int create_locked(struct fakebackend *f, const struct backend_part *p, char **ret,
			 struct err *e)
{
	struct fakepart *part = find_locked(f, p->token, NULL);
	int r = 0;

	if (part && !p->asked_ns)
		f->blind_repeats++;
	if (!part && p->look_only)
		return -ENOENT;
	if (!part) {
		r = refuse_locked(f, e);
		if (r == 0)
			r = add_locked(f, p, e);
		if (r < 0)
			return r;
		part = &f->parts[f->part_count - 1];
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
	struct fakebackend *f = fakebackend_enter(b, "create");
	char *remote = NULL;
	int r;

	if (!p->look_only && fakebackend_spend(&f->create_again))
		return fakebackend_again("create", e);
	r = fakechaos_strike(f, FAKECHAOS_CREATE_AGAIN, e);
	if (r < 0)
		return r;
	if (fakebackend_spend(&f->create_busy))
		return err_set(e, -EBUSY, "create: %s",
			       f->busy_words ? f->busy_words : "the quota is full");
	if (fakebackend_spend(&f->create_refused))
		return err_set(e, -EINVAL, "%s", f->words);
	pthread_mutex_lock(&f->mutex);
	r = create_locked(f, p, &remote, e);
	pthread_mutex_unlock(&f->mutex);
	fakebackend_tick(f);
	if (r == 0 && fakebackend_spend(&f->create_lost)) {
		free(remote);
		return fakebackend_again("create", e);
	}
	if (r == 0)
		r = fakechaos_strike(f, FAKECHAOS_CREATE_LOST, e);
	if (r == 0)
		*ret = remote;
	else
		free(remote);
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

	if (f->chaos) {
		fakechaos_advance_locked(f, (unsigned)(p - f->parts));
		return;
	}
	if (job_state_is_end(p->state))
		return;
	if (p->stops > 0)
		p->state = JOB_STOPPED;
	else if (atomic_load(&f->ends_counted) && !fakebackend_spend(&f->ends))
		p->state = JOB_IN_PROGRESS;
	else
		p->state = end;
}

void fakebackend_status_of(const struct fakebackend *f, const struct fakepart *p,
			   struct part_status *ret)
{
	*ret = (struct part_status){.state = p->state, .counts = {.total = p->record_count}};
	if (job_state_is_end(p->state) && p->counts.total > 0)
		ret->counts = p->counts;
	if (!job_state_is_end(p->state))
		ret->counts.good = atomic_load(&f->running_good);
	if (f->chaos)
		fakechaos_count(f, (unsigned)(p - f->parts), &ret->counts);
	snprintf(ret->raw, sizeof(ret->raw), "Fake%s", job_state_name(p->state));
	if (job_state_is_end(p->state) && f->message)
		snprintf(ret->message, sizeof(ret->message), "%s", f->message);
}

static int op_poll(struct backend *b, const char *const *remotes, struct part_status *results,
		   size_t count, backend_found *found, void *ctx, struct err *e)
{
	struct fakebackend *f = fakebackend_enter(b, "poll");
	int r = fakechaos_strike(f, FAKECHAOS_POLL_AGAIN, e);

	if (r < 0 || fakebackend_spend(&f->poll_again))
		return r < 0 ? r : fakebackend_again("poll", e);
	pthread_mutex_lock(&f->mutex);
	for (size_t i = 0; i < count; i++) {
		struct fakepart *p = find_locked(f, NULL, remotes[i]);

		if (!p)
			continue;
		advance_locked(f, p);
		fakebackend_status_of(f, p, &results[i]);
	}
	if (found)
		fakeelsewhere_tell_locked(f, found, ctx);
	pthread_mutex_unlock(&f->mutex);
	r = fakechaos_strike(f, FAKECHAOS_POLL_TORN, e);
	if (r == 0 && fakebackend_spend(&f->poll_torn))
		r = fakebackend_again("poll", e);
	return fakebackend_leave(f, r);
}

static int op_stop(struct backend *b, const char *remote, struct err *e)
{
	struct fakebackend *f = fakebackend_enter(b, "stop");
	int r;
	struct fakepart *p;

	if (fakebackend_spend(&f->stop_again))
		return fakebackend_again("stop", e);
	r = fakechaos_strike(f, FAKECHAOS_STOP_AGAIN, e);
	if (r < 0)
		return r;
	if (fakebackend_spend(&f->stop_refused))
		return err_set(e, -EINVAL, "%s", f->words);
	pthread_mutex_lock(&f->mutex);
	p = find_locked(f, NULL, remote);
	if (p)
		p->stops++;
	pthread_mutex_unlock(&f->mutex);
	return fakebackend_leave(f, 0);
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
	struct fakebackend *f = fakebackend_enter(b, "fetch");
	int r;

	if (access(dir, F_OK) == 0 && rmdir(dir) < 0)
		return err_errno(e, -EIO, "fetch: %s is not empty", dir);
	if (fakebackend_spend(&f->fetch_again))
		return fakebackend_again("fetch", e);
	r = fakechaos_strike(f, FAKECHAOS_FETCH_AGAIN, e);
	if (r == 0)
		r = fakechaos_strike(f, FAKECHAOS_FETCH_DENIED, e);
	if (r == 0)
		r = fakechaos_strike(f, FAKECHAOS_FETCH_GONE, e);
	if (r < 0)
		return r;
	if (atomic_load(&f->fetch_error))
		return err_errno(e, atomic_load(&f->fetch_error), "fetch");
	if (asprintf(&ret->paths[0], "%s/%s.jsonl", f->dir, remote) < 0)
		return -ENOMEM;
	ret->count = 1;
	return fakebackend_leave(f, leave_a_download(dir, e));
}

static int op_forget(struct backend *b, const char *remote, struct err *e)
{
	struct fakebackend *f = fakebackend_enter(b, "forget");
	int r;
	struct fakepart *p;

	if (fakebackend_spend(&f->forget_again))
		return fakebackend_again("forget", e);
	r = fakechaos_strike(f, FAKECHAOS_FORGET_AGAIN, e);
	if (r < 0)
		return r;
	pthread_mutex_lock(&f->mutex);
	p = find_locked(f, NULL, remote);
	if (p)
		p->forgets++;
	pthread_mutex_unlock(&f->mutex);
	return fakebackend_leave(f, 0);
}

/* What it holds of the part is gone: it cannot be fetched any more. */
static int op_purge(struct backend *b, const struct backend_part *p, const char *remote,
		    struct err *e)
{
	struct fakebackend *f = fakebackend_enter(b, "purge");
	int r;
	int error = atomic_load(&f->purge_error);
	struct fakepart *part;
	char path[sizeof(f->dir) + 48];

	if (fakebackend_spend(&f->purge_again))
		return fakebackend_again("purge", e);
	r = fakechaos_strike(f, FAKECHAOS_PURGE_AGAIN, e);
	if (r < 0)
		return r;
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
	return fakebackend_leave(f, 0);
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
		.lists_jobs = fakeelsewhere_lists,
		.fetch_input = fakeelsewhere_fetch_input,
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
