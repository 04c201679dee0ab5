#include "backend/local/httpkey.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define KEY_MAX		  8192
#define ANTHROPIC_VERSION "2023-06-01"

/* The key alone, from a file that nobody else may read.  The caller wipes. */
static int read_key(const char *path, char out[KEY_MAX], struct err *e)
{
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(e, -errno, "key_file %s cannot be read", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, -EINVAL, "key_file %s is not a file", path);
	if (st.st_mode & 077)
		return err_set(e, -EACCES,
			       "key_file %s can be read by others; say: chmod 600 %s, "
			       "and think of a new key",
			       path, path);
	n = read(fd, out, KEY_MAX);
	if (n < 0)
		return err_errno(e, -errno, "key_file %s cannot be read", path);
	if (n == KEY_MAX)
		return err_set(e, -EINVAL, "key_file %s is too large for a key", path);
	out[n] = 0;
	n = (ssize_t)strcspn(out, "\r\n");
	out[n] = 0;
	if (n == 0 || !http_header_is_valid("authorization", out))
		return err_set(e, -EINVAL, "key_file %s has no key in its first line", path);
	return 0;
}

static int add_key(struct http_headers *h, enum httpshape_api api, const char *path, struct err *e)
{
	char key[KEY_MAX + 8];
	int r = read_key(path, key + 7, e);

	if (r == 0 && api == HTTPSHAPE_ANTHROPIC) {
		r = http_headers_add(h, "x-api-key", key + 7);
	} else if (r == 0) {
		memcpy(key, "Bearer ", 7);
		r = http_headers_add(h, "Authorization", key);
	}
	explicit_bzero(key, sizeof(key));
	return r;
}

static void headers_freep(struct http_headers **h)
{
	http_headers_free(*h);
	*h = NULL;
}

int httpkey_headers(const struct kv *section, enum httpshape_api api, struct http_headers **ret,
		    struct err *e)
{
	CLEANUP(headers_freep) struct http_headers *h = NULL;
	const char *key_file = kv_get(section, "key_file");
	int r = http_headers_new(&h);

	for (size_t i = 0; r == 0 && i < section->count; i++)
		if (strncmp(section->pairs[i].key, "header.", 7) == 0)
			r = http_headers_add(h, section->pairs[i].key + 7, section->pairs[i].value);
	if (r == 0 && !http_headers_has(h, "Content-Type"))
		r = http_headers_add(h, "Content-Type", "application/json");
	if (r == 0 && !http_headers_has(h, "Accept"))
		r = http_headers_add(h, "Accept", "application/json");
	if (r == 0 && api == HTTPSHAPE_ANTHROPIC && !http_headers_has(h, "anthropic-version"))
		r = http_headers_add(h, "anthropic-version", ANTHROPIC_VERSION);
	if (r < 0)
		return err_set(e, r, "cannot make the headers of requests");
	if (key_file)
		r = add_key(h, api, key_file, e);
	if (r < 0)
		return r;
	*ret = STEAL(&h);
	return 0;
}

int httpkey_check(const struct kv *section, struct err *e)
{
	const char *key_file = kv_get(section, "key_file");

	if (key_file && *key_file != '/')
		return err_set(e, -EINVAL, "key_file = %s: give the whole path, from / on",
			       key_file);
	for (size_t i = 0; i < section->count; i++) {
		const char *key = section->pairs[i].key;

		if (strncmp(key, "header.", 7) == 0 &&
		    !http_header_is_valid(key + 7, section->pairs[i].value))
			return err_set(e, -EINVAL,
				       "%s: not a header; write header.NAME = VALUE, NAME without "
				       "spaces and VALUE without control characters",
				       key);
	}
	return 0;
}
