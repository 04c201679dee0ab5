#include "backend/http/target.h"

#include <curl/curl.h>
#include <string.h>

static void url_freep(CURLU **u)
{
	curl_url_cleanup(*u);
	*u = NULL;
}

static void part_freep(char **s)
{
	curl_free(*s);
	*s = NULL;
}

void target_release(struct target *t)
{
	str_freep(&t->origin);
	str_freep(&t->path);
	str_freep(&t->query);
	str_freep(&t->unix_path);
	str_freep(&t->shown);
}

bool target_is_loopback(const char *host)
{
	size_t size = strcspn(host, host[0] == '[' ? "]" : ":");

	return (size == 9 && strncasecmp(host, "localhost", size) == 0) ||
	       strncmp(host, "127.", 4) == 0 || strncmp(host, "[::1]", 5) == 0;
}

/* What may be a password is not repeated. */
static const char *repeat(const char *text)
{
	return strchr(text, '@') ? "url" : text;
}

static bool is_plain(const char *text)
{
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p <= 0x20 || *p == 0x7f)
			return false;
	return true;
}

/* The parts of url into t; t may be filled in part on failure. */
static int split(CURLU *u, const char *text, struct target *t, struct err *e)
{
	CLEANUP(part_freep) char *scheme = NULL, *host = NULL, *port = NULL, *path = NULL;
	CLEANUP(part_freep) char *query = NULL, *user = NULL, *fragment = NULL;
	size_t size;

	if (curl_url_get(u, CURLUPART_USER, &user, 0) == CURLUE_OK)
		return err_set(e, -EINVAL,
			       "a URL with a user or password in it would be shown: take them out, "
			       "and name a file that holds the key with key_file");
	if (curl_url_get(u, CURLUPART_FRAGMENT, &fragment, 0) == CURLUE_OK)
		return err_set(e, -EINVAL, "%s: a URL with '#' has no meaning here", repeat(text));
	if (curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
	    curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
	    curl_url_get(u, CURLUPART_PATH, &path, 0) != CURLUE_OK)
		return err_set(e, -EINVAL, "%s: not a URL of the form http://HOST:PORT/PATH",
			       repeat(text));
	t->tls = strcasecmp(scheme, "https") == 0;
	if (!t->tls && strcasecmp(scheme, "http") != 0)
		return err_set(e, -EINVAL, "%s: only http:// and https:// are spoken",
			       repeat(text));
	ignore_error(curl_url_get(u, CURLUPART_PORT, &port, 0)); /* NULL if none is given */
	ignore_error(curl_url_get(u, CURLUPART_QUERY, &query, 0));
	t->loopback = target_is_loopback(host);
	size = strlen(path);
	if (size && path[size - 1] == '/')
		path[size - 1] = 0;
	t->path = strdup(path);
	if (asprintf(&t->origin, "%s://%s%s%s", t->tls ? "https" : "http", host, port ? ":" : "",
		     port ? port : "") < 0)
		t->origin = NULL;
	if (asprintf(&t->query, "%s%s", query ? "?" : "", query ? query : "") < 0)
		t->query = NULL;
	return t->path && t->origin && t->query ? 0 : -ENOMEM;
}

/* "unix:PATH:/v1/..." or "unix:PATH": the socket into t, the rest as a URL. */
static int split_unix(const char *text, struct target *t, char **ret_url, struct err *e)
{
	const char *start = text + strlen("unix:");
	const char *colon = strstr(start, ":/");
	size_t size = colon ? (size_t)(colon - start) : strlen(start);

	if (*start != '/')
		return err_set(e, -EINVAL, "%s: the socket's path must begin with '/'", text);
	if (size > 107) /* sun_path of sockaddr_un, with its NUL */
		return err_set(e, -EINVAL, "%s: a socket's path has at most 107 bytes", text);
	t->unix_path = strndup(start, size);
	if (asprintf(ret_url, "http://localhost%s", colon ? colon + 1 : "") < 0)
		*ret_url = NULL;
	if (asprintf(&t->shown, "unix:%.*s", (int)size, start) < 0)
		t->shown = NULL;
	return t->unix_path && *ret_url && t->shown ? 0 : -ENOMEM;
}

int target_parse(const char *text, struct target *ret, struct err *e)
{
	CLEANUP(target_release) struct target t = {NULL};
	CLEANUP(str_freep) char *url = NULL;
	CLEANUP(url_freep) CURLU *u = curl_url();
	int r = 0;

	if (!u)
		return err_set(e, -ENOMEM, "out of memory for a URL");
	if (strlen(text) > TARGET_TEXT_MAX)
		return err_set(e, -EINVAL, "a URL has at most %d bytes", TARGET_TEXT_MAX);
	if (!is_plain(text))
		return err_set(e, -EINVAL, "a URL has no spaces or control characters");
	if (strncmp(text, "unix:", 5) == 0)
		r = split_unix(text, &t, &url, e);
	else if (!(url = strdup(text)))
		r = -ENOMEM;
	if (r == -EINVAL)
		return r;
	if (r == 0 && (!strstr(url, "://") || curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK))
		return err_set(e, -EINVAL,
			       "%s: not a URL of the form http://HOST:PORT/PATH, "
			       "https://HOST/PATH or unix:SOCKET:/PATH",
			       repeat(text));
	if (r == 0)
		r = split(u, text, &t, e);
	if (r == -EINVAL)
		return r;
	if (r == 0 && !t.shown && !(t.shown = strdup(t.origin)))
		r = -ENOMEM;
	if (r < 0)
		return err_set(e, r, "out of memory for a URL");
	*ret = t;
	memset(&t, 0, sizeof(t));
	return 0;
}
