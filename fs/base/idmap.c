#include "fs/base/idmap.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "fs/base/scratch.h"
#include "fs/base/siphash.h"

/*
 * Open addressing with linear probing; the slot count is a power of two and
 * the low bits of the hash say where to begin.  A slot is empty while its
 * number field is zero, so numbers are stored plus one.
 *
 * The whole file is allocated before it is mapped: a page without a block
 * behind it would make a full disk a SIGBUS in the middle of a probe.
 */

#define SLOTS_MIN 1024u /* 16 KiB */

struct slot {
	uint64_t low;
	uint32_t high;
	uint32_t number_plus_1; /* 0: empty */
};

/* Slots in a mapped file. */
struct table {
	int fd;
	struct slot *slots; /* owned mapping; NULL: none */
	uint64_t count;	    /* a power of two */
};

struct idmap {
	char *dir; /* owned */
	struct table table;
	uint64_t used;
	unsigned char key[SIPHASH_KEY_SIZE];
};

#define TABLE_INIT                                                                                 \
	{                                                                                          \
		.fd = -1                                                                           \
	}

static void table_release(struct table *t)
{
	if (t->slots)
		munmap(t->slots, t->count * sizeof(struct slot));
	t->slots = NULL;
	fd_closep(&t->fd);
}

static int allocate(int fd, uint64_t size)
{
	int r;

	do {
		r = posix_fallocate(fd, 0, (off_t)size);
	} while (r == EINTR);
	return -r;
}

static int table_open(const char *dir, uint64_t count, struct table *ret, struct err *e)
{
	CLEANUP(table_release) struct table t = TABLE_INIT;
	uint64_t size = count * sizeof(struct slot);
	void *at;
	int r;

	if (size > SIZE_MAX / 2)
		return err_set(e, -EFBIG, "too many record ids for this machine");
	r = scratch_open(dir, &t.fd, e);
	if (r < 0)
		return r;
	r = allocate(t.fd, size);
	if (r < 0)
		return err_errno(e, r, "cannot make room for %llu record ids in %s",
				 (unsigned long long)(count / 4 * 3), dir);
	at = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, t.fd, 0);
	if (at == MAP_FAILED) {
		r = -errno;
		return err_errno(e, r, "cannot map a scratch file of %s", dir);
	}
	t.slots = at;
	t.count = count;
	*ret = t;
	t = (struct table)TABLE_INIT;
	return 0;
}

/* The slot of that hash, or the empty one where it belongs.  Ends because a
 * table is never full. */
static struct slot *table_probe(const struct table *t, uint64_t low, uint32_t high)
{
	for (uint64_t i = low;; i++) {
		struct slot *slot = &t->slots[i & (t->count - 1)];

		if (!slot->number_plus_1 || (slot->low == low && slot->high == high))
			return slot;
	}
}

static int grow(struct idmap *m, struct err *e)
{
	CLEANUP(table_release) struct table bigger = TABLE_INIT;
	int r = table_open(m->dir, m->table.count * 2, &bigger, e);

	if (r < 0)
		return r;
	for (uint64_t i = 0; i < m->table.count; i++) {
		const struct slot *slot = &m->table.slots[i];

		if (slot->number_plus_1)
			*table_probe(&bigger, slot->low, slot->high) = *slot;
	}
	table_release(&m->table);
	m->table = bigger;
	bigger = (struct table)TABLE_INIT;
	return 0;
}

static struct slot *probe(const struct idmap *m, const char *id, size_t id_size, uint64_t *ret_low,
			  uint32_t *ret_high)
{
	uint64_t hash[2];

	siphash128(m->key, id, id_size, hash);
	*ret_low = hash[0];
	*ret_high = (uint32_t)hash[1];
	return table_probe(&m->table, hash[0], (uint32_t)hash[1]);
}

static void free_idmapp(struct idmap **m)
{
	idmap_free(*m);
	*m = NULL;
}

int idmap_new(const char *dir, struct idmap **ret, struct err *e)
{
	CLEANUP(free_idmapp) struct idmap *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return err_errno(e, -ENOMEM, "cannot make a map of record ids");
	m->table.fd = -1;
	m->dir = strdup(dir);
	if (!m->dir)
		return err_errno(e, -ENOMEM, "cannot make a map of record ids");
	if (getrandom(m->key, sizeof(m->key), 0) != (ssize_t)sizeof(m->key))
		return err_set(e, -EIO, "cannot get random bytes from the kernel");
	r = table_open(dir, SLOTS_MIN, &m->table, e);
	if (r < 0)
		return r;
	*ret = STEAL(&m);
	return 0;
}

void idmap_free(struct idmap *m)
{
	if (!m)
		return;
	table_release(&m->table);
	free(m->dir);
	free(m);
}

void idmap_clear(struct idmap *m)
{
	struct table small = TABLE_INIT;

	if (!m->used)
		return;
	m->used = 0;
	/* Gives a big table's disk space back, if a small one can be had. */
	if (m->table.count > SLOTS_MIN && table_open(m->dir, SLOTS_MIN, &small, NULL) == 0) {
		table_release(&m->table);
		m->table = small;
		return;
	}
	memset(m->table.slots, 0, m->table.count * sizeof(struct slot));
}

int idmap_add(struct idmap *m, const char *id, size_t id_size, uint32_t number,
	      uint32_t *ret_number)
{
	struct slot *slot;
	uint64_t low;
	uint32_t high;

	if (number > IDMAP_RECORDS_MAX)
		return -EFBIG;
	slot = probe(m, id, id_size, &low, &high);
	if (slot->number_plus_1) {
		*ret_number = slot->number_plus_1 - 1;
		return -EEXIST;
	}
	if (m->used + 1 > m->table.count / 4 * 3) {
		int r = grow(m, NULL);

		if (r < 0)
			return r;
		slot = table_probe(&m->table, low, high);
	}
	*slot = (struct slot){.low = low, .high = high, .number_plus_1 = number + 1};
	m->used++;
	return 0;
}

bool idmap_find(const struct idmap *m, const char *id, size_t id_size, uint32_t *ret_number)
{
	uint64_t low;
	uint32_t high;
	const struct slot *slot = probe(m, id, id_size, &low, &high);

	if (!slot->number_plus_1)
		return false;
	*ret_number = slot->number_plus_1 - 1;
	return true;
}

uint64_t idmap_count(const struct idmap *m)
{
	return m->used;
}
