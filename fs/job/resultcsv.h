#ifndef FS_JOB_RESULTCSV_H
#define FS_JOB_RESULTCSV_H

/*
 * The lines of results.csv (RFC 4180, CRLF):
 *
 *	record_id,status,text,stop_reason,input_tokens,output_tokens,error_code,error_message
 *	r1,good,"Hello, you.",end_turn,12,5,,
 *	r2,failed,,,,,400,no such model
 *
 * A field is quoted where it must be.  What is no UTF-8, and the byte 0, come
 * out as U+FFFD: readers refuse a whole table for one such byte.  The exact
 * bytes are in text/ and output/.
 */

#include "fs/base/buf.h"
#include "fs/base/state.h"

struct resultcsv_row {
	const char *id; /* decoded */
	size_t id_size;
	const char *status; /* good, failed or missing */
	const char *text;   /* with its newline, which the field goes without */
	size_t text_size;
	const char *stop_reason;
	const struct tokens *tokens; /* NULL: not known */
	const char *code;
	const char *message;
	size_t message_size;
};

void resultcsv_add_header(struct buf *out);

/* Strings that are NULL give empty fields. */
void resultcsv_add_row(struct buf *out, const struct resultcsv_row *row);

#endif
