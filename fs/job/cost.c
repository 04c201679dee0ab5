#include "fs/job/cost.h"

#include "fs/job/machine.h"

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
	struct tokens demand;

	c.tokens = c.estimated ? v->estimate : v->tokens;
	c.known = counted || !c.estimated || v->estimate.input > 0 || v->estimate.output > 0;
	demand = c.estimated && v->how == RUN_ONDEMAND ? c.tokens : v->demand;
	if (c.estimated && v->how != RUN_ONDEMAND)
		demand = (struct tokens){0};
	if (c.priced) {
		const struct price *p = &v->price;
		const struct tokens batch = {c.tokens.input - demand.input,
					     c.tokens.output - demand.output};

		c.padding_usd = cost_usd(&v->padding.tokens, p->batch_in, p->batch_out);
		c.saved_usd = cost_usd(&v->saved.tokens, p->batch_in, p->batch_out);
		c.sample_usd = cost_usd(&v->sample.tokens, p->demand_in, p->demand_out);
		c.total_usd = cost_usd(&batch, p->batch_in, p->batch_out) +
			      cost_usd(&demand, p->demand_in, p->demand_out) + c.sample_usd;
		c.batch_usd = cost_usd(&c.tokens, v->price.batch_in, v->price.batch_out);
		c.demand_usd = cost_usd(&c.tokens, v->price.demand_in, v->price.demand_out);
	}
	return c;
}
