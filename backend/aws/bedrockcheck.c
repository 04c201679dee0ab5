/* What is known before anything is sent: a look at each record. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "backend/aws/bedrock_private.h"
#include "backend/aws/bedrockmedia.h"
#include "backend/aws/models.h"
#include "backend/lines.h"
#include "fs/base/jsonspan.h"

/* Roughly what an image of a million pixels takes. */
#define IMAGE_TOKENS  1600
#define BYTES_A_TOKEN 4
#define RECORD_MARGIN 16 /* tokens a record has beside its text */

static void lint_line(struct models_lint *lint, uint64_t number, const char *line, size_t size,
		      struct backend_input_check *ret)
{
	struct jsonspan body = jsonspan_get(jsonspan_of(line, size), "modelInput");
	char where[64];

	if (jsonspan_type(body) != JSONSPAN_OBJECT)
		return; /* said by who checks the lines */
	snprintf(where, sizeof(where), "input.jsonl:%llu: ", (unsigned long long)number);
	models_lint_body(lint, where, body.at, body.size, ret->faults, ret->warnings);
}

static int lint_lines(struct lines *l, struct models_lint *lint, struct backend_input_check *ret)
{
	uint64_t number = 1;
	const char *line;
	size_t size;
	int r;

	for (; (r = lines_next(l, &line, &size)) == 0; number++)
		lint_line(lint, number, line, size, ret);
	if (r != -ENODATA)
		return r;
	lines_rest(l, &line, &size);
	if (size > 0)
		lint_line(lint, number, line, size, ret);
	return 0;
}

static int lint_input(const struct backend_part *p, int fd, bool converse,
		      struct backend_input_check *ret, struct err *e)
{
	CLEANUP(lines_release) struct lines l = {.window_ = BUF_INIT(0)};
	struct models_lint lint = {.model = p->model, .converse = converse};
	int r;

	lines_init(&l, fd);
	r = lint_lines(&l, &lint, ret);
	if (r < 0)
		return err_errno(e, r == -EINVAL ? -EIO : r, "cannot read %s", p->input_path);
	ret->has_estimate = lint.records > 0;
	ret->estimate.input = lint.text_bytes / BYTES_A_TOKEN + lint.images * IMAGE_TOKENS +
			      lint.records * RECORD_MARGIN;
	ret->estimate.output = lint.output_tokens_max;
	return 0;
}

int bedrock_check_input(struct backend *backend, const struct backend_part *p,
			struct backend_input_check *ret, struct err *e)
{
	struct bedrock *b = bedrock_of(backend);
	CLEANUP(fd_closep) int fd = open(p->input_path, O_RDONLY | O_CLOEXEC);
	const char *invocation = bedrock_setting(b, p->config, "invocation");
	struct bedrock_media *media = NULL;
	struct err why = ERR_INIT;
	int r;

	if (fd < 0)
		return err_errno(e, -errno, "cannot open %s", p->input_path);
	if (bedrock_check_part(b, p, &why) < 0)
		buf_addf(ret->faults, "%s\n", why.text);
	r = bedrock_media_scan(p, fd, &media, &why);
	bedrock_media_free(media);
	if (r == -EINVAL)
		buf_addf(ret->faults, "%s\n", why.text);
	else if (r < 0)
		return err_set(e, r, "%s", why.text);
	return lint_input(p, fd, invocation && strcmp(invocation, "Converse") == 0, ret, e);
}
