/* SPDX-License-Identifier: Apache-2.0 */
/* checksum_test.c - checksum.c without Python around it, to be run under the sanitizers */
#include "checksum.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST 80

static int failures;

static void expect(const char *what, size_t length, uint16_t got, uint16_t wanted)
{
	if (got == wanted)
		return;
	failures++;
	(void)fprintf(stderr, "%s, %zu bytes: got %04x, expected %04x\n", what, length, got, wanted);
}

/* RFC 1071 section 1, word for word: one byte at a time, with nothing clever. */
static uint16_t plain_sum(const uint8_t *data, size_t length)
{
	uint32_t sum = 0;
	uint16_t word;

	for (size_t i = 0; i < length; i += 2) {
		uint8_t pair[2] = {data[i], 0};

		if (i + 1 < length)
			pair[1] = data[i + 1];
		memcpy(&word, pair, sizeof(word));
		sum += word;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return (uint16_t)sum;
}

/* Every length at every alignment, in memory that ends where the data ends: the sanitizer sees one byte more. */
static void test_every_length_and_alignment(void)
{
	for (size_t offset = 0; offset < 8; offset++) {
		for (size_t length = 0; length <= LONGEST; length++) {
			uint8_t *memory = malloc(offset + length + 1);

			if (!memory)
				abort();
			uint8_t *data = memory + 1 + offset;

			for (size_t i = 0; i < length; i++)
				data[i] = (uint8_t)(0xff - i * 37);
			expect("checksum_add", length, checksum_fold(checksum_add(0, data, length)),
			       plain_sum(data, length));
			free(memory);
		}
	}
}

static void test_extreme_values(void)
{
	static const uint16_t words[] = {0, 1, 0x7fff, 0x8000, 0xfffe, 0xffff};
	const size_t count = sizeof(words) / sizeof(words[0]);

	expect("checksum_fold of everything", 0, checksum_fold(UINT64_MAX), 0xffff);
	/* Each fold of this one carries again: it takes them all. */
	expect("checksum_fold of carries", 0, checksum_fold(0x00010000ffffffff), 1);
	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < count; j++) {
			/* The rest of the packet is one word: 1. */
			uint16_t before = checksum_finish((uint64_t)words[i] + 1);
			uint16_t after = checksum_finish((uint64_t)words[j] + 1);
			uint16_t delta = checksum_delta16(words[i], words[j]);

			expect("checksum_update", sizeof(delta), checksum_update(before, delta), after);
			expect("without a checksum", sizeof(delta), checksum_update_udp(0, delta), 0);
		}
	}
}

static void test_address_of_ipv6(void)
{
	uint8_t before[16], after[16];

	for (size_t i = 0; i < sizeof(before); i++) {
		before[i] = (uint8_t)(i * 17);
		after[i] = (uint8_t)(0xff - i);
	}
	expect("checksum_change128", sizeof(before),
	       checksum_update(checksum_finish(checksum_add(0, before, sizeof(before))),
			       checksum_fold(checksum_change128(before, after))),
	       checksum_finish(checksum_add(0, after, sizeof(after))));
}

int main(void)
{
	test_every_length_and_alignment();
	test_extreme_values();
	test_address_of_ipv6();
	return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
