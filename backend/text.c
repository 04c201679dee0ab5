#include "backend/text.h"

#include <errno.h>
#include <string.h>

#include "backend/textpath.h"
#include "backend/vectors.h"
#include "fs/base/utf8.h"

/*
 * A row a family, in the order they are tried; paths are those of textpath.h.
 *
 * An answer is choices (usually one), a choice is blocks in order, and a block
 * gives text, or is a tool call, or neither.  Thinking is never named in a
 * row, so it is left out by itself; but a model that writes its thinking into
 * its text (DeepSeek R1 up to "</think>", gpt-oss between <reasoning> tags)
 * has it stay there, since what looks like a tag may be part of the answer.
 *
 * Token paths are added up.  Anthropic's input count excludes what came from
 * a cache, so its cache counts are listed beside it; OpenAI's and Gemini's
 * include it.
 */

#define PATHS_MAX 5

struct family {
	const char *name;
	const char *shape;	       /* leads somewhere only in this family's answers */
	const char *choices, *blocks;  /* NULL: the answer itself, the choice itself */
	const char *texts[PATHS_MAX];  /* in a block */
	const char *tools[PATHS_MAX];  /* in a block */
	const char *stop;	       /* in the answer */
	const char *usage;	       /* in the answer; NULL: the answer itself */
	const char *input[PATHS_MAX];  /* in the usage */
	const char *output[PATHS_MAX]; /* in the usage */
	const char *vectors;	       /* instead of choices: an embedding family */
};

static const struct family families[] = {
	/* Nova, and every model through Converse. */
	{.name = "converse",
	 .shape = "output/message/content/@array",
	 .blocks = "output/message/content/*",
	 .texts = {"text/@string"},
	 .tools = {"toolUse"},
	 .stop = "stopReason",
	 .usage = "usage",
	 .input = {"inputTokens", "cacheReadInputTokens|cacheReadInputTokenCount",
		   "cacheWriteInputTokens|cacheWriteInputTokenCount"},
	 .output = {"outputTokens"}},
	{.name = "claude",
	 .shape = "[type=message]/content/@array|[stop_reason]/content/@array",
	 .blocks = "content/*",
	 .texts = {"text/@string"},
	 .tools = {"[type=tool_use]"},
	 .stop = "stop_reason",
	 .usage = "usage",
	 .input = {"input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"},
	 .output = {"output_tokens"}},
	{.name = "gemini",
	 .shape = "candidates/@array|promptFeedback",
	 .choices = "candidates/*",
	 .blocks = "content/parts/*",
	 .texts = {"[thought!=true]/text/@string"},
	 .tools = {"functionCall"},
	 .stop = "candidates/0/finishReason|promptFeedback/blockReason",
	 .usage = "usageMetadata",
	 .input = {"promptTokenCount"},
	 .output = {"candidatesTokenCount", "thoughtsTokenCount"}},
	{.name = "openai-responses",
	 .shape = "[object=response]|output/@array",
	 .blocks = "output/*",
	 .texts = {"[type=message]/content/*[type=output_text]/text/@string",
		   "[type=message]/content/*[type=refusal]/refusal/@string"},
	 .tools = {"[type=function_call]", "[type=custom_tool_call]"},
	 .stop = "incomplete_details/reason|status",
	 .usage = "usage",
	 .input = {"input_tokens"},
	 .output = {"output_tokens"}},
	/* Also Mistral's newer models, Jamba, DeepSeek V3, Qwen, gpt-oss, Palmyra. */
	{.name = "openai-chat",
	 .shape = "choices/0/message",
	 .choices = "choices/*",
	 .blocks = "message",
	 .texts = {"content/@string", "content/*[type=text]/text/@string", "content/*/@string",
		   "refusal/@string"},
	 .tools = {"tool_calls/*", "function_call"},
	 .stop = "choices/0/finish_reason|choices/0/stop_reason",
	 .usage = "usage",
	 .input = {"prompt_tokens"},
	 .output = {"completion_tokens"}},
	/* Also DeepSeek R1. */
	{.name = "openai-completions",
	 .shape = "choices/0/text/@string",
	 .choices = "choices/*",
	 .texts = {"text/@string"},
	 .stop = "choices/0/finish_reason|choices/0/stop_reason",
	 .usage = "usage",
	 .input = {"prompt_tokens"},
	 .output = {"completion_tokens"}},

	/* Embeddings.  data/ is also TwelveLabs Marengo's, without index and usage. */
	{.name = "openai-embeddings",
	 .shape = "data/0/embedding",
	 .vectors = "data/*",
	 .usage = "usage",
	 .input = {"prompt_tokens"}},
	{.name = "titan-embeddings",
	 .shape = "embedding/@array",
	 .vectors = "embedding",
	 .input = {"inputTextTokenCount"}},
	{.name = "gemini-embeddings",
	 .shape = "embedding/values/@array",
	 .vectors = "embedding/values",
	 .input = {"tokenCount|usageMetadata/promptTokenCount"}},
	{.name = "nova-embeddings", .shape = "embeddings/0/embedding", .vectors = "embeddings/*"},
	{.name = "cohere-embeddings", .shape = "embeddings/0/@array", .vectors = "embeddings/*"},
	{.name = "cohere-embeddings-by-type",
	 .shape = "embeddings/@object",
	 .vectors = "embeddings"},
	{.name = "titan-embeddings-by-type",
	 .shape = "embeddingsByType/@object",
	 .vectors = "embeddingsByType",
	 .input = {"inputTextTokenCount"}},

	{.name = "titan-text",
	 .shape = "results/0/outputText",
	 .choices = "results/*",
	 .texts = {"outputText/@string"},
	 .stop = "results/0/completionReason",
	 .input = {"inputTextTokenCount"},
	 .output = {"results/*/tokenCount"}},
	{.name = "llama",
	 .shape = "generation/@string",
	 .texts = {"generation"},
	 .stop = "stop_reason",
	 .input = {"prompt_token_count"},
	 .output = {"generation_token_count"}},
	{.name = "mistral-text",
	 .shape = "outputs/0/text/@string",
	 .choices = "outputs/*",
	 .texts = {"text/@string"},
	 .stop = "outputs/0/stop_reason"},
	{.name = "cohere-command",
	 .shape = "generations/0/text/@string",
	 .choices = "generations/*",
	 .texts = {"text/@string"},
	 .stop = "generations/0/finish_reason"},
	{.name = "jurassic-2",
	 .shape = "completions/0/data/text/@string",
	 .choices = "completions/*",
	 .texts = {"data/text/@string"},
	 .stop = "completions/0/finishReason/reason"},
	{.name = "claude-2",
	 .shape = "completion/@string",
	 .texts = {"completion"},
	 .stop = "stop_reason"},
	{.name = "cohere-command-r",
	 .shape = "text/@string",
	 .texts = {"text"},
	 .tools = {"tool_calls/*"},
	 .stop = "finish_reason",
	 .input = {"meta/billed_units/input_tokens"},
	 .output = {"meta/billed_units/output_tokens"}},
};

static const struct family *recognise(struct jsonspan output)
{
	for (size_t i = 0; i < COUNT_OF(families); i++)
		if (textpath_first(output, families[i].shape).at)
			return &families[i];
	return NULL;
}

/* --- building the text --- */

/* Where a text is put; from is where it begins in a buffer that may hold more. */
struct writing {
	struct buf *text;
	const struct family *family;
	size_t from;
	bool later_choice;
};

static void end_line(const struct writing *w)
{
	if (w->text->size > w->from && w->text->data[w->text->size - 1] != '\n')
		buf_add_char(w->text, '\n');
}

/* Adds JSON without the white space between its tokens, as one line. */
static void add_compact(struct buf *out, struct jsonspan v)
{
	const char *run = v.at, *end = v.at + v.size;
	bool quoted = false;

	for (const char *p = v.at; p < end; p++) {
		bool blank = *p == ' ' || *p == '\t' || *p == '\n' || *p == '\r';

		if (quoted && *p == '\\')
			p++;
		else if (*p == '"')
			quoted = !quoted;
		else if (blank && !quoted) {
			buf_add(out, run, (size_t)(p - run));
			run = p + 1;
		}
	}
	if (run < end)
		buf_add(out, run, (size_t)(end - run));
	buf_add_char(out, '\n');
}

static bool add_text(void *ctx, struct jsonspan v)
{
	struct writing *w = ctx;

	jsonspan_string(v, w->text);
	return true;
}

static bool add_tool_call(void *ctx, struct jsonspan v)
{
	struct writing *w = ctx;

	end_line(w);
	add_compact(w->text, v);
	return true;
}

static bool add_block(void *ctx, struct jsonspan block)
{
	struct writing *w = ctx;

	for (size_t i = 0; i < PATHS_MAX && w->family->texts[i]; i++)
		textpath_each(block, w->family->texts[i], add_text, w);
	for (size_t i = 0; i < PATHS_MAX && w->family->tools[i]; i++)
		textpath_each(block, w->family->tools[i], add_tool_call, w);
	return true;
}

static bool add_choice(void *ctx, struct jsonspan choice)
{
	struct writing *w = ctx;

	if (w->later_choice) {
		end_line(w);
		buf_add_str(w->text, "\f\n");
	}
	w->later_choice = true;
	textpath_each(choice, w->family->blocks ? w->family->blocks : "", add_block, w);
	return true;
}

/* --- stop reason and tokens --- */

/* Copies as much of a decoded string as fits, cut between characters; control
 * bytes, which no reason has, become '?'. */
static void copy_stop_reason(struct jsonspan v, char *ret)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(4096);
	size_t n = 0, step;

	jsonspan_string(v, &b);
	while (n < b.size) {
		step = utf8_char_size(b.data + n, b.size - n);
		if (!step || n + step >= TEXT_STOP_MAX)
			break;
		if ((unsigned char)b.data[n] < 0x20)
			b.data[n] = '?';
		n += step;
	}
	memcpy(ret, b.data, n);
	ret[n] = '\0';
}

static bool add_up(struct jsonspan output, const char *const *paths, uint64_t *ret)
{
	bool any = false;

	for (size_t i = 0; i < PATHS_MAX && paths[i]; i++)
		any |= textpath_sum(output, paths[i], ret);
	return any;
}

void text_extract(struct jsonspan output, struct buf *text, struct text_answer *ret)
{
	const struct family *f = recognise(output);
	struct writing w = {text, f, text->size, false};
	struct text_answer a = {0};
	struct jsonspan usage;
	bool input, generated;

	if (!f) {
		if (output.at && output.size)
			add_compact(text, output);
		*ret = a;
		return;
	}
	a.family = f->name;
	if (f->vectors)
		vectors_write(output, f->vectors, text);
	else
		textpath_each(output, f->choices ? f->choices : "", add_choice, &w);
	end_line(&w);

	if (f->stop)
		copy_stop_reason(textpath_first(output, f->stop), a.stop_reason);
	usage = f->usage ? textpath_first(output, f->usage) : output;
	input = add_up(usage, f->input, &a.tokens.input);
	generated = add_up(usage, f->output, &a.tokens.output);
	a.has_tokens = input || generated;
	*ret = a;
}

/* --- prompts --- */

/* Tried in this order; of several turns the last that holds text is taken. */
static const struct prompt {
	const char *turns;
	const char *texts[PATHS_MAX];
} prompts[] = {
	/* Claude, Converse, Nova, everything in the shape of OpenAI chat. */
	{"messages/*[role=user]",
	 {"content/@string", "content/*/text/@string", "content/*/@string"}},
	{"contents/*[role!=model]", {"parts/*[thought!=true]/text/@string"}}, /* Gemini */
	{"input/*[role=user]",						      /* OpenAI responses */
	 {"content/@string", "content/*/text/@string"}},
	{"input", {"@string", "*/@string"}},   /* the same; OpenAI embeddings */
	{"prompt/@string", {""}},	       /* Llama, Mistral, Cohere, Claude 2, completions */
	{"inputText/@string", {""}},	       /* Titan */
	{"message/@string", {""}},	       /* Cohere Command R */
	{"texts/@array", {"*/@string"}},       /* Cohere Embed */
	{"content", {"parts/*/text/@string"}}, /* Gemini embeddings */
	{"singleEmbeddingParams", {"text/value/@string"}}, /* Nova embeddings */
};

struct asking {
	struct buf *text;
	const struct prompt *prompt;
	size_t from;
	bool turn_began, found;
};

static bool add_question(void *ctx, struct jsonspan v)
{
	struct asking *a = ctx;

	if (!a->turn_began) { /* what an earlier turn said is not the last */
		a->turn_began = true;
		a->text->size = a->from;
	} else if (a->text->size > a->from && a->text->data[a->text->size - 1] != '\n') {
		buf_add_char(a->text, '\n');
	}
	a->found |= jsonspan_string(v, a->text);
	return true;
}

static bool ask_turn(void *ctx, struct jsonspan turn)
{
	struct asking *a = ctx;

	a->turn_began = false;
	for (size_t i = 0; i < PATHS_MAX && a->prompt->texts[i]; i++)
		textpath_each(turn, a->prompt->texts[i], add_question, a);
	return true;
}

bool text_prompt(struct jsonspan input, struct buf *text)
{
	struct asking a = {.text = text, .from = text->size};

	for (size_t i = 0; i < COUNT_OF(prompts) && !a.found; i++) {
		a.prompt = &prompts[i];
		textpath_each(input, prompts[i].turns, ask_turn, &a);
	}
	buf_add(text, "", 0); /* ends the string where it ends now */
	return a.found;
}
