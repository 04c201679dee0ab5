/* The daemon dies in mid-run, at many moments: what was told of is there, and no
 * record is sent again after its answer was told. */

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "tests/unit/cmocka_all.h"
#include "tests/unit/ondemandkit.h"

#define RECORDS 40

/* Shared with the child. */
struct shared {
	atomic_uint told;   /* results that were told of */
	unsigned die_told;  /* dies once so many are; UINT_MAX: not so */
	unsigned die_asked; /* is killed at that request */
	atomic_int child;
};

static bool die_when_told(void *ctx, const struct counts *counts, const struct tokens *tokens)
{
	struct shared *s = ctx;

	(void)tokens;
	atomic_store(&s->told, (unsigned)(counts->good + counts->failed));
	if (counts->good + counts->failed >= s->die_told)
		kill(getpid(), SIGKILL);
	return true;
}

static void kill_when_asked(void *ctx, unsigned record, unsigned total)
{
	struct shared *s = ctx;
	int child = atomic_load(&s->child);

	(void)record;
	if (total == s->die_asked && child > 0)
		kill(child, SIGKILL);
}

/* In a child; true if it came to its end. */
static bool run_in_child(struct ondemandkit *k, struct shared *s)
{
	struct err e = ERR_INIT;
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		atomic_store(&s->child, getpid());
		_exit(k->k.b->ops->run_now(k->k.b, &k->part, k->output, die_when_told, s, &e) == 0
			      ? 0
			      : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	atomic_store(&s->child, 0);
	assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
	return !WIFSIGNALED(status);
}

static void check_crash(struct shared *s)
{
	CLEANUP(buf_release) struct buf line = BUF_INIT(4096);
	unsigned before[RECORDS], told, asked = 0;
	bool had[RECORDS];
	struct err e = ERR_INIT;
	struct ondemandkit k;
	char id[16];

	ondemandkit_open(&k, NULL, NULL);
	ondemandkit_records(&k, RECORDS);
	atomic_store(&s->told, 0);
	ondemandkit_on_ask(&k, kill_when_asked, s);
	run_in_child(&k, s);
	told = atomic_load(&s->told);
	assert_true(ondemandkit_lines(&k) >= told);
	for (unsigned i = 0; i < RECORDS; i++)
		before[i] = ondemandkit_asked(&k, i);
	for (unsigned i = 0; i < RECORDS; i++) {
		CLEANUP(buf_release) struct buf out = BUF_INIT(1 << 20);

		/* A torn line may stand at the end: whole ones are looked for. */
		snprintf(id, sizeof(id), "\"r%u\"}\n", i);
		ondemandkit_output(&k, &out);
		had[i] = strstr(out.data, id);
		assert_true(!had[i] || before[i] == 1);
	}
	assert_int_equal(ondemandkit_run(&k, &e), 0);
	assert_int_equal(ondemandkit_lines(&k), RECORDS);
	for (unsigned i = 0; i < RECORDS; i++) {
		snprintf(id, sizeof(id), "r%u", i);
		assert_int_equal(ondemandkit_line(&k, id, &line), 1);
		asked = ondemandkit_asked(&k, i);
		assert_true(!had[i] || asked == 1);
		assert_true(asked <= 2);
	}
	ondemandkit_close(&k);
}

static struct shared *share(void)
{
	struct shared *s =
		mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(s != MAP_FAILED);
	s->die_told = UINT_MAX;
	return s;
}

static void test_dies_when_told(void **state)
{
	struct shared *s = share();

	(void)state;
	for (unsigned n = 0; n <= RECORDS; n += 4) {
		s->die_told = n;
		check_crash(s);
	}
	munmap(s, sizeof(*s));
}

static void test_dies_when_asked(void **state)
{
	struct shared *s = share();

	(void)state;
	for (unsigned n = 1; n <= RECORDS; n += 3) {
		s->die_asked = n;
		check_crash(s);
	}
	munmap(s, sizeof(*s));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dies_when_told),
		cmocka_unit_test(test_dies_when_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
