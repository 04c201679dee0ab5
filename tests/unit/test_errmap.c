/* What answers of AWS mean, and what of their words is shown. */

#include "backend/aws/errmap.h"

#include <errno.h>
#include <string.h>

#include "fs/base/buf.h"
#include "fs/base/macros.h"
#include "fs/base/utf8.h"
#include "tests/unit/cmocka_all.h"

/* headers: up to two, as name, value. */
static struct errmap read_answer(long status, const char *const headers[5], const char *body,
				 bool may_lie)
{
	struct http_answer a = {
		.failure = HTTP_ANSWERED,
		.status = status,
		.body = body,
		.size = strlen(body),
		.made_up_headers = headers,
	};
	struct errmap m;

	errmap_read(&a, may_lie, &m);
	return m;
}

#define XML(code, more)                                                                            \
	"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>" code                           \
	"</Code><Message>words</Message>" more "<RequestId>1</RequestId></Error>"
#define STS(code)                                                                                  \
	"<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error>"               \
	"<Type>Sender</Type><Code>" code "</Code><Message>words</Message></Error>"                 \
	"<RequestId>1</RequestId></ErrorResponse>"
#define TYPE(t)                                                                                    \
	{                                                                                          \
		"x-amzn-ErrorType", t                                                              \
	}
#define REGION(r)                                                                                  \
	{                                                                                          \
		"x-amz-bucket-region", r                                                           \
	}

static const struct {
	const char *why;
	long status;
	const char *headers[5], *body;
	enum errmap_class class;
	int r;
	const char *code, *message, *region;
} rows[] = {
	/* good */
	{"good", 200, {0}, "{}", ERRMAP_OK, 0, "", "", ""},
	{"no content", 204, {0}, "", ERRMAP_OK, 0, "", "", ""},
	{"a part", 206, {0}, "<Error/>", ERRMAP_OK, 0, "", "", ""},

	/* Bedrock: the type decides, not the status */
	{"the header says the type", 400, TYPE("ConflictException"), "{\"message\":\"m\"}",
	 ERRMAP_CONFLICT, -EEXIST, "ConflictException", "m", ""},
	{"a URI after it", 400, TYPE("ValidationException:http://internal.amazon.com/coral/"),
	 "{\"message\":\"m\"}", ERRMAP_INVALID, -EINVAL, "ValidationException", "m", ""},
	{"a namespace before it",
	 400,
	 {0},
	 "{\"__type\":\"com.amazon.bedrock#ServiceQuotaExceededException\",\"Message\":\"m\"}",
	 ERRMAP_QUOTA,
	 -EBUSY,
	 "ServiceQuotaExceededException",
	 "m",
	 ""},
	{"the body's code",
	 400,
	 {0},
	 " {\"code\":\"a#ThrottlingException:b#c\",\"message\":\"m\"}",
	 ERRMAP_THROTTLED,
	 -EAGAIN,
	 "ThrottlingException",
	 "m",
	 ""},
	{"the header before the body", 429, TYPE("ThrottlingException"), "{\"code\":\"Other\"}",
	 ERRMAP_THROTTLED, -EAGAIN, "ThrottlingException", "", ""},
	{"denied", 403, TYPE("AccessDeniedException"),
	 "{\"Message\":\"User: arn:aws:iam::1:user/a is not authorized\"}", ERRMAP_DENIED, -EACCES,
	 "AccessDeniedException", "User: arn:aws:iam::1:user/a is not authorized", ""},
	{"not found", 404, TYPE("ResourceNotFoundException"), "{\"message\":\"m\"}",
	 ERRMAP_NOT_FOUND, -ENOENT, "ResourceNotFoundException", "m", ""},
	{"no such operation", 404, TYPE("UnknownOperationException"), "", ERRMAP_INVALID, -EINVAL,
	 "UnknownOperationException", "", ""},
	{"an internal error", 500, TYPE("InternalServerException"), "", ERRMAP_TRANSIENT, -EAGAIN,
	 "InternalServerException", "", ""},
	{"too many tags", 400, TYPE("TooManyTagsException"), "{\"message\":\"m\"}", ERRMAP_INVALID,
	 -EINVAL, "TooManyTagsException", "m", ""},
	{"a type nobody knows", 403, TYPE("FutureException"), "", ERRMAP_DENIED, -EACCES,
	 "FutureException", "", ""},
	{"an old token", 403, TYPE("ExpiredTokenException"), "", ERRMAP_EXPIRED, -EACCES,
	 "ExpiredTokenException", "", ""},
	{"a token of nobody", 403, TYPE("UnrecognizedClientException"), "", ERRMAP_EXPIRED, -EACCES,
	 "UnrecognizedClientException", "", ""},
	{"a wrong signature", 403, TYPE("InvalidSignatureException"), "", ERRMAP_EXPIRED, -EACCES,
	 "InvalidSignatureException", "", ""},

	/* statuses alone */
	{"throttled without words", 429, {0}, "", ERRMAP_THROTTLED, -EAGAIN, "", "", ""},
	{"unavailable", 503, {0}, "", ERRMAP_TRANSIENT, -EAGAIN, "", "", ""},
	{"a proxy's page",
	 502,
	 {0},
	 "<html><body>Bad</body></html>",
	 ERRMAP_TRANSIENT,
	 -EAGAIN,
	 "",
	 "",
	 ""},
	{"a proxy's invention",
	 522,
	 {0},
	 "error code: 522\n",
	 ERRMAP_TRANSIENT,
	 -EAGAIN,
	 "",
	 "error code: 522",
	 ""},
	{"not implemented", 501, {0}, "", ERRMAP_INVALID, -EINVAL, "", "", ""},
	{"too large", 413, {0}, "", ERRMAP_INVALID, -EINVAL, "", "", ""},
	{"unauthorised", 401, {0}, "", ERRMAP_DENIED, -EACCES, "", "", ""},
	{"timed out over there", 408, {0}, "", ERRMAP_TRANSIENT, -EAGAIN, "", "", ""},
	{"HEAD of what is missing", 404, {0}, "", ERRMAP_NOT_FOUND, -ENOENT, "", "", ""},
	{"HEAD denied", 403, REGION("us-east-1"), "", ERRMAP_DENIED, -EACCES, "", "", ""},
	{"HEAD in another region, 301", 301, REGION("eu-west-1"), "", ERRMAP_REDIRECT, -EXDEV, "",
	 "", "eu-west-1"},
	{"HEAD in another region, 400", 400, REGION("eu-west-1"), "", ERRMAP_REDIRECT, -EXDEV, "",
	 "", "eu-west-1"},
	{"HEAD, 400, nothing told", 400, {0}, "", ERRMAP_INVALID, -EINVAL, "", "", ""},
	{"HEAD with a precondition", 412, {0}, "", ERRMAP_PRECONDITION, -ESTALE, "", "", ""},
	{"a status that is none", 0, {0}, "", ERRMAP_INVALID, -EINVAL, "", "", ""},

	/* S3 */
	{"no such key",
	 404,
	 {0},
	 XML("NoSuchKey", "<Key>k</Key>"),
	 ERRMAP_NOT_FOUND,
	 -ENOENT,
	 "NoSuchKey",
	 "words",
	 ""},
	{"slow down",
	 503,
	 {0},
	 XML("SlowDown", ""),
	 ERRMAP_THROTTLED,
	 -EAGAIN,
	 "SlowDown",
	 "words",
	 ""},
	{"an old token, 400",
	 400,
	 {0},
	 XML("ExpiredToken", ""),
	 ERRMAP_EXPIRED,
	 -EACCES,
	 "ExpiredToken",
	 "words",
	 ""},
	{"the clock",
	 403,
	 {0},
	 XML("RequestTimeTooSkewed", ""),
	 ERRMAP_SKEWED,
	 -EACCES,
	 "RequestTimeTooSkewed",
	 "words",
	 ""},
	{"another region, told by header", 301, REGION("eu-west-1"),
	 XML("PermanentRedirect", "<Endpoint>x</Endpoint>"), ERRMAP_REDIRECT, -EXDEV,
	 "PermanentRedirect", "words", "eu-west-1"},
	{"a young bucket",
	 307,
	 {0},
	 XML("TemporaryRedirect", ""),
	 ERRMAP_REDIRECT,
	 -EXDEV,
	 "TemporaryRedirect",
	 "words",
	 ""},
	{"signed for another region",
	 400,
	 {0},
	 XML("AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>"),
	 ERRMAP_REDIRECT,
	 -EXDEV,
	 "AuthorizationHeaderMalformed",
	 "words",
	 "eu-west-1"},
	{"signed wrongly in another way",
	 400,
	 {0},
	 XML("AuthorizationHeaderMalformed", ""),
	 ERRMAP_INVALID,
	 -EINVAL,
	 "AuthorizationHeaderMalformed",
	 "words",
	 ""},
	{"an opt-in region",
	 400,
	 {0},
	 XML("IllegalLocationConstraintException", ""),
	 ERRMAP_REDIRECT,
	 -EXDEV,
	 "IllegalLocationConstraintException",
	 "words",
	 ""},
	{"a changed object",
	 412,
	 {0},
	 XML("PreconditionFailed", ""),
	 ERRMAP_PRECONDITION,
	 -ESTALE,
	 "PreconditionFailed",
	 "words",
	 ""},
	{"a conditional write in between",
	 409,
	 {0},
	 XML("ConditionalRequestConflict", ""),
	 ERRMAP_TRANSIENT,
	 -EAGAIN,
	 "ConditionalRequestConflict",
	 "words",
	 ""},
	{"a damaged upload",
	 400,
	 {0},
	 XML("BadDigest", ""),
	 ERRMAP_TRANSIENT,
	 -EAGAIN,
	 "BadDigest",
	 "words",
	 ""},
	{"a slow upload",
	 400,
	 {0},
	 XML("RequestTimeout", ""),
	 ERRMAP_TRANSIENT,
	 -EAGAIN,
	 "RequestTimeout",
	 "words",
	 ""},
	{"a part too small",
	 400,
	 {0},
	 XML("EntityTooSmall", ""),
	 ERRMAP_INVALID,
	 -EINVAL,
	 "EntityTooSmall",
	 "words",
	 ""},
	{"an archived object",
	 403,
	 {0},
	 XML("InvalidObjectState", ""),
	 ERRMAP_INVALID,
	 -EINVAL,
	 "InvalidObjectState",
	 "words",
	 ""},

	/* STS, IAM */
	{"STS throttles",
	 400,
	 {0},
	 STS("Throttling"),
	 ERRMAP_THROTTLED,
	 -EAGAIN,
	 "Throttling",
	 "words",
	 ""},
	{"no such role",
	 404,
	 {0},
	 STS("NoSuchEntity"),
	 ERRMAP_NOT_FOUND,
	 -ENOENT,
	 "NoSuchEntity",
	 "words",
	 ""},
	{"the role exists",
	 409,
	 {0},
	 STS("EntityAlreadyExists"),
	 ERRMAP_CONFLICT,
	 -EEXIST,
	 "EntityAlreadyExists",
	 "words",
	 ""},
	{"too many roles",
	 409,
	 {0},
	 STS("LimitExceeded"),
	 ERRMAP_QUOTA,
	 -EBUSY,
	 "LimitExceeded",
	 "words",
	 ""},

	/* hostile and broken bodies */
	{"half a JSON",
	 400,
	 {0},
	 "{\"message\":\"m",
	 ERRMAP_INVALID,
	 -EINVAL,
	 "",
	 "{\"message\":\"m",
	 ""},
	{"no words but a number",
	 400,
	 {0},
	 "{\"message\":7,\"code\":{}}",
	 ERRMAP_INVALID,
	 -EINVAL,
	 "",
	 "",
	 ""},
	{"JSON that is no object", 400, {0}, "[1]", ERRMAP_INVALID, -EINVAL, "", "[1]", ""},
	{"JSON without end",
	 400,
	 {0},
	 "{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}",
	 ERRMAP_INVALID,
	 -EINVAL,
	 "",
	 "{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}",
	 ""},
	{"half an XML: what came counts",
	 503,
	 {0},
	 "<Error><Code>SlowDown</Code><Mess",
	 ERRMAP_THROTTLED,
	 -EAGAIN,
	 "SlowDown",
	 "",
	 ""},
	{"a DTD",
	 400,
	 {0},
	 "<!DOCTYPE Error [<!ENTITY a \"SlowDown\">]><Error><Code>&a;</Code></Error>",
	 ERRMAP_INVALID,
	 -EINVAL,
	 "",
	 "",
	 ""},
	{"deep XML",
	 400,
	 {0},
	 "<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><Error><Code>SlowDown</Code>",
	 ERRMAP_INVALID,
	 -EINVAL,
	 "",
	 "",
	 ""},
	{"a code that is not the error's",
	 400,
	 {0},
	 "<Error><Inner><Code>SlowDown</Code></Inner></Error>",
	 ERRMAP_INVALID,
	 -EINVAL,
	 "",
	 "",
	 ""},
	{"a second error",
	 400,
	 {0},
	 "<R><Error><Code>One</Code></Error><Error><Code>SlowDown</Code></Error></R>",
	 ERRMAP_INVALID,
	 -EINVAL,
	 "One",
	 "",
	 ""},
	{"lines and control bytes",
	 400,
	 {0},
	 "\r\n a\nb\tc\x7f\x01"
	 "d\xff\xc3\xa4 \n",
	 ERRMAP_INVALID,
	 -EINVAL,
	 "",
	 "a b c  d?\xc3\xa4",
	 ""},
	{"the canonical request, with the session token", 403, TYPE("InvalidSignatureException"),
	 "{\"message\":\"It does not match.\\n\\nThe Canonical String for this request should have "
	 "been\\n'GET\\n/\\nx-amz-security-token:SECRET'\"}",
	 ERRMAP_EXPIRED, -EACCES, "InvalidSignatureException", "It does not match.", ""},
};

static void test_answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct errmap m = read_answer(rows[i].status, rows[i].headers, rows[i].body, false);

		if (m.class != rows[i].class)
			fail_msg("%s: %s", rows[i].why, errmap_class_name(m.class));
		if (errmap_errno(m.class) != rows[i].r)
			fail_msg("%s: %d", rows[i].why, errmap_errno(m.class));
		if (strcmp(m.code, rows[i].code) != 0 || strcmp(m.message, rows[i].message) != 0 ||
		    strcmp(m.region, rows[i].region) != 0)
			fail_msg("%s: [%s] [%s] [%s]", rows[i].why, m.code, m.message, m.region);
	}
}

static void test_lies(void **state)
{
	static const struct {
		const char *why;
		long status;
		const char *body;
		enum errmap_class class;
	} lies[] = {
		{"the truth", 200, "<CompleteMultipartUploadResult/>", ERRMAP_OK},
		{"the truth after white space", 200, "<?xml version=\"1.0\"?>\n \n<a/>", ERRMAP_OK},
		{"an error", 200, XML("InternalError", ""), ERRMAP_TRANSIENT},
		{"an error nobody knows", 200, XML("Odd", ""), ERRMAP_TRANSIENT},
		{"an error that stays", 200, XML("AccessDenied", ""), ERRMAP_DENIED},
		{"a throttle", 200, XML("SlowDown", ""), ERRMAP_THROTTLED},
		{"nothing", 200, "", ERRMAP_TRANSIENT},
		{"half of it", 200, "<CompleteMultipartUploadResult><Loc", ERRMAP_TRANSIENT},
		{"nothing, as it should be", 204, "", ERRMAP_OK},
		{"a key's name is no error", 200, "<R><C><Key><Error/></Key></C></R>", ERRMAP_OK},
	};
	static const char *const none[5];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(lies); i++) {
		struct errmap m = read_answer(lies[i].status, none, lies[i].body, true);

		if (m.class != lies[i].class)
			fail_msg("%s: %s", lies[i].why, errmap_class_name(m.class));
	}
}

static void test_failures(void **state)
{
	static const struct {
		enum http_failure failure;
		enum errmap_class class;
	} failures[] = {
		{HTTP_REFUSED, ERRMAP_UNSENT},
		{HTTP_UNREACHABLE, ERRMAP_UNSENT},
		{HTTP_DNS, ERRMAP_UNSENT},
		{HTTP_TLS, ERRMAP_UNSENT},
		{HTTP_CONNECT_TIMEOUT, ERRMAP_UNSENT},
		{HTTP_TIMEOUT, ERRMAP_TRANSPORT},
		{HTTP_RESET, ERRMAP_TRANSPORT},
		{HTTP_TOO_LARGE, ERRMAP_INVALID},
		{HTTP_BROKEN, ERRMAP_TRANSPORT},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(failures); i++) {
		const struct http_answer a = {
			.failure = failures[i].failure, .status = 200, .words = "W"};
		struct errmap m;

		errmap_read(&a, false, &m);
		if (m.class != failures[i].class || !strstr(m.message, "(W)"))
			fail_msg("%d: %s: %s", (int)a.failure, errmap_class_name(m.class),
				 m.message);
	}
}

/* Whatever a server sends, the words fit and are whole characters. */
static void test_endless_words(void **state)
{
	static const char *const starts[] = {"", "{\"message\":\"", "<Error><Message>"};
	static const char *const ends[] = {"", "\"}", "</Message></Error>"};
	static const char *const none[5];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(starts); i++) {
		for (size_t size = 1000; size < 300000; size *= 9) {
			CLEANUP(buf_release) struct buf body = BUF_INIT(1 << 20);
			struct errmap m;

			buf_add_str(&body, starts[i]);
			while (body.size < size)
				buf_add_str(&body, "\xe2\x82\xac");
			buf_add_str(&body, ends[i]);
			m = read_answer(400, none, body.data, false);
			assert_int_equal(m.class, ERRMAP_INVALID);
			assert_true(utf8_is_valid(m.message, strlen(m.message)));
			assert_true(size > 200000 ? m.message[0] == 0 : strlen(m.message) > 900);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_lies),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_endless_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
