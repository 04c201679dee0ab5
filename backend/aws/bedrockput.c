/*
 * Brings the input of a part, and the media its records refer to, to S3.
 *
 * The keys are made of the part's token, so that each part has a folder of its
 * own: whatever lies in a folder belongs to the job.  A call that is repeated
 * puts the same bytes under the same keys; what is there already is left.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "backend/aws/bedrock_private.h"
#include "backend/aws/bedrockmedia.h"
#include "fs/base/log.h"

#define INPUT_TYPE "application/jsonl"
#define LOOK_SIZE  (1024 * 1024) /* up to it a look whether it is there costs as much as a put */

/* What the input lies in while it is put, when it is not the engine's file. */
struct rewritten {
	char path[BEDROCK_PATH_MAX];
	int fd;
};

static void rewritten_release(struct rewritten *w)
{
	fd_closep(&w->fd);
	if (w->path[0])
		ignore_error(unlink(w->path)); /* made anew the next time */
}

static void media_freep(struct bedrock_media **m)
{
	bedrock_media_free(*m);
	*m = NULL;
}

/* The whole job has a limit of its own, media included. */
static int check_size(struct bedrock *b, const struct backend_part *p, uint64_t input,
		      uint64_t media, struct err *e)
{
	uint64_t max = bedrock_job_bytes_max(b, p->model);

	if (input <= max && media <= max - input)
		return 0;
	return err_set(
		e, -EINVAL,
		"input and media are %llu bytes, and a job of this model takes %llu; split it "
		"into several jobs (or, if your quota is larger, mount with "
		"-o max_bytes_per_job=BYTES)",
		(unsigned long long)(input + media), (unsigned long long)max);
}

/* S3's refusals are for the user to mend; that there are credentials was seen
 * before. */
static int refusal_of(int r)
{
	return r == -EACCES || r == -ENOENT || r == -EPERM ? -EINVAL : r;
}

static int put(struct bedrock *b, const struct backend_part *p, const struct bedrock_names *names,
	       struct bedrock_media *media, int fd, uint64_t size, struct err *e)
{
	struct s3 *bucket = NULL, *s = NULL;
	int r = bedrock_borrow(b, b->bucket, bedrock_setting(b, p->config, "kms_key"), &bucket, e);

	if (r < 0)
		return r;
	r = s3_fork(bucket, p->cancel, &s, e);
	if (r == 0 && media)
		r = bedrock_media_put(media, s, names->folder, e);
	if (r == 0)
		r = s3_put_file(s, names->input, fd, size, INPUT_TYPE, size > LOOK_SIZE, e);
	s3_close(s);
	bedrock_return(b, bucket);
	return refusal_of(r);
}

int bedrock_put_input(struct backend *backend, const struct backend_part *p, struct err *e)
{
	struct bedrock *b = bedrock_of(backend);
	CLEANUP(media_freep) struct bedrock_media *media = NULL;
	CLEANUP(rewritten_release) struct rewritten w = {.fd = -1};
	CLEANUP(fd_closep) int fd = -1;
	struct bedrock_names names;
	struct stat st;
	uint64_t size;
	int r = bedrock_check_part(b, p, e);

	if (r == 0)
		r = bedrock_names(b, p, &names, e);
	if (r < 0)
		return r;
	fd = open(p->input_path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(e, -errno == -EINVAL ? -EIO : -errno, "cannot open %s",
				 p->input_path);
	size = (uint64_t)st.st_size;
	r = bedrock_media_scan(p, fd, &media, e);
	if (r == 0 && media) {
		if ((size_t)snprintf(w.path, sizeof(w.path), "%s.media.tmp", p->input_path) >=
		    sizeof(w.path)) {
			w.path[0] = '\0';
			return err_set(e, -ENAMETOOLONG, "%s: too long a path", p->input_path);
		}
		r = bedrock_media_rewrite(fd, names.folder_uri, w.path, &w.fd, &size, e);
	}
	if (r == 0)
		r = check_size(b, p, size, media ? bedrock_media_bytes(media) : 0, e);
	if (r == 0)
		r = bedrock_check_credentials(b, e);
	if (r == 0)
		r = put(b, p, &names, media, media ? w.fd : fd, size, e);
	if (r == 0)
		log_info("bedrock", "uploaded job=%s bytes=%llu media=%llu", names.job,
			 (unsigned long long)size,
			 (unsigned long long)(media ? bedrock_media_bytes(media) : 0));
	return r;
}
