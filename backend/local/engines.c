#include "backend/local/engines.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "backend/local/builtin.h"

/*
 * Builtins are entries of the same list, each with the definition
 * "engine = builtin.NAME", so that nothing else has to tell them apart.
 *
 * A section is checked when it is complete, that is at the next one or at the
 * end, since which keys it may have depends on which engine it names.
 */

struct model {
	char *name;	      /* owned */
	struct kv definition; /* owned */
	const struct engine *engine;
};

struct engines {
	char *path; /* owned; NULL: no file */
	struct model *models;
	size_t count;
};

static const struct engine *const known[] = {
	&engine_builtin,
	&engine_command,
	&engine_http,
	&engine_http,
};

const struct engine_key engine_common_keys[] = {
	{.name = "timeout_s", .type = ENGINE_NUMBER, .min = 1, .max = 86400, .in_job = true},
	{.name = "max_attempts", .type = ENGINE_NUMBER, .min = 1, .max = 100, .in_job = true},
	{.name = NULL},
};

static bool key_is(const struct engine_key *k, const char *name)
{
	size_t n = strlen(k->name);

	if (k->name[n - 1] == '.')
		return strncmp(k->name, name, n) == 0 && name[n] != '\0';
	return strcmp(k->name, name) == 0;
}

static const struct engine_key *find_in(const struct engine_key *keys, const char *name)
{
	for (; keys->name; keys++)
		if (key_is(keys, name))
			return keys;
	return NULL;
}

static const struct engine_key *find_key(const struct engine *g, const char *name)
{
	const struct engine_key *k = find_in(g->keys, name);

	return k ? k : find_in(engine_common_keys, name);
}

static bool is_choice(const char *choices, const char *value)
{
	size_t n = strlen(value);

	while (*choices) {
		size_t word = strcspn(choices, "|");

		if (word == n && memcmp(choices, value, n) == 0)
			return true;
		choices += word;
		choices += *choices == '|';
	}
	return false;
}

int engine_key_check(const struct engine_key *k, const char *name, const char *value, struct err *e)
{
	uint64_t n;
	double d;

	switch (k->type) {
	case ENGINE_NUMBER:
		return kv_parse_u64(name, value, (uint64_t)k->min, (uint64_t)k->max, &n, e);
	case ENGINE_DECIMAL:
		return kv_parse_double(name, value, k->min, k->max, &d, e);
	case ENGINE_CHOICE:
		if (!is_choice(k->choices, value))
			return err_set(e, -EINVAL, "%s = %.60s: give one of %s", name, value,
				       k->choices);
		return 0;
	case ENGINE_TEXT:
	default:
		if (*value == '\0')
			return err_set(e, -EINVAL, "%s: has no value; give one or take it out",
				       name);
		return k->check ? k->check(value, e) : 0;
	}
}

const char *engine_setting(const struct engine *g, const struct engine_job *job, const char *key)
{
	const struct engine_key *k = find_key(g, key);
	const char *value = NULL;

	if (k && k->in_job)
		value = kv_get(job->config, key);
	return value ? value : kv_get(job->definition, key);
}

uint64_t engine_number(const struct engine *g, const struct engine_job *job, const char *key,
		       uint64_t fallback)
{
	const struct engine_key *k = find_key(g, key);
	const char *value = engine_setting(g, job, key);
	uint64_t n;

	if (!k || !value ||
	    kv_parse_u64(key, value, (uint64_t)k->min, (uint64_t)k->max, &n, NULL) < 0)
		return fallback;
	return n;
}

double engine_decimal(const struct engine *g, const struct engine_job *job, const char *key,
		      double fallback)
{
	const struct engine_key *k = find_key(g, key);
	const char *value = engine_setting(g, job, key);
	double d;

	if (!k || !value || kv_parse_double(key, value, k->min, k->max, &d, NULL) < 0)
		return fallback;
	return d;
}

int engines_check_config(const char *key, const char *value, struct err *e)
{
	for (size_t i = 0; i < COUNT_OF(known); i++) {
		const struct engine_key *k = find_key(known[i], key);

		if (k && k->in_job)
			return engine_key_check(k, key, value, e);
		if (k)
			return err_set(e, -ENOENT,
				       "%s: belongs into a [model] section of the configuration "
				       "file, not into a job",
				       key);
	}
	return err_set(e, -ENOENT, "%s: not a setting of local:", key);
}

/* Names under which people pay for answers: a builtin does not go by one. */
static bool is_real_name(const char *name)
{
	static const char *const regions[] = {"us.", "eu.", "apac.",   "ap.",	 "jp.",
					      "au.", "ca.", "us-gov.", "global."};
	static const char *const vendors[] = {
		"anthropic", "amazon",	  "meta.",   "mistral",	  "cohere", "ai21",
		"deepseek",  "openai",	  "qwen",    "stability", "writer", "twelvelabs",
		"google",    "claude",	  "gpt-",    "gemini",	  "llama",  "titan",
		"nova-",     "command-r", "arn:aws", "grok",	  "o1",	    "o3",
		"moonshot",  "minimax",	  "nvidia",  "zai.",	  "kimi",   "luma.",
	};

	for (size_t i = 0; i < COUNT_OF(regions); i++)
		if (strncasecmp(name, regions[i], strlen(regions[i])) == 0) {
			name += strlen(regions[i]);
			break;
		}
	for (size_t i = 0; i < COUNT_OF(vendors); i++)
		if (strncasecmp(name, vendors[i], strlen(vendors[i])) == 0)
			return true;
	return false;
}

/* Which engine is it, and are its keys such as that engine takes? */
static int check_model(struct model *m, size_t *ret_pair, struct err *e)
{
	static const char *const selectors[] = {"engine", "command", "url"};
	const struct engine *g = NULL;
	unsigned given = 0;

	for (size_t i = 0; i < COUNT_OF(selectors); i++) {
		if (!kv_get(&m->definition, selectors[i]))
			continue;
		given++;
		for (size_t k = 0; k < COUNT_OF(known); k++)
			if (find_in(known[k]->keys, selectors[i]))
				g = known[k];
	}
	if (given != 1 || !g)
		return err_set(e, -EINVAL,
			       "[model %s]: give exactly one of command = PROGRAM, url = "
			       "http://..., engine = builtin.NAME",
			       m->name);
	if (g == &engine_builtin && is_real_name(m->name))
		return err_set(e, -EINVAL,
			       "[model %s]: a builtin does not answer under the name of a real "
			       "model; call it rehearsal-%s",
			       m->name, m->name);
	for (size_t i = 0; i < m->definition.count; i++) {
		const struct kv_pair *p = &m->definition.pairs[i];
		const struct engine_key *k = find_key(g, p->key);
		int r;

		*ret_pair = i;
		if (!k)
			return err_set(e, -EINVAL, "[model %s]: %s is not a key of the %s engine",
				       m->name, p->key, g->name);
		r = engine_key_check(k, p->key, p->value, e);
		if (r < 0)
			return r;
	}
	*ret_pair = SIZE_MAX;
	m->engine = g;
	return g->check ? g->check(&m->definition, e) : 0;
}

static int add_model(struct engines *all, const char *name, size_t size, struct model **ret)
{
	struct model *models;

	if (all->count >= ENGINES_MODELS_MAX)
		return -E2BIG;
	models = realloc(all->models, (all->count + 1) * sizeof(*models));
	if (!models)
		return -ENOMEM;
	all->models = models;
	models[all->count] = (struct model){.name = strndup(name, size)};
	if (!models[all->count].name)
		return -ENOMEM;
	*ret = &models[all->count++];
	return 0;
}

static int add_builtins(struct engines *all)
{
	for (size_t i = 0; i < builtin_count(); i++) {
		const char *name = builtin_name(i);
		struct model *m;
		int r = add_model(all, name, strlen(name), &m);

		if (r == 0)
			r = kv_set(&m->definition, "engine", name);
		if (r < 0)
			return r;
		m->engine = &engine_builtin;
	}
	return 0;
}

static const struct model *find(const struct engines *all, const char *name)
{
	for (size_t i = 0; i < all->count; i++)
		if (strcmp(all->models[i].name, name) == 0)
			return &all->models[i];
	return NULL;
}

/* Where the reading of the file stands. */
struct reader {
	struct engines *all;
	const char *path;
	unsigned line, section_line;
	unsigned pair_lines[KV_COUNT_MAX]; /* of the keys of the section */
	bool in_model;			   /* the section is the last model of all */
};

static int end_section(struct reader *rd, struct err *e)
{
	struct err why = ERR_INIT;
	size_t pair = SIZE_MAX;
	int r;

	if (!rd->in_model)
		return 0;
	rd->in_model = false;
	r = check_model(&rd->all->models[rd->all->count - 1], &pair, &why);
	if (r < 0)
		return err_set(e, -EINVAL, "%s:%u: %s", rd->path,
			       pair < KV_COUNT_MAX ? rd->pair_lines[pair] : rd->section_line,
			       why.text);
	return 0;
}

static int begin_section(struct reader *rd, const struct kv_line *l, struct err *e)
{
	const char *name = l->name + strlen("model");
	size_t size = l->name_size - strlen("model");
	struct model *m = NULL;
	int r = end_section(rd, e);

	if (r < 0)
		return r;
	rd->section_line = rd->line;
	if (l->name_size < strlen("model") || memcmp(l->name, "model", strlen("model")) != 0 ||
	    (size > 0 && *name != ' ' && *name != '\t'))
		return 0;
	while (size && (*name == ' ' || *name == '\t')) {
		name++;
		size--;
	}
	if (size == 0 || size > ENGINES_NAME_MAX || memchr(name, ' ', size) ||
	    memchr(name, '\t', size))
		return err_set(
			e, -EINVAL,
			"%s:%u: write [model NAME], NAME without spaces and at most %d bytes",
			rd->path, rd->line, ENGINES_NAME_MAX);
	if (size >= strlen("builtin.") && memcmp(name, "builtin.", strlen("builtin.")) == 0)
		return err_set(e, -EINVAL,
			       "%s:%u: names that begin with builtin. cannot be defined anew; take "
			       "another name and engine = %.*s",
			       rd->path, rd->line, (int)size, name);
	r = add_model(rd->all, name, size, &m);
	if (r == -E2BIG)
		return err_set(e, -EINVAL, "%s:%u: more than %d models", rd->path, rd->line,
			       ENGINES_MODELS_MAX);
	if (r < 0)
		return err_errno(e, r, "%s", rd->path);
	if (find(rd->all, m->name) != m)
		return err_set(e, -EINVAL, "%s:%u: [model %s] is there already; keep one of them",
			       rd->path, rd->line, m->name);
	rd->in_model = true;
	return 0;
}

static int take_pair(struct reader *rd, const struct kv_line *l, struct err *e)
{
	struct model *m = &rd->all->models[rd->all->count - 1];
	CLEANUP(str_freep) char *key = strndup(l->name, l->name_size);
	CLEANUP(str_freep) char *value = strndup(l->value, l->value_size);
	int r;

	if (!key || !value)
		return err_set(e, -ENOMEM, "%s: no memory", rd->path);
	if (kv_get(&m->definition, key))
		return err_set(e, -EINVAL, "%s:%u: %s is given twice; keep one of them", rd->path,
			       rd->line, key);
	r = kv_set(&m->definition, key, value);
	if (r == -E2BIG)
		return err_set(e, -EINVAL, "%s:%u: more than %d keys in a section", rd->path,
			       rd->line, KV_COUNT_MAX);
	if (r == 0)
		rd->pair_lines[m->definition.count - 1] = rd->line;
	return r < 0 ? err_errno(e, r, "%s", rd->path) : 0;
}

static int read_lines(struct engines *all, const char *path, const char *text, size_t size,
		      struct err *e)
{
	struct reader rd = {.all = all, .path = path};
	int r = 0;

	for (rd.line = 1; size && r == 0; rd.line++) {
		const char *end = memchr(text, '\n', size);
		size_t n = end ? (size_t)(end - text) : size;
		const char *what = NULL;
		struct kv_line l;

		r = kv_line_parse(text, n, &l, &what);
		if (r < 0)
			return err_set(e, -EINVAL, "%s:%u: %s", path, rd.line, what);
		if (l.kind == KV_LINE_SECTION)
			r = begin_section(&rd, &l, e);
		else if (l.kind == KV_LINE_PAIR && rd.in_model)
			r = take_pair(&rd, &l, e);
		n += end != NULL;
		text += n;
		size -= n;
	}
	return r < 0 ? r : end_section(&rd, e);
}

static int read_file(const char *path, struct buf *text, struct err *e)
{
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(e, -errno, "cannot read the configuration file %s", path);
	if (!S_ISREG(st.st_mode) || st.st_size > ENGINES_FILE_MAX)
		return err_set(e, -EINVAL, "%s: not a file of at most %d bytes", path,
			       ENGINES_FILE_MAX);
	for (;;) {
		char *at = buf_reserve(text, 4096);
		ssize_t n = at ? read(fd, at, 4096) : -1;

		if (!at)
			return err_set(e, -EINVAL, "%s: longer than %d bytes", path,
				       ENGINES_FILE_MAX);
		if (n < 0)
			return err_errno(e, -errno, "cannot read the configuration file %s", path);
		if (n == 0)
			return 0;
		text->size += (size_t)n;
	}
}

static void engines_freep(struct engines **all)
{
	engines_free(*all);
	*all = NULL;
}

int engines_open(const char *path, struct engines **ret, struct err *e)
{
	CLEANUP(engines_freep) struct engines *all = calloc(1, sizeof(*all));
	CLEANUP(buf_release) struct buf text = BUF_INIT(ENGINES_FILE_MAX + 4096);
	int r;

	if (!all || (path && !(all->path = strdup(path))))
		return err_set(e, -ENOMEM, "no memory for the models");
	r = add_builtins(all);
	if (r < 0)
		return err_errno(e, r, "cannot list the builtin models");
	if (path) {
		r = read_file(path, &text, e);
		if (r == 0)
			r = read_lines(all, path, text.data, text.size, e);
		if (r < 0)
			return r;
	}
	*ret = STEAL(&all);
	return 0;
}

void engines_free(struct engines *all)
{
	if (!all)
		return;
	for (size_t i = 0; i < all->count; i++) {
		free(all->models[i].name);
		kv_release(&all->models[i].definition);
	}
	free(all->models);
	free(all->path);
	free(all);
}

int engines_find(const struct engines *all, const char *model, const struct engine **ret,
		 const struct kv **ret_definition, struct err *e)
{
	const struct model *m = find(all, model);

	if (!m)
		return err_set(e, -EINVAL,
			       "local: runs no \"%.200s\"; it never answers in place of a real "
			       "model. Use builtin.echo to try things out, or name an engine for "
			       "it in %s: [model %.200s] url = "
			       "http://127.0.0.1:11434/v1/chat/completions",
			       model, all->path ? all->path : "a configuration file", model);
	*ret = m->engine;
	*ret_definition = &m->definition;
	return 0;
}

void engines_list(const struct engines *all, struct buf *out)
{
	for (size_t i = 0; i < all->count; i++) {
		const struct model *m = &all->models[i];

		buf_addf(out, "%s\t%s\t", m->name, m->engine->name);
		m->engine->describe(&m->definition, out);
		buf_add_char(out, '\n');
	}
}
