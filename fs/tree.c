#include "fs/tree.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cache/results.h"
#include "fs/render.h"

/*
 * Everything here is computed from three things: the table below, a job's
 * view, and a job's draft.
 *
 * How long the kernel may keep an answer: a job's directory and the records of
 * a generation, for ever; output/ and text/, a second; what changes by itself,
 * not at all; absent names, never.
 *
 * Nothing is ever taken back from the kernel's cache of names.  That would have
 * to wait for the lock of a directory, which a lookup holds until this daemon
 * answers it; killed in that moment the daemon would stay, unkillable, and the
 * mount with it (seen).  Instead a retry's output/ and text/ are other inodes,
 * so that in a second the kernel comes to know other records, and to open a
 * record of an earlier generation is ESTALE, for which it looks the whole path
 * up again, past its cache.  The directories themselves mean the newest
 * generation whichever their number: somebody may be in one.
 */

static const struct kind_info kinds[KIND_COUNT] = {
	[KIND_ROOT] = {NULL, KIND_NONE, CLASS_DIRECTORY, 0, false},
	[KIND_JOB] = {NULL, KIND_ROOT, CLASS_DIRECTORY, 0, false},
	[KIND_META] = {".batchfs", KIND_ROOT, CLASS_DIRECTORY, 0, false},
	[KIND_META_README] = {"README", KIND_META, CLASS_CHANGING, 0, false},
	[KIND_META_SOURCE] = {"source", KIND_META, CLASS_CHANGING, 0, false},
	[KIND_META_VERSION] = {"version", KIND_META, CLASS_CHANGING, 0, false},
	[KIND_META_JOBS] = {"jobs", KIND_META, CLASS_CHANGING, 0, false},
	[KIND_META_EVENTS] = {"events", KIND_META, CLASS_GROWING, 0, false},
	[KIND_META_METRICS] = {"metrics", KIND_META, CLASS_CHANGING, 0, false},
	[KIND_META_MODELS] = {"models", KIND_META, CLASS_CHANGING, 0, false},
	[KIND_STATUS] = {"status", KIND_JOB, CLASS_CHANGING, VIEW_TIME_STATUS, false},
	[KIND_STATUS_JSON] = {"status.json", KIND_JOB, CLASS_CHANGING, VIEW_TIME_ANY, false},
	[KIND_PROGRESS] = {"progress", KIND_JOB, CLASS_CHANGING, VIEW_TIME_PROGRESS, false},
	[KIND_ERROR] = {"error", KIND_JOB, CLASS_CHANGING, VIEW_TIME_ERROR, false},
	[KIND_LOG] = {"log", KIND_JOB, CLASS_GROWING, 0, false},
	[KIND_COST] = {"cost", KIND_JOB, CLASS_CHANGING, VIEW_TIME_ANY, false},
	[KIND_CTL] = {"ctl", KIND_JOB, CLASS_CHANGING, VIEW_TIME_COMMANDS, false},
	[KIND_OUTPUT_JSONL] = {"output.jsonl", KIND_JOB, CLASS_IMMUTABLE, 0, true},
	[KIND_RESULTS_CSV] = {"results.csv", KIND_JOB, CLASS_IMMUTABLE, 0, true},
	[KIND_ERRORS_JSONL] = {"errors.jsonl", KIND_JOB, CLASS_IMMUTABLE, 0, true},
	[KIND_RETRY_JSONL] = {"retry.jsonl", KIND_JOB, CLASS_IMMUTABLE, 0, true},
	[KIND_SAMPLE_JSONL] = {"sample.jsonl", KIND_JOB, CLASS_GROWING, 0, false},
	[KIND_OUTPUT] = {"output", KIND_JOB, CLASS_DIRECTORY, 0, true},
	[KIND_TEXT] = {"text", KIND_JOB, CLASS_DIRECTORY, 0, true},
	[KIND_WAIT] = {"wait", KIND_JOB, CLASS_BLOCKING, 0, false},
	[KIND_NEXT] = {"next", KIND_JOB, CLASS_BLOCKING, 0, false},
	[KIND_OUTPUT_RECORD] = {NULL, KIND_OUTPUT, CLASS_IMMUTABLE, 0, true},
	[KIND_TEXT_RECORD] = {NULL, KIND_TEXT, CLASS_IMMUTABLE, 0, true},
	[KIND_MEDIA] = {"media", KIND_JOB, CLASS_DIRECTORY, 0, false},
	[KIND_FILE] = {NULL, KIND_JOB, CLASS_USER, 0, false},
};

const struct kind_info *kind_info(enum kind k)
{
	assert(k < KIND_COUNT);
	return &kinds[k];
}

bool kind_is_there(enum kind k, const struct view *v)
{
	if (k == KIND_SAMPLE_JSONL)
		return v->sample_ns != 0;
	return !kind_info(k)->results || v->results;
}

/* --- inode numbers --- */

#define INDEX_BITS	30
#define GENERATION_BITS 6
#define KIND_BITS	6
#define ROOT_INO	1  /* FUSE_ROOT_ID */
#define LOOKUP_TRIES	16 /* each lost to a rename in that moment */

/* The kernel finds an inode by a hash in which the lower bits of its number
 * count most: numbers of a hundred thousand jobs that differ in the upper ones
 * only would all be in one place. */
static uint64_t mix(uint64_t job, uint64_t index)
{
	return (index ^ job) & ((UINT64_C(1) << INDEX_BITS) - 1);
}

uint64_t node_to_ino(const struct node *n)
{
	if (n->kind == KIND_ROOT)
		return ROOT_INO;
	return n->job << (INDEX_BITS + GENERATION_BITS + KIND_BITS) |
	       (uint64_t)n->kind << (INDEX_BITS + GENERATION_BITS) |
	       (uint64_t)(n->generation % (1u << GENERATION_BITS)) << INDEX_BITS |
	       mix(n->job, n->index);
}

struct node node_from_ino(uint64_t ino)
{
	struct node n = {.kind = KIND_ROOT};

	if (ino == ROOT_INO)
		return n;
	n.generation = (unsigned)(ino >> INDEX_BITS) & ((1u << GENERATION_BITS) - 1);
	n.kind = (enum kind)(ino >> (INDEX_BITS + GENERATION_BITS) & ((1u << KIND_BITS) - 1));
	n.job = ino >> (INDEX_BITS + GENERATION_BITS + KIND_BITS);
	n.index = mix(n.job, ino);
	if (n.kind >= KIND_COUNT)
		n.kind = KIND_NONE;
	return n;
}

/* --- attributes --- */

static struct timespec to_timespec(int64_t ns)
{
	return (struct timespec){.tv_sec = (time_t)(ns / NS_PER_S),
				 .tv_nsec = (long)(ns % NS_PER_S)};
}

static void set_time(struct stat *st, int64_t ns)
{
	st->st_mtim = st->st_ctim = st->st_atim = to_timespec(ns);
}

static void set_file(const struct tree *t, struct stat *st, mode_t mode, uint64_t size, int64_t ns)
{
	*st = (struct stat){.st_mode = S_IFREG | mode,
			    .st_nlink = 1,
			    .st_uid = t->uid,
			    .st_gid = t->gid,
			    .st_size = (off_t)size,
			    .st_blksize = 4096,
			    .st_blocks = (blkcnt_t)((size + 511) / 512)};
	set_time(st, ns);
}

static void set_dir(const struct tree *t, struct stat *st, bool writable, int64_t ns)
{
	mode_t mode = writable ? 0755 : 0555;

	*st = (struct stat){.st_mode = S_IFDIR | (t->others ? mode : mode & 0700),
			    .st_nlink = 2,
			    .st_uid = t->uid,
			    .st_gid = t->gid,
			    .st_blksize = 4096};
	set_time(st, ns);
}

static void set_growing(const struct tree *t, const struct stat *st, struct stat *ret)
{
	set_file(t, ret, 0444, (uint64_t)st->st_size, 0);
	ret->st_mtim = ret->st_ctim = ret->st_atim = st->st_mtim;
}

static int stat_events(const struct tree *t, struct stat *ret)
{
	struct stat st;

	if (fstat(jobs_events_fd(t->jobs), &st) < 0)
		return -errno;
	set_growing(t, &st, ret);
	return 0;
}

static int stat_growing(const struct tree *t, const struct job *j, enum kind k, struct stat *ret)
{
	struct stat st;
	int r = k == KIND_LOG ? job_log_stat(j, &st) : job_sample_stat(j, &st);

	if (r == 0)
		set_growing(t, &st, ret);
	return r;
}

static int stat_meta(const struct tree *t, const struct node *n, struct stat *ret)
{
	struct buf text;
	int64_t ns = t->mounted_ns;
	int r;

	if (n->kind == KIND_META) {
		set_dir(t, ret, false, t->mounted_ns);
		return 0;
	}
	if (n->kind == KIND_META_EVENTS)
		return stat_events(t, ret);
	r = render_meta(t, n->kind, &text, &ns);
	if (r == 0)
		set_file(t, ret, 0444, text.size, ns);
	buf_release(&text);
	return r;
}

static int stat_changing(const struct tree *t, const struct node *n, const struct view *v,
			 struct stat *ret)
{
	CLEANUP(buf_release) struct buf text;
	int r = render_view(v, n->kind, &text);

	if (r == 0)
		set_file(t, ret, n->kind == KIND_CTL && !t->read_only ? 0644 : 0444, text.size,
			 v->times_ns[kinds[n->kind].time]);
	return r;
}

/* The bytes of an immutable file of this generation, which is pinned. */
static int pinned_size(const struct node *n, const struct view *v, uint64_t *ret)
{
	static const enum results_file files[KIND_COUNT] = {
		[KIND_OUTPUT_JSONL] = RESULTS_OUTPUT,
		[KIND_RESULTS_CSV] = RESULTS_CSV,
		[KIND_ERRORS_JSONL] = RESULTS_ERRORS,
		[KIND_RETRY_JSONL] = RESULTS_RETRY,
	};
	size_t size = 0;

	if (n->kind != KIND_OUTPUT_RECORD && n->kind != KIND_TEXT_RECORD) {
		results_bytes(v->results, files[n->kind], ret);
		return 0;
	}
	if (n->index >= results_count(v->results))
		return -ENOENT;
	if (n->kind == KIND_OUTPUT_RECORD)
		results_line(v->results, n->index, &size);
	else
		results_text(v->results, n->index, &size);
	*ret = size;
	return 0;
}

static int immutable_size(const struct node *n, struct job *j, const struct view *v, uint64_t *ret)
{
	int r = job_pin_results(j, v);

	if (r < 0)
		return r;
	r = pinned_size(n, v, ret);
	results_unpin(v->results);
	return r;
}

/* Since when the generation shown has been there. */
static int64_t results_ns(const struct view *v)
{
	return v->ended_ns ? v->ended_ns : v->names_ns;
}

bool tree_is_generation(const struct node *n, const struct view *v)
{
	return v->results && n->generation == v->generation % (1u << GENERATION_BITS);
}

/* Names come and go with the user's files and with results. */
static int64_t names_ns(struct job *j, const struct view *v)
{
	int64_t files_ns = draft_names_ns(job_draft(j));

	return files_ns > v->names_ns ? files_ns : v->names_ns;
}

static int stat_job_file(const struct tree *t, const struct node *n, struct job *j,
			 const struct view *v, struct stat *ret)
{
	uint64_t size = 0;
	int r;

	if (!kind_is_there(n->kind, v))
		return -ENOENT;
	switch (kinds[n->kind].class) {
	case CLASS_DIRECTORY:
		if (n->kind == KIND_MEDIA) {
			struct stat st;

			r = draft_stat_media(job_draft(j), &st);
			set_dir(t, ret, !t->read_only, 0);
			if (r == 0)
				ret->st_mtim = ret->st_ctim = ret->st_atim = st.st_mtim;
			return r;
		}
		set_dir(t, ret, n->kind == KIND_JOB && !t->read_only,
			n->kind == KIND_JOB ? names_ns(j, v) : results_ns(v));
		return 0;
	case CLASS_CHANGING:
		return stat_changing(t, n, v, ret);
	case CLASS_GROWING:
		return stat_growing(t, j, n->kind, ret);
	case CLASS_IMMUTABLE:
		r = tree_is_generation(n, v) ? immutable_size(n, j, v, &size) : -ESTALE;
		if (r == 0)
			set_file(t, ret, 0444, size, results_ns(v));
		return r;
	case CLASS_BLOCKING:
		set_file(t, ret, 0444, 0, v->times_ns[VIEW_TIME_STATUS]);
		return 0;
	case CLASS_USER:
		r = draft_stat(job_draft(j), (uint32_t)n->index, ret);
		return r == -ENOENT ? -ESTALE : r;
	}
	return -ENOENT;
}

static void set_timeouts(const struct node *n, const struct view *v, struct tree_entry *e)
{
	e->entry_timeout = e->attr_timeout = 0;
	if (n->kind == KIND_META || n->kind == KIND_JOB)
		e->entry_timeout = TREE_FOREVER;
	else if (kinds[n->kind].parent == KIND_META)
		e->entry_timeout = TREE_FOREVER;
	else if (n->kind == KIND_OUTPUT_RECORD || n->kind == KIND_TEXT_RECORD)
		e->entry_timeout = e->attr_timeout = TREE_FOREVER;
	else if (kinds[n->kind].class == CLASS_IMMUTABLE)
		e->attr_timeout = TREE_FOREVER;
	else if (kinds[n->kind].results && v && job_state_is_end(v->state))
		e->entry_timeout = e->attr_timeout = TREE_A_WHILE;
}

static void finish(const struct node *n, const struct view *v, struct tree_entry *e)
{
	e->node = *n;
	e->st.st_ino = node_to_ino(n);
	e->generation = v && kinds[n->kind].results ? v->generation : 0;
	set_timeouts(n, v, e);
}

int tree_finish_user(const struct tree *t, const struct node *n, struct tree_entry *ret)
{
	ret->st.st_uid = t->uid;
	ret->st.st_gid = t->gid;
	if (t->read_only)
		ret->st.st_mode &= ~(mode_t)0222;
	finish(n, NULL, ret);
	return 0;
}

int tree_finish_growing(const struct tree *t, const struct node *n, struct tree_entry *ret)
{
	const struct stat st = ret->st;

	set_growing(t, &st, &ret->st);
	finish(n, NULL, ret);
	return 0;
}

int tree_stat_in(const struct tree *t, const struct node *n, struct job *j, const struct view *v,
		 struct tree_entry *ret)
{
	int r = stat_job_file(t, n, j, v, &ret->st);

	if (r < 0)
		return r;
	if (kinds[n->kind].class == CLASS_USER)
		return tree_finish_user(t, n, ret);
	finish(n, v, ret);
	return 0;
}

int tree_stat(const struct tree *t, const struct node *n, struct tree_entry *ret)
{
	CLEANUP(job_unrefp) struct job *j = NULL;
	CLEANUP(view_unrefp) struct view *v = NULL;
	int r;

	if (n->kind == KIND_NONE)
		return -ENOENT;
	if (n->kind == KIND_ROOT) {
		set_dir(t, &ret->st, !t->read_only, jobs_names_ns(t->jobs));
		r = 0;
	} else if (n->kind == KIND_META || kinds[n->kind].parent == KIND_META) {
		r = stat_meta(t, n, &ret->st);
	} else {
		j = jobs_get(t->jobs, n->job);
		if (!j)
			return -ENOENT;
		v = job_view(j);
		return tree_stat_in(t, n, j, v, ret);
	}
	if (r == 0)
		finish(n, NULL, ret);
	return r;
}

/* --- names --- */

/* The kind of a fixed name, KIND_NONE if it is none. */
static enum kind fixed_kind(enum kind parent, const char *name)
{
	for (int k = 0; k < KIND_COUNT; k++)
		if (kinds[k].name && kinds[k].parent == parent && k != KIND_MEDIA &&
		    strcmp(kinds[k].name, name) == 0)
			return (enum kind)k;
	return KIND_NONE;
}

bool tree_is_reserved(const char *name)
{
	return fixed_kind(KIND_JOB, name) != KIND_NONE;
}

static int lookup_in_job(struct job *j, const char *name, struct node *n)
{
	CLEANUP(view_unrefp) struct view *v = NULL;
	struct stat st;
	uint32_t number;
	int r;

	n->kind = fixed_kind(KIND_JOB, name);
	if (n->kind == KIND_NONE && strcmp(name, kinds[KIND_MEDIA].name) == 0) {
		n->kind = KIND_MEDIA;
		return job_is_name_hidden(j, KIND_MEDIA) ? -ENOENT
							 : draft_stat_media(job_draft(j), &st);
	}
	if (n->kind == KIND_NONE) {
		n->kind = KIND_FILE;
		r = draft_lookup(job_draft(j), DRAFT_TOP, name, &number);
		n->index = r == 0 ? number : 0;
		return r;
	}
	if (job_is_name_hidden(j, n->kind))
		return -ENOENT;
	v = job_view(j);
	if (kinds[n->kind].results)
		n->generation = v->generation % (1u << GENERATION_BITS);
	return kind_is_there(n->kind, v) ? 0 : -ENOENT;
}

/* "ID.json" in output/, "ID.txt" in text/, of results that are pinned. */
static int find_record(struct job *j, const struct view *v, const struct node *dir,
		       const char *name, struct node *n)
{
	bool text = dir->kind == KIND_TEXT;
	const char *suffix = text ? ".txt" : ".json";
	size_t size = strlen(name), suffix_size = strlen(suffix);
	enum results_outcome outcome;
	uint64_t index;

	if (size <= suffix_size || strcmp(name + size - suffix_size, suffix) != 0 ||
	    !results_find(v->results, name, size - suffix_size, &index) || index > TREE_INDEX_MAX)
		return -ENOENT;
	outcome = results_outcome(v->results, index);
	if (outcome == RESULTS_MISSING || (text && outcome != RESULTS_GOOD))
		return -ENOENT;
	if (job_is_record_hidden(j, text ? JOB_RECORDS_TEXT : JOB_RECORDS_OUTPUT, index))
		return -ENOENT;
	n->kind = text ? KIND_TEXT_RECORD : KIND_OUTPUT_RECORD;
	n->index = index;
	n->generation = v->generation % (1u << GENERATION_BITS);
	return 0;
}

static int lookup_record(struct job *j, const struct node *dir, const char *name, struct node *n)
{
	CLEANUP(view_unrefp) struct view *v = job_view(j);
	int r;

	if (!v->results)
		return -ENOENT;
	r = job_pin_results(j, v);
	if (r < 0)
		return r;
	r = find_record(j, v, dir, name, n);
	results_unpin(v->results);
	return r;
}

static int lookup_in_root(const struct tree *t, const char *name, struct tree_entry *ret)
{
	CLEANUP(job_unrefp) struct job *j = NULL;
	struct node n = {.kind = KIND_META};

	if (strcmp(name, kinds[KIND_META].name) == 0)
		return tree_stat(t, &n, ret);
	j = jobs_find(t->jobs, name);
	if (!j || job_number(j) > TREE_JOB_MAX)
		return -ENOENT;
	n.kind = KIND_JOB;
	n.job = job_number(j);
	return tree_stat(t, &n, ret);
}

static int lookup(const struct tree *t, const struct node *dir, const char *name,
		  struct tree_entry *ret)
{
	CLEANUP(job_unrefp) struct job *j = NULL;
	struct node n = {.job = dir->job};
	uint32_t number;
	int r = 0;

	if (dir->kind == KIND_ROOT)
		return lookup_in_root(t, name, ret);
	if (dir->kind == KIND_META) {
		n.kind = fixed_kind(KIND_META, name);
		return n.kind == KIND_NONE ? -ENOENT : tree_stat(t, &n, ret);
	}
	j = jobs_get(t->jobs, dir->job);
	if (!j)
		return -ENOENT;
	if (dir->kind == KIND_JOB) {
		r = lookup_in_job(j, name, &n);
	} else if (dir->kind == KIND_OUTPUT || dir->kind == KIND_TEXT) {
		r = lookup_record(j, dir, name, &n);
	} else if (dir->kind == KIND_MEDIA) {
		r = draft_lookup(job_draft(j), DRAFT_MEDIA, name, &number);
		n.kind = KIND_FILE;
		n.index = r == 0 ? number : 0;
	} else {
		r = -ENOTDIR;
	}
	return r < 0 ? r : tree_stat(t, &n, ret);
}

int tree_lookup(const struct tree *t, const struct node *dir, const char *name,
		struct tree_entry *ret)
{
	int r = -ESTALE;

	/* A name that is given to another file in between is looked up again: a
	 * name that is always there must not be told to be absent. */
	for (int i = 0; i < LOOKUP_TRIES && r == -ESTALE; i++)
		r = lookup(t, dir, name, ret);
	return r;
}

/* --- what rm -r leaves --- */

static uint64_t visible_records(struct job *j, const struct view *v, enum job_records dir)
{
	struct counts c;

	if (!v->results)
		return 0;
	if (job_pin_results(j, v) < 0)
		return UINT64_MAX; /* it cannot be told: some */
	c = results_counts(v->results);
	results_unpin(v->results);
	return dir == JOB_RECORDS_TEXT ? c.good : c.good + c.failed;
}

bool tree_records_are_cleared(struct job *j, enum job_records dir)
{
	CLEANUP(view_unrefp) struct view *v = job_view(j);

	return job_hidden_records(j, dir) >= visible_records(j, v, dir);
}

/* Does a listing show anything of the user's? */
static bool has_files(struct job *j)
{
	struct draft *d = job_draft(j);
	struct draft_entry e;
	struct stat st;

	if (draft_next(d, DRAFT_TOP, 0, &e))
		return true;
	return !job_is_name_hidden(j, KIND_MEDIA) && draft_stat_media(d, &st) == 0;
}

bool tree_job_is_cleared(struct job *j)
{
	CLEANUP(view_unrefp) struct view *v = job_view(j);

	if (has_files(j))
		return false;
	if (!job_state_is_end(v->state))
		return true;
	for (int k = KIND_STATUS; k < KIND_WAIT; k++)
		if (kind_is_there((enum kind)k, v) && !job_is_name_hidden(j, (unsigned)k))
			return false;
	return true;
}
