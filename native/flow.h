/* SPDX-License-Identifier: Apache-2.0 */
/* flow.h - the flows that are known, found by either direction */
#ifndef SVCPLANE_FLOW_H
#define SVCPLANE_FLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "arena.h"
#include "index.h"
#include "tracking.h"
#include "tuple.h"

/* Entries that are looked at for one to give up when there is no room. */
#define FLOW_EVICTION_SCAN 64

/* In this time every entry is looked at once, and given back if it has expired. */
#define FLOW_SWEEP_MILLISECONDS 32768

/* Entries that one sweep looks at, at the most. */
#define FLOW_SWEEP_SCAN 256

/* Most flows that a table can have: a reference is a number and a direction, in 32 bits. */
#define FLOW_MOST (UINT32_MAX / 4)

/* Bits of flow.flags. */
#define FLOW_NODE_PORT	0x01 /* came in by a NodePort: its frontend has the unspecified address */
#define FLOW_MASQUERADE 0x02 /* the backend sees this node's address */
#define FLOW_HAIRPIN	0x04 /* the backend is the client itself */
#define FLOW_CAN_END	0x08 /* its frontend says when it is forgotten: service_frontend.ends_flows */

/**
 * struct flow - One flow and its translation: two cache lines
 * @tuples:	What packets show on their way in: from the client, and from the backend. What leaves for the
 *		backend is the second, reversed; what leaves for the client is the first, reversed
 * @deadline:	When it is forgotten if nothing more is seen, in milliseconds
 * @packets:	Packets seen in each direction
 * @hash:	The hash of each tuple
 * @tally:	Where its traffic is counted
 * @address_delta:	What the translation from client to backend does to a checksum over addresses
 * @transport_delta:	The same for one over addresses and ports; the way back does the complement
 * @events:	What was seen of it (TRACKING_REPLIED and so on)
 * @flags:	FLOW_NODE_PORT and so on
 * @zero:	Always 0
 * @epoch:	The engine's epoch when the Services last were asked whether it may go on (engine.c)
 * @next_free:	While it is not in use: the number of the next that is not
 */
struct flow {
	struct tuple tuples[2];
	uint64_t deadline;
	uint64_t packets[2];
	uint32_t hash[2];
	uint32_t tally;
	uint16_t address_delta;
	uint16_t transport_delta;
	uint8_t events;
	uint8_t flags;
	uint16_t zero;
	union {
		uint32_t epoch;
		uint32_t next_free;
	};
};

_Static_assert(sizeof(struct flow) == 128, "a flow is two cache lines");

/**
 * struct flow_tally - What went through one backend of one Service
 * @connections:	Flows ever made
 * @active:		Flows there are
 * @packets:		Packets to the backend, and from it
 * @bytes:		Bytes of IP packets to the backend, and from it
 * @zero:		Always 0
 */
struct flow_tally {
	uint64_t connections;
	uint64_t active;
	uint64_t packets[2];
	uint64_t bytes[2];
	uint64_t zero[2];
};

_Static_assert(sizeof(struct flow_tally) == ARENA_ALIGNMENT, "to count costs one cache line");

/**
 * struct flow_counters - What became of flows
 * @created:	Made
 * @expired:	Forgotten because they were silent
 * @evicted:	Given up for a new one because there was no room
 * @reopened:	Ended, and forgotten because a new connection has the same addresses and ports
 * @settled:	Forgotten because their backend serves no more
 */
struct flow_counters {
	uint64_t created;
	uint64_t expired;
	uint64_t evicted;
	uint64_t reopened;
	uint64_t settled;
};

/**
 * struct flow_table - All flows of an engine
 * @flows:	Entry 0 is never used
 * @index:	Two references for each flow: its number times two, plus the direction
 * @tallies:	What flow.tally counts in
 * @capacity:	Flows that there is room for
 * @used:	Flows there are
 * @fresh:	The number of the first entry that was never used
 * @free:	The number of the first entry that was given back; 0 if there is none
 * @hand:	Where the sweep and the search for room go on
 * @swept:	When the sweep last moved, in milliseconds
 * @timeouts:	How long a flow may be silent
 * @counters:	What became of flows
 */
struct flow_table {
	struct flow *flows;
	struct index index;
	struct flow_tally *tallies;
	uint32_t capacity;
	uint32_t used;
	uint32_t fresh;
	uint32_t free;
	uint32_t hand;
	uint64_t swept;
	struct tracking_timeouts timeouts;
	struct flow_counters counters;
};

void flow_carve(struct flow_table *table, struct arena *arena, uint32_t capacity, uint32_t tallies);
struct flow *flow_find(struct flow_table *table, const struct tuple *tuple, uint32_t hash, uint64_t now,
		       unsigned int *direction);
struct flow *flow_add(struct flow_table *table, const struct flow *flow, uint64_t now);
void flow_remove(struct flow_table *table, struct flow *flow);
void flow_sweep(struct flow_table *table, uint64_t now);

/**
 * flow_in_use() - Whether an entry holds a flow
 * @flow:	The entry
 *
 * Return: true if it does
 */
static inline bool flow_in_use(const struct flow *flow)
{
	return flow->tuples[0].family != 0;
}

/**
 * flow_see() - Take note of a packet of a flow
 * @table:	The table
 * @flow:	One of its flows
 * @direction:	Which way the packet goes
 * @signals:	The packet's PACKET_FIN and so on
 * @bytes:	Its length
 * @now:	Milliseconds
 *
 * Packets of either direction keep a flow alive (RFC 4787, REQ-6: that of the client must, the other may).
 */
static inline void flow_see(struct flow_table *table, struct flow *flow, unsigned int direction, uint8_t signals,
			    uint32_t bytes, uint64_t now)
{
	uint8_t protocol = flow->tuples[0].protocol;
	struct flow_tally *tally = &table->tallies[flow->tally];

	flow->events = tracking_see(flow->events, protocol, direction, signals);
	flow->deadline = now + table->timeouts.milliseconds[tracking_phase(flow->events, protocol)];
	flow->packets[direction]++;
	tally->packets[direction]++;
	tally->bytes[direction] += bytes;
}

/**
 * flow_prefetch() - Have the flow that a packet may belong to brought into the cache
 * @table:	The table
 * @hash:	The packet's hash; its bucket should be in the cache already
 *
 * Return: a reference to that flow for flow_try(), or INDEX_NONE
 */
static inline uint32_t flow_prefetch(const struct flow_table *table, uint32_t hash)
{
	struct index_cursor cursor;
	uint32_t reference = index_first(&table->index, hash, &cursor);
	const uint8_t *flow = (const uint8_t *)&table->flows[reference / 2];

	__builtin_prefetch(flow, 1);
	__builtin_prefetch(flow + ARENA_ALIGNMENT, 1);
	return reference;
}

/**
 * flow_prefetch_tally() - The same for where the flow is counted: the one line that is not its own
 * @table:	The table
 * @reference:	What flow_prefetch() gave; the flow should be in the cache already
 */
static inline void flow_prefetch_tally(const struct flow_table *table, uint32_t reference)
{
	__builtin_prefetch(&table->tallies[table->flows[reference / 2].tally], 1);
}

/**
 * flow_try() - Whether a packet belongs to the flow that flow_prefetch() found for it
 * @table:	The table
 * @reference:	What flow_prefetch() gave; the table may have changed since
 * @tuple:	The packet's
 * @now:	Milliseconds
 * @direction:	Set to the direction that the packet goes in, if it does
 *
 * Return: the flow, or NULL if only flow_find() can tell
 */
static inline struct flow *flow_try(const struct flow_table *table, uint32_t reference, const struct tuple *tuple,
				    uint64_t now, unsigned int *direction)
{
	struct flow *flow = &table->flows[reference / 2];

	*direction = reference % 2;
	return tuple_equal(&flow->tuples[*direction], tuple) && flow->deadline > now ? flow : NULL;
}

#endif
