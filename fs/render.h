#ifndef FS_RENDER_H
#define FS_RENDER_H

/*
 * Views to bytes.  Pure but for the mount's own files, which look through the
 * list of jobs: the same view gives the same bytes, so that the size told at
 * stat is the size of what an open gives.
 *
 * Both initialise *out, which the caller releases whatever is returned.
 */

#include "fs/base/buf.h"
#include "fs/base/macros.h"
#include "fs/job/view.h"
#include "fs/tree.h"

#define RENDER_MAX (64u * 1024 * 1024)

/* status, status.json, progress, error, cost, ctl of a job.  -ENOMEM. */
MUST_CHECK int render_view(const struct view *v, enum kind k, struct buf *out);

/* A changing file of .batchfs/; *ret_ns: the wall time of its last change. */
MUST_CHECK int render_meta(const struct tree *t, enum kind k, struct buf *out, int64_t *ret_ns);

#endif
