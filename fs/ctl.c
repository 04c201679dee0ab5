#include "fs/ctl.h"

#include <errno.h>
#include <string.h>

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* One line without its newline; empty ones and comments mean nothing. */
static int parse_line(struct job *j, const char *line, size_t size, struct ctl_commands *ret)
{
	char word[64];
	int c;

	while (size > 0 && is_space(line[0])) {
		line++;
		size--;
	}
	while (size > 0 && is_space(line[size - 1]))
		size--;
	if (size == 0 || line[0] == '#')
		return 0;
	snprintf(word, sizeof(word), "%.*s", (int)(size < 63 ? size : 63), line);
	c = size < sizeof(word) ? command_parse(word) : -1;
	if (c < 0 || ret->count == CTL_COMMANDS_MAX) {
		job_log(j, "ctl: \"%s\" is no command here; read ctl for those legal now", word);
		return -EINVAL;
	}
	ret->commands[ret->count++] = (enum command)c;
	return 0;
}

int ctl_parse(struct job *j, const char *bytes, size_t size, struct ctl_commands *ret)
{
	int r = 0;

	ret->count = 0;
	if (size > CTL_WRITE_MAX)
		return -EFBIG;
	while (size > 0 && r == 0) {
		const char *end = memchr(bytes, '\n', size);
		size_t n = end ? (size_t)(end - bytes) : size;

		r = parse_line(j, bytes, n, ret);
		n += end ? 1 : 0;
		bytes += n;
		size -= n;
	}
	return r;
}
