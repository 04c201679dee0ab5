#include "cache/dirs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

/*
 * The lock is an open-file-description lock: it belongs to the descriptor, so
 * it outlives the fork that puts the daemon into the background, and another
 * process can ask whether it is held without taking it for a moment (which a
 * daemon starting just then would run into).
 */

#define LOCK_TEXT_MAX	(PATH_MAX + 32)
#define SLUG_MAX	100
#define REMOVE_DEPTH	64 /* of directories; ours are 5 deep */
#define REMOVE_PASSES	8  /* over a directory whose listing changes under us */
#define STATE_IN_HOME	".local/state"
#define CACHE_IN_HOME	".cache"
#define DIRECTORY_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* --- names --- */

/* "bedrock:my-bucket/batch" becomes "bedrock-my-bucket-batch": the bytes
 * [A-Za-z0-9._-], any run of others one '-', none at either end, no dot first. */
static void make_slug(const char *source, char *slug)
{
	size_t n = 0;

	for (const char *p = source; *p && n < SLUG_MAX; p++) {
		bool plain = (*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z') ||
			     (*p >= '0' && *p <= '9') || *p == '_' || (*p == '.' && n > 0);

		if (plain)
			slug[n++] = *p;
		else if (n > 0 && slug[n - 1] != '-')
			slug[n++] = '-';
	}
	while (n > 0 && slug[n - 1] == '-')
		n--;
	slug[n] = '\0';
	if (!n)
		snprintf(slug, SLUG_MAX + 1, "source");
}

/* The XDG rule: the variable if it holds an absolute path, else below home. */
static int default_path(const struct dirs_request *q, const char *xdg, const char *in_home,
			const char *option, char **ret, struct err *e)
{
	char slug[SLUG_MAX + 1];
	int n;

	make_slug(q->source, slug);
	if (xdg && xdg[0] == '/')
		n = asprintf(ret, "%s/batchfs/%s", xdg, slug);
	else if (q->env_home && q->env_home[0] == '/')
		n = asprintf(ret, "%s/%s/batchfs/%s", q->env_home, in_home, slug);
	else
		return err_set(
			e, -ENOENT,
			"no place for the %s directory: HOME is not set; name one with -o %s=DIR",
			option, option);
	if (n < 0) {
		*ret = NULL;
		return err_errno(e, -ENOMEM, "cannot name the %s directory", option);
	}
	return 0;
}

/* --- making and removing --- */

int dirs_make(const char *path, struct err *e)
{
	CLEANUP(str_freep) char *copy = strdup(path);
	struct stat st;

	if (!copy)
		return err_errno(e, -ENOMEM, "cannot make the directory %s", path);
	for (char *p = copy + 1; copy[0]; p++) {
		bool last = *p == '\0';

		if (!last && *p != '/')
			continue;
		*p = '\0';
		if (mkdir(copy, 0700) < 0 && errno != EEXIST) {
			int r = -errno;

			/* A parent that cannot be written to may well be there. */
			if (stat(copy, &st) < 0)
				return err_errno(e, r, "cannot make the directory %s", copy);
		}
		if (last)
			break;
		*p = '/';
	}
	if (stat(path, &st) < 0) {
		int r = -errno;

		return err_errno(e, r, "cannot use the directory %s", path);
	}
	if (!S_ISDIR(st.st_mode))
		return err_set(e, -ENOTDIR, "%s is not a directory; move it away", path);
	return 0;
}

static int remove_at(int parent, const char *name, int depth);

/* Removes what the directory lists; -ENOTEMPTY never comes from here. */
static int remove_entries(DIR *d, int depth)
{
	struct dirent *entry;
	int r;

	for (;;) {
		errno = 0;
		entry = readdir(d);
		if (!entry)
			return -errno;
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		r = remove_at(dirfd(d), entry->d_name, depth - 1);
		if (r < 0)
			return r;
	}
}

static int remove_directory(int parent, const char *name, int depth)
{
	CLEANUP(dir_closep) DIR *d = NULL;
	CLEANUP(fd_closep) int fd = -1;
	int r;

	if (depth <= 0)
		return -ELOOP;
	fd = openat(parent, name, DIRECTORY_FLAGS);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	d = fdopendir(fd);
	if (!d)
		return -errno;
	fd_steal(&fd);
	for (int pass = 0; pass < REMOVE_PASSES; pass++) {
		r = remove_entries(d, depth);
		if (r < 0)
			return r;
		if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
			return 0;
		if (errno != ENOTEMPTY && errno != EEXIST)
			return -errno;
		rewinddir(d);
	}
	return -ENOTEMPTY;
}

static int remove_at(int parent, const char *name, int depth)
{
	if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	return remove_directory(parent, name, depth);
}

int dirs_remove(const char *path, struct err *e)
{
	int r = remove_at(AT_FDCWD, path, REMOVE_DEPTH);

	return r < 0 ? err_errno(e, r, "cannot delete %s", path) : 0;
}

/* --- the lock --- */

static struct flock whole_file(void)
{
	return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
}

/* "123 /mnt\n" as "pid 123, mounted on /mnt". */
static void describe_holder(int fd, char *text, size_t size)
{
	char line[LOCK_TEXT_MAX], *rest;
	ssize_t n = pread(fd, line, sizeof(line) - 1, 0);
	long pid;

	line[n > 0 ? n : 0] = '\0';
	line[strcspn(line, "\n")] = '\0';
	pid = strtol(line, &rest, 10);
	if (pid <= 0 || rest[0] != ' ')
		snprintf(text, size, "a process that has not said its name yet");
	else if (rest[1])
		snprintf(text, size, "pid %ld, mounted on %s", pid, rest + 1);
	else
		snprintf(text, size, "pid %ld", pid);
}

bool dirs_holder(const char *state, char *text, size_t size)
{
	CLEANUP(str_freep) char *path = NULL;
	CLEANUP(fd_closep) int fd = -1;
	struct flock lock = whole_file();

	if (asprintf(&path, "%s/lock", state) < 0) {
		path = NULL;
		return false;
	}
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fcntl(fd, F_OFD_GETLK, &lock) < 0 || lock.l_type == F_UNLCK)
		return false;
	describe_holder(fd, text, size);
	return true;
}

static int take_lock(struct dirs *d, struct err *e)
{
	CLEANUP(str_freep) char *path = NULL;
	CLEANUP(fd_closep) int fd = -1;
	struct flock lock = whole_file();
	char holder[LOCK_TEXT_MAX + 32];
	int r;

	if (asprintf(&path, "%s/lock", d->state) < 0) {
		path = NULL;
		return err_errno(e, -ENOMEM, "cannot lock %s", d->state);
	}
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		r = -errno;
		return err_errno(e, r, "cannot open %s", path);
	}
	if (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
		r = -errno;
		if (r != -EAGAIN && r != -EACCES)
			return err_errno(e, r, "cannot lock %s", path);
		describe_holder(fd, holder, sizeof(holder));
		return err_set(e, -EBUSY,
			       "the state directory %s is in use by %s; unmount that one first, "
			       "or name another directory with -o state=DIR",
			       d->state, holder);
	}
	d->lock_fd_ = fd_steal(&fd);
	return 0;
}

void dirs_set_holder(struct dirs *d, const char *mountpoint)
{
	char text[LOCK_TEXT_MAX];
	int n = snprintf(text, sizeof(text) - 1, "%ld %s", (long)getpid(),
			 mountpoint ? mountpoint : "");
	size_t size = (size_t)n < sizeof(text) - 1 ? (size_t)n : sizeof(text) - 2;

	for (size_t i = 0; i < size; i++)
		if (text[i] == '\n')
			text[i] = '?';
	text[size++] = '\n';
	/* For people only: a lock with an old text still locks. */
	if (ftruncate(d->lock_fd_, 0) == 0)
		ignore_error(pwrite(d->lock_fd_, text, size, 0) < 0);
}

/* --- opening --- */

/* Makes the directory and gives its one true absolute path. */
static int settle(const char *option,
		  int (*name)(const struct dirs_request *, char **, struct err *),
		  const struct dirs_request *q, char **ret, struct err *e)
{
	CLEANUP(str_freep) char *path = NULL;
	int r;

	if (option) {
		path = strdup(option);
		if (!path)
			return err_errno(e, -ENOMEM, "cannot open the directory %s", option);
	} else {
		r = name(q, &path, e);
		if (r < 0)
			return r;
	}
	r = dirs_make(path, e);
	if (r < 0)
		return r;
	if (access(path, R_OK | W_OK | X_OK) < 0) {
		r = -errno;
		return err_errno(e, r, "cannot use the directory %s", path);
	}
	*ret = realpath(path, NULL);
	if (!*ret) {
		r = -errno;
		return err_errno(e, r, "cannot use the directory %s", path);
	}
	return 0;
}

static int state_path(const struct dirs_request *q, char **ret, struct err *e)
{
	return default_path(q, q->env_state_home, STATE_IN_HOME, "state", ret, e);
}

static int cache_path(const struct dirs_request *q, char **ret, struct err *e)
{
	return default_path(q, q->env_cache_home, CACHE_IN_HOME, "cache", ret, e);
}

int dirs_open(const struct dirs_request *q, struct dirs *ret, struct err *e)
{
	CLEANUP(dirs_close) struct dirs d = DIRS_INIT;
	int r;

	r = settle(q->state_option, state_path, q, &d.state, e);
	if (r < 0)
		return r;
	r = settle(q->cache_option, cache_path, q, &d.cache, e);
	if (r < 0)
		return r;
	r = take_lock(&d, e);
	if (r < 0)
		return r;
	dirs_set_holder(&d, q->mountpoint);
	*ret = d;
	d = (struct dirs)DIRS_INIT;
	return 0;
}

void dirs_close(struct dirs *d)
{
	struct flock lock = whole_file();

	/* Said aloud, since a forked helper may still hold the descriptor. */
	lock.l_type = F_UNLCK;
	if (d->lock_fd_ >= 0)
		ignore_error(fcntl(d->lock_fd_, F_OFD_SETLK, &lock));
	fd_closep(&d->lock_fd_);
	str_freep(&d->state);
	str_freep(&d->cache);
}
