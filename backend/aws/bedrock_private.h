#ifndef BACKEND_AWS_BEDROCK_PRIVATE_H
#define BACKEND_AWS_BEDROCK_PRIVATE_H

/*
 * What the files of bedrock.h share.
 *
 * Locks: each of the mutexes guards what stands below it, none is taken under
 * another, none is held across a call to AWS or a callback.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "backend/aws/bedrock.h"
#include "backend/aws/call.h"
#include "backend/aws/control.h"
#include "backend/aws/jobrows.h"
#include "backend/aws/modelnames.h"
#include "backend/aws/naming.h"
#include "backend/aws/prices.h"
#include "backend/aws/quotas.h"
#include "backend/aws/s3.h"

#define BEDROCK_BUCKETS_MAX 32
#define BEDROCK_SENT_MAX    64
#define BEDROCK_PATH_MAX    4096

/* A bucket that is open, in use by some threads. */
struct bedrock_bucket {
	struct s3 *s3;	      /* owned */
	char *name, *kms_key; /* owned; kms_key may be NULL */
	unsigned users;
};

/* When a create call left whose answer never came. */
struct bedrock_sent {
	char token[BACKEND_TOKEN_MAX];
	int64_t mono_ns;
};

struct bedrock {
	struct backend backend; /* first */
	struct aws *aws;
	struct control *control;
	struct prices *prices;
	struct clock *clock; /* borrowed */
	char *bucket, *prefix, *region;
	struct kv options;
	int64_t opened_mono_ns;
	/* Results that are not listed yet: the first pause before looking again,
	 * each is twice the one before. */
	int64_t listing_pause_ns;

	pthread_mutex_t bucket_mutex;
	struct bedrock_bucket buckets[BEDROCK_BUCKETS_MAX];

	pthread_mutex_t sent_mutex;
	struct bedrock_sent sent[BEDROCK_SENT_MAX]; /* a ring */
	unsigned sent_next;

	pthread_mutex_t sweep_mutex;
	pthread_cond_t sweep_free;
	bool sweeping; /* who set it owns the rest, bar what has a mutex */
	bool swept;    /* all jobs there are were met once, */
	bool told;     /* and told of */
	bool list_is_denied;
	uint32_t round;
	size_t get_next;   /* which remote is asked for by Get first */
	int64_t newest_ns; /* the youngest job met; wall time of the service */

	pthread_mutex_t rows_mutex;
	struct jobrows *rows;

	pthread_mutex_t models_mutex;
	char *models; /* owned; lines for .batchfs/models, NULL: not asked yet */
	struct modelnames names;
	struct quotas *quotas; /* owned; NULL: not known */

	pthread_mutex_t learn_mutex;
	pthread_cond_t learn_free;
	bool learned;  /* or tried to, once */
	bool learning; /* who set it owns the rest */
	bool quotas_denied;
	int64_t models_next, quotas_next; /* mono: when to ask again; 0: now */
};

static inline struct bedrock *bedrock_of(struct backend *b)
{
	return (struct bedrock *)b;
}

/* --- bedrockoptions.c --- */

MUST_CHECK int bedrock_check_config(struct backend *b, const char *key, const char *value,
				    struct err *e);

/* The value for a job: of its config, else of the mount; NULL.  config may be
 * NULL.  All values were checked. */
const char *bedrock_setting(const struct bedrock *b, const struct kv *config, const char *key);
uint64_t bedrock_number(const struct bedrock *b, const struct kv *config, const char *key,
			uint64_t otherwise);

/* Settings that come in pairs; NULL: not given.  -EINVAL. */
MUST_CHECK int bedrock_check_vpc(const char *subnets, const char *groups, struct err *e);

/* "A;B" taken apart. */
struct bedrock_list {
	char *text; /* owned; the items are in it */
	const char *items[CONTROL_LISTS_MAX + 1];
	size_t count;
};
void bedrock_list_release(struct bedrock_list *l);
MUST_CHECK int bedrock_split(const char *value, struct bedrock_list *ret);

/* "KEY:VALUE;KEY:VALUE" into kv, which is not emptied. */
MUST_CHECK int bedrock_split_tags(const char *value, struct kv *ret, struct err *e);

/* --- bedrocknames.c --- */

/* Where a part of ours lies in our bucket. */
struct bedrock_names {
	char job[NAMING_JOB_MAX];
	char folder[S3_KEY_MAX + 1]; /* "PREFIX/JOB/" */
	char input[S3_KEY_MAX + 1];  /* "PREFIX/JOB/input.jsonl" */
	char input_uri[CONTROL_URI_MAX + 1], folder_uri[CONTROL_URI_MAX + 1],
		output_uri[CONTROL_URI_MAX + 1];
};
MUST_CHECK int bedrock_names(const struct bedrock *b, const struct backend_part *p,
			     struct bedrock_names *ret, struct err *e);

/* An open bucket, to be given back.  kms_key: for what is put, or NULL. */
MUST_CHECK int bedrock_borrow(struct bedrock *b, const char *bucket, const char *kms_key,
			      struct s3 **ret, struct err *e);
void bedrock_return(struct bedrock *b, struct s3 *s);

/* That we are anybody is found out first: then a refusal of a service is one.
 * -EAGAIN: no credentials now, or none any more. */
MUST_CHECK int bedrock_check_credentials(struct bedrock *b, struct err *e);

/* -EINVAL, with the service's words, their cause and the cure. */
int bedrock_refuse(const struct bedrock *b, const struct backend_part *p, const char *code,
		   const char *words, struct err *e);

/* What is wrong and the cure, in place of the service's words alone. */
void bedrock_explain(const struct bedrock *b, const struct control_job *j, struct part_status *s);

/* What the settings of a job lack before anything is sent.  -EINVAL. */
MUST_CHECK int bedrock_check_part(const struct bedrock *b, const struct backend_part *p,
				  struct err *e);

/* The input and the folder it lies in.  "s3://b/x/in.jsonl" -> b, x/in.jsonl;
 * with is_folder a '/' at the end of the key, which may then be empty. */
struct bedrock_place_of {
	char *bucket, *key; /* owned */
};
void bedrock_place_of_release(struct bedrock_place_of *p);
MUST_CHECK int bedrock_locate(const char *uri, bool is_folder, struct bedrock_place_of *ret,
			      struct err *e);

/* --- the operations --- */

int bedrock_put_input(struct backend *b, const struct backend_part *p, struct err *e);
int bedrock_create(struct backend *b, const struct backend_part *p, char **ret_remote,
		   struct err *e);
int bedrock_poll(struct backend *b, const char *const *remotes, struct part_status *results,
		 size_t count, backend_found *found, void *ctx, struct err *e);
int bedrock_fetch(struct backend *b, const char *remote, const char *dir, struct backend_files *ret,
		  struct err *e);
int bedrock_fetch_input(struct backend *b, const char *remote, const char *path, struct err *e);
int bedrock_purge(struct backend *b, const struct backend_part *p, const char *remote,
		  struct err *e);
int bedrock_check_input(struct backend *b, const struct backend_part *p,
			struct backend_input_check *ret, struct err *e);
int bedrock_run_now(struct backend *b, const struct backend_part *p, const char *path,
		    backend_told *told, void *ctx, struct err *e);
int bedrock_pad_record(struct backend *b, const struct backend_part *p, const char *line,
		       size_t size, const char *id, struct buf *out, struct err *e);
void bedrock_describe(struct backend *b, const char *remote, const char *model, struct buf *out);
void bedrock_models(struct backend *b, struct buf *out);

/* Asks for the models, if that is due; only from within bedrock_learn(). */
void bedrock_refresh_models(struct bedrock *b);

/* --- bedrocklimits.c --- */

void bedrock_limits(struct backend *b, const char *model, struct backend_limits *ret);
void bedrock_learn_limits(struct backend *b);
uint64_t bedrock_job_bytes_max(struct bedrock *b, const char *model);

/* Do the options agree?  options may be NULL.  -EINVAL. */
MUST_CHECK int bedrock_check_limits(const struct kv *options, struct err *e);

/* -EDQUOT, with the service's words, which quota of which model is full, and the cure. */
int bedrock_tell_full(struct bedrock *b, const char *model, const struct errmap *said,
		      struct err *e);

/* Asks for models and quotas, each if that is due, unless somebody does already. */
void bedrock_learn(struct bedrock *b);

/* --- bedrockfetch.c, for bedrockinput.c --- */

/* Keys below a place, in byte order, whose names end so. */
struct bedrock_keys {
	char **keys; /* owned */
	size_t count;
	bool has_manifest;
};
void bedrock_keys_release(struct bedrock_keys *k);
MUST_CHECK int bedrock_list_keys(struct s3 *s, const char *prefix, const char *ending,
				 struct bedrock_keys *ret, struct err *e);
/* The folder OUT/JOBID/ of a job. */
MUST_CHECK int bedrock_output_of(const struct control_job *j, struct bedrock_place_of *ret,
				 struct err *e);
/* Appends a file of lines to another; a last line gets its newline. */
MUST_CHECK int bedrock_append_file(int to, const char *from, struct err *e);

#endif
