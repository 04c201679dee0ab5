/*
 * Runs a file of records on demand, as the engine would.
 *
 *	run_ondemand BUCKET MODEL INPUT OUTPUT [option=value ...]
 *
 * Who we are and where the runtime is: the environment (AWS_*).  On stdout a line
 * "GOOD FAILED TOTAL" as often as that is told; on stderr the words of a failure.  Exits
 * with 0, or 1 after a failure whose errno is the last line's "errno: NAME".
 */

#include <string.h>

#include "backend/aws/bedrock.h"
#include "backend/http/http.h"
#include "fs/base/clock.h"
#include "fs/base/kv.h"

static bool told(void *ctx, const struct counts *counts, const struct tokens *tokens)
{
	(void)ctx;
	(void)tokens;
	printf("%llu %llu %llu\n", (unsigned long long)counts->good,
	       (unsigned long long)counts->failed, (unsigned long long)counts->total);
	fflush(stdout);
	return true;
}

static int run(char **argv, const struct kv *options, struct err *e)
{
	struct bedrock_place place = {
		.bucket = argv[1], .prefix = "", .options = options, .clock = clock_system()};
	struct backend_part part = {.token = "bf-0123456789abcdef0123456789abcdef",
				    .job_name = "on demand",
				    .model = argv[2],
				    .input_path = argv[3],
				    .attempt = 1};
	CLEANUP(file_closep) FILE *in = fopen(argv[3], "re");
	struct backend *b = NULL;
	int c, r;

	while (in && (c = fgetc(in)) != EOF)
		part.record_count += c == '\n';
	r = bedrock_open(&place, &b, e);
	if (r < 0)
		return r;
	r = b->ops->run_now(b, &part, argv[4], told, NULL, e);
	b->ops->close(b);
	return r;
}

int main(int argc, char **argv)
{
	CLEANUP(kv_release) struct kv options = KV_INIT;
	struct err e = ERR_INIT;
	int r = 0;

	if (argc < 5)
		return 2;
	for (int i = 5; i < argc && r == 0; i++) {
		char *equals = strchr(argv[i], '=');

		if (!equals)
			return 2;
		*equals = '\0';
		r = kv_set(&options, argv[i], equals + 1);
	}
	if (r == 0)
		r = http_global_init(&e);
	if (r == 0)
		r = run(argv, &options, &e);
	if (r < 0)
		fprintf(stderr, "%s\nerrno: %s\n", e.text, strerrorname_np(-r));
	return r < 0;
}
