#include "fs/job/resultcsv.h"

#include <csv.h>
#include <string.h>

#include "fs/base/utf8.h"

void resultcsv_add_header(struct buf *out)
{
	buf_add_str(out, "record_id,status,text,stop_reason,input_tokens,output_tokens,error_code,"
			 "error_message\r\n");
}

static bool is_clean(const char *s, size_t size)
{
	return !memchr(s, '\0', size) && utf8_is_valid(s, size);
}

/* Copies s with each bad byte replaced. */
static void add_clean(struct buf *out, const char *s, size_t size)
{
	for (size_t i = 0; i < size;) {
		size_t n = utf8_char_size(s + i, size - i);

		if (n && s[i])
			buf_add(out, s + i, n);
		else
			buf_add_str(out, "\xef\xbf\xbd");
		i += n ? n : 1;
	}
}

/* Blanks at the ends are quoted too: some readers cut them off. */
static bool needs_quotes(const char *s, size_t size)
{
	if (size == 0)
		return false;
	if (s[0] == ' ' || s[0] == '\t' || s[size - 1] == ' ' || s[size - 1] == '\t')
		return true;
	for (size_t i = 0; i < size; i++)
		if (s[i] == ',' || s[i] == '"' || s[i] == '\r' || s[i] == '\n')
			return true;
	return false;
}

static void add_quoted(struct buf *out, const char *s, size_t size)
{
	size_t most = 2 * size + 2; /* every byte a quote, and those around it */
	char *at = buf_reserve(out, most);

	if (at)
		out->size += csv_write2(at, most, s, size, '"');
}

static void add_clean_field(struct buf *out, const char *s, size_t size)
{
	if (needs_quotes(s, size))
		add_quoted(out, s, size);
	else
		buf_add(out, s, size);
}

static void add_field(struct buf *out, const char *s, size_t size)
{
	if (!s || is_clean(s, size)) {
		add_clean_field(out, s, s ? size : 0);
	} else {
		CLEANUP(buf_release) struct buf clean = BUF_INIT(3 * size);

		add_clean(&clean, s, size);
		if (buf_error(&clean)) /* no memory for a copy, so none for the field */
			buf_reserve(out, SIZE_MAX);
		add_clean_field(out, clean.data, clean.size);
	}
}

static void add_string(struct buf *out, const char *s)
{
	add_field(out, s, s ? strlen(s) : 0);
}

static size_t without_newline(const char *text, size_t size)
{
	return size && text[size - 1] == '\n' ? size - 1 : size;
}

void resultcsv_add_row(struct buf *out, const struct resultcsv_row *row)
{
	add_field(out, row->id, row->id_size);
	buf_add_char(out, ',');
	add_string(out, row->status);
	buf_add_char(out, ',');
	add_field(out, row->text, without_newline(row->text, row->text_size));
	buf_add_char(out, ',');
	add_string(out, row->stop_reason);
	if (row->tokens)
		buf_addf(out, ",%llu,%llu,", (unsigned long long)row->tokens->input,
			 (unsigned long long)row->tokens->output);
	else
		buf_add_str(out, ",,,");
	add_string(out, row->code);
	buf_add_char(out, ',');
	add_field(out, row->message, row->message_size);
	buf_add_str(out, "\r\n");
}
