/* S3's answers in XML: what is taken from them, and what is not taken at all. */

#include <errno.h>
#include <string.h>

#include "backend/aws/s3xml.h"
#include "fs/base/buf.h"
#include "fs/base/clock.h"
#include "tests/unit/cmocka_all.h"

#define LIST(inner) "<ListBucketResult>" inner "</ListBucketResult>"
#define KEY(text)   "<Contents><Key>" text "</Key></Contents>"
#define URL	    "<EncodingType>url</EncodingType>"

static void test_objects(void **state)
{
	static const char page[] =
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		"<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
		"<Name>b</Name><Prefix>out/</Prefix><KeyCount>2</KeyCount>"
		"<Contents><Key>out/a%2Bb+c%C3%BC</Key>"
		"<LastModified>2026-01-02T03:04:05.000Z</LastModified>"
		"<ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag><Size>12</Size>"
		"<Owner><ID>x</ID><DisplayName>Key</DisplayName></Owner>"
		"<StorageClass>STANDARD</StorageClass></Contents>"
		"<Contents><Key>out/z</Key><Size>9223372036854775807</Size></Contents>"
		"<CommonPrefixes><Prefix>out/dir/</Prefix></CommonPrefixes>"
		"<EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
		"<NextContinuationToken>1ueG/==</NextContinuationToken></ListBucketResult>";
	CLEANUP(s3xml_objects_release) struct s3xml_objects p = {.count = 0};

	(void)state;
	assert_int_equal(s3xml_objects(page, strlen(page), &p, NULL), 0);
	assert_int_equal(p.count, 2);
	assert_string_equal(p.items[0].key, "out/a+b c\xc3\xbc");
	assert_string_equal(p.items[0].etag, "\"d41d8cd98f00b204e9800998ecf8427e\"");
	assert_int_equal(p.items[0].size, 12);
	assert_int_equal(p.items[0].modified_ns, 1767323045LL * NS_PER_S);
	assert_string_equal(p.items[1].key, "out/z");
	assert_int_equal(p.items[1].size, INT64_MAX);
	assert_int_equal(p.items[1].modified_ns, 0);
	assert_true(p.truncated);
	assert_string_equal(p.token, "1ueG/==");
}

static void test_keys(void **state)
{
	static const struct {
		const char *why, *page, *key; /* key NULL: refused */
	} rows[] = {
		{"as it is", LIST(KEY("a+b%20c")), "a+b%20c"},
		{"encoded", LIST(URL KEY("a+b%20c%2b")), "a b c+"},
		{"encoded, said at the end", LIST(KEY("a+b") URL), "a b"},
		{"another encoding that we do not know",
		 LIST(KEY("a+b") "<EncodingType>base64</EncodingType>"), "a+b"},
		{"entities", LIST(KEY("a&amp;b&lt;&#252;")), "a&b<\xc3\xbc"},
		{"a section", LIST(KEY("<![CDATA[a&b]]>")), "a&b"},
		{"with a prefix of a namespace",
		 "<s:ListBucketResult xmlns:s='u'><s:Contents><s:Key>k</s:Key></s:Contents>"
		 "</s:ListBucketResult>",
		 "k"},
		{"half an escape", LIST(URL KEY("a%2")), NULL},
		{"no escape", LIST(URL KEY("a%zz")), NULL},
		{"a NUL would cut it short", LIST(URL KEY("a%00b")), NULL},
		{"no key", LIST("<Contents><Size>1</Size></Contents>"), NULL},
		{"an empty key", LIST(KEY("")), NULL},
		{"a control byte may only be encoded", LIST(KEY("a\001")), NULL},
		{"not UTF-8", LIST(KEY("a\xff")), NULL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(s3xml_objects_release) struct s3xml_objects p = {.count = 0};
		struct err e = ERR_INIT;
		int r = s3xml_objects(rows[i].page, strlen(rows[i].page), &p, &e);

		if (!rows[i].key) {
			if (r != -EPROTO || !e.text[0])
				fail_msg("%s: %d (%s)", rows[i].why, r, e.text);
			continue;
		}
		if (r != 0 || p.count != 1 || strcmp(p.items[0].key, rows[i].key) != 0)
			fail_msg("%s: %d (%s)", rows[i].why, r, e.text);
	}
}

#define BILLION "<!DOCTYPE l [<!ENTITY a \"lol\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;\">]>"

static void test_hostile(void **state)
{
	static const struct {
		const char *why, *page;
	} rows[] = {
		{"nothing", ""},
		{"white space", " \n"},
		{"not XML", "{\"a\": 1}"},
		{"HTML", "<html><body><br></body></html>"},
		{"HTML that is XML, too", "<html><body><br/></body></html>"},
		{"a list of something else", "<ListPartsResult></ListPartsResult>"},
		{"cut off", "<ListBucketResult><Contents><Key>a</Key>"},
		{"two documents", LIST("") LIST("")},
		{"entities of its own", BILLION LIST(KEY("&b;"))},
		{"an entity from outside",
		 "<!DOCTYPE l [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>" LIST(KEY("&x;"))},
		{"a document type that does nothing", "<!DOCTYPE l>" LIST(KEY("a"))},
		{"an entity that is not defined", LIST(KEY("&x;"))},
		{"another encoding",
		 "<?xml version='1.0' encoding='x-unknown'?>" LIST(KEY("\xff"))},
		{"a size that is no number", LIST("<Contents><Size>-1</Size></Contents>")},
		{"a size that does not fit",
		 LIST("<Contents><Size>9223372036854775808</Size></Contents>")},
		{"an empty size", LIST("<Contents><Size></Size></Contents>")},
		{"goes on nowhere", LIST("<IsTruncated>true</IsTruncated>")},
		{"nested too deep", "<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a></a></a>"
				    "</a></a></a></a></a></a></a></a></a></a></a></a></a></a></a>"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(s3xml_objects_release) struct s3xml_objects p = {.count = 0};
		struct err e = ERR_INIT;
		int r = s3xml_objects(rows[i].page, strlen(rows[i].page), &p, &e);

		if (r != -EPROTO || !e.text[0] || p.items)
			fail_msg("%s: %d (%s)", rows[i].why, r, e.text);
	}
}

/* begin + count * (unit) + end, refused or not. */
static int objects_of(const char *begin, const char *unit, size_t count, const char *end)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(1 << 20);
	CLEANUP(s3xml_objects_release) struct s3xml_objects p = {.count = 0};

	buf_add_str(&b, begin);
	for (size_t i = 0; i < count; i++)
		buf_add_str(&b, unit);
	buf_add_str(&b, end);
	assert_int_equal(buf_error(&b), 0);
	return s3xml_objects(b.data, b.size, &p, NULL);
}

static void test_bounds(void **state)
{
	static const struct {
		const char *why, *begin, *unit, *end;
		size_t fits;
	} rows[] = {
		{"entries of a page", "<ListBucketResult>", KEY("a"), "</ListBucketResult>",
		 S3XML_PAGE_MAX},
		{"a key", "<ListBucketResult><Contents><Key>", "a",
		 "</Key></Contents></ListBucketResult>", S3_KEY_MAX},
		{"a key that is encoded",
		 "<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>", "%61",
		 "</Key></Contents></ListBucketResult>", S3_KEY_MAX},
		{"an ETag", "<ListBucketResult><Contents><Key>a</Key><ETag>", "e",
		 "</ETag></Contents></ListBucketResult>", S3_ETAG_MAX - 1},
		{"a token", "<ListBucketResult><NextContinuationToken>", "t",
		 "</NextContinuationToken></ListBucketResult>", S3XML_TOKEN_MAX - 1},
		{"any text", "<ListBucketResult><X>", "x", "</X></ListBucketResult>",
		 S3XML_TEXT_MAX},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if (objects_of(rows[i].begin, rows[i].unit, rows[i].fits, rows[i].end) != 0)
			fail_msg("%s: %zu do not fit", rows[i].why, rows[i].fits);
		if (objects_of(rows[i].begin, rows[i].unit, rows[i].fits + 1, rows[i].end) !=
		    -EPROTO)
			fail_msg("%s: %zu fit", rows[i].why, rows[i].fits + 1);
	}
}

static void test_uploads(void **state)
{
	static const char page[] =
		"<ListMultipartUploadsResult><Bucket>b</Bucket><KeyMarker></KeyMarker>"
		"<UploadIdMarker/><NextKeyMarker>a%2Fb</NextKeyMarker>"
		"<NextUploadIdMarker>u2</NextUploadIdMarker><EncodingType>url</EncodingType>"
		"<IsTruncated>true</IsTruncated>"
		"<Upload><Key>a%2Fb</Key><UploadId>u1</UploadId><Initiator><ID>i</ID></Initiator>"
		"<Initiated>2026-01-02T03:04:05.678Z</Initiated></Upload>"
		"<Upload><Key>a%2Fb</Key><UploadId>u2</UploadId><Initiated>soon</Initiated>"
		"</Upload></ListMultipartUploadsResult>";
	static const char without_id[] = "<ListMultipartUploadsResult><Upload><Key>a</Key>"
					 "</Upload></ListMultipartUploadsResult>";
	CLEANUP(s3xml_uploads_release) struct s3xml_uploads p = {.count = 0};
	struct s3xml_uploads none;

	(void)state;
	assert_int_equal(s3xml_uploads(page, strlen(page), &p, NULL), 0);
	assert_int_equal(p.count, 2);
	assert_string_equal(p.items[0].key, "a/b");
	assert_string_equal(p.items[0].id, "u1");
	assert_int_equal(p.items[0].initiated_ns, 1767323045LL * NS_PER_S);
	assert_string_equal(p.items[1].id, "u2");
	assert_int_equal(p.items[1].initiated_ns, 0);
	assert_true(p.truncated);
	assert_string_equal(p.key_marker, "a/b");
	assert_string_equal(p.id_marker, "u2");
	assert_int_equal(s3xml_uploads(without_id, strlen(without_id), &none, NULL), -EPROTO);
}

#define PARTS(inner) "<ListPartsResult>" inner "</ListPartsResult>"

static void test_parts(void **state)
{
	static const char page[] = PARTS(
		"<UploadId>u</UploadId><PartNumberMarker>0</PartNumberMarker>"
		"<NextPartNumberMarker>2</NextPartNumberMarker><IsTruncated>true</IsTruncated>"
		"<ChecksumAlgorithm>CRC32</ChecksumAlgorithm>"
		"<ChecksumType>FULL_OBJECT</ChecksumType>"
		"<Part><PartNumber>1</PartNumber><ETag>e1</ETag><Size>5242880</Size>"
		"<ChecksumCRC32>y/U6HA==</ChecksumCRC32></Part>"
		"<Part><PartNumber>2</PartNumber><ETag>e2</ETag><Size>7</Size></Part>");
	static const struct {
		const char *why, *page;
	} bad[] = {
		{"part 0", PARTS("<Part><PartNumber>0</PartNumber><ETag>e</ETag></Part>")},
		{"part 10,001", PARTS("<Part><PartNumber>10001</PartNumber><ETag>e</ETag></Part>")},
		{"no number", PARTS("<Part><ETag>e</ETag></Part>")},
		{"no ETag", PARTS("<Part><PartNumber>1</PartNumber></Part>")},
		{"goes on nowhere", PARTS("<IsTruncated>true</IsTruncated>"
					  "<NextPartNumberMarker></NextPartNumberMarker>")},
	};
	static const char empty[] = PARTS("<NextPartNumberMarker></NextPartNumberMarker>");
	CLEANUP(s3xml_parts_release) struct s3xml_parts p = {.count = 0};
	CLEANUP(s3xml_parts_release) struct s3xml_parts none = {.count = 0};

	(void)state;
	assert_int_equal(s3xml_parts(page, strlen(page), &p, NULL), 0);
	assert_int_equal(p.count, 2);
	assert_int_equal(p.items[0].number, 1);
	assert_int_equal(p.items[0].size, 5242880);
	assert_string_equal(p.items[0].crc32, "y/U6HA==");
	assert_string_equal(p.items[1].etag, "e2");
	assert_string_equal(p.items[1].crc32, "");
	assert_int_equal(p.marker, 2);
	assert_string_equal(p.algorithm, "CRC32");
	assert_string_equal(p.type, "FULL_OBJECT");
	assert_int_equal(s3xml_parts(empty, strlen(empty), &none, NULL), 0);
	assert_int_equal(none.count, 0);
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct s3xml_parts q;

		if (s3xml_parts(bad[i].page, strlen(bad[i].page), &q, NULL) != -EPROTO)
			fail_msg("%s: taken", bad[i].why);
	}
}

static void test_find(void **state)
{
	static const struct {
		const char *why, *page, *text;
	} rows[] = {
		{"there", "<A><B>x</B></A>", "x"},
		{"the first counts", "<A><B>x</B><B>y</B></A>", "x"},
		{"empty", "<A><B/></A>", ""},
		{"elsewhere", "<A><C><B>x</B></C></A>", NULL},
		{"after white space that keeps a connection alive",
		 "\n  \r\n\t<?xml version=\"1.0\"?><A><B>x</B></A>", "x"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		CLEANUP(str_freep) char *text = NULL;
		int r = s3xml_find(rows[i].page, strlen(rows[i].page), "A/B", &text, NULL);

		if (r != 0 || !text != !rows[i].text || (text && strcmp(text, rows[i].text) != 0))
			fail_msg("%s: %d %s", rows[i].why, r, text ? text : "nothing");
	}
}

static int refuse(void *ctx, const char *path, const char *text)
{
	(void)text;
	(*(int *)ctx)++;
	return strcmp(path, "A/B") == 0 ? -EXDEV : 0;
}

static void test_a_reader_that_refuses_ends_the_walk(void **state)
{
	static const char page[] = "<A><C/><B/><D/><D/></A>";
	struct err e = ERR_INIT;
	int calls = 0;

	(void)state;
	assert_int_equal(s3xml_walk(page, strlen(page), refuse, &calls, &e), -EXDEV);
	assert_int_equal(calls, 2);
	assert_true(e.text[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_objects),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_uploads),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_a_reader_that_refuses_ends_the_walk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
