/*
 * S3's answers: whatever comes, a page is within its bounds and its keys are
 * strings, or nothing is taken; the three kinds of pages and one element.
 */

#include <string.h>

#include "backend/aws/s3xml.h"
#include "tests/fuzz/fuzz.h"

static void check_objects(const char *body, size_t size)
{
	struct s3xml_objects p = {.count = 0};

	if (s3xml_objects(body, size, &p, NULL) < 0)
		PROMISE(!p.items);
	PROMISE(p.count <= S3XML_PAGE_MAX);
	for (size_t i = 0; i < p.count; i++)
		PROMISE(p.items[i].key[0] && strlen(p.items[i].key) <= S3_KEY_MAX &&
			p.items[i].size <= INT64_MAX && p.items[i].modified_ns >= 0);
	PROMISE(!p.truncated || p.token[0]);
	s3xml_objects_release(&p);
}

static void check_uploads(const char *body, size_t size)
{
	struct s3xml_uploads p = {.count = 0};

	if (s3xml_uploads(body, size, &p, NULL) < 0)
		PROMISE(!p.items);
	PROMISE(p.count <= S3XML_PAGE_MAX);
	for (size_t i = 0; i < p.count; i++)
		PROMISE(p.items[i].key[0] && p.items[i].id[0]);
	s3xml_uploads_release(&p);
}

static void check_parts(const char *body, size_t size)
{
	struct s3xml_parts p = {.count = 0};

	if (s3xml_parts(body, size, &p, NULL) < 0)
		PROMISE(!p.items);
	PROMISE(p.count <= S3XML_PAGE_MAX && p.marker <= S3_PARTS_MAX);
	for (size_t i = 0; i < p.count; i++)
		PROMISE(p.items[i].number >= 1 && p.items[i].number <= S3_PARTS_MAX &&
			p.items[i].etag[0]);
	s3xml_parts_release(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *body = (const char *)data;
	char *text = NULL;

	check_objects(body, size);
	check_uploads(body, size);
	check_parts(body, size);
	if (s3xml_find(body, size, "InitiateMultipartUploadResult/UploadId", &text, NULL) < 0)
		PROMISE(!text);
	free(text);
	return 0;
}
