#ifndef TESTS_UNIT_AWSKIT_H
#define TESTS_UNIT_AWSKIT_H

/*
 * Calls against a server in a thread (awsserver.h), with long-term keys of the
 * environment, a clock that is turned by hand, and pauses of no length.
 *
 *	struct awskit k;
 *	awskit_begin(&k);	and awsenv_set(&k.env, ...) before awskit_open()
 *	awskit_open(&k);
 *	... k.aws, k.server ...
 *	awskit_end(&k);
 */

#include "backend/aws/call.h"
#include "backend/http/http.h"
#include "tests/unit/awsenv.h"
#include "tests/unit/awsserver.h"

#define AWSKIT_KEY     "AKIDEXAMPLE"
#define AWSKIT_SECRET  "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define AWSKIT_TOKEN   "IQoJb3JpZ2luX2VjEXAMPLETOKENx0123456789=="
#define AWSKIT_WALL_NS (1767323045LL * NS_PER_S) /* 2026-01-02T03:04:05Z */

struct awskit {
	struct awsenv env;
	struct clock clock;
	struct awsserver *server;
	struct aws *aws;
};

static inline void awskit_begin(struct awskit *k)
{
	*k = (struct awskit){.server = awsserver_start()};
	clock_init_manual(&k->clock, NS_PER_S, AWSKIT_WALL_NS);
	awsenv_set(&k->env, "AWS_EC2_METADATA_DISABLED", "true");
	awsenv_set(&k->env, "AWS_REGION", "us-east-1");
	awsenv_set(&k->env, "AWS_CONFIG_FILE", "/dev/null");
	awsenv_set(&k->env, "AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
	awsenv_set(&k->env, "AWS_ACCESS_KEY_ID", AWSKIT_KEY);
	awsenv_set(&k->env, "AWS_SECRET_ACCESS_KEY", AWSKIT_SECRET);
	awsenv_set(&k->env, "AWS_ENDPOINT_URL", awsserver_origin(k->server));
}

static inline void awskit_open(struct awskit *k)
{
	struct err e = ERR_INIT;

	assert_int_equal(http_global_init(NULL), 0);
	if (aws_open(awsenv_load(&k->env, NULL, NULL), &k->clock, &k->aws, &e) < 0)
		fail_msg("%s", e.text);
	aws_set_pause_unit(k->aws, 0);
}

static inline void awskit_start(struct awskit *k)
{
	awskit_begin(k);
	awskit_open(k);
}

/* One that the server answers as it likes. */
static inline struct aws_request awskit_request(struct awskit *k)
{
	return (struct aws_request){
		.method = "POST",
		.service = "bedrock",
		.region = "us-east-1",
		.origin = awsserver_origin(k->server),
		.path = "/model-invocation-job",
		.headers = {{"Content-Type", "application/json"}},
		.body = "{}",
		.body_size = 2,
	};
}

static inline void awskit_end(struct awskit *k)
{
	aws_close(k->aws);
	awsserver_stop(k->server);
}

/* The n-th request, and that it is signed. */
static inline const struct awsserver_request *awskit_signed(struct awskit *k, unsigned index)
{
	const struct awsserver_request *q = awsserver_request(k->server, index);

	if (!awsserver_is_signed(q, AWSKIT_SECRET))
		fail_msg("request %u, %s %s, is not signed rightly", index, q->method, q->target);
	return q;
}

#endif
