/* One request to S3: what is sent, where the bucket is, and what failures say. */

#include <errno.h>

#include "tests/unit/s3kit.h"

#define ERROR(code) "<Error><Code>" code "</Code><Message>No.</Message></Error>"

static void test_put(void **state)
{
	static const struct s3kit_rule rules[] = {{"PUT", "/bucket/", 0, {.status = 200}}};
	CLEANUP(s3kit_close)
	struct s3kit k = {.options = {.checksums = true,
				      .bucket_owner = "111122223333",
				      .kms_key = "arn:aws:kms:us-east-1:111122223333:key/k"}};
	const struct awsserver_request *q;
	struct err e = ERR_INIT;

	(void)state;
	s3kit_open(&k, rules, COUNT_OF(rules));
	assert_int_equal(
		s3_put_bytes(k.s3, "in/a b+\xc3\xbc%/~x", "123456789", 9, "text/plain", &e), 0);
	assert_int_equal(awsserver_count(k.server), 2);
	s3kit_all_signed(&k);
	q = s3kit_find(&k, "HEAD", "/bucket", 0);
	assert_string_equal(awsserver_header(q, "x-amz-expected-bucket-owner"), "111122223333");
	q = s3kit_find(&k, "PUT", "", 0);
	assert_string_equal(q->target, "/bucket/in/a%20b%2B%C3%BC%25/~x");
	assert_string_equal(q->body, "123456789");
	assert_string_equal(awsserver_header(q, "x-amz-checksum-crc32"), "y/Q5Jg==");
	assert_string_equal(awsserver_header(q, "content-type"), "text/plain");
	assert_string_equal(awsserver_header(q, "x-amz-expected-bucket-owner"), "111122223333");
	assert_string_equal(awsserver_header(q, "x-amz-server-side-encryption"), "aws:kms");
	assert_string_equal(awsserver_header(q, "x-amz-server-side-encryption-aws-kms-key-id"),
			    "arn:aws:kms:us-east-1:111122223333:key/k");
}

static void test_put_without_anything(void **state)
{
	static const struct s3kit_rule rules[] = {{"PUT", "/bucket/", 0, {.status = 200}}};
	static const char *const absent[] = {"x-amz-checksum-crc32", "x-amz-expected-bucket-owner",
					     "x-amz-server-side-encryption",
					     "x-amz-sdk-checksum-algorithm"};
	CLEANUP(s3kit_close) struct s3kit k = {.rules = NULL};
	const struct awsserver_request *q;
	struct err e = ERR_INIT;

	(void)state;
	s3kit_open(&k, rules, COUNT_OF(rules));
	assert_int_equal(s3_put_bytes(k.s3, "k", NULL, 0, NULL, &e), 0);
	s3kit_all_signed(&k);
	q = s3kit_find(&k, "PUT", "/bucket/k", 0);
	assert_int_equal(q->body_size, 0);
	assert_string_equal(awsserver_header(q, "content-length"), "0");
	assert_string_equal(awsserver_header(q, "content-type"), "application/octet-stream");
	for (size_t i = 0; i < COUNT_OF(absent); i++)
		if (awsserver_header(q, absent[i]))
			fail_msg("%s is sent", absent[i]);
}

static void test_keys_that_are_none(void **state)
{
	CLEANUP(s3kit_close) struct s3kit k = {.rules = NULL};
	char key[S3_KEY_MAX + 2];
	struct err e = ERR_INIT;

	(void)state;
	memset(key, 'k', sizeof(key) - 1);
	key[sizeof(key) - 1] = 0;
	s3kit_open(&k, NULL, 0);
	assert_int_equal(s3_put_bytes(k.s3, "", "x", 1, NULL, &e), -EINVAL);
	assert_int_equal(s3_delete(k.s3, key, &e), -EINVAL);
	assert_true(e.text[0]);
	assert_int_equal(awsserver_count(k.server), 0);
}

/* The region in what was signed. */
static bool is_signed_for(const struct awsserver_request *q, const char *region)
{
	char scope[128];

	snprintf(scope, sizeof(scope), "/%s/s3/aws4_request", region);
	return strstr(awsserver_header(q, "authorization"), scope);
}

static void test_the_region_is_asked_for_once(void **state)
{
	static const struct {
		const char *why, *region;
		struct awsserver_reply reply;
	} rows[] = {
		{"told", "eu-west-1", {.headers = "x-amz-bucket-region: eu-west-1\r\n"}},
		{"told with a redirect",
		 "eu-west-1",
		 {.status = 301, .headers = "x-amz-bucket-region: eu-west-1\r\n"}},
		{"told with a refusal",
		 "eu-west-1",
		 {.status = 403, .headers = "x-amz-bucket-region: eu-west-1\r\n"}},
		{"not told: a server that has only one", "us-east-1", {.status = 200}},
		{"refused and not told", "us-east-1", {.status = 403}},
		{"told nonsense",
		 "us-east-1",
		 {.status = 200, .headers = "x-amz-bucket-region: evil.example/\r\n"}},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct s3kit_rule rules[] = {
			{"HEAD", "/bucket", 0, rows[i].reply},
			{"PUT", "/bucket/k", 0, {.status = 200}},
		};
		CLEANUP(s3kit_close) struct s3kit k = {.rules = NULL};
		const char *region = "";
		struct err e = ERR_INIT;

		s3kit_open(&k, rules, COUNT_OF(rules));
		if (s3_put_bytes(k.s3, "k", "x", 1, NULL, &e) != 0 ||
		    s3_put_bytes(k.s3, "k", "y", 1, NULL, &e) != 0 ||
		    s3_region(k.s3, &region, &e) != 0)
			fail_msg("%s: %s", rows[i].why, e.text);
		assert_string_equal(region, rows[i].region);
		assert_int_equal(s3kit_count(&k, "HEAD", "/bucket"), 1);
		if (!is_signed_for(s3kit_find(&k, "PUT", "/k", 0), rows[i].region))
			fail_msg("%s: not signed for %s", rows[i].why, rows[i].region);
	}
}

static void test_there_is_no_such_bucket(void **state)
{
	static const char *const headers[] = {
		NULL, "x-amz-bucket-region: us-east-1\r\n", /* where there would be one */
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(headers); i++) {
		const struct s3kit_rule rules[] = {
			{"HEAD", "/bucket", 0, {.status = 404, .headers = headers[i]}}};
		CLEANUP(s3kit_close) struct s3kit k = {.rules = NULL};
		const char *region;
		struct err e = ERR_INIT;

		s3kit_open(&k, rules, COUNT_OF(rules));
		assert_int_equal(s3_region(k.s3, &region, &e), -ENOENT);
		assert_non_null(strstr(e.text, "no bucket bucket"));
		assert_int_equal(s3_put_bytes(k.s3, "k", "x", 1, NULL, &e), -ENOENT);
	}
}

static void test_redirects(void **state)
{
	static const struct {
		const char *why;
		struct awsserver_reply reply;
	} rows[] = {
		{"by a header", {.status = 301, .headers = "x-amz-bucket-region: eu-west-1\r\n"}},
		{"of a young bucket",
		 {.status = 307, .headers = "x-amz-bucket-region: eu-west-1\r\n"}},
		{"by a body",
		 {.status = 400,
		  .body = "<Error><Code>AuthorizationHeaderMalformed</Code><Message>m</Message>"
			  "<Region>eu-west-1</Region></Error>"}},
		{"by a code and a header",
		 {.status = 400,
		  .headers = "x-amz-bucket-region: eu-west-1\r\n",
		  .body = ERROR("IllegalLocationConstraintException")}},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct s3kit_rule rules[] = {
			{"PUT", "/bucket/k", 1, rows[i].reply},
			{"PUT", "/bucket/k", 0, {.status = 200}},
		};
		CLEANUP(s3kit_close) struct s3kit k = {.rules = NULL};
		struct err e = ERR_INIT;

		s3kit_open(&k, rules, COUNT_OF(rules));
		if (s3_put_bytes(k.s3, "k", "x", 1, NULL, &e) != 0 ||
		    s3_put_bytes(k.s3, "k", "x", 1, NULL, &e) != 0)
			fail_msg("%s: %s", rows[i].why, e.text);
		s3kit_all_signed(&k);
		assert_int_equal(s3kit_count(&k, "PUT", ""), 3);
		assert_true(is_signed_for(s3kit_find(&k, "PUT", "/k", 0), "us-east-1"));
		assert_true(is_signed_for(s3kit_find(&k, "PUT", "/k", 1), "eu-west-1"));
		assert_true(is_signed_for(s3kit_find(&k, "PUT", "/k", 2), "eu-west-1"));
	}
}

static void test_a_redirect_of_head_has_no_words(void **state)
{
	static const struct s3kit_rule rules[] = {
		{"HEAD",
		 "/bucket/k",
		 1,
		 {.status = 400, .headers = "x-amz-bucket-region: eu-west-1\r\n"}},
		{"HEAD", "/bucket/k", 0, {.body = "12345", .headers = "ETag: \"e\"\r\n"}},
	};
	CLEANUP(s3kit_close) struct s3kit k = {.rules = NULL};
	struct s3_object o;
	struct err e = ERR_INIT;

	(void)state;
	s3kit_open(&k, rules, COUNT_OF(rules));
	if (s3_head(k.s3, "k", &o, &e) != 0)
		fail_msg("%s", e.text);
	assert_int_equal(o.size, 5);
	assert_string_equal(o.etag, "\"e\"");
	assert_string_equal(o.key, "k");
}

static void test_redirects_in_a_circle_end(void **state)
{
	static const struct s3kit_rule rules[] = {
		{"PUT", "/k", 1, {.status = 301, .headers = "x-amz-bucket-region: eu-west-1\r\n"}},
		{"PUT", "/k", 1, {.status = 301, .headers = "x-amz-bucket-region: us-west-2\r\n"}},
		{"PUT", "/k", 0, {.status = 307}},
	};
	CLEANUP(s3kit_close) struct s3kit k = {.rules = NULL};
	struct err e = ERR_INIT;

	(void)state;
	s3kit_open(&k, rules, COUNT_OF(rules));
	assert_int_equal(s3_put_bytes(k.s3, "k", "x", 1, NULL, &e), -EINVAL);
	assert_int_equal(s3kit_count(&k, "PUT", "/k"), 2);
	assert_non_null(strstr(e.text, "elsewhere"));
	assert_int_equal(s3_put_bytes(k.s3, "k", "x", 1, NULL, &e), -EAGAIN); /* a young bucket */
}

static int ask(struct s3 *s, const char *what, struct err *e)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(100);
	struct s3_object o;

	if (strcmp(what, "put") == 0)
		return s3_put_bytes(s, "in/k", "x", 1, NULL, e);
	if (strcmp(what, "head") == 0)
		return s3_head(s, "in/k", &o, e);
	if (strcmp(what, "get") == 0)
		return s3_get_bytes(s, "in/k", &out, e);
	if (strcmp(what, "list") == 0)
		return s3_list(s, "in/", NULL, NULL, e);
	return strcmp(what, "abort") == 0 ? s3_abort(s, "in/k", e) : s3_delete(s, "in/k", e);
}

static const struct {
	const char *why, *what;
	struct awsserver_reply reply;
	int result;
	const char *says, *says_too;
} refusals[] = {
	{"no right to put",
	 "put",
	 {.status = 403, .body = ERROR("AccessDenied")},
	 -EACCES,
	 "s3:PutObject is needed on arn:aws:s3:::bucket/in/k",
	 "kms:GenerateDataKey"},
	{"no right to get",
	 "get",
	 {.status = 403, .body = ERROR("AccessDenied")},
	 -EACCES,
	 "s3:GetObject is needed on arn:aws:s3:::bucket/in/k",
	 "without s3:ListBucket on arn:aws:s3:::bucket a key that is not there"},
	{"no right to look, which has no body",
	 "head",
	 {.status = 403},
	 -EACCES,
	 "s3:GetObject is needed on arn:aws:s3:::bucket/in/k",
	 "account 111122223333"},
	{"no right to list",
	 "list",
	 {.status = 403, .body = ERROR("AccessDenied")},
	 -EACCES,
	 "s3:ListBucket is needed on arn:aws:s3:::bucket,",
	 "may not list"},
	{"no right to delete",
	 "delete",
	 {.status = 403, .body = ERROR("AccessDenied")},
	 -EACCES,
	 "s3:DeleteObject is needed on arn:aws:s3:::bucket/in/k",
	 "No."},
	{"no right to list uploads",
	 "abort",
	 {.status = 403, .body = ERROR("AccessDenied")},
	 -EACCES,
	 "s3:ListBucketMultipartUploads is needed on arn:aws:s3:::bucket",
	 ""},
	{"the key of S3's own encryption",
	 "get",
	 {.status = 403,
	  .body = "<Error><Code>AccessDenied</Code><Message>not authorized to perform: "
		  "kms:Decrypt</Message></Error>"},
	 -EACCES,
	 "kms:Decrypt on the bucket's key",
	 ""},
	{"keys that nobody knows any more",
	 "get",
	 {.status = 403, .body = ERROR("SignatureDoesNotMatch")},
	 -EAGAIN,
	 "cannot read s3://bucket/in/k",
	 "SignatureDoesNotMatch"},
	{"no object", "head", {.status = 404}, -ENOENT, "there is no s3://bucket/in/k", ""},
	{"no object",
	 "get",
	 {.status = 404, .body = ERROR("NoSuchKey")},
	 -ENOENT,
	 "there is no s3://bucket/in/k",
	 ""},
	{"no bucket",
	 "delete",
	 {.status = 404, .body = ERROR("NoSuchBucket")},
	 -ENOENT,
	 "there is no bucket bucket",
	 "account"},
	{"deleted before", "delete", {.status = 404, .body = ERROR("NoSuchKey")}, 0, "", ""},
	{"deleted", "delete", {.status = 204}, 0, "", ""},
	{"archived",
	 "get",
	 {.status = 403, .body = ERROR("InvalidObjectState")},
	 -EINVAL,
	 "cannot read s3://bucket/in/k",
	 "InvalidObjectState"},
	{"not XML", "list", {.status = 200, .body = "<html>"}, -EPROTO, "not XML", ""},
	{"too large for who asked",
	 "get",
	 {.body = "1234567890123456789012345678901234567890123456789012345678901234567890"
		  "1234567890123456789012345678901"},
	 -EFBIG,
	 "larger",
	 ""},
};

static void test_words(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(refusals); i++) {
		const struct s3kit_rule rules[] = {
			{"HEAD", "/bucket", 1, {.status = 200}}, /* where the bucket is */
			{"PUT", "", 0, refusals[i].reply},
			{"HEAD", "", 0, refusals[i].reply},
			{"GET", "", 0, refusals[i].reply},
			{"DELETE", "", 0, refusals[i].reply},
		};
		CLEANUP(s3kit_close)
		struct s3kit k = {.options = {.bucket_owner = "111122223333", .kms_key = "my-key"}};
		struct err e = ERR_INIT;
		int r;

		s3kit_open(&k, rules, COUNT_OF(rules));
		r = ask(k.s3, refusals[i].what, &e);
		if (r != refusals[i].result || !strstr(e.text, refusals[i].says) ||
		    !strstr(e.text, refusals[i].says_too))
			fail_msg("%s: %d (%s)", refusals[i].why, r, e.text);
		assert_null(strstr(e.text, S3KIT_SECRET));
	}
}

struct listed {
	char keys[512];
	size_t count, end_after;
	int result;
};

static int keep(void *ctx, const struct s3_object *o)
{
	struct listed *l = ctx;
	size_t n = strlen(l->keys);

	snprintf(l->keys + n, sizeof(l->keys) - n, "%s|", o->key);
	return ++l->count == l->end_after ? l->result : 0;
}

#define PAGE_1                                                                                     \
	"<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"        \
	"<NextContinuationToken>t/1+=</NextContinuationToken>"                                     \
	"<Contents><Key>out/a+b</Key></Contents><Contents><Key>out/b</Key></Contents>"             \
	"</ListBucketResult>"
#define PAGE_2                                                                                     \
	"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>out/z</Key></Contents>"  \
	"</ListBucketResult>"

static void test_list(void **state)
{
	static const struct s3kit_rule rules[] = {
		{"GET", "continuation-token=t%2F1%2B%3D&", 0, {.body = PAGE_2}},
		{"GET", "list-type=2", 0, {.body = PAGE_1}},
	};
	CLEANUP(s3kit_close) struct s3kit k = {.rules = NULL};
	struct listed all = {.count = 0}, some = {.end_after = 1, .result = 1},
		      bad = {.end_after = 3, .result = -EXDEV};
	const struct awsserver_request *q;
	struct err e = ERR_INIT;

	(void)state;
	s3kit_open(&k, rules, COUNT_OF(rules));
	if (s3_list(k.s3, "out/", keep, &all, &e) != 0)
		fail_msg("%s", e.text);
	assert_string_equal(all.keys, "out/a b|out/b|out/z|");
	s3kit_all_signed(&k);
	q = s3kit_find(&k, "GET", "", 0);
	assert_string_equal(q->target, "/bucket/?encoding-type=url&list-type=2&prefix=out%2F");
	assert_int_equal(s3_list(k.s3, "out/", keep, &some, &e), 0);
	assert_string_equal(some.keys, "out/a b|");
	assert_int_equal(s3_list(k.s3, "out/", keep, &bad, &e), -EXDEV);
}

static void test_lists_that_make_no_sense(void **state)
{
	static const struct {
		const char *why;
		struct awsserver_reply reply;
	} rows[] = {
		{"the same page for ever", {.body = PAGE_1}},
		{"other keys than asked for",
		 {.body = "<ListBucketResult><Contents><Key>secret</Key></Contents>"
			  "</ListBucketResult>"}},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct s3kit_rule rules[] = {{"GET", "", 0, rows[i].reply}};
		CLEANUP(s3kit_close) struct s3kit k = {.rules = NULL};
		struct listed l = {.count = 0};
		struct err e = ERR_INIT;

		s3kit_open(&k, rules, COUNT_OF(rules));
		if (s3_list(k.s3, "out/", keep, &l, &e) != -EPROTO)
			fail_msg("%s: taken", rows[i].why);
		assert_true(awsserver_count(k.server) <= 4);
	}
}

static void test_get_bytes(void **state)
{
	static const struct s3kit_rule rules[] = {
		{"GET", "/bucket/k", 0, {.body = "a\0b", .body_size = 3}},
		{"GET", "/bucket/empty", 0, {.status = 200}},
	};
	CLEANUP(s3kit_close) struct s3kit k = {.rules = NULL};
	CLEANUP(buf_release) struct buf out = BUF_INIT(3);
	struct err e = ERR_INIT;

	(void)state;
	s3kit_open(&k, rules, COUNT_OF(rules));
	if (s3_get_bytes(k.s3, "k", &out, &e) != 0 || s3_get_bytes(k.s3, "empty", &out, &e) != 0)
		fail_msg("%s", e.text);
	assert_int_equal(out.size, 3);
	assert_memory_equal(out.data, "a\0b", 3);
}

static void test_uris(void **state)
{
	static const struct {
		const char *uri, *bucket, *key; /* bucket NULL: refused */
	} rows[] = {
		{"s3://b/k", "b", "k"},	    {"s3://b/a/b c%20", "b", "a/b c%20"},
		{"s3://b/", "b", ""},	    {"s3://b", "b", ""},
		{"s3://b//k", "b", "/k"},   {"s3:///k", NULL, NULL},
		{"http://b/k", NULL, NULL}, {"", NULL, NULL},
		{"s3://", NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(str_freep) char *bucket = NULL;
		CLEANUP(str_freep) char *key = NULL;
		struct err e = ERR_INIT;
		int r = s3_parse_uri(rows[i].uri, &bucket, &key, &e);

		if (!rows[i].bucket) {
			assert_int_equal(r, -EINVAL);
			assert_true(e.text[0]);
			continue;
		}
		assert_int_equal(r, 0);
		assert_string_equal(bucket, rows[i].bucket);
		assert_string_equal(key, rows[i].key);
	}
}

static void test_cancelled(void **state)
{
	CLEANUP(s3kit_close) struct s3kit k = {.rules = NULL};
	struct err e = ERR_INIT;

	(void)state;
	s3kit_open(&k, NULL, 0);
	aws_cancel(k.aws);
	assert_int_equal(s3_put_bytes(k.s3, "k", "x", 1, NULL, &e), -ECANCELED);
	assert_int_equal(awsserver_count(k.server), 0);
}

static int setup(void **state)
{
	(void)state;
	return http_global_init(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_put),
		cmocka_unit_test(test_put_without_anything),
		cmocka_unit_test(test_keys_that_are_none),
		cmocka_unit_test(test_the_region_is_asked_for_once),
		cmocka_unit_test(test_there_is_no_such_bucket),
		cmocka_unit_test(test_redirects),
		cmocka_unit_test(test_a_redirect_of_head_has_no_words),
		cmocka_unit_test(test_redirects_in_a_circle_end),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_lists_that_make_no_sense),
		cmocka_unit_test(test_get_bytes),
		cmocka_unit_test(test_uris),
		cmocka_unit_test(test_cancelled),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
