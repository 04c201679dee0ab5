#include "fs/ctl.h"

#include <errno.h>
#include <string.h>

#define WORDS_MAX 64

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* The words of a line with one space between them.  False: they are too many, and
 * cut, or there is a zero byte. */
static bool squeeze(const char *line, size_t size, char *words)
{
	size_t n = 0;

	for (size_t i = 0; i < size; i++) {
		if (is_space(line[i]) && (n == 0 || words[n - 1] == ' '))
			continue;
		if (n == WORDS_MAX - 1) {
			words[n] = '\0';
			return false;
		}
		words[n++] = is_space(line[i]) ? ' ' : line[i];
	}
	n -= n > 0 && words[n - 1] == ' ';
	words[n] = '\0';
	return strlen(words) == n;
}

/* One line without its newline; empty ones and comments mean nothing. */
static int parse_line(struct job *j, const char *line, size_t size, struct ctl_commands *ret)
{
	struct order o = {.command = COMMAND_COUNT};
	char words[WORDS_MAX];
	int r = squeeze(line, size, words) ? 0 : -EINVAL;

	if (r == 0 && (words[0] == '\0' || words[0] == '#'))
		return 0;
	if (r == 0)
		r = order_parse(words, &o);
	if (r < 0 && o.command == COMMAND_SAMPLE)
		job_log(j, "ctl: \"%s\": write sample and a number of records from 1 to %d", words,
			SAMPLE_RECORDS_MAX);
	else if (r < 0 || ret->count == CTL_COMMANDS_MAX)
		job_log(j, "ctl: \"%s\" is no command here; read ctl for those legal now", words);
	if (r < 0 || ret->count == CTL_COMMANDS_MAX)
		return -EINVAL;
	ret->orders[ret->count++] = o;
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
