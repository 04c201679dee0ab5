#ifndef FS_BASE_IDMAP_H
#define FS_BASE_IDMAP_H

/*
 * From a record's id to its number, for millions of records in a file.
 *
 * A hash table of 16-byte slots in a mapped, unlinked file: the pages belong
 * to the file, so anonymous memory does not grow with the number of records.
 * Ids are not kept: a slot holds 96 bits of a SipHash of the id under a key
 * drawn at random for this table, so that nobody can choose ids that collide
 * and an accident is out of the question (2^-42 at ten million records).
 *
 * Not thread-safe.  Slot count doubles as it fills (at most 3/4 full).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/err.h"
#include "fs/base/macros.h"

#define IDMAP_RECORDS_MAX 0xfffffff0u

struct idmap;

/* The file is made in dir and has no name.  -errno of the file system,
 * -ENOMEM.  The caller owns *ret until idmap_free(). */
MUST_CHECK int idmap_new(const char *dir, struct idmap **ret, struct err *e);
void idmap_free(struct idmap *m); /* NULL is fine */

void idmap_clear(struct idmap *m);

/* Adds id -> number if the id is new.  0: added; -EEXIST: *ret_number is the
 * number it already has; -ENOSPC and other -errno: could not grow. */
MUST_CHECK int idmap_add(struct idmap *m, const char *id, size_t id_size, uint32_t number,
			 uint32_t *ret_number);

/* False if the id was never added. */
bool idmap_find(const struct idmap *m, const char *id, size_t id_size, uint32_t *ret_number);

uint64_t idmap_count(const struct idmap *m);

#endif
