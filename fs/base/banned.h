#ifndef FS_BASE_BANNED_H
#define FS_BASE_BANNED_H

/*
 * Functions this code base does not use; naming one is a compile error.
 * Unbounded or truncating string copies (use struct buf or snprintf), shared
 * static results, shells, blocking sleeps, and the global random state.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#undef strcpy
#undef strcat
#undef strncpy
#undef strncat
#undef strtok
#undef sprintf
#pragma GCC poison strcpy strcat strncpy strncat strtok
#pragma GCC poison sprintf vsprintf gets
#pragma GCC poison atoi atol atof
#pragma GCC poison gmtime localtime ctime asctime
#pragma GCC poison popen rand srand

#endif
