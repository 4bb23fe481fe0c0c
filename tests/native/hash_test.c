/* SPDX-License-Identifier: Apache-2.0 */
/* hash_test.c - SipHash-1-3 against another implementation */
#include "hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_WORDS 5

/* The bytes 0, 1, 2, ... as CPython 3.11 hashes them with PYTHONHASHSEED=0, which makes the key zero. */
static const struct {
	size_t words;
	uint64_t hash;
} expected[] = {
	{1, UINT64_C(0xead411e67ebe2eea)},
	{2, UINT64_C(0x8972188433a5c5b7)},
	{3, UINT64_C(0x31185a47af932f3a)},
	{5, UINT64_C(0x95bc321ab41d8206)},
};

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
		uint64_t got = hash_words(&zero, words, expected[i].words);

		if (got != expected[i].hash || got == hash_words(&other, words, expected[i].words)) {
			(void)fprintf(stderr, "%zu words: got %016" PRIx64 "\n", expected[i].words, got);
			failures++;
		}
	}
	return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
