#include "fs/mountpoint.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define LINE_MAX_BYTES 8192

/* mountinfo writes space, tab, newline and backslash as \ooo. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] && s[3]) {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
}

/* proc(5), mountinfo: the fifth field is the mount point, and after " - "
 * comes the type. */
static bool is_batchfs(const char *path)
{
	CLEANUP(file_closep) FILE *f = fopen("/proc/self/mountinfo", "re");
	char line[LINE_MAX_BYTES], point[LINE_MAX_BYTES];

	while (f && fgets(line, sizeof(line), f)) {
		const char *type = strstr(line, " - ");

		if (!type || strncmp(type + 3, "fuse.batchfs ", 13) != 0)
			continue;
		if (sscanf(line, "%*s %*s %*s %*s %8191s", point) != 1)
			continue;
		unescape(point);
		if (strcmp(point, path) == 0)
			return true;
	}
	return false;
}

int mountpoint_check(const char *path, struct err *e)
{
	CLEANUP(str_freep) char *real = realpath(path, NULL);
	struct stat st;

	if (stat(path, &st) < 0) {
		if (errno == ENOTCONN)
			return err_set(e, -ENOTCONN,
				       "%s: a daemon that was mounted here is dead (\"Transport "
				       "endpoint is not connected\"); clear it away with "
				       "`fusermount3 -u -z %s` and mount again",
				       path, path);
		if (errno == ENOENT)
			return err_set(e, -ENOENT,
				       "%s: there is no such directory; `mkdir -p %s` "
				       "makes it",
				       path, path);
		return err_errno(e, -errno, "%s: cannot mount there", path);
	}
	if (!S_ISDIR(st.st_mode))
		return err_set(e, -ENOTDIR, "%s: not a directory; mount on an empty one", path);
	if (is_batchfs(real ? real : path))
		return err_set(e, -EBUSY,
			       "%s: a batchfs is mounted there already; `fusermount3 -u %s` "
			       "unmounts it",
			       path, path);
	if (access("/dev/fuse", F_OK) < 0)
		return err_set(e, -ENODEV,
			       "/dev/fuse is not there: load the module (`modprobe fuse`), or in a "
			       "container start it with --device /dev/fuse --cap-add SYS_ADMIN");
	if (access("/dev/fuse", R_OK | W_OK) < 0)
		return err_set(e, -EACCES,
			       "/dev/fuse may not be opened by this user; its mode is 0666 on an "
			       "ordinary system (`ls -l /dev/fuse`)");
	return 0;
}

int mountpoint_check_outside(const char *path, const char *option, const char *dir, struct err *e)
{
	CLEANUP(str_freep) char *real = realpath(path, NULL);
	size_t n = real ? strlen(real) : 0;

	if (!real)
		return err_errno(e, -errno, "%s: cannot mount there", path);
	/* "/" is the parent of all. */
	if (n == 1 || (strncmp(dir, real, n) == 0 && (dir[n] == '/' || dir[n] == '\0')))
		return err_set(e, -EINVAL,
			       "%s: the %s directory %s lies in the mount point, which would hide "
			       "it; name another with -o %s=DIR",
			       path, option, dir, option);
	return 0;
}
