/* Results of every end, and the records of jobs made elsewhere. */

#include "tests/unit/cmocka_all.h"

#include <string.h>
#include <sys/stat.h>

#include "tests/unit/bedrockkit.h"
#include "tests/unit/tempdir.h"

#define ID  "ab12cd34ef56"
#define ARN BEDROCKKIT_ARN ID
#define PLACES                                                                                     \
	",\"inputDataConfig\":{\"s3InputDataConfig\":{\"s3Uri\":\"s3://bucket/in/x.jsonl\"}},"     \
	"\"outputDataConfig\":{\"s3OutputDataConfig\":{\"s3Uri\":\"s3://other/out\"}},"            \
	"\"lastModifiedTime\":\"2026-01-02T03:04:05Z\""
#define FOLDER_PLACES                                                                              \
	",\"inputDataConfig\":{\"s3InputDataConfig\":{\"s3Uri\":\"s3://bucket/in\"}},"             \
	"\"outputDataConfig\":{\"s3OutputDataConfig\":{\"s3Uri\":\"s3://other/out/\"}}"
#define OUT "other/out/" ID "/"

#define LINE(id) "{\"modelInput\":{\"a\":1},\"modelOutput\":{\"x\":2},\"recordId\":\"" id "\"}\n"
#define REC(id)	 "{\"recordId\":\"" id "\",\"modelInput\":{\"a\":1}}\n"

static void begin(struct bedrockkit *k, const char *status, const char *more)
{
	struct bedrockkit_job j = {
		.id = ID, .name = "n", .submitted_s = BEDROCKKIT_WALL_S, .more = more};

	bedrockkit_open(k, NULL);
	snprintf(j.status, sizeof(j.status), "%s", status);
	bedrockkit_add_job(k, j);
}

static int fetch(struct bedrockkit *k, void **state, struct backend_files *files, struct err *e)
{
	struct tempdir_name dir = tempdir_path(state, "results");

	e->text[0] = '\0';
	*files = (struct backend_files){.count = 0};
	return k->b->ops->fetch(k->b, ARN, dir.text, files, e);
}

static void check_file(const char *path, const char *text)
{
	CLEANUP(file_closep) FILE *f = fopen(path, "r");
	static char got[65536];
	size_t n;

	if (!f)
		fail_msg("%s is not there", path);
	n = fread(got, 1, sizeof(got) - 1, f);
	got[n] = '\0';
	assert_string_equal(got, text);
}

/* --- fetch --- */

static void test_every_end(void **state)
{
	static const char *const ends[] = {"Completed", "PartiallyCompleted", "Failed", "Stopped",
					   "Expired"};

	for (size_t i = 0; i < COUNT_OF(ends); i++) {
		CLEANUP(backend_files_release) struct backend_files files = {.count = 0};
		struct tempdir_name dir = tempdir_path(state, "results");
		struct bedrockkit k;
		struct err e;
		char manifest[PATH_MAX + 16];

		begin(&k, ends[i], PLACES);
		bedrockkit_put(&k, OUT "x.jsonl.out", LINE("a"));
		bedrockkit_put(&k, OUT "deep/y.jsonl.out", LINE("b"));
		bedrockkit_put(&k, OUT "amazon-bedrock-permission-check", "");
		bedrockkit_put(&k, OUT "manifest.json.out",
			       "{\"inputTokenCount\":10,\"outputTokenCount\":3,\n"
			       "\"cacheReadInputTokenCount\":2,\"new\":{}}");
		bedrockkit_put(&k, "other/out/another/z.jsonl.out", LINE("c"));
		if (fetch(&k, state, &files, &e) != 0)
			fail_msg("%s: %s", ends[i], e.text);
		assert_int_equal(files.count, 2);
		check_file(files.paths[0], LINE("a"));
		check_file(files.paths[1], LINE("b"));
		assert_true(files.has_tokens);
		assert_int_equal(files.tokens.input, 12);
		assert_int_equal(files.tokens.output, 3);
		assert_string_equal(files.told, "{\"inputTokenCount\":10,\"outputTokenCount\":3, "
						"\"cacheReadInputTokenCount\":2,\"new\":{}}");
		snprintf(manifest, sizeof(manifest), "%s/manifest.json", dir.text);
		assert_int_equal(access(manifest, F_OK), 0);
		assert_int_equal(strncmp(files.paths[0], dir.text, strlen(dir.text)), 0);
		bedrockkit_check_signed(&k);
		bedrockkit_close(&k);
	}
}

static void test_nothing_there(void **state)
{
	static const char *const ends[] = {"Failed", "Stopped", "Expired"};

	for (size_t i = 0; i < COUNT_OF(ends); i++) {
		struct backend_files files;
		struct bedrockkit k;
		struct err e;

		begin(&k, ends[i], PLACES);
		k.clock.now_wall_ns += 61 * NS_PER_S;
		assert_int_equal(fetch(&k, state, &files, &e), 0);
		assert_int_equal(files.count, 0);
		assert_false(files.has_tokens);
		assert_int_equal(bedrockkit_count(&k, "GET", "list-type=2"), 1);
		bedrockkit_close(&k);
	}
}

/* What may have run is looked for a second time; what never began is not. */
static void test_nothing_there_yet(void **state)
{
	static const struct {
		const char *status, *more;
		bool waits;
	} rows[] = {
		{"Stopped", PLACES, true},
		{"Expired", PLACES, true},
		{"Failed", PLACES ",\"message\":\"no jsonl files\"", false},
		{"Failed", PLACES ",\"message\":\"no invokeModel\",\"totalRecordCount\":9", true},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(backend_files_release) struct backend_files files = {.count = 0};
		struct bedrockkit k;
		struct err e;

		begin(&k, rows[i].status, rows[i].more);
		assert_int_equal(fetch(&k, state, &files, &e), rows[i].waits ? -EAGAIN : 0);
		if (rows[i].waits) {
			assert_non_null(strstr(e.text, rows[i].status));
			assert_true(!strstr(rows[i].more, "invokeModel") ||
				    strstr(e.text, "no invokeModel"));
			bedrockkit_put(&k, OUT "x.jsonl.out", LINE("a"));
			assert_int_equal(fetch(&k, state, &files, &e), 0);
		}
		assert_int_equal(files.count, rows[i].waits);
		bedrockkit_close(&k);
	}
}

/* Completed may be told before the objects are listed. */
static void test_listed_late(void **state)
{
	CLEANUP(backend_files_release) struct backend_files files = {.count = 0};
	struct bedrockkit k;
	struct err e;

	begin(&k, "Completed", PLACES);
	bedrockkit_put(&k, OUT "x.jsonl.out", LINE("a"));
	atomic_store(&k.missed_listings, 3);
	assert_int_equal(fetch(&k, state, &files, &e), 0);
	assert_int_equal(files.count, 1);
	bedrockkit_close(&k);
}

static void test_never_listed(void **state)
{
	struct backend_files files;
	struct bedrockkit k;
	struct err e;

	begin(&k, "Stopped",
	      PLACES ",\"totalRecordCount\":9,\"successRecordCount\":4,\"errorRecordCount\":0");
	assert_int_equal(fetch(&k, state, &files, &e), -EAGAIN);
	assert_non_null(strstr(e.text, "s3://other/out/" ID "/"));
	/* But not for ever: somebody may have deleted them. */
	k.clock.now_wall_ns += 601 * NS_PER_S;
	assert_int_equal(fetch(&k, state, &files, &e), 0);
	assert_int_equal(files.count, 0);
	bedrockkit_close(&k);
}

/* Our clock is an hour fast; the service has told us so. */
static void test_listed_late_by_another_clock(void **state)
{
	struct backend_files files;
	struct bedrockkit k;
	struct err e;

	begin(&k, "Completed", PLACES);
	k.clock.now_wall_ns += 3600 * NS_PER_S;
	bedrockkit_rule(&k, "GET", "/model-invocation-job/", 1,
			(struct awsserver_reply){
				.status = 403,
				.headers = "x-amzn-ErrorType: InvalidSignatureException\r\n",
				.date_ns = BEDROCKKIT_WALL_S * NS_PER_S});
	assert_int_equal(fetch(&k, state, &files, &e), -EAGAIN);
	bedrockkit_close(&k);
}

/* More files than the engine takes: the last of them holds the rest. */
static void test_many_files(void **state)
{
	CLEANUP(backend_files_release) struct backend_files files = {.count = 0};
	CLEANUP(buf_release) struct buf want = BUF_INIT(65536);
	struct bedrockkit k;
	struct err e;
	char key[64], line[128];

	begin(&k, "Completed", PLACES);
	for (unsigned i = 0; i < BACKEND_FILES_MAX + 3; i++) {
		snprintf(key, sizeof(key), OUT "f%03u.jsonl.out", i);
		/* Some without their last newline. */
		snprintf(line, sizeof(line), "{\"recordId\":\"%u\"}%s", i, i % 2 ? "" : "\n");
		bedrockkit_put(&k, key, line);
		if (i >= BACKEND_FILES_MAX - 1)
			buf_addf(&want, "{\"recordId\":\"%u\"}\n", i);
	}
	assert_int_equal(fetch(&k, state, &files, &e), 0);
	assert_int_equal(files.count, BACKEND_FILES_MAX);
	check_file(files.paths[BACKEND_FILES_MAX - 1], want.data);
	bedrockkit_close(&k);
}

static void test_fetch_failures(void **state)
{
	static const struct {
		const char *why, *method, *in_target;
		struct awsserver_reply reply;
		int r;
	} rows[] = {
		{"the list is not allowed",
		 "GET",
		 "list-type=2",
		 {.status = 403, .body = "<Error><Code>AccessDenied</Code></Error>"},
		 -EACCES},
		{"an object is not allowed",
		 "GET",
		 "x.jsonl.out",
		 {.status = 403, .body = "<Error><Code>AccessDenied</Code></Error>"},
		 -EACCES},
		{"the job is unknown",
		 "GET",
		 "/model-invocation-job/",
		 {.status = 404, .headers = "x-amzn-ErrorType: ResourceNotFoundException\r\n"},
		 -ENOENT},
		{"broken", "GET", "list-type=2", {.status = 503}, -EAGAIN},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct backend_files files;
		struct bedrockkit k;
		struct err e;
		int r;

		begin(&k, "Completed", PLACES);
		bedrockkit_put(&k, OUT "x.jsonl.out", LINE("a"));
		bedrockkit_rule(&k, rows[i].method, rows[i].in_target, 0, rows[i].reply);
		r = fetch(&k, state, &files, &e);
		if (r != rows[i].r || !e.text[0] || files.count)
			fail_msg("%s: %d %s", rows[i].why, r, e.text);
		bedrockkit_close(&k);
	}
}

/* A manifest that cannot be had costs no results. */
static void test_bad_manifests(void **state)
{
	static const char *const texts[] = {"", "{", "[]", "{\"inputTokenCount\":\"many\"}"};

	for (size_t i = 0; i <= COUNT_OF(texts); i++) {
		CLEANUP(backend_files_release) struct backend_files files = {.count = 0};
		struct bedrockkit k;
		struct err e;

		begin(&k, "Completed", PLACES);
		bedrockkit_put(&k, OUT "x.jsonl.out", LINE("a"));
		bedrockkit_put(&k, OUT "manifest.json.out", i < COUNT_OF(texts) ? texts[i] : "{}");
		if (i == COUNT_OF(texts))
			bedrockkit_rule(
				&k, "GET", "manifest", 0,
				(struct awsserver_reply){
					.status = 403,
					.body = "<Error><Code>AccessDenied</Code></Error>"});
		assert_int_equal(fetch(&k, state, &files, &e), 0);
		assert_int_equal(files.count, 1);
		assert_false(files.has_tokens);
		bedrockkit_close(&k);
	}
}

static void test_still_running(void **state)
{
	struct backend_files files;
	struct bedrockkit k;
	struct err e;

	begin(&k, "InProgress", PLACES);
	assert_int_equal(fetch(&k, state, &files, &e), -EBUSY);
	assert_true(e.text[0]);
	bedrockkit_close(&k);
	begin(&k, "Completed", NULL); /* it does not say where they are */
	assert_int_equal(fetch(&k, state, &files, &e), -ENOENT);
	assert_true(e.text[0]);
	bedrockkit_close(&k);
}

/* --- fetch_input --- */

static int fetch_input(struct bedrockkit *k, void **state, struct tempdir_name *path, struct err *e)
{
	e->text[0] = '\0';
	*path = tempdir_path(state, "input.jsonl");
	unlink(path->text);
	return k->b->ops->fetch_input(k->b, ARN, path->text, e);
}

static void check_no_scratch(const struct tempdir_name *path)
{
	static const char *const ends[] = {".new", ".piece", ".piece.tmp"};
	char name[PATH_MAX + 16];

	for (size_t i = 0; i < COUNT_OF(ends); i++) {
		snprintf(name, sizeof(name), "%s%s", path->text, ends[i]);
		assert_int_equal(access(name, F_OK), -1);
	}
}

static const struct {
	const char *why, *more;
	const char *in1, *in2, *out; /* objects; NULL: not there */
	int r;
	const char *records;
} input_rows[] = {
	{"a file", PLACES, REC("a") REC("b"), NULL, NULL, 0, REC("a") REC("b")},
	{"without its last newline", PLACES, "{\"recordId\":\"a\",\"modelInput\":{\"a\":1}}", NULL,
	 NULL, 0, REC("a")},
	{"a folder", FOLDER_PLACES, "{\"recordId\":\"a\",\"modelInput\":{\"a\":1}}", REC("b"), NULL,
	 0, REC("a") REC("b")},
	{"ids are missing", PLACES, "{\"modelInput\":{\"a\":1}}\n", NULL, LINE("gen1"), 0,
	 "{\"modelInput\":{\"a\":1}}\n"},
	{"lines that are none: out of the output", PLACES, REC("a") "oops\n", NULL, LINE("a"), 0,
	 REC("a")},
	{"not there any more: out of the output", PLACES, NULL, NULL,
	 LINE("a") "{\"recordId\":\"b\",\"modelInput\":{\"a\":1},\"error\":{\"errorCode\":400}}", 0,
	 REC("a") REC("b")},
	{"lines of the output that are no records", PLACES, NULL, NULL,
	 "oops\n{}\n{\"recordId\":\"x\"}\n" LINE("a"), 0, REC("a")},
	{"neither", PLACES, NULL, NULL, NULL, -ENOENT, NULL},
	{"an empty folder", FOLDER_PLACES, NULL, NULL, NULL, -ENOENT, NULL},
	{"ids are missing, and nothing ran", PLACES, "{\"modelInput\":{}}\n", NULL, NULL, 0,
	 "{\"modelInput\":{}}\n"},
	{"no records, and nothing ran", PLACES, "oops\n", NULL, NULL, -ENOENT, NULL},
	{"no place is told", NULL, REC("a"), NULL, LINE("a"), -ENOENT, NULL},
};

static void test_inputs(void **state)
{
	for (size_t i = 0; i < COUNT_OF(input_rows); i++) {
		struct tempdir_name path;
		struct bedrockkit k;
		struct err e;
		int r;

		begin(&k, "Completed", input_rows[i].more);
		if (input_rows[i].in1)
			bedrockkit_put(&k, "bucket/in/x.jsonl", input_rows[i].in1);
		if (input_rows[i].in2)
			bedrockkit_put(&k, "bucket/in/deep/y.jsonl", input_rows[i].in2);
		bedrockkit_put(&k, "bucket/in/notes.txt", "no records");
		if (input_rows[i].out)
			bedrockkit_put(&k, OUT "x.jsonl.out", input_rows[i].out);
		r = fetch_input(&k, state, &path, &e);
		if (r != input_rows[i].r || (r < 0) != (e.text[0] != '\0'))
			fail_msg("%s: %d %s", input_rows[i].why, r, e.text);
		if (r == 0)
			check_file(path.text, input_rows[i].records);
		else
			assert_int_equal(access(path.text, F_OK), -1);
		check_no_scratch(&path);
		bedrockkit_close(&k);
	}
}

static void test_input_not_allowed(void **state)
{
	static const struct awsserver_reply denied = {
		.status = 403, .body = "<Error><Code>AccessDenied</Code></Error>"};
	struct tempdir_name path;
	struct bedrockkit k;
	struct err e;

	begin(&k, "Completed", PLACES);
	bedrockkit_put(&k, "bucket/in/x.jsonl", REC("a"));
	bedrockkit_rule(&k, "GET", "in/x.jsonl", 0, denied);
	bedrockkit_rule(&k, "HEAD", "in/x.jsonl", 0, (struct awsserver_reply){.status = 403});
	assert_int_equal(fetch_input(&k, state, &path, &e), -EACCES);
	assert_true(e.text[0]);
	bedrockkit_put(&k, OUT "x.jsonl.out", LINE("a"));
	assert_int_equal(fetch_input(&k, state, &path, &e), 0);
	check_file(path.text, REC("a"));
	bedrockkit_close(&k);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, tempdir_setup, tempdir_teardown)
	const struct CMUnitTest tests[] = {
		T(test_every_end),
		T(test_nothing_there),
		T(test_nothing_there_yet),
		T(test_listed_late),
		T(test_listed_late_by_another_clock),
		T(test_never_listed),
		T(test_many_files),
		T(test_fetch_failures),
		T(test_bad_manifests),
		T(test_still_running),
		T(test_inputs),
		T(test_input_not_allowed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
