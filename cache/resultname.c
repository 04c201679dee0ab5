#include <stdio.h>
#include <string.h>

#include "cache/results.h"
#include "fs/base/siphash.h"

#define HASH_SUFFIX 17 /* "~" and 16 digits */

static bool is_plain(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-' || c == '.';
}

/* The key is fixed, since a name must be the same in every generation; '~' is
 * never plain, so no other id's name ends like this. */
static void add_hash(struct buf *out, const char *id, size_t id_size)
{
	static const unsigned char key[SIPHASH_KEY_SIZE] = "batchfs names 1";
	uint64_t hash[2];

	siphash128(key, id, id_size, hash);
	buf_addf(out, "~%016llx", (unsigned long long)hash[0]);
}

void results_encode_name(struct buf *out, const char *id, size_t id_size)
{
	static const char digits[] = "0123456789ABCDEF";
	char name[RESULTS_NAME_MAX];
	size_t n = 0, cut = 0; /* cut: the most that leaves room for a hash */

	for (size_t i = 0; i < id_size; i++) {
		unsigned char c = (unsigned char)id[i];
		bool plain = is_plain(id[i]) && (i > 0 || c != '.');
		size_t step = plain ? 1 : 3;

		if (n + step > sizeof(name)) {
			buf_add(out, name, cut);
			add_hash(out, id, id_size);
			return;
		}
		if (plain) {
			name[n] = id[i];
		} else {
			name[n] = '%';
			name[n + 1] = digits[c >> 4];
			name[n + 2] = digits[c & 15];
		}
		n += step;
		if (n <= sizeof(name) - HASH_SUFFIX)
			cut = n;
	}
	buf_add(out, name, n);
}
