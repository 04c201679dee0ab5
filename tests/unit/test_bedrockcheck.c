/* What is said of an input before anything is sent. */

#include "tests/unit/cmocka_all.h"

#include <string.h>

#include "tests/unit/bedrockkit.h"
#include "tests/unit/tempdir.h"

struct fixture {
	struct bedrockkit k;
	struct tempdir_name input;
	struct backend_part p;
	struct buf faults, warnings;
	struct backend_input_check check;
};

static void begin(struct fixture *f, void **state, const char *model, const char *input)
{
	FILE *file;

	bedrockkit_open(&f->k, NULL);
	f->input = tempdir_path(state, "input.jsonl");
	file = fopen(f->input.text, "w");
	assert_non_null(file);
	assert_true(fputs(input, file) >= 0);
	assert_int_equal(fclose(file), 0);
	f->p = (struct backend_part){.token = BEDROCKKIT_TOKEN,
				     .job_name = "n",
				     .model = model,
				     .input_path = f->input.text,
				     .attempt = 1};
	buf_init(&f->faults, 65536);
	buf_init(&f->warnings, 65536);
	f->check = (struct backend_input_check){.faults = &f->faults, .warnings = &f->warnings};
}

static void end(struct fixture *f)
{
	assert_int_equal(awsserver_count(f->k.server), 0); /* nobody was asked */
	bedrockkit_close(&f->k);
	buf_release(&f->faults);
	buf_release(&f->warnings);
}

#define CLAUDE "anthropic.claude-3-haiku-20240307-v1:0"
#define GOOD                                                                                       \
	"{\"recordId\":\"a\",\"modelInput\":{\"anthropic_version\":\"bedrock-2023-05-31\","        \
	"\"max_tokens\":10,\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}}\n"

static void test_good(void **state)
{
	struct fixture f;
	struct err e = ERR_INIT;

	begin(&f, state, CLAUDE, GOOD GOOD);
	assert_int_equal(f.k.b->ops->check_input(f.k.b, &f.p, &f.check, &e), 0);
	assert_string_equal(f.faults.data, "");
	assert_true(f.check.has_estimate);
	assert_int_equal(f.check.estimate.output, 20);
	assert_true(f.check.estimate.input > 0);
	end(&f);
}

static void test_faults(void **state)
{
	struct fixture f;
	struct err e = ERR_INIT;

	/* The last line has no newline, and is looked at all the same. */
	begin(&f, state, CLAUDE,
	      GOOD "{\"recordId\":\"b\",\"modelInput\":{\"anthropic_version\":"
		   "\"bedrock-2023-05-31\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}}");
	kv_release(&bedrock_of(f.k.b)->options);
	assert_int_equal(f.k.b->ops->check_input(f.k.b, &f.p, &f.check, &e), 0);
	assert_non_null(strstr(f.faults.data, "role"));
	assert_non_null(strstr(f.faults.data, "input.jsonl:2: "));
	assert_non_null(strstr(f.faults.data, "max_tokens"));
	assert_null(strstr(f.faults.data, "input.jsonl:1: "));
	end(&f);
}

/* The service does not document what ids it takes. */
static void test_unusual_ids(void **state)
{
#define X16 "xxxxxxxxxxxxxxxx"
	static const struct {
		const char *why, *id;
		bool warns;
	} rows[] = {
		{"a UUID", "\"787d0196-c524-4236-9fc4-d13ae78296ce\"", false},
		{"64 characters", "\"" X16 X16 X16 X16 "\"", false},
		{"65", "\"" X16 X16 X16 X16 "x\"", true},
		{"a space", "\"a b\"", true},
		{"a path", "\"a/b\"", true},
		{"an escape", "\"a\\u0062\"", true},
		{"not ASCII", "\"\xc3\xa4\"", true},
		{"no string, which is said elsewhere", "7", false},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char line[512], text[1100];
		struct fixture f;
		struct err e = ERR_INIT;

		snprintf(line, sizeof(line), "{\"recordId\":%s,\"modelInput\":{\"x\":1}}\n",
			 rows[i].id);
		snprintf(text, sizeof(text), "%s%s", line, line);
		begin(&f, state, "unknown.model-v1:0", text);
		assert_int_equal(f.k.b->ops->check_input(f.k.b, &f.p, &f.check, &e), 0);
		if (!strstr(f.warnings.data, "input.jsonl:1: recordId: ") == rows[i].warns)
			fail_msg("%s: %s", rows[i].why, f.warnings.data);
		assert_null(strstr(f.warnings.data, "input.jsonl:2: recordId"));
		end(&f);
	}
}

static void test_half_a_vpc(void **state)
{
	CLEANUP(kv_release) struct kv config = KV_INIT;
	struct fixture f;
	struct err e = ERR_INIT;

	begin(&f, state, CLAUDE, GOOD);
	assert_int_equal(kv_set(&config, "subnets", "s-1"), 0);
	f.p.config = &config;
	assert_int_equal(f.k.b->ops->check_input(f.k.b, &f.p, &f.check, &e), 0);
	assert_non_null(strstr(f.faults.data, "security_groups"));
	end(&f);
}

static void test_media(void **state)
{
	struct fixture f;
	struct err e = ERR_INIT;

	begin(&f, state, "unknown.model-v1:0",
	      "{\"recordId\":\"a\",\"modelInput\":{\"x\":\"media://cat.png\"}}\n");
	assert_int_equal(f.k.b->ops->check_input(f.k.b, &f.p, &f.check, &e), 0);
	assert_non_null(strstr(f.faults.data, "input.jsonl:1: media://cat.png"));
	end(&f);
}

static void test_unreadable(void **state)
{
	struct tempdir_name nowhere = tempdir_path(state, "nowhere");
	struct fixture f;
	struct err e = ERR_INIT;

	begin(&f, state, CLAUDE, GOOD);
	f.p.input_path = nowhere.text;
	assert_int_equal(f.k.b->ops->check_input(f.k.b, &f.p, &f.check, &e), -ENOENT);
	assert_true(e.text[0]);
	end(&f);
}

static void test_models(void **state)
{
	struct bedrockkit k;

	(void)state;
	bedrockkit_open(&k, NULL);
	assert_int_equal(k.b->ops->check_model(k.b, CLAUDE, NULL), 0);
	assert_int_equal(k.b->ops->check_model(k.b, "no model", NULL), -EINVAL);
	assert_int_equal(k.b->ops->forget(k.b, "x", NULL), 0);
	bedrockkit_close(&k);
}

static void test_open_refuses(void **state)
{
	static const struct {
		const char *why, *key, *value;
	} rows[] = {
		{"an option that is none", "colour", "red"},
		{"a value that is none", "timeout", "1"},
		{"no job could be sent", "min_records", "11"},
		{"half a VPC", "subnets", "subnet-1"},
		{"the other half", "security_groups", "sg-1"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(kv_release) struct kv options = KV_INIT;
		struct bedrock_place place = {
			.bucket = "bucket", .prefix = "", .options = &options};
		struct backend *b = NULL;
		struct err e = ERR_INIT;

		assert_int_equal(kv_set(&options, rows[i].key, rows[i].value), 0);
		assert_int_equal(kv_set(&options, "max_records_per_job", "10"), 0);
		if (bedrock_open(&place, &b, &e) != -EINVAL || !e.text[0])
			fail_msg("%s", rows[i].why);
	}
	{
		struct bedrock_place place = {.bucket = "Bucket", .prefix = ""};
		struct backend *b = NULL;

		assert_int_equal(bedrock_open(&place, &b, NULL), -EINVAL);
		place.bucket = "bucket";
		unsetenv("AWS_REGION");
		unsetenv("AWS_DEFAULT_REGION");
		setenv("AWS_CONFIG_FILE", "/dev/null", 1);
		assert_int_equal(bedrock_open(&place, &b, NULL), -EINVAL); /* no region */
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, tempdir_setup, tempdir_teardown)
	const struct CMUnitTest tests[] = {
		T(test_good),  T(test_unusual_ids), T(test_faults), T(test_half_a_vpc),
		T(test_media), T(test_unreadable),  T(test_models), T(test_open_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
