#include "fs/options.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "fs/base/clock.h"
#include "fs/base/kv.h"

static const char help[] =
	"usage: batchfs [SOURCE] MOUNTPOINT [-o OPTION,...] [-f] [-d]\n"
	"\n"
	"Shows LLM batch-inference jobs as directories.  SOURCE is where jobs run:\n"
	"  local:            this machine (the default; no account needed)\n"
	"\n"
	"  -f                stay in the foreground, log to stderr\n"
	"  -d                as -f, and say everything\n"
	"  --help --version\n"
	"\n"
	"Options (-o):\n"
	"  state=DIR         what must survive (default: ~/.local/state/batchfs/local)\n"
	"  cache=DIR         what can be made again (default: ~/.cache/batchfs/local)\n"
	"  config=FILE       models: [model NAME] with command = or url = \n"
	"                    (default: ~/.config/batchfs/config.ini, if it is there)\n"
	"  submit=auto|manual  manual: a job waits for `echo submit > ctl`\n"
	"  settle=SECONDS    quiet time before a job goes, model written last (2)\n"
	"  settle_input=SECONDS  the same, input.jsonl written last (10)\n"
	"  poll=SECONDS      how often running jobs are looked at (1)\n"
	"  allow_other       other users may read\n"
	"  ro                nothing may be changed through the mount\n"
	"\n"
	"Unmount with `fusermount3 -u MOUNTPOINT`.  Then see MOUNTPOINT/.batchfs/README.\n";

const char *options_help(void)
{
	return help;
}

/* mount(8) and fstab pass these on; they are the kernel's or mean nothing here. */
static bool is_passed_over(const char *key)
{
	static const char *const keys[] = {
		"rw",	      "defaults", "suid",	 "nosuid",  "dev",	"nodev",
		"exec",	      "noexec",	  "atime",	 "noatime", "relatime", "norelatime",
		"async",      "sync",	  "auto",	 "noauto",  "user",	"nouser",
		"users",      "group",	  "owner",	 "nofail",  "_netdev",	"diratime",
		"nodiratime", "lazytime", "strictatime",
	};

	if (strncmp(key, "x-", 2) == 0 || strncmp(key, "comment", 7) == 0)
		return true;
	for (size_t i = 0; i < COUNT_OF(keys); i++)
		if (strcmp(keys[i], key) == 0)
			return true;
	return false;
}

static int make_absolute(const char *path, char **ret, struct err *e)
{
	CLEANUP(str_freep) char *cwd = NULL;
	char *full = NULL;

	if (path[0] == '/') {
		full = strdup(path);
	} else {
		cwd = getcwd(NULL, 0);
		if (!cwd)
			return err_errno(e, -errno, "cannot tell the current directory");
		if (asprintf(&full, "%s/%s", strcmp(cwd, "/") == 0 ? "" : cwd, path) < 0)
			full = NULL;
	}
	if (!full)
		return err_set(e, -ENOMEM, "no memory");
	for (size_t n = strlen(full); n > 1 && full[n - 1] == '/'; n--)
		full[n - 1] = '\0';
	free(*ret);
	*ret = full;
	return 0;
}

static int set_seconds(const char *key, const char *value, int64_t *ret, struct err *e)
{
	double s = 0;
	int r = kv_parse_double(key, value, 0, 86400, &s, e);

	if (r == 0)
		*ret = (int64_t)(s * (double)NS_PER_S);
	return r;
}

static int set_flag(struct options *o, const char *key, struct err *e)
{
	if (strcmp(key, "allow_other") == 0)
		o->allow_other = true;
	else if (strcmp(key, "ro") == 0)
		o->read_only = true;
	else if (!is_passed_over(key))
		return err_set(e, -EINVAL, "-o %s: there is no such option; see batchfs --help",
			       key);
	return 0;
}

static int set_value(struct options *o, const char *key, const char *value, struct err *e)
{
	if (!value[0])
		return err_set(e, -EINVAL, "-o %s=: a value is missing", key);
	if (strcmp(key, "state") == 0)
		return make_absolute(value, &o->state, e);
	if (strcmp(key, "cache") == 0)
		return make_absolute(value, &o->cache, e);
	if (strcmp(key, "config") == 0)
		return make_absolute(value, &o->config, e);
	if (strcmp(key, "settle") == 0)
		return set_seconds(key, value, &o->settle_ns, e);
	if (strcmp(key, "settle_input") == 0)
		return set_seconds(key, value, &o->settle_input_ns, e);
	if (strcmp(key, "poll") == 0) {
		int r = set_seconds(key, value, &o->poll_ns, e);

		if (r == 0 && o->poll_ns < 10 * NS_PER_MS)
			return err_set(e, -EINVAL, "-o poll=%s: at least 0.01", value);
		return r;
	}
	if (strcmp(key, "submit") == 0) {
		if (strcmp(value, "auto") != 0 && strcmp(value, "manual") != 0)
			return err_set(e, -EINVAL, "-o submit=%s: it is auto or manual", value);
		o->submit_manual = strcmp(value, "manual") == 0;
		return 0;
	}
	if (is_passed_over(key))
		return 0;
	return err_set(e, -EINVAL, "-o %s=%s: there is no such option; see batchfs --help", key,
		       value);
}

/* "a,b=c": a backslash keeps the comma behind it, as libfuse has it. */
static int set_list(struct options *o, const char *list, struct err *e)
{
	CLEANUP(str_freep) char *item = malloc(strlen(list) + 1);
	int r = 0;

	if (!item)
		return err_set(e, -ENOMEM, "no memory");
	while (*list && r == 0) {
		size_t n = 0;
		char *value;

		for (; *list && *list != ','; list++) {
			if (list[0] == '\\' && list[1])
				list++;
			item[n++] = *list;
		}
		item[n] = '\0';
		if (*list == ',')
			list++;
		value = strchr(item, '=');
		if (value)
			*value++ = '\0';
		if (item[0])
			r = value ? set_value(o, item, value, e) : set_flag(o, item, e);
	}
	return r;
}

static int set_places(struct options *o, char **places, int count, struct err *e)
{
	const char *source = count == 2 ? places[0] : "local:";

	/* "" is a variable that was not set: not the current directory. */
	if (count == 0 || !places[count < 3 ? count - 1 : 1][0])
		return err_set(e, -EINVAL, "no mount point given; see batchfs --help");
	if (count > 2)
		return err_set(
			e, -EINVAL,
			"\"%s\": one source and one mount point, no more; see batchfs --help",
			places[2]);
	/* fstab needs a first word; "none" and "batchfs" are what people put. */
	if (strcmp(source, "local") == 0 || strcmp(source, "none") == 0 ||
	    strcmp(source, "batchfs") == 0)
		source = "local:";
	if (strcmp(source, "local:") != 0)
		return err_set(e, -EINVAL,
			       "\"%s\": there is no such source; this version has local:", source);
	o->source = strdup(source);
	if (!o->source)
		return err_set(e, -ENOMEM, "no memory");
	return make_absolute(places[count - 1], &o->mountpoint, e);
}

static int parse_words(int argc, char **argv, struct options *o, char **places, int *ret_count,
		       struct err *e)
{
	int r = 0;

	for (int i = 1; i < argc && r == 0; i++) {
		const char *a = argv[i];

		if (strcmp(a, "-h") == 0 || strcmp(a, "--help") == 0)
			o->help = true;
		else if (strcmp(a, "-V") == 0 || strcmp(a, "--version") == 0)
			o->version = true;
		else if (strcmp(a, "-f") == 0)
			o->foreground = true;
		else if (strcmp(a, "-d") == 0)
			o->foreground = o->debug = true;
		else if (strcmp(a, "-o") == 0 && i + 1 < argc)
			r = set_list(o, argv[++i], e);
		else if (strncmp(a, "-o", 2) == 0 && a[2])
			r = set_list(o, a + 2, e);
		else if (a[0] == '-' && a[1])
			r = err_set(e, -EINVAL,
				    "%s: there is no such option, or its value is "
				    "missing; see batchfs --help",
				    a);
		else if (*ret_count < 3)
			places[(*ret_count)++] = argv[i];
	}
	return r;
}

int options_parse(int argc, char **argv, struct options *ret, struct err *e)
{
	char *places[3];
	int count = 0, r;

	*ret = (struct options){.settle_ns = 2 * NS_PER_S,
				.settle_input_ns = 10 * NS_PER_S,
				.poll_ns = NS_PER_S,
				.env_home = getenv("HOME"),
				.env_state_home = getenv("XDG_STATE_HOME"),
				.env_cache_home = getenv("XDG_CACHE_HOME"),
				.env_config_home = getenv("XDG_CONFIG_HOME")};
	r = parse_words(argc, argv, ret, places, &count, e);
	if (r == 0 && (ret->help || ret->version))
		return 0;
	return r < 0 ? r : set_places(ret, places, count, e);
}

void options_release(struct options *o)
{
	str_freep(&o->source);
	str_freep(&o->mountpoint);
	str_freep(&o->state);
	str_freep(&o->cache);
	str_freep(&o->config);
}
