#ifndef TESTS_UNIT_CMOCKA_ALL_H
#define TESTS_UNIT_CMOCKA_ALL_H

/* cmocka.h wants these four before it, in this order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Leaves the test, saying why.  Not cmocka's skip(): its TAP calls a skipped
 * test "not ok", which meson takes for a failure, and it jumps over cleanups. */
#define SKIP_TEST(...)                                                                             \
	do {                                                                                       \
		print_message("# skipped: " __VA_ARGS__);                                          \
		return;                                                                            \
	} while (0)

#endif
