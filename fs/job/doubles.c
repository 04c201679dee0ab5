#include "fs/job/doubles.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <unistd.h>

#include "fs/base/buf.h"
#include "fs/base/idmap.h"
#include "fs/base/jsonscan.h"
#include "fs/base/jsonspan.h"
#include "fs/base/newfile.h"
#include "fs/job/linereader.h"

struct doubles {
	const atomic_bool *cancel;
	struct idmap *seen, *twice; /* owned */
	struct buf id;		    /* of the line at hand */
	uint64_t count;
};

static void doubles_release(struct doubles *d)
{
	idmap_free(d->seen);
	idmap_free(d->twice);
	buf_release(&d->id);
}

/* Sets id.  False: it has none, or is no record. */
static bool read_id(struct doubles *d, const struct line *line)
{
	struct jsonspan record = jsonspan_of(line->at, line->size);

	buf_clear(&d->id);
	return jsonspan_type(jsonspan_get(record, "modelInput")) != JSONSPAN_NONE &&
	       jsonspan_string(jsonspan_get(record, "recordId"), &d->id) && buf_error(&d->id) == 0;
}

/* --- first pass --- */

static int learn(struct doubles *d, const struct line *line, struct err *e)
{
	uint32_t number;
	int r;

	if (!read_id(d, line))
		return 0;
	r = idmap_add(d->seen, d->id.data, d->id.size, 0, &number);
	if (r == -EEXIST)
		r = idmap_add(d->twice, d->id.data, d->id.size, 0, &number);
	return r < 0 && r != -EEXIST ? err_errno(e, r, "cannot look for ids used twice") : 0;
}

/* --- second pass --- */

static int write_line(struct doubles *d, const struct line *line, struct newfile *to, struct err *e)
{
	static const char begin[] = "{\"modelInput\":";
	struct jsonspan input;
	uint32_t number;
	int r;

	if (!read_id(d, line) || !idmap_find(d->twice, d->id.data, d->id.size, &number)) {
		r = newfile_write(to, line->at, line->size, e);
		return r == 0 && line->is_whole ? newfile_write(to, "\n", 1, e) : r;
	}
	d->count++;
	input = jsonspan_get(jsonspan_of(line->at, line->size), "modelInput");
	r = newfile_write(to, begin, sizeof(begin) - 1, e);
	if (r == 0)
		r = newfile_write(to, input.at, input.size, e);
	return r == 0 ? newfile_write(to, "}\n", 2, e) : r;
}

/* --- both --- */

/* to NULL: the first.  1: there is a line that no record is as long as. */
static int pass(struct doubles *d, int fd, struct newfile *to, struct err *e)
{
	CLEANUP(linereader_release) struct linereader lr;
	struct line line;
	int r;

	linereader_init(&lr, fd, JSONSCAN_LINE_MAX);
	for (;;) {
		r = linereader_next(&lr, &line);
		if (r < 0)
			return err_errno(e, r, "cannot read an input that was fetched");
		if (!line.at || line.is_too_long)
			return line.at != NULL;
		if (d->cancel && atomic_load(d->cancel))
			return err_set(e, -ECANCELED, "the mount is ending");
		r = to ? write_line(d, &line, to, e) : learn(d, &line, e);
		if (r < 0)
			return r;
	}
}

int doubles_unname(const char *dir, const char *path, const atomic_bool *cancel,
		   uint64_t *ret_count, struct err *e)
{
	CLEANUP(doubles_release)
	struct doubles d = {.cancel = cancel, .id = BUF_INIT(JSONSCAN_ID_MAX)};
	CLEANUP(newfile_release) struct newfile to = NEWFILE_INIT;
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	int r = fd < 0 ? err_errno(e, -errno, "cannot open %s", path) : 0;

	*ret_count = 0;
	if (r == 0)
		r = idmap_new(dir, &d.seen, e);
	if (r == 0)
		r = idmap_new(dir, &d.twice, e);
	if (r == 0)
		r = pass(&d, fd, NULL, e);
	if (r != 0 || idmap_count(d.twice) == 0)
		return r < 0 ? r : 0;
	r = newfile_open(path, &to, e);
	if (r == 0)
		r = pass(&d, fd, &to, e);
	if (r == 0)
		r = newfile_commit(&to, e);
	if (r == 0)
		*ret_count = d.count;
	return r < 0 ? r : 0;
}
