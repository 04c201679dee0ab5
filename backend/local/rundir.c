#include "backend/local/rundir.h"

#include "fs/base/fdio.h"
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#define FORMAT_VERSION 1
#define FILE_MAX       (1024 * 1024)
#define GONE_PREFIX    ".gone-"
#define SPEC_NAME      "run.json"
#define END_NAME       "ended.json"
#define STOP_NAME      "stop"

int run_spec_copy(struct run_spec *to, const struct backend_part *p)
{
	int r = 0;

	*to = (struct run_spec){
		.token = strdup(p->token),
		.model = strdup(p->model),
		.input_path = strdup(p->input_path),
		.media_path = p->media_path ? strdup(p->media_path) : NULL,
		.record_count = p->record_count,
		.attempt = p->attempt,
	};
	if (p->config)
		r = kv_copy(&to->config, p->config);
	if (r < 0 || !to->token || !to->model || !to->input_path ||
	    (p->media_path && !to->media_path)) {
		run_spec_release(to);
		return r < 0 ? r : -ENOMEM;
	}
	return 0;
}

void run_spec_release(struct run_spec *s)
{
	free(s->token);
	free(s->model);
	free(s->input_path);
	free(s->media_path);
	kv_release(&s->config);
	*s = (struct run_spec){.token = NULL};
}

static void json_freep(struct json_object **o)
{
	json_object_put(*o);
	*o = NULL;
}

/* Under another name first: the file is whole or it is not there. */
static int write_file(const char *dir, const char *name, const char *text, struct err *e)
{
	CLEANUP(fd_closep) int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(fd_closep) int fd = -1;
	char scratch[64];
	int r = at < 0 ? -errno : 0;

	snprintf(scratch, sizeof(scratch), "%s.new", name);
	if (r == 0) {
		fd = openat(at, scratch, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
			    0600);
		r = fd < 0 ? -errno : fdio_write(fd, text, strlen(text));
	}
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r == 0 && renameat(at, scratch, at, name) < 0)
		r = -errno;
	if (r == 0 && fsync(at) < 0)
		r = -errno;
	return r < 0 ? err_errno(e, r, "cannot write %s/%s", dir, name) : 0;
}

static int write_json(const char *dir, const char *name, struct json_object *o, struct err *e)
{
	const char *text = json_object_to_json_string_ext(
		o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE);

	if (!text)
		return err_set(e, -ENOMEM, "no memory for %s/%s", dir, name);
	return write_file(dir, name, text, e);
}

static int read_json(const char *dir, const char *name, struct json_object **ret, struct err *e)
{
	CLEANUP(str_freep) char *path = NULL;
	CLEANUP(fd_closep) int fd = -1;
	CLEANUP(json_freep) struct json_object *o = NULL;
	struct json_object *version;
	struct stat st;

	if (asprintf(&path, "%s/%s", dir, name) < 0) {
		path = NULL;
		return err_set(e, -ENOMEM, "no memory for %s/%s", dir, name);
	}
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(e, -errno, "cannot read %s", path);
	if (S_ISREG(st.st_mode) && st.st_size <= FILE_MAX)
		o = json_object_from_fd(fd);
	if (!json_object_is_type(o, json_type_object) ||
	    !json_object_object_get_ex(o, "version", &version))
		return err_set(e, -EINVAL, "%s is damaged", path);
	if (json_object_get_int64(version) != FORMAT_VERSION)
		return err_set(e, -EINVAL, "%s was written by a newer batchfs; use that", path);
	*ret = STEAL(&o);
	return 0;
}

static void put(struct json_object *o, const char *key, struct json_object *value)
{
	/* A member that could not be added is missed when it is read. */
	if (!value || json_object_object_add(o, key, value) < 0)
		json_object_put(value);
}

static void put_string(struct json_object *o, const char *key, const char *value)
{
	if (value)
		put(o, key, json_object_new_string(value));
}

static char *get_string(struct json_object *o, const char *key)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_string))
		return NULL;
	return strdup(json_object_get_string(v));
}

static uint64_t get_number(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_uint64(v) : 0;
}

int rundir_write_spec(const char *dir, const struct run_spec *s, struct err *e)
{
	CLEANUP(json_freep) struct json_object *o = json_object_new_object();
	CLEANUP(fd_closep) int parent = -1;
	struct json_object *config = json_object_new_object();

	if (!o || !config)
		return err_set(e, -ENOMEM, "no memory for %s", dir);
	put(o, "version", json_object_new_int(FORMAT_VERSION));
	put_string(o, "token", s->token);
	put_string(o, "model", s->model);
	put_string(o, "input", s->input_path);
	put_string(o, "media", s->media_path);
	put(o, "records", json_object_new_uint64(s->record_count));
	put(o, "attempt", json_object_new_int64(s->attempt));
	for (size_t i = 0; i < s->config.count; i++)
		put_string(config, s->config.pairs[i].key, s->config.pairs[i].value);
	put(o, "config", config);

	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return err_errno(e, -errno, "cannot make %s", dir);
	parent = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (parent >= 0) {
		int up = openat(parent, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		fd_closep(&parent);
		parent = up;
	}
	if (parent < 0 || fsync(parent) < 0)
		return err_errno(e, -errno, "cannot sync the directory of %s", dir);
	return write_json(dir, SPEC_NAME, o, e);
}

int rundir_read_spec(const char *dir, struct run_spec *ret, struct err *e)
{
	CLEANUP(json_freep) struct json_object *o = NULL;
	CLEANUP(run_spec_release) struct run_spec s = {.token = NULL};
	struct json_object *config;
	int r = read_json(dir, SPEC_NAME, &o, e);

	if (r < 0)
		return r;
	s = (struct run_spec){
		.token = get_string(o, "token"),
		.model = get_string(o, "model"),
		.input_path = get_string(o, "input"),
		.media_path = get_string(o, "media"),
		.record_count = get_number(o, "records"),
		.attempt = (unsigned)get_number(o, "attempt"),
	};
	if (!s.token || !s.model || !s.input_path || strlen(s.token) >= BACKEND_TOKEN_MAX)
		return err_set(e, -EINVAL, "%s/" SPEC_NAME " is damaged", dir);
	if (json_object_object_get_ex(o, "config", &config) &&
	    json_object_is_type(config, json_type_object)) {
		json_object_object_foreach(config, key, value)
		{
			r = kv_set(&s.config, key, json_object_get_string(value));
			if (r < 0)
				return err_errno(e, r, "%s/" SPEC_NAME, dir);
		}
	}
	*ret = s;
	s = (struct run_spec){.token = NULL};
	return 0;
}

int rundir_write_end(const char *dir, const struct run_end *end, struct err *e)
{
	CLEANUP(json_freep) struct json_object *o = json_object_new_object();

	if (!o)
		return err_set(e, -ENOMEM, "no memory for %s", dir);
	put(o, "version", json_object_new_int(FORMAT_VERSION));
	put_string(o, "state", job_state_name(end->state));
	put_string(o, "message", end->message);
	put(o, "records", json_object_new_uint64(end->counts.total));
	put(o, "good", json_object_new_uint64(end->counts.good));
	put(o, "failed", json_object_new_uint64(end->counts.failed));
	put(o, "inputTokens", json_object_new_uint64(end->tokens.input));
	put(o, "outputTokens", json_object_new_uint64(end->tokens.output));
	return write_json(dir, END_NAME, o, e);
}

int rundir_read_end(const char *dir, struct run_end *ret, struct err *e)
{
	CLEANUP(json_freep) struct json_object *o = NULL;
	CLEANUP(str_freep) char *state = NULL;
	CLEANUP(str_freep) char *message = NULL;
	int r = read_json(dir, END_NAME, &o, e), word;

	if (r < 0)
		return r;
	state = get_string(o, "state");
	message = get_string(o, "message");
	word = state ? job_state_parse(state) : -1;
	if (word != JOB_COMPLETED && word != JOB_STOPPED && word != JOB_FAILED)
		return err_set(e, -EINVAL, "%s/" END_NAME " is damaged", dir);
	*ret = (struct run_end){
		.state = (enum job_state)word,
		.counts = {.total = get_number(o, "records"),
			   .good = get_number(o, "good"),
			   .failed = get_number(o, "failed")},
		.tokens = {.input = get_number(o, "inputTokens"),
			   .output = get_number(o, "outputTokens")},
	};
	snprintf(ret->message, sizeof(ret->message), "%s", message ? message : "");
	return 0;
}

int rundir_write_stop(const char *dir, struct err *e)
{
	return write_file(dir, STOP_NAME, "", e);
}

bool rundir_has_stop(const char *dir)
{
	CLEANUP(fd_closep) int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return at >= 0 && faccessat(at, STOP_NAME, F_OK, 0) == 0;
}

/* A run's directory holds files only; a directory in it stays and is told. */
static int empty_and_remove(int parent, const char *name)
{
	CLEANUP(dir_closep) DIR *d = NULL;
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	struct dirent *it;

	if (fd < 0)
		return -errno;
	d = fdopendir(fd);
	if (!d) {
		fd_closep(&fd);
		return -errno;
	}
	while ((it = readdir(d)))
		if (strcmp(it->d_name, ".") != 0 && strcmp(it->d_name, "..") != 0 &&
		    unlinkat(dirfd(d), it->d_name, 0) < 0 && errno != ENOENT)
			return -errno;
	return unlinkat(parent, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

int rundir_remove(const char *parent, const char *token, struct err *e)
{
	CLEANUP(fd_closep) int at = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char gone[sizeof(GONE_PREFIX) + BACKEND_TOKEN_MAX];
	int r = at < 0 ? -errno : 0;

	snprintf(gone, sizeof(gone), GONE_PREFIX "%s", token);
	if (r == 0 && renameat(at, token, at, gone) < 0)
		r = -errno;
	if (r == 0)
		r = empty_and_remove(at, gone);
	if (r < 0 && r != -ENOENT)
		return err_errno(e, r, "cannot delete %s/%s", parent, token);
	return 0;
}

void rundir_sweep(const char *parent)
{
	CLEANUP(dir_closep) DIR *d = opendir(parent);
	struct dirent *it;

	while (d && (it = readdir(d)))
		if (strncmp(it->d_name, GONE_PREFIX, strlen(GONE_PREFIX)) == 0)
			ignore_error(empty_and_remove(dirfd(d), it->d_name)); /* next time */
}
