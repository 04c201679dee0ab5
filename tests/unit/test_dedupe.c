/* What is left out of a list, what is put back, and what earlier jobs answer. */

#include "fs/job/dedupe.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

#include "tests/unit/dedupekit.h"

/* A list, and the places of what comes out of it. */
struct room {
	void **state;
	struct kit_list list;
	struct tempdir_name out, reused;
	struct dedupe_request q;
};

static void room_init(struct room *m, void **state, const char *text)
{
	m->state = state;
	m->out = tempdir_path(state, "a1.list");
	m->reused = tempdir_path(state, "a1.reused");
	kit_write(tempdir_path(state, "list").text, text);
	kit_open(state, "list", &m->list);
	unlink(m->out.text);
	m->q = (struct dedupe_request){.list = m->list.in,
				       .fd = m->list.fd,
				       .scratch_dir = *state,
				       .reused_path = m->reused.text};
}

static void room_release(struct room *m)
{
	kit_close(&m->list);
}

static struct dedupe *begin(const struct room *m)
{
	struct dedupe *d = NULL;
	struct err e = ERR_INIT;

	if (dedupe_new(&m->q, &d, &e) < 0)
		fail_msg("%s", e.text);
	return d;
}

static struct dedupe_summary end(const struct room *m, struct dedupe *d, uint64_t records_min)
{
	struct dedupe_summary sum;
	struct err e = ERR_INIT;

	if (dedupe_write(d, records_min, m->out.text, &sum, &e) < 0)
		fail_msg("%s", e.text);
	dedupe_free(d);
	assert_int_equal(sum.total, sum.kept + sum.copies + sum.known);
	return sum;
}

static void assert_text(const char *why, const char *path, const char *want)
{
	CLEANUP(str_freep) char *text = kit_read(path);

	if (!want && !text)
		return;
	if (!want || !text || strcmp(text, want) != 0)
		fail_msg("%s: [%s], not [%s]", why, text ? text : "no file",
			 want ? want : "no file");
}

#define A KIT_IN("a", "1")
#define B KIT_IN("b", "2")

static void test_copies_are_left_out(void **state)
{
	static const struct {
		const char *why, *list;
		uint64_t min;
		const char *want; /* NULL: as it is */
		uint64_t copies;
	} rows[] = {
		{"nothing is equal", A "\n" B "\n", 0, NULL, 0},
		{"one record", A "\n", 0, NULL, 0},
		{"the first one stays", A "\n" KIT_IN("c", "1") "\n" B "\n", 0, A "\n" B "\n", 1},
		{"all are equal", A "\n" KIT_IN("c", "1") "\n" KIT_IN("d", "1") "\n", 0, A "\n", 2},
		{"compared as JSON",
		 "{\"recordId\":\"a\",\"modelInput\":{\"x\":1,\"y\":\"\\u0061\"}}\n"
		 "{\"modelInput\":{ \"y\":\"a\",\"x\":1.0},\"recordId\":\"b\"}\n",
		 0, "{\"recordId\":\"a\",\"modelInput\":{\"x\":1,\"y\":\"\\u0061\"}}\n", 1},
		{"seeds that are one double are two",
		 KIT_IN("a", "9007199254740992") "\n" KIT_IN("b", "9007199254740993") "\n", 0, NULL,
		 0},
		{"members beside the input do not count",
		 "{\"recordId\":\"a\",\"modelInput\":{},\"note\":1}\n"
		 "{\"recordId\":\"b\",\"note\":2,\"modelInput\":{}}\n",
		 0, "{\"recordId\":\"a\",\"modelInput\":{},\"note\":1}\n", 1},
		{"ids are those of the places in the whole list",
		 "{\"modelInput\":{}}\r\n{\"modelInput\":{}}\n { \"modelInput\":{\"p\":1}}", 0,
		 "{\"recordId\":\"r0000001\",\"modelInput\":{}}\n"
		 " {\"recordId\":\"r0000003\", \"modelInput\":{\"p\":1}}\n",
		 1},
		{"copies fill up to the minimum, first ones first",
		 A "\n" KIT_IN("c", "1") "\n" KIT_IN("d", "1") "\n" B "\n", 3,
		 A "\n" KIT_IN("c", "1") "\n" B "\n", 1},
		{"as many as there are", A "\n" KIT_IN("c", "1") "\n", 2, NULL, 0},
		{"a minimum out of reach is left to others", A "\n" KIT_IN("c", "1") "\n", 3,
		 A "\n", 1},
		{"a minimum that is reached", A "\n" KIT_IN("c", "1") "\n" B "\n", 2, A "\n" B "\n",
		 1},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct dedupe_summary sum;
		struct room m;

		room_init(&m, state, rows[i].list);
		sum = end(&m, begin(&m), rows[i].min);
		assert_text(rows[i].why, m.out.text, rows[i].want);
		assert_text(rows[i].why, m.reused.text, NULL);
		if (sum.copies != rows[i].copies || sum.known != 0)
			fail_msg("%s: %llu copies", rows[i].why, (unsigned long long)sum.copies);
		room_release(&m);
	}
}

/* An ended job with these records and results. */
static uint64_t reuse(const struct room *m, struct dedupe *d, const char *input, const char *lines)
{
	struct tempdir_name in = tempdir_path(m->state, "earlier.jsonl");
	struct kit_join join = {.input = "earlier.jsonl", .dir = "g", .files = {"f"}};
	struct collect_summary sum;
	struct results *res;
	struct err e = ERR_INIT;
	uint64_t count = 0;
	int r;

	kit_write(in.text, input);
	kit_write(tempdir_path(m->state, "f").text, lines);
	res = kit_collect(m->state, &join, &sum);
	r = dedupe_reuse(d, &(struct dedupe_earlier){.input_path = in.text, .results = res}, &count,
			 &e);
	kit_done(res);
	if (r < 0)
		fail_msg("%s", e.text);
	return count;
}

static void test_earlier_jobs_answer(void **state)
{
	struct room m;
	struct dedupe *d;
	struct dedupe_summary sum;

	room_init(&m, state,
		  A "\n" B
		    "\n" KIT_IN("c", "3") "\n" KIT_IN("a2", "1") "\n{\"modelInput\":{\"p\":4}}");
	kit_write(m.reused.text, "of an earlier try\n");
	d = begin(&m);
	assert_text("what was there is gone", m.reused.text, NULL);
	assert_int_equal(
		reuse(&m, d, KIT_IN("x", "1") "\r\n" KIT_IN("y", "9") "\n" KIT_IN("z", "3"),
		      KIT_GOOD("x", "one") "\n" KIT_GOOD("y", "nine") "\n" KIT_BAD("z",
										   "500") "\n"),
		1);
	/* The first job that knows it counts; ids that were given here are looked through. */
	assert_int_equal(reuse(&m, d, "{\"modelInput\":{\"p\":4}}\n" KIT_IN("x", "1") "\n",
			       KIT_GOOD("x", "again") "\n" KIT_GOOD("r0000001", "four") "\n"),
			 1);
	sum = end(&m, d, 0);
	assert_text("what is left", m.out.text, B "\n" KIT_IN("c", "3") "\n");
	assert_text("under their ids here", m.reused.text,
		    KIT_GOOD("a", "one") "\n" KIT_GOOD("r0000005", "four") "\n");
	assert_int_equal(sum.kept, 2);
	assert_int_equal(sum.known, 3);
	assert_int_equal(sum.copies, 0);
	assert_int_equal(sum.reused.records, 2);
	assert_int_equal(sum.reused.tokens.input, 4);
	assert_int_equal(sum.reused.tokens.output, 6);
	room_release(&m);
}

static void test_nothing_is_left(void **state)
{
	struct room m;
	struct dedupe *d;
	struct dedupe_summary sum;
	uint64_t count = 0;

	room_init(&m, state, A "\n" KIT_IN("c", "1") "\n");
	d = begin(&m);
	assert_int_equal(reuse(&m, d, KIT_IN("a", "1") "\n", KIT_GOOD("a", "one") "\n"), 1);
	/* With nothing to look for, earlier jobs are not even opened. */
	assert_int_equal(
		dedupe_reuse(d, &(struct dedupe_earlier){.input_path = "/none"}, &count, NULL), 0);
	sum = end(&m, d, 2);
	assert_int_equal(sum.kept, 0);
	assert_text("there is nothing to run", m.out.text, NULL);
	assert_text("and the answer is here", m.reused.text, KIT_GOOD("a", "one") "\n");
	room_release(&m);
}

/* First equal ones, then those whose set is known, then those that are. */
static void test_what_is_put_back_first(void **state)
{
	static const struct {
		uint64_t min;
		const char *want;
		uint64_t copies, known, reused;
	} rows[] = {
		{1, B "\n", 1, 2, 1},
		{2, B "\n" KIT_IN("b2", "2") "\n", 0, 2, 1},
		{3, KIT_IN("a2", "1") "\n" B "\n" KIT_IN("b2", "2") "\n", 0, 1, 1},
		{4, NULL, 0, 0, 0},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct room m;
		struct dedupe *d;
		struct dedupe_summary sum;

		room_init(&m, state, A "\n" KIT_IN("a2", "1") "\n" B "\n" KIT_IN("b2", "2") "\n");
		d = begin(&m);
		assert_int_equal(reuse(&m, d, KIT_IN("a", "1") "\n", KIT_GOOD("a", "one") "\n"), 1);
		sum = end(&m, d, rows[i].min);
		assert_text("put back", m.out.text, rows[i].want);
		assert_int_equal(sum.copies, rows[i].copies);
		assert_int_equal(sum.known, rows[i].known);
		assert_int_equal(sum.reused.records, rows[i].reused);
		room_release(&m);
	}
}

/* A name of media is another file in another job, and the same in one. */
static void test_media_are_of_one_job(void **state)
{
	static const char *const refs[] = {"\"media://cat.png\"", "[{\"uri\":\"media:\\/\\/x\"}]",
					   "{\"deep\":[[\"\\u006dedia://x\"]]}"};

	for (size_t i = 0; i < COUNT_OF(refs); i++) {
		CLEANUP(buf_release) struct buf list = BUF_INIT(1000);
		CLEANUP(buf_release) struct buf other = BUF_INIT(1000);
		struct dedupe_summary sum;
		struct dedupe *d;
		struct room m;

		for (int n = 0; n < 2; n++)
			buf_addf(&list, "{\"recordId\":\"%d\",\"modelInput\":{\"p\":%s}}\n", n,
				 refs[i]);
		buf_addf(&other, "{\"recordId\":\"x\",\"modelInput\":{\"p\":%s}}\n", refs[i]);
		room_init(&m, state, list.data);
		d = begin(&m);
		assert_int_equal(reuse(&m, d, other.data, KIT_GOOD("x", "one") "\n"), 0);
		sum = end(&m, d, 0);
		assert_int_equal(sum.kept, 1);
		assert_int_equal(sum.copies, 1);
		room_release(&m);
	}
}

static void test_jobs_that_do_not_fit(void **state)
{
	static const struct {
		const char *why, *input;
		int want;
		uint64_t found;
	} rows[] = {
		{"other records", KIT_IN("other", "1") "\n" KIT_IN("y", "2") "\n", -ESTALE, 0},
		{"the second is another", KIT_IN("x", "1") "\n" KIT_IN("z", "2") "\n", -ESTALE, 1},
		{"more records than results",
		 KIT_IN("x", "1") "\n" KIT_IN("y", "2") "\n" KIT_IN("z", "3") "\n", -ESTALE, 2},
		{"gone", NULL, -ENOENT, 0},
		{"no JSON is no record of ours", "\n\n", 0, 0},
	};
	struct tempdir_name in = tempdir_path(state, "earlier.jsonl");

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct kit_join join = {.input = "earlier.jsonl", .dir = "g", .files = {"f"}};
		struct collect_summary joined;
		struct dedupe_summary sum;
		struct results *res;
		struct room m;
		struct dedupe *d;
		struct err e = ERR_INIT;
		uint64_t count = 0;
		int r;

		room_init(&m, state, A "\n" B "\n" KIT_IN("c", "3") "\n");
		kit_write(in.text, KIT_IN("x", "1") "\n" KIT_IN("y", "2") "\n");
		kit_write(tempdir_path(state, "f").text,
			  KIT_GOOD("x", "1") "\n" KIT_GOOD("y", "2") "\n");
		res = kit_collect(state, &join, &joined);
		unlink(in.text);
		if (rows[i].input)
			kit_write(in.text, rows[i].input);
		d = begin(&m);
		r = dedupe_reuse(d, &(struct dedupe_earlier){.input_path = in.text, .results = res},
				 &count, &e);
		if (r != rows[i].want || count != rows[i].found || (r < 0 && !e.text[0]))
			fail_msg("%s: %d %s", rows[i].why, r, e.text);
		/* What was found before it was noticed is good. */
		sum = end(&m, d, 0);
		assert_int_equal(sum.known, rows[i].found);
		assert_int_equal(sum.kept, 3 - rows[i].found);
		kit_done(res);
		room_release(&m);
	}
}

static void test_the_list_has_changed(void **state)
{
	struct dedupe_summary sum = {.total = 99};
	struct err e = ERR_INIT;
	struct dedupe *d = NULL;
	struct room m;

	room_init(&m, state, A "\n" KIT_IN("c", "1") "\n");
	d = begin(&m);
	assert_int_equal(pwrite(m.list.fd, "\n", 1, 5), 1); /* one line more, the same size */
	assert_int_equal(dedupe_write(d, 0, m.out.text, &sum, &e), -ESTALE);
	dedupe_free(d);
	assert_int_equal(sum.total, 99);
	d = NULL;
	assert_int_equal(dedupe_new(&m.q, &d, &e), -ESTALE);
	assert_int_equal(ftruncate(m.list.fd, 20), 0);
	assert_int_equal(dedupe_new(&m.q, &d, &e), -ESTALE);
	assert_int_equal(input_rescan(m.list.in, m.list.fd, NULL, &e), 0);
	assert_int_equal(dedupe_new(&m.q, &d, &e), -ESTALE); /* no longer valid */
	assert_null(d);
	assert_text("nothing is written", m.out.text, NULL);
	room_release(&m);
}

static void test_cancelled(void **state)
{
	atomic_bool cancel = true;
	struct dedupe_summary sum;
	struct err e = ERR_INIT;
	struct dedupe *d = NULL;
	struct room m;

	room_init(&m, state, A "\n" KIT_IN("c", "1") "\n");
	m.q.cancel = &cancel;
	assert_int_equal(dedupe_new(&m.q, &d, &e), -ECANCELED);
	cancel = false;
	d = begin(&m);
	cancel = true;
	assert_int_equal(dedupe_write(d, 0, m.out.text, &sum, &e), -ECANCELED);
	dedupe_free(d);
	assert_text("nothing is written", m.out.text, NULL);
	assert_int_equal(access(tempdir_path(state, "a1.list.tmp").text, F_OK), -1);
	room_release(&m);
}

/* A limit of the process stands in for a full disk. */
static void test_no_room(void **state)
{
	const struct rlimit none = {100, RLIM_INFINITY};
	struct rlimit before;
	struct dedupe_summary sum;
	struct err e = ERR_INIT;
	struct dedupe *d, *none_made = NULL;
	struct room m;
	int r, s;

	room_init(&m, state, A "\n" B "\n" KIT_IN("c", "3") "\n" KIT_IN("d", "1") "\n");
	d = begin(&m);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	r = dedupe_write(d, 0, m.out.text, &sum, &e);
	s = dedupe_new(&m.q, &none_made, &e);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(r, -EFBIG);
	assert_int_equal(s, -EFBIG);
	assert_text("nothing is left", m.out.text, NULL);
	assert_int_equal(access(tempdir_path(state, "a1.list.tmp").text, F_OK), -1);
	assert_int_equal(end(&m, d, 0).kept, 3); /* and it can be called again */
	room_release(&m);
}

#define IN_TEMPDIR(test) cmocka_unit_test_setup_teardown(test, tempdir_setup, tempdir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_TEMPDIR(test_copies_are_left_out),
		IN_TEMPDIR(test_earlier_jobs_answer),
		IN_TEMPDIR(test_nothing_is_left),
		IN_TEMPDIR(test_what_is_put_back_first),
		IN_TEMPDIR(test_media_are_of_one_job),
		IN_TEMPDIR(test_jobs_that_do_not_fit),
		IN_TEMPDIR(test_the_list_has_changed),
		IN_TEMPDIR(test_cancelled),
		IN_TEMPDIR(test_no_room),
	};

	return cmocka_run_group_tests_name("dedupe", tests, NULL, NULL);
}
