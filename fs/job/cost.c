#include "fs/job/cost.h"

double cost_usd(const struct tokens *t, double in, double out)
{
	return ((double)t->input * in + (double)t->output * out) / 1e6;
}

struct cost cost_of(const struct view *v)
{
	bool counted = v->tokens.input > 0 || v->tokens.output > 0;
	struct cost c = {.free = !v->money,
			 .estimated = !counted && !job_state_is_end(v->state),
			 .priced = v->priced};

	c.tokens = c.estimated ? v->estimate : v->tokens;
	c.known = counted || !c.estimated || v->estimate.input > 0 || v->estimate.output > 0;
	if (c.priced) {
		c.batch_usd = cost_usd(&c.tokens, v->price.batch_in, v->price.batch_out);
		c.demand_usd = cost_usd(&c.tokens, v->price.demand_in, v->price.demand_out);
	}
	return c;
}
