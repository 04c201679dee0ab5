#include "backend/http/http.h"

#include <ctype.h>
#include <curl/curl.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "fs/base/buf.h"
#include "fs/base/clock.h"
#include "fs/base/log.h"

/*
 * A client is a curl multi handle and a table of calls.  A call owns an easy
 * handle, which is kept for the next request when the call has ended, and the
 * buffer its answer goes to, which is not.
 *
 *	http_submit	takes an idle call, sets its handle up, adds it
 *	http_step	perform; deliver what has ended; if nothing had, poll,
 *			perform and deliver again
 *
 * A call is idle again before its done() runs, so done() may submit; the
 * answer is taken out of the call first.  Easy handles stay out of the multi
 * handle while idle, connections stay in it.
 */

#define STEP_MAX_MS 60000
#define KEEPALIVE_S 30L
#define DATE_MAX_S  (4LL * INT32_MAX) /* the year 2242 */

struct http_headers {
	struct curl_slist *list; /* owned; may hold secrets */
};

struct call {
	CURL *easy;			/* owned; NULL until first used */
	struct buf answer;		/* what has come so far */
	struct curl_slist own_lines[3]; /* go in front of the shared list */
	char words[CURL_ERROR_SIZE];
	bool busy, too_large;
	bool head_whole; /* the empty line after the headers has come */
	void (*done)(void *ctx, const struct http_answer *a);
	void *ctx;
};

struct http_client {
	CURLM *multi;
	unsigned count; /* busy ones */
	unsigned calls_max;
	struct call calls[];
};

static const char *const failure_words[HTTP_FAILURE_COUNT] = {
	[HTTP_ANSWERED] = "answers",
	[HTTP_REFUSED] = "refuses connections",
	[HTTP_UNREACHABLE] = "cannot be reached",
	[HTTP_DNS] = "has a name that cannot be resolved",
	[HTTP_TLS] = "cannot be talked to over TLS",
	[HTTP_CONNECT_TIMEOUT] = "does not take connections in time",
	[HTTP_TIMEOUT] = "does not answer in time",
	[HTTP_RESET] = "closes connections without a whole answer",
	[HTTP_TOO_LARGE] = "sends answers that are too large",
	[HTTP_BROKEN] = "does not speak HTTP",
	[HTTP_NO_MEMORY] = "could not be asked: out of memory",
	[HTTP_CANCELLED] = "was not waited for",
};

const char *http_failure_words(enum http_failure f)
{
	return failure_words[f];
}

int http_global_init(struct err *e)
{
	CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);

	if (code != CURLE_OK)
		return err_set(e, -ENOMEM, "cannot start libcurl: %s", curl_easy_strerror(code));
	return 0;
}

void http_global_cleanup(void)
{
	curl_global_cleanup();
}

int http_headers_new(struct http_headers **ret)
{
	struct http_headers *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	*ret = h;
	return 0;
}

void http_headers_free(struct http_headers *h)
{
	if (!h)
		return;
	for (struct curl_slist *s = h->list; s; s = s->next)
		explicit_bzero(s->data, strlen(s->data));
	curl_slist_free_all(h->list);
	free(h);
}

bool http_header_is_valid(const char *name, const char *value)
{
	if (!*name || strspn(name, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != strlen(name))
		return false;
	for (const char *p = value; *p; p++)
		if ((unsigned char)*p < 0x20 && *p != '\t')
			return false;
	return !strchr(value, 0x7f);
}

int http_headers_add(struct http_headers *h, const char *name, const char *value)
{
	size_t size = strlen(name) + 2 + strlen(value) + 1;
	struct curl_slist *list;
	char *line;

	if (!http_header_is_valid(name, value))
		return -EINVAL;
	line = malloc(size);
	if (!line)
		return -ENOMEM;
	/* To libcurl "name:" means no such header, "name;" an empty one. */
	snprintf(line, size, *value ? "%s: %s" : "%s;", name, value);
	list = curl_slist_append(h->list, line); /* copies */
	explicit_bzero(line, size);
	free(line);
	if (!list)
		return -ENOMEM;
	h->list = list;
	return 0;
}

bool http_headers_has(const struct http_headers *h, const char *name)
{
	size_t size = strlen(name);

	for (const struct curl_slist *s = h->list; s; s = s->next)
		if (strncasecmp(s->data, name, size) == 0 &&
		    (s->data[size] == ':' || s->data[size] == ';'))
			return true;
	return false;
}

const char *http_answer_header(const struct http_answer *a, const char *name)
{
	struct curl_header *header;

	for (const char *const *made = a->made_up_headers; made && made[0]; made += 2)
		if (strcasecmp(made[0], name) == 0)
			return made[1];
	if (!a->private_ ||
	    curl_easy_header(a->private_, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
		return NULL;
	return header->value;
}

bool http_answer_date_ns(const struct http_answer *a, int64_t *ret_wall_ns)
{
	const char *text = http_answer_header(a, "date");
	/* All forms of an HTTP date begin with the name of a day. */
	time_t at = text && isalpha((unsigned char)*text) ? curl_getdate(text, NULL) : -1;

	if (at < 0 || at > DATE_MAX_S)
		return false;
	*ret_wall_ns = at * NS_PER_S;
	return true;
}

int http_client_new(unsigned calls_max, struct http_client **ret, struct err *e)
{
	struct http_client *c;

	if (calls_max == 0 || calls_max > HTTP_CALLS_MAX)
		return err_set(e, -EINVAL, "%u requests at once: not within 1 to %d", calls_max,
			       HTTP_CALLS_MAX);
	c = calloc(1, sizeof(*c) + calls_max * sizeof(c->calls[0]));
	if (!c)
		return err_set(e, -ENOMEM, "out of memory for an HTTP client");
	c->calls_max = calls_max;
	c->multi = curl_multi_init();
	if (!c->multi) {
		free(c);
		return err_set(e, -ENOMEM, "out of memory for an HTTP client");
	}
	/* As many kept as there can be used: one fewer is reconnecting for ever. */
	curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)calls_max);
	for (unsigned i = 0; i < calls_max; i++)
		buf_init(&c->calls[i].answer, HTTP_ANSWER_MAX);
	*ret = c;
	return 0;
}

void http_client_free(struct http_client *c)
{
	if (!c)
		return;
	for (unsigned i = 0; i < c->calls_max; i++) {
		struct call *call = &c->calls[i];

		if (call->busy)
			curl_multi_remove_handle(c->multi, call->easy);
		curl_easy_cleanup(call->easy);
		buf_release(&call->answer);
	}
	curl_multi_cleanup(c->multi);
	free(c);
}

unsigned http_client_count(const struct http_client *c)
{
	return c->count;
}

static size_t on_bytes(char *bytes, size_t unit, size_t count, void *arg)
{
	struct call *call = arg;

	buf_add(&call->answer, bytes, unit * count);
	if (buf_error(&call->answer) == 0)
		return unit * count;
	call->too_large = buf_error(&call->answer) == -EFBIG;
	return 0; /* ends the transfer with CURLE_WRITE_ERROR */
}

/* libcurl takes a connection that is closed within the headers for the end of
 * an empty answer; so we look for the empty line ourselves. */
static size_t on_header(char *bytes, size_t unit, size_t count, void *arg)
{
	struct call *call = arg;
	size_t size = unit * count;

	if (size >= 5 && memcmp(bytes, "HTTP/", 5) == 0)
		call->head_whole = false; /* a 1xx went before it */
	else if (size && (bytes[0] == '\r' || bytes[0] == '\n'))
		call->head_whole = true;
	return size;
}

/* Sockets must not live on in the programs a command engine starts. */
static curl_socket_t on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);

	(void)arg;
	(void)purpose;
	return fd < 0 ? CURL_SOCKET_BAD : fd;
}

#define SET(easy, option, value)                                                                   \
	do {                                                                                       \
		CURLcode set_ = curl_easy_setopt((easy), (option), (value));                       \
		if (set_ != CURLE_OK)                                                              \
			return set_;                                                               \
	} while (0)

/* What is the same for all requests. */
static CURLcode set_habits(CURL *easy)
{
	SET(easy, CURLOPT_NOSIGNAL, 1L);
	/* Who gives up does not wait for a resolver that does not answer. */
	SET(easy, CURLOPT_QUICK_EXIT, 1L);
	SET(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	SET(easy, CURLOPT_FOLLOWLOCATION, 0L);
	SET(easy, CURLOPT_USERAGENT, "batchfs/" BATCHFS_VERSION);
	SET(easy, CURLOPT_PATH_AS_IS, 1L);
	SET(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)HTTP_CONNECT_TIMEOUT_MS);
	SET(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	SET(easy, CURLOPT_TCP_KEEPIDLE, KEEPALIVE_S);
	SET(easy, CURLOPT_TCP_KEEPINTVL, KEEPALIVE_S);
	SET(easy, CURLOPT_OPENSOCKETFUNCTION, on_socket);
	SET(easy, CURLOPT_WRITEFUNCTION, on_bytes);
	SET(easy, CURLOPT_HEADERFUNCTION, on_header);
	return CURLE_OK;
}

static CURLcode set_method(CURL *easy, const struct http_request *r)
{
	bool sends = strcmp(r->method, "POST") == 0 || strcmp(r->method, "PUT") == 0;

	if (strcmp(r->method, "HEAD") == 0)
		SET(easy, CURLOPT_NOBODY, 1L);
	if (r->body || sends) {
		SET(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)(r->body ? r->body_size : 0));
		SET(easy, CURLOPT_POSTFIELDS, r->body ? r->body : ""); /* not copied */
	}
	SET(easy, CURLOPT_CUSTOMREQUEST, r->method);
	return CURLE_OK;
}

static bool names_content_type(const struct http_request *r)
{
	return (r->headers && http_headers_has(r->headers, "content-type")) ||
	       (r->header_line && strncasecmp(r->header_line, "content-type:", 13) == 0);
}

/* Nodes of our own before the shared list, which stays as it is.  libcurl only
 * reads the lines. */
static CURLcode set_header_lines(struct call *call, const struct http_request *r)
{
	static char no_expect[] = "Expect:"; /* spares a pause of a second */
	static char no_type[] = "Content-Type:";
	char *lines[] = {no_expect, names_content_type(r) ? NULL : no_type,
			 (char *)(uintptr_t)r->header_line};
	struct curl_slist *first = r->headers ? r->headers->list : NULL;

	for (size_t i = 0; i < COUNT_OF(lines); i++) {
		if (!lines[i])
			continue;
		call->own_lines[i] = (struct curl_slist){.data = lines[i], .next = first};
		first = &call->own_lines[i];
	}
	SET(call->easy, CURLOPT_HTTPHEADER, first);
	return CURLE_OK;
}

static CURLcode set_request(struct call *call, const struct http_request *r)
{
	CURL *easy = call->easy;
	CURLcode code;

	SET(easy, CURLOPT_URL, r->url);
	SET(easy, CURLOPT_FRESH_CONNECT, r->once ? 1L : 0L);
	/* Worth a wait where the connection may turn out to be HTTP/2.  Without
	 * TLS it will not, and the wait is for the first answer. */
	SET(easy, CURLOPT_PIPEWAIT, strncasecmp(r->url, "https:", 6) == 0 ? 1L : 0L);
	SET(easy, CURLOPT_UNIX_SOCKET_PATH, r->unix_path);
	if (r->direct)
		SET(easy, CURLOPT_NOPROXY, "*");
	if (r->ca_bundle)
		SET(easy, CURLOPT_CAINFO, r->ca_bundle);
	if (!r->as_stored)
		SET(easy, CURLOPT_ACCEPT_ENCODING, "");
	SET(easy, CURLOPT_TIMEOUT_MS, r->timeout_ms);
	if (r->stall_s) {
		SET(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
		SET(easy, CURLOPT_LOW_SPEED_TIME, r->stall_s);
	}
	SET(easy, CURLOPT_WRITEDATA, call);
	SET(easy, CURLOPT_HEADERDATA, call);
	SET(easy, CURLOPT_PRIVATE, call);
	SET(easy, CURLOPT_ERRORBUFFER, call->words);
	code = set_method(easy, r);
	return code == CURLE_OK ? set_header_lines(call, r) : code;
}

static struct call *idle_call(struct http_client *c)
{
	for (unsigned i = 0; i < c->calls_max; i++)
		if (!c->calls[i].busy)
			return &c->calls[i];
	return NULL;
}

int http_submit(struct http_client *c, const struct http_request *r, struct err *e)
{
	struct call *call = idle_call(c);
	CURLcode code;

	if (!call)
		return err_set(e, -EBUSY, "%u requests are under way already", c->calls_max);
	if (!call->easy)
		call->easy = curl_easy_init();
	if (!call->easy)
		return err_set(e, -ENOMEM, "out of memory for a request to %s", r->url);
	buf_release(&call->answer);
	buf_init(&call->answer, r->answer_max ? r->answer_max : HTTP_ANSWER_MAX);
	call->words[0] = 0;
	call->too_large = call->head_whole = false;
	curl_easy_reset(call->easy);
	code = set_habits(call->easy);
	if (code == CURLE_OK)
		code = set_request(call, r);
	if (code != CURLE_OK)
		return err_set(e, code == CURLE_OUT_OF_MEMORY ? -ENOMEM : -EINVAL,
			       "cannot make a request to %s: %s", r->url, curl_easy_strerror(code));
	if (curl_multi_add_handle(c->multi, call->easy) != CURLM_OK)
		return err_set(e, -ENOMEM, "out of memory for a request to %s", r->url);
	call->done = r->done;
	call->ctx = r->ctx;
	call->busy = true;
	c->count++;
	return 0;
}

static enum http_failure classify_connect(CURL *easy)
{
	long os_errno = 0;

	curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &os_errno);
	/* A unix socket that is not there yet is a server that is not running. */
	if (os_errno == ECONNREFUSED || os_errno == ENOENT || os_errno == 0)
		return HTTP_REFUSED;
	return os_errno == ETIMEDOUT ? HTTP_CONNECT_TIMEOUT : HTTP_UNREACHABLE;
}

static enum http_failure classify_timeout(CURL *easy)
{
	curl_off_t connected_us = 0;

	curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &connected_us);
	return connected_us ? HTTP_TIMEOUT : HTTP_CONNECT_TIMEOUT;
}

static enum http_failure classify(const struct call *call, CURLcode code)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wswitch-enum" /* a hundred codes, few of them ours */
	switch (code) {
	case CURLE_OK:
		return call->head_whole ? HTTP_ANSWERED : HTTP_RESET;
	case CURLE_COULDNT_CONNECT:
		return classify_connect(call->easy);
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		return HTTP_DNS;
	case CURLE_OPERATION_TIMEDOUT:
		return classify_timeout(call->easy);
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_INVALIDCERTSTATUS:
		return HTTP_TLS;
	case CURLE_WRITE_ERROR:
		return call->too_large ? HTTP_TOO_LARGE : HTTP_NO_MEMORY;
	case CURLE_FILESIZE_EXCEEDED:
		return HTTP_TOO_LARGE;
	case CURLE_OUT_OF_MEMORY:
		return HTTP_NO_MEMORY;
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_BAD_CONTENT_ENCODING:
		return HTTP_BROKEN;
	default:
		return HTTP_RESET;
	}
#pragma GCC diagnostic pop
}

/* Takes the call off the multi handle and tells its owner. */
static void finish(struct http_client *c, struct call *call, enum http_failure failure)
{
	CLEANUP(buf_release) struct buf body = call->answer;
	struct http_answer a = {.failure = failure, .private_ = call->easy};
	CURL *easy = call->easy;

	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &a.status);
	curl_multi_remove_handle(c->multi, easy);
	snprintf(a.words, sizeof(a.words), "%s", call->words);
	a.body = body.data;
	a.size = body.size;
	/* done() may submit into this very call: its handle waits till after. */
	buf_init(&call->answer, HTTP_ANSWER_MAX);
	call->easy = NULL;
	call->busy = false;
	c->count--;
	log_debug("http", "%s status=%ld bytes=%zu", failure_words[failure], a.status, a.size);
	call->done(call->ctx, &a);
	if (call->easy)
		curl_easy_cleanup(easy);
	else
		call->easy = easy;
}

static bool deliver(struct http_client *c)
{
	bool any = false;
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(c->multi, &left))) {
		CURLcode code = m->data.result; /* m dies with the handle's removal */
		struct call *call = NULL;

		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&call);
		finish(c, call, classify(call, code));
		any = true;
	}
	return any;
}

int http_step(struct http_client *c, int timeout_ms, int extra_fd)
{
	struct curl_waitfd extra = {.fd = extra_fd, .events = CURL_WAIT_POLLIN};
	int running;

	if (timeout_ms < 0 || timeout_ms > STEP_MAX_MS)
		timeout_ms = STEP_MAX_MS;
	if (curl_multi_perform(c->multi, &running) != CURLM_OK)
		return -EIO;
	if (deliver(c))
		return 0;
	if (curl_multi_poll(c->multi, &extra, extra_fd >= 0, timeout_ms, NULL) != CURLM_OK)
		return -EIO;
	if (curl_multi_perform(c->multi, &running) != CURLM_OK)
		return -EIO;
	deliver(c);
	return 0;
}

void http_cancel_all(struct http_client *c)
{
	for (unsigned i = 0; i < c->calls_max; i++)
		if (c->calls[i].busy)
			finish(c, &c->calls[i], HTTP_CANCELLED);
}
