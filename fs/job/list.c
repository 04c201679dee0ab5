#include "fs/job/list.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "fs/base/fdio.h"
#include "fs/base/newfile.h"
#include "fs/job/collect.h"
#include "fs/job/dedupe.h"
#include "fs/job/resultfiles.h"
#include "fs/job/retrylist.h"
#include "fs/job/small.h"
#include "fs/job/stage.h"

/*
 * Each step takes the list as it is and puts a file of its own in its place:
 *
 *	the input, or what has no good result	-> .base
 *	without what need not be run		-> .unique
 *	filled up to the minimum		-> .padded
 *
 * The last file made becomes the list, by a rename.
 */

#define PAD_LINE_MAX (64u * 1024 * 1024)

static const char *const steps[] = {"base", "unique", "padded", NULL};
static const char *const list[] = {"list", NULL};
static const char *const kept[] = {"list", "reused.jsonl", NULL};

uint64_t list_count(const struct list *l)
{
	return l->in ? input_record_count(l->in) : 0;
}

void list_release(struct list *l)
{
	input_free(l->own);
	fd_closep(&l->fd);
	str_freep(&l->path);
	*l = (struct list)LIST_INIT;
}

/* "STATE/jobs/7/parts/a2.list" */
static int path_of(const struct job *j, const char *ending, char **ret)
{
	return asprintf(ret, "%s/parts/a%u.%s", j->dir, j->row.attempt, ending) < 0 ? -ENOMEM : 0;
}

static int scan(struct job *j, struct list *l, struct err *e)
{
	int r = input_new(j->jobs->scratch_dir, &l->own, e);

	if (r == 0)
		r = input_rescan(l->own, l->fd, &j->jobs->stopping, e);
	l->in = l->own;
	return r;
}

/* The file at path, which it takes over, becomes the list. */
static int take_file(struct job *j, struct list *l, char **path, struct err *e)
{
	CLEANUP(list_release) struct list next = LIST_INIT;
	int r;

	next.fd = open(*path, O_RDONLY | O_CLOEXEC);
	if (next.fd < 0)
		return err_errno(e, -errno, "cannot open %s", *path);
	next.path = STEAL(path);
	next.padding = l->padding;
	next.reused = l->reused;
	next.is_made = true;
	r = scan(j, &next, e);
	if (r < 0)
		return r;
	list_release(l);
	*l = next;
	next = (struct list)LIST_INIT;
	return 0;
}

static int take_user_input(struct job *j, struct list *l, struct err *e)
{
	int r = draft_path(j->draft, DRAFT_ROLE_INPUT, &l->path);

	if (r < 0 || !l->path)
		return err_set(e, r < 0 ? r : -ENOENT, "input.jsonl is gone from %s", j->dir);
	l->fd = open(l->path, O_RDONLY | O_CLOEXEC);
	if (l->fd < 0)
		return err_errno(e, -errno, "cannot open %s", l->path);
	l->in = draft_sealed_input(j->draft);
	return l->in ? 0 : scan(j, l, e);
}

/* A new file at path; its bytes are synced. */
static int write_file(const char *path, const char *bytes, uint64_t size, struct err *e)
{
	CLEANUP(fd_closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int r;

	if (fd < 0)
		return err_errno(e, -errno, "cannot make %s", path);
	r = fdio_write(fd, bytes, size);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	return r < 0 ? err_errno(e, r, "cannot write %s", path) : 0;
}

/* What the results before this attempt call retry.jsonl, or those lines of it that
 * may go better by themselves. */
static int write_remaining(struct job *j, const char *path, struct err *e)
{
	CLEANUP(results_unpinp) struct results *pinned = NULL;
	uint64_t size = 0, count = 0;
	const char *bytes;
	int r;

	if (!j->results)
		return err_set(e, -EAGAIN, "the results before this retry are being read");
	r = results_pin(j->results, e);
	if (r == -ENOENT || r == -EUCLEAN) { /* made again, and then tried again */
		results_unref(STEAL(&j->results));
		return -EAGAIN;
	}
	if (r < 0)
		return r;
	pinned = j->results;
	if (j->row.retryable_only)
		return retrylist_write(pinned, again_with_missing(j, j->row.attempt - 1), path,
				       &count, e);
	bytes = results_bytes(pinned, RESULTS_RETRY, &size);
	return write_file(path, bytes, size, e);
}

static int take_base(struct job *j, struct list *l, struct err *e)
{
	CLEANUP(str_freep) char *path = NULL;
	int r;

	if (j->row.attempt == 1)
		return take_user_input(j, l, e);
	r = path_of(j, "base", &path);
	if (r == 0)
		r = write_remaining(j, path, e);
	if (r == 0 && access(path, F_OK) < 0)
		return 0; /* none may */
	return r < 0 ? r : take_file(j, l, &path, e);
}

/* --- dedupe --- */

/* Of the settings of a job, those that say how it is run, and not what it answers. */
static bool is_about_running(const char *key, const char *value)
{
	static const char *const keys[] = {"role", "timeout", "tags", "kms_key"};
	struct settings ignored = settings_default;

	for (size_t i = 0; i < COUNT_OF(keys); i++)
		if (strcmp(key, keys[i]) == 0)
			return true;
	return settings_set(&ignored, key, value, NULL) != -ENOENT;
}

/* Has b all of a that is about answers? */
static bool holds(const struct kv *b, const struct kv *a)
{
	for (size_t i = 0; i < a->count; i++) {
		const char *other = kv_get(b, a->pairs[i].key);

		if (!is_about_running(a->pairs[i].key, a->pairs[i].value) &&
		    (!other || strcmp(other, a->pairs[i].value) != 0))
			return false;
	}
	return true;
}

/* Results of the same request to the same model are as good as each other, but
 * not those of another kind of call, or another template. */
static bool is_same_calls(struct job *j, struct job *other)
{
	CLEANUP(kv_release) struct kv mine = KV_INIT;
	CLEANUP(kv_release) struct kv theirs = KV_INIT;

	/* How one made elsewhere was run is not known. */
	return !other->elsewhere && draft_config(j->draft, &mine, NULL) == 0 &&
	       draft_config(other->draft, &theirs, NULL) == 0 && holds(&mine, &theirs) &&
	       holds(&theirs, &mine);
}

/* What that job has for records of the list.  A job that cannot be read is passed
 * over: what it had is run again. */
static int reuse_job(struct job *j, struct job *other, struct dedupe *d, struct err *e)
{
	CLEANUP(view_unrefp) struct view *v = job_view(other);
	CLEANUP(results_unpinp) struct results *pinned = NULL;
	CLEANUP(str_freep) char *input = NULL;
	uint64_t count = 0;
	int r;

	if (!v->results || !job_state_is_end(v->state) || strcmp(v->model, j->row.model) != 0 ||
	    !is_same_calls(j, other) || draft_path(other->draft, DRAFT_ROLE_INPUT, &input) < 0 ||
	    !input || results_pin(v->results, NULL) < 0)
		return 0;
	pinned = v->results;
	r = dedupe_reuse(d, &(struct dedupe_earlier){.input_path = input, .results = pinned},
			 &count, e);
	if (count > 0)
		job_log(j, "dedupe: results of %llu records are those of job %s",
			(unsigned long long)count, v->name);
	return r == -ESTALE || r == -ENOENT || r == -EUCLEAN ? 0 : r;
}

static int reuse_all(struct job *j, struct dedupe *d, struct err *e)
{
	struct jobs *en = j->jobs;
	struct job *other;
	int r = 0;

	for (uint64_t after = 0; r == 0 && (other = registry_after(&en->registry, after));
	     job_unref(other)) {
		after = other->number;
		if (other != j)
			r = reuse_job(j, other, d, e);
	}
	return r;
}

static void log_unique(struct job *j, const struct dedupe_summary *s)
{
	job_log(j, "dedupe: of %llu records %llu are sent, %llu are copies, %llu are known",
		(unsigned long long)s->total, (unsigned long long)s->kept,
		(unsigned long long)s->copies, (unsigned long long)s->known);
}

/* Sends known records again only where there is no cheaper way to the minimum. */
static uint64_t refill_to(const struct job *j, const struct settings *set)
{
	struct backend *b = j->jobs->o.backend;
	struct backend_limits limits;

	if (j->row.how != RUN_BATCH || set->small != SMALL_REFUSE)
		return 0;
	b->ops->limits(b, j->row.model, &limits);
	return limits.records_min;
}

static int write_unique(struct job *j, const struct list *l, const struct settings *set,
			const char *path, struct dedupe_summary *ret, struct err *e)
{
	CLEANUP(str_freep) char *reused = NULL;
	CLEANUP(dedupe_freep) struct dedupe *d = NULL;
	struct dedupe_request q = {.list = l->in,
				   .fd = l->fd,
				   .scratch_dir = j->jobs->scratch_dir,
				   .cancel = &j->jobs->stopping};
	int r = resultfiles_reused(j, j->row.attempt, &reused);

	if (r < 0)
		return r;
	q.reused_path = reused;
	r = dedupe_new(&q, &d, e);
	if (r == 0)
		r = reuse_all(j, d, e);
	return r == 0 ? dedupe_write(d, refill_to(j, set), path, ret, e) : r;
}

static int leave_out(struct job *j, struct list *l, const struct settings *set, struct err *e)
{
	CLEANUP(str_freep) char *path = NULL;
	struct dedupe_summary s = {0};
	int r = path_of(j, "unique", &path);

	if (r == 0)
		r = write_unique(j, l, set, path, &s, e);
	if (r < 0)
		return r;
	log_unique(j, &s);
	l->reused = s.reused;
	if (s.kept == s.total)
		return 0;
	if (s.kept > 0)
		return take_file(j, l, &path, e);
	list_release(l);
	l->reused = s.reused;
	return 0;
}

/* --- padding --- */

/* The shortest record: what its copies cost is the least. */
static int find_shortest(const struct list *l, struct buf *ret, struct err *e)
{
	uint64_t best_offset = 0, best_size = UINT64_MAX, count = input_record_count(l->in);
	int r = 0;

	for (uint64_t i = 0; i < count && r == 0; i++) {
		uint64_t offset, size;

		r = input_locate(l->in, i, &offset, &size);
		if (r == 0 && size < best_size) {
			best_offset = offset;
			best_size = size;
		}
	}
	if (r == 0 && best_size > PAD_LINE_MAX)
		return err_set(
			e, -EINVAL,
			"the shortest record has %llu bytes, which is too much to fill a job "
			"up with; add records, or write \"small = ondemand\" to config",
			(unsigned long long)best_size);
	if (r == 0 && !buf_reserve(ret, (size_t)best_size))
		r = buf_error(ret);
	if (r == 0)
		r = fdio_pread(l->fd, ret->data, (size_t)best_size, best_offset);
	if (r < 0)
		return err_errno(e, r, "cannot read %s", l->path);
	ret->size = (size_t)best_size;
	return 0;
}

/* One record at a time, as each may have a picture in it. */
static int write_padding(struct job *j, const struct buf *model_line, uint64_t count, int fd,
			 struct err *e)
{
	CLEANUP(partdesc_release) struct partdesc d = PARTDESC_INIT;
	CLEANUP(buf_release) struct buf line = BUF_INIT(2 * PAD_LINE_MAX);
	const struct store_part none = {.attempt = j->row.attempt};
	struct backend *b = j->jobs->o.backend;
	uint64_t chance;
	char id[64];
	int r = parts_describe(j, &none, &d, e);

	if (r == 0 && getrandom(&chance, sizeof(chance), 0) != (ssize_t)sizeof(chance))
		r = err_errno(e, -EIO, "no random bytes for the padding");
	for (uint64_t i = 1; i <= count && r == 0; i++) {
		snprintf(id, sizeof(id), COLLECT_PADDING "-%016llx-%06llu",
			 (unsigned long long)chance, (unsigned long long)i);
		buf_clear(&line);
		r = b->ops->pad_record(b, &d.part, model_line->data, model_line->size, id, &line,
				       e);
		buf_add_char(&line, '\n');
		if (r < 0)
			return r;
		r = buf_error(&line);
		if (r == 0)
			r = fdio_write(fd, line.data, line.size);
		if (r < 0)
			return err_errno(e, r, "cannot write the padding");
	}
	return r;
}

static int append_padding(struct job *j, const struct buf *model_line, uint64_t count,
			  const char *path, struct err *e)
{
	CLEANUP(fd_closep) int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	int r;

	if (fd < 0)
		return err_errno(e, -errno, "cannot write %s", path);
	r = write_padding(j, model_line, count, fd, e);
	if (r == 0 && fsync(fd) < 0)
		r = err_errno(e, -errno, "cannot write %s", path);
	return r;
}

/* Fills the list up to min records. */
static int pad(struct job *j, struct list *l, uint64_t min, struct err *e)
{
	CLEANUP(buf_release) struct buf line = BUF_INIT(PAD_LINE_MAX + 1);
	CLEANUP(str_freep) char *path = NULL;
	uint64_t count = input_record_count(l->in);
	int r = path_of(j, "padded", &path);

	if (r == 0)
		r = find_shortest(l, &line, e);
	if (r == 0)
		r = stage_copy(l->in, l->fd, path, e);
	if (r == 0)
		r = append_padding(j, &line, min - count, path, e);
	if (r < 0)
		return r;
	l->padding = min - count;
	job_log(j,
		"padding: %llu records were added to reach the minimum of %llu; their results "
		"are dropped",
		(unsigned long long)l->padding, (unsigned long long)min);
	return take_file(j, l, &path, e);
}

/* --- the whole --- */

static int fill_up(struct job *j, struct list *l, const struct settings *set, struct err *e)
{
	struct backend *b = j->jobs->o.backend;
	uint64_t count = list_count(l);
	enum run_how how = (enum run_how)j->row.how;
	struct backend_limits limits;
	int r;

	if (count == 0)
		return 0;
	r = small_how(b, j->row.model, set->small, count, &how, e);
	if (r < 0)
		return r;
	j->row.how = (int)how;
	if (how == RUN_ONDEMAND)
		job_log(j, "on demand: %llu records are run one by one, at the on-demand price",
			(unsigned long long)count);
	b->ops->limits(b, j->row.model, &limits);
	return how == RUN_PADDED ? pad(j, l, limits.records_min, e) : 0;
}

/* What was made gets its name, durably. */
static int publish(struct job *j, struct list *l, struct err *e)
{
	CLEANUP(str_freep) char *path = NULL;
	int r = path_of(j, "list", &path);

	if (r < 0)
		return r;
	r = newfile_publish(l->path, path);
	if (r < 0)
		return err_errno(e, r, "cannot rename %s", l->path);
	str_freep(&l->path);
	l->path = STEAL(&path);
	return 0;
}

static void drop_files(const struct job *j, const char *const *endings)
{
	for (size_t i = 0; endings[i]; i++) {
		CLEANUP(str_freep) char *path = NULL;

		if (path_of(j, endings[i], &path) == 0)
			unlink(path);
	}
}

int list_make(struct job *j, struct list *ret, struct err *e)
{
	CLEANUP(list_release) struct list l = LIST_INIT;
	struct settings set;
	int r = job_settings(j, &set, e);

	drop_files(j, kept); /* by a try before */
	drop_files(j, steps);
	if (r == 0)
		r = take_base(j, &l, e);
	if (r == 0 && set.dedupe && list_count(&l) > 0)
		r = leave_out(j, &l, &set, e);
	if (r == 0)
		r = fill_up(j, &l, &set, e);
	if (r == 0 && l.is_made)
		r = publish(j, &l, e);
	drop_files(j, steps);
	if (r < 0)
		return r;
	*ret = l;
	l = (struct list)LIST_INIT;
	return 0;
}

int list_open(struct job *j, struct list *ret, struct err *e)
{
	CLEANUP(list_release) struct list l = LIST_INIT;
	CLEANUP(str_freep) char *path = NULL;
	int r = path_of(j, "list", &path);

	if (r < 0)
		return r;
	if (access(path, F_OK) == 0)
		r = take_file(j, &l, &path, e);
	else
		r = j->row.attempt == 1 ? take_user_input(j, &l, e)
					: list_make(j, &l, e); /* of an older version */
	if (r < 0)
		return r;
	*ret = l;
	l = (struct list)LIST_INIT;
	return 0;
}

void list_drop(const struct job *j)
{
	drop_files(j, steps);
	drop_files(j, list);
}

void list_undo(const struct job *j)
{
	drop_files(j, steps);
	drop_files(j, kept);
}
