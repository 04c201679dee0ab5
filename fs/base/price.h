#ifndef FS_BASE_PRICE_H
#define FS_BASE_PRICE_H

/* What tokens of a model cost where it runs, in USD per million tokens. */

#define PRICE_SOURCE_MAX 160

struct price {
	double batch_in, batch_out;
	double demand_in, demand_out;
	char source[PRICE_SOURCE_MAX]; /* "https://..., read 2026-11-01", for people */
};

#endif
