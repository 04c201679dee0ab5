/* The user's files: what is committed when, what is refused where, and what
 * the verdict on them is.
 *
 * Over 600 lines: the tests share the verbs at the top, and each is small. */

#include "fs/job/draft.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/unit/cmocka_all.h"
#include "tests/unit/tempdir.h"

#define INPUT "{\"recordId\":\"a\",\"modelInput\":{}}\n"

struct fixture {
	void *dir;
	struct draft *draft;
	struct clock clock;
	unsigned changes; /* told */
};

static int check_model(void *ctx, const char *model, struct err *e)
{
	(void)ctx;
	if (strncmp(model, "good", 4) == 0)
		return 0;
	return err_set(e, -EINVAL, "model: no %s here", model);
}

static int check_config(void *ctx, const char *key, const char *value, struct err *e)
{
	(void)ctx;
	if (strcmp(key, "speed") != 0)
		return -ENOENT;
	return strcmp(value, "fast") == 0 ? 0 : err_set(e, -EINVAL, "config: speed is fast");
}

static void changed(void *ctx)
{
	((struct fixture *)ctx)->changes++;
}

static void open_draft(struct fixture *f)
{
	const struct draft_rules rules = {.check_model = check_model,
					  .check_config = check_config,
					  .changed = changed,
					  .ctx = f,
					  .clock = &f->clock};
	void *dir = f->dir;
	struct err e = ERR_INIT;

	if (draft_open_dir(tempdir_path(&dir, "files").text, f->dir, &rules, DRAFT_OPEN, &f->draft,
			   &e) < 0)
		fail_msg("%s", e.text);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f || tempdir_setup(&f->dir) < 0)
		return -1;
	clock_init_manual(&f->clock, 1000, 2000);
	open_draft(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	draft_free(f->draft);
	tempdir_teardown(&f->dir);
	free(f);
	return 0;
}

/* --- verbs --- */

static uint32_t number_of(struct fixture *f, const char *name)
{
	uint32_t n = 0;

	assert_int_equal(draft_lookup(f->draft, DRAFT_TOP, name, &n), 0);
	return n;
}

static struct draft_handle *start(struct fixture *f, const char *name, int flags)
{
	struct draft_handle *h = NULL;
	uint32_t n;

	if (draft_lookup(f->draft, DRAFT_TOP, name, &n) < 0)
		assert_int_equal(draft_create(f->draft, DRAFT_TOP, name, flags, &n, &h), 0);
	else
		assert_int_equal(draft_open(f->draft, n, flags, &h), 0);
	return h;
}

static int add(struct draft_handle *h, const char *text, uint64_t offset)
{
	return draft_write(h, text, strlen(text), offset, false);
}

/* As `printf %s text > name`. */
static int put(struct fixture *f, const char *name, const char *text)
{
	struct draft_handle *h = start(f, name, O_WRONLY | O_TRUNC);
	int r = text[0] ? add(h, text, 0) : 0, closed = draft_flush(h);

	draft_release(h);
	return r < 0 ? r : closed;
}

static struct draft_summary check(struct fixture *f, const char *words)
{
	CLEANUP(buf_release) struct buf error = BUF_INIT(64 * 1024);
	struct draft_summary sum;
	struct err e = ERR_INIT;

	if (draft_check(f->draft, &sum, &error, &e) < 0)
		fail_msg("%s", e.text);
	if (words ? !strstr(error.data, words) : error.size > 0)
		fail_msg("error is [%s], not [%s]", error.data, words ? words : "");
	return sum;
}

static void assert_verdict(struct fixture *f, enum draft_verdict v, const char *words)
{
	assert_int_equal(check(f, words).verdict, v);
}

static void ready(struct fixture *f)
{
	assert_int_equal(put(f, "input.jsonl", INPUT), 0);
	assert_int_equal(put(f, "model", "good\n"), 0);
	assert_verdict(f, DRAFT_READY, NULL);
}

/* --- the verdict --- */

static const struct {
	const char *why, *input, *model, *config;
	enum draft_verdict verdict;
	const char *words;
} verdicts[] = {
	{"nothing yet", NULL, NULL, NULL, DRAFT_INCOMPLETE, NULL},
	{"no model", INPUT, NULL, NULL, DRAFT_INCOMPLETE, NULL},
	{"no input", NULL, "good\n", NULL, DRAFT_INCOMPLETE, NULL},
	{"both", INPUT, "good\n", NULL, DRAFT_READY, NULL},
	{"a model without a newline", INPUT, "good", NULL, DRAFT_READY, NULL},
	{"an empty model is none", INPUT, "", NULL, DRAFT_INCOMPLETE, NULL},
	{"an empty input is none yet", "", "good\n", NULL, DRAFT_INCOMPLETE, NULL},
	{"a model that is refused", INPUT, "bad\n", NULL, DRAFT_FAULTY, "no bad here"},
	{"two models", INPUT, "good1\ngood2\n", NULL, DRAFT_FAULTY, "one model id"},
	{"a model of a space", INPUT, "good one\n", NULL, DRAFT_FAULTY, "one model id"},
	{"a record that is none", "no\n", "good\n", NULL, DRAFT_FAULTY, "input.jsonl:1:1: "},
	{"a fault is told before the model comes", "no\n", NULL, NULL, DRAFT_FAULTY,
	 "input.jsonl:1:1: "},
	{"a record cut short", "{\"modelInput\":{}}\n{\"mod", "good\n", NULL, DRAFT_FAULTY,
	 "input.jsonl:2:"},
	{"settings", INPUT, "good\n", "speed = fast\n", DRAFT_READY, NULL},
	{"an empty config", INPUT, "good\n", "", DRAFT_READY, NULL},
	{"no such setting", INPUT, "good\n", "colour = red\n", DRAFT_FAULTY,
	 "no setting \"colour\""},
	{"not that value", INPUT, "good\n", "speed = slow", DRAFT_FAULTY, "speed is fast"},
};

static void test_verdicts(void **state)
{
	struct fixture *f = *state;
	static const char *const names[] = {"input.jsonl", "model", "config"};

	for (size_t i = 0; i < COUNT_OF(verdicts); i++) {
		const char *const texts[] = {verdicts[i].input, verdicts[i].model,
					     verdicts[i].config};

		print_message("# %s\n", verdicts[i].why);
		for (size_t k = 0; k < COUNT_OF(names); k++) {
			ignore_error(draft_unlink(f->draft, DRAFT_TOP, names[k], 0));
			if (texts[k])
				ignore_error(put(f, names[k], texts[k]));
		}
		assert_verdict(f, verdicts[i].verdict, verdicts[i].words);
		/* The files alone say the same after a restart, but for what was
		 * refused where it was written and so never came to be. */
		if (verdicts[i].verdict != DRAFT_READY)
			continue;
		draft_free(f->draft);
		open_draft(f);
		assert_verdict(f, verdicts[i].verdict, verdicts[i].words);
	}
}

static void test_refused_where_it_is_written(void **state)
{
	struct fixture *f = *state;
	struct draft_handle *h = start(f, "model", O_WRONLY);
	CLEANUP(str_freep) char *model = NULL;
	struct err e = ERR_INIT;

	assert_int_equal(draft_model(f->draft, &model, &e), 0);
	assert_string_equal(model, "");
	f->changes = 0;
	assert_int_equal(add(h, "bad\n", 0), -EINVAL);
	assert_int_equal(f->changes, 1);
	assert_verdict(f, DRAFT_FAULTY, "no bad here"); /* at once, not at close */
	assert_int_equal(draft_flush(h), -EINVAL);
	assert_int_equal(add(h, "good\n", 0), 0);
	assert_int_equal(draft_flush(h), 0);
	draft_release(h);
	assert_int_equal(put(f, "config", "colour = red\n"), -EINVAL);
	assert_int_equal(put(f, "config", "speed = fast"), 0);
	assert_int_equal(put(f, "input.jsonl", "no\n"), -EINVAL);
	assert_int_equal(put(f, "input.jsonl", INPUT), 0);
	assert_verdict(f, DRAFT_READY, NULL);
	assert_int_equal(draft_unlink(f->draft, DRAFT_TOP, "model", 0), 0);
	assert_int_equal(draft_model(f->draft, &model, &e), -ENOENT);
}

static void test_small_files_stay_small(void **state)
{
	struct fixture *f = *state;
	struct draft_handle *h = start(f, "config", O_WRONLY);

	assert_int_equal(draft_write(h, "#", 1, KV_TEXT_MAX + 1, false), -EFBIG);
	assert_int_equal(draft_write(h, "#", 1, (uint64_t)1 << 62, false), -EFBIG);
	draft_release(h);
	assert_verdict(f, DRAFT_FAULTY, "config: longer than 65536 bytes; write a shorter one");
}

/* --- another life of the daemon --- */

static void reopen(struct fixture *f)
{
	draft_free(f->draft);
	open_draft(f);
}

static mode_t mode_of(struct fixture *f, const char *name)
{
	struct stat st;

	assert_int_equal(draft_stat(f->draft, number_of(f, name), &st), 0);
	return st.st_mode & 07777;
}

/* What was refused must not go without it after a restart: with a limit of
 * costs that was misspelt, say. */
static void test_a_refused_write_is_remembered(void **state)
{
	struct fixture *f = *state;

	ready(f);
	assert_int_equal(put(f, "config", "speed = slow\n"), -EINVAL);
	reopen(f);
	assert_verdict(f, DRAFT_FAULTY, "config: its last write was refused");
	assert_int_equal(mode_of(f, "config"), 0644); /* nobody is shown how */
	assert_int_equal(draft_set_mode(f->draft, number_of(f, "config"), 0600), 0);
	reopen(f);
	assert_verdict(f, DRAFT_FAULTY, "config: its last write was refused");
	assert_int_equal(mode_of(f, "config"), 0600);
	assert_int_equal(put(f, "config", "speed = fast\n"), 0);
	assert_verdict(f, DRAFT_READY, NULL);
	reopen(f);
	assert_verdict(f, DRAFT_READY, NULL);
	assert_int_equal(put(f, "config", "speed = slow\n"), -EINVAL);
	assert_int_equal(put(f, "new", "speed = fast\n"), 0);
	assert_int_equal(draft_rename(f->draft, DRAFT_TOP, "new", DRAFT_TOP, "config", 0), 0);
	reopen(f);
	assert_verdict(f, DRAFT_READY, NULL);
}

/* kill -9 between the shell's O_TRUNC and its write. */
static void test_a_config_cut_off_is_remembered(void **state)
{
	struct fixture *f = *state;
	struct draft *killed = f->draft;
	struct draft_handle *h;

	ready(f);
	assert_int_equal(put(f, "config", "speed = fast\n"), 0);
	h = start(f, "config", O_WRONLY | O_TRUNC);
	open_draft(f);
	assert_verdict(f, DRAFT_FAULTY, "config: its last write was refused or cut off");
	assert_int_equal(draft_truncate(f->draft, number_of(f, "config"), 0), 0);
	assert_verdict(f, DRAFT_READY, NULL);
	reopen(f);
	assert_verdict(f, DRAFT_READY, NULL);
	draft_release(h);
	draft_free(killed);
}

/* --- commits --- */

static void test_nothing_is_judged_while_it_is_written(void **state)
{
	struct fixture *f = *state;
	struct draft_handle *h, *other;

	assert_int_equal(put(f, "input.jsonl", INPUT), 0);
	h = start(f, "model", O_WRONLY);
	assert_int_equal(add(h, "goo", 0), 0); /* "goo" alone is refused */
	assert_verdict(f, DRAFT_INCOMPLETE, NULL);
	assert_int_equal(add(h, "d\n", 3), 0);
	other = start(f, "model", O_WRONLY);
	draft_release(h);
	assert_verdict(f, DRAFT_INCOMPLETE, NULL); /* the other may still write */
	draft_release(other);
	assert_verdict(f, DRAFT_READY, NULL);
	h = start(f, "input.jsonl", O_WRONLY); /* only opened */
	assert_verdict(f, DRAFT_INCOMPLETE, NULL);
	draft_release(h);
	assert_verdict(f, DRAFT_READY, NULL);
	h = start(f, "input.jsonl", O_RDONLY);
	assert_verdict(f, DRAFT_READY, NULL); /* readers are welcome */
	draft_release(h);
}

static void test_order_of_the_keys(void **state)
{
	struct fixture *f = *state;
	const struct timespec early[2] = {{.tv_sec = 100}, {.tv_sec = 100}};
	struct draft_handle *h;

	ready(f);
	assert_false(check(f, NULL).input_last);
	assert_int_equal(put(f, "input.jsonl", INPUT), 0);
	assert_true(check(f, NULL).input_last);
	h = start(f, "model", O_WRONLY);
	draft_release(h); /* closed without a write: no commit */
	assert_true(check(f, NULL).input_last);
	assert_int_equal(put(f, "other", "good\n"), 0);
	assert_int_equal(draft_rename(f->draft, DRAFT_TOP, "other", DRAFT_TOP, "model", 0), 0);
	assert_false(check(f, NULL).input_last);
	/* After a restart the times on disk say it. */
	assert_int_equal(draft_set_times(f->draft, number_of(f, "model"), early), 0);
	draft_free(f->draft);
	open_draft(f);
	assert_true(check(f, NULL).input_last);
}

static void test_touches(void **state)
{
	struct fixture *f = *state;
	struct draft_handle *h;
	struct draft_summary sum;

	ready(f);
	f->clock.now_mono_ns = 5000;
	h = start(f, "input.jsonl", O_RDONLY);
	draft_release(h);
	assert_int_equal(check(f, NULL).touched_ns, 1000); /* reading is nothing */
	h = start(f, "input.jsonl", O_WRONLY);
	f->clock.now_mono_ns = 6000;
	draft_release(h);
	sum = check(f, NULL);
	assert_int_equal(sum.touched_ns, 5000); /* the opening, not the close */
	assert_int_equal(put(f, ".model.swp", "x"), 0);
	assert_int_equal(check(f, NULL).touched_ns, 6000);
	assert_int_equal(check(f, NULL).edits, sum.edits); /* but nothing that counts */
	f->clock.now_mono_ns = 7000;
	assert_int_equal(draft_unlink(f->draft, DRAFT_TOP, ".model.swp", 0), 0);
	assert_int_equal(check(f, NULL).touched_ns, 7000);
	assert_int_equal(put(f, "model", "good\n"), 0);
	assert_true(check(f, NULL).edits > sum.edits);
}

static void test_renames(void **state)
{
	struct fixture *f = *state;
	struct draft *d = f->draft;
	struct draft_handle *h;
	uint32_t n;

	assert_int_equal(put(f, "model", "good\n"), 0);
	h = start(f, "tmp", O_WRONLY);
	assert_int_equal(add(h, "{", 0), 0);
	assert_int_equal(draft_rename(d, DRAFT_TOP, "tmp", DRAFT_TOP, "input.jsonl", 0), 0);
	assert_verdict(f, DRAFT_INCOMPLETE, NULL); /* its writer is still there */
	assert_int_equal(draft_flush(h), -EINPROGRESS);
	assert_int_equal(draft_flush_slow(h), 0); /* a last line may still grow */
	assert_int_equal(add(h, INPUT, 0), 0);
	draft_release(h);
	assert_verdict(f, DRAFT_READY, NULL);
	n = number_of(f, "input.jsonl");
	/* Onto what is there: the old one is gone, the number moves along. */
	assert_int_equal(put(f, "tmp", "no\n"), 0);
	assert_int_equal(
		draft_rename(d, DRAFT_TOP, "tmp", DRAFT_TOP, "input.jsonl", RENAME_NOREPLACE),
		-EEXIST);
	assert_int_equal(
		draft_rename(d, DRAFT_TOP, "tmp", DRAFT_TOP, "input.jsonl", RENAME_EXCHANGE),
		-EINVAL);
	assert_int_equal(draft_rename(d, DRAFT_TOP, "tmp", DRAFT_TOP, "input.jsonl", 0), 0);
	assert_int_not_equal(number_of(f, "input.jsonl"), n);
	assert_verdict(f, DRAFT_FAULTY, "input.jsonl:1:1");
	/* Away from its name it means nothing. */
	assert_int_equal(draft_rename(d, DRAFT_TOP, "input.jsonl", DRAFT_TOP, "bak", 0), 0);
	assert_verdict(f, DRAFT_INCOMPLETE, NULL);
	assert_int_equal(draft_rename(d, DRAFT_TOP, "none", DRAFT_TOP, "x", 0), -ENOENT);
	assert_int_equal(draft_rename(d, DRAFT_TOP, "bak", DRAFT_TOP, "bak", 0), 0);
	assert_int_equal(draft_rename(d, DRAFT_TOP, "bak", DRAFT_MEDIA, "x", 0), -ENOENT);
}

static void test_unlinked_files_mean_nothing(void **state)
{
	struct fixture *f = *state;
	struct draft_handle *h = start(f, "model", O_WRONLY);
	uint32_t n = number_of(f, "model");
	struct stat st;

	assert_int_equal(put(f, "input.jsonl", INPUT), 0);
	assert_int_equal(draft_unlink(f->draft, DRAFT_TOP, "model", 0), 0);
	assert_int_equal(draft_unlink(f->draft, DRAFT_TOP, "model", 0), -ENOENT);
	assert_int_equal(draft_stat(f->draft, n, &st), -ENOENT);
	assert_int_equal(add(h, "bad\n", 0), 0); /* nobody's model any more */
	draft_release(h);
	assert_verdict(f, DRAFT_INCOMPLETE, NULL);
}

/* A mapping writes pages back in any order, long after descriptors closed. */
static void test_out_of_order(void **state)
{
	struct fixture *f = *state;
	struct draft_handle *h = start(f, "input.jsonl", O_RDWR);
	const size_t half = strlen(INPUT) / 2;

	assert_int_equal(put(f, "model", "good\n"), 0);
	assert_int_equal(draft_handle_truncate(h, strlen(INPUT)), 0);
	assert_int_equal(draft_flush(h), 0); /* cut to length, to be filled */
	assert_int_equal(draft_write(h, &INPUT[half], strlen(INPUT) - half, half, true), 0);
	assert_int_equal(draft_write(h, INPUT, half, 0, true), 0);
	assert_int_equal(draft_sync(h), 0);
	draft_release(h);
	assert_verdict(f, DRAFT_READY, NULL);
	h = start(f, "input.jsonl", O_WRONLY);
	assert_int_equal(add(h, "x", 0), 0);
	assert_int_equal(draft_flush(h), -EINPROGRESS);
	assert_int_equal(draft_sync(h), -EINPROGRESS);
	assert_int_equal(draft_flush_slow(h), -EINVAL);
	assert_int_equal(draft_flush(h), -EINVAL); /* known now */
	draft_release(h);
	assert_verdict(f, DRAFT_FAULTY, "input.jsonl:1:");
}

static void test_appending(void **state)
{
	struct fixture *f = *state;
	struct draft_handle *h;

	ready(f);
	h = start(f, "input.jsonl", O_WRONLY | O_APPEND);
	assert_int_equal(add(h, "{\"recordId\":\"b\",\"modelInput\":{}}\n", 0), 0);
	assert_int_equal(draft_flush(h), 0);
	draft_release(h);
	assert_int_equal(check(f, NULL).record_count, 2);
	h = start(f, "input.jsonl", O_RDONLY);
	assert_int_equal(add(h, "x", 0), -EBADF);
	assert_false(draft_handle_is_writer(h));
	draft_release(h);
	assert_int_equal(draft_truncate(f->draft, number_of(f, "input.jsonl"), 5), 0);
	assert_verdict(f, DRAFT_FAULTY, "input.jsonl:1:");
	assert_int_equal(draft_truncate(f->draft, 999, 5), -ENOENT);
}

/* --- trouble with the machine --- */

/* What failed to be written is known to be missing, though the rest is valid. */
static void test_a_failed_write_is_a_fault(void **state)
{
	struct fixture *f = *state;
	const struct rlimit small = {sizeof(INPUT) - 1, RLIM_INFINITY};
	struct rlimit old;
	struct draft_handle *h;
	int r;

	assert_int_equal(put(f, "model", "good\n"), 0);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	h = start(f, "input.jsonl", O_WRONLY);
	setrlimit(RLIMIT_FSIZE, &small);
	r = add(h, INPUT INPUT, 0);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(r, -EFBIG);
	assert_true(draft_flush(h) < 0);
	draft_release(h);
	assert_verdict(f, DRAFT_FAULTY, "input.jsonl: ");
	reopen(f); /* what arrived is valid, and less than was meant */
	assert_verdict(f, DRAFT_FAULTY, "input.jsonl: ");
	/* Written again, it is whole. */
	h = start(f, "input.jsonl", O_WRONLY);
	assert_int_equal(add(h, INPUT, 0), 0);
	draft_release(h);
	assert_verdict(f, DRAFT_READY, NULL);
}

static void test_no_descriptors_is_no_verdict(void **state)
{
	struct fixture *f = *state;
	CLEANUP(buf_release) struct buf error = BUF_INIT(4096);
	struct draft_summary sum;
	struct err e = ERR_INIT;
	struct rlimit old, none;
	int r;

	ready(f);
	getrlimit(RLIMIT_NOFILE, &old);
	none = (struct rlimit){0, old.rlim_max};
	setrlimit(RLIMIT_NOFILE, &none);
	r = draft_check(f->draft, &sum, &error, &e);
	setrlimit(RLIMIT_NOFILE, &old);
	assert_int_equal(r, -EMFILE);
	assert_true(e.text[0] != '\0');
	assert_verdict(f, DRAFT_READY, NULL);
}

static void test_a_cancelled_check(void **state)
{
	struct fixture *f = *state;

	ready(f);
	draft_free(f->draft);
	open_draft(f);
	draft_cancel(f->draft);
	assert_verdict(f, DRAFT_INCOMPLETE, NULL);
}

/* --- seals --- */

static void test_the_seal(void **state)
{
	struct fixture *f = *state;
	struct draft *d = f->draft;
	struct draft_handle *h;
	struct draft_summary sum;
	uint32_t n, number;
	struct stat st;

	ready(f);
	n = number_of(f, "model");
	sum = check(f, NULL);
	h = start(f, "model", O_WRONLY);
	assert_false(draft_seal(d, &sum)); /* somebody came */
	draft_release(h);
	assert_false(draft_seal(d, &sum)); /* and went */
	sum = check(f, NULL);
	assert_true(draft_seal(d, &sum));
	assert_non_null(draft_sealed_input(d));
	for (int i = 0; i < 2; i++) {
		int no = i ? -EACCES : -EBUSY;

		draft_set_seal(d, i ? DRAFT_ENDED : DRAFT_ACTIVE);
		assert_int_equal(draft_open(d, n, O_WRONLY, &h), no);
		assert_int_equal(draft_open(d, n, O_RDONLY | O_TRUNC, &h), no);
		assert_int_equal(draft_truncate(d, n, 0), no);
		assert_int_equal(draft_rename(d, DRAFT_TOP, "model", DRAFT_TOP, "m", 0), no);
		assert_int_equal(draft_create(d, DRAFT_TOP, "config", O_WRONLY, &number, &h), no);
		assert_int_equal(draft_make_media(d), no);
		assert_int_equal(put(f, "scratch", "x"), 0);
		assert_int_equal(draft_rename(d, DRAFT_TOP, "scratch", DRAFT_TOP, "model", 0), no);
		assert_int_equal(draft_open(d, n, O_RDONLY, &h), 0);
		draft_release(h);
		assert_int_equal(draft_stat(d, n, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0444);
	}
	draft_set_seal(d, DRAFT_ACTIVE);
	assert_int_equal(draft_unlink(d, DRAFT_TOP, "model", 9000), -EBUSY);
	assert_int_equal(draft_unlink(d, DRAFT_TOP, "scratch", 9000), 0);
}

static void test_hidden_files_come_back(void **state)
{
	struct fixture *f = *state;
	struct draft *d = f->draft;
	struct draft_entry e;
	uint32_t n;

	ready(f);
	draft_set_seal(d, DRAFT_ENDED);
	assert_int_equal(draft_unlink(d, DRAFT_TOP, "model", 9000), 0);
	assert_int_equal(draft_lookup(d, DRAFT_TOP, "model", &n), -ENOENT);
	assert_int_equal(draft_unlink(d, DRAFT_TOP, "model", 9000), -ENOENT);
	assert_false(draft_is_empty(d));
	assert_true(draft_next(d, DRAFT_TOP, 0, &e));
	assert_string_equal(e.name, "input.jsonl");
	assert_int_equal(e.role, DRAFT_ROLE_INPUT);
	assert_false(draft_next(d, DRAFT_TOP, e.number, &e));
	assert_int_equal(draft_unlink(d, DRAFT_TOP, "input.jsonl", 9000), 0);
	assert_true(draft_is_empty(d));
	f->clock.now_mono_ns = 9001;
	assert_int_equal(draft_lookup(d, DRAFT_TOP, "model", &n), 0);
}

/* --- directories and limits --- */

static void test_media(void **state)
{
	struct fixture *f = *state;
	struct draft *d = f->draft;
	CLEANUP(str_freep) char *path = NULL;
	struct draft_handle *h;
	uint32_t n;
	struct stat st;

	assert_int_equal(draft_stat_media(d, &st), -ENOENT);
	assert_int_equal(draft_create(d, DRAFT_MEDIA, "a.png", O_WRONLY, &n, &h), -ENOENT);
	assert_int_equal(draft_remove_media(d), -ENOENT);
	assert_int_equal(draft_make_media(d), 0);
	assert_int_equal(draft_make_media(d), -EEXIST);
	assert_int_equal(draft_create(d, DRAFT_MEDIA, "a.png", O_WRONLY, &n, &h), 0);
	assert_int_equal(put(f, "input.jsonl", INPUT), 0);
	assert_int_equal(put(f, "model", "good\n"), 0);
	assert_verdict(f, DRAFT_INCOMPLETE, NULL); /* an image still comes */
	draft_release(h);
	assert_verdict(f, DRAFT_READY, NULL);
	assert_int_equal(draft_remove_media(d), -ENOTEMPTY);
	assert_int_equal(draft_path(d, DRAFT_ROLE_MEDIA, &path), 0);
	assert_non_null(path);
	draft_set_seal(d, DRAFT_ACTIVE);
	assert_int_equal(draft_open(d, n, O_WRONLY, &h), -EBUSY); /* it travels with the input */
	draft_set_seal(d, DRAFT_OPEN);
	assert_int_equal(draft_unlink(d, DRAFT_MEDIA, "a.png", 0), 0);
	draft_set_seal(d, DRAFT_ACTIVE);
	assert_int_equal(draft_remove_media(d), -EBUSY);
	draft_set_seal(d, DRAFT_OPEN);
	assert_int_equal(draft_remove_media(d), 0);
	assert_int_equal(draft_stat_media(d, &st), -ENOENT);
}

static void test_limits(void **state)
{
	struct fixture *f = *state;
	struct draft_handle *h;
	char name[DRAFT_NAME_MAX + 2];
	uint32_t n;

	assert_int_equal(put(f, "a", "x"), 0);
	assert_int_equal(draft_create(f->draft, DRAFT_TOP, "a", O_WRONLY, &n, &h), -EEXIST);
	assert_int_equal(draft_open(f->draft, 999, O_RDONLY, &h), -ENOENT);
	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(draft_create(f->draft, DRAFT_TOP, name, O_WRONLY, &n, &h), -ENAMETOOLONG);
	for (int i = 1; i < DRAFT_FILES_MAX; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		assert_int_equal(draft_create(f->draft, DRAFT_TOP, name, O_RDONLY, &n, &h), 0);
		draft_release(h);
	}
	assert_int_equal(draft_create(f->draft, DRAFT_TOP, "last", O_WRONLY, &n, &h), -ENOSPC);
	assert_int_equal(draft_lookup(f->draft, DRAFT_TOP, "last", &n), -ENOENT);
}

static void test_modes(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	uint32_t n;

	assert_int_equal(put(f, "a", "x"), 0);
	n = number_of(f, "a");
	assert_int_equal(
		link(tempdir_path(&f->dir, "files/a").text, tempdir_path(&f->dir, "part").text), 0);
	assert_int_equal(draft_stat(f->draft, n, &st), 0);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_int_equal(draft_set_mode(f->draft, n, 04000), 0);
	assert_int_equal(draft_stat(f->draft, n, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600); /* the daemon itself must read it */
	assert_int_equal(draft_set_mode(f->draft, 999, 0644), -ENOENT);
	assert_int_equal(draft_set_times(f->draft, 999, NULL), -ENOENT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_verdicts),
		TEST(test_refused_where_it_is_written),
		TEST(test_small_files_stay_small),
		TEST(test_a_refused_write_is_remembered),
		TEST(test_a_config_cut_off_is_remembered),
		TEST(test_nothing_is_judged_while_it_is_written),
		TEST(test_order_of_the_keys),
		TEST(test_touches),
		TEST(test_renames),
		TEST(test_unlinked_files_mean_nothing),
		TEST(test_out_of_order),
		TEST(test_appending),
		TEST(test_a_failed_write_is_a_fault),
		TEST(test_no_descriptors_is_no_verdict),
		TEST(test_a_cancelled_check),
		TEST(test_the_seal),
		TEST(test_hidden_files_come_back),
		TEST(test_media),
		TEST(test_limits),
		TEST(test_modes),
	};

	return cmocka_run_group_tests_name("draft", tests, NULL, NULL);
}
