#ifndef FS_OPTIONS_H
#define FS_OPTIONS_H

/*
 * The command line:
 *
 *	batchfs [SOURCE] MOUNTPOINT [-o opt,...] [-f] [-d] [--help] [--version]
 *	batchfs --check|--print-iam SOURCE [-o opt,...]
 *
 * as mount(8) and fstab give it too, so that the options which mount(8) hands
 * on to every helper (rw, nosuid, user, _netdev, ...) are taken and passed
 * over.  This is the only file that reads the environment.
 */

#include <stdbool.h>
#include <stdint.h>

#include "fs/base/err.h"
#include "fs/base/kv.h"
#include "fs/base/macros.h"
#include "fs/job/settings.h"

#define OPTIONS_RECORDS_MAX "max_records_per_job" /* both sources have it */

struct options {
	char *source;		      /* "local:", "bedrock:BUCKET/PREFIX" */
	bool is_bedrock;	      /* then also: */
	char *bucket, *prefix;	      /* of the source */
	struct kv source_options;     /* those that are the source's own, checked */
	char *mountpoint;	      /* absolute; NULL with check and print_iam */
	char *state, *cache, *config; /* absolute, or NULL */
	struct settings settings;     /* of jobs */
	int64_t poll_ns;	      /* 0: as the source thinks best */
	bool fetch_auto, allow_other, read_only;
	char *model; /* to look for with check, or NULL */
	bool check, print_iam;
	bool foreground, debug;
	bool help, version; /* nothing else is asked for */
	/* Of the environment, borrowed; NULL where unset. */
	const char *env_home, *env_state_home, *env_cache_home, *env_config_home;
};

/* -EINVAL: one clear line in e. */
MUST_CHECK int options_parse(int argc, char **argv, struct options *ret, struct err *e);
void options_release(struct options *o);

/* What --help prints. */
const char *options_help(void);

#endif
