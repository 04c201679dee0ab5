#ifndef BACKEND_AWS_DOCTOR_H
#define BACKEND_AWS_DOCTOR_H

/*
 * batchfs --check bedrock:...: would a job work?  A line a question, as it is
 * answered, on out; each that fails with its cure:
 *
 *	✓ credentials: profile dev, SSO session corp
 *	✓ identity: arn:aws:sts::111122223333:assumed-role/dev/me
 *	✗ role: it trusts only arn:aws:iam::111122223333:root; ...
 *	? may pass the role: cannot tell (iam:SimulatePrincipalPolicy is not allowed)
 *
 * Costs nothing and leaves nothing behind but what could not be deleted.
 * Under half a minute: each question has a time of its own.
 */

#include <stdio.h>

#include "backend/aws/bedrock.h"

/* model: to look for, or NULL.  Returns how many failed, or -errno. */
MUST_CHECK int doctor_run(const struct bedrock_place *p, const char *model, FILE *out,
			  struct err *e);

/* batchfs --print-iam bedrock:...: three policies filled in, each under a
 * heading; what is not known (an account) stands as a placeholder that says so.
 * Lines that begin with '#' are words, the rest is three JSON documents.  The
 * account is that of the role.  An option model, if there is one, narrows what
 * may be invoked.  -EINVAL: an option or a file of AWS settings is wrong. */
MUST_CHECK int policies_print(const struct bedrock_place *p, FILE *out, struct err *e);

#endif
