#include "backend/aws/bedrockmedia.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "fs/base/pool.h"
#include "fs/base/siphash.h"

/*
 * Which files are referred to is kept as a set of 128-bit hashes, 16 bytes a
 * file, under a key drawn at random; the directory is walked then and each of
 * its files looked up.
 */

#define FILES_MAX	(1u << 20)
#define SLOTS_FIRST	256
#define UPLOADS_AT_ONCE 8
#define MEDIA_TYPE	"application/octet-stream"

struct bedrock_media {
	int dir_fd; /* -1: the job has no media/ */
	unsigned char key[SIPHASH_KEY_SIZE];
	uint64_t (*slots)[2]; /* owned; all zero: free */
	size_t slot_count, count;
	uint64_t bytes;
	unsigned attempt; /* of the part, for words */
};

void bedrock_media_free(struct bedrock_media *m)
{
	if (!m)
		return;
	fd_closep(&m->dir_fd);
	free(m->slots);
	free(m);
}

static void media_freep(struct bedrock_media **m)
{
	bedrock_media_free(*m);
	*m = NULL;
}

uint64_t bedrock_media_bytes(const struct bedrock_media *m)
{
	return m->bytes;
}

/* --- the set --- */

static uint64_t (*slot_of(uint64_t (*slots)[2], size_t slot_count, const uint64_t hash[2]))[2]
{
	size_t i = (size_t)hash[0] & (slot_count - 1);

	while ((slots[i][0] || slots[i][1]) && (slots[i][0] != hash[0] || slots[i][1] != hash[1]))
		i = (i + 1) & (slot_count - 1);
	return &slots[i];
}

static int grow(struct bedrock_media *m)
{
	size_t slot_count = m->slot_count ? 2 * m->slot_count : SLOTS_FIRST;
	uint64_t(*slots)[2] = calloc(slot_count, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < m->slot_count; i++)
		if (m->slots[i][0] || m->slots[i][1])
			memcpy(slot_of(slots, slot_count, m->slots[i]), m->slots[i],
			       sizeof(*slots));
	free(m->slots);
	m->slots = slots;
	m->slot_count = slot_count;
	return 0;
}

static bool has(const struct bedrock_media *m, const char *name)
{
	uint64_t hash[2], (*slot)[2];

	if (m->slot_count == 0)
		return false;
	siphash128(m->key, name, strlen(name), hash);
	slot = slot_of(m->slots, m->slot_count, hash);
	return (*slot)[0] || (*slot)[1];
}

/* 1: it is new. */
static int add(struct bedrock_media *m, const char *name)
{
	uint64_t hash[2], (*slot)[2];

	if (m->count == FILES_MAX)
		return -E2BIG;
	if (2 * (m->count + 1) > m->slot_count && grow(m) < 0)
		return -ENOMEM;
	siphash128(m->key, name, strlen(name), hash);
	slot = slot_of(m->slots, m->slot_count, hash);
	if ((*slot)[0] || (*slot)[1])
		return 0;
	memcpy(slot, hash, sizeof(hash));
	m->count++;
	return 1;
}

/* --- the scan --- */

struct scanning {
	struct bedrock_media *media;
	struct err *e;
};

static int refuse_ref(struct scanning *s, uint64_t line, const char *name, const char *why)
{
	/* In a retry the lines are not those of the user's file. */
	return err_set(s->e, -EINVAL, "%s%llu: media://%.200s: %s",
		       s->media->attempt > 1 ? "line " : "input.jsonl:", (unsigned long long)line,
		       name ? name : "...", why);
}

static int note_ref(void *ctx, uint64_t line, const char *name, struct buf *out)
{
	struct scanning *s = ctx;
	struct err why = ERR_INIT;
	struct stat st;
	int r;

	(void)out;
	if (!name)
		return refuse_ref(s, line, name, "the name is too long");
	if (naming_check_media(name, &why) < 0)
		return refuse_ref(s, line, name, why.text);
	r = add(s->media, name);
	if (r == -E2BIG)
		return refuse_ref(s, line, name, "the records refer to too many files");
	if (r <= 0)
		return r;
	if (s->media->dir_fd < 0)
		return refuse_ref(s, line, name,
				  "the job has no media directory; make it and put "
				  "the file there");
	if (fstatat(s->media->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return refuse_ref(s, line, name, "there is no such file in media/; put it there");
	s->media->bytes += (uint64_t)st.st_size;
	return 0;
}

int bedrock_media_scan(const struct backend_part *p, int input_fd, struct bedrock_media **ret,
		       struct err *e)
{
	CLEANUP(media_freep) struct bedrock_media *m = calloc(1, sizeof(*m));
	struct scanning s = {.media = m, .e = e};
	struct err why = ERR_INIT;
	struct mediarefs_sink sink = {.ref = note_ref, .ctx = &s};
	int r;

	if (!m)
		return err_set(e, -ENOMEM, "no memory for media");
	m->dir_fd = -1;
	m->attempt = p->attempt;
	if (getrandom(m->key, sizeof(m->key), 0) != (ssize_t)sizeof(m->key))
		return err_set(e, -EIO, "no random bytes");
	if (p->media_path)
		m->dir_fd = open(p->media_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->media_path && m->dir_fd < 0 && errno != ENOENT)
		return err_errno(e, -errno, "cannot open %s", p->media_path);
	s.e = &why;
	r = mediarefs_scan(input_fd, &sink);
	if (r < 0)
		return why.text[0] ? err_set(e, r, "%s", why.text)
				   : err_errno(e, r, "cannot look through %s", p->input_path);
	if (m->count > 0)
		*ret = STEAL(&m);
	else
		*ret = NULL;
	return 0;
}

static int end_at_ref(void *ctx, uint64_t line, const char *name, struct buf *out)
{
	(void)ctx;
	(void)line;
	(void)name;
	(void)out;
	return 1;
}

int bedrock_media_is_used(int input_fd)
{
	struct mediarefs_sink sink = {.ref = end_at_ref};

	return mediarefs_scan(input_fd, &sink);
}

/* --- the rewritten input --- */

struct rewriting {
	const char *folder_uri;
	FILE *to;
};

static int write_ref(void *ctx, uint64_t line, const char *name, struct buf *out)
{
	CLEANUP(buf_release) struct buf uri = BUF_INIT(8192);
	struct rewriting *w = ctx;

	(void)line;
	if (!name)
		return -EINVAL;
	buf_addf(&uri, "%smedia/%s", w->folder_uri, name);
	if (buf_error(&uri) < 0)
		return -ENOMEM;
	buf_add_json(out, uri.data, uri.size);
	return 0;
}

static int write_bytes(void *ctx, const char *bytes, size_t size)
{
	struct rewriting *w = ctx;

	return fwrite(bytes, 1, size, w->to) == size ? 0 : -errno;
}

int bedrock_media_rewrite(int input_fd, const char *folder_uri, const char *path, int *ret_fd,
			  uint64_t *ret_size, struct err *e)
{
	CLEANUP(file_closep) FILE *to = NULL;
	CLEANUP(fd_closep) int fd = -1;
	struct rewriting w = {.folder_uri = folder_uri};
	struct mediarefs_sink sink = {.ref = write_ref, .copy = write_bytes, .ctx = &w};
	struct stat st;
	int r;

	if (unlink(path) < 0 && errno != ENOENT)
		return err_errno(e, -errno, "cannot remove %s", path);
	to = fopen(path, "wxe");
	if (!to)
		return err_errno(e, -errno, "cannot make %s", path);
	w.to = to;
	r = mediarefs_scan(input_fd, &sink);
	if (r == 0 && fflush(to) != 0)
		r = -errno;
	if (r < 0)
		return err_errno(e, r, "cannot write %s", path);
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(e, -errno, "cannot read %s", path);
	*ret_size = (uint64_t)st.st_size;
	*ret_fd = fd_steal(&fd);
	return 0;
}

/* --- the upload --- */

struct uploads {
	struct bedrock_media *media; /* borrowed, as the next two */
	struct s3 *s3;
	const char *folder;
	pthread_mutex_t mutex; /* of all below */
	DIR *dir;
	size_t found;
	int result; /* the first failure */
	struct err why;
};

/* The next file that is referred to; false at the end or after a failure. */
static bool next_file(struct uploads *u, char name[NAME_MAX + 1])
{
	struct dirent *d = NULL;

	pthread_mutex_lock(&u->mutex);
	while (u->result == 0 && (d = readdir(u->dir)))
		if (has(u->media, d->d_name))
			break;
	if (d)
		snprintf(name, NAME_MAX + 1, "%s", d->d_name);
	u->found += d != NULL;
	pthread_mutex_unlock(&u->mutex);
	return d != NULL;
}

static int put_one(struct uploads *u, const char *name, struct err *e)
{
	CLEANUP(fd_closep)
	int fd = openat(u->media->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char key[S3_KEY_MAX + 1];
	struct stat st;
	int n;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(e, -errno, "cannot open media/%s", name);
	n = snprintf(key, sizeof(key), "%smedia/%s", u->folder, name);
	if (n < 0 || (size_t)n >= sizeof(key))
		return err_set(e, -EINVAL, "media/%.200s: the name is too long for S3", name);
	return s3_put_file(u->s3, key, fd, (uint64_t)st.st_size, MEDIA_TYPE, true, e);
}

static void upload(void *arg)
{
	struct uploads *u = arg;
	struct err why = ERR_INIT;
	char name[NAME_MAX + 1];
	int r = 0;

	while (r == 0 && next_file(u, name))
		r = put_one(u, name, &why);
	if (r == 0)
		return;
	pthread_mutex_lock(&u->mutex);
	if (u->result == 0) {
		u->result = r;
		u->why = why;
	}
	pthread_mutex_unlock(&u->mutex);
}

int bedrock_media_put(struct bedrock_media *m, struct s3 *s, const char *folder, struct err *e)
{
	unsigned threads = m->count < UPLOADS_AT_ONCE ? (unsigned)m->count : UPLOADS_AT_ONCE;
	struct uploads u = {.media = m, .s3 = s, .folder = folder, .why = ERR_INIT};
	CLEANUP(dir_closep) DIR *dir = NULL;
	struct pool *pool = NULL;
	int fd = openat(m->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		r = -errno;
		fd_closep(&fd);
		return err_errno(e, r, "cannot read media/");
	}
	r = pool_new(threads, &pool, e);
	if (r < 0)
		return r;
	u.dir = dir;
	pthread_mutex_init(&u.mutex, NULL);
	for (unsigned i = 0; i < threads && r == 0; i++)
		r = pool_add(pool, upload, &u);
	pool_free(pool); /* waits */
	pthread_mutex_destroy(&u.mutex);
	if (u.result < 0)
		return err_set(e, u.result, "%s", u.why.text);
	/* A directory that cannot be read to its end looks like a shorter one. */
	if (r == 0 && u.found != m->count)
		return err_set(e, -EAGAIN, "media/ shows only %zu of the %zu files it has had",
			       u.found, m->count);
	return r < 0 ? err_set(e, r, "no memory to upload media/") : 0;
}
