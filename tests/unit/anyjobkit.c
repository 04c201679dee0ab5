#include "tests/unit/anyjobkit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "fs/job/machine.h"
#include "tests/unit/cmocka_all.h"

#define ID_SIZE 24

/* --- the world --- */

unsigned anyjob_draw(struct anyworld *w, unsigned below)
{
	uint64_t x = w->seed * 0x9e3779b97f4a7c15 + ++w->draws * 0xd1b54a32d192ed03;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return (unsigned)((x ^ (x >> 31)) % below);
}

static void draw_job(struct anyworld *w, unsigned key)
{
	struct anyjob *a = &w->jobs[key];
	unsigned ids = anyjob_draw(w, 3) * 50, copies = anyjob_draw(w, 3) * 20;

	for (unsigned i = 0; i < 2; i++)
		snprintf(a->name[i], sizeof(a->name[i]), "job-%u%s", key, i ? "-renamed" : "");
	a->count = 1 + anyjob_draw(w, anyjob_chance(w, 40) ? ANYJOB_RECORDS_MAX : 12);
	a->first_class = anyjob_chance(w, 50) ? 0 : 100 * key;
	a->manual = anyjob_chance(w, 15);
	a->small = anyjob_draw(w, 3);
	a->retry_max = anyjob_chance(w, 60) ? 0 : anyjob_draw(w, 4);
	a->dedupe = anyjob_chance(w, 40);
	for (unsigned i = 0; i < a->count; i++)
		a->records[i] = (struct anyrecord){
			.class = a->first_class +
				 (i > 0 && anyjob_chance(w, copies) ? anyjob_draw(w, i) : i),
			.has_id = anyjob_chance(w, ids),
		};
}

struct anyworld *anyjob_new(uint64_t seed)
{
	struct anyworld *w =
		mmap(NULL, sizeof(*w), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (w == MAP_FAILED)
		return NULL;
	w->seed = seed;
	w->purges = anyjob_chance(w, 30);
	w->denies = anyjob_chance(w, 30);
	w->fixed = anyjob_chance(w, 50);
	w->job_count = 1 + anyjob_draw(w, ANYJOB_JOBS_MAX);
	for (unsigned i = 0; i < w->job_count; i++)
		draw_job(w, i);
	return w;
}

void anyjob_free(struct anyworld *w)
{
	if (w)
		munmap(w, sizeof(*w));
}

/* As the engine and the provider know it. */
static void make_id(const struct anyworld *w, unsigned key, unsigned index, char ret[ID_SIZE])
{
	if (w->jobs[key].records[index].has_id)
		snprintf(ret, ID_SIZE, "j%u-%u", key, index);
	else
		snprintf(ret, ID_SIZE, "r%07u", index + 1);
}

void anyjob_input(const struct anyworld *w, unsigned key, struct buf *out)
{
	const struct anyjob *a = &w->jobs[key];
	char id[ID_SIZE];

	for (unsigned i = 0; i < a->count; i++) {
		buf_add_str(out, "{");
		make_id(w, key, i, id);
		if (a->records[i].has_id)
			buf_addf(out, "\"recordId\":\"%s\",", id);
		buf_addf(out, "\"modelInput\":{\"class\":%u}}\n", a->records[i].class);
	}
}

void anyjob_config(const struct anyworld *w, unsigned key, struct buf *out)
{
	static const char *const smalls[] = {"refuse", "pad", "ondemand"};
	const struct anyjob *a = &w->jobs[key];

	buf_addf(out, "small = %s\nretry_max = %u\ndedupe = %s\nsubmit = %s\n", smalls[a->small],
		 a->retry_max, a->dedupe ? "yes" : "no", a->manual ? "manual" : "auto");
}

/* --- results --- */

/* A file of the results, read line by line. */
struct lines {
	const char *name, *at, *end;
};

static struct lines lines_of(const struct results *res, enum results_file f, const char *name)
{
	uint64_t size = 0;
	const char *at = results_bytes(res, f, &size);

	return (struct lines){name, at, at + size};
}

static const char *next_line(struct lines *l, size_t *ret_size)
{
	const char *at = l->at;
	const char *end = at < l->end ? memchr(at, '\n', (size_t)(l->end - at)) : NULL;

	if (!end)
		fail_msg("%s ends too soon", l->name);
	*ret_size = (size_t)(end + 1 - at);
	l->at = end + 1;
	return at;
}

static void check_over(const struct lines *l)
{
	if (l->at < l->end)
		fail_msg("%s has more lines than records: %.100s", l->name, l->at);
}

/* The next line holds that, before its newline. */
static void check_line(struct lines *l, const char *text)
{
	size_t size;
	const char *at = next_line(l, &size);

	if (!memmem(at, size, text, strlen(text)))
		fail_msg("%s has not %s here but %.*s", l->name, text, (int)size, at);
}

static uint64_t hash(const char *at, size_t size)
{
	uint64_t h = 0xcbf29ce484222325;

	for (size_t i = 0; i < size; i++)
		h = (h ^ (unsigned char)at[i]) * 0x100000001b3;
	return h;
}

/* One that was good once is, with the same line. */
static void check_good(struct anyrecord *rec, const char *id, const char *line, size_t size)
{
	uint64_t h = hash(line, size);

	if (rec->good && rec->line != h)
		fail_msg("%s was good with another line than %.*s", id, (int)size, line);
	rec->line = h;
	rec->good = true;
}

/* Which text a good line must hold: its own, or that of one that is equal. */
static void check_text(const struct anyjob *a, const char *id, const char *line, size_t size)
{
	char text[ID_SIZE + 32];

	snprintf(text, sizeof(text), "\"generation\":\"%s of ", a->dedupe ? "" : id);
	if (a->dedupe)
		text[strlen("\"generation\":\"")] = '\0';
	if (!memmem(line, size, text, strlen(text)))
		fail_msg("%s has not its own result: %.*s", id, (int)size, line);
}

struct files {
	struct lines output, errors, retry, csv;
	struct counts counts; /* as gone through */
};

static void check_record(struct anyworld *w, unsigned key, unsigned i, const struct results *res,
			 struct files *files)
{
	static const char *const words[] = {"missing", "failed", "good"};
	struct anyrecord *rec = &w->jobs[key].records[i];
	enum results_outcome outcome = results_outcome(res, i);
	char id[ID_SIZE], member[ID_SIZE + 16], row[ID_SIZE + 16], input[64];
	size_t size;
	const char *line = results_line(res, i, &size);

	make_id(w, key, i, id);
	snprintf(member, sizeof(member), "\"recordId\":\"%s\"", id);
	snprintf(row, sizeof(row), "%s,%s,", id, words[outcome]);
	snprintf(input, sizeof(input), "\"modelInput\":{\"class\":%u}", rec->class);
	check_line(&files->csv, row);
	if (outcome != RESULTS_MISSING)
		check_line(&files->output, member);
	if (outcome == RESULTS_MISSING ? size > 0 : !memmem(line, size, member, strlen(member)))
		fail_msg("%s is %s with %.*s", id, words[outcome], (int)size, line);
	files->counts.total++;
	files->counts.good += outcome == RESULTS_GOOD;
	files->counts.failed += outcome == RESULTS_FAILED;
	if (outcome == RESULTS_GOOD) {
		check_text(&w->jobs[key], id, line, size);
		check_good(rec, id, line, size);
		return;
	}
	if (rec->good)
		fail_msg("%s was good and is %s", id, words[outcome]);
	check_line(&files->errors, member);
	check_line(&(struct lines){"retry.jsonl", files->retry.at, files->retry.end}, input);
	check_line(&files->retry, member);
}

/* Each record in exactly one of good, failed and missing, in the order of the input,
 * and all files say the same. */
static void check_results(struct anyworld *w, unsigned key, const struct results *res)
{
	struct files files = {.output = lines_of(res, RESULTS_OUTPUT, "output.jsonl"),
			      .errors = lines_of(res, RESULTS_ERRORS, "errors.jsonl"),
			      .retry = lines_of(res, RESULTS_RETRY, "retry.jsonl"),
			      .csv = lines_of(res, RESULTS_CSV, "results.csv")};
	struct counts counts = results_counts(res);

	if (results_count(res) != w->jobs[key].count)
		fail_msg("%u records have %llu results", w->jobs[key].count,
			 (unsigned long long)results_count(res));
	check_line(&files.csv, "record_id,status,");
	for (unsigned i = 0; i < w->jobs[key].count; i++)
		check_record(w, key, i, res, &files);
	check_over(&files.output);
	check_over(&files.errors);
	check_over(&files.retry);
	check_over(&files.csv);
	assert_int_equal(counts.total, files.counts.total);
	assert_int_equal(counts.good, files.counts.good);
	assert_int_equal(counts.failed, files.counts.failed);
}

/* --- what was sent --- */

static unsigned index_of(const struct anyworld *w, const struct fakesent *s)
{
	const struct anyjob *a = &w->jobs[s->job];
	unsigned key = s->job, index = 0;
	bool has_id = s->id[0] == 'j';

	if (has_id ? sscanf(s->id, "j%u-%u", &key, &index) != 2 : sscanf(s->id, "r%u", &index) != 1)
		fail_msg("%s was sent, which is nobody's", s->id);
	index -= !has_id;
	if (key != s->job || index >= a->count || a->records[index].has_id != has_id ||
	    a->records[index].class != s->class)
		fail_msg("%s was sent as job %u, class %u", s->id, s->job, s->class);
	return index;
}

static bool is_padding(const struct fakesent *s)
{
	return strncmp(s->id, "batchfs-pad", 11) == 0;
}

/* How often a record was sent in an attempt. */
struct times {
	unsigned parts, demand;
};

static void count_sent(const struct anyworld *w, unsigned key, const struct fakesent *sent,
		       unsigned count, struct times (*ret)[ANYJOB_RECORDS_MAX])
{
	for (unsigned i = 0; i < count; i++) {
		const struct fakesent *s = &sent[i];
		struct times *t;

		if (s->job != key || is_padding(s) || s->attempt == 0)
			continue;
		if (s->attempt >= ANYJOB_ATTEMPTS_MAX)
			fail_msg("%s was sent in attempt %u", s->id, s->attempt);
		t = &ret[s->attempt][index_of(w, s)];
		if (s->part == FAKECHAOS_NONE)
			t->demand++;
		else
			t->parts++;
	}
}

/* On demand an answer that dies with the daemon is asked for again. */
static void check_times(const struct anyworld *w, unsigned key, unsigned index, unsigned attempt,
			const struct times *t)
{
	uint32_t good_attempt = w->jobs[key].records[index].good_attempt;
	char id[ID_SIZE];

	make_id(w, key, index, id);
	if (t->parts > 1 || t->demand > 1 + w->deaths || (t->parts && t->demand))
		fail_msg("%s was sent %u times and run %u times on demand in attempt %u", id,
			 t->parts, t->demand, attempt);
	if (t->parts + t->demand > 0 && good_attempt && good_attempt < attempt)
		fail_msg("%s was sent in attempt %u, and good after %u", id, attempt, good_attempt);
}

/* Equal ones are sent once, unless they are what there is to reach the minimum. */
static void check_unique(const struct anyworld *w, unsigned key, unsigned attempt,
			 const struct times *times)
{
	const struct anyjob *a = &w->jobs[key];

	for (unsigned i = 0; i < a->count; i++)
		for (unsigned k = i + 1; k < a->count; k++)
			if (a->records[i].class == a->records[k].class &&
			    times[i].parts + times[i].demand > 0 &&
			    times[k].parts + times[k].demand > 0)
				fail_msg("records %u and %u of job %u are equal, and both were "
					 "sent in attempt %u",
					 i, k, key, attempt);
}

static void check_sent_job(const struct anyworld *w, unsigned key, const struct fakesent *sent,
			   unsigned count)
{
	struct times(*times)[ANYJOB_RECORDS_MAX] = calloc(ANYJOB_ATTEMPTS_MAX, sizeof(*times));

	assert_non_null(times);
	count_sent(w, key, sent, count, times);
	for (unsigned t = 1; t < ANYJOB_ATTEMPTS_MAX; t++) {
		for (unsigned i = 0; i < w->jobs[key].count; i++)
			check_times(w, key, i, t, &times[t][i]);
		if (w->jobs[key].dedupe && w->jobs[key].small != SMALL_REFUSE)
			check_unique(w, key, t, times[t]);
	}
	free(times);
}

/* No part is larger or smaller than the provider takes, nor are there more at once. */
static void check_limits(struct fakebackend *f)
{
	uint64_t min = atomic_load(&f->records_min), max = atomic_load(&f->records_max);
	unsigned at_once = atomic_load(&f->parts_at_once);

	for (unsigned i = 0; i < fakebackend_part_count(f); i++) {
		struct fakepart p = fakebackend_part(f, i);

		if (p.record_count < min || (max && p.record_count > max))
			fail_msg("%s has %llu records, which the provider does not take", p.remote,
				 (unsigned long long)p.record_count);
	}
	if (at_once && atomic_load(&f->live_most) > at_once)
		fail_msg("%u parts at once, of %u", atomic_load(&f->live_most), at_once);
}

void anyjob_check_sent(struct anyworld *w, struct fakebackend *f)
{
	unsigned count = 0;
	struct fakesent *sent = fakechaos_sent(f, &count);

	assert_non_null(sent);
	assert_int_equal(f->blind_repeats, 0);
	if (w->fixed && !atomic_load(&f->chaos->calm))
		check_limits(f);
	for (unsigned key = 0; key < w->job_count; key++)
		check_sent_job(w, key, sent, count);

	free(sent);
}

/* --- ends --- */

static void check_state(const struct view *v)
{
	const struct counts *c = &v->counts;
	uint64_t missing = c->total - c->good - c->failed;
	bool is_right = false;

	if (v->state == JOB_COMPLETED)
		is_right = c->good == c->total;
	else if (v->state == JOB_COMPLETED_WITH_ERRORS)
		is_right = c->good > 0 && c->failed > 0 && missing == 0;
	else if (v->state == JOB_PARTIALLY_COMPLETED)
		is_right = c->good > 0 && missing > 0;
	else if (v->state == JOB_FAILED || v->state == JOB_EXPIRED)
		is_right = c->good == 0;
	else if (v->state == JOB_STOPPED)
		is_right = c->good < c->total;
	if (!is_right)
		fail_msg("%s with %llu good, %llu failed, %llu missing", job_state_name(v->state),
			 (unsigned long long)c->good, (unsigned long long)c->failed,
			 (unsigned long long)missing);
	if (c->good == c->total && (v->commands & COMMANDS_RETRY))
		fail_msg("a retry is legal, of nothing");
}

static const struct view_part *find_part(const struct view *v, const char *token)
{
	for (size_t i = 0; i < v->part_count; i++)
		if (v->parts[i].token && strcmp(v->parts[i].token, token) == 0)
			return &v->parts[i];
	return NULL;
}

/* It is one of its job's, and was waited for. */
static void check_ended_part(struct fakebackend *f, uint32_t index, const struct view *v)
{
	struct fakepart part = fakebackend_part(f, index);
	const struct view_part *p = find_part(v, part.token);

	if (!p)
		fail_msg("%s of attempt %u was created, and is none of the job's", part.remote,
			 part.attempt);
	else if (p->phase != PART_ENDED && p->phase != PART_PURGED)
		fail_msg("%s has not ended, and its job has", part.remote);
	if (!job_state_is_end(part.state))
		fail_msg("%s runs, and its job has ended", part.remote);
}

/* Was all of the last attempt to be sent? */
static bool is_sent_whole(const struct anyjob *a, const struct view *v)
{
	bool whole = v->auto_retries == 0 && !a->dedupe;

	for (size_t i = 0; i < v->part_count; i++) {
		const struct view_part *p = &v->parts[i];

		if (p->attempt == v->attempt &&
		    (p->phase == PART_DROPPED ||
		     (p->how == RUN_ONDEMAND && p->state == JOB_STOPPED)))
			whole = false;
	}
	return whole;
}

/* What was sent and is due is there: every good result, and every record. */
static void check_brought(struct anyworld *w, struct fakebackend *f, unsigned key,
			  const struct view *v)
{
	bool due[ANYJOB_RECORDS_MAX], whole = is_sent_whole(&w->jobs[key], v);
	unsigned count = 0, padding = 0;
	struct fakesent *sent = fakechaos_sent(f, &count);
	char id[ID_SIZE];

	assert_non_null(sent);
	for (unsigned i = 0; i < w->jobs[key].count; i++)
		due[i] = whole;
	for (unsigned i = 0; i < count; i++) {
		const struct fakesent *s = &sent[i];
		unsigned index;

		if (s->job != key)
			continue;
		if (s->part != FAKECHAOS_NONE)
			check_ended_part(f, s->part, v);
		padding += is_padding(s) && s->outcome != 'm';
		if (is_padding(s) || s->attempt == 0)
			continue;
		index = index_of(w, s);
		due[index] = due[index] && s->attempt < v->attempt && s->outcome != 'g';
		/* What was answered when the daemon died may not have been heard. */
		if (s->part == FAKECHAOS_NONE && w->deaths > 0)
			continue;
		if (s->outcome == 'g' && !w->jobs[key].given_up &&
		    results_outcome(v->results, index) != RESULTS_GOOD)
			fail_msg("%s has a good result in attempt %u, and not here", s->id,
				 s->attempt);
	}
	if (v->padding.records != padding && !w->jobs[key].given_up)
		fail_msg("%llu results of padding are counted, of %u",
			 (unsigned long long)v->padding.records, padding);
	for (unsigned i = 0; i < w->jobs[key].count; i++) {
		make_id(w, key, i, id);
		if (due[i])
			fail_msg("%s was not sent in attempt %u", id, v->attempt);
	}
	free(sent);
}

/* What one copy has the others have. */
static void check_copies(const struct anyjob *a, const struct results *res)
{
	for (unsigned i = 0; i < a->count; i++)
		for (unsigned k = 0; k < a->count; k++)
			if (a->records[i].class == a->records[k].class &&
			    results_outcome(res, i) == RESULTS_GOOD &&
			    results_outcome(res, k) != RESULTS_GOOD)
				fail_msg("records %u and %u are equal, and only one is good", i, k);
}

static void check_end(struct anyworld *w, struct jobskit *k, unsigned key, const struct view *v)
{
	struct anyjob *a = &w->jobs[key];
	struct counts counts = results_counts(v->results);

	assert_int_equal(v->counts.total, a->count);
	assert_int_equal(v->counts.good, counts.good);
	assert_int_equal(v->counts.failed, counts.failed);
	check_state(v);
	check_brought(w, k->provider, key, v);
	if (a->dedupe)
		check_copies(a, v->results);
	for (unsigned i = 0; i < a->count; i++)
		if (a->records[i].good && !a->records[i].good_attempt)
			a->records[i].good_attempt = v->attempt;
}

bool anyjob_check(struct anyworld *w, struct jobskit *k, unsigned key, struct job *j)
{
	CLEANUP(view_unrefp) struct view *v = job_view(j);
	CLEANUP(view_unrefp) struct view *later = NULL;
	bool over = job_state_is_end(v->state) && job_is_settled(j);

	later = job_view(j);
	over = over && later->change == v->change;
	if (over && !v->results)
		fail_msg("job %u is %s without results", key, job_state_name(v->state));
	if (!v->results || job_pin_results(j, v) < 0)
		return false; /* they are made again, or are those of before */
	check_results(w, key, v->results);
	if (over)
		check_end(w, k, key, v);
	results_unpin(v->results);
	return over;
}
