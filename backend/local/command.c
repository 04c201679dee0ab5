#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "backend/envelope.h"
#include "backend/local/coproc.h"
#include "backend/local/engine.h"
#include "fs/base/log.h"

/*
 * The engine for programs: a line {"recordId","modelInput"} goes in, a line
 * {"recordId","modelOutput"} or {"recordId","error":{...}} comes back, in any
 * order.
 *
 * Several workers run the same command; a worker is started when there is a
 * record for it.  At most `outstanding` records are with a worker, and all
 * pipes are non-blocking, so that neither side waits for the other for ever.
 *
 * A program that ends with records outstanding takes them with it, and which
 * of them it died of is not known.  So each gets another try (max_attempts, 2)
 * and is then alone with a worker; it fails with "CommandExited" when its
 * tries are used up.  A program that ends STREAK_MAX times in a row without
 * one answer is itself the matter: the run pauses, keeps its records, and
 * tries with one record at a time and growing delay until there is an answer.
 *
 * The time of a record runs from when it is the oldest one of its worker: most
 * programs take one after the other, and the others only wait.
 */

#define WORKERS_MAX	64
#define OUTSTANDING_MAX 64
#define OUTSTANDING	4
#define ATTEMPTS	2
#define TIMEOUT_S	600
#define STREAK_MAX	5
#define DELAY_FIRST_NS	(250 * NS_PER_MS)
#define DELAY_MAX_NS	(30 * NS_PER_S)
#define GRACE_MS	2000
#define ANSWER_MAX	(64u * 1024 * 1024)
#define LOG_LINES_MAX	1000 /* of one run, from standard error and about answers */

struct task {
	struct feed_record *record; /* the feed's */
	unsigned tries;
};

struct worker {
	struct coproc process;
	struct task tasks[OUTSTANDING_MAX]; /* oldest first */
	size_t count;
	size_t scanned; /* bytes of process.output without a newline in them */
	bool answered;	/* anything, since it was started */
	int64_t oldest_since_mono_ns, start_mono_ns;
};

struct boss {
	const struct engine_job *job;
	struct feed *feed;
	struct coproc_options options;
	char *env[COPROC_ENV_MAX + 1]; /* owned; NULL at the end */
	size_t worker_count, outstanding;
	unsigned max_attempts, streak, log_lines;
	int64_t timeout_ns;
	bool drained;
	struct buf id, code, message;
	struct task again[WORKERS_MAX * OUTSTANDING_MAX]; /* to be tried once more */
	size_t again_first, again_count;
	struct worker workers[WORKERS_MAX];
};

static const struct engine_key keys[] = {
	{.name = "command", .type = ENGINE_TEXT},
	{.name = "workers", .type = ENGINE_NUMBER, .min = 1, .max = WORKERS_MAX},
	{.name = "outstanding", .type = ENGINE_NUMBER, .min = 1, .max = OUTSTANDING_MAX},
	{.name = "cwd", .type = ENGINE_TEXT},
	{.name = "env.", .type = ENGINE_TEXT},
	{.name = NULL},
};

static bool is_running(const struct worker *w)
{
	return w->process.pid != 0;
}

static bool is_paused(const struct boss *b)
{
	return b->streak >= STREAK_MAX;
}

static int64_t now_of(const struct boss *b)
{
	return clock_mono_ns(b->job->clock);
}

static bool may_log(struct boss *b)
{
	return b->log_lines < LOG_LINES_MAX && ++b->log_lines;
}

static void log_stderr(void *ctx, const char *text)
{
	struct boss *b = ctx;

	if (may_log(b))
		log_info("command", "model=%s says: %s", b->job->model, text);
}

static void try_again(struct boss *b, struct task t)
{
	assert(b->again_count < COUNT_OF(b->again));
	b->again[(b->again_first + b->again_count++) % COUNT_OF(b->again)] = t;
}

static struct task take_again(struct boss *b)
{
	struct task t = b->again[b->again_first];

	b->again_first = (b->again_first + 1) % COUNT_OF(b->again);
	b->again_count--;
	return t;
}

static struct task take_task(struct boss *b, struct worker *w, size_t i)
{
	struct task t = w->tasks[i];

	w->count--;
	memmove(&w->tasks[i], &w->tasks[i + 1], (w->count - i) * sizeof(t));
	if (i == 0)
		w->oldest_since_mono_ns = now_of(b);
	return t;
}

/* Room for a record that must be alone, or for one that need not? */
static bool has_room(const struct boss *b, const struct worker *w, bool alone)
{
	if (w->count == 0)
		return true;
	if (alone || is_paused(b) || w->tasks[0].tries > 0)
		return false;
	return w->count < b->outstanding;
}

/* An idle worker that runs, else one to be started, else the least busy. */
static struct worker *pick_worker(struct boss *b, bool alone)
{
	struct worker *best = NULL, *startable = NULL;
	int64_t now = now_of(b);
	size_t busy = 0;

	for (size_t i = 0; i < b->worker_count; i++) {
		struct worker *w = &b->workers[i];

		busy += w->count > 0;
		if (is_running(w)) {
			if (w->process.in_fd >= 0 && has_room(b, w, alone) &&
			    (!best || w->count < best->count))
				best = w;
		} else if (w->start_mono_ns <= now && !startable) {
			startable = w;
		}
	}
	if (is_paused(b) && busy)
		return NULL;
	if (best && best->count == 0)
		return best;
	return startable ? startable : best;
}

/* The program failed as such; the longer it goes on, the rarer it is tried. */
static void back_off(struct boss *b, struct worker *w, const char *reason)
{
	int64_t delay = DELAY_FIRST_NS;

	b->streak++;
	for (unsigned i = 1; i < b->streak && delay < DELAY_MAX_NS; i++)
		delay *= 2;
	w->start_mono_ns = now_of(b) + (delay < DELAY_MAX_NS ? delay : DELAY_MAX_NS);
	if (!is_paused(b))
		return;
	for (size_t i = 0; i < b->worker_count; i++)
		if (!is_running(&b->workers[i]))
			b->workers[i].start_mono_ns = w->start_mono_ns;
	feed_pause(b->feed, reason);
	if (b->streak == STREAK_MAX)
		log_warning("command", "paused model=%s: %s", b->job->model, reason);
}

static int start_worker(struct boss *b, struct worker *w)
{
	struct err e = ERR_INIT;
	int r = coproc_start(&w->process, &b->options, &e);

	if (r < 0) {
		b->streak = b->streak < STREAK_MAX ? STREAK_MAX - 1 : b->streak;
		back_off(b, w, e.text);
		return r;
	}
	w->answered = false;
	w->scanned = 0;
	return 0;
}

static void send_task(struct boss *b, struct worker *w, struct task t)
{
	struct buf *in = &w->process.input;

	buf_add_str(in, "{\"recordId\":");
	buf_add_json(in, t.record->id, t.record->id_size);
	buf_add_str(in, ",\"modelInput\":");
	buf_add(in, t.record->input.at, t.record->input.size);
	buf_add_str(in, "}\n");
	if (buf_error(in)) {
		/* A line may be half in: this program cannot be used any more. */
		coproc_close_input(&w->process);
		coproc_signal(&w->process, SIGKILL);
	}
	if (w->count == 0)
		w->oldest_since_mono_ns = now_of(b);
	w->tasks[w->count++] = t;
	coproc_write(&w->process);
}

/* Hands out what can be handed out. */
static int assign(struct boss *b, struct err *e)
{
	for (;;) {
		bool alone = b->again_count > 0;
		struct worker *w = pick_worker(b, alone);
		struct task t = {.record = NULL};
		int r;

		if (!w && alone && !is_paused(b)) {
			alone = false;
			w = pick_worker(b, false);
		}
		if (!w || (!alone && b->drained))
			return 0;
		if (alone) {
			t = take_again(b);
		} else {
			r = feed_next(b->feed, &t.record, e);
			b->drained = r == -ENODATA;
			if (r == -ENODATA || r == -EAGAIN)
				return 0;
			if (r < 0)
				return r;
		}
		if (!is_running(w) && start_worker(b, w) < 0) {
			try_again(b, t);
			continue;
		}
		send_task(b, w, t);
	}
}

static void take_answer(struct boss *b, struct worker *w, const char *line, size_t size)
{
	struct envelope v;
	struct task t;
	size_t i;

	if (size == 0)
		return;
	buf_clear(&b->id);
	if (envelope_parse(line, size, &v) < 0 || !jsonspan_string(v.id, &b->id)) {
		if (may_log(b))
			log_warning("command", "model=%s: a line of output is no answer: %.*s",
				    b->job->model, (int)(size < 200 ? size : 200), line);
		return;
	}
	for (i = 0; i < w->count; i++)
		if (w->tasks[i].record->id_size == b->id.size &&
		    memcmp(w->tasks[i].record->id, b->id.data, b->id.size) == 0)
			break;
	if (i == w->count) {
		if (may_log(b))
			log_warning("command", "model=%s: an answer nobody asked for id=%.200s",
				    b->job->model, b->id.data);
		return;
	}
	if (is_paused(b))
		feed_pause(b->feed, NULL);
	b->streak = 0;
	w->answered = true;
	t = take_task(b, w, i);
	if (v.good) {
		feed_good(b->feed, t.record, v.output.at, v.output.size, NULL);
		return;
	}
	buf_clear(&b->code);
	buf_clear(&b->message);
	envelope_code(&v, &b->code);
	envelope_message(&v, &b->message);
	feed_bad(b->feed, t.record, b->code.data, b->message.data, v.retryable);
}

static void take_lines(struct boss *b, struct worker *w)
{
	struct buf *out = &w->process.output;
	size_t begin = 0;

	for (;;) {
		const char *from = out->data + begin + w->scanned;
		const char *end = memchr(from, '\n', out->size - begin - w->scanned);

		if (!end)
			break;
		take_answer(b, w, out->data + begin, (size_t)(end - out->data) - begin);
		begin = (size_t)(end - out->data) + 1;
		w->scanned = 0;
	}
	if (begin == out->size) {
		buf_clear(out);
	} else if (begin) {
		memmove(out->data, out->data + begin, out->size - begin);
		out->size -= begin;
	}
	w->scanned = out->size;
}

/* Kills a worker over its oldest record; the others go elsewhere. */
static void give_up_oldest(struct boss *b, struct worker *w, const char *code, const char *message)
{
	char words[64];

	coproc_end(&w->process, words, sizeof(words));
	if (w->count)
		feed_bad(b->feed, take_task(b, w, 0).record, code, message, true);
	while (w->count)
		try_again(b, take_task(b, w, 0));
	w->start_mono_ns = now_of(b);
}

/* The program has ended, and all it wrote is read. */
static void bury(struct boss *b, struct worker *w)
{
	char words[64], message[COPROC_STDERR_LINE + 200];
	const char *last = w->process.last_error;

	coproc_end(&w->process, words, sizeof(words));
	w->start_mono_ns = now_of(b);
	if (w->count == 0)
		return;
	snprintf(message, sizeof(message), "the command ended with %s and left this unanswered%s%s",
		 words, last[0] ? "; it said last: " : "", last);
	if (!w->answered) {
		char reason[sizeof(message) + 200];

		snprintf(reason, sizeof(reason),
			 "the command of [model %.100s] ends without an answer (%s%s%s); trying "
			 "again, mend it or stop the job",
			 b->job->model, words, last[0] ? ": " : "", last);
		back_off(b, w, reason);
	}
	while (w->count) {
		struct task t = take_task(b, w, 0);

		/* The tries of a pause are not the record's fault. */
		t.tries += !is_paused(b) || t.tries == 0;
		if (t.tries < b->max_attempts || is_paused(b))
			try_again(b, t);
		else
			feed_bad(b->feed, t.record, "CommandExited", message, true);
	}
}

static void serve(struct boss *b, struct worker *w)
{
	/* First, so that what it wrote before its end is read after it. */
	bool ended = coproc_has_ended(&w->process);
	int64_t now = now_of(b);
	char message[100];
	int r;

	coproc_read_errors(&w->process, log_stderr, b);
	do {
		r = coproc_read(&w->process, ANSWER_MAX);
		take_lines(b, w);
	} while (r == 0 && ended && w->process.out_fd >= 0 && w->process.output.size >= ANSWER_MAX);
	if (r < 0 || w->process.output.size >= ANSWER_MAX) {
		give_up_oldest(b, w, "AnswerTooLarge", "the command wrote a line of over 64 MiB");
		return;
	}
	if (ended) {
		bury(b, w);
		return;
	}
	coproc_write(&w->process);
	if (w->count && now - w->oldest_since_mono_ns >= b->timeout_ns) {
		snprintf(message, sizeof(message), "no answer within %lld seconds (timeout_s)",
			 (long long)(b->timeout_ns / NS_PER_S));
		give_up_oldest(b, w, "Timeout", message);
	}
}

static void add_fd(struct pollfd *p, nfds_t *n, int fd, short events)
{
	if (fd >= 0)
		p[(*n)++] = (struct pollfd){.fd = fd, .events = events};
}

/* Waits for something to do. */
static void wait_for_work(struct boss *b)
{
	struct pollfd p[1 + 4 * WORKERS_MAX];
	nfds_t n = 0;
	int64_t now = now_of(b), due = now + 60 * NS_PER_S, ms;
	int tick = feed_tick(b->feed);

	add_fd(p, &n, b->feed->cancel_fd, POLLIN);
	for (size_t i = 0; i < b->worker_count; i++) {
		struct worker *w = &b->workers[i];
		int64_t when = w->start_mono_ns;

		if (is_running(w)) {
			add_fd(p, &n, w->process.pid_fd, POLLIN);
			add_fd(p, &n, w->process.out_fd, POLLIN);
			add_fd(p, &n, w->process.err_fd, POLLIN);
			if (w->process.input_done < w->process.input.size)
				add_fd(p, &n, w->process.in_fd, POLLOUT);
			when = w->count ? w->oldest_since_mono_ns + b->timeout_ns : due;
		}
		if (when > now && when < due)
			due = when;
	}
	ms = (due - now + NS_PER_MS - 1) / NS_PER_MS;
	if (tick >= 0 && tick < ms)
		ms = tick;
	poll(p, n, (int)ms);
}

static int work(struct boss *b, struct err *e)
{
	for (;;) {
		size_t under_way = 0;
		int r;

		if (feed_is_cancelled(b->feed))
			return -ECANCELED;
		r = assign(b, e);
		if (r < 0)
			return r;
		for (size_t i = 0; i < b->worker_count; i++)
			under_way += b->workers[i].count;
		if (under_way == 0 && b->again_count == 0 && b->drained)
			return 0;
		wait_for_work(b);
		for (size_t i = 0; i < b->worker_count; i++)
			if (is_running(&b->workers[i]))
				serve(b, &b->workers[i]);
	}
}

static void end_all(struct boss *b, bool cancelled)
{
	struct coproc *processes[WORKERS_MAX];

	for (size_t i = 0; i < b->worker_count; i++)
		processes[i] = &b->workers[i].process;
	coproc_end_all(processes, b->worker_count, cancelled ? 0 : GRACE_MS, GRACE_MS);
	for (size_t i = 0; i < b->worker_count; i++)
		while (b->workers[i].count)
			feed_drop(b->feed, take_task(b, &b->workers[i], 0).record);
	while (b->again_count)
		feed_drop(b->feed, take_again(b).record);
}

static int make_env(struct boss *b)
{
	const struct kv *d = b->job->definition;
	size_t n = 0;

	for (size_t i = 0; i < d->count && n < COPROC_ENV_MAX - 1; i++) {
		if (strncmp(d->pairs[i].key, "env.", 4) != 0)
			continue;
		if (asprintf(&b->env[n], "%s=%s", d->pairs[i].key + 4, d->pairs[i].value) < 0) {
			b->env[n] = NULL;
			return -ENOMEM;
		}
		n++;
	}
	if (b->job->media_path &&
	    asprintf(&b->env[n], "BATCHFS_MEDIA=%s", b->job->media_path) < 0) {
		b->env[n] = NULL;
		return -ENOMEM;
	}
	return 0;
}

static void boss_freep(struct boss **at)
{
	struct boss *b = *at;

	if (!b)
		return;
	for (size_t i = 0; i < b->worker_count; i++)
		coproc_release(&b->workers[i].process);
	for (size_t i = 0; b->env[i]; i++)
		free(b->env[i]);
	buf_release(&b->id);
	buf_release(&b->code);
	buf_release(&b->message);
	free(b);
	*at = NULL;
}

/* A write to a program that is gone is told by EPIPE, not by a signal. */
static int run_without_sigpipe(struct boss *b, struct err *e)
{
	const struct timespec now = {0, 0};
	sigset_t pipe_only, before;
	int r;

	sigemptyset(&pipe_only);
	sigaddset(&pipe_only, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
	r = work(b, e);
	end_all(b, r < 0);
	while (sigtimedwait(&pipe_only, NULL, &now) > 0)
		; /* what came stays with us */
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

static int run(const struct engine_job *job, struct feed *f, struct err *e)
{
	const struct engine *g = &engine_command;
	CLEANUP(boss_freep) struct boss *b = calloc(1, sizeof(*b));
	const char *cwd = engine_setting(g, job, "cwd");
	int r;

	if (!b)
		return err_set(e, -ENOMEM, "no memory to run commands");
	b->job = job;
	b->feed = f;
	b->worker_count = engine_number(g, job, "workers", 1);
	b->outstanding = engine_number(g, job, "outstanding", OUTSTANDING);
	b->max_attempts = (unsigned)engine_number(g, job, "max_attempts", ATTEMPTS);
	b->timeout_ns = (int64_t)engine_number(g, job, "timeout_s", TIMEOUT_S) * NS_PER_S;
	buf_init(&b->id, ANSWER_MAX);
	buf_init(&b->code, ANSWER_MAX);
	buf_init(&b->message, ANSWER_MAX);
	for (size_t i = 0; i < b->worker_count; i++)
		coproc_init(&b->workers[i].process);
	r = make_env(b);
	if (r < 0)
		return err_set(e, r, "no memory to run commands");
	b->options = (struct coproc_options){
		.command = engine_setting(g, job, "command"),
		.cwd = cwd ? cwd : "/",
		.env = (const char *const *)b->env,
	};
	return run_without_sigpipe(b, e);
}

static bool is_env_name(const char *s)
{
	static const char all[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";

	return *s && !(*s >= '0' && *s <= '9') && s[strspn(s, all)] == '\0';
}

static int check(const struct kv *definition, struct err *e)
{
	const char *cwd = kv_get(definition, "cwd");

	if (cwd && *cwd != '/')
		return err_set(e, -EINVAL, "cwd = %.100s: give an absolute path", cwd);
	for (size_t i = 0; i < definition->count; i++) {
		const char *key = definition->pairs[i].key;

		if (strncmp(key, "env.", 4) == 0 && !is_env_name(key + 4))
			return err_set(e, -EINVAL, "%s: not the name of an environment variable",
				       key);
	}
	return 0;
}

static void describe(const struct kv *definition, struct buf *out)
{
	const char *command = kv_get(definition, "command");

	/* The program only: arguments may hold what is nobody's business. */
	buf_addf(out, "runs %.*s", (int)strcspn(command, " \t"), command);
}

const struct engine engine_command = {
	.name = "command",
	.keys = keys,
	.check = check,
	.run = run,
	.describe = describe,
};
