#include "tests/unit/ondemandkit.h"

#include <string.h>

#include "backend/envelope.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/tempdir.h"

#define GOOD                                                                                       \
	"{\"generation\":\"yes\",\n \"prompt_token_count\":2,\"generation_token_count\":3,"        \
	"\"stop_reason\":\"stop\"}"

static int64_t stepping_mono_ns(struct clock *c)
{
	c->now_mono_ns += 10 * NS_PER_MS;
	return c->now_mono_ns;
}

static void handle(void *ctx, const struct awsserver_request *q, struct awsserver_reply *reply)
{
	struct ondemandkit *k = ctx;
	const char *at = strstr(q->body, "\"prompt\":\"p");
	unsigned i = at ? (unsigned)strtoul(at + 11, NULL, 10) : 0, asked;

	*reply = k->good;
	if (strncmp(q->target, "/model/", 7) != 0 || i >= ONDEMANDKIT_RECORDS) {
		*reply = (struct awsserver_reply){.status = 500, .body = "not the runtime"};
		return;
	}
	asked = atomic_fetch_add(&k->fates[i].asked, 1);
	if (asked < k->fates[i].times)
		*reply = k->fates[i].reply;
	if (k->on_ask)
		k->on_ask(k->ctx, i, atomic_fetch_add(&k->asked, 1) + 1);
}

void ondemandkit_open(struct ondemandkit *k, const char *option, const char *other)
{
	memset(k, 0, sizeof(*k));
	bedrockkit_open(&k->k, option ? option : other, option ? other : NULL, NULL);
	assert_int_equal(tempdir_setup(&k->dir), 0);
	snprintf(k->input, sizeof(k->input), "%s/input.jsonl", (const char *)k->dir);
	snprintf(k->output, sizeof(k->output), "%s/output.jsonl", (const char *)k->dir);
	k->good = (struct awsserver_reply){.body = GOOD};
	k->k.clock.mono_ns = stepping_mono_ns;
	k->part = (struct backend_part){.token = BEDROCKKIT_TOKEN,
					.job_name = "a job",
					.model = "us.meta.llama3-3-70b-instruct-v1:0",
					.input_path = k->input,
					.attempt = 1};
	awsserver_handle(k->k.server, handle, k);
}

void ondemandkit_close(struct ondemandkit *k)
{
	bedrockkit_close(&k->k);
	tempdir_teardown(&k->dir);
}

void ondemandkit_input(struct ondemandkit *k, const char *text)
{
	CLEANUP(file_closep) FILE *f = fopen(k->input, "we");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	k->part.record_count = 0;
	for (; *text; text++)
		k->part.record_count += *text == '\n';
}

void ondemandkit_records(struct ondemandkit *k, unsigned count)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT(1 << 20);

	assert_true(count <= ONDEMANDKIT_RECORDS);
	for (unsigned i = 0; i < count; i++)
		buf_addf(
			&text,
			"{\"recordId\":\"r%u\",\"modelInput\":{\"prompt\":\"p%u\",\"a\":[1, 2]}}\n",
			i, i);
	ondemandkit_input(k, text.data);
}

void ondemandkit_fate(struct ondemandkit *k, unsigned record, unsigned times,
		      struct awsserver_reply reply)
{
	k->fates[record].times = times;
	k->fates[record].reply = reply;
}

void ondemandkit_on_ask(struct ondemandkit *k, ondemandkit_asks *on_ask, void *ctx)
{
	k->on_ask = on_ask;
	k->ctx = ctx;
	awsserver_handle(k->k.server, handle, k); /* under its lock: its threads see it */
}

bool ondemandkit_told(void *ctx, const struct counts *counts, const struct tokens *tokens)
{
	struct ondemandkit *k = ctx;

	k->told++;
	assert_true(counts->good >= k->counts.good && counts->failed >= k->counts.failed);
	assert_int_equal(counts->total, k->part.record_count);
	k->counts = *counts;
	k->tokens = *tokens;
	/* What is told of is in the file. */
	assert_true(ondemandkit_lines(k) >= counts->good + counts->failed);
	return !k->stop_at || counts->good + counts->failed < k->stop_at;
}

int ondemandkit_run(struct ondemandkit *k, struct err *e)
{
	k->counts = (struct counts){0};
	return k->k.b->ops->run_now(k->k.b, &k->part, k->output, ondemandkit_told, k, e);
}

unsigned ondemandkit_asked(struct ondemandkit *k, unsigned record)
{
	return atomic_load(&k->fates[record].asked);
}

void ondemandkit_output(struct ondemandkit *k, struct buf *ret)
{
	CLEANUP(file_closep) FILE *f = fopen(k->output, "re");
	char bytes[4096];
	size_t n;

	while (f && (n = fread(bytes, 1, sizeof(bytes), f)) > 0)
		buf_add(ret, bytes, n);
	assert_int_equal(buf_error(ret), 0);
}

unsigned ondemandkit_lines(struct ondemandkit *k)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(64 << 20);
	unsigned n = 0;

	ondemandkit_output(k, &out);
	for (size_t i = 0; i < out.size; i++)
		n += out.data[i] == '\n';
	return n;
}

unsigned ondemandkit_line(struct ondemandkit *k, const char *id, struct buf *ret)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(64 << 20);
	unsigned n = 0;
	char *at, *end;

	ondemandkit_output(k, &out);
	for (at = out.data; (end = strchr(at, '\n')); at = end + 1) {
		struct envelope v;

		assert_int_equal(envelope_parse(at, (size_t)(end - at), &v), 0);
		if (!jsonspan_equals(v.id, id))
			continue;
		n++;
		buf_clear(ret);
		buf_add(ret, at, (size_t)(end - at));
	}
	return n;
}
