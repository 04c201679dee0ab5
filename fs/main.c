/*
 * The composition root: the only place that knows every room.
 *
 * Order of a start, each step undone in reverse at the end:
 *
 *	options, mount point       mistakes are told while a terminal listens
 *	directories and lock       a second daemon is refused by name
 *	fork                       the parent waits for one byte or one line
 *	the inotify helper         a process, so before any thread
 *	backend, store, jobs       nothing runs yet
 *	session, mount             the kernel knows us
 *	threads, loop              INIT answers; the parent is let go
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "backend/aws/awsconfig.h"
#include "backend/aws/bedrock.h"
#include "backend/aws/doctor.h"
#include "backend/http/http.h"
#include "backend/local/local.h"
#include "cache/dirs.h"
#include "cache/store.h"
#include "fs/base/kv.h"
#include "fs/base/log.h"
#include "fs/fs.h"
#include "fs/mountpoint.h"
#include "fs/ops.h"
#include "fs/options.h"
#include "fs/touch.h"
#include "fs/version.h"

#define LOOP_THREADS 4
#define DISK_THREADS 2

struct daemon {
	struct options o;
	struct dirs dirs;
	struct backend *backend;
	struct store *store;
	struct jobs *jobs;
	struct fs fs;
	int report_fd; /* to the parent: a byte, or a line of what went wrong; -1 */
	int touch_fd;
};

/* --- the rooms --- */

static void changed(void *ctx, struct job *j, unsigned what)
{
	struct daemon *d = ctx;
	char name[JOB_NAME_MAX + 1];

	job_name(j, name);
	notify_job(d->fs.notify, job_number(j), name, what);
}

static int config_path(const struct options *o, char **ret, struct err *e)
{
	char *path = NULL;
	int n = 0;

	if (o->config) {
		if (access(o->config, R_OK) < 0)
			return err_errno(e, -errno, "cannot read config=%s", o->config);
		*ret = strdup(o->config);
		return *ret ? 0 : -ENOMEM;
	}
	if (o->env_config_home && o->env_config_home[0] == '/')
		n = asprintf(&path, "%s/batchfs/config.ini", o->env_config_home);
	else if (o->env_home)
		n = asprintf(&path, "%s/.config/batchfs/config.ini", o->env_home);
	if (n < 0)
		return -ENOMEM;
	if (path && access(path, R_OK) < 0)
		str_freep(&path);
	*ret = path;
	return 0;
}

static struct bedrock_place place_of(const struct options *o)
{
	return (struct bedrock_place){
		.bucket = o->bucket, .prefix = o->prefix, .options = &o->source_options};
}

/* Of a part of local: */
static int records_max_of(const struct options *o, uint64_t *ret, struct err *e)
{
	const char *value = kv_get(&o->source_options, OPTIONS_RECORDS_MAX);

	*ret = UINT64_MAX;
	return value ? kv_parse_u64(OPTIONS_RECORDS_MAX, value, 1, UINT64_MAX, ret, e) : 0;
}

static int open_local(struct daemon *d, struct err *e)
{
	CLEANUP(str_freep) char *dir = NULL;
	CLEANUP(str_freep) char *config = NULL;
	uint64_t records_max;
	int r;

	if (asprintf(&dir, "%s/local", d->dirs.state) < 0)
		return -ENOMEM;
	r = dirs_make(dir, e);
	if (r == 0)
		r = config_path(&d->o, &config, e);
	if (r == 0)
		r = records_max_of(&d->o, &records_max, e);
	return r < 0 ? r : local_open(dir, config, records_max, &d->backend, e);
}

static int open_backend(struct daemon *d, struct err *e)
{
	const struct bedrock_place place = place_of(&d->o);
	int r = http_global_init(e);

	if (r < 0)
		return r;
	return d->o.is_bedrock ? bedrock_open(&place, &d->backend, e) : open_local(d, e);
}

static int open_store(struct daemon *d, struct err *e)
{
	CLEANUP(str_freep) char *path = NULL;
	int r;

	if (asprintf(&path, "%s/state.db", d->dirs.state) < 0)
		return -ENOMEM;
	r = store_open(path, &d->store, e);
	return r < 0 ? r : store_claim_source(d->store, d->o.source, e);
}

static int open_jobs(struct daemon *d, struct err *e)
{
	const struct jobs_options o = {.backend = d->backend,
				       .store = d->store,
				       .clock = clock_system(),
				       .state_dir = d->dirs.state,
				       .cache_dir = d->dirs.cache,
				       .settings = d->o.settings,
				       .poll_ns = d->o.poll_ns,
				       .fetch_auto = d->o.fetch_auto,
				       .changed = changed,
				       .ctx = d};

	return jobs_new(&o, &d->jobs, e);
}

/* --- the session --- */

static int make_session(struct daemon *d, struct err *e)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct fuse_lowlevel_ops ops;
	CLEANUP(str_freep) char *mount_options = NULL;
	int r = 0;

	if (asprintf(&mount_options, "fsname=%s,subtype=batchfs%s%s", d->o.source,
		     d->o.allow_other ? ",allow_other" : "", d->o.read_only ? ",ro" : "") < 0)
		return -ENOMEM;
	if (fuse_opt_add_arg(&args, "batchfs") < 0 || fuse_opt_add_arg(&args, "-o") < 0 ||
	    fuse_opt_add_arg(&args, mount_options) < 0 ||
	    (d->o.debug && fuse_opt_add_arg(&args, "-d") < 0))
		r = -ENOMEM;
	ops_fill(&ops);
	if (r == 0) {
		d->fs.session = fuse_session_new(&args, &ops, sizeof(ops), &d->fs);
		if (!d->fs.session)
			r = err_set(e, -EINVAL, "libfuse refused to start a session");
	}
	fuse_opt_free_args(&args);
	return r;
}

static int mount_session(struct daemon *d, struct err *e)
{
	if (fuse_set_signal_handlers(d->fs.session) < 0)
		return err_set(e, -EINVAL, "cannot set signal handlers");
	if (fuse_session_mount(d->fs.session, d->o.mountpoint) < 0) {
		fuse_remove_signal_handlers(d->fs.session);
		return err_set(e, -EPERM, "cannot mount on %s%s", d->o.mountpoint,
			       d->o.allow_other && getuid() != 0
				       ? "; allow_other needs user_allow_other in /etc/fuse.conf"
				       : "; see the line of fusermount3 above, if any");
	}
	return 0;
}

static void fill_tree(struct daemon *d)
{
	d->fs.tree = (struct tree){.jobs = d->jobs,
				   .backend = d->backend,
				   .uid = getuid(),
				   .gid = getgid(),
				   .others = d->o.allow_other,
				   .read_only = d->o.read_only,
				   .mounted_ns = clock_wall_ns(clock_system()),
				   .source = d->o.source};
	d->fs.state_dir = d->dirs.state;
}

static int run_loop(struct daemon *d, struct err *e)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	int r;

	if (!config)
		return err_set(e, -ENOMEM, "no memory for the session");
	fuse_loop_cfg_set_max_threads(config, LOOP_THREADS);
	fuse_loop_cfg_set_idle_threads(config, LOOP_THREADS);
	r = jobs_start(d->jobs, e);
	if (r == 0) {
		log_info("main", "mounted %s on %s", d->o.source, d->o.mountpoint);
		/* Ends with 0 at an unmount, or with the number of a signal. */
		r = fuse_session_loop_mt(d->fs.session, config);
		r = r < 0 ? err_errno(e, r, "the session ended") : 0;
	}
	fuse_loop_cfg_destroy(config);
	return r;
}

static int serve_session(struct daemon *d, struct err *e)
{
	int r = make_session(d, e);

	if (r == 0) {
		d->fs.waiters = waiters_new();
		d->fs.opened = opened_new();
		r = d->fs.waiters && d->fs.opened ? pool_new(DISK_THREADS, &d->fs.pool, e)
						  : -ENOMEM;
	}
	if (r == 0) {
		r = notify_start(&d->fs, d->touch_fd, &d->fs.notify, e);
		d->touch_fd = -1;
	}
	if (r == 0)
		r = mount_session(d, e);
	if (r < 0)
		return r;
	d->fs.ready_fd = d->report_fd;
	d->report_fd = -1;
	r = run_loop(d, e);
	if (r < 0 && d->fs.ready_fd >= 0) { /* the kernel never said hello */
		d->report_fd = d->fs.ready_fd;
		d->fs.ready_fd = -1;
	}
	/* No request comes any more.  What jobs are at ends before the notifier
	 * they tell, and the replies before the mount. */
	jobs_stop(d->jobs);
	pool_free(STEAL(&d->fs.pool));
	notify_stop(STEAL(&d->fs.notify));
	waiters_free(STEAL(&d->fs.waiters));
	fuse_session_unmount(d->fs.session);
	fuse_remove_signal_handlers(d->fs.session);
	log_info("main", "unmounted %s", d->o.mountpoint);
	return r;
}

static int serve(struct daemon *d, struct err *e)
{
	int r = touch_start(d->o.mountpoint, &d->touch_fd, &d->fs.toucher, e);

	if (r == 0)
		r = open_backend(d, e);
	if (r == 0)
		r = open_store(d, e);
	if (r == 0)
		r = open_jobs(d, e);
	if (r == 0) {
		fill_tree(d);
		r = serve_session(d, e);
	}
	jobs_stop(d->jobs);
	pool_free(STEAL(&d->fs.pool));
	notify_stop(STEAL(&d->fs.notify));
	waiters_free(STEAL(&d->fs.waiters));
	opened_free(STEAL(&d->fs.opened));
	if (d->fs.session)
		fuse_session_destroy(d->fs.session);
	if (d->backend)
		d->backend->ops->close(d->backend);
	jobs_free(d->jobs);
	store_close(d->store);
	fd_closep(&d->touch_fd);
	return r;
}

/* --- the background --- */

static int say(const struct err *e)
{
	fprintf(stderr, "batchfs: %s\n", e->text[0] ? e->text : "cannot start");
	return 1;
}

/* The parent: waits until the mount answers, or for the reason why not. */
static int wait_for(pid_t child, int fd)
{
	char line[ERR_TEXT_MAX + 1];
	ssize_t n = read(fd, line, sizeof(line) - 1);

	close(fd);
	if (n == 1 && line[0] == '\0')
		return 0;
	if (n > 0) {
		line[n] = '\0';
		fprintf(stderr, "batchfs: %s\n", line);
	} else {
		fprintf(stderr, "batchfs: the daemon ended before it could mount; "
				"batchfs -f shows why\n");
	}
	waitpid(child, NULL, 0);
	return 1;
}

static void leave_terminal(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	setsid();
	if (null < 0)
		return;
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	/* stderr stays until the mount is there: fusermount3 speaks to it. */
	close(null);
	/* The caller's directory must stay free to be unmounted. */
	ignore_error(chdir("/"));
}

static int run_child(struct daemon *d)
{
	struct err e = ERR_INIT;
	int r;

	leave_terminal();
	log_init(LOG_LEVEL_INFO, true);
	dirs_set_holder(&d->dirs, d->o.mountpoint);
	r = serve(d, &e);
	if (r < 0) {
		log_error("main", "%s", e.text);
		if (d->report_fd >= 0)
			ignore_error((int)write(d->report_fd, e.text, strlen(e.text)));
	}
	return r < 0;
}

static int run_background(struct daemon *d)
{
	struct err e = ERR_INIT;
	int fds[2];
	pid_t child;

	if (pipe2(fds, O_CLOEXEC) < 0) {
		err_errno(&e, -errno, "cannot make a pipe");
		return say(&e);
	}
	child = fork();
	if (child < 0) {
		err_errno(&e, -errno, "cannot fork");
		return say(&e);
	}
	if (child > 0) {
		close(fds[1]);
		/* The directories' lock is the child's now: nothing is closed here. */
		_exit(wait_for(child, fds[0]));
	}
	close(fds[0]);
	d->report_fd = fds[1];
	return run_child(d);
}

static int run_foreground(struct daemon *d)
{
	struct err e = ERR_INIT;

	log_init(d->o.debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO, false);
	return serve(d, &e) < 0 ? say(&e) : 0;
}

/* Keys and records of the user's must not end up in a core file, and no file
 * of ours is anybody else's to read. */
static void guard_process(void)
{
	/* 1 and not 0: a program that core_pattern pipes to is given cores
	 * whatever the limit, but for this one; core(5). */
	const struct rlimit none = {1, 1};
	int fd;

	umask(0077);
	setrlimit(RLIMIT_CORE, &none);
	/* Started without them, the next files opened would be 0 to 2: the lock
	 * among them, which going to the background would replace. */
	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	fd_closep(&fd);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file-size limit is a full disk */
}

static int start(struct daemon *d)
{
	struct err e = ERR_INIT;
	const struct dirs_request q = {.source = d->o.source,
				       .mountpoint = d->o.mountpoint,
				       .state_option = d->o.state,
				       .cache_option = d->o.cache,
				       .env_home = d->o.env_home,
				       .env_state_home = d->o.env_state_home,
				       .env_cache_home = d->o.env_cache_home};
	int r = mountpoint_check(d->o.mountpoint, &e);

	if (r == 0 && d->o.is_bedrock)
		r = awsconfig_anchor(&e);
	if (r == 0)
		r = dirs_open(&q, &d->dirs, &e);
	if (r == 0)
		r = mountpoint_check_outside(d->o.mountpoint, "state", d->dirs.state, &e);
	if (r == 0)
		r = mountpoint_check_outside(d->o.mountpoint, "cache", d->dirs.cache, &e);
	if (r < 0) {
		dirs_close(&d->dirs);
		return say(&e);
	}
	r = d->o.foreground ? run_foreground(d) : run_background(d);
	dirs_close(&d->dirs);
	return r;
}

/* What is asked about a source, without a mount. */
static int answer(const struct options *o)
{
	const struct bedrock_place place = place_of(o);
	struct err e = ERR_INIT;
	int r;

	log_init(o->debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING, false);
	r = awsconfig_anchor(&e);
	if (r == 0)
		r = http_global_init(&e);
	if (r == 0 && o->check)
		r = doctor_run(&place, o->model, stdout, &e);
	else if (r == 0)
		r = policies_print(&place, stdout, &e);
	if (r < 0)
		return say(&e);
	return fflush(stdout) != 0 || r > 0;
}

int main(int argc, char **argv)
{
	struct daemon d = {.dirs = DIRS_INIT, .report_fd = -1, .touch_fd = -1};
	struct err e = ERR_INIT;
	int r;

	d.fs.ready_fd = -1;
	guard_process();
	r = options_parse(argc, argv, &d.o, &e);
	if (r < 0)
		r = say(&e);
	else if (d.o.help)
		r = fputs(options_help(), stdout) < 0;
	else if (d.o.version)
		r = printf("batchfs %s\n", BATCHFS_VERSION) < 0;
	else if (d.o.check || d.o.print_iam)
		r = answer(&d.o);
	else {
		/* A pipe of the caller's that somebody reads to its end must not
		 * stay open for as long as the mount does. */
		if (!d.o.foreground)
			close_range(STDERR_FILENO + 1, ~0u, 0);
		r = start(&d);
	}
	options_release(&d.o);
	return r;
}
