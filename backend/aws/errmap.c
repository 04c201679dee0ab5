#include "backend/aws/errmap.h"

#include <expat.h>
#include <json-c/json.h>
#include <string.h>

#include "fs/base/buf.h"
#include "fs/base/utf8.h"

/*
 * An answer is read in three steps: its error code and message are looked up
 * where its kind keeps them (header, JSON, XML); the code is looked up in
 * by_code; and where that has no row the status decides.
 */

#define BODY_MAX  (128 * 1024) /* an error's body above this is not read */
#define DEPTH_MAX 16

static const char *const class_names[ERRMAP_CLASS_COUNT] = {
	[ERRMAP_OK] = "ok",
	[ERRMAP_TRANSPORT] = "transport",
	[ERRMAP_UNSENT] = "unsent",
	[ERRMAP_THROTTLED] = "throttled",
	[ERRMAP_TRANSIENT] = "transient",
	[ERRMAP_EXPIRED] = "expired",
	[ERRMAP_SKEWED] = "skewed",
	[ERRMAP_REDIRECT] = "redirect",
	[ERRMAP_DENIED] = "denied",
	[ERRMAP_NOT_FOUND] = "not-found",
	[ERRMAP_QUOTA] = "quota",
	[ERRMAP_CONFLICT] = "conflict",
	[ERRMAP_PRECONDITION] = "precondition",
	[ERRMAP_INVALID] = "invalid",
};

static const int errnos[ERRMAP_CLASS_COUNT] = {
	[ERRMAP_OK] = 0,
	[ERRMAP_TRANSPORT] = -EAGAIN,
	[ERRMAP_UNSENT] = -EAGAIN,
	[ERRMAP_THROTTLED] = -EAGAIN,
	[ERRMAP_TRANSIENT] = -EAGAIN,
	[ERRMAP_EXPIRED] = -EACCES,
	[ERRMAP_SKEWED] = -EACCES,
	[ERRMAP_REDIRECT] = -EXDEV,
	[ERRMAP_DENIED] = -EACCES,
	[ERRMAP_NOT_FOUND] = -ENOENT,
	[ERRMAP_QUOTA] = -EBUSY,
	[ERRMAP_CONFLICT] = -EEXIST,
	[ERRMAP_PRECONDITION] = -ESTALE,
	[ERRMAP_INVALID] = -EINVAL,
};

const char *errmap_class_name(enum errmap_class c)
{
	return class_names[c];
}

int errmap_errno(enum errmap_class c)
{
	return errnos[c];
}

static const enum errmap_class by_failure[HTTP_FAILURE_COUNT] = {
	[HTTP_ANSWERED] = ERRMAP_OK,	     [HTTP_REFUSED] = ERRMAP_UNSENT,
	[HTTP_UNREACHABLE] = ERRMAP_UNSENT,  [HTTP_DNS] = ERRMAP_UNSENT,
	[HTTP_TLS] = ERRMAP_UNSENT,	     [HTTP_CONNECT_TIMEOUT] = ERRMAP_UNSENT,
	[HTTP_TIMEOUT] = ERRMAP_TRANSPORT,   [HTTP_RESET] = ERRMAP_TRANSPORT,
	[HTTP_TOO_LARGE] = ERRMAP_INVALID, /* it would be as large again */
	[HTTP_BROKEN] = ERRMAP_TRANSPORT,    [HTTP_NO_MEMORY] = ERRMAP_TRANSPORT,
	[HTTP_CANCELLED] = ERRMAP_TRANSPORT,
};

/*
 * The SDKs' lists of codes for throttling and for what passes, and those whose
 * status misleads.  A wrong signature is EXPIRED: a secret that was replaced
 * looks like it, and so does a clock that is off, which is found out by the
 * Date header.
 */
static const struct {
	const char *code;
	enum errmap_class class;
} by_code[] = {
	{"Throttling", ERRMAP_THROTTLED},
	{"ThrottlingException", ERRMAP_THROTTLED},
	{"ThrottledException", ERRMAP_THROTTLED},
	{"RequestThrottledException", ERRMAP_THROTTLED},
	{"TooManyRequestsException", ERRMAP_THROTTLED},
	{"ProvisionedThroughputExceededException", ERRMAP_THROTTLED},
	{"TransactionInProgressException", ERRMAP_THROTTLED},
	{"RequestLimitExceeded", ERRMAP_THROTTLED},
	{"BandwidthLimitExceeded", ERRMAP_THROTTLED},
	{"LimitExceededException", ERRMAP_THROTTLED},
	{"RequestThrottled", ERRMAP_THROTTLED},
	{"SlowDown", ERRMAP_THROTTLED},
	{"EC2ThrottledException", ERRMAP_THROTTLED},

	{"RequestTimeout", ERRMAP_TRANSIENT},
	{"RequestTimeoutException", ERRMAP_TRANSIENT},
	{"PriorRequestNotComplete", ERRMAP_TRANSIENT},
	{"RequestAbortedException", ERRMAP_TRANSIENT},
	{"IDPCommunicationError", ERRMAP_TRANSIENT},
	{"InternalError", ERRMAP_TRANSIENT},
	{"InternalFailure", ERRMAP_TRANSIENT},
	{"InternalServerException", ERRMAP_TRANSIENT},
	{"ServiceUnavailable", ERRMAP_TRANSIENT},
	{"ServiceUnavailableException", ERRMAP_TRANSIENT},
	{"ConditionalRequestConflict", ERRMAP_TRANSIENT},
	{"OperationAborted", ERRMAP_TRANSIENT},
	/* What was sent is not what came: a damaged upload. */
	{"BadDigest", ERRMAP_TRANSIENT},
	{"XAmzContentSHA256Mismatch", ERRMAP_TRANSIENT},
	{"IncompleteBody", ERRMAP_TRANSIENT},

	{"ExpiredToken", ERRMAP_EXPIRED},
	{"ExpiredTokenException", ERRMAP_EXPIRED},
	{"TokenRefreshRequired", ERRMAP_EXPIRED},
	{"InvalidToken", ERRMAP_EXPIRED},
	{"InvalidClientTokenId", ERRMAP_EXPIRED},
	{"InvalidAccessKeyId", ERRMAP_EXPIRED},
	{"UnrecognizedClientException", ERRMAP_EXPIRED},
	{"InvalidSignatureException", ERRMAP_EXPIRED},
	{"SignatureDoesNotMatch", ERRMAP_EXPIRED},

	{"RequestTimeTooSkewed", ERRMAP_SKEWED},
	{"RequestExpired", ERRMAP_SKEWED},
	{"RequestInTheFuture", ERRMAP_SKEWED},

	{"PermanentRedirect", ERRMAP_REDIRECT},
	{"TemporaryRedirect", ERRMAP_REDIRECT},
	{"Redirect", ERRMAP_REDIRECT},
	{"IllegalLocationConstraintException", ERRMAP_REDIRECT},

	{"AccessDenied", ERRMAP_DENIED},
	{"AccessDeniedException", ERRMAP_DENIED},
	{"NotAuthorized", ERRMAP_DENIED},
	{"OptInRequired", ERRMAP_DENIED},
	{"IncompleteSignature", ERRMAP_DENIED},
	{"MissingAuthenticationToken", ERRMAP_DENIED},
	{"AllAccessDisabled", ERRMAP_DENIED},
	{"AccountProblem", ERRMAP_DENIED},

	{"ResourceNotFoundException", ERRMAP_NOT_FOUND},
	{"NoSuchResourceException", ERRMAP_NOT_FOUND},
	{"NoSuchKey", ERRMAP_NOT_FOUND},
	{"NoSuchBucket", ERRMAP_NOT_FOUND},
	{"NoSuchUpload", ERRMAP_NOT_FOUND},
	{"NoSuchEntity", ERRMAP_NOT_FOUND},

	{"ServiceQuotaExceededException", ERRMAP_QUOTA},
	{"LimitExceeded", ERRMAP_QUOTA},
	{"QuotaExceeded", ERRMAP_QUOTA},

	{"ConflictException", ERRMAP_CONFLICT},
	{"ResourceInUseException", ERRMAP_CONFLICT},
	{"EntityAlreadyExists", ERRMAP_CONFLICT},
	{"BucketAlreadyExists", ERRMAP_CONFLICT},
	{"BucketAlreadyOwnedByYou", ERRMAP_CONFLICT},

	{"PreconditionFailed", ERRMAP_PRECONDITION},

	{"ValidationException", ERRMAP_INVALID},
	{"ValidationError", ERRMAP_INVALID},
	{"UnknownOperationException", ERRMAP_INVALID}, /* 404 */
	{"InvalidObjectState", ERRMAP_INVALID},	       /* 403: archived */
	{"MethodNotAllowed", ERRMAP_INVALID},
};

static const struct {
	long status;
	enum errmap_class class;
} by_status[] = {
	{301, ERRMAP_REDIRECT},	 {302, ERRMAP_REDIRECT},     {307, ERRMAP_REDIRECT},
	{308, ERRMAP_REDIRECT},	 {304, ERRMAP_PRECONDITION}, {401, ERRMAP_DENIED},
	{403, ERRMAP_DENIED},	 {404, ERRMAP_NOT_FOUND},    {408, ERRMAP_TRANSIENT},
	{409, ERRMAP_CONFLICT},	 {412, ERRMAP_PRECONDITION}, {429, ERRMAP_THROTTLED},
	{500, ERRMAP_TRANSIENT}, {502, ERRMAP_TRANSIENT},    {503, ERRMAP_TRANSIENT},
	{504, ERRMAP_TRANSIENT},
};

static enum errmap_class class_of(const struct errmap *m, long status)
{
	for (size_t i = 0; i < COUNT_OF(by_code); i++)
		if (strcmp(m->code, by_code[i].code) == 0)
			return by_code[i].class;
	/* Signed for another region than the bucket's, whose name comes with it. */
	if (strcmp(m->code, "AuthorizationHeaderMalformed") == 0 && m->region[0])
		return ERRMAP_REDIRECT;
	/* HEAD in another region: nothing is told but the region. */
	if (status == 400 && !m->code[0] && m->region[0])
		return ERRMAP_REDIRECT;
	for (size_t i = 0; i < COUNT_OF(by_status); i++)
		if (status == by_status[i].status)
			return by_status[i].class;
	/* The inventions of proxies (520 to 529) pass; 501 and 505 do not. */
	return status >= 506 ? ERRMAP_TRANSIENT : ERRMAP_INVALID;
}

/* --- words --- */

/* Copies text as one line of UTF-8, cut between characters. */
static void copy_line(char *to, size_t room, const char *from, size_t size)
{
	size_t used = 0;

	while (size && (*from == ' ' || *from == '\n' || *from == '\r' || *from == '\t')) {
		from++;
		size--;
	}
	while (size) {
		size_t n = utf8_char_size(from, size);

		if (used + (n ? n : 1) >= room)
			break;
		if (n > 1)
			memcpy(to + used, from, n);
		else if (n == 0)
			to[used] = '?';
		else
			to[used] = (unsigned char)*from < 0x20 || *from == 0x7f ? ' ' : *from;
		n = n ? n : 1;
		used += n;
		from += n;
		size -= n;
	}
	while (used && to[used - 1] == ' ')
		used--;
	to[used] = '\0';
}

static void set_message(struct errmap *m, const char *text, size_t size)
{
	static const char *const repeats[] = {"The Canonical String", "The String-to-Sign"};

	for (size_t i = 0; i < COUNT_OF(repeats); i++) {
		const char *at = size ? memmem(text, size, repeats[i], strlen(repeats[i])) : NULL;

		if (at)
			size = (size_t)(at - text);
	}
	copy_line(m->message, sizeof(m->message), text, size);
}

/* "com.amazon.coral#ThrottlingException:http://..." is a ThrottlingException. */
static void set_code(struct errmap *m, const char *text, size_t size)
{
	const char *colon = size ? memchr(text, ':', size) : NULL;
	const char *hash;

	if (colon)
		size = (size_t)(colon - text);
	hash = size ? memrchr(text, '#', size) : NULL;
	if (hash) {
		size -= (size_t)(hash + 1 - text);
		text = hash + 1;
	}
	copy_line(m->code, sizeof(m->code), text, size);
}

/* --- JSON --- */

static bool member(json_object *o, const char *key, const char **ret, size_t *ret_size)
{
	json_object *value;

	if (!json_object_object_get_ex(o, key, &value) ||
	    !json_object_is_type(value, json_type_string))
		return false;
	*ret = json_object_get_string(value);
	*ret_size = (size_t)json_object_get_string_len(value);
	return true;
}

static bool read_json(struct errmap *m, const char *body, size_t size)
{
	struct json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX);
	json_object *o = tokener ? json_tokener_parse_ex(tokener, body, (int)size) : NULL;
	bool is_object = json_object_is_type(o, json_type_object);
	const char *text;
	size_t text_size;

	if (is_object && !m->code[0] &&
	    (member(o, "code", &text, &text_size) || member(o, "__type", &text, &text_size)))
		set_code(m, text, text_size);
	if (is_object &&
	    (member(o, "message", &text, &text_size) || member(o, "Message", &text, &text_size)))
		set_message(m, text, text_size);
	json_object_put(o);
	json_tokener_free(tokener);
	return is_object;
}

/* --- XML --- */

/* <Error><Code>..., at the root or within <ErrorResponse> and the like. */
struct xml {
	XML_Parser parser;
	unsigned depth, error_depth; /* of <Error>; 0: not in it */
	bool is_error;
	struct buf *text; /* where the text of the element goes, or NULL */
	struct buf code, message, region;
};

static struct buf *field_of(struct xml *x, const char *name)
{
	if (strcmp(name, "Code") == 0)
		return &x->code;
	if (strcmp(name, "Message") == 0)
		return &x->message;
	return strcmp(name, "Region") == 0 ? &x->region : NULL;
}

static void XMLCALL on_start(void *arg, const XML_Char *name, const XML_Char **attributes)
{
	struct xml *x = arg;

	(void)attributes;
	if (++x->depth > DEPTH_MAX) {
		XML_StopParser(x->parser, XML_FALSE);
		return;
	}
	x->text = NULL;
	if (x->error_depth && x->depth == x->error_depth + 1)
		x->text = field_of(x, name);
	else if (!x->is_error && x->depth <= 3 && strcmp(name, "Error") == 0) {
		x->is_error = true;
		x->error_depth = x->depth;
	}
}

static void XMLCALL on_end(void *arg, const XML_Char *name)
{
	struct xml *x = arg;

	(void)name;
	x->text = NULL;
	if (x->depth-- == x->error_depth)
		x->error_depth = 0;
}

static void XMLCALL on_text(void *arg, const XML_Char *text, int size)
{
	struct xml *x = arg;

	if (x->text)
		buf_add(x->text, text, (size_t)size);
}

/* No service sends one, and entities are what attacks are made of. */
static void XMLCALL on_doctype(void *arg, const XML_Char *name, const XML_Char *system_id,
			       const XML_Char *public_id, int has_internal_subset)
{
	struct xml *x = arg;

	(void)name;
	(void)system_id;
	(void)public_id;
	(void)has_internal_subset;
	XML_StopParser(x->parser, XML_FALSE);
}

enum xml_kind {
	XML_BROKEN,
	XML_OTHER, /* well-formed, and no error */
	XML_ERROR,
};

static enum xml_kind read_xml(struct errmap *m, const char *body, size_t size)
{
	struct xml x = {.parser = XML_ParserCreate("UTF-8")};
	bool whole;

	if (!x.parser)
		return XML_BROKEN;
	buf_init(&x.code, BODY_MAX);
	buf_init(&x.message, BODY_MAX);
	buf_init(&x.region, BODY_MAX);
	XML_SetUserData(x.parser, &x);
	XML_SetElementHandler(x.parser, on_start, on_end);
	XML_SetCharacterDataHandler(x.parser, on_text);
	XML_SetStartDoctypeDeclHandler(x.parser, on_doctype);
	whole = XML_Parse(x.parser, body, (int)size, 1) == XML_STATUS_OK;
	if (x.is_error && !m->code[0])
		set_code(m, x.code.data, x.code.size);
	if (x.is_error)
		set_message(m, x.message.data, x.message.size);
	if (x.region.size)
		copy_line(m->region, sizeof(m->region), x.region.data, x.region.size);
	XML_ParserFree(x.parser);
	buf_release(&x.code);
	buf_release(&x.message);
	buf_release(&x.region);
	if (x.is_error)
		return XML_ERROR;
	return whole ? XML_OTHER : XML_BROKEN;
}

/* --- answers --- */

static void read_error(const struct http_answer *a, struct errmap *m)
{
	const char *type = http_answer_header(a, "x-amzn-errortype");
	const char *region = http_answer_header(a, "x-amz-bucket-region");
	size_t size = a->size <= BODY_MAX ? a->size : 0;
	const char *body = a->body;

	if (type)
		set_code(m, type, strlen(type));
	while (size && strchr(" \t\r\n", *body)) {
		body++;
		size--;
	}
	if (size && *body == '<')
		read_xml(m, body, size); /* a proxy's page of HTML says nothing */
	else if (size && (*body != '{' || !read_json(m, body, size)))
		set_message(m, body, size);
	if (region)
		copy_line(m->region, sizeof(m->region), region, strlen(region));
	m->class = class_of(m, a->status);
	if (m->class != ERRMAP_REDIRECT)
		m->region[0] = '\0';
}

/* A 200 that may be none: S3 begins to answer before it knows. */
static void read_lie(const struct http_answer *a, struct errmap *m)
{
	switch (a->size <= INT32_MAX ? read_xml(m, a->body, a->size) : XML_OTHER) {
	case XML_OTHER:
		return;
	case XML_BROKEN:
		copy_line(m->message, sizeof(m->message), "half an answer",
			  strlen("half an answer"));
		m->class = ERRMAP_TRANSIENT;
		return;
	case XML_ERROR:
		m->class = class_of(m, 500);
		return;
	}
}

static void read_failure(const struct http_answer *a, struct errmap *m)
{
	const char *words = http_failure_words(a->failure);

	m->class = by_failure[a->failure];
	snprintf(m->message, sizeof(m->message), "the server %s%s%s%s", words,
		 a->words[0] ? " (" : "", a->words, a->words[0] ? ")" : "");
}

void errmap_read(const struct http_answer *a, bool may_lie, struct errmap *ret)
{
	struct errmap m = {.class = ERRMAP_OK};

	if (a->failure != HTTP_ANSWERED)
		read_failure(a, &m);
	else if (a->status < 200 || a->status > 299)
		read_error(a, &m);
	else if (may_lie && a->status == 200)
		read_lie(a, &m);
	*ret = m;
}
