/* The fake backend's on-demand side. */

#include "tests/unit/fakenow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/fakebackend_private.h"
#include "tests/unit/fakechaos.h"

#define LINE_SIZE_MAX 4096

static char outcome_of(const struct fakebackend *f, uint64_t index)
{
	const char *all = f->outcomes[0];
	size_t n = all ? strlen(all) : 0;

	return n > 0 && all[index < n ? index : n - 1] == 'f' ? 'f' : 'g';
}

void fakenow_add_result(const struct fakebackend *f, FILE *out, const char *id, unsigned attempt,
			char outcome)
{
	if (outcome == 'g')
		fprintf(out,
			"{\"modelInput\":{},\"modelOutput\":{\"generation\":\"%s of "
			"%u\",\"prompt_token_count\":2,\"generation_token_count\":3,"
			"\"stop_reason\":\"stop\"},\"recordId\":\"%s\"}\n",
			id, attempt, id);
	if (outcome == 'r')
		fprintf(out,
			"{\"modelInput\":{},\"error\":{\"errorCode\":503,\"retryable\":true,"
			"\"errorMessage\":\"later\"},\"recordId\":\"%s\"}\n",
			id);
	if (outcome == 's')
		fprintf(out, "{\"modelInput\":{},\"modelOutput\":{},\"recordId\":\"x-%s\"}\n", id);
	if (outcome == 'f')
		fprintf(out,
			"{\"modelInput\":{},\"error\":{\"errorCode\":400,"
			"\"errorMessage\":\"%s\"},\"recordId\":\"%s\"}\n",
			f->longwords ? f->longwords : "no", id);
}

/* Appends the line of the record at that index of an input. */
static int write_result(struct fakebackend *f, const struct backend_part *p, uint64_t index,
			const char *path)
{
	CLEANUP(file_closep) FILE *in = fopen(p->input_path, "re");
	CLEANUP(file_closep) FILE *out = fopen(path, "ae");
	char line[LINE_SIZE_MAX], id[64];
	const char *at;

	if (!in || !out)
		return -errno;
	for (uint64_t i = 0; i <= index; i++)
		if (!fgets(line, sizeof(line), in))
			return -EINVAL;
	at = strstr(line, "\"recordId\":\"");
	if (!at || sscanf(at + 12, "%63[^\"]", id) != 1)
		return -EINVAL;
	if (f->chaos)
		fakenow_add_result(f, out, id, p->attempt, fakechaos_answer(f, p, line));
	else
		fakenow_add_result(f, out, id, 1, outcome_of(f, index));
	return 0;
}

/* What is in a file of result lines by now. */
static void count_results(const char *path, struct counts *counts, struct tokens *tokens)
{
	CLEANUP(file_closep) FILE *in = fopen(path, "re");
	char line[LINE_SIZE_MAX];

	while (in && fgets(line, sizeof(line), in)) {
		bool good = strstr(line, "\"error\"") == NULL;

		counts->good += good;
		counts->failed += !good;
		tokens->input += good ? 2 : 0;
		tokens->output += good ? 3 : 0;
	}
}

/* Answers those that have no line yet, the last one first. */
int fakenow_run(struct backend *b, const struct backend_part *p, const char *path,
		backend_told *told, void *ctx, struct err *e)
{
	struct fakebackend *f = (struct fakebackend *)b;
	struct counts c = {.total = p->record_count};
	struct tokens t = {0};
	CLEANUP(str_freep) char *name = strdup(p->job_name);
	int r;

	if (f->called)
		f->called(f->ctx, "run_now");
	fakebackend_tick(f);
	if (fakebackend_spend(&f->now_again))
		return err_set(e, -EAGAIN, "run_now: the provider is busy");
	if (fakebackend_spend(&f->now_refused))
		return err_set(e, -EINVAL, "%s", f->words);
	r = fakechaos_strike(f, FAKECHAOS_NOW_REFUSED, e);
	if (r < 0)
		return r;
	count_results(path, &c, &t);
	while (c.good + c.failed < p->record_count) {
		uint64_t left = p->record_count - c.good - c.failed;

		r = fakechaos_strike(f, FAKECHAOS_NOW_AGAIN, e);
		if (r < 0)
			return r;
		r = write_result(f, p, left - 1, path);
		if (r < 0)
			return err_errno(e, r, "run_now: %s", path);
		atomic_fetch_add(&f->now_count, 1);
		fakebackend_tick(f);
		c.good = c.failed = t.input = t.output = 0;
		count_results(path, &c, &t);
		if (!told(ctx, &c, &t))
			return -ECANCELED;
		if (!name || strcmp(name, p->job_name) != 0)
			abort(); /* it is the caller's until the end */
	}
	return 0;
}

int fakenow_pad(struct backend *b, const struct backend_part *p, const char *line, size_t size,
		const char *id, struct buf *out, struct err *e)
{
	(void)b;
	(void)p;
	(void)line;
	(void)size;
	buf_addf(out, "{\"recordId\":\"%s\",\"modelInput\":{}}", id);
	return buf_error(out) < 0 ? err_set(e, buf_error(out), "no memory for a record") : 0;
}
