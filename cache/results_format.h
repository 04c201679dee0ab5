#ifndef CACHE_RESULTS_FORMAT_H
#define CACHE_RESULTS_FORMAT_H

/*
 * The bytes of a generation's index.dat and hash.dat, shared by the reader
 * (results.c) and the writer (results_writer.c).  docs/formats.md, "results",
 * says the same in prose.
 *
 *	index.dat  struct results_header, then count + 1 struct results_entry
 *	hash.dat   slot_count struct results_slot
 *
 * An entry holds where things begin; they end where the next entry's begin,
 * and the entry after the last record's is there for that.  Numbers are in
 * the order of the machine that wrote them: this is a cache, and a machine of
 * the other order refuses it by the order mark.
 */

#include <stddef.h>
#include <stdint.h>

#include "fs/base/siphash.h"

#define RESULTS_MAGIC	   "batchfsR"
#define RESULTS_VERSION	   1u
#define RESULTS_ORDER_MARK 0x01020304u

/* The files by their place in struct results_header's sizes. */
enum results_part {
	RESULTS_PART_OUTPUT, /* the first five as enum results_file */
	RESULTS_PART_ERRORS,
	RESULTS_PART_RETRY,
	RESULTS_PART_CSV,
	RESULTS_PART_TEXT,
	RESULTS_PART_NAMES,
	RESULTS_PART_INDEX,
	RESULTS_PART_HASH,
	RESULTS_PART_COUNT,
};

#define RESULTS_FILE_NAMES                                                                         \
	{                                                                                          \
		"output.jsonl", "errors.jsonl", "retry.jsonl", "results.csv", "text.dat",          \
			"names.dat", "index.dat", "hash.dat"                                       \
	}

struct results_header {
	char magic[8];
	uint32_t version, order_mark;
	uint64_t count;	     /* of records */
	uint64_t slot_count; /* a power of two, above count */
	uint64_t sizes[RESULTS_PART_COUNT];
	uint64_t good, failed;
	uint64_t input_tokens, output_tokens;
	unsigned char key[SIPHASH_KEY_SIZE]; /* of hash.dat, drawn for this generation */
	uint64_t checksum; /* SipHash of all bytes before it under a key of zeros, first half */
};

#define RESULTS_OUTCOME_SHIFT 62
#define RESULTS_OFFSET_MASK   ((UINT64_C(1) << RESULTS_OUTCOME_SHIFT) - 1)

struct results_entry {
	uint64_t line, text;
	uint64_t name_and_outcome; /* enum results_outcome in the upper two bits */
};

struct results_slot {
	uint32_t tag;	       /* upper half of the name's hash */
	uint32_t index_plus_1; /* 0: empty */
};

_Static_assert(sizeof(struct results_header) == 152, "as written in formats.md");
_Static_assert(sizeof(struct results_entry) == 24, "as written in formats.md");
_Static_assert(sizeof(struct results_slot) == 8, "as written in formats.md");

static inline uint64_t results_header_checksum(const struct results_header *h)
{
	static const unsigned char zeros[SIPHASH_KEY_SIZE];
	uint64_t hash[2];

	siphash128(zeros, h, offsetof(struct results_header, checksum), hash);
	return hash[0];
}

#endif
