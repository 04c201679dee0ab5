#include "backend/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "backend/lines.h"
#include "fs/base/fdio.h"
#include "fs/base/log.h"

/*
 * written counts the bytes of pending that are in the file already: after a
 * short write the file ends in a torn line, which is right again as soon as
 * the rest follows, and is cut off if it never does.
 */

struct journal {
	int fd;
	struct clock *clock;
	struct buf pending;
	size_t written;
	unsigned lines, batch;
	bool unsynced;
	int64_t unsynced_since_mono_ns;
};

bool journal_is_full(int r)
{
	return r == -ENOSPC || r == -EDQUOT || r == -EFBIG;
}

static int read_back(struct journal *j, const char *path,
		     int (*line)(void *ctx, const struct envelope *v), void *ctx, struct err *e)
{
	CLEANUP(lines_release) struct lines l;
	uint64_t strange = 0;
	const char *text;
	size_t size;
	int r;

	lines_init(&l, j->fd);
	while ((r = lines_next(&l, &text, &size)) == 0) {
		struct envelope v;

		if (envelope_parse(text, size, &v) < 0) {
			strange++;
			continue;
		}
		r = line(ctx, &v);
		if (r < 0)
			return err_errno(e, r, "cannot take up the results in %s", path);
	}
	if (r != -ENODATA)
		return err_errno(e, r, "cannot read the results in %s", path);
	if (strange)
		log_warning("journal",
			    "lines that are no results are passed over path=%s count=%llu", path,
			    (unsigned long long)strange);
	/* Who was killed may not have synced it. */
	j->unsynced = lines_offset(&l) > 0;
	j->unsynced_since_mono_ns = clock_mono_ns(j->clock);
	if (lines_has_rest(&l) && ftruncate(j->fd, (off_t)lines_offset(&l)) < 0)
		return err_errno(e, -errno, "cannot cut the torn last line off %s", path);
	return 0;
}

static void journal_closep(struct journal **j)
{
	journal_close(*j);
	*j = NULL;
}

int journal_open(const char *path, struct clock *clock,
		 int (*line)(void *ctx, const struct envelope *v), void *ctx, struct journal **ret,
		 struct err *e)
{
	CLEANUP(journal_closep) struct journal *j = calloc(1, sizeof(*j));
	int r;

	if (!j)
		return err_set(e, -ENOMEM, "no memory for %s", path);
	j->clock = clock;
	j->batch = 1;
	buf_init(&j->pending, JOURNAL_PENDING_MAX);
	j->fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (j->fd < 0)
		return err_errno(e, -errno, "cannot open %s", path);
	r = read_back(j, path, line, ctx, e);
	if (r < 0)
		return r;
	/* Lines that are synced are lost all the same with a name that is not. */
	if (!j->unsynced)
		r = fdio_sync_directory_of(path);
	if (r < 0)
		return err_errno(e, r, "cannot sync the directory of %s", path);
	*ret = STEAL(&j);
	return 0;
}

void journal_close(struct journal *j)
{
	if (!j)
		return;
	fd_closep(&j->fd);
	buf_release(&j->pending);
	free(j);
}

void journal_set_batch(struct journal *j, unsigned lines)
{
	j->batch = lines ? lines : 1;
}

struct buf *journal_line(struct journal *j)
{
	return &j->pending;
}

int journal_added(struct journal *j)
{
	if (buf_error(&j->pending) < 0)
		return -ENOMEM;
	j->lines++;
	if (j->lines < j->batch && j->pending.size < JOURNAL_WRITE_BYTES)
		return 0;
	return journal_flush(j);
}

int journal_flush(struct journal *j)
{
	while (j->written < j->pending.size) {
		ssize_t n =
			write(j->fd, j->pending.data + j->written, j->pending.size - j->written);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!j->unsynced)
			j->unsynced_since_mono_ns = clock_mono_ns(j->clock);
		j->unsynced = true;
		j->written += (size_t)n;
	}
	/* A line of many megabytes is rare; its memory is not kept. */
	if (j->pending.size > 4 * JOURNAL_WRITE_BYTES)
		buf_release(&j->pending);
	else
		buf_clear(&j->pending);
	j->written = 0;
	j->lines = 0;
	return 0;
}

int journal_sync(struct journal *j)
{
	int r = journal_flush(j);

	if (r < 0 || !j->unsynced)
		return r;
	if (fdatasync(j->fd) < 0)
		return -errno;
	j->unsynced = false;
	return 0;
}

int journal_tick(struct journal *j, int *ret_ms)
{
	int r = journal_flush(j);
	int64_t left;

	*ret_ms = -1;
	if (r < 0 || !j->unsynced)
		return r;
	left = j->unsynced_since_mono_ns + JOURNAL_SYNC_NS - clock_mono_ns(j->clock);
	if (left <= 0)
		return journal_sync(j);
	*ret_ms = (int)((left + NS_PER_MS - 1) / NS_PER_MS);
	return 0;
}
