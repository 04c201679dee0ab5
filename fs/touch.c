#include "fs/touch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

static void touch(const char *mountpoint, const char *name)
{
	CLEANUP(str_freep) char *path = NULL;
	CLEANUP(fd_closep) int fd = -1;

	if (asprintf(&path, "%s/%s/status", mountpoint, name) < 0)
		return;
	fd = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	/* The job may have gone, or the mount: then nobody is watching. */
	if (fd >= 0)
		ignore_error((int)write(fd, "\n", 1));
}

/* Nothing that was open before may be kept: a log, a lock, a terminal, or a
 * pipe somebody reads to its end. */
static void close_others(int keep)
{
	int null = open("/dev/null", O_RDWR);

	for (int fd = 0; fd < 3 && null >= 0; fd++)
		dup2(null, fd);
	if (keep > 3)
		close_range(3, (unsigned)keep - 1, 0);
	close_range((unsigned)keep + 1, ~0u, 0);
}

__attribute__((__noreturn__)) static void serve(const char *mountpoint, int fd)
{
	char name[256];
	ssize_t n;

	prctl(PR_SET_NAME, "batchfs-touch");
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	if (chdir("/") < 0)
		_exit(1);
	close_others(fd);
	for (;;) {
		n = recv(fd, name, sizeof(name) - 1, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			_exit(0);
		name[n] = '\0';
		touch(mountpoint, name);
	}
}

int touch_start(const char *mountpoint, int *ret_fd, pid_t *ret_pid, struct err *e)
{
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(e, -errno, "cannot make a socket for the inotify helper");
	pid = fork();
	if (pid < 0) {
		int r = err_errno(e, -errno, "cannot fork the inotify helper");

		close(pair[0]);
		close(pair[1]);
		return r;
	}
	if (pid == 0) {
		close(pair[0]);
		serve(mountpoint, pair[1]);
	}
	close(pair[1]);
	*ret_fd = pair[0];
	*ret_pid = pid;
	return 0;
}
