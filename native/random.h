/* SPDX-License-Identifier: Apache-2.0 */
/* random.h - numbers that nobody outside can foretell, and that a seed repeats */
#ifndef SVCPLANE_RANDOM_H
#define SVCPLANE_RANDOM_H

#include <stdint.h>

#include "hash.h"

/* Bytes of how many were drawn: more than can ever be counted, and less work than eight. */
#define RANDOM_BYTES 7

/* Words of that, in a batch. */
#define RANDOM_HASHED 1

/**
 * struct random - A source of random numbers
 * @key:	Secret, from the seed
 * @drawn:	How many numbers were drawn
 *
 * A number is the keyed hash of how many were drawn before: without the key, those seen say nothing about those
 * to come, as ports need it (RFC 6056, 3.1); with the same seed, a run can be repeated to the last bit.
 */
struct random {
	struct hash_key key;
	uint64_t drawn;
};

/**
 * random_draw() - Draw a number
 * @random:	The source
 *
 * Return: any number of 32 bits
 */
static inline uint32_t random_draw(struct random *random)
{
	return (uint32_t)hash_with_rest(&random->key, NULL, 0, random->drawn++, RANDOM_BYTES);
}

/**
 * random_put() - Make a draw one of a batch that is hashed together
 * @random:	The source
 * @batch:	The batch, to be hashed with the key of the source: RANDOM_HASHED words each
 * @at:		Its place; its hash will be what random_draw() would give
 */
static inline void random_put(struct random *random, struct hash_batch *batch, size_t at)
{
	batch->words[0][at] = hash_last(0, random->drawn++, RANDOM_BYTES);
}

/**
 * random_scaled() - Make a number below a limit of one that was drawn
 * @drawn:	What random_draw() gave
 * @limit:	At least 1
 *
 * Multiplying instead of dividing (Lemire, 2019). No number is more likely than another by more than
 * @limit / 2^32 of its share.
 *
 * Return: a number from 0 to @limit - 1
 */
static inline uint32_t random_scaled(uint32_t drawn, uint32_t limit)
{
	return (uint32_t)((uint64_t)drawn * limit >> 32);
}

/**
 * random_below() - Draw a number below a limit
 * @random:	The source
 * @limit:	At least 1
 *
 * Return: a number from 0 to @limit - 1
 */
static inline uint32_t random_below(struct random *random, uint32_t limit)
{
	return random_scaled(random_draw(random), limit);
}

#endif
