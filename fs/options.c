#include "fs/options.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "backend/aws/bedrock.h"
#include "fs/base/clock.h"
#include "fs/base/kv.h"

static const char help[] =
	"usage: batchfs [SOURCE] MOUNTPOINT [-o OPTION,...] [-f] [-d]\n"
	"       batchfs --check SOURCE [-o OPTION,...]      would a job work?\n"
	"       batchfs --print-iam SOURCE [-o OPTION,...]  the policies it needs\n"
	"\n"
	"Shows LLM batch-inference jobs as directories.  SOURCE is where jobs run:\n"
	"  local:                   this machine (the default; no account needed)\n"
	"  bedrock:BUCKET[/PREFIX]  Amazon Bedrock batch inference, with that S3 bucket\n"
	"\n"
	"  -f                stay in the foreground, log to stderr\n"
	"  -d                as -f, and say everything\n"
	"  --help --version\n"
	"\n"
	"Options (-o):\n"
	"  state=DIR         what must survive (default: ~/.local/state/batchfs/SOURCE)\n"
	"  cache=DIR         what can be made again (default: ~/.cache/batchfs/SOURCE)\n"
	"  submit=auto|manual  manual: a job waits for `echo submit > ctl`\n"
	"  settle=SECONDS    quiet time before a job goes, model written last (2)\n"
	"  settle_input=SECONDS  the same, input.jsonl written last (10)\n"
	"  poll=SECONDS      how often running jobs are looked at (local: 1, bedrock: 60)\n"
	"  max_cost=USD      a job whose estimate is above it is held\n"
	"  small=WHAT        refuse, pad or ondemand: fewer records than the source takes\n"
	"  retry_max=N       failed records that may go better are run again, N times\n"
	"  dedupe=yes        equal inputs are sent once, and known results used again\n"
	"  allow_other       other users may read\n"
	"  ro                nothing may be changed through the mount\n"
	"  max_records_per_job=N  a larger job is cut into parts of so many\n"
	"Of local:\n"
	"  config=FILE       models: [model NAME] with command = or url = \n"
	"                    (default: ~/.config/batchfs/config.ini, if it is there)\n"
	"Of bedrock:\n"
	"  role=ARN          the service role that runs jobs (here or in JOB/config)\n"
	"  region=R profile=P  as with every AWS tool; its environment and files count\n"
	"  timeout=HOURS invocation=InvokeModel|Converse tags=K:V;K:V kms_key=KEY\n"
	"  jobs=all|mine     mine: no jobs made elsewhere (all)\n"
	"  fetch=auto|manual auto: their results are fetched by themselves (manual)\n"
	"  prices=FILE       prices over those built in\n"
	"  more, with their meaning: batchfs(1)\n"
	"\n"
	"Unmount with `fusermount3 -u MOUNTPOINT`.  Then see MOUNTPOINT/.batchfs/README.\n";

const char *options_help(void)
{
	return help;
}

#define BEDROCK_SCHEME "bedrock:"

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

/* One of two words; *ret: was it the second? */
static int set_choice(const char *key, const char *value, const char *no, const char *yes,
		      bool *ret, struct err *e)
{
	if (strcmp(value, no) != 0 && strcmp(value, yes) != 0)
		return err_set(e, -EINVAL, "-o %s=%s: it is %s or %s", key, value, no, yes);
	*ret = strcmp(value, yes) == 0;
	return 0;
}

static int set_text(const char *value, char **ret, struct err *e)
{
	char *copy = strdup(value);

	if (!copy)
		return err_set(e, -ENOMEM, "no memory");
	free(*ret);
	*ret = copy;
	return 0;
}

/* Kept until the source is known, which may come after it. */
static int set_source_option(struct options *o, const char *key, const char *value, struct err *e)
{
	int r = bedrock_check_option(key, value, e);

	if (r == -ENOENT)
		return err_set(e, -EINVAL, "-o %s=%s: there is no such option; see batchfs --help",
			       key, value);
	return r < 0 ? r : kv_set(&o->source_options, key, value);
}

static int set_value(struct options *o, const char *key, const char *value, struct err *e)
{
	int r;

	if (!value[0])
		return err_set(e, -EINVAL, "-o %s=: a value is missing", key);
	r = settings_set(&o->settings, key, value, e);
	if (r != -ENOENT)
		return r;
	if (strcmp(key, "fetch") == 0)
		return set_choice(key, value, "manual", "auto", &o->fetch_auto, e);
	if (strcmp(key, "model") == 0)
		return set_text(value, &o->model, e);
	if (strcmp(key, "prices") == 0) {
		CLEANUP(str_freep) char *path = NULL;

		r = make_absolute(value, &path, e);
		return r < 0 ? r : set_source_option(o, key, path, e);
	}
	if (strcmp(key, "state") == 0)
		return make_absolute(value, &o->state, e);
	if (strcmp(key, "cache") == 0)
		return make_absolute(value, &o->cache, e);
	if (strcmp(key, "config") == 0)
		return make_absolute(value, &o->config, e);
	if (strcmp(key, "poll") == 0) {
		r = set_seconds(key, value, &o->poll_ns, e);
		if (r == 0 && o->poll_ns < 10 * NS_PER_MS)
			return err_set(e, -EINVAL, "-o poll=%s: at least 0.01", value);
		return r;
	}
	if (is_passed_over(key))
		return 0;
	return set_source_option(o, key, value, e);
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

static int set_source(struct options *o, const char *source, struct err *e)
{
	int r = 0;

	/* fstab needs a first word; "none" and "batchfs" are what people put. */
	if (strcmp(source, "local") == 0 || strcmp(source, "none") == 0 ||
	    strcmp(source, "batchfs") == 0)
		source = "local:";
	o->is_bedrock = strncmp(source, BEDROCK_SCHEME, strlen(BEDROCK_SCHEME)) == 0;
	if (!o->is_bedrock && strcmp(source, "local:") != 0)
		return err_set(e, -EINVAL,
			       "\"%s\": there is no such source; this version has local: and "
			       "bedrock:BUCKET[/PREFIX]",
			       source);
	for (size_t i = 0; i < o->source_options.count && !o->is_bedrock; i++)
		if (strcmp(o->source_options.pairs[i].key, OPTIONS_RECORDS_MAX) != 0)
			return err_set(e, -EINVAL,
				       "-o %s: only bedrock: has this option; the source is %s",
				       o->source_options.pairs[i].key, source);
	if (o->is_bedrock)
		r = bedrock_parse_place(source + strlen(BEDROCK_SCHEME), &o->bucket, &o->prefix, e);
	if (r < 0)
		return r;
	if (o->is_bedrock && o->config)
		return err_set(e, -EINVAL, "-o config: only local: has this option");
	/* As the source is called in the list of mounts and of state directories:
	 * one spelling for one place. */
	if (o->is_bedrock && asprintf(&o->source, BEDROCK_SCHEME "%s%s%s", o->bucket,
				      o->prefix[0] ? "/" : "", o->prefix) < 0)
		o->source = NULL;
	else if (!o->is_bedrock)
		o->source = strdup(source);
	return o->source ? 0 : err_set(e, -ENOMEM, "no memory");
}

/* --check and --print-iam ask about a source and mount nothing. */
static int set_question(struct options *o, char **places, int count, struct err *e)
{
	int r = count > 0 ? set_source(o, places[0], e) : 0;

	if (r < 0)
		return r;
	if (count == 0 || !o->is_bedrock)
		return err_set(e, -EINVAL,
			       "name the source to ask about, as in batchfs %s bedrock:BUCKET -o "
			       "role=ARN",
			       o->check ? "--check" : "--print-iam");
	return o->model ? kv_set(&o->source_options, "model", o->model) : 0;
}

static int set_places(struct options *o, char **places, int count, struct err *e)
{
	const char *source = count == 2 ? places[0] : "local:";
	int r;

	if (o->check || o->print_iam)
		return set_question(o, places, count, e);

	/* "" is a variable that was not set: not the current directory. */
	if (count == 0 || !places[count < 3 ? count - 1 : 1][0])
		return err_set(e, -EINVAL, "no mount point given; see batchfs --help");
	if (count > 2)
		return err_set(
			e, -EINVAL,
			"\"%s\": one source and one mount point, no more; see batchfs --help",
			places[2]);
	if (o->model)
		return err_set(e, -EINVAL,
			       "-o model: a job's model is written to JOB/model; with "
			       "--check it is one to look for");
	r = set_source(o, source, e);
	return r < 0 ? r : make_absolute(places[count - 1], &o->mountpoint, e);
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
		else if (strcmp(a, "--check") == 0)
			o->check = true;
		else if (strcmp(a, "--print-iam") == 0)
			o->print_iam = true;
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

	*ret = (struct options){.settings = settings_default,
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
	str_freep(&o->bucket);
	str_freep(&o->prefix);
	kv_release(&o->source_options);
	str_freep(&o->model);
	str_freep(&o->mountpoint);
	str_freep(&o->state);
	str_freep(&o->cache);
	str_freep(&o->config);
}
