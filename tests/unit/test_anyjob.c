/*
 * Any jobs, any faults, any end, and any death on the way: what must never happen does
 * not (tests/unit/anyjobkit.h has what that is).
 *
 * A seed is a few jobs, a provider that fails as it pleases, and a user who does
 * things.  The engine has several lives, each in a child, some of which are killed at
 * some tick.  In the last one all goes well, and then every record has to be good.
 *
 *	BATCHFS_ANYJOB_SEED=17 build/tests/unit/test_anyjob	that one
 *	BATCHFS_ANYJOB_COUNT=5000 build/tests/unit/test_anyjob	so many
 *
 * Threads decide what comes first: a seed that failed may have to be run more than once.
 */

#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/base/log.h"
#include "fs/job/machine.h"
#include "tests/unit/anyjobkit.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/tempdir.h"

#define SEEDS	       40
#define AT_ONCE	       4
#define PATIENCE_S     60 /* for the last life, on a machine under load */
#define RETRIES_MAX    4  /* while all goes well */
#define KILLED	       (1000 + SIGKILL)
#define PUMP_US	       300
#define SKIP_FIRST_NS  (5 * NS_PER_MS)
#define SKIP_MAX_NS    (64 * NS_PER_S)
#define INPUT_SIZE_MAX 16384

struct play {
	struct anyworld *world;
	struct jobskit *kit;
	int64_t skip_ns; /* next time, if nothing happens until then */
	uint64_t changes;
};

/* --- time --- */

/* Some time goes by: real time for the threads, and more for what waits for time. */
static void pump(struct play *p)
{
	struct jobskit *k = p->kit;
	bool happened;

	usleep(PUMP_US);
	pthread_mutex_lock(&k->mutex);
	happened = p->changes != k->changes;
	p->changes = k->changes;
	pthread_mutex_unlock(&k->mutex);
	if (happened || p->skip_ns == 0)
		p->skip_ns = SKIP_FIRST_NS;
	else if (p->skip_ns < SKIP_MAX_NS)
		p->skip_ns *= 2;
	jobskit_skip(k, p->skip_ns);
}

/* --- jobs --- */

static struct anyjob *job_of(struct play *p, unsigned key)
{
	return &p->world->jobs[key];
}

/* A reference, or NULL: there is none yet, or no more. */
static struct job *get(struct play *p, unsigned key)
{
	const struct anyjob *a = job_of(p, key);

	return a->number && !a->gone ? jobs_get(p->kit->jobs, a->number) : NULL;
}

/* All that a draft needs, or again. */
static void fill(struct play *p, unsigned key, struct job *j)
{
	CLEANUP(buf_release) struct buf input = BUF_INIT(INPUT_SIZE_MAX);
	CLEANUP(buf_release) struct buf config = BUF_INIT(INPUT_SIZE_MAX);

	anyjob_input(p->world, key, &input);
	anyjob_config(p->world, key, &config);
	assert_int_equal(buf_error(&input), 0);
	/* It may be sealed by now. */
	ignore_error(jobskit_write(j, "config", config.data));
	ignore_error(jobskit_write(j, "input.jsonl", input.data));
	ignore_error(jobskit_write(j, "model", "fake.echo\n"));
}

static void make(struct play *p, unsigned key)
{
	CLEANUP(job_unrefp) struct job *j = NULL;
	struct anyjob *a = job_of(p, key);

	if (a->asked)
		return;
	a->asked = true;
	j = jobskit_make(p->kit, a->name[0]);
	a->number = job_number(j);
	fill(p, key, j);
}

/* What the life before this one left half done. */
static void take_up(struct play *p, unsigned key)
{
	CLEANUP(job_unrefp) struct job *j = NULL;
	struct anyjob *a = job_of(p, key);

	if (a->asked && !a->number) {
		j = jobs_find(p->kit->jobs, a->name[0]);
		a->asked = j != NULL;
		a->number = j ? job_number(j) : 0;
	} else {
		j = get(p, key);
	}
	if (a->number && !a->gone && !j) {
		if (!a->going)
			fail_msg("job %u is gone, and nobody removed it", key);
		a->gone = true;
	}
	if (j) {
		CLEANUP(view_unrefp) struct view *v = job_view(j);

		a->going = false;
		if (v->state == JOB_DRAFT || v->state == JOB_INVALID)
			fill(p, key, j);
	}
}

static void check_all(struct play *p)
{
	unsigned there = 0;

	for (unsigned key = 0; key < p->world->job_count; key++) {
		CLEANUP(job_unrefp) struct job *j = get(p, key);

		there += j != NULL;
		if (j)
			anyjob_check(p->world, p->kit, key, j);
	}
	anyjob_check_sent(p->world, p->kit->provider);
	if (jobs_job_count(p->kit->jobs) != there)
		fail_msg("%zu jobs, and %u were made", jobs_job_count(p->kit->jobs), there);
}

/* --- what a user does --- */

static void command(struct play *p, unsigned key, struct job *j)
{
	static const enum command commands[] = {
		COMMAND_SUBMIT, COMMAND_SUBMIT,	 COMMAND_HOLD,	COMMAND_STOP,	COMMAND_STOP,
		COMMAND_RETRY,	COMMAND_REFRESH, COMMAND_PURGE, COMMAND_SAMPLE,
	};
	static const enum command retries[] = {
		COMMAND_RETRY,
		COMMAND_RETRY,
		COMMAND_RETRY_PAD,
		COMMAND_RETRY_ONDEMAND,
	};
	CLEANUP(view_unrefp) struct view *v = job_view(j);
	/* The more attempts the better. */
	bool again = v->commands & COMMANDS_RETRY && anyjob_chance(p->world, 60);
	enum command c = again ? retries[anyjob_draw(p->world, COUNT_OF(retries))]
			       : commands[anyjob_draw(p->world, COUNT_OF(commands))];
	int r;

	if (c == COMMAND_PURGE && !p->world->purges)
		return;
	if (c == COMMAND_STOP && p->world->denies)
		job_of(p, key)->given_up = true;
	r = jobskit_order(p->kit, j,
			  (struct order){.command = c, .count = c == COMMAND_SAMPLE ? 3 : 0});
	if (r != 0 && r != -EBUSY && r != -EINVAL)
		fail_msg("%s: %d", command_name(c), r);
}

static void rename_it(struct play *p, unsigned key, struct job *j)
{
	const struct anyjob *a = job_of(p, key);
	int r = jobskit_rename(p->kit, j, a->name[anyjob_draw(p->world, 2)]);

	if (r != 0 && r != -EEXIST)
		fail_msg("rename: %d", r);
}

/* rm -r, sometimes; never so often that nothing is left to look at. */
static void remove_it(struct play *p, unsigned key, struct job *j)
{
	struct anyjob *a = job_of(p, key);
	int r;

	if (anyjob_chance(p->world, 90))
		return;
	a->going = true;
	r = jobskit_remove(p->kit, j);
	if (r == 0)
		a->gone = true;
	else if (r == -EBUSY)
		a->going = false;
	else
		fail_msg("remove: %d", r);
}

static void set_limits(struct anyworld *w, struct fakebackend *f)
{
	static const unsigned at_once[] = {0, 0, 1, 2, 5}, quota[] = {0, 0, 0, 1, 3};
	unsigned min = anyjob_chance(w, 50) ? 1 : 1 + anyjob_draw(w, 8);

	atomic_store(&f->records_min, min);
	atomic_store(&f->records_max, anyjob_chance(w, 20) ? 0 : min + anyjob_draw(w, 12));
	atomic_store(&f->parts_at_once, at_once[anyjob_draw(w, COUNT_OF(at_once))]);
	atomic_store(&f->quota, quota[anyjob_draw(w, COUNT_OF(quota))]);
}

/* Everything goes well from now on. */
static void calm_down(struct fakebackend *f)
{
	atomic_store(&f->chaos->calm, true);
	atomic_store(&f->records_min, 1);
	atomic_store(&f->records_max, 0);
	atomic_store(&f->parts_at_once, 0);
	atomic_store(&f->quota, 0);
}

static void act(struct play *p)
{
	struct anyworld *w = p->world;
	unsigned key = anyjob_draw(w, w->job_count), what = anyjob_draw(w, 16);
	CLEANUP(job_unrefp) struct job *j = get(p, key);

	if (!job_of(p, key)->asked)
		make(p, key);
	else if (j && what < 6)
		command(p, key, j);
	else if (j && what == 6)
		rename_it(p, key, j);
	else if (j && what == 7)
		remove_it(p, key, j);
	else if (what == 8 && !w->fixed)
		set_limits(w, p->kit->provider);
	else if (j && what == 9)
		fill(p, key, j);
	for (unsigned n = anyjob_draw(w, 25); n > 0; n--)
		pump(p);
}

/* --- lives --- */

/* Does what is left for every record to be good.  True: it is so. */
static bool bring_home(struct play *p, unsigned key, unsigned *retries)
{
	CLEANUP(job_unrefp) struct job *j = NULL;
	CLEANUP(view_unrefp) struct view *v = NULL;
	int r = 0;

	make(p, key);
	j = get(p, key);
	if (!j)
		return true;
	if (anyjob_check(p->world, p->kit, key, j)) {
		v = job_view(j);
		if (v->state == JOB_COMPLETED)
			return true;
		if (++*retries > RETRIES_MAX)
			fail_msg("job %u is %s after %u retries: %s", key, job_state_name(v->state),
				 RETRIES_MAX, v->error);
		r = jobskit_command(p->kit, j, COMMAND_RETRY);
		if (r < 0)
			fail_msg("job %u is %s, and cannot be retried: %d", key,
				 job_state_name(v->state), r);
		return false;
	}
	v = job_view(j);
	if (job_is_settled(j) && v->state == JOB_HELD)
		r = jobskit_command(p->kit, j, COMMAND_SUBMIT);
	else if (v->state == JOB_DRAFT || (job_is_settled(j) && v->state == JOB_INVALID))
		fill(p, key, j);
	if (r != 0 && r != -EBUSY && r != -EINVAL)
		fail_msg("submit: %d", r);
	return false;
}

static void bring_all_home(struct play *p)
{
	int64_t until = clock_mono_ns(clock_system()) + PATIENCE_S * NS_PER_S;
	unsigned retries[ANYJOB_JOBS_MAX] = {0};

	calm_down(p->kit->provider);
	for (unsigned key = 0; key < p->world->job_count; key++) {
		while (!bring_home(p, key, &retries[key])) {
			CLEANUP(job_unrefp) struct job *j = get(p, key);
			CLEANUP(view_unrefp) struct view *v = j ? job_view(j) : NULL;

			if (v && clock_mono_ns(clock_system()) > until)
				fail_msg("job %u stays %s: %s", key, job_state_name(v->state),
					 v->error);
			pump(p);
		}
	}
}

static void live(struct play *p, bool last)
{
	struct anyworld *w = p->world;

	jobskit_start(p->kit);
	for (unsigned key = 0; key < w->job_count; key++)
		take_up(p, key);
	if (!last) {
		if (w->lives++ == 0 || !w->fixed)
			set_limits(w, p->kit->provider);
		for (unsigned n = 4 + anyjob_draw(w, 26); n > 0; n--) {
			act(p);
			check_all(p);
		}
	} else {
		bring_all_home(p);
		check_all(p);
	}
	jobskit_stop(p->kit);
}

/* The exit status of a child that lives once, or 1000 and a signal. */
static int live_in_child(struct anyworld *w, const char *dir, struct fakebackend *f, bool last,
			 int die_at)
{
	struct jobskit k;
	struct play p = {.world = w, .kit = &k};
	int status = 0;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setenv("CMOCKA_TEST_ABORT", "1", 1); /* a failed assertion ends the child */
		log_init(LOG_LEVEL_ERROR, false);
		jobskit_init(&k, dir, f);
		atomic_store(&f->die_at, die_at);
		live(&p, last);
		jobskit_release(&k);
		exit(0); /* under sanitizers: what leaked */
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	fakebackend_recover(f);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* Who deletes a cache, or part of it, loses nothing. */
static int damage(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)type;
	if (S_ISREG(st->st_mode) && strstr(path, "/g") &&
	    strcmp(path + where->base, "index.dat") == 0)
		return unlink(path);
	return 0;
}

static void lose_results(struct anyworld *w, const char *dir)
{
	CLEANUP(str_freep) char *cache = NULL;

	if (w->purges || w->denies || !anyjob_chance(w, 35))
		return;
	assert_true(asprintf(&cache, "%s/cache", dir) > 0);
	nftw(cache, anyjob_chance(w, 50) ? damage : tempdir_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int die_sometimes(struct anyworld *w)
{
	if (anyjob_chance(w, 40))
		return 0;
	return 1 + (int)anyjob_draw(w, 1u << (4 + anyjob_draw(w, 8)));
}

/* --- seeds --- */

static struct fakechaos *draw_chaos(struct anyworld *w)
{
	static const unsigned often[] = {0, 0, 30, 150, 400}, seldom[] = {0, 0, 20, 100};
	static const unsigned rates[] = {1000, 800, 500, 200, 50};
	struct fakechaos *c = fakechaos_new(w->seed);

	assert_non_null(c);
	for (int i = 0; i < FAKECHAOS_COUNT; i++) {
		bool refuses = i == FAKECHAOS_PUT_REFUSED || i == FAKECHAOS_CREATE_REFUSED ||
			       i == FAKECHAOS_NOW_REFUSED;

		c->chances[i] = refuses ? seldom[anyjob_draw(w, COUNT_OF(seldom))]
					: often[anyjob_draw(w, COUNT_OF(often))];
	}
	if (!w->denies)
		c->chances[FAKECHAOS_FETCH_DENIED] = c->chances[FAKECHAOS_FETCH_GONE] = 0;
	c->good = rates[anyjob_draw(w, COUNT_OF(rates))];
	c->missing = anyjob_chance(w, 30) ? 50 : 0;
	c->bad_ends = anyjob_draw(w, 3) * 200;
	c->polls_most = anyjob_draw(w, 3) * 4;
	return c;
}

/* In memory if that can be: what a power loss would take is not looked at here. */
static char *make_dir(void)
{
	char *path = strdup("/dev/shm/batchfs-unit-XXXXXX");
	void *other = NULL;

	if (path && mkdtemp(path))
		return path;
	free(path);
	assert_int_equal(tempdir_setup(&other), 0);
	return other;
}

/* What the seed was about, on one line. */
static void tell(const struct anyworld *w, const struct fakebackend *f)
{
	unsigned attempts = 0, outcomes[3] = {0}, gone = 0, demand = 0, padding = 0;

	for (unsigned i = 0; i < f->chaos->sent_count; i++) {
		const struct fakesent *s = &f->chaos->sent[i];

		attempts = s->attempt > attempts ? s->attempt : attempts;
		demand += s->part == FAKECHAOS_NONE;
		padding += s->class == FAKECHAOS_NONE;
		outcomes[s->outcome == 'g' ? 0 : s->outcome == 'm' ? 2 : 1]++;
	}
	for (unsigned i = 0; i < w->job_count; i++)
		gone += w->jobs[i].gone;
	print_message("# seed %llu: %u jobs, %u removed; %u deaths; %u parts, at most %u attempts; "
		      "%u good, %u failed, %u missing; %u on demand, %u padding\n",
		      (unsigned long long)w->seed, w->job_count, gone, w->deaths, f->part_count,
		      attempts, outcomes[0], outcomes[1], outcomes[2], demand, padding);
}

/* Its last child's status. */
static int play(uint64_t seed)
{
	void *dir = make_dir();
	struct anyworld *w = anyjob_new(seed);
	struct fakebackend *f = fakebackend_new(dir);
	int died = 0;

	assert_non_null(w);
	assert_non_null(f);
	f->chaos = draw_chaos(w);
	atomic_store(&f->lists, anyjob_chance(w, 50));
	for (unsigned n = 1 + anyjob_draw(w, 7); n > 0; n--) {
		int die_at = die_sometimes(w);

		died = live_in_child(w, dir, f, false, die_at);
		if (died != 0 && !(die_at && died == KILLED))
			break;
		w->deaths += died != 0;
		died = 0;
		lose_results(w, dir);
	}
	if (died == 0)
		died = live_in_child(w, dir, f, true, 0);
	if (getenv("BATCHFS_ANYJOB_SEED"))
		tell(w, f);
	if (died)
		print_error("seed %llu: life %u ends with %d\n", (unsigned long long)seed, w->lives,
			    died);
	fakechaos_free(f->chaos);
	fakebackend_free(f);
	anyjob_free(w);
	tempdir_teardown(&dir);
	return died;
}

static uint64_t number_of(const char *variable, uint64_t otherwise)
{
	const char *text = getenv(variable);

	return text ? strtoull(text, NULL, 10) : otherwise;
}

struct running {
	pid_t pid;
	uint64_t seed;
};

static void begin(struct running *slot, uint64_t seed)
{
	fflush(NULL);
	*slot = (struct running){.pid = fork(), .seed = seed};
	assert_true(slot->pid >= 0);
	if (slot->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setenv("CMOCKA_TEST_ABORT", "1", 1);
		_exit(play(seed) == 0 ? 0 : 1);
	}
}

/* Waits until one is over, and frees its slot; true: it failed. */
static bool end_one(struct running *slots)
{
	int status = 0;
	pid_t pid = waitpid(-1, &status, 0);

	for (int i = 0; i < AT_ONCE; i++) {
		if (slots[i].pid != pid)
			continue;
		slots[i].pid = 0;
		if (status == 0)
			return false;
		print_error("seed %llu failed; again: BATCHFS_ANYJOB_SEED=%llu "
			    "build/tests/unit/test_anyjob\n",
			    (unsigned long long)slots[i].seed, (unsigned long long)slots[i].seed);
		return true;
	}
	fail_msg("a child that is none");
	return true;
}

/* Much of it is waiting, so some run at once. */
static void test_any_jobs(void **state)
{
	struct running slots[AT_ONCE] = {{0}};
	uint64_t seed = number_of("BATCHFS_ANYJOB_SEED", 1);
	uint64_t left =
		number_of("BATCHFS_ANYJOB_COUNT", getenv("BATCHFS_ANYJOB_SEED") ? 1 : SEEDS);
	unsigned running = 0, failed = 0;

	(void)state;
	while (left > 0 || running > 0) {
		int i = 0;

		if (left == 0 || running == AT_ONCE) {
			failed += end_one(slots);
			running--;
			continue;
		}
		while (slots[i].pid)
			i++;
		begin(&slots[i], seed++);
		running++;
		left--;
	}
	assert_int_equal(failed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_jobs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
