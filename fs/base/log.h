#ifndef FS_BASE_LOG_H
#define FS_BASE_LOG_H

/*
 * One line a happening: "tag: what key=value".  To stderr in the foreground,
 * to syslog otherwise.  error = someone must act, warning = degraded, info =
 * a job changed phase, debug = calls.  Never secrets.  Any thread may call.
 */

#include <stdbool.h>

#include "fs/base/macros.h"

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
};

/* Once, before other threads exist.  Lines above level are dropped. */
void log_init(enum log_level level, bool to_syslog);

PRINTF_LIKE(3, 4) void log_write(enum log_level level, const char *tag, const char *fmt, ...);

#define log_error(tag, ...)   log_write(LOG_LEVEL_ERROR, tag, __VA_ARGS__)
#define log_warning(tag, ...) log_write(LOG_LEVEL_WARNING, tag, __VA_ARGS__)
#define log_info(tag, ...)    log_write(LOG_LEVEL_INFO, tag, __VA_ARGS__)
#define log_debug(tag, ...)   log_write(LOG_LEVEL_DEBUG, tag, __VA_ARGS__)

#endif
