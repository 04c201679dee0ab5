#include "backend/aws/iam.h"

#include <errno.h>
#include <expat.h>
#include <string.h>

#include "backend/aws/endpoint.h"
#include "backend/aws/sigv4.h"

/*
 * Both services speak the query protocol: a form goes up, XML comes down.  An
 * answer is read as a stream of leaves, each with the names of the two
 * elements around it, which is all that is needed to tell them apart:
 *
 *	<GetRoleResult><Role><Arn>...		leaf Arn in Role in GetRoleResult
 */

#define ANSWER_MAX (1024u * 1024)
#define FORM_MAX   (64u * 1024)
#define TEXT_MAX   (128u * 1024)
#define DEPTH_MAX  16
#define NAME_MAX_  64

struct leaf {
	const char *name, *parent, *grandparent, *text;
};

struct reader {
	XML_Parser parser;
	char names[DEPTH_MAX][NAME_MAX_];
	unsigned depth;
	struct buf text;
	void (*each)(void *ctx, const struct leaf *l);
	void *ctx;
};

static const char *name_above(const struct reader *r, unsigned up)
{
	return r->depth > up ? r->names[r->depth - up - 1] : "";
}

static void XMLCALL on_start(void *ctx, const char *name, const char **attributes)
{
	struct reader *r = ctx;

	(void)attributes;
	if (r->depth == DEPTH_MAX) {
		XML_StopParser(r->parser, XML_FALSE);
		return;
	}
	snprintf(r->names[r->depth++], NAME_MAX_, "%s", name);
	buf_clear(&r->text);
}

static void XMLCALL on_text(void *ctx, const char *text, int size)
{
	struct reader *r = ctx;

	buf_add(&r->text, text, (size_t)size);
	if (buf_error(&r->text) < 0)
		XML_StopParser(r->parser, XML_FALSE);
}

static void XMLCALL on_end(void *ctx, const char *name)
{
	struct reader *r = ctx;
	const struct leaf l = {name, name_above(r, 1), name_above(r, 2), r->text.data};

	r->each(r->ctx, &l);
	buf_clear(&r->text);
	r->depth--;
}

/* No answer has one, and it is where XML's bombs are. */
static void XMLCALL on_doctype(void *ctx, const char *name, const char *system_id,
			       const char *public_id, int has_subset)
{
	struct reader *r = ctx;

	(void)name;
	(void)system_id;
	(void)public_id;
	(void)has_subset;
	XML_StopParser(r->parser, XML_FALSE);
}

static int read_answer(const struct aws_answer *a, const char *action,
		       void (*each)(void *ctx, const struct leaf *l), void *ctx, struct err *e)
{
	struct reader r = {.text = BUF_INIT(TEXT_MAX), .each = each, .ctx = ctx};
	enum XML_Status status;

	r.parser = XML_ParserCreate(NULL);
	if (!r.parser)
		return err_set(e, -ENOMEM, "no memory for an answer of AWS");
	XML_SetUserData(r.parser, &r);
	XML_SetElementHandler(r.parser, on_start, on_end);
	XML_SetCharacterDataHandler(r.parser, on_text);
	XML_SetStartDoctypeDeclHandler(r.parser, on_doctype);
	status = XML_Parse(r.parser, a->body ? a->body : "", (int)a->body_size, 1);
	XML_ParserFree(r.parser);
	buf_release(&r.text);
	if (status != XML_STATUS_OK)
		return err_set(e, -EBADMSG, "%s: the answer makes no sense", action);
	return 0;
}

/* IAM is one service for a whole partition, in a region of its own. */
static const char *home_of_iam(const char *region)
{
	static const struct {
		const char *partition, *home;
	} rows[] = {
		{"aws", "us-east-1"},
		{"aws-cn", "cn-north-1"},
		{"aws-us-gov", "us-gov-west-1"},
	};
	const char *partition = endpoint_partition(region);

	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (strcmp(rows[i].partition, partition) == 0)
			return rows[i].home;
	return region;
}

static void add_field(struct buf *form, const char *name, const char *value)
{
	buf_addf(form, "&%s=", name);
	sigv4_encode(form, value, strlen(value), false);
}

static int ask(const struct iam *i, const char *service, const char *action, const struct buf *form,
	       struct aws_answer *ret, struct err *e)
{
	CLEANUP(str_freep) char *origin = NULL;
	struct aws_request q = {
		.method = "POST",
		.service = service,
		.region = strcmp(service, "iam") == 0 ? home_of_iam(i->region) : i->region,
		.path = "/",
		.headers = {{"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"}},
		.body = form->data,
		.body_size = form->size,
		.auth = AWS_AUTH_SIGV4,
		.answer_max = ANSWER_MAX,
	};
	int r = buf_error(form);

	if (r < 0)
		return err_errno(e, r, "%s", action);
	r = endpoint_service(aws_config(i->aws), service, q.region, &origin, e);
	if (r < 0)
		return r;
	q.origin = origin;
	return aws_run(i->aws, &q, ret, e);
}

static void take_identity(void *ctx, const struct leaf *l)
{
	struct iam_identity *id = ctx;

	if (strcmp(l->parent, "GetCallerIdentityResult") != 0)
		return;
	if (strcmp(l->name, "Arn") == 0 && strlen(l->text) < sizeof(id->arn))
		snprintf(id->arn, sizeof(id->arn), "%s", l->text);
	if (strcmp(l->name, "Account") == 0 && strlen(l->text) < sizeof(id->account))
		snprintf(id->account, sizeof(id->account), "%s", l->text);
}

int iam_whoami(const struct iam *i, struct iam_identity *ret, struct err *e)
{
	CLEANUP(aws_answer_release) struct aws_answer a = AWS_ANSWER_INIT;
	CLEANUP(buf_release) struct buf form = BUF_INIT(FORM_MAX);
	struct iam_identity id = {"", ""};
	int r;

	buf_add_str(&form, "Action=GetCallerIdentity&Version=2011-06-15");
	r = ask(i, "sts", "GetCallerIdentity", &form, &a, e);
	if (r == 0)
		r = read_answer(&a, "GetCallerIdentity", take_identity, &id, e);
	if (r < 0)
		return r;
	if (!id.arn[0] || !id.account[0])
		return err_set(e, -EBADMSG, "GetCallerIdentity: the answer names nobody");
	*ret = id;
	return 0;
}

void iam_role_release(struct iam_role *r)
{
	free(r->arn);
	free(r->trust);
	*r = (struct iam_role)IAM_ROLE_INIT;
}

static int hex_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* IAM sends policies percent-encoded (RFC 3986: '+' stands for itself). */
static void decode_percent(char *s)
{
	char *to = s;

	while (*s) {
		int high = *s == '%' ? hex_of(s[1]) : -1;
		int low = high >= 0 ? hex_of(s[2]) : -1;

		if (low >= 0 && (high || low)) {
			*to++ = (char)(high << 4 | low);
			s += 3;
		} else {
			*to++ = *s++;
		}
	}
	*to = '\0';
}

static void take_role(void *ctx, const struct leaf *l)
{
	struct iam_role *role = ctx;

	if (strcmp(l->parent, "Role") != 0 || strcmp(l->grandparent, "GetRoleResult") != 0)
		return;
	if (strcmp(l->name, "Arn") == 0 && !role->arn)
		role->arn = strdup(l->text);
	if (strcmp(l->name, "AssumeRolePolicyDocument") == 0 && !role->trust)
		role->trust = strdup(l->text);
}

int iam_role(const struct iam *i, const char *name, struct iam_role *ret, struct err *e)
{
	CLEANUP(aws_answer_release) struct aws_answer a = AWS_ANSWER_INIT;
	CLEANUP(buf_release) struct buf form = BUF_INIT(FORM_MAX);
	CLEANUP(iam_role_release) struct iam_role role = IAM_ROLE_INIT;
	int r;

	buf_add_str(&form, "Action=GetRole&Version=2010-05-08");
	add_field(&form, "RoleName", name);
	r = ask(i, "iam", "GetRole", &form, &a, e);
	if (r == 0)
		r = read_answer(&a, "GetRole", take_role, &role, e);
	if (r < 0)
		return r;
	if (!role.arn || !role.trust)
		return err_set(e, -EBADMSG, "GetRole: the answer lacks the role's trust policy");
	decode_percent(role.trust);
	ret->arn = STEAL(&role.arn);
	ret->trust = STEAL(&role.trust);
	return 0;
}

/* What is read of one member of EvaluationResults, and the sum of them. */
struct decisions {
	struct iam_verdict current, sum;
	char resource[IAM_ARN_MAX + 1]; /* that the next decision is about */
	unsigned count;
};

static void take_denial(struct decisions *d, bool explicit_deny)
{
	d->current.allowed = false;
	d->current.explicit_deny |= explicit_deny;
	snprintf(d->current.resource, sizeof(d->current.resource), "%s", d->resource);
}

static void take_decision(void *ctx, const struct leaf *l)
{
	struct decisions *d = ctx;
	bool in_result = strcmp(l->parent, "member") == 0 &&
			 strcmp(l->grandparent, "EvaluationResults") == 0;
	bool in_resource = strcmp(l->parent, "member") == 0 &&
			   strcmp(l->grandparent, "ResourceSpecificResults") == 0;

	if (in_result && strcmp(l->name, "EvalActionName") == 0) {
		snprintf(d->current.action, sizeof(d->current.action), "%s", l->text);
	} else if ((in_result || in_resource) && strcmp(l->name, "EvalResourceName") == 0) {
		snprintf(d->resource, sizeof(d->resource), "%s", l->text);
	} else if ((in_result && strcmp(l->name, "EvalDecision") == 0) ||
		   (in_resource && strcmp(l->name, "EvalResourceDecision") == 0)) {
		if (in_result)
			d->count++;
		if (strcmp(l->text, "allowed") != 0)
			take_denial(d, strcmp(l->text, "explicitDeny") == 0);
	} else if (strcmp(l->name, "AllowedByOrganizations") == 0) {
		if (strcmp(l->text, "false") == 0) {
			d->current.by_organization = true;
			take_denial(d, false);
		}
	} else if (strcmp(l->name, "member") == 0 && strcmp(l->parent, "EvaluationResults") == 0) {
		if (!d->current.allowed && d->sum.allowed)
			d->sum = d->current;
		d->current = (struct iam_verdict){.allowed = true};
	}
}

static void add_question(struct buf *form, const struct iam_question *q)
{
	char name[96];

	buf_add_str(form, "Action=SimulatePrincipalPolicy&Version=2010-05-08");
	add_field(form, "PolicySourceArn", q->principal);
	for (unsigned n = 0; n < IAM_ACTIONS_MAX && q->actions[n]; n++) {
		snprintf(name, sizeof(name), "ActionNames.member.%u", n + 1);
		add_field(form, name, q->actions[n]);
	}
	for (unsigned n = 0; n < IAM_RESOURCE_MAX && q->resources[n]; n++) {
		snprintf(name, sizeof(name), "ResourceArns.member.%u", n + 1);
		add_field(form, name, q->resources[n]);
	}
	for (unsigned n = 0; n < IAM_CONTEXT_MAX && q->context[n].key; n++) {
		snprintf(name, sizeof(name), "ContextEntries.member.%u.ContextKeyName", n + 1);
		add_field(form, name, q->context[n].key);
		snprintf(name, sizeof(name), "ContextEntries.member.%u.ContextKeyType", n + 1);
		add_field(form, name, "string");
		snprintf(name, sizeof(name), "ContextEntries.member.%u.ContextKeyValues.member.1",
			 n + 1);
		add_field(form, name, q->context[n].value);
	}
}

int iam_simulate(const struct iam *i, const struct iam_question *q, struct iam_verdict *ret,
		 struct err *e)
{
	CLEANUP(aws_answer_release) struct aws_answer a = AWS_ANSWER_INIT;
	CLEANUP(buf_release) struct buf form = BUF_INIT(FORM_MAX);
	struct decisions d = {.current = {.allowed = true}, .sum = {.allowed = true}};
	int r;

	add_question(&form, q);
	r = ask(i, "iam", "SimulatePrincipalPolicy", &form, &a, e);
	if (r == 0)
		r = read_answer(&a, "SimulatePrincipalPolicy", take_decision, &d, e);
	if (r < 0)
		return r;
	if (!d.count)
		return err_set(e, -EBADMSG, "SimulatePrincipalPolicy: the answer decides nothing");
	*ret = d.sum;
	return 0;
}

const char *iam_role_name(const char *arn)
{
	const char *at = strstr(arn, ":role/");
	const char *slash = at ? strrchr(at, '/') : NULL;

	return slash && slash[1] ? slash + 1 : NULL;
}

bool iam_assumed_role(const char *arn, char *ret, size_t size)
{
	static const char word[] = ":assumed-role/";
	const char *at = strstr(arn, word);
	size_t length;

	if (!at)
		return false;
	at += sizeof(word) - 1;
	length = strcspn(at, "/");
	if (!length || length >= size || at[length] != '/')
		return false;
	snprintf(ret, size, "%.*s", (int)length, at);
	return true;
}
