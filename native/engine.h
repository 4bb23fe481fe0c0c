/* SPDX-License-Identifier: Apache-2.0 */
/* engine.h - batches of packets through one table of Services, with no I/O */
#ifndef SVCPLANE_ENGINE_H
#define SVCPLANE_ENGINE_H

#include <stddef.h>
#include <stdint.h>

#include "affinity.h"
#include "batch.h"
#include "decision.h"
#include "flow.h"
#include "fragment.h"
#include "held.h"
#include "limit.h"
#include "packet.h"
#include "random.h"
#include "service.h"
#include "update.h"

/* Packets that whoever runs an engine should bring at once, if there are as many: as many as it works on together. */
#define ENGINE_BATCH BATCH_GROUP

/**
 * struct engine_config - What an engine is made with, and keeps
 * @limits:	The most that a table of Services can hold
 * @flows:	The most flows, 1 to FLOW_MOST
 * @affinities:	The most clients that affinity remembers, at least 1
 * @key:	Secret of the hashes
 * @seed:	Secret of chance; the same seed and packets give the same run
 * @timeouts:	How long flows may be silent
 * @answers:	How many rejected packets are answered
 * @held:	Pieces that may wait for the first of their packet; 0 if whoever runs the engine does not fetch them
 *		by engine_release()
 */
struct engine_config {
	struct service_limits limits;
	uint32_t flows;
	uint32_t affinities;
	struct hash_key key;
	struct hash_key seed;
	struct tracking_timeouts timeouts;
	struct limit_rates answers;
	uint32_t held;
};

/* The checksum of the transport is left to a network card (offload.h); taken away if it no longer is. */
#define ENGINE_UNFINISHED 0x1

/**
 * struct engine_packet - One packet of a batch
 * @offset:	Where it begins in the memory of the batch
 * @length:	Bytes; changes if an answer is written in the packet's place
 * @room:	Bytes that may be written from @offset on; @length if it is less
 * @interface:	Where it came in: below SERVICE_INTERFACES; 0 if this host itself sends it
 * @flags:	Bits ENGINE_...
 * @decision:	Is filled in
 */
struct engine_packet {
	uint32_t offset;
	uint32_t length;
	uint32_t room;
	uint16_t interface;
	uint16_t flags;
	struct decision decision;
};

/**
 * struct engine_counters - What went in, and what became of it
 * @packets:	Packets that came in: the sum of @outcomes
 * @bytes:	Their bytes
 * @outcomes:	By enum decision_outcome
 * @reasons:	By enum decision_reason; all but the first add up to the drops
 * @answers:	Rejected packets whose sender was told
 * @withheld:	Rejected packets whose sender was not told, because there were too many
 */
struct engine_counters {
	uint64_t packets;
	uint64_t bytes;
	uint64_t outcomes[DECISION_OUTCOMES];
	uint64_t reasons[DECISION_REASONS];
	uint64_t answers;
	uint64_t withheld;
};

/**
 * struct engine_settling - What is still to be asked whether the table in force has put an end to it
 * @flow:	The number of the next flow; 0 if none is
 * @client:	The number of the next client that affinity remembers; 0 if none is
 */
struct engine_settling {
	uint32_t flow;
	uint32_t client;
};

/**
 * struct engine - One worker: used by one thread at a time
 * @arena:	All memory, this structure included
 * @key:	Secret of the hashes
 * @random:	Where chance comes from
 * @flows:	The flows that are known
 * @affinities:	The clients that are remembered
 * @fragments:	The packets of which pieces may still come
 * @held:	The pieces that wait for the first of their packet
 * @names:	The numbers of backends
 * @tables:	The table in force, and the one that is changed
 * @current:	Which of them is in force
 * @loaded:	Whether the other was changed, and waits for engine_swap()
 * @epoch:	How many tables have come into force that put an end to flows, perhaps
 * @settling:	Where engine_settle() goes on
 * @now:	The time of the batch in milliseconds; it never goes back
 * @answers:	How many more rejected packets may be answered
 * @counters:	What went in, and what became of it
 * @batch:	Packets on their way
 */
struct engine {
	struct arena arena;
	struct hash_key key;
	struct random random;
	struct flow_table flows;
	struct affinity_table affinities;
	struct fragment_table fragments;
	struct held_table held;
	struct pool_names names;
	struct service_table tables[2];
	unsigned int current;
	bool loaded;
	uint32_t epoch;
	struct engine_settling settling;
	uint64_t now;
	struct limit answers;
	struct engine_counters counters;
	struct batch batch;
};

struct engine *engine_create(const struct engine_config *config);
void engine_destroy(struct engine *engine);
size_t engine_memory(const struct engine *engine);
uint32_t engine_without_maglev(const struct engine *engine);

enum image_error engine_load(struct engine *engine, const struct image *image);
void engine_swap(struct engine *engine);
enum image_error engine_catch_up(struct engine *engine, const struct image *image);
bool engine_settle(struct engine *engine, uint32_t entries);
bool engine_ask_flow(struct engine *engine, struct flow *flow);
void engine_run(struct engine *engine, uint8_t *memory, size_t size, struct engine_packet *packets, size_t count,
		enum packet_link link, uint64_t now);
void engine_decide(struct engine *engine, uint8_t *memory, struct engine_packet *described, struct packet *packet,
		   const struct decision_hint *hint, enum packet_link link);
bool engine_release(struct engine *engine, uint8_t *memory, size_t size, struct engine_packet *packet);

/**
 * engine_table() - The table in force
 * @engine:	The engine
 *
 * Return: a table, to be read only
 */
static inline const struct service_table *engine_table(const struct engine *engine)
{
	return &engine->tables[engine->current];
}

/**
 * engine_flow_goes_on() - Whether a flow outlives the tables that have come since it was last asked
 * @engine:	The engine
 * @flow:	One of its flows, which is forgotten if not
 *
 * Return: true if it does
 */
static inline bool engine_flow_goes_on(struct engine *engine, struct flow *flow)
{
	return flow->epoch == engine->epoch || engine_ask_flow(engine, flow);
}

#endif
