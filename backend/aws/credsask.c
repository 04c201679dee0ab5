#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "backend/aws/creds_private.h"
#include "backend/aws/errmap.h"
#include "fs/base/jsonscan.h"

#define PAUSE_FIRST_NS (200 * NS_PER_MS)

void creds_answer_release(struct wire_answer *a)
{
	if (a->body.size)
		explicit_bzero(a->body.data, a->body.size);
	wire_answer_release(a);
}

static bool is_passing(const struct creds_ask *q, const struct wire_answer *a)
{
	switch (a->failure) {
	case HTTP_ANSWERED:
		return a->status == 429 || a->status >= 500 || (q->again && q->again(a));
	case HTTP_REFUSED:
	case HTTP_UNREACHABLE:
	case HTTP_DNS:
	case HTTP_CONNECT_TIMEOUT:
	case HTTP_TIMEOUT:
	case HTTP_RESET:
		return true;
	case HTTP_TLS:
	case HTTP_TOO_LARGE:
	case HTTP_BROKEN:
	case HTTP_NO_MEMORY:
	case HTTP_CANCELLED:
	case HTTP_FAILURE_COUNT:
		break;
	}
	return false;
}

/* "http://127.0.0.1:80": what may be shown of a URL. */
static int origin_size(const char *url)
{
	const char *host = strstr(url, "://");

	return (int)(host ? (size_t)(host + 3 - url) + strcspn(host + 3, "/?#") : 0);
}

static const char *ca_bundle(const struct awsconfig *c)
{
	const char *path = awsconfig_env(c, "AWS_CA_BUNDLE");

	return path ? path : awsconfig_get(c, awsconfig_profile(c), "ca_bundle");
}

int creds_ask(const struct creds_source *s, const struct creds_ask *q, struct wire_answer *ret,
	      struct err *e)
{
	const struct http_request r = {.method = q->method,
				       .url = q->url,
				       .direct = q->direct,
				       .headers = q->headers,
				       .body = q->body,
				       .body_size = q->body_size,
				       .ca_bundle = ca_bundle(s->config),
				       .answer_max = CREDS_ANSWER_MAX,
				       .timeout_ms = q->timeout_ms};
	int64_t pause_ns = PAUSE_FIRST_NS;

	for (unsigned left = q->tries;; left--) {
		CLEANUP(creds_answer_release) struct wire_answer a = {.body = BUF_INIT(0)};
		int failed = wire_ask(s->wire, &r, &a, e);

		if (failed < 0)
			return failed;
		if (!is_passing(q, &a) || left <= 1) {
			if (a.failure != HTTP_ANSWERED)
				return err_set(e, -EAGAIN, "%s (%.*s) %s%s%s", q->who,
					       origin_size(q->url), q->url,
					       http_failure_words(a.failure), *a.words ? ": " : "",
					       a.words);
			*ret = a;
			buf_init(&a.body, 0);
			return 0;
		}
		if (wire_pause(s->wire, pause_ns) < 0)
			return err_set(e, -ECANCELED, "the mount is ending");
		pause_ns *= 2;
	}
}

int creds_headers(const char *type, struct http_headers **ret)
{
	int r = http_headers_new(ret);

	return r < 0 ? r : http_headers_add(*ret, "content-type", type);
}

int creds_post(const struct creds_source *s, struct creds_ask *q, int made,
	       struct http_headers *headers, struct buf *body, struct wire_answer *ret,
	       struct err *e)
{
	int r = made < 0 ? made : buf_error(body);

	if (r < 0) {
		r = err_errno(e, r, "cannot make a request to %s", q->who);
	} else {
		q->headers = headers;
		q->body = body->data;
		q->body_size = body->size;
		r = creds_ask(s, q, ret, e);
	}
	http_headers_free(headers);
	explicit_bzero(body->data, body->size);
	return r;
}

int creds_refusal(const struct wire_answer *a, const char *const *secrets, struct creds_said *ret)
{
	const struct http_answer answer = {.failure = a->failure,
					   .status = a->status,
					   .body = a->body.data,
					   .size = a->body.size};
	struct errmap m;

	errmap_read(&answer, false, &m);
	for (; secrets && *secrets; secrets++)
		if (**secrets && strstr(m.message, *secrets))
			snprintf(m.message, sizeof(m.message), "(its words hold a secret)");
	snprintf(ret->code, sizeof(ret->code), "%.63s", m.code);
	if (*m.code && *m.message)
		snprintf(ret->words, sizeof(ret->words), "%s: %.250s", m.code, m.message);
	else if (*m.code || *m.message)
		snprintf(ret->words, sizeof(ret->words), "%s%.250s", m.code, m.message);
	else
		snprintf(ret->words, sizeof(ret->words), "HTTP status %ld", a->status);
	return errmap_errno(m.class) == -EAGAIN ? -EAGAIN : -EACCES;
}

struct jsonspan creds_json(const char *text, size_t size)
{
	if (!jsonscan_text_is_valid(text, size))
		return (struct jsonspan){NULL, 0};
	return jsonspan_of(text, size);
}

int creds_json_string(struct jsonspan v, const char *key, char **ret)
{
	struct jsonspan member = jsonspan_get(v, key);
	/* Room for all of it at once: growing would leave copies behind. */
	CLEANUP(buf_release) struct buf text = BUF_INIT(CREDS_ANSWER_MAX);
	char *copy;

	*ret = NULL;
	if (!jsonspan_is_set(member))
		return 0;
	if (!buf_reserve(&text, member.size + 1))
		return -ENOMEM;
	if (!jsonspan_string(member, &text) || strlen(text.data) != text.size) {
		explicit_bzero(text.data, text.size);
		return -EBADMSG;
	}
	copy = buf_steal(&text);
	if (!copy)
		return -ENOMEM;
	*ret = copy;
	return 0;
}

int creds_from_json(struct jsonspan v, const struct creds_names *names, struct creds *ret)
{
	CLEANUP(creds_release) struct creds c = CREDS_INIT;
	CLEANUP(str_freep) char *expires = NULL;
	int r = creds_json_string(v, names->id, &c.access_key_id);

	if (r == 0)
		r = creds_json_string(v, names->secret, &c.secret);
	if (r == 0)
		r = creds_json_string(v, names->token, &c.session_token);
	if (r == 0 && names->account)
		r = creds_json_string(v, names->account, &c.account_id);
	if (r == 0 && names->expires)
		r = creds_json_string(v, names->expires, &expires);
	if (r == 0 && (!c.access_key_id || !c.secret))
		r = -EBADMSG;
	if (r == 0 && expires && !creds_parse_time(expires, &c.expires_ns))
		r = -EBADMSG;
	if (r < 0)
		return r;
	*ret = c;
	c = (struct creds)CREDS_INIT;
	return 0;
}

int creds_read_file(const char *path, size_t max, char **ret)
{
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	CLEANUP(creds_wipe) char *text = NULL;
	size_t size = 0;

	if (fd < 0)
		return -errno;
	text = calloc(1, max + 2);
	if (!text)
		return -ENOMEM;
	while (size <= max) {
		ssize_t n = read(fd, text + size, max + 1 - size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		size += (size_t)n;
	}
	if (size > max)
		return -EFBIG;
	while (size && strchr(" \t\r\n", text[size - 1]))
		text[--size] = '\0';
	*ret = STEAL(&text);
	return 0;
}
