/*
 * Watching parts: one poll for all jobs.
 *
 * The poller copies the provider's names of all running parts, asks once, and
 * leaves each answer with its job; the job takes it when it is served.
 *
 * The pace is the backend's: soon after something began or has changed, then
 * ever slower, up to a maximum of its own or that of the poll option; slower
 * still while all that is watched only waits for its turn; and never on the
 * beat, since many mounts may have begun together.  A reader of status never
 * waits for a poll, but may have the next one come earlier.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "fs/base/log.h"
#include "fs/job/jobs_private.h"

#define READER_PAUSE_NS (5 * NS_PER_S) /* between two polls that readers hurried */
#define WAITING_FACTOR	3	       /* slower, while nothing but waiting goes on */
#define POLL_IDLE_NS	(300 * NS_PER_S)
#define FAILED_TELL	2 /* polls in a row that fail, before jobs tell */
#define FAILED_WORDS	"cannot be asked about: "
#define JITTER_FROM_NS	(NS_PER_S) /* steps from here on are not kept to the letter */

/* The longest step, and the first one. */
static int64_t pace_max(const struct jobs *en)
{
	return en->o.poll_ns ? en->o.poll_ns : en->o.backend->ops->poll_max_ns;
}

static int64_t pace_first(const struct jobs *en)
{
	int64_t first = en->o.backend->ops->poll_first_ns, max = pace_max(en);

	return first < max ? first : max;
}

static bool is_watched(const struct job *j, const struct store_part *p)
{
	return p->attempt == j->row.attempt && p->phase == PART_CREATED && p->remote;
}

unsigned track_live(const struct job *j)
{
	unsigned n = 0;

	for (size_t i = 0; i < j->part_count && j->row.phase == PHASE_RUNNING; i++) {
		const struct store_part *p = &j->parts[i];

		n += parts_is_current(j, p) && p->phase < PART_ENDED && p->how != RUN_ONDEMAND &&
		     parts_holds_slot(p);
	}
	return n;
}

void track_start(struct jobs *en)
{
	const struct backend *b = en->o.backend;

	if (b->ops->lists_jobs && b->ops->lists_jobs(en->o.backend))
		en->poll_due_ns = 0; /* what was made elsewhere is to be found */
}

void track_hurry(struct jobs *en)
{
	int64_t due = clock_mono_ns(en->o.clock) + pace_first(en);

	pthread_mutex_lock(&en->mutex);
	en->poll_step_ns = pace_first(en);
	if (en->poll_due_ns > due)
		en->poll_due_ns = due;
	pthread_mutex_unlock(&en->mutex);
	sched_wake(en);
}

void jobs_hurry(struct jobs *en)
{
	int64_t due = clock_mono_ns(en->o.clock);
	bool sooner;

	pthread_mutex_lock(&en->mutex);
	if (due < en->polled_ns + READER_PAUSE_NS)
		due = en->polled_ns + READER_PAUSE_NS;
	/* INT64_MAX: nothing is watched, or a poll is under way. */
	sooner = en->poll_due_ns != INT64_MAX && en->poll_due_ns > due;
	if (sooner)
		en->poll_due_ns = due;
	pthread_mutex_unlock(&en->mutex);
	if (sooner)
		sched_wake(en);
}

bool track_begin(struct jobs *en, int64_t now_ns, int64_t *ret_due_ns)
{
	bool begun = false;

	pthread_mutex_lock(&en->mutex);
	*ret_due_ns = INT64_MAX; /* the end of the one under way looks again */
	if (!en->polling && en->poll_due_ns <= now_ns) {
		begun = en->polling = true;
		en->poll_due_ns = INT64_MAX;
	} else if (!en->polling) {
		*ret_due_ns = en->poll_due_ns;
	}
	pthread_mutex_unlock(&en->mutex);
	return begun;
}

void track_put_off(struct jobs *en, int64_t due_ns)
{
	pthread_mutex_lock(&en->mutex);
	en->polling = false;
	if (en->poll_due_ns > due_ns)
		en->poll_due_ns = due_ns;
	pthread_mutex_unlock(&en->mutex);
}

/* Are the parts to watch those that are watched, in their order?  Only the
 * thread that has the job checked out changes either. */
static bool same_watches(const struct job *j, size_t *ret_count)
{
	bool same = true;
	size_t n = 0;

	for (size_t i = 0; i < j->part_count; i++) {
		if (!is_watched(j, &j->parts[i]))
			continue;
		same = same && n < j->watch_count &&
		       strcmp(j->watches[n].remote, j->parts[i].remote) == 0;
		n++;
	}
	*ret_count = n;
	return same && n == j->watch_count;
}

/* What is known of a part stands until an answer comes. */
static void fill_watch(struct watch *w, const struct store_part *p)
{
	w->remote = strdup(p->remote);
	w->status = (struct part_status){
		.state = (enum job_state)p->state, .counts = p->counts, .tokens = p->tokens};
	snprintf(w->status.raw, sizeof(w->status.raw), "%s", p->raw ? p->raw : "");
	snprintf(w->status.message, sizeof(w->status.message), "%s", p->message ? p->message : "");
}

/* Tells the poller which parts to ask about from now on. */
void track_watch(struct job *j)
{
	struct watch *watches = NULL;
	size_t count = 0, n = 0;

	if (same_watches(j, &count))
		return;
	watches = calloc(count + 1, sizeof(*watches));
	for (size_t i = 0; i < j->part_count && watches; i++) {
		if (!is_watched(j, &j->parts[i]))
			continue;
		fill_watch(&watches[n], &j->parts[i]);
		if (watches[n].remote)
			n++;
	}
	if (n < count)
		job_due_in(j, NS_PER_S); /* no memory: look again */
	pthread_mutex_lock(&j->mutex);
	for (size_t i = 0; i < j->watch_count; i++)
		free(j->watches[i].remote);
	free(j->watches);
	j->watches = watches;
	j->watch_count = watches ? n : 0;
	pthread_mutex_unlock(&j->mutex);
	if (n > 0)
		track_hurry(j->jobs);
}

static void set_text(char **to, const char *from)
{
	if (*to && strcmp(*to, from) == 0)
		return;
	free(*to);
	*to = strdup(from);
}

/* Is p the last of its attempt that had not ended? */
static bool is_last(const struct job *j, const struct store_part *p)
{
	for (size_t i = 0; i < j->part_count; i++)
		if (&j->parts[i] != p && parts_is_current(j, &j->parts[i]) &&
		    j->parts[i].phase < PART_ENDED)
			return false;
	return true;
}

/* The others may run for days: an end is stored at once, unless the job moves on
 * with it. */
static void save_end(struct job *j, const struct store_part *p)
{
	struct err e = ERR_INIT;

	if (!is_last(j, p) && job_save_part(j, p, &e) < 0)
		log_warning("track", "%s", e.text);
}

static void take_one(struct job *j, struct store_part *p, const struct part_status *s)
{
	char label[PARTS_LABEL_MAX];

	p->counts = s->counts;
	p->tokens = s->tokens;
	if (s->expires_ns)
		p->expires_ns = s->expires_ns;
	set_text(&p->raw, s->raw);
	if (!p->message || strcmp(p->message, s->message) != 0) {
		if (s->message[0])
			job_log(j, "%s%s", parts_label(j, p, label), s->message);
		set_text(&p->message, s->message);
	}
	p->state = (int)s->state;
	if (job_state_is_end(s->state)) {
		p->phase = PART_ENDED;
		p->ended_ns = clock_wall_ns(j->jobs->o.clock);
		save_end(j, p);
	}
}

void track_take(struct job *j)
{
	pthread_mutex_lock(&j->mutex);
	for (size_t w = 0; w < j->watch_count; w++) {
		struct part_status status = j->watches[w].status;

		if (!j->watches[w].fresh)
			continue;
		j->watches[w].fresh = false;
		for (size_t i = 0; i < j->part_count; i++) {
			if (!is_watched(j, &j->parts[i]) ||
			    strcmp(j->parts[i].remote, j->watches[w].remote) != 0)
				continue;
			/* job_log() takes the mutex itself. */
			pthread_mutex_unlock(&j->mutex);
			take_one(j, &j->parts[i], &status);
			pthread_mutex_lock(&j->mutex);
			break;
		}
	}
	pthread_mutex_unlock(&j->mutex);
}

/* --- the poll --- */

struct round {
	struct job **jobs; /* a reference each, one a remote */
	char **remotes;	   /* owned */
	struct part_status *answers;
	enum job_state *before; /* what was known of each */
	size_t count, capacity;
};

static bool round_add(struct round *r, struct job *j, const struct watch *w)
{
	if (r->count == r->capacity) {
		size_t capacity = r->capacity ? r->capacity * 2 : 64;
		struct job **jobs = realloc(r->jobs, capacity * sizeof(struct job *));

		if (jobs)
			r->jobs = jobs;
		char **remotes = realloc(r->remotes, capacity * sizeof(char *));

		if (remotes)
			r->remotes = remotes;
		struct part_status *answers =
			realloc(r->answers, capacity * sizeof(struct part_status));

		if (answers)
			r->answers = answers;
		enum job_state *before = realloc(r->before, capacity * sizeof(*before));

		if (before)
			r->before = before;
		if (!jobs || !remotes || !answers || !before)
			return false;
		r->capacity = capacity;
	}
	r->remotes[r->count] = strdup(w->remote);
	if (!r->remotes[r->count])
		return false;
	r->answers[r->count] = w->status;
	r->before[r->count] = w->status.state;
	r->jobs[r->count++] = job_ref(j);
	return true;
}

static void round_collect(struct jobs *en, struct round *r)
{
	struct job *j;

	for (uint64_t after = 0; (j = registry_after(&en->registry, after)); job_unref(j)) {
		after = j->number;
		pthread_mutex_lock(&j->mutex);
		for (size_t i = 0; i < j->watch_count; i++)
			if (!round_add(r, j, &j->watches[i]))
				break;
		pthread_mutex_unlock(&j->mutex);
	}
}

static bool same_status(const struct part_status *a, const struct part_status *b)
{
	return a->state == b->state && a->counts.good == b->counts.good &&
	       a->counts.failed == b->counts.failed && a->counts.total == b->counts.total &&
	       strcmp(a->raw, b->raw) == 0 && strcmp(a->message, b->message) == 0;
}

/* An answer for a part that is not watched any more is dropped. */
static void deliver(struct job *j, const char *remote, const struct part_status *answer, bool tick)
{
	bool poke = false;

	pthread_mutex_lock(&j->mutex);
	for (size_t i = 0; i < j->watch_count; i++) {
		struct watch *w = &j->watches[i];

		if (strcmp(w->remote, remote) != 0)
			continue;
		poke = tick || !same_status(&w->status, answer);
		w->status = *answer;
		w->fresh = true;
	}
	pthread_mutex_unlock(&j->mutex);
	if (poke)
		job_poke(j);
}

/* Does nothing that is watched do more than wait for its turn? */
static bool is_waiting(const struct round *r)
{
	for (size_t i = 0; i < r->count; i++)
		if (r->answers[i].state != JOB_SCHEDULED)
			return false;
	return true;
}

/* The step after this round. */
static int64_t next_step(const struct jobs *en, int64_t step, bool news, bool waiting)
{
	int64_t max = pace_max(en);

	if (waiting && !en->o.poll_ns)
		max *= WAITING_FACTOR;
	if (news)
		return pace_first(en);
	step += step / 2;
	return step < max ? step : max;
}

/* Up to a tenth more or less. */
static int64_t jitter(int64_t step)
{
	uint16_t chance = 0;

	if (step < JITTER_FROM_NS || getrandom(&chance, sizeof(chance), 0) != sizeof(chance))
		return step;
	return step - step / 10 + step / 5 / UINT16_MAX * chance;
}

/* With nothing to watch but what others may make: never longer than was asked for. */
static int64_t idle_ns(const struct jobs *en)
{
	const struct backend *b = en->o.backend;
	int64_t idle = b->ops->poll_idle_ns > 0 ? b->ops->poll_idle_ns : POLL_IDLE_NS;

	return en->o.poll_ns && en->o.poll_ns < idle ? en->o.poll_ns : idle;
}

/* What began meanwhile may have set an earlier time and a smaller step. */
static void plan_next(struct jobs *en, int64_t step, const struct round *r, bool news, bool lists)
{
	int64_t now = clock_mono_ns(en->o.clock), due = INT64_MAX;

	pthread_mutex_lock(&en->mutex);
	if (en->poll_step_ns == step)
		en->poll_step_ns = next_step(en, step, news, is_waiting(r));
	step = en->poll_step_ns;
	en->polled_ns = now;
	pthread_mutex_unlock(&en->mutex);
	if (r->count > 0)
		due = now + jitter(step);
	else if (lists)
		due = now + jitter(idle_ns(en));
	track_put_off(en, due);
}

static void round_release(struct round *r)
{
	for (size_t i = 0; i < r->count; i++) {
		job_unref(r->jobs[i]);
		free(r->remotes[i]);
	}
	free(r->jobs);
	free(r->remotes);
	free(r->answers);
	free(r->before);
}

/* Answers that say why there are none.  The first words stand, as a request's
 * number in later ones would make them news each time.  An end that was told
 * before the poll failed has words of its own. */
static void tell_failure(struct jobs *en, struct round *r, int failed, const struct err *e)
{
	unsigned n = ++en->polls_failed;
	bool tell = n >= FAILED_TELL || failed == -EACCES;

	if ((n & (n - 1)) == 0) /* the 1st, 2nd, 4th, ... */
		log_warning("track", "%s", e->text);
	for (size_t i = 0; i < r->count; i++) {
		struct part_status *s = &r->answers[i];
		bool told = strncmp(s->message, FAILED_WORDS, strlen(FAILED_WORDS)) == 0;
		bool ended = job_state_is_end(s->state);

		if (!ended && (!tell || told))
			continue;
		if (!ended)
			snprintf(s->message, sizeof(s->message), FAILED_WORDS "%s", e->text);
		deliver(r->jobs[i], r->remotes[i], s, false);
	}
}

void track_poll(void *jobs)
{
	struct jobs *en = jobs;
	struct backend *b = en->o.backend;
	CLEANUP(round_release) struct round r = {0};
	struct adoption *adoption = adopt_begin(en);
	struct err e = ERR_INIT;
	bool news = false, lists = adoption != NULL;
	int64_t step;
	int failed = 0;

	pthread_mutex_lock(&en->mutex);
	step = en->poll_step_ns;
	pthread_mutex_unlock(&en->mutex);
	round_collect(en, &r);
	if (r.count > 0 || adoption)
		failed = b->ops->poll(b, (const char *const *)r.remotes, r.answers, r.count,
				      adoption ? adopt_found : NULL, adoption, &e);
	if (failed < 0 && failed != -ECANCELED)
		tell_failure(en, &r, failed, &e);
	else
		en->polls_failed = 0;
	for (size_t i = 0; i < r.count && failed == 0; i++) {
		news = news || r.answers[i].state != r.before[i];
		deliver(r.jobs[i], r.remotes[i], &r.answers[i], step >= pace_max(en));
	}
	adopt_end(adoption);
	plan_next(en, step, &r, news, lists);
	sched_wake(en);
}
