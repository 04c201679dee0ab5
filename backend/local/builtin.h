#ifndef BACKEND_LOCAL_BUILTIN_H
#define BACKEND_LOCAL_BUILTIN_H

/*
 * What runs without a model, a program or a network: builtin.echo, .template,
 * .hash-embed, .fail and .slow.  They are no language models and say so in
 * every answer; the same record gives the same bytes everywhere.
 *
 *	{"output":{"message":{"role":"assistant","content":[{"text":"..."}]}},
 *	 "stopReason":"end_turn",
 *	 "usage":{"inputTokens":2,"outputTokens":2,"totalTokens":4,"estimated":true},
 *	 "builtin":{"model":"echo","version":1,"note":"not a language model"}}
 *
 *	{"embedding":[...],"inputTextTokenCount":2,
 *	 "builtin":{"model":"hash-embed","version":1,"estimated":true,
 *	 "note":"hashed words, not a language model"}}
 *
 * Tokens are words between white space.  Settings: delay_ms a record (slow:
 * 200, others 0), parallel (4), template, dimensions (256), fail_rate (0.3)
 * and fail_attempts (1): builtin.fail fails a share of the records, chosen by
 * a hash of the id, on the first attempts of a job.
 */

#include <stddef.h>

size_t builtin_count(void);

/* "builtin.echo"; i below builtin_count(). */
const char *builtin_name(size_t i);

#endif
