#include "backend/aws/jobrows.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "fs/base/siphash.h"

/*
 * Open addressing over pointers, linear probing.  Rows go only in bulk, when
 * the table is built anew, so that nothing has to be moved up after one.
 */

#define SLOTS_FIRST 64

struct jobrows {
	struct jobrow **slots; /* owned, as the rows are */
	size_t slot_count;     /* a power of two, or 0 */
	size_t count;
	unsigned char key[SIPHASH_KEY_SIZE]; /* ARNs are told by others */
};

static void row_free(struct jobrow *row)
{
	if (!row)
		return;
	free(row->arn);
	free(row->input_uri);
	free(row->output_uri);
	free(row);
}

int jobrows_new(struct jobrows **ret)
{
	struct jobrows *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	if (getrandom(t->key, sizeof(t->key), 0) != (ssize_t)sizeof(t->key)) {
		free(t);
		return -EIO;
	}
	*ret = t;
	return 0;
}

void jobrows_free(struct jobrows *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->slot_count; i++)
		row_free(t->slots[i]);
	free(t->slots);
	free(t);
}

static size_t slot_of(const struct jobrows *t, const char *arn)
{
	uint64_t hash[2];

	siphash128(t->key, arn, strlen(arn), hash);
	return (size_t)hash[0] & (t->slot_count - 1);
}

struct jobrow *jobrows_find(struct jobrows *t, const char *arn)
{
	if (t->slot_count == 0)
		return NULL;
	for (size_t i = slot_of(t, arn); t->slots[i]; i = (i + 1) & (t->slot_count - 1))
		if (strcmp(t->slots[i]->arn, arn) == 0)
			return t->slots[i];
	return NULL;
}

static void place(struct jobrows *t, struct jobrow *row)
{
	size_t i = slot_of(t, row->arn);

	while (t->slots[i])
		i = (i + 1) & (t->slot_count - 1);
	t->slots[i] = row;
	t->count++;
}

static int grow(struct jobrows *t, size_t slot_count)
{
	struct jobrow **old = t->slots, **slots = calloc(slot_count, sizeof(*slots));
	size_t old_count = t->slot_count;

	if (!slots)
		return -ENOMEM;
	t->slots = slots;
	t->slot_count = slot_count;
	t->count = 0;
	for (size_t i = 0; i < old_count; i++)
		if (old[i])
			place(t, old[i]);
	free(old);
	return 0;
}

void jobrows_each(struct jobrows *t, bool (*each)(void *ctx, struct jobrow *row), void *ctx)
{
	struct jobrow **old = t->slots, **slots = calloc(t->slot_count + 1, sizeof(*slots));

	if (!slots) { /* nothing can be dropped now */
		for (size_t i = 0; i < t->slot_count; i++)
			if (old[i])
				each(ctx, old[i]);
		return;
	}
	t->slots = slots;
	t->count = 0;
	for (size_t i = 0; i < t->slot_count; i++) {
		if (!old[i])
			continue;
		if (each(ctx, old[i]))
			place(t, old[i]);
		else
			row_free(old[i]);
	}
	free(old);
}

static bool is_wanted(void *ctx, struct jobrow *row)
{
	(void)ctx;
	return row->live || row->asked;
}

struct jobrow *jobrows_add(struct jobrows *t, const char *arn)
{
	struct jobrow *row = jobrows_find(t, arn);

	if (row)
		return row;
	if (t->count == JOBROWS_MAX)
		jobrows_each(t, is_wanted, NULL);
	if (t->count == JOBROWS_MAX)
		return NULL;
	if (4 * (t->count + 1) > 3 * t->slot_count &&
	    grow(t, t->slot_count ? 2 * t->slot_count : SLOTS_FIRST) < 0)
		return NULL;
	row = calloc(1, sizeof(*row));
	if (!row)
		return NULL;
	row->arn = strdup(arn);
	if (!row->arn) {
		free(row);
		return NULL;
	}
	row->live = true;
	place(t, row);
	return row;
}

/* No memory: what was known stays. */
static void set_text(char **to, const char *from)
{
	char *copy;

	if (!from || (*to && strcmp(*to, from) == 0))
		return;
	copy = strdup(from);
	if (!copy)
		return;
	free(*to);
	*to = copy;
}

void jobrows_update(struct jobrow *row, const struct control_job *j, uint32_t round)
{
	set_text(&row->input_uri, j->input_uri);
	set_text(&row->output_uri, j->output_uri);
	if (j->submitted_ns)
		row->submitted_ns = j->submitted_ns;
	row->live = !job_state_is_end(j->status.state);
	row->round = round;
	row->unknown_count = 0;
}

size_t jobrows_count(const struct jobrows *t)
{
	return t->count;
}
