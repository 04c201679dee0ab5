#ifndef FS_BASE_JSONSCAN_H
#define FS_BASE_JSONSCAN_H

/*
 * Checks JSON Lines as they stream by: the input of a batch job.
 *
 * A push parser: feed it any bytes in any portions, and it says of each line
 * where it is and whether it is a record, that is
 *
 *	{"recordId":"r1","modelInput":{...}}
 *
 * RFC 8259 to the letter, strict UTF-8, one object a line, members recordId
 * (absent, or a string of 1 to JSONSCAN_ID_MAX bytes once decoded) and
 * modelInput (an object, present).  Other members are allowed and ignored; a
 * second recordId or modelInput in a line is a fault.  A line ends at 0x0A, or
 * 0x0D 0x0A; nothing else ends a line.  A byte-order mark, an empty line, and
 * a line longer than JSONSCAN_LINE_MAX or deeper than JSONSCAN_DEPTH_MAX are
 * faults.  A last line without its newline is a record if it is whole and a
 * fault if it was cut, which only jsonscan_end() can tell.
 *
 * After a fault the rest of its line is passed over: one fault a line.
 * Columns count bytes from 1.  Memory is constant: the struct, no more.
 * Not thread-safe; a copy of the struct is a checkpoint that can be gone on from.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/macros.h"

#define JSONSCAN_ID_MAX	   512
#define JSONSCAN_DEPTH_MAX 512
#define JSONSCAN_LINE_MAX  (256u * 1024 * 1024)

struct jsonscan_record {
	uint64_t line;	   /* from 1 */
	uint64_t offset;   /* of its first byte in the stream */
	uint64_t size;	   /* without its line end */
	unsigned end_size; /* of its line end: 1, 2 (CR LF), or 0: the last line, without one */
	const char *id;	   /* decoded, NUL after it; NULL if absent; borrowed for the call */
	size_t id_size;
};

struct jsonscan_fault {
	uint64_t line, column; /* from 1 */
	const char *what;      /* "a string is not closed"; constant text */
	const char *cure;      /* "close it with \" on the same line"; constant text */
};

/* Where results go; ctx is handed back.  Called from within feed and end. */
struct jsonscan_sink {
	void (*record)(void *ctx, const struct jsonscan_record *r);
	void (*fault)(void *ctx, const struct jsonscan_fault *f);
	void *ctx;
};

#include "fs/base/jsonscan_state.h" /* struct jsonscan: storage for callers, members private */

void jsonscan_init(struct jsonscan *s);

void jsonscan_feed(struct jsonscan *s, const char *bytes, size_t size,
		   const struct jsonscan_sink *sink);

/* The stream ends here: judges a last line without newline.  The state is not
 * changed, so that feeding may go on after it (a file that is appended to). */
void jsonscan_end(const struct jsonscan *s, const struct jsonscan_sink *sink);

/* Bytes fed so far. */
uint64_t jsonscan_offset(const struct jsonscan *s);

/* Is this one text valid JSON (any value, surrounding white space allowed)?
 * The same grammar code, for the public test suites. */
bool jsonscan_text_is_valid(const char *text, size_t size);

#endif
