/* SPDX-License-Identifier: Apache-2.0 */
/* held.c - pieces that come to wait, are freed, expire and are fetched, in any order */
#include "fuzz.h"
#include "held.h"

#define PLACES 4

static uint32_t count(const struct held_table *table, enum held_state state)
{
	uint32_t found = 0;

	for (uint32_t i = 0; i < table->capacity; i++)
		found += table->pieces[i].state == state;
	return found;
}

/* One more piece, of @length bytes that end where the memory does. */
static void keep(struct held_table *table, const uint8_t *data, size_t size, uint32_t length, uint64_t now)
{
	uint8_t *bytes = malloc(length ? length : 1);

	fuzz_expect(bytes != NULL);
	for (uint32_t i = 0; i < length; i++)
		bytes[i] = data[i % size];

	struct held_piece *piece = held_keep(table, bytes, length, now);

	fuzz_expect(piece ? length <= HELD_BYTES : length > HELD_BYTES || table->used == PLACES);
	if (piece)
		fuzz_expect(piece->deadline > now && memcmp(piece->bytes, bytes, length) == 0);
	free(bytes);
}

/* Fetches all that may go on: in the order in which they came. */
static void fetch(struct held_table *table)
{
	uint64_t number = 0;

	for (struct held_piece *piece = held_next(table); piece; piece = held_next(table)) {
		fuzz_expect(piece->state == HELD_READY && piece->number >= number);
		number = piece->number + 1;
		table->counters.released++;
		held_free(table, piece);
	}
	fuzz_expect(count(table, HELD_READY) == 0);
}

/* Each step is a byte that says what happens, and one that says to what. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena measured = {0}, arena;
	struct held_table table;
	uint64_t now = 0;

	held_carve(&table, &measured, PLACES);
	fuzz_expect(arena_create(&arena, measured.used) == 0);
	held_carve(&table, &arena, PLACES);
	for (; size >= 2; data += 2, size -= 2) {
		struct held_piece *piece = &table.pieces[data[1] % PLACES];

		switch (data[0] % 5) {
		case 0:
			keep(&table, data, size, data[1] * UINT32_C(9), now);
			break;
		case 1:
			if (piece->state == HELD_WAITING)
				piece->state = HELD_READY;
			break;
		case 2:
			now += data[1] * UINT64_C(8);
			break;
		case 3:
			held_expire(&table, now);
			for (uint32_t i = 0; i < PLACES; i++)
				fuzz_expect(table.pieces[i].state == HELD_NOTHING || table.pieces[i].deadline > now);
			break;
		default:
			fetch(&table);
		}
		fuzz_expect(count(&table, HELD_NOTHING) == PLACES - table.used);
		fuzz_expect(table.counters.kept ==
			    table.counters.released + table.counters.abandoned + table.used);
	}
	arena_destroy(&arena);
	return 0;
}
