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

/* Of recordIds that others have used. */
#define ID_USUAL_MAX 64
#define USUAL	     "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-#.:"

/* The service documents ids of letters and digits and no length; these are
 * known to come back as they went. */
static bool is_usual_id(struct jsonspan id)
{
	if (jsonspan_type(id) != JSONSPAN_STRING)
		return true; /* none, or said by who checks the lines */
	for (size_t i = 1; i + 1 < id.size; i++)
		if (!memchr(USUAL, id.at[i], sizeof(USUAL) - 1))
			return false;
	return id.size - 2 <= ID_USUAL_MAX;
}

/* Of the first one only. */
static void lint_id(struct jsonspan line, uint64_t number, bool *told, struct buf *warnings)
{
	if (*told || is_usual_id(jsonspan_get(line, "recordId")))
		return;
	*told = true;
	buf_addf(
		warnings,
		"input.jsonl:%llu: recordId: it is sent as it is, but only ids of up to %d of A-Z a-z "
		"0-9 _ - # . : are known to come back unchanged; try it with few records, or leave "
		"ids out\n",
		(unsigned long long)number, ID_USUAL_MAX);
}

static void lint_line(struct models_lint *lint, uint64_t number, const char *line, size_t size,
		      struct backend_input_check *ret, bool *id_told)
{
	struct jsonspan body = jsonspan_get(jsonspan_of(line, size), "modelInput");
	char where[64];

	lint_id(jsonspan_of(line, size), number, id_told, ret->warnings);

	if (jsonspan_type(body) != JSONSPAN_OBJECT)
		return; /* said by who checks the lines */
	snprintf(where, sizeof(where), "input.jsonl:%llu: ", (unsigned long long)number);
	models_lint_body(lint, where, body.at, body.size, ret->faults, ret->warnings);
}

static int lint_lines(struct lines *l, struct models_lint *lint, struct backend_input_check *ret)
{
	uint64_t number = 1;
	bool id_told = false;
	const char *line;
	size_t size;
	int r;

	for (; (r = lines_next(l, &line, &size)) == 0; number++)
		lint_line(lint, number, line, size, ret, &id_told);
	if (r != -ENODATA)
		return r;
	lines_rest(l, &line, &size);
	if (size > 0)
		lint_line(lint, number, line, size, ret, &id_told);
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
