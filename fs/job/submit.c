/*
 * From a draft to running parts.
 *
 * The crash argument: a part's token is in the store, with the phase, before
 * its input is put anywhere; its create call carries that token, so a start
 * after a crash repeats the same call and gets the same part.  The inputs are
 * sealed before the phase is stored, and a stored phase seals them again.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "fs/base/log.h"
#include "fs/job/input.h"
#include "fs/job/jobs_private.h"
#include "fs/job/stage.h"

/* "bf-" and 32 hex digits: within every provider's alphabet for tokens. */
static int make_token(char **ret, struct err *e)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT(BACKEND_TOKEN_MAX);
	unsigned char bytes[16];

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return err_errno(e, -EIO, "no random bytes for a token");
	buf_add_str(&text, "bf-");
	for (size_t i = 0; i < sizeof(bytes); i++)
		buf_addf(&text, "%02x", bytes[i]);
	*ret = buf_steal(&text);
	return *ret ? 0 : -ENOMEM;
}

int submit_add_part(struct job *j, uint32_t attempt, uint64_t record_count, struct err *e)
{
	struct store_part *parts =
		realloc(j->parts, (j->part_count + 1) * sizeof(struct store_part));
	struct store_part *p;
	int r;

	if (!parts)
		return err_set(e, -ENOMEM, "no memory for a part");
	j->parts = parts;
	p = &parts[j->part_count];
	*p = (struct store_part)STORE_PART_INIT;
	p->job = j->number;
	p->attempt = attempt;
	p->seq = 1;
	p->phase = PART_PLANNED;
	p->record_count = record_count;
	p->created_ns = clock_wall_ns(j->jobs->o.clock);
	r = make_token(&p->token, e);
	if (r < 0)
		return r;
	j->part_count++;
	return 0;
}

static void drop_last_part(struct job *j)
{
	store_part_release(&j->parts[--j->part_count]);
}

/* --- the draft --- */

/* Settings of JOB/config over those of the mount. */
struct settings {
	bool manual;
	int64_t settle_ns, settle_input_ns;
};

static void read_settings(struct job *j, struct settings *ret)
{
	CLEANUP(kv_release) struct kv kv = KV_INIT;
	const struct jobs_options *o = &j->jobs->o;
	const char *v;
	double s;

	*ret = (struct settings){.manual = o->submit_manual,
				 .settle_ns = o->settle_ns,
				 .settle_input_ns = o->settle_input_ns};
	if (draft_config(j->draft, &kv, NULL) < 0)
		return; /* then the verdict is not "ready" either */
	if ((v = kv_get(&kv, "submit")))
		ret->manual = strcmp(v, "manual") == 0;
	if ((v = kv_get(&kv, "settle")) && kv_parse_double("settle", v, 0, 86400, &s, NULL) == 0)
		ret->settle_ns = (int64_t)(s * (double)NS_PER_S);
	if ((v = kv_get(&kv, "settle_input")) &&
	    kv_parse_double("settle_input", v, 0, 86400, &s, NULL) == 0)
		ret->settle_input_ns = (int64_t)(s * (double)NS_PER_S);
}

/* What the backend cannot take is said before anything is sealed. */
static bool fits(struct job *j, const struct draft_summary *sum, struct buf *error)
{
	struct backend *b = j->jobs->o.backend;
	struct backend_limits l;

	b->ops->limits(b, j->row.model, &l);
	if (sum->record_count < l.records_min) {
		buf_addf(error,
			 "input.jsonl: %llu records, and this source takes no job under %llu; add "
			 "records\n",
			 (unsigned long long)sum->record_count, (unsigned long long)l.records_min);
		return false;
	}
	if (sum->record_count > l.records_max_per_part ||
	    sum->input_size_bytes > l.bytes_max_per_part) {
		buf_addf(error,
			 "input.jsonl: %llu records and %llu bytes are more than one job of this "
			 "source takes (%llu records, %llu bytes); split it into several jobs\n",
			 (unsigned long long)sum->record_count,
			 (unsigned long long)sum->input_size_bytes,
			 (unsigned long long)l.records_max_per_part,
			 (unsigned long long)l.bytes_max_per_part);
		return false;
	}
	return true;
}

/* Seals and stores the intent.  1: go on; 0: something happened meanwhile. */
static int submit_now(struct job *j, const struct draft_summary *sum, struct err *e)
{
	struct wishes w = job_wishes(j);
	int r;

	if (!draft_seal(j->draft, sum)) {
		job_poke(j);
		return 0;
	}
	j->row.attempt = 1;
	j->row.submitted_ns = clock_wall_ns(j->jobs->o.clock);
	j->settle_due_ns = 0;
	r = submit_add_part(j, 1, sum->record_count, e);
	if (r == 0) {
		r = job_move(j, EV_SUBMIT, e);
		if (r < 0)
			drop_last_part(j);
	}
	if (r < 0) {
		j->row.attempt = 0;
		j->row.submitted_ns = 0;
		draft_set_seal(j->draft, DRAFT_OPEN);
		return r;
	}
	w.held = w.submit = false;
	job_set_wishes(j, w);
	job_log(j, "submitted: %llu records, %llu bytes, model %s",
		(unsigned long long)sum->record_count, (unsigned long long)sum->input_size_bytes,
		j->row.model);
	job_publish(j, JOB_UPLOADING, "");
	return 1;
}

/* A part that was refused keeps its words until the user changes something. */
static bool is_refused_still(struct job *j, const struct draft_summary *sum)
{
	if (!j->row.error)
		return false;
	if (j->refused_events == 0)
		j->refused_events = sum->events;
	if (j->refused_events == sum->events)
		return true;
	str_freep(&j->row.error);
	j->refused_events = 0;
	return false;
}

static int decide(struct job *j, const struct draft_summary *sum, const struct settings *set,
		  struct err *e)
{
	struct wishes w = job_wishes(j);
	int64_t wait, now = clock_mono_ns(j->jobs->o.clock);

	if ((w.held || set->manual) && !w.submit) {
		job_publish(j, JOB_HELD, "");
		return 0;
	}
	wait = sum->touched_ns + (sum->input_last ? set->settle_input_ns : set->settle_ns) - now;
	if (wait > 0 && !w.submit) {
		/* A fixed point, so that the view does not change while waiting. */
		if (j->settle_touched_ns != sum->touched_ns)
			j->settle_due_ns = clock_wall_ns(j->jobs->o.clock) + wait;
		j->settle_touched_ns = sum->touched_ns;
		job_publish(j, JOB_SETTLING, "");
		job_due_in(j, wait);
		return 0;
	}
	return submit_now(j, sum, e);
}

int submit_draft(struct job *j, struct err *e)
{
	CLEANUP(buf_release) struct buf error = BUF_INIT(256 * 1024);
	struct draft_summary sum;
	struct settings set;
	int r;

	r = draft_check(j->draft, &sum, &error, e);
	if (r < 0)
		return r;
	j->row.record_count = sum.record_count;
	j->row.input_size_bytes = sum.input_size_bytes;
	str_freep(&j->row.model);
	if (sum.verdict == DRAFT_READY) {
		r = draft_model(j->draft, &j->row.model, e);
		if (r == -ENOENT)
			return 0; /* gone again: that event is on its way */
		if (r < 0)
			return r;
		if (!fits(j, &sum, &error))
			sum.verdict = DRAFT_FAULTY;
		else if (is_refused_still(j, &sum)) {
			buf_addf(&error, "%s\n", j->row.error);
			sum.verdict = DRAFT_FAULTY;
		}
	}
	if (sum.verdict == DRAFT_READY) {
		read_settings(j, &set);
		return decide(j, &sum, &set, e);
	}
	job_publish(j, sum.verdict == DRAFT_FAULTY ? JOB_INVALID : JOB_DRAFT, error.data);
	return 0;
}

/* --- staging --- */

static int part_path(const struct job *j, const struct store_part *p, char **ret)
{
	return asprintf(ret, "%s/parts/a%up%u.jsonl", j->dir, p->attempt, p->seq) < 0 ? -ENOMEM : 0;
}

static int make_parts_dir(const struct job *j, struct err *e)
{
	CLEANUP(str_freep) char *dir = NULL;

	if (asprintf(&dir, "%s/parts", j->dir) < 0)
		return -ENOMEM;
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return err_errno(e, -errno, "cannot make %s", dir);
	return 0;
}

/* The input of a first attempt is the user's file. */
static int stage_input(struct job *j, struct store_part *p, const char *path, struct err *e)
{
	CLEANUP(str_freep) char *source = NULL;
	CLEANUP(fd_closep) int fd = -1;
	struct input *in = draft_sealed_input(j->draft), *own = NULL;
	int r = draft_path(j->draft, DRAFT_ROLE_INPUT, &source);

	if (r < 0 || !source)
		return err_set(e, r < 0 ? r : -ENOENT, "input.jsonl is gone");
	fd = open(source, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(e, -errno, "cannot open %s", source);
	if (!in) {
		r = input_new(j->jobs->scratch_dir, &own, e);
		if (r == 0)
			r = input_rescan(own, fd, &j->jobs->stopping, e);
		in = own;
	}
	if (r == 0)
		r = stage_part(in, fd, source, p->first, p->record_count, path, e);
	input_free(own);
	return r;
}

/* The input of a retry is what the results before it call retry.jsonl. */
static int stage_retry(struct job *j, struct store_part *p, const char *path, struct err *e)
{
	uint64_t size = 0, done = 0;
	const char *bytes;
	CLEANUP(str_freep) char *tmp = NULL;
	CLEANUP(fd_closep) int fd = -1;

	if (access(path, F_OK) == 0)
		return 0; /* made before a crash: it is renamed only when it is whole */
	if (!j->results)
		return err_set(e, -EAGAIN, "the results before this retry are being read");
	bytes = results_bytes(j->results, RESULTS_RETRY, &size);
	if (asprintf(&tmp, "%s.tmp", path) < 0)
		return -ENOMEM;
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(e, -errno, "cannot make %s", tmp);
	while (done < size) {
		ssize_t n = write(fd, bytes + done, size - done);

		if (n < 0 && errno != EINTR)
			return err_errno(e, -errno, "cannot write %s", tmp);
		done += n > 0 ? (uint64_t)n : 0;
	}
	if (fsync(fd) < 0 || rename(tmp, path) < 0)
		return err_errno(e, -errno, "cannot write %s", path);
	p->size_bytes = size;
	return 0;
}

static int describe_part(struct job *j, const struct store_part *p, const char *path,
			 struct kv *config, char **media, struct backend_part *ret, struct err *e)
{
	int r = draft_config(j->draft, config, e);

	if (r == 0)
		r = draft_path(j->draft, DRAFT_ROLE_MEDIA, media);
	*ret = (struct backend_part){.token = p->token,
				     .job_name = j->view->name,
				     .model = j->row.model,
				     .config = config,
				     .input_path = path,
				     .media_path = *media,
				     .record_count = p->record_count,
				     .attempt = p->attempt};
	return r;
}

static int stage_one(struct job *j, struct store_part *p, struct err *e)
{
	CLEANUP(kv_release) struct kv config = KV_INIT;
	CLEANUP(str_freep) char *path = NULL;
	CLEANUP(str_freep) char *media = NULL;
	struct backend *b = j->jobs->o.backend;
	struct backend_part part;
	int r = part_path(j, p, &path);

	if (r == 0)
		r = p->attempt == 1 ? stage_input(j, p, path, e) : stage_retry(j, p, path, e);
	if (r == 0)
		r = describe_part(j, p, path, &config, &media, &part, e);
	if (r == 0)
		r = b->ops->put_input(b, &part, e);
	if (r == 0)
		p->phase = PART_STAGED;
	return r;
}

static bool is_current(const struct job *j, const struct store_part *p)
{
	return p->attempt == j->row.attempt;
}

/* Gives up on parts that were never created. */
static void drop_parts(struct job *j)
{
	for (size_t i = 0; i < j->part_count; i++)
		if (is_current(j, &j->parts[i]) && j->parts[i].phase < PART_CREATED)
			j->parts[i].phase = PART_DROPPED;
}

/* The provider will not have it.  A first attempt goes back to the user, who
 * can mend it; a retry leaves the results that were. */
static int refuse(struct job *j, const char *words, struct err *e)
{
	int r;

	job_log(j, "refused: %s", words);
	str_freep(&j->row.error);
	j->row.error = strdup(words);
	if (j->row.attempt > 1) {
		drop_parts(j);
		r = job_move(j, EV_OVER, e);
		return r < 0 ? r : 1;
	}
	/* The token must not be used again: the next submission is another. */
	drop_parts(j);
	j->row.submitted_ns = 0;
	r = job_move(j, EV_REFUSED, e);
	if (r < 0)
		return r;
	j->row.attempt = 0;
	while (j->part_count > 0)
		drop_last_part(j);
	j->refused_events = 0;
	draft_set_seal(j->draft, DRAFT_OPEN);
	return 1;
}

int submit_stage(struct job *j, struct err *e)
{
	int r;

	job_publish(j, JOB_UPLOADING, "");
	if (job_wishes(j).stop) {
		drop_parts(j);
		r = job_move(j, EV_OVER, e);
		return r < 0 ? r : 1;
	}
	r = draft_sync_all(j->draft, e);
	if (r == 0)
		r = make_parts_dir(j, e);
	for (size_t i = 0; i < j->part_count && r == 0; i++)
		if (is_current(j, &j->parts[i]) && j->parts[i].phase == PART_PLANNED)
			r = stage_one(j, &j->parts[i], e);
	if (r == -EINVAL)
		return refuse(j, e->text, e);
	if (r == 0)
		r = job_move(j, EV_STAGED, e);
	return r < 0 ? r : 1;
}

/* --- running --- */

static int create_one(struct job *j, struct store_part *p, struct err *e)
{
	CLEANUP(kv_release) struct kv config = KV_INIT;
	CLEANUP(str_freep) char *path = NULL;
	CLEANUP(str_freep) char *media = NULL;
	struct backend *b = j->jobs->o.backend;
	struct backend_part part;
	int r = part_path(j, p, &path);

	if (r == 0)
		r = describe_part(j, p, path, &config, &media, &part, e);
	if (r == 0)
		r = b->ops->create(b, &part, &p->remote, e);
	if (r < 0)
		return r;
	p->phase = PART_CREATED;
	p->state = JOB_SUBMITTED;
	/* If this is lost in a crash the call is repeated with the same token. */
	return job_save(j, e);
}

static int create_parts(struct job *j, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < j->part_count && r == 0; i++)
		if (is_current(j, &j->parts[i]) && j->parts[i].phase == PART_STAGED)
			r = create_one(j, &j->parts[i], e);
	return r;
}

static int stop_parts(struct job *j, struct err *e)
{
	struct backend *b = j->jobs->o.backend;
	int r = 0;

	drop_parts(j);
	for (size_t i = 0; i < j->part_count && r == 0; i++)
		if (is_current(j, &j->parts[i]) && j->parts[i].phase == PART_CREATED)
			r = b->ops->stop(b, j->parts[i].remote, e);
	return r;
}

/* The most telling state among the parts of the attempt, and their words. */
static enum job_state running_state(const struct job *j, struct buf *words)
{
	enum job_state best = JOB_QUEUED;

	for (size_t i = 0; i < j->part_count; i++) {
		const struct store_part *p = &j->parts[i];

		if (!is_current(j, p) || p->phase != PART_CREATED || p->state < 0)
			continue;
		if (p->message && p->message[0])
			buf_addf(words, "%s\n", p->message);
		if ((enum job_state)p->state > best && !job_state_is_end((enum job_state)p->state))
			best = (enum job_state)p->state;
	}
	return best;
}

static bool is_over(const struct job *j)
{
	for (size_t i = 0; i < j->part_count; i++)
		if (is_current(j, &j->parts[i]) && j->parts[i].phase < PART_ENDED)
			return false;
	return true;
}

int submit_run(struct job *j, struct err *e)
{
	CLEANUP(buf_release) struct buf words = BUF_INIT(64 * 1024);
	enum job_state state;
	bool stop = job_wishes(j).stop;
	int r = 0;

	track_take(j);
	if (stop && !j->stop_sent) {
		r = stop_parts(j, e);
		j->stop_sent = r == 0;
	} else if (!stop) {
		r = create_parts(j, e);
	}
	if (r == -EINVAL)
		return refuse(j, e->text, e);
	track_watch(j);
	if (r < 0)
		return r;
	if (is_over(j)) {
		r = job_move(j, EV_OVER, e);
		return r < 0 ? r : 1;
	}
	state = running_state(j, &words);
	job_publish(j, stop ? JOB_STOPPING : state, words.data);
	return 0;
}
