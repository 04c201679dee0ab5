#include "backend/aws/modelnames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend/aws/models.h"

#define ROWS_MAX  4096
#define ROWS_STEP 64

void modelnames_release(struct modelnames *m)
{
	for (size_t i = 0; i < m->count; i++) {
		free(m->rows[i].id);
		free(m->rows[i].name);
	}
	free(m->rows);
	*m = (struct modelnames)MODELNAMES_INIT;
}

int modelnames_add(struct modelnames *m, const char *id, const char *name)
{
	struct modelnames_row row;

	if (m->count == ROWS_MAX || !*id || !*name)
		return 0;
	if (m->count % ROWS_STEP == 0) {
		struct modelnames_row *rows =
			realloc(m->rows, (m->count + ROWS_STEP) * sizeof(*rows));

		if (!rows)
			return -ENOMEM;
		m->rows = rows;
	}
	row = (struct modelnames_row){.id = strdup(id), .name = strdup(name)};
	if (!row.id || !row.name) {
		free(row.id);
		free(row.name);
		return -ENOMEM;
	}
	m->rows[m->count++] = row;
	return 0;
}

/* The ids of custom models and of variants go on behind that of the model:
 * "amazon.nova-lite-v1:0:24k", "amazon.nova-lite-v1:0.ab12cd34ef56". */
static bool begins(const char *base, size_t base_size, const char *id)
{
	size_t size = strlen(id);

	return base_size >= size && memcmp(base, id, size) == 0 &&
	       (base_size == size || base[size] == ':' || base[size] == '.');
}

const char *modelnames_find(const struct modelnames *m, const char *model)
{
	const struct modelnames_row *best = NULL;
	struct models_id id;

	models_split(model, &id);
	for (size_t i = 0; i < m->count; i++) {
		const struct modelnames_row *r = &m->rows[i];

		if (strcmp(r->id, model) == 0)
			return r->name;
		if (id.base_size > 0 && begins(id.base, id.base_size, r->id) &&
		    (!best || strlen(r->id) > strlen(best->id)))
			best = r;
	}
	return best ? best->name : NULL;
}
