#ifndef BACKEND_LOCAL_FILL_H
#define BACKEND_LOCAL_FILL_H

/*
 * A text with places in it that are filled from a modelInput:
 *
 *	You said: {{messages/0/content}}, up to {{max_tokens}} tokens.
 *
 * What stands in the braces is a path of jsonspan_path().  A string goes in
 * decoded, any other value as its JSON text.  Pure functions.
 */

#include <stddef.h>

#include "fs/base/buf.h"
#include "fs/base/err.h"
#include "fs/base/jsonspan.h"
#include "fs/base/macros.h"

/* -EINVAL: braces without their end or with nothing in them. */
MUST_CHECK int fill_check(const char *text, struct err *e);

/* Appends the filled text.  -ENOENT: a path that leads nowhere (or to null). */
MUST_CHECK int fill(const char *text, struct jsonspan input, struct buf *out, struct err *e);

#endif
