/* SPDX-License-Identifier: Apache-2.0 */
/* flow.c - the flows that are known, found by either direction */
#include "flow.h"

/**
 * DOC: Theory of operation
 *
 * A Service is chosen a backend for once, for the first packet of a connection. Every later packet, of either
 * direction, must get the same translation. A flow is the memory of that, and this table holds all flows of one
 * engine. Nothing here is locked: an engine belongs to one thread, and whoever wants more threads gives each an
 * engine and sends all packets of a connection to the same one.
 *
 * *Tuples.* A flow is two tuples: what arrives from the client, and what arrives from the backend.
 *
 *	original	client:40000     -> service:80
 *	reply		backend:8080     -> client:40000
 *
 * They are not each other's mirror image; the difference *is* the translation. A packet that matches the original
 * leaves as the reply reversed (client:40000 -> backend:8080), one that matches the reply leaves as the original
 * reversed (service:80 -> client:40000). With masquerading the reply's destination is this node's address and a
 * port that was chosen, and nothing else is different. So a flow needs no recipe besides its tuples, only the two
 * checksum deltas, which are computed once and hold for every packet (checksum.c).
 *
 * *Finding.* Both tuples are keys of the same entry. The index (index.c) holds two references for each flow, whose
 * lowest bit is the direction. A packet costs one cache line of the index and the two of the entry; the engine
 * asks for them in advance for a whole batch, so that their latencies overlap.
 *
 * *No two flows share a tuple.* An original is looked up before it is made. For a reply that is taken already, NAT
 * chooses another source port (nat.c), masquerading or not; so answers always find the flow that they belong to.
 *
 * *Life.* Each packet sets the deadline by how far the connection has come (tracking.c). A flow whose deadline has
 * passed is as good as forgotten: flow_find() never gives it. Its entry is given back when a packet runs into it,
 * or by the sweep, whose hand goes over all entries once in FLOW_SWEEP_MILLISECONDS, a few at each batch (slower
 * if batches come so seldom that FLOW_SWEEP_SCAN each time are not enough: then there is little to do). There
 * are no lists to keep in order of time, so a packet writes to no entry but its own.
 *
 * *No room.* When every entry is taken, the next FLOW_EVICTION_SCAN entries after the hand are looked at. One that
 * has expired is taken; otherwise the first that is not assured (a SYN that nobody acknowledged, a datagram that
 * nobody answered); otherwise the new flow is refused and its packet dropped. A connection in use is never given
 * up for a new one. This is what Linux does (early_drop() in nf_conntrack_core.c), with the same reason: under a
 * flood, those who were there before go on.
 *
 * *Backends that go.* A table of Services that comes into force does not touch TCP flows: a terminating backend can
 * finish. UDP has no end, so its flows are forgotten when their frontend is gone or their backend serves no more. Which
 * flows are treated like UDP the table says. Nobody looks for them while packets wait: a flow carries the epoch in which
 * it was last found to go on, the engine begins a new epoch with each table that ends anything, and whoever meets a flow
 * of an older one asks again (engine_flow_goes_on() in engine.c). Those that nobody meets any more are taken away by
 * engine_settle().
 *
 * *Memory.* All entries and buckets come from the arena; an entry never moves. A million flows take 128 MB of
 * entries and 32 MB of index. Entries that were never used are behind the mark @fresh and have never been touched.
 */

/**
 * flow_carve() - Take the memory of a table
 * @table:	The table
 * @arena:	Where from
 * @capacity:	Flows that it must be able to hold, at most FLOW_MOST
 * @tallies:	Places to count traffic in
 */
void flow_carve(struct flow_table *table, struct arena *arena, uint32_t capacity, uint32_t tallies)
{
	*table = (struct flow_table){.capacity = capacity, .fresh = 1, .hand = 1};
	table->flows = arena_take(arena, (size_t)capacity + 1, sizeof(*table->flows));
	table->tallies = arena_take(arena, tallies, sizeof(*table->tallies));
	index_carve(&table->index, arena, 2 * capacity);
}

/**
 * flow_find() - The flow that a packet belongs to
 * @table:	The table
 * @tuple:	The packet's
 * @hash:	tuple_hash() of it
 * @now:	Milliseconds
 * @direction:	Set to the direction that the packet goes in, if a flow is found
 *
 * Return: a flow that has not expired, or NULL
 */
struct flow *flow_find(struct flow_table *table, const struct tuple *tuple, uint32_t hash, uint64_t now,
		       unsigned int *direction)
{
	struct index_cursor cursor;

	for (uint32_t reference = index_first(&table->index, hash, &cursor); reference != INDEX_NONE;
	     reference = index_next(&table->index, &cursor)) {
		struct flow *flow = &table->flows[reference / 2];

		if (!tuple_equal(&flow->tuples[reference % 2], tuple))
			continue;
		if (flow->deadline <= now) {
			table->counters.expired++;
			flow_remove(table, flow);
			return NULL;
		}
		*direction = reference % 2;
		return flow;
	}
	return NULL;
}

static struct flow *flow_under_hand(struct flow_table *table)
{
	struct flow *flow = &table->flows[table->hand];

	/* Behind the mark, nothing was ever used. */
	table->hand = table->hand + 1 < table->fresh ? table->hand + 1 : 1;
	return flow;
}

/* Gives one flow up, if one may be. */
static void flow_make_room(struct flow_table *table, uint64_t now)
{
	struct flow *unassured = NULL;

	for (unsigned int i = 0; i < FLOW_EVICTION_SCAN && i < table->capacity; i++) {
		struct flow *flow = flow_under_hand(table);

		if (!flow_in_use(flow))
			continue;
		if (flow->deadline <= now) {
			table->counters.expired++;
			flow_remove(table, flow);
			return;
		}
		if (!unassured && !tracking_is_assured(flow->events, flow->tuples[0].protocol))
			unassured = flow;
	}
	if (unassured) {
		table->counters.evicted++;
		flow_remove(table, unassured);
	}
}

/**
 * flow_add() - Keep a new flow
 * @table:	The table
 * @flow:	Tuples (neither of them in the table), hashes, tally, deltas and flags
 * @now:	Milliseconds
 *
 * Return: where it is kept from now on, or NULL if there is no room
 */
struct flow *flow_add(struct flow_table *table, const struct flow *flow, uint64_t now)
{
	uint32_t number;

	if (!table->free && table->fresh > table->capacity)
		flow_make_room(table, now);
	if (table->free) {
		number = table->free;
		table->free = table->flows[number].next_free;
	} else if (table->fresh <= table->capacity) {
		number = table->fresh++;
	} else {
		return NULL;
	}
	table->flows[number] = *flow;
	for (unsigned int direction = 0; direction < 2; direction++)
		index_insert(&table->index, flow->hash[direction], 2 * number + direction);
	table->used++;
	table->counters.created++;
	table->tallies[flow->tally].connections++;
	table->tallies[flow->tally].active++;
	return &table->flows[number];
}

/**
 * flow_remove() - Forget a flow
 * @table:	The table
 * @flow:	One of its flows
 */
void flow_remove(struct flow_table *table, struct flow *flow)
{
	uint32_t number = (uint32_t)(flow - table->flows);

	for (unsigned int direction = 0; direction < 2; direction++)
		(void)index_remove(&table->index, flow->hash[direction], 2 * number + direction);
	table->tallies[flow->tally].active--;
	table->used--;
	*flow = (struct flow){.next_free = table->free};
	table->free = number;
}

/**
 * flow_sweep() - Give back some of the entries that have expired
 * @table:	The table
 * @now:	Milliseconds
 *
 * Looks at as many entries as the time passed since the last sweep is worth.
 */
void flow_sweep(struct flow_table *table, uint64_t now)
{
	uint64_t passed = now - table->swept;

	if (passed > FLOW_SWEEP_MILLISECONDS)
		passed = FLOW_SWEEP_MILLISECONDS;
	uint64_t entries = passed * table->capacity / FLOW_SWEEP_MILLISECONDS;

	if (entries == 0)
		return; /* let the time add up */
	if (entries > FLOW_SWEEP_SCAN)
		entries = FLOW_SWEEP_SCAN;
	table->swept = now;
	for (uint64_t i = 0; i < entries && i < table->fresh; i++) {
		struct flow *flow = flow_under_hand(table);

		if (flow_in_use(flow) && flow->deadline <= now) {
			table->counters.expired++;
			flow_remove(table, flow);
		}
	}
}
