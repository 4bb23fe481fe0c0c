/* SPDX-License-Identifier: Apache-2.0 */
/* hash.h - a keyed hash that nobody outside can make collide: SipHash-1-3 */
#ifndef SVCPLANE_HASH_H
#define SVCPLANE_HASH_H

#include <stddef.h>
#include <stdint.h>

/**
 * DOC: Why a keyed hash
 *
 * Who can choose addresses and ports can choose them so that a plain hash (CRC, FNV, Jenkins) sends them all to
 * one place, and every lookup walks past all of them. SipHash (Aumasson and Bernstein, 2012) takes a secret key;
 * without it, collisions can only be found by luck. Of its variants, 1-3 (one round for each word, three at the
 * end) is what hash tables use: Python, Rust and Linux hash with it.
 *
 * The words are in the byte order of the machine. Only little-endian machines get the published values; nothing
 * here depends on them.
 */

/* What the state begins with ("somepseudorandomlygeneratedbytes" in the paper), for the key to be added. */
#define HASH_A UINT64_C(0x736f6d6570736575)
#define HASH_B UINT64_C(0x646f72616e646f6d)
#define HASH_C UINT64_C(0x6c7967656e657261)
#define HASH_D UINT64_C(0x7465646279746573)

/**
 * struct hash_key - What must stay secret
 * @first:	Low half
 * @second:	High half
 */
struct hash_key {
	uint64_t first;
	uint64_t second;
};

/**
 * struct hash_state - The four words that are stirred
 * @a:		"v0" in the paper, and so on
 * @b:		"v1"
 * @c:		"v2"
 * @d:		"v3"
 */
struct hash_state {
	uint64_t a, b, c, d;
};

static inline uint64_t hash_rotate(uint64_t word, unsigned int bits)
{
	return word << bits | word >> (64 - bits);
}

/**
 * hash_round() - Stir once ("SipRound")
 * @s:		What is stirred
 */
static inline void hash_round(struct hash_state *s)
{
	s->a += s->b;
	s->c += s->d;
	s->b = hash_rotate(s->b, 13) ^ s->a;
	s->d = hash_rotate(s->d, 16) ^ s->c;
	s->a = hash_rotate(s->a, 32);
	s->c += s->b;
	s->a += s->d;
	s->b = hash_rotate(s->b, 17) ^ s->c;
	s->d = hash_rotate(s->d, 21) ^ s->a;
	s->c = hash_rotate(s->c, 32);
}

/**
 * hash_absorb() - Take in one word, with the one round of SipHash-1-3
 * @s:		What is stirred
 * @word:	The word
 */
static inline void hash_absorb(struct hash_state *s, uint64_t word)
{
	s->d ^= word;
	hash_round(s);
	s->a ^= word;
}

/**
 * hash_last() - The word that SipHash ends with
 * @count:	How many words came before it; fewer than 31
 * @rest:	The bytes that follow these, the first of them the lowest; zero above them
 * @bytes:	How many of them, at most seven
 *
 * Return: a word of @rest and the length of all
 */
static inline uint64_t hash_last(size_t count, uint64_t rest, size_t bytes)
{
	return rest | (uint64_t)(count * sizeof(uint64_t) + bytes) << 56;
}

/**
 * hash_with_rest() - Hash words of 64 bits and a few bytes more
 * @key:	The secret
 * @words:	What to hash
 * @count:	How many words; fewer than 31
 * @rest:	The bytes that follow, the first of them the lowest; zero above them
 * @bytes:	How many of them, at most seven
 *
 * SipHash ends with a word that holds the bytes left over and the length. What puts up to seven bytes there saves a
 * word, and so a round. Inline, because a call would cost a tenth of it.
 *
 * Return: SipHash-1-3 of the bytes of @words and @rest
 */
static inline uint64_t hash_with_rest(const struct hash_key *key, const uint64_t *words, size_t count, uint64_t rest,
				      size_t bytes)
{
	struct hash_state s = {
		.a = key->first ^ HASH_A,
		.b = key->second ^ HASH_B,
		.c = key->first ^ HASH_C,
		.d = key->second ^ HASH_D,
	};

#pragma GCC unroll 8
	for (size_t i = 0; i < count; i++)
		hash_absorb(&s, words[i]);
	hash_absorb(&s, hash_last(count, rest, bytes));
	s.c ^= 0xff;
	hash_round(&s);
	hash_round(&s);
	hash_round(&s);
	return s.a ^ s.b ^ s.c ^ s.d;
}

/**
 * hash_words() - Hash words of 64 bits
 * @key:	The secret
 * @words:	What to hash
 * @count:	How many words; fewer than 32
 *
 * Return: SipHash-1-3 of the bytes of @words
 */
static inline uint64_t hash_words(const struct hash_key *key, const uint64_t *words, size_t count)
{
	return hash_with_rest(key, words, count, 0, 0);
}

/* Messages that are hashed together, and the words that each can have. */
#define HASH_BATCH 64
#define HASH_WORDS 5

/**
 * struct hash_batch - Messages of the same length
 * @words:	The first words of all of them, then the second ones, and so on; the last as of hash_last()
 */
struct hash_batch {
	uint64_t words[HASH_WORDS][HASH_BATCH];
};

typedef void hash_batch_function(const struct hash_key *key, const struct hash_batch *batch, size_t words, size_t count,
				 uint32_t *hashes);

hash_batch_function hash_batch_plain;
hash_batch_function *hash_batch_best(void);

#endif
