#include "backend/aws/prices.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "backend/aws/models.h"
#include "fs/base/buf.h"
#include "fs/base/kv.h"

/*
 * A table in the order of its lines, the user's before ours, walked over for
 * each question: it is asked once a job, and has some dozens of lines.
 */

#define ROWS_MAX   4096
#define MODEL_MAX  128
#define PLACE_MAX  32
#define COLUMNS	   7
#define NUMBERS_AT 3
#define NUMBER_MAX 24
#define USD_MAX	   100000.0
#define READ_SIZE  4096

static const char builtin[] =
#include "backend/aws/prices_data.inc" /* made of prices.tsv */
	;

struct row {
	char model[MODEL_MAX], geography[PLACE_MAX], region[PLACE_MAX];
	double usd[4]; /* as the columns; below 0: "-" */
	char source[PRICE_SOURCE_MAX];
	bool is_users;
};

struct prices {
	struct row *rows; /* owned */
	size_t count;
};

struct reading {
	const char *name; /* of the file, for messages */
	unsigned line;
	bool is_users;
	char source[PRICE_SOURCE_MAX];
};

/* ---- reading ---- */

/* The next field of a line, cut at tabs and spaces; 0: there is none. */
static size_t next_field(const char **p, const char *end, const char **ret)
{
	const char *s = *p, *begin;

	while (s < end && (*s == ' ' || *s == '\t'))
		s++;
	begin = s;
	while (s < end && *s != ' ' && *s != '\t')
		s++;
	*ret = begin;
	*p = s;
	return (size_t)(s - begin);
}

static int take_text(const struct reading *rd, const char *what, const char *field, size_t size,
		     char *ret, size_t max, struct err *e)
{
	if (size >= max || memchr(field, '\0', size))
		return err_set(e, -EINVAL,
			       "%s:%u: the %s is not one; it has at most %zu characters", rd->name,
			       rd->line, what, max - 1);
	memcpy(ret, field, size);
	ret[size] = '\0';
	return 0;
}

static int take_usd(const struct reading *rd, const char *field, size_t size, double *ret,
		    struct err *e)
{
	char text[NUMBER_MAX] = "";

	*ret = -1;
	if (size == 1 && *field == '-')
		return 0;
	if (size < sizeof(text) && !memchr(field, '\0', size))
		memcpy(text, field, size);
	if (kv_parse_double("price", text, 0, USD_MAX, ret, NULL) == 0)
		return 0;
	return err_set(e, -EINVAL,
		       "%s:%u: \"%.*s\" is not a price; write USD per million tokens, as in 1.50, "
		       "or -",
		       rd->name, rd->line, (int)(size < 40 ? size : 40), field);
}

/* One pair may stand for the other. */
static int complete(const struct reading *rd, const double *usd, struct err *e)
{
	bool has_batch = usd[0] >= 0 && usd[1] >= 0, no_batch = usd[0] < 0 && usd[1] < 0;
	bool has_demand = usd[2] >= 0 && usd[3] >= 0, no_demand = usd[2] < 0 && usd[3] < 0;

	if ((has_batch && (has_demand || no_demand)) || (no_batch && has_demand))
		return 0;
	return err_set(e, -EINVAL,
		       "%s:%u: a pair of prices is not whole; give in and out of batch, of "
		       "on-demand, or of both, and - - for the other",
		       rd->name, rd->line);
}

static int parse_row(const struct reading *rd, const char *p, const char *end, struct row *ret,
		     struct err *e)
{
	static const char *const names[] = {"model", "geography", "region"};
	struct row row = {.is_users = rd->is_users};
	char *const texts[] = {row.model, row.geography, row.region};
	const size_t sizes[] = {MODEL_MAX, PLACE_MAX, PLACE_MAX};
	const char *field;
	int r = 0;

	for (size_t i = 0; i < COLUMNS && r == 0; i++) {
		size_t size = next_field(&p, end, &field);

		if (size == 0)
			return err_set(e, -EINVAL,
				       "%s:%u: %zu columns; write model, geography, region, batch "
				       "in, batch out, on-demand in, on-demand out",
				       rd->name, rd->line, i);
		if (i < NUMBERS_AT)
			r = take_text(rd, names[i], field, size, texts[i], sizes[i], e);
		else
			r = take_usd(rd, field, size, &row.usd[i - NUMBERS_AT], e);
	}
	if (r < 0)
		return r;
	if (next_field(&p, end, &field) > 0)
		return err_set(e, -EINVAL, "%s:%u: more than %d columns; take \"%.20s\" out",
			       rd->name, rd->line, COLUMNS, field);
	memcpy(row.source, rd->source, sizeof(row.source));
	*ret = row;
	return complete(rd, row.usd, e);
}

static int add_row(struct prices *p, const struct row *row, struct err *e)
{
	struct row *rows;

	if (p->count == ROWS_MAX)
		return err_set(e, -EINVAL, "more than %d prices; give fewer", ROWS_MAX);
	if (p->count % 64 == 0) {
		rows = realloc(p->rows, (p->count + 64) * sizeof(*rows));
		if (!rows)
			return err_errno(e, -ENOMEM, "prices");
		p->rows = rows;
	}
	p->rows[p->count++] = *row;
	return 0;
}

static void take_source(struct reading *rd, const char *line, const char *end)
{
	static const char mark[] = "# source:";
	size_t size = (size_t)(end - line), at = sizeof(mark) - 1;

	if (size <= at || memcmp(line, mark, at) != 0)
		return;
	while (at < size && line[at] == ' ')
		at++;
	snprintf(rd->source, sizeof(rd->source), "%.*s", (int)(size - at < 1000 ? size - at : 1000),
		 line + at);
}

static int read_text(struct prices *p, struct reading *rd, const char *text, size_t size,
		     struct err *e)
{
	const char *end = text + size, *last;
	struct row row;
	int r;

	for (const char *line = text, *stop; line < end; line = stop + 1) {
		stop = memchr(line, '\n', (size_t)(end - line));
		stop = stop ? stop : end;
		last = stop > line && stop[-1] == '\r' ? stop - 1 : stop;
		rd->line++;
		if (line < last && *line == '#')
			take_source(rd, line, last);
		if (strspn(line, " \t") >= (size_t)(last - line) || *line == '#')
			continue;
		r = parse_row(rd, line, last, &row, e);
		if (r == 0)
			r = add_row(p, &row, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_file(struct prices *p, const char *path, struct err *e)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT(PRICES_FILE_MAX + READ_SIZE);
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct reading rd = {.name = path, .is_users = true};
	ssize_t got = 1;

	if (fd < 0)
		return err_errno(e, -errno, "cannot open the prices %s", path);
	while (got > 0) {
		char *at = buf_reserve(&text, READ_SIZE);

		if (!at)
			break;
		got = read(fd, at, READ_SIZE);
		if (got < 0)
			return err_errno(e, -errno, "cannot read the prices %s", path);
		text.size += (size_t)got;
	}
	if (buf_error(&text) == -ENOMEM)
		return err_errno(e, -ENOMEM, "the prices %s", path);
	if (buf_error(&text) < 0 || text.size > PRICES_FILE_MAX)
		return err_set(e, -EFBIG, "the prices %s: more than %d bytes; give fewer", path,
			       PRICES_FILE_MAX);
	snprintf(rd.source, sizeof(rd.source), "%s", path);
	return read_text(p, &rd, text.data, text.size, e);
}

void prices_free(struct prices *p)
{
	if (!p)
		return;
	free(p->rows);
	free(p);
}

static void prices_freep(struct prices **p)
{
	prices_free(*p);
	*p = NULL;
}

int prices_load(const char *path, struct prices **ret, struct err *e)
{
	CLEANUP(prices_freep) struct prices *p = calloc(1, sizeof(*p));
	struct reading rd = {.name = "prices.tsv"};
	int r = 0;

	if (!p)
		return err_errno(e, -ENOMEM, "prices");
	if (path)
		r = read_file(p, path, e);
	if (r == 0)
		r = read_text(p, &rd, builtin, sizeof(builtin) - 1, e);
	if (r < 0)
		return r;
	*ret = STEAL(&p);
	return 0;
}

/* ---- finding ---- */

/* Also without what stands behind its version: "...-v1:0:48k". */
static bool is_model(const struct row *row, const struct models_id *id)
{
	size_t size = strlen(row->model);

	return size <= id->base_size && memcmp(row->model, id->base, size) == 0 &&
	       (size == id->base_size || (id->base[size] == ':' && strchr(row->model, ':')));
}

/* 0: it does not hold there; else the closer the more. */
static int geography_rank(const struct row *row, const struct models_id *id)
{
	bool is_global = id->geography_size == 6 && memcmp(id->geography, "global", 6) == 0;

	if (id->geography_size > 0 && strlen(row->geography) == id->geography_size &&
	    memcmp(row->geography, id->geography, id->geography_size) == 0)
		return 3;
	if (strcmp(row->geography, "regional") == 0 && !is_global)
		return 2;
	return strcmp(row->geography, "*") == 0;
}

/* A price of another region is better than none. */
static int region_rank(const struct row *row, const char *region)
{
	if (region && strcmp(row->region, region) == 0)
		return 3;
	return strcmp(row->region, "*") == 0 ? 2 : 1;
}

static void fill(const struct row *row, const char *region, struct price *ret)
{
	const double *usd = row->usd;
	const char *note = "", *of = "", *where = "";

	*ret = (struct price){usd[0], usd[1], usd[2], usd[3], ""};
	if (usd[0] < 0) {
		ret->batch_in = usd[2] / 2;
		ret->batch_out = usd[3] / 2;
		note = "; batch taken as half of on-demand";
	} else if (usd[2] < 0) {
		ret->demand_in = usd[0] * 2;
		ret->demand_out = usd[1] * 2;
		note = "; on-demand taken as twice batch";
	}
	if (region_rank(row, region) == 1) {
		of = "; of ";
		where = row->region;
	}
	/* The notes matter more than the end of a long source. */
	snprintf(ret->source, sizeof(ret->source), "%.*s%s%s%s",
		 (int)(PRICE_SOURCE_MAX - 1 - strlen(note) - strlen(of) - strlen(where)),
		 row->source, note, of, where);
}

bool prices_find(const struct prices *p, const char *model, const char *region, struct price *ret)
{
	const struct row *best = NULL;
	struct models_id id;
	int best_rank = 0;

	models_split(model, &id);
	for (size_t i = 0; i < p->count; i++) {
		const struct row *row = &p->rows[i];
		int geography = is_model(row, &id) ? geography_rank(row, &id) : 0;
		int rank = row->is_users * 100 + geography * 10 + region_rank(row, region);

		if (geography > 0 && rank >= best_rank) {
			best = row;
			best_rank = rank;
		}
	}
	if (!best)
		return false;
	fill(best, region, ret);
	return true;
}
