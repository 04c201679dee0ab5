/* Nothing is to be said of the examples that are shown to users. */

#include <string.h>

#include "backend/aws/models.h"
#include "backend/aws/naming.h"
#include "fs/base/jsonspan.h"
#include "fs/base/kv.h"
#include "tests/unit/cmocka_all.h"

#define FILE_MAX (1024 * 1024)

static char *read_file(const char *dir, const char *name)
{
	CLEANUP(str_freep) char *path = NULL;
	CLEANUP(file_closep) FILE *f = NULL;
	const char *source = getenv("BATCHFS_SOURCE");
	char *text = calloc(1, FILE_MAX);

	assert_non_null(text);
	assert_true(asprintf(&path, "%s/docs/examples/%s/%s", source ? source : ".", dir, name) >
		    0);
	f = fopen(path, "r");
	if (!f)
		fail_msg("no %s; BATCHFS_SOURCE names the source", path);
	assert_true(fread(text, 1, FILE_MAX - 1, f) > 0);
	return text;
}

static void lint(const char *dir, struct models_lint *l, size_t records)
{
	CLEANUP(buf_release) struct buf faults = BUF_INIT(1000000);
	CLEANUP(buf_release) struct buf warnings = BUF_INIT(1000000);
	CLEANUP(str_freep)
	char *text = read_file(dir, strcmp(dir, ".") == 0 ? "conversations.jsonl" : "input.jsonl");

	for (const char *line = text, *stop; *line; line = stop + 1) {
		struct jsonspan body;

		stop = strchr(line, '\n');
		assert_non_null(stop);
		body = jsonspan_get(jsonspan_of(line, (size_t)(stop - line)), "modelInput");
		models_lint_body(l, dir, body.at, body.size, &faults, &warnings);
	}
	if (l->faults || l->warnings)
		fail_msg("%s: %s%s", dir, faults.data, warnings.data);
	assert_true(l->records >= records);
	assert_true(l->text_bytes > 100 * l->records);
}

static void test_all(void **state)
{
	static const struct {
		const char *dir;
		enum model_family family;
		bool converse;
	} rows[] = {
		{"bedrock/claude", FAMILY_CLAUDE, false},
		{"bedrock/nova", FAMILY_NOVA, false},
		{"bedrock/titan-embeddings", FAMILY_TITAN_EMBED_TEXT, false},
		{"bedrock/llama", FAMILY_LLAMA, false},
		{"bedrock/converse", FAMILY_CLAUDE, true},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(str_freep) char *model = read_file(rows[i].dir, "model");
		CLEANUP(str_freep) char *config = read_file(rows[i].dir, "config");
		struct models_lint l = {.model = model};
		struct kv kv = KV_INIT;
		const char *invocation;

		model[strcspn(model, "\n")] = '\0';
		assert_int_equal(naming_check_model(model, NULL), 0);
		assert_int_equal(models_family(model), rows[i].family);
		assert_int_equal(kv_parse(&kv, "config", config, strlen(config), NULL), 0);
		invocation = kv_get(&kv, "invocation");
		l.converse = invocation && strcmp(invocation, "Converse") == 0;
		assert_int_equal(l.converse, rows[i].converse);
		kv_release(&kv);
		lint(rows[i].dir, &l, 3);
	}
}

static void test_conversations(void **state)
{
	struct models_lint l = {.model = "us.anthropic.claude-sonnet-4-6"};

	(void)state;
	lint(".", &l, 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all),
		cmocka_unit_test(test_conversations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
