/*
 * The results of an ended job.
 *
 * They lie in OUT/JOBID/, one NAME.jsonl.out for each input file and a manifest
 * with the counts.  The folder is listed, nothing about names is predicted,
 * and whatever the end was: stopped and expired jobs are paid for too.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "backend/aws/bedrock_private.h"
#include "fs/base/fdio.h"
#include "fs/base/jsonscan.h"
#include "fs/base/jsonspan.h"
#include "fs/base/log.h"

#define KEYS_MAX      100000
#define MANIFEST_NAME "manifest.json.out"
#define MANIFEST_MAX  (256 * 1024)
#define TOLD_MAX      1000	       /* of it, in the log */
#define LISTINGS_MAX  6		       /* with pauses of 1, 2, 4, 8 and 16 s between */
#define LATE_NS	      (600 * NS_PER_S) /* what is not listed by then is not there */
#define GRACE_S	      60	       /* results of one that may have none */
#define COPY_CHUNK    (256 * 1024)

/* --- listings --- */

void bedrock_keys_release(struct bedrock_keys *k)
{
	for (size_t i = 0; i < k->count; i++)
		free(k->keys[i]);
	free(k->keys);
	*k = (struct bedrock_keys){.keys = NULL};
}

struct listing {
	struct bedrock_keys keys;
	size_t capacity, prefix_size;
	const char *ending;
};

static bool ends_with(const char *s, const char *ending)
{
	size_t size = strlen(s), ending_size = strlen(ending);

	return size >= ending_size && strcmp(s + size - ending_size, ending) == 0;
}

static int take_key(void *ctx, const struct s3_object *o)
{
	struct listing *l = ctx;
	char *key;

	if (strlen(o->key) > l->prefix_size && strcmp(o->key + l->prefix_size, MANIFEST_NAME) == 0)
		l->keys.has_manifest = true;
	if (!ends_with(o->key, l->ending))
		return 0;
	if (l->keys.count == KEYS_MAX)
		return -EFBIG;
	if (l->keys.count == l->capacity) {
		size_t capacity = l->capacity ? 2 * l->capacity : 16;
		char **keys = realloc(l->keys.keys, capacity * sizeof(char *));

		if (!keys)
			return -ENOMEM;
		l->keys.keys = keys;
		l->capacity = capacity;
	}
	key = strdup(o->key);
	if (!key)
		return -ENOMEM;
	l->keys.keys[l->keys.count++] = key;
	return 0;
}

int bedrock_list_keys(struct s3 *s, const char *prefix, const char *ending,
		      struct bedrock_keys *ret, struct err *e)
{
	struct listing l = {.ending = ending, .prefix_size = strlen(prefix)};
	struct err why = ERR_INIT;
	int r = s3_list(s, prefix, take_key, &l, &why);

	if (r < 0) {
		bedrock_keys_release(&l.keys);
		if (!why.text[0])
			return err_errno(e, r, "cannot list s3://%s/%s", s3_bucket(s), prefix);
		return err_set(e, r, "%s", why.text);
	}
	*ret = l.keys;
	return 0;
}

/* --- where they lie --- */

int bedrock_output_of(const struct control_job *j, struct bedrock_place_of *ret, struct err *e)
{
	CLEANUP(bedrock_place_of_release) struct bedrock_place_of at = {.bucket = NULL};
	const char *id = naming_job_id(j->arn);
	char *key;
	int r = bedrock_locate(j->output_uri, true, &at, e);

	if (r < 0)
		return r;
	/* The id is the service's, and names a folder that may be deleted. */
	if (!id || !*id || strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789") != strlen(id))
		return err_set(e, -EINVAL, "%.200s: its end is not the id of a job", j->arn);
	if (asprintf(&key, "%s%s/", at.key, id) < 0)
		return err_set(e, -ENOMEM, "no memory for the results of %s", j->arn);
	free(at.key);
	at.key = key;
	*ret = at;
	at = (struct bedrock_place_of){.bucket = NULL};
	return 0;
}

/* One that failed at its end has counts, and usually nothing written. */
static bool must_have_results(const struct control_job *j)
{
	if (j->status.state == JOB_FAILED)
		return false;
	return j->status.state == JOB_COMPLETED || j->status.state == JOB_PARTIALLY_COMPLETED ||
	       j->status.counts.good + j->status.counts.failed > 0;
}

/* One that was stopped or ran out of time may have run a little, which is paid
 * for: its counts lag behind, and so may its objects.  What failed before it
 * had counts was never begun. */
static bool may_have_results(const struct control_job *j)
{
	const struct counts *c = &j->status.counts;

	return j->status.state != JOB_FAILED || c->total + c->good + c->failed > 0;
}

/* What nobody may wait for is worth a second look all the same. */
static int look_again_later(struct bedrock *b, struct s3 *s, const char *folder,
			    const struct control_job *j, int64_t age, struct err *e)
{
	int64_t grace = (int64_t)bedrock_number(b, NULL, "results_grace", GRACE_S) * NS_PER_S;

	if (age >= grace || !may_have_results(j))
		return 0;
	return err_set(
		e, -EAGAIN,
		"the job has ended as %s%s%.400s and has no results below s3://%s/%.300s yet; they "
		"are looked for until %lld seconds after its end",
		j->status.raw, j->status.message[0] ? ", " : "", j->status.message, s3_bucket(s),
		folder, (long long)(grace / NS_PER_S));
}

/* Completed may be told before the objects are listed. */
static int list_results(struct bedrock *b, struct s3 *s, const char *folder,
			const struct control_job *j, struct bedrock_keys *ret, struct err *e)
{
	int64_t pause = b->listing_pause_ns;
	int64_t age = aws_wall_ns(b->aws) - (j->modified_ns ? j->modified_ns : j->ended_ns);

	for (unsigned n = 1;; n++) {
		int r = bedrock_list_keys(s, folder, ".jsonl.out", ret, e);

		if (r < 0 || ret->count > 0)
			return r;
		if (!must_have_results(j))
			return look_again_later(b, s, folder, j, age, e);
		if (n == LISTINGS_MAX)
			break;
		bedrock_keys_release(ret);
		r = wire_pause(aws_wire(b->aws), pause);
		if (r < 0)
			return err_set(e, r, "the mount is ending");
		pause *= 2;
	}
	if (age < LATE_NS) {
		bedrock_keys_release(ret);
		return err_set(
			e, -EAGAIN,
			"the job has ended, and its results are not listed below s3://%s/%s yet",
			s3_bucket(s), folder);
	}
	log_warning("bedrock", "no results of %s below s3://%s/%s: deleted, or moved", j->arn,
		    s3_bucket(s), folder);
	return 0;
}

/* --- files --- */

static int copy_all(int to, int from, char *chunk, char *ret_last)
{
	int r;

	for (;;) {
		ssize_t n = read(from, chunk, COPY_CHUNK);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return 0;
		if (n < 0)
			continue;
		r = fdio_write(to, chunk, (size_t)n);
		if (r < 0)
			return r;
		*ret_last = chunk[n - 1];
	}
}

int bedrock_append_file(int to, const char *from, struct err *e)
{
	CLEANUP(fd_closep) int fd = open(from, O_RDONLY | O_CLOEXEC);
	CLEANUP(str_freep) char *chunk = malloc(COPY_CHUNK);
	char last = '\n';
	int r;

	if (fd < 0)
		return err_errno(e, -errno, "cannot open %s", from);
	if (!chunk)
		return err_set(e, -ENOMEM, "no memory to copy %s", from);
	r = copy_all(to, fd, chunk, &last);
	if (r == 0 && last != '\n' && write(to, "\n", 1) != 1)
		r = errno ? -errno : -EIO;
	return r < 0 ? err_errno(e, r, "cannot copy %s", from) : 0;
}

/* The n-th file of results.  Those that are more than the engine takes go
 * behind the last one. */
static int fetch_one(struct s3 *s, const char *key, const char *dir, size_t n,
		     struct backend_files *files, struct err *e)
{
	CLEANUP(str_freep) char *path = NULL;
	CLEANUP(fd_closep) int fd = -1;
	int r;

	if (asprintf(&path, "%s/%06zu.jsonl", dir, n + 1) < 0) {
		path = NULL;
		return err_set(e, -ENOMEM, "no memory for the results");
	}
	r = s3_get_file(s, key, path, NULL, e);
	if (r < 0)
		return r;
	if (files->count < BACKEND_FILES_MAX) {
		files->paths[files->count++] = STEAL(&path);
		return 0;
	}
	fd = open(files->paths[BACKEND_FILES_MAX - 1], O_WRONLY | O_APPEND | O_CLOEXEC);
	if (fd < 0)
		return err_errno(e, -errno, "cannot open %s", files->paths[BACKEND_FILES_MAX - 1]);
	if (n == BACKEND_FILES_MAX && lseek(fd, 0, SEEK_END) > 0)
		r = write(fd, "\n", 1) == 1 ? 0 : -errno; /* its own newline may be missing */
	if (r == 0)
		r = bedrock_append_file(fd, path, e);
	if (r == 0 && (fsync(fd) < 0 || unlink(path) < 0))
		r = err_errno(e, -errno, "cannot write %s", path);
	return r;
}

static uint64_t count_of(struct jsonspan root, const char *key)
{
	uint64_t n;

	return jsonspan_u64(jsonspan_get(root, key), &n) ? n : 0;
}

/* The counts as they are, those that nobody here knows among them: images and
 * seconds are billed, too. */
static char *one_line(const struct buf *text)
{
	char *line = text->size <= TOLD_MAX ? strndup(text->data, text->size) : NULL;

	for (char *s = line; s && *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = ' ';
	return line;
}

/* The manifest says what the answers may not: how many tokens it took. */
static int fetch_manifest(struct s3 *s, const char *folder, const char *dir,
			  struct backend_files *files, struct err *e)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT(MANIFEST_MAX);
	CLEANUP(str_freep) char *key = NULL;
	CLEANUP(str_freep) char *path = NULL;
	CLEANUP(file_closep) FILE *f = NULL;
	struct jsonspan root;
	int r;

	if (asprintf(&key, "%s" MANIFEST_NAME, folder) < 0 ||
	    asprintf(&path, "%s/manifest.json", dir) < 0)
		return err_set(e, -ENOMEM, "no memory for the manifest");
	r = s3_get_bytes(s, key, &text, e);
	if (r < 0)
		return r;
	f = fopen(path, "we");
	if (!f || fwrite(text.data, 1, text.size, f) != text.size || fflush(f) != 0)
		return err_errno(e, -errno, "cannot write %s", path);
	if (!jsonscan_text_is_valid(text.data, text.size))
		return 0;
	root = jsonspan_of(text.data, text.size);
	if (jsonspan_type(root) == JSONSPAN_OBJECT)
		files->told = one_line(&text);
	files->tokens.input = count_of(root, "inputTokenCount") +
			      count_of(root, "cacheReadInputTokenCount") +
			      count_of(root, "cacheWriteInputTokenCount");
	files->tokens.output = count_of(root, "outputTokenCount");
	files->has_tokens = files->tokens.input > 0 || files->tokens.output > 0;
	return 0;
}

static int fetch_all(struct bedrock *b, struct s3 *s, const char *folder,
		     const struct control_job *j, const char *dir, struct backend_files *files,
		     struct err *e)
{
	CLEANUP(bedrock_keys_release) struct bedrock_keys keys = {.keys = NULL};
	struct err why = ERR_INIT;
	int r = list_results(b, s, folder, j, &keys, e);

	for (size_t i = 0; i < keys.count && r == 0; i++)
		r = fetch_one(s, keys.keys[i], dir, i, files, e);
	if (r == 0 && keys.has_manifest) {
		r = fetch_manifest(s, folder, dir, files, &why);
		if (r < 0 && r != -EAGAIN && r != -ECANCELED && r != -ENOSPC) {
			/* The results are worth more than their counts. */
			log_warning("bedrock", "%s", why.text);
			r = 0;
		} else if (r < 0) {
			r = err_set(e, r, "%s", why.text);
		}
	}
	if (r == 0)
		log_info("bedrock", "fetched arn=%s files=%zu", j->arn, keys.count);
	return r;
}

int bedrock_fetch(struct backend *backend, const char *remote, const char *dir,
		  struct backend_files *ret, struct err *e)
{
	struct bedrock *b = bedrock_of(backend);
	CLEANUP(control_job_release) struct control_job j = {.arn = NULL};
	CLEANUP(bedrock_place_of_release) struct bedrock_place_of at = {.bucket = NULL};
	struct backend_files files = {.count = 0};
	struct s3 *s = NULL;
	int r = control_get(b->control, remote, &j, e);

	if (r < 0)
		return r;
	if (!job_state_is_end(j.status.state))
		return err_set(e, -EBUSY, "%s is still %s; stop it or wait", remote, j.status.raw);
	r = bedrock_output_of(&j, &at, e);
	if (r < 0)
		return r;
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return err_errno(e, -errno, "cannot make %s", dir);
	r = bedrock_borrow(b, at.bucket, NULL, &s, e);
	if (r < 0)
		return r;
	r = fetch_all(b, s, at.key, &j, dir, &files, e);
	bedrock_return(b, s);
	if (r < 0)
		backend_files_release(&files);
	else
		*ret = files;
	return r;
}
