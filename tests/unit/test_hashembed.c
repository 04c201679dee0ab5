/* hash-embed is fixed to the byte: golden values from a second program written
 * from the definition, and the properties the vectors are used for. */

#include <errno.h>
#include <math.h>
#include <string.h>

#include "backend/local/hashembed.h"
#include "tests/unit/cmocka_all.h"

static uint64_t sum_of(const struct buf *b)
{
	uint64_t h = 14695981039346656037u;

	for (size_t i = 0; i < b->size; i++)
		h = (h ^ (unsigned char)b->data[i]) * 1099511628211u;
	return h;
}

static void test_golden(void **state)
{
	static char many[200];
	static const struct {
		const char *why, *text;
		unsigned dimensions;
		bool normalize;
		size_t size;
		uint64_t fnv; /* of the printed vector */
	} rows[] = {
		{"nothing gives zeros", "", 256, true, 513, 0x8160ff419797c27d},
		{"one letter: a word and one run", "a", 256, true, 534, 0x70ab66e1ebc94983},
		{"words, pairs and runs", "The quick brown fox", 256, true, 949,
		 0xe140a6927ecd5fad},
		{"counts weigh by their logarithm", "the the THE", 256, false, 589,
		 0x11f2bac7468ea16a},
		{"code points, not bytes",
		 "Gr\xc3\xbc\xc3\x9f"
		 "e, \xe4\xb8\x96\xe7\x95\x8c! 123",
		 512, true, 1267, 0x75bb0b3c027ce6c5},
		{"counts are clamped at 64", many, 1024, true, 2080, 0xd04f28a48566646f},
		{"not normalised", "The quick brown fox", 1024, false, 2143, 0x6c2fdf2914ef09fa},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(many); i++)
		many[i] = i % 2 ? ' ' : 'x';
	many[sizeof(many) - 1] = '\0';
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(buf_release) struct buf b;
		double v[HASHEMBED_DIMENSIONS_MAX];

		buf_init(&b, 100000);
		assert_int_equal(hashembed(rows[i].text, strlen(rows[i].text), rows[i].normalize, v,
					   rows[i].dimensions),
				 0);
		hashembed_print(v, rows[i].dimensions, &b);
		if (b.size != rows[i].size || sum_of(&b) != rows[i].fnv)
			fail_msg("%s: %zu bytes: %.200s", rows[i].why, b.size, b.data);
	}
}

static double likeness(const char *a, const char *b)
{
	double x[512], y[512], sum = 0;

	assert_int_equal(hashembed(a, strlen(a), true, x, 512), 0);
	assert_int_equal(hashembed(b, strlen(b), true, y, 512), 0);
	for (int i = 0; i < 512; i++)
		sum += x[i] * y[i];
	return sum;
}

static void test_near_texts_are_near(void **state)
{
	const char *text = "The patient reports anxiety before exams and poor sleep.";

	(void)state;
	assert_true(likeness(text, text) > 0.999999);
	assert_true(likeness(text, "the PATIENT reports anxiety before exams, and poor sleep!") >
		    0.999999);
	assert_true(likeness(text, "The patient reported anxiety before an exam and bad sleep.") >
		    0.5);
	assert_true(fabs(likeness(text, "Quarterly revenue grew by twelve percent")) < 0.3);
}

static void test_hostile_bytes(void **state)
{
	static const char bad[] = "\xff\xfe\x80\x00\xc3 \xf0\x9f\xed\xa0\x80";
	double v[256], length = 0;

	(void)state;
	assert_int_equal(hashembed(bad, sizeof(bad) - 1, true, v, 256), 0);
	for (int i = 0; i < 256; i++)
		length += v[i] * v[i];
	assert_true(fabs(length - 1) < 1e-9);
}

static void test_too_many_features(void **state)
{
	size_t words = HASHEMBED_FEATURES_MAX, size = 0;
	CLEANUP(str_freep) char *text = malloc(words * 10 + 1);
	double v[256];

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < words; i++)
		size += (size_t)snprintf(text + size, 11, "%08zx ", (i * 2654435761u) & 0xffffffff);
	assert_int_equal(hashembed(text, size, true, v, 256), -E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_near_texts_are_near),
		cmocka_unit_test(test_hostile_bytes),
		cmocka_unit_test(test_too_many_features),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
