#include "backend/aws/mediarefs.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "fs/base/jsonrun.h"
#include "fs/base/jsonspan.h"

/*
 * A string that may turn out to be a reference is held back until it is
 * decided; all other bytes go on in long runs.  Most strings are decided by
 * their first byte, in the chunk where it lies.
 */

#define CHUNK_SIZE (256 * 1024)
#define HELD_MAX   (6 * MEDIAREFS_NAME_MAX + 32) /* all of it written as \u00xx */
#define SCHEME	   "media:"

enum where {
	BETWEEN,   /* outside of strings */
	IN_STRING, /* one that goes on as it is */
	HELD,	   /* one that may be a reference */
};

struct scan {
	const struct mediarefs_sink *sink;
	enum where where;
	bool escaped; /* the byte that comes next follows a backslash */
	unsigned depth;
	uint64_t line;
	struct buf held, answer;
};

static int copy_bytes(struct scan *s, const char *from, const char *to)
{
	if (from == to || !s->sink->copy)
		return 0;
	return s->sink->copy(s->sink->ctx, from, (size_t)(to - from));
}

enum match {
	MATCH_NOT,
	MATCH_MAYBE, /* too short to tell */
	MATCH_YES,
};

/* Is this, from the quote on, the beginning of a reference? */
static enum match match_scheme(const char *at, size_t size)
{
	const char *end = at + size;

	at++;
	for (const char *want = SCHEME "//"; *want; want++) {
		if (*want == '/' && at < end && *at == '\\')
			at++;
		if (at == end)
			return MATCH_MAYBE;
		if (*at++ != *want)
			return MATCH_NOT;
	}
	return MATCH_YES;
}

/* The held string is no reference, or one that stays. */
static int let_go(struct scan *s)
{
	int r = copy_bytes(s, s->held.data, s->held.data + s->held.size);

	buf_clear(&s->held);
	return r;
}

/* The held string is whole. */
static int resolve(struct scan *s)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT(HELD_MAX);
	const size_t skip = strlen(SCHEME "//");
	const char *name;
	int r;

	if (match_scheme(s->held.data, s->held.size) != MATCH_YES ||
	    !jsonspan_string(jsonspan_of(s->held.data, s->held.size), &text))
		return let_go(s);
	if (buf_error(&text) < 0)
		return -ENOMEM;
	name = text.data + skip;
	if (text.size - skip > MEDIAREFS_NAME_MAX || strlen(name) != text.size - skip)
		name = NULL;
	buf_clear(&s->answer);
	r = s->sink->ref(s->sink->ctx, s->line, name, &s->answer);
	if (r != 0)
		return r;
	if (buf_error(&s->answer) < 0)
		return -ENOMEM;
	if (s->answer.size == 0)
		return let_go(s);
	buf_clear(&s->held);
	return copy_bytes(s, s->answer.data, s->answer.data + s->answer.size);
}

/* One byte of a held string. */
static int hold(struct scan *s, char c)
{
	bool closes = c == '"' && !s->escaped && s->held.size > 0;

	if (s->held.size == HELD_MAX) {
		int r = s->sink->ref(s->sink->ctx, s->line, NULL, &s->answer);

		return r != 0 ? r : -EINVAL;
	}
	buf_add_char(&s->held, c);
	if (buf_error(&s->held) < 0)
		return -ENOMEM;
	s->escaped = !s->escaped && c == '\\';
	if (closes) {
		s->where = BETWEEN;
		return resolve(s);
	}
	if (match_scheme(s->held.data, s->held.size) != MATCH_NOT)
		return 0;
	s->where = IN_STRING;
	return let_go(s);
}

/* A byte outside of strings; true if a string begins that has to be held. */
static bool step_between(struct scan *s, const char *p, const char *end)
{
	switch (*p) {
	case '{':
	case '[':
		s->depth++;
		break;
	case '}':
	case ']':
		s->depth -= s->depth > 0;
		break;
	case '\n':
		s->line++;
		s->depth = 0;
		break;
	case '"':
		s->escaped = false;
		if (s->depth >= 2 && (p + 1 == end || p[1] == SCHEME[0])) {
			s->where = HELD;
			return true;
		}
		s->where = IN_STRING;
		break;
	default:
		break;
	}
	return false;
}

/* Past bytes of a string that goes on as it is. */
static const char *skip_string(struct scan *s, const char *p, const char *end)
{
	while (p < end) {
		if (s->escaped) {
			s->escaped = false;
			p++;
			continue;
		}
		p = json_plain_end(p, end);
		if (p == end)
			break;
		if (*p == '"' || *p == '\n') {
			s->where = BETWEEN;
			return *p == '"' ? p + 1 : p;
		}
		s->escaped = *p == '\\';
		p++;
	}
	return p;
}

static int feed(struct scan *s, const char *p, const char *end)
{
	const char *from = p; /* not copied yet */
	int r = 0;

	while (p < end && r == 0) {
		if (s->where == HELD) {
			r = hold(s, *p++);
			from = p;
		} else if (s->where == IN_STRING) {
			p = skip_string(s, p, end);
		} else if (step_between(s, p, end)) {
			r = copy_bytes(s, from, p);
			if (r == 0)
				r = hold(s, *p);
			from = ++p;
		} else {
			p++;
		}
	}
	return r != 0 ? r : copy_bytes(s, from, end);
}

static int scan_chunks(struct scan *s, int fd, char *chunk)
{
	uint64_t offset = 0;
	int r = 0;

	while (r == 0) {
		ssize_t n = pread(fd, chunk, CHUNK_SIZE, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return let_go(s); /* a last line that was cut */
		offset += (uint64_t)n;
		r = feed(s, chunk, chunk + n);
	}
	return r;
}

int mediarefs_scan(int fd, const struct mediarefs_sink *sink)
{
	struct scan s = {
		.sink = sink,
		.line = 1,
		.held = BUF_INIT(HELD_MAX + 1),
		.answer = BUF_INIT(64 * 1024),
	};
	CLEANUP(str_freep) char *chunk = malloc(CHUNK_SIZE);
	int r = chunk ? scan_chunks(&s, fd, chunk) : -ENOMEM;

	buf_release(&s.held);
	buf_release(&s.answer);
	return r;
}
