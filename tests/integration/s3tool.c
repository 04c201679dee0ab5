/*
 * Drives backend/aws/s3.h from a shell or a test.
 *
 *	s3tool BUCKET [option=value ...] put FILE KEY | get KEY FILE | cat KEY | ls PREFIX |
 *		head KEY | rm KEY | abort KEY | region
 *
 * Options: resume=yes|no (no), checksums=yes|no (yes), path_style=yes|no (no), parallel=N,
 * part_size=BYTES, owner=ACCOUNT, kms=KEY.  Where S3 is and who we are: the environment (AWS_*).
 * On stdout what was asked for (ls: SIZE ETAG KEY a line), on stderr the words of a failure and
 * "counts: REQUESTS RETRIES THROTTLED SENT RECEIVED PEAK" (bytes; PEAK: KiB of memory).  Exits with 0, or 1 after a failure whose
 * errno is the last line's "errno: NAME".
 */

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "backend/aws/s3.h"
#include "backend/http/http.h"
#include "fs/base/kv.h"
#include "fs/base/log.h"

#define CAT_MAX (1u << 20)

struct tool {
	struct aws *aws; /* owned */
	struct s3 *s3;	 /* owned */
	struct s3_options options;
	bool resume;
};

static int read_yes(const char *value, bool *ret)
{
	if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
		return -EINVAL;
	*ret = value[0] == 'y';
	return 0;
}

static int read_number(const char *value, uint64_t max, uint64_t *ret)
{
	return kv_parse_u64("number", value, 0, max, ret, NULL);
}

static int read_option(struct tool *t, const char *name, const char *value)
{
	uint64_t number;
	int r = 0;

	if (strcmp(name, "resume") == 0)
		return read_yes(value, &t->resume);
	if (strcmp(name, "checksums") == 0)
		return read_yes(value, &t->options.checksums);
	if (strcmp(name, "path_style") == 0)
		return read_yes(value, &t->options.path_style);
	if (strcmp(name, "owner") == 0)
		t->options.bucket_owner = value;
	else if (strcmp(name, "kms") == 0)
		t->options.kms_key = value;
	else if (strcmp(name, "parallel") == 0 || strcmp(name, "part_size") == 0)
		r = read_number(value, UINT32_MAX, &number);
	else
		return -EINVAL;
	if (r == 0 && strcmp(name, "parallel") == 0)
		t->options.parallel = (unsigned)number;
	if (r == 0 && strcmp(name, "part_size") == 0)
		t->options.part_size = (size_t)number;
	return r;
}

static int run_put(struct tool *t, const char *path, const char *key, struct err *e)
{
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(e, -errno, "cannot open %s", path);
	return s3_put_file(t->s3, key, fd, (uint64_t)st.st_size, NULL, t->resume, e);
}

static int print_object(void *ctx, const struct s3_object *o)
{
	(void)ctx;
	printf("%llu %s %s\n", (unsigned long long)o->size, o->etag, o->key);
	return 0;
}

static int run_get(struct tool *t, const char *key, const char *path, struct err *e)
{
	struct s3_object o;
	int r = s3_get_file(t->s3, key, path, &o, e);

	return r < 0 ? r : print_object(NULL, &o);
}

static int run_cat(struct tool *t, const char *key, struct err *e)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(CAT_MAX);
	int r = s3_get_bytes(t->s3, key, &out, e);

	if (r == 0)
		fwrite(out.data, 1, out.size, stdout);
	return r;
}

static int run_head(struct tool *t, const char *key, struct err *e)
{
	struct s3_object o;
	int r = s3_head(t->s3, key, &o, e);

	return r < 0 ? r : print_object(NULL, &o);
}

static int run_region(struct tool *t, struct err *e)
{
	const char *region;
	int r = s3_region(t->s3, &region, e);

	if (r == 0)
		puts(region);
	return r;
}

static int run(struct tool *t, int count, char **words, struct err *e)
{
	const char *what = count > 0 ? words[0] : "";

	if (count == 3 && strcmp(what, "put") == 0)
		return run_put(t, words[1], words[2], e);
	if (count == 3 && strcmp(what, "get") == 0)
		return run_get(t, words[1], words[2], e);
	if (count == 2 && strcmp(what, "cat") == 0)
		return run_cat(t, words[1], e);
	if (count == 2 && strcmp(what, "ls") == 0)
		return s3_list(t->s3, words[1], print_object, NULL, e);
	if (count == 2 && strcmp(what, "head") == 0)
		return run_head(t, words[1], e);
	if (count == 2 && strcmp(what, "rm") == 0)
		return s3_delete(t->s3, words[1], e);
	if (count == 2 && strcmp(what, "abort") == 0)
		return s3_abort(t->s3, words[1], e);
	if (count == 1 && strcmp(what, "region") == 0)
		return run_region(t, e);
	return err_set(e, -EINVAL, "%s: unknown, or the wrong number of words", what);
}

static int start(struct tool *t, struct err *e)
{
	const struct awsconfig_options none = {.profile = NULL};
	struct awsconfig *config;
	int r = awsconfig_load(&none, &config, e);

	if (r == 0)
		r = aws_open(config, clock_system(), &t->aws, e);
	return r == 0 ? s3_open(t->aws, &t->options, &t->s3, e) : r;
}

static int run_words(struct tool *t, int count, char **words, struct err *e)
{
	int r;

	for (; count > 0; count--, words++) {
		char *equals = strchr(*words, '=');

		if (!equals)
			break;
		*equals = 0;
		if (read_option(t, *words, equals + 1) < 0)
			return err_set(e, -EINVAL, "%s: not an option, or not its value", *words);
	}
	r = start(t, e);
	return r == 0 ? run(t, count, words, e) : r;
}

/* Not getrusage(): its peak is that of who forked us, too. */
static unsigned long peak_kib(void)
{
	CLEANUP(file_closep) FILE *f = fopen("/proc/self/status", "re");
	unsigned long kib = 0;
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "VmHWM: %lu", &kib) == 1)
			break;
	return kib;
}

static void print_counts(struct aws *a)
{
	struct aws_counts c = aws_counts(a);

	fprintf(stderr, "counts: %llu %llu %llu %llu %llu %lu\n", (unsigned long long)c.requests,
		(unsigned long long)c.retries, (unsigned long long)c.throttled,
		(unsigned long long)c.sent_bytes, (unsigned long long)c.received_bytes, peak_kib());
}

int main(int argc, char **argv)
{
	struct tool t = {.options = {.checksums = true}};
	struct err e = ERR_INIT;
	int r;

	if (argc < 3) {
		fprintf(stderr, "s3tool BUCKET [option=value ...] WHAT ...\n");
		return 2;
	}
	log_init(LOG_LEVEL_INFO, false);
	t.options.bucket = argv[1];
	r = http_global_init(&e);
	if (r == 0)
		r = run_words(&t, argc - 2, argv + 2, &e);
	if (t.aws)
		print_counts(t.aws);
	s3_close(t.s3);
	aws_close(t.aws);
	http_global_cleanup();
	if (r < 0)
		fprintf(stderr, "%s\nerrno: %s\n", e.text, strerrorname_np(-r));
	return r < 0;
}
