/* SPDX-License-Identifier: Apache-2.0 */
/* offload.c - finishing the checksum of any bytes */
#include "fuzz.h"
#include "offload.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = fuzz_copy(data, size);
	struct packet packet;

	if (offload_finish(copy, size, PACKET_LINK_ETHERNET)) {
		packet_parse(&packet, copy, size, PACKET_LINK_ETHERNET);
		fuzz_check_view(&packet, copy, size);
		fuzz_expect(packet.kind >= PACKET_PORTLESS && !packet.is_piece);
		fuzz_expect(memcmp(copy, data, (size_t)(packet.transport - copy)) == 0);
	} else {
		fuzz_expect(size == 0 || memcmp(copy, data, size) == 0);
	}
	free(copy);
	return 0;
}
