/*
 * `sample N`: the first records of a draft, run on demand before anything large
 * is paid for.
 *
 *	STATE/jobs/J/sample/in.jsonl	its records, all with ids
 *	                    config	JOB/config as it was
 *	                    what	model, token, ...; made last: what is begun is whole
 *	                    out.jsonl	a result line for each that was answered
 *	STATE/jobs/J/sample.jsonl	those lines in the order of the input
 *
 * The wish stays in the store until sample.jsonl is there, and the draft is not
 * looked at meanwhile: a sample goes on with what it began with.  A crash goes on
 * with the lines of out.jsonl; one after the tally was stored finds in `what` how
 * much it was before.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cache/dirs.h"
#include "fs/base/fdio.h"
#include "fs/base/log.h"
#include "fs/base/newfile.h"
#include "fs/job/collect.h"
#include "fs/job/cost.h"
#include "fs/job/input.h"
#include "fs/job/jobs_private.h"
#include "fs/job/linereader.h"
#include "fs/job/stage.h"

#define SHOWN_EVERY_NS (500 * NS_PER_MS)
#define LINE_MAX_BYTES (768u * 1024 * 1024)

/* One that is under way. */
struct sample {
	struct kv what, config;
	char *in, *out, *media; /* owned */
	uint64_t count;
	struct tally before;   /* of earlier samples */
	struct tokens tokens;  /* as told */
	struct job *job;       /* borrowed */
	int64_t shown_mono_ns; /* when readers were last told */
};

#define SAMPLE_INIT                                                                                \
	{                                                                                          \
		.in = NULL                                                                         \
	}

static void sample_release(struct sample *s)
{
	kv_release(&s->what);
	kv_release(&s->config);
	str_freep(&s->in);
	str_freep(&s->out);
	str_freep(&s->media);
}

/* --- files --- */

static int path_of(const struct job *j, const char *leaf, char **ret)
{
	return asprintf(ret, "%s/sample%s", j->dir, leaf) < 0 ? -ENOMEM : 0;
}

static int save_pairs(const struct job *j, const char *leaf, const struct kv *kv, struct err *e)
{
	CLEANUP(newfile_release) struct newfile f = NEWFILE_INIT;
	CLEANUP(buf_release) struct buf text = BUF_INIT(2 * KV_TEXT_MAX);
	CLEANUP(str_freep) char *path = NULL;
	int r = path_of(j, leaf, &path);

	/* No longer than what they were read from: that has a limit. */
	for (size_t i = 0; i < kv->count; i++)
		buf_addf(&text, "%s=%s\n", kv->pairs[i].key, kv->pairs[i].value);
	if (r == 0)
		r = buf_error(&text);
	if (r == 0)
		r = newfile_open(path, &f, e);
	if (r == 0)
		r = newfile_write(&f, text.data, text.size, e);
	return r == 0 ? newfile_commit(&f, e) : r;
}

static int load_pairs(const struct job *j, const char *leaf, struct kv *ret, struct err *e)
{
	CLEANUP(str_freep) char *path = NULL;
	CLEANUP(str_freep) char *text = malloc(2 * KV_TEXT_MAX);
	CLEANUP(fd_closep) int fd = -1;
	ssize_t n;
	int r = path_of(j, leaf, &path);

	if (r < 0 || !text)
		return -ENOMEM;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, 2 * KV_TEXT_MAX);
	if (n < 0)
		return err_errno(e, -errno, "cannot read %s", path);
	return kv_parse(ret, path, text, (size_t)n, e);
}

/* --- to begin --- */

/* The first records as they lie there, from one file to the other. */
static int copy_lines(int from, int to, uint64_t count, struct err *e)
{
	struct linereader lr;
	struct line line = {.size = 0};
	int r = 0;

	linereader_init(&lr, from, LINE_MAX_BYTES);
	for (uint64_t i = 0; i < count && r == 0; i++) {
		r = linereader_next(&lr, &line);
		if (r == 0 && (!line.at || line.is_too_long))
			r = -ESTALE; /* it is another file by now */
		if (r == 0)
			r = fdio_write(to, line.at, line.size);
		if (r == 0)
			r = fdio_write(to, "\n", 1);
	}
	linereader_release(&lr);
	return r < 0 ? err_errno(e, r, "cannot copy the records of a sample") : 0;
}

/* Copies, as what the user has open may change: the check is of the copy. */
static int make_input(struct job *j, uint64_t count, struct err *e)
{
	CLEANUP(str_freep) char *source = NULL;
	CLEANUP(str_freep) char *raw = NULL;
	CLEANUP(str_freep) char *path = NULL;
	CLEANUP(fd_closep) int from = -1;
	CLEANUP(fd_closep) int to = -1;
	struct input *in = NULL;
	int r = draft_path(j->draft, DRAFT_ROLE_INPUT, &source);

	if (r == 0)
		r = path_of(j, "/raw.jsonl", &raw);
	if (r == 0)
		r = path_of(j, "/in.jsonl", &path);
	if (r < 0 || !source)
		return r < 0 ? r : -ESTALE;
	from = open(source, O_RDONLY | O_CLOEXEC);
	to = open(raw, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (from < 0 || to < 0)
		return err_errno(e, -errno, "cannot copy %s", source);
	r = copy_lines(from, to, count, e);
	if (r == 0)
		r = input_new(j->jobs->scratch_dir, &in, e);
	if (r == 0)
		r = input_rescan(in, to, &j->jobs->stopping, e);
	if (r == 0 && (!input_is_valid(in) || input_record_count(in) != count))
		r = -ESTALE;
	if (r == 0)
		r = stage_part(in, to, NULL, 0, count, path, e);
	input_free(in);
	unlink(raw);
	return r;
}

static int set_number(struct kv *kv, const char *key, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	return kv_set(kv, key, text);
}

static int save_what(struct job *j, uint64_t count, struct err *e)
{
	CLEANUP(kv_release) struct kv what = KV_INIT;
	CLEANUP(kv_release) struct kv config = KV_INIT;
	CLEANUP(str_freep) char *token = NULL;
	int r = parts_make_token(&token, e);

	if (r == 0)
		r = draft_config(j->draft, &config, e);
	if (r == 0)
		r = save_pairs(j, "/config", &config, e);
	if (r == 0)
		r = kv_set(&what, "model", j->row.model);
	if (r == 0)
		r = kv_set(&what, "token", token);
	if (r == 0)
		r = set_number(&what, "records", count);
	if (r == 0)
		r = set_number(&what, "before_records", j->row.sample.records);
	if (r == 0)
		r = set_number(&what, "before_input", j->row.sample.tokens.input);
	if (r == 0)
		r = set_number(&what, "before_output", j->row.sample.tokens.output);
	return r < 0 ? r : save_pairs(j, "/what", &what, e);
}

static int clear(struct job *j, struct err *e)
{
	CLEANUP(str_freep) char *dir = NULL;
	int r = path_of(j, "", &dir);

	return r < 0 ? r : dirs_remove(dir, e);
}

/* The one before makes place: who waits for a name must not find that. */
static int drop_former(struct job *j, struct err *e)
{
	CLEANUP(str_freep) char *path = NULL;
	int r = path_of(j, ".jsonl", &path);

	if (r == 0 && unlink(path) < 0 && errno != ENOENT)
		r = err_errno(e, -errno, "cannot delete %s", path);
	if (r == 0)
		j->sample_ns = 0;
	return r;
}

/* On to the lane for what takes long. */
static int go_on(struct job *j)
{
	j->sampling = true;
	str_freep(&j->sample_error);
	job_publish(j, JOB_HELD, "");
	return 1;
}

/* What is in the way of it may stay there, and nobody is to wait for that. */
static int give_up(struct job *j, struct err *e)
{
	int r = job_drop_wishes(j, (struct store_wishes){.sample = 1, .stop = true}, e);

	if (r < 0)
		return r;
	j->sampling = j->sample_resumes = false;
	j->sample_counts = (struct counts){0};
	job_log(j, "sample: stopped, and what there is of it is dropped");
	return 1;
}

int sample_begin(struct job *j, const struct draft_summary *sum, struct err *e)
{
	CLEANUP(str_freep) char *dir = NULL;
	uint64_t count = job_wishes(j).sample;
	int r = path_of(j, "", &dir);

	if (r == 0 && job_wishes(j).stop)
		return give_up(j, e);
	if (count > sum->record_count)
		count = sum->record_count;
	if (r == 0)
		r = clear(j, e);
	if (r == 0)
		r = drop_former(j, e);
	if (r == 0)
		r = dirs_make(dir, e);
	if (r == 0)
		r = make_input(j, count, e);
	if (r == -ESTALE || (r == 0 && draft_edits(j->draft) != sum->edits)) {
		job_poke(j); /* it is looked at again, and begun again if it is still valid */
		return 0;
	}
	if (r == 0)
		r = save_what(j, count, e);
	if (r == -ECANCELED) /* the mount ends */
		return 0;
	j->sample_counts = (struct counts){.total = count};
	return r < 0 ? r : go_on(j);
}

int sample_drop(struct job *j, struct err *e)
{
	if (!job_wishes(j).sample)
		return 0;
	job_log(j, "sample: not as it is now");
	return job_drop_wishes(j, (struct store_wishes){.sample = 1, .stop = true}, e);
}

bool sample_is_begun(struct job *j)
{
	CLEANUP(str_freep) char *path = NULL;

	if (!job_wishes(j).sample)
		return false;
	return j->sampling ||
	       (j->sample_resumes && path_of(j, "/what", &path) == 0 && access(path, F_OK) == 0);
}

void sample_load(struct job *j)
{
	CLEANUP(str_freep) char *path = NULL;
	struct err e = ERR_INIT;
	struct stat st;

	j->sample_resumes = j->row.sample_wanted > 0;
	/* What a crash between a sample's end and this left is nobody's. */
	if (j->row.phase == PHASE_DRAFT && !j->sample_resumes && clear(j, &e) < 0)
		log_warning("sample", "%s", e.text);
	if (j->row.sample.records > 0 && path_of(j, ".jsonl", &path) == 0 && stat(path, &st) == 0)
		j->sample_ns = st.st_mtim.tv_sec * NS_PER_S + st.st_mtim.tv_nsec;
}

/* --- to run --- */

static uint64_t number_of(const struct kv *kv, const char *key)
{
	const char *text = kv_get(kv, key);
	uint64_t n = 0;

	if (!text || kv_parse_u64(key, text, 0, UINT64_MAX, &n, NULL) < 0)
		return 0;
	return n;
}

static int load(struct job *j, struct sample *s, struct err *e)
{
	int r = load_pairs(j, "/what", &s->what, e);

	s->job = j;
	if (r == 0)
		r = load_pairs(j, "/config", &s->config, e);
	if (r == 0)
		r = path_of(j, "/in.jsonl", &s->in);
	if (r == 0)
		r = path_of(j, "/out.jsonl", &s->out);
	if (r == 0)
		r = draft_path(j->draft, DRAFT_ROLE_MEDIA, &s->media);
	if (r < 0)
		return r;
	s->count = number_of(&s->what, "records");
	s->before.records = number_of(&s->what, "before_records");
	s->before.tokens.input = number_of(&s->what, "before_input");
	s->before.tokens.output = number_of(&s->what, "before_output");
	if (!kv_get(&s->what, "model") || !kv_get(&s->what, "token") || s->count == 0)
		return err_set(e, -EUCLEAN, "what is known of the sample is damaged");
	j->sample_counts.total = s->count;
	return 0;
}

static bool told(void *ctx, const struct counts *counts, const struct tokens *tokens)
{
	struct sample *s = ctx;
	struct job *j = s->job;
	int64_t now = clock_mono_ns(j->jobs->o.clock);

	j->sample_counts.good = counts->good;
	j->sample_counts.failed = counts->failed;
	s->tokens = *tokens;
	if (now - s->shown_mono_ns >= SHOWN_EVERY_NS) {
		s->shown_mono_ns = now;
		job_publish(j, JOB_HELD, "");
	}
	return !job_wishes(j).stop && !atomic_load(&j->removed) && !atomic_load(&j->jobs->stopping);
}

static int run(struct job *j, struct sample *s, struct err *e)
{
	CLEANUP(view_unrefp) struct view *v = job_view(j); /* told() has others made */
	struct backend *b = j->jobs->o.backend;
	const struct backend_part part = {.token = kv_get(&s->what, "token"),
					  .job_name = v->name,
					  .model = kv_get(&s->what, "model"),
					  .config = &s->config,
					  .input_path = s->in,
					  .media_path = s->media,
					  .record_count = s->count,
					  .attempt = 1};

	if (!b->ops->run_now)
		return err_set(e, -EINVAL, "this source runs nothing on demand");
	return b->ops->run_now(b, &part, s->out, told, s, e);
}

/* --- to end --- */

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* The lines there are, in the order of the input; none: no file. */
static int join(struct job *j, struct sample *s, struct collect_summary *sum, struct err *e)
{
	CLEANUP(str_freep) char *results = NULL;
	CLEANUP(str_freep) char *output = NULL;
	CLEANUP(str_freep) char *path = NULL;
	const char *const paths[] = {s->out};
	const struct collect_request q = {.input_path = s->in,
					  .scratch_dir = j->jobs->scratch_dir,
					  .paths = paths,
					  .path_count = access(s->out, F_OK) == 0,
					  .model = kv_get(&s->what, "model"),
					  .missing_reason = "the sample was stopped before",
					  .cancel = &j->jobs->stopping};
	struct collect_request with_dir = q;
	struct stat st;
	int r = path_of(j, "/results", &results);

	if (r == 0)
		r = path_of(j, "/results/output.jsonl", &output);
	if (r == 0)
		r = path_of(j, ".jsonl", &path);
	if (r == 0)
		r = dirs_remove(results, e);
	if (r < 0)
		return r;
	with_dir.results_dir = results;
	r = collect_run(&with_dir, sum, e);
	if (r < 0 || sum->counts.good + sum->counts.failed == 0)
		return r;
	if (rename(output, path) < 0 || stat(path, &st) < 0)
		return err_errno(e, -errno, "cannot make %s", path);
	j->sample_ns = st.st_mtim.tv_sec * NS_PER_S + st.st_mtim.tv_nsec;
	j->row.names_ns = clock_wall_ns(j->jobs->o.clock);
	r = fdio_sync_directory_of(path);
	return r < 0 ? err_errno(e, r, "cannot sync %s", j->dir) : 0;
}

static void log_end(struct job *j, const struct sample *s, const struct counts *c,
		    const struct tokens *t)
{
	struct backend *b = j->jobs->o.backend;
	char money[64] = "";
	struct price price;

	if (b->ops->price && b->ops->price(b, kv_get(&s->what, "model"), &price))
		snprintf(money, sizeof(money), ", %.6f USD at the on-demand price",
			 cost_usd(t, price.demand_in, price.demand_out));
	job_log(j, "sample: %llu of %llu records answered, %llu good; %llu tokens in, %llu out%s",
		(unsigned long long)(c->good + c->failed), (unsigned long long)s->count,
		(unsigned long long)c->good, (unsigned long long)t->input,
		(unsigned long long)t->output, money);
}

/* The draft is looked at again after it. */
static int finish(struct job *j, struct sample *s, struct err *e)
{
	struct collect_summary sum = {0};
	struct err late = ERR_INIT;
	struct tokens t;
	int r = join(j, s, &sum, e);

	if (r < 0)
		return r;
	t.input = larger(sum.tokens.input, s->tokens.input);
	t.output = larger(sum.tokens.output, s->tokens.output);
	j->row.sample.records = s->before.records + sum.counts.good + sum.counts.failed;
	j->row.sample.tokens.input = s->before.tokens.input + t.input;
	j->row.sample.tokens.output = s->before.tokens.output + t.output;
	r = job_save(j, e);
	if (r == 0)
		r = job_drop_wishes(j, (struct store_wishes){.sample = 1, .stop = true}, e);
	if (r < 0)
		return r;
	j->sampling = j->sample_resumes = false;
	j->sample_counts = (struct counts){0};
	if (clear(j, &late) < 0)
		log_warning("sample", "%s", late.text);
	log_end(j, s, &sum.counts, &t);
	return 1;
}

int sample_run(struct job *j, struct err *e)
{
	CLEANUP(sample_release) struct sample s = SAMPLE_INIT;
	struct err refused = ERR_INIT;
	int r;

	if (j->lane != LANE_NOW)
		return go_on(j);
	r = load(j, &s, e);
	if (r < 0)
		return job_wishes(j).stop ? give_up(j, e) : r;
	if (!job_wishes(j).stop)
		r = run(j, &s, &refused);
	if (atomic_load(&j->jobs->stopping) || atomic_load(&j->removed))
		return 0;
	if (r == -EINVAL) {
		job_log(j, "sample: refused: %s", refused.text);
		str_freep(&j->sample_error);
		j->sample_error = strdup(refused.text);
	} else if (r < 0 && !job_wishes(j).stop) {
		*e = refused;
		return r == -ECANCELED ? -EAGAIN : r;
	}
	return finish(j, &s, e);
}

/* --- to read --- */

int job_sample_open(const struct job *j, int *ret)
{
	CLEANUP(str_freep) char *path = NULL;
	int fd, r = path_of(j, ".jsonl", &path);

	if (r < 0)
		return r;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret = fd;
	return 0;
}

int job_sample_stat(const struct job *j, struct stat *ret)
{
	CLEANUP(str_freep) char *path = NULL;
	int r = path_of(j, ".jsonl", &path);

	if (r < 0)
		return r;
	return stat(path, ret) < 0 ? -errno : 0;
}
