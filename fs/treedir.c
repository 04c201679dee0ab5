/*
 * Listings.
 *
 * A cookie says where to go on and means the same however often it is used:
 *
 *	root    0 "."  1 ".."  2 ".batchfs"  then 3 + the number of the last job
 *	job     0 "."  1 ".."  then 2 + kind for the fixed names, in their order,
 *	        then FILES + the number of the last user's file
 *	output  0 "."  1 ".."  then 2 + the index of the record
 *
 * Jobs and files have numbers that only grow, and records do not change within
 * a generation, which the listing holds: nothing that stays is listed twice or
 * left out.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cache/results.h"
#include "fs/tree.h"

#define PLUS_LIMIT 200000 /* entries; each costs the kernel about 1.2 KB */
#define FILES	   1000	  /* cookies of a job's user files begin here */

struct tree_dir {
	const struct tree *tree; /* borrowed */
	struct node node;
	struct job *job;   /* a reference, or NULL */
	struct view *view; /* a reference, or NULL */
	bool pinned;	   /* its results */
};

static int pin(struct tree_dir *d)
{
	int r = 0;

	if (d->view && d->view->results &&
	    (d->node.kind == KIND_OUTPUT || d->node.kind == KIND_TEXT)) {
		r = job_pin_results(d->job, d->view);
		d->pinned = r == 0;
	}
	return r;
}

int tree_dir_open(const struct tree *t, const struct node *dir, struct tree_dir **ret)
{
	struct tree_dir *d;
	int r;

	if (dir->kind == KIND_NONE || kind_info(dir->kind)->class != CLASS_DIRECTORY)
		return -ENOTDIR;
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->tree = t;
	d->node = *dir;
	if (dir->job) {
		d->job = jobs_get(t->jobs, dir->job);
		if (!d->job) {
			free(d);
			return -ENOENT;
		}
		d->view = job_view(d->job);
	}
	r = pin(d);
	if (r < 0) {
		tree_dir_close(d);
		return r;
	}
	*ret = d;
	return 0;
}

void tree_dir_close(struct tree_dir *d)
{
	if (d->pinned)
		results_unpin(d->view->results);
	view_unref(d->view);
	job_unref(d->job);
	free(d);
}

static void set_entry(const struct tree_dir *d, struct tree_name *ret, enum kind kind,
		      const char *name, uint64_t index, uint64_t cookie)
{
	const struct node n = {.kind = kind,
			       .job = d->node.job,
			       .generation = kind_info(kind)->results ? d->view->generation : 0,
			       .index = index};

	snprintf(ret->name, sizeof(ret->name), "%s", name);
	ret->node = n;
	ret->ino = node_to_ino(&n);
	ret->type = kind_info(kind)->class == CLASS_DIRECTORY ? S_IFDIR : S_IFREG;
	ret->cookie = cookie;
}

static bool next_in_root(struct tree_dir *d, uint64_t cookie, struct tree_name *ret)
{
	char name[JOB_NAME_MAX + 1];
	struct job *j;

	if (cookie == 2) {
		set_entry(d, ret, KIND_META, ".batchfs", 0, 3);
		return true;
	}
	j = jobs_next(d->tree->jobs, cookie - 3);
	if (!j)
		return false;
	if (job_number(j) > TREE_JOB_MAX) {
		job_unref(j);
		return false;
	}
	job_name(j, name);
	set_entry(d, ret, KIND_JOB, name, 0, 3 + job_number(j));
	ret->node.job = job_number(j);
	ret->ino = node_to_ino(&ret->node);
	job_unref(j);
	return true;
}

static bool next_fixed(struct tree_dir *d, uint64_t cookie, enum kind parent, struct tree_name *ret)
{
	for (uint64_t k = cookie - 2; k < KIND_WAIT; k++) {
		const struct kind_info *info = kind_info((enum kind)k);

		if (!info->name || info->parent != parent)
			continue;
		if (d->view && !kind_is_there((enum kind)k, d->view))
			continue;
		if (d->job && job_is_name_hidden(d->job, (unsigned)k))
			continue;
		set_entry(d, ret, (enum kind)k, info->name, 0, k + 3);
		return true;
	}
	return false;
}

static bool next_file(struct tree_dir *d, enum draft_dir dir, uint64_t cookie, uint64_t base,
		      struct tree_name *ret)
{
	struct draft_entry e;

	if (!draft_next(job_draft(d->job), dir, (uint32_t)(cookie - base), &e))
		return false;
	set_entry(d, ret, KIND_FILE, e.name, e.number, base + e.number);
	return true;
}

static bool next_in_job(struct tree_dir *d, uint64_t cookie, struct tree_name *ret)
{
	struct stat st;

	if (cookie < FILES - 1 && next_fixed(d, cookie, KIND_JOB, ret))
		return true;
	if (cookie < FILES && !job_is_name_hidden(d->job, KIND_MEDIA) &&
	    draft_stat_media(job_draft(d->job), &st) == 0) {
		set_entry(d, ret, KIND_MEDIA, "media", 0, FILES);
		return true;
	}
	return next_file(d, DRAFT_TOP, cookie < FILES ? FILES : cookie, FILES, ret);
}

static bool next_record(struct tree_dir *d, uint64_t cookie, struct tree_name *ret)
{
	bool text = d->node.kind == KIND_TEXT;
	const struct results *res = d->view->results;
	uint64_t count = res ? results_count(res) : 0;

	if (count > TREE_INDEX_MAX + 1)
		count = TREE_INDEX_MAX + 1;
	for (uint64_t i = cookie - 2; i < count; i++) {
		enum results_outcome o = results_outcome(res, i);
		const char *name;
		size_t size;

		if (o == RESULTS_MISSING || (text && o != RESULTS_GOOD) ||
		    job_is_record_hidden(d->job, text ? JOB_RECORDS_TEXT : JOB_RECORDS_OUTPUT, i))
			continue;
		name = results_name(res, i, &size);
		set_entry(d, ret, text ? KIND_TEXT_RECORD : KIND_OUTPUT_RECORD, "", i, i + 3);
		snprintf(ret->name, sizeof(ret->name), "%.*s%s", (int)size, name,
			 text ? ".txt" : ".json");
		return true;
	}
	return false;
}

bool tree_dir_next(struct tree_dir *d, uint64_t cookie, struct tree_name *ret)
{
	if (cookie < 2) {
		set_entry(d, ret, d->node.kind, cookie == 0 ? "." : "..", 0, cookie + 1);
		ret->node.kind = KIND_NONE; /* no attributes of these two */
		return true;
	}
	switch ((int)d->node.kind) {
	case KIND_ROOT:
		return next_in_root(d, cookie, ret);
	case KIND_META:
		return next_fixed(d, cookie, KIND_META, ret);
	case KIND_JOB:
		return next_in_job(d, cookie, ret);
	case KIND_MEDIA:
		return next_file(d, DRAFT_MEDIA, cookie, 2, ret);
	case KIND_OUTPUT:
	case KIND_TEXT:
		return next_record(d, cookie, ret);
	default:
		return false;
	}
}

bool tree_dir_wants_attributes(const struct tree_dir *d)
{
	if (d->node.kind != KIND_OUTPUT && d->node.kind != KIND_TEXT)
		return true;
	return !d->view->results || results_count(d->view->results) <= PLUS_LIMIT;
}
