/*
 * The last pass of collect.c: the records in the order of the input, and all
 * that is written of each.
 */

#include <errno.h>
#include <string.h>

#include "backend/text.h"
#include "fs/job/collect_private.h"
#include "fs/job/lineid.h"
#include "fs/job/resultcsv.h"

/* An open descriptor of a result file, ours to keep. */
static int result_fd(struct collect *c, uint32_t file, int *ret, struct err *e)
{
	uint32_t place = file % COLLECT_OPEN_FILES_MAX;
	int r;

	if (c->open_fds[place] < 0 || c->open_files[place] != file) {
		fd_closep(&c->open_fds[place]);
		r = collect_open_file(c->q->paths[file], &c->open_fds[place], e);
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
	const struct buf *line = &c->input_line;
	bool has_id = true;
	int r = input_has_id(c->in, index, &has_id);

	buf_clear(&c->out);
	if (r == 0 && has_id)
		buf_add(&c->out, line->data, line->size);
	else if (r == 0)
		r = lineid_insert(line->data, line->size, c->id.data, c->id.size, &c->out);
	if (r < 0)
		return err_errno(e, r, "cannot read %s", c->q->input_path);
	buf_add_char(&c->out, '\n');
	return append(c, RESULTS_RETRY, e);
}

static int add_csv(struct collect *c, const struct resultcsv_row *row, struct err *e)
{
	buf_clear(&c->out);
	resultcsv_add_row(&c->out, row);
	return append(c, RESULTS_CSV, e);
}

static int add_good(struct collect *c, const struct envelope *v, bool copied, struct err *e)
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
	if (copied) {
		c->sum.copied.records++;
		c->sum.copied.tokens.input += answer.tokens.input;
		c->sum.copied.tokens.output += answer.tokens.output;
	}
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
	int r = collect_read_input(c, index, e);

	if (r < 0)
		return r;
	buf_clear(&c->code);
	buf_clear(&c->message);
	envelope_code(v, &c->code);
	if (buf_error(&c->code)) { /* a code of more than COLLECT_CODE_MAX is none */
		buf_clear(&c->code);
		buf_add_str(&c->code, "Unknown");
	}
	envelope_message(v, &c->message);
	buf_clear(&c->out);
	buf_add(&c->out, c->line.data, c->line.size);
	buf_add_char(&c->out, '\n');
	c->sum.counts.failed++;
	c->sum.retryable_count += envelope_is_retryable(v);
	return add_not_good(c, index, RESULTS_FAILED, e);
}

static int add_missing(struct collect *c, uint64_t index, struct err *e)
{
	int r = collect_read_input(c, index, e);

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
	c->sum.retryable_count += c->q->missing_is_retryable;
	return add_not_good(c, index, RESULTS_MISSING, e);
}

/* Is that the line of that record?  Sets id. */
static int recognise(struct collect *c, const struct envelope *v, uint64_t index)
{
	uint64_t found;
	int r;

	if (collect_find(c, v->id, &found))
		return found == index ? 0 : -ESTALE;
	if (!c->join)
		return -ESTALE;
	r = collect_read_input(c, index, NULL);
	if (r == 0 && !inputjoin_are_equal(c->join, v->input, collect_model_input(c)))
		r = -ESTALE;
	return r < 0 ? r : id_from_input(c, index); /* not the one that was drawn */
}

/* Reads the line that record index has a place of, and what id it is under. */
static int read_line(struct collect *c, uint64_t index, struct envelope *ret, struct err *e)
{
	struct bestline best = bestlines_get(&c->best, index);
	int fd, r;

	r = result_fd(c, best.file, &fd, e);
	if (r < 0)
		return r;
	r = collect_read_at(fd, best.offset, best.size, &c->line);
	if (r == 0 &&
	    (envelope_parse(c->line.data, c->line.size, ret) < 0 || ret->good != best.is_good))
		r = -ESTALE; /* it was another line a moment ago */
	if (r == 0)
		r = recognise(c, ret, index);
	return r < 0 ? err_errno(e, r, "cannot read %s", c->q->paths[best.file]) : 0;
}

/* The record whose line this one gets: itself, or one that was given the same. */
static int whose_line(struct collect *c, uint64_t index, uint64_t *ret, struct err *e)
{
	struct bestline own = bestlines_get(&c->best, index);
	bool is_new = own.is_there && own.file >= c->q->earlier_count;
	struct jsonspan input;
	int r;

	*ret = index;
	if (!c->copies || own.is_good)
		return 0;
	r = collect_read_input(c, index, e);
	if (r < 0)
		return r;
	input = collect_model_input(c);
	if (!copies_find(c->copies, input, COPIES_GOOD, ret) && !is_new &&
	    !copies_find(c->copies, input, COPIES_FAILED_NOW, ret) && !own.is_there)
		copies_find(c->copies, input, COPIES_FAILED, ret);
	return 0;
}

/* Puts the id of record index into the line at hand, which is another one's. */
static int make_own(struct collect *c, uint64_t index, struct envelope *v, struct err *e)
{
	struct buf other = c->line;
	int r = collect_read_input(c, index, e);

	if (r < 0)
		return r;
	r = id_from_input(c, index);
	buf_clear(&c->shared);
	lineid_replace(c->line.data, c->line.size, v->id, c->id.data, c->id.size, &c->shared);
	if (r == 0)
		r = buf_error(&c->shared);
	if (r < 0)
		return err_errno(e, r, "cannot put together the results");
	c->line = c->shared;
	c->shared = other;
	if (envelope_parse(c->line.data, c->line.size, v) < 0)
		return err_set(e, -ESTALE, "cannot put together the result of record %s",
			       c->id.data);
	return 0;
}

static int add_record(struct collect *c, uint64_t index, struct err *e)
{
	struct envelope v;
	uint64_t from;
	int r = whose_line(c, index, &from, e);

	if (r < 0)
		return r;
	if (!bestlines_get(&c->best, from).is_there)
		return add_missing(c, index, e);
	r = read_line(c, from, &v, e);
	if (r == 0 && from != index)
		r = make_own(c, index, &v, e);
	if (r < 0)
		return r;
	return v.good ? add_good(c, &v, from != index, e) : add_failed(c, index, &v, e);
}

int collect_write(struct collect *c, struct err *e)
{
	int r;

	r = results_writer_new(c->q->results_dir, c->sum.counts.total, &c->writer, e);
	if (r < 0)
		return r;
	buf_clear(&c->out);
	resultcsv_add_header(&c->out);
	r = append(c, RESULTS_CSV, e);
	for (uint64_t i = 0; r == 0 && i < c->sum.counts.total; i++) {
		r = collect_cancelled(c, e);
		if (r == 0)
			r = add_record(c, i, e);
	}
	return r == 0 ? results_writer_commit(c->writer, e) : r;
}
