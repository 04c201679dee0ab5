#include <errno.h>
#include <string.h>

#include "backend/aws/s3put.h"
#include "backend/aws/s3sum.h"
#include "backend/aws/s3xml.h"
#include "fs/base/log.h"

/*
 * An upload in parts.
 *
 *	begin (or find what was begun, and which of its parts are there)
 *	send what is missing, several at once, each part a mapping of the file
 *	complete, look
 *
 * All of it may be done again: a part replaces the one of its number, and an
 * upload that is gone may have been completed by a call whose answer was lost,
 * so the object is looked at before the upload is begun anew.  What only
 * passes (a network, a kill) leaves the upload for the next time; what will
 * not pass ends it, so that nobody pays for its parts.
 */

#define TURNS_MAX	 2 /* an upload that vanished is begun anew once */
#define QUERY_MAX	 4096
#define PAGES_MAX	 100
#define COMPLETE_MAX	 (4u * 1024 * 1024)
#define COMPLETE_TIMEOUT 600000 /* ms: S3 puts the parts together before it answers */

struct part {
	char *etag; /* owned; NULL: not there yet */
	uint32_t crc;
};

/* A request under way, and what it borrows. */
struct slot {
	bool busy;
	unsigned index; /* of the part */
	struct s3sum_map map;
	struct buf query;
	char crc_text[S3SUM_CRC32_SIZE];
};

struct upload {
	struct s3 *s;
	const struct s3_source *from;
	struct s3_target target; /* owned */
	char *id;		 /* owned */
	size_t part_size;
	unsigned count, next;
	bool sums; /* S3 was told of CRC32 when it was begun */
	struct part *parts;
	struct slot slots[WIRE_CALLS_MAX];
};

static uint64_t part_offset(const struct upload *u, unsigned index)
{
	return (uint64_t)index * u->part_size;
}

static size_t part_length(const struct upload *u, unsigned index)
{
	uint64_t left = u->from->size - part_offset(u, index);

	return left < u->part_size ? (size_t)left : u->part_size;
}

static void forget_parts(struct upload *u)
{
	for (unsigned i = 0; i < u->count; i++)
		str_freep(&u->parts[i].etag);
}

/* Begin. */

static int begin(struct upload *u, struct err *e)
{
	CLEANUP(aws_answer_release) struct aws_answer a = AWS_ANSWER_INIT;
	struct aws_request q;
	int r;

	u->sums = u->s->checksums;
	s3_request_init(u->s, S3_OP_CREATE_UPLOAD, &q);
	q.query = "uploads";
	s3_request_body(&q, "", 0, u->from->content_type, NULL);
	s3_request_encrypt(u->s, &q);
	s3_request_add(&q, "x-amz-checksum-algorithm", u->sums ? "CRC32" : NULL);
	s3_request_add(&q, "x-amz-checksum-type", u->sums ? "FULL_OBJECT" : NULL);
	r = s3_run(u->s, S3_OP_CREATE_UPLOAD, u->from->key, &q, &a, e);
	if (r == 0)
		r = s3xml_find(a.body, a.body_size, "InitiateMultipartUploadResult/UploadId",
			       &u->id, e);
	if (r == 0 && (!u->id || !*u->id || strlen(u->id) >= S3XML_UPLOAD_MAX))
		r = err_set(e, -EPROTO, "S3 begins an upload to s3://%s/%s and does not name it",
			    u->s->bucket, u->from->key);
	return r;
}

/* Go on. */

static int list_parts(struct upload *u, unsigned marker, struct s3xml_parts *ret, struct err *e)
{
	CLEANUP(aws_answer_release) struct aws_answer a = AWS_ANSWER_INIT;
	CLEANUP(buf_release) struct buf query = BUF_INIT(QUERY_MAX);
	struct aws_request q;
	int r;

	if (marker)
		buf_addf(&query, "part-number-marker=%u", marker);
	s3_query_add(&query, "uploadId", u->id);
	if (buf_error(&query) < 0)
		return err_set(e, -ENOMEM, "no memory for a list of parts");
	s3_request_init(u->s, S3_OP_LIST_PARTS, &q);
	q.query = query.data;
	q.answer_max = S3_XML_MAX;
	r = s3_run(u->s, S3_OP_LIST_PARTS, u->from->key, &q, &a, e);
	return r < 0 ? r : s3xml_parts(a.body, a.body_size, ret, e);
}

/* Takes a part for there if it is what we would send. */
static int take_part(struct upload *u, const struct s3xml_part *p, struct err *e)
{
	CLEANUP(s3sum_unmap) struct s3sum_map m = {.bytes = ""};
	unsigned index = p->number - 1;
	int r;

	if (index >= u->count || p->size != part_length(u, index))
		return 0;
	r = s3sum_map(u->from->fd, part_offset(u, index), part_length(u, index), &m, e);
	if (r < 0 || !s3sum_is_piece(m.bytes, m.size, p->etag, p->crc32))
		return r;
	free(u->parts[index].etag);
	u->parts[index].etag = strdup(p->etag);
	if (u->sums)
		u->parts[index].crc = s3sum_crc32(m.bytes, m.size);
	return u->parts[index].etag ? 0 : err_set(e, -ENOMEM, "no memory for a list of parts");
}

static int take_parts(struct upload *u, struct err *e)
{
	unsigned marker = 0;

	for (unsigned i = 0; i < PAGES_MAX; i++) {
		CLEANUP(s3xml_parts_release) struct s3xml_parts page = {.count = 0};
		int r = list_parts(u, marker, &page, e);

		/* Begun with another checksum, or none, it takes no CRC32 now. */
		u->sums = u->s->checksums && strcmp(page.algorithm, "CRC32") == 0 &&
			  strcmp(page.type, "FULL_OBJECT") == 0;
		for (size_t k = 0; k < page.count && r == 0; k++)
			r = take_part(u, &page.items[k], e);
		if (r < 0 || !page.truncated)
			return r;
		if (page.marker <= marker)
			break;
		marker = page.marker;
	}
	return err_set(e, -EPROTO, "the list of parts of s3://%s/%s does not end", u->s->bucket,
		       u->from->key);
}

static bool passes(int r)
{
	return r == -EAGAIN || r == -ECANCELED || r == -ENOMEM || r == -ENOKEY;
}

/* Finds what was begun.  Not to be allowed to look, or to be answered by a
 * server that knows no such lists, is as good as nothing. */
static int find(struct upload *u, struct err *e)
{
	unsigned there = 0;
	int r = s3_find_upload(u->s, u->from->key, &u->id, e);

	if (r == 0 && u->id)
		r = take_parts(u, e);
	if (r < 0 && !passes(r)) {
		str_freep(&u->id);
		forget_parts(u);
		return 0;
	}
	if (r < 0 || !u->id)
		return r;
	for (unsigned i = 0; i < u->count; i++)
		there += u->parts[i].etag != NULL;
	log_info("s3", "an upload is gone on with key=%s parts=%u there=%u", u->from->key, u->count,
		 there);
	return 0;
}

/* Send. */

static int send_part(struct upload *u, struct slot *slot, struct aws_request *ret, void **ret_tag,
		     struct err *e)
{
	struct part *part = &u->parts[slot->index];
	int r = s3sum_map(u->from->fd, part_offset(u, slot->index), part_length(u, slot->index),
			  &slot->map, e);

	if (r < 0)
		return r;
	slot->busy = true;
	if (u->sums)
		part->crc = s3sum_crc32(slot->map.bytes, slot->map.size);
	s3sum_format(part->crc, slot->crc_text);
	buf_clear(&slot->query);
	buf_addf(&slot->query, "partNumber=%u", slot->index + 1);
	s3_query_add(&slot->query, "uploadId", u->id);
	if (buf_error(&slot->query) < 0)
		return err_set(e, -ENOMEM, "no memory for an upload");
	s3_request_init(u->s, S3_OP_UPLOAD_PART, ret);
	ret->query = slot->query.data;
	s3_request_body(ret, slot->map.bytes, slot->map.size, S3_CONTENT_TYPE,
			u->sums ? slot->crc_text : NULL);
	s3_request_aim(ret, &u->target);
	*ret_tag = slot;
	return 1;
}

static int next_part(void *ctx, struct aws_request *ret, void **ret_tag, struct err *e)
{
	struct upload *u = ctx;
	struct slot *idle = NULL;

	for (size_t i = 0; i < COUNT_OF(u->slots) && !idle; i++)
		if (!u->slots[i].busy)
			idle = &u->slots[i];
	while (u->next < u->count && u->parts[u->next].etag)
		u->next++;
	if (u->next == u->count || !idle)
		return 0;
	idle->index = u->next++;
	return send_part(u, idle, ret, ret_tag, e);
}

static int have_part(void *ctx, void *tag, int r, const struct aws_answer *a, struct err *e)
{
	struct upload *u = ctx;
	struct slot *slot = tag;

	slot->busy = false;
	s3sum_unmap(&slot->map);
	if (r < 0)
		return s3_explain(u->s, S3_OP_UPLOAD_PART, u->from->key, r, a, e);
	if (!a->etag[0])
		return err_set(e, -EPROTO, "S3 takes part %u of s3://%s/%s and tells no ETag",
			       slot->index + 1, u->s->bucket, u->from->key);
	u->parts[slot->index].etag = strdup(a->etag);
	return u->parts[slot->index].etag ? 0 : err_set(e, -ENOMEM, "no memory for an upload");
}

static int send_parts(struct upload *u, struct err *e)
{
	const struct aws_batch batch = {
		.parallel = u->s->parallel,
		.next = next_part,
		.done = have_part,
		.cancel = u->s->cancel,
		.ctx = u,
	};
	int r = s3_target_init(u->s, u->from->key, &u->target, e);

	for (size_t i = 0; i < COUNT_OF(u->slots); i++)
		buf_init(&u->slots[i].query, QUERY_MAX);
	u->next = 0;
	if (r == 0)
		r = aws_run_batch(u->s->aws, &batch, e);
	for (size_t i = 0; i < COUNT_OF(u->slots); i++) {
		s3sum_unmap(&u->slots[i].map); /* of what was cancelled */
		buf_release(&u->slots[i].query);
		u->slots[i].busy = false;
	}
	s3_target_release(&u->target);
	return r;
}

/* Complete. */

static void add_xml(struct buf *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '&')
			buf_add_str(out, "&amp;");
		else if (*text == '<')
			buf_add_str(out, "&lt;");
		else if (*text == '>')
			buf_add_str(out, "&gt;");
		else
			buf_add_char(out, *text);
	}
}

/* The parts as S3 wants them told; *ret_crc: of the whole. */
static int list_for_completion(const struct upload *u, struct buf *out, uint32_t *ret_crc,
			       struct err *e)
{
	char text[S3SUM_CRC32_SIZE];
	uint32_t crc = 0;

	buf_add_str(out, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/"
			 "2006-03-01/\">");
	for (unsigned i = 0; i < u->count; i++) {
		const struct part *p = &u->parts[i];

		crc = s3sum_join(crc, p->crc, part_length(u, i));
		buf_add_str(out, "<Part>");
		if (u->sums) {
			s3sum_format(p->crc, text);
			buf_addf(out, "<ChecksumCRC32>%s</ChecksumCRC32>", text);
		}
		buf_add_str(out, "<ETag>");
		add_xml(out, p->etag);
		buf_addf(out, "</ETag><PartNumber>%u</PartNumber></Part>", i + 1);
	}
	buf_add_str(out, "</CompleteMultipartUpload>");
	*ret_crc = crc;
	return buf_error(out) < 0 ? err_set(e, -ENOMEM, "no memory for a list of parts") : 0;
}

static int ask_to_complete(struct upload *u, struct err *e)
{
	CLEANUP(aws_answer_release) struct aws_answer a = AWS_ANSWER_INIT;
	CLEANUP(buf_release) struct buf body = BUF_INIT(COMPLETE_MAX);
	CLEANUP(buf_release) struct buf query = BUF_INIT(QUERY_MAX);
	char crc_text[S3SUM_CRC32_SIZE];
	struct aws_request q;
	uint32_t crc;
	int r = list_for_completion(u, &body, &crc, e);

	s3_query_add(&query, "uploadId", u->id);
	if (r == 0 && buf_error(&query) < 0)
		r = err_set(e, -ENOMEM, "no memory for an upload");
	if (r < 0)
		return r;
	s3_request_init(u->s, S3_OP_COMPLETE, &q);
	q.query = query.data;
	q.may_lie = true;
	q.timeout_ms = COMPLETE_TIMEOUT;
	s3_request_body(&q, body.data, body.size, "application/xml", NULL);
	if (u->sums) {
		s3sum_format(crc, crc_text);
		s3_request_add(&q, "x-amz-checksum-crc32", crc_text);
		s3_request_add(&q, "x-amz-checksum-type", "FULL_OBJECT");
	}
	return s3_run(u->s, S3_OP_COMPLETE, u->from->key, &q, &a, e);
}

/* S3 has said 200.  Some servers leave the ETag out of that answer; the object
 * itself is what counts, where we may look at it. */
static int look_after(struct upload *u, struct err *e)
{
	struct s3_object o;
	int r = s3_look(u->s, u->from->key, false, &o, NULL, e);

	if (r == -EACCES)
		return 0;
	if (r == -ENOENT || (r == 0 && o.size != u->from->size))
		return err_set(e, -EAGAIN,
			       "S3 says that s3://%s/%s is whole, and shows it with %llu bytes, "
			       "not %llu",
			       u->s->bucket, u->from->key, r == 0 ? (unsigned long long)o.size : 0,
			       (unsigned long long)u->from->size);
	return r;
}

static int run_turn(struct upload *u, bool resume, struct err *e)
{
	int r = 0;

	if (resume)
		r = find(u, e);
	if (r == 0 && !u->id)
		r = begin(u, e);
	if (r == 0)
		r = send_parts(u, e);
	if (r == 0)
		r = ask_to_complete(u, e);
	return r == 0 ? look_after(u, e) : r;
}

static int run(struct upload *u, bool resume, struct err *e)
{
	bool there = false;
	int r = 0;

	for (unsigned turn = 0; turn < TURNS_MAX; turn++) {
		str_freep(&u->id);
		forget_parts(u);
		r = run_turn(u, resume && turn == 0, e);
		if (r != -ENOENT || !u->id)
			break;
		/* The upload is gone: completed, or ended by somebody. */
		r = s3_is_there(u->s, u->from, &there, e);
		if (r < 0 || there)
			return r;
		r = err_set(e, -EAGAIN, "the upload to s3://%s/%s was ended by somebody else",
			    u->s->bucket, u->from->key);
	}
	if (r < 0 && u->id && !passes(r))
		ignore_error(s3_abort_upload(u->s, u->from->key, u->id, NULL));
	return r;
}

int s3_put_parts(struct s3 *s, const struct s3_source *from, bool resume, struct err *e)
{
	struct upload u = {.s = s, .from = from, .part_size = s3_part_size(s, from->size)};
	int r;

	u.count = (unsigned)((from->size + u.part_size - 1) / u.part_size);
	u.parts = calloc(u.count, sizeof(*u.parts));
	if (!u.parts)
		return err_set(e, -ENOMEM, "no memory for an upload");
	r = run(&u, resume, e);
	forget_parts(&u);
	free(u.parts);
	free(u.id);
	return r;
}
