#include "backend/local/run.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>

#include "backend/journal.h"
#include "backend/local/runfeed.h"
#include "fs/base/log.h"

/*
 *	WAITING --drive--> ACTIVE --> ENDED
 *	   ^                 |
 *	   +---- suspend ----+
 *
 * An end is on disk before anybody is told of it: who hears "Completed" may
 * read the results, and a restart hears the same.
 *
 * A stop that meets a run whose last record has just been answered leaves it
 * COMPLETED: it has nothing left to stop.
 */

#define RETRY_MS 500

enum phase {
	WAITING,
	ACTIVE,
	ENDED,
};

struct run {
	char *dir; /* owned */
	struct run_spec spec;
	struct clock *clock;
	int cancel_fd; /* an eventfd that is never read: once readable, always readable */
	atomic_bool cancelled, stopping, suspended;
	struct run_progress progress;

	pthread_mutex_t mutex; /* of all below */
	enum phase phase;
	struct run_end end;
	char message[PART_MESSAGE_MAX]; /* what hinders the run as a whole; or empty */
};

int run_new(const char *dir, struct run_spec *spec, struct clock *clock, struct run **ret,
	    struct err *e)
{
	struct run *run = calloc(1, sizeof(*run));
	int r;

	if (!run) {
		run_spec_release(spec);
		return err_set(e, -ENOMEM, "no memory for the run");
	}
	run->spec = *spec;
	*spec = (struct run_spec){.token = NULL};
	run->clock = clock;
	pthread_mutex_init(&run->mutex, NULL);
	pthread_mutex_init(&run->progress.mutex, NULL);
	run->progress.counts.total = run->spec.record_count;
	run->dir = strdup(dir);
	run->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = run->cancel_fd < 0 ? -errno : 0;
	if (r < 0 || !run->dir) {
		run_free(run);
		return err_errno(e, r < 0 ? r : -ENOMEM, "cannot set up the run");
	}
	r = rundir_read_end(dir, &run->end, e);
	if (r < 0 && r != -ENOENT) {
		run_free(run);
		return r;
	}
	if (r == 0)
		run->phase = ENDED;
	else if (rundir_has_stop(dir))
		run_stop(run);
	*ret = run;
	return 0;
}

void run_free(struct run *run)
{
	if (!run)
		return;
	run_spec_release(&run->spec);
	free(run->dir);
	fd_closep(&run->cancel_fd);
	pthread_mutex_destroy(&run->progress.mutex);
	pthread_mutex_destroy(&run->mutex);
	free(run);
}

const struct run_spec *run_spec_of(const struct run *run)
{
	return &run->spec;
}

static void cancel(struct run *run)
{
	atomic_store(&run->cancelled, true);
	ignore_error(eventfd_write(run->cancel_fd, 1)); /* full means readable, too */
}

void run_stop(struct run *run)
{
	atomic_store(&run->stopping, true);
	cancel(run);
}

void run_suspend(struct run *run)
{
	atomic_store(&run->suspended, true);
	cancel(run);
}

bool run_has_ended(struct run *run)
{
	bool ended;

	pthread_mutex_lock(&run->mutex);
	ended = run->phase == ENDED;
	pthread_mutex_unlock(&run->mutex);
	return ended;
}

void run_set_message(struct run *run, const char *message)
{
	pthread_mutex_lock(&run->mutex);
	snprintf(run->message, sizeof(run->message), "%s", message ? message : "");
	pthread_mutex_unlock(&run->mutex);
}

void run_status(struct run *run, struct part_status *ret)
{
	struct part_status s = {.state = JOB_SCHEDULED};
	struct run_progress *p = &run->progress;

	pthread_mutex_lock(&run->mutex);
	if (run->phase == ENDED) {
		s.state = run->end.state;
		s.counts = run->end.counts;
		s.tokens = run->end.tokens;
		snprintf(s.message, sizeof(s.message), "%s", run->end.message);
	} else {
		pthread_mutex_lock(&p->mutex);
		s.counts = p->counts;
		s.tokens = p->tokens;
		snprintf(s.message, sizeof(s.message), "%s",
			 run->message[0] ? run->message
			 : p->disk[0]	 ? p->disk
					 : p->engine);
		pthread_mutex_unlock(&p->mutex);
		if (atomic_load(&run->stopping))
			s.state = JOB_STOPPING;
		else if (run->phase == ACTIVE)
			s.state = JOB_IN_PROGRESS;
	}
	pthread_mutex_unlock(&run->mutex);
	snprintf(s.raw, sizeof(s.raw), "%s", job_state_name(s.state));
	*ret = s;
}

/* Errors of the machine, not of the run: worth waiting for. */
static bool passes(int r)
{
	return journal_is_full(r) || r == -ENOMEM || r == -EMFILE || r == -ENFILE || r == -EAGAIN;
}

/* Shows why and waits a little.  False: cancelled meanwhile. */
static bool wait_for_machine(struct run *run, const struct err *why)
{
	struct pollfd p = {.fd = run->cancel_fd, .events = POLLIN};

	run_set_message(run, why->text);
	return poll(&p, 1, RETRY_MS) == 0;
}

static int open_feed(struct run *run, bool trusted, struct runfeed **ret, struct err *e)
{
	const struct runfeed_options o = {
		.dir = run->dir,
		.spec = &run->spec,
		.clock = run->clock,
		.cancel_fd = run->cancel_fd,
		.cancelled = &run->cancelled,
		.progress = &run->progress,
		.trusted = trusted,
	};
	int r;

	for (;;) {
		r = runfeed_open(&o, ret, e);
		if (r == 0)
			run_set_message(run, NULL);
		if (!passes(r) || !wait_for_machine(run, e))
			return r;
	}
}

/* 0: drained.  -ECANCELED.  Other: it cannot go on. */
static int run_records(struct run *run, const struct engine *engine, const struct kv *definition,
		       struct err *e)
{
	const struct engine_job job = {
		.model = run->spec.model,
		.definition = definition,
		.config = &run->spec.config,
		.media_path = run->spec.media_path,
		.attempt = run->spec.attempt,
		.clock = run->clock,
	};
	struct runfeed *f = NULL;
	int r = open_feed(run, engine == &engine_builtin, &f, e), finish;
	struct err why = ERR_INIT;

	if (r < 0)
		return atomic_load(&run->cancelled) ? -ECANCELED : r;
	r = atomic_load(&run->cancelled) ? -ECANCELED : engine->run(&job, runfeed_feed(f), e);
	finish = runfeed_finish(f, &why);
	if (finish < 0 && (r == 0 || r == -ECANCELED)) {
		/* Cancelled while the disk was full: what is not down is run again. */
		r = -ECANCELED;
		if (!journal_is_full(finish) || !atomic_load(&run->cancelled))
			r = err_set(e, finish, "%s", why.text);
	}
	runfeed_close(f);
	return r;
}

static void end(struct run *run, int result, const struct err *why)
{
	struct run_end end = {.state = JOB_COMPLETED};
	struct err e = ERR_INIT;
	int r;

	if (result == -ECANCELED)
		end.state = JOB_STOPPED;
	else if (result < 0)
		end.state = JOB_FAILED;
	if (end.state == JOB_FAILED)
		snprintf(end.message, sizeof(end.message), "%.*s", PART_MESSAGE_MAX - 1, why->text);
	pthread_mutex_lock(&run->progress.mutex);
	end.counts = run->progress.counts;
	end.tokens = run->progress.tokens;
	pthread_mutex_unlock(&run->progress.mutex);

	while ((r = rundir_write_end(run->dir, &end, &e)) < 0 && passes(r)) {
		run_set_message(run, e.text);
		if (atomic_load(&run->suspended))
			return;
		/* Not on cancel_fd: of a run being stopped it is readable. */
		poll(NULL, 0, RETRY_MS);
	}
	if (r < 0 && end.state != JOB_FAILED) {
		end.state = JOB_FAILED;
		snprintf(end.message, sizeof(end.message), "%.*s", PART_MESSAGE_MAX - 1, e.text);
	}
	log_info("local", "run ended token=%s state=%s good=%llu failed=%llu", run->spec.token,
		 job_state_name(end.state), (unsigned long long)end.counts.good,
		 (unsigned long long)end.counts.failed);
	pthread_mutex_lock(&run->mutex);
	run->end = end;
	run->phase = ENDED;
	pthread_mutex_unlock(&run->mutex);
}

void run_drive(struct run *run, const struct engine *engine, const struct kv *definition)
{
	struct err e = ERR_INIT;
	int r;

	pthread_mutex_lock(&run->mutex);
	run->phase = ACTIVE;
	run->message[0] = '\0';
	pthread_mutex_unlock(&run->mutex);

	r = run_records(run, engine, definition, &e);
	if (r != -ECANCELED || atomic_load(&run->stopping))
		end(run, r, &e);

	pthread_mutex_lock(&run->mutex);
	if (run->phase == ACTIVE)
		run->phase = WAITING;
	pthread_mutex_unlock(&run->mutex);
}
