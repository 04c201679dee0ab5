#ifndef BACKEND_AWS_CONTROL_PRIVATE_H
#define BACKEND_AWS_CONTROL_PRIVATE_H

/* What the files of control.h share. */

#include <pthread.h>

#include "backend/aws/control.h"
#include "fs/base/jsonspan.h"

#define CONTROL_ANSWER_MAX (32u * 1024 * 1024) /* a page of 1,000 jobs with all their words */
#define CONTROL_TIMEOUT_MS 180000	       /* for all of that */
#define CONTROL_STALL_S	   30		       /* but not for nothing: nobody would be told why */
#define CONTROL_PAGES_MAX  10000
#define CONTROL_CURSOR_MAX 2048
#define CONTROL_PATH_MAX   (3 * (CONTROL_ARN_MAX + 64))

struct control {
	struct aws *aws; /* borrowed */
	char *region;	 /* owned */
	/* Of the pace of creates, with the two below. */
	pthread_mutex_t mutex;
	pthread_cond_t free; /* nobody is creating any more */
	bool creating;
	int64_t create_every_ns;
	int64_t next_ns; /* mono: no create before */
};

struct control_question {
	const char *what; /* "list the jobs", for messages */
	const char *method, *path, *query;
	const char *region; /* NULL: of the control */
	const char *body;   /* NULL: none */
	size_t body_size;
	bool once;
};

/* Asks, and insists that the answer is a JSON object: *ret_root borrows
 * answer, which is the caller's to release either way. */
MUST_CHECK int control_ask(struct control *c, const struct control_question *q,
			   struct aws_answer *answer, struct jsonspan *ret_root, struct err *e);

/* All pages of a listing.  query: what goes before nextToken; member: the
 * array in each answer. */
struct control_pages {
	const char *what, *path, *query, *member;
	int (*row)(void *ctx, struct jsonspan row, struct err *e); /* as each() in control.h */
	void *ctx;
};

MUST_CHECK int control_walk(struct control *c, const struct control_pages *p, struct err *e);

#endif
