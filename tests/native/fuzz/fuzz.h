/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz.h - what all fuzzers need */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Stops if something is not true. An assertion that NDEBUG cannot switch off. */
static inline void fuzz_expect(bool truth)
{
	if (!truth)
		abort();
}

/* The input in memory that may be written, and that ends where the input ends. */
static inline uint8_t *fuzz_copy(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);

	fuzz_expect(copy != NULL);
	if (size)
		memcpy(copy, data, size);
	return copy;
}

/* Whatever was found lies inside the packet. */
static inline void fuzz_check_view(const struct packet *packet, const uint8_t *data, size_t size)
{
	if (packet->kind < PACKET_FRAGMENT)
		return;
	fuzz_expect(packet->network >= data && packet->network_length <= size - (size_t)(packet->network - data));
	fuzz_expect(packet->transport >= packet->network);
	fuzz_expect((size_t)(packet->transport - packet->network) + packet->transport_length == packet->network_length);
}

#endif
