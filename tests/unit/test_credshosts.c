/* Keys that the machine hands out: the container's service, and the instance's metadata. */

#include <errno.h>
#include <pthread.h>

#include "backend/http/http.h"
#include "tests/unit/awsserver.h"
#include "tests/unit/credskit.h"

#define KEYS_UNTIL(when)                                                                           \
	"{\"Code\":\"Success\",\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\",\"Token\":\"T\","   \
	"\"Expiration\":\"" when "\"}"
#define KEYS KEYS_UNTIL("2026-01-02T04:04:05Z")

#define ROLES "/latest/meta-data/iam/security-credentials/"

static void end(struct credskit *k, struct awsserver *server)
{
	credskit_end(k);
	awsserver_stop(server);
}

static void expect_keys(const struct creds *c, const char *source)
{
	assert_string_equal(c->access_key_id, "A");
	assert_string_equal(c->secret, "S");
	assert_string_equal(c->session_token, "T");
	assert_string_equal(c->source, source);
	assert_int_equal(c->expires_ns, CREDSKIT_WALL_NS + 3600 * NS_PER_S);
}

static const struct {
	const char *why, *file, *token;
	struct awsserver_reply reply;
	int result;
	const char *words; /* of the error; or the header that was sent, NULL: none */
} container_rows[] = {
	{"without a token", NULL, NULL, {.body = KEYS}, 0, NULL},
	{"a token", NULL, "Basic x", {.body = KEYS}, 0, "Basic x"},
	{"a token in a file wins", "Bearer y\n", "Basic x", {.body = KEYS}, 0, "Bearer y"},
	{"two lines in the file",
	 "a\r\nX: y",
	 NULL,
	 {.body = KEYS},
	 -EACCES,
	 "a line break or a control byte"},
	{"two lines", NULL, "a\nb", {.body = KEYS}, -EACCES, "a line break or a control byte"},
	{"no",
	 NULL,
	 "t0ken",
	 {.status = 403, .body = "{\"message\":\"t0ken is bad\"}"},
	 -EACCES,
	 "gives no keys: "},
	{"no role",
	 NULL,
	 NULL,
	 {.status = 404},
	 -EACCES,
	 "HTTP status 404; see to it that the task or pod has a role"},
	{"nonsense", NULL, NULL, {.body = "<html>"}, -EAGAIN, "makes no sense"},
	{"half", NULL, NULL, {.body = "{\"AccessKeyId\":\"A\"}"}, -EAGAIN, "makes no sense"},
	{"broken", NULL, NULL, {.status = 500}, -EAGAIN, "HTTP status 500"},
};

static void test_a_container(void **state)
{
	for (size_t i = 0; i < COUNT_OF(container_rows); i++) {
		struct tempdir_name path = tempdir_path(state, "token");
		CLEANUP(creds_release) struct creds c = CREDS_INIT;
		struct awsserver *server = awsserver_start();
		const struct awsserver_request *q;
		struct err e = ERR_INIT;
		struct credskit k;
		char url[256];
		int r;

		awsserver_script(server, &container_rows[i].reply, 1);
		snprintf(url, sizeof(url), "%s/creds/?x=1", awsserver_origin(server));
		credskit_begin(&k);
		awsenv_set(&k.env, "AWS_CONTAINER_CREDENTIALS_FULL_URI", url);
		awsenv_set(&k.env, "AWS_CONTAINER_AUTHORIZATION_TOKEN", container_rows[i].token);
		if (container_rows[i].file) {
			awsenv_write(path.text, container_rows[i].file);
			awsenv_set(&k.env, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", path.text);
		}
		r = credskit_get(&k, &c, &e);
		if (r != container_rows[i].result ||
		    (r < 0 && !strstr(e.text, container_rows[i].words)) || strstr(e.text, "t0ken"))
			fail_msg("%s: %d %s", container_rows[i].why, r, e.text);
		if (r == 0) {
			q = awsserver_request(server, 0);
			expect_keys(&c, "container");
			assert_string_equal(q->method, "GET");
			assert_string_equal(q->target, "/creds/?x=1");
			assert_string_equal(awsserver_header(q, "accept"), "application/json");
			assert_int_equal(!awsserver_header(q, "authorization"),
					 !container_rows[i].words);
			if (container_rows[i].words)
				assert_string_equal(awsserver_header(q, "authorization"),
						    container_rows[i].words);
		}
		end(&k, server);
	}
}

static void test_whom_a_container_may_ask(void **state)
{
	static const struct {
		const char *url;
		int result; /* -EAGAIN: it was asked */
	} rows[] = {
		{"http://127.0.0.1:1/x", -EAGAIN},
		{"http://127.9.9.9:1/x", -EAGAIN},
		{"http://localhost:1/x", -EAGAIN},
		{"http://[::1]:1/x", -EAGAIN},
		{"http://[0:0:0:0:0:0:0:1]:1/x", -EAGAIN},
		{"https://127.0.0.1:1/x", -EAGAIN},
		{"http://10.0.0.1:1/x", -EINVAL},
		{"http://169.254.169.254/x", -EINVAL},
		{"http://169.254.170.2.evil.com/x", -EINVAL},
		{"http://127.0.0.1.evil.com/x", -EINVAL},
		{"http://localhost.evil.com/x", -EINVAL},
		{"http://[::2]:1/x", -EINVAL},
		{"http://example.com/x", -EINVAL},
		{"http://user:s3cret@127.0.0.1:1/x", -EINVAL},
		{"file:///etc/passwd", -EINVAL},
		{"unix:/run/s", -EINVAL},
		{"x", -EINVAL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(creds_release) struct creds c = CREDS_INIT;
		struct err e = ERR_INIT;
		struct credskit k;
		int r;

		credskit_begin(&k);
		awsenv_set(&k.env, "AWS_CONTAINER_CREDENTIALS_FULL_URI", rows[i].url);
		if (rows[i].result == -EAGAIN)
			wire_cancel(k.wire); /* or each of them would be tried three times */
		r = credskit_get(&k, &c, &e);
		if (r != (rows[i].result == -EAGAIN ? -ECANCELED : rows[i].result) ||
		    strstr(e.text, "s3cret"))
			fail_msg("%s: %d %s", rows[i].url, r, e.text);
		credskit_end(&k);
	}
}

static void test_the_relative_address_wins(void **state)
{
	CLEANUP(creds_release) struct creds c = CREDS_INIT;
	struct err e = ERR_INIT;
	struct credskit k;

	(void)state;
	credskit_begin(&k);
	awsenv_set(&k.env, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x");
	awsenv_set(&k.env, "AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://example.com/x");
	wire_cancel(k.wire);
	assert_int_equal(credskit_get(&k, &c, &e), -ECANCELED);
	credskit_end(&k);
	credskit_begin(&k);
	awsenv_set(&k.env, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "@example.com/");
	assert_int_equal(credskit_get(&k, &c, &e), -EINVAL);
	assert_non_null(strstr(e.text, "must begin with '/'"));
	credskit_end(&k);
}

static void *get_one(void *arg)
{
	CLEANUP(creds_release) struct creds c = CREDS_INIT;
	struct credskit *k = arg;

	if (creds_get(k->chain, &c, NULL) != 0 || strcmp(c.access_key_id, "A") != 0)
		return k;
	return NULL;
}

static void test_many_threads_ask_once(void **state)
{
	static const struct awsserver_reply reply = {.body = KEYS};
	struct awsserver *server = awsserver_start();
	pthread_t threads[8];
	struct credskit k;
	char url[256];

	(void)state;
	awsserver_script(server, &reply, 1);
	snprintf(url, sizeof(url), "%s/creds", awsserver_origin(server));
	credskit_begin(&k);
	awsenv_set(&k.env, "AWS_CONTAINER_CREDENTIALS_FULL_URI", url);
	k.config = awsenv_load(&k.env, NULL, NULL);
	assert_int_equal(creds_chain_new(k.config, k.wire, &k.clock, &k.chain, NULL), 0);
	for (size_t i = 0; i < COUNT_OF(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, get_one, &k), 0);
	for (size_t i = 0; i < COUNT_OF(threads); i++) {
		void *failed;

		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
	assert_int_equal(awsserver_count(server), 1);
	end(&k, server);
}

static void begin_imds(struct credskit *k, struct awsserver *server,
		       const struct awsserver_reply *replies, size_t count)
{
	char url[256];

	awsserver_script(server, replies, count);
	snprintf(url, sizeof(url), "%s/", awsserver_origin(server));
	credskit_begin(k);
	awsenv_set(&k->env, "AWS_EC2_METADATA_DISABLED", NULL);
	awsenv_set(&k->env, "AWS_EC2_METADATA_SERVICE_ENDPOINT", url);
}

static void test_an_instance(void **state)
{
	static const struct awsserver_reply replies[] = {
		{.body = "TOKEN=="}, {.body = "my-role\n"}, {.body = KEYS}};
	CLEANUP(creds_release) struct creds c = CREDS_INIT;
	struct awsserver *server = awsserver_start();
	const struct awsserver_request *q;
	struct err e = ERR_INIT;
	struct credskit k;

	(void)state;
	begin_imds(&k, server, replies, 3);
	if (credskit_get(&k, &c, &e) != 0)
		fail_msg("%s", e.text);
	expect_keys(&c, "instance role my-role");
	q = awsserver_request(server, 0);
	assert_string_equal(q->method, "PUT");
	assert_string_equal(q->target, "/latest/api/token");
	assert_string_equal(awsserver_header(q, "x-aws-ec2-metadata-token-ttl-seconds"), "21600");
	q = awsserver_request(server, 1);
	assert_string_equal(q->target, ROLES);
	assert_string_equal(awsserver_header(q, "x-aws-ec2-metadata-token"), "TOKEN==");
	q = awsserver_request(server, 2);
	assert_string_equal(q->target, ROLES "my-role");
	assert_string_equal(awsserver_header(q, "x-aws-ec2-metadata-token"), "TOKEN==");
	end(&k, server);
}

static const struct {
	const char *why;
	struct awsserver_reply replies[3];
	bool v1_off;
	int result;
	unsigned asked;
	const char *words;
} instance_rows[] = {
	{"the first version", {{.status = 404}, {.body = "r"}, {.body = KEYS}}, false, 0, 3, ""},
	{"the first version is switched off",
	 {{.status = 403}},
	 true,
	 -EACCES,
	 1,
	 "hands out no token (status 403)"},
	{"the first version, and it is refused there",
	 {{.status = 403}, {.status = 401}},
	 false,
	 -EACCES,
	 2,
	 "raise the hop limit"},
	{"another cloud's service",
	 {{.status = 405}, {.status = 400}},
	 false,
	 -ENOKEY,
	 2,
	 "this machine hands out none"},
	{"no role", {{.body = "T"}, {.status = 404}}, false, -ENOKEY, 2, "hands out none"},
	{"an empty role", {{.body = "T"}, {.body = ""}}, false, -ENOKEY, 2, "hands out none"},
	{"a role that leads elsewhere",
	 {{.body = "T"}, {.body = "../../x"}},
	 false,
	 -EAGAIN,
	 2,
	 "makes no sense"},
	{"a role that is not given",
	 {{.body = "T"}, {.body = "r"}, {.body = "{\"Code\":\"AssumeRoleUnauthorizedAccess\"}"}},
	 false,
	 -EACCES,
	 3,
	 "for the role r: AssumeRoleUnauthorizedAccess; check"},
	{"nonsense",
	 {{.body = "T"}, {.body = "r"}, {.body = "x"}},
	 false,
	 -EAGAIN,
	 3,
	 "makes no sense"},
	{"it breaks", {{.body = "T"}, {.status = 500}}, false, -EAGAIN, 2, "(status 500)"},
	{"it is cut off",
	 {{.body = "T"}, {.body = "my-role", .how = AWSSERVER_CUT}},
	 false,
	 -EAGAIN,
	 2,
	 "the instance metadata service"},
	{"a token that would be two headers",
	 {{.body = "\x01"}},
	 false,
	 -EAGAIN,
	 1,
	 "a token that makes no sense"},
};

static void test_what_an_instance_may_say(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(instance_rows); i++) {
		CLEANUP(creds_release) struct creds c = CREDS_INIT;
		struct awsserver *server = awsserver_start();
		struct err e = ERR_INIT;
		struct credskit k;
		int r;

		begin_imds(&k, server, instance_rows[i].replies, 3);
		awsenv_set(&k.env, "AWS_EC2_METADATA_V1_DISABLED",
			   instance_rows[i].v1_off ? "true" : NULL);
		r = credskit_get(&k, &c, &e);
		if (r != instance_rows[i].result || !strstr(e.text, instance_rows[i].words))
			fail_msg("%s: %d %s", instance_rows[i].why, r, e.text);
		if (awsserver_count(server) != instance_rows[i].asked)
			fail_msg("%s: asked %u times", instance_rows[i].why,
				 awsserver_count(server));
		end(&k, server);
	}
}

static void test_no_instance(void **state)
{
	static const struct {
		const char *why, *variable, *value;
		int result;
		const char *words;
	} rows[] = {
		{"nobody listens", "AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1",
		 -ENOKEY, "run \"aws configure\""},
		{"switched off", "AWS_EC2_METADATA_DISABLED", "true", -ENOKEY,
		 "run \"aws configure\""},
		{"not a URL", "AWS_EC2_METADATA_SERVICE_ENDPOINT", "nowhere", -EINVAL,
		 "AWS_EC2_METADATA_SERVICE_ENDPOINT: "},
		{"a time that is none", "AWS_METADATA_SERVICE_TIMEOUT", "0", -EINVAL,
		 "AWS_METADATA_SERVICE_TIMEOUT = 0: "},
		{"a number that is none", "AWS_METADATA_SERVICE_NUM_ATTEMPTS", "x", -EINVAL,
		 "AWS_METADATA_SERVICE_NUM_ATTEMPTS = x: "},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(creds_release) struct creds c = CREDS_INIT;
		struct err e = ERR_INIT;
		struct credskit k;
		int r;

		credskit_begin(&k);
		awsenv_set(&k.env, "AWS_EC2_METADATA_DISABLED", NULL);
		awsenv_set(&k.env, rows[i].variable, rows[i].value);
		r = credskit_get(&k, &c, &e);
		if (r != rows[i].result || !strstr(e.text, rows[i].words))
			fail_msg("%s: %d %s", rows[i].why, r, e.text);
		credskit_end(&k);
	}
}

static void test_a_service_that_never_answers_costs_two_seconds(void **state)
{
	static const struct awsserver_reply silent = {.how = AWSSERVER_SILENT};
	int64_t begun = clock_mono_ns(clock_system());
	CLEANUP(creds_release) struct creds c = CREDS_INIT;
	struct awsserver *server = awsserver_start();
	struct err e = ERR_INIT;
	struct credskit k;

	(void)state;
	begin_imds(&k, server, &silent, 1);
	assert_int_equal(credskit_get(&k, &c, &e), -ENOKEY);
	assert_true(clock_mono_ns(clock_system()) - begun < 5 * NS_PER_S);
	assert_int_equal(awsserver_count(server), 2);
	end(&k, server);
}

static void test_keys_that_have_expired_are_used_for_a_while(void **state)
{
	static const struct awsserver_reply replies[] = {
		{.body = "T"}, {.body = "r"}, {.body = KEYS_UNTIL("2026-01-02T03:00:00Z")},
		{.body = "T"}, {.body = "r"}, {.body = KEYS}};
	CLEANUP(creds_release) struct creds c = CREDS_INIT;
	CLEANUP(creds_release) struct creds again = CREDS_INIT;
	CLEANUP(creds_release) struct creds later = CREDS_INIT;
	struct awsserver *server = awsserver_start();
	struct err e = ERR_INIT;
	struct credskit k;

	(void)state;
	begin_imds(&k, server, replies, 6);
	assert_int_equal(credskit_get(&k, &c, &e), 0);
	credskit_pass(&k, 119);
	assert_int_equal(credskit_get(&k, &again, &e), 0);
	assert_int_equal(awsserver_count(server), 3);
	credskit_pass(&k, 481);
	assert_int_equal(credskit_get(&k, &later, &e), 0);
	assert_int_equal(awsserver_count(server), 6);
	end(&k, server);
}

#define IN_DIR(f) cmocka_unit_test_setup_teardown(f, tempdir_setup, tempdir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_DIR(test_a_container),
		cmocka_unit_test(test_whom_a_container_may_ask),
		cmocka_unit_test(test_the_relative_address_wins),
		cmocka_unit_test(test_many_threads_ask_once),
		cmocka_unit_test(test_an_instance),
		cmocka_unit_test(test_what_an_instance_may_say),
		cmocka_unit_test(test_no_instance),
		cmocka_unit_test(test_a_service_that_never_answers_costs_two_seconds),
		cmocka_unit_test(test_keys_that_have_expired_are_used_for_a_while),
	};

	if (http_global_init(NULL) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
