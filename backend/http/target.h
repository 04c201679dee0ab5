#ifndef BACKEND_HTTP_TARGET_H
#define BACKEND_HTTP_TARGET_H

/*
 * Where requests go, as a user writes it:
 *
 *	http://127.0.0.1:8080/v1
 *	https://api.example.com/v1/chat/completions?version=2
 *	unix:/run/llama.sock:/v1/chat/completions
 *
 * A user or password within is refused (they would be shown), and so is a
 * fragment.  Pure functions.
 */

#include <stdbool.h>

#include "fs/base/err.h"
#include "fs/base/macros.h"

#define TARGET_TEXT_MAX 4096

/* All strings owned; target_release(). */
struct target {
	char *origin;	 /* "http://127.0.0.1:8080"; "http://localhost" of a socket */
	char *path;	 /* "/v1", without its last '/'; may be empty */
	char *query;	 /* "?version=2", or empty */
	char *unix_path; /* or NULL */
	char *shown;	 /* for people: the origin, or "unix:/run/llama.sock" */
	bool loopback;	 /* this machine: no proxy in between */
	bool tls;
};

/* -EINVAL with words; -ENOMEM. */
MUST_CHECK int target_parse(const char *text, struct target *ret, struct err *e);

void target_release(struct target *t);

/* "127.0.0.1:8080", with or without its port: this machine? */
bool target_is_loopback(const char *host);

#endif
