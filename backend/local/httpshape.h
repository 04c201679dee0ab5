#ifndef BACKEND_LOCAL_HTTPSHAPE_H
#define BACKEND_LOCAL_HTTPSHAPE_H

/*
 * What a record looks like on its way to a server, and an answer on its way
 * back: the two dialects, OpenAI's and Anthropic's.  No network here.
 *
 *	url = http://127.0.0.1:8080			/v1/chat/completions, or
 *	url = http://127.0.0.1:8080/v1			/v1/embeddings for a record with
 *							"input" and no "messages"
 *	url = http://127.0.0.1:8080/v1/messages		as it stands: Anthropic's
 *	url = http://127.0.0.1:8080/v1/completions	as it stands: OpenAI's
 *
 * A body is the record's modelInput with these changes at its top level only,
 * all else byte for byte: "model" put in (served_model if that is set, else
 * the section's name if the record has none), "stream" and "stream_options"
 * taken out, and for Anthropic "anthropic_version" and "anthropic_beta" taken
 * out (the latter goes into a header, as the API wants it).
 */

#include <stdbool.h>
#include <stddef.h>

#include "backend/http/target.h"
#include "fs/base/buf.h"
#include "fs/base/err.h"
#include "fs/base/jsonspan.h"
#include "fs/base/kv.h"
#include "fs/base/macros.h"

#define HTTPSHAPE_MESSAGE_MAX 1024
#define HTTPSHAPE_CODE_MAX    64
#define HTTPSHAPE_BETA_MAX    1024

enum httpshape_api {
	HTTPSHAPE_OPENAI,
	HTTPSHAPE_ANTHROPIC,
};

struct httpshape {
	enum httpshape_api api;
	struct target target; /* owned */
	char *url;	      /* owned */
	char *url_embeddings; /* owned; NULL: url serves all records */
	const char *model;    /* borrowed from the definition or the caller */
	bool model_replaces;  /* also a record's own */
};

#define HTTPSHAPE_INIT                                                                             \
	{                                                                                          \
		.url = NULL                                                                        \
	}

/* From a section's url, api and served_model; name is that of the section and
 * is borrowed, as definition is.  -EINVAL with words; -ENOMEM. */
MUST_CHECK int httpshape_init(struct httpshape *s, const char *name, const struct kv *definition,
			      struct err *e);
void httpshape_release(struct httpshape *s);

/* Where this record goes; borrowed from s. */
const char *httpshape_url(const struct httpshape *s, struct jsonspan input);

/* Appends the body for input. */
void httpshape_body(const struct httpshape *s, struct jsonspan input, struct buf *out);

/* Appends "anthropic-beta: a,b", if input asks for that; false if it does not
 * or what it asks for cannot be a header. */
bool httpshape_beta(const struct httpshape *s, struct jsonspan input, struct buf *out);

enum httpshape_verdict {
	HTTPSHAPE_GOOD,	    /* a JSON object */
	HTTPSHAPE_NOT_JSON, /* not one JSON object: HTML, a stream, cut short */
	HTTPSHAPE_REFUSED,  /* an error in the dress of a good answer */
};

/* What came with a status that says it went well. */
enum httpshape_verdict httpshape_judge(const char *body, size_t size);

/* Appends the JSON object in body on one line: line ends and the white space
 * around them can only stand between values, and go. */
void httpshape_compact(const char *body, size_t size, struct buf *out);

/* What an error body says; "" where it says nothing. */
struct httpshape_error {
	char code[HTTPSHAPE_CODE_MAX];	     /* "insufficient_quota", "502" */
	char message[HTTPSHAPE_MESSAGE_MAX]; /* if it is not JSON, how it begins */
};

void httpshape_read_error(const char *body, size_t size, struct httpshape_error *ret);

#endif
