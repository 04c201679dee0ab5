#ifndef TESTS_UNIT_FAKECHAOS_H
#define TESTS_UNIT_FAKECHAOS_H

/*
 * A fake backend that is not to be relied on: calls fail at random, parts end as it
 * happens, results come in no order; and it keeps a log of every record it was sent.
 *
 * It is drawn from the seed and from how many draws of that kind there were, so that
 * the same seed does about the same again; which call comes when is for the threads.
 * As the provider's own memory it outlives a child that dies.
 *
 * Records are {"recordId":"...","modelInput":{"class":C}}; equal ones have the same
 * class.  A job's name begins with "job-" and its number in the test.
 */

#include "tests/unit/fakebackend.h"

#define FAKECHAOS_SENT_MAX 30000
#define FAKECHAOS_ID_MAX   40
#define FAKECHAOS_NONE	   UINT32_MAX

enum fakechaos_fault {
	FAKECHAOS_PUT_AGAIN,
	FAKECHAOS_PUT_REFUSED,
	FAKECHAOS_CREATE_AGAIN,
	FAKECHAOS_CREATE_BUSY,
	FAKECHAOS_CREATE_REFUSED,
	FAKECHAOS_CREATE_LOST, /* created, but the answer is -EAGAIN */
	FAKECHAOS_POLL_AGAIN,
	FAKECHAOS_POLL_TORN,
	FAKECHAOS_STOP_AGAIN,
	FAKECHAOS_FETCH_AGAIN,
	FAKECHAOS_FETCH_DENIED,
	FAKECHAOS_FETCH_GONE,
	FAKECHAOS_FORGET_AGAIN,
	FAKECHAOS_PURGE_AGAIN,
	FAKECHAOS_NOW_AGAIN, /* before a record, or in the middle */
	FAKECHAOS_NOW_REFUSED,
	/* Draws that are no faults: */
	FAKECHAOS_END,
	FAKECHAOS_STEP,
	FAKECHAOS_OUTCOME,
	FAKECHAOS_ORDER,
	FAKECHAOS_COUNT,
};

/* A record as it was sent. */
struct fakesent {
	char id[FAKECHAOS_ID_MAX];
	uint32_t job, class; /* FAKECHAOS_NONE: padding, of no class */
	uint32_t attempt;    /* 0: a sample */
	uint32_t part;	     /* its index; FAKECHAOS_NONE: on demand */
	char outcome;	     /* as tests/unit/fakenow.h has it */
};

struct fakeplan {
	enum job_state end;
	unsigned polls; /* until then */
	unsigned given; /* its good and failed records */
	unsigned failed;
};

struct fakechaos {
	uint64_t seed;
	atomic_bool calm;		    /* no faults; all is good, and at once */
	unsigned chances[FAKECHAOS_COUNT];  /* of 1000 */
	unsigned good, missing;		    /* of 1000 records of a part that completes */
	unsigned bad_ends;		    /* of 1000 parts */
	unsigned polls_most;		    /* until an end */
	atomic_uint draws[FAKECHAOS_COUNT]; /* so many by now */
	struct fakeplan plans[FAKEBACKEND_PARTS_MAX];
	struct fakesent sent[FAKECHAOS_SENT_MAX];
	unsigned sent_count; /* with the provider's mutex */
};

/* NULL: no memory. */
struct fakechaos *fakechaos_new(uint64_t seed);
void fakechaos_free(struct fakechaos *c);

/* Copies of what was sent, of parts that exist or on demand; the caller's to free. */
struct fakesent *fakechaos_sent(struct fakebackend *f, unsigned *ret_count);

/* --- for the fake backend: 0, false or nothing at all without chaos --- */

/* -errno if that is to fail now. */
int fakechaos_strike(struct fakebackend *f, enum fakechaos_fault fault, struct err *e);

/* The part at the end of the list is created: its plan, log and results. */
int fakechaos_create_locked(struct fakebackend *f, const struct fakepart *p,
			    const char *input_path);

/* A poll finds the part at that index. */
void fakechaos_advance_locked(struct fakebackend *f, unsigned index);
void fakechaos_count(const struct fakebackend *f, unsigned index, struct counts *ret);

/* The record of that line is run on demand, for p: its outcome. */
char fakechaos_answer(struct fakebackend *f, const struct backend_part *p, const char *line);

#endif
