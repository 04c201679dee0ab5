/* The fake backend's jobs that were made elsewhere, and what it tells of all jobs. */

#include "tests/unit/fakeelsewhere.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/fakebackend_private.h"

static const char *inputs_elsewhere(const struct fakebackend *f)
{
	return f->inputs_elsewhere ? f->inputs_elsewhere
				   : "{\"recordId\":\"a\",\"modelInput\":{}}\n"
				     "{\"recordId\":\"b\",\"modelInput\":{}}\n"
				     "{\"recordId\":\"c\",\"modelInput\":{}}\n";
}

/* Of all there are, each time: that is allowed. */
void fakeelsewhere_tell_locked(struct fakebackend *f, backend_found *found, void *ctx)
{
	char remote[32], name[32];
	struct backend_job j;

	for (unsigned i = 0; i < f->part_count; i++) {
		const struct fakepart *p = &f->parts[i];

		j = (struct backend_job){.remote = p->remote,
					 .name = p->job_name,
					 .model = "fake.echo",
					 .submitted_ns = FAKEBACKEND_BEGAN_NS};
		if (p->token[0] && !atomic_load(&f->tells_no_tokens))
			j.token = p->token;
		fakebackend_status_of(f, p, &j.status);
		if (job_state_is_end(p->state))
			j.ended_ns = FAKEBACKEND_ENDED_NS;
		found(ctx, &j);
		found(ctx, &j); /* a list that grows while it is read tells of one twice */
	}
	for (int i = 0; i < atomic_load(&f->bulk); i++) {
		snprintf(remote, sizeof(remote), "bulk-%d", i);
		snprintf(name, sizeof(name), "bulk %d", i);
		j = (struct backend_job){.remote = remote,
					 .name = name,
					 .model = "fake.echo",
					 .status = {.state = JOB_COMPLETED, .raw = "Fake"},
					 .submitted_ns = FAKEBACKEND_BEGAN_NS,
					 .ended_ns = FAKEBACKEND_ENDED_NS};
		found(ctx, &j);
	}
}

bool fakeelsewhere_lists(struct backend *b)
{
	return atomic_load(&((struct fakebackend *)b)->lists);
}

int fakeelsewhere_fetch_input(struct backend *b, const char *remote, const char *path,
			      struct err *e)
{
	struct fakebackend *f = fakebackend_enter(b, "fetch_input");
	CLEANUP(file_closep) FILE *out = NULL;
	int error = atomic_load(&f->fetch_input_error);

	(void)remote;
	if (fakebackend_spend(&f->fetch_input_again))
		return fakebackend_again("fetch_input", e);
	if (error)
		return err_set(e, error, "%s", f->words);
	out = fopen(path, "wxe");
	if (!out || fputs(inputs_elsewhere(f), out) < 0)
		return err_errno(e, -EIO, "fetch_input: %s", path);
	return fakebackend_leave(f, 0);
}

void fakebackend_make_elsewhere(struct fakebackend *f, const char *remote, const char *name,
				enum job_state state)
{
	char path[sizeof(f->dir) + 48];
	CLEANUP(file_closep) FILE *in = NULL;
	struct fakepart *p;
	const char *at;

	snprintf(path, sizeof(path), "%s/%s.input", f->dir, remote);
	in = fopen(path, "we");
	if (!in || fputs(inputs_elsewhere(f), in) < 0)
		abort();
	file_closep(&in);
	pthread_mutex_lock(&f->mutex);
	p = &f->parts[f->part_count++];
	*p = (struct fakepart){.attempt = 1, .state = state};
	snprintf(p->remote, sizeof(p->remote), "%s", remote);
	snprintf(p->job_name, sizeof(p->job_name), "%s", name);
	for (at = inputs_elsewhere(f); (at = strchr(at, '\n')); at++) {
		char outcome = fakebackend_outcome_of(f, 1, p->record_count++);

		p->counts.good += outcome == 'g';
		p->counts.failed += outcome == 'f';
	}
	p->counts.total = p->record_count;
	if (fakebackend_write_results(f, p, path) < 0)
		abort();
	pthread_mutex_unlock(&f->mutex);
}
