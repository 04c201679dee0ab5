/*
 * Asks for a job exactly once.
 *
 * The part's token goes with every create call, and both the token and a name
 * that no other part has come back in Get and List.  How long the service
 * remembers a token is not known, so it is not relied on: after a call whose
 * answer was lost the job is looked for in full lists.  Not finding it proves
 * nothing at first (a list may lag), so for create_grace seconds nothing is
 * sent; then it is asked for again, with the same token.  A day later nobody
 * knows what the service still remembers, and a person decides.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "backend/aws/bedrock_private.h"
#include "backend/aws/bedrockmedia.h"
#include "fs/base/log.h"

#define GRACE_S	     60
#define DAY_NS	     (24 * 3600 * NS_PER_S)
#define LOOK_BACK_NS (7 * DAY_NS) /* our clock, which asked_ns is of, may be wrong */

/* --- looking for it --- */

struct seeking {
	const char *name, *token;
	char *arn; /* owned */
	bool no_memory;
};

static int is_it(void *ctx, const struct control_job *j)
{
	struct seeking *s = ctx;
	bool same = j->token ? strcmp(j->token, s->token) == 0
			     : j->name && strcmp(j->name, s->name) == 0;

	if (!same)
		return 0;
	s->arn = strdup(j->arn);
	return s->arn ? 1 : -ENOMEM;
}

/* 0: *ret_arn.  -ENOENT: no list has it.  Others: it cannot be told. */
static int look_for(struct bedrock *b, const struct backend_part *p, const char *name,
		    char **ret_arn, struct err *e)
{
	struct seeking s = {.name = name, .token = p->token};
	const char *digits = strrchr(name, '-');
	struct control_filter f = {.name_contains = digits ? digits + 1 : name};
	struct err why = ERR_INIT;
	int r = control_list(b->control, &f, is_it, &s, &why);

	if (r == 0 && !s.arn) {
		/* Should the filter be at fault, or lag. */
		f.name_contains = NULL;
		f.submitted_after_ns = p->asked_ns > LOOK_BACK_NS ? p->asked_ns - LOOK_BACK_NS : 0;
		r = control_list(b->control, &f, is_it, &s, &why);
	}
	if (r < 0) {
		free(s.arn);
		return err_set(e, r == -ECANCELED ? r : -EAGAIN,
			       "whether the job exists cannot be told yet: %s", why.text);
	}
	if (!s.arn)
		return -ENOENT;
	*ret_arn = s.arn;
	return 0;
}

/* --- when it was last sent --- */

static void note_sent(struct bedrock *b, const char *token)
{
	struct bedrock_sent *to;

	pthread_mutex_lock(&b->sent_mutex);
	to = &b->sent[b->sent_next++ % BEDROCK_SENT_MAX];
	snprintf(to->token, sizeof(to->token), "%s", token);
	to->mono_ns = clock_mono_ns(b->clock);
	pthread_mutex_unlock(&b->sent_mutex);
}

/* How long ago, at least.  What another process sent it may have sent until just
 * before this one began; asked_ns is when it first meant to. */
static int64_t since_sent(struct bedrock *b, const struct backend_part *p)
{
	int64_t age = clock_wall_ns(b->clock) - p->asked_ns;
	int64_t now = clock_mono_ns(b->clock);

	if (now - b->opened_mono_ns < age)
		age = now - b->opened_mono_ns;
	pthread_mutex_lock(&b->sent_mutex);
	for (size_t i = 0; i < BEDROCK_SENT_MAX; i++)
		if (strcmp(b->sent[i].token, p->token) == 0 && now - b->sent[i].mono_ns < age)
			age = now - b->sent[i].mono_ns;
	pthread_mutex_unlock(&b->sent_mutex);
	return age < 0 ? 0 : age;
}

/* It is in no list: may it be sent again?  0, -EAGAIN, -EINVAL; or -ENOENT,
 * if it is only looked for. */
static int may_send_again(struct bedrock *b, const struct backend_part *p, struct err *e)
{
	int64_t grace = (int64_t)bedrock_number(b, p->config, "create_grace", GRACE_S) * NS_PER_S;
	int64_t now = clock_wall_ns(b->clock), age = since_sent(b, p);
	char asked[CLOCK_TEXT_MAX], until[CLOCK_TEXT_MAX];

	if (p->look_only && age >= grace)
		return err_set(e, -ENOENT, "the service has no such job");
	if (now - p->asked_ns >= DAY_NS)
		return err_set(
			e, -EINVAL,
			"the answer of the create call of %s was lost, and the service lists no "
			"such job; after more than a day it is not asked for by itself: look "
			"in the console, then write model again to submit",
			clock_format_utc(p->asked_ns, asked));
	if (age < grace)
		return err_set(e, -EAGAIN,
			       "the answer of the create call of %s was lost; looking for the job "
			       "until %s",
			       clock_format_utc(p->asked_ns, asked),
			       clock_format_utc(now + grace - age, until));
	return 0;
}

/* --- asking for it --- */

/* What a create call holds, beside what it borrows. */
struct request {
	struct control_job_spec spec;
	struct bedrock_list subnets, groups;
	struct kv tags;
};

static void request_release(struct request *q)
{
	bedrock_list_release(&q->subnets);
	bedrock_list_release(&q->groups);
	kv_release(&q->tags);
}

/* The folder if it holds media, else the file. */
static int choose_input(const struct backend_part *p, const struct bedrock_names *names,
			struct request *q, struct err *e)
{
	CLEANUP(fd_closep) int fd = -1;
	int r = 0;

	if (p->media_path) {
		fd = open(p->input_path, O_RDONLY | O_CLOEXEC);
		r = fd < 0 ? -errno : bedrock_media_is_used(fd);
		if (r < 0)
			return err_errno(e, r == -EINVAL ? -EIO : r, "cannot read %s",
					 p->input_path);
	}
	q->spec.input_uri = r == 1 ? names->folder_uri : names->input_uri;
	return 0;
}

static int fill_request(const struct bedrock *b, const struct backend_part *p,
			const struct bedrock_names *names, struct request *q, struct err *e)
{
	const char *subnets = bedrock_setting(b, p->config, "subnets");
	const char *groups = bedrock_setting(b, p->config, "security_groups");
	const char *tags = bedrock_setting(b, p->config, "tags");
	int r = 0;

	q->spec = (struct control_job_spec){
		.name = names->job,
		.token = p->token,
		.model = p->model,
		.role = bedrock_setting(b, p->config, "role"),
		.input_owner = bedrock_setting(b, p->config, "bucket_owner"),
		.output_uri = names->output_uri,
		.output_owner = bedrock_setting(b, p->config, "bucket_owner"),
		.kms_key = bedrock_setting(b, p->config, "kms_key"),
		.timeout_hours = (int)bedrock_number(b, p->config, "timeout", 0),
		.invocation = bedrock_setting(b, p->config, "invocation"),
		.tags = &q->tags,
	};
	if (subnets && groups) {
		r = bedrock_split(subnets, &q->subnets);
		if (r == 0)
			r = bedrock_split(groups, &q->groups);
		q->spec.subnets = q->subnets.items;
		q->spec.security_groups = q->groups.items;
	}
	if (r < 0)
		return err_set(e, r, "no memory for the create call");
	if (tags)
		r = bedrock_split_tags(tags, &q->tags, e);
	return r < 0 ? r : choose_input(p, names, q, e);
}

/* The name is taken: by our own call, or by somebody else's job? */
static int whose_name(struct bedrock *b, const struct backend_part *p, const char *name,
		      char **ret_remote, const struct errmap *said, struct err *e)
{
	int r = look_for(b, p, name, ret_remote, e);

	if (r != -ENOENT)
		return r;
	if (p->asked_ns)
		return err_set(
			e, -EAGAIN,
			"the service says that the job's name is in use, and does not list the "
			"job yet");
	return bedrock_refuse(b, p, said->code, said->message, e);
}

/* What a failed create means to the engine (backend.h). */
static int verdict(struct bedrock *b, const struct backend_part *p, int r,
		   const struct control_refusal *why, struct err *e)
{
	if (why->maybe) {
		note_sent(b, p->token);
		return r == -ECANCELED ? r : -EAGAIN;
	}
	switch (why->error.class) {
	case ERRMAP_DENIED:
	case ERRMAP_NOT_FOUND:
	case ERRMAP_CONFLICT:
	case ERRMAP_PRECONDITION:
	case ERRMAP_REDIRECT:
	case ERRMAP_INVALID:
		return bedrock_refuse(b, p, why->error.code,
				      why->error.message[0] || !e ? why->error.message : e->text,
				      e);
	case ERRMAP_QUOTA:
		return bedrock_tell_full(b, p->model, &why->error, e);
	case ERRMAP_OK:
	case ERRMAP_UNSENT: /* no connection, no credentials, no memory */
	case ERRMAP_TRANSPORT:
	case ERRMAP_THROTTLED:
	case ERRMAP_TRANSIENT:
	case ERRMAP_EXPIRED:
	case ERRMAP_SKEWED:
	case ERRMAP_CLASS_COUNT:
		break;
	}
	return r == -ECANCELED ? r : -EBUSY;
}

static int ask(struct bedrock *b, const struct backend_part *p, const struct bedrock_names *names,
	       char **ret_remote, struct err *e)
{
	CLEANUP(request_release) struct request q = {.tags = KV_INIT};
	struct control_refusal why = {.maybe = false};
	int r = fill_request(b, p, names, &q, e);

	if (r < 0) /* nothing was sent */
		return r == -EINVAL ? r : -EBUSY;
	r = control_create(b->control, &q.spec, ret_remote, &why, e);
	if (r == -EEXIST)
		return whose_name(b, p, names->job, ret_remote, &why.error, e);
	if (r < 0)
		return verdict(b, p, r, &why, e);
	log_info("bedrock", "created job=%s arn=%s records=%llu", names->job, *ret_remote,
		 (unsigned long long)p->record_count);
	return 0;
}

int bedrock_create(struct backend *backend, const struct backend_part *p, char **ret_remote,
		   struct err *e)
{
	struct bedrock *b = bedrock_of(backend);
	struct bedrock_names names;
	int r = bedrock_names(b, p, &names, e);

	if (r < 0)
		return r;
	if (p->look_only && !p->asked_ns)
		return err_set(e, -ENOENT, "the job was never asked for");
	if (p->asked_ns) {
		r = look_for(b, p, names.job, ret_remote, e);
		if (r == 0)
			log_info("bedrock", "found job=%s arn=%s: its create call was answered",
				 names.job, *ret_remote);
		if (r != -ENOENT)
			return r;
		r = may_send_again(b, p, e);
		if (r < 0)
			return r;
		log_info("bedrock", "asking again for job=%s: no list has it", names.job);
	}
	r = bedrock_check_part(b, p, e);
	return r < 0 ? r : ask(b, p, &names, ret_remote, e);
}
