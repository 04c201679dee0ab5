/* First: its headers name what fs/base/banned.h bans. */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include "backend/aws/sigv4.h"

#include <string.h>

#include "fs/base/clock.h"

/*
 * What is signed is a text made of the request in a form that both sides can
 * make (the canonical request); of its hash, the time and the scope another
 * (the string to sign); and of that an HMAC with a key derived from the secret:
 *
 *	GET					AWS4-HMAC-SHA256
 *	/model-invocation-jobs			20260102T030405Z
 *	maxResults=10			hash	20260102/us-east-1/bedrock/aws4_request
 *	host:bedrock...			---->	(the hash)
 *	x-amz-date:20260102T030405Z
 *
 *	host;x-amz-date
 *	(the hash of the body)
 *
 * The canonical request holds the session token, so it is wiped, and built
 * with room made beforehand: a buffer that grows leaves copies behind.
 */

#define ALGORITHM     "AWS4-HMAC-SHA256"
#define TEXT_MAX      (256 * 1024) /* of the canonical request */
#define PARAMETER_MAX 128	   /* of a query */
#define SECRET_MAX    256

static const char hex_lower[] = "0123456789abcdef", hex_upper[] = "0123456789ABCDEF";

static void wipe(struct buf *b)
{
	if (b->size)
		OPENSSL_cleanse(b->data, b->size);
	buf_release(b);
}

void sigv4_date(int64_t wall_ns, char ret[SIGV4_DATE_SIZE])
{
	time_t s = (time_t)(wall_ns / NS_PER_S);
	struct tm tm;

	if (!gmtime_r(&s, &tm) || strftime(ret, SIGV4_DATE_SIZE, "%Y%m%dT%H%M%SZ", &tm) == 0)
		ret[0] = 0;
}

static void add_hex(const unsigned char *bytes, size_t size, char *ret)
{
	for (size_t i = 0; i < size; i++) {
		*ret++ = hex_lower[bytes[i] >> 4];
		*ret++ = hex_lower[bytes[i] & 15];
	}
	*ret = 0;
}

void sigv4_hash(const void *bytes, size_t size, char ret[SIGV4_HASH_SIZE])
{
	unsigned char hash[SHA256_DIGEST_LENGTH];

	ret[0] = 0;
	if (SHA256(size ? bytes : "", size, hash))
		add_hex(hash, sizeof(hash), ret);
}

void sigv4_encode(struct buf *out, const char *s, size_t size, bool keep_slash)
{
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)s[i];

		if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		    c == '-' || c == '.' || c == '_' || c == '~' || (c == '/' && keep_slash)) {
			buf_add_char(out, (char)c);
			continue;
		}
		buf_add_char(out, '%');
		buf_add_char(out, hex_upper[c >> 4]);
		buf_add_char(out, hex_upper[c & 15]);
	}
}

/* Without dot segments and with single slashes: "/a/../b//c/" is "/b/c/". */
static void normalise(struct buf *out, const char *path)
{
	const char *end = path + strlen(path);
	bool slash_at_end = end > path && end[-1] == '/';

	while (path < end) {
		size_t size = strcspn(path, "/");

		if (size == 2 && memcmp(path, "..", 2) == 0) {
			while (out->size && out->data[--out->size] != '/')
				;
		} else if (size && !(size == 1 && *path == '.')) {
			buf_add_char(out, '/');
			buf_add(out, path, size);
		}
		path += size;
		path += *path == '/';
	}
	if (slash_at_end || out->size == 0)
		buf_add_char(out, '/');
}

static int add_path(struct buf *out, const struct sigv4_request *q)
{
	CLEANUP(buf_release) struct buf path = BUF_INIT(TEXT_MAX);

	if (q->path_as_sent) {
		buf_add_str(out, *q->path ? q->path : "/");
		return 0;
	}
	normalise(&path, q->path);
	if (buf_error(&path) < 0)
		return -ENOMEM;
	sigv4_encode(out, path.data, path.size, true);
	return 0;
}

/* A parameter of the query, encoded: offsets in the text of all. */
struct parameter {
	const char *text; /* the buffer's start, for the comparison */
	size_t name, value;
};

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Decoded and encoded again, so that what was encoded too little or in lower
 * case is signed as the service sees it. */
static int add_encoded_again(struct buf *out, const char *s, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		char c = s[i];

		if (c == '%') {
			if (size - i < 3 || hex_value(s[i + 1]) < 0 || hex_value(s[i + 2]) < 0)
				return -EINVAL;
			c = (char)(hex_value(s[i + 1]) << 4 | hex_value(s[i + 2]));
			i += 2;
		}
		sigv4_encode(out, &c, 1, false);
	}
	buf_add_char(out, 0);
	return 0;
}

static int compare_parameters(const void *va, const void *vb)
{
	const struct parameter *a = va, *b = vb;
	int order = strcmp(a->text + a->name, b->text + b->name);

	return order ? order : strcmp(a->text + a->value, b->text + b->value);
}

/* Takes "b=2&a" apart into texts ended by NUL. */
static int split_query(const char *query, struct buf *text, struct parameter *parameters,
		       size_t *ret_count)
{
	size_t count = 0;

	while (*query) {
		size_t size = strcspn(query, "&"), name_size = strcspn(query, "=&");
		struct parameter p = {.name = text->size};
		int r;

		if (size && count == PARAMETER_MAX)
			return -EINVAL;
		if (size) {
			r = add_encoded_again(text, query, name_size);
			if (r < 0)
				return r;
			p.value = text->size;
			name_size += name_size < size; /* the '=' */
			r = add_encoded_again(text, query + name_size, size - name_size);
			if (r < 0)
				return r;
			parameters[count++] = p;
		}
		query += size;
		query += *query == '&';
	}
	*ret_count = count;
	return buf_error(text) < 0 ? -ENOMEM : 0;
}

static int add_query(struct buf *out, const char *query)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT(TEXT_MAX);
	struct parameter parameters[PARAMETER_MAX];
	size_t count = 0;
	int r;

	if (!query || !*query)
		return 0;
	r = split_query(query, &text, parameters, &count);
	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++)
		parameters[i].text = text.data;
	qsort(parameters, count, sizeof(parameters[0]), compare_parameters);
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			buf_add_char(out, '&');
		buf_add_str(out, text.data + parameters[i].name);
		buf_add_char(out, '=');
		buf_add_str(out, text.data + parameters[i].value);
	}
	return 0;
}

struct sorted_headers {
	const struct sigv4_header *header[SIGV4_HEADERS_MAX];
	size_t count;
};

/* By name, and those of one name as they came. */
static int sort_headers(const struct sigv4_request *q, struct sorted_headers *ret)
{
	if (q->header_count > SIGV4_HEADERS_MAX)
		return -EINVAL;
	ret->count = q->header_count;
	for (size_t i = 0; i < q->header_count; i++) {
		size_t at = i;

		for (; at > 0 && strcasecmp(ret->header[at - 1]->name, q->headers[i].name) > 0;
		     at--)
			ret->header[at] = ret->header[at - 1];
		ret->header[at] = &q->headers[i];
	}
	return 0;
}

static void add_lower(struct buf *out, const char *s)
{
	for (; *s; s++)
		buf_add_char(out, (char)(*s >= 'A' && *s <= 'Z' ? *s - 'A' + 'a' : *s));
}

/* Trimmed, and runs of white space made one space. */
static void add_folded(struct buf *out, const char *s)
{
	bool space = false, any = false;

	for (; *s; s++) {
		if (*s == ' ' || (*s >= '\t' && *s <= '\r')) {
			space = any;
			continue;
		}
		if (space)
			buf_add_char(out, ' ');
		buf_add_char(out, *s);
		space = false;
		any = true;
	}
}

static bool same_name(const struct sorted_headers *h, size_t i)
{
	if (i == 0)
		return false;
	return strcasecmp(h->header[i]->name, h->header[i - 1]->name) == 0;
}

static void add_headers(struct buf *out, const struct sorted_headers *h)
{
	for (size_t i = 0; i < h->count; i++) {
		if (same_name(h, i)) {
			buf_add_char(out, ',');
		} else {
			if (i > 0)
				buf_add_char(out, '\n');
			add_lower(out, h->header[i]->name);
			buf_add_char(out, ':');
		}
		add_folded(out, h->header[i]->value);
	}
	buf_add_char(out, '\n');
}

/* "host;x-amz-date". */
static void add_header_names(struct buf *out, const struct sorted_headers *h)
{
	for (size_t i = 0; i < h->count; i++) {
		if (same_name(h, i))
			continue;
		if (i > 0)
			buf_add_char(out, ';');
		add_lower(out, h->header[i]->name);
	}
}

/* At least the size of the canonical request. */
static size_t room_for(const struct sigv4_request *q)
{
	size_t size = 256 + strlen(q->method) + 3 * strlen(q->path) + strlen(q->payload_hash);

	if (q->query) /* "%" itself grows most, by "=" for each name of one byte */
		size += 4 * strlen(q->query) + 1;
	for (size_t i = 0; i < q->header_count; i++)
		size += 2 * strlen(q->headers[i].name) + strlen(q->headers[i].value) + 4;
	return size;
}

int sigv4_canonical_request(const struct sigv4_request *q, struct buf *out)
{
	struct sorted_headers headers;
	int r = sort_headers(q, &headers);

	if (r < 0)
		return r;
	if (!*q->payload_hash || !buf_reserve(out, room_for(q)))
		return -ENOMEM;
	buf_add_str(out, q->method);
	buf_add_char(out, '\n');
	r = add_path(out, q);
	buf_add_char(out, '\n');
	if (r == 0)
		r = add_query(out, q->query);
	if (r < 0)
		return r;
	buf_add_char(out, '\n');
	add_headers(out, &headers);
	buf_add_char(out, '\n');
	add_header_names(out, &headers);
	buf_add_char(out, '\n');
	buf_add_str(out, q->payload_hash);
	return buf_error(out) < 0 ? -ENOMEM : 0;
}

/* "20260102/us-east-1/bedrock/aws4_request". */
static void add_scope(struct buf *out, const struct sigv4_request *q)
{
	char date[SIGV4_DATE_SIZE];

	sigv4_date(q->wall_ns, date);
	buf_addf(out, "%.8s/%s/%s/aws4_request", date, q->region, q->service);
}

int sigv4_string_to_sign(const struct sigv4_request *q, const char *canonical, struct buf *out)
{
	char date[SIGV4_DATE_SIZE], hash[SIGV4_HASH_SIZE];

	sigv4_date(q->wall_ns, date);
	sigv4_hash(canonical, strlen(canonical), hash);
	if (!*date || !*hash)
		return -ENOMEM;
	buf_addf(out, ALGORITHM "\n%s\n", date);
	add_scope(out, q);
	buf_addf(out, "\n%s", hash);
	return buf_error(out) < 0 ? -ENOMEM : 0;
}

struct key {
	unsigned char bytes[SHA256_DIGEST_LENGTH];
};

static bool hmac(const void *key, size_t key_size, const char *text, size_t size, struct key *ret)
{
	return HMAC(EVP_sha256(), key, (int)key_size, (const unsigned char *)text, size, ret->bytes,
		    NULL) != NULL;
}

/* One link of the chain: the key of the next is the HMAC of this. */
static bool derive(struct key *key, const char *text, size_t size)
{
	struct key next;
	bool done = hmac(key->bytes, sizeof(key->bytes), text, size, &next);

	*key = next;
	OPENSSL_cleanse(&next, sizeof(next));
	return done;
}

static int sign(const struct sigv4_request *q, const char *secret, const struct buf *text,
		char ret[SIGV4_HASH_SIZE])
{
	char start[4 + SECRET_MAX + 1], date[SIGV4_DATE_SIZE];
	struct key key = {{0}};
	bool done;

	if (strlen(secret) > SECRET_MAX)
		return -EINVAL;
	snprintf(start, sizeof(start), "AWS4%s", secret);
	sigv4_date(q->wall_ns, date);
	done = hmac(start, strlen(start), date, 8, &key) &&
	       derive(&key, q->region, strlen(q->region)) &&
	       derive(&key, q->service, strlen(q->service)) &&
	       derive(&key, "aws4_request", strlen("aws4_request")) &&
	       derive(&key, text->data, text->size);
	add_hex(key.bytes, sizeof(key.bytes), ret);
	OPENSSL_cleanse(start, sizeof(start));
	OPENSSL_cleanse(&key, sizeof(key));
	return done ? 0 : -ENOMEM;
}

int sigv4_sign(const struct sigv4_request *q, const char *access_key_id, const char *secret,
	       struct buf *authorization)
{
	CLEANUP(wipe) struct buf canonical = BUF_INIT(TEXT_MAX);
	CLEANUP(buf_release) struct buf text = BUF_INIT(TEXT_MAX);
	char signature[SIGV4_HASH_SIZE];
	struct sorted_headers headers;
	int r;

	r = sigv4_canonical_request(q, &canonical);
	if (r == 0)
		r = sort_headers(q, &headers);
	if (r == 0)
		r = sigv4_string_to_sign(q, canonical.data, &text);
	if (r == 0)
		r = sign(q, secret, &text, signature);
	if (r < 0)
		return r;
	buf_addf(authorization, ALGORITHM " Credential=%s/", access_key_id);
	add_scope(authorization, q);
	buf_add_str(authorization, ", SignedHeaders=");
	add_header_names(authorization, &headers);
	buf_addf(authorization, ", Signature=%s", signature);
	return buf_error(authorization) < 0 ? -ENOMEM : 0;
}
