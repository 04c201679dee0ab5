#include "backend/local/runnow.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

#include "backend/journal.h"
#include "backend/local/rundir.h"
#include "backend/local/runfeed.h"
#include "fs/base/log.h"

int runnow_init(struct runnow *n, struct err *e)
{
	*n = (struct runnow){.cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
	return n->cancel_fd < 0 ? err_errno(e, -EAGAIN, "cannot set up the run") : 0;
}

void runnow_release(struct runnow *n)
{
	fd_closep(&n->cancel_fd);
}

void runnow_cancel(struct runnow *n)
{
	atomic_store(&n->cancelled, true);
	ignore_error(eventfd_write(n->cancel_fd, 1)); /* full means readable, too */
}

/* Errors of the machine, which pass. */
static int verdict(int r)
{
	return journal_is_full(r) || r == -ENOMEM || r == -EMFILE || r == -ENFILE ? -EAGAIN : r;
}

static int run_engine(const struct runnow_options *o, const struct run_spec *spec,
		      struct runfeed *f, struct err *e)
{
	const struct engine_job job = {
		.model = spec->model,
		.definition = o->definition,
		.config = &spec->config,
		.media_path = spec->media_path,
		.attempt = spec->attempt,
		.clock = o->clock,
	};
	struct err why = ERR_INIT;
	int r = o->engine->run(&job, runfeed_feed(f), e), finish = runfeed_finish(f, &why);

	if (finish < 0 && (r == 0 || r == -ECANCELED))
		r = err_set(e, finish, "%s", why.text);
	if (r == -ECANCELED)
		return err_set(e, r, "the mount is ending");
	if (r == 0 && !runfeed_is_drained(f))
		return err_set(e, -ECANCELED, "stopped");
	return verdict(r);
}

static int run_with(struct runnow *n, const struct runnow_options *o, const struct run_spec *spec,
		    struct run_progress *progress, struct err *e)
{
	const char *slash = strrchr(o->path, '/');
	CLEANUP(str_freep)
	char *dir = slash ? strndup(o->path, (size_t)(slash - o->path)) : strdup(".");
	const struct runfeed_options options = {
		.dir = dir && *dir ? dir : "/",
		.spec = spec,
		.clock = o->clock,
		.cancel_fd = n->cancel_fd,
		.cancelled = &n->cancelled,
		.progress = progress,
		.trusted = o->engine == &engine_builtin,
		.journal_path = o->path,
		.told = o->told,
		.told_ctx = o->ctx,
	};
	struct runfeed *f = NULL;
	int r = dir ? runfeed_open(&options, &f, e) : err_set(e, -ENOMEM, "no memory for the run");

	if (r == 0)
		r = run_engine(o, spec, f, e);
	runfeed_close(f);
	return verdict(r);
}

int runnow_run(struct runnow *n, const struct runnow_options *o, struct err *e)
{
	CLEANUP(run_spec_release) struct run_spec spec = {.token = NULL};
	struct run_progress progress = {.disk = ""};
	int r = run_spec_copy(&spec, o->part);

	if (r < 0)
		return err_errno(e, verdict(r), "cannot set up the run");
	pthread_mutex_init(&progress.mutex, NULL);
	r = run_with(n, o, &spec, &progress, e);
	pthread_mutex_destroy(&progress.mutex);
	log_info("local", "run now token=%s good=%llu failed=%llu result=%d", spec.token,
		 (unsigned long long)progress.counts.good,
		 (unsigned long long)progress.counts.failed, r);
	return r;
}
