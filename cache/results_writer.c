#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "cache/dirs.h"
#include "cache/results.h"
#include "cache/results_format.h"
#include "fs/base/fdio.h"

/*
 * The writer.  Records stream into seven files through buffers of a fixed
 * size; the table of names is built at commit, in the mapped and allocated
 * hash.dat, from the files themselves.  So memory does not grow with the
 * number of records.
 *
 * All is written below dir.tmp.  The header goes in last, then each file is
 * synced, then the directory, then it gets its name: what results_open() finds
 * under dir is whole, at whatever moment the machine dies.
 *
 * An error is kept: after it every call gives it again, and commit refuses.
 */

#define BUFFER_SIZE (128u * 1024)
#define SLOTS_MIN   16u
#define RECORDS_MAX 0xfffffff0u

static const char *const file_names[RESULTS_PART_COUNT] = RESULTS_FILE_NAMES;

struct sink {
	int fd;
	size_t held;   /* bytes in the buffer */
	uint64_t size; /* of the file, what is held included */
	char *buffer;  /* owned; BUFFER_SIZE */
};

struct results_writer {
	char *dir, *tmp; /* owned */
	struct sink sinks[RESULTS_PART_COUNT];
	uint64_t count;
	struct counts counts;
	struct tokens tokens;
	struct buf name;
	int error; /* sticky */
};

/* --- sinks --- */

static int sink_flush(struct sink *s)
{
	int r = fdio_write(s->fd, s->buffer, s->held);

	s->held = 0;
	return r;
}

static int sink_add(struct sink *s, const void *bytes, size_t size)
{
	int r;

	s->size += size;
	if (size > BUFFER_SIZE - s->held) {
		r = sink_flush(s);
		if (r < 0)
			return r;
		if (size >= BUFFER_SIZE)
			return fdio_write(s->fd, bytes, size);
	}
	if (size)
		memcpy(s->buffer + s->held, bytes, size);
	s->held += size;
	return 0;
}

/* --- life --- */

static int fail(struct results_writer *w, int r, const char *what, struct err *e)
{
	w->error = r;
	return err_errno(e, r, "cannot %s the results in %s", what, w->tmp);
}

void results_writer_free(struct results_writer *w)
{
	if (!w)
		return;
	for (int i = 0; i < RESULTS_PART_COUNT; i++) {
		fd_closep(&w->sinks[i].fd);
		free(w->sinks[i].buffer);
	}
	if (w->tmp) /* after a commit there is none */
		ignore_error(dirs_remove(w->tmp, NULL));
	buf_release(&w->name);
	free(w->dir);
	free(w->tmp);
	free(w);
}

static int open_sinks(struct results_writer *w)
{
	CLEANUP(fd_closep) int dir_fd = open(w->tmp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir_fd < 0)
		return -errno;
	for (int i = 0; i < RESULTS_PART_COUNT; i++) {
		struct sink *s = &w->sinks[i];

		s->fd = openat(dir_fd, file_names[i], O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (s->fd < 0)
			return -errno;
		s->buffer = malloc(BUFFER_SIZE);
		if (!s->buffer)
			return -ENOMEM;
	}
	return 0;
}

/* A disk that has no room for the tables is better told before the work. */
static int reserve(struct results_writer *w, uint64_t count_hint)
{
	off_t size = (off_t)((count_hint < RECORDS_MAX ? count_hint : RECORDS_MAX) *
			     (sizeof(struct results_entry) + 2 * sizeof(struct results_slot)));

	if (size == 0 ||
	    fallocate(w->sinks[RESULTS_PART_INDEX].fd, FALLOC_FL_KEEP_SIZE, 0, size) == 0)
		return 0;
	return errno == ENOSPC || errno == EDQUOT ? -ENOSPC : 0; /* or it cannot be told */
}

int results_writer_new(const char *dir, uint64_t count_hint, struct results_writer **ret,
		       struct err *e)
{
	static const struct results_header no_header;
	struct results_writer *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return err_errno(e, -ENOMEM, "cannot write the results in %s", dir);
	for (int i = 0; i < RESULTS_PART_COUNT; i++)
		w->sinks[i].fd = -1;
	buf_init(&w->name, RESULTS_NAME_MAX);
	w->dir = strdup(dir);
	if (!w->dir || asprintf(&w->tmp, "%s.tmp", dir) < 0) {
		w->tmp = NULL;
		results_writer_free(w);
		return err_errno(e, -ENOMEM, "cannot write the results in %s", dir);
	}
	r = dirs_remove(w->tmp, e);
	if (r == 0)
		r = dirs_make(w->tmp, e);
	if (r == 0) {
		r = open_sinks(w);
		if (r == 0)
			r = reserve(w, count_hint);
		if (r == 0) /* its place; filled in at commit */
			r = sink_add(&w->sinks[RESULTS_PART_INDEX], &no_header, sizeof(no_header));
		if (r < 0)
			r = fail(w, r, "write", e);
	}
	if (r < 0) {
		results_writer_free(w);
		return r;
	}
	*ret = w;
	return 0;
}

/* --- records --- */

/* Where the next record's line, text and name begin. */
static int add_entry(struct results_writer *w, enum results_outcome outcome)
{
	struct results_entry entry = {
		.line = w->sinks[RESULTS_PART_OUTPUT].size,
		.text = w->sinks[RESULTS_PART_TEXT].size,
		.name_and_outcome = w->sinks[RESULTS_PART_NAMES].size |
				    (uint64_t)outcome << RESULTS_OUTCOME_SHIFT,
	};

	return sink_add(&w->sinks[RESULTS_PART_INDEX], &entry, sizeof(entry));
}

static int add_contents(struct results_writer *w, const struct results_record *rec)
{
	int r;

	r = sink_add(&w->sinks[RESULTS_PART_NAMES], w->name.data, w->name.size);
	if (r == 0 && rec->outcome != RESULTS_MISSING) {
		r = sink_add(&w->sinks[RESULTS_PART_OUTPUT], rec->line, rec->line_size);
		if (r == 0)
			r = sink_add(&w->sinks[RESULTS_PART_OUTPUT], "\n", 1);
	}
	if (r == 0 && rec->outcome == RESULTS_GOOD)
		r = sink_add(&w->sinks[RESULTS_PART_TEXT], rec->text, rec->text_size);
	return r;
}

int results_writer_add(struct results_writer *w, const struct results_record *rec, struct err *e)
{
	int r = w->error;

	assert(rec->outcome <= RESULTS_GOOD);
	if (r == 0 && w->count >= RECORDS_MAX)
		r = -EFBIG;
	if (r == 0 && rec->id_size == 0)
		r = -EINVAL;
	if (r == 0) {
		buf_clear(&w->name);
		results_encode_name(&w->name, rec->id, rec->id_size);
		r = buf_error(&w->name);
	}
	if (r == 0)
		r = add_entry(w, rec->outcome);
	if (r == 0)
		r = add_contents(w, rec);
	if (r < 0)
		return fail(w, r, "write", e);
	w->count++;
	w->counts.good += rec->outcome == RESULTS_GOOD;
	w->counts.failed += rec->outcome == RESULTS_FAILED;
	w->tokens.input += rec->tokens.input;
	w->tokens.output += rec->tokens.output;
	return 0;
}

int results_writer_append(struct results_writer *w, enum results_file f, const char *bytes,
			  size_t size, struct err *e)
{
	int r = w->error;

	assert(f == RESULTS_ERRORS || f == RESULTS_RETRY || f == RESULTS_CSV);
	if (r == 0)
		r = sink_add(&w->sinks[f], bytes, size);
	return r < 0 ? fail(w, r, "write", e) : 0;
}

/* --- commit --- */

struct table {
	struct results_slot *slots;	     /* mapped */
	const struct results_entry *entries; /* mapped, behind the header */
	const char *names;		     /* mapped */
	uint64_t slot_count;
	unsigned char key[SIPHASH_KEY_SIZE];
};

static void table_unmap(const struct results_writer *w, const struct table *t)
{
	if (t->slots)
		munmap(t->slots, t->slot_count * sizeof(*t->slots));
	if (t->entries)
		munmap((char *)(uintptr_t)t->entries - sizeof(struct results_header),
		       (size_t)w->sinks[RESULTS_PART_INDEX].size);
	if (t->names)
		munmap((void *)(uintptr_t)t->names, (size_t)w->sinks[RESULTS_PART_NAMES].size);
}

static int map_part(const struct sink *s, int protection, char **ret)
{
	void *at;

	if (s->size == 0)
		return 0;
	at = mmap(NULL, (size_t)s->size, protection, MAP_SHARED, s->fd, 0);
	if (at == MAP_FAILED)
		return -errno;
	*ret = at;
	return 0;
}

static int table_map(struct results_writer *w, struct table *t)
{
	struct sink *hash = &w->sinks[RESULTS_PART_HASH];
	char *slots = NULL, *index = NULL, *names = NULL;
	int r;

	/* At most two thirds full, and always with an empty slot to stop at. */
	for (t->slot_count = SLOTS_MIN; t->slot_count < w->count + w->count / 2;)
		t->slot_count *= 2;
	hash->size = t->slot_count * sizeof(struct results_slot);
	do /* blocks behind every page, or a full disk is a SIGBUS */
		r = -posix_fallocate(hash->fd, 0, (off_t)hash->size);
	while (r == -EINTR);
	if (r == 0)
		r = map_part(hash, PROT_READ | PROT_WRITE, &slots);
	if (r == 0)
		r = map_part(&w->sinks[RESULTS_PART_INDEX], PROT_READ, &index);
	if (r == 0)
		r = map_part(&w->sinks[RESULTS_PART_NAMES], PROT_READ, &names);
	t->slots = (void *)slots;
	t->entries = index ? (void *)(index + sizeof(struct results_header)) : NULL;
	t->names = names;
	return r;
}

static const char *name_of(const struct table *t, uint64_t index, size_t *ret_size)
{
	uint64_t begin = t->entries[index].name_and_outcome & RESULTS_OFFSET_MASK;
	uint64_t end = t->entries[index + 1].name_and_outcome & RESULTS_OFFSET_MASK;

	*ret_size = (size_t)(end - begin);
	return t->names + begin;
}

/* -EEXIST: another record has that name. */
static int table_insert(struct table *t, uint64_t index)
{
	struct results_slot *slot;
	const char *name, *other;
	size_t size, other_size;
	uint64_t hash[2];

	name = name_of(t, index, &size);
	siphash128(t->key, name, size, hash);
	for (uint64_t i = hash[0];; i++) {
		slot = &t->slots[i & (t->slot_count - 1)];
		if (!slot->index_plus_1)
			break;
		if (slot->tag != (uint32_t)(hash[0] >> 32))
			continue;
		other = name_of(t, slot->index_plus_1 - 1, &other_size);
		if (other_size == size && memcmp(other, name, size) == 0)
			return -EEXIST;
	}
	slot->tag = (uint32_t)(hash[0] >> 32);
	slot->index_plus_1 = (uint32_t)(index + 1);
	return 0;
}

static int build_table(struct results_writer *w, struct table *t)
{
	int r;

	if (getrandom(t->key, sizeof(t->key), 0) != (ssize_t)sizeof(t->key))
		return -EIO;
	r = table_map(w, t);
	for (uint64_t i = 0; r == 0 && i < w->count; i++)
		r = table_insert(t, i);
	table_unmap(w, t);
	return r;
}

static int write_header(struct results_writer *w, const struct table *t)
{
	struct results_header h = {
		.version = RESULTS_VERSION,
		.order_mark = RESULTS_ORDER_MARK,
		.count = w->count,
		.slot_count = t->slot_count,
		.good = w->counts.good,
		.failed = w->counts.failed,
		.input_tokens = w->tokens.input,
		.output_tokens = w->tokens.output,
	};
	ssize_t n;

	memcpy(h.magic, RESULTS_MAGIC, sizeof(h.magic));
	memcpy(h.key, t->key, sizeof(h.key));
	for (int i = 0; i < RESULTS_PART_COUNT; i++)
		h.sizes[i] = w->sinks[i].size;
	h.checksum = results_header_checksum(&h);
	n = pwrite(w->sinks[RESULTS_PART_INDEX].fd, &h, sizeof(h), 0);
	if (n < 0)
		return -errno;
	return n == (ssize_t)sizeof(h) ? 0 : -EIO;
}

static int sync_directory(const char *path)
{
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int sync_parent(const char *path)
{
	CLEANUP(str_freep) char *parent = strdup(path);
	char *slash = parent ? strrchr(parent, '/') : NULL;

	if (!parent)
		return -ENOMEM;
	if (!slash)
		return sync_directory(".");
	slash[slash == parent] = '\0';
	return sync_directory(parent);
}

static int sync_all(struct results_writer *w)
{
	for (int i = 0; i < RESULTS_PART_COUNT; i++) {
		struct sink *s = &w->sinks[i];

		/* Also gives back what reserve() took and nothing used. */
		if (ftruncate(s->fd, (off_t)s->size) < 0 || fsync(s->fd) < 0)
			return -errno;
	}
	return sync_directory(w->tmp);
}

/* A damaged generation that is made anew has the name; who reads it keeps it. */
static int give_name(struct results_writer *w)
{
	int r = dirs_remove(w->dir, NULL);

	if (r < 0)
		return r;
	if (rename(w->tmp, w->dir) < 0)
		return -errno;
	str_freep(&w->tmp); /* nothing to drop any more */
	return sync_parent(w->dir);
}

int results_writer_commit(struct results_writer *w, struct err *e)
{
	struct table t = {0};
	int r = w->error;

	if (r == 0)
		r = add_entry(w, RESULTS_MISSING); /* the end of the last record */
	for (int i = 0; r == 0 && i < RESULTS_PART_HASH; i++)
		r = sink_flush(&w->sinks[i]);
	if (r == 0) {
		r = build_table(w, &t);
		if (r == -EEXIST) {
			w->error = r;
			return err_set(e, r, "two records have the same file name in %s", w->dir);
		}
	}
	if (r == 0)
		r = write_header(w, &t);
	if (r == 0)
		r = sync_all(w);
	if (r == 0)
		r = give_name(w);
	if (r < 0 && !w->tmp) {
		w->error = r;
		return err_errno(e, r, "cannot sync the results in %s", w->dir);
	}
	return r < 0 ? fail(w, r, "finish", e) : 0;
}
