
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "cache/results_private.h"

/*
 * The reader.  Opening checks the header by its checksum and each file by the
 * size the header gives it; it does not walk the index, so that a million
 * records open in the time of eight mmap()s.  Instead every offset is checked
 * where it is used: whatever an index.dat or hash.dat of the right size may
 * hold, nothing outside the mapped files is ever read, and a search ends.
 */

#define RECORDS_MAX 0xfffffff0u

/* --- opening --- */

static int damaged(const char *dir, const char *name, const char *why, struct err *e)
{
	return err_set(e, -EUCLEAN, "the results in %s are damaged: %s %s; they are made anew", dir,
		       name, why);
}

static int map_file(int dir_fd, const char *name, struct mapping *ret)
{
	CLEANUP(fd_closep) int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	void *at;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EUCLEAN;
	if (st.st_size == 0) {
		*ret = (struct mapping){"", 0};
		return 0;
	}
	at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		return -errno;
	*ret = (struct mapping){at, (uint64_t)st.st_size};
	return 0;
}

/* What is wrong with a header, or NULL. */
static const char *judge_header(const struct results_header *h)
{
	if (memcmp(h->magic, RESULTS_MAGIC, sizeof(h->magic)) != 0)
		return "is no index";
	if (h->order_mark != RESULTS_ORDER_MARK || h->version != RESULTS_VERSION)
		return "is of another version";
	if (h->checksum != results_header_checksum(h))
		return "has a wrong checksum";
	if (h->count > RECORDS_MAX || h->good > h->count || h->failed > h->count - h->good)
		return "has impossible counts";
	if (h->slot_count <= h->count || (h->slot_count & (h->slot_count - 1)) != 0 ||
	    h->slot_count > (uint64_t)RECORDS_MAX * 4)
		return "has an impossible table";
	if (h->sizes[RESULTS_PART_INDEX] !=
		    sizeof(*h) + (h->count + 1) * sizeof(struct results_entry) ||
	    h->sizes[RESULTS_PART_HASH] != h->slot_count * sizeof(struct results_slot))
		return "does not fit its counts";
	return NULL;
}

static int map_files(int dir_fd, const char *dir, struct results_mappings *m,
		     struct results_header *header, struct err *e)
{
	static const char *const names[RESULTS_PART_COUNT] = RESULTS_FILE_NAMES;
	const struct mapping *index = &m->files[RESULTS_PART_INDEX];
	const char *why;

	for (int i = 0; i < RESULTS_PART_COUNT; i++) {
		int error = map_file(dir_fd, names[i], &m->files[i]);

		if (error == -ENOENT || error == -EUCLEAN || error == -ELOOP)
			return damaged(dir, names[i], "is missing", e);
		if (error < 0)
			return err_errno(e, error, "cannot open %s/%s", dir, names[i]);
	}
	if (index->size < sizeof(*header))
		return damaged(dir, "index.dat", "is cut short", e);
	memcpy(header, index->at, sizeof(*header));
	why = judge_header(header);
	if (why)
		return damaged(dir, "index.dat", why, e);
	for (int i = 0; i < RESULTS_PART_COUNT; i++)
		if (m->files[i].size != header->sizes[i])
			return damaged(dir, names[i], "has a wrong size", e);
	return 0;
}

int results_map(const char *dir, struct results_mappings *ret, struct results_header *header,
		struct err *e)
{
	CLEANUP(fd_closep) int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int error;

	if (dir_fd < 0) {
		error = errno == ENOTDIR ? -EUCLEAN : -errno;
		return err_errno(e, error, "cannot open the results in %s", dir);
	}
	*ret = (struct results_mappings){.files = {{NULL, 0}}};
	error = map_files(dir_fd, dir, ret, header, e);
	if (error < 0)
		results_unmap(ret);
	return error;
}

void results_unmap(struct results_mappings *m)
{
	for (int i = 0; i < RESULTS_PART_COUNT; i++)
		if (m->files[i].size)
			munmap((void *)(uintptr_t)m->files[i].at, (size_t)m->files[i].size);
}

/* --- reading --- */

uint64_t results_count(const struct results *r)
{
	return r->header.count;
}

struct counts results_counts(const struct results *r)
{
	return (struct counts){r->header.count, r->header.good, r->header.failed};
}

struct tokens results_tokens(const struct results *r)
{
	return (struct tokens){r->header.input_tokens, r->header.output_tokens};
}

const char *results_bytes(const struct results *r, enum results_file f, uint64_t *ret_size)
{
	const struct mapping *m = &r->maps.files[f]; /* the first parts are the files */

	*ret_size = m->size;
	return m->at;
}

/* Entry index; that of index == count is the end of the last record. */
static struct results_entry entry_at(const struct results *r, uint64_t index)
{
	struct results_entry entry;

	memcpy(&entry,
	       r->maps.files[RESULTS_PART_INDEX].at + sizeof(struct results_header) +
		       index * sizeof(entry),
	       sizeof(entry));
	return entry;
}

/* The bytes from begin to end of a file; nothing where an offset is wrong. */
static const char *slice(const struct mapping *m, uint64_t begin, uint64_t end, size_t *ret_size)
{
	if (begin > end || end > m->size) {
		*ret_size = 0;
		return "";
	}
	*ret_size = (size_t)(end - begin);
	return m->at + begin;
}

enum results_outcome results_outcome(const struct results *r, uint64_t index)
{
	uint64_t outcome;

	if (index >= r->header.count)
		return RESULTS_MISSING;
	outcome = entry_at(r, index).name_and_outcome >> RESULTS_OUTCOME_SHIFT;
	return outcome <= RESULTS_GOOD ? (enum results_outcome)outcome : RESULTS_MISSING;
}

const char *results_name(const struct results *r, uint64_t index, size_t *ret_size)
{
	if (index >= r->header.count) {
		*ret_size = 0;
		return "";
	}
	return slice(&r->maps.files[RESULTS_PART_NAMES],
		     entry_at(r, index).name_and_outcome & RESULTS_OFFSET_MASK,
		     entry_at(r, index + 1).name_and_outcome & RESULTS_OFFSET_MASK, ret_size);
}

const char *results_line(const struct results *r, uint64_t index, size_t *ret_size)
{
	if (results_outcome(r, index) == RESULTS_MISSING) {
		*ret_size = 0;
		return "";
	}
	return slice(&r->maps.files[RESULTS_PART_OUTPUT], entry_at(r, index).line,
		     entry_at(r, index + 1).line, ret_size);
}

const char *results_text(const struct results *r, uint64_t index, size_t *ret_size)
{
	if (results_outcome(r, index) != RESULTS_GOOD) {
		*ret_size = 0;
		return "";
	}
	return slice(&r->maps.files[RESULTS_PART_TEXT], entry_at(r, index).text,
		     entry_at(r, index + 1).text, ret_size);
}

bool results_find(const struct results *r, const char *name, size_t name_size, uint64_t *ret_index)
{
	const uint64_t mask = r->header.slot_count - 1;
	uint64_t hash[2];

	siphash128(r->header.key, name, name_size, hash);
	for (uint64_t i = 0; i <= mask; i++) {
		struct results_slot slot;
		const char *candidate;
		size_t size;

		memcpy(&slot,
		       r->maps.files[RESULTS_PART_HASH].at + ((hash[0] + i) & mask) * sizeof(slot),
		       sizeof(slot));
		if (!slot.index_plus_1)
			return false;
		if (slot.tag != (uint32_t)(hash[0] >> 32))
			continue;
		candidate = results_name(r, slot.index_plus_1 - 1, &size);
		if (size == name_size && size > 0 && memcmp(candidate, name, size) == 0) {
			*ret_index = slot.index_plus_1 - 1;
			return true;
		}
	}
	return false;
}
