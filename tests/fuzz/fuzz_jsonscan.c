/*
 * The scanner of JSON Lines: portions do not matter, every line has exactly
 * one verdict, places lie within their lines, and what is called a record is
 * one by another reader (fs/base/jsonspan.h) too.
 */

#include <stdbool.h>
#include <string.h>

#include "fs/base/buf.h"
#include "fs/base/jsonscan.h"
#include "fs/base/jsonspan.h"
#include "fs/base/utf8.h"
#include "tests/fuzz/fuzz.h"

struct seen {
	const char *bytes;
	size_t size;
	uint64_t line; /* the last one with a verdict */
	uint64_t count;
	struct buf log;
};

static void check_record(const struct seen *seen, const struct jsonscan_record *r)
{
	const char *at = seen->bytes + r->offset;
	struct jsonspan v, id;
	CLEANUP(buf_release) struct buf decoded;

	buf_init(&decoded, JSONSCAN_ID_MAX);
	PROMISE(r->offset + r->size + r->end_size <= seen->size);
	PROMISE(r->offset == 0 || at[-1] == '\n');
	PROMISE(!memchr(at, '\n', r->size));
	PROMISE(r->end_size < 1 || at[r->size + r->end_size - 1] == '\n');
	PROMISE(r->end_size != 2 || at[r->size] == '\r');
	PROMISE(r->end_size <= 2);
	PROMISE(jsonscan_text_is_valid(at, r->size));
	PROMISE(utf8_is_valid(at, r->size));
	v = jsonspan_of(at, r->size);
	PROMISE(jsonspan_type(v) == JSONSPAN_OBJECT);
	PROMISE(jsonspan_type(jsonspan_get(v, "modelInput")) == JSONSPAN_OBJECT);
	id = jsonspan_get(v, "recordId");
	PROMISE((id.at != NULL) == (r->id != NULL));
	if (!r->id)
		return;
	PROMISE(r->id_size >= 1 && r->id_size <= JSONSCAN_ID_MAX && r->id[r->id_size] == '\0');
	PROMISE(utf8_is_valid(r->id, r->id_size));
	PROMISE(jsonspan_string(id, &decoded) && buf_error(&decoded) == 0);
	PROMISE(decoded.size == r->id_size && memcmp(decoded.data, r->id, r->id_size) == 0);
}

static void on_record(void *ctx, const struct jsonscan_record *r)
{
	struct seen *seen = ctx;

	PROMISE(r->line == seen->line + 1);
	seen->line = r->line;
	seen->count++;
	check_record(seen, r);
	buf_addf(&seen->log, "record %llu %llu %llu %u\n", (unsigned long long)r->line,
		 (unsigned long long)r->offset, (unsigned long long)r->size, r->end_size);
}

static void on_fault(void *ctx, const struct jsonscan_fault *f)
{
	struct seen *seen = ctx;

	PROMISE(f->line == seen->line + 1);
	PROMISE(f->column >= 1 && f->column <= seen->size + 1);
	PROMISE(*f->what && *f->cure);
	seen->line = f->line;
	seen->count++;
	buf_addf(&seen->log, "%llu:%llu %s\n", (unsigned long long)f->line,
		 (unsigned long long)f->column, f->what);
}

/* Feeds portions of 1 to portion_max bytes; 0: all at once. */
static void scan(struct seen *seen, size_t portion_max)
{
	const struct jsonscan_sink sink = {on_record, on_fault, seen};
	size_t at = 0, n = 0;
	struct jsonscan s;

	jsonscan_init(&s);
	while (at < seen->size) {
		struct jsonscan checkpoint = s;

		n = portion_max ? n % portion_max + 1 : seen->size;
		if (n > seen->size - at)
			n = seen->size - at;
		/* From the copy: it must do as well. */
		jsonscan_feed(&checkpoint, seen->bytes + at, n, &sink);
		s = checkpoint;
		at += n;
		PROMISE(jsonscan_offset(&s) == at);
	}
	jsonscan_end(&s, &sink);
}

static uint64_t count_lines(const char *bytes, size_t size)
{
	uint64_t count = size > 0 && bytes[size - 1] != '\n';

	for (size_t i = 0; i < size; i++)
		count += bytes[i] == '\n';
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t portions[] = {1, 2, 7, 33};
	struct seen whole = {.bytes = (const char *)data, .size = size};

	buf_init(&whole.log, 1u << 26);
	scan(&whole, 0);
	PROMISE(whole.count == count_lines(whole.bytes, size));
	for (size_t i = 0; i < sizeof(portions) / sizeof(portions[0]); i++) {
		struct seen parts = {.bytes = (const char *)data, .size = size};

		buf_init(&parts.log, 1u << 26);
		scan(&parts, portions[i]);
		PROMISE(parts.log.size == whole.log.size &&
			memcmp(parts.log.data, whole.log.data, whole.log.size) == 0);
		buf_release(&parts.log);
	}
	buf_release(&whole.log);
	return 0;
}
