#include "fs/job/turns.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* --- models --- */

void turns_release(struct turns *t)
{
	for (size_t i = 0; i < t->model_count; i++)
		free(t->models[i].name);
	free(t->models);
	free(t->waits);
	*t = (struct turns){0};
}

/* Few: the models of own jobs that had to wait. */
static struct turns_model *find(const struct turns *t, const char *name)
{
	for (size_t i = 0; i < t->model_count; i++)
		if (strcmp(t->models[i].name, name) == 0)
			return &t->models[i];
	return NULL;
}

bool turns_has_learned(const struct turns *t, const char *model)
{
	const struct turns_model *m = find(t, model);

	return m && m->learned != UINT_MAX;
}

bool turns_is_free(const struct turns *t, const char *model, unsigned most, int64_t every_ns)
{
	return every_ns == 0 && most == UINT_MAX && !turns_has_learned(t, model);
}

int turns_open(struct turns *t, const char *model, unsigned most)
{
	struct turns_model *m = find(t, model);
	char *name;

	if (m) {
		m->most = most;
		return 0;
	}
	name = strdup(model);
	m = realloc(t->models, (t->model_count + 1) * sizeof(struct turns_model));
	if (m)
		t->models = m;
	if (!name || !m) {
		free(name);
		return -ENOMEM;
	}
	t->models[t->model_count++] =
		(struct turns_model){.name = name, .most = most, .learned = UINT_MAX};
	return 0;
}

/* --- what is learned --- */

void turns_paced(struct turns *t, int64_t now_ns)
{
	t->create_due_ns = now_ns + t->every_ns;
}

void turns_created(struct turns *t, const char *model, unsigned live, int64_t now_ns)
{
	struct turns_model *m = find(t, model);

	if (!m || m->learned == UINT_MAX)
		return;
	m->probing = false;
	if (live <= m->learned)
		return;
	m->learned = live;
	m->probe_step_ns = TURNS_PROBE_FIRST_NS;
	m->probe_due_ns = now_ns;
}

void turns_refused(struct turns *t, const char *model, unsigned live, int64_t now_ns)
{
	struct turns_model *m = find(t, model);

	if (!m)
		return;
	m->probe_step_ns = m->probing ? 2 * m->probe_step_ns : TURNS_PROBE_FIRST_NS;
	if (m->probe_step_ns > TURNS_PROBE_MAX_NS)
		m->probe_step_ns = TURNS_PROBE_MAX_NS;
	m->probing = false;
	m->learned = live;
	m->probe_due_ns = now_ns + m->probe_step_ns;
}

/* --- a round --- */

void turns_begin(struct turns *t, int64_t every_ns)
{
	t->every_ns = every_ns;
	t->creating = false;
	t->wait_count = 0;
	for (size_t i = 0; i < t->model_count; i++) {
		t->models[i].counted = true;
		t->models[i].live = t->models[i].out = 0;
	}
}

void turns_count(struct turns *t, const char *model, unsigned live, bool has_turn)
{
	struct turns_model *m = find(t, model);

	t->creating = t->creating || has_turn;
	if (!m)
		return;
	m->live += live + has_turn;
	m->out += has_turn;
}

int turns_wait(struct turns *t, const char *model, const struct turns_wait *w)
{
	const struct turns_model *m = find(t, model);
	struct turns_wait *waits;

	if (!m || !m->counted)
		return -ENOENT;
	if (t->wait_count == t->wait_capacity) {
		size_t capacity = t->wait_capacity ? 2 * t->wait_capacity : 64;

		waits = realloc(t->waits, capacity * sizeof(*waits));
		if (!waits)
			return -ENOMEM;
		t->waits = waits;
		t->wait_capacity = capacity;
	}
	t->waits[t->wait_count++] = (struct turns_wait){.job = w->job,
							.live = w->live,
							.since_ns = w->since_ns,
							.holds = w->holds,
							.before = w->before,
							.model = (size_t)(m - t->models)};
	return 0;
}

static int compare_age(const struct turns_wait *a, const struct turns_wait *b)
{
	if (a->since_ns != b->since_ns)
		return a->since_ns < b->since_ns ? -1 : 1;
	return a->job < b->job ? -1 : a->job > b->job;
}

/* The queues, one behind the other. */
static int compare(const void *x, const void *y)
{
	const struct turns_wait *a = x, *b = y;

	if (a->model != b->model)
		return a->model < b->model ? -1 : 1;
	if (a->holds != b->holds)
		return a->holds ? -1 : 1;
	if (a->live != b->live)
		return a->live < b->live ? -1 : 1;
	return compare_age(a, b);
}

/* May one more than are known to be allowed be tried? */
static bool may_probe(const struct turns_model *m, int64_t now_ns)
{
	return m->learned != UINT_MAX && m->live >= m->learned && m->live < m->most &&
	       m->out == 0 && m->probe_due_ns <= now_ns;
}

/* Those of one queue that there are slots for.  Returns when more may be tried. */
static int64_t give_slots(struct turns_model *m, struct turns_wait *waits, size_t count,
			  int64_t now_ns)
{
	unsigned most = m->most < m->learned ? m->most : m->learned;
	unsigned free = most > m->live ? most - m->live : 0;
	bool left = false;

	for (size_t i = 0; i < count; i++) {
		struct turns_wait *w = &waits[i];

		if (w->holds) {
			w->given = true;
		} else if (free > 0) {
			w->given = true;
			free--;
		} else if (!left && may_probe(m, now_ns)) {
			w->given = w->probe = true;
		}
		left = left || (!w->holds && !w->given) || w->probe;
	}
	if (left && m->learned < m->most && m->probe_due_ns > now_ns)
		return m->probe_due_ns;
	return INT64_MAX;
}

/* With calls that go one by one, all but the best lose their turn again. */
static int64_t keep_pace(struct turns *t, int64_t now_ns)
{
	bool now = !t->creating && t->create_due_ns <= now_ns, lost = false;
	struct turns_wait *best = NULL;

	for (size_t i = 0; i < t->wait_count; i++) {
		struct turns_wait *w = &t->waits[i];

		if (!w->given)
			continue;
		if (!best || (w->holds && !best->holds) ||
		    (w->holds == best->holds && w->model != best->model &&
		     compare_age(w, best) < 0))
			best = w;
		w->given = false;
		lost = true;
	}
	if (now && best)
		best->given = true;
	/* The end of the one that has it decides again. */
	return lost && !t->creating && !now ? t->create_due_ns : INT64_MAX;
}

/* What is left has a place; a probe has begun. */
static void settle(struct turns *t, int64_t now_ns)
{
	unsigned place = 0;

	for (size_t i = 0; i < t->wait_count; i++) {
		struct turns_wait *w = &t->waits[i];
		struct turns_model *m = &t->models[w->model];

		if (i == 0 || w->model != t->waits[i - 1].model)
			place = 0;
		w->place = w->given ? 0 : ++place;
		if (!w->given || !w->probe)
			continue;
		m->probing = true;
		m->probe_due_ns = now_ns + m->probe_step_ns; /* should it never be heard of again */
	}
}

int64_t turns_decide(struct turns *t, int64_t now_ns)
{
	int64_t due = INT64_MAX, next;

	if (t->wait_count == 0)
		return due;
	qsort(t->waits, t->wait_count, sizeof(t->waits[0]), compare);
	for (size_t i = 0, n; i < t->wait_count; i += n) {
		size_t model = t->waits[i].model;

		for (n = 1; i + n < t->wait_count && t->waits[i + n].model == model; n++)
			;
		next = give_slots(&t->models[model], &t->waits[i], n, now_ns);
		due = next < due ? next : due;
	}
	if (t->every_ns > 0) {
		next = keep_pace(t, now_ns);
		due = next < due ? next : due;
	}
	settle(t, now_ns);
	return due;
}
