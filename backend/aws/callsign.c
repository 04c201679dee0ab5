#include <string.h>

#include "backend/aws/call_private.h"
#include "backend/http/target.h"
#include "fs/base/buf.h"

/*
 * One attempt of a call: the URL, the headers, and what is signed of them,
 * which is all of them, so that the two lists cannot differ.
 */

#define URL_MAX	   (64 * 1024)
#define HOST_MAX   300
#define HIDE_MIN   12 /* a shorter run is chance */
#define HIDE_LEAST 4  /* a shorter secret is none */

void callsign_release(struct callsign *s)
{
	free(s->url);
	http_headers_free(s->headers);
	*s = (struct callsign){.url = NULL};
}

static bool is_https(const char *origin)
{
	return strncasecmp(origin, "https://", 8) == 0;
}

void callsign_hash(const struct aws_request *q, char hash[SIGV4_HASH_SIZE])
{
	bool is_unsigned = q->payload_hash && strcmp(q->payload_hash, SIGV4_UNSIGNED_PAYLOAD) == 0;

	if (q->payload_hash && (!is_unsigned || is_https(q->origin)))
		snprintf(hash, SIGV4_HASH_SIZE, "%s", q->payload_hash);
	else
		sigv4_hash(q->body, q->body_size, hash);
}

void callsign_hide(char *text, const char *secret)
{
	size_t size = secret ? strlen(secret) : 0;
	size_t least = size < HIDE_MIN ? size : HIDE_MIN;

	if (size < HIDE_LEAST)
		return;
	for (size_t i = 0; text[i]; i++) {
		size_t longest = 0;

		for (size_t from = 0; from + least <= size; from++) {
			size_t n = 0;

			while (text[i + n] && text[i + n] == secret[from + n])
				n++;
			longest = n > longest ? n : longest;
		}
		if (longest < least)
			continue;
		memset(text + i, '*', longest);
		i += longest - 1;
	}
}

/* What the header Host says: the port only if it is not the scheme's. */
static int host_of(const char *origin, char host[HOST_MAX], const char **ret_base)
{
	const char *port = is_https(origin) ? ":443" : ":80", *at;
	size_t size, port_size = strlen(port);

	if (!is_https(origin) && strncasecmp(origin, "http://", 7) != 0)
		return -EINVAL;
	at = strchr(origin, '/') + 2;
	size = strcspn(at, "/?#");
	*ret_base = at + size;
	if (size > port_size && strncmp(at + size - port_size, port, port_size) == 0)
		size -= port_size;
	if (size == 0 || size >= HOST_MAX || memchr(at, '@', size))
		return -EINVAL;
	memcpy(host, at, size);
	host[size] = '\0';
	return 0;
}

struct lines {
	struct sigv4_header list[SIGV4_HEADERS_MAX];
	size_t count;
};

static void add(struct lines *l, const char *name, const char *value)
{
	/* AWS_HEADERS_MAX and the seven of our own always fit. */
	if (value)
		l->list[l->count++] = (struct sigv4_header){name, value};
}

static void wipe(struct buf *b)
{
	if (b->size)
		explicit_bzero(b->data, b->size);
	buf_release(b);
}

/* Sets *out to the header Authorization; empty: none. */
static int authorize(const struct aws_request *q, const struct callsign_with *with,
		     const struct lines *lines, const char *path, struct buf *out)
{
	const struct sigv4_request sign = {
		.method = q->method,
		.path = path,
		.query = q->query,
		.headers = lines->list,
		.header_count = lines->count,
		.payload_hash = with->hash,
		.region = q->region,
		.service = q->service,
		.wall_ns = with->wall_ns,
		.path_as_sent = q->auth == AWS_AUTH_S3,
	};

	if (with->bearer) {
		if (buf_reserve(out, strlen(with->bearer) + 16))
			buf_addf(out, "Bearer %s", with->bearer);
		return buf_error(out) < 0 ? -ENOMEM : 0;
	}
	if (!with->creds)
		return 0;
	return sigv4_sign(&sign, with->creds->access_key_id, with->creds->secret, out);
}

static int make_headers(const struct lines *lines, const char *authorization,
			struct http_headers **ret, struct err *e)
{
	int r = http_headers_new(ret);

	for (size_t i = 0; r == 0 && i < lines->count; i++) {
		r = http_headers_add(*ret, lines->list[i].name, lines->list[i].value);
		if (r == -EINVAL)
			return err_set(e, r, "the header %s cannot be sent: it has control bytes",
				       lines->list[i].name);
	}
	if (r == 0 && *authorization)
		r = http_headers_add(*ret, "Authorization", authorization);
	if (r == -EINVAL)
		return err_set(e, r, "the credentials cannot be sent: they have control bytes");
	return r < 0 ? err_set(e, r, "no memory for a request") : 0;
}

int callsign_make(const struct aws_request *q, const struct callsign_with *with,
		  struct callsign *ret, struct err *e)
{
	CLEANUP(callsign_release) struct callsign made = {.url = NULL};
	CLEANUP(wipe) struct buf authorization = BUF_INIT(URL_MAX);
	CLEANUP(buf_release) struct buf url = BUF_INIT(URL_MAX), path = BUF_INIT(URL_MAX);
	char host[HOST_MAX], date[SIGV4_DATE_SIZE], attempt[64];
	const char *base;
	struct lines lines = {.count = 0};
	int r;

	if (host_of(q->origin, host, &base) < 0)
		return err_set(e, -EINVAL, "%s is no address of a service", q->origin);
	buf_addf(&path, "%s%s", base, q->path);
	buf_addf(&url, "%s%s%s%s", q->origin, q->path, q->query && *q->query ? "?" : "",
		 q->query ? q->query : "");
	sigv4_date(with->wall_ns, date);
	snprintf(attempt, sizeof(attempt), "attempt=%u; max=%u", with->attempt, with->attempts);
	add(&lines, "Host", host);
	for (size_t i = 0; i < AWS_HEADERS_MAX && q->headers[i].name; i++)
		add(&lines, q->headers[i].name, q->headers[i].value);
	add(&lines, "amz-sdk-invocation-id", with->id);
	add(&lines, "amz-sdk-request", attempt);
	if (with->creds) {
		add(&lines, "X-Amz-Date", date);
		add(&lines, "X-Amz-Content-Sha256", q->auth == AWS_AUTH_S3 ? with->hash : NULL);
		add(&lines, "X-Amz-Security-Token", with->creds->session_token);
	}
	if (buf_error(&url) < 0 || buf_error(&path) < 0)
		return err_set(e, -ENOMEM, "no memory for a request to %s", host);
	r = authorize(q, with, &lines, path.data, &authorization);
	if (r < 0)
		return err_set(e, r, "cannot sign a request to %s%s", q->origin,
			       r == -EINVAL ? ": its query makes no sense" : ": no memory");
	r = make_headers(&lines, authorization.data, &made.headers, e);
	if (r < 0)
		return r;
	made.direct = target_is_loopback(host);
	made.url = buf_steal(&url);
	*ret = made;
	made = (struct callsign){.url = NULL};
	return 0;
}
