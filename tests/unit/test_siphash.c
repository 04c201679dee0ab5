/* SipHash-2-4-128: the reference's first outputs, and libcrypto's for each size. */

#include <endian.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <string.h>

#include "fs/base/macros.h"
#include "fs/base/siphash.h"
#include "tests/unit/cmocka_all.h"

static const unsigned char key[SIPHASH_KEY_SIZE] = {0, 1, 2,  3,  4,  5,  6,  7,
						    8, 9, 10, 11, 12, 13, 14, 15};

static void hash(const void *bytes, size_t size, unsigned char out[16])
{
	uint64_t words[2];

	siphash128(key, bytes, size, words);
	words[0] = htole64(words[0]);
	words[1] = htole64(words[1]);
	memcpy(out, words, 16);
}

static void test_reference(void **state)
{
	static const unsigned char empty[16] = {0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6,
						0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02, 0x93};
	static const unsigned char zero[16] = {0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44,
					       0x34, 0x76, 0x59, 0x11, 0x9b, 0x22, 0xfc, 0x45};
	unsigned char out[16];

	(void)state;
	hash("", 0, out);
	assert_memory_equal(out, empty, 16);
	hash("\0", 1, out);
	assert_memory_equal(out, zero, 16);
}

static void test_as_libcrypto(void **state)
{
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
	EVP_MAC_CTX *ctx;
	unsigned char bytes[100];

	(void)state;
	if (!mac)
		SKIP_TEST("libcrypto has no SIPHASH here\n");
	ctx = EVP_MAC_CTX_new(mac);
	assert_non_null(ctx);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(i * 37 + 11);
	for (size_t size = 0; size <= sizeof(bytes); size++) {
		size_t want = 16, got;
		unsigned char theirs[16], ours[16];
		const OSSL_PARAM params[] = {
			OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &want),
			OSSL_PARAM_construct_end(),
		};

		assert_int_equal(EVP_MAC_init(ctx, key, sizeof(key), params), 1);
		assert_int_equal(EVP_MAC_update(ctx, bytes, size), 1);
		assert_int_equal(EVP_MAC_final(ctx, theirs, &got, sizeof(theirs)), 1);
		assert_int_equal(got, 16);
		hash(bytes, size, ours);
		if (memcmp(ours, theirs, 16) != 0)
			fail_msg("differs at %zu bytes", size);
	}
	EVP_MAC_CTX_free(ctx);
	EVP_MAC_free(mac);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reference),
		cmocka_unit_test(test_as_libcrypto),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
