#include "fs/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <syslog.h>

/* The one mutable global of the program: set before threads start, then read. */
static struct {
	enum log_level level;
	bool to_syslog;
} sink = {.level = LOG_LEVEL_WARNING};

void log_init(enum log_level level, bool to_syslog)
{
	sink.level = level;
	sink.to_syslog = to_syslog;
	if (to_syslog)
		openlog("batchfs", LOG_PID, LOG_DAEMON);
}

void log_write(enum log_level level, const char *tag, const char *fmt, ...)
{
	static const int priorities[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};
	static const char *const words[] = {"error", "warning", "info", "debug"};
	char line[1400];
	va_list ap;

	if (level > sink.level)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (sink.to_syslog)
		syslog(priorities[level], "%s: %s", tag, line);
	else
		fprintf(stderr, "batchfs: %s: %s: %s\n", words[level], tag, line);
}
