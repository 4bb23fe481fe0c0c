/* SPDX-License-Identifier: Apache-2.0 */
/* fragment.c - pieces of packets, first and later, in any order */
#include "fragment.h"
#include "fuzz.h"

#define PIECE 48

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena measured = {0}, arena;
	struct fragment_table table;
	uint64_t now = 0;

	fragment_carve(&table, &measured);
	fuzz_expect(arena_create(&arena, measured.used) == 0);
	fragment_carve(&table, &arena);
	for (; size > PIECE; data += PIECE + 1, size -= PIECE + 1) {
		struct packet packet;
		uint8_t *copy = fuzz_copy(data, PIECE);

		now += (uint64_t)data[PIECE] * 100;
		packet_parse(&packet, copy, PIECE, PACKET_LINK_IP);
		if (packet.is_piece && packet.kind == PACKET_TRANSPORT) {
			struct fragment *added = fragment_add(&table, &packet, now);

			fuzz_expect(fragment_find(&table, &packet, now) == added);
		} else if (packet.kind == PACKET_FRAGMENT) {
			(void)fragment_find(&table, &packet, now);
		}
		free(copy);
	}
	arena_destroy(&arena);
	return 0;
}
