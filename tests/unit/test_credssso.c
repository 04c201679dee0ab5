/* SSO: where its token lies, when it is renewed, and what to do when it cannot be. */

#include <errno.h>
#include <sys/stat.h>

#include "backend/http/http.h"
#include "tests/unit/awsserver.h"
#include "tests/unit/credskit.h"

/* SHA-1 of the session's name, and of the start URL. */
#define NEW_FILE ".aws/sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json"
#define OLD_FILE ".aws/sso/cache/a51746d4aa793ae07b25e90c3a5db96fc7832bd7.json"

#define SESSION                                                                                    \
	"[profile dev]\nsso_session = corp\nsso_account_id = 111122223333\n"                       \
	"sso_role_name = My Role\n[sso-session corp]\nsso_region = eu-west-1\n"                    \
	"sso_start_url = https://corp.awsapps.com/start\n"
#define LEGACY                                                                                     \
	"[profile dev]\nsso_account_id = 111122223333\nsso_role_name = My Role\n"                  \
	"sso_region = eu-west-1\nsso_start_url = https://corp.awsapps.com/start\n"

#define TOKEN(access, expires) "{\"accessToken\": \"" access "\", \"expiresAt\": \"" expires "\""
#define CLIENT                                                                                     \
	", \"refreshToken\": \"REFRESH1\", \"clientId\": \"ID\", \"clientSecret\": \"CS\\\"1\""
#define HOURS_LEFT   "2026-01-02T08:04:05Z"
#define MINUTES_LEFT "2026-01-02T03:14:05Z"
#define PAST	     "2026-01-02T03:04:04Z"

/* Expires an hour after the clock's beginning. */
#define KEYS                                                                                       \
	"{\"roleCredentials\": {\"accessKeyId\": \"A\", \"secretAccessKey\": \"S\","               \
	"\"sessionToken\": \"T\", \"expiration\": 1767326645000}}"
#define RENEWED                                                                                    \
	"{\"accessToken\": \"ACCESS2\", \"expiresIn\": 28800, \"refreshToken\": \"REFRESH2\"}"

static void begin(void **state, struct credskit *k, struct awsserver *server, const char *config)
{
	credskit_begin(k);
	assert_true(mkdir(tempdir_path(state, ".aws").text, 0700) == 0 || errno == EEXIST);
	assert_true(mkdir(tempdir_path(state, ".aws/sso").text, 0700) == 0 || errno == EEXIST);
	assert_true(mkdir(tempdir_path(state, ".aws/sso/cache").text, 0700) == 0 ||
		    errno == EEXIST);
	awsenv_file(&k->env, state, "config", config);
	awsenv_set(&k->env, "HOME", *state);
	awsenv_set(&k->env, "AWS_PROFILE", "dev");
	awsenv_set(&k->env, "AWS_ENDPOINT_URL_SSO", awsserver_origin(server));
	awsenv_set(&k->env, "AWS_ENDPOINT_URL_SSO_OIDC", awsserver_origin(server));
}

static void end(struct credskit *k, struct awsserver *server)
{
	credskit_end(k);
	awsserver_stop(server);
}

static void test_keys_for_a_token(void **state)
{
	static const struct {
		const char *config, *file;
	} rows[] = {{SESSION, NEW_FILE}, {LEGACY, OLD_FILE}};
	static const struct awsserver_reply reply = {.body = KEYS};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(creds_release) struct creds c = CREDS_INIT;
		struct awsserver *server = awsserver_start();
		const struct awsserver_request *q;
		struct err e = ERR_INIT;
		struct credskit k;

		begin(state, &k, server, rows[i].config);
		awsserver_script(server, &reply, 1);
		awsenv_write(tempdir_path(state, rows[i].file).text,
			     TOKEN("ACCESS1", HOURS_LEFT) "}");
		if (credskit_get(&k, &c, &e) != 0)
			fail_msg("%s", e.text);
		assert_string_equal(c.access_key_id, "A");
		assert_string_equal(c.secret, "S");
		assert_string_equal(c.session_token, "T");
		assert_string_equal(c.account_id, "111122223333");
		assert_string_equal(c.source, "profile dev: SSO role My Role");
		assert_int_equal(c.expires_ns, CREDSKIT_WALL_NS + 3600 * NS_PER_S);
		q = awsserver_request(server, 0);
		assert_string_equal(q->method, "GET");
		assert_string_equal(q->target, "/federation/credentials?role_name=My%20Role"
					       "&account_id=111122223333");
		assert_string_equal(awsserver_header(q, "x-amz-sso_bearer_token"), "ACCESS1");
		assert_null(awsserver_header(q, "authorization"));
		end(&k, server);
	}
}

static void read_file(const char *path, struct buf *to)
{
	FILE *f = fopen(path, "r");
	int c;

	assert_non_null(f);
	while ((c = fgetc(f)) != EOF)
		buf_add_char(to, (char)c);
	fclose(f);
}

static void test_a_token_is_renewed_and_written_back(void **state)
{
	static const struct awsserver_reply replies[] = {{.body = RENEWED}, {.body = KEYS}};
	struct tempdir_name path = tempdir_path(state, NEW_FILE);
	CLEANUP(creds_release) struct creds c = CREDS_INIT;
	CLEANUP(buf_release) struct buf text = BUF_INIT(4096);
	struct awsserver *server = awsserver_start();
	const struct awsserver_request *q;
	struct err e = ERR_INIT;
	struct credskit k;
	struct stat st;

	begin(state, &k, server, SESSION);
	awsserver_script(server, replies, 2);
	awsenv_write(path.text, TOKEN("ACCESS1", MINUTES_LEFT) CLIENT
		     ", \"other\": [1, \"x\"], \"registrationExpiresAt\": \"" HOURS_LEFT "\"}");
	assert_int_equal(chmod(path.text, 0644), 0);
	if (credskit_get(&k, &c, &e) != 0)
		fail_msg("%s", e.text);
	q = awsserver_request(server, 0);
	assert_string_equal(q->method, "POST");
	assert_string_equal(q->target, "/token");
	assert_string_equal(awsserver_header(q, "content-type"), "application/json");
	assert_string_equal(q->body, "{\"clientId\":\"ID\",\"clientSecret\":\"CS\\\"1\","
				     "\"grantType\":\"refresh_token\","
				     "\"refreshToken\":\"REFRESH1\"}");
	q = awsserver_request(server, 1);
	assert_string_equal(awsserver_header(q, "x-amz-sso_bearer_token"), "ACCESS2");
	read_file(path.text, &text);
	assert_string_equal(
		text.data,
		"{\"accessToken\": \"ACCESS2\", \"expiresAt\": \"2026-01-02T11:04:05Z\", "
		"\"refreshToken\": \"REFRESH2\", \"clientId\": \"ID\", "
		"\"clientSecret\": \"CS\\\"1\", \"other\": [1, \"x\"], "
		"\"registrationExpiresAt\": \"" HOURS_LEFT "\"}");
	assert_int_equal(stat(path.text, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	end(&k, server);
}

static const struct {
	const char *why, *token;
	struct awsserver_reply first;
	int result;
	unsigned asked;
	const char *words; /* of the error */
} renewal_rows[] = {
	{"hours are left", TOKEN("A1", HOURS_LEFT) CLIENT "}", {.body = KEYS}, 0, 1, ""},
	{"minutes are left and nothing to renew it with",
	 TOKEN("A1", MINUTES_LEFT) "}",
	 {.body = KEYS},
	 0,
	 1,
	 ""},
	{"minutes are left, and it is refused",
	 TOKEN("A1", MINUTES_LEFT) CLIENT "}",
	 {.status = 400, .body = "{\"error\":\"invalid_grant\"}"},
	 0,
	 2,
	 ""},
	{"expired, and nothing to renew it with",
	 TOKEN("A1", PAST) "}",
	 {.body = KEYS},
	 -EACCES,
	 0,
	 "the SSO login has expired; run: aws sso login --profile dev"},
	{"no end is told",
	 "{\"accessToken\": \"A1\"}",
	 {.body = KEYS},
	 -EACCES,
	 0,
	 "the SSO login has expired"},
	{"the registration has expired, too",
	 TOKEN("A1", PAST) CLIENT ", \"registrationExpiresAt\": \"" PAST "\"}",
	 {.body = KEYS},
	 -EACCES,
	 0,
	 "the SSO login has expired"},
	{"expired, and it is refused",
	 TOKEN("A1", PAST) CLIENT "}",
	 {.status = 400, .body = "{\"error\":\"invalid_grant\"}"},
	 -EACCES,
	 1,
	 "run: aws sso login --profile dev"},
	{"expired, and its words hold a secret",
	 TOKEN("A1", PAST) CLIENT "}",
	 {.status = 400, .body = "{\"message\":\"no REFRESH1\"}"},
	 -EACCES,
	 1,
	 "run: aws sso login"},
	{"expired, and nonsense comes",
	 TOKEN("A1", PAST) CLIENT "}",
	 {.body = "{}"},
	 -EAGAIN,
	 1,
	 "makes no sense"},
	{"expired, and the service is broken",
	 TOKEN("A1", PAST) CLIENT "}",
	 {.status = 500},
	 -EAGAIN,
	 3,
	 "HTTP status 500"},
	{"damaged",
	 "{\"accessToken\": ",
	 {.body = KEYS},
	 -EACCES,
	 0,
	 "it is damaged); run: aws sso login"},
	{"another type", "{\"accessToken\": 1}", {.body = KEYS}, -EACCES, 0, "damaged"},
	{"a token that would be two headers",
	 TOKEN("A\\r\\nX: y", HOURS_LEFT) "}",
	 {.body = KEYS},
	 -EACCES,
	 0,
	 "characters that no token has"},
	{"nobody has logged in",
	 NULL,
	 {.body = KEYS},
	 -EACCES,
	 0,
	 "nobody has logged in to SSO; run: aws sso login --profile dev"},
};

static void test_when_it_is_renewed(void **state)
{
	for (size_t i = 0; i < COUNT_OF(renewal_rows); i++) {
		const struct awsserver_reply replies[] = {renewal_rows[i].first, {.body = KEYS}};
		struct tempdir_name path = tempdir_path(state, NEW_FILE);
		CLEANUP(creds_release) struct creds c = CREDS_INIT;
		struct awsserver *server = awsserver_start();
		struct err e = ERR_INIT;
		struct credskit k;
		int r;

		begin(state, &k, server, SESSION);
		awsserver_script(server, replies, renewal_rows[i].first.status == 500 ? 1 : 2);
		unlink(path.text);
		if (renewal_rows[i].token)
			awsenv_write(path.text, renewal_rows[i].token);
		r = credskit_get(&k, &c, &e);
		if (r != renewal_rows[i].result || !strstr(e.text, renewal_rows[i].words))
			fail_msg("%s: %d %s", renewal_rows[i].why, r, e.text);
		if (strstr(e.text, "REFRESH1") || awsserver_count(server) != renewal_rows[i].asked)
			fail_msg("%s: %u %s", renewal_rows[i].why, awsserver_count(server), e.text);
		end(&k, server);
	}
}

static void test_what_the_portal_may_say(void **state)
{
	static const struct {
		const char *why;
		struct awsserver_reply reply;
		int result;
		const char *words;
	} rows[] = {
		{"logged out",
		 {.status = 401, .body = "{\"message\":\"Session token not found or invalid\"}"},
		 -EACCES,
		 "run: aws sso login --profile dev"},
		{"not for you",
		 {.status = 403, .body = "{\"message\":\"No access\"}"},
		 -EACCES,
		 "for the role My Role of account 111122223333: "},
		{"its words hold the token",
		 {.status = 403, .body = "{\"message\":\"ACCESS1\"}"},
		 -EACCES,
		 "check sso_role_name and sso_account_id"},
		{"no keys",
		 {.body = "{\"roleCredentials\":{\"expiration\":1}}"},
		 -EAGAIN,
		 "makes no sense"},
		{"no end",
		 {.body = "{\"roleCredentials\":{\"accessKeyId\":\"A\"}}"},
		 -EAGAIN,
		 "makes no sense"},
		{"an end that no clock shows",
		 {.body = "{\"roleCredentials\":{\"expiration\":18446744073709551615}}"},
		 -EAGAIN,
		 "makes no sense"},
		{"nothing", {.body = ""}, -EAGAIN, "makes no sense"},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(creds_release) struct creds c = CREDS_INIT;
		struct awsserver *server = awsserver_start();
		struct err e = ERR_INIT;
		struct credskit k;
		int r;

		begin(state, &k, server, SESSION);
		awsserver_script(server, &rows[i].reply, 1);
		awsenv_write(tempdir_path(state, NEW_FILE).text, TOKEN("ACCESS1", HOURS_LEFT) "}");
		r = credskit_get(&k, &c, &e);
		if (r != rows[i].result || !strstr(e.text, rows[i].words) ||
		    strstr(e.text, "ACCESS1"))
			fail_msg("%s: %d %s", rows[i].why, r, e.text);
		end(&k, server);
	}
}

static void test_half_a_configuration(void **state)
{
	static const struct {
		const char *why, *config, *words;
	} rows[] = {
		{"no session", "sso_session = corp\nsso_account_id = 1\nsso_role_name = r\n",
		 "there is no [sso-session corp]"},
		{"no role", "sso_account_id = 1\n", "sso_role_name is missing"},
		{"no account", "sso_role_name = r\n", "sso_account_id is missing"},
		{"no region", "sso_account_id = 1\nsso_role_name = r\n", "sso_region is missing"},
		{"no URL", "sso_account_id = 1\nsso_role_name = r\nsso_region = us-east-1\n",
		 "sso_start_url is missing; write it with: aws configure sso --profile dev"},
		{"a region that is none",
		 "sso_account_id = 1\nsso_role_name = r\nsso_region = a/b\nsso_start_url = u\n",
		 "nobody has logged in"},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(creds_release) struct creds c = CREDS_INIT;
		struct awsserver *server = awsserver_start();
		struct err e = ERR_INIT;
		struct credskit k;
		char text[512];

		snprintf(text, sizeof(text), "[profile dev]\n%s", rows[i].config);
		begin(state, &k, server, text);
		assert_true(credskit_get(&k, &c, &e) < 0);
		if (!strstr(e.text, rows[i].words))
			fail_msg("%s: %s", rows[i].why, e.text);
		assert_int_equal(awsserver_count(server), 0);
		end(&k, server);
	}
}

static void test_a_cache_that_cannot_be_written(void **state)
{
	static const struct awsserver_reply replies[] = {{.body = RENEWED}, {.body = KEYS}};
	struct tempdir_name home = tempdir_path(state, ".aws/sso/cache");
	CLEANUP(creds_release) struct creds c = CREDS_INIT;
	struct awsserver *server = awsserver_start();
	struct err e = ERR_INIT;
	struct credskit k;

	begin(state, &k, server, SESSION);
	awsserver_script(server, replies, 2);
	awsenv_write(tempdir_path(state, NEW_FILE).text, TOKEN("A1", PAST) CLIENT "}");
	assert_int_equal(chmod(home.text, 0500), 0);
	if (credskit_get(&k, &c, &e) != 0)
		fail_msg("%s", e.text);
	assert_int_equal(chmod(home.text, 0700), 0);
	end(&k, server);
}

#define IN_DIR(f) cmocka_unit_test_setup_teardown(f, tempdir_setup, tempdir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_DIR(test_keys_for_a_token),	   IN_DIR(test_a_token_is_renewed_and_written_back),
		IN_DIR(test_when_it_is_renewed),   IN_DIR(test_what_the_portal_may_say),
		IN_DIR(test_half_a_configuration), IN_DIR(test_a_cache_that_cannot_be_written),
	};

	if (http_global_init(NULL) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
