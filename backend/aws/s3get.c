#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "backend/aws/s3.h"
#include "backend/aws/s3call.h"
#include "backend/aws/s3sum.h"
#include "fs/base/fdio.h"

/*
 * Downloads.  A HEAD says how large the object is and which (its ETag); then
 * ranges of it are asked for, several at once, each with If-Match, so that no
 * file is ever made of two objects.  Each goes to its place in the file as it
 * comes.  The CRC32 of the whole is put together from those of the ranges.
 *
 * The file has another name until it is whole and on disk.  An object that
 * changed (412) or came damaged is begun anew; no part of it is kept.
 */

#define TURNS_MAX	3     /* of an object that changes or comes damaged */
#define TRIES_MAX	3     /* of a range that comes short */
#define ERROR_ROOM	65536 /* for the words of a refusal */
#define RANGE_TEXT_SIZE 64

struct slot {
	bool busy;
	uint64_t index; /* of the range */
	char range[RANGE_TEXT_SIZE];
	unsigned tries;
};

struct fetch {
	struct s3 *s;
	const char *key;
	struct s3_object object;
	struct s3_target target; /* owned */
	int fd;			 /* owned */
	uint64_t next, count;	 /* ranges */
	uint32_t *crcs;		 /* owned, one a range; NULL: not wanted */
	struct slot slots[WIRE_CALLS_MAX];
};

static size_t range_size(const struct fetch *f, uint64_t index)
{
	uint64_t left = f->object.size - index * f->s->part_size;

	return left < f->s->part_size ? (size_t)left : f->s->part_size;
}

static int ask_for(struct fetch *f, struct slot *slot, struct aws_request *ret, void **ret_tag)
{
	uint64_t begin = slot->index * f->s->part_size;
	size_t size = range_size(f, slot->index);

	slot->busy = true;
	snprintf(slot->range, sizeof(slot->range), "bytes=%llu-%llu", (unsigned long long)begin,
		 (unsigned long long)(begin + size - 1));
	s3_request_init(f->s, S3_OP_GET, ret);
	s3_request_aim(ret, &f->target);
	s3_request_add(ret, "range", slot->range);
	s3_request_add(ret, "if-match", f->object.etag[0] ? f->object.etag : NULL);
	ret->answer_max = size < ERROR_ROOM ? ERROR_ROOM : size;
	*ret_tag = slot;
	return 1;
}

static int next_range(void *ctx, struct aws_request *ret, void **ret_tag, struct err *e)
{
	struct fetch *f = ctx;
	struct slot *idle = NULL;

	(void)e;
	for (size_t i = 0; i < COUNT_OF(f->slots); i++) {
		struct slot *slot = &f->slots[i];

		if (!slot->busy && slot->tries)
			return ask_for(f, slot, ret, ret_tag); /* once more */
		if (!slot->busy)
			idle = slot;
	}
	if (f->next == f->count || !idle)
		return 0;
	idle->index = f->next++;
	return ask_for(f, idle, ret, ret_tag);
}

/* Is the answer the range, and all of it?  A server that knows no ranges sends
 * the whole object, which will do if that is one range. */
static bool is_range(const struct fetch *f, const struct slot *slot, const struct aws_answer *a)
{
	const char *range = slot->range + strlen("bytes=");
	size_t size = strlen(range);

	if (a->body_size != range_size(f, slot->index))
		return false;
	if (a->status == 200)
		return f->count == 1;
	return strncmp(a->content_range, "bytes ", 6) == 0 &&
	       strncmp(a->content_range + 6, range, size) == 0 && a->content_range[6 + size] == '/';
}

static int have_range(void *ctx, void *tag, int r, const struct aws_answer *a, struct err *e)
{
	struct fetch *f = ctx;
	struct slot *slot = tag;

	slot->busy = false;
	if (r < 0)
		return s3_explain(f->s, S3_OP_GET, f->key, r, a, e);
	if (!is_range(f, slot, a)) {
		if (a->status == 200 && f->count > 1)
			return err_set(e, -EPROTO,
				       "the server of s3://%s/ does not know ranges of objects",
				       f->s->bucket);
		if (++slot->tries < TRIES_MAX)
			return 0;
		return err_set(e, -EAGAIN, "s3://%s/%s comes short: %zu bytes for %s", f->s->bucket,
			       f->key, a->body_size, slot->range);
	}
	slot->tries = 0;
	if (f->crcs)
		f->crcs[slot->index] = s3sum_crc32(a->body, a->body_size);
	r = fdio_pwrite(f->fd, a->body, a->body_size, slot->index * f->s->part_size);
	return r < 0 ? err_errno(e, r, "cannot write what comes of s3://%s/%s", f->s->bucket,
				 f->key)
		     : 0;
}

/* Against what S3 tells, where it tells the CRC32 of the whole. */
static int check_sum(const struct fetch *f, uint32_t theirs, struct err *e)
{
	uint32_t crc = 0;

	for (uint64_t i = 0; i < f->count; i++)
		crc = s3sum_join(crc, f->crcs[i], range_size(f, i));
	if (crc != theirs)
		return err_set(e, -EILSEQ,
			       "s3://%s/%s came damaged: its CRC32 is %08x and not %08x",
			       f->s->bucket, f->key, crc, theirs);
	return 0;
}

/* Room for all of it at once: a disk that is too small is told of before
 * anything is fetched. */
static int make_room(struct fetch *f, const char *path, struct err *e)
{
	int r = 0;

	if (ftruncate(f->fd, 0) < 0)
		r = -errno;
	else if (f->object.size && fallocate(f->fd, 0, 0, (off_t)f->object.size) < 0)
		r = -errno;
	if (r == -EOPNOTSUPP || r == -ENOSYS)
		r = ftruncate(f->fd, (off_t)f->object.size) < 0 ? -errno : 0;
	if (r < 0)
		return err_errno(e, r, "no room for the %llu bytes of s3://%s/%s in %s",
				 (unsigned long long)f->object.size, f->s->bucket, f->key, path);
	return 0;
}

static bool has_short_range(const struct fetch *f)
{
	for (size_t i = 0; i < COUNT_OF(f->slots); i++)
		if (f->slots[i].tries)
			return true;
	return false;
}

static int fetch_ranges(struct fetch *f, struct err *e)
{
	const struct aws_batch batch = {
		.parallel = f->s->parallel,
		.next = next_range,
		.done = have_range,
		.ctx = f,
	};
	int r = 0;

	for (size_t i = 0; i < COUNT_OF(f->slots); i++)
		f->slots[i] = (struct slot){.busy = false};
	f->next = 0;
	/* A batch may end with a range to ask for again: its last. */
	while (r == 0 && (f->next < f->count || has_short_range(f)))
		r = aws_run_batch(f->s->aws, &batch, e);
	return r;
}

/* The object as it is now.  -ESTALE: it was changed meanwhile; -EILSEQ: it
 * came damaged. */
static int fetch_turn(struct fetch *f, const char *path, struct err *e)
{
	char crc_text[S3_CRC32_MAX];
	uint32_t crc = 0;
	int r = s3_look(f->s, f->key, true, &f->object, crc_text, e);

	if (r < 0)
		return r;
	if (f->object.size > S3_OBJECT_MAX)
		return err_set(e, -EFBIG, "s3://%s/%s is said to have %llu bytes", f->s->bucket,
			       f->key, (unsigned long long)f->object.size);
	f->count = (f->object.size + f->s->part_size - 1) / f->s->part_size;
	free(f->crcs);
	f->crcs = NULL;
	if (s3sum_parse(crc_text, &crc)) {
		f->crcs = calloc(f->count + 1, sizeof(*f->crcs));
		if (!f->crcs)
			return err_set(e, -ENOMEM, "no memory for a download");
	}
	s3_target_release(&f->target);
	r = s3_target_init(f->s, f->key, &f->target, e);
	if (r == 0)
		r = make_room(f, path, e);
	if (r == 0)
		r = fetch_ranges(f, e);
	if (r == 0 && f->crcs)
		r = check_sum(f, crc, e);
	return r;
}

static int fetch_whole(struct fetch *f, const char *path, struct err *e)
{
	int r = 0;

	for (unsigned turn = 0; turn < TURNS_MAX; turn++) {
		r = fetch_turn(f, path, e);
		if (r != -ESTALE && r != -EILSEQ)
			break;
	}
	if (r == 0 && fsync(f->fd) < 0)
		r = err_errno(e, -errno, "cannot write what came of s3://%s/%s to disk",
			      f->s->bucket, f->key);
	if (r == -EDQUOT)
		return -ENOSPC;
	return r == -EILSEQ ? -EIO : r;
}

/* The new name is on disk, too. */
static int put_in_place(const char *from, const char *to, struct err *e)
{
	const char *slash = strrchr(to, '/');
	CLEANUP(str_freep) char *directory = slash ? strndup(to, (size_t)(slash - to) + 1) : NULL;
	CLEANUP(fd_closep) int fd = -1;

	if (rename(from, to) < 0)
		return err_errno(e, -errno, "cannot give %s its name", to);
	fd = open(directory ? directory : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return err_errno(e, -errno, "cannot write the directory of %s to disk", to);
	return 0;
}

int s3_get_file(struct s3 *s, const char *key, const char *path, struct s3_object *ret,
		struct err *e)
{
	struct fetch f = {.s = s, .key = key, .fd = -1};
	CLEANUP(str_freep) char *tmp = NULL;
	int r;

	if (asprintf(&tmp, "%s.tmp", path) < 0) {
		tmp = NULL;
		return err_set(e, -ENOMEM, "no memory for a download");
	}
	f.fd = open(tmp, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (f.fd < 0)
		return err_errno(e, -errno, "cannot make %s", tmp);
	r = fetch_whole(&f, path, e);
	fd_closep(&f.fd);
	if (r == 0)
		r = put_in_place(tmp, path, e);
	if (r < 0)
		unlink(tmp);
	else if (ret)
		*ret = f.object;
	s3_target_release(&f.target);
	free(f.crcs);
	return r;
}
