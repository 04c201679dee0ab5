/* Signatures: ours against those of other implementations. */

#include "backend/aws/sigv4.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/clock.h"
#include "fs/base/macros.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/sigv4_rows.h"

/* Headers as lines of text, and what is added to them. */
struct headers {
	struct sigv4_header list[SIGV4_HEADERS_MAX];
	size_t count;
	char *text; /* owned; the lines, cut */
};

static void headers_release(struct headers *h)
{
	free(h->text);
}

static void add(struct headers *h, const char *name, const char *value)
{
	assert_true(h->count < SIGV4_HEADERS_MAX);
	h->list[h->count++] = (struct sigv4_header){name, value};
}

/* A line that begins with a space goes on with the value before it. */
static void add_lines(struct headers *h, const char *lines)
{
	char *at, *colon;

	h->text = strdup(lines);
	assert_non_null(h->text);
	for (at = h->text; *at;) {
		char *end = at + strcspn(at, "\n");

		while (*end && end[1] == ' ')
			end += 1 + strcspn(end + 1, "\n");
		at[end - at] = *end ? '\0' : *end;
		colon = strchr(at, ':');
		assert_non_null(colon);
		*colon = '\0';
		add(h, at, colon + 1);
		at = end + (end < h->text + strlen(lines));
	}
}

/* --- the table --- */

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(sigv4_rows); i++) {
		CLEANUP(headers_release) struct headers headers = {.count = 0};
		CLEANUP(buf_release) struct buf authorization = BUF_INIT(4096);
		const char *body = sigv4_rows[i].body ? sigv4_rows[i].body : "";
		char hash[SIGV4_HASH_SIZE];
		bool s3 = strcmp(sigv4_rows[i].service, "s3") == 0;
		struct sigv4_request q = {
			.method = sigv4_rows[i].method,
			.path = sigv4_rows[i].path,
			.query = sigv4_rows[i].query,
			.headers = headers.list,
			.payload_hash = hash,
			.region = ROWS_REGION,
			.service = sigv4_rows[i].service,
			.wall_ns = ROWS_WALL_NS,
			.path_as_sent = s3,
		};

		sigv4_hash(body, strlen(body), hash);
		if (sigv4_rows[i].unsigned_payload)
			q.payload_hash = SIGV4_UNSIGNED_PAYLOAD;
		add(&headers, "Host", sigv4_rows[i].host);
		if (s3)
			add(&headers, "x-amz-content-sha256", q.payload_hash);
		if (sigv4_rows[i].headers)
			add_lines(&headers, sigv4_rows[i].headers);
		add(&headers, "X-Amz-Date", ROWS_DATE);
		q.header_count = headers.count;
		assert_int_equal(sigv4_sign(&q, ROWS_KEY, ROWS_SECRET, &authorization), 0);
		if (!strstr(authorization.data, sigv4_rows[i].signature)) {
			CLEANUP(buf_release) struct buf text = BUF_INIT(65536);

			assert_int_equal(sigv4_canonical_request(&q, &text), 0);
			fail_msg("%s: %s of\n%s", sigv4_rows[i].why, authorization.data, text.data);
		}
	}
}

static void test_authorization(void **state)
{
	const struct sigv4_header headers[] = {
		{"X-Amz-Date", ROWS_DATE},
		{"Content-Type", "application/json"},
		{"host", ROWS_BEDROCK},
	};
	char hash[SIGV4_HASH_SIZE];
	const struct sigv4_request q = {
		.method = "POST",
		.path = "/model-invocation-job",
		.headers = headers,
		.header_count = COUNT_OF(headers),
		.payload_hash = hash,
		.region = ROWS_REGION,
		.service = "bedrock",
		.wall_ns = ROWS_WALL_NS + NS_PER_S / 2,
	};
	CLEANUP(buf_release) struct buf out = BUF_INIT(4096);

	(void)state;
	sigv4_hash("{\"jobName\":\"dev-job-1\"}", strlen("{\"jobName\":\"dev-job-1\"}"), hash);
	assert_int_equal(sigv4_sign(&q, ROWS_KEY, ROWS_SECRET, &out), 0);
	assert_string_equal(
		out.data,
		"AWS4-HMAC-SHA256 "
		"Credential=AKIDEXAMPLE/20260102/us-east-1/bedrock/aws4_request, "
		"SignedHeaders=content-type;host;x-amz-date, "
		"Signature=2d58c54547cea26acc94431578c3e280b3093798395d714e0fdc47eadf7f78fd");
}

/* --- refusals --- */

static void test_refusals(void **state)
{
	static struct sigv4_header many[SIGV4_HEADERS_MAX + 1];
	static char parameters[3 * 129], secret[300];
	static const struct {
		const char *why, *query, *secret, *hash;
		size_t headers;
		int r;
	} rows[] = {
		{"nothing wrong", "a=%20", "s", "h", SIGV4_HEADERS_MAX, 0},
		{"too many headers", "", "s", "h", SIGV4_HEADERS_MAX + 1, -EINVAL},
		{"half an escape", "a=%2", "s", "h", 1, -EINVAL},
		{"half of half an escape", "%", "s", "h", 1, -EINVAL},
		{"no hexadecimal", "a=%2g", "s", "h", 1, -EINVAL},
		{"the escape would reach into the next", "a=%2&0", "s", "h", 1, -EINVAL},
		{"too many parameters", parameters, "s", "h", 1, -EINVAL},
		{"as many parameters as may be", parameters + 3, "s", "h", 1, 0},
		{"a secret without end", "", secret, "h", 1, -EINVAL},
		{"no hash, for want of memory", "", "s", "", 1, -ENOMEM},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(many); i++)
		many[i] = (struct sigv4_header){"x-a", "v"};
	for (size_t i = 0; i + 3 < sizeof(parameters); i += 3)
		memcpy(parameters + i, "&a=", 3);
	memcpy(parameters + sizeof(parameters) - 3, "&a", 3);
	memset(secret, 's', sizeof(secret) - 1);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(buf_release) struct buf out = BUF_INIT(65536);
		const struct sigv4_request q = {
			.method = "GET",
			.path = "/",
			.query = rows[i].query,
			.headers = many,
			.header_count = rows[i].headers,
			.payload_hash = rows[i].hash,
			.region = "r",
			.service = "s",
		};
		int r = sigv4_sign(&q, "k", rows[i].secret, &out);

		if (r != rows[i].r)
			fail_msg("%s: %d", rows[i].why, r);
	}
}

static void test_small_parts(void **state)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(4096);
	char date[SIGV4_DATE_SIZE], hash[SIGV4_HASH_SIZE];

	(void)state;
	sigv4_date(ROWS_WALL_NS, date);
	assert_string_equal(date, ROWS_DATE);
	sigv4_date(0, date);
	assert_string_equal(date, "19700101T000000Z");
	sigv4_hash(NULL, 0, hash);
	assert_string_equal(hash,
			    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	sigv4_encode(&out, "a/b c\xc3\xa4~+", strlen("a/b c\xc3\xa4~+"), true);
	assert_string_equal(out.data, "a/b%20c%C3%A4~%2B");
	buf_clear(&out);
	sigv4_encode(&out, "/", 1, false);
	assert_string_equal(out.data, "%2F");
}

/* --- the suite that AWS publishes, where it is at hand --- */

static char *read_text(const char *dir, const char *vector, const char *file)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT(65536);
	char path[1024], piece[4096];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s/%s", dir, vector, file);
	f = fopen(path, "re");
	if (!f)
		return NULL;
	while ((n = fread(piece, 1, sizeof(piece), f)) > 0)
		buf_add(&text, piece, n);
	fclose(f);
	return strdup(text.data);
}

static const char *member(json_object *o, const char *key)
{
	json_object *value;

	return json_object_object_get_ex(o, key, &value) ? json_object_get_string(value) : "";
}

static void check_text(const char *dir, const char *vector, const char *file, const char *got)
{
	CLEANUP(str_freep) char *want = read_text(dir, vector, file);

	assert_non_null(want);
	if (strcmp(got, want) != 0)
		fail_msg("%s: %s:\n%s\nnot\n%s", vector, file, got, want);
}

/* Cuts "GET /path?query HTTP/1.1" and the headers off; returns the body. */
static const char *take_apart(char *text, struct sigv4_request *q, struct headers *headers)
{
	char *line_end = strchr(text, '\n'), *head_end = strstr(text, "\n\n"), *target, *query;

	assert_non_null(line_end);
	q->method = text;
	target = strchr(text, ' ');
	*target++ = '\0';
	memcpy(line_end - strlen(" HTTP/1.1"), "\0", 1);
	query = strchr(target, '?');
	if (query)
		*query++ = '\0';
	q->path = target;
	q->query = query;
	if (head_end)
		*head_end = '\0';
	add_lines(headers, line_end + 1);
	return head_end ? head_end + 2 : "";
}

static void check_vector(const char *dir, const char *vector)
{
	CLEANUP(headers_release) struct headers headers = {.count = 0};
	CLEANUP(str_freep) char *request = read_text(dir, vector, "request.txt");
	CLEANUP(str_freep) char *context = read_text(dir, vector, "context.json");
	CLEANUP(buf_release) struct buf path = BUF_INIT(4096), text = BUF_INIT(65536);
	CLEANUP(buf_release) struct buf to_sign = BUF_INIT(4096), authorization = BUF_INIT(4096);
	struct sigv4_request q = {.headers = headers.list, .wall_ns = 1440938160 * NS_PER_S};
	char hash[SIGV4_HASH_SIZE], date[SIGV4_DATE_SIZE];
	json_object *root, *keys;
	const char *body;

	if (!request || !context)
		fail_msg("%s: cannot be read", vector);
	root = json_tokener_parse(context);
	assert_true(json_object_object_get_ex(root, "credentials", &keys));
	assert_string_equal(member(root, "timestamp"), "2015-08-30T12:36:00Z");
	body = take_apart(request, &q, &headers);
	sigv4_hash(body, strlen(body), hash);
	sigv4_date(q.wall_ns, date);
	add(&headers, "X-Amz-Date", date);
	if (strcmp(member(root, "sign_body"), "true") == 0)
		add(&headers, "X-Amz-Content-Sha256", hash);
	if (*member(keys, "token") && strcmp(member(root, "omit_session_token"), "true") != 0)
		add(&headers, "X-Amz-Security-Token", member(keys, "token"));
	q.header_count = headers.count;
	q.payload_hash = hash;
	q.region = member(root, "region");
	q.service = member(root, "service");
	/* The suite has raw targets and encodes them once. */
	if (strcmp(member(root, "normalize"), "false") == 0) {
		sigv4_encode(&path, q.path, strlen(q.path), true);
		q.path = path.data;
		q.path_as_sent = true;
	}
	assert_int_equal(sigv4_canonical_request(&q, &text), 0);
	check_text(dir, vector, "header-canonical-request.txt", text.data);
	assert_int_equal(sigv4_string_to_sign(&q, text.data, &to_sign), 0);
	check_text(dir, vector, "header-string-to-sign.txt", to_sign.data);
	assert_int_equal(sigv4_sign(&q, member(keys, "access_key_id"),
				    member(keys, "secret_access_key"), &authorization),
			 0);
	check_text(dir, vector, "header-signature.txt",
		   strstr(authorization.data, "Signature=") + strlen("Signature="));
	json_object_put(root);
}

static void test_published(void **state)
{
	const char *shared = getenv("BATCHFS_SHARED");
	CLEANUP(dir_closep) DIR *d = NULL;
	const struct dirent *entry;
	size_t count = 0;
	char dir[512];

	(void)state;
	snprintf(dir, sizeof(dir), "%s/sigv4-suite/v4", shared ? shared : "");
	d = opendir(dir);
	if (!d)
		SKIP_TEST("the published suite is not here\n");
	while ((entry = readdir(d))) {
		if (entry->d_name[0] == '.')
			continue;
		check_vector(dir, entry->d_name);
		count++;
	}
	assert_int_equal(count, 38);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),	  cmocka_unit_test(test_authorization),
		cmocka_unit_test(test_refusals),  cmocka_unit_test(test_small_parts),
		cmocka_unit_test(test_published),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
