#include "backend/aws/s3xml.h"

#include <errno.h>
#include <expat.h>
#include <string.h>

#include "fs/base/buf.h"
#include "fs/base/clock.h"

/*
 * A walk keeps the path of the element it is in and the text that came since
 * the last tag.  An answer's reader is one function that is told of each end
 * tag, in document order, so an entry is whole when its own end tag comes.
 */

#define PATH_BYTES_MAX 512

struct walk {
	XML_Parser parser; /* owned */
	char path[PATH_BYTES_MAX];
	size_t path_size;
	unsigned depth;
	struct buf text;
	int (*on)(void *ctx, const char *path, const char *text);
	void *ctx;
	int error;	 /* -errno, what stopped the parser */
	const char *why; /* of -EPROTO; or NULL */
};

static void stop(struct walk *w, int error, const char *why)
{
	if (w->error < 0)
		return;
	w->error = error;
	w->why = why;
	XML_StopParser(w->parser, XML_FALSE);
}

static void on_start(void *arg, const char *name, const char **attributes)
{
	struct walk *w = arg;
	const char *colon = strrchr(name, ':');
	int n;

	(void)attributes;
	if (w->error < 0)
		return;
	name = colon ? colon + 1 : name;
	if (++w->depth > S3XML_DEPTH_MAX) {
		stop(w, -EPROTO, "it is nested too deep");
		return;
	}
	n = snprintf(w->path + w->path_size, sizeof(w->path) - w->path_size, "%s%s",
		     w->path_size ? "/" : "", name);
	if (n < 0 || (size_t)n >= sizeof(w->path) - w->path_size) {
		stop(w, -EPROTO, "its names are too long");
		return;
	}
	w->path_size += (size_t)n;
	buf_clear(&w->text);
}

static void on_end(void *arg, const char *name)
{
	struct walk *w = arg;
	const char *slash;
	int r;

	(void)name;
	if (w->error < 0)
		return;
	if (buf_error(&w->text) < 0) {
		stop(w, buf_error(&w->text) == -EFBIG ? -EPROTO : -ENOMEM,
		     "one of its texts is too long");
		return;
	}
	r = w->on(w->ctx, w->path, w->text.data);
	if (r < 0)
		stop(w, r, NULL);
	slash = strrchr(w->path, '/');
	w->path_size = slash ? (size_t)(slash - w->path) : 0;
	w->path[w->path_size] = 0;
	w->depth--;
	buf_clear(&w->text);
}

static void on_text(void *arg, const char *text, int size)
{
	struct walk *w = arg;

	buf_add(&w->text, text, (size_t)size);
}

/* S3 sends none; where one could be, so could a bomb of entities. */
static void on_doctype(void *arg, const char *name, const char *system_id, const char *public_id,
		       int has_subset)
{
	(void)name;
	(void)system_id;
	(void)public_id;
	(void)has_subset;
	stop(arg, -EPROTO, "it has a document type");
}

static int parse(struct walk *w, const char *body, size_t size, struct err *e)
{
	XML_SetUserData(w->parser, w);
	XML_SetElementHandler(w->parser, on_start, on_end);
	XML_SetCharacterDataHandler(w->parser, on_text);
	XML_SetStartDoctypeDeclHandler(w->parser, on_doctype);
	if (XML_Parse(w->parser, body, (int)size, XML_TRUE) == XML_STATUS_OK && w->error == 0)
		return 0;
	if (w->error == -EPROTO)
		return err_set(e, -EPROTO, "the answer is not taken: %s",
			       w->why ? w->why : "its values make no sense");
	if (w->error < 0)
		return err_errno(e, w->error, "the answer is not taken");
	if (XML_GetErrorCode(w->parser) == XML_ERROR_NO_MEMORY)
		return err_set(e, -ENOMEM, "no memory for an answer in XML");
	return err_set(e, -EPROTO, "the answer is not XML: line %lu: %s",
		       (unsigned long)XML_GetCurrentLineNumber(w->parser),
		       XML_ErrorString(XML_GetErrorCode(w->parser)));
}

int s3xml_walk(const char *body, size_t size,
	       int (*on)(void *ctx, const char *path, const char *text), void *ctx, struct err *e)
{
	struct walk w = {.on = on, .ctx = ctx, .text = BUF_INIT(S3XML_TEXT_MAX)};
	int r;

	/* White space keeps a connection alive while S3 works, and may come
	 * before what must be the first bytes of a document. */
	while (size > 0 && strchr(" \t\r\n", *body) && *body) {
		body++;
		size--;
	}
	if (size > HTTP_ANSWER_MAX)
		return err_set(e, -EPROTO, "the answer is too long");
	w.parser = XML_ParserCreate("UTF-8");
	if (!w.parser)
		return err_set(e, -ENOMEM, "no memory for an answer in XML");
	r = parse(&w, body, size, e);
	XML_ParserFree(w.parser);
	buf_release(&w.text);
	return r;
}

struct finding {
	const char *path; /* borrowed */
	char *text;	  /* owned */
};

static int on_finding(void *ctx, const char *path, const char *text)
{
	struct finding *f = ctx;

	if (f->text || strcmp(path, f->path) != 0)
		return 0;
	f->text = strdup(text);
	return f->text ? 0 : -ENOMEM;
}

int s3xml_find(const char *body, size_t size, const char *path, char **ret, struct err *e)
{
	struct finding f = {.path = path};
	int r = s3xml_walk(body, size, on_finding, &f, e);

	if (r < 0) {
		free(f.text);
		return r;
	}
	*ret = f.text;
	return 0;
}

/* Values. */

static int copy(char *to, size_t size, const char *text)
{
	int n = snprintf(to, size, "%s", text);

	return n >= 0 && (size_t)n < size ? 0 : -EPROTO;
}

static bool is_true(const char *text)
{
	return strcasecmp(text, "true") == 0;
}

static int read_number(const char *text, uint64_t max, uint64_t *ret)
{
	uint64_t value = 0;

	if (!*text)
		return -EPROTO;
	for (; *text; text++) {
		if (*text < '0' || *text > '9' || value > (max - (uint64_t)(*text - '0')) / 10)
			return -EPROTO;
		value = value * 10 + (uint64_t)(*text - '0');
	}
	*ret = value;
	return 0;
}

/* "2026-01-02T03:04:05.000Z"; what is not one is as good as not told. */
static int64_t read_time(const char *text)
{
	struct tm tm = {.tm_isdst = 0};
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);

	if (!end || tm.tm_year < 70 || tm.tm_year > 300 || (*end != 'Z' && *end != '.'))
		return 0;
	return (int64_t)timegm(&tm) * NS_PER_S;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A key of a list that was asked for with encoding-type=url: '+' is a space.
 * In place. */
static int decode_key(char *key)
{
	char *to = key;

	for (const char *p = key; *p; p++) {
		int high, low;

		if (*p != '%') {
			*to++ = *p == '+' ? ' ' : *p;
			continue;
		}
		high = hex_digit(p[1]);
		low = high < 0 ? -1 : hex_digit(p[2]);
		if (low < 0 || (high == 0 && low == 0))
			return -EPROTO;
		*to++ = (char)(high << 4 | low);
		p += 2;
	}
	*to = 0;
	return 0;
}

/* Room for one more item, all zero, at the end; not counted yet. */
static int grow(void **items, size_t *capacity, size_t count, size_t item_size)
{
	if (count > S3XML_PAGE_MAX)
		return -EPROTO;
	if (count == *capacity) {
		size_t wanted = *capacity ? 2 * *capacity : 8;
		void *more = realloc(*items, wanted * item_size);

		if (!more)
			return -ENOMEM;
		*items = more;
		*capacity = wanted;
	}
	memset((char *)*items + count * item_size, 0, item_size);
	return 0;
}

/* Pages.  Each reader fills the entry behind the last one, which counts from
 * its end tag on; the room for it is made when the page begins and whenever
 * one was added. */

#define PAGE_GROW(p) grow((void **)&(p)->items, &(p)->capacity, (p)->count, sizeof((p)->items[0]))

struct reading {
	void *page;   /* borrowed */
	bool encoded; /* keys are */
	bool is_list; /* the answer is one, and not some other document */
};

/* EncodingType may stand behind the keys, so it is looked for first. */
static int is_encoded(const char *body, size_t size, const char *path, bool *ret, struct err *e)
{
	CLEANUP(str_freep) char *text = NULL;
	int r = s3xml_find(body, size, path, &text, e);

	if (r < 0)
		return r;
	*ret = text && strcmp(text, "url") == 0;
	return 0;
}

static int read_key(const struct reading *r, const char *text, char to[S3_KEY_MAX + 1])
{
	char key[3 * S3_KEY_MAX + 1];
	int failed = copy(key, sizeof(key), text);

	if (failed == 0 && r->encoded)
		failed = decode_key(key);
	return failed < 0 ? failed : copy(to, S3_KEY_MAX + 1, key);
}

/* What follows "ROOT/"; "" for all else. */
static const char *below(struct reading *r, const char *path, const char *root)
{
	size_t size = strlen(root);

	if (strncmp(path, root, size) != 0)
		return "";
	r->is_list = r->is_list || !path[size];
	return path[size] == '/' ? path + size + 1 : "";
}

/* A page of some proxy's must not pass for a list of nothing. */
static int insist(const struct reading *r, struct err *e)
{
	return r->is_list ? 0 : err_set(e, -EPROTO, "the answer is XML, and not a list");
}

static int on_objects(void *ctx, const char *path, const char *text)
{
	struct reading *r = ctx;
	struct s3xml_objects *p = r->page;
	struct s3_object *o = &p->items[p->count];
	const char *name = below(r, path, "ListBucketResult");

	if (strcmp(name, "Contents/Key") == 0)
		return read_key(r, text, o->key);
	if (strcmp(name, "Contents/ETag") == 0)
		return copy(o->etag, sizeof(o->etag), text);
	if (strcmp(name, "Contents/Size") == 0)
		return read_number(text, INT64_MAX, &o->size);
	if (strcmp(name, "Contents/LastModified") == 0)
		o->modified_ns = read_time(text);
	if (strcmp(name, "IsTruncated") == 0)
		p->truncated = is_true(text);
	if (strcmp(name, "NextContinuationToken") == 0)
		return copy(p->token, sizeof(p->token), text);
	if (strcmp(name, "Contents") != 0)
		return 0;
	if (!o->key[0])
		return -EPROTO;
	p->count++;
	return PAGE_GROW(p);
}

int s3xml_objects(const char *body, size_t size, struct s3xml_objects *ret, struct err *e)
{
	CLEANUP(s3xml_objects_release) struct s3xml_objects p = {.count = 0};
	struct reading reading = {.page = &p};
	int r = is_encoded(body, size, "ListBucketResult/EncodingType", &reading.encoded, e);

	if (r == 0 && PAGE_GROW(&p) < 0)
		r = err_set(e, -ENOMEM, "no memory for a list of objects");
	if (r == 0)
		r = s3xml_walk(body, size, on_objects, &reading, e);
	if (r == 0)
		r = insist(&reading, e);
	if (r == 0 && p.truncated && !p.token[0])
		r = err_set(e, -EPROTO, "the list goes on, and the answer does not say where");
	if (r < 0)
		return r;
	*ret = p;
	p.items = NULL;
	return 0;
}

static int on_uploads(void *ctx, const char *path, const char *text)
{
	struct reading *r = ctx;
	struct s3xml_uploads *p = r->page;
	struct s3xml_upload *u = &p->items[p->count];
	const char *name = below(r, path, "ListMultipartUploadsResult");

	if (strcmp(name, "Upload/Key") == 0)
		return read_key(r, text, u->key);
	if (strcmp(name, "Upload/UploadId") == 0)
		return copy(u->id, sizeof(u->id), text);
	if (strcmp(name, "Upload/Initiated") == 0)
		u->initiated_ns = read_time(text);
	if (strcmp(name, "IsTruncated") == 0)
		p->truncated = is_true(text);
	if (strcmp(name, "NextKeyMarker") == 0)
		return read_key(r, text, p->key_marker);
	if (strcmp(name, "NextUploadIdMarker") == 0)
		return copy(p->id_marker, sizeof(p->id_marker), text);
	if (strcmp(name, "Upload") != 0)
		return 0;
	if (!u->key[0] || !u->id[0])
		return -EPROTO;
	p->count++;
	return PAGE_GROW(p);
}

int s3xml_uploads(const char *body, size_t size, struct s3xml_uploads *ret, struct err *e)
{
	CLEANUP(s3xml_uploads_release) struct s3xml_uploads p = {.count = 0};
	struct reading reading = {.page = &p};
	int r = is_encoded(body, size, "ListMultipartUploadsResult/EncodingType", &reading.encoded,
			   e);

	if (r == 0 && PAGE_GROW(&p) < 0)
		r = err_set(e, -ENOMEM, "no memory for a list of uploads");
	if (r == 0)
		r = s3xml_walk(body, size, on_uploads, &reading, e);
	if (r == 0)
		r = insist(&reading, e);
	if (r == 0 && p.truncated && !p.key_marker[0])
		r = err_set(e, -EPROTO, "the list goes on, and the answer does not say where");
	if (r < 0)
		return r;
	*ret = p;
	p.items = NULL;
	return 0;
}

static int on_parts(void *ctx, const char *path, const char *text)
{
	struct reading *r = ctx;
	struct s3xml_parts *p = r->page;
	struct s3xml_part *part = &p->items[p->count];
	const char *name = below(r, path, "ListPartsResult");
	uint64_t number;

	if (strcmp(name, "Part/PartNumber") == 0 || strcmp(name, "NextPartNumberMarker") == 0) {
		/* The marker is empty, or 0, on a page without parts. */
		bool is_marker = *name == 'N';

		if (read_number(is_marker && !*text ? "0" : text, S3_PARTS_MAX, &number) < 0)
			return -EPROTO;
		*(is_marker ? &p->marker : &part->number) = (unsigned)number;
	}
	if (strcmp(name, "Part/Size") == 0)
		return read_number(text, INT64_MAX, &part->size);
	if (strcmp(name, "Part/ETag") == 0)
		return copy(part->etag, sizeof(part->etag), text);
	if (strcmp(name, "Part/ChecksumCRC32") == 0)
		return copy(part->crc32, sizeof(part->crc32), text);
	if (strcmp(name, "ChecksumAlgorithm") == 0)
		return copy(p->algorithm, sizeof(p->algorithm), text);
	if (strcmp(name, "ChecksumType") == 0)
		return copy(p->type, sizeof(p->type), text);
	if (strcmp(name, "IsTruncated") == 0)
		p->truncated = is_true(text);
	if (strcmp(name, "Part") != 0)
		return 0;
	if (!part->number || !part->etag[0])
		return -EPROTO;
	p->count++;
	return PAGE_GROW(p);
}

int s3xml_parts(const char *body, size_t size, struct s3xml_parts *ret, struct err *e)
{
	CLEANUP(s3xml_parts_release) struct s3xml_parts p = {.count = 0};
	struct reading reading = {.page = &p};
	int r = 0;

	if (PAGE_GROW(&p) < 0)
		r = err_set(e, -ENOMEM, "no memory for a list of parts");
	if (r == 0)
		r = s3xml_walk(body, size, on_parts, &reading, e);
	if (r == 0)
		r = insist(&reading, e);
	if (r == 0 && p.truncated && !p.marker)
		r = err_set(e, -EPROTO, "the list goes on, and the answer does not say where");
	if (r < 0)
		return r;
	*ret = p;
	p.items = NULL;
	return 0;
}

void s3xml_objects_release(struct s3xml_objects *p)
{
	free(p->items);
}

void s3xml_uploads_release(struct s3xml_uploads *p)
{
	free(p->items);
}

void s3xml_parts_release(struct s3xml_parts *p)
{
	free(p->items);
}
