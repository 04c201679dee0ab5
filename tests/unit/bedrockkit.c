#include "tests/unit/bedrockkit.h"

#include <string.h>

#include "backend/http/http.h"
#include "fs/base/jsonspan.h"
#include "tests/unit/cmocka_all.h"

/* --- texts that outlive their answer --- */

static const char *keep(struct bedrockkit *k, char *text)
{
	k->texts = realloc(k->texts, (k->text_count + 1) * sizeof(char *));
	if (!k->texts || !text)
		abort();
	k->texts[k->text_count++] = text;
	return text;
}

PRINTF_LIKE(2, 3) static const char *keepf(struct bedrockkit *k, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		abort();
	va_end(ap);
	return keep(k, text);
}

static void error(struct bedrockkit *k, struct awsserver_reply *reply, int status, const char *type)
{
	*reply = (struct awsserver_reply){
		.status = status,
		.headers = keepf(k, "x-amzn-ErrorType: %s\r\n", type),
		.body = keepf(k, "{\"message\":\"%s of the test\"}", type),
	};
}

/* The value of a parameter, decoded; NULL. */
static const char *param(struct bedrockkit *k, const char *target, const char *name)
{
	const char *at = strchr(target, '?');
	CLEANUP(buf_release) struct buf out = BUF_INIT(8192);

	while (at) {
		at++;
		if (strncmp(at, name, strlen(name)) == 0 && at[strlen(name)] == '=')
			break;
		at = strchr(at, '&');
	}
	if (!at)
		return NULL;
	for (at += strlen(name) + 1; *at && *at != '&'; at++) {
		char hex[3] = {0};

		if (*at != '%') {
			buf_add_char(&out, *at);
			continue;
		}
		memcpy(hex, at + 1, 2);
		buf_add_char(&out, (char)strtol(hex, NULL, 16));
		at += 2;
	}
	return keep(k, buf_steal(&out));
}

/* --- jobs --- */

static void add_job_json(struct buf *out, const struct bedrockkit_job *j)
{
	char when[CLOCK_TEXT_MAX];

	buf_addf(out,
		 "{\"jobArn\":\"" BEDROCKKIT_ARN "%s\",\"jobName\":\"%s\",\"status\":\"%s\","
		 "\"modelId\":\"arn:aws:bedrock:us-east-1::foundation-model/"
		 "amazon.nova-micro-v1:0\",\"roleArn\":\"" BEDROCKKIT_ROLE
		 "\",\"submitTime\":\"%s\"",
		 j->id, j->name, j->status, clock_format_utc(j->submitted_s * NS_PER_S, when));
	if (j->token[0])
		buf_addf(out, ",\"clientRequestToken\":\"%s\"", j->token);
	buf_addf(out, "%s}", j->more ? j->more : "");
}

static bool is_listed(struct bedrockkit *k, const struct bedrockkit_job *j, const char *target)
{
	const char *after = param(k, target, "submitTimeAfter");
	const char *contains = param(k, target, "nameContains");
	char when[CLOCK_TEXT_MAX];

	if (j->unlisted || (contains && (k->filter_is_broken || !strstr(j->name, contains))))
		return false;
	return !after || strcmp(clock_format_utc(j->submitted_s * NS_PER_S, when), after) > 0;
}

/* Newest first: the last that was added. */
static void list_jobs(struct bedrockkit *k, const char *target, struct awsserver_reply *reply)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(64 << 20);
	const char *cursor = param(k, target, "nextToken");
	size_t skip = cursor ? strtoul(cursor, NULL, 10) : 0, seen = 0, shown = 0;

	buf_add_str(&out, "{\"invocationJobSummaries\":[");
	for (size_t i = k->job_count; i-- > 0 && shown < k->page_size;) {
		if (!is_listed(k, &k->jobs[i], target) || seen++ < skip)
			continue;
		if (shown++ > 0)
			buf_add_char(&out, ',');
		add_job_json(&out, &k->jobs[i]);
	}
	buf_add_char(&out, ']');
	if (shown == k->page_size) /* an empty page may follow */
		buf_addf(&out, ",\"nextToken\":\"%zu\"", skip + shown);
	buf_add_char(&out, '}');
	reply->body = keep(k, buf_steal(&out));
}

static const char arn_prefix[] = "/model-invocation-job/arn%3Aaws%3Abedrock%3Aus-east-1%3A"
				 "111122223333%3Amodel-invocation-job%2F";

static struct bedrockkit_job *job_of(struct bedrockkit *k, const char *target)
{
	const char *id = target + strlen(arn_prefix);

	if (strncmp(target, arn_prefix, strlen(arn_prefix)) != 0)
		return NULL;
	for (size_t i = 0; i < k->job_count; i++)
		if (strncmp(k->jobs[i].id, id, strlen(k->jobs[i].id)) == 0 && !k->jobs[i].unknown)
			return &k->jobs[i];
	return NULL;
}

static void get_job(struct bedrockkit *k, const char *target, struct awsserver_reply *reply)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(1 << 20);
	const struct bedrockkit_job *j = job_of(k, target);

	if (!j) {
		error(k, reply, 404, "ResourceNotFoundException");
		return;
	}
	add_job_json(&out, j);
	reply->body = keep(k, buf_steal(&out));
}

static void stop_job(struct bedrockkit *k, const char *target, struct awsserver_reply *reply)
{
	struct bedrockkit_job *j = job_of(k, target);

	if (!j)
		error(k, reply, 404, "ResourceNotFoundException");
	else if (strcmp(j->status, "InProgress") != 0)
		*reply = (struct awsserver_reply){
			.status = 400,
			.headers = "x-amzn-ErrorType: ValidationException\r\n",
			.body = keepf(k, "{\"message\":\"Cannot stop. State was: %s\"}",
				      j->status)};
	else
		snprintf(j->status, sizeof(j->status), "Stopping");
}

static void copy_member(const struct awsserver_request *q, const char *key, char *to, size_t size)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT(4096);

	jsonspan_string(jsonspan_get(jsonspan_of(q->body, q->body_size), key), &text);
	snprintf(to, size, "%s", text.data);
}

static void create_job(struct bedrockkit *k, const struct awsserver_request *q,
		       struct awsserver_reply *reply)
{
	struct bedrockkit_job j = {.status = "Submitted", .unlisted = k->create_is_late};
	char name[64];

	copy_member(q, "jobName", name, sizeof(name));
	for (size_t i = 0; i < k->job_count; i++)
		if (strcmp(k->jobs[i].name, name) == 0) {
			error(k, reply, 400, "ConflictException");
			return;
		}
	snprintf(j.id, sizeof(j.id), "new%09zu", k->job_count);
	snprintf(j.name, sizeof(j.name), "%s", name);
	copy_member(q, "clientRequestToken", j.token, sizeof(j.token));
	j.submitted_s = BEDROCKKIT_WALL_S; /* the clock is of the thread of the test */
	bedrockkit_add_job(k, j);
	if (k->create_is_lost)
		reply->how = AWSSERVER_RESET;
	reply->body = keepf(k, "{\"jobArn\":\"" BEDROCKKIT_ARN "%s\"}", j.id);
}

/* --- objects --- */

static void store(struct bedrockkit *k, const char *key, const char *bytes, size_t size)
{
	struct bedrockkit_object *o = NULL;

	for (size_t i = 0; i < k->object_count && !o; i++)
		if (strcmp(k->objects[i].key, key) == 0)
			o = &k->objects[i];
	if (!o) {
		if (k->object_count == BEDROCKKIT_OBJECTS)
			abort();
		o = &k->objects[k->object_count++];
		o->key = strdup(key);
	}
	free(o->bytes);
	o->bytes = malloc(size + 1);
	if (!o->bytes || !o->key)
		abort();
	memcpy(o->bytes, bytes, size);
	o->bytes[size] = '\0';
	o->size = size;
}

static void list_objects(struct bedrockkit *k, const char *bucket, const char *target,
			 struct awsserver_reply *reply)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(1 << 20);
	const char *prefix = param(k, target, "prefix");
	bool empty = atomic_load(&k->missed_listings) > 0;

	if (empty)
		atomic_fetch_sub(&k->missed_listings, 1);
	buf_add_str(&out, "<ListBucketResult><IsTruncated>false</IsTruncated>");
	for (size_t i = 0; i < k->object_count && !empty; i++) {
		const char *key = k->objects[i].key;

		if (strncmp(key, bucket, strlen(bucket)) != 0)
			continue;
		key += strlen(bucket);
		if (prefix && strncmp(key, prefix, strlen(prefix)) != 0)
			continue;
		buf_addf(&out,
			 "<Contents><Key>%s</Key><Size>%zu</Size><ETag>\"e%zu\"</ETag>"
			 "<LastModified>2026-01-02T03:04:05.000Z</LastModified></Contents>",
			 key, k->objects[i].size, i);
	}
	buf_add_str(&out, "</ListBucketResult>");
	reply->body = keep(k, buf_steal(&out));
}

static void serve_object(struct bedrockkit *k, const struct awsserver_request *q,
			 const struct bedrockkit_object *o, struct awsserver_reply *reply)
{
	const char *range = awsserver_header(q, "range");
	unsigned long long begin = 0, end = o->size ? o->size - 1 : 0;

	if (range && o->size && sscanf(range, "bytes=%llu-%llu", &begin, &end) == 2)
		reply->status = 206;
	if (end >= o->size)
		end = o->size ? o->size - 1 : 0;
	reply->headers = keepf(k, "ETag: \"e%zu\"\r\nContent-Range: bytes %llu-%llu/%zu\r\n",
			       (size_t)(o - k->objects), begin, end, o->size);
	reply->body = o->bytes + begin;
	reply->body_size = o->size ? end - begin + 1 : 0;
}

/* Targets are "/BUCKET/KEY"; objects are kept as "BUCKET/KEY". */
static void s3(struct bedrockkit *k, const struct awsserver_request *q,
	       struct awsserver_reply *reply)
{
	size_t size = strcspn(q->target + 1, "?");
	CLEANUP(str_freep) char *key = strndup(q->target + 1, size);
	const struct bedrockkit_object *o = bedrockkit_object(k, key);
	size_t bucket_size = strcspn(key, "/");

	if (key[bucket_size] == '\0' || key[bucket_size + 1] == '\0') {
		CLEANUP(str_freep) char *bucket = NULL;

		if (asprintf(&bucket, "%.*s/", (int)bucket_size, key) < 0)
			abort();
		if (strcmp(q->method, "HEAD") == 0)
			reply->headers = "x-amz-bucket-region: us-east-1\r\n";
		else if (strstr(q->target, "uploads"))
			reply->body = "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>"
				      "</ListMultipartUploadsResult>";
		else
			list_objects(k, bucket, q->target, reply);
	} else if (strcmp(q->method, "PUT") == 0) {
		store(k, key, q->body, q->body_size);
		reply->headers = "ETag: \"put\"\r\n";
	} else if (strcmp(q->method, "DELETE") == 0) {
		for (size_t i = 0; i < k->object_count; i++)
			if (strcmp(k->objects[i].key, key) == 0)
				snprintf(k->objects[i].key, size + 1, "%s", "!");
		reply->status = 204;
	} else if (o) {
		serve_object(k, q, o, reply);
	} else {
		reply->status = 404;
		if (strcmp(q->method, "HEAD") != 0)
			reply->body = "<Error><Code>NoSuchKey</Code></Error>";
	}
}

/* --- the server --- */

static bool fits(const char *method, const char *in_target, const struct awsserver_request *q)
{
	return strcmp(method, q->method) == 0 && strstr(q->target, in_target);
}

static void handle(void *ctx, const struct awsserver_request *q, struct awsserver_reply *reply)
{
	struct bedrockkit *k = ctx;
	bool post = strcmp(q->method, "POST") == 0;
	size_t size = strlen(q->target);

	for (size_t i = 0; i < k->rule_count; i++) {
		if (!fits(k->rules[i].method, k->rules[i].in_target, q) ||
		    (k->rules[i].times && k->used[i] == k->rules[i].times))
			continue;
		k->used[i]++;
		*reply = k->rules[i].reply;
		return;
	}
	reply->body = "{}";
	if (strncmp(q->target, "/model-invocation-jobs?", 23) == 0)
		list_jobs(k, q->target, reply);
	else if (post && strcmp(q->target, "/model-invocation-job") == 0)
		create_job(k, q, reply);
	else if (post && size > 5 && strcmp(q->target + size - 5, "/stop") == 0)
		stop_job(k, q->target, reply);
	else if (strncmp(q->target, "/model-invocation-job/", 22) == 0)
		get_job(k, q->target, reply);
	else if (strncmp(q->target, "/foundation-models", 18) == 0)
		reply->body = "{\"modelSummaries\":[]}";
	else if (strncmp(q->target, "/inference-profiles", 19) == 0)
		reply->body = "{\"inferenceProfileSummaries\":[]}";
	else {
		*reply = (struct awsserver_reply){.status = 200};
		s3(k, q, reply);
	}
}

/* --- the kit --- */

static void set_environment(const char *origin)
{
	static const char *const gone[] = {"AWS_SESSION_TOKEN", "AWS_PROFILE",
					   "AWS_DEFAULT_PROFILE", "AWS_BEARER_TOKEN_BEDROCK",
					   "AWS_DEFAULT_REGION"};

	for (size_t i = 0; i < COUNT_OF(gone); i++)
		unsetenv(gone[i]);
	setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
	setenv("AWS_CONFIG_FILE", "/dev/null", 1);
	setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null", 1);
	setenv("AWS_REGION", "us-east-1", 1);
	setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE", 1);
	setenv("AWS_SECRET_ACCESS_KEY", BEDROCKKIT_SECRET, 1);
	setenv("AWS_ENDPOINT_URL", origin, 1);
}

void bedrockkit_open(struct bedrockkit *k, ...)
{
	CLEANUP(kv_release) struct kv options = KV_INIT;
	struct bedrock_place place = {
		.bucket = "bucket", .prefix = "batch", .options = &options, .clock = &k->clock};
	struct err e = ERR_INIT;
	const char *option;
	va_list ap;

	*k = (struct bedrockkit){.server = awsserver_start(), .page_size = 1000};
	k->jobs = calloc(BEDROCKKIT_JOBS, sizeof(*k->jobs));
	assert_non_null(k->jobs);
	awsserver_handle(k->server, handle, k);
	clock_init_manual(&k->clock, NS_PER_S, BEDROCKKIT_WALL_S * NS_PER_S);
	set_environment(awsserver_origin(k->server));
	assert_int_equal(kv_set(&options, "role", BEDROCKKIT_ROLE), 0);
	assert_int_equal(kv_set(&options, "path_style", "yes"), 0);
	va_start(ap, k);
	while ((option = va_arg(ap, const char *))) {
		const char *equals = strchr(option, '=');
		CLEANUP(str_freep) char *key = strndup(option, (size_t)(equals - option));

		assert_int_equal(kv_set(&options, key, equals + 1), 0);
	}
	va_end(ap);
	assert_int_equal(http_global_init(NULL), 0);
	if (bedrock_open(&place, &k->b, &e) < 0)
		fail_msg("%s", e.text);
	bedrock_of(k->b)->listing_pause_ns = 1;
	bedrock_of(k->b)->models_next = INT64_MAX; /* not asked for, but by tests of it */
	bedrock_of(k->b)->quotas_next = INT64_MAX;
	aws_set_pause_unit(bedrock_of(k->b)->aws, 0);
}

void bedrockkit_close(struct bedrockkit *k)
{
	k->b->ops->close(k->b);
	awsserver_stop(k->server);
	for (size_t i = 0; i < k->object_count; i++) {
		free(k->objects[i].key);
		free(k->objects[i].bytes);
	}
	for (size_t i = 0; i < k->text_count; i++)
		free(k->texts[i]);
	free(k->texts);
	free(k->jobs);
}

void bedrockkit_rule(struct bedrockkit *k, const char *method, const char *in_target,
		     unsigned times, struct awsserver_reply reply)
{
	assert_true(k->rule_count < BEDROCKKIT_RULES);
	k->used[k->rule_count] = 0;
	k->rules[k->rule_count++] = (struct bedrockkit_rule){
		.method = method, .in_target = in_target, .times = times, .reply = reply};
}

void bedrockkit_add_job(struct bedrockkit *k, struct bedrockkit_job j)
{
	if (k->job_count == BEDROCKKIT_JOBS)
		abort();
	k->jobs[k->job_count++] = j;
}

void bedrockkit_put(struct bedrockkit *k, const char *key, const char *text)
{
	store(k, key, text, strlen(text));
}

const struct bedrockkit_object *bedrockkit_object(struct bedrockkit *k, const char *key)
{
	for (size_t i = 0; i < k->object_count; i++)
		if (strcmp(k->objects[i].key, key) == 0)
			return &k->objects[i];
	return NULL;
}

unsigned bedrockkit_count(struct bedrockkit *k, const char *method, const char *in_target)
{
	unsigned n = 0;

	for (unsigned i = 0; i < awsserver_count(k->server); i++)
		n += fits(method, in_target, awsserver_request(k->server, i));
	return n;
}

const struct awsserver_request *bedrockkit_find(struct bedrockkit *k, const char *method,
						const char *in_target, unsigned nth)
{
	for (unsigned i = 0; i < awsserver_count(k->server); i++) {
		const struct awsserver_request *q = awsserver_request(k->server, i);

		if (fits(method, in_target, q) && nth-- == 0)
			return q;
	}
	fail_msg("nobody asked %s %s", method, in_target);
	abort(); /* not reached, which gcc does not know */
}

void bedrockkit_check_signed(struct bedrockkit *k)
{
	for (unsigned i = 0; i < awsserver_count(k->server); i++) {
		const struct awsserver_request *q = awsserver_request(k->server, i);

		assert_true(awsserver_is_signed(q, BEDROCKKIT_SECRET));
		assert_null(strstr(q->target, BEDROCKKIT_SECRET));
	}
}
