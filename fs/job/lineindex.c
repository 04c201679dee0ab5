#include "fs/job/lineindex.h"

#include <errno.h>
#include <unistd.h>

#include "fs/base/fdio.h"
#include "fs/base/scratch.h"

/* An entry: the offset, and two flags below it. */
#define FLAG_CRLF  1u
#define FLAG_ID	   2u
#define FLAG_BITS  2
#define OFFSET_MAX ((uint64_t)1 << 62)

/* Entries collected before a write: one page. */
#define PENDING_MAX 512

/* Entries read at once. */
#define AHEAD_MAX 512

struct lineindex {
	int fd;		/* entries 0 .. count - pending_count - 1 */
	uint64_t count; /* all */
	uint64_t end;	/* where the line after the last one begins */
	size_t pending_count;
	uint64_t pending[PENDING_MAX]; /* the last ones */
	uint64_t ahead_first;
	size_t ahead_count;
	uint64_t ahead[AHEAD_MAX]; /* as they are in the file */
};

static void free_indexp(struct lineindex **x)
{
	lineindex_free(*x);
	*x = NULL;
}

int lineindex_new(const char *dir, struct lineindex **ret, struct err *e)
{
	CLEANUP(free_indexp) struct lineindex *x = calloc(1, sizeof(*x));
	int r;

	if (!x)
		return err_errno(e, -ENOMEM, "cannot make an index of lines");
	x->fd = -1;
	r = scratch_open(dir, &x->fd, e);
	if (r < 0)
		return r;
	*ret = STEAL(&x);
	return 0;
}

void lineindex_free(struct lineindex *x)
{
	if (!x)
		return;
	fd_closep(&x->fd);
	free(x);
}

void lineindex_clear(struct lineindex *x)
{
	/* Only gives disk space back; entries are written over anyway. */
	if (x->count > x->pending_count)
		ignore_error(ftruncate(x->fd, 0));
	x->count = x->end = 0;
	x->pending_count = x->ahead_count = 0;
}

static int write_pending(struct lineindex *x)
{
	int r = fdio_pwrite(x->fd, x->pending, x->pending_count * sizeof(x->pending[0]),
			    (x->count - x->pending_count) * sizeof(x->pending[0]));

	if (r < 0)
		return r;
	x->pending_count = 0;
	return 0;
}

int lineindex_add(struct lineindex *x, const struct lineindex_line *line)
{
	uint64_t entry = line->offset << FLAG_BITS | (line->is_crlf ? FLAG_CRLF : 0) |
			 (line->has_id ? FLAG_ID : 0);

	if (line->offset >= OFFSET_MAX)
		return -EFBIG;
	if (x->pending_count == PENDING_MAX) {
		int r = write_pending(x);

		if (r < 0)
			return r;
	}
	x->pending[x->pending_count++] = entry;
	x->count++;
	x->end = line->offset + line->size + (line->is_crlf ? 2 : 1);
	return 0;
}

/* From entry first on, which is in the file. */
static int read_ahead(struct lineindex *x, uint64_t first)
{
	uint64_t left = x->count - x->pending_count - first;
	size_t want = left < AHEAD_MAX ? (size_t)left : AHEAD_MAX;
	ssize_t n;

	x->ahead_count = 0;
	do {
		n = pread(x->fd, x->ahead, want * sizeof(x->ahead[0]),
			  (off_t)(first * sizeof(x->ahead[0])));
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if ((size_t)n < sizeof(x->ahead[0]))
		return -EIO;
	x->ahead_first = first;
	x->ahead_count = (size_t)n / sizeof(x->ahead[0]);
	return 0;
}

static int entry_at(struct lineindex *x, uint64_t index, uint64_t *ret)
{
	uint64_t written = x->count - x->pending_count;
	int r;

	if (index >= written) {
		*ret = x->pending[index - written];
		return 0;
	}
	if (index < x->ahead_first || index >= x->ahead_first + x->ahead_count) {
		r = read_ahead(x, index);
		if (r < 0)
			return r;
	}
	*ret = x->ahead[index - x->ahead_first];
	return 0;
}

int lineindex_get(struct lineindex *x, uint64_t index, struct lineindex_line *ret)
{
	uint64_t entry = 0, next = 0, end = x->end;
	int r;

	if (index >= x->count)
		return -ENOENT;
	r = entry_at(x, index, &entry);
	if (r == 0 && index + 1 < x->count) {
		r = entry_at(x, index + 1, &next);
		end = next >> FLAG_BITS;
	}
	if (r < 0)
		return r;
	ret->offset = entry >> FLAG_BITS;
	ret->is_crlf = entry & FLAG_CRLF;
	ret->has_id = entry & FLAG_ID;
	ret->size = end - ret->offset - (ret->is_crlf ? 2 : 1);
	return 0;
}

uint64_t lineindex_count(const struct lineindex *x)
{
	return x->count;
}
