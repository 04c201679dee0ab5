/* Roles: whose credentials ask for them, what STS is asked, and what it may say. */

#include <errno.h>

#include "backend/http/http.h"
#include "tests/unit/awsserver.h"
#include "tests/unit/credskit.h"

#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

#define GIVEN(id)                                                                                  \
	"<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">"                 \
	"<AssumeRoleResult><AssumedRoleUser><Arn>arn:x</Arn></AssumedRoleUser><Credentials>"       \
	"<AccessKeyId>" id "</AccessKeyId><SecretAccessKey>S&amp;1</SecretAccessKey>"              \
	"<SessionToken>T/+=</SessionToken><Expiration>2026-01-02T04:04:05Z</Expiration>"           \
	"</Credentials></AssumeRoleResult></AssumeRoleResponse>"

#define REFUSED(code, message)                                                                     \
	"<ErrorResponse><Error><Type>Sender</Type><Code>" code "</Code><Message>" message          \
	"</Message></Error><RequestId>r</RequestId></ErrorResponse>"

#define ROLE	 "role_arn = arn:aws:iam::111122223333:role/path/dev\n"
#define BASE	 "[base]\naws_access_key_id = BASE\naws_secret_access_key = " SECRET "\n"
#define FORM_TOP "Action=AssumeRole&Version=2011-06-15&RoleArn="
#define FORM_ARN "arn%3Aaws%3Aiam%3A%3A111122223333%3Arole%2Fpath%2Fdev"

/* Asks once with these files, of a server that answers so; the caller ends
 * both. */
static int ask(void **state, struct credskit *k, struct awsserver **server, const char *config,
	       const struct awsserver_reply *replies, size_t count, struct creds *ret,
	       struct err *e)
{
	*server = awsserver_start();
	awsserver_script(*server, replies, count);
	credskit_begin(k);
	awsenv_file(&k->env, state, "config", config);
	awsenv_file(&k->env, state, "credentials", BASE);
	awsenv_set(&k->env, "AWS_ENDPOINT_URL_STS", awsserver_origin(*server));
	awsenv_set(&k->env, "AWS_PROFILE", "dev");
	return credskit_get(k, ret, e);
}

static void end(struct credskit *k, struct awsserver *server)
{
	credskit_end(k);
	awsserver_stop(server);
}

static void test_a_role_is_asked_for(void **state)
{
	static const struct {
		const char *why, *config, *body;
	} rows[] = {
		{"plain", "", FORM_TOP FORM_ARN "&RoleSessionName=batchfs-1767323045"},
		{"all there is",
		 "external_id = a b&c\nduration_seconds = 3600\nrole_session_name = me@x\n",
		 FORM_TOP FORM_ARN "&RoleSessionName=me%40x&ExternalId=a%20b%26c"
				   "&DurationSeconds=3600"},
	};
	static const struct awsserver_reply reply = {.body = GIVEN("A")};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(creds_release) struct creds c = CREDS_INIT;
		const struct awsserver_request *q;
		struct err e = ERR_INIT;
		struct awsserver *server;
		struct credskit k;
		char text[512];

		snprintf(text, sizeof(text), "[profile dev]\nsource_profile = base\n" ROLE "%s",
			 rows[i].config);
		if (ask(state, &k, &server, text, &reply, 1, &c, &e) != 0)
			fail_msg("%s: %s", rows[i].why, e.text);
		assert_string_equal(c.access_key_id, "A");
		assert_string_equal(c.secret, "S&1");
		assert_string_equal(c.session_token, "T/+=");
		assert_string_equal(c.account_id, "111122223333");
		assert_string_equal(c.source, "profile dev: role dev");
		assert_int_equal(c.expires_ns, CREDSKIT_WALL_NS + 3600 * NS_PER_S);
		assert_int_equal(awsserver_count(server), 1);
		q = awsserver_request(server, 0);
		assert_string_equal(q->method, "POST");
		assert_string_equal(q->target, "/");
		assert_true(awsserver_is_signed(q, SECRET));
		assert_non_null(
			strstr(awsserver_header(q, "authorization"), "/us-east-1/sts/aws4"));
		if (strcmp(q->body, rows[i].body) != 0)
			fail_msg("%s: %s", rows[i].why, q->body);
		end(&k, server);
	}
}

static void test_a_role_by_way_of_a_role(void **state)
{
	static const struct awsserver_reply replies[] = {{.body = GIVEN("MIDDLE")},
							 {.body = GIVEN("A")}};
	CLEANUP(creds_release) struct creds c = CREDS_INIT;
	const struct awsserver_request *q;
	struct err e = ERR_INIT;
	struct awsserver *server;
	struct credskit k;
	int r = ask(state, &k, &server,
		    "[profile dev]\nsource_profile = middle\n" ROLE
		    "[profile middle]\nsource_profile = base\n"
		    "role_arn = arn:aws:iam::111122223333:role/middle\n",
		    replies, 2, &c, &e);

	if (r != 0)
		fail_msg("%s", e.text);
	assert_string_equal(c.access_key_id, "A");
	q = awsserver_request(server, 0);
	assert_non_null(strstr(q->body, "role%2Fmiddle"));
	assert_true(awsserver_is_signed(q, SECRET));
	q = awsserver_request(server, 1);
	assert_non_null(strstr(q->body, FORM_ARN));
	assert_true(awsserver_is_signed(q, "S&1"));
	assert_string_equal(awsserver_header(q, "x-amz-security-token"), "T/+=");
	assert_non_null(strstr(awsserver_header(q, "authorization"), "Credential=MIDDLE/"));
	end(&k, server);
}

static const struct {
	const char *why, *config;
	int result;
	const char *words; /* Credential=... or of the error */
} source_rows[] = {
	{"itself, if it has keys",
	 "[profile dev]\naws_access_key_id = OWN\naws_secret_access_key = s\n"
	 "source_profile = dev\n" ROLE,
	 0, "Credential=OWN/"},
	{"the environment", "[profile dev]\ncredential_source = Environment\n" ROLE, -EACCES,
	 "credential_source = Environment, and there are no credentials"},
	{"a process",
	 "[profile dev]\nsource_profile = p\n" ROLE
	 "[profile p]\ncredential_process = echo '{\"Version\":1,\"AccessKeyId\":\"P\","
	 "\"SecretAccessKey\":\"s\"}'\n",
	 0, "Credential=P/"},
	{"a role with keys of its own is not assumed",
	 "[profile dev]\nsource_profile = p\n" ROLE
	 "[profile p]\nrole_arn = arn:x\nsource_profile = dev\n"
	 "aws_access_key_id = P2\naws_secret_access_key = s\n",
	 0, "Credential=P2/"},
	{"another word", "[profile dev]\ncredential_source = Elsewhere\n" ROLE, -EINVAL,
	 "one of Environment, Ec2InstanceMetadata and EcsContainer"},
	{"neither", "[profile dev]\n" ROLE, -EINVAL, "write one of them"},
	{"both", "[profile dev]\nsource_profile = base\ncredential_source = Environment\n" ROLE,
	 -EINVAL, "take one away"},
	{"nobody of that name", "[profile dev]\nsource_profile = gone\n" ROLE, -EINVAL,
	 "there is no such profile"},
	{"one without credentials", "[profile dev]\nsource_profile = e\n" ROLE "[profile e]\n",
	 -EINVAL, "that one has no credentials"},
	{"itself, without keys", "[profile dev]\nsource_profile = dev\n" ROLE, -EINVAL,
	 "leads back to itself"},
	{"a circle",
	 "[profile dev]\nsource_profile = a\n" ROLE "[profile a]\nsource_profile = b\n" ROLE
	 "[profile b]\nsource_profile = dev\n" ROLE,
	 -EINVAL, "profile b: source_profile = dev leads back"},
	{"nobody to type a code", "[profile dev]\nsource_profile = base\nmfa_serial = arn:x\n" ROLE,
	 -EINVAL, "mfa_serial wants a code"},
	{"a duration that is none",
	 "[profile dev]\nsource_profile = base\nduration_seconds = 60\n" ROLE, -EINVAL,
	 "duration_seconds = 60: give a whole number"},
	{"not an ARN", "[profile dev]\nsource_profile = base\nrole_arn = dev\n", -EINVAL,
	 "role_arn = dev: write it as in"},
};

static void test_who_may_be_a_source(void **state)
{
	static const struct awsserver_reply reply = {.body = GIVEN("A")};

	for (size_t i = 0; i < COUNT_OF(source_rows); i++) {
		CLEANUP(creds_release) struct creds c = CREDS_INIT;
		struct err e = ERR_INIT;
		struct awsserver *server;
		const char *said = e.text;
		struct credskit k;
		int r = ask(state, &k, &server, source_rows[i].config, &reply, 1, &c, &e);

		if (r == 0)
			said = awsserver_header(awsserver_request(server, 0), "authorization");
		if (r != source_rows[i].result || !strstr(said, source_rows[i].words))
			fail_msg("%s: %d %s", source_rows[i].why, r, said);
		if (r < 0)
			assert_int_equal(awsserver_count(server), 0);
		end(&k, server);
	}
}

static void test_a_chain_that_is_too_long(void **state)
{
	static const struct awsserver_reply reply = {.body = GIVEN("A")};
	CLEANUP(buf_release) struct buf text = BUF_INIT(4096);
	CLEANUP(creds_release) struct creds c = CREDS_INIT;
	struct err e = ERR_INIT;
	struct awsserver *server;
	struct credskit k;
	int r;

	buf_add_str(&text, "[profile dev]\nsource_profile = p0\n" ROLE);
	for (int i = 0; i < 10; i++)
		buf_addf(&text, "[profile p%d]\nsource_profile = p%d\n" ROLE, i, i + 1);
	r = ask(state, &k, &server, text.data, &reply, 1, &c, &e);
	assert_int_equal(r, -EINVAL);
	assert_non_null(strstr(e.text, "more than 8 profiles"));
	end(&k, server);
}

static const struct {
	const char *why;
	struct awsserver_reply reply;
	int result;
	unsigned asked;
	const char *words;
} answer_rows[] = {
	{"no",
	 {.status = 403, .body = REFUSED("AccessDenied", "User x is not authorized")},
	 -EACCES,
	 1,
	 "profile dev: STS does not give profile base: credentials file the role "
	 "arn:aws:iam::111122223333:role/path/dev: AccessDenied: User x is not authorized; "
	 "allow the caller sts:AssumeRole"},
	{"an unknown key",
	 {.status = 403, .body = REFUSED("InvalidClientTokenId", "The token is invalid")},
	 -EACCES,
	 1,
	 "the access key is not known to AWS"},
	{"its words hold the secret",
	 {.status = 403, .body = REFUSED("Other", "see " SECRET " here")},
	 -EACCES,
	 1,
	 "Other: (its words hold a secret)"},
	{"too often",
	 {.status = 400, .body = REFUSED("Throttling", "Rate exceeded")},
	 -EAGAIN,
	 3,
	 "Throttling: Rate exceeded"},
	{"it is broken", {.status = 500, .body = "<html>"}, -EAGAIN, 3, "HTTP status 500"},
	{"half an answer",
	 {.body = "<AssumeRoleResponse><AssumeRoleResult>"},
	 -EAGAIN,
	 1,
	 "makes no sense"},
	{"no token",
	 {.body = "<R><Credentials><AccessKeyId>A</AccessKeyId></Credentials></R>"},
	 -EAGAIN,
	 1,
	 "makes no sense"},
	{"entities of its own",
	 {.body = "<!DOCTYPE r [<!ENTITY e \"x\">]>" GIVEN("&e;")},
	 -EAGAIN,
	 1,
	 "makes no sense"},
	{"a depth without end",
	 {.body = "<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a>"},
	 -EAGAIN,
	 1,
	 "makes no sense"},
	{"a key that would be a header",
	 {.body = GIVEN("A&#13;&#10;X: y")},
	 -EACCES,
	 1,
	 "the access key id is empty, too long"},
};

static void test_what_sts_may_say(void **state)
{
	for (size_t i = 0; i < COUNT_OF(answer_rows); i++) {
		CLEANUP(creds_release) struct creds c = CREDS_INIT;
		struct err e = ERR_INIT;
		struct awsserver *server;
		struct credskit k;
		int r = ask(state, &k, &server, "[profile dev]\nsource_profile = base\n" ROLE,
			    &answer_rows[i].reply, 1, &c, &e);

		if (r != answer_rows[i].result || !strstr(e.text, answer_rows[i].words))
			fail_msg("%s: %d %s", answer_rows[i].why, r, e.text);
		assert_null(strstr(e.text, "wJalr"));
		if (awsserver_count(server) != answer_rows[i].asked)
			fail_msg("%s: asked %u times", answer_rows[i].why, awsserver_count(server));
		end(&k, server);
	}
}

static void test_it_works_the_second_time(void **state)
{
	static const struct awsserver_reply replies[] = {
		{.how = AWSSERVER_RESET}, {.status = 503}, {.body = GIVEN("A")}};
	CLEANUP(creds_release) struct creds c = CREDS_INIT;
	struct err e = ERR_INIT;
	struct awsserver *server;
	struct credskit k;

	if (ask(state, &k, &server, "[profile dev]\nsource_profile = base\n" ROLE, replies, 3, &c,
		&e) != 0)
		fail_msg("%s", e.text);
	assert_int_equal(awsserver_count(server), 3);
	end(&k, server);
}

static void test_certificates_of_ones_own(void **state)
{
	CLEANUP(creds_release) struct creds c = CREDS_INIT;
	struct awsserver *server = awsserver_start();
	struct err e = ERR_INIT;
	struct credskit k;
	char url[128];

	snprintf(url, sizeof(url), "https%s", awsserver_origin(server) + strlen("http"));
	credskit_begin(&k);
	awsenv_file(&k.env, state, "config",
		    "[profile dev]\nsource_profile = base\nca_bundle = /nowhere/ca.pem\n" ROLE);
	awsenv_file(&k.env, state, "credentials", BASE);
	awsenv_set(&k.env, "AWS_ENDPOINT_URL_STS", url);
	awsenv_set(&k.env, "AWS_PROFILE", "dev");
	assert_int_equal(credskit_get(&k, &c, &e), -EAGAIN);
	if (!strstr(e.text, "/nowhere/ca.pem"))
		fail_msg("%s", e.text);
	end(&k, server);
}

static void test_renewal(void **state)
{
	static const struct awsserver_reply replies[] = {{.body = GIVEN("A")},
							 {.body = GIVEN("B")}};
	CLEANUP(creds_release) struct creds a = CREDS_INIT;
	CLEANUP(creds_release) struct creds b = CREDS_INIT;
	CLEANUP(creds_release) struct creds still = CREDS_INIT;
	struct err e = ERR_INIT;
	struct awsserver *server;
	struct credskit k;
	int r = ask(state, &k, &server, "[profile dev]\nsource_profile = base\n" ROLE, replies, 2,
		    &a, &e);

	assert_int_equal(r, 0);
	credskit_pass(&k, 40 * 60);
	assert_int_equal(credskit_get(&k, &still, &e), 0);
	assert_string_equal(still.access_key_id, "A");
	credskit_pass(&k, 6 * 60);
	assert_int_equal(credskit_get(&k, &b, &e), 0);
	assert_string_equal(b.access_key_id, "B");
	assert_int_equal(awsserver_count(server), 2);
	end(&k, server);
}

/* The keys that ask for the role have run out, and are written anew. */
static void test_keys_of_the_source_that_change(void **state)
{
	static const struct awsserver_reply replies[] = {
		{.body = GIVEN("A")},
		{.status = 403, .body = REFUSED("ExpiredToken", "The security token is expired")},
		{.body = GIVEN("B")}};
	CLEANUP(creds_release) struct creds c = CREDS_INIT;
	struct err e = ERR_INIT;
	struct awsserver *server;
	struct credskit k;
	int r = ask(state, &k, &server, "[profile dev]\nsource_profile = base\n" ROLE, replies, 3,
		    &c, &e);

	assert_int_equal(r, 0);
	creds_release(&c);
	credskit_pass(&k, 3600);
	assert_int_equal(credskit_get(&k, &c, &e), -EACCES);
	awsenv_file(&k.env, state, "credentials",
		    "[base]\naws_access_key_id = NEWER\naws_secret_access_key = " SECRET "\n");
	assert_int_equal(credskit_get(&k, &c, &e), 0);
	assert_non_null(strstr(awsserver_header(awsserver_request(server, 2), "authorization"),
			       "Credential=NEWER/"));
	end(&k, server);
}

static void test_web_identity(void **state)
{
	static const struct {
		const char *why, *config, *env_arn, *token;
		bool env_file;
		int result;
		const char *words; /* of the body, or of the error */
	} rows[] = {
		{"of the environment", "[profile dev]\n", "arn:env", "TOKEN\n", true, 0,
		 "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aenv&"
		 "RoleSessionName=batchfs-1767323045&WebIdentityToken=TOKEN"},
		{"of the profile", "[profile dev]\nweb_identity_token_file = %s\n" ROLE, NULL,
		 "TOKEN", false, 0, "RoleArn=" FORM_ARN "&"},
		{"the profile's role wins over the environment",
		 "[profile dev]\nsource_profile = base\n" ROLE, "arn:env", "TOKEN", true, 0,
		 "Action=AssumeRole&"},
		{"no role", "[profile dev]\n", NULL, "TOKEN", true, -EINVAL,
		 "AWS_WEB_IDENTITY_TOKEN_FILE is set and AWS_ROLE_ARN is not"},
		{"an empty token", "[profile dev]\n", "arn:env", "\n", true, -EACCES,
		 "it is empty"},
		{"no file", "[profile dev]\n", "arn:env", NULL, true, -EACCES, "No such file"},
	};
	static const struct awsserver_reply reply = {.body = GIVEN("A")};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(creds_release) struct creds c = CREDS_INIT;
		struct tempdir_name path = tempdir_path(state, "token");
		struct awsserver *server = awsserver_start();
		const char *insert = strstr(rows[i].config, "%s");
		CLEANUP(buf_release) struct buf text = BUF_INIT(8192);
		const struct awsserver_request *q;
		struct err e = ERR_INIT;
		const char *said = e.text;
		struct credskit k;
		int r;

		unlink(path.text);
		if (rows[i].token)
			awsenv_write(path.text, rows[i].token);
		buf_add(&text, rows[i].config,
			insert ? (size_t)(insert - rows[i].config) : strlen(rows[i].config));
		if (insert)
			buf_addf(&text, "%s%s", path.text, insert + 2);
		awsserver_script(server, &reply, 1);
		credskit_begin(&k);
		awsenv_file(&k.env, state, "config", text.data);
		awsenv_file(&k.env, state, "credentials", BASE);
		awsenv_set(&k.env, "AWS_ENDPOINT_URL_STS", awsserver_origin(server));
		awsenv_set(&k.env, "AWS_PROFILE", "dev");
		awsenv_set(&k.env, "AWS_ROLE_ARN", rows[i].env_arn);
		awsenv_set(&k.env, "AWS_WEB_IDENTITY_TOKEN_FILE",
			   rows[i].env_file ? path.text : NULL);
		r = credskit_get(&k, &c, &e);
		if (r == 0) {
			q = awsserver_request(server, 0);
			said = q->body;
			assert_int_equal(!awsserver_header(q, "authorization"),
					 strstr(said, "WithWebIdentity") != NULL);
		}
		if (r != rows[i].result || !strstr(said, rows[i].words))
			fail_msg("%s: %d %s", rows[i].why, r, said);
		end(&k, server);
	}
}

static void test_the_web_identity_token_is_read_each_time(void **state)
{
	static const struct awsserver_reply replies[] = {
		{.status = 400, .body = REFUSED("IDPCommunicationError", "x")},
		{.body = GIVEN("A")},
		{.status = 400, .body = REFUSED("ExpiredTokenException", "TOKEN2 is old")}};
	struct tempdir_name path = tempdir_path(state, "token");
	CLEANUP(creds_release) struct creds c = CREDS_INIT;
	struct awsserver *server = awsserver_start();
	struct err e = ERR_INIT;
	struct credskit k;

	awsserver_script(server, replies, 3);
	awsenv_write(path.text, "TOKEN1");
	credskit_begin(&k);
	awsenv_set(&k.env, "AWS_ENDPOINT_URL_STS", awsserver_origin(server));
	awsenv_set(&k.env, "AWS_ROLE_ARN", "arn:env");
	awsenv_set(&k.env, "AWS_WEB_IDENTITY_TOKEN_FILE", path.text);
	assert_int_equal(credskit_get(&k, &c, &e), 0);
	assert_int_equal(awsserver_count(server), 2);
	awsenv_write(path.text, "TOKEN2");
	creds_reject(k.chain, "A");
	creds_release(&c);
	assert_int_equal(credskit_get(&k, &c, &e), -EACCES);
	assert_non_null(strstr(awsserver_request(server, 1)->body, "Token=TOKEN1"));
	assert_non_null(strstr(awsserver_request(server, 2)->body, "Token=TOKEN2"));
	assert_non_null(strstr(e.text, "see to it that its file is renewed"));
	assert_null(strstr(e.text, "TOKEN2"));
	end(&k, server);
}

#define IN_DIR(f) cmocka_unit_test_setup_teardown(f, tempdir_setup, tempdir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_DIR(test_a_role_is_asked_for),
		IN_DIR(test_a_role_by_way_of_a_role),
		IN_DIR(test_who_may_be_a_source),
		IN_DIR(test_a_chain_that_is_too_long),
		IN_DIR(test_what_sts_may_say),
		IN_DIR(test_it_works_the_second_time),
		IN_DIR(test_certificates_of_ones_own),
		IN_DIR(test_renewal),
		IN_DIR(test_keys_of_the_source_that_change),
		IN_DIR(test_web_identity),
		IN_DIR(test_the_web_identity_token_is_read_each_time),
	};

	if (http_global_init(NULL) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
