#include "backend/local/runfeed.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>

#include "backend/envelope.h"
#include "backend/journal.h"
#include "backend/lines.h"
#include "backend/text.h"
#include "fs/base/idmap.h"
#include "fs/base/jsonscan.h"
#include "fs/base/log.h"

/*
 * The input is read once, front to back.  What the journal holds is known by
 * id, in a map whose pages belong to a file; a run that was never interrupted
 * has no map at all.
 *
 * Each record under way has a copy of its line, in memory that is used again
 * for a later record, so that a run allocates nothing per record.
 *
 * While the disk is full an answer cannot be put down, and the engine's call
 * does not return until it can be, or until the run is cancelled; the answer
 * is then in the journal's pending bytes and lost with them, and its record
 * is run again.
 */

#define DISK_RETRY_MS  500
#define TELL_MS	       200
#define LINE_KEEP_SIZE (1024u * 1024) /* a larger copy is not kept for later records */

struct record {
	struct feed_record public; /* first: the engine's pointer is one to this */
	struct buf line, id;
	struct record *next; /* while it is not in use */
};

struct runfeed {
	struct feed feed; /* first */
	struct runfeed_options options;
	int input_fd;
	struct lines lines;
	uint64_t next_index;
	struct idmap *done; /* NULL: nothing is done yet */
	struct journal *journal;
	struct record *unused; /* owned; those in use are the engine's to give back */
	size_t bytes_under_way, under_way;
	struct buf scratch; /* for answers on several lines, and for text nobody reads */
	int failure;	    /* -errno: why the journal cannot be written */
	bool drained;	    /* the input is at its end */
	bool stopped;	    /* told() said so */
	int64_t told_mono_ns;
	struct counts told_counts; /* of what is on disk */
	struct tokens told_tokens;
};

static void record_free(struct record *r)
{
	buf_release(&r->line);
	buf_release(&r->id);
	free(r);
}

static struct record *record_take(struct runfeed *f)
{
	struct record *r = f->unused;

	if (r) {
		f->unused = r->next;
		return r;
	}
	r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	buf_init(&r->line, LINES_LINE_MAX);
	buf_init(&r->id, LINES_LINE_MAX);
	return r;
}

static void record_give(struct runfeed *f, struct record *r)
{
	if (r->line.size > LINE_KEEP_SIZE)
		buf_release(&r->line);
	r->next = f->unused;
	f->unused = r;
}

static void end_record(struct runfeed *f, struct record *r)
{
	assert(f->under_way > 0);
	f->under_way--;
	f->bytes_under_way -= r->line.size;
	record_give(f, r);
}

static void show(struct runfeed *f, char text[PART_MESSAGE_MAX], const char *what)
{
	pthread_mutex_lock(&f->options.progress->mutex);
	snprintf(text, PART_MESSAGE_MAX, "%s", what ? what : "");
	pthread_mutex_unlock(&f->options.progress->mutex);
}

static void tell(struct runfeed *f)
{
	f->told_mono_ns = clock_mono_ns(f->options.clock);
	if (!f->options.told(f->options.told_ctx, &f->told_counts, &f->told_tokens))
		f->stopped = true;
}

/* r is what a journal call said.  Waits while it is a full disk. */
static void settle(struct runfeed *f, int r)
{
	struct run_progress *p = f->options.progress;
	bool shown = false;

	while (journal_is_full(r)) {
		struct pollfd cancel = {.fd = f->feed.cancel_fd, .events = POLLIN};

		if (!shown) {
			show(f, p->disk,
			     "disk full: results cannot be written; free some space and this run "
			     "goes on by itself");
			log_warning("local", "disk full, waiting token=%s", f->options.spec->token);
		}
		shown = true;
		if (f->options.told)
			tell(f);
		if (f->stopped || poll(&cancel, 1, DISK_RETRY_MS) > 0)
			break;
		r = journal_flush(f->journal);
	}
	if (shown)
		show(f, p->disk, NULL);
	if (r < 0 && !journal_is_full(r))
		f->failure = r;
}

static void count(struct runfeed *f, const struct tokens *t, bool good)
{
	struct run_progress *p = f->options.progress;

	pthread_mutex_lock(&p->mutex);
	if (good)
		p->counts.good++;
	else
		p->counts.failed++;
	p->tokens.input += t->input;
	p->tokens.output += t->output;
	pthread_mutex_unlock(&p->mutex);
}

/* Syncs what there is and tells of it, if that is wanted and due. */
static void tell_if_due(struct runfeed *f)
{
	struct run_progress *p = f->options.progress;
	int r;

	if (!f->options.told || f->failure ||
	    clock_mono_ns(f->options.clock) - f->told_mono_ns < TELL_MS * NS_PER_MS)
		return;
	r = journal_sync(f->journal);
	if (r == 0) {
		pthread_mutex_lock(&p->mutex);
		f->told_counts = p->counts;
		f->told_tokens = p->tokens;
		pthread_mutex_unlock(&p->mutex);
		tell(f);
	}
	settle(f, r);
}

static struct tokens tokens_of(struct runfeed *f, struct jsonspan output)
{
	struct text_answer answer = {.has_tokens = false};
	struct tokens none = {0};

	buf_clear(&f->scratch);
	text_extract(output, &f->scratch, &answer);
	return answer.has_tokens ? answer.tokens : none;
}

/* Puts an error down for r, which stays the caller's. */
static void put_error(struct runfeed *f, const struct record *r, const char *code,
		      const char *message, bool retryable)
{
	const struct tokens none = {0};

	envelope_write_error(journal_line(f->journal), r->public.id, r->public.id_size,
			     r->public.input, code, message, retryable);
	settle(f, journal_added(f->journal));
	if (f->failure == 0)
		count(f, &none, false);
}

static void feed_bad_(struct feed *feed, struct feed_record *rec, const char *code,
		      const char *message, bool retryable)
{
	struct runfeed *f = (struct runfeed *)feed;
	struct record *r = (struct record *)rec;

	put_error(f, r, code, message, retryable);
	end_record(f, r);
}

/* White space between JSON tokens may hold newlines; a journal line may not. */
static bool make_one_line(struct runfeed *f, const char **output, size_t size)
{
	if (!memchr(*output, '\n', size) && !memchr(*output, '\r', size))
		return true;
	buf_clear(&f->scratch);
	buf_add(&f->scratch, *output, size);
	if (buf_error(&f->scratch))
		return false;
	for (size_t i = 0; i < size; i++)
		if (f->scratch.data[i] == '\n' || f->scratch.data[i] == '\r')
			f->scratch.data[i] = ' ';
	*output = f->scratch.data;
	return true;
}

static void feed_good_(struct feed *feed, struct feed_record *rec, const char *output, size_t size,
		       const struct tokens *t)
{
	struct runfeed *f = (struct runfeed *)feed;
	struct record *r = (struct record *)rec;
	struct jsonspan v = jsonspan_of(output, size);
	struct tokens tokens = t ? *t : (struct tokens){0};

	if (!f->options.trusted) {
		const char *why = NULL;

		if (size > RUNFEED_ANSWER_MAX)
			why = "the answer is larger than 64 MiB";
		else if (jsonspan_type(v) != JSONSPAN_OBJECT ||
			 !jsonscan_text_is_valid(output, size))
			why = "the answer is not one JSON object";
		else if (!t)
			tokens = tokens_of(f, v);
		if (!why && !make_one_line(f, &output, size))
			why = "no memory for the answer";
		if (why) {
			feed_bad_(feed, rec, "BadOutput", why, false);
			return;
		}
		v = jsonspan_of(output, size);
	}
	envelope_write_good(journal_line(f->journal), r->public.id, r->public.id_size,
			    r->public.input, v.at, v.size);
	settle(f, journal_added(f->journal));
	if (f->failure == 0)
		count(f, &tokens, true);
	end_record(f, r);
}

static void feed_drop_(struct feed *feed, struct feed_record *rec)
{
	end_record((struct runfeed *)feed, (struct record *)rec);
}

static void feed_pause_(struct feed *feed, const char *reason)
{
	struct runfeed *f = (struct runfeed *)feed;

	show(f, f->options.progress->engine, reason);
}

static int feed_tick_(struct feed *feed)
{
	struct runfeed *f = (struct runfeed *)feed;
	int ms = -1, r = journal_tick(f->journal, &ms);

	settle(f, r);
	tell_if_due(f);
	if (f->options.told && (ms < 0 || ms > TELL_MS))
		ms = TELL_MS;
	return f->failure ? 0 : ms;
}

static void feed_batch_(struct feed *feed, unsigned lines)
{
	journal_set_batch(((struct runfeed *)feed)->journal, lines);
}

/* Copies a line and takes it apart.  -EINVAL: it is no record. */
static int take_apart(struct record *r, const char *line, size_t size)
{
	struct envelope v;
	int error;

	buf_clear(&r->line);
	buf_clear(&r->id);
	buf_add(&r->line, line, size);
	error = buf_error(&r->line);
	if (error < 0)
		return error;
	if (envelope_parse(r->line.data, r->line.size, &v) < 0 || !jsonspan_string(v.id, &r->id))
		return -EINVAL;
	r->public = (struct feed_record){.id = r->id.data, .id_size = r->id.size, .input = v.input};
	return buf_error(&r->id);
}

static bool is_done(const struct runfeed *f, const struct record *r)
{
	uint32_t number;

	return f->done && idmap_find(f->done, r->public.id, r->public.id_size, &number);
}

/* Reads until there is a record to run. */
static int read_record(struct runfeed *f, struct record *r, struct err *e)
{
	const char *line;
	size_t size;
	int error;

	for (;;) {
		error = lines_next(&f->lines, &line, &size);
		f->drained = error == -ENODATA;
		if (error == -ENODATA)
			return error;
		if (error < 0)
			return err_errno(e, error, "cannot read the records in %s",
					 f->options.spec->input_path);
		f->next_index++;
		error = take_apart(r, line, size);
		if (error == -EINVAL) {
			/* It has no result line then, and is told as missing. */
			log_warning("local", "a line of the input is no record token=%s line=%llu",
				    f->options.spec->token, (unsigned long long)f->next_index);
			continue;
		}
		if (error < 0)
			return err_errno(e, error, "cannot take record %llu of %s",
					 (unsigned long long)f->next_index,
					 f->options.spec->input_path);
		if (is_done(f, r))
			continue;
		r->public.index = f->next_index - 1;
		if (jsonspan_type(r->public.input) == JSONSPAN_OBJECT)
			return 0;
		put_error(f, r, "ValidationException", "modelInput is not a JSON object", false);
	}
}

static int feed_next_(struct feed *feed, struct feed_record **ret, struct err *e)
{
	struct runfeed *f = (struct runfeed *)feed;
	struct record *r;
	int error;

	if (atomic_load_explicit(f->options.cancelled, memory_order_relaxed))
		return -ECANCELED;
	if (f->failure < 0)
		return err_errno(e, f->failure, "cannot write the results");
	tell_if_due(f);
	if (f->stopped)
		return -ENODATA;
	if (f->under_way && f->bytes_under_way >= RUNFEED_BYTES_MAX)
		return -EAGAIN;
	r = record_take(f);
	if (!r)
		return err_set(e, -ENOMEM, "no memory for a record");
	error = read_record(f, r, e);
	if (error < 0) {
		record_give(f, r);
		return error;
	}
	f->under_way++;
	f->bytes_under_way += r->line.size;
	*ret = &r->public;
	return 0;
}

static const struct feed_ops ops = {
	.next = feed_next_,
	.good = feed_good_,
	.bad = feed_bad_,
	.drop = feed_drop_,
	.pause = feed_pause_,
	.tick = feed_tick_,
	.batch = feed_batch_,
};

/* One result of an earlier life of this run. */
static int take_up(void *ctx, const struct envelope *v)
{
	struct runfeed *f = ctx;
	struct tokens tokens = {0};
	CLEANUP(buf_release) struct buf id = BUF_INIT(LINES_LINE_MAX);
	uint32_t number = 0;
	int r;

	if (!f->done) {
		r = idmap_new(f->options.dir, &f->done, NULL);
		if (r < 0)
			return r;
	}
	if (!jsonspan_string(v->id, &id) || buf_error(&id))
		return buf_error(&id);
	r = idmap_add(f->done, id.data, id.size, 0, &number);
	if (r == -EEXIST)
		return 0;
	if (r < 0)
		return r;
	if (v->good)
		tokens = tokens_of(f, v->output);
	count(f, &tokens, v->good);
	return 0;
}

static void runfeed_closep(struct runfeed **f)
{
	runfeed_close(*f);
	*f = NULL;
}

int runfeed_open(const struct runfeed_options *o, struct runfeed **ret, struct err *e)
{
	CLEANUP(runfeed_closep) struct runfeed *f = calloc(1, sizeof(*f));
	CLEANUP(str_freep) char *path = NULL;
	int r;

	if (!f || (o->journal_path ? !(path = strdup(o->journal_path))
				   : asprintf(&path, "%s/journal.jsonl", o->dir) < 0)) {
		path = o->journal_path ? path : NULL;
		return err_set(e, -ENOMEM, "no memory for the run");
	}
	f->feed = (struct feed){.ops = &ops, .cancel_fd = o->cancel_fd};
	f->options = *o;
	f->told_mono_ns = INT64_MIN / 2; /* at the start */
	f->told_counts.total = o->spec->record_count;
	buf_init(&f->scratch, LINES_LINE_MAX);
	f->input_fd = open(o->spec->input_path, O_RDONLY | O_CLOEXEC);
	lines_init(&f->lines, f->input_fd);
	if (f->input_fd < 0)
		return err_errno(e, -errno, "cannot open the records in %s", o->spec->input_path);
	pthread_mutex_lock(&o->progress->mutex);
	o->progress->counts = (struct counts){.total = o->spec->record_count};
	o->progress->tokens = (struct tokens){0};
	pthread_mutex_unlock(&o->progress->mutex);
	r = journal_open(path, o->clock, take_up, f, &f->journal, e);
	if (r < 0)
		return r;
	*ret = STEAL(&f);
	return 0;
}

struct feed *runfeed_feed(struct runfeed *f)
{
	return &f->feed;
}

int runfeed_finish(struct runfeed *f, struct err *e)
{
	int r;

	assert(f->under_way == 0);
	settle(f, journal_flush(f->journal));
	r = f->failure;
	if (r == 0)
		r = journal_sync(f->journal);
	if (r == 0 && f->options.told) {
		f->told_mono_ns = INT64_MIN / 2;
		tell_if_due(f);
	}
	return r < 0 ? err_errno(e, r, "cannot write the results") : 0;
}

bool runfeed_is_drained(const struct runfeed *f)
{
	return f->drained;
}

void runfeed_close(struct runfeed *f)
{
	if (!f)
		return;
	while (f->unused) {
		struct record *r = f->unused;

		f->unused = r->next;
		record_free(r);
	}
	journal_close(f->journal);
	idmap_free(f->done);
	lines_release(&f->lines);
	buf_release(&f->scratch);
	fd_closep(&f->input_fd);
	free(f);
}
