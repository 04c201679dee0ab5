/*
 * Runs one part on the local: backend without a mount, for tests.
 *
 *	run_local DIR CONFIG INPUT MODEL TOKEN RECORDS [key=value ...]
 *
 * key=value: of JOB/config; or stop_at=N: stop once N records have ended.
 * Prints one line of JSON at the end: the last status, the different messages
 * seen on the way (each also to stderr, when it comes), and where the results are.  Run again with the same DIR and
 * TOKEN it goes on where a killed one was.
 */

#include <poll.h>
#include <string.h>

#include "backend/backend.h"
#include "backend/http/http.h"
#include "backend/local/local.h"
#include "fs/base/log.h"

#define POLL_MS	     10
#define MESSAGES_MAX 20

struct run {
	struct backend *backend; /* owned */
	struct kv config;
	uint64_t stop_at; /* 0: never */
	char messages[MESSAGES_MAX][PART_MESSAGE_MAX];
	size_t message_count;
	struct part_status status;
};

static void run_release(struct run *r)
{
	if (r->backend)
		r->backend->ops->close(r->backend);
	kv_release(&r->config);
}

static int read_arguments(struct run *r, char **argv, struct err *e)
{
	for (; *argv; argv++) {
		char *equals = strchr(*argv, '=');
		int result;

		if (!equals)
			return err_set(e, -EINVAL, "%s: not key=value", *argv);
		*equals = 0;
		if (strcmp(*argv, "stop_at") == 0)
			result = kv_parse_u64(*argv, equals + 1, 1, UINT64_MAX, &r->stop_at, e);
		else
			result = kv_set(&r->config, *argv, equals + 1);
		if (result < 0)
			return result;
	}
	return 0;
}

static void remember_message(struct run *r)
{
	if (!r->status.message[0] || r->message_count == MESSAGES_MAX)
		return;
	for (size_t i = 0; i < r->message_count; i++)
		if (strcmp(r->messages[i], r->status.message) == 0)
			return;
	memcpy(r->messages[r->message_count++], r->status.message, PART_MESSAGE_MAX);
	fprintf(stderr, "message: %s\n", r->status.message);
}

static int follow(struct run *r, const char *remote, struct err *e)
{
	for (;;) {
		int result =
			r->backend->ops->poll(r->backend, &remote, &r->status, 1, NULL, NULL, e);

		if (result < 0)
			return result;
		remember_message(r);
		if (job_state_is_end(r->status.state))
			return 0;
		if (r->stop_at && r->status.counts.good + r->status.counts.failed >= r->stop_at) {
			r->stop_at = 0;
			result = r->backend->ops->stop(r->backend, remote, e);
			if (result < 0)
				return result;
		}
		poll(NULL, 0, POLL_MS);
	}
}

static void print_result(const struct run *r, const struct backend_files *files)
{
	CLEANUP(buf_release) struct buf out;

	buf_init(&out, 1024 * 1024);
	buf_addf(&out,
		 "{\"state\":\"%s\",\"total\":%llu,\"good\":%llu,\"failed\":%llu,"
		 "\"tokens_in\":%llu,\"tokens_out\":%llu,\"messages\":[",
		 job_state_name(r->status.state), (unsigned long long)r->status.counts.total,
		 (unsigned long long)r->status.counts.good,
		 (unsigned long long)r->status.counts.failed,
		 (unsigned long long)r->status.tokens.input,
		 (unsigned long long)r->status.tokens.output);
	for (size_t i = 0; i < r->message_count; i++) {
		buf_add_str(&out, i ? "," : "");
		buf_add_json(&out, r->messages[i], strlen(r->messages[i]));
	}
	buf_add_str(&out, "],\"files\":[");
	for (size_t i = 0; i < files->count; i++) {
		buf_add_str(&out, i ? "," : "");
		buf_add_json(&out, files->paths[i], strlen(files->paths[i]));
	}
	buf_add_str(&out, "]}");
	puts(out.data);
}

static int run_part(struct run *r, char **argv, struct err *e)
{
	CLEANUP(backend_files_release) struct backend_files files = {.count = 0};
	CLEANUP(str_freep) char *remote = NULL;
	CLEANUP(str_freep) char *fetched = NULL;
	struct backend_part part = {
		.job_name = "test",
		.input_path = argv[3],
		.model = argv[4],
		.token = argv[5],
		.config = &r->config,
		.attempt = 1,
	};
	int result = kv_parse_u64("RECORDS", argv[6], 1, UINT64_MAX, &part.record_count, e);

	if (result == 0)
		result = read_arguments(r, argv + 7, e);
	if (result == 0)
		result = local_open(argv[1], *argv[2] ? argv[2] : NULL, UINT64_MAX, &r->backend, e);
	if (result == 0)
		result = r->backend->ops->check_model(r->backend, part.model, e);
	if (result == 0)
		result = r->backend->ops->put_input(r->backend, &part, e);
	if (result == 0)
		result = r->backend->ops->create(r->backend, &part, &remote, e);
	if (result == 0)
		result = follow(r, remote, e);
	if (result < 0)
		return result;
	if (asprintf(&fetched, "%s/fetched", argv[1]) < 0)
		return -ENOMEM;
	result = r->backend->ops->fetch(r->backend, remote, fetched, &files, e);
	if (result == 0)
		print_result(r, &files);
	return result;
}

int main(int argc, char **argv)
{
	struct run r = {.config = KV_INIT};
	struct err e = ERR_INIT;
	int result;

	if (argc < 7) {
		fprintf(stderr, "run_local DIR CONFIG INPUT MODEL TOKEN RECORDS [key=value ...]\n");
		return 2;
	}
	log_init(LOG_LEVEL_WARNING, false);
	result = http_global_init(&e);
	if (result == 0)
		result = run_part(&r, argv, &e);
	run_release(&r);
	http_global_cleanup();
	if (result < 0)
		fprintf(stderr, "%s\n", e.text[0] ? e.text : strerror(-result));
	return result < 0;
}
