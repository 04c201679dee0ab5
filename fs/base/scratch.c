#include "fs/base/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* For file systems without O_TMPFILE (some network ones). */
static int open_and_unlink(const char *dir)
{
	CLEANUP(str_freep) char *path = NULL;
	int fd;

	if (asprintf(&path, "%s/.scratch-XXXXXX", dir) < 0) {
		path = NULL;
		errno = ENOMEM;
		return -1;
	}
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		unlink(path);
	return fd;
}

/* A cache may be tidied away while we run: dir and what is above it. */
static bool make_again(const char *dir)
{
	const char *slash = strrchr(dir, '/');
	CLEANUP(str_freep) char *above = slash ? strndup(dir, (size_t)(slash - dir)) : NULL;

	if (mkdir(dir, 0700) == 0 || errno == EEXIST)
		return true;
	return errno == ENOENT && above && *above && make_again(above) && mkdir(dir, 0700) == 0;
}

int scratch_open(const char *dir, int *ret_fd, struct err *e)
{
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0 && errno == ENOENT && make_again(dir))
		fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL))
		fd = open_and_unlink(dir);
	if (fd < 0) {
		int r = -errno;

		return err_errno(e, r, "cannot make a scratch file in %s", dir);
	}
	*ret_fd = fd;
	return 0;
}

int scratch_map(const char *dir, size_t size, void **ret, struct err *e)
{
	CLEANUP(fd_closep) int fd = -1;
	void *at;
	int r = scratch_open(dir, &fd, e);

	if (r < 0)
		return r;
	do /* a page without a block behind it would make a full disk a SIGBUS */
		r = -posix_fallocate(fd, 0, (off_t)size);
	while (r == -EINTR);
	if (r < 0)
		return err_errno(e, r, "cannot make room for %zu bytes in %s", size, dir);
	at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED) {
		r = -errno;
		return err_errno(e, r, "cannot map a scratch file of %s", dir);
	}
	*ret = at;
	return 0;
}
