#include "backend/local/builtin.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "backend/local/engine.h"
#include "backend/local/fill.h"
#include "backend/local/hashembed.h"
#include "backend/text.h"

/*
 * One loop serves them all.  Records under way are a queue of at most
 * `parallel`, each due delay_ms after it was taken; as the delay is the same
 * for all, the oldest is always due first, and waiting needs no thread and no
 * timer: one poll of the cancel descriptor until the head is due.  Without a
 * delay a record is answered as it is taken, and answers are written in
 * batches.
 */

#define PARALLEL_MAX  64
#define BATCH_LINES   64
#define ANSWER_MAX    (64u * 1024 * 1024)
#define MESSAGE_MAX   512
#define SLOW_DELAY_MS 200
#define FAIL_RATE     0.3

/* What stays the same over a run, and memory used again for each record. */
struct work {
	const struct engine_job *job;
	const struct builtin *builtin;
	struct buf question, answer, output;
	const char *template; /* borrowed from the job */
	unsigned dimensions;
	double fail_rate;
	unsigned fail_attempts;
	struct tokens tokens;
	char code[32], message[MESSAGE_MAX]; /* of a record that failed */
};

struct builtin {
	const char *name, *what;
	uint64_t delay_ms;
	/* Fills w->output and w->tokens.  -errno: w->code and w->message. */
	int (*answer)(struct work *w, const struct feed_record *r);
};

static uint64_t count_words(const char *s, size_t size)
{
	uint64_t n = 0;
	bool inside = false;

	for (size_t i = 0; i < size; i++) {
		bool space = s[i] == ' ' || (s[i] >= '\t' && s[i] <= '\r');

		n += !space && !inside;
		inside = !space;
	}
	return n;
}

static int refuse(struct work *w, const char *code, const char *message)
{
	snprintf(w->code, sizeof(w->code), "%s", code);
	snprintf(w->message, sizeof(w->message), "%s", message);
	return -EINVAL;
}

static const char *short_name(const struct builtin *b)
{
	return b->name + strlen("builtin.");
}

/* What a person would call the question; without one, all of the modelInput. */
static void find_question(struct work *w, const struct feed_record *r)
{
	buf_clear(&w->question);
	if (text_prompt(r->input, &w->question))
		return;
	buf_clear(&w->question);
	buf_add(&w->question, r->input.at, r->input.size);
}

static int write_text(struct work *w, const struct buf *text)
{
	struct buf *o = &w->output;

	w->tokens = (struct tokens){
		.input = count_words(w->question.data, w->question.size),
		.output = count_words(text->data, text->size),
	};
	buf_clear(o);
	buf_add_str(o, "{\"output\":{\"message\":{\"role\":\"assistant\",\"content\":[{\"text\":");
	buf_add_json(o, text->data, text->size);
	buf_addf(o,
		 "}]}},\"stopReason\":\"end_turn\",\"usage\":{\"inputTokens\":%llu,"
		 "\"outputTokens\":%llu,\"totalTokens\":%llu,\"estimated\":true},"
		 "\"builtin\":{\"model\":\"%s\",\"version\":1,\"note\":\"not a language model\"}}",
		 (unsigned long long)w->tokens.input, (unsigned long long)w->tokens.output,
		 (unsigned long long)(w->tokens.input + w->tokens.output), short_name(w->builtin));
	if (buf_error(&w->question) || buf_error(text) || buf_error(o))
		return refuse(w, "TooLarge", "the answer does not fit into memory");
	return 0;
}

static int answer_echo(struct work *w, const struct feed_record *r)
{
	find_question(w, r);
	return write_text(w, &w->question);
}

static int answer_template(struct work *w, const struct feed_record *r)
{
	struct err e = ERR_INIT;

	find_question(w, r);
	buf_clear(&w->answer);
	if (fill(w->template, r->input, &w->answer, &e) == -ENOENT)
		return refuse(w, "TemplateError", e.text);
	return write_text(w, &w->answer);
}

static int answer_hash_embed(struct work *w, const struct feed_record *r)
{
	struct jsonspan size = jsonspan_get(r->input, "dimensions");
	struct jsonspan normalize = jsonspan_get(r->input, "normalize");
	double v[HASHEMBED_DIMENSIONS_MAX];
	uint64_t d = w->dimensions;
	bool normal = true;

	if (jsonspan_is_set(size) &&
	    (!jsonspan_u64(size, &d) || (d != 256 && d != 512 && d != 1024)))
		return refuse(w, "ValidationException", "dimensions: give 256, 512 or 1024");
	if (jsonspan_is_set(normalize)) {
		if (jsonspan_type(normalize) != JSONSPAN_BOOL)
			return refuse(w, "ValidationException", "normalize: give true or false");
		normal = *normalize.at == 't';
	}
	buf_clear(&w->question);
	if (!jsonspan_string(jsonspan_get(r->input, "inputText"), &w->question) &&
	    !text_prompt(r->input, &w->question))
		return refuse(w, "ValidationException", "the record has no inputText");
	if (hashembed(w->question.data, w->question.size, normal, v, (unsigned)d) < 0)
		return refuse(w, "TooLarge", "the text has too many different words");
	w->tokens = (struct tokens){.input = count_words(w->question.data, w->question.size)};
	buf_clear(&w->output);
	buf_add_str(&w->output, "{\"embedding\":");
	hashembed_print(v, (unsigned)d, &w->output);
	buf_addf(
		&w->output,
		",\"inputTextTokenCount\":%llu,\"builtin\":{\"model\":\"hash-embed\",\"version\":1,"
		"\"estimated\":true,\"note\":\"hashed words, not a language model\"}}",
		(unsigned long long)w->tokens.input);
	if (buf_error(&w->question) || buf_error(&w->output))
		return refuse(w, "TooLarge", "the answer does not fit into memory");
	return 0;
}

/* A number in [0, 1) that depends on the id alone: FNV-1a, then the finalizer
 * of MurmurHash3, of which the upper 53 bits. */
static double share_of(const char *id, size_t size)
{
	uint64_t h = 14695981039346656037u;

	for (size_t i = 0; i < size; i++)
		h = (h ^ (unsigned char)id[i]) * 1099511628211u;
	h = (h ^ (h >> 33)) * 0xff51afd7ed558ccdu;
	h = (h ^ (h >> 33)) * 0xc4ceb9fe1a85ec53u;
	h ^= h >> 33;
	return (double)(h >> 11) / 9007199254740992.0;
}

static int answer_fail(struct work *w, const struct feed_record *r)
{
	char message[MESSAGE_MAX];

	if (w->job->attempt > w->fail_attempts || share_of(r->id, r->id_size) >= w->fail_rate)
		return answer_echo(w, r);
	snprintf(message, sizeof(message),
		 "builtin.fail fails this record on attempt %u, as it was asked to; it works from "
		 "attempt %u on",
		 w->job->attempt, w->fail_attempts + 1);
	return refuse(w, "BuiltinFailure", message);
}

static const struct builtin builtins[] = {
	{"builtin.echo", "answers with the question; not a language model", 0, answer_echo},
	{"builtin.template",
	 "fills template = ...{{path}}... from the record; not a language model", 0,
	 answer_template},
	{"builtin.hash-embed", "vectors of hashed words and letters; not a language model", 0,
	 answer_hash_embed},
	{"builtin.fail", "as echo, but a share of the records fails at first; for tests", 0,
	 answer_fail},
	{"builtin.slow", "as echo, but takes its time; for tests", SLOW_DELAY_MS, answer_echo},
};

size_t builtin_count(void)
{
	return COUNT_OF(builtins);
}

const char *builtin_name(size_t i)
{
	assert(i < COUNT_OF(builtins));
	return builtins[i].name;
}

/* The builtin a definition names; engines.c lets no other name through. */
static const struct builtin *find(const struct kv *definition)
{
	const char *name = kv_get(definition, "engine");
	size_t found = 0;

	for (size_t i = 0; name && i < COUNT_OF(builtins); i++)
		if (strcmp(builtins[i].name, name) == 0)
			found = i;
	assert(name && strcmp(builtins[found].name, name) == 0);
	return &builtins[found];
}

static const struct engine_key keys[] = {
	{.name = "engine",
	 .type = ENGINE_CHOICE,
	 .choices = "builtin.echo|builtin.template|builtin.hash-embed|builtin.fail|builtin.slow"},
	{.name = "delay_ms", .type = ENGINE_NUMBER, .min = 0, .max = 600000, .in_job = true},
	{.name = "parallel", .type = ENGINE_NUMBER, .min = 1, .max = PARALLEL_MAX, .in_job = true},
	{.name = "fail_rate", .type = ENGINE_DECIMAL, .min = 0, .max = 1, .in_job = true},
	{.name = "fail_attempts", .type = ENGINE_NUMBER, .min = 1, .max = 1000, .in_job = true},
	{.name = "template", .type = ENGINE_TEXT, .check = fill_check, .in_job = true},
	{.name = "dimensions", .type = ENGINE_CHOICE, .choices = "256|512|1024", .in_job = true},
	{.name = NULL},
};

static int accept_job(const struct engine_job *job, struct err *e)
{
	const char *template = engine_setting(&engine_builtin, job, "template");

	if (template)
		return fill_check(template, e);
	if (find(job->definition)->answer == answer_template)
		return err_set(e, -EINVAL,
			       "%s: needs a template; write \"template = You said: "
			       "{{messages/0/content}}\" into the job's config",
			       job->model);
	return 0;
}

static void describe(const struct kv *definition, struct buf *out)
{
	const struct builtin *b = find(definition);

	buf_add_str(out, b->what);
}

static void answer(struct work *w, struct feed *f, struct feed_record *r)
{
	if (w->builtin->answer(w, r) == 0)
		feed_good(f, r, w->output.data, w->output.size, &w->tokens);
	else
		feed_bad(f, r, w->code, w->message, w->builtin->answer == answer_fail);
}

/* The records under way, oldest first. */
struct queue {
	struct feed_record *records[PARALLEL_MAX];
	int64_t due_mono_ns[PARALLEL_MAX];
	size_t first, count;
};

static struct feed_record *queue_take(struct queue *q)
{
	struct feed_record *r = q->records[q->first];

	q->first = (q->first + 1) % PARALLEL_MAX;
	q->count--;
	return r;
}

static int run_delayed(struct work *w, struct feed *f, size_t parallel, int64_t delay_ns,
		       struct err *e)
{
	struct clock *clock = w->job->clock;
	struct queue q = {.count = 0};
	bool drained = false;
	int r = 0;

	for (;;) {
		while (!drained && q.count < parallel) {
			struct feed_record *rec;
			size_t at = (q.first + q.count) % PARALLEL_MAX;

			r = feed_next(f, &rec, e);
			if (r < 0)
				break;
			q.records[at] = rec;
			q.due_mono_ns[at] = clock_mono_ns(clock) + delay_ns;
			q.count++;
		}
		drained = drained || r == -ENODATA;
		if (r < 0 && r != -ENODATA && r != -EAGAIN)
			break;
		r = 0;
		if (q.count == 0)
			return 0;
		if (feed_wait(f, clock, q.due_mono_ns[q.first])) {
			r = -ECANCELED;
			break;
		}
		answer(w, f, queue_take(&q));
	}
	while (q.count)
		feed_drop(f, queue_take(&q));
	return r;
}

static int run_at_once(struct work *w, struct feed *f, struct err *e)
{
	struct feed_record *rec;
	int r;

	feed_batch(f, BATCH_LINES);
	while ((r = feed_next(f, &rec, e)) == 0)
		answer(w, f, rec);
	return r == -ENODATA ? 0 : r;
}

static void work_release(struct work *w)
{
	buf_release(&w->question);
	buf_release(&w->answer);
	buf_release(&w->output);
}

static int run(const struct engine_job *job, struct feed *f, struct err *e)
{
	const struct engine *g = &engine_builtin;
	const struct builtin *b = find(job->definition);
	CLEANUP(work_release)
	struct work w = {
		.job = job,
		.builtin = b,
		.template = engine_setting(g, job, "template"),
		.dimensions = 256,
		.fail_rate = engine_decimal(g, job, "fail_rate", FAIL_RATE),
		.fail_attempts = (unsigned)engine_number(g, job, "fail_attempts", 1),
	};
	const char *dimensions = engine_setting(g, job, "dimensions");
	uint64_t delay_ms = engine_number(g, job, "delay_ms", b->delay_ms);
	uint64_t d;
	int r;

	buf_init(&w.question, ANSWER_MAX);
	buf_init(&w.answer, ANSWER_MAX);
	buf_init(&w.output, ANSWER_MAX * 2);
	r = accept_job(job, e);
	if (r < 0)
		return r;
	if (dimensions && kv_parse_u64("dimensions", dimensions, 256, 1024, &d, NULL) == 0)
		w.dimensions = (unsigned)d;
	if (delay_ms == 0)
		return run_at_once(&w, f, e);
	return run_delayed(&w, f, engine_number(g, job, "parallel", 4),
			   (int64_t)delay_ms * NS_PER_MS, e);
}

const struct engine engine_builtin = {
	.name = "builtin",
	.keys = keys,
	.accept = accept_job,
	.run = run,
	.describe = describe,
};
