#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "backend/aws/creds_private.h"
#include "fs/base/buf.h"
#include "fs/base/fdio.h"
#include "fs/base/utf8.h"

/*
 * A program of the user's that prints keys.  It is started without a shell,
 * in a group of its own, with nothing of ours but the environment: what it
 * needs (a home, a PATH, a proxy) is there.
 *
 * It has ended when its process has, even if a child that it left behind
 * keeps its output open.
 */

#define OUTPUT_MAX  (64 * 1024)
#define ERRORS_MAX  8192
#define ERRORS_KEPT 2048 /* of what was there before */
#define READS_MAX   32	 /* in a row: more than a pipe holds */
#define SAID_MAX    200
#define SECRET_LIKE 32 /* so many letters and digits in a row are not repeated */

extern char **environ;

void creds_words_free(char ***words)
{
	for (size_t i = 0; *words && (*words)[i]; i++)
		creds_wipe(&(*words)[i]);
	free(*words);
	*words = NULL;
}

struct splitting {
	const char *at;
	struct buf word;
	bool in_word;
	char quote; /* the quote that is open, or 0 */
};

/* One character more; true: a word has ended. */
static bool split_step(struct splitting *s)
{
	char c = *s->at++;

	if (s->quote) {
		if (c == s->quote)
			s->quote = 0;
		else if (c == '\\' && s->quote == '"' && (*s->at == '"' || *s->at == '\\'))
			buf_add_char(&s->word, *s->at++);
		else
			buf_add_char(&s->word, c);
		return false;
	}
	if (c == ' ' || c == '\t')
		return s->in_word;
	s->in_word = true;
	if (c == '"' || c == '\'')
		s->quote = c;
	else if (c == '\\' && *s->at)
		buf_add_char(&s->word, *s->at++);
	else
		buf_add_char(&s->word, c);
	return false;
}

int creds_split(const char *line, char ***ret, struct err *e)
{
	CLEANUP(creds_words_free) char **words = calloc(CREDS_WORDS_MAX + 1, sizeof(*words));
	struct splitting s = {.at = line};
	size_t count = 0;
	int r = 0;

	if (!words)
		return err_set(e, -ENOMEM, "no memory for a command");
	buf_init(&s.word, strlen(line) + 1);
	while (r == 0 && (*s.at || s.in_word)) {
		if (*s.at && !split_step(&s))
			continue;
		if (s.quote) {
			r = err_set(e, -EINVAL, "credential_process: a quote is not closed");
		} else if (count == CREDS_WORDS_MAX) {
			r = err_set(e, -EINVAL, "credential_process: more than %d words",
				    CREDS_WORDS_MAX);
		} else if (buf_error(&s.word) < 0 || !(words[count] = strdup(s.word.data))) {
			r = err_set(e, -ENOMEM, "no memory for a command");
		} else {
			count++;
			s.in_word = false;
			buf_clear(&s.word);
		}
	}
	buf_release(&s.word);
	if (r == 0 && count == 0)
		r = err_set(e, -EINVAL, "credential_process: nothing to run");
	if (r == 0)
		*ret = STEAL(&words);
	return r;
}

struct process {
	pid_t pid;		    /* 0: none */
	int pid_fd, out_fd, err_fd; /* -1: closed */
	struct buf out, err;
};

static void process_release(struct process *p)
{
	if (p->pid) {
		kill(-p->pid, SIGKILL);
		ignore_error(waitpid(p->pid, NULL, 0)); /* it is gone, however it ended */
	}
	fd_closep(&p->pid_fd);
	fd_closep(&p->out_fd);
	fd_closep(&p->err_fd);
	explicit_bzero(p->out.data, p->out.size);
	explicit_bzero(p->err.data, p->err.size);
	buf_release(&p->out);
	buf_release(&p->err);
}

static int make_pipe(int fds[2])
{
	int r = fdio_pipe(fds);

	if (r < 0)
		return r;
	return fcntl(fds[0], F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

static int set_streams(posix_spawn_file_actions_t *a, int out, int err)
{
	int r = posix_spawn_file_actions_addopen(a, 0, "/dev/null", O_RDONLY, 0);

	if (r == 0)
		r = posix_spawn_file_actions_adddup2(a, out, 1);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(a, err, 2);
	/* Libraries may hold descriptors that are not closed on exec. */
	if (r == 0)
		r = posix_spawn_file_actions_addclosefrom_np(a, 3);
	return r;
}

static int spawn(char *const *words, int out, int err, pid_t *ret)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t all, none;
	int r = posix_spawn_file_actions_init(&actions);

	if (r != 0)
		return -r;
	r = posix_spawnattr_init(&attributes);
	if (r != 0) {
		posix_spawn_file_actions_destroy(&actions);
		return -r;
	}
	sigfillset(&all);
	sigemptyset(&none);
	r = set_streams(&actions, out, err);
	if (r == 0)
		r = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP |
								  POSIX_SPAWN_SETSIGDEF |
								  POSIX_SPAWN_SETSIGMASK);
	if (r == 0)
		r = posix_spawnattr_setsigdefault(&attributes, &all);
	if (r == 0)
		r = posix_spawnattr_setsigmask(&attributes, &none);
	if (r == 0)
		r = posix_spawnp(ret, words[0], &actions, &attributes, words, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

static int process_start(struct process *p, char *const *words, struct err *e)
{
	int out[2] = {-1, -1}, err[2] = {-1, -1};
	char why[128];
	int r = make_pipe(out);

	if (r == 0)
		r = make_pipe(err);
	if (r == 0)
		r = spawn(words, out[1], err[1], &p->pid);
	fd_closep(&out[1]);
	fd_closep(&err[1]);
	p->out_fd = out[0];
	p->err_fd = err[0];
	if (r == 0) {
		p->pid_fd = pidfd_open(p->pid, 0);
		r = p->pid_fd < 0 ? -errno : 0;
	}
	if (r < 0)
		return err_set(e, r == -EMFILE || r == -ENFILE || r == -EAGAIN ? -EAGAIN : -EACCES,
			       "credential_process: cannot run %.200s: %s", words[0],
			       strerror_r(-r, why, sizeof(why)));
	return 0;
}

/* Some of what there is; the descriptor is closed at the end of it.  What goes
 * above the buffer's maximum is lost, and buf_error() tells.  False: no more
 * for now. */
static bool take_some(int *fd, struct buf *to)
{
	char bytes[4096];
	ssize_t n = *fd < 0 ? 0 : read(*fd, bytes, sizeof(bytes));

	if (n < 0)
		return errno == EINTR;
	if (n == 0) {
		fd_closep(fd);
		return false;
	}
	buf_add(to, bytes, (size_t)n);
	explicit_bzero(bytes, sizeof(bytes));
	return true;
}

static void take(struct process *p)
{
	struct buf *b = &p->err;

	for (int i = 0; i < READS_MAX; i++)
		if (!take_some(&p->out_fd, &p->out))
			break;
	/* Only the end of what it says of errors is of interest. */
	for (int i = 0; i < READS_MAX && take_some(&p->err_fd, b); i++) {
		if (b->size <= ERRORS_KEPT)
			continue;
		memmove(b->data, b->data + b->size - ERRORS_KEPT, ERRORS_KEPT);
		b->size = ERRORS_KEPT;
		b->data[b->size] = '\0';
	}
}

static int process_wait(const struct creds_source *s, struct process *p, struct err *e)
{
	int64_t end_ns = clock_mono_ns(clock_system()) + s->process_timeout_ms * NS_PER_MS;
	bool ended = false;

	while (!ended) {
		struct pollfd fds[] = {{.fd = p->pid_fd, .events = POLLIN},
				       {.fd = p->out_fd, .events = POLLIN},
				       {.fd = p->err_fd, .events = POLLIN},
				       {.fd = wire_cancel_fd(s->wire), .events = POLLIN}};
		int64_t left_ms = (end_ns - clock_mono_ns(clock_system())) / NS_PER_MS;

		if (wire_is_cancelled(s->wire))
			return err_set(e, -ECANCELED, "the mount is ending");
		if (left_ms <= 0)
			return err_set(e, -EACCES,
				       "credential_process says nothing for %ld seconds; a "
				       "mount has nobody who could answer its questions",
				       s->process_timeout_ms / 1000);
		if (poll(fds, COUNT_OF(fds), (int)left_ms) < 0 && errno != EINTR)
			return err_errno(e, -EAGAIN, "cannot wait for credential_process");
		ended = fds[0].revents != 0;
		take(p);
		if (buf_error(&p->out) < 0)
			return err_set(e, -EACCES, "credential_process prints more than %d bytes",
				       OUTPUT_MAX);
	}
	return 0;
}

/* Long runs of what keys are made of go; bytes that are not UTF-8 as well. */
static void hide_secrets(char *s)
{
	static const char key[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				  "0123456789+/=_-";
	bool valid = utf8_is_valid(s, strlen(s));
	char *to = s;

	while (*s) {
		size_t n = strspn(s, key);

		if (n >= SECRET_LIKE && strcspn(s, "0123456789") < n) {
			memcpy(to, "[...]", 5);
			to += 5;
			s += n;
			continue;
		}
		n += n == 0;
		memmove(to, s, n);
		for (size_t i = 0; i < n && !valid; i++)
			to[i] = (signed char)to[i] < 0 ? '?' : to[i];
		to += n;
		s += n;
	}
	*to = '\0';
}

/* The last line that is not empty. */
static void last_line(const struct buf *err, char ret[SAID_MAX])
{
	size_t end = err->size, start;

	while (end && strchr(" \t\r\n", err->data[end - 1]))
		end--;
	start = end;
	while (start && err->data[start - 1] != '\n')
		start--;
	snprintf(ret, SAID_MAX, "%.*s", (int)(end - start), err->data + start);
	hide_secrets(ret);
}

static int process_end(struct process *p, struct err *e)
{
	char said[SAID_MAX], how[64];
	int status = 0, r;

	/* It has ended itself; who it left behind is not waited for.  Its number
	 * and its group's are taken until waitpid(). */
	kill(-p->pid, SIGKILL);
	do
		r = waitpid(p->pid, &status, 0);
	while (r < 0 && errno == EINTR);
	p->pid = 0;
	if (r < 0)
		return err_set(e, -EAGAIN, "cannot learn how credential_process ended");
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFEXITED(status))
		snprintf(how, sizeof(how), "exit status %d", WEXITSTATUS(status));
	else
		snprintf(how, sizeof(how), "signal %d", WTERMSIG(status));
	last_line(&p->err, said);
	return err_set(e, -EACCES, "credential_process has failed (%s)%s%s", how,
		       *said ? ": " : "; run it by hand to see why", said);
}

static int read_output(const struct buf *out, struct creds *ret, struct err *e)
{
	static const struct creds_names names = {.id = "AccessKeyId",
						 .secret = "SecretAccessKey",
						 .token = "SessionToken",
						 .expires = "Expiration",
						 .account = "AccountId"};
	struct jsonspan v = creds_json(out->data, out->size);
	uint64_t version;
	int r;

	if (jsonspan_type(v) != JSONSPAN_OBJECT)
		return err_set(e, -EACCES,
			       "credential_process prints something else than a JSON object with "
			       "Version, AccessKeyId and SecretAccessKey");
	if (!jsonspan_u64(jsonspan_get(v, "Version"), &version) || version != 1)
		return err_set(e, -EACCES,
			       "credential_process prints a JSON object whose Version "
			       "is not 1");
	r = creds_from_json(v, &names, ret);
	if (r == -EBADMSG)
		return err_set(e, -EACCES,
			       "credential_process prints no AccessKeyId and SecretAccessKey, or "
			       "an Expiration that is not a time");
	return r < 0 ? err_set(e, r, "no memory for credentials") : 0;
}

static int run(const struct creds_source *s, const char *line, struct creds *ret, struct err *e)
{
	CLEANUP(process_release)
	struct process p = {.pid_fd = -1,
			    .out_fd = -1,
			    .err_fd = -1,
			    .out = BUF_INIT(OUTPUT_MAX),
			    .err = BUF_INIT(ERRORS_MAX)};
	CLEANUP(creds_words_free) char **words = NULL;
	int r = creds_split(line, &words, e);

	if (r < 0)
		return r;
	buf_reserve(&p.out, OUTPUT_MAX); /* at once: growing leaves copies behind */
	r = process_start(&p, words, e);
	if (r == 0)
		r = process_wait(s, &p, e);
	if (r == 0)
		r = process_end(&p, e);
	return r < 0 ? r : read_output(&p.out, ret, e);
}

int creds_from_process(const struct creds_source *s, const char *profile, struct creds *ret,
		       struct err *e)
{
	const char *line = awsconfig_get(s->config, profile, "credential_process");
	struct err why = ERR_INIT;
	int r;

	if (!line)
		return 0;
	r = run(s, line, ret, &why);
	if (r < 0)
		return err_set(e, r, "profile %s: %s", profile, why.text);
	if (ret->expires_ns && ret->expires_ns <= clock_wall_ns(s->clock)) {
		creds_release(ret);
		return err_set(e, -EACCES,
			       "profile %s: credential_process prints keys that have expired",
			       profile);
	}
	snprintf(ret->source, sizeof(ret->source), "profile %.60s: credential_process", profile);
	return 0;
}
