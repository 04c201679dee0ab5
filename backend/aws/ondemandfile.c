#include "backend/aws/ondemandfile.h"

#include <errno.h>
#include <string.h>

#include "backend/journal.h"
#include "backend/lines.h"
#include "backend/text.h"
#include "fs/base/idmap.h"

#define TEXT_MAX (64u * 1024 * 1024) /* of an answer, which only its tokens are wanted of */

struct ondemandfile {
	struct journal *journal; /* owned */
	struct idmap *done;	 /* owned */
	struct counts counts, synced_counts;
	struct tokens tokens, synced_tokens;
	bool dirty;
	struct buf scratch;
};

static void count(struct ondemandfile *f, bool good, struct jsonspan output)
{
	struct text_answer answer = {.has_tokens = false};

	if (!good) {
		f->counts.failed++;
		return;
	}
	f->counts.good++;
	buf_clear(&f->scratch);
	text_extract(output, &f->scratch, &answer);
	if (!answer.has_tokens)
		return;
	f->tokens.input += answer.tokens.input;
	f->tokens.output += answer.tokens.output;
}

/* A line that is there already; of two of one record the first counts. */
static int take_up(void *ctx, const struct envelope *v)
{
	CLEANUP(buf_release) struct buf id = BUF_INIT(LINES_LINE_MAX);
	struct ondemandfile *f = ctx;
	uint32_t number = 0;
	int r;

	if (!jsonspan_string(v->id, &id) || buf_error(&id))
		return buf_error(&id);
	r = idmap_add(f->done, id.data, id.size, 0, &number);
	if (r == 0)
		count(f, v->good, v->output);
	return r == -EEXIST ? 0 : r;
}

static void ondemandfile_closep(struct ondemandfile **f)
{
	ondemandfile_close(*f);
	*f = NULL;
}

int ondemandfile_open(const char *path, struct clock *clock, uint64_t total,
		      struct ondemandfile **ret, struct err *e)
{
	CLEANUP(ondemandfile_closep) struct ondemandfile *f = calloc(1, sizeof(*f));
	const char *slash = strrchr(path, '/');
	CLEANUP(str_freep) char *dir = slash ? strndup(path, (size_t)(slash - path)) : strdup(".");
	int r;

	if (!f || !dir)
		return err_set(e, -ENOMEM, "no memory for %s", path);
	buf_init(&f->scratch, TEXT_MAX);
	r = idmap_new(*dir ? dir : "/", &f->done, e);
	if (r == 0)
		r = journal_open(path, clock, take_up, f, &f->journal, e);
	if (r < 0)
		return r;
	f->counts.total = total;
	f->dirty = true; /* what a crash left may not be on disk yet */
	*ret = STEAL(&f);
	return 0;
}

void ondemandfile_close(struct ondemandfile *f)
{
	if (!f)
		return;
	journal_close(f->journal);
	idmap_free(f->done);
	buf_release(&f->scratch);
	free(f);
}

bool ondemandfile_has(const struct ondemandfile *f, const char *id, size_t id_size)
{
	uint32_t number;

	return idmap_find(f->done, id, id_size, &number);
}

int ondemandfile_add_good(struct ondemandfile *f, const struct ondemand_record *r,
			  struct jsonspan output)
{
	f->dirty = true;
	envelope_write_good(journal_line(f->journal), r->id, r->id_size, r->input, output.at,
			    output.size);
	count(f, true, output);
	return journal_added(f->journal);
}

int ondemandfile_add_error(struct ondemandfile *f, const struct ondemand_record *r,
			   const char *code, const char *message, bool retryable)
{
	f->dirty = true;
	envelope_write_error(journal_line(f->journal), r->id, r->id_size, r->input, code, message,
			     retryable);
	count(f, false, r->input);
	return journal_added(f->journal);
}

bool ondemandfile_is_dirty(const struct ondemandfile *f)
{
	return f->dirty;
}

int ondemandfile_sync(struct ondemandfile *f)
{
	int r = journal_sync(f->journal);

	if (r < 0)
		return r;
	f->dirty = false;
	f->synced_counts = f->counts;
	f->synced_tokens = f->tokens;
	return 0;
}

struct counts ondemandfile_counts(const struct ondemandfile *f)
{
	return f->synced_counts;
}

struct tokens ondemandfile_tokens(const struct ondemandfile *f)
{
	return f->synced_tokens;
}
