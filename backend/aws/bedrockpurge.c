/*
 * Deletes what S3 holds of a part: the folder that was made for it, and the
 * folder OUT/JOBID/ of its results.
 *
 * Only folders whose names nobody else can have are deleted: one holds the
 * part's token, the other the id the service gave.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "backend/aws/bedrock_private.h"
#include "fs/base/log.h"

#define ROUND_KEYS 200 /* a job may have a hundred thousand objects, and more */

struct round {
	char *keys[ROUND_KEYS]; /* owned */
	size_t count;
};

static void round_release(struct round *r)
{
	for (size_t i = 0; i < r->count; i++)
		free(r->keys[i]);
	r->count = 0;
}

static int take_key(void *ctx, const struct s3_object *o)
{
	struct round *r = ctx;

	r->keys[r->count] = strdup(o->key);
	if (!r->keys[r->count])
		return -ENOMEM;
	return ++r->count == ROUND_KEYS;
}

/* The first ones, as many as fit. */
static int delete_some(struct s3 *s, const char *folder, struct round *r, struct err *e)
{
	struct err why = ERR_INIT;
	int failed = s3_list(s, folder, take_key, r, &why);

	if (failed < 0)
		return why.text[0] ? err_set(e, failed, "%s", why.text)
				   : err_errno(e, failed, "cannot list s3://%s/%s", s3_bucket(s),
					       folder);
	for (size_t i = 0; i < r->count && failed == 0; i++)
		failed = s3_delete(s, r->keys[i], e);
	return failed;
}

static int delete_below(struct s3 *s, const char *folder, struct err *e)
{
	CLEANUP(str_freep) char *last = NULL;
	size_t count = 0, done;
	int r;

	do {
		CLEANUP(round_release) struct round round = {.count = 0};

		r = delete_some(s, folder, &round, e);
		done = round.count;
		count += done;
		if (r == 0 && done > 0 && last && strcmp(last, round.keys[0]) == 0)
			return err_set(e, -EAGAIN, "s3://%s/%s is deleted, and listed all the same",
				       s3_bucket(s), last);
		free(last);
		last = r == 0 && done > 0 ? STEAL(&round.keys[0]) : NULL;
	} while (r == 0 && done == ROUND_KEYS);
	if (r == 0 && count > 0)
		log_info("bedrock", "deleted objects=%zu below s3://%s/%s", count, s3_bucket(s),
			 folder);
	return r;
}

/* Uploads that were never completed are in no listing, and cost. */
static int abort_uploads(struct s3 *s, const struct backend_part *p,
			 const struct bedrock_names *names, struct err *e)
{
	CLEANUP(dir_closep) DIR *dir = p->media_path ? opendir(p->media_path) : NULL;
	struct dirent *d;
	int r = s3_abort(s, names->input, e);

	while (r == 0 && dir && (d = readdir(dir))) {
		char key[S3_KEY_MAX + 1];
		struct stat st;

		if (fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISREG(st.st_mode) || st.st_size <= S3_PART_SIZE)
			continue; /* small ones go in one piece */
		if ((size_t)snprintf(key, sizeof(key), "%.700smedia/%s", names->folder, d->d_name) <
		    sizeof(key))
			r = s3_abort(s, key, e);
	}
	return r;
}

static int purge_ours(struct bedrock *b, const struct backend_part *p, struct err *e)
{
	struct bedrock_names names;
	struct s3 *s = NULL;
	int r = bedrock_names(b, p, &names, e);

	if (r == 0)
		r = bedrock_borrow(b, b->bucket, NULL, &s, e);
	if (r < 0)
		return r;
	r = delete_below(s, names.folder, e);
	if (r == 0)
		r = abort_uploads(s, p, &names, e);
	bedrock_return(b, s);
	return r;
}

static int purge_results(struct bedrock *b, const char *remote, struct err *e)
{
	CLEANUP(control_job_release) struct control_job j = {.arn = NULL};
	CLEANUP(bedrock_place_of_release) struct bedrock_place_of at = {.bucket = NULL};
	struct s3 *s = NULL;
	int r = control_get(b->control, remote, &j, e);

	if (r == -ENOENT)
		return 0; /* nobody knows where they were */
	if (r == 0 && !job_state_is_end(j.status.state))
		return err_set(e, -EBUSY, "%s is still %s; stop it or wait", remote, j.status.raw);
	if (r == 0)
		r = bedrock_output_of(&j, &at, e);
	if (r == 0)
		r = bedrock_borrow(b, at.bucket, NULL, &s, e);
	if (r < 0)
		return r;
	r = delete_below(s, at.key, e);
	bedrock_return(b, s);
	return r;
}

int bedrock_purge(struct backend *backend, const struct backend_part *p, const char *remote,
		  struct err *e)
{
	struct bedrock *b = bedrock_of(backend);
	int r = 0;

	/* Ours lie within our folder, bar those of an older prefix. */
	if (remote)
		r = purge_results(b, remote, e);
	if (r == 0 && p && p->token && *p->token)
		r = purge_ours(b, p, e);
	return r;
}
