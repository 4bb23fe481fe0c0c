/* SPDX-License-Identifier: Apache-2.0 */
/* batch.h - packets on their way through an engine, a few at each step of it */
#ifndef SVCPLANE_BATCH_H
#define SVCPLANE_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "decision.h"
#include "hash.h"
#include "packet.h"

struct engine;
struct engine_packet;

/*
 * Packets that take each step together, at the most. Enough to hide the latency of memory, and few enough that what was
 * fetched for the first is still in the nearest cache when the last is worked on.
 */
#define BATCH_GROUP 64

/* The same where groups take turns: then memory has as long to answer as it takes to work on all other groups. */
#define BATCH_GROUP_IN_TURNS 16

/* Groups that are on their way at once: one for each step, and as many as make a power of two. */
#define BATCH_GROUPS 8

/* Groups take turns if at least one of so many packets seemed to open a flow the last time. */
#define BATCH_OPENING_SHARE 4

_Static_assert(BATCH_GROUP <= HASH_BATCH, "a group is hashed together");

/**
 * struct batch_group - Packets that take each step together
 * @described:	The packets as they were handed over
 * @count:	How many they are
 * @openings:	How many of them may open a flow: none was found
 * @opening:	Which
 * @packets:	What they are
 * @hints:	Where their flows may be
 */
struct batch_group {
	struct engine_packet *described;
	uint32_t count;
	uint32_t openings;
	uint32_t opening[BATCH_GROUP];
	struct packet packets[BATCH_GROUP];
	struct decision_hint hints[BATCH_GROUP];
};

/**
 * struct batch_hashing - Messages of one length, to be hashed together
 * @messages:	Their words
 * @of:		Which packet of the group each is of
 * @hashes:	What came out
 */
struct batch_hashing {
	struct hash_batch messages;
	uint32_t of[HASH_BATCH];
	uint32_t hashes[HASH_BATCH];
};

/**
 * struct batch - What an engine needs for packets on their way
 * @hash:	hash_batch_best() of this machine
 * @openings:	How many packets of this run seemed to open a flow
 * @in_turns:	Whether there were so many the last time that groups take turns
 * @groups:	By the number of a group, modulo BATCH_GROUPS
 * @hashing:	For IPv4, then for IPv6
 */
struct batch {
	hash_batch_function *hash;
	size_t openings;
	bool in_turns;
	struct batch_group groups[BATCH_GROUPS];
	struct batch_hashing hashing[2];
};

void batch_run(struct engine *engine, uint8_t *memory, size_t size, struct engine_packet *packets, size_t count,
	       enum packet_link link);

#endif
