/*
 * A job that was made elsewhere and has not been fetched: it is watched and
 * stopped like any other, but never submitted; what it has at the provider
 * comes here when somebody wants it, and from then on it is as one of ours.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/log.h"
#include "fs/job/doubles.h"
#include "fs/job/input.h"
#include "fs/job/jobs_private.h"

bool elsewhere_is_away(const struct job *j)
{
	return j->row.elsewhere && j->row.generation == 0;
}

enum job_state elsewhere_end(const struct part_status *status)
{
	const struct counts *c = &status->counts;

	if (status->state != JOB_COMPLETED || c->failed == 0)
		return status->state;
	return c->good > 0 ? JOB_COMPLETED_WITH_ERRORS : JOB_FAILED;
}

/* --- JOB/model --- */

static bool is_there(const char *path, size_t size)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && (size_t)st.st_size == size;
}

/* Made again at a start that does not find it whole: so it needs no sync. */
int elsewhere_write_model(const struct store_job *row, const char *files, struct err *e)
{
	CLEANUP(str_freep) char *path = NULL;
	CLEANUP(fd_closep) int fd = -1;
	size_t size = row->model ? strlen(row->model) : 0;

	if (size == 0)
		return 0;
	if (asprintf(&path, "%s/model", files) < 0)
		return -ENOMEM;
	if (is_there(path, size + 1))
		return 0;
	if (mkdir(files, 0700) < 0 && errno != EEXIST)
		return err_errno(e, -errno, "cannot make %s", files);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0 || dprintf(fd, "%s\n", row->model) < 0)
		return err_errno(e, errno ? -errno : -EIO, "cannot write %s", path);
	return 0;
}

/* --- its end --- */

void elsewhere_take(struct job *j)
{
	if (j->part_count > 0)
		j->row.record_count = j->parts[0].counts.total;
}

void elsewhere_show(struct job *j)
{
	job_publish(j, (enum job_state)j->row.end_state, j->row.error ? j->row.error : "");
}

static int set_words(struct job *j, const char *words)
{
	char *copy = words && words[0] ? strdup(words) : NULL;

	if (words && words[0] && !copy)
		return -ENOMEM;
	free(j->row.error);
	j->row.error = copy;
	return 0;
}

int elsewhere_over(struct job *j, struct err *e)
{
	const struct store_part *p = &j->parts[0];
	const struct part_status status = {.state = (enum job_state)p->state, .counts = p->counts};
	enum job_state end = elsewhere_end(&status);
	int r = job_drop_wishes(j, (struct store_wishes){.stop = true}, e);

	if (r == 0)
		r = set_words(j, end == JOB_COMPLETED ? NULL : p->message);
	if (r < 0)
		return r;
	j->row.end_state = (int)end;
	j->row.counts = p->counts;
	j->row.tokens = p->tokens;
	j->row.ended_ns = p->ended_ns;
	r = job_move(j, EV_AWAY, e);
	if (r < 0) {
		j->row.ended_ns = 0;
		return r;
	}
	draft_set_seal(j->draft, DRAFT_ENDED);
	job_log(j, "ended at the provider; `echo fetch > ctl` brings its input and results here");
	return 0;
}

/* --- fetching --- */

static bool is_wanted(struct job *j)
{
	bool asked;

	pthread_mutex_lock(&j->mutex);
	asked = j->fetch_asked || j->wishes.fetch;
	pthread_mutex_unlock(&j->mutex);
	return asked || (j->jobs->o.fetch_auto && !j->fetch_failed && !purge_is_done(j));
}

static int start_fetch(struct job *j, struct err *e)
{
	int r = job_move(j, EV_FETCH, e);

	if (r < 0)
		return r;
	pthread_mutex_lock(&j->mutex);
	j->fetch_asked = false;
	pthread_mutex_unlock(&j->mutex);
	draft_set_seal(j->draft, DRAFT_ACTIVE);
	job_log(j, "fetching its input and results");
	job_publish(j, JOB_FETCHING, "");
	return 1;
}

int elsewhere_step(struct job *j, struct err *e)
{
	if (is_wanted(j))
		return start_fetch(j, e);
	if (job_wishes(j).purge) {
		int r = purge_run(j, e);

		if (r < 0)
			return r;
	}
	elsewhere_show(j);
	return 0;
}

static int check_input(struct job *j, struct input *in, const char *path, struct err *e)
{
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_errno(e, -EIO, "the source left no %s", path);
	return input_rescan(in, fd, &j->jobs->stopping, e);
}

/* What can be done about faults: ids that several records have are taken away. */
static int mend_input(struct job *j, struct input *in, const char *path, struct err *e)
{
	uint64_t count;
	int r = doubles_unname(j->jobs->scratch_dir, path, &j->jobs->stopping, &count, e);

	if (r < 0 || count == 0)
		return r;
	r = check_input(j, in, path, e);
	if (r == 0 && input_is_valid(in))
		job_log(j,
			"%llu records of the input share their recordId with others; they are taken "
			"as records without one, and results are told apart by modelInput",
			(unsigned long long)count);
	return r;
}

/* Is it an input that results can be joined to? */
static int judge_input(struct job *j, const char *path, struct err *e)
{
	CLEANUP(buf_release) struct buf words = BUF_INIT(ERR_TEXT_MAX);
	struct input *in = NULL;
	int r = input_new(j->jobs->scratch_dir, &in, e);

	if (r == 0)
		r = check_input(j, in, path, e);
	if (r == 0 && !input_is_valid(in))
		r = mend_input(j, in, path, e);
	if (r == 0 && !input_is_valid(in)) {
		input_describe_faults(in, &words);
		r = err_set(e, -EINVAL,
			    "the input of this job is not one that results can be joined to: %s",
			    words.data ? words.data : "");
	}
	input_free(in);
	return r;
}

/* It has its name only when it is whole: what is there was judged. */
static int bring_input(struct job *j, struct err *e)
{
	struct backend *b = j->jobs->o.backend;
	CLEANUP(str_freep) char *path = NULL;
	CLEANUP(str_freep) char *tmp = NULL;
	struct stat st;
	int r = draft_path(j->draft, DRAFT_ROLE_INPUT, &path);

	if (r < 0)
		return r;
	if (!path) {
		if (!b->ops->fetch_input || j->part_count == 0 || !j->parts[0].remote)
			return err_set(e, -ENOENT, "this source does not give inputs back");
		if (purge_is_done(j))
			return err_set(e, -ENOENT, "it was purged");
		if (asprintf(&tmp, "%s/input.fetched", j->dir) < 0)
			return -ENOMEM;
		unlink(tmp);
		r = b->ops->fetch_input(b, j->parts[0].remote, tmp, e);
		if (r == 0)
			r = judge_input(j, tmp, e);
		if (r == 0)
			r = draft_take_input(j->draft, tmp, e);
		unlink(tmp);
		if (r == 0)
			r = draft_path(j->draft, DRAFT_ROLE_INPUT, &path);
	}
	if (r == 0 && path && stat(path, &st) == 0)
		j->row.input_size_bytes = (uint64_t)st.st_size;
	return r;
}

/* Trying again does not help, or not soon: its end is shown, and why. */
static bool is_final(int r)
{
	return r == -ENOENT || r == -EACCES || r == -EINVAL || r == -ENOTSUP;
}

static int give_back(struct job *j, int r, struct err *e)
{
	CLEANUP(str_freep) char *words = NULL;
	const char *said;

	if (!e->text[0])
		err_errno(e, r, "cannot be had");
	/* What the provider said of its end is not less true for it. */
	said = j->row.end_state != JOB_COMPLETED && j->part_count > 0 ? j->parts[0].message : NULL;
	if (asprintf(&words, "%s%snot fetched: %s", said ? said : "", said && *said ? "\n" : "",
		     e->text) < 0) {
		words = NULL;
		return -ENOMEM;
	}
	r = job_drop_wishes(j, (struct store_wishes){.fetch = true}, e);
	if (r == 0)
		r = set_words(j, words);
	if (r == 0)
		r = job_move(j, EV_AWAY, e);
	if (r < 0)
		return r;
	j->fetch_failed = true;
	draft_set_seal(j->draft, DRAFT_ENDED);
	job_log(j, "not fetched: %s", e->text);
	elsewhere_show(j);
	return 0;
}

int elsewhere_collect(struct job *j, struct err *e)
{
	int r;

	job_show(j, JOB_FETCHING);
	r = bring_input(j, e);
	if (r == 0)
		r = finish_collect(j, e);
	return r < 0 && is_final(r) ? give_back(j, r, e) : r;
}
