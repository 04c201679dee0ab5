/*
 * Jobs that were made elsewhere (the provider's console, an SDK, another
 * machine) become directories here.
 *
 * A poll tells of every job it meets.  Those that were met before are known at
 * once (fs/job/seen.h), so that ten thousand of them cost nothing; the store
 * knows ours, also those whose create call was never answered, those adopted
 * before and those that were forgotten here; the rest is written into the store in batches, and only then made.  A crash in between
 * leaves rows whose directories the next start makes.
 *
 * What a provider's list says is not to be trusted: names are made valid,
 * numbers are only shown.
 *
 * A later mount that shows only its own leaves their rows in the store, and
 * makes no jobs of them; their names are free.
 */

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/log.h"
#include "fs/base/utf8.h"
#include "fs/job/jobs_private.h"

#define BATCH	 256 /* rows a transaction; mkdir and others wait so long */
#define NAME_CUT 200 /* bytes of the provider's name; leaves room for a suffix */
#define TAIL_MIN 4   /* characters of the provider's id in a suffix */
#define TAIL_MAX 40

struct adoption {
	struct jobs *jobs;
	struct store_job *rows; /* owned, as are what they hold */
	struct store_part *parts;
	size_t count, capacity;
	struct seen taken; /* those above: a list may tell of one twice */
	size_t left_out;
};

static bool shows_all(const struct jobs *en)
{
	struct backend *b = en->o.backend;

	return b->ops->lists_jobs && b->ops->lists_jobs(b);
}

struct adoption *adopt_begin(struct jobs *en)
{
	struct adoption *a;

	if (!shows_all(en))
		return NULL;
	a = calloc(1, sizeof(*a));
	if (a)
		a->jobs = en;
	else
		log_warning("adopt", "no memory to look for jobs made elsewhere");
	return a;
}

static void drop(struct adoption *a, size_t i)
{
	store_job_release(&a->rows[i]);
	store_part_release(&a->parts[i]);
}

static void adoption_free(struct adoption *a)
{
	for (size_t i = 0; i < a->count; i++)
		drop(a, i);
	free(a->rows);
	free(a->parts);
	seen_release(&a->taken);
	free(a);
}

/* --- what is found --- */

static bool make_room(struct adoption *a)
{
	size_t capacity = a->capacity ? a->capacity * 2 : 64;
	void *rows, *parts;

	if (a->count < a->capacity)
		return true;
	rows = realloc(a->rows, capacity * sizeof(a->rows[0]));
	a->rows = rows ? rows : a->rows;
	parts = realloc(a->parts, capacity * sizeof(a->parts[0]));
	a->parts = parts ? parts : a->parts;
	if (!rows || !parts)
		return false;
	a->capacity = capacity;
	return true;
}

/* One line without control bytes; NULL stays. */
static bool copy_line(char **to, const char *from, size_t max)
{
	*to = from && from[0] ? strndup(from, max) : NULL;
	for (char *s = *to; s && *s; s++)
		if (iscntrl((unsigned char)*s))
			*s = '_';
	return *to || !from || !from[0];
}

static void fill_part(struct store_part *p, const struct backend_job *f, int64_t began_ns,
		      int64_t ended_ns)
{
	p->attempt = p->seq = 1;
	p->phase = job_state_is_end(f->status.state) ? PART_ENDED : PART_CREATED;
	p->record_count = f->status.counts.total;
	p->state = (int)f->status.state;
	p->counts = f->status.counts;
	p->tokens = f->status.tokens;
	p->created_ns = began_ns;
	p->ended_ns = ended_ns;
	p->expires_ns = f->status.expires_ns;
}

static void fill_row(struct store_job *j, const struct backend_job *f, int64_t began_ns,
		     int64_t ended_ns, int64_t now)
{
	bool ended = job_state_is_end(f->status.state);

	j->phase = ended ? PHASE_ELSEWHERE : PHASE_RUNNING;
	j->end_state = ended ? (int)elsewhere_end(&f->status) : -1;
	j->elsewhere = true;
	j->attempt = 1;
	j->record_count = f->status.counts.total;
	j->counts = f->status.counts;
	j->tokens = f->status.tokens;
	j->created_ns = j->submitted_ns = began_ns;
	j->ended_ns = ended_ns;
	j->names_ns = now;
	for (int i = 0; i < STORE_TIMES; i++)
		j->times_ns[i] = ended ? ended_ns : now;
}

static bool fill(struct adoption *a, const struct backend_job *f)
{
	struct store_job *j = &a->rows[a->count];
	struct store_part *p = &a->parts[a->count];
	int64_t now = clock_wall_ns(a->jobs->o.clock);
	int64_t began_ns = f->submitted_ns > 0 ? f->submitted_ns : now;
	int64_t ended_ns = f->ended_ns > 0 ? f->ended_ns : now;
	bool ended = job_state_is_end(f->status.state);
	const char *message = f->status.message;
	bool good;

	*j = (struct store_job)STORE_JOB_INIT;
	*p = (struct store_part)STORE_PART_INIT;
	fill_part(p, f, began_ns, ended ? ended_ns : 0);
	fill_row(j, f, began_ns, ended ? ended_ns : 0, now);
	p->remote = strdup(f->remote);
	good = p->remote && copy_line(&p->name, f->name, DRAFT_NAME_MAX) &&
	       copy_line(&p->raw, f->status.raw, PART_RAW_MAX) &&
	       copy_line(&p->message, message, PART_MESSAGE_MAX) &&
	       copy_line(&j->model, f->model, DRAFT_MODEL_MAX);
	if (good && ended && j->end_state != JOB_COMPLETED)
		good = copy_line(&j->error, message, PART_MESSAGE_MAX);
	if (!good)
		drop(a, a->count);
	return good;
}

/* Does somebody here know it, or did?  The store's mutex is the last of all, so
 * that the backend may hold what it likes. */
static bool is_known(struct jobs *en, const struct backend_job *f)
{
	struct err e = ERR_INIT;
	bool known = true;
	int r = store_remote_is_known(en->o.store, f->remote, f->token, &known, &e);

	if (r < 0)
		log_warning("adopt", "%s", e.text);
	else if (known)
		seen_add(&en->seen, f->remote);
	return r < 0 || known;
}

void adopt_found(void *adoption, const struct backend_job *found)
{
	struct adoption *a = adoption;

	if (!found->remote || !found->remote[0] || seen_has(&a->jobs->seen, found->remote) ||
	    seen_has(&a->taken, found->remote) || is_known(a->jobs, found))
		return;
	if (a->count + jobs_job_count(a->jobs) >= JOBS_JOBS_MAX || !make_room(a) ||
	    !fill(a, found)) {
		a->left_out++;
		return;
	}
	a->count++;
	seen_add(&a->taken, found->remote);
}

/* --- names --- */

static void clean_name(const char *from, char *to)
{
	size_t used = 0, left = strlen(from);

	while (left > 0) {
		size_t n = utf8_char_size(from, left);
		bool bad = n == 0 || iscntrl((unsigned char)*from) || *from == '/' ||
			   (used == 0 && *from == '.');

		n = n ? n : 1;
		if (used + n > NAME_CUT)
			break;
		memcpy(to + used, bad ? "_" : from, bad ? 1 : n);
		used += bad ? 1 : n;
		from += n;
		left -= n;
	}
	to[used] = '\0';
}

/* The last letters and digits of the provider's name for it. */
static const char *tail_of(const char *remote, char *buf)
{
	size_t n = strlen(remote), at = TAIL_MAX;

	buf[at] = '\0';
	while (n > 0 && at > 0)
		if (isalnum((unsigned char)remote[--n]))
			buf[--at] = remote[n];
	return buf + at;
}

static bool is_taken(const struct adoption *a, size_t first, size_t i, const char *name)
{
	struct job *j = registry_find(&a->jobs->registry, name);

	job_unref(j);
	if (j)
		return true;
	for (; first < i; first++)
		if (strcmp(a->rows[first].name, name) == 0)
			return true;
	return false;
}

/* With the mutex of names; first: of the batch, whose names are taken as well. */
static int choose_name(struct adoption *a, size_t first, size_t i)
{
	char base[NAME_CUT + 1], tail_buf[TAIL_MAX + 1], name[DRAFT_NAME_MAX + 1];
	const char *tail = tail_of(a->parts[i].remote, tail_buf);
	size_t size = strlen(tail);

	clean_name(a->parts[i].name ? a->parts[i].name : "", base);
	if (!base[0])
		snprintf(base, sizeof(base), "job");
	snprintf(name, sizeof(name), "%s", base);
	for (size_t n = TAIL_MIN; is_taken(a, first, i, name); n++) {
		if (n <= size)
			snprintf(name, sizeof(name), "%s-%s", base, tail + size - n);
		else
			snprintf(name, sizeof(name), "%s-%s-%zu", base, tail, n);
	}
	a->rows[i].name = strdup(name);
	return a->rows[i].name ? 0 : -ENOMEM;
}

/* --- making jobs of them --- */

/* The row is in the store.  What cannot be made now is not there, and is found
 * again by a later poll. */
static int make_job(struct jobs *en, const struct store_job *row, const struct store_part *part)
{
	struct err e = ERR_INIT;
	struct job *j = NULL;
	int r = job_new(en, row, &j, &e);

	if (r == 0) {
		job_log(j, "made elsewhere, found as %s", part->remote);
		r = registry_add(&en->registry, row->number, row->name, j);
	}
	job_unref(j);
	if (r == 0) {
		seen_add(&en->seen, part->remote);
		return 0;
	}
	log_error("adopt", "%s: %s", row->name, e.text[0] ? e.text : "no memory");
	if (store_job_delete(en->o.store, row->number, false, &e) < 0)
		log_error("adopt", "%s", e.text);
	return r;
}

/* With the mutex of names. */
static int adopt_batch(struct adoption *a, size_t first, size_t count)
{
	struct jobs *en = a->jobs;
	struct err e = ERR_INIT;
	int r = 0;

	for (size_t i = first; i < first + count && r == 0; i++)
		r = choose_name(a, first, i);
	if (r == 0)
		r = store_jobs_add(en->o.store, &a->rows[first], &a->parts[first], count, &e);
	if (r < 0) {
		log_error("adopt", "jobs made elsewhere are not taken in: %s",
			  e.text[0] ? e.text : "no memory");
		return r;
	}
	for (size_t i = first; i < first + count; i++)
		if (make_job(en, &a->rows[i], &a->parts[i]) < 0)
			r = -EIO; /* the others are in the store: they are made */
	jobs_names_changed(en);
	return r;
}

static void say_what_is_left_out(struct adoption *a)
{
	if (a->left_out > 0 && !a->jobs->adopted_too_many)
		log_warning("adopt",
			    "%zu jobs made elsewhere are not shown: there is room for %d jobs; "
			    "remove some and mount again",
			    a->left_out, JOBS_JOBS_MAX);
	a->jobs->adopted_too_many = a->left_out > 0;
}

void adopt_end(struct adoption *a)
{
	struct jobs *en;
	int r = 0;

	if (!a)
		return;
	en = a->jobs;
	say_what_is_left_out(a);
	for (size_t i = 0; i < a->count && r == 0 && !atomic_load(&en->stopping); i += BATCH) {
		size_t n = a->count - i < BATCH ? a->count - i : BATCH;

		pthread_mutex_lock(&en->names_mutex);
		r = adopt_batch(a, i, n);
		pthread_mutex_unlock(&en->names_mutex);
		sched_wake(en);
	}
	adoption_free(a);
}

/* --- a mount that shows only its own --- */

bool adopt_is_hidden(const struct jobs *en, const struct store_job *row)
{
	bool asked_for = row->fetch_wanted || row->stop_wanted || row->purge_wanted ||
			 row->phase == PHASE_COLLECTING;

	return row->elsewhere && row->generation == 0 && !asked_for && !shows_all(en);
}

struct hidden {
	const struct jobs *jobs;
	const char *name;
	uint64_t number; /* 0: not found */
};

static int find_hidden(void *ctx, const struct store_job *row)
{
	struct hidden *h = ctx;

	if (strcmp(row->name, h->name) == 0 && adopt_is_hidden(h->jobs, row))
		h->number = row->number;
	return 0;
}

bool adopt_make_way(struct jobs *en, const char *name)
{
	struct hidden h = {.jobs = en, .name = name};
	CLEANUP(str_freep) char *other = NULL;
	struct err e = ERR_INIT;
	int r;

	if (shows_all(en))
		return false;
	r = store_jobs(en->o.store, find_hidden, &h, &e);
	if (r == 0 && h.number == 0)
		return false;
	if (r == 0 && asprintf(&other, "%s-%llu", strlen(name) > NAME_CUT ? "elsewhere" : name,
			       (unsigned long long)h.number) < 0) {
		other = NULL;
		r = -ENOMEM;
	}
	if (r == 0)
		r = store_job_rename(en->o.store, h.number, other, &e);
	if (r < 0)
		log_error("adopt",
			  "%s: a job made elsewhere, which is not shown, has this name: %s", name,
			  e.text[0] ? e.text : "no memory");
	return r == 0;
}
