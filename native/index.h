/* SPDX-License-Identifier: Apache-2.0 */
/* index.h - from a hash to the entries that have it, one cache line at a time */
#ifndef SVCPLANE_INDEX_H
#define SVCPLANE_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "arena.h"

/* A bucket is one cache line of 64 bytes. */
#define INDEX_SLOTS 8

/* Every hash kept in a slot has this bit, so that zero means an empty slot. */
#define INDEX_USED UINT32_C(0x80000000)

/* What a lookup gives when nothing (more) has that hash. */
#define INDEX_NONE 0

/**
 * struct index_bucket - One cache line of slots
 * @hash:	The hash of each slot, with INDEX_USED; 0 where the slot is empty
 * @reference:	What each slot refers to: any number but INDEX_NONE
 */
struct index_bucket {
	uint32_t hash[INDEX_SLOTS];
	uint32_t reference[INDEX_SLOTS];
};

/**
 * struct index - A hash table of references; the keys themselves lie with the entries
 * @buckets:	A power of two of them
 * @mask:	Their number less one
 */
struct index {
	struct index_bucket *buckets;
	uint32_t mask;
};

/**
 * struct index_cursor - Where a lookup stands
 * @bucket:	The bucket it looks at
 * @matches:	A bit for each slot of it that has the hash and was not given yet
 * @hash:	The hash looked for, with INDEX_USED
 */
struct index_cursor {
	uint32_t bucket;
	uint32_t matches;
	uint32_t hash;
};

void index_carve(struct index *index, struct arena *arena, uint32_t references);
void index_insert(struct index *index, uint32_t hash, uint32_t reference);
bool index_remove(struct index *index, uint32_t hash, uint32_t reference);
void index_clear(struct index *index);
void index_copy(struct index *index, const struct index *from);

/**
 * index_prefetch() - Have the bucket of a hash brought into the cache
 * @index:	The index
 * @hash:	The hash that will be looked for soon
 */
static inline void index_prefetch(const struct index *index, uint32_t hash)
{
	__builtin_prefetch(&index->buckets[hash & index->mask]);
}

/**
 * index_slots() - Compare all slots of a bucket
 * @bucket:	The bucket
 * @hash:	What is looked for: a hash with INDEX_USED, or 0 for empty slots
 *
 * There is no branch in the loop: which slot matches cannot be foretold, and a wrong guess costs more than
 * comparing all eight.
 *
 * Return: a bit for each slot that holds exactly that
 */
static inline uint32_t index_slots(const struct index_bucket *bucket, uint32_t hash)
{
#ifdef __SSE2__
	const __m128i wanted = _mm_set1_epi32((int)hash);
	const __m128i low = _mm_load_si128((const __m128i *)bucket->hash);
	const __m128i high = _mm_load_si128((const __m128i *)bucket->hash + 1);
	int in_low = _mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(low, wanted)));
	int in_high = _mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(high, wanted)));

	return (uint32_t)(in_low | in_high << 4);
#else
	uint32_t matches = 0;

	for (unsigned int i = 0; i < INDEX_SLOTS; i++)
		matches |= (uint32_t)(bucket->hash[i] == hash) << i;
	return matches;
#endif
}

/**
 * index_next() - The next reference that has the hash of a lookup
 * @index:	The index
 * @cursor:	Where the lookup stands
 *
 * Return: a reference, or INDEX_NONE if there are no more
 */
static inline uint32_t index_next(const struct index *index, struct index_cursor *cursor)
{
	while (!cursor->matches) {
		/* A bucket with an empty slot is the last that can have it. */
		if (index_slots(&index->buckets[cursor->bucket], 0))
			return INDEX_NONE;
		cursor->bucket = (cursor->bucket + 1) & index->mask;
		cursor->matches = index_slots(&index->buckets[cursor->bucket], cursor->hash);
	}
	uint32_t slot = (uint32_t)__builtin_ctz(cursor->matches);

	cursor->matches &= cursor->matches - 1;
	return index->buckets[cursor->bucket].reference[slot];
}

/**
 * index_first() - Begin a lookup
 * @index:	The index
 * @hash:	What to look for
 * @cursor:	Is set to where the lookup stands, for index_next()
 *
 * Return: the first reference with that hash, or INDEX_NONE
 */
static inline uint32_t index_first(const struct index *index, uint32_t hash, struct index_cursor *cursor)
{
	*cursor = (struct index_cursor){.bucket = hash & index->mask, .hash = hash | INDEX_USED};
	cursor->matches = index_slots(&index->buckets[cursor->bucket], cursor->hash);
	return index_next(index, cursor);
}

#endif
