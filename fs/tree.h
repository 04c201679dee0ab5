#ifndef FS_TREE_H
#define FS_TREE_H

/*
 * What there is in the mount: the table of kinds of file, what an inode number
 * means, and names within directories.
 *
 * Inode numbers are arithmetic, so there is no table of inodes to keep and a
 * forget has next to nothing to do:
 *
 *	63      42 41  36 35       30 29      0
 *	| job     | kind | generation| index  |
 *
 * job 0 is the mount's own; index is a record's index in the input, or the
 * number of a user's file, exclusive or with the job; generation is that of the results, modulo 64, so
 * that a retry's results are other files to the kernel than those before.  What
 * does not fit is refused or not shown, never given another's number.
 *
 * Threads: any.  Nothing here waits, and nothing touches network or store.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "fs/base/macros.h"
#include "fs/job/jobs.h"

/* Numbers go into inode numbers and job_hide_name(): below 64. */
enum kind {
	KIND_NONE,
	KIND_ROOT,
	KIND_JOB,
	/* The mount's own. */
	KIND_META,
	KIND_META_README,
	KIND_META_SOURCE,
	KIND_META_VERSION,
	KIND_META_JOBS,
	KIND_META_EVENTS,
	KIND_META_METRICS,
	KIND_META_MODELS,
	/* Of a job, in the order they are listed. */
	KIND_STATUS,
	KIND_STATUS_JSON,
	KIND_PROGRESS,
	KIND_ERROR,
	KIND_LOG,
	KIND_COST,
	KIND_CTL,
	KIND_OUTPUT_JSONL,
	KIND_RESULTS_CSV,
	KIND_ERRORS_JSONL,
	KIND_RETRY_JSONL,
	KIND_SAMPLE_JSONL,
	KIND_OUTPUT,
	KIND_TEXT,
	KIND_WAIT,
	KIND_NEXT,
	/* Without a fixed name. */
	KIND_OUTPUT_RECORD,
	KIND_TEXT_RECORD,
	KIND_MEDIA,
	KIND_FILE,
	KIND_COUNT,
};

enum kind_class {
	CLASS_DIRECTORY,
	CLASS_CHANGING,	 /* a snapshot per open */
	CLASS_GROWING,	 /* append-only */
	CLASS_IMMUTABLE, /* of one generation, for ever */
	CLASS_BLOCKING,	 /* wait and next: not listed */
	CLASS_USER,	 /* the user's own bytes */
};

struct kind_info {
	const char *name; /* NULL: not a fixed one */
	enum kind parent; /* KIND_META or KIND_JOB for fixed names */
	enum kind_class class;
	enum view_time time; /* of a changing file of a job */
	bool results;	     /* exists only once there are results */
};

const struct kind_info *kind_info(enum kind k);

/* Is there such a file of a job that has this view? */
bool kind_is_there(enum kind k, const struct view *v);

struct node {
	enum kind kind;
	uint64_t job;
	unsigned generation;
	uint64_t index;
};

#define TREE_JOB_MAX   ((UINT64_C(1) << 22) - 1)
#define TREE_INDEX_MAX ((UINT64_C(1) << 30) - 1)

uint64_t node_to_ino(const struct node *n);
struct node node_from_ino(uint64_t ino); /* KIND_NONE: no such number */

struct tree {
	struct jobs *jobs;	 /* borrowed */
	struct backend *backend; /* borrowed */
	uid_t uid;
	gid_t gid;
	bool others;	    /* allow_other */
	bool read_only;	    /* -o ro */
	int64_t mounted_ns; /* wall */
	const char *source; /* borrowed */
};

#define TREE_FOREVER 86400.0 /* seconds the kernel may keep what never changes */
#define TREE_A_WHILE 1.0     /* the same, of directories a retry makes anew */

/* What a lookup or a listing found. */
struct tree_entry {
	struct node node;
	struct stat st;
	uint64_t generation;		    /* tells two uses of one inode number apart */
	double entry_timeout, attr_timeout; /* seconds */
};

/* -ENOENT, -ENOTDIR; -ESTALE: the name meant another file each time. */
MUST_CHECK int tree_lookup(const struct tree *t, const struct node *dir, const char *name,
			   struct tree_entry *ret);

/* Attributes of a node that was looked up.  -ENOENT: its job is gone; -ESTALE:
 * the name means another file by now, so that the kernel is to look it up again
 * (what is open still has attributes: fs/opened.h). */
MUST_CHECK int tree_stat(const struct tree *t, const struct node *n, struct tree_entry *ret);

/* The same of a node of a job as that view has it. */
MUST_CHECK int tree_stat_in(const struct tree *t, const struct node *n, struct job *j,
			    const struct view *v, struct tree_entry *ret);

/* Makes what fstat(2) said of a user's local file, in ret->st, what is shown.
 * Always 0. */
MUST_CHECK int tree_finish_user(const struct tree *t, const struct node *n, struct tree_entry *ret);

/* The same of a log. */
MUST_CHECK int tree_finish_growing(const struct tree *t, const struct node *n,
				   struct tree_entry *ret);

/* A listing: holds what it lists (a view, a generation) until it is closed, so
 * that cookies stay true while jobs go on. */
struct tree_dir;

MUST_CHECK int tree_dir_open(const struct tree *t, const struct node *dir, struct tree_dir **ret);
void tree_dir_close(struct tree_dir *d);

#define TREE_NAME_MAX 255

struct tree_name {
	char name[TREE_NAME_MAX + 1];
	uint64_t ino;
	mode_t type;	 /* S_IFDIR or S_IFREG */
	uint64_t cookie; /* of the entry after this one */
	struct node node;
};

/* The entry at cookie (0: the first; "." and ".." come first).  False at the end. */
bool tree_dir_next(struct tree_dir *d, uint64_t cookie, struct tree_name *ret);

/* May attributes of its entries be pushed to the kernel (readdirplus)?  Not of
 * directories so large that the kernel's memory would notice. */
bool tree_dir_wants_attributes(const struct tree_dir *d);

/* Are the results in v the generation the node is of? */
bool tree_is_generation(const struct node *n, const struct view *v);

/* Is that name in a job's directory one of ours, listed or not? */
bool tree_is_reserved(const char *name);

/* May every name that is listed under the job be taken as unlinked, so that
 * its directory may go?  (rm -r has been through it, or it is an empty draft.) */
bool tree_job_is_cleared(struct job *j);

/* As above for output/ or text/ of a job. */
bool tree_records_are_cleared(struct job *j, enum job_records dir);

#endif
