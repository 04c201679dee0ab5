#include <errno.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <string.h>

#include "backend/aws/awsconfig.h"
#include "backend/aws/doctor.h"
#include "backend/aws/endpoint.h"
#include "backend/aws/models.h"
#include "backend/aws/naming.h"
#include "backend/aws/trust.h"
#include "fs/base/buf.h"

/*
 * The policies are written as one tight text each, from strings that are
 * escaped as they go in, and then read and laid out by json-c: so that what is
 * printed is JSON whatever the options hold.
 *
 * Rights are as narrow as the service lets them be.  Listing jobs and models
 * has no resource to name.  A job by an inference profile runs where the
 * profile sends it, so the models behind it are named with every region; the
 * ARN of a global one has none at all, which '*' covers too.
 */

#define POLICY_MAX  (64 * 1024)
#define ARN_MAX	    2300
#define LISTED_MAX  16 /* subnets, and security groups */
#define NO_ACCOUNT  "YOUR-ACCOUNT-ID"
#define NO_REGION   "YOUR-REGION"
#define NO_ROLE	    "YOUR-ROLE-NAME"
#define SAY_ACCOUNT "# Put the 12 digits of your account in place of " NO_ACCOUNT ".\n"
#define SAY_REGION  "# Put the region of the jobs in place of " NO_REGION ".\n"
#define SAY_ROLE    "# Put the name of the service role in place of " NO_ROLE ".\n"

struct policies {
	const struct bedrock_place *place;
	struct awsconfig *config; /* owned; for the region's sake */
	struct trust_place where;
	char partition[32], account[32], region[64];
	char role[ARN_MAX];
	const char *model; /* or NULL */
	bool has_account, has_region, has_role;

	struct buf text;      /* of the policy under way */
	struct buf resources; /* of the statement under way */
};

static const char *option(const struct policies *p, const char *key)
{
	const char *value = p->place->options ? kv_get(p->place->options, key) : NULL;

	return value && *value ? value : NULL;
}

/* ---- writing ---- */

PRINTF_LIKE(2, 3) static void add_resource(struct policies *p, const char *fmt, ...)
{
	char arn[ARN_MAX];
	va_list args;

	va_start(args, fmt);
	vsnprintf(arn, sizeof(arn), fmt, args);
	va_end(args);
	if (p->resources.size)
		buf_add_char(&p->resources, ',');
	buf_add_json(&p->resources, arn, strlen(arn));
}

static void begin_policy(struct policies *p)
{
	buf_clear(&p->text);
	buf_add_str(&p->text, "{\"Version\":\"2012-10-17\",\"Statement\":[");
}

/* actions: "a:B,a:C"; on the resources added before; condition: JSON or NULL. */
static void add_statement(struct policies *p, const char *sid, const char *actions,
			  const char *condition)
{
	const char *glue = "";

	if (p->text.size && p->text.data[p->text.size - 1] == '}')
		buf_add_char(&p->text, ',');
	buf_addf(&p->text, "{\"Sid\":\"%s\",\"Effect\":\"Allow\",\"Action\":[", sid);
	while (*actions) {
		int size = (int)strcspn(actions, ",");

		buf_addf(&p->text, "%s\"%.*s\"", glue, size, actions);
		actions += size + (actions[size] == ',');
		glue = ",";
	}
	buf_addf(&p->text, "],\"Resource\":[%s]", p->resources.data);
	if (condition)
		buf_addf(&p->text, ",\"Condition\":%s", condition);
	buf_add_char(&p->text, '}');
	buf_clear(&p->resources);
}

/* Lays out what was written. */
static int print_policy(struct policies *p, FILE *out)
{
	struct json_tokener *tokener = json_tokener_new();
	json_object *o = NULL;
	int r = buf_error(&p->text);

	if (r == 0 && tokener)
		o = json_tokener_parse_ex(tokener, p->text.data, (int)p->text.size);
	if (r == 0 && !o)
		r = -ENOMEM;
	if (r == 0)
		fprintf(out, "%s\n",
			json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY |
								  JSON_C_TO_STRING_SPACED |
								  JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
	if (tokener)
		json_tokener_free(tokener);
	return r;
}

static int end_policy(struct policies *p, FILE *out)
{
	buf_add_str(&p->text, "]}");
	return print_policy(p, out);
}

/* ---- resources ---- */

/* What a job's model may be; all of them if none is named. */
static void add_models(struct policies *p)
{
	struct models_id id = {.base = "*", .base_size = 1};
	bool is_profile = true, is_own = false;
	int size;

	if (p->model) {
		models_split(p->model, &id);
		is_profile = id.geography_size > 0;
		is_own = id.base_size == 0 || strstr(p->model, ":custom-model/");
	}
	if (is_own) { /* named by its whole ARN */
		add_resource(p, "%s", p->model);
		id = (struct models_id){.base = "*", .base_size = 1};
	}
	size = (int)id.base_size;
	add_resource(p, "arn:%s:bedrock:%s::foundation-model/%.*s", p->partition,
		     is_profile || is_own ? "*" : p->region, size, id.base);
	if (p->model && id.geography_size > 0)
		add_resource(p, "arn:%s:bedrock:%s:%s:inference-profile/%.*s.%.*s", p->partition,
			     p->region, p->account, (int)id.geography_size, id.geography, size,
			     id.base);
	if (p->model)
		return;
	add_resource(p, "arn:%s:bedrock:%s:%s:inference-profile/*", p->partition, p->region,
		     p->account);
	add_resource(p, "arn:%s:bedrock:%s:%s:application-inference-profile/*", p->partition,
		     p->region, p->account);
	add_resource(p, "arn:%s:bedrock:%s:%s:custom-model/*", p->partition, p->region, p->account);
}

static void add_objects(struct policies *p)
{
	const char *prefix = p->place->prefix ? p->place->prefix : "";

	add_resource(p, "arn:%s:s3:::%s/%s%s*", p->partition, p->place->bucket, prefix,
		     *prefix ? "/" : "");
}

static void add_bucket(struct policies *p)
{
	add_resource(p, "arn:%s:s3:::%s", p->partition, p->place->bucket);
}

/* An alias stands for a key that is not known here: then a condition names it. */
static void add_key_statement(struct policies *p, const char *actions)
{
	CLEANUP(buf_release) struct buf condition = BUF_INIT(POLICY_MAX);
	const char *key = option(p, "kms_key"), *alias;

	if (!key)
		return;
	alias = strstr(key, "alias/");
	if (alias) {
		buf_add_str(&condition, "{\"ForAnyValue:StringEquals\":{\"kms:ResourceAliases\":");
		buf_add_json(&condition, alias, strlen(alias));
		buf_add_str(&condition, "}}");
	}
	if (strncmp(key, "arn:", 4) == 0 && !alias)
		add_resource(p, "%s", key);
	else if (strncmp(key, "arn:", 4) == 0)
		add_resource(p, "%.*s:key/*", (int)(alias - 1 - key), key);
	else
		add_resource(p, "arn:%s:kms:%s:%s:key/%s", p->partition, p->region, p->account,
			     alias ? "*" : key);
	add_statement(p, "Key", actions,
		      alias && buf_error(&condition) == 0 ? condition.data : NULL);
}

/* "subnet-1;subnet-2" */
static void add_listed(struct policies *p, const char *kind, const char *list)
{
	for (int i = 0; list && *list && i < LISTED_MAX; i++) {
		int size = (int)strcspn(list, ";");

		if (size > 0)
			add_resource(p, "arn:%s:ec2:%s:%s:%s/%.*s", p->partition, p->region,
				     p->account, kind, size, list);
		list += size + (list[size] == ';');
	}
}

static void add_interfaces(struct policies *p)
{
	add_resource(p, "arn:%s:ec2:%s:%s:network-interface/*", p->partition, p->region,
		     p->account);
}

static void add_network(struct policies *p)
{
	if (!option(p, "subnets"))
		return;
	add_resource(p, "*");
	add_statement(p, "NetworkLook",
		      "ec2:DescribeNetworkInterfaces,ec2:DescribeVpcs,ec2:DescribeDhcpOptions,"
		      "ec2:DescribeSubnets,ec2:DescribeSecurityGroups",
		      NULL);
	add_interfaces(p);
	add_statement(p, "NetworkMake", "ec2:CreateNetworkInterface",
		      "{\"StringEquals\":{\"aws:RequestTag/BedrockManaged\":\"true\"}}");
	add_listed(p, "subnet", option(p, "subnets"));
	add_listed(p, "security-group", option(p, "security_groups"));
	add_statement(p, "NetworkMakeIn", "ec2:CreateNetworkInterface", NULL);
	add_interfaces(p);
	add_statement(p, "NetworkUse",
		      "ec2:CreateNetworkInterfacePermission,ec2:DeleteNetworkInterface,"
		      "ec2:DeleteNetworkInterfacePermission",
		      "{\"StringEquals\":{\"aws:ResourceTag/BedrockManaged\":\"true\"}}");
	add_interfaces(p);
	add_statement(p, "NetworkTag", "ec2:CreateTags",
		      "{\"StringEquals\":{\"ec2:CreateAction\":\"CreateNetworkInterface\"}}");
}

/* ---- the three ---- */

static int print_caller(struct policies *p, FILE *out)
{
	fputs("# 1. The caller: for the identity that mounts.\n", out);
	fputs("# Create is allowed on the job and on the model.  A profile's jobs run in several\n"
	      "# regions, so its models are allowed in all of them (arn:...:bedrock:*::...).\n"
	      "# OnDemand is for records that are run one by one: small = ondemand, sample and\n"
	      "# retry ondemand; Check is for batchfs --check.  Each of the two may be left out.\n",
	      out);
	begin_policy(p);
	add_resource(p, "arn:%s:bedrock:%s:%s:model-invocation-job/*", p->partition, p->region,
		     p->account);
	add_models(p);
	add_statement(p, "Create", "bedrock:CreateModelInvocationJob", NULL);
	add_resource(p, "arn:%s:bedrock:%s:%s:model-invocation-job/*", p->partition, p->region,
		     p->account);
	add_statement(p, "Jobs",
		      "bedrock:GetModelInvocationJob,bedrock:StopModelInvocationJob,"
		      "bedrock:TagResource",
		      NULL);
	add_resource(p, "*");
	add_statement(p, "Lists",
		      "bedrock:ListModelInvocationJobs,bedrock:ListFoundationModels,"
		      "bedrock:GetFoundationModel,bedrock:ListInferenceProfiles,"
		      "bedrock:GetInferenceProfile",
		      NULL);
	add_resource(p, "%s", p->role);
	add_statement(p, "PassRole", "iam:PassRole",
		      "{\"StringEquals\":{\"iam:PassedToService\":\"" TRUST_SERVICE "\"}}");
	add_bucket(p);
	add_statement(p, "Bucket", "s3:ListBucket,s3:ListBucketMultipartUploads", NULL);
	add_objects(p);
	add_statement(p, "Objects",
		      "s3:GetObject,s3:PutObject,s3:DeleteObject,s3:AbortMultipartUpload,"
		      "s3:ListMultipartUploadParts",
		      NULL);
	add_key_statement(p, "kms:Decrypt,kms:GenerateDataKey");
	add_models(p);
	add_statement(p, "OnDemand", "bedrock:InvokeModel", NULL);
	add_resource(p, "*");
	add_statement(p, "Check",
		      "iam:GetRole,iam:SimulatePrincipalPolicy,"
		      "bedrock:GetFoundationModelAvailability,servicequotas:ListServiceQuotas",
		      NULL);
	return end_policy(p, out);
}

static int print_trust(struct policies *p, FILE *out)
{
	fputs("\n# 2. The service role's trust: Bedrock may take it on, for this account's jobs.\n",
	      out);
	buf_clear(&p->text);
	trust_add_policy(&p->text, &p->where);
	return print_policy(p, out);
}

static int print_role(struct policies *p, FILE *out)
{
	CLEANUP(buf_release) struct buf owner = BUF_INIT(ARN_MAX);
	const char *account = option(p, "bucket_owner") ? option(p, "bucket_owner") : p->account;

	fputs("\n# 3. The service role's permissions.\n", out);
	if (!p->model || models_family(p->model) == FAMILY_CLAUDE)
		fputs("# A model that is sold through AWS Marketplace, as Claude is, may ask once for\n"
		      "# aws-marketplace:ViewSubscriptions and aws-marketplace:Subscribe besides.\n",
		      out);
	if (option(p, "bucket_owner"))
		fprintf(out,
			"# The bucket is of account %.12s: its policy has to allow the role and the "
			"caller, too.\n",
			account);
	if (option(p, "kms_key"))
		fputs("# The key's own policy has to allow the role and the caller, too.\n", out);
	if (option(p, "subnets"))
		fputs("# The VPC needs a gateway endpoint for S3.\n", out);
	begin_policy(p);
	add_models(p);
	add_statement(p, "Model", "bedrock:InvokeModel", NULL);
	buf_add_str(&owner, "{\"StringEquals\":{\"aws:ResourceAccount\":");
	buf_add_json(&owner, account, strlen(account));
	buf_add_str(&owner, "}}");
	add_bucket(p);
	add_statement(p, "Bucket", "s3:ListBucket", owner.data);
	add_objects(p);
	add_statement(p, "Objects", "s3:GetObject,s3:PutObject", owner.data);
	add_key_statement(p, "kms:Decrypt,kms:GenerateDataKey,kms:DescribeKey");
	add_network(p);
	return end_policy(p, out);
}

/* ---- what is known ---- */

static int fill_role(struct policies *p, struct err *e)
{
	const char *role = option(p, "role");
	struct naming_arn arn;
	int r;

	snprintf(p->account, sizeof(p->account), "%s", NO_ACCOUNT);
	if (!role) {
		snprintf(p->role, sizeof(p->role), "arn:%s:iam::%s:role/%s", p->partition,
			 p->account, NO_ROLE);
		return 0;
	}
	r = naming_check_role(role, e);
	if (r == 0)
		r = naming_arn_parse(role, &arn);
	if (r < 0)
		return r;
	p->has_role = true;
	p->has_account = arn.account_size == 12;
	snprintf(p->partition, sizeof(p->partition), "%.*s", (int)arn.partition_size,
		 arn.partition);
	if (p->has_account)
		snprintf(p->account, sizeof(p->account), "%.*s", 12, arn.account);
	snprintf(p->role, sizeof(p->role), "%s", role);
	return 0;
}

static int fill(struct policies *p, struct err *e)
{
	struct awsconfig_options o = {.profile = option(p, "profile"),
				      .region = option(p, "region")};
	const char *region;
	int r = awsconfig_load(&o, &p->config, e);

	if (r < 0)
		return r;
	region = awsconfig_region(p->config);
	if (region && !endpoint_region_is_valid(region))
		return err_set(e, -EINVAL, "region \"%.60s\": not one; write it as us-east-1",
			       region);
	p->has_region = region != NULL;
	snprintf(p->region, sizeof(p->region), "%s", region ? region : NO_REGION);
	snprintf(p->partition, sizeof(p->partition), "%s",
		 region ? endpoint_partition(region) : "aws");
	p->model = option(p, "model");
	r = p->model ? naming_check_model(p->model, e) : 0;
	if (r == 0)
		r = fill_role(p, e);
	p->where = (struct trust_place){p->partition, p->region, p->account};
	return r;
}

static void policies_release(struct policies *p)
{
	awsconfig_free(p->config);
	buf_release(&p->text);
	buf_release(&p->resources);
}

int policies_print(const struct bedrock_place *place, FILE *out, struct err *e)
{
	CLEANUP(policies_release)
	struct policies p = {
		.place = place, .text = BUF_INIT(POLICY_MAX), .resources = BUF_INIT(POLICY_MAX)};
	int r = fill(&p, e);

	if (r < 0)
		return r;
	fprintf(out, "# IAM policies for batch jobs of bedrock:%s%s%s; three JSON documents.\n",
		place->bucket, place->prefix && *place->prefix ? "/" : "",
		place->prefix ? place->prefix : "");
	if (!p.has_account)
		fputs(SAY_ACCOUNT, out);
	if (!p.has_region)
		fputs(SAY_REGION, out);
	if (!p.has_role)
		fputs(SAY_ROLE, out);
	r = print_caller(&p, out);
	if (r == 0)
		r = print_trust(&p, out);
	if (r == 0)
		r = print_role(&p, out);
	if (r < 0)
		return err_errno(e, r, "the policies");
	if (fflush(out) != 0 || ferror(out))
		return err_errno(e, -EIO, "the policies cannot be written");
	return 0;
}
