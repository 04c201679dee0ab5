#include "fs/base/newfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/base/fdio.h"

int newfile_open(const char *path, struct newfile *ret, struct err *e)
{
	CLEANUP(newfile_release) struct newfile f = NEWFILE_INIT;
	CLEANUP(fd_closep) int fd = -1;
	int r = 0;

	f.path_ = strdup(path);
	if (!f.path_ || asprintf(&f.tmp_, "%s.tmp", path) < 0) {
		f.tmp_ = NULL;
		return err_errno(e, -ENOMEM, "cannot write %s", path);
	}
	fd = open(f.tmp_, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd >= 0)
		f.file_ = fdopen(fd, "w");
	if (!f.file_) {
		r = -errno;
		return err_errno(e, r, "cannot write %s", path);
	}
	fd_steal(&fd);
	*ret = f;
	f = (struct newfile)NEWFILE_INIT;
	return 0;
}

bool newfile_is_open(const struct newfile *f)
{
	return f->file_ != NULL;
}

int newfile_write(struct newfile *f, const void *bytes, size_t size, struct err *e)
{
	int r;

	errno = 0;
	if (fwrite(bytes, 1, size, f->file_) == size)
		return 0;
	r = errno > 0 ? -errno : -EIO;
	return err_errno(e, r, "cannot write %s", f->path_);
}

/* If both are names of one file already, rename() does nothing and leaves
 * both, so the other one is removed. */
int newfile_publish(const char *tmp, const char *path)
{
	if (rename(tmp, path) < 0)
		return -errno;
	unlink(tmp);
	return fdio_sync_directory_of(path);
}

int newfile_commit(struct newfile *f, struct err *e)
{
	int r = 0;

	if (fflush(f->file_) != 0 || fsync(fileno(f->file_)) < 0)
		r = -errno;
	if (r == 0)
		r = newfile_publish(f->tmp_, f->path_);
	if (r < 0)
		return err_errno(e, r, "cannot write %s", f->path_);
	str_freep(&f->tmp_); /* it has its name */
	newfile_release(f);
	return 0;
}

void newfile_release(struct newfile *f)
{
	if (f->file_ && f->tmp_)
		unlink(f->tmp_);
	file_closep(&f->file_);
	str_freep(&f->path_);
	str_freep(&f->tmp_);
}
