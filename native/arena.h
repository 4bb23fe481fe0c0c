/* SPDX-License-Identifier: Apache-2.0 */
/* arena.h - all memory of an engine, asked for once */
#ifndef SVCPLANE_ARENA_H
#define SVCPLANE_ARENA_H

#include <stddef.h>
#include <stdint.h>

/* Everything begins on a cache line of its own. */
#define ARENA_ALIGNMENT 64

/**
 * struct arena - One piece of memory that is given out from its beginning to its end
 * @memory:	Where it begins; NULL while only measuring
 * @size:	Bytes there are; 0 while only measuring
 * @used:	Bytes given out
 *
 * An arena of zeros measures: arena_take() gives nothing, and @used tells afterwards how much is needed. So the
 * code that lays out memory is written once and run twice.
 */
struct arena {
	uint8_t *memory;
	size_t size;
	size_t used;
};

int arena_create(struct arena *arena, size_t size);
void *arena_take(struct arena *arena, size_t count, size_t size);
void arena_destroy(struct arena *arena);

#endif
