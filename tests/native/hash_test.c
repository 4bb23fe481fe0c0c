/* SPDX-License-Identifier: Apache-2.0 */
/* hash_test.c - SipHash-1-3 against another implementation, and in batches against itself */
#include "hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_WORDS 5

/* The bytes 0, 1, 2, ... as CPython 3.11 hashes them with PYTHONHASHSEED=0, which makes the key zero. */
static const struct {
	size_t words;
	size_t rest;
	uint64_t hash;
} expected[] = {
	{1, 0, UINT64_C(0xead411e67ebe2eea)},
	{2, 0, UINT64_C(0x8972188433a5c5b7)},
	{3, 0, UINT64_C(0x31185a47af932f3a)},
	{5, 0, UINT64_C(0x95bc321ab41d8206)},
	{0, 7, UINT64_C(0x2f098ab0c751325a)},
	{1, 5, UINT64_C(0xa0cf3211850f8e0d)},
	{4, 5, UINT64_C(0x422a9751192ff266)},
};

static uint64_t next_random(void)
{
	static uint64_t state = 1;

	state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return state ^ state >> 29;
}

/* Batches of every size and length, as one after the other hashes them. */
static int wrong_in_batches(const char *name, hash_batch_function *hash)
{
	static struct hash_batch batch;
	uint32_t hashes[HASH_BATCH];
	int failures = 0;

	for (size_t count = 1; count <= HASH_BATCH; count++) {
		const struct hash_key key = {next_random(), next_random()};
		const size_t words = 1 + count % HASH_WORDS, bytes = count % 8;
		uint64_t rest[HASH_BATCH];

		for (size_t at = 0; at < count; at++) {
			for (size_t i = 0; i + 1 < words; i++)
				batch.words[i][at] = next_random();
			rest[at] = next_random() & ((UINT64_C(1) << 8 * bytes) - 1);
			batch.words[words - 1][at] = hash_last(words - 1, rest[at], bytes);
		}
		hash(&key, &batch, words, count, hashes);
		for (size_t at = 0; at < count; at++) {
			uint64_t message[HASH_WORDS];

			for (size_t i = 0; i + 1 < words; i++)
				message[i] = batch.words[i][at];
			if (hashes[at] == (uint32_t)hash_with_rest(&key, message, words - 1, rest[at], bytes))
				continue;
			(void)fprintf(stderr, "%s: number %zu of %zu, of %zu words\n", name, at, count, words);
			failures++;
		}
	}
	return failures;
}

int main(void)
{
	static const struct hash_key zero = {0, 0}, other = {0, 1};
	uint8_t bytes[MOST_WORDS * sizeof(uint64_t)];
	uint64_t words[MOST_WORDS];
	int failures = 0;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	memcpy(words, bytes, sizeof(words));
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		size_t count = expected[i].words, more = expected[i].rest;
		uint64_t rest = more ? words[count] & ((UINT64_C(1) << 8 * more) - 1) : 0;
		uint64_t got = hash_with_rest(&zero, words, count, rest, more);

		if (got != expected[i].hash || got == hash_with_rest(&other, words, count, rest, more) ||
		    (more == 0 && got != hash_words(&zero, words, count))) {
			(void)fprintf(stderr, "%zu words and %zu bytes: got %016" PRIx64 "\n", count, more, got);
			failures++;
		}
	}
	failures += wrong_in_batches("on any processor", hash_batch_plain);
	failures += wrong_in_batches("on this one", hash_batch_best());
	return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
