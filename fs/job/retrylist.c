#include "fs/job/retrylist.h"

#include <errno.h>
#include <string.h>

#include "backend/envelope.h"
#include "fs/base/newfile.h"

/* errors.jsonl and retry.jsonl have a line each, in the same order, for each
 * record that is not good. */

struct lines {
	const char *at, *end;
};

static struct lines lines_of(const struct results *res, enum results_file f)
{
	uint64_t size;
	const char *at = results_bytes(res, f, &size);

	return (struct lines){at, at + size};
}

/* The next line, its newline included; false: there is none. */
static bool next_line(struct lines *l, struct jsonspan *ret)
{
	const char *end = l->at < l->end ? memchr(l->at, '\n', (size_t)(l->end - l->at)) : NULL;

	if (!end)
		return false;
	*ret = (struct jsonspan){l->at, (size_t)(end + 1 - l->at)};
	l->at = end + 1;
	return true;
}

static bool is_wanted(enum results_outcome outcome, struct jsonspan error, bool with_missing)
{
	struct envelope v;

	if (outcome == RESULTS_MISSING)
		return with_missing;
	return envelope_parse(error.at, error.size - 1, &v) == 0 && envelope_is_retryable(&v);
}

/* The retry lines may end in CR LF, as the user's did; a list's do not. */
static int write_line(struct newfile *f, struct jsonspan line, struct err *e)
{
	size_t size = line.size - 1;
	int r;

	if (size > 0 && line.at[size - 1] == '\r')
		size--;
	r = newfile_write(f, line.at, size, e);
	return r < 0 ? r : newfile_write(f, "\n", 1, e);
}

int retrylist_write(const struct results *results, bool with_missing, const char *path,
		    uint64_t *ret_count, struct err *e)
{
	CLEANUP(newfile_release) struct newfile f = NEWFILE_INIT;
	struct lines errors = lines_of(results, RESULTS_ERRORS),
		     retries = lines_of(results, RESULTS_RETRY);
	uint64_t count = 0;
	int r = 0;

	for (uint64_t i = 0; r == 0 && i < results_count(results); i++) {
		enum results_outcome outcome = results_outcome(results, i);
		struct jsonspan error, retry;

		if (outcome == RESULTS_GOOD)
			continue;
		if (!next_line(&errors, &error) || !next_line(&retries, &retry))
			return err_set(e, -EUCLEAN, "errors.jsonl and retry.jsonl do not match");
		if (!is_wanted(outcome, error, with_missing))
			continue;
		if (count++ == 0)
			r = newfile_open(path, &f, e);
		if (r == 0)
			r = write_line(&f, retry, e);
	}
	if (r == 0 && count > 0)
		r = newfile_commit(&f, e);
	if (r == 0)
		*ret_count = count;
	return r;
}
