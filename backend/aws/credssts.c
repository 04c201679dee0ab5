#include <errno.h>
#include <expat.h>
#include <string.h>

#include "backend/aws/creds_private.h"
#include "backend/aws/endpoint.h"
#include "backend/aws/sigv4.h"
#include "fs/base/buf.h"

#define TRIES	   3
#define TIMEOUT_MS 30000
#define BODY_MAX   (256 * 1024)
#define TEXT_MAX   (64 * 1024) /* of one element */
#define DEPTH_MAX  16
#define ROOM	   (16 * 1024) /* at once: a buffer that grows leaves copies of secrets behind */

struct reading {
	XML_Parser parser;
	struct buf text; /* of the element that began last */
	unsigned depth;
	bool in_credentials, failed;
	struct creds *to;
	char *expires; /* owned */
};

static void give_up(struct reading *r)
{
	r->failed = true;
	XML_StopParser(r->parser, XML_FALSE);
}

static void on_start(void *ctx, const XML_Char *name, const XML_Char **attributes)
{
	struct reading *r = ctx;

	(void)attributes;
	if (++r->depth > DEPTH_MAX)
		give_up(r);
	if (strcmp(name, "Credentials") == 0)
		r->in_credentials = true;
	buf_clear(&r->text);
}

static void on_end(void *ctx, const XML_Char *name)
{
	struct reading *r = ctx;
	struct {
		const char *name;
		char **to;
	} wanted[] = {
		{"AccessKeyId", &r->to->access_key_id},
		{"SecretAccessKey", &r->to->secret},
		{"SessionToken", &r->to->session_token},
		{"Expiration", &r->expires},
	};

	r->depth--;
	if (strcmp(name, "Credentials") == 0)
		r->in_credentials = false;
	for (size_t i = 0; i < COUNT_OF(wanted) && r->in_credentials; i++) {
		if (strcmp(name, wanted[i].name) != 0)
			continue;
		creds_wipe(wanted[i].to);
		*wanted[i].to = strdup(r->text.data);
		if (!*wanted[i].to)
			give_up(r);
	}
	explicit_bzero(r->text.data, r->text.size);
	buf_clear(&r->text);
}

static void on_text(void *ctx, const XML_Char *s, int size)
{
	struct reading *r = ctx;

	if (!r->in_credentials)
		return;
	buf_add(&r->text, s, (size_t)size);
	if (buf_error(&r->text) < 0)
		give_up(r);
}

/* No entities of its own: they are how a small text becomes a large one. */
static void on_doctype(void *ctx, const XML_Char *name, const XML_Char *sysid,
		       const XML_Char *pubid, int has_internal_subset)
{
	(void)name;
	(void)sysid;
	(void)pubid;
	(void)has_internal_subset;
	give_up(ctx);
}

static int read_answer(const struct buf *body, struct creds *ret)
{
	CLEANUP(creds_release) struct creds c = CREDS_INIT;
	struct reading r = {.to = &c};
	enum XML_Status status;

	r.parser = XML_ParserCreate(NULL);
	if (!r.parser)
		return -ENOMEM;
	buf_init(&r.text, TEXT_MAX);
	buf_reserve(&r.text, ROOM);
	XML_SetUserData(r.parser, &r);
	XML_SetElementHandler(r.parser, on_start, on_end);
	XML_SetCharacterDataHandler(r.parser, on_text);
	XML_SetStartDoctypeDeclHandler(r.parser, on_doctype);
	status = XML_Parse(r.parser, body->data, (int)body->size, XML_TRUE);
	XML_ParserFree(r.parser);
	buf_release(&r.text);
	if (status != XML_STATUS_OK || !c.access_key_id || !c.secret || !c.session_token ||
	    !r.expires || !creds_parse_time(r.expires, &c.expires_ns))
		r.failed = true;
	free(r.expires);
	if (r.failed)
		return -EBADMSG;
	*ret = c;
	c = (struct creds)CREDS_INIT;
	return 0;
}

static void add_field(struct buf *b, const char *name, const char *value)
{
	if (!value)
		return;
	buf_addf(b, "%s%s=", b->size ? "&" : "", name);
	sigv4_encode(b, value, strlen(value), false);
}

static void make_body(const struct creds_role *role, struct buf *b)
{
	buf_reserve(b, ROOM);
	add_field(b, "Action", role->token ? "AssumeRoleWithWebIdentity" : "AssumeRole");
	add_field(b, "Version", "2011-06-15");
	add_field(b, "RoleArn", role->arn);
	add_field(b, "RoleSessionName", role->session_name);
	add_field(b, "ExternalId", role->external_id);
	add_field(b, "DurationSeconds", role->duration_seconds);
	add_field(b, "WebIdentityToken", role->token);
}

#define CONTENT_TYPE "application/x-www-form-urlencoded; charset=utf-8"

/* The host as it goes over the wire: without the port that is the scheme's own. */
static size_t host_size(const char *origin, const char *host)
{
	size_t n = strcspn(host, "/");
	const char *own = strncmp(origin, "https:", 6) == 0 ? ":443" : ":80";
	size_t m = strlen(own);

	return n > m && strncmp(host + n - m, own, m) == 0 ? n - m : n;
}

static int sign(const struct creds_source *s, const struct creds *by, const char *url,
		const struct buf *body, struct http_headers *to)
{
	CLEANUP(buf_release) struct buf authorization = BUF_INIT(8192);
	CLEANUP(str_freep) char *host = NULL;
	const char *start = strstr(url, "://") + 3;
	int64_t now = clock_wall_ns(s->clock);
	char date[SIGV4_DATE_SIZE], hash[SIGV4_HASH_SIZE];
	struct sigv4_header headers[4] = {{"content-type", CONTENT_TYPE}, {"x-amz-date", date}};
	struct sigv4_request q = {.method = "POST",
				  .path = start + strcspn(start, "/"),
				  .headers = headers,
				  .header_count = 3,
				  .payload_hash = hash,
				  .region = awsconfig_region(s->config),
				  .service = "sts",
				  .wall_ns = now};
	int r;

	host = strndup(start, host_size(url, start));
	if (!host)
		return -ENOMEM;
	headers[2] = (struct sigv4_header){"host", host};
	if (by->session_token)
		headers[q.header_count++] =
			(struct sigv4_header){"x-amz-security-token", by->session_token};
	sigv4_date(now, date);
	sigv4_hash(body->data, body->size, hash);
	r = sigv4_sign(&q, by->access_key_id, by->secret, &authorization);
	if (r == 0)
		r = http_headers_add(to, "authorization", authorization.data);
	if (r == 0)
		r = http_headers_add(to, "x-amz-date", date);
	if (r == 0 && by->session_token)
		r = http_headers_add(to, "x-amz-security-token", by->session_token);
	return r;
}

/* Two answers that pass and do not look it: 400 with these codes. */
static bool is_worth_repeating(const struct wire_answer *a)
{
	return a->status == 400 && (strstr(a->body.data, "<Code>IDPCommunicationError<") ||
				    strstr(a->body.data, "<Code>Throttling"));
}

static const char *cure_of(const char *code, bool web)
{
	static const struct {
		const char *code, *cure, *web_cure; /* NULL: the same */
	} cures[] = {
		{"AccessDenied",
		 "allow the caller sts:AssumeRole, and name it in the role's trust policy (where "
		 "there is a condition on it, external_id must match)",
		 "name the token's issuer, audience and subject in the role's trust policy"},
		{"ExpiredToken", "the credentials that ask have expired: renew them", NULL},
		{"ExpiredTokenException",
		 "the token has expired: see to it that its file is renewed", NULL},
		{"InvalidClientTokenId", "the access key is not known to AWS: give another one",
		 NULL},
		{"SignatureDoesNotMatch",
		 "the secret key does not belong to the access key, or this machine's clock is "
		 "wrong",
		 NULL},
		{"InvalidIdentityToken",
		 "the token is not one of an identity provider that the account knows in IAM",
		 NULL},
		{"IDPRejectedClaim", "the identity provider refuses the token: get a new one",
		 NULL},
		{"RegionDisabledException", "switch STS on for this region, or use another region",
		 NULL},
		{"ValidationError",
		 "check role_arn, role_session_name, external_id and duration_seconds", NULL},
	};

	for (size_t i = 0; i < COUNT_OF(cures); i++)
		if (strcmp(cures[i].code, code) == 0)
			return web && cures[i].web_cure ? cures[i].web_cure : cures[i].cure;
	return NULL;
}

static int explain(const struct creds_role *role, const struct wire_answer *a, struct err *e)
{
	const char *secrets[4] = {NULL};
	struct creds_said said = {.code = ""};
	const char *cure;
	size_t n = 0;
	int r;

	if (role->token)
		secrets[n++] = role->token;
	if (role->by)
		secrets[n++] = role->by->secret;
	if (role->by && role->by->session_token)
		secrets[n] = role->by->session_token;
	r = creds_refusal(a, secrets, &said);
	cure = cure_of(said.code, role->token != NULL);
	return err_set(e, r, "STS does not give %s the role %s: %s%s%s",
		       role->token ? "the web identity" : role->by->source, role->arn, said.words,
		       cure ? "; " : "", cure ? cure : "");
}

int creds_assume(const struct creds_source *s, const struct creds_role *role, struct creds *ret,
		 struct err *e)
{
	CLEANUP(creds_answer_release) struct wire_answer a = {.body = BUF_INIT(0)};
	CLEANUP(buf_release) struct buf body = BUF_INIT(BODY_MAX);
	CLEANUP(str_freep) char *origin = NULL, *url = NULL;
	struct http_headers *headers = NULL;
	struct creds_ask ask = {.who = "STS",
				.method = "POST",
				.tries = TRIES,
				.timeout_ms = TIMEOUT_MS,
				.again = is_worth_repeating};
	int r = endpoint_service(s->config, "sts", awsconfig_region(s->config), &origin, e);

	if (r < 0)
		return r;
	make_body(role, &body);
	if (asprintf(&url, "%s/", origin) < 0)
		url = NULL;
	ask.url = url;
	r = url ? buf_error(&body) : -ENOMEM;
	if (r == 0)
		r = creds_headers(CONTENT_TYPE, &headers);
	if (r == 0 && role->by)
		r = sign(s, role->by, url, &body, headers);
	r = creds_post(s, &ask, r, headers, &body, &a, e);
	if (r < 0)
		return r;
	if (a.status != 200)
		return explain(role, &a, e);
	r = read_answer(&a.body, ret);
	return r < 0 ? err_set(e, r == -ENOMEM ? r : -EAGAIN,
			       "STS (%s) gives an answer that makes no sense", origin)
		     : 0;
}
