#include "fs/job/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/newfile.h"
#include "fs/job/input.h"

/*
 * The part is made under the name PART.tmp, synced, renamed, and the directory
 * synced: whoever finds it under its own name finds all of it.  A file PART.tmp
 * of an earlier, interrupted try is removed first.
 *
 * Lines are copied through one window over the source, so that memory does
 * not depend on the size of records.  The only byte of a line that is looked
 * at is its first brace: after it the missing recordId is put in.
 */

#define WINDOW_SIZE (256u * 1024)
#define MEMBER	    "\"recordId\":\"%s\","

/* A part on its way to disk. */
struct staging {
	const struct input *in;
	int source_fd; /* borrowed */
	char *window;  /* owned; WINDOW_SIZE bytes */
	uint64_t window_offset;
	size_t window_used;
	FILE *out; /* owned */
};

static void staging_release(struct staging *s)
{
	str_freep(&s->window);
	file_closep(&s->out);
}

/* After a failed call.  Never 0, whatever errno says. */
static int failure(void)
{
	return errno > 0 ? -errno : -EIO;
}

/* The bytes of the source from offset on, at least one. */
static int look(struct staging *s, uint64_t offset, const char **ret, size_t *ret_size)
{
	if (offset < s->window_offset || offset >= s->window_offset + s->window_used) {
		ssize_t n;

		do {
			n = pread(s->source_fd, s->window, WINDOW_SIZE, (off_t)offset);
		} while (n < 0 && errno == EINTR);
		if (n < 0)
			return failure();
		if (n == 0)
			return -ESTALE; /* cut since it was checked */
		s->window_offset = offset;
		s->window_used = (size_t)n;
	}
	*ret = s->window + (offset - s->window_offset);
	*ret_size = s->window_used - (size_t)(offset - s->window_offset);
	return 0;
}

static int put(struct staging *s, const char *bytes, size_t size)
{
	errno = 0;
	if (fwrite(bytes, 1, size, s->out) == size)
		return 0;
	return failure();
}

static int copy(struct staging *s, uint64_t offset, uint64_t size)
{
	while (size > 0) {
		const char *bytes;
		size_t n;
		int r = look(s, offset, &bytes, &n);

		if (r < 0)
			return r;
		if (n > size)
			n = (size_t)size;
		r = put(s, bytes, n);
		if (r < 0)
			return r;
		offset += n;
		size -= n;
	}
	return 0;
}

/* Copies the record's opening brace, and white space before it, and puts a
 * generated id after it.  *ret: how many bytes of the line were taken. */
static int put_id(struct staging *s, uint64_t index, uint64_t offset, uint64_t size, uint64_t *ret)
{
	char id[24], member[64];
	uint64_t taken = 0;
	bool is_brace = false;
	int r, n;

	while (!is_brace) {
		const char *bytes;
		size_t available;

		if (taken == size)
			return -ESTALE; /* no brace: changed since it was checked */
		r = look(s, offset + taken, &bytes, &available);
		if (r < 0)
			return r;
		is_brace = *bytes == '{';
		taken++;
	}
	r = copy(s, offset, taken);
	if (r < 0)
		return r;
	input_generated_id(index, id);
	/* A record has a modelInput, so something follows the comma. */
	n = snprintf(member, sizeof(member), MEMBER, id);
	*ret = taken;
	return put(s, member, (size_t)n);
}

static int copy_record(struct staging *s, uint64_t index)
{
	uint64_t offset, size, taken = 0;
	bool has_id;
	int r;

	r = input_locate(s->in, index, &offset, &size);
	if (r == 0)
		r = input_has_id(s->in, index, &has_id);
	if (r == 0 && !has_id)
		r = put_id(s, index, offset, size, &taken);
	if (r == 0)
		r = copy(s, offset + taken, size - taken);
	return r == 0 ? put(s, "\n", 1) : r;
}

static int copy_records(const struct input *in, int source_fd, uint64_t first, uint64_t count,
			const char *path)
{
	CLEANUP(staging_release) struct staging s = {.in = in, .source_fd = source_fd};
	CLEANUP(fd_closep) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int r = 0;

	if (fd < 0)
		return -errno;
	s.window = malloc(WINDOW_SIZE);
	if (!s.window)
		return -ENOMEM;
	s.out = fdopen(fd, "w");
	if (!s.out)
		return -errno;
	fd_steal(&fd);
	for (uint64_t i = 0; i < count && r == 0; i++)
		r = copy_record(&s, first + i);
	if (r < 0)
		return r;
	if (fflush(s.out) != 0 || fsync(fileno(s.out)) < 0)
		return -errno;
	return 0;
}

static bool is_same_file(int fd, const char *path)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && lstat(path, &b) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

/* A second name for the whole source; false if that cannot be had. */
static bool try_link(int source_fd, const char *source_path, const char *path)
{
	if (!source_path || !is_same_file(source_fd, source_path))
		return false;
	if (link(source_path, path) < 0)
		return false;
	/* The name may have been given to another file in between. */
	if (is_same_file(source_fd, path) && fsync(source_fd) == 0)
		return true;
	unlink(path);
	return false;
}

static int check_request(const struct input *in, int source_fd, uint64_t first, uint64_t count,
			 struct err *e)
{
	uint64_t total = input_record_count(in);
	struct stat st;

	if (!input_is_valid(in))
		return err_set(e, -EINVAL, "input.jsonl is not valid, so no part is made of it");
	if (first > total || count > total - first || count == 0)
		return err_set(e, -EINVAL, "there are no records %llu to %llu in input.jsonl",
			       (unsigned long long)first + 1, (unsigned long long)(first + count));
	if (fstat(source_fd, &st) < 0) {
		int r = -errno;

		return err_errno(e, r, "cannot look at input.jsonl");
	}
	if (!input_is_current(in, (uint64_t)st.st_size))
		return err_set(e, -ESTALE, "input.jsonl has changed since it was checked");
	return 0;
}

int stage_part(const struct input *in, int source_fd, const char *source_path, uint64_t first,
	       uint64_t count, const char *part_path, struct err *e)
{
	CLEANUP(str_freep) char *scratch_path = NULL;
	bool is_whole = first == 0 && count == input_record_count(in) && input_is_canonical(in);
	int r;

	r = check_request(in, source_fd, first, count, e);
	if (r < 0)
		return r;
	if (asprintf(&scratch_path, "%s.tmp", part_path) < 0) {
		scratch_path = NULL;
		return err_errno(e, -ENOMEM, "cannot write %s", part_path);
	}
	unlink(scratch_path);
	if (!is_whole || !try_link(source_fd, source_path, scratch_path))
		r = copy_records(in, source_fd, first, count, scratch_path);
	if (r == 0)
		r = newfile_publish(scratch_path, part_path);
	if (r < 0) {
		unlink(scratch_path);
		return err_errno(e, r, "cannot write %s", part_path);
	}
	return 0;
}

int stage_size(const struct input *in, uint64_t index, uint64_t *ret)
{
	uint64_t offset, size;
	bool has_id = true;
	char id[24];
	int r = input_locate(in, index, &offset, &size);

	if (r == 0)
		r = input_has_id(in, index, &has_id);
	if (r < 0)
		return r;
	if (!has_id)
		size += strlen(MEMBER) - strlen("%s") + input_generated_id(index, id);
	*ret = size + 1; /* the newline */
	return 0;
}

int stage_copy(const struct input *in, int source_fd, const char *path, struct err *e)
{
	int r = check_request(in, source_fd, 0, input_record_count(in), e);

	if (r < 0)
		return r;
	unlink(path);
	r = copy_records(in, source_fd, 0, input_record_count(in), path);
	return r < 0 ? err_errno(e, r, "cannot write %s", path) : 0;
}
