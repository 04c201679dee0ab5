#include "backend/aws/checklist.h"

#include <stdarg.h>

#define LINE_MAX_ 4096

void checklist_add(struct checklist *c, enum checklist_mark m, const char *question,
		   const char *fmt, ...)
{
	static const char *const marks[] = {
		[CHECKLIST_GOOD] = "✓",
		[CHECKLIST_BAD] = "✗",
		[CHECKLIST_UNSURE] = "?",
	};
	char text[LINE_MAX_];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	fprintf(c->out, "%s %s: %s\n", marks[m], question, text);
	ignore_error(fflush(c->out));
	if (m == CHECKLIST_BAD)
		c->failed++;
}
