/* Input and media on their way to S3. */

#include "tests/unit/cmocka_all.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "backend/aws/bedrockmedia.h"
#include "tests/unit/bedrockkit.h"
#include "tests/unit/tempdir.h"

#define NAME	  "My-job-2-" BEDROCKKIT_DIGITS
#define FOLDER	  "bucket/batch/" NAME "/"
#define PLAIN	  "{\"recordId\":\"a\",\"modelInput\":{\"text\":\"hello\"}}\n"
#define WITH(n)	  "{\"recordId\":\"b\",\"modelInput\":{\"uri\":\"media://" n "\"}}\n"
#define ANSWER(n) "{\"recordId\":\"b\",\"modelInput\":{\"uri\":\"s3://" FOLDER "media/" n "\"}}\n"

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

struct fixture {
	struct bedrockkit k;
	struct tempdir_name input, media;
	struct backend_part p;
};

static void begin(struct fixture *f, void **state, const char *input)
{
	bedrockkit_open(&f->k, NULL);
	f->input = tempdir_path(state, "input.jsonl");
	f->media = tempdir_path(state, "media");
	write_file(f->input.text, input);
	f->p = (struct backend_part){
		.token = BEDROCKKIT_TOKEN,
		.job_name = "My job (2)",
		.model = "amazon.nova-lite-v1:0",
		.input_path = f->input.text,
		.record_count = 1,
		.attempt = 1,
	};
}

static void add_media(struct fixture *f, const char *name, const char *text)
{
	char path[PATH_MAX];

	mkdir(f->media.text, 0700);
	assert_true((size_t)snprintf(path, sizeof(path), "%.3000s/%s", f->media.text, name) <
		    sizeof(path));
	write_file(path, text);
	f->p.media_path = f->media.text;
}

static int put(struct fixture *f, struct err *e)
{
	e->text[0] = '\0';
	return f->k.b->ops->put_input(f->k.b, &f->p, e);
}

static void check_object(struct fixture *f, const char *key, const char *text)
{
	const struct bedrockkit_object *o = bedrockkit_object(&f->k, key);

	if (!o)
		fail_msg("%s was not put", key);
	else
		assert_string_equal(o->bytes, text);
}

static void check_no_scratch(struct fixture *f)
{
	char path[PATH_MAX + 16];

	snprintf(path, sizeof(path), "%s.media.tmp", f->input.text);
	assert_int_equal(access(path, F_OK), -1);
}

static void test_plain(void **state)
{
	struct fixture f;
	struct err e;

	begin(&f, state, PLAIN);
	assert_int_equal(put(&f, &e), 0);
	assert_int_equal(f.k.object_count, 1);
	check_object(&f, FOLDER "input.jsonl", PLAIN);
	bedrockkit_check_signed(&f.k);
	/* So small, it is not asked for first. */
	assert_int_equal(bedrockkit_count(&f.k, "HEAD", "input.jsonl"), 0);
	/* Again: the same place, the same bytes. */
	assert_int_equal(put(&f, &e), 0);
	assert_int_equal(f.k.object_count, 1);
	bedrockkit_close(&f.k);
}

static void test_media(void **state)
{
	struct fixture f;
	struct err e;

	begin(&f, state, PLAIN WITH("cat.png") WITH("dog.png") WITH("cat.png"));
	add_media(&f, "cat.png", "meow");
	add_media(&f, "dog.png", "woof");
	add_media(&f, "unused.png", "?");
	assert_int_equal(put(&f, &e), 0);
	check_object(&f, FOLDER "input.jsonl",
		     PLAIN ANSWER("cat.png") ANSWER("dog.png") ANSWER("cat.png"));
	check_object(&f, FOLDER "media/cat.png", "meow");
	check_object(&f, FOLDER "media/dog.png", "woof");
	assert_int_equal(f.k.object_count, 3);
	/* The input goes last: with it the folder is whole. */
	assert_non_null(
		strstr(awsserver_request(f.k.server, awsserver_count(f.k.server) - 1)->target,
		       "input.jsonl"));
	check_no_scratch(&f);
	bedrockkit_check_signed(&f.k);
	bedrockkit_close(&f.k);
}

static void test_many_files(void **state)
{
	CLEANUP(buf_release) struct buf input = BUF_INIT(1 << 20);
	struct fixture f;
	struct err e;
	char name[32];

	for (unsigned i = 0; i < 200; i++)
		buf_addf(&input, WITH("f%u.png"), i);
	begin(&f, state, input.data);
	for (unsigned i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "f%u.png", i);
		add_media(&f, name, name);
	}
	assert_int_equal(put(&f, &e), 0);
	assert_int_equal(f.k.object_count, 201);
	check_object(&f, FOLDER "media/f199.png", "f199.png");
	bedrockkit_close(&f.k);
}

static const struct {
	const char *why, *input, *words;
	bool has_media; /* with cat.png, and a directory sub */
	unsigned attempt;
} refusals[] = {
	{"a file that is not there", PLAIN WITH("dog.png"), "input.jsonl:2: media://dog.png:", true,
	 1},
	{"no media at all", WITH("cat.png"), "input.jsonl:1: media://cat.png:", false, 1},
	{"a directory", WITH("sub"), "input.jsonl:1: media://sub:", true, 1},
	{"out of the directory", WITH("../input.jsonl"), "input.jsonl:1:", true, 1},
	{"a name S3 URIs cannot hold", WITH("my cat.png"), "input.jsonl:1:", true, 1},
	{"in a retry the lines are not the user's", PLAIN WITH("dog.png"), "line 2:", true, 2},
};

static void test_refusals(void **state)
{
	for (size_t i = 0; i < COUNT_OF(refusals); i++) {
		struct fixture f;
		struct err e;
		char sub[PATH_MAX + 8];
		int r;

		begin(&f, state, refusals[i].input);
		f.p.attempt = refusals[i].attempt;
		if (refusals[i].has_media) {
			add_media(&f, "cat.png", "meow");
			snprintf(sub, sizeof(sub), "%s/sub", f.media.text);
			mkdir(sub, 0700);
		}
		r = put(&f, &e);
		if (r != -EINVAL || strncmp(e.text, refusals[i].words, strlen(refusals[i].words)))
			fail_msg("%s: %d %s", refusals[i].why, r, e.text);
		assert_int_equal(awsserver_count(f.k.server), 0);
		check_no_scratch(&f);
		bedrockkit_close(&f.k);
	}
}

static void test_too_large(void **state)
{
	struct fixture f;
	struct err e;

	begin(&f, state, WITH("cat.png"));
	assert_int_equal(kv_set(&bedrock_of(f.k.b)->options, "max_bytes_per_job", "150"), 0);
	add_media(&f, "cat.png",
		  "0123456789012345678901234567890123456789012345678901234567890123456789");
	assert_int_equal(put(&f, &e), -EINVAL);
	assert_non_null(strstr(e.text, "150"));
	assert_int_equal(awsserver_count(f.k.server), 0);
	bedrockkit_close(&f.k);
}

static void test_refused_by_s3(void **state)
{
	static const struct {
		const char *why;
		struct awsserver_reply reply;
		int r;
	} rows[] = {
		{"not allowed",
		 {.status = 403, .body = "<Error><Code>AccessDenied</Code></Error>"},
		 -EINVAL},
		{"no such bucket",
		 {.status = 404, .body = "<Error><Code>NoSuchBucket</Code></Error>"},
		 -EINVAL},
		{"broken", {.status = 500}, -EAGAIN},
		{"lost", {.how = AWSSERVER_RESET}, -EAGAIN},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct fixture f;
		struct err e;
		int r;

		begin(&f, state, PLAIN);
		bedrockkit_rule(&f.k, "PUT", "input.jsonl", 0, rows[i].reply);
		r = put(&f, &e);
		if (r != rows[i].r || !e.text[0])
			fail_msg("%s: %d %s", rows[i].why, r, e.text);
		bedrockkit_close(&f.k);
	}
}

#define EXPIRED "<Error><Code>ExpiredToken</Code><Message>Old.</Message></Error>"

/* That is nothing to be mended in the job: it goes up when there are others. */
static void test_credentials_expire(void **state)
{
	static const struct {
		const char *why, *method;
		struct awsserver_reply reply;
	} rows[] = {
		{"while it is looked for", "HEAD", {.status = 400}},
		{"while it is looked for, in the right region",
		 "HEAD",
		 {.status = 400, .headers = "x-amz-bucket-region: us-east-1\r\n"}},
		{"while it is put", "PUT", {.status = 400, .body = EXPIRED}},
		{"the secret is another now",
		 "PUT",
		 {.status = 403, .body = "<Error><Code>SignatureDoesNotMatch</Code></Error>"}},
		{"the clock is off",
		 "PUT",
		 {.status = 403, .body = "<Error><Code>RequestTimeTooSkewed</Code></Error>"}},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct fixture f;
		struct err e;
		int r;

		begin(&f, state, PLAIN);
		bedrockkit_rule(&f.k, rows[i].method, "input.jsonl", 0, rows[i].reply);
		bedrockkit_rule(&f.k, "PUT", "input.jsonl", 0,
				(struct awsserver_reply){.status = 400, .body = EXPIRED});
		r = put(&f, &e);
		if (r != -EAGAIN || !e.text[0])
			fail_msg("%s: %d %s", rows[i].why, r, e.text);
		bedrockkit_close(&f.k);
	}
}

/* A file of media that is refused is told, and the input is not put. */
static void test_media_refused(void **state)
{
	struct fixture f;
	struct err e;

	begin(&f, state, WITH("cat.png"));
	add_media(&f, "cat.png", "meow");
	bedrockkit_rule(&f.k, "PUT", "cat.png", 0,
			(struct awsserver_reply){
				.status = 403, .body = "<Error><Code>AccessDenied</Code></Error>"});
	assert_int_equal(put(&f, &e), -EINVAL);
	assert_null(bedrockkit_object(&f.k, FOLDER "input.jsonl"));
	check_no_scratch(&f);
	bedrockkit_close(&f.k);
}

/* A job without one of its files would be run, and paid for. */
static void test_media_that_vanish(void **state)
{
	struct bedrock_media *media = NULL;
	struct fixture f;
	struct s3 *s3 = NULL;
	struct err e = ERR_INIT;
	CLEANUP(fd_closep) int fd = -1;
	char path[PATH_MAX + 16];

	begin(&f, state, WITH("cat.png") WITH("dog.png"));
	add_media(&f, "cat.png", "meow");
	add_media(&f, "dog.png", "woof");
	fd = open(f.input.text, O_RDONLY | O_CLOEXEC);
	assert_int_equal(bedrock_media_scan(&f.p, fd, &media, &e), 0);
	snprintf(path, sizeof(path), "%s/dog.png", f.media.text);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(bedrock_borrow(bedrock_of(f.k.b), "bucket", NULL, &s3, &e), 0);
	assert_int_equal(bedrock_media_put(media, s3, "f/", &e), -EAGAIN);
	assert_non_null(strstr(e.text, "1 of the 2"));
	bedrock_return(bedrock_of(f.k.b), s3);
	bedrock_media_free(media);
	bedrockkit_close(&f.k);
}

static void test_no_input(void **state)
{
	struct fixture f;
	struct err e;

	begin(&f, state, PLAIN);
	assert_int_equal(unlink(f.input.text), 0);
	assert_int_equal(put(&f, &e), -ENOENT);
	assert_true(e.text[0]);
	bedrockkit_close(&f.k);
}

static void test_encrypted(void **state)
{
	CLEANUP(kv_release) struct kv config = KV_INIT;
	struct fixture f;
	struct err e;

	begin(&f, state, PLAIN);
	assert_int_equal(kv_set(&config, "kms_key", "alias/of-the-job"), 0);
	f.p.config = &config;
	assert_int_equal(put(&f, &e), 0);
	assert_string_equal(awsserver_header(bedrockkit_find(&f.k, "PUT", "input.jsonl", 0),
					     "x-amz-server-side-encryption-aws-kms-key-id"),
			    "alias/of-the-job");
	bedrockkit_close(&f.k);
}

/* --- purge --- */

static void test_purge(void **state)
{
	struct fixture f;
	struct err e;

	begin(&f, state, PLAIN);
	bedrockkit_put(&f.k, FOLDER "input.jsonl", "1");
	bedrockkit_put(&f.k, FOLDER "media/cat.png", "2");
	bedrockkit_put(&f.k, FOLDER "output/ab12cd34ef56/input.jsonl.out", "3");
	bedrockkit_put(&f.k, "bucket/batch/My-job-2-another/input.jsonl", "4");
	bedrockkit_put(&f.k, "bucket/batch/other", "5");
	assert_int_equal(f.k.b->ops->purge(f.k.b, &f.p, NULL, &e), 0);
	assert_int_equal(bedrockkit_count(&f.k, "DELETE", ""), 3);
	assert_non_null(bedrockkit_object(&f.k, "bucket/batch/other"));
	assert_non_null(bedrockkit_object(&f.k, "bucket/batch/My-job-2-another/input.jsonl"));
	/* Repeatable. */
	assert_int_equal(f.k.b->ops->purge(f.k.b, &f.p, NULL, &e), 0);
	assert_int_equal(bedrockkit_count(&f.k, "DELETE", ""), 3);
	bedrockkit_check_signed(&f.k);
	bedrockkit_close(&f.k);
}

static void test_purge_of_many(void **state)
{
	struct fixture f;
	struct err e = ERR_INIT;
	char key[128];

	begin(&f, state, PLAIN);
	for (unsigned i = 0; i < 250; i++) {
		snprintf(key, sizeof(key), FOLDER "media/%u", i);
		bedrockkit_put(&f.k, key, "x");
	}
	/* A server that only says so is not asked for ever. */
	bedrockkit_rule(&f.k, "DELETE", "", 400, (struct awsserver_reply){.status = 204});
	assert_int_equal(f.k.b->ops->purge(f.k.b, &f.p, NULL, &e), -EAGAIN);
	assert_true(e.text[0]);
	awsserver_forget(f.k.server);
	assert_int_equal(f.k.b->ops->purge(f.k.b, &f.p, NULL, &e), 0);
	assert_int_equal(bedrockkit_count(&f.k, "DELETE", ""), 250);
	assert_int_equal(bedrockkit_count(&f.k, "GET", "list-type=2"), 2);
	bedrockkit_close(&f.k);
}

/* Of a job made elsewhere only the results are ours to delete. */
static void test_purge_elsewhere(void **state)
{
	static const char more[] =
		",\"inputDataConfig\":{\"s3InputDataConfig\":{\"s3Uri\":\"s3://bucket/in/x.jsonl\"}},"
		"\"outputDataConfig\":{\"s3OutputDataConfig\":{\"s3Uri\":\"s3://other/out\"}}";
	struct bedrockkit_job j = {
		.id = "ab12cd34ef56", .name = "n", .status = "InProgress", .more = more};
	struct bedrockkit k;
	struct err e = ERR_INIT;

	(void)state;
	bedrockkit_open(&k, NULL);
	bedrockkit_add_job(&k, j);
	bedrockkit_put(&k, "bucket/in/x.jsonl", "1");
	bedrockkit_put(&k, "other/out/ab12cd34ef56/x.jsonl.out", "2");
	bedrockkit_put(&k, "other/out/ab12cd34ef567/x.jsonl.out", "3");
	assert_int_equal(k.b->ops->purge(k.b, NULL, BEDROCKKIT_ARN "ab12cd34ef56", &e), -EBUSY);
	assert_true(e.text[0]);
	snprintf(k.jobs[0].status, sizeof(k.jobs[0].status), "Completed");
	assert_int_equal(k.b->ops->purge(k.b, NULL, BEDROCKKIT_ARN "ab12cd34ef56", &e), 0);
	assert_int_equal(bedrockkit_count(&k, "DELETE", ""), 1);
	assert_null(bedrockkit_object(&k, "other/out/ab12cd34ef56/x.jsonl.out"));
	assert_int_equal(k.b->ops->purge(k.b, NULL, BEDROCKKIT_ARN "gone", &e), 0);
	bedrockkit_close(&k);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, tempdir_setup, tempdir_teardown)
	const struct CMUnitTest tests[] = {
		T(test_plain),
		T(test_media),
		T(test_many_files),
		T(test_refusals),
		T(test_too_large),
		T(test_refused_by_s3),
		T(test_credentials_expire),
		T(test_media_refused),
		T(test_media_that_vanish),
		T(test_no_input),
		T(test_encrypted),
		T(test_purge),
		T(test_purge_elsewhere),
		T(test_purge_of_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
