#include "backend/envelope.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#define CODE_MAX 64 /* of those that are known */

static bool is_bool(struct jsonspan v, bool value)
{
	return jsonspan_type(v) == JSONSPAN_BOOL && (v.at[0] == 't') == value;
}

/* Do only white space, the closing brace and white space follow in line after
 * its last member's value?  A line torn in the middle has no such end, and a
 * walk alone would not tell: it just stops early. */
static bool ends_after(struct jsonspan line, struct jsonspan last)
{
	const char *p = last.at + last.size, *end = line.at + line.size;

	while (p < end && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n'))
		p++;
	return end - p == 1 && *p == '}';
}

static void keep_first(struct jsonspan *member, struct jsonspan v)
{
	if (!member->at)
		*member = v;
}

/* Takes code, message and retryable out of an error object of either form;
 * an error that is a bare string is its own message. */
static void read_error(struct envelope *v, struct jsonspan error)
{
	struct jsonspan code, message, retryable;

	v->error = error;
	if (jsonspan_type(error) == JSONSPAN_STRING) {
		v->message = error;
		return;
	}
	code = jsonspan_get(error, "errorCode");
	message = jsonspan_get(error, "errorMessage");
	if (jsonspan_type(code) == JSONSPAN_NUMBER || jsonspan_type(code) == JSONSPAN_STRING)
		v->code = code;
	if (jsonspan_is_set(message))
		v->message = message;
	retryable = jsonspan_get(error, "retryable");
	v->retryable = is_bool(retryable, true);
	v->final = is_bool(retryable, false);
	v->expired = is_bool(jsonspan_get(error, "expired"), true);
}

/* Form A: a member error.  Form B: the members of an error in modelOutput. */
static void judge(struct envelope *v, struct jsonspan error)
{
	if (jsonspan_is_set(error)) {
		read_error(v, error);
		return;
	}
	if (jsonspan_type(v->output) != JSONSPAN_OBJECT)
		return;
	if (jsonspan_is_set(jsonspan_get(v->output, "errorCode")) ||
	    jsonspan_is_set(jsonspan_get(v->output, "errorMessage")))
		read_error(v, v->output);
	else
		v->good = true;
}

int envelope_parse(const char *line, size_t size, struct envelope *ret)
{
	struct jsonspan whole = jsonspan_of(line, size), error = {NULL, 0}, last = {NULL, 0};
	struct jsonspan_walk w;
	struct envelope v = {0};

	if (jsonspan_type(whole) != JSONSPAN_OBJECT)
		return -EINVAL;
	w = jsonspan_walk(whole);
	while (jsonspan_next(&w)) {
		last = w.value;
		if (jsonspan_equals(w.key, "recordId"))
			keep_first(&v.id, w.value);
		else if (jsonspan_equals(w.key, "modelInput"))
			keep_first(&v.input, w.value);
		else if (jsonspan_equals(w.key, "modelOutput"))
			keep_first(&v.output, w.value);
		else if (jsonspan_equals(w.key, "error"))
			keep_first(&error, w.value);
	}
	if (jsonspan_type(v.id) != JSONSPAN_STRING || !ends_after(whole, last))
		return -EINVAL;
	judge(&v, error);
	*ret = v;
	return 0;
}

/* Appends a string decoded, anything else as it is written. */
static void add_plain(struct buf *out, struct jsonspan v)
{
	if (!jsonspan_string(v, out) && v.at)
		buf_add(out, v.at, v.size);
}

void envelope_code(const struct envelope *v, struct buf *out)
{
	size_t before = out->size;

	add_plain(out, v->code);
	if (out->size == before)
		buf_add_str(out, "Unknown");
}

void envelope_message(const struct envelope *v, struct buf *out)
{
	add_plain(out, v->message);
}

/* Statuses of HTTP, what Bedrock's runtime says in their place, and what its
 * SDKs try again. */
static bool is_passing(const char *code)
{
	static const char *const codes[] = {
		"408",
		"429",
		"500",
		"502",
		"503",
		"504",
		"529", /* Anthropic: overloaded */
		"InternalFailure",
		"InternalServerError",
		"InternalServerException",
		"LimitExceededException",
		"ModelNotReadyException",
		"ModelTimeoutException",
		"ProvisionedThroughputExceededException",
		"RequestLimitExceeded",
		"RequestThrottled",
		"RequestThrottledException",
		"RequestTimeout",
		"RequestTimeoutException",
		"ServiceUnavailable",
		"ServiceUnavailableException",
		"SlowDown",
		"ThrottledException",
		"Throttling",
		"ThrottlingException",
		"TooManyRequestsException",
	};

	for (size_t i = 0; i < COUNT_OF(codes); i++)
		if (strcasecmp(code, codes[i]) == 0)
			return true;
	return false;
}

bool envelope_is_retryable(const struct envelope *v)
{
	CLEANUP(buf_release) struct buf code = BUF_INIT(CODE_MAX);

	if (v->good)
		return false;
	if (v->retryable || v->expired)
		return true;
	envelope_code(v, &code);
	return !v->final && buf_error(&code) == 0 && is_passing(code.data);
}

/* A valid JSON text holds newlines between its tokens only, never within one,
 * so a space may stand for each; the line stays one line. */
static void add_on_one_line(struct buf *out, const char *json, size_t size)
{
	size_t from = out->size;

	buf_add(out, json, size);
	if (buf_error(out) || (!memchr(json, '\n', size) && !memchr(json, '\r', size)))
		return;
	for (size_t i = from; i < out->size; i++)
		if (out->data[i] == '\n' || out->data[i] == '\r')
			out->data[i] = ' ';
}

static void begin_line(struct buf *out, struct jsonspan input)
{
	buf_add_char(out, '{');
	if (input.at && input.size) {
		buf_add_str(out, "\"modelInput\":");
		add_on_one_line(out, input.at, input.size);
		buf_add_char(out, ',');
	}
}

static void end_line(struct buf *out, const char *id, size_t id_size)
{
	buf_add_str(out, ",\"recordId\":");
	buf_add_json(out, id, id_size);
	buf_add_str(out, "}\n");
}

void envelope_write_good(struct buf *out, const char *id, size_t id_size, struct jsonspan input,
			 const char *output, size_t output_size)
{
	begin_line(out, input);
	buf_add_str(out, "\"modelOutput\":");
	add_on_one_line(out, output, output_size);
	end_line(out, id, id_size);
}

/* "400" goes out as a number, as the provider writes it; "0400" and
 * "ThrottlingException" as strings. */
static bool is_number(const char *code)
{
	size_t n = strspn(code, "0123456789");

	return n > 0 && n < 10 && code[n] == '\0' && (code[0] != '0' || n == 1);
}

void envelope_write_error(struct buf *out, const char *id, size_t id_size, struct jsonspan input,
			  const char *code, const char *message, bool retryable)
{
	begin_line(out, input);
	buf_add_str(out, "\"error\":{\"errorCode\":");
	if (is_number(code))
		buf_add_str(out, code);
	else
		buf_add_json(out, code, strlen(code));
	buf_add_str(out, ",\"errorMessage\":");
	buf_add_json(out, message, strlen(message));
	buf_add_str(out, retryable ? ",\"retryable\":true}" : "}");
	end_line(out, id, id_size);
}
