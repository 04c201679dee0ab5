#include "fs/job/input.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "fs/base/idmap.h"
#include "fs/base/jsonscan.h"
#include "fs/base/utf8.h"
#include "fs/job/lineindex.h"

/*
 * The scanner stands at the front: the bytes before it are known, those after
 * it are not.  A write at the front moves it; anything else makes the check
 * stale, and from then on nothing is claimed until input_rescan() or
 * input_reset() starts again.  A failure of our own (a full disk under the
 * index) makes it stale too, and is told by the next rescan.
 *
 * The last line, while it has no newline, is judged apart after every portion
 * (struct tail): the scanner itself does not commit to it, so that a file can
 * be appended to in the middle of a line.
 *
 * A line with a fault is no record.  So record numbers and line numbers are
 * the same, less the faulty lines before; the first INPUT_FAULTS_MAX of those
 * are kept, in order, which is enough to name lines in as many messages.
 */

#define RESCAN_PORTION (1024u * 1024)

/* Ids in messages are cut to this many bytes. */
#define ID_SHOWN_MAX 64

struct fault {
	uint64_t line, column;
	const char *what, *cure; /* constant, or owned by words */
	char *words;		 /* owned; NULL: what is constant */
};

/* The last line, if it has no newline. */
struct tail {
	bool is_record, is_fault;
	struct fault fault; /* words NULL: described again when asked for */
	uint64_t offset, size, line;
	bool has_id;
	size_t id_size;
	char id[JSONSCAN_ID_MAX + 1]; /* its own or the generated one */
	bool is_double;		      /* the id is also record first's */
	uint32_t first;
};

struct input {
	struct jsonscan scan;
	struct idmap *ids;	 /* owned */
	struct lineindex *index; /* owned; a line a record, without the tail */
	struct tail tail;
	struct fault faults[INPUT_FAULTS_MAX];
	uint64_t fault_count; /* all, kept or not; without the tail's */
	uint64_t ids_missing, crlf_count;
	bool is_stale;
	int error; /* -errno of our own scratch files; implies is_stale */
};

size_t input_generated_id(uint64_t index, char *out)
{
	return (size_t)snprintf(out, 24, "r%07llu", (unsigned long long)index + 1);
}

/* ---- faults ---- */

static void add_fault(struct input *in, const struct fault *f)
{
	if (in->fault_count < INPUT_FAULTS_MAX)
		in->faults[in->fault_count] = *f;
	else
		free(f->words);
	in->fault_count++;
}

static void clear_faults(struct input *in)
{
	for (size_t i = 0; i < COUNT_OF(in->faults); i++)
		str_freep(&in->faults[i].words);
	memset(in->faults, 0, sizeof(in->faults));
	in->fault_count = 0;
}

/* The line a record is on.  Right as long as all faults are kept. */
static uint64_t line_of(const struct input *in, uint64_t index)
{
	uint64_t line = index + 1;

	for (size_t i = 0; i < in->fault_count && i < INPUT_FAULTS_MAX; i++)
		if (in->faults[i].line <= line)
			line++;
	return line;
}

/* As much of an id as a message has room for, cut between characters. */
static size_t shown_size(const char *id, size_t size)
{
	size_t shown = 0;

	while (shown < size && shown < ID_SHOWN_MAX) {
		size_t n = utf8_char_size(id + shown, size - shown);

		shown += n ? n : 1;
	}
	return shown < size ? shown : size;
}

/* Two records with one id: the words for the second.  Owned; NULL: no memory,
 * and the caller has constant ones. */
static char *double_id_words(const struct input *in, const char *id, size_t size, bool has_id,
			     uint64_t first)
{
	CLEANUP(buf_release) struct buf words = BUF_INIT(4096);
	size_t shown = shown_size(id, size);

	if (!has_id)
		buf_add_str(&words, "this record has no recordId and would get ");
	else
		buf_add_str(&words, "recordId ");
	buf_add_json(&words, id, shown);
	if (shown < size)
		buf_add_str(&words, "...");
	buf_addf(&words, "%s used on line %llu already", has_id ? " was" : ", which is",
		 (unsigned long long)line_of(in, first));
	return buf_steal(&words);
}

static void add_double_id(struct input *in, const struct jsonscan_record *rec, const char *id,
			  size_t id_size, uint32_t first)
{
	struct fault f = {
		.line = rec->line,
		.column = 1,
		.what = "this recordId was used before",
		.cure = rec->id ? "ids must be unique" : "give every record a recordId",
	};

	if (in->fault_count < INPUT_FAULTS_MAX)
		f.words = double_id_words(in, id, id_size, rec->id != NULL, first);
	if (f.words)
		f.what = f.words;
	add_fault(in, &f);
}

/* ---- from the scanner ---- */

static void give_up(struct input *in, int error)
{
	in->error = error;
	in->is_stale = true;
}

static void on_fault(void *ctx, const struct jsonscan_fault *f)
{
	struct input *in = ctx;

	add_fault(in, &(struct fault){f->line, f->column, f->what, f->cure, NULL});
}

static void on_record(void *ctx, const struct jsonscan_record *rec)
{
	struct input *in = ctx;
	uint64_t number = lineindex_count(in->index);
	struct lineindex_line line = {rec->offset, rec->size, rec->end_size == 2, rec->id != NULL};
	char generated[24];
	const char *id = rec->id ? rec->id : generated;
	size_t size = rec->id ? rec->id_size : input_generated_id(number, generated);
	uint32_t first = 0;
	int r;

	if (in->error)
		return;
	r = number > IDMAP_RECORDS_MAX ? -EFBIG
				       : idmap_add(in->ids, id, size, (uint32_t)number, &first);
	if (r == -EEXIST) {
		add_double_id(in, rec, id, size, first);
		return;
	}
	if (r == 0)
		r = lineindex_add(in->index, &line);
	if (r < 0) {
		give_up(in, r);
		return;
	}
	in->ids_missing += !rec->id;
	in->crlf_count += rec->end_size == 2;
}

static void on_tail_fault(void *ctx, const struct jsonscan_fault *f)
{
	struct tail *t = &((struct input *)ctx)->tail;

	t->is_fault = true;
	t->fault = (struct fault){f->line, f->column, f->what, f->cure, NULL};
}

static void on_tail_record(void *ctx, const struct jsonscan_record *rec)
{
	struct input *in = ctx;
	struct tail *t = &in->tail;

	t->offset = rec->offset;
	t->size = rec->size;
	t->line = rec->line;
	t->has_id = rec->id != NULL;
	if (rec->id) {
		memcpy(t->id, rec->id, rec->id_size);
		t->id_size = rec->id_size;
	} else {
		t->id_size = input_generated_id(lineindex_count(in->index), t->id);
	}
	t->is_double = idmap_find(in->ids, t->id, t->id_size, &t->first);
	t->is_record = !t->is_double;
}

static void scan(struct input *in, const char *bytes, size_t size)
{
	const struct jsonscan_sink sink = {on_record, on_fault, in};
	const struct jsonscan_sink tail_sink = {on_tail_record, on_tail_fault, in};

	jsonscan_feed(&in->scan, bytes, size, &sink);
	in->tail.is_record = in->tail.is_fault = in->tail.is_double = false;
	jsonscan_end(&in->scan, &tail_sink);
}

/* ---- the life of a check ---- */

static void free_inputp(struct input **in)
{
	input_free(*in);
	*in = NULL;
}

int input_new(const char *dir, struct input **ret, struct err *e)
{
	CLEANUP(free_inputp) struct input *in = calloc(1, sizeof(*in));
	int r;

	if (!in)
		return err_errno(e, -ENOMEM, "cannot check an input file");
	r = idmap_new(dir, &in->ids, e);
	if (r < 0)
		return r;
	r = lineindex_new(dir, &in->index, e);
	if (r < 0)
		return r;
	jsonscan_init(&in->scan);
	*ret = STEAL(&in);
	return 0;
}

void input_free(struct input *in)
{
	if (!in)
		return;
	clear_faults(in);
	idmap_free(in->ids);
	lineindex_free(in->index);
	free(in);
}

void input_reset(struct input *in)
{
	clear_faults(in);
	idmap_clear(in->ids);
	lineindex_clear(in->index);
	jsonscan_init(&in->scan);
	in->tail.is_record = in->tail.is_fault = in->tail.is_double = false;
	in->ids_missing = in->crlf_count = 0;
	in->is_stale = false;
	in->error = 0;
}

void input_written(struct input *in, uint64_t offset, const char *bytes, size_t size)
{
	if (in->is_stale || size == 0)
		return;
	if (offset == jsonscan_offset(&in->scan))
		scan(in, bytes, size);
	else
		in->is_stale = true;
}

void input_truncated(struct input *in, uint64_t size)
{
	if (size == 0)
		input_reset(in);
	else if (size != jsonscan_offset(&in->scan))
		in->is_stale = true;
}

bool input_is_current(const struct input *in, uint64_t file_size)
{
	return !in->is_stale && jsonscan_offset(&in->scan) == file_size;
}

static int rescan_from_start(struct input *in, int fd, const atomic_bool *cancel, struct err *e)
{
	CLEANUP(str_freep) char *portion = malloc(RESCAN_PORTION);

	if (!portion)
		return err_errno(e, -ENOMEM, "cannot check input.jsonl");
	/* Only a hint: it may say no. */
	ignore_error(posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL));
	for (;;) {
		ssize_t n = pread(fd, portion, RESCAN_PORTION, (off_t)jsonscan_offset(&in->scan));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int r = -errno;

			return err_errno(e, r, "cannot read input.jsonl");
		}
		if (n == 0)
			return 0;
		scan(in, portion, (size_t)n);
		if (in->error)
			return err_errno(e, in->error,
					 "cannot keep what is known about input.jsonl");
		if (cancel && atomic_load(cancel))
			return err_set(e, -ECANCELED, "the check of input.jsonl was cancelled");
	}
}

int input_rescan(struct input *in, int fd, const atomic_bool *cancel, struct err *e)
{
	int r;

	input_reset(in);
	r = rescan_from_start(in, fd, cancel, e);
	if (r < 0)
		in->is_stale = true;
	return r;
}

/* ---- what is known ---- */

bool input_has_fault(const struct input *in)
{
	return !in->is_stale && in->fault_count > 0;
}

uint64_t input_fault_count(const struct input *in)
{
	if (in->is_stale)
		return 0;
	return in->fault_count + in->tail.is_fault + in->tail.is_double +
	       (jsonscan_offset(&in->scan) == 0);
}

bool input_is_valid(const struct input *in)
{
	return !in->is_stale && input_fault_count(in) == 0;
}

static void describe(struct buf *out, const struct fault *f)
{
	buf_addf(out, "input.jsonl:%llu:%llu: %s; %s\n", (unsigned long long)f->line,
		 (unsigned long long)f->column, f->what, f->cure);
}

static void describe_tail(const struct input *in, struct buf *out)
{
	const struct tail *t = &in->tail;
	CLEANUP(str_freep) char *words = NULL;
	struct fault f = {
		.line = t->line,
		.column = 1,
		.what = "this recordId was used before",
		.cure = t->has_id ? "ids must be unique" : "give every record a recordId",
	};

	if (t->is_fault)
		describe(out, &t->fault);
	if (!t->is_double)
		return;
	words = double_id_words(in, t->id, t->id_size, t->has_id, t->first);
	if (words)
		f.what = words;
	describe(out, &f);
}

void input_describe_faults(const struct input *in, struct buf *out)
{
	uint64_t kept = in->fault_count < INPUT_FAULTS_MAX ? in->fault_count : INPUT_FAULTS_MAX;
	uint64_t more = input_fault_count(in) - kept;

	if (in->is_stale) {
		buf_add_str(out, "input.jsonl: not checked yet since it was last changed\n");
		return;
	}
	for (size_t i = 0; i < kept; i++)
		describe(out, &in->faults[i]);
	if (jsonscan_offset(&in->scan) == 0)
		buf_add_str(out, "input.jsonl:1:1: the file is empty; write one record a line: "
				 "{\"recordId\":\"...\",\"modelInput\":{...}}\n");
	else if (kept < INPUT_FAULTS_MAX)
		describe_tail(in, out);
	else if (more > 0)
		buf_addf(out, "input.jsonl: and %llu more faults\n", (unsigned long long)more);
}

uint64_t input_record_count(const struct input *in)
{
	return lineindex_count(in->index) + in->tail.is_record;
}

uint64_t input_size_bytes(const struct input *in)
{
	return jsonscan_offset(&in->scan);
}

bool input_is_canonical(const struct input *in)
{
	return input_is_valid(in) && in->ids_missing == 0 && in->crlf_count == 0 &&
	       !in->tail.is_record;
}

static int line_at(const struct input *in, uint64_t index, struct lineindex_line *ret)
{
	const struct tail *t = &in->tail;

	if (!input_is_valid(in))
		return -EINVAL;
	if (t->is_record && index == lineindex_count(in->index)) {
		*ret = (struct lineindex_line){t->offset, t->size, false, t->has_id};
		return 0;
	}
	return lineindex_get(in->index, index, ret);
}

int input_locate(const struct input *in, uint64_t index, uint64_t *ret_offset, uint64_t *ret_size)
{
	struct lineindex_line line;
	int r = line_at(in, index, &line);

	if (r < 0)
		return r;
	*ret_offset = line.offset;
	*ret_size = line.size;
	return 0;
}

int input_has_id(const struct input *in, uint64_t index, bool *ret)
{
	struct lineindex_line line;
	int r = line_at(in, index, &line);

	if (r < 0)
		return r;
	*ret = line.has_id;
	return 0;
}

bool input_find(const struct input *in, const char *id, size_t id_size, uint64_t *ret_index)
{
	const struct tail *t = &in->tail;
	uint32_t number;

	if (in->is_stale)
		return false;
	if (t->is_record && t->id_size == id_size && memcmp(t->id, id, id_size) == 0) {
		*ret_index = lineindex_count(in->index);
		return true;
	}
	if (!idmap_find(in->ids, id, id_size, &number))
		return false;
	*ret_index = number;
	return true;
}
