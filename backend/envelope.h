#ifndef BACKEND_ENVELOPE_H
#define BACKEND_ENVELOPE_H

/*
 * One result line, in the shape Amazon Bedrock writes and all backends keep:
 *
 *	{"modelInput":{...},"modelOutput":{...},"recordId":"r1"}
 *	{"modelInput":{...},"error":{"errorCode":400,"errorMessage":"..."},"recordId":"r2"}
 *	{"modelInput":{...},"modelOutput":{"errorCode":400,"errorMessage":"...",
 *	 "expired":false,"retryable":false},"recordId":"r3"}
 *
 * in any order of members.  The second is error form A, the third form B
 * (shared notes, "Result lines").  A line with neither an error nor a usable
 * modelOutput (an object) has failed with code "Unknown".
 */

#include <stdbool.h>
#include <stddef.h>

#include "fs/base/buf.h"
#include "fs/base/jsonspan.h"
#include "fs/base/macros.h"

struct envelope {
	struct jsonspan id;	       /* a string, still quoted */
	struct jsonspan input, output; /* modelInput, modelOutput; may be empty */
	bool good;
	/* Of a failed one. */
	struct jsonspan error;	       /* the object that holds the code; may be empty */
	struct jsonspan code, message; /* number or string; may be empty */
	/* Said so by the provider: worth another try; not worth one; its time
	 * ran out before it was run. */
	bool retryable, final, expired;
};

/* Takes line apart; the spans borrow it.  -EINVAL: not a JSON object with a
 * string recordId. */
MUST_CHECK int envelope_parse(const char *line, size_t size, struct envelope *ret);

/* Appends "400" or "ThrottlingException"; "Unknown" if there is no code. */
void envelope_code(const struct envelope *v, struct buf *out);
void envelope_message(const struct envelope *v, struct buf *out);

/* May a failed record go better by itself, as it is?  The provider's own word
 * counts first, then the code: what is said of load and of time. */
bool envelope_is_retryable(const struct envelope *v);

/* Append a whole line with its newline.  input and output are JSON texts. */
void envelope_write_good(struct buf *out, const char *id, size_t id_size, struct jsonspan input,
			 const char *output, size_t output_size);
void envelope_write_error(struct buf *out, const char *id, size_t id_size, struct jsonspan input,
			  const char *code, const char *message, bool retryable);

#endif
