#include "backend/local/httpshape.h"

#include <string.h>

#include "backend/http/http.h"
#include "fs/base/jsonscan.h"

/* The endings of paths that say by themselves which dialect is spoken. */
static const struct {
	const char *ending;
	enum httpshape_api api;
} endings[] = {
	{"/chat/completions", HTTPSHAPE_OPENAI}, {"/completions", HTTPSHAPE_OPENAI},
	{"/responses", HTTPSHAPE_OPENAI},	 {"/embeddings", HTTPSHAPE_OPENAI},
	{"/messages", HTTPSHAPE_ANTHROPIC},
};

static bool ends_with(const char *s, const char *ending)
{
	size_t size = strlen(s), end = strlen(ending);

	return size >= end && strcmp(s + size - end, ending) == 0;
}

static bool path_is_base(const char *path)
{
	return !*path || ends_with(path, "/v1");
}

/* The dialect, from the setting or else from the path. */
static int choose_api(struct httpshape *s, const char *setting, struct err *e)
{
	if (setting && strcmp(setting, "auto") != 0) {
		s->api = strcmp(setting, "anthropic") == 0 ? HTTPSHAPE_ANTHROPIC : HTTPSHAPE_OPENAI;
		return 0;
	}
	s->api = HTTPSHAPE_OPENAI;
	if (path_is_base(s->target.path))
		return 0;
	for (size_t i = 0; i < COUNT_OF(endings); i++) {
		if (!ends_with(s->target.path, endings[i].ending))
			continue;
		s->api = endings[i].api;
		return 0;
	}
	return err_set(e, -EINVAL,
		       "url: cannot tell from the path %s what is spoken there; end it with /v1, "
		       "/chat/completions, /embeddings or /messages, or set api = openai or "
		       "api = anthropic",
		       s->target.path);
}

/* origin + path + ending + query, or NULL without memory. */
static char *join(const struct target *t, const char *ending)
{
	const char *base = *ending && !*t->path ? "/v1" : t->path;
	char *url;

	if (asprintf(&url, "%s%s%s%s", t->origin, base, ending, t->query) < 0)
		return NULL;
	return url;
}

int httpshape_init(struct httpshape *ret, const char *name, const struct kv *definition,
		   struct err *e)
{
	CLEANUP(httpshape_release) struct httpshape s = HTTPSHAPE_INIT;
	const char *url = kv_get(definition, "url");
	const char *served = kv_get(definition, "served_model");
	bool base;
	int r;

	if (!url)
		return err_set(e, -EINVAL,
			       "url is missing: url = http://127.0.0.1:8080/v1, for example");
	r = target_parse(url, &s.target, e);
	if (r < 0)
		return r;
	r = choose_api(&s, kv_get(definition, "api"), e);
	if (r < 0)
		return r;
	s.model = served ? served : name;
	s.model_replaces = served != NULL;
	base = path_is_base(s.target.path);
	if (s.api == HTTPSHAPE_ANTHROPIC)
		s.url = join(&s.target, base ? "/messages" : "");
	else
		s.url = join(&s.target, base ? "/chat/completions" : "");
	if (base && s.api == HTTPSHAPE_OPENAI)
		s.url_embeddings = join(&s.target, "/embeddings");
	if (!s.url || (base && s.api == HTTPSHAPE_OPENAI && !s.url_embeddings))
		return err_set(e, -ENOMEM, "out of memory for a URL");
	*ret = s;
	memset(&s, 0, sizeof(s));
	return 0;
}

void httpshape_release(struct httpshape *s)
{
	target_release(&s->target);
	str_freep(&s->url);
	str_freep(&s->url_embeddings);
}

const char *httpshape_url(const struct httpshape *s, struct jsonspan input)
{
	if (s->url_embeddings && jsonspan_get(input, "input").at &&
	    !jsonspan_get(input, "messages").at)
		return s->url_embeddings;
	return s->url;
}

/* Does this member stay behind? */
static bool is_dropped(const struct httpshape *s, struct jsonspan key, bool put_model)
{
	if (jsonspan_equals(key, "stream") || jsonspan_equals(key, "stream_options"))
		return true;
	if (put_model && jsonspan_equals(key, "model"))
		return true;
	return s->api == HTTPSHAPE_ANTHROPIC && (jsonspan_equals(key, "anthropic_version") ||
						 jsonspan_equals(key, "anthropic_beta"));
}

void httpshape_body(const struct httpshape *s, struct jsonspan input, struct buf *out)
{
	bool put_model = s->model_replaces || !jsonspan_is_set(jsonspan_get(input, "model"));
	struct jsonspan_walk w = jsonspan_walk(input);
	const char *comma = "";

	buf_add_char(out, '{');
	if (put_model) {
		buf_add_str(out, "\"model\":");
		buf_add_json(out, s->model, strlen(s->model));
		comma = ",";
	}
	while (jsonspan_next(&w)) {
		if (is_dropped(s, w.key, put_model))
			continue;
		buf_add_str(out, comma);
		buf_add(out, w.key.at, w.key.size);
		buf_add_char(out, ':');
		buf_add(out, w.value.at, w.value.size);
		comma = ",";
	}
	buf_add_char(out, '}');
}

bool httpshape_beta(const struct httpshape *s, struct jsonspan input, struct buf *out)
{
	CLEANUP(buf_release) struct buf value = BUF_INIT(HTTPSHAPE_BETA_MAX);
	struct jsonspan_walk w;

	if (s->api != HTTPSHAPE_ANTHROPIC)
		return false;
	w = jsonspan_walk(jsonspan_get(input, "anthropic_beta"));
	while (jsonspan_next(&w)) {
		if (value.size)
			buf_add_char(&value, ',');
		if (!jsonspan_string(w.value, &value))
			return false;
	}
	if (buf_error(&value) < 0 || !value.size || strlen(value.data) != value.size ||
	    !http_header_is_valid("anthropic-beta", value.data))
		return false;
	buf_add_str(out, "anthropic-beta: ");
	buf_add(out, value.data, value.size);
	return true;
}

enum httpshape_verdict httpshape_judge(const char *body, size_t size)
{
	/* Each answer we know of has one of these when it is good. */
	static const char *const signs[] = {"choices", "content", "data", "output"};
	struct jsonspan v;

	if (!jsonscan_text_is_valid(body, size))
		return HTTPSHAPE_NOT_JSON;
	v = jsonspan_of(body, size);
	if (jsonspan_type(v) != JSONSPAN_OBJECT)
		return HTTPSHAPE_NOT_JSON;
	if (!jsonspan_is_set(jsonspan_get(v, "error")))
		return HTTPSHAPE_GOOD;
	for (size_t i = 0; i < COUNT_OF(signs); i++)
		if (jsonspan_is_set(jsonspan_get(v, signs[i])))
			return HTTPSHAPE_GOOD;
	return HTTPSHAPE_REFUSED;
}

void httpshape_compact(const char *body, size_t size, struct buf *out)
{
	struct jsonspan v = jsonspan_of(body, size);
	const char *end = v.at + v.size, *start = v.at;
	bool in_string = false;

	/* A string cannot hold a raw line end, so one without any goes whole. */
	if (!memchr(v.at, '\n', v.size) && !memchr(v.at, '\r', v.size)) {
		buf_add(out, v.at, v.size);
		return;
	}
	for (const char *p = v.at; p < end; p++) {
		if (in_string && *p == '\\') {
			p++;
		} else if (*p == '"') {
			in_string = !in_string;
		} else if (!in_string && strchr(" \t\r\n", *p) && *p) {
			buf_add(out, start, (size_t)(p - start));
			start = p + 1;
		}
	}
	buf_add(out, start, (size_t)(end - start));
}

/* A string or a number as text, cut to fit. */
static bool text_of(struct jsonspan v, char *out, size_t size)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(HTTP_ANSWER_MAX);

	if (jsonspan_type(v) == JSONSPAN_NUMBER)
		buf_add(&b, v.at, v.size);
	else if (!jsonspan_string(v, &b))
		return false;
	if (buf_error(&b) < 0 || !b.size)
		return false;
	/* Not within a character. */
	if (b.size >= size) {
		b.size = size - 1;
		while (b.size && ((unsigned char)b.data[b.size] & 0xc0) == 0x80)
			b.size--;
	}
	snprintf(out, size, "%.*s", (int)b.size, b.data);
	return true;
}

/* The first of these paths that holds text. */
static void first_of(struct jsonspan v, const char *const *paths, size_t count, char *out,
		     size_t size)
{
	for (size_t i = 0; i < count; i++)
		if (text_of(jsonspan_path(v, paths[i]), out, size))
			return;
}

void httpshape_read_error(const char *body, size_t size, struct httpshape_error *ret)
{
	static const char *const codes[] = {"error/code", "error/type", "error_type", "code",
					    "type"};
	/* OpenAI and Anthropic; TGI and Ollama; AWS; FastAPI, twice. */
	static const char *const messages[] = {"error/message", "error",	"message",
					       "errorMessage",	"detail/0/msg", "detail"};
	struct jsonspan v = {NULL, 0};

	memset(ret, 0, sizeof(*ret));
	if (jsonscan_text_is_valid(body, size))
		v = jsonspan_of(body, size);
	if (jsonspan_type(v) == JSONSPAN_OBJECT) {
		first_of(v, codes, COUNT_OF(codes), ret->code, sizeof(ret->code));
		first_of(v, messages, COUNT_OF(messages), ret->message, sizeof(ret->message));
	}
	if (ret->message[0])
		return;
	/* Of a page for people the beginning tells most. */
	for (size_t i = 0; i < size && i < 200; i++)
		ret->message[i] = (unsigned char)body[i] < 0x20 ? ' ' : body[i];
}
