#ifndef FS_JOB_DRAFT_H
#define FS_JOB_DRAFT_H

/*
 * The user's side of a job: the files put into its directory, who is writing
 * them, and whether they make a job yet.
 *
 * Files lie under their own names in one local directory (and media/ below
 * it), so that a name, a size and a time survive the daemon without any
 * bookkeeping.  Names that mean something have a role; any other name is
 * scratch: plain storage, never submitted.
 *
 * A file is committed when the last of its writers that wrote something
 * closes it, or when it is renamed onto its name; never at flush.  model and
 * config are judged in write(2) and refused there; input.jsonl is checked as
 * it streams in (fs/job/input.h).
 *
 * Threads: any.  One mutex for the list and one a file for its content, taken
 * in that order or alone.  Only draft_check() takes long (pool threads).
 * Errors: 0 or -errno as the file system will say it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#include "fs/base/buf.h"
#include "fs/base/clock.h"
#include "fs/base/err.h"
#include "fs/base/kv.h"
#include "fs/base/macros.h"

#define DRAFT_FILES_MAX 4096 /* in one job; media included */
#define DRAFT_NAME_MAX	255
#define DRAFT_MODEL_MAX 2048

enum draft_dir {
	DRAFT_TOP,
	DRAFT_MEDIA,
};

enum draft_role {
	DRAFT_ROLE_SCRATCH,
	DRAFT_ROLE_INPUT,  /* input.jsonl */
	DRAFT_ROLE_MODEL,  /* model */
	DRAFT_ROLE_CONFIG, /* config */
	DRAFT_ROLE_MEDIA,  /* anything in media/ */
	DRAFT_ROLE_COUNT,
};

/* What may be done to files that have a role. */
enum draft_seal {
	DRAFT_OPEN,   /* all */
	DRAFT_ACTIVE, /* nothing: EBUSY */
	DRAFT_ENDED,  /* nothing: EACCES; unlink hides */
};

/* The questions a draft has for the layer that knows backends. */
struct draft_rules {
	int (*check_model)(void *ctx, const char *model, struct err *e);
	/* -ENOENT: no such key; -EINVAL: not that value. */
	int (*check_config)(void *ctx, const char *key, const char *value, struct err *e);
	/* Something that may change the state: a commit, an opening for
	 * writing, an unlink.  Called with no lock held, from any thread. */
	void (*changed)(void *ctx);
	void *ctx;
	struct clock *clock;
};

struct draft;
struct input;
struct draft_handle;

/* Takes up what is in dir (made if absent), or with DRAFT_ENDED when it is first
 * asked for: what has ended is many, and seldom looked at.  scratch_dir: for the
 * check's unlinked files.  rules is kept, its ctx borrowed until draft_free(). */
MUST_CHECK int draft_open_dir(const char *dir, const char *scratch_dir,
			      const struct draft_rules *rules, enum draft_seal seal,
			      struct draft **ret, struct err *e);
void draft_free(struct draft *d); /* NULL is fine; no handle may be open */

/* --- names and attributes: a file is known by its number within the job --- */

/* -ENOENT. */
MUST_CHECK int draft_lookup(struct draft *d, enum draft_dir dir, const char *name,
			    uint32_t *ret_number);

/* -ENOENT: unlinked.  Mode is 0644 as changed by chmod, without write bits
 * while sealed. */
MUST_CHECK int draft_stat(struct draft *d, uint32_t number, struct stat *ret);
MUST_CHECK int draft_stat_media(struct draft *d, struct stat *ret); /* -ENOENT: no media/ */

/* Wall time a name last came or went; 0 if that cannot be told. */
int64_t draft_names_ns(struct draft *d);

/* The first file in dir whose number is above after (0: from the start);
 * false at the end. */
struct draft_entry {
	uint32_t number;
	enum draft_role role;
	char name[DRAFT_NAME_MAX + 1];
};
bool draft_next(struct draft *d, enum draft_dir dir, uint32_t after, struct draft_entry *ret);

/* Grows with all that was done to files with a role: opened for writing,
 * committed, unlinked, renamed. */
uint64_t draft_edits(struct draft *d);

bool draft_is_empty(struct draft *d); /* no files, no media/ */

MUST_CHECK int draft_make_media(struct draft *d);
MUST_CHECK int draft_remove_media(struct draft *d); /* -ENOTEMPTY, -EBUSY */

/* Ended: a file with a role is hidden until hide_until (monotonic), else
 * deleted.  -EBUSY: active. */
MUST_CHECK int draft_unlink(struct draft *d, enum draft_dir dir, const char *name,
			    int64_t hide_until_ns);

/* Renames within the job; commits what gets a role by it.  flags: of
 * renameat2(2).  -EBUSY, -EACCES: sealed. */
MUST_CHECK int draft_rename(struct draft *d, enum draft_dir from_dir, const char *from,
			    enum draft_dir to_dir, const char *to, unsigned flags);

/* NULL: leave alone.  Times as utimensat(2) takes them. */
MUST_CHECK int draft_set_times(struct draft *d, uint32_t number, const struct timespec times[2]);
MUST_CHECK int draft_set_mode(struct draft *d, uint32_t number, mode_t mode);
/* With no handle: counts as a write and its close. */
MUST_CHECK int draft_truncate(struct draft *d, uint32_t number, uint64_t size);

/* --- handles --- */

/* flags: of open(2).  -EBUSY, -EACCES: sealed; -EEXIST. */
MUST_CHECK int draft_create(struct draft *d, enum draft_dir dir, const char *name, int flags,
			    uint32_t *ret_number, struct draft_handle **ret);
MUST_CHECK int draft_open(struct draft *d, uint32_t number, int flags, struct draft_handle **ret);

int draft_handle_fd(const struct draft_handle *h); /* for pread; borrowed */
bool draft_handle_is_writer(const struct draft_handle *h);

/* All or nothing.  from_cache: a page the kernel writes back, whose offset
 * counts even for an appending handle. */
MUST_CHECK int draft_write(struct draft_handle *h, const char *bytes, size_t size, uint64_t offset,
			   bool from_cache);
MUST_CHECK int draft_handle_truncate(struct draft_handle *h, uint64_t size);

/* What close(2) and fsync(2) may say: -EINVAL once a fault is known.
 * -EINPROGRESS: the file was written out of order and must be read again to
 * know; call draft_flush_slow() on a thread that may take long. */
MUST_CHECK int draft_flush(struct draft_handle *h);
MUST_CHECK int draft_flush_slow(struct draft_handle *h);
MUST_CHECK int draft_sync(struct draft_handle *h); /* the bytes, then as draft_flush() */

void draft_release(struct draft_handle *h); /* commits, if it was the last that wrote */

/* --- the verdict, for the thread that has the job checked out --- */

enum draft_verdict {
	DRAFT_INCOMPLETE, /* something is missing, or being written */
	DRAFT_FAULTY,	  /* *ret_error says what and the cure */
	DRAFT_READY,	  /* once it has settled it may be submitted */
};

struct draft_summary {
	enum draft_verdict verdict;
	int64_t touched_ns; /* monotonic: the last commit, opening or unlink */
	bool input_last;    /* of the two keys, the input came last */
	uint64_t record_count, input_size_bytes;
	uint64_t events; /* for draft_seal() */
	uint64_t edits;	 /* as draft_edits() was */
};

/* Checks what has to be checked; may read the whole input.  error gets the
 * faults, a line each.  -ENOSPC, -EIO: could not check; e says why. */
MUST_CHECK int draft_check(struct draft *d, struct draft_summary *ret, struct buf *error,
			   struct err *e);

/* Seals the files as they were judged: false if anything happened since
 * (a writer came, a file changed), and then nothing is sealed. */
bool draft_seal(struct draft *d, const struct draft_summary *judged);
void draft_set_seal(struct draft *d, enum draft_seal seal);

/* The settings and the model as committed.  -ENOENT. */
MUST_CHECK int draft_model(struct draft *d, char **ret, struct err *e);
MUST_CHECK int draft_config(struct draft *d, struct kv *ret, struct err *e);

/* Paths of the sealed files, the caller's to free; *ret is NULL if absent. */
MUST_CHECK int draft_path(struct draft *d, enum draft_role role, char **ret);

/* The check of the sealed input, if it is at hand; borrowed while sealed.
 * NULL after a restart: scan the file again (fs/job/input.h). */
struct input *draft_sealed_input(struct draft *d);

/* Makes the file at path, on the same file system, input.jsonl, synced.  For a
 * sealed draft that has none. */
MUST_CHECK int draft_take_input(struct draft *d, const char *path, struct err *e);

/* Brings every file with a role, and the directory, to the disk. */
MUST_CHECK int draft_sync_all(struct draft *d, struct err *e);

/* Ends a check under way soon; for removal and shutdown. */
void draft_cancel(struct draft *d);

#endif
