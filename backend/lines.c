#include "backend/lines.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define READ_SIZE (256u * 1024)

void lines_init(struct lines *l, int fd)
{
	*l = (struct lines){.fd_ = fd};
	buf_init(&l->window_, LINES_LINE_MAX);
}

void lines_release(struct lines *l)
{
	buf_release(&l->window_);
}

/* Adds what comes next in the file behind the begun line. */
static int fill_window(struct lines *l)
{
	struct buf *w = &l->window_;
	char *at;
	ssize_t n;

	if (l->begin_) {
		memmove(w->data, w->data + l->begin_, w->size - l->begin_);
		w->size -= l->begin_;
		l->begin_ = 0;
	}
	at = buf_reserve(w, READ_SIZE);
	if (!at)
		return buf_error(w);
	do
		n = pread(l->fd_, at, READ_SIZE, (off_t)(l->offset_ + w->size));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	l->at_end_ = n == 0;
	w->size += (size_t)n;
	return 0;
}

int lines_next(struct lines *l, const char **ret, size_t *ret_size)
{
	size_t searched = 0;

	for (;;) {
		struct buf *w = &l->window_;
		size_t have = w->size - l->begin_;
		const char *line = w->data + l->begin_;
		const char *end = memchr(line + searched, '\n', have - searched);
		int r;

		if (end) {
			*ret = line;
			*ret_size = (size_t)(end - line);
			l->begin_ += *ret_size + 1;
			l->offset_ += *ret_size + 1;
			return 0;
		}
		if (l->at_end_)
			return -ENODATA;
		searched = have;
		r = fill_window(l);
		if (r < 0)
			return r;
	}
}

uint64_t lines_offset(const struct lines *l)
{
	return l->offset_;
}

bool lines_has_rest(const struct lines *l)
{
	return l->window_.size > l->begin_;
}

void lines_rest(const struct lines *l, const char **ret, size_t *ret_size)
{
	*ret = l->window_.data + l->begin_;
	*ret_size = l->window_.size - l->begin_;
}
