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

static int delete_below(struct s3 *s, const char *folder, struct err *e)
{
	CLEANUP(bedrock_keys_release) struct bedrock_keys keys = {.keys = NULL};
	int r = bedrock_list_keys(s, folder, "", &keys, e);

	for (size_t i = 0; i < keys.count && r == 0; i++)
		r = s3_delete(s, keys.keys[i], e);
	if (r == 0 && keys.count > 0)
		log_info("bedrock", "deleted objects=%zu below s3://%s/%s", keys.count,
			 s3_bucket(s), folder);
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
