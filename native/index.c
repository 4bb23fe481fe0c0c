/* SPDX-License-Identifier: Apache-2.0 */
/* index.c - from a hash to the entries that have it, one cache line at a time */
#include "index.h"

#include <string.h>

/**
 * DOC: Theory of operation
 *
 * The entries of a table (flows, frontends, clients with affinity) lie in an array and never move. An index finds
 * them: it keeps for every key 32 bits of its hash and the entry's number. The hash decides the *home* bucket, and
 * a bucket is one cache line of eight slots, so a lookup costs one line here and, nearly always, one entry.
 *
 * A key whose home is full goes to the next bucket that has an empty slot. A lookup therefore looks on as long as
 * buckets are full, and may stop at the first that is not. That is true because of one rule:
 *
 *	between the home of a key and the bucket it lies in, every bucket is full.
 *
 * Inserting keeps the rule by itself. Removing makes a hole; if the bucket was full, a key that had gone past it
 * must come back into the hole, which makes a hole further on, and so forth (Knuth, "The Art of Computer
 * Programming", volume 3, section 6.4, algorithm R). No tombstones are left, so lookups do not get slower with
 * age.
 *
 * The index has at least twice as many slots as there can be keys. With half of the slots taken, one key in fifty
 * does not lie in its home; an insertion always finds room; every loop below ends.
 */

/**
 * index_carve() - Take the memory of an index
 * @index:	The index
 * @arena:	Where from; when it only measures, the index cannot be used yet
 * @references:	The most that will be in it at once
 */
void index_carve(struct index *index, struct arena *arena, uint32_t references)
{
	uint32_t buckets = 1;

	while ((uint64_t)buckets * INDEX_SLOTS < 2 * (uint64_t)references)
		buckets *= 2;
	index->mask = buckets - 1;
	index->buckets = arena_take(arena, buckets, sizeof(*index->buckets));
}

/**
 * index_insert() - Add a reference
 * @index:	The index; it must hold fewer references than it was made for
 * @hash:	The hash of the reference's key
 * @reference:	Any number but INDEX_NONE
 */
void index_insert(struct index *index, uint32_t hash, uint32_t reference)
{
	for (uint32_t at = hash & index->mask;; at = (at + 1) & index->mask) {
		struct index_bucket *bucket = &index->buckets[at];

		uint32_t empty = index_slots(bucket, 0);

		if (empty) {
			uint32_t slot = (uint32_t)__builtin_ctz(empty);

			bucket->hash[slot] = hash | INDEX_USED;
			bucket->reference[slot] = reference;
			return;
		}
	}
}

static bool index_is_full(const struct index_bucket *bucket)
{
	return index_slots(bucket, 0) == 0;
}

/**
 * index_find_past() - Find a key that went past a bucket
 * @index:	The index
 * @hole:	The bucket, which was full until now
 * @found:	Set to the bucket and the slot of that key
 *
 * Return: whether there is one
 */
static bool index_find_past(const struct index *index, uint32_t hole, uint32_t found[2])
{
	for (uint32_t distance = 1;; distance++) {
		uint32_t at = (hole + distance) & index->mask;
		const struct index_bucket *bucket = &index->buckets[at];

		for (unsigned int i = 0; i < INDEX_SLOTS; i++) {
			uint32_t from_home = (at - bucket->hash[i]) & index->mask;

			if (bucket->hash[i] && from_home >= distance) {
				found[0] = at;
				found[1] = i;
				return true;
			}
		}
		if (!index_is_full(bucket))
			return false;
	}
}

/**
 * index_remove() - Take a reference out
 * @index:	The index
 * @hash:	The hash that it was inserted with
 * @reference:	The reference
 *
 * Return: false if it was not there
 */
bool index_remove(struct index *index, uint32_t hash, uint32_t reference)
{
	struct index_cursor cursor;
	uint32_t candidate = index_first(index, hash, &cursor);

	while (candidate != reference) {
		if (candidate == INDEX_NONE)
			return false;
		candidate = index_next(index, &cursor);
	}

	uint32_t at = cursor.bucket, slot = 0;

	while (index->buckets[at].reference[slot] != reference || index->buckets[at].hash[slot] != cursor.hash)
		slot++;

	for (;;) {
		struct index_bucket *bucket = &index->buckets[at];
		bool was_full = index_is_full(bucket);
		uint32_t found[2];

		bucket->hash[slot] = 0;
		bucket->reference[slot] = INDEX_NONE;
		if (!was_full || !index_find_past(index, at, found))
			return true;
		bucket->hash[slot] = index->buckets[found[0]].hash[found[1]];
		bucket->reference[slot] = index->buckets[found[0]].reference[found[1]];
		at = found[0];
		slot = found[1];
	}
}

/**
 * index_clear() - Forget everything
 * @index:	The index
 */
void index_clear(struct index *index)
{
	memset(index->buckets, 0, ((size_t)index->mask + 1) * sizeof(*index->buckets));
}

/**
 * index_copy() - Have the same in an index as in another
 * @index:	The index
 * @from:	The other, which was made for as many references
 */
void index_copy(struct index *index, const struct index *from)
{
	memcpy(index->buckets, from->buckets, ((size_t)index->mask + 1) * sizeof(*index->buckets));
}
