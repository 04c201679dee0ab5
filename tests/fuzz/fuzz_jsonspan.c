/*
 * Reading JSON in place: spans lie within spans, nothing outside is read, and
 * of a text that is valid every member is found again by its name.
 */

#include <string.h>

#include "fs/base/buf.h"
#include "fs/base/jsonscan.h"
#include "fs/base/jsonspan.h"
#include "tests/fuzz/fuzz.h"

#define DEPTH_MAX 8

static void check_inside(struct jsonspan outer, struct jsonspan inner)
{
	PROMISE(!inner.at ||
		(inner.at >= outer.at && inner.at + inner.size <= outer.at + outer.size));
}

static void check_string(struct jsonspan v, bool is_valid)
{
	CLEANUP(buf_release) struct buf b;
	bool is_string;

	buf_init(&b, 1u << 26);
	is_string = jsonspan_string(v, &b);
	PROMISE(is_string || b.size == 0);
	if (is_valid)
		PROMISE(is_string == (jsonspan_type(v) == JSONSPAN_STRING));
	if (is_string && !memchr(b.data, '\0', b.size))
		PROMISE(jsonspan_equals(v, b.data));
}

static void check(struct jsonspan v, bool is_valid, int depth)
{
	struct jsonspan_walk w = jsonspan_walk(v);
	uint64_t number;

	check_string(v, is_valid);
	(void)jsonspan_u64(v, &number);
	check_inside(v, jsonspan_get(v, "modelOutput"));
	check_inside(v, jsonspan_path(v, "choices/0/message"));
	while (depth < DEPTH_MAX && jsonspan_next(&w)) {
		check_inside(v, w.key);
		check_inside(v, w.value);
		if (is_valid) {
			PROMISE(jsonscan_text_is_valid(w.value.at, w.value.size));
			PROMISE(!w.key.at || jsonspan_type(w.key) == JSONSPAN_STRING);
		}
		check_string(w.key, is_valid);
		check(w.value, is_valid, depth + 1);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct jsonspan v = jsonspan_of((const char *)data, size);
	bool is_valid = jsonscan_text_is_valid((const char *)data, size);

	if (is_valid)
		PROMISE(jsonspan_type(v) != JSONSPAN_NONE);
	check(v, is_valid, 0);
	return 0;
}
