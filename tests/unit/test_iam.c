/* STS and IAM, by a server that says what they are known to say. */

#include <errno.h>
#include <string.h>

#include "backend/aws/iam.h"
#include "backend/http/http.h"
#include "tests/unit/awsserver.h"
#include "tests/unit/cmocka_all.h"

#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

struct world {
	struct awsserver *server;
	struct aws *aws;
	struct iam iam;
	struct clock clock;
};

static const char *environment(void *ctx, const char *name)
{
	struct world *w = ctx;
	const char *const rows[][2] = {
		{"AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"},
		{"AWS_SECRET_ACCESS_KEY", SECRET},
		{"AWS_CONFIG_FILE", "/dev/null"},
		{"AWS_SHARED_CREDENTIALS_FILE", "/dev/null"},
		{"AWS_EC2_METADATA_DISABLED", "true"},
		{"AWS_REGION", "us-east-1"},
		{"AWS_ENDPOINT_URL", awsserver_origin(w->server)},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (strcmp(rows[i][0], name) == 0)
			return rows[i][1];
	return NULL;
}

static void open_world(struct world *w)
{
	struct awsconfig_options o = {.env = environment, .ctx = w};
	struct awsconfig *config = NULL;
	struct err e = ERR_INIT;

	*w = (struct world){.server = awsserver_start()};
	if (awsconfig_load(&o, &config, &e) < 0 ||
	    aws_open(config, clock_system(), &w->aws, &e) < 0)
		fail_msg("%s", e.text);
	w->iam = (struct iam){w->aws, "eu-west-1"};
}

static void close_world(struct world *w)
{
	aws_close(w->aws);
	awsserver_stop(w->server);
}

static void answer(struct world *w, int status, const char *body)
{
	static struct awsserver_reply reply;

	reply = (struct awsserver_reply){
		.status = status, .headers = "Content-Type: text/xml\r\n", .body = body};
	awsserver_script(w->server, &reply, 1);
}

#define WHOAMI(arn)                                                                                \
	"<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n"        \
	"  <GetCallerIdentityResult>\n    <Arn>" arn "</Arn>\n    <UserId>AROA:me</UserId>\n"      \
	"    <Account>111122223333</Account>\n  </GetCallerIdentityResult>\n"                      \
	"  <ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata>\n"                      \
	"</GetCallerIdentityResponse>"

static void test_who_am_i(void **state)
{
	struct iam_identity id;
	struct err e = ERR_INIT;
	struct world w;
	const struct awsserver_request *q;

	(void)state;
	open_world(&w);
	answer(&w, 200, WHOAMI("arn:aws:sts::111122223333:assumed-role/dev/me"));
	if (iam_whoami(&w.iam, &id, &e) < 0)
		fail_msg("%s", e.text);
	assert_string_equal(id.account, "111122223333");
	assert_string_equal(id.arn, "arn:aws:sts::111122223333:assumed-role/dev/me");
	q = awsserver_request(w.server, 0);
	assert_string_equal(q->method, "POST");
	assert_string_equal(q->body, "Action=GetCallerIdentity&Version=2011-06-15");
	assert_true(awsserver_is_signed(q, SECRET));
	assert_non_null(strstr(awsserver_header(q, "authorization"), "/eu-west-1/sts/"));
	close_world(&w);
}

static void test_answers_that_make_no_sense(void **state)
{
	static const struct {
		const char *why, *body;
	} rows[] = {
		{"nothing", ""},
		{"no XML", "{\"Arn\":1}"},
		{"cut", "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>x"},
		{"names nobody", "<GetCallerIdentityResponse/>"},
		{"elsewhere in the tree", "<a><Arn>arn</Arn><Account>1</Account></a>"},
		{"a bomb",
		 "<!DOCTYPE x [<!ENTITY a \"aaaa\">]><GetCallerIdentityResult><Arn>&a;</Arn>"
		 "<Account>1</Account></GetCallerIdentityResult>"},
		{"an account that is too long",
		 "<GetCallerIdentityResult><Arn>x</Arn><Account>11112222333344445555</Account>"
		 "</GetCallerIdentityResult>"},
		{"deep",
		 "<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a/></a></a></a></a></a>"
		 "</a></a></a></a></a></a></a></a></a></a></a></a>"},
	};
	struct world w;

	(void)state;
	open_world(&w);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct iam_identity id;
		struct err e = ERR_INIT;
		int r;

		answer(&w, 200, rows[i].body);
		r = iam_whoami(&w.iam, &id, &e);
		if (r != -EBADMSG || !e.text[0])
			fail_msg("%s: %d \"%s\"", rows[i].why, r, e.text);
	}
	close_world(&w);
}

#define ERROR(code)                                                                                \
	"<ErrorResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><Error><Type>Sender"   \
	"</Type><Code>" code "</Code><Message>words of IAM</Message></Error><RequestId>r-2"        \
	"</RequestId></ErrorResponse>"

static void test_refusals(void **state)
{
	static const struct {
		const char *why;
		int status;
		const char *body;
		int is;
	} rows[] = {
		{"not allowed to ask", 403, ERROR("AccessDenied"), -EACCES},
		{"no such role", 404, ERROR("NoSuchEntity"), -ENOENT},
		{"busy", 503, ERROR("ServiceUnavailable"), -EAGAIN},
	};
	struct world w;

	(void)state;
	open_world(&w);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(iam_role_release) struct iam_role role = IAM_ROLE_INIT;
		struct err e = ERR_INIT;
		int r;

		answer(&w, rows[i].status, rows[i].body);
		r = iam_role(&w.iam, "BatchRole", &role, &e);
		if (r != rows[i].is || !strstr(e.text, "words of IAM"))
			fail_msg("%s: %d \"%s\"", rows[i].why, r, e.text);
		assert_null(role.arn);
	}
	close_world(&w);
}

static void test_a_role_and_its_trust(void **state)
{
	static const char body[] =
		"<GetRoleResponse><GetRoleResult><Role><Path>/ml/</Path>"
		"<AssumeRolePolicyDocument>%7B%22a%22%3A%22b+c%22%2C%22d%22%3A%22%C3%A4%%3%00%zz%22%7D"
		"</AssumeRolePolicyDocument><RoleId>AROA</RoleId><RoleName>BatchRole</RoleName>"
		"<PermissionsBoundary><Arn>no</Arn></PermissionsBoundary>"
		"<Arn>arn:aws:iam::111122223333:role/ml/BatchRole</Arn></Role></GetRoleResult>"
		"</GetRoleResponse>";
	CLEANUP(iam_role_release) struct iam_role role = IAM_ROLE_INIT;
	struct err e = ERR_INIT;
	struct world w;

	(void)state;
	open_world(&w);
	answer(&w, 200, body);
	if (iam_role(&w.iam, "Batch Role+&", &role, &e) < 0)
		fail_msg("%s", e.text);
	assert_string_equal(role.arn, "arn:aws:iam::111122223333:role/ml/BatchRole");
	/* A '+' stands for itself; what is no escape stays, and no NUL comes of one. */
	assert_string_equal(role.trust, "{\"a\":\"b+c\",\"d\":\"ä%%3%00%zz\"}");
	assert_string_equal(awsserver_request(w.server, 0)->body,
			    "Action=GetRole&Version=2010-05-08&RoleName=Batch%20Role%2B%26");
	/* IAM has a region of its own. */
	assert_non_null(strstr(awsserver_header(awsserver_request(w.server, 0), "authorization"),
			       "/us-east-1/iam/"));
	close_world(&w);
}

#define RESULTS(inner)                                                                             \
	"<SimulatePrincipalPolicyResponse><SimulatePrincipalPolicyResult><IsTruncated>false"       \
	"</IsTruncated><EvaluationResults>" inner "</EvaluationResults>"                           \
	"</SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>"
#define RESULT(action, resource, decision, more)                                                   \
	"<member><MatchedStatements><member><SourcePolicyId>p</SourcePolicyId></member>"           \
	"</MatchedStatements><EvalActionName>" action                                              \
	"</EvalActionName><EvalResourceName>" resource                                             \
	"</EvalResourceName><EvalDecision>" decision "</EvalDecision>" more "</member>"

static void test_verdicts(void **state)
{
	static const struct {
		const char *why, *body;
		bool allowed, explicit_deny, by_organization;
		const char *action, *resource;
	} rows[] = {
		{"all allowed",
		 RESULTS(RESULT("a:A", "r1", "allowed", "") RESULT("a:B", "r1", "allowed", "")),
		 true, false, false, "", ""},
		{"one is not",
		 RESULTS(RESULT("a:A", "r1", "allowed", "")
				 RESULT("a:B", "r2", "implicitDeny", "")),
		 false, false, false, "a:B", "r2"},
		{"the first that is not",
		 RESULTS(RESULT("a:A", "r1", "explicitDeny", "")
				 RESULT("a:B", "r2", "implicitDeny", "")),
		 false, true, false, "a:A", "r1"},
		{"by resource",
		 RESULTS(RESULT(
			 "a:A", "*", "allowed",
			 "<ResourceSpecificResults><member><EvalResourceName>r1</EvalResourceName>"
			 "<EvalResourceDecision>allowed</EvalResourceDecision></member><member>"
			 "<EvalResourceName>r2</EvalResourceName><EvalResourceDecision>implicitDeny"
			 "</EvalResourceDecision></member></ResourceSpecificResults>")),
		 false, false, false, "a:A", "r2"},
		{"the organisation",
		 RESULTS(RESULT("a:A", "r1", "implicitDeny",
				"<OrganizationsDecisionDetail><AllowedByOrganizations>false"
				"</AllowedByOrganizations></OrganizationsDecisionDetail>")),
		 false, false, true, "a:A", "r1"},
	};
	const struct iam_question q = {
		.principal = "arn:aws:iam::111122223333:user/me",
		.actions = {"iam:PassRole"},
		.resources = {"arn:aws:iam::111122223333:role/BatchRole"},
		.context = {{"iam:PassedToService", "bedrock.amazonaws.com"}},
	};
	struct world w;

	(void)state;
	open_world(&w);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct iam_verdict v;
		struct err e = ERR_INIT;

		answer(&w, 200, rows[i].body);
		if (iam_simulate(&w.iam, &q, &v, &e) < 0)
			fail_msg("%s: %s", rows[i].why, e.text);
		if (v.allowed != rows[i].allowed || v.explicit_deny != rows[i].explicit_deny ||
		    v.by_organization != rows[i].by_organization)
			fail_msg("%s", rows[i].why);
		if (v.allowed)
			continue;
		assert_string_equal(v.action, rows[i].action);
		assert_string_equal(v.resource, rows[i].resource);
	}
	assert_string_equal(
		awsserver_request(w.server, 0)->body,
		"Action=SimulatePrincipalPolicy&Version=2010-05-08"
		"&PolicySourceArn=arn%3Aaws%3Aiam%3A%3A111122223333%3Auser%2Fme"
		"&ActionNames.member.1=iam%3APassRole"
		"&ResourceArns.member.1=arn%3Aaws%3Aiam%3A%3A111122223333%3Arole%2FBatchRole"
		"&ContextEntries.member.1.ContextKeyName=iam%3APassedToService"
		"&ContextEntries.member.1.ContextKeyType=string"
		"&ContextEntries.member.1.ContextKeyValues.member.1=bedrock.amazonaws.com");
	close_world(&w);
}

static void test_a_simulation_that_decides_nothing(void **state)
{
	const struct iam_question q = {.principal = "p", .actions = {"a:A"}, .resources = {"r"}};
	struct iam_verdict v;
	struct err e = ERR_INIT;
	struct world w;

	(void)state;
	open_world(&w);
	answer(&w, 200, RESULTS(""));
	assert_int_equal(iam_simulate(&w.iam, &q, &v, &e), -EBADMSG);
	close_world(&w);
}

static void test_names_in_arns(void **state)
{
	char name[16];

	(void)state;
	assert_string_equal(iam_role_name("arn:aws:iam::1:role/BatchRole"), "BatchRole");
	assert_string_equal(iam_role_name("arn:aws:iam::1:role/a/b/c"), "c");
	assert_null(iam_role_name("arn:aws:iam::1:role/a/"));
	assert_null(iam_role_name("arn:aws:iam::1:user/me"));
	assert_true(iam_assumed_role("arn:aws:sts::1:assumed-role/dev/me", name, sizeof(name)));
	assert_string_equal(name, "dev");
	assert_false(iam_assumed_role("arn:aws:iam::1:user/me", name, sizeof(name)));
	assert_false(iam_assumed_role("arn:aws:sts::1:assumed-role/dev", name, sizeof(name)));
	assert_false(iam_assumed_role("arn:aws:sts::1:assumed-role//me", name, sizeof(name)));
	assert_false(iam_assumed_role("arn:aws:sts::1:assumed-role/a-name-that-is-long/me", name,
				      sizeof(name)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_am_i),
		cmocka_unit_test(test_answers_that_make_no_sense),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_a_role_and_its_trust),
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_a_simulation_that_decides_nothing),
		cmocka_unit_test(test_names_in_arns),
	};
	int failed;

	if (http_global_init(NULL) < 0)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	http_global_cleanup();
	return failed;
}
