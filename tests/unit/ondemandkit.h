#ifndef TESTS_UNIT_ONDEMANDKIT_H
#define TESTS_UNIT_ONDEMANDKIT_H

/*
 * Records run on demand against a runtime on loopback: what becomes of each is said
 * by its id, and how often it was asked for is counted.
 *
 *	struct ondemandkit k;
 *	ondemandkit_open(&k, "min_records=1", NULL);
 *	ondemandkit_records(&k, 40);			"r0" to "r39", all good
 *	ondemandkit_fate(&k, 3, 2, &reply);		r3 gets that twice first
 *	r = ondemandkit_run(&k, &e);
 *	... ondemandkit_asked(&k, 3), ondemandkit_line(&k, "r3", &line) ...
 *	ondemandkit_close(&k);
 *
 * Each look at the clock is 10 ms later than the one before.
 */

#include <stdatomic.h>

#include "fs/base/buf.h"
#include "tests/unit/bedrockkit.h"

#define ONDEMANDKIT_RECORDS 512

/* total: so many requests, this one among them.  In the server's thread. */
typedef void ondemandkit_asks(void *ctx, unsigned record, unsigned total);

struct ondemandkit {
	struct bedrockkit k;
	void *dir; /* its path */
	char input[256], output[256];
	struct backend_part part;
	struct {
		struct awsserver_reply reply;
		unsigned times; /* UINT_MAX: always */
		atomic_uint asked;
	} fates[ONDEMANDKIT_RECORDS];
	struct awsserver_reply good; /* of all others */
	ondemandkit_asks *on_ask;
	void *ctx;
	atomic_uint asked;
	/* Of the told callback. */
	unsigned told, stop_at; /* stop_at: so many results and no more; 0: go on */
	struct counts counts;
	struct tokens tokens;
};

void ondemandkit_open(struct ondemandkit *k, const char *option, const char *other);
void ondemandkit_close(struct ondemandkit *k);

void ondemandkit_records(struct ondemandkit *k, unsigned count);
void ondemandkit_input(struct ondemandkit *k, const char *text);
void ondemandkit_fate(struct ondemandkit *k, unsigned record, unsigned times,
		      struct awsserver_reply reply);

/* Calls it at each request from now on. */
void ondemandkit_on_ask(struct ondemandkit *k, ondemandkit_asks *on_ask, void *ctx);

int ondemandkit_run(struct ondemandkit *k, struct err *e);
bool ondemandkit_told(void *ctx, const struct counts *counts, const struct tokens *tokens);

unsigned ondemandkit_asked(struct ondemandkit *k, unsigned record);

/* The file of results, or "" if there is none. */
void ondemandkit_output(struct ondemandkit *k, struct buf *ret);
/* Lines in it, each a whole one. */
unsigned ondemandkit_lines(struct ondemandkit *k);
/* The lines of a record: how many, and the last of them. */
unsigned ondemandkit_line(struct ondemandkit *k, const char *id, struct buf *ret);

#endif
