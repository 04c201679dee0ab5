#include "fs/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Messages reach terminals, syslog and one-line files: no control bytes. */
static void make_one_line(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = '?';
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return code;
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	make_one_line(e->text);
	return code;
}

int err_errno(struct err *e, int code, const char *fmt, ...)
{
	char words[128];
	size_t used;
	va_list ap;

	if (!e)
		return code;
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	used = strlen(e->text);
	/* GNU strerror_r: returns the words, which need not be in the buffer. */
	snprintf(e->text + used, sizeof(e->text) - used, ": %s",
		 strerror_r(-code, words, sizeof(words)));
	make_one_line(e->text);
	return code;
}
