#include "backend/aws/control.h"

#include <errno.h>
#include <string.h>

#include "backend/aws/control_private.h"
#include "backend/aws/controljson.h"
#include "backend/aws/endpoint.h"
#include "backend/aws/naming.h"
#include "fs/base/jsonscan.h"

/*
 * Answers are checked as a whole before anything is believed: a listing that
 * was cut short must never pass for one in which a job is not there.
 *
 * The ARN of a job goes into the path as one segment, ':' and '/' encoded; the
 * service refuses the bare id and does not route a raw '/'.
 */

#define REGION_MAX 64

int control_open(struct aws *a, const char *region, struct control **ret, struct err *e)
{
	struct control *c = calloc(1, sizeof(*c));

	if (c)
		c->region = strdup(region);
	if (!c || !c->region) {
		free(c);
		return err_set(e, -ENOMEM, "no memory for the control plane");
	}
	c->aws = a;
	c->create_every_ns = NS_PER_S;
	pthread_mutex_init(&c->mutex, NULL);
	pthread_cond_init(&c->free, NULL);
	*ret = c;
	return 0;
}

void control_set_pace(struct control *c, int64_t create_every_ns)
{
	c->create_every_ns = create_every_ns;
}

void control_close(struct control *c)
{
	if (!c)
		return;
	pthread_cond_destroy(&c->free);
	pthread_mutex_destroy(&c->mutex);
	free(c->region);
	free(c);
}

void control_encode(struct buf *out, const char *s)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789-._~";

	for (; *s; s++) {
		if (strchr(plain, *s))
			buf_add_char(out, *s);
		else
			buf_addf(out, "%%%02X", (unsigned)(unsigned char)*s);
	}
}

/* --- asking --- */

/* Not what we may do but who we are is at fault: there may be other
 * credentials later. */
static bool is_about_us(int r, const struct aws_answer *a)
{
	if (a->status == 0) /* nobody was asked, or denied anything */
		return r == -EACCES || r == -ENOKEY;
	return a->error.class == ERRMAP_EXPIRED || a->error.class == ERRMAP_SKEWED;
}

static int blame_us(const struct aws_answer *a, struct err *e)
{
	struct err said = e ? *e : (struct err)ERR_INIT;

	if (a->error.class == ERRMAP_SKEWED)
		return err_set(e, -EAGAIN, "%s; set the clock of this machine", said.text);
	if (a->error.class == ERRMAP_EXPIRED)
		return err_set(
			e, -EAGAIN,
			"%s; the credentials are no good any more: renew them (aws sso login, "
			"or new keys; those of the environment are read at the next mount)",
			said.text);
	return -EAGAIN; /* creds.h says what to do */
}

int control_about_us(int r, const struct aws_answer *a, struct err *e)
{
	return is_about_us(r, a) ? blame_us(a, e) : r;
}

int control_ask(struct control *c, const struct control_question *q, struct aws_answer *answer,
		struct jsonspan *ret_root, struct err *e)
{
	CLEANUP(str_freep) char *origin = NULL;
	struct aws_request request = {
		.method = q->method,
		.service = "bedrock",
		.region = q->region ? q->region : c->region,
		.path = q->path,
		.query = q->query,
		.body = q->body,
		.body_size = q->body_size,
		.auth = AWS_AUTH_BEARER,
		.once = q->once,
		.answer_max = CONTROL_ANSWER_MAX,
		.timeout_ms = CONTROL_TIMEOUT_MS,
		.stall_s = CONTROL_STALL_S,
	};
	int r = endpoint_service(aws_config(c->aws), "bedrock", request.region, &origin, e);

	if (r < 0)
		return r;
	request.origin = origin;
	if (q->body)
		request.headers[0] =
			(struct aws_header){.name = "content-type", .value = "application/json"};
	r = aws_run(c->aws, &request, answer, e);
	if (r < 0)
		return control_about_us(r, answer, e);
	*ret_root = jsonspan_of(answer->body, answer->body_size);
	if (jsonspan_type(*ret_root) == JSONSPAN_OBJECT &&
	    jsonscan_text_is_valid(answer->body, answer->body_size))
		return 0;
	answer->maybe_done = q->once;
	return err_set(e, -EAGAIN, "%s: the answer of %s is not a JSON object (request id %s)",
		       q->what, origin, answer->request_id[0] ? answer->request_id : "none");
}

/* "/model-invocation-job/arn%3Aaws..." and the ARN's region. */
struct job_path {
	struct buf path;
	char region[REGION_MAX];
};

static void job_path_release(struct job_path *p)
{
	buf_release(&p->path);
}

static bool is_job_arn(const char *arn, struct naming_arn *parts)
{
	return strlen(arn) <= CONTROL_ARN_MAX && naming_arn_parse(arn, parts) == 0 &&
	       parts->region_size > 0 && parts->region_size < REGION_MAX;
}

static int job_path_of(const char *arn, const char *tail, struct job_path *ret, struct err *e)
{
	struct naming_arn parts;

	if (!is_job_arn(arn, &parts))
		return err_set(e, -EINVAL, "\"%.100s\" is not the ARN of a job", arn);
	memcpy(ret->region, parts.region, parts.region_size);
	ret->region[parts.region_size] = '\0';
	buf_add_str(&ret->path, "/model-invocation-job/");
	control_encode(&ret->path, arn);
	buf_add_str(&ret->path, tail);
	if (buf_error(&ret->path) < 0)
		return err_set(e, -ENOMEM, "no memory for the path of %s", arn);
	return 0;
}

/* --- create --- */

/* Waits for one's turn; the caller then gives it back by end_turn(). */
static int begin_turn(struct control *c, struct err *e)
{
	int64_t wait;
	int r = 0;

	pthread_mutex_lock(&c->mutex);
	while (c->creating)
		pthread_cond_wait(&c->free, &c->mutex);
	c->creating = true;
	wait = c->next_ns - clock_mono_ns(aws_clock(c->aws));
	pthread_mutex_unlock(&c->mutex);
	if (wait > 0)
		r = wire_pause(aws_wire(c->aws), wait);
	return r < 0 ? err_set(e, r, "the mount is ending") : 0;
}

static void end_turn(struct control *c, bool sent)
{
	pthread_mutex_lock(&c->mutex);
	c->creating = false;
	if (sent)
		c->next_ns = clock_mono_ns(aws_clock(c->aws)) + c->create_every_ns;
	pthread_cond_signal(&c->free);
	pthread_mutex_unlock(&c->mutex);
}

/* The service tells a name that is taken by either of two types. */
static bool is_name_in_use(const struct errmap *m)
{
	return m->class == ERRMAP_CONFLICT ||
	       (m->class == ERRMAP_INVALID && strstr(m->message, "currently in use"));
}

static int create_once(struct control *c, const struct buf *body, char **ret_arn,
		       struct control_refusal *ret_why, struct err *e)
{
	CLEANUP(aws_answer_release) struct aws_answer answer = AWS_ANSWER_INIT;
	struct control_question q = {
		.what = "create the job",
		.method = "POST",
		.path = "/model-invocation-job",
		.body = body->data,
		.body_size = body->size,
		.once = true,
	};
	struct naming_arn parts;
	struct jsonspan root;
	int r = control_ask(c, &q, &answer, &root, e);

	if (r == 0) {
		r = controljson_name(jsonspan_get(root, "jobArn"), CONTROL_ARN_MAX, ret_arn);
		/* Without a name to ask by, it is as if the answer were lost. */
		if (r == 0 && *ret_arn && !is_job_arn(*ret_arn, &parts))
			str_freep(ret_arn);
		if (r == 0 && !*ret_arn)
			r = err_set(e, -EAGAIN, "the answer to the create call names no job");
		answer.maybe_done = r < 0;
	}
	if (r < 0) {
		ret_why->maybe = answer.maybe_done;
		ret_why->error = answer.error;
		if (answer.status == 0 && !answer.maybe_done) /* no credentials, no connection */
			ret_why->error.class = ERRMAP_UNSENT;
		else if (!answer.maybe_done && is_name_in_use(&answer.error))
			r = -EEXIST;
	}
	return r;
}

int control_create(struct control *c, const struct control_job_spec *s, char **ret_arn,
		   struct control_refusal *ret_why, struct err *e)
{
	CLEANUP(buf_release) struct buf body = BUF_INIT(1024 * 1024);
	struct control_refusal why = {.error = {.class = ERRMAP_UNSENT}};
	char *arn = NULL;
	int r;

	controljson_add_create(&body, s);
	if (buf_error(&body) < 0) {
		*ret_why = why;
		return err_set(e, -ENOMEM, "no memory for the create call");
	}
	r = begin_turn(c, e);
	if (r == 0) {
		r = create_once(c, &body, &arn, &why, e);
		end_turn(c, true);
	} else {
		end_turn(c, false);
	}
	if (r < 0)
		*ret_why = why;
	else
		*ret_arn = arn;
	return r;
}

/* --- get, stop --- */

int control_get(struct control *c, const char *arn, struct control_job *ret, struct err *e)
{
	CLEANUP(aws_answer_release) struct aws_answer answer = AWS_ANSWER_INIT;
	CLEANUP(job_path_release) struct job_path at = {.path = BUF_INIT(CONTROL_PATH_MAX)};
	struct control_question q = {.what = "look at the job", .method = "GET"};
	struct jsonspan root;
	int r = job_path_of(arn, "", &at, e);

	if (r < 0)
		return r;
	q.path = at.path.data;
	q.region = at.region;
	r = control_ask(c, &q, &answer, &root, e);
	if (r < 0)
		return r;
	r = controljson_job(root, ret);
	if (r == -EINVAL)
		return err_set(e, -EAGAIN, "the answer about %s names no job", arn);
	if (r < 0)
		return err_set(e, r, "no memory for %s", arn);
	if (strcmp(ret->arn, arn) == 0)
		return 0;
	r = err_set(e, -EAGAIN, "asked about %s, the service speaks of %s", arn, ret->arn);
	control_job_release(ret);
	return r;
}

static bool has_ended(struct control *c, const char *arn)
{
	CLEANUP(control_job_release) struct control_job j = {.arn = NULL};

	return control_get(c, arn, &j, NULL) == 0 &&
	       (job_state_is_end(j.status.state) || j.status.state == JOB_STOPPING);
}

int control_stop(struct control *c, const char *arn, struct err *e)
{
	CLEANUP(aws_answer_release) struct aws_answer answer = AWS_ANSWER_INIT;
	CLEANUP(job_path_release) struct job_path at = {.path = BUF_INIT(CONTROL_PATH_MAX)};
	struct control_question q = {.what = "stop the job", .method = "POST"};
	struct jsonspan root;
	int r = job_path_of(arn, "/stop", &at, e);

	if (r < 0)
		return r;
	q.path = at.path.data;
	q.region = at.region;
	r = control_ask(c, &q, &answer, &root, e);
	if (r == 0)
		return 0;
	/* Of a job that has ended: which of the two is not documented. */
	if (answer.error.class == ERRMAP_CONFLICT || strstr(answer.error.message, "State was:"))
		return has_ended(c, arn) ? 0 : r;
	return r;
}

/* --- list --- */

int control_walk(struct control *c, const struct control_pages *p, struct err *e)
{
	CLEANUP(str_freep) char *cursor = NULL;
	int r = 0;

	for (unsigned page = 0; r == 0; page++) {
		CLEANUP(aws_answer_release) struct aws_answer answer = AWS_ANSWER_INIT;
		CLEANUP(buf_release) struct buf query = BUF_INIT(16 * 1024);
		CLEANUP(str_freep) char *next = NULL;
		struct control_question q = {.what = p->what, .method = "GET", .path = p->path};
		struct jsonspan root, rows;
		struct jsonspan_walk w;

		buf_add_str(&query, p->query);
		if (cursor) {
			buf_add_str(&query, query.size ? "&nextToken=" : "nextToken=");
			control_encode(&query, cursor);
		}
		if (buf_error(&query) < 0)
			return err_set(e, -ENOMEM, "no memory to %s", p->what);
		q.query = query.size ? query.data : NULL;
		r = control_ask(c, &q, &answer, &root, e);
		if (r < 0)
			return r;
		rows = jsonspan_get(root, p->member);
		if (jsonspan_type(rows) != JSONSPAN_ARRAY)
			return err_set(e, -EAGAIN, "%s: the answer has no %s", p->what, p->member);
		for (w = jsonspan_walk(rows); r == 0 && jsonspan_next(&w);)
			r = p->row(p->ctx, w.value, e);
		if (r != 0 || !jsonspan_is_set(jsonspan_get(root, "nextToken")))
			break;
		r = controljson_name(jsonspan_get(root, "nextToken"), CONTROL_CURSOR_MAX, &next);
		if (r == 0 && (!next || page + 1 == CONTROL_PAGES_MAX ||
			       (cursor && strcmp(cursor, next) == 0)))
			r = err_set(e, -EIO, "%s: the pages do not end (%u so far)", p->what,
				    page + 1);
		free(cursor);
		cursor = STEAL(&next);
	}
	return r < 0 ? r : 0;
}

static void add_time(struct buf *query, const char *key, int64_t ns)
{
	char text[CLOCK_TEXT_MAX];

	if (ns <= 0)
		return;
	buf_addf(query, "&%s=", key);
	control_encode(query, clock_format_utc(ns, text));
}

static void add_value(struct buf *query, const char *key, const char *value)
{
	if (!value)
		return;
	buf_addf(query, "&%s=", key);
	control_encode(query, value);
}

struct listing {
	int (*each)(void *ctx, const struct control_job *j);
	void *ctx;
};

static int list_row(void *ctx, struct jsonspan row, struct err *e)
{
	CLEANUP(control_job_release) struct control_job j = {.arn = NULL};
	struct listing *l = ctx;
	int r = controljson_job(row, &j);

	if (r == -EINVAL)
		return 0; /* nothing can be asked about a job without a name */
	return r < 0 ? err_set(e, r, "no memory for the list of jobs") : l->each(l->ctx, &j);
}

int control_list(struct control *c, const struct control_filter *f,
		 int (*each)(void *ctx, const struct control_job *j), void *ctx, struct err *e)
{
	CLEANUP(buf_release) struct buf query = BUF_INIT(8 * 1024);
	struct listing l = {.each = each, .ctx = ctx};
	struct control_pages p = {
		.what = "list the jobs",
		.path = "/model-invocation-jobs",
		.member = "invocationJobSummaries",
		.row = list_row,
		.ctx = &l,
	};

	buf_add_str(&query, "maxResults=1000&sortBy=CreationTime&sortOrder=");
	buf_add_str(&query, f->ascending ? "Ascending" : "Descending");
	/* Whole seconds go over the wire: one more, so that none is left out. */
	add_time(&query, "submitTimeAfter",
		 f->submitted_after_ns > 0 ? f->submitted_after_ns - NS_PER_S : 0);
	add_time(&query, "submitTimeBefore",
		 f->submitted_before_ns > 0 ? f->submitted_before_ns + NS_PER_S : 0);
	add_value(&query, "statusEquals", f->status);
	add_value(&query, "nameContains", f->name_contains);
	if (buf_error(&query) < 0)
		return err_set(e, -ENOMEM, "no memory for the list of jobs");
	p.query = query.data;
	return control_walk(c, &p, e);
}
