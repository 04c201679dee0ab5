#include "cache/store.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <string.h>

#include "cache/schema.h"
#include "cache/storefile.h"
#include "cache/storerow.h"
#include "cache/storesql.h"

/*
 * Rows in and out of state.db.  How the file is made, judged and opened is in
 * storefile.c, its tables in schema.c.
 *
 * Statements are prepared at each call: that costs microseconds beside the
 * fsync of a transaction, and leaves nothing behind that an error path would
 * have to reset.
 */

struct store {
	pthread_mutex_t lock; /* over db; nothing else is taken while it is held */
	sqlite3 *db;
	sqlite3_stmt *part_select; /* owned; NULL until it is needed */
	char id[STOREFILE_ID_SIZE + 1];
};

/* --- statements --- */

static void finalizep(sqlite3_stmt **s)
{
	sqlite3_finalize(*s);
}

static int prepare(sqlite3 *db, const char *sql, sqlite3_stmt **ret, struct err *e)
{
	if (sqlite3_prepare_v2(db, sql, -1, ret, NULL) != SQLITE_OK)
		return schema_errno(db, e);
	return 0;
}

/* Runs a bound statement that gives no rows. */
static int run(sqlite3 *db, const struct storerow *c, struct err *e)
{
	if (c->failed)
		return err_errno(e, -ENOMEM, "cannot write to the job list");
	return sqlite3_step(c->s) == SQLITE_DONE ? 0 : schema_errno(db, e);
}

/* --- opening --- */

int store_open(const char *path, struct store **ret, struct err *e)
{
	static const char *const all[] = {
		storesql_job_insert,   storesql_job_update,   storesql_job_rename,
		storesql_job_wish,     storesql_job_exists,   storesql_job_delete,
		storesql_job_select,   storesql_part_replace, storesql_part_select,
		storesql_parts_delete, storesql_job_remember, storesql_remote_known,
		storesql_source_claim, storesql_source_select};
	struct store *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_errno(e, -ENOMEM, "cannot open %s", path);
	r = storefile_open(path, all, COUNT_OF(all), &s->db, s->id, e);
	if (r < 0) {
		free(s);
		return r;
	}
	pthread_mutex_init(&s->lock, NULL);
	*ret = s;
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	sqlite3_finalize(s->part_select);
	sqlite3_close(s->db);
	pthread_mutex_unlock(&s->lock);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

const char *store_id(const struct store *s)
{
	return s->id;
}

/* --- writing --- */

static int name_taken(int r, const char *name, struct err *e)
{
	return r == -EEXIST ? err_set(e, r, "there is a job named %s already", name) : r;
}

static int add_locked(struct store *s, struct store_job *j, struct err *e)
{
	CLEANUP(finalizep) sqlite3_stmt *insert = NULL;
	struct storerow c;
	int r;

	r = prepare(s->db, storesql_job_insert, &insert, e);
	if (r < 0)
		return r;
	c = (struct storerow){.s = insert};
	storerow_put_job(&c, j);
	r = run(s->db, &c, e);
	if (r < 0)
		return name_taken(r, j->name, e);
	j->number = (uint64_t)sqlite3_last_insert_rowid(s->db);
	j->rev = 1;
	return 0;
}

int store_job_add(struct store *s, struct store_job *j, struct err *e)
{
	int r;

	assert(j->number == 0);
	pthread_mutex_lock(&s->lock);
	r = add_locked(s, j, e);
	pthread_mutex_unlock(&s->lock);
	return r;
}

/* Why no row had that number and revision. */
static int explain_miss_locked(struct store *s, const struct store_job *j, struct err *e)
{
	CLEANUP(finalizep) sqlite3_stmt *exists = NULL;
	int r = prepare(s->db, storesql_job_exists, &exists, e);

	if (r < 0)
		return r;
	sqlite3_bind_int64(exists, 1, (int64_t)j->number);
	r = sqlite3_step(exists);
	if (r == SQLITE_ROW)
		return err_set(e, -ESTALE, "job %s was changed by someone else meanwhile", j->name);
	if (r == SQLITE_DONE)
		return err_set(e, -ENOENT, "job %s is no longer there", j->name);
	return schema_errno(s->db, e);
}

static int update_locked(struct store *s, const struct store_job *j, struct err *e)
{
	CLEANUP(finalizep) sqlite3_stmt *update = NULL;
	struct storerow c;
	int r;

	r = prepare(s->db, storesql_job_update, &update, e);
	if (r < 0)
		return r;
	c = (struct storerow){.s = update};
	storerow_put_job(&c, j);
	storerow_put_u64(&c, j->number);
	storerow_put_int(&c, j->rev);
	r = run(s->db, &c, e);
	if (r < 0)
		return r;
	return sqlite3_changes(s->db) == 1 ? 0 : explain_miss_locked(s, j, e);
}

static int replace_parts_locked(struct store *s, uint64_t job, const struct store_part *parts,
				size_t count, struct err *e)
{
	CLEANUP(finalizep) sqlite3_stmt *replace = NULL;
	int r;

	r = prepare(s->db, storesql_part_replace, &replace, e);
	for (size_t i = 0; r == 0 && i < count; i++) {
		struct storerow c = {.s = replace};

		sqlite3_reset(replace);
		storerow_put_part(&c, job, &parts[i]);
		r = run(s->db, &c, e);
		if (r == -EEXIST) /* tokens are drawn at random: a fault of ours */
			r = err_set(e, -EIO, "the token %s belongs to another part already",
				    parts[i].token);
	}
	return r;
}

int store_jobs_add(struct store *s, struct store_job *jobs, const struct store_part *parts,
		   size_t count, struct err *e)
{
	int r;

	pthread_mutex_lock(&s->lock);
	r = schema_exec(s->db, "BEGIN IMMEDIATE", e);
	if (r == 0) {
		for (size_t i = 0; i < count && r == 0; i++) {
			assert(jobs[i].number == 0);
			r = add_locked(s, &jobs[i], e);
			if (r == 0)
				r = replace_parts_locked(s, jobs[i].number, &parts[i], 1, e);
		}
		if (r == 0)
			r = schema_exec(s->db, "COMMIT", e);
		if (r < 0) { /* the first error is the news */
			ignore_error(schema_exec(s->db, "ROLLBACK", NULL));
			for (size_t i = 0; i < count; i++)
				jobs[i].number = 0;
		}
	}
	pthread_mutex_unlock(&s->lock);
	return r;
}

static int delete_parts_locked(struct store *s, uint64_t job, struct err *e)
{
	CLEANUP(finalizep) sqlite3_stmt *delete = NULL;
	struct storerow c;
	int r = prepare(s->db, storesql_parts_delete, &delete, e);

	if (r < 0)
		return r;
	c = (struct storerow){.s = delete};
	storerow_put_u64(&c, job);
	return run(s->db, &c, e);
}

/* alone: it has no parts any more. */
static int put(struct store *s, struct store_job *j, const struct store_part *parts,
	       size_t part_count, bool alone, struct err *e)
{
	int r;

	pthread_mutex_lock(&s->lock);
	r = schema_exec(s->db, "BEGIN IMMEDIATE", e);
	if (r == 0) {
		r = update_locked(s, j, e);
		if (r == 0 && alone)
			r = delete_parts_locked(s, j->number, e);
		if (r == 0 && part_count)
			r = replace_parts_locked(s, j->number, parts, part_count, e);
		if (r == 0)
			r = schema_exec(s->db, "COMMIT", e);
		if (r == 0)
			j->rev++;
		else /* the first error is the news; a failed one is rolled back by itself */
			ignore_error(schema_exec(s->db, "ROLLBACK", NULL));
	}
	pthread_mutex_unlock(&s->lock);
	return r;
}

int store_job_put(struct store *s, struct store_job *j, const struct store_part *parts,
		  size_t part_count, struct err *e)
{
	return put(s, j, parts, part_count, false, e);
}

int store_job_put_alone(struct store *s, struct store_job *j, struct err *e)
{
	return put(s, j, NULL, 0, true, e);
}

/* One row of number is to be changed by the bound statement. */
static int change_one_locked(struct store *s, const struct storerow *c, struct err *e)
{
	int r = run(s->db, c, e);

	if (r == 0 && sqlite3_changes(s->db) != 1)
		r = err_set(e, -ENOENT, "the job is no longer there");
	return r;
}

static int rename_locked(struct store *s, uint64_t number, const char *name, struct err *e)
{
	CLEANUP(finalizep) sqlite3_stmt *statement = NULL;
	struct storerow c;
	int r;

	r = prepare(s->db, storesql_job_rename, &statement, e);
	if (r < 0)
		return r;
	c = (struct storerow){.s = statement};
	storerow_put_text(&c, name);
	storerow_put_u64(&c, number);
	return name_taken(change_one_locked(s, &c, e), name, e);
}

int store_job_rename(struct store *s, uint64_t number, const char *name, struct err *e)
{
	int r;

	pthread_mutex_lock(&s->lock);
	r = rename_locked(s, number, name, e);
	pthread_mutex_unlock(&s->lock);
	return r;
}

static int wish_locked(struct store *s, uint64_t number, const struct store_wishes *w,
		       struct err *e)
{
	CLEANUP(finalizep) sqlite3_stmt *statement = NULL;
	struct storerow c;
	int r;

	r = prepare(s->db, storesql_job_wish, &statement, e);
	if (r < 0)
		return r;
	c = (struct storerow){.s = statement};
	storerow_put_int(&c, w->held);
	storerow_put_int(&c, w->submit);
	storerow_put_int(&c, w->stop);
	storerow_put_int(&c, w->retry);
	storerow_put_int(&c, w->fetch);
	storerow_put_int(&c, w->purge);
	storerow_put_int(&c, w->retry_how);
	storerow_put_int(&c, w->sample);
	storerow_put_u64(&c, number);
	return change_one_locked(s, &c, e);
}

int store_job_wish(struct store *s, uint64_t number, const struct store_wishes *w, struct err *e)
{
	int r;

	pthread_mutex_lock(&s->lock);
	r = wish_locked(s, number, w, e);
	pthread_mutex_unlock(&s->lock);
	return r;
}

static int run_for_locked(struct store *s, const char *sql, uint64_t number, struct err *e)
{
	CLEANUP(finalizep) sqlite3_stmt *statement = NULL;
	struct storerow c;
	int r;

	r = prepare(s->db, sql, &statement, e);
	if (r < 0)
		return r;
	c = (struct storerow){.s = statement};
	storerow_put_u64(&c, number);
	return run(s->db, &c, e);
}

int store_job_delete(struct store *s, uint64_t number, bool remember, struct err *e)
{
	int r;

	pthread_mutex_lock(&s->lock);
	r = schema_exec(s->db, "BEGIN IMMEDIATE", e);
	if (r == 0) {
		if (remember)
			r = run_for_locked(s, storesql_job_remember, number, e);
		if (r == 0) /* its parts go with it: ON DELETE CASCADE */
			r = run_for_locked(s, storesql_job_delete, number, e);
		if (r == 0)
			r = schema_exec(s->db, "COMMIT", e);
		if (r < 0) /* the first error is the news */
			ignore_error(schema_exec(s->db, "ROLLBACK", NULL));
	}
	pthread_mutex_unlock(&s->lock);
	return r;
}

/* --- what the store knows of its source --- */

static int known_locked(struct store *s, const char *remote, const char *token, bool *ret,
			struct err *e)
{
	CLEANUP(finalizep) sqlite3_stmt *select = NULL;
	struct storerow c;
	int r, step;

	r = prepare(s->db, storesql_remote_known, &select, e);
	if (r < 0)
		return r;
	c = (struct storerow){.s = select};
	storerow_put_text(&c, remote);
	storerow_put_text(&c, token);
	if (c.failed)
		return err_errno(e, -ENOMEM, "cannot ask the job list");
	step = sqlite3_step(select);
	if (step != SQLITE_ROW && step != SQLITE_DONE)
		return schema_errno(s->db, e);
	*ret = step == SQLITE_ROW;
	return 0;
}

int store_remote_is_known(struct store *s, const char *remote, const char *token, bool *ret,
			  struct err *e)
{
	int r;

	pthread_mutex_lock(&s->lock);
	r = known_locked(s, remote, token, ret, e);
	pthread_mutex_unlock(&s->lock);
	return r;
}

static int claim_locked(struct store *s, const char *source, struct err *e)
{
	CLEANUP(finalizep) sqlite3_stmt *claim = NULL;
	CLEANUP(finalizep) sqlite3_stmt *select = NULL;
	const char *whose;
	struct storerow c;
	int r;

	r = prepare(s->db, storesql_source_claim, &claim, e);
	if (r == 0)
		r = prepare(s->db, storesql_source_select, &select, e);
	if (r < 0)
		return r;
	c = (struct storerow){.s = claim};
	storerow_put_text(&c, source);
	r = run(s->db, &c, e);
	if (r < 0)
		return r;
	if (sqlite3_step(select) != SQLITE_ROW)
		return schema_errno(s->db, e);
	whose = (const char *)sqlite3_column_text(select, 0);
	if (!whose)
		return err_errno(e, -ENOMEM, "cannot ask the job list");
	if (strcmp(whose, source) == 0)
		return 0;
	return err_set(e, -EINVAL,
		       "%s holds the jobs of %s; mount that, or give %s a directory of its own "
		       "with -o state=DIR",
		       sqlite3_db_filename(s->db, "main"), whose, source);
}

int store_claim_source(struct store *s, const char *source, struct err *e)
{
	int r;

	pthread_mutex_lock(&s->lock);
	r = claim_locked(s, source, e);
	pthread_mutex_unlock(&s->lock);
	return r;
}

/* --- reading --- */

/* Makes room for one more; NULL, with *items as it was, if there is no memory. */
static void *grow(void **items, size_t *capacity, size_t count, size_t size)
{
	size_t more = *capacity ? *capacity * 2 : 16;
	void *bigger;

	if (count < *capacity)
		return *items;
	bigger = reallocarray(*items, more, size);
	if (!bigger)
		return NULL;
	*items = bigger;
	*capacity = more;
	return bigger;
}

struct job_list {
	struct store_job *jobs; /* owned */
	size_t count, capacity;
};

static void job_list_release(struct job_list *l)
{
	for (size_t i = 0; i < l->count; i++)
		store_job_release(&l->jobs[i]);
	free(l->jobs);
}

static int load_jobs_locked(struct store *s, struct job_list *l, struct err *e)
{
	CLEANUP(finalizep) sqlite3_stmt *select = NULL;
	void *room = NULL;
	int r, step;

	r = prepare(s->db, storesql_job_select, &select, e);
	if (r < 0)
		return r;
	while ((step = sqlite3_step(select)) == SQLITE_ROW) {
		l->jobs = grow(&room, &l->capacity, l->count, sizeof(*l->jobs));
		if (!l->jobs || storerow_take_job(select, &l->jobs[l->count]) < 0) {
			l->jobs = room;
			return err_errno(e, -ENOMEM, "cannot read the job list");
		}
		l->count++;
	}
	return step == SQLITE_DONE ? 0 : schema_errno(s->db, e);
}

/* Copied first, so that each may call the store. */
int store_jobs(struct store *s, int (*each)(void *ctx, const struct store_job *j), void *ctx,
	       struct err *e)
{
	CLEANUP(job_list_release) struct job_list l = {NULL, 0, 0};
	int r;

	pthread_mutex_lock(&s->lock);
	r = load_jobs_locked(s, &l, e);
	pthread_mutex_unlock(&s->lock);
	for (size_t i = 0; r == 0 && i < l.count; i++)
		r = each(ctx, &l.jobs[i]);
	return r;
}

/* Kept prepared: a start asks it of every job. */
static int select_parts_locked(struct store *s, uint64_t job, sqlite3_stmt **ret, struct err *e)
{
	int r = s->part_select ? 0 : prepare(s->db, storesql_part_select, &s->part_select, e);

	if (r < 0)
		return r;
	sqlite3_bind_int64(s->part_select, 1, (int64_t)job);
	*ret = s->part_select;
	return 0;
}

static void resetp(sqlite3_stmt **s)
{
	sqlite3_reset(*s);
}

static int load_parts_locked(struct store *s, uint64_t job, struct store_part **ret,
			     size_t *ret_count, struct err *e)
{
	CLEANUP(resetp) sqlite3_stmt *select = NULL;
	struct store_part *parts = NULL;
	size_t count = 0, capacity = 0;
	void *room = NULL;
	int r, step;

	r = select_parts_locked(s, job, &select, e);
	if (r < 0)
		return r;
	while ((step = sqlite3_step(select)) == SQLITE_ROW) {
		parts = grow(&room, &capacity, count, sizeof(*parts));
		if (!parts || storerow_take_part(select, &parts[count]) < 0) {
			store_parts_free(room, count);
			return err_errno(e, -ENOMEM, "cannot read the parts of a job");
		}
		count++;
	}
	if (step != SQLITE_DONE) {
		r = schema_errno(s->db, e);
		store_parts_free(room, count);
		return r;
	}
	/* Kept by a hundred thousand jobs, which have one part each. */
	parts = reallocarray(room, count ? count : 1, sizeof(*parts));
	*ret = parts ? parts : room;
	*ret_count = count;
	return 0;
}

int store_parts(struct store *s, uint64_t job, struct store_part **ret, size_t *ret_count,
		struct err *e)
{
	int r;

	pthread_mutex_lock(&s->lock);
	r = load_parts_locked(s, job, ret, ret_count, e);
	pthread_mutex_unlock(&s->lock);
	return r;
}
