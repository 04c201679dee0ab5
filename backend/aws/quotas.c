#include "backend/aws/quotas.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "backend/aws/endpoint.h"
#include "fs/base/clock.h"
#include "fs/base/jsonscan.h"
#include "fs/base/jsonspan.h"
#include "fs/base/kv.h"

#define PAGES_MAX    60
#define ROWS_MAX     16384
#define ANSWER_MAX   (1024u * 1024)
#define TIMEOUT_MS   5000 /* of a page */
#define TOKEN_MAX    4096
#define TEXT_MAX     512
#define NUMBER_MAX   40
#define VALUE_MAX    1e15
#define GB	     1e9
#define QUOTA_TARGET "ServiceQuotasV20190624.ListServiceQuotas"
#define SUBJECT	     "batch inference"

/* A model's name as it is compared: "claudesonnet4.6". */
struct key {
	char text[QUOTAS_NAME_MAX];
};

struct row {
	enum quota quota;
	uint64_t value;
	struct key exact, loose;
};

struct quotas {
	struct row *rows; /* owned */
	size_t count, room;
};

int quotas_new(struct quotas **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

void quotas_free(struct quotas *q)
{
	if (!q)
		return;
	free(q->rows);
	free(q);
}

/* --- names --- */

/* Lower case, and one blank for any white space. */
static void lower(const char *from, char *to, size_t room)
{
	size_t used = 0;

	for (; *from && used + 1 < room; from++) {
		bool blank = isspace((unsigned char)*from);

		if (blank && (used == 0 || to[used - 1] == ' '))
			continue;
		to[used++] = blank ? ' ' : (char)tolower((unsigned char)*from);
	}
	to[used] = '\0';
}

static bool is_one_of(const char *word, size_t size, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strlen(words[i]) == size && memcmp(words[i], word, size) == 0)
			return true;
	return false;
}

static bool is_dropped(const char *word, size_t size, bool first, bool loose)
{
	static const char *const makers[] = {"amazon", "anthropic", "meta",
					     "openai", "google",    "nvidia"};
	static const char *const fillers[] = {"instruct", "v1", "v1.0"};

	if (first && is_one_of(word, size, makers, COUNT_OF(makers)))
		return true;
	return loose && !first && is_one_of(word, size, fillers, COUNT_OF(fillers));
}

/* The next word of letters, digits and points within, from *at on; its size, or 0. */
static size_t next_word(const char **at, bool loose)
{
	size_t size = 0, end;

	while (**at && !isalnum((unsigned char)**at)) {
		end = loose && **at == '(' ? strcspn(*at, ")") : 0;
		*at += end ? end : 1;
	}
	while (isalnum((unsigned char)(*at)[size]) ||
	       ((*at)[size] == '.' && isalnum((unsigned char)(*at)[size + 1])))
		size++;
	return size;
}

/* name is in lower case.  Empty: nothing that could be compared. */
static struct key key_of(const char *name, bool loose)
{
	struct key k = {.text = ""};
	size_t used = 0, size;
	bool first = true;

	while ((size = next_word(&name, loose))) {
		if (!is_dropped(name, size, first, loose)) {
			if (used + size >= sizeof(k.text))
				return (struct key){.text = ""};
			memcpy(k.text + used, name, size);
			used += size;
		}
		name += size;
		first = false;
	}
	return k;
}

/* --- rows --- */

/* head: what stands before the model, in lower case. */
static enum quota quota_of(const char *head)
{
	bool file = strstr(head, "file");

	if (strstr(head, "record"))
		return strstr(head, "minimum") ? QUOTA_RECORDS_MIN
		       : file		       ? QUOTA_RECORDS_FILE
					       : QUOTA_RECORDS_JOB;
	if (strstr(head, " size"))
		return file ? QUOTA_BYTES_FILE : QUOTA_BYTES_JOB;
	if (strstr(head, "in-progress") || strstr(head, "in progress") ||
	    strstr(head, "submitted") || strstr(head, "concurrent"))
		return strstr(head, "custom") ? QUOTA_JOBS_CUSTOM : QUOTA_JOBS;
	return QUOTA_COUNT;
}

/* The unit stands in the name, at its end or within, or only beside it. */
static double unit_of(char *name, struct jsonspan row)
{
	static const struct {
		const char *in_name, *beside;
		double bytes;
	} units[] = {
		{"(in gb)", "Gigabytes", GB},  {"(in mb)", "Megabytes", 1e6},
		{"(in kb)", "Kilobytes", 1e3}, {"(in tb)", "Terabytes", 1e12},
		{"(in bytes)", "Bytes", 1},    {"(in gib)", "Gibibytes", GB},
	};
	struct jsonspan unit = jsonspan_get(row, "Unit");

	for (size_t i = 0; i < COUNT_OF(units); i++) {
		char *at = strstr(name, units[i].in_name);

		if (!at)
			continue;
		memset(at, ' ', strlen(units[i].in_name));
		return units[i].bytes;
	}
	for (size_t i = 0; i < COUNT_OF(units); i++)
		if (jsonspan_equals(unit, units[i].beside))
			return units[i].bytes;
	return GB;
}

static bool number_of(struct jsonspan v, double *ret)
{
	char text[NUMBER_MAX];

	if (jsonspan_type(v) != JSONSPAN_NUMBER || v.size >= sizeof(text))
		return false;
	snprintf(text, sizeof(text), "%.*s", (int)v.size, v.at);
	return kv_parse_double("Value", text, 0, VALUE_MAX, ret, NULL) == 0;
}

static int add_row(struct quotas *q, const struct row *row)
{
	if (q->count == ROWS_MAX)
		return 0;
	if (q->count == q->room) {
		size_t room = q->room ? 2 * q->room : 64;
		struct row *rows = realloc(q->rows, room * sizeof(*rows));

		if (!rows)
			return -ENOMEM;
		q->rows = rows;
		q->room = room;
	}
	q->rows[q->count++] = *row;
	return 0;
}

static int take_row(struct quotas *q, struct jsonspan row)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT(TEXT_MAX);
	char name[TEXT_MAX], *subject, *model;
	struct row r;
	double value, bytes;

	if (!jsonspan_string(jsonspan_get(row, "QuotaName"), &text) || buf_error(&text) < 0 ||
	    !number_of(jsonspan_get(row, "Value"), &value))
		return 0;
	lower(text.data, name, sizeof(name));
	subject = strstr(name, SUBJECT);
	model = subject ? strstr(subject, " for ") : NULL;
	if (!model)
		return 0;
	bytes = unit_of(name, row);
	*model = '\0';
	r.quota = quota_of(name);
	if (r.quota == QUOTA_BYTES_FILE || r.quota == QUOTA_BYTES_JOB)
		value *= bytes;
	r.value = value < VALUE_MAX ? (uint64_t)(value + 0.5) : (uint64_t)VALUE_MAX;
	r.exact = key_of(model + strlen(" for "), false);
	r.loose = key_of(model + strlen(" for "), true);
	return r.quota == QUOTA_COUNT || !r.exact.text[0] ? 0 : add_row(q, &r);
}

int quotas_add_page(struct quotas *q, const char *body, size_t size, struct buf *token,
		    struct err *e)
{
	struct jsonspan v, rows;
	struct jsonspan_walk w;
	int r = 0;

	if (!jsonscan_text_is_valid(body, size))
		return err_set(e, -EBADMSG, "the answer makes no sense");
	v = jsonspan_of(body, size);
	rows = jsonspan_get(v, "Quotas");
	if (jsonspan_type(rows) != JSONSPAN_ARRAY)
		return err_set(e, -EBADMSG, "the answer has no quotas");
	w = jsonspan_walk(rows);
	while (r == 0 && jsonspan_next(&w))
		r = take_row(q, w.value);
	buf_clear(token);
	jsonspan_string(jsonspan_get(v, "NextToken"), token);
	if (r == 0)
		r = buf_error(token);
	return r < 0 ? err_set(e, r, "no memory for the quotas") : 0;
}

/* --- asking --- */

/* token: of the page, then of the next. */
static int read_page(struct quotas *q, struct aws *aws, const char *region, const char *origin,
		     struct buf *token, struct err *e)
{
	CLEANUP(aws_answer_release) struct aws_answer a = AWS_ANSWER_INIT;
	CLEANUP(buf_release) struct buf body = BUF_INIT(2 * TOKEN_MAX);
	struct aws_request request = {
		.method = "POST",
		.service = "servicequotas",
		.region = region,
		.origin = origin,
		.path = "/",
		.headers = {{"Content-Type", "application/x-amz-json-1.1"},
			    {"X-Amz-Target", QUOTA_TARGET}},
		.auth = AWS_AUTH_SIGV4,
		.answer_max = ANSWER_MAX,
		.timeout_ms = TIMEOUT_MS,
		.attempts = 1,
	};
	int r;

	buf_add_str(&body, "{\"ServiceCode\":\"bedrock\",\"MaxResults\":100");
	if (token->size) {
		buf_add_str(&body, ",\"NextToken\":");
		buf_add_json(&body, token->data, token->size);
	}
	buf_add_char(&body, '}');
	r = buf_error(&body);
	if (r < 0)
		return err_set(e, r, "no memory for the quotas");
	request.body = body.data;
	request.body_size = body.size;
	r = aws_run(aws, &request, &a, e);
	return r < 0 ? r : quotas_add_page(q, a.body, a.body_size, token, e);
}

int quotas_read(struct quotas *q, struct aws *a, const char *region, int64_t time_ns, struct err *e)
{
	CLEANUP(buf_release) struct buf token = BUF_INIT(TOKEN_MAX);
	CLEANUP(str_freep) char *origin = NULL;
	int64_t end_ns = clock_mono_ns(aws_clock(a)) + time_ns;
	int r = endpoint_service(aws_config(a), "servicequotas", region, &origin, e);

	for (unsigned page = 0; r == 0 && page < PAGES_MAX; page++) {
		r = read_page(q, a, region, origin, &token, e);
		if (r < 0 || !token.size || clock_mono_ns(aws_clock(a)) > end_ns)
			break;
	}
	return r;
}

/* --- finding --- */

static void take(struct quotas_found *ret, const struct row *r)
{
	bool *known = &ret->is_known[r->quota];
	uint64_t *value = &ret->value[r->quota];

	if (!*known || (r->quota == QUOTA_RECORDS_MIN ? r->value > *value : r->value < *value))
		*value = r->value;
	*known = true;
}

void quotas_find(const struct quotas *q, const char *model, struct quotas_found *ret)
{
	struct quotas_found exact = {.is_known = {false}}, loose = {.is_known = {false}};
	struct key wanted, wanted_loose;
	char name[TEXT_MAX];

	lower(model, name, sizeof(name));
	wanted = key_of(name, false);
	wanted_loose = key_of(name, true);
	for (size_t i = 0; wanted.text[0] && i < q->count; i++) {
		const struct row *r = &q->rows[i];

		if (strcmp(r->exact.text, wanted.text) == 0)
			take(&exact, r);
		else if (wanted_loose.text[0] && strcmp(r->loose.text, wanted_loose.text) == 0)
			take(&loose, r);
	}
	*ret = exact;
	for (size_t i = 0; i < QUOTA_COUNT; i++)
		if (!exact.is_known[i] && loose.is_known[i]) {
			ret->is_known[i] = true;
			ret->value[i] = loose.value[i];
		}
}
