#include "fs/job/lineid.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

int lineid_insert(const char *line, size_t size, const char *id, size_t id_size, struct buf *out)
{
	const char *brace = memchr(line, '{', size);
	size_t before;

	if (!brace)
		return -ESTALE;
	before = (size_t)(brace - line) + 1;
	buf_add(out, line, before);
	buf_add_str(out, "\"recordId\":");
	buf_add_json(out, id, id_size);
	/* A record has a modelInput, so something follows the comma. */
	buf_add_char(out, ',');
	buf_add(out, line + before, size - before);
	return buf_error(out);
}

void lineid_replace(const char *line, size_t size, struct jsonspan old, const char *id,
		    size_t id_size, struct buf *out)
{
	size_t before = (size_t)(old.at - line);

	assert(old.at >= line && before + old.size <= size);
	buf_add(out, line, before);
	buf_add_json(out, id, id_size);
	buf_add(out, old.at + old.size, size - before - old.size);
}
