#include "fs/job/precheck.h"

#include <string.h>

#include "fs/job/cost.h"

#define WARNINGS_LOGGED_MAX 20

static void log_warnings(struct job *j, const struct buf *warnings)
{
	const char *line = warnings->data;
	int count = 0;

	while (*line && count++ < WARNINGS_LOGGED_MAX) {
		size_t size = strcspn(line, "\n");

		job_log(j, "warning: %.*s", (int)size, line);
		line += size + (line[size] == '\n');
	}
	if (*line)
		job_log(j, "warning: and more of the kind");
}

static int look(struct job *j, const struct draft_summary *sum, const char *path,
		struct backend_input_check *ret, struct err *e)
{
	CLEANUP(kv_release) struct kv config = KV_INIT;
	CLEANUP(str_freep) char *media = NULL;
	struct backend *b = j->jobs->o.backend;
	struct backend_part part = {.token = "",
				    .job_name = j->view->name,
				    .model = j->row.model,
				    .config = &config,
				    .input_path = path,
				    .record_count = sum->record_count,
				    .attempt = 1,
				    .on_demand = j->row.how == RUN_ONDEMAND};
	int r = draft_config(j->draft, &config, e);

	if (r == 0)
		r = draft_path(j->draft, DRAFT_ROLE_MEDIA, &media);
	part.media_path = media;
	return r < 0 ? r : b->ops->check_input(b, &part, ret, e);
}

/* What fills a job up is paid for, too: copies of its shortest record, so of no more
 * than the average, each with an answer of one token. */
static void add_padding(struct job *j, uint64_t record_count)
{
	struct backend *b = j->jobs->o.backend;
	struct tokens *t = &j->row.estimate;
	struct backend_limits limits;
	uint64_t padding;

	b->ops->limits(b, j->row.model, &limits);
	if (record_count == 0 || record_count >= limits.records_min)
		return;
	padding = limits.records_min - record_count;
	t->input += (t->input / record_count + 1) * padding;
	t->output += padding;
}

int precheck_input(struct job *j, const struct draft_summary *sum, struct buf *error, struct err *e)
{
	CLEANUP(str_freep) char *path = NULL;
	CLEANUP(buf_release) struct buf warnings = BUF_INIT(256 * 1024);
	struct backend_input_check check = {.faults = error, .warnings = &warnings};
	int r;

	if (!j->jobs->o.backend->ops->check_input ||
	    (j->prechecked && j->prechecked_edits == sum->edits))
		return 0;
	r = draft_path(j->draft, DRAFT_ROLE_INPUT, &path);
	if (r < 0 || !path)
		return r; /* gone again: that event is on its way */
	r = look(j, sum, path, &check, e);
	if (r < 0)
		return r;
	j->prechecked = true;
	j->prechecked_edits = sum->edits;
	j->row.estimate = check.has_estimate ? check.estimate : (struct tokens){0};
	if (check.has_estimate && j->row.how == RUN_PADDED)
		add_padding(j, sum->record_count);
	log_warnings(j, &warnings);
	return 0;
}

/* Cents, and what is less than a cent where there is some. */
static void add_usd(struct buf *out, double usd)
{
	char text[400];
	int size = snprintf(text, sizeof(text), "%.6f", usd);

	while (size > 3 && text[size - 1] == '0' && text[size - 3] != '.')
		size--;
	buf_add(out, text, size > 0 ? (size_t)size : 0);
}

bool precheck_is_dear(const struct job *j, double max_usd, struct buf *words)
{
	struct backend *b = j->jobs->o.backend;
	struct price price;
	double usd;

	if (max_usd <= 0 || !b->ops->price)
		return false;
	if (!b->ops->price(b, j->row.model, &price)) {
		buf_addf(words, "no price is known for %s, so max_cost=", j->row.model);
		add_usd(words, max_usd);
		buf_add_str(words, " cannot be kept; `echo submit > ctl` submits it all the same, "
				   "prices=FILE gives a price\n");
		return true;
	}
	if (j->row.how == RUN_ONDEMAND)
		usd = cost_usd(&j->row.estimate, price.demand_in, price.demand_out);
	else
		usd = cost_usd(&j->row.estimate, price.batch_in, price.batch_out);
	if (usd <= max_usd)
		return false;
	buf_add_str(words, "it may cost up to ");
	add_usd(words, usd);
	buf_addf(words, " USD (%llu tokens in, %llu out at most), and max_cost is ",
		 (unsigned long long)j->row.estimate.input,
		 (unsigned long long)j->row.estimate.output);
	add_usd(words, max_usd);
	buf_add_str(words, "; `echo submit > ctl` submits it all the same\n");
	return true;
}
