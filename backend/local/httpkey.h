#ifndef BACKEND_LOCAL_HTTPKEY_H
#define BACKEND_LOCAL_HTTPKEY_H

/*
 * The headers that go with every request to a server, the key among them.
 *
 *	key_file = /home/me/.config/batchfs/example.key	first line, mode 0600
 *	header.OpenAI-Project = proj_1			no secrets: files are shown
 *
 * A header of the user's goes before ours of the same name.  A key is sent
 * only where its section says so: as Authorization: Bearer, or x-api-key to
 * Anthropic's API.
 */

#include "backend/http/http.h"
#include "backend/local/httpshape.h"
#include "fs/base/err.h"
#include "fs/base/kv.h"
#include "fs/base/macros.h"

/* Are key_file and header.* of a section sound?  Touches memory only. */
MUST_CHECK int httpkey_check(const struct kv *section, struct err *e);

/* Reads the key.  -EACCES: others may read it; -EINVAL: holds no key; other
 * -errno of the file; -ENOMEM.  The caller owns *ret: http_headers_free(). */
MUST_CHECK int httpkey_headers(const struct kv *section, enum httpshape_api api,
			       struct http_headers **ret, struct err *e);

#endif
