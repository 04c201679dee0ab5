#ifndef TESTS_UNIT_LOCALBENCH_H
#define TESTS_UNIT_LOCALBENCH_H

/* For tests of the local backend from outside: a directory, a backend in it,
 * one part, and ways to watch it. */

#include <poll.h>
#include <string.h>
#include <sys/stat.h>

#include "backend/local/local.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/tempdir.h"

static inline void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static inline char *read_file(const char *path)
{
	FILE *f = fopen(path, "re");
	char *text = NULL;
	size_t size = 0;

	if (!f)
		return NULL;
	if (getdelim(&text, &size, '\0', f) < 0)
		text[0] = '\0';
	fclose(f);
	return text;
}

static inline void write_input(const char *path, int records)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	for (int i = 0; i < records; i++)
		fprintf(f,
			"{\"recordId\":\"r%d\",\"modelInput\":{\"messages\":[{\"role\":\"user\","
			"\"content\":\"say %d\"}]}}\n",
			i, i);
	assert_int_equal(fclose(f), 0);
}

static inline int count_lines(const char *text)
{
	int n = 0;

	for (; text && *text; text++)
		n += *text == '\n';
	return n;
}

#define BENCH_RECORDS_MAX 5000

/* What most tests have: a directory, a backend in it, one part. */
struct bench {
	struct tempdir_name dir, input, config_file;
	struct backend *b;
	struct kv config;
	struct backend_part part;
};

static inline void bench_open(struct bench *t, const char *config_path)
{
	struct err e = ERR_INIT;

	if (local_open(t->dir.text, config_path, BENCH_RECORDS_MAX, &t->b, &e) != 0)
		fail_msg("%s", e.text);
}

static inline void bench_init(struct bench *t, void **state, int records)
{
	*t = (struct bench){.dir = tempdir_path(state, "runs"),
			    .input = tempdir_path(state, "input.jsonl"),
			    .config_file = tempdir_path(state, "batchfs.ini")};
	mkdir(t->dir.text, 0700);
	write_input(t->input.text, records);
	t->part = (struct backend_part){
		.token = "t-1",
		.job_name = "job",
		.model = "builtin.echo",
		.config = &t->config,
		.input_path = t->input.text,
		.record_count = (uint64_t)records,
		.attempt = 1,
	};
	bench_open(t, NULL);
}

static inline void bench_release(struct bench *t)
{
	t->b->ops->close(t->b);
	kv_release(&t->config);
}

static inline void create(struct bench *t)
{
	CLEANUP(str_freep) char *remote = NULL;
	struct err e = ERR_INIT;

	if (t->b->ops->create(t->b, &t->part, &remote, &e) != 0)
		fail_msg("%s", e.text);
	assert_string_equal(remote, t->part.token);
}

static inline struct part_status status_of(struct bench *t)
{
	struct part_status s = {.raw = ""};
	const char *remote = t->part.token;

	assert_int_equal(t->b->ops->poll(t->b, &remote, &s, 1, NULL, NULL, NULL), 0);
	return s;
}

/* Waits for a thing to come true; ten seconds are for ever. */
static inline struct part_status wait_until(struct bench *t,
					    bool (*is)(const struct part_status *s))
{
	struct part_status s = {.raw = ""};

	for (int i = 0; i < 10000; i++) {
		s = status_of(t);
		if (is(&s))
			return s;
		poll(NULL, 0, 1);
	}
	fail_msg("stuck in %s: %s", s.raw, s.message);
	return s;
}

static inline bool has_ended(const struct part_status *s)
{
	return job_state_is_end(s->state);
}

static inline bool has_some(const struct part_status *s)
{
	return s->counts.good >= 5 || has_ended(s);
}

static inline bool has_message(const struct part_status *s)
{
	return s->message[0] || has_ended(s);
}

static inline char *results_of(struct bench *t)
{
	struct backend_files files = {.count = 0};
	char *text;

	assert_int_equal(t->b->ops->fetch(t->b, t->part.token, "/nowhere", &files, NULL), 0);
	assert_int_equal(files.count, 1);
	text = read_file(files.paths[0]);
	backend_files_release(&files);
	assert_non_null(text);
	return text;
}

#endif
