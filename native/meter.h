/* SPDX-License-Identifier: Apache-2.0 */
/* meter.h - connections, packets and bytes by where they lead, from what the kernel tells of its flows */
#ifndef SVCPLANE_METER_H
#define SVCPLANE_METER_H

#include "arena.h"
#include "conntrack.h"
#include "hash.h"
#include "index.h"

/* The most flows, and ways, that a meter can be made for. */
#define METER_MOST (UINT32_C(1) << 24)

/**
 * struct meter_traffic - What is counted
 * @connections:	Flows that began
 * @packets:		Of each direction
 * @bytes:		Of each direction, with their IP headers
 */
struct meter_traffic {
	uint64_t connections;
	uint64_t packets[CONNTRACK_DIRECTIONS];
	uint64_t bytes[CONNTRACK_DIRECTIONS];
};

/**
 * struct meter_way - What went one way
 * @way:	Which
 * @traffic:	Since it was last taken
 * @flows:	How many flows that are still known go this way
 * @next:	The next free one, or 0
 * @used:	It is not free
 */
struct meter_way {
	struct conntrack_way way;
	struct meter_traffic traffic;
	uint32_t flows;
	uint32_t next;
	bool used;
};

/**
 * struct meter_flow - A flow that is known, and what of it is counted already
 * @identity:	A hash of all that makes it this one
 * @packets:	As the kernel last told
 * @bytes:	As the kernel last told
 * @way:	Where it leads: a position in meter.ways
 * @listing:	The last list it was in
 * @next:	The next free one, or 0
 * @used:	It is not free
 */
struct meter_flow {
	uint64_t identity;
	uint64_t packets[CONNTRACK_DIRECTIONS];
	uint64_t bytes[CONNTRACK_DIRECTIONS];
	uint32_t way;
	uint32_t listing;
	uint32_t next;
	bool used;
};

/**
 * struct meter_config - What a meter is made for
 * @flows:	How many flows it may know at once
 * @ways:	How many ways they may go
 * @key:	The secret of its hashes
 */
struct meter_config {
	uint32_t flows;
	uint32_t ways;
	struct hash_key key;
};

/**
 * struct meter - Everything
 * @arena:		Its memory
 * @key:		The secret of its hashes
 * @flow_index:		From an identity to a flow
 * @way_index:		From a way's hash to a way
 * @flows:		What is known; position 0 is never used
 * @ways:		The same
 * @flow_limit:		How many there may be
 * @way_limit:		How many there may be
 * @free_flow:		The first one that was given back, or 0
 * @free_way:		The first one that was given back, or 0
 * @fresh_flow:		The first one that was never used
 * @fresh_way:		The first one that was never used
 * @known:		How many flows are known
 * @listing:		The number of the present list
 * @learning:		What is told now began before us: it is remembered, not counted
 * @elsewhere:		What went ways for which there was no room
 * @unknown:		Flows for which there was no room: counted once they end
 * @lost:		How often the kernel could not tell us of ends because we did not listen fast enough
 */
struct meter {
	struct arena arena;
	struct hash_key key;
	struct index flow_index;
	struct index way_index;
	struct meter_flow *flows;
	struct meter_way *ways;
	uint32_t flow_limit;
	uint32_t way_limit;
	uint32_t free_flow;
	uint32_t free_way;
	uint32_t fresh_flow;
	uint32_t fresh_way;
	uint32_t known;
	uint32_t listing;
	bool learning;
	struct meter_traffic elsewhere;
	uint64_t unknown;
	uint64_t lost;
};

struct meter *meter_create(const struct meter_config *config);
void meter_destroy(struct meter *meter);

void meter_see(struct meter *meter, const struct conntrack_flow *flow);
void meter_begin_list(struct meter *meter, bool learning);
void meter_end_list(struct meter *meter);
uint32_t meter_take(struct meter *meter, struct meter_way *into, uint32_t room);
struct meter_traffic meter_take_elsewhere(struct meter *meter);

int meter_listen(struct meter *meter, int socket, uint32_t most);
int meter_list(struct meter *meter, int socket, const uint8_t *request, size_t size);

#endif
