/* SPDX-License-Identifier: Apache-2.0 */
/* crc32c_test.c - the known value, and both ways to compute against each other */
#include "crc32c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST 100

int main(void)
{
	/* "The" check value of CRC-32C, and the bytes in the order in which SCTP sends them. */
	static const char digits[] = "123456789";
	static const uint8_t wanted[4] = {0x83, 0x92, 0x06, 0xe3};
	uint32_t got = crc32c_finish(crc32c_add(CRC32C_BEGIN, digits, strlen(digits)));
	int failures = memcmp(&got, wanted, sizeof(got)) != 0;

	for (size_t length = 0; length <= LONGEST; length++) {
		uint8_t *data = malloc(length + 1);

		if (!data)
			abort();
		for (size_t i = 0; i <= length; i++)
			data[i] = (uint8_t)(i * 151 + length);
		/* In two pieces, the second unaligned. */
		uint32_t whole = crc32c_add_portable(CRC32C_BEGIN, data + 1, length);
		uint32_t pieces = crc32c_add(crc32c_add(CRC32C_BEGIN, data + 1, length / 3), data + 1 + length / 3,
					     length - length / 3);

		if (whole != pieces) {
			(void)fprintf(stderr, "%zu bytes: %08x in one way, %08x in the other\n", length, whole, pieces);
			failures++;
		}
		free(data);
	}
	return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
