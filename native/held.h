/* SPDX-License-Identifier: Apache-2.0 */
/* held.h - pieces that overtook the first of their packet, and wait for it */
#ifndef SVCPLANE_HELD_H
#define SVCPLANE_HELD_H

#include <stdbool.h>
#include <stdint.h>

#include "arena.h"
#include "decision.h"
#include "packet.h"

/* Bytes of a piece that can wait, link header and all: what comes over a usual link. */
#define HELD_BYTES 2048

/* How long a piece waits. Pieces overtake each other by less; who does not send a first piece fills the room no longer. */
#define HELD_MILLISECONDS 1000

/**
 * enum held_state - What a place for a piece holds
 * @HELD_NOTHING:	Nothing
 * @HELD_WAITING:	A piece whose packet's first piece has not come
 * @HELD_READY:		A piece that may go on
 */
enum held_state {
	HELD_NOTHING,
	HELD_WAITING,
	HELD_READY,
};

/**
 * struct held_piece - A place for a piece
 * @state:	enum held_state
 * @link:	enum packet_link
 * @interface:	Where it came in
 * @hash:	fragment_hash() of it
 * @length:	Bytes
 * @number:	Pieces leave in the order in which they came
 * @deadline:	When it is given up, in milliseconds
 * @decision:	What became of it
 * @bytes:	The piece
 */
struct held_piece {
	uint8_t state;
	uint8_t link;
	uint16_t interface;
	uint32_t hash;
	uint32_t length;
	uint64_t number;
	uint64_t deadline;
	struct decision decision;
	uint8_t bytes[HELD_BYTES];
};

/**
 * struct held_counters - What became of pieces that waited; those still there are held_table.used
 * @kept:	Came to wait: the number of outcomes DECISION_HOLD
 * @released:	Went on
 * @abandoned:	Given up, because no first piece came in time, or it was dropped, or nobody fetched them
 * @refused:	Not kept, because there was no room; dropped at once
 */
struct held_counters {
	uint64_t kept;
	uint64_t released;
	uint64_t abandoned;
	uint64_t refused;
};

/**
 * struct held_table - The pieces that wait
 * @pieces:	Places for them
 * @capacity:	How many places; 0 if pieces are not kept
 * @used:	How many of them hold something
 * @counters:	What became of pieces
 */
struct held_table {
	struct held_piece *pieces;
	uint32_t capacity;
	uint32_t used;
	struct held_counters counters;
};

void held_carve(struct held_table *table, struct arena *arena, uint32_t capacity);
struct held_piece *held_keep(struct held_table *table, const uint8_t *data, uint32_t length, uint64_t now);
void held_free(struct held_table *table, struct held_piece *piece);
void held_expire(struct held_table *table, uint64_t now);
struct held_piece *held_next(struct held_table *table);

#endif
