#include "fs/job/linereader.h"

#include <errno.h>
#include <string.h>

#define PIECE_SIZE (1024u * 1024)

void linereader_init(struct linereader *lr, int fd, size_t max)
{
	*lr = (struct linereader){.fd = fd, .max_ = max};
}

void linereader_release(struct linereader *lr)
{
	free(lr->data_);
	linereader_init(lr, -1, lr->max_);
}

/* Makes room for another piece behind what is held. */
static int make_room(struct linereader *lr)
{
	size_t held = lr->end_ - lr->begin_, want;
	char *data;

	if (lr->begin_ > 0) {
		memmove(lr->data_, lr->data_ + lr->begin_, held);
		lr->begin_ = 0;
		lr->end_ = held;
	}
	if (lr->capacity_ - held >= PIECE_SIZE)
		return 0;
	want = held * 2 > held + PIECE_SIZE ? held * 2 : held + PIECE_SIZE;
	data = realloc(lr->data_, want);
	if (!data)
		return -ENOMEM;
	lr->data_ = data;
	lr->capacity_ = want;
	return 0;
}

static int read_more(struct linereader *lr)
{
	ssize_t n;
	int r = make_room(lr);

	if (r < 0)
		return r;
	do {
		n = pread(lr->fd, lr->data_ + lr->end_, lr->capacity_ - lr->end_,
			  (off_t)(lr->offset_ + (lr->end_ - lr->begin_)));
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	lr->at_end_ = n == 0;
	lr->end_ += (size_t)n;
	return 0;
}

static void consume(struct linereader *lr, size_t size)
{
	lr->begin_ += size;
	lr->offset_ += size;
}

/* Finds the end of the line that begins at begin_; searched: how much of it
 * has none.  Of a line above the maximum only its newline is kept an eye on. */
int linereader_next(struct linereader *lr, struct line *ret)
{
	struct line line = {.offset = lr->offset_};
	size_t searched = 0, held;
	char *newline = NULL;
	int r;

	for (;;) {
		held = lr->end_ - lr->begin_;
		if (held > searched)
			newline = memchr(lr->data_ + lr->begin_ + searched, '\n', held - searched);
		if (newline || lr->at_end_)
			break;
		searched = held;
		if (held > lr->max_) {
			line.is_too_long = true;
			consume(lr, held);
			searched = 0;
		}
		r = read_more(lr);
		if (r < 0)
			return r;
	}
	line.is_whole = newline != NULL;
	line.size = newline ? (size_t)(newline - (lr->data_ + lr->begin_)) : held;
	if (held || line.is_too_long)
		line.at = lr->data_ + lr->begin_;
	consume(lr, line.size + line.is_whole);
	line.is_too_long |= line.size > lr->max_;
	if (line.is_too_long)
		line.size = 0;
	*ret = line;
	return 0;
}
