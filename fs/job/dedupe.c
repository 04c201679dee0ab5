#include "fs/job/dedupe.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/envelope.h"
#include "backend/text.h"
#include "fs/base/idmap.h"
#include "fs/base/jsonscan.h"
#include "fs/base/newfile.h"
#include "fs/base/scratch.h"
#include "fs/job/input.h"
#include "fs/job/inputhash.h"
#include "fs/job/lineid.h"
#include "fs/job/linereader.h"

/*
 * The first record of a set of equal ones is its leader.  A map leads from the
 * hash of an input to the leader, and a table of slots from each record to its
 * leader.  What else is known of a set stands in the leader's slot.
 *
 * Valid inputs have one record a line and no other lines, so record and line
 * have one number, in the list as well as in an earlier job's input.
 *
 * Lines of result are appended as earlier jobs are gone through.  That file gets its
 * name before the list does: who finds the list finds what it leaves out.
 */

#define ID_MAX	 (2 * JSONSCAN_ID_MAX)
#define TEXT_MAX (1024u * 1024 * 1024)

struct slot {
	uint32_t leader;
	uint32_t is_known;	/* of a leader: has a result */
	uint32_t input, output; /* of a known leader: its tokens */
};

struct dedupe {
	struct dedupe_request q; /* what it points to is borrowed */
	struct inputhash hash;
	struct idmap *leaders;	     /* owned */
	struct slot *slots;	     /* owned mapping */
	uint64_t count, known_count; /* records; leaders with a result */
	struct newfile reused;
	struct buf id, name, text, line; /* of the record at hand */
};

/* What is left out, and what of it is put back. */
struct choice {
	uint64_t copies, known_copies, known; /* to put back of each kind */
};

/* A record line taken apart. */
struct record {
	struct jsonspan id, input;
};

/* --- lines of records --- */

static struct record take_apart(const struct line *line)
{
	struct jsonspan_walk w = jsonspan_walk(jsonspan_of(line->at, line->size));
	struct record rec = {{NULL, 0}, {NULL, 0}};

	while (!(rec.id.at && rec.input.at) && jsonspan_next(&w)) {
		if (jsonspan_equals(w.key, "recordId"))
			rec.id = w.value;
		else if (jsonspan_equals(w.key, "modelInput"))
			rec.input = w.value;
	}
	return rec;
}

/* Into d->id: a record's own, or that of its place. */
static int read_id(struct dedupe *d, const struct record *rec, uint64_t index)
{
	char generated[24];

	buf_clear(&d->id);
	if (!jsonspan_string(rec->id, &d->id))
		buf_add(&d->id, generated, input_generated_id(index, generated));
	return buf_error(&d->id);
}

typedef int on_record(struct dedupe *d, void *ctx, const struct line *line, uint64_t index,
		      struct err *e);

/* Each line of fd, without its line end.  *ret: how many there were. */
static int each_record(struct dedupe *d, int fd, on_record *f, void *ctx, uint64_t *ret,
		       struct err *e)
{
	CLEANUP(linereader_release) struct linereader lr;
	struct line line;
	uint64_t index = 0;
	int r;

	linereader_init(&lr, fd, JSONSCAN_LINE_MAX + 2);
	for (;; index++) {
		r = linereader_next(&lr, &line);
		if (r < 0)
			return err_errno(e, r, "cannot read records");
		if (!line.at)
			break;
		if (line.is_too_long)
			return err_set(e, -ESTALE, "records have changed since they were checked");
		if (line.size > 0 && line.at[line.size - 1] == '\r')
			line.size--;
		if (d->q.cancel && atomic_load_explicit(d->q.cancel, memory_order_relaxed))
			return err_set(e, -ECANCELED, "comparing records was cut short");
		r = f(d, ctx, &line, index, e);
		if (r < 0)
			return r;
	}
	*ret = index;
	return 0;
}

static int each_of_list(struct dedupe *d, on_record *f, void *ctx, struct err *e)
{
	uint64_t count = 0;
	struct stat st;
	int r;

	if (fstat(d->q.fd, &st) < 0) {
		r = -errno;
		return err_errno(e, r, "cannot look at the list of records");
	}
	if (!input_is_current(d->q.list, (uint64_t)st.st_size))
		return err_set(e, -ESTALE, "the list of records has changed since it was checked");
	r = each_record(d, d->q.fd, f, ctx, &count, e);
	if (r == 0 && count != d->count)
		r = err_set(e, -ESTALE, "the list of records has changed since it was checked");
	return r;
}

/* --- which records are equal --- */

static int learn(struct dedupe *d, void *ctx, const struct line *line, uint64_t index,
		 struct err *e)
{
	struct record rec = take_apart(line);
	struct inputhash_sum sum = inputhash_of(&d->hash, rec.input, NULL);
	uint32_t leader = (uint32_t)index;
	int r;

	(void)ctx;
	if (index >= d->count)
		return err_set(e, -ESTALE, "the list of records has changed since it was checked");
	r = idmap_add(d->leaders, (const char *)&sum, sizeof(sum), leader, &leader);
	if (r < 0 && r != -EEXIST)
		return err_errno(e, r, "cannot compare records");
	d->slots[index].leader = leader;
	return 0;
}

static void free_dedupep(struct dedupe **d)
{
	dedupe_free(*d);
	*d = NULL;
}

int dedupe_new(const struct dedupe_request *q, struct dedupe **ret, struct err *e)
{
	CLEANUP(free_dedupep) struct dedupe *d = calloc(1, sizeof(*d));
	void *slots = NULL;
	int r;

	if (!d)
		return err_errno(e, -ENOMEM, "cannot compare records");
	d->q = *q;
	d->count = input_record_count(q->list);
	d->reused = (struct newfile)NEWFILE_INIT;
	buf_init(&d->id, ID_MAX);
	buf_init(&d->name, 2 * RESULTS_NAME_MAX);
	buf_init(&d->text, TEXT_MAX);
	buf_init(&d->line, TEXT_MAX);
	if (!input_is_valid(q->list))
		return err_set(e, -ESTALE, "the list of records is not valid");
	if (d->count >= IDMAP_RECORDS_MAX)
		return err_set(e, -E2BIG, "too many records to compare");
	if (unlink(q->reused_path) < 0 && errno != ENOENT) {
		r = -errno;
		return err_errno(e, r, "cannot delete %s", q->reused_path);
	}
	r = inputhash_init(&d->hash, INPUTHASH_EXACTLY, e);
	if (r == 0)
		r = idmap_new(q->scratch_dir, &d->leaders, e);
	if (r == 0)
		r = scratch_map(q->scratch_dir, d->count * sizeof(*d->slots), &slots, e);
	if (r < 0)
		return r;
	d->slots = slots;
	r = each_of_list(d, learn, NULL, e);
	if (r == 0)
		*ret = STEAL(&d);
	return r;
}

void dedupe_free(struct dedupe *d)
{
	if (!d)
		return;
	if (d->slots)
		munmap(d->slots, d->count * sizeof(*d->slots));
	idmap_free(d->leaders);
	newfile_release(&d->reused);
	buf_release(&d->id);
	buf_release(&d->name);
	buf_release(&d->text);
	buf_release(&d->line);
	free(d);
}

/* --- results of earlier jobs --- */

struct reuse {
	const struct dedupe_earlier *job;
	uint64_t count;
};

static uint32_t at_most_u32(uint64_t n)
{
	return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

/* Is record index of the results the one with the id at hand? */
static bool is_same_record(struct dedupe *d, const struct results *res, uint64_t index)
{
	size_t size;
	const char *name = results_name(res, index, &size);

	buf_clear(&d->name);
	results_encode_name(&d->name, d->id.data, d->id.size);
	return buf_error(&d->name) == 0 && d->name.size == size &&
	       memcmp(d->name.data, name, size) == 0;
}

/* The id of record index of the list, into d->id. */
static int read_id_of_list(struct dedupe *d, uint64_t index)
{
	struct line line = {0};
	struct record rec;
	uint64_t offset, size;
	ssize_t n;
	int r = input_locate(d->q.list, index, &offset, &size);

	if (r < 0)
		return r;
	buf_clear(&d->line);
	if (!buf_reserve(&d->line, (size_t)size))
		return buf_error(&d->line);
	while (d->line.size < size) {
		n = pread(d->q.fd, d->line.data + d->line.size, (size_t)size - d->line.size,
			  (off_t)(offset + d->line.size));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ESTALE;
		d->line.size += (size_t)n;
	}
	line.at = d->line.data;
	line.size = d->line.size;
	rec = take_apart(&line);
	return read_id(d, &rec, index);
}

/* Appends the good line, with the id at hand, and notes its tokens. */
static int put_reused(struct dedupe *d, const struct reuse *reuse, uint64_t index,
		      struct slot *leader, struct err *e)
{
	struct text_answer answer;
	struct envelope v;
	size_t size;
	const char *line = results_line(reuse->job->results, index, &size);
	int r;

	if (size == 0 || envelope_parse(line, size - 1, &v) < 0 || !v.good)
		return err_set(e, -ESTALE, "a result of an earlier job is not what it was");
	buf_clear(&d->text);
	text_extract(v.output, &d->text, &answer);
	buf_clear(&d->line);
	lineid_replace(line, size, v.id, d->id.data, d->id.size, &d->line);
	r = buf_error(&d->line);
	if (r < 0)
		return err_errno(e, r, "cannot take over the result of an earlier job");
	if (!newfile_is_open(&d->reused))
		r = newfile_open(d->q.reused_path, &d->reused, e);
	if (r == 0)
		r = newfile_write(&d->reused, d->line.data, d->line.size, e);
	if (r < 0)
		return r;
	leader->is_known = true;
	d->known_count++;
	leader->input = at_most_u32(answer.tokens.input);
	leader->output = at_most_u32(answer.tokens.output);
	return 0;
}

static int look_for(struct dedupe *d, void *ctx, const struct line *line, uint64_t index,
		    struct err *e)
{
	struct reuse *reuse = ctx;
	const struct results *res = reuse->job->results;
	struct record rec;
	struct inputhash_sum sum;
	bool has_media;
	uint32_t leader;
	int r;

	if (index >= results_count(res))
		return err_set(e, -ESTALE, "%s has more records than results",
			       reuse->job->input_path);
	if (results_outcome(res, index) != RESULTS_GOOD)
		return 0;
	rec = take_apart(line);
	sum = inputhash_of(&d->hash, rec.input, &has_media);
	if (has_media || !idmap_find(d->leaders, (const char *)&sum, sizeof(sum), &leader) ||
	    d->slots[leader].is_known)
		return 0;
	r = read_id(d, &rec, index);
	if (r == 0 && !is_same_record(d, res, index))
		r = -ESTALE;
	if (r < 0)
		return err_errno(e, r, "%s does not belong to its results", reuse->job->input_path);
	r = read_id_of_list(d, leader);
	if (r < 0)
		return err_errno(e, r, "cannot read the list of records");
	r = put_reused(d, reuse, index, &d->slots[leader], e);
	reuse->count += r == 0;
	return r;
}

int dedupe_reuse(struct dedupe *d, const struct dedupe_earlier *job, uint64_t *ret_count,
		 struct err *e)
{
	CLEANUP(fd_closep) int fd = -1;
	struct reuse reuse = {.job = job};
	uint64_t lines;
	int r;

	if (d->known_count == idmap_count(d->leaders))
		return 0; /* there is nothing more to be found */
	fd = open(job->input_path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		r = -errno;
		return err_errno(e, r, "cannot open %s", job->input_path);
	}
	r = each_record(d, fd, look_for, &reuse, &lines, e);
	*ret_count += reuse.count;
	return r;
}

/* --- the list --- */

static bool is_known(const struct dedupe *d, uint64_t index)
{
	return d->slots[d->slots[index].leader].is_known;
}

static bool is_leader(const struct dedupe *d, uint64_t index)
{
	return d->slots[index].leader == index;
}

static uint64_t take(uint64_t *lacking, uint64_t available)
{
	uint64_t n = *lacking < available ? *lacking : available;

	*lacking -= n;
	return n;
}

/* How many of what is left out are put back. */
static struct choice choose(const struct dedupe *d, uint64_t records_min)
{
	struct choice all = {0}, back = {0};
	uint64_t left, lacking;

	for (uint64_t i = 0; i < d->count; i++) {
		all.known += is_known(d, i) && is_leader(d, i);
		all.known_copies += is_known(d, i) && !is_leader(d, i);
		all.copies += !is_known(d, i) && !is_leader(d, i);
	}
	left = d->count - all.known - all.known_copies - all.copies;
	if (left == 0 || records_min > d->count)
		return back;
	lacking = left < records_min ? records_min - left : 0;
	back.copies = take(&lacking, all.copies);
	back.known_copies = take(&lacking, all.known_copies);
	back.known = take(&lacking, all.known);
	return back;
}

static bool take_one(uint64_t *n)
{
	if (*n == 0)
		return false;
	--*n;
	return true;
}

/* Goes into the list?  To be asked once of each record, in order. */
static bool is_sent(const struct dedupe *d, uint64_t index, struct choice *back)
{
	bool leads = is_leader(d, index);

	if (is_known(d, index))
		return take_one(leads ? &back->known : &back->known_copies);
	return leads || take_one(&back->copies);
}

static struct dedupe_summary count_all(const struct dedupe *d, struct choice back)
{
	struct dedupe_summary sum = {.total = d->count};

	for (uint64_t i = 0; i < d->count; i++) {
		const struct slot *slot = &d->slots[i];

		if (is_sent(d, i, &back)) {
			sum.kept++;
		} else if (!is_known(d, i)) {
			sum.copies++;
		} else {
			sum.known++;
			sum.reused.records += is_leader(d, i);
			sum.reused.tokens.input += is_leader(d, i) ? slot->input : 0;
			sum.reused.tokens.output += is_leader(d, i) ? slot->output : 0;
		}
	}
	return sum;
}

struct writing {
	struct choice back;
	struct newfile file;
};

static int write_record(struct dedupe *d, void *ctx, const struct line *line, uint64_t index,
			struct err *e)
{
	struct writing *w = ctx;
	struct record rec;
	int r = 0;

	if (index >= d->count)
		return err_set(e, -ESTALE, "the list of records has changed since it was checked");
	if (!is_sent(d, index, &w->back))
		return 0;
	rec = take_apart(line);
	buf_clear(&d->line);
	if (rec.id.at) {
		buf_add(&d->line, line->at, line->size);
	} else {
		r = read_id(d, &rec, index);
		if (r == 0)
			r = lineid_insert(line->at, line->size, d->id.data, d->id.size, &d->line);
	}
	buf_add_char(&d->line, '\n');
	if (r == 0)
		r = buf_error(&d->line);
	if (r < 0)
		return err_errno(e, r, "cannot copy a record");
	return newfile_write(&w->file, d->line.data, d->line.size, e);
}

int dedupe_write(struct dedupe *d, uint64_t records_min, const char *list_path,
		 struct dedupe_summary *ret, struct err *e)
{
	struct writing w = {.back = choose(d, records_min), .file = NEWFILE_INIT};
	struct dedupe_summary sum = count_all(d, w.back);
	int r = 0;

	if (newfile_is_open(&d->reused))
		r = newfile_commit(&d->reused, e);
	if (r == 0 && sum.kept > 0 && sum.kept < sum.total) {
		r = newfile_open(list_path, &w.file, e);
		if (r == 0)
			r = each_of_list(d, write_record, &w, e);
		if (r == 0)
			r = newfile_commit(&w.file, e);
		newfile_release(&w.file);
	}
	if (r == 0)
		*ret = sum;
	return r;
}
