#include "fs/job/collect.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "backend/envelope.h"
#include "backend/text.h"
#include "cache/results.h"
#include "fs/base/jsonspan.h"
#include "fs/job/bestlines.h"
#include "fs/job/input.h"
#include "fs/job/inputjoin.h"
#include "fs/job/linereader.h"
#include "fs/job/resultcsv.h"

/*
 * Three passes.  The input is read once to learn its ids (fs/job/input.h).
 * Then every result file is read once in its own order, and of each line that
 * belongs to a record its place is kept, if it is better than the one known
 * (fs/job/bestlines.h).  Then the records are gone through in the order of the
 * input, each one's line is read again from its place, and everything about it
 * is written.
 *
 * Result lines are taken apart twice, which costs less than keeping them. All
 * that grows with the number of records is in files; of what is in memory the
 * largest thing is the longest line.
 *
 * All bytes are read with pread(2), so that a failing disk is an error here
 * and not a signal.  Result files are immutable by contract; one that changed
 * nevertheless is noticed where a line no longer is what it was.
 */

#define LINE_MAX_BYTES (512u * 1024 * 1024)	    /* twice an input line's maximum */
#define TEXT_MAX       (4 * (size_t)LINE_MAX_BYTES) /* base64 grows as it is spelt out */
#define ID_MAX	       4096			    /* decoded; longer ones are in no input */
#define CODE_MAX       1024			    /* decoded; a code is a word */
#define OPEN_FILES_MAX 32

struct collect {
	const struct collect_request *q;
	struct collect_summary sum;
	int input_fd;
	struct input *in;
	struct inputjoin *join; /* NULL: by ids only */
	struct bestlines best;
	struct results_writer *writer;

	/* Result files open in the last pass, each in the place of its number. */
	int open_fds[OPEN_FILES_MAX];
	uint32_t open_files[OPEN_FILES_MAX];

	/* Of the record at hand. */
	struct buf line, input_line; /* as read */
	struct buf id, text, code, message, out;
};

static void collect_init(struct collect *c, const struct collect_request *q)
{
	*c = (struct collect){.q = q, .input_fd = -1};
	for (int i = 0; i < OPEN_FILES_MAX; i++)
		c->open_fds[i] = -1;
	buf_init(&c->line, LINE_MAX_BYTES);
	buf_init(&c->input_line, LINE_MAX_BYTES);
	buf_init(&c->id, ID_MAX);
	buf_init(&c->text, TEXT_MAX);
	buf_init(&c->code, CODE_MAX);
	buf_init(&c->message, LINE_MAX_BYTES);
	buf_init(&c->out, 2 * TEXT_MAX);
}

static void collect_release(struct collect *c)
{
	fd_closep(&c->input_fd);
	for (int i = 0; i < OPEN_FILES_MAX; i++)
		fd_closep(&c->open_fds[i]);
	input_free(c->in);
	inputjoin_free(c->join);
	bestlines_close(&c->best);
	results_writer_free(c->writer);
	buf_release(&c->line);
	buf_release(&c->input_line);
	buf_release(&c->id);
	buf_release(&c->text);
	buf_release(&c->code);
	buf_release(&c->message);
	buf_release(&c->out);
}

static int open_file(const char *path, int *ret, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		int r = -errno;

		return err_errno(e, r, "cannot open %s", path);
	}
	*ret = fd;
	return 0;
}

/* Exactly size bytes into b.  -ESTALE: the file has become shorter. */
static int read_at(int fd, uint64_t offset, uint64_t size, struct buf *b)
{
	buf_clear(b);
	if (size > LINE_MAX_BYTES)
		return -EFBIG;
	if (!buf_reserve(b, (size_t)size))
		return buf_error(b);
	while (b->size < size) {
		ssize_t n = pread(fd, b->data + b->size, (size_t)size - b->size,
				  (off_t)(offset + b->size));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ESTALE;
		b->size += (size_t)n;
	}
	b->data[b->size] = '\0';
	return 0;
}

static int cancelled(const struct collect *c, struct err *e)
{
	if (!c->q->cancel || !atomic_load_explicit(c->q->cancel, memory_order_relaxed))
		return 0;
	return err_set(e, -ECANCELED, "joining the results was cut short; it begins again");
}

/* --- first pass: the input --- */

static int read_input_line(struct collect *c, uint64_t index, struct err *e)
{
	uint64_t offset, size;
	int r;

	r = input_locate(c->in, index, &offset, &size);
	if (r == 0)
		r = read_at(c->input_fd, offset, size, &c->input_line);
	return r < 0 ? err_errno(e, r, "cannot read %s", c->q->input_path) : 0;
}

/* modelInput of the input line at hand. */
static struct jsonspan model_input(const struct collect *c)
{
	return jsonspan_get(jsonspan_of(c->input_line.data, c->input_line.size), "modelInput");
}

/* Of records without an id. */
static int learn_inputs(struct collect *c, struct err *e)
{
	int r = inputjoin_new(c->q->scratch_dir, &c->join, e);

	for (uint64_t i = 0; r == 0 && i < c->sum.counts.total; i++) {
		bool has_id = true;

		r = cancelled(c, e);
		if (r == 0 && input_has_id(c->in, i, &has_id) < 0)
			r = err_set(e, -ESTALE, "cannot read %s", c->q->input_path);
		if (r == 0 && !has_id)
			r = read_input_line(c, i, e);
		if (r == 0 && !has_id)
			r = inputjoin_add(c->join, model_input(c), i, e);
	}
	return r;
}

static int learn_ids(struct collect *c, struct err *e)
{
	int r;

	r = open_file(c->q->input_path, &c->input_fd, e);
	if (r == 0)
		r = input_new(c->q->scratch_dir, &c->in, e);
	if (r == 0)
		r = input_rescan(c->in, c->input_fd, c->q->cancel, e);
	if (r < 0)
		return r;
	if (!input_is_valid(c->in))
		return err_set(e, -EINVAL, "%s is no longer the valid input that was submitted",
			       c->q->input_path);
	c->sum.counts.total = input_record_count(c->in);
	r = c->q->join_by_input && !input_is_canonical(c->in) ? learn_inputs(c, e) : 0;
	return r < 0 ? r : bestlines_open(c->q->scratch_dir, c->sum.counts.total, &c->best, e);
}

/* --- second pass: the result files --- */

/* The record of an id; false if there is none. */
static bool find_record(struct collect *c, struct jsonspan id, uint64_t *ret)
{
	buf_clear(&c->id);
	return jsonspan_string(id, &c->id) && buf_error(&c->id) == 0 &&
	       input_find(c->in, c->id.data, c->id.size, ret);
}

static bool is_blank(const struct line *line)
{
	for (size_t i = 0; i < line->size; i++)
		if (!strchr(" \t\r", line->at[i]) || !line->at[i])
			return false;
	return !line->is_too_long;
}

/* 0: no record; 1: *ret. */
static int find_line(struct collect *c, const struct envelope *v, uint64_t *ret, struct err *e)
{
	if (find_record(c, v->id, ret))
		return 1;
	return c->join ? inputjoin_take(c->join, v->input, ret, e) : 0;
}

static int take_line(struct collect *c, uint32_t file, const struct line *line, struct err *e)
{
	struct envelope v;
	uint64_t index;
	int r;

	if (is_blank(line))
		return 0;
	if (line->is_too_long || envelope_parse(line->at, line->size, &v) < 0) {
		c->sum.strange_lines += line->is_whole; /* else it is torn */
		return 0;
	}
	r = find_line(c, &v, &index, e);
	if (r <= 0) {
		c->sum.strange_lines += r == 0;
		return r;
	}
	bestlines_offer(&c->best, index,
			&(struct bestline){.is_there = true,
					   .is_good = v.good,
					   .file = file,
					   .size = (uint32_t)line->size,
					   .offset = line->offset});
	return 0;
}

static int read_results(struct collect *c, uint32_t file, struct err *e)
{
	CLEANUP(linereader_release) struct linereader lr;
	CLEANUP(fd_closep) int fd = -1;
	struct line line;
	int r;

	linereader_init(&lr, -1, LINE_MAX_BYTES);
	r = open_file(c->q->paths[file], &fd, e);
	if (r < 0)
		return r;
	lr.fd = fd;
	for (;;) {
		r = linereader_next(&lr, &line);
		if (r < 0)
			return err_errno(e, r, "cannot read %s", c->q->paths[file]);
		if (!line.at)
			return 0;
		r = take_line(c, file, &line, e);
		if (r == 0)
			r = cancelled(c, e);
		if (r < 0)
			return r;
	}
}

/* --- third pass: records in order --- */

/* An open descriptor of a result file, ours to keep. */
static int result_fd(struct collect *c, uint32_t file, int *ret, struct err *e)
{
	uint32_t place = file % OPEN_FILES_MAX;
	int r;

	if (c->open_fds[place] < 0 || c->open_files[place] != file) {
		fd_closep(&c->open_fds[place]);
		r = open_file(c->q->paths[file], &c->open_fds[place], e);
		if (r < 0)
			return r;
		c->open_files[place] = file;
	}
	*ret = c->open_fds[place];
	return 0;
}

static int append(struct collect *c, enum results_file f, struct err *e)
{
	int r = buf_error(&c->out);

	if (r < 0)
		return err_errno(e, r, "cannot put together the results");
	return results_writer_append(c->writer, f, c->out.data, c->out.size, e);
}

/* Sets id to that of a record without a usable line, from the input. */
static int id_from_input(struct collect *c, uint64_t index)
{
	char generated[24];
	struct jsonspan line = jsonspan_of(c->input_line.data, c->input_line.size);

	buf_clear(&c->id);
	if (!jsonspan_string(jsonspan_get(line, "recordId"), &c->id))
		buf_add(&c->id, generated, input_generated_id(index, generated));
	return buf_error(&c->id);
}

/* The user's line, with an id: what to run again. */
static int add_retry(struct collect *c, uint64_t index, struct err *e)
{
	const char *brace = memchr(c->input_line.data, '{', c->input_line.size);
	size_t before = brace ? (size_t)(brace - c->input_line.data) + 1 : 0;
	bool has_id = true;
	int r = input_has_id(c->in, index, &has_id);

	if (r < 0 || !brace)
		return err_errno(e, r < 0 ? r : -ESTALE, "cannot read %s", c->q->input_path);
	buf_clear(&c->out);
	if (!has_id) {
		buf_add(&c->out, c->input_line.data, before);
		buf_add_str(&c->out, "\"recordId\":");
		buf_add_json(&c->out, c->id.data, c->id.size);
		buf_add_char(&c->out, ',');
	} else {
		before = 0;
	}
	buf_add(&c->out, c->input_line.data + before, c->input_line.size - before);
	buf_add_char(&c->out, '\n');
	return append(c, RESULTS_RETRY, e);
}

static int add_csv(struct collect *c, const struct resultcsv_row *row, struct err *e)
{
	buf_clear(&c->out);
	resultcsv_add_row(&c->out, row);
	return append(c, RESULTS_CSV, e);
}

static int add_good(struct collect *c, const struct envelope *v, struct err *e)
{
	struct results_record rec = {.outcome = RESULTS_GOOD};
	struct text_answer answer;
	int r;

	buf_clear(&c->text);
	text_extract(v->output, &c->text, &answer);
	r = buf_error(&c->text);
	if (r < 0)
		return err_errno(e, r, "cannot put together the text of record %s", c->id.data);
	rec.id = c->id.data;
	rec.id_size = c->id.size;
	rec.line = c->line.data;
	rec.line_size = c->line.size;
	rec.text = c->text.data;
	rec.text_size = c->text.size;
	rec.tokens = answer.tokens;
	r = results_writer_add(c->writer, &rec, e);
	if (r < 0)
		return r;
	c->sum.counts.good++;
	c->sum.tokens.input += answer.tokens.input;
	c->sum.tokens.output += answer.tokens.output;
	return add_csv(c,
		       &(struct resultcsv_row){.id = c->id.data,
					       .id_size = c->id.size,
					       .status = "good",
					       .text = c->text.data,
					       .text_size = c->text.size,
					       .stop_reason = answer.stop_reason,
					       .tokens = answer.has_tokens ? &answer.tokens : NULL},
		       e);
}

/* What a failed and a missing record have in common; code, message and the
 * line for errors.jsonl (in out) are set. */
static int add_not_good(struct collect *c, uint64_t index, enum results_outcome outcome,
			struct err *e)
{
	const struct results_record rec = {.id = c->id.data,
					   .id_size = c->id.size,
					   .outcome = outcome,
					   .line = c->line.data,
					   .line_size = c->line.size};
	int r;

	r = append(c, RESULTS_ERRORS, e);
	if (r == 0)
		r = results_writer_add(c->writer, &rec, e);
	if (r == 0)
		r = add_retry(c, index, e);
	if (r < 0)
		return r;
	r = buf_error(&c->message);
	if (r < 0)
		return err_errno(e, r, "cannot put together the error of record %s", c->id.data);
	return add_csv(
		c,
		&(struct resultcsv_row){.id = c->id.data,
					.id_size = c->id.size,
					.status = outcome == RESULTS_FAILED ? "failed" : "missing",
					.code = c->code.data,
					.message = c->message.data,
					.message_size = c->message.size},
		e);
}

static int add_failed(struct collect *c, uint64_t index, const struct envelope *v, struct err *e)
{
	int r = read_input_line(c, index, e);

	if (r < 0)
		return r;
	buf_clear(&c->code);
	buf_clear(&c->message);
	envelope_code(v, &c->code);
	if (buf_error(&c->code)) { /* a code of more than CODE_MAX is none */
		buf_clear(&c->code);
		buf_add_str(&c->code, "Unknown");
	}
	envelope_message(v, &c->message);
	buf_clear(&c->out);
	buf_add(&c->out, c->line.data, c->line.size);
	buf_add_char(&c->out, '\n');
	c->sum.counts.failed++;
	return add_not_good(c, index, RESULTS_FAILED, e);
}

static int add_missing(struct collect *c, uint64_t index, struct err *e)
{
	int r = read_input_line(c, index, e);

	if (r == 0)
		r = id_from_input(c, index);
	if (r < 0)
		return r;
	buf_clear(&c->code);
	buf_clear(&c->message);
	buf_add_str(&c->code, "Missing");
	buf_add_str(&c->message, c->q->missing_reason);
	buf_clear(&c->out);
	buf_add_str(&c->out, "{\"recordId\":");
	buf_add_json(&c->out, c->id.data, c->id.size);
	buf_add_str(&c->out, ",\"error\":{\"errorCode\":\"Missing\",\"errorMessage\":");
	buf_add_json(&c->out, c->message.data, c->message.size);
	buf_add_str(&c->out, "}}\n");
	buf_clear(&c->line);
	return add_not_good(c, index, RESULTS_MISSING, e);
}

/* Is that the line of that record?  Sets id. */
static int recognise(struct collect *c, const struct envelope *v, uint64_t index)
{
	uint64_t found;
	int r;

	if (find_record(c, v->id, &found))
		return found == index ? 0 : -ESTALE;
	if (!c->join)
		return -ESTALE;
	r = read_input_line(c, index, NULL);
	if (r == 0 && !inputjoin_are_equal(c->join, v->input, model_input(c)))
		r = -ESTALE;
	return r < 0 ? r : id_from_input(c, index); /* not the one that was drawn */
}

static int add_record(struct collect *c, uint64_t index, struct err *e)
{
	struct bestline best = bestlines_get(&c->best, index);
	struct envelope v;
	int fd, r;

	if (!best.is_there)
		return add_missing(c, index, e);
	r = result_fd(c, best.file, &fd, e);
	if (r < 0)
		return r;
	r = read_at(fd, best.offset, best.size, &c->line);
	if (r == 0 &&
	    (envelope_parse(c->line.data, c->line.size, &v) < 0 || v.good != best.is_good))
		r = -ESTALE; /* it was another line a moment ago */
	if (r == 0)
		r = recognise(c, &v, index);
	if (r < 0)
		return err_errno(e, r, "cannot read %s", c->q->paths[best.file]);
	return v.good ? add_good(c, &v, e) : add_failed(c, index, &v, e);
}

static int write_results(struct collect *c, struct err *e)
{
	int r;

	r = results_writer_new(c->q->results_dir, c->sum.counts.total, &c->writer, e);
	if (r < 0)
		return r;
	buf_clear(&c->out);
	resultcsv_add_header(&c->out);
	r = append(c, RESULTS_CSV, e);
	for (uint64_t i = 0; r == 0 && i < c->sum.counts.total; i++) {
		r = cancelled(c, e);
		if (r == 0)
			r = add_record(c, i, e);
	}
	return r == 0 ? results_writer_commit(c->writer, e) : r;
}

int collect_run(const struct collect_request *q, struct collect_summary *ret, struct err *e)
{
	CLEANUP(collect_release) struct collect c;
	int r;

	collect_init(&c, q);
	if (q->path_count >= BESTLINES_FILES_MAX)
		return err_set(e, -E2BIG, "too many result files");
	r = learn_ids(&c, e);
	for (uint32_t i = 0; r == 0 && i < q->path_count; i++)
		r = read_results(&c, i, e);
	if (r == 0)
		r = write_results(&c, e);
	if (r == 0)
		*ret = c.sum;
	return r;
}
