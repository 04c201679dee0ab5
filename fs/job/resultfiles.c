#include "fs/job/resultfiles.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cache/dirs.h"
#include "fs/base/log.h"

void resultfiles_release(struct resultfiles *f)
{
	for (size_t i = 0; i < f->count; i++)
		free(f->paths[i]);
	free(f->paths);
	*f = (struct resultfiles){.paths = NULL};
}

void resultfiles_freep(struct resultfiles **f)
{
	if (*f)
		resultfiles_release(*f);
	free(STEAL(f));
}

/* Takes *path over. */
static int add(struct resultfiles *f, char **path, struct err *e)
{
	if (f->count == f->capacity) {
		size_t capacity = f->capacity ? f->capacity * 2 : 16;
		char **paths = reallocarray(f->paths, capacity, sizeof(*paths));

		if (!paths)
			return err_set(e, -ENOMEM, "no memory for %zu result files", capacity);
		f->paths = paths;
		f->capacity = capacity;
	}
	f->paths[f->count++] = STEAL(path);
	return 0;
}

/* --- paths --- */

static int cache_path(const struct job *j, const char *leaf, char **ret)
{
	return asprintf(ret, "%s/jobs/%llu/%s", j->jobs->cache_dir, (unsigned long long)j->number,
			leaf) < 0
		       ? -ENOMEM
		       : 0;
}

int resultfiles_job_dir(const struct job *j, char **ret)
{
	return cache_path(j, "", ret);
}

int resultfiles_generation(const struct job *j, uint32_t generation, char **ret)
{
	char leaf[24];

	snprintf(leaf, sizeof(leaf), "g%u", generation);
	return cache_path(j, leaf, ret);
}

int resultfiles_earlier(const struct job *j, char **ret)
{
	char leaf[40];

	snprintf(leaf, sizeof(leaf), "g%u/output.jsonl", j->row.generation);
	return cache_path(j, leaf, ret);
}

int resultfiles_reused(const struct job *j, uint32_t attempt, char **ret)
{
	return asprintf(ret, "%s/parts/a%u.reused.jsonl", j->dir, attempt) < 0 ? -ENOMEM : 0;
}

int resultfiles_ondemand(const struct job *j, const struct store_part *p, char **ret)
{
	return asprintf(ret, "%s/parts/a%up%u.out.jsonl", j->dir, p->attempt, p->seq) < 0 ? -ENOMEM
											  : 0;
}

/* --- what a provider has --- */

/* Where a part's files come to lie. */
static int part_path(const struct job *j, const struct store_part *p, char **ret)
{
	char leaf[48];

	snprintf(leaf, sizeof(leaf), "fetched-a%up%u", p->attempt, p->seq);
	return cache_path(j, leaf, ret);
}

static int drop_part(const struct job *j, const struct store_part *p, struct err *e)
{
	CLEANUP(str_freep) char *dir = NULL;
	int r = part_path(j, p, &dir);

	return r < 0 ? r : dirs_remove(dir, e);
}

static int fetch_part(struct job *j, struct store_part *p, struct resultfiles *to, struct err *e)
{
	CLEANUP(backend_files_release) struct backend_files files = {.count = 0};
	CLEANUP(str_freep) char *dir = NULL;
	char label[PARTS_LABEL_MAX];
	struct backend *b = j->jobs->o.backend;
	int r = part_path(j, p, &dir);

	if (r == 0)
		r = drop_part(j, p, e); /* of an earlier try: the provider has them still */
	if (r == 0)
		r = b->ops->fetch(b, p->remote, dir, &files, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < files.count && r == 0; i++)
		r = add(to, &files.paths[i], e);
	if (r < 0)
		return r;
	if (files.told)
		job_log(j, "%scounts of attempt %u as told: %s", parts_label(j, p, label),
			p->attempt, files.told);
	/* Answers may lack a count that the provider has. */
	if (files.has_tokens)
		p->tokens = files.tokens;
	return 0;
}

/* What waiting alone does not mend: gone, denied, no room here. */
static bool is_lasting(int r)
{
	return r == -ENOENT || r == -EACCES || r == -ENOSPC || r == -EDQUOT;
}

/* Is a stop one that was asked for knowing of this failure?  That of a job that
 * ran is not, and must not cost its results. */
static int heed_stop(struct job *j, int failure, bool *ret_give_up, struct err *e)
{
	bool told = j->trouble_count > 0;

	*ret_give_up = job_wishes(j).stop && (told || failure == -ENOENT);
	if (!job_wishes(j).stop || *ret_give_up)
		return 0;
	j->stop_heard = true;
	return job_drop_wishes(j, (struct store_wishes){.stop = true}, e);
}

/* Whether it is waited for what cannot be had is for the user to say: it may be
 * paid for, and a wrong account or policy can be mended. */
static int fetch_or_give_up(struct job *j, struct store_part *p, struct resultfiles *to,
			    struct err *e)
{
	struct err why = ERR_INIT;
	char label[PARTS_LABEL_MAX];
	int failure = fetch_part(j, p, to, &why), r;
	bool give_up = false;

	if (failure >= 0)
		return 0;
	if (!is_lasting(failure) || elsewhere_is_away(j))
		return err_set(e, failure, "%s%.900s", parts_label(j, p, label), why.text);
	r = heed_stop(j, failure, &give_up, e);
	if (r < 0)
		return r;
	if (!give_up)
		return err_set(
			e, failure,
			"%s%.700s; %s and it goes on by itself; `echo stop > ctl` gives these "
			"results up: what was paid for them is lost, and a retry pays again",
			parts_label(j, p, label), why.text,
			failure == -ENOSPC || failure == -EDQUOT ? "make room" : "mend that");
	job_log(j, "%sresults of attempt %u are given up: %s", parts_label(j, p, label), p->attempt,
		why.text);
	return drop_part(j, p, e);
}

/* --- the whole --- */

/* A file of ours, which there may not be: nothing was known, nothing answered. */
static int add_own(char **path, struct resultfiles *to, struct err *e)
{
	return access(*path, F_OK) == 0 ? add(to, path, e) : 0;
}

/* Of the results that are there already: what earlier attempts brought is in
 * them, and need not be fetched a second time, nor be there any more. */
static int add_generation(struct job *j, struct resultfiles *to, struct err *e)
{
	CLEANUP(str_freep) char *path = NULL;
	int r = resultfiles_earlier(j, &path);

	return r < 0 ? r : add(to, &path, e);
}

static int add_reused(struct job *j, uint32_t attempt, struct resultfiles *to, struct err *e)
{
	CLEANUP(str_freep) char *path = NULL;
	int r = resultfiles_reused(j, attempt, &path);

	return r < 0 ? r : add_own(&path, to, e);
}

static int add_part(struct job *j, struct store_part *p, struct resultfiles *to, struct err *e)
{
	CLEANUP(str_freep) char *path = NULL;
	int r;

	if (p->how == RUN_ONDEMAND) {
		r = resultfiles_ondemand(j, p, &path);
		return r < 0 ? r : add_own(&path, to, e);
	}
	return p->remote && p->phase != PART_PURGED ? fetch_or_give_up(j, p, to, e) : 0;
}

/* One after the other, each once: parts_done says how far it is. */
static int add_attempt(struct job *j, uint32_t attempt, struct resultfiles *f, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < j->part_count && r == 0; i++) {
		if (j->parts[i].attempt != attempt || i < f->parts_done)
			continue;
		if (atomic_load(&j->jobs->stopping))
			return err_set(e, -ECANCELED, "the mount is ending");
		r = add_part(j, &j->parts[i], f, e);
		if (r == 0)
			f->parts_done = i + 1;
	}
	return r;
}

static int begin(struct job *j, uint32_t last, bool fresh, struct resultfiles *f, struct err *e)
{
	int r = 0;

	resultfiles_release(f);
	*f = (struct resultfiles){.last = last, .fresh = fresh};
	if (fresh && j->row.generation > 0)
		r = add_generation(j, f, e);
	/* Ours are at hand, and in order of attempts as well. */
	for (uint32_t a = fresh ? last : 1; a <= last && r == 0; a++)
		r = add_reused(j, a, f, e);
	f->begun = r == 0;
	return r;
}

static bool is_begun(const struct job *j, uint32_t attempt, const struct resultfiles *f)
{
	return f->parts_done > 0 && j->parts[f->parts_done - 1].attempt == attempt;
}

int resultfiles_fetch(struct job *j, uint32_t last, bool fresh, struct resultfiles *f,
		      struct err *e)
{
	int r = 0;

	if (!f->begun || f->last != last || f->fresh != fresh)
		r = begin(j, last, fresh, f, e);
	/* In order of attempts: of two failures the later one is the news. */
	for (uint32_t a = fresh ? last : 1; a <= last && r == 0; a++) {
		if (a == last && !is_begun(j, a, f))
			f->earlier_count = f->count;
		r = add_attempt(j, a, f, e);
	}
	return r;
}

void resultfiles_drop(const struct job *j, const struct resultfiles *f)
{
	CLEANUP(str_freep) char *prefix = NULL;

	if (cache_path(j, "fetched-", &prefix) < 0)
		return;
	for (size_t i = 0; i < f->count; i++)
		if (strncmp(f->paths[i], prefix, strlen(prefix)) == 0 && unlink(f->paths[i]) < 0 &&
		    errno != ENOENT)
			log_warning("resultfiles", "cannot delete %s", f->paths[i]);
}
