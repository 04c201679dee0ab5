/*
 * The records of a job that was made elsewhere: its input files as they lie in
 * S3, one behind the other.
 *
 * Without recordIds in them (the service then invents some) the engine joins
 * them to the results by their modelInput.  But a bucket of others may be
 * closed to us, or its objects gone: then the output is taken, each line of
 * which repeats its id and its modelInput.  Records that were never run are
 * missing there.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "backend/aws/bedrock_private.h"
#include "backend/envelope.h"
#include "backend/lines.h"
#include "fs/base/jsonscan.h"
#include "fs/base/log.h"

#define CHUNK_SIZE (256 * 1024)

/* --- is it fit to be joined? --- */

struct fitness {
	uint64_t records;
	bool unfit;
};

static void on_record(void *ctx, const struct jsonscan_record *r)
{
	struct fitness *f = ctx;

	(void)r;
	f->records++;
}

static void on_fault(void *ctx, const struct jsonscan_fault *fault)
{
	struct fitness *f = ctx;

	(void)fault;
	f->unfit = true;
}

static int look_through(const char *path, struct fitness *f, struct err *e)
{
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	CLEANUP(str_freep) char *chunk = malloc(CHUNK_SIZE);
	struct jsonscan scan;
	struct jsonscan_sink sink = {.record = on_record, .fault = on_fault, .ctx = f};
	ssize_t n;

	if (!chunk)
		return err_set(e, -ENOMEM, "no memory to look through %s", path);
	if (fd < 0)
		return err_errno(e, -errno, "cannot open %s", path);
	jsonscan_init(&scan);
	while ((n = read(fd, chunk, CHUNK_SIZE)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(e, -errno, "cannot read %s", path);
		jsonscan_feed(&scan, chunk, (size_t)n, &sink);
	}
	jsonscan_end(&scan, &sink);
	return 0;
}

/* --- getting it --- */

/* An output file being made beside the caller's path. */
struct making {
	char *path, *piece; /* owned: PATH.new, PATH.piece */
	int fd;
};

static void making_release(struct making *m)
{
	fd_closep(&m->fd);
	if (m->path)
		ignore_error(unlink(m->path));
	if (m->piece)
		ignore_error(unlink(m->piece));
	free(m->path);
	free(m->piece);
}

static int making_begin(struct making *m, const char *path, struct err *e)
{
	if (!m->path && asprintf(&m->path, "%s.new", path) < 0)
		m->path = NULL;
	if (!m->piece && asprintf(&m->piece, "%s.piece", path) < 0)
		m->piece = NULL;
	if (!m->path || !m->piece)
		return err_set(e, -ENOMEM, "no memory for %s", path);
	fd_closep(&m->fd);
	m->fd = open(m->path, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	return m->fd < 0 ? err_errno(e, -errno, "cannot make %s", m->path) : 0;
}

static int making_end(struct making *m, const char *path, struct err *e)
{
	if (fsync(m->fd) < 0 || rename(m->path, path) < 0)
		return err_errno(e, -errno, "cannot write %s", path);
	return 0;
}

/* All keys below a place into m: each() takes a piece that was downloaded. */
static int gather(struct s3 *s, struct making *m, const struct bedrock_keys *keys,
		  int (*each)(struct making *m, struct err *e), struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < keys->count && r == 0; i++) {
		r = s3_get_file(s, keys->keys[i], m->piece, NULL, e);
		if (r == 0)
			r = each(m, e);
	}
	return r;
}

static int append_piece(struct making *m, struct err *e)
{
	return bedrock_append_file(m->fd, m->piece, e);
}

static int get_input(struct bedrock *b, const struct control_job *j, struct making *m,
		     struct err *e)
{
	CLEANUP(bedrock_place_of_release) struct bedrock_place_of at = {.bucket = NULL};
	CLEANUP(bedrock_keys_release) struct bedrock_keys keys = {.keys = NULL};
	size_t size = j->input_uri ? strlen(j->input_uri) : 0;
	bool is_file = size > 6 && strcmp(j->input_uri + size - 6, ".jsonl") == 0;
	struct s3 *s = NULL;
	int r = bedrock_locate(j->input_uri, !is_file, &at, e);

	if (r == 0)
		r = bedrock_borrow(b, at.bucket, NULL, &s, e);
	if (r < 0)
		return r;
	if (is_file)
		r = s3_get_file(s, at.key, m->piece, NULL, e);
	else
		r = bedrock_list_keys(s, at.key, ".jsonl", &keys, e);
	if (r == 0 && is_file)
		r = append_piece(m, e);
	else if (r == 0 && keys.count == 0)
		r = err_set(e, -ENOENT, "there is no .jsonl file below %s any more", j->input_uri);
	else if (r == 0)
		r = gather(s, m, &keys, append_piece, e);
	bedrock_return(b, s);
	return r;
}

/* --- out of the output --- */

static int write_record(FILE *to, const char *line, size_t size)
{
	struct envelope v;

	if (envelope_parse(line, size, &v) < 0 || jsonspan_type(v.input) != JSONSPAN_OBJECT)
		return 0;
	fprintf(to, "{\"recordId\":%.*s,\"modelInput\":", (int)v.id.size, v.id.at);
	if (fwrite(v.input.at, 1, v.input.size, to) != v.input.size || fputs("}\n", to) < 0)
		return errno ? -errno : -EIO;
	return 0;
}

static int copy_records(struct lines *l, FILE *to)
{
	const char *line;
	size_t size;
	int r;

	while ((r = lines_next(l, &line, &size)) == 0) {
		r = write_record(to, line, size);
		if (r < 0)
			return r;
	}
	return r == -ENODATA ? 0 : r;
}

/* Each line of the piece, as a record. */
static int append_records(struct making *m, struct err *e)
{
	CLEANUP(file_closep) FILE *to = NULL;
	CLEANUP(fd_closep) int from = open(m->piece, O_RDWR | O_CLOEXEC);
	CLEANUP(lines_release) struct lines l = {.window_ = BUF_INIT(0)};
	int fd = fcntl(m->fd, F_DUPFD_CLOEXEC, 3), r;

	to = fd < 0 ? NULL : fdopen(fd, "a");
	if (!to)
		fd_closep(&fd);
	if (from < 0 || !to)
		return err_errno(e, -errno, "cannot read %s", m->piece);
	/* The last line may lack its newline; an empty line is none. */
	if (lseek(from, 0, SEEK_END) < 0 || write(from, "\n", 1) != 1)
		return err_errno(e, -errno, "cannot write %s", m->piece);
	lines_init(&l, from);
	r = copy_records(&l, to);
	if (r == 0 && fflush(to) != 0)
		r = -errno;
	return r < 0 ? err_errno(e, r, "cannot write %s", m->path) : 0;
}

static int get_from_output(struct bedrock *b, const struct control_job *j, struct making *m,
			   struct err *e)
{
	CLEANUP(bedrock_place_of_release) struct bedrock_place_of at = {.bucket = NULL};
	CLEANUP(bedrock_keys_release) struct bedrock_keys keys = {.keys = NULL};
	struct s3 *s = NULL;
	struct stat st;
	int r = bedrock_output_of(j, &at, e);

	if (r == 0)
		r = bedrock_borrow(b, at.bucket, NULL, &s, e);
	if (r < 0)
		return r;
	r = bedrock_list_keys(s, at.key, ".jsonl.out", &keys, e);
	if (r == 0)
		r = gather(s, m, &keys, append_records, e);
	bedrock_return(b, s);
	if (r == 0 && (fstat(m->fd, &st) < 0 || st.st_size == 0))
		r = err_set(e, -ENOENT, "the job has no results to take its records from");
	return r;
}

/* --- both --- */

int bedrock_fetch_input(struct backend *backend, const char *remote, const char *path,
			struct err *e)
{
	struct bedrock *b = bedrock_of(backend);
	CLEANUP(control_job_release) struct control_job j = {.arn = NULL};
	CLEANUP(making_release) struct making m = {.fd = -1};
	struct fitness f = {.records = 0};
	struct err why = ERR_INIT;
	int r = control_get(b->control, remote, &j, e), other;

	if (r == 0)
		r = making_begin(&m, path, e);
	if (r < 0)
		return r;
	r = get_input(b, &j, &m, &why);
	if (r == 0)
		r = look_through(m.path, &f, &why);
	if (r == 0 && f.records > 0 && !f.unfit)
		return making_end(&m, path, e);
	if (r == 0)
		r = err_set(&why, -ENOENT,
			    "the input of %s has lines that are no records, or none at all",
			    remote);
	if (r != -ENOENT && r != -EACCES && r != -EINVAL)
		return err_set(e, r, "%s", why.text);
	other = making_begin(&m, path, e);
	if (other == 0)
		other = get_from_output(b, &j, &m, e);
	if (other < 0)
		return other == -EAGAIN || other == -ECANCELED || other == -ENOSPC
			       ? other
			       : err_set(e, r == -EINVAL ? -ENOENT : r, "%s", why.text);
	log_warning("bedrock",
		    "%s; the records are taken from the output, without those that were "
		    "never run",
		    why.text);
	return making_end(&m, path, e);
}
