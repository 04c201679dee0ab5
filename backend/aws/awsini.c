#include "backend/aws/awsini.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "fs/base/kv.h"

/* Where the reading of a text stands. */
struct reading {
	struct awsini *ini; /* borrowed */
	enum awsini_file file;
	bool in_section;
	size_t section;
	bool has_key;	   /* a pair came since the section began */
	size_t key_indent; /* of that pair, which lines further in belong to */
	size_t key_index;
	const char *fault; /* constant text */
};

static void wipe(char **s)
{
	if (*s)
		explicit_bzero(*s, strlen(*s));
	free(*s);
	*s = NULL;
}

void awsini_release(struct awsini *ini)
{
	for (size_t i = 0; i < ini->section_count; i++) {
		free(ini->sections[i].kind);
		free(ini->sections[i].name);
	}
	for (size_t i = 0; i < ini->pair_count; i++) {
		free(ini->pairs[i].outer);
		free(ini->pairs[i].key);
		wipe(&ini->pairs[i].val);
	}
	free(ini->sections);
	free(ini->pairs);
	*ini = (struct awsini)AWSINI_INIT;
}

static const struct awsini_section *find_section(const struct awsini *ini, const char *kind,
						 const char *name)
{
	for (size_t i = 0; i < ini->section_count; i++)
		if (strcmp(ini->sections[i].kind, kind) == 0 &&
		    strcmp(ini->sections[i].name, name) == 0)
			return &ini->sections[i];
	return NULL;
}

bool awsini_has(const struct awsini *ini, const char *kind, const char *name)
{
	return find_section(ini, kind, name) != NULL;
}

const char *awsini_get(const struct awsini *ini, const char *kind, const char *name,
		       const char *outer, const char *key)
{
	const struct awsini_section *s = find_section(ini, kind, name);

	if (!s)
		return NULL;
	for (size_t i = ini->pair_count; i-- > 0;) {
		const struct awsini_pair *p = &ini->pairs[i];

		if (p->section != (size_t)(s - ini->sections) || !p->outer != !outer ||
		    (outer && strcmp(p->outer, outer) != 0) || strcmp(p->key, key) != 0)
			continue;
		return *p->val ? p->val : NULL;
	}
	return NULL;
}

static char *lower(const char *s, size_t size)
{
	char *l = strndup(s, size);

	for (char *c = l; c && *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return l;
}

/* "profile dev", "profile 'my own'", "default". */
static int split_section(const struct reading *r, const char *text, size_t size, char **kind,
			 char **name)
{
	static const char *const kinds[] = {"profile", "sso-session", "services"};
	const char *k = r->file == AWSINI_CREDENTIALS ? "profile" : "";

	for (size_t i = 0; i < COUNT_OF(kinds) && r->file == AWSINI_CONFIG; i++) {
		size_t n = strlen(kinds[i]);

		if (size <= n || strncmp(text, kinds[i], n) != 0 || !strchr(" \t", text[n]))
			continue;
		k = kinds[i];
		while (n < size && strchr(" \t", text[n]))
			n++;
		text += n;
		size -= n;
		break;
	}
	if (r->file == AWSINI_CONFIG && size == 7 && strncmp(text, "default", 7) == 0 && !*k)
		k = "profile";
	if (size >= 2 && (*text == '"' || *text == '\'') && text[size - 1] == *text) {
		text++;
		size -= 2;
	}
	if (size == 0)
		return -EINVAL;
	*kind = strdup(k);
	*name = strndup(text, size);
	return *kind && *name ? 0 : -ENOMEM;
}

static int begin_section(struct reading *r, const char *text, size_t size)
{
	CLEANUP(str_freep) char *kind = NULL, *name = NULL;
	const struct awsini_section *old;
	struct awsini_section *grown;
	int failed;

	r->fault = "a section without a name";
	failed = split_section(r, text, size, &kind, &name);
	if (failed < 0)
		return failed;
	r->in_section = true;
	r->has_key = false;
	old = find_section(r->ini, kind, name);
	if (old) {
		r->section = (size_t)(old - r->ini->sections);
		return 0;
	}
	grown = reallocarray(r->ini->sections, r->ini->section_count + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	r->ini->sections = grown;
	r->section = r->ini->section_count++;
	grown[r->section] = (struct awsini_section){.kind = STEAL(&kind), .name = STEAL(&name)};
	return 0;
}

static int add_pair(struct reading *r, const struct kv_line *l, const char *outer)
{
	CLEANUP(str_freep) char *key = lower(l->name, l->name_size);
	CLEANUP(str_freep) char *out = outer ? strdup(outer) : NULL;
	CLEANUP(wipe) char *val = strndup(l->value, l->value_size);
	struct awsini_pair *grown;

	if (!key || !val || (outer && !out))
		return -ENOMEM;
	grown = reallocarray(r->ini->pairs, r->ini->pair_count + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	r->ini->pairs = grown;
	grown[r->ini->pair_count++] = (struct awsini_pair){.section = r->section,
							   .outer = STEAL(&out),
							   .key = STEAL(&key),
							   .val = STEAL(&val)};
	return 0;
}

static int take_pair(struct reading *r, const struct kv_line *l, size_t indent)
{
	const struct awsini_pair *above;

	r->fault = "a line before the first section; write [default] above it";
	if (!r->in_section)
		return -EINVAL;
	if (!r->has_key || indent <= r->key_indent) {
		r->has_key = true;
		r->key_indent = indent;
		r->key_index = r->ini->pair_count;
		return add_pair(r, l, NULL);
	}
	above = &r->ini->pairs[r->key_index];
	r->fault = "a line that begins with white space, under a key that has a value; "
		   "take the white space away";
	if (*above->val)
		return -EINVAL;
	return add_pair(r, l, above->key);
}

/* "[name] # words" */
static size_t without_comment(const char *line, size_t size)
{
	const char *end = memchr(line, ']', size);
	size_t i;

	if (!end)
		return size;
	i = (size_t)(end - line) + 1;
	while (i < size && strchr(" \t", line[i]))
		i++;
	return i < size && (line[i] == '#' || line[i] == ';') ? (size_t)(end - line) + 1 : size;
}

static int take_line(struct reading *r, const char *line, size_t size)
{
	size_t indent = 0;
	struct kv_line l;

	while (indent < size && (line[indent] == ' ' || line[indent] == '\t'))
		indent++;
	if (indent < size && line[indent] == '[')
		size = without_comment(line, size);
	if (kv_line_parse(line, size, &l, &r->fault) < 0)
		return -EINVAL;
	switch (l.kind) {
	case KV_LINE_EMPTY:
		return 0;
	case KV_LINE_SECTION:
		return begin_section(r, l.name, l.name_size);
	case KV_LINE_PAIR:
		return take_pair(r, &l, indent);
	}
	return 0;
}

int awsini_parse(struct awsini *ini, enum awsini_file file, const char *name, const char *text,
		 size_t size, struct err *e)
{
	struct reading r = {.ini = ini, .file = file};

	if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) { /* as some editors begin */
		text += 3;
		size -= 3;
	}
	for (unsigned number = 1; size; number++) {
		const char *end = memchr(text, '\n', size);
		size_t line = end ? (size_t)(end - text) : size;
		int failed = 0;

		r.fault = "more lines than are read; take some away";
		failed = number > AWSINI_LINES_MAX ? -EINVAL : take_line(&r, text, line);
		if (failed == -ENOMEM)
			return err_set(e, failed, "%s: no memory", name);
		if (failed < 0)
			return err_set(e, failed, "%s:%u: %s", name, number, r.fault);
		line += end != NULL;
		text += line;
		size -= line;
	}
	return 0;
}

static int read_whole(int fd, char *to, size_t max, size_t *ret_size)
{
	size_t size = 0;

	while (size < max) {
		ssize_t n = read(fd, to + size, max - size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		size += (size_t)n;
	}
	*ret_size = size;
	return 0;
}

int awsini_load(struct awsini *ini, enum awsini_file file, const char *path, struct err *e)
{
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	CLEANUP(str_freep) char *text = NULL;
	size_t size = 0;
	int r;

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (fd < 0) {
		r = errno == EACCES || errno == EPERM ? -EACCES : -EIO;
		return err_errno(e, r, "cannot read %s", path);
	}
	text = malloc(AWSINI_FILE_MAX + 1);
	if (!text)
		return err_set(e, -ENOMEM, "%s: no memory", path);
	r = read_whole(fd, text, AWSINI_FILE_MAX + 1, &size);
	if (r < 0)
		r = err_set(e, -EIO, "cannot read %s: %s", path,
			    r == -EISDIR ? "it is a directory" : "input/output error");
	else if (size > AWSINI_FILE_MAX)
		r = err_set(e, -EINVAL, "%s: larger than %d bytes", path, AWSINI_FILE_MAX);
	else
		r = awsini_parse(ini, file, path, text, size, e);
	explicit_bzero(text, size);
	return r;
}
