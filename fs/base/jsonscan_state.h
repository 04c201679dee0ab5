#ifndef FS_BASE_JSONSCAN_STATE_H
#define FS_BASE_JSONSCAN_STATE_H

/*
 * The storage of struct jsonscan, for callers that keep one by value.  Every
 * member is private to fs/base/jsonscan.c; include fs/base/jsonscan.h.
 *
 * No pointers in here: a copy is a checkpoint.
 */

#include <stdbool.h>
#include <stdint.h>

struct jsonscan {
	uint64_t offset_;			    /* bytes fed */
	uint64_t line_;				    /* from 1 */
	uint64_t line_offset_;			    /* of the first byte of this line */
	uint64_t mark_;				    /* offset where the present token begins */
	uint64_t nesting_[JSONSCAN_DEPTH_MAX / 64]; /* bit = 1: an object, 0: an array */
	uint32_t depth_;
	uint32_t id_size_;	    /* decoded; may be more than id_ holds: too long */
	uint32_t code_, high_;	    /* \uXXXX so far; a high surrogate that waits for its pair */
	uint8_t state_;		    /* enum json_place or enum lexeme */
	uint8_t member_;	    /* enum member: whose value comes, at the top level */
	uint8_t seen_;		    /* bits 1 << enum member: what this line had already */
	uint8_t capture_;	    /* enum capture: where the string under way is copied */
	uint8_t digits_;	    /* of \uXXXX still to come */
	uint8_t tails_, low_, top_; /* UTF-8 bytes to come, and the range of the next */
	uint8_t char_size_;	    /* UTF-8 bytes there were */
	uint8_t name_size_;	    /* of name_; NAME_LONG if it does not fit */
	char last_byte_;
	bool is_name_; /* the string under way is a member's name */
	bool is_lone_; /* the string under way has half of a surrogate pair */
	bool is_text_; /* one JSON text, not lines */
	char name_[14];
	char id_[JSONSCAN_ID_MAX + 1];
};

#endif
