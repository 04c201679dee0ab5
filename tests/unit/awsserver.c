#include "tests/unit/awsserver.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

#include "backend/aws/sigv4.h"
#include "fs/base/buf.h"
#include "fs/base/clock.h"
#include "fs/base/macros.h"

#define CONNECTIONS_MAX 256
#define HEAD_MAX	(64 * 1024)
#define HEADERS_MAX	64
#define GATHER_S	5

struct connection {
	struct awsserver *server;
	pthread_t thread;
	int fd; /* -1: closed; of the mutex */
	unsigned number;
	struct buf in; /* read, and not yet used */
};

struct awsserver {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	pthread_t thread;
	int fd;
	char origin[64];
	/* of the mutex */
	bool stopping;
	const struct awsserver_reply *replies;
	size_t reply_count, reply_next;
	void (*handle)(void *ctx, const struct awsserver_request *q, struct awsserver_reply *reply);
	void *ctx;
	unsigned gathered, gather_round;
	struct awsserver_request *requests[AWSSERVER_REQUESTS_MAX];
	unsigned request_count;
	struct connection connections[CONNECTIONS_MAX];
	unsigned connection_count;
};

static void must(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "awsserver: %s\n", what);
	abort();
}

static void request_free(struct awsserver_request *q)
{
	if (!q)
		return;
	free(q->method); /* and the target, the headers */
	free(q->headers);
	free(q->body);
	free(q);
}

/* --- reading --- */

/* Reads until size bytes are there; false at the end of the connection. */
static bool read_more(struct connection *c)
{
	char piece[16384];
	ssize_t n = recv(c->fd, piece, sizeof(piece), 0);

	if (n <= 0)
		return false;
	buf_add(&c->in, piece, (size_t)n);
	return true;
}

static void drop(struct buf *b, size_t size)
{
	memmove(b->data, b->data + size, b->size - size + 1);
	b->size -= size;
}

/* Cuts "GET /target HTTP/1.1\r\nName: value\r\n..." apart in place. */
static void take_apart(struct awsserver_request *q, char *head)
{
	char *save, *line = strtok_r(head, "\r\n", &save), *space;

	q->method = head;
	q->headers = calloc(HEADERS_MAX, sizeof(q->headers[0]));
	must(line && q->headers, "no memory, or no request");
	space = strchr(line, ' ');
	must(space, "no request line");
	*space = '\0';
	q->target = space + 1;
	space = strchr(q->target, ' ');
	must(space, "no request line");
	*space = '\0';
	while ((line = strtok_r(NULL, "\r\n", &save))) {
		char *colon = strchr(line, ':');

		must(colon && q->header_count < HEADERS_MAX, "a header that is none");
		*colon++ = '\0';
		while (*colon == ' ')
			colon++;
		q->headers[q->header_count++] = (struct awsserver_pair){line, colon};
	}
}

static struct awsserver_request *read_request(struct connection *c)
{
	struct awsserver_request *q;
	const char *length;
	size_t head;
	char *end;

	while (!(end = memmem(c->in.data, c->in.size, "\r\n\r\n", 4)))
		if (c->in.size > HEAD_MAX || !read_more(c))
			return NULL;
	head = (size_t)(end - c->in.data) + 2;
	q = calloc(1, sizeof(*q));
	must(q, "no memory");
	q->connection = c->number;
	take_apart(q, strndup(c->in.data, head));
	drop(&c->in, head + 2);
	length = awsserver_header(q, "content-length");
	q->body_size = length ? strtoul(length, NULL, 10) : 0;
	while (c->in.size < q->body_size) {
		if (!read_more(c)) {
			request_free(q);
			return NULL;
		}
	}
	q->body = strndup("", 0);
	if (q->body_size) {
		free(q->body);
		q->body = malloc(q->body_size + 1);
		must(q->body, "no memory");
		memcpy(q->body, c->in.data, q->body_size);
		q->body[q->body_size] = '\0';
	}
	drop(&c->in, q->body_size);
	return q;
}

/* --- answering --- */

static void gather_locked(struct awsserver *s, unsigned count)
{
	unsigned round = s->gather_round;
	struct timespec until;

	if (++s->gathered >= count) {
		s->gathered = 0;
		s->gather_round++;
		pthread_cond_broadcast(&s->changed);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += GATHER_S;
	while (s->gather_round == round && !s->stopping)
		must(pthread_cond_timedwait(&s->changed, &s->mutex, &until) == 0,
		     "not so many at once as are to gather");
}

/* Keeps the request and finds its reply. */
static struct awsserver_reply decide(struct awsserver *s, struct awsserver_request *q)
{
	struct awsserver_reply reply = {0};

	pthread_mutex_lock(&s->mutex);
	must(s->request_count < AWSSERVER_REQUESTS_MAX, "too many requests");
	s->requests[s->request_count++] = q;
	if (s->handle) {
		s->handle(s->ctx, q, &reply);
	} else if (s->reply_count) {
		reply = s->replies[s->reply_next];
		s->reply_next += s->reply_next + 1 < s->reply_count;
	}
	if (reply.gather)
		gather_locked(s, reply.gather);
	while (reply.how == AWSSERVER_SILENT && !s->stopping)
		pthread_cond_wait(&s->changed, &s->mutex);
	pthread_mutex_unlock(&s->mutex);
	return reply;
}

static void add_date(struct buf *out, int64_t date_ns)
{
	time_t at = (time_t)(date_ns / NS_PER_S);
	char text[64];
	struct tm tm;

	gmtime_r(&at, &tm);
	strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	buf_addf(out, "Date: %s\r\n", text);
}

static bool send_all(int fd, const char *bytes, size_t size)
{
	while (size) {
		ssize_t n = send(fd, bytes, size, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		bytes += n;
		size -= (size_t)n;
	}
	return true;
}

/* False: the connection is to end. */
static bool send_reply(int fd, const struct awsserver_reply *r, const char *method)
{
	size_t size = r->body_size ? r->body_size : strlen(r->body ? r->body : "");
	CLEANUP(buf_release) struct buf out = BUF_INIT(SIZE_MAX / 2);
	const struct linger reset = {.l_onoff = 1};

	if (r->how == AWSSERVER_RESET)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	if (r->how == AWSSERVER_RESET || r->how == AWSSERVER_SILENT)
		return false;
	buf_addf(&out, "HTTP/1.1 %d Words\r\n", r->status ? r->status : 200);
	if (r->date_ns)
		add_date(&out, r->date_ns);
	buf_add_str(&out, r->headers ? r->headers : "");
	if (r->status != 204 && r->status != 304)
		buf_addf(&out, "Content-Length: %zu\r\n", size);
	buf_add_str(&out, "\r\n");
	if (strcmp(method, "HEAD") != 0)
		buf_add(&out, r->body, r->how == AWSSERVER_CUT ? size / 2 : size);
	return send_all(fd, out.data, out.size) && r->how == AWSSERVER_ANSWER;
}

static void *serve(void *arg)
{
	struct connection *c = arg;
	struct awsserver_request *q;
	bool goes_on = true;

	while (goes_on && (q = read_request(c))) {
		struct awsserver_reply reply = decide(c->server, q);

		goes_on = send_reply(c->fd, &reply, q->method);
	}
	pthread_mutex_lock(&c->server->mutex);
	close(c->fd);
	c->fd = -1;
	pthread_mutex_unlock(&c->server->mutex);
	return NULL;
}

static void *accept_all(void *arg)
{
	struct awsserver *s = arg;
	int fd;

	while ((fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		struct connection *c;

		pthread_mutex_lock(&s->mutex);
		must(s->connection_count < CONNECTIONS_MAX, "too many connections");
		c = &s->connections[s->connection_count];
		c->server = s;
		c->fd = fd;
		c->number = s->connection_count;
		buf_init(&c->in, SIZE_MAX / 2);
		must(pthread_create(&c->thread, NULL, serve, c) == 0, "no thread");
		s->connection_count++;
		pthread_mutex_unlock(&s->mutex);
	}
	return NULL;
}

/* --- for the test --- */

struct awsserver *awsserver_start(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
	socklen_t size = sizeof(address);
	struct awsserver *s = calloc(1, sizeof(*s));

	must(s, "no memory");
	pthread_mutex_init(&s->mutex, NULL);
	pthread_cond_init(&s->changed, NULL);
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(s->fd >= 0 && bind(s->fd, (struct sockaddr *)&address, size) == 0 &&
		     listen(s->fd, 64) == 0 &&
		     getsockname(s->fd, (struct sockaddr *)&address, &size) == 0,
	     "cannot listen");
	snprintf(s->origin, sizeof(s->origin), "http://127.0.0.1:%d", ntohs(address.sin_port));
	must(pthread_create(&s->thread, NULL, accept_all, s) == 0, "no thread");
	return s;
}

void awsserver_stop(struct awsserver *s)
{
	if (!s)
		return;
	shutdown(s->fd, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->fd);
	pthread_mutex_lock(&s->mutex);
	s->stopping = true;
	pthread_cond_broadcast(&s->changed);
	for (unsigned i = 0; i < s->connection_count; i++)
		if (s->connections[i].fd >= 0)
			shutdown(s->connections[i].fd, SHUT_RDWR);
	pthread_mutex_unlock(&s->mutex);
	for (unsigned i = 0; i < s->connection_count; i++) {
		pthread_join(s->connections[i].thread, NULL);
		buf_release(&s->connections[i].in);
	}
	awsserver_forget(s);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->mutex);
	free(s);
}

const char *awsserver_origin(const struct awsserver *s)
{
	return s->origin;
}

void awsserver_script(struct awsserver *s, const struct awsserver_reply *replies, size_t count)
{
	pthread_mutex_lock(&s->mutex);
	s->handle = NULL;
	s->replies = replies;
	s->reply_count = count;
	s->reply_next = 0;
	pthread_mutex_unlock(&s->mutex);
}

void awsserver_handle(struct awsserver *s,
		      void (*handle)(void *ctx, const struct awsserver_request *q,
				     struct awsserver_reply *reply),
		      void *ctx)
{
	pthread_mutex_lock(&s->mutex);
	s->handle = handle;
	s->ctx = ctx;
	pthread_mutex_unlock(&s->mutex);
}

unsigned awsserver_count(struct awsserver *s)
{
	unsigned count;

	pthread_mutex_lock(&s->mutex);
	count = s->request_count;
	pthread_mutex_unlock(&s->mutex);
	return count;
}

unsigned awsserver_connections(struct awsserver *s)
{
	unsigned count;

	pthread_mutex_lock(&s->mutex);
	count = s->connection_count;
	pthread_mutex_unlock(&s->mutex);
	return count;
}

const struct awsserver_request *awsserver_request(struct awsserver *s, unsigned index)
{
	const struct awsserver_request *q;

	pthread_mutex_lock(&s->mutex);
	must(index < s->request_count, "no such request");
	q = s->requests[index];
	pthread_mutex_unlock(&s->mutex);
	return q;
}

void awsserver_forget(struct awsserver *s)
{
	pthread_mutex_lock(&s->mutex);
	for (unsigned i = 0; i < s->request_count; i++)
		request_free(s->requests[i]);
	s->request_count = 0;
	pthread_mutex_unlock(&s->mutex);
}

const char *awsserver_header(const struct awsserver_request *q, const char *name)
{
	for (size_t i = 0; i < q->header_count; i++)
		if (strcasecmp(q->headers[i].name, name) == 0)
			return q->headers[i].value;
	return NULL;
}

/* --- signatures --- */

static bool says(const char *why, const char *what)
{
	fprintf(stderr, "awsserver: %s%s\n", why, what);
	return false;
}

/* The ones named in "host;x-amz-date"; and none that had to be there is not. */
static bool signed_headers(const struct awsserver_request *q, const char *names,
			   struct sigv4_header *ret, size_t *ret_count)
{
	size_t count = 0;

	for (size_t i = 0; i < q->header_count; i++) {
		const char *name = q->headers[i].name;
		CLEANUP(buf_release) struct buf list = BUF_INIT(8192), wanted = BUF_INIT(1024);

		buf_addf(&list, ";%s;", names);
		buf_addf(&wanted, ";%s;", name);
		if (strcasestr(list.data, wanted.data))
			ret[count++] = (struct sigv4_header){name, q->headers[i].value};
		else if (strcasecmp(name, "host") == 0 || strncasecmp(name, "x-amz-", 6) == 0)
			return says("not signed: ", name);
	}
	*ret_count = count;
	return true;
}

/* "AKID/20260102/us-east-1/s3/aws4_request" without the key's id. */
static bool parse_scope(char *scope, struct sigv4_request *q, const char *date)
{
	char *save, *day = strtok_r(scope, "/", &save);

	q->region = strtok_r(NULL, "/", &save);
	q->service = strtok_r(NULL, "/", &save);
	return day && q->region && q->service && strncmp(day, date, 8) == 0;
}

static int64_t parse_date(const char *date)
{
	struct tm tm = {0};

	return strptime(date, "%Y%m%dT%H%M%SZ", &tm) ? timegm(&tm) * NS_PER_S : 0;
}

bool awsserver_is_signed(const struct awsserver_request *q, const char *secret)
{
	const char *authorization = awsserver_header(q, "authorization");
	const char *date = awsserver_header(q, "x-amz-date");
	const char *told = awsserver_header(q, "x-amz-content-sha256");
	char key[256], scope[256], names[2048], hash[SIGV4_HASH_SIZE];
	CLEANUP(str_freep) char *target = strdup(q->target);
	CLEANUP(buf_release) struct buf ours = BUF_INIT(8192);
	struct sigv4_header headers[HEADERS_MAX];
	struct sigv4_request r = {.method = q->method, .headers = headers};
	char *query = strchr(target, '?');

	if (!authorization || !date ||
	    sscanf(authorization,
		   "AWS4-HMAC-SHA256 Credential=%255[^/]/%255[^,], SignedHeaders=%2047[^,],", key,
		   scope, names) != 3)
		return says("not signed at all: ", authorization ? authorization : "");
	if (!parse_scope(scope, &r, date) || !signed_headers(q, names, headers, &r.header_count))
		return says("a wrong scope: ", authorization);
	sigv4_hash(q->body, q->body_size, hash);
	if (told && strcmp(told, hash) != 0 && strcmp(told, SIGV4_UNSIGNED_PAYLOAD) != 0)
		return says("a wrong hash: ", told);
	if (query)
		*query++ = '\0';
	r.path = target;
	r.query = query;
	r.payload_hash = told ? told : hash;
	r.wall_ns = parse_date(date);
	r.path_as_sent = strcmp(r.service, "s3") == 0;
	if (sigv4_sign(&r, key, secret, &ours) < 0 || strcmp(ours.data, authorization) != 0)
		return says("a wrong signature: ", authorization);
	return true;
}
