#include "backend/aws/trust.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "fs/base/jsonscan.h"
#include "fs/base/jsonspan.h"

/*
 * A statement lets the service in, keeps it out, or has nothing to say of it;
 * its conditions are met, not met, or cannot be judged.  As IAM does it: a
 * Deny that is met wins, then an Allow that is met, and else nobody is let in.
 *
 * The job's ARN is not known before it exists, so that aws:SourceArn is tried
 * on one with an id of the right shape.
 */

#define STRING_MAX    2048
#define PEOPLE_SHOWN  3
#define JOB_ID_SAMPLE "a0b1c2d3e4f5"

enum met {
	MET,
	MET_NOT,
	MET_UNSURE,
};

struct judge {
	const struct trust_place *place;
	char arn[256];	       /* of a job that could be */
	struct buf people;     /* who else is trusted, for words */
	unsigned people_count; /* all of them */
	bool only_account;     /* all of them are the account itself */
	struct buf *fault;     /* the first condition that is not met */
};

/* '*' and '?' as IAM has them; any case if folded. */
static bool is_like(const char *pattern, const char *text, bool folded)
{
	const char *star = NULL, *from = text;

	while (*text) {
		bool same = folded ? strncasecmp(pattern, text, 1) == 0 : *pattern == *text;

		if (*pattern == '*') {
			star = ++pattern;
			from = text;
		} else if (*pattern && (*pattern == '?' || same)) {
			pattern++;
			text++;
		} else if (star) {
			pattern = star;
			text = ++from;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

/* A policy writes one string where it could write a list of them.  Calls
 * each() for all until it returns true; was there one? */
static bool any_string(struct jsonspan v, bool (*each)(void *ctx, const char *s), void *ctx)
{
	CLEANUP(buf_release) struct buf s = BUF_INIT(STRING_MAX);
	struct jsonspan_walk w;

	if (jsonspan_type(v) == JSONSPAN_STRING)
		return jsonspan_string(v, &s) && buf_error(&s) == 0 && each(ctx, s.data);
	if (jsonspan_type(v) != JSONSPAN_ARRAY)
		return false;
	w = jsonspan_walk(v);
	while (jsonspan_next(&w)) {
		buf_clear(&s);
		if (jsonspan_string(w.value, &s) && buf_error(&s) == 0 && each(ctx, s.data))
			return true;
	}
	return false;
}

static bool is_assume(void *ctx, const char *action)
{
	(void)ctx;
	return is_like(action, "sts:AssumeRole", true);
}

static bool is_service(void *ctx, const char *principal)
{
	(void)ctx;
	return strcmp(principal, TRUST_SERVICE) == 0;
}

static bool is_root(const char *principal)
{
	size_t size = strlen(principal);

	return (size == 12 && strspn(principal, "0123456789") == 12) ||
	       (size > 5 && strcmp(principal + size - 5, ":root") == 0);
}

static bool note_person(void *ctx, const char *principal)
{
	struct judge *j = ctx;

	if (!is_root(principal))
		j->only_account = false;
	if (j->people_count++ < PEOPLE_SHOWN)
		buf_addf(&j->people, "%s%s", j->people.size ? ", " : "", principal);
	return false;
}

/* One value of a condition. */
struct wanted {
	const char *fact;
	bool pattern, folded;
	bool has_star; /* one of the values has a '*' that counts as a letter */
	char first[128];
};

static bool is_wanted(void *ctx, const char *value)
{
	struct wanted *w = ctx;

	if (!w->first[0])
		snprintf(w->first, sizeof(w->first), "%s", value);
	if (w->pattern)
		return is_like(value, w->fact, w->folded);
	if (strchr(value, '*'))
		w->has_star = true;
	return (w->folded ? strcasecmp : strcmp)(value, w->fact) == 0;
}

/* "StringNotLikeIfExists" taken apart; false if it is none that compares texts. */
static bool parse_operator(const char *name, struct wanted *w, bool *ret_negated)
{
	static const struct {
		const char *name;
		bool pattern, folded, negated;
	} rows[] = {
		{"StringEquals", false, false, false},
		{"StringNotEquals", false, false, true},
		{"StringEqualsIgnoreCase", false, true, false},
		{"StringNotEqualsIgnoreCase", false, true, true},
		{"StringLike", true, false, false},
		{"StringNotLike", true, false, true},
		{"ArnEquals", true, false, false},
		{"ArnLike", true, false, false},
		{"ArnNotEquals", true, false, true},
		{"ArnNotLike", true, false, true},
	};
	static const char tail[] = "IfExists";
	const char *colon = strchr(name, ':'); /* ForAnyValue: */
	const char *at = colon ? colon + 1 : name;
	size_t size = strlen(at), tail_size = sizeof(tail) - 1;

	if (size > tail_size && strcasecmp(at + size - tail_size, tail) == 0)
		size -= tail_size;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if (strlen(rows[i].name) != size || strncasecmp(at, rows[i].name, size) != 0)
			continue;
		w->pattern = rows[i].pattern;
		w->folded = rows[i].folded;
		*ret_negated = rows[i].negated;
		return true;
	}
	return false;
}

static void tell_fault(struct judge *j, const char *key, const struct wanted *w, const char *name)
{
	if (j->fault->size)
		return;
	if (w->has_star)
		buf_addf(j->fault,
			 "its condition on %s uses %s, which takes '*' for a letter (ArnLike and "
			 "StringLike do not)",
			 key, name);
	else
		buf_addf(j->fault, "its condition on %s has \"%s\", and here it is \"%s\"", key,
			 w->first, w->fact);
}

static enum met judge_key(struct judge *j, const char *operator_name, const char *key,
			  struct jsonspan values)
{
	struct wanted w = {.fact = NULL};
	bool negated = false;
	enum met met;

	if (strcasecmp(key, "aws:SourceAccount") == 0)
		w.fact = j->place->account;
	else if (strcasecmp(key, "aws:SourceArn") == 0)
		w.fact = j->arn;
	if (!w.fact || !w.fact[0] || !parse_operator(operator_name, &w, &negated)) {
		if (!j->fault->size)
			buf_addf(j->fault, "its condition %s on %s cannot be judged from here",
				 operator_name, key);
		return MET_UNSURE;
	}
	met = any_string(values, is_wanted, &w) != negated ? MET : MET_NOT;
	if (met == MET_NOT)
		tell_fault(j, key, &w, operator_name);
	return met;
}

/* All of them have to be met. */
static enum met judge_conditions(struct judge *j, struct jsonspan conditions)
{
	CLEANUP(buf_release) struct buf name = BUF_INIT(STRING_MAX);
	CLEANUP(buf_release) struct buf key = BUF_INIT(STRING_MAX);
	struct jsonspan_walk w = jsonspan_walk(conditions);
	enum met all = MET;

	while (jsonspan_next(&w)) {
		struct jsonspan_walk keys = jsonspan_walk(w.value);

		buf_clear(&name);
		jsonspan_string(w.key, &name);
		while (jsonspan_next(&keys)) {
			enum met met;

			buf_clear(&key);
			jsonspan_string(keys.key, &key);
			if (buf_error(&name) < 0 || buf_error(&key) < 0)
				return MET_UNSURE;
			met = judge_key(j, name.data, key.data, keys.value);
			if (met == MET_NOT)
				return MET_NOT;
			if (met == MET_UNSURE)
				all = MET_UNSURE;
		}
	}
	return all;
}

/* Does the statement speak of the service and of taking on the role? */
static bool concerns_service(struct judge *j, struct jsonspan s, bool allows)
{
	struct jsonspan who = jsonspan_get(s, "Principal");
	struct jsonspan_walk w;

	if (!any_string(jsonspan_get(s, "Action"), is_assume, NULL))
		return false;
	if (jsonspan_equals(who, "*"))
		return true;
	if (any_string(jsonspan_get(who, "Service"), is_service, NULL))
		return true;
	if (!allows || jsonspan_type(who) != JSONSPAN_OBJECT)
		return false;
	w = jsonspan_walk(who);
	while (jsonspan_next(&w))
		any_string(w.value, note_person, j);
	return false;
}

struct findings {
	bool denied, given, unsure, elsewhere;
};

static void judge_statement(struct judge *j, struct jsonspan s, struct findings *f)
{
	bool allows = jsonspan_equals(jsonspan_get(s, "Effect"), "Allow");
	enum met met;

	if (!concerns_service(j, s, allows))
		return;
	met = judge_conditions(j, jsonspan_get(s, "Condition"));
	if (met == MET && allows && jsonspan_equals(jsonspan_get(s, "Principal"), "*")) {
		buf_add_str(j->fault, j->fault->size ? "" : "it trusts everybody");
		met = MET_UNSURE; /* IAM does not say whether services are meant */
	}
	if (allows) {
		f->given |= met == MET;
		f->elsewhere |= met == MET_NOT;
		f->unsure |= met == MET_UNSURE;
	} else {
		f->denied |= met == MET;
		f->unsure |= met == MET_UNSURE;
	}
}

static enum trust conclude(struct judge *j, const struct findings *f, struct buf *words)
{
	if (f->denied) {
		buf_add_str(words, "a Deny in it keeps the service out");
		return TRUST_DENIED;
	}
	if (f->given && !f->unsure)
		return TRUST_GIVEN;
	if (f->unsure || f->elsewhere) {
		buf_add_str(words, j->fault->data);
		return f->unsure ? TRUST_UNSURE : TRUST_ELSEWHERE;
	}
	if (!j->people_count) {
		buf_add_str(words, "it trusts nobody who could run a batch job");
		return TRUST_OTHERS;
	}
	buf_addf(words, "it trusts only %s%s", j->people.data,
		 j->people_count > PEOPLE_SHOWN ? " and others" : "");
	if (!j->only_account) {
		buf_add_str(words, ", and not the service " TRUST_SERVICE);
		return TRUST_OTHERS;
	}
	buf_add_str(words, ", that is people and programs of the account, and not the "
			   "service " TRUST_SERVICE);
	return TRUST_PEOPLE;
}

enum trust trust_judge(const char *policy, size_t size, const struct trust_place *p,
		       struct buf *words)
{
	CLEANUP(buf_release) struct buf fault = BUF_INIT(STRING_MAX);
	struct judge j = {
		.place = p, .people = BUF_INIT(STRING_MAX), .only_account = true, .fault = &fault};
	struct findings f = {false, false, false, false};
	struct jsonspan statements;
	enum trust t;

	if (size > TRUST_POLICY_MAX || !jsonscan_text_is_valid(policy, size)) {
		buf_add_str(words, "its trust policy is no JSON");
		return TRUST_UNREADABLE;
	}
	snprintf(j.arn, sizeof(j.arn), "arn:%s:bedrock:%s:%s:model-invocation-job/" JOB_ID_SAMPLE,
		 p->partition, p->region, p->account);
	statements = jsonspan_get(jsonspan_of(policy, size), "Statement");
	if (jsonspan_type(statements) == JSONSPAN_OBJECT) {
		judge_statement(&j, statements, &f);
	} else {
		struct jsonspan_walk w = jsonspan_walk(statements);

		while (jsonspan_next(&w))
			judge_statement(&j, w.value, &f);
	}
	t = conclude(&j, &f, words);
	buf_release(&j.people);
	return t;
}

void trust_add_policy(struct buf *out, const struct trust_place *p)
{
	buf_addf(out,
		 "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{"
		 "\"Service\":\"" TRUST_SERVICE "\"},\"Action\":\"sts:AssumeRole\","
		 "\"Condition\":{\"StringEquals\":{\"aws:SourceAccount\":\"%s\"},"
		 "\"ArnLike\":{\"aws:SourceArn\":\"arn:%s:bedrock:%s:%s:model-invocation-job/*\"}}"
		 "}]}",
		 p->account, p->partition, p->region, p->account);
}
