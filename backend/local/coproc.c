#include "backend/local/coproc.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "fs/base/clock.h"
#include "fs/base/fdio.h"

/*
 * Between fork and exec the child of a threaded program may do little: what
 * it needs (argv, environment) is made before, and only system calls follow.
 *
 * Descriptors below 3 are avoided for the pipes' ends, as a daemon may have
 * its own standard streams closed and dup2() onto itself keeps FD_CLOEXEC.
 */

#define READ_SIZE     65536
#define ENDS_MAX      64 /* as many as an engine has workers */
#define ENV_VALUE_MAX 4096

extern char **environ;

static const char *const kept[] = {"PATH", "HOME", "LANG", "TMPDIR"};

void coproc_init(struct coproc *c)
{
	*c = (struct coproc){.pid_fd = -1, .in_fd = -1, .out_fd = -1, .err_fd = -1};
	buf_init(&c->input, COPROC_INPUT_MAX);
	buf_init(&c->output, COPROC_INPUT_MAX);
	buf_init(&c->errors, COPROC_STDERR_LINE);
}

void coproc_release(struct coproc *c)
{
	char words[64];

	if (c->pid)
		coproc_end(c, words, sizeof(words));
	buf_release(&c->input);
	buf_release(&c->output);
	buf_release(&c->errors);
}

static const char *name_end(const char *pair)
{
	return strchrnul(pair, '=');
}

static bool has_name(const char *const *list, const char *pair)
{
	size_t n = (size_t)(name_end(pair) - pair);

	for (; list && *list; list++)
		if (strncmp(*list, pair, n) == 0 && (*list)[n] == '=')
			return true;
	return false;
}

static bool is_kept(const char *pair)
{
	size_t n = (size_t)(name_end(pair) - pair);

	for (size_t i = 0; i < COUNT_OF(kept); i++)
		if (strlen(kept[i]) == n && strncmp(kept[i], pair, n) == 0)
			return strlen(pair) < ENV_VALUE_MAX;
	return false;
}

/* Ours first, then what is kept and not replaced. */
static void make_environment(const char *const *added, const char *env[COPROC_ENV_MAX + 1])
{
	size_t n = 0;

	for (; added && added[n] && n < COPROC_ENV_MAX - COUNT_OF(kept); n++)
		env[n] = added[n];
	for (char **it = environ; it && *it && n < COPROC_ENV_MAX; it++)
		if (is_kept(*it) && !has_name(added, *it))
			env[n++] = *it;
	env[n] = NULL;
}

struct child {
	int in, out, err;
	pid_t parent;
	const char *cwd;
	char *const *argv, *const *env;
};

__attribute__((__noreturn__)) static void be_child(const struct child *c)
{
	static const char lost[] = "there is no such cwd, or no /bin/sh\n";
	struct sigaction plain = {.sa_handler = SIG_DFL};
	sigset_t none;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != c->parent)
		_exit(127);
	for (int i = 1; i < NSIG; i++)
		sigaction(i, &plain, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(c->in, 0) < 0 || dup2(c->out, 1) < 0 || dup2(c->err, 2) < 0)
		_exit(127);
	/* Libraries may hold descriptors that are not closed on exec. */
	close_range(3, ~0u, 0);
	if (chdir(c->cwd) == 0)
		execve(c->argv[0], c->argv, c->env);
	if (write(2, lost, sizeof(lost) - 1) < 0)
		_exit(126);
	_exit(127);
}

static int set_nonblocking(int fd)
{
	return fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

static int start(struct coproc *c, const struct child *child)
{
	pid_t pid;
	int fd;

	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		be_child(child);
	setpgid(pid, pid); /* in both, as either may be first; fails after exec */
	fd = pidfd_open(pid, 0);
	if (fd < 0) {
		int saved = -errno;

		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		return saved;
	}
	c->pid = pid;
	c->pid_fd = fd;
	return 0;
}

int coproc_start(struct coproc *c, const struct coproc_options *o, struct err *e)
{
	/* Pairs of descriptors: 0 is read, 1 written. */
	int in[2] = {-1, -1}, out[2] = {-1, -1}, err[2] = {-1, -1};
	const char *env[COPROC_ENV_MAX + 1];
	CLEANUP(str_freep) char *script = NULL;
	struct child child = {.parent = getpid(), .cwd = o->cwd};
	int r = 0;

	assert(c->pid == 0);
	if (asprintf(&script, "exec %s", o->command) < 0) {
		script = NULL;
		return err_set(e, -ENOMEM, "no memory to start a command");
	}
	char sh[] = "/bin/sh", dash_c[] = "-c";
	char *argv[] = {sh, dash_c, script, NULL};

	make_environment(o->env, env);
	r = fdio_pipe(in);
	r = r < 0 ? r : fdio_pipe(out);
	r = r < 0 ? r : fdio_pipe(err);
	if (r == 0) {
		union {
			const char *const *from;
			char *const *to; /* execve is older than const */
		} environment = {.from = env};

		child.in = in[0];
		child.out = out[1];
		child.err = err[1];
		child.argv = argv;
		child.env = environment.to;
		r = set_nonblocking(in[1]);
		r = r < 0 ? r : set_nonblocking(out[0]);
		r = r < 0 ? r : set_nonblocking(err[0]);
		r = r < 0 ? r : start(c, &child);
	}
	if (r == 0) {
		c->in_fd = fd_steal(&in[1]);
		c->out_fd = fd_steal(&out[0]);
		c->err_fd = fd_steal(&err[0]);
	}
	for (int i = 0; i < 2; i++) {
		fd_closep(&in[i]);
		fd_closep(&out[i]);
		fd_closep(&err[i]);
	}
	buf_release(&c->input);
	buf_release(&c->output);
	buf_clear(&c->errors);
	c->input_done = 0;
	c->last_error[0] = '\0';
	return r < 0 ? err_errno(e, r, "cannot start a process for \"%.100s\"", o->command) : 0;
}

void coproc_write(struct coproc *c)
{
	while (c->in_fd >= 0 && c->input_done < c->input.size) {
		ssize_t n = write(c->in_fd, c->input.data + c->input_done,
				  c->input.size - c->input_done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			fd_closep(&c->in_fd); /* EPIPE: it will be seen to end */
			return;
		}
		c->input_done += (size_t)n;
	}
	if (c->input.size > READ_SIZE * 4)
		buf_release(&c->input);
	else
		buf_clear(&c->input);
	c->input_done = 0;
}

int coproc_read(struct coproc *c, size_t limit)
{
	while (c->out_fd >= 0 && c->output.size < limit) {
		char *at = buf_reserve(&c->output, READ_SIZE);
		ssize_t n = at ? read(c->out_fd, at, READ_SIZE) : -1;

		if (!at)
			return buf_error(&c->output);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n <= 0)
			fd_closep(&c->out_fd);
		else
			c->output.size += (size_t)n;
	}
	return 0;
}

static void end_error_line(struct coproc *c, void (*line)(void *ctx, const char *text), void *ctx)
{
	if (c->errors.size == 0)
		return;
	snprintf(c->last_error, sizeof(c->last_error), "%s", c->errors.data);
	line(ctx, c->last_error);
	buf_clear(&c->errors);
}

void coproc_read_errors(struct coproc *c, void (*line)(void *ctx, const char *text), void *ctx)
{
	char bytes[4096];

	/* Not for ever: whoever floods us gets his turn again. */
	for (int turn = 0; c->err_fd >= 0 && turn < 16; turn++) {
		ssize_t n = read(c->err_fd, bytes, sizeof(bytes));

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			end_error_line(c, line, ctx);
			fd_closep(&c->err_fd);
			return;
		}
		for (ssize_t i = 0; i < n; i++) {
			unsigned char b = (unsigned char)bytes[i];

			if (b == '\n')
				end_error_line(c, line, ctx);
			else if (c->errors.size < COPROC_STDERR_LINE)
				buf_add_char(&c->errors, b < 0x20 || b == 0x7f ? ' ' : (char)b);
		}
	}
}

void coproc_close_input(struct coproc *c)
{
	fd_closep(&c->in_fd);
}

void coproc_signal(struct coproc *c, int signal)
{
	/* The pid is not reused before waitpid(), nor is the group's. */
	if (c->pid)
		kill(-c->pid, signal);
}

bool coproc_has_ended(const struct coproc *c)
{
	struct pollfd p = {.fd = c->pid_fd, .events = POLLIN};

	return c->pid && poll(&p, 1, 0) > 0;
}

void coproc_end(struct coproc *c, char *words, size_t size)
{
	int status = 0;
	pid_t r;

	coproc_signal(c, SIGKILL);
	do
		r = waitpid(c->pid, &status, 0);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		snprintf(words, size, "an unknown end");
	else if (WIFSIGNALED(status))
		snprintf(words, size, "signal %d (%s)", WTERMSIG(status),
			 sigdescr_np(WTERMSIG(status)) ? sigdescr_np(WTERMSIG(status)) : "unknown");
	else
		snprintf(words, size, "exit code %d", WEXITSTATUS(status));
	c->pid = 0;
	fd_closep(&c->pid_fd);
	fd_closep(&c->in_fd);
	fd_closep(&c->out_fd);
	fd_closep(&c->err_fd);
}

/* Waits until all have ended or the time is over. */
static bool wait_for_all(struct coproc *const *all, size_t count, int ms)
{
	int64_t until = clock_mono_ns(clock_system()) + ms * NS_PER_MS;

	for (;;) {
		struct pollfd p[ENDS_MAX];
		int64_t left = until - clock_mono_ns(clock_system());
		nfds_t n = 0;

		for (size_t i = 0; i < count; i++)
			if (all[i]->pid && !coproc_has_ended(all[i]))
				p[n++] = (struct pollfd){.fd = all[i]->pid_fd, .events = POLLIN};
		if (n == 0)
			return true;
		if (left <= 0)
			return false;
		poll(p, n, (int)(left / NS_PER_MS) + 1);
	}
}

void coproc_end_all(struct coproc *const *all, size_t count, int eof_ms, int term_ms)
{
	char words[64];

	assert(count <= ENDS_MAX);
	for (size_t i = 0; i < count; i++)
		coproc_close_input(all[i]);
	if (!wait_for_all(all, count, eof_ms)) {
		for (size_t i = 0; i < count; i++)
			coproc_signal(all[i], SIGTERM);
		ignore_error(wait_for_all(all, count, term_ms)); /* KILL follows anyway */
	}
	for (size_t i = 0; i < count; i++)
		if (all[i]->pid)
			coproc_end(all[i], words, sizeof(words));
}
