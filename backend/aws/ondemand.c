/*
 * Records one by one, now, at the on-demand price: each a call of the runtime,
 *
 *	POST https://bedrock-runtime.REGION.../model/MODEL/invoke    (or /converse)
 *
 * with modelInput as its body, so that the answer is the modelOutput that a batch
 * job would have given.
 *
 * An answer is paid for.  So whatever happens, what is on its way is waited for and
 * put down: a fault of the whole run, a stop, a full disk only let nothing more
 * leave.  (The end of the mount cuts calls off, as everywhere.)
 *
 *	the answer				the record	the run
 *	good					good		goes on
 *	429, 5xx, no whole answer		-		tries for minutes, then -EAGAIN
 *	500, 408, and yet others are answered	failed		goes on
 *	expired credentials, a clock, a quota	-		-EAGAIN
 *	denied, a model that is not there	-		-EINVAL
 *	all other refusals			failed		goes on
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "backend/aws/bedrock_private.h"
#include "backend/aws/bedrockmedia.h"
#include "backend/aws/endpoint.h"
#include "backend/aws/models.h"
#include "backend/aws/ondemandfile.h"
#include "backend/envelope.h"
#include "backend/journal.h"
#include "backend/lines.h"
#include "fs/base/jsonscan.h"
#include "fs/base/log.h"

#define SYNC_NS	      (200 * NS_PER_MS)
#define TELL_NS	      NS_PER_S /* without news: a stop is heard of so */
#define TICK_MS	      100
#define TIMEOUT_MS    (15 * 60 * 1000)	   /* models think for minutes, in silence */
#define BYTES_MAX     (128u * 1024 * 1024) /* of records on their way, if more than one */
#define KEPT_SIZE     (1024u * 1024)	   /* a larger copy is not kept for later records */
#define DISK_RETRY_NS (500 * NS_PER_MS)

/* One record on its way. */
struct call {
	struct buf line, id;
	struct ondemand_record record; /* borrows them */
	bool busy;
};

struct ondemand {
	struct bedrock *b;
	const struct backend_part *p;
	struct ondemandfile *file; /* owned */
	int fd;
	struct lines lines;
	bool at_end; /* of the input */
	uint64_t line_number;
	char *origin; /* owned */
	struct buf path;
	struct call calls[WIRE_CALLS_MAX];
	unsigned under_way;
	size_t bytes_under_way;

	backend_told *told;
	void *ctx;
	int64_t synced_mono_ns, told_mono_ns;
	bool untold;	   /* there is news on disk */
	bool stopped;	   /* told() said so */
	bool dropped;	   /* a record had no answer */
	bool full;	   /* the disk is */
	uint64_t answered; /* well, or with a refusal of the record */
	int failed;	   /* why the run cannot go on, in words in why */
	struct err why;
};

static void ondemand_release(struct ondemand *o)
{
	ondemandfile_close(o->file);
	lines_release(&o->lines);
	fd_closep(&o->fd);
	free(o->origin);
	buf_release(&o->path);
	for (size_t i = 0; i < COUNT_OF(o->calls); i++) {
		buf_release(&o->calls[i].line);
		buf_release(&o->calls[i].id);
	}
}

/* Nothing more leaves; the first reason counts. */
static void fail(struct ondemand *o, int r, const struct err *why)
{
	if (o->failed < 0)
		return;
	o->failed = r;
	o->why = *why;
}

/* --- records --- */

static int read_line(struct ondemand *o, const char **ret, size_t *ret_size, struct err *e)
{
	int r = o->at_end ? -ENODATA : lines_next(&o->lines, ret, ret_size);

	if (r == -ENODATA && !o->at_end) {
		o->at_end = true;
		lines_rest(&o->lines, ret, ret_size);
		if (*ret_size > 0)
			r = 0;
	}
	if (r < 0 && r != -ENODATA)
		return err_errno(e, r == -EINVAL ? -EIO : r, "cannot read %s", o->p->input_path);
	o->line_number++;
	return r;
}

static int take_apart(struct ondemand *o, struct call *c, const char *line, size_t size,
		      struct err *e)
{
	struct envelope v;

	buf_clear(&c->line);
	buf_clear(&c->id);
	buf_add(&c->line, line, size);
	if (buf_error(&c->line) == 0 &&
	    (envelope_parse(c->line.data, c->line.size, &v) < 0 || !jsonspan_string(v.id, &c->id) ||
	     jsonspan_type(v.input) != JSONSPAN_OBJECT))
		return err_set(e, -EINVAL, "%s:%llu: not a record with an id", o->p->input_path,
			       (unsigned long long)o->line_number);
	if (buf_error(&c->line) < 0 || buf_error(&c->id) < 0)
		return err_set(e, -ENOMEM, "no memory for a record");
	c->record =
		(struct ondemand_record){.id = c->id.data, .id_size = c->id.size, .input = v.input};
	return 0;
}

/* The next record without a line, into c.  -ENODATA. */
static int read_record(struct ondemand *o, struct call *c, struct err *e)
{
	const char *line = NULL;
	size_t size = 0;
	int r;

	do {
		r = read_line(o, &line, &size, e);
		if (r == 0)
			r = take_apart(o, c, line, size, e);
	} while (r == 0 && ondemandfile_has(o->file, c->record.id, c->record.id_size));
	return r;
}

static void begin_call(struct ondemand *o, struct call *c, struct aws_request *ret)
{
	c->busy = true;
	o->under_way++;
	o->bytes_under_way += c->line.size;
	*ret = (struct aws_request){
		.method = "POST",
		.service = "bedrock",
		.region = o->b->region,
		.origin = o->origin,
		.path = o->path.data,
		.headers = {{"content-type", "application/json"}, {"accept", "application/json"}},
		.body = c->record.input.at,
		.body_size = c->record.input.size,
		.auth = AWS_AUTH_BEARER,
		.timeout_ms = TIMEOUT_MS,
		.patient = true,
	};
}

static void end_call(struct ondemand *o, struct call *c)
{
	c->busy = false;
	o->under_way--;
	o->bytes_under_way -= c->line.size;
	if (c->line.size > KEPT_SIZE)
		buf_release(&c->line);
}

static int next(void *ctx, struct aws_request *ret, void **ret_tag, struct err *e)
{
	struct ondemand *o = ctx;
	struct call *c = o->calls;
	struct err why = ERR_INIT;
	int r;

	(void)e;
	if (o->failed < 0 || o->full)
		return 0;
	if (o->under_way == COUNT_OF(o->calls) || (o->under_way && o->bytes_under_way >= BYTES_MAX))
		return AWS_BATCH_LATER;
	while (c->busy)
		c++;
	r = read_record(o, c, &why);
	if (r < 0 && r != -ENODATA)
		fail(o, r, &why);
	if (r < 0)
		return 0;
	begin_call(o, c, ret);
	*ret_tag = c;
	return 1;
}

/* --- answers --- */

/* Refusals of the model, and not of what a record says. */
static bool is_of_model(const struct errmap *m)
{
	static const char *const words[] = {
		"model identifier is invalid", "provided model doesn't exist",
		"on-demand throughput isn",    "on-demand throughput is not",
		"support the Converse",	       "support the model that you provided",
		"Operation not allowed",       "account is not authorized to perform",
		"create a support case",
	};

	for (size_t i = 0; i < COUNT_OF(words); i++)
		if (strcasestr(m->message, words[i]))
			return true;
	return false;
}

enum verdict {
	RECORD_FAILED,
	RUN_REFUSED,
	RUN_LATER,
};

/*
 * A server that fails (500) or takes too long (408) at one record and answers
 * others fails at that record; a server that is down is down for all.  (Of a run
 * of one record there are no others: what was tried for minutes has failed.)
 */
static enum verdict verdict_of(const struct ondemand *o, const struct aws_answer *a)
{
	switch (a->error.class) {
	case ERRMAP_INVALID:
		if (a->status == 0 && a->error.code[0] == '\0' && !a->maybe_done)
			return RUN_REFUSED; /* it could not even be sent */
		return is_of_model(&a->error) ? RUN_REFUSED : RECORD_FAILED;
	case ERRMAP_CONFLICT:
	case ERRMAP_PRECONDITION:
		return RECORD_FAILED;
	case ERRMAP_TRANSIENT:
		return a->status == 408 || (a->status == 500 &&
					    (o->answered > 0 || o->p->record_count == 1))
			       ? RECORD_FAILED
			       : RUN_LATER;
	case ERRMAP_DENIED:
	case ERRMAP_NOT_FOUND:
	case ERRMAP_REDIRECT:
		return RUN_REFUSED;
	case ERRMAP_OK:
	case ERRMAP_UNSENT:
	case ERRMAP_TRANSPORT:
	case ERRMAP_THROTTLED:
	case ERRMAP_EXPIRED:
	case ERRMAP_SKEWED:
	case ERRMAP_QUOTA:
	case ERRMAP_CLASS_COUNT:
		break;
	}
	return RUN_LATER;
}

static int put_error(struct ondemand *o, const struct call *c, const struct aws_answer *a)
{
	char code[ERRMAP_CODE_MAX];
	bool again = a->status == 408 || a->status == 424 || a->status >= 500;

	if (a->status >= 400)
		snprintf(code, sizeof(code), "%ld", a->status);
	else
		snprintf(code, sizeof(code), "%s", a->error.code[0] ? a->error.code : "BadOutput");
	return ondemandfile_add_error(o->file, &c->record, code,
				      a->error.message[0] ? a->error.message : a->error.code,
				      again);
}

static int put_good(struct ondemand *o, const struct call *c, const struct aws_answer *a)
{
	struct jsonspan output = jsonspan_of(a->body, a->body_size);

	if (jsonspan_type(output) != JSONSPAN_OBJECT ||
	    !jsonscan_text_is_valid(a->body, a->body_size))
		return ondemandfile_add_error(o->file, &c->record, "BadOutput",
					      "the answer is not a JSON object", true);
	return ondemandfile_add_good(o->file, &c->record, output);
}

/* What of an answer concerns all records. */
static void fail_all(struct ondemand *o, enum verdict v, int r, const struct aws_answer *a,
		     const struct err *said)
{
	struct err why = *said;

	r = control_about_us(r, a, &why);
	if (r == -EAGAIN || v == RUN_LATER)
		r = -EAGAIN;
	else
		r = bedrock_refuse(o->b, o->p, a->error.code,
				   a->error.message[0] ? a->error.message : said->text, &why);
	fail(o, r, &why);
}

/* r is what adding a line said. */
static void settle(struct ondemand *o, int r)
{
	struct err why = ERR_INIT;

	if (journal_is_full(r)) {
		o->full = true;
	} else if (r < 0) {
		err_errno(&why, r, "the results cannot be written");
		fail(o, r == -ENOMEM ? -EAGAIN : r, &why);
	}
}

static int done(void *ctx, void *tag, int r, const struct aws_answer *a, struct err *e)
{
	struct ondemand *o = ctx;
	struct call *c = tag;
	enum verdict v = r == 0 || r == -ECANCELED ? RECORD_FAILED : verdict_of(o, a);

	if (r == -ECANCELED) {
		o->dropped = true;
	} else if (r == 0) {
		o->answered++;
		settle(o, put_good(o, c, a));
	} else if (v == RECORD_FAILED) {
		if (a->error.class == ERRMAP_INVALID)
			o->answered++;
		settle(o, put_error(o, c, a));
	} else {
		o->dropped = true;
		fail_all(o, v, r, a, e);
	}
	end_call(o, c);
	return 0;
}

/* --- what is told --- */

static void tell(struct ondemand *o)
{
	const struct counts counts = ondemandfile_counts(o->file);
	const struct tokens tokens = ondemandfile_tokens(o->file);

	o->untold = false;
	o->told_mono_ns = clock_mono_ns(o->b->clock);
	if (!o->told(o->ctx, &counts, &tokens))
		o->stopped = true;
}

static void sync_now(struct ondemand *o)
{
	int r = ondemandfile_sync(o->file);

	o->synced_mono_ns = clock_mono_ns(o->b->clock);
	if (r == 0)
		o->untold = true;
	o->full = journal_is_full(r);
	settle(o, r);
}

static int tick(void *ctx, struct err *e)
{
	struct ondemand *o = ctx;
	int64_t now = clock_mono_ns(o->b->clock);

	(void)e;
	if (ondemandfile_is_dirty(o->file) && !o->full && now - o->synced_mono_ns >= SYNC_NS)
		sync_now(o);
	if (o->untold || now - o->told_mono_ns >= TELL_NS)
		tell(o);
	return o->stopped || o->failed < 0;
}

/* --- the run --- */

static int check(const struct ondemand *o, struct err *e)
{
	int r = naming_check_model(o->p->model, e);

	if (r < 0)
		return r;
	r = bedrock_media_is_used(o->fd);
	if (r < 0)
		return err_errno(e, r == -EINVAL ? -EIO : r, "cannot read %s", o->p->input_path);
	if (r == 1)
		return err_set(e, -EINVAL,
			       "records that refer to media:// cannot be run on demand, as their "
			       "files go to S3 with a batch job only; give the bytes in base64, or "
			       "run them as a batch job (small = pad)");
	return 0;
}

static int ondemand_open(struct ondemand *o, const char *path, struct err *e)
{
	const char *invocation = bedrock_setting(o->b, o->p->config, "invocation");
	int r;

	for (size_t i = 0; i < COUNT_OF(o->calls); i++) {
		buf_init(&o->calls[i].line, LINES_LINE_MAX);
		buf_init(&o->calls[i].id, LINES_LINE_MAX);
	}
	o->fd = open(o->p->input_path, O_RDONLY | O_CLOEXEC);
	if (o->fd < 0)
		return err_errno(e, -errno, "cannot open %s", o->p->input_path);
	lines_init(&o->lines, o->fd);
	r = check(o, e);
	if (r == 0)
		r = endpoint_service(aws_config(o->b->aws), "bedrock-runtime", o->b->region,
				     &o->origin, e);
	if (r < 0)
		return r;
	buf_add_str(&o->path, "/model/");
	control_encode(&o->path, o->p->model);
	buf_add_str(&o->path,
		    invocation && strcmp(invocation, "Converse") == 0 ? "/converse" : "/invoke");
	if (buf_error(&o->path) < 0)
		return err_set(e, -ENOMEM, "no memory for a path");
	return ondemandfile_open(path, o->b->clock, o->p->record_count, &o->file, e);
}

/* What was answered is kept in memory meanwhile.  0: there is space again. */
static int wait_for_disk(struct ondemand *o, struct err *e)
{
	log_warning("bedrock", "disk full, waiting for results on demand token=%s", o->p->token);
	while (o->full) {
		tell(o);
		if (o->stopped)
			return err_set(
				e, -ECANCELED,
				"stopped while the disk was full: the last answers are lost");
		if (wire_pause(aws_wire(o->b->aws), DISK_RETRY_NS) == -ECANCELED)
			return err_set(e, -ECANCELED, "the mount is ending");
		sync_now(o);
	}
	return o->failed < 0 ? err_set(e, o->failed, "%s", o->why.text) : 0;
}

static int run_records(struct ondemand *o, struct err *e)
{
	const struct aws_batch batch = {
		.parallel = WIRE_CALLS_MAX,
		.next = next,
		.done = done,
		.tick = tick,
		.tick_ms = TICK_MS,
		.ctx = o,
	};
	int r;

	do {
		r = aws_run_batch(o->b->aws, &batch, e);
		if (r == 0 && o->full)
			r = wait_for_disk(o, e);
	} while (r == 0 && !o->stopped && o->failed == 0 && !o->at_end);
	return r;
}

/* How it ended, once all that was answered is on disk and told. */
static int finish(struct ondemand *o, int r, struct err *e)
{
	if (ondemandfile_is_dirty(o->file))
		sync_now(o);
	if (r == 0 && o->full)
		r = wait_for_disk(o, e);
	if (o->untold)
		tell(o);
	if (r < 0)
		return r;
	if (o->failed < 0)
		return err_set(e, o->failed, "%s", o->why.text);
	if (o->at_end && !o->dropped)
		return 0;
	return err_set(e, -ECANCELED, "stopped");
}

int bedrock_run_now(struct backend *backend, const struct backend_part *p, const char *path,
		    backend_told *told, void *ctx, struct err *e)
{
	CLEANUP(ondemand_release)
	struct ondemand o = {.b = bedrock_of(backend),
			     .p = p,
			     .fd = -1,
			     .told = told,
			     .ctx = ctx,
			     .path = BUF_INIT(CONTROL_URI_MAX * 4)};
	struct counts counts;
	int r;

	lines_init(&o.lines, -1);
	r = ondemand_open(&o, path, e);
	if (r < 0)
		return r;
	sync_now(&o);
	tell(&o);
	r = o.stopped || o.failed < 0 ? 0 : run_records(&o, e);
	r = finish(&o, r, e);
	counts = ondemandfile_counts(o.file);
	log_info("bedrock", "on demand token=%s good=%llu failed=%llu of=%llu result=%d", p->token,
		 (unsigned long long)counts.good, (unsigned long long)counts.failed,
		 (unsigned long long)counts.total, r);
	return r;
}

/* --- padding --- */

int bedrock_pad_record(struct backend *backend, const struct backend_part *p, const char *line,
		       size_t size, const char *id, struct buf *out, struct err *e)
{
	const char *invocation = bedrock_setting(bedrock_of(backend), p->config, "invocation");
	struct jsonspan input = jsonspan_get(jsonspan_of(line, size), "modelInput");

	if (jsonspan_type(input) != JSONSPAN_OBJECT)
		return err_set(e, -EINVAL, "a line without modelInput cannot be padded with");
	buf_add_str(out, "{\"recordId\":");
	buf_add_json(out, id, strlen(id));
	buf_add_str(out, ",\"modelInput\":");
	models_add_smallest(p->model, invocation && strcmp(invocation, "Converse") == 0, input.at,
			    input.size, out);
	buf_add_char(out, '}');
	return buf_error(out) < 0 ? err_set(e, buf_error(out), "no memory for padding") : 0;
}
