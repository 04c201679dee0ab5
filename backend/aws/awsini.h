#ifndef BACKEND_AWS_AWSINI_H
#define BACKEND_AWS_AWSINI_H

/*
 * One of the two files of settings that all AWS tools share, taken apart.
 *
 *	[profile dev]			kind "profile", name "dev"
 *	region = us-east-1		key "region"
 *	s3 =
 *	  endpoint_url = ...		outer "s3", key "endpoint_url"
 *
 * In the config file [default] is the profile of that name, and a section
 * that names no kind, such as [plugins], has the kind "".  In the credentials
 * file every section is a profile.  Keys are in lower case; sections of one
 * name are one; of two pairs with one key the later counts.
 *
 * A line that stands further in than the key above it belongs to that key,
 * which then has no value of its own; anything else there is a fault, since
 * tools do not agree on what it means.
 *
 * Not thread-safe while it is read in, immutable after.  All of it is wiped
 * when it is freed.
 */

#include <stdbool.h>
#include <stddef.h>

#include "fs/base/err.h"
#include "fs/base/macros.h"

#define AWSINI_FILE_MAX	 (1024 * 1024)
#define AWSINI_LINES_MAX 20000

struct awsini_pair {
	size_t section;	 /* index */
	char *outer;	 /* owned, NULL: not nested */
	char *key, *val; /* owned */
};

struct awsini_section {
	char *kind, *name; /* owned */
};

struct awsini {
	struct awsini_section *sections; /* owned */
	struct awsini_pair *pairs;	 /* owned */
	size_t section_count, pair_count;
};

#define AWSINI_INIT                                                                                \
	{                                                                                          \
		.section_count = 0                                                                 \
	}

void awsini_release(struct awsini *ini);

enum awsini_file {
	AWSINI_CONFIG,
	AWSINI_CREDENTIALS
};

/* Adds what the text says; name stands in messages ("NAME:3: ...").
 * -EINVAL: a fault, with its line and the cure, and never what the line says. */
MUST_CHECK int awsini_parse(struct awsini *ini, enum awsini_file file, const char *name,
			    const char *text, size_t size, struct err *e);

/* The same of a file.  One that is not there says nothing.  -EACCES, -EIO: it
 * cannot be read; -EINVAL: a fault, or larger than AWSINI_FILE_MAX. */
MUST_CHECK int awsini_load(struct awsini *ini, enum awsini_file file, const char *path,
			   struct err *e);

bool awsini_has(const struct awsini *ini, const char *kind, const char *name);

/* Borrowed; NULL: not there, or empty.  outer: NULL for a key that is not nested. */
const char *awsini_get(const struct awsini *ini, const char *kind, const char *name,
		       const char *outer, const char *key);

#endif
