/*
 * Attempts of made-up jobs from the list to the results, with whatever ends a
 * provider can give: what must be true of each record is worked out beside it
 * from what was sent and what came back.  And that neither memory nor time grows
 * out of proportion.
 */

#include <errno.h>
#include <time.h>

#include "backend/envelope.h"
#include "fs/job/dedupe.h"
#include "fs/job/retrylist.h"
#include "fs/job/stage.h"
#include "tests/unit/dedupekit.h"

#define TRIALS	     30
#define RECORDS_MAX  40
#define ATTEMPTS_MAX 3

/* A made-up job; records that are given the same have one number. */
struct record {
	unsigned given;
	char id[16];
	bool good, failed; /* it had such a line of its own */
	bool was_good;	   /* after the attempt before */
	bool sent;	   /* in this attempt */
};

struct trial {
	void **state;
	uint64_t seed;
	struct record records[RECORDS_MAX];
	unsigned count, given_count;
	bool dedupe;
	bool known[RECORDS_MAX]; /* of what is given: an earlier job has a result */
	uint64_t min;
	unsigned padding, own_good; /* of this attempt */
	struct results *results;    /* of the attempt before, pinned */
	struct kit_join all;	    /* every file of result lines */
	size_t file_count;
	struct tempdir_name names[16]; /* what all.files points to; leaf names */
};

static unsigned draw(struct trial *t, unsigned below)
{
	t->seed ^= t->seed << 13;
	t->seed ^= t->seed >> 7;
	t->seed ^= t->seed << 17;
	return (unsigned)(t->seed >> 20) % below;
}

static FILE *make(struct trial *t, const char *name)
{
	FILE *f = fopen(tempdir_path(t->state, name).text, "we");

	assert_non_null(f);
	return f;
}

/* The same is spelt in one of several ways. */
static void add_input(struct trial *t, FILE *f, const struct record *r, bool with_id)
{
	fprintf(f, "{");
	if (with_id)
		fprintf(f, "\"recordId\":\"%s\",", r->id);
	switch (draw(t, 3)) {
	case 0:
		fprintf(f, "\"modelInput\":{\"n\":%u,\"t\":\"x\"}", r->given);
		break;
	case 1:
		fprintf(f, "\"modelInput\": { \"t\":\"\\u0078\", \"n\" : %u.0 } ", r->given);
		break;
	default:
		fprintf(f, "\"modelInput\":{\"t\":\"x\",\"n\":%ue0}", r->given);
	}
	fprintf(f, "}%s\n", draw(t, 8) ? "" : "\r");
}

static void make_input(struct trial *t)
{
	FILE *f = make(t, "input.jsonl");

	t->count = 1 + draw(t, RECORDS_MAX);
	t->given_count = 1 + draw(t, t->count);
	for (unsigned i = 0; i < t->count; i++) {
		struct record *r = &t->records[i];
		bool with_id = draw(t, 3) > 0;

		r->given = draw(t, t->given_count);
		snprintf(r->id, sizeof(r->id), with_id ? "own-%u" : "r%07u", i + 1);
		add_input(t, f, r, with_id);
	}
	fclose(f);
}

static void add_good(FILE *f, const char *id, unsigned given, unsigned attempt)
{
	fprintf(f,
		"{\"modelOutput\":{\"generation\":\"k%u-a%u\",\"prompt_token_count\":2,"
		"\"generation_token_count\":3},\"recordId\":\"%s\"}\n",
		given, attempt, id);
}

/* Of another job, some of which went well. */
static struct results *make_earlier(struct trial *t)
{
	struct kit_join j = {.input = "earlier.jsonl", .dir = "earlier", .files = {"earlier.out"}};
	FILE *in = make(t, "earlier.jsonl"), *out = make(t, "earlier.out");
	struct collect_summary sum;

	for (unsigned k = 0; k < t->given_count; k++) {
		struct record r = {.given = k};

		snprintf(r.id, sizeof(r.id), "e%u", k);
		add_input(t, in, &r, true);
		t->known[k] = draw(t, 4) == 0;
		if (t->known[k])
			add_good(out, r.id, k, 0);
	}
	fclose(in);
	fclose(out);
	return kit_collect(t->state, &j, &sum);
}

static const char *add_file(struct trial *t, const char *name)
{
	assert_true(t->file_count < COUNT_OF(t->names));
	snprintf(t->names[t->file_count].text, sizeof(t->names[0].text), "%s", name);
	t->all.files[t->file_count] = t->names[t->file_count].text;
	return t->all.files[t->file_count++];
}

/* Makes what is sent out of list; false: nothing is.  It is in "part". */
static bool send_list(struct trial *t, unsigned attempt, const struct results *earlier,
		      const char *list, struct dedupe_summary *sum)
{
	struct tempdir_name out = tempdir_path(t->state, "shorter"), reused, part, in;
	struct err e = ERR_INIT;
	struct dedupe *d = NULL;
	struct kit_list l;
	uint64_t found = 0;
	char name[24];
	int r = 0;

	snprintf(name, sizeof(name), "reused%u", attempt);
	reused = tempdir_path(t->state, name);
	part = tempdir_path(t->state, "part");
	in = tempdir_path(t->state, "earlier.jsonl");
	kit_open(t->state, list, &l);
	*sum = (struct dedupe_summary){.kept = input_record_count(l.in)};
	if (t->dedupe) {
		const struct dedupe_request q = {.list = l.in,
						 .fd = l.fd,
						 .scratch_dir = *t->state,
						 .reused_path = reused.text};
		const struct dedupe_earlier job = {.input_path = in.text, .results = earlier};

		r = dedupe_new(&q, &d, &e);
		if (r == 0)
			r = dedupe_reuse(d, &job, &found, &e);
		if (r == 0)
			r = dedupe_write(d, t->min, out.text, sum, &e);
		dedupe_free(d);
		if (r == 0 && access(reused.text, F_OK) == 0)
			add_file(t, name);
		if (r == 0 && sum->kept > 0 && sum->kept < sum->total) {
			kit_close(&l);
			kit_open(t->state, "shorter", &l);
			assert_true(input_is_canonical(l.in));
		}
	}
	if (r == 0 && sum->kept > 0)
		r = stage_part(l.in, l.fd, l.path.text, 0, sum->kept, part.text, &e);
	if (r < 0)
		fail_msg("%s", e.text);
	kit_close(&l);
	return sum->kept > 0;
}

static struct record *record_of(struct trial *t, struct jsonspan id)
{
	unsigned i = 0;

	while (i < t->count && !jsonspan_equals(id, t->records[i].id))
		i++;
	if (i == t->count)
		fail_msg("a record [%.*s] is not of the input", (int)id.size, id.at);
	return &t->records[i];
}

/* One of the ends a record can have. */
static void run_record(struct trial *t, FILE *out, struct record *r, unsigned attempt)
{
	assert_false(r->sent);
	r->sent = true;
	switch (draw(t, 8)) {
	case 0:
		fprintf(out, KIT_BAD("%s", "429") "\n", r->id);
		r->failed = true;
		break;
	case 1:
		fprintf(out, KIT_BAD("%s", "400") "\n", r->id);
		r->failed = true;
		break;
	case 2:
	case 3:
		break; /* not run */
	case 4:
		add_good(out, r->id, r->given, attempt);
		fprintf(out, KIT_BAD("%s", "500") "\n", r->id); /* once too often */
		r->good = true;
		break;
	default:
		add_good(out, r->id, r->given, attempt);
		r->good = true;
	}
}

/* Runs the part in an order of its own, into two files. */
static void run_part(struct trial *t, unsigned attempt)
{
	CLEANUP(str_freep) char *part = kit_read(tempdir_path(t->state, "part").text);
	struct jsonspan lines[RECORDS_MAX];
	FILE *out[2];
	unsigned count = 0;
	char name[24];

	for (int i = 0; i < 2; i++) {
		snprintf(name, sizeof(name), "out%u-%d", attempt, i);
		out[i] = make(t, add_file(t, name));
	}
	for (char *at = part, *end; (end = strchr(at, '\n')); at = end + 1)
		lines[count++] = (struct jsonspan){at, (size_t)(end - at)};
	while (count > 0) {
		unsigned i = draw(t, count);

		run_record(t, out[draw(t, 2)], record_of(t, jsonspan_get(lines[i], "recordId")),
			   attempt);
		lines[i] = lines[--count];
	}
	for (t->padding = draw(t, 4); count < t->padding; count++)
		fprintf(out[draw(t, 2)], KIT_GOOD("batchfs-pad-%06u", "p") "\n", count + 1);
	fclose(out[0]);
	fclose(out[1]);
}

/* What is known of all that are given the same. */
static void sum_up(const struct trial *t, unsigned given, bool *good, bool *failed)
{
	*good = t->dedupe && t->known[given];
	*failed = false;
	for (unsigned i = 0; i < t->count; i++)
		if (t->records[i].given == given) {
			*good |= t->records[i].good;
			*failed |= t->records[i].failed;
		}
}

static enum results_outcome outcome_of(const struct trial *t, const struct record *r)
{
	bool good = r->good, failed = r->failed;

	if (t->dedupe)
		sum_up(t, r->given, &good, &failed);
	return good ? RESULTS_GOOD : failed ? RESULTS_FAILED : RESULTS_MISSING;
}

static uint64_t count_lines(const struct results *res, enum results_file f)
{
	uint64_t size, n = 0;
	const char *at = results_bytes(res, f, &size);

	for (uint64_t i = 0; i < size; i++)
		n += at[i] == '\n';
	return n;
}

static void check_record(struct trial *t, struct results *res, unsigned i)
{
	struct record *r = &t->records[i];
	enum results_outcome outcome = results_outcome(res, i);
	struct envelope v;
	size_t size, old_size;
	const char *line = results_line(res, i, &size), *old;
	char answer[24];

	if (outcome != outcome_of(t, r))
		fail_msg("record %s has outcome %d, not %d", r->id, (int)outcome,
			 (int)outcome_of(t, r));
	if (outcome == RESULTS_MISSING)
		return;
	assert_int_equal(envelope_parse(line, size - 1, &v), 0);
	assert_true(jsonspan_equals(v.id, r->id));
	if (outcome != RESULTS_GOOD)
		return;
	snprintf(answer, sizeof(answer), "\"k%u-a", r->given);
	assert_memory_equal(jsonspan_get(v.output, "generation").at, answer, strlen(answer));
	if (!r->was_good)
		return;
	old = results_line(t->results, i, &old_size);
	assert_int_equal(size, old_size);
	assert_memory_equal(line, old, size); /* a good one is never replaced */
}

static void check(struct trial *t, struct results *res, const struct collect_summary *sum,
		  const struct dedupe_summary *sent)
{
	uint64_t counts[3] = {0}, fresh = 0, own = 0;

	for (unsigned i = 0; i < t->count; i++) {
		struct record *r = &t->records[i];

		check_record(t, res, i);
		counts[results_outcome(res, i)]++;
		fresh += results_outcome(res, i) == RESULTS_GOOD && !r->was_good;
		own += r->good && r->sent && !r->was_good;
	}
	assert_int_equal(sum->counts.total, t->count);
	assert_int_equal(sum->counts.good, counts[RESULTS_GOOD]);
	assert_int_equal(sum->counts.failed, counts[RESULTS_FAILED]);
	assert_int_equal(sum->strange_lines, 0);
	assert_int_equal(sum->padding.records, t->padding);
	assert_int_equal(sum->tokens.input, 2 * counts[RESULTS_GOOD]);
	assert_int_equal(count_lines(res, RESULTS_RETRY), t->count - counts[RESULTS_GOOD]);
	assert_int_equal(count_lines(res, RESULTS_ERRORS), t->count - counts[RESULTS_GOOD]);
	if (t->min == 0) {
		assert_int_equal(sum->copied.records, fresh - own - sent->reused.records);
		assert_int_equal(sum->copied.tokens.output, 3 * sum->copied.records);
	}
	for (unsigned i = 0; i < t->count; i++)
		for (unsigned k = 0; t->dedupe && t->min == 0 && k < i; k++)
			assert_false(t->records[i].sent && t->records[k].sent &&
				     t->records[i].given == t->records[k].given);
}

/* The list of the next attempt; false: there is none. */
static bool next_list(struct trial *t)
{
	struct tempdir_name list = tempdir_path(t->state, "retry");
	struct err e = ERR_INIT;
	uint64_t size, count = 0;
	const char *at = results_bytes(t->results, RESULTS_RETRY, &size);
	FILE *f;

	if (draw(t, 2) == 0) {
		if (retrylist_write(t->results, draw(t, 2), list.text, &count, &e) < 0)
			fail_msg("%s", e.text);
		return count > 0;
	}
	if (size == 0)
		return false;
	f = make(t, "retry");
	assert_int_equal(fwrite(at, 1, size, f), size);
	fclose(f);
	return true;
}

static void run_attempt(struct trial *t, unsigned attempt, const struct results *earlier)
{
	struct kit_join join = {.input = "input.jsonl", .no_sharing = !t->dedupe};
	size_t first = t->file_count, n = 0;
	struct collect_summary sum;
	struct dedupe_summary sent;
	struct results *res;
	char dir[16], before[48];

	for (unsigned i = 0; i < t->count; i++) {
		t->records[i].was_good =
			t->results && results_outcome(t->results, i) == RESULTS_GOOD;
		t->records[i].sent = false;
	}
	t->padding = 0;
	if (send_list(t, attempt, earlier, attempt == 1 ? "input.jsonl" : "retry", &sent))
		run_part(t, attempt);
	snprintf(before, sizeof(before), "g%u/output.jsonl", attempt - 1);
	snprintf(dir, sizeof(dir), "g%u", attempt);
	if (attempt > 1)
		join.files[n++] = before;
	join.earlier = n;
	for (size_t i = first; i < t->file_count; i++)
		join.files[n++] = t->all.files[i];
	join.dir = dir;
	t->all.earlier = first;
	res = kit_collect(t->state, &join, &sum);
	check(t, res, &sum, &sent);
	if (t->results)
		kit_done(t->results);
	t->results = res;
}

/* All over, out of every file there was. */
static void check_made_again(struct trial *t)
{
	struct collect_summary sum;
	struct results *res;

	t->all.input = "input.jsonl";
	t->all.dir = "again";
	t->all.no_sharing = !t->dedupe;
	res = kit_collect(t->state, &t->all, &sum);
	for (unsigned i = 0; i < t->count; i++)
		assert_int_equal(results_outcome(res, i), results_outcome(t->results, i));
	kit_done(res);
}

static void test_each_record_has_one_outcome(void **state)
{
	for (uint64_t seed = 1; seed <= TRIALS; seed++) {
		struct trial t = {.state = state, .seed = seed * 0x9e3779b97f4a7c15u};
		struct results *earlier;

		print_message("# seed %d\n", (int)seed);
		t.dedupe = draw(&t, 4) > 0;
		t.min = draw(&t, 3) ? 0 : draw(&t, 20);
		make_input(&t);
		earlier = make_earlier(&t);
		for (unsigned attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
			if (attempt > 1 && !next_list(&t))
				break;
			run_attempt(&t, attempt, earlier);
		}
		check_made_again(&t);
		kit_done(earlier);
		kit_done(t.results);
	}
}

/* --- much --- */

#define MANY 100000

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED true /* which has memory of its own for each byte, and keeps what was freed */
#else
#define IS_SANITIZED false
#endif

static long anonymous_kib(void)
{
	CLEANUP(file_closep) FILE *f = fopen("/proc/self/status", "re");
	char line[200];
	long kib = -1;

	assert_non_null(f);
	while (kib < 0 && fgets(line, sizeof(line), f))
		if (strncmp(line, "RssAnon:", 8) == 0)
			kib = strtol(line + 8, NULL, 10);
	return kib;
}

static double cpu_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Half of them are copies, and results come in the other order. */
static void test_many(void **state)
{
	struct tempdir_name out = tempdir_path(state, "shorter"),
			    reused = tempdir_path(state, "reused"), part = tempdir_path(state, "p");
	struct trial t = {.state = state};
	struct kit_join join = {.input = "input.jsonl", .dir = "g", .files = {"f"}};
	struct collect_summary joined;
	struct dedupe_summary sum;
	struct dedupe *d = NULL;
	struct kit_list l;
	double start, staged, deduped;
	long before, after;
	FILE *f = make(&t, "input.jsonl");

	for (int i = 0; i < MANY; i++)
		fprintf(f,
			"{\"modelInput\":{\"messages\":[{\"role\":\"user\",\"content\":\"Say in one "
			"word what number %d is, odd or even.\"}],\"max_tokens\":16}}\n",
			i % (MANY / 2));
	fclose(f);
	f = make(&t, "f");
	for (int i = MANY / 2; i > 0; i--)
		fprintf(f, KIT_GOOD("r%07d", "odd") "\n", i);
	fclose(f);
	kit_open(state, "input.jsonl", &l);
	start = cpu_seconds();
	assert_int_equal(stage_part(l.in, l.fd, NULL, 0, MANY, part.text, NULL), 0);
	staged = cpu_seconds() - start;
	before = anonymous_kib();
	start = cpu_seconds();
	assert_int_equal(dedupe_new(&(struct dedupe_request){.list = l.in,
							     .fd = l.fd,
							     .scratch_dir = *state,
							     .reused_path = reused.text},
				    &d, NULL),
			 0);
	assert_int_equal(dedupe_write(d, 0, out.text, &sum, NULL), 0);
	deduped = cpu_seconds() - start;
	after = anonymous_kib();
	dedupe_free(d);
	kit_close(&l);
	assert_int_equal(sum.kept, MANY / 2);
	print_message("# a record staged %.2f us; looked at for copies %.2f us, %.1f times that\n",
		      staged / MANY * 1e6, deduped / MANY * 1e6, deduped / staged);
	assert_true(IS_SANITIZED || after - before < 4096);
	kit_done(kit_collect(state, &join, &joined));
	assert_int_equal(joined.counts.good, MANY);
	assert_int_equal(joined.copied.records, MANY / 2);
	assert_true(IS_SANITIZED || anonymous_kib() - before < 8192);
}

#define IN_TEMPDIR(test) cmocka_unit_test_setup_teardown(test, tempdir_setup, tempdir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_TEMPDIR(test_each_record_has_one_outcome),
		IN_TEMPDIR(test_many),
	};

	return cmocka_run_group_tests_name("dedupejoin", tests, NULL, NULL);
}
