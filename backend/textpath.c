#include "backend/textpath.h"

#include <assert.h>
#include <string.h>

/* What one evaluation carries along. */
struct following {
	bool (*visit)(void *ctx, struct jsonspan v);
	void *ctx;
	bool any, stopped;
};

/* A part of a path: borrowed, not terminated. */
struct part {
	const char *at;
	size_t size;
};

/* Cuts the part up to the first of the bytes in stops off *rest, and the stop
 * with it. */
static struct part cut(struct part *rest, char stop)
{
	const char *found = memchr(rest->at, stop, rest->size);
	struct part head = {rest->at, found ? (size_t)(found - rest->at) : rest->size};

	rest->at += head.size + (found != NULL);
	rest->size -= head.size + (found != NULL);
	return head;
}

static bool part_is(struct part p, const char *s)
{
	return p.size == strlen(s) && memcmp(p.at, s, p.size) == 0;
}

/* The part as a string in text, which has TEXTPATH_MAX bytes. */
static const char *spell(struct part p, char *text)
{
	assert(p.size < TEXTPATH_MAX);
	memcpy(text, p.at, p.size);
	text[p.size] = '\0';
	return text;
}

/* "type=text", "thought!=true" or "stop_reason". */
static bool passes(struct jsonspan v, struct part test)
{
	char key[TEXTPATH_MAX], value[TEXTPATH_MAX];
	struct part name = cut(&test, '=');
	struct jsonspan member;
	bool negated = name.size && name.at[name.size - 1] == '!';
	bool equal;

	if (negated)
		name.size--;
	member = jsonspan_get(v, spell(name, key));
	if (!test.size)
		return jsonspan_is_set(member);
	if (jsonspan_type(member) == JSONSPAN_STRING)
		equal = jsonspan_equals(member, spell(test, value));
	else
		equal = member.size == test.size && memcmp(member.at, test.at, test.size) == 0;
	return equal != negated;
}

static bool has_type(struct jsonspan v, struct part type)
{
	if (part_is(type, "@array"))
		return jsonspan_type(v) == JSONSPAN_ARRAY;
	if (part_is(type, "@object"))
		return jsonspan_type(v) == JSONSPAN_OBJECT;
	assert(part_is(type, "@string"));
	return jsonspan_type(v) == JSONSPAN_STRING;
}

static void follow(struct following *f, struct jsonspan v, struct part rest);

/* Goes on with v if it passes the test of the step that led to it. */
static void follow_if(struct following *f, struct jsonspan v, struct part test, struct part rest)
{
	if (test.size && !passes(v, test))
		return;
	follow(f, v, rest);
}

/* Depth is the number of steps in a path of ours; only '*' branches. */
static void follow(struct following *f, struct jsonspan v, struct part rest)
{
	char name_text[TEXTPATH_MAX];
	struct part step, name;

	if (!jsonspan_is_set(v))
		return;
	if (!rest.size) {
		f->any = true;
		f->stopped = !f->visit(f->ctx, v);
		return;
	}
	step = cut(&rest, '/');
	name = cut(&step, '[');
	if (step.size)
		step.size--; /* the "]" */

	if (name.size && name.at[0] == '@') {
		if (has_type(v, name))
			follow(f, v, rest);
	} else if (part_is(name, "*")) {
		struct jsonspan_walk w = jsonspan_walk(v);

		while (!f->stopped && jsonspan_type(v) == JSONSPAN_ARRAY && jsonspan_next(&w))
			follow_if(f, w.value, step, rest);
	} else {
		if (name.size)
			v = jsonspan_path(v, spell(name, name_text));
		follow_if(f, v, step, rest);
	}
}

bool textpath_each(struct jsonspan v, const char *path, bool (*visit)(void *ctx, struct jsonspan v),
		   void *ctx)
{
	struct following f = {visit, ctx, false, false};
	struct part rest = {path, strlen(path)};

	assert(rest.size < TEXTPATH_MAX);
	do
		follow(&f, v, cut(&rest, '|'));
	while (!f.any && rest.size);
	return f.any;
}

static bool keep(void *ctx, struct jsonspan v)
{
	struct jsonspan *ret = ctx;

	*ret = v;
	return false;
}

struct jsonspan textpath_first(struct jsonspan v, const char *path)
{
	struct jsonspan found = {NULL, 0};

	textpath_each(v, path, keep, &found);
	return found;
}

struct summing {
	uint64_t sum;
	bool any;
};

static bool add(void *ctx, struct jsonspan v)
{
	struct summing *s = ctx;
	uint64_t n;

	if (jsonspan_u64(v, &n)) {
		s->sum = n > UINT64_MAX - s->sum ? UINT64_MAX : s->sum + n;
		s->any = true;
	}
	return true;
}

bool textpath_sum(struct jsonspan v, const char *path, uint64_t *sum)
{
	struct summing s = {*sum, false};

	textpath_each(v, path, add, &s);
	*sum = s.sum;
	return s.any;
}
