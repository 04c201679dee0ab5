#ifndef BACKEND_LOCAL_LOCAL_H
#define BACKEND_LOCAL_LOCAL_H

/*
 * The local: source: runs records on this machine, no account needed.
 *
 * Three engines behind one executor: builtin (deterministic, marked as no
 * models), command (a program of the user's as a JSONL coprocess) and http
 * (an OpenAI- or Anthropic-compatible server).  Commands and URLs are named
 * in the configuration file only, never in a job.
 *
 * Each finished record is appended to the run's journal in dir as it
 * finishes; after a crash what the journal holds is not run again.  Layout of
 * dir: docs/formats.md, "local runs".
 */

#include "backend/backend.h"

/* dir: absolute, exists, private to this backend.  config_path: an INI file
 * with [model NAME] sections, or NULL.  records_max: of a part; UINT64_MAX: any
 * number.  Unfinished runs found in dir go on.
 * -EINVAL: the configuration file is wrong, with file, line and cure. */
MUST_CHECK int local_open(const char *dir, const char *config_path, uint64_t records_max,
			  struct backend **ret, struct err *e);

#endif
