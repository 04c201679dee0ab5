#include "fs/job/collect.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "backend/text.h"
#include "fs/job/collect_private.h"
#include "fs/job/linereader.h"

/*
 * Three passes.  The input is read once to learn its ids (fs/job/input.h).
 * Then every result file is read once in its own order, and of each line that
 * belongs to a record its place is kept, if it is better than the one known
 * (fs/job/bestlines.h).  Then the records are gone through in the order of the
 * input, each one's line is read again from its place, and everything about it
 * is written (collectwrite.c).
 *
 * Where copies share, and some record has no good line, it is first learnt from
 * the input which record's line each set of equal ones may have.
 *
 * Result lines are taken apart twice, which costs less than keeping them. All
 * that grows with the number of records is in files; of what is in memory the
 * largest thing is the longest line.
 *
 * All bytes are read with pread(2), so that a failing disk is an error here
 * and not a signal.  Result files are immutable by contract; one that changed
 * nevertheless is noticed where a line no longer is what it was.
 */

static void collect_init(struct collect *c, const struct collect_request *q)
{
	*c = (struct collect){.q = q, .input_fd = -1};
	for (int i = 0; i < COLLECT_OPEN_FILES_MAX; i++)
		c->open_fds[i] = -1;
	buf_init(&c->line, COLLECT_LINE_MAX);
	buf_init(&c->input_line, COLLECT_LINE_MAX);
	buf_init(&c->shared, COLLECT_LINE_MAX + COLLECT_ID_MAX);
	buf_init(&c->id, COLLECT_ID_MAX);
	buf_init(&c->text, COLLECT_TEXT_MAX);
	buf_init(&c->code, COLLECT_CODE_MAX);
	buf_init(&c->message, COLLECT_LINE_MAX);
	buf_init(&c->out, 2 * COLLECT_TEXT_MAX);
}

static void collect_release(struct collect *c)
{
	fd_closep(&c->input_fd);
	for (int i = 0; i < COLLECT_OPEN_FILES_MAX; i++)
		fd_closep(&c->open_fds[i]);
	input_free(c->in);
	inputjoin_free(c->join);
	copies_free(c->copies);
	bestlines_close(&c->best);
	results_writer_free(c->writer);
	buf_release(&c->line);
	buf_release(&c->input_line);
	buf_release(&c->shared);
	buf_release(&c->id);
	buf_release(&c->text);
	buf_release(&c->code);
	buf_release(&c->message);
	buf_release(&c->out);
}

int collect_open_file(const char *path, int *ret, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		int r = -errno;

		return err_errno(e, r, "cannot open %s", path);
	}
	*ret = fd;
	return 0;
}

int collect_read_at(int fd, uint64_t offset, uint64_t size, struct buf *b)
{
	buf_clear(b);
	if (size > COLLECT_LINE_MAX)
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

int collect_cancelled(const struct collect *c, struct err *e)
{
	if (!c->q->cancel || !atomic_load_explicit(c->q->cancel, memory_order_relaxed))
		return 0;
	return err_set(e, -ECANCELED, "joining the results was cut short; it begins again");
}

/* --- first pass: the input --- */

int collect_read_input(struct collect *c, uint64_t index, struct err *e)
{
	uint64_t offset, size;
	int r;

	r = input_locate(c->in, index, &offset, &size);
	if (r == 0)
		r = collect_read_at(c->input_fd, offset, size, &c->input_line);
	return r < 0 ? err_errno(e, r, "cannot read %s", c->q->input_path) : 0;
}

struct jsonspan collect_model_input(const struct collect *c)
{
	return jsonspan_get(jsonspan_of(c->input_line.data, c->input_line.size), "modelInput");
}

/* Of records without an id. */
static int learn_inputs(struct collect *c, struct err *e)
{
	int r = inputjoin_new(c->q->scratch_dir, &c->join, e);

	for (uint64_t i = 0; r == 0 && i < c->sum.counts.total; i++) {
		bool has_id = true;

		r = collect_cancelled(c, e);
		if (r == 0 && input_has_id(c->in, i, &has_id) < 0)
			r = err_set(e, -ESTALE, "cannot read %s", c->q->input_path);
		if (r == 0 && !has_id)
			r = collect_read_input(c, i, e);
		if (r == 0 && !has_id)
			r = inputjoin_add(c->join, collect_model_input(c), i, e);
	}
	return r;
}

static int learn_ids(struct collect *c, struct err *e)
{
	int r;

	r = collect_open_file(c->q->input_path, &c->input_fd, e);
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

bool collect_find(struct collect *c, struct jsonspan id, uint64_t *ret)
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

/* Is that the line of a record that was only sent to fill a part?  Its id is
 * in c->id. */
static bool take_padding(struct collect *c, const struct envelope *v)
{
	struct text_answer answer;

	if (c->id.size < strlen(COLLECT_PADDING) ||
	    memcmp(c->id.data, COLLECT_PADDING, strlen(COLLECT_PADDING)) != 0)
		return false;
	c->sum.padding.records++;
	if (!v->good)
		return true;
	buf_clear(&c->text);
	text_extract(v->output, &c->text, &answer);
	c->sum.padding.tokens.input += answer.tokens.input;
	c->sum.padding.tokens.output += answer.tokens.output;
	return true;
}

/* 0: no record, and counted as what it is; 1: *ret. */
static int find_line(struct collect *c, const struct envelope *v, uint64_t *ret, struct err *e)
{
	int r = 0;

	if (collect_find(c, v->id, ret))
		return 1;
	if (take_padding(c, v))
		return 0;
	if (c->join)
		r = inputjoin_take(c->join, v->input, ret, e);
	c->sum.strange_lines += r == 0;
	return r;
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
	if (r <= 0)
		return r;
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

	linereader_init(&lr, -1, COLLECT_LINE_MAX);
	r = collect_open_file(c->q->paths[file], &fd, e);
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
			r = collect_cancelled(c, e);
		if (r < 0)
			return r;
	}
}

/* --- whose line a record may have --- */

static bool all_are_good(const struct collect *c)
{
	for (uint64_t i = 0; i < c->sum.counts.total; i++)
		if (!bestlines_get(&c->best, i).is_good)
			return false;
	return true;
}

static enum copies_kind kind_of(const struct collect *c, const struct bestline *line)
{
	if (line->is_good)
		return COPIES_GOOD;
	return line->file >= c->q->earlier_count ? COPIES_FAILED_NOW : COPIES_FAILED;
}

static int learn_copies(struct collect *c, struct err *e)
{
	int r = copies_new(c->q->scratch_dir, &c->copies, e);

	for (uint64_t i = 0; r == 0 && i < c->sum.counts.total; i++) {
		struct bestline line = bestlines_get(&c->best, i);

		r = collect_cancelled(c, e);
		if (r < 0 || !line.is_there)
			continue;
		r = collect_read_input(c, i, e);
		if (r == 0)
			r = copies_add(c->copies, collect_model_input(c), kind_of(c, &line), i, e);
	}
	return r;
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
	if (r == 0 && q->share_copies && !all_are_good(&c))
		r = learn_copies(&c, e);
	if (r == 0)
		r = collect_write(&c, e);
	if (r == 0)
		*ret = c.sum;
	return r;
}
