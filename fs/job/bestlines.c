#include "fs/job/bestlines.h"

#include <assert.h>
#include <sys/mman.h>

#include "fs/base/scratch.h"

#define GOOD (1u << 31)

/* All zero: there is no line. */
struct slot {
	uint64_t offset;
	uint32_t size;
	uint32_t file_plus_1; /* and GOOD */
};

int bestlines_open(const char *dir, uint64_t count, struct bestlines *ret, struct err *e)
{
	int r;

	*ret = (struct bestlines)BESTLINES_INIT;
	if (count == 0)
		return 0;
	r = scratch_map(dir, count * sizeof(struct slot), &ret->slots_, e);
	if (r == 0)
		ret->count_ = count;
	return r;
}

void bestlines_close(struct bestlines *b)
{
	if (b->slots_)
		munmap(b->slots_, b->count_ * sizeof(struct slot));
	*b = (struct bestlines)BESTLINES_INIT;
}

void bestlines_offer(struct bestlines *b, uint64_t index, const struct bestline *line)
{
	struct slot *slots = b->slots_;

	assert(index < b->count_);
	assert(line->file < BESTLINES_FILES_MAX);
	if (slots[index].file_plus_1 & GOOD)
		return;
	slots[index] = (struct slot){line->offset, line->size,
				     (line->file + 1) | (line->is_good ? GOOD : 0)};
}

struct bestline bestlines_get(const struct bestlines *b, uint64_t index)
{
	const struct slot *slots = b->slots_;
	struct slot s;

	assert(index < b->count_);
	s = slots[index];
	if (!s.file_plus_1)
		return (struct bestline){0};
	return (struct bestline){.is_there = true,
				 .is_good = s.file_plus_1 & GOOD,
				 .file = (s.file_plus_1 & ~GOOD) - 1,
				 .size = s.size,
				 .offset = s.offset};
}
