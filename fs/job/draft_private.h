#ifndef FS_JOB_DRAFT_PRIVATE_H
#define FS_JOB_DRAFT_PRIVATE_H

/* Shared by draft.c (names), draftfile.c (content) and draftcheck.c (verdict). */

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>

#include "fs/job/draft.h"
#include "fs/job/input.h"

struct draft_file {
	uint32_t number; /* constant */
	/* Under the draft's mutex: */
	enum draft_dir dir;
	enum draft_role role;
	char *name;	  /* owned */
	unsigned refs;	  /* one of the list, one a handle, one a check */
	unsigned writers; /* handles open for writing */
	bool unlinked;	  /* not in the list any more */
	int64_t hidden_until_ns;
	uint64_t commit_seq; /* order of commits; 0: none of this life */
	/* Under its own mutex: */
	pthread_mutex_t mutex;
	bool dirty;	      /* written since the last commit */
	uint64_t version;     /* of the content */
	struct input *check;  /* owned; DRAFT_ROLE_INPUT only, NULL until needed */
	char *fault;	      /* owned: why the last write was refused; or NULL */
	int torn;	      /* -errno of a write that failed (a full disk); or 0 */
	uint64_t torn_offset; /* where: until it is written again, bytes are missing */
	bool marked;	      /* DRAFT_MARK is set on the local file */
};

/* Of a local file: what it holds is not what its writer meant, as a write was
 * refused or failed, or of a model or config has not been found good yet.  A
 * mode survives the daemon on any file system; nobody is shown it. */
#define DRAFT_MARK S_ISVTX

struct draft_handle {
	struct draft *draft;
	struct draft_file *file; /* a reference */
	int fd;
	bool writer, append;
	bool reader; /* as well: then the file may be mapped */
};

struct draft {
	char *dir, *scratch_dir; /* owned */
	struct draft_rules rules;
	pthread_mutex_t mutex; /* of all below */
	bool loaded;	       /* the list is that of the directory */
	bool has_media;
	struct draft_file **files; /* owned, by number; unlinked ones leave */
	size_t count;
	uint32_t last_number;
	uint64_t last_commit;
	int64_t touched_ns;
	uint64_t events; /* grows with all that could change a verdict */
	uint64_t edits;	 /* of those, what was done to files with a role */
	enum draft_seal seal;
	atomic_bool cancel; /* ends a scan */
};

/* Takes the mutex, with the list of files there. */
void draft_lock(struct draft *d);

/* Directories are not kept open: a mount may have a hundred thousand jobs. */
#define DRAFT_DIR_MAX (PATH_MAX - DRAFT_NAME_MAX - 16)
struct draft_path {
	char text[PATH_MAX];
};
struct draft_path draft_path_to(const struct draft *d, enum draft_dir dir, const char *name);
int draft_sync_dir(const struct draft *d);

/* Helpers that need the draft's mutex end in _locked. */
int draft_fstat_locked(const struct draft *d, const struct draft_file *f, struct stat *ret);
struct draft_file *draft_find_locked(struct draft *d, enum draft_dir dir, const char *name);
struct draft_file *draft_by_number_locked(struct draft *d, uint32_t number);
struct draft_file *draft_by_role_locked(struct draft *d, enum draft_role role);
/* Takes the name's file into the list.  NULL: no memory, or too many. */
struct draft_file *draft_add_locked(struct draft *d, enum draft_dir dir, const char *name);
void draft_file_unref_locked(struct draft_file *f);
void draft_touch_locked(struct draft *d, enum draft_role role); /* something happened now */
void draft_commit_locked(struct draft *d, struct draft_file *f);
int draft_may_change_locked(const struct draft *d,
			    const struct draft_file *f); /* 0, -EBUSY, -EACCES */
enum draft_role draft_role_of(enum draft_dir dir, const char *name);

/* The content of a small file, judged: 0, -EINVAL with words, -EFBIG. whole:
 * also what comes after the last newline is judged. */
int draft_judge(struct draft *d, enum draft_role role, const char *text, size_t size, bool whole,
		struct err *e);

/* The words for a file of which a write failed. */
void draft_describe_torn(const char *name, int torn, struct err *e);
struct err draft_describe_long(const char *name);
/* What the mark of a file on disk says, of a file just taken into the list. */
void draft_take_mark(struct draft_file *f);
/* Sets or takes away the mark of the file at fd. */
void draft_mark_locked(struct draft_file *f, int fd, bool bad);

/* Reads a small file whole.  -EFBIG above KV_TEXT_MAX. */
int draft_read_small(int fd, struct buf *out);

#endif
