#ifndef TESTS_UNIT_DEDUPEKIT_H
#define TESTS_UNIT_DEDUPEKIT_H

/* Lists, files and results for the tests of what leaves records out and of what
 * gives them their lines; state is tempdir.h's. */

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cache/results.h"
#include "fs/base/buf.h"
#include "fs/job/collect.h"
#include "fs/job/input.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/tempdir.h"

#define DEDUPEKIT_TEXT_MAX (64u * 1024 * 1024)

static inline void kit_write(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
	assert_int_equal(fclose(f), 0);
}

/* The caller frees it. */
static inline char *kit_read(const char *path)
{
	CLEANUP(buf_release) struct buf all = BUF_INIT(DEDUPEKIT_TEXT_MAX);
	CLEANUP(file_closep) FILE *f = fopen(path, "re");
	int c;

	if (!f)
		return NULL;
	while ((c = getc(f)) != EOF)
		buf_add_char(&all, (char)c);
	buf_add_char(&all, '\0');
	return buf_steal(&all);
}

/* A checked file. */
struct kit_list {
	struct tempdir_name path;
	struct input *in;
	int fd;
};

static inline void kit_open(void **state, const char *name, struct kit_list *ret)
{
	struct err e = ERR_INIT;

	ret->path = tempdir_path(state, name);
	ret->fd = open(ret->path.text, O_RDWR | O_CLOEXEC);
	assert_true(ret->fd >= 0);
	assert_int_equal(input_new(*state, &ret->in, &e), 0);
	if (input_rescan(ret->in, ret->fd, NULL, &e) < 0 || !input_is_valid(ret->in))
		fail_msg("%s is not valid %s", name, e.text);
}

static inline void kit_close(struct kit_list *l)
{
	input_free(l->in);
	fd_closep(&l->fd);
}

/* Joins those files of the test's directory; the results are pinned. */
struct kit_join {
	const char *input, *dir;
	const char *files[16];
	size_t earlier;
	bool no_sharing, missing_is_retryable;
};

static inline struct results *kit_collect(void **state, const struct kit_join *j,
					  struct collect_summary *sum)
{
	struct tempdir_name in = tempdir_path(state, j->input), g = tempdir_path(state, j->dir),
			    names[16];
	const char *paths[16];
	struct collect_request q = {.input_path = in.text,
				    .scratch_dir = *state,
				    .results_dir = g.text,
				    .paths = paths,
				    .model = "m",
				    .earlier_count = j->earlier,
				    .share_copies = !j->no_sharing,
				    .missing_is_retryable = j->missing_is_retryable,
				    .missing_reason = "not run"};
	struct results *r = NULL;
	struct err e = ERR_INIT;

	for (; q.path_count < COUNT_OF(paths) && j->files[q.path_count]; q.path_count++) {
		names[q.path_count] = tempdir_path(state, j->files[q.path_count]);
		paths[q.path_count] = names[q.path_count].text;
	}
	if (collect_run(&q, sum, &e) < 0 || results_open(NULL, g.text, &r, &e) < 0 ||
	    results_pin(r, &e) < 0)
		fail_msg("%s", e.text);
	return r;
}

static inline void kit_done(struct results *r)
{
	results_unpin(r);
	results_unref(r);
}

static inline void kit_assert_bytes(const struct results *r, enum results_file f, const char *want)
{
	uint64_t size;
	const char *at = results_bytes(r, f, &size);

	if (size != strlen(want) || memcmp(at, want, size) != 0)
		fail_msg("file %d is [%.*s], not [%s]", (int)f, (int)size, at, want);
}

/* What the model was given, and what it may say. */
#define KIT_IN(id, x) "{\"recordId\":\"" id "\",\"modelInput\":{\"p\":" x "}}"
#define KIT_GOOD(id, text)                                                                         \
	"{\"modelInput\":{\"as\":\"sent\"},\"modelOutput\":{\"generation\":\"" text                \
	"\",\"prompt_token_count\":2,\"generation_token_count\":3,"                                \
	"\"stop_reason\":\"stop\"},\"recordId\":\"" id "\"}"
#define KIT_BAD(id, code) "{\"recordId\":\"" id "\",\"error\":{\"errorCode\":" code "}}"

#endif
