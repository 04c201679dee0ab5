#ifndef BACKEND_LOCAL_COPROC_H
#define BACKEND_LOCAL_COPROC_H

/*
 * One program of the user's with its standard streams in our hands.
 *
 * It is run by /bin/sh ("exec COMMAND") in a process group of its own, with
 * an environment of PATH, HOME, LANG, TMPDIR and what the caller adds, so
 * without anybody's credentials, and dies with the thread that started it.
 * All descriptors are non-blocking and closed on exec.  Not thread-safe; the
 * thread must have SIGPIPE blocked.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "fs/base/buf.h"
#include "fs/base/err.h"
#include "fs/base/macros.h"

#define COPROC_ENV_MAX	   300
#define COPROC_INPUT_MAX   (1024u * 1024 * 1024)
#define COPROC_STDERR_LINE 500

struct coproc {
	pid_t pid;	   /* 0: none is running */
	int pid_fd;	   /* readable when the program has ended */
	int in_fd;	   /* to its standard input; -1: closed */
	int out_fd;	   /* from its standard output; -1: it ended */
	int err_fd;	   /* from its standard error; -1: it ended */
	struct buf input;  /* to be written */
	size_t input_done; /* of that, written */
	struct buf output; /* read, not yet taken */
	struct buf errors; /* the begun line of standard error */
	char last_error[COPROC_STDERR_LINE + 1];
};

struct coproc_options {
	const char *command, *cwd;
	const char *const *env; /* "NAME=value", NULL at the end; go before ours */
};

void coproc_init(struct coproc *c);
void coproc_release(struct coproc *c); /* kills what runs, at once */

/* -errno: no process or no descriptors to be had.  A command that does not
 * exist is started and ends with status 127. */
MUST_CHECK int coproc_start(struct coproc *c, const struct coproc_options *o, struct err *e);

/* Writes of c->input what goes.  A reader that is gone is no error here. */
void coproc_write(struct coproc *c);

/* Reads what is there into c->output, at most until it holds limit bytes.
 * -errno: the memory does not suffice. */
MUST_CHECK int coproc_read(struct coproc *c, size_t limit);

/* Reads standard error; line() gets each line, shortened and printable. */
void coproc_read_errors(struct coproc *c, void (*line)(void *ctx, const char *text), void *ctx);

void coproc_close_input(struct coproc *c);
void coproc_signal(struct coproc *c, int signal); /* the whole group */

/* Has the program ended (a poll of pid_fd)? */
bool coproc_has_ended(const struct coproc *c);

/* Of one that has ended or is to: kills what is left of the group, collects
 * the program, closes all, and says how it ended: "exit code 3". */
void coproc_end(struct coproc *c, char *words, size_t size);

/* Ends several: closes their input, then TERM, then KILL, with a grace before
 * each (0: none). */
void coproc_end_all(struct coproc *const *all, size_t count, int eof_ms, int term_ms);

#endif
