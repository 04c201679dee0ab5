#include "backend/aws/controljson.h"

#include <errno.h>
#include <string.h>

#include "fs/base/clock.h"
#include "fs/base/utf8.h"

/* --- times --- */

#define YEAR_MIN 1971
#define YEAR_MAX 2200 /* nanoseconds since 1970 overflow in 2262 */

/* Exactly count digits at *p, which moves behind them. */
static bool take_digits(const char **p, unsigned count, int *ret)
{
	int n = 0;

	for (unsigned i = 0; i < count; i++) {
		char c = (*p)[i];

		if (c < '0' || c > '9')
			return false;
		n = n * 10 + (c - '0');
	}
	*p += count;
	*ret = n;
	return true;
}

static bool take_char(const char **p, char c)
{
	if (**p != c)
		return false;
	(*p)++;
	return true;
}

/* Days since 1970 of a date of the Gregorian calendar; the year is counted
 * from March, so that the leap day is its last. */
static int64_t days_of(int year, int month, int day)
{
	int64_t y = month > 2 ? year : year - 1;
	int64_t month_days = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5;

	return 365 * y + y / 4 - y / 100 + y / 400 + month_days + day - 1 - 719468;
}

static bool take_fraction(const char **p, int64_t *ret_ns)
{
	int64_t scale = NS_PER_S / 10;

	*ret_ns = 0;
	if (!take_char(p, '.'))
		return true;
	for (; **p >= '0' && **p <= '9'; (*p)++) {
		if (scale == 0)
			return false;
		*ret_ns += (**p - '0') * scale;
		scale /= 10;
	}
	return true;
}

/* "Z", "+02:00" or "-0200", and the end. */
static bool take_offset(const char *p, int64_t *ret_s)
{
	int hours, minutes, sign = *p == '-' ? -1 : 1;

	*ret_s = 0;
	if (strcmp(p, "Z") == 0 || strcmp(p, "z") == 0)
		return true;
	if (!take_char(&p, '+') && !take_char(&p, '-'))
		return false;
	if (!take_digits(&p, 2, &hours))
		return false;
	if (*p == ':')
		p++;
	if (!take_digits(&p, 2, &minutes) || *p || hours > 23 || minutes > 59)
		return false;
	*ret_s = sign * (hours * 3600 + minutes * 60);
	return true;
}

static bool parse_iso(const char *p, int64_t *ret)
{
	int year, month, day, hour, minute, second;
	int64_t fraction, offset;

	if (!take_digits(&p, 4, &year) || !take_char(&p, '-') || !take_digits(&p, 2, &month) ||
	    !take_char(&p, '-') || !take_digits(&p, 2, &day))
		return false;
	if (!take_char(&p, 'T') && !take_char(&p, ' '))
		return false;
	if (!take_digits(&p, 2, &hour) || !take_char(&p, ':') || !take_digits(&p, 2, &minute) ||
	    !take_char(&p, ':') || !take_digits(&p, 2, &second))
		return false;
	if (year < YEAR_MIN || year > YEAR_MAX || month < 1 || month > 12 || day < 1 || day > 31 ||
	    hour > 23 || minute > 59 || second > 60)
		return false;
	if (!take_fraction(&p, &fraction) || !take_offset(p, &offset))
		return false;
	*ret = (days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset) *
		       NS_PER_S +
	       fraction;
	return true;
}

bool controljson_time(struct jsonspan v, int64_t *ret)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT(64);
	double s;

	if (jsonspan_type(v) == JSONSPAN_STRING)
		return jsonspan_string(v, &text) && strlen(text.data) == text.size &&
		       parse_iso(text.data, ret);
	if (jsonspan_type(v) != JSONSPAN_NUMBER)
		return false;
	buf_add(&text, v.at, v.size);
	if (buf_error(&text) < 0 || kv_parse_double("", text.data, 1, 7e9, &s, NULL) < 0)
		return false;
	*ret = (int64_t)(s * 1e6) * 1000; /* a double is good for microseconds */
	return true;
}

/* --- strings --- */

int controljson_name(struct jsonspan v, size_t max, char **ret)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT(max);

	*ret = NULL;
	if (!jsonspan_string(v, &text) || text.size == 0 || buf_error(&text) == -EFBIG)
		return 0;
	for (size_t i = 0; i < text.size; i++)
		if (text.data[i] <= ' ' || text.data[i] > '~')
			return 0;
	*ret = buf_steal(&text);
	return *ret ? 0 : -ENOMEM;
}

int controljson_text(struct jsonspan v, size_t max, char **ret)
{
	/* A character of four bytes can be written in twelve, never in more. */
	CLEANUP(buf_release) struct buf text = BUF_INIT(v.size + 1);
	size_t end = 0;

	*ret = NULL;
	if (!jsonspan_string(v, &text) || text.size == 0)
		return 0;
	while (end < text.size) {
		size_t n = utf8_char_size(text.data + end, text.size - end);

		if (n == 0 || end + n > max)
			break;
		if ((unsigned char)text.data[end] < ' ' || text.data[end] == 0x7f)
			text.data[end] = ' ';
		end += n;
	}
	*ret = strndup(text.data, end);
	return *ret ? 0 : -ENOMEM;
}

/* --- a job --- */

void control_job_release(struct control_job *j)
{
	free(j->arn);
	free(j->name);
	free(j->token);
	free(j->model);
	free(j->role);
	free(j->input_uri);
	free(j->output_uri);
	free(j->invocation);
	*j = (struct control_job){.arn = NULL};
}

enum job_state control_state(const char *word)
{
	static const struct {
		const char *word;
		enum job_state state;
	} words[] = {
		{"Submitted", JOB_SUBMITTED},
		{"Validating", JOB_VALIDATING},
		{"Scheduled", JOB_SCHEDULED},
		{"InProgress", JOB_IN_PROGRESS},
		{"Stopping", JOB_STOPPING},
		{"Completed", JOB_COMPLETED},
		{"PartiallyCompleted", JOB_PARTIALLY_COMPLETED},
		{"Failed", JOB_FAILED},
		{"Stopped", JOB_STOPPED},
		{"Expired", JOB_EXPIRED},
	};

	for (size_t i = 0; i < COUNT_OF(words); i++)
		if (strcmp(word, words[i].word) == 0)
			return words[i].state;
	return JOB_IN_PROGRESS;
}

static const struct {
	const char *path;
	size_t offset; /* of the string in struct control_job */
	size_t max;
} names[] = {
	{"jobArn", offsetof(struct control_job, arn), CONTROL_ARN_MAX},
	{"jobName", offsetof(struct control_job, name), CONTROL_NAME_MAX},
	{"clientRequestToken", offsetof(struct control_job, token), CONTROL_TOKEN_MAX},
	{"modelId", offsetof(struct control_job, model), CONTROL_MODEL_MAX},
	{"roleArn", offsetof(struct control_job, role), CONTROL_MODEL_MAX},
	{"inputDataConfig/s3InputDataConfig/s3Uri", offsetof(struct control_job, input_uri),
	 CONTROL_URI_MAX},
	{"outputDataConfig/s3OutputDataConfig/s3Uri", offsetof(struct control_job, output_uri),
	 CONTROL_URI_MAX},
	{"modelInvocationType", offsetof(struct control_job, invocation), CONTROL_NAME_MAX},
};

static const struct {
	const char *key;
	size_t offset;
} times[] = {
	{"submitTime", offsetof(struct control_job, submitted_ns)},
	{"lastModifiedTime", offsetof(struct control_job, modified_ns)},
	{"endTime", offsetof(struct control_job, ended_ns)},
	{"jobExpirationTime", offsetof(struct control_job, expires_ns)},
};

static int read_names(struct jsonspan v, struct control_job *j)
{
	int r = 0;

	for (size_t i = 0; i < COUNT_OF(names) && r == 0; i++) {
		char **to = (char **)(void *)((char *)j + names[i].offset);

		r = controljson_name(jsonspan_path(v, names[i].path), names[i].max, to);
	}
	return r;
}

static void read_numbers(struct jsonspan v, struct control_job *j)
{
	struct counts *c = &j->status.counts;
	uint64_t n;

	for (size_t i = 0; i < COUNT_OF(times); i++) {
		int64_t *to = (int64_t *)(void *)((char *)j + times[i].offset);

		if (!controljson_time(jsonspan_get(v, times[i].key), to))
			*to = 0;
	}
	j->status.expires_ns = j->expires_ns;
	if (jsonspan_u64(jsonspan_get(v, "timeoutDurationInHours"), &n) && n <= CONTROL_TIMEOUT_MAX)
		j->timeout_hours = (int)n;
	if (!jsonspan_u64(jsonspan_get(v, "totalRecordCount"), &c->total))
		c->total = 0;
	if (!jsonspan_u64(jsonspan_get(v, "successRecordCount"), &c->good))
		c->good = 0;
	if (!jsonspan_u64(jsonspan_get(v, "errorRecordCount"), &c->failed))
		c->failed = 0;
}

static int read_status(struct jsonspan v, struct part_status *s)
{
	CLEANUP(str_freep) char *word = NULL;
	CLEANUP(str_freep) char *message = NULL;
	int r = controljson_text(jsonspan_get(v, "status"), PART_RAW_MAX - 1, &word);

	if (r == 0)
		r = controljson_text(jsonspan_get(v, "message"), PART_MESSAGE_MAX - 1, &message);
	if (r < 0)
		return r;
	s->state = control_state(word ? word : "");
	snprintf(s->raw, sizeof(s->raw), "%s", word ? word : "");
	snprintf(s->message, sizeof(s->message), "%s", message ? message : "");
	return 0;
}

int controljson_job(struct jsonspan v, struct control_job *ret)
{
	CLEANUP(control_job_release) struct control_job j = {.arn = NULL};
	int r = read_names(v, &j);

	if (r == 0 && !j.arn)
		r = -EINVAL;
	if (r == 0)
		r = read_status(v, &j.status);
	if (r < 0)
		return r;
	read_numbers(v, &j);
	*ret = j;
	j = (struct control_job){.arn = NULL};
	return 0;
}

/* --- requests --- */

static void add_member(struct buf *out, const char *key, const char *value)
{
	if (!value)
		return;
	if (out->size > 0 && out->data[out->size - 1] != '{')
		buf_add_char(out, ',');
	buf_addf(out, "\"%s\":", key);
	buf_add_json(out, value, strlen(value));
}

static void add_list(struct buf *out, const char *key, const char *const *list)
{
	buf_addf(out, "\"%s\":[", key);
	for (size_t i = 0; list[i]; i++) {
		if (i > 0)
			buf_add_char(out, ',');
		buf_add_json(out, list[i], strlen(list[i]));
	}
	buf_add_char(out, ']');
}

static void add_tags(struct buf *out, const struct kv *tags)
{
	buf_add_str(out, ",\"tags\":[");
	for (size_t i = 0; i < tags->count; i++) {
		buf_add_str(out, i > 0 ? ",{" : "{");
		add_member(out, "key", tags->pairs[i].key);
		add_member(out, "value", tags->pairs[i].value);
		buf_add_char(out, '}');
	}
	buf_add_char(out, ']');
}

void controljson_add_create(struct buf *out, const struct control_job_spec *s)
{
	buf_add_char(out, '{');
	add_member(out, "jobName", s->name);
	add_member(out, "clientRequestToken", s->token);
	add_member(out, "roleArn", s->role);
	add_member(out, "modelId", s->model);
	add_member(out, "modelInvocationType", s->invocation);
	buf_add_str(out, ",\"inputDataConfig\":{\"s3InputDataConfig\":{");
	add_member(out, "s3Uri", s->input_uri);
	add_member(out, "s3InputFormat", "JSONL");
	add_member(out, "s3BucketOwner", s->input_owner);
	buf_add_str(out, "}},\"outputDataConfig\":{\"s3OutputDataConfig\":{");
	add_member(out, "s3Uri", s->output_uri);
	add_member(out, "s3BucketOwner", s->output_owner);
	add_member(out, "s3EncryptionKeyId", s->kms_key);
	buf_add_str(out, "}}");
	if (s->timeout_hours)
		buf_addf(out, ",\"timeoutDurationInHours\":%d", s->timeout_hours);
	if (s->subnets && s->security_groups) {
		buf_add_str(out, ",\"vpcConfig\":{");
		add_list(out, "subnetIds", s->subnets);
		buf_add_char(out, ',');
		add_list(out, "securityGroupIds", s->security_groups);
		buf_add_char(out, '}');
	}
	if (s->tags && s->tags->count > 0)
		add_tags(out, s->tags);
	buf_add_char(out, '}');
}
