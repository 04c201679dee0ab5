#include "fs/job/seen.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define CAPACITY_FIRST 1024 /* a power of two, as all that follow */

void seen_release(struct seen *s)
{
	free(s->slots);
	*s = (struct seen){.count = 0};
}

/* The slot of that hash, or the empty one where it belongs. */
static size_t find(uint64_t (*slots)[2], size_t capacity, const uint64_t hash[2])
{
	size_t at = hash[0] & (capacity - 1);

	while ((slots[at][0] || slots[at][1]) &&
	       (slots[at][0] != hash[0] || slots[at][1] != hash[1]))
		at = (at + 1) & (capacity - 1);
	return at;
}

bool seen_has(const struct seen *s, const char *name)
{
	uint64_t hash[2];
	size_t at;

	if (s->count == 0)
		return false;
	siphash128(s->key, name, strlen(name), hash);
	at = find(s->slots, s->capacity, hash);
	return s->slots[at][0] || s->slots[at][1];
}

/* At most half full. */
static bool make_room(struct seen *s)
{
	size_t capacity = s->capacity ? s->capacity * 2 : CAPACITY_FIRST;
	uint64_t(*slots)[2];

	if (s->count < s->capacity / 2)
		return true;
	if (s->capacity == 0 && getrandom(s->key, sizeof(s->key), 0) != (ssize_t)sizeof(s->key))
		return false;
	slots = calloc(capacity, sizeof(*slots));
	if (!slots)
		return false;
	for (size_t i = 0; i < s->capacity; i++)
		if (s->slots[i][0] || s->slots[i][1])
			memcpy(slots[find(slots, capacity, s->slots[i])], s->slots[i],
			       sizeof(*slots));
	free(s->slots);
	s->slots = slots;
	s->capacity = capacity;
	return true;
}

void seen_add(struct seen *s, const char *name)
{
	uint64_t hash[2];
	size_t at;

	if (!make_room(s))
		return;
	siphash128(s->key, name, strlen(name), hash);
	at = find(s->slots, s->capacity, hash);
	if (s->slots[at][0] || s->slots[at][1])
		return;
	memcpy(s->slots[at], hash, sizeof(hash));
	s->count++;
}
