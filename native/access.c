/* SPDX-License-Identifier: Apache-2.0 */
/* access.c - tasks for a running engine: what is put in force, and what is read */
#include "access.h"

#include <string.h>

/**
 * access_settle() - Put a table in force, and forget what it puts an end to
 * @engine:	The engine
 * @argument:	struct access_settle
 *
 * New connections meet the new table at once; flows and clients that it ends are found one step after the other. The
 * asker knows that none is left when the task is done.
 */
bool access_settle(struct engine *engine, void *argument)
{
	struct access_settle *settle = argument;

	if (settle->swap)
		engine_swap(engine);
	settle->swap = false;
	return engine_settle(engine, ACCESS_STEP);
}

/**
 * access_counters() - Copy what was counted
 * @engine:	The engine
 * @argument:	struct access_counters
 */
bool access_counters(struct engine *engine, void *argument)
{
	*(struct access_counters *)argument = (struct access_counters){
		.engine = engine->counters,
		.flows = engine->flows.counters,
		.affinities = engine->affinities.counters,
		.held = engine->held.counters,
		.held_used = engine->held.used,
		.flows_used = engine->flows.used,
		.affinities_used = engine->affinities.used,
		.now = engine->now,
	};
	return true;
}

/**
 * access_tallies() - Copy what went through backends
 * @engine:	The engine
 * @argument:	struct access_tallies
 */
bool access_tallies(struct engine *engine, void *argument)
{
	struct access_tallies *tallies = argument;
	uint32_t left = tallies->count - tallies->done;
	uint32_t now = left < ACCESS_STEP ? left : ACCESS_STEP;

	memcpy(&tallies->into[tallies->done], &engine->flows.tallies[tallies->first + tallies->done],
	       now * sizeof(*tallies->into));
	tallies->done += now;
	return tallies->done == tallies->count;
}

/**
 * access_flows() - Copy flows, as many as there is room for
 * @engine:	The engine
 * @argument:	struct access_flows
 */
bool access_flows(struct engine *engine, void *argument)
{
	struct access_flows *flows = argument;
	const struct flow_table *table = &engine->flows;

	if (flows->next == 0)
		flows->next = 1; /* entry 0 is never used */
	for (unsigned int i = 0; i < ACCESS_STEP; i++) {
		const struct flow *flow = &table->flows[flows->next];

		flows->end = flows->next >= table->fresh;
		if (flows->end || flows->count == flows->room)
			return true;
		if (flow_in_use(flow) && flow->deadline > engine->now)
			flows->into[flows->count++] = *flow;
		flows->next++;
	}
	return false;
}

/**
 * access_run() - Have packets looked at that come in by no port
 * @engine:	The engine
 * @argument:	struct access_run
 */
bool access_run(struct engine *engine, void *argument)
{
	const struct access_run *run = argument;

	engine_run(engine, run->memory, run->size, run->packets, run->count, run->link, run->now);
	return true;
}
