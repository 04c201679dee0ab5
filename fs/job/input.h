#ifndef FS_JOB_INPUT_H
#define FS_JOB_INPUT_H

/*
 * The check of one input.jsonl, kept up to date while it is written.
 *
 * Bytes that arrive in order are scanned as they come.  Anything else (a
 * write behind or beyond the front, a cut inside what was scanned) makes the
 * check stale; input_rescan() reads the file again from the start.  What is
 * known: records, where each line begins (a file-backed index, 8 bytes a
 * record), which ids there are (fs/base/idmap.h), and the first
 * INPUT_FAULTS_MAX faults.
 *
 * Threads: none of its own; the owner serialises calls (fs/job/job.h does).
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/buf.h"
#include "fs/base/err.h"
#include "fs/base/macros.h"

#define INPUT_FAULTS_MAX 100

struct input;

/* dir: where unlinked scratch files are made.  The caller owns *ret. */
MUST_CHECK int input_new(const char *dir, struct input **ret, struct err *e);
void input_free(struct input *in); /* NULL is fine */

/* The file is empty (again). */
void input_reset(struct input *in);

/* size bytes were written at offset.  Scans them if they are next. */
void input_written(struct input *in, uint64_t offset, const char *bytes, size_t size);

/* The file was cut or grown to size. */
void input_truncated(struct input *in, uint64_t size);

/* Is what is known about the bytes in the file now, all of them (file_size)? */
bool input_is_current(const struct input *in, uint64_t file_size);

/* Reads the whole file again with pread; may take long: on a pool thread.
 * *cancel, if it becomes true, ends it with -ECANCELED (stale as before). */
MUST_CHECK int input_rescan(struct input *in, int fd, const atomic_bool *cancel, struct err *e);

/* Is a fault known already (a last line cut short does not count: in mid-file
 * it is legal)?  What close(2) may say. */
bool input_has_fault(const struct input *in);

/* The verdict at commit: every fault, the cut last line and "no record at
 * all" included.  True if the input is valid. */
bool input_is_valid(const struct input *in);

/* Appends the faults as lines for JOB/error, "input.jsonl:3:17: what; cure",
 * and at the end how many more there are.  Nothing if valid. */
void input_describe_faults(const struct input *in, struct buf *out);

/* How many faults there are, as at commit; 0 while the check is stale. */
uint64_t input_fault_count(const struct input *in);

uint64_t input_record_count(const struct input *in);
uint64_t input_size_bytes(const struct input *in);

/* May the file be uploaded byte for byte: every record has an id and every
 * line ends in a plain newline? */
bool input_is_canonical(const struct input *in);

/* Where record index (from 0) begins, and its size without line end.
 * -ENOENT: there are not so many.  -EINVAL: the input is not valid or the
 * check is stale; the places of lines are not known then. */
MUST_CHECK int input_locate(const struct input *in, uint64_t index, uint64_t *ret_offset,
			    uint64_t *ret_size);

/* Did the user give that record an id?  Errors as input_locate(). */
MUST_CHECK int input_has_id(const struct input *in, uint64_t index, bool *ret);

/* The record index of an id, the ids given to records without one included. */
bool input_find(const struct input *in, const char *id, size_t id_size, uint64_t *ret_index);

/* The id of a record that has none: "r" and the number from 1, at least 7
 * digits.  out: 24 bytes.  Returns its size. */
size_t input_generated_id(uint64_t index, char *out);

#endif
