/* Calls of AWS: the clock, the credentials, what is never said of them, and the
 * end of it all. */

#include "backend/aws/call.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>

#include "fs/base/buf.h"
#include "fs/base/log.h"
#include "tests/unit/awskit.h"

/* --- the clock and the credentials --- */

#define HOUR (3600 * NS_PER_S)
#define DATE (AWSKIT_WALL_NS + HOUR)

static const struct {
	const char *why, *method;
	struct awsserver_reply reply;
	int r;
	unsigned asked;
} skews[] = {
	{"told so",
	 "GET",
	 {.status = 403,
	  .date_ns = DATE,
	  .body = "<Error><Code>RequestTimeTooSkewed</Code></Error>"},
	 0,
	 2},
	{"a wrong signature",
	 "GET",
	 {.status = 403,
	  .date_ns = DATE,
	  .headers = "x-amzn-ErrorType: InvalidSignatureException\r\n"},
	 0,
	 2},
	{"an old token",
	 "POST",
	 {.status = 400, .date_ns = DATE, .body = "<Error><Code>ExpiredToken</Code></Error>"},
	 0,
	 2},
	{"nothing told", "HEAD", {.status = 403, .date_ns = DATE}, 0, 2},
	{"nothing told, and the clock is right",
	 "HEAD",
	 {.status = 403, .date_ns = AWSKIT_WALL_NS + 2 * NS_PER_S},
	 -EACCES,
	 1},
	{"told so, and no date",
	 "GET",
	 {.status = 403, .body = "<Error><Code>RequestTimeTooSkewed</Code></Error>"},
	 -EACCES,
	 1},
	{"denied, whatever the clock",
	 "GET",
	 {.status = 403, .date_ns = DATE, .headers = "x-amzn-ErrorType: AccessDeniedException\r\n"},
	 -EACCES,
	 1},
};

static void test_clock(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(skews); i++) {
		CLEANUP(aws_answer_release) struct aws_answer a = AWS_ANSWER_INIT;
		CLEANUP(aws_answer_release) struct aws_answer b = AWS_ANSWER_INIT;
		const struct awsserver_reply replies[] = {skews[i].reply, {.status = 200}};
		struct aws_request q;
		struct awskit k;
		int r;

		awskit_start(&k);
		awsserver_script(k.server, replies, 2);
		q = awskit_request(&k);
		q.method = skews[i].method;
		q.body_size = 0;
		q.once = true;
		q.attempts = 1; /* the correction does not count */
		r = aws_run(k.aws, &q, &a, NULL);
		if (r != skews[i].r || awsserver_count(k.server) != skews[i].asked)
			fail_msg("%s: %d after %u", skews[i].why, r, awsserver_count(k.server));
		if (r == 0) { /* and from then on */
			assert_int_equal(aws_run(k.aws, &q, &b, NULL), 0);
			for (unsigned n = 1; n < 3; n++)
				assert_string_equal(
					awsserver_header(awskit_signed(&k, n), "x-amz-date"),
					"20260102T040405Z");
		}
		awskit_end(&k);
	}
}

/* A clock that cannot be set right is not set for ever. */
static void test_clock_once(void **state)
{
	static const struct awsserver_reply replies[] = {
		{.status = 403,
		 .date_ns = DATE,
		 .body = "<Error><Code>RequestTimeTooSkewed</Code></Error>"},
		{.status = 403,
		 .date_ns = DATE + HOUR,
		 .body = "<Error><Code>RequestTimeTooSkewed</Code></Error>"},
	};
	CLEANUP(aws_answer_release) struct aws_answer a = AWS_ANSWER_INIT;
	struct aws_request q;
	struct awskit k;

	(void)state;
	awskit_start(&k);
	awsserver_script(k.server, replies, COUNT_OF(replies));
	q = awskit_request(&k);
	assert_int_equal(aws_run(k.aws, &q, &a, NULL), -EACCES);
	assert_int_equal(a.error.class, ERRMAP_SKEWED);
	assert_int_equal(awsserver_count(k.server), 2);
	awskit_end(&k);
}

static void set_keys(struct awskit *k, void **state, const char *id)
{
	char text[512];

	snprintf(text, sizeof(text), "[default]\naws_access_key_id=%s\naws_secret_access_key=%s\n",
		 id, AWSKIT_SECRET);
	awsenv_file(&k->env, state, "credentials", text);
}

struct renewal {
	struct awskit *k;
	char path[PATH_MAX];
};

/* Refuses the old key, and meanwhile someone writes a new one. */
static void refuse_old(void *ctx, const struct awsserver_request *q, struct awsserver_reply *reply)
{
	struct renewal *renewal = ctx;
	FILE *f;

	if (!strstr(awsserver_header(q, "authorization"), "OLDKEY"))
		return;
	f = fopen(renewal->path, "we");
	if (f) {
		fprintf(f, "[default]\naws_access_key_id=NEWKEY\naws_secret_access_key=%s\n",
			AWSKIT_SECRET);
		fclose(f);
	}
	reply->status = 403;
	reply->headers = "x-amzn-ErrorType: ExpiredTokenException\r\n";
}

static void test_renewal(void **state)
{
	CLEANUP(aws_answer_release) struct aws_answer a = AWS_ANSWER_INIT;
	struct renewal renewal;
	struct err e = ERR_INIT;
	struct aws_request q;
	struct awskit k;

	awskit_begin(&k);
	awsenv_set(&k.env, "AWS_ACCESS_KEY_ID", NULL);
	awsenv_set(&k.env, "AWS_SECRET_ACCESS_KEY", NULL);
	set_keys(&k, state, "OLDKEY");
	awskit_open(&k);
	snprintf(renewal.path, sizeof(renewal.path), "%s", tempdir_path(state, "credentials").text);
	awsserver_handle(k.server, refuse_old, &renewal);
	q = awskit_request(&k);
	q.once = true;
	q.attempts = 1;
	if (aws_run(k.aws, &q, &a, &e) != 0)
		fail_msg("%s", e.text);
	assert_int_equal(awsserver_count(k.server), 2);
	assert_non_null(strstr(awsserver_header(awskit_signed(&k, 1), "authorization"), "NEWKEY"));
	awskit_end(&k);
}

static void test_renewal_in_vain(void **state)
{
	static const struct awsserver_reply replies[] = {
		{.status = 403, .headers = "x-amzn-ErrorType: ExpiredTokenException\r\n"},
	};
	CLEANUP(aws_answer_release) struct aws_answer a = AWS_ANSWER_INIT;
	struct aws_request q;
	struct awskit k;

	(void)state;
	awskit_start(&k);
	awsserver_script(k.server, replies, 1);
	q = awskit_request(&k);
	assert_int_equal(aws_run(k.aws, &q, &a, NULL), -EACCES);
	assert_int_equal(a.error.class, ERRMAP_EXPIRED);
	assert_int_equal(awsserver_count(k.server), 2);
	awskit_end(&k);
}

/* --- what is said --- */

/* A service that repeats all it was sent. */
static void repeat_all(void *ctx, const struct awsserver_request *q, struct awsserver_reply *reply)
{
	struct buf *text = ctx;

	buf_clear(text);
	buf_add_str(text, "{\"message\":\"You said ");
	for (size_t i = 0; i < q->header_count; i++)
		if (strcasecmp(q->headers[i].name, "x-amz-security-token") == 0 ||
		    strncmp(q->headers[i].value, "Bearer ", 7) == 0)
			buf_addf(text, "%.30s and %s ", q->headers[i].value, q->headers[i].value);
	buf_addf(text, "and perhaps %s\"}", AWSKIT_SECRET);
	reply->status = 403;
	reply->headers = "x-amzn-RequestId: ABSKexampleBearerToken0123456789\r\n";
	if (awsserver_header(q, "x-amz-security-token"))
		reply->headers = "x-amzn-RequestId: " AWSKIT_TOKEN
				 "\r\nx-amzn-ErrorType: " AWSKIT_SECRET "\r\n";
	reply->body = text->data;
}

static void assert_no_secret(const char *text)
{
	static const char *const secrets[] = {"wJalrXUtnFEMI", "bPxRfiCYEXAMPLEKEY",
					      "IQoJb3JpZ2lu",  "TOKENx0123456789",
					      "ABSKexample",   "BearerToken"};

	for (size_t i = 0; i < COUNT_OF(secrets); i++)
		if (strstr(text, secrets[i]))
			fail_msg("a secret in: %s", text);
}

/* What goes to stderr meanwhile goes to a file. */
static int stderr_to_file(const char *path)
{
	int saved = dup(2), fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(saved >= 0 && fd >= 0);
	fflush(stderr);
	assert_int_equal(dup2(fd, 2), 2);
	close(fd);
	return saved;
}

static void test_no_secret_is_shown(void **state)
{
	static const enum aws_auth auths[] = {AWS_AUTH_SIGV4, AWS_AUTH_S3, AWS_AUTH_BEARER};
	CLEANUP(buf_release) struct buf text = BUF_INIT(65536);
	struct tempdir_name path = tempdir_path(state, "log");
	struct awskit k;
	char log[8192];
	size_t n;
	int saved;
	FILE *f;

	awskit_begin(&k);
	awsenv_set(&k.env, "AWS_SESSION_TOKEN", AWSKIT_TOKEN);
	awsenv_set(&k.env, "AWS_BEARER_TOKEN_BEDROCK", "ABSKexampleBearerToken0123456789");
	awskit_open(&k);
	awsserver_handle(k.server, repeat_all, &text);
	saved = stderr_to_file(path.text);
	log_init(LOG_LEVEL_DEBUG, false);
	for (size_t i = 0; i < COUNT_OF(auths); i++) {
		CLEANUP(aws_answer_release) struct aws_answer a = AWS_ANSWER_INIT;
		struct aws_request q = awskit_request(&k);
		struct err e = ERR_INIT;

		q.auth = auths[i];
		assert_int_equal(aws_run(k.aws, &q, &a, &e), -EACCES);
		assert_non_null(strstr(e.text, "You said"));
		if (auths[i] != AWS_AUTH_BEARER) /* to that call they are no secrets */
			assert_no_secret(e.text);
		assert_null(strstr(e.text, "BearerToken"));
		assert_null(strstr(a.error.message, "BearerToken"));
	}
	log_init(LOG_LEVEL_ERROR, false);
	fflush(stderr);
	assert_int_equal(dup2(saved, 2), 2);
	close(saved);
	f = fopen(path.text, "re");
	assert_non_null(f);
	n = fread(log, 1, sizeof(log) - 1, f);
	log[n] = '\0';
	fclose(f);
	assert_non_null(strstr(log, "aws: POST http://127.0.0.1"));
	assert_no_secret(log);
	awskit_end(&k);
}

/* --- the end of a mount --- */

static void *run_for_ever(void *arg)
{
	CLEANUP(aws_answer_release) struct aws_answer a = AWS_ANSWER_INIT;
	struct awskit *k = arg;
	struct aws_request q = awskit_request(k);

	return aws_run(k->aws, &q, &a, NULL) == -ECANCELED && a.maybe_done ? k : NULL;
}

static void test_cancel(void **state)
{
	static const struct awsserver_reply silent[] = {{.how = AWSSERVER_SILENT}};
	CLEANUP(aws_answer_release) struct aws_answer a = AWS_ANSWER_INIT;
	struct aws_request q;
	void *cancelled = NULL;
	pthread_t thread;
	struct awskit k;

	(void)state;
	awskit_start(&k);
	awsserver_script(k.server, silent, 1);
	assert_int_equal(pthread_create(&thread, NULL, run_for_ever, &k), 0);
	while (awsserver_count(k.server) == 0)
		sched_yield();
	aws_cancel(k.aws);
	assert_int_equal(pthread_join(thread, &cancelled), 0);
	assert_ptr_equal(cancelled, &k);
	q = awskit_request(&k);
	assert_int_equal(aws_run(k.aws, &q, &a, NULL), -ECANCELED);
	assert_int_equal(awsserver_count(k.server), 1);
	awskit_end(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clock),
		cmocka_unit_test(test_clock_once),
		cmocka_unit_test_setup_teardown(test_renewal, tempdir_setup, tempdir_teardown),
		cmocka_unit_test(test_renewal_in_vain),
		cmocka_unit_test_setup_teardown(test_no_secret_is_shown, tempdir_setup,
						tempdir_teardown),
		cmocka_unit_test(test_cancel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
