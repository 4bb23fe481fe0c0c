/* SPDX-License-Identifier: Apache-2.0 */
/* access.h - tasks for a running engine: what is put in force, and what is read */
#ifndef SVCPLANE_ACCESS_H
#define SVCPLANE_ACCESS_H

#include "engine.h"

/* Entries that a task looks at in one step, so that packets wait for it no longer than for another batch. */
#define ACCESS_STEP 4096

/**
 * struct access_settle - Whether a table is to be put in force
 * @swap:	Put the table that was loaded in force first
 */
struct access_settle {
	bool swap;
};

/**
 * struct access_counters - A copy of what an engine has counted
 * @engine:		What went in, and what became of it
 * @flows:		What became of flows
 * @affinities:		What became of remembered clients
 * @held:		What became of pieces that waited for the first of their packet
 * @flows_used:		Flows there are
 * @affinities_used:	Clients that are remembered
 * @held_used:		Pieces that wait, or wait to be fetched
 * @now:		The engine's time, in milliseconds
 */
struct access_counters {
	struct engine_counters engine;
	struct flow_counters flows;
	struct affinity_counters affinities;
	struct held_counters held;
	uint32_t flows_used;
	uint32_t affinities_used;
	uint32_t held_used;
	uint64_t now;
};

/**
 * struct access_tallies - A copy of what went through backends
 * @first:	The number of the first tally
 * @count:	How many
 * @done:	How many have been copied
 * @into:	Where to
 */
struct access_tallies {
	uint32_t first;
	uint32_t count;
	uint32_t done;
	struct flow_tally *into;
};

/**
 * struct access_flows - Copies of flows that are alive
 * @next:	The number of the entry to begin with; afterwards, of the first that was not looked at
 * @room:	How many fit into @into
 * @count:	How many there are in it
 * @end:	Whether there are no more
 * @into:	Where to
 *
 * Flows come and go while others are copied: each copy is whole, and a flow that lives all the time is among them
 * once.
 */
struct access_flows {
	uint32_t next;
	uint32_t room;
	uint32_t count;
	bool end;
	struct flow *into;
};

/**
 * struct access_run - Packets that somebody else than a worker's thread has
 * @memory:	Where their bytes are, as the rest for engine_run()
 * @size:	Bytes of @memory
 * @packets:	Where each is, and what becomes of it
 * @count:	How many; at most ENGINE_BATCH, so that others wait no longer than for another batch
 * @link:	What the first byte of each belongs to
 * @now:	The time in milliseconds
 */
struct access_run {
	uint8_t *memory;
	size_t size;
	struct engine_packet *packets;
	size_t count;
	enum packet_link link;
	uint64_t now;
};

/* Each is a worker_task: true when all is done. */
bool access_settle(struct engine *engine, void *argument);
bool access_counters(struct engine *engine, void *argument);
bool access_tallies(struct engine *engine, void *argument);
bool access_flows(struct engine *engine, void *argument);
bool access_run(struct engine *engine, void *argument);

#endif
