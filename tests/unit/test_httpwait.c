/* What is not waited for: resolvers and servers that do not answer. */

#include "tests/unit/cmocka_all.h"

#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "backend/http/http.h"

#define RESOLVER_GIVES_UP_S 20

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static bool asked, released, answered;

/* In place of the C library's, for libcurl: answers when it is let. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
		struct addrinfo **ret)
{
	struct timespec until;
	int r = 0;

	(void)node;
	(void)service;
	(void)hints;
	*ret = NULL;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += RESOLVER_GIVES_UP_S;
	pthread_mutex_lock(&mutex);
	asked = true;
	pthread_cond_broadcast(&cond);
	while (!released && r == 0)
		r = pthread_cond_timedwait(&cond, &mutex, &until);
	answered = true;
	pthread_cond_broadcast(&cond);
	pthread_mutex_unlock(&mutex);
	return EAI_AGAIN;
}

static bool read_flag(const bool *flag)
{
	bool is;

	pthread_mutex_lock(&mutex);
	is = *flag;
	pthread_mutex_unlock(&mutex);
	return is;
}

static void set_failure(void *ctx, const struct http_answer *a)
{
	*(enum http_failure *)ctx = a->failure;
}

static void test_a_resolver(void **state)
{
	enum http_failure failure = HTTP_ANSWERED;
	const struct http_request q = {.method = "GET",
				       .url = "http://slow.example/",
				       .direct = true,
				       .done = set_failure,
				       .ctx = &failure};
	struct http_client *c;

	(void)state;
	assert_int_equal(http_global_init(NULL), 0);
	assert_int_equal(http_client_new(1, &c, NULL), 0);
	assert_int_equal(http_submit(c, &q, NULL), 0);
	while (!read_flag(&asked))
		assert_int_equal(http_step(c, 1, -1), 0);
	http_cancel_all(c);
	assert_int_equal(failure, HTTP_CANCELLED);
	http_client_free(c);
	assert_false(read_flag(&answered));
	pthread_mutex_lock(&mutex);
	released = true;
	pthread_cond_broadcast(&cond);
	while (!answered)
		pthread_cond_wait(&cond, &mutex);
	pthread_mutex_unlock(&mutex);
}

/* It takes the connection, and a little of what is sent. */
static void test_a_server_that_reads_no_more(void **state)
{
	static char body[16 << 20];
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(at);
	enum http_failure failure = HTTP_ANSWERED;
	struct http_request q = {.method = "PUT",
				 .direct = true,
				 .body = body,
				 .body_size = sizeof(body),
				 .timeout_ms = 60000,
				 .stall_s = 1,
				 .done = set_failure,
				 .ctx = &failure};
	CLEANUP(fd_closep) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct http_client *c;
	char url[64];

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&at, size), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/", ntohs(at.sin_port));
	q.url = url;
	assert_int_equal(http_global_init(NULL), 0);
	assert_int_equal(http_client_new(1, &c, NULL), 0);
	assert_int_equal(http_submit(c, &q, NULL), 0);
	while (http_client_count(c))
		assert_int_equal(http_step(c, 1000, -1), 0);
	assert_int_equal(failure, HTTP_TIMEOUT);
	http_client_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_resolver),
					   cmocka_unit_test(test_a_server_that_reads_no_more)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
