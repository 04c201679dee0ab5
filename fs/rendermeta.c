/* The files of .batchfs/: about the mount itself. */

#include <string.h>

#include "fs/base/clock.h"
#include "fs/job/machine.h"
#include "fs/render.h"
#include "fs/version.h"

static const char readme[] =
	"This is a batchfs mount: a directory here is one LLM batch-inference job.\n"
	"\n"
	"    mkdir NAME                          a new job\n"
	"    cp my.jsonl NAME/input.jsonl        its records, one JSON object a line:\n"
	"                                        {\"recordId\":\"r1\",\"modelInput\":{...}}\n"
	"    echo MODEL > NAME/model             both are there: it is submitted\n"
	"    cat NAME/status NAME/progress       how it is\n"
	"    cat NAME/wait                       returns when it has ended\n"
	"    ls NAME/output NAME/text            a file per record\n"
	"    NAME/output.jsonl  results.csv      all of them\n"
	"    NAME/errors.jsonl  retry.jsonl      what failed, and its input\n"
	"    cat NAME/error                      why it is Invalid or Failed, and the cure\n"
	"    cat NAME/ctl                        commands legal now; echo one there\n"
	"    rm -r NAME                          forget it\n"
	"\n"
	"Commands for ctl: submit, hold, stop, retry (only what failed or is missing),\n"
	"refresh.\n"
	"\n"
	"NAME/config, optional, before submission: lines of `key = value`.\n"
	"    submit = auto | manual       manual waits for `echo submit > ctl`\n"
	"    settle = SECONDS             quiet time before submission, model came last\n"
	"    settle_input = SECONDS       the same when the input came last\n"
	"    small = refuse | pad | ondemand   of a job of fewer records than are taken\n"
	"    retry_max = N                attempts without being asked, of what may go better\n"
	"    dedupe = yes | no            equal records are sent once\n"
	"Further keys are those of the model's engine, or of bedrock: (role, timeout,\n"
	"invocation, tags, kms_key, subnets, security_groups, max_cost); see batchfs(1).\n"
	"\n"
	"Models: .batchfs/models.  All jobs: .batchfs/jobs.  What happened: .batchfs/events.\n";

static const char readme_sample[] =
	"\n"
	"`echo sample 5 > NAME/ctl`, before submission, runs the first five records on\n"
	"demand into NAME/sample.jsonl and holds the job: look, then `echo submit > NAME/ctl`.\n"
	"`echo retry ondemand > NAME/ctl` runs what failed or is missing one by one.\n";

static const char readme_pad[] =
	"\n"
	"`echo retry pad > NAME/ctl` fills a retry of few records up to what the source\n"
	"takes at least, with records that cost as little as can be.\n";

static const char readme_elsewhere[] =
	"\n"
	"Jobs made elsewhere are here as well. Their input and results come with\n"
	"`echo fetch > NAME/ctl`, or when NAME/wait is read.\n";

static const char readme_purge[] =
	"\n"
	"`echo purge > NAME/ctl`, of a job that has ended, deletes what the source keeps\n"
	"of it; results that are here stay.\n";

static void render_readme(const struct tree *t, struct buf *out)
{
	struct backend *b = t->backend;

	buf_add_str(out, readme);
	if (b->ops->run_now)
		buf_add_str(out, readme_sample);
	if (b->ops->pad_record)
		buf_add_str(out, readme_pad);
	if (b->ops->purge)
		buf_add_str(out, readme_purge);
	if (b->ops->lists_jobs && b->ops->lists_jobs(b))
		buf_add_str(out, readme_elsewhere);
}

/* Parts of the newest attempt: ended, created, and all. */
static void format_parts(const struct view *v, char *out, size_t size)
{
	unsigned ended = 0, created = 0, all = 0;

	for (size_t i = 0; i < v->part_count; i++) {
		const struct view_part *p = &v->parts[i];

		if (p->attempt != v->attempt)
			continue;
		all++;
		ended += p->phase == PART_ENDED || p->phase == PART_PURGED;
		created += p->phase == PART_CREATED;
	}
	if (all > 0)
		snprintf(out, size, "%u/%u/%u", ended, ended + created, all);
	else
		snprintf(out, size, "-");
}

static void render_jobs(const struct tree *t, struct buf *out)
{
	struct job *j;

	buf_addf(out, "%-20s %-8s %10s %10s %8s  %-20s  %14s %6s  %s\n", "STATUS", "ATTEMPT",
		 "RECORDS", "GOOD", "FAILED", "SUBMITTED", "PARTS", "QUEUE", "NAME");
	for (uint64_t after = 0; (j = jobs_next(t->jobs, after)); job_unref(j)) {
		struct view *v = job_view(j);
		unsigned place = job_queue_place(j);
		char when[CLOCK_TEXT_MAX] = "-", parts[40], queue[16] = "-";
		char name[JOB_NAME_MAX + 1];

		after = job_number(j);
		if (v->submitted_ns)
			clock_format_utc(v->submitted_ns, when);
		job_name(j, name);
		format_parts(v, parts, sizeof(parts));
		if (place > 0)
			snprintf(queue, sizeof(queue), "%u", place);
		buf_addf(out, "%-20s %-8u %10llu %10llu %8llu  %-20s  %14s %6s  %s\n",
			 view_status(v), v->attempt, (unsigned long long)v->record_count,
			 (unsigned long long)v->counts.good, (unsigned long long)v->counts.failed,
			 when, parts, queue, name);
		view_unref(v);
	}
}

static void render_metrics(const struct tree *t, struct buf *out)
{
	uint64_t states[JOB_STATE_COUNT] = {0};
	struct counts c = {0};
	struct tokens tokens = {0};
	struct job *j;

	for (uint64_t after = 0; (j = jobs_next(t->jobs, after)); job_unref(j)) {
		struct view *v = job_view(j);

		after = job_number(j);
		states[v->state]++;
		c.total += v->counts.total;
		c.good += v->counts.good;
		c.failed += v->counts.failed;
		tokens.input += v->tokens.input;
		tokens.output += v->tokens.output;
		view_unref(v);
	}
	buf_add_str(out, "# HELP batchfs_jobs Jobs by status.\n# TYPE batchfs_jobs gauge\n");
	for (int s = 0; s < JOB_STATE_COUNT; s++)
		buf_addf(out, "batchfs_jobs{status=\"%s\"} %llu\n",
			 job_state_name((enum job_state)s), (unsigned long long)states[s]);
	buf_add_str(out, "# HELP batchfs_records Records of all jobs by result.\n"
			 "# TYPE batchfs_records gauge\n");
	buf_addf(out, "batchfs_records{result=\"total\"} %llu\n", (unsigned long long)c.total);
	buf_addf(out, "batchfs_records{result=\"good\"} %llu\n", (unsigned long long)c.good);
	buf_addf(out, "batchfs_records{result=\"failed\"} %llu\n", (unsigned long long)c.failed);
	buf_add_str(out,
		    "# HELP batchfs_tokens Tokens of all jobs.\n# TYPE batchfs_tokens gauge\n");
	buf_addf(out, "batchfs_tokens{direction=\"input\"} %llu\n",
		 (unsigned long long)tokens.input);
	buf_addf(out, "batchfs_tokens{direction=\"output\"} %llu\n",
		 (unsigned long long)tokens.output);
	buf_add_str(out, "# HELP batchfs_mounted_seconds When the mount was made, Unix time.\n"
			 "# TYPE batchfs_mounted_seconds gauge\n");
	buf_addf(out, "batchfs_mounted_seconds %lld\n", (long long)(t->mounted_ns / NS_PER_S));
	if (t->backend->ops->metrics)
		t->backend->ops->metrics(t->backend, out);
}

/* The last change of any job. */
static int64_t newest(const struct tree *t)
{
	int64_t ns = jobs_names_ns(t->jobs), queue_ns = jobs_queue_ns(t->jobs);
	struct job *j;

	for (uint64_t after = 0; (j = jobs_next(t->jobs, after)); job_unref(j)) {
		struct view *v = job_view(j);

		after = job_number(j);
		if (v->times_ns[VIEW_TIME_ANY] > ns)
			ns = v->times_ns[VIEW_TIME_ANY];
		view_unref(v);
	}
	return queue_ns > ns ? queue_ns : ns;
}

int render_meta(const struct tree *t, enum kind k, struct buf *out, int64_t *ret_ns)
{
	buf_init(out, RENDER_MAX);
	*ret_ns = t->mounted_ns;
	switch ((int)k) {
	case KIND_META_README:
		render_readme(t, out);
		break;
	case KIND_META_SOURCE:
		buf_addf(out, "%s\n", t->source);
		break;
	case KIND_META_VERSION:
		buf_addf(out, "batchfs %s\n", BATCHFS_VERSION);
		break;
	case KIND_META_JOBS:
		render_jobs(t, out);
		*ret_ns = newest(t);
		break;
	case KIND_META_METRICS:
		render_metrics(t, out);
		*ret_ns = newest(t);
		break;
	case KIND_META_MODELS:
		t->backend->ops->models(t->backend, out);
		break;
	default:
		return -EINVAL;
	}
	return buf_error(out);
}
