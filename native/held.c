/* SPDX-License-Identifier: Apache-2.0 */
/* held.c - pieces that overtook the first of their packet, and wait for it */
#include "held.h"

#include <string.h>

/**
 * DOC: Theory of operation
 *
 * Only the first piece of a packet has the ports, so what becomes of the others is known when it has come (fragment.c).
 * Pieces that overtake it are copied here and wait (RFC 4787, REQ-14: fragments out of order, with a bound). Once the
 * first piece has come, they are decided and translated where they are, and then whoever runs the engine fetches them
 * (engine_release()). A host with connection tracking does the same, by putting every packet together again.
 *
 * There are so many places, of so many bytes each, and a piece may stay so long; nothing else bounds them, and nothing is
 * ever allocated. When all places are taken a new piece is refused, not an old one given up: a flood of pieces without a
 * first one would otherwise drive out those that are about to be needed, and would have to be no stronger for that. It
 * costs a look at all places, of which there are a few hundred, to keep, free or find pieces; that is paid only while
 * pieces do overtake each other.
 */

/**
 * held_carve() - Take the memory of a table
 * @table:	The table
 * @arena:	Where from
 * @capacity:	Places for pieces
 */
void held_carve(struct held_table *table, struct arena *arena, uint32_t capacity)
{
	*table = (struct held_table){.capacity = capacity};
	table->pieces = arena_take(arena, capacity, sizeof(*table->pieces));
}

/**
 * held_keep() - Copy a piece, to wait
 * @table:	The table
 * @data:	The piece
 * @length:	Its bytes
 * @now:	Milliseconds
 *
 * Return: its place, whose other members the caller sets; NULL if there is none, or the piece is too long
 */
struct held_piece *held_keep(struct held_table *table, const uint8_t *data, uint32_t length, uint64_t now)
{
	if (table->used == table->capacity)
		held_expire(table, now);
	if (table->used == table->capacity || length > HELD_BYTES) {
		table->counters.refused++;
		return NULL;
	}
	struct held_piece *piece = table->pieces;

	while (piece->state != HELD_NOTHING)
		piece++;
	piece->state = HELD_WAITING;
	piece->length = length;
	piece->number = table->counters.kept++;
	piece->deadline = now + HELD_MILLISECONDS;
	memcpy(piece->bytes, data, length);
	table->used++;
	return piece;
}

/**
 * held_free() - Give a place back
 * @table:	The table
 * @piece:	A place that holds something
 */
void held_free(struct held_table *table, struct held_piece *piece)
{
	piece->state = HELD_NOTHING;
	table->used--;
}

/**
 * held_expire() - Give up the pieces that have waited for too long
 * @table:	The table
 * @now:	Milliseconds
 */
void held_expire(struct held_table *table, uint64_t now)
{
	for (uint32_t i = 0; i < table->capacity && table->used > 0; i++) {
		struct held_piece *piece = &table->pieces[i];

		if (piece->state == HELD_NOTHING || piece->deadline > now)
			continue;
		table->counters.abandoned++;
		held_free(table, piece);
	}
}

/**
 * held_next() - The piece that may go on and came first
 * @table:	The table
 *
 * Return: a piece, or NULL if none may go on
 */
struct held_piece *held_next(struct held_table *table)
{
	struct held_piece *next = NULL;

	for (uint32_t i = 0; i < table->capacity && table->used > 0; i++) {
		struct held_piece *piece = &table->pieces[i];

		if (piece->state == HELD_READY && (!next || piece->number < next->number))
			next = piece;
	}
	return next;
}
