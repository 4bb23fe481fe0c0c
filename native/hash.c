/* SPDX-License-Identifier: Apache-2.0 */
/* hash.c - a keyed hash of a batch of messages, four at once: SipHash-1-3 */
#include "hash.h"

#include <string.h>

/**
 * DOC: Theory of operation
 *
 * SipHash adds, rotates and exclusive-ors words of 64 bits, and no step depends on what a word holds. So messages of the same
 * length go through it side by side, one in each lane of a vector, and each step is done for all of them at once. The words
 * come as they are needed: the first words of all messages, then the second words, and so on.
 *
 * The vectors are the compiler's (four lanes of 64 bits), not a processor's: it makes of them what it has. The same body is
 * compiled for any processor, which on x86 has two lanes and must be content with three instructions for most rotations, and
 * for those with AVX2. hash_batch_best() tells which of them this machine can have.
 */

#define LANES 4

typedef uint64_t lanes __attribute__((vector_size(LANES * sizeof(uint64_t))));

_Static_assert(HASH_BATCH % LANES == 0, "a batch is whole vectors");

/* The steps are those of hash_round() in hash.h, by name and in order. Macros, as a function cannot take vectors that the
 * processor may not have. */
#define ROTATE(word, bits) ((word) << (bits) | (word) >> (64 - (bits)))

#define ROUND(a, b, c, d)             \
	do {                          \
		(a) += (b);           \
		(c) += (d);           \
		(b) = ROTATE(b, 13) ^ (a); \
		(d) = ROTATE(d, 16) ^ (c); \
		(a) = ROTATE(a, 32);  \
		(c) += (b);           \
		(a) += (d);           \
		(b) = ROTATE(b, 17) ^ (c); \
		(d) = ROTATE(d, 21) ^ (a); \
		(c) = ROTATE(c, 32);  \
	} while (0)

/* Four messages, the first of which is @at. */
static inline __attribute__((always_inline)) void hash_lanes(const struct hash_key *key,
							     const struct hash_batch *batch, size_t words,
							     size_t at, uint32_t *hashes)
{
	const lanes zero = {0};
	lanes a = zero + (key->first ^ HASH_A), b = zero + (key->second ^ HASH_B), c = zero + (key->first ^ HASH_C),
	      d = zero + (key->second ^ HASH_D);

	for (size_t i = 0; i < words; i++) {
		lanes word;

		memcpy(&word, &batch->words[i][at], sizeof(word));
		d ^= word;
		ROUND(a, b, c, d);
		a ^= word;
	}
	c ^= zero + 0xff;
	ROUND(a, b, c, d);
	ROUND(a, b, c, d);
	ROUND(a, b, c, d);
	a ^= b ^ c ^ d;
	for (size_t i = 0; i < LANES; i++)
		hashes[at + i] = (uint32_t)a[i];
}

/* Whole vectors: what is in the lanes after the last message does not matter. */
static inline __attribute__((always_inline)) void hash_all(const struct hash_key *key, const struct hash_batch *batch,
							   size_t words, size_t count, uint32_t *hashes)
{
	if (words == 2) { /* TCP and UDP over IPv4: without a loop over the words */
		for (size_t at = 0; at < count; at += LANES)
			hash_lanes(key, batch, 2, at, hashes);
		return;
	}
	for (size_t at = 0; at < count; at += LANES)
		hash_lanes(key, batch, words, at, hashes);
}

/**
 * hash_batch_plain() - Hash a batch of messages, on any processor
 * @key:	The secret
 * @batch:	Their words, the last of each as of hash_last()
 * @words:	How many each has, 1 to HASH_WORDS
 * @count:	How many messages, at most HASH_BATCH
 * @hashes:	Is filled in, up to HASH_BATCH: for each the low half of what hash_with_rest() gives
 */
void hash_batch_plain(const struct hash_key *key, const struct hash_batch *batch, size_t words, size_t count,
		      uint32_t *hashes)
{
	hash_all(key, batch, words, count, hashes);
}

#ifdef __x86_64__
__attribute__((target("avx2"))) static void hash_batch_avx2(const struct hash_key *key, const struct hash_batch *batch,
							    size_t words, size_t count, uint32_t *hashes)
{
	hash_all(key, batch, words, count, hashes);
}
#endif

/**
 * hash_batch_best() - The quickest that this machine can do
 *
 * Return: hash_batch_plain(), or what does the same in less time
 */
hash_batch_function *hash_batch_best(void)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx2"))
		return hash_batch_avx2;
#endif
	return hash_batch_plain;
}
