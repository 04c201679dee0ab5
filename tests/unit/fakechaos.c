#include "tests/unit/fakechaos.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/unit/fakebackend_private.h"
#include "tests/unit/fakenow.h"

#define LINE_SIZE_MAX 4096

static const struct {
	int error;
	const char *words;
} faults[FAKECHAOS_COUNT] = {
	[FAKECHAOS_PUT_AGAIN] = {-EAGAIN, "put_input: the provider is busy"},
	[FAKECHAOS_PUT_REFUSED] = {-EINVAL, "put_input: no; ask nicely"},
	[FAKECHAOS_CREATE_AGAIN] = {-EAGAIN, "create: the provider is busy"},
	[FAKECHAOS_CREATE_BUSY] = {-EBUSY, "create: no connection"},
	[FAKECHAOS_CREATE_REFUSED] = {-EINVAL, "create: no; ask nicely"},
	[FAKECHAOS_CREATE_LOST] = {-EAGAIN, "create: no answer"},
	[FAKECHAOS_POLL_AGAIN] = {-EAGAIN, "poll: the provider is busy"},
	[FAKECHAOS_POLL_TORN] = {-EAGAIN, "poll: the list ends too soon"},
	[FAKECHAOS_STOP_AGAIN] = {-EAGAIN, "stop: the provider is busy"},
	[FAKECHAOS_FETCH_AGAIN] = {-EAGAIN, "fetch: the provider is busy"},
	[FAKECHAOS_FETCH_DENIED] = {-EACCES, "fetch: access denied"},
	[FAKECHAOS_FETCH_GONE] = {-ENOENT, "fetch: it is not there"},
	[FAKECHAOS_FORGET_AGAIN] = {-EAGAIN, "forget: the provider is busy"},
	[FAKECHAOS_PURGE_AGAIN] = {-EAGAIN, "purge: the provider is busy"},
	[FAKECHAOS_NOW_AGAIN] = {-EAGAIN, "run_now: the provider is busy"},
	[FAKECHAOS_NOW_REFUSED] = {-EINVAL, "run_now: no; ask nicely"},
};

/* --- chance --- */

/* splitmix64 */
static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

static unsigned draw(struct fakechaos *c, enum fakechaos_fault what, unsigned below)
{
	uint64_t n = atomic_fetch_add(&c->draws[what], 1);

	return (unsigned)(mix(mix(c->seed + what) + n) % below);
}

int fakechaos_strike(struct fakebackend *f, enum fakechaos_fault fault, struct err *e)
{
	struct fakechaos *c = f->chaos;

	if (!c || atomic_load(&c->calm) || draw(c, fault, 1000) >= c->chances[fault])
		return 0;
	return err_set(e, faults[fault].error, "%s", faults[fault].words);
}

/* --- the log --- */

/* With the provider's mutex. */
static struct fakesent *log_line(struct fakechaos *c, const char *line, const char *job_name,
				 unsigned attempt, uint32_t part)
{
	const char *id = strstr(line, "\"recordId\":\"");
	const char *input = strstr(line, "\"modelInput\":{\"class\":");
	struct fakesent *s = &c->sent[c->sent_count];

	if (c->sent_count == FAKECHAOS_SENT_MAX || !id)
		abort();
	*s = (struct fakesent){.class = FAKECHAOS_NONE, .attempt = attempt, .part = part};
	if (sscanf(id + 12, "%39[^\"]", s->id) != 1 || sscanf(job_name, "job-%u", &s->job) != 1 ||
	    (input && sscanf(input + 22, "%u", &s->class) != 1))
		abort();
	c->sent_count++;
	return s;
}

struct fakesent *fakechaos_sent(struct fakebackend *f, unsigned *ret_count)
{
	struct fakechaos *c = f->chaos;
	struct fakesent *copy;
	unsigned n = 0;

	pthread_mutex_lock(&f->mutex);
	copy = calloc(c->sent_count + 1, sizeof(*copy));
	for (unsigned i = 0; copy && i < c->sent_count; i++)
		if (c->sent[i].part == FAKECHAOS_NONE || c->sent[i].part < f->part_count)
			copy[n++] = c->sent[i];
	pthread_mutex_unlock(&f->mutex);
	*ret_count = n;
	return copy;
}

/* Of a part that was being created when its creator died. */
static void forget_part(struct fakechaos *c, uint32_t part)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < c->sent_count; i++)
		if (c->sent[i].part != part)
			c->sent[kept++] = c->sent[i];
	c->sent_count = kept;
}

/* --- parts --- */

static char draw_outcome(struct fakechaos *c, unsigned good, unsigned missing)
{
	unsigned n = draw(c, FAKECHAOS_OUTCOME, 1000);

	if (atomic_load(&c->calm) || n < good)
		return 'g';
	if (n >= 1000 - missing)
		return 'm';
	return n % 2 ? 'f' : 'r';
}

static void make_plan(struct fakechaos *c, struct fakeplan *plan)
{
	static const enum job_state bad[] = {JOB_FAILED,  JOB_FAILED,  JOB_STOPPED,
					     JOB_EXPIRED, JOB_EXPIRED, JOB_PARTIALLY_COMPLETED};

	*plan = (struct fakeplan){.end = JOB_COMPLETED};
	plan->polls = draw(c, FAKECHAOS_END, c->polls_most + 1);
	if (!atomic_load(&c->calm) && draw(c, FAKECHAOS_END, 1000) < c->bad_ends)
		plan->end = bad[draw(c, FAKECHAOS_END, COUNT_OF(bad))];
}

/* What failed as a whole has no result, as a rule; what was cut short has some. */
static void draw_outcomes(struct fakechaos *c, const struct fakeplan *plan, struct fakesent *sent,
			  unsigned count)
{
	bool none = plan->end == JOB_FAILED && draw(c, FAKECHAOS_END, 4) > 0;
	bool cut = plan->end != JOB_COMPLETED && !none;

	for (unsigned i = 0; i < count; i++) {
		unsigned missing = cut ? 500 : c->missing;

		sent[i].outcome =
			none ? 'm' : draw_outcome(c, c->good - c->good * missing / 1000, missing);
	}
}

static void shuffle(struct fakechaos *c, struct fakesent *sent, unsigned count)
{
	for (unsigned i = count; i > 1; i--) {
		unsigned k = draw(c, FAKECHAOS_ORDER, i);
		struct fakesent other = sent[k];

		sent[k] = sent[i - 1];
		sent[i - 1] = other;
	}
}

/* Result lines in any order, and what else may lie among them. */
static void write_lines(struct fakebackend *f, FILE *out, const struct fakesent *sent,
			unsigned count)
{
	struct fakechaos *c = f->chaos;

	for (unsigned i = 0; i < count; i++) {
		bool padding = sent[i].class == FAKECHAOS_NONE; /* its lines are counted */
		unsigned odd = padding ? 20 : draw(c, FAKECHAOS_ORDER, 20);

		if (odd == 0 && sent[i].outcome == 'g') /* the good one counts */
			fakenow_add_result(f, out, sent[i].id, sent[i].attempt, 'f');
		if (odd == 1)
			fakenow_add_result(f, out, "a-stranger", sent[i].attempt, 'g');
		if (odd == 2)
			fputs("not JSON\n", out);
		fakenow_add_result(f, out, sent[i].id, sent[i].attempt, sent[i].outcome);
		if (odd == 3 && sent[i].outcome == 'g')
			fakenow_add_result(f, out, sent[i].id, sent[i].attempt, 'f');
	}
	if (draw(c, FAKECHAOS_ORDER, 10) == 0)
		fputs("{\"modelInput\":{},\"recordI", out);
}

int fakechaos_create_locked(struct fakebackend *f, const struct fakepart *p, const char *input_path)
{
	struct fakechaos *c = f->chaos;
	struct fakeplan *plan = &c->plans[f->part_count];
	CLEANUP(file_closep) FILE *in = fopen(input_path, "re");
	CLEANUP(file_closep) FILE *out = NULL;
	char path[sizeof(f->dir) + 48], line[LINE_SIZE_MAX];
	struct fakesent *first;
	unsigned count = 0;

	snprintf(path, sizeof(path), "%s/%s.jsonl", f->dir, p->remote);
	out = fopen(path, "we");
	if (!in || !out)
		return -errno;
	forget_part(c, f->part_count);
	first = &c->sent[c->sent_count];
	for (; fgets(line, sizeof(line), in); count++)
		log_line(c, line, p->job_name, p->attempt, f->part_count);
	if (count != p->record_count)
		return -EINVAL;
	make_plan(c, plan);
	draw_outcomes(c, plan, first, count);
	for (unsigned i = 0; i < count; i++) {
		plan->given += first[i].outcome != 'm';
		plan->failed += first[i].outcome == 'f' || first[i].outcome == 'r';
	}
	shuffle(c, first, count);
	write_lines(f, out, first, count);
	return 0;
}

void fakechaos_advance_locked(struct fakebackend *f, unsigned index)
{
	static const enum job_state steps[] = {JOB_SUBMITTED, JOB_VALIDATING, JOB_SCHEDULED,
					       JOB_IN_PROGRESS, JOB_IN_PROGRESS};
	struct fakechaos *c = f->chaos;
	struct fakeplan *plan = &c->plans[index];
	struct fakepart *p = &f->parts[index];
	bool at_once = atomic_load(&c->calm);

	if (job_state_is_end(p->state))
		return;
	if (p->stops > 0 && (at_once || draw(c, FAKECHAOS_STEP, 3) == 0)) {
		p->state = draw(c, FAKECHAOS_STEP, 4) == 0 ? plan->end : JOB_STOPPED;
		return;
	}
	if (plan->polls > 0 && !at_once) {
		plan->polls--;
		p->state = p->stops > 0 ? JOB_STOPPING
					: steps[draw(c, FAKECHAOS_STEP, COUNT_OF(steps))];
		return;
	}
	p->state = plan->end;
}

void fakechaos_count(const struct fakebackend *f, unsigned index, struct counts *ret)
{
	const struct fakeplan *plan = &f->chaos->plans[index];

	if (!job_state_is_end(f->parts[index].state))
		return;
	ret->failed = plan->failed;
	ret->good = plan->given - plan->failed;
}

char fakechaos_answer(struct fakebackend *f, const struct backend_part *p, const char *line)
{
	struct fakechaos *c = f->chaos;
	struct fakesent *s;
	char outcome;

	pthread_mutex_lock(&f->mutex);
	s = log_line(c, line, p->job_name, strstr(p->input_path, "/parts/") ? p->attempt : 0,
		     FAKECHAOS_NONE);
	s->outcome = draw_outcome(c, c->good, 0);
	outcome = s->outcome;
	pthread_mutex_unlock(&f->mutex);
	return outcome;
}

/* --- life --- */

struct fakechaos *fakechaos_new(uint64_t seed)
{
	struct fakechaos *c =
		mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (c == MAP_FAILED)
		return NULL;
	c->seed = mix(seed);
	return c;
}

void fakechaos_free(struct fakechaos *c)
{
	if (c)
		munmap(c, sizeof(*c));
}
