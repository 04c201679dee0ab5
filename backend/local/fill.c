#include "backend/local/fill.h"

#include <errno.h>
#include <string.h>

#define FILL_PATH_MAX 256

/* Finds the next place.  False: none is left.  An empty path: it is not well
 * formed. */
static bool next_place(const char *text, const char **ret_at, const char **ret_after,
		       char path[FILL_PATH_MAX])
{
	const char *at = strstr(text, "{{"), *end, *from;
	size_t n;

	path[0] = '\0';
	if (!at)
		return false;
	*ret_at = at;
	*ret_after = at;
	end = strstr(at + 2, "}}");
	if (!end)
		return true;
	from = at + 2 + strspn(at + 2, " \t");
	n = from < end ? (size_t)(end - from) : 0;
	while (n && (from[n - 1] == ' ' || from[n - 1] == '\t'))
		n--;
	if (n >= FILL_PATH_MAX)
		n = 0;
	memcpy(path, from, n);
	path[n] = '\0';
	*ret_after = end + 2;
	return true;
}

int fill_check(const char *text, struct err *e)
{
	char path[FILL_PATH_MAX];
	const char *at;

	while (next_place(text, &at, &text, path))
		if (path[0] == '\0')
			return err_set(e, -EINVAL,
				       "template: \"%.40s\" is not {{PATH}} with a path of 1 to %d "
				       "bytes, such as {{messages/0/content}}",
				       at, FILL_PATH_MAX - 1);
	return 0;
}

int fill(const char *text, struct jsonspan input, struct buf *out, struct err *e)
{
	char path[FILL_PATH_MAX];
	const char *at, *after;

	while (next_place(text, &at, &after, path)) {
		struct jsonspan v = jsonspan_path(input, path);

		if (path[0] == '\0' || !jsonspan_is_set(v))
			return err_set(e, -ENOENT,
				       "the record has nothing at {{%s}}; its modelInput and the "
				       "template must fit",
				       path);
		buf_add(out, text, (size_t)(at - text));
		if (!jsonspan_string(v, out))
			buf_add(out, v.at, v.size);
		text = after;
	}
	buf_add_str(out, text);
	return buf_error(out);
}
