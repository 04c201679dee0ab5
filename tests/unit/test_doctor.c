/* batchfs --check, against an AWS in one function. */

#include <errno.h>
#include <string.h>

#include "backend/aws/doctor.h"
#include "backend/http/http.h"
#include "tests/unit/awsserver.h"
#include "tests/unit/cmocka_all.h"

#define ACCOUNT "111122223333"
#define ROLE	"arn:aws:iam::" ACCOUNT ":role/ml/BatchRole"
#define SECRET	"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define MODEL	"amazon.nova-micro-v1:0"

#define TRUST                                                                                         \
	"{\"Statement\":{\"Effect\":\"Allow\",\"Principal\":{\"Service\":\"bedrock.amazonaws.com\"}," \
	"\"Action\":\"sts:AssumeRole\"}}"
#define TRUST_ROOT                                                                                 \
	"{\"Statement\":{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"arn:aws:iam::" ACCOUNT      \
	":root\"},\"Action\":\"sts:AssumeRole\"}}"
#define MODELS                                                                                     \
	"{\"modelSummaries\":[{\"modelId\":\"" MODEL                                               \
	"\",\"modelArn\":\"arn:aws:bedrock:us-east-1::"                                            \
	"foundation-model/" MODEL "\",\"modelName\":\"Nova Micro\",\"providerName\":\"Amazon\","   \
	"\"inferenceTypesSupported\":[\"ON_DEMAND\"],\"modelLifecycle\":{\"status\":\"ACTIVE\"}}," \
	"{\"modelId\":\"anthropic.claude-opus-5\",\"modelArn\":\"arn:aws:bedrock:us-east-1::"      \
	"foundation-model/anthropic.claude-opus-5\",\"modelName\":\"Claude Opus 5\","              \
	"\"inferenceTypesSupported\":[\"INFERENCE_PROFILE\"],\"modelLifecycle\":{\"status\":"      \
	"\"ACTIVE\"}},"                                                                            \
	"{\"modelId\":\"meta.llama3-1-8b-instruct-v1:0\",\"modelArn\":\"arn:x\",\"modelName\":"    \
	"\"Llama 3.1 8B\",\"inferenceTypesSupported\":[\"ON_DEMAND\"],\"modelLifecycle\":"         \
	"{\"status\":\"LEGACY\"}}]}"
#define PROFILES                                                                                            \
	"{\"inferenceProfileSummaries\":[{\"inferenceProfileId\":\"us.anthropic.claude-opus-5\","           \
	"\"inferenceProfileName\":\"US Opus\",\"inferenceProfileArn\":\"arn:aws:bedrock:us-east-1:" ACCOUNT \
	":inference-profile/us.anthropic.claude-opus-5\",\"type\":\"SYSTEM_DEFINED\","                      \
	"\"models\":[{\"modelArn\":\"arn:aws:bedrock:us-east-1::foundation-model/"                          \
	"anthropic.claude-opus-5\"},{\"modelArn\":\"arn:aws:bedrock:us-west-2::foundation-model/"           \
	"anthropic.claude-opus-5\"}]},"                                                                     \
	"{\"inferenceProfileId\":\"us.moonshotai.kimi-k2.5\",\"inferenceProfileName\":\"Kimi\","            \
	"\"inferenceProfileArn\":\"arn:aws:bedrock:us-east-1:" ACCOUNT                                      \
	":inference-profile/us.moonshotai.kimi-k2.5\",\"models\":[]}]}"
#define QUOTAS                                                                                          \
	"{\"Quotas\":[{\"QuotaName\":\"Batch inference input file size (in GB) for Nova Micro\","       \
	"\"Value\":1.0},{\"QuotaName\":\"Batch inference job size for Nova Micro (in GB)\",\"Value\":"  \
	"2.5},{\"QuotaName\":\"Records per input file per batch inference job for Nova Micro.\","       \
	"\"Value\":40000},{\"QuotaName\":\"Records per batch inference job for Nova Micro\",\"Value\":" \
	"50000.0},{\"QuotaName\":\"Minimum number of records per batch inference job for Nova "         \
	"Micro\",\"Value\":100},{\"QuotaName\":\"Records per batch inference job for Nova Micro 2\","   \
	"\"Value\":7},{\"QuotaName\":\"Sum of in-progress and submitted batch inference jobs using "    \
	"a base model for Nova Micro\",\"Value\":20.0}]}"
#define DENIED_XML                                                                                 \
	"<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>"

/* What this AWS is like; zero is one where all is well. */
struct knobs {
	const char *trust; /* of the role; "": there is no such role */
	const char *bucket_region;
	const char *denied; /* an action that the simulation denies */
	bool keys_unknown, iam_denied, no_bucket, put_denied, quotas_denied, models_denied;
	bool list_denied, no_access;
	const char *whoami; /* ARN */
};

struct world {
	struct awsserver *server;
	struct knobs knobs;
	char stored[128]; /* the one object */
	char body[16384];
	char headers[256];
	char seen_key[1200];
	bool deleted;
};

static void say(struct world *w, struct awsserver_reply *reply, int status, const char *body)
{
	snprintf(w->body, sizeof(w->body), "%s", body);
	reply->status = status;
	reply->body = w->body;
}

static void percent(const char *s, char *to)
{
	static const char hex[] = "0123456789ABCDEF";

	for (; *s; s++) {
		*to++ = '%';
		*to++ = hex[(unsigned char)*s >> 4];
		*to++ = hex[(unsigned char)*s & 15];
	}
	*to = '\0';
}

static void answer_sts(struct world *w, struct awsserver_reply *reply)
{
	char text[1024];

	if (w->knobs.keys_unknown) {
		say(w, reply, 403,
		    "<ErrorResponse><Error><Code>InvalidClientTokenId</Code><Message>The security "
		    "token included in the request is invalid.</Message></Error></ErrorResponse>");
		return;
	}
	snprintf(
		text, sizeof(text),
		"<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>%s</Arn><Account>" ACCOUNT
		"</Account></GetCallerIdentityResult></GetCallerIdentityResponse>",
		w->knobs.whoami ? w->knobs.whoami : "arn:aws:sts::" ACCOUNT ":assumed-role/dev/me");
	say(w, reply, 200, text);
}

static void answer_role(struct world *w, const char *form, struct awsserver_reply *reply)
{
	const char *trust = w->knobs.trust ? w->knobs.trust : TRUST;
	char coded[4096], text[8192];

	if (!*trust && strstr(form, "BatchRole")) {
		say(w, reply, 404,
		    "<ErrorResponse><Error><Code>NoSuchEntity</Code><Message>gone</Message></Error>"
		    "</ErrorResponse>");
		return;
	}
	percent(trust, coded);
	snprintf(text, sizeof(text),
		 "<GetRoleResponse><GetRoleResult><Role><Arn>%s</Arn><AssumeRolePolicyDocument>%s"
		 "</AssumeRolePolicyDocument></Role></GetRoleResult></GetRoleResponse>",
		 strstr(form, "BatchRole") ? ROLE : "arn:aws:iam::" ACCOUNT ":role/teams/dev",
		 coded);
	say(w, reply, 200, text);
}

static void answer_simulation(struct world *w, const char *form, struct awsserver_reply *reply)
{
	const char *at = strstr(form, "ActionNames.member.1=");
	char action[64] = "", text[1024];
	const char *name;
	bool denied;

	if (at)
		sscanf(at, "ActionNames.member.1=%63[A-Za-z0-9%]", action);
	name = strstr(action, "%3A");
	denied = name && w->knobs.denied && strcmp(name + 3, w->knobs.denied) == 0;
	snprintf(
		text, sizeof(text),
		"<SimulatePrincipalPolicyResponse><SimulatePrincipalPolicyResult><EvaluationResults>"
		"<member><EvalActionName>%s</EvalActionName><EvalResourceName>the-resource"
		"</EvalResourceName><EvalDecision>%s</EvalDecision></member></EvaluationResults>"
		"</SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>",
		action, denied ? "implicitDeny" : "allowed");
	say(w, reply, 200, text);
}

static void answer_form(struct world *w, const char *form, struct awsserver_reply *reply)
{
	if (strstr(form, "Action=GetCallerIdentity"))
		answer_sts(w, reply);
	else if (w->knobs.iam_denied)
		say(w, reply, 403, DENIED_XML);
	else if (strstr(form, "Action=GetRole"))
		answer_role(w, form, reply);
	else
		answer_simulation(w, form, reply);
}

static void answer_bucket(struct world *w, const struct awsserver_request *q,
			  struct awsserver_reply *reply)
{
	snprintf(w->headers, sizeof(w->headers), "x-amz-bucket-region: %s\r\n",
		 w->knobs.bucket_region ? w->knobs.bucket_region : "us-east-1");
	reply->headers = w->knobs.no_bucket ? NULL : w->headers;
	if (w->knobs.no_bucket)
		say(w, reply, 404,
		    "<Error><Code>NoSuchBucket</Code><Message>none</Message></Error>");
	else if (strcmp(q->method, "HEAD") == 0)
		say(w, reply, 200, "");
	else
		say(w, reply, 200,
		    "<ListBucketResult><IsTruncated>false</IsTruncated><KeyCount>0</KeyCount>"
		    "</ListBucketResult>");
}

static void answer_object(struct world *w, const struct awsserver_request *q,
			  struct awsserver_reply *reply)
{
	reply->headers = "ETag: \"e1\"\r\n";
	if (strcmp(q->method, "PUT") == 0 && w->knobs.put_denied) {
		say(w, reply, 403, "<Error><Code>AccessDenied</Code><Message>no</Message></Error>");
	} else if (strcmp(q->method, "PUT") == 0) {
		snprintf(w->stored, sizeof(w->stored), "%s", q->body);
		snprintf(w->seen_key, sizeof(w->seen_key), "%s", q->target);
		say(w, reply, 200, "");
	} else if (strcmp(q->method, "DELETE") == 0) {
		w->deleted = true;
		w->stored[0] = '\0';
		say(w, reply, 204, "");
	} else if (!w->stored[0]) {
		say(w, reply, 404, "<Error><Code>NoSuchKey</Code><Message>none</Message></Error>");
	} else {
		say(w, reply, 200, w->stored);
	}
}

static void answer_bedrock(struct world *w, const char *target, struct awsserver_reply *reply)
{
	const char *denied = "{\"message\":\"User is not authorized\"}";

	reply->headers = "Content-Type: application/json\r\n";
	if (strncmp(target, "/foundation-models", 18) == 0)
		w->knobs.models_denied ? say(w, reply, 403, denied) : say(w, reply, 200, MODELS);
	else if (strncmp(target, "/inference-profiles", 19) == 0)
		say(w, reply, 200,
		    strstr(target, "APPLICATION") ? "{\"inferenceProfileSummaries\":[]}"
						  : PROFILES);
	else if (strncmp(target, "/foundation-model-availability/", 31) == 0)
		say(w, reply, 200,
		    w->knobs.no_access
			    ? "{\"authorizationStatus\":\"AUTHORIZED\",\"entitlementAvailability\":"
			      "\"NOT_AVAILABLE\"}"
			    : "{\"authorizationStatus\":\"AUTHORIZED\",\"entitlementAvailability\":"
			      "\"AVAILABLE\",\"agreementAvailability\":{\"status\":\"AVAILABLE\"}}");
	else if (strncmp(target, "/model-invocation-jobs", 22) == 0)
		w->knobs.list_denied ? say(w, reply, 403, denied)
				     : say(w, reply, 200, "{\"invocationJobSummaries\":[]}");
	else
		say(w, reply, 404, "{\"message\":\"what?\"}");
	if (reply->status == 403)
		reply->headers = "x-amzn-ErrorType: AccessDeniedException\r\n";
}

static void handle(void *ctx, const struct awsserver_request *q, struct awsserver_reply *reply)
{
	struct world *w = ctx;

	if (strncmp(q->target, "/my-bucket/", 11) == 0 && q->target[11] && q->target[11] != '?')
		answer_object(w, q, reply);
	else if (strncmp(q->target, "/my-bucket", 10) == 0)
		answer_bucket(w, q, reply);
	else if (awsserver_header(q, "x-amz-target"))
		w->knobs.quotas_denied
			? say(w, reply, 400, "{\"__type\":\"AccessDeniedException\"}")
			: say(w, reply, 200, QUOTAS);
	else if (strcmp(q->target, "/") == 0)
		answer_form(w, q->body, reply);
	else
		answer_bedrock(w, q->target, reply);
}

static void set_environment(const struct world *w)
{
	static const char *const unset[] = {"AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION",
					    "AWS_SESSION_TOKEN", "AWS_BEARER_TOKEN_BEDROCK"};

	for (size_t i = 0; i < COUNT_OF(unset); i++)
		unsetenv(unset[i]);
	setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE", 1);
	setenv("AWS_SECRET_ACCESS_KEY", SECRET, 1);
	setenv("AWS_CONFIG_FILE", "/dev/null", 1);
	setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null", 1);
	setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
	setenv("AWS_ENDPOINT_URL", awsserver_origin(w->server), 1);
}

/* One run; what it said, the caller's. */
struct run {
	struct knobs knobs;
	const char *model, *role, *region;
	bool no_keys;
};

static char *check(const struct run *run, struct world *w, int *ret_failed)
{
	CLEANUP(kv_release) struct kv options = KV_INIT;
	struct bedrock_place place = {"my-bucket", "batch", &options, NULL};
	struct err e = ERR_INIT;
	char *said = NULL;
	size_t size;
	FILE *out = open_memstream(&said, &size);

	assert_non_null(out);
	*w = (struct world){.server = awsserver_start(), .knobs = run->knobs};
	awsserver_handle(w->server, handle, w);
	set_environment(w);
	if (run->no_keys) {
		unsetenv("AWS_ACCESS_KEY_ID");
		unsetenv("AWS_SECRET_ACCESS_KEY");
	}
	assert_int_equal(kv_set(&options, "role", run->role ? run->role : ROLE), 0);
	if (!run->region || *run->region)
		assert_int_equal(
			kv_set(&options, "region", run->region ? run->region : "us-east-1"), 0);
	*ret_failed = doctor_run(&place, run->model, out, &e);
	fclose(out);
	awsserver_stop(w->server);
	if (*ret_failed < 0)
		fail_msg("%s", e.text);
	assert_null(strstr(said, SECRET));
	return said;
}

/* Over 70 lines: a table. */
static void test_rows(void **state)
{
	static const struct {
		const char *why;
		struct run run;
		int failed;
		const char *says[3];
	} rows[] = {
		{"all is well",
		 {.model = MODEL},
		 0,
		 {"✓ model: " MODEL " is reached by its own id\n",
		  "✓ quotas: at least 100 records a job, at most 50000 records a job, at most 40000 "
		  "records a file, at most 1 GB a file, at most 2500 MB a job, 20 jobs at once, for Nova "
		  "Micro\n",
		  "✓ role: " ROLE " trusts bedrock.amazonaws.com\n"}},
		{"all is well, in detail",
		 {.model = MODEL},
		 0,
		 {"✓ objects: list, put, get and delete under s3://my-bucket/batch\n",
		  "✓ may pass the role: yes", "✓ may create jobs: yes\n"}},
		{"no model was given",
		 {.model = NULL},
		 0,
		 {"✓ models: 3 models and 2 inference profiles in us-east-1", NULL}},
		{"nobody to be",
		 {.no_keys = true},
		 1,
		 {"✗ credentials: ", "? the rest: cannot be asked without credentials\n"}},
		{"keys that AWS does not know",
		 {.knobs = {.keys_unknown = true}},
		 1,
		 {"InvalidClientTokenId",
		  "; AWS does not know these credentials: check "
		  "-o profile=",
		  "? the rest: "}},
		{"no region", {.region = ""}, 1, {"✗ region: none is set; add -o region="}},
		{"no bucket",
		 {.knobs = {.no_bucket = true}},
		 1,
		 {"✗ bucket: there is no bucket my-bucket; make it: aws s3 mb"}},
		{"a bucket elsewhere",
		 {.knobs = {.bucket_region = "eu-west-1"}},
		 1,
		 {"✗ bucket: my-bucket is in eu-west-1", "add -o region=eu-west-1"}},
		{"may not put",
		 {.knobs = {.put_denied = true}},
		 1,
		 {"✗ objects: may not put under s3://my-bucket/batch: ", "allow s3:PutObject"}},
		{"the role does not exist",
		 {.knobs = {.trust = ""}},
		 1,
		 {"✗ role: there is no role " ROLE}},
		{"the role trusts people",
		 {.knobs = {.trust = TRUST_ROOT}},
		 1,
		 {"✗ role: it trusts only arn:aws:iam::" ACCOUNT ":root",
		  "make its trust policy: {"}},
		{"the role is written without its path",
		 {.role = "arn:aws:iam::" ACCOUNT ":role/BatchRole"},
		 1,
		 {"✗ role: its ARN is " ROLE}},
		{"the role is another account's",
		 {.role = "arn:aws:iam::999999999999:role/BatchRole"},
		 1,
		 {"✗ role: arn:aws:iam::999999999999:role/BatchRole is of account 999999999999"}},
		{"IAM may not be asked",
		 {.knobs = {.iam_denied = true}, .model = MODEL},
		 0,
		 {"? role: cannot tell",
		  "? may pass the role: cannot tell (iam:SimulatePrincipalPolicy",
		  "? may create jobs: cannot tell"}},
		{"may not pass the role",
		 {.knobs = {.denied = "PassRole"}},
		 1,
		 {"✗ may pass the role: no: no policy allows it; allow {\"Effect\""}},
		{"may not create",
		 {.knobs = {.denied = "CreateModelInvocationJob"}},
		 1,
		 {"✗ may create jobs: no: no policy allows it; allow bedrock:CreateModel"}},
		{"the role may not invoke",
		 {.knobs = {.denied = "InvokeModel"}, .model = MODEL},
		 1,
		 {"✗ role and model: it may not invoke the-resource",
		  "? may run on demand: no: no policy allows it; only small = ondemand"}},
		{"the role may not read, or the bucket lets it",
		 {.knobs = {.denied = "GetObject"}},
		 0,
		 {"? role and bucket: no policy of the role allows "}},
		{"the account's root",
		 {.knobs = {.whoami = "arn:aws:iam::" ACCOUNT ":root", .denied = "PassRole"}},
		 0,
		 {"? identity: this is the account's root", "✓ may pass the role: yes"}},
		{"a federated user",
		 {.knobs = {.whoami = "arn:aws:sts::" ACCOUNT ":federated-user/me"}},
		 0,
		 {"? may pass the role: cannot tell for arn:aws:sts::" ACCOUNT
		  ":federated-user/me"}},
		{"a model by a profile",
		 {.model = "us.anthropic.claude-opus-5"},
		 0,
		 {"✓ model: us.anthropic.claude-opus-5 is an inference profile; it runs in us-east-1, "
		  "us-west-2\n"}},
		{"a model that needs one",
		 {.model = "anthropic.claude-opus-5"},
		 1,
		 {"✗ model: anthropic.claude-opus-5 is reached by an inference profile only; write one of "
		  "us.anthropic.claude-opus-5\n"}},
		{"a profile of another geography",
		 {.model = "eu.anthropic.claude-opus-5"},
		 1,
		 {"write one of us.anthropic.claude-opus-5\n"}},
		{"an id with too many dots",
		 {.model = "us.moonshotai.kimi-k2.5"},
		 1,
		 {"write its ARN: arn:aws:bedrock:us-east-1:" ACCOUNT
		  ":inference-profile/us.moon"}},
		{"a model that is not there",
		 {.model = "anthropic.claude-opus-9"},
		 1,
		 {"✗ model: there is no anthropic.claude-opus-9 in us-east-1; there is "
		  "anthropic.claude-opus-5\n"}},
		{"a model at its end",
		 {.model = "meta.llama3-1-8b-instruct-v1:0"},
		 0,
		 {"? model: its provider calls it LEGACY"}},
		{"models may not be listed",
		 {.knobs = {.models_denied = true}, .model = MODEL},
		 0,
		 {"? model: cannot tell (bedrock:ListFoundationModels"}},
		{"no access to the model",
		 {.knobs = {.no_access = true}, .model = MODEL},
		 1,
		 {"✗ access to the model: "}},
		{"jobs may not be listed",
		 {.knobs = {.list_denied = true}},
		 1,
		 {"✗ batch jobs: ", "allow bedrock:ListModelInvocationJobs"}},
		{"quotas may not be asked",
		 {.knobs = {.quotas_denied = true}, .model = MODEL},
		 0,
		 {"? quotas: cannot tell (servicequotas:ListServiceQuotas"}},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct world w;
		int failed;
		CLEANUP(str_freep) char *said = check(&rows[i].run, &w, &failed);

		for (size_t n = 0; n < COUNT_OF(rows[i].says) && rows[i].says[n]; n++)
			if (!strstr(said, rows[i].says[n]))
				fail_msg("%s: no \"%s\" in:\n%s", rows[i].why, rows[i].says[n],
					 said);
		if (failed != rows[i].failed)
			fail_msg("%s: %d failed:\n%s", rows[i].why, failed, said);
	}
}

static void test_the_probe_is_under_the_prefix_and_gone(void **state)
{
	const struct run run = {.model = NULL};
	struct world w;
	int failed;
	CLEANUP(str_freep) char *said = check(&run, &w, &failed);

	(void)state;
	assert_non_null(said);
	assert_int_equal(strncmp(w.seen_key, "/my-bucket/batch/batchfs-check-", 31), 0);
	assert_true(w.deleted);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_the_probe_is_under_the_prefix_and_gone),
	};
	int failed;

	if (http_global_init(NULL) < 0)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	http_global_cleanup();
	return failed;
}
