#include "backend/http/window.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/clock.h"

static unsigned start_size(const struct window *w)
{
	return w->max_ < WINDOW_START ? w->max_ : WINDOW_START;
}

void window_init(struct window *w, unsigned max)
{
	assert(max > 0);
	memset(w, 0, sizeof(*w));
	w->max_ = max;
	w->size = start_size(w);
	w->cut_mono_ns_ = INT64_MIN;
}

static void cut(struct window *w, unsigned floor, int64_t now_mono_ns)
{
	unsigned half = w->size / 2;

	w->size = half > floor ? half : floor;
	w->good_ = 0;
	w->sample_count_ = 0;
	w->cut_mono_ns_ = now_mono_ns;
}

static int compare(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Takes one more latency; true with the median when there are enough. */
static bool take_sample(struct window *w, int64_t latency_ns, int64_t *ret_median_ns)
{
	w->samples_[w->sample_count_++] = latency_ns;
	if (w->sample_count_ < WINDOW_SAMPLES)
		return false;
	w->sample_count_ = 0;
	qsort(w->samples_, WINDOW_SAMPLES, sizeof(w->samples_[0]), compare);
	*ret_median_ns = w->samples_[WINDOW_SAMPLES / 2];
	return true;
}

/* Judges the speed; true if the window was cut for it. */
static bool judge_median(struct window *w, int64_t median_ns, int64_t now_mono_ns)
{
	int64_t before = w->before_cut_ns_;

	w->before_cut_ns_ = 0;
	if (before && median_ns > before - before / 5)
		w->best_ns_ = median_ns; /* fewer at once was not faster */
	if (!w->best_ns_ || median_ns < w->best_ns_)
		w->best_ns_ = median_ns;
	/* Below a millisecond what is measured is this machine's scheduler. */
	if (median_ns < NS_PER_MS || median_ns / 2 < w->best_ns_ || w->size <= start_size(w))
		return false;
	cut(w, start_size(w), now_mono_ns);
	w->before_cut_ns_ = median_ns;
	return true;
}

void window_good(struct window *w, int64_t sent_mono_ns, int64_t now_mono_ns)
{
	int64_t median_ns;

	if (sent_mono_ns <= w->cut_mono_ns_)
		return;
	if (take_sample(w, now_mono_ns - sent_mono_ns, &median_ns) &&
	    judge_median(w, median_ns, now_mono_ns))
		return;
	if (++w->good_ < w->size)
		return;
	w->good_ = 0;
	if (w->size < w->max_)
		w->size++;
}

void window_overloaded(struct window *w, int64_t sent_mono_ns, int64_t now_mono_ns)
{
	if (sent_mono_ns > w->cut_mono_ns_)
		cut(w, 1, now_mono_ns);
}
