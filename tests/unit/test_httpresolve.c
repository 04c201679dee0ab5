/* A name that takes long to resolve holds up nobody who does not wait for it. */

#include "tests/unit/cmocka_all.h"

#include <netdb.h>
#include <pthread.h>
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

static void test_cancel(void **state)
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

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_cancel)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
