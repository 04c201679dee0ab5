/* Uploads: in one piece, in parts, and gone on with after a crash. */

#include <errno.h>
#include <fcntl.h>

#include "tests/unit/s3kit.h"

#define ERROR(code) "<Error><Code>" code "</Code><Message>No.</Message></Error>"
#define BEGUN                                                                                      \
	"<InitiateMultipartUploadResult><UploadId>u+1</UploadId></InitiateMultipartUploadResult>"
#define COMPLETED "<CompleteMultipartUploadResult><ETag></ETag></CompleteMultipartUploadResult>"
#define SIZE	  (2 * S3KIT_PART + 1) /* three parts */

/* Their sums were made with md5sum and zlib. */
#define MD5_A	 "21a199c53f422a380e20b162fb6ebe9c" /* of a page of 'a' */
#define MD5_C	 "4a8a08f09d37b73795649038408b5f33" /* of "c" */
#define CRC_A	 "nJnccw=="
#define CRC_B	 "Qab2aw=="
#define CRC_ALL	 "47wxLg=="
#define ETAG_ALL "\"13a0fe6c5a8dffe5464c013a3225e788-3\""

static const struct s3kit_rule good[] = {
	{"POST", "?uploads", 0, {.body = BEGUN}},
	{"PUT", "partNumber=", 0, {.headers = "ETag: \"e&<>\"\r\n"}},
	{"POST", "?uploadId=u%2B1", 0, {.body = COMPLETED}},
	{"HEAD", "/bucket/k", 0, {.status = 403}},
	{"DELETE", "?uploadId=u%2B1", 0, {.status = 204}},
};

/* A page of 'a', a page of 'b', and "c". */
static int input(void **state)
{
	struct tempdir_name path = tempdir_path(state, "input");
	int fd = open(path.text, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	char bytes[SIZE];

	assert_true(fd >= 0);
	memset(bytes, 'a', S3KIT_PART);
	memset(bytes + S3KIT_PART, 'b', S3KIT_PART);
	bytes[2 * S3KIT_PART] = 'c';
	assert_int_equal(write(fd, bytes, SIZE), SIZE);
	return fd;
}

static void test_small_files_go_in_one_piece(void **state)
{
	static const struct s3kit_rule rules[] = {{"PUT", "/bucket/k", 0, {.status = 200}}};
	static const uint64_t sizes[] = {0, 1, S3KIT_PART};
	CLEANUP(fd_closep) int fd = input(state);

	for (size_t i = 0; i < COUNT_OF(sizes); i++) {
		CLEANUP(s3kit_close) struct s3kit k = {.options = {.checksums = true}};
		struct err e = ERR_INIT;

		s3kit_open(&k, rules, COUNT_OF(rules));
		if (s3_put_file(k.s3, "k", fd, sizes[i], "text/plain", false, &e) != 0)
			fail_msg("%s", e.text);
		assert_int_equal(awsserver_count(k.server), 2);
		assert_int_equal(s3kit_find(&k, "PUT", "", 0)->body_size, sizes[i]);
		s3kit_all_signed(&k);
	}
}

static void test_parts(void **state)
{
	static const char completion[] =
		"<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
		"<Part><ChecksumCRC32>" CRC_A "</ChecksumCRC32><ETag>\"e&amp;&lt;&gt;\"</ETag>"
		"<PartNumber>1</PartNumber></Part><Part>";
	CLEANUP(s3kit_close) struct s3kit k = {.options = {.checksums = true, .kms_key = "my-key"}};
	CLEANUP(fd_closep) int fd = input(state);
	const struct awsserver_request *q;
	struct err e = ERR_INIT;

	s3kit_open(&k, good, COUNT_OF(good));
	if (s3_put_file(k.s3, "k", fd, SIZE, "text/plain", false, &e) != 0)
		fail_msg("%s", e.text);
	s3kit_all_signed(&k);
	assert_int_equal(s3kit_count(&k, "PUT", "partNumber="), 3);
	assert_int_equal(s3kit_count(&k, "GET", ""), 0);
	assert_int_equal(s3kit_count(&k, "DELETE", ""), 0);
	q = s3kit_find(&k, "POST", "?uploads", 0);
	assert_string_equal(awsserver_header(q, "content-type"), "text/plain");
	assert_string_equal(awsserver_header(q, "x-amz-checksum-algorithm"), "CRC32");
	assert_string_equal(awsserver_header(q, "x-amz-checksum-type"), "FULL_OBJECT");
	assert_string_equal(awsserver_header(q, "x-amz-server-side-encryption"), "aws:kms");
	q = s3kit_find(&k, "PUT", "partNumber=2&uploadId=u%2B1", 0);
	assert_int_equal(q->body_size, S3KIT_PART);
	assert_int_equal(q->body[0], 'b');
	assert_string_equal(awsserver_header(q, "x-amz-checksum-crc32"), CRC_B);
	assert_null(awsserver_header(q, "x-amz-server-side-encryption"));
	q = s3kit_find(&k, "PUT", "partNumber=3&", 0);
	assert_string_equal(q->body, "c");
	q = s3kit_find(&k, "POST", "?uploadId=", 0);
	assert_memory_equal(q->body, completion, strlen(completion));
	assert_string_equal(awsserver_header(q, "x-amz-checksum-crc32"), CRC_ALL);
	assert_string_equal(awsserver_header(q, "x-amz-checksum-type"), "FULL_OBJECT");
}

static void test_without_checksums(void **state)
{
	CLEANUP(s3kit_close) struct s3kit k = {.rules = NULL};
	CLEANUP(fd_closep) int fd = input(state);
	struct err e = ERR_INIT;

	s3kit_open(&k, good, COUNT_OF(good));
	if (s3_put_file(k.s3, "k", fd, SIZE, NULL, false, &e) != 0)
		fail_msg("%s", e.text);
	for (unsigned i = 0; i < awsserver_count(k.server); i++) {
		const struct awsserver_request *q = awsserver_request(k.server, i);

		for (size_t h = 0; h < q->header_count; h++)
			assert_null(strstr(q->headers[h].name, "checksum"));
		assert_null(strstr(q->body, "Checksum"));
	}
}

static const struct {
	const char *why;
	struct s3kit_rule first; /* goes before the good ones */
	int result;
	unsigned completions, aborts;
	const char *says;
} failures[] = {
	{"Complete says 200 and means 500",
	 {"POST", "?uploadId=", 1, {.body = ERROR("InternalError")}},
	 0,
	 2,
	 0,
	 ""},
	{"Complete says 200 after white space",
	 {"POST", "?uploadId=", 1, {.body = "\n \n" COMPLETED}},
	 0,
	 1,
	 0,
	 ""},
	{"Complete never works: the parts stay for the next time",
	 {"POST", "?uploadId=", 0, {.body = ERROR("InternalError")}},
	 -EAGAIN,
	 3,
	 0,
	 "InternalError"},
	{"Complete says half of it",
	 {"POST", "?uploadId=", 1, {.body = COMPLETED, .how = AWSSERVER_CUT}},
	 0,
	 2,
	 0,
	 ""},
	{"Complete is refused: nobody shall pay for the parts",
	 {"POST", "?uploadId=", 0, {.status = 400, .body = ERROR("InvalidPart")}},
	 -EINVAL,
	 1,
	 1,
	 "InvalidPart"},
	{"a part is throttled",
	 {"PUT", "partNumber=2", 1, {.status = 503, .body = ERROR("SlowDown")}},
	 0,
	 1,
	 0,
	 ""},
	{"a part comes damaged",
	 {"PUT", "partNumber=2", 1, {.status = 400, .body = ERROR("BadDigest")}},
	 0,
	 1,
	 0,
	 ""},
	{"a connection is lost", {"PUT", "partNumber=3", 1, {.how = AWSSERVER_RESET}}, 0, 1, 0, ""},
	{"a part is refused",
	 {"PUT", "partNumber=2", 0, {.status = 403, .body = ERROR("AccessDenied")}},
	 -EACCES,
	 0,
	 1,
	 "s3:PutObject is needed on arn:aws:s3:::bucket/k"},
	{"a part has no ETag", {"PUT", "partNumber=2", 0, {.status = 200}}, -EPROTO, 0, 1, "ETag"},
	{"nothing works for a while",
	 {"PUT", "partNumber=", 0, {.status = 503, .body = ERROR("SlowDown")}},
	 -EAGAIN,
	 0,
	 0,
	 "SlowDown"},
	{"an upload without a name",
	 {"POST", "?uploads", 0, {.body = "<a/>"}},
	 -EPROTO,
	 0,
	 0,
	 "name it"},
	{"it may not begin",
	 {"POST", "?uploads", 0, {.status = 403, .body = ERROR("AccessDenied")}},
	 -EACCES,
	 0,
	 0,
	 "s3:PutObject"},
	{"the object is not what was sent",
	 {"HEAD", "/bucket/k", 0, {.body = "short"}},
	 -EAGAIN,
	 1,
	 0,
	 "with 5 bytes, not 8193"},
	{"the object is not there",
	 {"HEAD", "/bucket/k", 0, {.status = 404}},
	 -EAGAIN,
	 1,
	 0,
	 "whole"},
};

/* What happens to an upload, and what becomes of it. */
static void test_failures(void **state)
{
	for (size_t i = 0; i < COUNT_OF(failures); i++) {
		struct s3kit_rule rules[COUNT_OF(good) + 1] = {failures[i].first};
		CLEANUP(s3kit_close) struct s3kit k = {.options = {.checksums = true}};
		CLEANUP(fd_closep) int fd = input(state);
		struct err e = ERR_INIT;
		int r;

		memcpy(rules + 1, good, sizeof(good));
		s3kit_open(&k, rules, COUNT_OF(rules));
		r = s3_put_file(k.s3, "k", fd, SIZE, NULL, false, &e);
		if (r != failures[i].result || (r < 0 && !strstr(e.text, failures[i].says)))
			fail_msg("%s: %d (%s)", failures[i].why, r, e.text);
		if (s3kit_count(&k, "POST", "?uploadId=") != failures[i].completions)
			fail_msg("%s: %u completions", failures[i].why,
				 s3kit_count(&k, "POST", "?uploadId="));
		if (s3kit_count(&k, "DELETE", "?uploadId=u%2B1") != failures[i].aborts)
			fail_msg("%s: %u aborts", failures[i].why, s3kit_count(&k, "DELETE", ""));
	}
}

#define UPLOADS(inner) "<ListMultipartUploadsResult>" inner "</ListMultipartUploadsResult>"
#define UPLOAD(key, id, at)                                                                        \
	"<Upload><Key>" key "</Key><UploadId>" id "</UploadId><Initiated>" at                      \
	"</Initiated></Upload>"
#define PART(number, size, etag, more)                                                             \
	"<Part><PartNumber>" number "</PartNumber><ETag>" etag "</ETag><Size>" size "</Size>" more \
	"</Part>"
#define PARTS(inner) "<ListPartsResult>" inner "</ListPartsResult>"
#define CRC_OF_ALL                                                                                 \
	"<ChecksumAlgorithm>CRC32</ChecksumAlgorithm>"                                             \
	"<ChecksumType>FULL_OBJECT</ChecksumType>"
#define CRC(text)  "<ChecksumCRC32>" text "</ChecksumCRC32>"
#define ONE_UPLOAD UPLOADS(UPLOAD("k", "u+1", "2026-01-02T03:04:05Z"))

static const struct s3kit_rule not_there[] = {
	{"HEAD", "/bucket/k", 1, {.status = 404}},
};

/* What is listed of an upload that a crash cut short, and what is sent then. */
static void test_going_on(void **state)
{
	static const struct {
		const char *why, *uploads, *parts, *sent; /* sent: numbers of parts */
		unsigned begun;
		bool sums;
	} rows[] = {
		{"nothing was begun", UPLOADS(""), NULL, "123", 1, true},
		{"nothing to that key", UPLOADS(UPLOAD("k2", "u2", "2026-01-02T03:04:05Z")), NULL,
		 "123", 1, true},
		{"begun, and no more", ONE_UPLOAD, PARTS(CRC_OF_ALL), "123", 0, true},
		{"one is there, by its MD5", ONE_UPLOAD,
		 PARTS(PART("1", "4096", "&quot;" MD5_A "&quot;", "")), "23", 0, false},
		{"one is there, by its CRC32", ONE_UPLOAD,
		 PARTS(CRC_OF_ALL PART("1", "4096", "&quot;kms&quot;", CRC(CRC_A))), "23", 0, true},
		{"the last is there", ONE_UPLOAD, PARTS(PART("3", "1", MD5_C, "")), "12", 0, false},
		{"all but one are there", ONE_UPLOAD,
		 PARTS(PART("1", "4096", MD5_A, "") PART("3", "1", MD5_C, "")), "2", 0, false},
		{"of another content", ONE_UPLOAD, PARTS(PART("2", "4096", MD5_A, "")), "123", 0,
		 false},
		{"of another checksum", ONE_UPLOAD,
		 PARTS(CRC_OF_ALL PART("1", "4096", "e", CRC(CRC_B))), "123", 0, true},
		{"of another size", ONE_UPLOAD, PARTS(PART("1", "4095", MD5_A, "")), "123", 0,
		 false},
		{"more parts than there are now", ONE_UPLOAD, PARTS(PART("4", "1", MD5_C, "")),
		 "123", 0, false},
		{"nothing can be told", ONE_UPLOAD, PARTS(PART("1", "4096", "e", "")), "123", 0,
		 false},
		{"the newest upload counts",
		 UPLOADS(UPLOAD("k", "u2", "2026-01-01T03:04:05Z")
				 UPLOAD("k", "u+1", "2026-01-02T03:04:05Z")
					 UPLOAD("k", "u3", "2025-01-02T03:04:05Z")),
		 PARTS(PART("1", "4096", MD5_A, "")), "23", 0, false},
		{"a list that makes no sense", "<html>", NULL, "123", 1, true},
		{"parts that make no sense", ONE_UPLOAD, "<html>", "123", 1, true},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct s3kit_rule first[] = {
			not_there[0],
			{"GET", "uploads", 0, {.body = rows[i].uploads}},
			{"GET", "uploadId=u%2B1", 0, {.body = rows[i].parts}},
		};
		struct s3kit_rule rules[COUNT_OF(first) + COUNT_OF(good)];
		CLEANUP(s3kit_close) struct s3kit k = {.options = {.checksums = true}};
		CLEANUP(fd_closep) int fd = input(state);
		const struct awsserver_request *q;
		struct err e = ERR_INIT;

		memcpy(rules, first, sizeof(first));
		memcpy(rules + COUNT_OF(first), good, sizeof(good));
		s3kit_open(&k, rules, COUNT_OF(rules));
		if (s3_put_file(k.s3, "k", fd, SIZE, NULL, true, &e) != 0)
			fail_msg("%s: %s", rows[i].why, e.text);
		for (char n = '1'; n <= '3'; n++) {
			const char like[] = {'p', 'a', 'r', 't', 'N', 'u', 'm',
					     'b', 'e', 'r', '=', n,   '&', 0};

			if (s3kit_count(&k, "PUT", like) != (strchr(rows[i].sent, n) != NULL))
				fail_msg("%s: %s", rows[i].why, like);
		}
		if (s3kit_count(&k, "POST", "?uploads") != rows[i].begun)
			fail_msg("%s: begun %u", rows[i].why, s3kit_count(&k, "POST", "?uploads"));
		q = s3kit_find(&k, "POST", "?uploadId=", 0);
		if (!awsserver_header(q, "x-amz-checksum-crc32") != !rows[i].sums)
			fail_msg("%s: checksums", rows[i].why);
		if (rows[i].sums)
			assert_string_equal(awsserver_header(q, "x-amz-checksum-crc32"), CRC_ALL);
	}
}

static void test_lists_have_pages(void **state)
{
	const struct s3kit_rule rules[] = {
		{"HEAD", "/bucket/k", 1, {.status = 404}},
		{"GET", "key-marker=k%2F&upload-id-marker=u0&prefix=k", 0, {.body = ONE_UPLOAD}},
		{"GET",
		 "uploads",
		 0,
		 {.body = UPLOADS("<IsTruncated>true</IsTruncated><NextKeyMarker>k/</NextKeyMarker>"
				  "<NextUploadIdMarker>u0</NextUploadIdMarker>")}},
		{"GET", "part-number-marker=1&", 0, {.body = PARTS(PART("3", "1", MD5_C, ""))}},
		{"GET",
		 "uploadId=",
		 0,
		 {.body = PARTS("<IsTruncated>true</IsTruncated>"
				"<NextPartNumberMarker>1</NextPartNumberMarker>" PART("1", "4096",
										      MD5_A, ""))}},
		good[1],
		good[2],
		good[3],
	};
	CLEANUP(s3kit_close) struct s3kit k = {.rules = NULL};
	CLEANUP(fd_closep) int fd = input(state);
	struct err e = ERR_INIT;

	s3kit_open(&k, rules, COUNT_OF(rules));
	if (s3_put_file(k.s3, "k", fd, SIZE, NULL, true, &e) != 0)
		fail_msg("%s", e.text);
	assert_int_equal(s3kit_count(&k, "PUT", ""), 1);
	assert_int_equal(s3kit_count(&k, "PUT", "partNumber=2"), 1);
}

static void test_what_is_there_is_left(void **state)
{
	static const struct {
		const char *why, *etag, *crc32;
		size_t size;
		bool left;
	} rows[] = {
		{"by its checksum", "\"kms\"", CRC_ALL, SIZE, true},
		{"by its ETag", ETAG_ALL, NULL, SIZE, true},
		{"of another checksum", ETAG_ALL, CRC_A, SIZE, false},
		{"of another size", ETAG_ALL, CRC_ALL, SIZE - 1, false},
		{"it cannot be told", "\"e\"", NULL, SIZE, false},
	};
	static const char zeros[SIZE];

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct s3kit_rule rules[] = {
			{"GET", "uploads", 0, {.body = UPLOADS("")}},
			good[0],
			good[1],
			good[2],
		};
		CLEANUP(s3kit_close)
		struct s3kit k = {.options = {.checksums = true},
				  .object = {zeros, rows[i].size, rows[i].etag, rows[i].crc32}};
		CLEANUP(fd_closep) int fd = input(state);
		struct err e = ERR_INIT;
		int r;

		s3kit_open(&k, rules, COUNT_OF(rules));
		r = s3_put_file(k.s3, "k", fd, SIZE, NULL, true, &e);
		if ((r != 0 && rows[i].size == SIZE) ||
		    (s3kit_count(&k, "PUT", "") == 0) != rows[i].left)
			fail_msg("%s: %d (%s)", rows[i].why, r, e.text);
	}
}

/* The answer to Complete was lost, and the upload is gone; or somebody ended it. */
static void test_an_upload_that_is_gone(void **state)
{
	static const struct s3kit_rule gone = {
		"POST", "?uploadId=", 1, {.status = 404, .body = ERROR("NoSuchUpload")}};
	static const char zeros[SIZE];
	const struct s3kit_rule rules[] = {gone, good[0], good[1], good[2]};
	const struct s3kit_rule absent[] = {gone,    {"HEAD", "/bucket/k", 1, {.status = 404}},
					    good[0], good[1],
					    good[2], good[3]};
	struct s3kit_rule for_ever[] = {
		gone, {"HEAD", "/bucket/k", 0, {.status = 404}}, good[0], good[1], good[4]};
	CLEANUP(s3kit_close) struct s3kit done = {.object = {zeros, SIZE, ETAG_ALL, NULL}};
	CLEANUP(s3kit_close) struct s3kit again = {.rules = NULL};
	CLEANUP(s3kit_close) struct s3kit never = {.rules = NULL};
	CLEANUP(fd_closep) int fd = input(state);
	struct err e = ERR_INIT;

	s3kit_open(&done, rules, COUNT_OF(rules));
	if (s3_put_file(done.s3, "k", fd, SIZE, NULL, false, &e) != 0)
		fail_msg("completed before: %s", e.text);
	assert_int_equal(s3kit_count(&done, "POST", "?uploads"), 1);

	s3kit_open(&again, absent, COUNT_OF(absent));
	if (s3_put_file(again.s3, "k", fd, SIZE, NULL, false, &e) != 0)
		fail_msg("ended by somebody: %s", e.text);
	assert_int_equal(s3kit_count(&again, "POST", "?uploads"), 2);
	assert_int_equal(s3kit_count(&again, "PUT", ""), 6);

	for_ever[0].times = 0;
	s3kit_open(&never, for_ever, COUNT_OF(for_ever));
	assert_int_equal(s3_put_file(never.s3, "k", fd, SIZE, NULL, false, &e), -EAGAIN);
	assert_int_equal(s3kit_count(&never, "POST", "?uploads"), 2);
	assert_non_null(strstr(e.text, "somebody else"));
}

static void test_abort(void **state)
{
	static const struct s3kit_rule rules[] = {
		{"GET",
		 "uploads",
		 0,
		 {.body = UPLOADS(UPLOAD("k", "u1", "") UPLOAD("k/2", "u2", "")
					  UPLOAD("k", "u3", ""))}},
		{"DELETE", "uploadId=u1", 0, {.status = 204}},
		{"DELETE", "uploadId=u3", 0, {.status = 404, .body = ERROR("NoSuchUpload")}},
	};
	CLEANUP(s3kit_close) struct s3kit k = {.rules = NULL};
	struct err e = ERR_INIT;

	(void)state;
	s3kit_open(&k, rules, COUNT_OF(rules));
	if (s3_abort(k.s3, "k", &e) != 0)
		fail_msg("%s", e.text);
	assert_int_equal(s3kit_count(&k, "DELETE", ""), 2);
	assert_int_equal(s3kit_count(&k, "DELETE", "u2"), 0);
	s3kit_all_signed(&k);
}

static void test_what_cannot_be_sent(void **state)
{
	CLEANUP(s3kit_close) struct s3kit k = {.rules = NULL};
	CLEANUP(fd_closep) int fd = input(state);
	struct err e = ERR_INIT;

	s3kit_open(&k, NULL, 0);
	assert_int_equal(s3_put_file(k.s3, "k", fd, SIZE + 1, NULL, false, &e), -EINVAL);
	assert_non_null(strstr(e.text, "shorter"));
	assert_int_equal(s3_put_file(k.s3, "k", fd, 1ULL << 46, NULL, false, &e), -EFBIG);
	assert_int_equal(awsserver_count(k.server), 0);
}

static int setup(void **state)
{
	(void)state;
	return http_global_init(NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, tempdir_setup, tempdir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_small_files_go_in_one_piece),
		TEST(test_parts),
		TEST(test_without_checksums),
		TEST(test_failures),
		TEST(test_going_on),
		TEST(test_lists_have_pages),
		TEST(test_what_is_there_is_left),
		TEST(test_an_upload_that_is_gone),
		TEST(test_abort),
		TEST(test_what_cannot_be_sent),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
