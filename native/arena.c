/* SPDX-License-Identifier: Apache-2.0 */
/* arena.c - all memory of an engine, asked for once */
#define _DEFAULT_SOURCE /* for MAP_ANONYMOUS and madvise(); NOLINT(bugprone-reserved-identifier,cert-dcl*) */
#include "arena.h"

#include <errno.h>
#include <sys/mman.h>

/**
 * arena_create() - Ask the system for memory, all of it zero
 * @arena:	The arena to begin
 * @size:	Bytes wanted
 *
 * Large pages are asked for where the system has them: with a million flows in ordinary pages, finding out where
 * a page lies costs as much as reading it. The system gives pages when they are first touched, so that generous
 * limits cost nothing until they are used.
 *
 * Return: 0, or a negative error number
 */
int arena_create(struct arena *arena, size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return -errno;
#ifdef MADV_HUGEPAGE
	/* Only a wish: everything works without. */
	(void)madvise(memory, size, MADV_HUGEPAGE);
#endif
	*arena = (struct arena){.memory = memory, .size = size};
	return 0;
}

/**
 * arena_take() - Give out memory for an array
 * @arena:	Where from
 * @count:	How many elements
 * @size:	Bytes of one element
 *
 * Return: zeroed memory aligned to ARENA_ALIGNMENT, or NULL if the arena only measures or has not as much left
 */
void *arena_take(struct arena *arena, size_t count, size_t size)
{
	size_t bytes = (count * size + ARENA_ALIGNMENT - 1) & ~(size_t)(ARENA_ALIGNMENT - 1);
	size_t begin = arena->used;

	arena->used += bytes;
	if (!arena->memory || arena->used > arena->size)
		return NULL;
	return arena->memory + begin;
}

/**
 * arena_destroy() - Give all memory back to the system
 * @arena:	The arena; nothing that was taken from it may be used any more
 */
void arena_destroy(struct arena *arena)
{
	if (arena->memory)
		(void)munmap(arena->memory, arena->size);
	*arena = (struct arena){0};
}
